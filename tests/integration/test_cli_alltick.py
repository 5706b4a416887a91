"""AllTick on the command line: watched, asked and examined, against a simulator; and tokens stay unseen."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import datetime
import io
import ipaddress
import json
import os
import queue
import re
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from commands import alltick, process, run, terminal, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import fastfeed as ff
from fastfeed.cli import doctor_alltick
from fastfeed.cli.main import cli
from fastfeed.sim import alltick_codes

TOKEN = "0123456789abcdef-c-app"
NOBODY = "alltick://crypto?url=ws://127.0.0.1:9"
GENERAL = ("BTCUSDT", "EURUSD", "GOLD")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    arguments = ("--rate", "2000", "--symbols", ",".join(GENERAL), "--no-rate-limits")
    with alltick("crypto", *arguments, "--token", TOKEN) as (where, _):
        yield f"{where}&plan=professional"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLTICK_TOKEN", TOKEN)


def invoke(*args: str) -> Result:
    """Run a command in this process, which takes a fraction of the time."""
    return CliRunner().invoke(cli, args, prog_name="fastfeed")


def ask(*args: str) -> str:
    result = invoke("get", *args)
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    return result.stdout


# watching


def test_watch_ticks(url: str) -> None:
    result = run("watch", url, *GENERAL, "--format", "csv", "--limit", "500")
    assert (result.returncode, result.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 500
    assert {row["symbol"] for row in rows} == set(GENERAL)
    assert {row["side"] for row in rows if row["symbol"] == "BTCUSDT"} >= {"buy", "sell"}
    assert {row["side"] for row in rows if row["symbol"] != "BTCUSDT"} == {""}
    assert all(float(row["price"]) > 0 for row in rows)
    assert all(int(row["time_ns"]) > 0 for row in rows)


def test_watch_ticks_and_books_as_json(url: str) -> None:
    arguments = ["--kinds", "ticks,books", "--format", "jsonl", "--depth", "3", "--duration", "1"]
    result = run("watch", url, "BTCUSDT", "GOLD", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["stream"] for row in found} == {"ticks", "books"}
    levels = {row["symbol"]: len(row["bid_price"]) for row in found if row["stream"] == "books"}
    assert levels == {"BTCUSDT": 3, "GOLD": 1}


def test_table_without_a_terminal(url: str) -> None:
    result = run("watch", url, "BTCUSDT", "EURUSD", "--limit", "200")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[2].startswith("BTCUSDT")
    assert lines[-1].startswith("200 ticks of 2 symbols in ")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40)])
def test_panels_in_a_terminal(url: str, width: int, height: int) -> None:
    arguments = ("watch", url, "BTCUSDT", "EURUSD", "--kinds", "ticks,books")
    with terminal(*arguments, width=width, height=height) as (child, screen):
        until(screen, "│")  # a book
        until(screen, "Ctrl-C ends")
        child.send_signal(signal.SIGINT)
        text = until(screen, "")
        assert child.wait(timeout=10) == 0
    after = text.rpartition("\x1b[?1049l")[2]
    assert "spread" in after
    assert re.search(r"\d rows of 2 symbols in ", after)
    assert "Traceback" not in text


def test_lost_connection_is_told_and_survived() -> None:
    arguments = ("--rate", "500", "--symbols", "BTCUSDT", "--no-rate-limits", "--token", TOKEN)
    with alltick("crypto", *arguments) as (where, server):
        port = re.findall(r":(\d+)/", where)[0]
        with process("watch", where, "BTCUSDT", "--format", "csv") as child:
            assert child.stdout is not None
            assert child.stderr is not None
            names = child.stdout.readline().strip().split(",")
            child.stdout.readline()
            server.kill()
            assert "disconnected" in child.stderr.readline()
            server.wait()
            with alltick("crypto", *arguments, port=port):
                told = ""
                while not told.startswith("fastfeed: gap: ticks"):
                    told = child.stderr.readline()
                    assert told.startswith("fastfeed: ")
                flags: list[str] = []
                for _ in range(5000):
                    row = dict(zip(names, child.stdout.readline().strip().split(","), strict=True))
                    flags = row["flags"].split("|")
                    if "gap" in flags:
                        break
                assert "gap" in flags
                child.send_signal(signal.SIGINT)
                child.communicate(timeout=10)
                assert child.returncode == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["BTCUSDT", "--kinds", "quotes"], "expected a kind (ticks, books), got 'quotes'"),
        (["BTCUSDT", "--kinds", "bars:1m"], "expected a kind (ticks, books), got 'bars:1m'"),
        (["BTC USDT"], "expected a symbol of 1 to 16 printable characters"),
        (["BTCUSDT", "--rsa-key", "key.pem"], "AllTick has no --rsa-key"),
        (["BTCUSDT", "--encryption", "aes-cbc"], "AllTick has no --encryption"),
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
        ("alltick://", "expected a URL such as"),
        ("alltick://forex", "expected a market (stock, crypto), got 'forex'"),
        ("alltick://crypto?plan=gold", "free, basic, premium, professional"),
        ("alltick://crypto?url=http://h", "expected url to be a ws:// or wss:// address"),
    ],
)
def test_wrong_urls(where: str, words: str) -> None:
    result = invoke("watch", where, "BTCUSDT")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize("command", [["watch"], ["get"]])
def test_without_a_token(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLTICK_TOKEN")
    what = ["ticks", "BTCUSDT"] if command == ["get"] else ["BTCUSDT"]
    result = invoke(*command, "alltick://crypto", *what)
    assert (result.exit_code, result.stdout) == (2, "")
    words = "expected a token: give token=, or ALLTICK_TOKEN in the environment"
    assert result.stderr == f"fastfeed: {words}\n"


def test_refused_symbols_are_named(url: str) -> None:
    result = run("watch", url, "BTCUSDT", "gold")  # case-sensitive
    assert (result.returncode, result.stdout) == (1, "")
    assert "1 of 2 symbols (gold) cannot be subscribed" in result.stderr


def test_what_a_plan_has_no_room_for_is_refused() -> None:
    symbols = alltick_codes.names(6, "crypto")
    with alltick("crypto", "--symbols", "6", "--token", TOKEN) as (where, _):
        result = run("watch", f"{where}&plan=free", *symbols)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"({symbols[5]}) cannot be subscribed" in result.stderr
    assert "the plan has 1 connection of 5 symbols" in result.stderr


def test_a_plan_of_several_connections() -> None:
    options = ("--symbols", "205", "--plan", "premium", "--rate", "300", "--token", TOKEN)
    with alltick("stock", *options) as (where, _):
        symbols = alltick_codes.names(205, "stock")
        arguments = ("--format", "csv", "--limit", "2000")
        result = run("watch", f"{where}&plan=premium", *symbols, *arguments, timeout=40)
    assert result.returncode == 0
    assert result.stderr == "fastfeed: subscribing to 205 symbols\n"
    rows = csv.DictReader(io.StringIO(result.stdout))
    assert {row["symbol"] for row in rows} >= set(symbols[-5:])


@pytest.mark.parametrize("token", ["wrong-c-app", TOKEN[:-1]])
def test_a_wrong_token_is_refused_and_not_shown(url: str, token: str) -> None:
    result = run("watch", f"{url}&token={token}", "BTCUSDT", "--format", "csv")
    assert (result.returncode, result.stdout) == (1, "")
    assert "HTTP status 401" in result.stderr
    assert result.stderr.count("\n") == 1
    assert token not in result.stderr


# asking


@pytest.mark.parametrize("what", ["ticks", "bars", "book"])
@pytest.mark.parametrize("symbols", [("BTCUSDT",), GENERAL])
def test_every_format(url: str, what: str, symbols: tuple[str, ...]) -> None:
    table = ask(url, what, *symbols)
    assert ("EURUSD" in table) == (len(symbols) > 1)
    assert "\x1b" not in table
    objects = [
        json.loads(line) for line in ask(url, what, *symbols, "--format", "jsonl").splitlines()
    ]
    rows = list(csv.DictReader(io.StringIO(ask(url, what, *symbols, "--format", "csv"))))
    for found in (objects, rows):
        assert list(dict.fromkeys(row["symbol"] for row in found)) == list(symbols)
        assert len(found) == len(symbols) * (20 if what == "bars" else 1)


def test_bars(url: str) -> None:
    lines = ask(url, "bars", "BTCUSDT", "--interval", "4h", "-n", "3").splitlines()
    assert lines[0].split() == [
        "Start",
        "(UTC)",
        "Open",
        "High",
        "Low",
        "Close",
        "Volume",
        "Turnover",
    ]
    assert len(lines) == 4
    few = ask(url, "bars", *GENERAL, "-n", "2", "--format", "csv")  # one request for all
    assert [row["symbol"] for row in csv.DictReader(io.StringIO(few))] == [
        symbol for symbol in GENERAL for _ in range(2)
    ]


def test_books(url: str) -> None:
    lines = ask(url, "book", "BTCUSDT", "--depth", "3").splitlines()
    assert [line.count("│") for line in lines] == [0, 1, 1, 1, 0]
    lines = ask(url, "book", "BTCUSDT", "EURUSD", "--depth", "1000").splitlines()
    assert [line for line in lines if "│" not in line and "spread" not in line] == [
        *("BTCUSDT", lines[1], "", "EURUSD", lines[-3])
    ]
    found = json.loads(ask(url, "book", "BTCUSDT", "--depth", "2", "--format", "jsonl"))
    assert found["bids"] == len(found["bid_price"]) == len(found["ask_price"]) == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["quotes", "BTCUSDT"], "AllTick has no quotes: expected ticks, bars or book"),
        (["history", "BTCUSDT"], "AllTick has no history"),
        (["plates"], "AllTick has no plates"),
        (["ticks"], "missing argument 'SYMBOL...'"),
        (["ticks", "BTC USDT"], "expected a symbol of 1 to 16 printable characters"),
        (["ticks", "BTCUSDT", "-n", "2"], "AllTick has only the latest trade"),
        (["bars", "BTCUSDT", "--interval", "7m"], "expected an interval (1m, 5m, 15m, 30m, 1h"),
        (["bars", "BTCUSDT", "-n", "501"], "expected n from 1 to 500"),
        (["bars", "BTCUSDT", "--adjust", "forward"], "AllTick has no --adjust"),
        (["book", "BTCUSDT", "--odd-lots"], "AllTick has no --odd-lots"),
        (["book", "BTCUSDT", "--rsa-key", "key.pem"], "AllTick has no --rsa-key"),
    ],
)
def test_wrong_questions_are_one_clear_line(args: list[str], words: str) -> None:
    result = invoke("get", NOBODY, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_stocks_have_no_bars_of_two_hours() -> None:
    where = "alltick://stock?url=ws://127.0.0.1:9"
    result = invoke("get", where, "bars", "700.HK", "--interval", "2h")
    assert result.exit_code == 2
    assert "expected an interval" in result.stderr


def test_help_of_what_alltick_does_not_have() -> None:
    assert invoke("get", NOBODY, "plates", "--help").exit_code == 0


def test_refusals_are_one_line(url: str) -> None:
    result = invoke("get", url, "ticks", "BTCUSDT", "NOPE")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "unknown code (code 600: code invalid), asked for BTCUSDT, NOPE" in result.stderr


def test_questions_wait_for_a_server_that_comes_later() -> None:
    with alltick("crypto") as (where, _):
        port = re.findall(r":(\d+)/", where)[0]
    arguments = ("get", f"{where}&plan=professional", "ticks", "BTCUSDT")
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"fastfeed: cannot ask AllTick for trade-tick at 127.0.0.1:{port}"
    )
    with process(*arguments, "--wait", "20") as child:
        time.sleep(1.0)
        options = ("--symbols", "BTCUSDT", "--token", TOKEN)
        with alltick("crypto", *options, port=port):
            out, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (0, "")
    assert len(out.splitlines()) == 2


def test_questions_take_no_connection() -> None:
    options = ("--plan", "basic", "--symbols", "BTCUSDT", "--token", TOKEN)
    with alltick("crypto", *options) as (where, _):
        with process("watch", where, "BTCUSDT", "--format", "csv") as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.stdout.readline()
            assert ask(where, "ticks", "BTCUSDT")
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=10)
    assert (child.returncode, errors) == (0, "")


# the doctor


def doctor(*args: str) -> tuple[int, list[str]]:
    result = invoke("doctor", *args)
    assert result.stderr == ""
    assert TOKEN not in result.stdout
    return result.exit_code, result.stdout.splitlines()


@pytest.fixture
def one_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure one round trip: there are more than a second between them."""
    monkeypatch.setattr(doctor_alltick, "_ROUND_TRIPS", 1)


def test_doctor(url: str) -> None:
    code, lines = doctor(url)
    assert (code, lines[-1]) == (0, "All is well.")
    names = [line[9:24].strip() for line in lines if line.startswith("ok ")]
    assert names == [
        *("token", "reachable", "encryption", "server clock", "http", "websocket", "round trip"),
        "plan",
    ]
    assert any("worst" in line and "of 3 heartbeats" in line for line in lines)
    assert any("BTCUSDT was at" in line for line in lines)
    assert any("professional, as given" in line and "10 WebSocket" in line for line in lines)


@pytest.mark.usefixtures("one_trip")
def test_doctor_as_json(url: str) -> None:
    result = invoke("doctor", f"{url}&token={TOKEN}", "--json")
    assert TOKEN not in result.stdout
    report = json.loads(result.stdout)
    assert report["url"] == url.partition("&")[0]
    assert (result.exit_code, report["verdict"]) == (0, "warning")
    checks = {check["name"]: check for check in report["checks"]}
    assert [n for n, check in checks.items() if check["verdict"] != "ok"] == ["token"]
    assert checks["token"]["values"] == {"source": "url"}
    assert checks["encryption"]["values"] == {"tls": None}
    assert abs(checks["server clock"]["values"]["offset_ns"]) < 10**9
    trip = checks["round trip"]["values"]
    assert 0 < trip["median_ns"] <= trip["worst_ns"]
    assert checks["http"]["values"]["request_ns"] > 0
    assert checks["plan"]["values"]["symbols"] == 3000


def test_doctor_without_a_token(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLTICK_TOKEN")
    code, lines = doctor(url)
    assert code == 1
    assert lines[0].startswith("problem  token          there is none")
    assert "ALLTICK_TOKEN" in lines[1]
    assert lines[2].startswith("ok       reachable")
    assert lines[-1] == "1 problem."
    assert not any("websocket" in line for line in lines)


def test_doctor_with_a_wrong_token(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLTICK_TOKEN", "wrong-c-app")
    code, lines = doctor(url)
    assert code == 1
    assert lines[4].startswith("problem  http           AllTick refused trade-tick: token refused")
    assert "wrong or has expired" in lines[5]
    assert "wrong-c-app" not in "\n".join(lines)


@pytest.mark.usefixtures("one_trip")
def test_doctor_where_a_connection_is_one_too_many() -> None:
    options = ("--set", "reconnect_gap_s=60", "--symbols", "GOLD", "--token", TOKEN)
    with alltick("crypto", *options) as (where, _):
        assert doctor(where)[0] == 0
        code, lines = doctor(where)
    assert code == 1
    assert lines[4].startswith("ok       http           answers, and does not serve BTCUSDT")
    assert lines[5].startswith("problem  websocket")
    assert "HTTP status 429" in lines[5]
    assert "another program with this token" in lines[6]
    assert lines[-1] == "1 problem."


@pytest.mark.usefixtures("one_trip")
def test_doctor_where_heartbeats_or_requests_are_not_answered() -> None:
    options = ("--fault", "no_reply=22000", "--plan", "free", "--token", TOKEN)
    with alltick("crypto", *options, "--symbols", "BTCUSDT") as (where, _):
        ask(where, "ticks", "BTCUSDT")  # the one of ten seconds
        code, lines = doctor(where, "--timeout", "0.3")
    assert code == 1
    assert "problem  round trip     AllTick did not answer a heartbeat in 0.3 s" in lines
    assert any(line.startswith("warning  http") for line in lines)


def test_doctor_where_nothing_listens() -> None:
    code, lines = doctor(NOBODY)
    assert code == 1
    assert lines[1].startswith("problem  reachable      nothing listens at 127.0.0.1:9")
    assert "simulator or proxy" in lines[2]


def test_doctor_of_the_other_side(url: str) -> None:
    code, lines = doctor(url.replace("crypto", "stock").replace("/quote-b-ws-api", ""))
    assert code == 1
    assert "HTTP status 404" in lines[5]
    assert "at another path" in lines[6]


@contextlib.contextmanager
def behind_tls(port: int, chain: Path) -> Iterator[int]:
    """Run a proxy with a certificate in front of a port; give its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, to_inner = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, to_inner), pipe(inner, writer))

    ports: queue.Queue[int] = queue.Queue()
    ends: list[Callable[[], object]] = []

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(end.set))
        ports.put(server.sockets[0].getsockname()[1])
        await end.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    yield ports.get(timeout=10)
    ends[0]()
    thread.join()


def chain_of(path: Path, days: int) -> Path:
    """Write a certificate for 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.mark.usefixtures("one_trip")
def test_doctor_over_tls(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(re.findall(r":(\d+)/", url)[0])
    for days, verdict in ((300, "ok     "), (3, "warning")):
        chain = chain_of(tmp_path / f"{days}.pem", days)
        with behind_tls(port, chain) as outer:
            where = f"alltick://crypto?url=wss://127.0.0.1:{outer}"
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            code, lines = doctor(where)
            assert code == 1
            assert lines[2].startswith("problem  encryption     the certificate of 127.0.0.1:")
            monkeypatch.setenv("SSL_CERT_FILE", os.fspath(chain))
            code, lines = doctor(where)
        assert code == 0
        assert lines[2].startswith(f"{verdict}  encryption     TLSv1.3, in ")
        assert any(line.startswith("ok       http           answers in ") for line in lines)


def test_doctor_where_there_is_no_tls(url: str) -> None:
    code, lines = doctor(url.replace("ws://", "wss://"))
    assert code == 1
    assert lines[2].startswith("problem  encryption     no TLS with 127.0.0.1:")
    assert "ws://" in lines[3]


def test_round_trips_keep_their_distance() -> None:
    with alltick("crypto", "--symbols", "GOLD", "--token", TOKEN) as (where, _):

        async def main() -> float:
            feed = ff.connect(where)
            assert isinstance(feed, ff.AllTick)
            with pytest.raises(ff.ConnectError):
                await feed.round_trip_ns()
            async with feed:
                began = time.monotonic()
                trips = [await feed.round_trip_ns() for _ in range(2)]
                took_s = time.monotonic() - began
                assert all(0 < trip < 10**9 for trip in trips)
                assert feed.stats()["returned"] == {200: 2}
                assert feed.stats()["unmatched_replies"] == 0
                return took_s

        assert 1.0 < ff.run(main()) < 3


# tokens


@pytest.mark.parametrize(
    "args",
    [
        ["watch", f"wss://quote.alltick.co/quote-b-ws-api?token={TOKEN}", "BTCUSDT"],
        ["watch", f"alltick://crypto?token={TOKEN}&url=wss://h/p%3Ftoken%3D{TOKEN}", "BTCUSDT"],
        ["watch", f"alltick://{TOKEN}@crypto", "BTCUSDT"],
        ["watch", "alltick://crypto", f"alltick://crypto?token={TOKEN}"],
        ["watch", f"{NOBODY}&token={TOKEN}", "BTCUSDT"],
        ["watch", f"{NOBODY}&token={TOKEN}&wait_s=-1", "BTCUSDT"],
        ["watch", f"{NOBODY}&token={TOKEN}&plan=x", "BTCUSDT"],
        ["get", f"{NOBODY}&token={TOKEN}", "ticks", "BTCUSDT"],
        ["get", f"{NOBODY}&token={TOKEN}", "tocks", "BTCUSDT"],
        ["get", f"{NOBODY}&token={TOKEN}", f"https://h/?token={TOKEN}"],
        ["doctor", f"{NOBODY}&token={TOKEN}"],
        [f"{NOBODY}&token={TOKEN}", "watch"],
    ],
)
def test_tokens_are_not_in_any_error(args: list[str]) -> None:
    result = invoke(*args)
    assert result.exit_code in (1, 2)
    assert result.output
    assert TOKEN not in result.output


@pytest.mark.parametrize("kinds", ["ticks", "ticks,books"])
def test_tokens_are_not_on_the_screen(url: str, kinds: str) -> None:
    arguments = ("watch", f"{url}&token={TOKEN}", "BTCUSDT", "--kinds", kinds)
    with terminal(*arguments, width=140) as (child, screen):
        text = until(screen, "Ctrl-C ends")
        child.send_signal(signal.SIGINT)
        text += until(screen, "")
    assert "alltick://crypto" in text
    assert TOKEN not in text
