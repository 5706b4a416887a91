"""The LongPort feed against a gateway of the test and the simulator: credentials, subscriptions, pulls, limits."""

import asyncio
import json
import logging
import ssl
import time
import traceback

import numpy as np
import pytest
from certificates import make_certificate, server_tls
from feeds import listen, quick, until
from longport_gateway import KEY, SECRET, TOKEN, Gateway, Watcher, at
from longport_packets import SECOND, brokers, depth, quote, trades

import fastfeed as ff
from fastfeed.feeds import longport as feeds
from fastfeed.protocols.longport_messages import Command
from fastfeed.sim import LongPortFaults, LongPortKnobs, LongPortSimulator, OpenDSimulator

AAPL, HK = "AAPL.US", "700.HK"
CREDENTIALS = {"app_key": "KEY", "app_secret": "secret", "access_token": "TOKEN"}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """Let no credentials or addresses of the environment in."""
    for name in (
        "APP_KEY",
        "APP_SECRET",
        "ACCESS_TOKEN",
        "OAUTH_CLIENT_ID",
        "OAUTH_TOKEN",
        "HTTP_URL",
    ):
        for prefix in ("LONGPORT_", "LONGBRIDGE_"):
            monkeypatch.delenv(prefix + name, raising=False)
    monkeypatch.delenv("LONGPORT_QUOTE_WS_URL", raising=False)
    monkeypatch.delenv("LONGBRIDGE_QUOTE_WS_URL", raising=False)


def feed_of(sim, transport="ws", **options):
    url = sim.url if transport == "ws" else sim.tcp_url
    return ff.LongPort(**CREDENTIALS | quick() | {"url": url, "http_url": sim.http_url} | options)


def reply(code, text="", status=200):
    return lambda: (status, json.dumps({"code": code, "message": text}))


# connecting


def test_all_kinds_arrive(run_it, reports, transport):
    async def main():
        listen(reports)
        async with LongPortSimulator(rate=500, rate_limits=False) as sim:
            async with feed_of(sim, transport) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, *feed.kinds)
                assert feed.subscribed("brokers") == tuple(sim.symbols)
                await until(
                    lambda: min(len(watcher.ticks), len(watcher.quotes), len(watcher.books)) > 50
                )
                await until(lambda: watcher.brokers)
                assert feed.stats()["rejected"] == {}
                assert feed.stats()["subscribed"] == dict.fromkeys(
                    ("ticks", "quotes", "books", "brokers"), 10
                )
                await feed.unsubscribe(sim.symbols)
                assert sim.subscribed() == set()
                assert not any(feed.stats()["subscribed"].values())

    run_it(main())


def test_credentials_and_addresses_of_the_environment(run, monkeypatch):
    async def main():
        async with LongPortSimulator() as sim:
            monkeypatch.setenv("LONGPORT_APP_KEY", "KEY")
            monkeypatch.setenv("LONGBRIDGE_APP_SECRET", "secret")
            monkeypatch.setenv("LONGPORT_ACCESS_TOKEN", "wrong")
            monkeypatch.setenv("LONGBRIDGE_ACCESS_TOKEN", "TOKEN")  # the newer name counts
            monkeypatch.setenv("LONGPORT_HTTP_URL", sim.http_url)
            monkeypatch.setenv("LONGPORT_QUOTE_WS_URL", sim.url)
            async with ff.connect("longport://") as feed:
                await feed.subscribe(AAPL, "ticks")
                assert sim.online == 1
                assert feed.url == f"longport://?url={sim.url}"

    run(main())


def test_an_oauth_token(run_it, transport):
    async def main():
        async with Gateway() as server:
            known = {"app_key": None, "app_secret": None, "access_token": None}
            async with server.feed(
                transport, **known, oauth_client_id="client", oauth_token="us_bearer"
            ):
                [head] = server.heads
                assert "Authorization: Bearer us_bearer" in head
                assert "X-Api-Key: client" in head
                assert "X-Api-Signature" not in head
                if transport == "ws":
                    assert b"x-dc-region: us" in server.peer.head.lower()
        async with LongPortSimulator() as sim:
            known = {"oauth_client_id": "KEY", "oauth_token": "TOKEN"}
            async with ff.LongPort(**known, url=sim.url, http_url=sim.http_url) as feed:
                assert feed.connected

    run_it(main())


REFUSED = {
    "expired": (reply(401003, "token expired", 401), ff.AuthError, 401003, "expired"),
    "no token": (reply(401004, "", 401), ff.AuthError, 401004, "token"),
    "signature": (reply(403201, "signature invalid", 403), ff.AuthError, 403201, "signature"),
    "key": (reply(403203, "", 403), ff.AuthError, 403203, "app key"),
    "address": (reply(403205), ff.AuthError, 403205, "IP address"),
    "too many": (reply(429002, "slow down", 429), ff.RateLimitError, 429002, "too many requests"),
    "internal": (reply(500000), ff.RequestError, 500000, "internal"),
    "echo": (reply(401003, f"{KEY} {SECRET} {TOKEN} is wrong"), ff.AuthError, 401003, "wrong"),
    "no json": (lambda: (200, "<html>"), ff.RemoteProtocolError, None, "cannot be read"),
    "no password": (
        lambda: (200, '{"code":0,"message":"","data":{}}'), ff.RemoteProtocolError, None, "cannot be read"
    ),
    "full": (
        lambda: (200, '{"code":0,"message":"","data":{"otp":"o","limit":3,"online":3}}'),
        ff.AuthError, None, "3 of 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_credentials(run, reports, caplog, case):
    on_token, error, code, text = REFUSED[case]

    async def main():
        listen(reports)
        async with Gateway(on_token=on_token) as server:
            feed = server.feed()
            with pytest.raises(error) as caught:
                await feed.open()
            assert type(caught.value) is error
            assert caught.value.code == code
            assert text in str(caught.value)
            told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
            told += repr(feed) + str(feed.stats()) + caplog.text
            assert not any(secret in told for secret in (KEY, SECRET, TOKEN))
            assert server.peers == []
            with pytest.raises(ff.ConnectError, match="closed"):
                await feed.subscribe(AAPL, "ticks")

    caplog.set_level(logging.DEBUG)
    run(main())


def test_too_many_requests_without_a_reason_are_waited_out(run):
    async def main():
        faults = LongPortFaults(token_error="429", token_times=2)
        async with LongPortSimulator(faults=faults) as sim, feed_of(sim) as feed:
            assert feed.connected
            assert sim.stats()["http_requests"] == 3

    run(main())


def test_wrong_credentials_at_the_simulator(run):
    wrong = {"app_key": 403203, "app_secret": 403201, "access_token": 401004}

    async def main():
        async with LongPortSimulator() as sim:
            for name, code in wrong.items():
                with pytest.raises(ff.AuthError) as caught:
                    await feed_of(sim, **{name: "wrong-one"}).open()
                assert caught.value.code == code
                assert "wrong-one" not in str(caught.value)

    run(main())


def test_missing_credentials():
    with pytest.raises(ff.ConfigError, match="LONGBRIDGE_APP_SECRET or LONGPORT_APP_SECRET"):
        ff.LongPort(app_key="KEY", access_token="TOKEN")


def test_nothing_listens(run_it, transport):
    async def main():
        async with Gateway() as server:
            port = server.port
        feed = server.feed(transport)
        with pytest.raises(ff.ConnectError, match="refused"):
            await feed.open()
        # One-time passwords there are, but no gateway.
        async with Gateway() as server:
            url = f"ws://127.0.0.1:{port}/v2" if transport == "ws" else f"tcp://127.0.0.1:{port}"
            with pytest.raises(ff.ConnectError, match=f"127.0.0.1:{port}.*nothing listens"):
                await server.feed(transport, url=url).open()

    run_it(main())


def test_waiting_for_a_server(run):
    async def main():
        async with Gateway() as server:
            pass
        feed = server.feed(wait_s=10.0)
        opening = asyncio.create_task(feed.open())
        await asyncio.sleep(0.05)
        async with Gateway(port=server.port):
            await opening
            assert feed.connected
            await feed.close()

    run(main())


def test_connections_beyond_what_is_allowed(run):
    async def main():
        async with LongPortSimulator(knobs=LongPortKnobs(sessions=1)) as sim:
            async with feed_of(sim):
                with pytest.raises(ff.AuthError, match="1 of 1"):
                    await feed_of(sim).open()

    run(main())


@pytest.mark.parametrize("overnight", [None, True])
def test_overnight_is_an_option(run_it, transport, overnight):
    async def main():
        async with Gateway() as server, server.feed(transport, overnight=overnight):
            metadata = dict(server.peer.requests[0].message.metadata)
            assert metadata.get("need_over_night_quote") == ("true" if overnight else None)
            assert metadata["accept-language"] == "en"

    run_it(main())


def test_certificates_are_verified(run, tmp_path):
    path = make_certificate(tmp_path)

    async def main():
        async with Gateway(tls=server_tls(path)) as server:
            with pytest.raises(ff.ConnectError, match=r"(?i)certificate"):
                await server.feed().open()
            # The password is one thing, the gateway another.
            async with Gateway() as passwords:
                http_url = f"http://127.0.0.1:{passwords.port}"
                with pytest.raises(ff.ConnectError, match=r"(?i)certificate"):
                    await server.feed(http_url=http_url).open()
            assert (server.heads, server.peers) == ([], [])
            context = ssl.create_default_context(cafile=path)
            async with server.feed(ssl_context=context) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(AAPL, "ticks")
                server.peer.push(trades())
                await watcher.until_ticks(1)
                server.peer.abort()
                await watcher.until_events("resubscribed", 1)

    run(main())


# subscribing


def test_what_a_subscription_sends(run_it, reports, transport):
    async def main():
        listen(reports)
        async with Gateway() as server, server.feed(transport, language="zh-HK") as feed:
            await feed.subscribe(["US.AAPL", "00700.HK"], "ticks", "quotes", "books", "brokers")
            await feed.subscribe([AAPL, "HK.00700"], "ticks")  # is there already
            await feed.subscribe("TSLA.US", "books")
            first, second = [packet.message for packet in server.peer.of(Command.SUBSCRIBE)]
            assert list(first.symbol) == [AAPL, HK]
            assert sorted(first.sub_type) == [1, 2, 3, 4]
            assert first.is_first_push
            assert (list(second.symbol), list(second.sub_type)) == (["TSLA.US"], [2])
            assert dict(server.peer.requests[0].message.metadata)["accept-language"] == "zh-HK"
            await feed.unsubscribe(AAPL, "books")
            await feed.unsubscribe([AAPL, "TSLA.US", "NVDA.US"])
            gone = [packet.message for packet in server.peer.of(Command.UNSUBSCRIBE)]
            assert [(list(m.symbol), sorted(m.sub_type)) for m in gone] == [
                ([AAPL], [2]),
                ([AAPL, "TSLA.US"], [1, 2, 3, 4]),
            ]
            assert feed.subscribed("ticks") == (HK,)
            ids = [packet.id for packet in server.peer.requests]
            assert ids == list(range(1, len(ids) + 1))

    run_it(main())


def test_the_first_push_and_the_snapshot_make_a_complete_quote(run_it, transport):
    async def on_request(peer, packet):
        await server.answer(peer, packet)
        if packet.command == Command.SUBSCRIBE:
            peer.push(
                quote(AAPL, last_done="11", high="12", volume=5, timestamp=SECOND + 5, sequence=1)
            )

    async def main():
        server.quotes[AAPL] = {
            "last_done": "10", "prev_close": "9", "open": "9.5", "high": "11", "low": "8", "volume": 4,
            "timestamp": SECOND, "post_market_quote": {"last_done": "7", "timestamp": SECOND, "prev_close": "10"},
        }  # fmt: skip
        async with server, server.feed(transport) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "quotes", "ticks")
            await until(lambda: len(watcher.quotes) == 3)
            await until(lambda: feed.quotes.latest(AAPL, ff.Session.POST) is not None)
            row = feed.quotes.latest(AAPL)
            names = ("last", "prev_close", "open", "high", "low", "volume")
            assert [float(row[name]) for name in names] == [11, 9, 9.5, 12, 8, 5]
            post = feed.quotes.latest(AAPL, ff.Session.POST)
            assert (post["last"], post["prev_close"]) == (7, 10)
            assert np.isnan(watcher.quotes[0]["prev_close"])
            server.peer.push(quote(AAPL, last_done="13", timestamp=SECOND + 6, sequence=2))
            await until(lambda: len(watcher.quotes) == 4)
            last = watcher.quotes[3]
            assert [float(last[name]) for name in names] == [13, 9, 9.5, 12, 8, 5]
            assert int(last["flags"]) == 0

    server = Gateway(on_request)
    run_it(main())


def test_snapshots_that_are_refused_are_told(run):
    async def on_request(peer, packet):
        if packet.command == Command.QUOTES:
            peer.refuse(packet, 7, 301604)
        else:
            await server.answer(peer, packet)

    async def main():
        async with server, server.feed() as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "quotes")
            await watcher.until_events("error", 1)
            assert watcher.events[0].code == 301604
            server.peer.push(quote(AAPL, last_done="1"))
            await until(lambda: watcher.quotes)

    server = Gateway(on_request)
    run(main())


def test_a_new_day_is_asked_for(run, reports, monkeypatch):
    """Its close before is in no push; one request a minute is enough for all symbols."""
    monkeypatch.setattr(feeds, "_LOOK_S", 0.02)
    monkeypatch.setattr(feeds, "_NEW_DAY_PAUSE_S", 0.3)
    day_s = 86400

    async def main():
        listen(reports)
        server = Gateway()
        names = [AAPL, HK, "TSLA.US"]
        for name in names:
            server.quotes[name] = {
                "last_done": "10", "prev_close": "9", "open": "9.5", "timestamp": SECOND, "volume": 4
            }  # fmt: skip
        async with server, server.feed() as feed:
            watcher = Watcher(feed)
            await feed.subscribe(names, "quotes")
            await until(lambda: len(watcher.quotes) == 3)
            server.peer.push(quote(AAPL, last_done="10.5", timestamp=SECOND + 1))
            await asyncio.sleep(0.1)
            assert len(server.peer.of(Command.QUOTES)) == 1  # the same day
            for name in names:
                server.quotes[name] |= {
                    "prev_close": "10",
                    "timestamp": SECOND + day_s,
                    "open": "11",
                }
            server.peer.push(quote(AAPL, last_done="11", timestamp=SECOND + day_s))
            await until(lambda: len(server.peer.of(Command.QUOTES)) == 2)
            server.peer.push(quote(HK, last_done="12", timestamp=SECOND + day_s))
            server.peer.push(quote("TSLA.US", last_done="13", timestamp=SECOND + day_s))
            begun = time.monotonic()
            await until(lambda: len(server.peer.of(Command.QUOTES)) == 3)
            assert time.monotonic() - begun > 0.2
            await until(
                lambda: [float(feed.quotes.latest(n)["prev_close"]) for n in names] == [10] * 3
            )
            asked = [sorted(p.message.symbol) for p in server.peer.of(Command.QUOTES)]
            assert asked[1:] == [[AAPL], [HK, "TSLA.US"]]
            assert [float(feed.quotes.latest(n)["last"]) for n in names] == [11, 12, 13]
            await asyncio.sleep(0.4)
            assert len(server.peer.of(Command.QUOTES)) == 3

    run(main())


def test_more_symbols_than_are_allowed(run_it, transport):
    names = [f"S{i:04}.US" for i in range(503)]

    async def main():
        async with Gateway() as server, server.feed(transport) as feed:
            await feed.subscribe(names[:1], "ticks")
            with pytest.raises(ff.SubscriptionError, match=r"500 symbols.*S0500.US") as caught:
                await feed.subscribe(names, "ticks", "books")
            assert caught.value.symbols == tuple(names[500:])
            assert caught.value.code == 301605
            assert feed.subscribed("ticks") == tuple(names[:500])
            assert max(len(p.message.symbol) for p in server.peer.of(Command.SUBSCRIBE)) == 500
            await feed.subscribe(names[:500], "quotes")  # another kind of the same takes nothing
            await feed.unsubscribe(names[:3])
            await feed.subscribe(names[500:], "ticks")
            assert len(feed.subscribed("ticks")) == 500

    run_it(main())


def test_other_connections_take_room_too(run):
    """Nobody says how much: what fits is found with few requests."""

    async def on_request(peer, packet):
        if packet.command == Command.SUBSCRIBE:
            here = {s for p in accepted for s in p.symbol}
            if len(here | set(packet.message.symbol)) > 123:
                peer.refuse(packet, 7, 301605)
                return
            accepted.append(packet.message)
        await server.answer(peer, packet)

    async def main():
        names = [f"S{i:04}.US" for i in range(400)]
        async with server, server.feed() as feed:
            with pytest.raises(ff.SubscriptionError) as caught:
                await feed.subscribe(names, "ticks")
            assert caught.value.code == 301605
            granted = feed.subscribed("ticks")
            assert len(granted) == 123
            assert set(granted) | set(caught.value.symbols) == set(names)
            assert len(caught.value.symbols) == 277
            assert len(server.peer.of(Command.SUBSCRIBE)) < 30

    accepted = []
    server = Gateway(on_request)
    run(main())


def test_one_unknown_symbol_among_many(run):
    names = [f"S{i:04}.US" for i in range(300)]
    bad = {names[7], names[201]}

    async def on_request(peer, packet):
        if packet.command == Command.SUBSCRIBE and bad & set(packet.message.symbol):
            peer.refuse(packet, 7, 301600, "invalid symbol")
        else:
            await server.answer(peer, packet)

    async def main():
        async with server, server.feed() as feed:
            with pytest.raises(ff.SubscriptionError, match="invalid symbol") as caught:
                await feed.subscribe(names, "ticks")
            assert set(caught.value.symbols) == bad
            assert set(feed.subscribed("ticks")) == set(names) - bad
            assert len(server.peer.of(Command.SUBSCRIBE)) < 50

    server = Gateway(on_request)
    run(main())


def test_a_cancelled_subscription_is_given_up(run, reports):
    async def on_request(peer, packet):
        if packet.command == Command.SUBSCRIBE:
            await answer.wait()
        await server.answer(peer, packet)

    async def main():
        nonlocal answer
        answer = asyncio.Event()
        listen(reports)
        async with server, server.feed() as feed:
            task = asyncio.create_task(feed.subscribe([AAPL, HK], "ticks", "quotes"))
            await until(lambda: server.peer.of(Command.SUBSCRIBE))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            answer.set()
            assert feed.subscribed("ticks") == ()
            await feed.unsubscribe([AAPL, HK], "ticks")
            [gone] = server.peer.of(Command.UNSUBSCRIBE)
            assert list(gone.message.symbol) == [AAPL, HK]
            await feed.unsubscribe([AAPL, HK], "ticks")
            assert len(server.peer.of(Command.UNSUBSCRIBE)) == 1
            await feed.subscribe(AAPL, "ticks")
            assert feed.subscribed("ticks") == (AAPL,)

    answer = None
    server = Gateway(on_request)
    run(main())


def test_a_storm_of_both_ends_as_the_last_calls_say(run):
    async def main():
        async with Gateway() as server, server.feed() as feed:
            names = [f"S{i}.US" for i in range(10)]
            calls = []
            for turn in range(9):
                for i, name in enumerate(names):
                    on = (turn + i) % 2 == 0
                    calls.append(
                        feed.subscribe(name, "ticks") if on else feed.unsubscribe(name, "ticks")
                    )
            await asyncio.gather(*calls)
            wanted = names[::2]
            assert sorted(feed.subscribed("ticks")) == wanted
            there = set()
            for packet in server.peer.requests:
                if packet.command == Command.SUBSCRIBE:
                    there |= set(packet.message.symbol)
                if packet.command == Command.UNSUBSCRIBE:
                    there -= set(packet.message.symbol)
            assert sorted(there) == wanted

    run(main())


# several feeds


def test_several_feeds_in_one_hub(run, reports):
    async def main():
        listen(reports)
        hub = ff.Hub()
        async with Gateway() as one, Gateway() as two, OpenDSimulator(symbols=[HK]) as sim:
            first = one.feed("ws", hub=hub)
            second = two.feed("tcp", hub=hub)
            opend = ff.connect(sim.url, hub=hub)
            async with first, second, opend:
                rows = []
                hub.ticks.on_batch(lambda batch: rows.extend(batch.copy()))
                await first.subscribe([AAPL, HK], "ticks")
                await second.subscribe(["TSLA.US", AAPL], "ticks")
                await opend.subscribe(HK, "ticks")
                one.peer.push(trades(at(0, "1")), trades(at(0, "2"), symbol=HK))
                two.peer.push(trades(at(0, "3")), trades(at(0, "4"), symbol="TSLA.US"))
                await until(lambda: len(rows) > 6)
                mine = [
                    (hub.symbols[r["symbol"]], float(r["price"])) for r in rows if r["price"] < 5
                ]
                assert sorted(mine) == [(HK, 2), (AAPL, 1), (AAPL, 3), ("TSLA.US", 4)]
                # One that ends leaves the others alone.
                await first.close()
                two.peer.push(trades(at(1, "5")))
                await until(lambda: any(r["price"] == 5 for r in rows))

    run(main())


# pulls beside pushes


def test_a_pull_without_an_answer_delays_no_push(run_it, reports, transport):
    """Each push arrives before the next one is sent, while five pulls wait for their answers."""

    async def on_request(peer, packet):
        if packet.command != Command.TRADES:
            await server.answer(peer, packet)

    async def main():
        listen(reports)
        async with server, server.feed(transport, request_timeout_s=8.0) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(AAPL, "ticks")
            longest = {}
            for pulling in (False, True):
                pulls = []
                if pulling:
                    pulls = [asyncio.create_task(feed.get_ticks(AAPL, 10)) for _ in range(5)]
                    await until(lambda: len(server.peer.of(Command.TRADES)) == 5)
                delays = []
                for i in range(40):
                    count, sent_ns = len(watcher.ticks), time.time_ns()
                    server.peer.push(trades(at(i, str(i + 1))))
                    await until(lambda count=count: len(watcher.ticks) > count)
                    delays.append(int(watcher.ticks[-1]["recv_ns"]) - sent_ns)
                assert not any(pull.done() for pull in pulls)  # long before their timeout
                longest[pulling] = max(delays)
            assert longest[True] < longest[False] + 2 * 10**9
            assert watcher.prices() == [*range(1, 41)] * 2
            for pull in pulls:
                pull.cancel()
            await asyncio.gather(*pulls, return_exceptions=True)

    server = Gateway(on_request)
    run_it(main())


def test_answers_in_another_order(run_it, transport):
    waiting = []

    async def on_request(peer, packet):
        if packet.command != Command.TRADES:
            await server.answer(peer, packet)
            return
        waiting.append(packet)
        if len(waiting) == 5:  # as many as are under way at a time
            for one in reversed(waiting):
                await server.answer(peer, one)
            waiting.clear()

    async def main():
        names = [f"S{i:02}.US" for i in range(50)]
        server.trades = {name: [at(i, str(i + 1))] for i, name in enumerate(names)}
        async with server, server.feed(transport) as feed:
            found = await asyncio.gather(*(feed.get_ticks(name, 1) for name in names))
            for i, rows in enumerate(found):
                assert rows["price"].tolist() == [i + 1]
                assert feed.symbols[rows["symbol"][0]] == names[i]
            assert feed.stats()["unmatched_replies"] == 0

    server = Gateway(on_request)
    run_it(main())


def test_pulls_under_way_fail_when_the_connection_is_lost(run_it, reports, transport):
    async def on_request(peer, packet):
        if packet.command != Command.TRADES:
            await server.answer(peer, packet)

    async def main():
        listen(reports)
        async with server, server.feed(transport) as feed:
            pulls = [asyncio.create_task(feed.get_ticks(AAPL, 1)) for _ in range(8)]
            await until(lambda: len(server.peer.of(Command.TRADES)) == 5)
            server.peer.abort()
            outcomes = await asyncio.gather(*pulls[:5], return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {ff.ConnectError}
            # Those that had waited for their turn are asked on the next connection.
            await until(lambda: len(server.peers) == 2 and len(server.peer.of(Command.TRADES)) == 3)
            for pull in pulls[5:]:
                pull.cancel()
            await asyncio.gather(*pulls[5:], return_exceptions=True)

    server = Gateway(on_request)
    run_it(main())


# ending


@pytest.mark.parametrize(
    "moment",
    [
        "password",
        "upgrade",
        "auth",
        "profile",
        "asking",
        "seeding",
        "reconnecting",
        "recovering",
        "recovered",
    ],
)
def test_closing_while_something_is_under_way(run, reports, moment):
    """Nothing stays behind: no task, no connection, no timer that calls."""

    async def on_connect(peer):
        if moment == "upgrade":
            await peer.reader.read()
            raise ConnectionError
        await peer.shake_hands()

    async def on_request(peer, packet):
        hung = {
            "auth": Command.AUTH,
            "profile": Command.PROFILE,
            "asking": Command.SUBSCRIBE,
            "seeding": Command.QUOTES,
            "recovering": Command.TRADES,
        }
        if packet.command != hung.get(moment):
            await server.answer(peer, packet)

    async def main():
        listen(reports)
        tasks = asyncio.all_tasks()
        async with server:
            feed = server.feed()
            watcher = Watcher(feed)
            task = None
            if moment in ("password", "upgrade", "auth", "profile"):
                task = asyncio.create_task(feed.open())
                await asyncio.sleep(0 if moment == "password" else 0.1)
            else:
                await feed.open()
                task = asyncio.create_task(feed.subscribe([AAPL, HK], "ticks", "quotes"))
                await asyncio.sleep(0.1)
                if moment in ("reconnecting", "recovering", "recovered"):
                    await task
                    task = None
                    if moment == "reconnecting":
                        server._server.close()
                    server.peer.abort()
                    kinds = {"reconnecting": "connect_failed", "recovering": "resubscribed"}
                    await watcher.until_events(kinds.get(moment, "gap"), 1)
                    assert len(feed._recovery._timers) == (2 if moment == "recovered" else 0)
            await feed.close()
            if task is not None:
                outcome = (await asyncio.gather(task, return_exceptions=True))[0]
                assert outcome is None or isinstance(outcome, ff.ConnectError), repr(outcome)
            assert not feed.connected
            assert feed._link is None
            assert not feed._recovery._timers
            await until(lambda: all(peer.ended.is_set() for peer in server.peers))
            await until(lambda: not feed._background)
        await until(lambda: asyncio.all_tasks() <= tasks)
        events = len(watcher.events)
        await asyncio.sleep(0.05)
        assert len(watcher.events) == events

    server = Gateway(on_request, on_connect)
    run(main())


def test_a_callback_that_raises_does_not_stop_the_feed(run, caplog):
    async def main():
        async with Gateway() as server, server.feed() as feed:
            watcher = Watcher(feed)
            feed.ticks.on_batch(lambda rows: 1 / 0)
            feed.books.on_batch(lambda rows: 1 / 0)
            await feed.subscribe(AAPL, "ticks", "books", "brokers")
            server.peer.push(trades(), depth(), brokers(), trades())
            await watcher.until_ticks(2)
            assert feed.stats()["callback_errors"] >= 2
            assert feed.stats()["connections"] == 1

    run(main())
