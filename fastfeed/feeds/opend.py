"""The OpenD feed: Futu's and moomoo's gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from fastfeed._core.opend import OpendMachine
from fastfeed.errors import (
    ConfigError,
    ConnectError,
    FastfeedError,
    RemoteProtocolError,
    RequestError,
    SubscriptionError,
)
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.opend_notices import notice_of
from fastfeed.feeds.opend_pulls import OpendPulls, content
from fastfeed.feeds.opend_recovery import OpendRecovery
from fastfeed.feeds.opend_session import (
    Encryption,
    OpendSession,
    State,
    refused_push,
)
from fastfeed.feeds.transport import Connection, Frames, open_connection
from fastfeed.hub import Hub
from fastfeed.protocols.opend_codes import (
    ADJUSTMENTS,
    SESSIONS,
    SUB_TYPES,
    canonical,
    interval,
    security,
)
from fastfeed.protocols.opend_messages import (
    NOTIFY,
    QOT_GET_SUB_INFO,
    QOT_REG_QOT_PUSH,
    QOT_SUB,
    QOT_UPDATE_PRICE_REMINDER,
    message_class,
)
from fastfeed.protocols.opend_rsa import load_rsa_key
from fastfeed.schema import BOOK_DEPTH, STREAMS

__all__ = ["OpenD"]

_BATCH = 100  # symbols in a request, as the official client
_AT_ONCE = 4  # requests under way
_MINIMUM_AGE_S = 60.0  # of a subscription, before OpenD lets go of it
_AGE_MARGIN_S = 0.5
_MAX_POLL_S = 0.5
_COMPLAINT_PAUSE_S = 1.0  # between two events about bad pushes
_REFRESH_PAUSE_S = 0.25  # from one recovery after an outage to the next: OpenD may come and go


@dataclasses.dataclass(eq=False, slots=True)
class _Link:
    """One connection with its session; replaced as a whole by the next one."""

    session: OpendSession
    ready: asyncio.Future[None]  # the handshake is over, well or badly
    lost: asyncio.Future[Exception | None]
    connection: Connection | None = None
    poll_timer: asyncio.TimerHandle | None = None

    def carry_out(self) -> None:
        """Send what the session wants to send, and take note of its state."""
        if self.connection is not None:
            self.connection.write(self.session.take_output())
            if self.session.error is not None:
                self.connection.abort(self.session.error)
        if self.session.state in (State.READY, State.CLOSED) and not self.ready.done():
            self.ready.set_result(None)


class _Refused(NamedTuple):
    symbols: list[str]
    error: RequestError | None


def _joined(one: _Refused, other: _Refused) -> _Refused:
    return _Refused(one.symbols + other.symbols, one.error or other.error)


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

    Attributes
    ----------
    encryption : str
        How this feed encrypts; "none" where it does not.

    Notes
    -----
    OpenD keeps a subscription for at least a minute. `unsubscribe()` stops the delivery at once, and gives the
    quota back when the minute is over.
    """

    kinds: ClassVar[tuple[str, ...]] = STREAMS

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
        for name, seconds in (
            ("wait_s", wait_s),
            ("connect_timeout_s", connect_timeout_s),
            ("request_timeout_s", request_timeout_s),
            ("rate_limit_wait_s", rate_limit_wait_s),
        ):
            may_be_0 = name in ("wait_s", "rate_limit_wait_s")
            if not 0 <= seconds < float("inf") or (seconds == 0 and not may_be_0):
                raise ValueError(f"expected {name} in seconds, more than 0, got {seconds!r}")
        if hub is not None and not isinstance(hub, Hub):
            raise TypeError(f"expected a Hub, got {hub!r}")
        if hub is not None and book_depth is not None:
            raise ValueError("expected either a hub or a book_depth: the hub has its own")
        if backoff is not None and not isinstance(backoff, Backoff):
            raise TypeError(f"expected a Backoff, got {backoff!r}")
        url_host = f"[{host}]" if ":" in host else host
        super().__init__(
            f"opend://{url_host}:{port}",
            hub=hub,
            wait_s=wait_s,
            up_timeout_s=request_timeout_s,
            backoff=backoff,
            book_depth=BOOK_DEPTH if book_depth is None else book_depth,
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
        self.adjust = adjust
        self._machine = OpendMachine(
            self.hub.symbols,
            limit_bytes=limit_bytes,
            window_bytes=window_bytes,
            depth=self.hub.book_depth,
            ordered=True,
            brokers=self.hub.broker_names,
        )
        self._recovery = OpendRecovery(self, self._machine)
        self._link: _Link | None = None
        self._unmatched_replies = 0
        self._complained_at = -_COMPLAINT_PAUSE_S
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshing_since_ns = 0
        self._refreshed_at = -_REFRESH_PAUSE_S
        self._subscribed_at: dict[tuple[str, str], float] = {}
        self._unsubscribe_at: dict[tuple[str, str], float] = {}
        self._unsubscribe_timer: asyncio.TimerHandle | None = None

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
        link = _Link(session, loop.create_future(), loop.create_future())

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
            if self._closed:
                raise ConnectError(f"the feed {self.url} was closed while it connected")
            check = self._check_sha1
            self._machine.check_sha1 = not connection.is_loopback if check is None else check
            session.start(loop.time())
            link.carry_out()
            self._poll(link)
            await link.ready
            if session.error is not None:
                raise session.error
        except BaseException:
            self._disconnect()
            raise
        return link.lost

    def _disconnect(self) -> None:
        link = self._link
        if link is not None:
            error = ConnectError(f"the connection to {self.url} was given up")
            self._forget(link, error)
            assert link.connection is not None
            link.connection.abort()

    def _forget(self, link: _Link, reason: Exception | None) -> None:
        """Take leave of a connection: with it end its session and OpenD's record of subscriptions."""
        if isinstance(reason, FastfeedError):
            link.session.close(reason)
        else:
            text = str(reason) if reason else "closed by the peer"
            link.session.lost(f"connection to {self.url} lost: {text}")
        link.carry_out()
        if link.poll_timer is not None:
            link.poll_timer.cancel()
        if self._link is link:
            self._link = None
            if self._unsubscribe_timer is not None:
                self._unsubscribe_timer.cancel()
            for task in self._background:
                task.cancel()
            self._unmatched_replies += link.session.unmatched_replies
            self._hold_ticks()
            # An outage that was not recovered from is where the interruption began.
            self._missed_since_ns = self._missed_since_ns or self._outage_ns()
            self._recovery.outage_since_ns = 0
            self._granted.clear()
            self._subscribed_at.clear()
            self._unsubscribe_at.clear()
        if not link.lost.done():
            link.lost.set_result(link.session.error)

    def _poll(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        link.session.poll(loop.time(), self._machine.packets)
        link.carry_out()
        if self._recovery.outage_since_ns and self._machine.held_rows:
            self._upstream_is_back()  # it sends: it only did not say so
        delay = min(max(link.session.due(loop.time()), 0.001), _MAX_POLL_S)
        if link is self._link:
            link.poll_timer = loop.call_later(delay, self._poll, link)

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
        if logged_in is False and not self._recovery.outage_since_ns:
            self._upstream_is_lost(time.time_ns())
        elif logged_in and self._recovery.outage_since_ns:
            self._upstream_is_back()

    # interruptions

    def _hold_ticks(self) -> None:
        self._recovery.hold(symbol for symbol, kind in self._granted if kind == "ticks")

    def _outage_ns(self) -> int:
        """Return when OpenD's outage began that was not recovered from yet, 0 = none."""
        if self._refreshing is not None and not self._refreshing.done():
            return self._refreshing_since_ns
        return self._recovery.outage_since_ns

    def _upstream_is_lost(self, since_ns: int) -> None:
        self._recovery.outage_since_ns = self._outage_ns() or since_ns
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._hold_ticks()

    def _upstream_is_back(self) -> None:
        self._refreshing_since_ns, self._recovery.outage_since_ns = (
            self._recovery.outage_since_ns,
            0,
        )
        self._refreshing = self._in_background(self._refresh(self._refreshing_since_ns))

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

    async def _recover(
        self, symbols: tuple[str, ...], kinds: tuple[str, ...], lost_ns: int
    ) -> None:
        if await self._has_upstream(lost_ns):
            await self._recovery.recover(symbols, kinds, lost_ns)

    async def _has_upstream(self, lost_ns: int) -> bool:
        """Return whether OpenD has its quote server; without it there is nothing to fetch until it is back."""
        if not self._recovery.outage_since_ns:
            try:
                state = await self.get_global_state()
            except FastfeedError:
                return True  # the pulls will tell what is wrong
            if state.quotes_logged_in:
                return True
            self._upstream_is_lost(lost_ns)
        self._recovery.outage_since_ns = min(self._recovery.outage_since_ns, lost_ns)
        return False

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
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()

        def done(outcome: bytes | FastfeedError) -> None:
            if reply.done():
                return
            if isinstance(outcome, FastfeedError):
                reply.set_exception(outcome)
            else:
                reply.set_result(outcome)

        link.session.request(proto_id, message, loop.time(), done)
        link.carry_out()
        return await reply

    # subscriptions

    def _canonical(self, symbol: str) -> str:
        return canonical(*security(symbol))

    def _canonical_kind(self, kind: str) -> str:
        stream, colon, length = kind.partition(":") if isinstance(kind, str) else (kind, "", "")
        if stream == "bars":
            if not colon:
                raise ValueError(f"expected bars with an interval, such as 'bars:1m', got {kind!r}")
            return f"bars:{interval(length).name}"
        return super()._canonical_kind(kind)

    async def _subscribe(self, symbols: list[str], kinds: tuple[str, ...], *, again: bool) -> None:
        def request(batch: list[str]) -> Any:
            message = message_class("QotSub.Request")()
            c2s = message.c2s
            c2s.isSubOrUnSub = True
            c2s.isRegOrUnRegPush = True
            # Again as well: states are refreshed by it, and ticks that come twice are dropped.
            c2s.isFirstPush = True
            if self._session_number is not None:
                c2s.session = self._session_number
            if any(kind.startswith("bars:") for kind in kinds):
                c2s.regPushRehabTypeList.append(ADJUSTMENTS[self.adjust])
            self._fill(c2s, batch, kinds)
            if self._link is not None and self._link.session.state is State.READY:
                # Cancelled or without an answer, it may be granted all the same: so it can be given up.
                note(batch)
            return message

        def note(batch: list[str]) -> None:
            pairs = [(symbol, kind) for kind in kinds for symbol in batch]
            now = time.monotonic()
            self._subscribed_at.update((pair, now) for pair in pairs if pair in new)

        def granted(batch: list[str]) -> None:
            note(batch)
            for kind in kinds:
                for symbol in batch:
                    self._wanted[kind][symbol] = None
                    self._granted.add((symbol, kind))
                    self._unsubscribe_at.pop((symbol, kind), None)

        for kind in kinds:
            self._listen(kind.partition(":")[0])
            self._wanted.setdefault(kind, {})
        for symbol in symbols:
            self.symbols.intern(symbol)
        new = {(symbol, kind) for symbol in symbols for kind in kinds} - self._subscribed_at.keys()
        try:
            await self._in_batches("subscribe", QOT_SUB, symbols, request, granted, kinds)
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
        known, _ = await self._subscriptions_of_opend()
        missing = {
            (symbol, kind)
            for symbol, kind in self._granted & before
            if (symbol, SUB_TYPES[kind]) not in known
        }
        for key in missing:
            self._granted.discard(key)
            self._subscribed_at.pop(key, None)
        return missing

    async def _subscriptions_of_opend(self) -> tuple[set[tuple[str, int]], int]:
        """Return what this connection is subscribed to by OpenD's own account (3003), and the quota that is left."""
        message = message_class("QotGetSubInfo.Request")()
        message.c2s.isReqAllConn = False
        body = await self._request(QOT_GET_SUB_INFO, message)
        s2c = content(QOT_GET_SUB_INFO, body)
        known = {
            (canonical(security.market, security.code), info.subType)
            for connection in s2c.connSubInfoList
            if connection.isOwnConnData
            for info in connection.subInfoList
            for security in info.securityList
        }
        return known, s2c.remainQuota

    def _give_up(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        self._granted.difference_update((symbol, kind) for symbol in symbols for kind in kinds)
        if "ticks" in kinds:
            for symbol in symbols:
                self._recovery.give_up(symbol)

    async def _unsubscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        now = time.monotonic()
        for kind in kinds:
            old, young = [], []
            for symbol in symbols:
                since = self._subscribed_at.get((symbol, kind))
                if since is None:
                    continue
                if now - since >= _MINIMUM_AGE_S + _AGE_MARGIN_S:
                    old.append(symbol)
                else:
                    young.append(symbol)
                    self._unsubscribe_at[symbol, kind] = since + _MINIMUM_AGE_S + _AGE_MARGIN_S
            self._schedule_unsubscribe()
            await self._set_pushes(young, (kind,), False)
            await self._release(old, kind)

    async def _set_pushes(self, symbols: list[str], kinds: tuple[str, ...], on: bool) -> None:
        def request(batch: list[str]) -> Any:
            message = message_class("QotRegQotPush.Request")()
            message.c2s.isRegOrUnReg = on
            if any(kind.startswith("bars:") for kind in kinds):
                message.c2s.rehabTypeList.append(ADJUSTMENTS[self.adjust])
            self._fill(message.c2s, batch, kinds)
            return message

        verb = "get pushes of" if on else "stop"
        await self._in_batches(verb, QOT_REG_QOT_PUSH, symbols, request, lambda batch: None)

    async def _release(self, symbols: list[str], kind: str) -> None:
        def request(batch: list[str]) -> Any:
            message = message_class("QotSub.Request")()
            message.c2s.isSubOrUnSub = False
            self._fill(message.c2s, batch, (kind,))
            return message

        def granted(batch: list[str]) -> None:
            for symbol in batch:
                self._subscribed_at.pop((symbol, kind), None)

        await self._in_batches("unsubscribe", QOT_SUB, symbols, request, granted)

    def _fill(self, c2s: Any, batch: list[str], kinds: tuple[str, ...]) -> None:
        for symbol in batch:
            market, code = security(symbol)
            c2s.securityList.add(market=market, code=code)
        c2s.subTypeList.extend(SUB_TYPES[kind] for kind in kinds)

    async def _in_batches(
        self,
        verb: str,
        proto_id: int,
        symbols: list[str],
        request: Callable[[list[str]], Any],
        granted: Callable[[list[str]], None],
        kinds: tuple[str, ...] = (),
    ) -> None:
        """Send requests for up to 100 symbols each, a few at a time; the refused ones make one error.

        With kinds, a refused request is divided until it is known which symbols are the reason.
        """
        places = asyncio.Semaphore(_AT_ONCE)

        async def ask(batch: list[str]) -> _Refused:
            try:
                await self._request(proto_id, request(batch))
            except RequestError as error:
                if len(batch) == 1 or not kinds:
                    return _Refused(batch, error)
                return await divide(batch, error)
            granted(batch)
            return _Refused([], None)

        async def divide(batch: list[str], error: RequestError) -> _Refused:
            try:
                _, quota = await self._subscriptions_of_opend()
            except (RequestError, RemoteProtocolError):
                return _Refused(batch, error)
            room = quota // len(kinds)
            if room >= len(batch):  # one of them is the reason
                half = len(batch) // 2
                return _joined(await ask(batch[:half]), await ask(batch[half:]))
            fitting, others = batch[:room], batch[room:]
            refused = await ask(fitting) if fitting else _Refused([], None)
            probed = await ask(others[:1])
            if probed[0]:  # as good as certain: there is no quota for any of them
                return _joined(refused, _Refused(others, probed[1]))
            return _joined(refused, await ask(others[1:]) if others[1:] else _Refused([], None))

        async def one(batch: list[str]) -> _Refused:
            async with places:
                return await ask(batch)

        batches = [symbols[i : i + _BATCH] for i in range(0, len(symbols), _BATCH)]
        outcomes = await asyncio.gather(*map(one, batches), return_exceptions=True)
        refused: list[str] = []
        first: RequestError | None = None
        other: BaseException | None = None
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                other = other or outcome
            else:
                refused += outcome[0]
                first = first or outcome[1]
        if other is not None:
            if refused:
                other.add_note(f"besides, {', '.join(refused)} were refused: {first}")
            raise other
        if first is not None:
            shown = ", ".join(refused[:5]) + (", ..." if len(refused) > 5 else "")
            raise SubscriptionError(
                f"OpenD refused to {verb} {len(refused)} of {len(symbols)} symbols ({shown}): "
                f"{first.text} (code {first.code})",
                symbols=tuple(refused),
                code=first.code,
                text=first.text,
            )

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
                for symbol in due:
                    del self._unsubscribe_at[symbol, kind]
                try:
                    await self._release(due, kind)
                except SubscriptionError as error:
                    self._emit("error", str(error), code=error.code, symbols=error.symbols)
                    for symbol in error.symbols:
                        self._unsubscribe_at[symbol, kind] = now + _MINIMUM_AGE_S
                except FastfeedError as error:
                    self._emit("error", str(error), code=error.code, symbols=tuple(due))
            self._schedule_unsubscribe()

    # counters

    def _machine_stats(self) -> dict[str, Any]:
        now = self._link.session.unmatched_replies if self._link is not None else 0
        return {**self._machine.stats(), "unmatched_replies": self._unmatched_replies + now}
