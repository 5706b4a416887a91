"""What one asks AllTick for by HTTP, against the simulator and a server that says what a test wants."""

import asyncio
import contextlib
import json
import ssl
import traceback
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from alltick_feeds import TOKEN, quick_feed
from certificates import make_certificate, server_tls
from raw_client import make_tape

import fastfeed as ff
from fastfeed.sim import AllTickKnobs, AllTickSimulator

CODES = ("BTCUSDT", "EURUSD", "GOLD")


def simulator(**options):
    tape = make_tape(300, CODES)
    options = {"market": "crypto", "tape": tape, "speed": "max", "token": TOKEN} | options
    return AllTickSimulator(**{"rate_limits": False} | options)


@contextlib.asynccontextmanager
async def played(**options):
    """A simulator whose tape is over, and a feed."""
    async with simulator(**options) as sim, quick_feed(sim.url, plan="professional") as feed:
        await feed.subscribe(CODES, "ticks", "books")
        await sim.finished()
        yield sim, feed


class Http:
    """A server of one reply to everything; `requests` are (method, method's name, query, body)."""

    def __init__(self, reply, *, status=200, head="", hold=None, pieces=1, tls=None):
        self.reply = reply if isinstance(reply, (bytes, type(None))) else json.dumps(reply).encode()
        self.status, self.head, self.hold, self.pieces = status, head, hold, pieces
        self.tls = tls
        self.requests = []
        self.open = 0
        self.most = 0
        self.times = []
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws{'s' if self.tls else ''}://127.0.0.1:{port}/quote-b-ws-api"
        return self

    async def __aexit__(self, *exc):
        await asyncio.sleep(0.02)  # whoever still wanted to come
        self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        asyncio.current_task().add_done_callback(self._tasks.discard)
        self.open += 1
        self.most = max(self.most, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            verb, target, _ = head.split(" ", 2)
            length = int(head.lower().partition("content-length:")[2].split("\r\n")[0] or 0)
            body = await reader.readexactly(length)
            parts = urlsplit(target)
            name = parts.path.rpartition("/")[2]
            self.requests.append((verb, name, parse_qs(parts.query), body))
            self.times.append(asyncio.get_running_loop().time())
            if self.reply is not None:
                size = "" if "Content-Length" in self.head else f"Content-Length: {len(self.reply)}"
                answer = f"HTTP/1.1 {self.status} X\r\n{self.head}{size}\r\n\r\n".encode()
                answer += self.reply
                step = -(-len(answer) // self.pieces)
                for i in range(0, len(answer), step):
                    writer.write(answer[i : i + step])
                    await writer.drain()
                    await asyncio.sleep(0.02 if self.pieces > 1 else 0)
            if self.hold:
                await reader.read()
        self.open -= 1
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def ok(**data):
    return {"ret": 200, "msg": "ok", "trace": "t", "data": data}


def trade(code, price="1.5", **more):
    return {
        "code": code, "seq": "30841439", "tick_time": "1677831545217", "price": price,
        "volume": "300", "turnover": "450.0", "trade_direction": 1,
    } | more  # fmt: skip


def bar(time_s, close="2", **more):
    return {
        "timestamp": str(time_s), "open_price": "1", "close_price": close, "high_price": "3",
        "low_price": "0.5", "volume": "7", "turnover": "8",
    } | more  # fmt: skip


def pulling(url, **options):
    """A feed that is never opened: pulls need no WebSocket."""
    return quick_feed(url, plan=options.pop("plan", "professional"), **options)


# the simulator


def test_pulls_are_what_was_pushed(run):
    async def main():
        async with played() as (sim, feed):
            while feed.ticks.count < 300:
                await asyncio.sleep(0.005)
            ticks = await feed.get_ticks(["GOLD", "BTCUSDT"])
            assert [feed.symbols[i] for i in ticks["symbol"]] == ["GOLD", "BTCUSDT"]
            for row in ticks:
                live = feed.ticks.latest(feed.symbols[row["symbol"]])
                for name in ("time_ns", "price", "volume", "side"):
                    assert row[name] == live[name], name
            assert (await feed.get_ticks("EURUSD")).shape == (1,)
            book = await feed.get_book("BTCUSDT")
            assert book["bids"] == book["asks"] == 5
            assert book["bid_price"][0] < book["ask_price"][0]
            books = await feed.get_book(CODES)
            assert [feed.symbols[i] for i in books["symbol"]] == list(CODES)
            bars = await feed.get_bars("BTCUSDT", "1m", 10)
            assert len(bars) == 10
            assert np.all(np.diff(bars["time_ns"]) == 60 * 10**9)
            assert np.all(bars["low"] <= np.minimum(bars["open"], bars["close"]))
            assert np.all(bars["high"] >= np.maximum(bars["open"], bars["close"]))
            assert bars["close"][-1] == feed.ticks.latest("BTCUSDT")["price"]
            many = await feed.get_bars(CODES, "1d")
            assert len(many) == 6
            assert many["interval_s"].tolist() == [86400] * 6
            assert len(await feed.get_bars("GOLD", "4h")) == 500
            assert sim.stats()["http_refused"] == 0

    run(main())


def test_what_the_vendor_refuses(run):
    async def main():
        async with played() as (_, feed):
            for call in (
                feed.get_ticks("btcusdt"),
                feed.get_book(["GOLD", "NOSUCH"]),
                feed.get_bars("NOSUCH"),
                feed.get_bars(["NOSUCH"]),
            ):
                with pytest.raises(ff.RequestError, match="unknown code") as refused:
                    await call
                assert refused.value.code == 600
        async with simulator(token="another") as sim:
            for call in (pulling(sim.url).get_ticks("GOLD"), pulling(sim.url).get_bars(CODES)):
                with pytest.raises(ff.AuthError) as refused:
                    await call
                assert refused.value.code == 401

    run(main())


def test_arguments(run):
    async def main():
        feed = pulling("ws://127.0.0.1:1/quote-b-ws-api")
        stock = quick_feed("ws://127.0.0.1:1/", "stock")
        for call in (
            feed.get_ticks("GOLD", 2),
            feed.get_ticks("A" * 17),
            feed.get_book(""),
            feed.get_bars("GOLD", "2m"),
            stock.get_bars("AAPL.US", "4h"),
            feed.get_bars("GOLD", "1m", 0),
            feed.get_bars("GOLD", "1m", 501),
            feed.get_bars(["GOLD"], "1m", 3),
        ):
            with pytest.raises(ValueError):
                await call
        for call in (feed.get_bars("GOLD", n=True), feed.get_bars("GOLD", n=1.0)):
            with pytest.raises(TypeError):
                await call
        for rows in (await feed.get_ticks([]), await feed.get_book([]), await feed.get_bars([])):
            assert rows.shape == (0,)
        with pytest.raises(ff.ConnectError, match="refused"):
            await feed.get_ticks("GOLD")

    run(main())


# requests


def test_requests_have_the_documented_form(run):
    async def main():
        async with Http(ok(tick_list=[], kline_list=[])) as server:
            feed = pulling(server.url)
            await feed.get_ticks(["A.B", "a"])
            await feed.get_book(["A"])
            await feed.get_bars("A", "1h", 7)
            await feed.get_bars(["A", "B"], "1M", 1)
            verbs = [(verb, name) for verb, name, _, _ in server.requests]
            assert verbs == [
                ("GET", "trade-tick"), ("GET", "depth-tick"), ("GET", "kline"),
                ("POST", "batch-kline"),
            ]  # fmt: skip
            assert all(query["token"] == [TOKEN] for _, _, query, _ in server.requests)
            asked = [json.loads(q["query"][0]) for _, _, q, _ in server.requests[:3]]
            assert all(0 < len(request["trace"]) <= 64 for request in asked)
            assert asked[0]["data"] == {"symbol_list": [{"code": "A.B"}, {"code": "a"}]}
            assert asked[2]["data"] == {
                "code": "A", "kline_type": 5, "kline_timestamp_end": 0, "query_kline_num": 7,
                "adjust_type": 0,
            }  # fmt: skip
            batch = json.loads(server.requests[3][3])["data"]["data_list"]
            assert [(item["code"], item["kline_type"]) for item in batch] == [("A", 10), ("B", 10)]

    run(main())


def test_many_symbols_make_several_requests(run):
    names = [f"C{i}" for i in range(120)]

    async def main():
        async with Http(ok(tick_list=[trade(name) for name in names])) as server:
            rows = await pulling(server.url).get_ticks(names)
            sizes = [
                len(json.loads(query["query"][0])["data"]["symbol_list"])
                for _, _, query, _ in server.requests
            ]
            assert sorted(sizes) == [20, 50, 50]
            assert len(rows) == 360  # what the server sends, sends it to each
            feed = pulling(server.url, plan="free", rate_limit_wait_s=0.0)
            with pytest.raises(ff.RateLimitError):
                await feed.get_ticks(names[:6])

    run(main())


# replies


def test_rows_of_ticks_come_in_the_order_asked_for(run):
    listed = [trade("B", "2"), trade("GOLD", "3"), trade("OTHER"), trade("AUSDT", "1")]

    async def main():
        async with Http(ok(tick_list=listed)) as server:
            feed = pulling(server.url)
            rows = await feed.get_ticks(["AUSDT", "MISSING", "GOLD", "B"])
            assert rows["price"].tolist() == [1.0, 3.0, 2.0]
            assert rows["side"].tolist() == [1, 0, 0]
            assert rows["time_ns"].tolist() == [1677831545217 * 10**6] * 3
            assert (rows["recv_ns"] > 1_700_000_000 * 10**9).all()
            assert rows.flags.writeable
            with pytest.raises(ff.RemoteProtocolError):
                await feed.get_book("GOLD")  # what came is no book

    run(main())


def test_bars_are_sorted_and_told_once(run):
    listed = [
        bar(1677829320, "5"), bar(1677829200, "3"), bar(1677829260, "4", volume="", turnover=None),
        bar(1677829320, "6"),
    ]  # fmt: skip

    async def main():
        async with Http(ok(kline_list=listed)) as server:
            rows = await pulling(server.url).get_bars("GOLD")
            assert (rows["time_ns"] // 10**9).tolist() == [1677829200, 1677829260, 1677829320]
            assert rows["close"].tolist() == [3.0, 4.0, 6.0]
            assert np.isnan(rows["volume"][1])
            assert np.isnan(rows["turnover"][1])
            assert rows["volume"][0] == 7
            assert (rows["open"][0], rows["high"][0], rows["low"][0]) == (1.0, 3.0, 0.5)
        numbers = {
            "timestamp": 1677829200000, "open_price": 1, "close_price": 0.1, "high_price": "1e1",
            "low_price": "-37.63",
        }  # fmt: skip
        async with Http(ok(kline_list=[numbers])) as server:
            (row,) = await pulling(server.url).get_bars("GOLD")
            assert row["time_ns"] == 1677829200 * 10**9
            assert (row["open"], row["close"], row["high"], row["low"]) == (1, 0.1, 10, -37.63)
            assert np.isnan(row["volume"])

    run(main())


@pytest.mark.parametrize(
    "wrong",
    [
        {"timestamp": "soon"}, {"timestamp": ""}, {"timestamp": "-1"}, {"timestamp": "9" * 30},
        {"timestamp": "١٢"}, {"timestamp": None}, {"timestamp": 1.5},
        {"open_price": "NaN"}, {"open_price": ""}, {"open_price": None}, {"open_price": "1_000"},
        {"open_price": "inf"}, {"open_price": "1e999"}, {"open_price": " 1"}, {"open_price": "1,5"},
        {"open_price": "0x1F"}, {"open_price": [1]}, {"open_price": True}, {"open_price": "9" * 400},
        {"volume": "x"}, {"turnover": {}},
    ],
)  # fmt: skip
def test_bars_that_cannot_be(run, wrong):
    async def main():
        async with Http(ok(kline_list=[bar(1677829200, **wrong)])) as server:
            with pytest.raises(ff.RemoteProtocolError):
                await pulling(server.url).get_bars("GOLD")

    run(main())


@pytest.mark.parametrize(
    "reply",
    [
        b"", b"null", b"[]", b"connected", b"<html>", b'{"ret":200', b'{"ret":200}', b"\xff\xfe",
        b'{"ret":200,"data":null}', b'{"ret":200,"data":{"tick_list":{},"kline_list":{}}}',
        b'{"ret":200,"data":' + b"[" * 5000,
        b'{"ret":200,"data":{"tick_list":[{"code":"GOLD"}],"kline_list":[{"code":"GOLD"}]}}',
        b'{"ret":200,"data":{"tick_list":[7],"kline_list":[7]}}',
    ],
)  # fmt: skip
def test_replies_that_cannot_be_read(run, reply):
    async def main():
        async with Http(reply) as server:
            feed = pulling(server.url)
            for call in (
                feed.get_ticks("GOLD"),
                feed.get_book("GOLD"),
                feed.get_bars("GOLD"),
                feed.get_bars(["GOLD"]),
            ):
                with pytest.raises(ff.RemoteProtocolError):
                    await call

    run(main())


@pytest.mark.parametrize(
    ("status", "reply", "kind", "code"),
    [
        (200, {"ret": 600, "msg": f"code invalid for {TOKEN}"}, ff.RequestError, 600),
        (200, {"ret": 401, "msg": f"token={TOKEN}"}, ff.AuthError, 401),
        (200, {"ret": 605, "msg": "too many"}, ff.RateLimitError, 605),
        (401, {"msg": f"token {TOKEN} is required", "ret": 401}, ff.AuthError, 401),
        (429, b"Too Many Requests " + TOKEN.encode(), ff.RateLimitError, 429),
        (502, b"<html>" + b" " * 80 + TOKEN.encode(), ff.RequestError, 502),
        (500, {"ret": 200, "msg": None}, ff.RequestError, 500),
        (204, b"", ff.RequestError, 204),
    ],
)
def test_refusals(run, caplog, status, reply, kind, code):
    async def main():
        async with Http(reply, status=status) as server:
            with pytest.raises(kind) as refused:
                await pulling(server.url).get_ticks("GOLD")
            assert refused.value.code == code
            text = "".join(traceback.format_exception(refused.value))
            assert TOKEN[:8] not in text + refused.value.text + caplog.text

    run(main())


def test_a_token_goes_nowhere_else(run):
    async def main():
        async with Http(ok(tick_list=[])) as other:
            place = other.url.replace("ws:", "http:")
            head = f"Location: {place}?token={TOKEN}\r\n"
            async with Http(b"", status=302, head=head) as server:
                with pytest.raises(ff.RequestError) as refused:
                    await pulling(server.url).get_ticks("GOLD")
                assert refused.value.code == 302
                assert other.requests == []

    run(main())


def test_a_percent_encoded_token_is_masked(run):
    async def main():
        token = "a b/c?d&e=f"
        echo = "no such token: a%20b%2Fc%3Fd%26e%3Df or a b/c?d&e=f"
        async with Http({"ret": 401, "msg": echo}) as server:
            with pytest.raises(ff.AuthError) as refused:
                await pulling(server.url, token=token).get_ticks("GOLD")
            assert refused.value.text == "no such token: *** or ***"
            assert server.requests[0][2]["token"] == [token]

    run(main())


# servers that stop


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"reply": None, "hold": True}, ff.RequestTimeout),
        ({"reply": b"{", "head": "Content-Length: 99\r\nX: ", "hold": True}, ff.RequestTimeout),
        ({"reply": ok(tick_list=[]), "pieces": 60}, ff.RequestTimeout),  # a little at a time
        ({"reply": None}, ff.ConnectError),
        ({"reply": b"{", "head": "Content-Length: 99\r\nX: "}, ff.RemoteProtocolError),
    ],
    ids=["silent", "half", "slow", "closed", "cut"],
)
def test_a_server_that_stops(run, options, kind):
    async def main():
        async with Http(**options) as server:
            feed = pulling(server.url, request_timeout_s=0.3)
            with pytest.raises(kind) as refused:
                await feed.get_ticks("GOLD")
            assert TOKEN not in str(refused.value)

    run(main())


def test_a_reply_without_an_end(run, monkeypatch):
    monkeypatch.setattr("fastfeed.feeds.alltick_pulls._MOST_BYTES", 1000)

    async def main():
        async with Http(b" " * 5000) as server:
            with pytest.raises(ff.RemoteProtocolError, match="1000 bytes"):
                await pulling(server.url).get_ticks("GOLD")

    run(main())


def test_what_is_no_http(run):
    async def main():
        async with Http(b"", status="SSH-2.0") as server:
            with pytest.raises(ff.ConnectError):
                await pulling(server.url).get_ticks("GOLD")

    run(main())


def test_cancelling_a_pull_ends_its_request(run):
    async def main():
        async with Http(None, hold=True) as server:
            feed = pulling(server.url)
            task = asyncio.create_task(feed.get_ticks("GOLD"))
            while not server.requests:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while server.open:
                await asyncio.sleep(0.005)

    run(main())


# limits


def test_pulls_wait_for_their_turn(run):
    async def main():
        async with Http(ok(tick_list=[])) as server:
            feed = pulling(server.url, plan="basic")
            await asyncio.gather(feed.get_ticks("A"), feed.get_ticks("B"), feed.get_book(["A"]))
            ticks = [
                at
                for at, (_, name, _, _) in zip(server.times, server.requests, strict=True)
                if name == "trade-tick"
            ]
            assert ticks[1] - ticks[0] >= 1.0

    run(main())


def test_waiting_has_a_bound(run):
    async def main():
        async with Http(ok(tick_list=[])) as server:
            feed = pulling(server.url, plan="basic", rate_limit_wait_s=0.0)
            await feed.get_ticks("A")
            for _ in range(100):
                with pytest.raises(ff.RateLimitError, match="wait at most"):
                    await feed.get_ticks("A")
            # Those took nothing of what all methods share.
            await feed.get_book(["A"])
            assert len(server.requests) == 2

    run(main())


def test_the_simulators_limits_are_kept(run):
    async def main():
        async with simulator(plan="premium", rate_limits=True) as sim:
            feed = pulling(sim.url, plan="premium")
            await asyncio.gather(*(feed.get_ticks("GOLD") for _ in range(15)))
            assert sim.stats()["http_requests"] == 15
            assert sim.stats()["http_refused"] == 0

    run(main())


# life


def test_pulls_of_a_closed_feed(run):
    async def main():
        async with simulator() as sim:
            async with quick_feed(sim.url) as feed:
                assert len(await feed.get_ticks("GOLD")) == 1
            for call in (feed.get_ticks("GOLD"), feed.get_book("GOLD"), feed.get_bars("GOLD")):
                with pytest.raises(ff.ConnectError, match="closed"):
                    await call

    run(main())


def test_closing_during_pulls(run):
    async def main():
        async with simulator(knobs=AllTickKnobs()) as sim:
            feed = quick_feed(sim.url, plan="basic")
            await feed.open()
            tasks = [asyncio.create_task(feed.get_ticks("GOLD")) for _ in range(2)]
            await asyncio.sleep(0.01)
            await feed.close()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            for outcome in outcomes[1:]:
                assert isinstance(outcome, ff.ConnectError)

    run(main())


def test_pulls_delay_no_push(run):
    async def main():
        async with simulator(tape=None, rate=500, symbols=list(CODES)) as sim:
            async with quick_feed(sim.url, plan="professional") as feed:
                await feed.subscribe(CODES, "ticks")
                pulls = [asyncio.create_task(feed.get_bars("GOLD", "1m")) for _ in range(20)]
                for _ in range(5):
                    before = feed.ticks.count
                    while feed.ticks.count < before + 10:
                        await asyncio.sleep(0.005)
                assert all(len(rows) == 500 for rows in await asyncio.gather(*pulls))

    run(main())


def test_tls_is_verified(run, tmp_path):
    async def main():
        path = make_certificate(tmp_path)
        async with Http(ok(tick_list=[]), tls=server_tls(path)) as server:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            with pytest.raises(ff.ConnectError, match=r"CERTIFICATE|certificate") as refused:
                await pulling(server.url).get_ticks("GOLD")
            assert TOKEN not in str(refused.value)
            assert server.requests == []
            context = ssl.create_default_context(cafile=path)
            assert (await pulling(server.url, ssl_context=context).get_ticks("GOLD")).size == 0

    run(main())
