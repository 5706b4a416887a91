"""Bytes to rows: ns per tick beside a hand-written C loop, protobuf's parser and futu-api's functions.

All of them get the same packets, and before anything is timed, all must give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from compiled import NoCompiler
from packets import Sample
from peers import (
    FIELDS,
    Candidate,
    Fastfeed,
    Futu,
    HandWritten,
    ProtobufParse,
    ProtobufRows,
)

SYMBOLS = 100
TICKS = (1, 10)
#: What is timed, how many packets, how many rounds.
CANDIDATES: dict[str, tuple[Callable[[Sample], Candidate], int, int]] = {
    "fastfeed": (Fastfeed, 50_000, 40),
    "C loop": (HandWritten, 50_000, 40),
    "protobuf": (ProtobufParse, 10_000, 15),
    "protobuf, NumPy": (ProtobufRows, 5_000, 10),
    "futu-api": (Futu, 200, 7),
}


@cache
def sample(packets: int, ticks: int) -> Sample:
    """A sample of a size, made once."""
    return Sample(SYMBOLS, packets // (1 if ticks == 1 else 5), ticks)


def make(name: str, ticks: int) -> tuple[Candidate, Sample]:
    """Return a candidate and what it decodes; skip the test when it cannot run here."""
    kind, packets, _ = CANDIDATES[name]
    chosen = sample(packets, ticks)
    try:
        return kind(chosen), chosen
    except (NoCompiler, ImportError) as error:
        pytest.skip(str(error))


@cache
def agreed(name: str, ticks: int) -> bool:
    """Whether a candidate's rows are those of protobuf's parser."""
    if name == "protobuf":
        return True  # its messages are what ProtobufRows reads
    candidate, chosen = make(name, ticks)
    reference = ProtobufRows(chosen)
    for each in (reference, candidate):
        each.run()
    codes, rows = candidate.rows()
    right_codes, right = reference.rows()
    assert codes == right_codes
    fields = (
        FIELDS if name != "futu-api" else ("seq", "price", "volume", "turnover", "side", "kind")
    )
    for field in fields:
        np.testing.assert_array_equal(rows[field], right[field], err_msg=f"{name}: {field}")
    return True


@pytest.mark.parametrize("ticks", TICKS)
@pytest.mark.parametrize("name", CANDIDATES)
def test_decode(name: str, ticks: int, timed: Callable[..., float], report: Any) -> None:
    for other in CANDIDATES:
        try:
            assert agreed(other, ticks)
        except pytest.skip.Exception:
            if other == name:
                raise
    candidate, chosen = make(name, ticks)
    seconds = timed(
        candidate.run,
        rounds=CANDIDATES[name][2],
        group=f"decode, {ticks} ticks a packet, {chosen.rows} ticks",
    )
    ns = seconds / chosen.rows * 1e9
    first = report.get(f"decode {ticks}", "fastfeed", "ns/tick") or ns
    report.add(
        f"decode {ticks}",
        name,
        **{
            "ns/tick": ns,
            "ticks/s": 1e9 / ns,
            "MB/s": len(chosen.stream) / seconds / 1e6,
            "x fastfeed": ns / first,
        },
    )
    report.note(
        f"A packet with {ticks} tick(s) has {len(chosen.stream) // chosen.packets} bytes with its header."
    )
