"""Rows that come in parts: several requests make one pull."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["joined"]


def joined(parts: Sequence[NDArray[np.void]], row: np.dtype[Any]) -> NDArray[np.void]:
    """Return parts as one array. (`np.concatenate` would leave out the reserved bytes of the rows.)"""
    rows: NDArray[np.void] = np.empty(sum(map(len, parts)), row)
    end = 0
    for part in parts:
        begin, end = end, end + len(part)
        rows[begin:end] = part
    return rows
