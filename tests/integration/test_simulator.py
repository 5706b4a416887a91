"""The simulated OpenD as a raw client sees it: protocol, pacing, slow and dead clients, faults."""

import asyncio
import gc
import itertools
import logging
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import uvloop
from raw_client import OK, TICKER, Client, connect, make_tape, securities

from fastfeed.errors import ConfigError
from fastfeed.protocols.opend_frames import pack as packet
from fastfeed.protocols.opend_messages import message_class
from fastfeed.sim import Faults, OpenDSimulator
from fastfeed.sim.generator import symbol_names


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request):
    """Run a coroutine, at most 20 s, on each kind of loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(coroutine):
        async def limited():
            async with asyncio.timeout(20):
                return await coroutine

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(limited())

    return run


def assert_rows_are_the_tape(rows, tape, symbols=None):
    """Compare ticks with the rows of `symbols`, in the tape's order."""
    names = [symbol if "." in symbol else f"{symbol}.CC" for symbol in tape.symbols]
    wanted = [i for i, name in enumerate(names) if symbols is None or name in symbols]
    expected = tape.rows[np.isin(tape.rows["symbol"], wanted)]
    assert len(rows) == len(expected)
    for (symbol, row), (time_ns, price, volume, index, side) in zip(
        rows, expected.tolist(), strict=True
    ):
        assert symbol == names[index]
        assert (row.price, row.hpVolume, row.volume) == (price, volume, int(volume))
        assert row.turnover == price * volume
        assert row.dir == {1: 1, -1: 2, 0: 3}[side]
        assert round(row.timestamp * 1e6) == time_ns // 1000
        assert row.sequence >> 32 == time_ns // 1_000_000_000


# The protocol.


def test_requests_are_answered_as_a_gateway_does(run):
    async def main():
        async with (
            OpenDSimulator(tape=make_tape(3), keep_alive_interval=7) as sim,
            connect(sim, init=False) as client,
        ):
            body = await client.request(1004, "KeepAlive", time=1)
            reply = message_class("Reply").FromString(body)
            assert reply.retType == -1
            assert b"InitConnect" in reply.retMsg

            body = await client.init(recvNotify=True, programmingLanguage="Python")
            reply = message_class("InitConnect.Response").FromString(body)
            assert (reply.retType, reply.retMsg, reply.errCode) == (0, "", 0)
            assert all(reply.s2c.HasField(field.name) for field in reply.s2c.DESCRIPTOR.fields)
            assert (len(reply.s2c.connAESKey), len(reply.s2c.aesCBCiv)) == (16, 16)
            assert reply.s2c.keepAliveInterval == 7

            body = await client.request(1004, "KeepAlive", time=1)
            reply = message_class("KeepAlive.Response").FromString(body)
            assert abs(reply.s2c.time - time.time()) < 2

            body = await client.request(1002, "GetGlobalState", userID=0)
            state = message_class("GetGlobalState.Response").FromString(body).s2c
            assert state.qotLogined
            assert abs(state.localTime - time.time()) < 2

            client.writer.write(packet(3225, 77, b""))
            proto, serial, body = await client.receive()
            assert (proto, serial) == (3225, 77)
            assert message_class("Reply").FromString(body).retType == -1
            assert sim.stats()["refused"] == 2

    run(main())


@pytest.mark.parametrize("what", ["magic", "sha1", "garbage", "length", "json"])
def test_a_bad_request_closes_the_connection(run, what):
    async def main():
        async with OpenDSimulator(tape=make_tape(3)) as sim, connect(sim) as client:
            data = bytearray(packet(1004, 9, bytes.fromhex("0a020801")))
            if what == "magic":
                data[0] = 0
            elif what == "sha1":
                data[20] ^= 1
            elif what == "length":
                data[12:16] = b"\xff\xff\xff\xff"
            elif what == "json":
                data[6] = 1
            else:
                data = packet(1004, 9, b"\xff\xff")
            client.writer.write(bytes(data))
            await client.closed()
            assert sim.stats()["dropped_bad_packet"] == 1
            async with connect(sim):  # and nobody else's
                pass

    run(main())


def test_encryption_is_refused_in_words(run):
    async def main():
        async with (
            OpenDSimulator(tape=make_tape(3)) as sim,
            connect(sim, init=False) as client,
        ):
            reply = message_class("Reply").FromString(await client.init(packetEncAlgo=2))
            assert reply.retType == -1
            assert b"key" in reply.retMsg

    run(main())


def test_every_tick_of_a_tape_arrives_in_order(run):
    tape = make_tape(10_000)

    async def main():
        async with OpenDSimulator(tape=tape, speed="max") as sim, connect(sim) as client:
            body = await client.request(
                3001,
                "QotSub",
                securityList=securities(sim.symbols),
                subTypeList=[TICKER],
                isSubOrUnSub=True,
                isRegOrUnRegPush=True,
            )
            assert body == OK
            rows = await client.ticks(len(tape))
            await sim.finished()
            assert_rows_are_the_tape(rows, tape)
            serials = [serial for serial, _ in client.pushes]
            assert serials == list(range(serials[0], serials[0] + len(tape)))
            sequences = [row.sequence for _, row in rows]
            assert all(a < b for a, b in itertools.pairwise(sequences))
            first = rows[0][1]
            assert first.time == "2013-10-07 09:30:00.000"
            assert rows[1][1].time == "2013-10-07 21:30:00.001"  # Hong Kong
            assert (first.type, first.typeSign, first.pushDataType) == (1, 32, 1)
            assert abs(first.recvTime - time.time()) < 5
            assert client.pushes[0][1].s2c.name == "SPY"
            assert sim.sent == len(tape)
            assert sim.stats()["cached"] == 0

    run(main())


def test_rows_share_pushes_when_asked_to(run):
    tape = make_tape(1000, symbols=("SPY.US",))

    async def main():
        async with (
            OpenDSimulator(tape=tape, speed="max", rows_per_push=7) as sim,
            connect(sim) as client,
        ):
            await client.subscribe("SPY.US")
            assert_rows_are_the_tape(await client.ticks(1000), tape)
            assert max(len(push.s2c.tickerList) for _, push in client.pushes) == 7
            assert len(client.pushes) < 150

    run(main())


def test_symbols_added_later_come_in_tape_order_after_their_cached_ticks(run):
    tape = make_tape(60_000)

    async def main():
        async with OpenDSimulator(tape=tape, speed="max") as sim, connect(sim) as client:
            await client.subscribe("SPY.US")
            await client.ticks(100)
            await client.subscribe("BTCUSDT.CC")
            while not client.rows or client.rows[-1][1].price < 699.96:
                await client.receive()
            rows = client.rows
            live = [row for _, row in rows if row.pushDataType == 1]
            assert [r.sequence for r in live] == sorted(r.sequence for r in live)
            assert {symbol for symbol, _ in rows} == {"SPY.US", "BTCUSDT.CC"}
            cached = [(symbol, row) for symbol, row in rows if row.pushDataType == 3]
            assert len(cached) == 10
            assert {symbol for symbol, _ in cached} == {"BTCUSDT.CC"}
            # Cached and live rows of the symbol meet without a hole.
            added = [row.sequence & 0xFFFFFFFF for symbol, row in rows if symbol == "BTCUSDT.CC"]
            assert np.diff(added).tolist() == [3] * (len(added) - 1)
            first = [row for symbol, row in rows if symbol == "SPY.US"]
            assert [row.price for row in first[:50]] == tape.rows["price"][:150:3].tolist()

    run(main())


def test_a_client_that_joins_later_begins_where_the_tape_is(run):
    tape = make_tape(3000)

    async def main():
        async with OpenDSimulator(tape=tape, speed="max") as sim:
            async with connect(sim) as client:
                await client.subscribe(*sim.symbols)
                await client.ticks(3000)
            async with connect(sim) as client:
                await client.subscribe(*sim.symbols)
                rows = await client.ticks(30)
                assert {row.pushDataType for _, row in rows} == {3}
                assert max(row.price for _, row in rows) == tape.rows["price"][-1]
            async with connect(sim) as client:
                await client.subscribe(*sim.symbols, isFirstPush=False)
                await client.request(1004, "KeepAlive", time=1)
                assert client.rows == []

    run(main())


def test_a_tape_keeps_its_own_time(run):
    tape = make_tape(400, gap_ns=5_000_000)  # 2 s

    async def main():
        async with OpenDSimulator(tape=tape, speed=4) as sim, connect(sim) as client:
            await asyncio.sleep(0.1)  # it begins with the subscription, not before
            began = time.monotonic()
            await client.subscribe(*sim.symbols)
            await client.ticks(200)
            half = time.monotonic() - began
            await client.ticks(400)
            whole = time.monotonic() - began
            await sim.finished()
            assert 0.24 < half < 0.4
            assert 0.49 < whole < 0.7
            assert_rows_are_the_tape(client.rows, tape)

    run(main())


def test_a_looped_tape_goes_on_with_growing_sequences(run):
    tape = make_tape(100, symbols=("SPY.US",), gap_ns=1_000_000)

    async def main():
        for speed in ("max", 10):
            async with (
                OpenDSimulator(tape=tape, speed=speed, loop=True) as sim,
                connect(sim) as client,
            ):
                await client.subscribe("SPY.US")
                rows = [row for _, row in await client.ticks(350)]
                assert [row.price for row in rows[:350]] == (tape.rows["price"].tolist() * 4)[:350]
                assert all(a.sequence < b.sequence for a, b in itertools.pairwise(rows))
                with pytest.raises(RuntimeError, match="without end"):
                    await sim.finished()

    run(main())


def test_subscriptions_have_a_quota_which_a_young_one_outlives(run):
    async def main():
        sim = OpenDSimulator(tape=make_tape(9), speed="max", quota=2, unsubscribe_after_s=0.3)
        async with sim:
            async with connect(sim) as client, connect(sim) as other:
                assert (await client.subscribe("SPY.US", "700.HK")).retType == 0
                assert (await other.subscribe("SPY.US")).retType == 0  # the same costs nothing
                reply = await other.subscribe("BTCUSDT.CC")
                assert reply.retType == -1
                assert b"quota" in reply.retMsg
                body = await other.request(3003, "QotGetSubInfo", isReqAllConn=True)
                info = message_class("QotGetSubInfo.Response").FromString(body).s2c
                assert (info.totalUsedQuota, info.remainQuota) == (2, 0)
                assert sorted((c.isOwnConnData, c.usedQuota) for c in info.connSubInfoList) == [
                    (False, 2),
                    (True, 1),
                ]
                [own] = [c for c in info.connSubInfoList if c.isOwnConnData]
                assert own.subInfoList[0].subType == TICKER
                assert [s.code for s in own.subInfoList[0].securityList] == ["SPY"]
            async with connect(sim) as client:
                assert (await client.subscribe("BTCUSDT.CC")).retType == -1
                await asyncio.sleep(0.35)
                assert (await client.subscribe("BTCUSDT.CC")).retType == 0

    run(main())


def test_a_subscription_lives_a_minute_at_least(run):
    async def main():
        tape = make_tape(3000)
        sim = OpenDSimulator(tape=tape, unsubscribe_after_s=0.3)
        async with sim, connect(sim) as client:
            await client.subscribe("SPY.US", "700.HK")
            reply = await client.subscribe("SPY.US", on=False)
            assert reply.retType == -1
            assert b"SPY.US" in reply.retMsg
            reply = await client.request(3001, "QotSub", isSubOrUnSub=False, isUnsubAll=True)
            assert message_class("Reply").FromString(reply).retType == -1
            await asyncio.sleep(0.3)
            assert (await client.subscribe("SPY.US", on=False)).retType == 0
            client.rows.clear()
            assert {symbol for symbol, _ in await client.ticks(20)} == {"700.HK"}
            reply = await client.request(3001, "QotSub", isSubOrUnSub=False, isUnsubAll=True)
            assert reply == OK
            client.rows.clear()
            await asyncio.sleep(0.05)
            await client.request(1004, "KeepAlive", time=1)
            assert client.rows == []

    run(main())


def test_pushes_come_only_when_registered(run):
    async def main():
        async with OpenDSimulator(tape=make_tape(3000)) as sim, connect(sim) as client:

            async def register(on, *symbols):
                body = await client.request(
                    3002,
                    "QotRegQotPush",
                    securityList=securities(symbols),
                    subTypeList=[TICKER],
                    isRegOrUnReg=on,
                )
                return message_class("Reply").FromString(body)

            reply = await register(True, "SPY.US")
            assert reply.retType == -1
            assert b"subscribe first" in reply.retMsg
            assert (await client.subscribe("SPY.US", push=None)).retType == 0
            assert (await client.subscribe("700.HK", types=(1, 2))).retType == 0
            await asyncio.sleep(0.05)
            await client.request(1004, "KeepAlive", time=1)
            assert client.rows == []
            assert (await register(True, "SPY.US")).retType == 0
            assert {symbol for symbol, _ in await client.ticks(5)} == {"SPY.US"}
            assert (await register(False, "SPY.US")).retType == 0
            client.rows.clear()
            await asyncio.sleep(0.05)
            await client.request(1004, "KeepAlive", time=1)
            assert client.rows == []

    run(main())


def test_unknown_securities_and_types_are_named(run):
    async def main():
        async with OpenDSimulator(tape=make_tape(3)) as sim, connect(sim) as client:
            reply = await client.subscribe("SPY.US", "IBM.US", "00001.HK")
            assert reply.retType == -1
            assert reply.retMsg == b"unknown security: IBM.US, 1.HK"
            reply = await client.subscribe("SPY.US", types=(99,))
            assert reply.retType == -1
            assert b"99" in reply.retMsg
            body = await client.request(3003, "QotGetSubInfo")
            info = message_class("QotGetSubInfo.Response").FromString(body).s2c
            assert info.totalUsedQuota == 0

    run(main())


# The generator.


@pytest.mark.parametrize("rate", [2_000, 100_000])
def test_generated_ticks_come_at_the_rate_asked_for(run, rate):
    async def main():
        sim = OpenDSimulator(symbols=50, rate=rate, seed=3)
        async with sim, connect(sim, limit=1 << 20) as client:
            assert sim.symbols == symbol_names(50)
            await client.subscribe(*sim.symbols)
            began = time.monotonic()
            while time.monotonic() - began < 1.0:
                await client.reader.read(1 << 20)
            due = rate * (time.monotonic() - began)
            assert sim.sent == pytest.approx(due, rel=0.05, abs=64)
            with pytest.raises(RuntimeError, match="without end"):
                await sim.finished()

    run(main())


def test_generated_ticks_are_the_same_for_the_same_seed_at_the_time_of_the_clock(run):
    async def take():
        async with (
            OpenDSimulator(symbols=["AAPL.US", "700.HK"], rate=5000, seed=8) as sim,
            connect(sim) as client,
        ):
            await client.subscribe("AAPL.US", "HK.00700")
            return await client.ticks(300)

    async def main():
        first, second = await take(), await take()
        assert abs(first[-1][1].timestamp - time.time()) < 5
        for (symbol, a), (other, b) in zip(first[:300], second[:300], strict=True):
            assert (symbol, a.price, a.hpVolume, a.dir) == (other, b.price, b.hpVolume, b.dir)
            assert a.recvTime >= a.timestamp - 1e-3

    run(main())


def test_it_says_when_it_cannot_keep_up(run, caplog):
    async def main():
        sim = OpenDSimulator(symbols=1000, rate=50_000_000)
        async with sim, connect(sim, limit=1 << 20) as client:
            await client.subscribe(sim.symbols[-1])
            began = time.monotonic()
            while time.monotonic() - began < 1.4:
                assert await client.reader.read(1 << 20)
            assert sim.stats()["clients"] == 1

    with caplog.at_level(logging.WARNING):
        run(main())
    [text] = [r.getMessage() for r in caplog.records if "cannot keep up" in r.getMessage()]
    played, due = map(int, re.search(r"(\d+) of (\d+) ticks/s", text).groups())
    assert due == pytest.approx(50_000_000, rel=0.2)
    assert played < due / 2


# Slow and dead clients.


def test_a_client_that_does_not_read_holds_up_nobody_and_loses_nothing(run):
    tape = make_tape(60_000)  # 9 MB

    async def main():
        async with (
            OpenDSimulator(tape=tape, speed="max") as sim,
            connect(sim, receive_bytes=1 << 16) as slow,
            connect(sim) as quick,
        ):
            await slow.subscribe(*sim.symbols)
            await quick.subscribe(*sim.symbols, isFirstPush=False)
            while not quick.rows or quick.rows[-1][1].price < tape.rows["price"][-1]:
                await quick.receive()
            buffered = [c._writer.transport.get_write_buffer_size() for c in sim._gateway.clients]
            assert 0 < sum(buffered) < 1 << 20
            finished = asyncio.create_task(sim.finished())
            await asyncio.sleep(0.05)
            assert not finished.done()
            assert_rows_are_the_tape(await slow.ticks(len(tape)), tape)
            await finished

    run(main())


def test_a_client_too_slow_for_generated_ticks_is_dropped(run, caplog):
    async def main():
        sim = OpenDSimulator(symbols=10, rate=1_500_000)
        async with sim, connect(sim) as dead, connect(sim) as alive:
            await dead.subscribe(*sim.symbols)
            await alive.subscribe("AAPL.US")
            while sim.stats()["dropped_fell_behind"] == 0:
                await alive.receive()
            while sim.stats()["clients"] != 1:
                await alive.receive()
            alive.rows.clear()
            await alive.ticks(1000)

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_silent_clients_are_dropped(run):
    async def main():
        async with (
            OpenDSimulator(tape=make_tape(3), idle_timeout_s=0.3) as sim,
            connect(sim) as silent,
            connect(sim) as talking,
        ):
            for _ in range(6):
                await asyncio.sleep(0.1)
                await talking.request(1004, "KeepAlive", time=1)
            await silent.closed()
            assert sim.stats()["dropped_idle"] == 1
            assert sim.stats()["clients"] == 1

    run(main())


def test_connections_can_be_dropped_and_refused_for_a_while(run):
    async def main():
        async with OpenDSimulator(symbols=3, rate=1000) as sim:
            port = sim.port
            assert sim.url == f"opend://127.0.0.1:{port}"
            async with connect(sim) as client:
                await client.subscribe("AAPL.US")
                await sim.pause_listening()
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", port)
                await client.request(1004, "KeepAlive", time=1)
                await sim.disconnect_all()
                await client.closed()
                assert sim.stats()["clients"] == 0
            await sim.resume_listening()
            assert sim.port == port
            async with connect(sim) as client:
                await client.subscribe("AAPL.US")
                await client.ticks(5)

    run(main())


def test_the_end_comes_soon_even_with_a_dead_client(run):
    async def main():
        async with OpenDSimulator(tape=make_tape(100_000), speed="max") as sim:
            reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
            client = Client(reader, writer)
            await client.init()
            await client.subscribe(*sim.symbols)
            began = time.monotonic()
        assert time.monotonic() - began < 3
        writer.transport.abort()

    run(main())


def test_addresses_and_symbols_that_cannot_be_used(run):
    async def main():
        async with OpenDSimulator(symbols=1) as sim:
            with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{sim.port}"):
                async with OpenDSimulator(port=sim.port, symbols=1):
                    pass

    run(main())
    with pytest.raises(ConfigError, match="'AAPL'"):
        OpenDSimulator(symbols=["AAPL"])
    with pytest.raises(ConfigError, match=r"700\.HK twice"):
        OpenDSimulator(symbols=["700.HK", "HK.00700"])
    with pytest.raises(ValueError, match="speed"):
        OpenDSimulator(tape=make_tape(1), speed=0)
    with pytest.raises(ValueError, match="rows a push"):
        OpenDSimulator(symbols=1, rows_per_push=0)


# Faults.


@asynccontextmanager
async def faulty(tape, **faults):
    sim = OpenDSimulator(tape=tape, speed="max", faults=Faults(**faults))
    async with sim, connect(sim) as client:
        await client.subscribe(*sim.symbols)
        yield SimpleNamespace(sim=sim, client=client)


@pytest.mark.parametrize(
    "faults",
    [
        {"split": 1},
        {"split": 100},
        {"glue": 16},
        {"glue": 7, "split": 50},
        {"unknown_fields": True},
        {"shuffled_fields": True},
        {"unknown_fields": True, "shuffled_fields": True},
        {"late_reply": 0.05},
    ],
    ids=str,
)
def test_harmless_faults_change_no_tick(run, faults):
    tape = make_tape(200)

    async def main():
        async with faulty(tape, **faults) as test:
            assert_rows_are_the_tape(await test.client.ticks(200), tape)

    run(main())


def test_fields_are_shuffled_and_unknown_ones_added(run):
    async def main():
        for faults in ({"shuffled_fields": True}, {"unknown_fields": True}):
            bodies = []
            sim = OpenDSimulator(tape=make_tape(50), speed="max", faults=Faults(**faults))
            async with sim, connect(sim) as client:
                await client.subscribe(*sim.symbols)
                while len(bodies) < 50:
                    proto, _, body = await client.receive()
                    if proto == 3011:
                        bodies.append(body)
            parse = message_class("QotUpdateTicker.Response").FromString
            plain = []
            for push in map(parse, bodies):
                push.DiscardUnknownFields()
                plain.append(push.SerializeToString())
            if "shuffled_fields" in faults:
                assert sum(a != b for a, b in zip(bodies, plain, strict=True)) > 40
                assert list(map(len, bodies)) == list(map(len, plain))
            else:
                assert all(len(a) > len(b) + 50 for a, b in zip(bodies, plain, strict=True))

    run(main())


def test_enumerations_get_new_numbers(run):
    async def main():
        async with faulty(make_tape(20), unknown_enums=True) as test:
            rows = [row for _, row in await test.client.ticks(20)]
            assert {(r.dir, r.type, r.pushDataType) for r in rows} == {(7, -200, 9)}
            assert [row.price for row in rows] == make_tape(20).rows["price"].tolist()

    run(main())


@pytest.mark.parametrize("name", ["bad_sha1", "garbage_body", "empty_list", "error_push"])
def test_bad_pushes_are_extra(run, name):
    tape = make_tape(100)

    async def main():
        async with faulty(tape, **{name: 10}) as test:
            client = test.client
            rows = await client.ticks(100)
            bad = len(client.bad)
            if name == "empty_list":
                empty = [push for _, push in client.pushes if not push.s2c.tickerList]
                assert all(push.s2c.security.code for push in empty)
                bad = len(empty)
            elif name == "error_push":
                bad = sum(push.retType == -1 and push.retMsg != "" for _, push in client.pushes)
            assert bad == 10
            assert_rows_are_the_tape(rows, tape)

    run(main())


def test_streams_that_are_lost_for_good(run):
    async def main():
        async with faulty(make_tape(100), bad_magic=10) as test:
            with pytest.raises(AssertionError, match="XX"):
                await test.client.ticks(100)
            assert len(test.client.pushes) == 10
        async with faulty(make_tape(100), huge_length=10) as test:
            with pytest.raises(AssertionError, match=str((1 << 32) - 1)):
                await test.client.ticks(100)
            assert len(test.client.pushes) == 10

    run(main())


def test_a_connection_ends_in_the_middle_of_a_packet_once(run):
    async def main():
        sim = OpenDSimulator(symbols=3, rate=5000, faults=Faults(close_mid_packet=10))
        async with sim:
            async with connect(sim) as client:
                await client.subscribe(*sim.symbols)
                with pytest.raises(asyncio.IncompleteReadError) as caught:
                    await client.ticks(1000)
                assert len(client.pushes) == 10
                assert caught.value.partial != b""
            async with connect(sim) as client:
                await client.subscribe(*sim.symbols)
                await client.ticks(100)

    run(main())


def test_silence_is_complete(run):
    async def main():
        async with faulty(make_tape(100), silence=10) as test:
            await test.client.ticks(10)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await test.client.request(1004, "KeepAlive", time=1)
            assert len(test.client.pushes) == 10
            assert test.sim.stats()["clients"] == 1

    run(main())


def test_init_is_refused_and_replies_are_late(run):
    async def main():
        faults = Faults(refuse_init="not today", late_reply=0.15)
        async with (
            OpenDSimulator(symbols=1, faults=faults) as sim,
            connect(sim, init=False) as client,
        ):
            began = time.monotonic()
            reply = message_class("Reply").FromString(await client.init())
            assert (reply.retType, reply.retMsg) == (-1, b"not today")
            assert time.monotonic() - began > 0.14

    run(main())


@pytest.mark.parametrize("faults", [{"late_reply": 0.05}, {"reversed_replies": 9}], ids=str)
def test_nobody_complains_when_a_client_does_not_wait_for_its_reply(run, faults, caplog):
    async def main():
        async with OpenDSimulator(symbols=1, faults=Faults(**faults)) as sim:
            async with connect(sim, init=False) as client:
                for _ in range(3):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(client.init(), 0.01)
            await asyncio.sleep(0.2)
        gc.collect()
        assert caplog.records == []

    run(main())


def test_faults_are_read_from_text():
    assert Faults.parse([]) == Faults()
    assert Faults.parse(["split", "silence=0", "late_reply=0.5", "shuffled_fields"]) == Faults(
        split=1, silence=0, late_reply=0.5, shuffled_fields=True
    )
    assert Faults.parse(["refuse_init=no=1"]).refuse_init == "no=1"
    for text, message in (
        ("wrong", "expected one of split, "),
        ("split=x", "expected a number for split, got 'x'"),
        ("late_reply=-1", "expected a number for late_reply"),
        ("late_reply=nan", "expected a number for late_reply"),
        ("unknown_enums=1", "takes no value"),
    ):
        with pytest.raises(ValueError, match=message):
            Faults.parse([text])


# The command.


def command(*arguments):
    code = "from fastfeed.cli.sim import sim; sim(prog_name='fastfeed sim')"
    return [sys.executable, "-c", code, "opend", *arguments]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop(tmp_path, number):
    path = tmp_path / "tape.csv"
    path.write_text("time_ns,symbol,price,volume,side\n1381152600000000000,SPY.US,167.42,100,buy\n")
    process = subprocess.Popen(
        command("--listen", "127.0.0.1:0", "--tape", str(path), "--speed", "max"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        match = re.fullmatch(r"listening opend://127\.0\.0\.1:(\d+)\n", process.stdout.readline())
        assert match

        async def main():
            async with connect(SimpleNamespace(port=int(match[1]))) as client:
                await client.subscribe("SPY.US")
                [(_, row)] = await client.ticks(1)
                assert row.price == 167.42

        asyncio.run(main())
        process.send_signal(number)
        output, errors = process.communicate(timeout=5)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, output) == (0, "")
    assert re.fullmatch(r"1 ticks sent, 1 pushes, 1 connections, [\d.]+ s\n", errors)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--tape", "/none.csv"], 1, "Error: cannot read the tape /none.csv: No such file"),
        (["--speed", "0", "--tape", "x"], 2, "expected max or a number above 0, got '0'"),
        (["--speed", "2"], 2, "--speed needs --tape"),
        (["--rate", "5", "--tape", "x"], 2, "--rate cannot be used together with --tape"),
        (["--rate", "nan"], 2, "expected a number above 0, got 'nan'"),
        (["--symbols", "AAPL"], 2, "expected a symbol such as '700.HK' or 'HK.00700', got 'AAPL'"),
        (["--symbols", "0"], 2, "expected 1 to 1000000 symbols, got 0"),
        (["--listen", "11111"], 2, "expected HOST:PORT, got '11111'"),
        (["--fault", "wat"], 2, "expected one of split, "),
        (["--fault", "error_reply=x"], 2, "expected ID:TEXT for error_reply, got 'x'"),
        (["--rsa-key", "/none.pem"], 1, "Error: cannot read the RSA key '/none.pem': No such file"),
        (["--book-depth", "61"], 2, "61 is not in the range 1<=x<=60"),
    ],
)
def test_the_command_names_what_is_wrong(arguments, code, text):
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=10, check=False
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_command_names_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            command("--listen", f"127.0.0.1:{port}"),
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")


def test_help_names_every_fault():
    done = subprocess.run(command("--help"), capture_output=True, text=True, timeout=10, check=True)
    for name, _ in Faults.describe():
        assert re.search(rf"^  {name}\b", done.stdout, re.MULTILINE), name
