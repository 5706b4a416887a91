"""Pulls: what a request for 1000 ticks takes, and what a pull does to the ticks that are pushed meanwhile.

The server of the first bench is once the simulator, from which both clients get the same, and once a program in C whose
reply is ready made, so that the time is the client's own. The second bench has only the latter.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from compiled import NoCompiler
from opend import Process, Sender, answering, client, paced, simulator
from test_latency import WARM_UP_S, schedule

ROUNDS = 5
CALLS = {"fastfeed": 100, "futu-api": 15}  # in a round
SERVERS: dict[str, Callable[[], AbstractContextManager[Sender]]] = {
    "simulator": simulator,
    "ready-made": answering,
}
CLIENTS = {"fastfeed": "fastfeed-pulls", "futu-api": "futu-pulls"}

RATE = 500  # ticks a second
JITTER_NS = 1_800_000  # of a tick's time: ticks and pulls are not in step
PULLS_PER_SECOND = 100
SECONDS = 1.5
LATENCY_ROUNDS = 5  # pairs of rounds with and without pulls


@pytest.mark.parametrize("server", SERVERS)
def test_pull(server: str, benchmark: Any, report: Any) -> None:
    names = dict(CLIENTS)
    if find_spec("futu") is None:
        names.pop("futu-api")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    sums = set()

    def all_rounds() -> None:
        with ExitStack() as stack:
            port = stack.enter_context(SERVERS[server]()).port
            receivers = {
                name: stack.enter_context(client(kind, port, CALLS[name]))
                for name, kind in names.items()
            }
            for i in range(ROUNDS):
                for name in list(names) if i % 2 else reversed(names):
                    receivers[name].send(b"\n")
                    outcome = receivers[name].result()
                    seconds[name].append(statistics.median(outcome["seconds"]))
                    sums.add(round(outcome["checksum"], 2))

    benchmark.group = "pulls, the whole run"
    try:
        benchmark.pedantic(all_rounds, rounds=1)
    except NoCompiler as error:
        pytest.skip(str(error))
    assert len(sums) == 1, "the clients did not get the same ticks"
    ours = statistics.median(seconds["fastfeed"])
    for name, times in seconds.items():
        row = {
            "ms/pull": statistics.median(times) * 1e3,
            "best": min(times) * 1e3,
            "x fastfeed": statistics.median(times) / ours,
        }
        benchmark.extra_info[name] = row
        report.add(f"pull, {server}", name, **row)


def one_round(receiver: Process, sender: Sender, count: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the latencies of a round in microseconds without its beginning, and what else was told."""
    receiver.send(b"\n")
    sender.schedule(schedule(RATE, count, JITTER_NS))
    outcome = receiver.result()
    late = np.array(outcome["late_ns"]) / 1e3
    assert len(late) == count
    return late[int(RATE * WARM_UP_S) :], outcome


def test_latency_with_pulls(benchmark: Any, report: Any) -> None:
    count = int(RATE * (SECONDS + WARM_UP_S))
    names = {"without": 0, "with": PULLS_PER_SECOND, "without, again": 0}
    rounds: dict[str, list[np.ndarray]] = {name: [] for name in names}
    meanwhile: list[float] = []
    pulls = 0

    def all_rounds() -> None:
        nonlocal pulls
        with ExitStack() as stack:
            sender = stack.enter_context(paced())
            receivers = {
                rate: stack.enter_context(
                    client(
                        "fastfeed-stamps-and-pulls",
                        sender.port,
                        count,
                        f"pulls_per_second={rate}",
                    )
                )
                for rate in set(names.values())
            }
            for i in range(LATENCY_ROUNDS):
                for name in list(names) if i % 2 else reversed(names):
                    late, outcome = one_round(receivers[names[name]], sender, count)
                    rounds[name].append(late)
                    if names[name]:
                        during = np.array(outcome["meanwhile"])[int(RATE * WARM_UP_S) :]
                        meanwhile.extend(late[during].tolist())
                        pulls += outcome["pulls"]

    benchmark.group = "latency with pulls, the whole run"
    try:
        benchmark.pedantic(all_rounds, rounds=1)
    except NoCompiler as error:
        pytest.skip(str(error))
    for name, parts in rounds.items():
        row = {
            f"p{p:g} µs": statistics.median(float(np.percentile(part, p)) for part in parts)
            for p in (50, 99)
        }
        row["x without"] = statistics.median(
            float(np.median(part) / np.median(other))
            for part, other in zip(parts, rounds["without"], strict=True)
        )
        row["max µs"] = float(max(part.max() for part in parts))
        benchmark.extra_info[name] = row
        report.add("latency and pulls", name, **row)
    if meanwhile:
        report.add(
            "latency and pulls",
            "of these, while one is under way",
            **{"p50 µs": float(np.median(meanwhile)), "max µs": max(meanwhile)},
        )
    per_second = pulls / LATENCY_ROUNDS / (SECONDS + WARM_UP_S)
    report.note(
        f"Latency and pulls: {RATE} ticks and {per_second:.0f} pulls of 1000 bars a second; "
        f"{len(meanwhile)} ticks came while a pull was under way."
    )
