"""OpenD's packets on the way out: a 44-byte header and a body. (On the way in they are the machine's.)"""

from __future__ import annotations

import struct
from hashlib import sha1

__all__ = ["HEADER", "pack"]

#: magic, protocol id, format, version, serial number, body length, SHA-1 of the body, reserved.
HEADER = struct.Struct("<2sIBBII20s8s")


def pack(proto_id: int, serial: int, body: bytes) -> bytes:
    """Return a whole packet with a protobuf body, not encrypted."""
    digest = sha1(body, usedforsecurity=False).digest()
    return HEADER.pack(b"FT", proto_id, 0, 0, serial, len(body), digest, bytes(8)) + body
