"""Rows that come in parts: several requests make one pull."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_order", "joined"]


def joined(parts: Sequence[NDArray[np.void]], row: np.dtype[Any]) -> NDArray[np.void]:
    """Return parts as one array. (`np.concatenate` would leave out the reserved bytes of the rows.)"""
    rows: NDArray[np.void] = np.empty(sum(map(len, parts)), row)
    end = 0
    for part in parts:
        begin, end = end, end + len(part)
        rows[begin:end] = part
    return rows


def in_order(rows: NDArray[np.void], ids: Iterable[int]) -> NDArray[np.void]:
    """Return rows in the order of their symbols in `ids`, those of other symbols left out."""
    place = {number: i for i, number in enumerate(ids)}
    places = np.array([place.get(i, -1) for i in rows["symbol"].tolist()], np.intp)
    order = np.argsort(places, kind="stable")
    return rows[order[places[order] >= 0]]
