"""The simulated LongPort as clients that are not ours see it: websockets, a socket, aiohttp, the vendor's document."""

import asyncio
import gzip
import time

import aiohttp
import numpy as np
import pytest
from longport_client import (
    KEY,
    QUERY,
    TOKEN,
    connect,
    pack,
    password,
    signed,
)
from raw_client import START_NS
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fastfeed.protocols.longport_codes import CloseReason
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.sim import LongPortFaults, LongPortKnobs, LongPortSimulator, Tape
from fastfeed.sim.tape import TICK

SYMBOLS = ("SPY.US", "700.HK", "600519.SH")
BOTH = pytest.mark.parametrize("transport", ["websocket", "tcp"])


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())


BROKEN = {
    "type": pack(11, 1, kind=3),
    "type 0": pack(11, 1, kind=0),
    "long": b"\x01\x0b\x00\x00\x00\x01\x00\x00\xff\xff\xff",
    "part": pack(11, 1, b"xyz")[:-1],
    "head": b"\x01\x0b",
}


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

    asyncio.run(main())


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

    asyncio.run(main())


def test_pings_keep_a_connection():
    async def main():
        async with quick(knobs={"idle_timeout_s": 0.3, "ping_s": 0.05}) as sim:
            async with connect(sim) as client:
                assert await client.quiet(0.6) == []
                waiter = await client.websocket.ping(b"mine")
                reading = asyncio.create_task(client.quiet(0.2))
                await asyncio.wait_for(waiter, 1)
                assert await reading == []

    asyncio.run(main())


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
