"""The layout of rows: what the tables say, what NumPy makes of it, and what the header says."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastfeed._core.ring import FLAG_BACKFILLED, FLAG_CACHED, FLAG_GAP, FLAG_STALE, row_type
from fastfeed.schema import STREAMS, dtype

HEADER = Path(__file__).parents[2] / "native" / "include" / "fastfeed" / "rows.h"
FORMATS = {
    "int64_t": "i8",
    "double": "f8",
    "uint32_t": "u4",
    "int32_t": "i4",
    "uint16_t": "u2",
    "int8_t": "i1",
    "uint8_t": "u1",
}
STRUCTS = {
    "ticks": "tick",
    "quotes": "quote",
    "books": "book",
    "odd_books": "book",
    "bars": "bar",
    "timeshare": "timeshare",
    "brokers": "brokers",
}


@pytest.mark.parametrize("depth", [1, 10, 60, 1000])
@pytest.mark.parametrize("stream", STREAMS)
def test_layout(stream, depth):
    row = row_type(STREAMS.index(stream), depth)
    made = dtype(stream, depth)
    assert made.itemsize == row["itemsize"]
    assert made.itemsize % 64 == 0
    assert list(made.names) == row["names"]
    assert len(set(row["names"])) == len(row["names"])
    end = 0
    for name, form, offset in zip(row["names"], row["formats"], row["offsets"], strict=True):
        field, at = made.fields[name][:2]
        assert (field, at) == (np.dtype(form), offset)
        assert end <= offset < end + 64, f"{name} overlaps or leaves a gap"
        assert offset % field.base.alignment == 0
        end = offset + field.itemsize
    assert end <= made.itemsize < end + 64


@pytest.mark.parametrize("stream", STREAMS)
def test_every_row_begins_alike(stream):
    assert dtype(stream).names[:4] == ("recv_ns", "time_ns", "gateway_ns", "seq")
    assert {"symbol", "session", "flags"} <= set(dtype(stream).names)


@pytest.mark.parametrize(("stream", "name"), STRUCTS.items())
def test_the_struct_and_its_table_agree(stream, name):
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    struct = re.search(rf"typedef struct ff_{name} \{{(.*?)\}} ff_{name};", text, re.DOTALL)
    members = re.findall(r"^\s*(\w+) (\w+)(?:\[(\w+)\])?;", struct[1], re.MULTILINE)
    row = row_type(STREAMS.index(stream), 7)
    table = list(zip(row["names"], row["formats"], strict=True))
    told = [
        (member, f"(40,){FORMATS[kind]}" if places else FORMATS[kind])
        for kind, member, places in members
        if member != "_reserved"
    ]
    assert table[: len(told)] == told
    levels = [
        (f"{side}_{what}", f"(7,){form}")
        for what, form in (("price", "f8"), ("volume", "f8"), ("orders", "i4"))
        for side in ("bid", "ask")
    ]
    assert sorted(table[len(told) :]) == (sorted(levels) if name == "book" else [])


@pytest.mark.parametrize("depth", [0, -1, 1001])
def test_depths_out_of_range(depth):
    with pytest.raises(ValueError, match="depth of 1 to 1000"):
        dtype("books", depth)


def test_flags_are_single_bits():
    flags = [FLAG_CACHED, FLAG_BACKFILLED, FLAG_STALE, FLAG_GAP]
    assert flags == [1, 2, 4, 8]
