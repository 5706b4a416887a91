"""OpenD's packets on the way out: a 44-byte header and a body. (On the way in they are the machine's.)"""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import sha1

__all__ = ["HEADER", "body_sha1", "pack"]

#: magic, protocol id, format, version, serial number, length of the body, SHA-1 of the plain body, reserved.
HEADER = struct.Struct("<2sIBBII20s8s")


def body_sha1(body: bytes) -> bytes:
    """Return the digest of a plain body that stands in a header."""
    return sha1(body, usedforsecurity=False).digest()


def pack(
    proto_id: int, serial: int, body: bytes, encrypt: Callable[[bytes], bytes] | None = None
) -> bytes:
    """Return a whole packet with a protobuf body, encrypted by a function of the body if one is given."""
    sent = body if encrypt is None else encrypt(body)
    return HEADER.pack(b"FT", proto_id, 0, 0, serial, len(sent), body_sha1(body), bytes(8)) + sent
