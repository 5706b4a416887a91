from typing import Any, TypedDict

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

class Ring(Buffer):
    def __init__(self, row_size: int, capacity: int) -> None: ...
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
    def skip(self) -> None: ...
    @property
    def ready(self) -> int: ...
    def intact(self) -> bool: ...
