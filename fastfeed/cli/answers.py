"""What `fastfeed get` prints: rows or records as a table, as CSV, and as JSON lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import msgspec

from fastfeed.cli.grid import Column, column, grid, terminal_width, times
from fastfeed.cli.output import Csv, Format, JsonLines
from fastfeed.cli.records import csv_lines, flat, json_lines, value_at
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.longport import LongPort
from fastfeed.stream import Rows

__all__ = ["Answer", "fields", "listed", "of_records", "of_rows", "single"]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """So many rows or records, and functions that make each of its forms."""

    table: Callable[[], Sequence[str]]
    csv: Callable[[], bytes]
    jsonl: Callable[[], bytes]
    count: int


def of_rows(
    feed: Feed, stream: str, rows: Rows, table: Callable[[], Sequence[str]], depth: int = 1
) -> Answer:
    """Return rows of a stream, with their table."""

    def text(make: Callable[..., Format]) -> bytes:
        form = make(feed.symbols, stream, depth, sessions=isinstance(feed, LongPort))
        return form.header + form(rows)

    return Answer(table, lambda: text(Csv), lambda: text(JsonLines), len(rows))


def of_records(
    kind: type[msgspec.Struct],
    found: Sequence[msgspec.Struct],
    table: Callable[[], Sequence[str]],
    in_csv: tuple[type[msgspec.Struct], Sequence[msgspec.Struct]] | None = None,
) -> Answer:
    """Return records, with their table; `in_csv`: others that stand for them there."""
    csv_kind, csv_records = in_csv or (kind, found)
    return Answer(
        table, lambda: csv_lines(csv_kind, csv_records), lambda: json_lines(found), len(found)
    )


def listed(kind: type[msgspec.Struct], found: Sequence[msgspec.Struct], **paths: str) -> Answer:
    """Return records, with a table of the fields at some paths; ``_ns`` ones are times."""

    def table() -> Sequence[str]:
        return grid(
            [
                (times if path.endswith("_ns") else column)(
                    title.replace("_", " "), [value_at(item, path) for item in found]
                )
                for title, path in paths.items()
            ],
            terminal_width(),
        )

    return of_records(kind, found, table)


def single(record: msgspec.Struct) -> Answer:
    """Return a record, with a table that has a line a field."""
    return of_records(type(record), [record], lambda: fields(record))


def fields(record: msgspec.Struct) -> list[str]:
    """Return the lines of a table with a line a field."""
    names: list[str] = []
    texts: list[str] = []
    for path, value in flat(record).items():
        if isinstance(value, dict) or (
            isinstance(value, tuple) and not all(isinstance(item, str | int) for item in value)
        ):
            continue  # lists of records have tables of their own
        if path.endswith("_ns"):
            made = times("", [value])
            names.append(f"{path.removesuffix('_ns').replace('_', ' ')} (UTC)")
        else:
            is_label = path.endswith(("_id", "_version", "_build"))
            made = column("", [str(value) if is_label else value])
            names.append(path.replace("_", " "))
        texts += (cell.strip() for cell in made.cells)
    return grid([column("", names), Column("", texts, left=True)], terminal_width(), heading=False)
