"""Rows as tables of pandas, polars and Arrow."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from row_samples import rows_like

import fastfeed as ff
from fastfeed.schema import STREAMS
from fastfeed.sinks.columns import columns_of

NS = 1_767_400_000_123_456_789  # 2026-01-03 00:26:40.123456789 UTC


@pytest.fixture
def symbols():
    table = ff.SymbolTable()
    for name in ("700.HK", "AAPL.US", "BTCUSDT", "9988.HK", "USDJPY"):
        table.intern(name)
    return table


@pytest.fixture
def ticks():
    rows = np.zeros(6, ff.dtype("ticks"))
    rows["recv_ns"] = NS + np.arange(6)
    rows["time_ns"][1:] = NS - 1
    rows["symbol"] = [1, 3, 1, 1, 3, 1]
    rows["price"] = [1.5, 2.5, np.nan, 4.5, 5.5, 6.5]
    rows["side"] = [1, -1, 0, 1, 1, 1]
    rows["seq"] = -1
    rows["kind"] = 7
    return rows


def address(array):
    return array.__array_interface__["data"][0]


def test_pandas(ticks, symbols):
    frame = ff.to_pandas(ticks, symbols)
    assert list(frame.columns) == [
        *("symbol", "recv_time", "time", "gateway_time", "seq", "price", "volume", "turnover"),
        *("side", "type", "session", "flags"),
    ]
    assert frame["symbol"].tolist() == [symbols[i] for i in ticks["symbol"]]
    assert frame["symbol"].cat.categories.tolist() == ["AAPL.US", "9988.HK"]
    assert str(frame.dtypes["recv_time"]) == "datetime64[ns, UTC]"
    assert frame["recv_time"].iloc[5] == pd.Timestamp(NS + 5, tz="UTC")
    assert frame["time"].isna().tolist() == [True] + [False] * 5
    assert frame["gateway_time"].isna().all()
    assert frame.dtypes["price"] == np.float64
    assert frame.dtypes["side"] == np.int8
    assert np.isnan(frame["price"].iloc[2])
    assert frame["side"].tolist() == [1, -1, 0, 1, 1, 1]
    assert set(frame["type"]) == {7}
    mean = frame.groupby("symbol", observed=True)["price"].mean()
    assert mean["9988.HK"] == 4.0


def test_pandas_in_a_market_s_time(ticks, symbols):
    frame = ff.to_pandas(ticks, symbols, tz="Asia/Hong_Kong")
    assert str(frame.dtypes["recv_time"]) == "datetime64[ns, Asia/Hong_Kong]"
    assert frame["recv_time"].iloc[0] == pd.Timestamp(NS, tz="UTC")
    assert frame["recv_time"].iloc[0].hour == 8
    assert frame["time"].isna().tolist() == [True] + [False] * 5


@pytest.mark.parametrize("stream", STREAMS)
def test_pandas_of_every_stream(stream, symbols):
    rows = rows_like(stream, 50, symbols=5, depth=4)
    frame = ff.to_pandas(rows, symbols)
    assert len(frame) == 50
    for column in columns_of(stream, 4):
        if column.field == "symbol":
            assert frame["symbol"].tolist() == [symbols[i] for i in rows["symbol"]]
        elif column.is_time:
            values = rows[column.field]
            found = frame[column.name]
            assert found.isna().to_numpy().tolist() == (values == 0).tolist()
            there = values != 0
            assert found[there].dt.as_unit("ns").astype("int64").tolist() == values[there].tolist()
        elif column.length:
            for i in range(column.length):
                found = frame[f"{column.name}_{i + 1}"].to_numpy()
                np.testing.assert_array_equal(found, rows[column.field][:, i])
                assert found.flags.c_contiguous
        else:
            np.testing.assert_array_equal(frame[column.name].to_numpy(), rows[column.field])


@pytest.mark.parametrize("stream", STREAMS)
def test_polars_of_every_stream(stream, symbols):
    rows = rows_like(stream, 50, symbols=5, depth=4)
    frame = ff.to_polars(rows, symbols, tz="America/New_York")
    assert frame.columns == [column.name for column in columns_of(stream, 4)]
    for column in columns_of(stream, 4):
        found = frame[column.name]
        if column.field == "symbol":
            assert found.dtype == pl.Categorical
            assert found.to_list() == [symbols[i] for i in rows["symbol"]]
        elif column.is_time:
            assert found.dtype == pl.Datetime("ns", "America/New_York")
            values = found.dt.epoch("ns").to_list()
            assert values == [value or None for value in rows[column.field].tolist()]
        else:
            if column.length:
                assert found.dtype.shape == (column.length,)
            np.testing.assert_array_equal(found.to_numpy(), rows[column.field])


def test_what_is_zero_copy(symbols):
    rows = rows_like("ticks", 1000, symbols=5)
    table = ff.to_arrow(rows, symbols)
    frame = pl.from_arrow(table)
    for name in ("price", "volume", "turnover", "seq", "side", "flags"):
        column = table[name].chunk(0)
        assert address(column.to_numpy(zero_copy_only=True)) == column.buffers()[1].address
        assert address(frame[name].to_numpy(allow_copy=False)) == column.buffers()[1].address
        assert not np.shares_memory(column.to_numpy(), rows)
    rows["recv_ns"] = NS
    table = ff.to_arrow(rows, symbols)
    times = pl.from_arrow(table)["recv_time"].to_physical().to_numpy(allow_copy=False)
    assert address(times) == table["recv_time"].chunk(0).buffers()[1].address
    books = rows_like("books", 100, symbols=5)
    prices = ff.to_arrow(books, symbols)["bid_price"].chunk(0)
    flat = pl.from_arrow(pa.table({"p": prices}))["p"].reshape((-1,))
    assert address(flat.to_numpy(allow_copy=False)) == prices.values.buffers()[1].address


def test_pandas_does_not_copy_again(monkeypatch, symbols):
    made = {}

    def copied(rows, columns):
        found, unknown = real(rows, columns)
        made.update(found)
        return found, unknown

    real = ff.sinks.frames.copied
    monkeypatch.setattr("fastfeed.sinks.frames.copied", copied)
    frame = ff.to_pandas(rows_like("ticks", 1000, symbols=5), symbols)
    for name in ("price", "seq", "side"):
        assert address(frame[name].to_numpy()) == address(made[name])
    assert address(frame["recv_time"].array.asi8) == address(made["recv_time"])


@pytest.mark.parametrize("convert", [ff.to_arrow, ff.to_pandas, ff.to_polars])
def test_slices_and_single_rows(convert, ticks, symbols):
    for rows in (ticks[::2], ticks[1:3], ticks[:0], ticks[[4, 1]], ticks[::-1]):
        whole = convert(rows, symbols)
        np.testing.assert_array_equal(np.asarray(whole["price"]), rows["price"])
    one = convert(ticks[3], symbols)
    assert len(one) == 1
    assert np.asarray(one["price"])[0] == 4.5
    packed = np.zeros(2, [("symbol", "u4"), ("price", "f8")])
    assert len(convert(np.concatenate([ticks, ticks]), symbols)) == 12
    table = symbols
    for wrong, text in (
        ((packed, table), r"expected rows of a stream .* got rows with the fields symbol, price$"),
        ((np.zeros(3), table), "expected rows of a stream, got ndarray of float64"),
        (("x", table), "expected rows of a stream, got str"),
        ((ticks.reshape(2, 3), table), r"in one dimension, got the shape \(2, 3\)"),
        (
            (np.ma.array(ticks, mask=ticks["price"] > 2), table),
            "without a mask, got a masked array",
        ),
        ((ticks, ["700.HK"]), "expected a table of symbols such as feed.symbols, got list"),
    ):
        with pytest.raises(TypeError, match=text):
            convert(*wrong)
    for zone in ("Asia/Nowhere", None, 8):
        with pytest.raises(ff.ConfigError, match="expected a time zone"):
            convert(ticks, symbols, tz=zone)
    with pytest.raises(ValueError, match="expected rows of these symbols, got the symbol 3"):
        convert(ticks, ff.SymbolTable())


def test_odd_lots_are_told(symbols):
    rows = rows_like("odd_books", 3, symbols=5)
    rows["kind"] = 1
    assert ff.to_arrow(rows, symbols).schema.metadata[b"fastfeed.kind"] == b"odd_books"
    rows["kind"] = 0
    assert ff.to_arrow(rows, symbols).schema.metadata[b"fastfeed.kind"] == b"books"


def test_only_symbols_that_occur_are_looked_up(symbols):
    for number in range(50_000):
        symbols.intern(f"S{number}")
    rows = rows_like("ticks", 4, symbols=5)
    rows["symbol"] = [50_004, 3, 50_004, 3]
    table = ff.to_arrow(rows, symbols)
    assert table["symbol"].chunk(0).dictionary.to_pylist() == ["9988.HK", "S49999"]
    assert table["symbol"].to_pylist() == ["S49999", "9988.HK"] * 2


SOLITARY = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name in {without}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Without())
import numpy as np, fastfeed as ff
symbols = ff.SymbolTable()
symbols.intern("700.HK")
rows = np.zeros(2, ff.dtype("ticks"))
try:
    print(len(ff.{call}(rows, symbols)))
except ff.ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("call", "without", "told"),
    [
        ("to_arrow", ("pandas", "polars"), "2"),
        ("to_pandas", ("polars", "pyarrow"), "2"),
        ("to_polars", ("pandas",), "2"),
        ("to_arrow", ("pyarrow",), "Arrow needs the package pyarrow: pip install 'fastfeed[arrow]'"),
        ("to_polars", ("pyarrow",), "Arrow needs the package pyarrow: pip install 'fastfeed[arrow]'"),
        ("to_pandas", ("pandas",), "to_pandas needs the package pandas: pip install pandas"),
        ("to_polars", ("polars",), "to_polars needs the package polars: pip install polars 'fastfeed[arrow]'"),
    ],
)  # fmt: skip
def test_each_works_without_the_others(call, without, told):
    code = SOLITARY.format(call=call, without=without)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == told, done.stderr


def test_pandas_is_not_imported_where_it_is_not_asked_for():
    code = SOLITARY.format(call="to_polars", without=()) + "print('pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["2", "False"], done.stderr
