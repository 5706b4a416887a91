"""Rows as lines for people."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastfeed as ff
from fastfeed._core.symbols import SymbolTable
from fastfeed.cli.lines import Lines
from fastfeed.schema import STREAMS

NS = 1_700_010_000_123_456_789
CLOCK = "2023-11-15 01:00:00.123456"


def lines(stream: str, fields: dict[str, object], symbol: str = "700.HK", **how: bool) -> str:
    table = SymbolTable()
    table.intern(symbol)
    rows = np.zeros(1, ff.dtype(stream))
    for name in rows.dtype.names or ():
        if rows.dtype[name].base.kind == "f":
            rows[name] = math.nan
    rows["time_ns"] = NS
    for name, value in fields.items():
        rows[name] = value
    before = rows["time_ns"].copy()
    text = Lines(table, stream, **how)(rows).decode()
    assert rows["time_ns"] == before
    assert text.count("\n") == 1
    return text.rstrip("\n")


@pytest.mark.parametrize(
    ("stream", "fields", "expected"),
    [
        (
            "ticks",
            {"price": 310.2, "volume": 12_300, "side": 1, "session": 1, "flags": 3},
            f"{CLOCK}  700.HK           310.2      12,300  buy   regular  cached|backfilled",
        ),
        ("ticks", {"side": -1}, f"{CLOCK}  700.HK               -           -  sell"),
        ("ticks", {"price": 0.1 + 0.2}, f"{CLOCK}  700.HK             0.3           -"),
        (
            "quotes",
            {"last": 1.5, "volume": 123456789.987, "session": 2},
            f"{CLOCK}  700.HK      pre   last 1.5  open -  high -  low -  volume 123,456,789.99",
        ),
        (
            "books",
            {"bid_price": 99.5, "bid_volume": 1, "bids": 1, "asks": 0},
            f"{CLOCK}  700.HK      bid 99.5  x 1  ask -  x -  bids 1  asks 0",
        ),
        (
            "bars",
            {"interval_s": 60, "close": 1},
            f"{CLOCK}  700.HK      1m    open -  high -  low -  close 1  volume -",
        ),
    ],
)
def test_lines(stream: str, fields: dict[str, object], expected: str) -> None:
    assert lines(stream, fields) == expected


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_has_lines_with_its_name(stream: str) -> None:
    assert lines(stream, {}, tagged=True).startswith(f"{stream:<9}  {CLOCK}  700.HK")


def test_the_time_of_the_arrival_where_the_exchange_has_none() -> None:
    assert lines("ticks", {"time_ns": 0, "recv_ns": NS}).startswith(CLOCK)
    assert lines("ticks", {"time_ns": 0}).startswith(f"-{' ' * 27}700.HK")


def test_a_symbol_does_not_steer_the_terminal() -> None:
    assert "?[2JX" in lines("ticks", {}, symbol="\x1b[2JX")
