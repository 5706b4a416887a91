"""The row types of the streams as NumPy dtypes, and the values of their small fields.

The layouts come from the C structs in `native/include/fastfeed/rows.h`; nothing is written twice.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from fastfeed._core import ring

__all__ = ["BOOK_DEPTH", "STREAMS", "Flags", "Session", "dtype", "streams_of"]

#: The names of the streams, which are also the kinds one subscribes to (of bars with an interval: ``bars:1m``).
STREAMS = ring.STREAMS

#: Levels that a book keeps unless its hub says otherwise.
BOOK_DEPTH = 10


class Flags(enum.IntFlag):
    """Bits of a row's `flags`."""

    CACHED = ring.FLAG_CACHED  #: from the vendor's cache, for example right after subscribing
    BACKFILLED = ring.FLAG_BACKFILLED  #: fetched later, after an interruption
    #: older than what was already delivered, or more than a minute old when it arrived (AllTick)
    STALE = ring.FLAG_STALE
    GAP = ring.FLAG_GAP  #: the first row after an interruption: rows may be missing before it


class Session(enum.IntEnum):
    """Values of a row's `session`."""

    UNKNOWN = ring.SESSION_UNKNOWN
    REGULAR = ring.SESSION_REGULAR
    PRE = ring.SESSION_PRE
    POST = ring.SESSION_POST
    OVERNIGHT = ring.SESSION_OVERNIGHT


def streams_of(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the streams that have the rows of some kinds, each once.

    Those of ``bars:1m`` are in ``bars``, with the bars of all other lengths.

    Raises
    ------
    ValueError
        There is none, or one that cannot be.
    """
    names = dict.fromkeys("bars" if kind.startswith("bars:") else kind for kind in kinds)
    for name in names or ("",):
        if name not in STREAMS:
            raise ValueError(f"expected a kind ({', '.join(STREAMS)}), got {name!r}")
    return tuple(names)


def dtype(stream: str, depth: int = BOOK_DEPTH) -> np.dtype[Any]:
    """Return the dtype of a stream's rows.

    Every row begins with the same fields:

    =============== ==== =========================================================================
    `recv_ns`       i8   the bytes arrived here, ns since 1970 UTC; the same for all rows of a read
    `time_ns`       i8   the exchange's time, ns since 1970 UTC, 0 = unknown
    `gateway_ns`    i8   the vendor's gateway got it, ns since 1970 UTC, 0 = unknown
    `seq`           i8   the vendor's sequence, -1 = none (LongPort's: ns, rising with holes)
    =============== ==== =========================================================================

    and has `symbol` (u4, ``feed.symbols[id]``), `session` (u1, `Session`) and `flags` (u1, `Flags`). All other
    numbers are f8 and NaN where they were not sent, unless it says otherwise.

    ``ticks``, 64 bytes: `price`, `volume`, `turnover`; `side` (i1): 1 buyer, -1 seller, 0 neutral or unknown;
    `kind` (u1): type of the trade as the vendor numbers it, 255 = larger than that; of LongPort its letter
    (``ord("I")``), 0 = an ordinary one.

    ``quotes``, 320 bytes, a row for each session of a symbol: `last`, `open`, `high`, `low`, `prev_close`,
    `volume`, `turnover`, `change`, `change_rate`, `amplitude`, `turnover_rate` (percent), `price_spread`
    (tick size); `listed_ns` (i8); `status` (the vendor's number), `suspended`, `dark_status` (u1). Options,
    warrants and futures, told by the bits of `kind` (u1; 1 option, 2 future, 4 warrant): `strike_price`,
    `contract_size`, `open_interest`, `net_open_interest`, `open_interest_change`, `implied_volatility`, `premium`
    (percent), `delta`, `gamma`, `vega`, `theta`, `rho`, `contract_nominal_value`, `owner_lot_multiplier`,
    `contract_multiplier`, `last_settle_price`; `expiry_days` (i4, -2**31 = unknown); `option_style`,
    `index_option_type` (u1).

    ``books`` and ``odd_books``, complete books, best level first: `bids`, `asks` (u2): levels that are real;
    arrays of `depth` levels `bid_price`, `bid_volume`, `ask_price`, `ask_volume` (f8, NaN beyond),
    `bid_orders`, `ask_orders` (i4); `bid_ns`, `ask_ns` (i8): the vendor's server got this side; `kind` (u1):
    1 in odd-lot books.

    ``bars``, 128 bytes; `time_ns` is the START of the bar: `open`, `high`, `low`, `close`, `volume`,
    `turnover`, `prev_close`, `change_rate` (percent), `turnover_rate` (a fraction), `pe`; `interval_s` (i4;
    of a month 30 days, a quarter 90, a year 365); `kind` (u1): the vendor's number of the interval; `adjust`
    (u1): 0 as traded, 1 forward, 2 backward; `blank` (u1): 1 = only the time is known.

    ``timeshare``, 128 bytes, the day's minute line: `price`, `avg_price`, `prev_close`, `volume`, `turnover`;
    `minute` (i4) of the market's day; `blank` (u1).

    ``brokers``, 2304 bytes, Hong Kong's broker queues, complete: `bids`, `asks` (u2): places that are taken;
    arrays of 40 places `bid_broker`, `ask_broker` (i8, the broker's id, 0 = free), `bid_level`, `ask_level`
    (i4, of the book, from 1), `bid_order`, `ask_order` (i8, order id, 0 = not sent), `bid_volume`,
    `ask_volume`.

    Parameters
    ----------
    stream : str
    depth : int
        Levels of a book, 1 to 1000.

    Raises
    ------
    ValueError
        There is no such stream, or the depth is out of range.
    """
    if stream not in STREAMS:
        raise ValueError(f"expected a stream ({', '.join(STREAMS)}), got {stream!r}")
    depth = operator.index(depth)
    if not 1 <= depth <= ring.MAX_DEPTH:
        raise ValueError(f"expected a depth of 1 to {ring.MAX_DEPTH} levels, got {depth}")
    return _dtype(stream, depth)


@lru_cache(maxsize=64)
def _dtype(stream: str, depth: int) -> np.dtype[Any]:
    return np.dtype(ring.row_type(STREAMS.index(stream), depth))  # type: ignore[arg-type]
