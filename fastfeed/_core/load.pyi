from typing import Any, Literal

import numpy as np
from typing_extensions import Buffer

DIGITS: int
VARINT: int

def blast(
    fd: int,
    block: Buffer,
    places: np.ndarray[Any, np.dtype[np.uint64]],
    form: Literal["varint", "digits"],
    repeat: int,
    step: int,
    *,
    stop_fd: int = -1,
) -> tuple[int, float, float]: ...
def paced(
    fd: int,
    data: Buffer,
    ends: np.ndarray[Any, np.dtype[np.uint64]],
    times: np.ndarray[Any, np.dtype[np.int64]],
    start: int,
    late: np.ndarray[Any, np.dtype[np.int64]],
    *,
    stop_fd: int = -1,
) -> int: ...
def drain(fd: int, window: int, count: int) -> int: ...
def jitter(seconds: float) -> tuple[int, int]: ...
