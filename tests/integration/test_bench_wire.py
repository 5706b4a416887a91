"""Throughput and latency: every installed candidate's row, on a tiny plan, and what happens when the gateway dies."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfeed.bench import latency, wire
from fastfeed.bench.clients import exactly
from fastfeed.bench.gateway import Gateway
from fastfeed.bench.opend_pushes import pack
from fastfeed.bench.plan import VENDORS, Plan
from fastfeed.bench.process import ChildError
from fastfeed.bench.results import Table
from fastfeed.bench.samples import pushes_of
from fastfeed.bench.turns import Candidate, DisagreementError, Effort, Turns, take_turns

TINY = Effort(rounds=1, warm_up=0, work=0.02)
DEADLINE_S = 10.0
HELPERS = [str(Path(__file__).parents[1] / "helpers")]


def measured(family: Any, vendor: str) -> Table:
    """Return the table of a vendor; the steps have to be as many as were told."""
    (case,) = family.cases(Plan((family.__name__.rpartition(".")[2],), (vendor,), TINY))
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    table, missing = case.run(step)
    assert table.name == case.name
    assert steps == case.steps
    assert len(missing) == sum(each.missing() is not None for each in family.CANDIDATES[vendor])
    return table


@pytest.mark.parametrize("vendor", VENDORS)
def test_wire(vendor: str) -> None:
    table = measured(wire, vendor)
    there = [each.name for each in wire.CANDIDATES[vendor] if each.missing() is None]
    assert [row.name for row in table.rows] == there
    for row in table.rows:
        assert set(row.figures) == {"ticks/s", "MB/s", "CPU ns/tick", "x fastfeed"}
        assert all(0 < each.median < float("inf") for each in row.figures.values())
        assert all(len(each.rounds) == 1 for each in row.figures.values())
    assert table.rows[0].figures["x fastfeed"].median == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_latency(vendor: str) -> None:
    table = measured(latency, vendor)
    there = [each.name for each in latency.CANDIDATES[vendor] if each.missing() is None]
    expected = {(name, rate) for name in there for rate in (500, 2000)} - {("futu-api", 2000)}
    assert {(row.name, row.x) for row in table.rows} == expected
    for row in table.rows:
        ordered = [row.figures[f"{each} µs"].median for each in ("p50", "p99", "p99.9", "max")]
        assert ordered == sorted(ordered)
        assert ordered[0] > 0
        assert row.curve == sorted(row.curve)
        assert row.figures["x fastfeed"].median > 0
        assert ("does not keep up with 2,000" in row.note) == (row.name == "futu-api")


def test_more_rates_with_more_effort() -> None:
    (case,) = latency.cases(Plan(("latency",), ("alltick",), Effort(11, 1, 1.0), peers=()))
    assert case.steps == 3 * 5


@pytest.fixture
def sample(tmp_path: Path) -> str:
    """The path of some ticks of OpenD."""
    path = str(tmp_path / "sample")
    pushes_of("opend").sample("ticks", 10, 1000).write(path)
    return path


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway("opend") as started:
        yield started


def connected(gateway: Gateway) -> socket.socket:
    """Return a client that has subscribed."""
    sock = socket.create_connection(("127.0.0.1", gateway.port), timeout=DEADLINE_S)
    request(sock, 3001)
    return sock


def request(sock: socket.socket, number: int) -> bytes:
    """Ask, and return the reply's body."""
    sock.sendall(pack(number, 7, b""))
    header = exactly(sock, 44)
    _, proto_id, _, _, serial, length, _, _ = struct.unpack("<2sIBBII20s8s", header)
    assert (proto_id, serial) == (number, 7)
    return exactly(sock, length) if length else b""


def test_requests_between_packets(gateway: Gateway, tmp_path: Path) -> None:
    """A heartbeat is answered while a schedule is followed, and the packets come as they are."""
    data = np.arange(200, dtype="u1")
    data.tofile(tmp_path / "data")
    np.save(tmp_path / "ends.npy", np.array([100, 200], "u8"))
    np.save(tmp_path / "times.npy", np.array([0, 3_600_000_000_000], "i8"))
    gateway.play(*(str(tmp_path / name) for name in ("data", "ends.npy", "times.npy")))
    with connected(gateway) as sock:
        assert exactly(sock, 100) == data[:100].tobytes()
        assert request(sock, 1004)
    # What was sent until it hung up.
    result = gateway.result()
    assert result["count"] == 1
    assert result["late_us"]["max"] >= 0
    assert result["start_ns"] > 0
    assert "hung up" in result["gone"]


def test_replies(gateway: Gateway) -> None:
    """Nothing but replies, to one client after the other, until there is something else to do."""
    gateway.reply()
    for _ in range(2):
        with connected(gateway) as sock:
            assert request(sock, 1001)
            assert request(sock, 3010)


def test_a_client_that_is_left(gateway: Gateway, sample: str) -> None:
    """A new task ends the connection of the one before."""
    gateway.blast(sample, 10)
    with connected(gateway) as sock:
        assert gateway.result()["bytes"] > 0
        gateway.blast(sample, 20)
        while sock.recv(1 << 16):
            pass
    with connected(gateway):
        assert gateway.result()["bytes"] > 0


def test_tasks_that_cannot_be_done(gateway: Gateway, sample: str, tmp_path: Path) -> None:
    """What is wrong is said, and the next task is done."""
    np.save(tmp_path / "ends.npy", np.array([1000], "u8"))
    np.save(tmp_path / "times.npy", np.array([0], "i8"))
    (tmp_path / "short").write_bytes(b"12")
    for task, message in (
        (lambda: gateway.blast(sample, 1001), "1 to 1000"),
        (lambda: gateway.paced(sample, 1000.0, 0), "1 to 1000"),
        (lambda: gateway.blast(str(tmp_path / "none"), 1), "No such file"),
        (
            lambda: gateway.play(
                *(str(tmp_path / name) for name in ("short", "ends.npy", "times.npy"))
            ),
            "ends of packets in the data",
        ),
    ):
        task()
        with connected(gateway), pytest.raises(ChildError, match=message):
            gateway.result()
    gateway.blast(sample, 1000)
    with connected(gateway):
        assert gateway.result()["bytes"] > 0


def test_end_while_it_waits(sample: str) -> None:
    """Neither a client that does not read nor none at all keeps a gateway."""
    for subscribing in (True, False):
        gateway = Gateway("opend")
        gateway.blast(sample, 1000, 100_000)
        sock = connected(gateway) if subscribing else None
        started = time.monotonic()
        gateway.end()
        assert gateway.child.returncode == 0
        assert time.monotonic() - started < DEADLINE_S
        if sock is not None:
            sock.close()


def killing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the gateway as soon as it has been told to blast for a round."""
    blast = Gateway.blast

    def fatal(gateway: Gateway, sample: str, pushes: int, repeat: int = 1) -> None:
        blast(gateway, sample, pushes, repeat)
        if repeat > 1:
            os.kill(gateway.child.pid, signal.SIGKILL)

    monkeypatch.setattr(Gateway, "blast", fatal)


@pytest.mark.parametrize("vendor", VENDORS)
def test_gateway_that_dies(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    killing(monkeypatch)
    plan = Plan(("wire",), (vendor,), Effort(1, 0, 1.0), peers=())
    (case,) = wire.cases(plan)
    with pytest.raises(ChildError, match=r"bench\.gateway .*status -9"):
        case.run(lambda: None)


def test_slow_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that is always busy is warned about, and where it is the ceiling itself it is a note."""
    result = Gateway.result

    def busy(gateway: Gateway) -> dict[str, Any]:
        return {**result(gateway), "seconds": 1000.0, "waited": 0.0}

    monkeypatch.setattr(Gateway, "result", busy)
    (case,) = wire.cases(Plan(("wire",), ("longport",), TINY, peers=()))
    table, _ = case.run(lambda: None)
    said = [each.partition(":")[0] for each in table.warnings if "the sender had" in each]
    assert said == ["fastfeed", "fastfeed, TCP"]
    assert "sender" in table.rows[2].note


def test_idle_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who mostly waits, though the sender says that it waits as well, is warned about: something else holds both up."""
    rounds = Turns.rounds

    def idle(turns: Turns, *arguments: Any, **options: Any) -> Any:
        found = rounds(turns, *arguments, **options)
        for name, results in found.items():
            for each in results:
                each["cpu_s"] = each["seconds"] * (0.9 if name == "fastfeed" else 0.2)
        return found

    monkeypatch.setattr(Turns, "rounds", idle)
    (case,) = wire.cases(Plan(("wire",), ("longport",), TINY, peers=()))
    table, _ = case.run(lambda: None)
    said = [each.partition(":")[0] for each in table.warnings if "20% of a core" in each]
    assert said == ["fastfeed, TCP"]


def test_late_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that does not keep to its schedule is warned about."""
    result = Gateway.result

    def late(gateway: Gateway) -> dict[str, Any]:
        return {**result(gateway), "late_us": {"p50": 0.0, "p99": 1e9}}

    monkeypatch.setattr(Gateway, "result", late)
    (case,) = latency.cases(Plan(("latency",), ("opend",), TINY, peers=()))
    table, _ = case.run(lambda: None)
    (warning,) = table.warnings
    assert "late, 1,000,000,000 µs in the 99th percentile at 500/s, 1,0" in warning
    assert "at 2,000/s: what is higher" in warning


@pytest.mark.parametrize("family", [wire, latency])
def test_wrong_rows(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate that makes other rows is an error before anything is measured."""
    wrong = Candidate("wrong", "wrong_clients:Wrong", path=HELPERS)
    monkeypatch.setitem(family.CANDIDATES, "opend", [family.CANDIDATES["opend"][0], wrong])
    (case,) = family.cases(Plan(("wire",), ("opend",), TINY))

    def step() -> None:
        raise AssertionError("it was measured")

    with pytest.raises(DisagreementError, match="wrong and fastfeed do not agree on price"):
        case.run(step)


def test_nothing_is_left(sample: str) -> None:
    """A case that is interrupted ends its children."""
    started: list[int] = []

    def step() -> None:
        started.extend(_children())
        raise KeyboardInterrupt

    (case,) = wire.cases(Plan(("wire",), ("opend",), TINY, peers=()))
    with pytest.raises(KeyboardInterrupt):
        case.run(step)
    assert len(started) >= 3
    assert not set(started) & set(_children())


def _children() -> list[int]:
    path = f"/proc/self/task/{threading.get_native_id()}/children"
    return [int(number) for number in Path(path).read_text().split()]


def test_a_client_that_comes_before_its_task(gateway: Gateway, sample: str) -> None:
    """Who connects when a task is done waits for the next one."""
    gateway.blast(sample, 10)
    with connected(gateway):
        first = gateway.result()["bytes"]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=DEADLINE_S) as early:
        early.sendall(pack(3001, 7, b""))
        early.settimeout(0.2)
        with pytest.raises(TimeoutError):
            early.recv(1)
        early.settimeout(DEADLINE_S)
        gateway.blast(sample, 10)
        assert len(exactly(early, first)) == first
        assert gateway.result()["bytes"] == first


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def masked(payload: bytes, first: int = 0x81) -> bytes:
    """Return a client's frame, whose mask is nothing."""
    return bytes((first, 0x80 | 127)) + struct.pack(">Q", len(payload)) + bytes(4) + payload


@pytest.mark.parametrize(
    ("vendor", "said"),
    [
        ("opend", b"x" * 44),
        ("opend", struct.pack("<2sIBBII20s8s", b"FT", 1001, 0, 0, 1, 1 << 31, b"", b"")),
        ("alltick", b"nonsense\r\n\r\n"),
        ("alltick", b"x" * (2 << 20)),
        ("alltick", HANDSHAKE + masked(b"{")),
        ("alltick", HANDSHAKE + masked(b"[" * 100_000)),
        ("alltick", HANDSHAKE + masked(b"[]")),
        ("alltick", HANDSHAKE + masked(b'{"cmd_id": {}, "seq_id": 1}')),
        ("alltick", HANDSHAKE + masked(b'{"cmd_id": 1e999, "seq_id": 1}')),
        ("alltick", HANDSHAKE + masked(b"\xff\xfe")),
        ("alltick", HANDSHAKE + bytes((0x81, 0xFF)) + b"\xff" * 12),
        ("longport", b"xx"),
        ("longport", HANDSHAKE + masked(b"short", 0x82) + masked(b"", 0x88)),
        ("longport", HANDSHAKE + bytes((0x82, 0xFF)) + b"\xff" * 12),
    ],
)
def test_rubbish(vendor: str, said: bytes, tmp_path: Path) -> None:
    """Who talks rubbish is hung up on, or hangs up itself; who comes after it is served."""
    path = str(tmp_path / "sample")
    pushes_of(vendor).sample("ticks", 10, 100).write(path)
    with Gateway(vendor) as gateway:
        gateway.blast(path, 100)
        for half in (said, said[:7], b""):
            with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as sock:
                # The handshake alone first: what follows a request's head is not looked for in it.
                with contextlib.suppress(ConnectionError):
                    if half.startswith(HANDSHAKE):
                        sock.sendall(HANDSHAKE)
                        head = b""
                        while not head.endswith(b"\r\n\r\n"):
                            head += exactly(sock, 1)
                        sock.sendall(half[len(HANDSHAKE) :])
                    else:
                        sock.sendall(half)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(1 << 16):
                        pass
        factory = f"fastfeed.bench.{vendor}_clients:Fastfeed"
        options = {"port": gateway.port, "sample": path, "pushes": 100}
        with take_turns([Candidate("fastfeed", factory, options)], {}) as (turns, _):
            ((found,),) = turns.rounds(Effort(1, 0), lambda: None).values()
        assert found["seconds"] > 0
        assert gateway.result()["bytes"] > 0


def test_a_client_that_says_nothing(gateway: Gateway, sample: str) -> None:
    """It does not keep the others waiting for ever."""
    gateway.blast(sample, 10)
    at = ("127.0.0.1", gateway.port)
    with socket.create_connection(at, DEADLINE_S) as silent:
        silent.sendall(b"FT")
        with connected(gateway):
            assert gateway.result()["bytes"] > 0
        assert silent.recv(1) == b""


def test_a_client_that_does_not_read_replies(gateway: Gateway, sample: str) -> None:
    """It is hung up on, so that the next task is done."""
    gateway.reply()
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as greedy:
        greedy.settimeout(0.5)
        with pytest.raises(TimeoutError):
            greedy.sendall(pack(1001, 7, b"") * 1_000_000)
        gateway.blast(sample, 10)
        with connected(gateway):
            assert gateway.result()["bytes"] > 0
