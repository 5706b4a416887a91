"""LongPort's pulls of 500 quotes, from the simulator, beside the official SDKs."""

from __future__ import annotations

import statistics
from typing import Any

from receivers import HERE, ours

from fastfeed.bench.process import Process
from fastfeed.bench.turns import Effort, take_turns

QUOTED = 500
CALLS = 9  # in a round: no client waits for the limit of ten a second
ROUNDS = 5
CANDIDATES = [
    ours("fastfeed", "Quotes"),
    *(
        ours(
            name,
            "SdkQuotes",
            options={"package": package, "read": "," in name},
            peer=package,
            threads=True,
        )
        for package in ("longport", "longbridge")
        for name in (package, f"{package}, values read")
    ),
]


def test_quotes(benchmark: Any, report: Any) -> None:
    def all_rounds() -> dict[str, list[dict[str, Any]]]:
        with Process("longport_simulator", environment={"PYTHONPATH": str(HERE)}) as simulator:
            common = {"port": int(simulator.line()), "calls": CALLS, "quoted": QUOTED}
            with take_turns(CANDIDATES, common) as (turns, missing):
                for each in missing:
                    report.note(f"LongPort quotes: no {each.name}: {each.why}")
                return turns.rounds(Effort(ROUNDS, 0), lambda: None)

    benchmark.group = "LongPort's quotes, the whole run"
    found = benchmark.pedantic(all_rounds, rounds=1)
    sums = {round(each["checksum"], 2) for rounds in found.values() for each in rounds}
    assert len(sums) == 1, "the clients did not get the same quotes"
    seconds = {
        name: [statistics.median(each["seconds"]) for each in rounds]
        for name, rounds in found.items()
    }
    ours_s = statistics.median(seconds["fastfeed"])
    for name, times in seconds.items():
        row = {
            "ms/pull": statistics.median(times) * 1e3,
            "best": min(times) * 1e3,
            "x fastfeed": statistics.median(times) / ours_s,
        }
        benchmark.extra_info[name] = row
        report.add("LongPort quotes", name, **row)
