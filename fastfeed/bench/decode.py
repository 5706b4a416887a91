"""Bytes in memory to rows: ns for each, beside other decoders of the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from msgspec.structs import replace

from fastfeed.bench.decoders import AGREED
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Missing, Row, Table, figure, ratio
from fastfeed.bench.samples import Sample, pushes_of
from fastfeed.bench.turns import Candidate, Effort, take_turns, worker_cores

__all__ = ["Also", "cases", "decoding"]

SYMBOLS = 100

#: Returns more candidates for a vendor's kind of push.
Also = Callable[[str, str], Sequence[Candidate]]


class _Kind(NamedTuple):
    """What a table is about."""

    vendor: str
    kind: str
    sample: int  # pushes
    pushes: int  # of fastfeed's rounds
    per_push: int = 1

    @property
    def name(self) -> str:
        """Return the table's."""
        more = f", {self.per_push} a packet" if self.per_push > 1 else ""
        return f"decode {self.vendor} {self.kind}{more}"


_KINDS = (
    _Kind("opend", "ticks", 50_000, 2_000_000),
    _Kind("opend", "ticks", 10_000, 400_000, 10),
    _Kind("opend", "quotes", 20_000, 600_000),
    _Kind("opend", "books", 12_000, 400_000),
    _Kind("opend", "bars", 40_000, 2_000_000),
    _Kind("opend", "timeshare", 50_000, 2_000_000),
    _Kind("opend", "brokers", 3_500, 100_000),
    _Kind("alltick", "ticks", 40_000, 600_000),
    _Kind("alltick", "books", 8_000, 100_000),
    _Kind("longport", "ticks", 80_000, 1_000_000),
    _Kind("longport", "quotes", 40_000, 400_000),
    _Kind("longport", "books", 8_000, 160_000),
)

#: What candidates do less than others, or otherwise.
_NOTES = {
    "fastfeed, any shape": "keys in another order than documented",
    "fastfeed, Decoder.feed": "one call for each message",
    "protobuf": "only parses: nothing is read from the messages",
    "protobuf, float": "reads the decimals, makes no rows",
    "futu-api": "its messages, and what its handlers make of them; no framing",
    "msgspec": "makes no rows, decimals stay texts",
    "orjson": "makes no rows, decimals stay texts",
    "json": "makes no rows, decimals stay texts",
    "C loop": "believes that all is as documented, and counts nothing",
}


def decoding(
    name: str, where: str, peer: str | None, work: float, path: Sequence[str] = ()
) -> Candidate:
    """Return a candidate.

    Parameters
    ----------
    name : str
    where : str
        Its class: ``"module:name"``.
    peer : str, optional
    work : float
    path : sequence of str
        As `Candidate` has them.
    """
    factory, options = "fastfeed.bench.decoders:Whole", {"decoder": where}
    return Candidate(name, factory, options, peer, work, path=list(path))


def _candidates(about: _Kind) -> Iterator[Candidate]:
    at = f"fastfeed.bench.{about.vendor}_decoders"
    yield decoding("fastfeed", f"{at}:Fastfeed", None, 1)
    if about.vendor == "alltick":
        yield decoding("fastfeed, any shape", f"{at}:AnyShape", None, 0.25)
        yield decoding("fastfeed, Decoder.feed", f"{at}:Calls", None, 0.25)
        yield decoding("msgspec", f"{at}:Msgspec", "msgspec", 0.1)
        yield decoding("msgspec, NumPy", f"{at}:MsgspecRows", "msgspec", 0.02)
        yield decoding("orjson", f"{at}:Orjson", "orjson", 0.05)
        yield decoding("json", f"{at}:Json", "json", 0.02)
        return
    if about.vendor == "longport":
        yield decoding("fastfeed, Decoder.feed", f"{at}:Calls", None, 0.25)
        yield decoding("protobuf", f"{at}:Protobuf", "protobuf", 0.05)
        yield decoding("protobuf, float", f"{at}:ProtobufFloats", "protobuf", 0.02)
        return
    yield decoding("protobuf", f"{at}:Protobuf", "protobuf", 0.05)
    if about.kind == "ticks":
        yield decoding("protobuf, NumPy", f"{at}:ProtobufRows", "protobuf", 0.01)
    yield decoding("futu-api", f"{at}:Futu", "futu-api", 0.0001)


def cases(plan: Plan, also: Also = lambda vendor, kind: ()) -> Iterator[Case]:
    """Return a table for each vendor's kinds of pushes."""
    for about in _KINDS:
        if about.vendor in plan.vendors:
            candidates = plan.chosen([*_candidates(about), *also(about.vendor, about.kind)])
            run = partial(_measure, plan.effort, about, candidates)
            yield Case(about.name, plan.steps(candidates), run)


def _measure(
    effort: Effort, about: _Kind, candidates: Sequence[Candidate], step: Callable[[], None]
) -> tuple[Table, list[Missing]]:
    pushes = max(1, round(about.pushes * effort.work))
    count = min(about.sample, max(pushes, AGREED))
    sample = pushes_of(about.vendor).sample(about.kind, SYMBOLS, count, about.per_push)
    sized = [
        replace(each, options={**each.options, "pushes": max(1, round(pushes * each.work))})
        for each in candidates
    ]
    with TemporaryDirectory(prefix="fastfeed-bench-") as folder:
        path = Path(folder, "sample")
        sample.write(path)
        with take_turns(sized, {"sample": str(path)}, worker_cores()[0]) as (turns, missing):
            turns.agree()
            found = turns.rounds(effort, step)
    return _table(about, sample, found), missing


def _table(about: _Kind, sample: Sample, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    size = sum(map(len, sample.bodies)) / len(sample.bodies)
    unit = "ns/tick" if about.kind == "ticks" else "ns/push"
    each = sample.rows_each if about.kind == "ticks" else 1
    ns = {
        name: [round["seconds"] / round["pushes"] * 1e9 for round in rounds]
        for name, rounds in found.items()
    }
    first = next(iter(ns.values()))
    rows = [
        Row(
            name,
            {
                unit: figure([value / each for value in values], "lower"),
                "MB/s": figure([size / value * 1e3 for value in values], "higher"),
                "x fastfeed": ratio(values, first),
            },
            note=_NOTES.get(name, ""),
        )
        for name, values in ns.items()
    ]
    return Table(
        about.name,
        "decode",
        rows,
        about.vendor,
        unit,
        about=f"{len(sample.bodies):,} pushes of {SYMBOLS} symbols, {size:,.0f} bytes each on average without "
        "what is around them on the wire, in memory, again and again.",
    )
