"""From the moment a packet should be sent to the callback that gets its row, in microseconds.

The sender keeps to a schedule whether anybody keeps up or not (open loop), and each packet carries the time that was
meant for it: waiting in a queue counts. The loop's own part is measured in the same way, by a bare uvloop protocol that
reads nothing but the stamp. Candidates take turns, so that a noisy minute hits all of them.
"""

from __future__ import annotations

import random
import statistics
import time
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from compiled import NoCompiler
from opend import Process, Sender, client, paced

from fastfeed.bench.opend_pushes import codes, on_wire, push

ROUNDS = 6
SECONDS = 2.5
LEAD_NS = 300_000_000
WARM_UP_S = 0.25  # of each round, not counted
#: Packets a second, and who takes part.
CANDIDATES = {
    500: {"bare uvloop": "bare-stamps", "fastfeed": "fastfeed-stamps", "futu-api": "futu-stamps"},
    2000: {"bare uvloop": "bare-stamps", "fastfeed": "fastfeed-stamps"},
}


def schedule(rate: int, count: int, jitter_ns: int = 1) -> list[tuple[int, bytes]]:
    """Return packets and their times, from a little later on, each later by chance by less than the jitter."""
    rng = random.Random(rate)
    names = codes(100)
    packets = []
    start = time.time_ns() + LEAD_NS + count * 30_000
    for i in range(count):
        at = start + i * 1_000_000_000 // rate + rng.randrange(jitter_ns)
        packets.append((at, on_wire(push(rng.choice(names), 1, i, rng, sequence=at), i)))
    return packets


def one_round(receiver: Process, sender: Sender, rate: int, count: int) -> np.ndarray:
    """Return the latencies of a round in µs, in order."""
    receiver.send(b"\n")
    sender.schedule(schedule(rate, count))
    late = np.array(receiver.result()["late_ns"]) / 1e3
    assert len(late) == count
    return late[int(rate * WARM_UP_S) :]


@pytest.mark.parametrize("rate", CANDIDATES)
def test_latency(rate: int, benchmark: Any, report: Any) -> None:
    count = int(rate * (SECONDS + WARM_UP_S))
    names = dict(CANDIDATES[rate])
    if find_spec("futu") is None:
        names.pop("futu-api", None)
    rounds: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def all_rounds() -> None:
        with ExitStack() as stack:
            sender = stack.enter_context(paced())
            receivers = {
                name: stack.enter_context(client(kind, sender.port, count))
                for name, kind in names.items()
            }
            for i in range(ROUNDS):
                for name in list(names) if i % 2 else reversed(names):
                    if name != "futu-api" or i % 2:
                        rounds[name].append(one_round(receivers[name], sender, rate, count))

    benchmark.group = "latency, the whole run"
    try:
        benchmark.pedantic(all_rounds, rounds=1)
    except NoCompiler as error:
        pytest.skip(str(error))
    for name, parts in rounds.items():
        row = {
            f"p{p:g} µs": statistics.median(float(np.percentile(part, p)) for part in parts)
            for p in (50, 99, 99.9)
        }
        bare = rounds["bare uvloop"] if len(parts) == ROUNDS else rounds["bare uvloop"][1::2]
        row["x bare uvloop"] = statistics.median(
            float(np.median(part) / np.median(other))
            for part, other in zip(parts, bare, strict=True)
        )
        row["max µs"] = float(max(part.max() for part in parts))
        medians = [float(np.median(part)) for part in parts]
        row |= {"p50 of the best": min(medians), "and worst round": max(medians)}
        benchmark.extra_info[name] = row
        report.add(f"latency {rate}/s", name, **row)
