"""Open segments that were left behind: torn, damaged, half sealed."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from recorder import hub_of, put, ticks
from waiting import wait_until

import fastfeed as ff
from fastfeed.cli.main import cli

pq = pytest.importorskip("pyarrow.parquet")

NOON_NS = 1_728_043_200_000_000_000
BATCH = 10


def seqs(out):
    """Return the numbers of all rows in Parquet files."""
    paths = sorted(out.rglob("*.parquet"))
    return [seq for path in paths for seq in pq.read_table(path)["seq"].to_pylist()]


def left_open(out):
    return (
        sorted(path.name for path in (out / "_open").iterdir()) if (out / "_open").exists() else []
    )


@pytest.fixture(scope="module")
def segment(tmp_path_factory):
    """Return a segment of three batches as bytes, its name, and where the batches end."""
    out = tmp_path_factory.mktemp("segment")
    hub, ends = hub_of(), []
    with ff.record(hub, out, flush_s=0) as recording:
        for number in range(3):
            put(hub, ticks(number * BATCH, BATCH, NOON_NS))
            wait_until(lambda: recording.stats()["rows"]["ticks"] == (number + 1) * BATCH)  # noqa: B023
            [path] = (out / "_open").glob("*.arrows")
            ends.append(path.stat().st_size)
        data = path.read_bytes()
    return path.name, data, ends


@pytest.fixture
def out(tmp_path):
    """Return an empty recording."""
    ff.record(hub_of(), tmp_path).close()
    (tmp_path / "_open").mkdir()
    return tmp_path


def test_segment_is_read_up_to_its_torn_end(segment, out):
    name, data, ends = segment
    places = {0, 1, 7, 8, 100, *(end + step for end in ends for step in (-9, -1, 0, 1, 4, 8, 60))}
    for at in sorted(place for place in places if 0 <= place <= len(data)):
        (out / "_open").mkdir(exist_ok=True)
        (out / "_open" / name).write_bytes(data[:at])
        whole = sum(end <= at for end in ends)
        [found] = ff.recover(out)
        assert (found.rows, found.damage) == (whole * BATCH, "")
        assert found.cut_bytes == at - (ends[whole - 1] if whole else 0)
        assert (found.path is not None) == bool(whole)
        assert seqs(out) == [*range(whole * BATCH)]
        assert left_open(out) == []
        assert ff.recover(out) == []
        shutil.rmtree(out / "kind=ticks", ignore_errors=True)


def test_damage_is_told_and_what_is_damaged_is_kept(segment, out):
    name, data, ends = segment
    for bad in (bytes(16), b"\xff" * 4 + b"\x10\x00\x00\x00" + b"\xee" * 16):
        damaged = data[: ends[0]] + bad + data[ends[0] + len(bad) :]
        (out / "_open").mkdir(exist_ok=True)
        (out / "_open" / name).write_bytes(damaged)
        [found] = ff.recover(out)
        assert found.rows == BATCH
        assert found.damage
        kept = (out / "_open" / name).with_suffix(".damaged")
        assert kept.read_bytes() == damaged
        assert seqs(out) == [*range(BATCH)]
        assert ff.recover(out) == []
        kept.unlink()
        shutil.rmtree(out / "kind=ticks")


def test_any_damage_gives_whole_batches_or_fewer(segment, out):
    name, data, _ = segment
    generator = np.random.default_rng(3)
    for place in generator.integers(0, len(data), 40).tolist():
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(generator.integers(0, 8))
        (out / "_open").mkdir(exist_ok=True)
        (out / "_open" / name).write_bytes(damaged)
        [found] = ff.recover(out)
        assert found.rows % BATCH == 0
        assert len(seqs(out)) == found.rows
        assert found.rows == 3 * BATCH or found.cut_bytes > 0
        shutil.rmtree(out / "kind=ticks", ignore_errors=True)
        for path in (out / "_open").glob("*.damaged"):
            path.unlink()


def test_half_sealed_segments(segment, out):
    name, data, _ = segment
    opened = out / "_open"
    (opened / name).write_bytes(data)
    [first] = ff.recover(out)
    parquet = first.path.read_bytes()
    assert first.path.stem == name.removesuffix(".arrows")
    for made in (b"", parquet[:100], parquet):  # not begun, half, whole and not renamed
        first.path.unlink()
        opened.mkdir(exist_ok=True)
        (opened / name).write_bytes(data)
        if made:
            (opened / name).with_suffix(".part").write_bytes(made)
        [found] = ff.recover(out)
        assert (found.path, found.rows, found.was_there) == (first.path, 3 * BATCH, False)
        assert seqs(out) == [*range(3 * BATCH)]
        assert left_open(out) == []
    # Renamed, and the segment not removed: it may not come twice.
    opened.mkdir()
    (opened / name).write_bytes(data)
    [found] = ff.recover(out)
    assert (found.path, found.rows, found.was_there) == (first.path, 3 * BATCH, True)
    assert seqs(out) == [*range(3 * BATCH)]
    assert left_open(out) == []


def test_next_recorder_finishes_what_was_left(segment, out):
    name, data, ends = segment
    (out / "_open" / name).write_bytes(data[: ends[1] + 5])
    hub = hub_of()
    with ff.record(hub, out, flush_s=0) as recording:
        put(hub, ticks(100, 5, NOON_NS))  # begins at the same time as those
        wait_until(lambda: recording.recovered)
        [found] = recording.recovered
        assert (found.rows, found.cut_bytes) == (20, 5)
    assert seqs(out) == [*range(20), *range(100, 105)]
    assert left_open(out) == []


def test_leftovers_that_cannot_be_sealed_do_not_hold_up_the_others(segment, out, capfd):
    name, data, _ = segment
    other = name.replace("20241004", "20241005")
    (out / "_open" / name).write_bytes(data)
    (out / "_open" / other).write_bytes(data)
    (out / "kind=ticks").mkdir()
    (out / "kind=ticks/date=2024-10-04").write_text("in the way")
    with pytest.raises(SystemExit) as left:
        cli.main(["recover", str(out)], prog_name="fastfeed")
    assert left.value.code == 1
    output, errors = capfd.readouterr()
    assert errors == f"fastfeed: cannot finish {out / '_open' / name}: File exists\n"
    assert output.splitlines()[1:] == [f"{out}: 30 rows of 1 segment."]
    assert seqs(out) == [*range(30)]
    [found] = ff.recover(out)
    assert (found.path, found.failure) == (None, "File exists")
    assert left_open(out) == [name]
    (out / "kind=ticks/date=2024-10-04").unlink()
    assert len(ff.recover(out)) == 1
    assert seqs(out) == [*range(30)] * 2


def test_a_parquet_file_that_is_damaged_is_told(segment, out):
    name, data, _ = segment
    (out / "_open" / name).write_bytes(data)
    folder = out / "kind=ticks/date=2024-10-04"
    folder.mkdir(parents=True)
    (folder / name).with_suffix(".parquet").write_bytes(b"PAR1 cut off")
    [found] = ff.recover(out)
    assert found.failure
    assert left_open(out) == [name]


def test_options_that_cannot_be_are_refused_before_anything_is_touched(segment, out):
    name, data, _ = segment
    (out / "_open" / name).write_bytes(data)
    with pytest.raises(ff.ConfigError, match=r"expected a compression .*, got 'zip'"):
        ff.recover(out, compression="zip")
    with pytest.raises(ff.ConfigError, match="expected row_group_rows of at least 1, got 0"):
        ff.recover(out, row_group_rows=0)
    assert left_open(out) == [name]


SEALS = """
import sys
import fastfeed as ff
from recorder import hub_of, put, ticks
hub = hub_of()
with ff.record(hub, sys.argv[1]) as recording:
    rows = ticks(0, 100, 1)
    rows["recv_ns"][50:] = 86_400 * 10**9  # another day
    put(hub, rows)
assert recording.stats()["sealed"] == 2
print("pandas" in sys.modules)
"""


def test_no_package_is_imported_while_rows_are_taken(tmp_path):
    pytest.importorskip("pandas")
    arguments = [sys.executable, "-c", SEALS, str(tmp_path / "out")]
    here = Path(__file__).parents[1] / "helpers"
    done = subprocess.run(
        arguments, cwd=here, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_files_with_other_names_are_left_alone(out):
    for name in ("notes.txt", "ticks-x.arrows", "trades-20241004T120000.000000000-0000.arrows"):
        (out / "_open" / name).write_text("mine")
    assert ff.recover(out) == []
    assert len(left_open(out)) == 3
