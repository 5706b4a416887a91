"""What a tick costs with more symbols: from bytes in memory to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Missing, Row, Table, figure, ratio
from fastfeed.bench.samples import pushes_of
from fastfeed.bench.turns import Candidate, Effort, take_turns, worker_cores

__all__ = ["cases"]

SYMBOLS = (1, 10, 100, 1000, 10_000)
PUSHES = 30_000  # of each sample
PASSES = 30  # of fastfeed's rounds over each sample

#: The fastest peer that makes rows, or at least numbers: its name, class and distribution.
_PEERS = {
    "opend": ("protobuf, NumPy", "ProtobufRows", "protobuf"),
    "alltick": ("msgspec, NumPy", "MsgspecRows", "msgspec"),
    "longport": ("protobuf, float", "ProtobufFloats", "protobuf"),
}


def cases(plan: Plan) -> Iterator[Case]:
    """Return a table for each vendor."""
    for vendor in plan.vendors:
        name, decoder, peer = _PEERS[vendor]
        candidates = plan.chosen(
            [
                _candidate("fastfeed", vendor, "Fastfeed", PASSES * plan.effort.work),
                _candidate(name, vendor, decoder, plan.effort.work, peer),
            ]
        )
        run = partial(_measure, plan.effort, vendor, candidates)
        yield Case(f"scaling {vendor}", plan.steps(candidates), run)


def _candidate(
    name: str, vendor: str, decoder: str, passes: float, peer: str | None = None
) -> Candidate:
    options = {
        "decoder": f"fastfeed.bench.{vendor}_decoders:{decoder}",
        "passes": max(1, round(passes)),
    }
    return Candidate(name, "fastfeed.bench.decoders:BySymbols", options, peer)


def _measure(
    effort: Effort, vendor: str, candidates: Sequence[Candidate], step: Callable[[], None]
) -> tuple[Table, list[Missing]]:
    # All samples are of one length, which has room for all symbols.
    count = max(*SYMBOLS, round(PUSHES * effort.work))
    with TemporaryDirectory(prefix="fastfeed-bench-") as folder:
        samples = {}
        for symbols in SYMBOLS:
            path = samples[str(symbols)] = str(Path(folder, str(symbols)))
            pushes_of(vendor).sample("ticks", symbols, count).write(path)
        with take_turns(candidates, {"samples": samples}, worker_cores()[0]) as (turns, missing):
            turns.agree()
            found = turns.rounds(effort, step)
    return _table(vendor, count, found), missing


def _table(vendor: str, count: int, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    rows = []
    for name, rounds in found.items():
        ns = {n: [round["seconds"][str(n)] * 1e9 for round in rounds] for n in SYMBOLS}
        rows += [
            Row(
                name,
                {"ns/tick": figure(ns[n], "lower"), "x 1 symbol": ratio(ns[n], ns[SYMBOLS[0]])},
                x=n,
            )
            for n in SYMBOLS
        ]
    return Table(
        f"scaling {vendor}",
        "scaling",
        rows,
        vendor,
        "ns/tick",
        "symbols",
        f"{count:,} pushes of a tick in memory, again and again: each symbol's is there at least once, "
        "in random order.",
    )
