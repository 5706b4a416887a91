"""A simulated OpenD in a process of its own: prints its port, serves until stdin ends.

Its one symbol has traded often enough for the longest pull as soon as somebody has subscribed to it; then it is silent.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from fastfeed.bench.opend_pushes import EPOCH_S, PULLED, codes
from fastfeed.sim import OpenDSimulator
from fastfeed.sim.tape import TICK, Tape


async def main() -> None:
    """Serve."""
    rows = np.zeros(PULLED, TICK)
    rows["time_ns"] = (EPOCH_S * 1000 + np.arange(PULLED)) * 1_000_000
    rows["price"] = np.random.default_rng(1).integers(10_000, 11_000, PULLED) / 100
    rows["volume"] = 100
    tape = Tape([f"{codes(1)[0]}.US"], rows)
    async with OpenDSimulator(tape=tape, speed="max") as simulator:
        print(simulator.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
