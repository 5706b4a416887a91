"""Parts of the simulated LongPort without a connection: packets in, signatures, sessions, sequences, hours."""

import gzip
import random
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed.protocols.longport_messages import message_class
from fastfeed.protocols.longport_packets import VERIFY_BYTES, pack_request, pack_response
from fastfeed.sim import Tape
from fastfeed.sim.longport_hours import Hours, Passage
from fastfeed.sim.longport_http import signature
from fastfeed.sim.longport_pushes import Writer
from fastfeed.sim.longport_requests import MAX_REQUEST_BYTES, Broken, Packets
from fastfeed.sim.longport_sessions import Sessions
from fastfeed.sim.playback import TapeSource
from fastfeed.sim.tape import TICK

START_NS = 1_381_152_600_000_000_000  # 2013-10-07 09:30 in New York


@pytest.mark.parametrize(
    ("method", "path", "timestamp", "body", "expected"),
    [
        (
            "GET", "/v1/socket/token", "1700000000", b"",
            "918f4bd5696c90f80c9e2b6f43aae35db78537c078b154cdb899726b9da28d9b",
        ),
        (
            "POST", "/quote/quotes", "1795220496", b'{"symbol":["00700.HK","AAPL.US"]}',
            "2a3e21f3607f735ec8e55298ee5b84fe9dcd1ff074928350143661430f55fc75",
        ),
    ],
)  # fmt: skip
def test_signatures_are_those_of_the_vendors_clients(method, path, timestamp, body, expected):
    headers = {"x-api-key": "KEY", "authorization": "TOKEN", "x-timestamp": timestamp}
    assert signature(method, path, "", headers, body, "secret").endswith(f"Signature={expected}")


# Packets.

bodies = st.binary(max_size=40)


@st.composite
def packets(draw):
    command, number = draw(st.integers(0, 255)), draw(st.integers(0, 2**32 - 1))
    body, extra = draw(bodies), draw(st.integers(0, 255))
    if draw(st.booleans()):
        return pack_response(command, number, extra, body), (2, command, number, extra, body)
    if draw(st.booleans()):
        small = gzip.compress(body)
        plain = pack_request(command, number, extra, small)
        signed = bytes((plain[0] | 0x30,)) + plain[1:] + bytes(VERIFY_BYTES)
        return signed, (1, command, number, extra, body)
    return pack_request(command, number, extra, body), (1, command, number, extra, body)


@given(st.lists(packets(), max_size=5), st.data())
def test_packets_are_the_same_however_they_are_cut(made, data):
    stream = b"".join(packet for packet, _ in made)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader, found = Packets(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert [tuple(packet) for packet in found] == [fields for _, fields in made]
    assert not reader.pending


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_any_bytes_are_packets_or_broken(pieces):
    reader = Packets()
    try:
        for piece in pieces:
            for packet in reader.feed(piece):
                assert packet.body is None or len(packet.body) <= MAX_REQUEST_BYTES
            assert reader.pending <= MAX_REQUEST_BYTES + 64
    except Broken:
        pass


def test_what_is_too_long_is_not_waited_for():
    for length in (MAX_REQUEST_BYTES + 1, (1 << 24) - 1):
        with pytest.raises(Broken, match="at most"):
            Packets().feed(b"\x01" + bytes(7) + length.to_bytes(3, "big"))
    assert Packets().feed(b"\x01" + bytes(7) + MAX_REQUEST_BYTES.to_bytes(3, "big")) == []
    [bomb] = Packets().feed(
        b"\x21" + pack_request(11, 1, 0, gzip.compress(bytes(MAX_REQUEST_BYTES + 1)))[1:]
    )
    assert bomb.body is None


# Sessions.


def test_sessions_and_passwords_do_not_grow_without_bound():
    now = [10**18]
    sessions = Sessions(100.0, random.Random(1), lambda: now[0])
    words = [sessions.password() for _ in range(1500)]
    assert len(set(words)) == 1500
    assert sessions.open(words[0]) is None
    name, expires_ms = sessions.open(words[-1])
    assert expires_ms == 10**12 + 100_000
    assert sessions.open(words[-1]) is None
    for _ in range(12_000):
        sessions.open(sessions.password())
    assert len(sessions._expires_ms) == 10_000
    assert sessions.renew(name) is None
    last, _ = sessions.open(sessions.password())
    now[0] += 99 * 10**9
    renewed, expires_ms = sessions.renew(last)
    assert expires_ms == 10**12 + 199_000
    now[0] += 100 * 10**9
    assert sessions.renew(renewed) is None


# What goes along with ticks.


def test_hours_are_those_of_new_york_through_the_year():
    start_s = START_NS // 10**9
    at_s = start_s + np.arange(0, 366 * 86400, 7919)
    found = Hours((start_s, int(at_s[-1]))).of(at_s)
    zone = ZoneInfo("America/New_York")
    for at, session in zip(at_s.tolist(), found.tolist(), strict=True):
        clock = datetime.fromtimestamp(at, zone)
        minute = clock.hour * 60 + clock.minute
        if 570 <= minute < 960:
            assert session == 0
        else:
            assert session == (1 if 240 <= minute < 570 else 2 if 960 <= minute < 1200 else 3)


@pytest.mark.parametrize("pieces", [1, 7, 500])
def test_sequences_are_times_that_grow(pieces):
    rows = np.zeros(1000, TICK)
    rows["time_ns"] = START_NS + np.arange(1000) // 30 * 1000
    rows["price"] = 10.5
    rows["symbol"] = np.arange(1000) % 2
    tape = Tape(["SPY.US", "700.HK"], rows)
    source = TapeSource(tape, speed="max", loop=True)
    source.advance(0)
    passage = Passage(tape.symbols, source, (START_NS // 10**9, START_NS // 10**9))
    seen = []
    for position in range(0, 2001, 2000 // pieces):
        passage.advance(position)
        if position == 1000 or pieces == 1:
            seen = passage.sequences.copy()
    passage.advance(2000)
    assert np.all(np.diff(passage.sequences) > 0)
    if pieces == 500:
        assert np.all(seen - rows["time_ns"] < 1000)
        assert np.all(seen >= rows["time_ns"])
        assert passage.sequences[0] > seen[-1]  # it began again


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.floats(0.0001, 1e7),
            st.integers(0, 2**40),
            st.sampled_from([-1, 0, 1]),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 5),
    st.sampled_from([0, 10**9, START_NS]),
)
def test_trades_are_written_as_protobuf_reads_them(trades, most, start_ns):
    rows = np.zeros(len(trades), TICK)
    for row, (symbol, price, volume, side) in zip(rows, trades, strict=True):
        row["symbol"], row["price"], row["volume"], row["side"] = symbol, price, volume, side
    rows["time_ns"] = start_ns + np.arange(len(rows)) * 10**9
    tape = Tape(["SPY.US", "700.HK"], rows)
    source = TapeSource(tape, speed="max", loop=False)
    source.advance(0)
    span_s = (start_ns // 10**9, start_ns // 10**9 + len(rows))
    passage = Passage(tape.symbols, source, span_s)
    passage.advance(len(rows))
    writer = Writer(tape.symbols, (2, 3), passage)
    found = []
    for body in writer.trades(rows, np.arange(len(rows)), most):
        push = message_class("PushTrade").FromString(body)
        assert push.SerializeToString() == body  # in the order and form of protobuf
        assert 1 <= len(push.trade) <= most
        found += [(push.symbol, trade) for trade in push.trade]
        assert push.sequence == passage.sequences[len(found) - 1]
    for (symbol, trade), row in zip(found, rows.tolist(), strict=True):
        time_ns, price, volume, number, side = row
        assert (symbol, float(trade.price)) == (tape.symbols[number], price)
        assert "e" not in trade.price
        assert (trade.volume, trade.timestamp) == (volume, time_ns // 10**9)
        assert trade.direction == {0: 0, -1: 1, 1: 2}[side]
