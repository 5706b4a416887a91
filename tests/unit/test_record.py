"""Recording: what is in the folder afterwards, whatever happened meanwhile."""

import errno
import json
import os
import threading
import time

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from recorder import hub_of, put, ticks
from row_samples import rows_like
from waiting import wait_until

import fastfeed as ff
from fastfeed.sinks import record as record_module
from fastfeed.sinks import segments as segments_module
from fastfeed.sinks.arrow import rows_of

pq = pytest.importorskip("pyarrow.parquet")
pa = pytest.importorskip("pyarrow")

DAY_NS = 86_400_000_000_000
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2  # 2024-10-04


def files(out, kind="ticks"):
    return sorted((out / f"kind={kind}").rglob("*.parquet"))


def recorded(out, symbols, kind="ticks"):
    """Return the rows of a folder, in the order of the files."""
    parts = [rows_of(pq.read_table(path, partitioning=None), symbols) for path in files(out, kind)]
    return np.concatenate(parts) if parts else np.zeros(0, ff.dtype(kind))


def same(rows, others):
    """Return whether rows are the same bit for bit."""
    names = rows.dtype.names
    return len(rows) == len(others) and all(
        np.ascontiguousarray(rows[name]).tobytes() == np.ascontiguousarray(others[name]).tobytes()
        for name in names
    )


def random_rows(kind, count, depth=10):
    rows = rows_like(kind, count, symbols=3, depth=depth)
    rows["recv_ns"] = NOON_NS + np.arange(count)
    return rows


@pytest.mark.parametrize(
    "kind", ["ticks", "quotes", "books", "odd_books", "bars", "timeshare", "brokers"]
)
def test_every_kind_comes_back_bit_for_bit(tmp_path, kind):
    hub = hub_of()
    rows = random_rows(kind, 40)
    with ff.record(hub, tmp_path, kind) as recording:
        hub.stream(kind).ring.write(rows.view(np.uint8))
    assert recording.stats()["rows"] == {kind: 40}
    assert same(rows, recorded(tmp_path, hub.symbols, kind))
    [path] = files(tmp_path, kind)
    assert path.parent.name == "date=2024-10-04"
    assert not (tmp_path / "_open").exists()
    schema = pq.read_schema(path)
    assert schema.field("recv_time").metadata[b"unit"]
    assert pa.types.is_dictionary(schema.field("symbol").type)
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.statistics.has_min_max


def test_depth_of_books_and_bars_of_any_length(tmp_path):
    hub = hub_of(book_depth=3)
    rows = random_rows("books", 5, depth=3)
    with ff.record(hub, tmp_path, "books", "bars:1m", "bars:5m") as recording:
        hub.books.ring.write(rows.view(np.uint8))
    assert recording.stats()["rows"] == {"books": 5, "bars": 0}
    table = pq.read_table(files(tmp_path, "books")[0], partitioning=None)
    assert table.schema.field("bid_price").type.list_size == 3
    assert same(rows, rows_of(table, hub.symbols))


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=30),
    st.sampled_from([0.0, 0.002, 10.0]),
    st.sampled_from([1, 5000, 1 << 20]),
    st.sampled_from([1, 7, 1 << 20]),
)
def test_rows_are_those_written_in_order(tmp_path_factory, pieces, flush_s, segment_bytes, group):
    out = tmp_path_factory.mktemp("record")
    hub = hub_of(capacity=4096)
    options = {"flush_s": flush_s, "segment_bytes": segment_bytes, "row_group_rows": group}
    number, written = 0, []
    with ff.record(hub, out, **options) as recording:
        for count in pieces:
            rows = ticks(number, count, NOON_NS + number)
            number += count
            put(hub, rows)
            written.append(rows)
    found = recording.stats()
    assert found["rows"] == {"ticks": number}
    assert found["lag_rows"] == found["segments"] == 0
    assert found["sealed"] == len(files(out))
    assert same(np.concatenate(written), recorded(out, hub.symbols))
    for path in files(out):
        metadata = pq.ParquetFile(path).metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert max(sizes) <= group


def test_a_day_has_a_folder_of_its_own(tmp_path):
    hub = hub_of()
    midnight = 20_000 * DAY_NS
    rows = ticks(0, 6, midnight)
    rows["recv_ns"] = midnight + np.array([-2, -1, 0, -1, 1, DAY_NS])
    with ff.record(hub, tmp_path, flush_s=0):
        put(hub, rows)
    dates = {path.parent.name: pq.read_table(path)["seq"].to_pylist() for path in files(tmp_path)}
    assert dates == {
        "date=2024-10-03": [0, 1, 3],
        "date=2024-10-04": [2, 4],
        "date=2024-10-05": [5],
    }


def test_segments_of_days_that_are_over_are_sealed(tmp_path, monkeypatch):
    monkeypatch.setattr(record_module, "_LATE_S", 0.0)
    hub = hub_of()
    with ff.record(hub, tmp_path, flush_s=0) as recording:
        put(hub, ticks(0, 5, NOON_NS))
        wait_until(lambda: recording.stats()["rows"]["ticks"] == 5)
        assert not files(tmp_path)
        put(hub, ticks(5, 5, NOON_NS + DAY_NS))
        wait_until(lambda: files(tmp_path))
        assert files(tmp_path)[0].parent.name == "date=2024-10-04"


def test_old_segments_are_sealed(tmp_path):
    hub = hub_of()
    with ff.record(hub, tmp_path, flush_s=0, segment_s=0.05) as recording:
        put(hub, ticks(0, 5, NOON_NS))
        wait_until(lambda: recording.stats()["sealed"] == 1)
        assert recording.stats()["segments"] == 0


def test_dictionary_has_what_occurs(tmp_path):
    hub = hub_of(symbols=500)
    with ff.record(hub, tmp_path, flush_s=0):
        for number in range(3):
            put(hub, ticks(0, 2, NOON_NS, symbols=2))
            hub.symbols.intern(f"late{number}.HK")
            rows = ticks(2, 1, NOON_NS)
            rows["symbol"] = len(hub.symbols) - 1
            put(hub, rows)
    column = pq.read_table(files(tmp_path)[0])["symbol"]
    assert column.chunk(0).dictionary.to_pylist() == [
        "0.HK",
        "1.HK",
        "late0.HK",
        "late1.HK",
        "late2.HK",
    ]
    found = pq.ParquetFile(files(tmp_path)[0]).metadata.row_group(0).column(0)
    assert found.has_dictionary_page
    assert (found.statistics.min, found.statistics.max) == ("0.HK", "late2.HK")


def test_only_symbols_that_are_wanted(tmp_path):
    hub = hub_of()
    with ff.record(hub, tmp_path, symbols=["HK.00001", "late.HK"], flush_s=0) as recording:
        put(hub, ticks(0, 9, NOON_NS))
        hub.symbols.intern("late.HK")
        put(hub, ticks(9, 8, NOON_NS, symbols=4))
    seqs = recorded(tmp_path, hub.symbols)["seq"].tolist()
    assert seqs == [1, 4, 7, 9, 11, 13, 15]
    assert recording.stats()["lost"] == {"ticks": 0}


def test_rows_that_were_overwritten_are_counted(tmp_path, monkeypatch):
    hub = hub_of(capacity=64)
    entered, release = threading.Event(), threading.Event()
    usual = segments_module.Segment.write

    def slow(segment, batch):
        entered.set()
        assert release.wait(20)
        usual(segment, batch)

    monkeypatch.setattr(segments_module.Segment, "write", slow)
    with ff.record(hub, tmp_path, flush_s=0) as recording:
        put(hub, ticks(0, 1, NOON_NS))
        assert entered.wait(20)
        # The disk hangs: whoever publishes does not notice.
        for number in range(10):
            put(hub, ticks(1 + number * 30, 30, NOON_NS))
        assert recording.stats()["lag_rows"] > 0
        release.set()
        wait_until(lambda: not recording.stats()["lag_rows"])
    found = recording.stats()
    seqs = recorded(tmp_path, hub.symbols)["seq"].tolist()
    assert found["lost"]["ticks"] == 301 - len(seqs) >= 200
    assert seqs == [0, *range(301 - len(seqs) + 1, 301)]


def test_torn_rows_are_not_written(tmp_path, monkeypatch):
    hub = hub_of(capacity=64)
    usual = record_module.ArrowRows.batch
    done = []

    def overtaken(arrow, rows):
        batch = usual(arrow, rows)
        if not done:
            done.append(len(rows))
            put(hub, ticks(20, 50, NOON_NS))  # six of the ring's first rows are others now
        return batch

    monkeypatch.setattr(record_module.ArrowRows, "batch", overtaken)
    recording = ff.record(hub, tmp_path, flush_s=60)
    put(hub, ticks(0, 20, NOON_NS))
    recording.close()
    seqs = recorded(tmp_path, hub.symbols)["seq"].tolist()
    assert done == [20]
    assert recording.stats()["lost"]["ticks"] == 6
    assert seqs[:14] == [*range(6, 20)]


def test_recorder_that_fails_says_so_and_keeps_what_it_had(tmp_path, monkeypatch):
    hub, said = hub_of(), []
    usual = record_module.ArrowRows.batch
    with ff.record(hub, tmp_path, flush_s=0, tell=said.append) as recording:
        put(hub, ticks(0, 5, NOON_NS))
        wait_until(lambda: recording.stats()["rows"]["ticks"] == 5)
        monkeypatch.setattr(record_module.ArrowRows, "batch", lambda *_: 1 / 0)
        put(hub, ticks(5, 5, NOON_NS))
        wait_until(lambda: said)
        monkeypatch.setattr(record_module.ArrowRows, "batch", usual)
        wait_until(lambda: files(tmp_path))
        put(hub, ticks(10, 5, NOON_NS))
    found = recording.stats()
    assert "the recorder has failed: ZeroDivisionError" in found["failing"]
    assert (found["rows"], found["dropped"]) == ({"ticks": 5}, {"ticks": 10})
    assert recorded(tmp_path, hub.symbols)["seq"].tolist() == [*range(5)]


def test_second_recorder_is_refused(tmp_path):
    hub = hub_of()
    with ff.record(hub, tmp_path):
        with pytest.raises(ff.StorageError, match=f"in use: process {os.getpid()} "):
            ff.record(hub, tmp_path)
        with pytest.raises(ff.StorageError, match="in use"):
            ff.recover(tmp_path)
    assert ff.recover(tmp_path) == []
    ff.record(hub, tmp_path).close()


@pytest.mark.parametrize("text", ['{"layout":2,"version":"9.9"}', "{}", "[", "", '{"layout":"1"}'])
def test_other_layouts_are_refused(tmp_path, text):
    (tmp_path / "_fastfeed.json").write_text(text)
    match = "needs a newer fastfeed" if "9.9" in text else "does not describe a recording"
    for refused in (lambda: ff.record(hub_of(), tmp_path), lambda: ff.recover(tmp_path)):
        with pytest.raises(ff.StorageError, match=match):
            refused()
    assert [path.name for path in tmp_path.iterdir()] == ["_fastfeed.json"]


def test_folders_of_something_else_are_refused(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(ff.StorageError, match=r"not empty \(letters.txt is there\)"):
        ff.record(hub_of(), tmp_path)
    with pytest.raises(ff.StorageError, match="is no recording"):
        ff.recover(tmp_path)
    with pytest.raises(ff.StorageError, match="cannot use the folder"):
        ff.record(hub_of(), tmp_path / "letters.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


@pytest.mark.parametrize(
    "options",
    [{"flush_s": -1}, {"flush_s": float("nan")}, {"segment_bytes": 0}, {"row_group_rows": 0},
     {"compression": "best"}, {"symbols": []}],
)  # fmt: skip
def test_wrong_options(tmp_path, options):
    with pytest.raises(ff.ConfigError, match="expected"):
        ff.record(hub_of(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_wrong_kinds(tmp_path):
    for kind in ("trades", "ticks:1m", ""):
        with pytest.raises(ff.ConfigError, match="expected a kind"):
            ff.record(hub_of(), tmp_path, kind)


async def _use(hub, out):
    async with ff.record(hub, out) as recording:
        put(hub, ticks(0, 3, NOON_NS))
    return recording


def test_async_with(tmp_path):
    hub = hub_of()
    recording = ff.run(_use(hub, tmp_path))
    assert len(recorded(tmp_path, hub.symbols)) == 3
    assert "3 rows, closed" in repr(recording)
    recording.close()


def test_ended_with_the_hub(tmp_path):
    hub = hub_of()
    with ff.record(hub, tmp_path, flush_s=0) as recording:
        put(hub, ticks(0, 3, NOON_NS))
        assert not recording.ended
        hub.close()
        wait_until(lambda: recording.ended)
        assert recording.stats()["rows"] == {"ticks": 3}


def test_next_generation_begins_new_segments(tmp_path, shm):
    hub = hub_of(name="md")
    with ff.record("md", tmp_path, "ticks", "books", flush_s=60) as recording:
        put(hub, ticks(0, 10, NOON_NS))
        hub.close()
        after = ff.Hub("md", book_depth=2)
        after.symbols.intern("other.HK")
        put(after, ticks(10, 5, NOON_NS, symbols=1))
        after.books.ring.write(np.zeros(1, ff.dtype("books", 2)).view(np.uint8))
        wait_until(lambda: recording.stats()["sealed"] == 1)
        wait_until(lambda: recording.stats()["lag_rows"] == 6)
        put(after, ticks(15, 5, NOON_NS, symbols=1))
    after.close()
    assert recording.stats()["lost"] == {"ticks": 0, "books": 0}
    tables = [pq.read_table(path, partitioning=None) for path in files(tmp_path)]
    assert [table["seq"].to_pylist() for table in tables] == [[*range(10)], [*range(10, 20)]]
    assert tables[1]["symbol"].unique().to_pylist() == ["other.HK"]
    [books] = files(tmp_path, "books")
    assert pq.read_schema(books).field("bid_price").type.list_size == 2


def test_what_the_next_generation_has_is_written_at_the_end(tmp_path, shm):
    hub = hub_of(name="md")
    attached = ff.attach("md")
    recording = ff.record(attached, tmp_path, flush_s=60)
    put(hub, ticks(0, 4, NOON_NS))
    hub.close()
    with hub_of(name="md") as after:
        put(after, ticks(4, 4, NOON_NS))
        wait_until(lambda: attached.look() and attached.generation == after.stats()["generation"])
        recording.close()
    assert recorded(tmp_path, hub.symbols)["seq"].tolist() == [*range(8)]
    attached.close()


def test_recorder_is_seen_among_the_readers(tmp_path, shm):
    with hub_of(name="md") as hub, ff.record("md", tmp_path, flush_s=0) as recording:
        put(hub, ticks(0, 10, NOON_NS))
        wait_until(lambda: recording.stats()["rows"]["ticks"] == 10)
        [reader] = hub.stats()["readers"]
        assert (reader["stream"], reader["position"], reader["lost"]) == ("ticks", 10, 0)


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ff.ConfigError, match=r"pip install 'fastfeed\[arrow\]'"):
        ff.record(hub_of(), tmp_path)


def test_description(tmp_path):
    ff.record(hub_of(), tmp_path).close()
    found = json.loads((tmp_path / "_fastfeed.json").read_text())
    assert found["layout"] == 1
    assert time.time() - (tmp_path / "_fastfeed.json").stat().st_mtime < 600


def test_a_segment_that_cannot_be_sealed_does_not_hold_up_the_others(tmp_path, monkeypatch):
    def unless_bad(folder, path, options, *, checks):
        if path.name.startswith("ticks"):
            raise OSError(errno.EIO, "bad")
        return seal(folder, path, options, checks=checks)

    hub, out, told = hub_of(), tmp_path / "out", []
    seal = record_module.seal
    monkeypatch.setattr(record_module, "seal", unless_bad)
    monkeypatch.setattr(record_module, "_SEAL_AGAIN_S", 0.01)
    with ff.record(
        hub, out, "ticks", "books", flush_s=0, segment_bytes=1, tell=told.append
    ) as recording:
        put(hub, ticks(0, 1, NOON_NS))
        wait_until(lambda: recording.stats()["failing"])
        put(hub, random_rows("books", 1))
        wait_until(lambda: files(out, "books"))
        assert recording.stats()["failing"] == os.strerror(errno.EIO)
    assert len([text for text in told if "cannot make a Parquet file" in text]) == 1
    assert told[-1].startswith("1 open segments are left")
    assert told[-1].endswith(os.strerror(errno.EIO))
