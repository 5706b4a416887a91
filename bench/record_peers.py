"""The two ends of the benches of recording, each a process of its own.

    record_peers.py write RATE SECONDS      ticks into the hub, so many a second
    record_peers.py tape PATH SPEED         those of a tape, so many times as fast
    record_peers.py take KIND OUT           record them

Each says "ready", begins with a line from stdin, and answers with a line of JSON; takers end with another line.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastfeed as ff
from fastfeed.sim.tape import Tape

HUB = "bench-record"
SYMBOLS = 2000
OPEN_S, CLOSE_S = (
    48_600,
    72_000,
)  # of the US market, in seconds of the day, UTC: what comes before is thin
STEP_NS = 1_000_000
BLOCKS = 32
ROWS = 1 << 17  # that a peer writes together
PANDAS_ROWS = 1 << 20


def answer(found: Any) -> None:
    print(json.dumps(found), flush=True)


def begin() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def sleep_until(due_ns: int) -> None:
    left = due_ns - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)


def new_hub(symbols: list[str]) -> ff.Hub:
    hub = ff.Hub(HUB)
    for symbol in symbols:
        hub.symbols.intern(symbol)
    return hub


def write(rate: str, seconds: str) -> None:
    count, steps = int(rate) * STEP_NS // 1_000_000_000, int(float(seconds) * 1e9) // STEP_NS
    random = np.random.default_rng(1)
    with new_hub([f"S{number}.US" for number in range(SYMBOLS)]) as hub:
        blocks = np.zeros((BLOCKS, count), hub.ticks.dtype)
        blocks["symbol"] = random.integers(0, SYMBOLS, blocks.shape)
        blocks["price"] = np.round(random.normal(100, 1, blocks.shape), 2)
        blocks["volume"] = random.integers(1, 50, blocks.shape) * 100
        blocks["turnover"] = blocks["price"] * blocks["volume"]
        blocks["side"] = random.integers(-1, 2, blocks.shape)
        begin()
        started = time.monotonic_ns()
        for step in range(steps):
            sleep_until(started + step * STEP_NS)
            block, now_ns = blocks[step % BLOCKS], time.time_ns()
            block["seq"] = np.arange(step * count, step * count + count)
            block["recv_ns"], block["time_ns"] = now_ns, now_ns - 2_000_000
            block["gateway_ns"] = now_ns - 500_000
            hub.ticks.ring.write(block.view(np.uint8))
        took = time.monotonic_ns() - started
        answer({"rows": steps * count, "took_ns": took})
        sys.stdin.readline()


def tape(path: str, speed: str) -> None:
    found = Tape.load(path)
    second = found.rows["time_ns"] // 1_000_000_000 % 86_400
    source = found.rows[(second >= OPEN_S) & (second < CLOSE_S)]
    with new_hub(list(found.symbols)) as hub:
        rows = np.zeros(len(source), hub.ticks.dtype)
        for name in ("time_ns", "symbol", "price", "volume", "side"):
            rows[name] = source[name]
        rows["turnover"] = rows["price"] * rows["volume"]
        due = (rows["time_ns"] - rows["time_ns"][0]) // int(speed)
        begin()
        started, at = time.monotonic_ns(), 0
        while at < len(rows):
            sleep_until(started + int(due[at]))
            end = int(np.searchsorted(due, time.monotonic_ns() - started, side="right"))
            for first in range(at, end, 1 << 16):
                part = rows[first : min(first + (1 << 16), end)]
                part["recv_ns"] = time.time_ns()
                hub.ticks.ring.write(part.view(np.uint8))
            at = max(at, end)
        answer({"rows": len(rows), "took_ns": time.monotonic_ns() - started})
        sys.stdin.readline()


class Peer:
    """A reader that makes files in the obvious way, in one thread."""

    def __init__(self, most: int, store: Callable[[Any, ff.AttachedHub], None]) -> None:
        self.hub = ff.attach(HUB, wait="block")
        self.reader = self.hub.ticks.reader()
        self.rows = self.torn = 0
        self._most, self._store = most, store
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        parts: list[Any] = []
        while not self._stopping or self.reader.ready:
            self.reader.wait(0.05)
            rows = self.reader.read().copy()
            if not self.reader.intact():
                self.torn += len(rows)
                continue
            parts.append(rows)
            if (self._stopping and not self.reader.ready) or sum(map(len, parts)) >= self._most:
                whole = np.concatenate(parts)
                parts = []
                if len(whole):
                    self._store(whole, self.hub)
                    self.rows += len(whole)

    def close(self) -> None:
        self._stopping = True
        self._thread.join()
        self.hub.close()

    def lost(self) -> int:
        return self.reader.lost + self.torn


def take_pyarrow(out: Path) -> tuple[Peer, Callable[[], None]]:
    """A list of arrays, a row group for each batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writers: list[Any] = []
    times = ("recv_ns", "time_ns", "gateway_ns")
    names = [name for name in ff.dtype("ticks").names or () if name != "symbol"]

    def store(rows: Any, hub: ff.AttachedHub) -> None:
        columns = [np.ascontiguousarray(rows[name]) for name in names]
        arrays = [
            pa.array(column, pa.timestamp("ns", "UTC") if name in times else None)
            for name, column in zip(names, columns, strict=True)
        ]
        symbols = pa.array(list(hub.symbols), pa.string())
        ids = pa.array(rows["symbol"].astype(np.int32))
        table = pa.table(
            [pa.DictionaryArray.from_arrays(ids, symbols), *arrays], names=["symbol", *names]
        )
        if not writers:
            writers.append(
                pq.ParquetWriter(out / "ticks.parquet", table.schema, compression="zstd")
            )
        writers[0].write_table(table)

    return Peer(ROWS, store), lambda: [writer.close() for writer in writers]  # type: ignore[return-value]


def take_pandas(out: Path) -> tuple[Peer, Callable[[], None]]:
    """A frame and a file for each million of rows."""
    import pandas as pd

    numbers = iter(range(1 << 20))

    def store(rows: Any, hub: ff.AttachedHub) -> None:
        names = np.array(list(hub.symbols))
        frame = pd.DataFrame({name: rows[name] for name in rows.dtype.names})
        frame["symbol"] = pd.Categorical.from_codes(rows["symbol"].astype(np.int32), names)
        frame["recv_ns"] = pd.to_datetime(frame["recv_ns"], utc=True)
        frame.to_parquet(out / f"{next(numbers)}.parquet", compression="zstd")

    return Peer(PANDAS_ROWS, store), lambda: None


def take(kind: str, out: str) -> None:
    before = time.process_time_ns()
    if kind == "fastfeed":
        recording = ff.record(HUB, out)
        begin()
        sys.stdin.readline()
        recording.close()
        stats = recording.stats()
        rows, lost = stats["rows"]["ticks"], stats["lost"]["ticks"] + stats["dropped"]["ticks"]
    else:
        Path(out).mkdir()
        peer, close = {"pyarrow": take_pyarrow, "pandas": take_pandas}[kind](Path(out))
        begin()
        sys.stdin.readline()
        peer.close()
        close()
        rows, lost = peer.rows, peer.lost()
    answer(
        {
            "rows": rows,
            "lost": lost,
            "cpu_ns": time.process_time_ns() - before,
            "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "bytes": sum(path.stat().st_size for path in Path(out).rglob("*.parquet")),
        }
    )


if __name__ == "__main__":
    {"write": write, "tape": tape, "take": take}[sys.argv[1]](*sys.argv[2:])
