"""A capture, made to rows again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastfeed._core.alltick import AlltickMachine
from fastfeed._core.longport import LongportMachine
from fastfeed._core.machine import Machine
from fastfeed._core.opend import OpendMachine
from fastfeed._core.player import Record, RecordPlayer
from fastfeed.captures.files import CaptureFile, Chunk
from fastfeed.errors import ConfigError, StorageError
from fastfeed.hub import Hub
from fastfeed.schema import STREAMS, dtype

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Player"]

_MACHINES: dict[str, type[OpendMachine] | type[LongportMachine] | type[AlltickMachine]] = {
    "opend": OpendMachine,
    "longport": LongportMachine,
    "alltick": AlltickMachine,
}


class Player:
    """Does again what a capture says: machines as the feed had them, given the same bytes, write the same rows.

    The rows of every stream are bit for bit those that the feed wrote live, in the same order, and symbols have the
    same ids; so after a gap in the capture too, except for what is missing, and what is made of it. Names of brokers
    that the feed was told apart from the stream are not there.

    Parameters
    ----------
    capture : CaptureFile
        Only its header is looked at: the records are to be given to `play()`, in their order.
    hub : Hub, optional
        Where rows and symbols go; by default one like the feed's. Another one has to be without symbols, or to have
        the same ids, and should not be smaller.

    Raises
    ------
    ConfigError
        The hub's books have another depth, or its feeds receive by a thread.
    StorageError
        The capture is of a vendor or of row layouts that this fastfeed does not know.

    Attributes
    ----------
    hub : Hub

    Examples
    --------
    >>> capture = CaptureFile("capture")
    >>> player = Player(capture)
    >>> for record in capture:
    ...     player.play(record)
    """

    def __init__(self, capture: CaptureFile, hub: Hub | None = None) -> None:
        header = capture.header
        if header.vendor not in _MACHINES:
            raise StorageError(
                f"{capture.path} is of a vendor that is not known: {header.vendor!r}"
            )
        if hub is None:
            try:
                hub = Hub(
                    capacity=header.capacity,
                    max_symbols=header.max_symbols,
                    book_depth=header.book_depth,
                )
            except ValueError as error:
                raise StorageError(f"{capture.path} has a header that cannot be: {error}") from None
        if hub.book_depth != header.book_depth:
            raise ConfigError(
                f"expected a hub with books of {header.book_depth} levels, as the capture has them, "
                f"got {hub.book_depth}"
            )
        here = {name: dtype(name, hub.book_depth).itemsize for name in STREAMS}
        if header.streams != here:
            raise StorageError(
                f"{capture.path} has rows of another layout than this fastfeed's: it is of {header.fastfeed}"
            )
        hub.receiver("loop")  # ConfigError where a thread writes
        self.hub = hub
        self._kind = _MACHINES[header.vendor]
        self._options = {**header.options, "depth": hub.book_depth}
        if header.vendor == "opend":
            self._options["brokers"] = hub.broker_names
        try:
            self._make()
        except (TypeError, ValueError) as error:
            raise StorageError(f"{capture.path} has a header that cannot be: {error}") from None
        self._records = RecordPlayer(hub.symbols, self._make, self._listen)

    def _make(self) -> Machine:
        return self._kind(self.hub.symbols, **self._options)

    def _listen(self, machine: Machine, number: int) -> None:
        stream = self.hub.stream(STREAMS[number])
        machine.listen(stream.number, stream.ring, stream.deliver, stream.table)

    def play(self, records: Record | Chunk | Buffer) -> int:
        """Do what a record says, or a chunk of them at once, and deliver the rows.

        Parameters
        ----------
        records : Record, Chunk or bytes-like
            One that `CaptureFile` has given, or bytes of whole records.

        Returns
        -------
        int
            How many rows were written.

        Raises
        ------
        StorageError
            They do not belong to this capture, or the records before them are missing.
        """
        return self._records.play(records.data if isinstance(records, Record | Chunk) else records)

    def stats(self) -> dict[str, Any]:
        """Return counters.

        `gaps`: how often the capture could not keep up, and has nothing; `lost_bytes`: of how many bytes;
        `broken`: connections that could not be followed; `connections`: the counters of each connection's machine,
        see `fastfeed.Decoder.stats`.
        """
        return {
            "gaps": self._records.gaps,
            "lost_bytes": self._records.lost_bytes,
            "broken": self._records.broken,
            "connections": [one.stats() for one in self.machines],
        }

    @property
    def machines(self) -> tuple[Any, ...]:
        """The machines of the connections."""
        return tuple(one for one in self._records.machines if one is not None)
