"""A day of trades through the simulated AllTick at full speed into the feed, every row compared."""

import asyncio
import csv
import gzip

import numpy as np
import pytest
from alltick_feeds import TOKEN, quick_feed

import fastfeed as ff
from fastfeed.sim import AllTickKnobs, AllTickSimulator

TAPES = [("us_trades_20131007.csv.gz", "stock"), ("crypto_trades_20240808.csv.gz", "crypto")]


@pytest.mark.parametrize(
    ("receive", "runner"),
    [("loop", asyncio.run), ("loop", ff.run), ("thread", ff.run)],
    ids=["asyncio", "uvloop", "thread"],
    indirect=["receive"],
)
@pytest.mark.parametrize(("name", "market"), TAPES, ids=["us", "crypto"])
def test_every_row_of_a_tape(samples, name, market, runner, receive):
    path = samples / "data" / name
    with gzip.open(path, "rt") as file:
        expected = list(csv.DictReader(file))
    symbols = list(dict.fromkeys(row["symbol"] for row in expected))

    async def main():
        rows = []
        knobs = AllTickKnobs(initial_snapshot="none", seq_mode="counter")
        async with AllTickSimulator(
            tape=path, market=market, speed="max", token=TOKEN, knobs=knobs, rate_limits=False
        ) as sim:
            async with quick_feed(sim.url, market) as feed:
                feed.ticks.on_batch(lambda batch: rows.append(batch.copy()))
                await feed.subscribe(symbols, "ticks")
                await asyncio.wait_for(sim.finished(), 60)
                while feed.ticks.count < len(expected):
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)  # one more would show
                stats = feed.stats()
                assert stats["rejected"] == {}
                assert stats["duplicates"] == stats["unknown_codes"] == stats["lost_rows"] == 0
                return np.concatenate(rows), list(feed.symbols)

    rows, table = runner(asyncio.wait_for(main(), 60))
    assert len(rows) == len(expected)
    assert [table[i] for i in rows["symbol"]] == [row["symbol"] for row in expected]
    assert rows["price"].tolist() == [float(row["price"]) for row in expected]
    assert rows["volume"].tolist() == [float(row["volume"]) for row in expected]
    sides = {"buy": 1, "sell": -1, "": 0}
    assert rows["side"].tolist() == [sides[row["side"]] for row in expected]
    milliseconds = [int(row["time_ns"]) // 10**6 * 10**6 for row in expected]
    assert rows["time_ns"].tolist() == milliseconds
    assert np.all(rows["flags"] == ff.Flags.STALE)  # years ago
    assert np.all(np.diff(rows["seq"]) > 0)
