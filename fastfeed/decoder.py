"""A vendor's machine without a network: for captures, tests and measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from fastfeed._core.alltick import AlltickMachine
from fastfeed._core.longport import LongportMachine
from fastfeed._core.opend import OpendMachine
from fastfeed._core.symbols import SymbolTable
from fastfeed.hub import Hub, Streams
from fastfeed.protocols import alltick_codes, longport_codes
from fastfeed.schema import STREAMS
from fastfeed.stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Decoder"]

_KINDS = {
    "opend": STREAMS,
    "longport": tuple(longport_codes.KINDS),
    "alltick": tuple(alltick_codes.KINDS),
}


class Decoder(Streams[Stream]):
    """Decode a received byte stream into rows, with the very code that serves live connections.

    Parameters
    ----------
    vendor : str
        ``"opend"``, ``"longport"`` or ``"alltick"``.
    hub : Hub, optional
        Where the rows go; a new one by default. One whose feeds receive by a thread cannot be had: ConfigError.
    kinds : sequence of str, optional
        The streams to write, all that the vendor has by default; pushes of others are passed over.
    check_sha1 : bool
        Of OpenD: check each packet's digest.
    limit_bytes : int, optional
        Longest packet body or message that is believed: by default 64 MiB, of LongPort 16 MiB, of AllTick 1 MiB.
    transport : {"ws", "tcp"}
        Of LongPort: whether what is fed are messages, or pieces of a stream of packets.
    """

    def __init__(
        self,
        vendor: str,
        hub: Hub | None = None,
        *,
        kinds: Sequence[str] | None = None,
        check_sha1: bool = False,
        limit_bytes: int | None = None,
        transport: Literal["ws", "tcp"] = "ws",
    ) -> None:
        if vendor not in _KINDS:
            raise ValueError(f"expected a vendor ({', '.join(_KINDS)}), got {vendor!r}")
        if transport not in ("ws", "tcp"):
            raise ValueError(f"expected a transport (ws, tcp), got {transport!r}")
        self.vendor = vendor
        self.hub = hub if hub is not None else Hub()
        self.hub.receiver("loop")  # ConfigError where a thread writes
        limit: dict[str, Any] = {} if limit_bytes is None else {"limit_bytes": limit_bytes}
        self._framed = transport == "ws"
        self._machine: OpendMachine | LongportMachine | AlltickMachine
        if vendor == "opend":
            self._machine = OpendMachine(
                self.hub.symbols,
                check_sha1=check_sha1,
                depth=self.hub.book_depth,
                brokers=self.hub.broker_names,
                **limit,
            )
        elif vendor == "longport":
            self._machine = LongportMachine(self.hub.symbols, depth=self.hub.book_depth, **limit)
            self._machine.reset(framed=self._framed)
        else:
            self._machine = AlltickMachine(
                self.hub.symbols, depth=self.hub.book_depth, learn=True, **limit
            )
        for kind in _KINDS[vendor] if kinds is None else kinds:
            stream = self.hub.stream(kind)
            self._machine.listen(stream.number, stream.ring, stream.deliver, stream.table)

    def stream(self, name: str) -> Stream:
        """Return a stream by its name."""
        return self.hub.stream(name)

    @property
    def symbols(self) -> SymbolTable:
        """The symbols of the rows."""
        return self.hub.symbols

    def feed(self, data: Buffer, recv_ns: int | None = None) -> int:
        """Decode the next piece of the stream, cut wherever it may be; of AllTick, and of LongPort over WebSocket, one
        message without its frame.

        What is no rows (replies, notices) is counted and passed over, and so is a message that cannot be read.

        Parameters
        ----------
        data : bytes-like
        recv_ns : int, optional
            What stands in the rows as time of reception, ns since 1970 UTC; now, if not given.

        Returns
        -------
        int
            How many rows were written.

        Raises
        ------
        RemoteProtocolError
            The stream cannot be followed any further. Rows before that place have been written. Until
            `reset()`, every further call raises the same.
        """
        before = self._machine.rows
        self._machine.feed(data, recv_ns)
        if self._machine.error is not None:
            raise self._machine.error
        return self._machine.rows - before

    def reset(self) -> None:
        """Forget an unfinished packet and an error, for the beginning of another stream."""
        if isinstance(self._machine, LongportMachine):
            self._machine.reset(framed=self._framed)
        else:
            self._machine.reset()

    def stats(self) -> dict[str, Any]:
        """Return counters.

        `bytes`, `packets`; by the name of each stream, its rows; `duplicates`: ticks that had been delivered
        before; `cut_levels`: levels of books and places of broker queues that had no room; `frames`: packets
        that are not rows; `ignored`: pushes that nobody listens to; `unreadable_times`: rows whose time is 0
        for that reason; `rejected`: by reason, of which ``missing_price`` and ``not_finite`` count rows, all
        others packets. For LongPort and AllTick see `LongPort.stats` and `AllTick.stats`.
        """
        return self._machine.stats()
