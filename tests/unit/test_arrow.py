"""Rows as Arrow, and back."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from row_samples import rows_like

import fastfeed as ff
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import ConfigError, StorageError
from fastfeed.schema import STREAMS, dtype
from fastfeed.sinks import arrow, columns
from fastfeed.sinks.arrow import ArrowRows, arrow_schema, parquet_options, rows_of, table_of
from fastfeed.sinks.columns import columns_of

DEPTHS = (1, 10, 50)


def table_of_symbols(count=5):
    symbols = SymbolTable()
    for number in range(count):
        symbols.intern(f"{number}.HK")
    return symbols


def same_fields(a, b):
    assert a.dtype == b.dtype
    assert len(a) == len(b)
    return all(a[name].tobytes() == b[name].tobytes() for name in a.dtype.names)


@pytest.mark.parametrize("stream", STREAMS)
def test_every_field_is_described(stream):
    schema = arrow_schema(stream)
    assert schema.metadata == {
        b"fastfeed.layout": b"1",
        b"fastfeed.kind": stream.encode(),
        b"fastfeed.depth": b"10",
    }
    assert schema.names[0] == "symbol"
    assert len(set(schema.names)) == len(schema.names)
    rest = [name for name in dtype(stream).names if name != "symbol"]
    assert [column.field for column in columns_of(stream)[1:]] == rest
    for field in schema:
        assert field.metadata[b"unit"]
        assert len(field.metadata[b"description"]) > 5
        assert not field.name.endswith("_ns")


def test_no_description_is_of_a_field_that_is_not_there():
    fields = {name for stream in STREAMS for name in dtype(stream).names}
    for key in columns._ABOUT:
        stream, dot, field = key.rpartition(".")
        assert field in fields
        assert not dot or field in dtype(stream).names


@pytest.mark.parametrize("depth", DEPTHS)
def test_types(depth):
    types = {field.name: field.type for field in arrow_schema("books", depth)}
    assert types["symbol"] == pa.dictionary(pa.int32(), pa.string())
    for name in ("recv_time", "time", "gateway_time", "bid_time", "ask_time"):
        assert types[name] == pa.timestamp("ns", tz="UTC")
    assert types["bid_price"] == pa.list_(pa.float64(), depth)
    assert types["ask_orders"] == pa.list_(pa.int32(), depth)
    assert (types["bids"], types["type"], types["seq"]) == (pa.uint16(), pa.uint8(), pa.int64())


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_there_and_back(stream, depth, count):
    symbols = table_of_symbols()
    rows = rows_like(stream, count, symbols=5, depth=depth, seed=count)
    batch = ArrowRows(stream, symbols, depth).batch(rows)
    batch.validate(full=True)
    assert batch.schema.equals(arrow_schema(stream, depth), check_metadata=True)
    assert same_fields(rows_of(batch, symbols), rows)
    tables = pa.Table.from_batches([batch, batch.slice(count // 3), batch.slice(0, 0)])
    whole = rows_of(tables, symbols)
    assert same_fields(whole[:count], rows)
    assert same_fields(whole[count:], rows[count // 3 :])


def test_values_and_nulls():
    symbols = table_of_symbols()
    rows = np.zeros(20, dtype("ticks"))
    rows["recv_ns"] = 1_700_000_000_123_456_789 + np.arange(20)
    rows["time_ns"][::3] = 1_600_000_000_000_000_001
    rows["price"] = np.nan
    rows["price"][4] = 1.1
    rows["symbol"] = np.arange(20) % 5
    rows["side"] = -1
    rows["kind"] = 255
    batch = ArrowRows("ticks", symbols).batch(rows)
    assert [column.null_count for column in batch.columns[1:4]] == [0, 13, 20]
    assert batch["recv_time"].buffers()[0] is None
    assert batch["time"].is_valid().to_pylist() == [i % 3 == 0 for i in range(20)]
    assert batch["time"][0].value == 1_600_000_000_000_000_001
    assert batch["recv_time"][19].value == 1_700_000_000_123_456_808
    assert batch["price"].null_count == 0
    assert batch["price"][4].as_py() == 1.1
    assert np.isnan(batch["price"][3].as_py())
    assert batch["symbol"].to_pylist() == [f"{i % 5}.HK" for i in range(20)]
    assert set(batch["type"].to_pylist()) == {255}
    assert set(batch["side"].to_pylist()) == {-1}


def test_batches_keep_nothing_of_the_rows():
    symbols = table_of_symbols()
    rows = rows_like("ticks", 100, symbols=5)
    before = rows.copy()
    batch = ArrowRows("ticks", symbols).batch(rows)
    rows["price"] = 0
    rows["symbol"] = 0
    assert same_fields(rows_of(batch, symbols), before)


def test_any_number_of_blocks(monkeypatch):
    monkeypatch.setattr(columns, "_BLOCK_BYTES", 640)
    symbols = table_of_symbols()
    for count in (9, 10, 11, 25):
        rows = rows_like("ticks", count, symbols=5, seed=count)
        assert same_fields(rows_of(ArrowRows("ticks", symbols).batch(rows), symbols), rows)


def test_the_dictionary_grows_with_the_table():
    symbols = table_of_symbols(3)
    maker = ArrowRows("ticks", symbols)
    rows = np.zeros(3, dtype("ticks"))
    rows["symbol"] = [2, 0, 2]
    first = maker.batch(rows)["symbol"].dictionary
    again = maker.batch(rows)["symbol"].dictionary
    assert first.to_pylist() == ["0.HK", "1.HK", "2.HK"]
    assert again.buffers()[2].address == first.buffers()[2].address
    symbols.intern("new.US")
    rows["symbol"] = 3
    grown = maker.batch(rows)
    assert grown["symbol"].to_pylist() == ["new.US"] * 3
    assert grown["symbol"].dictionary.to_pylist()[:3] == first.to_pylist()
    assert len(first) == 3
    assert maker.schema.equals(grown.schema)


def test_a_large_table_is_asked_once_for_each_symbol():
    class Table:
        def __init__(self):
            self.asked = 0
            self.count = 50_000

        def __len__(self):
            return self.count

        def __getitem__(self, number):
            self.asked += 1
            return f"S{number}"

    symbols = Table()
    maker = ArrowRows("ticks", symbols)
    rows = np.zeros(10, dtype("ticks"))
    rows["symbol"] = symbols.count - 1
    for _ in range(5):
        maker.batch(rows)
    symbols.count += 7
    rows["symbol"] = symbols.count - 1
    for _ in range(5):
        assert maker.batch(rows)["symbol"][0].as_py() == "S50006"
    assert symbols.asked == symbols.count


def test_symbols_of_another_table_are_told():
    rows = np.zeros(2, dtype("ticks"))
    rows["symbol"] = 5
    text = "expected rows of these symbols, got the symbol 5 where there are 5"
    with pytest.raises(ValueError, match=text):
        ArrowRows("ticks", table_of_symbols()).batch(rows)
    with pytest.raises(ValueError, match=text):
        table_of(rows, table_of_symbols())


def test_zones_show_the_same_instants():
    symbols = table_of_symbols()
    rows = rows_like("ticks", 10, symbols=5)
    rows["recv_ns"] = 1_700_000_000_123_456_789
    here = ArrowRows("ticks", symbols, tz="Asia/Hong_Kong").batch(rows)
    assert here["recv_time"].type == pa.timestamp("ns", tz="Asia/Hong_Kong")
    assert here["recv_time"][0].value == rows["recv_ns"][0]
    assert same_fields(rows_of(here, symbols), rows)
    for wrong in ("Mars/Olympus", "", "../UTC", "Asia"):
        with pytest.raises(ConfigError, match=r"expected a time zone such as Asia/Hong_Kong"):
            arrow_schema("ticks", tz=wrong)


def test_other_columns_around_and_another_order():
    symbols = table_of_symbols()
    rows = rows_like("bars", 30, symbols=5)
    table = table_of(rows, symbols)
    names = sorted(table.schema.names)
    table = table.select(names).append_column("date", pa.array(["x"] * 30))
    for mixed in (table, table.replace_schema_metadata(None)):
        assert same_fields(rows_of(mixed, symbols), rows)


def test_what_other_libraries_make_of_the_types():
    symbols = table_of_symbols()
    rows = rows_like("books", 30, symbols=5, depth=3)
    rows["recv_ns"] = rows["recv_ns"] // 1000 * 1000
    table = table_of(rows, symbols)
    target = [
        pa.field("symbol", pa.large_string()),
        *[
            pa.field(f.name, pa.large_list(pa.float64())) if f.name == "bid_volume" else f
            for f in table.schema
        ][1:],
    ]
    assert same_fields(rows_of(table.cast(pa.schema(target)), symbols), rows)
    prices = table.set_column(
        table.schema.get_field_index("seq"), "seq", table["seq"].cast(pa.int64())
    )
    assert same_fields(rows_of(prices, symbols), rows)


def test_a_float_that_is_null_is_nan():
    symbols = table_of_symbols()
    rows = rows_like("ticks", 3, symbols=5)
    table = table_of(rows, symbols)
    at = table.schema.get_field_index("price")
    table = table.set_column(at, table.field(at), pa.array([1.5, None, 2.5]))
    prices = rows_of(table, symbols)["price"]
    assert prices[0] == 1.5
    assert np.isnan(prices[1])


def replaced(table, name, values):
    at = table.schema.get_field_index(name)
    return table.set_column(at, name, values)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t.drop_columns(["price"]), "expected the columns of ticks, missing: price"),
        (lambda t: t.select(["price"]).replace_schema_metadata(None), "of a stream .*, got price"),
        (
            lambda t: t.replace_schema_metadata({b"fastfeed.layout": b"2"}),
            "expected columns of the layout 1, got 2: it was written by another version",
        ),
        (lambda t: t.append_column("price", t["seq"]), "each column once, .* another one of price"),
        (lambda t: replaced(t, "seq", pa.array([None, 1], pa.int64())), "seq is not .* has nulls"),
        (lambda t: replaced(t, "side", pa.array([1, 300])), "column side is not that of ticks"),
        (lambda t: replaced(t, "time", pa.array([1, 3])), "time .* expected timestamps, got int64"),
        (lambda t: replaced(t, "symbol", pa.array(["x", None])), "symbol is not .* has nulls"),
        (lambda t: replaced(t, "symbol", pa.array(["x", "y" * 90])), "symbol is not that"),
        (lambda t: replaced(t, "price", pa.array(["1", "x"])), "column price is not that"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_rows(change, text):
    symbols = table_of_symbols()
    table = table_of(rows_like("ticks", 2, symbols=5), symbols)
    with pytest.raises(StorageError, match=text):
        rows_of(change(table), SymbolTable())


def test_columns_that_are_there_twice_are_refused_whatever_they_are():
    symbols = table_of_symbols()
    table = table_of(rows_like("books", 2, symbols=5), symbols)
    with pytest.raises(StorageError, match="another one of bid_price"):
        rows_of(table.append_column("bid_price", table["bid_price"]), symbols)


def test_what_is_no_table_at_all():
    symbols = table_of_symbols()
    rows = rows_like("ticks", 2, symbols=5)
    for wrong in (rows, None, [], ff.to_pandas(rows, symbols)):
        with pytest.raises(TypeError, match="expected a batch or a table of pyarrow, got "):
            rows_of(wrong, symbols)
    with pytest.raises(TypeError, match=r"expected a table of symbols .* got list"):
        rows_of(table_of(rows, symbols), ["700.HK"])


def test_arrays_of_another_length_are_refused():
    symbols = table_of_symbols()
    table = table_of(rows_like("books", 2, symbols=5, depth=3), symbols)
    wrong = pa.array([[1.0, 2.0]] * 2, pa.list_(pa.float64(), 2))
    with pytest.raises(StorageError, match=r"column ask_price .* expected lists of 3, got 2"):
        rows_of(replaced(table, "ask_price", wrong), symbols)


def test_codes_beyond_the_dictionary_are_refused():
    symbols = table_of_symbols()
    table = table_of(rows_like("ticks", 2, symbols=5), symbols)
    for code in (7, -1):
        codes = pa.array([0, code], pa.int32())
        wrong = pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b"]), safe=False)
        with pytest.raises(StorageError, match="column symbol is not that of ticks"):
            rows_of(replaced(table, "symbol", wrong), symbols)


@pytest.mark.parametrize("stream", STREAMS)
def test_parquet_of_every_stream(tmp_path, stream):
    symbols = table_of_symbols()
    rows = rows_like(stream, 500, symbols=5, depth=3)
    table = table_of(rows, symbols)
    pq.write_table(table, tmp_path / "x.parquet", **parquet_options(table.schema))
    found = pq.ParquetFile(tmp_path / "x.parquet")
    assert same_fields(rows_of(found.read(), symbols), rows)
    group = found.metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    encodings = {column.path_in_schema: column.encodings for column in columns}
    assert "DELTA_BINARY_PACKED" in encodings["recv_time"]
    assert "RLE_DICTIONARY" in encodings["symbol"]
    if stream == "books":
        assert "RLE_DICTIONARY" in encodings["bid_price.list.element"]
    assert {column.compression for column in columns} == {"ZSTD"}


def test_pyarrow_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'fastfeed[arrow]'")):
        arrow_schema("ticks")
    with pytest.raises(ConfigError):
        arrow.ArrowRows("ticks", SymbolTable())
