"""One run over all that a plan asks for."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from fastfeed import __version__
from fastfeed.bench import machine
from fastfeed.bench.doubt import caution
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Results, Table
from fastfeed.bench.turns import worker_cores

__all__ = ["cases", "method", "new_results", "run"]


def cases(plan: Plan) -> Iterator[Case]:
    """Return all cases of a plan: each family is a module with a function of this name."""
    for family in plan.families:
        yield from import_module(f"fastfeed.bench.{family}").cases(plan)


def run(
    plan: Plan,
    command: str,
    *,
    began: Callable[[Case], object] = lambda case: None,
    step: Callable[[], None] = lambda: None,
    ready: Callable[[Table], object] = lambda table: None,
    into: Results | None = None,
) -> Results:
    """Measure everything, and return the results.

    Parameters
    ----------
    plan : Plan
    command : str
        How the run was called.
    began : callable, optional
        Called with each case before it is measured.
    step : callable, optional
        Called after each step of a case.
    ready : callable, optional
        Called with each table as soon as it is among the results.
    into : Results, optional
        Where tables go as they are ready: after a KeyboardInterrupt it has those that were. By default new ones.

    Raises
    ------
    DisagreementError
        Candidates did not make the same rows.
    """
    results = new_results(command) if into is None else into
    results.complete = False
    results.method = method(plan)
    with machine.watched(results) as look:
        for number, case in enumerate(cases(plan)):
            if number:
                look()
            began(case)
            table, missing = case.run(step)
            caution(table)
            results.tables.append(table)
            results.missing += (each for each in missing if each not in results.missing)
            ready(table)
    results.complete = True
    return results


def new_results(command: str) -> Results:
    """Return results with nothing measured."""
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Results(version=__version__, date=date, command=command, machine=machine.describe())


def method(plan: Plan) -> dict[str, Any]:
    """Return how a plan is measured."""
    worker, feeder = worker_cores()
    return {
        "rounds": plan.effort.rounds,
        "warm_up": plan.effort.warm_up,
        "work": plan.effort.work,
        "worker_cores": worker,
        "feeder_cores": feeder,
        "gc": f"on in all workers, thresholds {', '.join(map(str, gc.get_threshold()))}; collected before each round",
    }
