"""The AllTick feed against a WebSocket server of the test and the simulator: subscriptions, tokens, TLS, limits."""

import asyncio
import json
import logging
import ssl
import traceback

import pytest
from alltick_feeds import (
    BOOKS,
    CANCEL,
    HEARTBEAT,
    TICKS,
    TOKEN,
    Server,
    Watcher,
    book,
    frame,
    quick_feed,
    tick,
)
from certificates import make_certificate, server_tls
from feeds import quick, until

import fastfeed as ff
from fastfeed.sim import AllTickFaults, AllTickKnobs, AllTickSimulator, OpenDSimulator


def simulator(**options):
    options = {"market": "crypto", "rate": 500, "token": TOKEN, "rate_limits": False} | options
    return AllTickSimulator(**options)


def lists(server, number=TICKS):
    return [
        [item["code"] for item in request["data"]["symbol_list"]]
        for request in server.requests
        if request["cmd_id"] == number
    ]


# subscribing


def test_ticks_and_books_arrive(run):
    async def main():
        async with simulator() as sim, quick_feed(sim.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(["BTCUSDT", "GOLD", "Silver"], "ticks", "books")
            assert feed.subscribed("ticks") == ("BTCUSDT", "GOLD", "Silver")
            await until(lambda: len(watcher.ticks) > 50 and len(watcher.books) > 20)
            assert set(feed.symbols) == {"BTCUSDT", "GOLD", "Silver"}
            assert {int(row["side"]) for row in watcher.ticks if row["symbol"]} == {0}
            assert {int(row["side"]) for row in watcher.ticks} >= {1, -1}
            stats = feed.stats()
            assert (stats["connected"], stats["connections"]) == (True, 1)
            assert stats["subscribed"] == {"ticks": 3, "books": 3}
            assert stats["rejected"] == {}
            assert stats["returned"] == {200: 2}

    run(main())


def test_adding_and_removing_send_whole_lists(run):
    async def main():
        async with Server() as server, quick_feed(server.url) as feed:
            await feed.subscribe("A", "ticks")
            await feed.subscribe(["B", "a"], "ticks")  # case-sensitive
            await feed.subscribe("B", "ticks")
            await feed.unsubscribe("A")
            await feed.subscribe("B", "books")
            await feed.unsubscribe("nothing")
            assert lists(server) == [["A"], ["A", "B", "a"], ["B", "a"]]
            assert lists(server, BOOKS) == [["B"]]
            levels = [r["data"]["symbol_list"][0] for r in server.requests if r["cmd_id"] == BOOKS]
            assert levels == [{"code": "B", "depth_level": 10}]
            await feed.unsubscribe(["B", "a"])
            assert [r["data"] for r in server.requests if r["cmd_id"] == CANCEL] == [
                {"cancel_type": 2},
                {"cancel_type": 1},
            ]
            assert (feed.subscribed("ticks"), feed.subscribed("books")) == ((), ())

    run(main())


def test_a_thousand_calls_make_few_requests(run):
    async def main():
        async with Server() as server, quick_feed(server.url, plan="professional") as feed:
            names = [f"C{i}" for i in range(1000)]
            await asyncio.gather(*(feed.subscribe(name, "ticks") for name in names))
            assert len(server.requests) <= 10
            assert server.peer.codes() == names
            before = len(server.requests)
            await asyncio.gather(
                *(feed.unsubscribe(name) for name in names[::2]),
                *(feed.subscribe(f"D{i}", "ticks", "books") for i in range(100)),
            )
            assert len(server.requests) - before <= 20
            assert server.peer.codes() == names[1::2] + [f"D{i}" for i in range(100)]
            assert sorted(feed.subscribed("ticks")) == sorted(server.peer.codes())
            assert len(server.peers) == 1

    run(main())


def test_a_storm_of_both_ends_as_the_last_calls_say(run):
    async def main():
        async with Server() as server, quick_feed(server.url) as feed:
            names = [f"C{i}" for i in range(20)]
            calls = []
            for turn in range(50):
                for i, name in enumerate(names):
                    on = (turn + i) % 2 == 0
                    calls.append(
                        feed.subscribe(name, "ticks") if on else feed.unsubscribe(name, "ticks")
                    )
            await asyncio.gather(*calls)
            wanted = [name for i, name in enumerate(names) if (49 + i) % 2 == 0]
            assert sorted(feed.subscribed("ticks")) == sorted(wanted)
            assert sorted(server.peer.codes()) == sorted(wanted)
            assert sorted(feed._places["ticks"]) == sorted(wanted)
            assert len(server.requests) < 30

    run(main())


@pytest.mark.parametrize("late", [False, True])
def test_giving_up_while_the_subscription_is_under_way(run, late):
    async def main():
        answer = asyncio.Event()

        async def on_request(peer, request):
            await answer.wait()
            peer.reply(request)

        async with Server(on_request) as server, quick_feed(server.url) as feed:
            subscribing = asyncio.create_task(feed.subscribe(["A", "B"], "ticks"))
            if late:
                await until(lambda: server.requests)
            else:
                await asyncio.sleep(0)
            giving_up = asyncio.create_task(feed.unsubscribe("A"))
            await asyncio.sleep(0.01)
            answer.set()
            await asyncio.gather(subscribing, giving_up)
            assert feed.subscribed("ticks") == ("B",)
            assert server.peer.codes() == ["B"]
            assert not feed._granted - {("B", "ticks")}

    run(main())


def test_refused_symbols_are_named_and_the_others_stay(run):
    async def main():
        async with simulator() as sim, quick_feed(sim.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("BTCUSDT", "ticks")
            with pytest.raises(ff.SubscriptionError, match="unknown code") as refused:
                await feed.subscribe(["ETHUSDT", "NOSUCH", "btcusdt", "GOLD"], "ticks", "books")
            assert set(refused.value.symbols) == {"NOSUCH", "btcusdt"}
            assert refused.value.code == 600
            assert set(feed.subscribed("ticks")) == {"BTCUSDT", "ETHUSDT", "GOLD"}
            assert set(feed.subscribed("books")) == {"ETHUSDT", "GOLD"}
            assert set(feed._places["ticks"]) == {"BTCUSDT", "ETHUSDT", "GOLD"}
            for name in feed.subscribed("ticks"):
                await until(lambda name=name: watcher.prices(name))
            assert len(sim._clients) == 1

    run(main())


def test_a_former_list_that_did_not_survive_a_refusal_is_asked_for_again(run):
    async def main():
        knobs = AllTickKnobs(refused_set="cleared")
        async with simulator(knobs=knobs) as sim, quick_feed(sim.url) as feed:
            await feed.subscribe("BTCUSDT", "ticks")
            with pytest.raises(ff.SubscriptionError):
                await feed.subscribe("NOSUCH", "ticks")
            before = feed.ticks.count
            await until(lambda: feed.ticks.count > before + 20)

    run(main())


@pytest.mark.parametrize("mode", ["next", "zero"])
def test_refusals_without_a_number(run, mode):
    async def main():
        knobs = AllTickKnobs(error_cmd_id=mode, error_data="absent")
        async with simulator(knobs=knobs) as sim, quick_feed(sim.url) as feed:
            with pytest.raises(ff.SubscriptionError) as refused:
                await feed.subscribe(["NOSUCH", "GOLD"], "ticks")
            assert refused.value.symbols == ("NOSUCH",)

    run(main())


@pytest.mark.parametrize("kind", ["ticks", "books"])
def test_a_push_is_as_good_as_an_answer(run, kind):
    async def on_request(peer, request):
        peer.send(tick() if kind == "ticks" else book())

    async def main():
        async with Server(on_request) as server:
            async with quick_feed(server.url, times={"ack": 0.1}) as feed:
                await feed.subscribe("BTCUSDT", kind)
                assert feed.subscribed(kind) == ("BTCUSDT",)
                assert len(server.requests) == 1
                # With ticks of another symbol already, a push proves nothing.
                with pytest.raises(ff.RequestTimeout):
                    await feed.subscribe("ETHUSDT", kind)
                assert len(server.peers[0].requests) == 3
                await until(lambda: len(server.peers) == 2 and server.peer.requests)

    run(main())


def test_a_push_of_the_other_kind_is_no_answer(run):
    async def on_request(peer, request):
        peer.send(tick())
        if request["cmd_id"] == TICKS:
            peer.reply(request)

    async def main():
        async with Server(on_request) as server:
            async with quick_feed(server.url, times={"ack": 0.05}) as feed:
                await feed.subscribe("BTCUSDT", "ticks")
                with pytest.raises(ff.RequestTimeout):
                    await feed.subscribe("BTCUSDT", "books")

    run(main())


def test_no_answer_is_asked_for_once_more(run):
    async def on_request(peer, request):
        if len(peer.requests) % 2 == 0:
            peer.reply(request)

    async def main():
        async with Server(on_request) as server:
            async with quick_feed(server.url, times={"ack": 0.05}) as feed:
                await feed.subscribe(["A", "B"], "ticks")
                assert lists(server) == [["A", "B"]] * 2
                assert len(server.peers) == 1

    run(main())


@pytest.mark.parametrize("ret", [429, 605])
def test_requests_that_came_too_fast_are_made_again(run, ret):
    async def on_request(peer, request):
        peer.reply(request, 200 if len(peer.requests) % 3 == 0 else ret, "slower")

    async def main():
        async with Server(on_request) as server, quick_feed(server.url) as feed:
            await feed.subscribe("A", "ticks")
            assert len(server.requests) == 3
            assert len(server.peers) == 1

    run(main())


# what cannot be


def test_arguments(run):
    async def main():
        async with Server() as server, quick_feed(server.url) as feed:
            for symbols in ("", "A" * 17, "BTC USDT", "BTCÜSDT", "A\0"):
                with pytest.raises(ValueError):
                    await feed.subscribe(symbols, "ticks")
            for kinds in ((), ("quotes",), ("ticks", "bars:1m")):
                with pytest.raises(ValueError):
                    await feed.subscribe("A", *kinds)
            with pytest.raises(TypeError):
                await feed.subscribe(b"A", "ticks")
            await feed.subscribe([], "ticks")
            assert server.requests == []

    run(main())


def test_constructing(monkeypatch):
    monkeypatch.delenv("ALLTICK_TOKEN", raising=False)
    with pytest.raises(ff.ConfigError, match="ALLTICK_TOKEN"):
        ff.connect("alltick://crypto")
    monkeypatch.setenv("ALLTICK_TOKEN", TOKEN)
    for market, path in (("stock", "/quote-stock-b-ws-api"), ("crypto", "/quote-b-ws-api")):
        feed = ff.connect(f"alltick://{market}?plan=free")
        assert isinstance(feed, ff.AllTick)
        assert (feed.market, feed.url) == (market, f"alltick://{market}")
        assert (feed._address.host, feed._address.port) == ("quote.alltick.co", 443)
        assert (feed._address.path, feed._address.tls) == (path, True)
        assert TOKEN not in repr(feed)
    bad = [
        "alltick://forex", "alltick://", "alltick://crypto:443", "alltick://crypto/x",
        "alltick://u:p@crypto", "alltick://crypto?plan=gold", "alltick://crypto?nothing=1",
        "alltick://crypto?url=http://h", f"alltick://crypto?url=ws://h/?token={TOKEN}",
        f"alltick://crypto?url=ws://{TOKEN}@h/", "alltick://crypto?connect_timeout_s=0",
        f"alltick://forex?token={TOKEN}", f"alltick://crypto?url=ws://{'a' * 64}",
    ]  # fmt: skip
    for url in bad:
        with pytest.raises(ff.ConfigError) as refused:
            ff.connect(url)
        assert TOKEN not in str(refused.value), url
    for url in ("http://h/", "ws://", "ws://h:99999/", "ws://h h/", "ws://h/a b", "ws://h/é", 5):
        with pytest.raises(ff.ConfigError):
            ff.AllTick(token=TOKEN, url=url)
    with pytest.raises(TypeError) as wrong:
        ff.AllTick(token=TOKEN.encode())
    assert TOKEN not in str(wrong.value)
    for options in ({"market": "forex"}, {"plan": "gold"}, {"request_timeout_s": -1}):
        with pytest.raises(ValueError):
            ff.AllTick(token=TOKEN, **options)
    monkeypatch.setenv("ALLTICK_TOKEN", " \n")
    with pytest.raises(ff.ConfigError, match="ALLTICK_TOKEN"):
        ff.AllTick()


# tokens


def refusing(status, body, *, length=None, wait=False):
    async def on_connect(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        size = len(body) if length is None else length
        head = f"HTTP/1.1 {status} No\r\nContent-Length: {size}\r\n\r\n"
        peer.writer.write(head.encode() + body.encode())
        if wait:
            await peer.reader.read()
        else:
            peer.writer.close()

    return Server(on_connect=on_connect)


ECHO = f'{{"msg":"token {TOKEN} is required","ret":401}}'


@pytest.mark.parametrize(
    ("status", "kind"), [(401, ff.AuthError), (403, ff.AuthError), (429, ff.RateLimitError)]
)
@pytest.mark.parametrize("end", ["whole", "eof", "timeout"])
def test_a_refused_upgrade(run, caplog, status, kind, end):
    caplog.set_level(logging.DEBUG)

    async def main():
        server = refusing(
            status, ECHO, length=None if end == "whole" else 999, wait=end == "timeout"
        )
        async with server:
            feed = quick_feed(server.url, connect_timeout_s=0.2 if end == "timeout" else 5.0)
            with pytest.raises(kind) as refused:
                await feed.open()
            assert refused.value.code == status
            assert "is required" in refused.value.text
            text = "".join(traceback.format_exception(refused.value))
            assert TOKEN not in text + repr(vars(refused.value)) + repr(feed) + caplog.text
            assert server.peers[0].target == ""
            assert len(server.peers) == 1

    run(main())


def test_a_token_is_percent_encoded_and_shown_nowhere(run, caplog):
    caplog.set_level(logging.DEBUG)
    token = "a b/c?d&e=f%é"
    shown = []

    async def on_request(peer, request):
        peer.reply(request, 600 if len(peer.requests) < 3 else 401, f"not for {token}")

    async def main():
        async with Server(on_request) as server:
            async with quick_feed(server.url, token=token) as feed:
                feed.on_event(lambda event: shown.append(repr(event)))
                for _ in range(2):
                    with pytest.raises(ff.FastfeedError) as refused:
                        await feed.subscribe(["A"], "ticks")
                    shown.append("".join(traceback.format_exception(refused.value)))
                with pytest.raises(ff.AuthError) as refused:
                    await feed.subscribe(["B"], "ticks")
                shown.append("".join(traceback.format_exception(refused.value)))
                await until(lambda: not feed.connected)
                assert server.peers[0].target.endswith("?token=a%20b%2Fc%3Fd%26e%3Df%25%C3%A9")
                shown.extend([repr(feed), str(feed.stats())])

    run(main())
    everything = "".join(shown) + caplog.text
    assert "not for ***" in everything
    assert token not in everything
    assert "a%20b" not in everything


def test_a_token_with_blanks_around_it(run, monkeypatch):
    monkeypatch.setenv("ALLTICK_TOKEN", f"{TOKEN}\n")

    async def main():
        async with Server() as server, quick_feed(server.url, token=None):
            assert server.peer.target.endswith(f"?token={TOKEN}")

    run(main())


def test_a_token_refused_later_is_tried_again_after_a_long_pause(run):
    async def on_request(peer, request):
        peer.reply(request, 401, "token expired")

    async def main():
        async with Server(on_request) as server:
            async with quick_feed(server.url, times={"refused_token": 60.0}) as feed:
                watcher = Watcher(feed)
                with pytest.raises(ff.AuthError, match="expired"):
                    await feed.subscribe("A", "ticks")
                await watcher.until_events("disconnected", 1)
                assert "expired" in watcher.of("disconnected")[0].text
                await asyncio.sleep(0.3)
                assert len(server.peers) == 1

    run(main())


@pytest.mark.parametrize(
    ("status", "name"), [(401, "refused_token"), (429, "too_many_connections")]
)
def test_a_reconnect_that_is_refused_pauses_long(run, status, name):
    async def main():
        server = Server()

        async def on_connect(peer):
            if len(server.peers) == 1:
                await peer.shake_hands()
            else:
                await peer.reader.readuntil(b"\r\n\r\n")
                peer.writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
                raise ConnectionError

        server.on_connect = on_connect
        async with server, quick_feed(server.url, times={name: 60.0}) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("A", "ticks")
            server.peer.writer.transport.abort()
            await watcher.until_events("connect_failed", 1)
            assert watcher.of("connect_failed")[0].code == status
            await asyncio.sleep(0.3)
            assert len(server.peers) == 2
            assert feed.subscribed("ticks") == ("A",)

    run(main())


def test_a_connection_closed_for_its_pace_pauses_and_comes_back(run):
    async def on_request(peer, request):
        if len(server.peers) == 1:
            peer.reply(request, 606, "too many requests and connection will be closed")
            peer.writer.close()
        else:
            peer.reply(request)

    async def main():
        async with server, quick_feed(server.url, times={"will_close": 0.25}) as feed:
            watcher = Watcher(feed)
            with pytest.raises(ff.RequestError) as refused:
                await feed.subscribe("A", "ticks")
            assert refused.value.code == 606
            await watcher.until_events("connected", 1)
            down, up = watcher.of("disconnected")[0], watcher.of("connected")[0]
            assert up.time_ns - down.time_ns >= 0.25e9
            await feed.subscribe("A", "ticks")
            assert feed.stats()["returned"] == {606: 1, 200: 1}

    server = Server(on_request)
    run(main())


# heartbeats, silence


def test_heartbeats_go_out_also_while_busy(run):
    async def main():
        times = {"heartbeat": 0.1, "own_gap": 0.02}
        async with Server() as server, quick_feed(server.url, times=times) as feed:
            for i in range(30):
                await feed.subscribe(f"C{i}", "ticks")
            beats = [r for r in server.peer.requests if r["cmd_id"] == HEARTBEAT]
            assert len(beats) >= 4
            assert beats[0]["data"] == {}
            ids = [r["seq_id"] for r in server.peer.requests]
            assert ids == list(range(1, len(ids) + 1))
            assert len({r["trace"] for r in server.peer.requests}) == len(ids)

    run(main())


@pytest.mark.parametrize("silent", [True, False], ids=["silence", "heartbeats"])
def test_a_dead_server_is_given_up(run, silent):
    async def on_request(peer, request):
        if request["cmd_id"] != HEARTBEAT:
            peer.reply(request)

    async def main():
        times = {"heartbeat": 5.0, "silence": 0.2} if silent else {"heartbeat": 0.05}
        async with Server(on_request) as server, quick_feed(server.url, times=times) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("A", "ticks")
            while not watcher.of("disconnected"):
                if not silent:
                    server.peer.send(tick())
                await asyncio.sleep(0.01)
            text = "sent nothing" if silent else "2 heartbeats"
            assert text in watcher.of("disconnected")[0].text
            await watcher.until_events("resubscribed", 1)

    run(main())


def test_a_server_that_stops_reading(run):
    """What is written piles up in the transport, heartbeats stay unanswered."""

    async def on_connect(peer):
        await peer.shake_hands()
        if len(server.peers) == 1:
            peer.writer.transport.pause_reading()
            while not peer.writer.transport.is_closing():
                peer.send(b"", 10)
                await asyncio.sleep(0.01)

    async def main():
        async with server, quick_feed(server.url, times={"heartbeat": 0.05, "ack": 60}) as feed:
            watcher = Watcher(feed)
            with pytest.raises(ff.ConnectError, match="heartbeats"):
                await feed.subscribe([f"C{i}" for i in range(100)], "ticks")
            await watcher.until_events("connected", 1)
            await feed.subscribe("A", "ticks")

    server = Server(on_connect=on_connect)
    run(main())


def test_a_server_that_asks_and_does_not_read(run, monkeypatch):
    """Each ping wants a pong: what cannot be sent must not pile up for ever."""
    monkeypatch.setattr("fastfeed.feeds.transport._MOST_UNSENT_BYTES", 1 << 16)

    async def on_connect(peer):
        await peer.shake_hands()
        if len(server.peers) == 1:
            peer.writer.transport.pause_reading()
            pings = frame(b"x" * 125, 9) * 1000
            while not peer.writer.transport.is_closing():
                peer.writer.write(pings)
                await peer.writer.drain()
                await asyncio.sleep(0)

    async def main():
        async with server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await watcher.until_events("connected", 1)
            assert "does not read" in watcher.of("disconnected")[0].text
            await feed.subscribe("A", "ticks")

    server = Server(on_connect=on_connect)
    run(main())


# half a handshake


@pytest.mark.parametrize("how", ["nothing", "half", "key", "protocol", "closed", "reset", "flood"])
def test_a_handshake_that_fails(run, how):
    async def on_connect(peer):
        if how in ("nothing", "half"):
            await peer.reader.readuntil(b"\r\n\r\n")
            peer.writer.write(b"HTTP/1.1 101 Switching Pro" if how == "half" else b"")
            await peer.reader.read()
        elif how == "key":
            await peer.shake_hands("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            await peer.reader.read()
        elif how == "protocol":
            peer.writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            await peer.reader.read()
        elif how == "reset":
            peer.writer.transport.abort()
        elif how == "flood":
            peer.writer.write(b"HTTP/1.1 101 X\r\n" + b"X: y\r\n" * 10000)
        peer.writer.close()

    kinds = {
        "nothing": ff.RequestTimeout, "half": ff.RequestTimeout, "closed": ff.ConnectError,
        "reset": ff.ConnectError,
    }  # fmt: skip

    async def main():
        async with Server(on_connect=on_connect) as server:
            feed = quick_feed(server.url, connect_timeout_s=0.2)
            with pytest.raises(kinds.get(how, ff.RemoteProtocolError)) as refused:
                await feed.open()
            assert TOKEN not in str(refused.value)
            assert not feed.connected
            with pytest.raises(ff.ConnectError, match="closed"):
                await feed.subscribe("A", "ticks")

    run(main())


def test_nothing_listens(run):
    async def main():
        with pytest.raises(ff.ConnectError, match="refused"):
            await quick_feed("ws://127.0.0.1:1/quote-b-ws-api").open()

    run(main())


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_a_certificate_that_nobody_vouches_for_is_refused(run, certificate):
    async def main():
        async with Server(tls=server_tls(certificate)) as server:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda *_: None)  # the server's end of it
            with pytest.raises(ff.ConnectError, match=r"CERTIFICATE|certificate") as refused:
                await quick_feed(server.url).open()
            assert TOKEN not in "".join(traceback.format_exception(refused.value))
            assert all(peer.target == "" for peer in server.peers)

    run(main())


def test_a_certificate_that_is_trusted(run, certificate):
    async def main():
        context = ssl.create_default_context(cafile=certificate)
        async with Server(tls=server_tls(certificate)) as server:
            async with quick_feed(server.url, ssl_context=context) as feed:
                watcher = Watcher(feed)
                await feed.subscribe("BTCUSDT", "ticks")
                for i in range(1, 2001):
                    server.peer.send(tick(price=str(i), seq=i))
                await until(lambda: len(watcher.ticks) == 2000)
                server.peer.send(b"\x03\xe9", 8)
                await watcher.until_events("resubscribed", 1)
                server.peer.send(tick(price="2001", seq=2001))
                await watcher.until_price(2001)
                assert server.peers[0].frames[-1] == (8, b"\x03\xe9")
                assert watcher.prices() == [float(i) for i in range(1, 2002)]

    run(main())


def test_plain_http_where_tls_is_expected(run):
    async def main():
        async with Server() as server:
            with pytest.raises(ff.ConnectError):
                await quick_feed(server.url.replace("ws:", "wss:"), connect_timeout_s=0.5).open()

    run(main())


# limits


def test_symbols_spread_over_the_connections_of_the_plan(run):
    names = [f"C{i:03}" for i in range(500)]

    async def main():
        async with Server() as server, quick_feed(server.url, plan="premium") as feed:
            watcher = Watcher(feed)
            await feed.subscribe(names, "ticks")
            assert len(server.peers) == 3
            assert [len(peer.codes()) for peer in server.peers] == [200, 200, 100]
            assert [code for peer in server.peers for code in peer.codes()] == names
            assert feed.subscribed("ticks") == tuple(names)
            for peer in server.peers:
                for code in peer.codes():
                    peer.send(tick(code, price=code[1:]))
            await until(lambda: len(watcher.ticks) == 500)
            assert sorted(watcher.prices()) == [float(i) for i in range(500)]
            with pytest.raises(ff.SubscriptionError, match="3 connections of 200") as refused:
                await feed.subscribe([f"D{i}" for i in range(150)], "ticks")
            assert refused.value.symbols == tuple(f"D{i}" for i in range(100, 150))
            assert len(feed.subscribed("ticks")) == 600
            await feed.unsubscribe(names[:100])  # there is room again
            await feed.subscribe([f"D{i}" for i in range(100, 150)], "ticks")
            assert [len(peer.codes()) for peer in server.peers] == [150, 200, 200]
            await feed.subscribe(names[:200], "books")  # which have limits of their own
            assert len(server.peers) == 3
            stats = feed.stats()
            assert stats["subscribed"] == {"ticks": 550, "books": 200}
            assert stats["connections"] == 3
            assert stats["ticks"] == 500
            await feed.unsubscribe(names)
            assert set(feed.subscribed("ticks")) == {f"D{i}" for i in range(150)}
        await until(lambda: all(peer.ended.is_set() for peer in server.peers))

    run(main())


def test_another_connection_that_is_refused_costs_only_its_symbols(run):
    async def on_connect(peer):
        if len(server.peers) == 1 or open_again:
            await peer.shake_hands()
        else:
            await peer.reader.readuntil(b"\r\n\r\n")
            peer.writer.write(b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n")
            raise ConnectionError

    async def main():
        async with server, quick_feed(server.url, plan="premium") as feed:
            names = [f"C{i}" for i in range(250)]
            with pytest.raises(ff.SubscriptionError, match="429") as refused:
                await feed.subscribe(names, "ticks")
            assert refused.value.symbols == tuple(names[200:])
            assert refused.value.code == 429
            assert feed.subscribed("ticks") == tuple(names[:200])
            assert len(server.peers) == 2
            assert len(feed._pacers) == 1
            open_again.append(True)
            await feed.subscribe(names, "ticks")
            assert feed.subscribed("ticks") == tuple(names)

    open_again = []
    server = Server(on_connect=on_connect)
    run(main())


def test_further_connections_keep_the_tokens_pace(run):
    async def main():
        async with AllTickSimulator(
            market="crypto",
            token=TOKEN,
            plan="professional",
            codes=4,
            knobs=AllTickKnobs(request_gap_s=0.1, token_gap_s=0.2, reconnect_gap_s=0.2),
        ) as sim:
            times = {"own_gap": 0.12, "others_gap": 0.22}
            feed = quick_feed(sim.url, plan="professional", times=times)
            feed.plan = type(feed.plan)(
                **{name: getattr(feed.plan, name) for name in feed.plan.__slots__} | {"codes": 4}
            )
            async with feed:
                await feed.subscribe(sim.symbols, "ticks", "books")
                await until(lambda: feed.ticks.count > 100)
                assert sim.stats()["connections"] == 3
                assert sim.stats()["refused"] == 0
                assert set(feed.subscribed("books")) == set(sim.symbols)

    run(main())


# beside others


def test_with_opend_on_one_hub(run):
    async def main():
        hub = ff.Hub(capacity=1 << 14)
        async with simulator() as sim, OpenDSimulator(symbols=3, rate=500) as other:
            async with (
                quick_feed(sim.url, hub=hub) as feed,
                ff.OpenD(port=other.port, hub=hub, **quick()) as opend,
            ):
                await asyncio.gather(
                    feed.subscribe(sim.symbols, "ticks"), opend.subscribe(other.symbols, "ticks")
                )
                await until(
                    lambda: len({int(s) for s in hub.ticks.latest(hub.ticks.count)["symbol"]}) == 13
                )
                before = opend.stats()["ticks"]
                await sim.disconnect_all()
                await until(lambda: feed.stats()["connections"] == 2)
                await until(lambda: opend.stats()["ticks"] > before + 50)
            async with simulator() as third, quick_feed(third.url, hub=hub) as feed:
                await feed.subscribe(third.symbols, "ticks")  # the hub has not ended

    run(main())


def test_from_another_loop(run):
    async def main():
        async with Server() as server, quick_feed(server.url) as feed:

            def elsewhere(call):
                async def inner():
                    await call()

                with pytest.raises(ff.LocalProtocolError, match="loop"):
                    asyncio.run(inner())

            for call in (
                lambda: feed.subscribe("A", "ticks"),
                lambda: feed.unsubscribe("A"),
                lambda: feed.get_ticks("A"),
                feed.close,
            ):
                await asyncio.to_thread(elsewhere, call)
            loop = asyncio.get_running_loop()
            await asyncio.to_thread(
                lambda: asyncio.run_coroutine_threadsafe(feed.subscribe("A", "ticks"), loop).result(
                    5
                )
            )
            assert feed.subscribed("ticks") == ("A",)

    run(main())


def test_shapes_and_faults_of_the_simulator(run):
    knobs = AllTickKnobs(
        int_mode="mixed", whitespace="spaces", extra_keys=True, key_order="random", data_array=3,
        seq_mode="counter",
    )  # fmt: skip
    faults = AllTickFaults(
        fragment=20, ping=0.02, garbage=7, unknown_cmd=5, unknown_code=3, double_reply=1
    )

    async def main():
        async with simulator(knobs=knobs, faults=faults) as sim, quick_feed(sim.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(sim.symbols, "ticks", "books")
            await until(lambda: len(watcher.ticks) > 300 and len(watcher.books) > 50)
            stats = feed.stats()
            assert stats["rejected"]["json"] > 10
            assert min(stats["unknown_codes"], stats["unknown_numbers"]) > 10
            assert stats["unmatched_replies"] >= 2
            assert stats["connections"] == 1
            assert sorted(feed.symbols) == sorted(sim.symbols)

    run(main())


@pytest.mark.parametrize("knob", ["before", "stale"])
def test_snapshots(run, knob):
    async def main():
        knobs = AllTickKnobs(initial_snapshot=knob)
        async with simulator(knobs=knobs, rate=200) as sim, quick_feed(sim.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(sim.symbols, "books")
            await until(lambda: len(watcher.books) > 20)
            await feed.subscribe(sim.symbols, "ticks")
            await until(lambda: len(watcher.ticks) > 20)
            stale = [row for row in watcher.ticks if row["flags"] & int(ff.Flags.STALE)]
            assert bool(stale) == (knob == "stale")

    run(main())


def test_replies_are_json_of_any_kind(run):
    """What is neither an answer nor a push is counted and does no harm."""

    async def on_request(peer, request):
        for text in (
            '{"ret":200}',
            '{"ret":0,"cmd_id":null}',
            '{"ret":[]}',
            "{}",
            "[]",
            '{"ret":1e9}',
        ):
            peer.send(text)
        peer.reply(request, msg="é" * 1000, trace="\ud800", data=[json.dumps({})])

    async def main():
        async with Server(on_request) as server, quick_feed(server.url) as feed:
            await feed.subscribe("A", "ticks")
            assert feed.stats()["connections"] == 1
            assert feed.stats()["unmatched_replies"] >= 3

    run(main())
