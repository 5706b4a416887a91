"""A day of trades through `fastfeed serve` to three processes that read its hub at once: every row, in each."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import process, simulator

TAPE = "us_trades_20131007.csv.gz"
ENOUGH_S = 120.0

#: Attaches, says so, and keeps what it reads until it has so many rows: each batch is copied and then asked for.
READER = """
import sys, time
import numpy as np
import fastfeed as ff

wait, start, count, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
batches, positions = [], []
with ff.attach("md", wait_s=30) as hub:
    reader = hub.ticks.reader(start, wait=wait)
    print("attached", reader.position, flush=True)
    deadline = time.monotonic() + 100
    while reader.position < count and time.monotonic() < deadline:
        if not reader.wait(1.0):
            continue
        before = reader.position
        rows = reader.read()
        batches.append(rows.copy())
        assert reader.intact()
        assert reader.position == before + len(rows)
        positions.append((before, len(rows)))
    reader.wait(0.5)  # one more would show
    batches.append(reader.read().copy())
    assert reader.lost == 0
    rows = np.concatenate(batches)
    np.savez(path, rows=rows, positions=positions, symbols=list(hub.symbols))
"""


def test_every_row_of_the_tape_in_three_readers(samples: Path, shm: Path, tmp_path: Path) -> None:
    path = samples / "data" / TAPE
    if not path.exists():
        pytest.skip(f"no {TAPE} in {path.parent}")
    with gzip.open(path, "rt") as file:
        expected = list(csv.DictReader(file))
    symbols = list(dict.fromkeys(row["symbol"] for row in expected))
    (tmp_path / "symbols.txt").write_text("\n".join(symbols))
    count = len(expected)

    # The tape begins with the subscription: readers are there first, since the simulator is started last.
    with simulator() as (url, gone):
        gone.terminate()
        gone.communicate(timeout=10)
    port = url.rpartition(":")[2]
    config = tmp_path / "feeds.toml"
    config.write_text(f'name = "md"\n[[feeds]]\nurl = "{url}"\nsymbols_file = "symbols.txt"\n')
    readers = []
    with process("serve", "--config", str(config)) as serve:
        assert serve.stdout is not None
        assert serve.stdout.readline().startswith("serving hub md: 0 of 1 feed")
        try:
            for i, (wait, start) in enumerate(
                [("block", "now"), ("hybrid", "oldest"), ("block", "oldest")]
            ):
                arguments = [wait, start, str(count), str(tmp_path / f"{i}.npz")]
                reader = subprocess.Popen(
                    [sys.executable, "-c", READER, *arguments], stdout=subprocess.PIPE, text=True
                )
                readers.append(reader)
            for reader in readers:
                assert reader.stdout is not None
                assert reader.stdout.readline() == "attached 0\n"
            with simulator("--tape", str(path), "--speed", "max", port=port):
                for reader in readers:
                    reader.communicate(timeout=ENOUGH_S)
                    assert reader.returncode == 0
            serve.terminate()
            out, err = serve.communicate(timeout=20)
            assert serve.returncode == 0, err
            assert f"hub md: {count:,} rows in " in out
            assert out.endswith(" 0 rejected.\n")
        finally:
            for reader in readers:
                reader.kill()
                reader.communicate()

    found = [np.load(tmp_path / f"{i}.npz") for i in range(3)]
    for one in found:
        check(one["rows"], one["positions"], one["symbols"].tolist(), expected)
    first = found[0]["rows"]
    for one in found[1:]:
        for field in first.dtype.names:
            assert np.array_equal(one["rows"][field], first[field])
    assert list(shm.iterdir()) == []


def check(
    rows: np.ndarray, positions: np.ndarray, table: list[str], expected: list[dict[str, str]]
) -> None:
    """Compare what a reader got with the tape, row for row."""
    assert len(rows) == len(expected)
    assert positions[0][0] == 0
    assert np.array_equal(positions[1:, 0], np.cumsum(positions[:-1, 1]))  # without a hole
    assert positions[:, 1].sum() == len(rows)
    assert [table[i] for i in rows["symbol"]] == [row["symbol"] for row in expected]
    assert rows["price"].tolist() == [float(row["price"]) for row in expected]
    assert rows["volume"].tolist() == [float(row["volume"]) for row in expected]
    sides = {"buy": 1, "sell": -1, "": 0}
    assert rows["side"].tolist() == [sides[row["side"]] for row in expected]
    microseconds = [round(int(row["time_ns"]) / 1000) * 1000 for row in expected]
    assert rows["time_ns"].tolist() == microseconds
    assert np.all(rows["flags"] == 0)
    assert np.all(rows["recv_ns"] > 0)
    for i in range(len(table)):
        assert np.all(np.diff(rows["seq"][rows["symbol"] == i]) > 0)  # none doubled
