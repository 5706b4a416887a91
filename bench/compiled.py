"""The C programs of the benches: built on first use, with the machine's C compiler."""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

import fastfeed as ff

NATIVE = Path(__file__).parent / "native"
#: The rows' layout comes from there, and the ring where it is itself what is measured.
HEADERS = NATIVE.parents[1] / "native" / "include"
LOOP_FLAGS = ("-O3", "-shared", "-fPIC", f"-I{HEADERS}")


class NoCompiler(Exception):
    """There is no C compiler."""


@cache
def compiler() -> str:
    """Return the path of the C compiler; NoCompiler."""
    path = shutil.which(os.environ.get("CC", "cc"))
    if path is None:
        raise NoCompiler("no C compiler: set CC or install cc")
    return path


def compiler_version() -> str:
    """Return the first line the compiler says about itself."""
    done = subprocess.run([compiler(), "--version"], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[0]


@cache
def folder() -> Path:
    """Return where built things lie: one place for a run and the processes it starts."""
    given = os.environ.get("FASTFEED_BENCH_BUILD")
    if given:
        return Path(given)
    made = tempfile.mkdtemp(prefix="fastfeed-bench-")
    os.environ["FASTFEED_BENCH_BUILD"] = made
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


@cache
def built(name: str, *flags: str, also: str = "") -> Path:
    """Compile native/<name>.c, and other files with it (names with spaces between), unless this run did already."""
    target = folder() / name
    if not target.exists():
        sources = [str(NATIVE / f"{each}.c") for each in (name, *also.split())]
        subprocess.run([compiler(), *flags, "-o", str(target), *sources], check=True)
    return target


@cache
def _receiving() -> Any:
    library = ctypes.CDLL(str(built("receive", *LOOP_FLAGS, "-D_GNU_SOURCE", also="loop")))
    pointer, size, i64, u64 = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, ctypes.c_uint64)
    for name, result, arguments in (
        ("board", pointer, (pointer,)),
        ("new_board", pointer, ()),
        ("rows", i64, (pointer, pointer, ctypes.c_int, size, u64, ctypes.c_int)),
        ("watch", u64, (pointer, pointer, u64, u64, i64, pointer)),
    ):
        function = getattr(library, f"receive_{name}")
        function.restype, function.argtypes = result, arguments
    return library


@cache
def _library() -> Any:
    library = ctypes.CDLL(str(built("loop", *LOOP_FLAGS, also="pushes")))
    pointer, size, i64, u64 = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, ctypes.c_uint64)
    for name, result, arguments in (
        ("loop_new", pointer, (ctypes.c_uint, ctypes.c_uint, size)),
        ("loop_free", None, (pointer,)),
        ("loop_add", None, (pointer, ctypes.c_char_p, size, ctypes.c_uint32)),
        ("loop_rows", pointer, (pointer,)),
        ("loop_head", u64, (pointer,)),
        ("loop_decode", i64, (pointer, ctypes.c_char_p, size, i64)),
        ("pushes_decode", i64, (pointer, ctypes.c_char_p, size, ctypes.c_uint32, i64)),
        ("loop_receive", i64, (pointer, ctypes.c_int, size, u64)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Loop:
    """The hand-written decoders in native/loop.c and native/pushes.c, with as many rows as a hub has."""

    def __init__(self, codes: list[str], stream: str = "ticks") -> None:
        self._library = _library()
        bits = max(8, (len(codes) * 8 - 1).bit_length())
        dtype = ff.dtype(stream)
        capacity = ff.Hub().stream(stream).ring.capacity
        self._loop = self._library.loop_new(bits, capacity.bit_length() - 1, dtype.itemsize)
        if not self._loop:
            raise MemoryError
        for i, code in enumerate(codes):
            self._library.loop_add(self._loop, code.encode().ljust(8, b"\0"), len(code), i)
        size = dtype.itemsize * capacity
        memory = (ctypes.c_uint8 * size).from_address(self._library.loop_rows(self._loop))
        self.rows = np.frombuffer(memory, dtype)

    def __del__(self) -> None:
        if getattr(self, "_loop", None):
            self._library.loop_free(self._loop)

    @property
    def head(self) -> int:
        """Rows written so far."""
        return int(self._library.loop_head(self._loop))

    def decode(self, data: bytes, recv_ns: int = 0) -> int:
        """Decode a stream; returns the bytes used."""
        return int(self._library.loop_decode(self._loop, data, len(data), recv_ns))

    def decode_pushes(self, data: bytes, proto_id: int, recv_ns: int = 0) -> int:
        """The same for pushes of another kind than ticks."""
        return int(self._library.pushes_decode(self._loop, data, len(data), proto_id, recv_ns))

    def receive(self, fd: int, window: int, n: int) -> int:
        """Read n bytes from a blocking socket and decode them; returns the number of reads."""
        return int(self._library.loop_receive(self._loop, fd, window, n))


class Publisher(Loop):
    """The same decoder in a loop that never blocks and publishes what it wrote."""

    def __init__(self, codes: list[str]) -> None:
        super().__init__(codes)
        self.board = _receiving().receive_new_board()
        if not self.board:
            raise MemoryError

    def publish(self, fd: int, window: int, rows: int, how: Literal["spin", "epoll"]) -> int:
        """Receive so many rows; returns the number of reads that brought something."""
        number = ("spin", "epoll").index(how)
        receive = _receiving().receive_rows
        return int(receive(self._loop, self.board, fd, window, rows, number))

    def watch(self, count: int, interval_ns: int) -> list[int]:
        """Return how late each of so many rows was published, as `watch()` does."""
        return _watch(self.board, self.rows.ctypes.data, len(self.rows), count, interval_ns)


def watch(ring: Any, count: int, interval_ns: int) -> list[int]:
    """Return how late so many rows of an empty ring are published, whose sequences say when they were due."""
    rows = np.frombuffer(ring, np.uint8).ctypes.data
    board = _receiving().receive_board(rows)
    return _watch(board, rows, ring.capacity, count, interval_ns)


def _watch(board: int, rows: int, capacity: int, count: int, interval_ns: int) -> list[int]:
    late = np.zeros(count, np.int64)
    seen = _receiving().receive_watch(board, rows, capacity, count, interval_ns, late.ctypes.data)
    if seen != count:
        raise TimeoutError(f"{seen} of {count} rows came")
    times: list[int] = late.tolist()
    return times
