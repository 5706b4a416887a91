"""Rows to Arrow, pandas, polars and Parquet: rows a second, beside what one writes by hand with these libraries.

A million ticks of two thousand symbols that lie as in a ring, a third of them without the gateway's time. All make
the same columns: the symbol as text, times as timestamps that know what is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastfeed as ff
from fastfeed.sinks.arrow import ArrowRows, parquet_options

ROWS = 1_000_000
BATCH = 1 << 16
SYMBOLS = 2000
ROUNDS = 15
START = 1_767_400_000_000_000_000
TIMES = {"recv_ns": "recv_time", "time_ns": "time", "gateway_ns": "gateway_time"}


@cache
def sample() -> tuple[Any, ff.SymbolTable]:
    random = np.random.default_rng(7)
    symbols = ff.SymbolTable()
    for number in range(SYMBOLS):
        symbols.intern(f"{number}.HK")
    rows = np.zeros(ROWS, ff.dtype("ticks"))
    rows["recv_ns"] = START + np.arange(ROWS) * 1000
    rows["time_ns"] = rows["recv_ns"] // 1_000_000 * 1_000_000
    rows["gateway_ns"][::3] = rows["recv_ns"][::3] - 200_000
    rows["seq"] = np.arange(ROWS)
    rows["price"] = random.integers(1000, 50_000, ROWS) / 100
    rows["volume"] = random.integers(1, 100, ROWS) * 100
    rows["turnover"] = rows["price"] * rows["volume"]
    rows["symbol"] = random.integers(0, SYMBOLS, ROWS)
    rows["side"] = random.integers(-1, 2, ROWS)
    rows["session"] = 1
    rows.flags.writeable = False
    return rows, symbols


def fastfeed_batches() -> list[Any]:
    rows, symbols = sample()
    maker = ArrowRows("ticks", symbols)
    return [maker.batch(rows[start : start + BATCH]) for start in range(0, ROWS, BATCH)]


def pyarrow_by_hand() -> Any:
    import pyarrow as pa

    rows, symbols = sample()
    columns = {}
    for name in rows.dtype.names:
        if name == "symbol":
            codes = pa.array(rows[name].astype(np.int32))
            columns[name] = pa.DictionaryArray.from_arrays(codes, list(symbols))
        elif name in TIMES:
            times = rows[name].astype("M8[ns]")
            columns[TIMES[name]] = pa.array(
                times, pa.timestamp("ns", tz="UTC"), mask=rows[name] == 0
            )
        else:
            columns[name] = pa.array(rows[name])
    return pa.table(columns)


def pandas_by_hand() -> Any:
    import pandas as pd

    rows, symbols = sample()
    frame = pd.DataFrame(rows)
    frame["symbol"] = pd.Categorical.from_codes(frame["symbol"], list(symbols))
    for field in TIMES:
        frame[field] = pd.to_datetime(frame[field].where(frame[field] != 0), utc=True)
    return frame.rename(columns=TIMES)


def polars_by_hand() -> Any:
    import polars as pl

    rows, symbols = sample()
    names = pl.Series(list(symbols))
    return pl.DataFrame(rows).with_columns(
        names.gather(pl.Series(rows["symbol"])).cast(pl.Categorical).alias("symbol"),
        *(
            pl.when(pl.col(field) != 0)
            .then(pl.col(field))
            .cast(pl.Datetime("ns", "UTC"))
            .alias(name)
            for field, name in TIMES.items()
        ),
    )


CANDIDATES: dict[str, dict[str, tuple[str, Callable[[], Any]]]] = {
    "ticks to Arrow": {
        "fastfeed": ("pyarrow", lambda: ff.to_arrow(*sample())),
        "fastfeed, batches of 65,536": ("pyarrow", fastfeed_batches),
        "pyarrow by hand": ("pyarrow", pyarrow_by_hand),
    },
    "ticks to pandas": {
        "fastfeed": ("pandas", lambda: ff.to_pandas(*sample())),
        "pandas by hand": ("pandas", pandas_by_hand),
    },
    "ticks to polars": {
        "fastfeed": ("polars", lambda: ff.to_polars(*sample())),
        "polars by hand": ("polars", polars_by_hand),
    },
}


@pytest.mark.parametrize(
    ("table", "name"), [(t, n) for t, rows in CANDIDATES.items() for n in rows]
)
def test_columns(rounds_of: Any, report: Any, table: str, name: str) -> None:
    package, make = CANDIDATES[table][name]
    pytest.importorskip(package)
    assert sum(map(len, made) if isinstance(made := make(), list) else [len(made)]) == ROWS
    seconds = rounds_of(make, rounds=ROUNDS, group=table)
    report.add(table, name, **{"rows/s": [ROWS / each for each in seconds]})


PARQUET: dict[str, tuple[str, Callable[[str], object]]] = {
    "fastfeed": ("pyarrow", lambda path: as_fastfeed(ff.to_arrow(*sample()), path)),
    "pyarrow by hand": ("pyarrow", lambda path: _write(pyarrow_by_hand(), path)),
    "pandas by hand": ("pandas", lambda path: pandas_by_hand().to_parquet(path, compression="zstd")),
    "polars by hand": ("polars", lambda path: polars_by_hand().write_parquet(path, compression="zstd")),
}  # fmt: skip


def as_fastfeed(table: Any, path: str) -> None:
    _write(table, path, **parquet_options(table.schema))


def _write(table: Any, path: str, compression: str = "zstd", **options: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression=compression, **options)


@pytest.mark.parametrize("name", PARQUET)
def test_parquet(rounds_of: Any, report: Any, tmp_path: Path, name: str) -> None:
    package, write = PARQUET[name]
    pytest.importorskip(package)
    path = tmp_path / "ticks.parquet"
    table = "ticks to Parquet, zstd"
    seconds = rounds_of(lambda: write(str(path)), rounds=5, group=table, warmup=1)
    figures = {
        "rows/s": [ROWS / each for each in seconds],
        "bytes/row": path.stat().st_size / ROWS,
    }
    report.add(table, name, **figures)
