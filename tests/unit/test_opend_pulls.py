"""The pulls, through the real feed and a real socket, against an OpenD that says what a test tells it."""

import asyncio
import contextlib
import datetime
import inspect
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeed as ff
from fastfeed.feeds import opend_pulls
from fastfeed.feeds import opend_records as records
from fastfeed.feeds.rate_limit import RateLimit
from fastfeed.protocols import opend_messages as ids
from fastfeed.protocols.opend_codes import canonical, security
from fastfeed.protocols.opend_frames import HEADER, pack
from fastfeed.protocols.opend_messages import message_class

# an OpenD that says what a test tells it


def reply(proto_id, **s2c):
    """Return the body of a good reply."""
    response = message_class(f"{ids.NAMES[proto_id]}.Response")
    return response(retType=0, retMsg="", errCode=0, s2c=s2c).SerializeToString()


def refuse(text, code=0):
    """Return the body of a refusal."""
    reply = message_class("Reply")(retType=-1, retMsg=text.encode(), errCode=code)
    return reply.SerializeToString()


GOOD = b"\x08\x00\x12\x00\x18\x00"
INIT = {
    **{"serverVer": 1011, "loginUserID": 1, "connID": 7, "connAESKey": "0" * 16},
    **{"keepAliveInterval": 10, "aesCBCiv": "0" * 16},
}


class FakeOpenD:
    """`answers`: by protocol id a function (c2s) -> body, list of bodies, or None for silence; also async."""

    def __init__(self, answers):
        self.answers = answers
        self.requests = []  # (protocol id, c2s)
        self.writers = []
        self.url = ""

    def asked(self, proto_id):
        return [c2s for number, c2s in self.requests if number == proto_id]

    async def serve(self, reader, writer):
        tasks = set()
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readexactly(HEADER.size)
                _, proto_id, _, _, serial, length, _, _ = HEADER.unpack(head)
                body = await reader.readexactly(length)
                task = asyncio.create_task(self.answer(writer, proto_id, serial, body))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            writer.close()

    async def answer(self, writer, proto_id, serial, body):
        if proto_id == ids.INIT_CONNECT:
            response = message_class("InitConnect.Response")(retType=0, s2c=INIT)
            writer.write(pack(proto_id, serial, response.SerializeToString()))
            return
        if proto_id == ids.KEEP_ALIVE:
            writer.write(pack(proto_id, serial, GOOD + b"\x22\x02\x08\x01"))
            return
        c2s = message_class(f"{ids.NAMES[proto_id]}.Request").FromString(body).c2s
        self.requests.append((proto_id, c2s))
        answer = self.answers[proto_id](c2s)
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is not None:
            for one in answer if isinstance(answer, list) else [answer]:
                writer.write(pack(proto_id, serial, one))


@contextlib.asynccontextmanager
async def opend(answers, **options):
    """Serve, and connect a feed; yields the server and the feed."""
    fake = FakeOpenD(answers)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        quick = {"backoff": ff.Backoff(0.01, 0.05, random.Random(0))}
        async with ff.OpenD("127.0.0.1", port, **quick | options) as feed:
            yield fake, feed
    finally:
        server.close()
        for writer in fake.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


def run(main):
    return asyncio.run(asyncio.wait_for(main, 30))


# what replies hold

T0 = 1700010000


def at(symbol):
    market, code = security(symbol)
    return {"market": market, "code": code}


def ticker(i):
    return {
        **{"time": "", "sequence": (T0 + i) << 32 | i, "dir": 1 + i % 2, "price": 10.0 + i},
        **{"volume": 100, "turnover": 1.0, "timestamp": T0 + i, "hpVolume": 100.0},
    }


def ticks_reply(c2s, numbers=None):
    numbers = range(c2s.maxRetNum) if numbers is None else numbers
    return reply(
        ids.QOT_GET_TICKER, security=c2s.security, tickerList=[ticker(i) for i in numbers], name="x"
    )


def kline(i):
    return {
        **{"time": "", "isBlank": False, "openPrice": i, "closePrice": i + 0.5, "highPrice": i + 1},
        **{"lowPrice": i - 1, "volume": 5, "timestamp": T0 + 60 * i, "hpVolume": 5.0},
    }


def basic_qot(symbol):
    return {
        **{"security": at(symbol), "isSuspended": False, "listTime": "2004-06-16"},
        **{"priceSpread": 0.2, "updateTime": "", "highPrice": 4, "openPrice": 2, "lowPrice": 1},
        **{"curPrice": len(symbol), "lastClosePrice": 2, "volume": 7, "turnover": 9},
        **{"turnoverRate": 1, "amplitude": 1, "updateTimestamp": T0, "hpVolume": 7.0},
    }


# market data


def test_ticks_are_the_callers_own_rows_oldest_first():
    async def main():
        async with opend({ids.QOT_GET_TICKER: ticks_reply}) as (fake, feed):
            before = time.time_ns()
            rows = await feed.get_ticks("HK.00700", 1000)
            assert rows.dtype == ff.dtype("ticks")
            assert len(rows) == 1000
            assert rows["seq"].tolist() == [(T0 + i) << 32 | i for i in range(1000)]
            assert rows["time_ns"][5] == (T0 + 5) * 10**9
            assert rows["side"][:2].tolist() == [1, -1]
            assert np.all(rows["recv_ns"] >= before)
            assert {feed.symbols[i] for i in rows["symbol"]} == {"700.HK"}
            rows["price"] = 0  # writable
            assert feed.ticks.count == 0  # and not in the stream
            (c2s,) = fake.asked(ids.QOT_GET_TICKER)
            assert (c2s.security.market, c2s.security.code, c2s.maxRetNum) == (1, "00700", 1000)

    run(main())


def test_ticks_in_another_order_are_sorted():
    async def main():
        answers = {ids.QOT_GET_TICKER: lambda c2s: ticks_reply(c2s, [3, 1, 2])}
        async with opend(answers) as (_, feed):
            rows = await feed.get_ticks("700.HK", 3)
            assert (rows["seq"] & 0xFFFFFFFF).tolist() == [1, 2, 3]

    run(main())


def test_no_ticks_is_an_empty_array():
    async def main():
        answers = {ids.QOT_GET_TICKER: lambda c2s: ticks_reply(c2s, [])}
        async with opend(answers) as (_, feed):
            rows = await feed.get_ticks("700.HK")
            assert rows.shape == (0,)
            assert rows.dtype == ff.dtype("ticks")

    run(main())


def test_quotes_come_in_the_order_of_the_request_and_in_parts():
    async def main():
        def answer(c2s):
            symbols = [canonical(s.market, s.code) for s in c2s.securityList]
            return reply(ids.QOT_GET_BASIC_QOT, basicQotList=[basic_qot(s) for s in symbols[::-1]])

        async with opend({ids.QOT_GET_BASIC_QOT: answer}) as (fake, feed):
            symbols = [f"{i}.HK" for i in range(1, 251)]
            rows = await feed.get_quotes(symbols)
            assert rows.dtype == ff.dtype("quotes")
            assert [feed.symbols[i] for i in rows["symbol"]] == symbols
            assert rows["last"].tolist() == [len(s) for s in symbols]
            sizes = [len(c2s.securityList) for c2s in fake.asked(ids.QOT_GET_BASIC_QOT)]
            assert sorted(sizes) == [50, 100, 100]
            assert len(await feed.get_quotes([])) == 0
            assert len(await feed.get_quotes("5.HK")) == 1

    run(main())


def test_bars():
    async def main():
        def answer(c2s):
            bars = [kline(i) for i in range(c2s.reqNum)]
            return reply(ids.QOT_GET_KL, security=c2s.security, klList=bars)

        async with opend({ids.QOT_GET_KL: answer}) as (fake, feed):
            rows = await feed.get_bars("AAPL.US", "5m", 20, adjust="none")
            assert rows.dtype == ff.dtype("bars")
            assert rows["time_ns"][0] == (T0 - 300) * 10**9
            assert rows["close"].tolist() == [i + 0.5 for i in range(20)]
            assert set(rows["kind"]) == {6}
            assert set(rows["adjust"]) == {0}
            await feed.get_bars("AAPL.US", "1M")
            numbers = [(c.klType, c.rehabType, c.reqNum) for c in fake.asked(ids.QOT_GET_KL)]
            assert numbers == [(6, 0, 20), (4, 1, 1000)]

    run(main())


def test_timeshare():
    async def main():
        def answer(c2s):
            points = [
                {"time": "", "minute": 570 + i, "isBlank": False, "price": 3, "timestamp": T0 + i}
                for i in range(5)
            ]
            return reply(ids.QOT_GET_RT, security=c2s.security, rtList=points)

        async with opend({ids.QOT_GET_RT: answer}) as (_, feed):
            rows = await feed.get_timeshare("700.HK")
            assert rows.dtype == ff.dtype("timeshare")
            assert rows["minute"].tolist() == [570, 571, 572, 573, 574]

    run(main())


def test_book_is_one_record_of_the_depth_that_was_asked_for():
    async def main():
        def answer(c2s):
            levels = [{"price": 100 - i, "volume": 1, "orederCount": 1} for i in range(c2s.num)]
            return reply(
                ids.QOT_GET_ORDER_BOOK,
                security=c2s.security,
                orderBookBidList=levels[:7],
                orderBookType=c2s.orderBookType,
            )

        async with opend({ids.QOT_GET_ORDER_BOOK: answer}) as (fake, feed):
            book = await feed.get_book("700.HK", 5)
            assert isinstance(book, np.void)
            assert book.dtype == ff.dtype("books", 5)
            assert (book["bids"], book["asks"]) == (5, 0)
            assert book["bid_price"].tolist() == [100, 99, 98, 97, 96]
            assert np.all(np.isnan(book["ask_price"]))
            assert book["kind"] == 0
            book["bid_price"] = 0  # writable
            odd = await feed.get_book("700.HK", 60, odd_lots=True)
            assert odd.dtype == ff.dtype("odd_books", 60)
            assert (odd["bids"], odd["kind"]) == (7, 1)
            asked = [(c.num, c.orderBookType) for c in fake.asked(ids.QOT_GET_ORDER_BOOK)]
            assert asked == [(5, 0), (60, 1)]

    run(main())


def test_brokers():
    async def main():
        def answer(c2s):
            queue = [{"id": 10 + i, "name": "b", "pos": 1} for i in range(3)]
            return reply(ids.QOT_GET_BROKER, security=c2s.security, brokerBidList=queue)

        async with opend({ids.QOT_GET_BROKER: answer}) as (_, feed):
            row = await feed.get_brokers("700.HK")
            assert feed.hub.broker_name(11) == "b"
            assert row.dtype == ff.dtype("brokers")
            assert row["bid_broker"][: row["bids"]].tolist() == [10, 11, 12]

    run(main())


# many at once, late, never, wrong


def test_many_in_flight_with_replies_out_of_order():
    async def main():
        chance = random.Random(1)
        waiting = 0
        most = 0

        async def answer(c2s):
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            await asyncio.sleep(chance.random() * 0.2)
            waiting -= 1
            return ticks_reply(c2s, [int(c2s.security.code)])

        async with opend({ids.QOT_GET_TICKER: answer}) as (_, feed):
            found = await asyncio.gather(*[feed.get_ticks(f"{i}.HK") for i in range(1, 200)])
            for i, rows in enumerate(found, 1):
                assert feed.symbols[rows["symbol"][0]] == f"{i}.HK"
                assert rows["price"][0] == 10.0 + i
            assert most > 50

    run(main())


def test_a_second_reply_to_the_same_serial_is_counted_and_dropped():
    async def main():
        answers = {ids.QOT_GET_TICKER: lambda c2s: [ticks_reply(c2s, [1]), ticks_reply(c2s, [2])]}
        async with opend(answers) as (_, feed):
            for _ in range(3):
                rows = await feed.get_ticks("700.HK")
                assert rows["price"].tolist() == [11.0]
            await asyncio.sleep(0.02)
            assert feed.stats()["unmatched_replies"] == 3

    run(main())


def test_no_reply_is_a_timeout_and_a_late_one_is_dropped():
    async def main():
        late = asyncio.Event()
        first = True

        async def answer(c2s):
            nonlocal first
            if first:
                first = False
                await late.wait()
            return ticks_reply(c2s, [1])

        async with opend({ids.QOT_GET_TICKER: answer}, request_timeout_s=0.2) as (_, feed):
            with pytest.raises(ff.RequestTimeout, match="3010"):
                await feed.get_ticks("700.HK")
            assert len(await feed.get_ticks("700.HK")) == 1
            late.set()
            while not feed.stats()["unmatched_replies"]:
                await asyncio.sleep(0.01)
            assert feed.connected

    run(main())


def test_refusals_carry_code_and_text():
    async def main():
        answers = {ids.QOT_GET_USER_SECURITY: lambda c2s: refuse("未知分组", 17)}
        async with opend(answers) as (_, feed):
            with pytest.raises(ff.RequestError, match="未知分组") as raised:
                await feed.get_watchlist("no such")
            assert (raised.value.code, raised.value.text) == (17, "未知分组")
            assert type(raised.value) is ff.RequestError
            assert feed.connected

    run(main())


@pytest.mark.parametrize(
    "body",
    [
        GOOD + b"\x22\xff",
        GOOD + b"\x22\x02\x0a\x00",  # an entry without its required fields
        b"",
        b"\xff\xff\xff",
    ],
)
def test_replies_that_cannot_be_read(body):
    async def main():
        answers = dict.fromkeys(
            (ids.QOT_GET_USER_SECURITY, ids.QOT_GET_TICKER, ids.QOT_GET_SECURITY_SNAPSHOT),
            lambda c2s: body,
        )
        async with opend(answers) as (_, feed):
            for pull in (
                feed.get_watchlist("a"),
                feed.get_ticks("700.HK"),
                feed.get_snapshots("700.HK"),
            ):
                with pytest.raises(ff.RemoteProtocolError) as raised:
                    await pull
                assert raised.value.source == "opend"
            assert feed.connected

    run(main())


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(list(opend_pulls._ITEMS)), st.binary(max_size=80), st.data())
def test_any_bytes_are_records_or_a_protocol_error(kind, noise, data):
    message = message_class(opend_pulls._ITEMS[kind])()
    fill(data.draw, message)
    item = bytearray(message.SerializePartialToString())
    for _ in range(data.draw(st.integers(0, 3))):
        if item:
            item[data.draw(st.integers(0, len(item) - 1))] = data.draw(st.integers(0, 255))
    body = message_class("Items.Response")(s2c={"items": [bytes(item), noise, bytes(item)]})

    class Feed(ff.OpenD):
        async def _ask(self, proto_id, request, *, counted=True):
            return self.body

    feed = Feed()
    for feed.body in (GOOD + body.SerializeToString(), noise, GOOD + noise):
        try:
            found = asyncio.run(feed._pull_list(ids.QOT_GET_STATIC_INFO, kind))
        except ff.RemoteProtocolError:
            continue
        assert all(type(one) is kind for one in found)
        repr(found)


@pytest.mark.parametrize(("kind", "name"), opend_pulls._ITEMS.items())
def test_lists_are_what_their_replies_say(kind, name):
    """Items stands for the S2C of each of these replies."""
    replies = [
        field
        for proto_id, proto_name in ids.NAMES.items()
        if proto_id not in (ids.QOT_SUB, ids.QOT_REG_QOT_PUSH)  # without a content
        for field in message_class(f"{proto_name}.Response")
        .DESCRIPTOR.fields_by_name["s2c"]
        .message_type.fields
        if field.message_type is message_class(name).DESCRIPTOR
    ]
    assert replies
    for field in replies:
        assert (field.number, field.is_repeated) == (1, True)
        assert len(field.containing_type.fields) == 1


def fill(draw, message):
    """Set required scalars, and some of the rest."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        if field.message_type is not None:
            if field.is_required or draw(st.booleans()):
                getattr(message, field.name).SetInParent()
                fill(draw, getattr(message, field.name))
        elif field.is_required:
            setattr(message, field.name, field.default_value)


def test_lists_may_be_left_out_with_all_content_but_nothing_else():
    async def main():
        answers = {
            ids.QOT_GET_USER_SECURITY: lambda c2s: GOOD,
            ids.GET_GLOBAL_STATE: lambda c2s: GOOD,
        }
        async with opend(answers) as (_, feed):
            assert await feed.get_watchlist("a") == []
            with pytest.raises(ff.RemoteProtocolError, match="1002"):
                await feed.get_global_state()

    run(main())


def test_the_book_of_another_security_is_refused():
    async def main():
        other = at("9988.HK")
        answers = {
            ids.QOT_GET_ORDER_BOOK: lambda c2s: reply(ids.QOT_GET_ORDER_BOOK, security=other),
            ids.QOT_GET_TICKER: lambda c2s: reply(ids.QOT_GET_TICKER, security=other),
            ids.QOT_GET_BASIC_QOT: lambda c2s: reply(
                ids.QOT_GET_BASIC_QOT, basicQotList=[basic_qot("9988.HK")]
            ),
            ids.QOT_GET_MARKET_STATE: lambda c2s: reply(
                ids.QOT_GET_MARKET_STATE,
                marketInfoList=[{"security": other, "name": "", "marketState": 3}],
            ),
        }
        async with opend(answers) as (_, feed):
            for pull in (
                feed.get_book("700.HK"),
                feed.get_ticks("700.HK"),  # without rows it is told as well
                feed.get_quotes("700.HK"),
                feed.get_market_states("700.HK"),
            ):
                with pytest.raises(
                    ff.RemoteProtocolError, match=r"about 9988\.HK, expected 700\.HK"
                ):
                    await pull

    run(main())


def test_pulls_wait_for_the_connection_and_fail_with_it():
    async def main():
        silent = True
        asked = asyncio.Event()

        def answer(c2s):
            asked.set()
            return None if silent else ticks_reply(c2s, [1])

        async with opend({ids.QOT_GET_TICKER: answer}) as (fake, feed):
            pull = asyncio.create_task(feed.get_ticks("700.HK"))
            await asked.wait()
            fake.writers[0].transport.abort()
            with pytest.raises(ff.ConnectError, match="lost"):
                await pull
            silent = False
            while feed.connected:
                await asyncio.sleep(0)
            assert len(await feed.get_ticks("700.HK")) == 1
            assert feed.stats()["connections"] == 2
        with pytest.raises(ff.ConnectError, match="closed"):
            await feed.get_ticks("700.HK")

    run(main())


def test_a_pull_that_is_cancelled_harms_nobody():
    async def main():
        async def answer(c2s):
            await asyncio.sleep(0.05)
            return ticks_reply(c2s, [1])

        async with opend({ids.QOT_GET_TICKER: answer}) as (_, feed):
            gone = asyncio.create_task(feed.get_ticks("700.HK"))
            await asyncio.sleep(0.01)
            stays = asyncio.create_task(feed.get_ticks("700.HK"))
            gone.cancel()
            assert len(await stays) == 1

    run(main())


# subscriptions


def subscriptions(words="please subscribe first"):
    """Return answers of an OpenD that wants a subscription, and its set of (symbol, type)."""
    held = set()

    def sub(c2s):
        for s in c2s.securityList:
            for sub_type in c2s.subTypeList:
                held.add((canonical(s.market, s.code), sub_type))
        return GOOD

    def get_ticker(c2s):
        if (canonical(c2s.security.market, c2s.security.code), 4) not in held:
            return refuse(words, 3)
        return ticks_reply(c2s, [1])

    return {ids.QOT_SUB: sub, ids.QOT_GET_TICKER: get_ticker}, held


def test_a_pull_of_what_is_not_subscribed_says_so():
    async def main():
        answers, _ = subscriptions("no such cache")  # in whatever words
        async with opend(answers) as (_, feed):
            with pytest.raises(
                ff.SubscriptionError,
                match=r"no such cache \(code 3\); 700\.HK not subscribed to ticks .*subscribe=True",
            ) as raised:
                await feed.get_ticks("700.HK")
            assert raised.value.symbols == ("700.HK",)
            assert (raised.value.code, raised.value.text) == (3, "no such cache")
            await feed.subscribe("700.HK", "ticks")
            assert len(await feed.get_ticks("700.HK")) == 1

    run(main())


def test_another_refusal_of_what_is_subscribed_stays_what_it_is():
    async def main():
        answers, _ = subscriptions()
        answers[ids.QOT_GET_TICKER] = lambda c2s: refuse("the quote server is down")
        async with opend(answers) as (_, feed):
            await feed.subscribe("700.HK", "ticks")
            with pytest.raises(ff.RequestError) as raised:
                await feed.get_ticks("700.HK")
            assert type(raised.value) is ff.RequestError

    run(main())


def test_subscribing_for_a_pull_is_done_once_and_without_pushes():
    async def main():
        answers, _ = subscriptions()
        async with opend(answers, session="ALL") as (fake, feed):
            pulls = [feed.get_ticks("700.HK", subscribe=True) for _ in range(5)]
            assert [len(rows) for rows in await asyncio.gather(*pulls)] == [1] * 5
            await feed.get_ticks("700.HK", subscribe=True)
            (c2s,) = fake.asked(ids.QOT_SUB)
            assert c2s.isSubOrUnSub
            assert not c2s.HasField("isRegOrUnRegPush")
            assert list(c2s.subTypeList) == [4]
            assert c2s.session == 3
            assert feed.subscribed("ticks") == ()

    run(main())


@pytest.mark.parametrize("words", ["please subscribe first", "whatever"])
def test_a_subscription_that_was_lost_is_made_again_once(words):
    async def main():
        answers, held = subscriptions(words)
        async with opend(answers) as (fake, feed):
            await feed.get_ticks("700.HK", subscribe=True)
            held.clear()
            assert len(await feed.get_ticks("700.HK", subscribe=True)) == 1
            assert len(fake.asked(ids.QOT_SUB)) == 2
            answers[ids.QOT_GET_TICKER] = lambda c2s: refuse(words)  # for good
            with pytest.raises(ff.RequestError, match=words):
                await feed.get_ticks("700.HK", subscribe=True)
            assert len(fake.asked(ids.QOT_SUB)) == 3

    run(main())


def test_subscribing_for_a_pull_again_after_a_reconnect():
    async def main():
        answers, held = subscriptions("x")
        async with opend(answers) as (fake, feed):
            await feed.get_ticks("700.HK", subscribe=True)
            held.clear()
            fake.writers[0].transport.abort()
            while feed.connected:
                await asyncio.sleep(0)
            assert len(await feed.get_ticks("700.HK", subscribe=True)) == 1
            assert len(fake.asked(ids.QOT_SUB)) == 2

    run(main())


def test_what_a_stream_has_subscribed_is_there_as_soon_as_the_feed_is_back():
    async def main():
        answers, held = subscriptions("please subscribe first")
        grant = answers[ids.QOT_SUB]

        async def late(c2s):
            await asyncio.sleep(0.05)
            return grant(c2s)

        async with opend(answers) as (fake, feed):
            await feed.subscribe("700.HK", "ticks")
            held.clear()
            answers[ids.QOT_SUB] = late
            fake.writers[0].transport.abort()
            while feed.connected:
                await asyncio.sleep(0)
            assert len(await feed.get_ticks("700.HK")) == 1

    run(main())


def test_what_a_stream_has_subscribed_is_not_subscribed_again():
    async def main():
        answers, _ = subscriptions()
        async with opend(answers) as (fake, feed):
            await feed.subscribe("700.HK", "ticks")
            await feed.get_ticks("700.HK", subscribe=True)
            assert len(fake.asked(ids.QOT_SUB)) == 1

    run(main())


def test_a_refused_subscription_for_a_pull():
    async def main():
        answers, _ = subscriptions()
        answers[ids.QOT_SUB] = lambda c2s: refuse("no quota left", 9)
        async with opend(answers) as (fake, feed):
            with pytest.raises(ff.SubscriptionError, match="no quota left") as raised:
                await feed.get_ticks("700.HK", subscribe=True)
            assert raised.value.symbols == ("700.HK",)
            assert raised.value.code == 9
            assert not fake.asked(ids.QOT_GET_TICKER)

    run(main())


def test_each_pull_subscribes_to_its_own_kind():
    async def main():
        answers = dict.fromkeys(ids.NAMES, lambda c2s: refuse("no"))
        answers[ids.QOT_SUB] = lambda c2s: GOOD
        async with opend(answers) as (fake, feed):
            s = "700.HK"
            for pull, sub_type in (
                (feed.get_quotes(s, subscribe=True), 1),
                (feed.get_book(s, subscribe=True), 2),
                (feed.get_ticks(s, subscribe=True), 4),
                (feed.get_timeshare(s, subscribe=True), 5),
                (feed.get_bars(s, "1m", subscribe=True), 11),
                (feed.get_bars(s, "1M", subscribe=True), 13),
                (feed.get_brokers(s, subscribe=True), 14),
                (feed.get_book(s, odd_lots=True, subscribe=True), 22),
            ):
                with pytest.raises(ff.RequestError):
                    await pull
                assert list(fake.asked(ids.QOT_SUB)[-1].subTypeList) == [sub_type]
            assert len(fake.asked(ids.QOT_SUB)) == 8

    run(main())


# history


def history(bars, size=None):
    """Return an answer with so many bars; the keys of pages are where they begin."""

    def answer(c2s):
        begin = int(c2s.nextReqKey or b"0")
        end = min(begin + (size or c2s.maxAckKLNum), bars)
        more = {"nextReqKey": b"%d" % end} if end < bars else {}
        return reply(
            ids.QOT_REQUEST_HISTORY_KL,
            security=c2s.security,
            klList=[kline(i) for i in range(begin, end)],
            **more,
        )

    return {ids.QOT_REQUEST_HISTORY_KL: answer}


def test_history_awaited_is_one_array():
    async def main():
        async with opend(history(2500)) as (fake, feed):
            bars = feed.get_history_bars(
                "AAPL.US", "1m", "2023-11-01", datetime.date(2023, 11, 30), session="ETH"
            )
            assert fake.requests == []  # not before it is awaited
            rows = await bars
            assert rows.dtype == ff.dtype("bars")
            assert rows["close"].tolist() == [i + 0.5 for i in range(2500)]
            assert rows["time_ns"][0] == (T0 - 60) * 10**9
            rows["close"] = 0
            asked = fake.asked(ids.QOT_REQUEST_HISTORY_KL)
            assert [c.nextReqKey for c in asked] == [b"", b"1000", b"2000"]
            for c2s in asked:
                assert (c2s.beginTime, c2s.endTime) == ("2023-11-01", "2023-11-30")
                assert (c2s.klType, c2s.rehabType, c2s.session) == (1, 1, 2)
                assert c2s.maxAckKLNum == 1000
                assert not c2s.HasField("needKLFieldsFlag")
            assert len(await bars) == 2500  # again, anew
            assert len(fake.requests) == 6

    run(main())


def test_history_page_by_page():
    async def main():
        async with opend(history(25)) as (fake, feed):
            pages = []
            async for rows in feed.get_history_bars("700.HK", page_size=10, fields=["open", "pe"]):
                pages.append(len(rows))
                assert len(fake.requests) == len(pages)  # nothing ahead
            assert pages == [10, 10, 5]
            c2s = fake.asked(ids.QOT_REQUEST_HISTORY_KL)[0]
            assert c2s.needKLFieldsFlag == 2 + 256
            span = datetime.date.fromisoformat(c2s.endTime) - datetime.date.fromisoformat(
                c2s.beginTime
            )
            assert span.days == 365

    run(main())


@pytest.mark.parametrize(
    ("limit", "pages"), [(5, [5]), (10, [10]), (12, [10, 2]), (99, [10, 10, 5])]
)
def test_history_up_to_a_limit(limit, pages):
    async def main():
        async with opend(history(25)) as (fake, feed):
            bars = feed.get_history_bars("700.HK", page_size=10, limit=limit)
            assert [len(rows) async for rows in bars] == pages
            assert len(fake.requests) == len(pages)
            assert len(await bars) == sum(pages)
            assert fake.asked(ids.QOT_REQUEST_HISTORY_KL)[0].maxAckKLNum == min(10, limit)

    run(main())


def test_history_without_bars_is_empty():
    async def main():
        async with opend(history(0)) as (_, feed):
            rows = await feed.get_history_bars("700.HK")
            assert rows.shape == (0,)
            assert rows.dtype == ff.dtype("bars")
            assert [page async for page in feed.get_history_bars("700.HK")] == []

    run(main())


def test_history_without_end_is_bounded(monkeypatch):
    monkeypatch.setattr("fastfeed.feeds.history._MOST_BARS", 2000)

    async def main():
        async with opend(history(10**9)) as (fake, feed):
            with pytest.raises(ValueError, match="2,000 bars"):
                await feed.get_history_bars("700.HK", "1m")
            assert len(fake.requests) == 3

    run(main())


@pytest.mark.parametrize("keys", [[b"same"] * 99, [b"%d" % i for i in range(99)]])
def test_history_that_goes_in_circles(keys):
    async def main():
        left = list(keys)

        def answer(c2s):
            return reply(
                ids.QOT_REQUEST_HISTORY_KL, security=c2s.security, klList=[], nextReqKey=left.pop(0)
            )

        async with opend({ids.QOT_REQUEST_HISTORY_KL: answer}) as (fake, feed):
            with pytest.raises(ff.RemoteProtocolError, match="no end"):
                await feed.get_history_bars("700.HK", "1m")
            assert len(fake.requests) <= 11

    run(main())


def test_only_first_pages_count_against_the_limit():
    async def main():
        async with opend(history(100), rate_limit_wait_s=0) as (fake, feed):
            for _ in range(60):
                assert len(await feed.get_history_bars("700.HK", page_size=50)) == 100
            assert len(fake.requests) == 120
            with pytest.raises(ff.RateLimitError):
                await feed.get_history_bars("700.HK")
            assert len(fake.requests) == 120

    run(main())


def test_history_of_another_security_is_refused():
    async def main():
        other = {"security": at("1.HK"), "klList": [kline(1)]}
        answers = {
            ids.QOT_REQUEST_HISTORY_KL: lambda c2s: reply(ids.QOT_REQUEST_HISTORY_KL, **other)
        }
        async with opend(answers) as (_, feed):
            with pytest.raises(ff.RemoteProtocolError, match=r"about 1\.HK"):
                await feed.get_history_bars("700.HK")

    run(main())


# limits


def test_limits_make_pulls_wait_in_order_and_outlive_the_connection():
    async def main():
        now = 0.0
        slept = []

        async def sleep(seconds):
            nonlocal now
            slept.append(seconds)
            await asyncio.sleep(0)
            now += seconds

        answers = {ids.QOT_GET_USER_SECURITY: lambda c2s: GOOD}
        async with opend(answers, rate_limit_wait_s=35) as (fake, feed):
            feed._limits[ids.QOT_GET_USER_SECURITY] = RateLimit(
                10, 30.25, clock=lambda: now, sleep=sleep
            )
            for i in range(10):
                await feed.get_watchlist(str(i))
            assert slept == []
            fake.writers[0].transport.abort()
            while feed.connected:
                await asyncio.sleep(0)
            await feed.get_watchlist("10")
            assert slept == [30.25]
            groups = [c2s.groupName for c2s in fake.asked(ids.QOT_GET_USER_SECURITY)]
            assert groups == [str(i) for i in range(11)]

    run(main())


def test_a_wait_that_is_too_long_is_an_error_at_once():
    async def main():
        answers = {
            ids.QOT_GET_PLATE_SET: lambda c2s: GOOD,
            ids.QOT_GET_USER_SECURITY_GROUP: lambda c2s: GOOD,
        }
        async with opend(answers, rate_limit_wait_s=5) as (fake, feed):
            for _ in range(10):
                await feed.get_plates("HK")
            with pytest.raises(ff.RateLimitError, match=r"3204.*at most 5 s"):
                await feed.get_plates("HK")
            assert len(fake.requests) == 10
            await feed.get_watchlists()  # a limit of its own

    run(main())


def test_every_documented_limit_is_kept():
    async def main():
        async with opend({}) as (_, feed):
            limits = {number: limit._calls for number, limit in feed._limits.items()}
            assert limits == {
                **{3203: 60, 3103: 60, 3105: 60, 3219: 30, 3218: 30, 3223: 10, 3204: 10},
                **{3205: 10, 3213: 10, 3214: 10, 3222: 10, 3209: 10},
            }
            assert all(limit._window_s > 30 for limit in feed._limits.values())

    run(main())


@pytest.mark.parametrize("text", ["Request frequency is too high", "获取数据频率太高"])
def test_opends_own_complaint_is_a_rate_limit_error(text):
    async def main():
        answers = {
            ids.QOT_GET_SECURITY_SNAPSHOT: lambda c2s: refuse(text, 5),
            ids.QOT_GET_TICKER: lambda c2s: refuse(text, 5),
        }
        async with opend(answers) as (_, feed):
            for pull in (feed.get_snapshots("700.HK"), feed.get_ticks("700.HK")):
                with pytest.raises(ff.RateLimitError) as raised:
                    await pull
                assert (raised.value.code, raised.value.text) == (5, text)

    run(main())


# static data


def static(symbol, **more):
    basic = {
        **{"security": at(symbol), "id": 1, "lotSize": 100, "secType": 3, "name": "N"},
        **{"listTime": "2004-06-16", "exchType": 77},
    }
    return {"basic": basic, **more}


def test_snapshots_are_split_and_come_in_order():
    async def main():
        def answer(c2s):
            found = []
            for s in reversed(c2s.securityList):
                message = message_class("QotGetSecuritySnapshot.Snapshot")()
                for field in message.basic.DESCRIPTOR.fields:
                    if field.is_required and field.message_type is None:
                        setattr(message.basic, field.name, field.default_value)
                message.basic.security.CopyFrom(s)
                found.append(message)
            return reply(ids.QOT_GET_SECURITY_SNAPSHOT, snapshotList=found[1:])  # one lacks

        async with opend({ids.QOT_GET_SECURITY_SNAPSHOT: answer}) as (fake, feed):
            symbols = [f"{i}.HK" for i in range(1, 1002)]
            found = await feed.get_snapshots([*symbols, "HK.00005"])
            assert all(isinstance(s, ff.Snapshot) for s in found)
            missing = {symbols[399], symbols[799], symbols[1000]}
            assert [s.symbol for s in found] == [s for s in symbols if s not in missing]
            sizes = [len(c.securityList) for c in fake.asked(ids.QOT_GET_SECURITY_SNAPSHOT)]
            assert sorted(sizes) == [201, 400, 400]
            assert await feed.get_snapshots([]) == []

    run(main())


def test_the_first_error_of_a_split_pull_ends_it():
    async def main():
        def answer(c2s):
            return refuse("unknown stock") if len(c2s.securityList) == 1 else asyncio.sleep(30)

        async with opend({ids.QOT_GET_SECURITY_SNAPSHOT: answer}) as (_, feed):
            with pytest.raises(ff.RequestError, match="unknown stock"):
                await feed.get_snapshots([f"{i}.HK" for i in range(1, 402)])

    run(main())


def test_static_info_of_symbols_and_of_a_market():
    async def main():
        def answer(c2s):
            symbols = [canonical(s.market, s.code) for s in c2s.securityList]
            if not symbols:
                symbols = [f"{i}.HK" for i in range(1, 3001)]
            return reply(ids.QOT_GET_STATIC_INFO, staticInfoList=[static(s) for s in symbols[::-1]])

        async with opend({ids.QOT_GET_STATIC_INFO: answer}) as (fake, feed):
            found = await feed.get_static_info(["700.HK", "AAPL.US"])
            assert found[0] == records.StaticInfo(
                "700.HK", "N", "STOCK", 100, "2004-06-16", None, "77", 1, None, None, None
            )
            assert found[1].symbol == "AAPL.US"
            assert len(await feed.get_static_info(market="HK", kind="etf")) == 3000
            c2s = fake.asked(ids.QOT_GET_STATIC_INFO)[-1]
            assert (c2s.market, c2s.secType) == (1, 4)
            for wrong in ({}, {"symbols": "700.HK", "market": "HK"}, {"market": "XX"}):
                with pytest.raises(ValueError):
                    await feed.get_static_info(**wrong)
            with pytest.raises(ValueError, match="a kind"):
                await feed.get_static_info(market="HK", kind="horse")

    run(main())


def test_a_long_list_does_not_hold_the_loop():
    async def main():
        everything = reply(
            ids.QOT_GET_STATIC_INFO, staticInfoList=[static(f"{i}.HK") for i in range(1, 5001)]
        )
        async with opend({ids.QOT_GET_STATIC_INFO: lambda c2s: everything}) as (_, feed):
            feed._request = lambda proto_id, message: asyncio.sleep(0, everything)
            turns = 0

            async def count():
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            task = asyncio.create_task(count())
            found = await feed.get_static_info(market="HK")
            task.cancel()
            assert len(found) == 5000
            assert turns >= 5000 / opend_pulls._SLICE - 1

    run(main())


def test_option_chains_in_spans_of_thirty_days():
    async def main():
        def answer(c2s):
            chain = {"strikeTime": c2s.beginTime, "option": [{"call": static("X.US")}]}
            return reply(ids.QOT_GET_OPTION_CHAIN, optionChain=[chain])

        async with opend({ids.QOT_GET_OPTION_CHAIN: answer}) as (fake, feed):
            found = await feed.get_option_chain(
                "AAPL.US",
                "2026-01-01",
                "2026-03-15",
                kind="call",
                moneyness="out",
                filters={"delta_min": 0.25, "open_interest_max": 9},
            )
            spans = sorted((c.beginTime, c.endTime) for c in fake.asked(ids.QOT_GET_OPTION_CHAIN))
            assert spans == [
                ("2026-01-01", "2026-01-30"),
                ("2026-01-31", "2026-03-01"),
                ("2026-03-02", "2026-03-15"),
            ]
            assert [chain.expiry for chain in found] == [begin for begin, _ in spans]
            assert found[0].options[0].call.symbol == "X.US"
            assert found[0].options[0].put is None
            c2s = fake.asked(ids.QOT_GET_OPTION_CHAIN)[0]
            assert (c2s.owner.market, c2s.owner.code, c2s.type, c2s.condition) == (11, "AAPL", 1, 2)
            assert (c2s.dataFilter.deltaMin, c2s.dataFilter.openInterestMax) == (0.25, 9)
            assert not c2s.dataFilter.HasField("deltaMax")
            await feed.get_option_chain("AAPL.US", "2026-01-01", "2026-01-01")
            c2s = fake.asked(ids.QOT_GET_OPTION_CHAIN)[-1]
            assert not c2s.HasField("type")
            assert not c2s.HasField("dataFilter")
            for wrong in (
                {"end": "2025-12-31"},
                {"kind": "both"},
                {"filters": {"delta": 1}},
                {"index_option_type": "x"},
            ):
                with pytest.raises(ValueError):
                    await feed.get_option_chain(
                        "AAPL.US", **{"start": "2026-01-01", "end": "2026-01-02"} | wrong
                    )

    run(main())


def test_futures_and_market_states_are_split():
    async def main():
        def futures(c2s):
            found = [
                {
                    **{"name": "n", "security": s, "lastTradeTime": "", "ownerOther": ""},
                    **{"exchange": "", "contractType": "", "contractSize": 1},
                    **{"contractSizeUnit": "", "quoteCurrency": "", "minVar": 1},
                    **{"minVarUnit": "", "timeZone": "", "exchangeFormatUrl": ""},
                    **{"tradeTime": [{"begin": 555, "end": 720}]},
                }
                for s in c2s.securityList
            ]
            return reply(ids.QOT_GET_FUTURE_INFO, futureInfoList=found)

        def states(c2s):
            found = [{"security": s, "name": "n", "marketState": 3} for s in c2s.securityList]
            return reply(ids.QOT_GET_MARKET_STATE, marketInfoList=found)

        answers = {ids.QOT_GET_FUTURE_INFO: futures, ids.QOT_GET_MARKET_STATE: states}
        async with opend(answers) as (fake, feed):
            symbols = [f"HSI{i}.HK" for i in range(450)]
            found = await feed.get_futures(symbols)
            assert [f.symbol for f in found] == symbols
            assert found[0].trading_hours == (records.TradingHours(555.0, 720.0),)
            assert len(fake.asked(ids.QOT_GET_FUTURE_INFO)) == 3
            found = await feed.get_market_states(symbols)
            assert [(f.symbol, f.state) for f in found] == [(s, "MORNING") for s in symbols]
            assert len(fake.asked(ids.QOT_GET_MARKET_STATE)) == 2

    run(main())


def test_plates_rehab_and_trading_days():
    async def main():
        def days(c2s):
            return reply(
                ids.QOT_REQUEST_TRADE_DATE,
                tradeDateList=[{"time": c2s.beginTime, "tradeDateType": 1}, {"time": c2s.endTime}],
            )

        rehab = {
            **{"time": "2025-05-16", "companyActFlag": 64 | 1024, "fwdFactorA": 1},
            **{"fwdFactorB": -4.5, "bwdFactorA": 1, "bwdFactorB": 4.5, "dividend": 4.5},
        }
        plate = {"plate": at("BK1001.HK"), "name": "banks"}
        answers = {
            ids.QOT_REQUEST_TRADE_DATE: days,
            ids.QOT_REQUEST_REHAB: lambda c2s: reply(ids.QOT_REQUEST_REHAB, rehabList=[rehab]),
            ids.QOT_GET_PLATE_SET: lambda c2s: reply(ids.QOT_GET_PLATE_SET, plateInfoList=[plate]),
            ids.QOT_GET_PLATE_SECURITY: lambda c2s: reply(
                ids.QOT_GET_PLATE_SECURITY, staticInfoList=[static("700.HK")]
            ),
        }
        async with opend(answers) as (fake, feed):
            found = await feed.get_trading_days("US", "2026-01-01", "2026-01-31")
            assert found == [
                records.TradingDay("2026-01-01", "MORNING"),
                records.TradingDay("2026-01-31", None),
            ]
            await feed.get_trading_days(None, symbol="700.HK")
            first, second = fake.asked(ids.QOT_REQUEST_TRADE_DATE)
            assert (first.market, first.HasField("security")) == (2, False)
            assert second.security.code == "00700"
            with pytest.raises(ValueError, match="a market or a symbol"):
                await feed.get_trading_days(None)
            (act,) = await feed.get_rehab("700.HK")
            assert (act.date, act.dividend, act.split_base) == ("2025-05-16", 4.5, None)
            assert act.acts == 64 | 1024
            assert await feed.get_plates("HK", "industry") == [
                records.Plate("BK1001.HK", "banks", None)
            ]
            (member,) = await feed.get_plate_symbols("BK1001.HK")
            assert member.symbol == "700.HK"
            assert fake.asked(ids.QOT_GET_PLATE_SECURITY)[0].plate.code == "BK1001"

    run(main())


def test_watchlists():
    async def main():
        groups = [{"groupName": "All", "groupType": 2}, {"groupName": "我的", "groupType": 9}]
        answers = {
            ids.QOT_GET_USER_SECURITY_GROUP: lambda c2s: reply(
                ids.QOT_GET_USER_SECURITY_GROUP, groupList=groups
            ),
            ids.QOT_GET_USER_SECURITY: lambda c2s: reply(
                ids.QOT_GET_USER_SECURITY, staticInfoList=[static("700.HK"), static("AAPL.US")]
            ),
            ids.QOT_MODIFY_USER_SECURITY: lambda c2s: GOOD,
        }
        async with opend(answers) as (fake, feed):
            assert await feed.get_watchlists("custom") == [
                records.WatchlistGroup("All", "SYSTEM"),
                records.WatchlistGroup("我的", "9"),
            ]
            assert fake.asked(ids.QOT_GET_USER_SECURITY_GROUP)[0].groupType == 1
            assert [s.symbol for s in await feed.get_watchlist("我的")] == ["700.HK", "AAPL.US"]
            assert await feed.change_watchlist("我的", "move_out", ["700.HK", "HK.00700"]) is None
            (c2s,) = fake.asked(ids.QOT_MODIFY_USER_SECURITY)
            assert (c2s.groupName, c2s.op, len(c2s.securityList)) == ("我的", 3, 1)
            await feed.change_watchlist("我的", "add", [])
            assert len(fake.asked(ids.QOT_MODIFY_USER_SECURITY)) == 1
            with pytest.raises(ValueError, match="op"):
                await feed.change_watchlist("我的", "burn", "700.HK")
            with pytest.raises(ValueError, match="watchlist"):
                await feed.get_watchlist("")

    run(main())


# the account and the gateway


def test_the_account_and_the_gateway():
    async def main():
        state = {
            **{"marketHK": 3, "marketUS": 37, "marketSH": 99, "marketSZ": 27, "time": T0},
            **{"marketHKFuture": 15, "qotLogined": True, "trdLogined": False, "connID": 7},
            **{"serverVer": 1011, "serverBuildNo": 7108, "localTime": T0 + 0.25},
        }
        subs = {
            "connSubInfoList": [
                {
                    **{"usedQuota": 3, "isOwnConnData": True},
                    "subInfoList": [
                        {"subType": 4, "securityList": [at("700.HK"), at("AAPL.US")]},
                        {"subType": 11, "securityList": [at("700.HK")]},
                        {"subType": 99, "securityList": []},
                    ],
                }
            ],
            **{"totalUsedQuota": 3, "remainQuota": 97},
        }
        quota = {
            **{"usedQuota": 1, "remainQuota": 99},
            "detailList": [{"security": at("700.HK"), "requestTime": "t", "requestTimeStamp": T0}],
        }
        delays = {
            "qotPushStatisticsList": [
                {
                    **{"qotPushType": 2, "delayAvg": 1.5, "count": 4},
                    "itemList": [
                        {
                            **{"begin": 0, "end": 10, "count": 4, "proportion": 100},
                            **{"cumulativeRatio": 100},
                        }
                    ],
                }
            ]
        }
        answers = {
            ids.GET_GLOBAL_STATE: lambda c2s: reply(ids.GET_GLOBAL_STATE, **state),
            ids.GET_USER_INFO: lambda c2s: reply(
                ids.GET_USER_INFO, nickName="n", hkQotRight=3, webKey="secret"
            ),
            ids.QOT_GET_SUB_INFO: lambda c2s: reply(ids.QOT_GET_SUB_INFO, **subs),
            ids.QOT_REQUEST_HISTORY_KL_QUOTA: lambda c2s: reply(
                ids.QOT_REQUEST_HISTORY_KL_QUOTA, **quota
            ),
            ids.GET_DELAY_STATISTICS: lambda c2s: reply(ids.GET_DELAY_STATISTICS, **delays),
        }
        async with opend(answers) as (fake, feed):
            found = await feed.get_global_state()
            assert (found.market_hk, found.market_us, found.market_sh) == (
                *("MORNING", "OVERNIGHT"),
                "99",
            )
            assert found.market_sz == "ASHARE_AFTER_HOURS_WAIT"
            assert (found.server_time_ns, found.local_time_ns) == (
                T0 * 10**9,
                T0 * 10**9 + 250_000_000,
            )
            assert found.quotes_logged_in
            assert found.program_status is None
            user = await feed.get_user_info()
            assert (user.nick_name, user.hk_right, user.us_right) == ("n", "LV2", None)
            assert "secret" not in repr(user)
            subscribed = await feed.get_subscriptions(all_connections=True)
            assert fake.asked(ids.QOT_GET_SUB_INFO)[0].isReqAllConn
            assert subscribed.remaining_quota == 97
            assert subscribed.connections[0].own
            assert [(s.kind, s.symbols) for s in subscribed.connections[0].subscribed] == [
                ("ticks", ("700.HK", "AAPL.US")),
                ("bars:1m", ("700.HK",)),
                ("99", ()),
            ]
            used = await feed.get_history_quota(details=True)
            assert used.details == (records.HistoryQuotaUse("700.HK", None, "t", T0 * 10**9),)
            statistics = await feed.get_delay_statistics(["push"], segments_ms=[1, 5])
            assert statistics.pushes[0].kind == "TICKER"
            assert statistics.pushes[0].counts[0].end_ms == 10
            (c2s,) = fake.asked(ids.GET_DELAY_STATISTICS)
            assert (list(c2s.typeList), c2s.qotPushStage) == ([1], 5)
            assert list(c2s.segmentList) == [1, 5]

    run(main())


# wrong arguments


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("get_ticks", ("700.HK", 0), ValueError),
        ("get_ticks", ("700.HK", 1001), ValueError),
        ("get_ticks", ("700.HK", 1.5), TypeError),
        ("get_ticks", ("nonsense",), ValueError),
        ("get_quotes", (b"700.HK",), TypeError),
        ("get_bars", ("700.HK", "7m"), ValueError),
        ("get_bars", ("700.HK", "1m", 2000), ValueError),
        ("get_book", ("700.HK", 0), ValueError),
        ("get_book", ("700.HK", 1001), ValueError),
        ("get_history_bars", ("700.HK", "1d", "2026-02-30"), ValueError),
        ("get_history_bars", ("700.HK", "1d", "20260101"), ValueError),
        ("get_history_bars", ("700.HK", "1d", 2026), TypeError),
        ("get_history_bars", ("700.HK", "1d", datetime.datetime(2026, 1, 1)), TypeError),
        ("get_history_bars", ("700.HK", "1d", "2026-02-01", "2026-01-01"), ValueError),
        ("get_history_bars", ("700.HK", "1d", None, "0001-02-03"), ValueError),
        ("get_option_chain", ("700.HK", "9999-12-01", datetime.date.max), ValueError),
        ("get_plates", ("XX",), ValueError),
        ("get_trading_days", ("XX",), ValueError),
        ("get_delay_statistics", (["all"],), ValueError),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_asked(name, arguments, error):
    async def main():
        async with opend({}) as (fake, feed):
            with pytest.raises(error):
                await getattr(feed, name)(*arguments)
            assert fake.requests == []

    run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"adjust": "sideways"},
        {"session": "NIGHT"},
        {"fields": ["colour"]},
        {"page_size": 1001},
        {"limit": 0},
    ],
)
def test_wrong_options_of_history(options):
    feed = ff.OpenD()
    with pytest.raises(ValueError):
        feed.get_history_bars("700.HK", **options)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_wrong_bounds_on_waiting(seconds):
    with pytest.raises(ValueError, match="rate_limit_wait_s"):
        ff.OpenD(rate_limit_wait_s=seconds)
