"""From a hub in shared memory into Parquet files: how many rows a second without losing any, and at what cost.

The writer publishes at a fixed rate, a batch each millisecond, into a ring of the usual size; the recorder is
another process. Processor time is all that it takes until its files are closed, as a share of the time of
publishing. Peers read the same hub in the same way, and write the same columns as one does at first.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from children import Process

PROGRAM = str(Path(__file__).parent / "record_peers.py")
SECONDS = 4
RATES = (2_000_000, 4_000_000, 6_000_000)
PEER_RATE = 2_000_000
#: Name in the report, kind in record_peers.py, rate.
CANDIDATES = (
    *(("fastfeed", "fastfeed", rate) for rate in RATES),
    ("pyarrow.ParquetWriter, from arrays", "pyarrow", PEER_RATE),
    ("pandas.to_parquet", "pandas", PEER_RATE),
)
SPEED = 1000
TABLE = "record to Parquet"


def recorded(kind: str, out: Path, *writing: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a writer with a recorder; return what each says."""
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("FASTFEED_SHM", "/dev/shm")
        writer = Process(sys.executable, "-P", PROGRAM, *writing)
        stack.callback(writer.end)
        assert writer.line() == "ready"
        taker = Process(sys.executable, "-P", PROGRAM, "take", kind, str(out))
        stack.callback(taker.end)
        assert taker.line() == "ready"
        taker.send(b"\n")
        writer.send(b"\n")
        wrote = writer.result()
        taker.send(b"\n")
        took = taker.result()
    return wrote, took


def row_of(wrote: dict[str, Any], took: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a run."""
    seconds = wrote["took_ns"] / 1e9
    assert took["rows"] + took["lost"] == wrote["rows"]
    return {
        "rows/s": took["rows"] / seconds,
        "published/s": wrote["rows"] / seconds,
        "lost": took["lost"],
        "CPU %": took["cpu_ns"] / wrote["took_ns"] * 100,
        "peak MiB": took["peak_kib"] / 1024,
        "bytes/row": took["bytes"] / max(took["rows"], 1),
    }


def test_recording(benchmark: Any, report: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rows: dict[str, dict[str, float]] = {}

    def all_candidates() -> None:
        for name, kind, rate in CANDIDATES:
            if kind == "pandas":
                pytest.importorskip("pandas")
            shown = f"{name}, {rate / 1e6:g} M/s"
            out = tmp_path / shown.replace("/", " ")
            rows[shown] = row_of(*recorded(kind, out, "write", str(rate), str(SECONDS)))

    benchmark.group = "recording, the whole run"
    benchmark.pedantic(all_candidates, rounds=1)
    for name, row in rows.items():
        benchmark.extra_info[name] = row
        report.add(TABLE, name, **row)


def test_tape(benchmark: Any, report: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    folder = os.environ.get("FASTFEED_TEST_DATA")
    beside = Path(__file__).resolve().parents[2] / "shared"
    path = Path(folder) if folder else beside
    path = path / "data" / "us_trades_20131007.csv.gz"
    if not path.exists():
        pytest.skip(f"there is no tape {path}: set FASTFEED_TEST_DATA")
    rows: dict[str, float] = {}

    def play() -> None:
        rows.update(row_of(*recorded("fastfeed", tmp_path / "out", "tape", str(path), str(SPEED))))

    benchmark.group = "recording, the whole run"
    benchmark.pedantic(play, rounds=1)
    report.add(f"{TABLE}, the US tape at {SPEED:,} times real time", "fastfeed", **rows)
