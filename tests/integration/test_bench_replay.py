"""A replay over the real path: a tape's packets from the gateway's process to a feed's callback in another one."""

import os
import signal
import subprocess

import numpy as np
import pytest

from fastfeed.bench import replay
from fastfeed.bench.process import ChildError
from fastfeed.bench.replay import Replay, stretch_of
from fastfeed.errors import ConfigError
from fastfeed.sim.tape import TICK, Tape

T0 = 1_381_152_600_000_000_000
COLUMNS = {
    "rows", "lost", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs", "sender late p99 µs",
    "ring high-water rows", "ring high-water %", "CPU %", "ticks/s", "peak ticks/s",
}  # fmt: skip


def tape_of(count, seconds):
    """Return a tape in bursts of 50 trades, which follow each other at equal distances."""
    rows = np.zeros(count, TICK)
    number = np.arange(count)
    rows["time_ns"] = T0 + number // 50 * int(seconds * 50e9 / count)
    rows["price"] = 100 + number % 500 / 4
    rows["volume"] = 1 + number % 997
    rows["symbol"] = number % 3
    rows["side"] = number % 3 - 1
    return Tape(("SPY.US", "700.HK", "AAPL.US"), rows, (2, 2, 2))


def children():
    found = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in found.stdout.splitlines() if "fastfeed.bench" in line]


@pytest.mark.parametrize("receive", ["loop", "thread"])
@pytest.mark.parametrize("vendor", ["opend", "alltick", "longport"])
def test_nothing_is_lost(vendor, receive):
    tape = tape_of(2000, 2.0)
    played = Replay(tape, vendor, receive)
    passed = 0.0

    def step(seconds):
        nonlocal passed
        passed += seconds

    speeds = (4, 100) if receive == "loop" else (100,)
    for speed in speeds:
        played.play(stretch_of(tape, speed, 0), step)
    assert played.failures == []
    assert passed > 0
    table = played.table
    assert (table.name, table.family, table.vendor) == (f"replay {vendor}", "replay", vendor)
    name = "fastfeed" if receive == "loop" else "fastfeed, thread"
    assert [(row.name, row.x) for row in table.rows] == [(name, speed) for speed in speeds]
    for row in table.rows:
        values = {column: figure.median for column, figure in row.figures.items()}
        assert {*values} == COLUMNS
        assert (values["rows"], values["lost"]) == (2000, 0)
        assert 0 < values["p50 µs"] <= values["p90 µs"] <= values["p99 µs"] <= values["max µs"]
        assert 1 <= values["ring high-water rows"] <= 2000
        assert values["ring high-water %"] == values["ring high-water rows"] * 100 / (1 << 18)
        assert values["CPU %"] > 0
        assert row.curve[-1] == (100, pytest.approx(values["max µs"], abs=1e-3))
    assert table.rows[-1].figures["peak ticks/s"].median == 100_000
    assert children() == []
    if receive == "loop":
        slow = table.rows[0]
        assert slow.figures["peak ticks/s"].median == 5000
        assert 0 < slow.figures["ticks/s"].median <= 2000 / 0.4875
        assert "2,000 trades in 0.487 s" in slow.note


def without(packet):
    """Return what takes a packet out of what is sent."""

    def change(packets):
        data, ends = packets.data.read_bytes(), np.load(packets.ends)
        start, end = ends[packet - 1], ends[packet]
        packets.data.write_bytes(data[:start] + data[end:])
        ends[packet:] -= end - start
        np.save(packets.ends, ends)

    return change


def swapped(packet):
    """Return what sends a packet after the next one."""

    def change(packets):
        data, ends = packets.data.read_bytes(), np.load(packets.ends)
        start, middle, end = ends[packet - 1 : packet + 2].tolist()
        data = data[:start] + data[middle:end] + data[start:middle] + data[end:]
        packets.data.write_bytes(data)
        ends[packet] = start + end - middle
        np.save(packets.ends, ends)

    return change


@pytest.mark.parametrize(
    ("change", "lost", "words"),
    [
        (without(500), 1, "1 of 1,000 rows were lost, row 501 is not the one that was sent"),
        (without(999), 1, "1 of 1,000 rows were lost"),
        (swapped(700), None, "row 701 is not the one that was sent"),
    ],
)
def test_loss_and_another_order_are_failures(change, lost, words, monkeypatch):
    write = replay.write_packets

    def changed(*args):
        packets = write(*args)
        change(packets)
        return packets

    monkeypatch.setattr(replay, "write_packets", changed)
    tape = tape_of(1000, 1.0)
    played = Replay(tape, "alltick", patience_s=0.3)
    played.play(stretch_of(tape, 10, 0))
    assert played.failures == [f"at 10 times real time: {words}"]
    assert played.table.warnings == played.failures
    (row,) = played.table.rows
    assert row.figures["rows"].median == 1000 - (lost or 0)
    assert row.figures["lost"].median > 0
    assert children() == []


def test_what_was_measured_before_an_interrupt_is_kept():
    tape = tape_of(2000, 60.0)
    played = Replay(tape, "opend")
    passed = 0.0

    def step(seconds):
        nonlocal passed
        passed += seconds
        if passed > 2:
            raise KeyboardInterrupt

    played.play(stretch_of(tape, 600, 0))
    with pytest.raises(KeyboardInterrupt):
        played.play(stretch_of(tape, 1, 0), step)
    assert children() == []
    whole, part = played.table.rows
    assert whole.figures["rows"].median == 2000
    assert 0 < part.figures["rows"].median < 2000
    assert part.figures["lost"].median == 0
    assert part.figures["p50 µs"].median > 0
    assert 0 < part.figures["ticks/s"].median < 200
    assert "interrupted after" in part.note
    assert played.failures == []


def test_an_interrupt_at_the_beginning_leaves_nothing(monkeypatch):
    def at_once(worker, step, most_s):
        raise KeyboardInterrupt

    monkeypatch.setattr(replay, "_wait", at_once)
    tape = tape_of(1000, 60.0)
    played = Replay(tape, "opend")
    with pytest.raises(KeyboardInterrupt):
        played.play(stretch_of(tape, 1, 0))
    assert len(played.table.rows) <= 1
    assert children() == []


def test_packets_that_there_is_no_room_for_are_one_clear_error(monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replay, "write_packets", full)
    tape = tape_of(10, 1.0)
    with pytest.raises(ConfigError, match=r"cannot write the packets .*: No space left on device"):
        Replay(tape, "opend").play(stretch_of(tape, 1, 0))


def test_one_trade():
    tape = Tape(("BTCUSDT",), tape_of(1, 1.0).rows, (2,))
    played = Replay(tape, "alltick")
    played.play(stretch_of(tape, 1, 30))
    assert played.failures == []
    (row,) = played.table.rows
    assert row.figures["rows"].median == 1
    # So little is no work for anybody, however short it is.
    assert 0 < row.figures["CPU %"].median < 90
    assert not any("no time left" in warning for warning in played.table.warnings)


def test_a_gateway_that_dies_is_one_clear_error(monkeypatch):
    tape = tape_of(1000, 60.0)
    played = Replay(tape, "opend")
    gateways = []

    class Mortal(replay.Gateway):
        def __init__(self, *args):
            super().__init__(*args)
            gateways.append(self)

    def step(seconds):
        gateways[0].child.kill()

    monkeypatch.setattr(replay, "Gateway", Mortal)
    with pytest.raises(ChildError, match=r"fastfeed.bench.gateway opend.* ended with status -9"):
        played.play(stretch_of(tape, 1, 0), step)
    assert children() == []


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_receiver_that_hangs_is_one_clear_error(interrupted, monkeypatch):
    monkeypatch.setattr(replay, "_HANGING_S", 0.5)
    played = Replay(tape_of(1000, 0.5), "opend", patience_s=0.2)
    workers = []

    class Hanging(replay.Process):
        def __init__(self, *args):
            super().__init__(*args)
            workers.append(self)

    def step(seconds):
        os.kill(workers[0].child.pid, signal.SIGSTOP)
        if interrupted:
            raise KeyboardInterrupt

    monkeypatch.setattr(replay, "Process", Hanging)
    stretch = stretch_of(tape_of(1000, 5.0), 1, 0)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            played.play(stretch, step)
    else:
        with pytest.raises(ChildError, match=r"fastfeed.bench.worker did not answer within 0.5 s"):
            played.play(stretch, step)
    assert children() == []
