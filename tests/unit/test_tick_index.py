"""The index of a simulation's ticks: where they are, and what a day has come to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed._core.tick_index import DAY_FIELDS, index_ticks, pick
from fastfeed.sim.tape import TICK

DAY = np.dtype(DAY_FIELDS)
DAY_NS = 86_400_000_000_000
MIDNIGHTS = np.arange(0, 40) * DAY_NS


def new_days(count):
    days = np.zeros(count, DAY)
    days["newest"] = -1
    days["start_ns"] = 1 << 62
    days["prev_close"] = np.nan
    days["midnights_end"] = len(MIDNIGHTS)
    return days


def make(ticks):
    return np.array(ticks, TICK)


def positions(links, days, symbol, limit, since, before):
    found = pick(links, int(days["newest"][symbol]), limit, since, before)
    return np.frombuffer(found, np.int64).tolist()


@given(
    st.lists(st.integers(0, 2), max_size=60),
    st.integers(1, 9),
    st.integers(0, 70),
    st.integers(-5, 70),
    st.integers(0, 70),
)
def test_the_last_ticks_of_a_symbol_are_found(symbols, piece, limit, since, before):
    rows = make([(i, 1.0, 1.0, symbol, 0) for i, symbol in enumerate(symbols)])
    links, days = np.full(60, -1), new_days(3)
    for start in range(0, len(rows), piece):
        index_ticks(rows[start : start + piece], start, links, days, MIDNIGHTS)
    for symbol in range(3):
        expected = [i for i, s in enumerate(symbols) if s == symbol and since <= i < before]
        expected = expected[max(0, len(expected) - limit) :]
        assert positions(links, days, symbol, limit, since, before) == expected
        assert days["count"][symbol] == symbols.count(symbol)


def test_links_come_round_again():
    links, days = np.full(8, -1), new_days(2)
    for start in range(0, 40, 4):
        index_ticks(
            make([(start + i, 1.0, 1.0, i % 2, 0) for i in range(4)]), start, links, days, MIDNIGHTS
        )
    assert positions(links, days, 1, 100, 32, 40) == [33, 35, 37, 39]
    assert positions(links, days, 1, 2, 32, 38) == [35, 37]


def test_a_day_has_its_prices_and_begins_anew_at_midnight():
    links, days = np.full(10, -1), new_days(2)
    day = 5 * DAY_NS
    ticks = [
        (day + 1, 10.0, 2.0, 0, 1), (day + 2, 12.0, 3.0, 0, -1), (day + 2, 5.0, 1.0, 1, 0),
        (day + 3, 9.0, 1.0, 0, 0), (day + DAY_NS, 20.0, 4.0, 0, 1),
    ]  # fmt: skip
    index_ticks(make(ticks[:4]), 0, links, days, MIDNIGHTS)
    first, other = days
    names = ["start_ns", "end_ns", "time_ns", "open", "high", "low", "last", "volume", "turnover"]
    assert [first[name] for name in names] == [
        day, day + DAY_NS, day + 3, 10.0, 12.0, 9.0, 9.0, 6.0, 10 * 2 + 12 * 3 + 9,
    ]  # fmt: skip
    assert (first["side"], first["days"], other["last"], other["count"]) == (0, 1, 5.0, 1)
    assert np.isnan(first["prev_close"])
    index_ticks(make(ticks[4:]), 4, links, days, MIDNIGHTS)
    first = days[0]
    assert [first[name] for name in names] == [
        day + DAY_NS, day + 2 * DAY_NS, day + DAY_NS, 20.0, 20.0, 20.0, 20.0, 4.0, 80.0,
    ]  # fmt: skip
    assert (first["prev_close"], first["count"], first["days"]) == (9.0, 4, 2)


def test_wrong_arguments_are_named():
    links, days = np.full(4, -1), new_days(1)
    with pytest.raises(ValueError, match="expected symbols below 1, got 1"):
        index_ticks(make([(0, 1.0, 1.0, 1, 0)]), 0, links, days, MIDNIGHTS)
    with pytest.raises(ValueError, match="expected midnights of symbol 0"):
        index_ticks(make([(0, 1.0, 1.0, 0, 0)]), 0, links, days, MIDNIGHTS[:3])
    with pytest.raises(ValueError, match="expected room"):
        index_ticks(make([(0, 1.0, 1.0, 0, 0)]), 0, links[:0], days, MIDNIGHTS)
    assert days["count"][0] == 0
