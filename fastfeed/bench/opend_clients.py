"""Receivers of OpenD's ticks."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from typing import Any

import numpy as np

import fastfeed as ff
from fastfeed.bench.clients import (
    DEADLINE_S,
    Client,
    Done,
    FeedClient,
    Fields,
    ReadingOnly,
    Rows,
    Sink,
    Stamps,
    on_uvloop,
    read_packet,
)
from fastfeed.bench.gateway import packets_of
from fastfeed.bench.opend_pushes import HEADER, MARKET, pack
from fastfeed.protocols.opend_messages import (
    INIT_CONNECT,
    QOT_SUB,
    QOT_UPDATE_TICKER,
    message_class,
)

__all__ = ["Bare", "Fastfeed", "Futu", "Reading"]

_LENGTH = struct.Struct("<2s10xI")
_ID_LENGTH = struct.Struct("<2xI6xI")


def requests(symbols: list[str]) -> list[bytes]:
    """Return the two requests of a minimal client."""
    init: Any = message_class("InitConnect.Request")()
    init.c2s.clientVer = 300
    init.c2s.clientID = "bench"
    init.c2s.packetEncAlgo = -1
    sub: Any = message_class("QotSub.Request")()
    for symbol in symbols:
        sub.c2s.securityList.add(market=MARKET, code=symbol.removesuffix(".US"))
    sub.c2s.subTypeList.append(4)
    sub.c2s.isSubOrUnSub = True
    sub.c2s.isRegOrUnRegPush = True
    return [
        pack(INIT_CONNECT, 1, init.SerializeToString()),
        pack(QOT_SUB, 2, sub.SerializeToString()),
    ]


def fields_of(packet: Any) -> Fields:
    """Return what protobuf finds in a push."""
    message: Any = message_class("QotUpdateTicker.Response").FromString(packet[HEADER.size :])
    s2c, tick = message.s2c, message.s2c.tickerList[0]
    return f"{s2c.security.code}.US", tick.price, tick.hpVolume, tick.sequence


class Fastfeed(FeedClient):
    """`ff.connect`."""

    def feed(self) -> Any:
        return ff.connect(f"opend://127.0.0.1:{self.port}", **self.options)


class Reading(ReadingOnly):
    """A loop in C."""

    framed = False

    @staticmethod
    def fields(push: Any) -> Fields:
        return fields_of(push)

    def greet(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        for request in requests(self.sample.symbols):
            sock.sendall(request)
            read_packet(sock)
        return sock


class Bare(Client):
    """A protocol of uvloop's that finds the ends of packets, in Python, and no more; of a schedule, their stamps."""

    @staticmethod
    def fields(push: Any) -> Fields:
        return fields_of(push)

    def receive(self, sink: Sink) -> None:
        if isinstance(sink, Stamps):
            (place,) = set(self._places().tolist())  # the codes have one length
            on_uvloop(lambda: self._run(lambda done: _BareStamps(self, sink, done, place)))
        else:
            on_uvloop(lambda: self._run(lambda done: _BareFrames(self, sink, done)))

    def _places(self) -> Any:
        packets = packets_of(self.path, False)
        return packets.places - np.concatenate((np.zeros(1, "u8"), packets.ends[:-1]))

    async def _run(self, make: Any) -> None:
        loop = asyncio.get_running_loop()
        done = Done()
        transport, _ = await loop.create_connection(lambda: make(done), "127.0.0.1", self.port)
        try:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await done.future
        finally:
            transport.abort()


class _BareFrames(asyncio.BufferedProtocol):
    def __init__(self, client: Bare, sink: Sink, done: Done) -> None:
        self.client = client
        self.sink = sink
        self.done = done
        self.room = bytearray(1 << 18)
        self.view = memoryview(self.room)
        self.filled = 0
        self.replies = 2
        self.kept = isinstance(sink, Rows)

    def connection_made(self, transport: Any) -> None:
        self.sink.begin(self.done.set)
        transport.write(b"".join(requests(self.client.sample.symbols)))

    def connection_lost(self, error: Exception | None) -> None:
        self.done.fail(error)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view[self.filled :]

    def buffer_updated(self, nbytes: int) -> None:
        room, end, at, found = self.room, self.filled + nbytes, 0, 0
        unpack = _LENGTH.unpack_from
        starts = []
        while end - at >= 44:
            magic, length = unpack(room, at)
            if magic != b"FT":
                raise RuntimeError("framing is lost")
            if end - at < 44 + length:
                break
            if self.kept:
                starts.append((at, at + 44 + length))
            at += 44 + length
            found += 1
        for start, stop in starts[self.replies :]:
            self.sink.one(bytes(room[start:stop]))
        self.filled = end - at
        room[: self.filled] = room[at:end]
        skipped = min(found, self.replies)
        self.replies -= skipped
        if not self.kept and found > skipped:
            self.sink.less(found - skipped)


class _BareStamps(_BareFrames):
    sink: Stamps

    def __init__(self, client: Bare, sink: Stamps, done: Done, at: int) -> None:
        super().__init__(client, sink, done)
        self.stamp_at = at

    def buffer_updated(self, nbytes: int) -> None:
        now = time.time_ns()
        room, end, at, found = self.room, self.filled + nbytes, 0, 0
        while end - at >= 44:
            proto_id, length = _ID_LENGTH.unpack_from(room, at)
            if end - at < 44 + length:
                break
            if proto_id == QOT_UPDATE_TICKER:
                stamp = 0
                for i in range(9):  # a varint of nine bytes
                    stamp |= (room[at + self.stamp_at + i] & 0x7F) << 7 * i
                self.sink.late.append(now - stamp)
                found += 1
            at += 44 + length
        self.filled = end - at
        room[: self.filled] = room[at:end]
        if found:
            self.sink.less(found)


class Futu(Client):
    """futu-api, from its socket to the DataFrame of its handler."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        import futu

        futu.SysConfig.set_all_thread_daemon(True)
        self._futu = futu

    @staticmethod
    def fields(push: Any) -> Fields:
        return push  # type: ignore[no-any-return]

    def receive(self, sink: Sink) -> None:
        futu = self._futu
        done = threading.Event()
        failed: list[Any] = []
        kept = isinstance(sink, Rows)

        class Handler(futu.TickerHandlerBase):  # type: ignore[misc, name-defined]
            def on_recv_rsp(self, rsp_pb: Any) -> Any:
                status, table = super().on_recv_rsp(rsp_pb)
                if status != futu.RET_OK:
                    failed.append(table)
                    done.set()
                elif isinstance(sink, Stamps):
                    now = time.time_ns()
                    sink.late.extend(now - sent for sent in table["sequence"].tolist())
                    sink.less(len(table))
                elif kept:
                    for tick in table.itertuples():
                        symbol = f"{tick.code.removeprefix('US.')}.US"
                        sink.one((symbol, tick.price, tick.volume, tick.sequence))
                else:
                    sink.less(len(table))
                return status, table

        context = futu.OpenQuoteContext("127.0.0.1", self.port)
        try:
            context.set_handler(Handler())
            context.start()
            sink.begin(done.set)
            names = [f"US.{symbol.removesuffix('.US')}" for symbol in self.sample.symbols]
            status, message = context.subscribe(names, [futu.SubType.TICKER])
            if status != futu.RET_OK:
                raise RuntimeError(f"futu-api could not subscribe: {message}")
            if not done.wait(DEADLINE_S):
                raise TimeoutError(f"{sink.left} of {sink.total} ticks did not come")
            if failed:
                raise RuntimeError(f"futu-api rejected a push: {failed[0]}")
        finally:
            context.close()
