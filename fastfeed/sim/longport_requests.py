"""What clients send to a simulated LongPort: packets, cut wherever they may be, one or several at a time."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from fastfeed.protocols.longport_packets import VERIFY_BYTES, PacketType

__all__ = ["MAX_REQUEST_BYTES", "Broken", "Packet", "Packets"]

#: Longest body, compressed or not. 500 symbols are some 10 kB.
MAX_REQUEST_BYTES = 1 << 18

_TYPE, _VERIFY, _GZIP = 0x0F, 0x10, 0x20
_HEAD_BYTES: dict[int, int] = {
    PacketType.REQUEST: 11,
    PacketType.RESPONSE: 10,
}  # the last 3: the length


class Broken(Exception):
    """What comes is not packets; the text says why. Nothing behind it can be understood."""


class Packet(NamedTuple):
    """A request or a response."""

    type: PacketType
    command: int
    request_id: int
    timeout_ms: int
    """Of a response: its status."""
    body: bytes | None
    """None: it could not be decompressed."""


class Packets:
    """Cuts what a client sends into packets. What is kept is less than one packet of the greatest size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """How many bytes wait for the rest of their packet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Packet]:
        """Take a piece; return the packets that are complete.

        Raises
        ------
        Broken
            A packet that clients do not send, or a body that is too long.
        """
        buffer = self._buffer
        buffer += data
        found: list[Packet] = []
        at = 0
        while at < len(buffer):
            first = buffer[at]
            kind = first & _TYPE
            head = _HEAD_BYTES.get(kind)
            if head is None:
                raise Broken(f"expected a request, got a packet of type {kind}")
            if len(buffer) - at < head:
                break
            length = int.from_bytes(buffer[at + head - 3 : at + head], "big")
            if length > MAX_REQUEST_BYTES:
                raise Broken(f"expected a body of at most {MAX_REQUEST_BYTES} bytes, got {length}")
            end = at + head + length
            if len(buffer) < end + (VERIFY_BYTES if first & _VERIFY else 0):
                break
            body: bytes | None = bytes(buffer[at + head : end])
            if first & _GZIP:
                body = _decompressed(body or b"")
            found.append(
                Packet(
                    PacketType(kind),
                    buffer[at + 1],
                    int.from_bytes(buffer[at + 2 : at + 6], "big"),
                    int.from_bytes(buffer[at + 6 : at + head - 3], "big"),
                    body,
                )
            )
            at = end + (VERIFY_BYTES if first & _VERIFY else 0)
        del buffer[:at]
        return found


def _decompressed(body: bytes) -> bytes | None:
    member = zlib.decompressobj(wbits=31)
    try:
        plain = member.decompress(body, MAX_REQUEST_BYTES + 1)
    except zlib.error:
        return None
    if not member.eof or member.unused_data or len(plain) > MAX_REQUEST_BYTES:
        return None
    return plain
