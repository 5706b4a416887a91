"""The days and hours of the simulated markets, by region.

Every region trades from Monday to Friday but on New Year's Day and Christmas, and half a day before
each of them; crypto trades always.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastfeed.errors import ConfigError

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

# Times of day are market-local; crypto and event contracts come in New York's. Kept apart from the
# decoder's table (native/include/fastfeed/opend_decoder.h) on purpose: each is the other's test.
_ZONES = {
    "HK": "Asia/Hong_Kong",
    "HK_FUTURE": "Asia/Hong_Kong",
    "US": "America/New_York",
    "SH": "Asia/Shanghai",
    "SZ": "Asia/Shanghai",
    "SG": "Asia/Singapore",
    "JP": "Asia/Tokyo",
    "AU": "Australia/Sydney",
    "MY": "Asia/Kuala_Lumpur",
    "CA": "America/New_York",
    "CC": "America/New_York",
    "EC": "America/New_York",
}

# Minutes of the day, from and to.
_SESSIONS = {
    "HK": ((570, 720), (780, 960)),
    "HK_FUTURE": ((555, 720), (780, 990)),
    "SH": ((570, 690), (780, 900)),
    "SZ": ((570, 690), (780, 900)),
    "SG": ((540, 720), (780, 1020)),
    "JP": ((540, 690), (750, 930)),
    "AU": ((600, 960),),
    "MY": ((540, 750), (870, 1020)),
    "CC": ((0, 1440),),
    "FX": ((0, 1440),),
}
_US_HOURS = ((570, 960),)


@lru_cache(64)
def zone(region: str) -> ZoneInfo:
    """Return the time zone of a region."""
    try:
        return ZoneInfo(_ZONES.get(region, "UTC"))
    except ZoneInfoNotFoundError as error:
        raise ConfigError(f"{error}; is there a time zone database (package tzdata)?") from None


def local(region: str, at_s: float) -> datetime:
    """Return what the clock of a region shows."""
    return datetime.fromtimestamp(at_s, zone(region))


@lru_cache(4096)
def midnight_s(region: str, day: date) -> int:
    """Return when a day begins in a region, epoch seconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone(region)).timestamp())


def sessions(region: str) -> tuple[tuple[int, int], ...]:
    """Return the hours of trade: pairs of minutes of the day."""
    return _SESSIONS.get(region, _US_HOURS)


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
