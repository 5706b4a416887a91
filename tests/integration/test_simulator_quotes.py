"""The simulated OpenD beyond ticks: what it pushes, answers, grants and refuses, to a raw client."""

import asyncio
import hashlib
import itertools
import json
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
import uvloop
from google.protobuf.message import DecodeError
from raw_client import OK, TICKER, connect, make_tape, securities

from fastfeed._core.opend_cipher import OpendCipher
from fastfeed.errors import ConfigError
from fastfeed.protocols.opend_codes import INTERVALS, canonical
from fastfeed.protocols.opend_frames import HEADER, pack
from fastfeed.protocols.opend_messages import NAMES, message_class
from fastfeed.protocols.opend_rsa import load_rsa_key
from fastfeed.sim import Faults, OpenDSimulator
from fastfeed.sim import opend_records as records

QUOTE, BOOK, RT, BROKER, ODD = 1, 2, 5, 14, 22
ALL_TYPES = [QUOTE, BOOK, TICKER, RT, BROKER, ODD, *(i.sub_type for i in INTERVALS.values())]
GET = (3004, 3006, 3008, 3010, 3012, 3014)
UPDATES = (3005, 3007, 3009, 3011, 3013, 3015)


def run(coroutine):
    async def limited():
        async with asyncio.timeout(20):
            return await coroutine

    return uvloop.run(limited())


async def ask(client, proto, name, **c2s):
    """Return a reply; its bytes are what protobuf would write."""
    body = await client.request(proto, name, **c2s)
    reply = message_class(f"{name}.Response").FromString(body)
    if reply.retType == 0:
        assert reply.SerializeToString() == body
        assert (reply.HasField("retMsg"), reply.HasField("errCode")) == (True, True)
    return reply


def one(symbol):
    return securities([symbol])[0]


async def played(client, sim):
    """Let the tape be played out, and take all that was pushed."""
    await sim.finished()
    await client.request(1004, "KeepAlive", time=1)


def last_pushes(client):
    """Return the newest push of each kind of each symbol."""
    found = {}
    for name, s2c in client.others:
        key = ()
        if name == "QotUpdateBasicQot":
            [row] = s2c.basicQotList
            who, s2c = row.security, row  # noqa: PLW2901
        else:
            who = s2c.security
        if name == "QotUpdateKL":
            key = (s2c.klType, s2c.rehabType)
        elif name == "QotUpdateOrderBook":
            key = (s2c.orderBookType,)
        found[name, canonical(who.market, who.code), *key] = s2c
    return found


def fields_of(message):
    """Return a message as what it is made from."""
    found = {}
    for field, value in message.ListFields():
        if field.message_type is None:
            found[field.name] = list(value) if field.is_repeated else value
        else:
            found[field.name] = (
                [fields_of(v) for v in value] if field.is_repeated else fields_of(value)
            )
    return found


def same(message, expected):
    """Compare a message with what a new one of the same kind would be."""
    assert fields_of(message) == fields_of(type(message)(**expected))


# Pushes.


def test_the_last_pushes_are_the_state_of_the_market():
    tape = make_tape(3000)

    async def main():
        sim = OpenDSimulator(tape=tape, speed="max", hold=True)
        async with sim, connect(sim) as client:
            kinds = [kind for kind in ALL_TYPES if kind != BROKER]
            reply = await client.subscribe("SPY.US", "BTCUSDT.CC", types=kinds)
            assert reply.retType == 0
            reply = await client.subscribe(
                "700.HK", types=ALL_TYPES, regPushRehabTypeList=[0, 1, 2], isSubOrderBookDetail=True
            )
            assert reply.retType == 0
            sim.begin()
            await played(client, sim)
            found, market = last_pushes(client), sim.market
            for symbol in sim.symbols:
                hong_kong = symbol == "700.HK"
                what = market.find(symbol)
                same(found["QotUpdateBasicQot", symbol], records.basic_qot(market, what))
                for odd in (0, 1):
                    expected = records.book(market, what, 10, odd_lots=odd, details=hong_kong)
                    same(found["QotUpdateOrderBook", symbol, odd], expected)
                same(found["QotUpdateRT", symbol].rtList[0], records.time_share(market, what)[-1])
                for name, interval in INTERVALS.items():
                    for adjust in (0, 1, 2) if hong_kong else (1,):
                        push = found["QotUpdateKL", symbol, interval.kl_type, adjust]
                        [bar] = push.klList
                        [[start, opened, high, low, close, volume, _]] = market.last_bars(
                            symbol, name, 1, adjust
                        )[0].tolist()
                        assert [bar.openPrice, bar.highPrice, bar.lowPrice] == [opened, high, low]
                        assert [bar.closePrice, bar.hpVolume, bar.volume] == [
                            close, volume, int(volume),
                        ]  # fmt: skip
                        shift = interval.seconds if interval.seconds < 86400 else 0
                        assert bar.timestamp == start + shift
                        assert (bar.lastClosePrice, bar.HasField("changeRate")) == (0, False)
            same(
                found["QotUpdateBroker", "700.HK"],
                records.broker_queues(market, market.find("700.HK"), details=True),
            )
            assert [key for key in found if key[0] == "QotUpdateBroker"] == [
                ("QotUpdateBroker", "700.HK")
            ]
            # Labels are in the time of the market: 09:30:00 to 09:30:03 in New York.
            bar = found["QotUpdateKL", "SPY.US", INTERVALS["1m"].kl_type, 1].klList[0]
            assert bar.time == "2013-10-07 09:31:00"
            bar = found["QotUpdateKL", "700.HK", INTERVALS["4h"].kl_type, 1].klList[0]
            assert bar.time == "2013-10-08 00:00:00"
            bar = found["QotUpdateKL", "700.HK", INTERVALS["1d"].kl_type, 1].klList[0]
            assert bar.time == "2013-10-07 00:00:00"
            bar = found["QotUpdateKL", "700.HK", INTERVALS["3M"].kl_type, 1].klList[0]
            assert bar.time == "2013-10-01 00:00:00"
            point = found["QotUpdateRT", "SPY.US"].rtList[0]
            assert (point.time, point.minute) == ("2013-10-07 09:31:00", 571)
            quote = found["QotUpdateBasicQot", "SPY.US"]
            assert quote.updateTime == "2013-10-07 09:30:02.997"
            assert len(client.rows) == 3000

    run(main())


def test_only_symbols_that_changed_are_pushed_once_for_a_batch():
    tape = make_tape(9000, symbols=[f"S{i}.US" for i in range(3000)])

    async def main():
        async with OpenDSimulator(tape=tape, speed="max") as sim, connect(sim) as client:
            # Many more than are pushed between two batches.
            await client.subscribe(*sim.symbols[:500], types=[QUOTE])
            await played(client, sim)
            found = last_pushes(client)
            assert len(found) == 500
            for (_, symbol), quote in found.items():
                assert quote.curPrice == sim.market.quote(symbol).last
            assert sim.stats()["other_pushes"] <= 500 + 3 * 500
            await asyncio.sleep(0.01)
            count = len(client.others)
            await client.request(1004, "KeepAlive", time=1)
            assert len(client.others) == count

    run(main())


def test_first_pushes_tell_the_state():
    tape = make_tape(3000)

    async def main():
        async with OpenDSimulator(tape=tape, speed="max") as sim:
            async with connect(sim) as client:
                await client.subscribe(*sim.symbols)
                await played(client, sim)
            async with connect(sim) as client:
                await client.subscribe("700.HK", types=ALL_TYPES)
                await client.request(1004, "KeepAlive", time=1)
                assert {row.pushDataType for _, row in client.rows} == {3}
                assert len(client.rows) == 10
                # One of each kind; bars are forward adjusted where nothing is said.
                assert len(client.others) == len(ALL_TYPES) - 1 == len(last_pushes(client))
                market = sim.market
                same(
                    last_pushes(client)["QotUpdateBasicQot", "700.HK"],
                    records.basic_qot(market, market.find("700.HK")),
                )
            async with connect(sim) as client:
                await client.subscribe("700.HK", types=ALL_TYPES, isFirstPush=False)
                await client.subscribe("SPY.US", types=[QUOTE, BOOK], push=None)
                await client.request(1004, "KeepAlive", time=1)
                assert (client.others, client.rows) == ([], [])
                body = await client.request(
                    3002,
                    "QotRegQotPush",
                    securityList=securities(["SPY.US"]),
                    subTypeList=[BOOK],
                    isRegOrUnReg=True,
                )
                assert body == OK
                await client.request(1004, "KeepAlive", time=1)
                assert list(last_pushes(client)) == [("QotUpdateOrderBook", "SPY.US", 0)]

    run(main())


def test_a_slow_reader_of_quotes_lags_alone():
    async def main():
        sim = OpenDSimulator(symbols=40, rate=20_000)
        async with sim, connect(sim, receive_bytes=1 << 12) as slow, connect(sim) as quick:
            await slow.subscribe(*sim.symbols, types=[QUOTE, BOOK])
            await quick.subscribe(*sim.symbols[:2], types=[QUOTE])
            while len(quick.others) < 200:
                await quick.receive()
            buffered = [c._writer.transport.get_write_buffer_size() for c in sim._gateway.clients]
            assert sum(buffered) < 1 << 20

    run(main())


# Pulls from the cache.


def test_what_is_not_subscribed_cannot_be_had():
    async def main():
        async with OpenDSimulator(tape=make_tape(30), speed="max") as sim:
            async with connect(sim) as client, connect(sim) as other:
                await other.subscribe("SPY.US", "700.HK", types=(1, 2, 4, 5, 11))
                requests = [
                    (3004, {"securityList": securities(["SPY.US"])}),
                    (3006, {"rehabType": 1, "klType": 1, "security": one("SPY.US"), "reqNum": 1}),
                    (3008, {"security": one("SPY.US")}),
                    (3010, {"security": one("SPY.US"), "maxRetNum": 1}),
                    (3012, {"security": one("SPY.US"), "num": 1}),
                    (3012, {"security": one("SPY.US"), "num": 1, "orderBookType": 1}),
                    (3014, {"security": one("700.HK")}),
                ]
                for proto, c2s in requests:
                    reply = await ask(client, proto, NAMES[proto], **c2s)
                    assert reply.retType == -1
                    assert reply.retMsg.startswith("please subscribe to "), reply.retMsg
                assert sim.stats()["refused"] == len(requests)
                reply = await ask(client, 3008, "QotGetRT", security=one("IBM.US"))
                assert (reply.retType, reply.retMsg) == (-1, "unknown security: IBM.US")

    run(main())


def test_the_last_thousand_ticks_of_a_symbol():
    tape = make_tape(5000)

    async def main():
        async with OpenDSimulator(tape=tape, speed="max") as sim, connect(sim) as client:
            await client.subscribe("SPY.US", push=None)
            await sim.finished()
            mine = tape.rows[tape.rows["symbol"] == 0]
            for count in (1, 7, 1000):
                reply = await ask(
                    client, 3010, "QotGetTicker", security=one("SPY.US"), maxRetNum=count
                )
                rows = reply.s2c.tickerList
                assert [row.price for row in rows] == mine["price"][-count:].tolist()
                assert [row.hpVolume for row in rows] == mine["volume"][-count:].tolist()
                sequences = [row.sequence for row in rows]
                assert all(a < b for a, b in itertools.pairwise(sequences))
                assert not any(row.HasField("pushDataType") for row in rows)
            for count in (0, 1001):
                reply = await ask(
                    client, 3010, "QotGetTicker", security=one("SPY.US"), maxRetNum=count
                )
                assert reply.retType == -1
            assert client.rows == []

    run(main())


def test_pulled_and_pushed_ticks_meet_without_a_hole():
    async def main():
        sim = OpenDSimulator(symbols=3, rate=30_000)
        async with sim, connect(sim) as client:
            await client.subscribe(*sim.symbols)
            for _ in range(20):
                await client.ticks(len(client.rows) + 500)
                before = [row.sequence for symbol, row in client.rows if symbol == "AAPL.US"]
                reply = await ask(
                    client, 3010, "QotGetTicker", security=one("AAPL.US"), maxRetNum=1000
                )
                pulled = [row.sequence for row in reply.s2c.tickerList]
                pushed = [row.sequence for symbol, row in client.rows if symbol == "AAPL.US"]
                # What is pulled was pushed before the reply, and nothing is missing in between.
                assert pulled[-1] >= before[-1]
                assert pulled == [s for s in pushed if pulled[0] <= s <= pulled[-1]]

    run(main())


def test_pulls_agree_with_the_market():
    tape = make_tape(3000, gap_ns=50_000_000)

    async def main():
        async with OpenDSimulator(tape=tape, speed="max") as sim, connect(sim) as client:
            await client.subscribe("700.HK", types=ALL_TYPES, push=None)
            await sim.finished()
            market = sim.market
            what = market.find("700.HK")
            reply = await ask(client, 3004, "QotGetBasicQot", securityList=securities(["700.HK"]))
            same(reply.s2c.basicQotList[0], records.basic_qot(market, what))
            reply = await ask(client, 3008, "QotGetRT", security=one("700.HK"))
            assert [p.time for p in reply.s2c.rtList] == [
                f"2013-10-07 21:{minute}:00" for minute in (31, 32, 33)
            ]
            reply = await ask(client, 3012, "QotGetOrderBook", security=one("700.HK"), num=60)
            same(reply.s2c, records.book(market, what, 60))
            reply = await ask(client, 3014, "QotGetBroker", security=one("700.HK"))
            same(reply.s2c, records.broker_queues(market, what))
            for name, interval in INTERVALS.items():
                reply = await ask(
                    client, 3006, "QotGetKL",
                    rehabType=0, klType=interval.kl_type, security=one("700.HK"), reqNum=7,
                )  # fmt: skip
                bars, closes = market.last_bars("700.HK", name, 7)
                assert [b.closePrice for b in reply.s2c.klList] == bars["close"].tolist()
                assert [b.lastClosePrice for b in reply.s2c.klList] == closes.tolist()
                assert all(b.HasField("changeRate") for b in reply.s2c.klList)
            reply = await ask(
                client, 3006, "QotGetKL",
                rehabType=0, klType=99, security=one("700.HK"), reqNum=7,
            )  # fmt: skip
            assert reply.retType == -1

    run(main())


def paths(message, prefix=""):
    """Return the fields that a message has, those of the first row where there are several."""
    found = set()
    for field, value in message.ListFields():
        path = prefix + field.name
        found.add(path)
        if field.message_type is not None:
            found |= paths(value[0] if field.is_repeated else value, path + ".")
    return found


def test_messages_have_the_fields_that_a_gateway_sent(samples):
    names = {proto: NAMES[proto] for proto in (*GET, *UPDATES, 3103)}
    captured = {}
    with open(samples / "captures" / "opend_crypto.jsonl") as file:
        for line in map(json.loads, file):
            proto, body = line["proto_id"], bytes.fromhex(line["frame_hex"])[44:]
            if line["direction"] == "s2c" and proto in names:
                message = message_class(f"{names[proto]}.Response").FromString(body)
                captured.setdefault(proto, set()).update(paths(message))
    assert len(captured) > 7

    async def main():
        async with OpenDSimulator(tape=make_tape(300), speed="max") as sim, connect(sim) as client:
            kinds = [kind for kind in ALL_TYPES if kind not in {BROKER, ODD}]
            found = {}
            for proto, body, _ in await collect(sim, client, "BTCUSDT.CC", kinds):
                if proto in names:
                    push = message_class(f"{names[proto]}.Response").FromString(body)
                    found.setdefault(proto, set()).update(paths(push))
            who = one("BTCUSDT.CC")
            bars = {"rehabType": 1, "klType": 1, "security": who}
            for proto, c2s in (
                (3004, {"securityList": [who]}),
                (3006, bars | {"reqNum": 9}),
                (3008, {"security": who}),
                (3010, {"security": who, "maxRetNum": 9}),
                (3012, {"security": who, "num": 9}),
                (
                    3103,
                    bars | {"beginTime": "2013-10-01", "endTime": "2013-10-02", "maxAckKLNum": 9},
                ),
            ):
                found[proto] = paths(await ask(client, proto, names[proto], **c2s))
            return found

    found = run(main())
    for proto, expected in captured.items():
        assert found[proto] == expected, (names[proto], found[proto] ^ expected)


# What is granted.


def test_a_refused_subscription_applies_nothing():
    async def main():
        async with OpenDSimulator(tape=make_tape(30), quota=3) as sim, connect(sim) as client:
            for c2s, text in (
                ({"types": [1, 2]}, b"quota of 3 does not suffice: 0 used, 1 missing"),
                ({"types": [BROKER]}, b"SPY.US has no broker queue"),
                ({"types": [1], "session": 4}, b"session 4"),
                ({"types": [11], "regPushRehabTypeList": [7]}, b"adjusted by [7]"),
            ):
                reply = await client.subscribe("SPY.US", "700.HK", **c2s)
                assert reply.retType == -1
                assert text in reply.retMsg
                info = await ask(client, 3003, "QotGetSubInfo")
                assert info.s2c.totalUsedQuota == 0
            sim.quota = 4
            assert (await client.subscribe("SPY.US", "700.HK", types=[1, 2])).retType == 0

    run(main())


def test_requests_that_come_too_often_are_refused():
    async def main():
        async with (
            OpenDSimulator(tape=make_tape(3), rate_window_s=0.4) as sim,
            connect(sim) as client,
            connect(sim) as other,
        ):
            states = (3223, "QotGetMarketState")
            wanted = {"securityList": securities(["SPY.US"])}
            for _ in range(5):  # all clients together
                assert (await ask(client, *states, **wanted)).retType == 0
                assert (await ask(other, *states, **wanted)).retType == 0
            reply = await ask(client, *states, **wanted)
            assert reply.retType == -1
            assert "too frequent" in reply.retMsg
            await asyncio.sleep(0.45)
            assert (await ask(client, *states, **wanted)).retType == 0
        async with (
            OpenDSimulator(tape=make_tape(3), rate_limits=False) as sim,
            connect(sim) as client,
        ):
            for _ in range(50):
                assert (await ask(client, *states, **wanted)).retType == 0

    run(main())


def test_history_in_pages():
    async def main():
        sim = OpenDSimulator(tape=make_tape(300), speed="max", history_quota=1)
        async with sim, connect(sim) as client:
            wanted = {
                "rehabType": 1, "klType": 1, "security": one("700.HK"),
                "beginTime": "2013-10-02", "endTime": "2013-10-04",
            }  # fmt: skip
            history = (3103, "QotRequestHistoryKL")
            whole = await ask(client, *history, **wanted)
            assert not whole.s2c.HasField("nextReqKey")
            times = [bar.time for bar in whole.s2c.klList]
            assert (len(times), times[0], times[-1]) == (
                990, "2013-10-02 09:31:00", "2013-10-04 16:00:00",
            )  # fmt: skip
            bars, key = [], {}
            while True:  # the limit of requests counts first pages only
                reply = await ask(client, *history, **wanted, maxAckKLNum=9, **key)
                bars += reply.s2c.klList
                if not reply.s2c.HasField("nextReqKey"):
                    break
                assert len(reply.s2c.nextReqKey) == 16
                key = {"nextReqKey": reply.s2c.nextReqKey}
            assert bars == list(whole.s2c.klList)
            few = await ask(client, *history, **wanted, needKLFieldsFlag=1 | 512, maxAckKLNum=1)
            [bar] = few.s2c.klList
            assert [field.name for field, _ in bar.ListFields()] == [
                "time", "isBlank", "highPrice", "changeRate", "timestamp",
            ]  # fmt: skip
            for change, text in (
                ({"security": one("SPY.US")}, "history quota of 1"),
                ({"nextReqKey": b"wrong"}, "nextReqKey"),
                ({"beginTime": "yesterday"}, "expected a date"),
                ({"klType": 0}, "no bars of type 0"),
            ):
                reply = await ask(client, *history, **wanted | change)
                assert (reply.retType, text in reply.retMsg) == (-1, True), reply.retMsg
            reply = await ask(client, 3104, "QotRequestHistoryKLQuota", bGetDetail=True)
            assert (reply.s2c.usedQuota, reply.s2c.remainQuota) == (1, 0)
            assert [d.security.code for d in reply.s2c.detailList] == ["00700"]

    run(main())


def test_what_is_asked_wrongly_is_refused_in_words():
    async def main():
        sim = OpenDSimulator(tape=make_tape(3), speed="max", rate_limits=False)
        async with sim, connect(sim) as client:
            who, spy = one("700.HK"), one("SPY.US")
            dates = {"beginTime": "2013-10-01", "endTime": "2013-10-31"}
            for proto, name, c2s, text in (
                (3202, "QotGetStaticInfo", {"secType": 99}, "no securities of type 99"),
                (3203, "QotGetSecuritySnapshot", {}, "expected 1 to 400 securities, got 0"),
                (3203, "QotGetSecuritySnapshot", {"securityList": [who] * 401}, "got 401"),
                (3203, "QotGetSecuritySnapshot", {"securityList": [one("X.US")]}, "X.US"),
                (3205, "QotGetPlateSecurity", {"plate": one("LIST9.US")}, "plate: LIST9.US"),
                (
                    3209,
                    "QotGetOptionChain",
                    {"owner": spy} | dates | {"endTime": "2013-12-31"},
                    "30 days",
                ),
                (3213, "QotGetUserSecurity", {"groupName": "?"}, "unknown group: ?"),
                (
                    3214,
                    "QotModifyUserSecurity",
                    {"groupName": "Favorites", "op": 9, "securityList": [spy]},
                    "9",
                ),
                (3218, "QotGetFutureInfo", {"securityList": [spy]}, "not a future: SPY.US"),
                (3219, "QotRequestTradeDate", {"market": 99} | dates, "of market 99"),
                (
                    3219,
                    "QotRequestTradeDate",
                    {"market": 1} | dates | {"endTime": "2099-01-01"},
                    "3660",
                ),
                (3219, "QotRequestTradeDate", {"market": 1} | dates | {"beginTime": "?"}, "a date"),
                (3222, "QotGetUserSecurityGroup", {"groupType": 7}, "no groups of type 7"),
            ):
                reply = await ask(client, proto, name, **c2s)
                assert (reply.retType, text in reply.retMsg) == (-1, True), reply.retMsg
            reply = await ask(client, 3202, "QotGetStaticInfo", market=99)
            assert (reply.retType, len(reply.s2c.staticInfoList)) == (0, 0)
            reply = await ask(client, 3209, "QotGetOptionChain", owner=spy, type=1, **dates)
            options = [o for chain in reply.s2c.optionChain for o in chain.option]
            assert len(options) == 11
            assert all(o.HasField("call") and not o.HasField("put") for o in options)
            reply = await ask(
                client, 3209, "QotGetOptionChain", owner=spy, dataFilter={"deltaMin": 0.0}, **dates
            )
            options = [o for chain in reply.s2c.optionChain for o in chain.option]
            assert 0 < len(options) <= 11
            assert not any(o.HasField("put") for o in options)  # theirs is negative

    run(main())


# The back end.


@pytest.mark.parametrize("missed", [50, 7])
def test_an_upstream_outage_is_told_and_partly_made_good(missed):
    tape = make_tape(3000)

    async def main():
        async with OpenDSimulator(tape=tape) as sim, connect(sim, init=False) as client:
            await client.init(recvNotify=True)
            await client.subscribe("SPY.US", "700.HK", types=[TICKER, QUOTE])
            await client.ticks(200)
            sim.lose_upstream()
            assert not sim.upstream
            while client.others[-1][0] != "Notify":
                await client.receive()
            assert not client.others[-1][1].connectStatus.qotLogined
            state = await ask(client, 1002, "GetGlobalState", userID=0)
            assert not state.s2c.qotLogined
            await asyncio.sleep(0.05)
            reply = await ask(client, 3010, "QotGetTicker", security=one("SPY.US"), maxRetNum=1)
            lost_at = reply.s2c.tickerList[0].sequence
            count, others = len(client.rows), len(client.others)
            await asyncio.sleep(0.4)
            reply = await ask(client, 3010, "QotGetTicker", security=one("SPY.US"), maxRetNum=1)
            assert reply.s2c.tickerList[0].sequence == lost_at
            assert (len(client.rows), len(client.others)) == (count, others)
            assert client.rows[-1][1].pushDataType == 1
            sim.restore_upstream(missed=missed)
            await client.ticks(count + 300)
            late = {"SPY.US": [], "700.HK": []}
            for symbol, row in client.rows[count:]:
                if row.pushDataType == 2:
                    late[symbol].append(row.sequence & 0xFFFFFFFF)
            [told] = [s2c for name, s2c in client.others[others:] if name == "Notify"]
            assert told.connectStatus.qotLogined
            assert [len(rows) for rows in late.values()] == [missed, missed]
            # Late ticks are the last ones of the outage: live ones follow without a hole.
            for symbol, rows in late.items():
                known = [row.sequence & 0xFFFFFFFF for s, row in client.rows if s == symbol]
                assert known == sorted(set(known))
                after = known[known.index(rows[0]) :]
                assert np.diff(after).tolist() == [3] * (len(after) - 1)
                before = known[known.index(rows[0]) - 1]
                assert rows[0] - before > 3  # the others are lost to those who do not ask
            reply = await ask(client, 3010, "QotGetTicker", security=one("SPY.US"), maxRetNum=1000)
            cached = [row.sequence & 0xFFFFFFFF for row in reply.s2c.tickerList]
            assert np.diff(cached).tolist() == [3] * (len(cached) - 1)
            state = await ask(client, 1002, "GetGlobalState", userID=0)
            assert state.s2c.qotLogined

    run(main())


def test_late_ticks_come_even_when_no_others_follow():
    async def main():
        tape = make_tape(300)
        async with OpenDSimulator(tape=tape, speed="max") as sim, connect(sim) as client:
            sim.lose_upstream()
            await client.subscribe("SPY.US")
            await sim.finished()
            await client.request(1004, "KeepAlive", time=1)
            assert client.rows == []
            sim.restore_upstream()
            rows = await client.ticks(50)
            assert {row.pushDataType for _, row in rows} == {2}
            assert [row.price for _, row in rows] == tape.rows["price"][::3][-50:].tolist()
            with pytest.raises(ValueError, match="missed ticks, got 1001"):
                sim.restore_upstream(missed=1001)
            sim.lose_upstream()  # and once more, without any
            sim.restore_upstream()
            await client.request(1004, "KeepAlive", time=1)
            assert len(client.rows) == 50

    run(main())


def test_notices_and_reminders():
    async def main():
        async with (
            OpenDSimulator(tape=make_tape(300), speed="max") as sim,
            connect(sim, init=False) as client,
            connect(sim) as deaf,
        ):
            await client.init(recvNotify=True)
            await sim.notify(1, event={"eventType": 7, "desc": b"kicked out"})
            await sim.remind("700.HK", note="sell")
            await client.request(1004, "KeepAlive", time=1)
            await deaf.request(1004, "KeepAlive", time=1)
            [(_, notice), (name, reminder)] = client.others
            assert (notice.type, notice.event.eventType, notice.event.desc) == (1, 7, b"kicked out")
            assert (name, reminder.security.code, reminder.note) == (
                "QotUpdatePriceReminder", "00700", "sell",
            )  # fmt: skip
            assert [name for name, _ in deaf.others] == ["QotUpdatePriceReminder"]

    run(main())


def test_ticks_wait_until_they_are_told():
    tape = make_tape(300)

    async def main():
        sim = OpenDSimulator(tape=tape, speed="max", hold=True)
        async with sim, connect(sim) as client, connect(sim) as other:
            await client.subscribe("SPY.US")
            await asyncio.sleep(0.05)
            await other.subscribe("SPY.US", types=[TICKER, QUOTE])
            assert sim.sent == 0
            sim.begin()
            for one_of_them in (client, other):
                rows = await one_of_them.ticks(100)
                assert [row.price for _, row in rows] == tape.rows["price"][::3].tolist()

    run(main())


# Faults.


def test_replies_are_lost_doubled_and_replaced():
    async def main():
        faults = Faults(no_reply=1002, double_reply=2, error_reply="3223:not now")
        async with (
            OpenDSimulator(tape=make_tape(3), faults=faults) as sim,
            connect(sim) as client,
        ):
            keep_alive = pack(1004, 50, bytes.fromhex("0a020801"))
            client.writer.write(keep_alive)  # the second reply of this connection
            first, second = await client.receive(), await client.receive()
            assert first == second
            assert first[:2] == (1004, 50)
            client.writer.write(pack(1002, 51, bytes.fromhex("0a020800")) + keep_alive)
            assert (await client.receive())[:2] == (1004, 50)
            await client.receive()
            reply = await ask(
                client, 3223, "QotGetMarketState", securityList=securities(["SPY.US"])
            )
            assert (reply.retType, reply.retMsg) == (-1, "not now")

    run(main())


def test_replies_come_in_another_order():
    async def main():
        faults = Faults(reversed_replies=3)
        async with (
            OpenDSimulator(tape=make_tape(3), faults=faults) as sim,
            connect(sim) as client,
        ):
            for serial in (1, 2, 3, 4):
                client.writer.write(pack(1004, serial, bytes.fromhex("0a020801")))
            assert [(await client.receive())[1] for _ in range(4)] == [3, 2, 1, 4]

    run(main())


async def collect(sim, client, symbol="700.HK", kinds=ALL_TYPES):
    """Subscribe to all kinds, play the tape, and return what came: (protocol id, body, right SHA-1)."""
    request = message_class("QotSub.Request")(
        c2s={
            "securityList": securities([symbol]),
            "subTypeList": kinds,
            "isSubOrUnSub": True,
            "isRegOrUnRegPush": True,
        }
    )
    client.writer.write(pack(3001, 1000, request.SerializeToString()))
    found, asked = [], False
    while True:
        head = await client.reader.readexactly(44)
        _, proto, _, _, serial, length, sha1, _ = HEADER.unpack(head)
        body = await client.reader.readexactly(length)
        if (proto, serial) == (1004, 1001):
            return found
        found.append((proto, body, hashlib.sha1(body).digest() == sha1))
        if not asked:
            asked = True
            await sim.finished()
            client.writer.write(pack(1004, 1001, bytes.fromhex("0a020801")))


@pytest.mark.parametrize("fault", ["unknown_fields", "shuffled_fields", "unknown_enums"])
def test_all_kinds_of_messages_are_rewritten(fault):
    async def main():
        faults = Faults(**{fault: True})
        sim = OpenDSimulator(tape=make_tape(300), speed="max", faults=faults)
        async with sim, connect(sim) as client:
            reply = await ask_loosely(client, 3202, "QotGetStaticInfo", market=1, secType=3)
            assert [s.basic.security.code for s in reply.s2c.staticInfoList] == ["00700"]
            changed = dict.fromkeys(UPDATES, 0)
            for proto, body, right in await collect(sim, client):
                assert right
                if proto not in UPDATES:
                    continue
                push = message_class(f"{NAMES[proto]}.Response").FromString(body)
                plain = push.SerializeToString()
                push.DiscardUnknownFields()
                if fault == "unknown_enums":
                    changed[proto] += (
                        push.s2c.basicQotList[0].secStatus == 200 if proto == 3005 else 0
                    )
                else:
                    changed[proto] += body not in {plain, push.SerializeToString()}
                if proto == 3005:
                    last = push
            expected = records.basic_qot(sim.market, sim.market.find("700.HK"))
            assert last.s2c.basicQotList[0].curPrice == expected["curPrice"]
            if fault == "unknown_enums":
                assert changed[3005] > 0
            else:
                assert min(changed.values()) > 0, changed

    run(main())


async def ask_loosely(client, proto, name, **c2s):
    body = await client.request(proto, name, **c2s)
    return message_class(f"{name}.Response").FromString(body)


def test_bad_pushes_of_all_kinds_are_extra():
    async def main():
        faults = Faults(bad_sha1=1, garbage_body=1, empty_list=1, error_push=1)
        sim = OpenDSimulator(tape=make_tape(300), speed="max", faults=faults)
        async with sim, connect(sim) as client:
            kinds = {proto: Counter() for proto in UPDATES}
            for proto, body, right in await collect(sim, client):
                if proto not in UPDATES:
                    continue
                try:
                    push = message_class(f"{NAMES[proto]}.Response").FromString(body)
                except DecodeError:
                    kinds[proto]["garbage"] += 1
                    continue
                rows = sum(
                    len(value) for field, value in push.s2c.ListFields() if field.is_repeated
                )
                if not right:
                    kinds[proto]["sha1"] += 1
                elif push.retType != 0:
                    kinds[proto]["error"] += 1
                else:
                    kinds[proto]["good" if rows else "empty"] += 1
            for counts in kinds.values():
                assert counts["good"] > 0
                assert len(counts) == 5
                assert len(set(counts.values())) == 1, kinds

    run(main())


# Encryption.


async def exchange(client, proto, serial, body, encrypt=None):
    """Send a request; return the whole header's fields and the body of what comes first."""
    client.writer.write(pack(proto, serial, body, encrypt))
    head = HEADER.unpack(await client.reader.readexactly(44))
    return head, await client.reader.readexactly(head[5])


async def ended(client):
    """Read until the other side has closed."""
    with suppress(ConnectionError):
        while await client.reader.read(1 << 16):
            pass


def hello(**c2s):
    c2s = {"clientVer": 300, "clientID": "test"} | c2s
    return message_class("InitConnect.Request")(c2s=c2s).SerializeToString()


@pytest.mark.parametrize("mode", ["aes-cbc", "ftaes-ecb", "absent"])
def test_all_packets_after_the_handshake_are_encrypted(mode, key_file):
    async def main():
        key = load_rsa_key(key_file)
        algorithm = {"aes-cbc": {"packetEncAlgo": 2}, "ftaes-ecb": {"packetEncAlgo": 0}}
        async with (
            OpenDSimulator(tape=make_tape(300), speed="max", rsa_key=key_file) as sim,
            connect(sim, init=False) as client,
        ):
            head, body = await exchange(
                client, 1001, 1, hello(**algorithm.get(mode, {})), key.encrypt
            )
            plain = key.decrypt(body)
            assert head[6] == hashlib.sha1(plain).digest()
            s2c = message_class("InitConnect.Response").FromString(plain).s2c
            cipher = OpendCipher(
                "aes-cbc" if mode == "aes-cbc" else "ftaes-ecb",
                s2c.connAESKey.encode(),
                s2c.aesCBCiv.encode(),
            )
            request = message_class("QotSub.Request")(
                c2s={
                    "securityList": securities(["SPY.US"]),
                    "subTypeList": [TICKER, QUOTE],
                    "isSubOrUnSub": True,
                    "isRegOrUnRegPush": True,
                }
            )
            head, body = await exchange(
                client, 3001, 2, request.SerializeToString(), cipher.encrypt
            )
            assert head[1] == 3001
            assert cipher.decrypt(body) == OK
            prices, kinds = [], set()
            while len(prices) < 100:
                head = HEADER.unpack(await client.reader.readexactly(44))
                plain = cipher.decrypt(await client.reader.readexactly(head[5]))
                assert hashlib.sha1(plain).digest() == head[6]
                kinds.add(head[1])
                if head[1] == 3011:
                    push = message_class("QotUpdateTicker.Response").FromString(plain)
                    prices += [row.price for row in push.s2c.tickerList]
            assert prices == make_tape(300).rows["price"][::3].tolist()
            assert kinds == {3005, 3011}
            request = message_class("QotGetTicker.Request")(
                c2s={"security": one("SPY.US"), "maxRetNum": 3}
            )
            head, body = await exchange(
                client, 3010, 3, request.SerializeToString(), cipher.encrypt
            )
            while head[1] != 3010:
                head = HEADER.unpack(await client.reader.readexactly(44))
                body = await client.reader.readexactly(head[5])
            reply = message_class("QotGetTicker.Response").FromString(cipher.decrypt(body))
            assert [row.price for row in reply.s2c.tickerList] == prices[-3:]
            client.writer.write(pack(1004, 4, bytes.fromhex("0a020801")))  # not encrypted
            await ended(client)
            assert sim.stats()["dropped_bad_packet"] == 1

    run(main())


def test_a_client_with_the_key_may_do_without_encryption(key_file):
    async def main():
        key = load_rsa_key(key_file)
        async with (
            OpenDSimulator(tape=make_tape(3), rsa_key=key_file) as sim,
            connect(sim, init=False) as client,
        ):
            head, body = await exchange(client, 1001, 1, hello(packetEncAlgo=-1), key.encrypt)
            assert hashlib.sha1(body).digest() == head[6]
            assert message_class("InitConnect.Response").FromString(body).retType == 0
            client.serial = itertools.count(2)
            await client.request(1004, "KeepAlive", time=1)

    run(main())


def test_a_client_without_the_key_cannot_read_the_reply(key_file):
    async def main():
        async with (
            OpenDSimulator(tape=make_tape(3), rsa_key=key_file) as sim,
            connect(sim, init=False) as client,
        ):
            head, body = await exchange(client, 1001, 1, hello(packetEncAlgo=-1))
            assert (head[5], len(body)) == (128, 128)
            assert hashlib.sha1(body).digest() != head[6]
            plain = load_rsa_key(key_file).decrypt(body)
            assert message_class("InitConnect.Response").FromString(plain).retType == 0

    run(main())


def test_wrong_keys_and_unknown_ciphers(key_file, tmp_path):
    async def main():
        key = load_rsa_key(key_file)
        async with OpenDSimulator(tape=make_tape(3)) as sim, connect(sim, init=False) as client:
            client.writer.write(pack(1001, 1, hello(packetEncAlgo=2), key.encrypt))
            await ended(client)
            assert sim.stats()["dropped_bad_packet"] == 1
        async with (
            OpenDSimulator(tape=make_tape(3), rsa_key=key_file) as sim,
            connect(sim, init=False) as client,
        ):
            _, body = await exchange(client, 1001, 1, hello(packetEncAlgo=1), key.encrypt)
            reply = message_class("Reply").FromString(body)
            assert (reply.retType, reply.retMsg) == (-1, b"unknown encryption 1")
            client.writer.write(pack(1001, 2, hello(packetEncAlgo=2), lambda body: b"x" * 128))
            await ended(client)

    run(main())
    with pytest.raises(ConfigError, match="cannot read the RSA key"):
        OpenDSimulator(symbols=1, rsa_key=tmp_path / "none.pem")


def test_faults_of_encrypted_packets_are_those_of_the_plain(key_file):
    async def main():
        key = load_rsa_key(key_file)
        faults = Faults(bad_sha1=2, shuffled_fields=True, glue=3)
        sim = OpenDSimulator(tape=make_tape(90), speed="max", rsa_key=key_file, faults=faults)
        async with sim, connect(sim, init=False) as client:
            _, body = await exchange(client, 1001, 1, hello(packetEncAlgo=2), key.encrypt)
            s2c = message_class("InitConnect.Response").FromString(key.decrypt(body)).s2c
            cipher = OpendCipher("aes-cbc", s2c.connAESKey.encode(), s2c.aesCBCiv.encode())
            request = message_class("QotSub.Request")(
                c2s={
                    "securityList": securities(["SPY.US"]),
                    "subTypeList": [TICKER],
                    "isSubOrUnSub": True,
                    "isRegOrUnRegPush": True,
                }
            )
            client.writer.write(pack(3001, 2, request.SerializeToString(), cipher.encrypt))
            prices, bad = [], 0
            while len(prices) < 30:
                head = HEADER.unpack(await client.reader.readexactly(44))
                plain = cipher.decrypt(await client.reader.readexactly(head[5]))
                if hashlib.sha1(plain).digest() != head[6]:
                    bad += 1
                elif head[1] == 3011:
                    push = message_class("QotUpdateTicker.Response").FromString(plain)
                    prices += [row.price for row in push.s2c.tickerList]
            assert prices == make_tape(90).rows["price"][::3].tolist()
            assert bad == 15

    run(main())
