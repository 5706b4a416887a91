"""A client of AllTick that is not ours, for the tests: the websockets library, and the vendor's document."""

import asyncio
import itertools
import json
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect as open_websocket

HEARTBEAT, BOOKS, TICKS, CANCEL = 22000, 22002, 22004, 22006
TICK_PUSH, BOOK_PUSH = 22998, 22999
TICK_KEYS = ["code", "seq", "tick_time", "price", "volume", "turnover", "trade_direction"]
BOOK_KEYS = ["code", "seq", "tick_time", "bids", "asks"]


def symbol_list(codes, **more):
    return {"symbol_list": [{"code": code, **more} for code in codes]}


class Client:
    """One connection, message by message."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.serial = itertools.count(1)
        self.texts = []  # of all messages, as they came
        self.ticks = []  # data of pushes
        self.books = []

    async def receive(self):
        """Return the next message; keep it if it is a push."""
        message = await self.websocket.recv()
        self.texts.append(message)
        value = json.loads(message)
        kept = {TICK_PUSH: self.ticks, BOOK_PUSH: self.books}.get(value["cmd_id"])
        if kept is not None and "ret" not in value:
            data = value["data"]
            kept += data if isinstance(data, list) else [data]
        return value

    async def reply(self):
        """Return the next message that is no push."""
        while "ret" not in (value := await self.receive()):
            pass
        return value

    async def send(self, cmd_id, data, **head):
        serial = next(self.serial)
        head = {"cmd_id": cmd_id, "seq_id": serial, "trace": f"t-{serial}"} | head
        await self.websocket.send(json.dumps({**head, "data": data}))
        return serial

    async def request(self, cmd_id, data, **head):
        """Send a request; return its answer."""
        await self.send(cmd_id, data, **head)
        return await self.reply()

    async def subscribe(self, codes, cmd_id=TICKS, **more):
        """Subscribe; return ret."""
        return (await self.request(cmd_id, symbol_list(codes, **more)))["ret"]

    async def until(self, count, what="ticks"):
        """Return the pushes when there are `count`."""
        while len(getattr(self, what)) < count:
            await self.receive()
        return getattr(self, what)

    async def quiet(self, seconds=0.1):
        """Return what still comes within a while."""
        found = []
        try:
            while True:
                found.append(await asyncio.wait_for(self.receive(), seconds))
        except TimeoutError:
            return found


@asynccontextmanager
async def connect(simulator, token="testtoken", **options):
    """Connect; messages come without compression unless it is asked for."""
    options = {"compression": None, "proxy": None, "max_queue": None} | options
    async with open_websocket(f"{simulator.url}?token={token}", **options) as websocket:
        yield Client(websocket)
