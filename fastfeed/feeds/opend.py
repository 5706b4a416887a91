"""The OpenD feed: Futu's and moomoo's gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal, get_args

from google.protobuf.message import DecodeError

from fastfeed._core.opend import OpendMachine
from fastfeed.errors import (
    ConfigError,
    ConnectError,
    FastfeedError,
    RequestError,
    SubscriptionError,
)
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.opend_session import (
    Encryption,
    Frames,
    OpendSession,
    State,
    refusal,
    text_of,
)
from fastfeed.feeds.transport import Connection, open_connection
from fastfeed.hub import Hub
from fastfeed.protocols.opend_codes import canonical, security
from fastfeed.protocols.opend_messages import (
    NOTIFY,
    QOT_REG_QOT_PUSH,
    QOT_SUB,
    message_class,
)
from fastfeed.protocols.opend_rsa import load_rsa_key

__all__ = ["OpenD"]

_SUB_TYPES = {"ticks": 4}
_SESSIONS = {"RTH": 1, "ETH": 2, "ALL": 3}
_BATCH = 100  # symbols in a request, as the official client
_AT_ONCE = 4  # requests under way
_MINIMUM_AGE_S = 60.0  # of a subscription, before OpenD lets go of it
_AGE_MARGIN_S = 0.5
_MAX_POLL_S = 0.5
_COMPLAINT_PAUSE_S = 1.0  # between two events about bad pushes


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


class OpenD(Feed):
    """A feed from OpenD.

    Parameters
    ----------
    host, port
        Where OpenD listens.
    hub : Hub, optional
        Where rows and symbols go; one of its own by default.
    client_id : str
        A label for OpenD's log.
    session : {"RTH", "ETH", "ALL"}, optional
        Trading sessions of US symbols: regular hours, with pre-market and after-hours, or all 24 hours. Not
        given: OpenD's own default.
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
    limit_bytes : int
        Longest packet body that is believed; a longer one counts as a broken stream.
    window_bytes : int
        Memory for one read.
    backoff : Backoff, optional
        Pauses between attempts to come back: by default 0.1 s at first, doubling up to 6 s, with jitter.

    Notes
    -----
    OpenD keeps a subscription for at least a minute. `unsubscribe()` stops the delivery at once, and gives the
    quota back when the minute is over.
    """

    kinds: ClassVar[tuple[str, ...]] = tuple(_SUB_TYPES)

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 11111,
        *,
        hub: Hub | None = None,
        client_id: str = "fastfeed",
        session: Literal["RTH", "ETH", "ALL"] | None = None,
        check_sha1: bool | None = None,
        rsa_key: str | None = None,
        encryption: Encryption | None = None,
        wait_s: float = 0.0,
        connect_timeout_s: float = 10.0,
        request_timeout_s: float = 12.0,
        limit_bytes: int = 1 << 26,
        window_bytes: int = 1 << 18,
        backoff: Backoff | None = None,
    ) -> None:
        if not 0 < port < 65536:
            raise ValueError(f"expected a port from 1 to 65535, got {port}")
        if session is not None and session not in _SESSIONS:
            raise ValueError(f"expected a session ({', '.join(_SESSIONS)}), got {session!r}")
        if encryption is not None and encryption not in get_args(Encryption):
            raise ValueError(
                f"expected an encryption ({', '.join(get_args(Encryption))}), got {encryption!r}"
            )
        if rsa_key is None:
            rsa_key = os.environ.get("FUTU_OPEND_RSA_KEY")
        if not rsa_key and encryption not in (None, "none"):
            raise ConfigError(f"the encryption {encryption} needs OpenD's key as rsa_key")
        for name, seconds in (
            ("wait_s", wait_s),
            ("connect_timeout_s", connect_timeout_s),
            ("request_timeout_s", request_timeout_s),
        ):
            if not 0 <= seconds < float("inf") or (seconds == 0 and name != "wait_s"):
                raise ValueError(f"expected {name} in seconds, more than 0, got {seconds!r}")
        if hub is not None and not isinstance(hub, Hub):
            raise TypeError(f"expected a Hub, got {hub!r}")
        if backoff is not None and not isinstance(backoff, Backoff):
            raise TypeError(f"expected a Backoff, got {backoff!r}")
        url_host = f"[{host}]" if ":" in host else host
        super().__init__(
            f"opend://{url_host}:{port}",
            hub=hub,
            wait_s=wait_s,
            up_timeout_s=request_timeout_s,
            backoff=backoff,
        )
        self._host = host
        self._port = port
        self._client_id = str(client_id)
        self._session_number = _SESSIONS[session] if session else None
        self._check_sha1 = check_sha1
        self._rsa_key = load_rsa_key(rsa_key) if rsa_key else None
        self._encryption: Encryption = encryption or ("aes-cbc" if rsa_key else "none")
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        stream = self.hub.ticks
        self._machine = OpendMachine(
            self.hub.symbols,
            stream.ring,
            stream.deliver,
            limit_bytes=limit_bytes,
            window_bytes=window_bytes,
        )
        self._link: _Link | None = None
        self._unmatched_replies = 0
        self._complained_at = -_COMPLAINT_PAUSE_S
        self._subscribed_at: dict[tuple[str, str], float] = {}
        self._unsubscribe_at: dict[tuple[str, str], float] = {}
        self._unsubscribe_timer: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()

    # connection

    async def _connect(self) -> asyncio.Future[Exception | None]:
        loop = asyncio.get_running_loop()
        session = OpendSession(
            self._on_push,
            client_id=self._client_id,
            handshake_timeout_s=self._connect_timeout_s,
            request_timeout_s=self._request_timeout_s,
            rsa_key=self._rsa_key,
            encryption=self._encryption,
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

        self._machine.reset(gap=self._connections > 0, handshake=True)
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
            self._granted.clear()
            self._subscribed_at.clear()
            self._unsubscribe_at.clear()
        if not link.lost.done():
            link.lost.set_result(link.session.error)

    def _poll(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        link.session.poll(loop.time(), self._machine.packets)
        link.carry_out()
        delay = min(max(link.session.due(loop.time()), 0.001), _MAX_POLL_S)
        if link is self._link:
            link.poll_timer = loop.call_later(delay, self._poll, link)

    def _on_push(self, proto_id: int, body: bytes) -> None:
        """Turn OpenD's notices and refused pushes into events."""
        try:
            if proto_id == NOTIFY:
                message = message_class("Notify.Response").FromString(body)
            else:
                message = message_class("Reply").FromString(body)
        except DecodeError:
            self._complain(f"OpenD sent a push {proto_id} that is no protobuf", None)
            return
        if message.retType != 0:
            error = refusal(f"push {proto_id}", message)
            self._complain(str(error), error.code)
        elif proto_id == NOTIFY:
            s2c = message.s2c
            if s2c.HasField("event"):
                self._emit("notice", text_of(s2c.event.desc), code=s2c.event.eventType)
            elif s2c.HasField("connectStatus"):
                state = "logged in" if s2c.connectStatus.qotLogined else "not logged in"
                self._emit("notice", f"OpenD is {state} to its quote server", code=s2c.type)
            else:
                self._emit("notice", f"OpenD notice of type {s2c.type}", code=s2c.type)

    def _complain(self, text: str, code: int | None) -> None:
        """Tell about a bad push, at most once a second: there may be many."""
        now = time.monotonic()
        if now - self._complained_at >= _COMPLAINT_PAUSE_S:
            self._complained_at = now
            self._emit("error", text, code=code)

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

    async def _subscribe(self, symbols: list[str], kinds: tuple[str, ...], *, again: bool) -> None:
        def request(batch: list[str]) -> Any:
            message = message_class("QotSub.Request")()
            c2s = message.c2s
            c2s.isSubOrUnSub = True
            c2s.isRegOrUnRegPush = True
            c2s.isFirstPush = not again
            if self._session_number is not None:
                c2s.session = self._session_number
            self._fill(c2s, batch, kinds)
            return message

        def granted(batch: list[str]) -> None:
            now = time.monotonic()
            for kind in kinds:
                for symbol in batch:
                    self._wanted[kind][symbol] = None
                    self._granted.add((symbol, kind))
                    self._unsubscribe_at.pop((symbol, kind), None)
                    self._subscribed_at.setdefault((symbol, kind), now)

        for symbol in symbols:
            self.symbols.intern(symbol)
        await self._in_batches("subscribe", QOT_SUB, symbols, request, granted)

    async def _unsubscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        now = time.monotonic()
        for kind in kinds:
            old, young = [], []
            for symbol in symbols:
                self._granted.discard((symbol, kind))
                since = self._subscribed_at.get((symbol, kind))
                if since is None:
                    continue
                if now - since >= _MINIMUM_AGE_S + _AGE_MARGIN_S:
                    old.append(symbol)
                else:
                    young.append(symbol)
                    self._unsubscribe_at[symbol, kind] = since + _MINIMUM_AGE_S + _AGE_MARGIN_S
            self._schedule_unsubscribe()
            await self._stop_pushes(young, kind)
            await self._release(old, kind)

    async def _stop_pushes(self, symbols: list[str], kind: str) -> None:
        def request(batch: list[str]) -> Any:
            message = message_class("QotRegQotPush.Request")()
            message.c2s.isRegOrUnReg = False
            self._fill(message.c2s, batch, (kind,))
            return message

        await self._in_batches("stop", QOT_REG_QOT_PUSH, symbols, request, lambda batch: None)

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
        c2s.subTypeList.extend(_SUB_TYPES[kind] for kind in kinds)

    async def _in_batches(
        self,
        verb: str,
        proto_id: int,
        symbols: list[str],
        request: Callable[[list[str]], Any],
        granted: Callable[[list[str]], None],
    ) -> None:
        """Send requests for up to 100 symbols each, a few at a time; the refused ones make one error."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(batch: list[str]) -> None:
            async with places:
                await self._request(proto_id, request(batch))
                granted(batch)

        batches = [symbols[i : i + _BATCH] for i in range(0, len(symbols), _BATCH)]
        outcomes = await asyncio.gather(*map(one, batches), return_exceptions=True)
        refused: list[str] = []
        first: RequestError | None = None
        other: BaseException | None = None
        for batch, outcome in zip(batches, outcomes, strict=True):
            if isinstance(outcome, RequestError):
                first = first or outcome
                refused += batch
            else:
                other = other or outcome
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
        task = asyncio.get_running_loop().create_task(self._release_due())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _release_due(self) -> None:
        async with self._asking:
            now = time.monotonic()
            for kind in self.kinds:
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
