"""What the pulls of several vendors have in common: requests in parts, and what their parameters may be."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

__all__ = ["as_date", "choose", "date_span", "every", "in_parts", "whole_number"]

T = TypeVar("T")

_AT_ONCE = 4  # requests of one pull that are under way
_FIRST_YEAR, _LAST_YEAR = 1900, 2999  # of dates, far from where Python's own end
_SPAN_DAYS = 365


async def in_parts(
    items: Sequence[Any], size: int, ask: Callable[[list[Any]], Awaitable[list[T]]]
) -> list[T]:
    """Ask for so many items at once, a few requests at a time; the first error ends them all."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(part: list[Any]) -> list[T]:
        async with places:
            return await ask(part)

    parts = [list(items[i : i + size]) for i in range(0, len(items), size)]
    if len(parts) == 1:
        return await ask(parts[0])
    tasks = [asyncio.create_task(one(part)) for part in parts]
    try:
        return [item for found in await asyncio.gather(*tasks) for item in found]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def choose(what: str, name: str, choices: Mapping[str, T]) -> T:
    """Return what a name stands for; ValueError."""
    if not isinstance(name, str) or name not in choices:
        raise ValueError(f"expected {what} ({', '.join(choices)}), got {name!r}")
    return choices[name]


def whole_number(what: str, number: int, most: int | None = None, least: int = 1) -> int:
    """Return a number if it is one within its bounds; TypeError, ValueError."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"expected {what} as int, got {number!r}")
    if number < least or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"expected {what} {bounds}, got {number}")
    return number


def as_date(what: str, date: str | datetime.date) -> datetime.date:
    """Return a date, also of ``"yyyy-mm-dd"``; TypeError, ValueError."""
    if isinstance(date, datetime.datetime) or not isinstance(date, str | datetime.date):
        raise TypeError(f"expected {what} as a date or 'yyyy-mm-dd', got {date!r}")
    if isinstance(date, str):
        try:
            date = datetime.datetime.strptime(date, "%Y-%m-%d").date()
        except ValueError:
            raise ValueError(f"expected {what} as 'yyyy-mm-dd', got {date!r}") from None
    if not _FIRST_YEAR <= date.year <= _LAST_YEAR:
        raise ValueError(f"expected {what} from {_FIRST_YEAR} to {_LAST_YEAR}, got {date}")
    return date


def date_span(
    start: str | datetime.date | None, end: str | datetime.date | None, days: int = _SPAN_DAYS
) -> tuple[datetime.date, datetime.date]:
    """Return the first and the last day.

    Without an end: today, where on earth it begins first. Without a start: so many days before.
    """
    if end is None:
        last = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=14))).date()
    else:
        last = as_date("end", end)
    first = last - datetime.timedelta(days) if start is None else as_date("start", start)
    if first > last:
        raise ValueError(f"expected a start that is not after the end, got {first} and {last}")
    return first, last


def every(
    days: int, first: datetime.date, last: datetime.date
) -> list[tuple[datetime.date, datetime.date]]:
    """Return the first and the last day of each part of so many days."""
    return [
        (day, min(day + datetime.timedelta(days - 1), last))
        for i in range(0, (last - first).days + 1, days)
        for day in [first + datetime.timedelta(i)]
    ]
