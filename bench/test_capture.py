"""What a raw capture costs, and how fast one is played.

Live: a blast as that of the wire, from another process over loopback to a count of rows in a callback, with and
without a capture to a file on disk, of which nothing may be lost. Nobody is pinned: the capture has a thread of its
own, which takes what the sender leaves.
"""

from __future__ import annotations

from typing import Any

import pytest
from receivers import ours

from fastfeed.bench.feeding import BLOCK, fed
from fastfeed.bench.results import ratio
from fastfeed.bench.turns import Candidate, Effort

ROUNDS = 9
TICKS = 4_000_000
CLIENTS = {
    "opend": ("opend_clients", "CapturingOpenD", 1.0),
    "longport": ("longport_clients", "CapturingLongPort", 1.0),
    "alltick": ("alltick_clients", "CapturingAllTick", 0.5),
}


@pytest.mark.parametrize("vendor", CLIENTS)
def test_wire(vendor: str, benchmark: Any, report: Any) -> None:
    module, factory, work = CLIENTS[vendor]
    repeat = round(TICKS * work / BLOCK)
    options = {"pushes": BLOCK, "repeat": repeat}
    candidates = [
        Candidate("fastfeed", f"fastfeed.bench.{module}:Fastfeed", options),
        ours("fastfeed, capturing", factory, options=options, threads=True),
    ]

    def all_rounds() -> dict[str, list[dict[str, Any]]]:
        with fed(vendor, candidates, pinned=False) as feeding:
            feeding.agree()
            found, _ = feeding.rounds(
                Effort(ROUNDS, 1),
                lambda gateway, _: gateway.blast(feeding.path, BLOCK, repeat),
                lambda: None,
            )
            return found

    benchmark.group = "capture, the whole run"
    found = benchmark.pedantic(all_rounds, rounds=1)
    seconds = {name: [part["seconds"] for part in parts] for name, parts in found.items()}
    total = BLOCK * repeat
    for name, parts in found.items():
        row = {
            "ticks/s": [total / part["seconds"] for part in parts],
            "x fastfeed": ratio(seconds[name], seconds["fastfeed"]).rounds,
            "CPU ns/tick": [part["cpu_s"] / total * 1e9 for part in parts],
        }
        benchmark.extra_info[name] = row
        report.add(f"capture {vendor}", name, **row)
