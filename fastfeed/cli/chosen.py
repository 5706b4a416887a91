"""The rows of some symbols only, where a stream has those of others as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastfeed._core.symbols import SymbolTable
from fastfeed.stream import Reader, Rows

__all__ = ["Chosen", "ChosenReader"]


class Chosen:
    """Says which rows belong to some symbols, also to those that are not in the table yet.

    Parameters
    ----------
    symbols : SymbolTable
    wanted : sequence of str
    """

    def __init__(self, symbols: SymbolTable, wanted: Sequence[str]) -> None:
        self._symbols = symbols
        self._missing = list(wanted)
        self._known = 0
        self._is_wanted = np.zeros(0, bool)

    def __call__(self, rows: Rows) -> Rows:
        """Return a copy of those rows that are wanted."""
        count = len(self._symbols)
        if count > self._known:
            found = [symbol for symbol in self._missing if symbol in self._symbols]
            self._missing = [symbol for symbol in self._missing if symbol not in found]
            self._is_wanted = np.concatenate([self._is_wanted, np.zeros(count - self._known, bool)])
            self._is_wanted[[self._symbols[symbol] for symbol in found]] = True
            self._known = count
        wanted: Rows = rows[self._is_wanted[rows["symbol"]]]
        return wanted


class ChosenReader:
    """A reader that passes over the rows of other symbols.

    Parameters
    ----------
    reader : Reader
    chosen : Chosen or None
        None: every row is wanted.
    """

    def __init__(self, reader: Reader, chosen: Chosen | None) -> None:
        self._reader = reader
        self._chosen = chosen
        self.wait = reader.wait

    @property
    def ready(self) -> int:
        """How many rows there are, those of others as well."""
        return self._reader.ready

    @property
    def lost(self) -> int:
        """How many rows came too fast, those of others as well."""
        return self._reader.lost

    @property
    def position(self) -> int:
        """Number of the next row of the stream."""
        return self._reader.position

    def read(self, limit: int) -> Rows:
        """Return the next rows that are wanted, at most so many; none when there are none."""
        rows = self._reader.read(limit)
        while self._chosen is not None and len(rows):
            wanted = self._chosen(rows)
            if len(wanted):
                return wanted
            rows = self._reader.read(limit)
        return rows
