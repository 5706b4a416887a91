"""OpenD's securities (market number and bare code) and the names that fastfeed gives them.

A canonical symbol is ``TICKER.REGION``: ``700.HK``, ``AAPL.US``, ``.DJI.US``, ``600519.SH``. OpenD's own
``HK.00700`` is understood wherever a symbol is, and means the same. Where both readings are possible
(``US.CA``), the canonical one is taken. Hong Kong's numeric codes lose their leading zeros in canonical
form and are five digits long on the wire.

`native/include/fastfeed/opend_names.h` does the same for names that arrive: the two change together.
"""

from __future__ import annotations

__all__ = ["MARKETS", "MAX_CODE_BYTES", "MAX_MARKET", "canonical", "security"]

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
_REGIONS = {number: region for region, number in MARKETS.items()}

#: Longest code accepted, in bytes, in both directions; option codes have about 20.
MAX_CODE_BYTES = 64

#: Largest market number accepted, in both directions.
MAX_MARKET = 0xFFFF


def canonical(market: int, code: str) -> str:
    """Return the canonical symbol of a security; regions without a name become ``M`` and their number."""
    region = _REGIONS.get(market) or f"M{market}"
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


def _market(region: str) -> int | None:
    market = MARKETS.get(region)
    if market is None and region[:1] == "M" and region[1:].isascii() and region[1:].isdigit():
        number = int(region[1:])
        if number <= MAX_MARKET and number not in _REGIONS and region == f"M{number}":
            market = number
    return market
