"""Rows as lines for people: the time, the symbol, and what the row is about."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from fastfeed._core.symbols import SymbolTable
from fastfeed.cli import words
from fastfeed.cli.columns import values_of
from fastfeed.schema import BOOK_DEPTH, dtype
from fastfeed.stream import Rows

__all__ = ["Lines"]

_UNKNOWN = "-"
_SYMBOL_WIDTH = 10
_WIDTH = 10
_LARGE = 1e8
#: What is shown of a row besides time and symbol.
_SHOWN = {
    "ticks": ("price", "volume", "side", "session", "flags"),
    "quotes": ("session", "last", "open", "high", "low", "volume", "flags"),
    "books": ("bid_price", "bid_volume", "ask_price", "ask_volume", "bids", "asks", "flags"),
    "bars": ("interval", "open", "high", "low", "close", "volume", "flags"),
    "timeshare": ("price", "avg_price", "volume", "flags"),
    "brokers": ("bids", "asks", "flags"),
}
_SHOWN["odd_books"] = _SHOWN["books"]
_WORDS = ("side", "session", "interval", "flags")  # need no name
_NAMES = {"bid_price": "bid", "bid_volume": "x", "ask_price": "ask", "ask_volume": "x"}


class Lines:
    """Rows as text for a terminal, a line each. Times are UTC, of the arrival where the exchange's is not known.

    Parameters
    ----------
    symbols : SymbolTable
    stream : str
    depth : int
        Of books, of which the best levels are shown.
    tagged : bool
        Each line says its stream.
    """

    header: bytes = b""

    def __init__(
        self,
        symbols: SymbolTable,
        stream: str = "ticks",
        depth: int = BOOK_DEPTH,
        *,
        tagged: bool = False,
    ) -> None:
        values = values_of(stream, dtype(stream, depth), symbols, sessions=True)
        self._columns = [values[name] for name in ("time", "symbol", *_SHOWN[stream])]
        self._names = [_name(stream, field) for field in _SHOWN[stream]]
        self._tag = f"{stream:<9}  " if tagged else ""

    def __call__(self, rows: Rows) -> bytes:
        """Return the lines of some rows."""
        unknown = rows["time_ns"] == 0
        if unknown.any():
            rows = rows.copy()
            rows["time_ns"][unknown] = rows["recv_ns"][unknown]
        columns = [column(rows) for column in self._columns]
        lines = [self._line(*values) for values in zip(*columns, strict=True)]
        lines.append("")
        return "\n".join(lines).encode()

    def _line(self, time: str | None, symbol: str, *values: Any) -> str:
        cells = [_time(time), f"{words.printable(symbol):<{_SYMBOL_WIDTH}}"]
        for value, name in zip(values, self._names, strict=True):
            if name is None:
                cells.append(f"{value or '':<4}")
            else:
                cells.append(f"{name} {_number(value)}" if name else f"{_number(value):>{_WIDTH}}")
        return f"{self._tag}{'  '.join(cells).rstrip()}"


def _name(stream: str, field: str) -> str | None:
    """Return what stands before a number; None: it is a word."""
    if field in _WORDS:
        return None
    return "" if stream == "ticks" else _NAMES.get(field, field.replace("_", " "))


def _time(text: str | None) -> str:
    """Return an ISO time with a blank in the middle."""
    return _UNKNOWN.ljust(26) if text is None else text.removesuffix("Z").replace("T", " ")


def _number(value: Any) -> str:
    if isinstance(value, Iterable):  # the levels of a side of a book
        value = next(iter(value), None)
    if value is None or not math.isfinite(value):
        return _UNKNOWN
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.10g}" if abs(value) < _LARGE else f"{value:,.2f}"
