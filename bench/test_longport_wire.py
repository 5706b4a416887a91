"""LongPort's trades over WebSocket and TCP, from the wire to a callback: pushes a second; and pulls of 500 quotes.

Beside the official SDKs. The gateway of the first bench is Python, but its pushes are ready: it does nothing but send.
That of the second is the simulator, from which all clients get the same.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from opend import HERE, Process, Sender, client

from fastfeed.bench.longport_pushes import on_wire, sample, sequence_at

BLOCK = 20_000  # pushes that are repeated
#: Name in the report, client, its options, repetitions.
CANDIDATES: dict[str, tuple[str, tuple[str, ...], int]] = {
    "fastfeed": ("longport-fastfeed", (), 75),
    "fastfeed, TCP": ("longport-fastfeed", ("tcp=1",), 75),
    "longport": ("longport-longport", (), 5),
    "longbridge": ("longport-longbridge", (), 5),
}
ROUNDS = 5
#: Name in the report, client, its options.
QUOTES: dict[str, tuple[str, tuple[str, ...]]] = {
    "fastfeed": ("longport-fastfeed-quotes", ()),
    "longport": ("longport-longport-quotes", ()),
    "longport, values read": ("longport-longport-quotes", ("read=1",)),
    "longbridge": ("longport-longbridge-quotes", ()),
    "longbridge, values read": ("longport-longbridge-quotes", ("read=1",)),
}
CALLS = 9  # in a round: no client waits for the limit of ten a second


@contextmanager
def server(repeat: int) -> Iterator[Sender]:
    """Run longport_server.py."""
    bodies = sample("ticks", 100, BLOCK).bodies
    with tempfile.TemporaryDirectory(prefix="fastfeed-bench-") as folder:
        paths = []
        for name in ("frames", "packets"):
            pieces, places, end = [], [], 0
            for i, body in enumerate(bodies):
                piece = on_wire(body, i, framed=name == "frames")
                places.append(end + sequence_at(piece))
                pieces.append(piece)
                end += len(piece)
            path = Path(folder, name)
            path.write_bytes(b"".join(pieces))
            np.save(f"{path}.npy", np.array(places))
            paths.append(str(path))
        process = Sender(
            sys.executable, "-P", str(HERE / "longport_server.py"), *paths, str(repeat)
        )
        try:
            yield process
        finally:
            process.child.kill()
            process.end()


def present(names: dict[str, Any]) -> list[str]:
    """Return the candidates whose packages are there."""
    return [name for name in names if find_spec(name.partition(",")[0]) is not None]


def test_wire(benchmark: Any, report: Any) -> None:
    names = present(CANDIDATES)
    rates: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        senders = {
            repeat: stack.enter_context(server(repeat))
            for repeat in {CANDIDATES[name][2] for name in names}
        }
        clients: dict[str, tuple[Process, int]] = {}
        for name in names:
            kind, options, repeat = CANDIDATES[name]
            pushes = BLOCK * repeat
            receiver = stack.enter_context(client(kind, senders[repeat].port, pushes, *options))
            clients[name] = receiver, pushes

        def all_rounds() -> None:
            for i in range(ROUNDS + 1):
                for name in names if i % 2 else reversed(names):
                    receiver, pushes = clients[name]
                    receiver.send(b"\n")
                    rates[name].append(pushes / receiver.result()["seconds"])

        benchmark.group = "LongPort, the whole run"
        benchmark.pedantic(all_rounds, rounds=1)
    for name, found in rates.items():
        row = {"pushes/s": statistics.median(found[1:]), "best": max(found[1:])}
        for peer in names[2:]:
            row[f"x {peer}"] = statistics.median(
                own / other for own, other in zip(found[1:], rates[peer][1:], strict=True)
            )
        benchmark.extra_info[name] = row
        report.add("LongPort wire", name, **row)


def test_quotes(benchmark: Any, report: Any) -> None:
    names = present(QUOTES)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    sums = set()

    def all_rounds() -> None:
        with ExitStack() as stack:
            simulator = Sender(sys.executable, "-P", str(HERE / "longport_simulator.py"))
            stack.callback(simulator.end)
            receivers = {
                name: stack.enter_context(client(kind, simulator.port, CALLS, *options))
                for name, (kind, options) in QUOTES.items()
                if name in names
            }
            for i in range(ROUNDS):
                for name in names if i % 2 else reversed(names):
                    receivers[name].send(b"\n")
                    outcome = receivers[name].result()
                    seconds[name].append(statistics.median(outcome["seconds"]))
                    sums.add(round(outcome["checksum"], 2))

    benchmark.group = "LongPort's quotes, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    assert len(sums) == 1, "the clients did not get the same quotes"
    ours = statistics.median(seconds["fastfeed"])
    for name, times in seconds.items():
        row = {
            "ms/pull": statistics.median(times) * 1e3,
            "best": min(times) * 1e3,
            "x fastfeed": statistics.median(times) / ours,
        }
        benchmark.extra_info[name] = row
        report.add("LongPort quotes", name, **row)
