"""A reader of the rows of some symbols only, where a stream has those of others as well."""

from __future__ import annotations

from fastfeed.stream import Chosen, Reader, Rows

__all__ = ["ChosenReader"]


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
