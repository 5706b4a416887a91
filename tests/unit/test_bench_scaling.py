"""Tables of what a tick costs with more symbols."""

import math

import pytest

import fastfeed as ff
from fastfeed.bench import scaling
from fastfeed.bench.decoders import BySymbols
from fastfeed.bench.plan import Plan
from fastfeed.bench.samples import Sample, pushes_of
from fastfeed.bench.turns import Effort

TINY = Effort(rounds=2, warm_up=0, work=0.01)
SYMBOLS = [1, 10, 100, 1000, 10_000]
PEERS = {
    "opend": "protobuf, NumPy",
    "alltick": "msgspec, NumPy",
    "longport": "protobuf, float",
}


@pytest.mark.parametrize("vendor", PEERS)
def test_each_count_of_symbols_has_its_rows(vendor):
    (case,) = scaling.cases(Plan(vendors=[vendor], effort=TINY))
    steps = []
    table, missing = case.run(lambda: steps.append(1))
    assert missing == []
    assert len(steps) == case.steps == 4
    assert (table.name, table.family) == (f"scaling {vendor}", "scaling")
    assert (table.vendor, table.unit, table.x) == (vendor, "ns/tick", "symbols")
    names = ["fastfeed", PEERS[vendor]]
    assert [(row.name, row.x) for row in table.rows] == [(n, x) for n in names for x in SYMBOLS]
    for name in names:
        first = table.row(name, 1).figures["ns/tick"].rounds
        for symbols in SYMBOLS:
            figures = table.row(name, symbols).figures
            ns = figures["ns/tick"].rounds
            assert len(ns) == 2
            assert all(value > 0 and math.isfinite(value) for value in ns)
            right = [own / other for own, other in zip(ns, first, strict=True)]
            assert figures["x 1 symbol"].rounds == pytest.approx(right)


def test_fastfeed_meets_all_symbols():
    sample = pushes_of("opend").sample("ticks", 10_000, 10_000)
    decoder = ff.Decoder("opend")
    decoder.feed(sample.stream())
    assert len(decoder.symbols) == 10_000
    assert set(decoder.symbols) == set(sample.symbols)


def test_counts_take_turns_and_the_order_turns_round(tmp_path, monkeypatch):
    paths = {}
    for symbols in (1, 3):
        paths[str(symbols)] = str(tmp_path / str(symbols))
        pushes_of("alltick").sample("ticks", symbols, 6).write(paths[str(symbols)])
    ran = []

    class Noting:
        def __init__(self, sample: Sample) -> None:
            self.sample = sample

        def run(self) -> None:
            ran.append(len(self.sample.symbols))

    monkeypatch.setattr("fastfeed.bench.alltick_decoders.Fastfeed", Noting)
    candidate = BySymbols("fastfeed.bench.alltick_decoders:Fastfeed", paths, 2)
    found = candidate.round()
    assert ran == [1] * 3 + [3] * 3  # one that warms up, two that count
    assert set(found["seconds"]) == {"1", "3"}
    ran.clear()
    candidate.round()
    assert ran == [3] * 3 + [1] * 3
