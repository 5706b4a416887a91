"""One process to many: rows of a writer's, at a fixed rate, to readers in processes of their own.

The writer follows a schedule and is not held up by what is late: each row has in it when it was to be sent, and a
reader's latency is counted from there until it has the row in its hands. It is written in Python for all, and what is
timed of it is its call alone: rows are made before.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fastfeed.bench.percentiles import curve, percentiles
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Missing, Row, Table, figure, ratio
from fastfeed.bench.turns import Candidate, take_turns, worker_cores

__all__ = ["READERS", "cases"]

READERS = (1, 2, 4, 8)
RATE = 2000  # rows a second
_ROWS = 700  # of a round; for each reader
_FEWEST_ROWS = 200
_ENDS = "fastfeed.bench.fanout_ends"


def _candidates(readers: int, cores: int) -> list[Candidate]:
    found = [Candidate("fastfeed", f"{_ENDS}:HubWriter", {"wait": "block"})]
    if readers < cores:
        found.append(Candidate("fastfeed, spinning", f"{_ENDS}:HubWriter", {"wait": "spin"}))
    return [
        *found,
        Candidate("pyzmq", f"{_ENDS}:ZeroMQWriter", peer="pyzmq"),
        Candidate("multiprocessing.Pipe", f"{_ENDS}:PipeWriter", peer="multiprocessing"),
    ]


_NOTES = {
    "fastfeed": "readers sleep until they are woken",
    "fastfeed, spinning": "each reader takes a core; measured where there are enough",
    "pyzmq": "PUB/SUB over ipc",
    "multiprocessing.Pipe": "one for each reader",
}


def cases(plan: Plan, readers: Sequence[int] = READERS) -> Iterator[Case]:
    """Return the one case.

    Parameters
    ----------
    plan : Plan
    readers : sequence of int
        How many there are.
    """
    cores = len(os.sched_getaffinity(0))
    chosen = {count: plan.chosen(_candidates(count, cores)) for count in readers}

    def run(step: Callable[[], None]) -> tuple[Table, list[Missing]]:
        rows: list[Row] = []
        missing: list[Missing] = []
        late: list[_Late] = []
        for count, candidates in chosen.items():
            found, absent, more = _measure(plan, count, candidates, step)
            rows += found
            missing += (each for each in absent if each not in missing)
            late += more
        table = Table(
            "fanout",
            "fanout",
            rows,
            unit="p50 µs",
            x="readers",
            about=f"64-byte ticks at {RATE:,} a second from a writer in Python to readers in processes of "
            "their own: from when a row was to be sent until a reader has it; and what the writer's calls "
            f"take of a processor; {_shares(cores)}",
            warnings=[_warning(late)] if late else [],
        )
        return table, missing

    yield Case("fanout", sum(map(plan.steps, chosen.values())), run)


class _Late(NamedTuple):
    """A writer from which 1 % of its rows went so late that this is what the readers' p99 shows."""

    us: float
    name: str
    readers: int


def _warning(late: Sequence[_Late]) -> str:
    most = max(late)
    where = f"{most.name} with {most.readers} reader{'s' * (most.readers > 1)}"
    return (
        f"p99 is the writer's, not the readers', in {len(late)} of the measurements: it sent 1 % of its rows late "
        f"itself, by {most.us:,.0f} µs or more at worst ({where})"
    )


def _shares(cores: int) -> str:
    """Say who has which core."""
    if cores == 1:
        return "all share the one core"
    if cores == 2:
        return "the writer has one of 2 cores, and all readers share the other"
    return f"the writer has one of {cores} cores, and readers share the others where there are more of them"


def _measure(
    plan: Plan, readers: int, candidates: list[Candidate], step: Callable[[], None]
) -> tuple[list[Row], list[Missing], list[_Late]]:
    last, before = worker_cores()
    # The writer has one to itself, where there is more than one.
    others = sorted(os.sched_getaffinity(0) - set(before)) if last else []
    count = max(int(_ROWS * plan.effort.work), _FEWEST_ROWS)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="fastfeed-bench-", dir=memory) as folder:
        common = {"folder": folder, "readers": readers, "cores": others}
        with take_turns(candidates, common, before) as (turns, missing):
            turns.agree(count=_FEWEST_ROWS, rate=RATE)
            rounds = turns.rounds(plan.effort, step, count=count, rate=RATE)
    rows = []
    late: list[_Late] = []
    medians: dict[str, list[float]] = {}
    for name, results in rounds.items():
        parts = [percentiles(result["late_ns"]) for result in results]
        medians[name] = [part["p50 µs"] for part in parts]
        figures = {c: figure([p[c] for p in parts], "lower") for c in ("p50 µs", "p99 µs")}
        figures["x fastfeed"] = ratio(medians[name], medians["fastfeed"])
        cpu = [result["cpu_ns_per_row"] for result in results]
        figures["writer CPU ns/row"] = figure(cpu, "lower")
        together = [each for result in results for each in result["late_ns"]]
        rows.append(Row(name, figures, readers, curve(together), _NOTES[name]))
        sent_us = figure([result["sent_late_us"] for result in results]).median
        if sent_us > figures["p99 µs"].median / 2:
            late.append(_Late(sent_us, name, readers))
    return rows, missing, late
