"""What a tick costs with more symbols, and what it leaves behind in memory: nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from packets import Sample
from peers import Fastfeed

PACKETS = 50_000
SYMBOLS = (1, 10, 100, 1000, 10_000)
MEMORY_TICKS = 1_000_000


@pytest.mark.parametrize("symbols", SYMBOLS)
def test_symbols(symbols: int, timed: Callable[..., float], report: Any) -> None:
    candidate = Fastfeed(Sample(symbols, PACKETS))
    candidate.run()
    assert len(set(candidate.rows()[0])) == symbols
    seconds = timed(candidate.run, rounds=40, group=f"symbols, {PACKETS} packets")
    ns = seconds / PACKETS * 1e9
    first = report.get("symbols", "1", "ns/tick") or ns
    report.add("symbols", str(symbols), **{"ns/tick": ns, "x 1 symbol": ns / first})


def test_memory(benchmark: Any, report: Any) -> None:
    candidate = Fastfeed(Sample(100, PACKETS))
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
