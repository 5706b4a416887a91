"""Single-tick packets a second over loopback TCP, from a separate sender to a row count in a callback.

The sender is C and its bytes are ready; that it is not what limits anybody is shown by a reader in C that looks at
nothing. Each candidate is a process of its own, on the machine's own choice of cores.
"""

from __future__ import annotations

import statistics
from importlib.util import find_spec
from typing import Any

import pytest
from compiled import NoCompiler
from opend import blasting, client

from fastfeed.bench.opend_pushes import sample

BLOCK = 20_000  # packets that are repeated
WINDOW_BYTES = 1 << 18
ROUNDS = 5
#: Name in the report, client, blocks, rounds.
CANDIDATES = {
    "fastfeed, uvloop": ("fastfeed-uvloop", 1000, 9),
    "fastfeed, asyncio": ("fastfeed-asyncio", 1000, 5),
    "C, decoding": ("c-decode", 1000, 5),
    "C, looking at nothing": ("c-drain", 1000, 5),
    "bare uvloop, framing": ("bare-uvloop", 200, 5),
    "futu-api, protobuf only": ("futu-raw", 1, 5),
    "futu-api": ("futu", 0, 5),  # 0: a part of a block
}
PART = 4_000


@pytest.mark.parametrize("name", CANDIDATES)
def test_wire(name: str, benchmark: Any, report: Any) -> None:
    kind, blocks, rounds = CANDIDATES[name]
    if kind.startswith("futu") and find_spec("futu") is None:
        pytest.skip("no futu-api")
    block = BLOCK if blocks else PART
    stream = sample("ticks", 100, block).stream()
    blocks = blocks or 1
    packets = block * blocks
    total = len(stream) * blocks
    options = []
    if kind.startswith("fastfeed"):
        options = [f"window_bytes={WINDOW_BYTES}"]
    elif kind.startswith("c-"):
        options = [f"window_bytes={WINDOW_BYTES}", f"total_bytes={total}"]
    outcomes: list[dict[str, Any]] = []
    try:
        with (
            blasting(stream, blocks) as sender,
            client(kind, sender.port, packets, *options) as receiver,
        ):

            def one() -> None:
                receiver.send(b"\n")
                outcomes.append(receiver.result())

            benchmark.group = "wire, whole rounds with connect and subscribe"
            benchmark.pedantic(one, rounds=rounds, warmup_rounds=1)
    except NoCompiler as error:
        pytest.skip(str(error))
    rates = [packets / outcome["seconds"] for outcome in outcomes[-rounds:]]
    reads = outcomes[-1].get("reads")
    row = {
        "packets/s": statistics.median(rates),
        "best": max(rates),
        "MB/s": statistics.median(rates) * total / packets / 1e6,
        "CPU ns/packet": min(o["cpu_seconds"] for o in outcomes[-rounds:]) / packets * 1e9,
        "GC runs": statistics.median(o["collections"] for o in outcomes[-rounds:]),
    }
    if reads:
        row["KB/read"] = total / reads / 1e3
    benchmark.extra_info.update(row)
    report.add("wire", name, **row)
