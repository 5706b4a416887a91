"""Streams: a ring of rows with its callbacks, readers and waiting tasks.

Everything here runs in the thread of one event loop. Machines write into the ring and call `deliver()`
after each publication; what user code does there can be slow or wrong, but not harmful. Where a receiver's thread
writes into the ring, it tells the loop, when somebody has asked for it, and the loop calls `deliver()`.
"""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from fastfeed import schema
from fastfeed._core.latest import LatestTable
from fastfeed._core.ring import Ring, RingReader
from fastfeed._core.symbols import SymbolTable
from fastfeed.callbacks import Callbacks
from fastfeed.html import stream_html
from fastfeed.schema import Session

__all__ = [
    "LATEST_KEPT",
    "Chosen",
    "Reader",
    "RowStream",
    "Rows",
    "Source",
    "Stream",
    "places_of",
]

#: The streams that keep each symbol's last row.
LATEST_KEPT = ("quotes", "books", "odd_books", "brokers")
_SEARCHED = 4096  # rows of a ring looked at together

#: A structured array of rows.
Rows = NDArray[np.void]


class Reader(RingReader):
    """A position of one's own in a stream, made by `Stream.reader()`.

    Views returned by `read()` show the ring itself. They hold until your code awaits; after that only until the
    writer comes round the ring, which `intact()` tells. Copy what must stay before you await.

    Attributes
    ----------
    position : int
        Number of the next row, counted from the stream's beginning.
    lost : int
        Rows that were overwritten before this reader came to them.
    """

    def __init__(self, ring: Ring, rows: Rows, position: int, stream: Stream) -> None:
        self._stream = stream

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until there are rows to read.

        Parameters
        ----------
        timeout : float, optional
            Seconds; without it, for ever.

        Returns
        -------
        bool
            False when the time is over or the stream has ended.
        """
        while not self.ready:
            if self._stream.ended or (timeout is not None and timeout <= 0):
                return False
            started = time.monotonic()
            await self._stream._wait(timeout, self)
            if timeout is not None:
                timeout -= time.monotonic() - started
        return True

    def __aiter__(self) -> AsyncIterator[Rows]:
        return self

    async def __anext__(self) -> Rows:
        if not await self.wait():
            error = self._stream.error
            if error is not None:
                raise error
            raise StopAsyncIteration
        return self.read()


class _Loop(Reader):
    """The reader behind `async for` over a stream: tells the stream how far it came."""

    async def __anext__(self) -> Rows:
        before = self.lost
        rows = await super().__anext__()
        self._stream._iterated_to(self.position, self.lost - before)
        return rows


def places_of(name: str, symbols: int) -> int:
    """Return how many places the table of a stream's last rows has, for so many symbols."""
    return symbols * len(Session) if name == "quotes" else symbols


class Source(NamedTuple):
    """What the rows of a stream lie in; a stream of another process may go on in another one."""

    ring: Ring
    rows: Rows  # the ring as an array
    table: LatestTable | None
    symbols: SymbolTable

    def reader(self, position: int) -> RingReader:
        """Return a plain reader."""
        return RingReader(self.ring, self.rows, position)

    def oldest(self) -> int:
        """Return the number of the oldest row there is."""
        return min(self.ring.oldest, self.ring.published)

    def torn(self, first: int, count: int) -> int:
        """Return how many of so many rows, from one on, the writer may have changed by now: they are the oldest."""
        if self.reader(first).intact():
            return 0
        return min(max(self.ring.oldest - first, 1), count)

    def start(self, start: Literal["now", "oldest"]) -> int:
        """Return where a reader begins."""
        if start not in ("now", "oldest"):
            raise ValueError(f"expected start 'now' or 'oldest', got {start!r}")
        return self.ring.published if start == "now" else self.oldest()


class Chosen:
    """Says which rows belong to some symbols, also to those that are not in the table yet.

    Parameters
    ----------
    symbols : SymbolTable
    wanted : sequence of str
    """

    def __init__(self, symbols: SymbolTable, wanted: Sequence[str]) -> None:
        self._symbols = symbols
        self._missing = list(wanted)
        self._is_wanted = np.zeros(0, bool)

    def __call__(self, rows: Rows) -> Rows:
        """Return a copy of those rows that are wanted; of torn rows, which may have any symbol, whichever."""
        self._learn()
        ids: NDArray[np.uint32] = rows["symbol"]
        known = ids < len(self._is_wanted)
        return rows[known & self._is_wanted[np.where(known, ids, 0)]] if known.any() else rows[:0]

    def _learn(self) -> None:
        count, known = len(self._symbols), len(self._is_wanted)
        if count > known:
            found = [symbol for symbol in self._missing if symbol in self._symbols]
            self._missing = [symbol for symbol in self._missing if symbol not in found]
            self._is_wanted = np.concatenate([self._is_wanted, np.zeros(count - known, bool)])
            self._is_wanted[[self._symbols[symbol] for symbol in found]] = True


class RowStream:
    """What a stream of this process and one of another process's have in common: rows in a ring.

    Attributes
    ----------
    name : str
        The kind.
    dtype : numpy.dtype
        Of a row; see `fastfeed.schema.dtype`.
    """

    def __init__(self, name: str, dtype: np.dtype[np.void], source: Source) -> None:
        self.name = name
        self.number = schema.STREAMS.index(name)
        self.dtype = dtype
        self._source = source

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name}: {self.count} rows>"

    def _repr_html_(self) -> str:
        return stream_html(self, self._source.symbols)

    @property
    def source(self) -> Source:
        """What the rows lie in now; of a stream of another process's it changes with the writer."""
        return self._source

    @property
    def ring(self) -> Ring:
        """Where the rows lie. Machines write there."""
        return self._source.ring

    @property
    def table(self) -> LatestTable | None:
        """Each symbol's last row, of a stream that keeps them. Machines write there."""
        return self._source.table

    @property
    def count(self) -> int:
        """How many rows there have been since the beginning."""
        return self._source.ring.published

    @property
    def capacity(self) -> int:
        """How many rows the ring keeps."""
        return self._source.ring.capacity

    @overload
    def latest(self, which: int = 1) -> Rows: ...
    @overload
    def latest(self, which: str, session: Session = Session.REGULAR) -> np.void | None: ...

    def latest(
        self, which: int | str = 1, session: Session = Session.REGULAR
    ) -> Rows | np.void | None:
        """Return the last rows of the stream, or the last row of a symbol.

        Parameters
        ----------
        which : int or str
            A number: the last so many rows (or as many as there are), oldest first, as a read-only view of the
            ring that holds until your code awaits; copy what must stay. A symbol as it stands in
            ``feed.symbols``, such as ``"700.HK"``: its last row, as a copy that is yours, or None before there was one.
        session : Session
            Of quotes: which session's row.

        Notes
        -----
        The last rows of quotes, books and broker queues are kept in a table. Those of other streams are searched
        for in the ring, which takes longer and may have lost them.
        """
        source = self._source
        if isinstance(which, str):
            session = Session(session)  # ValueError
            if which not in source.symbols:
                return None
            return self._latest_of(source, source.symbols[which], session)
        n = operator.index(which)
        if n < 0:
            raise ValueError(f"expected n of 0 or more rows, got {n}")
        return self._last(source, n)

    def _last(self, source: Source, n: int) -> Rows:
        return source.reader(max(source.ring.published - n, source.oldest())).read(n)

    def _latest_of(self, source: Source, symbol: int, session: Session) -> np.void | None:
        if source.table is not None:
            place = symbol * len(Session) + session if self.name == "quotes" else symbol
            row = source.table.row(place)
            return None if row is None else np.frombuffer(row, source.rows.dtype)[0]
        end = source.ring.published
        oldest = source.oldest()
        while end > oldest:
            start = max(oldest, end - _SEARCHED)
            reader = source.reader(start)
            rows = reader.read(end - start)
            found = np.flatnonzero(rows["symbol"] == symbol)
            if len(found):
                found_row: np.void = rows[found[-1] :][:1].copy()[0]
                number = reader.position - len(rows) + int(found[-1])
                return found_row if source.reader(number).intact() else None
            end = start
        return None


class Stream(RowStream):
    """The rows of one kind, as they arrive.

    ``async for rows in stream`` gives one read-only, zero-copy array for each wake-up, with all rows that are
    new. The first loop over a stream begins with the oldest row, a later one where the furthest loop has come:
    breaking off and starting again passes nothing over. The view holds until your code awaits; after that
    only until the writer comes round the ring. Copy what must stay before you await.

    Attributes
    ----------
    name : str
        The kind.
    dtype : numpy.dtype
        Of a row; see `fastfeed.schema.dtype`.
    ended : bool
        No more rows will come.
    error : Exception or None
        Why the stream ended, None after an ordinary end.
    """

    def __init__(
        self,
        name: str,
        ring: Ring,
        symbols: SymbolTable,
        depth: int = schema.BOOK_DEPTH,
        table: LatestTable | None = None,
    ) -> None:
        dtype = schema.dtype(name, depth)
        if table is None and name in LATEST_KEPT:
            table = LatestTable(dtype.itemsize, places_of(name, symbols.capacity))
        rows: Rows = np.frombuffer(ring, dtype)  # type: ignore[call-overload]
        super().__init__(name, dtype, Source(ring, rows, table, symbols))
        self.ended = False
        self.error: Exception | None = None
        self._callbacks: Callbacks[Rows] = Callbacks(name)
        self._tap = self.reader()  # the position of the callbacks
        self._waiters: set[asyncio.Future[None]] = set()
        self._ask: Callable[[int], None] | None = None
        self._iterated: int | None = None  # how far the furthest loop has come
        self._lost_by_loops = 0

    @property
    def callback_errors(self) -> int:
        """Exceptions that callbacks have raised."""
        return self._callbacks.errors

    @property
    def lost(self) -> int:
        """Rows that were overwritten before a loop or the callbacks came to them.

        Readers made by `reader()` count for themselves.
        """
        return self._lost_by_loops + self._tap.lost

    def reader(self, start: Literal["now", "oldest"] = "now") -> Reader:
        """Return a reader that begins with the next row to come, or with the oldest row there is."""
        ring, rows, _, _ = source = self._source
        return Reader(ring, rows, source.start(start), self)

    def on_batch(self, callback: Callable[[Rows], object]) -> Callable[[], None]:
        """Call a function with the new rows after each read from the network.

        It gets one read-only, zero-copy array with all rows of the read, which holds during the call: copy what
        must stay. It runs on the event loop and holds up everything while it runs. An exception is logged
        (at most once a second) and counted in `callback_errors`; the stream goes on.

        Returns
        -------
        callable
            Without arguments; ends it.
        """
        if not self._callbacks:
            self._tap.skip()
        end = self._callbacks.add(callback)
        if self._ask is not None:
            self._ask(self.number)
        return end

    def ask_with(self, ask: Callable[[int], None]) -> None:
        """From now on rows are written by another thread: `ask` has to be called for `deliver()` to be called."""
        self._ask = ask
        ask(self.number)

    def deliver(self) -> bool:
        """Show what was published to callbacks and waiting tasks; return whether there were any. Machines call it."""
        is_wanted = bool(self._callbacks or self._waiters)
        if self._callbacks:
            rows = self._tap.read()
            if len(rows):
                self._callbacks(rows)
        if self._waiters:
            self._wake()
        return is_wanted

    def end(self, error: Exception | None = None) -> None:
        """Tell readers that no more rows will come. Rows already there can still be read."""
        self.ended = True
        self.error = error
        self._wake()

    def __aiter__(self) -> AsyncIterator[Rows]:
        start = self._iterated
        if start is None:
            start = self._source.oldest()
        return _Loop(self._source.ring, self._source.rows, start, self)

    def _iterated_to(self, position: int, lost: int) -> None:
        self._iterated = max(self._iterated or 0, position)
        self._lost_by_loops += lost

    async def _wait(self, timeout: float | None, reader: Reader) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, _finish, waiter)
        self._waiters.add(waiter)
        if self._ask is not None:
            self._ask(self.number)
            if reader.ready:  # written since the reader looked
                _finish(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        for waiter in self._waiters:
            _finish(waiter)
        self._waiters.clear()


def _finish(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)
