"""Feeds that receive by a thread: what tests of the loop do not ask for."""

import asyncio
import ctypes
import gc
import ssl
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest
from alltick_feeds import TOKEN, quick_feed
from feeds import listen, quick, until

import fastfeed as ff
from fastfeed.sim import AllTickSimulator, LongPortSimulator, OpenDSimulator

spinning = pytest.mark.parametrize("spin", [False, True], ids=["epoll", "spin"])
LONGPORT = {"app_key": "KEY", "app_secret": "secret", "access_token": "TOKEN"}


def by_thread(sim, **options):
    return ff.connect(sim.url, receive="thread", **quick(), **options)


@spinning
def test_everything_is_served_as_by_the_loop(run, reports, spin):
    """Callbacks, loops, readers that wait, latest rows, and pulls in between."""

    async def main():
        listen(reports)
        pieces, looped = [], 0
        async with (
            OpenDSimulator(symbols=20, rate=1000) as sim,
            by_thread(sim, spin=spin) as feed,
        ):
            feed.ticks.on_batch(lambda rows: pieces.append(rows.copy()))
            reader = feed.quotes.reader()
            assert not await reader.wait(0.01)
            await feed.subscribe(sim.symbols, "ticks", "quotes", "books")
            async for rows in feed.ticks:
                looped += len(rows)
                if looped > 500:
                    break
            assert await reader.wait(10)
            assert len(reader.read())
            for symbol in sim.symbols[:5]:
                await until(lambda symbol=symbol: feed.quotes.latest(symbol) is not None)
                assert feed.symbols[feed.quotes.latest(symbol)["symbol"]] == symbol
                pulled = await feed.get_ticks(symbol, 10)
                assert np.all(pulled["symbol"] == feed.symbols[symbol])
            await feed.unsubscribe(sim.symbols)
            stats = feed.stats()
        rows = np.concatenate(pieces)
        assert len(rows) == feed.ticks.count == feed.stats()["ticks"]
        assert stats["rejected"] == {}
        assert stats["lost_rows"] == stats["callback_errors"] == 0
        for i in range(len(feed.symbols)):
            assert np.all(np.diff(rows["seq"][rows["symbol"] == i]) > 0)
        assert np.all(rows["recv_ns"] > 0)

    run(main())


def test_whoever_comes_later_is_served(run):
    """Nobody listens at first: then nobody is woken, and the first who asks is."""

    async def main():
        async with OpenDSimulator(symbols=5, rate=500) as sim, by_thread(sim) as feed:
            await feed.subscribe(sim.symbols, "ticks")
            await until(lambda: feed.ticks.count > 50)
            for _ in range(100):  # each time nobody is there in between
                reader = feed.ticks.reader()
                assert await reader.wait(10)
                assert len(reader.read())
            got = []
            end = feed.ticks.on_batch(lambda rows: got.append(len(rows)))
            await until(lambda: len(got) > 3)
            end()
            calls = len(got)
            before = feed.ticks.count
            await until(lambda: feed.ticks.count > before + 20)
            assert len(got) == calls

    run(main())


@spinning
def test_vendors_share_a_hub(reports, spin):
    async def main():
        listen(reports)
        hub = ff.Hub()
        same = {"hub": hub, "receive": "thread", "spin": spin}
        async with (
            OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=1000) as a,
            AllTickSimulator(market="crypto", rate=500, token=TOKEN, rate_limits=False) as b,
            LongPortSimulator(symbols=["9988.HK"], rate=300) as c,
        ):
            first, second = ff.connect(a.url, **same), quick_feed(b.url, **same)
            third = ff.LongPort(**LONGPORT, url=c.tcp_url, http_url=c.http_url, **same)
            async with first, second, third:
                names = list(b.symbols)[:3]
                await first.subscribe(a.symbols, "ticks", "books")
                await second.subscribe(names, "ticks", "books")
                await third.subscribe("9988.HK", "ticks", "books")
                feeds = (first, second, third)
                await until(lambda: all(feed.stats()["ticks"] > 100 for feed in feeds))
                await second.close()
                before = hub.ticks.count
                await until(lambda: hub.ticks.count > before + 100)  # the others go on
            for kind in ("ticks", "books"):
                rows = hub.stream(kind).latest(hub.stream(kind).count)
                written = sum(feed.stats()[kind] for feed in feeds)
                assert len(rows) == written
                of_second = np.isin(rows["symbol"], [hub.symbols[name] for name in names])
                assert np.count_nonzero(of_second) == second.stats()[kind]
            assert set(hub.symbols) == {"700.HK", "AAPL.US", "9988.HK", *names}

    ff.run(asyncio.wait_for(main(), 30))


SIMULATOR = """
    import asyncio
    from fastfeed.sim import OpenDSimulator

    async def main():
        async with OpenDSimulator(symbols=["700.HK"], rate=500) as sim:
            print(sim.url, flush=True)
            await asyncio.sleep(60)

    asyncio.run(main())
"""


@spinning
def test_ticks_do_not_wait_for_python(run, spin):
    """A callback keeps the interpreter for 200 ms at a time; what arrives meanwhile is stamped meanwhile."""
    keeping = ctypes.PyDLL(None)  # whose calls do not let go of it
    kept = []

    def keep(rows):
        if len(kept) < 20:
            began_ns = time.time_ns()
            keeping.usleep(200_000)
            kept.append((began_ns, time.time_ns()))

    async def main(url):
        async with ff.connect(url, receive="thread", spin=spin) as feed:
            feed.ticks.on_batch(keep)
            await feed.subscribe("700.HK", "ticks")

            def meanwhile():
                stamps = np.unique(feed.ticks.latest(feed.ticks.count)["recv_ns"])
                return sum(np.count_nonzero((a < stamps) & (stamps < b)) for a, b in kept)

            await until(lambda: meanwhile() > 20)

    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SIMULATOR)], stdout=subprocess.PIPE, text=True
    ) as simulator:
        try:
            run(main(simulator.stdout.readline().strip()))
        finally:
            simulator.kill()


@spinning
def test_closing_while_ticks_arrive(run, reports, spin):
    async def main():
        listen(reports)
        async with OpenDSimulator(symbols=50, rate=20_000) as sim:
            for n in range(10):
                async with by_thread(sim, spin=spin) as feed:
                    feed.ticks.on_batch(lambda rows: None)
                    await feed.subscribe(sim.symbols, "ticks")
                    await until(lambda feed=feed, n=n: feed.ticks.count > 100 * n)
                count = feed.ticks.count
                await asyncio.sleep(0)
                assert feed.ticks.count == count == feed.stats()["ticks"]
                assert feed.ticks.ended

    run(main())


def test_a_flood_of_replies_holds_up_neither_ticks_nor_the_loop(run):
    async def main():
        async with OpenDSimulator(symbols=5, rate=200) as sim, by_thread(sim) as feed:
            await feed.subscribe(sim.symbols, "ticks")
            states = await asyncio.gather(*(feed.get_global_state() for _ in range(500)))
            assert len(states) == 500
            before = feed.ticks.count
            await until(lambda: feed.ticks.count > before)
            assert feed.stats()["unmatched_replies"] == 0

    run(main())


def test_a_url_may_say_it():
    feed = ff.connect("opend://127.0.0.1?receive=thread&spin=true&cpu=0")
    receiver = feed.hub.receiver("thread", True, 0)
    assert (receiver.spin, receiver.cpu) == (True, 0)


def test_addresses_with_tls_are_refused():
    for make in (
        lambda: ff.AllTick(token=TOKEN, receive="thread"),
        lambda: ff.AllTick(
            token=TOKEN, receive="thread", url="wss://h/", ssl_context=ssl.create_default_context()
        ),
        lambda: ff.LongPort(**LONGPORT, receive="thread"),
        lambda: ff.LongPort(**LONGPORT, receive="thread", url="wss://host/"),
    ):
        with pytest.raises(ff.ConfigError, match="plain sockets"):
            make()
    ff.LongPort(**LONGPORT, receive="thread", transport="tcp")
    ff.AllTick(token=TOKEN, receive="thread", url="ws://host/")


def test_options_that_cannot_be():
    for options in (
        {"receive": "fork"},
        {"spin": True},
        {"cpu": 0},
        {"receive": "thread", "cpu": 1000},
        {"receive": "thread", "cpu": -2},
    ):
        with pytest.raises(ff.ConfigError):
            ff.OpenD(**options)


def test_feeds_of_a_hub_receive_in_one_way():
    hub = ff.Hub()
    ff.OpenD(hub=hub, receive="thread")
    ff.OpenD(hub=hub, receive="thread")
    for other in (
        lambda: ff.OpenD(hub=hub),
        lambda: ff.OpenD(hub=hub, receive="thread", spin=True),
        lambda: ff.AllTick(token=TOKEN, hub=hub, url="ws://host/"),
        lambda: ff.Decoder("opend", hub),
    ):
        with pytest.raises(ff.ConfigError, match="feeds of this hub"):
            other()
    hub = ff.Hub()
    ff.Decoder("opend", hub)
    with pytest.raises(ff.ConfigError, match="receive='loop'"):
        ff.OpenD(hub=hub, receive="thread")


def test_feeds_of_a_hub_have_one_loop(run):
    """Of two loops, one would wait in vain for its replies."""
    hub = ff.Hub()

    async def use(sim, leave_open=False):
        feed = by_thread(sim, hub=hub)
        await feed.open()
        await feed.subscribe("700.HK", "ticks")
        before = hub.ticks.count
        await until(lambda: hub.ticks.count > before)
        assert len(await feed.get_ticks("700.HK", 1)) == 1
        if not leave_open:
            await feed.close()
        return feed

    async def main():
        async with OpenDSimulator(symbols=["700.HK"], rate=500) as sim:
            # A loop that was closed with an open feed is in nobody's way.
            left = await asyncio.to_thread(asyncio.run, use(sim, leave_open=True))
            await use(sim)
            assert left.stats()["ticks"] > 0
            with warnings.catch_warnings():  # of what it left open
                warnings.simplefilter("ignore", ResourceWarning)
                del left
                gc.collect()
            async with by_thread(sim, hub=hub) as feed:
                with pytest.raises(ff.LocalProtocolError, match="belong to one event loop"):
                    await asyncio.to_thread(asyncio.run, use(sim))
                await feed.subscribe("700.HK", "ticks")
            await asyncio.to_thread(asyncio.run, use(sim))

    run(main())
