"""What one asks LongPort for: the pulls of class `LongPort`, any number of them under way at once.

Every pull is one request and its reply (a long list makes several); replies may come in any order. Market data
comes back as arrays with the rows of the streams, everything else as the records of `longport_records`. Three
things are common to all:

- While the feed is reconnecting a pull waits for it, as `subscribe()` does. One that is under way when the
  connection is lost fails with ConnectError.
- No subscription is needed, only the right to the quotes.
- LongPort takes so many requests a second, and 5 at a time (`longport_codes`, and what the account's profile
  says). A pull waits for its turn; see `rate_limit`. One without an answer takes one of the 5 places until its
  timeout, and holds up nobody else.
"""

from __future__ import annotations

import abc
import asyncio
import datetime
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from fastfeed._core.longport_decoder import decode_response
from fastfeed.errors import (
    ConfigError,
    RateLimitError,
    RemoteProtocolError,
    RequestError,
)
from fastfeed.feeds import longport_records as records
from fastfeed.feeds.batches import shown
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.history import HistoryBars
from fastfeed.feeds.longport_records import as_symbol, date_of, decimal, record
from fastfeed.feeds.pulls import as_date, choose, date_span, every, in_parts, whole_number
from fastfeed.feeds.rate_limit import Limit, RateLimit, TokenBucket
from fastfeed.feeds.rows import ids_of, in_order, joined
from fastfeed.protocols import longport_codes as codes
from fastfeed.protocols.longport_codes import (
    CALLS_AT_ONCE,
    CALLS_PER_S,
    MOST_BARS,
    MOST_SYMBOLS,
    MOST_TRADES,
    Interval,
    reason,
)
from fastfeed.protocols.longport_messages import (
    MESSAGES,
    Command,
    calc_indexes,
    message_class,
    warrant_orders,
)
from fastfeed.protocols.opend_enums import number_of
from fastfeed.schema import BOOK_DEPTH, dtype
from fastfeed.schema import Session as RowSession

__all__ = ["LongportPulls", "parsed"]

Record = TypeVar("Record", bound=msgspec.Struct)

Adjust = Literal["none", "forward"]
Sessions = Literal["regular", "all"]

_STREAMS = {
    Command.QUOTES: "quotes",
    Command.DEPTH: "books",
    Command.BROKERS: "brokers",
    Command.TRADES: "ticks",
    Command.INTRADAY: "timeshare",
    Command.CANDLESTICKS: "bars",
    Command.HISTORY_CANDLESTICKS: "bars",
}

_TOO_MANY_REQUESTS = 301606
_PAUSE_S = 1.0  # after that answer: a bucket of tokens has some again
_HISTORY_CALLS, _HISTORY_WINDOW_S = 60, 30.25  # with a margin: requests do not all travel as fast

_SLICE = 50  # records made before the loop gets its turn
_DAY_S = 86400
_TRADING_DAYS = 30  # in one request
_LAST_YEAR_DAYS = 360  # LongPort has the trading days of a year
_WARRANTS_A_PAGE = 500
_MOST_WARRANTS = 100_000

_ADJUSTMENTS = {"none": 0, "forward": 1}
_SESSIONS = {"regular": 0, "all": 100}
_MARKETS = {name: name for name in ("US", "HK", "CN", "SG")}
_LANGUAGES = {"zh-CN": 0, "en": 1, "zh-HK": 2}
_BY_OFFSET, _BY_DATE = 1, 2
_NEWER = 1

_WARRANT_EXPIRY = {"<3M": 1, "3-6M": 2, "6-12M": 3, ">12M": 4}
_WARRANT_BOUNDS = {"in": 1, "out": 2}

_SUSPENDED = (1, 3, 7, 10)  # halted, circuit breaker, halted for a split, suspended
_OPTION, _WARRANT = 1, 4  # bits of a quote's kind
_UNKNOWN_DAYS = -(2**31)
_LAST_SECOND = (2**63 - 1) // 10**9  # of what rows can hold


class _Item(NamedTuple):
    """What a list says of one symbol, and when it came."""

    symbol: str
    message: Any
    recv_ns: int


class LongportPulls(Feed):
    """The pulls of `LongPort`."""

    def _prepare_pulls(
        self,
        rate_limit_wait_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Set up what the pulls keep; limits are the account's, so they outlive a connection."""
        self._rate_limit_wait_s = rate_limit_wait_s
        self._limit_clock = clock
        self._limit_sleep = sleep
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)
        self._all_calls = self._bucket(CALLS_PER_S, CALLS_PER_S, "LongPort's requests")
        self._calls_of: dict[int, TokenBucket] = {}
        self._history_calls = RateLimit(
            _HISTORY_CALLS,
            _HISTORY_WINDOW_S,
            name="LongPort's history",
            clock=clock,
            sleep=sleep,
        )

    def _bucket(self, per_s: int, burst: int, name: str) -> TokenBucket:
        return TokenBucket(
            per_s, burst, name=name, clock=self._limit_clock, sleep=self._limit_sleep
        )

    def _set_limits(self, profile: Any) -> None:
        """Keep to the limits of a profile (message ``UserQuoteProfileResponse``) from now on.

        A command without a limit of its own shares the general one.
        """
        known, self._calls_of = self._calls_of, {}
        for one in profile.rate_limit:
            if one.limit < 1 or one.command not in MESSAGES:  # says nothing of ours
                continue
            burst = max(one.burst, 1)
            bucket = known.get(one.command)
            if bucket is None or (bucket.per_s, bucket.burst) != (one.limit, burst):
                bucket = self._bucket(one.limit, burst, f"LongPort's command {one.command}")
            self._calls_of[one.command] = bucket

    @abc.abstractmethod
    async def _exchange(self, command: Command, body: bytes) -> bytes:
        """Send a request and return the body of its response, whose status is 0.

        Raises
        ------
        RequestError
            Another status, with LongPort's code and text.
        RequestTimeout, ConnectError
            No response in time, or the connection is lost.
        """

    # market data

    async def get_ticks(self, symbol: str, n: int = MOST_TRADES) -> NDArray[np.void]:
        """Return a symbol's latest trades, oldest first (17).

        Parameters
        ----------
        symbol : str
        n : int
            How many at most, 1 to 1000.

        Returns
        -------
        ndarray, shape (0 to n,)
            Rows of ``dtype("ticks")``. It is the caller's own: writable, and not a view of the stream.

        Raises
        ------
        RequestError
            LongPort refused, for example a symbol that it does not know; `code` and `text` are its own.
        RateLimitError
            The wait for the next call would be longer than the option `rate_limit_wait_s`, or LongPort complains of
            too many calls for the second time (other clients of the account count as well).
        RequestTimeout
            No reply within `request_timeout_s`.
        ConnectError
            The connection is down and does not come back in time, or was lost meanwhile.
        RemoteProtocolError
            The reply cannot be read, or is about another security.
        ValueError
            A symbol or a number that cannot be.
        """
        count = whole_number("n", n, MOST_TRADES)
        rows = await self._rows(Command.TRADES, symbol, count=count)
        return _oldest_first(rows)[-count:]

    async def get_quotes(self, symbols: str | Iterable[str]) -> NDArray[np.void]:
        """Return the quotes of symbols, in their order (11).

        Parameters
        ----------
        symbols : str or iterable of str
            Each 500 make a request.

        Returns
        -------
        ndarray, shape (rows,)
            Rows of ``dtype("quotes")``, of each symbol the regular session first, then those of pre-market,
            post-market and overnight that LongPort has; the caller's own. Symbols that LongPort leaves out, and
            sessions without a last price, are left out.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        names = self._canonical_symbols(symbols)

        async def part(some: list[str]) -> list[NDArray[np.void]]:
            body = await self._ask(Command.QUOTES, symbol=some)
            return [self._decoded(Command.QUOTES, body, some)]

        rows = joined(await in_parts(names, MOST_SYMBOLS, part), dtype("quotes"))
        return in_order(rows, ids_of(self.symbols, names))

    async def get_option_quotes(self, symbols: str | Iterable[str]) -> records.OptionQuotes:
        """Return the quotes of options, in the order of the symbols (12).

        Parameters
        ----------
        symbols : str or iterable of str
            Such as ``"AAPL220429C150000.US"``, from `get_option_chain`. Each 500 make a request.

        Returns
        -------
        OptionQuotes
            `rows`, an array of shape (options,) with rows of ``dtype("quotes")``, the caller's own: of the numbers
            for options `strike_price`, `contract_size`, `contract_multiplier`, `open_interest`,
            `implied_volatility` (percent), `expiry_days`, and `option_style`, LongPort's letter (65 "A" American, 85
            "U" European). `terms`, a list of OptionTerms, one for each row: what a row has no place for. Symbols that
            LongPort leaves out are left out.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """

        def fill(row: np.void, item: _Item) -> None:
            more = item.message.option_extend
            if not item.message.HasField("option_extend"):
                return
            row["kind"] = _OPTION
            row["open_interest"] = more.open_interest
            row["strike_price"] = decimal(more.strike_price)
            row["contract_size"] = decimal(more.contract_size)
            row["contract_multiplier"] = decimal(more.contract_multiplier)
            row["implied_volatility"] = decimal(more.implied_volatility, percent=True)
            row["expiry_days"] = _days_to(more.expiry_date, item)
            row["option_style"] = _letter(more.contract_type)

        found = await self._listed(Command.OPTION_QUOTES, "secu_quote", symbols)
        terms = await _records(records.OptionTerms, [item.message for item in found])
        return records.OptionQuotes(await self._quote_rows(found, fill), terms)

    async def get_warrant_quotes(self, symbols: str | Iterable[str]) -> records.WarrantQuotes:
        """Return the quotes of Hong Kong's warrants, in the order of the symbols (13).

        Parameters
        ----------
        symbols : str or iterable of str
            Each 500 make a request.

        Returns
        -------
        WarrantQuotes
            `rows`, an array of shape (warrants,) with rows of ``dtype("quotes")``, the caller's own: of the numbers
            for warrants `strike_price`, `implied_volatility` (percent), `expiry_days`. `terms`, a list of
            WarrantTerms, one for each row: what a row has no place for. Symbols that LongPort leaves out are left out.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """

        def fill(row: np.void, item: _Item) -> None:
            more = item.message.warrant_extend
            if not item.message.HasField("warrant_extend"):
                return
            row["kind"] = _WARRANT
            row["strike_price"] = decimal(more.strike_price)
            row["implied_volatility"] = decimal(more.implied_volatility, percent=True)
            row["expiry_days"] = _days_to(more.expiry_date, item)

        found = await self._listed(Command.WARRANT_QUOTES, "secu_quote", symbols)
        terms = await _records(records.WarrantTerms, [item.message for item in found])
        return records.WarrantQuotes(await self._quote_rows(found, fill), terms)

    async def get_book(self, symbol: str, depth: int = BOOK_DEPTH) -> np.void:
        """Return a symbol's order book (14).

        Parameters
        ----------
        symbol : str
        depth : int
            Levels of each side that the row keeps, 1 to 1000. LongPort sends what the market and the account's rights
            allow: ten levels at most.

        Returns
        -------
        void
            One row of ``dtype("books", depth)``, a record with fields: ``book["bid_price"][: book["bids"]]``.
            The caller's own.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        dtype("books", depth)  # ValueError
        row: np.void = (await self._rows(Command.DEPTH, symbol, depth))[0]
        return row

    async def get_brokers(self, symbol: str) -> np.void:
        """Return a symbol's broker queues, Hong Kong only (15).

        Parameters
        ----------
        symbol : str

        Returns
        -------
        void
            One row of ``dtype("brokers")``, a record with fields; the caller's own. After `get_participants`,
            ``feed.hub.broker_name(id)`` is the name of a broker.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        row: np.void = (await self._rows(Command.BROKERS, symbol))[0]
        return row

    async def get_timeshare(
        self, symbol: str, *, session: Sessions = "regular"
    ) -> NDArray[np.void]:
        """Return the minute line of a symbol's day (18).

        Parameters
        ----------
        symbol : str
        session : {"regular", "all"}
            With or without what is traded before, after and between the regular sessions (US).

        Returns
        -------
        ndarray, shape (points,)
            Rows of ``dtype("timeshare")``, oldest first; the caller's own.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        which = choose("session", session, _SESSIONS)
        return _oldest_first(await self._rows(Command.INTRADAY, symbol, trade_session=which))

    async def get_bars(
        self,
        symbol: str,
        interval: str = "1m",
        n: int = MOST_BARS,
        *,
        adjust: Adjust = "forward",
        session: Sessions = "regular",
    ) -> NDArray[np.void]:
        """Return a symbol's latest bars, oldest first, the last one still running (19).

        Parameters
        ----------
        symbol : str
        interval : str
            ``1m 2m 3m 5m 10m 15m 20m 30m 45m 1h 2h 3h 4h 1d 1w 1M 3M 1y``; ``1M`` is a month.
        n : int
            How many at most, 1 to 1000.
        adjust : {"forward", "none"}
            For splits and dividends: today's prices stay, or as traded.
        session : {"regular", "all"}
            As in `get_timeshare`.

        Returns
        -------
        ndarray, shape (0 to n,)
            Rows of ``dtype("bars")``; `time_ns` is the start of the bar, `kind` LongPort's number of the interval,
            255 from a day on. The caller's own.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        length, number = codes.interval(interval), choose("adjust", adjust, _ADJUSTMENTS)
        count = whole_number("n", n, MOST_BARS)
        rows = await self._rows(
            Command.CANDLESTICKS,
            symbol,
            bars=length,
            period=length.period,
            count=count,
            adjust_type=number,
            trade_session=choose("session", session, _SESSIONS),
        )
        rows["adjust"] = number
        return _oldest_first(rows)[-count:]

    def get_history_bars(
        self,
        symbol: str,
        interval: str = "1d",
        start: str | datetime.date | None = None,
        end: str | datetime.date | None = None,
        *,
        adjust: Adjust = "forward",
        session: Sessions = "regular",
        limit: int | None = None,
    ) -> HistoryBars:
        """Return bars of the past, from LongPort's server (27, 60 requests in 30 s).

        A place of the quota of history is needed: one for each symbol in a month.

        Parameters
        ----------
        symbol : str
        interval : str
            As in `get_bars`.
        start, end : str or date, optional
            First and last day, ``"yyyy-mm-dd"``, of the market. Default: the 365 days up to today. A span that has
            certainly no more than 1000 bars is asked for by its dates; of a longer one each 1000 bars make a request.
        adjust : {"forward", "none"}
            As in `get_bars`.
        session : {"regular", "all"}
            As in `get_timeshare`.
        limit : int, optional
            The oldest bars only, so many. Without a limit one array may have up to 1,000,000 bars (128 MB), more are
            a ValueError; page by page there is no end to them.

        Returns
        -------
        HistoryBars
            ``await`` it for an array of shape (bars,) with rows of ``dtype("bars")``, oldest first, or take it page by
            page with ``async for``. Nothing is asked before. The arrays are the caller's own.

        Raises
        ------
        ValueError
            A parameter that cannot be, at once.
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError
            Later, when it is awaited or iterated; as in `get_ticks`.

        Examples
        --------
        >>> bars = await feed.get_history_bars("700.HK", "1d", "2025-01-01", "2025-12-31")
        >>> async for page in feed.get_history_bars("AAPL.US", "1m", "2025-01-02"):
        ...     save(page)
        """
        length, number = codes.interval(interval), choose("adjust", adjust, _ADJUSTMENTS)
        name = self._canonical(symbol)
        first, last = date_span(start, end)
        if limit is not None:
            limit = whole_number("limit", limit)
        zone = _zone(name)
        fields: dict[str, Any] = {
            "period": length.period,
            "adjust_type": number,
            "trade_session": choose("session", session, _SESSIONS),
        }
        begin_ns = _midnight_ns(first, zone)
        end_ns = _midnight_ns(last + datetime.timedelta(1), zone)
        days = (last - first).days + 1
        is_short = days * _DAY_S // length.seconds + 1 <= MOST_BARS

        async def ask(**query: Any) -> NDArray[np.void]:
            rows = await self._rows(
                Command.HISTORY_CANDLESTICKS, name, bars=length, **fields, **query
            )
            rows["adjust"] = number
            return _oldest_first(rows)

        async def page(key: bytes) -> tuple[NDArray[np.void], bytes]:
            """Return bars, and as the key the time of the last one."""
            if is_short:
                dates = {"start_date": f"{first:%Y%m%d}", "end_date": f"{last:%Y%m%d}"}
                return await ask(query_type=_BY_DATE, date_request=dates), b""
            # From before the bar that the page begins with, so that it matters not whether LongPort counts
            # the bar at the offset: what was there already is left out.
            after_ns = int(key) if key else begin_ns - 1
            at = datetime.datetime.fromtimestamp(after_ns // 10**9, zone)
            offset = {"direction": _NEWER, "date": f"{at:%Y%m%d}", "count": MOST_BARS}
            if length.seconds < _DAY_S:
                offset["minute"] = f"{at:%H%M}"
            rows = await ask(query_type=_BY_OFFSET, offset_request=offset)
            rows = rows[rows["time_ns"] > after_ns]
            found = rows[rows["time_ns"] < end_ns]
            is_last = len(found) < len(rows) or not len(rows)
            return found, b"" if is_last else b"%d" % rows["time_ns"][-1]

        return HistoryBars(page, limit, "LongPort")

    # securities

    async def get_static_info(
        self, symbols: str | Iterable[str]
    ) -> list[records.LongPortStaticInfo]:
        """Return what securities are: names, lot sizes, shares, boards (10).

        Parameters
        ----------
        symbols : str or iterable of str
            Each 500 make a request.

        Returns
        -------
        list of LongPortStaticInfo
            In the order of the symbols. Those that LongPort leaves out are left out.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        found = await self._listed(Command.STATIC_INFO, "secu_static_info", symbols)
        return await _records(records.LongPortStaticInfo, [item.message for item in found])

    async def get_option_expiries(self, symbol: str) -> list[datetime.date]:
        """Return the days on which options of an underlying expire, rising (20).

        Parameters
        ----------
        symbol : str
            The underlying.

        Returns
        -------
        list of date

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        reply = await self._pull(Command.OPTION_EXPIRIES, symbol=self._canonical(symbol))
        return sorted({_day(Command.OPTION_EXPIRIES, text) for text in reply.expiry_date})

    async def get_option_chain(
        self,
        symbol: str,
        start: str | datetime.date | None = None,
        end: str | datetime.date | None = None,
    ) -> list[records.LongPortOptionChain]:
        """Return the options of an underlying by expiry and strike price (20, and 21 for each expiry).

        Parameters
        ----------
        symbol : str
            The underlying.
        start, end : str or date, optional
            First and last expiry, ``"yyyy-mm-dd"``. Default: all.

        Returns
        -------
        list of LongPortOptionChain
            By expiry; with the symbols of calls and puts.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        first = datetime.date.min if start is None else as_date("start", start)
        last = datetime.date.max if end is None else as_date("end", end)
        if first > last:
            raise ValueError(f"expected a start that is not after the end, got {first} and {last}")
        name = self._canonical(symbol)

        async def part(days: list[datetime.date]) -> list[records.LongPortOptionChain]:
            (day,) = days
            reply = await self._pull(
                Command.OPTION_STRIKES, symbol=name, expiry_date=f"{day:%Y%m%d}"
            )
            pairs = await _records(records.OptionPair, reply.strike_price_info)
            return [records.LongPortOptionChain(day, tuple(pairs))]

        expiries = await self.get_option_expiries(name)
        return await in_parts([day for day in expiries if first <= day <= last], 1, part)

    async def get_warrant_issuers(self) -> list[records.WarrantIssuer]:
        """Return who issues warrants in Hong Kong (22).

        Returns
        -------
        list of WarrantIssuer

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_ticks`.
        """
        reply = await self._pull(Command.WARRANT_ISSUERS)
        return await _records(records.WarrantIssuer, reply.issuer_info)

    async def get_warrants(
        self,
        symbol: str,
        *,
        kinds: Iterable[str] = (),
        issuers: Iterable[int] = (),
        expiries: Iterable[str] = (),
        bounds: Iterable[Literal["in", "out"]] = (),
        statuses: Iterable[str] = (),
        sort_by: str = "last_done",
        descending: bool = False,
        offset: int = 0,
        limit: int = _WARRANTS_A_PAGE,
        language: str = "en",
    ) -> records.Warrants:
        """Return warrants of an underlying, filtered and sorted (23).

        Parameters
        ----------
        symbol : str
            The underlying.
        kinds : iterable of {"CALL", "PUT", "BULL", "BEAR", "INLINE"}
            Only these; as with all filters, none means all.
        issuers : iterable of int
            Their ids, from `get_warrant_issuers`.
        expiries : iterable of {"<3M", "3-6M", "6-12M", ">12M"}
            Months from now.
        bounds : iterable of {"in", "out"}
            Of inline warrants: in or out of bounds.
        statuses : iterable of {"SUSPENDED", "TO_BE_LISTED", "NORMAL"}
        sort_by : str
            A number of `Warrant`, from ``"last_done"`` to ``"balance_point"``, or ``"status"``.
        descending : bool
        offset : int
            So many are left out at the beginning.
        limit : int
            How many at most, 1 to 100,000. Each 500 make a request, one after the other.
        language : {"en", "zh-CN", "zh-HK"}
            Of the names.

        Returns
        -------
        Warrants
            With the total, whatever offset and limit.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        name = self._canonical(symbol)
        offset = whole_number("offset", offset, 2**31 - 1 - _MOST_WARRANTS, 0)
        limit = whole_number("limit", limit, _MOST_WARRANTS)
        filters = {
            "sort_by": choose("sort_by", sort_by, warrant_orders()),
            "sort_order": int(bool(descending)),
            "type": [number_of(records.WARRANT_KIND, kind, "a kind") for kind in kinds],
            "issuer": [whole_number("an issuer", issuer, 2**31 - 1, 0) for issuer in issuers],
            "expiry_date": [choose("an expiry", one, _WARRANT_EXPIRY) for one in expiries],
            "price_type": [choose("bounds", one, _WARRANT_BOUNDS) for one in bounds],
            "status": [number_of(records.WARRANT_STATUS, one, "a status") for one in statuses],
        }
        number = choose("language", language, _LANGUAGES)
        found: list[records.Warrant] = []
        total = 0
        while len(found) < limit:
            size = min(limit - len(found), _WARRANTS_A_PAGE)
            page = filters | {"sort_offset": offset + len(found), "sort_count": size}
            reply = await self._pull(
                Command.WARRANT_LIST, symbol=name, filter_config=page, language=number
            )
            total = reply.total_count
            found += await _records(records.Warrant, reply.warrant_list[:size])
            if not reply.warrant_list or offset + len(found) >= total:
                break
        return records.Warrants(total, found)

    async def get_participants(self) -> list[records.Participant]:
        """Return the brokers of Hong Kong's exchange and their numbers (16).

        Returns
        -------
        list of Participant
            The hub takes note of their names, for `Hub.broker_name`: English where there is one.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_ticks`.
        """
        reply = await self._pull(Command.PARTICIPANTS)
        found = await _records(records.Participant, reply.participant_broker_numbers)
        for one in found:
            name = one.participant_name_en or one.participant_name_hk or one.participant_name_cn
            for broker in one.broker_ids:
                self.hub.name_broker(broker, name)
        return found

    async def get_capital_flow(self, symbol: str) -> list[records.CapitalFlow]:
        """Return how much capital has flowed into a security today, minute by minute (24).

        Parameters
        ----------
        symbol : str

        Returns
        -------
        list of CapitalFlow

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        reply = await self._pull_one(Command.CAPITAL_FLOW, symbol)
        return await _records(records.CapitalFlow, reply.capital_flow_lines)

    async def get_capital_distribution(self, symbol: str) -> records.CapitalDistribution:
        """Return today's capital flow of a security by the size of orders (25).

        Parameters
        ----------
        symbol : str

        Returns
        -------
        CapitalDistribution

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        reply = await self._pull_one(Command.CAPITAL_DISTRIBUTION, symbol)
        return record(records.CapitalDistribution, reply)

    async def get_calc_indexes(
        self, symbols: str | Iterable[str], indexes: str | Iterable[str]
    ) -> dict[str, dict[str, float | int | datetime.date | None]]:
        """Return numbers that LongPort calculates of securities (26).

        Parameters
        ----------
        symbols : str or iterable of str
            Each 500 make a request.
        indexes : str or iterable of str
            Which ones: ``last_done change_val change_rate volume turnover ytd_change_rate turnover_rate
            total_market_value capital_flow amplitude volume_ratio pe_ttm_ratio pb_ratio dividend_ratio_ttm
            five_day_change_rate ten_day_change_rate half_year_change_rate five_minutes_change_rate``; of options and
            warrants ``expiry_date strike_price upper_strike_price lower_strike_price outstanding_qty
            outstanding_ratio premium itm_otm implied_volatility warrant_delta call_price to_call_price
            effective_leverage leverage_ratio conversion_ratio balance_point open_interest delta gamma theta vega rho``.

        Returns
        -------
        dict
            By symbol, in their order, a dict of the indexes by name: floats, NaN where LongPort has none;
            ``volume``, ``outstanding_qty`` and ``open_interest`` are int, ``expiry_date`` is a date or None. Rates are
            percent; theta, vega and rho the hundredfold of the usual. Symbols that LongPort leaves out are left
            out.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        known = calc_indexes()
        wanted = dict.fromkeys([indexes] if isinstance(indexes, str) else indexes)
        numbers = [choose("an index", name, known) for name in wanted]
        if not numbers:
            raise ValueError("expected at least one index")
        found = await self._listed(
            Command.CALC_INDEXES, "security_calc_index", symbols, "symbols", calc_index=numbers
        )
        return {
            item.symbol: {index: _index(index, getattr(item.message, index)) for index in wanted}
            for item in found
        }

    # markets

    async def get_trading_sessions(self) -> list[records.MarketSessions]:
        """Return the hours of the markets today (8).

        Returns
        -------
        list of MarketSessions

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_ticks`.
        """
        reply = await self._pull(Command.TRADING_SESSIONS)
        return await _records(records.MarketSessions, reply.market_trade_session)

    async def get_trading_days(
        self,
        market: str,
        start: str | datetime.date | None = None,
        end: str | datetime.date | None = None,
    ) -> list[records.LongPortTradingDay]:
        """Return the days on which a market is open (9).

        Parameters
        ----------
        market : {"US", "HK", "CN", "SG"}
        start, end : str or date, optional
            First and last day, ``"yyyy-mm-dd"``. Default: the 360 days up to today; LongPort has those of the last
            year. Each 30 days make a request.

        Returns
        -------
        list of LongPortTradingDay
            Rising.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        name = choose("a market", market, _MARKETS)
        first, last = date_span(start, end, _LAST_YEAR_DAYS)

        async def part(
            spans: list[tuple[datetime.date, datetime.date]],
        ) -> list[records.LongPortTradingDay]:
            ((begin, finish),) = spans
            reply = await self._pull(
                Command.TRADING_DAYS,
                market=name,
                beg_day=f"{begin:%Y%m%d}",
                end_day=f"{finish:%Y%m%d}",
            )
            kinds = {_day(Command.TRADING_DAYS, text): "WHOLE" for text in reply.trade_day}
            kinds |= {_day(Command.TRADING_DAYS, text): "HALF" for text in reply.half_trade_day}
            return [records.LongPortTradingDay(day, kinds[day]) for day in sorted(kinds)]

        return await in_parts(every(_TRADING_DAYS, first, last), 1, part)

    # the account and the gateway

    async def get_profile(self, language: str = "en") -> records.Profile:
        """Return the account's rights to quotes and its limits (4).

        Parameters
        ----------
        language : {"en", "zh-CN", "zh-HK"}
            Of the names of packages.

        Returns
        -------
        Profile

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        choose("language", language, _LANGUAGES)
        return records.profile_of(await self._pull(Command.PROFILE, language=language))

    async def get_subscriptions(self) -> list[records.SubscribedKinds]:
        """Return what LongPort has subscribed for this connection (5).

        Returns
        -------
        list of SubscribedKinds

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_ticks`.
        """
        reply = await self._pull(Command.SUBSCRIPTIONS)
        return await _records(records.SubscribedKinds, reply.sub_list)

    # how it is done

    async def _ask(self, command: Command, **fields: Any) -> bytes:
        """Send a request when its time has come, and return the body of the reply.

        It may come too early all the same: others use the account, and who has to wait for one of the places is
        late for its moment, together with those that follow. Such a refusal is waited out once.
        """
        self._check_loop()
        name = MESSAGES[command].request
        body: bytes = b"" if name is None else message_class(name)(**fields).SerializeToString()
        is_first = True
        while True:
            try:
                return await self._ask_in_turn(command, body)
            except RequestError as error:
                if error.code is None:  # a limit of ours, or an answer that says nothing
                    raise
                if error.code != _TOO_MANY_REQUESTS or not is_first:
                    raise _refusal(command, error) from error
            is_first = False
            await self._limit_sleep(_PAUSE_S)

    async def _ask_in_turn(self, command: Command, body: bytes) -> bytes:
        limits: list[Limit] = [self._calls_of.get(command, self._all_calls)]
        if command == Command.HISTORY_CANDLESTICKS:
            # First: what has to wait too long for it takes nothing from the others.
            limits.insert(0, self._history_calls)
        while True:
            await self._wait_until_up()
            for limit in limits:
                await limit.acquire(self._rate_limit_wait_s)
            await self._take_place()
            try:
                self._check_open()
                if (
                    self._up.is_set()
                ):  # it may have been lost during the wait; this is waited for above
                    return await self._exchange(command, body)
            finally:
                self._places.release()

    async def _take_place(self) -> None:
        try:
            async with asyncio.timeout(self._rate_limit_wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise RateLimitError(
                f"LongPort's requests: the limit of {CALLS_AT_ONCE} at a time is used up, none of them has ended "
                f"within {self._rate_limit_wait_s:g} s"
            ) from None

    async def _pull(self, command: Command, **fields: Any) -> Any:
        """Ask, and return the reply as a message."""
        return parsed(command, await self._ask(command, **fields))

    async def _pull_one(self, command: Command, symbol: str) -> Any:
        """Ask about one symbol, and return the reply as a message."""
        name = self._canonical(symbol)
        reply = await self._pull(command, symbol=name)
        if reply.symbol and as_symbol(reply.symbol) != name:
            raise _other_security(command, [reply.symbol], [name])
        return reply

    async def _listed(
        self,
        command: Command,
        items: str,
        symbols: str | Iterable[str],
        field: str = "symbol",
        **fields: Any,
    ) -> list[_Item]:
        """Return what a list says of symbols, in their order."""
        names = self._canonical_symbols(symbols)

        async def part(some: list[str]) -> list[_Item]:
            reply = await self._pull(command, **{field: some}, **fields)
            recv_ns = time.time_ns()
            return [_Item(as_symbol(one.symbol), one, recv_ns) for one in getattr(reply, items)]

        found: dict[str, _Item] = {}
        for item in await in_parts(names, MOST_SYMBOLS, part):
            found.setdefault(item.symbol, item)
        if others := found.keys() - set(names):
            raise _other_security(command, sorted(others), names)
        return [found[name] for name in names if name in found]

    async def _rows(
        self,
        command: Command,
        symbol: str,
        depth: int = BOOK_DEPTH,
        bars: Interval | None = None,
        **fields: Any,
    ) -> NDArray[np.void]:
        """Ask about one symbol, and return rows."""
        name = self._canonical(symbol)
        body = await self._ask(command, symbol=name, **fields)
        if not body:  # there is nothing
            # The symbol is the first field of all these replies.
            body = message_class("SecurityRequest")(symbol=name).SerializeToString()
        return self._decoded(command, body, [name], depth, bars)

    def _decoded(
        self,
        command: Command,
        body: bytes,
        names: Sequence[str],
        depth: int = BOOK_DEPTH,
        bars: Interval | None = None,
    ) -> NDArray[np.void]:
        """Return the rows of a reply, all of them of the symbols that were asked for."""
        row_type = dtype(_STREAMS[command], depth)
        try:
            data = decode_response(
                command,
                body,
                self.symbols,
                time.time_ns(),
                depth=depth,
                interval_s=bars.seconds if bars else 0,
                kind=min(bars.period, 255) if bars else 0,
            )
        except ValueError as error:
            raise _unreadable(command, str(error), body) from error
        rows: NDArray[np.void] = np.ndarray(len(data) // row_type.itemsize, row_type, data)
        was_asked = np.isin(rows["symbol"], ids_of(self.symbols, names), kind="table")
        if not was_asked.all():
            others = [self.symbols[i] for i in rows["symbol"][~was_asked].tolist()]
            raise _other_security(command, others, names)
        return rows

    async def _quote_rows(
        self, items: list[_Item], fill: Callable[[np.void, _Item], None]
    ) -> NDArray[np.void]:
        """Return the rows of quotes of any kind of securities, filled in with what is special to the kind."""
        rows = np.zeros(len(items), dtype("quotes"))
        for field in rows.dtype.names or ():
            if rows.dtype[field].kind == "f":
                rows[field] = np.nan
        rows["seq"] = -1
        rows["session"] = RowSession.REGULAR
        rows["expiry_days"] = _UNKNOWN_DAYS
        for i, (row, item) in enumerate(zip(rows, items, strict=True), 1):
            quote = item.message
            row["recv_ns"] = item.recv_ns
            row["symbol"] = self.symbols.intern(item.symbol)
            row["time_ns"] = quote.timestamp * 10**9 if 0 < quote.timestamp <= _LAST_SECOND else 0
            row["last"] = decimal(quote.last_done)
            row["prev_close"] = decimal(quote.prev_close)
            row["open"] = decimal(quote.open)
            row["high"] = decimal(quote.high)
            row["low"] = decimal(quote.low)
            row["volume"] = quote.volume
            row["turnover"] = decimal(quote.turnover)
            row["status"] = quote.trade_status if 0 <= quote.trade_status < 255 else 255
            row["suspended"] = quote.trade_status in _SUSPENDED
            fill(row, item)
            if i % _SLICE == 0:
                await asyncio.sleep(0)
        return rows


# requests


def _zone(symbol: str) -> datetime.tzinfo:
    """Return the time zone of a symbol's market."""
    if not symbol.endswith(".US"):
        return datetime.timezone(datetime.timedelta(hours=8))
    try:
        return ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError as error:
        raise ConfigError(f"{error}; is there a time zone database (package tzdata)?") from None


def _midnight_ns(day: datetime.date, zone: datetime.tzinfo) -> int:
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 10**9


# replies


def parsed(command: Command, body: bytes) -> Any:
    name = MESSAGES[command].response
    assert name is not None
    try:
        return message_class(name).FromString(body)
    except (DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(command, str(error), body) from error


async def _records(kind: type[Record], messages: Sequence[Any]) -> list[Record]:
    """Return the records of messages; there may be thousands, so the event loop gets its turn."""
    found: list[Record] = []
    for i in range(0, len(messages), _SLICE):
        if i:
            await asyncio.sleep(0)
        found += [record(kind, message) for message in messages[i : i + _SLICE]]
    return found


def _oldest_first(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return rows in the order of their times; those of the same second stay as LongPort has them."""
    times = rows["time_ns"]
    if not np.any(times[1:] < times[:-1]):
        return rows
    order = np.arange(len(rows))
    if times[0] > times[-1]:  # newest first
        order = order[::-1]
    return rows[order[np.argsort(times[order], kind="stable")]]


def _day(command: Command, text: str) -> datetime.date:
    day = date_of(text)
    if day is None:
        raise _unreadable(command, f"expected a date 'yyyymmdd', got {text[:40]!r}")
    return day


def _days_to(text: str, item: _Item) -> int:
    """Return the days to a date from the market's day on which an item came."""
    day = date_of(text)
    if day is None:
        return _UNKNOWN_DAYS
    today = datetime.datetime.fromtimestamp(item.recv_ns // 10**9, _zone(item.symbol)).date()
    return (day - today).days


def _index(name: str, value: str | int) -> float | int | datetime.date | None:
    if name == "expiry_date":
        return date_of(str(value))
    return decimal(value) if isinstance(value, str) else value


def _letter(text: str) -> int:
    return ord(text) if len(text) == 1 and text.isascii() else 0


def _refusal(command: Command, error: RequestError) -> RequestError:
    """Return a refusal of LongPort's with what it means."""
    kind = RateLimitError if error.code == _TOO_MANY_REQUESTS else RequestError
    number = error.code or 0
    words, what = "code", reason(number)
    if number < 256:  # no code was given, only the status, a byte
        is_known = number in set(codes.Status)
        what = codes.Status(number).name.lower().replace("_", " ") if is_known else "unknown"
        words = "status"
    said = f"{words} {number}" + (f": {error.text}" if error.text else "")
    return kind(
        f"LongPort refused {_name(command)}: {what} ({said})", code=error.code, text=error.text
    )


def _name(command: Command) -> str:
    return f"{command.name.lower().replace('_', ' ')} ({command})"


def _unreadable(command: Command, why: str, body: bytes = b"") -> RemoteProtocolError:
    return RemoteProtocolError(
        f"LongPort's reply about {_name(command)} cannot be read: {why}",
        source="longport",
        data=body[:16],
    )


def _other_security(
    command: Command, others: Sequence[str], asked: Sequence[str]
) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"LongPort's reply about {_name(command)} is about {shown(others)}, expected {shown(asked)}",
        source="longport",
    )
