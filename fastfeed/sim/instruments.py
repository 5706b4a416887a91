"""What can be said of simulated securities without a price: names, terms, plates, option chains.

Everything follows from the symbol: what it names (a stock, an option, ...), and numbers drawn from
a hash of it, which are the same in every run.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

__all__ = [
    "Instrument",
    "Plate",
    "chance",
    "expiries",
    "instrument",
    "option_symbols",
    "plates",
    "relatives",
]

_OPTION = re.compile(r"(?P<class>[A-Z.]{1,8}?)(?P<date>\d{6})(?P<right>[CP])(?P<strike>\d+)")
_FUTURE = re.compile(r"(?P<class>[A-Z]{2,4})(main|current|\d{4})")
_ETFS = {"SPY.US", "QQQ.US", "IWM.US", "2800.HK", "3033.HK", "510300.SH", "159915.SZ"}
_CLASSES = {"TCH": "700.HK", "ALB": "9988.HK", "MET": "3690.HK"}  # of Hong Kong's options
_SCALE = {"HK": 1000, "US": 1000}
_LOTS = {"HK": 100, "SH": 100, "SZ": 100, "JP": 100, "SG": 100}

#: Securities that are there besides those that trade, by region.
_OTHERS = {
    "HK": ("800000.HK", "HSImain.HK", "13579.HK", "60123.HK"),
    "US": (".DJI.US", "ESmain.US"),
    "SG": ("CNmain.SG",),
    "JP": ("NK225main.JP",),
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """A security."""

    symbol: str
    kind: str
    """bond, stock, etf, warrant, index, plate, option, future, forex or crypto"""
    id: int
    name: str
    lot_size: int
    listed: date
    price: float
    """What it costs before anybody traded it."""
    spread: float
    """The least distance of two prices."""
    owner: str = ""
    right: str = ""
    """Options: call or put. Warrants: call, put, bull or bear."""
    strike: float = 0.0
    expiry: date | None = None

    @property
    def region(self) -> str:
        return self.symbol.rpartition(".")[2]

    @property
    def code(self) -> str:
        return self.symbol.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Plate:
    """A group of securities."""

    symbol: str
    name: str
    kind: int
    """1 industry, 2 region, 3 concept"""


def chance(*seed: object) -> float:
    """Return a number from 0 to 1 that depends on `seed` only."""
    return zlib.crc32(repr(seed).encode()) / (1 << 32)


@lru_cache(1 << 16)
def instrument(symbol: str) -> Instrument:
    """Return what a symbol names; every symbol names something."""
    code, _, region = symbol.rpartition(".")
    kind, owner, right, strike, expiry = "stock", "", "", 0.0, None
    price = round(5 + 295 * chance(symbol, "price") ** 2, 2)
    if region == "CC":
        kind = "crypto"
    elif region == "FX":
        kind = "forex"
    elif symbol in _ETFS:
        kind = "etf"
    elif code.startswith(".") or (region == "HK" and re.fullmatch("800\\d{3}", code)):
        kind, price = "index", round(10000 + 10000 * chance(symbol), 2)
    elif re.fullmatch("(LIST|BK)\\d+", code):
        kind = "plate"
    elif (found := _OPTION.fullmatch(code)) and (expiry := _date(found["date"])):
        kind = "option"
        owner = _CLASSES.get(found["class"], f"{found['class']}.{region}")
        right = "call" if found["right"] == "C" else "put"
        strike = int(found["strike"]) / _SCALE.get(region, 1000)
        price = round(0.5 + 20 * chance(symbol), 2)
    elif _FUTURE.fullmatch(code) or code.endswith("main"):
        kind, expiry = "future", date(2030, 12, 30)
        price = round(5000 + 15000 * chance(symbol), 0)
    elif region == "HK" and re.fullmatch("[1256]\\d{4}", code):
        kind, owner, expiry = "warrant", "700.HK", date(2030, 6, 28)
        right = {"1": "call", "2": "put", "5": "bull", "6": "bear"}[code[0]]
        strike = 500.0
        price = round(0.05 + 0.4 * chance(symbol), 3)
    spread = 0.001 if price < 0.25 else 0.01 if price < 10_000 else 1.0
    if kind == "forex" and re.fullmatch("[A-Z]{6}", code):
        spread = 0.001 if code.endswith("JPY") else 0.01 if code.startswith("XA") else 0.00001
    return Instrument(
        symbol=symbol,
        kind=kind,
        id=50_000_000 + zlib.crc32(symbol.encode()),
        name=code.rjust(5, "0") if region == "HK" and code.isdigit() else code,
        lot_size=100 if kind == "option" else 50 if kind == "future" else 10_000
        if kind == "warrant" else 0 if kind in {"index", "plate"} else _LOTS.get(region, 1),
        listed=date(2000, 1, 3) + timedelta(int(3000 * chance(symbol, "listed"))),
        price=price,
        spread=spread,
        owner=owner,
        right=right,
        strike=strike,
        expiry=expiry,
    )  # fmt: skip


def _date(text: str) -> date | None:
    try:
        return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        return None


def relatives(symbols: Sequence[str]) -> Iterator[str]:
    """Yield the symbols of indices, futures and warrants of the regions of `symbols`."""
    for region in sorted({symbol.rpartition(".")[2] for symbol in symbols}):
        yield from _OTHERS.get(region, ())


_PLATE_NAMES = (
    ("Banks", 1), ("Software", 1), ("Retail", 1), ("North", 2), ("South", 2), ("Robots", 3),
)  # fmt: skip


def plates(region: str) -> list[Plate]:
    """Return the plates of a region; its security number i is in each one whose number divides i."""
    prefix = "BK" if region in {"SH", "SZ"} else "LIST"
    return [
        Plate(f"{prefix}{1001 + i}.{region}", f"{region} {name}", kind)
        for i, (name, kind) in enumerate(_PLATE_NAMES)
    ]


def expiries(today: date) -> list[date]:
    """Return the next twelve days on which options expire: third Fridays."""
    found: list[date] = []
    first = today.replace(day=1)
    while len(found) < 12:
        friday = first + timedelta((4 - first.weekday()) % 7 + 14)
        if friday >= today:
            found.append(friday)
        first = (first + timedelta(32)).replace(day=1)
    return found


def option_symbols(owner: Instrument, expiry: date, price: float) -> list[tuple[str, str]]:
    """Return the calls and puts of an expiry: pairs, by ascending strike, eleven around `price`."""
    if owner.kind not in {"stock", "etf"} or owner.region not in _SCALE:
        return []
    name = owner.code
    if owner.region == "HK":
        classes = {symbol: name for name, symbol in _CLASSES.items()}
        if owner.symbol not in classes:
            return []
        name = classes[owner.symbol]
    step = 10.0 if price >= 200 else 5.0 if price >= 50 else 1.0
    middle = round(price / step)
    strikes = [step * (middle + i) for i in range(-5, 6) if middle + i > 0]
    stem = f"{name}{expiry:%y%m%d}"
    return [
        tuple(f"{stem}{right}{round(strike * 1000)}.{owner.region}" for right in "CP")  # type: ignore[misc]
        for strike in strikes
    ]
