"""The hub: where rows and symbols live. One for each feed, or one for several."""

from __future__ import annotations

import abc
import importlib.metadata
import operator
import os
import time
import weakref
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, get_args

from fastfeed import schema
from fastfeed._core.latest import LatestTable
from fastfeed._core.meter import Meters
from fastfeed._core.opend import broker_name, name_broker
from fastfeed._core.receiver import Receiver
from fastfeed._core.ring import Bells, Ring, prepare_ring, ring_bytes
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import ConfigError
from fastfeed.html import hub_html
from fastfeed.readers import program_name, remove_dead_readers
from fastfeed.shared import LAYOUT, Description, OwnFolder, new_generation
from fastfeed.stats import measured, plain
from fastfeed.stream import LATEST_KEPT, RowStream, Stream, places_of

__all__ = ["MOST_BROKERS", "Hub", "Receive", "Streams"]

#: Who reads from the sockets of a hub's feeds: each one's event loop, or a thread of the hub's.
Receive = Literal["loop", "thread"]

_FEWEST_ROWS = 64
_MOST_ROWS = 1 << 26
_ROW_BYTES = 64
_TIDY_S = 10.0  # between two looks for readers that died
#: Names of brokers that a hub keeps.
MOST_BROKERS = 1 << 16

S_co = TypeVar("S_co", bound=RowStream, covariant=True)


class Streams(abc.ABC, Generic[S_co]):
    """The streams by their names, as a hub, a feed and a decoder offer them."""

    @abc.abstractmethod
    def stream(self, name: str) -> S_co:
        """Return a stream by its name.

        Raises
        ------
        ValueError
            There is no such stream.
        """

    @property
    def ticks(self) -> S_co:
        """Trades."""
        return self.stream("ticks")

    @property
    def quotes(self) -> S_co:
        """Quotes: a row for each session of a symbol."""
        return self.stream("quotes")

    @property
    def books(self) -> S_co:
        """Order books, complete ones."""
        return self.stream("books")

    @property
    def odd_books(self) -> S_co:
        """Order books of odd lots."""
        return self.stream("odd_books")

    @property
    def bars(self) -> S_co:
        """Bars of all intervals; a running bar comes again with every change."""
        return self.stream("bars")

    @property
    def timeshare(self) -> S_co:
        """Points of the day's minute line."""
        return self.stream("timeshare")

    @property
    def brokers(self) -> S_co:
        """Hong Kong's broker queues."""
        return self.stream("brokers")


class Hub(Streams[Stream]):
    """Streams and the symbol table that their rows refer to.

    A feed makes its own unless it is given one; several feeds of the same event loop can share one, if they receive
    in the same way (the option `receive` of each).

    With a name, it lies in shared memory (a folder of files in /dev/shm), and any number of other processes
    of this machine can read it as it grows: see `fastfeed.attach`. Such a hub has to be closed, best by
    ``with``; that takes it away, and so does an ordinary end of the process. Where its process is killed, ``fastfeed
    hubs`` or the next hub of that name do. A fork of the process can read the hub but has no part in it: closing
    and ending do nothing to it there, and writing is refused or ends the fork.

    Parameters
    ----------
    name : str, optional
        Up to 64 letters, digits, dots, dashes and underscores. One process at a time can have the hub of a name.
    capacity : int
        Ticks that are kept, a power of two from 64 to 2**26. A reader that falls further behind than
        that loses rows. A tick takes 64 bytes; the other streams have longer rows, and keep as many as fit into
        the same memory (at least 64). Memory is taken when a stream is first used. A single push of more
        than half of the capacity is rejected and counted.
    max_symbols : int
        How many symbols there can be; rows of further ones are rejected and counted.
    book_depth : int
        Levels of each side that the rows of books keep, 1 to 1000; deeper ones are cut off.
    mode : int
        With a name: the permissions of its files. By default only processes of the same user can attach;
        with 0o640 those of the group can.

    Raises
    ------
    HubError
        Another process has the hub of this name, or there is no room for it.

    Attributes
    ----------
    symbols : SymbolTable
        ``symbols[id]`` is a symbol, ``symbols["700.HK"]`` an id.
    broker_names : SymbolTable
        The names behind `broker_name()`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        capacity: int = 1 << 18,
        max_symbols: int = 1 << 20,
        book_depth: int = schema.BOOK_DEPTH,
        mode: int = 0o600,
    ) -> None:
        if not _FEWEST_ROWS <= capacity <= _MOST_ROWS or capacity & (capacity - 1):
            raise ValueError(
                f"expected a capacity that is a power of two from {_FEWEST_ROWS} to {_MOST_ROWS}, got {capacity}"
            )
        self.capacity = capacity
        self.book_depth = operator.index(book_depth)
        schema.dtype("books", self.book_depth)  # ValueError
        self.name = name
        self._streams: dict[str, Stream] = {}
        self._has_ended = False
        self._error: Exception | None = None
        self._receive: tuple[str, bool, int | None] | None = None  # as its feeds do
        self._receiver: Receiver | None = None
        self._folder: OwnFolder | None = None
        self._generation = 0
        self._meters: Meters | None = None
        self._tidied_at = time.monotonic()
        if name is None:
            self.symbols = SymbolTable(max_symbols)
            self.broker_names = SymbolTable(MOST_BROKERS)
            return
        self._folder = folder = OwnFolder(name, mode)
        # Also when the process ends without closing.
        self._remove = weakref.finalize(self, folder.close)
        try:
            self._fill(folder, max_symbols)
        except BaseException as error:
            self._remove()
            if isinstance(error, (OSError, MemoryError)):
                raise folder.failure(f"cannot make the hub {name!r}", error) from error
            raise

    def _fill(self, folder: OwnFolder, max_symbols: int) -> None:
        """Make the files of a named hub. Rings get their memory when they are first used."""
        with folder.new_file("symbols") as fd:
            self.symbols = SymbolTable(max_symbols, fd=fd)
        with folder.new_file("broker_names") as fd:
            self.broker_names = SymbolTable(MOST_BROKERS, fd=fd)
        with folder.new_file("bells") as fd:
            self._bells = Bells(fd)
        with folder.new_file("feeds") as fd:
            self._meters = Meters(fd=fd)
        self._generation = new_generation()
        self._tables: dict[str, LatestTable] = {}
        row_sizes = {}
        for name in schema.STREAMS:
            size = row_sizes[name] = schema.dtype(name, self.book_depth).itemsize
            with folder.new_file(name) as fd:
                prepare_ring(fd, size, self._capacity_of(name))
            if name in LATEST_KEPT:
                with folder.new_file(f"{name}.latest") as fd:
                    self._tables[name] = LatestTable(size, places_of(name, max_symbols), fd=fd)
        folder.mapped += [self.symbols, self.broker_names, *self._tables.values()]
        folder.announce(
            Description(
                layout=LAYOUT,
                version=importlib.metadata.version("fastfeed"),
                generation=self._generation,
                pid=os.getpid(),
                program=program_name(),
                capacity=self.capacity,
                max_symbols=max_symbols,
                book_depth=self.book_depth,
                row_sizes=row_sizes,
                capacities={name: self._capacity_of(name) for name in schema.STREAMS},
            )
        )

    def stream(self, name: str) -> Stream:
        """Return a stream by its name; it is made when it is first asked for."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = self._new_stream(name)
            if self._receiver is not None:
                stream.ask_with(self._receiver.ask)
            if self._has_ended:
                stream.end(self._error)
        return stream

    def _capacity_of(self, name: str) -> int:
        """Return how many rows of a stream are kept."""
        rows = self.capacity * _ROW_BYTES // schema.dtype(name, self.book_depth).itemsize
        return max(_FEWEST_ROWS, 1 << max(rows, 1).bit_length() - 1)

    def _new_stream(self, name: str) -> Stream:
        size = schema.dtype(name, self.book_depth).itemsize
        capacity = self._capacity_of(name)
        if self._folder is None:
            return Stream(name, Ring(size, capacity), self.symbols, self.book_depth)
        number = schema.STREAMS.index(name)
        try:
            with self._folder.file(name) as fd:
                ring = Ring(size, capacity, fd=fd, bells=self._bells, bell=number)
        except OSError as error:
            what = f"cannot make the stream of {name}, which takes {ring_bytes(size, capacity) >> 10} KiB,"
            raise self._folder.failure(what, error) from error
        self._folder.mapped.append(ring)
        return Stream(name, ring, self.symbols, self.book_depth, self._tables.get(name))

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that are in use."""
        return tuple(self._streams.values())

    def broker_name(self, broker: int) -> str | None:
        """Return the name of a broker by the id that rows of ``brokers`` have, None when it was never told."""
        return broker_name(self.broker_names, int(broker))

    def name_broker(self, broker: int, name: str) -> None:
        """Note the name of a broker, unless one is known. (OpenD tells the names itself.)"""
        name_broker(self.broker_names, int(broker), name)

    def receiver(
        self, receive: Receive, spin: bool = False, cpu: int | None = None
    ) -> Receiver | None:
        """Return what receives for the hub's feeds, made when the first of them asks; None: each one's event loop.

        Raises
        ------
        ConfigError
            Another feed of the hub receives in another way: a ring has one writer. Or there is no such way.
        """
        if receive not in get_args(Receive):
            raise ConfigError(f"expected receive 'loop' or 'thread', got {receive!r}")
        if receive == "loop" and (spin or cpu is not None):
            raise ConfigError("spin and cpu are options of receive='thread'")
        way = receive, bool(spin), cpu
        if self._receive is None:
            if receive == "thread":
                self._receiver = Receiver(spin=bool(spin), cpu=cpu)
                for table in (self.symbols, self.broker_names):
                    self._receiver.guard(table)
                for stream in self.streams:
                    stream.ask_with(self._receiver.ask)
            self._receive = way
        if way != self._receive:
            names = ("receive", "spin", "cpu")
            there, here = (
                ", ".join(f"{name}={value!r}" for name, value in zip(names, one, strict=True))
                for one in (self._receive, way)
            )
            raise ConfigError(f"the feeds of this hub have {there}: one cannot have {here}")
        return self._receiver

    @property
    def meters(self) -> Meters:
        """Where feeds keep what is measured of them."""
        if self._meters is None:
            self._meters = Meters()
        return self._meters

    def stats(self) -> dict[str, Any]:
        """Return what is known of the hub, its feeds and its readers, also those in other processes.

        `name`; `generation`: another one whenever the hub begins anew; `pid` and `program` of the writer; `alive`;
        `streams`: by name, how many `rows` there have been, and the `capacity` of the ring;

        `feeds`: up to 64, also closed ones until others need their place, each with `url` (without
        credentials); `state`: connecting, connected, disconnected (and trying again) or closed, and `since_ns`;
        `connections`; `gaps` that were told as events; `bytes`, `packets`, `rows`, `rejected`; `lost_rows`, which
        loops and callbacks of the writer's process came too late for; `last_recv_ns`: when the last row
        arrived; `beat_ns`: when the feed's event loop last had time; `gateway_to_receive`: from the gateway's
        time to the arrival of the bytes, of rows that came live and have such a time; `receive_to_publish`:
        from there until readers could see them;

        `readers`: those of other processes, or of this one if it has attached the hub, up to 64 of each attachment,
        each with `pid`, `program`, `id` (which one of the hub's), `stream`, `position`; `lag`: rows that it has not
        read yet; `lost`; `read_ns`: when it last read rows, to some milliseconds; `publish_to_read`: from the last
        publication to the read that found it, for readers made with ``measure=True``, otherwise None.

        Latencies are dicts of `count`, `negative` (when clocks disagree; not counted in `count`), `p50_ns`,
        `p90_ns`, `p99_ns`, `p999_ns`, which are at most a thirty-second (3.2 %) off, and `max_ns`, which is exact;
        None where nothing was counted. Of publications of more than eight rows eight are looked at, each for
        its neighbours as well. What takes 2**40 ns or more counts as `max_ns`. Times are ns since 1970 UTC, 0 when
        there was none.
        """
        return plain(self.measured())

    def measured(self) -> dict[str, Any]:
        """Return the same as `stats()` with latencies as objects, of which one can be taken from a later one."""
        return measured(
            name=self.name,
            generation=self._generation,
            pid=os.getpid(),
            program=program_name(),
            alive=self._folder is None or self._remove.alive,
            streams=self.streams,
            meters=self._meters,
            folder=None if self._folder is None else self._folder.path,
        )

    def tidy(self) -> None:
        """Remove what readers that died left behind, now and then. Feeds call it."""
        now = time.monotonic()
        if self._folder is not None and now - self._tidied_at >= _TIDY_S:
            self._tidied_at = now
            remove_dead_readers(self._folder.path)

    def end(self, error: Exception | None = None) -> None:
        """End the streams: loops over them finish once they have read what is there."""
        self._has_ended, self._error = True, error
        for stream in self._streams.values():
            stream.end(error)

    def close(self) -> None:
        """End the streams; of a hub with a name, take it away. Processes that read it can still read what is there."""
        if not self._has_ended:
            self.end()
        if self._folder is not None:
            self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<Hub{name}: {', '.join(self._streams) or 'no streams yet'}>"

    def _repr_html_(self) -> str:
        return hub_html(self)
