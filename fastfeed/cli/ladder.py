"""Order books and broker queues, side by side: bids on the left, asks on the right, the best on top."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastfeed.cli import words
from fastfeed.cli.grid import Column, column

__all__ = ["Level", "levels", "plain", "queues", "spread"]

_WIDEST_BAR = 24
_PLAIN_WIDTH = 80
_GAPS = 11  # all blanks of a line, with what stands in the middle


@dataclasses.dataclass(frozen=True, slots=True)
class Level:
    """A line of a ladder: texts of equal lengths for both sides, blank where there is no level."""

    orders: str
    volume: str
    bid_bar: str
    bid: str
    ask: str
    ask_bar: str
    ask_volume: str
    ask_orders: str


def levels(book: np.void, depth: int, width: int, rooms: list[int] | None = None) -> list[Level]:
    """Return the best levels of a book, to fit into so many places.

    Parameters
    ----------
    book : void
    depth : int
        Levels at most.
    width : int
        Of a line: what the numbers leave goes to the bars.
    rooms : list of int, optional
        Widths that prices, volumes and orders have had: they never shrink, so that the ladder stands still.
    """
    bids, asks = min(int(book["bids"]), depth), min(int(book["asks"]), depth)
    bid_price, ask_price = book["bid_price"][:bids].tolist(), book["ask_price"][:asks].tolist()
    bid_volume, ask_volume = book["bid_volume"][:bids].tolist(), book["ask_volume"][:asks].tolist()
    places = max((words.decimals(p) for p in bid_price + ask_price), default=0)
    sides = [
        _texts(bid_price, bid_volume, book["bid_orders"][:bids].tolist(), places),
        _texts(ask_price, ask_volume, book["ask_orders"][:asks].tolist(), places),
    ]
    rooms = [0, 0, 0] if rooms is None else rooms
    for i in range(3):
        rooms[i] = max(rooms[i], *(len(texts[i]) for side in sides for texts in side), 0)
    bar = min(_WIDEST_BAR, max(0, (width - 2 * sum(rooms) - _GAPS) // 2))
    most = max([v for v in bid_volume + ask_volume if not math.isnan(v)], default=0.0)
    lines = []
    for i in range(max(bids, asks)):
        price, volume, orders = sides[0][i] if i < bids else ("", "", "")
        other_price, other_volume, other_orders = sides[1][i] if i < asks else ("", "", "")
        lines.append(
            Level(
                orders.rjust(rooms[2]),
                volume.rjust(rooms[1]),
                _bar(bid_volume[i] if i < bids else 0.0, most, bar, "▐").rjust(bar),
                price.rjust(rooms[0]),
                other_price.rjust(rooms[0]),
                _bar(ask_volume[i] if i < asks else 0.0, most, bar, "▌").ljust(bar),
                other_volume.rjust(rooms[1]),
                other_orders.rjust(rooms[2]),
            )
        )
    return lines


def spread(book: np.void) -> str:
    """Return the difference between the best prices, absolute and of the middle, in words."""
    if not book["bids"] or not book["asks"]:
        return "one-sided" if book["bids"] or book["asks"] else "empty"
    bid, ask = float(book["bid_price"][0]), float(book["ask_price"][0])
    places = max(words.decimals(bid), words.decimals(ask))
    text = f"spread {words.price(ask - bid, places)}"
    middle = (ask + bid) / 2
    return f"{text}, {(ask - bid) / middle * 1e4:.1f} bp" if middle > 0 else text


def plain(book: np.void, width: int | None) -> list[str]:
    """Return the lines of a book for a terminal or a file."""
    lines = levels(book, len(book["bid_price"]), min(width or _PLAIN_WIDTH, 100))
    if not lines:
        return ["the book is empty"]
    text = [text_of(level) for level in lines]
    left = text[0].index("│")
    head = "Bids".rjust(left - 1) + "   Asks"
    return [head, *(line.rstrip() for line in text), spread(book)]


def text_of(level: Level) -> str:
    """Return a level as one text."""
    return (
        f"{level.orders}  {level.volume} {level.bid_bar} {level.bid} │ "
        f"{level.ask} {level.ask_bar} {level.ask_volume}  {level.ask_orders}"
    )


def queues(row: np.void, name_of: Callable[[int], str | None]) -> list[Column]:
    """Return the columns of a table of broker queues."""
    size = max(int(row["bids"]), int(row["asks"]))
    columns = []
    for side, title in (("bid", "Bid"), ("ask", "Ask")):
        count = int(row[f"{side}s"])
        ids = _filled(row[f"{side}_broker"][:count].tolist(), size)
        places = _filled(list(map(str, row[f"{side}_level"][:count].tolist())), size)
        columns += [
            Column(f"{title} level", [place or "" for place in places]),
            column("Broker", [str(i) if i is not None else " " for i in ids]),
            column("Name", [" " if i is None else name_of(i) for i in ids]),
        ]
    return columns


def _filled(values: list[Any], size: int) -> list[Any]:
    return values + [None] * (size - len(values))


def _texts(
    prices: Sequence[float], volumes: Sequence[float], orders: Sequence[int], places: int
) -> list[tuple[str, str, str]]:
    return [
        (
            words.price(price, places),
            words.NONE if math.isnan(volume) else words.count(volume),
            str(number) if number else "",
        )
        for price, volume, number in zip(prices, volumes, orders, strict=True)
    ]


def _bar(value: float, most: float, room: int, half: str) -> str:
    """Return a bar of whole and half blocks."""
    if not value > 0 or not most > 0:
        return ""
    halves = max(1, round(2 * room * value / most)) if room else 0
    full = "█" * (halves // 2)
    end = half * (halves % 2)
    return end + full if half == "▐" else full + end
