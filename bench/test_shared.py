"""Rows from one process to another through memory that both have mapped, and what that costs the writer.

Writer and reader are processes of their own. Where the reader learns of rows through memory, the writer is C and the
same for all: it follows a schedule, writes the time into a row, and publishes it. What has its own way to send is
written by Python. Candidates take turns, and ratios are taken round by round.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import Process
from compiled import NoCompiler, compiler
from shared_peers import HUB, PYTHON_HUB, nats_server

from fastfeed.bench.percentiles import columns_of
from fastfeed.bench.results import figure, ratio

HERE = Path(__file__).parent
ROUNDS = 8
COLUMNS = ("p50 µs", "p99 µs")
COUNT = 1000  # rows of a round
WARM_UP = 100  # of them not counted
INTERVAL_NS = 400_000
#: Name in the report, kind in shared_peers.py.
SPINNING = {
    "fastfeed": "ring",
    "fastfeed, read() again and again": "ring-read",
    "fastfeed's ring, C": "ring-c",
    "mmap, memoryview": "memoryview",
    "mmap, struct": "struct",
    "mmap, NumPy": "numpy",
    "plain ring, C": "plain-c",
    "iceoryx2": "iceoryx2",
}
POLLERS = ("mmap, memoryview", "mmap, struct", "mmap, NumPy")
BLOCKED = {
    "fastfeed": "ring-block",
    "fastfeed's ring, C": "ring-block-c",
    "futex, Python": "futex",
    "futex, C": "futex-c",
    "eventfd": "eventfd",
    "multiprocessing.Pipe": "pipe",
    "ZeroMQ, ipc": "zeromq",
    "NATS": "nats",
}
NEEDED = {"iceoryx2": "iceoryx2", "zeromq": "zmq", "nats": "nats"}

FILL_ROUNDS = 15
#: Name in the report, how many attend, and how.
ATTENDING = {
    "alone": (0, "idle"),
    "1 idle": (1, "idle"),
    "10 idle": (10, "idle"),
    "10 reading 100 times a second": (10, "poll"),
    "1 spinning": (1, "spin"),
    "alone, again": (0, "idle"),
}
#: Name of the table, kind, rows of a publication, rows of a round.
FILLING = {
    "shared, writer, 64 rows a publication": ("ring", 64, 1 << 23),
    "shared, writer, 1 row a publication": ("ring", 1, 1 << 20),
    "shared, Ring.write, 64 rows": ("ring-python", 64, 1 << 22),
    "shared, Ring.write, 1 row": ("ring-python", 1, 1 << 17),
}
STEPS = {"fastfeed's ring": ("ring", "ring-c"), "plain ring": ("plain-c", "plain-c")}


class Ends:
    """The processes at both ends."""

    def __init__(self, stack: ExitStack) -> None:
        folder = tempfile.mkdtemp(prefix="fastfeed-bench-", dir="/dev/shm")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("FASTFEED_SHM", folder)
        event = os.eventfd(0)
        stack.callback(os.close, event)
        self.writer = self._process(stack, "write", folder, str(event), pass_fds=(event,))
        self.reader = self._process(stack, "read", folder, str(event), pass_fds=(event,))
        self._stack = stack
        self.attendants: list[Process] = []

    def _process(self, stack: ExitStack, *arguments: str, **options: Any) -> Process:
        program = str(HERE / "shared_peers.py")
        process = Process(sys.executable, "-P", program, *arguments, **options)
        stack.callback(process.end)
        assert process.line() == "ready"
        return process

    def open(self, writes: str, reads: str = "") -> None:
        """Make both ends of a kind."""
        ask(self.writer, "open", writes)
        if reads:
            ask(self.reader, "open", reads)

    def both(self, verb: str, kind: str, count: int, *how: int) -> tuple[Any, Any]:
        """Run a round of both, the writer when the reader is ready."""
        reading, writing = verb.split()
        writes, reads = STEPS.get(kind, (kind, kind))
        tell(self.reader, reading, reads, count)
        assert self.reader.line() == "reading"
        wrote = ask(self.writer, writing, writes, count, *how)
        return wrote, self.reader.result()

    def attend(self, number: int, how: str, hub: str) -> None:
        """Let so many readers attend, and no others."""
        while len(self.attendants) < number:
            self.attendants.append(self._process(self._stack, "attend"))
        for i, attendant in enumerate(self.attendants):
            tell(attendant, *((how, hub) if i < number else ("away",)))
        for attendant in self.attendants:
            attendant.result()


def tell(process: Process, *words: object) -> None:
    """Send words."""
    process.send(" ".join(map(str, words)).encode() + b"\n")


def ask(process: Process, *words: object) -> Any:
    """Send words and return the answer."""
    tell(process, *words)
    return process.result()


@contextmanager
def ends() -> Iterator[Ends]:
    """Run both ends; without a compiler the test is skipped."""
    try:
        compiler()
    except NoCompiler as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        yield Ends(stack)


def turns(names: Any, rounds: int) -> Iterator[str]:
    """Give names in alternating order."""
    for i in range(rounds):
        yield from list(names) if i % 2 else reversed(list(names))


def available(candidates: dict[str, str], report: Any) -> dict[str, str]:
    """Leave out peers that are not installed, with a word."""
    found = {}
    for name, kind in candidates.items():
        needed = NEEDED.get(kind)
        if needed is not None and find_spec(needed) is None:
            report.note(f"without {name}: {needed} is not installed")
        elif kind == "nats" and nats_server() is None:
            report.note(f"without {name}: there is no nats-server")
        else:
            found[name] = kind
    return found


def latencies(
    candidates: dict[str, str], benchmark: Any, report: Any
) -> dict[str, list[np.ndarray]]:
    """Return the latencies of candidates by rounds, in ns."""
    kinds = available(candidates, report)
    rounds: dict[str, list[np.ndarray]] = {name: [] for name in kinds}

    def all_rounds() -> None:
        with ends() as both:
            for kind in kinds.values():
                both.open(kind, kind)
            for name in turns(kinds, ROUNDS):
                _, read = both.both("read write", kinds[name], COUNT, INTERVAL_NS)
                late = np.array(read["late_ns"])
                assert len(late) == COUNT
                rounds[name].append(late[WARM_UP:])

    benchmark.group = "shared memory, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    return rounds


def rows_of(
    rounds: dict[str, list[np.ndarray]], beside: dict[str, str]
) -> dict[str, dict[str, list[float]]]:
    """Return rounds' percentiles, and the medians beside those of others: columns, and names."""
    rows = {name: columns_of(parts, COLUMNS) for name, parts in rounds.items()}
    medians = {name: row["p50 µs"] for name, row in rows.items()}
    for name, row in rows.items():
        row |= {c: ratio(medians[name], medians[other]).rounds for c, other in beside.items()}
    return rows


def test_spinning(benchmark: Any, report: Any) -> None:
    rounds = latencies(SPINNING, benchmark, report)
    fastest = min(POLLERS, key=lambda name: figure([*map(np.median, rounds[name])]).median)
    report.note(f"the fastest plain poller in Python: {fastest}")
    beside = {"x fastest mmap": fastest, "x mmap, NumPy": "mmap, NumPy"}
    for name, row in rows_of(rounds, beside).items():
        benchmark.extra_info[name] = row
        report.add("shared, spinning", name, **row)


def test_blocked(benchmark: Any, report: Any) -> None:
    rounds = latencies(BLOCKED, benchmark, report)
    beside = {"x futex, Python": "futex, Python", "x futex, C": "futex, C"}
    for name, row in rows_of(rounds, beside).items():
        benchmark.extra_info[name] = row
        report.add("shared, blocked", name, **row)


@pytest.mark.parametrize("table", FILLING)
def test_writer(table: str, benchmark: Any, report: Any) -> None:
    kind, batch, count = FILLING[table]
    hub = PYTHON_HUB if kind == "ring-python" else HUB
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ATTENDING}

    def all_rounds() -> None:
        with ends() as both:
            both.open(kind)
            ask(both.writer, "fill", kind, count, batch)
            for name in turns(ATTENDING, FILL_ROUNDS):
                both.attend(*ATTENDING[name], hub)
                took = ask(both.writer, "fill", kind, count, batch)
                figures[name].append((took["ns"] / count, took["cpu_ns"] / count))

    benchmark.group = "shared memory, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    for name, parts in figures.items():
        ratios = np.array(parts) / np.array(figures["alone"])  # of the time, and of the processor's
        row = {
            "CPU ns/row": [each[1] for each in parts],
            "ns/row": [each[0] for each in parts],
            "x alone": ratios[:, 0].tolist(),
            "CPU x alone": ratios[:, 1].tolist(),
        }
        benchmark.extra_info[name] = row
        report.add(table, name, **row)


def test_publication(benchmark: Any, report: Any) -> None:
    """What a publication takes the writer when readers sleep, at a pace that lets them fall asleep again."""
    sleeping = {"nobody": 0, "1 blocked": 1, "10 blocked": 10}
    rounds: dict[str, list[np.ndarray]] = {name: [] for name in sleeping}

    def all_rounds() -> None:
        with ends() as both:
            both.open("ring")
            for name in turns(sleeping, ROUNDS):
                both.attend(sleeping[name], "block", HUB)
                took = ask(both.writer, "write", "ring", COUNT, INTERVAL_NS)
                rounds[name].append(np.array(took["ns"][WARM_UP:]))

    benchmark.group = "shared memory, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    for name, parts in rounds.items():
        report.add("shared, a publication", name, **columns_of(parts, COLUMNS))


@pytest.mark.parametrize("batch", [1, 64])
def test_in_step(batch: int, benchmark: Any, report: Any) -> None:
    count = 1 << 20
    figures: dict[str, list[float]] = {name: [] for name in STEPS}

    def all_rounds() -> None:
        with ends() as both:
            for writes, reads in STEPS.values():
                both.open(writes, reads)
            for name in turns(STEPS, ROUNDS + 1):
                wrote, _ = both.both("follow lead", name, count, batch)
                figures[name].append(wrote["ns"] / count)

    benchmark.group = "shared memory, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    for name, parts in figures.items():
        row = {
            "ns/row": parts[1:],
            "x plain ring": [
                part / plain
                for part, plain in zip(parts[1:], figures["plain ring"][1:], strict=True)
            ],
        }
        report.add(f"shared, in step, {batch} a publication", name, **row)
