"""The AllTick feed where things end: servers, connections, tasks, the feed itself."""

import asyncio
import gc
import logging
import random
import time
import tracemalloc

import numpy as np
import pytest
from alltick_feeds import HEARTBEAT, TOKEN, Server, Watcher, quick_feed, tick
from feeds import listen, until

import fastfeed as ff
from fastfeed.sim import AllTickFaults, AllTickKnobs, AllTickSimulator, Tape
from fastfeed.sim.tape import TICK


def simulator(**options):
    options = {"market": "crypto", "rate": 500, "token": TOKEN, "rate_limits": False} | options
    return AllTickSimulator(**options)


# the server goes and comes


@pytest.mark.usefixtures("receive")
def test_a_lost_connection_comes_back_with_a_gap(run, reports):
    async def main():
        listen(reports)
        async with Server() as server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(["A", "B"], "ticks")
            await feed.subscribe("B", "books")
            server.peer.send(tick("A", "1", 1))
            server.peer.send(tick("B", "5", 1))
            await until(lambda: len(watcher.ticks) == 2)
            server.peer.writer.transport.abort()
            await watcher.until_events("gap", 2)
            assert sorted(server.peer.codes()) == ["A", "B"]
            server.peer.send(tick("A", "1", 1))  # again
            server.peer.send(tick("A", "2", 2))
            server.peer.send(tick("B", "6", 2))
            server.peer.send(tick("B", "7", 3))
            await until(lambda: len(watcher.ticks) == 5)
            assert watcher.prices() == [1, 5, 2, 6, 7]
            gap = int(ff.Flags.GAP)
            assert [bool(r["flags"] & gap) for r in watcher.ticks] == [0, 0, 1, 1, 0]
            assert feed.stats()["duplicates"] == 1
            gaps = {event.symbols: event for event in watcher.of("gap")}
            assert set(gaps) == {("A", "B"), ("B",)}
            for event in gaps.values():
                assert 0 < event.start_ns <= event.end_ns
                assert not event.filled
            kinds = [event.kind for event in watcher.events]
            assert kinds.index("disconnected") < kinds.index("connected")
            assert kinds.index("connected") < kinds.index("resubscribed") < kinds.index("gap")

    run(main())


def test_a_server_that_is_away_for_a_while(run, reports):
    async def main():
        listen(reports)
        async with Server() as first:
            feed = quick_feed(first.url)
            await feed.open()
            watcher = Watcher(feed)
            await feed.subscribe(["A", "B"], "ticks")
        await watcher.until_events("connect_failed", 3)
        assert not feed.connected
        assert feed.subscribed("ticks") == ("A", "B")
        await feed.unsubscribe("A")
        subscribing = asyncio.create_task(feed.subscribe("C", "ticks"))
        async with Server(port=first.port) as second:
            await subscribing
            await watcher.until_events("resubscribed", 1)
            assert sorted(second.peer.codes()) == ["B", "C"]
            assert feed.subscribed("ticks") in (("B", "C"), ("C", "B"))
            await feed.close()

    run(main())


@pytest.mark.parametrize("moment", ["before", "asked", "answered"])
def test_a_server_that_ends_during_a_subscription(run, reports, moment):
    async def on_request(peer, request):
        if len(server.peers) == 1 and peer.requests:
            if moment == "answered":
                peer.reply(request)
                await asyncio.sleep(0)
            if moment != "before":
                peer.writer.close()
                return
        peer.reply(request)

    async def main():
        listen(reports)
        async with server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            calls = [
                asyncio.create_task(feed.subscribe(f"C{i}", "ticks", "books")) for i in range(20)
            ]
            if moment == "before":
                await asyncio.sleep(0)
                server.peer.writer.transport.abort()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(o is None or isinstance(o, ff.ConnectError) for o in outcomes)
            await watcher.until_events("connected", 1)
            done = [f"C{i}" for i, outcome in enumerate(outcomes) if outcome is None]
            assert set(done) <= set(feed.subscribed("ticks"))
            await feed.subscribe([f"C{i}" for i in range(20)], "ticks", "books")
            assert sorted(server.peer.codes()) == sorted(f"C{i}" for i in range(20))
            assert sorted(feed.subscribed("books")) == sorted(server.peer.codes())
            assert len(feed._granted) == 40

    server = Server(on_request)
    run(main())


def test_a_granted_subscription_whose_connection_ends_at_once_is_made_again(run, reports):
    """The answer and the end come in one read: the caller is told that it is subscribed."""

    async def on_request(peer, request):
        peer.reply(request)
        if len(server.peers) == 1:
            peer.send(b"\x03\xe9", 8)

    async def main():
        listen(reports)
        async with server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("A", "ticks")
            assert feed.subscribed("ticks") == ("A",)
            await watcher.until_events("resubscribed", 1)
            server.peer.send(tick("A"))
            await until(lambda: watcher.ticks)

    server = Server(on_request)
    run(main())


def test_a_request_of_the_connection_before_does_not_reach_the_next_one(run, reports):
    """A list that waits because it came too fast is that connection's."""

    async def on_request(peer, request):
        if peer is server.peers[0] and "B" in peer.codes():
            peer.reply(request, 605, "too many requests")
        else:
            peer.reply(request)

    async def main():
        listen(reports)
        times = {"too_fast": (0.4, 0.4, 0.4)}
        async with server, quick_feed(server.url, times=times) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("A", "ticks")
            waiting = asyncio.create_task(feed.subscribe("B", "ticks"))
            await until(lambda: server.peer.codes() == ["A", "B"])
            server.peer.writer.transport.abort()
            with pytest.raises(ff.ConnectError):
                await waiting
            await watcher.until_events("resubscribed", 1)
            await feed.subscribe("C", "ticks")
            await asyncio.sleep(0.5)
            assert server.peer.codes() == ["A", "C"]
            assert feed.subscribed("ticks") == ("A", "C")

    server = Server(on_request)
    run(main())


def test_symbols_that_are_refused_after_a_reconnect(run, reports, monkeypatch):
    monkeypatch.setattr("fastfeed.feeds.feed._ASK_AGAIN_S", 0.05)

    async def on_request(peer, request):
        refused = len(server.peers) == 2 and "B" in peer.codes() and len(peer.requests) < 5
        peer.reply(request, 600 if refused else 200, "code invalid")

    async def main():
        listen(reports)
        async with server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(["A", "B", "C"], "ticks")
            server.peer.writer.transport.abort()
            await watcher.until_events("resubscribed", 2)
            assert [set(e.symbols) for e in watcher.of("resubscribed")] == [{"A", "C"}, {"B"}]
            assert watcher.of("error")[0].symbols == ("B",)
            assert watcher.of("error")[0].code == 600
            assert sorted(server.peer.codes()) == ["A", "B", "C"]
            assert len(server.peers) == 2

    server = Server(on_request)
    run(main())


def test_a_connection_that_ends_again_and_again(run, reports):
    async def main():
        listen(reports)
        knobs = AllTickKnobs(initial_snapshot="none", seq_mode="counter")
        async with simulator(rate=2000, knobs=knobs) as sim:
            async with quick_feed(sim.url) as feed:
                watcher = Watcher(feed)
                chance = random.Random(3)
                await feed.subscribe(sim.symbols, "ticks", "books")
                for _ in range(15):
                    await asyncio.sleep(chance.uniform(0, 0.08))
                    await sim.disconnect_all()
                await until(lambda: len(feed._granted) == 20)
                before = len(watcher.ticks)
                await until(lambda: len(watcher.ticks) > before + 100)
                assert sorted(feed.subscribed("ticks")) == sorted(sim.symbols)
                seqs = [(int(r["symbol"]), int(r["seq"]), int(r["time_ns"])) for r in watcher.ticks]
                assert len(seqs) == len(set(seqs))
                assert not watcher.of("error") or all(
                    "lost" in e.text or "connect" in e.text for e in watcher.of("error")
                )

    run(main())


@pytest.mark.usefixtures("receive")
def test_a_snapshot_after_a_reconnect_is_not_delivered_twice(run, reports):
    rows = np.zeros(40, TICK)
    rows["time_ns"] = 1_700_000_000_000_000_000 + np.arange(40) * 1_000_000
    rows["price"] = 100 + np.arange(40)
    rows["volume"] = 1
    rows["symbol"] = np.arange(40) % 2
    tape = Tape(("BTCUSDT", "ETHUSDT"), rows)

    async def main():
        listen(reports)
        async with simulator(tape=tape, speed="max") as sim, quick_feed(sim.url) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(["BTCUSDT", "ETHUSDT"], "ticks")
            await until(lambda: len(watcher.ticks) == 40)
            await sim.disconnect_all()
            await watcher.until_events("resubscribed", 1)
            await until(lambda: feed.stats()["duplicates"] == 2)
            assert watcher.prices() == rows["price"].tolist()

    run(main())


@pytest.mark.usefixtures("receive")
@pytest.mark.parametrize("faults", [{"drop_after": 30}, {"stall": 30}, {"no_reply": 22000}])
def test_faults_of_the_simulator(run, reports, faults):
    async def main():
        listen(reports)
        times = {"heartbeat": 0.1, "silence": 0.3}
        async with simulator(faults=AllTickFaults(**faults)) as sim:
            async with quick_feed(sim.url, times=times) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks")
                await watcher.until_events("resubscribed", 1)
                before = len(watcher.ticks)
                await until(lambda: len(watcher.ticks) > before + 20)
                assert feed.stats()["connections"] >= 2

    run(main())


def test_a_restarted_simulator(run, reports):
    async def main():
        listen(reports)
        async with simulator() as sim:
            feed = quick_feed(sim.url)
            await feed.open()
            watcher = Watcher(feed)
            asking = [
                asyncio.create_task(feed.subscribe(symbol, "ticks")) for symbol in sim.symbols
            ]
            await asyncio.sleep(0.01)
            await sim.pause_listening()
            await sim.disconnect_all()
            outcomes = await asyncio.gather(*asking, return_exceptions=True)
            assert all(o is None or isinstance(o, ff.ConnectError) for o in outcomes)
        async with simulator(port=sim.port) as again:
            await watcher.until_events("connected", 1)
            await feed.subscribe(again.symbols, "ticks")
            before = len(watcher.ticks)
            await until(lambda: len(watcher.ticks) > before + 50)
            await feed.close()

    run(main())


# cancelling


@pytest.mark.parametrize("moment", ["placing", "asked"])
def test_cancelling_a_subscription(run, reports, moment):
    async def main():
        listen(reports)
        answer = asyncio.Event()

        async def on_request(peer, request):
            await answer.wait()
            peer.reply(request)

        async with Server(on_request) as server, quick_feed(server.url) as feed:
            tasks = [asyncio.create_task(feed.subscribe(f"C{i}", "ticks")) for i in range(30)]
            if moment == "asked":
                await until(lambda: server.requests)
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() for task in tasks)
            answer.set()
            await feed.subscribe("A", "ticks")
            asked = set(server.peer.codes())
            await feed.unsubscribe([f"C{i}" for i in range(30)])
            assert server.peer.codes() == ["A"]
            assert feed.subscribed("ticks") == ("A",)
            assert set(feed._places["ticks"]) == {"A"}
            assert asked >= {"A"}

    run(main())


@pytest.mark.parametrize("cut", [True, False])
def test_cancelling_and_then_losing_the_connection(run, reports, cut):
    async def main():
        listen(reports)

        async def on_request(peer, request):
            if len(server.peers) > 1:
                peer.reply(request)

        server = Server(on_request)
        async with server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            task = asyncio.create_task(feed.subscribe(["A", "B"], "ticks", "books"))
            await until(lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if cut:
                server.peer.writer.transport.abort()
                await watcher.until_events("connected", 1)
            else:
                await feed.close()
            gc.collect()
            await asyncio.sleep(0.05)
            assert feed.subscribed("ticks") == ()

    run(main())


def test_cancelling_while_a_further_connection_is_made(run, reports):
    async def on_connect(peer):
        if len(server.peers) == 2:
            await peer.reader.read()
            raise ConnectionError
        await peer.shake_hands()

    async def main():
        listen(reports)
        async with server, quick_feed(server.url, plan="premium") as feed:
            names = [f"C{i}" for i in range(300)]
            task = asyncio.create_task(feed.subscribe(names, "ticks"))
            await server.until_peers(2)
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert feed._lines == []
            assert len(feed._pacers) == 1
            assert not any(feed._places.values())
            await feed.subscribe(names, "ticks")
            assert len(feed.subscribed("ticks")) == 300

    server = Server(on_connect=on_connect)
    run(main())


# closing


@pytest.mark.parametrize(
    "moment",
    ["pacing", "connecting", "handshake", "asking", "further", "reconnecting", "refused"],
)
def test_closing_while_something_is_under_way(run, reports, moment):
    async def on_connect(peer):
        number = len(server.peers)
        if moment == "handshake" or (moment == "further" and number == 2):
            await peer.reader.read()
            raise ConnectionError
        await peer.shake_hands()

    async def on_request(peer, request):
        if moment != "asking":
            peer.reply(request)

    async def main():
        listen(reports)
        tasks = len(asyncio.all_tasks())
        async with server:
            times = {"others_gap": 30.0} if moment == "pacing" else {}
            feed = quick_feed(server.url, plan="premium", times=times)
            names = [f"C{i}" for i in range(300)]
            if moment in ("connecting", "handshake"):
                task = asyncio.create_task(feed.open())
                await asyncio.sleep(0 if moment == "connecting" else 0.05)
            else:
                await feed.open()
                task = asyncio.create_task(feed.subscribe(names, "ticks"))
                if moment == "asking":
                    await until(lambda: server.requests)
                elif moment == "further":
                    await server.until_peers(2)
                elif moment == "reconnecting":
                    server.peer.writer.transport.abort()
                elif moment == "refused":
                    await task
                    server.peers[1].writer.transport.abort()
                await asyncio.sleep(0.05)
            await feed.close()
            await feed.close()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            assert outcome is None or isinstance(outcome, (ff.ConnectError, ff.SubscriptionError))
            assert isinstance(outcome, ff.FastfeedError) or moment in ("refused", "reconnecting")
            assert not feed.connected
            await until(lambda: all(peer.ended.is_set() for peer in server.peers if peer.target))
            async for _ in feed.ticks:
                pytest.fail("the streams have ended")
            await asyncio.sleep(0.05)
            assert len(asyncio.all_tasks()) == tasks + len(server._tasks)

    server = Server(on_request, on_connect)
    run(main())


def test_a_feed_that_is_left_with_an_error(run, reports):
    async def use(server):
        async with quick_feed(server.url) as feed:
            await feed.subscribe("A", "ticks")
            raise ZeroDivisionError

    async def main():
        listen(reports)
        async with Server() as server:
            with pytest.raises(ZeroDivisionError):
                await use(server)
            await server.peer.ended.wait()

    run(main())


# further connections


@pytest.mark.usefixtures("receive")
def test_further_connections_come_back(run, reports):
    async def main():
        listen(reports)
        async with Server() as server, quick_feed(server.url, plan="premium") as feed:
            watcher = Watcher(feed)
            names = [f"C{i}" for i in range(500)]
            await feed.subscribe(names, "ticks")
            server.peers[1].writer.transport.abort()
            await watcher.until_events("gap", 1)
            assert set(watcher.of("gap")[0].symbols) == set(names[200:400])
            assert server.peer.codes() == names[200:400]
            assert feed.connected
            for peer in server.peers[:1] + server.peers[2:]:
                peer.writer.transport.abort()
            await watcher.until_events("gap", 4)
            assert len(server.peers) == 7
            assert sorted(code for peer in server.peers[4:] for code in peer.codes()) == sorted(
                names
            )
            assert sorted(feed.subscribed("ticks")) == sorted(names)
            for peer in server.peers[4:]:
                for code in peer.codes():
                    peer.send(tick(code))
            await until(lambda: len(watcher.ticks) == 500)

    run(main())


def test_a_busy_connection_lets_the_others_have_their_turn(run, reports):
    """Its own requests may follow each other sooner than those of different connections."""

    async def main():
        listen(reports)
        times = {"own_gap": 0.01, "others_gap": 0.05}
        async with Server() as server:
            async with quick_feed(server.url, plan="premium", times=times) as feed:
                watcher = Watcher(feed)
                names = [f"C{i}" for i in range(250)]
                await feed.subscribe(names, "ticks")

                async def be_busy():
                    while True:
                        await feed.unsubscribe("C0")
                        await feed.subscribe("C0", "ticks")

                busy = asyncio.create_task(be_busy())
                await asyncio.sleep(0.1)
                server.peers[1].writer.transport.abort()
                await watcher.until_events("resubscribed", 1)
                assert server.peers[2].codes() == names[200:]
                assert not busy.done()
                busy.cancel()
                await asyncio.gather(busy, return_exceptions=True)

    run(main())


def test_symbols_can_be_given_up_and_moved(run, reports):
    async def main():
        listen(reports)
        async with Server() as server, quick_feed(server.url, plan="premium") as feed:
            names = [f"C{i}" for i in range(201)]
            await feed.subscribe(names, "ticks")
            assert server.peers[1].codes() == ["C200"]
            await feed.unsubscribe("C200")
            await feed.unsubscribe("C0")
            await feed.subscribe("C200", "ticks")
            assert server.peers[0].codes() == names[1:]
            assert len(feed._places["ticks"]) == 200

    run(main())


# the user's own functions


def test_callbacks_that_raise(run, reports, caplog):
    async def main():
        listen(reports)
        async with Server() as server, quick_feed(server.url) as feed:

            def bad(argument):
                raise ZeroDivisionError

            feed.ticks.on_batch(bad)
            feed.on_event(bad)
            watcher = Watcher(feed)
            await feed.subscribe("BTCUSDT", "ticks")
            for i in range(5):
                server.peer.send(tick(price=str(i + 1), seq=i))
                await watcher.until_price(i + 1)
            server.peer.writer.transport.abort()
            await watcher.until_events("resubscribed", 1)
            server.peer.send(tick(price="9", seq=9))
            await watcher.until_price(9)
            assert feed.stats()["callback_errors"] >= 6

    run(main())


def test_callbacks_that_block(run, reports):
    """Heartbeats are late then; the connection is not given up for the user's own silence."""

    async def main():
        listen(reports)
        times = {"heartbeat": 0.1, "silence": 0.4}
        async with Server() as server, quick_feed(server.url, times=times) as feed:
            watcher = Watcher(feed)
            await feed.subscribe("BTCUSDT", "ticks")
            remove = feed.ticks.on_batch(lambda rows: time.sleep(0.5))
            for i in range(3):
                server.peer.send(tick(price=str(i + 1), seq=i))
                await watcher.until_price(i + 1)
            remove()
            await asyncio.sleep(0.15)
            assert any(r["cmd_id"] == HEARTBEAT for r in server.peer.requests)
            assert len(server.peers) == 1

    run(main())


@pytest.mark.usefixtures("receive")
def test_callbacks_that_use_the_feed(run, reports):
    async def main():
        listen(reports)
        async with Server() as server, quick_feed(server.url) as feed:
            watcher = Watcher(feed)
            tasks = []

            def callback(rows):
                if len(tasks) < 3:
                    tasks.append(asyncio.ensure_future(feed.subscribe(f"C{len(tasks)}", "ticks")))

            feed.ticks.on_batch(callback)
            feed.on_event(lambda event: feed.stats())
            await feed.subscribe("BTCUSDT", "ticks")
            for i in range(3):
                server.peer.send(tick(price=str(i + 1), seq=i))
                await watcher.until_price(i + 1)
            await asyncio.gather(*tasks)
            assert feed.subscribed("ticks") == ("BTCUSDT", "C0", "C1", "C2")

    run(main())


# memory


@pytest.fixture
def no_logging():
    """Let nobody keep what is logged."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_many_reconnects_take_no_memory(no_logging):
    async def main():
        async with Server() as server:
            feed = quick_feed(
                server.url, plan="premium", times={"own_gap": 0.001, "others_gap": 0.001}
            )
            feed._backoff._most_s = feed._backoff._first_s = 0.001
            async with feed:
                await feed.subscribe([f"C{i}" for i in range(50)], "ticks", "books")

                async def rounds(count):
                    for _ in range(count):
                        before = feed.stats()["connections"]
                        server.peers[-1].writer.transport.abort()
                        del server.peers[:-1]
                        await until(
                            lambda: (
                                feed.stats()["connections"] > before  # noqa: B023
                                and len(feed._granted) == 100
                            )
                        )
                    gc.collect()
                    return tracemalloc.take_snapshot()

                tracemalloc.start()
                await rounds(20)
                first = await rounds(5)
                second = await rounds(60)
                tracemalloc.stop()
                grown = sum(
                    s.size_diff
                    for s in second.compare_to(first, "filename")
                    if "tracemalloc" not in s.traceback[0].filename
                )
                assert grown < 100_000
                assert len(feed._pacers) == 1
                assert len(asyncio.all_tasks()) < 10

    asyncio.run(main())
