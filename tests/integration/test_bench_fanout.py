"""One process to many, measured in earnest, but briefly."""

from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from fastfeed.bench import fanout, fanout_ends
from fastfeed.bench.percentiles import curve, percentiles
from fastfeed.bench.plan import Plan
from fastfeed.bench.process import ChildError
from fastfeed.bench.turns import Candidate, DisagreementError, Effort

candidates = fanout._candidates
BRIEF = Plan(("fanout",), effort=Effort(rounds=2, warm_up=0, work=0.01))


def measured(readers):
    (case,) = fanout.cases(BRIEF, readers)
    steps = 0

    def step():
        nonlocal steps
        steps += 1

    table, missing = case.run(step)
    assert missing == []
    assert steps == case.steps
    return table


def test_table():
    table = measured((2,))
    assert (table.name, table.family, table.unit, table.x) == (
        "fanout", "fanout", "p50 µs", "readers",
    )  # fmt: skip
    for name in ("fastfeed", "pyzmq", "multiprocessing.Pipe"):
        row = table.row(name, 2)
        assert {*row.figures} == {"p50 µs", "p99 µs", "x fastfeed", "writer CPU ns/row"}
        assert 0 < row.figures["p50 µs"].median <= row.figures["p99 µs"].median
        assert len(row.figures["p50 µs"].rounds) == 2
        assert row.figures["writer CPU ns/row"].low > 0
        assert row.curve[-1][0] == 100
        assert row.note
    assert table.row("fastfeed", 2).figures["x fastfeed"].rounds == [1, 1]


def test_memory_that_nobody_may_write_to(monkeypatch):
    monkeypatch.setattr(fanout.os, "access", lambda path, mode: False)
    plan = Plan(("fanout",), effort=BRIEF.effort, peers=())
    (case,) = fanout.cases(plan, (1,))
    table, _ = case.run(lambda: None)
    assert table.row("fastfeed", 1).figures["p50 µs"].median > 0


def test_wrong_rows_are_an_error_before_anything_is_measured(monkeypatch):
    helpers = str(Path(__file__).parents[1] / "helpers")
    wrong = Candidate("wrong", "wrong_clients:WrongPipe", path=[helpers])
    monkeypatch.setattr(
        fanout, "_candidates", lambda readers, cores: [candidates(readers, cores)[0], wrong]
    )
    (case,) = fanout.cases(BRIEF, (1,))
    with pytest.raises(DisagreementError, match="wrong and fastfeed do not agree on price of"):
        case.run(lambda: pytest.fail("it was measured"))


def test_readers_spin_where_there_are_cores():
    names = [candidate.name for candidate in fanout._candidates(3, 4)]
    assert "fastfeed, spinning" in names
    names = [candidate.name for candidate in fanout._candidates(4, 4)]
    assert "fastfeed, spinning" not in names


def test_a_writer_that_is_late_is_told_once():
    late = [fanout._Late(120.0, "fastfeed", 1), fanout._Late(3456.7, "pyzmq", 4)]
    assert fanout._warning(late).endswith(
        "in 2 of the measurements: it sent 1 % of its rows late itself, "
        "by 3,457 µs or more at worst (pyzmq with 4 readers)"
    )
    assert fanout._warning(late[:1]).endswith("(fastfeed with 1 reader)")


def test_a_reader_that_spins(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTFEED_SHM", str(tmp_path))  # and put back what it was
    writer = fanout_ends.HubWriter(str(tmp_path), 1, [], wait="spin")
    try:
        assert {*writer.check(50, 2000)} >= {"symbol", "price", "seq"}
        assert min(writer.round(50, 2000)["late_ns"]) > 0
    finally:
        for process in writer._readers:
            process.end()
        writer._hub.close()


def test_lost_rows_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTFEED_SHM", str(tmp_path))

    class Losing(fanout_ends.PipeWriter):
        def complete(self, readers):
            super().complete(readers)
            whole, sent = self.send, 0

            def send(row):
                nonlocal sent
                sent += 1
                if sent != 5:
                    whole(row)

            self.send = send

    writer = Losing(str(tmp_path), 1, [])
    try:
        # The reader would wait for the tenth for ever: it gets one more.
        writer._readers[0].tell(do="read", **{"with": {"count": 10}})
        fanout_ends._paced(writer.send, fanout_ends.ticks(11, 0, 0))
        with pytest.raises(ChildError, match="1 of 10 rows were lost"):
            writer._readers[0].answer()
    finally:
        for process in writer._readers:
            process.end()


def test_readers_that_disagree_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTFEED_SHM", str(tmp_path))
    writer = fanout_ends.PipeWriter(str(tmp_path), 2, [])
    try:
        both = writer.send
        assert writer.check(20, 2000)
        one = writer._ends[0].send_bytes
        other = writer._ends[1].send_bytes

        def send(row):
            one(row)
            other(row[:24] + bytes(8) + row[24 + 8 :])

        writer.send = send
        with pytest.raises(fanout_ends.DisagreementError, match="same rows"):
            writer.check(20, 2000)
        writer.send = both
        found = writer.round(40, 2000)
        assert len(found["late_ns"]) == 2 * 36
        assert min(found["late_ns"]) > 0
    finally:
        for process in writer._readers:
            process.end()


def test_late_of_messages():
    here, there = Pipe(duplex=False)
    rows = fanout_ends.ticks(3, 1000, 500)
    for row in rows:
        there.send_bytes(row.tobytes())
    before = fanout_ends.time.monotonic_ns()
    late, numbers = fanout_ends.late_of_messages(here.recv_bytes, 3)
    assert numbers == [0, 1, 2]
    assert all(a >= before - sent for a, sent in zip(late, (1000, 1500, 2000), strict=True))


def test_percentiles_and_curve():
    late = np.arange(1, 1002) * 1000
    assert percentiles(late) == {
        "p50 µs": 501, "p90 µs": 901, "p99 µs": 991, "p99.9 µs": pytest.approx(1000), "max µs": 1001,
    }  # fmt: skip
    points = curve(late)
    assert points[0] == (0, 1)
    assert points[-1] == (100, 1001)
    assert points == sorted(points)
    assert (50, 501) in points
    assert 100 - 100 / len(late) * 2 < points[-2][0] <= 100 - 100 / len(late) + 1e-9
    assert curve([7000]) == [(0, 7), (100, 7)]
