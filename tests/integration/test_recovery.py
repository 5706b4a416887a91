"""After an interruption nothing is missing, nothing comes twice, and what could not be fetched is told."""

import asyncio
import random
import time

import numpy as np
import pytest
from feeds import quick, until

import fastfeed as ff
from fastfeed._core.opend import OpendMachine
from fastfeed.feeds import session
from fastfeed.feeds.opend_recovery import in_order
from fastfeed.schema import dtype
from fastfeed.sim import Faults, OpenDSimulator, Tape
from fastfeed.sim.tape import TICK

START_NS = 1_381_152_600_000_000_000
SYMBOLS = ("SPY.US", "700.HK", "BTCUSDT")
NAMES = ("SPY.US", "700.HK", "BTCUSDT.CC")


def tape(seconds=2.0, rate=2000, symbols=SYMBOLS):
    n = int(seconds * rate)
    rows = np.zeros(n, TICK)
    at = np.arange(n)
    rows["time_ns"] = START_NS + at * (1_000_000_000 // rate)
    rows["price"] = 100 + at * 0.01
    rows["volume"] = 1 + at % 50
    rows["symbol"] = at % len(symbols)
    rows["side"] = at % 3 - 1
    return Tape(symbols, rows)


class Watcher:
    """Everything a feed delivered and told."""

    def __init__(self, feed):
        self.feed = feed
        self.events = []
        self.pieces = []
        feed.on_event(self.events.append)
        feed.ticks.on_batch(lambda rows: self.pieces.append(rows.copy()))

    def rows(self, symbol=None):
        rows = np.concatenate([np.empty(0, dtype("ticks")), *self.pieces])
        return rows if symbol is None else rows[rows["symbol"] == self.feed.symbols[symbol]]

    def of(self, kind):
        return [event for event in self.events if event.kind == kind]

    async def settled(self, gaps):
        """Wait until so many symbols have been told of in gap events."""
        await until(lambda: sum(len(event.symbols) for event in self.of("gap")) >= gaps)


def assert_complete(watcher, played):
    """Every trade of the tape once, of each symbol in order."""
    for i, name in enumerate(NAMES):
        got = watcher.rows(name)
        want = played.rows[played.rows["symbol"] == i]
        assert got["price"].tolist() == want["price"].tolist()
        assert np.all(np.diff(got["seq"]) > 0)


async def interrupt(sim, seconds):
    await sim.pause_listening()
    await sim.disconnect_all()
    await asyncio.sleep(seconds)
    await sim.resume_listening()


@pytest.mark.usefixtures("receive")
def test_what_was_missed_is_fetched_in_order_and_marked(run):
    played = tape()

    async def main():
        async with OpenDSimulator(tape=played) as sim, ff.connect(sim.url, **quick()) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(NAMES, "ticks")
            await until(lambda: feed.ticks.count > 500)
            before = feed.ticks.count
            await interrupt(sim, 0.5)
            await watcher.settled(3)
            await until(lambda: feed.ticks.count == len(played))
            await asyncio.sleep(0.1)
            assert_complete(watcher, played)
            flags = watcher.rows()["flags"]
            (gap,) = watcher.of("gap")
            assert gap.filled
            assert set(gap.symbols) == set(NAMES)
            assert gap.rows == np.count_nonzero(flags & ff.Flags.BACKFILLED) > 300
            assert not np.any(flags & ff.Flags.GAP)
            assert not np.any(flags[:before])
            assert gap.start_ns < gap.end_ns

    run(main())


def test_a_hole_too_large_is_told_with_its_bounds(run):
    played = tape(seconds=2.5, rate=6000)

    async def main():
        async with OpenDSimulator(tape=played) as sim, ff.connect(sim.url, **quick()) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(NAMES, "ticks")
            await until(lambda: feed.ticks.count > 500)
            await interrupt(sim, 0.7)  # 1400 ticks of each symbol; OpenD knows the last 1000
            await watcher.settled(3)
            await until(lambda: watcher.rows()["price"].max() == played.rows["price"].max())
            for name in NAMES:
                rows = watcher.rows(name)
                assert np.all(np.diff(rows["seq"]) > 0)
                (at,) = np.flatnonzero(rows["flags"] & ff.Flags.GAP)
                (gap,) = [event for event in watcher.of("gap") if event.symbols == (name,)]
                assert not gap.filled
                assert gap.start_ns == rows["time_ns"][at - 1]
                assert gap.end_ns == rows["time_ns"][at]
                assert "do not reach back" in gap.text
                assert 0 < gap.rows <= 1000  # less those that were pushed before the reply came
                assert np.all(rows["flags"][at : at + gap.rows] & ff.Flags.BACKFILLED)
                # But for the hole there is everything.
                prices = played.rows["price"][played.rows["symbol"] == NAMES.index(name)]
                hole = (prices > rows["price"][at - 1]) & (prices < rows["price"][at])
                assert rows["price"].tolist() == prices[~hole].tolist()

    run(main())


@pytest.mark.usefixtures("receive")
def test_a_connection_that_breaks_again_and_again_loses_nothing(run):
    played = tape()

    async def main():
        async with OpenDSimulator(tape=played) as sim, ff.connect(sim.url, **quick()) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(NAMES, "ticks")
            chance = random.Random(5)
            for _ in range(12):
                await asyncio.sleep(chance.uniform(0.0, 0.15))  # also while it recovers
                await sim.disconnect_all()
            await until(lambda: feed.ticks.count == len(played))
            await asyncio.sleep(0.1)
            assert_complete(watcher, played)
            assert not np.any(watcher.rows()["flags"] & ff.Flags.GAP)

    run(main())


@pytest.mark.usefixtures("receive")
def test_an_outage_upstream_is_filled_as_well(run):
    played = tape()

    async def main():
        async with OpenDSimulator(tape=played) as sim, ff.connect(sim.url, **quick()) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(NAMES, "ticks")
            await until(lambda: feed.ticks.count > 500)
            sim.lose_upstream()
            await until(lambda: watcher.of("notice"))
            assert "not logged in" in watcher.of("notice")[0].text
            await asyncio.sleep(0.5)
            sim.restore_upstream()
            await watcher.settled(3)
            await until(lambda: feed.ticks.count == len(played))
            await asyncio.sleep(0.1)
            assert_complete(watcher, played)
            (gap,) = watcher.of("gap")
            assert gap.filled
            assert gap.rows > 100
            assert feed.stats()["connections"] == 1

    run(main())


def test_ticks_that_come_although_upstream_is_said_to_be_lost(run):
    """Nobody says that it is back: that ticks arrive says it."""
    played = tape()

    async def main():
        async with OpenDSimulator(tape=played) as sim, ff.connect(sim.url, **quick()) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(NAMES, "ticks")
            await until(lambda: feed.ticks.count > 100)
            await sim.notify(3, connectStatus={"qotLogined": False, "trdLogined": False})
            await watcher.settled(3)
            await until(lambda: feed.ticks.count == len(played))
            assert_complete(watcher, played)

    run(main())


def test_a_pull_that_is_refused_is_a_gap_and_live_ticks_go_on(run):
    faults = Faults(error_reply="3010:no data today")

    async def main():
        async with OpenDSimulator(symbols=2, rate=2000, faults=faults) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 100)
                await sim.disconnect_all()
                await watcher.settled(2)
                for event in watcher.of("gap"):
                    assert not event.filled
                    assert "no data today" in event.text
                before = feed.ticks.count
                await until(lambda: feed.ticks.count > before + 100)
                for symbol in sim.symbols:
                    flags = watcher.rows(symbol)["flags"]
                    assert np.count_nonzero(flags & ff.Flags.GAP) == 1

    run(main())


def test_a_symbol_without_a_tick_has_no_hole(run):
    async def main():
        async with OpenDSimulator(symbols=["A.US", "B.US"], rate=0.001) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks")
                await sim.disconnect_all()
                await watcher.settled(2)
                assert all(event.filled for event in watcher.of("gap"))
                assert feed.ticks.count == 0

    run(main())


def test_states_are_refreshed_and_ended_bars_fetched(run):
    async def main():
        async with OpenDSimulator(symbols=["AAPL.US", "700.HK"], rate=500) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                kinds = ("ticks", "quotes", "books", "bars:1m", "timeshare")
                await feed.subscribe(sim.symbols, *kinds)
                await feed.subscribe("700.HK", "brokers")
                streams = (feed.quotes, feed.books, feed.bars, feed.timeshare, feed.brokers)
                await until(lambda: all(stream.count for stream in streams))
                await sim.disconnect_all()
                await until(lambda: watcher.of("disconnected"))
                counts = [stream.count for stream in streams]
                await watcher.settled(2)
                await until(lambda: all(s.count > n for s, n in zip(streams, counts, strict=True)))
                await until(
                    lambda: np.any(feed.bars.latest(feed.bars.count)["flags"] & ff.Flags.BACKFILLED)
                )
                assert feed.quotes.latest("AAPL.US")["last"] > 0
                assert feed.books.latest("700.HK")["bids"] > 0
                assert not watcher.of("error")

    run(main())


def test_a_subscription_that_opend_forgot_is_made_again(run, monkeypatch):
    monkeypatch.setattr("fastfeed.feeds.feed._ASK_AGAIN_S", 0.05)

    async def main():
        async with OpenDSimulator(symbols=3, rate=1000) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks", "quotes")
                missing = feed._missing_at_vendor

                async def forgetful():
                    monkeypatch.setattr(feed, "_missing_at_vendor", missing)
                    (client,) = sim._gateway.clients
                    for key in [k for k in client.subscribed if k[0] == sim.symbols[1]]:
                        del client.subscribed[key]
                        client._pushed.pop(key, None)
                    return await missing()

                monkeypatch.setattr(feed, "_missing_at_vendor", forgetful)
                await sim.disconnect_all()
                await until(lambda: len(watcher.of("resubscribed")) == 2)
                (error,) = watcher.of("error")
                assert error.symbols == (sim.symbols[1],)
                assert "does not know" in error.text
                assert watcher.of("resubscribed")[1].symbols == (sim.symbols[1],)
                (client,) = sim._gateway.clients
                assert len(client.subscribed) == 6

    run(main())


@pytest.mark.parametrize("quota", [0, 1, 5, 100, 157])
def test_symbols_that_do_not_fit_the_quota_are_named(run, quota):
    async def main():
        async with OpenDSimulator(symbols=160, rate=1000, quota=quota) as sim:
            async with ff.connect(sim.url) as feed:
                with pytest.raises(ff.SubscriptionError, match="quota") as caught:
                    await feed.subscribe(sim.symbols, "ticks")
                granted = feed.subscribed("ticks")
                assert len(granted) == quota
                assert set(granted) | set(caught.value.symbols) == set(sim.symbols)
                assert len(caught.value.symbols) == len(sim.symbols) - quota
                assert sim.stats()["requests"] < 60

    run(main())


# the merge by itself


def ticks(*sequences, flags=0):
    rows = np.zeros(len(sequences), dtype("ticks"))
    rows["seq"] = sequences
    rows["flags"] = flags
    return rows


def test_merging():
    rows, fetched = in_order(ticks(1, 2, 3, 4, 5), ticks(5, 4, 7, -1, 6, 6), 2)
    assert rows["seq"].tolist() == [3, 4, 5, 6, 7, -1]
    assert rows["flags"].tolist() == [ff.Flags.BACKFILLED, 0, 0, 0, 0, 0]
    assert fetched == 1
    cached, missed = in_order(ticks(3), ticks(3, flags=int(ff.Flags.CACHED)), 0)
    assert cached["flags"].tolist() == [ff.Flags.CACHED | ff.Flags.BACKFILLED]
    assert missed == 1
    assert in_order(None, ticks(3, 1), 0)[0]["seq"].tolist() == [1, 3]
    assert in_order(ticks(), ticks(), -1)[1] == 0
    assert in_order(ticks(0, 1), ticks(), -1)[0]["seq"].tolist() == [0, 1]


def test_merging_against_sets():
    chance = random.Random(1)
    for _ in range(300):
        pulled = sorted(chance.sample(range(40), chance.randrange(20)))
        waited = [chance.randrange(40) for _ in range(chance.randrange(20))]
        last = chance.randrange(-1, 40)
        rows, fetched = in_order(ticks(*pulled), ticks(*waited), last)
        want = sorted({seq for seq in (*pulled, *waited) if seq > last})
        assert rows["seq"].tolist() == want
        only_pulled = {seq for seq in pulled if seq > last and seq not in waited}
        assert fetched == len(only_pulled)
        assert {r["seq"] for r in rows if r["flags"]} == only_pulled


def test_a_gateway_that_begins_anew_cannot_fill_the_hole(run):
    """Its cache is shorter than what was asked for, and does not reach back either."""

    async def main():
        async with OpenDSimulator(symbols=["A.US"], rate=200, seed=1) as first:
            port = first.port
            async with ff.connect(first.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe("A.US", "ticks")
                await until(lambda: feed.ticks.count > 50)
                await first.pause_listening()
                await first.disconnect_all()
                last_ns = int(feed.ticks.latest()["time_ns"][0])
                await asyncio.sleep(
                    1.1
                )  # sequences begin with the second: the next ones are larger
                async with OpenDSimulator(port=port, symbols=["A.US"], rate=200, seed=2):
                    await watcher.settled(1)
                    (gap,) = watcher.of("gap")
                    assert not gap.filled
                    assert gap.start_ns == last_ns
                    before = feed.ticks.count
                    await until(lambda: feed.ticks.count > before + 20)
                    flags = watcher.rows()["flags"]
                    assert np.count_nonzero(flags & ff.Flags.GAP) == 1
                    await feed.close()

    run(main())


@pytest.mark.usefixtures("receive")
@pytest.mark.parametrize("rate", [40, 4000], ids=["pulled", "more than that"])
def test_sequences_that_begin_anew_are_a_hole_and_not_the_end(run, rate):
    """As if all ticks before the interruption had come from a gateway that counts otherwise."""

    async def main():
        async with OpenDSimulator(symbols=["A.US"], rate=rate, seed=1) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe("A.US", "ticks")
                await until(lambda: feed.ticks.count > 20)
                await sim.pause_listening()
                await sim.disconnect_all()
                await until(lambda: not feed.connected)
                last = feed.ticks.latest().copy()
                last["seq"] = np.iinfo(np.int64).max
                feed._machine.write(feed.ticks.number, last.tobytes())
                before = len(watcher.rows())
                await asyncio.sleep(0.5)
                await sim.resume_listening()
                await watcher.settled(1)
                await until(lambda: len(watcher.rows()) > before + 20)
                (gap,) = watcher.of("gap")
                rows = watcher.rows()[before:]
                assert "begin anew" in gap.text
                assert not gap.filled
                assert gap.start_ns == last["time_ns"][0]
                assert gap.end_ns == rows["time_ns"][0] > gap.start_ns
                assert np.all(np.diff(rows["seq"]) > 0)
                assert np.flatnonzero(rows["flags"] & ff.Flags.GAP).tolist() == [0]
                backfilled = np.count_nonzero(rows["flags"] & ff.Flags.BACKFILLED)
                assert gap.rows == backfilled > 0

    run(main())


# interruptions that meet something else


async def lose(sim, feed):
    await sim.pause_listening()
    await sim.disconnect_all()
    await until(lambda: not feed.connected)


async def assert_delivered(feed, watcher, symbol, rows=20):
    before = len(watcher.rows(symbol))
    await until(lambda: len(watcher.rows(symbol)) >= before + rows)
    assert not feed._machine.is_held(feed.symbols[symbol])
    assert np.all(np.diff(watcher.rows(symbol)["seq"]) > 0)


def test_a_symbol_given_up_while_disconnected_can_be_subscribed_again(run):
    async def main():
        async with OpenDSimulator(symbols=["A.US", "B.US"], rate=400) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 50)
                await lose(sim, feed)
                await feed.unsubscribe("A.US")
                await sim.resume_listening()
                await watcher.settled(1)
                await feed.subscribe("A.US", "ticks")
                await assert_delivered(feed, watcher, "A.US")

    run(main())


def test_subscribing_once_more_while_disconnected_leaves_out_no_recovery(run):
    async def main():
        async with OpenDSimulator(symbols=["A.US", "B.US"], rate=400) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 50)
                await lose(sim, feed)
                again = asyncio.create_task(feed.subscribe("A.US", "ticks"))
                await asyncio.sleep(0.05)
                await sim.resume_listening()
                await again
                await watcher.settled(2)
                (gap,) = watcher.of("gap")
                assert gap.filled
                await assert_delivered(feed, watcher, "A.US")

    run(main())


@pytest.mark.parametrize(
    "faults",
    [Faults(error_reply="3003:not today"), Faults(no_reply=3003)],
    ids=["refused", "silent"],
)
def test_subscriptions_that_cannot_be_checked_do_not_stop_the_recovery(run, faults):
    async def main():
        async with OpenDSimulator(symbols=["A.US"], rate=400, faults=faults) as sim:
            async with ff.connect(sim.url, request_timeout_s=0.3, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe("A.US", "ticks")
                await until(lambda: feed.ticks.count > 50)
                await sim.disconnect_all()
                await watcher.settled(1)
                (error,) = watcher.of("error")
                assert "3003" in error.text
                await assert_delivered(feed, watcher, "A.US")

    run(main())


def test_quota_that_cannot_be_asked_for_still_names_the_symbols(run):
    async def main():
        faults = Faults(error_reply="3003:not today")
        async with OpenDSimulator(symbols=4, quota=2, faults=faults) as sim:
            async with ff.connect(sim.url) as feed:
                with pytest.raises(ff.SubscriptionError, match="quota") as caught:
                    await feed.subscribe(sim.symbols, "ticks")
                assert caught.value.symbols == sim.symbols
                assert feed.subscribed("ticks") == ()

    run(main())


def test_outages_that_follow_each_other_leave_no_hole_untold(run, monkeypatch):
    """What is being fetched of the first outage must not let ticks go during the second one."""
    monkeypatch.setattr(session, "_MAX_POLL_S", 0.02)
    played = tape(rate=1200)

    async def main():
        faults = Faults(late_reply=0.1)
        async with OpenDSimulator(tape=played, faults=faults) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(NAMES, "ticks")
                await until(lambda: feed.ticks.count > 300)
                for _ in range(3):
                    sim.lose_upstream()
                    await asyncio.sleep(0.2)
                    sim.restore_upstream(missed=5)
                    await asyncio.sleep(0.05)
                await until(lambda: feed.ticks.count == len(played))
                await asyncio.sleep(0.1)
                assert_complete(watcher, played)
                assert all(gap.filled for gap in watcher.of("gap"))

    run(main())


def test_a_connection_made_during_an_outage_waits_for_its_end(run, monkeypatch):
    monkeypatch.setattr(session, "_MAX_POLL_S", 0.02)
    played = tape(rate=1200)

    async def main():
        async with OpenDSimulator(tape=played) as sim, ff.connect(sim.url, **quick()) as feed:
            watcher = Watcher(feed)
            await feed.subscribe(NAMES, "ticks")
            await until(lambda: feed.ticks.count > 300)
            sim.lose_upstream()
            await asyncio.sleep(0.1)
            cut_ns = time.time_ns()
            await sim.disconnect_all()
            await until(lambda: watcher.of("resubscribed"))
            await asyncio.sleep(0.3)
            sim.restore_upstream(missed=5)
            await until(lambda: feed.ticks.count == len(played))
            await asyncio.sleep(0.1)
            assert_complete(watcher, played)
            (gap,) = watcher.of("gap")
            assert gap.filled
            assert gap.start_ns < cut_ns  # from the outage on, not only from the disconnect

    run(main())


def test_a_flood_of_outages_is_one_recovery_at_a_time(run):
    async def main():
        async with OpenDSimulator(symbols=20, rate=400, faults=Faults(late_reply=0.02)) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks", "quotes")
                await until(lambda: feed.ticks.count > 50)
                requests = sim.stats()["requests"]
                for i in range(200):
                    there = {"qotLogined": i % 2 == 1, "trdLogined": True}
                    await sim.notify(3, connectStatus=there)
                    assert len(feed._background) <= 10  # those that are being cancelled
                await watcher.settled(20)
                assert all(gap.filled for gap in watcher.of("gap"))
                assert sim.stats()["requests"] - requests < 200
                await assert_delivered(feed, watcher, sim.symbols[0], 2)

    run(main())


def test_an_interruption_begins_where_the_first_of_several_did(run):
    async def main():
        async with OpenDSimulator(symbols=["A.US"], rate=400, faults=Faults(late_reply=0.1)) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe("A.US", "ticks", "bars:1m")
                await until(lambda: feed.ticks.count > 50)
                for connections in (1, 2):
                    await until(lambda n=connections: feed.stats()["connections"] == n)
                    await sim.disconnect_all()
                    await until(lambda: not feed.connected)
                await watcher.settled(1)
                (gap,) = watcher.of("gap")
                assert gap.start_ns <= watcher.of("disconnected")[0].time_ns

    run(main())


@pytest.mark.parametrize("back", ["before the connection", "after it", "while it breaks"])
def test_an_outage_that_ends_in_a_lost_connection_began_where_it_did(run, back):
    async def main():
        async with OpenDSimulator(symbols=["A.US"], rate=400) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe("A.US", "ticks", "bars:1m")
                await until(lambda: feed.ticks.count > 50)
                sim.lose_upstream()
                await until(lambda: watcher.of("notice"))
                began_ns = time.time_ns()
                await asyncio.sleep(0.05)
                if back == "while it breaks":
                    feed._refreshed_at = time.monotonic()  # the recovery waits a little
                    sim.restore_upstream(missed=5)
                    await until(lambda: feed._refreshing is not None)
                await sim.pause_listening()
                await sim.disconnect_all()
                if back == "before the connection":
                    sim.restore_upstream(missed=5)
                await sim.resume_listening()
                if back == "after it":
                    await until(lambda: watcher.of("resubscribed"))
                    await asyncio.sleep(0.1)
                    sim.restore_upstream(missed=5)
                await watcher.settled(1)
                (gap,) = watcher.of("gap")
                assert gap.start_ns <= began_ns

    run(main())


@pytest.mark.usefixtures("receive")
def test_giving_up_another_kind_while_an_outage_is_recovered_from_lets_ticks_go_on(run):
    async def main():
        async with OpenDSimulator(symbols=["A.US", "B.US"], rate=400) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe("A.US", "ticks")
                await feed.subscribe("B.US", "ticks", "books")
                await until(lambda: feed.ticks.count > 50)
                sim.lose_upstream()
                await until(lambda: watcher.of("notice"))
                sim.restore_upstream(missed=5)
                feed._refreshed_at = time.monotonic()  # the recovery waits a little
                await until(lambda: len(watcher.of("notice")) == 2)
                refresh = feed._recovery.recover

                async def interfered(*args):
                    await refresh(*args)
                    await feed.unsubscribe("B.US", "books")

                feed._recovery.recover = interfered
                await watcher.settled(2)
                for name in sim.symbols:
                    await assert_delivered(feed, watcher, name)

    run(main())


def test_giving_up_a_kind_while_everything_is_asked_for_again_is_not_undone(run):
    async def main():
        faults = Faults(late_reply=0.05)
        async with OpenDSimulator(symbols=["A.US", "B.US"], rate=400, faults=faults) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe("A.US", "ticks")
                await feed.subscribe("B.US", "ticks", "books")
                await until(lambda: feed.ticks.count > 50)
                await sim.disconnect_all()
                await until(lambda: len(watcher.of("connected")) == 1)
                await feed.unsubscribe("B.US", "books")
                await watcher.settled(2)
                assert feed.subscribed("books") == ()
                assert sim.stats()["subscriptions"] == 3  # books for a minute more

    run(main())


def test_what_was_filled_is_told_even_if_the_connection_is_lost_meanwhile(run):
    async def main():
        faults = Faults(late_reply=0.1)
        async with OpenDSimulator(symbols=40, rate=4000, faults=faults) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 2000)
                await interrupt(sim, 0.2)
                await until(lambda: np.any(watcher.rows()["flags"] & ff.Flags.BACKFILLED))
                await sim.disconnect_all()
                await until(lambda: feed.stats()["connections"] == 3)
                await until(lambda: not any(map(feed._machine.is_held, range(40))))
                await watcher.settled(40)
                fetched = np.count_nonzero(watcher.rows()["flags"] & ff.Flags.BACKFILLED)
                assert sum(gap.rows for gap in watcher.of("gap")) == fetched

    run(main())


@pytest.mark.usefixtures("receive")
def test_more_ticks_than_may_wait_are_a_gap_with_its_bounds(run, monkeypatch):
    monkeypatch.setattr(
        "fastfeed.feeds.opend.OpendMachine",
        lambda *args, **options: OpendMachine(*args, most_held=50, **options),
    )

    async def main():
        async with OpenDSimulator(symbols=20, rate=2000, faults=Faults(late_reply=0.1)) as sim:
            async with ff.connect(sim.url, **quick()) as feed:
                watcher = Watcher(feed)
                await feed.subscribe(sim.symbols, "ticks")
                await until(lambda: feed.ticks.count > 200)
                await interrupt(sim, 0.1)
                await watcher.settled(20)
                told = [symbol for gap in watcher.of("gap") for symbol in gap.symbols]
                assert sorted(told) == sorted(sim.symbols)
                overflowed = [gap for gap in watcher.of("gap") if "too many" in gap.text]
                assert overflowed
                for gap in overflowed:
                    rows = watcher.rows(gap.symbols[0])
                    (at,) = np.flatnonzero(rows["flags"] & ff.Flags.GAP)
                    assert gap.start_ns == rows["time_ns"][at - 1]
                    assert gap.end_ns == rows["time_ns"][at]

    run(main())
