"""OpenD's machine beyond plain ticks: listening, order, holding and releasing."""

import numpy as np
import pytest

import fastfeed as ff
from fastfeed._core.latest import LatestTable
from fastfeed._core.opend import OpendMachine
from fastfeed._core.ring import Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import LocalProtocolError
from fastfeed.protocols.opend_messages import message_class
from fastfeed.schema import STREAMS, Flags, Session, dtype
from fastfeed.stream import Stream

TICK = dtype("ticks")


class Fixture:
    """A machine that listens to ticks, and what came out of it."""

    def __init__(self, packet, ticker_push, capacity=1 << 10, **options):
        self.symbols = SymbolTable()
        self.stream = Stream("ticks", Ring(64, capacity), self.symbols)
        self.machine = OpendMachine(self.symbols, ordered=True, **options)
        self.machine.listen(0, self.stream.ring, self.stream.deliver)
        self.pieces = []
        self.stream.on_batch(lambda rows: self.pieces.append(rows.copy()))
        self._packet, self._push = packet, ticker_push

    def push(self, code, *sequences, **fields):
        rows = [{"sequence": seq, "price": float(seq), **fields} for seq in sequences]
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


def test_held_rows_tell_whether_they_are_from_a_cache(fixture):
    a = fixture.symbols.intern("A.US")
    fixture.machine.hold([a])
    fixture.push("A", 1, 2, pushDataType=3)
    assert (fixture.machine.held_rows, fixture.machine.held_live) == (2, 0)
    fixture.push("A", 3)
    fixture.machine.take_held(a)
    assert (fixture.machine.held_rows, fixture.machine.held_live) == (0, 1)


def test_a_release_with_a_gap_marks_the_first_row(fixture):
    fixture.push("A", 1)
    a = fixture.symbols["A.US"]
    fixture.machine.hold([a])
    fixture.machine.release(a, b"", gap=True)
    fixture.push("A", 1, 9, 10)
    assert fixture.rows()["flags"].tolist() == [0, Flags.GAP, 0]


def test_more_rows_than_may_wait_are_let_go_with_a_gap(packet, ticker_push):
    fixture = Fixture(packet, ticker_push, 1 << 14, most_held=2000)
    fixture.push("A", 1)
    fixture.push("B", 1)
    a, b = fixture.symbols["A.US"], fixture.symbols["B.US"]
    fixture.machine.hold([a, b])
    fixture.push("B", 2)
    for first in range(2, 3000, 500):
        fixture.push("A", *range(first, first + 500))
    assert not fixture.machine.is_held(a)
    assert fixture.machine.is_held(b)
    rows = fixture.rows("A.US")
    assert rows["seq"].tolist() == list(range(1, 3002))
    assert np.flatnonzero(rows["flags"]).tolist() == [1]
    assert rows["flags"][1] == Flags.GAP
    assert fixture.machine.held_rows == 1
    assert fixture.machine.take_overflow(a) == tuple(rows["time_ns"][:2].tolist())
    assert fixture.machine.take_overflow(a) is None
    assert fixture.machine.take_overflow(b) is None


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
        machine.listen(2, Ring(512, 64), print, LatestTable(64, 10))
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


# all streams


def push_of(name, **s2c):
    return message_class(f"{name}.Response")(retType=0, s2c=s2c).SerializeToString()


HK = {"market": 1, "code": "00700"}
QUOTE = {
    "security": HK, "isSuspended": False, "listTime": "2004-06-16", "priceSpread": 0.2,
    "updateTime": "2023-11-15 09:00:00.500", "highPrice": 312.0, "openPrice": 310.0, "lowPrice": 309.0,
    "curPrice": 311.0, "lastClosePrice": 308.0, "volume": 1000, "turnover": 3e5, "turnoverRate": 0.1,
    "amplitude": 1.0, "preMarket": {"price": 307.0},
}  # fmt: skip
LEVELS = [{"price": 311.0 + i, "volume": 100 * (i + 1), "orederCount": i + 1} for i in range(12)]
BOOK = {"security": HK, "orderBookAskList": LEVELS, "orderBookBidList": LEVELS[:2]}
BAR = {
    "rehabType": 1, "klType": 1, "security": HK,
    "klList": [{"time": "2023-11-15 09:31:00", "isBlank": False, "closePrice": 311.0}],
}  # fmt: skip
POINT = {
    "security": HK,
    "rtList": [{"time": "2023-11-15 09:31:00", "minute": 571, "isBlank": False}],
}
QUEUE = {"security": HK, "brokerAskList": [{"id": 5, "name": "Five", "pos": 1}]}


@pytest.fixture
def decoder():
    return ff.Decoder("opend", ff.Hub(capacity=1 << 10))


def test_each_push_becomes_rows_of_its_stream(decoder, packet, ticker_push):
    data = [
        packet(3005, push_of("QotUpdateBasicQot", basicQotList=[QUOTE])),
        packet(3007, push_of("QotUpdateKL", **BAR)),
        packet(3009, push_of("QotUpdateRT", **POINT)),
        packet(3011, ticker_push()),
        packet(3013, push_of("QotUpdateOrderBook", **BOOK)),
        packet(3013, push_of("QotUpdateOrderBook", **BOOK, orderBookType=1)),
        packet(3015, push_of("QotUpdateBroker", **QUEUE)),
    ]
    assert decoder.feed(b"".join(data)) == 8
    counts = {stream.name: stream.count for stream in decoder.hub.streams}
    assert counts == dict.fromkeys(STREAMS, 1) | {"quotes": 2}
    stats = decoder.stats()
    assert {name: stats[name] for name in STREAMS} == counts
    assert stats["cut_levels"] == 4
    for stream in decoder.hub.streams:
        assert stream.latest("700.HK")["symbol"] == decoder.symbols["700.HK"]
    assert decoder.quotes.latest("700.HK")["last"] == 311.0
    assert decoder.quotes.latest("700.HK", Session.PRE)["last"] == 307.0
    book = decoder.books.latest("HK.00700")
    assert (book["bids"], book["asks"], book["kind"]) == (2, 10, 0)
    assert book["ask_price"].tolist() == [level["price"] for level in LEVELS[:10]]
    assert decoder.odd_books.latest("700.HK")["kind"] == 1
    assert decoder.bars.latest("700.HK")["time_ns"] == 1_700_011_800_000_000_000
    assert decoder.hub.broker_name(decoder.brokers.latest("700.HK")["ask_broker"][0]) == "Five"
    assert decoder.hub.broker_name(6) is None


def test_the_latest_row_outlives_the_ring(decoder, packet):
    decoder.feed(packet(3005, push_of("QotUpdateBasicQot", basicQotList=[QUOTE])))
    other = QUOTE | {"security": {"market": 11, "code": "AAPL"}, "curPrice": 1.0}
    body = push_of("QotUpdateBasicQot", basicQotList=[other])
    for _ in range(2 * decoder.quotes.capacity):
        decoder.feed(packet(3005, body))
    assert decoder.quotes.latest("700.HK")["last"] == 311.0
    assert not np.any(decoder.quotes.latest(decoder.quotes.capacity)["last"] == 311.0)


def test_the_latest_quote_is_whole_whatever_came_before(decoder, packet):
    option = dict.fromkeys(("strikePrice", "impliedVolatility", "premium", "delta", "gamma"), 1.5)
    option |= dict.fromkeys(("vega", "theta", "rho"), 2.5) | {
        "contractSize": 100,
        "openInterest": 7,
    }
    for number, more in enumerate([{}, {"optionExData": option}, {"optionExData": option}, {}, {}]):
        quote = QUOTE | more | {"curPrice": 300.0 + number}
        decoder.feed(packet(3005, push_of("QotUpdateBasicQot", basicQotList=[quote])))
        newest = decoder.quotes.latest(2)[0]
        assert newest["last"] == 300.0 + number
        assert newest["kind"] == bool(more)
        assert decoder.quotes.latest("700.HK").tobytes() == newest.tobytes()


def test_pieces_complete_what_they_cut(packet, ticker_push):
    symbols = SymbolTable()
    packets = [
        packet(1004, b"one"),
        packet(3011, ticker_push()),
        packet(1004, b"two"),
        packet(1004, b"three"),
    ]
    stream = b"".join(packets)
    for first in range(len(stream) + 1):
        for second in (first, first + 1, first + 50, first + 200):
            machine = OpendMachine(symbols)
            ring = Stream("ticks", Ring(64, 64), symbols)
            machine.listen(0, ring.ring, ring.deliver)
            frames = []
            for piece in (stream[:first], stream[first:second], stream[second:]):
                frames += machine.feed(piece) or []
            assert [body for _, _, body in frames] == [b"one", b"two", b"three"]
            assert machine.stats()["ticks"] == 1


@pytest.mark.parametrize("kinds", [("books",), ("odd_books",), ("books", "odd_books")])
def test_books_of_both_kinds_are_apart_whoever_listens(packet, kinds):
    decoder = ff.Decoder("opend", ff.Hub(capacity=64), kinds=kinds)
    for book_type in (None, 1, 0, 1):
        more = {} if book_type is None else {"orderBookType": book_type}
        decoder.feed(packet(3013, push_of("QotUpdateOrderBook", **BOOK, **more)))
    stats = decoder.stats()
    assert stats["books"] == (2 if "books" in kinds else 0)
    assert stats["odd_books"] == (2 if "odd_books" in kinds else 0)
    assert stats["ignored"] == 4 - stats["books"] - stats["odd_books"]
    for kind, number in (("books", 0), ("odd_books", 1)):
        if kind in kinds:
            assert decoder.stream(kind).latest(9)["kind"].tolist() == [number, number]


def test_pushes_that_nobody_listens_to_are_ignored(packet):
    decoder = ff.Decoder("opend", ff.Hub(capacity=64), kinds=())
    for proto_id in (3005, 3007, 3009, 3011, 3013, 3015):
        decoder.feed(packet(proto_id, b"\xff"))
    assert decoder.stats()["ignored"] == 6
    assert decoder.stats()["rejected"] == {}


def test_long_pushes_of_every_kind_reach_readers_that_keep_up(packet):
    decoder = ff.Decoder("opend", ff.Hub(capacity=64))
    seen = []
    for stream in decoder.hub.streams:
        stream.on_batch(lambda rows, name=stream.name: seen.append((name, len(rows))))
    quotes = [QUOTE | {"curPrice": float(i)} for i in range(12)]
    body = push_of("QotUpdateBasicQot", basicQotList=quotes)
    decoder.feed(packet(3005, body) * 20)
    assert sum(n for name, n in seen if name == "quotes") == 480
    bars = push_of("QotUpdateKL", **BAR | {"klList": BAR["klList"] * 30})
    decoder.feed(packet(3007, bars) * 20)
    assert sum(n for name, n in seen if name == "bars") == 600
    assert sum(stream.lost for stream in decoder.hub.streams) == 0
    too_long = push_of("QotUpdateKL", **BAR | {"klList": BAR["klList"] * 40})
    decoder.feed(packet(3007, too_long))
    assert decoder.stats()["rejected"] == {"too_many_rows": 1}
