"""One connection to a simulated OpenD: its session, its subscriptions, its place in the playback."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from google.protobuf.message import DecodeError

from fastfeed._core.opend_cipher import OpendCipher
from fastfeed.protocols.opend_codes import ADJUSTMENTS, SUB_TYPES, canonical
from fastfeed.protocols.opend_frames import HEADER, body_sha1, pack
from fastfeed.protocols.opend_messages import (
    GET_GLOBAL_STATE,
    INIT_CONNECT,
    KEEP_ALIVE,
    QOT_GET_SUB_INFO,
    QOT_GET_TICKER,
    QOT_REG_QOT_PUSH,
    QOT_SUB,
    QOT_UPDATE_BASIC_QOT,
    QOT_UPDATE_BROKER,
    QOT_UPDATE_KL,
    QOT_UPDATE_ORDER_BOOK,
    QOT_UPDATE_RT,
    QOT_UPDATE_TICKER,
    message_class,
)
from fastfeed.protocols.opend_rsa import RsaKey
from fastfeed.sim import opend_records as records
from fastfeed.sim.changes import Changes
from fastfeed.sim.faults import FaultyWire, Wire
from fastfeed.sim.instruments import Instrument
from fastfeed.sim.opend_answers import USER_ID
from fastfeed.sim.opend_gateway import Gateway
from fastfeed.sim.opend_limits import Refused, Subscription
from fastfeed.sim.playback import Player, Rows
from fastfeed.sim.recorded import Key, Recording

__all__ = ["Client"]

_logger = logging.getLogger(__name__)

SERVER_VERSION = 1011
_BUILD = 7108
_QUOTE, _BOOK, _TICKER, _RT, _BROKER, _ODD_BOOK = (
    SUB_TYPES[kind] for kind in ("quotes", "books", "ticks", "timeshare", "brokers", "odd_books")
)
_TYPES = range(1, 23)
_CIPHERS: dict[int, Literal["aes-cbc", "ftaes-ecb"]] = {2: "aes-cbc", 0: "ftaes-ecb"}
_ROWS = 1000  # most ticks in a reply
_CACHED_ROWS = 10  # ticks in a first push
_SENDS = 1000  # most notices that wait for a client to take them
_MAX_REQUEST_BYTES = 1 << 20
_WRITE_BUFFER_BYTES = 1 << 18


class Client:
    """One connection: what it asked for, and its place in the playback.

    Ticks go out as the player offers them. What is derived from them (quotes, bars, books) follows
    each batch, once for every symbol that changed: a client that reads slowly gets fewer, newer ones.
    """

    def __init__(
        self, gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._writer = writer
        self._id = gateway.random.getrandbits(62)
        self._peer = "{}:{}".format(*(writer.get_extra_info("peername") or ("?", "?"))[:2])
        self.initialised = False
        self.wants_notices = False
        self.subscribed: dict[Subscription, float] = {}
        self._pushed: dict[Subscription, set[int]] = {}  # bars: with their RehabTypes
        self._details: set[str] = set()
        self._wanted = bytearray(len(gateway.market.symbols))
        self._recorded = np.zeros(0, bool)  # which keys of a recording it gets
        self._player: Player | None = None
        self._derived: dict[str, list[int]] = {}  # pushes other than ticks
        self._changes = Changes(gateway.market.days)
        self._outage = 0  # the next one that this client has to live through
        self.behind = False
        self._cipher: OpendCipher | None = None
        self._sends: set[asyncio.Task[None]] = set()
        self._wire = (
            FaultyWire(writer, gateway.faults, gateway.strikes, gateway.random.getrandbits(32))
            if gateway.faults
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
                async with asyncio.timeout(self._gateway.idle_timeout_s):
                    head = await self._reader.readexactly(HEADER.size)
                    magic, proto, fmt, _, serial, length, sha1, _ = HEADER.unpack(head)
                    if magic != b"FT" or fmt != 0 or length > _MAX_REQUEST_BYTES:
                        return self.drop("bad_packet")
                    body = await self._reader.readexactly(length)
                # Outside of the timeout: a client that does not take its reply is slow, not silent.
                plain = self._decrypted(proto, body, sha1)
                if plain is None or body_sha1(plain) != sha1:
                    return self.drop("bad_packet")
                self._gateway.counts["requests"] += 1
                await self._answer(proto, serial, plain)
        except TimeoutError:
            self.drop("idle")
        except DecodeError:
            self.drop("bad_packet")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._leave()
            for task in self._sends:
                task.cancel()
            self.close()

    def _decrypted(self, proto: int, body: bytes, sha1: bytes) -> bytes | None:
        """Return a body decrypted, None where that is not possible."""
        try:
            if self._cipher is not None:
                return self._cipher.decrypt(body)
            key = self._gateway.rsa_key
            if key is None or proto != INIT_CONNECT or self.initialised:
                return body
            if body_sha1(body) == sha1:  # by a client without the key
                self._wire.cipher = _Handshake(key)
                return body
            return key.decrypt(body)
        except ValueError:
            return None

    def close(self) -> None:
        """End it when what was written is sent."""
        self._writer.close()

    def abort(self) -> None:
        """End it now."""
        self._writer.transport.abort()

    def drop(self, reason: str) -> None:
        """End it now, and count why."""
        self._gateway.counts[f"dropped_{reason}"] += 1
        _logger.info("dropped %s: %s", self, reason)
        self.abort()

    def send_soon(self, data: bytes) -> None:
        """Send pushes without waiting for the client to take them, unless many wait already."""
        if len(self._sends) >= _SENDS:
            return
        task = asyncio.create_task(self._send(data))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, data: bytes) -> None:
        with suppress(ConnectionError):  # it left
            await self._wire.push(data)

    # Pushes.

    def wake(self) -> None:
        """Let the player look again."""
        if self._player is not None:
            self._player.wake.set()

    def encode(self, rows: Rows, first: int) -> tuple[bytes, int]:
        """Encode what is wanted of `rows`, and of what follows from them."""
        gateway = self._gateway
        self.behind = False
        if self._outage < len(gateway.outages):
            outage = gateway.outages[self._outage]
            if first < outage.start:
                rows = rows[: outage.start - first]
            elif outage.end is None:
                return b"", len(rows)
            elif first < outage.end:
                return b"", min(len(rows), outage.end - first)
            else:
                self._outage += 1
                self.behind = True  # there may be no further rows
                return self._encode_missed(outage.start, outage.end, outage.missed), 0
        if gateway.recording is not None:
            return self._encode_recorded(gateway.recording, rows), len(rows)
        data, used, pushes, ticks = gateway.encoder.encode(
            rows,
            first,
            self._wanted,
            serial=gateway.serial,
            recv_time=round(time.time(), 6),
            rows_per_push=gateway.rows_per_push,
            floor_s=gateway.floor_s if first >= gateway.floor_from else 0,
        )
        self._count(pushes, ticks, len(data))
        gateway.pass_ticks(first + used)
        return data + self._encode_derived(), used

    def _encode_recorded(self, recording: Recording, rows: Rows) -> bytes:
        """Return what was pushed then, as pushes of this connection."""
        gateway = self._gateway
        out, ticks = [], 0
        for proto, body in recording.pushes(rows[self._recorded[rows["key"]]]):
            out.append(pack(proto, gateway.serial, body))
            is_tick = proto == QOT_UPDATE_TICKER
            ticks += is_tick
            gateway.count(1, "pushes" if is_tick else "other_pushes")
        data = b"".join(out)
        self._gateway.counts["sent"] += ticks
        self._gateway.counts["bytes"] += len(data)
        return data

    async def write(self, data: bytes) -> None:
        """Send pushes, and return when more may come."""
        await self._wire.push(data)

    def _encode_ticks(
        self, symbols: Sequence[str], limit: int, data_type: int, **where: int
    ) -> bytes:
        """Encode the last ticks of some symbols, a push for each."""
        gateway = self._gateway
        out = []
        for symbol in symbols:
            number = gateway.market.number(symbol)
            if number is None:
                continue
            positions = gateway.market.ticks(number, limit, **where)
            if not len(positions):
                continue
            data = gateway.encoder.encode_picked(
                gateway.playback.source.store,
                positions,
                number,
                serial=gateway.serial,
                recv_time=round(time.time(), 6),
                push_data_type=data_type,
                floor_s=gateway.floor_s,
                floor_from=gateway.floor_from,
            )
            self._count(1, len(positions), len(data))
            out.append(data)
        return b"".join(out)

    def _encode_missed(self, start: int, end: int, limit: int) -> bytes:
        """Encode the last ticks of an outage of the back end."""
        symbols = [symbol for symbol, kind in self._pushed if kind == _TICKER]
        return self._encode_ticks(symbols, limit, 2, since=start, before=end)

    def _encode_derived(self) -> bytes:
        """Encode pushes for symbols that changed, of some of them when there are many."""
        changed, more = self._changes.take()
        self.behind |= more
        out = []
        for number in changed:
            symbol = self._gateway.market.symbols[number]
            out += [self._push(symbol, kind) for kind in self._derived[symbol]]
        return b"".join(out)

    def _push(self, symbol: str, kind: int) -> bytes:
        """Encode one kind of push of a symbol, as it is now."""
        gateway = self._gateway
        market = gateway.market
        found = market.find(symbol)
        assert found is not None
        head = {"security": records.security_fields(symbol), "name": found.name}
        details = symbol in self._details
        data = b""
        if kind == _QUOTE:
            s2c = {"basicQotList": [records.basic_qot(market, found)]}
            data = gateway.pack_push(QOT_UPDATE_BASIC_QOT, s2c)
        elif kind in {_BOOK, _ODD_BOOK}:
            s2c = records.book(
                market, found, gateway.book_depth, odd_lots=kind == _ODD_BOOK, details=details
            )
            data = gateway.pack_push(QOT_UPDATE_ORDER_BOOK, s2c)
        elif kind == _RT:
            if points := records.time_share(market, found, newest=True):
                data = gateway.pack_push(QOT_UPDATE_RT, head | {"rtList": points})
        elif kind == _BROKER:
            s2c = records.broker_queues(market, found, details=details)
            data = gateway.pack_push(QOT_UPDATE_BROKER, s2c)
        elif interval := records.INTERVAL_OF_SUB_TYPE.get(kind):
            data = b"".join(
                self._push_bar(found, interval, adjust)
                for adjust in sorted(self._pushed[symbol, kind])
            )
        return data

    def _push_bar(self, found: Instrument, interval: str, adjust: int) -> bytes:
        gateway = self._gateway
        bars = gateway.market.newest_bar(found.symbol, interval, adjust)
        s2c = {
            "rehabType": adjust,
            "klType": records.KL_TYPES[interval],
            "security": records.security_fields(found.symbol),
            "klList": records.kline_rows(interval, found.region, bars.tolist()),
            "name": found.name,
        }
        return gateway.pack_push(QOT_UPDATE_KL, s2c)

    def _count(self, pushes: int, ticks: int, size: int) -> None:
        self._gateway.count(pushes)
        self._gateway.counts["sent"] += ticks
        self._gateway.counts["bytes"] += size

    # Its place in the playback.

    def _update_pushes(self) -> None:
        """Play what is subscribed and registered now."""
        gateway = self._gateway
        self._wanted = bytearray(len(gateway.market.symbols))
        self._derived = {}
        numbers: list[int] = []
        for symbol, kind in self._pushed:
            number = gateway.market.number(symbol)
            if number is None:
                continue  # it never trades
            if kind == _TICKER:
                self._wanted[number] = 1
            else:
                if symbol not in self._derived:
                    self._derived[symbol] = []
                    numbers.append(number)
                self._derived[symbol].append(kind)
        self._changes.watch(numbers)
        if gateway.recording is not None:
            self._recorded = np.array([self._gets(key) for key in gateway.recording.keys])
        if not self.subscribed:
            self._leave()
        elif self._player is None:
            self._player = gateway.playback.join(self)
            self._outage = gateway.outages_before(self._player.cursor)

    def _gets(self, key: Key) -> bool:
        adjusts = self._pushed.get((key.symbol, key.kind))
        return adjusts is not None and (key.adjust < 0 or key.adjust in adjusts)

    def _leave(self) -> None:
        if self._player is not None:
            self._gateway.playback.leave(self._player)
            self._player = None

    # Requests.

    async def _answer(self, proto: int, serial: int, body: bytes) -> None:
        first_pushes = b""
        try:
            if not self.initialised and proto != INIT_CONNECT:
                raise Refused("InitConnect has to come first")
            if proto == QOT_GET_TICKER:
                packet = self._recent_ticks(serial, body)
            elif proto in {QOT_SUB, QOT_REG_QOT_PUSH}:
                method = self._subscribe if proto == QOT_SUB else self._register
                first_pushes = method(body)
                reply = message_class("Reply")(retType=0, retMsg=b"", errCode=0)
                packet = pack(proto, serial, reply.SerializeToString())
            else:
                if proto in _SESSION:
                    reply = _SESSION[proto](self, body)
                else:
                    self._gateway.catch_up()
                    reply = self._gateway.answers.answer(proto, self, body)
                if reply is None:
                    raise Refused(f"unknown protocol id {proto}")
                packet = pack(proto, serial, reply.SerializeToString())
        except Refused as refused:
            self._gateway.counts["refused"] += 1
            reply = message_class("Reply")(retType=-1, retMsg=str(refused).encode(), errCode=0)
            packet = pack(proto, serial, reply.SerializeToString())
        await self._wire.reply(packet)
        self._wire.cipher = self._cipher
        if first_pushes:
            await self._wire.push(first_pushes)

    def has(self, symbol: str, kind: int) -> bool:
        """Say whether a type of data of a symbol is subscribed."""
        return (symbol, kind) in self.subscribed

    def has_details(self, symbol: str) -> bool:
        """Say whether the orders of books were subscribed."""
        return symbol in self._details

    def _init_connect(self, body: bytes) -> Any:
        request = message_class("InitConnect.Request").FromString(body).c2s
        # Absent, it is FTAES_ECB, where there is a key.
        algorithm, rsa_key = request.packetEncAlgo, self._gateway.rsa_key
        if self._cipher is not None:
            raise Refused("InitConnect was answered before")
        if rsa_key is not None and algorithm in _CIPHERS:
            self._wire.cipher = _Handshake(rsa_key)
        if self._gateway.faults and self._gateway.faults.refuse_init:
            raise Refused(self._gateway.faults.refuse_init)
        if rsa_key is None and algorithm > 0:
            raise Refused("encryption needs a key, and this gateway has none")
        if algorithm not in {-1, *_CIPHERS}:
            raise Refused(f"unknown encryption {algorithm}")
        if request.pushProtoFmt != 0:
            raise Refused("only protobuf is supported")
        self.initialised = True
        self.wants_notices = request.recvNotify
        key, iv = (f"{self._gateway.random.getrandbits(64):016x}" for _ in range(2))
        if rsa_key is not None and algorithm in _CIPHERS:
            self._cipher = OpendCipher(_CIPHERS[algorithm], key.encode(), iv.encode())
        return _good(
            "InitConnect",
            serverVer=SERVER_VERSION,
            loginUserID=USER_ID,
            connID=self._id,
            connAESKey=key,
            keepAliveInterval=self._gateway.keep_alive_interval,
            aesCBCiv=iv,
            userAttribution=1,
        )

    def _global_state(self, body: bytes) -> Any:
        message_class("GetGlobalState.Request").FromString(body)
        now = time.time()
        connected = self._gateway.upstream
        return _good(
            "GetGlobalState",
            marketHK=3,
            marketUS=3,
            marketSH=3,
            marketSZ=3,
            marketHKFuture=15,
            qotLogined=connected,
            trdLogined=connected,
            serverVer=SERVER_VERSION,
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

    def _recent_ticks(self, serial: int, body: bytes) -> bytes:
        """Return the whole reply, which is encoded in C."""
        gateway = self._gateway
        c2s = message_class("QotGetTicker.Request").FromString(body).c2s
        found = gateway.answers.subscribed(self, c2s.security, _TICKER, "ticks")
        if not 1 <= c2s.maxRetNum <= _ROWS:
            raise Refused(f"expected 1 to {_ROWS} ticks, got {c2s.maxRetNum}")
        number = gateway.market.number(found.symbol)
        if number is None or gateway.recording is not None:  # it has no ticks here
            s2c = {"security": records.security_fields(found.symbol), "name": found.name}
            return pack(QOT_GET_TICKER, serial, _good("QotGetTicker", **s2c).SerializeToString())
        gateway.catch_up()
        # Later ones are still to be pushed.
        where = {} if self._player is None else {"before": self._player.cursor}
        return gateway.encoder.encode_picked(
            gateway.playback.source.store,
            gateway.market.ticks(number, c2s.maxRetNum, **where),
            number,
            serial=serial,
            recv_time=round(time.time(), 6),
            floor_s=gateway.floor_s,
            floor_from=gateway.floor_from,
        )

    # Subscriptions.

    def _subscribe(self, body: bytes) -> bytes:
        """Subscribe or unsubscribe; return the first pushes."""
        c2s = message_class("QotSub.Request").FromString(body).c2s
        if c2s.isUnsubAll:
            self._unsubscribe(list(self.subscribed))
            return b""
        keys = self._subscriptions(c2s)
        if not c2s.isSubOrUnSub:
            self._unsubscribe([key for key in keys if key in self.subscribed])
            return b""
        adjusts = _adjusts(c2s.regPushRehabTypeList)
        if c2s.session not in {0, 1, 2, 3}:
            raise Refused(f"session {c2s.session} cannot be subscribed")
        for symbol, kind in keys:
            if kind == _BROKER and not symbol.endswith(".HK"):
                raise Refused(f"{symbol} has no broker queue: only Hong Kong has them")
        self._gateway.subscriptions.check(
            (client.subscribed for client in self._gateway.clients), keys
        )
        now = time.monotonic()
        for key in keys:
            self.subscribed.setdefault(key, now)
        if c2s.isSubOrderBookDetail:
            self._details.update(symbol for symbol, _ in keys if symbol.endswith(".HK"))
        if not c2s.HasField("isRegOrUnRegPush"):
            self._update_pushes()
            return b""
        return self._set_pushes(keys, c2s.isRegOrUnRegPush, adjusts, c2s)

    def _register(self, body: bytes) -> bytes:
        """Register or unregister pushes; return the first pushes."""
        c2s = message_class("QotRegQotPush.Request").FromString(body).c2s
        keys = self._subscriptions(c2s)
        adjusts = _adjusts(c2s.rehabTypeList)
        for symbol, kind in keys:
            if (symbol, kind) not in self.subscribed:
                raise Refused(f"please subscribe first: {symbol}, type {kind}")
        return self._set_pushes(keys, c2s.isRegOrUnReg, adjusts, c2s)

    def _set_pushes(self, keys: list[Subscription], on: bool, adjusts: set[int], c2s: Any) -> bytes:
        for key in keys:
            if not on:
                self._pushed.pop(key, None)
            else:
                self._pushed.setdefault(key, set()).update(adjusts)
        self._gateway.catch_up()
        self._update_pushes()
        if not on or (c2s.HasField("isFirstPush") and not c2s.isFirstPush):
            return b""
        if self._gateway.recording is not None:  # it has its own first pushes
            return b""
        # In one step with the change above: what is cached ends where live ticks begin.
        self._gateway.catch_up()
        assert self._player is not None
        symbols = list(dict.fromkeys(symbol for symbol, kind in keys if kind == _TICKER))
        sent = self._gateway.counts["sent"]
        first = self._encode_ticks(symbols, _CACHED_ROWS, 3, before=self._player.cursor)
        self._gateway.counts["cached"] += self._gateway.counts["sent"] - sent
        return first + b"".join(self._push(*key) for key in keys if key[1] != _TICKER)

    def _unsubscribe(self, keys: list[Subscription]) -> None:
        for key in keys:
            self._gateway.subscriptions.check_age(key, self.subscribed[key])
        for key in keys:
            del self.subscribed[key]
            self._pushed.pop(key, None)
        self._update_pushes()

    def _subscriptions(self, c2s: Any) -> list[Subscription]:
        market = self._gateway.market
        symbols = [canonical(s.market, s.code) for s in c2s.securityList]
        unknown = [symbol for symbol in symbols if market.find(symbol) is None]
        if unknown:
            raise Refused(f"unknown security: {', '.join(unknown[:10])}")
        kinds = list(c2s.subTypeList)
        if not symbols or not kinds or any(kind not in _TYPES for kind in kinds):
            raise Refused(
                f"expected securities and types from 1 to 22, got {len(symbols)} and {kinds}"
            )
        return [(symbol, kind) for symbol in symbols for kind in kinds]

    def _sub_info(self, body: bytes) -> Any:
        c2s = message_class("QotGetSubInfo.Request").FromString(body).c2s
        gateway = self._gateway
        used = gateway.used_subscriptions()
        clients = list(gateway.clients) if c2s.isReqAllConn else [self]
        return _good(
            "QotGetSubInfo",
            connSubInfoList=[
                {
                    "subInfoList": _by_type(client.subscribed),
                    "usedQuota": len(client.subscribed),
                    "isOwnConnData": client is self,
                    "securityFirm": 0,
                    "optionUsedQuota": 0,
                }
                for client in clients
            ],
            totalUsedQuota=len(used),
            remainQuota=max(0, gateway.subscriptions.limit - len(used)),
            optionUsedQuota=0,
            optionRemainQuota=gateway.subscriptions.limit,
        )


class _Handshake:
    """Encrypts the reply to InitConnect."""

    def __init__(self, key: RsaKey) -> None:
        self._key = key

    def encrypt_packets(self, packets: bytes) -> bytes:
        _, proto, _, _, serial, _, _, _ = HEADER.unpack_from(packets)
        return pack(proto, serial, packets[HEADER.size :], self._key.encrypt)


_SESSION: dict[int, Callable[[Client, bytes], Any]] = {
    INIT_CONNECT: Client._init_connect,
    GET_GLOBAL_STATE: Client._global_state,
    KEEP_ALIVE: Client._keep_alive,
    QOT_GET_SUB_INFO: Client._sub_info,
}


def _good(name: str, **s2c: Any) -> Any:
    return message_class(f"{name}.Response")(retType=0, retMsg="", errCode=0, s2c=s2c)


def _adjusts(rehab_types: Sequence[int]) -> set[int]:
    adjusts = set(rehab_types) or {ADJUSTMENTS["forward"]}
    if not adjusts <= set(ADJUSTMENTS.values()):
        raise Refused(f"no bars adjusted by {sorted(adjusts)}")
    return adjusts


def _by_type(subscribed: dict[Subscription, float]) -> list[dict[str, Any]]:
    by_type: dict[int, list[dict[str, Any]]] = {}
    for symbol, kind in subscribed:
        by_type.setdefault(kind, []).append(records.security_fields(symbol))
    return [{"subType": kind, "securityList": found} for kind, found in by_type.items()]
