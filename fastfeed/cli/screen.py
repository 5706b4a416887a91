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

__all__ = ["Picture", "Screen", "readable"]

_FRAME_LINES = 6  # title, headings, two rules, totals, event
_SORT_AGAIN_S = 2.0
_MOST_SUMMARY_ROWS = 40  # in a terminal
_NARROWEST = 40
_FEWEST_PLACES = 2
_WIDEST_TREND = 36

_PLAIN = Style()
_DIM = Style(dim=True)
_BOLD = Style(bold=True)
_HEADING = Style(dim=True)
_SYMBOL = Style(bold=True)
_URL = Style(color="cyan")
_UP = Style(color="green")
_DOWN = Style(color="red")
_WAIT = Style(color="yellow", bold=True)
_STYLES = {1: _UP, -1: _DOWN, 0: _PLAIN}
_FLASHES = {1: _UP + _BOLD, -1: _DOWN + _BOLD, 0: _BOLD}

_BARS = "▁▂▃▄▅▆▇█"

_GOOD_NEWS = ("connected", "resubscribed", "notice")

Cell = tuple[str, Style]


@dataclasses.dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: int  # at least; a column never shrinks, so that the table stands still
    importance: int  # the smallest goes first when the terminal is narrow
    left: bool = False


_COLUMNS = {
    "symbol": _Column("Symbol", 8, 100, left=True),
    "last": _Column("Last", 8, 99),
    "change": _Column("Change", 7, 2),
    "percent": _Column("%", 7, 9),
    "volume": _Column("Volume", 7, 3),
    "ticks": _Column("Ticks", 6, 8),
    "rate": _Column("Ticks/s", 7, 7),
    "age": _Column("Age", 5, 5),
    "latency": _Column("Latency", 7, 6),
    "trend": _Column("Trend", 12, 1, left=True),
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
    """

    def __init__(
        self, console: Console, board: Board, symbols: Any, url: str, title: str = "fastfeed"
    ) -> None:
        self._console = console
        self._board = board
        self._symbols = symbols
        self._url = url
        self._title = title
        self._unicode = console.encoding.lower().startswith("utf")
        self._places: dict[int, int] = {}
        self._widths: dict[str, int] = {}
        self._chosen: list[int] = []
        self._chosen_at = -math.inf
        self._event = ""
        self._event_is_bad = False
        self._event_at = ""

    def tell(self, event: Event) -> None:
        """Show an event until the next one."""
        self._event = words.event_words(event)
        self._event_is_bad = event.kind not in _GOOD_NEWS
        self._event_at = time.strftime("%H:%M:%S", time.localtime(event.time_ns / 1e9))

    def live(self, *, connected: bool, lost: int, now_s: float) -> Picture:
        """Return the picture of this moment, for the whole terminal."""
        width, height = self._console.size
        shown = self._most_active(max(1, height - _FRAME_LINES), now_s)
        cells = self._cells(shown, _LIVE, now_s)
        columns = self._fit(_LIVE, cells, width)
        self._draw_trends(cells, columns, shown, width)
        body = self._body(cells, columns)
        across = min(width, max(self._across(columns), _NARROWEST))
        margin = [(" " * min(1, width - across), _PLAIN)]
        rule = ("─" * across, _DIM)
        board = self._board
        state = ("connected", _UP) if connected else ("reconnecting", _WAIT)
        left = [(self._title, _BOLD), ("  ", _PLAIN), (self._url, _URL)]
        right = [(f"● {state[0]}", state[1]), (f"  {words.clock(board.elapsed_s)}", _PLAIN)]
        if _length(left) + 2 + _length(right) > across:
            del right[1]
        totals = [
            (f"{board.total:,}", _BOLD),
            (" ticks  ", _DIM),
            (words.rate(float(board.rates().sum())), _BOLD),
            ("/s  ", _DIM),
            (words.latency(board.recent_latency_ns()), _BOLD),
            (" latency", _DIM),
        ]
        hidden = len(self._symbols) - len(shown)
        if lost:
            note = [(f"{lost:,} not seen here", _WAIT)]
        elif hidden > 0:
            note = [(f"busiest {len(shown)} of {len(self._symbols)}", _DIM)]
        else:
            note = []
        event = [(f"{self._event_at}  {self._event}", _WAIT if self._event_is_bad else _DIM)]
        lines = [_spread(left, right, across), body[0], [rule], *body[1:], [rule]]
        lines.append(_spread(totals, note, across))
        hint = [("Ctrl-C ends", _DIM)]
        lines.append(_spread(event, hint if _length(event) + 13 <= across else [], across))
        return Picture([_crop([*margin, *line], width) for line in lines[:height]])

    def summary(self) -> Picture:
        """Return the table of the whole time, for a terminal's scrollback or a file."""
        console = self._console
        size = len(self._symbols)
        shown = list(range(size))
        if console.is_terminal and size > _MOST_SUMMARY_ROWS:
            self._board.grow(size)
            busiest = np.argsort(-self._board.ticks, kind="stable")[:_MOST_SUMMARY_ROWS]
            shown = sorted(busiest.tolist())
        cells = self._cells(shown, _SUMMARY, time.monotonic())
        width = console.width if console.is_terminal else 1 << 16
        self._widths.clear()
        columns = self._fit(_SUMMARY, cells, width)
        body = self._body(cells, columns)
        rule = ("─" * min(self._across(columns), width), _DIM)
        lines = [body[0], [rule], *body[1:]]
        if size > len(shown):
            lines.append([(f"and {size - len(shown)} less active symbols", _DIM)])
        return Picture([_crop(line, width) for line in lines])

    # ---- which symbols

    def _most_active(self, room: int, now_s: float) -> list[int]:
        """Return the ids to show, in the order of the symbols; looked at anew every few seconds only."""
        size = len(self._symbols)
        self._board.grow(size)
        if size <= room:
            return list(range(size))
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
        cells: dict[str, list[Cell]] = {"symbol": [(self._symbols[i], _SYMBOL) for i in shown]}
        cells["last"] = [
            (
                _pad(words.price(price, p), p, room),
                (_FLASHES if flash else _STYLES)[move],
            )
            for price, p, flash, move in zip(last, places, flashing, moves, strict=True)
        ]
        cells["change"] = [
            (_pad(words.price(value, p, sign=True), p, room), _sign(value))
            for value, p in zip(change, places, strict=True)
        ]
        cells["percent"] = [(words.percent(value), _sign(value)) for value in part.tolist()]
        cells["volume"] = [(words.count(value), _PLAIN) for value in board.volume[ids].tolist()]
        cells["ticks"] = [(f"{n:,}", _PLAIN) for n in board.ticks[ids].tolist()]
        rates = (
            board.rates()[ids] if "age" in names else board.ticks[ids] / max(board.elapsed_s, 1e-3)
        )
        cells["rate"] = [
            (words.rate(value), _PLAIN if value >= 0.05 else _DIM) for value in rates.tolist()
        ]
        cells["age"] = [(words.age(value), _DIM if value > 10 else _PLAIN) for value in ages]
        cells["latency"] = [
            (words.latency(value), _PLAIN) for value in board.latency_ns(ids).tolist()
        ]
        if self._unicode:
            cells["trend"] = [
                ("", _sign(value)) for value in change
            ]  # drawn when its width is known
        return {name: cells[name] for name in names if name in cells}

    def _draw_trends(
        self, cells: dict[str, list[Cell]], columns: list[str], shown: list[int], width: int
    ) -> None:
        """Give the trends what the other columns leave."""
        if "trend" not in columns:
            return
        least = _COLUMNS["trend"].width
        self._widths["trend"] = least
        room = min(_WIDEST_TREND, width - 1 - self._across(columns) + least)
        self._widths["trend"] = max(least, room)
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

    def _fit(self, names: Sequence[str], cells: dict[str, list[Cell]], width: int) -> list[str]:
        """Measure the columns, and leave the least important out until the others fit."""
        for name, column in cells.items():
            spec = _COLUMNS[name]
            longest = max((len(text) for text, _ in column), default=0)
            before = 0 if name == "trend" else self._widths.get(name, 0)
            self._widths[name] = max(spec.width, before, longest)
        columns = [name for name in names if name in cells]
        while len(columns) > 2 and self._across(columns) > width:
            columns.remove(min(columns, key=lambda name: _COLUMNS[name].importance))
        return columns

    def _across(self, columns: Sequence[str]) -> int:
        return sum(self._widths[name] for name in columns) + 2 * (len(columns) - 1)

    def _body(self, cells: dict[str, list[Cell]], columns: list[str]) -> list[list[Cell]]:
        head = [self._cell(name, (_COLUMNS[name].title, _HEADING)) for name in columns]
        lines = [list(_joined(head))]
        for row in zip(*(cells[name] for name in columns), strict=True):
            padded = [self._cell(name, cell) for name, cell in zip(columns, row, strict=True)]
            lines.append(list(_joined(padded)))
        return lines

    def _cell(self, name: str, cell: Cell) -> Cell:
        text, style = cell
        width = self._widths[name]
        return (text.ljust(width) if _COLUMNS[name].left else text.rjust(width), style)


def _pad(text: str, places: int, room: int) -> str:
    """Fill up on the right, so that decimal points stand below each other."""
    return text + " " * (room - places - (places > 0)) if text != "–" else text


def _sign(value: float) -> Style:
    return _UP if value > 0 else _DOWN if value < 0 else _DIM


def _joined(cells: Sequence[Cell]) -> Iterator[Cell]:
    for i, cell in enumerate(cells):
        if i:
            yield ("  ", _PLAIN)
        yield cell


def _length(cells: Sequence[Cell]) -> int:
    return sum(len(text) for text, _ in cells)


def _spread(left: list[Cell], right: list[Cell], width: int) -> list[Cell]:
    """Put one part at each end of the line; the left one gives way."""
    if not right:
        return _crop(left, width)
    room = width - _length(right) - 2
    if room < 0:
        return _crop(left, width)
    left = _crop(left, room)
    return [*left, (" " * (width - _length(left) - _length(right)), _PLAIN), *right]


def _crop(cells: Sequence[Cell], width: int) -> list[Cell]:
    if _length(cells) <= width:
        return list(cells)
    result: list[Cell] = []
    for text, style in cells:
        if len(text) >= width:
            result.append((text[: max(width - 1, 0)] + "…"[:width], style))
            break
        result.append((text, style))
        width -= len(text)
    return result
