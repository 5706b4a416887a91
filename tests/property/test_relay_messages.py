"""What goes over NATS: every symbol is a subject and back, every row a payload and back; anything else is refused."""

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeed as ff
from fastfeed.protocols.relay_messages import (
    FIRST,
    LOST,
    RUN,
    Header,
    PayloadCodec,
    checked_prefix,
    header_of,
    subject_of,
    symbol_of,
)
from fastfeed.schema import STREAMS

SYMBOLS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.text(
    ".-%*> A", max_size=6
)


@given(SYMBOLS, st.sampled_from(STREAMS))
def test_every_symbol_is_a_subject_and_back(symbol, kind):
    subject = subject_of("a.md", kind, symbol)
    assert re.fullmatch(r"a\.md\.[a-z_]+\.[!-~]+\.[!-~]+", subject)
    tokens = subject.split(".")
    assert len(tokens) == 5
    assert not any(set(token) & set(" *>") for token in tokens)
    assert symbol_of(subject) == (kind, symbol)


@given(SYMBOLS, SYMBOLS)
def test_two_symbols_have_two_subjects(one, other):
    same = subject_of("md", "ticks", one) == subject_of("md", "ticks", other)
    assert same == (one == other)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_a_subject_has_one_spelling(text):
    subject = f"md.ticks.{text}"
    try:
        kind, symbol = symbol_of(subject)
    except ValueError:
        return
    assert subject_of(subject.rsplit(".", 3)[0], kind, symbol) == subject


@pytest.mark.parametrize(
    ("symbol", "subject"),
    [
        ("700.HK", "md.ticks.HK.700"),
        ("BRK.B.US", "md.ticks.US.BRK%2EB"),
        ("BTCUSDT", "md.ticks.-.BTCUSDT"),
        ("A.-", "md.ticks.%2D.A"),
        ("700.", "md.ticks.%.700"),
        (".HK", "md.ticks.HK.%"),
        ("", "md.ticks.-.%"),
        ("a b*>%é", "md.ticks.-.a%20b%2A%3E%25%C3%A9"),
    ],
)
def test_subjects_are_these(symbol, subject):
    assert subject_of("md", "ticks", symbol) == subject
    assert symbol_of(subject) == ("ticks", symbol)


@pytest.mark.parametrize(
    "subject", ["md", "ticks.HK.700", "md.ticks.HK.%41", "md.ticks.HK.%2e", "md.ticks.HK.%FF", "md.ticks.-.%ZZ"]
)  # fmt: skip
def test_other_subjects_are_refused(subject):
    with pytest.raises(ValueError):
        symbol_of(subject)


@pytest.mark.parametrize("prefix", ["", ".", "md.", "m*", "a b", "md.>", "x" * 65, "é", None])
def test_other_prefixes_are_refused(prefix):
    with pytest.raises(ValueError):
        checked_prefix(prefix)


def rows_of(data, dtype):
    raw = data.draw(st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize))
    count = data.draw(st.integers(1, 5))
    return np.frombuffer(raw * count, dtype)


@pytest.mark.parametrize("kind", STREAMS)
@given(data=st.data())
def test_rows_come_back(kind, data):
    dtype = ff.dtype(kind, 3)
    rows = rows_of(data, dtype)
    codec = PayloadCodec(dtype)
    payload = codec.encode(rows)
    body, count = codec.decode(payload)
    assert count == len(rows)
    assert bytes(body) == rows.tobytes()
    # And for anybody else:
    loaded = np.load(io.BytesIO(payload), allow_pickle=False)
    assert loaded.dtype == dtype
    for name in dtype.names:
        assert loaded[name].tobytes() == rows[name].tobytes()


@given(st.data())
def test_other_bytes_are_refused(data):
    dtype = ff.dtype("ticks")
    codec = PayloadCodec(dtype)
    payload = bytearray(codec.encode(rows_of(data, dtype)))
    for _ in range(data.draw(st.integers(0, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    payload = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    try:
        body, count = codec.decode(payload)
    except ValueError:
        return
    assert len(bytes(body)) == count * dtype.itemsize


@given(st.binary(max_size=200), st.integers(0, 70000))
def test_any_header_is_refused_or_read(text, length):
    start = b"\x93NUMPY\x01\x00" + (length & 0xFFFF).to_bytes(2, "little")
    codec = PayloadCodec(ff.dtype("ticks"))
    for payload in (text, start + text, start[:8] + len(text).to_bytes(2, "little") + text):
        with pytest.raises(ValueError):
            codec.decode(payload)


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype("f8"),
        np.dtype([("price", "O")]),
        np.dtype([("price", "S8")]),
        np.dtype([("price", [("x", "f8")])]),
        np.dtype([("price", "f8", (2, 2))]),
        np.dtype([("price", "f8", 200_000)]),
        np.dtype([(f"a{i}", "u1") for i in range(300)]),
        np.dtype([("price", "i8")]),  # the right name with another type
    ],
    ids=str,
)
def test_rows_of_other_things_are_refused(dtype):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file,
        {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (1,)},
    )
    with pytest.raises(ValueError):
        PayloadCodec(ff.dtype("ticks")).decode(file.getvalue() + bytes(dtype.itemsize))


def test_another_version_is_taken_by_names():
    theirs = np.dtype(
        [("price", ">f8"), ("new", "f8"), ("symbol", "<u4"), ("recv_ns", "<i8"), ("kind", "u1")]
    )
    rows = np.zeros(2, theirs)
    rows["price"], rows["recv_ns"], rows["kind"] = [1.5, np.nan], [7, 8], 3
    file = io.BytesIO()
    np.save(file, rows)
    dtype = ff.dtype("ticks")
    body, count = PayloadCodec(dtype).decode(file.getvalue())
    found = np.frombuffer(body, dtype)
    assert count == 2
    np.testing.assert_array_equal(found["price"], [1.5, np.nan])
    assert found["recv_ns"].tolist() == [7, 8]
    assert np.isnan(found["volume"]).all()
    assert found["seq"].tolist() == [-1, -1]
    assert found["time_ns"].tolist() == [0, 0]


@pytest.mark.parametrize("depth", [2, 10])
def test_books_of_another_depth(depth):
    sent = np.zeros(1, ff.dtype("books", 5))
    sent["bid_price"], sent["bids"], sent["asks"] = [5, 4, 3, 2, 1], 5, 1
    body, _ = PayloadCodec(ff.dtype("books", depth)).decode(PayloadCodec(sent.dtype).encode(sent))
    (found,) = np.frombuffer(body, ff.dtype("books", depth))
    assert (found["bids"], found["asks"]) == (min(depth, 5), 1)
    assert found["bid_price"][:2].tolist() == [5, 4]
    assert np.isnan(found["bid_price"][5:]).all()


def test_headers():
    good = {RUN: "abc", FIRST: "12", LOST: "0"}
    assert header_of(good) == Header("abc", 12, 0)
    bad = [{RUN: ""}, {RUN: "a b"}, {FIRST: "-1"}, {FIRST: "1" * 19}, {LOST: "x"}, {LOST: "٣"}]
    for change in bad:
        with pytest.raises(ValueError):
            header_of(good | change)
    with pytest.raises(ValueError):
        header_of(None)
