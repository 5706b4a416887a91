"""Which rows belong to the symbols that are wanted."""

import numpy as np

import fastfeed as ff
from fastfeed.stream import Chosen


def rows(*symbols):
    found = np.zeros(len(symbols), ff.dtype("ticks"))
    found["symbol"] = symbols
    return found


def test_symbols_may_come_later_and_torn_rows_have_any():
    symbols = ff.Hub().symbols
    chosen = Chosen(symbols, ["700.HK", "AAPL.US"])
    assert not len(chosen(rows(0, 7)))  # there is no symbol yet
    other, tencent = symbols.intern("9988.HK"), symbols.intern("700.HK")
    assert chosen(rows(tencent, other, 2**32 - 1))["symbol"].tolist() == [tencent]
    apple = symbols.intern("AAPL.US")
    assert chosen(rows(apple, other, tencent))["symbol"].tolist() == [apple, tencent]
