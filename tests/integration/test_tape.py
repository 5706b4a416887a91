"""The main job on real input: a day of trades through the simulator at full speed, every row compared."""

import asyncio
import csv
import gzip

import numpy as np
import pytest

import fastfeed as ff
from fastfeed.sim import OpenDSimulator

TAPES = ["us_trades_20131007.csv.gz", "crypto_trades_20240808.csv.gz"]


@pytest.mark.parametrize(
    ("receive", "runner"),
    [("loop", asyncio.run), ("loop", ff.run), ("thread", ff.run)],
    ids=["asyncio", "uvloop", "thread"],
    indirect=["receive"],
)
@pytest.mark.parametrize("name", TAPES)
def test_every_row_of_a_tape(samples, name, runner, receive):
    path = samples / "data" / name
    with gzip.open(path, "rt") as file:
        expected = list(csv.DictReader(file))
    symbols = list(dict.fromkeys(row["symbol"] for row in expected))
    names = [s if "." in s else f"{s}.CC" for s in symbols]

    async def main():
        rows = []
        async with OpenDSimulator(tape=path, speed="max") as sim, ff.connect(sim.url) as feed:
            feed.ticks.on_batch(lambda batch: rows.append(batch.copy()))
            await feed.subscribe(names, "ticks")
            await asyncio.wait_for(sim.finished(), 60)
            while feed.ticks.count < len(expected):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # one more would show
            assert feed.stats()["rejected"] == {}
            return np.concatenate(rows), list(feed.symbols)

    rows, table = runner(asyncio.wait_for(main(), 60))
    renamed = dict(zip(symbols, names, strict=True))
    assert len(rows) == len(expected)
    assert [table[i] for i in rows["symbol"]] == [renamed[row["symbol"]] for row in expected]
    assert rows["price"].tolist() == [float(row["price"]) for row in expected]
    assert rows["volume"].tolist() == [float(row["volume"]) for row in expected]
    sides = {"buy": 1, "sell": -1, "": 0}
    assert rows["side"].tolist() == [sides[row["side"]] for row in expected]
    microseconds = [round(int(row["time_ns"]) / 1000) * 1000 for row in expected]
    assert rows["time_ns"].tolist() == microseconds
    assert np.array_equal(rows["turnover"], rows["price"] * rows["volume"])
    for i in range(len(table)):
        assert np.all(np.diff(rows["seq"][rows["symbol"] == i]) > 0)  # none doubled
    assert np.all(rows["flags"] == 0)
