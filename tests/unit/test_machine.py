"""OpenD's machine beyond plain ticks: listening, order, holding and releasing."""

import numpy as np
import pytest

from fastfeed._core.latest import LatestTable
from fastfeed._core.opend import OpendMachine
from fastfeed._core.ring import Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import LocalProtocolError
from fastfeed.schema import STREAMS, Flags, dtype
from fastfeed.stream import Stream

TICK = dtype("ticks")


class Fixture:
    """A machine that listens to ticks, and what came out of it."""

    def __init__(self, packet, ticker_push, capacity=1 << 10):
        self.symbols = SymbolTable()
        self.stream = Stream("ticks", capacity, self.symbols)
        self.machine = OpendMachine(self.symbols, ordered=True)
        self.machine.listen(0, self.stream.ring, self.stream.deliver)
        self.pieces = []
        self.stream.on_batch(lambda rows: self.pieces.append(rows.copy()))
        self._packet, self._push = packet, ticker_push

    def push(self, code, *sequences):
        rows = [{"sequence": sequence, "price": float(sequence)} for sequence in sequences]
        self.machine.feed(self._packet(3011, self._push(11, code, rows)))

    def rows(self, symbol=None):
        rows = np.concatenate([np.empty(0, TICK), *self.pieces])
        return rows if symbol is None else rows[rows["symbol"] == self.symbols[symbol]]


@pytest.fixture
def fixture(packet, ticker_push):
    return Fixture(packet, ticker_push)


def pulled(symbol, *sequences):
    rows = np.zeros(len(sequences), TICK)
    rows["symbol"] = symbol
    rows["seq"] = sequences
    return rows


def test_what_was_delivered_before_is_dropped(fixture):
    fixture.push("A", 1, 2)
    fixture.push("B", 1)
    fixture.push("A", 2, 3)
    fixture.push("A", 1)
    assert fixture.rows("A.US")["seq"].tolist() == [1, 2, 3]
    assert fixture.rows("B.US")["seq"].tolist() == [1]
    assert fixture.machine.stats()["duplicates"] == 2
    assert fixture.machine.stats()["ticks"] == 4


def test_order_survives_a_new_connection(fixture):
    fixture.push("A", 5)
    fixture.machine.reset()
    fixture.push("A", 4, 5, 6)
    assert fixture.rows()["seq"].tolist() == [5, 6]


def test_held_rows_wait_and_others_pass(fixture):
    fixture.push("A", 1)
    fixture.push("B", 1)
    a = fixture.symbols["A.US"]
    fixture.machine.hold([a])
    fixture.push("A", 5, 6)
    fixture.push("B", 2)
    fixture.push("A", 7)
    assert fixture.rows("A.US")["seq"].tolist() == [1]
    assert fixture.rows("B.US")["seq"].tolist() == [1, 2]
    assert fixture.machine.held_rows == 3
    assert fixture.machine.is_held(a)
    assert fixture.machine.last_tick(a)[0] == 1

    waited = np.frombuffer(bytes(fixture.machine.take_held(a)), TICK)
    assert waited["seq"].tolist() == [5, 6, 7]
    assert fixture.machine.held_rows == 0
    assert fixture.machine.take_held(a) == b""
    fixture.machine.release(a, np.concatenate([pulled(a, 1, 3, 4), waited]).tobytes())
    fixture.push("A", 7, 8)
    assert fixture.rows("A.US")["seq"].tolist() == [1, 3, 4, 5, 6, 7, 8]
    assert not fixture.rows()["flags"].any()
    assert not fixture.machine.is_held(a)


def test_a_release_with_a_gap_marks_the_first_row(fixture):
    fixture.push("A", 1)
    a = fixture.symbols["A.US"]
    fixture.machine.hold([a])
    fixture.machine.release(a, b"", gap=True)
    fixture.push("A", 1, 9, 10)
    assert fixture.rows()["flags"].tolist() == [0, Flags.GAP, 0]


def test_more_rows_than_may_wait_are_let_go_with_a_gap(packet, ticker_push):
    fixture = Fixture(packet, ticker_push, 1 << 18)
    fixture.push("A", 1)
    fixture.push("B", 1)
    a, b = fixture.symbols["A.US"], fixture.symbols["B.US"]
    fixture.machine.hold([a, b])
    fixture.push("B", 2)
    for first in range(2, 66_000, 1000):
        fixture.push("A", *range(first, first + 1000))
    assert not fixture.machine.is_held(a)
    assert fixture.machine.is_held(b)
    rows = fixture.rows("A.US")
    assert rows["seq"].tolist() == list(range(1, 66_002))
    assert np.flatnonzero(rows["flags"]).tolist() == [1]
    assert rows["flags"][1] == Flags.GAP
    assert fixture.machine.held_rows == 1


def test_released_rows_are_published_in_parts_that_readers_can_follow(packet, ticker_push):
    fixture = Fixture(packet, ticker_push, 64)
    a = fixture.symbols.intern("A.US")
    fixture.machine.hold([a])
    fixture.machine.release(a, pulled(a, *range(1000)).tobytes())
    assert fixture.rows()["seq"].tolist() == list(range(1000))
    assert fixture.stream.lost == 0


def test_wrong_use(fixture):
    machine = fixture.machine
    with pytest.raises(IndexError, match="id of a symbol, got 7"):
        machine.hold([7])
    with pytest.raises(ValueError, match="whole rows of 64 bytes"):
        machine.write(0, b"x" * 63)
    with pytest.raises(ValueError, match="listened to, got 3"):
        machine.write(3, b"")
    with pytest.raises(ValueError, match="stream below 7"):
        machine.listen(len(STREAMS), fixture.stream.ring, print)
    with pytest.raises(ValueError, match="320-byte rows"):
        machine.listen(1, fixture.stream.ring, print)
    with pytest.raises(ValueError, match="512-byte rows"):
        machine.listen(2, Ring(512, 64), print, LatestTable(64))
    OpendMachine(fixture.symbols, depth=20).listen(2, Ring(dtype("books", 20).itemsize, 64), print)


def test_a_callback_must_not_write(fixture):
    failures = []

    def callback(rows):
        try:
            fixture.machine.write(0, b"")
        except LocalProtocolError as error:
            failures.append(error)

    fixture.stream.on_batch(callback)
    fixture.push("A", 1)
    assert len(failures) == 1
