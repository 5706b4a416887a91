"""The LongPort (Longbridge) feed: trades, quotes, order books and broker queues of the quote gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from fastfeed._core.longport import LongportMachine
from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    RateLimitError,
    RemoteProtocolError,
    RequestError,
    RequestTimeout,
    SubscriptionError,
)
from fastfeed.feeds.address import WEBSOCKET_PORTS, Address
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.batches import in_batches, shown
from fastfeed.feeds.feed import check_options, check_receive
from fastfeed.feeds.longport_http import Credentials, OneTimePassword, Settings, get_token
from fastfeed.feeds.longport_pulls import LongportPulls, parsed
from fastfeed.feeds.longport_records import Connections, as_symbol
from fastfeed.feeds.longport_recovery import LongportRecovery
from fastfeed.feeds.longport_session import Auth, LongportSession, Messages, Reconnect
from fastfeed.feeds.session import Link
from fastfeed.feeds.transport import Connection, open_connection
from fastfeed.hub import Hub, Receive
from fastfeed.protocols.longport_codes import KINDS, MOST_SYMBOLS, code, reason
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.schema import BOOK_DEPTH, Flags, Session

__all__ = ["LongPort"]

_logger = logging.getLogger(__name__)

_PORTS = {**WEBSOCKET_PORTS, "tcp": 2020}
_TOO_MANY_SUBSCRIPTIONS = 301605
_TOO_MANY_CONNECTIONS = 403
_IN_HAND_MS = 10_000  # of a session's time
_ALWAYS_REFUSED_PAUSE_S = 60.0  # before the next attempt when credentials were refused
_BUSY_PAUSE_S = 10.0  # the same when there are too many connections or requests
_LOOK_S = 1.0  # between two looks whether the market's day has begun anew
_NEW_DAY_PAUSE_S = 60.0  # between two pulls of snapshots for that reason
#: Counters of a session.
_IGNORED = ("unmatched_replies", "unknown_pushes", "unknown_requests", "unknown_messages")


class LongPort(LongportPulls):
    """A feed from LongPort, which is Longbridge since 2026: ``ticks``, ``quotes``, ``books`` and ``brokers``.

    Parameters
    ----------
    app_key, app_secret, access_token : str, optional
        Of an API key. Default: the environment's `LONGBRIDGE_APP_KEY`, `LONGBRIDGE_APP_SECRET` and
        `LONGBRIDGE_ACCESS_TOKEN`, or the same with `LONGPORT_`. They are shown nowhere.
    oauth_client_id, oauth_token : str, optional
        In their place; default: `LONGBRIDGE_OAUTH_CLIENT_ID` and `LONGBRIDGE_OAUTH_TOKEN`.
    url : str, optional
        Of the quote gateway, for a simulator or a proxy: ``wss://``, ``ws://``, or ``tcp://`` for packets without
        WebSocket. Default: `LONGBRIDGE_QUOTE_WS_URL` or `LONGPORT_QUOTE_WS_URL`, or else the vendor's.
    http_url : str, optional
        Where one-time passwords come from. Default: `LONGBRIDGE_HTTP_URL` or `LONGPORT_HTTP_URL`, or the vendor's.
    transport : {"ws", "tcp"}, optional
        Which of the vendor's gateways, where no `url` is given. TCP is not encrypted.
    region : {"global", "cn"}, optional
        The same. Default: `LONGBRIDGE_REGION` or `LONGPORT_REGION`, or ``"global"``.
    language : {"en", "zh-CN", "zh-HK"}, optional
        Of names and texts. Default: `LONGBRIDGE_LANGUAGE` or `LONGPORT_LANGUAGE`, or ``"en"``.
    overnight : bool, optional
        Whether quotes of the US overnight session are wanted (`need_over_night_quote`). Default:
        `LONGBRIDGE_ENABLE_OVERNIGHT` or `LONGPORT_ENABLE_OVERNIGHT`, or not.
    hub : Hub, optional
        Where rows and symbols go; one of its own by default.
    book_depth : int, optional
        Levels of each side that rows of books keep. With a hub, the hub says it.
    wait_s : float
        How long to try when nothing listens at first. Default: not at all.
    connect_timeout_s, request_timeout_s : float
        For the connection and the handshake; for a response.
    rate_limit_wait_s : float
        Longest wait of a request that the gateway allows only so often; where it would be longer, RateLimitError.
    limit_bytes : int
        Longest body that is believed, compressed or not.
    window_bytes : int
        Memory for one read.
    backoff : Backoff, optional
        Pauses between attempts to come back.
    ssl_context : ssl.SSLContext, optional
        For ``wss://`` and ``https://``. Default: Python's, which verifies the certificate.
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
    Pushes of quotes say only what has changed. Rows are complete all the same: one record for each symbol and
    session. Where quotes are subscribed to, snapshots are pulled (`get_quotes`), for what pushes never say: the
    close before, and sessions in which nothing happens; again where the market's day begins anew.
    """

    _canonical = staticmethod(code)
    kinds: ClassVar[tuple[str, ...]] = tuple(KINDS)
    _link: Link[LongportSession] | None
    _machine: LongportMachine

    def __init__(
        self,
        *,
        app_key: str | None = None,
        app_secret: str | None = None,
        access_token: str | None = None,
        oauth_client_id: str | None = None,
        oauth_token: str | None = None,
        url: str | None = None,
        http_url: str | None = None,
        transport: Literal["ws", "tcp"] | None = None,
        region: Literal["global", "cn"] | None = None,
        language: Literal["en", "zh-CN", "zh-HK"] | None = None,
        overnight: bool | None = None,
        hub: Hub | None = None,
        book_depth: int | None = None,
        wait_s: float = 0.0,
        connect_timeout_s: float = 10.0,
        request_timeout_s: float = 12.0,
        rate_limit_wait_s: float = 35.0,
        limit_bytes: int = (1 << 24) - 1,
        window_bytes: int = 1 << 18,
        backoff: Backoff | None = None,
        ssl_context: ssl.SSLContext | None = None,
        receive: Receive = "loop",
        spin: bool = False,
        cpu: int | None = None,
    ) -> None:
        check_options(
            hub,
            book_depth,
            backoff,
            wait_s=wait_s,
            connect_timeout_s=connect_timeout_s,
            request_timeout_s=request_timeout_s,
            rate_limit_wait_s=rate_limit_wait_s,
        )
        self._settings = Settings.of(
            url=url,
            http_url=http_url,
            transport=transport,
            region=region,
            language=language,
            overnight=overnight,
        )
        self._address = Address.of(self._settings.url, _PORTS)
        check_receive(receive, self._address.tls)
        self._credentials = Credentials.of(
            app_key,
            app_secret,
            access_token,
            oauth_client_id=oauth_client_id,
            oauth_token=oauth_token,
        )
        super().__init__(
            # Without its query, in which a proxy may want to be told a secret.
            f"longport://?url={self._settings.url.partition('?')[0]}",
            hub=hub,
            wait_s=wait_s,
            up_timeout_s=request_timeout_s,
            backoff=backoff,
            book_depth=BOOK_DEPTH if book_depth is None else book_depth,
            receive=receive,
            spin=spin,
            cpu=cpu,
        )
        self._prepare_pulls(rate_limit_wait_s)
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._ssl_context = ssl_context
        self._machine = LongportMachine(
            self.hub.symbols,
            limit_bytes=limit_bytes,
            window_bytes=window_bytes,
            depth=self.hub.book_depth,
            ordered=True,
        )
        self._recovery = LongportRecovery(self, self._machine, self._emit)
        self._session_id = ""  # of the gateway, which outlives a connection
        self._expires_ms = 0
        self._subscribe_limit = MOST_SYMBOLS
        self._knows_brokers = False
        self._ignored = dict.fromkeys(_IGNORED, 0)
        # (symbol, kind) that were asked for, and it is not known with what result.
        self._doubtful: set[tuple[str, str]] = set()

    @property
    def settings(self) -> Settings:
        """Where LongPort is, and in which form it answers: `url`, `http_url`, `language`, `overnight`."""
        return self._settings

    @property
    def session_expires_ns(self) -> int | None:
        """Until when the gateway knows this session, ns since 1970 UTC; None without one."""
        return self._expires_ms * 1_000_000 if self._session_id else None

    async def get_connections(self) -> Connections:
        """Return how many connections the account may have and has, by HTTP; the feed need not be connected.

        Returns
        -------
        Connections

        Raises
        ------
        AuthError
            The credentials were refused, with LongPort's code and text; or no further connection is allowed.
        RateLimitError, RequestError, RequestTimeout, ConnectError, RemoteProtocolError
            Too many requests; another refusal; no reply, no connection, or a reply that cannot be read.
        """
        password = await self._password()
        return Connections(password.limit, password.online)

    @property
    def machine_options(self) -> tuple[str, str, dict[str, Any]]:
        """See `Feed.machine_options`."""
        return "longport", "tcp" if self._address.scheme == "tcp" else "ws", self._machine.options()

    # connection

    async def _password(self) -> OneTimePassword:
        return await get_token(
            self._credentials,
            self._settings.http_url,
            language=self._settings.language,
            timeout_s=self._request_timeout_s,
            tls=self._tls if self._settings.http_url.startswith("https:") else None,
        )

    async def _connect(self) -> asyncio.Future[Exception | None]:
        if self._session_id and self._expires_ms > time.time() * 1000 + _IN_HAND_MS:
            try:
                return await self._connect_as(Reconnect(self._session_id))
            except RateLimitError:
                raise
            except (AuthError, RequestError) as error:
                _logger.info("%s the session is not taken again: %s", self.url, error)
        self._session_id = ""
        return await self._connect_as(Auth((await self._password()).otp))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._ssl_context or ssl.create_default_context()  # it reads files: when needed

    async def _connect_as(self, opening: Auth | Reconnect) -> asyncio.Future[Exception | None]:
        loop = asyncio.get_running_loop()
        self._check_not_closed_meanwhile()
        address, framed = self._address, self._address.scheme != "tcp"
        session = LongportSession(
            "ws" if framed else "tcp",
            address.host_header,
            address.target,
            opening,
            language=self._settings.language,
            overnight=self._settings.overnight,
            dc_region=self._credentials.dc_region,
            connect_timeout_s=self._connect_timeout_s,
            request_timeout_s=self._request_timeout_s,
        )
        link = Link(session, self.url)

        def on_messages(messages: Messages | None) -> None:
            while messages is not None:
                rest = session.receive(messages, loop.time())
                messages = None if rest is None else self._machine.upgraded(rest)
            link.carry_out()

        def on_lost(why: Exception | None) -> None:
            self._forget(link, why)

        self._machine.reset(framed=framed)
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
        try:
            self._check_not_closed_meanwhile()
            await link.start(lambda: self._machine.packets)
            self._hand_over(link)
            self._session_id, self._expires_ms = session.session_id, session.expires_ms
            await self._learn_limits()
        except BaseException:
            self._disconnect()
            raise
        self._in_background(self._watch_days())
        return link.lost

    async def _learn_limits(self) -> None:
        """Ask what the account may do; a gateway that does not say leaves the usual limits."""
        request = message_class("UserQuoteProfileRequest")(language=self._settings.language)
        try:
            body = await self._exchange(Command.PROFILE, request.SerializeToString())
            profile = parsed(Command.PROFILE, body)
        except (RequestError, RequestTimeout, RemoteProtocolError) as error:
            self._emit(
                "error", f"the limits of the account are not known: {error}", code=error.code
            )
            return
        self._set_limits(profile)
        self._subscribe_limit = profile.subscribe_limit or MOST_SYMBOLS

    def _pause_s(self, failure: FastfeedError | None) -> float:
        least = 0.0
        if isinstance(failure, AuthError) and failure.code not in (None, _TOO_MANY_CONNECTIONS):
            least = _ALWAYS_REFUSED_PAUSE_S
        elif isinstance(failure, AuthError | RateLimitError):
            least = _BUSY_PAUSE_S
        return max(least, super()._pause_s(failure))

    def _forget(self, link: Link[LongportSession], why: Exception | None) -> None:
        """Take leave of a connection; with it end the gateway's subscriptions, but not its session."""
        link.end(why)
        if self._link is link:
            session = link.session
            self._link = None
            for task in self._background:
                task.cancel()
            for name in _IGNORED:
                self._ignored[name] += getattr(session, name)
            if session.session_expired:
                self._session_id = ""
            self._recovery.hold(symbol for symbol, kind in self._granted if kind == "ticks")
            self._granted.clear()

    async def _exchange(self, command: Command, body: bytes) -> bytes:
        link = self._link
        if link is None:
            raise ConnectError(f"{self.url} is not connected")
        now = asyncio.get_running_loop().time()
        return await link.outcome(lambda done: link.session.request(command, body, now, done))

    # subscriptions

    async def _subscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        no_room_for = 0

        async def ask(batch: list[str]) -> None:
            nonlocal no_room_for
            asked = {(symbol, kind) for symbol in batch for kind in kinds}
            self._doubtful |= asked
            try:
                body = await self._ask(
                    Command.SUBSCRIBE,
                    symbol=batch,
                    sub_type=[KINDS[kind] for kind in kinds],
                    # After a reconnect as well: so quotes, books and queues are what they are now.
                    is_first_push=True,
                )
            except RequestError as error:
                self._doubtful -= asked
                no_room_for = len(batch) if error.code == _TOO_MANY_SUBSCRIPTIONS else 0
                raise
            named = {as_symbol(one.symbol) for one in parsed(Command.SUBSCRIBE, body).sub_list}
            self._doubtful -= asked
            granted = [symbol for symbol in batch if symbol in named] if named else batch
            for kind in kinds:
                for symbol in granted:
                    self._wanted[kind][symbol] = None
                    self._granted.add((symbol, kind))
            if len(granted) < len(batch):
                text = "not among those that it names in its answer"
                no_room_for = 0
                raise RequestError(f"LongPort has not subscribed all symbols: {text}", text=text)

        async def room() -> int:
            if no_room_for:  # other connections of the account count as well, nobody says how much
                return no_room_for // 2
            return self._subscribe_limit - len({symbol for symbol, _ in self._granted})

        for kind in kinds:
            stream = self.hub.stream(kind)
            self._machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
            self._wanted.setdefault(kind, {})
        here = {symbol for symbol, _ in self._granted}
        fitting = max(0, self._subscribe_limit - len(here))
        new = [symbol for symbol in symbols if symbol not in here]
        beyond = set(new[fitting:])
        try:
            await in_batches(
                "LongPort", "subscribe", [s for s in symbols if s not in beyond], ask, room,
                size=MOST_SYMBOLS,
            )  # fmt: skip
        finally:
            if "quotes" in kinds:
                granted = [symbol for symbol in symbols if (symbol, "quotes") in self._granted]
                if granted:
                    self._in_background(self._seed(granted))
            if "brokers" in kinds and not self._knows_brokers:
                self._in_background(self._learn_brokers())
        if beyond:
            refused = tuple(new[fitting:])
            raise SubscriptionError(
                f"LongPort allows {self._subscribe_limit} symbols, no room for {len(refused)} of {len(symbols)} "
                f"({shown(refused)})",
                symbols=refused,
                code=_TOO_MANY_SUBSCRIPTIONS,
                text=reason(_TOO_MANY_SUBSCRIPTIONS),
            )

    async def _learn_brokers(self) -> None:
        """Learn whose the numbers in broker queues are; without that they stay numbers."""
        with contextlib.suppress(FastfeedError):
            await self.get_participants()
            self._knows_brokers = True

    async def _seed(self, symbols: list[str]) -> None:
        """Pull snapshots of quotes, and let the machine go on from them."""
        try:
            rows = await self.get_quotes(symbols)
        except ConnectError:
            return  # the next connection is another chance
        except FastfeedError as error:
            self._emit(
                "error",
                f"no snapshots of quotes, rows are complete when the gateway has said all: {error}",
                code=error.code,
                symbols=tuple(symbols),
            )
            return
        ids = [
            self.symbols.intern(symbol) for symbol in symbols if (symbol, "quotes") in self._granted
        ]
        rows = rows[np.isin(rows["symbol"], ids)]  # some may have been given up meanwhile
        rows["flags"] |= np.uint8(Flags.CACHED)
        self._machine.seed(rows.tobytes())

    async def _watch_days(self) -> None:
        """Pull snapshots of those whose day has begun anew: pushes do not say the close before, for example."""
        seen = self._machine.new_days
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._machine.new_days == seen:
                continue
            seen = self._machine.new_days
            symbols = {symbol for symbol, kind in self._granted if kind == "quotes"}
            if renewed := [symbol for symbol in sorted(symbols) if self._is_renewed(symbol)]:
                await self._seed(renewed)
                await asyncio.sleep(_NEW_DAY_PAUSE_S)

    def _is_renewed(self, symbol: str) -> bool:
        quotes = [self.quotes.latest(symbol, session) for session in Session]
        return any(quote is not None and np.isnan(quote["prev_close"]) for quote in quotes)

    def _give_up(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        if "ticks" in kinds:
            for symbol in symbols:
                self._recovery.give_up(symbol)

    async def _unsubscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        async def ask(batch: list[str]) -> None:
            await self._ask(
                Command.UNSUBSCRIBE, symbol=batch, sub_type=[KINDS[kind] for kind in kinds]
            )

        gone = {(s, kind) for s in symbols for kind in kinds} & (self._granted | self._doubtful)
        known = [symbol for symbol in symbols if any((symbol, kind) in gone for kind in kinds)]
        self._granted -= gone
        self._doubtful -= gone
        if known and self._link is not None:
            await in_batches("LongPort", "unsubscribe", known, ask, size=MOST_SYMBOLS)

    async def _recover(
        self, symbols: tuple[str, ...], kinds: tuple[str, ...], since_ns: int
    ) -> None:
        if "ticks" in kinds:
            await self._recovery.recover(symbols, since_ns)

    # counters

    def stats(self) -> dict[str, Any]:
        """Return counters since the feed was made.

        As `Feed.stats`, and `bytes`; `packets`, and of those `frames`: no pushes that become rows, with WebSocket's
        control frames; `ticks`, `quotes`, `books`, `brokers`: rows; `duplicates`: ticks that had been pulled after
        an interruption; `old`: pushes whose sequence was not above the last one; `end_of_day`: corrections of
        quotes after the close, left out; `cut_levels`: levels and broker places that had no room; `compressed`:
        packets; `ignored`: pushes that nobody listens to; `unreadable_times`: rows whose time is 0 for that
        reason; `unknown_pushes`, `unknown_requests`, `unknown_messages`: passed over; `rejected`: by reason, of
        which ``missing_price`` and ``not_finite`` count rows, all others packets.
        """
        return super().stats()

    def _machine_stats(self) -> dict[str, Any]:
        ignored = dict(self._ignored)
        if self._link is not None:
            for name in _IGNORED:
                ignored[name] += getattr(self._link.session, name)
        return {**self._machine.stats(), **ignored}
