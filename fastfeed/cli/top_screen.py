"""The picture of `fastfeed top`: three tables, one below the other."""

from __future__ import annotations

import math
from typing import Any

from fastfeed._core.meter import Latency
from fastfeed.cli import words
from fastfeed.cli.grid import times
from fastfeed.cli.panels import shares
from fastfeed.cli.screen import (
    DIM,
    DOWN,
    NARROWEST,
    PLAIN,
    SYMBOL,
    UP,
    WAIT,
    Cell,
    ColumnSpec,
    Frame,
    Layout,
    Picture,
    crop,
    length,
)

__all__ = ["TopScreen"]

_FRAME_LINES = 4  # title, writer, rule, event
_PLAIN_WIDTH = 160
_STUCK_S = 2.0  # a feed tells of itself four times a second
_MOST_NAME = 40

_FEEDS = {
    "url": ColumnSpec("Feed", 12, 100, left=True),
    "state": ColumnSpec("State", 12, 99, left=True),
    "rate": ColumnSpec("Rows/s", 7, 98),
    "bytes": ColumnSpec("MB/s", 6, 60),
    "gateway": ColumnSpec("Gateway p50 / p99", 17, 95),
    "publish": ColumnSpec("Publish p50 / p99", 17, 94),
    "gaps": ColumnSpec("Gaps", 4, 90),
    "rejected": ColumnSpec("Rejected", 8, 80),
    "age": ColumnSpec("Age", 5, 85),
}
_STREAMS = {
    "stream": ColumnSpec("Stream", 12, 100, left=True),
    "rows": ColumnSpec("Rows", 11, 98),
    "rate": ColumnSpec("Rows/s", 7, 99),
    "capacity": ColumnSpec("Capacity", 10, 80),
    "fill": ColumnSpec("Fill", 5, 90),
}
_READERS = {
    "pid": ColumnSpec("Reader", 7, 100, left=True),
    "program": ColumnSpec("Program", 12, 90, left=True),
    "stream": ColumnSpec("Stream", 6, 98, left=True),
    "lag": ColumnSpec("Lag", 8, 99),
    "share": ColumnSpec("Of ring", 7, 95),
    "lost": ColumnSpec("Lost", 8, 97),
    "read": ColumnSpec("Read p50 / p99", 17, 93),
    "idle": ColumnSpec("Idle", 5, 80),
}

Lines = list[list[Cell]]


class TopScreen:
    """Draws what was measured of a hub.

    Parameters
    ----------
    console : rich.console.Console
    name : str
        Of the hub.
    """

    def __init__(self, console: Any, name: str) -> None:
        self._console = console
        self._frame = Frame(name, "fastfeed top", ("alive", "writer is gone"))
        self._layouts = [Layout(columns) for columns in (_FEEDS, _STREAMS, _READERS)]
        self.say = self._frame.say

    def live(self, seen: dict[str, Any]) -> Picture:
        """Return the picture of a moment, for the whole terminal."""
        width, height = self._console.size
        inner = max(width - 1, 1)
        body = self._body(seen, inner, max(height - _FRAME_LINES, 1))
        return self._draw(seen, body, width, height)

    def plain(self, seen: dict[str, Any]) -> Picture:
        """Return all of it, for a terminal's scrollback or a file."""
        width = self._console.width if self._console.is_terminal else _PLAIN_WIDTH
        body = self._body(seen, width, 1 << 16)
        return Picture([crop(line, width) for line in (_writer(seen), *body)])

    def _draw(self, seen: dict[str, Any], body: Lines, width: int, height: int) -> Picture:
        inner = max(width - 1, 1)
        across = min(inner, max(NARROWEST, *map(length, [_writer(seen), *body])))
        return self._frame.draw(
            [_writer(seen), *body],
            [],
            size=(width, height),
            across=across,
            connected=seen["alive"],
            elapsed_s=_age(seen, seen["generation"]),
        )

    def _body(self, seen: dict[str, Any], width: int, room: int) -> Lines:
        used = {name: one for name, one in seen["streams"].items() if one["rows"]}
        parts = [
            (_feed_cells(seen), "no feeds yet"),
            (_stream_cells(used), "no rows yet"),
            (_reader_cells(seen), "nobody reads it"),
        ]
        wanted = [1 + max(len(next(iter(cells.values()))), 1) for cells, _ in parts]
        blank: Lines = [[]] if sum(wanted) + len(parts) <= room else []
        lines: Lines = []
        given = shares(wanted, room)
        for layout, (cells, nothing), most in zip(self._layouts, parts, given, strict=True):
            lines += blank + _table(layout, cells, nothing, width, most)
        return lines


def _table(
    layout: Layout, cells: dict[str, list[Cell]], nothing: str, width: int, room: int
) -> Lines:
    """Return the headings and the rows, so many lines at most."""
    if not any(cells.values()):
        return [[(nothing, DIM)]][:room]
    body = layout.body(cells, layout.fit(cells, width))
    if len(body) > room:
        hidden = len(body) + 1 - room
        body = [*body[: max(room - 1, 0)], [(f"and {hidden} more", DIM)]]
    return body[:room]


def _writer(seen: dict[str, Any]) -> list[Cell]:
    began = times("", [seen["generation"] // 1_000_000_000 * 1_000_000_000]).cells[0]
    text = f"process {seen['pid']}, {_clean(seen['program'])}, since {began} UTC"
    return [(text, DIM if seen["alive"] else WAIT)]


def _feed_cells(seen: dict[str, Any]) -> dict[str, list[Cell]]:
    cells: dict[str, list[Cell]] = {name: [] for name in _FEEDS}
    for feed in seen["feeds"]:
        closed = feed["state"] == "closed"
        plain = DIM if closed else PLAIN
        age = _age(seen, feed["last_recv_ns"])
        texts: dict[str, Cell] = {
            "url": (_clean(feed["url"]), DIM if closed else SYMBOL),
            "state": _state(seen, feed),
            "rate": (_rate(feed["rows_per_s"]), plain),
            "bytes": (_megabytes(feed["bytes_per_s"]), plain),
            "gateway": (_latency(feed["gateway_to_receive"]), plain),
            "publish": (_latency(feed["receive_to_publish"]), plain),
            "gaps": (f"{feed['gaps']:,}", WAIT if feed["gaps"] else DIM),
            "rejected": (f"{feed['rejected']:,}", DOWN if feed["rejected"] else DIM),
            "age": (words.age(age), DIM if age > 10 else plain),
        }
        for name, cell in texts.items():
            cells[name].append(cell)
    return cells


def _state(seen: dict[str, Any], feed: dict[str, Any]) -> Cell:
    state = feed["state"]
    if state == "closed":
        return (state, DIM)
    if not seen["alive"]:
        return ("gone", WAIT)
    silent = _age(seen, feed["beat_ns"])
    if silent > _STUCK_S:  # its event loop has had no time for so long
        return (f"stuck {words.age(silent)}", WAIT)
    return (state, UP if state == "connected" else WAIT)


def _stream_cells(streams: dict[str, Any]) -> dict[str, list[Cell]]:
    cells: dict[str, list[Cell]] = {name: [] for name in _STREAMS}
    for stream, one in streams.items():
        cells["stream"].append((stream, SYMBOL))
        cells["rows"].append((f"{one['rows']:,}", PLAIN))
        cells["rate"].append((_rate(one["rows_per_s"]), PLAIN))
        cells["capacity"].append((f"{one['capacity']:,}", DIM))
        cells["fill"].append((f"{min(one['rows'] / one['capacity'], 1):.0%}", DIM))
    return cells


def _reader_cells(seen: dict[str, Any]) -> dict[str, list[Cell]]:
    cells: dict[str, list[Cell]] = {name: [] for name in _READERS}
    rows = []
    for reader in seen["readers"]:
        capacity = seen["streams"].get(reader["stream"], {"capacity": 0})["capacity"]
        share = reader["lag"] / capacity if capacity else 0.0
        rows.append((share, reader))
    rows.sort(key=lambda row: (-row[0], -_p99(row[1]["publish_to_read"]), row[1]["id"]))
    for share, reader in rows:
        style = DOWN if share > 1 else WAIT if share > 0.5 else PLAIN
        cells["pid"].append((str(reader["pid"]), SYMBOL))
        cells["program"].append((_clean(reader["program"]) or words.NONE, PLAIN))
        cells["stream"].append((reader["stream"], PLAIN))
        cells["lag"].append((f"{reader['lag']:,}", style))
        cells["share"].append((f"{share:.1%}", style))
        cells["lost"].append((f"{reader['lost']:,}", DOWN if reader["lost"] else DIM))
        cells["read"].append((_latency(reader["publish_to_read"]), PLAIN))
        cells["idle"].append((words.age(_age(seen, reader["read_ns"])), DIM))
    return cells


def _age(seen: dict[str, Any], time_ns: int) -> float:
    return (seen["time_ns"] - time_ns) / 1e9 if time_ns else math.nan


def _rate(value: float | None) -> str:
    return words.NONE if value is None else words.rate(value)


def _megabytes(value: float | None) -> str:
    return words.NONE if value is None else f"{value / 1e6:.3f}"


def _latency(latency: Latency | None) -> str:
    if latency is None or not latency.count:
        return words.NONE
    parts = (latency.percentile_ns(q) for q in (0.5, 0.99))
    return " / ".join(words.latency(float(part or 0)) for part in parts)


def _p99(latency: Latency | None) -> int:
    return (latency.percentile_ns(0.99) or 0) if latency is not None else 0


def _clean(text: str) -> str:
    """Return a text of another process's as it can be shown."""
    text = words.printable(text)
    return text if len(text) <= _MOST_NAME else text[: _MOST_NAME - 1] + "…"
