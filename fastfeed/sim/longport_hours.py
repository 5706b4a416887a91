"""What LongPort says of ticks that ticks do not: their sequences, their trading sessions, the state of each session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeed._core.tick_index import DAY_FIELDS, index_ticks
from fastfeed.sim import calendar
from fastfeed.sim.playback import Source

__all__ = ["NORMAL", "OVERNIGHT", "POST", "PRE", "SESSIONS", "Hours", "Passage", "Session"]

NORMAL, PRE, POST, OVERNIGHT = range(4)
SESSIONS = 4

_DAY_S = 86400
# Of New York's day: the ends of the night, the morning, the regular hours, the evening.
_EDGES_S = np.array([4, 9.5, 16, 20]) * 3600
_ORDER = np.array([OVERNIGHT, PRE, NORMAL, POST, OVERNIGHT], np.int8)
_NIGHT_NS = 4 * 3600 * 10**9  # an overnight session begins so long before midnight

Integers = npt.NDArray[np.int64]


class Hours:
    """The trading sessions of times in America; elsewhere all is the normal one.

    Parameters
    ----------
    span_s : (int, int)
        Of the times, epoch seconds.
    """

    def __init__(self, span_s: tuple[int, int]) -> None:
        offsets = calendar.utc_offsets("US", *span_s)
        self._since = np.array([since for since, _ in offsets])
        self._offsets = np.array([offset for _, offset in offsets])

    def of(self, at_s: Integers) -> npt.NDArray[np.int8]:
        """Return the sessions of times in America."""
        which = np.maximum(self._since.searchsorted(at_s, "right") - 1, 0)
        clock: npt.NDArray[np.int8] = _ORDER[
            _EDGES_S.searchsorted((at_s + self._offsets[which]) % _DAY_S, "right")
        ]
        return clock


class Session(NamedTuple):
    """What a session of a symbol has come to, the last time that there was one."""

    number: int
    day: int
    """Counts the days that there was one."""
    time_ns: int
    last: float
    open: float
    high: float
    low: float
    volume: float
    turnover: float


class Passage:
    """Ticks as they pass: goes along with a market.

    Parameters
    ----------
    symbols : sequence of str
        By the index that ticks have.
    source : Source
    span_s : (int, int)
        Of the times of the ticks, epoch seconds; may be longer.
    """

    def __init__(self, symbols: Sequence[str], source: Source, span_s: tuple[int, int]) -> None:
        self._source = source
        self._american = np.array([symbol.endswith(".US") for symbol in symbols])
        self.hours = Hours(span_s)
        self.position = 0
        size = len(source.store)
        self.sequences = np.zeros(size, np.int64)
        """By position, modulo the length: the times, but growing with every tick."""
        self.sessions = np.zeros(size, np.int8)
        self._links = np.zeros(1, np.int64)  # the market has them
        self._last = 0
        days = np.zeros(len(symbols) * SESSIONS, np.dtype(DAY_FIELDS))
        days["newest"] = -1
        days["start_ns"] = 1 << 62
        parts: list[Integers] = []
        where: dict[tuple[str, bool], tuple[int, int]] = {}
        start = 0
        for i, symbol in enumerate(symbols):
            for session in range(SESSIONS):
                key = (symbol.rpartition(".")[2], session == OVERNIGHT)
                if key not in where:
                    midnights = np.array(calendar.midnights_ns(key[0], *span_s), np.int64)
                    parts.append(midnights - (_NIGHT_NS if key[1] else 0))
                    where[key] = (start, start + len(midnights))
                    start += len(midnights)
                at = i * SESSIONS + session
                days["midnights_start"][at], days["midnights_end"][at] = where[key]
        self._midnights = np.concatenate(parts)
        self.days = days
        """Of each session of each symbol; `count` changes with every tick."""

    def advance(self, position: int) -> None:
        """Let the ticks before `position` pass."""
        source, size = self._source, len(self.sequences)
        self.position = max(self.position, source.oldest)
        while self.position < position:
            rows = source.rows(self.position)[: position - self.position]
            count = np.arange(len(rows))
            at = (self.position + count) % size
            times = rows["time_ns"]
            grown = np.maximum(np.maximum.accumulate(times - count), self._last + 1) + count
            self._last = int(grown[-1])
            self.sequences[at] = grown
            symbols = rows["symbol"]
            sessions = np.where(self._american[symbols], self.hours.of(times // 10**9), NORMAL)
            self.sessions[at] = sessions
            keyed = rows.copy()
            keyed["symbol"] = symbols * SESSIONS + sessions
            index_ticks(keyed, self.position, self._links, self.days, self._midnights)
            self.position += len(rows)

    def session(self, number: int, session: int) -> Session | None:
        """Return the state of a session of a symbol, None: there was none."""
        day = self.days[number * SESSIONS + session]
        if not day["count"]:
            return None
        return Session(
            session, int(day["days"]), int(day["time_ns"]),
            *(float(day[name]) for name in ("last", "open", "high", "low", "volume", "turnover")),
        )  # fmt: skip

    def current(self, number: int) -> Session | None:
        """Return the state of the session that a symbol traded in last."""
        found = self.days["newest"][number * SESSIONS : (number + 1) * SESSIONS]
        best = int(found.argmax())
        return self.session(number, best) if found[best] >= 0 else None
