"""What the property tests of OpenD's decoders share: generated values, and a second opinion on times,
names and the wire format."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from fastfeed.protocols.opend_codes import canonical

# what values mean

ZONES = {
    11: ZoneInfo("America/New_York"),
    71: ZoneInfo("America/New_York"),
    91: ZoneInfo("America/New_York"),
    101: ZoneInfo("America/New_York"),
    1: ZoneInfo("Asia/Hong_Kong"),
    2: ZoneInfo("Asia/Hong_Kong"),
    21: ZoneInfo("Asia/Shanghai"),
    22: ZoneInfo("Asia/Shanghai"),
    31: ZoneInfo("Asia/Singapore"),
    61: ZoneInfo("Asia/Kuala_Lumpur"),
    41: ZoneInfo("Asia/Tokyo"),
    51: ZoneInfo("Australia/Sydney"),
}
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.:]([0-9]{1,9}))?"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text_ns(text: str, market: int) -> int | None:
    """None: a year for which the rules in C do not claim to be right."""
    match = TIME.fullmatch(text)
    if match is None:
        return 0
    *fields, fraction = match.groups()
    try:
        wall = datetime(*map(int, fields))
    except ValueError:
        return 0
    if not 1970 <= wall.year <= 2261:
        return 0
    zone = ZONES.get(market, UTC)
    if wall.year < 2008 and zone is not UTC:
        return None
    seconds = (wall.replace(tzinfo=zone) - EPOCH) // timedelta(seconds=1)
    return seconds * 10**9 + int((fraction or "").ljust(9, "0"))


def as_text(value: str | bytes) -> str:
    """The runtime returns what is not UTF-8 as bytes."""
    return value if isinstance(value, str) else value.decode("latin-1")


def double_ns(seconds: float) -> int:
    return math.floor(seconds * 1e6 + 0.5) * 1000 if 0 < seconds < 9e9 else 0


def oracle_symbol(security: Any) -> str | None:
    """None: no security that has a name here."""
    code = as_text(security.code)
    if not re.fullmatch("[!-~]{1,64}", code) or not 0 <= security.market <= 0xFFFF:
        return None
    return canonical(security.market, code)


# values

DOUBLES = st.one_of(
    st.floats(),
    st.floats(0.0001, 1e6),
    st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, 310.2, math.nan, math.inf]),
)
SECONDS = st.one_of(
    st.floats(1.6e9, 1.9e9),
    st.floats(0, 9e9),
    DOUBLES,
    st.sampled_from([1e-7, 5e-7, 8999999999.999998, 9e9, -1.0, 1700010000.1234565]),
)
INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 300))
INT32 = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-1, 300))
MARKETS = st.one_of(
    st.sampled_from([*ZONES, 81, 0, 3, 128, 0xFFFF, 0x10000, -1]), st.integers(0, 200)
)
CODES = st.one_of(
    st.sampled_from(["00700", "AAPL", ".DJI", "0", "00000", "BTC", "HK.00700", "A" * 64, "A" * 65]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=24),
    st.text(max_size=3),
    st.from_regex("0{0,6}[0-9]{1,5}", fullmatch=True).filter(str.isascii),
)


@st.composite
def time_texts(draw: st.DrawFn) -> str:
    year = draw(st.one_of(st.integers(2008, 2040), st.integers(1960, 2300)))
    month = draw(st.one_of(st.sampled_from([3, 4, 10, 11]), st.integers(0, 13)))
    fields = [year, month]
    for low, high in ((0, 32), (0, 24), (0, 60), (0, 60)):
        fields.append(draw(st.integers(low, high)))
    text = "{:04}-{:02}-{:02} {:02}:{:02}:{:02}".format(*fields)
    return text + draw(st.from_regex(r"([.:][0-9]{0,10})?", fullmatch=True))


TIMES = st.one_of(time_texts(), st.text(max_size=30))


# encodings of a message that protobuf allows

Field = tuple[int, int, bytes]  # number, wire type, value without its length


def varint(value: int, padding: int = 0, most: int = 10) -> bytes:
    out = bytearray()
    while value >= 0x80 or (padding and len(out) < most - 1):
        if value < 0x80:
            padding -= 1
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def split_fields(data: bytes) -> list[Field]:
    fields, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        start = at
        if tag & 7 == 0:
            value, at = read_varint(data, at)
            fields.append((tag >> 3, 0, varint(value)))
            continue
        if tag & 7 == 2:
            size, start = read_varint(data, at)
            at = start
        else:
            size = {1: 8, 5: 4}[tag & 7]
        at += size
        fields.append((tag >> 3, tag & 7, data[start:at]))
    return fields


def join_fields(fields: list[Field], padding: Callable[[], int]) -> bytes:
    out = bytearray()
    for number, wire_type, value in fields:
        out += varint(number << 3 | wire_type, padding(), 5)
        if wire_type == 0:
            out += varint(read_varint(value, 0)[0], padding())
        elif wire_type == 2:
            out += varint(len(value), padding(), 5) + value
        else:
            out += value
    return bytes(out)
