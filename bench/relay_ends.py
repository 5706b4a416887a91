"""Both ends of a relay, each a process of its own, and what one would write without fastfeed.

Run as ``python relay_ends.py ROLE ...``; it takes a line on its stdin as the word to begin, and answers in JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from typing import Any

import numpy as np

import fastfeed as ff

HUB = "relay-bench"
_STEP_S = 0.001


def say(**what: Any) -> None:
    """Answer."""
    print(json.dumps(what), flush=True)


def cpu_s() -> float:
    """Return the processor's seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_of(pid: int) -> float:
    """Return those of another process."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write(symbols: int, rate: int, seconds: float) -> None:
    """Write ticks into a hub at a rate, of all symbols at random, and say when it began and how many there were."""
    with ff.Hub(HUB) as hub:
        names = [f"{i}.HK" for i in range(symbols)]
        ids = np.array([hub.symbols.intern(name) for name in names], "u4")
        chosen = ids[np.random.default_rng(7).integers(0, symbols, 1 << 20)]
        most = rate // 10
        rows = np.zeros(most, hub.ticks.dtype)
        data = rows.view(np.uint8)
        say(ready=True)
        sys.stdin.readline()
        began, before = time.time_ns(), cpu_s()
        number = 0
        while (passed := (time.time_ns() - began) / 1e9) < seconds:
            count = min(int(passed * rate) - number, most)
            if count > 0:
                at = np.arange(number, number + count)
                rows["symbol"][:count] = chosen[at & (len(chosen) - 1)]
                rows["seq"][:count] = at
                rows["recv_ns"] = time.time_ns()
                hub.ticks.ring.write(data[: count * 64])
                number += count
            time.sleep(_STEP_S)
        say(began_ns=began, rows=number, cpu_s=cpu_s() - before)
        sys.stdin.readline()


def take(url: str) -> None:
    """Receive all ticks; say how many there were, how late, and when the last one came."""
    ff.run(_take(url))


async def _take(url: str) -> None:
    late: list[np.ndarray] = []
    state = {"rows": 0, "last_ns": 0, "gaps": 0}
    total: int | None = None
    done = asyncio.Event()

    def on_event(event: ff.Event) -> None:
        state["gaps"] += event.kind == "gap"

    def on_ticks(rows: Any) -> None:
        now = time.time_ns()
        late.append(now - rows["recv_ns"])
        state["rows"] += len(rows)
        state["last_ns"] = now
        if total is not None and state["rows"] >= total:
            done.set()

    async with ff.connect(f"{url}/md", wait_s=10.0) as feed:
        feed.on_event(on_event)
        feed.ticks.on_batch(on_ticks)
        await feed.subscribe("*", "ticks")
        say(ready=True)
        before = cpu_s()
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        total = int(line)  # the writer has ended
        if state["rows"] < total:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 20)
        used = cpu_s() - before
        all_late = np.concatenate(late) if late else np.zeros(1, "i8")
        p50, p99 = np.percentile(all_late[len(all_late) // 5 :], [50, 99]) / 1e6
        messages = feed.stats()["messages"]
    say(**state, p50_ms=p50, p99_ms=p99, messages=messages, cpu_s=used)


def plain(url: str, way: str, seconds: float) -> None:
    """Publish one tick a message with nats-py, and say how many a second were acknowledged."""
    ff.run(_plain(url, way, seconds))


async def _plain(url: str, way: str, seconds: float) -> None:
    import nats

    client = await nats.connect(url)
    js = client.jetstream(publish_async_max_pending=512)
    await js.add_stream(name="plain", subjects=["plain.>"])
    payload = bytes(64)
    count, before, began = 0, cpu_s(), time.monotonic()
    while time.monotonic() - began < seconds:
        if way == "await":
            await js.publish("plain.ticks.HK.700", payload)
        else:
            await js.publish_async("plain.ticks.HK.700", payload)
        count += 1
    if way != "await":
        await js.publish_async_completed()
    took = time.monotonic() - began
    await js.delete_stream("plain")
    await client.close()
    say(rate=count / took, cpu_s=cpu_s() - before)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "write":
        write(int(arguments[0]), int(arguments[1]), float(arguments[2]))
    elif role == "take":
        take(arguments[0])
    else:
        plain(arguments[0], arguments[1], float(arguments[2]))
