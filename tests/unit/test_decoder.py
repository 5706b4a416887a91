"""The decoder as users have it: good packets, bad packets, and what is said about them."""

import math

import pytest
from longport_packets import SECOND, brokers, depth, quote, response, trade, trades

import fastfeed as ff


@pytest.fixture
def decoder():
    return ff.Decoder("opend", ff.Hub(capacity=1024))


def test_a_push_becomes_rows(decoder, packet, ticker_push):
    body = ticker_push(rows=[{}, {"dir": 2, "price": 0.1, "hpVolume": 0.5, "pushDataType": 3}])
    assert decoder.feed(packet(3011, body), recv_ns=7) == 2
    first, second = decoder.ticks.latest(2)
    assert decoder.symbols[first["symbol"]] == "700.HK"
    assert first["recv_ns"] == 7
    assert first["time_ns"] == 1700010000_123000_000
    assert first["gateway_ns"] == 1700010000_250000_000
    assert first["seq"] == 1700010000 << 32 | 1
    assert (first["price"], first["volume"], first["turnover"]) == (310.2, 100.0, 31020.0)
    assert (first["side"], first["kind"], first["session"], first["flags"]) == (1, 1, 0, 0)
    assert (second["side"], second["price"], second["volume"]) == (-1, 0.1, 0.5)
    assert second["flags"] == ff.Flags.CACHED


def test_what_is_absent_is_missing_not_zero(decoder, packet):
    # retType 0, s2c {security {11, "A"}, tickerList {price}}
    body = bytes.fromhex("080022120a05080b1201411209") + b"\x21" + bytes(6) + b"\xf0\x3f"
    assert decoder.feed(packet(3011, body)) == 1
    [row] = decoder.ticks.latest()
    assert row["price"] == 1.0
    assert math.isnan(row["volume"])
    assert math.isnan(row["turnover"])
    assert (row["seq"], row["time_ns"], row["gateway_ns"], row["side"]) == (-1, 0, 0, 0)
    assert decoder.stats()["unreadable_times"] == 1
    assert decoder.stats()["rejected"] == {}


@pytest.mark.parametrize(
    ("market", "text", "expected_ms"),
    [
        (1, "2024-07-01 09:30:00", 1719797400_000),  # Hong Kong
        (11, "2024-07-01 09:30:00.250", 1719840600_250),  # New York, summer
        (11, "2024-01-02 09:30:00:250", 1704205800_250),  # New York, winter, colon
        (41, "2024-07-01 09:00:00", 1719792000_000),  # Tokyo
        (51, "2024-01-02 10:00:00", 1704150000_000),  # Sydney, summer
    ],
)
def test_time_text_is_the_markets_own(decoder, packet, ticker_push, market, text, expected_ms):
    body = ticker_push(market, "X", [{"time": text, "timestamp": 0.0}])
    assert decoder.feed(packet(3011, body)) == 1
    assert decoder.ticks.latest()["time_ns"][0] == expected_ms * 1_000_000


@pytest.mark.parametrize(
    "text", ["", "now", "2024-02-30 09:30:00", "2024-07-01T09:30:00", "9" * 500]
)
def test_unreadable_time_is_unknown_and_counted(decoder, packet, ticker_push, text):
    body = ticker_push(rows=[{"time": text, "timestamp": math.nan}])
    assert decoder.feed(packet(3011, body)) == 1
    assert decoder.ticks.latest()["time_ns"][0] == 0
    assert decoder.stats()["unreadable_times"] == 1
    assert decoder.stats()["rejected"] == {}


@pytest.mark.parametrize("field", ["price", "turnover", "hpVolume"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_left_out(decoder, packet, ticker_push, field, value):
    body = ticker_push(rows=[{}, {field: value}, {"price": 2.0}])
    assert decoder.feed(packet(3011, body)) == 2
    assert decoder.ticks.latest(9)["price"].tolist() == [310.2, 2.0]
    assert decoder.stats()["rejected"] == {"not_finite": 1}


GARBAGE = {
    "varint of eleven bytes": (b"\x08" + b"\xff" * 10 + b"\x01", "varint"),
    "varint of more than 64 bits": (b"\x08" + b"\xff" * 9 + b"\x02", "varint"),
    "length beyond the packet": (b"\x08\x00\x22\x05\x0a", "truncated"),
    "huge length": (b"\x08\x00\x22\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "truncated"),
    "half a tag": (b"\x08\x00\xff", "truncated"),
    "half a double": (b"\x08\x00\x21\x00", "truncated"),
    "group": (b"\x08\x00\x2b\x2c", "group"),
    "end of a group": (b"\x08\x00\x2c", "group"),
    "wire type 6": (b"\x08\x00\x2e", "tag"),
    "wire type 7": (b"\x08\x00\x2f", "tag"),
    "field number 0": (b"\x08\x00\x00\x00", "tag"),
    "tag of more than 32 bits": (b"\x08\x00\xf8\xff\xff\xff\xff\x01\x00", "tag"),
    "nothing": (b"", "ret_type"),
    "no security": (b"\x08\x00\x22\x00", "symbol"),
    "no code": (b"\x08\x00\x22\x04\x0a\x02\x08\x01", "symbol"),
    "no s2c": (b"\x08\x00", "symbol"),
}


@pytest.mark.parametrize(("body", "reason"), GARBAGE.values(), ids=GARBAGE)
def test_garbage_in_a_good_frame_is_counted_and_passed_over(
    decoder, packet, ticker_push, body, reason
):
    good = packet(3011, ticker_push())
    assert decoder.feed(good + packet(3011, body) + good) == 2
    assert decoder.stats()["rejected"] == {reason: 1}
    assert decoder.stats()["packets"] == 3


@pytest.mark.parametrize("code", ["", "X" * 65, "X" * 300, "A B", "A\n", "腾讯", "\x7f"])
def test_codes_that_cannot_be_symbols(decoder, packet, ticker_push, code):
    assert decoder.feed(packet(3011, ticker_push(code=code))) == 0
    assert decoder.stats()["rejected"] == {"symbol": 1}
    assert len(decoder.symbols) == 0


def test_longest_code(decoder, packet, ticker_push):
    assert decoder.feed(packet(3011, ticker_push(11, "X" * 64))) == 1
    assert decoder.symbols[0] == "X" * 64 + ".US"


def test_unknown_numbers_pass(decoder, packet, ticker_push):
    row = {"dir": 77, "type": 200, "pushDataType": 99, "typeSign": -5}
    rows = [row, row | {"type": 256}, row | {"type": -1}]
    assert decoder.feed(packet(3011, ticker_push(77, "X", rows))) == 3
    assert decoder.ticks.latest(3)["kind"].tolist() == [200, 255, 255]
    assert decoder.ticks.latest(3)["side"].tolist() == [0, 0, 0]
    assert decoder.symbols[0] == "X.M77"


def test_error_push_is_counted(decoder, packet, ticker_push):
    assert decoder.feed(packet(3011, ticker_push(ret_type=-1))) == 0
    assert decoder.stats()["rejected"] == {"ret_type": 1}


def test_wrong_digest_matters_only_when_checked(packet, ticker_push):
    bad = packet(3011, ticker_push(), digest=bytes(20))
    good = packet(3011, ticker_push())
    unchecked = ff.Decoder("opend", ff.Hub(capacity=64))
    assert unchecked.feed(bad + good) == 2
    checked = ff.Decoder("opend", ff.Hub(capacity=64), check_sha1=True)
    assert checked.feed(bad + good) == 1
    assert checked.stats()["rejected"] == {"sha1": 1}


def test_json_packets_are_counted(decoder, packet, ticker_push):
    assert decoder.feed(packet(3011, ticker_push(), fmt=1)) == 0
    assert decoder.stats()["rejected"] == {"format": 1}


def test_wrong_magic_ends_the_stream_and_says_where(decoder, packet, ticker_push):
    good = packet(3011, ticker_push())
    with pytest.raises(
        ff.RemoteProtocolError, match="expected a packet that begins with b'FT'"
    ) as info:
        decoder.feed(good + b"HTTP/1.1 400")
    assert info.value.source == "opend"
    assert info.value.offset == len(good)
    assert info.value.data == b"HTTP/1.1 400"
    assert decoder.ticks.count == 1  # what came before stays
    assert decoder.stats()["rejected"] == {"magic": 1}
    with pytest.raises(ff.RemoteProtocolError):
        decoder.feed(good)
    assert decoder.stats()["rejected"] == {"magic": 1}
    decoder.reset()
    assert decoder.feed(good) == 1


def test_absurd_length_ends_the_stream(packet):
    decoder = ff.Decoder("opend", ff.Hub(capacity=64), limit_bytes=4096)
    assert decoder.feed(packet(3001, b"\0" * 4096)) == 0
    with pytest.raises(ff.RemoteProtocolError, match="4097 bytes"):
        decoder.feed(packet(3001, b"", length=4097))


def test_a_long_push_in_a_small_ring_is_refused(packet, ticker_push):
    decoder = ff.Decoder("opend", ff.Hub(capacity=64))
    assert decoder.feed(packet(3011, ticker_push(rows=[{}] * 32))) == 32
    assert decoder.feed(packet(3011, ticker_push(rows=[{}] * 33))) == 0
    assert decoder.stats()["rejected"] == {"too_many_rows": 1}


def test_callbacks_keep_up_with_a_small_ring(packet, ticker_push):
    """A piece with many times the ring's rows is delivered in portions: nothing is lost."""
    decoder = ff.Decoder("opend", ff.Hub(capacity=64))
    seen = []
    decoder.ticks.on_batch(lambda rows: seen.extend(rows["seq"].tolist()))
    data = b"".join(packet(3011, ticker_push(rows=[{"sequence": i}])) for i in range(1000))
    assert decoder.feed(data) == 1000
    assert seen == list(range(1000))


def test_a_callback_cannot_feed_its_own_decoder(decoder, packet, ticker_push, caplog):
    good = packet(3011, ticker_push())
    decoder.ticks.on_batch(lambda rows: decoder.feed(good))
    assert decoder.feed(good + good) == 2
    assert decoder.ticks.callback_errors == 1
    assert "a callback must not feed" in caplog.text


def test_full_symbol_table(packet, ticker_push):
    decoder = ff.Decoder("opend", ff.Hub(capacity=64, max_symbols=2))
    data = b"".join(packet(3011, ticker_push(11, code)) for code in "ABCA")
    assert decoder.feed(data) == 3
    assert list(decoder.symbols) == ["A.US", "B.US"]
    assert decoder.stats()["rejected"] == {"symbols_full": 1}


def test_replies_and_other_pushes_are_counted(decoder, packet):
    data = packet(3001, b"\x08\x00") + packet(3450, b"\xff") + packet(1003, b"")
    assert decoder.feed(data) == 0
    assert (decoder.stats()["frames"], decoder.stats()["ignored"]) == (2, 1)


def test_every_cut_gives_the_same_rows(packet, ticker_push):
    data = b"".join(
        packet(3011, ticker_push(rows=[{"sequence": i}] * (i % 3 + 1))) for i in range(4)
    ) + packet(3001, b"\x08\x00")
    whole = ff.Decoder("opend", ff.Hub(capacity=64))
    whole.feed(data, recv_ns=1)
    for cut in range(len(data) + 1):
        parts = ff.Decoder("opend", ff.Hub(capacity=64))
        parts.feed(data[:cut], recv_ns=1)
        parts.feed(memoryview(data)[cut:], recv_ns=1)
        assert parts.ticks.latest(64).tobytes() == whole.ticks.latest(64).tobytes()
        assert parts.stats() == whole.stats()
    single = ff.Decoder("opend", ff.Hub(capacity=64))
    for i in range(len(data)):
        single.feed(data[i : i + 1], recv_ns=1)
    assert single.ticks.latest(64).tobytes() == whole.ticks.latest(64).tobytes()


def test_wrong_arguments(decoder):
    with pytest.raises(ValueError, match="expected a vendor"):
        ff.Decoder("bloomberg")
    with pytest.raises(TypeError):
        decoder.feed("text")
    with pytest.raises(ValueError, match="limit_bytes"):
        ff.Decoder("opend", limit_bytes=3)


def test_capture_of_a_real_gateway(samples):
    """Every packet of a recorded session passes; its ticks are what the protobuf runtime reads."""
    import json

    from fastfeed.protocols.opend_codes import canonical
    from fastfeed.protocols.opend_messages import message_class

    decoder = ff.Decoder("opend", check_sha1=True)
    lines = (samples / "captures" / "opend_crypto.jsonl").read_text().splitlines()
    packets = [json.loads(line) for line in lines]
    received = [p for p in packets if p["direction"] == "s2c"]
    assert len(received) >= 10
    expected = []
    for p in received:
        data = bytes.fromhex(p["frame_hex"])
        decoder.feed(data)
        if p["proto_id"] == 3011:
            expected.append(message_class("QotUpdateTicker.Response").FromString(data[44:]).s2c)
    assert decoder.stats()["packets"] == len(received)
    assert decoder.stats()["rejected"] == {}
    rows = [(s2c.security, row) for s2c in expected for row in s2c.tickerList]
    assert len(rows) == decoder.ticks.count > 0
    for (security, row), tick in zip(rows, decoder.ticks.latest(len(rows)), strict=True):
        assert decoder.symbols[tick["symbol"]] == canonical(security.market, security.code)
        assert tick["price"] == row.price
        assert tick["volume"] == row.hpVolume
        assert tick["turnover"] == row.turnover
        assert tick["seq"] == row.sequence
        assert tick["side"] == {1: 1, 2: -1}.get(row.dir, 0)
        assert tick["kind"] == row.type
        assert tick["time_ns"] == round(row.timestamp * 1e6) * 1000
        assert tick["gateway_ns"] == round(row.recvTime * 1e6) * 1000
        assert tick["flags"] == {2: ff.Flags.BACKFILLED, 3: ff.Flags.CACHED}.get(
            row.pushDataType, 0
        )


def test_longports_messages_become_rows_of_four_streams():
    decoder = ff.Decoder("longport", ff.Hub(capacity=1024))
    stamp = SECOND * 10**9 + 5
    assert decoder.feed(trades(trade("10.5"), trade("10.25", direction=2)), recv_ns=7) == 2
    assert decoder.feed(quote(sequence=stamp, last_done="10.5", volume=8, trade_session=2)) == 1
    assert decoder.feed(depth(("10.3", "10.4"), ("10.2",))) == 1
    assert decoder.feed(brokers()) == 1
    assert decoder.feed(response()) == 0
    assert decoder.symbols[0] == "AAPL.US"
    first, second = decoder.ticks.latest(2)
    assert (first["recv_ns"], first["time_ns"], first["seq"]) == (7, SECOND * 10**9, -1)
    assert (first["price"], second["price"], second["side"]) == (10.5, 10.25, 1)
    [row] = decoder.quotes.latest()
    assert (row["session"], row["last"], row["volume"]) == (ff.Session.POST, 10.5, 8)
    assert row["seq"] == row["gateway_ns"] == stamp
    assert math.isnan(row["high"])
    book = decoder.books.latest("AAPL.US")
    assert (book["asks"], book["ask_price"][1], book["bids"], book["bid_price"][0]) == (
        *(2, 10.4),
        *(1, 10.2),
    )
    queue = decoder.brokers.latest("700.HK")
    assert queue["ask_broker"][:2].tolist() == [7358, 9057]
    assert decoder.stats()["frames"] == 1
    assert decoder.stats()["rejected"] == {}


def test_longports_stream_may_be_cut_anywhere_over_tcp():
    stream = trades() + quote(last_done="1") + response() + trades(trade("11"), trade("12"))
    for size in (1, 7, len(stream)):
        decoder = ff.Decoder("longport", ff.Hub(capacity=64), transport="tcp")
        parts = [stream[i : i + size] for i in range(0, len(stream), size)]
        assert sum(map(decoder.feed, parts)) == 4
        assert decoder.ticks.latest(3)["price"].tolist() == [10.5, 11.0, 12.0]


def test_longports_kinds_and_transports():
    decoder = ff.Decoder("longport", ff.Hub(capacity=64), kinds=["books"])
    assert (decoder.feed(trades()), decoder.feed(depth())) == (0, 1)
    with pytest.raises(ValueError, match="expected a transport"):
        ff.Decoder("longport", transport="udp")
