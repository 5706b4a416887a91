"""`fastfeed convert`, as a process and in this one."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from captured import recorded
from commands import FASTFEED, run, simulator, terminal, until
from row_samples import rows_like
from waiting import wait_until

import fastfeed as ff
from fastfeed.cli.columns import FIELDS
from fastfeed.cli.csv_file import CsvTarget
from fastfeed.cli.main import cli
from fastfeed.schema import dtype
from fastfeed.sinks import convert as conversion
from fastfeed.sinks.arrow import ArrowRows
from fastfeed.sinks.convert import ArrowTarget, FolderTarget, ParquetTarget, Part

START = 1_767_400_000_000_000_000  # 2026-01-03 00:26:40 UTC
NAMES = ("700.HK", "AAPL.US", "BTCUSDT", "9988.HK", "USDJPY")


@pytest.fixture
def symbols():
    table = ff.SymbolTable()
    for name in NAMES:
        table.intern(name)
    return table


def ticks_of(count):
    rows = rows_like("ticks", count, symbols=5)
    rows["recv_ns"] = START + np.arange(count)
    rows["side"], rows["session"], rows["flags"] = 1, 1, 2
    return rows


@pytest.fixture
def ticks(tmp_path, symbols):
    rows = ticks_of(1000)
    pq.write_table(ff.to_arrow(rows, symbols), tmp_path / "ticks.parquet")
    return rows


@pytest.fixture
def convert(capsys):
    """The command in this process; gives what it says."""

    def call(*args, code=0):
        with pytest.raises(SystemExit) as end:
            cli(["convert", *map(str, args)], prog_name="fastfeed")
        out, errors = capsys.readouterr()
        assert code in (None, end.value.code), errors
        assert out == ""
        return errors

    return call


def names(path):
    return sorted(os.listdir(path))


def test_all_formats_one_after_the_other(tmp_path, symbols, ticks, convert):
    chain = ("ticks.parquet", "a.csv", "b.arrow", "c.arrows", "d", "e.feather", "f.parquet")
    for one, other in itertools.pairwise(chain):
        assert convert(tmp_path / one, tmp_path / other) == ""
    assert names(tmp_path) == sorted(chain)
    first = pl.read_parquet(tmp_path / "ticks.parquet")
    for path in ("b.arrow", "e.feather"):
        assert pl.read_ipc(tmp_path / path).equals(first)
    assert pl.read_ipc_stream(tmp_path / "c.arrows").equals(first)
    assert pl.read_parquet(tmp_path / "f.parquet").equals(first)
    folder = pl.read_parquet(tmp_path / "d" / "kind=ticks", hive_partitioning=True)
    assert folder.select(first.columns).equals(first)
    folder = pl.read_parquet(tmp_path / "d" / "**" / "*.parquet", hive_partitioning=True)
    assert set(folder["kind"]) == {"ticks"}
    frame = pd.read_parquet(tmp_path / "f.parquet")
    assert frame["price"].to_numpy().tobytes() == ticks["price"].tobytes()
    assert pyarrow.feather.read_table(tmp_path / "b.arrow").schema.field("price").metadata[b"unit"]
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert len(lines) == 1001


def test_csv_that_a_spreadsheet_has_saved(tmp_path, symbols, ticks, convert):
    convert(tmp_path / "ticks.parquet", tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "b.csv").write_text(text, encoding="utf-8-sig", newline="\r\n")
    assert convert(tmp_path / "b.csv", tmp_path / "b.parquet") == ""
    first = pl.read_parquet(tmp_path / "ticks.parquet")
    assert pl.read_parquet(tmp_path / "b.parquet").equals(first)


def test_what_watch_writes_is_read_back(tmp_path, convert):
    with simulator("--rate", "3000", "--symbols", "700.HK,AAPL.US") as (url, _):
        for kind in ("ticks", "quotes", "books"):
            what = ("700.HK", "AAPL.US", "--kinds", kind, "--format", "csv", "--limit", "200")
            done = run("watch", url, *what)
            assert done.returncode == 0, done.stderr
            (tmp_path / f"{kind}.csv").write_text(done.stdout)
            convert(tmp_path / f"{kind}.csv", tmp_path / f"{kind}.parquet")
            convert(tmp_path / f"{kind}.parquet", tmp_path / f"{kind}.again.csv")
            again = (tmp_path / f"{kind}.again.csv").read_text()
            if kind == "ticks":  # with the session
                again = "".join(line.rpartition(",")[0] + "\n" for line in again.splitlines())
            assert again == done.stdout


def test_a_capture(tmp_path, convert):
    async def captured():
        nonlocal feed
        host, _, port = url.removeprefix("opend://").partition(":")
        feed = ff.OpenD(host, int(port))
        with ff.capture(feed, tmp_path / "raw", flush_s=0.02):
            async with feed:
                await feed.subscribe(["700.HK", "AAPL.US"], "ticks", "quotes", "books", "bars:1m")
                async with asyncio.timeout(10):
                    while feed.ticks.count < 500 or feed.books.count < 50 or feed.bars.count < 5:
                        await asyncio.sleep(0.01)

    feed = None
    with simulator("--rate", "3000", "--symbols", "700.HK,AAPL.US") as (where, _):
        url = where
        asyncio.run(captured())
    assert convert(tmp_path / "raw", tmp_path / "out") == ""
    for kind in ("ticks", "quotes", "books", "bars"):
        stream = feed.stream(kind)
        rows = stream.latest(stream.count)
        target = tmp_path / f"{kind}.arrow"
        convert(tmp_path / "raw", target, "--kinds", kind)
        found = ff.rows_of(pyarrow.feather.read_table(target), feed.symbols)
        for name in rows.dtype.names:
            assert found[name].tobytes() == rows[name].tobytes(), name
        assert (tmp_path / "out" / f"kind={kind}").is_dir()
    message = convert(tmp_path / "raw", tmp_path / "x.csv", code=2)
    assert "a file has rows of one kind, and here are" in message
    some = tmp_path / "some.parquet"
    convert(tmp_path / "raw", some, "--kinds", "ticks", "--symbols", "HK.00700")
    assert set(pl.read_parquet(some)["symbol"]) == {"700.HK"}
    # A torn end is told, and what is before it is there.
    (last,) = [path for path in (tmp_path / "raw").iterdir() if path.suffix == ".ffcap"]
    os.truncate(last, last.stat().st_size - 5)
    message = convert(tmp_path / "raw", tmp_path / "torn", code=0)
    assert "was read up to where it is damaged:" in message
    assert "at byte" in message
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 0xFF
    last.write_bytes(data)
    message = convert(tmp_path / "raw", tmp_path / "damaged.arrow", "--kinds", "ticks", code=1)
    assert "at byte" in message


def test_a_capture_whose_first_segments_are_not_there(tmp_path, convert):
    path = tmp_path / "raw"
    recorded("opend", path, count=600, segment_bytes=1 << 16, flush_s=0.02)
    first, second, *_ = sorted(path.glob("*.ffcap"))
    first.unlink()
    text = f"fastfeed: {path} begins with segment 1: those before it are not there\n"
    assert convert(path, tmp_path / "out") == text
    assert convert(second, tmp_path / "alone") == ""


def test_a_capture_with_more_rows_in_a_read_than_rings_keep(tmp_path, convert):
    rows = []

    async def captured(url):
        feed = ff.connect(url, hub=ff.Hub(capacity=64))
        feed.ticks.on_batch(lambda ticks: rows.append(ticks.copy()))
        with ff.capture(feed, tmp_path / "raw"):
            async with feed:
                await feed.subscribe("700.HK", "ticks")
                async with asyncio.timeout(20):
                    while sum(map(len, rows)) < 2000:
                        time.sleep(0.02)  # noqa: ASYNC251 (so that a read brings many)
                        await asyncio.sleep(0)

    with simulator("--rate", "20000", "--symbols", "700.HK") as (url, _):
        asyncio.run(captured(url))
    assert convert(tmp_path / "raw", tmp_path / "ticks.arrow", "--kinds", "ticks") == ""
    symbols = ff.SymbolTable(8)
    symbols.intern("700.HK")
    found = ff.rows_of(pyarrow.feather.read_table(tmp_path / "ticks.arrow"), symbols)
    assert found.tobytes() == np.concatenate(rows).tobytes()


def test_kinds_and_symbols(tmp_path, symbols, ticks, convert):
    books = rows_like("books", 100, symbols=5, depth=3)
    books["recv_ns"], books["kind"] = START + 86_400_000_000_000, 0
    (tmp_path / "in").mkdir()
    pq.write_table(ff.to_arrow(books, symbols), tmp_path / "in" / "books.parquet")
    (tmp_path / "ticks.parquet").rename(tmp_path / "in" / "ticks.parquet")
    convert(tmp_path / "in", tmp_path / "out")
    assert names(tmp_path / "out") == ["_fastfeed.json", "kind=books", "kind=ticks"]
    assert names(tmp_path / "out" / "kind=books") == ["date=2026-01-04"]
    convert(
        tmp_path / "out", tmp_path / "b.csv", "--kinds", "books", "--symbols", "HK.00700,AAPL.US"
    )
    wanted = np.isin(books["symbol"], [0, 1])
    frame = pd.read_csv(tmp_path / "b.csv")
    assert len(frame) == wanted.sum() > 0
    assert set(frame["symbol"]) == {"700.HK", "AAPL.US"}
    message = convert(tmp_path / "out", tmp_path / "c.csv", code=2)
    assert (
        "a file has rows of one kind, and here are books and ticks: choose with --kinds" in message
    )
    message = convert(tmp_path / "out", tmp_path / "c.csv", "--kinds", "bars", code=0)
    assert (tmp_path / "c.csv").read_text().startswith("symbol,time,interval,")
    message = convert(tmp_path / "out", tmp_path / "d", "--kinds", "bars", code=1)
    assert message == "fastfeed: there are no rows to be converted\n"
    message = convert(tmp_path / "out", tmp_path / "e.csv", "--kinds", "ticks", "--symbols", "X")
    assert message == f"fastfeed: no row of X is in {tmp_path}/out\n"
    assert names(tmp_path) == ["b.csv", "c.csv", "e.csv", "in", "out"]


def test_time_zones(tmp_path, symbols, ticks, convert):
    zone = ("--tz", "Asia/Hong_Kong")
    convert(tmp_path / "ticks.parquet", tmp_path / "a.csv", *zone)
    known = np.flatnonzero(ticks["time_ns"])[0]
    text = (tmp_path / "a.csv").read_text().splitlines()[known + 1].split(",")[1]
    assert text.endswith("+0800")
    assert pd.Timestamp(text).value == ticks["time_ns"][known] // 1000 * 1000
    convert(tmp_path / "ticks.parquet", tmp_path / "a.arrow", *zone)
    table = pyarrow.feather.read_table(tmp_path / "a.arrow")
    assert table.schema.field("time").type == pa.timestamp("ns", tz="Asia/Hong_Kong")
    for path in ("a.csv", "a.arrow"):
        convert(tmp_path / path, tmp_path / f"{path}.parquet")
        again = pq.read_table(tmp_path / f"{path}.parquet")
        assert ff.rows_of(again, symbols)["time_ns"].tobytes() == ticks["time_ns"].tobytes()


def test_symbols_that_come_late(tmp_path, convert):
    symbols = ff.SymbolTable()
    with pa.ipc.new_stream(
        tmp_path / "in.arrows",
        ff.arrow_schema("ticks"),
        options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True),
    ) as writer:
        maker = ArrowRows("ticks", symbols)
        for number in range(5):
            symbols.intern(f"S{number}")
            rows = np.zeros(10, dtype("ticks"))
            rows["symbol"] = number
            writer.write_batch(maker.batch(rows))
    wanted = [f"S{number}" for number in range(5) for _ in range(10)]
    for name in ("a.arrow", "b.arrows"):
        convert(tmp_path / "in.arrows", tmp_path / name)
        read = pl.read_ipc if name == "a.arrow" else pl.read_ipc_stream
        assert read(tmp_path / name)["symbol"].to_list() == wanted
    assert names(tmp_path) == ["a.arrow", "b.arrows", "in.arrows"]


def test_nothing_is_overwritten_without_being_told_to(tmp_path, symbols, ticks, convert):
    (tmp_path / "a.csv").write_text("mine")
    message = convert(tmp_path / "ticks.parquet", tmp_path / "a.csv", code=1)
    assert message == f"fastfeed: {tmp_path}/a.csv is there already: --force overwrites it\n"
    assert (tmp_path / "a.csv").read_text() == "mine"
    convert(tmp_path / "ticks.parquet", tmp_path / "a.csv", "--force")
    assert (tmp_path / "a.csv").stat().st_size > 10_000
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text("mine")
    for more in ((), ("--force",)):
        message = convert(tmp_path / "ticks.parquet", tmp_path / "d", *more, code=1)
        assert message == f"fastfeed: {tmp_path}/d is not empty: expected a new folder\n"
    message = convert(tmp_path / "a.csv", tmp_path / "a.csv", "--force", code=2)
    assert message == "fastfeed: expected two files, IN and OUT are the same\n"
    assert names(tmp_path) == ["a.csv", "d", "ticks.parquet"]


@pytest.mark.parametrize("out", ["sub", "kind=ticks/x.parquet", "link/x.parquet"])
def test_what_is_read_does_not_get_more_by_it(tmp_path, ticks, out, convert):
    folder = tmp_path / "folder"
    convert(tmp_path / "ticks.parquet", folder)
    (tmp_path / "link").symlink_to(folder)
    target = tmp_path / out if out.startswith("link") else folder / out
    message = convert(folder, target, code=2)
    assert message == f"fastfeed: expected OUT outside of IN, {target} is in {folder}\n"
    assert not target.exists()
    convert(folder, folder / "ticks.csv")
    assert (folder / "ticks.csv").exists()


def test_a_segment_of_what_is_read_is_not_overwritten(tmp_path, convert):
    path = tmp_path / "raw"
    recorded("opend", path)
    (segment,) = path.glob("*.ffcap")
    before = segment.read_bytes()
    for form in ("parquet", "csv"):
        message = convert(path, segment, "--to", form, "--kinds", "ticks", "--force", code=2)
        assert f"expected OUT outside of IN, {segment} is in" in message
    assert segment.read_bytes() == before


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("nix", "x.csv"), 1, "cannot read nix: No such file or directory"),
        (("ticks.parquet", "x.raw"), 2, "rows cannot become a raw capture: it has bytes as a vendor"),
        (("ticks.parquet", "x", "--to", "raw"), 2, "rows cannot become a raw capture"),
        (("ticks.parquet", "x.foo"), 2, "expected OUT to end with .parquet, .arrow, .feather, .arrows, .csv or"),
        (("ticks.parquet", "x", "--to", "xml"), 2, "got --to xml"),
        (("ticks.parquet", "no/x.csv"), 1, "there is no folder no"),
        (("ticks.parquet", "in"), 1, "in is not empty: expected a new folder"),
        (("ticks.parquet", "x.csv", "--kinds", "nix"), 2, "expected a kind (ticks, "),
        (("ticks.parquet", "x.csv", "--kinds", "books"), 2, "expected books, there are only ticks"),
        (("ticks.parquet", "x.csv", "--tz", "X/Y"), 2, "expected a time zone such as Asia/Hong_Kong, got 'X/Y'"),
        (("text", "x.csv"), 1, "expected Parquet, Arrow, CSV with a column symbol, or a raw capture"),
        (("empty", "x.csv"), 1, "expected Parquet, Arrow, CSV with a column symbol, or a raw capture"),
        (("folder", "x.csv"), 1, "there is no Parquet file and no raw capture in folder"),
    ],
)  # fmt: skip
def test_wrong_arguments(tmp_path, monkeypatch, symbols, ticks, args, code, text, convert):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("hello\nworld\n")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").touch()
    before = names(tmp_path)
    message = convert(*args, code=code)
    assert text in message
    assert message.count("\n") == 1
    assert names(tmp_path) == before


def csv_with(convert, tmp_path, name, value):
    """Write a CSV file whose 500th row has something else in a column."""
    convert(tmp_path / "ticks.parquet", tmp_path / "in.csv")
    lines = (tmp_path / "in.csv").read_text().splitlines()
    cells = lines[500].split(",")
    cells[lines[0].split(",").index(name)] = value
    lines[500] = ",".join(cells)
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "in.csv"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("price", "abc", "Row #501: CSV conversion error to double: invalid value 'abc'"),
        ("kind", "256", "CSV conversion error to uint8: invalid value '256'"),
        ("side", "up", "the column side: expected one of buy, sell, got 'up'"),
        ("flags", "gap|x", "the column flags: expected flags (cached, backfilled, stale, gap), got 'x'"),
        ("seq", "", "the column seq is empty in a row"),
        ("symbol", "", "the column symbol: cannot add the symbol ''"),
        ("session", "regular,1", "Row #501: Expected 13 columns, got 14"),
    ],
)  # fmt: skip
def test_csv_that_cannot_be_read(tmp_path, ticks, name, value, text, convert):
    message = convert(csv_with(convert, tmp_path, name, value), tmp_path / "x.parquet", code=1)
    assert message.startswith(f"fastfeed: cannot read {tmp_path}/in.csv: ")
    assert text in message
    assert names(tmp_path) == ["in.csv", "ticks.parquet"]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.arrows"])
def test_damaged_files(tmp_path, ticks, name, convert):
    path = tmp_path / name
    convert(tmp_path / "ticks.parquet", path)
    whole = path.read_bytes()
    before = names(tmp_path)
    random = np.random.default_rng(3)
    cut = [int(len(whole) * part) for part in (0.1, 0.5, 0.9)]
    told = 0
    for number in range(9):
        data = bytearray(whole)
        if number < 3:
            del data[cut[number] :]
        else:
            at = int(random.integers(8, len(data) - 64))
            data[at : at + 64] = random.bytes(64)
        path.write_bytes(data)
        message = convert(path, tmp_path / "x.csv", code=None)
        if message:
            told += 1
            assert message.startswith(f"fastfeed: cannot read {path}")
            assert message.count("\n") == 1
            assert names(tmp_path) == before
        else:  # other values, that is all
            (tmp_path / "x.csv").unlink()
    assert told >= 3


def test_newer_versions(tmp_path, symbols, ticks, convert):
    table = pq.read_table(tmp_path / "ticks.parquet")
    newer = {**table.schema.metadata, b"fastfeed.layout": b"2"}
    pq.write_table(table.replace_schema_metadata(newer), tmp_path / "new.parquet")
    message = convert(tmp_path / "new.parquet", tmp_path / "x.csv", code=1)
    assert "expected columns of the layout 1, got 2" in message
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "_fastfeed.json").write_text('{"layout": 7, "version": "9.0"}')
    message = convert(tmp_path / "folder", tmp_path / "x.csv", code=1)
    assert message == (
        f"fastfeed: {tmp_path}/folder has layout 7 of fastfeed 9.0, this fastfeed knows layout 1: it needs a "
        "newer fastfeed\n"
    )
    (tmp_path / "folder" / "_fastfeed.json").write_text("[")
    assert "does not describe a recording" in convert(
        tmp_path / "folder", tmp_path / "x.csv", code=1
    )


def test_unfinished_segments_are_told(tmp_path, ticks, convert):
    convert(tmp_path / "ticks.parquet", tmp_path / "rec")
    (tmp_path / "rec" / "_open").mkdir()
    (tmp_path / "rec" / "_open" / "ticks-20260103T000000.0-0000.arrows").write_bytes(b"x")
    message = convert(tmp_path / "rec", tmp_path / "x.csv")
    assert "1 segments of" in message
    assert "fastfeed recover" in message


def large(path, rows):
    """Write a Parquet file with so many ticks, a million at a time."""
    symbols = ff.SymbolTable()
    for name in NAMES:
        symbols.intern(name)
    part = ticks_of(min(rows, 1 << 20))
    with pq.ParquetWriter(path, ff.arrow_schema("ticks"), compression="lz4") as writer:
        for _ in range(rows // len(part)):
            writer.write_table(ff.to_arrow(part, symbols))


MEASURED = """
import resource, sys
from fastfeed.cli.main import cli
def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
for name in "little", "much":
    try:
        cli(["convert", name + ".parquet", "x" + name + sys.argv[1]])
    except SystemExit as end:
        assert not end.code, end.code
    print(most())
"""


@pytest.mark.parametrize("name", [".arrow", ".parquet", ""])
def test_memory_is_bounded(tmp_path, name):
    large(tmp_path / "little.parquet", 1 << 17)
    large(tmp_path / "much.parquet", 3 << 20)  # 192 MiB of rows
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, name],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    little, much = map(int, done.stdout.split())
    assert much - little < 120


class Interrupted:
    """A source that is interrupted after some rows."""

    kinds, done, damage = ("ticks",), None, None

    def __init__(self, symbols):
        self.symbols = symbols

    def parts(self, wanted):
        yield Part("ticks", 10, ticks_of(100_000))
        yield Part("ticks", 10, ticks_of(100))
        raise KeyboardInterrupt


@pytest.mark.parametrize("make", [ArrowTarget, CsvTarget, FolderTarget, ParquetTarget])
def test_nothing_is_left_where_it_is_interrupted(tmp_path, symbols, make):
    target = make(tmp_path / "out", symbols)
    with pytest.raises(KeyboardInterrupt):
        conversion.convert(Interrupted(symbols), target)
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, number):
    large(tmp_path / "in.parquet", 1 << 20)
    with subprocess.Popen(
        [*FASTFEED, "convert", "in.parquet", "a.csv"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        wait_until(lambda: len(names(tmp_path)) > 1 or child.poll() is not None)
        child.send_signal(number)
        _, errors = child.communicate(timeout=20)
    assert child.returncode == 130
    assert errors.endswith("fastfeed: interrupted\n")
    assert names(tmp_path) == ["in.parquet"]


def test_a_full_disk_leaves_nothing(tmp_path):
    large(tmp_path / "in.parquet", 1 << 17)
    limit = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " \
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20)); " \
        "from fastfeed.cli.main import main; main()"  # fmt: skip
    for name in ("a.csv", "a.arrow", "a.parquet", "a"):
        command = [sys.executable, "-c", limit, "convert", "in.parquet", name]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 1
        assert done.stderr == f"fastfeed: cannot write {name}: File too large\n"
        assert names(tmp_path) == ["in.parquet"]


def test_progress_on_a_terminal(tmp_path):
    large(tmp_path / "in.parquet", 1 << 20)
    with terminal("convert", str(tmp_path / "in.parquet"), str(tmp_path / "a.arrow")) as (
        child,
        fd,
    ):
        text = until(fd, " s\r\n", 20)
        child.wait(timeout=10)
    assert child.returncode == 0
    assert "1,048,576 rows in" in text


def test_pyarrow_is_missing(tmp_path):
    (tmp_path / "in.csv").write_text(",".join(FIELDS) + "\n")
    code = "import sys; sys.modules['pyarrow'] = None; from fastfeed.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "convert", "in.csv", "x.parquet"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "fastfeed: Arrow needs the package pyarrow: pip install 'fastfeed[arrow]'\n"
    )
