"""What LongPort's pulls of static data return: immutable records, made from its messages.

Their fields have the vendor's names; where OpenD has records of the same name with other contents, theirs begins with
``LongPort``. The same rules hold everywhere:

- symbols are canonical (``"700.HK"``), an empty one is None;
- decimals are floats, NaN where nothing was sent; ratios and volatilities are fractions (0.25 is 25 %), as LongPort
  sends them. Whole numbers that were not sent are 0: proto3 does not tell the two apart;
- dates are `datetime.date`, None where nothing was sent; times are ns since 1970 UTC, in fields that end in ``_ns``;
- enumerations are words (``"BULL"``); a number that has no word here is its digits, ``"38"``.
"""

from __future__ import annotations

import datetime
import math
import re
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fastfeed.feeds.records import Convert, Maker, Of, nanoseconds
from fastfeed.protocols.longport_codes import KINDS, code

__all__ = [
    "CapitalBySize",
    "CapitalDistribution",
    "CapitalFlow",
    "CommandLimit",
    "Connections",
    "LongPortOptionChain",
    "LongPortStaticInfo",
    "LongPortTradingDay",
    "MarketPackages",
    "MarketSessions",
    "OptionPair",
    "OptionQuotes",
    "OptionTerms",
    "Package",
    "Participant",
    "Profile",
    "SubscribedKinds",
    "TradingSession",
    "Warrant",
    "WarrantIssuer",
    "WarrantQuotes",
    "WarrantTerms",
    "Warrants",
    "as_symbol",
    "date_of",
    "decimal",
    "profile_of",
    "record",
]

TRADING_SESSION = {0: "NORMAL", 1: "PRE", 2: "POST", 3: "OVERNIGHT"}
DERIVATIVE = {1: "OPTION", 2: "WARRANT"}
WARRANT_KIND = {0: "CALL", 1: "PUT", 2: "BULL", 3: "BEAR", 4: "INLINE"}
WARRANT_STATUS = {2: "SUSPENDED", 3: "TO_BE_LISTED", 4: "NORMAL"}

_OPTION_STYLE = {"A": "AMERICAN", "U": "EUROPEAN"}
_OPTION_DIRECTION = {"C": "CALL", "P": "PUT"}
_SUBSCRIBED = {number: kind for kind, number in KINDS.items()}

_DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{0,40})?")
_DATE = re.compile(r"[0-9]{8}")


def decimal(text: str, *, percent: bool = False) -> float:
    """Return a decimal, or its hundredfold, correctly rounded; NaN for what is none."""
    return float(f"{text}e2" if percent else text) if _DECIMAL.fullmatch(text) else math.nan


def date_of(text: str) -> datetime.date | None:
    """Return the date of ``"yyyymmdd"``; None for what is none."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def as_symbol(text: str) -> str:
    """Return a symbol of LongPort's in canonical form; what cannot be one stays as it is."""
    try:
        return code(text)
    except ValueError:
        return text


def _symbol(path: str) -> Of:
    return Of(path, convert=as_symbol)


def _maybe_symbol(path: str) -> Of:
    return Of(path, convert=lambda text: as_symbol(text) if text else None)


def _seconds(path: str) -> Of:
    return Of(path, convert=nanoseconds)


def _word(path: str, words: dict[str, str]) -> Of:
    return Of(path, convert=lambda text: words.get(text, text))


def _minute(path: str) -> Of:
    return Of(path, convert=lambda hhmm: hhmm // 100 * 60 + hhmm % 100)


# the account


class Connections(msgspec.Struct, frozen=True):
    """Connections of the account to the gateway."""

    limit: int
    """How many there may be."""
    online: int
    """How many there are."""


class CommandLimit(msgspec.Struct, frozen=True):
    """How often one command may be sent."""

    command: int
    limit: int
    """Calls a second in the long run."""
    burst: int
    """Calls at once."""


class Package(msgspec.Struct, frozen=True):
    """A package of quotes that the account has."""

    key: str
    name: str
    description: str
    start_ns: Annotated[int | None, _seconds("start")]
    end_ns: Annotated[int | None, _seconds("end")]


class MarketPackages(msgspec.Struct, frozen=True):
    """What the account has of one market."""

    packages: tuple[Package, ...]
    warning_msg: str
    """Of a market without a package."""


class Profile(msgspec.Struct, frozen=True):
    """The account: its rights to quotes and its limits."""

    member_id: int
    quote_level: str
    """Such as ``"HKAA:OpenAPI|HKAA|Global|Delay"``."""
    subscribe_limit: int
    """Symbols subscribed at a time."""
    history_candlestick_limit: int
    """Symbols whose history may be pulled in a month."""
    rate_limits: tuple[CommandLimit, ...]
    packages: dict[str, Package]
    """By key."""
    markets: dict[str, MarketPackages]
    """By ``US``, ``HK``, ``CN``, ``USOption``."""


class SubscribedKinds(msgspec.Struct, frozen=True):
    """To what a symbol is subscribed, as LongPort knows it."""

    symbol: Annotated[str, _symbol("symbol")]
    kinds: Annotated[tuple[str, ...], Of("sub_type", _SUBSCRIBED)]


# securities


class LongPortStaticInfo(msgspec.Struct, frozen=True):
    """What a security is."""

    symbol: Annotated[str, _symbol("symbol")]
    name_cn: str
    name_en: str
    name_hk: str
    listing_date: datetime.date | None
    exchange: str
    currency: str
    lot_size: int
    total_shares: int
    circulating_shares: int
    hk_shares: int
    """Of Hong Kong's only."""
    eps: float
    eps_ttm: float
    bps: float
    dividend_yield: float
    """The dividend of a share, not a ratio."""
    stock_derivatives: Annotated[tuple[str, ...], Of("stock_derivatives", DERIVATIVE)]
    """Of ``OPTION`` and ``WARRANT`` those that there are."""
    board: str
    """Such as ``"HKEquity"``, ``"USMain"``."""


class OptionTerms(msgspec.Struct, frozen=True):
    """What belongs to an option only, and is not in its row."""

    symbol: Annotated[str, _symbol("symbol")]
    underlying_symbol: Annotated[str | None, _maybe_symbol("option_extend.underlying_symbol")]
    expiry_date: Annotated[datetime.date | None, Of("option_extend.expiry_date")]
    direction: Annotated[str, _word("option_extend.direction", _OPTION_DIRECTION)]
    """``CALL`` or ``PUT``."""
    contract_type: Annotated[str, _word("option_extend.contract_type", _OPTION_STYLE)]
    """``AMERICAN`` or ``EUROPEAN``."""
    historical_volatility: Annotated[float, Of("option_extend.historical_volatility")]
    """Of the underlying."""


class WarrantTerms(msgspec.Struct, frozen=True):
    """What belongs to a warrant only, and is not in its row."""

    symbol: Annotated[str, _symbol("symbol")]
    underlying_symbol: Annotated[str | None, _maybe_symbol("warrant_extend.underlying_symbol")]
    category: Annotated[str, Of("warrant_extend.category", convert=str.upper)]
    """``CALL``, ``PUT``, ``BULL``, ``BEAR``, ``INLINE``."""
    expiry_date: Annotated[datetime.date | None, Of("warrant_extend.expiry_date")]
    last_trade_date: Annotated[datetime.date | None, Of("warrant_extend.last_trade_date")]
    outstanding_ratio: Annotated[float, Of("warrant_extend.outstanding_ratio")]
    outstanding_qty: Annotated[int, Of("warrant_extend.outstanding_qty")]
    conversion_ratio: Annotated[float, Of("warrant_extend.conversion_ratio")]
    upper_strike_price: Annotated[float, Of("warrant_extend.upper_strike_price")]
    lower_strike_price: Annotated[float, Of("warrant_extend.lower_strike_price")]
    call_price: Annotated[float, Of("warrant_extend.call_price")]


class OptionQuotes(NamedTuple):
    """Quotes of options: a row and a record of each."""

    rows: NDArray[np.void]
    terms: list[OptionTerms]


class WarrantQuotes(NamedTuple):
    """Quotes of warrants: a row and a record of each."""

    rows: NDArray[np.void]
    terms: list[WarrantTerms]


class OptionPair(msgspec.Struct, frozen=True):
    """Call and put of one strike price."""

    strike_price: Annotated[float, Of("price")]
    call: Annotated[str | None, _maybe_symbol("call_symbol")]
    put: Annotated[str | None, _maybe_symbol("put_symbol")]
    standard: bool


class LongPortOptionChain(msgspec.Struct, frozen=True):
    """The options of one expiry."""

    expiry: datetime.date
    options: tuple[OptionPair, ...]


class Warrant(msgspec.Struct, frozen=True):
    """A warrant as the list of warrants has it; what does not fit its kind is 0 or NaN."""

    symbol: Annotated[str, _symbol("symbol")]
    name: str
    kind: Annotated[str, Of("type", WARRANT_KIND)]
    status: Annotated[str, Of("status", WARRANT_STATUS)]
    last_done: float
    change_rate: float
    change_val: float
    volume: int
    turnover: float
    expiry_date: datetime.date | None
    strike_price: float
    upper_strike_price: float
    lower_strike_price: float
    outstanding_qty: float
    outstanding_ratio: float
    premium: float
    itm_otm: float
    """How far in (or, negative, out of) the money."""
    implied_volatility: float
    delta: float
    call_price: float
    to_call_price: float
    effective_leverage: float
    leverage_ratio: float
    conversion_ratio: float
    balance_point: float
    """Break-even."""


class Warrants(msgspec.Struct, frozen=True):
    """Some of the warrants that were looked for."""

    total: int
    """How many there are."""
    warrants: list[Warrant]


class WarrantIssuer(msgspec.Struct, frozen=True):
    """Who issues warrants."""

    id: int
    name_cn: str
    name_en: str
    name_hk: str


class Participant(msgspec.Struct, frozen=True):
    """A broker of Hong Kong's exchange, and the numbers it has in broker queues."""

    broker_ids: tuple[int, ...]
    participant_name_cn: str
    participant_name_en: str
    participant_name_hk: str


# flows of capital


class CapitalFlow(msgspec.Struct, frozen=True):
    """The net inflow of the day up to a minute."""

    time_ns: Annotated[int | None, _seconds("timestamp")]
    inflow: float
    """Negative: more flowed out."""


class CapitalBySize(msgspec.Struct, frozen=True):
    """Turnover by the size of orders."""

    large: float
    medium: float
    small: float


class CapitalDistribution(msgspec.Struct, frozen=True):
    """Capital that flowed into and out of a security today."""

    symbol: Annotated[str, _symbol("symbol")]
    time_ns: Annotated[int | None, _seconds("timestamp")]
    capital_in: CapitalBySize | None
    capital_out: CapitalBySize | None


# markets


class TradingSession(msgspec.Struct, frozen=True):
    """A trading session, in minutes from midnight of the market."""

    begin_minute: Annotated[int, _minute("beg_time")]
    end_minute: Annotated[int, _minute("end_time")]
    session: Annotated[str, Of("trade_session", TRADING_SESSION)]
    """``NORMAL``, ``PRE``, ``POST``, ``OVERNIGHT``."""


class MarketSessions(msgspec.Struct, frozen=True):
    """The trading sessions of a market."""

    market: str
    sessions: Annotated[tuple[TradingSession, ...], Of("trade_session")]


class LongPortTradingDay(msgspec.Struct, frozen=True):
    """A day on which the market is open, or half of it."""

    date: datetime.date
    kind: str
    """``WHOLE`` or ``HALF``."""


# from messages to records


def _conversion(value_types: tuple[Any, ...]) -> Convert | None:
    if float in value_types:
        return decimal
    return date_of if datetime.date in value_types else None


#: Return the record of a message.
record = Maker(_conversion, tells_absence=False)


def profile_of(message: Any) -> Profile:
    """Return the record of a profile, whose packages are maps."""
    detail = message.quote_level_detail
    return Profile(
        message.member_id,
        message.quote_level,
        message.subscribe_limit,
        message.history_candlestick_limit,
        tuple(record(CommandLimit, one) for one in message.rate_limit),
        {key: record(Package, one) for key, one in sorted(detail.by_package_key.items())},
        {key: record(MarketPackages, one) for key, one in sorted(detail.by_market_code.items())},
    )
