"""`fastfeed bench` as a process: what it shows, keeps, and says when something is wrong."""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import commands
import pytest
from bench_results import bench_results
from commands import process, run, terminal, until
from waiting import wait_until

from fastfeed.bench.results import Results, figure
from fastfeed.cli.main import cli

FAMILY = Path(commands.__file__).with_name("bench_family.py")


@pytest.fixture
def family(monkeypatch, tmp_path):
    """Let the command measure our own family, in a way of one's choice; return where its temporary files lie."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(commands, "FASTFEED", [sys.executable, str(FAMILY)])
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("COLUMNS", "100")

    def choose(what):
        monkeypatch.setenv("FASTFEED_TEST_BENCH", what)
        return folder

    return choose


def called(*arguments):
    """Run the command in this process; return its exit code."""
    with pytest.raises(SystemExit) as end:
        cli(["bench", *arguments], prog_name="fastfeed")
    return end.value.code


def children(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found.append(int(path.parent.name))
    return found


def test_a_run_shows_and_keeps_its_tables(family, tmp_path):
    temporary = family("fine")
    out = tmp_path / "folder"
    out.mkdir()
    (out / "results.json").write_text("of yesterday")
    done = run("bench", "decode", "--quick", "--out", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for name in ("decode opend ticks", "decode opend books"):
        at = lines.index(name)
        assert lines[at + 1].split() == ["candidate", "ns/push", "x", "fastfeed"]
        assert [line.split()[0] for line in lines[at + 2 : at + 4]] == ["fastfeed", "json"]
    assert "medians of 5 rounds after 1 to warm up" in done.stdout
    assert any(line.startswith("noise: others took") for line in lines)
    assert "not measured: gone (fastfeed-none is not installed)" in lines
    assert f"written: {out}/results.json" in lines
    results = Results.read(out / "results.json")
    assert results.complete
    assert [table.name for table in results.tables] == ["decode opend ticks", "decode opend books"]
    assert results.noise is not None
    assert results.noise.work_us > 0
    assert results.method["rounds"] == 5
    assert "bench decode --quick" in results.command
    assert not list(temporary.iterdir())


def test_what_was_ready_is_kept_of_a_run_that_is_killed(family, tmp_path):
    temporary = family("slow")
    with process("bench", "decode", "--quick", "--out", str(tmp_path)) as child:
        wait_until((temporary / "slow").exists)
        workers = children(child.pid)
        child.kill()
        child.wait(10)
    for pid in workers:  # the one that is in its round cannot know
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["results.json"]
    results = Results.read(tmp_path / "results.json")
    assert not results.complete
    assert [table.name for table in results.tables] == ["decode opend ticks"]
    assert results.noise is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_ready(family, tmp_path, number):
    temporary = family("slow")
    with process("bench", "decode", "--quick", "--out", str(tmp_path)) as child:
        wait_until((temporary / "slow").exists)
        workers = children(child.pid)
        assert len(workers) == 2
        child.send_signal(number)
        stdout, stderr = child.communicate(timeout=10)
    assert child.returncode == 130
    assert stderr == "fastfeed: interrupted: 1 table ready before\n"
    assert "decode opend ticks" in stdout
    assert "noise: others took" in stdout
    assert "decode opend books" not in stdout
    results = Results.read(tmp_path / "results.json")
    assert not results.complete
    assert [table.name for table in results.tables] == ["decode opend ticks"]
    assert results.noise is not None
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert [path.name for path in temporary.iterdir()] == ["slow"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("disagree", "json and fastfeed do not agree on price of the same bytes"),
        ("full", "No space left on device: /full"),
        ("die", "fastfeed: fastfeed.bench.worker ended with status -9: it said nothing"),
    ],
)
def test_what_goes_wrong_is_one_line_and_keeps_what_was_ready(family, tmp_path, what, words):
    temporary = family(what)
    done = run("bench", "decode", "--quick", "--out", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"fastfeed: {words}: 1 table ready before\n"
    assert "decode opend ticks" in done.stdout
    results = Results.read(tmp_path / "results.json")
    assert not results.complete
    assert len(results.tables) == 1
    assert not list(temporary.iterdir())


def test_a_peer_that_breaks_is_listed_as_missing(family, tmp_path):
    family("break")
    done = run("bench", "decode", "--quick", "--out", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    results = Results.read(tmp_path / "results.json")
    assert results.complete
    assert [row.name for row in results.table("decode opend books").rows] == ["fastfeed"]
    assert [each.why for each in results.missing if each.name == "json"] == [
        "broke while it was measured: json: ValueError: broken"
    ]
    assert "ValueError: broken" in done.stdout


def test_a_terminal_shows_what_is_measured_and_then_no_bar(family, tmp_path):
    family("fine")
    out = tmp_path / "new" / "folder"
    arguments = ("bench", "decode", "--quick", "--peers", "none", "--out", str(out))
    with terminal(*arguments, width=100, height=40) as (child, fd):
        text = until(fd, "", 20)
        assert child.wait(10) == 0
    results = Results.read(out / "results.json")
    assert {row.name for table in results.tables for row in table.rows} == {"fastfeed"}
    assert not results.missing
    assert "decode opend ticks  " in text
    assert "decode opend books  " in text
    assert "%" in text
    # Each bar that was drawn has been drawn over or erased before a table came.
    for line in text.replace("\r\n", "\n").split("\n"):
        shown = line.rpartition("\r")[2]
        if "[" in shown.replace("\x1b[", ""):
            assert "#" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["everything"], "fastfeed bench: no such command 'everything'"),
        (
            ["--vendor", "futu"],
            "fastfeed: expected a vendor of opend, alltick, longport, got 'futu'",
        ),
        (["decode", "--vendor", ""], "expected a vendor of opend, alltick, longport, got ''"),
        (["decode", "--vendor", "opend,x"], "got 'x'"),
        (["decode", "--peers", "numpy"], "expected a peer of aiohttp, futu-api"),
        (["wire", "--peers", ","], "got ''"),
        (["--out"], "requires an argument"),
        (["--slow"], "--slow"),
        (["compare"], "missing argument 'A.json'"),
        (["compare", "none.json", "none.json"], "cannot read none.json: No such file or directory"),
        (["compare", "/", "/"], "cannot read /: Is a directory"),
    ],
)
def test_bad_input_is_one_line(arguments, words, capfd):
    assert called(*arguments) == 2
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert len(stderr.splitlines()) == 1
    assert words in stderr


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_measured(tmp_path, capfd):
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "taken" / "results.json").mkdir(parents=True)
    for out, words in (
        (file, "it is a file, not a folder"),
        (file / "below", "Not a directory"),
        (Path("/proc/none"), "No such file or directory"),
        (tmp_path / "taken", "results.json"),
    ):
        assert called("--out", str(out)) == 2
        stdout, stderr = capfd.readouterr()
        assert stdout == ""
        assert len(stderr.splitlines()) == 1
        assert "cannot write to" in stderr
        assert words in stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(tmp_path, capfd):
    tmp_path.chmod(0o500)
    assert called("--out", str(tmp_path)) == 2
    assert "Permission denied" in capfd.readouterr().err


def test_compare(tmp_path, capfd):
    before, after = bench_results(), bench_results()
    row = after.table("decode opend ticks").row("fastfeed")
    row.figures["ns/tick"] = figure([each * 2 for each in row.figures["ns/tick"].rounds], "lower")
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    before.write(a)
    after.write(b)
    assert called("compare", str(a), str(b)) == 0
    stdout, stderr = capfd.readouterr()
    assert "+100 %  decode opend ticks  fastfeed  ns/tick" in stdout
    assert stderr == ""
    assert called("compare", str(a), str(b), "--fail") == 1
    assert called("compare", str(b), str(a), "--fail") == 0
    capfd.readouterr()
    b.write_text(json.dumps({"schema": "other/9"}))
    assert called("compare", str(a), str(b)) == 2
    words = "expected results of schema 'fastfeed-bench/1', got 'other/9'"
    assert capfd.readouterr().err == f"fastfeed: {b}: {words}\n"
