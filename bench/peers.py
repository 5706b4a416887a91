"""The decoders that are compared: each turns a sample into rows, and can show them."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
import warnings
from functools import cache
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from compiled import Loop
from google.protobuf.internal import api_implementation
from packets import Packets, Pushes, Sample

import fastfeed as ff
from fastfeed.protocols.opend_messages import message_class

PIECE_BYTES = 1 << 18
FIELDS = ("time_ns", "gateway_ns", "seq", "price", "volume", "turnover", "side", "kind", "flags")

Rows = np.ndarray[Any, np.dtype[np.void]]


class Candidate(Protocol):
    """What is timed is one call of `run`; before that, what `rows` returns must be right."""

    def run(self) -> None: ...

    def rows(self) -> tuple[list[str], Rows]:
        """Return codes and rows of the last run."""
        ...


class Fastfeed:
    """`fastfeed.Decoder` on pieces of 256 KiB."""

    def __init__(self, sample: Sample | Pushes, stream: str = "ticks") -> None:
        self._decoder = ff.Decoder("opend", check_sha1=False)
        self._stream = self._decoder.stream(stream)
        self._pieces = sample.pieces(PIECE_BYTES)
        self._count = sample.rows

    def run(self) -> None:
        feed = self._decoder.feed
        for piece in self._pieces:
            feed(piece)

    def rows(self) -> tuple[list[str], Rows]:
        rows = self._stream.latest(self._count).copy()
        symbols = self._decoder.symbols
        return [symbols[i].removesuffix(".US") for i in rows["symbol"]], rows


class HandWritten:
    """The C loop."""

    def __init__(self, sample: Sample | Pushes, stream: str = "ticks") -> None:
        self._codes = sample.codes
        self._loop = Loop(sample.codes, stream)
        self._stream = sample.stream
        self._count = sample.rows

    def decode(self) -> int:
        """Decode the stream; returns the bytes used."""
        return self._loop.decode(self._stream)

    def run(self) -> None:
        if self.decode() != len(self._stream):
            raise AssertionError("the C loop did not come to the end")

    def rows(self) -> tuple[list[str], Rows]:
        capacity = len(self._loop.rows)
        numbers = np.arange(self._loop.head - self._count, self._loop.head) % capacity
        rows = self._loop.rows[numbers]
        return [self._codes[i] for i in rows["symbol"]], rows


class HandWrittenPushes(HandWritten):
    """The C loops of the other kinds."""

    def __init__(self, sample: Pushes) -> None:
        super().__init__(sample, sample.kind.stream)
        self._proto_id = sample.proto_id

    def decode(self) -> int:
        """Decode the stream; returns the bytes used."""
        return self._loop.decode_pushes(self._stream, self._proto_id)


class ProtobufParse:
    """protobuf's parser (upb) on the bodies; nothing is read from the messages."""

    def __init__(self, sample: Packets, message: str = "QotUpdateTicker.Response") -> None:
        if api_implementation.Type() != "upb":
            raise RuntimeError(f"expected protobuf's upb, got {api_implementation.Type()}")
        self._bodies = sample.bodies
        self._parse = message_class(message).FromString

    def run(self) -> None:
        parse = self._parse
        for body in self._bodies:
            parse(body)

    def rows(self) -> tuple[list[str], Rows]:
        raise NotImplementedError("see ProtobufRows")


class ProtobufRows:
    """protobuf's parser, and the fields into the same NumPy rows."""

    _SIDES = (0, 1, -1, 0)
    _FLAGS = (0, 0, 2, 1)

    def __init__(self, sample: Sample) -> None:
        self._bodies = sample.bodies
        self._parse = message_class("QotUpdateTicker.Response").FromString
        self._rows = np.zeros(sample.rows, ff.dtype("ticks"))
        self._codes = sample.codes
        self._ids = {code: i for i, code in enumerate(sample.codes)}

    def run(self) -> None:
        parse, rows, ids, sides, flags = (
            self._parse,
            self._rows,
            self._ids,
            self._SIDES,
            self._FLAGS,
        )
        i = 0
        for body in self._bodies:
            s2c = parse(body).s2c
            symbol = ids[s2c.security.code]
            for t in s2c.tickerList:
                rows[i] = (
                    0,
                    int(t.timestamp * 1e6 + 0.5) * 1000,
                    int(t.recvTime * 1e6 + 0.5) * 1000,
                    t.sequence,
                    t.price,
                    t.hpVolume,
                    t.turnover,
                    symbol,
                    sides[t.dir],
                    t.type,
                    0,
                    flags[t.pushDataType],
                )
                i += 1

    def rows(self) -> tuple[list[str], Rows]:
        return [self._codes[i] for i in self._rows["symbol"]], self._rows


class Futu:
    """futu-api's own functions: packets cut from its buffer, digest, protobuf, and the handler's DataFrame.

    As its receiving thread does it, without the socket, the lock, the log and the queue between its threads.
    """

    def __init__(self, sample: Packets, handler: str = "TickerHandlerBase") -> None:
        self._futu = futu()
        self._pieces = sample.pieces(PIECE_BYTES)
        self._handler = getattr(self._futu, handler)()
        self.frames: list[Any] = []

    def run(self) -> None:
        from futu.common.utils import ParseRspErr, parse_rsp

        handle = self._handler.on_recv_rsp
        received = bytearray()
        frames = self.frames = []
        for piece in self._pieces:
            received.extend(piece)
            while True:
                result = parse_rsp(received, 0, False)
                if result.err == ParseRspErr.NOT_ENOUGH_DATA:
                    break
                del received[: result.total_len]
                frames.append(handle(result.rsp_pb))

    def rows(self) -> tuple[list[str], Rows]:
        """Without the columns that futu-api does not show: the two times and the flags."""
        codes: list[str] = []
        rows = []
        kinds = {"AUTO_MATCH": 1, "ODD_LOT": 6}
        for status, table in self.frames:
            if status != 0:
                raise AssertionError(table)
            for t in table.itertuples():
                codes.append(t.code.removeprefix("US."))
                side = {"BUY": 1, "SELL": -1}.get(t.ticker_direction, 0)
                rows.append(
                    (
                        0,
                        0,
                        0,
                        t.sequence,
                        t.price,
                        t.volume,
                        t.turnover,
                        0,
                        side,
                        kinds[t.type],
                        0,
                        0,
                    )
                )
        return codes, np.array(rows, ff.dtype("ticks"))


@cache
def futu() -> ModuleType:
    """Import futu-api, which writes a log into the home folder and takes SIGINT."""
    home, handler = os.environ.get("HOME"), signal.getsignal(signal.SIGINT)
    os.environ["HOME"] = made = tempfile.mkdtemp(prefix="fastfeed-bench-home-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import futu as module
    finally:
        signal.signal(signal.SIGINT, handler)
        if home is not None:
            os.environ["HOME"] = home
    return module
