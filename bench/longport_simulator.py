"""A simulated LongPort with 500 symbols in a process of its own: prints its port, serves until stdin ends."""

from __future__ import annotations

import asyncio
import sys

#: A fifth of them with extended hours.
SYMBOLS = [f"{number}.HK" for number in range(1, 401)] + [f"X{number}.US" for number in range(100)]


async def main() -> None:
    """Serve."""
    from fastfeed.sim.longport import LongPortSimulator

    async with LongPortSimulator(symbols=SYMBOLS, hold=True) as simulator:
        print(simulator.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
