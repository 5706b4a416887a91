"""LongPort's machine: packets, in WebSocket messages or one behind another, cut anywhere, into rows and the rest."""

import gzip

import numpy as np
import pytest
from alltick_feeds import frame
from framing import received
from longport_packets import SECOND, depth, quote, response, trade, trades
from vendor_streams import LONGPORT_FRAMES as FRAMES
from vendor_streams import LONGPORT_PACKETS as PACKETS

from fastfeed._core.longport import PACKET, LongportMachine
from fastfeed._core.websocket import CLOSING, HANDSHAKE
from fastfeed.errors import LocalProtocolError
from fastfeed.hub import Hub
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.longport_packets import pack_push
from fastfeed.schema import Flags

KINDS = ("ticks", "quotes", "books", "brokers")


class Driver:
    """A machine with a hub, fed as a transport would."""

    def __init__(self, framed=True, kinds=KINDS, upgraded=True, capacity=64, **options):
        self.hub = Hub(capacity=capacity)
        self.machine = LongportMachine(self.hub.symbols, ordered=True, **options)
        for kind in kinds:
            stream = self.hub.stream(kind)
            self.machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
        self.framed = framed
        self.messages = []
        self.again(upgraded)

    def again(self, upgraded=True):
        """A new connection."""
        self.machine.reset(framed=self.framed)
        if self.framed and upgraded:
            self.machine.upgraded(b"")

    def feed(self, data, step=None):
        self.messages += received(self.machine, data, step)
        return self

    def send(self, *packets):
        """Feed packets, each in a message of its own where there are messages."""
        return self.feed(b"".join(frame(p, 2) if self.framed else p for p in packets))

    def rows(self, kind="ticks"):
        stream = self.hub.stream(kind)
        return stream.latest(stream.count)

    @property
    def prices(self):
        return self.rows()["price"].tolist()

    @property
    def packets(self):
        return [payload for kind, payload in self.messages if kind == PACKET]

    @property
    def stats(self):
        return self.machine.stats()


SESSION = [
    (2, 6, 1, 0, b""),
    (1, 1, 3, 0, b"beat"),
    (3, 77, 0, 0, b"what"),
    (2, 10, 9, 0, b"x" * 3000),
    (2, 11, 0xFFFFFFFF, 7, b"\x08\x01"),
    (3, 0, 0, 0, b"\x08\x02"),
]


def check(driver, length):
    assert driver.prices == [1.0, 2.0, 3.0, 5.0]
    assert driver.rows()["seq"].tolist() == [5, 5, 6, 7]
    assert driver.rows("quotes")["last"].tolist() == [9.5]
    assert driver.rows("books")["ask_price"][:, 0].tolist() == [10.2]
    assert driver.rows("brokers")["ask_broker"][0, :3].tolist() == [7358, 9057, 0]
    assert driver.packets == SESSION
    stats = driver.stats
    assert stats["rejected"] == {}
    assert stats["bytes"] == length
    assert stats["packets"] == len(PACKETS)
    assert (stats["old"], stats["compressed"]) == (1, 2)
    assert driver.machine.error is None


@pytest.mark.parametrize("framed", [True, False])
def test_a_stream_in_pieces(framed):
    stream = b"".join(FRAMES if framed else PACKETS)
    for step in (None, 1, 2, 3, 7, 61, 500):
        driver = Driver(framed).feed(stream, step)
        check(driver, len(stream))
        controls = [message for message in driver.messages if message[0] != PACKET]
        assert controls == ([(9, b"ping"), (10, b"")] if framed else [])


@pytest.mark.parametrize("framed", [True, False])
def test_a_stream_cut_at_every_place(framed):
    stream = b"".join(FRAMES if framed else PACKETS)
    for cut in range(1, len(stream)):
        check(Driver(framed).feed(stream[:cut]).feed(stream[cut:]), len(stream))


def test_pieces_and_messages_without_a_transport():
    driver = Driver()
    for packet in PACKETS:
        driver.messages += driver.machine.feed(packet) or []
    check(driver, sum(map(len, PACKETS)))
    driver, stream = Driver(framed=False), b"".join(PACKETS)
    for i in range(0, len(stream), 50):
        driver.messages += driver.machine.feed(stream[i : i + 50]) or []
    check(driver, len(stream))


def test_the_time_of_reception():
    driver = Driver()
    driver.machine.feed(trades(), recv_ns=5)
    assert driver.rows()["recv_ns"].tolist() == [5]


def test_what_comes_before_the_upgrade_is_the_sessions():
    driver = Driver(upgraded=False)
    driver.feed(b"HTTP/1.1 101").feed(b" Switching\r\n\r\n" + FRAMES[0])
    assert [kind for kind, _ in driver.messages] == [HANDSHAKE] * 2
    assert driver.machine.upgraded(FRAMES[0] + frame(b"", 9)) == [(9, b"")]
    assert driver.prices == [1.0, 2.0]


# what is wrong with packets


def test_a_message_without_a_whole_packet_is_passed_over():
    packet = trades()
    for cut in range(1, len(packet)):
        driver = Driver().send(packet[:cut], trades(trade("7")))
        assert driver.stats["rejected"] == {"packet": 1}, cut
        assert driver.prices == [7.0]


def test_what_lies_behind_a_packet_in_its_message():
    driver = Driver().send(trades() + b"\x0f garbage", trades() + b"\x03")
    assert driver.prices == [10.5, 10.5]
    assert driver.stats["rejected"] == {"packet": 2}


@pytest.mark.parametrize("kind", [0, 4, 15])
def test_a_packet_of_no_known_type(kind):
    bad = bytes([kind]) + trades()[1:]
    driver = Driver().send(bad, trades())
    assert driver.prices == [10.5]
    driver = Driver(framed=False).send(trades(), bad, trades())
    assert driver.prices == [10.5]
    assert driver.machine.error.source == "longport"
    assert driver.machine.error.offset == len(trades())
    assert "packet" in str(driver.machine.error)
    driver.send(trades())
    assert driver.prices == [10.5]
    driver.again()
    assert driver.machine.error is None
    assert driver.send(trades()).prices == [10.5, 10.5]


def test_reserved_bits_are_passed_over():
    packet = trades()
    assert Driver().send(bytes([packet[0] | 0xC0]) + packet[1:]).prices == [10.5]


def test_a_length_beyond_the_limit():
    packet = response(body=b"x" * 2000)
    for framed in (True, False):
        driver = Driver(framed, limit_bytes=1999).send(packet, trades())
        assert driver.stats["rejected"] == {"length": 1}
        assert driver.prices == ([10.5] if framed else [])
    assert Driver(limit_bytes=2000).send(packet).packets[0][4] == b"x" * 2000


def test_a_large_packet_in_small_reads():
    body = bytes(range(256)) * 40000
    for framed in (True, False):
        driver = Driver(framed, window_bytes=4096)
        packet = response(body=body)
        driver.feed(frame(packet, 2) if framed else packet, step=100_000)
        assert driver.packets == [(2, 6, 7, 0, body)]


def test_a_text_message_is_passed_over():
    driver = Driver().feed(frame(trades(), 1) + frame(trades(), 2))
    assert driver.prices == [10.5]
    assert driver.stats["rejected"] == {"format": 1}


def test_a_broken_websocket():
    driver = Driver().feed(frame(trades(), 2) + b"\xff\xff" + frame(trades(), 2))
    assert driver.messages == [(CLOSING, (1002).to_bytes(2, "big"))]
    assert driver.machine.error is not None
    assert driver.prices == [10.5]


@pytest.mark.parametrize(
    "body", [b"", b"\x1f\x8b", b"not gzip", gzip.compress(b"x" * 50, mtime=0)[:-9]]
)
def test_bodies_that_cannot_be_decompressed(body):
    push = b"\x23\x68" + len(body).to_bytes(3, "big") + body
    reply = b"\x22\x06\x00\x00\x00\x09\x00" + len(body).to_bytes(3, "big") + body
    driver = Driver().send(push, reply, trades())
    assert driver.packets == [(2, 6, 9, 0, "gzip")]
    assert driver.stats["rejected"] == {"gzip": 2}
    assert driver.prices == [10.5]


def test_a_compressed_body_becomes_no_longer_than_the_limit():
    bomb = gzip.compress(bytes(50_000_000))
    driver = Driver().send(response(body=b""), b"\x22" + response(body=bomb)[1:])
    assert driver.packets[1] == (2, 6, 7, 0, "gzip")
    fits = response(body=bytes(2000), compress=True)
    assert Driver(limit_bytes=2000).send(fits).packets == [(2, 6, 7, 0, bytes(2000))]
    assert Driver(limit_bytes=1999).send(fits).packets == [(2, 6, 7, 0, "gzip")]


def test_a_push_whose_body_cannot_be_read():
    driver = Driver().send(pack_push(Command.PUSH_TRADES, b"\x0a\x7f"), trades())
    assert driver.stats["rejected"] == {"truncated": 1}
    assert driver.prices == [10.5]


# streams


def test_pushes_that_nobody_listens_to():
    driver = Driver(kinds=("quotes",)).send(*PACKETS)
    assert driver.stats["ignored"] == 6
    assert driver.rows("quotes")["last"].tolist() == [9.5]


def test_streams_that_there_are_not():
    driver = Driver(kinds=())
    stream = driver.hub.stream("bars")
    with pytest.raises(ValueError, match="expected the stream of ticks"):
        driver.machine.listen(stream.number, stream.ring, stream.deliver)


def test_the_last_rows_of_each_symbol_and_session_are_kept():
    driver = Driver().send(
        quote(last_done="1"), quote(last_done="2", trade_session=1), quote(open="0.5"), depth(),
        depth(asks=("10.3",), bids=()),
    )  # fmt: skip
    table = driver.hub.stream("quotes").table
    number = driver.hub.symbols["AAPL.US"]
    regular = np.frombuffer(table.row(number * 5 + 1), driver.rows("quotes").dtype)[0]
    assert (regular["last"], regular["open"]) == (1.0, 0.5)
    pre = np.frombuffer(table.row(number * 5 + 2), driver.rows("quotes").dtype)[0]
    assert (pre["last"], np.isnan(pre["open"])) == (2.0, True)
    book = driver.rows("books")[-1]
    assert (book["ask_price"][0], book["bid_price"][0]) == (10.3, 10.1)


def test_more_rows_than_the_ring_has():
    driver = Driver(capacity=64)
    driver.send(*(trades(trade(str(i + 1)), sequence=i + 1) for i in range(1000)))
    assert driver.stats["ticks"] == 1000
    assert driver.hub.ticks.latest(5)["price"].tolist() == [996.0, 997.0, 998.0, 999.0, 1000.0]


def test_a_new_connection_begins_anew():
    driver = Driver().send(quote(last_done="1", open="2", sequence=9), trades(sequence=9))
    driver.again()
    driver.send(quote(last_done="3", sequence=8), trades(sequence=8))
    last = driver.rows("quotes")[-1]
    assert (last["last"], np.isnan(last["open"])) == (3.0, True)
    assert driver.stats["old"] == 0
    assert len(driver.prices) == 2


def test_snapshots_are_what_pushes_change():
    driver = Driver().send(quote(last_done="5", sequence=1, timestamp=SECOND))
    snapshot = np.zeros(2, driver.rows("quotes").dtype)
    for name in snapshot.dtype.names:
        if snapshot.dtype[name].kind == "f":
            snapshot[name] = np.nan
    snapshot["symbol"] = driver.hub.symbols["AAPL.US"]
    snapshot["session"] = 1, 2
    snapshot["last"] = 4.5, 4.0
    snapshot["prev_close"] = 4.25, 4.25
    snapshot["time_ns"] = (SECOND - 10) * 10**9
    driver.machine.seed(snapshot.tobytes())
    seeded = driver.rows("quotes")[-2:]
    assert seeded["last"].tolist() == [5.0, 4.0]  # a push was later
    assert seeded["prev_close"].tolist() == [4.25, 4.25]
    driver.send(quote(high="6"))
    last = driver.rows("quotes")[-1]
    assert (last["last"], last["high"], last["prev_close"]) == (5.0, 6.0, 4.25)
    with pytest.raises(ValueError, match="whole rows"):
        driver.machine.seed(b"12345")
    driver.machine.seed(b"")


# a callback that misbehaves


def test_a_callback_must_not_feed_the_machine():
    driver = Driver()
    stream = driver.hub.stream("ticks")
    caught = []

    def deliver():
        for act in (
            lambda: driver.machine.feed(trades()), driver.machine.space, driver.machine.reset,
            lambda: driver.machine.seed(b"\0" * 320), lambda: driver.machine.upgraded(b""),
        ):  # fmt: skip
            try:
                act()
            except LocalProtocolError as error:
                caught.append(error)

    driver.machine.listen(stream.number, stream.ring, deliver)
    driver.send(trades())
    assert len(caught) == 5


@pytest.mark.parametrize("framed", [True, False])
def test_the_stream_goes_on_behind_a_callback_that_raised(framed):
    driver = Driver(framed, capacity=64)
    stream = driver.hub.stream("ticks")
    failing = True

    def deliver():
        nonlocal failing
        if failing:
            failing = False
            raise RuntimeError("mine")
        stream.deliver()

    driver.machine.listen(stream.number, stream.ring, deliver)
    many = [trades(trade(str(i + 1)), sequence=i + 1) for i in range(60)]
    data = frame(b"".join(many), 2) if framed else b"".join(many)
    with pytest.raises(RuntimeError, match="mine"):
        driver.feed(data)
    driver.send(trades(trade("100"), sequence=100))
    assert driver.stats["ticks"] == 61
    assert driver.prices[-1] == 100.0


def test_a_message_without_a_transport_is_dropped_behind_a_callback_that_raised():
    driver = Driver(capacity=64)
    stream = driver.hub.stream("ticks")

    def deliver():
        raise RuntimeError("mine")

    driver.machine.listen(stream.number, stream.ring, deliver)
    many = b"".join(trades(trade(str(i + 1)), sequence=i + 1) for i in range(60))
    with pytest.raises(RuntimeError, match="mine"):
        driver.machine.feed(many)
    driver.machine.listen(stream.number, stream.ring, stream.deliver)
    driver.machine.feed(trades(trade("100"), sequence=100))
    assert driver.prices[-1] == 100.0


# what was missed


def held(driver, symbol="AAPL.US"):
    number = driver.hub.symbols[symbol]
    driver.machine.hold([number])
    return number


def tick_rows(driver, *prices, at=SECOND):
    rows = np.zeros(len(prices), driver.rows().dtype)
    rows["symbol"] = driver.hub.symbols["AAPL.US"]
    rows["price"], rows["volume"], rows["time_ns"], rows["session"] = prices, 3, at * 10**9, 1
    return rows


def test_how_many_ticks_the_last_second_had():
    driver = Driver().send(trades(trade("1"), trade("2", at=SECOND + 1), trade("3", at=SECOND + 1)))
    number = driver.hub.symbols["AAPL.US"]
    assert driver.machine.trades_of_last_second(number) == (0, 0)  # there was no interruption
    held(driver)
    assert driver.machine.trades_of_last_second(number) == ((SECOND + 1) * 10**9, 2)
    driver.machine.settle(number, b"", b"")
    driver.send(trades(trade("4", at=SECOND)), trades(trade("5", at=SECOND + 1)))
    held(driver)
    assert driver.machine.trades_of_last_second(number) == ((SECOND + 1) * 10**9, 3)


def test_ticks_that_follow_do_not_move_the_beginning_of_the_interruption():
    driver = Driver().send(trades(trade("1")))
    number = held(driver)
    driver.machine.follow(number)
    driver.send(trades(trade("5", at=SECOND + 5)))
    # Another one, before what was missed has been written: both are one hole.
    held(driver)
    assert driver.machine.trades_of_last_second(number) == (SECOND * 10**9, 1)
    assert driver.machine.is_followed(number)
    driver.send(trades(trade("7", at=SECOND + 7)))
    assert driver.rows()["flags"].tolist() == [0, Flags.GAP, Flags.GAP]
    waited = np.frombuffer(bytes(driver.machine.take_held(number)), driver.rows().dtype)
    assert waited["price"].tolist() == [5.0, 7.0]
    driver.machine.settle(number, tick_rows(driver, 3).tobytes(), b"")
    held(driver)
    assert driver.machine.trades_of_last_second(number) == ((SECOND + 7) * 10**9, 1)
    assert not driver.machine.is_followed(number)


def test_snapshots_are_the_latest_quotes():
    driver = Driver().send(quote(last_done="11", timestamp=SECOND + 1))
    number = driver.hub.symbols["AAPL.US"]
    rows = np.zeros(2, driver.rows("quotes").dtype)
    rows["symbol"], rows["flags"], rows["time_ns"] = number, Flags.CACHED, SECOND * 10**9
    rows["session"], rows["last"], rows["prev_close"] = (1, 3), (10, 7), (9, 8)
    driver.machine.seed(rows.tobytes())
    assert driver.rows("quotes")["flags"].tolist() == [0, Flags.CACHED, Flags.CACHED]
    for session, last, close in ((1, 11, 9), (3, 7, 8)):
        latest = driver.hub.quotes.latest("AAPL.US", session)
        assert (latest["last"], latest["prev_close"]) == (last, close)


def test_new_days_are_counted():
    day = 86400
    driver = Driver()
    for at, count in ((0, 0), (9, 0), (day, 1), (day + 9, 1), (9 * day, 2)):
        driver.send(quote(last_done="1", timestamp=SECOND + at))
        assert driver.machine.new_days == count
    driver.send(quote(last_done="1", timestamp=SECOND, trade_session=1))  # another session
    assert driver.machine.new_days == 2


def test_ticks_wait_and_those_that_were_pulled_do_not_come_twice():
    driver = Driver().send(trades(trade("1")), trades(symbol="MSFT.US"))
    number = held(driver)
    driver.send(trades(trade("4"), trade("5")), trades(trade("6"), symbol="MSFT.US"))
    assert driver.prices == [1.0, 10.5, 6.0]
    waited = np.frombuffer(bytes(driver.machine.take_held(number)), driver.rows().dtype)
    assert waited["price"].tolist() == [4.0, 5.0]
    driver.machine.settle(
        number, tick_rows(driver, 2, 3, 4, 5).tobytes(), tick_rows(driver, 7, 7).tobytes(), gap=True
    )
    assert driver.prices == [1.0, 10.5, 6.0, 2.0, 3.0, 4.0, 5.0]
    assert driver.rows()["flags"].tolist()[3:] == [Flags.GAP, 0, 0, 0]
    driver.send(trades(trade("7"), trade("8")), trades(trade("7")), trades(trade("7")))
    assert driver.prices[7:] == [8.0, 7.0]
    assert driver.stats["duplicates"] == 2
    driver.machine.settled(number)
    driver.send(trades(trade("7")))
    assert driver.prices[9:] == [7.0]


def test_ticks_that_say_something_else_are_other_ticks():
    driver = Driver().send(trades(trade("1")))
    number = held(driver)
    driver.machine.settle(number, b"", tick_rows(driver, 7).tobytes())
    for other in (
        trade("7", at=SECOND + 1), trade("7", volume=4), trade("7", direction=1),
        trade("7", trade_type="I"), trade("7", trade_session=2), trade("7.5"),
    ):  # fmt: skip
        driver.send(trades(other))
    assert len(driver.prices) == 7
    assert len(driver.send(trades(trade("7"))).prices) == 7


def test_ticks_may_follow_before_what_was_missed():
    driver = Driver().send(trades(trade("1")))
    number = held(driver)
    driver.send(trades(trade("4")))
    driver.machine.follow(number)
    assert driver.machine.is_followed(number)
    driver.send(trades(trade("5")))
    assert driver.prices == [1.0, 4.0, 5.0]
    assert driver.rows()["flags"].tolist() == [0, Flags.GAP, 0]
    waited = np.frombuffer(bytes(driver.machine.take_held(number)), driver.rows().dtype)
    assert waited["price"].tolist() == [4.0, 5.0]
    driver.machine.settle(number, tick_rows(driver, 3).tobytes(), b"")
    assert not driver.machine.is_followed(number)
    driver.send(trades(trade("6")))
    assert driver.prices == [1.0, 4.0, 5.0, 3.0, 6.0]


def test_another_interruption_before_the_first_has_settled():
    driver = Driver().send(trades(trade("1")))
    number = held(driver)
    driver.machine.settle(number, b"", tick_rows(driver, 7).tobytes())
    driver.machine.hold([number])
    driver.machine.settled(number)
    assert driver.machine.is_held(number)
    driver.send(trades(trade("7")))
    assert driver.prices == [1.0]
    driver.machine.give_up(number)
    driver.send(trades(trade("8")))
    assert driver.prices == [1.0, 8.0]


@pytest.mark.parametrize("follow", [False, True])
def test_only_so_many_ticks_wait(follow):
    driver = Driver(most_held=10).send(trades(trade("100")))
    number = held(driver)
    if follow:
        driver.machine.follow(number)
    driver.send(*(trades(trade(str(i + 1))) for i in range(25)))
    assert driver.prices == [100.0, *map(float, range(1, 26))]
    assert driver.machine.take_overflow(number) is not None
    assert not driver.machine.is_held(number)
    assert driver.machine.held_rows == 0


def test_messages_of_the_appendix():
    """Bytes that the vendor's clients and documents have."""
    driver = Driver()
    for text in (
        "03 65 00 00 44 0a 06 37 30 30 2e 48 4b 10 e0 c0 81 e3 b6 cc a4 f1 17 1a 07 33 38 32 2e 34 30 30 38 d3 c5"
        "d7 b4 06 40 98 81 cc 02 4a 0e 32 30 39 32 31 33 33 35 39 38 2e 31 33 30 60 c8 01 6a 09 37 36 34 38 30 2e"
        "30 30 30",
        "03 66 00 00 2a 0a 06 37 30 30 2e 48 4b 10 67 1a 0d 08 01 12 05 33 33 38 2e 34 18 64 20 01 1a 02 08 02 22"
        "0b 08 01 12 05 33 33 38 2e 32 18 05",
        "03 67 00 00 14 0a 06 37 30 30 2e 48 4b 10 67 1a 08 08 01 12 04 be 39 e1 46",
        "03 68 00 00 1d 0a 06 37 30 30 2e 48 4b 10 67 1a 11 0a 05 33 33 38 2e 34 10 03 18 b5 8f a8 93 06 28 02",
        "33 65 00 00 25 1f 8b 08 00 00 00 00 00 02 03 e3 62 33 37 30 d0 f3 f0 16 60 97 62 35 b6 30 d2 33 01 00 6f"
        "8b ae 43 11 00 00 00 01 02 03 04 05 06 07 08 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab ac ad ae af",
    ):  # fmt: skip
        driver.send(bytes.fromhex(text))
    quotes = driver.rows("quotes")
    assert quotes["seq"].tolist() == [1721098963326623840]  # the other one's is older
    assert quotes["gateway_ns"].tolist() == [1721098963326623840]
    assert (quotes["last"][0], quotes["volume"][0]) == (382.4, 5439640)
    assert quotes["turnover"][0] == 2092133598.13
    assert quotes["time_ns"][0] == 1721098963 * 10**9
    assert np.isnan(quotes["open"][0])
    book = driver.rows("books")[0]
    assert (book["ask_price"][0], book["ask_volume"][0], book["ask_orders"][0]) == (338.4, 100, 1)
    assert (book["bid_price"][0], book["bid_volume"][0]) == (338.2, 5)
    assert driver.rows("brokers")["ask_broker"][0, :2].tolist() == [7358, 9057]
    tick = driver.rows()[0]
    assert (tick["price"], tick["volume"], tick["side"], tick["kind"]) == (338.4, 3, 1, 0)
    assert (tick["session"], tick["seq"], tick["gateway_ns"]) == (1, 103, 0)
    assert driver.packets == []


def test_every_command_of_responses_reaches_the_session():
    driver = Driver()
    for command in Command:
        driver.send(response(command, 5, 3, message_class("Error")(code=1).SerializeToString()))
    assert [packet[1] for packet in driver.packets] == list(Command)
