"""A second opinion on AllTick's messages: the standard library's json, float and decimal, and the rules of its
protocol (section 4.4) once more in Python."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

LIMIT_BYTES = 1 << 20
DEPTH = 32
DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9
INT64_MAX = 2**63 - 1
NUMBER = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"-?[0-9]+")
CODE = re.compile(r"[!-~]{1,16}")
ALIASES = {"pric": "price", "volumn": "volume", "bid_list": "bids", "ask_list": "asks"}
Row = dict[str, Any]


class Rejected(Exception):
    """With the names of the reasons that would be right."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


class Number(str):
    """A bare number's text."""

    __slots__ = ()


class Object(dict[str, Any]):
    """An object's members; of those that come twice the last. All of them are in `pairs`."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _named(members: Object) -> Object:
    """Members under their proper names, of aliases the last."""
    return Object([(ALIASES.get(key, key), value) for key, value in members.pairs])


def _constant(text: str) -> Any:
    raise ValueError(text)


def _texts(value: Any) -> Any:
    if isinstance(value, Object):
        for key, inner in value.pairs:
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def deepest(text: str) -> int:
    """How many brackets are open at once, whatever else is wrong."""
    most = level = 0
    for part in re.split(r'"(?:[^"\\]|\\.)*"', text, flags=re.DOTALL):
        for byte in part:
            level += (byte in "[{") - (byte in "]}")
            most = max(most, level)
    return most


def parse(data: bytes) -> Any:
    """Return the value of a message; None: it is no JSON and ignored."""
    if len(data) > LIMIT_BYTES:
        raise Rejected("length")
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    if not data:
        raise Rejected("json")
    if data[:1] not in b"{[":
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Rejected("utf8") from None
    too_deep = deepest(text) > DEPTH

    try:
        value = json.loads(
            text,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_constant,
            object_pairs_hook=Object,
        )
        for part in _texts(value):
            part.encode()  # half a pair
    except (ValueError, RecursionError):
        raise Rejected("json", *["nesting"] * too_deep) from None
    if too_deep:
        raise Rejected("nesting")
    if isinstance(value, list):
        raise Rejected("bad_value")
    return value


def number_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 64:
        raise Rejected("bad_value")
    return str(value)


def number(value: Any, limit: int) -> float:
    """NaN: missing."""
    text = number_text(value)
    if text is None:
        return math.nan
    match = NUMBER.fullmatch(text)
    if match is None or sum(len(digits or "") for digits in match.groups()) > 40:
        raise Rejected("bad_value")
    exponent = abs(int(re.split("[eE]", text)[1])) if "e" in text.lower() else 0
    if exponent < 1000 and abs(Decimal(text)) >= limit:
        raise Rejected("bad_value")
    got = float(text)
    if not abs(got) < limit:
        raise Rejected("bad_value")
    return got


def price(value: Any) -> float:
    got = number(value, 10**12)
    if math.isnan(got):
        raise Rejected("missing_price")
    return got


def volume(value: Any) -> float:
    got = number(value, 10**18)
    return math.nan if got < 0 else got


def integer(value: Any) -> int | None:
    """None: missing; -1: negative or beyond 63 bits."""
    text = number_text(value)
    if text is None:
        return None
    if INTEGER.fullmatch(text) is None:
        raise Rejected("bad_value")
    return -1 if text[0] == "-" or int(text) > INT64_MAX else int(text)


def time_ns(value: int | None, recv_ns: int) -> int:
    if value is None or value <= 0:
        return 0
    unit = next(
        (u for most, u in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)) if value < most), 1
    )
    ns = value * unit
    return ns if ns <= min(recv_ns + DAY_NS, INT64_MAX) else 0


def levels(value: Any, depth: int) -> list[tuple[float, float]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Rejected("bad_value")
    rows = []
    for level in value:
        if not isinstance(level, Object):
            raise Rejected("bad_value")
        members = _named(level)
        row = price(members.get("price")), volume(members.get("volume"))
        if row[0] != 0:
            rows.append(row)
    return rows[:depth]


def item(kind: str, members: Object, recv_ns: int, depth: int) -> Row:
    members = _named(members)
    code = members.get("code")
    if isinstance(code, Number) or not isinstance(code, str) or not CODE.fullmatch(code):
        raise Rejected("symbol")
    seq = integer(members.get("seq"))
    row = {
        "code": code,
        "recv_ns": recv_ns,
        "seq": -1 if seq is None else seq,
        "time_ns": time_ns(integer(members.get("tick_time")), recv_ns),
        "gateway_ns": 0,
        "kind": 0,
        "session": 0,
        "flags": 0,
    }
    if kind == "ticks":
        row["price"] = price(members.get("price"))
        row["volume"] = volume(members.get("volume"))
        row["turnover"] = volume(members.get("turnover"))
        row["side"] = {1: 1, 2: -1}.get(integer(members.get("trade_direction")) or 0, 0)
        if row["time_ns"] and recv_ns - row["time_ns"] > MINUTE_NS:
            row["flags"] = 4
        return row
    if members.get("bids") is None and members.get("asks") is None:
        raise Rejected("bad_value")
    row["bid_ns"] = row["ask_ns"] = 0
    for side in ("bid", "ask"):
        real = levels(members.get(f"{side}s"), depth)
        row[f"{side}s"] = len(real)
        padded = real + [(math.nan, math.nan)] * (depth - len(real))
        row[f"{side}_price"] = [p for p, _ in padded]
        row[f"{side}_volume"] = [v for _, v in padded]
        row[f"{side}_orders"] = [0] * depth
    return row


def rows_of(kind: str, data: Any, recv_ns: int, depth: int) -> list[Row]:
    if isinstance(data, Object) and data.get("tick_list") is not None:
        data = data["tick_list"]
        if not isinstance(data, list):
            raise Rejected("bad_value")
    items = data if isinstance(data, list) else [data]
    rows = []
    for members in items:
        if not isinstance(members, Object):
            raise Rejected("bad_value")
        rows.append(item(kind, members, recv_ns, depth))
    return rows


def decode(data: bytes, recv_ns: int, depth: int) -> tuple[str, list[Row]]:
    """Return what a message is and its rows. `Rejected` with the reason."""
    message = parse(data)
    if message is None:
        return "ignored", []
    try:
        number = integer(message.get("cmd_id"))
    except Rejected:
        number = None
    if number not in (22998, 22999):
        known = "ret" in message or number in (22001, 22003, 22005, 22007)
        return "session" if known else "ignored", []
    kind = "ticks" if number == 22998 else "books"
    return kind, rows_of(kind, message.get("data"), recv_ns, depth)
