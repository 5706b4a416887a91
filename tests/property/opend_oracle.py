"""What the property tests of OpenD's decoders share: messages of every kind, generated in every encoding that
protobuf allows, and a second opinion on what they mean, made with the protobuf runtime."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.resources import files
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import strategies as st
from wire_oracle import same, scramble, varint

from fastfeed._core.opend import decode_reply
from fastfeed._core.ring import FLAG_BACKFILLED, FLAG_CACHED
from fastfeed._core.symbols import SymbolTable
from fastfeed.protocols.opend_codes import INTERVALS, canonical
from fastfeed.schema import Session, dtype

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


DEPTH = 3
REPLY_KL_TYPE, REPLY_REHAB = 6, 2
NAN = math.nan
Row = dict[str, Any]


# the runtime


def oracle_pool() -> descriptor_pool.DescriptorPool:
    """Our messages, except that the orders of a level are bytes: the decoder does not look into them."""
    pool = descriptor_pool.DescriptorPool()
    data = files("fastfeed.protocols").joinpath("opend.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        for message in file.message_type:
            if message.name == "OrderBook":
                for field in message.field:
                    if field.name == "detailList":
                        field.type = FieldDescriptor.TYPE_BYTES
                        field.ClearField("type_name")
        pool.Add(file)
    return pool


POOL = oracle_pool()


def response(name: str) -> Any:
    return message_factory.GetMessageClass(
        POOL.FindMessageTypeByName(f"fastfeed.opend.{name}.Response")
    )


# what a message means


def real(message: Any, name: str) -> float:
    value: float = getattr(message, name) if message.HasField(name) else NAN
    return value


def count(message: Any, name: str) -> float:
    return float(getattr(message, name)) if message.HasField(name) else NAN


def volume(message: Any) -> float:
    precise = real(message, "hpVolume")
    return count(message, "volume") if math.isnan(precise) else precise


def time_of(seconds: float, text: Any, market: int) -> int | None:
    return double_ns(seconds) or text_ns(as_text(text), market)


def u8(value: int) -> int:
    return value if 0 <= value <= 255 else 255


def ticks(s2c: Any, _: bool) -> list[Row]:
    rows = []
    for ticker in s2c.tickerList:
        numbers = (ticker.price, ticker.turnover, ticker.hpVolume)
        if not ticker.HasField("price") or not all(map(math.isfinite, numbers)):
            continue
        rows.append(
            {
                "time_ns": time_of(ticker.timestamp, ticker.time, s2c.security.market),
                "gateway_ns": double_ns(ticker.recvTime),
                "seq": ticker.sequence if ticker.HasField("sequence") else -1,
                "price": ticker.price,
                "volume": volume(ticker),
                "turnover": real(ticker, "turnover"),
                "side": {1: 1, 2: -1}.get(ticker.dir, 0),
                "kind": u8(ticker.type),
                "session": 0,
                "flags": {3: FLAG_CACHED, 2: FLAG_BACKFILLED}.get(ticker.pushDataType, 0),
            }
        )
    return rows


OF_DERIVATIVES = (
    "strike_price",
    "contract_size",
    "open_interest",
    "net_open_interest",
    "open_interest_change",
    "implied_volatility",
    "premium",
    "delta",
    "gamma",
    "vega",
    "theta",
    "rho",
    "contract_nominal_value",
    "owner_lot_multiplier",
    "contract_multiplier",
    "last_settle_price",
)
PLAIN = {
    **dict.fromkeys(OF_DERIVATIVES, NAN),
    "expiry_days": -(2**31),
    "option_style": 0,
    "index_option_type": 0,
    "kind": 0,
}


def derivative(quote: Any) -> Row:
    """The fields that only options, futures and warrants have."""
    row: Row = dict(PLAIN)

    def take(message: Any, **names: str) -> None:
        for name, field in names.items():
            if message.HasField(field):
                value = getattr(message, field)
                row[name] = float(value) if isinstance(PLAIN[name], float) else value

    if quote.HasField("optionExData"):
        option = quote.optionExData
        row["kind"] |= 1
        take(
            option,
            strike_price="strikePrice",
            contract_size="contractSize",
            open_interest="openInterest",
            implied_volatility="impliedVolatility",
            premium="premium",
            delta="delta",
            gamma="gamma",
            vega="vega",
            theta="theta",
            rho="rho",
            net_open_interest="netOpenInterest",
            expiry_days="expiryDateDistance",
            contract_nominal_value="contractNominalValue",
            owner_lot_multiplier="ownerLotMultiplier",
            contract_multiplier="contractMultiplier",
        )
        if not math.isnan(real(option, "contractSizeFloat")):
            row["contract_size"] = option.contractSizeFloat
        row["option_style"] = u8(option.optionAreaType)
        row["index_option_type"] = u8(option.indexOptionType)
    if quote.HasField("futureExData"):
        row["kind"] |= 2
        take(
            quote.futureExData,
            last_settle_price="lastSettlePrice",
            open_interest="position",
            open_interest_change="positionChange",
            expiry_days="expiryDateDistance",
        )
    if quote.HasField("warrantExData"):
        row["kind"] |= 4
        take(
            quote.warrantExData,
            delta="delta",
            implied_volatility="impliedVolatility",
            premium="premium",
        )
    return row


def quotes(s2c: Any, _: bool) -> list[Row]:
    rows = []
    for quote in s2c.basicQotList:
        if not quote.HasField("curPrice") or not math.isfinite(quote.curPrice):
            continue
        market = quote.security.market
        listed = as_text(quote.listTime)
        same = {
            "symbol": oracle_symbol(quote.security),
            "time_ns": time_of(quote.updateTimestamp, quote.updateTime, market),
            "gateway_ns": 0,
            "seq": -1,
            "listed_ns": double_ns(quote.listTimestamp)
            if quote.HasField("listTimestamp")
            else text_ns(f"{listed} 00:00:00", market),
            "status": u8(quote.secStatus),
            "suspended": int(quote.isSuspended),
            "dark_status": u8(quote.darkStatus),
            "flags": 0,
        }
        rows.append(
            same
            | derivative(quote)
            | {
                "session": Session.REGULAR,
                "last": quote.curPrice,
                "open": real(quote, "openPrice"),
                "high": real(quote, "highPrice"),
                "low": real(quote, "lowPrice"),
                "prev_close": real(quote, "lastClosePrice"),
                "volume": volume(quote),
                "turnover": real(quote, "turnover"),
                "change": NAN,
                "change_rate": NAN,
                "amplitude": real(quote, "amplitude"),
                "turnover_rate": real(quote, "turnoverRate"),
                "price_spread": real(quote, "priceSpread"),
            }
        )
        for name, session in (
            ("preMarket", Session.PRE),
            ("afterMarket", Session.POST),
            ("overnight", Session.OVERNIGHT),
        ):
            if not quote.HasField(name):
                continue
            block = getattr(quote, name)
            rows.append(
                same
                | PLAIN
                | {
                    "session": session,
                    "last": real(block, "price"),
                    "open": NAN,
                    "high": real(block, "highPrice"),
                    "low": real(block, "lowPrice"),
                    "prev_close": NAN,
                    "volume": count(block, "volume"),
                    "turnover": real(block, "turnover"),
                    "change": real(block, "changeVal"),
                    "change_rate": real(block, "changeRate"),
                    "amplitude": real(block, "amplitude"),
                    "turnover_rate": NAN,
                    "price_spread": NAN,
                }
            )
    return rows


def books(s2c: Any, _: bool) -> list[Row]:
    levels = [*s2c.orderBookAskList, *s2c.orderBookBidList]
    if not all(level.HasField("price") and math.isfinite(level.price) for level in levels):
        return []
    market = s2c.security.market
    row: Row = {"time_ns": 0, "seq": -1, "session": 0, "flags": 0, "kind": u8(s2c.orderBookType)}
    for side, levels in (("bid", s2c.orderBookBidList), ("ask", s2c.orderBookAskList)):
        kept = levels[:DEPTH]
        free = DEPTH - len(kept)
        row[f"{side}s"] = len(kept)
        row[f"{side}_price"] = [level.price for level in kept] + [NAN] * free
        row[f"{side}_volume"] = [volume(level) for level in kept] + [NAN] * free
        row[f"{side}_orders"] = [level.orederCount for level in kept] + [0] * free
        time = "svrRecvTimeBid" if side == "bid" else "svrRecvTimeAsk"
        row[f"{side}_ns"] = time_of(getattr(s2c, time + "Timestamp"), getattr(s2c, time), market)
    times = (row["bid_ns"], row["ask_ns"])
    row["gateway_ns"] = None if None in times else max(times)
    return [row]


SECONDS_OF = {interval.kl_type: interval.seconds for interval in INTERVALS.values()}


def bars(s2c: Any, push: bool) -> list[Row]:
    kl_type, rehab = (s2c.klType, s2c.rehabType) if push else (REPLY_KL_TYPE, REPLY_REHAB)
    seconds = SECONDS_OF.get(kl_type, 0)
    rows = []
    for bar in s2c.klList:
        label = time_of(bar.timestamp, bar.time, s2c.security.market)
        row: Row = {
            "time_ns": label - seconds * 10**9 if label and seconds < 86400 else label,
            "gateway_ns": 0,
            "seq": -1,
            "interval_s": seconds,
            "kind": u8(kl_type),
            "adjust": u8(rehab),
            "session": 0,
            "flags": 0,
            "blank": int(bar.isBlank),
        }
        values = {
            "open": real(bar, "openPrice"),
            "high": real(bar, "highPrice"),
            "low": real(bar, "lowPrice"),
            "close": real(bar, "closePrice"),
            "volume": volume(bar),
            "turnover": real(bar, "turnover"),
            "prev_close": NAN if push and bar.lastClosePrice == 0 else real(bar, "lastClosePrice"),
            "change_rate": real(bar, "changeRate"),
            "turnover_rate": real(bar, "turnoverRate"),
            "pe": real(bar, "pe"),
        }
        rows.append(row | (dict.fromkeys(values, NAN) if bar.isBlank else values))
    return rows


def timeshare(s2c: Any, _: bool) -> list[Row]:
    rows = []
    for point in s2c.rtList:
        row = {
            "time_ns": time_of(point.timestamp, point.time, s2c.security.market),
            "gateway_ns": 0,
            "seq": -1,
            "minute": point.minute,
            "blank": int(point.isBlank),
            "session": 0,
            "flags": 0,
        }
        values = {
            "price": real(point, "price"),
            "avg_price": real(point, "avgPrice"),
            "prev_close": real(point, "lastClosePrice"),
            "volume": volume(point),
            "turnover": real(point, "turnover"),
        }
        rows.append(row | (dict.fromkeys(values, NAN) if point.isBlank else values))
    return rows


def brokers(s2c: Any, _: bool) -> list[Row]:
    row: Row = {"time_ns": 0, "gateway_ns": 0, "seq": -1, "session": 0, "flags": 0}
    for side, places in (("bid", s2c.brokerBidList), ("ask", s2c.brokerAskList)):
        kept = places[:40]
        free = 40 - len(kept)
        row[f"{side}s"] = len(kept)
        row[f"{side}_broker"] = [place.id for place in kept] + [0] * free
        row[f"{side}_order"] = [place.orderID for place in kept] + [0] * free
        row[f"{side}_volume"] = [count(place, "volume") for place in kept] + [NAN] * free
        row[f"{side}_level"] = [place.pos for place in kept] + [0] * free
    return [row]


class Kind(NamedTuple):
    """A message, and what it means."""

    name: str
    stream: str
    push: bool
    rows: Callable[[Any, bool], list[Row]]

    @property
    def response(self) -> Any:
        return response(self.name)

    @property
    def securities(self) -> Callable[[Any], list[Any]]:
        if self.stream == "quotes":
            return lambda s2c: [quote.security for quote in s2c.basicQotList]
        return lambda s2c: [s2c.security]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("QotUpdateTicker", "ticks", True, ticks),
        Kind("QotGetTicker", "ticks", False, ticks),
        Kind("QotUpdateBasicQot", "quotes", True, quotes),
        Kind("QotGetBasicQot", "quotes", False, quotes),
        Kind("QotUpdateOrderBook", "books", True, books),
        Kind("QotGetOrderBook", "odd_books", False, books),
        Kind("QotUpdateKL", "bars", True, bars),
        Kind("QotGetKL", "bars", False, bars),
        Kind("QotRequestHistoryKL", "bars", False, bars),
        Kind("QotUpdateRT", "timeshare", True, timeshare),
        Kind("QotGetRT", "timeshare", False, timeshare),
        Kind("QotUpdateBroker", "brokers", True, brokers),
        Kind("QotGetBroker", "brokers", False, brokers),
    )
}


# the comparison


def decode(kind: Kind, body: bytes, **options: Any) -> tuple[Any, SymbolTable]:
    """Decode twice: only known securities take the short way."""
    symbols = SymbolTable()
    first, second = (
        decode_reply(
            kind.stream,
            body,
            symbols,
            7,
            kl_type=REPLY_KL_TYPE,
            adjust=REPLY_REHAB,
            depth=DEPTH,
            push=kind.push,
            **options,
        )
        for _ in range(2)
    )
    assert first == second
    return np.frombuffer(second, dtype(kind.stream, DEPTH)), symbols


def check(kind: Kind, body: bytes) -> Any:
    """Whatever is accepted here is accepted there, and means the same. Returns the rows, None when rejected."""
    try:
        message = kind.response.FromString(body)
    except DecodeError:
        with pytest.raises(ValueError):
            decode(kind, body)
        return None
    try:
        rows, symbols = decode(kind, body)
    except ValueError as error:
        reason = str(error)
        names = [oracle_symbol(security) for security in kind.securities(message.s2c)]
        if reason == "ret_type":
            assert message.retType != 0
        elif reason == "symbol":
            assert None in names or not message.HasField("s2c")
        else:  # what the runtime passes over
            assert reason in ("group", "varint")
        return None
    assert message.retType == 0
    expected = kind.rows(message.s2c, kind.push)
    assert len(rows) == len(expected)
    for row, want in zip(rows, expected, strict=True):
        symbol = want.pop("symbol", None) or oracle_symbol(message.s2c.security)
        assert symbols[row["symbol"]] == symbol
        assert row["recv_ns"] == 7
        assert {*want, "recv_ns", "symbol"} == set(row.dtype.names)
        for name, value in want.items():
            assert value is None or same(row[name], value), name
    return rows


# messages

DATES = st.one_of(
    st.dates().map(str),
    st.from_regex("(19[67]|20[012])[0-9]-[01][0-9]-[0-3][0-9]", fullmatch=True).filter(str.isascii),
    st.text(max_size=12),
)
SMALL_KL_TYPES = st.one_of(st.integers(-1, 17), INT32)


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Values of a field, by its name where that matters."""
    name = field.name
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return SECONDS if "imestamp" in name or name == "recvTime" else DOUBLES
    if field.type == FieldDescriptor.TYPE_STRING:
        if name == "code":
            return CODES
        return DATES if name == "listTime" else TIMES if "ime" in name else st.text(max_size=10)
    if field.type == FieldDescriptor.TYPE_INT32:
        if name == "market":
            return MARKETS
        return SMALL_KL_TYPES if name == "klType" else INT32
    return {
        FieldDescriptor.TYPE_INT64: INT64,
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
    }[field.type]


def fill(draw: st.DrawFn, message: Any, most: int = 5) -> None:
    """Give a message random fields; of those with a label, up to five may lack."""
    fields = message.DESCRIPTOR.fields
    absent = draw(st.sets(st.sampled_from([field.name for field in fields]), max_size=5))
    for field in fields:
        embedded = field.type == FieldDescriptor.TYPE_MESSAGE
        if field.is_repeated:
            for _ in range(draw(st.integers(0, most))):
                if embedded:
                    fill(draw, getattr(message, field.name).add())
                else:
                    getattr(message, field.name).append(draw(values(field)))
        elif field.name == "security" or field.name not in absent:
            if embedded:
                inner = getattr(message, field.name)
                inner.SetInParent()
                if field.name == "security":
                    inner.market = draw(MARKETS)
                    inner.code = draw(CODES)
                else:
                    fill(draw, inner)
            else:
                setattr(message, field.name, draw(values(field)))


@st.composite
def messages(draw: st.DrawFn, kind: Kind) -> Any:
    message = kind.response(retType=draw(st.sampled_from([0] * 20 + [-1, 1, -400])))
    if not kind.push:
        message.retMsg = draw(st.sampled_from(["", "", "", "text"]))
        message.errCode = draw(st.sampled_from([0, 0, 0, 5]))
    message.s2c.SetInParent()
    fill(draw, message.s2c)
    return message


REPEATED = {
    0: st.integers(0, 2**64 - 1).map(varint),
    1: DOUBLES.map(partial(struct.pack, "<d")),
    2: st.sampled_from([b"00700", b"A", b"2024-01-01 00:00:00", b"2024-01-01"]),
}


@st.composite
def scrambled(draw: st.DrawFn, kind: Kind) -> bytes:
    message = draw(messages(kind))
    return scramble(draw, message.SerializePartialToString(), message.DESCRIPTOR, REPEATED)


def example_of(kind: Kind, elements: int = 2) -> Any:
    """A message with every field, as OpenD sends it."""
    message = kind.response(retType=0)
    if not kind.push:
        message.retMsg = ""
        message.errCode = 0

    def complete(message: Any) -> None:
        for field in message.DESCRIPTOR.fields:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                inner = getattr(message, field.name)
                for _ in range(elements if field.is_repeated else 1):
                    complete(inner.add() if field.is_repeated else inner)
                continue
            value = {
                FieldDescriptor.TYPE_DOUBLE: 1700010000.25 + field.number,
                FieldDescriptor.TYPE_STRING: "2023-11-15 09:00:00.123",
                FieldDescriptor.TYPE_BYTES: b"abc",
                FieldDescriptor.TYPE_BOOL: False,
            }.get(field.type, field.number)
            if field.name == "code":
                value = "AAPL"
            elif field.name == "market":
                value = 11
            elif field.name == "listTime":
                value = "2004-06-16"
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)

    complete(message.s2c)
    return message
