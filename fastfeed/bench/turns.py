"""Candidates that take turns, each in a process of its own.

All do their round before any does its next one, in alternating order, so that what drifts (the clock rate of the
processor, a neighbour on the machine) hits all alike; ratios are taken round by round.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from fastfeed.bench.process import ChildError, Process
from fastfeed.bench.results import Missing

__all__ = [
    "STANDARD_LIBRARY",
    "Candidate",
    "DisagreementError",
    "Effort",
    "Job",
    "Turns",
    "take_turns",
    "worker_cores",
]


#: Peers that are always there.
STANDARD_LIBRARY = frozenset({"json", "multiprocessing"})


class Effort(msgspec.Struct, frozen=True):
    """How long to measure.

    Attributes
    ----------
    rounds : int
        That count, of each candidate.
    warm_up : int
        Rounds before them.
    work : float
        The size of a round, as a part of the usual one.
    """

    rounds: int = 11
    warm_up: int = 1
    work: float = 1.0


class Candidate(msgspec.Struct, frozen=True):
    """Who does the work.

    Attributes
    ----------
    name : str
        In tables and plots.
    factory : str
        ``"module:callable"``; what it returns has `check` and `round`, as `worker` calls them.
    options : dict
        The callable's keyword arguments, as JSON has them.
    peer : str, optional
        What ``--peers`` names it by, and the distribution without which it is missing; None: fastfeed itself,
        and yardsticks that are always there.
    work : float
        The size of its rounds beside fastfeed's: slow ones get less, and a count per unit of work.
    threads : bool
        Whether it has threads of its own: then it may use all cores but the sender's, instead of one.
    path : list of str
        Folders for ``sys.path``.
    """

    name: str
    factory: str
    options: dict[str, Any] = {}
    peer: str | None = None
    work: float = 1.0
    threads: bool = False
    path: list[str] = []

    def missing(self) -> Missing | None:
        """Return why it cannot take part, if it cannot."""
        if self.peer is not None and self.peer not in STANDARD_LIBRARY:
            try:
                version(self.peer)
            except PackageNotFoundError:
                return Missing(self.name, f"{self.peer} is not installed")
        return None


class Job(msgspec.Struct):
    """What a worker is told first."""

    factory: str
    options: dict[str, Any]
    cores: list[int]
    path: list[str]


class DisagreementError(RuntimeError):
    """Candidates did not make the same rows of the same bytes: nothing is timed."""


def worker_cores() -> tuple[list[int], list[int]]:
    """Return the cores for the one that is measured, and for the one that feeds it; empty: not pinned.

    Two of those that this process may use: the last for the worker, the one before for the sender.
    """
    cores = sorted(os.sched_getaffinity(0))
    return ([cores[-1]], [cores[-2]]) if len(cores) > 1 else ([], [])


def _others() -> list[int]:
    """Return all cores but the one for whoever feeds."""
    return sorted(os.sched_getaffinity(0) - set(worker_cores()[1]))


class Turns:
    """Workers, one for each candidate, that are there.

    Attributes
    ----------
    candidates : dict
        By name, in the order in which they were given.
    missing : list of Missing
        Those that are not, and why; whoever breaks in a round is one of them from then on.
    """

    def __init__(
        self, workers: Mapping[str, tuple[Candidate, Process]], missing: list[Missing]
    ) -> None:
        self.missing = missing
        self.candidates = {name: candidate for name, (candidate, _) in workers.items()}
        self._workers = {name: process for name, (_, process) in workers.items()}

    def agree(
        self, meanwhile: Callable[[str], Any] | None = None, **options: Any
    ) -> dict[str, dict[str, str]]:
        """Let each candidate tell the digests of its rows' columns, and compare those it has with the first one's.

        Parameters
        ----------
        meanwhile : callable, optional
            Called with a candidate's name while it does that.
        **options
            Of the candidates' `check`.

        Raises
        ------
        DisagreementError
            Where a column differs, with the candidates' and its names; or there is nothing to compare.
        """
        found: dict[str, dict[str, str]] = {}
        for name in self.candidates:
            self._tell(name, "check", options)
            if meanwhile is not None:
                meanwhile(name)
            found[name] = self._answer(name)
        first, *others = found
        for name in others:
            shared = [column for column in found[name] if column in found[first]]
            if not shared:
                raise DisagreementError(f"{name} and {first} have no columns in common")
            if wrong := [each for each in shared if found[name][each] != found[first][each]]:
                raise DisagreementError(
                    f"{name} and {first} do not agree on {', '.join(wrong)} of the same bytes"
                )
        return found

    def _tell(self, name: str, what: str, options: dict[str, Any]) -> None:
        with _named(name):
            self._workers[name].tell(do=what, **{"with": options})

    def _answer(self, name: str) -> dict[str, Any]:
        with _named(name):
            return self._workers[name].answer()

    def rounds(
        self,
        effort: Effort,
        done: Callable[[], object],
        meanwhile: Callable[[str], Any] | None = None,
        only: Sequence[str] | None = None,
        broken: Callable[[], object] = lambda: None,
        **options: Any,
    ) -> dict[str, list[dict[str, Any]]]:
        """Return what each candidate measured in each round.

        A candidate that breaks is ended, and the others go on without it; without the first one they cannot.

        Parameters
        ----------
        effort : Effort
        done : callable
            Called after each round of each candidate.
        meanwhile : callable, optional
            Called with a candidate's name while it has its round, as to tell a sender what to send.
        only : sequence of str, optional
            The candidates that take part.
        broken : callable, optional
            Called once a candidate that broke has ended.
        **options
            Of the candidates' `round`.

        Raises
        ------
        ChildError
            The first candidate broke.
        """
        first = next(iter(self.candidates))
        names = [name for name in self.candidates if only is None or name in only]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for number in range(effort.warm_up + effort.rounds):
            for name in names if number % 2 else reversed(names):
                if name not in found:
                    continue
                try:
                    self._tell(name, "round", options)
                    if meanwhile is not None:
                        meanwhile(name)
                    result = self._answer(name)
                except ChildError as error:
                    if name == first:
                        raise
                    self._end(name, error)
                    del found[name]
                    broken()
                    continue
                if number >= effort.warm_up:
                    found[name].append(result)
                done()
        return found

    def _end(self, name: str, error: ChildError) -> None:
        self._workers.pop(name).kill()
        del self.candidates[name]
        self.missing.append(Missing(name, f"broke while it was measured: {error}"))


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say of an error whose it is."""
    try:
        yield
    except ChildError as error:
        raise ChildError(f"{name}: {error}") from None


@contextmanager
def take_turns(
    candidates: Iterable[Candidate], common: Mapping[str, Any], cores: Sequence[int] = ()
) -> Iterator[tuple[Turns, list[Missing]]]:
    """Start a worker for each candidate whose package is there.

    Parameters
    ----------
    candidates : iterable of Candidate
        The first is the one that the others are compared with, and has to be there.
    common : mapping
        Keyword arguments of all factories.
    cores : sequence of int
        To which workers are pinned.

    Yields
    ------
    turns : Turns
    missing : list of Missing
        The others, and those that could not begin.

    Raises
    ------
    ChildError
        The first could not begin.
    """
    missing: list[Missing] = []
    workers: dict[str, tuple[Candidate, Process]] = {}
    with ExitStack() as stack:
        for candidate in candidates:
            if (why := candidate.missing()) is not None:
                missing.append(why)
                continue
            # Packages write their logs there, also those that are killed.
            home = stack.enter_context(
                TemporaryDirectory(prefix="fastfeed-bench-home-", ignore_cleanup_errors=True)
            )
            process = stack.enter_context(
                Process("fastfeed.bench.worker", environment={"HOME": home})
            )
            job = Job(
                candidate.factory,
                {**common, **candidate.options},
                _others() if cores and candidate.threads else list(cores),
                list(candidate.path),
            )
            process.send(msgspec.json.encode(job) + b"\n")
            workers[candidate.name] = candidate, process
        for number, (name, (_, process)) in enumerate(list(workers.items())):
            try:
                process.answer()
            except ChildError as error:
                if number == 0:
                    raise ChildError(f"{name}: {error}") from None
                missing.append(Missing(name, str(error)))
                del workers[name]
        yield Turns(workers, missing), missing
