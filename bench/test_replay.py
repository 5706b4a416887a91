"""Ticks a second that a capture plays, through `ff.connect("file://...")` to a callback, beside the live wire path.

Sender and pushes are those of the wire bench. Whoever replays takes them live first and captures them, which is not
timed; then it plays what it has captured, which lies in the page cache. Nobody is pinned: nobody sends what is
played, and a thread reads it on the core that a sender has.
"""

from __future__ import annotations

from typing import Any

import pytest
from receivers import HERE

from fastfeed.bench.feeding import BLOCK, fed
from fastfeed.bench.results import ratio
from fastfeed.bench.turns import Candidate, Effort

ROUNDS = 5
BLOCKS = {"opend": 50, "longport": 80, "alltick": 40}


@pytest.mark.parametrize("vendor", list(BLOCKS))
def test_replay(vendor: str, benchmark: Any, report: Any) -> None:
    options = {"pushes": BLOCK, "repeat": BLOCKS[vendor]}
    candidates = [
        Candidate("fastfeed, live", f"fastfeed.bench.{vendor}_clients:Fastfeed", options),
        Candidate(
            "fastfeed, file://",
            f"replayed:{vendor.capitalize()}",
            options,
            threads=True,
            path=[str(HERE)],
        ),
    ]

    def run() -> dict[str, list[dict[str, Any]]]:
        with fed(vendor, candidates, pinned=False) as feeding:
            feeding.agree()
            found, _ = feeding.rounds(
                Effort(ROUNDS, 1),
                lambda gateway, each: gateway.blast(feeding.path, BLOCK, BLOCKS[vendor]),
                lambda: None,
            )
            report.lack(feeding.missing)
            return found

    benchmark.group = "whole tables"
    found = benchmark.pedantic(run, rounds=1)
    total = BLOCK * BLOCKS[vendor]
    live = [each["seconds"] / total for each in found["fastfeed, live"]]
    for name, rounds in found.items():
        seconds = [each["seconds"] / total for each in rounds]
        report.add(
            f"replay {vendor}",
            name,
            **{
                "ticks/s": [1 / each for each in seconds],
                "x live": ratio(live, seconds).rounds,
            },
        )
