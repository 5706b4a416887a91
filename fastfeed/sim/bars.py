"""Bars of one symbol: those of its ticks, and before them a made-up past that is always the same.

The past is a function of time: a sum of sine waves which meets the first tick. So bars of all
intervals agree with each other, and any page of them can be made without those before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfeed.sim import calendar
from fastfeed.sim.instruments import Instrument, chance

__all__ = ["BAR", "INTRADAY_S", "Bars", "Past", "Rehab", "adjusted"]

#: A bar; `start_s` is its beginning, from a day on the midnight.
BAR = np.dtype(
    [("start_s", "i8")]
    + [(name, "f8") for name in ("open", "high", "low", "close", "volume", "turnover")]
)

#: Seconds of the intervals below a day.
INTRADAY_S = {
    "1m": 60, "2m": 120, "3m": 180, "5m": 300, "10m": 600, "15m": 900, "20m": 1200, "30m": 1800,
    "45m": 2700, "1h": 3600, "2h": 7200, "3h": 10800, "4h": 14400,
}  # fmt: skip
_DAYS = {"1d": 1, "1w": 7, "1M": 31, "3M": 92, "1y": 366}  # at most, of the longer ones
_MINUTES_KEPT = 10_000

_Bars = npt.NDArray[Any]

# Period in seconds and height of the waves.
_WAVES = (
    (1331.0, 0.0012), (19_891.0, 0.004), (9.1 * 86400, 0.02), (61.0 * 86400, 0.05), (401.0 * 86400, 0.12),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rehab:
    """What happened to a stock on a day, and how prices before (forward) and since are adjusted."""

    day: date
    split: int = 0
    """New shares for one."""
    dividend: float = 0.0

    def forward(self) -> tuple[float, float]:
        """Return a and b: an adjusted price is price * a + b."""
        return (1 / self.split, 0.0) if self.split else (1.0, -self.dividend)

    def backward(self) -> tuple[float, float]:
        return (float(self.split), 0.0) if self.split else (1.0, self.dividend)


def adjusted(bars: _Bars, rehabs: Sequence[Rehab], region: str, adjust: int) -> _Bars:
    """Return bars adjusted: 0 not at all, 1 forward, 2 backward. `rehabs` by ascending day."""
    if adjust == 0 or not rehabs:
        return bars
    bars = bars.copy()
    for rehab in rehabs if adjust == 1 else reversed(rehabs):
        at = calendar.midnight_s(region, rehab.day)
        chosen = bars["start_s"] < at if adjust == 1 else bars["start_s"] >= at
        a, b = rehab.forward() if adjust == 1 else rehab.backward()
        for name in ("open", "high", "low", "close"):
            bars[name][chosen] = np.round(bars[name][chosen] * a + b, 6)
    return bars


class Past:
    """What prices were before the first tick.

    Parameters
    ----------
    instrument : Instrument
    at_s : int
        When the past meets the present.
    price : float
        And at which price.
    seed : int
    """

    def __init__(self, instrument: Instrument, at_s: int, price: float, seed: int) -> None:
        symbol = instrument.symbol
        self._phases = [math.tau * chance(symbol, seed, i) for i in range(len(_WAVES))]
        self._level = math.log(price) - float(self._wave(np.array([float(at_s)]))[0])
        self._digits = max(0, round(-math.log10(instrument.spread)))
        self._volume = 1 + 50 * chance(symbol, seed, "volume")  # a second
        self._fractions = not instrument.lot_size or instrument.kind == "crypto"
        self.last = float(self.prices(np.array([float(at_s)]))[0])

    def _wave(self, at_s: npt.NDArray[Any]) -> npt.NDArray[Any]:
        wave = np.zeros(at_s.shape)
        for (period, height), phase in zip(_WAVES, self._phases, strict=True):
            wave += height * np.sin(math.tau / period * at_s + phase)
        return wave

    def prices(self, at_s: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the prices at some times."""
        return np.round(np.exp(self._level + self._wave(at_s)), self._digits)

    def bars(self, labels: Sequence[int], starts: Sequence[int], ends: Sequence[int]) -> _Bars:
        """Return bars from `starts` to `ends`; their `start_s` are `labels`."""
        bars = np.zeros(len(labels), BAR)
        if not len(labels):
            return bars
        start = np.asarray(starts, float)
        end = np.asarray(ends, float)
        samples = self.prices(start[:, None] + (end - start)[:, None] * np.linspace(0, 1, 7))
        bars["start_s"] = labels
        bars["open"] = samples[:, 0]
        bars["close"] = samples[:, -1]
        bars["high"] = samples.max(1)
        bars["low"] = samples.min(1)
        volume = (end - start) * self._volume * (1.3 + np.sin(start / 977.0 + self._phases[0]))
        bars["volume"] = np.round(volume, 3 if self._fractions else 0)
        bars["turnover"] = np.round(bars["volume"] * samples.mean(1), 3)
        return bars


class Bars:
    """The bars of one symbol, up to its last tick.

    Parameters
    ----------
    instrument : Instrument
    past : Past
    since_s : int
        The past ends here, where there are no ticks.
    midnights_s : ndarray
        Of the market, over the time of the ticks.
    """

    def __init__(
        self, instrument: Instrument, past: Past, since_s: int, midnights_s: npt.NDArray[Any]
    ) -> None:
        self._instrument = instrument
        self.region = self._region = instrument.region
        self.past = past
        self.prev_close: float | None = None
        """Of the day before `since_s`."""
        self._since_s = since_s
        self._midnights_s = midnights_s
        self.minutes = np.zeros(0, BAR)  # of the ticks
        self._today: _Bars = self.minutes
        self._begun: dict[str, tuple[date, _Bars]] = {}  # what of a period was before this day

    def add(
        self, time_ns: npt.NDArray[Any], price: npt.NDArray[Any], volume: npt.NDArray[Any]
    ) -> None:
        """Add ticks, in the order of their times."""
        if not len(time_ns):
            return
        back = np.flatnonzero(time_ns[1:] < time_ns[:-1])
        if len(back):  # a tape began again
            at = int(back[-1]) + 1
            time_ns, price, volume = time_ns[at:], price[at:], volume[at:]
            self.minutes = self.minutes[:0]
        start = time_ns // 60_000_000_000 * 60
        if len(self.minutes) and start[0] < self.minutes["start_s"][-1]:
            self.minutes = self.minutes[:0]
        first = np.flatnonzero(np.r_[True, start[1:] != start[:-1]])
        new = np.zeros(len(first), BAR)
        last = np.r_[first[1:], len(start)] - 1
        new["start_s"] = start[first]
        new["open"] = price[first]
        new["close"] = price[last]
        new["high"] = np.maximum.reduceat(price, first)
        new["low"] = np.minimum.reduceat(price, first)
        new["volume"] = np.add.reduceat(volume, first)
        new["turnover"] = np.add.reduceat(price * volume, first)
        if len(self.minutes) and self.minutes["start_s"][-1] == new["start_s"][0]:
            new[:1] = _merged(np.r_[self.minutes[-1:], new[:1]], np.array([0]))
            new["start_s"][0] = start[0]
            self.minutes = self.minutes[:-1]
        self.minutes = np.r_[self.minutes, new][-_MINUTES_KEPT:]

    def set_today(self, bar: tuple[float, ...]) -> None:
        """Set the day's bar: start_s, open, high, low, close, volume, turnover."""
        self._today = np.array([bar], BAR)

    # What there is.

    def last(self, interval: str, count: int, until_s: int | None = None) -> _Bars:
        """Return the last bars of an interval, whose `start_s` is at most `until_s`."""
        ticks = self._of_ticks(interval, count if until_s is None else None)
        if until_s is not None:
            ticks = ticks[ticks["start_s"] <= until_s]
        parts, missing = [ticks[-count:]], count - len(ticks)
        if missing > 0:
            limit = self._past_end(interval)
            limit = limit if until_s is None else min(limit, until_s + 1)
            first = calendar.local(self._region, max(limit - 1, 0)).date()
            if interval in INTRADAY_S:
                listed = self._instrument.listed
                for day in (
                    calendar.trading_days(self._region, first, listed) if first >= listed else ()
                ):
                    bars = self._past_of(interval, day)
                    bars = bars[bars["start_s"] < limit][-missing:]
                    parts.append(bars)
                    missing -= len(bars)
                    if missing <= 0:
                        break
            else:
                begin = first - timedelta(min(_DAYS[interval] * (missing + 2) * 2, 20_000))
                bars = self._past_days(interval, begin, first)
                parts.append(bars[bars["start_s"] < limit][-missing:])
        return np.concatenate(parts[::-1])

    def between(self, interval: str, begin_s: int, end_s: int, limit: int | None) -> _Bars:
        """Return the bars whose `start_s` is from `begin_s` to `end_s`, at most the first `limit`."""
        past_end = min(self._past_end(interval), end_s + 1)
        begin = max(calendar.local(self._region, max(begin_s, 0)).date(), self._instrument.listed)
        parts: list[_Bars] = []
        found = 0
        if begin_s < past_end:
            end = calendar.local(self._region, past_end).date()
            for bars in self._past_pieces(interval, begin, end):
                chosen = bars[(bars["start_s"] >= begin_s) & (bars["start_s"] < past_end)]
                parts.append(chosen)
                found += len(chosen)
                if limit is not None and found >= limit:
                    break
        ticks = self._of_ticks(interval)
        parts.append(ticks[(ticks["start_s"] >= begin_s) & (ticks["start_s"] <= end_s)])
        bars = np.concatenate(parts)
        return bars if limit is None else bars[:limit]

    def _past_pieces(self, interval: str, begin: date, end: date) -> Iterator[_Bars]:
        if interval not in INTRADAY_S:
            # A week, month or year that began before counts from its beginning.
            yield self._past_days(interval, _period(interval, begin), end)
            return
        for day in calendar.trading_days(self._region, begin, end) if begin <= end else ():
            yield self._past_of(interval, day)

    # The past.

    def _past_end(self, interval: str) -> int:
        """Return where the bars of ticks begin."""
        ticks = self._of_ticks(interval if interval in INTRADAY_S else "1d")
        if not len(ticks):
            return self._since_s
        first = int(ticks["start_s"][0])
        if interval in INTRADAY_S or interval == "1d":
            return first
        return calendar.midnight_s(
            self._region, _period(interval, calendar.local(self._region, first).date())
        )

    def _past_of(self, interval: str, day: date) -> _Bars:
        """Return the bars of a day of the past."""
        seconds = INTRADAY_S[interval]
        midnight = calendar.midnight_s(self._region, day)
        length = calendar.midnight_s(self._region, day + timedelta(1)) - midnight
        hours = calendar.sessions(self._region)
        if calendar.day_kind(self._region, day) == 1:
            hours = hours[:1]
        starts: dict[int, None] = {}
        for begin, end in hours:
            end_s = length if end == 1440 else end * 60
            for start in range(begin * 60 // seconds * seconds, end_s, seconds):
                starts[midnight + start] = None
        labels = list(starts)
        return self.past.bars(labels, labels, [start + seconds for start in labels])

    def _past_days(self, interval: str, begin: date, end: date) -> _Bars:
        """Return the bars of the past from a day to another; both days belong to it."""
        begin = max(begin, self._instrument.listed)
        if begin > end:
            return np.zeros(0, BAR)
        days = list(calendar.trading_days(self._region, begin, end))
        labels = [calendar.midnight_s(self._region, day) for day in days]
        hours = calendar.sessions(self._region)
        first, last = hours[0][0] * 60, hours[-1][1] * 60
        bars = self.past.bars(
            labels, [label + first for label in labels], [label + last for label in labels]
        )
        return bars if interval == "1d" else self._periods(interval, bars)

    # Ticks.

    def _of_ticks(self, interval: str, count: int | None = None) -> _Bars:
        """Return the bars of ticks; when that is more than `count`, not the first ones."""
        minutes = self.minutes
        if not len(minutes):
            return minutes
        if count is not None and interval in INTRADAY_S:
            minutes = minutes[-(count + 1) * (INTRADAY_S[interval] // 60) :]
        starts = minutes["start_s"]
        midnights = self._midnights_s[
            np.maximum(self._midnights_s.searchsorted(starts, "right") - 1, 0)
        ]
        if interval in INTRADAY_S:
            seconds = INTRADAY_S[interval]
            return _grouped(minutes, midnights + (starts - midnights) // seconds * seconds)
        days = _grouped(minutes, midnights)
        if len(self._today) and self._today["start_s"][0] == days["start_s"][-1]:
            days[-1:] = self._today
        if interval == "1d":
            return days
        # The first week has days before the first tick.
        first = calendar.local(self._region, int(days["start_s"][0])).date()
        if interval not in self._begun or self._begun[interval][0] != first:
            before = self._past_days(interval, _period(interval, first), first - timedelta(1))
            self._begun[interval] = (first, before)
        return self._periods(interval, np.r_[self._begun[interval][1], days])

    def _periods(self, interval: str, days: _Bars) -> _Bars:
        labels = [
            calendar.midnight_s(
                self._region, _period(interval, calendar.local(self._region, at).date())
            )
            for at in days["start_s"].tolist()
        ]
        return _grouped(days, np.array(labels, np.int64))


def _period(interval: str, day: date) -> date:
    """Return the first day of the period of `day`."""
    if interval == "1w":
        return day - timedelta(day.weekday())
    if interval == "1M":
        return day.replace(day=1)
    if interval == "3M":
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return day.replace(month=1, day=1) if interval == "1y" else day


def _grouped(bars: _Bars, labels: npt.NDArray[Any]) -> _Bars:
    """Return one bar for each run of equal labels."""
    if not len(bars):
        return bars
    first = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    grouped = _merged(bars, first)
    grouped["start_s"] = labels[first]
    return grouped


def _merged(bars: _Bars, first: npt.NDArray[Any]) -> _Bars:
    merged = np.zeros(len(first), BAR)
    last = np.r_[first[1:], len(bars)] - 1
    merged["start_s"] = bars["start_s"][first]
    merged["open"] = bars["open"][first]
    merged["close"] = bars["close"][last]
    merged["high"] = np.maximum.reduceat(bars["high"], first)
    merged["low"] = np.minimum.reduceat(bars["low"], first)
    merged["volume"] = np.add.reduceat(bars["volume"], first)
    merged["turnover"] = np.add.reduceat(bars["turnover"], first)
    return merged
