"""The decoders of OpenD's market data against the protobuf runtime, field by field: pushes and replies of every
kind, in every encoding that protobuf allows, broken, and real."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opend_oracle import (
    CODES,
    DOUBLES,
    INT32,
    INT64,
    MARKETS,
    SECONDS,
    TIMES,
    Field,
    as_text,
    double_ns,
    join_fields,
    oracle_symbol,
    read_varint,
    split_fields,
    text_ns,
    varint,
)

from fastfeed._core.opend import broker_name, decode_reply
from fastfeed._core.ring import FLAG_BACKFILLED, FLAG_CACHED
from fastfeed._core.symbols import SymbolTable
from fastfeed.protocols.opend_codes import INTERVALS
from fastfeed.schema import Session, dtype

HYPOTHESIS = settings(deadline=None, max_examples=50)
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
EACH_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


# the comparison


def same(got: Any, want: Any) -> bool:
    if isinstance(want, list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, float):
        return (math.isnan(want) and math.isnan(got)) or (
            struct.pack("<d", got) == struct.pack("<d", want)
        )
    return bool(got == want)


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


UNKNOWN = st.one_of(
    st.tuples(st.integers(27, 2**29 - 1), st.just(0), st.integers(0, 2**64 - 1).map(varint)),
    st.tuples(st.integers(27, 300), st.just(1), st.binary(min_size=8, max_size=8)),
    st.tuples(st.integers(27, 300), st.just(2), st.binary(max_size=20)),
    st.tuples(st.integers(27, 300), st.just(5), st.binary(min_size=4, max_size=4)),
    # A known number with another wire type is an unknown field, too.
    st.tuples(st.integers(1, 26), st.just(5), st.binary(min_size=4, max_size=4)),
)


def scramble(draw: st.DrawFn, data: bytes, descriptor: Any) -> bytes:
    """Encode a message in another way: order, pieces, repetitions, unknown fields, long varints."""
    out: list[Field] = []
    for number, wire_type, value in split_fields(data):
        field = descriptor.fields_by_number[number]
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            pieces = [value]
            if not field.is_repeated and draw(st.booleans()):  # in two pieces: they merge
                inner = split_fields(value)
                at = draw(st.integers(0, len(inner)))
                pieces = [join_fields(inner[:at], lambda: 0), join_fields(inner[at:], lambda: 0)]
            out += [(number, 2, scramble(draw, piece, field.message_type)) for piece in pieces]
            continue
        out.append((number, wire_type, value))
        if number != 1 and draw(st.integers(0, 9)) == 0:  # repeated: the last counts
            other = {
                0: st.integers(0, 2**64 - 1).map(varint),
                1: DOUBLES.map(partial(struct.pack, "<d")),
                2: st.sampled_from([b"00700", b"A", b"2024-01-01 00:00:00", b"2024-01-01"]),
            }[wire_type]
            out.append((number, wire_type, draw(other)))
    out += draw(st.lists(UNKNOWN, max_size=2))
    if draw(st.booleans()):
        out = draw(st.permutations(out))
    padded = draw(st.booleans())
    return join_fields(out, lambda: draw(st.integers(0, 9)) if padded else 0)


@st.composite
def scrambled(draw: st.DrawFn, kind: Kind) -> bytes:
    message = draw(messages(kind))
    return scramble(draw, message.SerializePartialToString(), message.DESCRIPTOR)


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


@EACH_KIND
@HYPOTHESIS
@given(st.data())
def test_canonical_messages_give_the_runtimes_rows(kind: Kind, data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    check(kind, message.SerializePartialToString())


@EACH_KIND
@HYPOTHESIS
@given(st.data())
def test_every_encoding_gives_the_runtimes_rows(kind: Kind, data: st.DataObject) -> None:
    body = data.draw(scrambled(kind))
    kind.response.FromString(body)  # the generator makes valid messages only
    check(kind, body)


@EACH_KIND
@HYPOTHESIS
@given(st.data())
def test_mutated_messages(kind: Kind, data: st.DataObject) -> None:
    body = bytearray(
        example_of(kind).SerializePartialToString()
        if data.draw(st.booleans())
        else data.draw(scrambled(kind))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(body) - 1, 0)))
        what = data.draw(st.integers(0, 3))
        if what == 0:
            body[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        elif what == 1:
            del body[at : at + data.draw(st.integers(1, 9))]
        elif what == 2:
            body[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            del body[at:]
    check(kind, bytes(body))


@EACH_KIND
@HYPOTHESIS
@given(st.binary(max_size=100))
def test_random_bytes(kind: Kind, body: bytes) -> None:
    check(kind, body)
    check(kind, b"\x08\x00\x22" + varint(len(body)) + body)


@EACH_KIND
def test_every_flipped_bit_and_every_truncation(kind: Kind) -> None:
    body = example_of(kind).SerializePartialToString()
    assert len(check(kind, body)) > 0
    for bit in range(8 * len(body)):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        check(kind, bytes(flipped))
    for end in range(len(body)):
        check(kind, body[:end])


# what a generator does not make often


@EACH_KIND
def test_many_elements(kind: Kind) -> None:
    rows = check(kind, example_of(kind, 1000).SerializePartialToString())
    one = kind.stream in ("books", "odd_books", "brokers")
    assert len(rows) == (1 if one else 4000 if kind.stream == "quotes" else 1000)


@EACH_KIND
def test_small_elements_have_room(kind: Kind) -> None:
    """A body that gives many rows for its length."""
    message = kind.response(retType=0)
    if kind.stream == "quotes":
        for _ in range(500):
            quote = message.s2c.basicQotList.add(curPrice=1.0)
            quote.security.code = "A"
            for block in (quote.preMarket, quote.afterMarket, quote.overnight):
                block.SetInParent()
    else:
        message.s2c.security.code = "A"
        for field in message.s2c.DESCRIPTOR.fields:
            if field.is_repeated:
                for _ in range(500):
                    element = getattr(message.s2c, field.name).add()
                    if hasattr(element, "price"):
                        element.price = 1.0
    check(kind, message.SerializePartialToString())


@pytest.mark.parametrize("kl_type", [*SECONDS_OF, 0, 16, 255, 256, -1])
def test_bars_begin_an_interval_before_their_label(kl_type: int) -> None:
    kind = KINDS["QotUpdateKL"]
    message = example_of(kind)
    message.s2c.klType = kl_type
    rows = check(kind, message.SerializePartialToString())
    label = message.s2c.klList[0].timestamp
    seconds = SECONDS_OF.get(kl_type, 0)
    assert rows["time_ns"][0] == (label - (seconds if seconds < 86400 else 0)) * 10**9
    assert rows["interval_s"][0] == seconds


@pytest.mark.parametrize(
    ("name", "closes"), [("QotUpdateKL", [NAN, 2.0]), ("QotGetKL", [0.0, 2.0])]
)
def test_pushed_bars_do_not_know_the_close_before(name: str, closes: list[float]) -> None:
    message = example_of(KINDS[name])
    message.s2c.klList[0].lastClosePrice = 0.0
    message.s2c.klList[1].lastClosePrice = 2.0
    rows, _ = decode(KINDS[name], message.SerializePartialToString())
    np.testing.assert_array_equal(rows["prev_close"], closes)


def test_names_of_brokers_are_learnt() -> None:
    kind = KINDS["QotUpdateBroker"]
    message = kind.response(retType=0)
    message.s2c.security.market = 1
    message.s2c.security.code = "00700"
    names = {1: "Ä", -5: "中國", 2**40: "x" * 80, 9: "y" * 81, 8: "", 300: "Ä", 1000: "z" * 300}
    for number, name in names.items():
        message.s2c.brokerBidList.add(id=number, name=name, pos=1)
    body = message.SerializePartialToString()
    for broken in (False, True):
        # Every place in a rougher encoding must teach the same.
        table = SymbolTable()
        data = body if not broken else body + b"\x28\x00"
        decode(kind, data, brokers=table)
        decode(kind, data, brokers=table)
        for number, name in names.items():
            want = name if 0 < len(name.encode()) <= 80 else None
            assert broker_name(table, number) == want
        assert len(table) == 3
    invalid = body.replace("Ä".encode(), b"\xc3\x28")
    table = SymbolTable()
    rows, _ = decode(kind, invalid, brokers=table)
    assert len(rows) == 1
    assert broker_name(table, 1) is None
    assert list(table) == ["中國", "x" * 80]


@EACH_KIND
def test_numbers_are_cut_to_their_bits(kind: Kind) -> None:
    """Every varint with bits beyond the 32nd: an int32 loses them, an int64 and a bool do not."""

    def widen(data: bytes, descriptor: Any) -> bytes:
        out: list[Field] = []
        for number, wire_type, value in split_fields(data):
            field = descriptor.fields_by_number[number]
            wide = value
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                wide = widen(value, field.message_type)
            elif wire_type == 0:
                wide = varint(read_varint(value, 0)[0] + (5 << 32))
            out.append((number, wire_type, wide))
        return join_fields(out, lambda: 0)

    message = example_of(kind)
    assert len(check(kind, widen(message.SerializePartialToString(), message.DESCRIPTOR))) > 0


def test_no_stream_of_that_name() -> None:
    with pytest.raises(ValueError, match="stream"):
        decode_reply("news", b"", SymbolTable(), 0)
    with pytest.raises(ValueError, match="depth"):
        decode_reply("books", b"", SymbolTable(), 0, depth=0)
    with pytest.raises(ValueError, match="ret_type"):
        decode_reply("books", b"", SymbolTable(), 0)


# real bodies

BY_ID = {
    3004: "QotGetBasicQot",
    3005: "QotUpdateBasicQot",
    3006: "QotGetKL",
    3007: "QotUpdateKL",
    3008: "QotGetRT",
    3009: "QotUpdateRT",
    3010: "QotGetTicker",
    3011: "QotUpdateTicker",
    3012: "QotGetOrderBook",
    3013: "QotUpdateOrderBook",
    3014: "QotGetBroker",
    3015: "QotUpdateBroker",
    3103: "QotRequestHistoryKL",
}


def test_recorded_bodies(samples: Path) -> None:
    lines = (samples / "captures" / "opend_crypto.jsonl").read_text().splitlines()
    frames = [x["frame_hex"] for x in map(json.loads, lines) if x["direction"] == "s2c"]
    vectors = json.loads((samples / "protocols" / "opend" / "vectors.json").read_text())
    frames += [vectors[name]["frame_hex"] for name in vectors if name.endswith("_push")]
    seen = set()
    for frame in map(bytes.fromhex, frames):
        proto_id = int.from_bytes(frame[2:6], "little")
        if proto_id in BY_ID:
            seen.add(proto_id)
            assert len(check(KINDS[BY_ID[proto_id]], frame[44:])) > 0
    assert {3004, 3005, 3006, 3007, 3010, 3011, 3012, 3013} <= seen
