"""Rows of any stream with values of every kind in every field."""

import numpy as np

from fastfeed.schema import BOOK_DEPTH, dtype

FLOATS = np.array([0.0, -0.0, np.nan, 0.1, 1e308, 5e-324, np.inf, -np.inf, 388.2, 1 / 3])


def rows_like(stream, count, *, symbols, depth=BOOK_DEPTH, seed=0):
    """Return rows whose symbols are ids below `symbols`; some times are unknown."""
    random = np.random.default_rng(seed)
    rows = np.zeros(count, dtype(stream, depth))
    for name in rows.dtype.names:
        field = rows[name]
        if name == "symbol":
            field[...] = random.integers(0, symbols, count)
        elif name.endswith("_ns"):
            times = random.integers(1, 2_000_000_000_000_000_000, count)
            field[...] = np.where(random.random(count) < 0.3, 0, times)
        elif field.dtype.kind == "f":
            some = random.random(field.shape) * 1000
            odd = random.choice(FLOATS, field.shape)
            field[...] = np.where(random.random(field.shape) < 0.5, odd, some)
        else:
            limits = np.iinfo(field.dtype)
            field[...] = random.integers(
                limits.min, limits.max, field.shape, field.dtype, endpoint=True
            )
    return rows
