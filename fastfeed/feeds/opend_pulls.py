"""What one asks OpenD for: the pulls of class `OpenD`, any number of them under way at once.

Every pull is one request and its reply (a long list makes several), sent as soon as it is asked for; replies
may come in any order. Market data comes back as arrays with the rows of the streams, everything else as the
records of `opend_records`. Three things are common to all:

- While the feed is reconnecting a pull waits for it, as `subscribe()` does. One that is under way when the
  connection is lost fails with ConnectError: OpenD's answer went to a connection that is no more.
- OpenD allows some requests only so often (`CALL_LIMITS`). A pull waits for its turn; see `rate_limit`.
- Market data but for snapshots and history is OpenD's cache of what this connection has subscribed.
"""

from __future__ import annotations

import abc
import asyncio
import datetime
import time
from collections.abc import (
    Iterable,
    Mapping,
    Sequence,
)
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from fastfeed._core import opend as core
from fastfeed.errors import RateLimitError, RemoteProtocolError, RequestError, SubscriptionError
from fastfeed.feeds import opend_records as records
from fastfeed.feeds.batches import in_batches, shown
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.history import HistoryBars
from fastfeed.feeds.opend_records import record, symbol_of
from fastfeed.feeds.pulls import as_date, choose, date_span, every, in_parts, whole_number
from fastfeed.feeds.rate_limit import RateLimit
from fastfeed.feeds.rows import ids_of, in_order, joined
from fastfeed.protocols import opend_codes as codes
from fastfeed.protocols import opend_enums as enums
from fastfeed.protocols.opend_codes import (
    ADJUSTMENTS,
    KINDS,
    MARKETS,
    MOST_SYMBOLS,
    SESSIONS,
    SUB_TYPES,
    security,
)
from fastfeed.protocols.opend_messages import (
    CALL_LIMITS,
    CALL_WINDOW_S,
    GET_DELAY_STATISTICS,
    GET_GLOBAL_STATE,
    GET_USER_INFO,
    NAMES,
    QOT_GET_BASIC_QOT,
    QOT_GET_BROKER,
    QOT_GET_FUTURE_INFO,
    QOT_GET_KL,
    QOT_GET_MARKET_STATE,
    QOT_GET_OPTION_CHAIN,
    QOT_GET_ORDER_BOOK,
    QOT_GET_PLATE_SECURITY,
    QOT_GET_PLATE_SET,
    QOT_GET_RT,
    QOT_GET_SECURITY_SNAPSHOT,
    QOT_GET_STATIC_INFO,
    QOT_GET_SUB_INFO,
    QOT_GET_TICKER,
    QOT_GET_USER_SECURITY,
    QOT_GET_USER_SECURITY_GROUP,
    QOT_MODIFY_USER_SECURITY,
    QOT_REQUEST_HISTORY_KL,
    QOT_REQUEST_HISTORY_KL_QUOTA,
    QOT_REQUEST_REHAB,
    QOT_REQUEST_TRADE_DATE,
    QOT_SUB,
    message_class,
)
from fastfeed.schema import BOOK_DEPTH, dtype

__all__ = ["Adjust", "OpendPulls"]

Record = TypeVar("Record", bound=msgspec.Struct)

Adjust = Literal["none", "forward", "backward"]
Session = Literal["RTH", "ETH", "ALL"]

#: OpenD counts when a request arrives: the margin is for requests that travel faster than the one before.
_WINDOW_S = CALL_WINDOW_S + 0.25

_MOST_ROWS = 1000  # in a reply from the cache, and in a page of history
_SLICE = 50  # records made before the loop gets its turn: half a millisecond
_OPTION_DAYS = 30  # in one request

_MONEYNESS = {"all": 0, "in": 1, "out": 2}
_DELAYS = {"push": 1, "request": 2, "order": 3}
_CHANGES = {"add": 1, "remove": 2, "move_out": 3}
_BAR_FIELDS = {
    "high": 1,
    "open": 2,
    "low": 4,
    "close": 8,
    "prev_close": 16,
    "volume": 32,
    "turnover": 64,
    "turnover_rate": 128,
    "pe": 256,
    "change_rate": 512,
}


class _Source(NamedTuple):
    """What rows to ask for, and how to read them."""

    proto_id: int
    stream: str
    sub_type: int
    kl_type: int = 0
    adjust: int = 0
    depth: int = BOOK_DEPTH


_QUOTES = _Source(QOT_GET_BASIC_QOT, "quotes", SUB_TYPES["quotes"])
_BOOK = _Source(QOT_GET_ORDER_BOOK, "books", SUB_TYPES["books"])
_ODD_BOOK = _Source(QOT_GET_ORDER_BOOK, "odd_books", SUB_TYPES["odd_books"])
_TICKS = _Source(QOT_GET_TICKER, "ticks", SUB_TYPES["ticks"])
_TIMESHARE = _Source(QOT_GET_RT, "timeshare", SUB_TYPES["timeshare"])
_BROKERS = _Source(QOT_GET_BROKER, "brokers", SUB_TYPES["brokers"])


#: The entries of lists by what is made of them.
_ITEMS: dict[type[msgspec.Struct], str] = {
    records.StaticInfo: "SecurityStaticInfo",
    records.Snapshot: "QotGetSecuritySnapshot.Snapshot",
    records.Plate: "PlateInfo",
    records.OptionChain: "QotGetOptionChain.OptionChain",
    records.FutureInfo: "QotGetFutureInfo.FutureInfo",
    records.Rehab: "Rehab",
    records.MarketState: "QotGetMarketState.MarketInfo",
    records.TradingDay: "QotRequestTradeDate.TradeDate",
    records.WatchlistGroup: "QotGetUserSecurityGroup.GroupData",
}


class OpendPulls(Feed):
    """The pulls of `OpenD`."""

    _session_number: int | None

    def _prepare_pulls(self, rate_limit_wait_s: float) -> None:
        """Set up what the pulls keep; limits are the account's, so they outlive a connection."""
        self._rate_limit_wait_s = rate_limit_wait_s
        self._limits = {
            proto_id: RateLimit(calls, _WINDOW_S, name=f"OpenD's request {proto_id}")
            for proto_id, calls in CALL_LIMITS.items()
        }
        self._pull_subscribed: set[tuple[str, int]] = set()  # (symbol, SubType), without pushes
        self._pull_connection = 0  # the one that these are subscribed on

    @abc.abstractmethod
    async def _request(self, proto_id: int, message: Any) -> bytes:
        """Send a request and return the body of its reply, whose retType is 0."""

    # market data

    async def get_ticks(
        self, symbol: str, n: int = 1000, *, subscribe: bool = False
    ) -> NDArray[np.void]:
        """Return a symbol's latest trades, oldest first (3010, no limit of calls).

        Parameters
        ----------
        symbol : str
        n : int
            How many at most, 1 to 1000.
        subscribe : bool
            Subscribe first if this connection has not: without pushes, and until the connection ends. It takes
            a place of the quota. OpenD may need some seconds to fill its cache.

        Returns
        -------
        ndarray, shape (0 to n,)
            Rows of ``dtype("ticks")``. It is the caller's own: writable, and not a view of the stream.

        Raises
        ------
        SubscriptionError
            The symbol is not subscribed to ``ticks``.
        RequestError
            OpenD refused for another reason; `code` and `text` are its own.
        RequestTimeout
            No reply within `request_timeout_s`.
        ConnectError
            The connection is down and does not come back in time, or was lost meanwhile.
        RemoteProtocolError
            The reply cannot be read, or is about another security.
        ValueError
            A symbol or a number that cannot be.
        """
        count = whole_number("n", n, _MOST_ROWS)
        name = self._canonical(symbol)
        rows = await self._cached_rows(_TICKS, [name], subscribe, maxRetNum=count)
        if np.any(rows["seq"][1:] < rows["seq"][:-1]):
            rows = rows[np.argsort(rows["seq"], kind="stable")]
        return rows

    async def get_quotes(
        self, symbols: str | Iterable[str], *, subscribe: bool = False
    ) -> NDArray[np.void]:
        """Return the quotes of symbols, in their order (3004, no limit of calls).

        Parameters
        ----------
        symbols : str or iterable of str
            More than 100 make several requests.
        subscribe : bool
            As in `get_ticks`.

        Returns
        -------
        ndarray, shape (rows,)
            Rows of ``dtype("quotes")``, one for each session of a symbol that OpenD has; the caller's own.

        Raises
        ------
        SubscriptionError, RequestError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        names = self._canonical_symbols(symbols)

        async def part(some: list[str]) -> list[NDArray[np.void]]:
            return [await self._cached_rows(_QUOTES, some, subscribe)]

        rows = joined(await in_parts(names, MOST_SYMBOLS, part), dtype("quotes"))
        return in_order(rows, ids_of(self.symbols, names))

    async def get_bars(
        self,
        symbol: str,
        interval: str = "1m",
        n: int = 1000,
        *,
        adjust: Adjust = "forward",
        subscribe: bool = False,
    ) -> NDArray[np.void]:
        """Return a symbol's latest bars, oldest first, the last one still running (3006, no limit of calls).

        Parameters
        ----------
        symbol : str
        interval : str
            ``1m 3m 5m 10m 15m 30m 1h 2h 3h 4h 1d 1w 1M 3M 1y``; ``1M`` is a month.
        n : int
            How many at most, 1 to 1000.
        adjust : {"forward", "none", "backward"}
            For splits and dividends: today's prices stay, as traded, the oldest prices stay.
        subscribe : bool
            As in `get_ticks`.

        Returns
        -------
        ndarray, shape (0 to n,)
            Rows of ``dtype("bars")``; `time_ns` is the start of the bar. The caller's own.

        Raises
        ------
        SubscriptionError, RequestError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        length, number = codes.interval(interval), choose("adjust", adjust, ADJUSTMENTS)
        count = whole_number("n", n, _MOST_ROWS)
        name = self._canonical(symbol)
        return await self._cached_rows(
            _Source(QOT_GET_KL, "bars", length.sub_type, length.kl_type, number),
            [name],
            subscribe,
            rehabType=number,
            klType=length.kl_type,
            reqNum=count,
        )

    async def get_timeshare(self, symbol: str, *, subscribe: bool = False) -> NDArray[np.void]:
        """Return the minute line of a symbol's day (3008, no limit of calls).

        Parameters
        ----------
        symbol : str
        subscribe : bool
            As in `get_ticks`.

        Returns
        -------
        ndarray, shape (points,)
            Rows of ``dtype("timeshare")``, oldest first; the caller's own.

        Raises
        ------
        SubscriptionError, RequestError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        return await self._cached_rows(_TIMESHARE, [self._canonical(symbol)], subscribe)

    async def get_book(
        self,
        symbol: str,
        depth: int = BOOK_DEPTH,
        *,
        odd_lots: bool = False,
        subscribe: bool = False,
    ) -> np.void:
        """Return a symbol's order book (3012, no limit of calls).

        Parameters
        ----------
        symbol : str
        depth : int
            Levels of each side, 1 to 1000. OpenD sends what the market and the account's rights allow.
        odd_lots : bool
            The book of odd lots instead of the normal one.
        subscribe : bool
            As in `get_ticks`.

        Returns
        -------
        void
            One row of ``dtype("books", depth)``, a record with fields: ``book["bid_price"][: book["bids"]]``.
            The caller's own.

        Raises
        ------
        SubscriptionError, RequestError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        source = (_ODD_BOOK if odd_lots else _BOOK)._replace(depth=depth)
        dtype(source.stream, depth)  # ValueError
        fields: dict[str, Any] = {"num": depth} | ({"orderBookType": 1} if odd_lots else {})
        return await self._cached_row(source, symbol, subscribe, **fields)

    async def get_brokers(self, symbol: str, *, subscribe: bool = False) -> np.void:
        """Return a symbol's broker queues, Hong Kong only (3014, no limit of calls).

        Parameters
        ----------
        symbol : str
        subscribe : bool
            As in `get_ticks`.

        Returns
        -------
        void
            One row of ``dtype("brokers")``, a record with fields; the caller's own. ``feed.hub.broker_name(id)`` is
            the name of a broker.

        Raises
        ------
        SubscriptionError, RequestError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        return await self._cached_row(_BROKERS, symbol, subscribe)

    def get_history_bars(
        self,
        symbol: str,
        interval: str = "1d",
        start: str | datetime.date | None = None,
        end: str | datetime.date | None = None,
        *,
        adjust: Adjust = "forward",
        session: Session | None = None,
        fields: Iterable[str] | None = None,
        page_size: int = 1000,
        limit: int | None = None,
    ) -> HistoryBars:
        """Return bars of the past, from OpenD's server (3103, 60 first pages in 30 s).

        No subscription is needed, but a place of the quota of history: one for each symbol in a month.

        Parameters
        ----------
        symbol : str
        interval : str
            As in `get_bars`.
        start, end : str or date, optional
            First and last day, ``"yyyy-mm-dd"``, of the market. Default: the 365 days up to today.
        adjust : {"forward", "none", "backward"}
            As in `get_bars`.
        session : {"RTH", "ETH", "ALL"}, optional
            Trading sessions of US symbols; default: the feed's own option.
        fields : iterable of str, optional
            Which numbers to send; all others are NaN. Of ``open high low close prev_close volume turnover
            turnover_rate pe change_rate``. Default: all.
        page_size : int
            Bars in a page, 1 to 1000.
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
            Later, when it is awaited or iterated; as in `get_snapshots`.

        Examples
        --------
        >>> bars = await feed.get_history_bars("700.HK", "1d", "2025-01-01", "2025-12-31")
        >>> async for page in feed.get_history_bars("AAPL.US", "1m", "2025-01-02"):
        ...     save(page)
        """
        length, number = codes.interval(interval), choose("adjust", adjust, ADJUSTMENTS)
        name = self._canonical(symbol)
        first, last = date_span(start, end)
        if limit is not None:
            limit = whole_number("limit", limit)
        size = whole_number("page_size", page_size, _MOST_ROWS)
        c2s: dict[str, Any] = {
            "rehabType": number,
            "klType": length.kl_type,
            "security": _security(name),
            "beginTime": first.isoformat(),
            "endTime": last.isoformat(),
            "maxAckKLNum": size if limit is None else min(size, limit),
        }
        if fields is not None:
            c2s["needKLFieldsFlag"] = sum(
                {choose("a field", field, _BAR_FIELDS) for field in fields}
            )
        session_number = self._session_number
        if session is not None:
            session_number = choose("session", session, SESSIONS)
        if session_number is not None:
            c2s["session"] = session_number

        source = _Source(QOT_REQUEST_HISTORY_KL, "bars", length.sub_type, length.kl_type, number)

        async def page(key: bytes) -> tuple[NDArray[np.void], bytes]:
            more = {"nextReqKey": key} if key else {}
            request = _message(QOT_REQUEST_HISTORY_KL, c2s | more)
            body = await self._ask(QOT_REQUEST_HISTORY_KL, request, counted=not key)
            rows = self._decoded(source, body, [name])
            return rows, _parsed(
                QOT_REQUEST_HISTORY_KL, "HistoryPage.Response", body
            ).s2c.nextReqKey

        return HistoryBars(page, limit, "OpenD")

    async def get_snapshots(self, symbols: str | Iterable[str]) -> list[records.Snapshot]:
        """Return snapshots of symbols, in their order, without a subscription (3203, 60 calls in 30 s).

        Parameters
        ----------
        symbols : str or iterable of str
            Each 400 make a request. (With basic rights only, OpenD takes 20 symbols of Hong Kong at once.)

        Returns
        -------
        list of Snapshot
            Symbols that OpenD leaves out are left out.

        Raises
        ------
        RequestError
            OpenD refused; `code` and `text` are its own.
        RateLimitError
            The wait for the next call would be longer than the option `rate_limit_wait_s`, or OpenD complains
            of too many calls (other clients count as well).
        RequestTimeout
            No reply within `request_timeout_s`.
        ConnectError
            The connection is down and does not come back in time, or was lost meanwhile.
        RemoteProtocolError
            The reply cannot be read, or is about other securities.
        ValueError
            A symbol that cannot be.
        """
        return await self._listed(QOT_GET_SECURITY_SNAPSHOT, records.Snapshot, symbols, 400)

    # securities

    async def get_static_info(
        self,
        symbols: str | Iterable[str] | None = None,
        *,
        market: str | None = None,
        kind: str = "STOCK",
    ) -> list[records.StaticInfo]:
        """Return what securities are: names, lot sizes, terms of derivatives (3202, no limit of calls).

        Parameters
        ----------
        symbols : str or iterable of str, optional
            The result has their order.
        market : str, optional
            Instead of symbols: everything of a market (``HK US SH SZ SG JP ...``). That may be some ten thousand
            records; they are made a few at a time, between whatever else the event loop has to do.
        kind : str
            With a market: ``STOCK ETF WARRANT IDX BOND FUTURE PLATE DRVT ...``, as the official client.

        Returns
        -------
        list of StaticInfo

        Raises
        ------
        RequestError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        if (symbols is None) == (market is None):
            raise ValueError("expected either symbols or a market")
        if symbols is not None:
            return await self._listed(QOT_GET_STATIC_INFO, records.StaticInfo, symbols, 400)
        return await self._pull_list(
            QOT_GET_STATIC_INFO,
            records.StaticInfo,
            market=_market(market),
            secType=enums.number_of(enums.SECURITY_TYPE, kind, "a kind"),
        )

    async def get_plates(self, market: str, kind: str = "all") -> list[records.Plate]:
        """Return the sectors of a market (3204, 10 calls in 30 s).

        Parameters
        ----------
        market : str
            ``HK US SH SZ ...``
        kind : {"all", "industry", "region", "concept"}

        Returns
        -------
        list of Plate

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        return await self._pull_list(
            QOT_GET_PLATE_SET,
            records.Plate,
            market=_market(market),
            plateSetType=enums.number_of(enums.PLATE_KIND, kind, "a kind"),
        )

    async def get_plate_symbols(self, plate: str) -> list[records.StaticInfo]:
        """Return the members of a sector or an index (3205, 10 calls in 30 s).

        Parameters
        ----------
        plate : str
            Such as ``"BK1001.HK"``, from `get_plates`.

        Returns
        -------
        list of StaticInfo

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        return await self._pull_list(
            QOT_GET_PLATE_SECURITY, records.StaticInfo, plate=_security(self._canonical(plate))
        )

    async def get_option_chain(
        self,
        symbol: str,
        start: str | datetime.date,
        end: str | datetime.date,
        *,
        kind: Literal["all", "call", "put"] = "all",
        moneyness: Literal["all", "in", "out"] = "all",
        index_option_type: str | None = None,
        filters: Mapping[str, float] | None = None,
    ) -> list[records.OptionChain]:
        """Return the options of an underlying by expiry and strike price (3209, 10 calls in 30 s).

        Parameters
        ----------
        symbol : str
            The underlying.
        start, end : str or date
            First and last expiry, ``"yyyy-mm-dd"``. Each 30 days make a request.
        kind : {"all", "call", "put"}
        moneyness : {"all", "in", "out"}
            In or out of the money.
        index_option_type : {"NORMAL", "SMALL"}, optional
            Of Hong Kong's index options.
        filters : mapping, optional
            Limits by name: ``{"delta_min": 0.3, "open_interest_min": 100}``; ``..._min`` and ``..._max`` of
            ``implied_volatility delta gamma vega theta rho net_open_interest open_interest vol``.

        Returns
        -------
        list of OptionChain
            By expiry.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        first, last = as_date("start", start), as_date("end", end)
        if first > last:
            raise ValueError(f"expected a start that is not after the end, got {first} and {last}")
        c2s: dict[str, Any] = {"owner": _security(self._canonical(symbol))}
        if option_type := enums.number_of(enums.OPTION_TYPE, kind, "a kind"):
            c2s["type"] = option_type
        if condition := choose("moneyness", moneyness, _MONEYNESS):
            c2s["condition"] = condition
        if index_option_type is not None:
            c2s["indexOptionType"] = enums.number_of(
                enums.INDEX_OPTION_TYPE, index_option_type, "an index option type"
            )
        if filters:
            known = {_snake(field): field for field in _option_filters()}
            c2s["dataFilter"] = {
                choose("a filter", name, known): value for name, value in filters.items()
            }

        async def part(
            span: list[tuple[datetime.date, datetime.date]],
        ) -> list[records.OptionChain]:
            begin, finish = span[0]
            return await self._pull_list(
                QOT_GET_OPTION_CHAIN,
                records.OptionChain,
                **c2s,
                beginTime=begin.isoformat(),
                endTime=finish.isoformat(),
            )

        return await in_parts(every(_OPTION_DAYS, first, last), 1, part)

    async def get_futures(self, symbols: str | Iterable[str]) -> list[records.FutureInfo]:
        """Return the terms of futures, in the order of the symbols (3218, 30 calls in 30 s).

        Parameters
        ----------
        symbols : str or iterable of str
            Each 200 make a request.

        Returns
        -------
        list of FutureInfo
            Symbols that OpenD leaves out are left out.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        return await self._listed(QOT_GET_FUTURE_INFO, records.FutureInfo, symbols, 200)

    async def get_rehab(self, symbol: str) -> list[records.Rehab]:
        """Return a symbol's corporate actions and factors of adjusted prices (3105, 60 calls in 30 s).

        Parameters
        ----------
        symbol : str

        Returns
        -------
        list of Rehab

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        return await self._pull_list(
            QOT_REQUEST_REHAB, records.Rehab, security=_security(self._canonical(symbol))
        )

    async def get_market_states(self, symbols: str | Iterable[str]) -> list[records.MarketState]:
        """Return the states of the markets of symbols, in their order (3223, 10 calls in 30 s).

        Parameters
        ----------
        symbols : str or iterable of str
            Each 400 make a request.

        Returns
        -------
        list of MarketState
            Symbols that OpenD leaves out are left out.

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        return await self._listed(QOT_GET_MARKET_STATE, records.MarketState, symbols, 400)

    async def get_trading_days(
        self,
        market: str | None,
        start: str | datetime.date | None = None,
        end: str | datetime.date | None = None,
        *,
        symbol: str | None = None,
    ) -> list[records.TradingDay]:
        """Return the days on which a market is open (3219, 30 calls in 30 s).

        Parameters
        ----------
        market : str or None
            ``HK US CN NT ST JP_FUTURE SG_FUTURE SG MY JP``; NT and ST are the northbound and southbound links. None
            with a symbol.
        start, end : str or date, optional
            First and last day, ``"yyyy-mm-dd"``. Default: the 365 days up to today.
        symbol : str, optional
            The days of this security instead of a market's.

        Returns
        -------
        list of TradingDay

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        first, last = date_span(start, end)
        c2s: dict[str, Any] = {
            "market": 0,
            "beginTime": first.isoformat(),
            "endTime": last.isoformat(),
        }
        if market is not None:
            c2s["market"] = enums.number_of(enums.TRADING_DAY_MARKET, market, "a market")
        elif symbol is None:
            raise ValueError("expected a market or a symbol")
        if symbol is not None:
            c2s["security"] = _security(self._canonical(symbol))
        return await self._pull_list(QOT_REQUEST_TRADE_DATE, records.TradingDay, **c2s)

    # watchlists

    async def get_watchlists(
        self, kind: Literal["all", "custom", "system"] = "all"
    ) -> list[records.WatchlistGroup]:
        """Return the names of the user's watchlists (3222, 10 calls in 30 s).

        Parameters
        ----------
        kind : {"all", "custom", "system"}

        Returns
        -------
        list of WatchlistGroup

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        return await self._pull_list(
            QOT_GET_USER_SECURITY_GROUP,
            records.WatchlistGroup,
            groupType=enums.number_of(enums.WATCHLIST_KIND, kind, "a kind"),
        )

    async def get_watchlist(self, group: str) -> list[records.StaticInfo]:
        """Return the securities of one watchlist (3213, 10 calls in 30 s).

        Parameters
        ----------
        group : str
            Its name. Groups of the system (``"All"``, ``"HK"``, ``"US"``, ...) have theirs in OpenD's language; of
            equal names the first one counts.

        Returns
        -------
        list of StaticInfo

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_snapshots`.
        """
        return await self._pull_list(
            QOT_GET_USER_SECURITY, records.StaticInfo, groupName=_group(group)
        )

    async def change_watchlist(
        self,
        group: str,
        op: Literal["add", "remove", "move_out"],
        symbols: str | Iterable[str],
    ) -> None:
        """Change one of the user's own watchlists (3214, 10 calls in 30 s).

        Parameters
        ----------
        group : str
            Its name; not one of the system's.
        op : {"add", "remove", "move_out"}
            Put securities in, delete them, or take them out of the group only.
        symbols : str or iterable of str

        Raises
        ------
        RequestError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        number = choose("op", op, _CHANGES)
        names = self._canonical_symbols(symbols)
        if names:
            await self._pull(
                QOT_MODIFY_USER_SECURITY,
                groupName=_group(group),
                op=number,
                securityList=[_security(name) for name in names],
            )

    # the account and the gateway

    async def get_global_state(self) -> records.GlobalState:
        """Return OpenD's state and the states of the markets (1002, no limit of calls).

        Returns
        -------
        GlobalState

        Raises
        ------
        RequestError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_snapshots`.
        """
        return record(records.GlobalState, await self._pull(GET_GLOBAL_STATE, userID=0))

    async def get_user_info(self) -> records.UserInfo:
        """Return the account's rights and quotas (1005, no limit of calls).

        Returns
        -------
        UserInfo

        Raises
        ------
        RequestError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_snapshots`.
        """
        return record(records.UserInfo, await self._pull(GET_USER_INFO))

    async def get_delay_statistics(
        self,
        kinds: Iterable[Literal["push", "request", "order"]] = ("push", "request", "order"),
        *,
        stage: str = "SR2CS",
        segments_ms: Sequence[int] = (),
    ) -> records.DelayStatistics:
        """Return OpenD's own record of delays (1007, no limit of calls).

        Parameters
        ----------
        kinds : iterable of {"push", "request", "order"}
        stage : {"SR2SS", "SS2CR", "CR2CS", "SS2CS", "SR2CS"}
            Of pushes: between which points. Futu's server received (SR) and sent (SS), OpenD received (CR) and sent
            (CS).
        segments_ms : sequence of int
            Bounds of the histograms; default: OpenD's own.

        Returns
        -------
        DelayStatistics

        Raises
        ------
        RequestError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_snapshots`.
        """
        s2c = await self._pull(
            GET_DELAY_STATISTICS,
            typeList=[choose("a kind", kind, _DELAYS) for kind in kinds],
            qotPushStage=enums.number_of(enums.DELAY_STAGE, stage, "a stage"),
            segmentList=list(segments_ms),
        )
        return record(records.DelayStatistics, s2c)

    async def get_subscriptions(self, all_connections: bool = False) -> records.Subscriptions:
        """Return what OpenD has subscribed, and the quota (3003, no limit of calls).

        Parameters
        ----------
        all_connections : bool
            Those of all connections to OpenD, not only this one's.

        Returns
        -------
        Subscriptions

        Raises
        ------
        RequestError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_snapshots`.
        """
        s2c = await self._pull(QOT_GET_SUB_INFO, isReqAllConn=bool(all_connections))
        return record(records.Subscriptions, s2c)

    async def get_history_quota(self, details: bool = False) -> records.HistoryQuota:
        """Return how many symbols' history was and may be pulled (3104, no limit of calls).

        Parameters
        ----------
        details : bool
            With the symbols.

        Returns
        -------
        HistoryQuota

        Raises
        ------
        RequestError, RequestTimeout, ConnectError, RemoteProtocolError
            As in `get_snapshots`.
        """
        s2c = await self._pull(QOT_REQUEST_HISTORY_KL_QUOTA, bGetDetail=bool(details))
        return record(records.HistoryQuota, s2c)

    # how it is done

    async def _ask(self, proto_id: int, request: Any, *, counted: bool = True) -> bytes:
        """Send a request when its time has come, and return the body of the reply."""
        self._check_loop()
        limit = self._limits.get(proto_id) if counted else None
        while True:
            await self._wait_until_up()
            if limit is None:
                break
            await limit.acquire(self._rate_limit_wait_s)
            if self.connected:  # it may have been lost during the wait
                break
        try:
            return await self._request(proto_id, request)
        except RequestError as error:
            if _is_about(error.text, _FREQUENCY):
                raise RateLimitError(str(error), code=error.code, text=error.text) from error
            raise

    async def _pull(self, proto_id: int, **c2s: Any) -> Any:
        """Ask, and return the content of the reply as a message."""
        return _content(proto_id, await self._ask(proto_id, _message(proto_id, c2s)))

    async def _pull_list(self, proto_id: int, kind: type[Record], **c2s: Any) -> list[Record]:
        """Ask, and return the records of a reply that is a list.

        Such a reply may have some MB, so the event loop gets its turn while it is read.
        """
        body = await self._ask(proto_id, _message(proto_id, c2s))
        items = _parsed(proto_id, "Items.Response", body).s2c.items
        found: list[Record] = []
        for i in range(0, len(items), _SLICE):
            if i:
                await asyncio.sleep(0)
            for item in items[i : i + _SLICE]:
                found.append(record(kind, _parsed(proto_id, _ITEMS[kind], item)))
        return found

    async def _listed(
        self,
        proto_id: int,
        kind: type[Record],
        symbols: str | Iterable[str],
        size: int,
    ) -> list[Record]:
        """Return the records of symbols in their order."""
        names = self._canonical_symbols(symbols)

        async def part(some: list[str]) -> list[Record]:
            which = [_security(name) for name in some]
            return await self._pull_list(proto_id, kind, securityList=which)

        found: dict[str, Record] = {}
        for item in await in_parts(names, size, part):
            found.setdefault(item.symbol, item)  # type: ignore[attr-defined]
        if others := found.keys() - set(names):
            raise _other_security(proto_id, sorted(others), names)
        return [found[name] for name in names if name in found]

    # pulls from the cache

    async def _cached_row(
        self,
        source: _Source,
        symbol: str,
        subscribe: bool,
        **c2s: Any,
    ) -> np.void:
        name = self._canonical(symbol)
        rows = await self._cached_rows(source, [name], subscribe, **c2s)
        if len(rows) != 1:
            raise _unreadable(source.proto_id, f"expected one row, got {len(rows)}")
        row: np.void = rows[0]
        return row

    async def _cached_rows(
        self,
        source: _Source,
        names: list[str],
        subscribe: bool,
        **c2s: Any,
    ) -> NDArray[np.void]:
        """Return the rows of symbols that are subscribed."""
        which = [_security(name) for name in names]
        where = {"securityList": which} if source is _QUOTES else {"security": which[0]}
        request = _message(source.proto_id, where | c2s)
        try:
            body = await self._ask_subscribed(source, names, subscribe, request)
        except (RateLimitError, SubscriptionError):
            raise
        except RequestError as error:
            missing = [name for name in names if not self._is_subscribed(name, source.sub_type)]
            if not missing and not _is_about(error.text, _SUBSCRIPTION):
                raise
            missing = missing or names
            kind = KINDS[source.sub_type]
            raise SubscriptionError(
                f"{error}; {shown(missing)} not subscribed to {kind} on this connection: subscribe first, or "
                "pass subscribe=True",
                symbols=tuple(missing),
                code=error.code,
                text=error.text,
            ) from error
        return self._decoded(source, body, names)

    async def _ask_subscribed(
        self, source: _Source, names: list[str], subscribe: bool, request: Any
    ) -> bytes:
        if not subscribe:
            # What the user has subscribed may still wait for it after a reconnect.
            wanted = self._wanted.get(KINDS[source.sub_type], {})
            await self._subscribe_for_pull([n for n in names if n in wanted], source.sub_type)
            return await self._ask(source.proto_id, request)
        new = await self._subscribe_for_pull(names, source.sub_type)
        try:
            return await self._ask(source.proto_id, request)
        except RateLimitError:
            raise
        except RequestError:
            ours = {(name, source.sub_type) for name in names} & self._pull_subscribed
            if new or not ours:
                raise
        # Subscribed by an earlier pull; OpenD may have given it up since, with a stream of the same kind.
        self._pull_subscribed -= ours
        await self._subscribe_for_pull(names, source.sub_type)
        return await self._ask(source.proto_id, request)

    def _is_subscribed(self, symbol: str, sub_type: int) -> bool:
        """Return whether this feed has subscribed it on the present connection."""
        if self._pull_connection != self._connections:
            self._pull_connection = self._connections
            self._pull_subscribed.clear()
        streamed = (symbol, KINDS[sub_type]) in self._granted
        return streamed or (symbol, sub_type) in self._pull_subscribed

    async def _subscribe_for_pull(self, symbols: list[str], sub_type: int) -> bool:
        """Subscribe what is not subscribed yet, without pushes; return whether there was any.

        Raises
        ------
        SubscriptionError
            OpenD refused.
        """

        async def ask(batch: list[str]) -> None:
            c2s: dict[str, Any] = {
                "securityList": [_security(symbol) for symbol in batch],
                "subTypeList": [sub_type],
                "isSubOrUnSub": True,
                # nothing about pushes: they stay as they are
            }
            if self._session_number is not None:
                c2s["session"] = self._session_number
            connection = self._connections
            await self._ask(QOT_SUB, _message(QOT_SUB, c2s))
            if connection == self._connections:
                self._pull_subscribed.update((symbol, sub_type) for symbol in batch)

        await self._wait_until_up()
        if all(self._is_subscribed(symbol, sub_type) for symbol in symbols):
            return False
        async with self._asking:
            new = [symbol for symbol in symbols if not self._is_subscribed(symbol, sub_type)]
            await in_batches("OpenD", "subscribe", new, ask, size=MOST_SYMBOLS)
            return bool(new)

    def _decoded(self, source: _Source, body: bytes, names: list[str]) -> NDArray[np.void]:
        """Return the rows of a reply, all of them of the symbols that were asked for."""
        row_type = dtype(source.stream, source.depth)
        try:
            data = core.decode_reply(
                source.stream,
                body,
                self.symbols,
                time.time_ns(),
                kl_type=source.kl_type,
                adjust=source.adjust,
                depth=source.depth,
                brokers=self.hub.broker_names,
            )
        except ValueError as error:
            raise _unreadable(source.proto_id, str(error), body) from error
        rows: NDArray[np.void] = np.ndarray(len(data) // row_type.itemsize, row_type, data)
        if len(rows):
            asked = {self.symbols.intern(name) for name in names}
            others = [self.symbols[i] for i in set(rows["symbol"].tolist()) - asked]
        elif source is _QUOTES:
            others = []
        else:  # no row that could tell
            name = symbol_of(_content(source.proto_id, body).security)
            others = [] if name in names else [name]
        if others:
            raise _other_security(source.proto_id, others, names)
        return rows


# requests


def _message(proto_id: int, c2s: Mapping[str, Any]) -> Any:
    return message_class(f"{NAMES[proto_id]}.Request")(c2s=c2s)


def _security(symbol: str) -> dict[str, Any]:
    market, code = security(symbol)
    return {"market": market, "code": code}


def _option_filters() -> list[str]:
    return [field.name for field in message_class("QotGetOptionChain.DataFilter").DESCRIPTOR.fields]


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def _market(name: str | None) -> int:
    return choose("a market", name or "", MARKETS)


def _group(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"expected the name of a watchlist, got {name!r}")
    return name


# replies


def _parsed(proto_id: int, name: str, body: bytes) -> Any:
    """Return the whole or a part of a reply as a message."""
    try:
        message = message_class(name).FromString(body)
    except (DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(proto_id, str(error), body) from error
    if not message.IsInitialized():
        raise _unreadable(proto_id, "required fields are missing", body)
    return message


def _content(proto_id: int, body: bytes) -> Any:
    """Return the content of a reply; one without fields may be left out.

    Raises
    ------
    RemoteProtocolError
        It cannot be read.
    """
    message = _parsed(proto_id, f"{NAMES[proto_id]}.Response", body)
    if not message.s2c.IsInitialized():
        raise _unreadable(proto_id, "it has no content", body)
    return message.s2c


def _unreadable(proto_id: int, why: str, body: bytes = b"") -> RemoteProtocolError:
    return RemoteProtocolError(
        f"OpenD's reply to {proto_id} cannot be read: {why}", source="opend", data=body[:16]
    )


def _other_security(
    proto_id: int, others: Sequence[str], asked: Sequence[str]
) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"OpenD's reply to {proto_id} is about {shown(others)}, expected {shown(asked)}",
        source="opend",
    )


#: OpenD has no numbers for these refusals, and its words are in the language it is set to.
_FREQUENCY = ("frequen", "频率", "频繁", "頻率", "頻繁", "too many request")
_SUBSCRIPTION = ("subscri", "订阅", "訂閱")


def _is_about(text: str, words: Iterable[str]) -> bool:
    text = text.lower()
    return any(word in text for word in words)
