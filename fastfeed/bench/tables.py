"""Results as texts: what stands in which row and column, for the terminal, Markdown, and whoever shows tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastfeed.bench.doubt import compared_with, doubtful
from fastfeed.bench.numbers import count, percent, plus_minus, short, shown
from fastfeed.bench.results import Bar, Figure, Noise, Results, Table

__all__ = [
    "VENDOR_NAMES",
    "Cell",
    "Sheet",
    "alike_words",
    "bar_words",
    "machine_words",
    "markdown",
    "method_words",
    "noise_words",
    "notes_of",
    "package_words",
    "sheets",
]

VENDOR_NAMES = {"opend": "OpenD", "alltick": "AllTick", "longport": "LongPort"}

_MOST_COLUMNS = 10


class Cell(NamedTuple):
    """A figure as text.

    Attributes
    ----------
    text : str
        The median; empty where there is no figure.
    spread : str
        ``"±1.2 %"``, half the distance of the quartiles; empty where it is not shown.
    alike : bool
        Whether this ratio cannot be told from 1.
    """

    text: str = ""
    spread: str = ""
    alike: bool = False


@dataclass(frozen=True)
class Sheet:
    """Rows and columns of texts.

    Attributes
    ----------
    heads : tuple of str
        Headings of the columns that name a row, one or two.
    columns : tuple of str
        Headings of the columns with figures.
    rows : list of (tuple of str, list of Cell)
    names : list of str
        Each row's candidate.
    """

    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: list[tuple[tuple[str, ...], list[Cell]]]
    names: list[str]


def sheets(table: Table) -> list[Sheet]:
    """Return a table's figures as one sheet.

    Where rows go over several of something, those become the columns, with a sheet for each of the table's columns,
    if there are more of them than of columns. Where there are too many columns to stand side by side, and one
    candidate only, the sheet has a row for each of them.
    """
    columns = tuple(dict.fromkeys(column for row in table.rows for column in row.figures))
    across = list(dict.fromkeys(row.x for row in table.rows if row.x is not None))
    if len(across) >= len(columns) and all(row.x is not None for row in table.rows):
        return [_pivoted(table, column, across) for column in columns]
    if len(columns) > _MOST_COLUMNS and len({row.name for row in table.rows}) == 1 and across:
        return [_upright(table, columns)]
    alike = doubtful(table).alike
    spread = {column for column in columns if _has_spread(table, column)}
    rows: list[tuple[tuple[str, ...], list[Cell]]] = []
    before: float | None = None
    for row in table.rows:
        cells = [
            _cell(c, row.figures.get(c), c in spread, (row.name, row.x, c) in alike)
            for c in columns
        ]
        if across:
            x = "" if row.x is None or row.x == before else count(row.x)
            rows.append(((x, row.name), cells))
            before = row.x
        else:
            rows.append(((row.name,), cells))
    heads = (table.x or "at", "candidate") if across else ("candidate",)
    return [Sheet(heads, columns, rows, [row.name for row in table.rows])]


def _pivoted(table: Table, column: str, across: Iterable[float]) -> Sheet:
    alike = doubtful(table).alike
    spread = _has_spread(table, column)
    rows: list[tuple[tuple[str, ...], list[Cell]]] = []
    names = list(dict.fromkeys(row.name for row in table.rows))
    for name in names:
        cells = []
        for x in across:
            row = table.row(name, x)
            figure = row.figures.get(column) if row is not None else None
            cells.append(_cell(column, figure, spread, (name, x, column) in alike))
        rows.append(((name,), cells))
    heading = f"{column}, by {table.x}" if table.x else column
    return Sheet((heading,), tuple(map(count, across)), rows, names)


def _upright(table: Table, columns: tuple[str, ...]) -> Sheet:
    alike = doubtful(table).alike
    rows: list[tuple[tuple[str, ...], list[Cell]]] = []
    for column in columns:
        spread = _has_spread(table, column)
        cells = [
            _cell(column, row.figures.get(column), spread, (row.name, row.x, column) in alike)
            for row in table.rows
        ]
        rows.append(((column,), cells))
    heading = f"{table.rows[0].name}, by {table.x}" if table.x else table.rows[0].name
    across = tuple("" if row.x is None else count(row.x) for row in table.rows)
    return Sheet((heading,), across, rows, [""] * len(rows))


def _has_spread(table: Table, column: str) -> bool:
    """Tell whether a column is in the table's unit; the others follow from it, or have no median."""
    unit = table.unit.split()[-1:]
    return column == table.unit or (
        bool(unit) and column.split()[-1:] == unit and not column.startswith("max")
    )


def _cell(column: str, figure: Figure | None, spread: bool, alike: bool) -> Cell:
    if figure is None:
        return Cell()
    return Cell(shown(column, figure.median), plus_minus(figure) if spread else "", alike)


def alike_words(table: Table) -> str:
    """Return what the mark of a cell means that cannot be told from 1; empty where none has it."""
    alike = doubtful(table).alike
    others = dict.fromkeys(
        compared_with(column)
        for row in table.rows
        for column in row.figures
        if (row.name, row.x, column) in alike
    )
    if not others:
        return ""
    return f"cannot be told apart from {', '.join(others)}: the rounds lie on both sides of 1"


def notes_of(table: Table) -> list[str]:
    """Return what is particular about candidates, with their x where it is so at some only; the same notes together."""
    notes: dict[str, list[str]] = {}
    for row in table.rows:
        if row.note:
            always = all(each.note == row.note for each in table.rows if each.name == row.name)
            who = row.name if always or row.x is None else f"{row.name} at {count(row.x)}"
            if who not in notes.setdefault(row.note, []):
                notes[row.note].append(who)
    return [f"{', '.join(names)}: {note}" for note, names in notes.items()]


def machine_words(machine: dict[str, Any]) -> str:
    """Return processor, system and interpreter in a line."""
    cores = machine.get("cores")
    parts = [
        machine.get("cpu", "an unknown processor"),
        *([f"{cores} core{'' if cores == 1 else 's'}"] if cores else ()),
        *(["virtual"] if machine.get("virtual") else ()),
        *(machine[name] for name in ("kernel", "python", "compiler") if machine.get(name)),
        *([f"governor {machine['governor']}"] if machine.get("governor") else ()),
        *([f"turbo {'on' if machine['turbo'] else 'off'}"] if "turbo" in machine else ()),
        *([f"load {machine['load_before']:.2f}"] if "load_before" in machine else ()),
    ]
    return ", ".join(map(str, parts))


def package_words(machine: dict[str, Any]) -> str:
    """Return versions in a line."""
    return ", ".join(f"{name} {version}" for name, version in machine.get("packages", {}).items())


def method_words(method: dict[str, Any]) -> str:
    """Return how was measured, in a line."""
    parts = []
    if rounds := method.get("rounds"):
        warm_up = method.get("warm_up", 0)
        parts.append(
            f"medians of {rounds} rounds after {warm_up} to warm up, ± half the distance of the quartiles"
        )
    if cores := method.get("worker_cores"):
        feeder = method.get("feeder_cores") or ["any"]
        parts.append(f"workers on core {_listed(cores)}, what feeds them on core {_listed(feeder)}")
    elif "worker_cores" in method:
        parts.append("not pinned")
    return "; ".join(parts)


def _listed(things: Iterable[Any]) -> str:
    return ", ".join(map(str, things))


def noise_words(noise: Noise | None) -> str:
    """Return how quiet the machine was, in a line."""
    if noise is None:
        return "noise: not measured"
    return (
        f"noise: others took {percent(noise.stolen)} of the measuring core, at most {short(noise.longest_us)} µs "
        f"at once; the same work varied by {percent(noise.drift)}"
    )


def bar_words(bar: Bar) -> str:
    """Return a bar in a line."""
    return f"{'met   ' if bar.met else 'MISSED'} {bar.what}: {short(bar.value)} ({bar.bar})"


def markdown(results: Results) -> str:
    """Return everything as Markdown."""
    parts = [
        f"fastfeed {results.version}, {results.date[:10]}: {machine_words(results.machine)}; "
        f"{package_words(results.machine)}.",
        f"{noise_words(results.noise)}.".capitalize(),
    ]
    if not results.complete:
        parts.append("The run was interrupted: these are the tables that were ready.")
    for table in results.tables:
        parts.append(f"### {table.name}")
        if table.about:
            parts.append(table.about)
        parts += (_markdown_sheet(sheet) for sheet in sheets(table))
        more = [*table.warnings, *notes_of(table)]
        if words := alike_words(table):
            more.append(f"? {words}")
        parts += ["\n".join(f"- {each}" for each in more)] if more else []
    if results.missing:
        parts.append(
            "Not measured:\n\n"
            + "\n".join(f"- {each.name}: {each.why}" for each in results.missing)
        )
    if results.notes:
        parts.append("\n".join(f"- {note}" for note in results.notes))
    if results.bars:
        lines = ["| aimed at | bar | measured |", "|---|---:|---:|"]
        lines += (
            f"| {bar.what} | {bar.bar} | {short(bar.value)}{'' if bar.met else ' (missed)'} |"
            for bar in results.bars
        )
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _markdown_sheet(sheet: Sheet) -> str:
    lines = [
        f"| {' | '.join((*sheet.heads, *sheet.columns))} |",
        f"|{'---|' * len(sheet.heads)}{'---:|' * len(sheet.columns)}",
    ]
    for heads, cells in sheet.rows:
        texts = [
            " ".join(filter(None, (cell.text, cell.spread, "?" * cell.alike))) for cell in cells
        ]
        lines.append(f"| {' | '.join((*heads, *texts))} |")
    return "\n".join(lines)
