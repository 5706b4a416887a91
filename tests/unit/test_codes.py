"""Names of OpenD's securities: Python's two directions, and the one in C."""

import hashlib
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastfeed._core.opend import OpendMachine
from fastfeed._core.ring import Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.protocols.opend_codes import MARKETS, MAX_CODE_BYTES, canonical, security
from fastfeed.protocols.opend_messages import message_class

PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
CODES = st.one_of(
    st.text(PRINTABLE, min_size=1, max_size=MAX_CODE_BYTES),
    st.text("0123456789", min_size=1, max_size=MAX_CODE_BYTES),
    st.text("0.HKUSM", min_size=1, max_size=6),
)
NUMBERS = st.one_of(st.sampled_from(list(MARKETS.values())), st.integers(0, 0xFFFF))


def name_in_c(market, code):
    """None: rejected."""
    message = message_class("QotUpdateTicker.Response")(retType=0)
    message.s2c.security.market = market
    message.s2c.security.code = code
    body = message.SerializeToString()
    symbols = SymbolTable()
    machine = OpendMachine(symbols)
    machine.listen(0, Ring(64, 64), lambda: None)
    head = struct.pack("<2sIBBII", b"FT", 3011, 0, 0, 1, len(body))
    for _ in range(2):  # the second time it is known
        machine.feed(head + hashlib.sha1(body).digest() + bytes(8) + body)
    rejected = machine.stats()["rejected"]
    assert rejected in ({}, {"symbol": 2})
    assert len(symbols) == (0 if rejected else 1)
    return None if rejected else symbols[0]


@settings(deadline=None, max_examples=500)
@given(NUMBERS, CODES)
@example(1, "00700")
@example(1, "0")
@example(1, "000000")
@example(1, "00700A")
@example(21, "000001")
@example(11, ".DJI")
@example(11, "A.HK")
@example(0, "X")
@example(0xFFFF, "x" * 64)
def test_c_and_python_agree(market, code):
    assert name_in_c(market, code) == canonical(market, code)


@settings(deadline=None, max_examples=500)
@given(NUMBERS, CODES)
@example(1, "A.US")
@example(11, "CA")
def test_there_and_back(market, code):
    symbol = canonical(market, code)
    there, back = security(symbol)
    assert canonical(there, back) == symbol
    assert there == market
    if market == 1 and code.isdigit():
        assert back == (code.lstrip("0") or "0").rjust(5, "0")
    else:
        assert back == code


@settings(deadline=None)
@given(st.sampled_from(list(MARKETS)), CODES)
def test_the_vendors_form_means_the_same(region, code):
    symbol = f"{region}.{code}"
    market, back = security(symbol)
    tail = symbol.rpartition(".")[2]
    if tail in MARKETS:  # both readings are possible: the canonical one counts
        assert market == MARKETS[tail]
    elif tail[:1] != "M":
        assert canonical(market, back) == canonical(MARKETS[region], code)


@settings(deadline=None)
@given(st.integers(-(2**31), 2**31 - 1), st.text(max_size=70))
def test_what_c_refuses(market, code):
    fine = 0 <= market <= 0xFFFF and 0 < len(code) <= 64 and all("!" <= c <= "~" for c in code)
    assert name_in_c(market, code) == (canonical(market, code) if fine else None)


@settings(deadline=None)
@given(st.text(max_size=80))
@example("")
@example(".")
@example("700.")
@example(".HK")
@example("HK.")
@example("700.hk")
@example("700.M01")
@example("700.M1")
@example("a b.US")
@example("腾.HK")
@example("x" * 65 + ".US")
@example("1.M" + "9" * 5000)
def test_any_text_is_a_security_or_a_value_error(text):
    try:
        market, code = security(text)
    except ValueError:
        return
    assert 0 <= market < 2**31
    assert canonical(*security(canonical(market, code))) == canonical(market, code)


@pytest.mark.parametrize("symbol", [None, 700, b"700.HK", ("HK", "700")])
def test_what_is_not_text_is_a_type_error(symbol):
    with pytest.raises(TypeError, match=r"700\.HK"):
        security(symbol)


@pytest.mark.parametrize(
    "symbol", ["AAPL", "700.hk", "700.M1", "", ".US", "a b.US", "x" * 65 + ".US"]
)
def test_what_is_no_symbol(symbol):
    with pytest.raises(ValueError, match="expected a"):
        security(symbol)
