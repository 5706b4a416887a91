"""LongPort's pushes for the benches, and those who decode them."""

from __future__ import annotations

import ctypes
import random
from functools import cache
from typing import Any

import numpy as np
from alltick import WINDOW_BYTES, frame, receive
from compiled import LOOP_FLAGS, built

import fastfeed as ff
from fastfeed._core.longport import LongportMachine
from fastfeed._core.longport_decoder import LongportDecoder
from fastfeed._core.symbols import SymbolTable
from fastfeed.protocols.longport_messages import message_class
from fastfeed.protocols.longport_packets import pack_push

RECV_NS = 1_785_204_916_000_000_000
DEPTH = 10
COMMANDS = {"quote": 101, "book": 102, "trade": 104}
MESSAGES = {"quote": "PushQuote", "book": "PushDepth", "trade": "PushTrade"}
STREAMS = {"quote": "quotes", "book": "books", "trade": "ticks"}
ROW_COUNT = 1 << 13  # of the two C candidates

Rows = np.ndarray[Any, np.dtype[np.void]]


def _quote(rng: random.Random, message: Any, seconds: int) -> None:
    price, volume = rng.uniform(1, 600), rng.randrange(10_000, 90_000_000)
    message.last_done = f"{price:.3f}"
    message.open, message.high, message.low = (f"{price * by:.3f}" for by in (1.01, 1.02, 0.98))
    message.timestamp = seconds
    message.volume = volume
    message.turnover = f"{price * volume:.3f}"
    message.current_volume = 100 * rng.randrange(1, 100)
    message.current_turnover = f"{price * message.current_volume:.3f}"


def _trade(rng: random.Random, message: Any, seconds: int) -> None:
    message.trade.add(
        price=f"{rng.uniform(1, 600):.3f}",
        volume=100 * rng.randrange(1, 100),
        timestamp=seconds,
        direction=rng.randrange(3),
    )


def _book(rng: random.Random, message: Any, _: int) -> None:
    middle = rng.uniform(100, 600)
    for side, step in ((message.ask, 1), (message.bid, -1)):
        for level in range(DEPTH):
            side.add(
                position=level + 1,
                price=f"{middle + step * (level + 1) / 20:.3f}",
                volume=100 * rng.randrange(1, rng.choice((10, 400))),
                order_num=rng.randrange(1, 60),
            )


_FILL = {"quote": _quote, "book": _book, "trade": _trade}


class Pushes:
    """Bodies of one kind, as protobuf writes them."""

    def __init__(self, kind: str, symbols: int, count: int) -> None:
        rng = random.Random(f"{kind} {symbols}")
        self.kind = kind
        self.command = COMMANDS[kind]
        self.codes = [f"{number}.HK" for number in rng.sample(range(1, 10_000), symbols)]
        make = message_class(MESSAGES[kind])
        self.bodies = []
        for i in range(count):
            seconds = RECV_NS // 10**9 - 20 + i * 20 // count
            message = make(symbol=rng.choice(self.codes))
            message.sequence = seconds * 10**9 + i
            _FILL[kind](rng, message, seconds)
            self.bodies.append(message.SerializeToString())
        self.data = b"".join(self.bodies) + bytes(64)
        self.ends = np.cumsum([len(body) for body in self.bodies], dtype=np.uint64)


class Fastfeed:
    """The decoder; every run is a new connection."""

    def __init__(self, sample: Pushes) -> None:
        self._sample = sample
        self._symbols = SymbolTable()
        self._decoder = LongportDecoder(self._symbols, depth=DEPTH)
        self._rows = np.zeros(ROW_COUNT, ff.dtype(STREAMS[sample.kind]))
        self._count = 0

    def run(self) -> None:
        sample = self._sample
        self._decoder.reset()
        self._count = self._decoder.push_all(
            sample.command, sample.data, sample.ends, RECV_NS, self._rows
        )

    def rows(self) -> tuple[list[str], Rows]:
        """Return symbols and rows of a run that fits."""
        rows = self._rows[: self._count]
        return [self._symbols[i] for i in rows["symbol"]], rows


class Machine:
    """The machine, which gets pushes as packets in WebSocket frames, as from a socket: a window at a time."""

    def __init__(self, sample: Pushes) -> None:
        self._sample = sample
        packets = (pack_push(sample.command, body) for body in sample.bodies)
        self._frames = b"".join(frame(packet, 2) for packet in packets)
        self._hub = ff.Hub()
        self._stream = self._hub.stream(STREAMS[sample.kind])
        self._machine = LongportMachine(
            self._hub.symbols, window_bytes=WINDOW_BYTES, depth=DEPTH, ordered=True
        )
        self._machine.listen(
            self._stream.number, self._stream.ring, self._stream.deliver, self._stream.table
        )

    def run(self) -> None:
        machine, before = self._machine, self._machine.rows
        machine.reset(framed=True)
        machine.upgraded(b"")
        receive(machine, self._frames)
        if machine.rows - before != len(self._sample.bodies):
            raise AssertionError(f"expected all rows, got {machine.stats()}")

    def rows(self) -> tuple[list[str], Rows]:
        """Return symbols and rows of the last run."""
        rows = self._stream.latest(len(self._sample.bodies))
        return [self._hub.symbols[i] for i in rows["symbol"]], rows


_HEAD = [("symbol", "S8"), ("seq", "i8")]
_LEVEL = np.dtype([("price", "f8"), ("volume", "i8"), ("orders", "i8")])
PLAIN = {
    "quote": np.dtype(
        [
            *_HEAD,
            *((name, "i8") for name in ("time_s", "volume", "current_volume")),
            *((name, "f8") for name in ("last", "open", "high", "low", "turnover", "current")),
            *((name, "i4") for name in ("status", "session")),
        ]
    ),
    "book": np.dtype([*_HEAD, ("ask", _LEVEL, DEPTH), ("bid", _LEVEL, DEPTH)]),
    "trade": np.dtype(
        [
            *_HEAD,
            *((name, "i8") for name in ("time_s", "volume")),
            ("price", "f8"),
            *((name, "i4") for name in ("direction", "session")),
            ("type", "u1"),
        ],
        align=True,
    ),
}


@cache
def _library() -> Any:
    library = ctypes.CDLL(str(built("longport", *LOOP_FLAGS)))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.longport_row_size.restype = size
    library.longport_decode.restype = ctypes.c_uint64
    library.longport_decode.argtypes = (
        *(ctypes.c_uint, ctypes.c_char_p, pointer, size, pointer, ctypes.c_uint64),
    )
    return library


class Loop:
    """The hand-written decoder in native/longport.c."""

    def __init__(self, sample: Pushes) -> None:
        self._sample = sample
        dtype = PLAIN[sample.kind]
        if _library().longport_row_size(sample.command) != dtype.itemsize:
            raise AssertionError("the rows of the C loop are others")
        self._rows = np.zeros(ROW_COUNT, dtype)
        self._count = 0

    def run(self) -> None:
        sample = self._sample
        self._count = _library().longport_decode(
            sample.command,
            sample.data,
            sample.ends.ctypes.data,
            len(sample.ends),
            self._rows.ctypes.data,
            ROW_COUNT - 1,
        )

    def rows(self) -> Rows:
        """Return the rows of a run that fits."""
        return self._rows[: self._count]


class Protobuf:
    """protobuf's parser (upb), and `float` of the decimals."""

    def __init__(self, sample: Pushes) -> None:
        self._bodies = sample.bodies
        self._parse = message_class(MESSAGES[sample.kind]).FromString
        self._read = getattr(self, f"_{sample.kind}")

    def run(self) -> None:
        parse, read = self._parse, self._read
        for body in self._bodies:
            read(parse(body))

    @staticmethod
    def _quote(message: Any) -> tuple[float, ...]:
        return (
            float(message.last_done),
            float(message.open),
            float(message.high),
            float(message.low),
            float(message.turnover),
            float(message.current_turnover),
        )

    @staticmethod
    def _trade(message: Any) -> list[float]:
        return [float(trade.price) for trade in message.trade]

    @staticmethod
    def _book(message: Any) -> tuple[list[float], list[float]]:
        return (
            [float(level.price) for level in message.ask],
            [float(level.price) for level in message.bid],
        )
