"""AllTick's trades over WebSocket: pushes a second, plain and encrypted, and latency at 2000 a second.

As test_wire.py and test_latency.py, beside WebSocket clients that decode each push with msgspec. The server is Python,
but its frames are ready: it does nothing but send.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opend import HERE, Process, Sender, client

from fastfeed.bench.alltick_pushes import on_wire, sample

BLOCK = 20_000  # pushes that are repeated
#: Name in the report, client, its options, repetitions.
CANDIDATES: dict[str, tuple[str, tuple[str, ...], int]] = {
    "fastfeed": ("alltick-fastfeed", (), 200),
    "picows, msgspec": ("alltick-picows", (), 40),
    "picows, nothing": ("alltick-picows", ("nothing=1",), 100),
    "aiohttp, msgspec": ("alltick-aiohttp", (), 10),
    "websockets, msgspec": ("alltick-websockets", (), 5),
}
ENCRYPTED = ("fastfeed", "picows, msgspec")
ROUNDS = 5
RATE = 2000
LATENCY_ROUNDS = 6
SECONDS = 2.5
LEAD_NS = 300_000_000
WARM_UP_S = 0.25


@contextmanager
def server(*arguments: str) -> Iterator[Sender]:
    """Run alltick_server.py."""
    process = Sender(sys.executable, "-P", str(HERE / "alltick_server.py"), *arguments)
    try:
        yield process
    finally:
        process.child.kill()
        process.end()


@pytest.fixture(scope="module")
def certificate() -> Iterator[str]:
    """Return the path of a certificate with its key."""
    with tempfile.TemporaryDirectory(prefix="fastfeed-bench-") as folder:
        key, made = Path(folder, "key.pem"), Path(folder, "made.pem")
        try:
            subprocess.run(
                [
                    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                    *("ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"),
                    *("-days", "2", "-keyout", str(key), "-out", str(made)),
                ],
                check=True,
                capture_output=True,
            )
        except FileNotFoundError:
            pytest.skip("no openssl")
        both = Path(folder, "both.pem")
        both.write_bytes(key.read_bytes() + made.read_bytes())
        yield str(both)


def skip_without(kind: str) -> None:
    package = kind.removeprefix("alltick-")
    if find_spec(package) is None:
        pytest.skip(f"no {package}")


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_wire(encrypted: bool, benchmark: Any, report: Any, request: Any) -> None:
    names = [name for name in CANDIDATES if not encrypted or name in ENCRYPTED]
    block = sample("ticks", 100, BLOCK).stream()
    rates: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="fastfeed-bench-"))
        file.write(block)
        file.flush()
        more = (request.getfixturevalue("certificate"),) if encrypted else ()
        clients: dict[str, tuple[Process, int]] = {}
        for name in names:
            kind, options, repeat = CANDIDATES[name]
            skip_without(kind)
            sender = stack.enter_context(server("blast", file.name, str(repeat), *more))
            pushes = BLOCK * repeat
            options += ("tls=1",) if encrypted else ()
            receiver = stack.enter_context(client(kind, sender.port, pushes, *options))
            clients[name] = receiver, pushes

        def all_rounds() -> None:
            for i in range(ROUNDS + 1):
                for name in names if i % 2 else reversed(names):
                    receiver, pushes = clients[name]
                    receiver.send(b"\n")
                    rates[name].append(pushes / receiver.result()["seconds"])

        benchmark.group = "AllTick over WebSocket, the whole run"
        benchmark.pedantic(all_rounds, rounds=1)
    table = f"AllTick wire{', encrypted' * encrypted}"
    for name, found in rates.items():
        median = statistics.median(found[1:])
        row = {
            "pushes/s": median,
            "best": max(found[1:]),
            "MB/s": median * len(block) / BLOCK / 1e6,
            "x picows, msgspec": statistics.median(
                own / other
                for own, other in zip(found[1:], rates["picows, msgspec"][1:], strict=True)
            ),
        }
        benchmark.extra_info[name] = row
        report.add(table, name, **row)


def schedule(count: int) -> list[tuple[int, bytes]]:
    """Return frames and their times; each carries its own as the sequence."""
    rng = random.Random(RATE)
    messages = sample("ticks", 100, count).bodies
    start = time.time_ns() + LEAD_NS + count * 30_000
    frames = []
    for i, message in enumerate(messages):
        at = start + i * 1_000_000_000 // RATE + rng.randrange(100_000)
        head, _, rest = message.partition(b'"seq":')
        frames.append((at, on_wire(head + b'"seq":%d' % at + rest[rest.index(b",") :], i)))
    return frames


def test_latency(benchmark: Any, report: Any) -> None:
    count = int(RATE * (SECONDS + WARM_UP_S))
    names = {"fastfeed": "alltick-fastfeed", "picows, msgspec": "alltick-picows"}
    if find_spec("websockets") is not None:
        names["websockets, msgspec"] = "alltick-websockets"
    skip_without("alltick-picows")
    rounds: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def all_rounds() -> None:
        with ExitStack() as stack:
            sender = stack.enter_context(server("paced"))
            receivers = {
                name: stack.enter_context(client(kind, sender.port, count, "stamps=1"))
                for name, kind in names.items()
            }
            for i in range(LATENCY_ROUNDS):
                for name in list(names) if i % 2 else reversed(names):
                    receivers[name].send(b"\n")
                    sender.schedule(schedule(count))
                    late = np.array(receivers[name].result()["late_ns"]) / 1e3
                    assert len(late) == count
                    rounds[name].append(late[int(RATE * WARM_UP_S) :])

    benchmark.group = "AllTick's latency, the whole run"
    benchmark.pedantic(all_rounds, rounds=1)
    for name, parts in rounds.items():
        row = {
            f"p{p:g} µs": statistics.median(float(np.percentile(part, p)) for part in parts)
            for p in (50, 99, 99.9)
        }
        row["x picows, msgspec"] = statistics.median(
            float(np.median(part) / np.median(other))
            for part, other in zip(parts, rounds["picows, msgspec"], strict=True)
        )
        benchmark.extra_info[name] = row
        report.add(f"AllTick latency {RATE}/s", name, **row)
