"""AllTick's codes: what they are, where they trade, how their numbers are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fastfeed.protocols.market_hours import region_of
from fastfeed.sim.decimals import fixed, plain
from fastfeed.sim.instruments import instrument

__all__ = [
    "CRYPTO_NAMES",
    "STOCK_NAMES",
    "Code",
    "Formats",
    "MarketName",
    "code",
    "formats",
    "names",
]

MarketName = Literal["stock", "crypto"]

_LEVELS = {"HK": 10, "SH": 5, "SZ": 5, "US": 1, "CC": 5, "FX": 1}  # most of a side
_STOCK = re.compile(r"[!-~]{1,12}\.(HK|US|SH|SZ)")
_GENERAL = re.compile(r"[!-~]{1,16}")

STOCK_NAMES = (
    "AAPL.US", "700.HK", "NVDA.US", "TSLA.US", "9988.HK", "SPY.US", "600519.SH", "000651.SZ",
    "BRK.A.US", "1288.HK",
)  # fmt: skip
CRYPTO_NAMES = (
    "BTCUSDT", "ETHUSDT", "EURUSD", "GOLD", "USDJPY", "SOLUSDT", "USOIL", "GBPUSD", "Silver",
    "US500",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Code:
    """A code of AllTick."""

    code: str
    symbol: str
    """Of the market behind it."""
    levels: int
    """Most levels of a side of its book."""

    @property
    def region(self) -> str:
        return self.symbol.rpartition(".")[2]


def code(text: str, market: MarketName) -> Code:
    """Return what a code names on one of the vendor's two sides.

    Raises
    ------
    ValueError
        It belongs to the other side, or is not written as the vendor writes it.
    """
    if market == "stock":
        found = _STOCK.fullmatch(text)
        if not found or (found[1] == "HK" and text.startswith("0")) or len(text) > 16:
            raise ValueError(f"expected a code such as 700.HK or AAPL.US, got {text!r}")
        return Code(text, text, _LEVELS[found[1]])
    text = text.removesuffix(".CC")
    if not _GENERAL.fullmatch(text) or "." in text:
        raise ValueError(f"expected a code such as BTCUSDT or EURUSD, got {text!r}")
    region = region_of(text)
    return Code(text, f"{text}.{region}", _LEVELS[region])


def names(count: int, market: MarketName) -> tuple[str, ...]:
    """Return `count` codes: a few well-known ones, then synthetic ones."""
    known, synthetic = (
        (STOCK_NAMES, "SIM{:05}.US") if market == "stock" else (CRYPTO_NAMES, "SIM{:05}USDT")
    )
    return known[:count] + tuple(synthetic.format(i) for i in range(count - len(known)))


# How numbers are written. Every text of a price is exact: it reads back as the number it was.


@dataclass(frozen=True, slots=True)
class Formats:
    """How the numbers of a code are written."""

    price: Callable[[float], str]
    volume: Callable[[float], str]
    turnover: Callable[[float], str]


def formats(found: Code) -> Formats:
    """Return how the numbers of a code are written."""
    if found.region == "CC":
        return Formats(plain, plain, lambda number: plain(round(number, 8)))
    if found.region == "FX":
        digits = len(plain(instrument(found.symbol).spread).partition(".")[2])
        return Formats(fixed(digits), fixed(2), "{:.2f}".format)
    return Formats(fixed(6), plain, "{:.6f}".format)
