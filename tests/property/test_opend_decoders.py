"""The decoders of OpenD's market data against the protobuf runtime, field by field: pushes and replies of every
kind, in every encoding that protobuf allows, broken, and real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opend_oracle import (
    KINDS,
    NAN,
    SECONDS_OF,
    Kind,
    check,
    decode,
    example_of,
    messages,
    scrambled,
)
from wire_oracle import Field, join_fields, read_varint, split_fields, varint

from fastfeed._core.opend import broker_name, decode_reply
from fastfeed._core.symbols import SymbolTable
from fastfeed.protocols.opend_messages import NAMES

HYPOTHESIS = settings(deadline=None, max_examples=50)
EACH_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@EACH_KIND
@HYPOTHESIS
@given(st.data())
def test_canonical_messages_give_the_runtimes_rows(kind: Kind, data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    check(kind, message.SerializePartialToString())


@EACH_KIND
@HYPOTHESIS
@given(st.data())
def test_every_encoding_gives_the_runtimes_rows(kind: Kind, data: st.DataObject) -> None:
    body = data.draw(scrambled(kind))
    kind.response.FromString(body)  # the generator makes valid messages only
    check(kind, body)


@EACH_KIND
@HYPOTHESIS
@given(st.data())
def test_mutated_messages(kind: Kind, data: st.DataObject) -> None:
    body = bytearray(
        example_of(kind).SerializePartialToString()
        if data.draw(st.booleans())
        else data.draw(scrambled(kind))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(body) - 1, 0)))
        what = data.draw(st.integers(0, 3))
        if what == 0:
            body[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        elif what == 1:
            del body[at : at + data.draw(st.integers(1, 9))]
        elif what == 2:
            body[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            del body[at:]
    check(kind, bytes(body))


@EACH_KIND
@HYPOTHESIS
@given(body=st.binary(max_size=100))
@example(body=bytes.fromhex("888080808000"))
@example(body=bytes.fromhex("8880808080000522008080"))
@example(body=bytes.fromhex("128080808080000800"))
@example(body=bytes.fromhex("08ffffffffffffffffff7f"))
@example(body=bytes.fromhex("2308002400"))
def test_random_bytes(kind: Kind, body: bytes) -> None:
    check(kind, body)
    check(kind, b"\x08\x00\x22" + varint(len(body)) + body)


@EACH_KIND
def test_every_flipped_bit_and_every_truncation(kind: Kind) -> None:
    body = example_of(kind).SerializePartialToString()
    assert len(check(kind, body)) > 0
    for bit in range(8 * len(body)):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        check(kind, bytes(flipped))
    for end in range(len(body)):
        check(kind, body[:end])


# what a generator does not make often


@EACH_KIND
def test_many_elements(kind: Kind) -> None:
    rows = check(kind, example_of(kind, 1000).SerializePartialToString())
    one = kind.stream in ("books", "odd_books", "brokers")
    assert len(rows) == (1 if one else 4000 if kind.stream == "quotes" else 1000)


@EACH_KIND
def test_small_elements_have_room(kind: Kind) -> None:
    """A body that gives many rows for its length."""
    message = kind.response(retType=0)
    if kind.stream == "quotes":
        for _ in range(500):
            quote = message.s2c.basicQotList.add(curPrice=1.0)
            quote.security.code = "A"
            for block in (quote.preMarket, quote.afterMarket, quote.overnight):
                block.SetInParent()
    else:
        message.s2c.security.code = "A"
        for field in message.s2c.DESCRIPTOR.fields:
            if field.is_repeated:
                for _ in range(500):
                    element = getattr(message.s2c, field.name).add()
                    if hasattr(element, "price"):
                        element.price = 1.0
    check(kind, message.SerializePartialToString())


@pytest.mark.parametrize("kl_type", [*SECONDS_OF, 0, 16, 255, 256, -1])
def test_bars_begin_an_interval_before_their_label(kl_type: int) -> None:
    kind = KINDS["QotUpdateKL"]
    message = example_of(kind)
    message.s2c.klType = kl_type
    rows = check(kind, message.SerializePartialToString())
    label = message.s2c.klList[0].timestamp
    seconds = SECONDS_OF.get(kl_type, 0)
    assert rows["time_ns"][0] == (label - (seconds if seconds < 86400 else 0)) * 10**9
    assert rows["interval_s"][0] == seconds


@pytest.mark.parametrize(
    ("name", "closes"), [("QotUpdateKL", [NAN, 2.0]), ("QotGetKL", [0.0, 2.0])]
)
def test_pushed_bars_do_not_know_the_close_before(name: str, closes: list[float]) -> None:
    message = example_of(KINDS[name])
    message.s2c.klList[0].lastClosePrice = 0.0
    message.s2c.klList[1].lastClosePrice = 2.0
    rows, _ = decode(KINDS[name], message.SerializePartialToString())
    np.testing.assert_array_equal(rows["prev_close"], closes)


def test_names_of_brokers_are_learnt() -> None:
    kind = KINDS["QotUpdateBroker"]
    message = kind.response(retType=0)
    message.s2c.security.market = 1
    message.s2c.security.code = "00700"
    names = {1: "Ä", -5: "中國", 2**40: "x" * 80, 9: "y" * 81, 8: "", 300: "Ä", 1000: "z" * 300}
    for number, name in names.items():
        message.s2c.brokerBidList.add(id=number, name=name, pos=1)
    body = message.SerializePartialToString()
    for broken in (False, True):
        # Every place in a rougher encoding must teach the same.
        table = SymbolTable()
        data = body if not broken else body + b"\x28\x00"
        decode(kind, data, brokers=table)
        decode(kind, data, brokers=table)
        for number, name in names.items():
            want = name if 0 < len(name.encode()) <= 80 else None
            assert broker_name(table, number) == want
        assert len(table) == 3
    invalid = body.replace("Ä".encode(), b"\xc3\x28")
    table = SymbolTable()
    rows, _ = decode(kind, invalid, brokers=table)
    assert len(rows) == 1
    assert broker_name(table, 1) is None
    assert list(table) == ["中國", "x" * 80]


@EACH_KIND
def test_numbers_are_cut_to_their_bits(kind: Kind) -> None:
    """Every varint with bits beyond the 32nd: an int32 loses them, an int64 and a bool do not."""

    def widen(data: bytes, descriptor: Any) -> bytes:
        out: list[Field] = []
        for number, wire_type, value in split_fields(data):
            field = descriptor.fields_by_number[number]
            wide = value
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                wide = widen(value, field.message_type)
            elif wire_type == 0:
                wide = varint(read_varint(value, 0)[0] + (5 << 32))
            out.append((number, wire_type, wide))
        return join_fields(out, lambda: 0)

    message = example_of(kind)
    assert len(check(kind, widen(message.SerializePartialToString(), message.DESCRIPTOR))) > 0


def test_no_stream_of_that_name() -> None:
    with pytest.raises(ValueError, match="stream"):
        decode_reply("news", b"", SymbolTable(), 0)
    with pytest.raises(ValueError, match="depth"):
        decode_reply("books", b"", SymbolTable(), 0, depth=0)
    with pytest.raises(ValueError, match="ret_type"):
        decode_reply("books", b"", SymbolTable(), 0)


# real bodies


def test_recorded_bodies(samples: Path) -> None:
    lines = (samples / "captures" / "opend_crypto.jsonl").read_text().splitlines()
    frames = [x["frame_hex"] for x in map(json.loads, lines) if x["direction"] == "s2c"]
    vectors = json.loads((samples / "protocols" / "opend" / "vectors.json").read_text())
    frames += [vectors[name]["frame_hex"] for name in vectors if name.endswith("_push")]
    seen = set()
    for frame in map(bytes.fromhex, frames):
        proto_id = int.from_bytes(frame[2:6], "little")
        if NAMES.get(proto_id) in KINDS:
            seen.add(proto_id)
            assert len(check(KINDS[NAMES[proto_id]], frame[44:])) > 0
    assert {3004, 3005, 3006, 3007, 3010, 3011, 3012, 3013} <= seen
