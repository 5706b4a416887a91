"""The command line as a user meets it: real processes, a simulator, pipes and terminals."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import process, run, simulator, terminal, until

import fastfeed
from fastfeed.cli.main import cli

NOBODY = "opend://127.0.0.1:9"
HEADER = "symbol,time,price,volume,turnover,side,seq,kind,flags,recv_ns,time_ns,gateway_ns"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator("--rate", "2000", "--symbols", "700.HK,AAPL.US,BTCUSDT.CC") as (where, _):
        yield where


# words


def test_version() -> None:
    assert run("--version").stdout == f"fastfeed {fastfeed.__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        *([], ["watch"], ["get"], ["doctor"], ["demo"], ["sim"], ["sim", "opend"]),
        *(["serve"], ["tail"], ["hubs"]),
    ],
)
def test_help(command: list[str]) -> None:
    result = CliRunner().invoke(cli, [*command, "--help"], prog_name="fastfeed")
    assert result.exit_code == 0
    assert result.output.startswith(" ".join(["Usage: fastfeed", *command]))
    assert max(map(len, result.output.splitlines())) <= 96


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([NOBODY, "700"], "expected a symbol"),
        ([NOBODY, "700.HK", "AAPL.XX"], "'AAPL.XX'"),
        (["http://x", "700.HK"], "expected a URL"),
        (["opend://h:99999", "700.HK"], "expected a URL"),
        (["opend://h?wait_s=x", "700.HK"], "wait_s"),
        (
            [NOBODY, "700.HK", "--kinds", "tocks"],
            "expected a kind (ticks, quotes, books, odd_books, bars, timeshare, brokers), got 'tocks'",
        ),
        ([NOBODY, "700.HK", "--kinds", ","], "expected at least one kind"),
        ([NOBODY, "700.HK", "--format", "xml"], "'xml'"),
        ([NOBODY, "700.HK", "--limit", "-1"], "expected 1 or more ticks, got -1"),
        ([NOBODY, "700.HK", "--limit", "0"], "expected 1 or more ticks, got 0"),
        ([NOBODY, "700.HK", "--limit", "many"], "'many'"),
        ([NOBODY, "700.HK", "--duration", "0"], "expected more than 0 seconds, got '0'"),
        ([NOBODY, "700.HK", "--duration", "nan"], "expected more than 0 seconds, got 'nan'"),
        ([NOBODY, "700.HK", "--wait", "-1"], "expected 0 or more seconds, got '-1'"),
        ([NOBODY, "700.HK", "--colour"], "--colour"),
    ],
)
def test_wrong_arguments_are_one_clear_line(args: list[str], words: str) -> None:
    result = CliRunner().invoke(cli, ["watch", *args], prog_name="fastfeed")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("fastfeed")
    assert words in result.stderr


@pytest.mark.parametrize("args", [[], [NOBODY]])
def test_missing_arguments_are_one_line(args: list[str]) -> None:
    result = CliRunner().invoke(cli, ["watch", *args], prog_name="fastfeed")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_unknown_command() -> None:
    result = CliRunner().invoke(cli, ["wach"], prog_name="fastfeed")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_nothing_listens(form: str) -> None:
    result = run("watch", NOBODY, "700.HK", "--format", form)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        "fastfeed: cannot connect to 127.0.0.1:9: connection refused, nothing listens there\n"
    )


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_refused_symbol(url: str, form: str) -> None:
    result = run("watch", url, "700.HK", "NOPE.US", "--format", form)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "NOPE.US" in result.stderr


def test_text_needs_no_rich_and_the_table_says_so(url: str) -> None:
    code = (
        "import sys; sys.modules['rich'] = sys.modules['rich.console'] = None\n"
        "from fastfeed.cli.main import main; main()"
    )
    start = [sys.executable, "-c", code, "watch", url, "700.HK", "--limit", "1", "--format"]
    table = subprocess.run([*start, "table"], capture_output=True, text=True, check=False)
    assert table.returncode == 1
    assert table.stdout == ""
    assert table.stderr.count("\n") == 1
    assert "pip install 'fastfeed[cli]'" in table.stderr
    text = subprocess.run([*start, "csv"], capture_output=True, text=True, check=False)
    assert (text.returncode, text.stderr) == (0, "")


# ticks as text


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tape") / "tape.csv"
    symbols = ("700.HK", "AAPL.US", "BTCUSDT.CC", ".DJI.US")
    lines = ["time_ns,symbol,price,volume,side"]
    for i in range(20_000):
        time_ns = 1_700_010_000_000_000_000 + i * 1_000_000
        price = (10.0, 0.1 + 0.2, 95000.123, 1 / 3)[i % 4] + i / 1000
        side = ("buy", "sell", "")[i % 3]
        lines.append(f"{time_ns},{symbols[i % 4]},{price!r},{1 + i % 700},{side}")
    path.write_text("\n".join(lines) + "\n")
    return path


SYMBOLS = ("700.HK", "AAPL.US", "BTCUSDT.CC", ".DJI.US")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_every_tick_of_a_tape_is_written_exactly(tape: Path, form: str) -> None:
    with simulator("--tape", str(tape), "--speed", "max", "--rows-per-push", "7") as (where, _):
        result = run("watch", where, *SYMBOLS, "--format", form, "--limit", "20000")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    if form == "csv":
        assert lines[0] == HEADER
        found = list(csv.DictReader(lines))
    else:
        found = [json.loads(line) for line in lines]
        assert ",".join(found[0]) == HEADER
    with tape.open() as file:
        expected = list(csv.DictReader(file))
    assert len(found) == len(expected) == 20_000
    seqs = [int(row["seq"]) for row in found]
    assert seqs == sorted(set(seqs))
    for row, sent in zip(found, expected, strict=True):
        assert row["symbol"] == sent["symbol"]
        assert float(row["price"]) == float(sent["price"])
        assert float(row["volume"]) == float(sent["volume"])
        assert (row["side"] or "") == sent["side"]
        assert int(row["time_ns"]) == int(sent["time_ns"])
        assert row["time"].endswith("Z")
        assert int(row["recv_ns"]) >= int(row["gateway_ns"]) - 1_000_000 > 1_700_000_000_000_000_000


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_limit_is_exact(url: str, form: str) -> None:
    result = run("watch", url, "HK.00700", "AAPL.US", "--format", form, "--limit", "37")
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 37 + (form == "csv")
    assert '"700.HK"' in result.stdout or "\n700.HK," in result.stdout


def test_duration(url: str) -> None:
    began = time.monotonic()
    result = run("watch", url, "700.HK", "--format", "csv", "--duration", "0.7")
    assert 0.7 <= time.monotonic() - began < 5
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) > 100


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_signals_end_text_after_a_whole_line(url: str, form: str, number: signal.Signals) -> None:
    with process("watch", url, "700.HK", "--format", form) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first
        child.send_signal(number)
        rest, errors = child.communicate(timeout=10)
    assert (child.returncode, errors) == (0, "")
    text = first + rest
    assert text.endswith("\n")
    assert all(line.count(",") == 11 for line in text.splitlines())


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_closed_pipe_is_a_quiet_end(url: str, form: str) -> None:
    with process("watch", url, "700.HK", "--format", form) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(timeout=10) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_stalled_reader_is_not_waited_for_in_the_end(url: str) -> None:
    with process("watch", url, "700.HK", "AAPL.US", "--format", "csv", "--duration", "1") as child:
        time.sleep(0.5)
        assert child.wait(timeout=15) == 1
        assert child.stderr is not None
        assert "were not written" in child.stderr.read()


def test_full_disk_is_one_line(url: str) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with (
        open("/dev/full", "w") as full,
        process("watch", url, "700.HK", "--format", "csv", stdout=full.fileno()) as child,
    ):
        assert child.wait(timeout=10) == 1
        assert child.stderr is not None
        assert child.stderr.read() == "fastfeed: No space left on device\n"


def test_lost_connection_is_told_and_survived() -> None:
    with simulator("--rate", "500", "--symbols", "700.HK") as (where, server):
        port = where.rpartition(":")[2]
        with process("watch", where, "700.HK", "--format", "csv") as child:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline() == HEADER + "\n"
            child.stdout.readline()
            server.kill()
            assert "disconnected" in child.stderr.readline()
            server.wait()
            time.sleep(1.1)  # sequences begin with the second: the new server's are larger
            with simulator("--rate", "500", "--symbols", "700.HK", port=port):
                told = ""
                while "subscribed again" not in told:
                    told = child.stderr.readline()
                    assert told.startswith("fastfeed: ")
                flags: list[str] = []
                for _ in range(5000):  # at 500 a second
                    line = child.stdout.readline()
                    assert line.startswith("700.HK,")
                    flags = line.split(",")[HEADER.split(",").index("flags")].split("|")
                    if "gap" in flags:
                        break
                assert "gap" in flags
                child.send_signal(signal.SIGINT)
                child.communicate(timeout=10)
                assert child.returncode == 0


def test_wait_for_a_server_that_comes_later() -> None:
    with simulator("--symbols", "700.HK") as (where, _):
        port = where.rpartition(":")[2]
    with process(
        "watch", where, "700.HK", "--format", "csv", "--limit", "5", "--wait", "20"
    ) as child:
        time.sleep(0.6)
        with simulator("--symbols", "700.HK", port=port):
            out, errors = child.communicate(timeout=20)
    assert child.returncode == 0
    assert len(out.splitlines()) == 6
    assert "Traceback" not in errors


# the table


def test_table_without_a_terminal_is_plain_and_comes_at_the_end(url: str) -> None:
    result = run("watch", url, "700.HK", "AAPL.US", "--limit", "200")
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "Symbol",
        "Last",
        "Change",
        "%",
        "Volume",
        "Ticks",
        "Ticks/s",
        "Latency",
    ]
    assert lines[2].startswith("700.HK")
    assert lines[3].startswith("AAPL.US")
    assert lines[-1].startswith("200 ticks of 2 symbols in ")
    assert sum(int(line.split()[5]) for line in lines[2:4]) == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_table_in_a_terminal(url: str, number: signal.Signals) -> None:
    with terminal("watch", url, "700.HK", "AAPL.US") as (child, screen):
        text = until(screen, "Ctrl-C ends")
        assert "\x1b[?1049h" in text
        assert "\x1b[?25l" in text
        until(screen, "Ctrl-C ends")
        child.send_signal(number)
        text = until(screen, "")
        assert child.wait(timeout=10) == 0
    assert "\x1b[?25h" in text
    after = text.rpartition("\x1b[?1049l")[2]
    assert "AAPL.US" in after
    assert re.search(r"\d ticks of 2 symbols in ", after)
    assert "Traceback" not in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40), (50, 12)])
def test_panels_in_a_terminal(url: str, width: int, height: int) -> None:
    kinds = "ticks,quotes,books,bars:1m"
    with terminal("watch", url, "700.HK", "--kinds", kinds, width=width, height=height) as (
        child,
        screen,
    ):
        until(screen, "│")  # a book
        until(screen, "Ctrl-C ends")
        child.send_signal(signal.SIGINT)
        text = until(screen, "")
        assert child.wait(timeout=10) == 0
    after = text.rpartition("\x1b[?1049l")[2]
    assert "spread" in after
    assert re.search(r"\d rows of 1 symbol in ", after)
    assert "Traceback" not in text


# the demo


def simulators(rate: str) -> list[int]:
    """Return the processes that run the simulator of a demo; its rate tells it from others."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if "sim\0opend\0" in (line := path.read_text()) and f"--rate\0{rate}\0" in line:
                found.append(int(path.parent.name))
    return found


def gone(rate: str) -> bool:
    deadline = time.monotonic() + 5
    while simulators(rate):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_demo_without_a_terminal_sums_up() -> None:
    with process("demo", "--duration", "1.5", "--rate", "100.5") as child:
        out, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (0, "")
    lines = out.splitlines()
    assert "10 symbols" in lines[0]
    assert re.match(
        r"\d+ ticks of 10 symbols in 1\.[5-9] s, [\d.]+ ticks/s, median latency ", lines[-1]
    )
    assert gone("100.5")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_demo_takes_its_simulator_along(number: signal.Signals) -> None:
    rate = f"{100 + number}.25"
    with terminal("demo", "--rate", rate, width=60, height=20) as (child, screen):
        until(screen, "Ctrl-C ends")
        assert len(simulators(rate)) == 1
        child.send_signal(number)
        until(screen, "")
        assert child.wait(timeout=10) == (0 if number != signal.SIGKILL else -number)
    assert gone(rate)


def test_the_package_does_not_import_rich() -> None:
    assert importlib.util.find_spec("rich")
    code = "import sys, fastfeed.cli.main; print([m for m in sys.modules if m.split('.')[0] == 'rich'])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
