"""Two runs side by side, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fastfeed.bench.compare import Change, Comparison
from fastfeed.bench.numbers import count, percent, plus_minus, short
from fastfeed.bench.results import Figure
from fastfeed.cli.bench_tables import wrapped
from fastfeed.cli.grid import Column, grid
from fastfeed.cli.words import counted

__all__ = ["comparison_lines"]


def comparison_lines(
    comparison: Comparison, before: str, after: str, width: int | None = None
) -> list[str]:
    """Return what changed: first why it may not be comparable, then what got worse and better."""
    lines = wrapped(f"A: {before}", width) + wrapped(f"B: {after}", width)
    for difference in comparison.differences:
        lines += wrapped(f"differs: {difference}", width)
    for doubt in comparison.doubts:
        lines += wrapped(f"! {doubt}", width)
    if comparison.only_ratios:
        lines += wrapped("The machines differ: only ratios are compared.", width)
    for title, changes, colour in (
        ("worse", comparison.having("worse"), "red"),
        ("better", comparison.having("better"), "green"),
        ("changed, neither better nor worse", comparison.having("changed"), None),
    ):
        if changes:
            lines += ["", click.style(title, fg=colour, bold=True)]
            lines += _grid(changes, width)
    same, unknown = (len(comparison.having(verdict)) for verdict in ("same", "unknown"))
    lines += ["", f"{counted(same, 'figure')} did not change beyond noise"]
    if unknown:
        lines += wrapped(
            f"{counted(unknown, 'figure')} cannot be told: measured less than three times, or no number",
            width,
        )
    for which, places in (("A", comparison.only_before), ("B", comparison.only_after)):
        if places:
            lines += wrapped(f"only in {which}: {'; '.join(places)}", width)
    return lines


def _grid(changes: Sequence[Change], width: int | None) -> list[str]:
    rows = [each.row if each.x is None else f"{each.row}, {count(each.x)}" for each in changes]
    return grid(
        [
            Column("change", [_change(each.change) for each in changes]),
            Column("table", [each.table for each in changes], left=True),
            Column("row", rows, left=True),
            Column("figure", [each.column for each in changes], left=True),
            Column("A", _figures([each.before for each in changes])),
            Column("B", _figures([each.after for each in changes])),
        ],
        width,
    )


def _figures(figures: Sequence[Figure]) -> list[str]:
    spreads = [plus_minus(each) for each in figures]
    room = max(map(len, spreads))
    return [
        f"{short(each.median)} {spread:>{room}}"
        for each, spread in zip(figures, spreads, strict=True)
    ]


def _change(part: float) -> str:
    if abs(part) >= 10:
        return f"{short(1 + part)} times"
    return f"{'+' if part > 0 else '-'}{percent(abs(part))}"
