"""What the property tests of the protobuf decoders share: encodings that protobuf allows beside the usual one, and
a comparison of rows bit by bit."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

Repeated = dict[int, st.SearchStrategy[bytes]]
Field = tuple[int, int, bytes]  # number, wire type, value without its length


def varint(value: int, padding: int = 0, most: int = 10) -> bytes:
    out = bytearray()
    while value >= 0x80 or (padding and len(out) < most - 1):
        if value < 0x80:
            padding -= 1
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def split_fields(data: bytes) -> list[Field]:
    fields, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        start = at
        if tag & 7 == 0:
            value, at = read_varint(data, at)
            fields.append((tag >> 3, 0, varint(value)))
            continue
        if tag & 7 == 2:
            size, start = read_varint(data, at)
            at = start
        else:
            size = {1: 8, 5: 4}[tag & 7]
        at += size
        fields.append((tag >> 3, tag & 7, data[start:at]))
    return fields


def join_fields(fields: list[Field], padding: Callable[[], int]) -> bytes:
    out = bytearray()
    for number, wire_type, value in fields:
        out += varint(number << 3 | wire_type, padding(), 5)
        if wire_type == 0:
            out += varint(read_varint(value, 0)[0], padding())
        elif wire_type == 2:
            out += varint(len(value), padding(), 5) + value
        else:
            out += value
    return bytes(out)


def split_varints(data: bytes) -> list[bytes]:
    values, at = [], 0
    while at < len(data):
        value, at = read_varint(data, at)
        values.append(varint(value))
    return values


def same(got: Any, want: Any) -> bool:
    if isinstance(want, list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, float):
        return (math.isnan(want) and math.isnan(got)) or (
            struct.pack("<d", got) == struct.pack("<d", want)
        )
    return bool(got == want)


UNKNOWN = st.one_of(
    st.tuples(st.integers(27, 2**29 - 1), st.just(0), st.integers(0, 2**64 - 1).map(varint)),
    st.tuples(st.integers(27, 300), st.just(1), st.binary(min_size=8, max_size=8)),
    st.tuples(st.integers(27, 300), st.just(2), st.binary(max_size=20)),
    st.tuples(st.integers(27, 300), st.just(5), st.binary(min_size=4, max_size=4)),
    # A known number with another wire type is an unknown field, too.
    st.tuples(st.integers(1, 26), st.just(5), st.binary(min_size=4, max_size=4)),
)


def scramble(draw: st.DrawFn, data: bytes, descriptor: Any, repeated: Repeated) -> bytes:
    """Encode a message in another way: order, pieces, repetitions, unknown fields, long varints.

    `repeated` has values for fields that are there again, by wire type.
    """
    out: list[Field] = []
    for number, wire_type, value in split_fields(data):
        field = descriptor.fields_by_number[number]
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            pieces = [value]
            if not field.is_repeated and draw(st.booleans()):  # in two pieces: they merge
                inner = split_fields(value)
                at = draw(st.integers(0, len(inner)))
                pieces = [join_fields(inner[:at], lambda: 0), join_fields(inner[at:], lambda: 0)]
            out += [
                (number, 2, scramble(draw, piece, field.message_type, repeated)) for piece in pieces
            ]
            continue
        if field.is_repeated and field.type == FieldDescriptor.TYPE_INT32 and draw(st.booleans()):
            out += [(number, 0, each) for each in split_varints(value)]  # not packed
            continue
        out.append((number, wire_type, value))
        if number != 1 and draw(st.integers(0, 9)) == 0:  # repeated: the last counts
            out.append((number, wire_type, draw(repeated[wire_type])))
    out += draw(st.lists(UNKNOWN, max_size=2))
    if draw(st.booleans()):
        out = draw(st.permutations(out))
    padded = draw(st.booleans())
    return join_fields(out, lambda: draw(st.integers(0, 9)) if padded else 0)
