"""The OpenD feed against the simulator: subscribe, receive, fail, come back."""

import asyncio
import contextlib
import itertools
import random
import socket
import time

import numpy as np
import pytest
from feeds import quick, until

import fastfeed as ff
from fastfeed.feeds import opend
from fastfeed.sim import Faults, OpenDSimulator


def kinds(events):
    return [event.kind for event in events]


@contextlib.asynccontextmanager
async def serving(handler, port=0):
    """Serve with a handler; yields the port. Nothing of it is left when it ends."""
    tasks, writers = [], []

    async def serve(reader, writer):
        tasks.append(asyncio.current_task())
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            await handler(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # the loop closes the sockets


# the ordinary course


def test_ticks_arrive_by_all_three_ways(run):
    async def main():
        async with OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=2000) as sim:
            async with ff.connect(sim.url) as feed:
                batches = []
                feed.ticks.on_batch(lambda rows: batches.append(rows.copy()))
                reader = feed.ticks.reader()
                await feed.subscribe(["HK.00700", "AAPL.US"], "ticks")
                looped = []
                async for rows in feed.ticks:
                    assert not rows.flags.writeable
                    looped.append(rows.copy())
                    if feed.ticks.count >= 500:
                        break
                read = reader.read()
                assert reader.lost == 0
                called = np.concatenate(batches)
                n = sum(map(len, looped))
                assert (
                    called[:n].tobytes() == np.concatenate(looped).tobytes() == read[:n].tobytes()
                )
                assert {feed.symbols[i] for i in np.unique(called["symbol"])} == {
                    "700.HK",
                    "AAPL.US",
                }
                assert np.all(called["price"] > 0)
                assert np.all(np.abs(called["time_ns"] - time.time_ns()) < 60e9)
                assert np.all(called["recv_ns"] >= called["gateway_ns"] - 1_000_000)
                assert feed.subscribed("ticks") == ("700.HK", "AAPL.US")
                assert feed.stats()["rejected"] == {}

    run(main())


def test_a_thousand_symbols_in_batches(run):
    async def main():
        async with OpenDSimulator(symbols=1000, rate=20000) as sim:
            async with ff.connect(sim.url) as feed:
                await feed.subscribe(sim.symbols, "ticks")
                assert sim.stats()["requests"] == 11  # handshake, and 100 symbols each
                assert feed.subscribed("ticks") == sim.symbols
                await feed.subscribe(sim.symbols, "ticks")
                assert sim.stats()["requests"] == 11  # nothing new, nothing sent
                await until(lambda: len(np.unique(feed.ticks.latest(1 << 17)["symbol"])) > 900)

    run(main())


def test_a_slow_reader_loses_rows_of_its_own_view_only(run):
    async def main():
        async with OpenDSimulator(symbols=5, rate=50000) as sim:
            async with ff.connect(sim.url, hub=ff.Hub(capacity=1024)) as feed:
                counted = []
                feed.ticks.on_batch(lambda rows: counted.append(len(rows)))
                reader = feed.ticks.reader()
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 5000)
                rows = reader.read()
                assert reader.lost > 0
                assert reader.lost + len(rows) == feed.ticks.count == sum(counted)

    run(main())


@pytest.mark.usefixtures("receive")
def test_callbacks_that_raise_do_not_stop_the_feed(run, caplog):
    async def main():
        async with OpenDSimulator(rate=2000) as sim, ff.connect(sim.url) as feed:
            feed.ticks.on_batch(lambda rows: 1 / 0)
            feed.on_event(lambda event: 1 / 0)
            await feed.subscribe(sim.symbols, "ticks")
            await until(lambda: feed.ticks.count > 100)
            await sim.disconnect_all()
            await until(lambda: feed.stats()["connections"] == 2)
            assert feed.stats()["callback_errors"] > 2

    run(main())
    assert "ZeroDivisionError" in caplog.text


def test_two_feeds_write_into_one_hub(run):
    async def main():
        hub = ff.Hub()
        async with (
            OpenDSimulator(symbols=["700.HK"], rate=1000) as a,
            OpenDSimulator(symbols=["AAPL.US", "700.HK"], rate=1000) as b,
            ff.connect(a.url, hub=hub) as first,
            ff.connect(b.url, hub=hub) as second,
        ):
            await first.subscribe(a.symbols, "ticks")
            await second.subscribe(b.symbols, "ticks")
            await until(lambda: first.stats()["ticks"] > 100 and second.stats()["ticks"] > 100)
            assert hub.ticks.count == first.stats()["ticks"] + second.stats()["ticks"]
            assert sorted(hub.symbols) == ["700.HK", "AAPL.US"]
            await first.close()
            before = hub.ticks.count
            assert not hub.ticks.ended  # the other one goes on
            await until(lambda: hub.ticks.count > before)

    run(main())


@pytest.mark.usefixtures("receive")
def test_closing_ends_the_loops(run):
    async def main():
        async with OpenDSimulator(rate=1000) as sim:
            feed = await ff.connect(sim.url).open()
            await feed.subscribe(sim.symbols, "ticks")

            async def consume():
                return sum([len(rows) async for rows in feed.ticks])

            task = asyncio.create_task(consume())
            await until(lambda: feed.ticks.count > 50)
            await feed.close()
            await feed.close()
            assert await task == feed.ticks.count
            with pytest.raises(ff.ConnectError, match="closed"):
                await feed.subscribe(sim.symbols, "ticks")
            with pytest.raises(ff.LocalProtocolError):
                await feed.open()

    run(main())


# unsubscribing


def test_unsubscribing_within_a_minute_stops_pushes_now_and_gives_back_later(run, monkeypatch):
    monkeypatch.setattr(opend, "_MINIMUM_AGE_S", 0.6)
    monkeypatch.setattr(opend, "_AGE_MARGIN_S", 0.1)

    async def main():
        async with OpenDSimulator(symbols=4, rate=4000, unsubscribe_after_s=0.6) as sim:
            async with ff.connect(sim.url) as feed:
                keep, gone = sim.symbols[0], list(sim.symbols[1:])
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 50)
                await feed.unsubscribe(gone, "ticks")
                assert feed.subscribed("ticks") == (keep,)
                await asyncio.sleep(0.05)
                reader = feed.ticks.reader()
                await asyncio.sleep(0.2)
                assert {feed.symbols[i] for i in reader.read()["symbol"]} == {keep}
                assert sim.stats()["subscriptions"] == 4  # the quota is still taken
                await until(lambda: sim.stats()["subscriptions"] == 1)
                assert sim.stats()["refused"] == 0
                await feed.unsubscribe(keep)  # old enough: at once
                assert sim.stats()["subscriptions"] == 0

    run(main())


@pytest.mark.parametrize("how", ["cancelled", "timeout"])
def test_a_subscription_that_was_cut_short_can_be_given_up(run, how):
    """OpenD grants it all the same, only later."""

    async def main():
        faults = Faults(late_reply=0.8)
        async with OpenDSimulator(symbols=["A.US"], rate=500, faults=faults) as sim:
            timeout_s = 12.0 if how == "cancelled" else 0.5
            async with ff.connect(sim.url, request_timeout_s=timeout_s) as feed:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5 if how == "cancelled" else 5):
                        await feed.subscribe("A.US", "ticks")
                await until(lambda: feed.ticks.count > 20)
                assert feed.subscribed("ticks") == ()
                with contextlib.suppress(ff.RequestTimeout):
                    await feed.unsubscribe("A.US")
                await asyncio.sleep(0.2)
                before = feed.ticks.count
                await asyncio.sleep(0.2)
                assert feed.ticks.count == before
                assert sim.stats()["subscriptions"] == 1  # for the minute that OpenD asks for
                assert feed._unsubscribe_at

    run(main())


def test_subscribing_again_within_the_minute_keeps_the_subscription(run, monkeypatch):
    monkeypatch.setattr(opend, "_MINIMUM_AGE_S", 0.3)
    monkeypatch.setattr(opend, "_AGE_MARGIN_S", 0.1)

    async def main():
        async with OpenDSimulator(symbols=1, rate=1000, unsubscribe_after_s=0.3) as sim:
            async with ff.connect(sim.url) as feed:
                for _ in range(3):
                    await feed.subscribe(sim.symbols, "ticks")
                    await feed.unsubscribe(sim.symbols, "ticks")
                await feed.subscribe(sim.symbols, "ticks")
                await asyncio.sleep(0.6)
                assert sim.stats()["subscriptions"] == 1
                before = feed.ticks.count
                await until(lambda: feed.ticks.count > before)

    run(main())


def test_subscribing_again_just_when_the_minute_is_over(run, monkeypatch):
    """The answer comes after the moment at which the old subscription would be given up."""
    monkeypatch.setattr(opend, "_MINIMUM_AGE_S", 0.6)
    monkeypatch.setattr(opend, "_AGE_MARGIN_S", 0.1)

    async def main():
        faults = Faults(late_reply=0.2)
        async with OpenDSimulator(
            symbols=1, rate=1000, unsubscribe_after_s=0.6, faults=faults
        ) as sim:
            async with ff.connect(sim.url) as feed:
                await feed.subscribe(sim.symbols, "ticks")
                granted = time.monotonic()
                await feed.unsubscribe(sim.symbols, "ticks")
                await asyncio.sleep(granted + 0.6 - time.monotonic())
                await feed.subscribe(sim.symbols, "ticks")
                await asyncio.sleep(0.3)
                assert sim.stats()["subscriptions"] == 1
                before = feed.ticks.count
                await until(lambda: feed.ticks.count > before)

    run(main())


def test_what_could_not_be_given_up_is_given_up_later(run, monkeypatch):
    monkeypatch.setattr(opend, "_MINIMUM_AGE_S", 0.1)
    monkeypatch.setattr(opend, "_AGE_MARGIN_S", 0.0)

    async def main():
        async with OpenDSimulator(symbols=2, rate=1000, unsubscribe_after_s=0.6) as sim:
            async with ff.connect(sim.url) as feed:
                await feed.subscribe(sim.symbols, "ticks", "quotes")
                await asyncio.sleep(0.15)
                with pytest.raises(ff.SubscriptionError, match=r"after 0\.6 s"):
                    await feed.unsubscribe(sim.symbols)
                assert feed.subscribed("ticks") == ()
                await until(lambda: sim.stats()["subscriptions"] == 0)

    run(main())


# what goes wrong


def test_nothing_listens_fails_fast_and_says_so(run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def main():
            started = time.monotonic()
            with pytest.raises(ff.ConnectError, match=f"127.0.0.1:{port}: connection refused"):
                await ff.connect(f"opend://127.0.0.1:{port}").open()
            assert time.monotonic() - started < 2

        run(main())


def test_waiting_for_a_server_that_comes_later(run):
    async def main():
        async with OpenDSimulator() as sim:
            await sim.pause_listening()
            opening = asyncio.create_task(ff.connect(sim.url, wait_s=10, **quick()).open())
            await asyncio.sleep(0.1)
            assert not opening.done()
            await sim.resume_listening()
            feed = await opening
            assert feed.connected
            await feed.close()
            await sim.pause_listening()
            with pytest.raises(ff.ConnectError):
                await ff.connect(sim.url, wait_s=0.2, **quick()).open()

    run(main())


def test_a_server_that_never_answers(run):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    async def main():
        async with serving(silent) as port:
            with pytest.raises(ff.RequestTimeout):
                await ff.OpenD(port=port, connect_timeout_s=0.2).open()

    run(main())


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", ff.RemoteProtocolError), (b"", ff.ConnectError)],
)
def test_a_server_that_is_no_opend(run, answer, error):
    async def other(reader, writer):
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async def main():
        async with serving(other) as port:
            with pytest.raises(error):
                await ff.OpenD(port=port).open()

    run(main())


def test_refused_handshake(run):
    async def main():
        async with OpenDSimulator(faults=Faults(refuse_init="not today")) as sim:
            with pytest.raises(ff.AuthError, match="not today") as info:
                await ff.connect(sim.url).open()
            assert info.value.text == "not today"
            assert info.value.code == -1

    run(main())


def test_refused_symbols_are_named_and_the_others_subscribed(run):
    async def main():
        async with OpenDSimulator(symbols=150, rate=1000) as sim, ff.connect(sim.url) as feed:
            with pytest.raises(ff.SubscriptionError, match=r"unknown security: NONE\.US") as info:
                await feed.subscribe([*sim.symbols, "NONE.US"], "ticks")
            assert info.value.code == -1
            assert info.value.symbols == ("NONE.US",)
            assert set(feed.subscribed("ticks")) == set(sim.symbols)
            assert feed.connected

    run(main())


def test_wrong_arguments_are_told_before_anything_is_sent(run):
    async def main():
        async with OpenDSimulator() as sim, ff.connect(sim.url) as feed:
            before = sim.stats()["requests"]
            for symbols, chosen in [
                (["700.HK", "nothing"], ["ticks"]),
                ("BTCUSDT", ["ticks"]),
                ("", ["ticks"]),
                ("X" * 65 + ".US", ["ticks"]),
                ("700.HK", ["trades"]),
                ("700.HK", []),
            ]:
                with pytest.raises(ValueError, match="expected"):
                    await feed.subscribe(symbols, *chosen)
            with pytest.raises(TypeError):
                await feed.subscribe([700], "ticks")
            with pytest.raises(TypeError):
                feed.on_event("x")
            assert sim.stats()["requests"] == before
        with pytest.raises(ff.ConnectError, match="not open"):
            await ff.connect(sim.url).subscribe("700.HK", "ticks")

    run(main())


def test_a_reply_that_is_late_is_a_timeout_and_harmless(run):
    async def main():
        async with OpenDSimulator(faults=Faults(late_reply=0.4), rate=1000) as sim:
            async with ff.connect(sim.url, request_timeout_s=0.1) as feed:
                with pytest.raises(ff.RequestTimeout):
                    await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.stats()["unmatched_replies"] == 1)
                assert feed.connected

    run(main())


@pytest.mark.usefixtures("receive")
@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(bad_magic=50), "begins with b'FT'"),
        (Faults(huge_length=50), "expected a body within the limit"),
        (Faults(close_mid_packet=50), "closed by the peer"),
    ],
    ids=["bad_magic", "huge_length", "close_mid_packet"],
)
def test_a_lost_stream_is_made_again_and_starts_clean(run, faults, reason):
    async def main():
        async with OpenDSimulator(symbols=3, rate=5000, faults=faults) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                events = []
                feed.on_event(events.append)
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: "gap" in kinds(events))
                assert kinds(events) == ["disconnected", "connected", "resubscribed", "gap"]
                assert reason in events[0].text
                assert set(events[2].symbols) == set(events[3].symbols) == set(sim.symbols)
                assert 0 < events[3].start_ns <= events[3].end_ns
                before = feed.ticks.count
                await until(lambda: feed.ticks.count > before + 100)
                assert events[3].filled
                assert not np.any(feed.ticks.latest(feed.ticks.count)["flags"] & ff.Flags.GAP)
                prices = feed.ticks.latest(feed.ticks.count)["price"]
                assert np.all((prices > 0) & (prices < 1e6))

    run(main())


@pytest.mark.usefixtures("receive")
def test_a_gateway_that_falls_silent_is_given_up(run):
    async def main():
        faults = Faults(silence=20)
        async with OpenDSimulator(rate=1000, keep_alive_interval=1, faults=faults) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                events = []
                feed.on_event(events.append)
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: "resubscribed" in kinds(events))
                assert "OpenD has sent nothing for 3 s" in events[0].text

    run(main())


def test_heartbeats_keep_a_quiet_connection(run):
    async def main():
        async with OpenDSimulator(keep_alive_interval=1, idle_timeout_s=1.5) as sim:
            async with ff.connect(sim.url) as feed:
                await asyncio.sleep(3.5)
                assert feed.connected
                assert feed.stats()["connections"] == 1

    run(main())


@pytest.mark.usefixtures("receive")
def test_coming_back_resubscribes_exactly_what_was_asked(run):
    async def main():
        async with OpenDSimulator(symbols=250, rate=5000) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                events = []
                feed.on_event(events.append)
                await feed.subscribe(sim.symbols, "ticks")
                await feed.unsubscribe(sim.symbols[:50], "ticks")
                await sim.pause_listening()
                await sim.disconnect_all()
                await until(lambda: kinds(events).count("connect_failed") >= 3)
                assert not feed.connected
                waiting = asyncio.create_task(feed.subscribe(sim.symbols[0], "ticks"))
                await sim.resume_listening()
                await until(lambda: "resubscribed" in kinds(events))
                await waiting
                wanted = {*sim.symbols[50:], sim.symbols[0]}
                assert set(feed.subscribed("ticks")) == wanted

    run(main())


def test_nothing_is_delivered_twice_after_coming_back(run):
    async def main():
        async with OpenDSimulator(symbols=5, rate=3000) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                events = []
                feed.on_event(events.append)
                await feed.subscribe(sim.symbols, "ticks")
                for n in range(1, 4):
                    before = feed.ticks.count
                    await until(lambda before=before: feed.ticks.count > before + 100)
                    await sim.disconnect_all()
                    await until(lambda n=n: kinds(events).count("resubscribed") == n)
                await asyncio.sleep(0.1)
                rows = feed.ticks.latest(feed.ticks.count)
                keys = set(zip(rows["symbol"].tolist(), rows["seq"].tolist(), strict=True))
                assert len(keys) == len(rows)

    run(main())


def test_unsubscribing_while_it_comes_back(run):
    async def main():
        async with OpenDSimulator(symbols=2, rate=100, faults=Faults(late_reply=0.2)) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                events = []
                feed.on_event(events.append)
                await feed.subscribe(sim.symbols, "ticks")
                await sim.disconnect_all()
                await until(lambda: "connected" in kinds(events))
                await feed.unsubscribe(sim.symbols[1], "ticks")
                await until(lambda: "gap" in kinds(events))
                assert feed.subscribed("ticks") == sim.symbols[:1]
                await asyncio.sleep(0.3)
                assert feed.subscribed("ticks") == sim.symbols[:1]

    run(main())


def test_a_resubscription_without_an_answer_is_tried_on_a_new_connection(run):
    """The gateway answers the handshake, but for a while no request."""
    mute = []

    async def main():
        async with OpenDSimulator(symbols=2, rate=1000) as sim:
            async with ff.connect(sim.url, request_timeout_s=0.2, **quick()) as feed:
                events = []
                feed.on_event(events.append)
                await feed.subscribe(sim.symbols, "ticks")
                answer = type(next(iter(sim._gateway.clients)))._answer

                async def sometimes(client, proto, serial, body):
                    if proto == 3001 and len(mute) < 3:
                        mute.append(serial)
                        return
                    await answer(client, proto, serial, body)

                type(next(iter(sim._gateway.clients)))._answer = sometimes
                try:
                    await sim.disconnect_all()
                    await until(lambda: "resubscribed" in kinds(events))
                finally:
                    type(next(iter(sim._gateway.clients)))._answer = answer
                assert len(mute) == 3
                before = feed.ticks.count
                await until(lambda: feed.ticks.count > before)

    run(main())


def test_what_is_refused_after_coming_back_is_asked_for_again(run, monkeypatch):
    monkeypatch.setattr("fastfeed.feeds.feed._ASK_AGAIN_S", 0.1)

    async def main():
        async with OpenDSimulator(symbols=3, rate=1000, quota=3) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                events = []
                feed.on_event(events.append)
                await feed.subscribe(sim.symbols, "ticks")
                sim.quota = 0
                await sim.disconnect_all()
                await until(lambda: kinds(events).count("error") >= 2)
                assert "quota" in events[-1].text
                assert set(events[-1].symbols) == set(sim.symbols)
                assert "gap" not in kinds(events)
                with pytest.raises(ff.SubscriptionError):
                    await feed.subscribe(sim.symbols[0], "ticks")  # asks, although it is wanted
                sim.quota = 3
                await until(lambda: "gap" in kinds(events))
                before = feed.ticks.count
                await until(lambda: feed.ticks.count > before)
                assert feed.stats()["connections"] == 2

    run(main())


@pytest.mark.usefixtures("receive")
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_leaving_from_a_callback_leaves(error):
    """Through the transport it would only break the connection."""

    async def main():
        def leave(rows):
            raise error(3)

        async with OpenDSimulator(rate=1000) as sim, ff.connect(sim.url) as feed:
            feed.ticks.on_batch(leave)
            await feed.subscribe(sim.symbols, "ticks")
            await asyncio.sleep(10)

    for runner in (asyncio.run, ff.run):
        with pytest.raises(error):
            runner(main())


def test_a_cancelled_error_in_a_callback_is_an_error_like_others(run, caplog):
    async def main():
        def cancelled(rows):
            raise asyncio.CancelledError

        async with OpenDSimulator(rate=1000) as sim, ff.connect(sim.url) as feed:
            feed.ticks.on_batch(cancelled)
            await feed.subscribe(sim.symbols, "ticks")
            await until(lambda: feed.stats()["callback_errors"] > 3)
            assert feed.stats()["connections"] == 1

    run(main())


def test_coroutine_functions_are_no_callbacks():
    async def callback(rows):
        pass

    feed = ff.connect("opend://h")
    for register in (feed.ticks.on_batch, feed.on_event):
        with pytest.raises(TypeError, match="expected a plain function"):
            register(callback)


def test_another_loop_is_told_so(run):
    async def main():
        async with OpenDSimulator() as sim, ff.connect(sim.url) as feed:
            for call in (feed.subscribe, feed.unsubscribe):
                with pytest.raises(ff.LocalProtocolError, match="belongs to the event loop"):
                    await asyncio.to_thread(asyncio.run, call(sim.symbols, "ticks"))
            with pytest.raises(ff.LocalProtocolError, match="belongs to the event loop"):
                await asyncio.to_thread(asyncio.run, feed.close())
            assert feed.connected

    run(main())


def test_rows_that_a_loop_did_not_see_are_counted(run):
    async def main():
        async with OpenDSimulator(symbols=5, rate=50000) as sim:
            async with ff.connect(sim.url, hub=ff.Hub(capacity=1024)) as feed:
                await feed.subscribe(sim.symbols, "ticks")
                seen = 0
                async for rows in feed.ticks:
                    seen += len(rows)
                    if feed.ticks.count > 10000:
                        break
                    await asyncio.sleep(0.05)
                lost = feed.stats()["lost_rows"]
                assert lost > 0
                assert seen + lost == feed.ticks.count

    run(main())


def test_closing_while_it_connects(run):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    async def main():
        async with serving(silent) as port:
            feed = ff.OpenD(port=port)
            opening = asyncio.create_task(feed.open())
            await asyncio.sleep(0.05)
            await feed.close()
            with pytest.raises(ff.ConnectError):
                await opening

    run(main())


def test_closing_ends_what_waits_for_the_connection(run):
    async def main():
        async with OpenDSimulator(symbols=["A.US"]) as sim, ff.connect(sim.url) as feed:
            await sim.pause_listening()
            await sim.disconnect_all()
            await until(lambda: not feed.connected)
            waiting = [
                asyncio.create_task(feed.get_ticks("A.US")),
                asyncio.create_task(feed.subscribe("A.US", "ticks")),
            ]
            await asyncio.sleep(0.05)
            async with asyncio.timeout(1):
                await feed.close()
                for task in waiting:
                    with pytest.raises(ff.ConnectError, match="closed"):
                        await task
            assert not feed.connected

    run(main())


def test_no_storm_of_connections(run):
    """A server that drops everyone at once is asked again ever more slowly."""
    connections = []

    async def rude(reader, writer):
        connections.append(time.monotonic())
        writer.close()

    async def main():
        async with OpenDSimulator() as sim:
            feed = await ff.connect(sim.url).open()  # the default pauses
            await sim.pause_listening()
            async with serving(rude, sim.port):
                await sim.disconnect_all()
                await asyncio.sleep(1.5)
                assert 2 <= len(connections) <= 6
                await feed.close()

    run(main())


@pytest.mark.usefixtures("receive")
def test_bad_packets_between_good_ones_are_counted(run):
    async def main():
        faults = Faults(
            garbage_body=7, empty_list=5, error_push=11, bad_sha1=13, unknown_enums=True,
            unknown_fields=True, shuffled_fields=True, split=7,
        )  # fmt: skip
        async with OpenDSimulator(symbols=3, rate=500, faults=faults) as sim:
            async with ff.connect(sim.url, check_sha1=True) as feed:
                events = []
                feed.on_event(events.append)
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count >= 200)
                rejected = feed.stats()["rejected"]
                assert rejected["sha1"] > 0
                assert rejected["ret_type"] > 0
                assert sum(rejected.values()) > 40
                assert feed.stats()["connections"] == 1
                errors = [event for event in events if event.kind == "error"]
                assert errors
                assert errors[0].code == -1
                rows = feed.ticks.latest(200)
                assert np.all(rows["price"] > 0)
                assert np.all(rows["kind"] > 31)  # numbers that no enumeration has, as they came

    run(main())


# a proxy that cuts the stream


@contextlib.asynccontextmanager
async def proxy(target_port, sizes):
    """Pass bytes on in pieces of the given sizes, over and over; yields the port."""

    async def copy(reader, writer, sizes):
        for size in itertools.cycle(sizes):
            data = await reader.read(size)
            if not data:
                break
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)

    async def pass_on(reader, writer):
        there, to = await asyncio.open_connection("127.0.0.1", target_port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.gather(copy(reader, to, [65536]), copy(there, writer, sizes))
        finally:
            to.transport.abort()

    async with serving(pass_on) as port:
        yield port


@pytest.mark.usefixtures("receive")
def test_pieces_of_any_size(run):
    async def main():
        sizes = [
            random.Random(1).choice([1, 2, 43, 44, 45, 100, 159, 160, 1000]) for _ in range(997)
        ]
        async with OpenDSimulator(symbols=3, rate=2000) as sim, proxy(sim.port, sizes) as port:
            async with ff.OpenD(port=port) as feed:
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 1500)
                rows = feed.ticks.latest(1500)
                for i in np.unique(rows["symbol"]):
                    assert np.all(np.diff(rows["seq"][rows["symbol"] == i]) > 0)
                assert feed.stats()["rejected"] == {}

    run(main())
