"""LongPort's pushes, bytes to rows: ns for each quote, trade and book of ten levels a side, merged into what is known.

The candidates take turns, as in test_pushes.py. The C loop merges nothing and knows no symbols; before anything is
timed, what both say must be the same, bit for bit, and what protobuf says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled import NoCompiler, compiler
from longport_pushes import COMMANDS, MESSAGES, Fastfeed, Loop, Machine, Protobuf, Pushes, Rows
from rounds import compare

from fastfeed.protocols.longport_messages import message_class

SYMBOLS = 100
AGREED = 300  # pushes whose rows are compared
PARSED = 10  # protobuf gets every so manieth of the pushes
COUNTS = {"quote": 40_000, "trade": 80_000, "book": 8_000}
CANDIDATES = {
    "fastfeed": Fastfeed,
    "fastfeed, frames": Machine,
    "C loop": Loop,
    "protobuf, float": Protobuf,
}


def assert_agreed(kind: str) -> None:
    """Compare the rows of those that make some."""
    sample = Pushes(kind, SYMBOLS, AGREED)
    ours, framed, loop = Fastfeed(sample), Machine(sample), Loop(sample)
    for candidate in (ours, framed, loop):
        candidate.run()
    (codes, rows), plain = ours.rows(), loop.rows()
    assert len(rows) == len(plain) == AGREED
    assert codes == framed.rows()[0] == [symbol.decode() for symbol in plain["symbol"]]
    for name in set(rows.dtype.names or ()) - {"recv_ns", "symbol"}:
        np.testing.assert_array_equal(rows[name], framed.rows()[1][name])
    assert_same_as_loop(kind, rows, plain)
    parse = message_class(MESSAGES[kind]).FromString
    for body, row in zip(sample.bodies, rows, strict=True):
        message: Any = parse(body)
        if kind == "quote":
            assert row["last"] == float(message.last_done)
            assert row["turnover"] == float(message.turnover)
        elif kind == "trade":
            assert row["price"] == float(message.trade[0].price)
        else:
            assert row["ask_price"].tolist() == [float(level.price) for level in message.ask]


def assert_same_as_loop(kind: str, rows: Rows, plain: Rows) -> None:
    """Compare our rows with those of the C loop."""
    names = ["seq"]
    if kind == "book":
        for side in ("ask", "bid"):
            for name in ("price", "volume", "orders"):
                np.testing.assert_array_equal(rows[f"{side}_{name}"], plain[side][name])
    else:
        np.testing.assert_array_equal(rows["time_ns"], plain["time_s"] * 10**9)
        names += ["last", "open", "high", "low", "turnover"] if kind == "quote" else ["price"]
        names.append("volume")
    for name in names:
        np.testing.assert_array_equal(rows[name], plain[name])


@pytest.mark.parametrize("kind", COMMANDS)
def test_longport(kind: str, benchmark: Any, report: Any) -> None:
    try:
        compiler()
    except NoCompiler as error:
        pytest.skip(str(error))
    assert_agreed(kind)
    many, few = (Pushes(kind, SYMBOLS, COUNTS[kind] // by) for by in (1, PARSED))
    samples = {name: few if name == "protobuf, float" else many for name in CANDIDATES}
    candidates: dict[str, Any] = {name: make(samples[name]) for name, make in CANDIDATES.items()}
    compare("LongPort", kind, candidates, samples, benchmark, report)
    report.note(f"A LongPort {kind} push has {int(many.ends[-1]) / len(many.ends):.0f} bytes.")
