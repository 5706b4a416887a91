"""What a tick costs with more symbols: from bytes in memory to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec.structs import replace

from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Missing, Row, Table, figure, ratio
from fastfeed.bench.samples import pushes_of
from fastfeed.bench.turns import Candidate, take_turns, worker_cores

__all__ = ["Also", "cases", "scaling"]

SYMBOLS = (1, 10, 100, 1000, 10_000)
PUSHES = 30_000  # of each sample
PASSES = 30  # of fastfeed's rounds over each sample

#: Returns more candidates for a vendor's ticks.
Also = Callable[[str], Sequence[Candidate]]

#: The fastest peer that makes rows, or at least numbers: its name, class and distribution.
_PEERS = {
    "opend": ("protobuf, NumPy", "ProtobufRows", "protobuf"),
    "alltick": ("msgspec, NumPy", "MsgspecRows", "msgspec"),
    "longport": ("protobuf, float", "ProtobufFloats", "protobuf"),
}


def scaling(
    name: str, where: str, peer: str | None, work: float, path: Sequence[str] = ()
) -> Candidate:
    """Return a candidate, with the arguments of `decode.decoding`."""
    factory, options = "fastfeed.bench.decoders:BySymbols", {"decoder": where}
    return Candidate(name, factory, options, peer, work, path=list(path))


def cases(plan: Plan, also: Also = lambda vendor: ()) -> Iterator[Case]:
    """Return a table for each vendor."""
    for vendor in plan.vendors:
        at = f"fastfeed.bench.{vendor}_decoders"
        name, kind, peer = _PEERS[vendor]
        candidates = plan.chosen(
            [
                scaling("fastfeed", f"{at}:Fastfeed", None, 1),
                scaling(name, f"{at}:{kind}", peer, 1 / PASSES),
                *also(vendor),
            ]
        )
        run = _measuring(plan, vendor, candidates)
        yield Case(f"scaling {vendor}", plan.steps(candidates), run)


def _measuring(
    plan: Plan, vendor: str, candidates: Sequence[Candidate]
) -> Callable[[Callable[[], None]], tuple[Table, list[Missing]]]:
    def run(step: Callable[[], None]) -> tuple[Table, list[Missing]]:
        work = plan.effort.work
        # All samples are of one length, which has room for all symbols.
        count = max(*SYMBOLS, round(PUSHES * work))
        sized = [
            replace(
                each,
                options={**each.options, "passes": max(1, round(PASSES * work * each.work))},
            )
            for each in candidates
        ]
        with TemporaryDirectory(prefix="fastfeed-bench-") as folder:
            samples = {}
            for symbols in SYMBOLS:
                path = samples[str(symbols)] = str(Path(folder, str(symbols)))
                pushes_of(vendor).sample("ticks", symbols, count).write(path)
            with take_turns(sized, {"samples": samples}, worker_cores()[0]) as (turns, missing):
                turns.agree()
                found = turns.rounds(plan.effort, step)
        return _table(vendor, count, found), missing

    return run


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
