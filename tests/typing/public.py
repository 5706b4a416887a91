"""What type checkers must find in the public surface; read by tests/unit/test_typing.py, never run."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastfeed as ff


async def use() -> None:
    async with ff.connect("opend://127.0.0.1:11111", wait_s=1.0) as feed:
        assert_type(feed, ff.Feed)
        await feed.subscribe("700.HK", "ticks")
        await feed.subscribe(["700.HK", "AAPL.US"], "ticks")
        assert_type(feed.ticks, ff.Stream)
        assert_type(feed.symbols[0], str)
        assert_type(feed.symbols["700.HK"], int)
        async for rows in feed.ticks:
            assert_type(rows, NDArray[np.void])
        remove = feed.ticks.on_batch(lambda batch: print(batch["price"]))
        assert_type(remove(), None)
        reader = feed.ticks.reader("oldest")
        assert_type(await reader.wait(0.5), bool)
        assert_type(reader.read(10), NDArray[np.void])
        assert_type(reader.lost, int)
        assert_type(feed.stats(), dict[str, Any])
        feed.on_event(lambda event: print(event.kind, event.symbols))
    async with ff.OpenD("127.0.0.1", 11111, session="ALL") as opend:
        assert_type(opend, ff.OpenD)


def decode(data: bytes) -> None:
    decoder = ff.Decoder("opend", ff.Hub(capacity=1024))
    assert_type(decoder.feed(memoryview(data)), int)
    assert_type(ff.dtype("ticks"), np.dtype[Any])
    assert_type(ff.run(_answer()), int)


async def _answer() -> int:
    return 42


ff.connect(url="opend://h").subscribe(700, "ticks")  # type: ignore[arg-type, unused-coroutine]
ff.OpenD(session="NIGHT")  # type: ignore[arg-type]
