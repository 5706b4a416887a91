"""The decoder of ticks against the protobuf runtime, on generated, broken and real bytes."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import assume, example, given, settings
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
    split_fields,
    text_ns,
    time_texts,
    varint,
)

from fastfeed._core.opend import OpendMachine
from fastfeed._core.ring import FLAG_BACKFILLED, FLAG_CACHED, Ring, RingReader
from fastfeed._core.symbols import SymbolTable
from fastfeed.protocols.opend_messages import message_class
from fastfeed.schema import STREAMS, dtype

Response = message_class("QotUpdateTicker.Response")
TICK = dtype("ticks")
PUSH = 3011
HYPOTHESIS = settings(deadline=None, max_examples=300)

# the machine


def packet(body: bytes, proto_id: int = PUSH, serial: int = 1, fmt: int = 0) -> bytes:
    head = struct.pack("<2sIBBII", b"FT", proto_id, fmt, 0, serial, len(body))
    return head + hashlib.sha1(body).digest() + bytes(8) + body


class Run:
    """A machine, and everything that came out of it."""

    def __init__(self, **options: Any) -> None:
        self.symbols = SymbolTable()
        self.ring = Ring(64, 64)
        self.machine = OpendMachine(self.symbols, **options)
        self.machine.listen(0, self.ring, self.deliver)
        self.reader = RingReader(self.ring, np.frombuffer(self.ring, TICK), 0)
        self.pieces: list[Any] = []
        self.frames: list[tuple[int, int, bytes]] = []

    def deliver(self) -> None:
        self.pieces.append(self.reader.read().copy())
        assert self.reader.intact()

    def feed(self, data: Any, recv_ns: int | None = 7) -> None:
        self.frames += self.machine.feed(data, recv_ns) or []

    def receive(self, data: bytes) -> None:
        """Through the window, as a transport does it."""
        while data:
            space = self.machine.space()
            n = min(len(space), len(data))
            space[:n] = data[:n]
            self.frames += self.machine.received(n) or []
            data = data[n:]

    @property
    def rows(self) -> Any:
        return np.concatenate([np.empty(0, TICK), *self.pieces])

    @property
    def rejected(self) -> dict[str, int]:
        return self.machine.stats()["rejected"]

    def result(self) -> tuple[Any, ...]:
        """What must not depend on how the bytes were cut."""
        rows = self.rows
        rows["recv_ns"] = 0
        error = self.machine.error
        return (
            rows.tobytes(),
            self.frames,
            self.machine.stats(),
            list(self.symbols),
            error and (str(error), error.offset),
        )


def decode(body: bytes) -> Run:
    run = Run(check_sha1=True)
    run.feed(packet(body))
    assert run.machine.packets == 1
    assert run.machine.error is None
    assert run.reader.lost == 0
    return run


# the oracle


def oracle_rows(message: Any) -> list[dict[str, Any]]:
    security = message.s2c.security
    rows = []
    for ticker in message.s2c.tickerList:
        numbers = (ticker.price, ticker.turnover, ticker.hpVolume)
        if not ticker.HasField("price") or not all(map(math.isfinite, numbers)):
            continue
        time_ns: int | None = double_ns(ticker.timestamp)
        if not time_ns:
            time_ns = text_ns(as_text(ticker.time), security.market)
        if ticker.HasField("hpVolume"):
            volume = ticker.hpVolume
        else:
            volume = float(ticker.volume) if ticker.HasField("volume") else math.nan
        rows.append(
            {
                "time_ns": time_ns,
                "gateway_ns": double_ns(ticker.recvTime),
                "seq": ticker.sequence if ticker.HasField("sequence") else -1,
                "price": ticker.price,
                "volume": volume,
                "turnover": ticker.turnover if ticker.HasField("turnover") else math.nan,
                "side": {1: 1, 2: -1}.get(ticker.dir, 0),
                "kind": ticker.type if 0 <= ticker.type <= 255 else 255,
                "session": 0,
                "flags": {3: FLAG_CACHED, 2: FLAG_BACKFILLED}.get(ticker.pushDataType, 0),
            }
        )
    return rows


def check_rows(run: Run, message: Any) -> None:
    expected = oracle_rows(message)
    rows = run.rows
    assert len(rows) == len(expected)
    assert run.machine.rows == len(expected)
    for row, want in zip(rows, expected, strict=True):
        assert run.symbols[row["symbol"]] == oracle_symbol(message.s2c.security)
        assert row["recv_ns"] == 7
        for name, value in want.items():
            if value is None:
                continue
            got = row[name]
            if isinstance(value, float) and not math.isnan(value):
                assert struct.pack("<d", got) == struct.pack("<d", value), name
            else:
                assert got == value or (math.isnan(got) and math.isnan(value)), name


def check_against_oracle(body: bytes) -> None:
    """Whatever is accepted here is accepted there, and means the same."""
    run = decode(body)
    packet_reasons = set(run.rejected) - {"missing_price", "not_finite"}
    try:
        message = Response.FromString(body)
    except DecodeError:
        assert run.machine.rows == 0
        assert len(packet_reasons) == 1
        return
    if packet_reasons:
        (reason,) = packet_reasons
        assert run.rejected[reason] == 1
        assert run.machine.rows == 0
        if reason == "ret_type":
            assert message.retType != 0
            assert run.frames == [(PUSH, 1, body)]
        elif reason == "symbol":
            assert oracle_symbol(message.s2c.security) is None
        elif reason == "too_many_rows":
            assert len(message.s2c.tickerList) > 32
        else:  # what the runtime passes over
            assert reason in ("group", "varint")
        return
    assert message.retType == 0
    assert run.frames == []
    check_rows(run, message)


# messages


@st.composite
def tickers(draw: st.DrawFn) -> dict[str, Any]:
    fields = {
        "time": TIMES,
        "sequence": INT64,
        "dir": INT32,
        "price": DOUBLES,
        "volume": INT64,
        "turnover": DOUBLES,
        "recvTime": SECONDS,
        "type": INT32,
        "typeSign": INT32,
        "pushDataType": st.one_of(st.integers(0, 4), INT32),
        "timestamp": SECONDS,
        "hpVolume": DOUBLES,
    }
    absent = draw(st.sets(st.sampled_from(list(fields)), max_size=5))
    return {name: draw(values) for name, values in fields.items() if name not in absent}


@st.composite
def messages(draw: st.DrawFn) -> Any:
    message = Response()
    message.retType = draw(st.sampled_from([0] * 20 + [-1, 1, -400]))
    security = message.s2c.security
    security.market = draw(MARKETS)
    security.code = draw(CODES)
    for fields in draw(st.lists(tickers(), max_size=4)):
        message.s2c.tickerList.add(**fields)
    if draw(st.booleans()):
        message.s2c.name = draw(st.text(max_size=10))
    return message


UNKNOWN = st.one_of(
    st.tuples(st.integers(13, 2**29 - 1), st.just(0), st.integers(0, 2**64 - 1).map(varint)),
    st.tuples(st.integers(13, 300), st.just(1), st.binary(min_size=8, max_size=8)),
    st.tuples(st.integers(13, 300), st.just(2), st.binary(max_size=20)),
    st.tuples(st.integers(13, 300), st.just(5), st.binary(min_size=4, max_size=4)),
    # A known number with another wire type is an unknown field, too.
    st.tuples(st.integers(1, 12), st.just(5), st.binary(min_size=4, max_size=4)),
)
# What the sub-messages of Response, S2C are; the others have none.
NESTED = {"response": {4: "s2c"}, "s2c": {1: "security", 2: "ticker"}}


def scramble(draw: st.DrawFn, data: bytes, kind: str) -> bytes:
    fields = split_fields(data)
    nested = NESTED.get(kind, {})
    out: list[Field] = []
    for number, wire_type, value in fields:
        if number in nested and wire_type == 2:
            pieces = [value]
            if draw(st.booleans()) and nested[number] != "ticker":  # in two pieces: they merge
                inner = split_fields(value)
                at = draw(st.integers(0, len(inner)))
                pieces = [join_fields(inner[:at], lambda: 0), join_fields(inner[at:], lambda: 0)]
            out += [(number, 2, scramble(draw, piece, nested[number])) for piece in pieces]
        else:
            out.append((number, wire_type, value))
            if kind != "response" and draw(st.integers(0, 9)) == 0:  # repeated: the last counts
                other = {
                    0: st.integers(0, 2**64 - 1).map(varint),
                    1: DOUBLES.map(partial(struct.pack, "<d")),
                    2: st.sampled_from([b"00700", b"A", b"2024-01-01 00:00:00"]),
                }[wire_type]
                out.append((number, wire_type, draw(other)))
    out += draw(st.lists(UNKNOWN, max_size=2))
    if draw(st.booleans()):
        out = draw(st.permutations(out))
    padded = draw(st.booleans())
    return join_fields(out, lambda: draw(st.integers(0, 9)) if padded else 0)


@st.composite
def scrambled(draw: st.DrawFn) -> bytes:
    return scramble(draw, draw(messages()).SerializePartialToString(), "response")


def push(market: int = 11, code: str = "AAPL", rows: int = 1, **fields: Any) -> bytes:
    message = Response(retType=0)
    message.s2c.security.market = market
    message.s2c.security.code = code
    message.s2c.name = "名"
    for i in range(rows):
        ticker = {
            "time": "2023-11-15 09:00:00.123",
            "sequence": (1700010000 << 32) + i,
            "dir": 1,
            "price": 310.2 + i,
            "volume": 100,
            "turnover": 31020.0,
            "recvTime": 1700010000.25,
            "type": 1,
            "typeSign": 32,
            "pushDataType": 1,
            "timestamp": 1700010000.123,
            "hpVolume": 100.5,
        } | fields
        message.s2c.tickerList.add(**ticker)
    data: bytes = message.SerializePartialToString()
    return data


@HYPOTHESIS
@given(messages())
def test_canonical_messages_give_the_runtimes_rows(message: Any) -> None:
    body = message.SerializePartialToString()
    assert Response.FromString(body).SerializePartialToString() == body
    check_against_oracle(body)


@HYPOTHESIS
@given(scrambled())
def test_every_encoding_gives_the_runtimes_rows(body: bytes) -> None:
    Response.FromString(body)  # the generator makes valid messages only
    check_against_oracle(body)


@settings(HYPOTHESIS, max_examples=1000)
@given(time_texts(), MARKETS)
@example("2024-03-10 02:30:00", 11)
@example("2024-11-03 01:30:00.5", 11)
@example("2024-04-07 02:30:00", 51)
@example("2024-10-06 02:30:00", 51)
@example("1970-01-01 00:00:00", 0)
def test_time_texts_agree_with_zoneinfo(text: str, market: int) -> None:
    assume(0 <= market <= 0xFFFF)
    run = decode(push(market, time=text, timestamp=0.0))
    want = text_ns(text, market)
    if want is not None:
        assert run.rows["time_ns"] == want
        assert run.machine.stats()["unreadable_times"] == (0 if want else 1)
        assert run.rejected == {}


@pytest.mark.parametrize("market", [11, 51])
def test_daylight_saving_of_many_years(market: int) -> None:
    """Every hour of the days around the changes."""
    texts = []
    for year in range(2008, 2101):
        for month in (3, 4, 10, 11):
            day = datetime(year, month, 1)
            day += timedelta(days=6 - day.weekday())  # a Sunday
            for sunday in (day, day + timedelta(days=7)):
                texts += [str(sunday + timedelta(minutes=30 * i)) for i in range(8)]
    run = Run()
    for text in texts:
        run.feed(packet(push(market, time=text, timestamp=0.0)))
    assert run.rows["time_ns"].tolist() == [text_ns(text, market) for text in texts]


@settings(HYPOTHESIS, max_examples=1000)
@given(st.binary(max_size=120))
@example(bytes.fromhex("888080808000"))
@example(bytes.fromhex("8880808080000522008080"))
@example(bytes.fromhex("128080808080000800"))
@example(bytes.fromhex("08ffffffffffffffffff7f"))
@example(bytes.fromhex("2308002400"))
def test_random_bytes(body: bytes) -> None:
    check_against_oracle(body)


@settings(HYPOTHESIS, max_examples=1000)
@given(st.data())
def test_mutated_messages(data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 3))
    body = bytearray(push(rows=rows) if data.draw(st.booleans()) else data.draw(scrambled()))
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
    check_against_oracle(bytes(body))


def test_every_flipped_bit_of_a_push() -> None:
    body = push(rows=2)
    for bit in range(8 * len(body)):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        check_against_oracle(bytes(flipped))


def test_every_truncation_of_a_push() -> None:
    body = push(rows=2)
    for end in range(len(body)):
        check_against_oracle(body[:end])


# how the stream is cut

PACKETS = st.one_of(
    st.builds(lambda n: packet(push(rows=n)), st.integers(0, 33)),
    messages().map(lambda m: packet(m.SerializePartialToString())),
    scrambled().map(packet),
    st.builds(packet, st.binary(max_size=40), st.sampled_from([PUSH, 1003, 1004, 3005, 3013])),
    st.builds(packet, st.binary(max_size=40), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.just(packet(push(), fmt=1)),
    st.just(packet(push())[:30] + packet(push())[31:]),
    st.just(bytearray(packet(push())).replace(b"AAPL", b"AAPM")),
)
ENDS = st.one_of(st.just(b""), st.binary(max_size=60), st.just(packet(push())[:-1]))


def cut(data: bytes, offsets: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(at for at in offsets if at < len(data))})
    return [data[a:b] for a, b in pairwise(places)]


@settings(HYPOTHESIS, max_examples=200)
@given(st.lists(PACKETS, max_size=6), ENDS, st.lists(st.integers(0, 20000), max_size=12))
def test_cuts_change_nothing(packets: list[bytes], end: bytes, offsets: list[int]) -> None:
    data = b"".join(packets) + end
    whole, fed, received = (
        Run(limit_bytes=1 << 16, check_sha1=True, window_bytes=4096) for _ in range(3)
    )
    whole.feed(data)
    for piece in cut(data, [at % (len(data) + 1) for at in offsets]):
        fed.feed(memoryview(bytearray(piece)))
        received.receive(piece)
    assert fed.result() == whole.result()
    assert received.result() == whole.result()
    stats = whole.machine.stats()
    assert stats["bytes"] <= len(data)
    assert stats["ticks"] == len(whole.rows)


def mixed_stream() -> bytes:
    return b"".join(
        [
            packet(push(1, "00700")),
            packet(b"\x08\x00\x22\x02\x08\x05", 1004, 77),
            packet(push(rows=3)),
            packet(b"book", 3013),
            packet(b"\x08\x01\x12\x02no"),
            packet(b"\x08\x00\x22\x7f"),
            packet(b"", 1003),
            packet(push(rows=20)),
        ]
    )


def test_every_cut_in_two_and_every_size_of_pieces() -> None:
    data = mixed_stream()
    whole = Run()
    whole.feed(data)
    assert whole.machine.stats() == {
        "bytes": len(data),
        "packets": 8,
        **dict.fromkeys(STREAMS, 0),
        "ticks": 24,
        "duplicates": 0,
        "cut_levels": 0,
        "frames": 3,
        "ignored": 1,
        "unreadable_times": 0,
        "rejected": {"ret_type": 1, "truncated": 1},
    }
    for at in range(len(data) + 1):
        for method in (Run.feed, Run.receive):
            run = Run()
            method(run, data[:at])
            method(run, data[at:])
            assert run.result() == whole.result()
    for size in (1, 2, 3, 5, 7, 43, 44, 45, 100, 1000):
        for method in (Run.feed, Run.receive):
            run = Run()
            for i in range(0, len(data), size):
                method(run, data[i : i + size])
            assert run.result() == whole.result()


# losing the stream, and a callback that fails


def test_a_lost_stream_is_reported_once_and_forgotten() -> None:
    run = Run()
    good = packet(push())
    run.feed(good + b"XY" + good)
    error = run.machine.error
    assert error is not None
    assert (error.offset, error.data, error.source) == (len(good), b"XY" + good[:14], "opend")
    for _ in range(3):
        run.feed(good)
        run.receive(good)
    assert run.machine.error is error
    assert run.machine.rows == 1
    assert run.rejected == {"magic": 1}

    run.machine.reset()
    assert run.machine.error is None
    run.feed(good + good + b"Z")
    run.feed(b"Z")
    assert run.machine.error.offset == 2 * len(good)  # since the stream's beginning
    assert run.rows["flags"].tolist() == [0, 0, 0]


def test_a_length_beyond_the_limit() -> None:
    run = Run(limit_bytes=1024)
    run.feed(packet(bytes(1024), 1004))
    assert len(run.frames) == 1
    run.feed(packet(bytes(1025), 1004)[:44])
    assert "1025 bytes" in str(run.machine.error)
    assert run.rejected == {"length": 1}


@pytest.mark.parametrize("method", [Run.feed, Run.receive])
def test_the_window_of_a_lost_stream_does_not_grow(method: Callable[[Run, bytes], None]) -> None:
    run = Run(window_bytes=4096)
    method(run, b"F")
    for _ in range(1000):
        method(run, b"X" * 2000)
    assert len(run.machine.space()) == 4096


def test_a_deliver_that_raises_loses_no_bytes() -> None:
    failures = iter([True, False, True])

    class Failing(Run):
        def deliver(self) -> None:
            super().deliver()
            if next(failures, False):
                raise LookupError

    run = Failing()
    data = b"".join(packet(push(rows=10)) for _ in range(10)) + packet(push())[:50]
    with pytest.raises(LookupError):
        run.feed(data)
    with pytest.raises(LookupError):
        run.feed(b"")
    run.feed(packet(push())[50:])
    assert run.machine.error is None
    assert run.machine.rows == 101
    assert len(run.rows) == 101


# bytes of a real OpenD, and of its official client


def vectors(samples: Path) -> dict[str, Any]:
    return json.loads((samples / "protocols" / "opend" / "vectors.json").read_text())


def capture(samples: Path) -> list[dict[str, Any]]:
    lines = (samples / "captures" / "opend_crypto.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def check_real_packets(frames: list[bytes], **options: Any) -> None:
    run = Run(**options)
    for i in range(3):
        if i < 2:
            run.feed(b"".join(frames))
        else:
            for byte in b"".join(frames):
                run.receive(bytes([byte]))
    stats = run.machine.stats()
    assert run.machine.error is None
    assert stats["rejected"] == {}
    assert stats["packets"] == 3 * len(frames)
    pushes = [frame for frame in frames if frame[2:6] == struct.pack("<I", PUSH)]
    ignored = [f for f in frames if int.from_bytes(f[2:6], "little") in (3005, 3007, 3013)]
    assert stats["ignored"] == 3 * len(ignored)
    handed_out = [frame for frame in frames if frame not in pushes and frame not in ignored]
    assert [body for _, _, body in run.frames] == 3 * [frame[44:] for frame in handed_out]
    assert pushes
    for frame in pushes:
        one = Run()
        one.feed(frame)
        check_rows(one, Response.FromString(frame[44:]))
        assert len(one.rows) > 0


def test_vectors(samples: Path) -> None:
    found = [v for v in vectors(samples).values() if "frame_hex" in v]
    check_real_packets([bytes.fromhex(v["frame_hex"]) for v in found])
    plain = [bytes.fromhex(v["frame_hex"]) for v in found if "plain_body_hex" not in v]
    check_real_packets(plain, check_sha1=True)


def test_capture(samples: Path) -> None:
    lines = capture(samples)
    frames = [bytes.fromhex(x["frame_hex"]) for x in lines if x["direction"] == "s2c"]
    assert len(frames) == 10
    check_real_packets(frames, check_sha1=True)
    requests = [bytes.fromhex(x["frame_hex"]) for x in lines if x["direction"] == "c2s"]
    run = Run(check_sha1=True)
    run.feed(b"".join(requests))
    assert [f[:2] for f in run.frames] == [
        (x["proto_id"], x["serial_no"]) for x in lines if x["direction"] == "c2s"
    ]
