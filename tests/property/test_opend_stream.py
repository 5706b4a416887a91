"""The machine with pushes of ticks: however the stream is cut, broken or lost, with generated and real bytes."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from framing import received
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from opend_oracle import KINDS, MARKETS, check, messages, scrambled, text_ns, time_texts
from opend_oracle import decode as decode_alone

from fastfeed._core.opend import OpendMachine
from fastfeed._core.ring import Ring, RingReader
from fastfeed._core.symbols import SymbolTable
from fastfeed.schema import STREAMS, dtype

TICKER = KINDS["QotUpdateTicker"]
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
        self.frames += received(self.machine, data)

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


# messages


def push(market: int = 11, code: str = "AAPL", rows: int = 1, **fields: Any) -> bytes:
    message = TICKER.response(retType=0)
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
@given(st.one_of(scrambled(TICKER), st.binary(max_size=120)))
def test_the_machine_makes_of_a_push_what_its_decoder_does(body: bytes) -> None:
    check(TICKER, body)
    run = decode(body)
    reason = ""
    try:
        rows, symbols = decode_alone(TICKER, body)
    except ValueError as error:
        reason, rows, symbols = str(error), run.rows[:0], run.symbols
    rejected = [r for r in run.rejected if r not in ("missing_price", "not_finite")]
    assert rejected == ([reason] if reason else [])
    assert run.frames == ([(PUSH, 1, body)] if reason == "ret_type" else [])
    assert run.rows.tobytes() == rows.tobytes()
    assert run.machine.rows == len(rows)
    assert list(run.symbols) == list(symbols)


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


# how the stream is cut

PACKETS = st.one_of(
    st.builds(lambda n: packet(push(rows=n)), st.integers(0, 33)),
    messages(TICKER).map(lambda m: packet(m.SerializePartialToString())),
    scrambled(TICKER).map(packet),
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
        assert one.rows.tobytes() == check(TICKER, frame[44:]).tobytes() != b""


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
