"""The bodies of LongPort's pushes: trades written by hand, since there are many; all else by protobuf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.sim.decimals import fixed
from fastfeed.sim.longport_hours import Passage, Session
from fastfeed.sim.market import Level, Place
from fastfeed.sim.playback import Rows
from fastfeed.sim.varints import varint

__all__ = ["DIRECTIONS", "MESSAGE_OF_PUSH", "Writer", "brokers_fields", "depth_fields", "money"]

#: By side.
DIRECTIONS = {0: 0, -1: 1, 1: 2}
MESSAGE_OF_PUSH = {
    Command.PUSH_QUOTE: "PushQuote",
    Command.PUSH_DEPTH: "PushDepth",
    Command.PUSH_BROKERS: "PushBrokers",
    Command.PUSH_TRADES: "PushTrade",
}

_CACHED = 4096  # texts of a symbol
_UNKNOWN = 99  # of an enumeration
_NINE_BYTES = 1 << 56  # numbers from here on are varints of nine bytes
_UNKNOWN_FIELDS = bytes.fromhex("a00f01aa0f026869b50f01000000b90f0100000000000000")

Integers = npt.NDArray[np.int64]


def money(amount: float) -> str:
    """Return the text of a turnover."""
    return f"{amount:.3f}"


class _Cache(dict[float, bytes]):
    """Fields by their numbers."""

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[float], bytes]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, number: float) -> bytes:
        if len(self) >= _CACHED:
            self.clear()
        field = self[number] = self._write(number)
        return field


class Writer:
    """Makes the pushes of some symbols.

    Parameters
    ----------
    symbols : sequence of str
        By the index that ticks have.
    places : sequence of int
        How many digits behind the point prices are written with, where that is exact.
    passage : Passage
    unknown_enums, unknown_fields : bool
        Numbers that no enumeration has, and fields that no message has.
    unpacked : bool
        Broker ids are written one by one.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        places: Sequence[int],
        passage: Passage,
        *,
        unknown_enums: bool = False,
        unknown_fields: bool = False,
        unpacked: bool = False,
    ) -> None:
        self.symbols = tuple(symbols)
        self._passage = passage
        self._price_texts = [fixed(digits) for digits in places]
        self._default = fixed(3)
        self._heads = [b"\x0a" + _text(symbol) + b"\x10" for symbol in symbols]
        self._prices = [
            _Cache(lambda price, write=write: b"\x0a" + _text(write(price)))  # type: ignore[misc]
            for write in self._price_texts
        ]
        self._volumes = _Cache(lambda volume: b"\x10" + varint(int(volume)) if volume else b"")
        self._times = _Cache(lambda at_s: b"\x18" + varint(int(at_s)) if at_s else b"")
        # By session and side.
        self._ends = {
            (session, side): b"".join(
                key + varint(number)
                for key, number in (
                    (b"\x28", _UNKNOWN if unknown_enums else direction),
                    (b"\x30", _UNKNOWN if unknown_enums else session),
                )
                if number
            )
            for session in range(4)
            for side, direction in DIRECTIONS.items()
        }
        self._status = _UNKNOWN if unknown_enums else 0
        self._unpacked = unpacked
        self._more = _UNKNOWN_FIELDS if unknown_fields else b""

    def price(self, number: int | None, price: float) -> str:
        """Return the text of a price; None: of what does not trade."""
        return (self._default if number is None else self._price_texts[number])(price)

    # Trades.

    def trades(self, rows: Rows, positions: Integers, most: int) -> list[bytes]:
        """Return the pushes of trades; up to `most` that follow each other are in one."""
        passage = self._passage
        at = positions % len(passage.sequences)
        sequences = passage.sequences[at]
        names = rows["symbol"].tolist()
        heads, prices, volumes, times = self._heads, self._prices, self._volumes, self._times
        ends, more = self._ends, self._more
        trades = [
            prices[n][price] + volumes[volume] + times[at_s] + ends[session, side]
            for n, price, volume, at_s, session, side in zip(
                names,
                rows["price"].tolist(),
                rows["volume"].tolist(),
                (rows["time_ns"] // 1_000_000_000).tolist(),
                passage.sessions[at].tolist(),
                rows["side"].tolist(),
                strict=True,
            )
        ]
        if most == 1:
            return [
                heads[n] + sequence + b"\x1a" + varint(len(trade)) + trade + more
                for n, sequence, trade in zip(names, _varints(sequences), trades, strict=True)
            ]
        bodies = []
        texts = _varints(sequences)
        start = 0
        while start < len(trades):
            end = start + 1
            while end < len(trades) and end - start < most and names[end] == names[start]:
                end += 1
            listed = b"".join([b"\x1a" + varint(len(t)) + t for t in trades[start:end]])
            bodies.append(heads[names[start]] + texts[end - 1] + listed + more)
            start = end
        return bodies

    # All else.

    def message(self, command: int, fields: dict[str, Any]) -> bytes:
        """Return the body of a push."""
        if self._unpacked and command == Command.PUSH_BROKERS:
            return _unpacked_brokers(fields) + self._more
        made = message_class(MESSAGE_OF_PUSH[Command(command)])(**fields)
        body: bytes = made.SerializeToString()
        return body + self._more

    def quote(self, number: int, state: Session, before: Session | None) -> dict[str, Any]:
        """Return a PushQuote without its sequence: all of it, or what changed since `before`."""
        price = self._price_texts[number]
        fields: dict[str, Any] = {
            "symbol": self.symbols[number],
            "timestamp": state.time_ns // 10**9,
            "trade_status": self._status,
            "trade_session": state.number,
        }
        changed = {
            "last_done": (state.last, price),
            "open": (state.open, price),
            "high": (state.high, price),
            "low": (state.low, price),
            "volume": (int(state.volume), int),
            "turnover": (state.turnover, money),
        }
        if before is not None:
            old = (
                before.last,
                before.open,
                before.high,
                before.low,
                int(before.volume),
                before.turnover,
            )
            changed = {
                name: value
                for (name, value), was in zip(changed.items(), old, strict=True)
                # Before the first trade it was made up, and a pull may say something else.
                if value[0] != was or not before.volume
            }
            if state.volume > before.volume:
                fields["current_volume"] = int(state.volume) - int(before.volume)
                fields["current_turnover"] = money(state.turnover - before.turnover)
        return fields | {name: write(value) for name, (value, write) in changed.items()}  # type: ignore[operator]


def depth_fields(
    levels: Sequence[Level], price: Callable[[float], str], *, orders: bool
) -> list[dict[str, Any]]:
    """Return the levels of a side; America's have no orders."""
    return [
        {
            "position": position,
            "price": price(level.price),
            "volume": int(level.volume),
            "order_num": len(level.orders) if orders else 0,
        }
        for position, level in enumerate(levels, 1)
    ]


def brokers_fields(places: Sequence[Place]) -> list[dict[str, Any]]:
    """Return a broker queue by its price levels."""
    levels: dict[int, list[int]] = {}
    for place in places:
        levels.setdefault(place.level, []).append(place.id)
    return [{"position": position, "broker_ids": ids} for position, ids in levels.items()]


def _unpacked_brokers(fields: dict[str, Any]) -> bytes:
    """Return a PushBrokers with a field for each id."""
    out = b"\x0a" + _text(fields["symbol"]) + b"\x10" + varint(fields["sequence"])
    for tag, name in ((b"\x1a", "ask_brokers"), (b"\x22", "bid_brokers")):
        for level in fields[name]:
            body = b"\x08" + varint(level["position"])
            body += b"".join(b"\x10" + varint(id) for id in level["broker_ids"])
            out += tag + varint(len(body)) + body
    return out


def _text(text: str) -> bytes:
    return varint(len(text)) + text.encode("ascii")


def _varints(values: Integers) -> list[bytes]:
    """Return numbers as varints."""
    if not len(values) or int(values.min()) < _NINE_BYTES:
        return [varint(value) for value in values.tolist()]
    digits = (values[:, None] >> np.arange(0, 63, 7)) & 0x7F
    digits[:, :8] |= 0x80
    data = digits.astype(np.uint8).tobytes()
    return [data[start : start + 9] for start in range(0, len(data), 9)]
