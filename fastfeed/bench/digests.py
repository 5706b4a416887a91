"""Rows as digests, which processes exchange in order to compare what they made of the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

__all__ = ["digests"]


def digests(
    rows: np.ndarray[Any, Any], symbols: Sequence[str], columns: Sequence[str]
) -> dict[str, str]:
    """Return a digest of each of some columns, and of the symbols' texts.

    Values are compared bit by bit; of the columns' types only their kind counts (floats as f8, integers as i8).

    Parameters
    ----------
    rows : ndarray
    symbols : sequence of str
        Each row's.
    columns : sequence of str
        What the candidate knows of `rows`.
    """
    found = {"symbol": _digest("\n".join(symbols).encode())}
    for column in columns:
        values = rows[column]
        found[column] = _digest(
            np.ascontiguousarray(values, "f8" if values.dtype.kind == "f" else "i8").tobytes()
        )
    return found


def _digest(data: bytes) -> str:
    return f"{len(data)}:{blake2b(data, digest_size=16).hexdigest()}"
