"""Children that do what none should: hang, talk nonsense, go on without a parent, or cannot begin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from waiting import wait_until

from fastfeed.bench import process, wire
from fastfeed.bench.plan import Plan
from fastfeed.bench.process import ChildError, Process
from fastfeed.bench.turns import Candidate, Effort, take_turns

HELPERS = str(Path(__file__).parents[1] / "helpers")
ENVIRONMENT = {"PYTHONPATH": HELPERS}
FINE = Candidate("fine", "odd_children:Fine", path=[HELPERS])


def gone(pid: int) -> bool:
    """Whether a process has ended, though its parent may not have looked at it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def odd(what: str) -> Process:
    return Process("odd_children", what, environment=ENVIRONMENT)


def test_a_child_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with odd("hang") as child:
        assert child.line() == "begun"
        monkeypatch.setattr(process, "PATIENCE_S", 0.2)
        with pytest.raises(ChildError, match=r"odd_children hang did not answer within 0.2 s"):
            child.answer()
        pid = child.child.pid
    assert gone(pid)


def test_a_candidate_that_hangs_is_ended_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = Candidate("hangs", "odd_children:Hangs", path=[HELPERS])
    with take_turns([FINE, hangs], {}) as (turns, missing):
        assert missing == []
        pid = turns._workers["hangs"].child.pid
        monkeypatch.setattr(process, "PATIENCE_S", 0.2)
        found = turns.rounds(Effort(3, 0), lambda: None)
        assert {name: len(rounds) for name, rounds in found.items()} == {"fine": 3}
        (why,) = missing
        assert why.name == "hangs"
        assert "hangs: fastfeed.bench.worker did not answer within 0.2 s" in why.why
        assert gone(pid)
        assert list(turns.candidates) == ["fine"]


@pytest.mark.parametrize("which", ["fine", "other"])
def test_the_others_go_on_without_a_candidate_that_is_killed_but_for_the_first(which: str) -> None:
    other = msgspec.structs.replace(FINE, name="other")
    third = msgspec.structs.replace(FINE, name="third")
    with take_turns([FINE, other, third], {}) as (turns, missing):
        child = turns._workers[which].child

        def done() -> None:
            child.kill()
            child.wait()

        if which == "fine":
            with pytest.raises(ChildError, match=r"^fine: .* ended with status -9"):
                turns.rounds(Effort(3, 0), done)
            return
        found = turns.rounds(Effort(3, 0), done)
        assert {name: len(rounds) for name, rounds in found.items()} == {"fine": 3, "third": 3}
        assert [each.name for each in missing] == ["other"]


@pytest.mark.parametrize("what", ["nonsense", "number", "not text"])
def test_a_child_that_talks_nonsense(what: str) -> None:
    with odd(what) as child, pytest.raises(ChildError, match="expected an answer of odd_children"):
        child.answer()


def test_a_child_that_says_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_MOST_BYTES", 1 << 20)
    with odd("endless") as child, pytest.raises(ChildError, match="at most 1048576 bytes"):
        child.line()


def test_a_child_that_closes_its_stdout_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_END_S", 0.2)
    with odd("closed") as child:
        with pytest.raises(ChildError, match=r"ended with status -9: last words$"):
            child.answer()
        assert gone(child.child.pid)


def test_lines_come_as_they_are_said() -> None:
    with odd("lines") as child:
        assert [child.line() for _ in range(3)] == ["one", "", "x" * 200_000]
        assert child.answer() == {"a": 1}
        with pytest.raises(ChildError, match="ended with status 3: it said nothing"):
            child.line()


@pytest.mark.parametrize("kind", ["worker", "gateway"])
def test_nothing_is_left_of_a_parent_that_is_killed(kind: str) -> None:
    """Also where a child is stopped, and so could not see the end of its stdin."""
    parent = subprocess.Popen(
        [sys.executable, "-m", "odd_children", f"parent of a {kind}"],
        stdout=subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT},
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        assert not gone(pid)
        parent.kill()
    wait_until(lambda: gone(pid))


def test_the_first_has_to_be_there() -> None:
    """Without it there is nothing to compare the others with."""
    broken = Candidate("broken", "odd_children:Broken", path=[HELPERS])
    with pytest.raises(ChildError, match=r"^broken: ImportError: a library is missing: libx.so$"):
        with take_turns([broken, FINE], {}):
            pass
    with take_turns([FINE, broken], {}) as (turns, missing):
        assert [*turns.candidates] == ["fine"]
        assert [each.why for each in missing] == ["ImportError: a library is missing: libx.so"]


@pytest.mark.parametrize("vendor", ["opend", "alltick", "longport"])
def test_packages_that_are_broken_are_missing(
    vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = {"futu", "picows", "websockets", "aiohttp", "longport"}
    for name in peers:
        (tmp_path / f"{name}.py").write_text("raise ImportError('this one\\nis broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (case,) = wire.cases(Plan(("wire",), (vendor,), Effort(1, 0, 0.01)))
    table, missing = case.run(lambda: None)
    assert table.rows[0].name == "fastfeed"
    broken = [each for each in missing if each.why == "ImportError: this one is broken"]
    there: list[Any] = [
        each
        for each in wire.CANDIDATES[vendor]
        if each.peer not in (None, "uvloop") and each.missing() is None
    ]
    assert [each.name for each in broken] == [each.name for each in there]
