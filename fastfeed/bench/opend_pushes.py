"""OpenD's bytes: pushes as a real OpenD sends them, and the replies around them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from hashlib import sha1
from typing import Any, NamedTuple

from fastfeed.bench.samples import Sample, with_each
from fastfeed.protocols.opend_messages import (
    INIT_CONNECT,
    KEEP_ALIVE,
    QOT_GET_KL,
    QOT_GET_TICKER,
    QOT_SUB,
    QOT_UPDATE_BASIC_QOT,
    QOT_UPDATE_BROKER,
    QOT_UPDATE_KL,
    QOT_UPDATE_ORDER_BOOK,
    QOT_UPDATE_RT,
    QOT_UPDATE_TICKER,
    message_class,
)

__all__ = [
    "EPOCH_S",
    "HEADER",
    "KINDS",
    "MARKET",
    "PULLED",
    "Kind",
    "codes",
    "on_wire",
    "pack",
    "pulled",
    "replies",
    "sample",
    "sequence_at",
]

MARKET = 11  # US
EPOCH_S = 1_700_060_400  # 2023-11-15 10:00:00 in New York
HEADER = struct.Struct("<2sIBBII20s8s")
PULLED = 1000  # rows of a pull, the most that OpenD gives
BROKERS = 40  # a side
DEPTH = 10

_VOLUMES = (1, 5, 10, 50, 100, 100, 100, 100, 200, 300, 1000, 2500)
_SEQUENCE_TAG = b"\x10"  # field 2 of a tick, a varint


def pack(proto_id: int, serial: int, body: bytes) -> bytes:
    """Return a whole packet, with a right digest."""
    return HEADER.pack(b"FT", proto_id, 0, 0, serial, len(body), sha1(body).digest(), b"") + body


def codes(count: int) -> list[str]:
    """Return codes of six characters, in no particular order."""
    return [
        f"{name:05X}" + "AQXZ"[name % 4]
        for name in random.Random(count).sample(range(1 << 20), count)
    ]


def _ticks(code: str, number: int, rng: random.Random, ticks: int = 1) -> Any:
    """Ticks, of which the first has that number."""
    response = message_class("QotUpdateTicker.Response")()
    _fill_ticks(response, code, number, rng, ticks)
    return response


def _fill_ticks(response: Any, code: str, number: int, rng: random.Random, ticks: int) -> None:
    """Give a response ticks."""
    response.retType = 0
    s2c = response.s2c
    s2c.security.market = MARKET
    s2c.security.code = code
    s2c.name = f"{code} Inc"
    for i in range(number, number + ticks):
        tick = s2c.tickerList.add()
        ms = i % 86_000_000 // 10
        s, ms = divmod(ms, 1000)
        tick.time = f"2023-11-15 {10 + s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}.{ms:03}"
        tick.sequence = (EPOCH_S + s << 32) + i
        tick.dir = rng.choice((1, 2, 1, 2, 3))
        tick.price = round(rng.uniform(5, 500), 2)
        tick.volume = rng.choice(_VOLUMES)
        tick.turnover = tick.price * tick.volume
        tick.timestamp = EPOCH_S + s + ms / 1000
        tick.recvTime = round(tick.timestamp + rng.uniform(0.001, 0.05), 6)
        tick.type = rng.choice((1, 1, 1, 1, 1, 1, 1, 6))
        tick.typeSign = 32 if tick.type == 1 else 68
        tick.pushDataType = 1
        tick.hpVolume = float(tick.volume)


def _clock(number: int) -> tuple[float, str]:
    """Return epoch seconds with milliseconds, and their text in New York."""
    s, ms = divmod(number % 36_000_000, 1000)
    text = f"2023-11-15 {10 + s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}.{ms:03}"
    return EPOCH_S + s + ms / 1000, text


def _price(rng: random.Random) -> float:
    return round(rng.uniform(5, 500), 2)


def _secured(message: str, code: str) -> Any:
    """Return the response of a push that begins with its security and tells its name."""
    response = message_class(message)()
    response.retType = 0
    response.s2c.security.market = MARKET
    response.s2c.security.code = code
    response.s2c.name = f"{code} Inc"
    return response


def _quote(code: str, number: int, rng: random.Random) -> Any:
    """A quote of a US stock with the blocks of pre-market and after-hours."""
    response = message_class("QotUpdateBasicQot.Response")()
    response.retType = 0
    quote = response.s2c.basicQotList.add()
    quote.security.market = MARKET
    quote.security.code = code
    quote.name = f"{code} Inc"
    quote.isSuspended = False
    quote.listTime = "2004-08-19"
    quote.listTimestamp = 1_092_888_000
    quote.updateTimestamp, quote.updateTime = _clock(number)
    quote.priceSpread = 0.01
    quote.highPrice, quote.openPrice, quote.lowPrice = _price(rng), _price(rng), _price(rng)
    quote.curPrice, quote.lastClosePrice = _price(rng), _price(rng)
    quote.volume = rng.randrange(1, 80_000_000)
    quote.hpVolume = float(quote.volume)
    quote.turnover = round(quote.curPrice * quote.volume, 2)
    quote.turnoverRate = round(rng.uniform(0, 3), 3)
    quote.amplitude = round(rng.uniform(0, 5), 3)
    quote.darkStatus = 0
    quote.secStatus = 1
    for block in (quote.preMarket, quote.afterMarket):
        block.price, block.highPrice, block.lowPrice = _price(rng), _price(rng), _price(rng)
        block.volume = rng.randrange(1, 2_000_000)
        block.turnover = round(block.price * block.volume, 2)
        block.changeVal = round(rng.uniform(-5, 5), 2)
        block.changeRate = round(rng.uniform(-3, 3), 3)
        block.amplitude = round(rng.uniform(0, 5), 3)
    return response


def _bar(code: str, number: int, rng: random.Random) -> Any:
    """The running bar of a minute."""
    response = _secured("QotUpdateKL.Response", code)
    response.s2c.rehabType = 1
    response.s2c.klType = 1
    _fill_bar(response.s2c.klList.add(), number // 60_000, rng)
    return response


def _fill_bar(bar: Any, minute: int, rng: random.Random) -> None:
    """Give a KLine all its fields."""
    bar.timestamp, text = _clock((minute + 1) * 60_000)
    bar.time = text[:19]
    bar.isBlank = False
    bar.highPrice, bar.openPrice, bar.lowPrice = _price(rng), _price(rng), _price(rng)
    bar.closePrice = _price(rng)
    bar.lastClosePrice = 0
    bar.volume = rng.randrange(1, 200_000)
    bar.hpVolume = float(bar.volume)
    bar.turnover = round(bar.closePrice * bar.volume, 2)
    bar.turnoverRate = round(rng.uniform(0, 0.01), 5)
    bar.pe = round(rng.uniform(5, 50), 3)
    bar.changeRate = round(rng.uniform(-3, 3), 3)


def _book(code: str, number: int, rng: random.Random) -> Any:
    """A book with ten levels a side."""
    response = _secured("QotUpdateOrderBook.Response", code)
    s2c = response.s2c
    middle = _price(rng)
    for side, step in ((s2c.orderBookAskList, 1), (s2c.orderBookBidList, -1)):
        for i in range(DEPTH):
            level = side.add()
            level.price = round(middle + step * (i + 1) / 100, 2)
            level.volume = rng.randrange(1, 5000)
            level.orederCount = rng.randrange(1, 50)
            level.hpVolume = float(level.volume)
    s2c.svrRecvTimeBidTimestamp, s2c.svrRecvTimeBid = _clock(number)
    s2c.svrRecvTimeAskTimestamp, s2c.svrRecvTimeAsk = _clock(number + rng.randrange(20))
    s2c.orderBookType = 0
    return response


def _point(code: str, number: int, rng: random.Random) -> Any:
    """The point of the running minute."""
    response = _secured("QotUpdateRT.Response", code)
    point = response.s2c.rtList.add()
    minute = number // 60_000 % 390
    point.timestamp, text = _clock(minute * 60_000)
    point.time = text[:19]
    point.minute = 600 + minute
    point.isBlank = False
    point.price, point.lastClosePrice, point.avgPrice = _price(rng), _price(rng), _price(rng)
    point.volume = rng.randrange(1, 200_000)
    point.hpVolume = float(point.volume)
    point.turnover = round(point.price * point.volume, 2)
    return response


def _brokers(code: str, number: int, rng: random.Random) -> Any:
    """Queues of 40 brokers a side, four on a level."""
    response = _secured("QotUpdateBroker.Response", code)
    for side in (response.s2c.brokerAskList, response.s2c.brokerBidList):
        for i in range(BROKERS):
            broker = side.add()
            broker.id = rng.randrange(200, 9800, 16)
            broker.name = f"Broker {broker.id % BROKERS} Securities"
            broker.pos = 1 + i // 4
    return response


class Kind(NamedTuple):
    """A kind of push, which makes `rows` rows."""

    proto_id: int
    message: str
    rows: int
    make: Callable[[str, int, random.Random], Any]


KINDS = {
    "ticks": Kind(QOT_UPDATE_TICKER, "QotUpdateTicker.Response", 1, _ticks),
    "quotes": Kind(QOT_UPDATE_BASIC_QOT, "QotUpdateBasicQot.Response", 3, _quote),
    "bars": Kind(QOT_UPDATE_KL, "QotUpdateKL.Response", 1, _bar),
    "books": Kind(QOT_UPDATE_ORDER_BOOK, "QotUpdateOrderBook.Response", 1, _book),
    "timeshare": Kind(QOT_UPDATE_RT, "QotUpdateRT.Response", 1, _point),
    "brokers": Kind(QOT_UPDATE_BROKER, "QotUpdateBroker.Response", 1, _brokers),
}


def sample(kind: str, symbols: int, count: int, per_push: int = 1) -> Sample:
    """Return pushes of a kind.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    symbols, count : int
        How many symbols, and pushes, there are.
    per_push : int
        Ticks in each push.
    """
    rng = random.Random(f"{kind} {symbols}")
    names = codes(symbols)
    order = with_each(names, count, rng)
    _, _, rows, make = KINDS[kind]
    if kind == "ticks":
        rows = per_push
        pushes = (_ticks(code, i * per_push, rng, per_push) for i, code in enumerate(order))
    elif per_push != 1:
        raise ValueError(f"expected one per push of {kind}, got {per_push}")
    else:
        pushes = (make(code, i * 37, rng) for i, code in enumerate(order))
    bodies = [push.SerializeToString() for push in pushes]
    return Sample("opend", kind, [f"{name}.US" for name in names], rows, bodies)


def on_wire(body: bytes, serial: int, kind: str = "ticks") -> bytes:
    """Return a push's packet."""
    return pack(KINDS[kind].proto_id, serial, body)


def sequence_at(packet: bytes) -> int:
    """Return where in a packet of ticks the first one's sequence is: a varint of 9 bytes, as of any time in ns.

    ValueError: it is not. The packet's digest does not fit any more once it is another one.
    """
    response: Any = message_class("QotUpdateTicker.Response").FromString(packet[HEADER.size :])
    value = response.s2c.tickerList[0].sequence
    varint = bytes(value >> shift & 0x7F | 0x80 for shift in range(0, 63, 7))
    varint = varint[:-1] + bytes((varint[-1] & 0x7F,))
    # Nothing else is likely to begin with these ten bytes.
    at = packet.find(_SEQUENCE_TAG + varint)
    if at < 0:
        raise ValueError(f"expected a sequence of {len(varint)} bytes, got {value}")
    return at + len(_SEQUENCE_TAG)


def pulled(code: str) -> tuple[bytes, bytes]:
    """Return the bodies of replies with a security's last 1000 ticks and 1000 bars."""
    rng = random.Random(code)
    ticks: Any = message_class("QotGetTicker.Response")()
    bars: Any = message_class("QotGetKL.Response")()
    for response in (ticks, bars):
        response.retType = 0
        response.retMsg = ""
        response.errCode = 0
    _fill_ticks(ticks, code, 0, rng, PULLED)
    bars.s2c.security.CopyFrom(ticks.s2c.security)
    bars.s2c.name = ticks.s2c.name
    for minute in range(PULLED):
        _fill_bar(bars.s2c.klList.add(), minute % 390, rng)
    return ticks.SerializeToString(), bars.SerializeToString()


def replies() -> bytes:
    """Return the packets that answer a client's requests: pulls, InitConnect, KeepAlive, Qot_Sub."""
    init: Any = message_class("InitConnect.Response")()
    init.retType = 0
    init.retMsg = ""
    init.errCode = 0
    init.s2c.serverVer = 1002
    init.s2c.loginUserID = 1
    init.s2c.connID = 7
    init.s2c.connAESKey = "0123456789ABCDEF"
    init.s2c.keepAliveInterval = 10
    alive: Any = message_class("KeepAlive.Response")()
    alive.retType = 0
    alive.s2c.time = EPOCH_S
    ticks, bars = pulled(codes(1)[0])
    return b"".join(
        (
            pack(QOT_GET_TICKER, 0, ticks),
            pack(QOT_GET_KL, 0, bars),
            pack(INIT_CONNECT, 0, init.SerializeToString()),
            pack(KEEP_ALIVE, 0, alive.SerializeToString()),
            pack(QOT_SUB, 0, bytes.fromhex("080012001800")),
        )
    )
