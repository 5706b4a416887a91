"""LongPort's pushes, as protobuf writes them, and the packets and frames around them."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from fastfeed.bench.samples import RECV_NS, Sample, with_each
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.longport_packets import pack_push
from fastfeed.protocols.websocket import Opcode
from fastfeed.sim.websocket_wire import FIN, frame_head

__all__ = ["DEPTH", "KINDS", "Kind", "on_wire", "sample", "sequence_at"]

DEPTH = 10


class Kind(NamedTuple):
    """A kind of push."""

    command: Command
    message: str


KINDS = {
    "ticks": Kind(Command.PUSH_TRADES, "PushTrade"),
    "quotes": Kind(Command.PUSH_QUOTE, "PushQuote"),
    "books": Kind(Command.PUSH_DEPTH, "PushDepth"),
}
_PACKET_HEAD = 5
_SEQUENCE_TAG = 0x10  # field 2 of all of them, a varint
_SEQUENCE_BYTES = 9


def _quote(rng: random.Random, message: Any, seconds: int) -> None:
    price, volume = rng.uniform(1, 600), rng.randrange(10_000, 90_000_000)
    message.last_done = f"{price:.3f}"
    message.open, message.high, message.low = (f"{price * by:.3f}" for by in (1.01, 1.02, 0.98))
    message.timestamp = seconds
    message.volume = volume
    message.turnover = f"{price * volume:.3f}"
    message.current_volume = 100 * rng.randrange(1, 100)
    message.current_turnover = f"{price * message.current_volume:.3f}"


def _trade(rng: random.Random, message: Any, seconds: int) -> None:
    message.trade.add(
        price=f"{rng.uniform(1, 600):.3f}",
        volume=100 * rng.randrange(1, 100),
        timestamp=seconds,
        direction=rng.randrange(3),
    )


def _book(rng: random.Random, message: Any, _: int) -> None:
    middle = rng.uniform(100, 600)
    for side, step in ((message.ask, 1), (message.bid, -1)):
        for level in range(DEPTH):
            side.add(
                position=level + 1,
                price=f"{middle + step * (level + 1) / 20:.3f}",
                volume=100 * rng.randrange(1, rng.choice((10, 400))),
                order_num=rng.randrange(1, 60),
            )


_FILL = {"quotes": _quote, "books": _book, "ticks": _trade}


def sample(kind: str, symbols: int, count: int, per_push: int = 1) -> Sample:
    """Return pushes of a kind.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    symbols, count : int
        How many symbols, and pushes, there are; 99,999 symbols at most.
    per_push : int
        Trades in each push; of quotes and books, 1.
    """
    if per_push != 1 and kind != "ticks":
        raise ValueError(f"expected one per push of {kind}, got {per_push}")
    rng = random.Random(f"{kind} {symbols}")
    names = [f"{number}.HK" for number in rng.sample(range(1, 100_000), symbols)]
    make, fill = message_class(KINDS[kind].message), _FILL[kind]
    bodies = []
    for i, name in enumerate(with_each(names, count, rng)):
        seconds = RECV_NS // 10**9 - 20 + i * 20 // count
        message: Any = make(symbol=name)
        message.sequence = seconds * 10**9 + i
        for _ in range(per_push):
            fill(rng, message, seconds)
        bodies.append(message.SerializeToString())
    return Sample("longport", kind, names, per_push, bodies)


def on_wire(body: bytes, serial: int, kind: str = "ticks", *, framed: bool = True) -> bytes:
    """Return a push's packet, of WebSocket in a frame of a server; there is no serial number in it."""
    packet = pack_push(KINDS[kind].command, body)
    return frame_head(FIN | Opcode.BINARY, len(packet)) + packet if framed else packet


def sequence_at(packet: bytes) -> int:
    """Return where the sequence is in what is on the wire: a varint of 9 bytes, as of any time in ns; ValueError."""
    at = 0
    if packet[0] & FIN:  # a frame; no packet begins with that bit
        at = {126: 4, 127: 10}.get(packet[1], 2)
    at += _PACKET_HEAD
    at += 2 + packet[at + 1]  # behind the symbol
    varint = packet[at + 1 : at + 1 + _SEQUENCE_BYTES]
    ends = [byte < 0x80 for byte in varint]
    if packet[at] != _SEQUENCE_TAG or ends != [*[False] * (_SEQUENCE_BYTES - 1), True]:
        raise ValueError(f"expected a sequence of {_SEQUENCE_BYTES} bytes at {at}, got {packet!r}")
    return at + 1
