"""The vendor's own clients connect to the simulator, subscribe and get every tick right."""

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from fastfeed.sim import OpenDSimulator, Tape
from fastfeed.sim.tape import TICK

SCRIPT = Path(__file__).with_name("official_client.py")
SIDES = {1: "BUY", -1: "SELL", 0: "NEUTRAL"}

# As a tape has it: symbol, the vendor's code, what the market's clock says at START_NS.
MARKETS = [
    ("SPY.US", "US.SPY", "2013-10-07 09:30:00"),
    ("700.HK", "HK.00700", "2013-10-07 21:30:00"),
    ("600519.SH", "SH.600519", "2013-10-07 21:30:00"),
    ("7203.JP", "JP.7203", "2013-10-07 22:30:00"),
    (".DJI.US", "US..DJI", "2013-10-07 09:30:00"),
    ("BTCUSDT", "CC.BTCUSDT", "2013-10-07 09:30:00"),
]
START_NS = 1_381_152_600_000_000_000
COUNT = 900


@pytest.fixture(params=["futu", "moomoo"])
def package(request):
    """Return the name of a vendor's package that is installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param}-api is not installed")
    return request.param


def make_tape():
    rows = np.zeros(COUNT, TICK)
    at = np.arange(COUNT)
    rows["time_ns"] = START_NS + at * 1_001_000
    rows["price"] = np.round(50 + at * 0.017, 3)
    rows["volume"] = at % 700 + np.where(at % len(MARKETS) == 5, 0.125, 0)
    rows["symbol"] = at % len(MARKETS)
    rows["side"] = at % 3 - 1
    return Tape([symbol for symbol, _, _ in MARKETS], rows)


async def run_client(package, sim, codes, count, home):
    """Return what the client saw."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        package,
        str(sim.port),
        ",".join(codes),
        str(count),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HOME": str(home)},
    )
    try:
        async with asyncio.timeout(40):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = [line for line in output.decode().splitlines() if line.startswith('{"state"')]
    assert len(lines) == 1, (output.decode(), errors.decode())
    return json.loads(lines[0])


def test_every_tick_of_a_tape_is_right(package, tmp_path):
    tape = make_tape()

    async def main():
        async with OpenDSimulator(tape=tape, speed="max", unsubscribe_after_s=1.0) as sim:
            codes = [code for _, code, _ in MARKETS]
            return await run_client(package, sim, codes, COUNT, tmp_path), sim.stats()

    said, stats = asyncio.run(main())
    assert said["complete"], said
    rows = said["rows"]
    assert len(rows) == COUNT == stats["sent"]
    sequences = {}
    for row, (time_ns, price, volume, symbol, side) in zip(rows, tape.rows.tolist(), strict=True):
        _, code, clock = MARKETS[symbol]
        assert row["code"] == code
        assert row["name"] == code.split(".", 1)[1]
        assert row["time"] == f"{clock}.{(time_ns - START_NS) // 1_000_000:03}"
        assert row["price"] == price
        assert row["volume"] == volume
        assert row["turnover"] == price * volume
        assert row["ticker_direction"] == SIDES[side]
        assert row["type"] == "AUTO_MATCH"
        assert row["push_data_type"] == "REALTIME"
        assert row["sequence"] >> 32 == time_ns // 1_000_000_000
        assert row["sequence"] > sequences.get(code, 0)
        sequences[code] = row["sequence"]


def test_requests_are_understood(package, tmp_path):
    async def main():
        async with OpenDSimulator(tape=make_tape(), speed="max", unsubscribe_after_s=1.0) as sim:
            return await run_client(package, sim, ["US.SPY", "HK.00700"], 300, tmp_path)

    said = asyncio.run(main())
    ret, state = said["state"]
    assert ret == 0
    assert state["qot_logined"] is True
    assert state["server_ver"] == "1011"
    ret, text = said["unknown"]
    assert ret == -1
    assert text == "unknown security: NOBODY.US"
    assert said["subscribe"][0] == 0
    ret, info = said["subscription"]
    assert ret == 0
    assert (info["total_used"], info["own_used"]) == (2, 2)
    assert info["remain"] == 99_998
    assert sorted(info["sub_list"]["TICKER"]) == ["HK.00700", "US.SPY"]
    ret, text = said["unsubscribe_early"]
    assert ret == -1
    assert text.startswith("SPY.US, type 4: a subscription can be given up after 1 s")
    assert said["unsubscribe"][0] == 0
    ret, info = said["subscription_after"]
    assert ret == 0
    assert info["sub_list"] == {"TICKER": ["HK.00700"]}
    assert said["unsubscribe_all"][0] == 0


def test_generated_ticks_arrive_too(package, tmp_path):
    async def main():
        sim = OpenDSimulator(symbols=["AAPL.US", "700.HK"], rate=500, seed=4, rows_per_push=3)
        async with sim:
            return await run_client(package, sim, ["US.AAPL", "HK.00700"], 300, tmp_path)

    said = asyncio.run(main())
    assert said["complete"], said
    rows = said["rows"]
    assert {row["code"] for row in rows} == {"US.AAPL", "HK.00700"}
    for code in ("US.AAPL", "HK.00700"):
        sequences = [row["sequence"] for row in rows if row["code"] == code]
        assert sequences == sorted(set(sequences))
    for row in rows:
        assert row["turnover"] == row["price"] * row["volume"]
        assert row["price"] == round(row["price"], 2)
