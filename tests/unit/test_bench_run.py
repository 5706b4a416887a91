"""One run over several cases, and what is told of it meanwhile."""

import pytest

import fastfeed
from fastfeed.bench import Plan, run
from fastfeed.bench import machine as machine_module
from fastfeed.bench.plan import Case
from fastfeed.bench.results import Missing, Row, Table, figure
from fastfeed.bench.run import Watcher

GONE = Missing("peer", "peer is not installed")


class Noting(Watcher):
    """Notes what it is told, and what the results have by then."""

    def __init__(self):
        self.told = []

    def begun(self, results, steps):
        self.results = results
        self.note("begun", steps)

    def measures(self, name, steps):
        self.note(name, steps)

    def step(self):
        self.note("step")

    def ready(self, table):
        self.note("ready", table.name)

    def note(self, *what):
        self.told.append((*what, len(self.results.tables)))


@pytest.fixture
def cases(monkeypatch):
    """Let a run have cases of one's choice, and the machine be quiet; return their list."""
    found = []
    monkeypatch.setattr("fastfeed.bench.decode.cases", lambda plan: iter(found))
    monkeypatch.setattr(machine_module, "jitter", lambda seconds: (0, 0))
    monkeypatch.setattr(machine_module.Watch, "_work", lambda self: 100.0)
    return found


def case(name, steps, rounds=(1.0, 1.0, 1.0)):
    def measure(step):
        for _ in range(steps):
            step()
        rows = [Row("fastfeed", {"ns/tick": figure(rounds)})]
        return Table(name, "decode", rows, "opend", "ns/tick"), [GONE]

    return Case(name, steps, measure)


def test_a_run(cases):
    cases += [case("a", 2), case("b", 1, (1.0, 2.0, 3.0))]
    watcher = Noting()
    results = run(Plan(["decode"]), "as called", watcher)
    assert results is watcher.results
    assert watcher.told == [
        ("begun", 3, 0),
        *(("a", 2, 0), ("step", 0), ("step", 0), ("ready", "a", 1)),
        *(("b", 1, 1), ("step", 1), ("ready", "b", 2)),
    ]
    assert (results.complete, results.command) == (True, "as called")
    assert results.version == fastfeed.__version__
    assert results.method["rounds"] == Plan().effort.rounds
    assert results.noise is not None
    assert results.missing == [GONE]
    assert not results.tables[0].warnings
    assert "differ by 50 %" in results.tables[1].warnings[0]
    assert run(Plan(["decode"])).tables == results.tables


def test_what_was_ready_when_it_broke_off(cases):
    def broken(step):
        raise KeyboardInterrupt

    cases += [case("a", 1), Case("b", 1, broken)]
    watcher = Noting()
    with pytest.raises(KeyboardInterrupt):
        run(Plan(["decode"]), watcher=watcher)
    assert not watcher.results.complete
    assert [table.name for table in watcher.results.tables] == ["a"]
    assert watcher.results.noise is not None
