"""A bench's results in the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click

from fastfeed.bench.results import Results, Table
from fastfeed.bench.tables import (
    Sheet,
    alike_words,
    bar_words,
    machine_words,
    method_words,
    noise_words,
    notes_of,
    package_words,
    sheets,
)
from fastfeed.cli.grid import Column, grid, width_of

__all__ = ["end_lines", "head_lines", "table_lines", "wrapped"]

_WIDTH = 100
_INDENT = "  "


def head_lines(results: Results, width: int | None = None) -> list[str]:
    """Return what is known before anything is measured: machine, versions, method."""
    texts = (
        machine_words(results.machine),
        package_words(results.machine),
        method_words(results.method),
    )
    return [line for text in texts for line in wrapped(text, width)]


def table_lines(table: Table, width: int | None = None) -> list[str]:
    """Return a table with its title, and what has to be known about it below."""
    lines = ["", click.style(table.name, bold=True)]
    lines += wrapped(table.about, width)
    for sheet in sheets(table):
        lines += _sheet_lines(sheet, width)
    if words := alike_words(table):
        lines += wrapped(f"? {words}", width)
    for note in notes_of(table):
        lines += wrapped(note, width)
    for warning in table.warnings:
        lines += (click.style(line, fg="yellow") for line in wrapped(f"! {warning}", width))
    return lines


def end_lines(results: Results, width: int | None = None) -> list[str]:
    """Return what is known when all is measured: the machine's noise, and who was not there."""
    lines = ["", *wrapped(noise_words(results.noise), width)]
    for note in results.notes:
        lines += wrapped(note, width)
    for missing in results.missing:
        lines += wrapped(f"not measured: {missing.name} ({missing.why})", width)
    if any(missing.why.endswith(" is not installed") for missing in results.missing):
        lines.append("pip install 'fastfeed[peers]' installs the peers")
    if results.bars:
        lines.append("")
    for bar in results.bars:
        lines += wrapped(bar_words(bar), width)
    return lines


def wrapped(text: str, width: int | None) -> list[str]:
    """Return a text in lines that are no wider than a table may be."""
    lines = textwrap.wrap(
        text.replace(" %", "\N{NO-BREAK SPACE}%"),
        min(width or _WIDTH, _WIDTH),
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _sheet_lines(sheet: Sheet, width: int | None) -> list[str]:
    columns = list(_columns(sheet))
    lines = grid(columns)
    headings = 1
    if width is not None and max(map(width_of, map(click.unstyle, lines))) > width:
        columns = [_broken(column) for column in columns]
        lines = grid(columns, width)
        lines[1] = click.style(lines[1], dim=True)
        headings = 2
    for number, name in enumerate(sheet.names, headings):
        if name.startswith("fastfeed"):
            lines[number] = click.style(lines[number], bold=True)
    return lines


def _columns(sheet: Sheet) -> Iterator[Column]:
    for place, head in enumerate(sheet.heads):
        last = place == len(sheet.heads) - 1
        yield Column(head, [heads[place] for heads, _ in sheet.rows], left=last)
    for place, title in enumerate(sheet.columns):
        cells = [cells[place] for _, cells in sheet.rows]
        room = max((len(cell.spread) for cell in cells), default=0)
        spread = [f" {cell.spread:>{room}}" if room else "" for cell in cells]
        alike = any(cell.alike for cell in cells)
        marks = [(" ?" if cell.alike else "  ") if alike else "" for cell in cells]
        texts = [c.text + s + m for c, s, m in zip(cells, spread, marks, strict=True)]
        yield Column(title + "  " * alike, texts)


def _broken(column: Column) -> Column:
    """Return a column with its heading in two lines, the second of which is its first cell."""
    words = column.title.rstrip().split(" ")
    where = min(
        range(1, len(words) + 1),
        key=lambda n: max(len(" ".join(words[:n])), len(" ".join(words[n:]))),
    )
    end = column.title[len(column.title.rstrip()) :]
    first, second = " ".join(words[:where]) + end, " ".join(words[where:]) + end
    return Column(first, [second, *column.cells], column.left)
