"""When noise is too high to tell: the one place that says so, for the terminal, the report and comparisons."""

from __future__ import annotations

from typing import NamedTuple

from fastfeed.bench.numbers import count, percent
from fastfeed.bench.results import Noise, Row, Table

__all__ = ["FEWEST", "NOISY", "Doubt", "caution", "compared_with", "doubtful", "restless"]

#: A distance of the quartiles, as a part of the median, from which on rounds differ too much.
NOISY = 0.15
#: Rounds of which quartiles say something.
FEWEST = 3

_STOLEN = 0.02  # of a core
_DRIFT = 0.10


class Doubt(NamedTuple):
    """What of a table is not to be trusted.

    Attributes
    ----------
    alike : frozenset of (str, float or None, str)
        Row, its `x`, and column, of ratios that the rounds put on both sides of 1: neither of the two is faster.
    warning : str
        Which rounds of fastfeed's differ too much; empty where none do.
    """

    alike: frozenset[tuple[str, float | None, str]]
    warning: str


def doubtful(table: Table) -> Doubt:
    """Return what of a table the rounds cannot tell."""
    alike = frozenset(
        (row.name, row.x, column)
        for row in table.rows
        for column, figure in row.figures.items()
        if compared_with(column) not in ("", row.name)
        and len(figure.rounds) >= FEWEST
        and figure.low <= 1 <= figure.high
        and any(each != 1 for each in figure.rounds)  # the one that the others are divided by
    )
    return Doubt(alike, _restless_rows(table))


def _restless_rows(table: Table) -> str:
    where: dict[str, list[str]] = {}
    spreads = []
    for row in _own(table):
        figure = row.figures.get(table.unit)
        if figure is not None and figure.spread > NOISY:
            where.setdefault(row.name, []).extend([] if row.x is None else [count(row.x)])
            spreads.append(figure.spread)
    if not spreads:
        return ""
    names = (f"{name} ({table.x}: {', '.join(xs)})" if xs else name for name, xs in where.items())
    most = f"{'up to ' * (len(spreads) > 1)}{percent(max(spreads))}"
    return (
        f"the rounds of {' and of '.join(names)} differ by {most} in {table.unit}: "
        "smaller differences mean nothing"
    )


def compared_with(column: str) -> str:
    """Return what a column of ratios divides by: ``"fastfeed"`` of ``"x fastfeed"``; empty for other columns."""
    return f" {column}".partition(" x ")[2]


def _own(table: Table) -> list[Row]:
    named = [row for row in table.rows if row.name == "fastfeed"]
    return named or [row for row in table.rows if row.name.startswith("fastfeed")]


def restless(noise: Noise | None) -> str:
    """Return a sentence on what was wrong with the machine during a run; empty where nothing was."""
    found = []
    if noise is not None and noise.stolen > _STOLEN:
        found.append(f"others took {percent(noise.stolen)} of the measuring core")
    if noise is not None and noise.drift > _DRIFT:
        found.append(f"the same work took {percent(noise.drift)} longer at times")
    if not found:
        return ""
    return f"The machine was not quiet: {', and '.join(found)}. Small differences mean nothing."


def caution(table: Table) -> None:
    """Enter into a table's warnings what its rounds cannot tell."""
    warning = doubtful(table).warning
    if warning and warning not in table.warnings:
        table.warnings.append(warning)
