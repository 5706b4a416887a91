"""AllTick's pushes as documented: compact, keys in order, bare integers, quoted decimals of four kinds of markets."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from fastfeed.bench.samples import RECV_NS, Sample, with_each
from fastfeed.protocols.websocket import Opcode
from fastfeed.sim.websocket_wire import FIN, frame_head

__all__ = ["DEPTH", "SEQUENCE_DIGITS", "on_wire", "sample", "sequence_at"]

DEPTH = 10
SEQUENCE_DIGITS = 19  # of a time in ns

_NUMBERS = {"ticks": 22998, "books": 22999}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SEQUENCE = re.compile(rb'"seq":(\d+)')


def _letters(number: int, count: int) -> str:
    text = ""
    for _ in range(count):
        number, letter = divmod(number, len(_LETTERS))
        text += _LETTERS[letter]
    return text


def _markets(rng: random.Random, count: int) -> list[tuple[str, int, int, int]]:
    """Return codes of at most 8 bytes, with decimals of their prices, volumes and turnovers."""
    each = -(-count // 4)
    numbers = rng.sample(range(1, 100_000), each)
    names = [_letters(number, 4) for number in rng.sample(range(26**4), each)]
    pairs = [_letters(number, 3) for number in rng.sample(range(26**3), each)]
    made: list[tuple[str, int, int, int]] = []
    for number, name, pair in zip(numbers, names, pairs, strict=True):
        made += (
            (f"{number}.HK", 6, 0, 6),
            (f"{name}.US", 6, 0, 6),
            (f"{name}USDT", 2, 5, 6),
            (f"{pair}USD", 5, 2, 5),
        )
    return made[:count]


def _trade(rng: random.Random, places: tuple[int, int, int]) -> dict[str, Any]:
    price = rng.uniform(1, 9 if places[0] == 5 else 600)
    volume = rng.uniform(1, 9) if places[1] == 5 else 100 * rng.randrange(1, 100)
    return {
        "price": f"{price:.{places[0]}f}",
        "volume": f"{volume:.{places[1]}f}",
        "turnover": f"{price * volume:.{places[2]}f}",
        "trade_direction": rng.randrange(3),
    }


def _book(rng: random.Random, places: tuple[int, int, int]) -> dict[str, Any]:
    middle = rng.uniform(100, 600)
    return {
        name: [
            {
                "price": f"{middle + step * (level + 1) / 20:.{places[0]}f}",
                "volume": f"{100 * rng.randrange(1, rng.choice((10, 400))):.{places[1]}f}",
            }
            for level in range(DEPTH)
        ]
        for name, step in (("bids", -1), ("asks", 1))
    }


def sample(kind: str, symbols: int, count: int, per_push: int = 1) -> Sample:
    """Return pushes of a kind.

    Parameters
    ----------
    kind : {"ticks", "books"}
    symbols, count : int
        How many symbols, and pushes, there are; 50,000 symbols at most.
    per_push : int
        1: AllTick sends one trade or book in a message.
    """
    if per_push != 1:
        raise ValueError(f"expected one per push, got {per_push}")
    rng = random.Random(f"{kind} {symbols}")
    markets = _markets(rng, symbols)
    fill = _trade if kind == "ticks" else _book
    bodies = []
    for i, (code, *places) in enumerate(with_each(markets, count, rng)):
        ms = RECV_NS // 10**6 - 20_000 + i % 20_000
        head = {"code": code, "seq": ms + rng.randrange(500), "tick_time": ms}
        data = head | fill(rng, (places[0], places[1], places[2]))
        push = {"cmd_id": _NUMBERS[kind], "data": data}
        bodies.append(json.dumps(push, separators=(",", ":")).encode())
    return Sample("alltick", kind, [code for code, *_ in markets], 1, bodies)


def on_wire(body: bytes, serial: int, kind: str = "ticks", *, stampable: bool = False) -> bytes:
    """Return a push's frame, as a server sends it; there is no serial number in it.

    AllTick's sequences are times in ms. Where it is `stampable`, there is room for ns.
    """
    if stampable:
        body = _SEQUENCE.sub(lambda found: found[0].ljust(SEQUENCE_DIGITS + 6, b"0"), body)
    return frame_head(FIN | Opcode.TEXT, len(body)) + body


def sequence_at(packet: bytes) -> int:
    """Return where in a frame the sequence is: 19 decimal digits, as of any time in ns; ValueError."""
    found = _SEQUENCE.search(packet)
    if found is None or len(found[1]) != SEQUENCE_DIGITS:
        raise ValueError(f"expected a sequence of {SEQUENCE_DIGITS} digits, got {packet!r}")
    return found.start(1)
