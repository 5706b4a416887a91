"""The benches' samples: what they are made of, and how they look on the wire."""

import json
from hashlib import sha1
from random import Random

import pytest

import fastfeed as ff
from fastfeed.bench import alltick_pushes, longport_pushes, opend_pushes
from fastfeed.bench.samples import Sample, pushes_of, with_each
from fastfeed.protocols.longport_messages import message_class as longport_message
from fastfeed.protocols.opend_messages import message_class as opend_message

KINDS = [
    *(("opend", kind) for kind in opend_pushes.KINDS),
    *(("alltick", kind) for kind in ("ticks", "books")),
    *(("longport", kind) for kind in longport_pushes.KINDS),
]
SEQUENCE = 1_785_204_916_123_456_789  # a time in ns

kinds = pytest.mark.parametrize(("vendor", "kind"), KINDS)
vendors = pytest.mark.parametrize("vendor", ["opend", "alltick", "longport"])


def parsed(vendor, kind, body):
    """Return a body as protobuf or json read it."""
    if vendor == "alltick":
        return json.loads(body)["data"]
    if vendor == "longport":
        return longport_message(longport_pushes.KINDS[kind].message).FromString(body)
    return opend_message(opend_pushes.KINDS[kind].message).FromString(body).s2c


def symbol_of(vendor, kind, body):
    push = parsed(vendor, kind, body)
    if vendor == "alltick":
        return push["code"]
    if vendor == "longport":
        return push.symbol
    return (push.basicQotList[0] if kind == "quotes" else push).security.code + ".US"


@kinds
def test_a_sample_is_the_same_each_time_and_through_a_file(vendor, kind, tmp_path):
    make = pushes_of(vendor).sample
    sample = make(kind, 7, 30)
    assert make(kind, 7, 30) == sample
    assert make(kind, 8, 30) != sample
    assert (sample.vendor, sample.kind, len(sample.bodies)) == (vendor, kind, 30)
    assert sample.rows == 30 * sample.rows_each
    sample.write(tmp_path / "sample")
    assert Sample.read(tmp_path / "sample") == sample


@kinds
def test_each_symbol_has_a_push(vendor, kind):
    sample = pushes_of(vendor).sample(kind, 50, 200)
    found = [symbol_of(vendor, kind, body) for body in sample.bodies]
    assert set(found) == set(sample.symbols)
    assert len(set(sample.symbols)) == 50
    assert found[:50] != sorted(found[:50])
    assert len(set(found[:50])) < 50  # in no order at all


@vendors
def test_ten_thousand_symbols_have_names_that_a_c_loop_can_hold(vendor):
    symbols = pushes_of(vendor).sample("ticks", 10_000, 0).symbols
    assert len(set(symbols)) == 10_000
    assert max(len(symbol.removesuffix(".US")) for symbol in symbols) <= 8


@kinds
def test_fastfeed_reads_what_is_on_the_wire(vendor, kind):
    sample = pushes_of(vendor).sample(kind, 5, 40)
    decoder = ff.Decoder(vendor, check_sha1=True, transport="tcp")
    if vendor == "alltick":
        for body in sample.bodies:
            decoder.feed(body)
    else:
        decoder.feed(sample.stream(**({"framed": False} if vendor == "longport" else {})))
    rows = decoder.stream(kind).latest(sample.rows + 1)
    assert len(rows) == sample.rows
    right = [symbol_of(vendor, kind, body) for body in sample.bodies]
    got = [decoder.symbols[i] for i in rows["symbol"]]
    assert got == [symbol for symbol in right for _ in range(sample.rows_each)]


def test_an_opend_packet_has_a_head_with_the_right_digest():
    body = opend_pushes.sample("books", 2, 2).bodies[1]
    packet = opend_pushes.on_wire(body, 77, "books")
    magic, proto_id, _, _, serial, length, digest, _ = opend_pushes.HEADER.unpack(packet[:44])
    assert (magic, proto_id, serial, length) == (b"FT", 3013, 77, len(body))
    assert digest == sha1(body).digest()
    assert packet[44:] == body


@pytest.mark.parametrize("kind", ["ticks", "books"])
def test_alltick_frames_are_those_of_a_server(kind):
    for body in alltick_pushes.sample(kind, 4, 8).bodies:
        frame = alltick_pushes.on_wire(body, 0, kind)
        assert frame[:2] == bytes((0x81, 126))
        assert int.from_bytes(frame[2:4], "big") == len(body)
        assert frame[4:] == body


@pytest.mark.parametrize("kind", longport_pushes.KINDS)
def test_longport_frames_hold_the_packets_of_tcp(kind):
    for body in longport_pushes.sample(kind, 4, 8).bodies:
        packet = longport_pushes.on_wire(body, 0, kind, framed=False)
        assert packet[:2] == bytes((3, longport_pushes.KINDS[kind].command))
        assert int.from_bytes(packet[2:5], "big") == len(body)
        assert packet[5:] == body
        frame = longport_pushes.on_wire(body, 0, kind)
        assert frame[0] == 0x82
        assert frame.endswith(packet)
        assert len(frame) == len(packet) + (2 if len(packet) < 126 else 4)


def varint(value):
    return bytes(value >> shift & 0x7F | (0x80 if shift < 56 else 0) for shift in range(0, 63, 7))


@pytest.mark.parametrize("per_push", [1, 10])
def test_the_sequence_of_opend_is_patched_in_place(per_push):
    for body in opend_pushes.sample("ticks", 3, 20, per_push).bodies:
        packet = bytearray(opend_pushes.on_wire(body, 0))
        at = opend_pushes.sequence_at(bytes(packet))
        packet[at : at + 9] = varint(SEQUENCE)
        right = parsed("opend", "ticks", body)
        right.tickerList[0].sequence = SEQUENCE
        assert parsed("opend", "ticks", bytes(packet[44:])) == right


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize("kind", longport_pushes.KINDS)
def test_the_sequence_of_longport_is_patched_in_place(kind, framed):
    for body in longport_pushes.sample(kind, 3, 20).bodies:
        packet = bytearray(longport_pushes.on_wire(body, 0, kind, framed=framed))
        at = longport_pushes.sequence_at(bytes(packet))
        packet[at : at + 9] = varint(SEQUENCE)
        right = parsed("longport", kind, body)
        right.sequence = SEQUENCE
        assert parsed("longport", kind, bytes(packet[-len(body) :])) == right


@pytest.mark.parametrize("kind", ["ticks", "books"])
def test_the_sequence_of_alltick_is_patched_in_place(kind):
    for body in alltick_pushes.sample(kind, 4, 20).bodies:
        frame = bytearray(alltick_pushes.on_wire(body, 0, stampable=True))
        at = alltick_pushes.sequence_at(bytes(frame))
        frame[at : at + 19] = b"%d" % SEQUENCE
        assert parsed("alltick", kind, frame[-len(body) - 6 :]) == {
            **parsed("alltick", kind, body),
            "seq": SEQUENCE,
        }


def test_a_sequence_that_has_another_length_is_refused():
    push = opend_message(opend_pushes.KINDS["ticks"].message)()
    push.ParseFromString(opend_pushes.sample("ticks", 1, 1).bodies[0])
    push.s2c.tickerList[0].sequence = 5
    with pytest.raises(ValueError, match="a sequence of 9 bytes, got 5"):
        opend_pushes.sequence_at(opend_pushes.on_wire(push.SerializeToString(), 0))
    with pytest.raises(ValueError, match="a sequence of 19 digits"):
        alltick_pushes.sequence_at(b'\x81\x0e{"seq":123456}')
    message = longport_message("PushTrade")(symbol="700.HK", sequence=5)
    for framed in (True, False):
        packet = longport_pushes.on_wire(message.SerializeToString(), 0, framed=framed)
        with pytest.raises(ValueError, match="a sequence of 9 bytes"):
            longport_pushes.sequence_at(packet)


def test_several_ticks_of_a_push():
    for vendor in ("opend", "longport"):
        sample = pushes_of(vendor).sample("ticks", 3, 4, 5)
        assert (sample.rows_each, sample.rows) == (5, 20)
    assert len(parsed("longport", "ticks", sample.bodies[0]).trade) == 5
    for vendor, kind in KINDS:
        if (vendor, kind) not in (("opend", "ticks"), ("longport", "ticks")):
            with pytest.raises(ValueError, match="expected one per push"):
                pushes_of(vendor).sample(kind, 3, 4, 5)


def test_with_each():
    values = list("abcdefgh")
    assert set(with_each(values, 20, Random(1))) == set(values)
    assert sorted(with_each(values, 8, Random(1))) == values
    assert len(set(with_each(values, 5, Random(1)))) == 5
    assert with_each(values, 0, Random(1)) == []
