"""The fields of a stream's rows as columns of text (CSV) and as values (JSON), complete and exact.

Ticks have the columns they always had, those of LongPort their session behind them. The rows of other streams:
symbol, time and session first, then what the stream is about in the order of its dtype, then sequence, flags and the
times in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastfeed._core.symbols import SymbolTable
from fastfeed.protocols import longport_codes
from fastfeed.protocols.opend_codes import ADJUSTMENTS, INTERVALS
from fastfeed.schema import Flags, Session
from fastfeed.stream import Rows

__all__ = [
    "FIELDS",
    "FLAG_WORDS",
    "INTERVAL_NAMES",
    "SESSION_NAMES",
    "WORDS",
    "YES_NO",
    "Texts",
    "names_of",
    "quoted",
    "texts_of",
    "values_of",
]

#: The fields of a tick, in the order of the columns.
FIELDS = (
    "symbol",
    "time",
    "price",
    "volume",
    "turnover",
    "side",
    "seq",
    "kind",
    "flags",
    "recv_ns",
    "time_ns",
    "gateway_ns",
)
_LAST = ("seq", "flags", "recv_ns", "time_ns", "gateway_ns")

#: Names of bars by their length.
INTERVAL_NAMES = {
    **{interval.seconds: interval.name for interval in longport_codes.INTERVALS.values()},
    **{interval.seconds: interval.name for interval in INTERVALS.values()},
}
#: Names of sessions by their number; the unknown one has none.
SESSION_NAMES = {session.value: session.name.lower() for session in Session if session}
#: What numbers are called, by column; what has no name is empty.
WORDS: dict[str, dict[int, str]] = {
    "side": {1: "buy", -1: "sell"},
    "session": SESSION_NAMES,
    "interval": INTERVAL_NAMES,
    "adjust": {number: name for name, number in ADJUSTMENTS.items()},
    "flags": {
        value: "|".join(flag.name.lower() for flag in Flags if value & flag and flag.name)
        for value in range(1, 256)
    },
}
#: Columns that are true or false.
YES_NO = ("suspended", "blank")
#: The flags by their names.
FLAG_WORDS = {flag.name.lower(): int(flag) for flag in Flags if flag.name}
_UNKNOWN_DAYS = -(2**31)

Texts = Callable[[Rows], Iterable[str]]
Values = Callable[[Rows], list[Any]]


def names_of(stream: str, dtype: np.dtype[Any], *, sessions: bool = False) -> tuple[str, ...]:
    """Return the fields of a stream's rows in the order of the columns; `sessions`: of ticks as well."""
    if stream == "ticks":
        return (*FIELDS, "session") if sessions else FIELDS
    names = [name for name in dtype.names or () if name not in (*_LAST, "symbol", "session")]
    first = ["symbol", "time", "session"]
    if stream == "bars":
        first.insert(2, "interval")
    return (*first, *names, *_LAST)


def texts_of(
    stream: str, dtype: np.dtype[Any], symbols: SymbolTable, *, sessions: bool = False
) -> dict[str, Texts]:
    """Return the columns of a CSV file: an array is as many columns as it has elements."""
    found: dict[str, Texts] = {}
    names = _SymbolNames(symbols, quoted)
    for name in names_of(stream, dtype, sessions=sessions):
        shape = dtype[name].shape if name in (dtype.names or ()) else ()
        if shape:
            for i in range(shape[0]):
                found[f"{name}_{i + 1}"] = _element_texts(name, i, dtype[name].base.kind == "f")
        else:
            found[name] = _texts(name, dtype, names)
    return found


def values_of(
    stream: str, dtype: np.dtype[Any], symbols: SymbolTable, *, sessions: bool = False
) -> dict[str, Values]:
    """Return the fields of a JSON object: an array is a list of the elements that are real."""
    names = _SymbolNames(symbols, str)
    return {
        name: _values(name, dtype, names) for name in names_of(stream, dtype, sessions=sessions)
    }


def quoted(text: str) -> str:
    """Return a text as a CSV cell."""
    if any(c in text for c in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


class _SymbolNames:
    """The symbols of rows; learns those that come later."""

    def __init__(self, symbols: SymbolTable, convert: Callable[[str], str]) -> None:
        self._symbols = symbols
        self._convert = convert
        self._names: list[str] = []

    def __call__(self, rows: Rows) -> list[str]:
        ids = rows["symbol"].tolist()
        names = self._names
        if len(names) < len(self._symbols):
            names += map(self._convert, map(self._symbols.__getitem__, self._new()))
        return [names[i] for i in ids]

    def _new(self) -> range:
        return range(len(self._names), len(self._symbols))


def _texts(name: str, dtype: np.dtype[Any], symbols: _SymbolNames) -> Texts:
    special = symbols if name == "symbol" else _special(name, "", str, ("false", "true"))
    if special is not None:
        return special
    if dtype[name].kind == "f":
        return lambda rows: _reprs(rows[name])
    return lambda rows: map(str, rows[name].tolist())


def _values(name: str, dtype: np.dtype[Any], symbols: _SymbolNames) -> Values:
    special = symbols if name == "symbol" else _special(name, None, int, (False, True))
    if special is not None:
        return special
    if dtype[name].shape:
        side = _side(name)
        return lambda rows: [
            values[:count]
            for values, count in zip(rows[name].tolist(), rows[side].tolist(), strict=True)
        ]
    return lambda rows: rows[name].tolist()


def _special(
    name: str, unknown: Any, number: Callable[[int], Any], truth: tuple[Any, Any]
) -> Values | None:
    """Return the function for a field that is not simply a number."""
    if name == "time":
        return lambda rows: _times(rows, unknown)
    if name in WORDS:
        words, source = WORDS[name], "interval_s" if name == "interval" else name
        return lambda rows: [words.get(value, unknown) for value in rows[source].tolist()]
    if name in YES_NO:
        return lambda rows: [truth[value != 0] for value in rows[name].tolist()]
    if name == "expiry_days":
        return lambda rows: [
            unknown if value == _UNKNOWN_DAYS else number(value) for value in rows[name].tolist()
        ]
    return None


def _element_texts(name: str, i: int, is_float: bool) -> Texts:
    side = _side(name)

    def texts(rows: Rows) -> list[str]:
        column = rows[name][:, i]
        found = _reprs(column) if is_float else list(map(str, column.tolist()))
        if not (real := rows[side] > i).all():
            for j in np.flatnonzero(~real).tolist():
                found[j] = ""
        return found

    return texts


def _side(name: str) -> str:
    """Return the field that counts the real elements of an array."""
    return f"{name[:3]}s"


def _times(rows: Rows, unknown: Any) -> list[Any]:
    time_ns = rows["time_ns"]
    texts: list[Any] = np.datetime_as_string(
        (time_ns // 1000).view("M8[us]"), timezone="UTC"
    ).tolist()
    if not time_ns.all():
        for i in np.flatnonzero(time_ns == 0).tolist():
            texts[i] = unknown
    return texts


def _reprs(values: Any) -> list[str]:
    texts = list(map(repr, values.tolist()))
    missing = np.isnan(values)
    if missing.any():
        for i in np.flatnonzero(missing).tolist():
            texts[i] = ""
    return texts
