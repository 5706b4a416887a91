"""The row types of the streams as NumPy dtypes, and the bits of their `flags` field.

The layouts come from the C structs in `native/include/fastfeed/rows.h`; nothing is written twice.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from fastfeed._core import ring

__all__ = ["STREAMS", "Flags", "dtype"]

#: The names of the streams, which are also the kinds one subscribes to.
STREAMS = tuple(ring.ROW_TYPES)


class Flags(enum.IntFlag):
    """Bits of a row's `flags`."""

    CACHED = ring.FLAG_CACHED  #: from the vendor's cache, for example right after subscribing
    BACKFILLED = ring.FLAG_BACKFILLED  #: fetched later, after an interruption
    STALE = ring.FLAG_STALE  #: older than what was already delivered
    GAP = ring.FLAG_GAP  #: the first row after a reconnect: rows may be missing before it


def dtype(stream: str) -> np.dtype[Any]:
    """Return the dtype of a stream's rows.

    ``ticks``, 64 bytes:

    =============== ==== =========================================================================
    `recv_ns`       i8   the bytes arrived here, ns since 1970 UTC; the same for all rows of a read
    `time_ns`       i8   the exchange's time of the trade, ns since 1970 UTC, 0 = unknown
    `gateway_ns`    i8   the vendor's gateway got it, ns since 1970 UTC, 0 = unknown
    `seq`           i8   the vendor's sequence, -1 = none
    `price`         f8
    `volume`        f8   NaN = not sent
    `turnover`      f8   NaN = not sent
    `symbol`        u4   id: ``feed.symbols[id]``
    `side`          i1   1 buyer, -1 seller, 0 neutral or unknown
    `kind`          u1   type of the trade as the vendor numbers it, 255 = larger than that
    `session`       u1   trading session, 0 = unknown
    `flags`         u1   `Flags`
    =============== ==== =========================================================================

    Raises
    ------
    ValueError
        There is no such stream.
    """
    try:
        return np.dtype(ring.ROW_TYPES[stream])  # type: ignore[arg-type]
    except KeyError:
        raise ValueError(f"expected a stream ({', '.join(STREAMS)}), got {stream!r}") from None
