"""From the wire to the ring, with the loop's own receiving and with a thread that needs no interpreter.

A row counts when its ring was published: the writer notes the time as it does so, and a watcher reads the note in the
middle between two packets. Peers are loops in C that receive, decode and publish in the same way, watched in the
same way. Sender and schedule are those of test_latency.py; candidates take turns.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from compiled import NoCompiler, Publisher
from opend import blasting, client, paced
from test_latency import WARM_UP_S, one_round
from test_wire import BLOCK, WINDOW_BYTES

from fastfeed.bench.opend_pushes import sample

ROUNDS = 6
RATE = 2000
COUNT = int(RATE * (1.25 + WARM_UP_S))
INTERVAL_NS = 1_000_000_000 // RATE
HOLD_MS = 100
HELD_ROUNDS = 3
#: Name in the report, client.
LATENCY = {
    "C, spinning": "c-spin-published",
    "fastfeed, thread spinning": "fastfeed-spin-published",
    "C, epoll": "c-epoll-published",
    "fastfeed, thread": "fastfeed-epoll-published",
    "fastfeed, loop": "fastfeed-loop-published",
    "bare uvloop, up to the read": "bare-stamps",
}
HELD = {
    "fastfeed, thread spinning": "fastfeed-spin-published",
    "fastfeed, thread": "fastfeed-epoll-published",
    "fastfeed, loop": "fastfeed-loop-published",
}
RATES = {
    "C, spinning": "c-spin-publishing",
    "fastfeed, thread spinning": "fastfeed-spin-publishing",
    "C, epoll": "c-epoll-publishing",
    "fastfeed, thread": "fastfeed-epoll-publishing",
    "fastfeed, loop": "fastfeed-loop-publishing",
}
BLOCKS = 500
RATE_ROUNDS = 7


@pytest.fixture(autouse=True)
def _compiled() -> None:
    """Compile what the clients use before they are waited for."""
    try:
        Publisher(["A"])
    except NoCompiler as error:
        pytest.skip(str(error))


def latencies(
    names: dict[str, str], turns: int, benchmark: Any, *options: str
) -> dict[str, list[np.ndarray]]:
    """Return the latencies of candidates by rounds, in µs."""
    rounds: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def all_rounds() -> None:
        with ExitStack() as stack:
            sender = stack.enter_context(paced())
            receivers = {
                name: stack.enter_context(
                    client(kind, sender.port, COUNT, f"interval_ns={INTERVAL_NS}", *options)
                )
                for name, kind in names.items()
            }
            for i in range(turns):
                for name in list(names) if i % 2 else reversed(list(names)):
                    rounds[name].append(one_round(receivers[name], sender, RATE, COUNT))

    benchmark.group = "wire to ring, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    return rounds


def figures(parts: list[np.ndarray]) -> dict[str, float]:
    """Return medians of rounds' percentiles, and the largest value of all."""
    row = {
        f"p{p:g} µs": statistics.median(float(np.percentile(part, p)) for part in parts)
        for p in (50, 99, 99.9)
    }
    row["max µs"] = float(max(part.max() for part in parts))
    return row


def test_latency(benchmark: Any, report: Any) -> None:
    rounds = latencies(LATENCY, ROUNDS, benchmark)
    for name, parts in rounds.items():
        row = figures(parts)
        row["x C, spinning"] = statistics.median(
            float(np.median(part) / np.median(other))
            for part, other in zip(parts, rounds["C, spinning"], strict=True)
        )
        medians = [float(np.median(part)) for part in parts]
        row |= {"p50 of the best": min(medians), "and worst round": max(medians)}
        benchmark.extra_info[name] = row
        report.add(f"wire to ring {RATE}/s", name, **row)


def test_gil(benchmark: Any, report: Any) -> None:
    """The same while Python code holds the GIL for a tenth of a second, again and again."""
    for name, parts in latencies(HELD, HELD_ROUNDS, benchmark, f"hold_ms={HOLD_MS}").items():
        row = figures(parts)
        benchmark.extra_info[name] = row
        report.add("wire to ring, the GIL held", name, **row)


def test_rate(benchmark: Any, report: Any) -> None:
    packets = BLOCK * BLOCKS
    stream = sample("ticks", 100, BLOCK).stream()
    outcomes: dict[str, list[dict[str, Any]]] = {name: [] for name in RATES}

    def all_rounds() -> None:
        with ExitStack() as stack:
            sender = stack.enter_context(blasting(stream, BLOCKS))
            window = f"window_bytes={WINDOW_BYTES}"
            receivers = {
                name: stack.enter_context(client(kind, sender.port, packets, window))
                for name, kind in RATES.items()
            }
            for i in range(RATE_ROUNDS + 1):
                for name in list(RATES) if i % 2 else reversed(list(RATES)):
                    receivers[name].send(b"\n")
                    outcomes[name].append(receivers[name].result())

    benchmark.group = "wire to ring, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    for name, parts in outcomes.items():
        counted = parts[1:]  # the first round warms up
        rates = [packets / part["seconds"] for part in counted]
        peers = [packets / part["seconds"] for part in outcomes["C, spinning"][1:]]
        row = {
            "packets/s": statistics.median(rates),
            "best": max(rates),
            "x C, spinning": statistics.median(
                rate / peer for rate, peer in zip(rates, peers, strict=True)
            ),
            "CPU ns/packet": min(part["cpu_seconds"] for part in counted) / packets * 1e9,
        }
        benchmark.extra_info[name] = row
        report.add("wire to ring, packets/s", name, **row)
