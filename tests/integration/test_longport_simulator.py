"""The simulated LongPort as clients that are not ours see it: websockets, a socket, aiohttp, the vendor's document."""

import asyncio
import csv
import gzip
import itertools
import time
from types import SimpleNamespace

import aiohttp
import numpy as np
import pytest
from commands import process
from commands import run as run_command
from longport_client import (
    ALL,
    BROKERS,
    DEPTH,
    KEY,
    QUERY,
    QUOTE,
    TOKEN,
    TRADE,
    connect,
    pack,
    password,
    signed,
)
from raw_client import START_NS
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

import fastfeed as ff
from fastfeed.errors import ConfigError
from fastfeed.protocols.longport_codes import CloseReason
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.sim import LongPortFaults, LongPortKnobs, LongPortSimulator, Tape
from fastfeed.sim.tape import TICK

SYMBOLS = ("SPY.US", "700.HK", "600519.SH")
BOTH = pytest.mark.parametrize("transport", ["websocket", "tcp"])


def within(main, run=asyncio.run, seconds=20):
    """Run a coroutine, with a limit."""
    return run(asyncio.wait_for(main, seconds))


def tape_of(count, symbols=SYMBOLS, gap_ns=1_000_000, start_ns=START_NS):
    rows = np.zeros(count, TICK)
    at = np.arange(count)
    rows["time_ns"] = start_ns + at // 2 * 2 * gap_ns  # two trades at a time
    rows["price"] = np.round(100 + at / 100, 2)
    rows["volume"] = at % 500 + 1
    rows["symbol"] = at % len(symbols)
    rows["side"] = at % 3 - 1
    return Tape(symbols, rows)


def quick(tape=None, *, knobs=None, faults=None, **options):
    """Return a simulator without rules about how fast requests may come."""
    options = {"speed": "max", "rate_limits": False} | options
    return LongPortSimulator(
        tape=tape_of(300) if tape is None else tape,
        knobs=LongPortKnobs(**(knobs or {})),
        faults=LongPortFaults(**(faults or {})),
        **options,
    )


def assert_trades_are_the_tape(trades, tape, symbols=None):
    names = tape.symbols
    wanted = [i for i, name in enumerate(names) if symbols is None or name in symbols]
    expected = tape.rows[np.isin(tape.rows["symbol"], wanted)]
    assert len(trades) == len(expected)
    sequences = {}
    for (symbol, sequence, trade), row in zip(trades, expected.tolist(), strict=True):
        time_ns, price, volume, index, side = row
        assert symbol == names[index]
        assert (float(trade.price), trade.volume) == (price, volume)
        assert trade.timestamp == time_ns // 10**9
        assert trade.direction == {1: 2, -1: 1, 0: 0}[side]
        assert 0 <= sequence - time_ns < 1_000_000
        assert sequence > sequences.get(symbol, 0)
        sequences[symbol] = sequence


# One-time passwords.


def test_half_a_request_is_no_error(caplog):
    async def main():
        async with quick() as sim:
            _, writer = await asyncio.open_connection("127.0.0.1", sim.port)
            writer.write(
                b"POST /v1/socket/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"
            )
            await asyncio.sleep(0.1)
            writer.close()
            await asyncio.sleep(0.1)
            assert sim.stats()["http_requests"] == 0

    within(main())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_passwords_are_for_those_who_can_sign(run, version):
    async def main():
        async with quick() as sim, aiohttp.ClientSession() as session:
            path = f"/{version}/socket/token"

            async def get(headers, method="GET", where=path):
                async with session.request(method, sim.http_url + where, headers=headers) as got:
                    return got.status, await got.json()

            status, answer = await get(signed(path=path))
            assert (status, answer["code"], answer["message"]) == (200, 0, "")
            data = answer["data"]
            assert (data["limit"], data["online"]) == (10, 0)
            bearer = {"X-Api-Key": KEY, "Authorization": f"Bearer {TOKEN}", "X-Timestamp": "1"}
            _, other = await get(bearer)
            assert other["data"]["otp"] != data["otp"]
            for wrong, code in (
                (signed(path=path) | {"X-Timestamp": "1700000001"}, 403201),
                (signed(path=path, secret="other"), 403201),
                (signed(path="/v3/socket/token"), 403201),
                (signed(path=path) | {"X-Api-Key": "OTHER"}, 403203),
                (signed(path=path) | {"Authorization": "OTHER"}, 401004),
                (bearer | {"Authorization": "Bearer OTHER"}, 401004),
                ({}, 403203),
            ):
                status, answer = await get(wrong)
                assert (status, answer["code"]) == (code // 1000, code)
                assert answer["message"]
            assert (await get(signed(path="/v9"), where="/v9"))[0] == 404
            assert (await get(signed("POST", path), "POST"))[0] == 405

    run(main())


def test_the_signature_is_that_of_the_vendor():
    # Made by the vendor's client: key, secret and token as here, at this time.
    sign = "8fbc82258f677c1fc5b040d3f4a56bb5c2b3d4ce303366a84b2e9f3999421d97"

    async def main():
        async with quick() as sim, aiohttp.ClientSession() as session:
            headers = {
                "X-Api-Key": "KEY",
                "Authorization": "TOKEN",
                "X-Timestamp": "1795219470",
                "X-Api-Signature": "HMAC-SHA256 SignedHeaders=authorization;x-api-key;x-timestamp, "
                f"Signature={sign}",
            }
            async with session.get(sim.http_url + "/v1/socket/token", headers=headers) as answer:
                assert (await answer.json())["code"] == 0

    within(main())


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("401003", 401, 401003), ("403201", 403, 403201), ("429", 429, None), ("429002", 429, 429002),
     ("full", 200, 0), ("500", 500, 0)],
)  # fmt: skip
def test_passwords_may_be_refused(fault, status, code):
    async def main():
        faults = {"token_error": fault, "token_times": 2}
        async with quick(faults=faults) as sim, aiohttp.ClientSession() as session:
            for _ in range(2):
                url = sim.http_url + "/v1/socket/token"
                async with session.get(url, headers=signed()) as answer:
                    assert answer.status == status
                    if code is None:
                        assert "{" not in await answer.text()
                        continue
                    found = await answer.json()
                    assert found["code"] == code
                    if not code:
                        data = found["data"]
                        assert (data["online"] >= data["limit"]) == (fault == "full")
            assert await password(sim)  # now it works

    within(main())


# Sessions.


@BOTH
def test_a_password_opens_one_session(run, transport):
    async def main():
        async with quick(knobs={"lifetime_s": 100.0}) as sim:
            word = await password(sim)
            async with connect(sim, transport, auth=False) as client:
                session = await client.auth(word, **{"accept-language": "zh-XX", "other": "1"})
                assert (session.limit, session.online) == (10, 1)
                ahead = session.expires / 1000 - time.time()
                assert 90 < ahead <= 100
                assert await client.refused(Command.AUTH, token=word) == (5, 401003)
                assert await client.get(Command.PROFILE, language="en")
            async with connect(sim, transport, auth=False) as other:
                renewed = await other.get(Command.RECONNECT, session_id=session.session_id)
                assert renewed.session_id not in {"", session.session_id}
                assert renewed.expires >= session.expires
                refused = await other.refused(Command.RECONNECT, session_id=session.session_id)
                assert refused == (5, 401003)
                sim.expire_sessions()
                again = await other.refused(Command.RECONNECT, session_id=renewed.session_id)
                assert again == (5, 401003)

    run(main())


def test_a_session_expires():
    now = [time.time_ns()]

    async def main():
        async with quick(knobs={"lifetime_s": 5.0}, clock_ns=lambda: now[0]) as sim:
            async with connect(sim) as client:
                session = client.session
                assert session.expires == now[0] // 10**6 + 5000
                now[0] += 5_000_000_000
                refused = await client.refused(Command.RECONNECT, session_id=session.session_id)
                assert refused == (5, 401003)

    within(main())


@BOTH
def test_the_first_packet_must_open_a_session(run, transport):
    async def main():
        async with quick() as sim:
            async with connect(sim, transport, auth=False) as client:
                number = await client.send(Command.QUOTES, symbol=["SPY.US"])
                answer = await client.answer(number)
                assert (answer.status, answer.error.code) == (5, 401004)
                close = (await client.until(1, 0))[0]
                assert close.code == CloseReason.AUTH_ERROR
                with pytest.raises((ConnectionClosed, ConnectionError)):
                    await client.receive()

    run(main())


def test_a_user_has_so_many_connections():
    async def main():
        async with quick(knobs={"sessions": 1}) as sim, connect(sim) as first:
            async with connect(sim, auth=False) as second:
                word = await password(sim)
                assert await second.refused(Command.AUTH, token=word) == (6, 403)
            assert await first.get(Command.PROFILE)

    within(main())


# Packets.


def test_the_query_of_the_upgrade_is_checked():
    async def main():
        async with quick() as sim:
            for query in ("version=2&codec=1&platform=9", "version=1&codec=1", "", "codec=2"):
                with pytest.raises(InvalidStatus) as refused:
                    async with open_websocket(f"{sim.url}?{query}", proxy=None):
                        pass
                assert refused.value.response.status_code == 400
            for path in ("/v2?a=b&", "/?", "/x/y?"):  # any path will do
                url = sim.url.removesuffix("/v2") + path + QUERY
                async with open_websocket(url, proxy=None):
                    pass
            assert sim.stats()["refused_connections"] == 4

    within(main())


@pytest.mark.parametrize("handshake", ["1209", "2109", "1101", "0000", "4745"])
def test_the_handshake_of_tcp_is_checked(handshake):
    async def main():
        async with quick() as sim:
            reader, writer = await asyncio.open_connection("127.0.0.1", sim.tcp_port)
            writer.write(bytes.fromhex(handshake))
            data = await reader.read()
            assert data[:2] == b"\x03\x00"
            close = message_class("Close").FromString(data[5:])
            assert close.code == CloseReason.UNPACK_ERROR
            assert handshake in close.reason
            writer.close()
            assert sim.stats()["dropped_bad_packet"] == 1

    within(main())


def test_tcp_is_cut_wherever_it_may_be():
    async def main():
        async with quick() as sim:
            reader, writer = await asyncio.open_connection("127.0.0.1", sim.tcp_port)
            auth = message_class("AuthRequest")(token=await password(sim)).SerializeToString()
            symbols = message_class("MultiSecurityRequest")(symbol=SYMBOLS).SerializeToString()
            data = b"\x11\x09" + pack(2, 1, auth) + pack(11, 2, symbols) + pack(1, 3, b"hello")
            for byte in data:  # one by one; and a second time all at once
                writer.write(bytes((byte,)))
                await asyncio.sleep(0)
            writer.write(pack(11, 4, symbols) * 50 + pack(1, 5))
            got = b""
            while not got.endswith(bytes.fromhex("02010000000500000000")):
                piece = await reader.read(1 << 16)
                assert piece
                got += piece
            assert sim.stats()["requests"] == 54
            assert bytes.fromhex("02010000000300000005") + b"hello" in got
            writer.close()

    within(main())


@BOTH
def test_requests_may_be_compressed_signed_and_heartbeats(run, transport):
    async def main():
        async with quick() as sim, connect(sim, transport) as client:
            body = message_class("MultiSecurityRequest")(symbol=SYMBOLS).SerializeToString()
            plain = (await client.ask(Command.QUOTES, symbol=SYMBOLS)).body
            small = gzip.compress(body)
            await client.raw(pack(11, 77, small, flags=0x20))
            assert (await client.answer(77)).body == plain
            await client.raw(pack(11, 78, small, flags=0x30, tail=bytes(24)))
            assert (await client.answer(78)).body == plain
            await client.raw(pack(11, 79, body, timeout_ms=60_000, flags=0xC0))
            assert (await client.answer(79)).body == plain
            await client.raw(pack(1, 80, b"\xff any bytes"))
            assert (await client.answer(80)).body == b"\xff any bytes"
            assert not (await client.ask(1)).body
            for bad in (b"\x1f\x8b no", gzip.compress(bytes(1 << 24)), small[:-3], b""):
                await client.raw(pack(11, 81, bad, flags=0x20))
                answer = await client.answer(81)
                assert (answer.status, answer.error.code) == (3, 301600)
            assert await client.refused(11, body=b"\xff" * 9) == (3, 301600)
            for unknown in (28, 100, 104, 255, 0):
                assert await client.refused(unknown) == (3, 301600)

    run(main())


def test_several_packets_may_share_a_message():
    async def main():
        async with quick() as sim, connect(sim) as client:
            await client.raw(pack(1, 8, b"a") + pack(1, 9, b"b"))
            assert ((await client.answer(8)).body, (await client.answer(9)).body) == (b"a", b"b")

    within(main())


BROKEN = {
    "type": pack(11, 1, kind=3),
    "type 0": pack(11, 1, kind=0),
    "long": b"\x01\x0b\x00\x00\x00\x01\x00\x00\xff\xff\xff",
    "part": pack(11, 1, b"xyz")[:-1],
    "head": b"\x01\x0b",
}


@BOTH
def test_who_asks_and_does_not_read_waits(transport):
    async def main():
        async with quick() as sim, connect(sim, transport) as client:
            end = client.websocket.transport if client.websocket else client.writer.transport
            end.pause_reading()
            sim.answers.quotes_made = lambda *_: bytes(1 << 16)  # a large answer that takes no time
            await client.raw(b"".join(pack(Command.QUOTES, i) for i in range(1, 501)))
            (served,) = sim._clients
            before = -1
            while sim.stats()["requests"] != before:  # no longer: it waits
                before = sim.stats()["requests"]
                await asyncio.sleep(0.2)
            assert 0 < before < 500
            assert served._wire._transport.get_write_buffer_size() < 1 << 20
            end.resume_reading()
            assert (await client.answer(500)).status == 0

    within(main())


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_packets_end_the_connection(broken):
    async def main():
        async with quick() as sim:
            for transport in ("websocket", "tcp"):
                if transport == "tcp" and broken in {"part", "head"}:
                    continue  # there is more to come
                async with connect(sim, transport) as client:
                    await client.raw(BROKEN[broken])
                    close = (await client.until(1, 0))[0]
                    assert close.code == CloseReason.UNPACK_ERROR
                    with pytest.raises((ConnectionClosed, ConnectionError)):
                        await client.receive()

    within(main())


def test_text_and_silence_end_the_connection():
    async def main():
        async with quick(knobs={"idle_timeout_s": 0.2, "ping_s": 0.0}) as sim:
            async with connect(sim) as client:
                await client.websocket.send("text")
                assert (await client.until(1, 0))[0].code == CloseReason.UNPACK_ERROR
            for transport in ("websocket", "tcp"):
                async with connect(sim, transport) as client:
                    close = (await client.until(1, 0))[0]
                    assert close.code == CloseReason.HEARTBEAT_TIMEOUT
            assert sim.stats()["dropped_idle"] == 2

    within(main())


def test_pings_keep_a_connection():
    async def main():
        async with quick(knobs={"idle_timeout_s": 0.3, "ping_s": 0.05}) as sim:
            async with connect(sim) as client:
                assert await client.quiet(0.6) == []
                waiter = await client.websocket.ping(b"mine")
                reading = asyncio.create_task(client.quiet(0.2))
                await asyncio.wait_for(waiter, 1)
                assert await reading == []

    within(main())


@BOTH
def test_the_server_may_ask_for_heartbeats(run, transport):
    async def main():
        async with quick(knobs={"heartbeat_s": 0.05, "ping_s": 0.0}) as sim:
            async with connect(sim, transport) as client:
                for serial in (1, 2, 3, 4):
                    packet = await client.receive()
                    assert (packet.type, packet.command, packet.request_id) == (1, 1, serial)
                    head = b"\x02\x01" + serial.to_bytes(4, "big") + b"\x00"
                    await client.raw(head + len(packet.body).to_bytes(3, "big") + packet.body)
                close = (await client.until(1, 0))[0]  # now nobody answers
                assert close.code == CloseReason.HEARTBEAT_TIMEOUT

    run(main())


# Pushes.


@BOTH
@pytest.mark.parametrize("per_push", [1, 7])
def test_every_trade_of_a_tape_is_pushed(run, transport, per_push):
    tape = tape_of(999)

    async def main():
        async with quick(tape, trades_per_push=per_push) as sim:
            async with connect(sim, transport) as client:
                await client.subscribe(SYMBOLS)
                trades = await client.trades(999)
                assert_trades_are_the_tape(trades, tape)
                await sim.finished()
                assert await client.quiet() == []
                assert {p.command for p in client.pushes} == {104}
                assert (sim.sent, sim.stats()["pushes"]) == (999, 999)

    run(main())


def test_trades_that_follow_each_other_share_a_push():
    tape = tape_of(40)
    tape.rows["symbol"] = np.arange(40) // 10 % 2

    async def main():
        async with quick(tape, trades_per_push=4) as sim, connect(sim) as client:
            await client.subscribe(SYMBOLS)
            pushes = await client.until(12, 104)
            assert [len(push.trade) for push in pushes] == [4, 4, 2] * 4
            # The sequence is that of the newest.
            assert [push.sequence for push in pushes] == sorted(push.sequence for push in pushes)
            trades = [(push.symbol, trade) for push in pushes for trade in push.trade]
            for (symbol, trade), row in zip(trades, tape.rows.tolist(), strict=True):
                assert (symbol, float(trade.price)) == (tape.symbols[row[3]], row[1])

    within(main())


def test_prices_have_the_digits_of_the_tape(tmp_path):
    path = tmp_path / "tape.csv"
    lines = ["time_ns,symbol,price,volume,side"]
    prices = ("338.40", "338.00", "1.05", "1234567.123456789")
    lines += [f"{START_NS + i},00700.HK,{price},{i}," for i, price in enumerate(prices)]
    path.write_text("\n".join(lines) + "\n")

    async def main():
        async with quick(path) as sim, connect(sim) as client:
            assert sim.symbols == ("700.HK",)
            await client.subscribe(["700.HK"])
            trades = [trade for _, _, trade in await client.trades(4)]
            assert [trade.price for trade in trades] == list(prices)
            assert [trade.volume for trade in trades] == [0, 1, 2, 3]

    within(main())


def test_every_trade_of_a_day(samples):
    path = samples / "data" / "us_trades_20131007.csv.gz"
    with gzip.open(path, "rt") as file:
        expected = list(csv.DictReader(file))

    async def main():
        async with quick(path) as sim, connect(sim, "tcp") as client:
            await client.subscribe(sorted({row["symbol"] for row in expected}))
            found = []
            while len(found) < len(expected):
                packet = await client.receive()
                client.pushes.clear()
                client.packets.clear()
                found.append(packet.body)
            push = message_class("PushTrade")
            last = 0
            for body, row in zip(found, expected, strict=True):
                got = push.FromString(body)
                [trade] = got.trade
                assert got.symbol == row["symbol"]
                assert (trade.price, str(trade.volume)) == (row["price"], row["volume"])
                assert trade.timestamp == int(row["time_ns"]) // 10**9
                assert got.sequence > last
                last = got.sequence
                assert 0 <= got.sequence - int(row["time_ns"]) < 1_000_000
            sessions = {
                trade.trade_session for body in found for trade in push.FromString(body).trade
            }
            assert sessions == {0, 1, 2}

    within(main(), ff.run, seconds=60)


def test_nothing_else_is_pushed(run):
    async def main():
        async with quick(hold=True) as sim, connect(sim) as one, connect(sim) as two:
            await one.subscribe(["SPY.US"], (TRADE, QUOTE))
            await two.subscribe(["0700.HK"], (DEPTH, BROKERS))
            sim.begin()
            await sim.finished()
            await one.quiet()
            await two.quiet()
            assert {(p.command, p.push.symbol) for p in one.pushes} == {
                (101, "SPY.US"), (104, "SPY.US"),
            }  # fmt: skip
            assert {(p.command, p.push.symbol) for p in two.pushes} == {
                (102, "700.HK"), (103, "700.HK"),
            }  # fmt: skip
            await two.subscribe(["SPY.US", "600519.SH"], (BROKERS,), first=True)
            assert await two.quiet() == []  # they have no queues

    run(main())


def merged(pushes):
    """Return quotes as a client keeps them: by symbol and session, what is absent is as it was."""
    state = {}
    for push in pushes:
        kept = state.setdefault((push.symbol, push.trade_session), {})
        for name in ("last_done", "open", "high", "low", "volume", "turnover", "timestamp"):
            if value := getattr(push, name):
                kept[name] = value
    return state


@pytest.mark.parametrize("delta", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_quotes_are_what_changed(delta, first):
    tape = tape_of(600, gap_ns=20_000_000)

    async def main():
        async with quick(tape, speed=40.0, knobs={"delta": delta}, hold=True) as sim:
            async with connect(sim) as client:
                await client.subscribe(SYMBOLS, (QUOTE,), first=first)
                if first:
                    start = await client.until(3, 101)
                    assert [push.symbol for push in start] == list(SYMBOLS)
                    assert all(push.last_done and push.open and push.timestamp for push in start)
                sim.begin()
                await sim.finished()
                await client.quiet()
                pushes = [p.push for p in client.pushes]
                assert len(pushes) > 30
                sequences = {}
                for push in pushes:
                    assert push.sequence > sequences.get(push.symbol, 0)
                    sequences[push.symbol] = push.sequence
                absent = sum(not push.open for push in pushes)
                assert absent > 20 if delta else not absent
                for symbol in SYMBOLS:
                    number = SYMBOLS.index(symbol)
                    rows = [row for row in tape.rows.tolist() if row[3] == number]
                    prices = [row[1] for row in rows]
                    kept = merged(pushes)[symbol, 0]
                    volume = sum(row[2] for row in rows)
                    assert float(kept["last_done"]) == prices[-1]
                    assert (float(kept["high"]), float(kept["low"])) == (max(prices), min(prices))
                    assert float(kept["open"]) == prices[0]
                    assert kept["volume"] == volume
                    if delta:
                        mine = [push for push in pushes if push.symbol == symbol]
                        later = mine[1:]
                        told = sum(push.current_volume for push in later)
                        assert told == volume - mine[0].volume
                    [pulled] = (await client.get(Command.QUOTES, symbol=[symbol])).secu_quote
                    for name in ("last_done", "open", "high", "low", "volume", "turnover"):
                        assert getattr(pulled, name) == kept[name]

    within(main())


@pytest.mark.parametrize("mode", ["full", "changed"])
def test_books_follow_the_trades(mode):
    async def main():
        tape = tape_of(600, gap_ns=20_000_000)
        async with quick(tape, speed=40.0, knobs={"depth": mode}, hold=True) as sim:
            async with connect(sim) as client:
                await client.subscribe(SYMBOLS, (DEPTH, BROKERS), first=True)
                sim.begin()
                await sim.finished()
                await client.quiet()
                books, queues = {}, {}
                counts = set()
                for packet in client.pushes:
                    push = packet.push
                    if packet.command == 103:
                        queues[push.symbol] = push
                        continue
                    counts.add(len(push.ask))
                    for side in ("ask", "bid"):
                        for level in getattr(push, side):
                            key = (push.symbol, side, level.position)
                            new = (level.price, level.volume, level.order_num)
                            assert mode == "full" or books.get(key) != new
                            books[key] = new
                assert list(queues) == ["700.HK"]
                for symbol, levels in (("SPY.US", 1), ("700.HK", 10), ("600519.SH", 5)):
                    book = await client.get(Command.DEPTH, symbol=symbol)
                    for side in ("ask", "bid"):
                        pulled = getattr(book, side)
                        assert len(pulled) == levels
                        for at, level in enumerate(pulled, 1):
                            assert level.position == at
                            assert books[symbol, side, at] == (
                                level.price, level.volume, level.order_num,
                            )  # fmt: skip
                            assert (level.order_num == 0) == (symbol == "SPY.US")
                assert counts == {1, 10, 5} or mode == "changed"
                pulled = await client.get(Command.BROKERS, symbol="700.HK")
                for side in ("ask_brokers", "bid_brokers"):
                    assert [(x.position, list(x.broker_ids)) for x in getattr(pulled, side)] == [
                        (x.position, list(x.broker_ids)) for x in getattr(queues["700.HK"], side)
                    ]

    within(main())


def test_a_state_is_pushed_first_when_it_is_asked_for(run):
    async def main():
        async with quick(hold=True) as sim, connect(sim) as client:
            answer = await client.subscribe(["700.HK", "SPY.US"], ALL, first=True)
            assert {s.symbol: list(s.sub_type) for s in answer.sub_list} == {
                "700.HK": [1, 2, 3, 4], "SPY.US": [1, 2, 3, 4],
            }  # fmt: skip
            await client.quiet()
            assert sorted((p.command, p.push.symbol) for p in client.pushes) == [
                (101, "700.HK"), (101, "SPY.US"), (102, "700.HK"), (102, "SPY.US"), (103, "700.HK"),
            ]  # fmt: skip
            before = {
                p.command: p.push.sequence for p in client.pushes if p.push.symbol == "700.HK"
            }
            client.pushes.clear()
            await client.subscribe(["700.HK"], ALL, first=True)
            await client.quiet()
            assert len(client.pushes) == 3
            for packet in client.pushes:  # one that is dropped as old would be missed
                assert packet.push.sequence > before[packet.command]
            client.pushes.clear()
            await client.subscribe(["600519.SH"], ALL)
            assert await client.quiet() == []

    run(main())


def test_sessions_of_america():
    # From 03:58 to 20:02 in New York, a minute and a half apart; Hong Kong knows no such hours.
    start_ns = START_NS - (5 * 60 + 32) * 60 * 10**9
    tape = tape_of(644, ("SPY.US", "700.HK"), gap_ns=90_000_000_000, start_ns=start_ns)
    edges = [(4 * 60, 3), (9 * 60 + 30, 1), (16 * 60, 0), (20 * 60, 2), (24 * 60, 3)]

    def session(symbol, time_ns):
        minute = 9 * 60 + 30 + (time_ns - START_NS) / 60e9
        return 0 if symbol == "700.HK" else next(s for end, s in edges if minute < end)

    def expected(overnight):
        named = [(tape.symbols[row[3]], row) for row in tape.rows.tolist()]
        named = [(symbol, session(symbol, row[0]), row) for symbol, row in named]
        return [one for one in named if one[1] != 3 or overnight]

    async def main(overnight):
        async with quick(tape, hold=True) as sim:
            metadata = {"need_over_night_quote": "true"} if overnight else {}
            async with connect(sim, **metadata) as client:
                await client.subscribe(tape.symbols, (TRADE, QUOTE))
                sim.begin()
                await sim.finished()
                await client.quiet()
                wanted = expected(overnight)
                assert {s for _, s, _ in wanted} == ({0, 1, 2, 3} if overnight else {0, 1, 2})
                trades = await client.trades(0)
                found = [(s, t.trade_session, float(t.price)) for s, _, t in trades]
                assert found == [(symbol, session, row[1]) for symbol, session, row in wanted]
                quotes = merged(p.push for p in client.pushes if p.command == 101)
                [spy] = (await client.get(Command.QUOTES, symbol=["SPY.US"])).secu_quote
                assert spy.HasField("over_night_quote") == overnight
                parts = {0: spy, 1: spy.pre_market_quote, 2: spy.post_market_quote}
                parts |= {3: spy.over_night_quote} if overnight else {}
                assert set(quotes) == {("SPY.US", s) for s in parts} | {("700.HK", 0)}
                for number, part in parts.items():
                    rows = [r for s, one, r in wanted if (s, one) == ("SPY.US", number)]
                    if number == 3:  # the night before is over when the next one begins
                        rows = [r for r in rows if r[0] > START_NS]
                    for what in (part, None):
                        kept = quotes["SPY.US", number]
                        get = kept.get if what is None else lambda n, p=part: getattr(p, n)
                        assert float(get("last_done")) == rows[-1][1]
                        assert float(get("high")) == max(r[1] for r in rows)
                        assert get("volume") == sum(r[2] for r in rows)
                        assert float(get("turnover")) == pytest.approx(
                            sum(r[1] * r[2] for r in rows), abs=0.001
                        )
                regular = [r for s, one, r in wanted if (s, one) == ("SPY.US", 0)]
                assert float(spy.post_market_quote.prev_close) == regular[-1][1]
                pulled = (await client.get(Command.TRADES, symbol="SPY.US", count=1000)).trades
                assert [t.trade_session for t in pulled] == [
                    one for s, one, _ in wanted if s == "SPY.US"
                ]
                every = await client.get(
                    Command.CANDLESTICKS, symbol="SPY.US", period=30, count=40, trade_session=100
                )
                inside = await client.get(
                    Command.CANDLESTICKS, symbol="SPY.US", period=30, count=13, trade_session=0
                )
                assert {bar.trade_session for bar in every.candlesticks} >= {0, 1, 2}
                assert {bar.trade_session for bar in inside.candlesticks} == {0}
                assert inside.candlesticks[0].timestamp == START_NS // 10**9
                volume = sum(bar.volume for bar in inside.candlesticks)
                assert volume == sum(r[2] for r in regular)

    for overnight in (True, False):
        within(main(overnight))


@BOTH
def test_the_first_regular_trade_says_all(run, transport):
    """What was told before any trade may be what that trade says too, and is not what a pull says meanwhile."""
    rows = tape_of(3, ("SPY.US",)).rows
    rows["time_ns"] = [START_NS - 3600 * 10**9, START_NS - 1800 * 10**9, START_NS]
    rows["price"] = [10.0, 11.0, 10.0]

    async def main():
        async with quick(Tape(("SPY.US",), rows), hold=True) as sim:
            async with connect(sim, transport=transport) as client:
                await client.subscribe(["SPY.US"], (QUOTE,), first=True)
                await client.until(1, 101)
                sim.begin()
                await sim.finished()
                await client.quiet()
                first = [p.push for p in client.pushes if not p.push.trade_session][1]
                said = (first.last_done, first.open, first.high, first.low)
                assert [float(price) for price in said] == [10.0] * 4
                assert first.volume == rows["volume"][2]

    within(main(), run)


def test_trades_that_are_pulled_end_where_live_ones_begin():
    tape = tape_of(1500)

    async def main():
        async with quick(tape, speed=1.0) as sim, connect(sim) as first:
            await first.subscribe(SYMBOLS)
            await first.trades(300)
            async with connect(sim) as late:
                await late.subscribe(SYMBOLS)
                pulled = {}
                for symbol in SYMBOLS:
                    answer = await late.get(Command.TRADES, symbol=symbol, count=1000)
                    cut = len([1 for s, _, _ in await late.trades(0) if s == symbol])
                    pulled[symbol] = (answer.trades, cut)
                await sim.finished()
                await late.quiet()
                live = await late.trades(0)
                for number, symbol in enumerate(SYMBOLS):
                    trades, cut = pulled[symbol]
                    mine = [t for s, _, t in live if s == symbol]
                    # What was pushed before the answer is in it too.
                    both = [float(t.price) for t in [*trades, *mine[cut:]]]
                    assert both == [row[1] for row in tape.rows.tolist() if row[3] == number]

    within(main())


def test_a_loop_goes_on_with_growing_sequences():
    async def main():
        tape = tape_of(50)
        async with quick(tape, loop=True) as sim, connect(sim) as client:
            await client.subscribe(["SPY.US"])
            trades = await client.trades(200)
            sequences = [sequence for _, sequence, _ in trades]
            assert all(a < b for a, b in itertools.pairwise(sequences))
            prices = [float(trade.price) for _, _, trade in trades]
            assert prices[:17] == prices[17:34]

    within(main())


def test_generated_trades_are_of_now():
    async def main():
        options = {"symbols": ["AAPL.US", "0700.HK"], "rate": 2000, "trades_per_push": 3, "seed": 7}
        async with LongPortSimulator(rate_limits=False, **options) as sim, connect(sim) as client:
            await client.subscribe(["AAPL.US", "700.HK"], ALL, first=True)
            trades = await client.trades(600)
            now = time.time_ns()
            for symbol, sequence, trade in trades:
                assert symbol in {"AAPL.US", "700.HK"}
                assert 0 <= now - sequence < 10_000_000_000
                assert abs(trade.timestamp - sequence // 10**9) <= 1
                assert len(trade.price.partition(".")[2]) == 3

    within(main())


def test_a_slow_reader_lags_alone():
    count = 200_000  # more than sockets hold
    tape = tape_of(count, gap_ns=100_000)

    async def main():
        async with quick(tape, hold=True) as sim:
            async with connect(sim, "tcp") as slow, connect(sim, "tcp") as other:
                for client in (slow, other):
                    await client.subscribe(SYMBOLS, ALL)
                sim.begin()
                seen = 0
                while seen < count:
                    seen += (await other.receive()).command == 104
                [one] = [c for c in sim._clients if c.cursor < count]
                assert one._wire._transport.get_write_buffer_size() < 1 << 20
                seen = last = 0
                while seen < count:
                    packet = await slow.receive()
                    if packet.command == 104:
                        push = packet.push
                        row = tape.rows[seen]
                        assert float(push.trade[0].price) == row["price"]
                        assert push.sequence > last
                        last = push.sequence
                        seen += 1

    within(main(), seconds=60)


# Subscriptions and limits.


def test_subscriptions_are_counted_and_given_up(run):
    async def main():
        async with quick(knobs={"subscriptions": 3}, hold=True) as sim:
            async with connect(sim) as one, connect(sim) as two:
                await one.subscribe(["SPY.US", "700.HK"], (QUOTE, TRADE))
                await two.subscribe(["SPY.US", "600519.SH"], (TRADE,))
                option = "SPY131018C100000.US"
                refused = {"symbol": [option], "sub_type": [QUOTE]}
                assert await two.refused(Command.SUBSCRIBE, **refused) == (7, 301605)
                await one.get(Command.UNSUBSCRIBE, symbol=["00700.HK"], sub_type=[QUOTE])
                listed = (await one.get(Command.SUBSCRIPTIONS)).sub_list
                assert {s.symbol: list(s.sub_type) for s in listed} == {
                    "SPY.US": [1, 4], "700.HK": [4],
                }  # fmt: skip
                await one.get(Command.UNSUBSCRIBE, symbol=["700.HK"], unsub_all=True)
                await two.subscribe([option], (QUOTE,))
                await one.get(Command.UNSUBSCRIBE, unsub_all=True)
                assert not (await one.get(Command.SUBSCRIPTIONS)).sub_list
                assert sim.stats()["subscribed"] == 3
            sim.begin()

    run(main())


def test_subscriptions_may_be_answered_by_an_empty_body():
    async def main():
        async with quick(knobs={"empty_subscribe": True}) as sim, connect(sim) as client:
            request = {"symbol": ["SPY.US"], "sub_type": [TRADE]}
            packet = await client.ask(Command.SUBSCRIBE, **request)
            assert (packet.status, packet.body) == (0, b"")
            await client.trades(1)

    within(main())


def test_requests_are_limited_in_what_they_ask_for():
    async def main():
        async with quick(knobs={"no_access": "600519.SH"}) as sim, connect(sim) as client:
            many = [f"{i}.HK" for i in range(501)]
            for command in (10, 11, 12, 13):
                assert await client.refused(command, symbol=many) == (7, 301607)
                assert await client.refused(command, symbol=["NOBODY.US"]) == (7, 301600)
                assert await client.refused(command, symbol=["600519.SH"]) in {
                    (7, 301604), (7, 301600),
                }  # fmt: skip
                assert await client.refused(command) == (7, 301600)
            assert await client.refused(26, symbols=many, calc_index=[1]) == (7, 301607)
            for command in (6, 7):
                asked = {"symbol": many, "sub_type": [1]}
                assert await client.refused(command, **asked) == (7, 301607)
            for kinds in ([], [0], [5], [1, 8]):
                asked = {"symbol": ["SPY.US"], "sub_type": kinds}
                assert await client.refused(6, **asked) == (3, 301600)
            for symbol, code in (("NOBODY.US", 301600), ("600519.SH", 301604), ("x", 301600)):
                asked = {"symbol": ["SPY.US", symbol], "sub_type": [1]}
                assert await client.refused(6, **asked) == (7, code)
            assert not (await client.get(5)).sub_list
            assert await client.refused(17, symbol="SPY.US", count=1001) == (7, 301607)
            assert await client.refused(17, symbol="SPY.US", count=0) == (7, 301600)
            bars = {"symbol": "SPY.US", "period": 1}
            assert await client.refused(19, **bars, count=1001) == (7, 301607)
            assert await client.refused(19, symbol="SPY.US", period=7, count=1) == (7, 301600)
            assert await client.refused(19, **bars, count=1, trade_session=3) == (7, 301600)
            assert await client.refused(27, **bars, query_type=3) == (7, 301600)
            offset = {"direction": 0, "date": "20131007", "minute": "1x00"}
            for minute in ("1x00", "2400", "0960", "930"):
                offset["minute"] = minute
                refused = await client.refused(27, **bars, query_type=1, offset_request=offset)
                assert refused == (7, 301600)
            for days in (
                ("20131001", "20131201"), ("131001", "131002"), ("20131002", "20131001"),
                ("99991231", "99991231"), ("00010101", "00010101"),
            ):  # fmt: skip
                asked = dict(zip(("beg_day", "end_day"), days, strict=True))
                assert await client.refused(9, market="US", **asked) == (7, 301600)
            assert await client.refused(9, market="JP", beg_day="20131001", end_day="20131002") == (
                7, 301600,
            )  # fmt: skip

    within(main())


def test_bars_of_a_span_are_those_near_its_end():
    async def main():
        async with quick() as sim, connect(sim) as client:

            async def ask(start, end, symbol="700.HK", period=1):
                dates = {"start_date": start, "end_date": end}
                answer = await client.get(
                    27, symbol=symbol, period=period, query_type=2, date_request=dates
                )
                return [bar.timestamp for bar in answer.candlesticks]

            day_s = 1_380_556_800  # 2013-10-01 in Hong Kong
            days = [day_s + i * 86400 for i in (0, 1, 2, 3)]  # until Friday
            whole = [
                await ask(day, day) for day in ("20131001", "20131002", "20131003", "20131004")
            ]
            for found, start in zip(whole, days, strict=True):
                assert len(found) > 300
                assert start + 9 * 3600 <= found[0] < found[-1] < start + 17 * 3600
            line = list(itertools.chain(*whole))
            assert len(line) > 1000
            assert await ask("20131001", "20131004") == line[-1000:]
            assert (await ask("20131001", ""))[:1000] == line[:1000]
            assert await ask("", "20131004") == line[-1000:]
            assert len(await ask("", "")) == 1000
            assert (await ask("", ""))[-1] > line[-1]
            for span in (("20131004", "20131001"), ("19000101", "19000102"), ("29990101", "")):
                assert await ask(*span) == []

    within(main())


def test_bars_begin_where_the_clock_of_the_market_says():
    # New York's clock goes back at 2:00 on Sunday, 3 November 2013. 20:00 of that day is the beginning of the night.
    night_s = 1_383_526_800
    tape = tape_of(200, ("SPY.US",), gap_ns=60 * 10**9, start_ns=(night_s - 3600) * 10**9)

    async def main():
        async with quick(tape) as sim, connect(sim, need_over_night_quote="true") as client:
            await client.subscribe(["SPY.US"])
            await sim.finished()

            async def ask(direction):
                offset = {"direction": direction, "date": "20131103", "minute": "2000", "count": 9}
                answer = await client.get(
                    27, symbol="SPY.US", period=1, query_type=1, trade_session=100,
                    offset_request=offset,
                )  # fmt: skip
                return [bar.timestamp for bar in answer.candlesticks]

            assert (await ask(1))[0] == night_s
            assert (await ask(0))[-1] == night_s
            dates = {"start_date": "20131103", "end_date": "20131103"}
            answer = await client.get(
                27, symbol="SPY.US", period=1, query_type=2, trade_session=100, date_request=dates
            )
            assert answer.candlesticks[-1].timestamp == night_s + 138 * 60  # the last of all

    within(main())


def test_ratios_of_warrants_are_fractions_and_as_indexes_percent():
    names = ("outstanding_ratio", "premium", "itm_otm", "implied_volatility", "to_call_price")

    async def main():
        async with quick() as sim, connect(sim) as client:
            listed = (await client.get(Command.WARRANT_LIST, symbol="700.HK")).warrant_list
            symbols = [one.symbol for one in listed]
            quotes = (await client.get(Command.WARRANT_QUOTES, symbol=symbols)).secu_quote
            numbers = [24, 25, 26, 27, 30]
            indexes = (
                await client.get(Command.CALC_INDEXES, symbols=symbols, calc_index=numbers)
            ).security_calc_index
            assert len(listed) == len(quotes) == len(indexes) > 0
            for one, quote, index in zip(listed, quotes, indexes, strict=True):
                for name in names:
                    assert abs(float(getattr(one, name))) < 1
                    percent = float(getattr(one, name)) * 100
                    assert float(getattr(index, name)) == pytest.approx(percent, abs=0.006)
                terms = quote.warrant_extend
                assert terms.implied_volatility == one.implied_volatility
                assert terms.outstanding_ratio == one.outstanding_ratio

    within(main())


def test_requests_that_come_too_fast_are_refused():
    async def main():
        knobs = {"rate": 5, "burst": 2}
        async with quick(knobs=knobs, rate_limits=True) as sim, connect(sim) as client:
            profile = await client.get(Command.PROFILE, language="en")
            stated = {limit.command: (limit.limit, limit.burst) for limit in profile.rate_limit}
            assert stated == dict.fromkeys(range(4, 28), (5, 2))
            assert profile.subscribe_limit == 500
            for _ in range(2):
                await client.get(Command.QUOTES, symbol=["SPY.US"])
            assert await client.refused(Command.QUOTES, symbol=["SPY.US"]) == (3, 301606)
            await client.get(Command.DEPTH, symbol="SPY.US")  # another bucket
            for _ in range(5):
                await client.ask(Command.HEARTBEAT)
            await asyncio.sleep(0.25)
            await client.get(Command.QUOTES, symbol=["SPY.US"])

    within(main())


def test_requests_in_flight_are_limited():
    async def main():
        faults = {"late_reply": 0.2, "late_command": 11}
        async with quick(knobs={"in_flight": 2}, faults=faults) as sim, connect(sim) as client:
            numbers = [await client.send(Command.QUOTES, symbol=["SPY.US"]) for _ in range(4)]
            statuses = {}
            while len(statuses) < 4:
                packet = await client.receive()
                statuses[packet.request_id] = packet.status
            assert [statuses[number] for number in numbers] == [0, 0, 3, 3]

    within(main())


# Faults.


@pytest.mark.parametrize(
    "faults",
    [
        {"gzip": 0, "verify": True},
        {"gzip": 44},
        {"fragment": 5},
        {"split": 1},
        {"pack": 3},
        {"fragment": 9, "pack": 4, "split": 7},
    ],
    ids=str,
)
@BOTH
def test_packets_may_be_dressed_and_cut_and_joined(transport, faults):
    tape = tape_of(300)

    async def main():
        async with quick(tape, faults=faults) as sim, connect(sim, transport) as client:
            await client.subscribe(SYMBOLS)
            assert_trades_are_the_tape(await client.trades(300), tape)
            signatures = {len(packet.verified) for packet in client.packets}
            assert signatures == {24 if "verify" in faults else 0}

    within(main())


def test_extra_pushes_come_before_good_ones():
    tape = tape_of(60)

    async def main():
        faults = {
            "garbage": 10, "unknown_push": 15, "old_sequence": 20, "duplicate": 30, "unknown_fields": True,
        }  # fmt: skip
        async with quick(tape, faults=faults) as sim, connect(sim) as client:
            await client.subscribe(SYMBOLS)
            await sim.finished()
            await client.quiet()
            kinds = {199: 0, "garbage": 0}
            good = []
            for packet in client.pushes:
                if packet.command == 199:
                    kinds[199] += 1
                elif packet.body == b"\xff" * 40:
                    kinds["garbage"] += 1
                else:
                    good.append(packet.push)
            assert kinds == {199: 4, "garbage": 6}
            highest, trades, again = {}, [], 0
            for push in good:
                if push.sequence <= highest.get(push.symbol, 0):
                    again += 1
                    continue
                highest[push.symbol] = push.sequence
                trades += [(push.symbol, push.sequence, trade) for trade in push.trade]
                assert b"\xaa\x0f\x02hi" in push.SerializeToString()
            assert again == 3 + 2
            assert_trades_are_the_tape(trades, tape)

    within(main())


def test_numbers_may_be_unknown():
    tape = tape_of(60)

    async def main():
        async with quick(tape, faults={"unknown_enums": True}) as sim, connect(sim) as client:
            await client.subscribe(SYMBOLS, (TRADE, QUOTE))
            trades = await client.trades(60)
            assert {(t.direction, t.trade_session) for _, _, t in trades} == {(99, 99)}
            assert [float(t.price) for _, _, t in trades] == tape.rows["price"].tolist()
            assert {push.trade_status for push in await client.until(3, 101)} == {99}

    within(main())


def test_a_bomb_is_small_on_the_wire():
    async def main():
        async with quick(faults={"gzip_bomb": 10, "bad_gzip": 7}) as sim:
            async with open_websocket(f"{sim.url}?{QUERY}", proxy=None, compression=None) as raw:
                auth = message_class("AuthRequest")(token=await password(sim)).SerializeToString()
                await raw.send(pack(2, 1, auth))
                wanted = message_class("SubscribeRequest")(symbol=SYMBOLS, sub_type=[4])
                await raw.send(pack(6, 2, wanted.SerializeToString()))
                bombs = bad = 0
                for _ in range(2 + 300 + 30 + 42):
                    data = await raw.recv()
                    if data[0] == 0x23:
                        try:
                            bombs += len(gzip.decompress(data[5:])) == 1 << 24
                        except gzip.BadGzipFile:
                            bad += 1
                        else:
                            assert len(data) < 1 << 15
                assert (bombs, bad) == (30, 42)

    within(main())


@pytest.mark.parametrize("fault", ["drop_after", "truncated", "unknown_type", "close", "stall"])
@BOTH
def test_a_connection_ends_on_purpose(run, transport, fault):
    tape = tape_of(300)

    async def main():
        async with quick(tape, faults={fault: 100, "close_reason": 5}, hold=True) as sim:
            async with connect(sim, transport) as client:
                await client.subscribe(SYMBOLS)
                sim.begin()
                if fault == "unknown_type":  # whoever reads on sees what comes behind it
                    with pytest.raises(KeyError):
                        await client.trades(101)
                elif fault == "stall":
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(client.trades(101), 0.3)
                    await client.send(Command.PROFILE)
                    assert await client.quiet(0.2) == []
                else:
                    with pytest.raises((ConnectionClosed, ConnectionError, AssertionError)):
                        await client.trades(101)
                pushes = [p for p in client.pushes if p.command == 104]
                assert len(pushes) == 100
                if fault == "close":
                    close = client.pushes[-1].push
                    assert (close.code, close.reason) == (5, "closed on purpose")
                    if transport == "websocket":
                        assert client.websocket.close_code == 1000
            async with connect(sim, transport) as again:  # it strikes once
                assert await again.get(Command.PROFILE)

    run(main())


@BOTH
def test_two_faults_behind_the_same_push(run, transport):
    async def main():
        async with quick(faults={"unknown_type": 100, "close": 100}, hold=True) as sim:
            async with connect(sim, transport) as client:
                await client.subscribe(SYMBOLS)
                sim.begin()
                with pytest.raises(KeyError):  # at the first
                    await client.trades(101)
                while sim.stats()["subscribed"]:
                    await asyncio.sleep(0.01)
                assert sim.stats()["dropped_fault"] == 1

    within(main(), run)


@pytest.mark.parametrize("why", list(CloseReason))
@BOTH
def test_the_server_hangs_up(transport, why):
    async def main():
        async with quick() as sim, connect(sim, transport) as client:
            ending = asyncio.create_task(sim.hang_up(why, "bye"))
            [close] = await client.until(1, 0)
            assert (close.code, close.reason) == (why, "bye")
            with pytest.raises((ConnectionClosed, ConnectionError)):
                await client.receive()
            await ending

    within(main())


def test_answers_go_wrong_on_purpose():
    async def ask(faults, *commands):
        async with quick(faults=faults) as sim, connect(sim) as client:
            numbers = [await client.send(c, symbol=["SPY.US"]) for c in commands]
            await client.quiet(0.25)
            mine = [p for p in client.packets if p.request_id in numbers]
            return [(numbers.index(p.request_id), p.status, p.body) for p in mine]

    async def main():
        plain = await ask({}, 11, 10)
        assert [status for _, status, _ in plain] == [0, 0]
        assert await ask({"no_reply": 11}, 11, 10) == [(1, 0, plain[1][2])]
        twice = await ask({"double_reply": 1}, 11)
        assert twice == plain[:1] * 2
        assert await ask({"reversed_replies": 2}, 11, 10) == plain[::-1]
        assert await ask({"reversed_replies": 5}, 11, 10) == plain[::-1]
        assert await ask({"late_reply": 0.1, "late_command": 11}, 11, 10) == plain[::-1]
        error = message_class("Error")
        [(_, status, body)] = await ask({"error_reply": "11:9:77"}, 11)
        assert (status, error.FromString(body).code) == (9, 77)
        [(_, status, body), _] = await ask({"bad_error": 11}, 11, 10)
        assert (status, body) == (7, b"\xff" * 20)
        [(_, status, body), _] = await ask({"bad_reply": 11}, 11, 10)
        assert (status, body) == (0, b"\xff" * 20)

    within(main())


def test_a_session_may_be_refused_on_purpose():
    async def main():
        async with quick(faults={"refuse_reconnect": True}) as sim, connect(sim) as client:
            session = client.session.session_id
            async with connect(sim, auth=False) as other:
                assert await other.refused(Command.RECONNECT, session_id=session) == (5, 401003)
                assert await other.auth(await password(sim))  # on the same connection

    within(main())


def test_corrections_may_follow_quotes():
    async def main():
        async with quick(knobs={"end_of_day": 1}) as sim, connect(sim) as client:
            await client.subscribe(["SPY.US"], (QUOTE,))
            quote, correction = await client.until(2, 101)
            assert (quote.tag, correction.tag) == (0, 1)
            assert correction.last_done == quote.last_done
            assert correction.sequence > quote.sequence

    within(main())


def test_anything_can_be_pushed():
    async def main():
        async with quick() as sim, connect(sim) as client:
            await sim.push(Command.PUSH_QUOTE, symbol="700.HK", sequence=5, last_done="1", tag=1)
            [push] = await client.until(1, 101)
            assert (push.symbol, push.sequence, push.last_done, push.tag) == ("700.HK", 5, "1", 1)

    within(main())


# What it cannot serve.


def test_what_it_cannot_serve_is_said():
    tape = tape_of(10)
    tape.rows["volume"][3] = 0.5
    for options, words in (
        ({"tape": tape}, "whole volumes, got 0.5 in row 3"),
        ({"symbols": ["BTCUSDT.CC"]}, "expected a symbol of HK, SG, SH, SZ, US"),
        ({"symbols": ["700.HK", "00700.HK"]}, "700.HK twice"),
        ({"symbols": ["x"]}, "expected a symbol such as"),
        ({"key": ""}, "expected a key"),
    ):
        with pytest.raises(ConfigError, match=words):
            LongPortSimulator(**options)
    with pytest.raises(ValueError, match="trades a push"):
        LongPortSimulator(trades_per_push=0)

    async def main():
        async with quick() as sim:
            with pytest.raises(ConfigError, match="cannot listen"):
                async with quick(tcp_port=sim.tcp_port):
                    pass
            await sim.pause_listening()
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", sim.tcp_port)
            await sim.resume_listening()
            async with connect(sim, "tcp") as client:
                assert await client.get(Command.PROFILE)

    within(main())


# The command.


def test_it_runs_from_the_command_line(tmp_path):
    path = tmp_path / "tape.csv"
    lines = [f"{START_NS + i},SPY.US,{100 + i / 100:.2f},{i + 1},buy" for i in range(50)]
    path.write_text("\n".join(["time_ns,symbol,price,volume,side", *lines]) + "\n")
    arguments = ("--tape", str(path), "--speed", "max", "--fault", "gzip=0", "--set", "sessions=3")
    places = ("--listen", "127.0.0.1:0", "--tcp-port", "0")

    async def main(http_url, url, tcp_url):
        sim = SimpleNamespace(http_url=http_url, url=url, tcp_port=int(tcp_url.rpartition(":")[2]))
        for transport in ("websocket", "tcp"):
            async with connect(sim, transport) as client:
                assert client.session.limit == 3
                await client.subscribe(["SPY.US"])
                if transport == "websocket":
                    trades = await client.trades(50)
                    assert [trade.volume for _, _, trade in trades] == list(range(1, 51))

    with process("sim", "longport", *places, *arguments) as child:
        said = [child.stdout.readline().strip() for _ in range(8)]
        url, tcp_url, http_url = (line.split()[-1] for line in said[:3])
        assert (said[0][:10], said[1][:10], said[2][:10]) == ("listening ",) * 2 + ("answering ",)
        variables = dict(word.split("=", 1) for line in said[4:] for word in line.split()[1:])
        assert variables == {
            "LONGPORT_HTTP_URL": http_url,
            "LONGPORT_QUOTE_WS_URL": url,
            "LONGPORT_TRADE_WS_URL": url,
            "LONGPORT_APP_KEY": "KEY",
            "LONGPORT_APP_SECRET": "secret",
            "LONGPORT_ACCESS_TOKEN": "TOKEN",
        }
        within(main(http_url, url, tcp_url))
        child.terminate()
        _, errors = child.communicate(timeout=10)
    assert child.returncode == 0
    assert errors.startswith("50 ticks sent, 50 pushes, 2 connections, ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fault", "close_reason=9"], "expected one of 0, 1, 2"),
        (["--fault", "error_reply=11:7"], "expected COMMAND:STATUS:CODE"),
        (["--set", "depth=some"], "expected one of full, changed"),
        (["--set", "nothing=1"], "expected one of ping_s, heartbeat_s"),
        (["--symbols", "BTC"], "expected a symbol such as '700.HK'"),
        (["--symbols", "BTCUSDT.CC"], "expected a symbol of HK, SG, SH, SZ, US"),
        (["--speed", "max"], "--speed needs --tape"),
    ],
)
def test_a_wrong_option_is_explained(arguments, words):
    result = run_command("sim", "longport", *arguments)
    assert result.returncode != 0
    assert words in " ".join(result.stderr.split())


def test_every_setting_and_fault_is_in_the_help():
    text = run_command("sim", "longport", "--help").stdout
    for options in (LongPortKnobs, LongPortFaults):
        for usage, _ in options.describe():
            assert f"  {usage} " in text
