"""Streams of a hub, how many rows they keep, and the latest row of a symbol."""

import numpy as np
import pytest

import fastfeed as ff
from fastfeed._core.ring import Ring
from fastfeed.schema import STREAMS, Session
from fastfeed.stream import Stream


def row(stream, **fields):
    made = np.zeros(1, stream.dtype)
    for name, value in fields.items():
        made[name] = value
    return made


def test_a_stream_is_made_once_when_it_is_asked_for():
    hub = ff.Hub(capacity=64)
    assert hub.streams == ()
    for name in STREAMS:
        assert getattr(hub, name) is hub.stream(name)
    assert [stream.name for stream in hub.streams] == list(STREAMS)
    assert [stream.number for stream in hub.streams] == list(range(len(STREAMS)))
    with pytest.raises(ValueError, match="expected a stream"):
        hub.stream("bars:1m")


def test_longer_rows_take_the_same_memory():
    hub = ff.Hub(capacity=1 << 14, book_depth=60)
    kept = {name: hub.stream(name).capacity for name in STREAMS}
    assert kept == {
        "ticks": 1 << 14,
        "quotes": 2048,
        "books": 256,
        "odd_books": 256,
        "bars": 1 << 13,
        "timeshare": 1 << 13,
        "brokers": 256,
    }
    for stream in hub.streams:
        assert stream.capacity * stream.dtype.itemsize <= 64 << 14


@pytest.mark.parametrize("depth", [0, 1001])
def test_depths_out_of_range(depth):
    with pytest.raises(ValueError, match="depth of 1 to 1000"):
        ff.Hub(book_depth=depth)


def test_the_latest_row_of_a_symbol_comes_from_the_table():
    hub = ff.Hub(capacity=64)
    quotes = hub.quotes
    hub.symbols.intern("AAPL.US")
    number = hub.symbols.intern("700.HK")
    assert quotes.latest("700.HK") is None
    assert quotes.latest("NONE.US") is None
    for session, last in ((Session.REGULAR, 300.0), (Session.PRE, 299.0)):
        made = row(quotes, symbol=number, session=session, last=last)
        quotes.table.put(number * 5 + session, made.tobytes())
    assert quotes.latest("700.HK")["last"] == 300.0
    assert quotes.latest("HK.00700")["last"] == 300.0
    assert quotes.latest("700.HK", Session.PRE)["last"] == 299.0
    assert quotes.latest("700.HK", Session.POST) is None
    assert quotes.latest("AAPL.US") is None
    assert len(quotes.latest(3)) == 0


def test_the_latest_row_of_other_streams_is_searched_for():
    hub = ff.Hub(capacity=1 << 14)
    ticks = hub.ticks
    for symbol in ("A.US", "B.US", "C.US"):
        hub.symbols.intern(symbol)
    made = np.zeros(10_000, ticks.dtype)
    made["symbol"] = np.arange(10_000) % 2
    made["seq"] = np.arange(10_000)
    made["symbol"][5000:] = 1
    ticks.ring.write(made.tobytes())
    found = ticks.latest("A.US")
    assert found["seq"] == 4998
    assert ticks.latest("B.US")["seq"] == 9999
    assert ticks.latest("C.US") is None
    ticks.ring.write(made.tobytes())  # a copy: what it showed is overwritten
    assert found["seq"] == 4998


def test_ending_a_hub_ends_its_streams():
    hub = ff.Hub(capacity=64)
    assert not hub.bars.ended
    hub.end()
    assert hub.bars.ended
    assert hub.ticks.ended  # asked for only now


def test_a_stream_of_its_own():
    stream = Stream("books", Ring(ff.dtype("books", 3).itemsize, 64), ff.SymbolTable(), depth=3)
    assert stream.dtype == ff.dtype("books", 3)
    assert stream.table is not None


def test_brokers_have_the_name_that_was_told_first():
    hub = ff.Hub()
    for broker, name in (
        (1, "One"),
        (1, "Other"),
        (2, "One"),
        (3, ""),
        (-4, "四"),
        (5, "x" * 5000),
    ):
        hub.name_broker(broker, name)
    assert [hub.broker_name(i) for i in (1, 2, 3, -4, 5)] == ["One", "One", None, "四", None]
