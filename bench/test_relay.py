"""From a hub over NATS JetStream to a feed: ticks a second without a loss, and how late they are.

A writer, `fastfeed relay`, nats-server and a feed are processes of their own on this machine. The writer offers ticks
at a fixed rate; what the relay cannot take while the ring is full is lost, and that rate was too much. Beside it
what nats-py gives with a message for each tick.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from children import Process
from relay_ends import HUB, cpu_of
from shared_peers import nats_server, nats_url

SYMBOLS = (50, 2000)
RATES = (600_000, 450_000, 300_000, 200_000)  # from above: the first without a loss is the answer
QUIET_RATE = 50_000
SECONDS = 3.0
PLAIN_S = 1.5
TABLE = "relay to consumer"
PROGRAM = str(Path(__file__).with_name("relay_ends.py"))


@contextmanager
def nats() -> Iterator[tuple[str, int, Path]]:
    """Run a server with JetStream; give its URL, its process and a folder."""
    program = nats_server()
    if program is None or find_spec("nats") is None:
        pytest.skip("nats-server or nats-py is not installed")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="fastfeed-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        shm = tempfile.mkdtemp(prefix="fastfeed-bench-", dir="/dev/shm")
        stack.callback(shutil.rmtree, shm, ignore_errors=True)
        patch.setenv("FASTFEED_SHM", shm)
        where = ("-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder))
        server = subprocess.Popen(
            [program, *where, "-js", "-sd", str(folder / "store")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(server.wait)
        stack.callback(server.kill)
        yield nats_url(folder), server.pid, folder


def offered(symbols: int, rate: int) -> dict[str, Any]:
    """Offer ticks at a rate; return what came of it."""
    with nats() as (url, server, folder), ExitStack() as stack:

        def child(*arguments: str) -> Process:
            process = Process(sys.executable, "-P", PROGRAM, *arguments)
            stack.callback(process.end)
            return process

        writer = child("write", str(symbols), str(rate), str(SECONDS))
        writer.result()
        with open(folder / "relay.log", "wb") as log:
            relay = subprocess.Popen(
                [sys.executable, "-P", "-m", "fastfeed", "relay", "--hub", HUB, url],
                stdout=log,
                stderr=log,
            )
        stack.callback(relay.wait)
        stack.callback(relay.kill)
        taker = child("take", url)
        taker.result()
        before = cpu_of(server), cpu_of(relay.pid)
        writer.send(b"\n")
        wrote = writer.result()
        taker.send(f"{wrote['rows']}\n".encode())
        took = taker.result()
        cpu = cpu_of(server) - before[0], cpu_of(relay.pid) - before[1]
    seconds = (took["last_ns"] - wrote["began_ns"]) / 1e9
    return {
        "lost": wrote["rows"] - took["rows"],
        "rate": took["rows"] / seconds,
        "rows_a_message": took["rows"] / max(took["messages"], 1),
        "relay": cpu[1] / seconds,
        "server": cpu[0] / seconds,
        "taker": took["cpu_s"] / seconds,
        "writer": wrote["cpu_s"] / seconds,
        **{name: took[name] for name in ("p50_ms", "p99_ms", "gaps")},
    }


def columns(found: dict[str, Any]) -> dict[str, float]:
    """Return a row of the report."""
    return {
        "ticks/s": found["rate"],
        "p50 ms": found["p50_ms"],
        "p99 ms": found["p99_ms"],
        "ticks/message": found["rows_a_message"],
        "relay, CPUs": found["relay"],
        "server, CPUs": found["server"],
        "consumer, CPUs": found["taker"],
        "writer, CPUs": found["writer"],
    }


@pytest.mark.parametrize("symbols", SYMBOLS)
def test_sustained(symbols: int, benchmark: Any, report: Any) -> None:
    benchmark.group = "relay, the whole run"

    def highest() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for rate in RATES:
            found = offered(symbols, rate)
            if found["lost"] == 0 and found["gaps"] == 0:
                break
        return found

    found = benchmark.pedantic(highest, rounds=1)
    assert found["lost"] == 0
    assert found["gaps"] == 0
    report.add(TABLE, f"{symbols} symbols", **columns(found))


@pytest.mark.parametrize("symbols", SYMBOLS)
def test_quiet(symbols: int, benchmark: Any, report: Any) -> None:
    benchmark.group = "relay, the whole run"
    found = benchmark.pedantic(offered, args=(symbols, QUIET_RATE), rounds=1)
    assert found["lost"] == 0
    report.add(f"{TABLE}, {QUIET_RATE:,}/s", f"{symbols} symbols", **columns(found))


@pytest.mark.parametrize(
    ("name", "way"),
    [("nats-py, each awaited", "await"), ("nats-py, a message a tick", "window")],
)
def test_plain(name: str, way: str, benchmark: Any, report: Any) -> None:
    benchmark.group = "relay, the whole run"

    def publish() -> dict[str, Any]:
        with nats() as (url, _, _):
            child = Process(sys.executable, "-P", PROGRAM, "plain", url, way, str(PLAIN_S))
            try:
                found: dict[str, Any] = json.loads(child.line())
                return found
            finally:
                child.end()

    found = benchmark.pedantic(publish, rounds=1)
    report.add(TABLE, name, **{"ticks/s": found["rate"]})
