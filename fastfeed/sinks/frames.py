"""Rows as tables of other libraries: Arrow, pandas and polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import ConfigError
from fastfeed.sinks import arrow
from fastfeed.sinks.columns import (
    checked_symbols,
    checked_zone,
    columns_of,
    compact,
    copied,
    rows_1d,
    stream_of,
)
from fastfeed.stream import Rows

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["to_arrow", "to_pandas", "to_polars"]

_NOT_A_TIME = np.iinfo(np.int64).min  # what NumPy and pandas take for no time


def to_arrow(rows: Rows | np.void, symbols: SymbolTable, *, tz: str = "UTC") -> pa.Table:
    """Return rows as a pyarrow Table.

    Everything is copied once, from the rows into the columns: the table holds when the rows are overwritten.
    The columns are what NumPy (``table["price"].chunk(0).to_numpy()``), polars and others take without a copy.

    Parameters
    ----------
    rows : array of rows, or a single row
        Of any stream: what readers, callbacks, `latest()` and pulls return, and slices of it.
    symbols : SymbolTable
        What `symbol` of the rows refers to: ``feed.symbols``, ``hub.symbols``.
    tz : str
        The time zone in which times are shown, such as ``"Asia/Hong_Kong"``; it does not change them.

    Returns
    -------
    pyarrow.Table
        In one piece. The symbol comes first, as text in a dictionary. Times are ``timestamp[ns, tz]``, null where
        they are unknown: `recv_time`, `time`, `gateway_time` for `recv_ns`, `time_ns`, `gateway_ns`. The field `kind`
        is the column `type`. Other numbers stay as they are, floats NaN where they were not sent. Arrays of books and
        broker queues are lists of a fixed size. The metadata of a field say its `unit` and a `description`.

    Raises
    ------
    TypeError
        These are no rows of a stream, or no symbols.
    ValueError
        A row has a symbol that is not in the table.
    ConfigError
        There is no such time zone, or pyarrow is not installed.
    """
    return arrow.table_of(rows, checked_symbols(symbols), tz=tz)


def to_pandas(rows: Rows | np.void, symbols: SymbolTable, *, tz: str = "UTC") -> pd.DataFrame:
    """Return rows as a pandas DataFrame.

    Everything is copied once, from the rows into the columns (arrays of books and queues twice): the frame holds
    when the rows are overwritten. pandas alone is needed, not pyarrow.

    Parameters
    ----------
    rows : array of rows, or a single row
    symbols : SymbolTable
        What `symbol` of the rows refers to.
    tz : str
        The time zone in which times are shown.

    Returns
    -------
    pandas.DataFrame
        The columns of `to_arrow`, but: `symbol` is a category; times are ``datetime64[ns, tz]``, NaT where they are
        unknown; an array is a column for each element, `bid_price_1` being the best level.

    Raises
    ------
    TypeError
        These are no rows of a stream, or no symbols.
    ValueError
        A row has a symbol that is not in the table.
    ConfigError
        There is no such time zone, or pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ConfigError("to_pandas needs the package pandas: pip install pandas") from error
    kind = pd.DatetimeTZDtype("ns", checked_zone(tz))
    rows = rows_1d(rows)
    columns = columns_of(*stream_of(rows))
    copies, unknown = copied(rows, columns)
    found: dict[str, Any] = {}
    for column in columns:
        values = copies.pop(column.name)
        if column.field == "symbol":
            codes, names = compact(values, checked_symbols(symbols))
            found[column.name] = pd.Categorical.from_codes(codes, names)
        elif column.is_time:
            if unknown[column.name]:
                values[values == 0] = _NOT_A_TIME
            found[column.name] = pd.Series(values, dtype=kind, copy=False)
        elif column.length:
            for number, level in enumerate(np.ascontiguousarray(values.T), 1):
                found[f"{column.name}_{number}"] = level
        else:
            found[column.name] = values
    return pd.DataFrame(found, copy=False)


def to_polars(rows: Rows | np.void, symbols: SymbolTable, *, tz: str = "UTC") -> pl.DataFrame:
    """Return rows as a polars DataFrame.

    Everything is copied once, from the rows into the columns of `to_arrow`, which polars takes as they are, the
    symbols excepted. Needs polars and pyarrow.

    Parameters
    ----------
    rows : array of rows, or a single row
    symbols : SymbolTable
        What `symbol` of the rows refers to.
    tz : str
        The time zone in which times are shown.

    Returns
    -------
    polars.DataFrame
        The columns of `to_arrow`; `symbol` is a Categorical, arrays of books and queues are Arrays.

    Raises
    ------
    TypeError
        These are no rows of a stream, or no symbols.
    ValueError
        A row has a symbol that is not in the table.
    ConfigError
        There is no such time zone, or one of the packages is not installed.
    """
    try:
        import polars as pl
    except ImportError as error:
        raise ConfigError(
            "to_polars needs the package polars: pip install polars 'fastfeed[arrow]'"
        ) from error
    return pl.DataFrame(to_arrow(rows, symbols, tz=tz))
