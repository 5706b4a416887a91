"""A day of trades through the simulated LongPort at full speed into the feed, every row compared."""

import asyncio
import collections
import csv
import gzip

import numpy as np
import pytest
from feeds import quick, until

import fastfeed as ff
from fastfeed.sim import LongPortFaults, LongPortSimulator, Tape

TAPE = "us_trades_20131007.csv.gz"
DAY_NS = 86400 * 10**9
OPENING_NS = (13 * 60 + 30) * 60 * 10**9  # of New York's exchange that day, UTC
CLOSING_NS = 20 * 3600 * 10**9


@pytest.fixture(scope="module")
def tape(samples):
    """Return the path of the tape and its rows."""
    path = samples / "data" / TAPE
    if not path.exists():
        pytest.skip(f"no {TAPE} in {path.parent}")
    with gzip.open(path, "rt") as file:
        return path, list(csv.DictReader(file))


def feed_of(sim, transport, **options):
    url = sim.url if transport == "ws" else sim.tcp_url
    known = {"app_key": "KEY", "app_secret": "secret", "access_token": "TOKEN", **quick()}
    return ff.LongPort(**known, url=url, http_url=sim.http_url, **options)


async def play(
    path, expected, transport, *, faults=None, trades_per_push=1, kinds=("ticks", "quotes")
):
    """Return the ticks and quotes that arrive of a tape, the symbols by id and the counters."""
    ticks, quotes = [], []
    symbols = list(dict.fromkeys(row["symbol"] for row in expected))
    async with LongPortSimulator(
        tape=path, speed="max", faults=faults, trades_per_push=trades_per_push, rate_limits=False
    ) as sim:
        async with feed_of(sim, transport) as feed:
            feed.ticks.on_batch(lambda batch: ticks.append(batch.copy()))
            feed.quotes.on_batch(lambda batch: quotes.append(batch.copy()))
            await feed.subscribe(symbols, *kinds)
            await asyncio.wait_for(sim.finished(), 90)
            await until(lambda: feed.ticks.count >= len(expected))
            await asyncio.sleep(0.1)  # one more would show
            stats = feed.stats()
            assert stats["duplicates"] == stats["lost_rows"] == stats["callback_errors"] == 0
            assert stats["connections"] == 1
            empty = np.empty(0, feed.quotes.dtype)
            return (
                np.concatenate(ticks),
                np.concatenate([empty, *quotes]),
                list(feed.symbols),
                stats,
            )


def by_symbol(rows):
    found = collections.defaultdict(list)
    for row in rows:
        found[row[0]].append(row[1:])
    return found


def check_ticks(rows, table, expected):
    """Compare every row of the tape, in the order of each symbol."""
    assert len(rows) == len(expected)
    sides = {"buy": 1, "sell": -1, "": 0}
    got = zip(
        [table[i] for i in rows["symbol"]],
        rows["price"].tolist(),
        rows["volume"].tolist(),
        rows["side"].tolist(),
        rows["time_ns"].tolist(),
        strict=True,
    )
    meant = [
        (
            row["symbol"],
            float(row["price"]),
            float(row["volume"]),
            sides[row["side"]],
            int(row["time_ns"]) // 10**9 * 10**9,
        )
        for row in expected
    ]
    assert by_symbol(got) == by_symbol(meant)


def check_quotes(rows, table, expected):
    """Every quote is the state of the tape's trades of that session: price, highest, lowest, volume."""
    states = collections.defaultdict(set)
    last = {}
    sessions = collections.defaultdict(lambda: [0.0, 0.0, 0.0, 0.0, 0.0])
    for row in expected:
        clock = int(row["time_ns"]) % DAY_NS
        session = "pre" if clock < OPENING_NS else "post" if clock >= CLOSING_NS else "regular"
        state, price = sessions[row["symbol"], session], float(row["price"])
        if not state[0]:
            state[:4] = [price, price, price, price]
        state[1:4] = max(state[1], price), min(state[2], price), price
        state[4] += int(float(row["volume"]))
        states[row["symbol"], session].add(tuple(state))
        last[row["symbol"], session] = tuple(state)
    names = {ff.Session.REGULAR: "regular", ff.Session.PRE: "pre", ff.Session.POST: "post"}
    live = rows[rows["flags"] & int(ff.Flags.CACHED) == 0]
    latest = {}
    for row in live:
        if row["volume"] == 0 or np.isnan(row["volume"]):  # the state before the first trade
            continue
        key = table[row["symbol"]], names[ff.Session(row["session"])]
        state = tuple(float(row[name]) for name in ("open", "high", "low", "last", "volume"))
        assert state in states[key], (key, state)
        latest[key] = state
    assert latest == last


@pytest.mark.parametrize(
    ("transport", "runner", "receive"),
    [("ws", ff.run, "loop"), ("tcp", asyncio.run, "loop"), ("ws", ff.run, "thread")],
    ids=["ws-uvloop", "tcp-asyncio", "ws-thread"],
    indirect=["receive"],
)
def test_every_row_of_a_tape(tape, transport, runner, receive):
    path, expected = tape
    rows, quotes, table, stats = runner(asyncio.wait_for(play(path, expected, transport), 100))
    check_ticks(rows, table, expected)
    check_quotes(quotes, table, expected)
    assert [table[i] for i in rows["symbol"]] == [row["symbol"] for row in expected]
    assert np.all(np.diff(rows["seq"]) > 0)
    assert stats["rejected"] == {}
    assert stats["ticks"] == len(expected)


FAULTS = {
    "gzip": (8_000, LongPortFaults(gzip=0, unknown_fields=True)),
    "verify": (8_000, LongPortFaults(verify=True, gzip=60)),
    "several in a message": (8_000, LongPortFaults(pack=5)),
    "garbage between": (8_000, LongPortFaults(unknown_push=7, garbage=9, bad_gzip=11)),
    "fragments": (5_000, LongPortFaults(fragment=16, gzip=60)),
    "split": (2_000, LongPortFaults(split=7)),
    "split and signed fragments": (
        1_000,
        LongPortFaults(split=5, fragment=20, verify=True, gzip=0),
    ),
}


@pytest.mark.parametrize("transport", ["ws", "tcp"])
@pytest.mark.parametrize("name", FAULTS)
def test_every_row_of_a_tape_with_faults(tape, transport, name):
    path, expected = tape
    n, faults = FAULTS[name]
    # Around the opening of the exchange, so that there are two sessions.
    opening = next(
        i for i, row in enumerate(expected) if int(row["time_ns"]) % DAY_NS >= OPENING_NS
    )
    first = max(0, opening - n // 2)
    whole = Tape.load(path)
    part = Tape(whole.symbols, whole.rows[first : first + n], whole.places)
    rows, quotes, table, stats = ff.run(
        asyncio.wait_for(
            play(part, expected[first : first + n], transport, faults=faults, trades_per_push=3),
            100,
        )
    )
    check_ticks(rows, table, expected[first : first + n])
    check_quotes(quotes, table, expected[first : first + n])
    if name == "garbage between":
        assert set(stats["rejected"]) == {"varint", "gzip"}
        assert stats["unknown_pushes"] > 300
    else:
        assert stats["rejected"] == {}
