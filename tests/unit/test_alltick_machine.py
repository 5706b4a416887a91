"""AllTick's machine: a handshake and WebSocket frames, cut anywhere, into rows and messages."""

import random

import numpy as np
import pytest
from alltick_feeds import book, frame, tick
from framing import received
from vendor_streams import ALLTICK as STREAM
from vendor_streams import ALLTICK_ACK as ACK

import fastfeed as ff
from fastfeed._core.alltick import AlltickMachine
from fastfeed._core.websocket import CLOSING, HANDSHAKE
from fastfeed.hub import Hub


class Driver:
    """A machine with a hub, fed as a transport would."""

    def __init__(
        self, kinds=("ticks", "books"), symbols=("BTCUSDT",), upgraded=True, capacity=64, **options
    ):
        self.hub = Hub(capacity=capacity)
        self.machine = AlltickMachine(self.hub.symbols, **options)
        for kind in kinds:
            stream = self.hub.stream(kind)
            self.machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
        for symbol in symbols:
            self.machine.expect(symbol)
        self.messages = []
        if upgraded:
            self.machine.upgraded(b"")

    def feed(self, data, step=None):
        self.messages += received(self.machine, data, step)
        return self

    def again(self):
        """A new connection."""
        self.machine.reset()
        self.machine.upgraded(b"")

    def rows(self, kind="ticks"):
        stream = self.hub.stream(kind)
        return stream.latest(stream.count)

    @property
    def prices(self):
        return self.rows()["price"].tolist()

    @property
    def stats(self):
        return self.machine.stats()


MESSAGES = [(1, ACK), (9, b"ping"), (10, b"between")]


def check(driver):
    assert driver.prices == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert driver.rows()["seq"].tolist() == [1, 3, 4, 5, 8]
    assert driver.rows("books")["seq"].tolist() == [2]
    assert driver.messages == MESSAGES
    stats = driver.stats
    assert stats["rejected"] == {"bad_value": 1}
    assert (stats["unknown_codes"], stats["non_json"], stats["unknown_numbers"]) == (1, 2, 1)
    assert stats["bytes"] == len(STREAM)
    assert stats["messages"] == driver.machine.messages == 14
    assert stats["frames"] == 3
    assert driver.machine.error is None


def test_a_stream_in_one_piece():
    check(Driver().feed(STREAM))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 61, 500])
def test_a_stream_in_pieces(step):
    check(Driver().feed(STREAM, step))


def test_a_stream_cut_at_every_place():
    for cut in range(1, len(STREAM)):
        check(Driver().feed(STREAM[:cut]).feed(STREAM[cut:]))


def test_what_comes_before_the_upgrade_is_the_sessions():
    driver = Driver(upgraded=False)
    driver.feed(b"HTTP/1.1 101").feed(b" Switching\r\n\r\n" + STREAM[:100])
    assert [opcode for opcode, _ in driver.messages] == [HANDSHAKE] * 2
    assert driver.messages[1][1].endswith(STREAM[:100])
    assert driver.rows().size == 0
    before = driver.stats["bytes"]
    driver.messages = driver.machine.upgraded(STREAM[:100]) or []
    assert driver.stats["bytes"] <= before  # none of them twice
    driver.feed(STREAM[100:])
    assert driver.prices == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert driver.messages == MESSAGES
    assert driver.stats["bytes"] == 12 + 14 + len(STREAM)


BROKEN = [
    (frame(tick(), mask=b"abcd"), "frame", 1002),
    (frame(tick(), reserved=4), "frame", 1002),
    (frame(tick(), reserved=1), "frame", 1002),
    (frame(tick(), 3), "frame", 1002),
    (frame(b"x", 11), "frame", 1002),
    (frame(b"x" * 126, 9), "frame", 1002),
    (b"\x81\x7e\x00\x05hello", "frame", 1002),  # not the shortest length
    (b"\x81\x7f" + bytes(7) + b"\x05hello", "frame", 1002),
    (b"\x81\x7f" + b"\xff" * 8, "frame", 1002),
    (frame(b"x", 9, fin=False), "fragment", 1002),
    (frame(tick(), 0), "fragment", 1002),
    (frame(tick(), fin=False) + frame(tick()), "fragment", 1002),
    (frame(b"", length=(1 << 20) + 1), "length", 1009),
    (frame(b"x" * (1 << 19), fin=False) + frame(b"", 0, length=1 << 20), "length", 1009),
    (frame(b"\x03", 8), "close", 1002),
    (frame(b"\x03\xed", 8), "close", 1002),  # 1005
    (frame(b"\x07\xd0", 8), "close", 1002),  # 2000
    (frame(b"\x03\xe8\xff", 8), "utf8", 1007),
    (frame(b'{"\xff":1}'), "utf8", 1007),
    (frame(b"plain \xc0\xae"), "utf8", 1007),
    (frame(tick().replace("BTC", "\udcff").encode(errors="surrogateescape")), "utf8", 1007),
]


@pytest.mark.parametrize(("data", "reason", "code"), BROKEN)
@pytest.mark.parametrize("step", [None, 1], ids=["whole", "bytes"])
def test_a_broken_stream_ends(data, reason, code, step):
    if step and len(data) > 1 << 16:
        step = 4097
    driver = Driver()
    good = frame(tick(price="1"))
    driver.feed(good + data, step)
    assert driver.prices == [1.0]
    assert driver.messages == [(CLOSING, code.to_bytes(2, "big"))]
    error = driver.machine.error
    assert isinstance(error, ff.RemoteProtocolError)
    assert reason in str(error)
    assert error.source == "alltick"
    assert driver.stats["rejected"] == {reason: 1}
    driver.feed(good * 3)  # is not looked at
    assert driver.prices == [1.0]
    assert len(driver.messages) == 1
    driver.again()
    assert driver.machine.error is None
    driver.feed(frame(tick(price="2", seq=2)))
    assert driver.prices == [1.0, 2.0]


def test_behind_a_close_nothing_counts():
    driver = Driver().feed(frame(b"\x03\xe8bye", 8) + frame(tick()) + b"\xff\xff\xff")
    assert driver.messages == [(8, b"\x03\xe8bye")]
    assert driver.rows().size == 0
    assert driver.machine.error is None


def test_text_in_binary_frames_need_not_be_utf8():
    driver = Driver().feed(frame(b"\x1f\x8b\xff", 2) + frame(b'{"a":"\xff"}', 2) + frame(tick()))
    assert driver.machine.error is None
    assert driver.stats["non_json"] == 1
    assert driver.stats["rejected"] == {"utf8": 1}
    assert driver.prices == [1.5]


def test_any_bytes_give_rows_or_an_error():
    chance = random.Random(7)
    for _ in range(300):
        data = bytearray(STREAM)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        whole, pieces = Driver().feed(bytes(data)), Driver().feed(bytes(data), 5)
        assert whole.messages == pieces.messages
        assert whole.prices == pieces.prices
        left = [{k: v for k, v in d.stats.items() if k != "bytes"} for d in (whole, pieces)]
        assert left[0] == left[1]
        assert str(whole.machine.error) == str(pieces.machine.error)


# connections


def test_the_last_tick_of_a_connection_is_suppressed_on_the_next_one():
    driver = Driver(symbols=("BTCUSDT", "ETHUSDT"))
    last = frame(tick(price="2", seq=2))
    driver.feed(frame(tick(price="1", seq=1)) + last)
    driver.again()
    driver.feed(last + last + frame(tick(price="3", seq=3)) + frame(tick("ETHUSDT", price="9")))
    assert driver.prices == [1.0, 2.0, 3.0, 9.0]
    flags = driver.rows()["flags"] & int(ff.Flags.GAP)
    assert flags.tolist() == [0, 0, int(ff.Flags.GAP), 0]
    assert driver.stats["duplicates"] == 2


def test_equal_ticks_of_one_connection_are_two():
    driver = Driver().feed(frame(tick()) * 2)
    assert len(driver.prices) == 2
    assert driver.stats["duplicates"] == 0


@pytest.mark.parametrize(
    "changed", [{"seq": 2}, {"time_ms": 1785204901191}, {"price": "1.6"}, {"volume": "3"}]
)
def test_a_tick_that_differs_is_another_one(changed):
    driver = Driver().feed(frame(tick(seq=1)))
    driver.again()
    driver.feed(frame(tick(**{"seq": 1} | changed)))
    assert len(driver.prices) == 2
    assert driver.rows()["flags"][1] & int(ff.Flags.GAP)


def test_a_tick_without_a_volume_is_suppressed_as_well():
    driver = Driver().feed(frame(tick(volume="")))
    driver.again()
    driver.feed(frame(tick(volume="")))
    assert len(driver.prices) == 1
    assert np.isnan(driver.rows()["volume"][0])


# symbols, kinds


def test_sides_of_symbols_that_have_none():
    driver = Driver(symbols=())
    driver.machine.expect("BTCUSDT", sided=True)
    driver.machine.expect("GOLD", sided=False)
    driver.feed(frame(tick("BTCUSDT", direction=2)) + frame(tick("GOLD", direction=1)))
    assert driver.rows()["side"].tolist() == [-1, 0]


def test_symbols_are_case_sensitive_and_unknown_ones_stay_unknown():
    driver = Driver(symbols=("Silver",))
    driver.feed(frame(tick("Silver")) + frame(tick("SILVER")) + frame(tick("ZINC")))
    assert len(driver.prices) == 1
    assert list(driver.hub.symbols) == ["Silver"]
    assert driver.stats["unknown_codes"] == 2


def test_what_nobody_listens_to():
    driver = Driver(kinds=("books",)).feed(frame(tick()) + frame(book()))
    assert driver.stats["unwanted"] == 1
    assert len(driver.rows("books")) == 1


def test_stale_ticks_are_flagged():
    driver = Driver()
    stale = int(ff.Flags.STALE)
    sent_ms = 1_000_000_000_000
    for age_ms in (-1000, 60_000, 60_001):
        driver.machine.feed(tick(time_ms=sent_ms).encode(), recv_ns=(sent_ms + age_ms) * 10**6)
    flags = driver.rows()["flags"] & stale
    assert flags.tolist() == [0, 0, stale]


def test_many_messages_in_one_read():
    driver = Driver(window_bytes=1 << 20, capacity=8192)
    data = b"".join(frame(tick(price=str(i), seq=i + 1)) for i in range(3000))
    driver.feed(data)
    assert driver.prices == [float(i) for i in range(3000)]


def test_the_longest_message_fits():
    driver = Driver(limit_bytes=1 << 20, window_bytes=4096)
    text = tick()[:-1] + " " * ((1 << 20) - len(tick())) + "}"
    driver.feed(frame(text) + frame(tick(price="2")))
    assert driver.prices == [1.5, 2.0]
    driver = Driver(limit_bytes=2000)
    driver.feed(frame(" " * 2001))
    assert "length" in str(driver.machine.error)


def test_a_message_without_a_frame_has_the_same_limit():
    decoder = ff.Decoder("alltick", limit_bytes=1024)
    message = tick().encode().ljust(1024)
    assert decoder.feed(message) == 1
    assert decoder.feed(message + b" ") == 0
    assert decoder.stats()["rejected"] == {"length": 1}


def test_a_callback_must_not_feed_the_machine():
    driver = Driver()
    caught = []

    def callback(rows):
        with pytest.raises(ff.LocalProtocolError) as error:
            driver.machine.feed(tick())
        caught.append(error)

    driver.hub.ticks.on_batch(callback)
    driver.feed(frame(tick()))
    assert len(caught) == 1


def test_arguments():
    symbols = Hub().symbols
    for options in ({"limit_bytes": 1023}, {"limit_bytes": (1 << 20) + 1}, {"depth": 0}):
        with pytest.raises(ValueError):
            AlltickMachine(symbols, **options)
    driver = Driver()
    with pytest.raises(ValueError, match="ticks or books"):
        driver.machine.listen(1, driver.hub.ticks.ring, lambda: None)
    with pytest.raises(TypeError):
        driver.machine.expect(b"BTCUSDT")
    with pytest.raises(TypeError):
        driver.machine.feed("text")
