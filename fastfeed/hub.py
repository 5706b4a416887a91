"""The hub: where rows and symbols live. One for each feed, or one for several."""

from __future__ import annotations

from functools import cached_property

from fastfeed._core.symbols import SymbolTable
from fastfeed.stream import Stream

__all__ = ["Hub"]


class Hub:
    """Streams and the symbol table that their rows refer to.

    A feed makes its own unless it is given one; several feeds of the same event loop can share one.

    Parameters
    ----------
    capacity : int
        Rows that each stream keeps, a power of two from 64 to 2**26. A reader that falls further behind than
        that loses rows. A tick takes 64 bytes; memory is taken when a stream is first
        used. A single push of more than half of the capacity is rejected and counted.
    max_symbols : int
        How many symbols there can be; rows of further ones are rejected and counted.

    Attributes
    ----------
    symbols : SymbolTable
        ``symbols[id]`` is a symbol, ``symbols["700.HK"]`` an id.
    """

    def __init__(self, *, capacity: int = 1 << 18, max_symbols: int = 1 << 20) -> None:
        if not 64 <= capacity <= 1 << 26 or capacity & (capacity - 1):
            raise ValueError(
                f"expected a capacity that is a power of two from 64 to {1 << 26}, got {capacity}"
            )
        self.capacity = capacity
        self.symbols = SymbolTable(max_symbols)

    @cached_property
    def ticks(self) -> Stream:
        """Trades."""
        return Stream("ticks", self.capacity)

    def end(self, error: Exception | None = None) -> None:
        """End the streams: loops over them finish once they have read what is there."""
        self.ticks.end(error)
