"""Receivers of AllTick's trades: all but fastfeed decode each push with msgspec, into a typed struct."""

from __future__ import annotations

import importlib
import json
import socket
import ssl
from typing import Any

import fastfeed as ff
from fastfeed.bench.alltick_decoders import TickPush, tick_decoder
from fastfeed.bench.clients import (
    Client,
    Done,
    FeedClient,
    Fields,
    ReadingOnly,
    Sink,
    on_uvloop,
    payload_of,
    read_frame,
    subscription,
    upgrade,
)
from fastfeed.protocols.websocket import Opcode
from fastfeed.sim.websocket_wire import FIN

__all__ = ["Aiohttp", "Fastfeed", "Picows", "Reading", "Websockets"]

PATH = "/quote-stock-b-ws-api"


class Fastfeed(FeedClient):
    """`ff.AllTick`."""

    def feed(self) -> Any:
        return ff.AllTick(token="bench", url=f"ws://127.0.0.1:{self.port}{PATH}", **self.options)


class Reading(ReadingOnly):
    """A loop in C."""

    @staticmethod
    def fields(push: bytes) -> Fields:
        data = json.loads(payload_of(push))["data"]
        return data["code"], float(data["price"]), float(data["volume"]), data["seq"]

    def greet(self) -> socket.socket:
        sock = upgrade(self.port, PATH)
        payload = subscription(self.sample.symbols).encode()
        head = bytes((FIN | Opcode.TEXT, 0x80 | 126)) + len(payload).to_bytes(2, "big")
        sock.sendall(head + bytes(4) + payload)  # the mask is nothing
        read_frame(sock)
        return sock


class _Decoding(Client):
    """What the clients with msgspec share."""

    package: str
    ssl_context: ssl.SSLContext | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        importlib.import_module(self.package)  # what is missing is so from the beginning
        self.url = f"ws://127.0.0.1:{self.port}{PATH}"
        self.decode = tick_decoder

    @staticmethod
    def fields(push: TickPush) -> Fields:
        data = push.data
        return data.code, float(data.price), float(data.volume), data.seq

    def receive(self, sink: Sink) -> None:
        on_uvloop(lambda: self.run(sink))

    async def run(self, sink: Sink) -> None:
        raise NotImplementedError


class Picows(_Decoding):
    """picows: each frame's payload in place."""

    package = "picows"

    async def run(self, sink: Sink) -> None:
        import picows

        decode, one, request = self.decode, sink.one, subscription(self.sample.symbols).encode()
        done = Done()

        class Listener(picows.WSListener):
            acknowledged = False

            def on_ws_connected(self, transport: Any) -> None:
                sink.begin(done.set)
                transport.send(picows.WSMsgType.TEXT, request)

            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                if self.acknowledged:
                    one(decode(frame.get_payload_as_memoryview()))
                self.acknowledged = True

            def on_ws_disconnected(self, transport: Any) -> None:
                done.fail(None)

        transport, _ = await picows.ws_connect(Listener, self.url, ssl_context=self.ssl_context)
        try:
            await done.future
        finally:
            transport.disconnect()


class Websockets(_Decoding):
    """websockets: messages one by one."""

    package = "websockets"

    async def run(self, sink: Sink) -> None:
        from websockets.asyncio.client import connect

        decode, one = self.decode, sink.one
        async with connect(
            self.url, compression=None, ping_interval=None, close_timeout=0.1
        ) as connection:
            sink.begin(lambda: None)
            await connection.send(subscription(self.sample.symbols))
            await connection.recv()
            receive = connection.recv
            while sink.left > 0:
                one(decode(await receive(decode=False)))


class Aiohttp(_Decoding):
    """aiohttp: messages one by one."""

    package = "aiohttp"

    async def run(self, sink: Sink) -> None:
        import aiohttp

        decode, one = self.decode, sink.one
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self.url) as connection,
        ):
            sink.begin(lambda: None)
            await connection.send_str(subscription(self.sample.symbols))
            await connection.receive()
            receive = connection.receive
            while sink.left > 0:
                message = await receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(f"expected a push, got {message.type.name}")
                one(decode(message.data))
