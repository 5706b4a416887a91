from typing import Any, Self, TypedDict

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

class RowType(TypedDict):
    names: list[str]
    formats: list[str]
    offsets: list[int]
    itemsize: int

FLAG_CACHED: int
FLAG_BACKFILLED: int
FLAG_STALE: int
FLAG_GAP: int
SESSION_UNKNOWN: int
SESSION_REGULAR: int
SESSION_PRE: int
SESSION_POST: int
SESSION_OVERNIGHT: int
STREAMS: tuple[str, ...]
MAX_DEPTH: int

def row_type(stream: int, depth: int) -> RowType: ...

BELLS_BYTES: int

def ring_bytes(row_size: int, capacity: int) -> int: ...

class Bells:
    def __init__(self, fd: int) -> None: ...

class Ring(Buffer):
    def __init__(
        self,
        row_size: int,
        capacity: int,
        *,
        fd: int = -1,
        writes: bool = True,
        bells: Bells | None = None,
        bell: int = 0,
    ) -> None: ...
    @property
    def writes(self) -> bool: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def capacity(self) -> int: ...
    @property
    def published(self) -> int: ...
    @property
    def oldest(self) -> int: ...
    def write(self, rows: Buffer) -> None: ...

class RingReader:
    @property
    def position(self) -> int: ...
    @property
    def lost(self) -> int: ...
    def __new__(
        cls, ring: Ring, rows: NDArray[np.void], position: int, *args: Any, **kwargs: Any
    ) -> RingReader: ...
    def read(self, limit: int | None = None) -> NDArray[np.void]: ...
    def on_idle(self) -> bool: ...
    def wait_ns(self, spin_ns: int, timeout_ns: int) -> bool: ...
    def move(self, ring: Ring, rows: NDArray[np.void]) -> None: ...
    def skip(self) -> None: ...
    @property
    def ready(self) -> int: ...
    def intact(self) -> bool: ...

class BlockingReader(RingReader):
    spin_ns: int
    slice_ns: int
    def __iter__(self) -> Self: ...
    def __next__(self) -> NDArray[np.void]: ...
    def wait(self) -> bool: ...
