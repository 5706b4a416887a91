"""The LongPort feed against a gateway that breaks every rule: nothing crashes, hangs or goes unnoticed."""

import asyncio
import functools
import gzip
import random
import struct
import time
import tracemalloc

import numpy as np
import pytest
from feeds import listen, until
from longport_gateway import KEY, SECRET, TOKEN, Gateway, Peer, Watcher, at
from longport_packets import VERIFY, brokers, depth, quote, trades

import fastfeed as ff
from fastfeed.feeds import longport as feeds
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.longport_packets import pack_push, pack_request, pack_response

AAPL = "AAPL.US"
SECRETS = (KEY, SECRET, TOKEN, "-secret")


def bad_length(command=104, length=100):
    """Return a push that claims more than it has."""
    return bytes((3, command)) + length.to_bytes(3, "big") + b"short"


def zipped(data, command=104, kind=0x23):
    return bytes((kind, command)) + len(data).to_bytes(3, "big") + data


def body(name, **fields):
    return message_class(name)(**fields).SerializeToString()


BOMB = gzip.compress(bytes(1 << 24), mtime=0)
TWO_MEMBERS = gzip.compress(b"\x0a\x01A") + gzip.compress(b"more")

# What is counted, and passed over: the stream goes on behind it.
PASSED_OVER = {
    "no protobuf": (pack_push(104, b"\xff" * 20), "rejected"),
    "cut protobuf": (trades()[:4] + bytes([len(trades()) - 7]) + trades()[5:-2], "rejected"),
    "an unknown push": (pack_push(199, b"anything"), "unknown_pushes"),
    "an unknown business push": (pack_push(105, b""), "unknown_pushes"),
    "no symbol": (trades(symbol=""), "rejected"),
    "a symbol that cannot be": (trades(symbol="A" * 300), "rejected"),
    "a symbol that is no text": (pack_push(104, b"\x0a\x02\xff\xfe\x1a\x00"), "rejected"),
    "an empty push": (pack_push(104, b""), "rejected"),
    "a trade without a price": (trades(at(0, "")), "rejected"),
    "a price that is no number": (trades(at(0, "1.2.3")), "rejected"),
    "a price that is infinite": (trades(at(0, "inf")), "rejected"),
    "a bomb": (zipped(BOMB), "rejected"),
    "no member of gzip": (zipped(b"no gzip at all"), "rejected"),
    "half a member of gzip": (zipped(gzip.compress(bytes(99))[:-9]), "rejected"),
    "a response to nothing": (pack_response(17, 4_000_000_000, 0, b""), "unmatched_replies"),
    "an error to nothing": (pack_response(17, 77, 7, b"\xff\xff"), "unmatched_replies"),
    "a second answer to auth": (pack_response(2, 1, 0, body("AuthResponse", session_id="x")), "unmatched_replies"),
    "a response that is a bomb": (b"\x22" + pack_response(17, 9, 0, BOMB)[1:], "unmatched_replies"),
    "an unknown request": (pack_request(99, 5, 1000, b"do it"), "unknown_requests"),
    "a request for quotes": (pack_request(11, 6, 0, b""), "unknown_requests"),
    "a heartbeat that is a bomb": (b"\x21" + pack_request(1, 6, 0, BOMB)[1:], "unknown_requests"),
}  # fmt: skip


def count(stats, name):
    return sum(stats["rejected"].values()) if name == "rejected" else stats[name]


def test_what_is_passed_over(run_it, reports, transport):
    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe([AAPL], "ticks", "quotes", "books", "brokers")
            for i, (name, (packet, counter)) in enumerate(PASSED_OVER.items(), 1):
                before = count(feed.stats(), counter)
                server.peer.push(packet)
                server.peer.push(trades(at(i, str(i))))
                await watcher.until_ticks(i)
                assert count(feed.stats(), counter) == before + 1, name
                assert watcher.ticks[-1]["price"] == i
            assert watcher.prices() == list(range(1, len(PASSED_OVER) + 1))
            assert set(feed.symbols) == {AAPL}
            assert not watcher.quotes
            assert not watcher.events
            assert feed.stats()["connections"] == 1
            ticks = await feed.get_ticks(AAPL)  # and the session is well
            assert len(ticks) == 0

    run_it(main())


def test_bombs_take_no_memory(run_it, reports, transport):
    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport, limit_bytes=1 << 20) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            tracemalloc.start()
            try:
                for _ in range(50):
                    server.peer.push(zipped(BOMB))
                server.peer.push(trades())
                await watcher.until_ticks(1)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert feed.stats()["rejected"] == {"gzip": 50}
            assert peak < 8 << 20

    run_it(main())


def test_values_nobody_knows_are_kept_or_left_out(run_it, reports, transport):
    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks", "quotes", "books", "brokers")
            server.peer.push(
                trades(at(0, "1", direction=77, trade_session=9, trade_type="??")),
                trades(at(2**40, "2")),
                trades(at(0, "3"), sequence=-5),
                quote(last_done="4", open="", high="x", low="-", turnover="", trade_session=77, trade_status=300),
                depth(("", "9"), ()),
                brokers((), (), AAPL),
                quote(last_done="5", volume=-1, timestamp=-1),
            )  # fmt: skip
            await until(lambda: len(watcher.quotes) == 2 and watcher.brokers and watcher.books)
            assert watcher.prices() == [1, 2, 3]
            assert [int(row["side"]) for row in watcher.ticks] == [0, 0, 0]
            assert int(watcher.ticks[1]["time_ns"]) == 0  # beyond what nanoseconds can hold
            first = watcher.quotes[0]
            assert first["last"] == 4
            assert all(np.isnan(first[n]) for n in ("open", "high", "low", "volume", "turnover"))
            book = watcher.books[0]
            assert np.isnan(book["ask_price"][0])
            assert feed.stats()["connections"] == 1

    run_it(main())


def test_sequences_that_go_back(run_it, reports, transport):
    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "quotes", "books")
            server.peer.push(quote(last_done="1", sequence=10), depth(("1",), ("1",), sequence=10))
            server.peer.push(quote(last_done="2", sequence=9), depth(("2",), ("2",), sequence=9))
            server.peer.push(quote(last_done="3", sequence=10), depth(("3",), ("3",), sequence=10))
            server.peer.push(quote(last_done="4", sequence=0), depth(("4",), ("4",), sequence=0))
            server.peer.push(quote(last_done="5", sequence=11), depth(("5",), ("5",), sequence=11))
            await until(lambda: len(watcher.quotes) == 3 and len(watcher.books) == 3)
            assert [float(row["last"]) for row in watcher.quotes] == [1, 4, 5]
            assert [float(row["bid_price"][0]) for row in watcher.books] == [1, 4, 5]
            assert feed.stats()["old"] == 4

    run_it(main())


def test_odd_messages_of_a_websocket(run, reports):
    async def main():
        listen(reports)
        async with Gateway() as server, server.feed() as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            peer = server.peer
            peer.send("hello", 1)  # text
            peer.send(b"", 2)
            peer.send(bad_length(), 2)  # its length reaches beyond the message
            peer.send(b"\x03", 2)  # a part of a head
            peer.send(b"\x07\x01\x00\x00\x00", 2)  # an unknown type
            peer.send(trades(at(1, "1")) + b"\x00garbage", 2)  # behind the packet
            peer.send(trades(at(2, "2")) + trades(at(3, "3")), 2)  # two in one
            peer.send(b"unasked", 10)
            peer.send(b"are you there", 9)
            message = trades(at(4, "4"), compress=True, verify=VERIFY)
            peer.send(message[:7], 2, fin=False)
            peer.send(b"in between", 9)
            peer.send(message[7:11], 0, fin=False)
            peer.send(message[11:], 0)
            await watcher.until_ticks(4)
            assert watcher.prices() == [1, 2, 3, 4]
            assert sum(feed.stats()["rejected"].values()) == 5
            await until(lambda: (10, b"in between") in peer.frames)
            assert [payload for opcode, payload in peer.frames if opcode == 10] == [
                b"are you there",
                b"in between",
            ]
            assert feed.stats()["connections"] == 1

    run(main())


BROKEN_TCP = {
    "an unknown type": b"\x07\x01\x00\x00\x00",
    "zeros": bytes(20),
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a length above the limit": b"\x03\x68\xff\xff\xff" + bytes(100),
}
BROKEN_WS = {
    "a masked frame": b"\x82\x85\x01\x02\x03\x04abcde",
    "a reserved opcode": b"\x83\x00",
    "a reserved bit": b"\xc2\x00",
    "a huge frame": b"\x82\x7f" + struct.pack("!Q", 1 << 62),
    "a frame above the limit": b"\x82\x7f" + struct.pack("!Q", 1 << 25),
    "a continuation of nothing": b"\x80\x00",
    "text for a protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize(
    ("transport", "broken"),
    [
        *(("tcp", data) for data in BROKEN_TCP.values()),
        *(("ws", data) for data in BROKEN_WS.values()),
    ],
    ids=[*BROKEN_TCP, *BROKEN_WS],
)
def test_a_stream_that_cannot_be_followed_is_left(run_it, reports, transport, broken):
    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport, limit_bytes=1 << 20) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            server.peer.push(trades(at(1, "1")))
            server.peer.writer.write(broken + b"\x00" * 50)
            server.peer.push(trades(at(2, "2")))
            await watcher.until_events("resubscribed", 1)
            assert watcher.prices() == [1]
            assert sum(feed.stats()["rejected"].values()) == 1
            server.peer.push(trades(at(3, "3")))
            await watcher.until_ticks(2)
            assert watcher.prices() == [1, 3]

    run_it(main())


def test_every_byte_may_be_the_last(run_it, reports, transport):
    """Cut anywhere, the connection ends cleanly, and what was complete has arrived."""
    packets = trades(at(1, "1")) + quote(last_done="2") + trades(at(2, "2"), verify=VERIFY)

    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            for n in range(0, len(packets), 9):
                if transport == "ws":
                    server.peer.send(packets, 2)
                    data = b""
                else:
                    data = packets[:n]
                server.peer.writer.write(data)
                await server.peer.writer.drain()
                server.peer.writer.close()
                await watcher.until_events("resubscribed", n // 9 + 1)
            assert set(watcher.prices()) <= {1.0, 2.0}
            assert feed.stats()["rejected"] == {}

    run_it(main())


# answers


ANSWERS = {
    "an unknown status": ({"status": 200, "body": b""}, ff.RequestError, "200"),
    "an error that is no protobuf": ({"status": 7, "body": b"\xff" * 9}, ff.RequestError, "server error (status 7)"),
    "an empty error": ({"status": 7, "body": b""}, ff.RequestError, "server error (status 7)"),
    "an error with a huge code": (
        {"status": 3, "body": body("Error", code=2**64 - 1, msg="x" * 100_000)}, ff.RequestError,
        "code 18446744073709551615",
    ),
    "no protobuf": ({"body": b"\xff" * 9}, ff.RemoteProtocolError, "17"),
    "another security": (
        {"body": body("SecurityTradeResponse", symbol="TSLA.US", trades=[at(0)])}, ff.RemoteProtocolError, "TSLA.US"
    ),
    "another command's body": (
        {"command": 11, "body": body("SecurityQuoteResponse", secu_quote=[{"symbol": "TSLA.US", "last_done": "1"}])},
        ff.RemoteProtocolError, "17",
    ),
    "a bomb": ({"body": bytes(1 << 24), "compress": True}, ff.RemoteProtocolError, "gzip"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_that_are_none(run_it, reports, transport, case):
    how, error, text = ANSWERS[case]

    async def on_request(peer, packet):
        if packet.command == Command.TRADES:
            if how.get("compress"):
                zip_of = gzip.compress(how["body"], mtime=0)
                peer.push(b"\x22" + pack_response(17, packet.id, 0, zip_of)[1:])
            else:
                peer.reply(packet, **how)
        else:
            await server.answer(peer, packet)

    async def main():
        listen(reports)
        async with server, server.feed(transport, limit_bytes=1 << 20) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            with pytest.raises(error) as caught:
                await feed.get_ticks(AAPL, 10)
            assert text in str(caught.value)
            assert len(str(caught.value)) < 2000
            server.peer.push(trades())
            await watcher.until_ticks(1)
            assert feed.stats()["connections"] == 1

    server = Gateway(on_request)
    run_it(main())


@pytest.mark.parametrize("what", ["no protobuf", "an error", "nonsense", "empty", "silence"])
def test_a_profile_that_says_nothing(run, reports, what):
    async def on_request(peer, packet):
        if packet.command != Command.PROFILE:
            await server.answer(peer, packet)
        elif what == "an error":
            peer.refuse(packet, 7, 301602)
        elif what == "silence":
            pass
        elif what == "nonsense":
            limits = [{"command": 300, "limit": -1}, {"command": 6, "limit": -3, "burst": -7}]
            peer.reply(packet, {"subscribe_limit": 0, "rate_limit": limits})
        else:
            peer.reply(packet, body=b"" if what == "empty" else b"\xff" * 10)

    async def main():
        listen(reports)
        async with server:
            feed = server.feed(request_timeout_s=0.3 if what == "silence" else 12.0)
            watcher = Watcher(feed)
            async with feed:
                await feed.subscribe(AAPL, "ticks")
                assert len(watcher.of("error")) == (what not in ("nonsense", "empty"))
                assert "connected" in [event.kind for event in watcher.events]

    server = Gateway(on_request)
    run(main())


@pytest.mark.parametrize("what", ["no protobuf", "others", "twice", "empty"])
def test_answers_to_a_subscription(run, reports, what):
    async def on_request(peer, packet):
        if packet.command != Command.SUBSCRIBE:
            await server.answer(peer, packet)
        elif what == "others":
            peer.reply(packet, {"sub_list": [{"symbol": "TSLA.US", "sub_type": [4]}]})
        elif what == "twice":
            await server.answer(peer, packet)
            await server.answer(peer, packet)
        else:
            peer.reply(packet, body=b"" if what == "empty" else b"\xff" * 10)

    async def main():
        listen(reports)
        async with server, server.feed() as feed:
            if what == "no protobuf":
                with pytest.raises(ff.RemoteProtocolError):
                    await feed.subscribe(AAPL, "ticks")
            elif what == "others":
                with pytest.raises(ff.SubscriptionError) as caught:
                    await feed.subscribe([AAPL, "700.HK"], "ticks")
                assert caught.value.symbols == (AAPL, "700.HK")
            else:
                await feed.subscribe(AAPL, "ticks")
                assert feed.subscribed("ticks") == (AAPL,)
            await feed.unsubscribe(AAPL)  # what may have been granted is given up
            gone = server.peer.of(Command.UNSUBSCRIBE)
            assert len(gone) == (what in ("no protobuf", "twice", "empty"))

    server = Gateway(on_request)
    run(main())


# the beginning


async def hang(peer):
    await peer.reader.read()
    raise ConnectionError


async def refuse_upgrade(peer):
    peer.writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    raise ConnectionError


async def trickle(peer):
    peer.writer.write(b"HTTP/1.1 101 ")
    with_time = 200
    for _ in range(with_time):
        peer.writer.write(b"x")
        await asyncio.sleep(0.02)
    raise ConnectionError


async def endless_head(peer):
    peer.writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
    for i in range(10_000):
        peer.writer.write(f"X-{i}: {'y' * 100}\r\n".encode())
        await peer.writer.drain()
    await hang(peer)


async def close_before_auth(peer):
    await peer.shake_hands()
    peer.close_push(3, "before auth")
    await hang(peer)


async def garbage_before_auth(peer):
    await peer.shake_hands()
    peer.writer.write(b"\x07" * 100)
    await hang(peer)


BEGINNINGS = {
    "hang": (hang, ff.RequestTimeout, ""),
    "refuse": (refuse_upgrade, ff.AuthError, "403"),
    "trickle": (trickle, ff.RequestTimeout, ""),
    "endless": (endless_head, ff.RemoteProtocolError, ""),
    "close": (close_before_auth, ff.ConnectError, "before auth"),
    "garbage": (garbage_before_auth, ff.RemoteProtocolError, ""),
    "gone": (Peer.abort, ff.ConnectError, ""),
}


@pytest.mark.parametrize(
    ("transport", "how"),
    [
        *(("ws", how) for how in BEGINNINGS),
        *(("tcp", how) for how in ("hang", "close", "garbage")),
    ],
)
def test_beginnings_that_lead_nowhere(run_it, reports, transport, how):
    on_connect, error, text = BEGINNINGS[how]

    async def main():
        listen(reports)

        async def begin(peer):
            if how == "gone":
                peer.abort()
                raise ConnectionError
            await on_connect(peer)

        async with Gateway(on_connect=begin) as server:
            feed = server.feed(transport, connect_timeout_s=0.3)
            with pytest.raises(error) as caught:
                await feed.open()
            shown = f"{caught.value!r} {caught.value} {feed!r} {feed.stats()}"
            assert text in shown
            assert not any(secret in shown for secret in SECRETS)
            assert not feed.connected

    run_it(main())


AUTH = {
    "refused": (lambda p, r: p.refuse(r, 5, 401003), ff.AuthError, 401003),
    "too many": (lambda p, r: p.refuse(r, 6, 403, "connections limitation is hit"), ff.AuthError, 403),
    "too fast": (lambda p, r: p.refuse(r, 3, 301606), ff.RateLimitError, 301606),
    "broken": (lambda p, r: p.refuse(r, 7, 301602), ff.RequestError, 301602),
    "no error body": (lambda p, r: p.reply(r, status=5, body=b"\xff\xff"), ff.AuthError, 5),
    "no protobuf": (lambda p, r: p.reply(r, body=b"\xff\xff"), ff.RemoteProtocolError, None),
    "the password again": (
        lambda p, r: p.refuse(r, 5, 401003, f"wrong: {r.message.token}"), ff.AuthError, 401003
    ),
    "silence": (lambda p, r: None, ff.RequestTimeout, None),
}  # fmt: skip


@pytest.mark.parametrize("how", AUTH)
def test_answers_to_auth(run_it, reports, transport, how, caplog):
    reply, error, code = AUTH[how]

    async def on_request(peer, packet):
        reply(peer, packet)

    async def main():
        listen(reports)
        async with Gateway(on_request) as server:
            feed = server.feed(transport, connect_timeout_s=0.3)
            with pytest.raises(error) as caught:
                await feed.open()
            assert type(caught.value) is error
            assert caught.value.code == code
            shown = f"{caught.value!r} {caught.value} {caught.value.text} {feed!r} {caplog.text}"
            assert not any(secret in shown for secret in SECRETS)

    caplog.set_level("DEBUG")
    run_it(main())


def test_an_empty_answer_to_auth_is_one(run_it, reports, transport):
    """No session to go on with: the next connection needs another password."""

    async def on_request(peer, packet):
        if packet.command == Command.AUTH:
            peer.reply(packet, body=b"")
            peer.reply(packet, body=b"")
        else:
            await server.answer(peer, packet)

    async def main():
        listen(reports)
        async with server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            assert feed.stats()["unmatched_replies"] == 1
            server.peer.abort()
            await watcher.until_events("resubscribed", 1)
            assert len(server.heads) == 2

    server = Gateway(on_request)
    run_it(main())


# silence and requests of the server


def test_heartbeats_of_the_server_are_answered(run_it, reports, transport):
    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport):
            server.peer.push(
                pack_request(1, 0, 0, b""), pack_request(1, 4_294_967_295, 9, b"\x00any")
            )
            await until(lambda: len(server.peer.responses) == 2)
            first, second = server.peer.responses
            assert (first.kind, first.command, first.id, first.body) == (2, 1, 0, b"")
            assert (second.id, second.body) == (4_294_967_295, b"\x00any")

    run_it(main())


@pytest.mark.parametrize("stays_alive", [True, False])
def test_a_silent_server_is_left(run_it, reports, monkeypatch, transport, stays_alive):
    session = functools.partial(feeds.LongportSession, heartbeat_s=0.05)
    monkeypatch.setattr(feeds, "LongportSession", session)

    async def on_request(peer, packet):
        if packet.command != Command.HEARTBEAT or len(server.peers) > 1:
            await server.answer(peer, packet)

    async def on_connect(peer):
        peer.answers_pings = len(server.peers) > 1
        await peer.shake_hands()

    async def main():
        listen(reports)
        async with server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            while stays_alive and not watcher.of("disconnected"):  # other bytes are no answer
                server.peers[0].push(trades())
                await asyncio.sleep(0.02)
            await watcher.until_events("resubscribed", 1)
            assert "heartbeats" in watcher.of("disconnected")[0].text
            await asyncio.sleep(0.3)
            assert feed.stats()["connections"] == 2  # the second one answers

    server = Gateway(on_request, on_connect)
    run_it(main())


def test_a_trickle_makes_rows_and_no_busy_loop(run_it, reports, transport):
    packets = [trades(at(i, str(i))) for i in range(1, 6)]

    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            stream = []
            peer = server.peer
            writer, peer.writer = peer.writer, type("Kept", (), {"write": stream.append})
            peer.push(*packets)
            peer.writer = writer
            for byte in b"".join(stream):
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
            await watcher.until_ticks(5)
            assert watcher.prices() == [1, 2, 3, 4, 5]
            used = time.process_time()
            await asyncio.sleep(0.3)
            assert time.process_time() - used < 0.2

    run_it(main())


@pytest.mark.parametrize("seed", range(4))
def test_random_streams(run_it, reports, transport, seed):
    """Good packets between damaged ones: the feed stays, and only whole rows come."""
    chance = random.Random(seed)
    good = [trades(at(1, "1")), quote(last_done="2"), depth(), brokers((1,), (2,), AAPL)]
    good += [pack_response(17, 3, 0, b""), pack_request(1, 1, 1, b"x"), trades(compress=True)]

    def damaged():
        packet = bytearray(chance.choice(good))
        for _ in range(chance.randrange(4)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        return bytes(packet[: chance.choice([len(packet), chance.randrange(len(packet) + 1)])])

    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks", "quotes", "books", "brokers")
            for _ in range(40):
                await until(lambda: feed.connected and feed._granted)
                peer = server.peer
                for _ in range(20):
                    if transport == "ws":
                        peer.send(damaged(), 2)
                    else:
                        peer.writer.write(damaged())
                peer.push(trades(at(2, "3")))
                await asyncio.sleep(0.002)
            server.peer.abort()
            before = len(watcher.of("resubscribed"))
            await until(lambda: len(watcher.of("resubscribed")) > before)
            count_before = len(watcher.ticks)
            server.peer.push(trades(at(9, "9")))
            await watcher.until_ticks(count_before + 1)
            assert not any("cannot go on" in event.text for event in watcher.events)

    run_it(main())
