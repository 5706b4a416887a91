"""Which symbols changed since something was pushed for them; those that waited longest come first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Changes"]

_AT_ONCE = 64  # symbols between two batches of ticks


class Changes:
    """What has to be pushed again, one listener's view of a market.

    Parameters
    ----------
    days : ndarray
        `Market.days`; its `count` changes with every tick.
    """

    def __init__(self, days: npt.NDArray[Any]) -> None:
        self._days = days
        self._numbers = np.zeros(0, np.int64)
        self._pushed_for = np.zeros(0, np.int64)  # what `count` was then

    def watch(self, numbers: Sequence[int]) -> None:
        """Watch these symbols from now on; those that were watched before keep what they missed."""
        before = dict(zip(self._numbers.tolist(), self._pushed_for.tolist(), strict=True))
        self._numbers = np.array(numbers, np.int64)
        counts = self._days["count"][self._numbers].tolist()
        self._pushed_for = np.array(
            [before.get(n, count) for n, count in zip(numbers, counts, strict=True)], np.int64
        )

    def take(self) -> tuple[list[int], bool]:
        """Return symbols that changed, and whether there are more."""
        if not len(self._numbers):
            return [], False
        counts = self._days["count"][self._numbers]
        changed = np.flatnonzero(counts != self._pushed_for)
        more = len(changed) > _AT_ONCE
        if more:
            order = np.argsort(self._pushed_for[changed] - counts[changed], kind="stable")
            changed = changed[order[:_AT_ONCE]]
        self._pushed_for[changed] = counts[changed]
        return self._numbers[changed].tolist(), more
