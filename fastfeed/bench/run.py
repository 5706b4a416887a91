"""One run over all that a plan asks for."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from fastfeed import __version__
from fastfeed.bench import machine
from fastfeed.bench.doubt import caution
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Results, Table
from fastfeed.bench.turns import worker_cores

__all__ = ["Watcher", "cases", "method", "new_results", "run"]


def cases(plan: Plan) -> Iterator[Case]:
    """Return all cases of a plan: each family is a module with a function of this name."""
    for family in plan.families:
        yield from import_module(f"fastfeed.bench.{family}").cases(plan)


class Watcher:
    """Is told how a run goes, and does nothing with it: to be derived from."""

    def begun(self, results: Results, steps: int) -> None:
        """Take the results, which get tables as they are ready; all of it has so many steps."""

    def measures(self, name: str, steps: int) -> None:
        """Take the name of the next table, and its steps."""

    def step(self) -> None:
        """Go on by one step."""

    def ready(self, table: Table) -> None:
        """Take a table that is among the results now."""


def run(plan: Plan, command: str = "", watcher: Watcher | None = None) -> Results:
    """Measure everything, and return the results.

    Parameters
    ----------
    plan : Plan
    command : str, optional
        How the run was called.
    watcher : Watcher, optional
        It has the results from the beginning: what was ready is in them also after an exception.

    Raises
    ------
    DisagreementError
        Candidates did not make the same rows.
    ChildError
        A candidate, or who feeds it, failed.
    """
    watcher = watcher or Watcher()
    todo = list(cases(plan))
    results = new_results(command)
    results.complete = False
    results.method = method(plan)
    watcher.begun(results, sum(case.steps for case in todo))
    with machine.watched(results) as look:
        for number, case in enumerate(todo):
            if number:
                look()
            watcher.measures(case.name, case.steps)
            table, missing = case.run(watcher.step)
            caution(table)
            results.tables.append(table)
            results.missing += (each for each in missing if each not in results.missing)
            watcher.ready(table)
    results.complete = True
    return results


def new_results(command: str, packages: Sequence[str] = ()) -> Results:
    """Return results with nothing measured; versions are those that `machine.describe` has, and of more packages."""
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about = machine.describe(packages)
    return Results(version=__version__, date=date, command=command, machine=about)


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
