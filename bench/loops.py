"""Hand-written decoders in C as candidates of the instrument: what one would write if nothing unusual ever came."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from compiled import LOOP_FLAGS, Loop, built

import fastfeed as ff
from fastfeed._core.longport_decoder import LongportDecoder
from fastfeed._core.symbols import SymbolTable
from fastfeed.bench.alltick_pushes import DEPTH
from fastfeed.bench.decode import decoding
from fastfeed.bench.decoders import Decoder, Rows, row_digests
from fastfeed.bench.digests import digests
from fastfeed.bench.longport_pushes import KINDS as LONGPORT_KINDS
from fastfeed.bench.opend_decoders import opend_digests
from fastfeed.bench.opend_pushes import KINDS as OPEND_KINDS
from fastfeed.bench.samples import RECV_NS, Sample
from fastfeed.bench.turns import Candidate

ROW_BITS = 13  # of the rings of the loops for AllTick and LongPort
ROW_COUNT = 1 << ROW_BITS


def in_c(vendor: str, kind: str) -> Sequence[Candidate]:
    """Return the C loop of a vendor's kind of push; for LongPort also our decoder on the same bodies."""
    path = [str(Path(__file__).parent)]
    found = [decoding("C loop", f"loops:{vendor.title()}Loop", None, 1, path)]
    if vendor == "longport":
        found.append(decoding("fastfeed, bodies", "loops:LongportBodies", None, 1, path))
    return found


class OpendLoop(Decoder):
    """native/loop.c and native/pushes.c."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._loop = Loop([symbol.removesuffix(".US") for symbol in sample.symbols], sample.kind)
        self._stream = sample.stream()

    def run(self) -> None:
        kind = self.sample.kind
        if kind == "ticks":
            used = self._loop.decode(self._stream)
        else:
            used = self._loop.decode_pushes(self._stream, OPEND_KINDS[kind].proto_id)
        if used != len(self._stream):
            raise AssertionError("the C loop did not come to the end")

    def digests(self) -> dict[str, str]:
        head, capacity = self._loop.head, len(self._loop.rows)
        rows = self._loop.rows[np.arange(head - self.sample.rows, head) % capacity]
        symbols = [self.sample.symbols[i] for i in rows["symbol"]]
        return opend_digests(self.sample.kind, rows, symbols)


@cache
def _alltick() -> Any:
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


def _together(sample: Sample) -> tuple[bytes, np.ndarray[Any, Any]]:
    """Return the bodies, one behind the other with room at the end, and where each of them ends."""
    ends = np.cumsum([len(body) for body in sample.bodies], dtype=np.uint64)
    return b"".join(sample.bodies) + bytes(64), ends


class AlltickLoop(Decoder):
    """native/alltick.c, on messages that are cut already."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._data, self._ends = _together(sample)
        self._library = _alltick()
        dtype = ff.dtype(sample.kind)
        bits = max(8, (len(sample.symbols) * 8 - 1).bit_length())
        self._loop = self._library.loop_new(bits, ROW_BITS, dtype.itemsize)
        if not self._loop:
            raise MemoryError
        for i, symbol in enumerate(sample.symbols):
            code = symbol.encode()
            self._library.loop_add(self._loop, code.ljust(8, b"\0"), len(code), i)
        memory = (ctypes.c_uint8 * (dtype.itemsize << ROW_BITS)).from_address(
            self._library.loop_rows(self._loop)
        )
        self._rows: Rows = np.frombuffer(memory, dtype)

    def __del__(self) -> None:
        if getattr(self, "_loop", None):
            self._library.loop_free(self._loop)

    def run(self) -> None:
        ends = self._ends
        self._library.alltick_decode(self._loop, self._data, ends.ctypes.data, len(ends), RECV_NS)

    def digests(self) -> dict[str, str]:
        head = self._library.loop_head(self._loop)
        rows = self._rows[np.arange(head - self.sample.rows, head) % ROW_COUNT]
        found = row_digests(rows, [self.sample.symbols[i] for i in rows["symbol"]])
        del found["flags"]  # it has none
        return found


_HEAD = [("symbol", "S8"), ("seq", "i8")]
_LEVEL = np.dtype([("price", "f8"), ("volume", "i8"), ("orders", "i8")])
#: The rows of native/longport.c.
PLAIN = {
    "quotes": np.dtype(
        [
            *_HEAD,
            *((name, "i8") for name in ("time_s", "volume", "current_volume")),
            *((name, "f8") for name in ("last", "open", "high", "low", "turnover", "current")),
            *((name, "i4") for name in ("status", "session")),
        ]
    ),
    "books": np.dtype([*_HEAD, ("ask", _LEVEL, DEPTH), ("bid", _LEVEL, DEPTH)]),
    "ticks": np.dtype(
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
def _longport() -> Any:
    library = ctypes.CDLL(str(built("longport", *LOOP_FLAGS)))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.longport_row_size.restype = size
    library.longport_decode.restype = ctypes.c_uint64
    library.longport_decode.argtypes = (
        *(ctypes.c_uint, ctypes.c_char_p, pointer, size, pointer, ctypes.c_uint64),
    )
    return library


class LongportLoop(Decoder):
    """native/longport.c, on bodies that are cut already: it merges nothing, and knows no symbols."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._command = LONGPORT_KINDS[sample.kind].command
        self._data, self._ends = _together(sample)
        dtype = PLAIN[sample.kind]
        if _longport().longport_row_size(self._command) != dtype.itemsize:
            raise AssertionError("the rows of the C loop are others")
        self._rows = np.zeros(ROW_COUNT, dtype)

    def run(self) -> None:
        ends, rows = self._ends.ctypes.data, self._rows.ctypes.data
        _longport().longport_decode(
            self._command, self._data, ends, len(self._ends), rows, ROW_COUNT - 1
        )

    def digests(self) -> dict[str, str]:
        plain = self._rows[: self.sample.rows]
        rows = np.zeros(len(plain), ff.dtype(self.sample.kind))
        rows["seq"] = plain["seq"]
        columns = ["seq"]
        if self.sample.kind == "books":
            for side in ("ask", "bid"):
                for name in ("price", "volume", "orders"):
                    rows[f"{side}_{name}"] = plain[side][name]
                    columns.append(f"{side}_{name}")
        else:
            rows["time_ns"] = plain["time_s"] * 10**9
            of_quotes = ["last", "open", "high", "low", "turnover"]
            names = [*(["price"] if self.sample.kind == "ticks" else of_quotes), "volume"]
            for name in names:
                rows[name] = plain[name]
            columns += ["time_ns", *names]
        return digests(rows, [symbol.decode() for symbol in plain["symbol"]], columns)


class LongportBodies(Decoder):
    """Our decoder on bodies that are cut already: without packets, rings, and the table behind latest()."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._command = LONGPORT_KINDS[sample.kind].command
        self._data, self._ends = _together(sample)
        self._symbols = SymbolTable()
        self._decoder = LongportDecoder(self._symbols, depth=DEPTH)
        self._rows = np.zeros(ROW_COUNT, ff.dtype(sample.kind))
        self._count = 0

    def run(self) -> None:
        self._decoder.reset()  # or all that comes again would be old
        self._count = self._decoder.push_all(
            self._command, self._data, self._ends, RECV_NS, self._rows
        )

    def digests(self) -> dict[str, str]:
        rows = self._rows[: self._count]
        return row_digests(rows, [self._symbols[i] for i in rows["symbol"]])
