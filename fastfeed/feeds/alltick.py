"""The AllTick feed: trades and order books over WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import functools
import os
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from fastfeed._core.alltick import AlltickMachine
from fastfeed._core.tape import Tape
from fastfeed.errors import (
    AuthError,
    ConfigError,
    ConnectError,
    FastfeedError,
    RateLimitError,
    RequestTimeout,
    SubscriptionError,
)
from fastfeed.feeds.address import WEBSOCKET_PORTS, Address
from fastfeed.feeds.alltick_codes_list import CodeList
from fastfeed.feeds.alltick_pulls import AlltickPulls
from fastfeed.feeds.alltick_session import AlltickSession, Done, Pacer, Times
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.feed import check_options, check_receive
from fastfeed.feeds.session import Link
from fastfeed.feeds.transport import Connection, open_connection
from fastfeed.hub import Hub, Receive
from fastfeed.protocols.alltick_codes import HEARTBEAT, KINDS, MARKETS, PLANS, Plan, code, http_path
from fastfeed.schema import BOOK_DEPTH

__all__ = ["AllTick"]

Market = Literal["stock", "crypto"]
PlanName = Literal["free", "basic", "premium", "professional"]

_WILL_CLOSE = 606


def _address(url: str, market: str) -> tuple[Address, str]:
    """Return where the WebSocket of a URL is, and what the names of HTTP methods follow; ConfigError."""
    address = Address.of(url, WEBSOCKET_PORTS)
    if address.query:
        raise ConfigError("expected url without a query: the token is an option of its own")
    usual = MARKETS[market].path
    if not address.path.strip("/"):
        address = dataclasses.replace(address, path=usual)
    scheme = "https" if address.tls else "http"
    path = http_path(address.path) or http_path(usual)
    return address, f"{scheme}://{address.netloc}{path}"


class AllTick(AlltickPulls):
    """A feed from AllTick: ``ticks`` and ``books``.

    Parameters
    ----------
    token : str, optional
        Default: the environment's `ALLTICK_TOKEN`. It is shown nowhere.
    market : {"stock", "crypto"}
        Stocks and indices, or all else: crypto, forex, metals, energy. The two do not share symbols.
    url : str, optional
        ``ws://`` or ``wss://`` address without the token, for a simulator or a proxy; HTTP requests go to the
        same host. Default: the vendor's.
    plan : {"free", "basic", "premium", "professional"}
        The token's, for its limits: connections, symbols on each, pace.
    hub : Hub, optional
        Where rows and symbols go; one of its own by default.
    book_depth : int, optional
        Levels of each side that rows of books keep; AllTick has at most 10. With a hub, the hub says it.
    wait_s : float
        How long to try when nothing listens at first. Default: not at all.
    connect_timeout_s, request_timeout_s : float
        For the connection and the handshake; for a reply by HTTP.
    rate_limit_wait_s : float
        Longest wait of a pull that the plan allows only so often; where it would be longer, RateLimitError.
    limit_bytes : int
        Longest message that is believed, at most 1 MiB.
    window_bytes : int
        Memory for one read.
    backoff : Backoff, optional
        Pauses between attempts to come back, never shorter than what the plan asks for: by default 4 s at first,
        doubling up to 60 s, with jitter.
    ssl_context : ssl.SSLContext, optional
        For ``wss://``. Default: Python's, which verifies the certificate.
    receive : {"loop", "thread"}
        Who reads from the socket and decodes: the event loop, or from the end of the handshake on a thread of the
        hub's that never waits for Python. Callbacks, loops over streams and all else stay with the event loop; views
        then hold only until the writer comes round the ring, also while your code does not await: ask `intact()`.
        All feeds of a hub receive in the same way, those of a thread for the same event loop. Not over TLS (``wss://``).
    spin : bool
        Let the thread read over and over, which takes a whole CPU; by default it sleeps until there is something.
    cpu : int, optional
        The only CPU that the thread may run on.

    Notes
    -----
    AllTick replaces lists of symbols, at most one a second. `subscribe()` and `unsubscribe()` add and remove: they
    return when AllTick has answered, and calls that come together make one request.
    """

    _canonical = staticmethod(code)
    kinds: ClassVar[tuple[str, ...]] = tuple(KINDS)
    _link: Link[AlltickSession] | None
    _machine: AlltickMachine
    _times: ClassVar[Times] = Times()

    def __init__(
        self,
        *,
        token: str | None = None,
        market: Market = "stock",
        url: str | None = None,
        plan: PlanName = "basic",
        hub: Hub | None = None,
        book_depth: int | None = None,
        wait_s: float = 0.0,
        connect_timeout_s: float = 10.0,
        request_timeout_s: float = 12.0,
        rate_limit_wait_s: float = 35.0,
        limit_bytes: int = 1 << 20,
        window_bytes: int = 1 << 18,
        backoff: Backoff | None = None,
        ssl_context: ssl.SSLContext | None = None,
        receive: Receive = "loop",
        spin: bool = False,
        cpu: int | None = None,
    ) -> None:
        for name, value, known in (("market", market, MARKETS), ("plan", plan, PLANS)):
            if value not in known:
                raise ValueError(f"expected a {name} ({', '.join(known)}), got {value!r}")
        if token is None:
            token = os.environ.get("ALLTICK_TOKEN", "")
        if not isinstance(token, str):
            raise TypeError(f"expected a token as str, got {type(token).__name__}")
        token = token.strip()  # of a file's last line, for example
        if not token:
            raise ConfigError("expected a token: give token=, or ALLTICK_TOKEN in the environment")
        check_options(
            hub,
            book_depth,
            backoff,
            wait_s=wait_s,
            connect_timeout_s=connect_timeout_s,
            request_timeout_s=request_timeout_s,
            rate_limit_wait_s=rate_limit_wait_s,
        )
        self._address, http = _address(MARKETS[market].url if url is None else url, market)
        check_receive(receive, self._address.tls)
        super().__init__(
            f"alltick://{market}" if url is None else f"alltick://{market}?url={url}",
            hub=hub,
            wait_s=wait_s,
            up_timeout_s=request_timeout_s,
            backoff=backoff if backoff is not None else Backoff(4.0, 60.0),
            book_depth=BOOK_DEPTH if book_depth is None else book_depth,
            receive=receive,
            spin=spin,
            cpu=cpu,
        )
        self.market: Market = market
        self.plan = PLANS[plan]
        self._token = token
        self._connect_timeout_s = connect_timeout_s
        self._machine = AlltickMachine(
            self.hub.symbols,
            limit_bytes=limit_bytes,
            window_bytes=window_bytes,
            depth=self.hub.book_depth,
        )
        self._machine.conceal(token.encode())
        self._pacers: list[Pacer] = []  # of all connections of the token
        self._pacer = Pacer(self._pacers, self._times)
        self._turns = asyncio.Lock()  # of the same: whoever waits longest is next
        self._is_line = False  # one of another feed's further connections
        self._unmatched_replies = 0
        self._returned: dict[int, int] = {}
        self._attempted_at = float("-inf")
        self._ended_by: FastfeedError | None = None  # the last connection
        self._too_fast = False  # it was closed for that
        self._lists: dict[str, CodeList] = {}  # of the present connection
        self._lines: list[AllTick] = []  # further connections
        self._places: dict[str, dict[str, AllTick]] = {kind: {} for kind in self.kinds}
        self._placing = asyncio.Lock()
        self._asking = contextlib.nullcontext()  # the lists put changes in order, and together
        self._prepare_pulls(
            self.plan,
            http,
            token,
            timeout_s=request_timeout_s,
            rate_limit_wait_s=rate_limit_wait_s,
            ssl_context=ssl_context,
        )
        self._options: dict[str, Any] = {
            "token": token, "market": market, "url": url, "plan": plan, "hub": self.hub,
            "connect_timeout_s": connect_timeout_s, "request_timeout_s": request_timeout_s,
            "limit_bytes": limit_bytes, "window_bytes": window_bytes, "ssl_context": ssl_context,
            "receive": receive, "spin": spin, "cpu": cpu,
        }  # fmt: skip

    @property
    def machine_options(self) -> tuple[str, str, dict[str, Any]]:
        """See `Feed.machine_options`."""
        return "alltick", "ws", self._machine.options()

    def record_on(self, tape: Tape | None) -> None:
        """See `Feed.record_on`."""
        super().record_on(tape)
        for line in self._lines:
            line.record_on(tape)

    # connection

    async def _connect(self) -> asyncio.Future[Exception | None]:
        loop = asyncio.get_running_loop()
        await self._turn_to_connect()
        address = self._address
        session = AlltickSession(
            address.host_header,
            f"{address.path}?token={quote(self._token, safe='')}",
            self._pacer,
            connect_timeout_s=self._connect_timeout_s,
            times=self._times,
        )
        link = Link(session, self.url)

        def on_messages(messages: list[tuple[int, bytes]] | None) -> None:
            while messages is not None:
                rest = session.receive(messages, loop.time())
                messages = None if rest is None else self._machine.upgraded(rest)
            link.carry_out()

        def on_lost(why: Exception | None) -> None:
            self._forget(link, why)

        self._machine.reset()
        link.connection = await open_connection(
            address.host,
            address.port,
            self._connect_timeout_s,
            lambda: Connection(self._machine, on_messages, on_lost),
            tls=self._tls if address.tls else None,
        )
        if session.error is not None:  # lost as soon as it stood
            raise session.error
        self._link = link
        self._lists = {kind: self._list(link, kind) for kind in self.kinds}
        try:
            self._check_not_closed()
            await link.start(lambda: self._machine.messages)
            self._hand_over(link)
        except BaseException:
            self._disconnect()
            raise
        return link.lost

    async def _turn_to_connect(self) -> None:
        """Wait until the plan allows another connection."""
        loop = asyncio.get_running_loop()

        async def wait_until(at: Callable[[], float]) -> None:
            while (left_s := at() - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._up.wait()  # that is when it is closed
                self._check_not_closed()

        await wait_until(lambda: self._attempted_at + self.plan.reconnect_gap_s)
        async with self._turns:
            await wait_until(self._pacer.free_at)
            self._check_not_closed()
            self._attempted_at = loop.time()
            self._pacer.begin(loop.time())

    def _pause_s(self, failure: FastfeedError | None) -> float:
        least = self.plan.reconnect_gap_s
        error = failure or self._ended_by
        if isinstance(error, AuthError):
            least = self._times.refused_token
        elif isinstance(error, RateLimitError):
            least = self._times.too_many_connections
        elif self._too_fast:
            least = self._times.will_close
        return max(least, super()._pause_s(failure))

    def _forget(self, link: Link[AlltickSession], why: Exception | None) -> None:
        """Take leave of a connection; with it end its session and AllTick's lists."""
        link.end(why)
        if self._link is link:
            session = link.session
            self._link = None
            self._unmatched_replies += session.unmatched_replies
            self._returned = _added(self._returned, session.returned)
            self._ended_by = session.error
            self._too_fast = _WILL_CLOSE in session.returned
            self._granted.clear()

    # requests

    def _list(self, link: Link[AlltickSession], kind: str) -> CodeList:
        def pushes() -> int:
            stats = self._machine.stats()
            return int(stats[kind] + (stats["duplicates"] if kind == "ticks" else 0))

        def give_up(error: FastfeedError) -> None:
            link.session.close(ConnectError(f"what is subscribed is not known any more: {error}"))
            link.carry_out()

        return CodeList(
            kind,
            functools.partial(self._request, link, pushes),
            functools.partial(self._turn_to_ask, link),
            give_up,
            self._times.too_fast,
        )

    async def _request(
        self,
        link: Link[AlltickSession],
        pushes: Callable[[], int],
        number: int,
        data: dict[str, Any],
        is_first: bool,
    ) -> None:
        now = asyncio.get_running_loop().time()

        def ask(done: Done) -> None:
            link.session.request(number, data, now, done, pushes if is_first else None)
            link.poll()  # what is due next has changed

        await link.outcome(ask)

    async def _turn_to_ask(self, link: Link[AlltickSession], pause_s: float) -> None:
        """Wait until a request may be sent, or the connection has ended."""
        loop = asyncio.get_running_loop()

        async def wait_until(at: Callable[[], float]) -> None:
            while (left_s := at() - loop.time()) > 0:
                await asyncio.wait([link.lost], timeout=left_s)
                if link.lost.done():
                    raise link.session.error or ConnectError(f"{self.url} is not connected")

        at = loop.time() + pause_s
        await wait_until(lambda: at)
        async with self._turns:
            await asyncio.sleep(0)
            is_free = False
            while not is_free:
                await wait_until(self._pacer.free_at)
                link.poll()  # a heartbeat goes first
                is_free = self._pacer.free_at() <= loop.time()

    async def round_trip_ns(self) -> int:
        """Send a heartbeat, and return how long AllTick took to answer; one in 1.1 s at most, this waits for it.

        Raises
        ------
        ConnectError
            Not connected, or no answer.
        """
        self._check_open()
        link = self._link
        if link is None:
            raise ConnectError(f"{self.url} is not connected")
        await self._turn_to_ask(link, 0.0)
        began = time.monotonic_ns()
        await self._request(link, int, HEARTBEAT, {}, False)
        return time.monotonic_ns() - began

    # subscriptions

    async def subscribe(self, symbols: str | Iterable[str], *kinds: str) -> None:
        """Ask for live rows of symbols; see `Feed.subscribe`.

        Calls that come together make one request to AllTick. Symbols for which the connection has no more room
        go to further connections of the plan, which are made when they are needed.
        """
        await super().subscribe(symbols, *kinds)

    async def _subscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            stream = self.hub.stream(kind)
            self._machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
        try:
            async with self._placing:  # so changes begin in the order of the calls
                parts, crowded, why = await self._place(symbols, kinds)
                outcomes = asyncio.gather(
                    *(
                        self._subscribe_here(some, kind)
                        if line is self
                        else line.subscribe(some, kind)
                        # Requests of one connection may follow each other sooner.
                        for line in (self, *self._lines)
                        for kind in kinds
                        if (some := parts.get((line, kind)))
                    ),
                    return_exceptions=True,
                )
            errors = [error for error in await outcomes if isinstance(error, BaseException)]
        finally:
            for kind in kinds:
                self._leave_places(symbols, kind)
        refused = dict.fromkeys(crowded)
        for error in errors:
            if not isinstance(error, SubscriptionError):
                raise error
            refused.update(dict.fromkeys(error.symbols))
            why = why or error
        if refused:
            raise _refusal(tuple(refused), len(symbols), why, self.plan)

    async def _subscribe_here(self, symbols: list[str], kind: str) -> None:
        """Subscribe on this connection."""
        for symbol in symbols:
            self._machine.expect(symbol, sided=self._has_sides(symbol))
        codes = self._lists[kind]
        refused = await codes.change(add=symbols)
        for symbol in symbols:
            if symbol in codes:  # nobody has given it up meanwhile
                self._wanted.setdefault(kind, {})[symbol] = None
                if self._link is not None and self._lists[kind] is codes:
                    self._granted.add((symbol, kind))
        mine = [symbol for symbol in symbols if symbol in refused]
        if mine:
            error = refused[mine[0]]
            raise SubscriptionError(
                str(error), symbols=tuple(mine), code=error.code, text=error.text
            )

    async def _place(
        self, symbols: list[str], kinds: tuple[str, ...]
    ) -> tuple[dict[tuple[AllTick, str], list[str]], list[str], FastfeedError | None]:
        """Give each symbol a connection.

        Returns what each connection gets of each kind; the symbols for which there is no room; and why it could not
        be made, where the plan would have allowed it.
        """
        parts: dict[tuple[AllTick, str], list[str]] = {}
        crowded: list[str] = []
        why: FastfeedError | None = None
        for kind in kinds:
            places = self._places[kind]
            used = Counter(places.values())
            for symbol in symbols:
                line = places.get(symbol)
                if line is None:
                    line = next(
                        (one for one in (self, *self._lines) if used[one] < self.plan.codes), None
                    )
                    if line is None and why is None and self._may_have_another_line():
                        try:
                            line = await self._another_line()
                        except FastfeedError as error:
                            why = error
                    if line is None:
                        crowded.append(symbol)
                        continue
                    places[symbol] = line
                    used[line] += 1
                parts.setdefault((line, kind), []).append(symbol)
        return parts, crowded, why

    def _may_have_another_line(self) -> bool:
        return not self._is_line and len(self._lines) + 1 < self.plan.connections

    async def _another_line(self) -> AllTick:
        line = type(self)(**self._options, backoff=copy.copy(self._backoff))
        line._is_line = True
        line._pacers = self._pacers
        line._pacer = Pacer(self._pacers, self._times)
        line._turns = self._turns
        line.on_event(self._events)
        line.record_on(self._tape)
        self._lines.append(line)
        try:
            await line.open()
            self._check_not_closed()
        except BaseException:
            await line.close()
            line._pacer.end()
            self._lines.remove(line)
            raise
        return line

    def _leave_places(self, symbols: list[str], kind: str) -> None:
        """Free the places of symbols that are neither subscribed nor about to be."""
        places = self._places[kind]
        for symbol in symbols:
            if symbol in places and not places[symbol]._needs_place(symbol, kind):
                del places[symbol]

    def _needs_place(self, symbol: str, kind: str) -> bool:
        codes = self._lists.get(kind)
        return symbol in self._wanted.get(kind, ()) or (codes is not None and codes.needs(symbol))

    async def unsubscribe(self, symbols: str | Iterable[str], *kinds: str) -> None:
        """Give up symbols; see `Feed.unsubscribe`."""
        names = self._canonical_symbols(symbols)
        kinds = tuple(map(self._canonical_kind, kinds)) or self.kinds
        async with self._placing:
            asked = [super().unsubscribe(names, *kinds)]
            for line in self._lines:
                some = [
                    name
                    for name in names
                    if any(self._places[kind].get(name) is line for kind in kinds)
                ]
                if some:
                    asked.append(line.unsubscribe(some, *kinds))
            outcomes = asyncio.gather(*asked, return_exceptions=True)
        try:
            errors = [error for error in await outcomes if isinstance(error, BaseException)]
        finally:
            for kind in kinds:
                self._leave_places(names, kind)
        if errors:
            raise errors[0]

    async def _unsubscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        self._granted.difference_update((symbol, kind) for symbol in symbols for kind in kinds)
        if self._link is None:
            return  # the lists ended with the connection
        lists = [self._lists[kind] for kind in kinds]
        with contextlib.suppress(ConnectError, RequestTimeout):  # the same
            await asyncio.gather(*(codes.change(remove=symbols) for codes in lists))

    def subscribed(self, kind: str) -> tuple[str, ...]:
        """Return the symbols subscribed to a kind, also those that wait for the connection to come back."""
        return super().subscribed(kind) + tuple(
            s for line in self._lines for s in line.subscribed(kind)
        )

    async def close(self) -> None:
        """Disconnect for good. Loops over the streams end, unless the hub is shared."""
        for line in self._lines:
            await line.close()
        await super().close()

    # counters

    def stats(self) -> dict[str, Any]:
        """Return counters since the feed was made, of all its connections together.

        As `Feed.stats`, and `returned`: how often AllTick answered with each code, 0: codes that are not known.
        `bytes`; `messages`, and of those `frames`: no pushes; `ticks`, `books`: rows; `duplicates`: ticks that came
        again after a reconnect; `cut_levels`: levels of books that had no room; `unwanted`: pushes that nobody
        listens to; `unknown_codes`: rows of symbols that were not subscribed; `unknown_numbers`, `non_json`:
        messages ignored; `odd_sequences`, `odd_directions`, `unreadable_times`: rows kept without what could not
        be; `rejected`: messages, by reason.
        """
        total = super().stats()
        for line in self._lines:
            of_line = line.stats()
            for name in ("callback_errors", "lost_rows"):  # the hub's, which it shares
                del of_line[name]
            total = _added(total, of_line)
        return total

    def _machine_stats(self) -> dict[str, Any]:
        returned = dict(self._returned)
        unmatched = self._unmatched_replies
        if self._link is not None:
            unmatched += self._link.session.unmatched_replies
            returned = _added(returned, self._link.session.returned)
        return {**self._machine.stats(), "unmatched_replies": unmatched, "returned": returned}


def _added(one: dict[Any, Any], other: dict[Any, Any]) -> dict[Any, Any]:
    """Return the sums of equal keys; of flags whether both are set."""
    total = dict(one)
    for key, value in other.items():
        if key not in total:
            total[key] = value
        elif isinstance(value, dict):
            total[key] = _added(total[key], value)
        else:
            total[key] = total[key] and value if isinstance(value, bool) else total[key] + value
    return total


def _refusal(
    symbols: tuple[str, ...], asked: int, why: FastfeedError | None, plan: Plan
) -> SubscriptionError:
    shown = ", ".join(symbols[:5]) + (", ..." if len(symbols) > 5 else "")
    lines = f"{plan.connections} connection{'s' * (plan.connections > 1)}"
    reason = f"the plan has {lines} of {plan.codes} symbols"
    return SubscriptionError(
        f"{len(symbols)} of {asked} symbols ({shown}) cannot be subscribed: {why or reason}",
        symbols=symbols,
        code=None if why is None else why.code,
        text="" if why is None else why.text,
    )
