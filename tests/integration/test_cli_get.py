"""`fastfeed get`: every request, in every format, against a simulator."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from commands import run, simulator
from keys import new_key, write_key

import fastfeed as ff
from fastfeed.cli.get import get
from fastfeed.cli.main import cli

NOBODY = "opend://127.0.0.1:9"

#: All that can be asked for, with arguments to which the simulator has an answer.
QUESTIONS = {
    "quotes": ["700.HK", "AAPL.US"],
    "ticks": ["700.HK", "-n", "5"],
    "bars": ["700.HK", "--interval", "5m", "-n", "5"],
    "history": ["AAPL.US", "--start", "2024-01-02", "--end", "2024-02-01"],
    "timeshare": ["700.HK"],
    "book": ["700.HK", "--depth", "3"],
    "brokers": ["700.HK"],
    "snapshot": ["700.HK", "AAPL.US"],
    "static": ["HK.00700", "AAPL.US"],
    "plates": ["HK", "--kind", "industry"],
    "plate": ["LIST1001.HK"],
    "options": ["700.HK", "--start", "2030-01-01", "--end", "2030-02-28"],
    "futures": ["HSImain.HK"],
    "rehab": ["700.HK"],
    "days": ["HK", "--start", "2024-01-01", "--end", "2024-01-31"],
    "state": ["700.HK", "AAPL.US"],
    "watchlists": [],
    "watchlist": ["Favorites"],
    "global": [],
    "user": [],
    "subscriptions": ["--all"],
    "quota": [],
    "delays": [],
}
MAY_BE_EMPTY = ("plate", "options", "subscriptions")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    arguments = ("--rate", "2000", "--symbols", "700.HK,AAPL.US,HSImain.HK", "--no-rate-limits")
    with simulator(*arguments) as (where, _):
        yield where


def invoke(*args: str) -> Result:
    """Run a command in this process, which takes a fraction of the time."""
    return CliRunner().invoke(cli, args, prog_name="fastfeed")


def ask(url: str, what: str, *args: str) -> str:
    result = invoke("get", url, what, *args)
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    return result.stdout


def test_there_is_a_question_for_every_command() -> None:
    assert list(QUESTIONS) == get.of(ff.OpenD)  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", QUESTIONS)
def test_every_format(url: str, what: str) -> None:
    answer = invoke("get", url, what, *QUESTIONS[what])
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout or (what in MAY_BE_EMPTY and "the answer is empty" in answer.stderr)
    assert "\x1b" not in answer.stdout
    objects = [
        json.loads(line)
        for line in ask(url, what, *QUESTIONS[what], "--format", "jsonl").splitlines()
    ]
    lines = list(csv.DictReader(io.StringIO(ask(url, what, *QUESTIONS[what], "--format", "csv"))))
    if what not in MAY_BE_EMPTY:
        assert len(lines) == len(objects) > 0
    assert not any(None in line or None in line.values() for line in lines)


def test_history_is_the_same_in_all_formats_and_from_python(url: str) -> None:
    arguments = QUESTIONS["history"]

    async def main() -> list[tuple[int, float, float]]:
        async with ff.connect(url) as feed:
            bars = await feed.get_history_bars("AAPL.US", "1d", "2024-01-02", "2024-02-01")  # type: ignore[attr-defined]
            return [(int(b["time_ns"]), float(b["close"]), float(b["volume"])) for b in bars]

    expected = ff.run(main())
    assert len(expected) > 15
    rows = csv.DictReader(io.StringIO(ask(url, "history", *arguments, "--format", "csv")))
    assert [(int(r["time_ns"]), float(r["close"]), float(r["volume"])) for r in rows] == expected
    objects = [
        json.loads(line)
        for line in ask(url, "history", *arguments, "--format", "jsonl").splitlines()
    ]
    assert [(o["time_ns"], o["close"], o["volume"]) for o in objects] == expected
    table = ask(url, "history", *arguments).splitlines()
    assert table[0].split()[:5] == ["Day", "Open", "High", "Low", "Close"]
    assert [float(line.split()[4]) for line in table[1:]] == pytest.approx(
        [close for _, close, _ in expected], abs=0.0001
    )
    assert table[1].startswith("2024-01-02")


def test_book_is_as_deep_as_asked(url: str) -> None:
    lines = ask(url, "book", "700.HK", "--depth", "3").splitlines()
    assert [line.count("│") for line in lines] == [0, 1, 1, 1, 0]
    found = json.loads(ask(url, "book", "700.HK", "--depth", "3", "--format", "jsonl"))
    assert len(found["bid_price"]) == len(found["ask_price"]) == 3
    assert found["bid_price"] == sorted(found["bid_price"], reverse=True)
    assert found["bid_price"][0] < found["ask_price"][0]


@pytest.mark.parametrize(
    ("what", "args", "rows"), [("ticks", ["-n", "5"], 5), ("bars", ["-n", "3"], 3), ("book", [], 1)]
)
def test_of_several_symbols_each_has_its_rows(
    url: str, what: str, args: list[str], rows: int
) -> None:
    symbols = ["AAPL.US", "HK.00700"]
    found = csv.DictReader(io.StringIO(ask(url, what, *symbols, *args, "--format", "csv")))
    assert [row["symbol"] for row in found] == ["AAPL.US"] * rows + ["700.HK"] * rows
    table = ask(url, what, *symbols, *args).splitlines()
    assert sum(line.startswith(("AAPL.US", "700.HK")) for line in table) == 2 * rows


def test_a_single_snapshot_is_told_in_full(url: str) -> None:
    lines = ask(url, "snapshot", "700.HK").splitlines()
    assert lines[0].split() == ["symbol", "700.HK"]
    assert any(line.startswith("equity.") for line in lines)


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("before", [["get"], ["get", NOBODY]])
def test_help(before: list[str], name: str) -> None:
    result = invoke(*before, name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: fastfeed get URL {name} ")
    assert max(map(len, result.output.splitlines())) <= 96


@pytest.mark.parametrize("args", [["--help"], [NOBODY, "--help"]])
def test_help_lists_everything(args: list[str]) -> None:
    result = invoke("get", *args)
    assert result.exit_code == 0
    for name in QUESTIONS if args[0] == NOBODY else get.commands:  # type: ignore[attr-defined]
        assert f"\n  {name} " in result.output
    assert "..." not in result.output.partition("Options:")[2]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ticks", "700.HK"], "expected a URL before 'ticks'"),
        ([NOBODY], "missing command"),
        ([NOBODY, "tocks"], "no such command 'tocks'"),
        ([NOBODY, "ticks"], "missing argument 'SYMBOL...'"),
        ([NOBODY, "ticks", "700"], "expected a symbol"),
        ([NOBODY, "ticks", "700.HK", "-n", "0"], "1<=x<=1000"),
        ([NOBODY, "bars", "700.HK", "--interval", "7m"], "expected an interval"),
        ([NOBODY, "history", "700.HK", "--start", "2024-13-01"], "expected a day as yyyy-mm-dd"),
        ([NOBODY, "book", "700.HK", "--format", "xml"], "'xml'"),
        ([NOBODY, "book", "700.HK", "--rsa-key", "/nowhere/key"], "cannot read the RSA key"),
        (["http://x", "ticks", "700.HK"], "expected a URL"),
    ],
)
def test_wrong_arguments_are_one_clear_line(args: list[str], words: str) -> None:
    result = invoke("get", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["static"], "expected either symbols or a market"),
        (["options", "700.HK"], "expected --start and --end"),
        (["days"], "expected a market or a symbol"),
        (["plates", "XX"], "expected a market"),
        (
            ["history", "700.HK", "--start", "2025-01-02", "--end", "2025-01-01"],
            "not after the end",
        ),
    ],
)
def test_what_only_the_feed_knows_to_be_wrong_is_one_line_as_well(
    url: str, args: list[str], words: str
) -> None:
    result = invoke("get", url, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ticks", "NOPE.US"], "NOPE.US"),
        (["watchlist", "nobody's"], "unknown group"),
        (["brokers", "AAPL.US"], "AAPL.US"),
    ],
)
def test_refusals_are_one_line(url: str, args: list[str], words: str) -> None:
    result = invoke("get", url, *args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_nothing_listens() -> None:
    result = run("get", NOBODY, "ticks", "700.HK")
    assert (result.returncode, result.stdout) == (1, "")
    assert "nothing listens there" in result.stderr


def test_text_needs_no_rich(url: str) -> None:
    code = (
        "import sys; sys.modules['rich'] = sys.modules['rich.console'] = None\n"
        "from fastfeed.cli.main import cli; cli(sys.argv[1:], standalone_mode=False)"
    )
    for what in ("book", "ticks"):
        done = subprocess.run(
            [sys.executable, "-c", code, "get", url, what, "700.HK"],
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("keys")
    right, wrong = (write_key(folder / name, new_key()) for name in ("right.pem", "wrong.pem"))
    return right, wrong


@pytest.fixture(scope="module")
def encrypted(keys: tuple[str, str]) -> Iterator[str]:
    with simulator("--symbols", "700.HK", "--rsa-key", keys[0]) as (where, _):
        yield where


@pytest.mark.parametrize("encryption", [[], ["--encryption", "ftaes-ecb"]])
def test_encrypted(encrypted: str, keys: tuple[str, str], encryption: list[str]) -> None:
    out = ask(encrypted, "static", "700.HK", "--rsa-key", keys[0], *encryption)
    assert out.splitlines()[1].startswith("700.HK")


# the doctor


def doctor(*args: str) -> tuple[int, list[str]]:
    result = invoke("doctor", *args)
    assert result.stderr == ""
    return result.exit_code, result.stdout.splitlines()


def test_doctor_of_a_good_gateway(url: str) -> None:
    code, lines = doctor(url)
    assert code == 0
    assert "problem" not in "\n".join(lines)
    found = {line[9:24].strip() for line in lines if line.startswith(("ok ", "warning "))}
    assert found >= {
        *("reachable", "handshake", "version", "program", "quote login", "round trip", "clock"),
        *("server clock", "user", "quote rights", "subscriptions", "history", "own delays"),
    }


def test_doctor_as_json(url: str) -> None:
    result = run("doctor", url, "--json")
    report = json.loads(result.stdout)
    assert result.returncode == 0
    assert report["url"] == url
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["handshake"]["values"] == {"encryption": "none"}
    trip = checks["round trip"]["values"]
    assert 0 < trip["median_ns"] <= trip["worst_ns"]
    assert abs(checks["clock"]["values"]["offset_ns"]) < 10**9
    assert {check["verdict"] for check in report["checks"]} <= {"ok", "warning"}


@pytest.mark.parametrize("no_color", ["", "1"])
def test_doctor_without_colours(url: str, no_color: str) -> None:
    result = CliRunner(env={"NO_COLOR": no_color}).invoke(cli, ["doctor", url], color=True)
    assert ("\x1b[" in result.stdout) == (not no_color)


def test_doctor_where_nothing_listens() -> None:
    code, lines = doctor(NOBODY)
    assert code == 1
    assert lines[0].startswith("problem  reachable      nothing listens at 127.0.0.1:9")
    assert "Start OpenD" in lines[1]
    assert lines[-1] == "1 problem."
    result = run("doctor", NOBODY, "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["verdict"] == "problem"


def test_doctor_of_a_gateway_that_hangs() -> None:
    with simulator("--fault", "no_reply=1001") as (where, _):
        code, lines = doctor(where, "--timeout", "0.5")
    assert code == 1
    assert lines[0].startswith("ok       reachable")
    assert lines[1].startswith("problem  handshake")
    assert "in time" in lines[1]


def test_doctor_of_a_gateway_that_refuses() -> None:
    with simulator("--fault", "refuse_init=too many clients") as (where, _):
        code, lines = doctor(where)
    assert code == 1
    assert "too many clients" in lines[1]


def test_doctor_goes_on_behind_a_refused_question() -> None:
    with simulator("--fault", "error_reply=1005:not today") as (where, _):
        code, lines = doctor(where)
    assert code == 1
    assert sum(line.startswith("problem") for line in lines) == 1
    assert any("not today" in line for line in lines)
    assert any(line.startswith("ok       subscriptions") for line in lines)


def test_doctor_of_an_exhausted_quota() -> None:
    with simulator("--quota", "0") as (where, _):
        code, lines = doctor(where)
    assert code == 0
    assert any(line.startswith("warning  subscriptions  0 used, 0 left") for line in lines)
    assert lines[-1] == "1 warning."


def test_doctor_with_keys(
    encrypted: str, url: str, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = keys
    code, lines = doctor(encrypted, "--rsa-key", right)
    assert code == 0
    assert "encrypted (aes-cbc)" in lines[1]
    for where, options in (
        (encrypted, ["--rsa-key", wrong]),
        (url, ["--rsa-key", wrong]),
        (encrypted, []),
    ):
        code, lines = doctor(where, *options, "--timeout", "2")
        assert code == 1
        assert lines[1].startswith("problem  handshake")
        assert "--rsa-key" in lines[2]
    monkeypatch.setenv("FUTU_OPEND_RSA_KEY", right)
    assert doctor(encrypted)[0] == 0


# watching other kinds

KINDS = ("ticks", "quotes", "books", "bars:1m", "timeshare", "brokers")


@pytest.mark.parametrize("kind", KINDS)
def test_watch_each_kind_as_csv(url: str, kind: str) -> None:
    result = run("watch", url, "700.HK", "--kinds", kind, "--format", "csv", "--limit", "4")
    assert (result.returncode, result.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["symbol"] for row in rows] == ["700.HK"] * 4


def test_watch_several_kinds_as_json(url: str) -> None:
    result = run(
        "watch", url, "700.HK", "--kinds", ",".join(KINDS), "--format", "jsonl", "--duration", "2"
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["stream"] for row in found} == {kind.partition(":")[0] for kind in KINDS}
    for stream in ("ticks", "quotes", "bars"):
        times = [row["recv_ns"] for row in found if row["stream"] == stream]
        assert times == sorted(times)


def test_bars_of_several_lengths_are_one_kind_of_row(url: str) -> None:
    result = run(
        "watch", url, "700.HK", "--kinds", "bars:1m,bars:1d", "--format", "csv", "--limit", "6"
    )
    assert (result.returncode, result.stderr) == (0, "")
    rows = csv.DictReader(io.StringIO(result.stdout))
    assert {row["interval"] for row in rows} == {"1m", "1d"}


def test_csv_of_several_kinds_is_an_error() -> None:
    result = invoke("watch", NOBODY, "700.HK", "--kinds", "ticks,quotes", "--format", "csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "--format jsonl" in result.stderr


def test_depth_of_watched_books(url: str) -> None:
    args = ["700.HK", "--kinds", "books", "--depth", "2", "--format", "jsonl", "--limit", "3"]
    result = run("watch", url, *args)
    assert (result.returncode, result.stderr) == (0, "")
    assert [len(json.loads(line)["bid_price"]) for line in result.stdout.splitlines()] == [2] * 3


def test_panels_without_a_terminal_are_plain_and_come_at_the_end(url: str) -> None:
    result = run("watch", url, "700.HK", "--kinds", ",".join(KINDS), "--duration", "2")
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert [
        line
        for line in lines
        if line in ("ticks", "quotes", "books", "bars", "timeshare", "brokers")
    ] == [kind.partition(":")[0] for kind in KINDS]
    assert sum("│" in line for line in lines) == 10
    assert " rows of 1 symbol in 2" in lines[-1]
