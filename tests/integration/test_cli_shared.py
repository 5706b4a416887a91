"""`fastfeed serve`, `tail` and `hubs` as processes: hubs come, are read, are killed, and go."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import FASTFEED, alltick, process, run, simulator, terminal, until
from waiting import wait_until

import fastfeed as ff

NOBODY = "opend://127.0.0.1:9"
SYMBOLS = ("700.HK", "AAPL.US")
READY = "serving hub md: 1 feed, 2 symbols (Ctrl-C ends it)\n"
TOKEN = "0123456789abcdef-c-app"
ENOUGH_S = 20.0

pytestmark = pytest.mark.usefixtures("shm")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator("--rate", "2000", "--symbols", ",".join(SYMBOLS)) as (where, _):
        yield where


@contextlib.contextmanager
def serving(
    url: str, *args: str, name: str = "md", symbols: tuple[str, ...] = SYMBOLS
) -> Iterator[subprocess.Popen[str]]:
    """Run a server whose feed is set up."""
    with process("serve", "--name", name, url, *symbols, *args) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line.startswith(f"serving hub {name}: "), child.communicate(timeout=10)
        yield child


def ended(child: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[str, str]:
    """End a command; return the rest of its output."""
    child.send_signal(number)
    found = child.communicate(timeout=ENOUGH_S)
    assert child.returncode == 0, found
    return found


def attachable(name: str = "md") -> bool:
    try:
        ff.attach(name).close()
    except ff.HubError:
        return False
    return True


def listed(*args: str) -> list[dict[str, object]]:
    result = run("hubs", "--format", "json", *args)
    assert result.returncode == 0, result.stderr
    found: list[dict[str, object]] = json.loads(result.stdout)
    return found


# serve


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_stays_behind_after_a_signal(url: str, shm: Path, number: int) -> None:
    with process("serve", "--name", "md", url, *SYMBOLS, "--kinds", "ticks,books") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == READY
        with ff.attach("md") as hub:
            reader = hub.ticks.reader()
            assert reader.wait(ENOUGH_S)
            assert {hub.symbols[i] for i in reader.read()["symbol"]} <= set(SYMBOLS)
            assert hub.books.reader().wait(ENOUGH_S)
        out, err = ended(child, number)
    assert re.fullmatch(
        r"hub md: [\d,]+ rows in [\d.]+ s, [\d,.]+ rows/s \([\d,]+ ticks, [\d,]+ books\); "
        r"1 connection, 0 gaps, 0 rejected\.\n",
        out,
    )
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT[\d:]{{8}}\.\d{{3}}Z {url}: connected\n", err)
    assert list(shm.iterdir()) == []


def test_it_ends_after_a_while(url: str, shm: Path) -> None:
    result = run("serve", "--name", "md", url, *SYMBOLS, "--duration", "0.5")
    assert result.returncode == 0
    assert result.stdout.startswith(READY)
    assert list(shm.iterdir()) == []


def test_several_vendors_in_one_hub_by_a_file(url: str, shm: Path, tmp_path: Path) -> None:
    with alltick("crypto", "--token", TOKEN, "--symbols", "BTCUSDT") as (crypto, _):
        (tmp_path / "hk.txt").write_text("700.HK  # Tencent\n")
        (tmp_path / "feeds.toml").write_text(f"""
            name = "from-file"
            mode = "0640"
            capacity = 4096
            [[feeds]]
            url = "{url}"
            [[feeds.subscriptions]]
            symbols_file = "hk.txt"
            kinds = ["ticks", "quotes"]
            [[feeds.subscriptions]]
            symbols = ["AAPL.US"]
            [[feeds]]
            url = "{crypto}"
            options = {{ token = "{TOKEN}" }}
            symbols = ["BTCUSDT"]
        """)
        file = str(tmp_path / "feeds.toml")
        with process("serve", "--config", file, "--name", "md", "--capacity", "1024") as child:
            assert child.stdout is not None
            assert child.stdout.readline().startswith("serving hub md: 2 feeds, 3 symbols")
            with ff.attach("md") as hub:
                assert hub.ticks.capacity == 1024
                wanted = {"700.HK", "AAPL.US", "BTCUSDT"}
                wait_until(lambda: all(hub.ticks.latest(symbol) is not None for symbol in wanted))
                assert hub.quotes.latest("700.HK") is not None
                assert hub.quotes.latest("AAPL.US") is None
            [folder] = shm.iterdir()
            assert (folder / "md" / "ticks").stat().st_mode & 0o777 == 0o640
            _, err = ended(child)
        assert TOKEN not in err
    assert list(shm.iterdir()) == []


def test_a_refused_symbol_is_told_and_the_others_go_on(url: str) -> None:
    with process("serve", "--name", "md", url, "700.HK", "NOPE.US") as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("serving hub md: 1 feed, 1 of 2 symbols")
        with ff.attach("md") as hub:
            assert hub.ticks.reader().wait(ENOUGH_S)
        _, err = ended(child)
    assert "NOPE.US" in err.splitlines()[1]


def test_nothing_is_subscribed(url: str, shm: Path) -> None:
    result = run("serve", "--name", "md", url, "NOPE.US")
    assert result.returncode == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert "NOPE.US" in lines[1]
    assert lines[-2].endswith("given up: nothing is subscribed")
    assert lines[-1] == "fastfeed: no feed could be set up: the hub md is taken away"
    assert list(shm.iterdir()) == []


def test_a_refused_token_is_given_up_and_the_other_feed_goes_on(url: str, tmp_path: Path) -> None:
    with alltick("crypto", "--token", TOKEN, "--symbols", "BTCUSDT") as (crypto, _):
        feed = f'[[feeds]]\nurl = "{crypto}&token=bad1234"\nsymbols = ["BTCUSDT"]\n'
        file = tmp_path / "feeds.toml"
        file.write_text(f'{feed}[[feeds]]\nurl = "{url}"\nsymbols = ["700.HK"]')
        with process("serve", "--name", "md", "--config", str(file)) as child:
            assert child.stdout is not None
            assert child.stdout.readline().startswith(
                "serving hub md: 1 of 2 feeds, 1 of 2 symbols"
            )
            _, err = ended(child)
        assert "given up: 127.0.0.1" in err
        assert "token invalid" in err
        assert "bad1234" not in err
        file.write_text(feed)
        result = run("serve", "--name", "md", "--config", str(file))
        assert result.returncode == 1
        assert result.stdout == ""
        assert "no feed could be set up" in result.stderr


def test_a_feed_that_cannot_connect_keeps_trying() -> None:
    with simulator() as (url, gone):
        gone.terminate()
        gone.communicate(timeout=10)
    port = url.rpartition(":")[2]
    with process("serve", "--name", "md", url, *SYMBOLS) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("serving hub md: 0 of 1 feed, 0 of 2 symbols")
        with ff.attach("md") as hub:
            assert not hub.ticks.reader().wait(0)
            with simulator("--symbols", ",".join(SYMBOLS), port=port):
                assert hub.ticks.reader().wait(ENOUGH_S)
        _, err = ended(child)
    lines = err.splitlines()
    assert "connection refused, nothing listens there; trying again" in lines[0]
    assert lines[1].endswith(f"{url}: connected")
    assert lines[2].endswith(f"{url}: subscribed: 2 symbols")


def test_a_feed_that_cannot_connect_in_time_is_given_up(shm: Path) -> None:
    result = run("serve", "--name", "md", NOBODY, "700.HK", "--wait", "0.2")
    assert result.returncode == 1
    assert "given up: cannot connect to 127.0.0.1:9" in result.stderr
    assert list(shm.iterdir()) == []


def test_two_servers_of_one_name(url: str) -> None:
    with serving(url) as first:
        second = run("serve", "--name", "md", url, *SYMBOLS)
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr.startswith(
            f"fastfeed: the hub 'md' is written by another process: {first.pid}, "
        )
        assert second.stderr.count("\n") == 1
        with serving(url, name="other"):
            assert {hub["name"] for hub in listed()} == {"md", "other"}
        with ff.attach("md") as hub:
            assert hub.writer_pid == first.pid
            assert hub.ticks.reader().wait(ENOUGH_S)


def test_nobody_reads_what_serve_says(url: str, shm: Path) -> None:
    with serving(url) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        child.stderr.close()
        child.send_signal(signal.SIGTERM)
        assert child.wait(ENOUGH_S) == 0
    assert list(shm.iterdir()) == []


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_without_standard_streams(shm: Path, closed: str) -> None:
    """As some start their daemons; no file of the hub gets their numbers."""
    command = shlex.join(
        [*FASTFEED, "serve", "--name", "md", NOBODY, "700.HK", "--duration", "0.2"]
    )
    line = f"exec {command} {closed}"
    assert subprocess.run(["bash", "-c", line], timeout=ENOUGH_S, check=False).returncode == 0
    assert list(shm.iterdir()) == []


def test_in_a_terminal_ctrl_c_ends_it(url: str, shm: Path) -> None:
    with terminal("serve", "--name", "md", url, "700.HK") as (child, screen):
        until(screen, "serving hub md: 1 feed, 1 symbol (Ctrl-C ends it)", ENOUGH_S)
        child.send_signal(signal.SIGINT)
        assert " rejected." in until(screen, "", ENOUGH_S)
        assert child.wait(ENOUGH_S) == 0
    assert list(shm.iterdir()) == []


# life and death


def test_kill_hubs_serve_again_and_a_tail_that_goes_on(url: str, shm: Path) -> None:
    with serving(url) as first, process("tail", "md", "--format", "csv") as tail:
        assert tail.stdout is not None
        header = tail.stdout.readline()
        row = tail.stdout.readline()
        assert row.count(",") == header.count(",")
        first.kill()
        first.wait(ENOUGH_S)
        assert tail.stderr is not None
        os.set_blocking(tail.stdout.fileno(), False)

        def said() -> str:  # while its output is taken away
            with contextlib.suppress(BlockingIOError):
                while os.read(tail.stdout.fileno(), 1 << 16):
                    pass
            return ""

        deadline = time.monotonic() + ENOUGH_S
        os.set_blocking(tail.stderr.fileno(), False)
        words = ""
        while "the writer is dead" not in words:
            assert time.monotonic() < deadline, words
            said()
            with contextlib.suppress(BlockingIOError):
                words += os.read(tail.stderr.fileno(), 1 << 16).decode()
            time.sleep(0.02)

        [dead] = listed("--keep")
        assert (dead["state"], dead["pid"], dead["removed"]) == ("dead", first.pid, False)
        assert not attachable()
        result = run("hubs")
        assert result.returncode == 0
        assert "dead, removed" in result.stdout
        assert result.stderr.startswith(
            f"fastfeed: removed the hub md: its writer, process {first.pid} ("
        )
        assert list(shm.iterdir()) == []

        with serving(url) as second:
            while f"process {second.pid} writes it now" not in words:
                assert time.monotonic() < deadline + ENOUGH_S, words
                said()
                with contextlib.suppress(BlockingIOError):
                    words += os.read(tail.stderr.fileno(), 1 << 16).decode()
                time.sleep(0.02)
            rest = b""
            while rest.count(b"\n") < 3:
                assert time.monotonic() < deadline + 2 * ENOUGH_S
                with contextlib.suppress(BlockingIOError):
                    rest += os.read(tail.stdout.fileno(), 1 << 16)
                time.sleep(0.02)
            for line in rest.decode().splitlines()[1:-1]:
                assert line.count(",") == header.count(",")
                assert line.partition(",")[0] in SYMBOLS
            tail.send_signal(signal.SIGINT)
            tail.communicate(timeout=ENOUGH_S)
            assert tail.returncode == 0
    assert words.splitlines() == [
        "fastfeed: hub md: the writer is dead",
        f"fastfeed: hub md: process {second.pid} writes it now",
    ]


def test_the_next_server_takes_the_place_of_a_dead_one(url: str) -> None:
    with serving(url) as first:
        first.kill()
        first.wait(ENOUGH_S)
    with serving(url) as second:
        [hub] = listed()
        assert (hub["state"], hub["pid"]) == ("alive", second.pid)


def test_a_tail_that_does_not_follow_ends_with_the_writer(url: str, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    options = ("--no-follow", "--from", "oldest", "--format", "jsonl")
    with serving(url, "--capacity", "65536") as child, open(path, "wb") as file:
        with process("tail", "md", *options, stdout=file.fileno()) as tail:
            wait_until(lambda: path.stat().st_size)
            child.terminate()
            assert tail.stderr is not None
            assert tail.stderr.read() == "fastfeed: hub md: the writer has ended\n"
            assert tail.wait(ENOUGH_S) == 0
        summary = child.communicate(timeout=ENOUGH_S)[0]
    rows = re.search(r"hub md: ([\d,]+) rows", summary)
    assert rows is not None
    assert path.read_bytes().count(b"\n") == int(rows[1].replace(",", ""))


def test_a_tail_of_several_kinds_goes_on_with_all_of_them(tmp_path: Path) -> None:
    """The next hub numbers its symbols differently, has deeper books, and goes on writing ticks."""
    path = tmp_path / "rows"
    options = ("--kinds", "ticks,books", "--format", "jsonl", "--from", "oldest")

    def write(hub: ff.Hub, name: str, symbol: str, **fields: object) -> None:
        stream = hub.stream(name)
        made = np.zeros(1, stream.dtype)
        made["symbol"] = hub.symbols.intern(symbol)
        for field, value in fields.items():
            made[field] = value
        stream.ring.write(made.view(np.uint8))

    def found() -> list[dict[str, object]]:
        return [json.loads(line) for line in path.read_text().splitlines(True) if line[-1] == "\n"]

    with contextlib.ExitStack() as stack:
        hub = stack.enter_context(ff.Hub("md", capacity=64, book_depth=1))
        file = stack.enter_context(open(path, "wb"))
        write(hub, "ticks", "A.US", price=1)
        write(hub, "books", "B.US", bids=1, bid_price=2)
        stack.enter_context(process("tail", "md", *options, stdout=file.fileno()))
        wait_until(lambda: len(found()) == 2)
        hub.close()
        following = stack.enter_context(ff.Hub("md", capacity=1 << 16, book_depth=2))
        write(following, "books", "C.US", bids=2, bid_price=[[3, 4]])

        def goes_on() -> bool:
            for _ in range(100):
                write(following, "ticks", "B.US", price=5)
            return any(row["stream"] == "books" for row in found()[2:])

        wait_until(goes_on)
        rows = found()
    assert {(row["symbol"], row["price"]) for row in rows if row["stream"] == "ticks"} == {
        *(("A.US", 1), ("B.US", 5))
    }
    assert [(row["symbol"], row["bid_price"]) for row in rows if row["stream"] == "books"] == [
        *(("B.US", [2]), ("C.US", [3, 4]))
    ]


# tail


def test_tail_writes_csv_and_json_lines(url: str) -> None:
    with serving(url, "--kinds", "ticks,quotes"):
        text = run("tail", "md", "--limit", "50")
        assert (text.returncode, text.stderr) == (0, "")
        rows = list(csv.DictReader(io.StringIO(text.stdout)))
        assert len(rows) == 50
        assert {row["symbol"] for row in rows} <= set(SYMBOLS)
        assert all(float(row["price"]) > 0 for row in rows)
        assert list(rows[0])[-2:] == ["gateway_ns", "session"]
        text = run("tail", "md", "HK.00700", "--limit", "30", "--kinds", "ticks,quotes")
        assert (text.returncode, text.stderr) == (0, "")
        found = [json.loads(line) for line in text.stdout.splitlines()]
        assert len(found) == 30
        assert {row["symbol"] for row in found} == {"700.HK"}
        assert {row["stream"] for row in found} == {"ticks", "quotes"}


def test_the_rows_of_tail_are_those_of_watch(tmp_path: Path) -> None:
    tape = tmp_path / "tape.csv"
    lines = [f"{1_700_010_000_000_000_000 + i * 1000},A.US,{i / 8},{i},buy" for i in range(3000)]
    tape.write_text("\n".join(["time_ns,symbol,price,volume,side", *lines]) + "\n")
    texts = []
    for watching in (True, False):
        with simulator("--tape", str(tape), "--speed", "max") as (url, _):
            if watching:
                texts.append(run("watch", url, "A.US", "--format", "csv", "--limit", "3000"))
                continue
            with serving(url, symbols=("A.US",)):
                texts.append(run("tail", "md", "--from", "oldest", "--limit", "3000"))
    assert [text.returncode for text in texts] == [0, 0]
    watched, tailed = (list(csv.DictReader(io.StringIO(text.stdout))) for text in texts)
    assert len(watched) == len(tailed) == 3000
    for mine, yours in zip(tailed, watched, strict=True):
        assert mine.pop("session") == ""
        for moving in ("recv_ns", "gateway_ns"):
            del mine[moving], yours[moving]
    assert tailed == watched


@pytest.mark.parametrize("wait", ["spin", "hybrid", "block"])
@pytest.mark.parametrize("kinds", ["ticks", "ticks,quotes"])
def test_ways_to_wait(url: str, wait: str, kinds: str) -> None:
    with serving(url, "--kinds", kinds):
        result = run("tail", "md", "--wait", wait, "--kinds", kinds, "--limit", "100")
        assert result.returncode == 0
        assert result.stdout.count("\n") == 100 + (kinds == "ticks")


def test_symbols_that_are_not_there_yet_are_waited_for() -> None:
    with ff.Hub("md", capacity=64) as hub, process("tail", "md", "B.US", "--limit", "1") as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline().startswith("symbol,")
        made = np.zeros(1, hub.ticks.dtype)
        made["symbol"] = hub.symbols.intern("A.US")
        hub.ticks.ring.write(made.view(np.uint8))
        made["symbol"], made["price"] = hub.symbols.intern("B.US"), 2.5
        hub.ticks.ring.write(made.view(np.uint8))
        out, err = tail.communicate(timeout=ENOUGH_S)
        assert (tail.returncode, err) == (0, "")
        assert out.startswith("B.US,,2.5,")
        assert out.count("\n") == 1


def test_a_limit_a_duration_and_symbols_that_never_come(url: str) -> None:
    with serving(url):
        result = run("tail", "md", "NOPE.US", "--duration", "0.5")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.count("\n") == 1
        result = run("tail", "md", "--format", "jsonl", "--limit", "7", "--duration", "10")
        assert result.stdout.count("\n") == 7


def test_a_broken_pipe_is_quiet(url: str) -> None:
    with serving(url):
        with process("tail", "md") as tail:
            assert tail.stdout is not None
            assert tail.stderr is not None
            tail.stdout.readline()
            tail.stdout.close()
            assert tail.wait(ENOUGH_S) == 0
            assert tail.stderr.read() == ""
        with process("tail", "md", "NOPE.US") as tail:  # also while nothing comes
            assert tail.stdout is not None
            assert tail.stderr is not None
            tail.stdout.readline()
            tail.stdout.close()
            assert tail.wait(ENOUGH_S) == 0
            assert tail.stderr.read() == ""


def test_rows_that_were_lost_are_told(url: str) -> None:
    with serving(url, "--capacity", "64"):
        with process("tail", "md", "--format", "jsonl") as tail:
            assert tail.stdout is not None
            tail.stdout.readline()
            with ff.attach("md") as hub:  # its pipe takes some hundred rows
                begun = hub.ticks.count
                wait_until(lambda: hub.ticks.count > begun + 3000)
            tail.send_signal(signal.SIGINT)
            _, err = tail.communicate(timeout=ENOUGH_S)
            assert tail.returncode == 1
    assert re.fullmatch(r"fastfeed: \d+ rows of the hub were lost because .*\n", err)


def test_in_a_terminal_it_writes_lines_and_ctrl_c_ends_it(url: str) -> None:
    with serving(url), terminal("tail", "md", "700.HK") as (child, screen):
        text = until(screen, "\n", ENOUGH_S) + until(screen, "\n", ENOUGH_S)
        assert re.match(r"\d{4}-\d\d-\d\d [\d:.]{15}  700\.HK +[\d,.]+ ", text)
        child.send_signal(signal.SIGINT)
        rest = until(screen, "", ENOUGH_S)
        assert "fastfeed:" not in rest
        assert child.wait(ENOUGH_S) == 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["md"], 1, "there is no hub 'md'"),
        (["a/b"], 2, "expected the name of a hub"),
        (["md", "--kinds", "tocks"], 2, "expected a kind (ticks, quotes"),
        (["md", "--kinds", ","], 2, "expected a kind"),
        (["md", "--kinds", "ticks,quotes", "--format", "csv"], 2, "columns of one kind"),
        (["md", "--limit", "0"], 2, "expected 1 or more rows"),
        (["md", "--duration", "-1"], 2, "more than 0 seconds"),
        (["md", "--wait", "gaze"], 2, "'gaze'"),
        (["md", "--user", "no-such-user"], 1, "expected a user of this machine"),
        (["md", "--user", "12345"], 1, "there is no hub 'md'"),
        ([], 2, "missing argument"),
    ],
)
def test_what_tail_cannot_do_is_one_clear_line(args: list[str], code: int, words: str) -> None:
    result = run("tail", *args)
    assert result.returncode == code
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


# hubs


def test_no_hubs(shm: Path) -> None:
    result = run("hubs")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"There is no hub in {shm}/fastfeed-{os.geteuid()}.\n"
    assert listed() == []
    assert listed("--user", "12345") == []


def test_hubs_as_a_table_and_as_json(url: str) -> None:
    with serving(url, "--kinds", "ticks,quotes") as child:
        with ff.attach("md") as attached:
            wait_until(lambda: attached.quotes.count)
            wait_until(lambda: attached.ticks.count)
            [hub] = listed()
            assert hub["name"] == "md"
            assert hub["state"] == "alive"
            assert hub["problem"] is None
            assert hub["pid"] == child.pid
            assert hub["version"] == ff.__version__
            assert hub["since_ns"] == attached.generation
            assert set(hub["rows"]) == {"ticks", "quotes"}  # type: ignore[call-overload]
            assert hub["memory_bytes"] > 64 * attached.ticks.capacity  # type: ignore[operator]
            result = run("hubs")
            assert (result.returncode, result.stderr) == (0, "")
            heading, line = result.stdout.splitlines()
            assert heading.split() == [
                *("name", "state", "pid", "program", "since", "(UTC)"),
                *("readers", "memory", "rows"),
            ]
            assert re.match(rf"md +alive +{child.pid} ", line)
            assert re.search(r"MiB  [\d,]+ ticks, [\d,]+ quotes$", line)
            assert run("tail", "md", "--limit", "1").returncode == 0


def test_leftovers_and_dead_readers_go(url: str, shm: Path) -> None:
    with serving(url):
        [folder] = shm.iterdir()
        (folder / "md" / "readers" / "1-0").touch()
        (folder / "half").mkdir()
        (folder / "half" / "ticks").touch()
        (folder / "other").mkdir()
        (folder / "other" / "hub").write_text('{"layout": 0, "version": "0.0.1"}')
        kept = {hub["name"]: hub["state"] for hub in listed("--keep")}
        assert kept == {"half": "broken", "md": "alive", "other": "dead"}
        assert (folder / "md" / "readers" / "1-0").exists()
        result = run("hubs")
        assert "layout 0 of fastfeed '0.0.1'" in result.stdout
        assert sorted(result.stderr.splitlines()) == [
            "fastfeed: removed 1 file of dead readers of the hub md",
            "fastfeed: removed what was left of the hub half",
            "fastfeed: removed what was left of the hub other",
        ]
        assert [path.name for path in folder.iterdir()] == ["md"]
        assert not (folder / "md" / "readers" / "1-0").exists()
        assert run("tail", "md", "--limit", "1").returncode == 0


def test_hubs_to_a_pipe_that_is_closed(url: str) -> None:
    with serving(url):
        command = shlex.join([*FASTFEED, "hubs", "--format", "json"])
        piped = subprocess.run(
            ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
            capture_output=True, text=True, timeout=ENOUGH_S, check=True,
        )  # fmt: skip
        assert (piped.stdout, piped.stderr) == ("0\n", "")
