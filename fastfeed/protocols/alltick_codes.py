"""AllTick's numbers, addresses and plans (vendor documents of 2026-07).

Its codes are the symbols: ``700.HK``, ``AAPL.US``, ``BTCUSDT``, ``GOLD``, ``Silver``. They are case-sensitive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = [
    "HEARTBEAT",
    "INTERVALS",
    "KINDS",
    "MARKETS",
    "MAX_CODE_BYTES",
    "MOST_BARS",
    "MOST_BARS_OF_MANY",
    "PLANS",
    "REFUSED_TOKEN",
    "SUBSCRIBE_BOOKS",
    "SUBSCRIBE_TICKS",
    "UNSUBSCRIBE",
    "Kind",
    "Market",
    "Plan",
    "code",
    "http_path",
    "is_known",
    "reason",
]

#: Values of cmd_id; answers have the number that follows. Those of pushes are the machine's.
HEARTBEAT = 22000
SUBSCRIBE_BOOKS = 22002
SUBSCRIBE_TICKS = 22004
UNSUBSCRIBE = 22006  # everything of a kind

MAX_CODE_BYTES = 16
MOST_BARS = 500  # of one symbol, by HTTP
MOST_BARS_OF_MANY = 2  # of each of several symbols in one request

_OK = 200
REFUSED_TOKEN = (401, 403)
#: What the vendor's other return codes mean.
_REASONS = {
    201: "invalid request",
    202: "invalid request",
    400: "invalid request",
    401: "token refused",
    402: "invalid query",
    403: "token refused",
    429: "too many requests",
    600: "unknown code",
    601: "no body",
    603: "more than the plan allows",
    604: "no right to that code",
    605: "too many requests",
    606: "too many requests, the connection will be closed",
}


class Kind(NamedTuple):
    """How a stream is subscribed to."""

    subscribe: int
    cancel_type: int
    item: dict[str, object]  # what stands beside each code


#: Of books as many levels are asked for as any market has: the vendor gives what there is.
KINDS = {
    "ticks": Kind(SUBSCRIBE_TICKS, 2, {}),
    "books": Kind(SUBSCRIBE_BOOKS, 1, {"depth_level": 10}),
}


class Market(NamedTuple):
    """One side of the vendor; the two do not share codes."""

    url: str
    intervals: tuple[str, ...]

    @property
    def path(self) -> str:
        """The WebSocket's."""
        return urlsplit(self.url).path


#: Bars by the name of their length: kline_type.
INTERVALS = {
    "1m": 1, "5m": 2, "15m": 3, "30m": 4, "1h": 5, "2h": 6, "4h": 7, "1d": 8, "1w": 9, "1M": 10,
}  # fmt: skip

#: ``crypto`` is the general side: crypto, forex, metals, energy, CFD indices.
MARKETS = {
    "stock": Market(
        "wss://quote.alltick.co/quote-stock-b-ws-api",
        tuple(name for name in INTERVALS if name not in ("2h", "4h")),
    ),
    "crypto": Market("wss://quote.alltick.co/quote-b-ws-api", tuple(INTERVALS)),
}


def http_path(path: str) -> str:
    """Return what the names of HTTP methods follow, beside a WebSocket's path; empty if that is not the vendor's."""
    suffix = "-ws-api"
    return path.removesuffix(suffix) + "-api/" if path.endswith(suffix) else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a token may do."""

    connections: int
    """Over WebSocket, at once."""
    codes: int
    """In a subscription; each kind by itself."""
    reconnect_gap_s: float
    """Least time between two attempts to connect."""
    request: tuple[int, float]
    """So many in so many seconds, for each method over HTTP."""
    batch: tuple[int, float]
    """The same for bars of many codes."""
    per_minute: int
    """Requests over HTTP, of all methods."""
    per_day: int
    groups: int
    """Codes and kinds of bars in a batch."""
    http_codes: int = 50
    """Codes in one request over HTTP."""
    only: frozenset[str] | None = None
    """Codes that may be asked for, None: all."""


_DEMONSTRATION = frozenset((
    "USDJPY", "GOLD", "USOIL", "HSI.HK", "BTCUSDT", ".DJI.US", "TSLA.US", "700.HK", "000001.SH",
    "399001.SZ",
))  # fmt: skip

PLANS = {
    "free": Plan(1, 5, 10.0, (1, 10.0), (1, 10.0), 10, 1_000, 5, http_codes=5, only=_DEMONSTRATION),
    "basic": Plan(1, 100, 3.0, (1, 1.0), (1, 3.0), 60, 86_400, 100),
    "premium": Plan(3, 200, 3.0, (10, 1.0), (1, 2.0), 600, 864_000, 200),
    "professional": Plan(10, 3000, 3.0, (20, 1.0), (1, 1.0), 1_200, 1_728_000, 500),
}


def code(symbol: str) -> str:
    """Return a symbol as it is, if it can be one of AllTick's codes; ValueError."""
    if not isinstance(symbol, str):
        raise TypeError(f"expected a symbol such as 'BTCUSDT', got {symbol!r}")
    if not 0 < len(symbol) <= MAX_CODE_BYTES or not all("!" <= c <= "~" for c in symbol):
        raise ValueError(
            f"expected a symbol of 1 to {MAX_CODE_BYTES} printable characters such as 'BTCUSDT' or '700.HK', "
            f"got {symbol!r}"
        )
    return symbol


def is_known(number: int) -> bool:
    """Return whether the vendor has a return code."""
    return number == _OK or number in _REASONS


def reason(number: int) -> str:
    """Return what a return code means."""
    return _REASONS.get(number, "refused")
