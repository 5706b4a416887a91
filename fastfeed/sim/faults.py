"""What a simulated OpenD writes: whole packets, or packets with faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from fastfeed.protocols.opend_frames import HEADER, pack
from fastfeed.protocols.opend_messages import (
    NAMES,
    QOT_UPDATE_BASIC_QOT,
    QOT_UPDATE_BROKER,
    QOT_UPDATE_KL,
    QOT_UPDATE_ORDER_BOOK,
    QOT_UPDATE_RT,
    QOT_UPDATE_TICKER,
    message_class,
)
from fastfeed.sim.options import Options, option
from fastfeed.sim.varints import varint

__all__ = ["Cipher", "Faults", "FaultyWire", "Wire"]


def _fault(bare: Any, help: str, off: Any = 0) -> Any:
    return option(off, help, bare=bare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults(Options):
    """What goes wrong, on purpose. Everything is off by default.

    Counts of pushes are per connection. Faults that would destroy a push send an extra packet
    instead, so that all good ones arrive.
    """

    split: int = _fault(1, "write every packet in pieces of n bytes")
    glue: int = _fault(16, "collect n packets for one write (at most 0.1 s)")
    bad_sha1: int = _fault(10, "an extra push with a wrong SHA-1 before every nth")
    garbage_body: int = _fault(10, "an extra push that is no protobuf before every nth")
    empty_list: int = _fault(1, "an extra push without rows before every nth")
    error_push: int = _fault(10, "an extra push with retType -1 before every nth")
    bad_magic: int | None = _fault(100, "a packet with a wrong magic after n pushes", None)
    huge_length: int | None = _fault(100, "a packet that claims 4 GiB after n pushes", None)
    close_mid_packet: int | None = _fault(100, "close in the middle of a push after n pushes", None)
    silence: int | None = _fault(100, "send nothing at all any more after n pushes", None)
    times: int = _fault(1, "how often the four above strike, in all; 0: every connection", 1)
    late_reply: float = _fault(1.0, "answer requests after so many seconds", 0.0)
    no_reply: int = _fault(3010, "never answer requests with this protocol id")
    error_reply: str = _fault(
        "3010:upstream error",
        "answer requests with this protocol id by an error with this text",
        "",
    )
    double_reply: int = _fault(1, "every nth reply comes twice")
    reversed_replies: int = _fault(2, "collect n replies and send the last first (at most 0.1 s)")
    unknown_enums: bool = _fault(True, "numbers that no enumeration has, in every row", False)
    unknown_fields: bool = _fault(True, "fields that no message has, in every message", False)
    shuffled_fields: bool = _fault(True, "fields out of order, in every message", False)
    refuse_init: str = _fault("refused by the simulator", "refuse InitConnect with this text", "")

    def __post_init__(self) -> None:
        number, _, _ = self.error_reply.partition(":")
        if self.error_reply and not (number.isascii() and number.isdigit()):
            raise ValueError(f"expected ID:TEXT for error_reply, got {self.error_reply!r}")


class Cipher(Protocol):
    """What encrypts the packets of a connection."""

    def encrypt_packets(self, packets: bytes) -> bytes:
        """Return whole packets with their bodies encrypted."""


class Wire:
    """Writes packets to one client.

    Attributes
    ----------
    cipher : Cipher or None
        Encrypts what is written from now on.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.cipher: Cipher | None = None

    async def reply(self, data: bytes) -> None:
        """Write an answer."""
        await self._write(self._sealed(data))

    async def push(self, data: bytes) -> None:
        """Write a whole number of pushes."""
        await self._write(self._sealed(data))

    def _sealed(self, data: bytes) -> bytes:
        return data if self.cipher is None else self.cipher.encrypt_packets(data)

    async def _write(self, data: bytes) -> None:
        if self._writer.is_closing():  # uvloop raises a RuntimeError
            raise ConnectionResetError("the client has left")
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
        self._replies = 0
        self._silent = False
        self._lock = asyncio.Lock()
        self._glued: list[bytes] = []
        self._late: set[asyncio.Task[None]] = set()
        self._reversed: list[bytes] = []

    async def reply(self, data: bytes) -> None:
        faults = self._faults
        _, proto, _, _, serial, _, _, _ = HEADER.unpack_from(data)
        self._replies += 1
        if proto == faults.no_reply:
            return
        number, _, text = faults.error_reply.partition(":")
        if number and proto == int(number):
            data = pack(proto, serial, _error(text or "upstream error"))
        data = self._sealed(self._rewritten(data))
        if faults.double_reply and self._replies % faults.double_reply == 0:
            data += data
        if faults.late_reply:
            self._soon(self._reply_late(data))
        elif faults.reversed_replies > 1:
            if not self._reversed:
                self._soon(self._reply_reversed())
            self._reversed.append(data)
            if len(self._reversed) >= faults.reversed_replies:
                await self._send_reversed()
        else:
            async with self._lock:
                await self._send(data)

    def _soon(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(sending)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _reply_late(self, data: bytes) -> None:
        await asyncio.sleep(self._faults.late_reply)
        with suppress(ConnectionError):  # the client did not wait
            async with self._lock:
                await self._send(data)

    async def _reply_reversed(self) -> None:
        await asyncio.sleep(0.1)
        with suppress(ConnectionError):
            await self._send_reversed()

    async def _send_reversed(self) -> None:
        async with self._lock:
            data = b"".join(reversed(self._reversed))
            self._reversed.clear()
            if data:
                await self._send(data)

    async def push(self, data: bytes) -> None:
        async with self._lock:
            for plain in _packets(data):
                good = self._sealed(self._rewritten(plain))
                for bad in self._extras(plain, good):
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
                await self._send(good)
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

    def _extras(self, plain: bytes, good: bytes) -> Iterator[bytes]:
        """Yield what is sent before a push."""
        faults, number = self._faults, self._pushes + 1
        _, proto, _, _, serial, _, _, _ = HEADER.unpack_from(plain)
        if faults.bad_sha1 and number % faults.bad_sha1 == 0:
            yield good[:16] + bytes(byte ^ 0xFF for byte in good[16:36]) + good[36:]
        if faults.garbage_body and number % faults.garbage_body == 0:
            yield self._sealed(pack(proto, serial, b"\xff" * 40))
        if faults.empty_list and number % faults.empty_list == 0 and proto in _LISTS:
            body = _without(plain[HEADER.size :], _LISTS[proto])
            yield self._sealed(pack(proto, serial, body))
        if faults.error_push and number % faults.error_push == 0:
            yield self._sealed(pack(proto, serial, _error("upstream error")))
        if self._due("bad_magic"):
            yield b"XX" + good[2:]
        if self._due("huge_length"):
            yield good[:12] + b"\xff\xff\xff\xff" + good[16:]

    def _rewritten(self, plain: bytes) -> bytes:
        faults = self._faults
        if not (faults.unknown_enums or faults.unknown_fields or faults.shuffled_fields):
            return plain
        _, proto, _, _, serial, _, _, _ = HEADER.unpack_from(plain)
        if (message := _message(proto)) is None:
            return plain
        return pack(proto, serial, _rewrite(plain[HEADER.size :], message, faults, self._random))

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


# The rows of pushes: fields of their s2c.
_LISTS = {
    QOT_UPDATE_BASIC_QOT: {1},
    QOT_UPDATE_KL: {4},
    QOT_UPDATE_RT: {2},
    QOT_UPDATE_TICKER: {2},
    QOT_UPDATE_ORDER_BOOK: {2, 3},
    QOT_UPDATE_BROKER: {2, 3},
}

# New values of enumerations, by message and field; such as do not change what a row is.
_ENUMS = {
    "Ticker": {3: 7, 8: -200, 9: 0x1F4C8, 10: 9},  # dir, type, typeSign, pushDataType
    "BasicQot": {15: 77, 21: 200},  # darkStatus, secStatus
    "OptionBasicQotExData": {15: 77, 18: 77},  # optionAreaType, indexOptionType
    "SecurityStaticBasic": {9: 777},  # exchType
}


def _message(proto: int) -> Any:
    """Return the descriptor of a reply or push, None where there is none."""
    if proto not in NAMES:
        return None
    try:
        return message_class(f"{NAMES[proto]}.Response").DESCRIPTOR
    except KeyError:  # it has no content
        return message_class("Reply").DESCRIPTOR


def _error(text: str) -> bytes:
    reply: bytes = message_class("Reply")(retType=-1, retMsg=text.encode()).SerializeToString()
    return reply


def _rewrite(data: bytes, message: Any, faults: Faults, chance: random.Random) -> bytes:
    parts: list[tuple[int, bytes]] = []
    enums = _ENUMS.get(message.name, {})
    for number, wire, value in _fields(data):
        known = message.fields_by_number.get(number)
        if known is not None and known.message_type is not None:
            value = _rewrite(value, known.message_type, faults, chance)  # noqa: PLW2901
        if faults.unknown_enums and number in enums:
            value = varint(enums[number])  # noqa: PLW2901
        parts.append((number, _field(number, wire, value)))
    if faults.unknown_fields:
        for number, wire, value in (
            (1000, 0, varint(-1)), (1001, 1, bytes(8)), (1002, 2, b"unknown"), (1003, 5, bytes(4)),
        ):  # fmt: skip
            parts.insert(chance.randint(0, len(parts)), (number, _field(number, wire, value)))
    if faults.shuffled_fields:
        order = [number for number, _ in parts]
        chance.shuffle(order)
        # Rows keep their order among themselves.
        queues = {number: iter([part for n, part in parts if n == number]) for number in order}
        return b"".join(next(queues[number]) for number in order)
    return b"".join(part for _, part in parts)


def _without(body: bytes, lists: set[int]) -> bytes:
    """Return a push without its rows."""
    out = b""
    for number, wire, value in _fields(body):
        if number == 4:
            value = b"".join(_field(*part) for part in _fields(value) if part[0] not in lists)  # noqa: PLW2901
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
    length = varint(len(value)) if wire == 2 else b""
    return varint(number << 3 | wire) + length + value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at
