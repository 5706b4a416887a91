"""Protobuf's numbers, for what simulators write by hand."""

from __future__ import annotations

__all__ = ["varint"]


def varint(value: int) -> bytes:
    """Return a number as a varint; negative ones have ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
