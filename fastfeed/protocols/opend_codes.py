"""OpenD's securities (market number and bare code), kinds of data and options, and the names that fastfeed gives them.

A canonical symbol is ``TICKER.REGION``: ``700.HK``, ``AAPL.US``, ``.DJI.US``, ``600519.SH``. OpenD's own
``HK.00700`` is understood wherever a symbol is, and means the same. Where both readings are possible
(``US.CA``), the canonical one is taken. Hong Kong's numeric codes lose their leading zeros in canonical
form and are five digits long on the wire.

`native/include/fastfeed/opend_names.h` does the same for names that arrive: the two change together.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

from fastfeed.protocols.intervals import DAY_S, interval_of

__all__ = [
    "ADJUSTMENTS",
    "INTERVALS",
    "KINDS",
    "MARKETS",
    "MAX_CODE_BYTES",
    "MAX_MARKET",
    "MOST_SYMBOLS",
    "REGIONS",
    "SESSIONS",
    "SUB_TYPES",
    "Interval",
    "canonical",
    "canonical_symbol",
    "interval",
    "security",
]

#: Market numbers by region (Qot_Common.QotMarket). 2 is the obsolete number of Hong Kong's futures.
MARKETS = {
    "HK": 1,
    "HK_FUTURE": 2,
    "US": 11,
    "SH": 21,
    "SZ": 22,
    "SG": 31,
    "JP": 41,
    "AU": 51,
    "MY": 61,
    "CA": 71,
    "FX": 81,
    "CC": 91,
    "EC": 101,
}
#: Regions by these numbers.
REGIONS = {number: region for region, number in MARKETS.items()}

#: Longest code accepted, in bytes, in both directions; option codes have about 20.
MAX_CODE_BYTES = 64

#: Symbols in a subscription or a pull of quotes, as the official client.
MOST_SYMBOLS = 100

#: Largest market number accepted, in both directions.
MAX_MARKET = 0xFFFF


def canonical(market: int, code: str) -> str:
    """Return the canonical symbol of a security; regions without a name become ``M`` and their number."""
    region = REGIONS.get(market) or f"M{market}"
    if region == "HK" and code.isascii() and code.isdigit():
        code = code.lstrip("0") or "0"
    return f"{code}.{region}"


def security(symbol: str) -> tuple[int, str]:
    """Return OpenD's market number and bare code of a symbol in either form.

    Raises
    ------
    ValueError
        Neither ``TICKER.REGION`` nor ``REGION.CODE`` with a region that OpenD has.
    """
    if not isinstance(symbol, str):
        raise TypeError(f"expected a symbol such as '700.HK', got {symbol!r}")
    ticker, _, region = symbol.rpartition(".")
    market = _market(region)
    if market is None:
        region, _, ticker = symbol.partition(".")
        market = MARKETS.get(region)
        if market is None:
            raise ValueError(
                f"expected a symbol such as '700.HK' or 'HK.00700', got {symbol!r}; "
                f"regions: {', '.join(MARKETS)}"
            )
    if not ticker or len(ticker) > MAX_CODE_BYTES or any(not "!" <= c <= "~" for c in ticker):
        raise ValueError(
            f"expected a ticker of 1 to {MAX_CODE_BYTES} printable ASCII characters, got {symbol!r}"
        )
    if market == MARKETS["HK"] and ticker.isdigit():
        ticker = (ticker.lstrip("0") or "0").rjust(5, "0")
    return market, ticker


@lru_cache(maxsize=1 << 16)
def canonical_symbol(symbol: str) -> str:
    """Return the canonical form of a symbol in either form.

    Raises
    ------
    ValueError
        It cannot be one.
    """
    return canonical(*security(symbol))


def _market(region: str) -> int | None:
    market = MARKETS.get(region)
    if market is None and region[:1] == "M" and region[1:].isascii() and region[1:].isdigit():
        number = int(region[1:])
        if number <= MAX_MARKET and number not in REGIONS and region == f"M{number}":
            market = number
    return market


class Interval(NamedTuple):
    """The length of a bar and OpenD's numbers for it."""

    name: str
    kl_type: int  #: Qot_Common.KLType
    sub_type: int  #: Qot_Common.SubType
    seconds: int  #: of a month 30, of a quarter 90, of a year 365 days


#: By name. ``1m`` is a minute, ``1M`` a month.
INTERVALS = {
    name: Interval(name, kl_type, sub_type, seconds)
    for name, kl_type, sub_type, seconds in (
        ("1m", 1, 11, 60),
        ("3m", 10, 17, 180),
        ("5m", 6, 7, 300),
        ("10m", 12, 18, 600),
        ("15m", 7, 8, 900),
        ("30m", 8, 9, 1800),
        ("1h", 9, 10, 3600),
        ("2h", 13, 19, 7200),
        ("3h", 14, 20, 10800),
        ("4h", 15, 21, 14400),
        ("1d", 2, 6, DAY_S),
        ("1w", 3, 12, 7 * DAY_S),
        ("1M", 4, 13, 30 * DAY_S),
        ("3M", 11, 15, 90 * DAY_S),
        ("1y", 5, 16, 365 * DAY_S),
    )
}

#: Return the interval of a name such as ``5m``. ValueError.
interval = partial(interval_of, INTERVALS)

#: Numbers of kinds (Qot_Common.SubType).
SUB_TYPES = {
    **{"quotes": 1, "books": 2, "ticks": 4, "timeshare": 5, "brokers": 14, "odd_books": 22},
    **{f"bars:{name}": interval.sub_type for name, interval in INTERVALS.items()},
}
#: Kinds by these numbers.
KINDS = {number: kind for kind, number in SUB_TYPES.items()}

#: For what bars are adjusted (Qot_Common.RehabType).
ADJUSTMENTS = {"none": 0, "forward": 1, "backward": 2}

#: Trading sessions that are asked for (Common.Session).
SESSIONS = {"RTH": 1, "ETH": 2, "ALL": 3}
