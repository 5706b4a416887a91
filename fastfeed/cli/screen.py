"""The table of `fastfeed watch`, drawn line by line to fit the terminal.

The layout is our own and rich does the terminal: a rich Table costs some 15 ms a picture, during which nothing
would be received; this takes about one.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from fastfeed.cli import words
from fastfeed.cli.board import Board
from fastfeed.feeds.events import Event

__all__ = [
    "BOLD",
    "DIM",
    "DOWN",
    "FLASHES",
    "HEADING",
    "NARROWEST",
    "PLAIN",
    "STYLES",
    "SYMBOL",
    "UP",
    "URL",
    "WAIT",
    "Cell",
    "ColumnSpec",
    "Frame",
    "Layout",
    "Picture",
    "Screen",
    "crop",
    "length",
    "pad",
    "readable",
    "rule",
    "sign",
    "spread",
]

_FRAME_LINES = 6  # title, headings, two rules, totals, event
_SORT_AGAIN_S = 2.0
_MOST_SUMMARY_ROWS = 40  # in a terminal
NARROWEST = 40
_FEWEST_PLACES = 2
_WIDEST_TREND = 36

PLAIN = Style()
DIM = Style(dim=True)
BOLD = Style(bold=True)
HEADING = Style(dim=True)
SYMBOL = Style(bold=True)
URL = Style(color="cyan")
UP = Style(color="green")
DOWN = Style(color="red")
WAIT = Style(color="yellow", bold=True)
STYLES = {1: UP, -1: DOWN, 0: PLAIN}
FLASHES = {1: UP + BOLD, -1: DOWN + BOLD, 0: BOLD}

_BARS = "▁▂▃▄▅▆▇█"

_GOOD_NEWS = ("connected", "resubscribed", "notice")

Cell = tuple[str, Style]


@dataclasses.dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A column of a live table."""

    title: str
    width: int  # at least; a column never shrinks, so that the table stands still
    importance: int  # the smallest goes first when the terminal is narrow
    left: bool = False


_COLUMNS = {
    "symbol": ColumnSpec("Symbol", 8, 100, left=True),
    "last": ColumnSpec("Last", 8, 99),
    "change": ColumnSpec("Change", 7, 2),
    "percent": ColumnSpec("%", 7, 9),
    "volume": ColumnSpec("Volume", 7, 3),
    "ticks": ColumnSpec("Ticks", 6, 8),
    "rate": ColumnSpec("Ticks/s", 7, 7),
    "age": ColumnSpec("Age", 5, 5),
    "latency": ColumnSpec("Latency", 7, 6),
    "trend": ColumnSpec("Trend", 12, 1, left=True),
}
_LIVE = ("symbol", "last", "change", "percent", "volume", "rate", "age", "latency", "trend")
_SUMMARY = ("symbol", "last", "change", "percent", "volume", "ticks", "rate", "latency")


def readable(text: str, console: Console) -> str:
    """Return a text without the characters that the terminal's encoding does not have."""
    return text if console.encoding.lower().startswith("utf") else text.translate(words.ASCII)


class Picture:
    """Lines that are drawn as they are."""

    def __init__(self, lines: Sequence[Sequence[Cell]]) -> None:
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            for text, style in line:
                yield Segment(readable(text, console), style)
            yield Segment.line()


class Frame:
    """What stands around a live view: the title with the state of the connection, totals, the last event.

    Parameters
    ----------
    url : str
    title : str
    states : tuple of str
        What it says when connected, and when not.
    """

    def __init__(
        self,
        url: str,
        title: str = "fastfeed",
        states: tuple[str, str] = ("connected", "reconnecting"),
    ) -> None:
        self._url = url
        self._title = title
        self._states = states
        self._event = ""
        self._event_is_bad = False
        self._event_at = ""

    def tell(self, event: Event) -> None:
        """Show an event until the next one."""
        self.say(words.event_words(event), event.time_ns, is_bad=event.kind not in _GOOD_NEWS)

    def say(self, text: str, time_ns: int, *, is_bad: bool) -> None:
        """Show what happened until something else does."""
        self._event = text
        self._event_is_bad = is_bad
        self._event_at = time.strftime("%H:%M:%S", time.localtime(time_ns / 1e9))

    def draw(
        self,
        body: Sequence[list[Cell]],
        totals: Sequence[list[Cell]],
        *,
        size: tuple[int, int],
        across: int,
        connected: bool,
        elapsed_s: float,
    ) -> Picture:
        """Return the picture: a line above the body, some below it, so many places across."""
        width, height = size
        margin = [(" " * min(1, width - across), PLAIN)]
        state = (self._states[0], UP) if connected else (self._states[1], WAIT)
        left = [(self._title, BOLD), ("  ", PLAIN), (self._url, URL)]
        right = [(f"● {state[0]}", state[1]), (f"  {words.clock(elapsed_s)}", PLAIN)]
        if length(left) + 2 + length(right) > across:
            del right[1]
        lines = [spread(left, right, across), *body, rule(across), *totals]
        event = [(f"{self._event_at}  {self._event}", WAIT if self._event_is_bad else DIM)]
        hint = [("Ctrl-C ends", DIM)]
        lines.append(spread(event, hint if length(event) + 13 <= across else [], across))
        return Picture([crop([*margin, *line], width) for line in lines[:height]])


class Screen:
    """Draws a board.

    Parameters
    ----------
    console : rich.console.Console
    board : Board
    symbols : sequence of str
        By id.
    url : str
    title : str
        What stands first.
    silent : bool
        Show also symbols without a tick.
    """

    def __init__(
        self,
        console: Console,
        board: Board,
        symbols: Any,
        url: str,
        title: str = "fastfeed",
        *,
        silent: bool = True,
    ) -> None:
        self._silent = silent
        self._console = console
        self._board = board
        self._symbols = symbols
        self._frame = Frame(url, title)
        self._unicode = console.encoding.lower().startswith("utf")
        self._places: dict[int, int] = {}
        self._layout = Layout(_COLUMNS)
        self._chosen: list[int] = []
        self._chosen_at = -math.inf

    def tell(self, event: Event) -> None:
        """Show an event until the next one."""
        self._frame.tell(event)

    def live(self, *, connected: bool, lost: int, now_s: float) -> Picture:
        """Return the picture of this moment, for the whole terminal."""
        width, height = self._console.size
        body, columns = self.body(width, max(1, height - _FRAME_LINES), now_s)
        across = min(width, max(self._layout.across(columns), NARROWEST))
        board = self._board
        totals = [
            (f"{board.total:,}", BOLD),
            (" ticks  ", DIM),
            (words.rate(float(board.rates().sum())), BOLD),
            ("/s  ", DIM),
            (words.latency(board.recent_latency_ns()), BOLD),
            (" latency", DIM),
        ]
        size = len(self._candidates())
        hidden = size - (len(body) - 1)
        if lost:
            note = [(f"{lost:,} not seen here", WAIT)]
        elif hidden > 0:
            note = [(f"busiest {len(body) - 1} of {size}", DIM)]
        else:
            note = []
        return self._frame.draw(
            [body[0], rule(across), *body[1:]],
            [spread(totals, note, across)],
            size=(width, height),
            across=across,
            connected=connected,
            elapsed_s=board.elapsed_s,
        )

    def body(self, width: int, room: int, now_s: float) -> tuple[list[list[Cell]], list[str]]:
        """Return the lines of the live table, headings and so many symbols, and the names of its columns."""
        shown = self._most_active(room, now_s)
        cells = self._cells(shown, _LIVE, now_s)
        columns = self._layout.fit(cells, width)
        self._draw_trends(cells, columns, shown, width)
        return self._layout.body(cells, columns), columns

    def summary(self) -> Picture:
        """Return the table of the whole time, for a terminal's scrollback or a file."""
        console = self._console
        shown = self._candidates()
        size = len(shown)
        if console.is_terminal and size > _MOST_SUMMARY_ROWS:
            busiest = np.argsort(-self._board.ticks, kind="stable")[:_MOST_SUMMARY_ROWS]
            shown = sorted(busiest.tolist())
        cells = self._cells(shown, _SUMMARY, time.monotonic())
        width = console.width if console.is_terminal else 1 << 16
        self._layout.widths.clear()
        columns = self._layout.fit(cells, width)
        body = self._layout.body(cells, columns)
        lines = [body[0], rule(min(self._layout.across(columns), width)), *body[1:]]
        if size > len(shown):
            lines.append([(f"and {size - len(shown)} less active symbols", DIM)])
        return Picture([crop(line, width) for line in lines])

    # ---- which symbols

    def _candidates(self) -> list[int]:
        """Return the ids that may be shown."""
        self._board.grow(len(self._symbols))
        if self._silent:
            return list(range(len(self._symbols)))
        found: list[int] = np.flatnonzero(self._board.ticks).tolist()
        return found

    def _most_active(self, room: int, now_s: float) -> list[int]:
        """Return the ids to show, in the order of the symbols; looked at anew every few seconds only."""
        found = self._candidates()
        if len(found) <= room:
            return found
        if now_s - self._chosen_at >= _SORT_AGAIN_S or len(self._chosen) != room:
            self._chosen_at = now_s
            activity = self._board.rates() + 1e-9 * self._board.ticks
            busiest = np.argsort(-activity, kind="stable")[:room]
            self._chosen = sorted(busiest.tolist())
        return self._chosen

    # ---- the table

    def _cells(self, shown: list[int], names: Sequence[str], now_s: float) -> dict[str, list[Cell]]:
        board = self._board
        board.grow(len(self._symbols))
        ids = np.array(shown, np.intp)
        flashing = board.flashing(now_s)[ids].tolist()
        moves = board.move[ids].tolist()
        last = board.last[ids].tolist()
        change = (board.last[ids] - board.first[ids]).tolist()
        with np.errstate(divide="ignore", invalid="ignore"):
            part = board.last[ids] / board.first[ids] - 1
        part[~np.isfinite(part)] = math.nan
        recv_ns = board.recv_ns[ids]
        ages = np.where(recv_ns > 0, (time.time_ns() - recv_ns) / 1e9, math.nan).tolist()
        for i, *prices in zip(shown, board.first[ids].tolist(), last, strict=True):
            known = self._places.get(i, _FEWEST_PLACES)
            self._places[i] = max(known, *map(words.decimals, prices))
        places = [self._places[i] for i in shown]
        most = max(places, default=0)
        room = most + (most > 0)
        cells: dict[str, list[Cell]] = {"symbol": [(self._symbols[i], SYMBOL) for i in shown]}
        cells["last"] = [
            (
                pad(words.price(price, p), p, room),
                (FLASHES if flash else STYLES)[move],
            )
            for price, p, flash, move in zip(last, places, flashing, moves, strict=True)
        ]
        cells["change"] = [
            (pad(words.price(value, p, sign=True), p, room), sign(value))
            for value, p in zip(change, places, strict=True)
        ]
        cells["percent"] = [(words.percent(value), sign(value)) for value in part.tolist()]
        cells["volume"] = [(words.count(value), PLAIN) for value in board.volume[ids].tolist()]
        cells["ticks"] = [(f"{n:,}", PLAIN) for n in board.ticks[ids].tolist()]
        rates = (
            board.rates()[ids] if "age" in names else board.ticks[ids] / max(board.elapsed_s, 1e-3)
        )
        cells["rate"] = [
            (words.rate(value), PLAIN if value >= 0.05 else DIM) for value in rates.tolist()
        ]
        cells["age"] = [(words.age(value), DIM if value > 10 else PLAIN) for value in ages]
        cells["latency"] = [
            (words.latency(value), PLAIN) for value in board.latency_ns(ids).tolist()
        ]
        if self._unicode:
            cells["trend"] = [
                ("", sign(value)) for value in change
            ]  # drawn when its width is known
        return {name: cells[name] for name in names if name in cells}

    def _draw_trends(
        self, cells: dict[str, list[Cell]], columns: list[str], shown: list[int], width: int
    ) -> None:
        """Give the trends what the other columns leave."""
        if "trend" not in columns:
            return
        least = _COLUMNS["trend"].width
        self._layout.widths["trend"] = least
        room = min(_WIDEST_TREND, width - 1 - self._layout.across(columns) + least)
        self._layout.widths["trend"] = max(least, room)
        cells["trend"] = [
            (self._bars(symbol, room), style)
            for symbol, (_, style) in zip(shown, cells["trend"], strict=True)
        ]

    def _bars(self, symbol: int, room: int) -> str:
        samples = self._board.trend(symbol, room)
        known = samples[~np.isnan(samples)]
        if not len(known):
            return ""
        low, high = float(known.min()), float(known.max())
        if high == low:
            return _BARS[3] * len(known)
        steps = ((known - low) * ((len(_BARS) - 1) / (high - low)) + 0.5).astype(int)
        return "".join(_BARS[i] for i in steps.tolist())


class Layout:
    """The columns of a table: as wide as they ever were, the least important ones left out in a narrow terminal.

    Parameters
    ----------
    columns : dict
    """

    def __init__(self, columns: dict[str, ColumnSpec]) -> None:
        self._columns = columns
        self.widths: dict[str, int] = {}

    def fit(self, cells: dict[str, list[Cell]], width: int) -> list[str]:
        """Measure the columns, and return those that fit."""
        for name, column in cells.items():
            spec = self._columns[name]
            longest = max((len(text) for text, _ in column), default=0)
            before = 0 if name == "trend" else self.widths.get(name, 0)
            self.widths[name] = max(spec.width, before, longest)
        columns = list(cells)
        while len(columns) > 2 and self.across(columns) > width:
            columns.remove(min(columns, key=lambda name: self._columns[name].importance))
        return columns

    def across(self, columns: Sequence[str]) -> int:
        """Return how wide the columns are together."""
        return sum(self.widths[name] for name in columns) + 2 * (len(columns) - 1)

    def body(self, cells: dict[str, list[Cell]], columns: list[str]) -> list[list[Cell]]:
        """Return the lines, the headings first."""
        head = [self._cell(name, (self._columns[name].title, HEADING)) for name in columns]
        lines = [list(_joined(head))]
        for row in zip(*(cells[name] for name in columns), strict=True):
            padded = [self._cell(name, cell) for name, cell in zip(columns, row, strict=True)]
            lines.append(list(_joined(padded)))
        return lines

    def _cell(self, name: str, cell: Cell) -> Cell:
        text, style = cell
        width = self.widths[name]
        return (text.ljust(width) if self._columns[name].left else text.rjust(width), style)


def pad(text: str, places: int, room: int) -> str:
    """Fill up on the right, so that decimal points stand below each other."""
    return text + " " * (room - places - (places > 0)) if text != "–" else text


def sign(value: float) -> Style:
    """Return the style of a change."""
    return UP if value > 0 else DOWN if value < 0 else DIM


def rule(width: int) -> list[Cell]:
    """Return a horizontal line."""
    return [("─" * width, DIM)]


def _joined(cells: Sequence[Cell]) -> Iterator[Cell]:
    for i, cell in enumerate(cells):
        if i:
            yield ("  ", PLAIN)
        yield cell


def length(cells: Sequence[Cell]) -> int:
    """Return how wide some cells are."""
    return sum(len(text) for text, _ in cells)


def spread(left: list[Cell], right: list[Cell], width: int) -> list[Cell]:
    """Put one part at each end of the line; the left one gives way."""
    if not right:
        return crop(left, width)
    room = width - length(right) - 2
    if room < 0:
        return crop(left, width)
    left = crop(left, room)
    return [*left, (" " * (width - length(left) - length(right)), PLAIN), *right]


def crop(cells: Sequence[Cell], width: int) -> list[Cell]:
    """Return cells that are no wider."""
    if length(cells) <= width:
        return list(cells)
    result: list[Cell] = []
    for text, style in cells:
        if len(text) >= width:
            result.append((text[: max(width - 1, 0)] + "…"[:width], style))
            break
        result.append((text, style))
        width -= len(text)
    return result
