"""Reading the hub of another process: `attach()`, and what it gives.

Everything here is synchronous and needs no event loop; loops with ``async for`` are served by a thread that sleeps
until there are rows. Nothing is written to the hub but the bells, by which a reader says that it sleeps, and a file
of this process's own, in which its readers say how far they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Literal, Self, get_args

import numpy as np

from fastfeed import schema
from fastfeed._core.latest import LatestTable
from fastfeed._core.meter import Meters, ReaderSlot
from fastfeed._core.opend import broker_name
from fastfeed._core.ring import Bells, BlockingReader, Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.callbacks import Callbacks
from fastfeed.errors import HubError
from fastfeed.feeds.events import Event
from fastfeed.hub import MOST_BROKERS, Streams
from fastfeed.readers import OwnReaders
from fastfeed.shared import OpenFolder, checked_name, user_folder
from fastfeed.stats import measured, plain
from fastfeed.stream import LATEST_KEPT, Rows, RowStream, Source, places_of

__all__ = ["AttachedHub", "AttachedReader", "AttachedStream", "Wait", "attach"]

#: How a reader waits: looking again and again, that for a while and then sleeping, or sleeping at once.
Wait = Literal["spin", "hybrid", "block"]

_HYBRID_SPIN_NS = 50_000
_SPIN_NS = {"spin": (1 << 63) - 1, "hybrid": _HYBRID_SPIN_NS, "block": 0}
_SLICE_S = 0.1  # after that long a wait looks for signals, and whether the writer lives
_SLICE_NS = int(_SLICE_S * 1e9)
_LOOK_S = 0.2  # the writer's life is looked at no more often
_PARKED_S = 5.0  # a thread without work ends after that
_RETRY_S = 0.02  # between two attempts to attach
_ATTEMPTS = 100


def attach(
    name: str,
    *,
    user: str | int | None = None,
    wait: Wait = "hybrid",
    wait_s: float = 0.0,
    follow: bool = True,
) -> AttachedHub:
    """Return the hub of another process of this machine, to be read while that process writes it.

    Parameters
    ----------
    name : str
        What `Hub` or ``fastfeed serve`` was given.
    user : str or int, optional
        Whose hub, by name or number; by default one's own. Another user's has to allow it by its `mode`.
    wait : {"hybrid", "spin", "block"}
        How readers wait unless they say otherwise. ``"spin"`` looks again and again and sees rows within a
        microsecond, at the price of a processor; ``"block"`` sleeps and is woken, which takes some tens of
        microseconds; ``"hybrid"`` spins for 50 microseconds and then sleeps.
    wait_s : float
        How long to try when there is no such hub yet. Default: not at all.
    follow : bool
        Go on with the next hub of this name when the writer ends or dies; otherwise loops end then.

    Raises
    ------
    HubError
        There is no such hub, its writer is dead, it may not be read, or it is of another layout.

    Examples
    --------
    >>> with ff.attach("md") as hub:
    ...     for ticks in hub.ticks:
    ...         print(hub.symbols[ticks["symbol"][-1]], ticks["price"][-1])
    """
    return AttachedHub(name, user=user, wait=wait, wait_s=wait_s, follow=follow)


class _Generation:
    """What one writer's hub consists of, mapped for reading."""

    def __init__(self, folder: OpenFolder) -> None:
        self.folder = folder
        self.description = about = folder.description
        self.sources: dict[str, Source] = {}
        try:
            with folder.file("symbols") as fd:
                self.symbols = SymbolTable(about.max_symbols, fd=fd, follows=True)
            with folder.file("broker_names") as fd:
                self.broker_names = SymbolTable(MOST_BROKERS, fd=fd, follows=True)
            with folder.file("feeds") as fd:
                self.meters = Meters(fd=fd, writes=False)
            bells = self._bells(folder)
            for number, name in enumerate(schema.STREAMS):
                dtype = schema.dtype(name, about.book_depth)
                size = dtype.itemsize
                if about.row_sizes.get(name) != size:
                    raise HubError(
                        f"the rows of {name} in the hub {folder.path.name!r} have "
                        f"{about.row_sizes.get(name)} bytes, expected {size}: it is of another version"
                    )
                with folder.file(name) as fd:
                    ring = Ring(
                        size,
                        about.capacities[name],
                        fd=fd,
                        writes=False,
                        bells=bells,
                        bell=number,
                    )
                table = None
                if name in LATEST_KEPT:
                    places = places_of(name, about.max_symbols)
                    with folder.file(f"{name}.latest") as fd:
                        table = LatestTable(size, places, fd=fd, writes=False)
                rows: Rows = np.frombuffer(ring, dtype)  # type: ignore[call-overload]
                self.sources[name] = Source(ring, rows, table, self.symbols)
        except (OSError, KeyError, ValueError, OverflowError, MemoryError) as error:
            raise HubError(f"the hub {folder.path.name!r} cannot be attached: {error!r}") from error

    @staticmethod
    def _bells(folder: OpenFolder) -> Bells | None:
        try:
            with folder.file("bells") as fd:
                return Bells(fd, makes=False)
        except PermissionError:  # another user's
            return None

    def leave(self) -> None:
        """Let readers ask what to do."""
        for source in self.sources.values():
            source.ring.replaced = True


class AttachedReader(BlockingReader):
    """A position of one's own in a stream of another process, made by `AttachedStream.reader()`.

    Views returned by `read()` show the ring itself, which the writer goes on writing: when it comes round, it
    overwrites them, even while they are looked at. Work on them at once or copy them, and then ask `intact()`:
    False means that what was done with them was done with rows that may have changed. Views are read-only and can
    be looked at for as long as they are kept: also when the writer, the reader and the hub are gone.

    ``for rows in reader`` and ``async for`` wait for rows as loops over the stream do.

    A reader is used by one thread at a time. A forked child has its own copy of it, which goes on by itself.

    Attributes
    ----------
    position : int
        Number of the next row, counted from the stream's beginning.
    lost : int
        Rows that were overwritten before this reader came to them, or left unread when a new writer began.
    """

    def __init__(
        self,
        ring: Ring,
        rows: Rows,
        position: int,
        stream: AttachedStream,
        source: Source,
        wait: Wait,
        measures: bool = False,
    ) -> None:
        self._stream = stream
        self._source = source
        self.spin_ns = _SPIN_NS[wait]
        self.slice_ns = _SLICE_NS
        self.measures = measures
        self.tell(stream.hub.new_slot(stream.number, measures=measures))

    @property
    def symbols(self) -> SymbolTable:
        """The symbols that its rows refer to; another table once it waits or reads after a new writer began."""
        return self._source.symbols

    @property
    def source(self) -> Source:
        """What its rows lie in."""
        return self._source

    def on_idle(self) -> bool:
        """See whether the writer lives, and go on with the next one; return whether there can be more rows."""
        goes_on = self._stream.hub.look()
        source = self._stream.source
        if source is not self._source:
            self.move(source.ring, source.rows)
            self._source = source
            self.tell(self._stream.hub.new_slot(self._stream.number, measures=self.measures))
        return goes_on

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there are rows to read; other threads can run meanwhile.

        Parameters
        ----------
        timeout : float, optional
            Seconds; without it, for ever.

        Returns
        -------
        bool
            False when the time is over, the hub was closed or, without `follow`, its writer is gone.
        """
        until = None if timeout is None else time.monotonic() + timeout
        left = _SLICE_S
        while True:
            if until is not None:
                left = min(_SLICE_S, max(until - time.monotonic(), 0.0))
            if self.wait_ns(self.spin_ns, int(left * 1e9)):
                return True
            if not self.on_idle():
                return self._ends_with_rows()
            if until is not None and time.monotonic() >= until:
                return bool(self.ready)

    async def wait_async(self, timeout: float | None = None) -> bool:
        """Do the same as `wait()` without holding up the event loop."""
        if self.wait_ns(0, 0):
            return True
        try:
            async with asyncio.timeout(timeout):
                while True:
                    if not self.on_idle():
                        return self._ends_with_rows()
                    if self.ready:
                        return True
                    await self._stream.arrival(self)
        except TimeoutError:
            return bool(self.ready)

    def _ends_with_rows(self) -> bool:
        return not self._stream.hub.closed and bool(self.ready)

    def __aiter__(self) -> AsyncIterator[Rows]:
        return self

    async def __anext__(self) -> Rows:
        while await self.wait_async():
            rows = self.read()
            if len(rows):
                return rows
        raise StopAsyncIteration


class _Loop(AttachedReader):
    """The reader behind loops over a stream: tells the stream how far it came."""

    def read(self, limit: int | None = None) -> Rows:
        rows = super().read(limit)
        self._stream.iterated = self
        return rows

    def __next__(self) -> Rows:
        rows = super().__next__()
        self._stream.iterated = self
        return rows


class AttachedStream(RowStream):
    """The rows of one kind, written by another process.

    ``for rows in stream`` waits for rows and gives one read-only, zero-copy array with all that are new, and so
    does ``async for``. The first loop begins with the oldest row there is, a later one where the last loop has
    come: breaking off and starting again passes nothing over. For how long the views hold, see `AttachedReader`.
    ``stream.latest(n)`` gives a copy of whole rows, fewer than n where the writer overwrote some meanwhile.

    There are no callbacks here: no loop of this process's reads the hub. What `Stream.on_batch` does is
    done by ``for rows in stream`` in a thread of its own.

    Attributes
    ----------
    name : str
        The kind.
    dtype : numpy.dtype
        Of a row; see `fastfeed.schema.dtype`. Of books another one where a new writer keeps another depth.
    """

    def __init__(self, hub: AttachedHub, name: str, source: Source) -> None:
        super().__init__(name, source.rows.dtype, source)
        self.hub = hub
        self.iterated: _Loop | None = None
        self._thread: _Waiting | None = None

    def use(self, source: Source) -> None:
        """Go on there; readers follow when they wait or read."""
        self.dtype = source.rows.dtype
        self._source = source

    def reader(
        self,
        start: Literal["now", "oldest"] = "now",
        *,
        wait: Wait | None = None,
        measure: bool = False,
    ) -> AttachedReader:
        """Return a reader that begins with the next row to come, or with the oldest row there is.

        Parameters
        ----------
        start : {"now", "oldest"}
        wait : {"hybrid", "spin", "block"}, optional
            How it waits, see `attach`; by default as was said there.
        measure : bool
            Keep the latency from publication to `read()`, for `AttachedHub.stats`. A read that finds rows then
            takes some 30 ns more.
        """
        ring, rows, _, _ = source = self._source
        way = self.hub.checked_wait(wait)
        return AttachedReader(ring, rows, source.start(start), self, source, way, measure)

    def _loop(self) -> _Loop:
        before, source = self.iterated, self._source
        position = source.oldest()
        if before is not None:
            source, position = before.source, before.position
        way = self.hub.checked_wait(None)
        return _Loop(source.ring, source.rows, position, self, source, way)

    def _last(self, source: Source, n: int) -> Rows:
        # A copy: the writer goes on while a view is looked at. What he overwrote meanwhile is left out.
        reader = source.reader(max(source.ring.published - n, source.oldest()))
        rows = reader.read(n).copy()
        end = reader.position
        first = oldest = end - len(rows)
        while oldest < end and not source.reader(oldest).intact():
            oldest = min(max(source.ring.oldest, oldest + 1), end)
        return rows[oldest - first :]

    def __iter__(self) -> Iterator[Rows]:
        return self._loop()

    def __aiter__(self) -> AsyncIterator[Rows]:
        return self._loop()

    async def arrival(self, reader: AttachedReader) -> None:
        """Wait until a reader may have something to do."""
        if self._thread is None or not self._thread.is_taking():
            self._thread = _Waiting(self)
        await self._thread.wait_for(reader)


class _Waiting:
    """A thread that waits on behalf of the tasks of event loops, one for each stream; it ends when idle.

    It wakes tasks, and does nothing for them: what rows and symbols are seen changes in the task's own thread only.
    """

    def __init__(self, stream: AttachedStream) -> None:
        self._stream = stream
        self._waiters: dict[asyncio.Future[None], AttachedReader] = {}
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(
            target=self._run, name=f"fastfeed {stream.name}", daemon=True
        )
        self._thread.start()

    def is_taking(self) -> bool:
        """Return whether it still takes waiters: it has not ended, nor was it left behind by a fork."""
        return not self._ended and self._thread.is_alive()

    async def wait_for(self, reader: AttachedReader) -> None:
        """Wait for rows of a reader, or until it has to look itself."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._ended:  # a moment ago; the caller asks again
                return
            self._waiters[waiter] = reader
            self._changed.notify()
        try:
            await waiter
        finally:
            with self._changed:
                self._waiters.pop(waiter, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiters and not self._changed.wait_for(
                    lambda: bool(self._waiters), _PARKED_S
                ):
                    self._ended = True
                    return
                readers = list(self._waiters.values())
            first = max(readers, key=lambda reader: reader.position)
            first.wait_ns(first.spin_ns, _SLICE_NS)
            is_news = self._stream.hub.is_to_look()
            with self._changed:
                for waiter, reader in list(self._waiters.items()):
                    if is_news or reader.source is not self._stream.source or reader.ready:
                        del self._waiters[waiter]
                        with contextlib.suppress(RuntimeError):  # its loop is closed
                            waiter.get_loop().call_soon_threadsafe(_finish, waiter)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class AttachedHub(Streams[AttachedStream]):
    """The streams and symbols of another process's `Hub`, for reading; made by `attach()`.

    The writer does not notice its readers, and nothing that they do can damage the hub: its memory is mapped for
    reading only. When the writer ends or dies, that is told as an event, within a second of waiting or of
    reading in vain. Readers then go on with the next hub of the same name as soon as there is one (unless `attach()`
    was told not to): its rows count from 0 again, its symbols may have other ids, and `symbols` is another table.
    Rows of the old one which a reader had not read by then are counted in its `lost`.

    Readers and streams of one hub may be used in several threads, each reader in one at a time.

    Attributes
    ----------
    name : str
    """

    def __init__(
        self,
        name: str,
        *,
        user: str | int | None = None,
        wait: Wait = "hybrid",
        wait_s: float = 0.0,
        follow: bool = True,
    ) -> None:
        self.name = name
        self._path = user_folder(user) / checked_name(name)
        self._wait: Wait = wait
        self.checked_wait(wait)
        self._follow = follow
        self._events: Callbacks[Event] = Callbacks("event")
        self._closed = False
        self._alive = True
        self._looking = threading.RLock()
        self._looked_at = 0.0
        until = time.monotonic() + wait_s
        while True:
            try:
                self._generation = self._open()
                break
            except HubError:
                if time.monotonic() >= until:
                    raise
            time.sleep(_RETRY_S)
        self._readers = OwnReaders(self._generation.folder.path)
        self._streams = {
            stream: AttachedStream(self, stream, source)
            for stream, source in self._generation.sources.items()
        }

    def _open(self) -> _Generation:
        """Open the hub that is there and alive."""
        uid = int(self._path.parent.name.rpartition("-")[2])
        for _ in range(_ATTEMPTS):
            folder = OpenFolder(self._path, uid)
            try:
                if not folder.is_alive():
                    raise HubError(
                        f"the hub {self.name!r} is dead: its writer, process {folder.description.pid}, is gone"
                    )
                generation = _Generation(folder)
                if folder.is_current():
                    return generation
            except HubError:
                if folder.is_current():
                    raise
            # Another writer began meanwhile: what was opened may be of both.
            folder.close()
        raise HubError(f"the hub {self.name!r} begins anew again and again")

    # rows and symbols

    def stream(self, name: str) -> AttachedStream:
        """Return a stream by its name."""
        schema.dtype(name)  # ValueError
        return self._streams[name]

    @property
    def streams(self) -> tuple[AttachedStream, ...]:
        """All streams, whether something was written to them or not."""
        return tuple(self._streams.values())

    @property
    def symbols(self) -> SymbolTable:
        """Ids and symbols, also those that came after attaching: ``hub.symbols[3]``, ``hub.symbols["700.HK"]``."""
        return self._generation.symbols

    @property
    def book_depth(self) -> int:
        """Levels of each side that the rows of books have."""
        return self._generation.description.book_depth

    def broker_name(self, broker: int) -> str | None:
        """Return the name of a broker by the id that rows of ``brokers`` have, None when it was never told."""
        return broker_name(self._generation.broker_names, int(broker))

    def new_slot(self, stream: int, *, measures: bool = False) -> ReaderSlot | None:
        """Return where a new reader of a stream says how far it is."""
        return self._readers.take(stream, measures=measures)

    # the writer

    def stats(self) -> dict[str, Any]:
        """Return what is known of the hub, its feeds and its readers, this process's own among them.

        The same as the writer's `Hub.stats`, of the generation that is read; `streams` are all.
        """
        return plain(self.measured())

    def measured(self) -> dict[str, Any]:
        """Return the same as `stats()` with latencies as objects, of which one can be taken from a later one."""
        self.look()
        generation = self._generation
        return measured(
            name=self.name,
            generation=generation.description.generation,
            pid=generation.description.pid,
            program=generation.description.program,
            alive=self.alive,
            streams=self.streams,
            meters=generation.meters,
            folder=generation.folder.path,
        )

    @property
    def generation(self) -> int:
        """The number of the hub that is read, another one after the writer began anew; ns since 1970 UTC."""
        return self._generation.description.generation

    @property
    def writer_pid(self) -> int:
        """The process that writes, or wrote."""
        return self._generation.description.pid

    @property
    def alive(self) -> bool:
        """Whether the writer lives, as it was seen last; see `look()`."""
        return self._alive and not self._closed

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call a function with every `Event`: ``disconnected`` when the writer is gone, ``connected`` at the next.

        It is called by the thread that waits or reads when that is noticed.

        Returns
        -------
        callable
            Without arguments; ends it.
        """
        return self._events.add(callback)

    @property
    def closed(self) -> bool:
        """Whether `close()` was called."""
        return self._closed

    def look(self) -> bool:
        """See whether the writer lives, and go on with the next one if there is one; waiting readers do it themselves.

        It looks at most five times a second, and otherwise says what it saw last.

        Returns
        -------
        bool
            Whether there can be more rows: False after `close()` and, without `follow`, when the writer is gone.
        """
        if not self._closed and time.monotonic() - self._looked_at >= _LOOK_S:
            with self._looking:
                events = list(self._look())
            for event in events:  # now that callbacks may do what they like
                self._events(event)
        return not self._closed and (self._alive or self._follow)

    def is_to_look(self) -> bool:
        """Return whether `look()` has something to do, without doing it."""
        if self._closed:
            return True
        if time.monotonic() - self._looked_at < _LOOK_S:
            return False
        with self._looking:
            if self._alive and self._generation.folder.is_alive():
                self._looked_at = time.monotonic()
                return False
        return True

    def _look(self) -> Iterator[Event]:
        now = time.monotonic()
        if self._closed or now - self._looked_at < _LOOK_S:  # another thread did
            return
        self._looked_at = now
        old = self._generation
        if self._alive and not old.folder.is_alive():
            self._alive = False
            ended = not old.folder.is_current()
            yield self._event(
                "disconnected", "the writer has ended" if ended else "the writer is dead"
            )
        if self._alive or not self._follow:
            return
        try:
            new = self._open()
        except HubError:
            return
        if self._closed:  # in a signal handler
            return
        self._generation = new
        before, self._readers = self._readers, OwnReaders(new.folder.path)
        before.close()
        for name, source in new.sources.items():
            self._streams[name].use(source)
        old.leave()
        old.folder.close()
        self._alive = True
        yield self._event("connected", f"process {new.description.pid} writes it now")

    def _event(self, kind: str, text: str) -> Event:
        about = {"generation": self.generation, "pid": self.writer_pid}
        return Event(kind, f"hub {self.name}", time.time_ns(), text, details=about)

    # life

    def close(self) -> None:
        """Let loops and waits end, also those of other threads. What was read stays readable, and so do readers."""
        if not self._closed:
            self._closed = True
            with self._looking:
                self._generation.leave()
                self._generation.folder.close()
                self._readers.close()

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
        state = "closed" if self._closed else "alive" if self._alive else "its writer is gone"
        return f"<AttachedHub {self.name!r} of process {self.writer_pid}: {state}>"

    def checked_wait(self, wait: Wait | None) -> Wait:
        """Return a way to wait, by default the hub's; ValueError."""
        if wait is None:
            return self._wait
        if wait not in get_args(Wait):
            raise ValueError(f"expected a wait ({', '.join(get_args(Wait))}), got {wait!r}")
        return wait
