"""What it costs a feed that another process scrapes its metrics: throughput, latency, and the scrape itself."""

from __future__ import annotations

import statistics
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastfeed as ff
from fastfeed.bench.feeding import fed
from fastfeed.bench.percentiles import columns_of
from fastfeed.bench.plan import Plan
from fastfeed.bench.results import ratio
from fastfeed.bench.turns import Candidate, Effort
from fastfeed.bench.wire import case

RATE = 2000
SECONDS = 1.5
WARM_UP_S = 0.25  # of each round, not counted
ROUNDS = 3
EFFORT = Effort(7, 1)
#: Seconds between two scrapes; 0: nobody scrapes.
SCRAPED = {
    "not scraped": 0.0,
    "every 0.1 s": 0.1,
    "every 10 ms": 0.01,
    "not scraped, again": 0.0,
}
FEEDS = (1, 64)
SYMBOLS = 5000


def candidates(**options: Any) -> list[Candidate]:
    """Return a candidate for each way of being scraped."""
    return [
        Candidate(
            name,
            "scraped:Scraped",
            {"every_s": every_s, **options},
            path=[str(Path(__file__).parent)],
        )
        for name, every_s in SCRAPED.items()
    ]


def test_wire(measure: Any) -> None:
    measure(case(Plan(effort=EFFORT), "opend", candidates(), more=", scraped"))


@pytest.mark.parametrize("receive", ["loop", "thread"])
def test_latency(receive: str, benchmark: Any, report: Any) -> None:
    count = int(RATE * (SECONDS + WARM_UP_S))
    skipped = int(RATE * WARM_UP_S)

    def all_rounds() -> dict[str, list[dict[str, Any]]]:
        with fed("opend", candidates(receive=receive)) as feeding:
            found, _ = feeding.rounds(
                Effort(ROUNDS, 0),
                lambda gateway, _: gateway.paced(feeding.path, RATE, count, 0.0),
                lambda: None,
                count=count,
            )
            return found

    benchmark.group = "latency while scraped, the whole run"
    found = benchmark.pedantic(all_rounds, rounds=1)
    late = {
        name: [np.array(each["late_ns"])[skipped:] for each in rounds]
        for name, rounds in found.items()
    }
    columns = ("p50 µs", "p99 µs", "p99.9 µs", "max µs")
    alone = columns_of(late["not scraped"], columns)["p50 µs"]
    table = f"latency while scraped, {receive}"
    for name, parts in late.items():
        row = columns_of(parts, columns)
        row["x not scraped"] = ratio(row["p50 µs"], alone).rounds
        benchmark.extra_info[name] = row
        report.add(table, name, **row)
        if any(each["scrapes"] for each in found[name]):
            ms = statistics.median(each["ms"] for each in found[name])
            often = statistics.mean(each["scrapes"] for each in found[name])
            report.note(f"{table}, {name}: {often:.0f} scrapes a round, of {ms:.1f} ms each")


@pytest.mark.parametrize("feeds", FEEDS)
def test_scrape(feeds: int, rounds_of: Any, report: Any) -> None:
    hub = ff.Hub(capacity=64, max_symbols=SYMBOLS)
    for number in range(SYMBOLS):
        hub.symbols.intern(f"{number}.US")
    meters = [hub.meters.take(f"opend://127.0.0.{number}:11111") for number in range(feeds)]
    assert None not in meters
    with ff.serve_metrics(0, hub) as server:

        def scrape() -> None:
            with urllib.request.urlopen(server.url, timeout=10) as answer:
                assert answer.read().count(b"fastfeed_feed_up{") == feeds

        seconds = rounds_of(scrape, rounds=15, group="a scrape")
    name = f"{feeds} feed{'s' * (feeds > 1)}, {SYMBOLS} symbols"
    report.add("a scrape", name, ms=[each * 1e3 for each in seconds])
