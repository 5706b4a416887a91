"""The pushes in what connections received."""

import gzip

import numpy as np
import pytest
from alltick_feeds import book, frame, tick
from longport_packets import depth, trade, trades
from vendor_streams import ALLTICK, LONGPORT_FRAMES, LONGPORT_PACKETS

from fastfeed.errors import ConfigError
from fastfeed.protocols import opend_codes
from fastfeed.protocols.longport_codes import KINDS
from fastfeed.protocols.longport_messages import Command
from fastfeed.protocols.longport_packets import pack_push
from fastfeed.protocols.opend_frames import pack
from fastfeed.protocols.opend_messages import (
    KEEP_ALIVE,
    QOT_UPDATE_BASIC_QOT,
    QOT_UPDATE_KL,
    QOT_UPDATE_ORDER_BOOK,
    QOT_UPDATE_TICKER,
    message_class,
)
from fastfeed.sim import recorded
from fastfeed.sim.recorded import Key


def security(code):
    return {"market": 11, "code": code}


def response(message, /, **s2c):
    return message_class(f"{message}.Response")(retType=0, s2c=s2c).SerializeToString()


TICKER = response("QotUpdateTicker", security=security("AAPL"), name="x")
BARS = response("QotUpdateKL", security=security("AAPL"), rehabType=1, klType=6)
ODD = response("QotUpdateOrderBook", security=security("AAPL"), orderBookType=1)


def quotes(*codes):
    listed = []
    for at, code in enumerate(codes):
        quote = message_class("BasicQot")()
        for field in quote.DESCRIPTOR.fields:
            if field.is_required and field.name != "security":
                text = "x" if field.type in (field.TYPE_STRING, field.TYPE_BYTES) else at
                setattr(quote, field.name, text)
        quote.security.market, quote.security.code = 11, code
        listed.append(quote)
    return response("QotUpdateBasicQot", basicQotList=listed)


OPEND = b"".join(
    [
        pack(QOT_UPDATE_TICKER, 1, TICKER),
        pack(KEEP_ALIVE, 2, b"\xff"),
        pack(QOT_UPDATE_TICKER, 3, b"\xff\xff"),
        pack(QOT_UPDATE_KL, 4, BARS),
        pack(QOT_UPDATE_ORDER_BOOK, 5, ODD),
        pack(QOT_UPDATE_BASIC_QOT, 6, quotes("A")),
    ]
)
STREAMS = {
    "opend": (recorded._OpenD, OPEND),
    "longport": (recorded._LongPort, b"".join(LONGPORT_PACKETS)),
    "longport, framed": (recorded._FramedLongPort, b"".join(LONGPORT_FRAMES)),
    "alltick": (recorded._AllTick, ALLTICK),
}


def pushes_of(make, *pieces):
    connection = make()
    return [push for piece in pieces for push in connection.feed(piece)], connection.unreadable


@pytest.mark.parametrize("name", STREAMS)
def test_pieces_do_not_matter(name):
    make, data = STREAMS[name]
    whole, unreadable = pushes_of(make, data)
    assert len(whole) > 3
    assert pushes_of(make, *(data[i : i + 1] for i in range(len(data)))) == (whole, unreadable)
    for at in range(len(data)):
        assert pushes_of(make, data[:at], data[at:]) == (whole, unreadable)


def test_opend():
    found, unreadable = pushes_of(*STREAMS["opend"])
    assert unreadable == 1
    assert found == [
        (QOT_UPDATE_TICKER, TICKER, Key("AAPL.US", 4)),
        (QOT_UPDATE_KL, BARS, Key("AAPL.US", 7, 1)),
        (QOT_UPDATE_ORDER_BOOK, ODD, Key("AAPL.US", 22)),
        (QOT_UPDATE_BASIC_QOT, quotes("A"), Key("A.US", 1)),
    ]


def test_a_push_of_several_quotes_is_split():
    found, _ = pushes_of(recorded._OpenD, pack(QOT_UPDATE_BASIC_QOT, 1, quotes("A", "B")))
    assert [push.key for push in found] == [Key("A.US", 1), Key("B.US", 1)]
    made = [message_class("QotUpdateBasicQot.Response").FromString(push.body) for push in found]
    both = message_class("QotUpdateBasicQot.Response").FromString(quotes("A", "B"))
    assert [each.s2c.basicQotList[0] for each in made] == list(both.s2c.basicQotList)


def test_longport():
    body = trades(trade("1"), sequence=5)[5:]
    zipped = pack_push(Command.PUSH_TRADES, body, compress=True)
    assert gzip.decompress(zipped[5:]) == body
    found, unreadable = pushes_of(
        recorded._LongPort, zipped + pack_push(Command.PUSH_DEPTH, b"\xff") + depth()
    )
    assert unreadable == 1
    assert found[0][:2] == (Command.PUSH_TRADES, body)
    assert [push.key.kind for push in found] == [KINDS["ticks"], KINDS["books"]]


def test_alltick():
    one, two = tick(code="A"), tick(code="B")
    listed = f'{{"cmd_id":22998,"data":[{data_of(one)},{data_of(two)}]}}'
    data = b"".join(
        frame(text) for text in (one, book(code="A"), listed, '{"cmd_id":22998,"data":7}')
    )
    found, unreadable = pushes_of(recorded._AllTick, data)
    assert unreadable == 1
    assert [(push.command, push.key) for push in found] == [
        (22998, Key("A", 22004)),
        (22999, Key("A", 22002)),
        (22998, Key("A", 22004)),
        (22998, Key("B", 22004)),
    ]
    assert found[0].body == one.encode()
    assert found[3].body.decode() == f'{{"cmd_id":22998,"data":[{data_of(two)}]}}'


def data_of(text):
    return text[text.index('"data":') + 7 : -1]


@pytest.mark.parametrize("name", STREAMS)
def test_what_is_broken_ends_a_connection(name):
    make, data = STREAMS[name]
    with pytest.raises(recorded._Broken):
        pushes_of(make, b"\x0f\xff" * 40)
    connection = make()
    assert connection.feed(data[:-1])


def test_symbols_of_other_vendors_are_left_out(caplog):
    assert recorded.served(["700.HK", "BTCUSDT"], opend_codes.security) == ("700.HK",)
    assert "BTCUSDT" in caplog.text
    with pytest.raises(ConfigError, match="got none"):
        recorded.served(["BTCUSDT"], opend_codes.security)


@pytest.mark.parametrize(("times", "expected"), [
    ([5, 7, 6, 9], [5, 7, 7, 9]),
    ([10**18, 10**18 + 7, 10**15, 10**15 + 2, 10**18], [0, 7, 7, 9, 10**18 - 10**15 + 7]),
    ([3], [3]),
])  # fmt: skip
def test_a_clock_that_was_set_back_takes_no_time(times, expected):
    found = np.array(times)
    recorded._set_forward(found)
    assert (found - (found[0] - expected[0])).tolist() == expected
