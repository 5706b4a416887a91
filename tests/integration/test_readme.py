"""What the README shows works as it stands."""

import ast
import asyncio
import inspect
import pathlib
import re

import fastfeed as ff
from fastfeed.sim import OpenDSimulator

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def test_the_pulls(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (pulls,) = [block for block in blocks if "get_watchlist" in block]
    code = compile(pulls, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def main():
        async with OpenDSimulator(symbols=["700.HK", "AAPL.US"], rate=1000) as sim:
            async with ff.connect(sim.url) as feed:
                names = {"feed": feed}
                running = eval(code, names)
                assert inspect.iscoroutine(running)
                await running
                return names

    names = asyncio.run(main())
    assert names["names"] == ["700.HK", "AAPL.US"]
    assert [snapshot.symbol for snapshot in names["snapshots"]] == names["names"]
    assert len(names["everything"]) > 2000
    assert len(capsys.readouterr().out.splitlines()) >= 3
