"""Rows as Arrow, and back.

A schema for each kind of rows; `fastfeed.sinks.columns` says how columns are called and what they mean. What is
copied is copied once, from the rows into the buffers of the columns; Arrow takes these as they are.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfeed import schema
from fastfeed._core import ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import ConfigError, StorageError
from fastfeed.sinks.columns import (
    Column,
    blocks,
    checked_symbols,
    checked_zone,
    columns_of,
    compact,
    copied,
    no_such_symbol,
    rows_1d,
    stream_of,
)
from fastfeed.stream import Rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ARROW_LAYOUT",
    "ArrowRows",
    "array_of",
    "arrow_schema",
    "kind_of",
    "load_pyarrow",
    "numbers_of",
    "parquet_options",
    "rows_of",
    "table_of",
    "texts",
]

#: The version of the columns, in the metadata of each schema. Another one: columns that mean something else.
ARROW_LAYOUT = 1

_LAYOUT_KEY, _KIND_KEY, _DEPTH_KEY = b"fastfeed.layout", b"fastfeed.kind", b"fastfeed.depth"


def load_pyarrow() -> Any:
    """Import pyarrow and return it.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigError(
            "Arrow needs the package pyarrow: pip install 'fastfeed[arrow]'"
        ) from error
    return pyarrow


def arrow_schema(stream: str, depth: int = schema.BOOK_DEPTH, *, tz: str = "UTC") -> pa.Schema:
    """Return the Arrow schema of a stream's rows.

    The symbol comes first, as text in a dictionary; the others follow in the order of the rows. Times are
    ``timestamp[ns, tz]`` and null where they are unknown, called `recv_time`, `time`, `gateway_time`, ...; `kind` is
    called `type`. Other numbers are what they are in the rows, floats NaN where they were not sent. The arrays of
    books and broker queues are lists of a fixed size.

    The metadata of each field say its `unit` and a `description`; those of the schema `fastfeed.layout` (the version
    of the columns), `fastfeed.kind` and `fastfeed.depth`.

    Parameters
    ----------
    stream : str
    depth : int
        Levels of a book, 1 to 1000.
    tz : str
        The time zone in which times are shown; it does not change them.

    Raises
    ------
    ValueError
        There is no such stream, or the depth is out of range.
    ConfigError
        There is no such time zone, or pyarrow is not installed.
    """
    pa = load_pyarrow()
    tz = checked_zone(tz)
    columns = columns_of(stream, depth)
    about = {
        _LAYOUT_KEY: str(ARROW_LAYOUT),
        _KIND_KEY: stream,
        _DEPTH_KEY: str(depth),
    }
    return pa.schema([_field(pa, column, tz) for column in columns], metadata=about)


def _field(pa: Any, column: Column, tz: str) -> Any:
    if column.field == "symbol":
        kind = pa.dictionary(pa.int32(), pa.string())
    elif column.is_time:
        kind = pa.timestamp("ns", tz=tz)
    else:
        kind = pa.from_numpy_dtype(column.dtype)
        if column.length:
            kind = pa.list_(kind, column.length)
    about = {"unit": column.unit, "description": column.description}
    return pa.field(column.name, kind, metadata=about)


def parquet_options(rows: pa.Schema) -> dict[str, Any]:
    """Return how pyarrow writes a stream's rows into Parquet, as arguments of `ParquetWriter` beside their schema.

    Times and sequences as differences, everything else by dictionaries where these help: of a day of ticks that takes
    half the time and two thirds of the room of what is done otherwise.
    """
    types = load_pyarrow().types
    differences = {}
    dictionaries = []
    for column in rows:
        if types.is_timestamp(column.type) or types.is_int64(column.type):
            differences[column.name] = "DELTA_BINARY_PACKED"
        else:
            is_list = types.is_fixed_size_list(column.type)
            dictionaries.append(f"{column.name}.list.element" if is_list else column.name)
    return {
        "compression": "zstd",
        "use_dictionary": dictionaries,
        "column_encoding": differences,
    }


class ArrowRows:
    """Rows of a stream as Arrow record batches.

    Parameters
    ----------
    stream : str
        Whose rows.
    symbols : SymbolTable
        What their `symbol` refers to.
    depth : int
        Levels of a book.
    tz : str
        The time zone in which times are shown.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of every batch; see `arrow_schema`.

    Notes
    -----
    The dictionary of the symbols is the whole table in the order of the ids. It is the same object in all batches
    until there are more symbols; then there is another one that begins with those of the first.
    """

    def __init__(
        self,
        stream: str,
        symbols: SymbolTable,
        depth: int = schema.BOOK_DEPTH,
        *,
        tz: str = "UTC",
    ) -> None:
        self._pa = load_pyarrow()
        self.schema = arrow_schema(stream, depth, tz=tz)
        self._columns = columns_of(stream, depth)
        self._symbols = symbols
        self._names = texts([])

    def batch(self, rows: Rows) -> pa.RecordBatch:
        """Return rows as a record batch.

        Everything is copied: the batch does not refer to the ring, and `intact()` of the reader tells afterwards
        whether the rows were whole.

        Parameters
        ----------
        rows : array of rows
            Of this stream, a view of the ring for example.

        Raises
        ------
        ValueError
            A row has a symbol that is not in the table.
        """
        found, unknown = copied(rows, self._columns, _empty)
        ids = found["symbol"]
        highest = int(ids.max(initial=0))
        if len(ids) and highest >= len(self._names):
            self._learn()
            if highest >= len(self._names):
                raise ValueError(no_such_symbol(highest, len(self._names)))
        return self._batch(found, unknown, self._names)

    def _batch(
        self, found: Mapping[str, NDArray[Any]], unknown: Mapping[str, int], names: Any
    ) -> Any:
        pa = self._pa
        arrays = []
        for column, field in zip(self._columns, self.schema, strict=True):
            values = found[column.name]
            if column.field == "symbol":
                codes = pa.Array.from_buffers(
                    pa.int32(), len(values), [None, pa.py_buffer(values)], 0
                )
                array = pa.DictionaryArray.from_arrays(codes, names, safe=False)
            else:
                array = array_of(field.type, values, unknown.get(column.name, 0))
            arrays.append(array)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _learn(self) -> None:
        """Add the symbols that are new; what there was is copied, not asked for again."""
        pa, symbols, known = self._pa, self._symbols, len(self._names)
        new = texts([symbols[i] for i in range(known, len(symbols))])
        self._names = pa.concat_arrays([self._names, new]) if known else new


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array in memory of Arrow's pool, which has no page faults where it was used before."""
    count = math.prod(shape)
    buffer = load_pyarrow().allocate_buffer(count * dtype.itemsize)
    array: NDArray[Any] = np.frombuffer(buffer, dtype, count).reshape(shape)
    return array


def array_of(kind: Any, values: NDArray[Any], unknown: int = 0) -> Any:
    """Return numbers as an array of Arrow, in the same memory; of so many that are 0 the value is not known."""
    pa = load_pyarrow()
    if pa.types.is_fixed_size_list(kind):
        child = array_of(kind.value_type, values.reshape(-1))
        return pa.Array.from_buffers(kind, len(values), [None], 0, children=[child])
    valid = None
    if unknown:
        valid = pa.py_buffer(np.packbits(values != 0, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(values)], unknown)


def numbers_of(values: Any) -> NDArray[Any]:
    """Return the whole numbers or times of an array of Arrow, in the same memory; where they are null, any.

    (`to_numpy` would import pandas, which holds up who takes rows.)
    """
    dtype = np.dtype(f"i{values.type.bit_width // 8}")
    _, data = values.buffers()
    numbers: NDArray[Any] = np.frombuffer(data, dtype, len(values), values.offset * dtype.itemsize)
    return numbers


def texts(names: Sequence[str]) -> pa.StringArray:
    """Return texts as an array of Arrow. (`pyarrow.array` would import pandas, which holds up an event loop.)"""
    pa = load_pyarrow()
    encoded = [name.encode() for name in names]
    offsets = np.zeros(len(names) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return pa.StringArray.from_buffers(
        len(names), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))
    )


def table_of(
    rows: Rows | np.void, symbols: SymbolTable, *, tz: str = "UTC", stream: str | None = None
) -> pa.Table:
    """Return rows of any stream as a table whose dictionary has the symbols of these rows only."""
    pa = load_pyarrow()
    rows = rows_1d(rows)
    found_stream, depth = stream_of(rows)
    stream = stream or found_stream
    maker = ArrowRows(stream, symbols, depth, tz=tz)
    found, unknown = copied(rows, columns_of(stream, depth), _empty)
    found["symbol"], names = compact(found["symbol"], symbols)
    batch = maker._batch(found, unknown, texts(names))
    return pa.Table.from_batches([batch])


def rows_of(data: pa.RecordBatch | pa.Table, symbols: SymbolTable) -> Rows:
    """Return the rows of a batch or a table: those that it was made of, bit for bit.

    The way back of `ArrowRows.batch` and `fastfeed.to_arrow`. The columns may come in another order, and others may be
    among them. Symbols that are not in the table get their ids now. A float that is null is NaN.

    Parameters
    ----------
    data : pyarrow.RecordBatch or pyarrow.Table
    symbols : SymbolTable
        Of this process.

    Returns
    -------
    array of rows
        Yours.

    Raises
    ------
    TypeError
        That is no batch and no table, or no symbols.
    StorageError
        These are not the columns of a stream, a value does not fit into its field, or a newer version wrote them.
    """
    pa = load_pyarrow()
    if not isinstance(data, pa.RecordBatch | pa.Table):
        raise TypeError(
            f"expected a batch or a table of pyarrow, got {type(data).__module__}.{type(data).__qualname__}"
        )
    stream, depth = kind_of(data.schema)
    checked_symbols(symbols)
    rows: Rows = np.zeros(data.num_rows, schema.dtype(stream, depth))
    columns = columns_of(stream, depth)
    missing = [column.name for column in columns if column.name not in data.schema.names]
    if missing:
        raise StorageError(f"expected the columns of {stream}, missing: {', '.join(missing)}")
    batches = data.to_batches() if isinstance(data, pa.Table) else [data]
    end = 0
    for batch in batches:
        begin, end = end, end + batch.num_rows
        _fill(pa, rows[begin:end], batch, columns, symbols, stream)
    return rows


def kind_of(found: pa.Schema) -> tuple[str, int]:
    """Return whose rows a schema describes: the name of the stream and the depth of its books.

    By its metadata, or without these by the names of its columns.

    Raises
    ------
    StorageError
        They are no stream's, or it was written by a newer version.
    """
    about = found.metadata or {}
    layout = about.get(_LAYOUT_KEY)
    if layout is not None and layout != str(ARROW_LAYOUT).encode():
        raise StorageError(
            f"expected columns of the layout {ARROW_LAYOUT}, got {layout.decode(errors='replace')}: "
            "it was written by another version of fastfeed"
        )
    twice = [name for name, count in collections.Counter(found.names).items() if count > 1]
    if twice:
        raise StorageError(f"expected each column once, there is another one of {', '.join(twice)}")
    depth = schema.BOOK_DEPTH
    if "bid_price" in found.names:
        depth = getattr(found.field("bid_price").type, "list_size", 0)
    if 1 <= depth <= ring.MAX_DEPTH:
        stream = about.get(_KIND_KEY, b"").decode(errors="replace")
        if stream in schema.STREAMS:
            return stream, depth
        # Some streams have all the columns of another one and more.
        fitting = [
            stream
            for stream in schema.STREAMS
            if {column.name for column in columns_of(stream, depth)} <= set(found.names)
        ]
        if fitting:
            return max(fitting, key=lambda stream: len(columns_of(stream, depth))), depth
    raise StorageError(
        f"expected the columns of a stream ({', '.join(schema.STREAMS)}), got "
        f"{', '.join(found.names[:8])}{', ...' * (len(found.names) > 8)}"
    )


def _fill(
    pa: Any,
    rows: Rows,
    batch: Any,
    columns: tuple[Column, ...],
    symbols: SymbolTable,
    stream: str,
) -> None:
    found = []
    for column in columns:
        values = batch.column(column.name)
        try:
            if column.field == "symbol":
                found.append(("symbol", _ids(pa, values, symbols)))
            else:
                found.append((column.field, _values(pa, values, column)))
        except (pa.ArrowException, ValueError) as error:
            raise StorageError(
                f"the column {column.name} is not that of {stream}: {error}"
            ) from error
    for block in blocks(rows):
        part = rows[block]
        for field, array in found:
            part[field] = array[block]


def _values(pa: Any, values: Any, column: Column) -> NDArray[Any]:
    """Return a column as an array of NumPy, without a copy where it has the right type and no nulls."""
    kind = pa.from_numpy_dtype(column.dtype)
    if column.length:
        if values.null_count:
            raise ValueError("it has nulls")
        if not pa.types.is_fixed_size_list(values.type):
            values = values.cast(pa.list_(kind, column.length))
        if values.type.list_size != column.length:
            raise ValueError(f"expected lists of {column.length}, got {values.type.list_size}")
        flat = _numbers(pa, values.flatten(), kind)
        return flat.reshape(len(values), column.length)
    if column.is_time:
        if not pa.types.is_timestamp(values.type):
            raise ValueError(f"expected timestamps, got {values.type}")
        if values.type.unit != "ns":
            values = values.cast(pa.timestamp("ns", tz=values.type.tz))
        values = values.cast(kind)
        if values.null_count:
            values = values.fill_null(0)
    return _numbers(pa, values, kind)


def _numbers(pa: Any, values: Any, kind: Any) -> NDArray[Any]:
    if values.type != kind:
        values = values.cast(kind)
    if values.null_count:
        if not pa.types.is_floating(kind):
            raise ValueError("it has nulls")
        values = values.fill_null(np.nan)
    array: NDArray[Any] = values.to_numpy(zero_copy_only=True)
    return array


def _ids(pa: Any, values: Any, symbols: SymbolTable) -> NDArray[Any]:
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    if values.null_count or values.dictionary.null_count:
        raise ValueError("it has nulls")
    codes = _numbers(pa, values.indices, pa.int64())
    if not len(codes):
        return codes
    if codes.min() < 0 or codes.max() >= len(values.dictionary):
        raise ValueError(f"its codes go beyond its dictionary of {len(values.dictionary)}")
    occurs = np.zeros(len(values.dictionary), bool)
    occurs[codes] = True
    used = np.flatnonzero(occurs)
    names = values.dictionary.take(array_of(pa.int64(), used)).to_pylist()
    ids = np.zeros(len(occurs), np.uint32)
    ids[used] = [symbols.intern(name) for name in names]
    found: NDArray[Any] = ids[codes]
    return found
