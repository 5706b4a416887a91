"""Rows that are rows already go where decoded ones go."""

import numpy as np
import pytest

import fastfeed as ff
from fastfeed._core.row_machine import RowMachine


def listening(hub, *kinds):
    machine = RowMachine(hub.symbols, depth=hub.book_depth)
    for kind in kinds:
        stream = hub.stream(kind)
        machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
    return machine


@pytest.mark.parametrize("kind", ["ticks", "quotes", "books", "odd_books", "bars", "timeshare", "brokers"])  # fmt: skip
def test_rows_get_their_symbol_and_nothing_else(kind):
    hub = ff.Hub(capacity=4096, book_depth=3)
    hub.symbols.intern("A.US")
    number = hub.symbols.intern("B.US")
    stream = hub.stream(kind)
    machine = listening(hub, kind)
    rows = np.zeros(3, stream.dtype)
    rows["recv_ns"], rows["symbol"], rows["session"] = [1, 2, 3], 77, 1
    assert machine.add(stream.number, number, rows.view(np.uint8).data) == 3
    assert stream.count == 0
    machine.show_added()
    found = stream.latest(3)
    assert found["symbol"].tolist() == [number] * 3
    rows["symbol"] = number
    assert found.tobytes() == rows.tobytes()
    assert stream.latest("B.US", ff.Session.REGULAR)["recv_ns"] == 3
    assert stream.latest("A.US", ff.Session.REGULAR) is None
    assert machine.rows == 3


def test_quotes_of_no_session_are_written_and_not_kept():
    hub = ff.Hub(capacity=4096)
    number = hub.symbols.intern("A.US")
    machine = listening(hub, "quotes")
    rows = np.zeros(2, hub.quotes.dtype)
    rows["session"], rows["recv_ns"] = [255, 2], [1, 2]
    machine.add(hub.quotes.number, number, rows.view(np.uint8).data)
    machine.show_added()
    assert hub.quotes.count == 2
    assert hub.quotes.latest("A.US", ff.Session.PRE)["recv_ns"] == 2


def test_a_reader_that_keeps_up_loses_nothing():
    hub = ff.Hub(capacity=256)
    number = hub.symbols.intern("A.US")
    machine = listening(hub, "ticks")
    seen = []
    hub.ticks.on_batch(lambda rows: seen.extend(rows["seq"].tolist()))
    rows = np.zeros(1000, hub.ticks.dtype)
    rows["seq"] = np.arange(1000)
    machine.add(hub.ticks.number, number, rows.view(np.uint8).data)
    for first in range(1000, 1100, 10):
        rows["seq"] = np.arange(first, first + 1000)
        machine.add(hub.ticks.number, number, rows[:10].view(np.uint8).data)
    machine.show_added()
    assert seen == list(range(1100))
    assert hub.ticks.lost == 0


def test_what_cannot_be_is_refused():
    hub = ff.Hub(capacity=256)
    number = hub.symbols.intern("A.US")
    machine = listening(hub, "ticks")
    with pytest.raises(ValueError, match="whole rows"):
        machine.add(hub.ticks.number, number, bytes(63))
    with pytest.raises(ValueError, match="listened"):
        machine.add(hub.books.number, number, bytes(512))
    with pytest.raises(ValueError, match="listened"):
        machine.add(99, number, bytes(64))
    with pytest.raises(IndexError):
        machine.add(hub.ticks.number, number + 1, bytes(64))
    with pytest.raises(ff.LocalProtocolError):
        machine.space()
    with pytest.raises(ff.LocalProtocolError):
        machine.received(1)
    assert machine.add(hub.ticks.number, number, b"") == 0


def test_it_measures():
    hub = ff.Hub(capacity=256)
    number = hub.symbols.intern("A.US")
    machine = listening(hub, "ticks")
    meter = hub.meters.take("nats://here/md")
    machine.measure(meter)
    rows = np.zeros(4, hub.ticks.dtype)
    rows["recv_ns"], rows["gateway_ns"] = 2_000_000, 1_000_000
    machine.add(hub.ticks.number, number, rows.view(np.uint8).data)
    machine.show_added()
    (told,) = hub.stats()["feeds"]
    assert told["rows"] == 4
    assert told["gateway_to_receive"]["max_ns"] == 1_000_000
    assert told["receive_to_publish"]["count"] == 4
    machine.measure(None)
