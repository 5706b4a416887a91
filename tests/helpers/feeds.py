"""What tests of feeds have in common."""

import asyncio
import random
import time

import fastfeed as ff


async def until(condition, timeout=15.0):
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


def quick():
    """Return options for short pauses."""
    return {"backoff": ff.Backoff(0.01, 0.05, random.Random(0))}


def listen(reports):
    """Let the loop tell what nobody catches."""
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reports.append(str(context))
    )
