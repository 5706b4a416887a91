"""AllTick's pushes, JSON to rows: ns for each trade and each book of ten levels a side.

The candidates take turns, as in test_pushes.py, and before anything is timed all that make rows must make the same
ones, bit for bit.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from alltick import STREAMS, Fastfeed, Loop, Messages, MsgspecRows, Python, msgspec_decode
from compiled import NoCompiler, compiler
from rounds import compare

import fastfeed as ff

SYMBOLS = 100
AGREED = 300  # messages whose rows are compared
PARSED = 10  # Python's get every so manieth of the messages
MESSAGES = {"trade": 40_000, "book": 8_000}

ANY_SHAPE = "fastfeed, any shape"

#: In the order of the table.
CANDIDATES = {
    "fastfeed": Fastfeed,
    ANY_SHAPE: Fastfeed,
    "C loop": Loop,
    "msgspec": lambda sample: Python(sample, msgspec_decode(sample.kind)),
    "msgspec, NumPy": MsgspecRows,
    "json": lambda sample: Python(sample, json.loads),
}
IN_PYTHON = ("msgspec", "msgspec, NumPy", "json")


def assert_agreed(kind: str) -> None:
    """Compare the rows of those that make some."""
    sample = Messages(kind, SYMBOLS, AGREED)
    other = Messages(kind, SYMBOLS, AGREED, documented=False)
    dtype = ff.dtype(STREAMS[kind])
    rows = {}
    for name in ("fastfeed", "fastfeed, any shape", "C loop", "msgspec, NumPy"):
        candidate: Any = CANDIDATES[name](other if name == ANY_SHAPE else sample)
        candidate.run()
        rows[name] = candidate.rows()
    for name, theirs in rows.items():
        assert len(theirs) == AGREED
        for field in set(dtype.names or ()) - {"recv_ns", "flags"}:
            assert theirs[field].tobytes() == rows["fastfeed"][field].tobytes(), (name, field)
    for message, row in zip(sample.messages, rows["fastfeed"], strict=True):
        data = json.loads(message)["data"]
        assert row["seq"] == data["seq"]
        assert sample.codes[row["symbol"]] == data["code"]
        if kind == "trade":
            assert row["price"] == float(data["price"])
        else:
            prices = [float(level["price"]) for level in data["asks"]]
            np.testing.assert_array_equal(row["ask_price"], prices)


@pytest.mark.parametrize("kind", MESSAGES)
def test_alltick(kind: str, benchmark: Any, report: Any) -> None:
    try:
        compiler()
    except NoCompiler as error:
        pytest.skip(str(error))
    assert_agreed(kind)
    many, few = (Messages(kind, SYMBOLS, MESSAGES[kind] // by) for by in (1, PARSED))
    samples = {name: few if name in IN_PYTHON else many for name in CANDIDATES}
    samples[ANY_SHAPE] = Messages(kind, SYMBOLS, MESSAGES[kind], documented=False)
    candidates: dict[str, Any] = {name: make(samples[name]) for name, make in CANDIDATES.items()}
    compare("AllTick", kind, candidates, samples, benchmark, report)
    report.note(f"A message with a {kind} has {int(many.ends[-1]) / len(many.ends):.0f} bytes.")
    report.note(
        "Of AllTick, only fastfeed gets the messages in their frames, and copied to a window."
    )
