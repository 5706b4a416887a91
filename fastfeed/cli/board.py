"""What a live view knows of each symbol: NumPy arrays indexed by symbol id.

Rows are taken from the ring some ten times a second, all that are new at once, so that a tick costs some tens of
nanoseconds here and nothing at all where it is received. No Python object is made for a tick.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfeed.schema import Flags
from fastfeed.stream import Rows

__all__ = ["Board"]

_WINDOW = 64  # ticks whose latency a symbol remembers
_TREND = 48  # samples of the last price
_TREND_S = 1.0
_RATE_S = 2.0  # time constant of ticks/s
_FLASH_S = 0.6
_LATE = int(Flags.CACHED | Flags.BACKFILLED | Flags.STALE)  # no latency to speak of
_PLAUSIBLE_NS = 10_000_000_000  # between the exchange's clock and ours
_FINE = 32  # histogram: buckets an octave, 2% wide

Array = npt.NDArray[Any]


class Board:
    """The state of all symbols, brought up to date by `update()`.

    Attributes
    ----------
    first, last : ndarray
        Prices, NaN before the first tick.
    volume : ndarray
        Sum of what was seen here.
    ticks : ndarray
    recv_ns : ndarray
        When the last tick arrived, 0 = never.
    move : ndarray
        1 or -1: how the last price that was shown differs from the one before.
    total : int
        Ticks of all symbols.
    """

    def __init__(self) -> None:
        self.total = 0
        self._size = 0
        self._started_s: float | None = None
        self._updated_s = 0.0
        self._sampled_s = -math.inf
        self._samples = 0
        self._histogram = np.zeros(40 * _FINE, np.int64)
        self.first = np.empty(0)
        self.last = np.empty(0)
        self.volume = np.empty(0)
        self.ticks = np.empty(0, np.int64)
        self.recv_ns = np.empty(0, np.int64)
        self.move = np.empty(0, np.int8)
        self._moved_s = np.empty(0)
        self._rate = np.empty(0)
        self._latency = np.empty((0, _WINDOW))
        self._latencies = np.empty(0, np.int64)
        self._trend = np.empty((0, _TREND))

    def __len__(self) -> int:
        return self._size

    def grow(self, size: int) -> None:
        """Make room for symbol ids below `size`."""
        if size <= self._size:
            return
        more = size - self._size

        def longer(old: Array, fill: float) -> Array:
            return np.concatenate([old, np.full((more, *old.shape[1:]), fill, old.dtype)])

        self.first = longer(self.first, math.nan)
        self.last = longer(self.last, math.nan)
        self.volume = longer(self.volume, 0)
        self.ticks = longer(self.ticks, 0)
        self.recv_ns = longer(self.recv_ns, 0)
        self.move = longer(self.move, 0)
        self._moved_s = longer(self._moved_s, -math.inf)
        self._rate = longer(self._rate, 0)
        self._latency = longer(self._latency, math.nan)
        self._latencies = longer(self._latencies, 0)
        self._trend = longer(self._trend, math.nan)
        self._size = size

    def update(self, rows: Rows, now_s: float) -> None:
        """Take in new rows; also without any, for rates to fade.

        Parameters
        ----------
        rows
        now_s
            A monotonic clock, in seconds.
        """
        if self._started_s is None:
            self._started_s = self._updated_s = now_s
        counts = self._take(rows, now_s) if len(rows) else np.zeros(self._size, np.int64)
        elapsed = now_s - self._updated_s
        if elapsed > 0:
            keep = math.exp(-elapsed / _RATE_S)
            self._rate *= keep
            self._rate += counts * ((1 - keep) / elapsed)
        else:  # the very first moment has no length; count its ticks as if it had one
            self._rate += counts / _RATE_S
        self._updated_s = now_s
        if now_s - self._sampled_s >= _TREND_S:
            self._sampled_s = now_s
            self._samples += 1
            self._trend[:, :-1] = self._trend[:, 1:]
        if len(self._trend):
            self._trend[:, -1] = self.last

    def _take(self, rows: Rows, now_s: float) -> Array:
        ids: Array = rows["symbol"].astype(np.intp)
        self.grow(int(ids.max()) + 1)
        counts = np.bincount(ids, minlength=self._size)
        self.total += len(rows)
        self.ticks += counts
        volume = rows["volume"]
        missing = np.isnan(volume)
        if missing.any():
            volume = np.where(missing, 0, volume)
        self.volume += np.bincount(ids, weights=volume, minlength=self._size)
        flags = rows["flags"]
        self.recv_ns[ids] = rows["recv_ns"]
        if flags.any():
            fresh = (flags & Flags.STALE) == 0
            self._take_prices(ids[fresh], rows["price"][fresh], now_s)
            live = (flags & _LATE) == 0
            self._take_latencies(ids[live], rows[live])
        else:
            self._take_prices(ids, rows["price"], now_s)
            self._take_latencies(ids, rows)
        return counts

    def _take_prices(self, ids: Array, price: Array, now_s: float) -> None:
        before = self.last.copy()
        self.last[ids] = price  # of a repeated index the last value counts
        new = np.isnan(self.first[ids])
        if new.any():
            self.first[ids[new][::-1]] = price[new][::-1]
            before = np.where(np.isnan(before), self.first, before)
        moved = self.last - before
        changed = np.flatnonzero(moved)
        changed = changed[~np.isnan(moved[changed])]
        self.move[changed] = np.sign(moved[changed])
        self._moved_s[changed] = now_s

    def _take_latencies(self, ids: Array, rows: Rows) -> None:
        recv_ns = rows["recv_ns"]
        gateway_ns = rows["gateway_ns"]
        time_ns = rows["time_ns"]
        latency: Array = recv_ns - np.where(gateway_ns != 0, gateway_ns, time_ns)
        known = (gateway_ns != 0) | ((time_ns != 0) & (latency >= 0) & (latency <= _PLAUSIBLE_NS))
        if not known.all():
            ids, latency = ids[known], latency[known]
        if not len(ids):
            return
        fine = (np.log2(np.maximum(latency, 1)) * _FINE).astype(np.intp)
        size = len(self._histogram)
        self._histogram += np.bincount(np.minimum(fine, size - 1), minlength=size)

        # Each symbol's latencies go round its own window. Sorted by symbol, a tick's rank among those of
        # its symbol is its distance from the group's beginning.
        small = ids.astype(np.uint16) if self._size <= 1 << 16 else ids  # sorts by radix
        order = np.argsort(small, kind="stable")
        ids = ids[order]
        counts = np.bincount(ids, minlength=self._size)
        starts = np.cumsum(counts) - counts
        rank = np.arange(len(ids)) - starts[ids]
        self._latency[ids, (self._latencies[ids] + rank) % _WINDOW] = latency[order]
        self._latencies += counts

    # ---- what a view asks

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first update to the last."""
        return 0.0 if self._started_s is None else self._updated_s - self._started_s

    def rates(self) -> Array:
        """Return ticks/s by symbol, smoothed."""
        started = 1 - math.exp(-self.elapsed_s / _RATE_S)
        return self._rate / max(started, 0.2)

    def latency_ns(self, ids: Array | None = None) -> Array:
        """Return the median latency of each symbol's last ticks, NaN where there is none."""
        window = self._latency if ids is None else self._latency[ids]
        return _nanmedian(window)

    def recent_latency_ns(self) -> float:
        """Return the median of the last ticks of all symbols."""
        return float(_nanmedian(self._latency.reshape(1, -1))[0])

    def median_latency_ns(self) -> float:
        """Return the median of all ticks so far, to 2%; NaN without any."""
        below = np.cumsum(self._histogram)
        if below[-1] == 0:
            return math.nan
        bucket = int(np.searchsorted(below, (below[-1] + 1) // 2))
        return float(2 ** ((bucket + 0.5) / _FINE))

    def flashing(self, now_s: float) -> Array:
        """Return which prices have just moved."""
        return self._moved_s > now_s - _FLASH_S

    def trend(self, symbol: int, samples: int) -> Array:
        """Return the last price of each of the last seconds, oldest first."""
        return self._trend[symbol, -min(samples, _TREND) :]


def _nanmedian(window: Array) -> Array:
    """Return the median of each row; `numpy.nanmedian` warns of rows without any value."""
    if not window.size:
        return np.full(len(window), math.nan)
    ordered = np.sort(window, axis=1)  # NaN comes last
    count = window.shape[1] - np.isnan(ordered).sum(axis=1)
    middle = np.maximum(count - 1, 0) // 2
    upper = np.maximum(count // 2, 0)
    lines = np.arange(len(window))
    result: Array = (
        ordered[lines, middle] + ordered[lines, np.minimum(upper, window.shape[1] - 1)]
    ) / 2
    result[count == 0] = math.nan
    return result
