"""What one asks AllTick for by HTTP: the latest trades and books, and bars.

A plan allows only so many requests: a pull waits for its turn. Requests go out in threads, so none delays a push.
"""

from __future__ import annotations

import asyncio
import functools
import math
import re
import ssl
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, overload
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from fastfeed._core.alltick import decode_reply
from fastfeed.errors import (
    AuthError,
    ConnectError,
    RateLimitError,
    RemoteProtocolError,
    RequestError,
)
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.http import fetch
from fastfeed.feeds.rate_limit import RateLimit
from fastfeed.feeds.rows import ids_of, in_order, joined
from fastfeed.protocols.alltick_codes import (
    INTERVALS,
    MARKETS,
    MOST_BARS,
    MOST_BARS_OF_MANY,
    REFUSED_TOKEN,
    Plan,
    reason,
)
from fastfeed.protocols.websocket import secrets_of, shown
from fastfeed.schema import dtype

__all__ = ["AlltickPulls"]

_MARGIN_S = 0.1  # of the windows of rate limits: requests do not all travel as fast
_MOST_BYTES = 16 << 20  # of a reply
_TOO_FAST = (429, 605, 606)
_HTTP_OK = 200
_DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")
_TIME = re.compile(r"[0-9]{1,14}")
#: JSON of another shape or none, text that is no UTF-8, arrays in arrays without end.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_FIRST_MILLISECOND = 10**11  # larger times are no seconds
_LAST_SECOND = (2**63 - 1) // 10**9  # of what rows can hold


class _Verdict(msgspec.Struct):
    ret: int
    msg: str | None = ""


_Number = str | int | float


class _Bar(msgspec.Struct):
    timestamp: _Number
    open_price: _Number
    close_price: _Number
    high_price: _Number
    low_price: _Number
    volume: _Number | None = ""
    turnover: _Number | None = ""


class _Bars(msgspec.Struct):
    kline_list: list[_Bar]


class _OneReply(msgspec.Struct):
    data: _Bars


class _BarsOf(msgspec.Struct):
    code: str
    kline_data: list[_Bar]


class _ManyBars(msgspec.Struct):
    kline_list: list[_BarsOf]


class _ManyReply(msgspec.Struct):
    data: _ManyBars


class AlltickPulls(Feed):
    """The pulls of `AllTick`."""

    market: str

    def _prepare_pulls(
        self,
        plan: Plan,
        base: str,
        token: str,
        *,
        timeout_s: float,
        rate_limit_wait_s: float,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        """Set up what the pulls need; `base` is the address that the methods' names follow."""
        calls = dict.fromkeys(("trade-tick", "depth-tick", "kline"), plan.request)
        self._limits = {
            method: RateLimit(number, window_s + _MARGIN_S, name=f"AllTick's {method}")
            for method, (number, window_s) in (calls | {"batch-kline": plan.batch}).items()
        }
        self._all_calls = RateLimit(plan.per_minute, 60.0 + _MARGIN_S, name="AllTick's requests")
        self._codes_a_call = plan.http_codes
        self._codes_a_batch = plan.groups
        self._http_base = urlsplit(base)
        self._http_query = f"token={quote(token, safe='')}"
        self._http_secrets = secrets_of(f"/?{self._http_query}")
        self._http_timeout_s = timeout_s
        self._ssl_context = ssl_context
        self._rate_limit_wait_s = rate_limit_wait_s

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._ssl_context or ssl.create_default_context()  # which reads files

    def _has_sides(self, symbol: str) -> bool:
        """Return whether a symbol's ticks say who was the aggressor: those of forex, metals and energy always
        have the same value."""
        return self.market == "stock" or symbol.endswith("USDT")

    async def get_ticks(self, symbols: str | Iterable[str], n: int = 1) -> NDArray[np.void]:
        """Return the latest trade of each symbol, in their order (``trade-tick``).

        Parameters
        ----------
        symbols : str or iterable of str
            More than 50 make several requests.
        n : int
            1: AllTick has no more.

        Returns
        -------
        ndarray, shape (rows,)
            Rows of ``dtype("ticks")``, the caller's own. Symbols without a trade are left out.

        Raises
        ------
        RequestError
            AllTick refused, for example a symbol that it does not know; `code` and `text` are its own.
        AuthError
            The token.
        RateLimitError
            The plan allows it later than `rate_limit_wait_s`.
        RequestTimeout, ConnectError, RemoteProtocolError
            No reply, no connection, or a reply that cannot be read.
        ValueError
            A symbol or a number that cannot be.
        """
        if n != 1:
            raise ValueError(f"expected n=1, AllTick has only the latest trade, got {n!r}")
        return await self._latest("trade-tick", "ticks", self._canonical_symbols(symbols))

    @overload
    async def get_book(self, symbols: str) -> np.void: ...  # type: ignore[overload-overlap]
    @overload
    async def get_book(self, symbols: Iterable[str]) -> NDArray[np.void]: ...
    async def get_book(self, symbols: str | Iterable[str]) -> np.void | NDArray[np.void]:
        """Return the latest order book (``depth-tick``).

        Parameters
        ----------
        symbols : str or iterable of str
            More than 50 make several requests.

        Returns
        -------
        void, or ndarray of shape (rows,)
            Of one symbol a record: ``book["bid_price"][: book["bids"]]``; of several rows of ``dtype("books")`` in
            their order, without those that have no book. As deep as the hub's books; the caller's own.

        Raises
        ------
        RequestError, AuthError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        rows = await self._latest("depth-tick", "books", self._canonical_symbols(symbols))
        if not isinstance(symbols, str):
            return rows
        if len(rows) != 1:
            raise RemoteProtocolError(
                f"expected the book of {symbols} from AllTick, got none", source="alltick"
            )
        book: np.void = rows[0]
        return book

    async def get_bars(
        self, symbols: str | Iterable[str], interval: str = "1m", n: int | None = None
    ) -> NDArray[np.void]:
        """Return the latest bars, oldest first, the last one still running (``kline``, ``batch-kline``).

        Parameters
        ----------
        symbols : str or iterable of str
            Of several symbols AllTick has at most 2 bars each.
        interval : str
            ``1m``, ``5m``, ``15m``, ``30m``, ``1h``, ``1d``, ``1w``, ``1M``; of all but stocks also ``2h``, ``4h``.
        n : int, optional
            How many of each symbol: at most 500 of one, 2 of several; as many by default.

        Returns
        -------
        ndarray, shape (rows,)
            Rows of ``dtype("bars")``, symbol after symbol, as traded; the caller's own.

        Raises
        ------
        RequestError, AuthError, RateLimitError, RequestTimeout, ConnectError, RemoteProtocolError, ValueError
            As in `get_ticks`.
        """
        intervals = MARKETS[self.market].intervals
        if interval not in intervals:
            raise ValueError(f"expected an interval ({', '.join(intervals)}), got {interval!r}")
        names = self._canonical_symbols(symbols)
        one = isinstance(symbols, str)
        most = MOST_BARS if one else MOST_BARS_OF_MANY
        n = most if n is None else n
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"expected n as int, got {n!r}")
        if not 1 <= n <= most:
            raise ValueError(f"expected n from 1 to {most}, got {n}")
        if one:
            body, recv_ns = await self._call("kline", names, _bars_of(names[0], interval, n))
            reply = _read(body, _OneReply)
            return self._bars(names[0], interval, reply.data.kline_list, recv_ns)
        parts: list[NDArray[np.void]] = []
        for i in range(0, len(names), self._codes_a_batch):
            some = names[i : i + self._codes_a_batch]
            asked = {"data_list": [_bars_of(name, interval, n) for name in some]}
            body, recv_ns = await self._call("batch-kline", some, asked, post=True)
            found = {item.code: item.kline_data for item in _read(body, _ManyReply).data.kline_list}
            parts += [
                self._bars(name, interval, found[name], recv_ns) for name in some if name in found
            ]
        return joined(parts, dtype("bars"))

    def _bars(
        self, symbol: str, interval: str, bars: Sequence[_Bar], recv_ns: int
    ) -> NDArray[np.void]:
        """Return rows in the order of their times, each time once: the vendor promises neither."""
        times = {_seconds(bar.timestamp): bar for bar in bars}
        rows = np.zeros(len(times), dtype("bars"))
        for name in ("prev_close", "change_rate", "turnover_rate", "pe"):
            rows[name] = np.nan
        rows["recv_ns"] = recv_ns
        rows["seq"] = -1
        rows["symbol"] = self.symbols.intern(symbol)
        rows["kind"] = INTERVALS[interval]
        rows["interval_s"] = _SECONDS[interval]
        for row, (time_s, bar) in zip(rows, sorted(times.items()), strict=True):
            row["time_ns"] = time_s * 10**9
            row["open"] = _decimal(bar.open_price)
            row["high"] = _decimal(bar.high_price)
            row["low"] = _decimal(bar.low_price)
            row["close"] = _decimal(bar.close_price)
            row["volume"] = _decimal_if_any(bar.volume)
            row["turnover"] = _decimal_if_any(bar.turnover)
        return rows

    async def _latest(self, method: str, stream: str, names: list[str]) -> NDArray[np.void]:
        row = dtype(stream, self.hub.book_depth)
        size = self._codes_a_call
        parts = [names[i : i + size] for i in range(0, len(names), size)]
        ids = ids_of(self.symbols, names)  # replies bring no new ones

        async def one(part: list[str]) -> NDArray[np.void]:
            asked = {"symbol_list": [{"code": name} for name in part]}
            body, recv_ns = await self._call(method, part, asked)
            try:
                found = decode_reply(
                    stream, body, self.symbols, recv_ns, self.hub.book_depth, learn=False
                )
            except ValueError as why:
                raise RemoteProtocolError(
                    f"AllTick's reply to {method} cannot be read: {why}",
                    source="alltick",
                    data=body[:16],
                ) from None
            return np.frombuffer(found, row)

        tasks = [asyncio.create_task(one(part)) for part in parts]
        try:
            rows = joined(await asyncio.gather(*tasks), row)
        finally:
            for task in tasks:  # those that are left when one has failed
                task.cancel()
        rows = in_order(rows, ids)
        if stream == "ticks":
            rows["side"][[not self._has_sides(self.symbols[i]) for i in rows["symbol"]]] = 0
        return rows

    async def _call(
        self, method: str, symbols: list[str], data: dict[str, Any], *, post: bool = False
    ) -> tuple[bytes, int]:
        """Return the body of a reply whose `ret` is 200, and when it came."""
        self._check_loop()
        self._check_not_closed()
        # The method's first: what has to wait too long for it takes nothing from the others.
        await self._limits[method].acquire(self._rate_limit_wait_s)
        await self._all_calls.acquire(self._rate_limit_wait_s)
        self._check_not_closed()
        message = msgspec.json.encode({"trace": uuid.uuid4().hex, "data": data})
        target = f"{self._http_base.path}{method}?{self._http_query}"
        if post:
            status, body = await self._fetch(method, target, message)
        else:
            status, body = await self._fetch(method, f"{target}&query={quote(message, safe='')}")
        recv_ns = time.time_ns()
        try:
            verdict = msgspec.json.decode(body, type=_Verdict)
        except _UNREADABLE:
            verdict = _Verdict(status, body[:100].decode(errors="replace"))
        ret = status if status != _HTTP_OK else verdict.ret
        if ret == _HTTP_OK and verdict.ret == _HTTP_OK:
            return body, recv_ns
        text = shown(verdict.msg or "", self._http_secrets)  # it may repeat the token
        kind = (
            AuthError
            if ret in REFUSED_TOKEN
            else RateLimitError
            if ret in _TOO_FAST
            else RequestError
        )
        names = ", ".join(symbols[:5]) + (", ..." if len(symbols) > 5 else "")
        asked = f", asked for {names}" if kind is RequestError else ""
        raise kind(
            f"AllTick refused {method}: {reason(ret)} (code {ret}: {text}){asked}",
            code=ret,
            text=text,
        )

    def _check_not_closed(self) -> None:
        if self._closed:
            raise ConnectError(f"the feed {self.url} is closed")

    async def _fetch(
        self, method: str, target: str, message: bytes | None = None
    ) -> tuple[int, bytes]:
        """Send a GET, or a POST with a message; return the status and the body."""
        return await fetch(
            self._http_base,
            target,
            vendor="AllTick",
            what=method,
            secrets=self._http_secrets,
            timeout_s=self._http_timeout_s,
            most_bytes=_MOST_BYTES,
            tls=self._tls if self._http_base.scheme == "https" else None,
            headers=None if message is None else {"Content-Type": "application/json"},
            body=message,
        )


_SECONDS = {
    "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400,
    "1d": 86400, "1w": 7 * 86400, "1M": 30 * 86400,
}  # fmt: skip


def _bars_of(symbol: str, interval: str, n: int) -> dict[str, Any]:
    return {
        "code": symbol,
        "kline_type": INTERVALS[interval],
        "kline_timestamp_end": 0,
        "query_kline_num": n,
        "adjust_type": 0,
    }


def _read(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except _UNREADABLE as error:
        raise RemoteProtocolError(
            f"AllTick's reply cannot be read: {error}", source="alltick", data=body[:16]
        ) from None


def _decimal(number: _Number) -> float:
    text = str(number)
    value = float(text) if _DECIMAL.fullmatch(text) else math.inf
    if not math.isfinite(value):
        raise RemoteProtocolError(
            f"expected a number from AllTick, got {text[:40]!r}", source="alltick"
        )
    return value


def _decimal_if_any(number: _Number | None) -> float:
    """Return a decimal; NaN for what is not told."""
    return math.nan if number in (None, "") else _decimal(number or 0)


def _seconds(number: _Number) -> int:
    """Return a time of seconds or, as in one complaint, milliseconds."""
    text = str(number)
    value = int(text) if _TIME.fullmatch(text) else _FIRST_MILLISECOND * 1000
    seconds = value if value < _FIRST_MILLISECOND else value // 1000
    if seconds > _LAST_SECOND:
        raise RemoteProtocolError(
            f"expected a time from AllTick, got {text[:40]!r}", source="alltick"
        )
    return seconds
