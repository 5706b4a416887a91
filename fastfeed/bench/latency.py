"""Latency: from the moment at which a tick should be sent to the callback that gets it, at fixed rates.

The sender keeps to its schedule whether anybody keeps up or not (an open loop), and each tick carries the time that was
meant for it: waiting in a queue counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastfeed.bench.feeding import BLOCK, fed, note_of
from fastfeed.bench.gateway import Gateway, schedule
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Missing, Row, Table, figure, ratio
from fastfeed.bench.turns import Candidate, Effort

__all__ = ["CANDIDATES", "RATES", "case", "cases"]

#: Ticks a second, and for how many of them a round counts.
RATES = {500: 400, 2000: 1400, 10_000: 4500}
_QUICK_RATES = (500, 2000)
_QUICK = 0.5  # an effort with less work than that is one
_WARM_UP_S = 0.25  # of each whole round, not counted
_MOST_ROUNDS = 5
_LATE = 0.5  # the part of a latency from which on the sender's own lateness deserves a word
_PERCENTILES = (50.0, 99.0, 99.9)
_NAMES = {"p50": "median", "p99": "99th percentile"}
_CURVE = (
    *(0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 96.0),
    *(97.0, 98.0, 98.5, 99.0, 99.3, 99.5, 99.7, 99.8, 99.9, 99.95, 99.97, 99.98, 99.99, 99.995),
)

CANDIDATES: dict[str, tuple[Candidate, ...]] = {
    "opend": (
        Candidate("fastfeed", "fastfeed.bench.opend_clients:Fastfeed"),
        Candidate(
            "fastfeed, thread",
            "fastfeed.bench.opend_clients:Fastfeed",
            {"receive": "thread"},
            threads=True,
        ),
        Candidate("uvloop, stamp only", "fastfeed.bench.opend_clients:Bare", peer="uvloop"),
        Candidate("futu-api", "fastfeed.bench.opend_clients:Futu", peer="futu-api", threads=True),
    ),
    "alltick": (
        Candidate("fastfeed", "fastfeed.bench.alltick_clients:Fastfeed"),
        Candidate("picows, msgspec", "fastfeed.bench.alltick_clients:Picows", peer="picows"),
        Candidate("aiohttp, msgspec", "fastfeed.bench.alltick_clients:Aiohttp", peer="aiohttp"),
        Candidate(
            "websockets, msgspec", "fastfeed.bench.alltick_clients:Websockets", peer="websockets"
        ),
    ),
    "longport": (
        Candidate("fastfeed", "fastfeed.bench.longport_clients:Fastfeed"),
        Candidate(
            "fastfeed, TCP", "fastfeed.bench.longport_clients:Fastfeed", {"transport": "tcp"}
        ),
        Candidate("longport", "fastfeed.bench.longport_clients:SDK", peer="longport", threads=True),
    ),
}
#: The highest rate of those that fall further and further behind at the next one.
_MOST = {"futu-api": 500}


def cases(
    plan: Plan, also: Callable[[str], Sequence[Candidate]] = lambda vendor: ()
) -> Iterator[Case]:
    """Return a table for each vendor; `also` gives more candidates."""
    for vendor in plan.vendors:
        yield case(plan, vendor, [*CANDIDATES[vendor], *also(vendor)])


def case(plan: Plan, vendor: str, candidates: Iterable[Candidate]) -> Case:
    """Return the table of some candidates, of which the first is what the others are compared with."""
    chosen = plan.chosen(candidates)
    quick = plan.effort.work < _QUICK
    rates = [rate for rate in RATES if not quick or rate in _QUICK_RATES]
    # A round has its own warm-up.
    effort = Effort(min(plan.effort.rounds, _MOST_ROUNDS), 0, plan.effort.work)

    def run(step: Callable[[], None]) -> tuple[Table, list[Missing]]:
        return _measure(effort, rates, vendor, chosen, step)

    there = [each for each in chosen if each.missing() is None]
    steps = effort.rounds * sum(len(_able(there, rate)) for rate in rates)
    return Case(f"latency {vendor}", steps, run)


def _able(candidates: Iterable[Candidate], rate: int) -> list[Candidate]:
    return [each for each in candidates if rate <= _MOST.get(each.name, rate)]


def _measure(
    effort: Effort,
    rates: Sequence[int],
    vendor: str,
    chosen: Sequence[Candidate],
    step: Callable[[], None],
) -> tuple[Table, list[Missing]]:
    rows: list[Row] = []
    warnings: list[str] = []
    with fed(vendor, chosen) as feeding:
        feeding.agree()
        for rate in rates:
            able = [each.name for each in _able(feeding.turns.candidates.values(), rate)]
            skipped = round(rate * _WARM_UP_S * min(1.0, effort.work))
            count = min(BLOCK, skipped + max(1, round(RATES[rate] * effort.work)))

            def send(
                gateway: Gateway, candidate: Candidate, rate: int = rate, count: int = count
            ) -> None:
                gateway.paced(feeding.path, rate, count)

            found, sent = feeding.rounds(effort, send, step, able, count=count)
            first: list[float] = []
            for name, rounds in found.items():
                late = [
                    _late_us(each, there, rate, count)[skipped:]
                    for each, there in zip(rounds, sent[name], strict=True)
                ]
                first = first or [float(np.median(each)) for each in late]
                rows.append(_row(feeding.turns.candidates[name], rate, rounds, late, first))
            warnings += _late_sender(rate, sent, rows[-len(found)])
    table = Table(
        name=f"latency {vendor}",
        family="latency",
        vendor=vendor,
        unit="p50 µs",
        x="ticks a second",
        rows=rows,
        about="From the moment at which a tick should be sent, by an open loop in C, over loopback to the first line "
        "of a callback; x fastfeed: the medians beside those of fastfeed.",
        warnings=warnings,
    )
    return table, feeding.missing


def _late_sender(
    rate: int, sent: Mapping[str, Sequence[Mapping[str, Any]]], first: Row
) -> list[str]:
    """Return what is to be said of a sender that was late itself, beside the first row at a rate."""
    said = []
    for part in ("p50", "p99"):
        all_late = [each["late_us"][part] for rounds in sent.values() for each in rounds]
        own, whole = float(np.median(all_late)), first.figures[f"{part} µs"].median
        if own > _LATE * whole:
            said.append(
                f"{rate:,}/s: the sender itself was {own:,.0f} µs late in the {_NAMES[part]}: "
                "what is higher than that says more about the machine than about who received"
            )
    return said


def _late_us(
    found: Mapping[str, Any], sent: Mapping[str, Any], rate: int, count: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return how late a round's ticks came."""
    if "late_ns" in found:
        late = np.array(found["late_ns"])
    else:
        late = np.array(found["arrived_ns"]) - sent["start_ns"] - schedule(rate, count)
    return late / 1e3


def _row(
    candidate: Candidate,
    rate: int,
    rounds: Sequence[dict[str, Any]],
    late: Sequence[np.ndarray[Any, np.dtype[np.float64]]],
    first: Sequence[float],
) -> Row:
    figures = {
        f"p{part:g} µs": figure([float(np.percentile(each, part)) for each in late], "lower")
        for part in _PERCENTILES
    }
    figures["max µs"] = figure([float(each.max()) for each in late], "lower")
    figures["x fastfeed"] = ratio([float(np.median(each)) for each in late], first)
    together = np.concatenate(late)
    # No further than where a percentile is of a few ticks.
    known = [part for part in _CURVE if (100 - part) / 100 * len(together) >= 1]
    curve = [(part, float(np.percentile(together, part))) for part in known]
    most = _MOST.get(candidate.name)
    above = [each for each in RATES if most is not None and each > most]
    more = (
        [f"does not keep up with {above[0]:,} ticks a second, and is not measured there"]
        if above
        else []
    )
    return Row(candidate.name, figures, x=rate, curve=curve, note=note_of(candidate, rounds, *more))
