"""A simulated OpenD: the vendor's own clients connect, subscribe and get every tick."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from os import PathLike
from types import TracebackType
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.protobuf.message import DecodeError

from fastfeed._core.opend_encode import MAX_ROWS_PER_PUSH, TickEncoder
from fastfeed.errors import ConfigError
from fastfeed.protocols.opend_codes import canonical, security
from fastfeed.protocols.opend_frames import HEADER, pack
from fastfeed.protocols.opend_messages import (
    GET_GLOBAL_STATE,
    INIT_CONNECT,
    KEEP_ALIVE,
    QOT_GET_SUB_INFO,
    QOT_REG_QOT_PUSH,
    QOT_SUB,
    message_class,
)
from fastfeed.sim.faults import Faults, FaultyWire, Wire
from fastfeed.sim.generator import TickGenerator, symbol_names
from fastfeed.sim.playback import GeneratorSource, Playback, Player, Rows, Source, TapeSource
from fastfeed.sim.tape import Tape

__all__ = ["OpenDSimulator"]

_logger = logging.getLogger(__name__)

_SERVER_VERSION = 1011
_BUILD = 7108
_USER_ID = 100001
_TICKER = 4
_TYPES = range(1, 23)
_MAX_REQUEST_BYTES = 1 << 20
_WRITE_BUFFER_BYTES = 1 << 18
_FLUSH_S = 1.0  # how long the end waits for clients to take what was written

# Times of day are market-local; crypto and event contracts come in New York's. Kept apart from the
# decoder's table (native/include/fastfeed/opend_ticks.h) on purpose: each is the other's test.
_ZONES = {
    1: "Asia/Hong_Kong",
    2: "Asia/Hong_Kong",
    11: "America/New_York",
    21: "Asia/Shanghai",
    22: "Asia/Shanghai",
    31: "Asia/Singapore",
    41: "Asia/Tokyo",
    51: "Australia/Sydney",
    61: "Asia/Kuala_Lumpur",
    71: "America/New_York",
    91: "America/New_York",
    101: "America/New_York",
}

Security = tuple[int, str]
Subscription = tuple[Security, int]


class _Refused(Exception):
    """A request that is answered with an error."""


class OpenDSimulator:
    """Serve ticks as an OpenD does, from a tape or a seeded generator.

    An async context manager: it listens inside the ``async with`` block. A tape begins with the
    first subscription of ticks and plays to every subscriber of its symbols; one that reads slowly
    lags alone and still gets every row. A tape symbol without a region (``BTCUSDT``) is served in
    market CC.

    Parameters
    ----------
    host : str, default "127.0.0.1"
    port : int, default 0
        0 takes any free port.
    tape : Tape or path, optional
        Trades to play. None: generate them.
    speed : float or "max", default 1.0
        Multiple of the tape's own speed; ``"max"`` is as fast as each client reads.
    loop : bool, default False
        Begin the tape again at its end. Times repeat, sequences go on growing.
    symbols : int or sequence of str, default 10
        Without a tape: which symbols, or how many.
    rate : float, default 100.0
        Without a tape: ticks a second, of all symbols together.
    seed : int, default 0
        The same seed gives the same ticks (their times are the clock's).
    rows_per_push : int, default 1
        Most rows in one push. Rows of a tape share one where they follow each other; generated rows
        come in runs of this length.
    faults : Faults, optional
        What goes wrong on purpose.
    keep_alive_interval : int, default 10
        Seconds, as told to clients.
    idle_timeout_s : float, default 30.0
        Clients without a request for so long are dropped.
    quota : int, default 100000
        Subscriptions (security and type) of all clients together.
    unsubscribe_after_s : float, default 60.0
        How old a subscription must be before it may be given up.

    Raises
    ------
    ConfigError
        The tape, a symbol or the address cannot be used.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tape: Tape | str | PathLike[str] | None = None,
        speed: float | Literal["max"] = 1.0,
        loop: bool = False,
        symbols: int | Sequence[str] = 10,
        rate: float = 100.0,
        seed: int = 0,
        rows_per_push: int = 1,
        faults: Faults | None = None,
        keep_alive_interval: int = 10,
        idle_timeout_s: float = 30.0,
        quota: int = 100_000,
        unsubscribe_after_s: float = 60.0,
    ) -> None:
        if not 1 <= rows_per_push <= MAX_ROWS_PER_PUSH:
            raise ValueError(f"expected 1 to {MAX_ROWS_PER_PUSH} rows a push, got {rows_per_push}")
        source: Source
        if tape is None:
            names = symbol_names(symbols) if isinstance(symbols, int) else tuple(symbols)
            source = GeneratorSource(TickGenerator(names, rate, seed=seed, run=rows_per_push))
            now = int(time.time())
            self._span_s = (now - 86400, now + 366 * 86400)
            self._tape_rows = 0
        else:
            tape = tape if isinstance(tape, Tape) else Tape.load(tape)
            names = tuple(s if "." in s else f"{s}.CC" for s in tape.symbols)
            source = TapeSource(tape, speed=speed, loop=loop)
            times = tape.rows["time_ns"]
            self._span_s = (int(times[0]) // 10**9, int(times[-1]) // 10**9)
            self._tape_rows = len(tape)
        self._securities = _securities(names)
        self._offsets = {
            market: _utc_offsets(market, *self._span_s)
            for market in {market for market, _ in self._securities}
        }
        self._playback = Playback(source)
        self._encoder = TickEncoder(
            (market, code, code, self._offsets[market]) for market, code in self._securities
        )
        self._host = host
        self._port = port
        self._rows_per_push = rows_per_push
        self._faults = faults
        self._strikes: dict[str, int] = {}
        self._random = random.Random(seed)
        self._keep_alive_interval = keep_alive_interval
        self._idle_timeout_s = idle_timeout_s
        self._quota = quota
        self._unsubscribe_after_s = unsubscribe_after_s
        self._server: asyncio.Server | None = None
        self._address: tuple[str, int] = (host, port)
        self._clients: dict[_Client, asyncio.Task[None]] = {}
        self._lingering: dict[Subscription, float] = {}
        self._serial = 0
        self._counts: Counter[str] = Counter()

    async def __aenter__(self) -> OpenDSimulator:
        await self.resume_listening()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.pause_listening()
        await self._playback.close()
        tasks = list(self._clients.values())
        for client in list(self._clients):
            client.close()
        if tasks:
            await asyncio.wait(tasks, timeout=_FLUSH_S)
        await self.disconnect_all()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._address[1]

    @property
    def url(self) -> str:
        """Where clients connect to: ``opend://host:port``."""
        host, port = self._address
        return f"opend://[{host}]:{port}" if ":" in host else f"opend://{host}:{port}"

    @property
    def symbols(self) -> tuple[str, ...]:
        """What can be subscribed, in canonical form."""
        return tuple(canonical(market, code) for market, code in self._securities)

    @property
    def sent(self) -> int:
        """Ticks sent so far, to all clients together."""
        return self._counts["sent"]

    def stats(self) -> dict[str, int]:
        """Return the counters.

        Returns
        -------
        dict
            `sent`: ticks; `cached`: of those, in first pushes; `pushes` and `bytes`: of ticks;
            `requests`; `refused`: requests answered with an error; `connections`: ever;
            `clients`: now; `subscriptions`: what counts against the quota now; `dropped_idle`,
            `dropped_bad_packet`, `dropped_fell_behind`, `dropped_failed`: connections ended, by reason.
        """
        names = (
            "sent", "cached", "pushes", "bytes", "requests", "refused", "connections",
            "dropped_idle", "dropped_bad_packet", "dropped_fell_behind", "dropped_failed",
        )  # fmt: skip
        now = {"clients": len(self._clients), "subscriptions": len(self._used())}
        return {name: self._counts[name] for name in names} | now

    async def finished(self) -> None:
        """Wait until the tape was played out to every client that subscribes to it.

        Raises
        ------
        RuntimeError
            It plays without end: there is no tape, or it repeats.
        """
        await self._playback.finished()

    async def disconnect_all(self) -> None:
        """Drop every client."""
        tasks = list(self._clients.values())
        for client in list(self._clients):
            client.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def pause_listening(self) -> None:
        """Refuse new connections; those that are there stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)  # the loop closes the socket

    async def resume_listening(self) -> None:
        """Accept connections again, at the same port."""
        if self._server is not None:
            return
        host, port = self._host, self._address[1]
        try:
            self._server = await asyncio.start_server(self._serve, host, port)
        except OSError as error:
            reason = str(error.strerror or error)
            raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from error
        self._address = self._server.sockets[0].getsockname()[:2]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        client = _Client(self, reader, writer)
        self._clients[client] = task
        self._counts["connections"] += 1
        try:
            await client.run()
        finally:
            del self._clients[client]
            self._release(client)

    # What clients ask of the whole.

    def _release(self, client: _Client) -> None:
        """Free the quota of a client that left, when its subscriptions are old enough."""
        for subscription, since in client.subscribed.items():
            until = since + self._unsubscribe_after_s
            if until > time.monotonic():
                self._lingering[subscription] = max(until, self._lingering.get(subscription, 0.0))

    def _used(self) -> set[Subscription]:
        """Return what counts against the quota."""
        now = time.monotonic()
        self._lingering = {key: until for key, until in self._lingering.items() if until > now}
        return set(self._lingering).union(*(client.subscribed for client in self._clients))


class _Client:
    """One connection: what it asked for, and its place in the feed."""

    def __init__(
        self, simulator: OpenDSimulator, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._sim = simulator
        self._reader = reader
        self._writer = writer
        self._id = simulator._random.getrandbits(62)
        self._peer = "{}:{}".format(*(writer.get_extra_info("peername") or ("?", "?"))[:2])
        self._initialised = False
        self.subscribed: dict[Subscription, float] = {}
        self._pushed: set[Subscription] = set()
        self._wanted = bytearray(len(simulator._securities))
        self._player: Player | None = None
        self._wire = (
            FaultyWire(
                writer, simulator._faults, simulator._strikes, simulator._random.getrandbits(32)
            )
            if simulator._faults
            else Wire(writer)
        )
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __str__(self) -> str:
        return self._peer

    # Its life.

    async def run(self) -> None:
        """Answer requests until one side ends it."""
        try:
            while True:
                async with asyncio.timeout(self._sim._idle_timeout_s):
                    head = await self._reader.readexactly(HEADER.size)
                    magic, proto, fmt, _, serial, length, sha1, _ = HEADER.unpack(head)
                    if magic != b"FT" or fmt != 0 or length > _MAX_REQUEST_BYTES:
                        return self.drop("bad_packet")
                    body = await self._reader.readexactly(length)
                # Outside of the timeout: a client that does not take its reply is slow, not silent.
                if hashlib.sha1(body).digest() != sha1:
                    return self.drop("bad_packet")
                self._sim._counts["requests"] += 1
                await self._answer(proto, serial, body)
        except TimeoutError:
            self.drop("idle")
        except DecodeError:
            self.drop("bad_packet")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._leave()
            self.close()

    def close(self) -> None:
        """End it when what was written is sent."""
        self._writer.close()

    def abort(self) -> None:
        """End it now."""
        self._writer.transport.abort()

    def drop(self, reason: str) -> None:
        """End it now, and count why."""
        self._sim._counts[f"dropped_{reason}"] += 1
        _logger.info("dropped %s: %s", self, reason)
        self.abort()

    # Ticks.

    def encode(self, rows: Rows, first: int) -> tuple[bytes, int]:
        """Encode what is wanted of `rows`."""
        sim = self._sim
        data, used, pushes, ticks = sim._encoder.encode(
            rows,
            first,
            self._wanted,
            serial=sim._serial,
            recv_time=round(time.time(), 6),
            rows_per_push=sim._rows_per_push,
            floor_s=self._floor_s(first),
        )
        self._count(pushes, ticks, len(data))
        return data, used

    async def write(self, data: bytes) -> None:
        """Send pushes, and return when more may come."""
        await self._wire.push(data)

    def _encode_known(self, wanted: bytearray) -> bytes:
        """Encode the ticks before the client's place, as what is cached."""
        if self._player is None:
            return b""
        sim = self._sim
        rows, first = sim._playback.source.history(self._player.cursor)
        data, pushes, ticks = sim._encoder.encode_latest(
            rows,
            first,
            wanted,
            serial=sim._serial,
            recv_time=round(time.time(), 6),
            floor_s=self._floor_s(first),
        )
        self._count(pushes, ticks, len(data))
        sim._counts["cached"] += ticks
        return data

    def _floor_s(self, first: int) -> int:
        # A tape that starts again has smaller times; sequences must not.
        again = self._sim._tape_rows and first >= self._sim._tape_rows
        return self._sim._span_s[1] if again else 0

    def _count(self, pushes: int, ticks: int, size: int) -> None:
        sim = self._sim
        sim._serial = (sim._serial + pushes) & 0xFFFFFFFF
        sim._counts["pushes"] += pushes
        sim._counts["sent"] += ticks
        sim._counts["bytes"] += size

    def _update_wanted(self) -> None:
        """Play what is subscribed and registered now."""
        ids = self._sim._securities
        marks = bytearray(len(ids))
        for key in self._pushed:
            if key[1] == _TICKER:
                marks[ids[key[0]]] = 1
        self._wanted = marks
        if not any(marks):
            self._leave()
        elif self._player is None:
            self._player = self._sim._playback.join(self)

    def _leave(self) -> None:
        if self._player is not None:
            self._sim._playback.leave(self._player)
            self._player = None

    # Requests.

    async def _answer(self, proto: int, serial: int, body: bytes) -> None:
        known = b""
        try:
            if not self._initialised and proto != INIT_CONNECT:
                raise _Refused("InitConnect has to come first")
            if proto == QOT_SUB:
                known = self._subscribe(body)
                reply = _ok()
            elif proto == QOT_REG_QOT_PUSH:
                known = self._register(body)
                reply = _ok()
            elif proto in _ANSWERS:
                reply = _ANSWERS[proto](self, body)
            else:
                raise _Refused(f"unknown protocol id {proto}")
        except _Refused as refused:
            self._sim._counts["refused"] += 1
            reply = message_class("Reply")(retType=-1, retMsg=str(refused).encode(), errCode=0)
        await self._wire.reply(pack(proto, serial, reply.SerializeToString()))
        if known:
            await self._wire.push(known)

    def _init_connect(self, body: bytes) -> Any:
        request = message_class("InitConnect.Request").FromString(body).c2s
        if self._sim._faults and self._sim._faults.refuse_init:
            raise _Refused(self._sim._faults.refuse_init)
        if request.packetEncAlgo not in {-1, 0}:
            raise _Refused("encryption needs a key, and this gateway has none")
        if request.pushProtoFmt != 0:
            raise _Refused("only protobuf is supported")
        self._initialised = True
        key, iv = (f"{self._sim._random.getrandbits(64):016x}" for _ in range(2))
        return _good(
            "InitConnect",
            serverVer=_SERVER_VERSION,
            loginUserID=_USER_ID,
            connID=self._id,
            connAESKey=key,
            keepAliveInterval=self._sim._keep_alive_interval,
            aesCBCiv=iv,
            userAttribution=1,
        )

    def _global_state(self, body: bytes) -> Any:
        message_class("GetGlobalState.Request").FromString(body)
        now = time.time()
        return _good(
            "GetGlobalState",
            marketHK=3,
            marketUS=3,
            marketSH=3,
            marketSZ=3,
            marketHKFuture=15,
            qotLogined=True,
            trdLogined=True,
            serverVer=_SERVER_VERSION,
            serverBuildNo=_BUILD,
            time=int(now),
            localTime=now,
            programStatus={"type": 10},
            qotSvrIpAddr="127.0.0.1:0",
            trdSvrIpAddr="127.0.0.1:0",
            marketUSFuture=15,
            connID=self._id,
            marketSGFuture=15,
            marketJPFuture=15,
            marketSG=3,
            marketMY=3,
            marketJP=3,
        )

    def _keep_alive(self, body: bytes) -> Any:
        message_class("KeepAlive.Request").FromString(body)
        return _good("KeepAlive", time=int(time.time()))

    def _subscribe(self, body: bytes) -> bytes:
        """Subscribe or unsubscribe; return the first pushes."""
        request = message_class("QotSub.Request").FromString(body).c2s
        if request.isUnsubAll:
            self._unsubscribe(list(self.subscribed))
            return b""
        keys = self._subscriptions(request)
        if not request.isSubOrUnSub:
            self._unsubscribe([key for key in keys if key in self.subscribed])
            return b""
        used = self._sim._used()
        missing = len(used.union(keys)) - self._sim._quota
        if missing > 0:
            raise _Refused(
                f"the subscription quota of {self._sim._quota} does not suffice: "
                f"{len(used)} used, {missing} missing"
            )
        now = time.monotonic()
        for key in keys:
            self.subscribed.setdefault(key, now)
        if not request.HasField("isRegOrUnRegPush"):
            return b""
        return self._set_pushes(keys, request.isRegOrUnRegPush, request)

    def _register(self, body: bytes) -> bytes:
        """Register or unregister pushes; return the first pushes."""
        request = message_class("QotRegQotPush.Request").FromString(body).c2s
        keys = self._subscriptions(request)
        for key in keys:
            if key not in self.subscribed:
                raise _Refused(f"subscribe first: {canonical(*key[0])}, type {key[1]}")
        return self._set_pushes(keys, request.isRegOrUnReg, request)

    def _set_pushes(self, keys: list[Subscription], on: bool, request: Any) -> bytes:
        if not on:
            self._pushed.difference_update(keys)
            self._update_wanted()
            return b""
        self._pushed.update(keys)
        self._update_wanted()
        if request.HasField("isFirstPush") and not request.isFirstPush:
            return b""
        # In one step with the change above: what is cached ends where live ticks begin.
        wanted = bytearray(len(self._wanted))
        for key, kind in keys:
            if kind == _TICKER:
                wanted[self._sim._securities[key]] = 1
        return self._encode_known(wanted)

    def _unsubscribe(self, keys: list[Subscription]) -> None:
        age = self._sim._unsubscribe_after_s
        now = time.monotonic()
        for key in keys:
            if now - self.subscribed[key] < age:
                (market, code), kind = key
                raise _Refused(
                    f"{canonical(market, code)}, type {kind}: a subscription can be given up after "
                    f"{age:g} s, this one is {now - self.subscribed[key]:.1f} s old"
                )
        for key in keys:
            del self.subscribed[key]
        self._pushed.difference_update(keys)
        self._update_wanted()

    def _subscriptions(self, request: Any) -> list[Subscription]:
        keys = [(s.market, s.code) for s in request.securityList]
        unknown = [canonical(*key) for key in keys if key not in self._sim._securities]
        if unknown:
            raise _Refused(f"unknown security: {', '.join(unknown[:10])}")
        kinds = list(request.subTypeList)
        if not keys or not kinds or any(kind not in _TYPES for kind in kinds):
            raise _Refused(
                f"expected securities and types from 1 to 22, got {len(keys)} and {kinds}"
            )
        return [(key, kind) for key in keys for kind in kinds]

    def _sub_info(self, body: bytes) -> Any:
        request = message_class("QotGetSubInfo.Request").FromString(body).c2s
        used = len(self._sim._used())
        clients = list(self._sim._clients) if request.isReqAllConn else [self]
        return _good(
            "QotGetSubInfo",
            connSubInfoList=[
                {
                    "subInfoList": _by_type(client.subscribed),
                    "usedQuota": len(client.subscribed),
                    "isOwnConnData": client is self,
                }
                for client in clients
            ],
            totalUsedQuota=used,
            remainQuota=max(0, self._sim._quota - used),
        )


_ANSWERS: dict[int, Callable[[_Client, bytes], Any]] = {
    INIT_CONNECT: _Client._init_connect,
    GET_GLOBAL_STATE: _Client._global_state,
    KEEP_ALIVE: _Client._keep_alive,
    QOT_GET_SUB_INFO: _Client._sub_info,
}


def _ok() -> Any:
    return message_class("Reply")(retType=0, retMsg=b"", errCode=0)


def _good(name: str, **s2c: Any) -> Any:
    return message_class(f"{name}.Response")(retType=0, retMsg="", errCode=0, s2c=s2c)


def _by_type(subscribed: dict[Subscription, float]) -> list[dict[str, Any]]:
    by_type: dict[int, list[dict[str, Any]]] = {}
    for (market, code), kind in subscribed:
        by_type.setdefault(kind, []).append({"market": market, "code": code})
    return [{"subType": kind, "securityList": found} for kind, found in by_type.items()]


def _securities(symbols: Sequence[str]) -> dict[Security, int]:
    """Number the securities as the symbols are."""
    found: dict[Security, int] = {}
    for i, symbol in enumerate(symbols):
        try:
            key = security(symbol)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if key in found:
            raise ConfigError(f"expected each security once, got {canonical(*key)} twice")
        found[key] = i
    return found


def _utc_offsets(market: int, start_s: int, end_s: int) -> list[tuple[int, int]]:
    """Return the market's UTC offsets from `start_s` to `end_s`: since when, and seconds."""
    try:
        zone = ZoneInfo(_ZONES.get(market, "UTC"))
    except ZoneInfoNotFoundError as error:
        raise ConfigError(f"{error}; is there a time zone database (package tzdata)?") from None

    def offset(at_s: int) -> int:
        delta = datetime.fromtimestamp(at_s, UTC).astimezone(zone).utcoffset()
        assert delta is not None
        return int(delta.total_seconds())

    changes = [(start_s, offset(start_s))]
    at = start_s
    while at < end_s:
        later = min(at + 86400, end_s)
        if offset(later) != changes[-1][1]:
            low, high = at, later
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if offset(middle) != changes[-1][1] else (middle, high)
            changes.append((high, offset(high)))
        at = later
    return changes
