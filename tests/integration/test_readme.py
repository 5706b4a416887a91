"""What the README shows works as it stands."""

import ast
import asyncio
import contextlib
import inspect
import pathlib
import re

import pytest

import fastfeed as ff
from fastfeed.protocols.alltick_codes import PLANS
from fastfeed.sim import AllTickSimulator, OpenDSimulator

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)

OPEND = "opend://127.0.0.1:11111"
ALLTICK = "ws://127.0.0.1:11112"


def block(words):
    (found,) = [text for text in BLOCKS if words in text]
    return found


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("ALLTICK_TOKEN", "testtoken")


def alltick():
    return AllTickSimulator(market="crypto", symbols=["BTCUSDT", "EURUSD", "GOLD"], rate=1000)


async def run_pulls(text, feed):
    """Run top-level code that has a feed; return its names."""
    code = compile(text, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {"feed": feed}
    running = eval(code, names)
    assert inspect.iscoroutine(running)
    await running
    return names


def test_every_block_is_run():
    assert len(BLOCKS) == 4


@pytest.mark.parametrize("address", [OPEND, ALLTICK])
def test_quick_starts(address, monkeypatch, capsys):
    text = block(address)
    mains = []
    monkeypatch.setattr(ff, "run", mains.append)

    async def main():
        async with (
            OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=1000)
            if address == OPEND
            else alltick()
        ) as sim:
            exec(text.replace(address, sim.url), {})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(mains[0], 2.5)

    asyncio.run(main())
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(
        ["700.HK", "AAPL.US"] if address == OPEND else ["BTCUSDT", "EURUSD"]
    )


def test_the_pulls(capsys):
    async def main():
        async with OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=1000) as sim:
            async with ff.connect(sim.url) as feed:
                return await run_pulls(block("get_watchlist"), feed)

    names = asyncio.run(main())
    assert names["names"] == ["700.HK", "AAPL.US"]
    assert [snapshot.symbol for snapshot in names["snapshots"]] == names["names"]
    assert len(names["everything"]) > 2000
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_the_pulls_of_alltick():
    async def main():
        async with alltick() as sim:
            async with ff.connect("alltick://crypto", url=sim.url, plan="professional") as feed:
                return await run_pulls(block("latest ="), feed)

    names = asyncio.run(main())
    assert [len(names[name]) for name in ("trades", "bars", "latest")] == [2, 100, 4]
    assert names["book"]["bids"] == 5


def test_the_plans_are_those_that_are_kept():
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| ([\d,]+)[^|]*\| (\d+) s \|(.*)\|$", README.read_text(), re.M
    )
    assert [row[0] for row in rows] == list(PLANS)
    for name, connections, codes, gap_s, http in rows:
        plan = PLANS[name]
        calls, *most = http.replace(",", "").split("|")
        assert (int(connections), int(codes.replace(",", "").strip())) == (
            plan.connections,
            plan.codes,
        )
        assert float(gap_s) == plan.reconnect_gap_s
        assert int(calls.split()[0]) == plan.request[0]
        assert [int(number) for number in most] == [plan.per_minute, plan.per_day]
