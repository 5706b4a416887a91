"""Rows as columns: what each column is called, what it means, and its values as one array each.

Columns have the names of the rows' fields, but for two things. Times are timestamps there and no numbers of
nanoseconds: `recv_ns` is `recv_time`, `time_ns` is `time`. And `kind` is `type`, because the folders of a recording
are called ``kind=ticks``.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeed import schema
from fastfeed._core import ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import ConfigError
from fastfeed.stream import Rows

__all__ = [
    "Column",
    "blocks",
    "checked_symbols",
    "checked_zone",
    "columns_of",
    "compact",
    "copied",
    "no_such_symbol",
    "rows_1d",
    "stream_of",
]

_BLOCK_BYTES = 1 << 20  # of rows, which stay in the cache while their columns are copied
_ODD_LOTS = 1

_CODE = "code"
_PRICE = "currency"
_VOLUME = "units traded"
_PERCENT = "percent"
_YES_NO = "0 or 1"
_TIME = "time"
_RATIO = "ratio"
_COUNT = "count"

#: Unit and description by field; of a field that differs between the streams by ``stream.field``.
_ABOUT = {
    "symbol": ("text", "what the row is about, TICKER.REGION"),
    "recv_ns": (_TIME, "the bytes arrived here; the same for all rows of a read"),
    "time_ns": (_TIME, "the exchange's time; null: unknown"),
    "gateway_ns": (_TIME, "the vendor's gateway got it; null: unknown"),
    "seq": ("number", "the vendor's sequence; -1: none"),
    "session": (_CODE, "0 unknown, 1 regular, 2 before, 3 after, 4 overnight"),
    "flags": ("bits", "1 from a cache, 2 fetched later, 4 stale, 8 after a gap"),
    "price": (_PRICE, "of one unit"),
    "volume": (_VOLUME, "traded; of a tick, of this trade"),
    "turnover": (_PRICE, "traded; of a tick, of this trade"),
    "side": (_CODE, "1 buyer, -1 seller, 0 neutral or unknown"),
    "kind": (_CODE, "as the vendor numbers it"),
    "ticks.kind": (
        _CODE,
        "type of the trade as the vendor numbers it, 255: larger than that; LongPort's letter",
    ),
    "quotes.kind": ("bits", "1 option, 2 future, 4 warrant; 0 otherwise"),
    "books.kind": (_CODE, "0 ordinary, 1 odd lots"),
    "bars.kind": (_CODE, "the vendor's number of the interval"),
    "last": (_PRICE, "the last price"),
    "open": (_PRICE, "the first price"),
    "high": (_PRICE, "the highest price"),
    "low": (_PRICE, "the lowest price"),
    "close": (_PRICE, "the last price"),
    "prev_close": (_PRICE, "the close before"),
    "change": (_PRICE, "of the last price since the close before"),
    "change_rate": (_PERCENT, "change since the close before"),
    "amplitude": (_PERCENT, "from low to high"),
    "turnover_rate": (_PERCENT, "volume of all that is issued"),
    "bars.turnover_rate": ("fraction", "volume of all that is issued"),
    "price_spread": (_PRICE, "tick size"),
    "listed_ns": (_TIME, "day of listing, midnight of the market; null: unknown"),
    "status": (_CODE, "of the security, as the vendor numbers it"),
    "suspended": (_YES_NO, "1: trading is suspended"),
    "expiry_days": ("days", "to expiry, negative when past; -2147483648: unknown"),
    "dark_status": (_CODE, "grey market, as the vendor numbers it"),
    "option_style": (_CODE, "American, European, ... as the vendor numbers it"),
    "index_option_type": (_CODE, "as the vendor numbers it"),
    "strike_price": (_PRICE, "of an option or a warrant"),
    "contract_size": (_VOLUME, "of one contract"),
    "open_interest": ("contracts", "not yet closed"),
    "net_open_interest": ("contracts", "not yet closed, net"),
    "open_interest_change": ("contracts", "since the day before"),
    "implied_volatility": (_PERCENT, "of an option or a warrant"),
    "premium": (_PERCENT, "of an option or a warrant"),
    "delta": (_RATIO, "of an option or a warrant"),
    "gamma": (_RATIO, "of an option"),
    "vega": (_RATIO, "of an option"),
    "theta": (_RATIO, "of an option"),
    "rho": (_RATIO, "of an option"),
    "contract_nominal_value": (_PRICE, "of one contract"),
    "owner_lot_multiplier": (_RATIO, "lots of the owner for one contract"),
    "contract_multiplier": (_RATIO, "of a contract"),
    "last_settle_price": (_PRICE, "the settlement before"),
    "bid_ns": (_TIME, "the vendor's server got the bid side; null: unknown"),
    "ask_ns": (_TIME, "the vendor's server got the ask side; null: unknown"),
    "bids": (_COUNT, "levels of the bid side that are real"),
    "asks": (_COUNT, "levels of the ask side that are real"),
    "brokers.bids": (_COUNT, "places of the bid queue that are taken"),
    "brokers.asks": (_COUNT, "places of the ask queue that are taken"),
    "bid_price": (_PRICE, "by level, best first; NaN: no such level"),
    "ask_price": (_PRICE, "by level, best first; NaN: no such level"),
    "bid_volume": (_VOLUME, "by level, best first; NaN: no such level"),
    "ask_volume": (_VOLUME, "by level, best first; NaN: no such level"),
    "bid_orders": (_COUNT, "orders by level, best first"),
    "ask_orders": (_COUNT, "orders by level, best first"),
    "interval_s": ("seconds", "length of the bar; a month has 30, a quarter 90, a year 365 days"),
    "bars.time_ns": (_TIME, "start of the bar"),
    "adjust": (_CODE, "0 as traded, 1 forward, 2 backward adjusted"),
    "blank": (_YES_NO, "1: nothing but the time is known"),
    "pe": (_RATIO, "price to earnings"),
    "avg_price": (_PRICE, "the day's average"),
    "minute": ("minutes", "of the market's day, from midnight"),
    "bid_broker": (_CODE, "broker by place in the queue; 0: free"),
    "ask_broker": (_CODE, "broker by place in the queue; 0: free"),
    "bid_order": ("number", "the exchange's order by place in the queue; 0: not sent"),
    "ask_order": ("number", "the exchange's order by place in the queue; 0: not sent"),
    "brokers.bid_volume": (_VOLUME, "of that order; NaN: not sent"),
    "brokers.ask_volume": (_VOLUME, "of that order; NaN: not sent"),
    "bid_level": ("number", "level of the book by place in the queue, from 1"),
    "ask_level": ("number", "level of the book by place in the queue, from 1"),
}


class Column(NamedTuple):
    """What is known of a column."""

    name: str
    field: str  # of the rows
    dtype: np.dtype[Any]  # of an element, where it is an array
    length: int  # of the array, 0: it is none
    is_time: bool
    unit: str
    description: str


@lru_cache(maxsize=64)
def columns_of(stream: str, depth: int = schema.BOOK_DEPTH) -> tuple[Column, ...]:
    """Return the columns of a stream's rows: the symbol, then the others in the order of the rows."""
    row = schema.dtype(stream, depth)
    names = row.names or ()
    return tuple(
        _column(stream, name, row[name]) for name in sorted(names, key=lambda n: n != "symbol")
    )


def _column(stream: str, field: str, dtype: np.dtype[Any]) -> Column:
    family = "books" if stream == "odd_books" else stream
    unit, description = _ABOUT.get(f"{family}.{field}") or _ABOUT[field]
    is_time = field.endswith("_ns")
    name = "type" if field == "kind" else field
    if is_time:
        name = "time" if field == "time_ns" else f"{field[:-3]}_time"
    length = dtype.shape[0] if dtype.shape else 0
    return Column(name, field, dtype.base, length, is_time, unit, description)


def rows_1d(rows: Rows | np.void) -> Rows:
    """Return rows, or a single row, as an array of one dimension.

    Raises
    ------
    TypeError
        These are no rows.
    """
    array: Rows = np.asarray(rows)
    if array.dtype.names is None:
        raise TypeError(f"expected rows of a stream, got {type(rows).__name__} of {array.dtype}")
    if isinstance(rows, np.ma.MaskedArray):
        raise TypeError("expected rows without a mask, got a masked array: its data has them all")
    if array.ndim > 1:
        raise TypeError(f"expected rows in one dimension, got the shape {array.shape}")
    return array.reshape(-1)


def stream_of(rows: Rows) -> tuple[str, int]:
    """Return whose rows these are: the name of the stream and the depth of its books.

    Raises
    ------
    TypeError
        They are no stream's.
    """
    names = rows.dtype.names or ()
    depth = schema.BOOK_DEPTH
    if "bid_price" in names:
        shape = rows.dtype["bid_price"].shape
        depth = shape[0] if len(shape) == 1 else 0
    for stream in schema.STREAMS if 1 <= depth <= ring.MAX_DEPTH else ():
        row = schema.dtype(stream, depth)
        if names == row.names and all(rows.dtype[name] == row[name] for name in names):
            # Books of odd lots have the same fields.
            odd = stream == "books" and len(rows) > 0 and rows["kind"][0] == _ODD_LOTS
            return ("odd_books" if odd else stream), depth
    raise TypeError(
        f"expected rows of a stream ({', '.join(schema.STREAMS)}), got rows with the fields "
        f"{', '.join(names[:8])}{', ...' * (len(names) > 8)}"
    )


def blocks(rows: Rows) -> Iterator[slice]:
    """Yield slices of rows that are small enough to stay in the cache while all their fields are copied."""
    step = max(1, _BLOCK_BYTES // rows.dtype.itemsize)
    for start in range(0, len(rows), step):
        yield slice(start, min(start + step, len(rows)))


def copied(
    rows: Rows, columns: tuple[Column, ...], empty: Callable[..., NDArray[Any]] = np.empty
) -> tuple[dict[str, NDArray[Any]], dict[str, int]]:
    """Return the columns of rows as arrays of their own, and of each column of times how many are unknown.

    The rows are read once, block by block: what was loaded for the first column is still in the cache for the last one.
    `empty` makes the arrays, from a shape and a dtype.
    """
    count = len(rows)
    found: dict[str, NDArray[Any]] = {}
    for column in columns:
        shape = (count, column.length) if column.length else (count,)
        found[column.name] = empty(shape, column.dtype)
    parts = [(found[column.name], column.field) for column in columns]
    times = [(column.name, found[column.name]) for column in columns if column.is_time]
    unknown = dict.fromkeys((name for name, _ in times), 0)
    for block in blocks(rows):
        part = rows[block]
        for target, field in parts:
            target[block] = part[field]
        for name, target in times:
            unknown[name] += len(part) - int(np.count_nonzero(target[block]))
    return found, unknown


def checked_zone(tz: str) -> str:
    """Return the name of a time zone; ConfigError: there is none of that name."""
    if tz != "UTC":
        try:
            zoneinfo.ZoneInfo(tz)
        except (zoneinfo.ZoneInfoNotFoundError, TypeError, ValueError, OSError) as error:
            raise ConfigError(f"expected a time zone such as Asia/Hong_Kong, got {tz!r}") from error
    return tz


def checked_symbols(symbols: SymbolTable) -> SymbolTable:
    """Return a table of symbols; TypeError: it is none."""
    if not isinstance(symbols, SymbolTable):
        raise TypeError(
            f"expected a table of symbols such as feed.symbols, got {type(symbols).__name__}"
        )
    return symbols


def compact(ids: NDArray[Any], symbols: SymbolTable) -> tuple[NDArray[np.int32], list[str]]:
    """Return the symbols that occur, in the order of their ids, and each row's place among them.

    Raises
    ------
    ValueError
        A row has a symbol that is not in the table.
    """
    if not len(ids):
        return ids.astype(np.int32), []
    highest = int(ids.max())
    if highest >= len(symbols):
        raise ValueError(no_such_symbol(highest, len(symbols)))
    occurs = np.zeros(highest + 1, bool)
    occurs[ids] = True
    used = np.flatnonzero(occurs)
    places = np.empty(highest + 1, np.int32)
    places[used] = np.arange(len(used), dtype=np.int32)
    return places[ids], [symbols[i] for i in used.tolist()]


def no_such_symbol(number: int, count: int) -> str:
    """Return what to say of rows whose symbols are others."""
    return f"expected rows of these symbols, got the symbol {number} where there are {count}"
