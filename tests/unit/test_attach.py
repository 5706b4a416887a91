"""Attached hubs: readers, waiting, rows and symbols, generations, threads, event loops."""

import asyncio
import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import uvloop

import fastfeed as ff
from fastfeed import schema

WAYS = ["spin", "hybrid", "block"]
LIMIT_S = 10.0  # for what has to happen at all


def rows(*prices, symbol=0):
    """Make ticks of these prices."""
    array = np.zeros(len(prices), ff.dtype("ticks"))
    array["price"] = prices
    array["symbol"] = symbol
    return array


def write(hub, *prices, symbol=0):
    hub.ticks.ring.write(rows(*prices, symbol=symbol).tobytes())


def prices(batch):
    return batch["price"].tolist()


def look(hub):
    """Look now, however often it was done."""
    hub._looked_at = 0.0
    return hub.look()


@pytest.fixture
def hub(shm):
    with ff.Hub("md", capacity=64) as hub:
        yield hub


@pytest.fixture
def attached(hub):
    with ff.attach("md") as attached:
        yield attached


# what is there


def test_the_same_streams(hub, attached):
    assert [stream.name for stream in attached.streams] == list(schema.STREAMS)
    for stream in attached.streams:
        other = hub.stream(stream.name)
        assert stream is attached.stream(stream.name)
        assert (stream.dtype, stream.capacity) == (other.dtype, other.capacity)
        assert stream.count == other.count == 0
        assert len(stream.latest()) == len(stream.latest(0)) == 0
        assert stream.latest("700.HK") is None
    assert attached.ticks is attached.stream("ticks")
    assert attached.brokers is attached.stream("brokers")
    with pytest.raises(ValueError):
        attached.stream("news")
    assert (attached.name, attached.alive, attached.writer_pid) == ("md", True, os.getpid())
    assert attached.book_depth == hub.book_depth


def test_streams_that_are_first_used_after_attaching(hub, attached):
    reader = attached.bars.reader()
    bars = np.zeros(3, ff.dtype("bars"))
    bars["close"] = 1, 2, 3
    hub.bars.ring.write(bars.tobytes())
    assert reader.read()["close"].tolist() == [1, 2, 3]
    assert attached.bars.count == 3


def test_readers(hub, attached):
    write(hub, 1, 2)
    now, oldest = attached.ticks.reader(), attached.ticks.reader("oldest")
    write(hub, 3)
    assert prices(now.read()) == [3]
    assert prices(oldest.read(1)) == [1]
    assert (oldest.position, oldest.ready) == (1, 2)
    assert prices(oldest.read()) == [2, 3]
    assert oldest.read().shape == (0,)
    write(hub, *range(100, 104))
    oldest.skip()
    assert (oldest.ready, oldest.lost, oldest.position) == (0, 0, 7)
    with pytest.raises(ValueError, match="expected start 'now' or 'oldest'"):
        attached.ticks.reader("new")
    with pytest.raises(ValueError, match="expected a limit of 0 or more"):
        now.read(-1)
    assert attached.ticks.count == 7


def test_a_lapped_reader_knows_what_it_lost(hub, attached):
    reader = attached.ticks.reader()
    write(hub, 1, 2)
    batch = reader.read()
    assert reader.intact()
    write(hub, *range(64))
    assert not reader.intact()
    assert prices(batch) == [62, 63]  # it shows the ring itself
    write(hub, *range(30))
    got = reader.read()
    assert (len(got), reader.lost, reader.intact()) == (64, 30, True)


def test_a_ring_of_another_depth(shm):
    with ff.Hub("md", capacity=64, book_depth=37) as hub, ff.attach("md") as attached:
        book = np.zeros(1, ff.schema.dtype("books", 37))
        book["bid_price"] = np.arange(37)
        book["bids"] = 37
        hub.symbols.intern("700.HK")
        hub.books.ring.write(book.tobytes())
        hub.books.table.put(0, book.tobytes())
        assert attached.book_depth == 37
        assert attached.books.dtype == book.dtype
        for row in (attached.books.latest(1)[0], attached.books.latest("700.HK")):
            assert row["bid_price"].tolist() == list(range(37))


def test_latest_rows_are_a_copy_of_whole_rows(hub, attached):
    write(hub, *range(40))
    write(hub, *range(40, 70))
    last = attached.ticks.latest(3)
    everything = attached.ticks.latest(1000)
    write(hub, *range(100, 164))
    assert prices(last) == [67, 68, 69]
    assert prices(everything) == list(range(6, 70))
    with pytest.raises(ValueError, match="expected n of 0 or more"):
        attached.ticks.latest(-1)


def test_latest_rows_leave_out_what_is_overwritten_meanwhile(hub, attached):
    write(hub, *range(64))
    stream = attached.ticks
    source = stream.source
    asked = []

    class Overtaken:
        def __init__(self, reader):
            self.reader = reader

        def __getattr__(self, name):
            return getattr(self.reader, name)

        def read(self, n):
            view = self.reader.read(n)
            if not asked:
                asked.append(n)
                write(hub, *range(100, 110))  # before it is copied
            return view

    class Slow(type(source)):
        def reader(self, position):
            return Overtaken(super().reader(position))

    stream._source = Slow(*source)
    assert prices(stream.latest(64)) == list(range(10, 64))


def test_latest_rows_of_symbols(hub, attached):
    table = hub.quotes.table
    quote = np.zeros(1, ff.dtype("quotes"))
    for number, symbol in enumerate(["700.HK", "AAPL.US"]):
        quote["last"] = number + 1
        id = hub.symbols.intern(symbol)
        table.put(id * len(ff.Session) + ff.Session.PRE, quote.tobytes())
    assert attached.quotes.latest("AAPL.US", ff.Session.PRE)["last"] == 2
    assert attached.quotes.latest("HK.00700", ff.Session.PRE)["last"] == 1
    assert attached.quotes.latest("AAPL.US") is None
    write(hub, 7, 8, symbol=1)
    write(hub, 9, symbol=0)
    assert attached.ticks.latest("AAPL.US")["price"] == 8
    assert attached.ticks.latest("BTCUSDT") is None


def test_symbols_and_brokers_appear(hub, attached):
    assert len(attached.symbols) == 0
    ids = [hub.symbols.intern(f"{n}.HK") for n in range(1, 1000)]
    hub.name_broker(7, "SEVEN")
    assert attached.symbols["999.HK"] == 998
    assert [attached.symbols[id] for id in ids] == list(hub.symbols)
    assert "HK.00700" in attached.symbols
    assert len(attached.symbols) == 999
    assert attached.broker_name(7) == "SEVEN"
    assert attached.broker_name(8) is None
    hub.symbols.intern("ZH-中文")
    assert attached.symbols[999] == "ZH-中文"
    with pytest.raises(IndexError):
        attached.symbols[1000]
    with pytest.raises(KeyError):
        attached.symbols["1000.HK"]
    with pytest.raises(TypeError, match="another one adds the symbols"):
        attached.symbols.intern("1000.HK")


# nothing can be damaged


def test_nothing_can_be_written(hub, attached):
    write(hub, 1, 2)
    view = attached.ticks.reader("oldest").read()
    with pytest.raises(ValueError, match="read-only"):
        view["price"] = 0
    with pytest.raises(ValueError):
        view.flags.writeable = True
    with pytest.raises(ValueError, match="read-only"):
        attached.ticks.source.rows[0] = 0
    with pytest.raises(TypeError, match="read-only"):
        memoryview(attached.ticks.ring)[0:1] = b"x"
    with pytest.raises(ValueError):
        np.frombuffer(attached.ticks.ring, np.uint8).setflags(write=True)
    with pytest.raises(TypeError, match="another process"):
        attached.ticks.ring.write(bytes(64))
    with pytest.raises(TypeError, match="another process"):
        attached.quotes.table.put(0, bytes(attached.quotes.dtype.itemsize))
    assert prices(hub.ticks.latest(2)) == [1, 2]


POKE = """
import ctypes, sys
import fastfeed as ff

hub = ff.attach("md")
view = hub.ticks.reader("oldest").read()
address = view.ctypes.data + int(sys.argv[1])
print(ctypes.string_at(address, 1), flush=True)
ctypes.memset(address, 255, 1)
print("written", flush=True)
"""


@pytest.mark.parametrize("offset", [0, 64 * 64, -128, -4096])
def test_writing_at_its_address_ends_the_reader(offset, hub):
    """Rows, rows again, cursors, header."""
    write(hub, 1, 2)
    command = [sys.executable, "-c", POKE, str(offset)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (-signal.SIGSEGV, "")
    assert "written" not in run.stdout
    assert run.stdout
    assert prices(hub.ticks.latest(2)) == [1, 2]
    write(hub, 3)
    assert ff.attach("md").ticks.count == 3


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(protocol, hub, attached):
    reader = attached.ticks.reader()
    for thing in (hub, attached, reader, attached.ticks, attached.symbols, attached.ticks.ring):
        with pytest.raises(TypeError):
            pickle.dumps(thing, protocol)
    with pytest.raises(TypeError):
        copy.copy(reader)
    write(hub, 1)
    assert prices(pickle.loads(pickle.dumps(reader.read(), protocol))) == [1]


# waiting


@pytest.mark.parametrize("way", WAYS)
def test_waiting(way, hub):
    with ff.attach("md", wait=way) as attached:
        reader = attached.ticks.reader()
        for price in range(20):
            timer = threading.Timer(0.005 * (price % 3), write, (hub, price))
            timer.start()
            assert reader.wait(LIMIT_S)
            assert prices(reader.read()) == [price]
            timer.join()


@pytest.mark.parametrize("way", WAYS)
def test_waiting_in_vain(way, hub, attached):
    reader = attached.ticks.reader(wait=way)
    for timeout in (0.25, 0.01, 0, -1):
        begin = time.monotonic()
        assert not reader.wait(timeout)
        assert time.monotonic() - begin >= timeout
    write(hub, 1)
    assert reader.wait(0)
    assert reader.wait(-1)
    assert reader.wait()
    assert len(reader.read()) == 1


@pytest.mark.parametrize("way", WAYS)
def test_waiting_without_a_bell(way, hub, monkeypatch):
    """As readers of other users do."""
    module = sys.modules["fastfeed.attach"]
    monkeypatch.setattr(
        module, "Bells", lambda *args, **options: (_ for _ in ()).throw(PermissionError())
    )
    with ff.attach("md", wait=way) as attached:
        reader = attached.ticks.reader()
        timer = threading.Timer(0.01, write, (hub, 1))
        timer.start()
        assert reader.wait(LIMIT_S)
        timer.join()
        reader.skip()
        used = time.thread_time()
        assert not reader.wait(0.3)
        if way == "block":
            assert time.thread_time() - used < 0.2  # it slept


def test_ways_that_are_none(hub, attached):
    for wrong in ("sleep", "", 1):
        with pytest.raises(ValueError, match="expected a wait"):
            ff.attach("md", wait=wrong)
        with pytest.raises(ValueError, match="expected a wait"):
            attached.ticks.reader(wait=wrong)


def test_spinning_lets_other_threads_run(hub, attached):
    reader = attached.ticks.reader(wait="spin")
    counted = 0
    waiting = threading.Thread(target=reader.wait, args=(LIMIT_S,))
    waiting.start()
    while counted < 100_000:
        counted += 1
    assert waiting.is_alive()
    write(hub, 1)
    waiting.join()
    assert reader.ready == 1


@pytest.mark.parametrize("way", WAYS)
def test_many_threads_wait(way, hub, attached):
    readers = [attached.ticks.reader(wait=way) for _ in range(8)]
    seen = []

    def take(reader):
        while reader.wait(LIMIT_S):
            for price in prices(reader.read()):
                if price < 0:
                    return
                seen.append(price)

    threads = [threading.Thread(target=take, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for price in range(50):
        write(hub, price)
    write(hub, -1)
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(list(range(50)) * 8)


WAITING = """
import signal, sys
import fastfeed as ff

reader = ff.attach("md").ticks.reader(wait=sys.argv[1])
try:
    print("waiting", flush=True)
    if sys.argv[2] == "loop":
        for rows in reader:
            pass
    else:
        reader.wait()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("how", ["wait", "loop"])
@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_while_waiting(way, how, hub):
    command = [sys.executable, "-c", WAITING, way, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert child.wait(LIMIT_S) == 0


EXITING = """
import asyncio, sys, threading, time
import fastfeed as ff

hub = ff.attach("md")
way = sys.argv[1]
for name in ("ticks", "books"):
    threading.Thread(target=hub.stream(name).reader(wait=way).wait, daemon=True).start()


async def main():
    waiting = asyncio.create_task(hub.quotes.reader(wait=way).wait_async())
    await asyncio.sleep(0.05)


asyncio.run(main())
print("done", flush=True)
"""


@pytest.mark.parametrize("way", WAYS)
def test_the_interpreter_ends_while_threads_wait(way, hub):
    command = [sys.executable, "-X", "dev", "-c", EXITING, way]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")


# loops


def test_loops_pass_nothing_over(hub, attached):
    write(hub, 1, 2)
    for batch in attached.ticks:
        assert prices(batch) == [1, 2]
        break
    write(hub, 3)
    loop = iter(attached.ticks)
    assert prices(next(loop)) == [3]
    assert loop.position == 3
    write(hub, 4)
    reader = attached.ticks.reader("oldest")
    assert prices(next(iter(reader))) == [1, 2, 3, 4]
    assert prices(next(iter(attached.ticks))) == [4]


def test_loops_end_when_closed(hub, attached):
    """Also where there are always rows."""
    write(hub, 1)
    count = 0
    for _batch in attached.ticks:
        count += 1
        write(hub, count)
        if count == 5:
            attached.close()
    assert count == 5
    assert not attached.ticks.reader("oldest").wait(LIMIT_S)
    assert attached.ticks.reader("oldest").ready == 6  # they can still be read


def test_closing_ends_waits_of_other_threads(hub, attached):
    readers = [attached.ticks.reader(wait=way) for way in WAYS]
    results = []
    threads = [
        threading.Thread(target=lambda reader=reader: results.append(reader.wait()))
        for reader in readers
    ]
    for thread in threads:
        thread.start()
    attached.close()
    attached.close()
    for thread in threads:
        thread.join(LIMIT_S)
    assert results == [False] * 3
    assert not attached.alive
    assert not attached.look()
    assert "closed" in repr(attached)


def test_views_outlive_everything(shm):
    hub = ff.Hub("md", capacity=64)
    hub.symbols.intern("700.HK")
    write(hub, 1, 2)
    attached = ff.attach("md")
    reader = attached.ticks.reader("oldest")
    view, symbols = reader.read(), attached.symbols
    gone = weakref.ref(attached)
    attached.close()
    hub.close()
    del attached, reader, hub
    gc.collect()
    assert gone() is None
    assert prices(view) == [1, 2]
    assert list(symbols) == ["700.HK"]


# the writer's end, and the next one


def test_the_end_of_a_writer(hub, attached):
    events = []
    attached.on_event(events.append)
    reader = attached.ticks.reader()
    write(hub, 1)
    hub.close()
    assert reader.wait(0)
    assert prices(reader.read()) == [1]
    assert not reader.wait(0.5)
    assert not attached.alive
    assert [(event.kind, event.text) for event in events] == [
        ("disconnected", "the writer has ended")
    ]
    assert events[0].details == {"generation": attached.generation, "pid": os.getpid()}


def test_without_following_loops_end_after_the_last_row(hub):
    attached = ff.attach("md", follow=False)
    write(hub, 1, 2)
    hub.close()
    assert [prices(batch) for batch in attached.ticks] == [[1, 2]]
    with ff.Hub("md", capacity=64) as new:
        write(new, 3)
        assert [prices(batch) for batch in attached.ticks] == []
        assert not look(attached)


def test_reading_in_vain_notices_too(hub, attached):
    reader = attached.ticks.reader()
    hub.close()
    until = time.monotonic() + LIMIT_S
    while attached.alive and time.monotonic() < until:
        assert not len(reader.read())
    assert not attached.alive


def test_the_next_writer(hub, attached):
    events = []
    attached.on_event(lambda event: events.append(event.kind))
    hub.symbols.intern("OLD")
    readers = [attached.ticks.reader("oldest", wait=way) for way in WAYS]
    write(hub, 1, 2, 3)
    old = [readers[0].read(), readers[1].read(1)]
    symbols, generation = attached.symbols, attached.generation
    hub.close()
    with ff.Hub("md", capacity=128, book_depth=20) as new:
        assert look(attached)
        assert events == ["disconnected", "connected"]
        assert attached.generation > generation
        assert attached.ticks.capacity == 128
        assert attached.books.dtype["bid_price"].shape == (20,)
        # Nothing changes under a reader until it waits or reads.
        assert [reader.symbols["OLD"] for reader in readers] == [0, 0, 0]
        assert [reader.intact() for reader in readers[:2]] == [True, True]
        assert len(attached.symbols) == 0
        new.symbols.intern("NEW")
        write(new, 7)
        for reader in readers:
            assert reader.wait(LIMIT_S)
            assert prices(reader.read()) == [7]
            assert reader.symbols is attached.symbols
            assert list(reader.symbols) == ["NEW"]
        assert [reader.lost for reader in readers] == [0, 2, 3]
        assert [prices(batch) for batch in old] == [[1, 2, 3], [1]]
        assert list(symbols) == ["OLD"]
        assert symbols["OLD"] == 0


def test_reading_alone_goes_on_too(hub, attached):
    reader = attached.ticks.reader()
    write(hub, 1)
    hub.close()
    with ff.Hub("md", capacity=64) as new:
        look(attached)
        write(new, 2, 3)
        assert prices(reader.read()) == [2, 3]
        assert reader.lost == 1


def test_loops_go_on_with_the_next_writer(hub, attached):
    write(hub, 1, 2)
    loop = iter(attached.ticks)
    assert prices(next(loop)) == [1, 2]
    hub.close()
    with ff.Hub("md", capacity=64) as new:
        write(new, 3)
        assert prices(next(loop)) == [3]
        write(new, 4)
        assert prices(next(iter(attached.ticks))) == [4]


def test_a_lapped_view_of_an_old_hub_stays_lapped(hub, attached):
    reader = attached.ticks.reader()
    write(hub, 1)
    reader.read()
    write(hub, *range(64))
    hub.close()
    with ff.Hub("md", capacity=64):
        look(attached)
        assert not reader.intact()
        reader.wait(0)
        assert not reader.intact()
        reader.read()
        assert reader.intact()


def test_events_are_told_outside_of_locks_and_may_raise(hub, attached):
    seen = []

    def bad(event):
        raise RuntimeError("user's mistake")

    def close(event):
        seen.append(event.kind)
        attached.look()
        attached.close()

    attached.on_event(bad)
    remove = attached.on_event(lambda event: seen.append("removed"))
    attached.on_event(close)
    remove()
    hub.close()
    assert not attached.ticks.reader().wait(LIMIT_S)
    assert seen == ["disconnected"]
    assert attached._events.errors == 1


def test_waiting_for_a_hub(shm):
    begin = time.monotonic()
    with pytest.raises(ff.HubError, match="there is no hub 'md'"):
        ff.attach("md", wait_s=0.2)
    assert time.monotonic() - begin >= 0.2
    made = []
    timer = threading.Timer(0.1, lambda: made.append(ff.Hub("md", capacity=64)))
    timer.start()
    assert ff.attach("md", wait_s=LIMIT_S).alive
    timer.join()
    made[0].close()


def test_many_threads_while_hubs_come_and_go(shm):
    """Rows say of which hub they are: none is ever read with the symbols of another one."""
    hubs = [ff.Hub("md", capacity=64)]
    hubs[0].symbols.intern("0.N")
    attached = ff.attach("md")
    wrong, seen = [], set()
    done = threading.Event()

    def read(stream, way):
        reader = stream.reader("oldest", wait=way)
        while not done.is_set():
            if not reader.wait(0.01):
                continue
            batch = reader.read().copy()
            if not reader.intact():
                continue
            for number in set(prices(batch)):
                seen.add(number)
                if reader.symbols[0] != f"{number:.0f}.N":
                    wrong.append((number, reader.symbols[0]))
            latest = stream.latest(5)
            if len(set(prices(latest))) > 1:
                wrong.append(prices(latest))
            attached._looked_at = 0.0

    threads = [threading.Thread(target=read, args=(attached.ticks, way)) for way in WAYS * 2]
    for thread in threads:
        thread.start()
    for number in range(12):
        until = time.monotonic() + LIMIT_S
        while number not in seen and time.monotonic() < until:
            write(hubs[-1], number, number, number)
            time.sleep(0.001)
        hubs.pop().close()
        hubs.append(ff.Hub("md", capacity=64))
        hubs[-1].symbols.intern(f"{number + 1}.N")
        attached._looked_at = 0.0
    done.set()
    for thread in threads:
        thread.join()
    hubs.pop().close()
    assert wrong == []
    assert seen == set(range(12))


# event loops

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def run(make_loop, main):
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(asyncio.wait_for(main, LIMIT_S))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make_loop", LOOPS)
def test_tasks_wait(make_loop, way, hub):
    attached = ff.attach("md", wait=way)
    seen = {"loop": [], "reader": [], "again": []}

    async def take(name, source):
        async for batch in source:
            seen[name] += prices(batch)
            if seen[name][-1] < 0:
                return

    async def main():
        tasks = [
            asyncio.create_task(take("loop", attached.ticks)),
            asyncio.create_task(take("reader", attached.ticks.reader())),
            asyncio.create_task(take("again", attached.ticks.reader("oldest"))),
        ]
        await asyncio.sleep(0)
        for price in range(20):
            write(hub, price)
            await asyncio.sleep(0.001)
        write(hub, -1)
        await asyncio.gather(*tasks)

    run(make_loop, main())
    assert seen["loop"] == seen["reader"] == seen["again"] == [*range(20), -1]


def test_two_event_loops_at_once(hub, attached):
    seen = [[], []]

    async def take(number):
        async for batch in attached.ticks.reader("oldest"):
            seen[number] += prices(batch)
            if seen[number][-1] < 0:
                return

    threads = [
        threading.Thread(target=run, args=(make_loop, take(number)))
        for number, make_loop in enumerate(LOOPS)
    ]
    for thread in threads:
        thread.start()
    for price in [*range(40), -1]:
        write(hub, price)
        time.sleep(0.0005)
    for thread in threads:
        thread.join()
    assert seen == [[*range(40), -1]] * 2


def test_one_loop_after_the_other(hub, attached):
    async def take():
        reader = attached.ticks.reader()
        asyncio.get_running_loop().call_later(0.01, write, hub, 1)
        assert await reader.wait_async()
        return prices(reader.read())

    for make_loop in LOOPS * 2:
        assert run(make_loop, take()) == [1]


def test_time_outs_and_cancellation(hub, attached):
    async def main():
        reader = attached.ticks.reader()
        for timeout in (0.05, 0, -1):
            assert not await reader.wait_async(timeout)
        waiting = asyncio.create_task(reader.wait_async())
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not attached.ticks._thread._waiters
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await reader.wait_async()
        write(hub, 1)
        assert await reader.wait_async(0)
        assert await reader.wait_async()
        assert prices(reader.read()) == [1]

    run(asyncio.new_event_loop, main())


def test_a_loop_that_was_closed_does_no_harm(hub, attached):
    async def leave():
        waiting = asyncio.ensure_future(attached.ticks.reader().wait_async())
        await asyncio.sleep(0.01)
        return waiting

    loop = asyncio.new_event_loop()
    waiting = loop.run_until_complete(leave())
    loop.close()
    write(hub, 1)

    async def take():
        return await attached.ticks.reader("oldest").wait_async()

    assert run(asyncio.new_event_loop, take())
    waiting._log_destroy_pending = False
    del waiting


def test_tasks_go_on_with_the_next_writer(hub, attached):
    """And see it in their own thread, between two awaits and not amid them."""
    told = []
    attached.on_event(lambda event: told.append((event.kind, threading.get_ident())))

    async def main():
        seen = []

        async def take():
            async for batch in attached.ticks:
                seen.extend(prices(batch))
                if seen[-1] < 0:
                    return

        task = asyncio.create_task(take())
        write(hub, 1)
        await asyncio.sleep(0.01)
        hub.close()
        with ff.Hub("md", capacity=64) as new:
            write(new, 2)
            write(new, -1)
            await task
        return seen

    assert run(asyncio.new_event_loop, main()) == [1, 2, -1]
    assert told == [(kind, threading.get_ident()) for kind in ("disconnected", "connected")]


def test_closing_ends_loops_of_tasks(hub, attached):
    async def main():
        async def take():
            return [prices(batch) async for batch in attached.ticks]

        write(hub, 1)
        tasks = [
            asyncio.create_task(take()),
            asyncio.create_task(attached.books.reader().wait_async()),
        ]
        await asyncio.sleep(0.01)
        attached.close()
        return await asyncio.gather(*tasks)

    assert run(asyncio.new_event_loop, main()) == [[[1]], False]


def test_a_waiting_thread_ends_when_idle(hub, monkeypatch):
    monkeypatch.setattr(sys.modules["fastfeed.attach"], "_PARKED_S", 0.01)

    async def main():
        attached = ff.attach("md")
        reader = attached.ticks.reader()
        assert not await reader.wait_async(0.01)
        first = attached.ticks._thread
        await asyncio.to_thread(first._thread.join, LIMIT_S)
        assert not first.is_taking()
        asyncio.get_running_loop().call_later(0.01, write, hub, 1)
        assert await reader.wait_async()
        assert attached.ticks._thread is not first
        return weakref.ref(attached), attached.ticks._thread._thread

    gone, thread = run(asyncio.new_event_loop, main())
    thread.join(LIMIT_S)
    gc.collect()
    assert gone() is None
