"""Rows that come in parts: several requests make one pull."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeed._core.symbols import SymbolTable

__all__ = ["ids_of", "in_order", "joined"]


def joined(parts: Sequence[NDArray[np.void]], row: np.dtype[Any]) -> NDArray[np.void]:
    """Return parts as one array. (`np.concatenate` would leave out the reserved bytes of the rows.)"""
    if len(parts) == 1:
        return parts[0]
    rows: NDArray[np.void] = np.empty(sum(map(len, parts)), row)
    end = 0
    for part in parts:
        begin, end = end, end + len(part)
        rows[begin:end] = part
    return rows


def ids_of(symbols: SymbolTable, names: Sequence[str]) -> NDArray[np.intp]:
    """Return the ids of symbols, given to them now if they are new."""
    return np.fromiter(map(symbols.intern, names), np.intp, len(names))


def in_order(rows: NDArray[np.void], ids: NDArray[np.intp]) -> NDArray[np.void]:
    """Return rows in the order of their symbols in `ids`, those of other symbols left out."""
    if not len(rows) or not len(ids):
        return rows[:0]
    place = np.full(max(int(ids.max()), int(rows["symbol"].max())) + 1, -1)
    place[ids] = np.arange(len(ids))
    places = place[rows["symbol"]]
    if places.min() >= 0 and (places[1:] >= places[:-1]).all():  # mostly
        return rows
    order = np.argsort(places, kind="stable")
    rows = rows[order[places[order] >= 0]]
    return rows
