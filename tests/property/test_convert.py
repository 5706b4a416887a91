"""Rows of every kind into each format and back: the very same rows."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from row_samples import rows_like

from fastfeed._core.symbols import SymbolTable
from fastfeed.cli.csv_file import CsvSource, CsvTarget
from fastfeed.schema import STREAMS, dtype
from fastfeed.sinks import convert
from fastfeed.sinks.convert import (
    ArrowSource,
    ArrowStreamTarget,
    ArrowTarget,
    FolderSource,
    FolderTarget,
    ParquetSource,
    ParquetTarget,
    Part,
)

FORMS = {
    "parquet": (ParquetTarget, ParquetSource),
    "arrow": (ArrowTarget, ArrowSource),
    "arrows": (ArrowStreamTarget, ArrowSource),
    "csv": (CsvTarget, CsvSource),
    "folder": (FolderTarget, FolderSource),
}
SYMBOLS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
    .filter(lambda text: len(text.encode()) <= 80),
    min_size=1, max_size=6, unique=True,
)  # fmt: skip


class Rows:
    """A source of rows that are there, in parts of some size."""

    def __init__(self, kind, depth, rows, symbols, size):
        self.symbols, self.kinds, self.done, self.damage = symbols, (kind,), None, None
        self.kind, self.depth, self.rows, self.size = kind, depth, rows, size

    def parts(self, wanted):
        for start in range(0, len(self.rows), self.size):
            yield Part(self.kind, self.depth, self.rows[start : start + self.size])


def possible(rows):
    """Make of any rows such as there can be: what CSV has texts for."""
    random = np.random.default_rng(1)
    for name, values in {
        "side": [-1, 0, 1],
        "session": range(5),
        "flags": range(16),
        "suspended": [0, 1],
        "blank": [0, 1],
        "adjust": [0, 1, 2],
    }.items():
        if name in rows.dtype.names:
            rows[name] = random.choice(list(values), len(rows))
    for side in ("bid", "ask"):
        for name in rows.dtype.names:
            if rows.dtype[name].shape and name.startswith(side):
                levels = rows.dtype[name].shape[0]
                rows[f"{side}s"] = np.arange(len(rows)) % (levels + 1)
                beyond = np.arange(levels) >= rows[f"{side}s"][:, None]
                rows[name][beyond] = np.nan if rows[name].dtype.kind == "f" else 0
    if "bid_price" in rows.dtype.names:
        rows["kind"] = 0
    # A recording has a folder for each day.
    rows["recv_ns"] = 1_767_400_000_000_000_000 + rows["recv_ns"] % (3 * 86_400_000_000_000)
    rows.sort(order="recv_ns")
    return rows


def assert_same(a, b, symbols_a, symbols_b):
    assert len(a) == len(b)
    assert [symbols_a[i] for i in a["symbol"]] == [symbols_b[i] for i in b["symbol"]]
    for name in a.dtype.names:
        if name != "symbol":
            x, y = np.ascontiguousarray(a[name]), np.ascontiguousarray(b[name])
            if x.dtype.kind == "f":  # any NaN is as good as another one
                assert np.array_equal(np.isnan(x), np.isnan(y))
                x, y = np.nan_to_num(x, posinf=np.inf), np.nan_to_num(y, posinf=np.inf)
            assert x.tobytes() == y.tobytes(), name


def written(form, path, kind, depth, rows, symbols, size=7):
    target = FORMS[form][0](path, symbols)
    assert convert.convert(Rows(kind, depth, rows, symbols, size), target) == len(rows)


def read(form, path, kind, depth):
    source = FORMS[form][1](path)
    found = []
    for part in source.parts(STREAMS):
        assert (part.kind, part.depth) == (kind, depth)
        found.append(part.rows.copy())
    rows = np.zeros(sum(map(len, found)), dtype(kind, depth))
    end = 0
    for part in found:
        rows[end : end + len(part)] = part
        end += len(part)
    return rows, source.symbols


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", STREAMS)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(1, 40),
    depth=st.sampled_from([1, 3, 10]),
    names=SYMBOLS,
    seed=st.integers(0, 2**32),
    size=st.integers(1, 50),
)
def test_there_and_back(tmp_path_factory, form, kind, count, depth, names, seed, size):
    depth = depth if "book" in kind else 10
    symbols = SymbolTable()
    for name in names:
        symbols.intern(name)
    rows = possible(rows_like(kind, count, symbols=len(names), depth=depth, seed=seed))
    if kind == "odd_books":
        rows["kind"] = 1
    path = tmp_path_factory.mktemp("convert") / "out"
    written(form, path, kind, depth, rows, symbols, size)
    assert_same(*rearranged(rows, *read(form, path, kind, depth), symbols))


def rearranged(rows, found, found_symbols, symbols):
    return rows, found, symbols, found_symbols


@pytest.mark.parametrize("form", ["parquet", "arrow", "arrows", "folder"])
@pytest.mark.parametrize("kind", STREAMS)
def test_all_values_there_are(tmp_path, form, kind):
    symbols = SymbolTable()
    for number in range(5):
        symbols.intern(f"{number}.HK")
    rows = rows_like(kind, 300, symbols=5)
    rows["recv_ns"] = 1_767_400_000_000_000_000
    if kind in ("books", "odd_books"):
        rows["kind"] = kind == "odd_books"
    written(form, tmp_path / "out", kind, 10, rows, symbols, 100)
    found, found_symbols = read(form, tmp_path / "out", kind, 10)
    assert_same(rows, found, symbols, found_symbols)
