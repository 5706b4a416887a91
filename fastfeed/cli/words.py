"""Numbers and events as a person reads them, in as few characters as that takes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fastfeed.feeds.events import Event

__all__ = [
    "ASCII",
    "NONE",
    "age",
    "clock",
    "count",
    "counted",
    "decimals",
    "event_words",
    "latency",
    "percent",
    "price",
    "printable",
    "rate",
    "rows_in",
    "size",
]

#: What stands in the place of a number that is not known.
NONE = "–"

#: For terminals whose encoding has no other characters.
ASCII = str.maketrans(
    {
        "─": "-",
        "–": "-",
        "●": "*",
        "…": ".",
        "µ": "u",
        "±": "~",
        "│": "|",
        "█": "#",
        "▐": "#",
        "▌": "#",
        "·": ".",
    }
)


def decimals(value: float) -> int:
    """Return how many decimals a price has, without what binary arithmetic may have added."""
    if not math.isfinite(value):
        return 0
    text = f"{value:.12g}"
    if "e" in text:
        text = f"{value:.12f}" if abs(value) < 1 else f"{value:.0f}"
    _, _, fraction = text.partition(".")
    return len(fraction.rstrip("0"))


def price(value: float, places: int, *, sign: bool = False) -> str:
    """Return a price with so many decimals."""
    if math.isnan(value):
        return NONE
    text = f"{value:+,.{places}f}" if sign else f"{value:,.{places}f}"
    if sign and not any(digit in text for digit in "123456789"):
        return text[1:]
    return text


def percent(part: float) -> str:
    """Return a change in percent, two decimals and a sign."""
    return NONE if math.isnan(part) else f"{price(part * 100, 2, sign=True)}%"


def count(value: float) -> str:
    """Return a number of shares, contracts or coins in at most nine characters or so."""
    if value >= 1e12:
        return f"{value:.3g}"
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if value >= 10 * size:
            return f"{value / size:,.1f}{unit}"
    if value >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def counted(number: int, noun: str) -> str:
    """Return how many things there are of a kind whose name ends with an s when there are several."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Return a text that does not steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def rate(value: float) -> str:
    """Return a number of ticks in a second."""
    return f"{value:,.1f}" if value < 999.95 else f"{value:,.0f}"


def size(value: float) -> str:
    """Return a number of bytes."""
    if value < 1000:
        return f"{value:,.0f} B"
    for unit in ("KiB", "MiB"):
        value /= 1024
        if value < 1000:
            return f"{value:,.1f} {unit}"
    return f"{value / 1024:,.1f} GiB"


def rows_in(rows: Mapping[str, int], took_s: float) -> str:
    """Return how many rows there were of each kind, and how many in a second."""
    found = {kind: number for kind, number in rows.items() if number}
    total = sum(found.values())
    text = f"{counted(total, 'row')} in {took_s:.1f} s, {rate(total / max(took_s, 1e-3))} rows/s"
    each = ", ".join(f"{number:,} {kind}" for kind, number in found.items())
    return f"{text} ({each})" if len(found) > 1 else text


def age(seconds: float) -> str:
    """Return how long ago something was."""
    if math.isnan(seconds):
        return NONE
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 100:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 100 * 3600:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    return f"{whole // 86400}d"


def latency(nanoseconds: float) -> str:
    """Return a latency with two or three digits and its unit."""
    if math.isnan(nanoseconds):
        return NONE
    for size, unit in ((1e3, "ns"), (1e6, "µs"), (1e9, "ms")):
        if abs(nanoseconds) < 0.9995 * size:
            value = nanoseconds * 1000 / size
            places = 0 if unit[0] != "m" or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
            return f"{value:.{places}f} {unit}"
    return f"{nanoseconds / 1e9:.1f} s"


def clock(seconds: float) -> str:
    """Return a duration as on a stopwatch."""
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def event_words(event: Event) -> str:
    """Return what happened, as one line."""
    text = " ".join(event.text.split())
    match event.kind:
        case "connected":
            return "connected"
        case "disconnected":
            return f"disconnected: {text}; reconnecting"
        case "connect_failed":
            return f"{text}; trying again"
        case "resubscribed":
            return f"subscribed again: {text}"
    return f"{event.kind}: {text}" if text else event.kind
