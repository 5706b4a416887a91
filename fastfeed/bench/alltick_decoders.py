"""Who decodes AllTick's messages: JSON to rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

import fastfeed as ff
from fastfeed._core.alltick import AlltickMachine
from fastfeed.bench.alltick_pushes import on_wire
from fastfeed.bench.decoders import PIECE_BYTES, Decoder, Fed, Objects, Record, row_digests
from fastfeed.bench.samples import RECV_NS, Sample

__all__ = [
    "AnyShape",
    "Calls",
    "Fastfeed",
    "Json",
    "Msgspec",
    "MsgspecRows",
    "Orjson",
    "TickPush",
    "tick_decoder",
]

_SIDES = (0, 1, -1)  # by trade_direction


class Fastfeed(Decoder):
    """fastfeed's machine, as a socket feeds it: WebSocket frames, a window full of them at a time."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._frames = memoryview(b"".join(on_wire(body, 0) for body in self.bodies(sample)))
        self._hub = ff.Hub()
        self._stream = self._hub.stream(sample.kind)
        self._machine = AlltickMachine(self._hub.symbols, window_bytes=PIECE_BYTES)
        stream = self._stream
        self._machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
        for symbol in sample.symbols:
            self._machine.expect(symbol)
        self._machine.upgraded(b"")

    @staticmethod
    def bodies(sample: Sample) -> Iterable[bytes]:
        """Return the messages."""
        return sample.bodies

    def run(self) -> None:
        """Decode the frames."""
        machine, left, before = self._machine, self._frames, self._machine.rows
        while left:
            place = machine.space()
            n = min(len(place), len(left))
            place[:n] = left[:n]
            left = left[n:]
            machine.received(n)
        if machine.rows - before != self.sample.rows:
            raise AssertionError(f"expected {self.sample.rows} rows, got {machine.stats()}")

    def digests(self) -> dict[str, str]:
        """Return those of all columns."""
        rows = self._stream.latest(self.sample.rows)
        return row_digests(rows, [self._hub.symbols[i] for i in rows["symbol"]])


class AnyShape(Fastfeed):
    """The same with keys in another order than documented, which only the general way understands."""

    @staticmethod
    def bodies(sample: Sample) -> Iterable[bytes]:
        """Return the messages with their keys turned round."""
        for body in sample.bodies:
            push = json.loads(body)
            push["data"] = dict(reversed(push["data"].items()))
            yield json.dumps(push, separators=(",", ":")).encode()


class Calls(Fed):
    """`fastfeed.Decoder`, which gets a message with a call."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample, ff.Decoder("alltick"), sample.bodies)


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


class TickPush(msgspec.Struct):
    """A trade, as it is pushed."""

    cmd_id: int
    data: _Tick


class _BookPush(msgspec.Struct):
    cmd_id: int
    data: _Book


tick_decoder = msgspec.json.Decoder(TickPush).decode
_book_decoder = msgspec.json.Decoder(_BookPush).decode


class _Messages(Objects):
    """A decoder of JSON: decimals stay texts."""

    def records(self) -> Iterable[Record]:
        """Decode once more, and read what there is."""
        for body in self.sample.bodies:
            data = self.data(self.decode(body))
            record = {
                "symbol": data["code"],
                "time_ns": data["tick_time"] * 1_000_000,
                "seq": data["seq"],
            }
            if self.sample.kind == "ticks":
                record |= {name: float(data[name]) for name in ("price", "volume", "turnover")}
                yield record | {"side": _SIDES[data["trade_direction"]]}
                continue
            for side in ("bid", "ask"):
                levels = data[f"{side}s"]
                record[f"{side}s"] = len(levels)
                for name in ("price", "volume"):
                    record[f"{side}_{name}"] = [float(level[name]) for level in levels]
            yield record

    @staticmethod
    def data(push: Any) -> Any:
        """Return the fields of a push as dicts."""
        return push["data"]


class Msgspec(_Messages):
    """msgspec, into typed structs."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self.decode = tick_decoder if sample.kind == "ticks" else _book_decoder

    @staticmethod
    def data(push: Any) -> Any:
        """Return the fields of a push as dicts."""
        return msgspec.to_builtins(push.data)


class Orjson(_Messages):
    """orjson, into dicts."""

    def __init__(self, sample: Sample) -> None:
        import orjson

        super().__init__(sample)
        self.decode = orjson.loads


class Json(_Messages):
    """The standard library's json, into dicts."""

    decode = staticmethod(json.loads)


class MsgspecRows(Decoder):
    """msgspec's structs, and their values into rows of the same NumPy array."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._ids = {symbol: i for i, symbol in enumerate(sample.symbols)}
        self._rows = np.zeros(sample.rows, ff.dtype(sample.kind))

    def run(self) -> None:
        """Decode the messages."""
        if self.sample.kind == "ticks":
            self._ticks()
        else:
            self._books()

    def _ticks(self) -> None:
        rows, ids, decode = self._rows, self._ids, tick_decoder
        for i, body in enumerate(self.sample.bodies):
            data = decode(body).data
            rows[i] = (
                RECV_NS,
                data.tick_time * 1_000_000,
                0,
                data.seq,
                float(data.price),
                float(data.volume),
                float(data.turnover),
                ids[data.code],
                _SIDES[data.trade_direction],
                0,
                0,
                0,
            )

    def _books(self) -> None:
        ids, decode = self._ids, _book_decoder
        for row, body in zip(self._rows, self.sample.bodies, strict=True):
            data = decode(body).data
            row["recv_ns"] = RECV_NS
            row["time_ns"] = data.tick_time * 1_000_000
            row["seq"] = data.seq
            row["symbol"] = ids[data.code]
            row["bids"] = len(data.bids)
            row["bid_price"] = [float(level.price) for level in data.bids]
            row["bid_volume"] = [float(level.volume) for level in data.bids]
            row["asks"] = len(data.asks)
            row["ask_price"] = [float(level.price) for level in data.asks]
            row["ask_volume"] = [float(level.volume) for level in data.asks]

    def digests(self) -> dict[str, str]:
        """Return those of the columns that it fills."""
        rows = self._rows
        found = row_digests(rows, [self.sample.symbols[i] for i in rows["symbol"]])
        if self.sample.kind == "ticks":
            columns = ["symbol", "time_ns", "seq", "price", "volume", "turnover", "side"]
        else:
            columns = ["symbol", "time_ns", "seq", "bids", "bid_price", "bid_volume"]
            columns += ["asks", "ask_price", "ask_volume"]
        return {column: found[column] for column in columns}
