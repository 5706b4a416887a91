"""LongPort on the command line: watched, asked and examined, against a simulator; and credentials stay unseen."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from commands import longport, process, run, terminal, until

import fastfeed as ff
from fastfeed.cli import doctor_longport
from fastfeed.cli.get import get
from fastfeed.cli.main import cli

KEY, SECRET, TOKEN = "key0123456789", "secret0123456789abc", "token0123456789abc"
CREDENTIALS = {"APP_KEY": KEY, "APP_SECRET": SECRET, "ACCESS_TOKEN": TOKEN}
#: At night the simulated American shares trade in the overnight session, which one has to ask for.
VARIABLES = CREDENTIALS | {"ENABLE_OVERNIGHT": "true"}
SYMBOLS = ("700.HK", "AAPL.US", "600519.SH")
NOBODY = "longport://?url=ws://127.0.0.1:9/v2&http_url=http://127.0.0.1:9"
OPTION = "AAPL301220C250000.US"

#: All that can be asked for, with arguments to which the simulator has an answer.
QUESTIONS = {
    "quotes": ["700.HK", "AAPL.US"],
    "ticks": ["700.HK", "AAPL.US", "-n", "5"],
    "bars": ["700.HK", "--interval", "45m", "-n", "5"],
    "history": ["AAPL.US", "--start", "2024-01-02", "--end", "2024-02-01"],
    "timeshare": ["AAPL.US", "--session", "ALL"],
    "book": ["700.HK", "AAPL.US", "--depth", "3"],
    "brokers": ["700.HK"],
    "option-quotes": [OPTION],
    "warrant-quotes": ["13579.HK"],
    "capital-flow": ["700.HK"],
    "capital-distribution": ["700.HK"],
    "calc": ["700.HK", "AAPL.US"],
    "static": ["HK.00700", "AAPL.US"],
    "options": ["AAPL.US"],
    "days": ["HK"],
    "expiries": ["AAPL.US"],
    "warrants": ["700.HK", "--sort", "turnover", "--descending"],
    "issuers": [],
    "participants": [],
    "sessions": [],
    "subscriptions": [],
    "profile": [],
}
#: A command's own connection has no subscriptions; the rest depends on the hour of the day.
MAY_BE_EMPTY = ("subscriptions", "timeshare", "capital-flow")


@contextlib.contextmanager
def server(*args: str, port: str = "0") -> Iterator[tuple[str, dict[str, str]]]:
    """Run a simulator; give its URL as `fastfeed` takes it, and its addresses."""
    options = ("--key", KEY, "--secret", SECRET, "--token", TOKEN, *args)
    with longport(*options, port=port) as (where, _):
        yield f"longport://?url={where['WS']}&http_url={where['HTTP']}", where


@pytest.fixture(scope="module")
def addresses() -> Iterator[tuple[str, dict[str, str]]]:
    arguments = ("--rate", "1000", "--symbols", ",".join(SYMBOLS), "--no-rate-limits")
    with server(*arguments) as found:
        url, _ = found
        with pytest.MonkeyPatch.context() as patch:
            for name, value in VARIABLES.items():
                patch.setenv(f"LONGPORT_{name}", value)
            # The trades of a simulator begin with the first subscription.
            run("watch", url, *SYMBOLS, "--format", "csv", "--limit", "500")
            with process("watch", url, *SYMBOLS, "--format", "csv", stdout=subprocess.DEVNULL):
                yield found


@pytest.fixture
def url(addresses: tuple[str, dict[str, str]]) -> str:
    return addresses[0]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.delenv(f"LONGBRIDGE_{name}", raising=False)
        monkeypatch.setenv(f"LONGPORT_{name}", value)


def invoke(*args: str) -> Result:
    """Run a command in this process, which takes a fraction of the time."""
    result = CliRunner().invoke(cli, args, prog_name="fastfeed")
    assert not any(value in result.output for value in (SECRET, TOKEN))
    return result


def ask(*args: str) -> str:
    result = invoke("get", *args)
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    return result.stdout


# watching


@pytest.mark.parametrize("transport", ["ws", "tcp"])
def test_watch_quotes_by_session(addresses: tuple[str, dict[str, str]], transport: str) -> None:
    url, where = addresses
    if transport == "tcp":
        url = f"longport://?url={where['TCP']}&http_url={where['HTTP']}"
    result = run("watch", url, *SYMBOLS, "--kinds", "quotes", "--format", "csv", "--limit", "300")
    assert (result.returncode, result.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 300
    assert {row["symbol"] for row in rows} == set(SYMBOLS)
    assert {row["session"] for row in rows} >= {"regular"}
    assert all(row["last"] and row["volume"] and row["time_ns"] != "0" for row in rows)
    pushed = [row for row in rows if row["seq"] != "-1"]
    assert pushed
    assert all(row["gateway_ns"] == row["seq"] for row in pushed)


def test_watch_all_kinds_as_json(url: str) -> None:
    kinds = "ticks,quotes,books,brokers"
    arguments = ["--kinds", kinds, "--format", "jsonl", "--depth", "3", "--duration", "1"]
    result = run("watch", url, *SYMBOLS, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["stream"] for row in found} == set(kinds.split(","))
    levels = {row["symbol"]: len(row["bid_price"]) for row in found if row["stream"] == "books"}
    assert levels == {"700.HK": 3, "AAPL.US": 1, "600519.SH": 3}
    assert {row["symbol"] for row in found if row["stream"] == "brokers"} == {"700.HK"}
    assert {row["session"] for row in found if row["stream"] == "ticks"} <= {
        *("regular", "pre", "post", "overnight")
    }


def test_table_without_a_terminal(url: str) -> None:
    result = run("watch", url, "700.HK", "AAPL.US", "--limit", "200")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].startswith("200 ticks of 2 symbols in ")
    assert "median latency" in result.stdout  # by the gateway's clock


@pytest.mark.parametrize(("width", "height"), [(80, 30), (150, 45)])
def test_panels_in_a_terminal(url: str, width: int, height: int) -> None:
    arguments = ("watch", url, "700.HK", "--kinds", "quotes,books,brokers")
    with terminal(*arguments, width=width, height=height) as (child, screen):
        until(screen, "│")  # a book
        until(screen, "at the ask")
        time.sleep(1.0)  # so that the names of brokers are known
        child.send_signal(signal.SIGINT)
        text = until(screen, "")
        assert child.wait(timeout=10) == 0
    after = text.rpartition("\x1b[?1049l")[2]
    assert "spread" in after
    assert re.search(r"\d rows of 1 symbol in ", after)
    assert re.search("Securit|Capital|Cedar|Dogwood|Elm|Fir|Ginkgo|Hazel|Partners", after)
    assert "Traceback" not in text


def test_lost_connection_is_told_and_survived() -> None:
    with server("--rate", "500", "--symbols", "AAPL.US", "--fault", "drop_after=200") as (where, _):
        result = run("watch", where, "AAPL.US", "--format", "csv", "--duration", "6")
    told = result.stderr.splitlines()
    assert result.returncode == 0, told
    assert "disconnected" in told[0]
    assert any("connected" in line for line in told[1:])
    assert any("gap: " in line and "ticks were fetched" in line for line in told), told
    flags = [row["flags"] for row in csv.DictReader(io.StringIO(result.stdout))]
    assert any("backfilled" in flag for flag in flags)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["AAPL.US", "--kinds", "bars:1m"], "expected a kind (quotes, books, brokers, ticks)"),
        (["AAPL"], "expected a symbol"),
        (["AAPL.US", "--rsa-key", "key.pem"], "LongPort has no --rsa-key"),
        (["AAPL.US", "--encryption", "aes-cbc"], "LongPort has no --encryption"),
    ],
)
def test_wrong_arguments_of_watch(args: list[str], words: str) -> None:
    result = invoke("watch", NOBODY, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("longport://host", "expected a URL such as"),
        ("longport://?transport=udp", "ws, tcp"),
        ("longport://?region=us", "global, cn"),
        ("longport://?url=http://h", "expected url to be"),
        ("longport://?http_url=ws://h", "expected http_url to be"),
        ("longport://?colour=red", "got 'colour' in the URL"),
    ],
)
def test_wrong_urls(where: str, words: str) -> None:
    result = invoke("watch", where, "AAPL.US")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize("command", ["watch", "get"])
def test_without_credentials(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGPORT_APP_SECRET")
    what = ["quotes", "AAPL.US"] if command == "get" else ["AAPL.US"]
    result = invoke(command, "longport://", *what)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "app_secret is missing" in result.stderr
    assert "LONGBRIDGE_APP_SECRET or LONGPORT_APP_SECRET" in result.stderr
    assert result.stderr.count("\n") == 1


def test_refused_symbols_are_named(url: str) -> None:
    result = run("watch", url, "AAPL.US", "NOPE.US")
    assert (result.returncode, result.stdout) == (1, "")
    assert "1 of 2 symbols (NOPE.US)" in result.stderr
    assert "code 301600" in result.stderr


@pytest.mark.parametrize(("name", "code"), [("ACCESS_TOKEN", 401004), ("APP_SECRET", 403201)])
def test_wrong_credentials_are_refused_and_not_shown(
    url: str, name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = f"wrong-{CREDENTIALS[name]}"
    monkeypatch.setenv(f"LONGPORT_{name}", wrong)
    result = invoke("get", url, "quotes", "AAPL.US")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"code {code}" in result.stderr
    assert result.stderr.count("\n") == 1
    assert wrong not in result.stderr


def test_trades_have_their_session_in_text(url: str) -> None:
    for arguments in (("get", url, "ticks", "AAPL.US"), ("watch", url, "AAPL.US", "--limit", "9")):
        result = run(*arguments, "--format", "csv")
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        assert {row["session"] for row in rows} <= {"regular", "pre", "post", "overnight"}
        assert list(rows[0])[-1] == "session"


# asking


def test_there_is_a_question_for_every_command() -> None:
    assert list(QUESTIONS) == get.of(ff.LongPort)  # type: ignore[attr-defined]


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
    assert not any(None in line or None in line.values() for line in lines)
    if what not in MAY_BE_EMPTY:
        assert len(objects) > 0
        assert len(lines) >= len(objects)


@pytest.mark.parametrize("name", QUESTIONS)
def test_help(name: str) -> None:
    result = invoke("get", "longport://", name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: fastfeed get URL {name} ")
    assert max(map(len, result.output.splitlines())) <= 96


@pytest.mark.parametrize("vendor", [ff.LongPort, ff.AllTick])
def test_help_lists_what_the_vendor_has(vendor: type[ff.Feed]) -> None:
    where = "longport://" if vendor is ff.LongPort else "alltick://crypto"
    listed = invoke("get", where, "--help").output.partition("Options:")[2]
    names = re.findall(r"^  (\S+)  ", listed, re.M)
    assert [name for name in names if name != "-h,"] == get.of(vendor)  # type: ignore[attr-defined]
    assert "..." not in listed


def test_options_have_their_terms(url: str) -> None:
    lines = ask(url, "option-quotes", OPTION).splitlines()
    assert lines[0].split()[:4] == ["Symbol", "Kind", "Expiry", "Strike"]
    assert lines[1].split()[:4] == [OPTION, "CALL", "2030-12-20", "250"]
    found = json.loads(ask(url, "option-quotes", OPTION, "--format", "jsonl"))
    (row,) = csv.DictReader(io.StringIO(ask(url, "option-quotes", OPTION, "--format", "csv")))
    assert list(found) == list(row)
    assert (found["strike_price"], row["strike_price"]) == (250.0, "250.0")
    assert found["underlying_symbol"] == row["underlying_symbol"] == "AAPL.US"
    assert found["direction"] == "CALL"


def test_brokers_have_names(url: str) -> None:
    lines = ask(url, "brokers", "700.HK").splitlines()
    assert lines[0].split()[:4] == ["Bid", "level", "Broker", "Name"]
    assert "–" not in "".join(lines)


def test_chosen_indexes(url: str) -> None:
    lines = ask(url, "calc", "AAPL.US", "--indexes", "pe_ttm_ratio, last_done").splitlines()
    assert lines[0].split() == ["Symbol", "Pe", "ttm", "ratio", "Last", "done"]
    assert lines[1].split()[0] == "AAPL.US"


def test_limits_of_the_same_kind_stand_together() -> None:
    with server("--symbols", "AAPL.US") as (where, _):
        lines = ask(where, "profile").splitlines()
    (heading,) = [i for i, line in enumerate(lines) if line.startswith("Commands")]
    assert [line.split() for line in lines[heading + 1 :]] == [["4", "to", "27", "10", "10"]]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["watchlists"], "LongPort has no watchlists: expected quotes, ticks,"),
        (["plates", "HK"], "LongPort has no plates"),
        (["ticks"], "missing argument 'SYMBOL...'"),
        (["ticks", "AAPL"], "expected a symbol"),
        (["bars", "AAPL.US", "--interval", "7m"], "expected an interval (1m, 2m, 3m"),
    ],
)
def test_wrong_questions_are_one_clear_line(args: list[str], words: str) -> None:
    result = invoke("get", NOBODY, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["bars", "AAPL.US", "--session", "ETH"], "--session (RTH, ALL), got ETH"),
        (["bars", "AAPL.US", "--adjust", "backward"], "backward"),
        (["book", "700.HK", "--odd-lots"], "LongPort has no --odd-lots"),
        (["static"], "LongPort has no lists of markets"),
        (["static", "--market", "HK"], "LongPort has no lists of markets"),
        (["options", "AAPL.US", "--kind", "call"], "LongPort has no --kind"),
        (["days"], "expected a market"),
        (["days", "JP"], "JP"),
        (["days", "HK", "--symbol", "700.HK"], "LongPort has no days of symbols"),
        (["warrants", "700.HK", "--issuers", "UBS"], "expected numbers of issuers, got 'UBS'"),
        (["warrants", "700.HK", "--sort", "beauty"], "beauty"),
        (["calc", "700.HK", "--indexes", "beauty"], "beauty"),
        (["calc", "700.HK", "--indexes", ","], "expected at least one index"),
        (["subscriptions", "--all"], "LongPort has no --all"),
    ],
)
def test_what_only_the_feed_knows_to_be_wrong_is_one_line_as_well(
    url: str, args: list[str], words: str
) -> None:
    result = invoke("get", url, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_refusals_are_one_line(url: str) -> None:
    result = invoke("get", url, "ticks", "NOPE.US")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "NOPE.US" in result.stderr
    assert "code 301600" in result.stderr


def test_questions_wait_for_a_server_that_comes_later() -> None:
    with server("--symbols", "AAPL.US") as (url, where):
        port = re.findall(r":(\d+)", where["HTTP"])[0]
    result = invoke("get", url, "static", "AAPL.US")
    assert (result.exit_code, result.stdout) == (1, "")
    with process("get", url, "static", "AAPL.US", "--wait", "20") as child:
        time.sleep(1.0)
        with server("--symbols", "AAPL.US", port=port):
            out, errors = child.communicate(timeout=20)
    assert child.returncode == 0, errors
    assert len(out.splitlines()) == 2


# the doctor


def doctor(*args: str) -> tuple[int, list[str]]:
    result = invoke("doctor", *args)
    assert result.stderr == ""
    return result.exit_code, result.stdout.splitlines()


def names_of(lines: list[str], verdict: str) -> list[str]:
    return [line[9:24].strip() for line in lines if line.startswith(verdict)]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for what does not come."""
    monkeypatch.setattr(doctor_longport, "_PUSHES_S", 0.3)


def test_doctor(url: str) -> None:
    code, lines = doctor(url)
    assert (code, lines[-1]) == (0, "All is well.")
    assert names_of(lines, "ok ") == [
        *("credentials", "http", "http security", "server clock", "token"),
        *("gateway", "security", "auth", "session", "profile"),
        *("packages", "packages", "packages", "limits"),
        *("subscription", "subscription", "subscription", "subscription"),
        *("round trip", "gateway clock"),
    ]
    text = "\n".join(lines)
    assert "LONGPORT_APP_KEY, LONGPORT_APP_SECRET, LONGPORT_ACCESS_TOKEN" in text
    assert "1 of 10 connections are open" in text
    assert "over WebSocket, in " in text
    assert re.search(
        r"HK: 700.HK quotes, books, brokers, ticks; first push after .*, 10 levels", text
    )
    assert re.search(r"US: AAPL.US quotes, books, ticks; first push after .*, 1 level of", text)
    assert "unknown symbol: D05.SG" in text  # the account has no package of Singapore
    assert re.search(r"the newest push was stamped \S+ \S+ before it came", text)
    assert "of 5 requests" in text


def test_doctor_over_tcp_and_as_json(addresses: tuple[str, dict[str, str]]) -> None:
    _, where = addresses
    url = f"longport://?url={where['TCP']}&http_url={where['HTTP']}"
    result = invoke("doctor", f"{url}&app_key={KEY}&app_secret={SECRET}", "--json")
    report = json.loads(result.stdout)
    assert report["url"] == f"longport://?url={where['TCP']}"
    assert (result.exit_code, report["verdict"]) == (0, "warning")
    checks = {check["name"]: check for check in report["checks"]}
    assert [n for n, check in checks.items() if check["verdict"] != "ok"] == ["credentials"]
    assert "app_key, app_secret given in the URL" in checks["credentials"]["text"]
    assert checks["auth"]["values"]["transport"] == "tcp"
    assert checks["token"]["values"]["limit"] == 10
    assert checks["session"]["values"]["expires_ns"] > time.time_ns()
    assert checks["profile"]["values"]["member_id"] > 0
    assert checks["limits"]["values"]["symbols"] == 500
    after = [
        check["values"]["after_ns"]
        for check in report["checks"]
        if check["name"] == "subscription" and "after_ns" in check["values"]
    ]
    assert [set(one) >= {"quotes", "books"} for one in after] == [True] * 3
    assert all(0 < ns < 5 * 10**9 for one in after for ns in one.values())
    assert abs(checks["gateway clock"]["values"]["offset_ns"]) < 5 * 10**9
    trip = checks["round trip"]["values"]
    assert 0 < trip["median_ns"] <= trip["worst_ns"]


def test_doctor_without_credentials(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGPORT_ACCESS_TOKEN")
    code, lines = doctor(url)
    assert code == 1
    assert lines[0].startswith("problem  credentials    LongPort needs app_key, app_secret and")
    assert any("LONGPORT_ACCESS_TOKEN" in line for line in lines)
    assert names_of(lines, "ok ") == ["http", "http security", "server clock"]
    assert lines[-1] == "1 problem."


def test_doctor_of_mixed_names(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGBRIDGE_APP_KEY", KEY)
    code, lines = doctor(url)
    assert code == 0
    assert names_of(lines, "warning") == ["credentials"]
    assert "Do those of LONGBRIDGE and LONGPORT belong together?" in "\n".join(lines)


@pytest.mark.parametrize(
    ("fault", "said", "advice"),
    [
        ("token_error=401003", "code 401003", "lives some three months"),
        ("token_error=403201", "code 403201", "The app secret does not belong to the app key"),
        ("token_error=429002", "code 429002", "look for other programs"),
        ("token_error=full", "allows no more connections", "end one, or wait"),
    ],
)
def test_doctor_where_credentials_are_refused(fault: str, said: str, advice: str) -> None:
    options = ("--symbols", "AAPL.US", "--fault", fault, "--fault", "token_times=0")
    with server(*options) as (where, _):
        code, lines = doctor(where)
    assert code == 1
    assert names_of(lines, "problem") == ["token"]
    text = " ".join(" ".join(lines).split())
    assert said in text
    assert advice in text
    assert lines[-1] == "1 problem."


def test_doctor_where_the_gateway_lets_nobody_in() -> None:
    options = ("--symbols", "AAPL.US", "--fault", "error_reply=2:6:403")
    with server(*options) as (where, _):
        code, lines = doctor(where)
    assert code == 1
    assert names_of(lines, "problem") == ["auth"]
    assert "Other programs use the account's connections" in "\n".join(lines)


@pytest.mark.usefixtures("soon")
def test_doctor_without_rights_and_pushes() -> None:
    options = ("--symbols", ",".join(SYMBOLS), "--set", "no_access=AAPL.US")
    with server(*options) as (where, _):
        code, lines = doctor(where)
    assert code == 0
    text = " ".join(" ".join(lines).split())
    assert "US: LongPort refused to subscribe 1 of 1 symbols (AAPL.US)" in text
    assert "The account has no right to this" in text
    assert names_of(lines, "warning") == ["subscription"]


def test_doctor_where_nothing_is_answered() -> None:
    options = ("--symbols", "AAPL.US", "--fault", "no_reply=2")
    with server(*options) as (where, _):
        code, lines = doctor(where, "--timeout", "0.4")
    assert code == 1
    assert names_of(lines, "problem") == ["auth"]
    assert "is it LongPort?" in "\n".join(lines)


def test_doctor_where_questions_are_not_answered(soon: None) -> None:
    options = ("--symbols", ",".join(SYMBOLS), "--fault", "no_reply=5")
    with server(*options) as (where, _):
        code, lines = doctor(where, "--timeout", "0.4")
    assert code == 1
    assert names_of(lines, "problem") == ["round trip"]


def test_doctor_where_nothing_listens(addresses: tuple[str, dict[str, str]]) -> None:
    code, lines = doctor(NOBODY)
    assert code == 1
    assert lines[1].startswith("problem  http           nothing listens at 127.0.0.1:9")
    assert "http_url" in lines[2]
    code, lines = doctor(f"longport://?url=ws://127.0.0.1:9/v2&http_url={addresses[1]['HTTP']}")
    assert code == 1
    assert names_of(lines, "problem") == ["gateway"]
    assert "LONGPORT_QUOTE_WS_URL" in "\n".join(lines)


def test_doctor_of_other_addresses(addresses: tuple[str, dict[str, str]]) -> None:
    _, where = addresses
    other = f"ws{where['TCP'][3:]}/v2"
    code, lines = doctor(f"longport://?url={other}&http_url={where['HTTP']}", "--timeout", "0.5")
    assert code == 1
    assert names_of(lines, "problem") == ["auth"]
    assert "Something else than LongPort answers there" in "\n".join(lines)
    code, lines = doctor(f"longport://?url={where['WS']}&http_url={where['HTTP']}/other")
    assert code == 1
    assert names_of(lines, "problem") == ["token"]
    code, lines = doctor(f"longport://?url={where['WS']}&http_url=https{where['HTTP'][4:]}")
    assert code == 1
    assert names_of(lines, "problem") == ["http security"]
    assert "http://" in "\n".join(lines)


# credentials

IN_URL = f"app_key={KEY}&app_secret={SECRET}&access_token={TOKEN}"


@pytest.mark.parametrize(
    "args",
    [
        ["watch", f"wss://h/v2?{IN_URL}", "AAPL.US"],
        ["watch", f"longport://{TOKEN}@h", "AAPL.US"],
        ["watch", f"longport://?{IN_URL}&url=wss://h/p%3Ftoken%3D{TOKEN}", "AAPL"],
        ["watch", "longport://", f"longport://?{IN_URL}"],
        ["watch", f"{NOBODY}&{IN_URL}", "AAPL.US"],
        ["watch", f"{NOBODY}&{IN_URL}&wait_s=-1", "AAPL.US"],
        ["watch", f"{NOBODY}&{IN_URL}&region=x", "AAPL.US"],
        ["watch", f"{NOBODY}&{IN_URL}&oauth_token={TOKEN}", "AAPL.US"],
        ["get", f"{NOBODY}&{IN_URL}", "quotes", "AAPL.US"],
        ["get", f"{NOBODY}&{IN_URL}", "tocks", "AAPL.US"],
        ["doctor", f"{NOBODY}&{IN_URL}"],
        [f"{NOBODY}&{IN_URL}", "watch"],
    ],
)
def test_credentials_are_not_in_any_error(args: list[str]) -> None:
    result = invoke(*args)
    assert result.exit_code in (1, 2)
    assert result.output
    assert KEY not in result.output


@pytest.mark.parametrize("kinds", ["ticks", "ticks,books"])
def test_credentials_are_not_on_the_screen(url: str, kinds: str) -> None:
    arguments = ("watch", f"{url}&{IN_URL}", "AAPL.US", "--kinds", kinds)
    with terminal(*arguments, width=140) as (child, screen):
        text = until(screen, "Ctrl-C ends")
        child.send_signal(signal.SIGINT)
        text += until(screen, "")
    assert "longport://?url=ws://127.0.0.1" in text
    assert not any(value in text for value in CREDENTIALS.values())
