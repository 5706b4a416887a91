"""Two runs side by side: what changed beyond noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from fastfeed.bench.doubt import FEWEST, NOISY, compared_with, doubtful
from fastfeed.bench.numbers import count, percent
from fastfeed.bench.results import Better, Figure, Noise, Results, Row, Table

__all__ = ["Change", "Comparison", "better_when", "compare"]

Verdict = Literal["better", "worse", "changed", "same", "unknown"]

_LEAST = 0.02  # less is where code and data happen to lie in memory
_PACE = 0.10  # a machine that is so much faster or slower than before is another one
#: Follows from the column beside it.
_DERIVED = "MB/s"
#: Counts that have no noise.
_EXACT = ("lost",)


@dataclass(frozen=True)
class Change:
    """A figure in both runs.

    Attributes
    ----------
    table, row, column : str
    x : float or None
        The row's.
    before, after : Figure
    verdict : str
        ``"better"``, ``"worse"``; ``"changed"`` where neither direction is an improvement; ``"same"``: nothing
        beyond noise; ``"unknown"``: measured less than three times, or not a number.
    """

    table: str
    row: str
    x: float | None
    column: str
    before: Figure
    after: Figure
    verdict: Verdict

    @property
    def change(self) -> float:
        """How much more there is after than before, as a part of it."""
        if self.before.median == self.after.median:
            return 0.0
        if not self.before.median:
            return math.copysign(math.inf, self.after.median)
        return (self.after.median - self.before.median) / abs(self.before.median)

    @property
    def own(self) -> bool:
        """Whether it says something of fastfeed, not only of a peer or a yardstick."""
        return self.row.startswith("fastfeed") or self.column == "x fastfeed"


@dataclass
class Comparison:
    """What two runs have in common, and what not.

    Attributes
    ----------
    differences : list of str
        Between the machines, versions and methods.
    doubts : list of str
        A sentence for each run with tables in which the rounds of fastfeed's differ too much.
    only_ratios : bool
        Whether the machines differ, so that only columns of ratios were compared.
    changes : list of Change
        All figures that are in both.
    only_before, only_after : list of str
        Tables and rows that are in one of them.
    """

    differences: list[str]
    doubts: list[str]
    only_ratios: bool
    changes: list[Change] = field(default_factory=list)
    only_before: list[str] = field(default_factory=list)
    only_after: list[str] = field(default_factory=list)

    def having(self, verdict: Verdict) -> list[Change]:
        """Return the changes with a verdict, the largest first."""
        found = [change for change in self.changes if change.verdict == verdict]
        return sorted(found, key=lambda change: abs(change.change), reverse=True)

    @property
    def failed(self) -> bool:
        """Whether a figure of fastfeed's got worse."""
        return any(change.own for change in self.having("worse"))


def compare(before: Results, after: Results) -> Comparison:
    """Compare two runs.

    A figure has changed where the quartiles of its rounds do not overlap and the medians differ by more than 2 %, than
    the quartiles of either, and than the machine's pace drifted within either run and between them.
    """
    only_ratios = _another_machine(before, after)
    doubts = [*_doubts("A", before), *_doubts("B", after)]
    comparison = Comparison(_differences(before, after), doubts, only_ratios)
    drift = 0.0 if only_ratios else _drift(before, after)
    tables = {table.name: table for table in after.tables}
    for old in before.tables:
        new = tables.get(old.name)
        if new is None:
            comparison.only_before.append(old.name)
            continue
        for row in old.rows:
            other = new.row(row.name, row.x)
            if other is None:
                comparison.only_before.append(_place(old, row))
                continue
            comparison.changes += _changes(old, row, other, drift, only_ratios)
        comparison.only_after += (
            _place(new, row) for row in new.rows if old.row(row.name, row.x) is None
        )
    known = {table.name for table in before.tables}
    comparison.only_after += (table.name for table in after.tables if table.name not in known)
    return comparison


def _doubts(which: str, results: Results) -> Iterator[str]:
    names = [table.name for table in results.tables if doubtful(table).warning]
    if names:
        yield (
            f"{which}: the rounds of fastfeed differ by more than {percent(NOISY)} in {'; '.join(names)}: "
            "smaller differences mean nothing there"
        )


def _place(table: Table, row: Row) -> str:
    at = "" if row.x is None else f", {table.x}: {count(row.x)}"
    return f"{table.name}: {row.name}{at}"


def _changes(
    table: Table, before: Row, after: Row, drift: float, only_ratios: bool
) -> Iterator[Change]:
    for column, old in before.figures.items():
        new = after.figures.get(column)
        ratio = compared_with(column) != ""
        if new is None or ratio != only_ratios or column == _DERIVED:
            continue
        if ratio and all(each == 1 for each in (*old.rounds, *new.rounds)):
            continue  # the one that the others are divided by
        verdict = _verdict(old, new, column, drift)
        if verdict == "changed":
            better = better_when(table, before, column, old.better or new.better)
            if better is not None:
                verdict = "better" if (new.median < old.median) == (better == "lower") else "worse"
        yield Change(table.name, before.name, before.x, column, old, new, verdict)


def _verdict(old: Figure, new: Figure, column: str, drift: float) -> Verdict:
    if not (math.isfinite(old.median) and math.isfinite(new.median)):
        return "unknown"
    if column in _EXACT:
        return "same" if old.median == new.median else "changed"
    if min(len(old.rounds), len(new.rounds)) < FEWEST:
        return "unknown"
    apart = old.high < new.low or new.high < old.low
    noise = max(_LEAST, old.spread, new.spread, drift)
    # Of the smaller of both: a half is as far away as the double.
    least = min(abs(old.median), abs(new.median))
    return "changed" if apart and abs(new.median - old.median) > noise * least else "same"


def better_when(table: Table, row: Row, column: str, stated: Better | None = None) -> Better | None:
    """Return which direction of a figure is good news for who uses fastfeed.

    Parameters
    ----------
    table : Table
    row : Row
    column : str
    stated : {"lower", "higher"}, optional
        What the figure says itself.
    """
    if stated is not None:
        return stated
    own = row.name.startswith("fastfeed")
    if column == "x fastfeed":  # times, also where the unit is a rate
        return "lower" if own else "higher"
    other = compared_with(column)
    if column != f"x {other}":  # no ratio, or one that says of what, as "CPU x alone"
        return _direction(column)
    return _direction(table.unit) if own or other.startswith("1 ") else None


def _direction(unit: str) -> Better | None:
    if unit.endswith("/s"):
        return "higher"
    words = {"ns", "µs", "ms", "s", "lost", "bytes", "CPU", "%", "late"}
    return "lower" if words & set(unit.replace("/", " ").split()) else None


def _drift(before: Results, after: Results) -> float:
    noises = [each.noise for each in (before, after) if each.noise is not None]
    return max([*(noise.drift for noise in noises), abs(_pace(before, after) - 1)])


def _pace(before: Results, after: Results) -> float:
    """Return how much longer the machine took for the same work in the second run; 1 where it is not known."""
    a, b = _work_us(before.noise), _work_us(after.noise)
    return b / a if a > 0 and b > 0 else 1.0


def _work_us(noise: Noise | None) -> float:
    return noise.work_us if noise is not None and math.isfinite(noise.work_us) else 0.0


def _another_machine(before: Results, after: Results) -> bool:
    same = all(before.machine.get(name) == after.machine.get(name) for name in ("cpu", "cores"))
    return not same or abs(math.log(_pace(before, after))) > math.log1p(_PACE)


def _differences(before: Results, after: Results) -> list[str]:
    found = []
    if before.version != after.version:
        found.append(f"fastfeed {before.version} and {after.version}")
    for name in ("cpu", "cores", "kernel", "python", "compiler", "governor", "turbo"):
        old, new = before.machine.get(name), after.machine.get(name)
        if old != new:
            found.append(f"{name}: {_told(old)} and {_told(new)}")
    pace = _pace(before, after)
    if abs(pace - 1) > _LEAST:
        how = "longer" if pace > 1 else "less long"
        found.append(f"the same work took {percent(abs(pace - 1))} {how} in B")
    found += _different_packages(before.machine, after.machine)
    for name in dict.fromkeys([*before.method, *after.method]):
        old, new = before.method.get(name), after.method.get(name)
        if old != new:
            found.append(f"{name.replace('_', ' ')}: {_told(old)} and {_told(new)}")
    found += (
        f"{which} was interrupted"
        for which, each in (("A", before), ("B", after))
        if not each.complete
    )
    return found


def _different_packages(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    known = (machine.get("packages") for machine in (before, after))
    old, new = (each if isinstance(each, dict) else {} for each in known)
    for name in dict.fromkeys([*old, *new]):
        if name != "fastfeed" and old.get(name) != new.get(name):
            yield f"{name} {_told(old.get(name))} and {_told(new.get(name))}"


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
