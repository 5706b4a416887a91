"""Candidates for the same work, measured in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

__all__ = ["compare"]

ROUNDS = 40


class Candidate(Protocol):
    """Who does the work."""

    def run(self) -> None: ...


class Sample(Protocol):
    """What it is done with: pushes, and where each of them ends."""

    @property
    def ends(self) -> np.ndarray[Any, np.dtype[Any]]: ...


def compare(
    vendor: str,
    kind: str,
    candidates: Mapping[str, Candidate],
    samples: Mapping[str, Sample],
    benchmark: Any,
    report: Any,
) -> None:
    """Measure the candidates, each with its sample, and report them beside the one named ``"fastfeed"``."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}

    def all_rounds() -> None:
        for i in range(ROUNDS):
            for name in list(candidates) if i % 2 else reversed(list(candidates)):
                started = time.perf_counter()
                candidates[name].run()
                seconds[name].append(time.perf_counter() - started)

    benchmark.group = f"{vendor}'s pushes, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    first = statistics.median(seconds["fastfeed"]) / len(samples["fastfeed"].ends)
    for name, times in seconds.items():
        ends = samples[name].ends
        each = statistics.median(times)
        row = {
            "ns/push": each / len(ends) * 1e9,
            "MB/s": int(ends[-1]) / each / 1e6,
            "x fastfeed": each / len(ends) / first,
            "best ns": min(times) / len(ends) * 1e9,
        }
        benchmark.extra_info[name] = row
        report.add(f"{vendor} {kind}", name, **row)
