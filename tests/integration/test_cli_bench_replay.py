"""`fastfeed bench replay` as a user meets it: what is wrong is one clear line, and an interrupt keeps what there is."""

import gzip
import os
import signal
import subprocess
import time

import pytest
from click.testing import CliRunner
from commands import process, run

from fastfeed.bench.results import Results
from fastfeed.cli.main import cli

HEADER = "time_ns,symbol,price,volume,side\n"
T0 = 1_381_152_600_000_000_000


def lines_of(count, interval_ns, symbols=("SPY.US", "700.HK")):
    return [
        f"{T0 + i * interval_ns},{symbols[i % len(symbols)]},{100 + i % 40 / 4},{1 + i % 9},buy\n"
        for i in range(count)
    ]


def tape(tmp_path, count=500, interval_ns=1_000_000, **options):
    path = tmp_path / "tape.csv.gz"
    text = HEADER + "".join(lines_of(count, interval_ns, **options))
    path.write_bytes(gzip.compress(text.encode()))
    return str(path)


def test_help():
    result = CliRunner().invoke(cli, ["bench", "replay", "--help"], prog_name="fastfeed")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: fastfeed bench replay")
    assert max(map(len, result.output.splitlines())) <= 96
    assert "replay" in CliRunner().invoke(cli, ["bench", "--help"]).output


def test_table_and_results(tmp_path):
    out = tmp_path / "made" / "here"
    found = run("bench", "replay", tape(tmp_path), "--speed", "2,10", "--out", str(out), timeout=60)
    assert found.returncode == 0, found.stderr
    assert "replay opend" in found.stdout
    assert "p99 µs" in found.stdout
    assert f"written: {out / 'results.json'}" in found.stdout
    results = Results.read(out / "results.json")
    assert results.complete
    (table,) = results.tables
    assert [row.x for row in table.rows] == [2, 10]
    for row in table.rows:
        assert row.figures["rows"].median == 500
        assert row.figures["lost"].median == 0
    assert results.method["receive"] == "loop"
    assert results.noise is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--vendor", "futu"], "'futu' is not one of 'opend', 'alltick', 'longport'"),
        (["--receive", "fork"], "'fork' is not one of 'loop', 'thread'"),
        (["--speed", "0"], "expected numbers above 0 such as 1,10,100, got '0'"),
        (["--speed", "1,-1"], "expected numbers above 0 such as 1,10,100, got '-1'"),
        (["--speed", "fast"], "got 'fast'"),
        (["--speed", "1,,2"], "got ''"),
        (["--speed", "nan"], "got 'nan'"),
        (["--speed", "inf"], "got 'inf'"),
        (["--for", "-1"], "expected seconds, or 0 for the whole tape, got '-1'"),
        (["--for", "long"], "got 'long'"),
        (["--for", "inf"], "got 'inf'"),
        (["--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
        (["--out", "/dev/null"], "cannot write to /dev/null: it is a file, not a folder"),
    ],
)
def test_wrong_options_are_one_clear_line(options, words, tmp_path):
    result = CliRunner().invoke(
        cli, ["bench", "replay", tape(tmp_path, 3), *options], prog_name="fastfeed"
    )
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert words in line
    assert result.stdout == ""


BROKEN = {
    "a line that is none": (["what is this\n"], ":4: expected time_ns,symbol"),
    "a price that is none": ([f"{T0 + 9000000},SPY.US,cheap,1,buy\n"], ":4: expected"),
    "a time before the last": ([f"{T0 - 1},SPY.US,1,1,buy\n"], ":4: expected times in ascending order"),
    "a symbol of nobody's": ([f"{T0 + 9000000},SPY.ABC,1,1,buy\n"], "'SPY.ABC'"),
    "a symbol twice": ([f"{T0 + 9000000},US.SPY,1,1,buy\n"], "SPY.US twice"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_tape_is_one_clear_line(what, tmp_path):
    more, words = BROKEN[what]
    path = tmp_path / "tape.csv"
    path.write_text(HEADER + "".join([*lines_of(2, 1000, ("SPY.US",)), *more]))
    result = CliRunner().invoke(cli, ["bench", "replay", str(path)], prog_name="fastfeed")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER, "has no trades"),
        ("", ":1: expected the header"),
        ("a,b\n", ":1: expected the header"),
        (None, "No such file"),
    ],
)
def test_no_tape_is_one_clear_line(text, words, tmp_path):
    path = tmp_path / "tape.csv"
    if text is not None:
        path.write_text(text)
    result = CliRunner().invoke(cli, ["bench", "replay", str(path)], prog_name="fastfeed")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert words in line


def test_loss_is_said_by_the_exit_code(tmp_path, monkeypatch):
    from fastfeed.bench import replay

    write = replay.write_packets

    def truncated(vendor, tape, folder):
        import numpy as np

        packets = write(vendor, tape, folder)
        ends = np.load(packets.ends)
        ends[-1] = ends[-2]
        np.save(packets.ends, ends)
        return packets

    monkeypatch.setattr(replay, "write_packets", truncated)
    monkeypatch.setattr(replay.Replay.__init__, "__kwdefaults__", {"patience_s": 0.2})
    result = CliRunner().invoke(
        cli, ["bench", "replay", tape(tmp_path), "--speed", "10"], prog_name="fastfeed"
    )
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last == "fastfeed: at 10 times real time: 1 of 500 rows were lost"
    assert "replay opend" in result.stdout


def test_an_interrupt_keeps_what_there_is(tmp_path):
    out = tmp_path / "out"
    args = ("--speed", "1000,1", "--for", "0", "--out", str(out))
    with process("bench", "replay", tape(tmp_path, 500, 100_000_000), *args) as child:
        # Each speed has processes of its own: the second worker follows when the first speed is measured.
        until = time.monotonic() + 30
        seen = set()
        while len(seen) < 2 and time.monotonic() < until:
            found = subprocess.run(
                ["ps", "--ppid", str(child.pid), "-o", "pid=,args="],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            seen |= {
                line.split()[0] for line in found.stdout.splitlines() if "bench.worker" in line
            }
            time.sleep(0.05)
        assert len(seen) == 2
        os.kill(child.pid, signal.SIGINT)
        stdout, stderr = child.communicate(timeout=20)
    assert child.returncode == 130
    (line,) = stderr.splitlines()
    assert line.startswith("fastfeed: interrupted")
    assert "replay opend" in stdout
    results = Results.read(out / "results.json")
    assert not results.complete
    rows = results.tables[0].rows
    assert rows[0].figures["rows"].median == 500
    assert [row.x for row in rows] in ([1000], [1000, 1])
    alive = subprocess.run(
        ["ps", "-p", ",".join(seen), "-o", "pid="], capture_output=True, text=True, check=False
    )
    assert alive.stdout.strip() == ""


def test_an_interrupt_while_the_tape_is_read(tmp_path):
    path = tmp_path / "tape"
    os.mkfifo(path)
    with process("bench", "replay", str(path)) as child:
        with open(path, "wb"):  # it has come as far as that
            os.kill(child.pid, signal.SIGINT)
            stdout, stderr = child.communicate(timeout=20)
    assert (child.returncode, stdout, stderr) == (130, "", "fastfeed: interrupted\n")
