"""LongPort's (Longbridge's) numbers, addresses and limits (vendor documents and clients of 2026).

Its symbols are the canonical ones: ``700.HK``, ``AAPL.US``, ``600519.SH``, ``.IXIC.US``; only leading zeros of Hong
Kong's codes are dropped.
"""

from __future__ import annotations

import enum
from functools import partial
from typing import NamedTuple

from fastfeed.protocols.intervals import DAY_S, interval_of
from fastfeed.protocols.opend_codes import canonical_symbol

__all__ = [
    "CALLS_AT_ONCE",
    "CALLS_PER_S",
    "HOSTS",
    "INTERVALS",
    "KINDS",
    "MOST_BARS",
    "MOST_SYMBOLS",
    "MOST_TRADES",
    "CloseReason",
    "Hosts",
    "Interval",
    "Status",
    "code",
    "interval",
    "reason",
]

MOST_SYMBOLS = 500  # of a request, and subscribed in all
MOST_TRADES = 1000
MOST_BARS = 1000
#: Where the profile says nothing else.
CALLS_PER_S = 10
CALLS_AT_ONCE = 5


class Hosts(NamedTuple):
    """The addresses of a region."""

    http: str
    websocket: str
    tcp: str


HOSTS = {
    "global": Hosts(
        "https://openapi.longbridge.com",
        "wss://openapi-quote.longbridge.com/v2",
        "tcp://openapi-quote.longbridge.com:2020",
    ),
    "cn": Hosts(
        "https://openapi.longbridge.cn",
        "wss://openapi-quote.longbridge.cn/v2",
        "tcp://openapi-quote.longbridge.cn:2020",
    ),
}

#: SubType by kind of subscription: numbers, not bits.
KINDS = {"quotes": 1, "books": 2, "brokers": 3, "ticks": 4}


class Interval(NamedTuple):
    """The length of a bar and LongPort's number for it."""

    name: str
    period: int
    seconds: int  #: of a month 30, of a quarter 90, of a year 365 days


#: By name. ``1m`` is a minute, ``1M`` a month.
INTERVALS = {
    **{
        name: Interval(name, minutes, minutes * 60)
        for name, minutes in (
            ("1m", 1), ("2m", 2), ("3m", 3), ("5m", 5), ("10m", 10), ("15m", 15), ("20m", 20),
            ("30m", 30), ("45m", 45), ("1h", 60), ("2h", 120), ("3h", 180), ("4h", 240),
        )
    },
    "1d": Interval("1d", 1000, DAY_S),
    "1w": Interval("1w", 2000, 7 * DAY_S),
    "1M": Interval("1M", 3000, 30 * DAY_S),
    "3M": Interval("3M", 3500, 90 * DAY_S),
    "1y": Interval("1y", 4000, 365 * DAY_S),
}  # fmt: skip

#: Return the interval of a name such as ``5m``. ValueError.
interval = partial(interval_of, INTERVALS)


class Status(enum.IntEnum):
    """Status of a response; numbers beyond these are possible."""

    SUCCESS = 0
    SERVER_TIMEOUT = 1
    CLIENT_TIMEOUT = 2
    BAD_REQUEST = 3
    BAD_RESPONSE = 4
    UNAUTHENTICATED = 5
    PERMISSION_DENIED = 6
    SERVER_ERROR = 7
    CLIENT_ERROR = 8


class CloseReason(enum.IntEnum):
    """Why the server hangs up, in the close push."""

    HEARTBEAT_TIMEOUT = 0
    SERVER_ERROR = 1
    SERVER_SHUTDOWN = 2
    UNPACK_ERROR = 3
    AUTH_ERROR = 4
    SESSION_EXPIRED = 5
    CONNECT_DUPLICATE = 6


#: What the vendor's business codes mean.
_REASONS = {
    403: "no more connections allowed",
    301600: "invalid request or unknown symbol",
    301602: "server error",
    301603: "no quotes of this security",
    301604: "no right to quotes of this security",
    301605: "too many subscriptions",
    301606: "too many requests",
    301607: "too much asked for, or the monthly quota of history is used up",
    401003: "the access token has expired",
    401004: "the access token is missing or wrong",
    403201: "the signature is wrong",
    403202: "the request was sent twice",
    403203: "the app key is wrong",
    403205: "this IP address is not allowed",
    429001: "too many requests from this IP address",
    429002: "too many requests",
    429303: "the gateway is overloaded",
    500000: "internal error",
}


def reason(business_code: int) -> str:
    """Return what a business code means."""
    return _REASONS.get(business_code, "unknown code")


#: Return the canonical form of a symbol, which is LongPort's; OpenD's form is understood as well. ValueError.
code = canonical_symbol
