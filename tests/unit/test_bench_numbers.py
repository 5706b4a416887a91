"""Figures as texts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed.bench.numbers import count, percent, plus_minus, short, shown
from fastfeed.bench.results import Figure, figure


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (25.09, "25.1"),
        (1.0, "1"),
        (1.004, "1.00"),
        (9.996, "10.0"),
        (0.04213, "0.0421"),
        (0.000421, "0.000421"),
        (4.213e-12, "4.21e-12"),
        (999.6, "1,000"),
        (1234, "1,234"),
        (1234.4, "1,230"),
        (12345, "12,300"),
        (999_600, "1.00M"),
        (17_234_567.0, "17.2M"),
        (123_456_789, "123M"),
        (2.5e9, "2.50G"),
        (-17.345, "-17.3"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)
def test_three_digits(value, text):
    assert short(value) == text


@given(st.floats(min_value=1e-8, max_value=1e14))
def test_short_is_within_half_a_percent(value):
    text = short(value).replace(",", "")
    size = {"G": 1e9, "M": 1e6}.get(text[-1], 1.0)
    assert math.isclose(float(text.rstrip("GM")) * size, value, rel_tol=0.00501)


def test_counts_are_in_full():
    assert [count(value) for value in (1.0, 123_456, 0.5)] == ["1", "123,456", "0.500"]
    assert count(math.inf) == "∞"
    assert shown("lost", 12_345.0) == shown("ring high-water rows", 12_345.0) == "12,345"
    assert shown("writer CPU ns/row", 12_345.0) == "12,300"


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.0, "0 %"), (0.0412, "4.1 %"), (0.1249, "12 %"), (1.3, "130 %"), (0.0004, "0.04 %")],
)
def test_percent(part, text):
    assert percent(part) == text


def test_plus_minus_is_of_rounds():
    assert plus_minus(figure([9.0, 10.0, 11.0])) == "±5.0 %"
    assert plus_minus(figure(10.0)) == ""
    assert plus_minus(figure([10.0])) == ""
    assert plus_minus(Figure(0.0, 0.0, 0.0, [0.0, 0.0])) == "±0.0 %"
    assert plus_minus(Figure(math.nan, math.nan, math.nan, [1.0, 2.0])) == "±–"
