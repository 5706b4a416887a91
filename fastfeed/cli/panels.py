"""The live view of everything but ticks alone: a panel for each stream, one below the other.

A panel keeps the last row of each symbol (of quotes also by session, of bars by interval), taken some ten times a
second from all rows that are new.
"""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastfeed.cli import ladder, words
from fastfeed.cli.board import Board
from fastfeed.cli.columns import INTERVAL_NAMES, SESSION_NAMES
from fastfeed.cli.grid import dates, times
from fastfeed.cli.screen import (
    BOLD,
    DIM,
    DOWN,
    FLASHES,
    HEADING,
    NARROWEST,
    PLAIN,
    STYLES,
    SYMBOL,
    UP,
    WAIT,
    Cell,
    ColumnSpec,
    Frame,
    Layout,
    Picture,
    Screen,
    crop,
    length,
    rule,
    sign,
    spread,
)
from fastfeed.feeds.events import Event
from fastfeed.feeds.feed import Feed
from fastfeed.stream import Rows

__all__ = ["Panel", "Panels", "panel_of"]

_FRAME_LINES = 4  # title, rule, totals, event
_FEWEST_LINES = 3  # of a book
_TIGHT = 5  # with fewer lines for each panel there is nothing but rows
_ENOUGH = 1 << 16
_FLASH_S = 0.6
_RATE_S = 2.0
_DAY_S = 86400
_BOOK_WIDTH = 62  # the least that a book takes beside another one
_BOOK_GAP = 4
_SUMMARY_WIDTH = 140
_WIDEST = 36  # of the names of some brokers

Lines = list[list[Cell]]


class Panel(abc.ABC):
    """What is shown of one stream."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abc.abstractmethod
    def take(self, rows: Rows, now_s: float) -> None:
        """Take in new rows, or none for the time to go on."""

    @abc.abstractmethod
    def wanted(self, width: int) -> int:
        """Return how many lines it would fill."""

    @abc.abstractmethod
    def lines(self, width: int, room: int, now_s: float) -> Lines:
        """Return so many lines at most."""


class _Ticks(Panel):
    """The table of ticks, as `watch` has it for ticks alone."""

    def __init__(self, feed: Feed, console: Any) -> None:
        super().__init__("ticks")
        self._symbols = feed.symbols
        self._board = Board()
        self._screen = Screen(
            console, self._board, feed.symbols, feed.url, silent=not feed.delivers_all
        )

    def take(self, rows: Rows, now_s: float) -> None:
        self._board.update(rows, now_s)

    def wanted(self, width: int) -> int:
        return 1 + len(self._symbols)

    def lines(self, width: int, room: int, now_s: float) -> Lines:
        return self._screen.body(width, max(room - 1, 1), now_s)[0]


class _Latest:
    """The last row of each key, with the direction in which its price moved."""

    def __init__(self, key: Callable[[Rows], Any], price: str, in_time: bool) -> None:
        self._key = key
        self._price = price
        self._in_time = in_time  # an older row, fetched later, does not replace a newer one
        self.rows: dict[int, np.void] = {}
        self.move: dict[int, int] = {}
        self.moved_s: dict[int, float] = {}

    def take(self, rows: Rows, now_s: float) -> None:
        if not len(rows):
            return
        keys = self._key(rows)
        order = (
            np.lexsort((rows["time_ns"], keys))
            if self._in_time
            else np.argsort(keys, kind="stable")
        )
        last = np.append(np.flatnonzero(np.diff(keys[order])), len(order) - 1)
        for i in order[last].tolist():
            self._take(int(keys[i]), rows[i].copy(), now_s)

    def _take(self, key: int, row: np.void, now_s: float) -> None:
        before = self.rows.get(key)
        if before is not None:
            if self._in_time and row["time_ns"] < before["time_ns"]:
                return
            if self._price:
                move = float(row[self._price]) - float(before[self._price])
                if move and not math.isnan(move):
                    self.move[key] = 1 if move > 0 else -1
                    self.moved_s[key] = now_s
        self.rows[key] = row

    def style(self, key: int, now_s: float) -> Any:
        flashes = now_s - self.moved_s.get(key, -math.inf) < _FLASH_S
        return (FLASHES if flashes else STYLES)[self.move.get(key, 0)]


def _by_symbol(rows: Rows) -> Any:
    return rows["symbol"].astype(np.int64)


def _by_session(rows: Rows) -> Any:
    return _by_symbol(rows) << 8 | rows["session"]


def _by_interval(rows: Rows) -> Any:
    return _by_symbol(rows) << 32 | rows["interval_s"]


_PRICE = ColumnSpec("", 8, 0)


def _price(title: str, importance: int) -> ColumnSpec:
    return ColumnSpec(title, _PRICE.width, importance)


_SYMBOL_COLUMN = ColumnSpec("Symbol", 8, 100, left=True)
_PERCENT = ColumnSpec("%", 7, 95)
_VOLUME = ColumnSpec("Volume", 7, 90)
_TURNOVER = ColumnSpec("Turnover", 8, 40)
_AGE = ColumnSpec("Age", 5, 30)


class _Table(Panel):
    """A line for each key."""

    columns: dict[str, ColumnSpec]
    key: Callable[[Rows], Any] = staticmethod(_by_symbol)
    price = ""
    in_time = False

    def __init__(self, name: str, feed: Feed) -> None:
        super().__init__(name)
        self._symbols = feed.symbols
        self._hub = feed.hub
        self._latest = _Latest(type(self).key, self.price, self.in_time)
        self._layout = Layout(self.columns)
        self._places: dict[int, int] = {}

    def take(self, rows: Rows, now_s: float) -> None:
        self._latest.take(rows, now_s)

    def wanted(self, width: int) -> int:
        return 1 + max(1, len(self._latest.rows))

    def lines(self, width: int, room: int, now_s: float) -> Lines:
        keys = sorted(self._latest.rows)
        if not keys:
            return [[(f"waiting for {self.name}", DIM)]]
        hidden = max(0, len(keys) - (room - 1))
        if hidden:
            keys = keys[: max(room - 2, 1)]
        now_ns = time.time_ns()
        rows = [self._latest.rows[key] for key in keys]
        cells = {name: [] for name in self.columns}  # type: dict[str, list[Cell]]
        for key, row in zip(keys, rows, strict=True):
            texts = self._row(row, self._latest.style(key, now_s))
            texts["symbol"] = (self._symbols[int(row["symbol"])], SYMBOL)
            age = (now_ns - int(row["recv_ns"])) / 1e9
            texts["age"] = (words.age(age), DIM if age > 10 else PLAIN)
            for name, column in cells.items():
                column.append(texts[name])
        columns = self._layout.fit(cells, width)
        lines = self._layout.body(cells, columns)
        if hidden and room > 2:
            lines.append([(f"and {len(self._latest.rows) - len(keys)} more", DIM)])
        return lines

    @abc.abstractmethod
    def _row(self, row: np.void, style: Any) -> dict[str, Cell]:
        """Return the cells of a row by their columns; symbol and age are added."""

    def _prices(self, row: np.void, names: Iterable[str]) -> dict[str, Cell]:
        """Return prices with as many decimals as the symbol's prices have had."""
        values = {name: float(row[name]) for name in names}
        symbol = int(row["symbol"])
        known = self._places.get(symbol, 2)
        places = self._places[symbol] = min(6, max(known, *map(words.decimals, values.values())))
        return {name: (words.price(value, places), PLAIN) for name, value in values.items()}


def _start(time_ns: int, seconds: int) -> str:
    """Return the minute at which a bar began, or its day in the market."""
    day = seconds >= _DAY_S
    return dates("", [time_ns]).cells[0] if day else times("", [time_ns]).cells[0][11:16]


def _count(value: float) -> Cell:
    return (words.NONE if math.isnan(value) else words.count(value), PLAIN)


def _change(now: float, before: float) -> tuple[float, Cell]:
    part = now / before - 1 if before else math.nan
    return part, (words.percent(part), sign(part))


class _Quotes(_Table):
    key = staticmethod(_by_session)
    price = "last"
    columns = {  # noqa: RUF012, it stays as it is
        "symbol": _SYMBOL_COLUMN,
        "session": ColumnSpec("Session", 7, 97, left=True),
        "last": _price("Last", 99),
        "change": ColumnSpec("Change", 7, 50),
        "percent": _PERCENT,
        "open": _price("Open", 70),
        "high": _price("High", 85),
        "low": _price("Low", 84),
        "prev_close": _price("Prev close", 60),
        "volume": _VOLUME,
        "turnover": _TURNOVER,
        "age": _AGE,
    }

    def _row(self, row: np.void, style: Any) -> dict[str, Cell]:
        cells = self._prices(row, ("last", "open", "high", "low", "prev_close"))
        cells["last"] = (cells["last"][0], style)
        last, before = float(row["last"]), float(row["prev_close"])
        if math.isnan(before) and not math.isnan(float(row["change"])):
            before = last - float(row["change"])  # outside of the regular session
        part, cells["percent"] = _change(last, before)
        places = self._places[int(row["symbol"])]
        cells["change"] = (words.price(last - before, places, sign=True), sign(part))
        session = SESSION_NAMES.get(int(row["session"]), words.NONE)
        cells["session"] = (session, DIM)
        cells["volume"], cells["turnover"] = (
            _count(float(row["volume"])),
            _count(float(row["turnover"])),
        )
        return cells


class _Bars(_Table):
    key = staticmethod(_by_interval)
    price = "close"
    in_time = True
    columns = {  # noqa: RUF012
        "symbol": _SYMBOL_COLUMN,
        "interval": ColumnSpec("Bar", 3, 98),
        "start": ColumnSpec("Start UTC", 9, 60),
        "open": _price("Open", 80),
        "high": _price("High", 91),
        "low": _price("Low", 91),
        "close": _price("Close", 99),
        "percent": _PERCENT,
        "volume": _VOLUME,
        "turnover": _TURNOVER,
        "age": _AGE,
    }

    def _row(self, row: np.void, style: Any) -> dict[str, Cell]:
        cells = self._prices(row, ("open", "high", "low", "close"))
        cells["close"] = (cells["close"][0], style)
        seconds, start_ns = int(row["interval_s"]), int(row["time_ns"])
        cells["interval"] = (INTERVAL_NAMES.get(seconds, f"{seconds}s"), PLAIN)
        cells["start"] = (_start(start_ns, seconds), DIM)
        _, cells["percent"] = _change(float(row["close"]), float(row["open"]))
        cells["volume"], cells["turnover"] = (
            _count(float(row["volume"])),
            _count(float(row["turnover"])),
        )
        return cells


class _Timeshare(_Table):
    price = "price"
    in_time = True
    columns = {  # noqa: RUF012
        "symbol": _SYMBOL_COLUMN,
        "minute": ColumnSpec("Minute", 6, 98),
        "price": _price("Price", 99),
        "percent": _PERCENT,
        "avg_price": _price("Average", 80),
        "prev_close": _price("Prev close", 60),
        "volume": _VOLUME,
        "turnover": _TURNOVER,
        "age": _AGE,
    }

    def _row(self, row: np.void, style: Any) -> dict[str, Cell]:
        cells = self._prices(row, ("price", "prev_close"))
        cells["price"] = (cells["price"][0], style)
        places = self._places[int(row["symbol"])]
        cells["avg_price"] = (words.price(float(row["avg_price"]), places), PLAIN)
        minute = int(row["minute"])
        cells["minute"] = (f"{minute // 60:02}:{minute % 60:02}", DIM)
        _, cells["percent"] = _change(float(row["price"]), float(row["prev_close"]))
        cells["volume"], cells["turnover"] = (
            _count(float(row["volume"])),
            _count(float(row["turnover"])),
        )
        return cells


class _Brokers(_Table):
    columns = {  # noqa: RUF012
        "symbol": _SYMBOL_COLUMN,
        "bids": ColumnSpec("Bids", 4, 90),
        "bid": ColumnSpec("First at the bid", 22, 80, left=True),
        "asks": ColumnSpec("Asks", 4, 90),
        "ask": ColumnSpec("First at the ask", 22, 80, left=True),
        "age": _AGE,
    }

    def _row(self, row: np.void, style: Any) -> dict[str, Cell]:
        cells: dict[str, Cell] = {}
        for side, colour in (("bid", UP), ("ask", DOWN)):
            count = int(row[f"{side}s"])
            ids = row[f"{side}_broker"][: min(count, 3)].tolist()
            text = ", ".join(map(self._name, ids))
            cells[side] = (text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…", colour)
            cells[f"{side}s"] = (str(count), PLAIN)
        return cells

    def _name(self, broker: int) -> str:
        """Return the Latin words of a broker's name, whose width is known; without any, the id."""
        name = self._hub.broker_name(broker) or ""
        latin = [word for word in name.split() if word.isascii() and word.isprintable()]
        return " ".join(latin) or str(broker)


class _Books(Panel):
    """A ladder for each symbol, side by side where there is room."""

    def __init__(self, name: str, feed: Feed, depth: int) -> None:
        super().__init__(name)
        self._symbols = feed.symbols
        self._depth = depth
        self._latest = _Latest(_by_symbol, "", False)
        self._rooms: dict[int, list[int]] = {}

    def take(self, rows: Rows, now_s: float) -> None:
        self._latest.take(rows, now_s)

    def _beside(self, width: int) -> int:
        """Return how many books stand beside each other."""
        fitting = max(1, (width + _BOOK_GAP) // (_BOOK_WIDTH + _BOOK_GAP))
        return max(1, min(fitting, len(self._latest.rows)))

    def _levels(self) -> int:
        real = [max(int(row["bids"]), int(row["asks"])) for row in self._latest.rows.values()]
        return min(self._depth, max([*real, 1]))

    def wanted(self, width: int) -> int:
        stacked = -(-len(self._latest.rows) // self._beside(width))
        return max(1, stacked * (1 + self._levels()))

    def lines(self, width: int, room: int, now_s: float) -> Lines:
        keys = sorted(self._latest.rows)
        if not keys:
            return [[(f"waiting for {self.name}", DIM)]]
        beside = self._beside(width)
        stacked = -(-len(keys) // beside)
        tall = max(room // stacked, min(room, _FEWEST_LINES + 1))  # of a book, heading included
        depth = max(1, min(self._levels(), tall - 1))
        shown = keys[: max(1, room // (depth + 1)) * beside]
        across = (width - _BOOK_GAP * (beside - 1)) // beside
        lines: Lines = []
        for i in range(0, len(shown), beside):
            blocks = [self._block(key, across, depth, now_s) for key in shown[i : i + beside]]
            for parts in zip(*blocks, strict=True):
                line: list[Cell] = []
                for j, part in enumerate(parts):
                    if j:
                        line.append((" " * _BOOK_GAP, PLAIN))
                    fill = across - length(part)
                    line += [*part, (" " * fill, PLAIN)]
                lines.append(line)
        if len(shown) < len(keys):
            lines[0][-1] = (f" and {len(keys) - len(shown)} more books", DIM)
        return lines[:room]

    def _block(self, key: int, width: int, depth: int, now_s: float) -> Lines:
        book = self._latest.rows[key]
        age = (time.time_ns() - int(book["recv_ns"])) / 1e9
        note: list[Cell] = [(f"{ladder.spread(book)}  {words.age(age)}", DIM)]
        body: Lines = []
        for level in ladder.levels(book, depth, width, self._rooms.setdefault(key, [0, 0, 0])):
            body.append(
                [
                    (f"{level.orders}  ", DIM),
                    (f"{level.volume} ", PLAIN),
                    (f"{level.bid_bar} ", _BID_BAR),
                    (level.bid, UP),
                    (" │ ", DIM),
                    (level.ask, DOWN),
                    (f" {level.ask_bar}", _ASK_BAR),
                    (f" {level.ask_volume}", PLAIN),
                    (f"  {level.ask_orders}", DIM),
                ]
            )
        across = min(width, max(map(length, body), default=width))
        name: list[Cell] = [(self._symbols[int(book["symbol"])], SYMBOL)]
        head = spread(name, note, max(across, NARROWEST))
        lines = [crop(line, width) for line in (head, *body)]
        return lines + [[] for _ in range(1 + depth - len(lines))]


_BID_BAR = UP + DIM
_ASK_BAR = DOWN + DIM

_TABLES: dict[str, type[_Table]] = {
    "quotes": _Quotes,
    "bars": _Bars,
    "timeshare": _Timeshare,
    "brokers": _Brokers,
}


def panel_of(stream: str, feed: Feed, console: Any) -> Panel:
    """Return the panel of a stream."""
    if stream == "ticks":
        return _Ticks(feed, console)
    if stream in _TABLES:
        return _TABLES[stream](stream, feed)
    return _Books(stream, feed, feed.hub.book_depth)


class Panels:
    """Draws several panels.

    Parameters
    ----------
    console : rich.console.Console
    panels : sequence of Panel
    url : str
    title : str
        What stands first.
    """

    def __init__(
        self, console: Any, panels: Sequence[Panel], url: str, title: str = "fastfeed"
    ) -> None:
        self._console = console
        self._panels = panels
        self._frame = Frame(url, title)
        self._started_s: float | None = None
        self._updated_s = 0.0
        self._rate = 0.0
        self.total = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first update to the last."""
        return 0.0 if self._started_s is None else self._updated_s - self._started_s

    def tell(self, event: Event) -> None:
        """Show an event until the next one."""
        self._frame.tell(event)

    def update(self, count: int, now_s: float) -> None:
        """Count rows that the panels have taken."""
        if self._started_s is None:
            self._started_s = self._updated_s = now_s
        elapsed = now_s - self._updated_s
        self.total += count
        if elapsed > 0:
            keep = math.exp(-elapsed / _RATE_S)
            self._rate = self._rate * keep + count * ((1 - keep) / elapsed)
            self._updated_s = now_s

    def live(self, *, connected: bool, lost: int, now_s: float) -> Picture:
        """Return the picture of this moment, for the whole terminal."""
        width, height = self._console.size
        inner = max(width - 1, 1)
        body = self._body(inner, max(height - _FRAME_LINES, 1), now_s)
        across = min(inner, max(NARROWEST, *(length(_stripped(line)) for line in body)))
        body = [rule(across) if line == _RULE else line for line in body]
        totals: list[Cell] = [
            (f"{self.total:,}", BOLD),
            (" rows  ", DIM),
            (words.rate(self._rate), BOLD),
            ("/s", DIM),
        ]
        note: list[Cell] = [(f"{lost:,} not seen here", WAIT)] if lost else []
        return self._frame.draw(
            body,
            [spread(totals, note, across)],
            size=(width, height),
            across=across,
            connected=connected,
            elapsed_s=self.elapsed_s,
        )

    def summary(self) -> Picture:
        """Return all panels in full, for a terminal's scrollback or a file."""
        width = self._console.width if self._console.is_terminal else _SUMMARY_WIDTH
        room = sum(self._wanted(panel, width) for panel in self._panels)
        body = self._body(width, room, time.monotonic())
        across = min(width, max(length(_stripped(line)) for line in body))
        return Picture(
            [crop(_stripped(rule(across) if line == _RULE else line), width) for line in body]
        )

    def _decoration(self, panel: Panel, room: int) -> tuple[bool, bool]:
        """Return whether the panel has its name above it, and a rule below the headings of its columns."""
        several = len(self._panels) > 1
        if several and room < _TIGHT * len(self._panels):
            return False, False
        return several, not isinstance(panel, _Books)

    def _wanted(self, panel: Panel, width: int, room: int = _ENOUGH) -> int:
        return panel.wanted(width) + sum(self._decoration(panel, room))

    def _body(self, width: int, room: int, now_s: float) -> Lines:
        wanted = [self._wanted(panel, width, room) for panel in self._panels]
        lines: Lines = []
        for panel, most in zip(self._panels, shares(wanted, room), strict=True):
            named, ruled = self._decoration(panel, room)
            part: Lines = [[(panel.name.replace("_", " "), HEADING + BOLD)]] if named else []
            inner = panel.lines(width, max(most - named - ruled, 1), now_s)
            if ruled and len(inner) > 1:
                inner = [inner[0], _RULE, *inner[1:]]
            lines += [*part, *inner][:most]
        return lines


_RULE: list[Cell] = rule(1)


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """Return how many lines each panel gets: what it wants, or a fair part of what there is."""
    if sum(wanted) <= room:
        return list(wanted)
    given = [0] * len(wanted)
    left = room
    for place, i in enumerate(sorted(range(len(wanted)), key=lambda i: wanted[i])):
        given[i] = min(wanted[i], left // (len(wanted) - place))
        left -= given[i]
    return given


def _stripped(line: Sequence[Cell]) -> list[Cell]:
    """Return a line without the blanks at its end."""
    cells = list(line)
    while cells and not cells[-1][0].strip():
        cells.pop()
    if cells:
        cells[-1] = (cells[-1][0].rstrip(), cells[-1][1])
    return cells
