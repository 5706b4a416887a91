"""Latency: from the moment at which a tick should be sent to the callback that gets it, at fixed rates.

The sender keeps to its schedule whether anybody keeps up or not (an open loop), and each tick carries the time that was
meant for it: waiting in a queue counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace

from fastfeed.bench import wire
from fastfeed.bench.feeding import BLOCK, fed, note_of
from fastfeed.bench.gateway import Gateway, schedule
from fastfeed.bench.percentiles import columns_of, curve
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Missing, Row, Table, figure, ratio
from fastfeed.bench.turns import Candidate, Effort
from fastfeed.bench.wire import CEILING

__all__ = ["CANDIDATES", "RATES", "cases"]

#: Ticks a second, and for how many of them a round counts.
RATES = {500: 400, 2000: 1400, 10_000: 4500}
_QUICK_RATES = (500, 2000)
_QUICK = 0.5  # an effort with less work than that is one
_WARM_UP_S = 0.25  # of each whole round, not counted
_MOST_ROUNDS = 5
_LATE = 0.5  # the part of a latency from which on the sender's own lateness deserves a word
_COLUMNS = ("p50 µs", "p99 µs", "p99.9 µs", "max µs")
_NAMES = {"p50": "median", "p99": "99th percentile"}
#: Who has another name than in `wire`, since it does something else here.
_RENAMED = {"uvloop, framing only": "uvloop, stamp only"}
#: The highest rate of those that fall further and further behind at the next one.
_MOST = {"futu-api": 500}

CANDIDATES = {
    vendor: [
        replace(each, name=_RENAMED.get(each.name, each.name))
        for each in candidates
        if each.name != CEILING
    ]
    for vendor, candidates in wire.CANDIDATES.items()
}


def cases(plan: Plan) -> Iterator[Case]:
    """Return a table for each vendor."""
    quick = plan.effort.work < _QUICK
    rates = [rate for rate in RATES if not quick or rate in _QUICK_RATES]
    # A round has its own warm-up.
    effort = Effort(min(plan.effort.rounds, _MOST_ROUNDS), 0, plan.effort.work)
    for vendor in plan.vendors:
        chosen = plan.chosen(CANDIDATES[vendor])
        there = [each for each in chosen if each.missing() is None]
        steps = effort.rounds * sum(len(_able(there, rate)) for rate in rates)
        yield Case(f"latency {vendor}", steps, partial(_measure, effort, rates, vendor, chosen))


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
    late_at: list[str] = []
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
                    _late_ns(each, there, rate, count)[skipped:]
                    for each, there in zip(rounds, sent[name], strict=True)
                ]
                first = first or [float(np.median(each)) / 1e3 for each in late]
                rows.append(_row(feeding.turns.candidates[name], rate, rounds, late, first))
            late_at += _late_sender(rate, sent, rows[-len(found)])
    table = Table(
        name=f"latency {vendor}",
        family="latency",
        vendor=vendor,
        unit="p50 µs",
        x="ticks a second",
        rows=rows,
        about="From the moment at which a tick should be sent, by an open loop in C, over loopback to the first line "
        "of a callback; x fastfeed: the medians beside those of fastfeed.",
        warnings=[
            f"the sender itself was late, {', '.join(late_at)}: what is higher than that says more about the machine "
            "than about who received"
        ]
        if late_at
        else [],
    )
    return table, feeding.missing


def _late_sender(
    rate: int, sent: Mapping[str, Sequence[Mapping[str, Any]]], first: Row
) -> list[str]:
    """Return where a sender was so late itself that it shows, beside the first row at a rate."""
    found = []
    for part in ("p50", "p99"):
        all_late = [each["late_us"][part] for rounds in sent.values() for each in rounds]
        own, whole = float(np.median(all_late)), first.figures[f"{part} µs"].median
        if own > _LATE * whole:
            found.append(f"{own:,.0f} µs in the {_NAMES[part]} at {rate:,}/s")
    return found


def _late_ns(
    found: Mapping[str, Any], sent: Mapping[str, Any], rate: int, count: int
) -> np.ndarray[Any, Any]:
    """Return how late a round's ticks came."""
    if "late_ns" in found:
        return np.array(found["late_ns"])
    late: np.ndarray[Any, Any] = np.array(found["arrived_ns"]) - sent["start_ns"]
    return late - schedule(rate, count)


def _row(
    candidate: Candidate,
    rate: int,
    rounds: Sequence[dict[str, Any]],
    late_ns: Sequence[np.ndarray[Any, Any]],
    first: Sequence[float],
) -> Row:
    rounds_of = columns_of(late_ns, _COLUMNS)
    figures = {name: figure(values, "lower") for name, values in rounds_of.items()}
    figures["x fastfeed"] = ratio(rounds_of["p50 µs"], first)
    most = _MOST.get(candidate.name)
    above = [each for each in RATES if most is not None and each > most]
    more = (
        [f"does not keep up with {above[0]:,} ticks a second, and is not measured there"]
        if above
        else []
    )
    note = note_of(candidate, rounds, *more)
    return Row(candidate.name, figures, rate, curve(np.concatenate(late_ns)), note)
