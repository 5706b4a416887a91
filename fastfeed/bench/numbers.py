"""Figures as texts, the same in tables, pictures and comparisons."""

from __future__ import annotations

import math

from fastfeed.bench.results import Figure

__all__ = ["UNKNOWN", "count", "percent", "plus_minus", "short", "shown"]

#: In the place of a number that is not there.
UNKNOWN = "–"

_EXACT = 10_000  # whole numbers below it are counts more often than measurements


def short(value: float) -> str:
    """Return a number with three significant digits: ``"25.1"``, ``"0.0421"``, ``"12,300"``, ``"17.2M"``.

    Whole numbers below 10,000 are shown as they are.
    """
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < _EXACT:
        return f"{int(value):,}"
    value = float(f"{value:.3g}")
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{_three(value / size)}{letter}"
    return _three(value)


def _three(value: float) -> str:
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, digits)}f}" if digits < 9 else f"{value:.3g}"


def count(value: float) -> str:
    """Return a count of something in full: ``"10,000"``; what is no whole number as `short` does."""
    return f"{int(value):,}" if math.isfinite(value) and value == int(value) else short(value)


def shown(column: str, value: float) -> str:
    """Return a number of a column: a count of rows in full, whatever else as `short` does."""
    return count(value) if column.split()[-1:] in (["rows"], ["lost"]) else short(value)


def percent(part: float) -> str:
    """Return a part of something with two significant digits: ``"4.1 %"``, ``"130 %"``."""
    if not math.isfinite(part):
        return UNKNOWN
    value = float(f"{part * 100:.2g}")
    return f"{value:,.0f} %" if abs(value) >= 10 or value == 0 else f"{value:.2g} %"


def plus_minus(figure: Figure) -> str:
    """Return half the distance of a figure's quartiles as a part of its median: ``"±1.2 %"``; empty for one round.

    It has one decimal always, so that they stand below each other.
    """
    if len(figure.rounds) < 2:
        return ""
    spread = figure.spread
    return f"±{spread * 50:,.1f} %" if math.isfinite(spread) else f"±{UNKNOWN}"
