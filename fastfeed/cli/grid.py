"""Plain tables for people: aligned, as wide as the terminal at most. No package is needed for them."""

from __future__ import annotations

import dataclasses
import datetime
import math
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click

from fastfeed.cli import words

__all__ = ["Column", "column", "dates", "grid", "say", "times", "width_of"]

_GAP = "  "
_MOST_PLACES = 8  # decimals of a number below 1
_FEW_PLACES = 4  # of a larger one
_HALF_DAY_NS = 43_200_000_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A heading and what stands below it."""

    title: str
    cells: Sequence[str]
    left: bool = False


def column(title: str, values: Iterable[Any], places: int = 2) -> Column:
    """Return a column of texts, or of numbers with their decimal points below each other.

    So many decimals are shown at least if some of the numbers have any.
    """
    known = list(values)
    if any(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return Column(title, _numbers(known, places))
    return Column(title, [_text(value) for value in known], left=True)


def times(title: str, values_ns: Iterable[int | None]) -> Column:
    """Return a column of times in UTC, with as many decimals of a second as there are."""
    texts = [_time(value) if value else words.NONE for value in values_ns]
    while texts and all(text[-1] in "0–" for text in texts) and any("." in t for t in texts):
        texts = [text if text == words.NONE else text[:-1] for text in texts]
        if any(text.endswith(".") for text in texts):
            texts = [text.rstrip(".") for text in texts]
    return Column(f"{title} (UTC)", texts, left=True)


def dates(title: str, values_ns: Iterable[int]) -> Column:
    """Return a column of the days of which these are midnight, in whatever zone the market is."""
    texts = [_time(value + _HALF_DAY_NS)[:10] if value else words.NONE for value in values_ns]
    return Column(title, texts, left=True)


def grid(columns: Sequence[Column], width: int | None = None, *, heading: bool = True) -> list[str]:
    """Return the lines of a table; columns at the end that find no room are left out, and named below."""
    widths = [
        max([width_of(c.title) if heading else 0, *map(width_of, c.cells)], default=0)
        for c in columns
    ]
    shown = len(columns)
    while width is not None and shown > 1 and sum(widths[:shown]) + len(_GAP) * (shown - 1) > width:
        shown -= 1
    lines = []
    if heading:
        head = [(c.title, c.left) for c in columns[:shown]]
        lines.append(click.style(_line(head, widths, width), dim=True))
    for row in zip(*(c.cells for c in columns[:shown]), strict=True):
        cells = [(text, c.left) for text, c in zip(row, columns, strict=False)]
        lines.append(_line(cells, widths, width))
    if shown < len(columns):
        left_out = ", ".join(c.title for c in columns[shown:])
        lines.append(click.style(f"no room for: {left_out}", dim=True))
    return lines


def say(lines: Iterable[str]) -> None:
    """Print lines; characters that the output's encoding does not have are replaced."""
    encoding = sys.stdout.encoding or "ascii"
    for line in lines:
        text = line if encoding.lower().startswith("utf") else line.translate(words.ASCII)
        click.echo(text.encode(encoding, "replace").decode(encoding))


def terminal_width() -> int | None:
    """Return the terminal's width, None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def width_of(text: str) -> int:
    """Return how many places a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _line(cells: Sequence[tuple[str, bool]], widths: Sequence[int], width: int | None) -> str:
    parts = []
    for (text, left), room in zip(cells, widths, strict=False):
        fill = " " * (room - width_of(text))
        parts.append(text + fill if left else fill + text)
    return _cut(_GAP.join(parts).rstrip(), width)


def _cut(text: str, width: int | None) -> str:
    if width is None or width_of(text) <= width:
        return text
    while text and width_of(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _text(value: Any) -> str:
    if value is None or value == "":
        return words.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return words.printable(text)


def _numbers(values: Sequence[Any], fewest: int) -> list[str]:
    places = [_places(value) for value in values]
    least = min(max(places, default=0), fewest)
    places = [
        max(p, least) if isinstance(v, float) else p for v, p in zip(values, places, strict=True)
    ]
    most = max(places, default=0)
    room = most + (most > 0)
    texts = []
    for value, p in zip(values, places, strict=True):
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            texts.append(words.NONE)
        else:
            texts.append(f"{value:,.{p}f}" + " " * (room - p - (p > 0)))
    return texts


def _places(value: Any) -> int:
    if not isinstance(value, float) or not math.isfinite(value):
        return 0
    return min(words.decimals(value), _FEW_PLACES if abs(value) >= 1 else _MOST_PLACES)


def _time(value_ns: int) -> str:
    seconds, rest = divmod(int(value_ns), 1_000_000_000)
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{value_ns} ns"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest // 1000:06}"
