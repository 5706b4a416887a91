"""The simulator's encoder: protobuf reads back what went in, and would write the same bytes."""

import hashlib
import struct
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed._core.opend_encode import (
    MAX_CHUNK_BYTES,
    MAX_ROWS_PER_PACKET,
    MAX_ROWS_PER_PUSH,
    TICK_FIELDS,
    TickEncoder,
)
from fastfeed.protocols.opend_messages import message_class

TICK = np.dtype(TICK_FIELDS)
HEADER = struct.Struct("<2sIBBII20s8s")
NEW_YORK = -4 * 3600
SECURITIES = [
    (11, "SPY", "SPY", [(0, NEW_YORK)]),
    (1, "00700", "Tencent 腾讯", [(0, 8 * 3600)]),
    (91, "BTCUSDT", "", [(0, 0)]),
]
#: One trade from a real gateway: all optional fields, one row, name last.
CAPTURED = bytes.fromhex(
    "4654c30b00000000760700007200000072e0081b2c6cf7b02e24d0987c0973ad9c11b2e9000000000000000008002"
    "26e0a07085b1203425443125a0a17323032362d30372d30352030343a34323a33352e3830391083808080b09f86a5"
    "6a1802210000000000bdee4028003118d4b7cce9b21b40393e783c3f8692da4140014820500359a8c6f33e8692da4"
    "1614bb0389cf9d51c3f1a07426974636f696e"
)


def rows(*ticks):
    return np.array(list(ticks), dtype=TICK)


def packets(data):
    """Return [(serial, body bytes, parsed body)] of a stream of packets, all of it checked."""
    found = []
    while data:
        magic, proto, fmt, version, serial, length, sha1, reserved = HEADER.unpack_from(data)
        body = data[HEADER.size : HEADER.size + length]
        assert (magic, proto, fmt, version, reserved) == (b"FT", 3011, 0, 0, bytes(8))
        assert len(body) == length
        assert hashlib.sha1(body).digest() == sha1
        found.append((serial, body, message_class("QotUpdateTicker.Response").FromString(body)))
        data = data[HEADER.size + length :]
    return found


def encode(ticks, *, wanted=b"\1\1\1", first=0, serial=1, recv_time=1.5, **options):
    return TickEncoder(SECURITIES).encode(
        ticks, first, wanted, serial=serial, recv_time=recv_time, **options
    )


def test_a_captured_trade_comes_out_byte_for_byte():
    captured = message_class("QotUpdateTicker.Response").FromString(CAPTURED[44:])
    row = captured.s2c.tickerList[0]
    encoder = TickEncoder([(91, "BTC", "Bitcoin", [(0, NEW_YORK)])])
    data = encoder.encode_picked(
        rows((round(row.timestamp * 1e3) * 1_000_000, row.price, row.hpVolume, 0, -1)),
        np.array([row.sequence & 0xFFFFFFFF]),
        0,
        serial=HEADER.unpack_from(CAPTURED)[4],
        recv_time=row.recvTime,
        push_data_type=3,
    )
    assert data == CAPTURED


def test_every_field_of_a_push():
    data, used, count, ticks = encode(
        rows((1_381_152_600_123_456_789, 167.421, 300.75, 0, 1)), first=7, serial=42
    )
    assert (used, count, ticks) == (1, 1, 1)
    [(serial, body, push)] = packets(data)
    assert serial == 42
    assert (push.retType, push.HasField("retMsg"), push.HasField("errCode")) == (0, False, False)
    assert (push.s2c.security.market, push.s2c.security.code, push.s2c.name) == (11, "SPY", "SPY")
    [row] = push.s2c.tickerList
    assert row.time == "2013-10-07 09:30:00.123"
    assert row.sequence == 1_381_152_600 << 32 | 7
    assert (row.dir, row.type, row.typeSign, row.pushDataType) == (1, 1, 32, 1)
    assert (row.price, row.volume, row.hpVolume) == (167.421, 300, 300.75)
    assert row.turnover == 167.421 * 300.75
    assert row.recvTime == 1.5
    assert round(row.timestamp * 1e6) == 1_381_152_600_123_457
    assert push.SerializeToString() == body


@given(
    st.lists(
        st.tuples(
            st.integers(0, (1 << 31) * 1_000_000_000 - 1),
            st.floats(allow_nan=False, allow_infinity=False, width=64),
            st.floats(0, 1e15),
            st.integers(0, 2),
            st.sampled_from([-1, 0, 1]),
        ),
        max_size=20,
    ),
    st.integers(1, 5),
)
def test_protobuf_agrees_on_any_rows(ticks, rows_per_push):
    data, used, count, sent = encode(
        rows(*ticks), first=1 << 20, serial=(1 << 32) - 2, rows_per_push=rows_per_push
    )
    assert (used, sent) == (len(ticks), len(ticks))
    pushes = packets(data)
    assert [serial for serial, _, _ in pushes] == [
        ((1 << 32) - 2 + i) % (1 << 32) for i in range(count)
    ]
    read = []
    for _, body, push in pushes:
        assert push.SerializeToString() == body
        assert 1 <= len(push.s2c.tickerList) <= rows_per_push
        market, code, _, [(_, offset)] = SECURITIES[
            [security[0] for security in SECURITIES].index(push.s2c.security.market)
        ]
        assert push.s2c.security.code == code
        for row in push.s2c.tickerList:
            read.append((row, market, offset))
    for position, ((row, market, offset), tick) in enumerate(zip(read, ticks, strict=True)):
        time_ns, price, volume, symbol, side = tick
        local = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC) + timedelta(seconds=offset)
        milliseconds = time_ns // 1_000_000 % 1000
        if local.year >= 1970:
            assert row.time == f"{local:%Y-%m-%d %H:%M:%S}.{milliseconds:03}"
        assert market == SECURITIES[symbol][0]
        assert row.dir == {1: 1, -1: 2, 0: 3}[side]
        assert (row.price, row.hpVolume, row.volume) == (price, volume, int(volume))
        assert abs(row.timestamp * 1e6 - time_ns / 1e3) < 0.5
        assert row.sequence == ((time_ns // 1_000_000_000) << 32) + (1 << 20) + position


def test_rows_share_a_packet_only_when_they_follow_each_other():
    ticks = rows(*((10**18 + i, 1.0, 1.0, symbol, 0) for i, symbol in enumerate([0, 0, 0, 1, 0])))
    data, _, count, _ = encode(ticks, rows_per_push=2)
    assert count == 4
    assert [len(push.s2c.tickerList) for _, _, push in packets(data)] == [2, 1, 1, 1]


def test_unwanted_rows_are_used_but_not_sent():
    ticks = rows(*((10**18, 1.0, 1.0, symbol, 0) for symbol in [0, 1, 2, 1]))
    data, used, count, sent = encode(ticks, wanted=b"\0\1\0", first=100)
    assert (used, count, sent) == (4, 2, 2)
    assert [push.s2c.tickerList[0].sequence & 0xFFFF for _, _, push in packets(data)] == [101, 103]


def test_a_chunk_ends_before_its_limit_and_goes_on_where_it_ended():
    ticks = rows(*((10**18 + i, 1.0 + i, 1.0, i % 3, 0) for i in range(5000)))
    encoder = TickEncoder(SECURITIES)
    position, prices = 0, []
    while position < len(ticks):
        data, used, _, _ = encoder.encode(
            ticks[position:], position, b"\1\1\1", serial=0, recv_time=0.0
        )
        assert 0 < len(data) <= MAX_CHUNK_BYTES
        prices += [push.s2c.tickerList[0].price for _, _, push in packets(data)]
        position += used
    assert prices == ticks["price"].tolist()


def test_the_utc_offset_of_the_time_counts():
    change = 1_383_458_400  # 2013-11-03 06:00 UTC: New York turns its clocks back
    encoder = TickEncoder([(11, "A", "A", [(0, -4 * 3600), (change, -5 * 3600)])])
    ticks = rows(*((at * 1_000_000_000, 1.0, 1.0, 0, 0) for at in (change - 1, change)))
    data, _, _, _ = encoder.encode(ticks, 0, b"\1", serial=0, recv_time=0.0)
    assert [push.s2c.tickerList[0].time for _, _, push in packets(data)] == [
        "2013-11-03 01:59:59.000",
        "2013-11-03 01:00:00.000",
    ]


def test_sequences_grow_when_a_tape_starts_again():
    ticks = rows((5_000_000_000, 1.0, 1.0, 0, 0), (9_000_000_000, 1.0, 1.0, 0, 0))
    first, _, _, _ = encode(ticks, first=0)
    again, _, _, _ = encode(ticks, first=2, floor_s=9)
    sequences = [push.s2c.tickerList[0].sequence for _, _, push in packets(first + again)]
    assert sequences == [5 << 32, (9 << 32) + 1, (9 << 32) + 2, (9 << 32) + 3]


def test_picked_rows_are_one_push():
    ticks = rows(*((10**18 + i, float(i), 1.0, [0, 1, 0, 0][i % 4], 0) for i in range(40)))
    encoder = TickEncoder(SECURITIES)
    # Positions count on while rows come round again; the last one is another symbol's.
    picked = np.array([36, 38, 79, 41])
    data = encoder.encode_picked(
        ticks, picked, 0, serial=5, recv_time=2.5, push_data_type=2, floor_s=2**30, floor_from=79
    )
    [(serial, _, push)] = packets(data)
    assert serial == 5
    assert [row.price for row in push.s2c.tickerList] == [36.0, 38.0, 39.0]
    assert {row.pushDataType for row in push.s2c.tickerList} == {2}
    assert [row.sequence for row in push.s2c.tickerList] == [
        (10**9 << 32) + 36,
        (10**9 << 32) + 38,
        (2**30 << 32) + 79,
    ]


@pytest.mark.parametrize("count", [0, 1, MAX_ROWS_PER_PACKET])
def test_a_reply_is_what_protobuf_would_write(count):
    ticks = rows(*((10**18 + i * 10**6, i / 7, i / 3, 1, i % 3 - 1) for i in range(1000)))
    data = TickEncoder(SECURITIES).encode_picked(
        ticks, np.arange(1000 - count, 1000), 1, serial=77, recv_time=1.5
    )
    magic, proto, _, _, serial, length, sha1, _ = HEADER.unpack_from(data)
    body = data[HEADER.size :]
    assert (magic, proto, serial, length) == (b"FT", 3010, 77, len(body))
    assert hashlib.sha1(body).digest() == sha1
    reply = message_class("QotGetTicker.Response").FromString(body)
    assert reply.SerializeToString() == body
    assert (reply.retType, reply.HasField("retMsg"), reply.errCode) == (0, True, 0)
    assert (reply.s2c.security.code, reply.s2c.name) == ("00700", "Tencent 腾讯")
    found = list(reply.s2c.tickerList)
    assert [row.price for row in found] == ticks["price"][1000 - count :].tolist()
    assert not any(row.HasField("pushDataType") for row in found)


def test_wrong_arguments_are_named():
    tick = (10**18, 1.0, 1.0, 0, 0)
    with pytest.raises(ValueError, match="expected 3 marks, got 2"):
        encode(rows(tick), wanted=b"\1\1")
    with pytest.raises(ValueError, match="expected symbols below 3, got 3"):
        encode(rows((10**18, 1.0, 1.0, 3, 0)))
    with pytest.raises(ValueError, match=f"expected 1 to {MAX_ROWS_PER_PUSH} rows a push, got 0"):
        encode(rows(tick), rows_per_push=0)
    with pytest.raises(ValueError, match="at most 64 bytes"):
        TickEncoder([(11, "A" * 65, "A", [(0, 0)])])
    with pytest.raises(ValueError, match="at least one UTC offset"):
        TickEncoder([(11, "A", "A", [])])
    encoder = TickEncoder(SECURITIES)
    for store, positions, symbol, message in (
        (rows(tick), [0], 3, "expected a symbol below 3, got 3"),
        (rows(tick), range(1001), 0, "expected at most 1000 rows of a store, got 1001"),
        (rows(), [0], 0, "rows of a store"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder.encode_picked(
                store, np.array(positions), symbol, serial=0, recv_time=0.0, push_data_type=1
            )
