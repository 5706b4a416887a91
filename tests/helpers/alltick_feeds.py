"""Feeds of AllTick with short pauses, and a WebSocket server that sends what it is told, for the tests."""

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import json
import random
import struct

from feeds import until

import fastfeed as ff
from fastfeed.feeds.alltick_session import Times
from fastfeed.protocols.alltick_codes import PLANS

TOKEN = "0123456789abcdef-c-app"
TICKS, BOOKS, CANCEL, HEARTBEAT = 22004, 22002, 22006, 22000
TIMES = Times(
    own_gap=0.02,
    others_gap=0.03,
    too_fast=(0.03, 0.03, 0.03),
    will_close=0.1,
    too_many_connections=0.15,
    refused_token=0.3,
)


def quick_feed(url, market="crypto", plan="basic", times=None, **options):
    """Return a feed that waits for next to nothing; `times` are those that are to be others."""

    class Quick(ff.AllTick):
        _times = dataclasses.replace(TIMES, **times or {})
        _plan = dataclasses.replace(PLANS[plan], reconnect_gap_s=0.01)

        def __init__(self, **more):
            super().__init__(**{"backoff": ff.Backoff(0.01, 0.05, random.Random(0))} | more)
            self.plan = self._plan

    return Quick(**{"token": TOKEN, "market": market, "url": url, "plan": plan} | options)


def frame(payload, opcode=1, *, fin=True, mask=None, reserved=0, length=None):
    """Return a frame of a server, right or wrong."""
    payload = payload.encode() if isinstance(payload, str) else payload
    first = bytes([fin << 7 | reserved << 4 | opcode])
    n = len(payload) if length is None else length
    masked = 0x80 if mask else 0
    if n < 126:
        head = first + bytes([masked | n])
    elif n < 1 << 16:
        head = first + struct.pack("!BH", masked | 126, n)
    else:
        head = first + struct.pack("!BQ", masked | 127, n)
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + (mask or b"") + payload


def tick(code="BTCUSDT", price="1.5", seq=1, time_ms=1785204901190, volume="2", direction=1):
    data = {
        "code": code, "seq": seq, "tick_time": time_ms, "price": price, "volume": volume,
        "turnover": "3", "trade_direction": direction,
    }  # fmt: skip
    return json.dumps({"cmd_id": 22998, "data": data}, separators=(",", ":"))


def book(code="BTCUSDT", bid="1", ask="2", seq=1, time_ms=1785204901190):
    data = {
        "code": code, "seq": seq, "tick_time": time_ms, "bids": [{"price": bid, "volume": "1"}],
        "asks": [{"price": ask, "volume": "1"}],
    }  # fmt: skip
    return json.dumps({"cmd_id": 22999, "data": data}, separators=(",", ":"))


class Peer:
    """One connection of a client, frame by frame."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.target = ""
        self.requests = []  # of JSON
        self.frames = []  # (opcode, payload), all that came
        self.ended = asyncio.Event()  # the client left

    async def shake_hands(self, accept=None):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        self.target = head.split()[1]
        key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0].encode()
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        accept = base64.b64encode(digest).decode() if accept is None else accept
        self.writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )

    def send(self, payload, opcode=1, **options):
        self.writer.write(frame(payload, opcode, **options))

    def reply(self, request, ret=200, msg="ok", **fields):
        head = {"ret": ret, "msg": msg, "cmd_id": request["cmd_id"] + 1}
        head |= {"seq_id": request["seq_id"], "trace": request["trace"], "data": {}}
        self.send(json.dumps(head | fields, separators=(",", ":")))

    async def receive(self):
        """Return opcode and payload of the client's next frame."""
        first, second = await self.reader.readexactly(2)
        assert first & 0xF0 == 0x80, "expected whole frames without reserved bits"
        assert second & 0x80, "a client masks"
        n = second & 0x7F
        if n == 126:
            (n,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif n == 127:
            (n,) = struct.unpack("!Q", await self.reader.readexactly(8))
        mask = await self.reader.readexactly(4)
        data = await self.reader.readexactly(n)
        self.frames.append((first & 15, bytes(b ^ mask[i % 4] for i, b in enumerate(data))))
        return self.frames[-1]

    def codes(self):
        """Return the codes of the last list of ticks."""
        lists = [r["data"]["symbol_list"] for r in self.requests if r["cmd_id"] == TICKS]
        return [item["code"] for item in lists[-1]] if lists else []


async def acknowledge(peer, request):
    peer.reply(request)


class Server:
    """A WebSocket server whose behaviour is two functions of a test.

    `on_connect(peer)` does the handshake, or something else; `on_request(peer, request)` answers.
    """

    def __init__(self, on_request=acknowledge, on_connect=Peer.shake_hands, tls=None, port=0):
        self.on_request, self.on_connect = on_request, on_connect
        self.tls = tls
        self.port = port
        self.peers = []
        self._server = None
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls, limit=1 << 22
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        for peer in self.peers:
            peer.writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    @property
    def url(self):
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}/quote-b-ws-api"

    @property
    def peer(self):
        return self.peers[-1]

    @property
    def requests(self):
        """Of all connections, without heartbeats."""
        return [r for peer in self.peers for r in peer.requests if r["cmd_id"] != HEARTBEAT]

    async def until_peers(self, count):
        await until(lambda: len(self.peers) >= count)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        asyncio.current_task().add_done_callback(self._tasks.discard)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.on_connect(peer)
            while True:
                opcode, payload = await peer.receive()
                if opcode == 8:
                    break
                if opcode == 1:
                    peer.requests.append(json.loads(payload))
                    await self.on_request(peer, peer.requests[-1])
        peer.ended.set()
        writer.close()


class Watcher:
    """Keeps what a feed delivers and tells."""

    def __init__(self, feed):
        self.feed = feed
        self.ticks, self.books, self.events = [], [], []
        feed.ticks.on_batch(lambda rows: self.ticks.extend(rows.copy()))
        feed.books.on_batch(lambda rows: self.books.extend(rows.copy()))
        feed.on_event(self.events.append)

    def of(self, kind):
        return [event for event in self.events if event.kind == kind]

    def prices(self, symbol=None):
        number = None if symbol is None else self.feed.symbols[symbol]
        return [float(r["price"]) for r in self.ticks if number is None or r["symbol"] == number]

    async def until_price(self, price):
        """Wait for the next tick to have a price."""
        await until(lambda: self.prices()[-1:] == [price])

    async def until_events(self, kind, count):
        await until(lambda: len(self.of(kind)) >= count)
