"""The decoder of AllTick's messages against json and float, field by field: pushes of all shapes, broken ones, and
the samples. Always both ways: the fast one for the documented form, and the one for any shape."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import alltick_oracle as oracle
import numpy as np
import pytest
from alltick_oracle import Rejected
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_oracle import same

from fastfeed._core.alltick import decode_message, decode_reply
from fastfeed._core.symbols import SymbolTable
from fastfeed.schema import dtype

HYPOTHESIS = settings(deadline=None, max_examples=300)
RECV_NS = 1_785_204_916_000_000_000
DEPTH = 3
CODES = ("700.HK", "BTCUSDT", "VHAI.WS.B.US", "000651.SZ", "A", "ABCDEFGHIJKLMNOP")


# the comparison


def both(data: bytes, symbols: SymbolTable, **options: Any) -> tuple[str, bytearray] | str:
    """Decode both ways: the same kind and rows, or the same reason, which is returned alone."""
    answers: list[Any] = []
    for generic in (False, True, False):  # the last time with all symbols known
        try:
            answers.append(decode_message(data, symbols, RECV_NS, generic=generic, **options))
        except ValueError as error:
            answers.append(str(error))
    assert answers[0] == answers[1] == answers[2]
    return answers[0]


def check(data: bytes, depth: int = DEPTH) -> str:
    """Compare all there is with the oracle; returns the kind or reason."""
    symbols = SymbolTable()
    symbols.intern("first")
    got = both(data, symbols, depth=depth)
    try:
        kind, expected = oracle.decode(data, RECV_NS, depth)
        reasons: tuple[str, ...] = ()
    except Rejected as rejected:
        reasons = rejected.reasons
    if isinstance(got, str):
        assert got in reasons
        return got
    assert not reasons, f"expected it to be rejected as {reasons}"
    assert got[0] == kind
    if kind not in ("ticks", "books"):
        assert not got[1]
        return kind
    compare(np.frombuffer(got[1], dtype(kind, depth)), expected, symbols)
    return kind


def compare(rows: Any, expected: list[dict[str, Any]], symbols: SymbolTable) -> None:
    assert len(rows) == len(expected)
    for row, want in zip(rows, expected, strict=True):
        assert symbols[int(row["symbol"])] == want.pop("code")
        assert set(want) | {"symbol"} == set(rows.dtype.names)
        for name, value in want.items():
            assert same(row[name].tolist(), value), (name, row[name], value)


# messages


def quoted(text: str) -> str:
    return f'"{text}"'


@st.composite
def decimals(draw: Any) -> str:
    whole = draw(st.integers(0, 10 ** draw(st.integers(1, 13))))
    places = draw(st.integers(0, 9))
    text = str(whole)
    if places:
        text += "." + str(draw(st.integers(0, 10**places - 1))).zfill(places)
    return text


def odd_numbers() -> Any:
    return st.sampled_from(
        ["0", "0.000000", "-37.63", "-0", "1e3", "1.1820491e5", "5E-3", "1e400", "1e-400", "007",
         "123456789012345.678900", "999999999999", "1000000000000", "999999999999999999",
         "1000000000000000000", "0.1234567890123456789012345678901234567890", "1.", ".5", "+1",
         "NaN", " 1", "1 ", "", "-", "0x1F", "1,5", "1.2.3", "--1", "1e", "9" * 40, "9" * 41,
         "0" * 41, "１"]
    )  # fmt: skip


def number_values() -> Any:
    """A decimal as it may stand in a message, right or not."""
    plain = decimals()
    return st.one_of(
        plain.map(quoted),
        plain.map(quoted),
        plain,
        odd_numbers().map(quoted),
        odd_numbers().filter(lambda text: "１" not in text),
        st.sampled_from(["null", '""', "true", "[]", "{}", r'"\u0031.5"']),
    )


def integer_values() -> Any:
    now_ms = RECV_NS // 10**6
    digits = st.one_of(
        st.integers(now_ms - 200_000, now_ms + 1000),
        st.integers(now_ms - 200_000, now_ms + 1000),
        st.integers(0, 2**64 + 10),
        st.integers(0, 19).map(lambda n: 10**n),
        st.integers(0, 20).map(lambda n: 10**n - 1),
        st.sampled_from([2**63 - 1, 2**63, -1, now_ms + 86_400_000, now_ms + 86_400_001]),
    ).map(str)
    return st.one_of(
        digits,
        digits.map(quoted),
        st.sampled_from(["null", '""', "-5", '"00012"', "1.5", '"1e3"', "true", "0", r'"\u0031"']),
    )


def codes() -> Any:
    return st.one_of(
        st.sampled_from(CODES).map(quoted),
        st.text("ABCabc09.-_", min_size=1, max_size=17).map(quoted),
        st.sampled_from([r'"700\u002eHK"', '""', "700", "null", '"A B"', '"é"', r'"A\u0000"', r'"\ud800"']),
    )  # fmt: skip


def plain_tick(draw: Any) -> list[tuple[str, str]]:
    quote = quoted if draw(st.booleans()) else str
    now_ms = RECV_NS // 10**6
    return [
        ("code", quoted(draw(st.sampled_from(CODES)))),
        ("seq", quote(str(draw(st.integers(1, 2**63 - 1))))),
        ("tick_time", quote(str(now_ms - draw(st.integers(0, 100_000))))),
        ("price", quoted(draw(decimals()))),
        ("volume", quoted(draw(decimals()))),
        ("turnover", quoted(draw(decimals()))),
        ("trade_direction", str(draw(st.integers(0, 2)))),
    ]


def plain_book(draw: Any) -> list[tuple[str, str]]:
    level = st.tuples(decimals(), decimals()).map(
        lambda v: f'{{"price":"{v[0]}","volume":"{v[1]}"}}'
    )
    sides = st.lists(level, max_size=DEPTH + 2).map(lambda made: f"[{','.join(made)}]")
    return [*plain_tick(draw)[:3], ("bids", draw(sides)), ("asks", draw(sides))]


@st.composite
def levels(draw: Any) -> str:
    pairs = [("price", draw(number_values())), ("volume", draw(number_values()))]
    return joined(draw, pairs, "{}")


EXTRA = [
    ("session", '"pre"'),
    ("name", '"腾讯"'),
    ("ext", r'{"a":[1,{"b":[]},"}]\\\""],"c":null,"d":true,"e":-1.5e-07}'),
    ("x", r'"{\"price\":\"1\",\"cmd_id\":22999}"'),
    ("deep", "[" * 28 + "]" * 28),
    ("deep", "[" * 34 + "]" * 34),
    ("price", '"1.25"'),
    ("volumn", '"3.5"'),
    (r"pri\u0063e", "7"),
    ("bid_list", '[{"price":"5"}]'),
    ("bids", '"[]"'),
    ("tick_list", "null"),
    ("meta", '{"price":"0.01","code":"FAKE"}'),
    ("", "[]"),
]


def joined(draw: Any, pairs: list[tuple[str, str]], brackets: str = "{}") -> str:
    """Write members with or without blanks, in any order, perhaps without some and with others."""
    change = draw(st.integers(0, 5))
    if change == 1:
        pairs = draw(st.permutations(pairs))
    elif change == 2 and pairs:
        at = draw(st.integers(0, len(pairs) - 1))
        pairs = pairs[:at] + pairs[at + 1 :]
    elif change == 3:
        at = draw(st.integers(0, len(pairs)))
        pairs = [*pairs[:at], draw(st.sampled_from(EXTRA)), *pairs[at:]]
    comma, colon = draw(st.sampled_from([(",", ":"), (",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    body = comma.join(f'"{key}"{colon}{value}' for key, value in pairs)
    return brackets[0] + body + brackets[1]


@st.composite
def items(draw: Any, book: bool) -> str:
    pairs = plain_book(draw) if book else plain_tick(draw)
    odd = draw(st.integers(0, 3))
    for _ in range(max(0, odd - 1)):
        at = draw(st.integers(0, len(pairs) - 1))
        name = pairs[at][0]
        value = draw(
            codes()
            if name == "code"
            else integer_values()
            if name in ("seq", "tick_time", "trade_direction")
            else number_values()
            if name not in ("bids", "asks")
            else st.lists(levels(), max_size=DEPTH + 1).map(lambda made: f"[{','.join(made)}]")
        )
        pairs[at] = (name, value)
    if odd == 0:
        return "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"
    return joined(draw, pairs)


@st.composite
def messages(draw: Any) -> bytes:
    book = draw(st.booleans())
    number = "22999" if book else "22998"
    shape = draw(st.integers(0, 9))
    if shape < 6:
        data = draw(items(book))
    else:
        data = f"[{','.join(draw(st.lists(items(book), max_size=3)))}]"
        if shape > 7:
            data = joined(draw, [("tick_list", data)])
    if shape < 4:
        text = f'{{"cmd_id":{number},"data":{data}}}'
    else:
        number = draw(st.sampled_from([number, number, quoted(number), "22997", "null", "22005"]))
        text = joined(draw, [("cmd_id", number), ("data", data)])
    return text.encode()


@given(messages())
@settings(HYPOTHESIS, max_examples=1000)
def test_any_shape(data: bytes) -> None:
    check(data)


@given(messages(), st.data())
@settings(HYPOTHESIS, max_examples=700)
def test_mutated(message: bytes, data: Any) -> None:
    text = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        with_ = data.draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from([b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b"}}", b" ", b"e5"]),
            )
        )  # fmt: skip
        text[at : at + data.draw(st.integers(0, 3))] = with_
    check(bytes(text))


@given(st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode)))
@HYPOTHESIS
def test_any_bytes(data: bytes) -> None:
    check(data)
    check(b"{" + data)
    check(b'{"cmd_id":22998,"data":' + data)


@given(decimals(), decimals(), decimals())
@HYPOTHESIS
def test_decimals(price: str, volume: str, turnover: str) -> None:
    push = {"code": "A", "seq": 1, "tick_time": RECV_NS, "price": price, "volume": volume}
    push |= {"turnover": turnover, "trade_direction": 1}
    data = json.dumps({"cmd_id": 22998, "data": push}, separators=(",", ":")).encode()
    if check(data) == "ticks":
        row = np.frombuffer(both(data, SymbolTable())[1], dtype("ticks"))[0]
        assert [row["price"], row["volume"], row["turnover"]] == [
            float(price),
            float(volume),
            float(turnover),
        ]


@given(st.booleans(), st.data())
@HYPOTHESIS
def test_replies(book: bool, data: Any) -> None:
    """The answer to an HTTP request, without a number."""
    kind = "books" if book else "ticks"
    listed = f"[{','.join(data.draw(st.lists(items(book), max_size=3)))}]"
    body = data.draw(st.sampled_from([f'{{"tick_list":{listed}}}', listed, "{}", "null", "5"]))
    text = f'{{"ret":200,"msg":"ok","trace":"t-1","data":{body}}}'.encode()
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    symbols = SymbolTable()
    try:
        message = oracle.parse(text)
        if message is None:
            raise Rejected("json")
        members = message.get("data")
        if isinstance(members, dict) and members.get("tick_list") is None:
            raise Rejected("bad_value")
        expected = oracle.rows_of(kind, members, RECV_NS, DEPTH)
    except Rejected as rejected:
        reasons = "|".join(rejected.reasons)
        with pytest.raises(ValueError, match=f"^({reasons})$"):
            decode_reply(kind, text, symbols, RECV_NS, DEPTH)
        return
    rows = decode_reply(kind, text, symbols, RECV_NS, DEPTH)
    compare(np.frombuffer(rows, dtype(kind, DEPTH)), expected, symbols)


# the samples


def sample_rows(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What the index says, as fields of rows."""

    def number(text: str | None) -> float:
        return math.nan if text is None else float(text)

    rows = []
    for item in entry["items"]:
        row = {"code": item["code"], "seq": item["seq"], "time_ns": item["time_ns"] or 0}
        if entry["kind"] == "tick":
            row |= {name: number(item[name]) for name in ("price", "volume", "turnover")}
            row["side"] = {0: 0, 1: 1, 2: -1}[item["direction"]]
        else:
            for side in ("bid", "ask"):
                levels = item[f"{side}s"]
                row[f"{side}s"] = len(levels)
                row[f"{side}_price"] = [number(price) for price, _ in levels]
                row[f"{side}_volume"] = [number(volume) for _, volume in levels]
        rows.append(row)
    return rows


def assert_rows(kind: str, got: bytearray, expected: list[dict[str, Any]], symbols: Any) -> None:
    rows = np.frombuffer(got, dtype(kind))
    assert len(rows) == len(expected)
    for row, want in zip(rows, expected, strict=True):
        assert symbols[int(row["symbol"])] == want.pop("code")
        for name, value in want.items():
            if isinstance(value, list):
                assert same(row[name].tolist()[: len(value)], value)
                assert np.isnan(row[name][len(value) :]).all()
            else:
                assert same(row[name].tolist(), value), name


def test_samples(samples: Path) -> None:
    folder = samples / "protocols" / "alltick"
    lines = (folder / "pushes.jsonl").read_bytes().splitlines()
    index = json.loads((folder / "pushes.index.json").read_text())
    assert len(lines) == len(index) == 200
    symbols = SymbolTable()
    for data, entry in zip(lines, index, strict=True):
        got = both(data, symbols)
        assert not isinstance(got, str), entry
        kind = {"tick": "ticks", "depth": "books"}.get(entry["kind"], "session")
        assert got[0] == kind, entry
        if kind != "session":
            assert_rows(kind, got[1], sample_rows(entry), symbols)
        check(data)
        for cut in range(len(data.rstrip())):
            assert both(data[:cut], symbols) in ("json", "utf8"), (entry, cut)
    data = (folder / "pretty_push.json").read_bytes()
    assert check(data) == "ticks"


def frames(folder: Path) -> list[tuple[dict[str, Any], bytes]]:
    made = []
    for line in (folder / "bad.jsonl").read_text().splitlines():
        case = json.loads(line)
        data = (
            case["frame"].encode() if "frame" in case else case["frame_escaped"].encode("latin-1")
        )
        if "expand" in case:
            expand = case["expand"]
            data = data.replace(
                expand["marker"].encode(), expand["text"].encode() * expand["times"], 1
            )
        made.append((case, data))
    return made


def test_hostile_frames(samples: Path) -> None:
    reasons: dict[str, str] = {}
    for case, data in frames(samples / "protocols" / "alltick"):
        symbols = SymbolTable()
        symbols.intern("BTCUSDT")
        got = both(data, symbols, learn=False)
        expect = case["expect"]
        if expect.startswith("reject"):
            assert isinstance(got, str), case["name"]
            reasons[case["name"]] = got
        elif expect == "ignore":
            assert got == ("ignored", bytearray()), case["name"]
        else:
            kind = {"tick": "ticks", "depth": "books"}[case["decoded"]["kind"]]
            assert not isinstance(got, str), case["name"]
            assert got[0] == kind, case["name"]
            assert_rows(kind, got[1], sample_rows(case["decoded"]), symbols)
        assert len(symbols) == 1
        if len(data) < 1 << 20:
            check(data)
    assert len(reasons) == 47
    assert reasons["blank_bomb"] == "length"
    assert reasons["nesting_100"] == "nesting"
    assert reasons["overlong_utf8"] == "utf8"
    assert reasons["code_nul"] == "symbol"
    assert reasons["level_no_price"] == "missing_price"
    assert reasons["duplicate_cmd_id"] == "bad_value"
    assert reasons["trailing_comma"] == "json"


def test_arguments() -> None:
    symbols = SymbolTable()
    with pytest.raises(ValueError, match="depth"):
        decode_message(b"{}", symbols, 1, depth=0)
    with pytest.raises(ValueError, match="reception"):
        decode_message(b"{}", symbols, -1)
    with pytest.raises(ValueError, match="stream"):
        decode_reply("quotes", b"{}", symbols, 1)
    with pytest.raises(TypeError):
        decode_message("{}", symbols, 1)  # type: ignore[arg-type]
