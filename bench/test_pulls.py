"""Pulls: what a request for 1000 ticks, or 500 quotes, takes, and what a pull does to the ticks that are pushed.

The server of a pull is a simulator, from which all clients get the same. That of OpenD's ticks is once also a gateway
whose reply is ready made, so that the time is the client's own; the bench of latencies has only the latter.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from receivers import HERE, ours

from fastfeed.bench.feeding import fed
from fastfeed.bench.gateway import Gateway
from fastfeed.bench.percentiles import columns_of, percentiles
from fastfeed.bench.process import Process
from fastfeed.bench.results import ratio
from fastfeed.bench.turns import Candidate, Effort, take_turns, worker_cores

ROUNDS = 5
TICKS = (
    ours("fastfeed", "Pulls", options={"calls": 100}),
    ours("futu-api", "FutuPulls", options={"calls": 15}, peer="futu-api", threads=True),
)
#: Calls in a round: no client waits for the limit of ten a second.
ASKED = {"calls": 9, "quoted": 500}
QUOTES = (
    ours("fastfeed", "Quotes", options=ASKED),
    *(
        ours(
            name,
            "SdkQuotes",
            options={"package": package, "read": "," in name, **ASKED},
            peer=package,
            threads=True,
        )
        for package in ("longport", "longbridge")
        for name in (package, f"{package}, values read")
    ),
)

RATE = 500  # ticks a second
JITTER = 0.9  # of a tick's time, as a part of an interval: ticks and pulls are not in step
PULLS_PER_SECOND = 100
SECONDS = 1.5
WARM_UP_S = 0.25  # of each round, not counted
LATENCY_ROUNDS = 5  # pairs of rounds with and without pulls


@contextmanager
def simulated(module: str) -> Iterator[int]:
    """Run a simulator of this folder; yields its port."""
    with Process(module, environment={"PYTHONPATH": str(HERE)}) as process:
        yield int(process.line())


@contextmanager
def ready_made() -> Iterator[int]:
    """Run a gateway that only replies; yields its port."""
    with Gateway("opend", worker_cores()[1]) as gateway:
        gateway.reply()
        yield gateway.port


class Asking(NamedTuple):
    """Who asks, and whom."""

    candidates: Sequence[Candidate]
    server: Callable[[], AbstractContextManager[int]]
    cores: Sequence[int] = ()


#: By table.
PULLS = {
    "pull, simulator": Asking(TICKS, lambda: simulated("simulator"), worker_cores()[0]),
    "pull, ready-made": Asking(TICKS, ready_made, worker_cores()[0]),
    "LongPort quotes": Asking(QUOTES, lambda: simulated("longport_simulator")),
}


@pytest.mark.parametrize("table", PULLS)
def test_pull(table: str, benchmark: Any, report: Any) -> None:
    candidates, server, cores = PULLS[table]

    def all_rounds() -> dict[str, list[dict[str, Any]]]:
        with (
            server() as port,
            take_turns(candidates, {"port": port}, cores) as (turns, missing),
        ):
            report.lack(missing)
            return turns.rounds(Effort(ROUNDS, 0), lambda: None)

    benchmark.group = "pulls, the whole run"
    found = benchmark.pedantic(all_rounds, rounds=1)
    sums = {round(each["checksum"], 2) for rounds in found.values() for each in rounds}
    assert len(sums) == 1, "the clients did not get the same"
    ms = {
        name: [statistics.median(each["seconds"]) * 1e3 for each in rounds]
        for name, rounds in found.items()
    }
    for name, rounds in ms.items():
        row = {
            "ms/pull": rounds,
            "best": min(rounds),
            "x fastfeed": ratio(rounds, ms["fastfeed"]).rounds,
        }
        benchmark.extra_info[name] = row
        report.add(table, name, **row)


def test_latency_with_pulls(benchmark: Any, report: Any) -> None:
    count = int(RATE * (SECONDS + WARM_UP_S))
    skipped = int(RATE * WARM_UP_S)
    names = {"without": 0, "with": PULLS_PER_SECOND, "without, again": 0}
    candidates = [
        ours(name, "StampsAndPulls", options={"pulls_per_second": rate})
        for name, rate in names.items()
    ]

    def all_rounds() -> dict[str, list[dict[str, Any]]]:
        with fed("opend", candidates) as feeding:
            found, _ = feeding.rounds(
                Effort(LATENCY_ROUNDS, 0),
                lambda gateway, _: gateway.paced(feeding.path, RATE, count, JITTER),
                lambda: None,
                count=count,
            )
            return found

    benchmark.group = "latency with pulls, the whole run"
    found = benchmark.pedantic(all_rounds, rounds=1)
    late = {
        name: [np.array(each["late_ns"])[skipped:] for each in rounds]
        for name, rounds in found.items()
    }
    columns = ("p50 µs", "p99 µs", "max µs")
    without = columns_of(late["without"], columns)["p50 µs"]
    for name, parts in late.items():
        row = columns_of(parts, columns)
        row["x without"] = ratio(row["p50 µs"], without).rounds
        benchmark.extra_info[name] = row
        report.add("latency and pulls", name, **row)
    during = [np.array(each["meanwhile"])[skipped:] for each in found["with"]]
    meanwhile = np.concatenate(
        [part[chosen] for part, chosen in zip(late["with"], during, strict=True)]
    )
    if len(meanwhile):
        report.add(
            "latency and pulls",
            "of these, while one is under way",
            **{column: percentiles(meanwhile)[column] for column in ("p50 µs", "max µs")},
        )
    pulls = sum(each["pulls"] for each in found["with"])
    per_second = pulls / LATENCY_ROUNDS / (SECONDS + WARM_UP_S)
    report.note(
        f"Latency and pulls: {RATE} ticks and {per_second:.0f} pulls of 1000 bars a second; "
        f"{len(meanwhile)} ticks came while a pull was under way."
    )
