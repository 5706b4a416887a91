"""When markets are open."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fastfeed.protocols.market_hours import open_since_s, region_of


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("region", "zone", "when", "since"),
    [
        ("HK", "Asia/Hong_Kong", "2026-11-26 09:29:59", None),
        ("HK", "Asia/Hong_Kong", "2026-11-26 09:30:00", "2026-11-26 09:30:00"),
        ("HK", "Asia/Hong_Kong", "2026-11-26 12:00:00", None),
        ("HK", "Asia/Hong_Kong", "2026-11-26 15:59:59", "2026-11-26 13:00:00"),
        ("HK", "Asia/Hong_Kong", "2026-11-28 10:00:00", None),  # a Saturday
        ("US", "America/New_York", "2026-11-27 15:00:00", "2026-11-27 09:30:00"),
        ("US", "America/New_York", "2026-11-27 16:00:00", None),
        ("US", "America/New_York", "2026-07-01 09:30:00", "2026-07-01 09:30:00"),
        ("CC", "UTC", "2026-11-28 03:00:00", "1970-01-01 00:00:00"),
        ("FX", "UTC", "2026-11-25 03:00:00", "2026-11-23 00:00:00"),
        ("FX", "UTC", "2026-11-27 20:59:00", "2026-11-23 00:00:00"),
        ("FX", "UTC", "2026-11-27 21:00:00", None),
        ("FX", "UTC", "2026-11-29 12:00:00", None),
        ("M99", "UTC", "2026-11-26 12:00:00", None),
        ("EC", "UTC", "2026-11-26 15:00:00", None),
    ],
)
def test_open_since(region, zone, when, since):
    assert open_since_s(region, at(when, zone)) == (since and at(since, zone))


@pytest.mark.parametrize(
    ("symbol", "region"),
    [
        ("700.HK", "HK"),
        ("BRK.A.US", "US"),
        ("BTCUSDT.CC", "CC"),
        ("BTCUSDT", "CC"),
        ("EURUSD", "FX"),
        ("GOLD", "FX"),
        ("HSImain.HK_FUTURE", "HK_FUTURE"),
    ],
)
def test_region_of(symbol, region):
    assert region_of(symbol) == region
