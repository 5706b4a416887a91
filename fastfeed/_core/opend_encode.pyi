from collections.abc import Iterable, Sequence
from typing import Any

import numpy.typing as npt

TICK_FIELDS: Any
MAX_CHUNK_BYTES: int
MAX_ROWS_PER_PACKET: int
MAX_ROWS_PER_PUSH: int

class TickEncoder:
    def __init__(
        self, securities: Iterable[tuple[int, str, str, Sequence[tuple[int, int]]]]
    ) -> None: ...
    @property
    def count(self) -> int: ...
    def encode(
        self,
        rows: npt.NDArray[Any],
        first: int,
        wanted: bytes | bytearray,
        *,
        serial: int,
        recv_time: float,
        rows_per_push: int = 1,
        floor_s: int = 0,
    ) -> tuple[bytes, int, int, int]: ...
    def encode_picked(
        self,
        store: npt.NDArray[Any],
        positions: npt.NDArray[Any],
        symbol: int,
        *,
        serial: int,
        recv_time: float,
        push_data_type: int = 0,
        floor_s: int = 0,
        floor_from: int = ...,
    ) -> bytes: ...
