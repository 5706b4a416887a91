"""Plausible trades without end, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfeed.sim.instruments import instrument
from fastfeed.sim.tape import TICK

__all__ = ["TickGenerator", "symbol_names"]

_KNOWN = (
    ("AAPL.US", 230.0), ("700.HK", 510.0), ("NVDA.US", 180.0), ("TSLA.US", 340.0),
    ("9988.HK", 150.0), ("SPY.US", 600.0), ("600519.SH", 1450.0), ("BTCUSDT.CC", 95000.0),
    ("7203.JP", 2800.0), ("D05.SG", 55.0),
)  # fmt: skip
_OTHERS_KNOWN = (
    ("ETHUSDT.CC", 3400.0), ("SOLUSDT.CC", 190.0), ("EURUSD.FX", 1.085), ("GBPUSD.FX", 1.27),
    ("USDJPY.FX", 155.0), ("GOLD.FX", 4100.0), ("Silver.FX", 52.0), ("USOIL.FX", 62.0),
    ("US500.FX", 6700.0),
)  # fmt: skip
_BLOCK = 4096  # ticks made at once; part of what a seed means
_STRATUM = 64  # ticks whose number in their share of time is exact; part of what a seed means
_STEP = 2e-4  # standard deviation of a tick's return
_RANGE = 0.7  # how far the logarithm of a price may wander from its start


def symbol_names(count: int) -> tuple[str, ...]:
    """Return `count` symbols: a few well-known ones, then synthetic ones."""
    known = tuple(symbol for symbol, _ in _KNOWN[:count])
    return known + tuple(f"SIM{i:05}.US" for i in range(count - len(known)))


class TickGenerator:
    """Trades of many symbols at a given rate.

    Prices are geometric random walks on a grid, sizes are lognormal, some symbols trade more often
    than others. Arrivals are those of a Poisson process whose count is exact for every 64 ticks.

    Parameters
    ----------
    symbols : sequence of str
    rate : float
        Trades a second, of all symbols together.
    seed : int, default 0
        The same arguments give the same trades.
    run : int, default 1
        Trades come in runs of so many of one symbol at one time.
    """

    def __init__(self, symbols: Sequence[str], rate: float, *, seed: int = 0, run: int = 1) -> None:
        if not symbols:
            raise ValueError("expected at least one symbol, got none")
        if not rate > 0 or rate == float("inf"):
            raise ValueError(f"expected a positive rate, got {rate}")
        self.symbols = tuple(symbols)
        self.rate = rate
        self._random = np.random.default_rng(seed)
        self._run = min(run, _BLOCK)
        known = dict(_KNOWN + _OTHERS_KNOWN)
        n = len(self.symbols)
        start = np.exp(self._random.uniform(np.log(2), np.log(500), n))
        for i, symbol in enumerate(self.symbols):
            start[i] = known.get(symbol, start[i])
        self._middle = np.log(start)
        self._log_price = self._middle.copy()
        crypto = np.array([symbol.endswith(".CC") for symbol in self.symbols])
        self._price_scale = np.where(start < 1, 1e4, 1e2)
        for i, symbol in enumerate(self.symbols):
            if symbol.endswith(".FX"):
                self._price_scale[i] = round(1 / instrument(symbol).spread)
        self._volume_scale = np.where(crypto, 1e4, 1.0)
        self._volume_middle = np.where(crypto, -3.0, 4.6)
        weights = 1 / np.sqrt(np.arange(n) + 1.0)
        self._shares = np.cumsum(weights / weights.sum())
        self._shares[-1] = 1.0
        self._made = 0
        self._block = np.zeros(0, TICK)
        self._used = 0

    def start_price(self, symbol: int) -> float:
        """Return the price from which a symbol's ticks start, by its index."""
        scale = float(self._price_scale[symbol])
        return max(round(float(np.exp(self._middle[symbol])) * scale), 1) / scale

    def until(self, elapsed_ns: int) -> npt.NDArray[Any]:
        """Return the next trades that are due, at most 4096.

        Their times count from the beginning. Nothing is due when none are returned.
        """
        if self._used == len(self._block):
            if self._made >= elapsed_ns * 1e-9 * self.rate:
                return self._block[:0]
            self._block = self._make()
            self._used = 0
        start = self._used
        self._used = int(self._block["time_ns"].searchsorted(elapsed_ns, "right"))
        return self._block[start : self._used]

    def _make(self) -> npt.NDArray[Any]:
        random = self._random
        block = np.zeros(_BLOCK, TICK)
        arrivals = np.sort(random.uniform(0, _STRATUM, (_BLOCK // _STRATUM, _STRATUM)), axis=1)
        arrivals += np.arange(0, _BLOCK, _STRATUM)[:, None]
        times = ((arrivals.ravel() + self._made) * (1e9 / self.rate)).astype(np.int64)
        symbol = self._shares.searchsorted(random.random(_BLOCK), "right")
        if self._run > 1:
            times = np.repeat(times[:: self._run], self._run)[:_BLOCK]
            symbol = np.repeat(symbol[:: self._run], self._run)[:_BLOCK]
        self._made += _BLOCK

        # Walk each symbol by itself: its ticks side by side, running sums, then back in order.
        order = np.argsort(symbol, kind="stable")
        grouped = symbol[order]
        walked = np.cumsum(random.normal(0, _STEP, _BLOCK))
        first = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
        lengths = np.diff(np.r_[first, _BLOCK])
        before = np.r_[0.0, walked][first]
        log_price = self._log_price[grouped] + walked - np.repeat(before, lengths)
        middle = self._middle[grouped]
        np.clip(log_price, middle - _RANGE, middle + _RANGE, out=log_price)
        self._log_price[grouped[first]] = log_price[first + lengths - 1]

        price_scale = self._price_scale[symbol]
        volume_scale = self._volume_scale[symbol]
        price = np.empty(_BLOCK)
        price[order] = np.exp(log_price)
        volume = np.exp(random.normal(self._volume_middle[symbol], 1.2))
        block["time_ns"] = times
        block["symbol"] = symbol
        block["price"] = np.maximum(np.rint(price * price_scale), 1) / price_scale
        block["volume"] = np.ceil(volume * volume_scale) / volume_scale
        block["side"] = random.choice(np.array([1, -1, 0], np.int32), _BLOCK, p=[0.46, 0.46, 0.08])
        return block
