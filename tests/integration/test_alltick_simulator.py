"""The simulated AllTick as clients see it that are not ours: websockets and aiohttp, by the vendor's document."""

import asyncio
import csv
import gzip
import json
import signal
import socket
import time
from decimal import Decimal
from types import SimpleNamespace
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest
import uvloop
from alltick_client import (
    BOOK_KEYS,
    BOOKS,
    CANCEL,
    HEARTBEAT,
    TICK_KEYS,
    TICKS,
    connect,
    symbol_list,
)
from commands import process
from raw_client import START_NS, make_tape
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from fastfeed.errors import ConfigError
from fastfeed.sim import AllTickFaults, AllTickKnobs, AllTickSimulator, Tape
from fastfeed.sim.tape import TICK

CODES = ("SPY.US", "700.HK", "600519.SH")
GENERAL = ("BTCUSDT", "EURUSD", "GOLD")


def tape_of(count, codes=CODES, **options):
    return make_tape(count, codes, **options)


def quick(tape=None, market="stock", knobs=None, **options):
    """Return a simulator without rules about how fast requests may come."""
    codes = CODES if market == "stock" else GENERAL
    options = {"speed": "max", "rate_limits": False} | options
    tape = tape_of(300, codes) if tape is None else tape
    return AllTickSimulator(
        tape=tape, market=market, knobs=AllTickKnobs(**(knobs or {})), **options
    )


def assert_pushes_are_the_tape(ticks, tape, codes=None):
    names = tape.symbols
    wanted = [i for i, name in enumerate(names) if codes is None or name in codes]
    expected = tape.rows[np.isin(tape.rows["symbol"], wanted)]
    assert len(ticks) == len(expected)
    for tick, (time_ns, price, volume, index, side) in zip(ticks, expected.tolist(), strict=True):
        assert tick["code"] == names[index]
        assert int(tick["tick_time"]) == time_ns // 1_000_000
        assert (float(tick["price"]), float(tick["volume"])) == (price, volume)
        assert tick["trade_direction"] == {1: 1, -1: 2, 0: 0}[side]


# Connecting.


@pytest.mark.parametrize(("token", "words"), [(None, "token is required"), ("x", "token invalid")])
def test_a_wrong_token_is_refused(run, token, words):
    async def main():
        async with quick() as sim, aiohttp.ClientSession() as session:
            query = {} if token is None else {"token": token}
            body = f'{{"msg":"{words}","ret":401}}'
            for url in (sim.url.replace("ws:", "http:"), sim.http_url + "trade-tick"):
                async with session.get(url, params=query) as response:
                    assert (response.status, await response.text()) == (401, body)
            with pytest.raises(InvalidStatus) as refused:
                async with open_websocket(
                    sim.url + (f"?token={token}" if token else ""), proxy=None
                ):
                    pass
            assert refused.value.response.status_code == 401
            assert refused.value.response.body == body.encode()
            assert sim.stats()["refused_connections"] == 2
            assert sim.stats()["connections"] == 0

    run(main())


def test_paths_are_those_of_the_side():
    for market, path in (("stock", "/quote-stock-b-ws-api"), ("crypto", "/quote-b-ws-api")):

        async def main(market=market, path=path):
            async with quick(market=market) as sim, aiohttp.ClientSession() as session:
                assert sim.url == f"ws://127.0.0.1:{sim.port}{path}"
                assert sim.symbols == (CODES if market == "stock" else GENERAL)
                async with session.get(f"http://127.0.0.1:{sim.port}/other") as response:
                    assert response.status == 404

        asyncio.run(main())


def test_a_plan_limits_connections(run):
    async def main():
        async with quick(plan="basic") as sim:
            async with connect(sim):
                with pytest.raises(InvalidStatus) as refused:
                    async with connect(sim):
                        pass
                assert refused.value.response.status_code == 429
            async with connect(sim) as client:  # there is room again
                assert (await client.request(HEARTBEAT, {}))["ret"] == 200

    run(main())


def test_a_connection_too_many_may_be_accepted_and_closed():
    async def main():
        async with quick(connections=1, knobs={"too_many_connections": 1000}) as sim:
            async with connect(sim), connect(sim) as second:
                await second.websocket.wait_closed()
                assert second.websocket.close_code == 1000

    asyncio.run(main())


def test_connections_that_follow_too_fast_are_refused():
    async def main():
        knobs = {"reconnect_gap_s": 1.0}
        async with quick(knobs=knobs, rate_limits=True) as sim:
            async with connect(sim):
                pass
            with pytest.raises(InvalidStatus):
                async with connect(sim):
                    pass
            await asyncio.sleep(1.05)
            async with connect(sim):
                pass

    asyncio.run(main())


# Requests.


def test_replies_have_the_documented_text(run):
    async def main():
        async with quick(hold=True) as sim, connect(sim) as client:
            for cmd_id, data in (
                (HEARTBEAT, {}),
                (TICKS, symbol_list(CODES)),
                (BOOKS, symbol_list(CODES, depth_level=5)),
                (CANCEL, {"cancel_type": 0}),
            ):
                await client.request(cmd_id, data, seq_id=7, trace='a"b')
                text = next(t for t in reversed(client.texts) if t.startswith('{"ret"'))
                assert text == (
                    f'{{"ret":200,"msg":"ok","cmd_id":{cmd_id + 1},"seq_id":7,"trace":"a\\"b","data":{{}}}}'
                )

    run(main())


@pytest.mark.parametrize("ret", [400, 201])
def test_unusable_requests_are_refused_without_an_echo(ret):
    good = {"cmd_id": TICKS, "seq_id": 1, "trace": "t", "data": symbol_list(CODES)}
    bad = ["", "x", "[]", "1", '"x"', "[" * 10_000]
    bad += [json.dumps({k: v for k, v in good.items() if k != key}) for key in good]
    changes = [
        {"data": []}, {"data": None}, {"cmd_id": 22998}, {"cmd_id": "22004"}, {"cmd_id": True},
        {"seq_id": 1 << 32}, {"seq_id": -1}, {"seq_id": 1.5}, {"trace": 5}, {"trace": "t" * 65},
    ]  # fmt: skip
    bad += [json.dumps(good | change) for change in changes]

    async def main():
        async with quick(knobs={"header_ret": ret}) as sim, connect(sim) as client:
            for text in bad:
                await client.websocket.send(text)
                assert await client.receive() == {
                    "ret": ret,
                    "msg": "request header param invalid",
                    "cmd_id": 0,
                    "seq_id": 0,
                    "trace": "",
                    "data": {},
                }, text
            assert sim.stats()["refused"] == len(bad)
            await client.websocket.send(json.dumps(good).encode())  # a binary frame
            assert (await client.reply())["ret"] == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("cmd_id", "data"),
    [
        (TICKS, {}),
        (TICKS, {"symbol_list": "SPY.US"}),
        (TICKS, {"symbol_list": []}),
        (TICKS, {"symbol_list": ["SPY.US"]}),
        (TICKS, {"symbol_list": [{"code": 7}]}),
        (BOOKS, {"symbol_list": [{"code": "SPY.US", "depth_level": "5"}]}),
        (BOOKS, {"symbol_list": [{"code": "SPY.US", "depth_level": -1}]}),
        (CANCEL, {}),
        (CANCEL, {"cancel_type": 4}),
    ],
)
def test_unusable_data_is_refused_with_an_echo(cmd_id, data):
    async def main():
        async with quick() as sim, connect(sim) as client:
            assert await client.request(cmd_id, data) == {
                "ret": 400,
                "msg": "request data param invalid",
                "cmd_id": cmd_id + 1,
                "seq_id": 1,
                "trace": "t-1",
                "data": {},
            }

    asyncio.run(main())


@pytest.mark.parametrize("code", ["NOPE.US", "00700.HK", "spy.us", "BTCUSDT"])
def test_a_bad_code_refuses_the_whole_request(code):
    async def main():
        for knobs, reply in (
            ({}, {"cmd_id": 22005, "data": {}}),
            ({"error_cmd_id": "zero"}, {"cmd_id": 0, "data": {}}),
            ({"error_data": "null"}, {"cmd_id": 22005, "data": None}),
            ({"error_data": "absent"}, {"cmd_id": 22005}),
        ):
            async with quick(knobs=knobs) as sim, connect(sim) as client:
                found = await client.request(TICKS, symbol_list([*CODES, code]))
                head = {"ret": 600, "msg": "code invalid", "seq_id": 1, "trace": "t-1"}
                assert found == head | reply
                assert await client.quiet() == []
        async with quick(knobs={"bad_code": "silent"}) as sim, connect(sim) as client:
            assert await client.subscribe([*CODES, code]) == 200
            assert len(await client.until(300)) == 300

    asyncio.run(main())


@pytest.mark.parametrize("kept", ["kept", "cleared"])
def test_the_former_set_when_its_replacement_is_refused(kept):
    async def main():
        async with quick(hold=True, knobs={"refused_set": kept}) as sim, connect(sim) as client:
            assert await client.subscribe(["SPY.US"]) == 200
            assert await client.subscribe(["NOPE.US"]) == 600
            sim.begin()
            found = await client.quiet()
            assert len(found) == (100 if kept == "kept" else 0)

    asyncio.run(main())


def test_more_codes_than_the_plan_has():
    async def main():
        async with quick(codes=2, hold=True) as sim, connect(sim) as client:
            assert await client.subscribe([*CODES, "NOPE.US"]) == 200
            sim.begin()
            await client.until(200)
            assert {tick["code"] for tick in client.ticks} == set(CODES[:2])
            assert await client.quiet() == []
        knobs = {"oversubscribe": "refuse"}
        async with quick(codes=2, knobs=knobs) as sim, connect(sim) as client:
            assert await client.subscribe(CODES) == 603

    asyncio.run(main())


def test_the_free_plan_has_codes_of_its_own():
    async def main():
        async with quick(plan="free") as sim, connect(sim) as client:
            assert await client.subscribe(["700.HK"]) == 200
            assert await client.subscribe(["700.HK", "SPY.US"]) == 604

    asyncio.run(main())


# Rules about time.


def test_requests_that_come_too_fast_are_refused_and_the_connection_closed(run):
    async def main():
        async with AllTickSimulator(tape=tape_of(30)) as sim, connect(sim) as client:
            assert await client.subscribe(CODES) == 200
            assert (await client.request(HEARTBEAT, {}))["ret"] == 200  # does not count
            reply = await client.request(BOOKS, symbol_list(CODES))
            assert (reply["ret"], reply["cmd_id"], reply["seq_id"]) == (606, 22003, 3)
            assert reply["msg"] == "too many requests and connection will be closed"
            with pytest.raises(ConnectionClosedError):
                await client.quiet(2.0)
            assert client.websocket.close_code == 1006
            assert sim.stats()["dropped_rate"] == 1

    run(main())


def test_what_comes_of_requests_that_come_too_fast_can_be_chosen():
    async def main():
        async def second(cmd_id=BOOKS, **knobs):
            gaps = {"reconnect_gap_s": 0.0, "request_gap_s": 0.5}
            simulator = quick(rate_limits=True, knobs=gaps | knobs, hold=True)
            async with simulator as sim, connect(sim) as client:
                assert await client.subscribe(CODES) == 200
                reply = await client.request(cmd_id, symbol_list(CODES))
                found = [reply["ret"]]
                try:
                    await asyncio.sleep(0.55)
                    found.append(await client.subscribe(CODES))
                except ConnectionClosed as closed:
                    found.append(closed.rcvd and closed.rcvd.code)
                return found

        assert await second() == [606, None]
        assert await second(closing="1000") == [606, 1000]
        assert await second(rate_violation="605") == [605, 200]
        assert await second(rate_violation="ignore") == [200, 200]
        assert await second(HEARTBEAT, rate_violation="605") == [200, 200]
        assert await second(HEARTBEAT, heartbeat_counts=True) == [606, None]

    asyncio.run(main())


def test_connections_of_a_token_share_a_pace():
    async def main():
        knobs = {"reconnect_gap_s": 0.0, "token_gap_s": 0.4, "rate_violation": "605"}
        async with quick(knobs=knobs, rate_limits=True, hold=True) as sim:
            async with connect(sim) as one, connect(sim) as other:
                assert await one.subscribe(CODES) == 200
                assert await other.subscribe(CODES) == 605
                await asyncio.sleep(0.45)
                assert await other.subscribe(CODES) == 200

    asyncio.run(main())


def test_without_a_heartbeat_the_connection_is_closed(run):
    async def main():
        async with quick(knobs={"heartbeat_timeout_s": 1.0}) as sim, connect(sim) as client:
            started = time.monotonic()
            await asyncio.sleep(0.5)
            assert (await client.request(HEARTBEAT, {}))["cmd_id"] == 22001
            await asyncio.sleep(0.1)
            await client.subscribe(["SPY.US"])  # is no heartbeat
            pong = await client.websocket.ping()  # neither is this, but it is answered
            await pong
            with pytest.raises(ConnectionClosed):
                await client.quiet(5.0)
            assert 1.4 < time.monotonic() - started < 5
            assert sim.stats()["dropped_idle"] == 1

    run(main())


# Pushes.


@pytest.mark.parametrize("market", ["stock", "crypto"])
def test_every_trade_of_a_tape_arrives_in_order(run, market):
    tape = tape_of(10_000, CODES if market == "stock" else ("BTCUSDT", "ETHUSDT"))

    async def main():
        async with quick(tape, market) as sim, connect(sim) as client:
            assert await client.subscribe(sim.symbols) == 200
            await client.until(len(tape))
            await sim.finished()
            assert await client.quiet() == []
            assert_pushes_are_the_tape(client.ticks, tape)
            assert [list(tick) for tick in client.ticks] == [TICK_KEYS] * len(tape)
            for text, tick in zip(client.texts[1:], client.ticks, strict=True):
                assert type(tick["seq"]) is type(tick["tick_time"]) is int
                wanted = {"cmd_id": 22998, "data": tick}
                assert text == json.dumps(wanted, separators=(",", ":"))
            assert sim.stats()["sent"] == sim.stats()["pushes"] == sim.sent == len(tape)
            now = time.time() * 1000
            assert all(now - 30_000 < tick["seq"] < now + 30_000 for tick in client.ticks)

    run(main())


def tape_from(prices, code, volume=100.0):
    rows = np.zeros(len(prices), TICK)
    rows["time_ns"] = START_NS + np.arange(len(prices)) * 1_000_000
    rows["price"] = prices
    rows["volume"] = volume
    return Tape((code,), rows)


@pytest.mark.parametrize(
    ("code", "price", "volume", "texts"),
    [
        ("AAPL.US", 37.7, 174.0, ("37.700000", "174", "6559.800000")),
        ("AAPL.US", 0.0, 0.0, ("0.000000", "0", "0.000000")),
        ("AAPL.US", 0.12345678, 1.5, ("0.12345678", "1.5", "0.185185")),
        ("700.HK", 1e-7, 1.0, ("0.0000001", "1", "0.000000")),
        ("BTCUSDT", 61837.63, 0.0345, ("61837.63", "0.0345", "2133.398235")),
        ("BTCUSDT", 2683.8, 2.0, ("2683.8", "2", "5367.6")),
        ("BTCUSDT", 1.5e-5, 1e16, ("0.000015", "10000000000000000", "150000000000")),
        ("GOLD", 4101.91, 8.0, ("4101.91", "8.00", "32815.28")),
        ("EURUSD", 1.08, 100000.0, ("1.08000", "100000.00", "108000.00")),
        ("USDJPY", 136.424, 1.0, ("136.424", "1.00", "136.42")),
        ("USOIL", -37.63, 1.0, ("-37.63", "1.00", "-37.63")),
    ],
)
def test_numbers_are_written_as_the_market_writes_them(code, price, volume, texts):
    market = "stock" if "." in code else "crypto"

    async def main():
        tape = tape_from([price], code, volume)
        async with quick(tape, market) as sim, connect(sim) as client:
            await client.subscribe([code])
            [tick] = await client.until(1)
            assert (tick["price"], tick["volume"], tick["turnover"]) == texts
            assert float(tick["price"]) == price
            assert tick["trade_direction"] == (0 if market == "stock" or code == "BTCUSDT" else 1)

    asyncio.run(main())


def test_sets_are_replaced_and_cancelled(run):
    async def main():
        async with AllTickSimulator(
            symbols=CODES, rate=600, rate_limits=False, knobs=AllTickKnobs(initial_snapshot="none")
        ) as sim:
            async with connect(sim) as client:

                async def now(seconds=0.3):
                    client.ticks.clear()
                    client.books.clear()
                    await receive_for(client, seconds)
                    return {t["code"] for t in client.ticks}, {b["code"] for b in client.books}

                await client.subscribe(["SPY.US"])
                assert await now() == ({"SPY.US"}, set())
                await client.subscribe(["700.HK", "600519.SH"])
                assert await now() == ({"700.HK", "600519.SH"}, set())
                await client.subscribe(["SPY.US", "700.HK"], BOOKS, depth_level=10)
                assert await now() == ({"700.HK", "600519.SH"}, {"SPY.US", "700.HK"})
                await client.subscribe(["SPY.US"], BOOKS, depth_level=10)
                assert await now() == ({"700.HK", "600519.SH"}, {"SPY.US"})
                await client.request(CANCEL, {"cancel_type": 2})
                assert await now() == (set(), {"SPY.US"})
                await client.subscribe(["SPY.US"])
                await client.request(CANCEL, {"cancel_type": 1})
                assert await now() == ({"SPY.US"}, set())
                await client.request(CANCEL, {"cancel_type": 3})
                assert await now() == ({"SPY.US"}, set())
                await client.request(CANCEL, {"cancel_type": 0})
                assert await now() == (set(), set())

    run(main())


async def receive_for(client, seconds):
    try:
        async with asyncio.timeout(seconds):
            while True:
                await client.receive()
    except TimeoutError:
        pass


def test_books_are_sorted_and_have_the_levels_of_the_market(run):
    async def main():
        most = {"SPY.US": 1, "700.HK": 10, "600519.SH": 5}
        async with quick(tape_of(3000)) as sim, connect(sim) as client:
            assert await client.subscribe(CODES, BOOKS, depth_level=20) == 200
            await sim.finished()
            await client.quiet()
            assert {book["code"] for book in client.books} == set(CODES)
            for book in client.books:
                assert list(book) == BOOK_KEYS
                for name, sign in (("bids", -1), ("asks", 1)):
                    side = book[name]
                    assert len(side) == most[book["code"]]
                    assert all(list(level) == ["price", "volume"] for level in side)
                    prices = [float(level["price"]) for level in side]
                    assert prices == sorted(set(prices), key=lambda price: price * sign)
                    assert all(Decimal(level["price"]).as_tuple().exponent == -6 for level in side)
                assert float(book["bids"][0]["price"]) < float(book["asks"][0]["price"])
            # The last one is about the last trade.
            last = {book["code"]: book for book in client.books}
            for index, code in enumerate(CODES):
                rows = sim.market.quote(code)
                best = [float(last[code][side][0]["price"]) for side in ("bids", "asks")]
                assert best[0] <= rows.last <= best[1], index
            await client.request(CANCEL, {"cancel_type": 0})
            client.books.clear()
            assert await client.subscribe(["700.HK"], BOOKS, depth_level=3) == 200
            [book] = await client.until(1, "books")
            assert (len(book["bids"]), len(book["asks"])) == (3, 3)
        async with quick(market="crypto") as sim, connect(sim) as client:
            assert await client.subscribe(GENERAL, BOOKS, depth_level=5) == 200
            await client.until(3, "books")
            assert {b["code"]: len(b["bids"]) for b in client.books} == {
                "BTCUSDT": 5, "EURUSD": 1, "GOLD": 1,
            }  # fmt: skip

    run(main())


def test_the_last_trade_comes_behind_the_ack():
    async def main(mode, count=30):
        knobs = {"initial_snapshot": mode, "stale_s": 60.0}
        async with quick(tape_of(count), knobs=knobs) as sim, connect(sim) as client:
            await client.subscribe(["SPY.US"])
            ticks = [dict(tick) for tick in await client.until(count // 3)]
            await client.subscribe(["SPY.US", "700.HK"])
            await client.quiet()
            first = next(i for i, t in enumerate(client.texts) if '"seq_id":2' in t)
            return ticks[-1], client.ticks[count // 3 :], first, len(client.texts)

    last, found, first, texts = asyncio.run(main("after"))
    assert (found[0], found[1]["code"], len(found)) == (last, "700.HK", 2)
    assert first == texts - 3
    last, found, first, texts = asyncio.run(main("before"))
    assert (found[0], len(found), first) == (last, 2, texts - 1)
    last, found, _, _ = asyncio.run(main("stale"))
    assert found[0] == last | {"tick_time": last["tick_time"] - 60_000}
    assert asyncio.run(main("none"))[1] == []


def test_generated_trades_depend_on_the_seed_and_the_clock_alone():
    async def main(seed):
        simulator = AllTickSimulator(
            market="crypto", rate=5000, seed=seed, clock_ns=lambda: 1_700_000_000 * 10**9
        )
        async with simulator as sim, connect(sim) as client:
            await client.subscribe(sim.symbols)
            return (await client.until(1000))[:1000]

    one, same, other = (asyncio.run(main(seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert one[0]["tick_time"] // 1000 == 1_700_000_000
    assert {"BTCUSDT", "ETHUSDT", "EURUSD", "GOLD"} <= {tick["code"] for tick in one}
    euro = next(float(tick["price"]) for tick in one if tick["code"] == "EURUSD")
    assert 0.9 < euro < 1.3


def test_a_tape_plays_at_its_own_speed_and_repeats():
    async def main():
        tape = tape_of(100, gap_ns=2_000_000)
        async with quick(tape, speed=1.0, loop=True) as sim, connect(sim) as client:
            started = time.monotonic()
            await client.subscribe(sim.symbols)
            ticks = await client.until(250)
            assert time.monotonic() - started > 0.45
            assert_pushes_are_the_tape(ticks[100:200], tape)
            seqs = [tick["seq"] for tick in ticks]
            assert seqs == sorted(seqs)
            with pytest.raises(RuntimeError):
                await sim.finished()

    asyncio.run(main())


# Knobs.


def first_pushes(knobs, market="stock", cmd_id=TICKS, count=60, faults=None, **options):
    """Return the first messages of pushes, as text and parsed."""

    async def main():
        codes = CODES if market == "stock" else GENERAL
        simulator = quick(
            tape_of(count, codes), market, {"initial_snapshot": "none"} | knobs, faults=faults
        )
        async with simulator as sim, connect(sim, **options) as client:
            assert await client.subscribe(codes, cmd_id, depth_level=10) == 200
            await sim.finished()
            await client.quiet()
            pushes = [text for text in client.texts if '"ret"' not in text]
            acks = [text for text in client.texts if '"ret"' in text]
            return pushes, (client.ticks if cmd_id == TICKS else client.books), acks

    return asyncio.run(main())


def test_integers_can_be_quoted():
    for cmd_id in (TICKS, BOOKS):
        for mode, wanted in (("int", {int}), ("str", {str}), ("mixed", {int, str})):
            knobs = {"int_mode": mode, "seq_mode": "counter"}
            _, found, _ = first_pushes(knobs, cmd_id=cmd_id)
            if cmd_id == TICKS:
                assert {type(tick["seq"]) for tick in found} == wanted
                assert {type(tick["tick_time"]) for tick in found} == wanted
                assert_pushes_are_the_tape(found, tape_of(60))
            else:
                assert {type(b[k]) for b in found for k in ("seq", "tick_time")} <= wanted


def test_sequences_and_times_have_several_forms():
    tape = tape_of(60)
    _, found, _ = first_pushes({"seq_mode": "counter", "time_unit": "s"})
    assert np.diff([tick["seq"] for tick in found]).tolist() == [2] * 59
    assert [t["tick_time"] for t in found] == (tape.rows["time_ns"] // 10**9).tolist()
    _, found, _ = first_pushes({"seq_mode": "us"})
    assert all(len(str(tick["seq"])) == 16 for tick in found)
    _, found, _ = first_pushes({"seq_mode": "counter"}, cmd_id=BOOKS)
    assert all(book["seq"] % 2 == 0 for book in found)


def test_fields_of_forex_can_be_missing():
    for given, text in (("absent", None), ("empty", ""), ("zero", "0")):
        knobs = dict.fromkeys(("fx_volume", "fx_turnover", "fx_book_volume"), given)
        _, found, _ = first_pushes(knobs | {"fx_direction": 0}, "crypto")
        for tick in found:
            if tick["code"] == "BTCUSDT":
                assert list(tick) == TICK_KEYS
                assert float(tick["turnover"]) > 0
            else:
                assert tick["trade_direction"] == 0
                assert (tick.get("volume"), tick.get("turnover")) == (text, text)
        _, found, _ = first_pushes(knobs, "crypto", BOOKS)
        levels = {book["code"]: book["bids"][0] for book in found}
        assert levels["GOLD"].get("volume") == text
        assert float(levels["BTCUSDT"]["volume"]) > 0


def test_sides_of_a_book_can_be_empty():
    knobs = {"limit_up": "700.HK", "limit_down": "SPY.US,600519.SH"}
    for mode, empty in (
        ("zeros", lambda n: [{"price": "0.000000", "volume": "0"}] * n),
        ("list", lambda n: []),
        ("absent", lambda n: None),
    ):
        _, found, _ = first_pushes(knobs | {"empty_side": mode}, cmd_id=BOOKS)
        books = {book["code"]: book for book in found}
        assert books["700.HK"].get("asks") == empty(10)
        assert len(books["700.HK"]["bids"]) == 10
        assert books["600519.SH"].get("bids") == empty(5)


def test_levels_without_a_depth_level():
    async def main(mode):
        async with quick(knobs={"no_depth_level": mode}) as sim, connect(sim) as client:
            await client.subscribe(["700.HK"], BOOKS)
            return len((await client.until(1, "books"))[0]["bids"])

    assert [asyncio.run(main(mode)) for mode in ("one", "all")] == [1, 10]


@pytest.mark.parametrize("cmd_id", [TICKS, BOOKS])
def test_messages_have_other_shapes(cmd_id):
    pushes, plain, _ = first_pushes({}, cmd_id=cmd_id)
    keys = TICK_KEYS if cmd_id == TICKS else BOOK_KEYS
    timeless = [{**push, "seq": 0} for push in plain]

    texts, found, acks = first_pushes({"whitespace": "spaces"}, cmd_id=cmd_id)
    assert texts[0].startswith('{"cmd_id": 229')
    assert acks[0].startswith('{"ret": 200, "msg": "ok"')
    assert [{**push, "seq": 0} for push in found] == timeless
    texts, found, acks = first_pushes({"whitespace": "indented"}, cmd_id=cmd_id)
    assert texts[0].startswith('{\n\t"cmd_id": 229')
    assert acks[0].startswith('{\n\t"ret": 200')
    assert [{**push, "seq": 0} for push in found] == timeless

    _, found, acks = first_pushes({"extra_keys": True}, cmd_id=cmd_id)
    assert all(set(keys) < set(push) for push in found)
    assert [{k: push[k] for k in keys if k != "seq"} for push in found][:3] == [
        {k: push[k] for k in keys if k != "seq"} for push in plain
    ][:3] or cmd_id == BOOKS
    assert "ext" in json.loads(acks[0])

    texts, found, _ = first_pushes({"key_order": "random"}, cmd_id=cmd_id)
    assert [{**push, "seq": 0} for push in found] == timeless
    if cmd_id == TICKS:
        assert len({tuple(push) for push in found}) > 10
        assert {text[:6] for text in texts} == {'{"cmd_', '{"data'}
        texts, found, _ = first_pushes({"data_array": 7}, cmd_id=cmd_id)
        assert len(texts) == -(-len(pushes) // 7)
        assert [{**push, "seq": 0} for push in found] == timeless


def test_trades_of_a_millisecond_can_share_a_push():
    tape = tape_of(3000, ("SPY.US",), gap_ns=250_000)

    async def main():
        async with quick(tape, knobs={"coalesce": True}) as sim, connect(sim) as client:
            await client.subscribe(["SPY.US"])
            await sim.finished()
            await client.quiet()
            return client.ticks

    ticks = asyncio.run(main())
    assert len(ticks) == 750
    assert sum(float(tick["volume"]) for tick in ticks) == tape.rows["volume"].sum()
    assert [float(tick["price"]) for tick in ticks] == tape.rows["price"][3::4].tolist()


# Faults.


def test_a_connection_can_be_reset(run):
    async def main():
        async with quick(faults=AllTickFaults(drop_after=50)) as sim:
            async with connect(sim) as client:
                with pytest.raises(ConnectionClosedError):
                    await sim_is_subscribed(client)
                assert len(client.ticks) == 50
            async with connect(sim) as client:  # it strikes once
                await sim_is_subscribed(client, 200)
                assert sim.stats()["dropped_fault"] == 1

    async def sim_is_subscribed(client, count=300):
        await client.subscribe(CODES)
        await client.until(count)

    run(main())


def test_a_connection_can_fall_silent(run):
    async def main():
        async with quick(faults=AllTickFaults(stall=50)) as sim:
            async with connect(sim, close_timeout=0.1) as client:
                await client.subscribe(CODES)
                await client.until(50)
                await client.send(HEARTBEAT, {})
                await client.websocket.ping()
                assert await client.quiet(0.3) == []
                assert sim.stats()["clients"] == 1
            while sim.stats()["clients"]:
                await asyncio.sleep(0.01)

    run(main())


@pytest.mark.parametrize(
    "faults",
    [
        {"fragment": 16},
        {"fragment": 7, "ping": 0.05},
        {"split": 3},
        {"deflate": True},
        {"deflate": True, "fragment": 11},
    ],
    ids=str,
)
def test_frames_in_other_forms_hold_the_same(run, faults):
    tape = tape_of(600)
    compression = "deflate" if "deflate" in faults else None

    async def main():
        async with quick(tape, faults=AllTickFaults(**faults)) as sim:
            async with connect(sim, compression=compression) as client:
                extensions = client.websocket.response.headers.get("Sec-WebSocket-Extensions", "")
                assert ("permessage-deflate" in extensions) == (compression is not None)
                await client.subscribe(CODES)
                assert_pushes_are_the_tape(await client.until(600), tape)
                assert (await client.request(HEARTBEAT, {}))["ret"] == 200

    run(main())


def test_nothing_is_compressed_unless_it_is_told_to(run):
    async def main():
        async with quick() as sim, connect(sim, compression="deflate") as client:
            assert "Sec-WebSocket-Extensions" not in client.websocket.response.headers
            assert await client.subscribe(CODES) == 200

    run(main())


def test_a_fault_can_strike_in_a_snapshot():
    async def main():
        faults = AllTickFaults(drop_after=101)
        async with quick(faults=faults) as sim, connect(sim) as client:
            await client.subscribe(["SPY.US"])
            await client.until(100)
            await client.send(TICKS, symbol_list(["SPY.US", "700.HK"]))
            with pytest.raises(ConnectionClosedError):  # nothing else is due
                await client.quiet(5.0)
            assert len(client.ticks) == 101

    asyncio.run(main())


def test_a_dead_reader_holds_nobody_up(run):
    tape = tape_of(100_000)

    async def main():
        async with quick(tape, hold=True) as sim:
            dead = socket.create_connection(("127.0.0.1", sim.port))
            dead.sendall(
                f"GET {sim.url.partition(str(sim.port))[2]}?token=testtoken HTTP/1.1\r\nHost: x\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            head = {"cmd_id": TICKS, "seq_id": 1, "trace": "t"}
            body = json.dumps({**head, "data": symbol_list(CODES)}).encode()
            assert 126 <= len(body) < 256
            dead.sendall(bytes((0x81, 0xFE, 0, len(body), 0, 0, 0, 0)) + body)
            while not sim.stats()["requests"]:
                await asyncio.sleep(0.01)
            async with connect(sim) as client:
                await client.subscribe(CODES)
                sim.begin()
                assert_pushes_are_the_tape(await client.until(100_000), tape)
            assert sim.sent < 200_000
            started = time.monotonic()
        assert time.monotonic() - started < 4
        dead.close()

    run(main())


def test_frames_can_be_binary():
    texts, _, _ = first_pushes({}, faults=None)

    async def main():
        async with quick(faults=AllTickFaults(binary=True)) as sim, connect(sim) as client:
            assert await client.subscribe(CODES) == 200
            assert {type(text) for text in client.texts} == {bytes}

    assert isinstance(texts[0], str)
    asyncio.run(main())


def test_pings_come_from_the_server():
    async def main():
        async with (
            quick(faults=AllTickFaults(ping=0.05)) as sim,
            aiohttp.ClientSession() as session,
        ):
            async with session.ws_connect(sim.url + "?token=testtoken", autoping=False) as socket:
                message = await socket.receive(timeout=5)
                assert message.type is aiohttp.WSMsgType.PING

    asyncio.run(main())


def test_extra_pushes_are_no_harm_to_good_ones():
    async def main():
        faults = AllTickFaults(garbage=7, unknown_cmd=5, unknown_code=3)
        async with quick(faults=faults) as sim, connect(sim) as client:
            await client.subscribe(CODES)
            found = {"bad": 0, "number": 0, "code": 0}
            good = []
            while len(good) < 300:
                text = await client.websocket.recv()
                try:
                    value = json.loads(text)
                except ValueError:
                    found["bad"] += 1
                    continue
                if value["cmd_id"] != 22998:
                    found["number"] += 1
                elif value["data"]["code"] not in CODES:
                    found["code"] += 1
                else:
                    good.append(value["data"])
            assert found == {"bad": 42, "number": 60, "code": 100}
            assert_pushes_are_the_tape(client.ticks + good, tape_of(300))

    asyncio.run(main())


def test_replies_can_go_wrong():
    async def main():
        faults = AllTickFaults(no_reply=HEARTBEAT, error_reply="22004:604", double_reply=1)
        async with quick(faults=faults) as sim, connect(sim) as client:
            await client.send(HEARTBEAT, {})
            assert await client.quiet() == []
            assert await client.subscribe(CODES) == 604
            assert (await client.reply())["ret"] == 604
            assert await client.quiet() == []
        async with quick(faults=AllTickFaults(late_reply=0.2)) as sim, connect(sim) as client:
            started = time.monotonic()
            assert await client.subscribe(CODES) == 200
            assert time.monotonic() - started > 0.19
            assert len(client.ticks) > 0  # pushes came first

    asyncio.run(main())


# HTTP.


async def get(session, sim, method, data, **options):
    query = json.dumps({"trace": "t-1", "data": data}, separators=(",", ":"))
    async with session.get(
        sim.http_url + method, params={"token": "testtoken", "query": query} | options
    ) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        return await response.json()


def test_the_state_is_there_over_http(run):
    tape = tape_of(300)

    async def main():
        async with quick(tape) as sim, connect(sim) as client, aiohttp.ClientSession() as session:
            before = await get(session, sim, "trade-tick", symbol_list(CODES))
            assert [tick["code"] for tick in before["data"]["tick_list"]] == list(CODES)
            assert [tick["volume"] for tick in before["data"]["tick_list"]] == ["0"] * 3

            await client.subscribe(CODES)
            await client.subscribe(CODES, BOOKS, depth_level=10)
            await client.until(300)
            await client.quiet()
            found = await get(session, sim, "trade-tick", symbol_list(CODES))
            assert list(found) == ["ret", "msg", "trace", "data"]
            assert (found["ret"], found["msg"], found["trace"]) == (200, "ok", "t-1")
            ticks = found["data"]["tick_list"]
            assert [list(tick) for tick in ticks] == [TICK_KEYS] * 3
            assert all(isinstance(t["seq"], str) and isinstance(t["tick_time"], str) for t in ticks)
            pushed = {tick["code"]: tick for tick in client.ticks}
            assert [t | {k: int(t[k]) for k in ("seq", "tick_time")} for t in ticks] == [
                pushed[code] for code in CODES
            ]

            found = await get(session, sim, "depth-tick", symbol_list(CODES))
            books = found["data"]["tick_list"]
            assert [list(book) for book in books] == [BOOK_KEYS] * 3
            assert [len(book["asks"]) for book in books] == [1, 10, 5]
            pushed = {book["code"]: book for book in client.books}
            assert [b | {k: int(b[k]) for k in ("seq", "tick_time")} for b in books] == [
                pushed[code] for code in CODES
            ]

            found = await get(session, sim, "static_info", symbol_list(["700.HK"]))
            [info] = found["data"]["static_info_list"]
            assert list(info) == [
                "board",
                "bps",
                "circulating_shares",
                "currency",
                "dividend_yield",
                "eps",
                "eps_ttm",
                "exchange",
                "hk_shares",
                "lot_size",
                "name_cn",
                "name_en",
                "name_hk",
                "symbol",
                "total_shares",
            ]
            assert all(isinstance(value, str) for value in info.values())
            assert (info["symbol"], info["currency"], info["lot_size"]) == ("700.HK", "HKD", "100")

    run(main())


def bars_query(code, kind, count, end=0):
    return {
        "code": code,
        "kline_type": kind,
        "kline_timestamp_end": end,
        "query_kline_num": count,
        "adjust_type": 0,
    }


BAR_KEYS = [
    "timestamp",
    "open_price",
    "close_price",
    "high_price",
    "low_price",
    "volume",
    "turnover",
]


def test_bars_follow_from_the_trades(run):
    tape = tape_of(300, ("BTCUSDT",), gap_ns=1_000_000_000)

    async def main():
        async with (
            quick(tape, "crypto") as sim,
            connect(sim) as client,
            aiohttp.ClientSession() as session,
        ):
            await client.subscribe(["BTCUSDT"])
            await client.until(300)
            found = await get(session, sim, "kline", bars_query("BTCUSDT", 1, 600))
            assert list(found["data"]) == ["code", "kline_type", "kline_list"]
            assert (found["data"]["code"], found["data"]["kline_type"]) == ("BTCUSDT", 1)
            bars = found["data"]["kline_list"]
            assert len(bars) == 500  # more is cut
            assert all(list(bar) == BAR_KEYS for bar in bars)
            starts = [int(bar["timestamp"]) for bar in bars]
            assert np.diff(starts).tolist() == [60] * 499
            for i, bar in enumerate(bars[-5:]):
                rows = tape.rows[i * 60 : (i + 1) * 60]
                assert int(bar["timestamp"]) == int(rows["time_ns"][0]) // 10**9
                prices = [float(bar[f"{k}_price"]) for k in ("open", "close", "high", "low")]
                p = rows["price"]
                assert prices == [p[0], p[-1], p.max(), p.min()]
                assert float(bar["volume"]) == pytest.approx(rows["volume"].sum())
            # A page before.
            end = starts[-5]
            found = await get(session, sim, "kline", bars_query("BTCUSDT", 1, 10, end))
            assert found["data"]["kline_list"] == bars[-14:-4]
            # Milliseconds give a wrong order, newest first, and one bar twice.
            found = await get(session, sim, "kline", bars_query("BTCUSDT", 1, 3, end * 1000))
            assert [int(b["timestamp"]) for b in found["data"]["kline_list"]] == [
                end, end - 60, end - 120, end - 120,
            ]  # fmt: skip
            for kind, seconds in ((2, 300), (5, 3600), (6, 7200), (7, 14400), (8, 86400)):
                found = await get(session, sim, "kline", bars_query("BTCUSDT", kind, 3))
                starts = [int(bar["timestamp"]) for bar in found["data"]["kline_list"]]
                assert np.diff(starts).tolist() == [seconds] * 2

            body = {
                "trace": "t-2",
                "data": {"data_list": [bars_query("BTCUSDT", 1, 9), bars_query("BTCUSDT", 8, 1)]},
            }
            url = sim.http_url + "batch-kline"
            async with session.post(url, params={"token": "testtoken"}, json=body) as response:
                found = await response.json()
            groups = found["data"]["kline_list"]
            assert [list(group) for group in groups] == [["code", "kline_type", "kline_data"]] * 2
            assert [len(group["kline_data"]) for group in groups] == [2, 1]
            assert groups[0]["kline_data"] == bars[-2:]

    run(main())


def test_bad_requests_over_http():
    async def main():
        async with quick() as sim, aiohttp.ClientSession() as session:

            async def ret(method, data, **options):
                found = await get(session, sim, method, data, **options)
                assert list(found) == ["ret", "msg", "trace", "data"]
                return found["ret"]

            assert await ret("trade-tick", symbol_list(["NOPE.US"])) == 600
            assert await ret("trade-tick", {}) == 400
            assert await ret("trade-tick", {}, query="{") == 402
            assert await ret("trade-tick", {}, query="[]") == 400
            assert await ret("kline", bars_query("SPY.US", 6, 1)) == 400
            assert await ret("kline", bars_query("SPY.US", 11, 1)) == 400
            assert await ret("kline", bars_query("SPY.US", 1, 0)) == 400
            assert await ret("kline", bars_query("SPY.US", 1, 1, 1_700_000_000)) == 400
            assert await ret("kline", bars_query("SPY.US", "1", 1)) == 400
            assert await ret("kline", bars_query("NOPE.US", 1, 1)) == 600
            assert await ret("kline", bars_query("SPY.US", 10, 500)) == 200
            url, token = sim.http_url + "batch-kline", {"token": "testtoken"}
            async with session.post(url, params=token) as response:
                assert (await response.json())["ret"] == 601
            async with session.get(url, params=token) as response:
                assert response.status == 405
            async with session.get(sim.http_url + "other", params=token) as response:
                assert response.status == 404
        async with quick(market="crypto") as sim, aiohttp.ClientSession() as session:
            url = sim.http_url + "static_info"
            async with session.get(url, params={"token": "testtoken"}) as response:
                assert response.status == 404

    asyncio.run(main())


def test_requests_over_http_have_a_pace():
    async def main():
        async with quick(plan="basic", rate_limits=True) as sim, aiohttp.ClientSession() as session:
            data = symbol_list(CODES)
            found = [(await get(session, sim, "trade-tick", data))["ret"] for _ in range(2)]
            assert found == [200, 605]
            assert (await get(session, sim, "depth-tick", data))["ret"] == 200
            query = {"token": "testtoken", "query": "{}"}
            while True:
                async with session.get(sim.http_url + "kline", params=query) as response:
                    if response.status == 429:
                        assert (await response.json())["msg"] == "rate limit"
                        break
            assert sim.stats()["http_requests"] == 61

    asyncio.run(main())


# The simulator itself.


def test_listening_can_pause(run):
    async def main():
        async with quick(hold=True) as sim:
            async with connect(sim) as client:
                await sim.pause_listening()
                with pytest.raises(OSError, match=r"refused|failed|Connect"):
                    async with connect(sim):
                        pass
                await sim.resume_listening()
                async with connect(sim) as other:
                    await sim.disconnect_all()
                    for one in (client, other):
                        with pytest.raises(ConnectionClosed):
                            await one.receive()
                assert sim.stats()["clients"] == 0

    run(main())


def test_several_clients_get_the_same(run):
    tape = tape_of(20_000)

    async def main():
        async with quick(tape, hold=True) as sim:
            async with connect(sim) as one, connect(sim) as other:
                await one.subscribe(CODES)
                await other.subscribe(["700.HK"])
                sim.begin()
                await asyncio.gather(one.until(20_000), other.until(6667))
                assert_pushes_are_the_tape(one.ticks, tape)
                assert other.ticks == [t for t in one.ticks if t["code"] == "700.HK"]
                assert sim.sent == 26_667

    run(main())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tape": make_tape(3)}, "expected a code such as 700.HK or AAPL.US, got 'BTCUSDT'"),
        ({"tape": make_tape(3), "market": "crypto"}, "such as BTCUSDT or EURUSD, got 'SPY.US'"),
        ({"symbols": ["00700.HK"]}, "00700.HK"),
        ({"symbols": ["700.HK", "700.HK"]}, "700.HK twice"),
        ({"symbols": []}, "at least one"),
        ({"market": "bonds"}, "expected market stock or crypto"),
        ({"plan": "gold"}, "expected a plan of free"),
        ({"token": ""}, "token"),
    ],
)
def test_what_cannot_be_played_is_refused(options, words):
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        AllTickSimulator(**options)


def test_an_address_in_use_is_refused():
    async def main():
        async with quick() as sim:
            with pytest.raises(ConfigError, match="cannot listen"):
                async with quick(port=sim.port):
                    pass

    asyncio.run(main())


TAPES = [("us_trades_20131007.csv.gz", "stock"), ("crypto_trades_20240808.csv.gz", "crypto")]


@pytest.mark.parametrize(("name", "market"), TAPES)
def test_every_trade_of_a_recorded_tape(samples, name, market):
    path = samples / "data" / name
    with gzip.open(path, "rt") as file:
        expected = list(csv.DictReader(file))

    async def main():
        async with quick(path, market) as sim, connect(sim) as client:
            assert await client.subscribe(sim.symbols) == 200
            receive = client.websocket.recv
            texts = [await receive(decode=False) for _ in range(len(expected) - len(client.ticks))]
            await sim.finished()
            assert await client.quiet() == []
            return client.ticks + [json.loads(text)["data"] for text in texts]

    ticks = uvloop.run(asyncio.wait_for(main(), 120))
    directions = {"buy": 1, "sell": 2, "": 0}
    for tick, row in zip(ticks, expected, strict=True):
        assert (
            tick["code"],
            tick["tick_time"],
            float(tick["price"]),
            float(tick["volume"]),
            tick["trade_direction"],
        ) == (
            row["symbol"],
            int(row["time_ns"]) // 1_000_000,
            float(row["price"]),
            float(row["volume"]),
            directions[row["side"]],
        )
    assert Decimal(ticks[0]["price"]) == Decimal(expected[0]["price"])


def test_the_command_serves_until_it_is_told_to_stop(tmp_path):
    path = tmp_path / "tape.csv"
    path.write_text(
        "time_ns,symbol,price,volume,side\n1723161255342000000,BTCUSDT,61837.63,0.02,sell\n"
    )
    arguments = ("--listen", "127.0.0.1:0", "--market", "crypto", "--tape", str(path))
    with process("sim", "alltick", *arguments, "--set", "int_mode=str", "--token", "abc") as child:
        url = child.stdout.readline().removeprefix("listening ").strip()
        methods = child.stdout.readline().removeprefix("answering ").strip()
        assert methods == url.replace("ws:", "http:").removesuffix("-ws-api") + "-api/"

        async def main():
            query = f"?token=abc&query={quote(json.dumps({'trace': 't', 'data': symbol_list(['BTCUSDT'])}))}"
            async with connect(SimpleNamespace(url=url), "abc") as client:
                assert await client.subscribe(["BTCUSDT"]) == 200
                [tick] = await client.until(1)
                assert (tick["tick_time"], tick["price"]) == ("1723161255342", "61837.63")
                async with aiohttp.ClientSession() as session:
                    async with session.get(f"{methods}trade-tick{query}") as response:
                        assert (await response.json())["data"]["tick_list"] == [tick]

        asyncio.run(asyncio.wait_for(main(), 20))
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=10)
        assert child.returncode == 0
        assert errors.startswith("1 ticks sent, 1 pushes, 1 connections")
