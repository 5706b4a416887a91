"""The days and hours of the simulated markets, by region.

Every region trades from Monday to Friday but on New Year's Day and Christmas, and half a day before
each of them; crypto trades always.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from fastfeed.protocols.market_hours import SESSIONS, local, midnight_s, zone

__all__ = [
    "day_kind",
    "local",
    "midnight_s",
    "midnights_ns",
    "sessions",
    "trading_days",
    "utc_offsets",
    "zone",
]


def sessions(region: str) -> tuple[tuple[int, int], ...]:
    """Return the hours of trade: pairs of minutes of the day."""
    return SESSIONS.get(region, SESSIONS["US"])


def day_kind(region: str, day: date) -> int | None:
    """Return 0 for a whole day of trade, 1 for a morning only, None for a day without."""
    if region == "CC":
        return 0
    if day.weekday() >= 5 or (day.month, day.day) in {(1, 1), (12, 25)}:
        return None
    return 1 if (day.month, day.day) in {(12, 24), (12, 31)} else 0


def trading_days(region: str, first: date, last: date) -> Iterator[date]:
    """Yield the days of trade from `first` to `last`, either may be later."""
    step = 1 if first <= last else -1
    for number in range(first.toordinal(), last.toordinal() + step, step):
        day = date.fromordinal(number)
        if day_kind(region, day) is not None:
            yield day


def midnights_ns(region: str, start_s: int, end_s: int) -> list[int]:
    """Return the midnights of a region around `start_s` to `end_s`."""
    first = local(region, start_s).date() - timedelta(1)
    days = (local(region, end_s).date() - first).days + 2
    return [midnight_s(region, first + timedelta(i)) * 10**9 for i in range(days)]


def utc_offsets(region: str, start_s: int, end_s: int) -> list[tuple[int, int]]:
    """Return the UTC offsets of a region from `start_s` to `end_s`: since when, and seconds."""

    def offset(at_s: int) -> int:
        delta = datetime.fromtimestamp(at_s, UTC).astimezone(zone(region)).utcoffset()
        assert delta is not None
        return int(delta.total_seconds())

    changes = [(start_s, offset(start_s))]
    at = start_s
    while at < end_s:
        later = min(at + 86400, end_s)
        if offset(later) != changes[-1][1]:
            low, high = at, later
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if offset(middle) != changes[-1][1] else (middle, high)
            changes.append((high, offset(high)))
        at = later
    return changes
