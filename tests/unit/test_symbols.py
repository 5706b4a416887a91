"""The symbol table, as Python sees it."""

import gc
import weakref

import pytest

from fastfeed._core.symbols import SymbolTable


def test_ids_are_given_in_order():
    table = SymbolTable()
    assert len(table) == 0
    assert list(table) == []
    names = ["700.HK", "AAPL.US", "腾讯", "a", "x" * 80, " ", "0", "a\0b"]
    assert [table.intern(name) for name in names] == list(range(8))
    assert [table.intern(name) for name in reversed(names)] == list(range(7, -1, -1))
    assert len(table) == 8
    assert list(table) == names
    for i, name in enumerate(names):
        assert table[name] == i
        assert table[i] == name
        assert name in table
    assert repr(table) == "<SymbolTable of 8 symbols>"


def test_what_is_not_there():
    table = SymbolTable()
    table.intern("a")
    for key in ("b", "", "a ", "a" * 81, "a" * 1000, "\ud800"):
        assert key not in table
        with pytest.raises(KeyError):
            table[key]
    for key in (-1, 1, 2**40):
        with pytest.raises(IndexError):
            table[key]
    with pytest.raises((IndexError, OverflowError)):
        table[2**80]
    for key in (None, 1.5, b"a"):
        assert key not in table
        with pytest.raises(TypeError):
            table[key]
    assert 0 not in table  # symbols are in it, ids are not


def test_names_that_cannot_be_added():
    table = SymbolTable()
    for name in ("", "x" * 81, "x" * 300, "é" * 41):
        with pytest.raises(ValueError, match="symbol"):
            table.intern(name)
    with pytest.raises(UnicodeEncodeError):
        table.intern("\ud800")
    with pytest.raises(TypeError):
        table.intern(None)
    with pytest.raises(TypeError):
        table.intern(b"a")
    assert len(table) == 0


def test_a_full_table_refuses_and_goes_on():
    table = SymbolTable(3)
    for name in "abc":
        table.intern(name)
    for _ in range(3):
        with pytest.raises(ValueError, match="there is room for"):
            table.intern("d")
    assert table.intern("b") == 1
    assert list(table) == ["a", "b", "c"]


@pytest.mark.parametrize("capacity", [0, -1, 2**24 + 1])
def test_capacities_that_cannot_be(capacity):
    with pytest.raises(ValueError, match=f"got {capacity}"):
        SymbolTable(capacity)


def test_many():
    table = SymbolTable(100_000)
    names = [f"{i:x}.{'HK' if i % 2 else 'A-LONGER-REGION'}" for i in range(100_000)]
    for i, name in enumerate(names):
        assert table.intern(name) == i
    assert list(table) == names
    assert [table[name] for name in names] == list(range(100_000))
    with pytest.raises(ValueError, match="room for 100000"):
        table.intern("one more")


def test_names_seen_before_stay():
    table = SymbolTable()
    table.intern("a")
    first = iter(table)
    assert table[0] is table[0]
    table.intern("b")
    assert list(first) == ["a"]
    assert list(table) == ["a", "b"]
    reference = weakref.ref(table)
    del table, first
    gc.collect()
    assert reference() is None


def test_the_gateways_spelling_is_found_as_well():
    table = SymbolTable()
    table.intern("700.HK")
    table.intern(".DJI.US")
    assert table["HK.00700"] == table["700.HK"] == 0
    assert table["US..DJI"] == 1
    assert "HK.00700" in table
    assert "HK.00701" not in table
    assert "nothing" not in table
