"""AllTick's messages for the benches, and those who decode them."""

from __future__ import annotations

import ctypes
import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import numpy as np
from compiled import LOOP_FLAGS, built

import fastfeed as ff
from fastfeed._core.alltick import AlltickMachine

RECV_NS = 1_785_204_916_000_000_000
DEPTH = 10
NUMBERS = {"trade": 22998, "book": 22999}
STREAMS = {"trade": "ticks", "book": "books"}
ROW_BITS = 13  # of the rings of the two C candidates
WINDOW_BYTES = 1 << 18

Rows = np.ndarray[Any, np.dtype[np.void]]


def _markets(rng: random.Random, count: int) -> list[tuple[str, int, int, int]]:
    """Return codes of at most 8 bytes, with decimals of their prices, volumes and turnovers."""
    numbers = rng.sample(range(1, 10_000), count)
    names = ["".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4)) for _ in range(count)]
    return [
        (
            (f"{number}.HK", 6, 0, 6),
            (f"{name}.US", 6, 0, 6),
            (f"{name}USDT", 2, 5, 6),
            (f"{name[:3]}USD", 5, 2, 5),
        )[i % 4]
        for i, (number, name) in enumerate(zip(numbers, names, strict=True))
    ]


def _trade(rng: random.Random, places: tuple[int, int, int]) -> dict[str, Any]:
    price = rng.uniform(1, 9 if places[0] == 5 else 600)
    volume = rng.uniform(1, 9) if places[1] == 5 else 100 * rng.randrange(1, 100)
    return {
        "price": f"{price:.{places[0]}f}",
        "volume": f"{volume:.{places[1]}f}",
        "turnover": f"{price * volume:.{places[2]}f}",
        "trade_direction": rng.randrange(3),
    }


def _book(rng: random.Random, places: tuple[int, int, int]) -> dict[str, Any]:
    middle = rng.uniform(100, 600)
    return {
        name: [
            {
                "price": f"{middle + step * (level + 1) / 20:.{places[0]}f}",
                "volume": f"{100 * rng.randrange(1, rng.choice((10, 400))):.{places[1]}f}",
            }
            for level in range(DEPTH)
        ]
        for name, step in (("bids", -1), ("asks", 1))
    }


def frame(message: bytes, opcode: int = 1) -> bytes:
    """Return a message as a server sends it."""
    n = len(message)
    if n < 126:
        return bytes([0x80 | opcode, n]) + message
    return bytes([0x80 | opcode, 126]) + n.to_bytes(2, "big") + message


class Messages:
    """Pushes of one kind as documented: compact, with bare integers, codes of four markets in turn.

    Not as documented: their keys in another order.
    """

    def __init__(self, kind: str, symbols: int, count: int, *, documented: bool = True) -> None:
        rng = random.Random(f"{kind} {symbols}")
        markets = _markets(rng, symbols)
        self.kind = kind
        self.codes = [code for code, *_ in markets]
        self.messages = []
        made = _trade if kind == "trade" else _book
        for i in range(count):
            code, *places = rng.choice(markets)
            ms = RECV_NS // 10**6 - 20_000 + i % 20_000
            head = {"code": code, "seq": ms + rng.randrange(500), "tick_time": ms}
            data = head | made(rng, tuple(places))
            if not documented:
                data = dict(reversed(data.items()))
            push = {"cmd_id": NUMBERS[kind], "data": data}
            self.messages.append(json.dumps(push, separators=(",", ":")).encode())
        self.data = b"".join(self.messages) + bytes(64)
        self.ends = np.cumsum([len(message) for message in self.messages], dtype=np.uint64)


@cache
def _loop_library() -> Any:
    library = ctypes.CDLL(str(built("alltick", *LOOP_FLAGS, also="loop")))
    pointer, size, i64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
    for name, result, arguments in (
        ("loop_new", pointer, (ctypes.c_uint, ctypes.c_uint, size)),
        ("loop_free", None, (pointer,)),
        ("loop_add", None, (pointer, ctypes.c_char_p, size, ctypes.c_uint32)),
        ("loop_rows", pointer, (pointer,)),
        ("loop_head", ctypes.c_uint64, (pointer,)),
        ("alltick_decode", i64, (pointer, ctypes.c_char_p, pointer, size, i64)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _view(address: int, dtype: np.dtype[Any]) -> Rows:
    memory = (ctypes.c_uint8 * (dtype.itemsize << ROW_BITS)).from_address(address)
    return np.frombuffer(memory, dtype)


class Loop:
    """The hand-written decoder in native/alltick.c."""

    def __init__(self, sample: Messages) -> None:
        self._sample = sample
        self._library = _loop_library()
        dtype = ff.dtype(STREAMS[sample.kind])
        bits = max(8, (len(sample.codes) * 8 - 1).bit_length())
        self._loop = self._library.loop_new(bits, ROW_BITS, dtype.itemsize)
        if not self._loop:
            raise MemoryError
        for i, code in enumerate(sample.codes):
            self._library.loop_add(self._loop, code.encode().ljust(8, b"\0"), len(code), i)
        self._rows = _view(self._library.loop_rows(self._loop), dtype)

    def __del__(self) -> None:
        if getattr(self, "_loop", None):
            self._library.loop_free(self._loop)

    def run(self) -> None:
        sample = self._sample
        self._library.alltick_decode(
            self._loop, sample.data, sample.ends.ctypes.data, len(sample.ends), RECV_NS
        )

    def rows(self) -> Rows:
        """Return the rows of the last run, as many as there is room for."""
        head = self._library.loop_head(self._loop)
        count = min(len(self._sample.ends), len(self._rows))
        return self._rows[np.arange(head - count, head) % len(self._rows)]


def receive(machine: Any, data: bytes) -> None:
    """Give a machine bytes as a socket does, a window at a time."""
    left = memoryview(data)
    while left:
        place = machine.space()
        n = min(len(place), len(left))
        place[:n] = left[:n]
        left = left[n:]
        machine.received(n)


class Fastfeed:
    """fastfeed's machine, which gets the messages in WebSocket frames, as from a socket: a window at a time."""

    def __init__(self, sample: Messages) -> None:
        self._sample = sample
        self._frames = b"".join(map(frame, sample.messages))
        self._hub = ff.Hub()
        self._stream = self._hub.stream(STREAMS[sample.kind])
        self._machine = AlltickMachine(self._hub.symbols, window_bytes=WINDOW_BYTES)
        self._machine.listen(
            self._stream.number, self._stream.ring, self._stream.deliver, self._stream.table
        )
        for code in sample.codes:
            self._machine.expect(code)
        self._machine.upgraded(b"")

    def run(self) -> None:
        machine, before = self._machine, self._machine.rows
        receive(machine, self._frames)
        if machine.rows - before != len(self._sample.messages):
            raise AssertionError(f"expected all rows, got {machine.stats()}")

    def rows(self) -> Rows:
        """Return the rows of the last run."""
        return self._stream.latest(len(self._sample.messages))


class _Tick(msgspec.Struct):
    code: str
    seq: int
    tick_time: int
    price: str
    volume: str
    turnover: str
    trade_direction: int


class _Level(msgspec.Struct):
    price: str
    volume: str


class _Book(msgspec.Struct):
    code: str
    seq: int
    tick_time: int
    bids: list[_Level]
    asks: list[_Level]


class _TickPush(msgspec.Struct):
    cmd_id: int
    data: _Tick


class _BookPush(msgspec.Struct):
    cmd_id: int
    data: _Book


def msgspec_decode(kind: str) -> Callable[[bytes], Any]:
    """Return msgspec's decoder for pushes of a kind, as struct objects; decimals stay texts."""
    return msgspec.json.Decoder(_TickPush if kind == "trade" else _BookPush).decode


class Python:
    """A decoder of Python's, message by message: nothing but objects comes of it."""

    def __init__(self, sample: Messages, decode: Callable[[bytes], Any]) -> None:
        self._messages = sample.messages
        self._decode = decode

    def run(self) -> None:
        decode = self._decode
        for message in self._messages:
            decode(message)


class MsgspecRows:
    """msgspec's structs, and their values into the same NumPy rows."""

    def __init__(self, sample: Messages) -> None:
        self._sample = sample
        self._decode = msgspec_decode(sample.kind)
        self._ids = {code: i for i, code in enumerate(sample.codes)}
        self._rows = np.zeros(len(sample.messages), ff.dtype(STREAMS[sample.kind]))

    def run(self) -> None:
        write = self._tick if self._sample.kind == "trade" else self._book
        for i, message in enumerate(self._sample.messages):
            write(i, self._decode(message).data)

    def _tick(self, i: int, data: Any) -> None:
        self._rows[i] = (
            *(RECV_NS, data.tick_time * 1_000_000, 0, data.seq),
            *(float(data.price), float(data.volume), float(data.turnover)),
            *(self._ids[data.code], (0, 1, -1)[data.trade_direction], 0, 0, 0),
        )

    def _book(self, i: int, data: Any) -> None:
        row = self._rows[i]
        row["recv_ns"] = RECV_NS
        row["time_ns"] = data.tick_time * 1_000_000
        row["seq"] = data.seq
        row["symbol"] = self._ids[data.code]
        for side, levels in (("bid", data.bids), ("ask", data.asks)):
            row[f"{side}s"] = len(levels)
            row[f"{side}_price"] = [float(level.price) for level in levels]
            row[f"{side}_volume"] = [float(level.volume) for level in levels]

    def rows(self) -> Rows:
        """Return the rows of the last run."""
        return self._rows
