"""Latencies in short: their percentiles, and the curve of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["columns_of", "curve", "percentiles"]

_PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_STEPS = 5  # points of a curve for each halving of what lies above


def percentiles(late_ns: npt.ArrayLike) -> dict[str, float]:
    """Return the columns ``"p50 µs"``, ``"p90 µs"``, ``"p99 µs"``, ``"p99.9 µs"`` and ``"max µs"``.

    Parameters
    ----------
    late_ns : array_like of int
        At least one.
    """
    late = np.asarray(late_ns)
    found = np.percentile(late, [*_PERCENTILES, 100.0]) / 1e3
    names = [*(f"p{p:g} µs" for p in _PERCENTILES), "max µs"]
    return dict(zip(names, found.tolist(), strict=True))


def columns_of(rounds: Iterable[npt.ArrayLike], columns: Sequence[str]) -> dict[str, list[float]]:
    """Return what some columns of `percentiles` are in each round."""
    parts = [percentiles(each) for each in rounds]
    return {column: [part[column] for part in parts] for column in columns}


def curve(late_ns: npt.ArrayLike) -> list[tuple[float, float]]:
    """Return percentiles and their µs, denser towards the end, as plots of latencies show them.

    The last but one point is the percentile above which one value lies; the last one is 100, and the largest value.

    Parameters
    ----------
    late_ns : array_like of int
        At least one.
    """
    late: npt.NDArray[Any] = np.asarray(late_ns)
    steps = int(np.log2(len(late)) * _STEPS)
    points = [*(100.0 * (1.0 - 2.0 ** -(i / _STEPS)) for i in range(steps + 1)), 100.0]
    values = np.percentile(late, points) / 1e3
    return [(round(p, 6), round(v, 3)) for p, v in zip(points, values.tolist(), strict=True)]
