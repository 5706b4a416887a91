"""The OpenD feed: Futu's and moomoo's gateway."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, ClassVar, Literal, get_args

from fastfeed._core.opend import OpendMachine
from fastfeed.errors import (
    ConfigError,
    ConnectError,
    FastfeedError,
    SubscriptionError,
)
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.batches import in_batches
from fastfeed.feeds.feed import check_options
from fastfeed.feeds.opend_notices import notice_of
from fastfeed.feeds.opend_pulls import OpendPulls
from fastfeed.feeds.opend_recovery import OpendRecovery
from fastfeed.feeds.opend_session import (
    Encryption,
    Frames,
    OpendSession,
    refused_push,
)
from fastfeed.feeds.session import Link, State
from fastfeed.feeds.transport import Connection, open_connection
from fastfeed.hub import Hub, Receive
from fastfeed.protocols.opend_codes import (
    ADJUSTMENTS,
    MOST_SYMBOLS,
    SESSIONS,
    SUB_TYPES,
    canonical_symbol,
    interval,
    security,
)
from fastfeed.protocols.opend_messages import (
    NOTIFY,
    QOT_REG_QOT_PUSH,
    QOT_SUB,
    QOT_UPDATE_PRICE_REMINDER,
    message_class,
)
from fastfeed.protocols.opend_rsa import load_rsa_key
from fastfeed.schema import BOOK_DEPTH, STREAMS

__all__ = ["OpenD"]

_MINIMUM_AGE_S = 60.0  # of a subscription, before OpenD lets go of it
_AGE_MARGIN_S = 0.5
_COMPLAINT_PAUSE_S = 1.0  # between two events about bad pushes
_REFRESH_PAUSE_S = 0.25  # from one recovery after an outage to the next: OpenD may come and go


class OpenD(OpendPulls):
    """A feed from OpenD.

    Parameters
    ----------
    host, port
        Where OpenD listens.
    hub : Hub, optional
        Where rows and symbols go; one of its own by default.
    book_depth : int, optional
        Levels of each side that rows of books keep, 1 to 1000; with a hub, the hub says it. Default: 10.
    client_id : str
        A label for OpenD's log.
    session : {"RTH", "ETH", "ALL"}, optional
        Trading sessions of US symbols: regular hours, with pre-market and after-hours, or all 24 hours. Not
        given: OpenD's own default.
    adjust : {"forward", "none", "backward"}
        For what bars are adjusted: for splits and dividends back from today, not at all, or on from the first day.
    check_sha1 : bool, optional
        Check the digest of everything received, at some 80 ns a tick. Default: only when OpenD is on another
        machine.
    rsa_key : str, optional
        OpenD's RSA key, if it has one: the path of the PEM file. Default: the environment's
        `FUTU_OPEND_RSA_KEY`; an empty text is no key. Needs ``pip install 'fastfeed[crypto]'``.
    encryption : {"aes-cbc", "ftaes-ecb", "none"}, optional
        How to encrypt everything behind the handshake, in both directions. Default: "aes-cbc" with a key, "none"
        without.
    wait_s : float
        How long to try when nothing listens at first. Default: not at all.
    connect_timeout_s, request_timeout_s : float
        For the connection and the handshake; for any other reply.
    rate_limit_wait_s : float
        Longest wait of a pull that OpenD allows only so often; where it would be longer, RateLimitError.
    limit_bytes : int
        Longest packet body that is believed; a longer one counts as a broken stream.
    window_bytes : int
        Memory for one read.
    backoff : Backoff, optional
        Pauses between attempts to come back: by default 0.1 s at first, doubling up to 6 s, with jitter.
    receive : {"loop", "thread"}
        Who reads from the socket and decodes: the event loop, or from the end of the handshake on a thread of the
        hub's that never waits for Python. Callbacks, loops over streams and all else stay with the event loop; views
        then hold only until the writer comes round the ring, also while your code does not await: ask `intact()`.
        All feeds of a hub receive in the same way, those of a thread for the same event loop.
    spin : bool
        Let the thread read over and over, which takes a whole CPU; by default it sleeps until there is something.
    cpu : int, optional
        The only CPU that the thread may run on.

    Attributes
    ----------
    encryption : str
        How this feed encrypts; "none" where it does not.

    Notes
    -----
    OpenD keeps a subscription for at least a minute. `unsubscribe()` stops the delivery at once, and gives the
    quota back when the minute is over.
    """

    _canonical = staticmethod(canonical_symbol)
    kinds: ClassVar[tuple[str, ...]] = STREAMS
    _link: Link[OpendSession] | None
    _machine: OpendMachine

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 11111,
        *,
        hub: Hub | None = None,
        book_depth: int | None = None,
        client_id: str = "fastfeed",
        session: Literal["RTH", "ETH", "ALL"] | None = None,
        adjust: Literal["forward", "none", "backward"] = "forward",
        check_sha1: bool | None = None,
        rsa_key: str | None = None,
        encryption: Encryption | None = None,
        wait_s: float = 0.0,
        connect_timeout_s: float = 10.0,
        request_timeout_s: float = 12.0,
        rate_limit_wait_s: float = 35.0,
        limit_bytes: int = 1 << 26,
        window_bytes: int = 1 << 18,
        backoff: Backoff | None = None,
        receive: Receive = "loop",
        spin: bool = False,
        cpu: int | None = None,
    ) -> None:
        if not 0 < port < 65536:
            raise ValueError(f"expected a port from 1 to 65535, got {port}")
        try:
            host.encode("idna")
        except UnicodeError:  # the resolver would raise it, which is no OSError
            raise ValueError(f"expected the name of a host, got {host!r}") from None
        if session is not None and session not in SESSIONS:
            raise ValueError(f"expected a session ({', '.join(SESSIONS)}), got {session!r}")
        if encryption is not None and encryption not in get_args(Encryption):
            raise ValueError(
                f"expected an encryption ({', '.join(get_args(Encryption))}), got {encryption!r}"
            )
        if rsa_key is None:
            rsa_key = os.environ.get("FUTU_OPEND_RSA_KEY")
        if not rsa_key and encryption not in (None, "none"):
            raise ConfigError(f"the encryption {encryption} needs OpenD's key as rsa_key")
        if adjust not in ADJUSTMENTS:
            raise ValueError(f"expected an adjustment ({', '.join(ADJUSTMENTS)}), got {adjust!r}")
        check_options(
            hub,
            book_depth,
            backoff,
            wait_s=wait_s,
            connect_timeout_s=connect_timeout_s,
            request_timeout_s=request_timeout_s,
            rate_limit_wait_s=rate_limit_wait_s,
        )
        url_host = f"[{host}]" if ":" in host else host
        super().__init__(
            f"opend://{url_host}:{port}",
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
        self._host = host
        self._port = port
        self._client_id = str(client_id)
        self._session_number = SESSIONS[session] if session else None
        self._check_sha1 = check_sha1
        self._rsa_key = load_rsa_key(rsa_key) if rsa_key else None
        self.encryption: Encryption = encryption or ("aes-cbc" if rsa_key else "none")
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._adjust = adjust
        self._machine = OpendMachine(
            self.hub.symbols,
            limit_bytes=limit_bytes,
            window_bytes=window_bytes,
            depth=self.hub.book_depth,
            ordered=True,
            brokers=self.hub.broker_names,
        )
        self._recovery = OpendRecovery(self, self._machine, self._emit, adjust=adjust)
        self._unmatched_replies = 0
        self._complained_at = -_COMPLAINT_PAUSE_S
        self._refreshing: asyncio.Task[None] | None = None
        self._held_before_outage = 0
        self._refreshed_at = -_REFRESH_PAUSE_S
        self._subscribed_at: dict[tuple[str, str], float] = {}
        self._unsubscribe_at: dict[tuple[str, str], float] = {}
        self._unsubscribe_timer: asyncio.TimerHandle | None = None

    @property
    def machine_options(self) -> tuple[str, str, dict[str, Any]]:
        """See `Feed.machine_options`."""
        return "opend", "tcp", self._machine.options()

    # connection

    async def _connect(self) -> asyncio.Future[Exception | None]:
        loop = asyncio.get_running_loop()
        session = OpendSession(
            self._on_push,
            client_id=self._client_id,
            handshake_timeout_s=self._connect_timeout_s,
            request_timeout_s=self._request_timeout_s,
            rsa_key=self._rsa_key,
            encryption=self.encryption,
        )
        link = Link(session, self.url)

        def on_frames(frames: Frames | None) -> None:
            while frames is not None:
                init_sha1 = self._machine.init_sha1
                session.receive(frames, loop.time(), init_sha1)
                frames = None
                if init_sha1 is not None and session.error is None:
                    # The cipher is in force before anything behind InitConnect's reply is looked at.
                    self._machine.set_cipher(session.cipher)
                    frames = self._machine.resume()
            link.carry_out()

        def on_lost(reason: Exception | None) -> None:
            self._forget(link, reason)

        self._machine.reset(handshake=True)
        link.connection = connection = await open_connection(
            self._host,
            self._port,
            self._connect_timeout_s,
            lambda: Connection(self._machine, on_frames, on_lost),
        )
        if session.error is not None:  # lost as soon as it stood
            raise session.error
        self._link = link
        try:
            self._check_not_closed_meanwhile()
            check = self._check_sha1
            self._machine.check_sha1 = not connection.is_loopback if check is None else check
            await link.start(self._look)
            self._hand_over(link)
        except BaseException:
            self._disconnect()
            raise
        return link.lost

    def _forget(self, link: Link[OpendSession], reason: Exception | None) -> None:
        """Take leave of a connection: with it end its session and OpenD's record of subscriptions."""
        link.end(reason)
        if self._link is link:
            self._link = None
            if self._unsubscribe_timer is not None:
                self._unsubscribe_timer.cancel()
            for task in self._background:
                task.cancel()
            self._unmatched_replies += link.session.unmatched_replies
            self._hold_ticks()
            self._in_outage = False
            self._granted.clear()
            self._subscribed_at.clear()
            self._unsubscribe_at.clear()

    def _look(self) -> int:
        """Look whether OpenD has its source again, and return how many packets came."""
        if self._in_outage and self._machine.held_live > self._held_before_outage:
            self._upstream_is_back()  # it sends: it only did not say so
        return self._machine.packets

    def _on_push(self, proto_id: int, body: bytes) -> None:
        """Turn OpenD's notices, price reminders and refused pushes into events."""
        if proto_id not in (NOTIFY, QOT_UPDATE_PRICE_REMINDER):
            self._complain(refused_push(proto_id, body))
            return
        try:
            notice = notice_of(proto_id, body)
        except FastfeedError as error:
            self._complain(error)
            return
        symbol = notice.fields.get("symbol")
        self._emit(
            notice.kind,
            notice.text,
            code=notice.code,
            symbols=() if symbol is None else (symbol,),
            details=notice.fields,
        )
        logged_in = notice.fields.get("quotes_logged_in")
        if logged_in is False and not self._in_outage:
            self._upstream_is_lost()
        elif logged_in and self._in_outage:
            self._upstream_is_back()

    # interruptions

    def _hold_ticks(self) -> None:
        self._recovery.hold(symbol for symbol, kind in self._granted if kind == "ticks")

    def _upstream_is_lost(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()  # what the outage before took away is still missing
        self._missed_since_ns = self._missed_since_ns or time.time_ns()
        self._in_outage = True
        self._held_before_outage = self._machine.held_live
        self._hold_ticks()

    def _upstream_is_back(self) -> None:
        self._in_outage = False
        self._refreshing = self._in_background(self._refresh(self._missed_since_ns))

    async def _refresh(self, since_ns: int) -> None:
        """After an outage of OpenD's own: get the states anew, and what was missed."""
        pause_s = self._refreshed_at + _REFRESH_PAUSE_S - time.monotonic()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        self._refreshed_at = time.monotonic()
        for kind in tuple(self._wanted):  # what is granted may change meanwhile
            symbols = [s for s in self._wanted[kind] if (s, kind) in self._granted]
            try:
                if kind != "ticks":
                    await self._set_pushes(symbols, (kind,), True)
            except FastfeedError as error:
                self._emit("error", str(error), code=error.code, symbols=tuple(symbols))
            await self._recovery.recover(symbols, (kind,), since_ns)
        self._missed_since_ns = 0

    async def _recover(
        self, symbols: tuple[str, ...], kinds: tuple[str, ...], since_ns: int
    ) -> None:
        if await self._has_upstream():
            await self._recovery.recover(symbols, kinds, since_ns)

    async def _has_upstream(self) -> bool:
        """Return whether OpenD has its quote server; without it there is nothing to fetch until it is back."""
        if not self._in_outage:
            try:
                state = await self.get_global_state()
            except FastfeedError:
                return True  # the pulls will tell what is wrong
            if not state.quotes_logged_in and not self._in_outage:  # a notice may have come first
                self._upstream_is_lost()
        return not self._in_outage

    def _complain(self, error: FastfeedError) -> None:
        """Tell about a bad push, at most once a second: there may be many."""
        now = time.monotonic()
        if now - self._complained_at >= _COMPLAINT_PAUSE_S:
            self._complained_at = now
            self._emit("error", str(error), code=error.code)

    async def _request(self, proto_id: int, message: Any) -> bytes:
        link = self._link
        if link is None:
            raise ConnectError(f"{self.url} is not connected")
        now = asyncio.get_running_loop().time()
        return await link.outcome(lambda done: link.session.request(proto_id, message, now, done))

    # subscriptions

    @classmethod
    def _canonical_kind(cls, kind: str) -> str:
        stream, colon, length = kind.partition(":") if isinstance(kind, str) else (kind, "", "")
        if stream == "bars":
            if not colon:
                raise ValueError(f"expected bars with an interval, such as 'bars:1m', got {kind!r}")
            return f"bars:{interval(length).name}"
        return super()._canonical_kind(kind)

    async def _subscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        async def ask(batch: list[str]) -> None:
            message = message_class("QotSub.Request")()
            c2s = message.c2s
            c2s.isSubOrUnSub = True
            c2s.isRegOrUnRegPush = True
            # After a reconnect as well: states are refreshed by it, and ticks that come twice are dropped.
            c2s.isFirstPush = True
            if self._session_number is not None:
                c2s.session = self._session_number
            if any(kind.startswith("bars:") for kind in kinds):
                c2s.regPushRehabTypeList.append(ADJUSTMENTS[self._adjust])
            _fill(c2s, batch, kinds)
            if self._link is not None and self._link.session.state is State.READY:
                # Cancelled or without an answer, it may be granted all the same: so it can be given up.
                note(batch)
            await self._request(QOT_SUB, message)
            note(batch)
            for kind in kinds:
                for symbol in batch:
                    self._wanted[kind][symbol] = None
                    self._granted.add((symbol, kind))
                    self._unsubscribe_at.pop((symbol, kind), None)

        def note(batch: list[str]) -> None:
            pairs = [(symbol, kind) for kind in kinds for symbol in batch]
            now = time.monotonic()
            self._subscribed_at.update((pair, now) for pair in pairs if pair in new)

        async def room() -> int:
            return (await self.get_subscriptions()).remaining_quota // len(kinds)

        for kind in kinds:
            self._listen(kind.partition(":")[0])
            self._wanted.setdefault(kind, {})
        for symbol in symbols:
            self.symbols.intern(symbol)
        new = {(symbol, kind) for symbol in symbols for kind in kinds} - self._subscribed_at.keys()
        try:
            await in_batches("OpenD", "subscribe", symbols, ask, room, size=MOST_SYMBOLS)
        except SubscriptionError as error:
            for symbol, kind in new:
                if symbol in error.symbols:
                    self._subscribed_at.pop((symbol, kind), None)
            raise

    def _listen(self, name: str) -> None:
        stream = self.hub.stream(name)
        self._machine.listen(stream.number, stream.ring, stream.deliver, stream.table)

    async def _missing_at_vendor(self) -> set[tuple[str, str]]:
        before = set(self._granted)
        found = await self.get_subscriptions()
        known = {
            (symbol, group.kind)
            for connection in found.connections
            if connection.own
            for group in connection.subscribed
            for symbol in group.symbols
        }
        missing = (self._granted & before) - known
        for key in missing:
            self._granted.discard(key)
            self._subscribed_at.pop(key, None)
        return missing

    def _give_up(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        self._granted.difference_update((symbol, kind) for symbol in symbols for kind in kinds)
        if "ticks" in kinds:
            for symbol in symbols:
                self._recovery.give_up(symbol)

    async def _unsubscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        now = time.monotonic()
        young: dict[str, list[str]] = {}
        old: dict[str, list[str]] = {}
        for kind in kinds:
            for symbol in symbols:
                since = self._subscribed_at.get((symbol, kind))
                if since is None:
                    continue
                wait_s = since + _MINIMUM_AGE_S + _AGE_MARGIN_S - now
                (young if wait_s > 0 else old).setdefault(kind, []).append(symbol)
                retry_s = _MINIMUM_AGE_S  # of an old one, should it be refused now
                self._unsubscribe_at[symbol, kind] = now + (wait_s if wait_s > 0 else retry_s)
        self._schedule_unsubscribe()
        for kind in kinds:
            await self._set_pushes(young.get(kind, []), (kind,), False)
            await self._release(old.get(kind, []), kind)

    async def _set_pushes(self, symbols: list[str], kinds: tuple[str, ...], on: bool) -> None:
        async def ask(batch: list[str]) -> None:
            message = message_class("QotRegQotPush.Request")()
            message.c2s.isRegOrUnReg = on
            if any(kind.startswith("bars:") for kind in kinds):
                message.c2s.rehabTypeList.append(ADJUSTMENTS[self._adjust])
            _fill(message.c2s, batch, kinds)
            await self._request(QOT_REG_QOT_PUSH, message)

        await in_batches(
            "OpenD", "get pushes of" if on else "stop", symbols, ask, size=MOST_SYMBOLS
        )

    async def _release(self, symbols: list[str], kind: str) -> None:
        async def ask(batch: list[str]) -> None:
            message = message_class("QotSub.Request")()
            message.c2s.isSubOrUnSub = False
            _fill(message.c2s, batch, (kind,))
            await self._request(QOT_SUB, message)
            for symbol in batch:
                self._subscribed_at.pop((symbol, kind), None)
                self._unsubscribe_at.pop((symbol, kind), None)

        await in_batches("OpenD", "unsubscribe", symbols, ask, size=MOST_SYMBOLS)

    def _schedule_unsubscribe(self) -> None:
        """Set the timer for the subscription that is the next to become a minute old."""
        if self._unsubscribe_timer is not None:
            self._unsubscribe_timer.cancel()
            self._unsubscribe_timer = None
        if self._unsubscribe_at:
            delay = min(self._unsubscribe_at.values()) - time.monotonic()
            loop = asyncio.get_running_loop()
            self._unsubscribe_timer = loop.call_later(max(delay, 0), self._start_release)

    def _start_release(self) -> None:
        self._in_background(self._release_due())

    async def _release_due(self) -> None:
        async with self._asking:
            now = time.monotonic()
            for kind in sorted({kind for _, kind in self._unsubscribe_at}):
                due = [s for (s, k), at in self._unsubscribe_at.items() if k == kind and at <= now]
                retry_at = now + _MINIMUM_AGE_S
                self._unsubscribe_at.update({(symbol, kind): retry_at for symbol in due})
                try:
                    await self._release(due, kind)
                except FastfeedError as error:
                    refused = error.symbols if isinstance(error, SubscriptionError) else due
                    self._emit("error", str(error), code=error.code, symbols=tuple(refused))
            self._schedule_unsubscribe()

    # counters

    def _machine_stats(self) -> dict[str, Any]:
        now = self._link.session.unmatched_replies if self._link is not None else 0
        return {**self._machine.stats(), "unmatched_replies": self._unmatched_replies + now}


def _fill(c2s: Any, symbols: list[str], kinds: tuple[str, ...]) -> None:
    for symbol in symbols:
        market, code = security(symbol)
        c2s.securityList.add(market=market, code=code)
    c2s.subTypeList.extend(SUB_TYPES[kind] for kind in kinds)
