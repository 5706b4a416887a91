"""Plays a tape or a generator to any number of listeners, each at its own pace.

A source is rows by position, and how many of them are due. Every listener has a cursor into it: rows
are encoded for the listener when its socket takes them, so a slow one lags alone and costs no
memory. A listener whose cursor leaves the source's history is dropped. Nothing here knows a vendor.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fastfeed.sim.generator import TickGenerator
from fastfeed.sim.tape import TICK

__all__ = ["Source", "GeneratorSource", "Listener", "Playback", "Player", "TapeSource"]

_logger = logging.getLogger(__name__)

Rows = npt.NDArray[Any]

_TICK_S = 0.001  # how often the clock is read
_BATCH = 4096  # rows offered to a listener at once
_BACKLOG = 1 << 19  # rows a source may run ahead of a listener that could take more
_WATCH_NS = 500_000_000  # how late a listener may be before it is mentioned
_QUIET_NS = 10_000_000_000  # and how often


class Source(Protocol):
    """Rows by position, counted from 0."""

    due: int
    """Rows before this position may be sent."""
    oldest: int
    """Rows from this position on are still there."""
    paced: bool
    """`due` follows a clock."""
    live: bool
    """Times are those of the clock."""
    store: Rows
    """Rows by position, modulo its length."""
    end: int | None
    """Where it ends, None: never."""

    def start(self) -> None:
        """Start the clock."""

    def advance(self, limit: int) -> int:
        """Move `due` to where the clock is, as far as possible; return where the clock is.

        A source with a bounded history does not pass `limit` by much.
        """

    def rows(self, position: int) -> Rows:
        """Return at least one row from `position` on, which is before `due`."""

    def first_price(self, symbol: int) -> float | None:
        """Return the price from which a symbol comes, None: it has none."""


class _Tape(Protocol):
    """Rows in the order of their times."""

    rows: Rows

    def __len__(self) -> int: ...


class TapeSource:
    """A tape, once or over and over, at a multiple of its own speed or as fast as it is read."""

    def __init__(self, tape: _Tape, *, speed: float | Literal["max"], loop: bool) -> None:
        if speed != "max" and not 0 < speed < float("inf"):
            raise ValueError(f"expected a speed above 0 or 'max', got {speed!r}")
        self.store = tape.rows
        self._times: npt.NDArray[np.int64] = np.ascontiguousarray(tape.rows["time_ns"])
        self._speed = speed
        self._started_ns = 0
        self._first_ns = int(self._times[0])
        last_ns = int(self._times[-1])
        #: Of its times, epoch seconds.
        self.span_s = (self._first_ns // 10**9, last_ns // 10**9)
        span = last_ns - self._first_ns
        # A repetition follows after the mean distance of two trades.
        self.period_ns = span + (span // len(tape) or 1_000_000_000)
        self.due = 0
        self.oldest = 0
        self.paced = speed != "max"
        self.live = False
        self.end = None if loop else len(tape)

    def start(self) -> None:
        self._started_ns = time.monotonic_ns()

    def advance(self, limit: int) -> int:
        if self._speed == "max":
            self.due = sys.maxsize if self.end is None else self.end
            return self.due
        elapsed = int((time.monotonic_ns() - self._started_ns) * self._speed)
        again, rest = divmod(elapsed, self.period_ns)
        position = int(self._times.searchsorted(self._first_ns + rest, "right"))
        self.due = again * len(self.store) + position
        if self.end is not None and self.due > self.end:
            self.due = self.end
        return self.due

    def rows(self, position: int) -> Rows:
        start = position % len(self.store)
        return self.store[start : start + min(_BATCH, self.due - position)]

    def first_price(self, symbol: int) -> float | None:
        symbols = self.store["symbol"]
        start, size = 0, _BATCH
        while start < len(symbols):  # most symbols are found early
            found = symbols[start : start + size] == symbol
            if found.any():
                return float(self.store["price"][start + int(found.argmax())])
            start += size
            size *= 2
        return None


class GeneratorSource:
    """Generated trades at the time they are due, and the newest of those before."""

    CAPACITY = 1 << 20  # 32 MiB

    def __init__(
        self, generator: TickGenerator, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._generator = generator
        self._clock_ns = clock_ns
        self.store = np.zeros(self.CAPACITY, TICK)
        self._started_ns = 0
        self._wall_ns = 0
        self.due = 0
        self.oldest = 0
        self.paced = True
        self.live = True
        self.end: int | None = None

    def start(self) -> None:
        self._started_ns = time.monotonic_ns()
        self._wall_ns = self._clock_ns()

    def advance(self, limit: int) -> int:
        elapsed = time.monotonic_ns() - self._started_ns
        # Bounded: listeners get a turn even where trades are due faster than they can be made.
        for _ in range(16):
            rows = self._generator.until(elapsed) if self.due < limit else ()
            if not len(rows):
                break
            start = self.due % self.CAPACITY
            room = min(len(rows), self.CAPACITY - start)
            self.store[start : start + room] = rows[:room]
            self.store["time_ns"][start : start + room] += self._wall_ns
            self.store[: len(rows) - room] = rows[room:]
            self.store["time_ns"][: len(rows) - room] += self._wall_ns
            self.due += len(rows)
        self.oldest = max(0, self.due - self.CAPACITY)
        return int(elapsed * 1e-9 * self._generator.rate)

    def rows(self, position: int) -> Rows:
        start = position % self.CAPACITY
        return self.store[start : start + min(_BATCH, self.due - position)]

    def first_price(self, symbol: int) -> float | None:
        return self._generator.start_price(symbol)


class Listener(Protocol):
    """Who rows are played to."""

    behind: bool
    """There is more to encode even without further rows."""

    def encode(self, rows: Rows, first: int) -> tuple[bytes, int]:
        """Encode what is wanted of `rows`; return the bytes and how many rows they cover."""

    async def write(self, data: bytes) -> None:
        """Send, and return when more may come."""

    def drop(self, reason: str) -> None:
        """Close the connection."""

    def __str__(self) -> str: ...


class Player:
    """A listener's place in the source."""

    def __init__(self, listener: Listener, cursor: int) -> None:
        self.listener = listener
        self.cursor = cursor
        self.wake = asyncio.Event()
        self.writing = False
        self.task: asyncio.Task[None] | None = None
        self.seen = cursor  # at the last watch
        self.goal = cursor  # what was due then
        self.quiet_until_ns = 0


class Playback:
    """Plays `source`, from when the first listener joins; `held`: from when it is told."""

    def __init__(self, source: Source, *, held: bool = False) -> None:
        self.source = source
        self.started = False
        self._held = held
        self._furthest = 0
        self._players: set[Player] = set()
        self._moved = asyncio.Event()
        self._clock: asyncio.Task[None] | None = None

    def join(self, listener: Listener) -> Player:
        """Begin to play to `listener`, from where the clock is.

        Without a clock, that is where the most advanced listener is.
        """
        start = self.position
        if not self.started and not self._held:
            self._start()
        player = Player(listener, start)
        self._players.add(player)
        player.task = asyncio.create_task(self._play(player))
        return player

    def begin(self) -> None:
        """Begin, if it was held."""
        self._held = False
        if not self.started and self._players:
            self._start()
            for player in self._players:
                player.wake.set()

    def _start(self) -> None:
        self.started = True
        self.source.start()
        self.source.advance(_BACKLOG)
        if self.source.paced:
            self._clock = asyncio.create_task(self._run_clock())

    @property
    def position(self) -> int:
        """Where the clock is; without a clock, where the most advanced listener is."""
        return self.source.due if self.source.paced else self._furthest

    def leave(self, player: Player) -> None:
        """Play no more to the listener of `player`."""
        self._players.discard(player)
        if player.task is not None:
            player.task.cancel()
        self._moved.set()

    async def finished(self) -> None:
        """Wait until the source was played out to every listener that is there.

        Raises
        ------
        RuntimeError
            The source has no end.
        """
        if self.source.end is None:
            raise RuntimeError("it plays without end")
        while not (
            self.started
            and self.source.due >= self.source.end
            and all(
                p.cursor >= self.source.end and not p.writing and not p.listener.behind
                for p in self._players
            )
        ):
            self._moved.clear()
            await self._moved.wait()

    async def close(self) -> None:
        """Stop."""
        tasks = [player.task for player in self._players] + [self._clock]
        self._players.clear()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)

    async def _play(self, player: Player) -> None:
        source, listener = self.source, player.listener
        try:
            while True:
                if player.cursor >= source.due and not listener.behind:
                    self._moved.set()
                    player.wake.clear()
                    await player.wake.wait()
                if player.cursor < source.oldest:
                    self._drop(player)
                    return
                data, used = listener.encode(source.rows(player.cursor), player.cursor)
                player.cursor += used
                self._furthest = max(self._furthest, player.cursor)
                if data:
                    player.writing = True
                    await listener.write(data)
                    player.writing = False
                await asyncio.sleep(0)
        except ConnectionError:
            self._players.discard(player)
            self._moved.set()
        except Exception:
            _logger.exception("%s: cannot go on", listener)
            listener.drop("failed")

    async def _run_clock(self) -> None:
        watch_ns = time.monotonic_ns() + _WATCH_NS
        while self.source.end is None or self.source.due < self.source.end:
            await asyncio.sleep(_TICK_S)
            before = self.source.due
            # Listeners that could take more hold the source back; those that read slowly do not.
            waiting = [player.cursor for player in self._players if not player.writing]
            clock = self.source.advance(min(waiting, default=before) + _BACKLOG)
            if self.source.due != before:
                for player in list(self._players):
                    if player.cursor < self.source.oldest:
                        self._drop(player)
                    player.wake.set()
            now = time.monotonic_ns()
            if now >= watch_ns:
                self._watch(clock, now, now - watch_ns + _WATCH_NS)
                watch_ns = now + _WATCH_NS
        self._moved.set()

    def _watch(self, clock: int, now_ns: int, elapsed_ns: int) -> None:
        """Say which listeners have not yet got what was due at the last watch, and why."""
        for player in self._players:
            late = player.cursor < player.goal
            if late and now_ns >= player.quiet_until_ns:
                player.quiet_until_ns = now_ns + _QUIET_NS
                seconds = elapsed_ns / 1e9
                _logger.warning(
                    "%s %s: %.0f of %.0f ticks/s",
                    "slow reader" if player.writing else "cannot keep up for",
                    player.listener,
                    (player.cursor - player.seen) / seconds,
                    (clock - player.goal) / seconds,
                )
            player.goal = clock
            player.seen = player.cursor

    def _drop(self, player: Player) -> None:
        _logger.warning(
            "%s is dropped: it fell %d ticks behind",
            player.listener,
            self.source.due - player.cursor,
        )
        self._players.discard(player)
        player.listener.drop("fell_behind")
