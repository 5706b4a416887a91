"""LongPort's decoder against the protobuf runtime, `float` and rules of merging written anew: pushes one after the
other and responses, in every encoding that protobuf allows, broken, and bytes of the vendor's own clients."""

from __future__ import annotations

import math
import struct
from datetime import datetime
from itertools import permutations
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from longport_oracle import (
    CLASSES,
    DEPTH,
    PUSHES,
    RESPONSES,
    Decoders,
    bodies,
    check_response,
    example_of,
    mutated,
)
from wire_oracle import join_fields, split_fields, varint

from fastfeed._core.longport_decoder import LongportDecoder, decode_response
from fastfeed._core.symbols import SymbolTable
from fastfeed.schema import Session, dtype

HYPOTHESIS = settings(deadline=None, max_examples=50)
EACH_PUSH = pytest.mark.parametrize("command", PUSHES, ids=PUSHES.values())
EACH_RESPONSE = pytest.mark.parametrize("command", RESPONSES, ids=map(str, RESPONSES))
NAN = math.nan

# pushes


@EACH_PUSH
@HYPOTHESIS
@given(st.data())
def test_pushes_one_after_the_other(command: int, data: st.DataObject) -> None:
    decoders = Decoders()
    for body in data.draw(st.lists(bodies(command), min_size=1, max_size=6)):
        CLASSES[command].FromString(body)  # the generator makes valid messages only
        decoders.push(command, body)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_all_kinds_with_snapshots_and_reconnects(data: st.DataObject) -> None:
    decoders = Decoders()
    for _ in range(data.draw(st.integers(2, 10))):
        what = data.draw(st.sampled_from([*PUSHES, 101, 101, 101, "seed", "seed", "reset"]))
        if what == "reset":
            decoders.reset()
        elif what == "seed":
            message = CLASSES[11].FromString(data.draw(bodies(11, odd=False)))
            for quote in message.secu_quote:
                quote.symbol = data.draw(st.sampled_from([b"AAPL.US", b"700.HK"]))
            decoders.seed(message.SerializeToString())
        else:
            message = CLASSES[what].FromString(data.draw(bodies(what, odd=False)))
            message.symbol = data.draw(st.sampled_from([b"AAPL.US", b"700.HK", b"00700.HK"]))
            decoders.push(what, message.SerializeToString())


@EACH_PUSH
@HYPOTHESIS
@given(st.data())
def test_mutated_pushes_change_nothing_or_mean_the_same(command: int, data: st.DataObject) -> None:
    decoders = Decoders()
    decoders.push(command, example_of(command).SerializeToString())
    decoders.push(command, data.draw(mutated(command)))
    after = CLASSES[command](symbol=b"AAPL.US")
    decoders.push(command, after.SerializeToString())


@EACH_PUSH
@HYPOTHESIS
@given(body=st.binary(max_size=60))
@example(body=bytes.fromhex("888080808000"))
@example(body=bytes.fromhex("1a04088080808080000522008080"))
@example(body=bytes.fromhex("2308002400"))
@example(body=b"\x0a\x07AAPL.US\x1a\x03\x12\x02\x80")
def test_random_bytes(command: int, body: bytes) -> None:
    decoders = Decoders()
    decoders.push(command, body)
    decoders.push(command, b"\x0a\x07AAPL.US" + body)
    decoders.push(command, b"\x0a\x07AAPL.US\x1a" + varint(len(body)) + body)


@EACH_PUSH
def test_every_flipped_bit_and_every_cut(command: int) -> None:
    body = example_of(command).SerializeToString()
    first = CLASSES[command](symbol=b"AAPL.US").SerializeToString()
    for i in range(8 * len(body) + len(body)):
        decoders = Decoders()
        assert decoders.push(command, first) is not None
        if i < 8 * len(body):
            flipped = bytearray(body)
            flipped[i // 8] ^= 1 << i % 8
            decoders.push(command, bytes(flipped))
        else:
            decoders.push(command, body[: i - 8 * len(body)])
        decoders.push(command, first)


@EACH_PUSH
def test_all_orders_of_fields(command: int) -> None:
    message = example_of(command, 1)
    if command == 101:  # some of its many
        for name in ("high", "low", "trade_status", "current_volume", "current_turnover", "tag"):
            message.ClearField(name)
    fields = split_fields(message.SerializeToString())
    decoders = Decoders()
    for i, order in enumerate(permutations(fields)):
        if i % (1 if len(fields) < 6 else 17) == 0:
            decoders.reset()
            assert len(decoders.push(command, join_fields(list(order), lambda: 0))) == 1


@EACH_PUSH
def test_many_elements(command: int) -> None:
    decoders = Decoders()
    body = example_of(command, 1000).SerializeToString()
    assert len(decoders.push(command, body)) == (1000 if command == 104 else 1)
    small = CLASSES[104](symbol=b"A.US")
    for _ in range(500):
        small.trade.add(price=b"1")
    assert len(decoders.push(104, small.SerializeToString())) == 500


# what is merged


def quote(decoders: Decoders, **fields: Any) -> Any:
    """The row of a push of AAPL.US; None: there is none."""
    message = CLASSES[101](symbol=b"AAPL.US", **fields)
    rows = decoders.push(101, message.SerializeToString())
    return rows[0] if len(rows) else None


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=ZoneInfo("America/New_York")).timestamp())  # type: ignore[misc]


def test_a_quote_keeps_what_a_push_does_not_say() -> None:
    decoders = Decoders()
    noon = at(2026, 11, 25, 12)
    assert quote(decoders, open=b"1.5", timestamp=noon, volume=5) is None
    row = quote(decoders, last_done=b"2.5", timestamp=noon, turnover=b"x")
    assert (row["last"], row["open"], row["volume"]) == (2.5, 1.5, 5.0)
    assert np.isnan(row["turnover"])
    assert np.isnan(row["prev_close"])
    row = quote(decoders, last_done=b"3", timestamp=noon, trade_session=2, trade_status=3)
    assert (row["session"], row["last"], row["suspended"]) == (Session.POST, 3.0, 1)
    assert np.isnan(row["open"])
    row = quote(decoders, high=b"4", timestamp=noon)
    assert (row["session"], row["last"], row["high"]) == (Session.REGULAR, 2.5, 4.0)
    assert quote(decoders, last_done=b"9", tag=1) is None
    assert quote(decoders, timestamp=noon)["last"] == 2.5


@pytest.mark.parametrize(
    ("trade_session", "before", "after"),
    [
        (0, at(2026, 11, 24, 23, 59, 59), at(2026, 11, 25, 0, 0, 0)),
        (3, at(2026, 11, 24, 19, 59, 59), at(2026, 11, 24, 20, 0, 0)),
        (0, at(2026, 11, 1, 23, 59, 59), at(2026, 11, 2, 0, 0, 0)),  # a day of 25 hours
        (0, at(2026, 3, 8, 23, 59, 59), at(2026, 3, 9, 0, 0, 0)),  # and one of 23
    ],
)
def test_a_new_day_knows_nothing_of_the_one_before(
    trade_session: int, before: int, after: int
) -> None:
    decoders = Decoders()
    known = {"open": b"1", "high": b"2", "low": b"0.5", "volume": 7, "turnover": b"8"}
    start = before - 3 * 3600
    quote(decoders, last_done=b"1", timestamp=start, trade_session=trade_session, **known)
    row = quote(decoders, timestamp=before, trade_session=trade_session)
    assert (row["open"], row["volume"], row["turnover"]) == (1, 7, 8)
    row = quote(decoders, timestamp=after, trade_session=trade_session, high=b"3")
    assert (row["last"], row["high"]) == (1, 3)
    for name in ("open", "low", "volume", "turnover", "prev_close"):
        assert np.isnan(row[name])


def test_a_snapshot_fills_in_what_later_pushes_did_not_say() -> None:
    decoders = Decoders()
    noon = at(2026, 11, 25, 12)
    quote(decoders, last_done=b"2", timestamp=noon, volume=50)
    message = CLASSES[11]()
    message.secu_quote.add(
        symbol=b"AAPL.US", last_done=b"1", prev_close=b"0.5", open=b"1.25", timestamp=noon - 60,
        volume=20,
    )  # fmt: skip
    row = decoders.seed(message.SerializeToString())[0]
    assert (row["last"], row["volume"], row["prev_close"], row["open"]) == (2, 50, 0.5, 1.25)
    assert row["time_ns"] == noon * 10**9
    message.secu_quote[0].timestamp = noon  # the push may be what came behind it
    row = decoders.seed(message.SerializeToString())[0]
    assert (row["last"], row["volume"], row["prev_close"]) == (2, 50, 0.5)
    message.secu_quote[0].timestamp = noon + 1
    row = decoders.seed(message.SerializeToString())[0]
    assert (row["last"], row["volume"], row["prev_close"]) == (1, 20, 0.5)
    row = quote(decoders, last_done=b"3", timestamp=noon + 2)
    assert (row["last"], row["volume"], row["prev_close"], row["open"]) == (3, 20, 0.5, 1.25)
    decoders.reset()
    assert quote(decoders, timestamp=noon) is None


def test_a_sequence_is_a_clock_up_to_a_day_from_the_time() -> None:
    decoders = Decoders()
    noon = at(2026, 11, 25, 12)
    day = 86400 * 10**9
    clocks = []
    for by in (-day - 1, -day, 0, day, day + 1):
        row = quote(decoders, last_done=b"1", timestamp=noon, sequence=noon * 10**9 + by)
        clocks.append(row["gateway_ns"] != 0)
    assert clocks == [False, True, True, True, False]


def test_old_pushes_are_left_out_by_symbol_and_kind() -> None:
    decoders = Decoders()
    trade = {"price": b"1", "timestamp": 1_700_000_000}

    def ticks(symbol: bytes, sequence: int) -> int:
        message = CLASSES[104](symbol=symbol, sequence=sequence, trade=[trade])
        return len(decoders.push(104, message.SerializeToString()))

    assert [ticks(b"700.HK", n) for n in (5, 5, 4, 0, 6)] == [1, 0, 0, 1, 1]
    assert ticks(b"00700.HK", 6) == 0  # the same symbol
    assert ticks(b"AAPL.US", 6) == 1
    message = CLASSES[102](symbol=b"700.HK", sequence=6)
    assert len(decoders.push(102, message.SerializeToString())) == 1
    decoders.reset()
    assert ticks(b"700.HK", 1) == 1
    assert decoders.oracle.old == 3


def test_levels_are_merged_by_position() -> None:
    decoders = Decoders()

    def book(symbol: bytes = b"700.HK", **sides: list[tuple[int, bytes, int]]) -> Any:
        message = CLASSES[102](symbol=symbol)
        for side, levels in sides.items():
            for position, price, volume in levels:
                getattr(message, side).add(position=position, price=price, volume=volume)
        return decoders.push(102, message.SerializeToString())[0]

    row = book(ask=[(1, b"3", 1), (3, b"5", 2)], bid=[(1, b"2", 9), (4, b"1", 1), (0, b"1", 1)])
    assert (row["asks"], row["bids"]) == (3, 1)
    np.testing.assert_array_equal(row["ask_price"], [3, NAN, 5])
    row = book(ask=[(2, b"4", 7), (3, b"", 0)])
    assert (row["asks"], row["bids"]) == (2, 1)
    np.testing.assert_array_equal(row["ask_price"], [3, 4, NAN])
    np.testing.assert_array_equal(row["ask_volume"], [1, 7, NAN])
    np.testing.assert_array_equal(row["bid_price"], [2, NAN, NAN])
    assert decoders.oracle.stats()["cut_levels"] == 1
    assert decoders.oracle.stats()["dropped"] == {"bad_value": 1}
    row = book(b"00700.HK", bid=[(2, b"1", 1)])  # the same symbol, in a spelling not seen before
    np.testing.assert_array_equal(row["bid_price"], [2, 1, NAN])


def test_queues_are_merged_by_position() -> None:
    decoders = Decoders()

    def brokers(levels: dict[int, list[int]]) -> Any:
        message = CLASSES[103](symbol=b"700.HK")
        for position, ids in levels.items():
            message.bid_brokers.add(position=position, broker_ids=ids)
        return decoders.push(103, message.SerializeToString())[0]

    row = brokers({1: [1, 2], 3: list(range(100, 150)), 2: []})
    assert row["bids"] == 40
    row = brokers({3: [7], 2: [5, -6], 41: [1, 2, 3]})
    assert row["bids"] == 5
    assert row["bid_broker"][:6].tolist() == [1, 2, 5, -6, 7, 0]
    assert row["bid_level"][:6].tolist() == [1, 1, 2, 2, 3, 0]
    assert decoders.oracle.stats()["cut_levels"] == 12 + 3


# responses


@EACH_RESPONSE
@HYPOTHESIS
@given(st.data())
def test_responses(command: int, data: st.DataObject) -> None:
    check_response(command, data.draw(bodies(command)))


@EACH_RESPONSE
@HYPOTHESIS
@given(st.data())
def test_mutated_responses(command: int, data: st.DataObject) -> None:
    check_response(command, data.draw(mutated(command)))


@EACH_RESPONSE
def test_every_flipped_bit_and_every_cut_of_responses(command: int) -> None:
    body = example_of(command).SerializeToString()
    assert len(check_response(command, body)) > 0
    for bit in range(8 * len(body)):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        check_response(command, bytes(flipped))
    for end in range(len(body)):
        check_response(command, body[:end])


@EACH_RESPONSE
def test_many_rows(command: int) -> None:
    rows = check_response(command, example_of(command, 1000).SerializeToString())
    assert len(rows) == {11: 4000, 14: 1, 15: 1}.get(command, 1000)
    assert len(decode_response(command, b"", SymbolTable(), 0)) == 0


# the numbers that decoding does not look into are cut to their bits


@EACH_PUSH
def test_numbers_are_cut_to_their_bits(command: int) -> None:
    """Varints with bits beyond the 32nd: an int32 loses them, an int64 does not."""

    def widen(data: bytes, descriptor: Any) -> bytes:
        out = []
        for number, wire_type, value in split_fields(data):
            field = descriptor.fields_by_number[number]
            wide = value
            if field.message_type is not None:
                wide = widen(value, field.message_type)
            elif field.name in ("position", "direction", "trade_session", "trade_status"):
                wide = varint(value[0] + (5 << 32))
            out.append((number, wire_type, wide))
        return join_fields(out, lambda: 0)

    message = example_of(command)
    decoders = Decoders()
    assert len(decoders.push(command, widen(message.SerializeToString(), message.DESCRIPTOR))) > 0


def test_arguments() -> None:
    decoder = LongportDecoder(SymbolTable())
    for command in (0, 11, 100, 105):
        with pytest.raises(ValueError, match="command"):
            decoder.push(command, b"", 0)
    for command in (0, 10, 101):
        with pytest.raises(ValueError, match="command"):
            decode_response(command, b"", SymbolTable(), 0)
    for depth in (0, 1001):
        with pytest.raises(ValueError, match="depth"):
            LongportDecoder(SymbolTable(), depth=depth)
        with pytest.raises(ValueError, match="depth"):
            decode_response(14, b"", SymbolTable(), 0, depth=depth)


def test_a_full_table_of_symbols() -> None:
    symbols = SymbolTable(1)
    decoder = LongportDecoder(symbols)
    for symbol, fits in ((b"A.US", True), (b"B.US", False)):
        body = CLASSES[102](symbol=symbol).SerializeToString()
        if fits:
            assert decoder.push(102, body, 0)
        else:
            with pytest.raises(ValueError, match="symbols_full"):
                decoder.push(102, body, 0)


# bytes of the vendor's own clients

PUSHED = {
    "quote": "0a063730302e484b10e0c081e3b6cca4f1171a073338322e34303038d3c5d7b406409881cc02"
    "4a0e323039323133333539382e31333060c8016a0937363438302e303030",
    "end of day": "0a063730302e484b10671a03312e3038b58fa893067001",
    "depth": "0a063730302e484b10671a0d080112053333382e34186420011a020802220b080112053333382e321805",
    "brokers": "0a063730302e484b10671a0808011204be39e146",
    "trade": "0a063730302e484b10671a110a053333382e34100318b58fa893062802",
}
SNAPSHOT = (
    "0a680a074141504c2e555312073135362e3537301a073135362e38303022073135352e3931302a073135392e373930"
    "32073135352e33383038c0c1a6930640d7f9fe294a0f31333836353039323538342e3030306a140a073135382e3737"
    "3010fbb1a793061899dbf902"
)


def test_pushes_of_the_official_client() -> None:
    decoders = Decoders()
    row = decoders.push(101, bytes.fromhex(PUSHED["quote"]))[0]
    assert row["last"] == 382.4
    assert row["gateway_ns"] == row["seq"] == 1721098963326623840
    assert row["time_ns"] == 1721098963 * 10**9
    assert (row["volume"], row["turnover"]) == (5439640, 2092133598.130)
    assert len(decoders.push(101, bytes.fromhex(PUSHED["end of day"]))) == 0
    row = decoders.push(102, bytes.fromhex(PUSHED["depth"]))[0]
    assert (row["asks"], row["bids"], row["seq"], row["gateway_ns"]) == (1, 1, 103, 0)
    assert (row["ask_price"][0], row["ask_volume"][0], row["ask_orders"][0]) == (338.4, 100, 1)
    assert (row["bid_price"][0], row["bid_volume"][0], row["bid_orders"][0]) == (338.2, 5, 0)
    row = decoders.push(103, bytes.fromhex(PUSHED["brokers"]))[0]
    assert (row["asks"], row["bids"]) == (2, 0)
    assert row["ask_broker"][:3].tolist() == [7358, 9057, 0]
    row = decoders.push(104, bytes.fromhex(PUSHED["trade"]))[0]
    assert (row["price"], row["volume"], row["side"], row["kind"]) == (338.4, 3, 1, 0)
    assert row["session"] == Session.REGULAR
    assert list(decoders.symbols[0]) == ["700.HK"]


def test_a_snapshot_of_the_official_client() -> None:
    rows = check_response(11, bytes.fromhex(SNAPSHOT))
    assert rows["session"].tolist() == [Session.REGULAR, Session.OVERNIGHT]
    assert rows["last"].tolist() == [156.57, 158.77]
    assert rows["prev_close"][0] == 156.8
    assert rows["volume"].tolist() == [88063191, 6188441]
    assert rows["time_ns"].tolist() == [1651089600 * 10**9, 1651103995 * 10**9]


def test_rows_hold_nothing_but_their_fields() -> None:
    """What lies between the fields of a book is 0: rows are compared by their bytes."""
    symbols = SymbolTable()
    body = example_of(102, DEPTH).SerializeToString()
    data = LongportDecoder(symbols, depth=DEPTH).push(102, body, 7)
    row = np.frombuffer(data, dtype("books", DEPTH))[0]
    clean = np.zeros(1, row.dtype)
    for name in row.dtype.names:
        clean[name] = row[name]
    assert clean.tobytes() == bytes(data)
    assert struct.unpack_from("<q", data)[0] == 7
