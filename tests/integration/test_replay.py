"""A capture that is played: by the feed of file://, and on the command line."""

import asyncio
import contextlib
import csv
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from typing import NamedTuple

import numpy as np
import pytest
from captured import COUNT, RECORDED, SYMBOLS, assert_same, cut, kept, record, recorded, simulator
from commands import FASTFEED, process
from feeds import until

import fastfeed as ff
from fastfeed._core.player import gap_record
from fastfeed._core.tape import own_chunk
from fastfeed.captures import CaptureFile
from fastfeed.cli.main import cli


class Done(NamedTuple):
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def replay(capfd):
    """Run `fastfeed replay` in this process."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            cli.main(args=["replay", *map(str, arguments)], prog_name="fastfeed")
        return Done(left.value.code, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Return the path of a capture of OpenD, its rows and its symbols."""
    path = tmp_path_factory.mktemp("captured") / "opend"
    return path, *recorded("opend", path)


async def play(path, **options):
    """Play to the end; return the rows, the events and the feed."""
    events = []
    feed = ff.connect(f"file://{path}", **{"speed": "max"} | options)
    feed.on_event(events.append)
    async with feed:
        async for _ in feed.ticks:
            pass
        return kept(feed.hub), events, feed


@pytest.mark.parametrize("how", RECORDED)
def test_the_rows_are_those_of_then(how, tmp_path, run):
    async def main():
        rows, symbols = await record(how, tmp_path / "c")
        return rows, symbols, *await play(tmp_path / "c")

    rows, symbols, found, events, feed = run(main())
    assert_same(found, rows)
    assert list(feed.symbols) == symbols
    assert [event.kind for event in events] == ["connected", "ended"]
    assert feed.damage is None
    stats = feed.stats()
    assert stats["ticks"] == len(rows["ticks"])
    assert (stats["connected"], stats["lost_rows"]) == (False, 0)


def test_a_script_runs_unchanged(session, run):
    path, rows, _ = session
    batches, looped = [], []

    async def main():
        async with ff.connect(f"file://{path}?speed=max") as feed:
            assert feed.connected
            await feed.subscribe(["AAPL.US", "HK.00700"], "ticks", "bars:1m")
            assert feed.subscribed("ticks") == ("AAPL.US", "700.HK")
            feed.ticks.on_batch(lambda new: batches.append(new.copy()))
            reader = feed.books.reader()
            async for new in feed.ticks:
                looped.append(new.copy())
            assert len(reader.read()) == len(rows["books"])
            await feed.unsubscribe("AAPL.US")
            assert feed.subscribed("ticks") == ("700.HK",)
            assert not feed.connected

    run(main())
    for found in (batches, looped):
        assert np.concatenate(found).tobytes() == rows["ticks"].tobytes()


def test_what_nobody_can_answer(session, run):
    path, _, _ = session

    async def main():
        async with ff.connect(f"file://{path}") as feed:
            for kind in ("bars", "bars:2m", "nothing"):
                with pytest.raises(ValueError, match="expected"):
                    await feed.subscribe("AAPL.US", kind)
            with pytest.raises(ValueError, match="expected a symbol"):
                await feed.subscribe("AAPL", "ticks")
            with pytest.raises(ff.LocalProtocolError, match=r"nobody to answer get_ticks\(\)"):
                await feed.get_ticks("AAPL.US", 10)
            assert not hasattr(feed, "nonsense")

    run(main())


def test_the_pace_is_that_of_then(session, run):
    path, rows, _ = session
    times = rows["ticks"]["recv_ns"]
    span_s = (int(times.max()) - int(times.min())) / 1e9

    async def main(speed):
        started = time.monotonic()
        found, _, _ = await play(path, speed=speed)
        assert_same(found, rows)
        return time.monotonic() - started

    assert run(main(1)) >= 0.9 * span_s
    assert run(main(0.5)) >= 1.8 * span_s


def test_a_small_ring_loses_nothing_at_full_speed(session, run):
    path, rows, _ = session
    found = []

    async def main():
        hub = ff.Hub(capacity=64)
        feed = ff.connect(f"file://{path}", speed="max", hub=hub)
        async with feed:
            reader = feed.ticks.reader()
            done = asyncio.ensure_future(feed.finished())
            while not done.done():
                if await reader.wait(0.05):
                    found.append(reader.read().copy())
            found.append(reader.read().copy())
            assert reader.lost == 0
            assert not hub.ticks.ended  # it is the user's
        return np.concatenate(found)

    assert run(main()).tobytes() == rows["ticks"].tobytes()


def test_it_can_be_closed_at_any_time(session, run):
    path, rows, _ = session

    async def main():
        async with ff.connect(f"file://{path}", speed=0.1) as feed:
            await until(lambda: feed.ticks.count)
            waiting = asyncio.ensure_future(feed.finished())
        await asyncio.wait_for(waiting, 10)
        assert feed.ticks.ended
        assert feed.ticks.count < len(rows["ticks"])
        with pytest.raises(ff.ConnectError):
            await feed.subscribe("AAPL.US", "ticks")

    run(main())


def test_paths(session, tmp_path, monkeypatch):
    path, _, _ = session
    monkeypatch.chdir(path.parent)
    (segment,) = path.glob("*.ffcap")
    for url in ("file://./opend", "file://opend", f"file://{path}", f"file://{segment}"):
        assert ff.connect(url).vendor is ff.OpenD
    odd = tmp_path / "a b?c#d%"
    odd.symlink_to(path)
    assert ff.connect(f"file://{tmp_path}/a b%3Fc%23d%25?speed=2").url == f"file://{odd}"


@pytest.mark.parametrize(
    ("url", "options", "error", "text"),
    [
        ("file://", {}, ff.ConfigError, "expected a URL such as"),
        ("file:///nowhere", {}, ff.StorageError, "/nowhere"),
        ("file:///dev", {}, ff.StorageError, "/dev"),
        ("file:///nowhere?speed=fast", {}, ff.ConfigError, "speed"),
        (
            "file:///nowhere",
            {"speed": 0},
            ff.ConfigError,
            "expected a speed above 0 or 'max', got 0",
        ),
        ("file:///nowhere", {"speed": float("nan")}, ff.ConfigError, "expected a speed"),
        ("file:///nowhere", {"token": "x"}, ff.ConfigError, "expected an option \\(speed, hub\\)"),
    ],
)
def test_what_cannot_be_played(url, options, error, text):
    with pytest.raises(error, match=text):
        ff.connect(url, **options)


def test_a_hub_with_a_thread_is_refused(session):
    path, _, _ = session
    hub = ff.Hub()
    hub.receiver("thread")
    with pytest.raises(ff.ConfigError, match="receive"):
        ff.connect(f"file://{path}", hub=hub)


def test_a_torn_capture_is_played_up_to_there(tmp_path, run, replay):
    path = tmp_path / "c"

    async def main():
        rows, _ = await record("opend", path, flush_s=0.05)
        cut(path, 100)
        return rows, *await play(path)

    rows, found, events, feed = run(main())
    ticks = found.get("ticks", rows["ticks"][:0])
    assert len(ticks) < len(rows["ticks"])
    assert ticks.tobytes() == rows["ticks"][: len(ticks)].tobytes()
    assert [event.kind for event in events] == ["connected", "error", "ended"]
    assert events[1].text == feed.damage
    (file,) = path.glob("*.ffcap")
    assert re.fullmatch(rf"{file}, at byte \d+: .*", feed.damage)
    done = replay(path, "--speed", "max", "--format", "csv")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1 + len(ticks)
    assert len(done.stderr.splitlines()) == 1
    assert file.name in done.stderr


def test_gaps_of_the_capture_are_told(tmp_path, run):
    path = tmp_path / "c"

    async def main():
        rows, _ = await record("opend", path)
        (file,) = path.glob("*.ffcap")
        number = sum(1 for _ in CaptureFile(path).chunks())
        file.write_bytes(file.read_bytes() + own_chunk(number, 7, 1, gap_record(1234, 7)))
        return rows, *await play(path)

    rows, found, events, feed = run(main())
    assert_same(found, rows)
    assert [event.kind for event in events] == ["connected", "gap", "ended"]
    assert "1,234 bytes" in events[1].text
    assert events[1].end_ns == 7
    stats = feed.stats()
    assert (stats["capture_gaps"], stats["capture_lost_bytes"]) == (1, 1234)


def test_first_segments_that_are_not_there_are_told(tmp_path, run, replay):
    path = tmp_path / "c"

    async def main():
        rows, _ = await record("opend", path, count=600, segment_bytes=1 << 16, flush_s=0.02)
        first, second, *_ = CaptureFile(path).segments
        first.unlink()
        return rows, *await play(path), *await play(second)

    rows, found, events, _, _, events_alone, _ = run(main())
    assert rows["ticks"].tobytes().endswith(found["ticks"].tobytes())
    assert 0 < len(found["ticks"]) < len(rows["ticks"])
    assert [event.kind for event in events] == ["connected", "gap", "ended"]
    text = "the capture begins with segment 1: those before it are not there"
    assert events[1].text == text
    assert [event.kind for event in events_alone] == ["connected", "ended"]
    done = replay(path, "--speed", "max", "--format", "csv")
    assert (done.returncode, done.stderr) == (0, f"fastfeed: gap: {text}\n")
    with pytest.raises(SystemExit) as left:
        cli.main(args=["convert", str(path), str(tmp_path / "out")], prog_name="fastfeed")
    assert left.value.code == 0


def test_a_chunk_of_part_of_a_record_is_damage(session, tmp_path, run):
    path, rows, _ = session
    again = tmp_path / "again"
    shutil.copytree(path, again)
    file = CaptureFile(again).segments[-1]
    number = list(CaptureFile(path).chunks())[-1].number + 1
    size = file.stat().st_size
    file.write_bytes(file.read_bytes() + own_chunk(number, 7, 1, bytes(40)))

    found, events, feed = run(play(again))
    assert_same(found, rows)
    assert feed.damage == f"{file}, at byte {size}: has a chunk with a head that cannot be"
    assert [event.kind for event in events][-2:] == ["error", "ended"]


def test_a_replay_is_not_captured(session, tmp_path):
    path, _, _ = session
    with pytest.raises(ff.LocalProtocolError, match="is no vendor's"):
        ff.capture(ff.connect(f"file://{path}"), tmp_path / "again")


# ---- on the command line


def test_every_row_is_shown(session, replay):
    path, rows, _ = session
    done = replay(path, "--speed", "max", "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    lines = list(csv.DictReader(done.stdout.splitlines()))
    assert [float(line["price"]) for line in lines] == rows["ticks"]["price"].tolist()
    assert [int(line["recv_ns"]) for line in lines] == rows["ticks"]["recv_ns"].tolist()
    done = replay(path, "HK.00700", "--speed", "max", "--format", "csv")
    mine = [line for line in lines if line["symbol"] == "700.HK"]
    assert list(csv.DictReader(done.stdout.splitlines())) == mine
    done = replay(
        path,
        "700.HK",
        "--speed",
        "max",
        "--kinds",
        "ticks,books",
        "--format",
        "jsonl",
        "--limit",
        7,
    )
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 7)


def test_tables_are_shown(session, replay):
    path, rows, symbols = session
    done = replay(path, "700.HK", "--speed", "max")
    of_symbol = int((rows["ticks"]["symbol"] == symbols.index("700.HK")).sum())
    assert done.returncode == 0
    assert f"{of_symbol:,} ticks of 1 symbol" in done.stdout
    assert "AAPL.US" not in done.stdout
    done = replay(path, "--speed", "max", "--kinds", "books,quotes")
    total = len(rows["books"]) + len(rows["quotes"])
    assert done.returncode == 0
    assert f"{total:,} rows of 2 symbols" in done.stdout


def test_it_is_published(session):
    path, rows, _ = session
    name = f"test-replay-{time.monotonic_ns()}"
    with process("replay", str(path), "--speed", "max", "--hub", name, "--wait-reader") as child:
        assert child.stdout.readline().startswith(f"serving hub {name}: file://")
        with ff.attach(name) as hub:
            reader = hub.ticks.reader("oldest")
            output, errors = child.communicate(timeout=20)
            found = reader.read().copy()
            assert found.tobytes() == rows["ticks"].tobytes()
    assert child.returncode == 0
    total = sum(map(len, rows.values()))
    assert f"{total:,} rows" in errors
    assert errors.count("\n") == 1
    assert output == ""


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("/nowhere",), 1, "/nowhere"),
        (("PATH", "--speed", "0"), 2, "expected max or a number above 0"),
        (("PATH", "AAPL"), 2, "expected a symbol"),
        (("PATH", "--kinds", "what"), 2, "expected a kind"),
        (
            ("PATH", "--kinds", "ticks,books", "--format", "csv"),
            2,
            "csv has the columns of one kind",
        ),
        (("PATH", "--wait-reader"), 2, "--wait-reader needs --hub"),
        (("PATH", "AAPL.US", "--hub", "x"), 2, "SYMBOLs cannot be used together with --hub"),
        (
            ("PATH", "--hub", "x", "--kinds", "ticks"),
            2,
            "--kinds cannot be used together with --hub",
        ),
        (("PATH", "--hub", "a/b"), 2, "--hub"),
    ],
)
def test_one_line_says_what_is_wrong(session, replay, arguments, code, text):
    path, _, _ = session
    done = replay(*[str(path) if each == "PATH" else each for each in arguments])
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert text in done.stderr


# ---- record --raw


@contextlib.asynccontextmanager
async def recording_raw(url, path, symbols, *options):
    """Run `fastfeed record --raw` for ticks and books."""
    child = await asyncio.create_subprocess_exec(
        *FASTFEED, "record", url, *symbols, "--kinds", "ticks,books", "--raw", "--out", str(path), *options,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def came_to(child):
    output, errors = await asyncio.wait_for(child.communicate(), 20)
    return Done(child.returncode, output.decode(), errors.decode())


@pytest.mark.parametrize("options", [(), ("--zstd",)])
def test_raw_recording_on_the_command_line(tmp_path, options):
    path = tmp_path / "c"

    async def main():
        async with simulator("opend", symbols=SYMBOLS, rate=1000) as sim:
            async with recording_raw(sim.url, path, SYMBOLS, *options) as child:
                begun = await child.stdout.readline()
                assert begun.decode() == (
                    f"capturing {sim.url} into {path}: 1 feed, 2 symbols (Ctrl-C ends it)\n"
                )
                await until(lambda: sim.sent > COUNT)
                child.send_signal(signal.SIGINT)
                return await came_to(child)

    code, output, errors = asyncio.run(main())
    assert (code, output) == (0, ""), errors
    assert errors.splitlines()[-1].startswith(f"{path}: ")
    assert errors.endswith(" rows.\n"), errors
    rows, _, feed = asyncio.run(play(path))
    assert feed.damage is None
    assert len(rows["ticks"]) > 0
    assert CaptureFile(path).header.vendor == "opend"


def test_raw_recording_whose_folder_is_removed(tmp_path):
    path = tmp_path / "c"

    async def main():
        async with simulator("opend", symbols=SYMBOLS, rate=1000) as sim:
            async with recording_raw(sim.url, path, SYMBOLS) as child:
                assert (await child.stdout.readline()).startswith(b"capturing opend://")
                shutil.rmtree(path)
                while b"000000.ffcap was removed; the feed lives on" not in (
                    line := await asyncio.wait_for(child.stderr.readline(), 10)
                ):
                    assert line
                child.send_signal(signal.SIGINT)
                return await came_to(child)

    code, _, errors = asyncio.run(main())
    assert code == 1
    assert errors.endswith("fastfeed: the capture is not complete: 000000.ffcap was removed\n")


def test_nothing_is_captured_where_nothing_is_subscribed(tmp_path):
    async def main():
        async with simulator("opend", symbols=SYMBOLS) as sim:
            async with recording_raw(sim.url, tmp_path / "c", ["NOBODY.US"]) as child:
                return await came_to(child)

    code, output, errors = asyncio.run(main())
    assert (code, output) == (1, "")
    refused, given_up, last = errors.splitlines()[-3:]
    assert "NOBODY.US" in refused
    assert given_up.endswith("given up: nothing is subscribed")
    assert last == "fastfeed: no feed could be set up: nothing is captured"


def test_a_vendor_who_is_ill_is_asked_again(tmp_path):
    path = tmp_path / "c"

    async def answer_nonsense(reader, writer):
        writer.write(b"out of order " * 10)
        writer.close()

    async def main():
        ill = await asyncio.start_server(answer_nonsense, "127.0.0.1", 0)
        port = ill.sockets[0].getsockname()[1]
        async with recording_raw(f"opend://127.0.0.1:{port}", path, SYMBOLS) as child:
            begun = await asyncio.wait_for(child.stdout.readline(), 20)
            assert b": 0 of 1 feed, 0 of 2 symbols (" in begun
            ill.close()
            await ill.wait_closed()
            async with simulator("opend", symbols=SYMBOLS, rate=1000, port=port) as sim:
                await until(lambda: sim.sent > COUNT)
                child.send_signal(signal.SIGINT)
                return await came_to(child)

    code, output, errors = asyncio.run(main())
    assert (code, output) == (0, ""), errors
    assert "; trying again" in errors
    rows, _, feed = asyncio.run(play(path))
    assert feed.damage is None
    assert len(rows["ticks"]) > 0


def test_a_folder_with_other_things_takes_no_capture(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    feed = ff.connect("opend://127.0.0.1:1")
    with pytest.raises(ff.StorageError, match=r"is not empty \(notes.txt is there\)"):
        ff.capture(feed, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "notes.txt").unlink()
    ff.capture(feed, tmp_path).close()
    (tmp_path / "000000.ffcap").unlink()
    ff.capture(feed, tmp_path).close()  # a lock is nothing


@pytest.mark.parametrize("option", [(), ("--metrics", "127.0.0.1:PORT")])
def test_what_never_began_leaves_no_capture(tmp_path, option, capfd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = [text.replace("PORT", str(taken.getsockname()[1])) for text in option]
        with pytest.raises(SystemExit) as left:
            cli.main(
                [
                    "record",
                    "opend://127.0.0.1:1",
                    "700.HK",
                    "--raw",
                    "--out",
                    str(tmp_path / "c"),
                    "--wait",
                    "0.01",
                    *options,
                ],
                prog_name="fastfeed",
            )
    assert left.value.code == 1
    assert "cannot" in capfd.readouterr().err
    assert not list((tmp_path / "c").glob("*.ffcap"))


@pytest.fixture
def convert(capfd):
    """Run `fastfeed convert` in this process."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            cli.main(args=["convert", *map(str, arguments)], prog_name="fastfeed")
        return Done(left.value.code, *capfd.readouterr())

    return run


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_file_stays(session, tmp_path, convert, make):
    target = tmp_path / "there.csv"
    make(target)
    done = convert(session[0], target, "--kinds", "ticks", "--force")
    assert done == (1, "", f"fastfeed: {target} is a device or pipe, expected a file\n")
    assert not target.is_file()
