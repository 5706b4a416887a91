"""The layout of rows: what the tables say, what NumPy makes of it, and what the header says."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastfeed._core.ring import (
    FLAG_BACKFILLED,
    FLAG_CACHED,
    FLAG_GAP,
    FLAG_STALE,
    ROW_TYPES,
)

HEADER = Path(__file__).parents[2] / "native" / "include" / "fastfeed" / "rows.h"
FORMATS = {"int64_t": "i8", "double": "f8", "uint32_t": "u4", "int8_t": "i1", "uint8_t": "u1"}


@pytest.mark.parametrize("stream", ROW_TYPES)
def test_layout(stream):
    row = ROW_TYPES[stream]
    dtype = np.dtype(row)
    assert dtype.itemsize == row["itemsize"]
    assert dtype.itemsize % 64 == 0
    assert list(dtype.names) == row["names"]
    assert len(set(row["names"])) == len(row["names"])
    end = 0
    for name, form, offset in zip(row["names"], row["formats"], row["offsets"], strict=True):
        field, at = dtype.fields[name][:2]
        assert (field, at) == (np.dtype(form), offset)
        assert offset == end, f"a gap before {name}"
        assert offset % field.alignment == 0
        end = offset + field.itemsize
    assert end == dtype.itemsize, "a gap at the end"
    assert dtype == np.dtype(row, align=True)


def test_the_struct_of_ticks_and_its_table_agree():
    struct = re.search(r"typedef struct ff_tick \{(.*?)\} ff_tick;", HEADER.read_text(), re.DOTALL)
    members = re.findall(r"^\s*(\w+) (\w+);", struct[1], re.MULTILINE)
    ticks = ROW_TYPES["ticks"]
    assert [name for _, name in members] == ticks["names"]
    assert [FORMATS[kind] for kind, _ in members] == ticks["formats"]
    assert ticks["itemsize"] == 64


def test_flags_are_single_bits():
    flags = [FLAG_CACHED, FLAG_BACKFILLED, FLAG_STALE, FLAG_GAP]
    assert flags == [1, 2, 4, 8]
