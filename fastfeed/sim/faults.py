"""What a simulated OpenD writes: whole packets, or packets with faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from fastfeed.protocols.opend_frames import HEADER, pack
from fastfeed.protocols.opend_messages import QOT_UPDATE_TICKER

__all__ = ["Faults", "FaultyWire", "Wire"]


def _fault(bare: Any, help: str, off: Any = 0) -> Any:
    """Describe a fault: what it is set to when only its name is given, and what it does."""
    return field(default=off, metadata={"bare": bare, "help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong, on purpose. Everything is off by default.

    Counts of pushes are per connection. Faults that would destroy a tick send an extra packet
    instead, so that all good ticks arrive.
    """

    split: int = _fault(1, "write every packet in pieces of n bytes")
    glue: int = _fault(16, "collect n packets for one write (at most 0.1 s)")
    bad_sha1: int = _fault(10, "an extra push with a wrong SHA-1 before every nth")
    garbage_body: int = _fault(10, "an extra push that is no protobuf before every nth")
    empty_list: int = _fault(1, "an extra push without ticks before every nth")
    error_push: int = _fault(10, "an extra push with retType -1 before every nth")
    bad_magic: int | None = _fault(100, "a packet with a wrong magic after n pushes", None)
    huge_length: int | None = _fault(100, "a packet that claims 4 GiB after n pushes", None)
    close_mid_packet: int | None = _fault(100, "close in the middle of a push after n pushes", None)
    silence: int | None = _fault(100, "send nothing at all any more after n pushes", None)
    times: int = _fault(1, "how often the four above strike, in all; 0: every connection", 1)
    late_reply: float = _fault(1.0, "answer requests after so many seconds", 0.0)
    unknown_enums: bool = _fault(True, "numbers that no enumeration has, in every tick", False)
    unknown_fields: bool = _fault(True, "fields that no message has, in every push", False)
    shuffled_fields: bool = _fault(True, "fields out of order, in every push", False)
    refuse_init: str = _fault("refused by the simulator", "refuse InitConnect with this text", "")

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Faults:
        """Return the faults of texts such as ``"split"`` and ``"bad_sha1=5"``.

        Raises
        ------
        ValueError
            There is no such fault, or it does not take this value.
        """
        faults = cls()
        known = {f.name: f for f in fields(cls)}
        for text in texts:
            name, given, value = text.partition("=")
            if name not in known:
                raise ValueError(f"expected one of {', '.join(known)}, got {name!r}")
            bare = known[name].metadata["bare"]
            if given and isinstance(bare, bool):
                raise ValueError(f"{name} takes no value, got {value!r}")
            try:
                parsed = type(bare)(value) if given else bare
            except ValueError:
                parsed = -1
            if not isinstance(parsed, str) and not 0 <= parsed < float("inf"):
                raise ValueError(f"expected a number for {name}, got {value!r}")
            faults = replace(faults, **{name: parsed})
        return faults

    @classmethod
    def describe(cls) -> Iterator[tuple[str, Any, str]]:
        """Yield the name of each fault, its value when only the name is given, and what it does."""
        for f in fields(cls):
            yield f.name, f.metadata["bare"], f.metadata["help"]


class Wire:
    """Writes packets to one client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def reply(self, data: bytes) -> None:
        """Write an answer."""
        await self._write(data)

    async def push(self, data: bytes) -> None:
        """Write a whole number of pushes."""
        await self._write(data)

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class FaultyWire(Wire):
    """Writes packets with faults.

    Parameters
    ----------
    writer : StreamWriter
    faults : Faults
    strikes : dict
        How often the faults that end a connection have struck, shared by the wires of a simulator.
    seed : int
        Decides on the order of shuffled fields.
    """

    def __init__(
        self, writer: asyncio.StreamWriter, faults: Faults, strikes: dict[str, int], seed: int
    ) -> None:
        super().__init__(writer)
        self._faults = faults
        self._strikes = strikes
        self._random = random.Random(seed)
        self._pushes = 0
        self._silent = False
        self._lock = asyncio.Lock()
        self._glued: list[bytes] = []
        self._late: set[asyncio.Task[None]] = set()

    async def reply(self, data: bytes) -> None:
        if self._faults.late_reply:
            task = asyncio.create_task(self._reply_late(data))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return
        async with self._lock:
            await self._send(data)

    async def _reply_late(self, data: bytes) -> None:
        await asyncio.sleep(self._faults.late_reply)
        try:
            async with self._lock:
                await self._send(data)
        except ConnectionError:
            pass  # the client did not wait

    async def push(self, data: bytes) -> None:
        async with self._lock:
            for good in _packets(data):
                for bad in self._extras(good):
                    await self._send(bad)
                if self._due("close_mid_packet"):
                    await self._send(good[: len(good) // 2])
                    await self._flush()
                    self._writer.close()
                    raise ConnectionAbortedError("closed in the middle of a packet")
                if self._due("silence"):
                    self._silent = True
                if self._silent:
                    break
                await self._send(self._rewritten(good))
                self._pushes += 1
        if self._silent:
            await asyncio.Future()  # until the client leaves

    def _due(self, name: str) -> bool:
        after = getattr(self._faults, name)
        if after is None or self._pushes != after:
            return False
        struck = self._strikes.get(name, 0)
        if self._faults.times and struck >= self._faults.times:
            return False
        self._strikes[name] = struck + 1
        return True

    def _extras(self, good: bytes) -> Iterator[bytes]:
        """Yield what is sent before a push."""
        faults, number = self._faults, self._pushes + 1
        serial = HEADER.unpack_from(good)[4]
        if faults.bad_sha1 and number % faults.bad_sha1 == 0:
            yield good[:16] + bytes(byte ^ 0xFF for byte in good[16:36]) + good[36:]
        if faults.garbage_body and number % faults.garbage_body == 0:
            yield pack(QOT_UPDATE_TICKER, serial, b"\xff" * 40)
        if faults.empty_list and number % faults.empty_list == 0:
            yield pack(QOT_UPDATE_TICKER, serial, _without_ticks(good[HEADER.size :]))
        if faults.error_push and number % faults.error_push == 0:
            text = b"upstream error"
            body = b"\x08" + _varint(-1) + b"\x12" + _varint(len(text)) + text
            yield pack(QOT_UPDATE_TICKER, serial, body)
        if self._due("bad_magic"):
            yield b"XX" + good[2:]
        if self._due("huge_length"):
            yield good[:12] + b"\xff\xff\xff\xff" + good[16:]

    def _rewritten(self, good: bytes) -> bytes:
        faults = self._faults
        if not (faults.unknown_enums or faults.unknown_fields or faults.shuffled_fields):
            return good
        body = _rewrite(good[HEADER.size :], _RESPONSE, faults, self._random)
        return pack(QOT_UPDATE_TICKER, HEADER.unpack_from(good)[4], body)

    async def _send(self, data: bytes) -> None:
        if self._silent:
            return
        if self._faults.glue > 1:
            if not self._glued:
                asyncio.get_running_loop().call_later(0.1, self._unglue)
            self._glued.append(data)
            if len(self._glued) < self._faults.glue:
                return
        await self._flush(data if self._faults.glue <= 1 else b"")

    async def _flush(self, data: bytes = b"") -> None:
        data = b"".join(self._glued) + data
        self._glued.clear()
        if not self._faults.split:
            await self._write(data)
            return
        pieces = asyncio.ensure_future(self._write_pieces(data, self._faults.split))
        try:
            await asyncio.shield(pieces)
        except asyncio.CancelledError:
            await pieces  # what comes next must not land inside of a packet
            raise

    async def _write_pieces(self, data: bytes, size: int) -> None:
        for start in range(0, len(data), size):
            await self._write(data[start : start + size])
            await asyncio.sleep(0)  # a write of its own for each piece

    def _unglue(self) -> None:
        if self._glued and not self._writer.transport.is_closing():
            self._writer.write(b"".join(self._glued))
        self._glued.clear()


def _packets(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + HEADER.size + HEADER.unpack_from(data, start)[5]
        yield data[start:end]
        start = end


@dataclass(frozen=True, slots=True)
class _Message:
    """What a rewrite has to know of a message: sub-messages, and new values of enumerations."""

    children: dict[int, _Message] = field(default_factory=dict)
    enums: dict[int, int] = field(default_factory=dict)


# dir, type, typeSign, pushDataType
_TICKER = _Message(enums={3: 7, 8: -200, 9: 0x1F4C8, 10: 9})
_RESPONSE = _Message({4: _Message({1: _Message(), 2: _TICKER})})


def _rewrite(data: bytes, message: _Message, faults: Faults, chance: random.Random) -> bytes:
    parts: list[tuple[int, bytes]] = []
    for number, wire, value in _fields(data):
        if number in message.children:
            value = _rewrite(value, message.children[number], faults, chance)  # noqa: PLW2901
        if faults.unknown_enums and number in message.enums:
            value = _varint(message.enums[number])  # noqa: PLW2901
        parts.append((number, _field(number, wire, value)))
    if faults.unknown_fields:
        for number, wire, value in (
            (1000, 0, _varint(-1)), (1001, 1, bytes(8)), (1002, 2, b"unknown"), (1003, 5, bytes(4)),
        ):  # fmt: skip
            parts.insert(chance.randint(0, len(parts)), (number, _field(number, wire, value)))
    if faults.shuffled_fields:
        order = [number for number, _ in parts]
        chance.shuffle(order)
        # Rows keep their order among themselves.
        queues = {number: iter([part for n, part in parts if n == number]) for number in order}
        return b"".join(next(queues[number]) for number in order)
    return b"".join(part for _, part in parts)


def _without_ticks(body: bytes) -> bytes:
    out = b""
    for number, wire, value in _fields(body):
        if number == 4:
            value = b"".join(_field(*part) for part in _fields(value) if part[0] != 2)  # noqa: PLW2901
        out += _field(number, wire, value)
    return out


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, wire type and value of every field; the value without a length before it."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire = key & 7
        if wire == 2:
            length, at = _read_varint(data, at)
            end = at + length
        elif wire == 0:
            _, end = _read_varint(data, at)
        else:
            end = at + (8 if wire == 1 else 4)
        yield key >> 3, wire, data[at:end]
        at = end


def _field(number: int, wire: int, value: bytes) -> bytes:
    length = _varint(len(value)) if wire == 2 else b""
    return _varint(number << 3 | wire) + length + value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
