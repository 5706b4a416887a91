"""A LongPort gateway whose behaviour a test decides, byte by byte: one-time passwords, WebSocket and TCP at one port.

It is written on asyncio's streams and shares nothing with the simulator. `Watcher` keeps what a feed delivers.
"""

import asyncio
import contextlib
import json
import random
import struct
import time

from alltick_feeds import Peer as WebSocketPeer
from feeds import until
from longport_packets import SECOND
from websocket_server import accepted

import fastfeed as ff
from fastfeed.protocols.longport_messages import MESSAGES, Command, message_class
from fastfeed.protocols.longport_packets import pack_push, pack_response

KEY, SECRET, TOKEN = "the-app-key", "the-app-secret", "the-access-token"
REQUEST, RESPONSE = 1, 2


class Packet:
    """What a client sent, taken apart without the product's code."""

    def __init__(self, data):
        self.kind, self.command, self.id = struct.unpack(">BBI", data[:6])
        self.length = int.from_bytes(data[8:11] if self.kind == REQUEST else data[7:10], "big")
        self.body = data[11:] if self.kind == REQUEST else data[10:]

    @property
    def message(self):
        """What is asked for; None where the command says it all."""
        names = MESSAGES.get(self.command)
        return names and names.request and message_class(names.request).FromString(self.body)


class Peer(WebSocketPeer):
    """One connection of a client, packet by packet; over TCP there is nothing around them."""

    framed = True
    answers_pings = True
    head = b""

    def __init__(self, reader, writer):
        super().__init__(reader, writer)
        self.responses = []  # to requests of ours

    async def shake_hands(self):
        if self.framed:
            self.writer.write(accepted(self.head))

    def push(self, *packets):
        """Send packets, each in a message of its own."""
        for packet in packets:
            if self.framed:
                self.send(packet, 2)
            else:
                self.writer.write(packet)

    def reply(self, packet, fields=None, *, status=0, body=b"", command=None, **options):
        """Answer a request by a message of these fields, or by a body."""
        if fields is not None:
            name = MESSAGES[Command(packet.command)].response
            body = message_class(name)(**fields).SerializeToString()
        command = packet.command if command is None else command
        self.push(pack_response(command, packet.id, status, body, **options))

    def refuse(self, packet, status=7, code=301600, msg="refused by the test"):
        error = message_class("Error")(code=code, msg=msg)
        self.reply(packet, status=status, body=error.SerializeToString())

    def close_push(self, code, reason="bye"):
        body = message_class("Close")(code=code, reason=reason).SerializeToString()
        self.push(pack_push(0, body))

    def abort(self):
        self.writer.transport.abort()

    async def packet(self):
        """Return the client's next packet."""
        if not self.framed:
            head = await self.reader.readexactly(10)
            if head[0] == REQUEST:
                head += await self.reader.readexactly(1)
            length = int.from_bytes(head[-3:], "big")
            return Packet(head + await self.reader.readexactly(length))
        while True:
            opcode, payload = await self.receive()
            if opcode == 2:
                packet = Packet(payload)
                assert packet.length == len(packet.body)
                return packet
            if opcode == 9 and self.answers_pings:
                self.send(payload, 10)
            if opcode == 8:
                raise ConnectionError

    def of(self, command):
        return [packet for packet in self.requests if packet.command == command]

    def subscribed(self):
        """Return the symbols that were asked for, by kind, in order."""
        found = {}
        for packet in self.of(Command.SUBSCRIBE):
            for kind in packet.message.sub_type:
                found.setdefault(kind, []).extend(packet.message.symbol)
        return found


class Gateway:
    """Listens inside the ``async with`` block.

    `on_connect(peer)` shakes hands, or does something else. `on_request(peer, packet)` answers and calls `answer()`
    for all that a test does not care for. `on_token()` returns status and text of the answer to a request for a
    one-time password.
    """

    def __init__(
        self, on_request=None, on_connect=Peer.shake_hands, on_token=None, port=0, tls=None
    ):
        self.on_request = on_request or self.answer
        self.on_connect = on_connect
        self.on_token = on_token or self.password
        self.port = port
        self.tls = tls
        self.peers = []
        self.heads = []  # of requests for one-time passwords
        self.sessions = {}
        self.opened = 0
        self.trades = {}  # by symbol: messages, oldest first
        self.quotes = {}  # by symbol: fields
        self.limit = 500
        self.lifetime_s = 3600
        self._passwords = set()
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
            peer.abort()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    @property
    def peer(self):
        return self.peers[-1]

    def url(self, transport="ws"):
        return (
            f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}/v2"
            if transport == "ws"
            else f"tcp://127.0.0.1:{self.port}"
        )

    def feed(self, transport="ws", **options):
        """Return a feed for it, which waits for next to nothing."""
        known = {
            "app_key": KEY,
            "app_secret": SECRET,
            "access_token": TOKEN,
            "url": self.url(transport),
            "http_url": f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}",
            "backoff": ff.Backoff(0.01, 0.05, random.Random(0)),
        }
        return ff.LongPort(**known | options)

    async def until_peers(self, count):
        await until(lambda: len(self.peers) >= count)

    def password(self):
        password = f"OTP-{len(self.heads)}-secret"
        self._passwords.add(password)
        data = {"otp": password, "limit": 10, "online": 1}
        return 200, json.dumps({"code": 0, "message": "", "data": data})

    def open_session(self):
        self.opened += 1
        session = f"SESSION-{self.opened}-secret"
        expires = int((time.time() + self.lifetime_s) * 1000)
        self.sessions[session] = expires
        return {"session_id": session, "expires": expires, "limit": 10, "online": 1}

    async def answer(self, peer, packet):
        """Answer as the vendor does when all is well."""
        command, message = packet.command, packet.message
        if command == Command.HEARTBEAT:
            peer.reply(packet, body=packet.body)
        elif command == Command.AUTH:
            if message.token in self._passwords:
                self._passwords.discard(message.token)
                peer.reply(packet, self.open_session())
            else:
                peer.refuse(packet, 5, 401003, "no such password")
        elif command == Command.RECONNECT:
            if self.sessions.pop(message.session_id, 0) > time.time() * 1000:
                peer.reply(packet, self.open_session())
            else:
                peer.refuse(packet, 5, 401003, "no such session")
        elif command == Command.PROFILE:
            fast = [{"command": c, "limit": 10_000, "burst": 10_000} for c in range(5, 28)]
            peer.reply(packet, {"subscribe_limit": self.limit, "rate_limit": fast})
        elif command == Command.SUBSCRIBE:
            listed = [{"symbol": s, "sub_type": message.sub_type} for s in message.symbol]
            peer.reply(packet, {"sub_list": listed})
        elif command == Command.TRADES:
            trades = self.trades.get(message.symbol, [])[-message.count :]
            peer.reply(packet, {"symbol": message.symbol, "trades": trades})
        elif command == Command.QUOTES:
            listed = [{"symbol": s, **self.quotes[s]} for s in message.symbol if s in self.quotes]
            peer.reply(packet, {"secu_quote": listed})
        else:
            peer.reply(packet, {})

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            peer = Peer(reader, writer)
            first = await reader.readexactly(2)
            peer.framed = first == b"GE"
            if peer.framed:
                peer.head = first + await reader.readuntil(b"\r\n\r\n")
            else:
                assert first == b"\x11\x09"
            if b"/socket/token" in peer.head:
                self._token(peer)
            else:
                await self._talk(peer)
        writer.close()

    def _token(self, peer):
        self.heads.append(peer.head.decode())
        status, text = self.on_token()
        peer.writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()
        )
        peer.writer.close()

    async def _talk(self, peer):
        self.peers.append(peer)
        try:
            await self.on_connect(peer)
            while True:
                packet = await peer.packet()
                if packet.kind == REQUEST:
                    peer.requests.append(packet)
                    await self.on_request(peer, packet)
                else:
                    peer.responses.append(packet)
        finally:
            peer.ended.set()


class Watcher:
    """Keeps what a feed delivers and tells."""

    def __init__(self, feed):
        self.feed = feed
        self.ticks, self.quotes, self.books, self.brokers, self.events = [], [], [], [], []
        for name in ("ticks", "quotes", "books", "brokers"):
            kept = getattr(self, name)
            getattr(feed, name).on_batch(lambda rows, kept=kept: kept.extend(rows.copy()))
        feed.on_event(self.events.append)

    def of(self, kind):
        return [event for event in self.events if event.kind == kind]

    def prices(self, symbol=None, rows=None):
        number = None if symbol is None else self.feed.symbols[symbol]
        rows = self.ticks if rows is None else rows
        return [float(r["price"]) for r in rows if number is None or r["symbol"] == number]

    async def until_ticks(self, count):
        await until(lambda: len(self.ticks) >= count)

    async def until_events(self, kind, count):
        await until(lambda: len(self.of(kind)) >= count)


def at(second, price="1", **fields):
    """Return a trade of a second."""
    return message_class("Trade")(price=price, volume=1, timestamp=SECOND + second, **fields)
