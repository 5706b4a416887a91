"""LongPort's packets and messages, against bytes of the vendor's own clients."""

import gzip

import pytest

from fastfeed.protocols.longport_codes import code, interval
from fastfeed.protocols.longport_messages import MESSAGES, Command, message_class
from fastfeed.protocols.longport_packets import pack_push, pack_request, pack_response


def test_the_request_that_the_official_client_sends_to_subscribe():
    request = message_class("SubscribeRequest")(
        symbol=["700.HK", "AAPL.US"], sub_type=[1, 2, 3, 4], is_first_push=True
    )
    packet = pack_request(Command.SUBSCRIBE, 12, 30000, request.SerializeToString())
    assert packet.hex() == (
        "01060000000c75300000190a063730302e484b0a074141504c2e55531204010203041801"
    )


def test_a_response():
    body = message_class("AuthResponse")(
        session_id="SESS-1", expires=1700003600000, limit=10, online=1
    )
    packet = pack_response(Command.AUTH, 1, 0, body.SerializeToString())
    assert packet.hex() == "020200000001000000130a06534553532d311080adf180bd31180a2001"


def test_a_push_compressed_and_with_a_trailer():
    body = message_class("PushQuote")(symbol="700.HK", sequence=7, last_done="382.4")
    plain, verify = body.SerializeToString(), bytes(range(24))
    packet = pack_push(Command.PUSH_QUOTE, plain, compress=True, verify=verify)
    assert packet[:2] == b"\x33\x65"
    assert packet.endswith(verify)
    length = int.from_bytes(packet[2:5], "big")
    assert len(packet) == 5 + length + 24
    assert gzip.decompress(packet[5 : 5 + length]) == plain


def test_all_messages_exist():
    for names in MESSAGES.values():
        for name in names:
            assert name is None or message_class(name)()


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [("700.HK", "700.HK"), ("00700.HK", "700.HK"), ("HK.00700", "700.HK"), ("BRK.A.US", "BRK.A.US"),
     (".IXIC.US", ".IXIC.US"), ("600519.SH", "600519.SH"), ("000001.SZ", "000001.SZ"),
     ("AAPL220429C150000.US", "AAPL220429C150000.US")],
)  # fmt: skip
def test_symbols(symbol, expected):
    assert code(symbol) == expected


@pytest.mark.parametrize("symbol", ["", "700", ".HK", "700.XX", "7 0.HK"])
def test_symbols_that_cannot_be(symbol):
    with pytest.raises(ValueError, match="expected"):
        code(symbol)


def test_intervals():
    assert interval("60m") == interval("1h") == ("1h", 60, 3600)
    with pytest.raises(ValueError, match="expected an interval"):
        interval("7m")
