"""What a tick costs with more symbols, and what it leaves behind in memory: nothing."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from fastfeed.bench.opend_decoders import Fastfeed
from fastfeed.bench.opend_pushes import sample
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.scaling import cases

PACKETS = 50_000
MEMORY_TICKS = 1_000_000


@pytest.mark.parametrize("case", [*cases(Plan())], ids=lambda case: case.name)
def test_scaling(case: Case, measure: Any) -> None:
    measure(case)


def test_memory(benchmark: Any, report: Any) -> None:
    candidate = Fastfeed(sample("ticks", 100, PACKETS))
    candidate.run()
    rounds = MEMORY_TICKS // PACKETS

    def run() -> None:
        for _ in range(rounds):
            candidate.run()

    tracemalloc.start()
    try:
        candidate.run()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        benchmark.group = f"{MEMORY_TICKS} ticks under tracemalloc"
        benchmark.pedantic(run, rounds=1)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    report.add(
        "memory of Python",
        f"{MEMORY_TICKS} ticks",
        **{"bytes kept": after - before, "bytes at the peak": peak - before},
    )
