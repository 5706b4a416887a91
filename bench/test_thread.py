"""From the wire to the ring, with the loop's own receiving and with a thread that needs no interpreter.

A row counts when its ring was published: the writer notes the time as it does so, and a watcher reads the note in the
middle between two packets. Peers are loops in C that receive, decode and publish in the same way, watched in the
same way. Gateway and schedule are those of the instrument's latency, but nobody is pinned: all have several threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from compiled import NoCompiler, Publisher
from receivers import ours

from fastfeed.bench.feeding import BLOCK, fed
from fastfeed.bench.percentiles import columns_of
from fastfeed.bench.results import ratio
from fastfeed.bench.turns import Candidate, Effort

ROUNDS = 6
RATE = 2000
WARM_UP_S = 0.25  # of each round, not counted
COUNT = int(RATE * (1.25 + WARM_UP_S))
INTERVAL_NS = 1_000_000_000 // RATE
HOLD_MS = 100
HELD_ROUNDS = 3
BLOCKS = 500
RATE_ROUNDS = 7
COLUMNS = ("p50 µs", "p99 µs", "p99.9 µs", "max µs")
#: How fastfeed receives, by name in the report.
RECEIVING: dict[str, dict[str, Any]] = {
    "fastfeed, thread spinning": {"receive": "thread", "spin": True},
    "fastfeed, thread": {"receive": "thread"},
    "fastfeed, loop": {},
}
LOOPS = {"C, spinning": "spin", "C, epoll": "epoll"}


def fastfeeds(factory: str, **options: Any) -> list[Candidate]:
    """Return fastfeed's candidates."""
    return [
        ours(name, factory, options={**how, **options}, threads=True)
        for name, how in RECEIVING.items()
    ]


def loops(**options: Any) -> list[Candidate]:
    """Return the loops in C."""
    return [
        ours(name, "LoopPublished", options={"how": how, **options}, threads=True)
        for name, how in LOOPS.items()
    ]


BARE = Candidate(
    "bare uvloop, up to the read", "fastfeed.bench.opend_clients:Bare", peer="uvloop", threads=True
)


@pytest.fixture(autouse=True)
def _compiled() -> None:
    """Compile what the workers use before they are waited for."""
    try:
        Publisher(["A"])
    except NoCompiler as error:
        pytest.skip(str(error))


def latencies(
    candidates: Sequence[Candidate], rounds: int, benchmark: Any
) -> dict[str, list[np.ndarray]]:
    """Return the latencies of candidates by rounds, in ns."""

    def all_rounds() -> dict[str, list[dict[str, Any]]]:
        with fed("opend", candidates, pinned=False) as feeding:
            found, _ = feeding.rounds(
                Effort(rounds, 0),
                lambda gateway, _: gateway.paced(feeding.path, RATE, COUNT, 0.0),
                lambda: None,
                count=COUNT,
            )
            return found

    benchmark.group = "wire to ring, the whole run"
    found = benchmark.pedantic(all_rounds, rounds=1)
    skipped = int(RATE * WARM_UP_S)
    return {
        name: [np.array(each["late_ns"])[skipped:] for each in parts]
        for name, parts in found.items()
    }


def test_latency(benchmark: Any, report: Any) -> None:
    options = {"interval_ns": INTERVAL_NS}
    candidates = [*loops(**options), *fastfeeds("Published", **options), BARE]
    rounds = latencies(candidates, ROUNDS, benchmark)
    first = columns_of(rounds["C, spinning"], COLUMNS)["p50 µs"]
    for name, parts in rounds.items():
        row = columns_of(parts, COLUMNS)
        row["x C, spinning"] = ratio(row["p50 µs"], first).rounds
        benchmark.extra_info[name] = row
        report.add(f"wire to ring {RATE}/s", name, **row)


def test_gil(benchmark: Any, report: Any) -> None:
    """The same while Python code holds the GIL for a tenth of a second, again and again."""
    candidates = fastfeeds("Published", interval_ns=INTERVAL_NS, hold_ms=HOLD_MS)
    for name, parts in latencies(candidates, HELD_ROUNDS, benchmark).items():
        row = columns_of(parts, COLUMNS)
        benchmark.extra_info[name] = row
        report.add("wire to ring, the GIL held", name, **row)


def test_rate(benchmark: Any, report: Any) -> None:
    options = {"pushes": BLOCK, "repeat": BLOCKS}
    packets = BLOCK * BLOCKS

    def all_rounds() -> dict[str, list[dict[str, Any]]]:
        candidates = [*loops(**options), *fastfeeds("Publishing", **options)]
        with fed("opend", candidates, pinned=False) as feeding:
            found, _ = feeding.rounds(
                Effort(RATE_ROUNDS, 1),
                lambda gateway, _: gateway.blast(feeding.path, BLOCK, BLOCKS),
                lambda: None,
            )
            return found

    benchmark.group = "wire to ring, the whole run"
    outcomes = benchmark.pedantic(all_rounds, rounds=1)
    for name, parts in outcomes.items():
        rates = [packets / part["seconds"] for part in parts]
        others = [packets / part["seconds"] for part in outcomes["C, spinning"]]
        row = {
            "packets/s": rates,
            "best": max(rates),
            "x C, spinning": ratio(rates, others).rounds,
            "CPU ns/packet": [part["cpu_s"] / packets * 1e9 for part in parts],
        }
        benchmark.extra_info[name] = row
        report.add("wire to ring, packets/s", name, **row)
