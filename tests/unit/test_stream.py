"""Streams: callbacks, readers, loops, waiting, ends."""

import asyncio
import logging

import numpy as np
import pytest

import fastfeed as ff


@pytest.fixture
def hub():
    return ff.Hub(capacity=64)


def rows(*prices):
    """Make ticks of these prices."""
    array = np.zeros(len(prices), ff.dtype("ticks"))
    array["price"] = prices
    return array


def write(hub, *prices):
    """Write as a machine does: into the ring, then deliver."""
    hub.ticks.ring.write(rows(*prices).tobytes())
    hub.ticks.deliver()


def test_callback_gets_one_read_only_view_a_batch(hub):
    batches = []
    hub.ticks.on_batch(lambda batch: batches.append((batch["price"].tolist(), batch)))
    write(hub, 1, 2, 3)
    write(hub, 4)
    assert [prices for prices, _ in batches] == [[1, 2, 3], [4]]
    view = batches[0][1]
    assert not view.flags.writeable
    assert np.shares_memory(view, hub.ticks.latest(4))
    with pytest.raises(ValueError, match="read-only"):
        view["price"] = 0
    with pytest.raises(ValueError):
        view.flags.writeable = True


def test_callback_begins_with_its_registration_and_ends_when_told(hub):
    seen = []
    write(hub, 1)
    remove = hub.ticks.on_batch(lambda batch: seen.extend(batch["price"]))
    write(hub, 2)
    remove()
    write(hub, 3)
    hub.ticks.on_batch(lambda batch: seen.extend(batch["price"]))
    write(hub, 4)
    assert seen == [2, 4]


def test_a_raising_callback_is_counted_logged_and_stops_nobody(hub, caplog):
    seen = []

    def bad(batch):
        raise RuntimeError("user's mistake")

    hub.ticks.on_batch(bad)
    hub.ticks.on_batch(lambda batch: seen.extend(batch["price"]))
    with caplog.at_level(logging.ERROR):
        for price in range(50):
            write(hub, price)
    assert seen == list(range(50))
    assert hub.ticks.callback_errors == 50
    assert len(caplog.records) == 1  # no flood
    assert "user's mistake" in caplog.text


def test_the_same_callback_twice_is_taken_out_once(hub):
    seen = []
    remove = hub.ticks.on_batch(seen.append)
    hub.ticks.on_batch(seen.append)
    write(hub, 1)
    remove()
    remove()
    write(hub, 2)
    assert len(seen) == 3


def test_callback_must_be_callable(hub):
    with pytest.raises(TypeError, match="expected a callable, got 3"):
        hub.ticks.on_batch(3)


def test_reader_starts_now_or_with_the_oldest(hub):
    write(hub, 1, 2)
    now, oldest = hub.ticks.reader(), hub.ticks.reader("oldest")
    write(hub, 3)
    assert now.read()["price"].tolist() == [3]
    assert oldest.read()["price"].tolist() == [1, 2, 3]
    assert len(now.read()) == 0
    with pytest.raises(ValueError, match="expected start 'now' or 'oldest', got 'then'"):
        hub.ticks.reader("then")


def test_reader_counts_what_it_lost(hub):
    reader = hub.ticks.reader()
    for price in range(200):
        write(hub, price)
    assert reader.read()["price"].tolist() == list(range(136, 200))
    assert reader.lost == 136
    assert reader.intact()
    write(hub, 200)
    assert not reader.intact()


def test_latest(hub):
    assert len(hub.ticks.latest(5)) == 0
    write(hub, 1, 2, 3)
    assert hub.ticks.latest()["price"].tolist() == [3]
    assert hub.ticks.latest(2)["price"].tolist() == [2, 3]
    assert hub.ticks.latest(9)["price"].tolist() == [1, 2, 3]
    for price in range(100):
        write(hub, price)
    assert hub.ticks.latest(1000)["price"].tolist() == list(range(36, 100))
    with pytest.raises(ValueError):
        hub.ticks.latest(-1)


def test_wait(hub):
    async def main():
        reader = hub.ticks.reader()
        assert not await reader.wait(0)
        assert not await reader.wait(0.01)
        asyncio.get_running_loop().call_later(0.01, write, hub, 1.0)
        assert await reader.wait(5)
        assert await reader.wait()  # nothing was read yet
        assert reader.read()["price"].tolist() == [1]
        waiting = asyncio.create_task(reader.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not hub.ticks._waiters

    asyncio.run(main())


def test_loop_gets_all_rows_since_the_beginning_and_goes_on_where_it_broke_off(hub):
    async def main():
        write(hub, 1)
        async for batch in hub.ticks:
            assert batch["price"].tolist() == [1]
            break
        write(hub, 2)
        write(hub, 3)
        async for batch in hub.ticks:
            assert batch["price"].tolist() == [2, 3]
            break

    asyncio.run(main())


def test_two_loops_each_get_everything(hub):
    async def collect():
        return [price async for batch in hub.ticks for price in batch["price"].tolist()]

    async def main():
        tasks = [asyncio.create_task(collect()) for _ in range(2)]
        await asyncio.sleep(0)
        for price in range(10):
            write(hub, price)
            await asyncio.sleep(0)
        hub.end()
        assert await asyncio.gather(*tasks) == [list(range(10))] * 2

    asyncio.run(main())


def test_loop_ends_after_the_last_row_or_raises_the_reason(hub):
    async def main():
        write(hub, 1)
        hub.end()
        assert [len(batch) async for batch in hub.ticks] == [1]

        other = ff.Hub(capacity=64)
        write(other, 1)
        other.end(ff.ConnectError("over"))
        lengths = []
        with pytest.raises(ff.ConnectError, match="over"):
            lengths.extend([len(batch) async for batch in other.ticks])
        assert lengths == []  # the comprehension itself was cut off
        assert other.ticks.count == 1

    asyncio.run(main())


@pytest.mark.parametrize("capacity", [0, 1, 63, 65, 100, -64, 1 << 31])
def test_hub_refuses_odd_capacities(capacity):
    with pytest.raises(ValueError, match="expected a capacity"):
        ff.Hub(capacity=capacity)


@pytest.mark.parametrize("session", [-1, 6, 99])
def test_a_session_that_cannot_be_is_not_another_symbols(hub, session):
    hub.symbols.intern("A.US")
    hub.symbols.intern("B.US")
    with pytest.raises(ValueError, match="Session"):
        hub.quotes.latest("A.US", session)
