"""When markets are in their regular trading hours, by region; holidays are not known here."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastfeed.errors import ConfigError

__all__ = ["SESSIONS", "local", "midnight_s", "open_since_s", "region_of", "zone"]

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

#: The hours of trade: pairs of minutes of the day, from and to.
SESSIONS = {
    "HK": ((570, 720), (780, 960)),
    "HK_FUTURE": ((555, 720), (780, 990)),
    "US": ((570, 960),),
    "SH": ((570, 690), (780, 900)),
    "SZ": ((570, 690), (780, 900)),
    "SG": ((540, 720), (780, 1020)),
    "JP": ((540, 690), (750, 930)),
    "AU": ((600, 960),),
    "MY": ((540, 750), (870, 1020)),
    "CA": ((570, 960),),
    "CC": ((0, 1440),),
    "FX": ((0, 1440),),
}
_SATURDAY = 5
_WEEK_ENDS_HOUR = 21  # currencies' Friday in UTC; in winter it is an hour later

_CURRENCIES = "AUD|CAD|CHF|CNH|EUR|GBP|HKD|JPY|MXN|NOK|NZD|SEK|SGD|TRY|USD|ZAR|XAU|XAG"
_PAIR = re.compile(f"(?:{_CURRENCIES}){{2}}")
_WORDS = frozenset((
    "GOLD", "Silver", "Palladium", "Platinum", "COPPER", "Aluminum", "Nickel", "Lead", "Zinc",
    "USOIL", "UKOIL", "NGAS", "US500", "US30", "NAS100", "GER30", "UK100", "JPN225", "HK50",
    "CHA50", "AUS200", "FRA40", "EUSTX50", "ESP35", "ND25", "SMI", "TWRIC", "SG20",
))  # fmt: skip


def region_of(symbol: str) -> str:
    """Return the region of a canonical symbol; of one without, ``FX`` for what trades as currencies do, or ``CC``."""
    _, dot, region = symbol.rpartition(".")
    if dot:
        return region
    return "FX" if symbol in _WORDS or _PAIR.fullmatch(symbol) else "CC"


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


def open_since_s(region: str, at_s: float) -> float | None:
    """Return when the regular session that runs at a time began, epoch seconds; None outside of one.

    Of a region without known hours None, of crypto, which never closes, 0. Every day from Monday to Friday counts
    as a day of trade.
    """
    if region == "CC":
        return 0.0
    now = local(region, at_s)
    if now.weekday() >= _SATURDAY:
        return None
    if region == "FX":
        if now.weekday() == _SATURDAY - 1 and now.hour >= _WEEK_ENDS_HOUR:
            return None
        return float(midnight_s(region, now.date() - timedelta(now.weekday())))
    for first, last in SESSIONS.get(region, ()):
        # Of the wall clock: clocks change at night.
        if first <= now.hour * 60 + now.minute < last:
            begun = now.replace(hour=first // 60, minute=first % 60, second=0, microsecond=0)
            return begun.timestamp()
    return None
