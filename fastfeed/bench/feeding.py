"""Candidates that take turns at a gateway: what the wire and latency benches share."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastfeed.bench.gateway import Gateway
from fastfeed.bench.process import ChildError
from fastfeed.bench.results import Missing
from fastfeed.bench.samples import pushes_of
from fastfeed.bench.turns import Candidate, Effort, Turns, take_turns, worker_cores

__all__ = ["BLOCK", "SYMBOLS", "Feeding", "fed", "note_of"]

SYMBOLS = 100
BLOCK = 20_000  # pushes of the sample
_CHECKED = 2_000  # pushes whose rows are compared
_GONE_S = 1.0  # a dead gateway is noticed by its client first

Outcomes = dict[str, list[dict[str, Any]]]


class Feeding:
    """Candidates and their gateway.

    Attributes
    ----------
    turns : Turns
    missing : list of Missing
    path : str
        Where the sample is.
    """

    def __init__(self, gateway: Gateway, turns: Turns, missing: list[Missing], path: str) -> None:
        self.turns = turns
        self.missing = missing
        self.path = path
        self._gateway = gateway

    def agree(self) -> None:
        """Send all candidates the same pushes, and compare their rows; DisagreementError."""
        outstanding = False

        def meanwhile(name: str) -> None:
            nonlocal outstanding
            if outstanding:
                self._gateway.result()
            self._gateway.blast(self.path, _CHECKED)
            outstanding = True

        with self._watched():
            self.turns.agree(meanwhile, count=_CHECKED)
            self._gateway.result()

    def rounds(
        self,
        effort: Effort,
        send: Callable[[Gateway, Candidate], None],
        step: Callable[[], object],
        only: Sequence[str] | None = None,
        **options: Any,
    ) -> tuple[Outcomes, Outcomes]:
        """Return what the candidates measured in each round, and what the gateway did in it.

        Parameters
        ----------
        effort : Effort
        send : callable
            Tells the gateway what to send to a candidate.
        step : callable
            Called after each round of each candidate.
        only : sequence of str, optional
            The candidates that take part.
        **options
            Of the candidates' `round`.
        """
        sent: Outcomes = {name: [] for name in self.turns.candidates}
        current = ""

        def meanwhile(name: str) -> None:
            nonlocal current
            current = name
            send(self._gateway, self.turns.candidates[name])

        def done() -> None:
            sent[current].append(self._gateway.result())
            step()

        def broken() -> None:
            if (gone := self._gateway.gone(_GONE_S)) is not None:
                raise gone
            with contextlib.suppress(ChildError):  # its client has gone, as is known
                self._gateway.result()

        with self._watched():
            found = self.turns.rounds(effort, done, meanwhile, only, broken, **options)
        return found, {name: sent[name][effort.warm_up :] for name in found}

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except ChildError as error:
            # Without a gateway no candidate can do anything: that is what has happened, then.
            gone = self._gateway.gone(_GONE_S)
            if gone is None or str(gone) == str(error):
                raise
            raise gone from error


@contextmanager
def fed(
    vendor: str,
    candidates: Sequence[Candidate],
    gateway: Callable[[str, Sequence[int]], Gateway] = Gateway,
    *,
    pinned: bool = True,
) -> Iterator[Feeding]:
    """Run a gateway with ticks of a vendor, and a worker for each candidate whose package is there."""
    worker, sender = worker_cores() if pinned else ([], [])
    with tempfile.TemporaryDirectory(prefix="fastfeed-bench-") as folder:
        path = str(Path(folder, "sample"))
        pushes_of(vendor).sample("ticks", SYMBOLS, BLOCK).write(path)
        with gateway(vendor, sender) as running:
            common = {"port": running.port, "sample": path}
            with take_turns(candidates, common, worker) as (turns, missing):
                yield Feeding(running, turns, missing, path)


def note_of(candidate: Candidate, found: Sequence[dict[str, Any]], *more: str) -> str:
    """Return what is to be said of a candidate's rounds."""
    notes = ["has threads of its own"] if candidate.threads else []
    collections = round(sum(each["collections"] for each in found) / max(1, len(found)))
    if collections:
        notes.append(f"{collections} garbage collection{'s' * (collections > 1)} a round")
    return "; ".join((*notes, *more))
