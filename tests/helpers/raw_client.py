"""A client of the simulated OpenD that sees every packet, for the tests; it encrypts nothing."""

import asyncio
import hashlib
import itertools
import socket
from contextlib import asynccontextmanager, suppress

import numpy as np

from fastfeed.protocols.opend_codes import canonical, security
from fastfeed.protocols.opend_frames import HEADER
from fastfeed.protocols.opend_frames import pack as packet
from fastfeed.protocols.opend_messages import NAMES, message_class
from fastfeed.sim import Tape
from fastfeed.sim.tape import TICK

TICKER = 4
OK = bytes.fromhex("080012001800")
PUSHES = (1003, 3005, 3007, 3009, 3011, 3013, 3015, 3019)
START_NS = 1_381_152_600_000_000_000  # 2013-10-07 09:30 in New York


def make_tape(count, symbols=("SPY.US", "700.HK", "BTCUSDT"), gap_ns=1_000_000):
    rows = np.zeros(count, TICK)
    at = np.arange(count)
    rows["time_ns"] = START_NS + at * gap_ns
    rows["price"] = 100 + at / 100
    rows["volume"] = at % 500 + 0.5
    rows["symbol"] = at % len(symbols)
    rows["side"] = at % 3 - 1
    return Tape(symbols, rows)


class Client:
    """One connection, message by message."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.serial = itertools.count(1)
        self.pushes = []  # (serial, parsed)
        self.rows = []  # (symbol, row) of all pushes
        self.bad = []  # bodies of pushes whose SHA-1 or protobuf is wrong
        self.others = []  # (name, s2c) of pushes other than ticks

    async def receive(self):
        """Return protocol id, serial and body of the next packet; keep it if it is a push."""
        head = await self.reader.readexactly(44)
        magic, proto, _, _, serial, length, sha1, _ = HEADER.unpack(head)
        assert magic == b"FT", magic
        assert length < 1 << 24, length
        body = await self.reader.readexactly(length)
        if proto == 3011:
            try:
                assert hashlib.sha1(body).digest() == sha1
                push = message_class("QotUpdateTicker.Response").FromString(body)
            except Exception:
                self.bad.append(body)
            else:
                self.pushes.append((serial, push))
                who = push.s2c.security
                symbol = canonical(who.market, who.code) if who.code else ""
                self.rows += [(symbol, row) for row in push.s2c.tickerList]
        else:
            assert hashlib.sha1(body).digest() == sha1
            if proto in PUSHES:
                push = message_class(f"{NAMES[proto]}.Response").FromString(body)
                assert (push.retType, push.HasField("retMsg")) == (0, False)
                assert push.SerializeToString() == body
                self.others.append((NAMES[proto], push.s2c))
        return proto, serial, body

    async def request(self, proto, message, **c2s):
        """Send a request and return the body of its reply; pushes on the way are kept."""
        serial = next(self.serial)
        request = message_class(f"{message}.Request")(c2s=c2s)
        self.writer.write(packet(proto, serial, request.SerializeToString()))
        while True:
            reply, reply_serial, body = await self.receive()
            if reply not in PUSHES:
                assert (reply, reply_serial) == (proto, serial)
                return body

    async def init(self, **c2s):
        c2s = {"clientVer": 300, "clientID": "test", "packetEncAlgo": -1} | c2s
        return await self.request(1001, "InitConnect", **c2s)

    async def subscribe(self, *symbols, types=(TICKER,), on=True, push=True, **c2s):
        if push is not None:
            c2s["isRegOrUnRegPush"] = push
        body = await self.request(
            3001,
            "QotSub",
            securityList=securities(symbols),
            subTypeList=types,
            isSubOrUnSub=on,
            **c2s,
        )
        return message_class("Reply").FromString(body)

    async def ticks(self, count):
        """Return the next `count` ticks, those received already included."""
        while len(self.rows) < count:
            await self.receive()
        return self.rows

    async def closed(self):
        """Read until the other side has closed."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self.receive()


def securities(symbols):
    return [{"market": m, "code": c} for m, c in map(security, symbols)]


@asynccontextmanager
async def connect(sim, *, init=True, limit=1 << 16, receive_bytes=None):
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", sim.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=limit)
    client = Client(reader, writer)
    try:
        if init:
            reply = message_class("InitConnect.Response").FromString(await client.init())
            assert reply.retType == 0
        yield client
    finally:
        writer.transport.abort()
