"""Reading the hub of another process: `attach()`, and what it gives.

Everything here is synchronous and needs no event loop; loops with ``async for`` are served by a thread that sleeps
until there are rows. Nothing is written to the hub but the bells, by which a reader says that it sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Literal, Self, get_args

from fastfeed import schema
from fastfeed._core.latest import LatestTable
from fastfeed._core.opend import broker_name
from fastfeed._core.ring import Bells, BlockingReader, Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.callbacks import Callbacks
from fastfeed.errors import HubError
from fastfeed.feeds.events import Event
from fastfeed.hub import MOST_BROKERS, Streams
from fastfeed.shared import OpenFolder, checked_name, user_folder
from fastfeed.stream import LATEST_KEPT, Rows, RowStream, places_of

__all__ = ["AttachedHub", "AttachedReader", "AttachedStream", "Wait", "attach"]

#: How a reader waits: looking again and again, that for a while and then sleeping, or sleeping at once.
Wait = Literal["spin", "hybrid", "block"]

_HYBRID_SPIN_NS = 50_000
_SPIN_NS = {"spin": (1 << 63) - 1, "hybrid": _HYBRID_SPIN_NS, "block": 0}
_SLICE_S = (
    0.1  # after that long a wait looks at the clock, for signals, and whether the writer lives
)
_SLICE_NS = int(_SLICE_S * 1e9)
_LOOK_S = 0.2  # the writer's life is looked at no more often
_PARKED_S = 5.0  # a thread without work ends after that


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
        self.rings: dict[str, Ring] = {}
        self.tables: dict[str, LatestTable] = {}
        try:
            with folder.file("symbols") as fd:
                self.symbols = SymbolTable(about.max_symbols, fd=fd, follows=True)
            with folder.file("broker_names") as fd:
                self.broker_names = SymbolTable(MOST_BROKERS, fd=fd, follows=True)
            bells = self._bells(folder)
            for number, name in enumerate(schema.STREAMS):
                size = schema.dtype(name, about.book_depth).itemsize
                if about.row_sizes.get(name) != size:
                    raise HubError(
                        f"the rows of {name} in the hub {folder.path.name!r} have "
                        f"{about.row_sizes.get(name)} bytes, expected {size}: it is of another version"
                    )
                with folder.file(name) as fd:
                    self.rings[name] = Ring(
                        size,
                        about.capacities[name],
                        fd=fd,
                        writes=False,
                        bells=bells,
                        bell=number,
                    )
                if name in LATEST_KEPT:
                    places = places_of(name, about.max_symbols)
                    with folder.file(f"{name}.latest") as fd:
                        self.tables[name] = LatestTable(size, places, fd=fd, writes=False)
        except (OSError, KeyError, ValueError) as error:
            raise HubError(f"the hub {folder.path.name!r} cannot be attached: {error!r}") from error

    @staticmethod
    def _bells(folder: OpenFolder) -> Bells | None:
        try:
            with folder.file("bells") as fd:
                return Bells(fd)
        except PermissionError:  # readers look again and again, then
            return None


class AttachedReader(BlockingReader):
    """A position of one's own in a stream of another process, made by `AttachedStream.reader()`.

    Views returned by `read()` show the ring itself, which the writer goes on writing: when it comes round, it
    overwrites them, even while they are looked at. Work on them at once or copy them, and then ask `intact()`:
    False means that what was done with them was done with rows that may have changed.

    Attributes
    ----------
    position : int
        Number of the next row, counted from the stream's beginning.
    lost : int
        Rows that were overwritten before this reader came to them, or left unread when a new writer began.
    """

    def __init__(
        self, ring: Ring, rows: Rows, position: int, stream: AttachedStream, wait: Wait
    ) -> None:
        self._stream = stream
        self.spin_ns = _SPIN_NS[wait]
        self.slice_ns = _SLICE_NS
        stream.add(self)

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
            if not self._stream.hub.look():
                return bool(self.ready)
            if until is not None and time.monotonic() >= until:
                return bool(self.ready)

    async def wait_async(self, timeout: float | None = None) -> bool:
        """Do the same as `wait()` without holding up the event loop."""
        if self.ready:
            return True
        try:
            async with asyncio.timeout(timeout):
                while not self.ready:
                    if not await self._stream.arrival(self):
                        return bool(self.ready)
        except TimeoutError:
            return bool(self.ready)
        return True

    def on_idle(self) -> bool:
        """See whether the writer lives, and go on with the next one."""
        return self._stream.hub.look()

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


class AttachedStream(RowStream):
    """The rows of one kind, written by another process.

    ``for rows in stream`` waits for rows and gives one read-only, zero-copy array with all that are new, and so
    does ``async for``. The first loop begins with the oldest row there is, a later one where the last loop has
    come: breaking off and starting again passes nothing over. For how long the views hold, see `AttachedReader`.

    Attributes
    ----------
    name : str
        The kind.
    dtype : numpy.dtype
        Of a row; see `fastfeed.schema.dtype`.
    """

    def __init__(self, hub: AttachedHub, name: str, generation: _Generation) -> None:
        super().__init__(name, generation.description.book_depth)
        self.hub = hub
        self.iterated: _Loop | None = None
        self._readers: weakref.WeakSet[AttachedReader] = weakref.WeakSet()
        self._thread: _Waiting | None = None
        self.use(generation)

    def use(self, generation: _Generation) -> None:
        """Go on in another generation, with all readers."""
        name = self.name
        self.dtype = schema.dtype(name, generation.description.book_depth)
        self._use(generation.rings[name], generation.tables.get(name), generation.symbols)
        for reader in list(self._readers):
            reader.move(self.ring, self._rows)

    def add(self, reader: AttachedReader) -> None:
        """Take a reader along to the next generation."""
        self._readers.add(reader)

    def reader(
        self, start: Literal["now", "oldest"] = "now", *, wait: Wait | None = None
    ) -> AttachedReader:
        """Return a reader that begins with the next row to come, or with the oldest row there is.

        Parameters
        ----------
        start : {"now", "oldest"}
        wait : {"hybrid", "spin", "block"}, optional
            How it waits, see `attach`; by default as was said there.
        """
        position = self._start(start)
        return AttachedReader(self.ring, self._rows, position, self, self.hub.checked_wait(wait))

    def _loop(self) -> _Loop:
        before = self.iterated
        position = self._oldest() if before is None else min(before.position, self.count)
        return _Loop(self.ring, self._rows, position, self, self.hub.checked_wait(None))

    def __iter__(self) -> Iterator[Rows]:
        return self._loop()

    def __aiter__(self) -> AsyncIterator[Rows]:
        return self._loop()

    async def arrival(self, reader: AttachedReader) -> bool:
        """Wait until a reader may have rows; False when there will be none."""
        if self._thread is None or not self._thread.is_taking():
            self._thread = _Waiting(self)
        return await self._thread.wait_for(reader)


class _Waiting:
    """A thread that waits on behalf of the tasks of event loops, one for each stream; it ends when idle."""

    def __init__(self, stream: AttachedStream) -> None:
        self._stream = stream
        self._waiters: dict[asyncio.Future[bool], AttachedReader] = {}
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(
            target=self._run, name=f"fastfeed {stream.name}", daemon=True
        )
        self._thread.start()

    def is_taking(self) -> bool:
        """Return whether it still takes waiters: it has not ended, nor was it left behind by a fork."""
        return not self._ended and self._thread.is_alive()

    async def wait_for(self, reader: AttachedReader) -> bool:
        """Wait for rows of a reader."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._ended:  # a moment ago; the caller asks again
                return True
            self._waiters[waiter] = reader
            self._changed.notify()
        try:
            return await waiter
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
            goes_on = self._stream.hub.look()
            with self._changed:
                for waiter, reader in list(self._waiters.items()):
                    if reader.ready or not goes_on:
                        del self._waiters[waiter]
                        with contextlib.suppress(RuntimeError):  # its loop is closed
                            waiter.get_loop().call_soon_threadsafe(_finish, waiter, goes_on)


def _finish(waiter: asyncio.Future[bool], goes_on: bool) -> None:
    if not waiter.done():
        waiter.set_result(goes_on)


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
        self._looking = threading.Lock()
        self._looked_at = 0.0
        until = time.monotonic() + wait_s
        while True:
            try:
                self._generation = self._open()
                break
            except HubError:
                if time.monotonic() >= until:
                    raise
            time.sleep(0.02)
        self._streams = {
            stream: AttachedStream(self, stream, self._generation) for stream in schema.STREAMS
        }

    def _open(self) -> _Generation:
        """Open the hub that is there and alive."""
        uid = int(self._path.parent.name.rpartition("-")[2])
        while True:
            folder = OpenFolder(self._path, uid)
            try:
                if not folder.is_alive():
                    raise HubError(
                        f"the hub {self.name!r} is dead: its writer, process {folder.description.pid}, is gone"
                    )
                return _Generation(folder)
            except HubError:
                is_current = folder.is_current()
                folder.close()
                if is_current or not self._path.exists():
                    raise
                # Another writer began anew meanwhile.

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

    # the writer

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

    def look(self) -> bool:
        """See whether the writer lives, and go on with the next one if there is one; waiting readers do it themselves.

        Returns
        -------
        bool
            Whether there can be more rows: False after `close()` and, without `follow`, when the writer is gone.
        """
        if self._closed:
            return False
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_S and self._looking.acquire(blocking=False):
            try:
                self._looked_at = now
                self._look()
            finally:
                self._looking.release()
        return self._alive or self._follow

    def _look(self) -> None:
        old = self._generation
        if self._alive and not old.folder.is_alive():
            self._alive = False
            ended = not old.folder.is_current()
            self._emit("disconnected", "the writer has ended" if ended else "the writer is dead")
        if self._alive or not self._follow:
            return
        try:
            new = self._open()
        except HubError:
            return
        if self._closed:
            new.folder.close()
            return
        self._generation = new
        for stream in self._streams.values():
            stream.use(new)
        old.folder.close()
        self._alive = True
        self._emit("connected", f"process {new.description.pid} writes it now")

    def _emit(self, kind: str, text: str) -> None:
        self._events(
            Event(
                kind,
                f"hub {self.name}",
                time.time_ns(),
                text,
                details={"generation": self.generation, "pid": self.writer_pid},
            )
        )

    # life

    def close(self) -> None:
        """Let loops and waits end. Views that were read stay readable."""
        if not self._closed:
            self._closed = True
            with self._looking:
                self._generation.folder.close()

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
