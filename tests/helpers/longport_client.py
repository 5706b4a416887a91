"""A client of LongPort that is not ours, for the tests: a WebSocket library or a socket, and the vendor's document."""

import asyncio
import gzip
import hashlib
import hmac
import itertools
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from websockets.asyncio.client import connect as open_websocket

from fastfeed.protocols.longport_messages import MESSAGES, Command, message_class

KEY, SECRET, TOKEN = "KEY", "secret", "TOKEN"
QUERY = "version=1&codec=1&platform=9"
QUOTE, DEPTH, BROKERS, TRADE = 1, 2, 3, 4
ALL = (QUOTE, DEPTH, BROKERS, TRADE)
PUSHES = {0: "Close", 101: "PushQuote", 102: "PushDepth", 103: "PushBrokers", 104: "PushTrade"}
_HEADS = {1: 11, 2: 10, 3: 5}


class Packet(NamedTuple):
    type: int
    command: int
    request_id: int
    status: int
    body: bytes
    verified: bytes

    @property
    def push(self) -> Any:
        return message_class(PUSHES[self.command]).FromString(self.body)

    @property
    def error(self) -> Any:
        return message_class("Error").FromString(self.body)


def pack(command, request_id, body=b"", *, timeout_ms=0, kind=1, flags=0, tail=b""):
    """Return a request, made without our own packer."""
    head = bytes((kind | flags, command)) + request_id.to_bytes(4, "big")
    head += timeout_ms.to_bytes(2, "big")
    return head + len(body).to_bytes(3, "big") + body + tail


def unpack(data, at=0):
    """Return the packet that begins at `at` and where it ends, None where it is not complete."""
    if len(data) == at:
        return None
    first = data[at]
    head = at + _HEADS[first & 15]
    if len(data) < head:
        return None
    end = head + int.from_bytes(data[head - 3 : head], "big")
    verified = end + (24 if first & 0x10 else 0)
    if len(data) < verified:
        return None
    body = data[head:end]
    if first & 0x20:
        body = gzip.decompress(body)
    kind = first & 15
    request_id = int.from_bytes(data[at + 2 : at + 6], "big") if kind < 3 else 0
    status = data[at + 6] if kind == 2 else 0
    return Packet(kind, data[at + 1], request_id, status, body, data[end:verified]), verified


class Client:
    """One connection, packet by packet."""

    def __init__(self, websocket=None, streams=None):
        self.websocket = websocket
        self.reader, self.writer = streams or (None, None)
        self.serial = itertools.count(1)
        self.buffer = b""
        self.at = 0  # what of it was read
        self.packets = []  # all of them
        self.pushes = []
        self.session = None

    async def raw(self, data):
        if self.websocket is not None:
            await self.websocket.send(data)
        else:
            self.writer.write(data)

    async def receive(self):
        """Return the next packet; keep it."""
        while (found := unpack(self.buffer, self.at)) is None:
            rest = self.buffer[self.at :]
            if self.websocket is not None:
                assert not rest, "a packet that goes on in the next message"
                piece = await self.websocket.recv()
                assert isinstance(piece, bytes)
            elif not (piece := await self.reader.read(1 << 16)):
                raise ConnectionResetError("the end")
            self.buffer, self.at = rest + piece, 0
        packet, self.at = found
        self.packets.append(packet)
        if packet.type == 3:
            self.pushes.append(packet)
        return packet

    async def send(self, command, *, body=None, **fields):
        """Send a request; return its id."""
        number = next(self.serial)
        names = MESSAGES.get(command)
        if body is None:
            body = b""
            if names and names.request:
                body = message_class(names.request)(**fields).SerializeToString()
        await self.raw(pack(command, number, body))
        return number

    async def answer(self, number):
        """Return the response to a request; pushes on the way are kept."""
        while (packet := await self.receive()).type != 2 or packet.request_id != number:
            pass
        return packet

    async def ask(self, command, **fields):
        """Send a request; return the packet of its response."""
        packet = await self.answer(await self.send(command, **fields))
        assert packet.command == command
        return packet

    async def get(self, command, **fields):
        """Send a request; return what it is answered."""
        packet = await self.ask(command, **fields)
        assert packet.status == 0, packet.error
        return message_class(MESSAGES[command].response).FromString(packet.body)

    async def refused(self, command, **fields):
        """Send a request that is refused; return status and code."""
        packet = await self.ask(command, **fields)
        assert packet.status
        return packet.status, packet.error.code

    async def auth(self, password, **metadata):
        self.session = await self.get(Command.AUTH, token=password, metadata=metadata)
        return self.session

    async def subscribe(self, symbols, kinds=(TRADE,), *, first=False):
        return await self.get(
            Command.SUBSCRIBE, symbol=symbols, sub_type=kinds, is_first_push=first
        )

    async def until(self, count, *commands):
        """Return the pushes of these commands when there are `count`."""
        found = [p for p in self.pushes if p.command in commands]
        while len(found) < count:
            packet = await self.receive()
            if packet.type == 3 and packet.command in commands:
                found.append(packet)
        return [packet.push for packet in found]

    async def trades(self, count):
        """Return the first `count` trades: symbol, sequence, trade."""
        found = []
        seen = 0
        while True:
            for packet in self.pushes[seen:]:
                if packet.command == Command.PUSH_TRADES:
                    push = packet.push
                    found += [(push.symbol, push.sequence, trade) for trade in push.trade]
            seen = len(self.pushes)
            if len(found) >= count:
                return found
            await self.receive()

    async def quiet(self, seconds=0.1):
        """Return what still comes within a while."""
        found = []
        try:
            while True:
                found.append(await asyncio.wait_for(self.receive(), seconds))
        except TimeoutError:
            return found


def signed(method="GET", path="/v1/socket/token", timestamp="1700000000", secret=SECRET, body=b""):
    """Return the headers of a signed request, by the vendor's document."""
    names = "authorization;x-api-key;x-timestamp"
    text = f"{method}|{path}||authorization:{TOKEN}\nx-api-key:{KEY}\nx-timestamp:{timestamp}\n|{names}|"
    text += hashlib.sha1(body).hexdigest() if body else ""
    text = "HMAC-SHA256|" + hashlib.sha1(text.encode()).hexdigest()
    sign = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {
        "X-Api-Key": KEY,
        "Authorization": TOKEN,
        "X-Timestamp": timestamp,
        "X-Api-Signature": f"HMAC-SHA256 SignedHeaders={names}, Signature={sign}",
    }


async def password(simulator):
    """Return a one-time password."""
    url = simulator.http_url + "/v1/socket/token"
    async with aiohttp.ClientSession() as session, session.get(url, headers=signed()) as response:
        return (await response.json())["data"]["otp"]


@asynccontextmanager
async def connect(simulator, transport="websocket", *, auth=True, **metadata):
    """Connect over WebSocket or TCP, authenticated unless told otherwise."""
    if transport == "tcp":
        streams = await asyncio.open_connection("127.0.0.1", simulator.tcp_port)
        streams[1].write(b"\x11\x09")
        client = Client(streams=streams)
        try:
            if auth:
                await client.auth(await password(simulator), **metadata)
            yield client
        finally:
            streams[1].transport.abort()
        return
    options = {"compression": None, "proxy": None, "max_queue": None, "ping_interval": None}
    async with open_websocket(f"{simulator.url}?{QUERY}", **options) as websocket:
        client = Client(websocket)
        if auth:
            await client.auth(await password(simulator), **metadata)
        yield client
