"""CSV files as ``fastfeed watch`` writes them, to be converted from and into: the very same rows come back.

What CSV has no text for does not come back: levels of a book beyond those that are real, and codes without a name.
"""

from __future__ import annotations

import contextlib
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastfeed import schema
from fastfeed._core import ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.cli.columns import FLAG_WORDS, WORDS, YES_NO, Texts, texts_of
from fastfeed.errors import StorageError
from fastfeed.sinks.arrow import load_pyarrow
from fastfeed.sinks.columns import checked_zone
from fastfeed.sinks.convert import MOST_SYMBOLS, FileTarget, Part
from fastfeed.sinks.recording_folder import why
from fastfeed.stream import Rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CsvSource", "CsvTarget", "fields_of"]

_BLOCK_BYTES = 1 << 22  # of a file, read at once
_MOST_HEADER_BYTES = 1 << 19
_UNKNOWN_DAYS = -(2**31)
_CHUNK = 4096  # rows that become text at once
_ODD_LOTS = 1
_NUMBERS: dict[str, dict[str, int]] = {
    name: {"": 0, **{word: number for number, word in words.items()}}
    for name, words in WORDS.items()
    if name in ("side", "session", "adjust")
}


class CsvTarget(FileTarget):
    """A CSV file; `tz` is that of the column `time`."""

    _output: BinaryIO
    _columns: tuple[Texts, ...]

    def _begin(self, kind: str) -> None:
        columns = texts_of(kind, schema.dtype(kind, self._depth), self._symbols, sessions=True)
        if checked_zone(self._tz) != "UTC":
            columns["time"] = _times_in(zoneinfo.ZoneInfo(self._tz))
        self._columns = tuple(columns.values())
        self._output = open(self._file.part, "wb")  # noqa: SIM115
        self._output.write((",".join(columns) + "\n").encode())

    def _append(self, rows: Rows) -> None:
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            texts = [column(some) for column in self._columns]
            lines = [*map(",".join, zip(*texts, strict=True)), ""]
            self._output.write("\n".join(lines).encode())

    def _end(self, *, completes: bool) -> None:
        self._output.close()


def _times_in(zone: zoneinfo.ZoneInfo) -> Texts:
    def texts(rows: Rows) -> Iterable[str]:
        time_ns = rows["time_ns"]
        found: list[str] = np.datetime_as_string(
            (time_ns // 1000).view("M8[us]"),
            timezone=zone,
        ).tolist()
        for i in np.flatnonzero(time_ns == 0).tolist():
            found[i] = ""
        return found

    return texts


def fields_of(path: Path) -> list[str] | None:
    """Return the names of a CSV file's columns; None: it is no CSV file with rows."""
    with open(path, "rb") as file:
        line, newline, _ = file.read(_MOST_HEADER_BYTES).partition(b"\n")
    try:
        names = line.decode("utf-8-sig").strip().split(",")
    except UnicodeDecodeError:
        return None
    return names if newline and "symbol" in names else None


class CsvSource:
    """A CSV file of any kind.

    The column `time` is passed over: `time_ns` says it exactly. Ticks need no session.

    Parameters
    ----------
    path : Path

    Raises
    ------
    StorageError
        It cannot be read, or its columns are not those of a stream.
    """

    damage = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.symbols = SymbolTable(MOST_SYMBOLS)
        self.done: float | None = 0.0
        with self._reading():
            names = fields_of(path) or []
            self.kind, self.depth = _kind_of(names)
            self._row = schema.dtype(self.kind, self.depth)
            self._file = load_pyarrow().OSFile(str(path), "rb")
            try:
                self._batches = self._open(names)
                first = next(self._batches, None)
            except BaseException:
                self._file.close()
                raise
        self._first = first
        if self.kind == "books" and first is not None and first["kind"][0] == _ODD_LOTS:
            self.kind = "odd_books"
        self.kinds: Sequence[str] = (self.kind,)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            raise StorageError(f"cannot read {self.path}: {error}") from error
        except (load_pyarrow().ArrowException, OSError) as error:
            raise StorageError(f"cannot read {self.path}: {why(error)}") from error

    def _open(self, names: list[str]) -> Iterator[Rows]:
        pa = load_pyarrow()
        from pyarrow import csv

        columns = {
            name: kind for name, kind in _columns(pa, self.kind, self._row).items() if name in names
        }
        reader = csv.open_csv(
            self._file,
            read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=columns,
                include_columns=list(columns),
                null_values=[""],
                strings_can_be_null=False,
                true_values=["true"],
                false_values=["false"],
            ),
        )
        size = max(self._file.size(), 1)
        for batch in reader:
            if batch.num_rows:
                yield _rows(pa, batch, self._row, self.symbols)
            self.done = min(self._file.tell() / size, 1.0)

    def parts(self, wanted: Sequence[str]) -> Iterator[Part]:
        """Yield all rows."""
        with self._file:
            first, self._first = self._first, None
            if first is not None:
                yield Part(self.kind, self.depth, first)
            while True:
                with self._reading():
                    rows = next(self._batches, None)
                if rows is None:
                    return
                yield Part(self.kind, self.depth, rows)


def _kind_of(names: list[str]) -> tuple[str, int]:
    """Return whose columns these are; StorageError."""
    if len(set(names)) != len(names):
        raise StorageError("a column is there twice")
    depth = sum(name.startswith("bid_price_") for name in names) or schema.BOOK_DEPTH
    fitting = []
    for stream in schema.STREAMS if depth <= ring.MAX_DEPTH else ():
        columns = texts_of(stream, schema.dtype(stream, depth), SymbolTable(1))
        if set(columns) - {"time"} <= set(names):
            fitting.append((len(columns), -schema.STREAMS.index(stream), stream))
    if not fitting:
        raise StorageError(
            f"expected the columns of a stream as fastfeed watch --format csv writes them, got "
            f"{', '.join(names[:8])}{', ...' * (len(names) > 8)}"
        )
    return max(fitting)[2], depth


def _columns(pa: Any, stream: str, row: np.dtype[Any]) -> dict[str, Any]:
    """Return the type of each column that is read."""
    found: dict[str, Any] = {}
    for name in texts_of(stream, row, SymbolTable(1), sessions=True):
        field = name if name in (row.names or ()) else name.rpartition("_")[0]
        if name == "symbol" or name in _NUMBERS or name == "flags":
            found[name] = pa.string()
        elif name in YES_NO:
            found[name] = pa.bool_()
        elif field in (row.names or ()):
            found[name] = pa.from_numpy_dtype(row[field].base)
    return found


def _rows(pa: Any, batch: pa.RecordBatch, row: np.dtype[Any], symbols: SymbolTable) -> Rows:
    rows: Rows = np.zeros(batch.num_rows, row)
    for name in batch.schema.names:
        values = batch.column(name)
        if name == "symbol":
            rows[name] = _mapped(values, _interned(symbols), name)
        elif name == "flags":
            rows[name] = _mapped(values, _flags, name)
        elif name in _NUMBERS:
            rows[name] = _mapped(values, _number_of(_NUMBERS[name]), name)
        elif name in (row.names or ()):
            unknown = _UNKNOWN_DAYS if name == "expiry_days" else None
            rows[name] = _numbers(pa, values, unknown, name)
        else:
            field, _, number = name.rpartition("_")
            rows[field][:, int(number) - 1] = _numbers(pa, values, 0, name)
    return rows


def _numbers(pa: Any, values: Any, unknown: int | None, name: str) -> NDArray[Any]:
    if values.null_count:
        if pa.types.is_floating(values.type):
            values = values.fill_null(np.nan)
        elif unknown is None:
            raise StorageError(f"the column {name} is empty in a row")
        else:
            values = values.fill_null(unknown)
    found: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return found


def _mapped(values: Any, number: Callable[[str], int], name: str) -> NDArray[Any]:
    """Return the numbers of words, each looked up once."""
    found = values.dictionary_encode()
    try:
        numbers = [number(word) for word in found.dictionary.to_pylist()]
    except (KeyError, ValueError) as error:
        raise StorageError(f"the column {name}: {error}") from error
    mapped: NDArray[Any] = np.array(numbers, np.int64)[found.indices.to_numpy()]
    return mapped


def _interned(symbols: SymbolTable) -> Callable[[str], int]:
    return symbols.intern


def _number_of(numbers: Mapping[str, int]) -> Callable[[str], int]:
    def number(word: str) -> int:
        if word not in numbers:
            raise ValueError(f"expected one of {', '.join(filter(None, numbers))}, got {word!r}")
        return numbers[word]

    return number


def _flags(words: str) -> int:
    found = 0
    for word in words.split("|") if words else ():
        if word not in FLAG_WORDS:
            raise ValueError(f"expected flags ({', '.join(FLAG_WORDS)}), got {word!r}")
        found |= FLAG_WORDS[word]
    return found
