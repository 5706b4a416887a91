"""LongPort's packets on the way out, and the handshake of raw TCP. (On the way in they are the machine's.)

A packet is a head of big-endian numbers and a body, which may be a gzip member; the length counts what is sent.
Behind the body may lie a nonce of 8 and a signature of 16 bytes, which nobody knows how to make or check.
"""

from __future__ import annotations

import enum
import gzip

__all__ = [
    "MAX_BODY_BYTES",
    "TCP_HANDSHAKE",
    "VERIFY_BYTES",
    "WEBSOCKET_QUERY",
    "PacketType",
    "pack_push",
    "pack_request",
    "pack_response",
]

#: Version 1 and codec 1 (protobuf) in one byte, platform 9 (OpenAPI): what a TCP connection begins with.
TCP_HANDSHAKE = b"\x11\x09"
#: The same in the address of the WebSocket.
WEBSOCKET_QUERY = "version=1&codec=1&platform=9"

MAX_BODY_BYTES = (1 << 24) - 1
VERIFY_BYTES = 8 + 16

_VERIFY, _GZIP = 0x10, 0x20


class PacketType(enum.IntEnum):
    """The low four bits of a packet."""

    REQUEST = 1
    RESPONSE = 2
    PUSH = 3


def pack_request(command: int, request_id: int, timeout_ms: int, body: bytes) -> bytes:
    """Return a request."""
    head = (
        command.to_bytes(1, "big") + request_id.to_bytes(4, "big") + timeout_ms.to_bytes(2, "big")
    )
    return _packet(PacketType.REQUEST, head, body, False, b"")


def pack_response(
    command: int,
    request_id: int,
    status: int,
    body: bytes,
    *,
    compress: bool = False,
    verify: bytes = b"",
) -> bytes:
    """Return a response; `verify` are the 24 bytes behind the body."""
    head = command.to_bytes(1, "big") + request_id.to_bytes(4, "big") + status.to_bytes(1, "big")
    return _packet(PacketType.RESPONSE, head, body, compress, verify)


def pack_push(command: int, body: bytes, *, compress: bool = False, verify: bytes = b"") -> bytes:
    """Return a push; `verify` are the 24 bytes behind the body."""
    return _packet(PacketType.PUSH, command.to_bytes(1, "big"), body, compress, verify)


def _packet(kind: PacketType, head: bytes, body: bytes, compress: bool, verify: bytes) -> bytes:
    if compress:
        body = gzip.compress(body, mtime=0)
    first = kind | (_GZIP if compress else 0) | (_VERIFY if verify else 0)
    return first.to_bytes(1, "big") + head + len(body).to_bytes(3, "big") + body + verify
