"""What notebooks show of feeds, streams and hubs.

Small pieces of HTML that take the colours of the page around them, light or dark. Nothing here may fail, whatever
state an object is in: what cannot be shown as a table is shown as its `repr()`.
"""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastfeed.schema import Flags, Session

__all__ = ["feed_html", "hub_html", "stream_html"]

_ROWS = 8
_SYMBOLS = 8
_LARGE = 1e8
_UNKNOWN = "-"
_SHOWN = {
    "ticks": ("price", "volume", "turnover", "side", "session", "flags"),
    "quotes": ("session", "last", "open", "high", "low", "volume", "flags"),
    "books": ("bid_volume", "bid_price", "ask_price", "ask_volume", "bids", "asks", "flags"),
    "bars": ("interval_s", "open", "high", "low", "close", "volume", "flags"),
    "timeshare": ("price", "avg_price", "volume", "turnover", "flags"),
    "brokers": ("bids", "asks", "flags"),
}
_SHOWN["odd_books"] = _SHOWN["books"]
_SIDES = {1: "buy", -1: "sell", 0: ""}
_LINE = "border-bottom:1px solid rgba(128,128,128,.35);"
_CELL = f"padding:.15em .6em;{_LINE}"
_NUMBERS = f"{_CELL}text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;"
_WORDS = f"{_CELL}text-align:left;"


def _never_raising(make: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(make)
    def made(what: Any, *more: Any) -> str:
        try:
            return make(what, *more)
        except Exception:
            try:
                text = repr(what)
            except Exception:
                text = f"<{type(what).__name__}>"
            return f"<pre>{html.escape(text)}</pre>"

    return made


@_never_raising
def stream_html(stream: Any, symbols: Any) -> str:
    """Return a stream as HTML: its last rows."""
    rows = stream.latest(_ROWS).copy()
    fields = _SHOWN[stream.name]
    cells = [
        [
            (_time(row), True),
            (_symbol(symbols, int(row["symbol"])), False),
            *[_cell(field, row[field]) for field in fields],
        ]
        for row in rows[::-1]
    ]
    names = ["time (UTC)", "symbol", *[field.replace("_", " ") for field in fields]]
    shown = f"the last {len(rows)} of them, newest first" if len(rows) else "none yet"
    about = f"{_count(stream.count, 'row')} ({shown}); the ring keeps {stream.capacity:,}"
    if getattr(stream, "ended", False):
        error = stream.error
        about += "; ended" if error is None else f"; ended: {error}"
    return _box(f"{type(stream).__name__} of {stream.name}", about, _table(names, cells))


@_never_raising
def feed_html(feed: Any, state: str) -> str:
    """Return a feed as HTML: its state, its subscriptions and its counters."""
    parts = []
    wanted = {kind: feed.subscribed(kind) for kind in feed.stats()["subscribed"]}
    subscribed = [
        [(kind, False), (f"{len(symbols):,}", True), (_some(symbols), False)]
        for kind, symbols in wanted.items()
        if symbols
    ]
    if subscribed:
        parts.append(_table(["subscribed", "symbols", ""], subscribed))
    parts.append(_table(["counter", ""], list(_counters(feed.stats()))))
    return _box(f"{type(feed).__name__} {feed.url}", state, "".join(parts))


@_never_raising
def hub_html(hub: Any) -> str:
    """Return a hub as HTML: its streams, and its feeds."""
    found = hub.stats()
    streams = [
        [(name, False), (f"{about['rows']:,}", True), (f"{about['capacity']:,}", True)]
        for name, about in found["streams"].items()
    ]
    parts = [_table(["stream", "rows", "kept"], streams)]
    feeds = [
        [
            (one["url"], False),
            (one["state"], False),
            (f"{one['rows']:,}", True),
            (f"{one['gaps']:,}", True),
            (f"{one['rejected']:,}", True),
        ]
        for one in found["feeds"]
    ]
    if feeds:
        parts.append(_table(["feed", "state", "rows", "gaps", "rejected"], feeds))
    name = "" if found["name"] is None else f" {found['name']}"
    about = _count(len(hub.symbols), "symbol")
    if hasattr(hub, "writer_pid"):
        state = "closed" if hub.closed else "alive" if hub.alive else "gone"
        about += f"; written by process {hub.writer_pid} ({state})"
    return _box(f"{type(hub).__name__}{name}", about, "".join(parts))


def _counters(stats: dict[str, Any], prefix: str = "") -> Iterable[list[tuple[str, bool]]]:
    """Yield those that are not 0, of groups each by itself."""
    for name, value in stats.items():
        if isinstance(value, dict):
            if name != "subscribed":
                yield from _counters(value, f"{prefix}{name} ")
        elif isinstance(value, int) and not isinstance(value, bool) and value:
            yield [(f"{prefix}{name}".replace("_", " "), False), (f"{value:,}", True)]


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SYMBOLS]) + ", ..." * (len(names) > _SYMBOLS)


def _symbol(symbols: Any, number: int) -> str:
    return symbols[number] if number < len(symbols) else f"#{number}"


def _time(row: Any) -> str:
    """Return the exchange's time, or that of the arrival where it is not known."""
    time_ns = int(row["time_ns"]) or int(row["recv_ns"])
    if not time_ns:
        return _UNKNOWN
    return str(np.datetime64(time_ns // 1000, "us")).replace("T", " ")


def _cell(field: str, value: Any) -> tuple[str, bool]:
    """Return a text, and whether it is a number."""
    if field == "side":
        return _SIDES.get(int(value), str(value)), False
    if field == "session":
        known = int(value) in list(Session) and value
        return (Session(value).name.lower() if known else ""), False
    if field == "flags":
        return ", ".join(
            flag.name.lower() for flag in Flags if flag & int(value) and flag.name
        ), False
    return _number(value.flat[0] if getattr(value, "shape", ()) else value), True


def _number(value: Any) -> str:
    if not math.isfinite(value):
        return _UNKNOWN
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.10g}" if abs(value) < _LARGE else f"{value:,.2f}"


def _box(title: str, about: str, content: str) -> str:
    return (
        '<div style="margin:.3em 0">'
        f"<b>{html.escape(title)}</b> "
        f'<span style="opacity:.75">{html.escape(about)}</span>{content}</div>'
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[tuple[str, bool]]]) -> str:
    """Return a table of cells, each with whether it is a number; the empty text for one without rows."""
    if not rows:
        return ""
    head = "".join(
        f'<th style="{_NUMBERS if is_number else _WORDS}">{html.escape(name)}</th>'
        for name, (_, is_number) in zip(names, rows[0], strict=True)
    )
    body = "".join(
        "<tr style='background:none'>"
        + "".join(
            f'<td style="{_NUMBERS if is_number else _WORDS}">{html.escape(text)}</td>'
            for text, is_number in row
        )
        + "</tr>"
        for row in rows
    )
    return (
        '<table style="border-collapse:collapse;margin:.3em 0;background:none;color:inherit">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
