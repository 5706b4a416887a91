"""Recordings that others read, that are killed, and whose disk is full; and the command."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from commands import FASTFEED, process, run, simulator, terminal, until
from recorder import hub_of, put, ticks
from waiting import wait_until

import fastfeed as ff

pq = pytest.importorskip("pyarrow.parquet")

PROGRAM = str(Path(__file__).parents[1] / "helpers" / "recorder.py")
NOON_NS = 1_728_043_200_000_000_000
DAY_NS = 86_400_000_000_000


def seqs(out):
    """Return the numbers of all rows in Parquet files, in the order of the files."""
    paths = sorted((out / "kind=ticks").rglob("*.parquet"))
    parts = [pq.read_table(path)["seq"].to_numpy() for path in paths]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def is_up_to(numbers, count):
    return np.array_equal(numbers, np.arange(count))


# ---- others read the folder as it stands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with two kinds and two days, which is still recorded into, and its rows."""
    out = tmp_path_factory.mktemp("folder")
    hub = hub_of()
    rows = ticks(0, 5000, NOON_NS)
    rows["recv_ns"] += np.arange(5000) // 2500 * DAY_NS
    books = np.zeros(10, ff.dtype("books"))
    books["recv_ns"], books["bid_price"] = NOON_NS, 1.5
    with ff.record(hub, out, "ticks", "books", flush_s=0, segment_bytes=1 << 16) as recording:
        for part in np.split(rows, 5):
            put(hub, part)
            wait_until(lambda: not recording.stats()["lag_rows"])
        hub.books.ring.write(books.view(np.uint8))
    with ff.record(hub, out, flush_s=0) as recording:
        put(hub, ticks(9000, 5, NOON_NS))  # an open segment, which is not for others
        wait_until(lambda: recording.stats()["rows"]["ticks"] == 5)
        yield out, rows


TIMES = [f"2024-10-0{4 + day}T12:00:00+00:00" for day in (0, 1)]


def check(rows, symbols, times, volume, dates):
    assert symbols[:4] == ["0.HK", "1.HK", "2.HK", "0.HK"]
    assert [times[0].isoformat(), times[-1].isoformat()] == TIMES
    assert volume == rows["volume"].sum()
    assert sorted(map(str, set(dates))) == ["2024-10-04", "2024-10-05"]


def test_pandas_reads_the_folder(folder):
    pandas = pytest.importorskip("pandas")
    out, rows = folder
    data = pandas.read_parquet(out / "kind=ticks").sort_values("seq")
    check(rows, list(data["symbol"]), list(data["recv_time"]), data["volume"].sum(), data["date"])
    assert str(data["recv_time"].dtype) == "datetime64[ns, UTC]"
    day = pandas.read_parquet(out / "kind=ticks", filters=[("date", "==", "2024-10-05")])
    assert len(day) == 2500
    every = pandas.read_parquet(out, filters=[("kind", "==", "books")])
    assert set(every["kind"]) == {"books"}
    assert len(every) == 10
    assert len(pandas.read_parquet(out / "kind=books")) == 10


def test_polars_reads_the_folder(folder):
    polars = pytest.importorskip("polars")
    out, rows = folder
    for data in (
        polars.read_parquet(out / "kind=ticks").sort("seq"),
        polars.scan_parquet(out / "kind=ticks" / "**" / "*.parquet", hive_partitioning=True)
        .collect()
        .sort("seq"),
    ):
        symbols = data["symbol"].cast(polars.String).to_list()
        check(rows, symbols, data["recv_time"].to_list(), data["volume"].sum(), data["date"])
        assert data.schema["recv_time"] == polars.Datetime("ns", "UTC")
    assert data["kind"].unique().to_list() == ["ticks"]


def test_duckdb_reads_the_folder(folder):
    duckdb = pytest.importorskip("duckdb")
    out, rows = folder
    with duckdb.connect() as database:
        database.execute("set timezone = 'UTC'")
        data = database.sql(f"select * from '{out}/kind=ticks/*/*.parquet' order by seq")
        symbols = [row[0] for row in data.select("symbol").fetchall()]
        dates = [row[0] for row in data.select("date").fetchall()]
        texts = data.select("strftime(recv_time, '%Y-%m-%dT%H:%M:%S+00:00')").fetchall()
        volume = database.sql("select sum(volume) from data").fetchall()[0][0]
        assert symbols[:4] == ["0.HK", "1.HK", "2.HK", "0.HK"]
        assert [texts[0][0], texts[-1][0]] == TIMES
        assert volume == rows["volume"].sum()
        assert sorted(map(str, set(dates))) == ["2024-10-04", "2024-10-05"]
        assert data.select("kind").distinct().fetchall() == [("ticks",)]
        kinds = database.sql(
            f"select kind, count(*) from read_parquet('{out}/**/*.parquet', union_by_name=true) group by kind"
        )
        assert dict(kinds.fetchall()) == {"ticks": 5000, "books": 10}


# ---- killed


def test_killed_at_any_moment(tmp_path):
    """Nothing that is older than the flush is lost, and nothing is there twice, however often it dies."""
    chance = random.Random(5)
    left = 0
    for number in range(10):
        out = tmp_path / str(number)
        flush_s = chance.choice([0.0, 0.05])
        arguments = [sys.executable, PROGRAM, "run", str(out), str(flush_s), str(1 << 15)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            said = child.stdout.readline()
            time.sleep(chance.uniform(0.05, 0.4))
            # It says what it has published; what it said a second before is older than any flush.
            before = os.read(child.stdout.fileno(), 1 << 20)
            time.sleep(0.5)
            child.kill()
            after = child.stdout.read()
        published = int((said + before + after).split(b"\n")[-2].split()[0])
        older = int((said + before).rpartition(b"\n")[0].rpartition(b"\n")[2].split()[0])
        left += len(ff.recover(out))
        numbers = seqs(out)
        assert is_up_to(numbers, len(numbers)), number
        assert older <= len(numbers) <= published + 100
        assert ff.recover(out) == []
        assert not (out / "_open").exists()
    assert left  # sometimes there is just none open


@pytest.mark.parametrize(
    "where",
    [
        "fsync:1",
        "fsync:2",
        "fsync:3",
        "fsync:4",
        "mkdir:1",
        "mkdir:2",
        "rename:1",
        "unlink:1",
        "rmdir:1",
    ],
)
def test_killed_while_sealing(tmp_path, where):
    done = subprocess.run(
        [sys.executable, PROGRAM, "die", str(tmp_path), where],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    if where in ("fsync:1", "rename:1"):
        assert len(list((tmp_path / "_open").glob("*.part"))) == 1
    ff.recover(tmp_path)
    assert is_up_to(seqs(tmp_path), 1000)
    assert not (tmp_path / "_open").exists()


def test_fork_does_not_keep_the_folder(tmp_path):
    with ff.record(hub_of(), tmp_path):
        child = os.fork()
        if not child:
            time.sleep(20)
            os._exit(0)
    try:
        ff.record(hub_of(), tmp_path).close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


# ---- the disk


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a file system of 3 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", path], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted: {done.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_disk_is_full_and_then_not(small_disk):
    (small_disk / ".filler").write_bytes(bytes(2 << 20))
    hub, said = hub_of(capacity=1 << 16), []
    with ff.record(hub, small_disk, flush_s=0, tell=said.append) as recording:
        number = 0
        while not recording.stats()["failing"]:
            put(hub, ticks(number, 1000, NOON_NS + number))
            number += 1000
            assert number < 1 << 20
            time.sleep(0.002)
        assert recording.stats()["failing"] == "No space left on device"
        put(hub, ticks(number, 5000, NOON_NS + number))  # the ring has room for these
        number += 5000
        held = recording.stats()
        assert held["rows"]["ticks"] + held["lag_rows"] == number
        wait_until(lambda: recording.stats()["lag_s"] > 0.1)
        (small_disk / ".filler").unlink()
        wait_until(lambda: recording.stats()["failing"] is None)
        wait_until(lambda: not recording.stats()["lag_rows"])
    found = recording.stats()
    assert found["lost"] == found["dropped"] == {"ticks": 0}
    assert is_up_to(seqs(small_disk), number)
    full = [
        text for text in said if "No space left on device" in text and "wait in the ring" in text
    ]
    assert len(full) == 1
    assert any(text.startswith(f"writing in {small_disk} again") for text in said)


def test_disk_stays_full(small_disk):
    (small_disk / ".filler").write_bytes(bytes(2 << 20))
    hub, said = hub_of(capacity=1 << 14), []
    with ff.record(hub, small_disk, flush_s=0, tell=said.append) as recording:
        number = 0
        while not recording.stats()["failing"]:
            put(hub, ticks(number, 1000, NOON_NS + number))
            number += 1000
            time.sleep(0.002)
        for _ in range(40):  # more than the ring keeps
            put(hub, ticks(number, 1000, NOON_NS + number))
            number += 1000
    found = recording.stats()
    rows, lost, dropped = (found[what]["ticks"] for what in ("rows", "lost", "dropped"))
    assert rows + lost + dropped == number
    assert dropped > 0
    assert f"{dropped:,} rows could not be written in {small_disk}" in said
    # What was written is all there: the open segments too, once there is room.
    (small_disk / ".filler").unlink()
    ff.recover(small_disk)
    assert is_up_to(seqs(small_disk), rows)


def test_folder_is_removed_meanwhile(tmp_path):
    out = tmp_path / "out"
    hub, said = hub_of(), []
    with ff.record(hub, out, flush_s=0, tell=said.append) as recording:
        put(hub, ticks(0, 10, NOON_NS))
        wait_until(lambda: recording.stats()["rows"]["ticks"] == 10)
        shutil.rmtree(out)
        put(hub, ticks(10, 10, NOON_NS))
        wait_until(lambda: recording.stats()["failing"])
        assert "it was removed or replaced meanwhile" in said[0]
    assert recording.stats()["dropped"] == {"ticks": 20}
    assert not out.exists()


def test_segment_is_removed_meanwhile(tmp_path):
    hub, said = hub_of(), []
    with ff.record(hub, tmp_path, flush_s=0, tell=said.append) as recording:
        put(hub, ticks(0, 10, NOON_NS))
        wait_until(lambda: recording.stats()["rows"]["ticks"] == 10)
        [segment] = (tmp_path / "_open").glob("*.arrows")
        segment.unlink()
        put(hub, ticks(10, 10, NOON_NS))
        wait_until(lambda: recording.stats()["rows"]["ticks"] == 10 and said[1:])
    assert recording.stats()["dropped"] == {"ticks": 10}
    assert seqs(tmp_path).tolist() == [*range(10, 20)]
    assert "was removed meanwhile" in said[0]


def test_sealing_that_fails_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("fastfeed.sinks.record._SEAL_AGAIN_S", 0.02)
    hub, said = hub_of(), []
    (tmp_path / "out").mkdir()
    with ff.record(
        hub, tmp_path / "out", flush_s=0, segment_bytes=1, tell=said.append
    ) as recording:
        (tmp_path / "out" / "kind=ticks").write_text("in the way")
        for number in range(3):
            put(hub, ticks(number * 10, 10, NOON_NS + number))
            wait_until(lambda: recording.stats()["rows"]["ticks"] == (number + 1) * 10)  # noqa: B023
        wait_until(lambda: recording.stats()["failing"])
        assert recording.stats()["segments"] == 3
        (tmp_path / "out" / "kind=ticks").unlink()
        wait_until(lambda: recording.stats()["sealed"] == 3)
        assert recording.stats()["failing"] is None
    assert len(said) == 1
    assert is_up_to(seqs(tmp_path / "out"), 30)


def test_feed_lives_on_while_the_disk_hangs(tmp_path, monkeypatch):
    """A write that does not come back holds up neither the event loop nor the rows."""
    from fastfeed.sinks.segments import Segment

    release, usual = threading.Event(), Segment.write
    monkeypatch.setattr(
        Segment, "write", lambda *arguments: (release.wait(30), usual(*arguments))[1]
    )

    async def use(url):
        async with ff.connect(url) as feed:
            recording = ff.record(feed, tmp_path, flush_s=0)
            await feed.subscribe(["700.HK", "AAPL.US"], "ticks")
            async for rows in feed.ticks:
                if feed.ticks.count > 500 and len(rows):
                    break
            release.set()
            count = feed.ticks.count
            await recording.__aexit__(None, None, None)
            return count, recording.stats()

    with simulator("--rate", "3000", "--symbols", "20", "--seed", "4") as (url, _):
        count, found = ff.run(use(url))
    assert found["rows"]["ticks"] >= count
    assert found["lost"] == {"ticks": 0}


# ---- the command


def test_command_records_a_feed(tmp_path):
    with simulator("--rate", "2000", "--symbols", "20", "--seed", "4") as (url, _):
        done = run(
            "record", url, "700.HK", "AAPL.US", "--kinds", "ticks,books", "--out", str(tmp_path), "--duration", "1"
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"recording into {tmp_path}: 1 feed, 2 symbols")
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"{tmp_path}: ")
    assert "2 files" in last
    rows = sum(pq.read_metadata(path).num_rows for path in tmp_path.rglob("*.parquet"))
    assert f"{rows:,} rows in" in last
    assert not (tmp_path / "_open").exists()


def test_command_records_a_hub_until_it_is_told_to_end(tmp_path, shm):
    out = tmp_path / "out"
    with hub_of(name="md") as hub:
        put(hub, ticks(0, 5, NOON_NS))  # before
        with process("record", "--hub", "md", "1.HK", "--out", str(out), "--flush", "0") as child:
            assert child.stdout is not None
            assert child.stdout.readline() == f"recording hub md into {out} (Ctrl-C ends it)\n"
            put(hub, ticks(5, 6, NOON_NS))
            wait_until(lambda: list((out / "_open").glob("*.arrows")))
            other = run("record", "--hub", "md", "--out", str(out))
            assert other.returncode == 1
            assert other.stderr.startswith(f"fastfeed: {out} is in use: process {child.pid} (")
            assert run("recover", str(out)).returncode == 1
            child.send_signal(signal.SIGTERM)
            stdout, stderr = child.communicate(timeout=20)
    assert child.returncode == 0, stderr
    assert stdout.startswith(f"{out}: 2 rows in ")
    assert seqs(out).tolist() == [7, 10]


def test_command_that_is_killed_is_finished_by_recover(tmp_path, shm):
    with hub_of(name="md") as hub:
        with process("record", "--hub", "md", "--out", str(tmp_path), "--flush", "0") as child:
            assert child.stdout is not None
            child.stdout.readline()
            put(hub, ticks(0, 6, NOON_NS))
            wait_until(
                lambda: [
                    p for p in (tmp_path / "_open").glob("*.arrows") if p.stat().st_size > 2000
                ]
            )
            child.kill()
            child.communicate(timeout=20)
    done = run("recover", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "6 rows in " in done.stdout
    assert is_up_to(seqs(tmp_path), 6)
    assert run("recover", str(tmp_path)).stdout == f"{tmp_path}: nothing was left open.\n"


def test_command_says_when_rows_were_lost(tmp_path, shm):
    with hub_of(name="md", capacity=64) as hub:
        with process("record", "--hub", "md", "--out", str(tmp_path)) as child:
            assert child.stdout is not None
            child.stdout.readline()
            os.kill(child.pid, signal.SIGSTOP)
            put(hub, ticks(0, 64, NOON_NS))
            put(hub, ticks(64, 36, NOON_NS))
            os.kill(child.pid, signal.SIGCONT)
            child.send_signal(signal.SIGINT)
            _, stderr = child.communicate(timeout=20)
    assert child.returncode == 1
    assert "fastfeed: 36 rows lost: overwritten in the ring" in stderr


def test_command_shows_its_progress_in_place(tmp_path, shm):
    with hub_of(name="md") as hub:
        arguments = ("record", "--hub", "md", "--out", str(tmp_path), "--flush", "0")
        with terminal(*arguments, width=120) as (child, fd):
            until(fd, "0 rows, ")
            put(hub, ticks(0, 1234, NOON_NS))
            shown = until(fd, "1,234 rows, ")
            assert "\r\x1b[K" in shown
            child.send_signal(signal.SIGINT)
            last = until(fd, "")
            assert "1,234 rows in " in last
            assert child.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("record", "--out", "x"), "expected URL and SYMBOLs, or --hub NAME"),
        (("record", "opend://127.0.0.1:1", "--out", "x"), "expected URL and SYMBOLs"),
        (("record", "opend://127.0.0.1:1", "700.HK"), "missing option '--out'"),
        (("record", "--hub", "md", "--raw", "--out", "x"), "--raw needs URL"),
        (("record", "--hub", "md", "opend://h", "--out", "x"), "expected URL or --hub, got both"),
        (("record", "--hub", "md", "--depth", "5", "--out", "x"), "--depth is about URL"),
        (("record", "--hub", "a/b", "--out", "x"), "expected the name of a hub"),
        (("record", "opend://h", "700.HK", "--zstd", "--out", "x"), "--zstd is about --raw"),
        (
            ("record", "opend://h", "700.HK", "--raw", "--flush", "1", "--out", "x"),
            "not about --raw",
        ),
        (("record", "opend://h", "700.HK", "--kinds", "trades", "--out", "x"), "got 'trades'"),
        (("record", "opend://h", "700.HK", "--kinds", ",", "--out", "x"), "at least one kind"),
        (
            ("record", "opend://h", "700.HK", "--segment-bytes", "0", "--out", "x"),
            "expected a size",
        ),
        (("record", "opend://h", "700.HK", "--capacity", "100", "--out", "x"), "a power of two"),
    ],
)
def test_wrong_arguments(arguments, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [*FASTFEED, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_nothing_there(tmp_path, shm):
    done = run("record", "--hub", "md", "--out", str(tmp_path / "x"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no hub 'md'" in done.stderr
    done = run("recover", str(tmp_path / "x"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    done = run(
        "record", "opend://127.0.0.1:1", "700.HK", "--wait", "0", "--out", str(tmp_path / "x")
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "fastfeed: no feed could be set up: nothing is recorded"
