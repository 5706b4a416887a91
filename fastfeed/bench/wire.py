"""Throughput over loopback: ticks a second from a native sender's socket to a callback."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from fastfeed.bench.feeding import BLOCK, fed, note_of
from fastfeed.bench.gateway import Gateway
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Missing, Row, Table, figure, ratio
from fastfeed.bench.turns import Candidate, Effort

__all__ = ["CANDIDATES", "CEILING", "case", "cases"]

_PUSHES = 8_000_000  # of fastfeed in a round
_IDLE = 0.1  # of the time: a sender that is faster than its receiver has nothing to do for at least so long
_BUSY = 0.5  # of the time: a receiver that has less to do than that waits for something else
CEILING = "reading only"

#: With `Candidate.work` a round takes about half a second. futu-api checks digests, which fit once only: it gets less
#: than `BLOCK`.
CANDIDATES: dict[str, tuple[Candidate, ...]] = {
    "opend": (
        Candidate("fastfeed", "fastfeed.bench.opend_clients:Fastfeed"),
        Candidate(
            "fastfeed, thread",
            "fastfeed.bench.opend_clients:Fastfeed",
            {"receive": "thread"},
            threads=True,
        ),
        Candidate(CEILING, "fastfeed.bench.opend_clients:Reading"),
        Candidate(
            "uvloop, framing only", "fastfeed.bench.opend_clients:Bare", peer="uvloop", work=0.2
        ),
        Candidate(
            "futu-api",
            "fastfeed.bench.opend_clients:Futu",
            peer="futu-api",
            work=0.00015,
            threads=True,
        ),
    ),
    "alltick": (
        Candidate("fastfeed", "fastfeed.bench.alltick_clients:Fastfeed", work=0.5),
        Candidate(CEILING, "fastfeed.bench.alltick_clients:Reading", work=0.5),
        Candidate(
            "picows, msgspec",
            "fastfeed.bench.alltick_clients:Picows",
            peer="picows",
            work=0.06,
        ),
        Candidate(
            "aiohttp, msgspec",
            "fastfeed.bench.alltick_clients:Aiohttp",
            peer="aiohttp",
            work=0.03,
        ),
        Candidate(
            "websockets, msgspec",
            "fastfeed.bench.alltick_clients:Websockets",
            peer="websockets",
            work=0.01,
        ),
    ),
    "longport": (
        Candidate("fastfeed", "fastfeed.bench.longport_clients:Fastfeed"),
        Candidate(
            "fastfeed, TCP", "fastfeed.bench.longport_clients:Fastfeed", {"transport": "tcp"}
        ),
        Candidate(CEILING, "fastfeed.bench.longport_clients:Reading"),
        Candidate(
            "longport",
            "fastfeed.bench.longport_clients:SDK",
            peer="longport",
            work=0.005,
            threads=True,
        ),
    ),
}


def cases(
    plan: Plan, also: Callable[[str], Sequence[Candidate]] = lambda vendor: ()
) -> Iterator[Case]:
    """Return a table for each vendor; `also` gives more candidates."""
    for vendor in plan.vendors:
        yield case(plan, vendor, [*CANDIDATES[vendor], *also(vendor)])


def case(
    plan: Plan,
    vendor: str,
    candidates: Iterable[Candidate],
    *,
    more: str = "",
    gateway: Callable[[str, Sequence[int]], Gateway] = Gateway,
) -> Case:
    """Return the table of some candidates, of which the first is what the others are compared with.

    Parameters
    ----------
    plan : Plan
    vendor : str
    candidates : iterable of Candidate
    more : str
        What is added to the table's name.
    gateway : callable
        Makes the one that sends.
    """
    chosen = [_sized(each, plan.effort.work) for each in plan.chosen(candidates)]
    name = f"wire {vendor}{more}"
    run = partial(_measure, plan.effort, name, vendor, chosen, gateway)
    return Case(name, plan.steps(chosen), run)


def _sized(candidate: Candidate, work: float) -> Candidate:
    """Return a candidate that knows how many pushes come in a round: a block, so many times."""
    total = max(1, round(_PUSHES * work * candidate.work))
    pushes = min(total, BLOCK)
    options = {**candidate.options, "pushes": pushes, "repeat": max(1, round(total / pushes))}
    return msgspec.structs.replace(candidate, options=options)


def _blast(gateway: Gateway, candidate: Candidate, path: str) -> None:
    gateway.blast(path, candidate.options["pushes"], candidate.options["repeat"])


def _measure(
    effort: Effort,
    table_name: str,
    vendor: str,
    chosen: Sequence[Candidate],
    make: Callable[[str, Sequence[int]], Gateway],
    step: Callable[[], None],
) -> tuple[Table, list[Missing]]:
    with fed(vendor, chosen, make) as feeding:
        feeding.agree()
        found, sent = feeding.rounds(
            effort, lambda gateway, each: _blast(gateway, each, feeding.path), step
        )
        rows, warnings = [], []
        first: list[float] = []
        for name, rounds in found.items():
            candidate = feeding.turns.candidates[name]
            idle = _idle(rounds, sent[name])
            slow = idle < _IDLE
            note = "as fast as the sender sends" if slow and name == CEILING else ""
            if slow and name != CEILING:
                warnings.append(
                    f"{name}: the sender had nothing to do for {idle:.0%} of the time only: "
                    "it, and not the receiver, may be what was measured"
                )
            busy = statistics.median(each["cpu_s"] / each["seconds"] for each in rounds)
            if busy < _BUSY and name != CEILING:
                warnings.append(
                    f"{name}: it took {busy:.0%} of a core's time only: "
                    "not the receiver, but what it waited for is what was measured"
                )
            seconds = [
                each["seconds"] / candidate.options["pushes"] / candidate.options["repeat"]
                for each in rounds
            ]
            first = first or seconds
            rows.append(_row(candidate, rounds, sent[name], seconds, first, note))
    table = Table(
        name=table_name,
        family="wire",
        vendor=vendor,
        unit="ticks/s",
        rows=rows,
        about="One tick a packet, ready-made, from another process over loopback to a count of rows in a callback; "
        "x fastfeed: the time of a tick beside that of fastfeed.",
        warnings=warnings,
    )
    return table, feeding.missing


def _idle(rounds: Sequence[dict[str, Any]], sent: Sequence[dict[str, Any]]) -> float:
    """Return for which part of a receiver's time the sender waited for room, or had sent everything."""
    parts: list[float] = [
        max(0.0, 1 - (there["seconds"] - there["waited"]) / here["seconds"])
        for here, there in zip(rounds, sent, strict=True)
    ]
    return statistics.median(parts)


def _row(
    candidate: Candidate,
    rounds: Sequence[dict[str, Any]],
    sent: Sequence[dict[str, Any]],
    seconds: Sequence[float],
    first: Sequence[float],
    note: str,
) -> Row:
    total = candidate.options["pushes"] * candidate.options["repeat"]
    figures = {
        "ticks/s": figure([1 / each for each in seconds], "higher"),
        "MB/s": figure(
            [
                there["bytes"] / total / each / 1e6
                for each, there in zip(seconds, sent, strict=True)
            ],
            "higher",
        ),
        "CPU ns/tick": figure([each["cpu_s"] / total * 1e9 for each in rounds], "lower"),
        "x fastfeed": ratio(seconds, first),
    }
    return Row(candidate.name, figures, note=note_of(candidate, rounds, *([note] if note else [])))
