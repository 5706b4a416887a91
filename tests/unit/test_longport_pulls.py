"""LongPort's pulls, through a gateway that says what a test tells it: the connection below them is left out."""

import asyncio
import contextlib
import datetime
import inspect
import math
import re
import time
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from clocks import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeed as ff
from fastfeed.feeds import longport_records as records
from fastfeed.feeds.longport_pulls import LongportPulls
from fastfeed.protocols.longport_codes import INTERVALS, code
from fastfeed.protocols.longport_messages import MESSAGES, Command, message_class
from fastfeed.schema import Session

T0 = 1750000000


class Feed(LongportPulls):
    """`answers`: by command a function (request) -> fields of the response, bytes, or an exception; also async."""

    kinds = ("ticks",)

    def __init__(self, answers=None, *, wait_s=60.0, clock=None):
        super().__init__("longport://test", hub=None, wait_s=0, up_timeout_s=0.05, backoff=None)
        self.answers = answers or {}
        self.asked = []  # (command, request)
        time_of = {} if clock is None else {"clock": clock, "sleep": clock.sleep}
        self._prepare_pulls(wait_s, **time_of)
        self._opened = True
        self._up.set()

    def requests(self, command):
        return [request for number, request in self.asked if number == command]

    async def _exchange(self, command, body):
        messages = MESSAGES[command]
        request = message_class(messages.request).FromString(body) if messages.request else body
        self.asked.append((command, request))
        answer = self.answers[command](request)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, bytes):
            return answer
        return message_class(messages.response)(**answer).SerializeToString()

    def _canonical(self, symbol):
        return code(symbol)

    async def _connect(self):
        raise AssertionError

    def _forget(self, link, why):
        raise AssertionError

    async def _subscribe(self, symbols, kinds):
        raise AssertionError

    async def _unsubscribe(self, symbols, kinds):
        raise AssertionError

    def _measure(self, meter):
        raise AssertionError

    def _machine_stats(self):
        return {}


def run(main):
    return asyncio.run(asyncio.wait_for(main, 30))


def answers(**by_command):
    """Return answers by the names of commands; what is no function is the answer itself."""
    return {
        Command[name]: (answer if callable(answer) else lambda request, answer=answer: answer)
        for name, answer in by_command.items()
    }


def pull(method, *args, answers, **options):
    """Return what a pull returns, and the feed."""
    feed = Feed(answers)

    async def main():
        return await getattr(feed, method)(*args, **options)

    return run(main()), feed


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


# market data


def trade(i, seconds=None, **fields):
    at = T0 + i if seconds is None else seconds
    return {"price": f"{10 + i}.250", "volume": 100 + i, "timestamp": at} | fields


def test_ticks_are_the_callers_own_rows_oldest_first():
    before = time.time_ns()
    rows, feed = pull(
        "get_ticks", "HK.00700", 3,
        answers=answers(TRADES={
            "symbol": "700.HK",
            "trades": [
                trade(0, direction=2, trade_type="U"), trade(1, direction=1), trade(2, trade_session=1),
            ],
        }),
    )  # fmt: skip
    (request,) = feed.requests(Command.TRADES)
    assert (request.symbol, request.count) == ("700.HK", 3)
    assert rows.dtype == ff.dtype("ticks")
    assert rows["price"].tolist() == [10.25, 11.25, 12.25]
    assert rows["volume"].tolist() == [100, 101, 102]
    assert rows["time_ns"].tolist() == [(T0 + i) * 10**9 for i in range(3)]
    assert rows["side"].tolist() == [1, -1, 0]
    assert rows["kind"].tolist() == [ord("U"), 0, 0]
    assert rows["session"].tolist() == [Session.REGULAR, Session.REGULAR, Session.PRE]
    assert np.all(rows["recv_ns"] >= before)
    assert [feed.symbols[i] for i in rows["symbol"]] == ["700.HK"] * 3
    rows["price"] = 0  # writable
    assert feed.ticks.count == 0  # and not in the stream


@pytest.mark.parametrize(
    ("seconds", "prices"),
    [
        ([1, 1, 2], [10, 11, 12]),
        ([2, 1, 1], [12, 11, 10]),  # newest first, also within a second
        ([3, 1, 2, 3], [11, 12, 10, 13]),
        ([5, 5], [10, 11]),
        ([], []),
    ],
)
def test_ticks_in_another_order_are_sorted(seconds, prices):
    trades = [trade(i, T0 + second) for i, second in enumerate(seconds)]
    found = {"symbol": "700.HK", "trades": trades}
    rows, _ = pull("get_ticks", "700.HK", answers=answers(TRADES=found))
    assert rows["price"].tolist() == [price + 0.25 for price in prices]


def test_of_more_ticks_than_asked_for_the_latest_are_kept():
    found = {"symbol": "700.HK", "trades": [trade(i) for i in range(9)]}
    rows, _ = pull("get_ticks", "700.HK", 2, answers=answers(TRADES=found))
    assert rows["price"].tolist() == [17.25, 18.25]


def quote(symbol, **fields):
    return {"symbol": symbol, "last_done": f"{len(symbol)}.5", "timestamp": T0} | fields


def test_quotes_have_a_row_for_each_session_of_a_symbol():
    pre = {"last_done": "1.1", "timestamp": T0 - 9, "volume": 5, "prev_close": "1"}
    late = {"last_done": "1.3", "timestamp": T0 - 8}
    found = [
        quote("700.HK", prev_close="4", open="3", high="9", low="2", volume=7, turnover="8.125",
              trade_status=1),
        quote("AAPL.US", pre_market_quote=pre, over_night_quote=late),
    ]  # fmt: skip
    found.append({"symbol": "Y.US", "prev_close": "1"})  # without a price
    rows, feed = pull(
        "get_quotes", ["AAPL.US", "00700.HK", "X.US", "Y.US"],
        answers=answers(QUOTES={"secu_quote": found}),
    )  # fmt: skip
    (request,) = feed.requests(Command.QUOTES)
    assert list(request.symbol) == ["AAPL.US", "700.HK", "X.US", "Y.US"]
    assert rows.dtype == ff.dtype("quotes")
    assert [feed.symbols[i] for i in rows["symbol"]] == ["AAPL.US"] * 3 + ["700.HK"]
    sessions = [Session.REGULAR, Session.PRE, Session.OVERNIGHT, Session.REGULAR]
    assert rows["session"].tolist() == sessions
    assert rows["last"].tolist() == [7.5, 1.1, 1.3, 6.5]
    assert rows["time_ns"].tolist() == [(T0 + i) * 10**9 for i in (0, -9, -8, 0)]
    last = rows[3]
    fields = ("prev_close", "open", "high", "low", "volume", "turnover", "status", "suspended")
    assert last[list(fields)].tolist() == (4, 3, 9, 2, 7, 8.125, 1, 1)
    assert math.isnan(last["strike_price"])


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (500, [500]), (501, [1, 500]), (1500, [500, 500, 500])]
)
@pytest.mark.parametrize("method", ["get_quotes", "get_static_info", "get_option_quotes"])
def test_many_symbols_make_several_requests_and_stay_in_order(method, count, sizes):
    async def answer(request):
        await asyncio.sleep(0.002 * (request.symbol[0] == "1.HK"))  # the first comes last
        price = {"last_done": "1"} if items == "secu_quote" else {}
        return {items: [{"symbol": symbol} | price for symbol in reversed(request.symbol)]}

    command, items = {
        "get_quotes": ("QUOTES", "secu_quote"),
        "get_static_info": ("STATIC_INFO", "secu_static_info"),
        "get_option_quotes": ("OPTION_QUOTES", "secu_quote"),
    }[method]
    symbols = [f"{i}.HK" for i in range(1, count + 1)]
    found, feed = pull(method, symbols, answers=answers(**{command: answer}))
    if method == "get_static_info":
        names = [one.symbol for one in found]
    else:
        rows = found if method == "get_quotes" else found.rows
        names = [feed.symbols[i] for i in rows["symbol"]]
    assert names == symbols
    assert sorted(len(request.symbol) for request in feed.requests(Command[command])) == sizes


def test_a_book_is_one_record_of_the_depth_that_was_asked_for():
    levels = [{"position": i, "price": f"{i}.5", "volume": i, "order_num": 2} for i in range(1, 11)]
    found = {"symbol": "700.HK", "ask": levels, "bid": levels[:3]}
    book, feed = pull("get_book", "700.HK", 5, answers=answers(DEPTH=found))
    assert isinstance(book, np.void)
    assert book.dtype == ff.dtype("books", 5)
    assert (book["bids"], book["asks"]) == (3, 5)
    assert book["ask_price"].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5]
    assert book["bid_volume"][:3].tolist() == [1, 2, 3]
    assert feed.requests(Command.DEPTH)[0].symbol == "700.HK"
    book["bid_price"] = 0  # writable


def test_brokers():
    found = {
        "symbol": "700.HK",
        "ask_brokers": [{"position": 1, "broker_ids": [7358, 9057]}, {"position": 2}],
        "bid_brokers": [{"position": 3, "broker_ids": [1]}],
    }
    row, _ = pull("get_brokers", "700.HK", answers=answers(BROKERS=found))
    assert row.dtype == ff.dtype("brokers")
    assert row["ask_broker"][: row["asks"]].tolist() == [7358, 9057]
    assert row["bid_level"][: row["bids"]].tolist() == [3]


@pytest.mark.parametrize("found", [b"", {"symbol": "700.HK"}])
def test_there_may_be_nothing(found):
    fake = answers(DEPTH=found, BROKERS=found, TRADES=found, CANDLESTICKS=found)
    for method in ("get_book", "get_brokers"):
        row, feed = pull(method, "00700.HK", answers=fake)
        assert (row["bids"], row["asks"], feed.symbols[row["symbol"]]) == (0, 0, "700.HK")
    for method in ("get_ticks", "get_bars"):
        assert len(pull(method, "700.HK", answers=fake)[0]) == 0


@pytest.mark.parametrize(("session", "number"), [("regular", 0), ("all", 100)])
def test_timeshare(session, number):
    lines = [
        {"price": "329.4", "timestamp": T0 + 60 * i, "volume": i, "turnover": "2.5",
         "avg_price": "329.767470"}
        for i in range(3)
    ]  # fmt: skip
    rows, feed = pull(
        "get_timeshare", "700.HK", session=session,
        answers=answers(INTRADAY={"symbol": "700.HK", "lines": lines}),
    )  # fmt: skip
    assert feed.requests(Command.INTRADAY)[0].trade_session == number
    assert rows.dtype == ff.dtype("timeshare")
    assert rows["avg_price"].tolist() == [329.76747] * 3
    assert rows["time_ns"].tolist() == [(T0 + 60 * i) * 10**9 for i in range(3)]


def candle(seconds, i=0):
    return {
        **{"open": f"{i}.1", "high": f"{i}.9", "low": f"{i}.05", "close": f"{i}.2"},
        **{"volume": 5 + i, "turnover": "6.000", "timestamp": seconds},
    }


@pytest.mark.parametrize("name", INTERVALS)
def test_bars(name):
    interval = INTERVALS[name]
    candles = [candle(T0 + i * interval.seconds, i) for i in range(4)]
    rows, feed = pull(
        "get_bars", "AAPL.US", name, 3, adjust="none", session="all",
        answers=answers(CANDLESTICKS={"symbol": "AAPL.US", "candlesticks": candles[::-1]}),
    )  # fmt: skip
    (request,) = feed.requests(Command.CANDLESTICKS)
    numbers = (request.period, request.count, request.adjust_type, request.trade_session)
    assert numbers == (interval.period, 3, 0, 100)
    assert rows.dtype == ff.dtype("bars")
    assert rows["close"].tolist() == [1.2, 2.2, 3.2]
    assert rows["time_ns"].tolist() == [(T0 + i * interval.seconds) * 10**9 for i in (1, 2, 3)]
    assert set(rows["interval_s"]) == {interval.seconds}
    assert set(rows["kind"]) == {min(interval.period, 255)}
    assert set(rows["adjust"]) == {0}


def test_bars_are_adjusted_forward_by_default():
    found = {"symbol": "700.HK", "candlesticks": [candle(T0)]}
    rows, feed = pull("get_bars", "700.HK", answers=answers(CANDLESTICKS=found))
    request = feed.requests(Command.CANDLESTICKS)[0]
    assert (request.adjust_type, request.count, request.trade_session) == (1, 1000, 0)
    assert rows["adjust"].tolist() == [1]


# history


class History:
    """A gateway with bars at some times, which counts the bar at an offset or not."""

    def __init__(self, times, zone, counts_offset):
        self.times = times
        self.zone = ZoneInfo(zone)
        self.counts_offset = counts_offset

    def __call__(self, request):
        if request.query_type == 2:
            dates = request.date_request
            chosen = [
                t for t in self.times if dates.start_date <= self.local(t)[:8] <= dates.end_date
            ][-1000:]
        else:
            offset = request.offset_request
            assert offset.direction == 1
            begin = offset.date + (offset.minute or "0000")
            chosen = [
                t
                for t in self.times
                if self.local(t) > begin or (self.counts_offset and self.local(t) == begin)
            ][: offset.count]
        return {"symbol": request.symbol, "candlesticks": [candle(t) for t in chosen]}

    def local(self, seconds):
        return datetime.datetime.fromtimestamp(seconds, self.zone).strftime("%Y%m%d%H%M")


def seconds(zone, *when):
    return int(datetime.datetime(*when, tzinfo=ZoneInfo(zone)).timestamp())


def test_a_short_history_is_asked_for_by_its_dates():
    begin = seconds("Asia/Hong_Kong", 2025, 1, 1)
    gateway = History([begin + 86400 * i for i in range(-5, 400)], "Asia/Hong_Kong", True)
    rows, feed = pull(
        "get_history_bars", "700.HK", "1d", "2025-01-01", datetime.date(2025, 12, 31),
        adjust="none", answers=answers(HISTORY_CANDLESTICKS=gateway),
    )  # fmt: skip
    (request,) = feed.requests(Command.HISTORY_CANDLESTICKS)
    assert request.query_type == 2
    assert not request.HasField("offset_request")
    dates = (request.date_request.start_date, request.date_request.end_date)
    assert dates == ("20250101", "20251231")
    assert (request.period, request.adjust_type, request.trade_session) == (1000, 0, 0)
    assert rows["time_ns"].tolist() == [(begin + 86400 * i) * 10**9 for i in range(365)]
    assert set(rows["adjust"]) == {0}


@pytest.mark.parametrize("counts_offset", [True, False])
@pytest.mark.parametrize(
    ("symbol", "zone", "begin", "last"),
    [
        ("700.HK", "Asia/Hong_Kong", (2025, 3, 3), (2025, 3, 6)),
        ("AAPL.US", "America/New_York", (2025, 11, 1), (2025, 11, 3)),  # 2 November has 25 hours
        ("AAPL.US", "America/New_York", (2025, 3, 8), (2025, 3, 10)),  # 9 March has 23
    ],
)
def test_a_long_history_comes_in_pages(counts_offset, symbol, zone, begin, last):
    since = seconds(zone, *begin)
    until = seconds(zone, last[0], last[1], last[2] + 1)
    times = [t for t in range(since - 86400 * 2, until + 86400 * 2, 60) if t % 3600 < 3000]
    gateway = History(times, zone, counts_offset)
    feed = Feed(answers(HISTORY_CANDLESTICKS=gateway))

    async def main():
        bars = feed.get_history_bars(
            symbol, "1m", datetime.date(*begin), datetime.date(*last), session="all"
        )
        assert feed.asked == []  # nothing before it is awaited
        pages = [page async for page in bars]
        rows = await bars
        assert np.array_equal(np.concatenate(pages)["time_ns"], rows["time_ns"])
        return rows

    rows = run(main())
    assert rows["time_ns"].tolist() == [t * 10**9 for t in times if since <= t < until]
    assert set(rows["interval_s"]) == {60}
    for request in feed.requests(Command.HISTORY_CANDLESTICKS):
        assert (request.query_type, request.offset_request.count) == (1, 1000)
        assert not request.HasField("date_request")


@pytest.mark.parametrize(
    ("interval", "days", "kind"),
    [("5m", 3, 2), ("5m", 4, 1), ("1m", 1, 1), ("1d", 999, 2), ("1d", 1000, 1), ("1d", 2500, 1)],
)
def test_what_fits_into_a_page_is_asked_for_by_its_dates(interval, days, kind):
    length = INTERVALS[interval].seconds
    begin = seconds("Asia/Hong_Kong", 2015, 1, 1)
    times = [begin + length * i for i in range(-9, days * 86400 // length + 9)]
    last = datetime.date(2015, 1, 1) + datetime.timedelta(days - 1)
    rows, feed = pull(
        "get_history_bars", "700.HK", interval, "2015-01-01", last,
        answers=answers(HISTORY_CANDLESTICKS=History(times, "Asia/Hong_Kong", True)),
    )  # fmt: skip
    assert rows["time_ns"].tolist() == [t * 10**9 for t in times[9:-9]]
    requests = feed.requests(Command.HISTORY_CANDLESTICKS)
    assert {request.query_type for request in requests} == {kind}
    if kind == 1:
        assert bool(requests[0].offset_request.minute) == (interval != "1d")


def test_history_has_a_limit_and_an_end():
    begin = seconds("Asia/Hong_Kong", 2025, 3, 3)
    times = [begin + 60 * i for i in range(2500)]
    gateway = History(times, "Asia/Hong_Kong", True)
    for limit, expected, requests in ((7, 7, 1), (1500, 1500, 2), (None, 2500, 4)):
        feed = Feed(answers(HISTORY_CANDLESTICKS=gateway))

        async def main(limit=limit, feed=feed):
            return await feed.get_history_bars("700.HK", "1m", "2025-03-03", limit=limit)

        assert run(main())["time_ns"].tolist() == [t * 10**9 for t in times[:expected]]
        assert len(feed.asked) == requests


def test_a_gateway_that_repeats_itself_ends_the_history():
    begin = seconds("Asia/Hong_Kong", 2025, 3, 3)
    again = {"symbol": "700.HK", "candlesticks": [candle(begin + 60 * i) for i in range(5)]}
    rows, feed = pull(
        "get_history_bars", "700.HK", "1m", "2025-03-03",
        answers=answers(HISTORY_CANDLESTICKS=again),
    )  # fmt: skip
    assert len(rows) == 5
    assert len(feed.asked) == 2


# options and warrants


def test_option_quotes_are_rows_and_terms():
    extend = {
        **{"implied_volatility": "0.592", "open_interest": 11463, "expiry_date": "20990429"},
        **{"strike_price": "162.50", "contract_multiplier": "100", "contract_type": "A"},
        **{"contract_size": "10", "direction": "P", "historical_volatility": "0.2750"},
        **{"underlying_symbol": "AAPL.US"},
    }
    found = [
        quote("AAPL990429P162500.US", volume=3082, turnover="1813434.00", option_extend=extend),
        quote("X.US", last_done="", trade_status=8, timestamp=-1),
    ]
    (rows, terms), feed = pull(
        "get_option_quotes", ["X.US", "AAPL990429P162500.US"],
        answers=answers(OPTION_QUOTES={"secu_quote": found}),
    )  # fmt: skip
    assert rows.dtype == ff.dtype("quotes")
    assert [feed.symbols[i] for i in rows["symbol"]] == ["X.US", "AAPL990429P162500.US"]
    assert rows["session"].tolist() == [Session.REGULAR] * 2
    bare, row = rows
    assert (bare["kind"], bare["status"], bare["time_ns"], bare["seq"]) == (0, 8, 0, -1)
    assert math.isnan(bare["last"])
    assert bare["expiry_days"] == -(2**31)
    assert (row["kind"], row["option_style"]) == (1, ord("A"))
    assert (row["strike_price"], row["contract_size"], row["contract_multiplier"]) == (
        162.5,
        10,
        100,
    )
    assert (row["open_interest"], row["implied_volatility"]) == (11463, 59.2)
    assert (row["volume"], row["turnover"], row["time_ns"]) == (3082, 1813434, T0 * 10**9)
    today = datetime.datetime.fromtimestamp(
        row["recv_ns"] / 1e9, ZoneInfo("America/New_York")
    ).date()
    assert row["expiry_days"] == (datetime.date(2099, 4, 29) - today).days
    assert math.isnan(row["delta"])
    assert terms[1] == records.OptionTerms(
        "AAPL990429P162500.US", "AAPL.US", datetime.date(2099, 4, 29), "PUT", "AMERICAN", 0.275
    )
    assert (terms[0].symbol, terms[0].underlying_symbol, terms[0].expiry_date) == (
        "X.US",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("status", "stored", "suspended"),
    [
        *[(n, n, n in {1, 3, 7, 10}) for n in range(12)],  # halted, fuse, split, suspended
        (254, 254, 0), (255, 255, 0), (1004, 255, 0), (-1, 255, 0),
    ],
)  # fmt: skip
def test_status_of_options(status, stored, suspended):
    extend = {"direction": "C", "contract_type": "U"}
    found = {"secu_quote": [quote("X.US", trade_status=status, option_extend=extend)]}
    (rows, terms), _ = pull("get_option_quotes", "X.US", answers=answers(OPTION_QUOTES=found))
    assert (rows["status"].tolist(), rows["suspended"].tolist()) == ([stored], [suspended])
    assert (terms[0].direction, terms[0].contract_type) == ("CALL", "EUROPEAN")


def test_of_a_symbol_that_is_told_twice_the_first_counts():
    twice = [{"symbol": "700.HK", "lot_size": 1}, {"symbol": "00700.HK", "lot_size": 2}]
    fake = answers(STATIC_INFO={"secu_static_info": twice})
    found, _ = pull("get_static_info", "700.HK", answers=fake)
    assert [one.lot_size for one in found] == [1]


def test_warrant_quotes_are_rows_and_terms():
    extend = {
        **{"implied_volatility": "0.319", "expiry_date": "20990830"},
        **{"last_trade_date": "20990829", "outstanding_ratio": "0.0001", "outstanding_qty": 20000},
        **{"conversion_ratio": "10000", "category": "Bear", "strike_price": "23200.000"},
        **{"upper_strike_price": "1.5", "lower_strike_price": "0.5", "call_price": "23100.000"},
        **{"underlying_symbol": "HSI.HK"},
    }
    found = {"secu_quote": [quote("66642.HK", prev_close="0.365", warrant_extend=extend)]}
    (rows, terms), _ = pull("get_warrant_quotes", "66642.HK", answers=answers(WARRANT_QUOTES=found))
    assert (rows["kind"].tolist(), rows["strike_price"].tolist()) == ([4], [23200.0])
    assert rows["implied_volatility"].tolist() == [31.9]
    assert rows["prev_close"].tolist() == [0.365]
    assert rows["expiry_days"][0] > 20_000
    assert terms == [
        records.WarrantTerms(
            "66642.HK", "HSI.HK", "BEAR", datetime.date(2099, 8, 30), datetime.date(2099, 8, 29),
            0.0001, 20000, 10000.0, 1.5, 0.5, 23100.0,
        )
    ]  # fmt: skip


def chain(request):
    strikes = [{"price": "100", "call_symbol": f"C{request.expiry_date}.US", "standard": True}]
    return {"strike_price_info": strikes}


def test_option_expiries_and_chain():
    expiries = {"expiry_date": ["20260116", "20251219", "20260220"]}
    fake = answers(OPTION_EXPIRIES=expiries, OPTION_STRIKES=chain)
    days, _ = pull("get_option_expiries", "US.AAPL", answers=fake)
    assert days == [
        datetime.date(2025, 12, 19),
        datetime.date(2026, 1, 16),
        datetime.date(2026, 2, 20),
    ]
    found, feed = pull("get_option_chain", "AAPL.US", "2025-12-20", answers=fake)
    assert found == [
        records.LongPortOptionChain(
            day, (records.OptionPair(100.0, f"C{day:%Y%m%d}.US", None, True),)
        )
        for day in days[1:]
    ]
    asked = [(r.symbol, r.expiry_date) for r in feed.requests(Command.OPTION_STRIKES)]
    assert asked == [("AAPL.US", "20260116"), ("AAPL.US", "20260220")]
    found, _ = pull("get_option_chain", "AAPL.US", answers=fake)
    assert [one.expiry for one in found] == days
    found, _ = pull("get_option_chain", "AAPL.US", end=datetime.date(2025, 12, 19), answers=fake)
    assert [one.expiry for one in found] == days[:1]


def test_warrants_are_filtered_sorted_and_come_in_pages():
    def answer(request):
        config = request.filter_config
        numbers = range(config.sort_offset, min(config.sort_offset + config.sort_count, 1234))
        return {
            "warrant_list": [
                {"symbol": f"{10000 + i}.HK", "type": 3, "status": 4} for i in numbers
            ],
            "total_count": 1234,
        }

    fake = answers(WARRANT_LIST=answer)
    found, feed = pull(
        "get_warrants", "700.HK", kinds=["CALL", "bear"], issuers=[12, 14], expiries=["<3M", ">12M"],
        bounds=["out"], statuses=["NORMAL"], sort_by="balance_point", descending=True, offset=3,
        limit=1100, language="zh-HK", answers=fake,
    )  # fmt: skip
    assert (found.total, len(found.warrants)) == (1234, 1100)
    assert [one.symbol for one in found.warrants] == [f"{10003 + i}.HK" for i in range(1100)]
    requests = feed.requests(Command.WARRANT_LIST)
    pages = [(r.filter_config.sort_offset, r.filter_config.sort_count) for r in requests]
    assert pages == [(3, 500), (503, 500), (1003, 100)]
    config = requests[0].filter_config
    assert (requests[0].symbol, requests[0].language) == ("700.HK", 2)
    assert (config.sort_by, config.sort_order) == (20, 1)
    assert list(config.type) == [0, 3]
    assert list(config.issuer) == [12, 14]
    assert list(config.expiry_date) == [1, 4]
    assert list(config.price_type) == [2]
    assert list(config.status) == [4]
    found, feed = pull("get_warrants", "700.HK", limit=100_000, answers=fake)
    assert (len(found.warrants), len(feed.asked)) == (1234, 3)
    found, feed = pull("get_warrants", "700.HK", offset=5000, answers=fake)
    assert (found.total, found.warrants, len(feed.asked)) == (1234, [], 1)


def test_a_warrant_has_all_that_was_sent():
    sent = {
        **{
            "symbol": "13157.HK",
            "name": "MB",
            "last_done": "2.26",
            "change_rate": "-0.0216450216450218",
        },
        **{
            "change_val": "-0.050000000000000266",
            "volume": 4,
            "turnover": "0",
            "type": 1,
            "status": 4,
        },
        **{"expiry_date": "20220705", "strike_price": "442.233", "upper_strike_price": ""},
        **{"outstanding_qty": "5000", "balance_point": "332.52356000000003", "delta": "1e5"},
    }
    found, _ = pull(
        "get_warrants", "700.HK",
        answers=answers(WARRANT_LIST={"warrant_list": [sent], "total_count": 1}),
    )  # fmt: skip
    (one,) = found.warrants
    assert (one.symbol, one.name, one.kind, one.status) == ("13157.HK", "MB", "PUT", "NORMAL")
    assert (one.change_rate, one.change_val) == (-0.0216450216450218, -0.050000000000000266)
    assert (one.volume, one.turnover, one.outstanding_qty) == (4, 0.0, 5000.0)
    assert one.expiry_date == datetime.date(2022, 7, 5)
    assert one.balance_point == 332.52356000000003
    assert math.isnan(one.upper_strike_price)
    assert math.isnan(one.delta)  # no exponents


# other static data


def test_static_info():
    info = {
        **{"symbol": "700.HK", "name_cn": "c", "name_en": "Tencent", "name_hk": "h"},
        **{"listing_date": "20040616", "exchange": "SEHK", "currency": "HKD", "lot_size": 100},
        **{
            "total_shares": 9_600_000_000,
            "circulating_shares": 2,
            "hk_shares": 3,
            "eps": "28.4394",
        },
        **{"eps_ttm": "-1.5", "bps": "103.40413", "dividend_yield": "", "board": "HKEquity"},
        "stock_derivatives": [1, 2, 9],
    }
    found, _ = pull(
        "get_static_info",
        ["700.HK", "9.HK"],
        answers=answers(STATIC_INFO={"secu_static_info": [info]}),
    )
    (one,) = found
    assert one.dividend_yield != one.dividend_yield
    assert records.LongPortStaticInfo(
        "700.HK", "c", "Tencent", "h", datetime.date(2004, 6, 16), "SEHK", "HKD", 100, 9_600_000_000,
        2, 3, 28.4394, -1.5, 103.40413, one.dividend_yield, ("OPTION", "WARRANT", "9"), "HKEquity",
    ) == one  # fmt: skip


def test_participants_and_issuers():
    sent = {"participant_broker_numbers": [
        {"broker_ids": [7738, 7739], "participant_name_cn": "c", "participant_name_en": "e",
         "participant_name_hk": "h"},
        {"broker_ids": []},
    ]}  # fmt: skip
    found, feed = pull("get_participants", answers=answers(PARTICIPANTS=sent))
    assert found == [
        records.Participant((7738, 7739), "c", "e", "h"), records.Participant((), "", "", ""),
    ]  # fmt: skip
    assert [feed.hub.broker_name(i) for i in (7737, 7738, 7739)] == [None, "e", "e"]
    assert feed.asked == [(Command.PARTICIPANTS, b"")]
    sent = {"issuer_info": [{"id": 12, "name_cn": "c", "name_en": "e", "name_hk": "h"}]}
    found, _ = pull("get_warrant_issuers", answers=answers(WARRANT_ISSUERS=sent))
    assert found == [records.WarrantIssuer(12, "c", "e", "h")]


def test_capital_flow_and_distribution():
    lines = [{"inflow": "-1.5", "timestamp": T0}, {"inflow": "", "timestamp": 0}]
    sent = {"symbol": "700.HK", "capital_flow_lines": lines}
    found, _ = pull("get_capital_flow", "700.HK", answers=answers(CAPITAL_FLOW=sent))
    assert found[0] == records.CapitalFlow(T0 * 10**9, -1.5)
    assert found[1].time_ns is None
    assert math.isnan(found[1].inflow)
    sizes = {"large": "3", "medium": "2.5", "small": "0.125"}
    sent = {"symbol": "700.HK", "timestamp": T0, "capital_in": sizes}
    fake = answers(CAPITAL_DISTRIBUTION=sent)
    found, feed = pull("get_capital_distribution", "00700.HK", answers=fake)
    by_size = records.CapitalBySize(3.0, 2.5, 0.125)
    assert found == records.CapitalDistribution("700.HK", T0 * 10**9, by_size, None)
    assert feed.asked[0][1].symbol == "700.HK"


def test_calc_indexes_by_name():
    sent = {"security_calc_index": [
        {"symbol": "700.HK", "last_done": "3.5", "volume": 7, "rho": "-3.83"},
        {"symbol": "AAPL.US", "expiry_date": "20260116"},
    ]}  # fmt: skip
    names = ["rho", "last_done", "volume", "expiry_date", "pe_ttm_ratio"]
    found, feed = pull(
        "get_calc_indexes", ["AAPL.US", "700.HK", "X.US"], names, answers=answers(CALC_INDEXES=sent)
    )
    (request,) = feed.requests(Command.CALC_INDEXES)
    assert list(request.symbols) == ["AAPL.US", "700.HK", "X.US"]
    assert list(request.calc_index) == [40, 1, 4, 19, 12]
    assert list(found) == ["AAPL.US", "700.HK"]
    assert list(found["700.HK"]) == names
    assert found["700.HK"]["rho"] == -3.83
    assert found["700.HK"]["volume"] == 7
    assert found["700.HK"]["expiry_date"] is None
    assert math.isnan(found["700.HK"]["pe_ttm_ratio"])
    assert found["AAPL.US"]["expiry_date"] == datetime.date(2026, 1, 16)
    found, feed = pull("get_calc_indexes", "700.HK", "delta", answers=answers(CALC_INDEXES={}))
    assert found == {}
    assert list(feed.asked[0][1].calc_index) == [36]


def test_trading_sessions():
    periods = [
        {"beg_time": 930, "end_time": 1600},
        {"beg_time": 400, "end_time": 930, "trade_session": 1},
        {"beg_time": 2000, "end_time": 2350, "trade_session": 7},
    ]
    sent = {"market_trade_session": [{"market": "US", "trade_session": periods}, {"market": "HK"}]}
    found, _ = pull("get_trading_sessions", answers=answers(TRADING_SESSIONS=sent))
    assert found == [
        records.MarketSessions("US", (
            records.TradingSession(570, 960, "NORMAL"), records.TradingSession(240, 570, "PRE"),
            records.TradingSession(1200, 1430, "7"),
        )),
        records.MarketSessions("HK", ()),
    ]  # fmt: skip


def test_trading_days_are_asked_for_a_month_at_a_time():
    def answer(request):
        half = [request.end_day]
        return {"trade_day": [request.end_day, request.beg_day], "half_trade_day": half}

    fake = answers(TRADING_DAYS=answer)
    found, feed = pull("get_trading_days", "HK", "2026-01-01", "2026-03-05", answers=fake)
    spans = [(r.market, r.beg_day, r.end_day) for r in feed.requests(Command.TRADING_DAYS)]
    assert sorted(spans) == [
        ("HK", "20260101", "20260130"),
        ("HK", "20260131", "20260301"),
        ("HK", "20260302", "20260305"),
    ]
    days = [
        (1, 1, "WHOLE"),
        (1, 30, "HALF"),
        (1, 31, "WHOLE"),
        (3, 1, "HALF"),
        (3, 2, "WHOLE"),
        (3, 5, "HALF"),
    ]
    assert found == [
        records.LongPortTradingDay(datetime.date(2026, month, day), kind)
        for month, day, kind in days
    ]


@pytest.mark.parametrize(
    ("start", "end", "spans"),
    [
        ("2026-01-01", "2026-01-01", [("20260101", "20260101")]),
        ("2026-01-01", "2026-01-30", [("20260101", "20260130")]),
        ("2026-01-01", "2026-01-31", [("20260101", "20260130"), ("20260131", "20260131")]),
    ],
)
def test_spans_of_trading_days(start, end, spans):
    found, feed = pull("get_trading_days", "US", start, end, answers=answers(TRADING_DAYS={}))
    assert found == []
    assert [(r.beg_day, r.end_day) for r in feed.requests(Command.TRADING_DAYS)] == spans


PROFILE = {
    **{"member_id": 5, "quote_level": "HKAA", "subscribe_limit": 500},
    "history_candlestick_limit": 100,
    "rate_limit": [{"command": 11, "limit": 2, "burst": 3}],
    "quote_level_detail": {
        "by_package_key": {
            "HK": {"key": "HK", "name": "n", "description": "d", "start": T0, "end": T0 + 1}
        },
        "by_market_code": {
            "US": {"warning_msg": "none"},
            "HK": {"packages": [{"key": "HK_Basic", "name": "15-min Delay"}]},
        },
    },
}


def test_profile():
    found, feed = pull("get_profile", "zh-CN", answers=answers(PROFILE=PROFILE))
    assert feed.asked[0][1].language == "zh-CN"
    assert found == records.Profile(
        5, "HKAA", 500, 100, (records.CommandLimit(11, 2, 3),),
        {"HK": records.Package("HK", "n", "d", T0 * 10**9, (T0 + 1) * 10**9)},
        {
            "HK": records.MarketPackages((records.Package("HK_Basic", "15-min Delay", "", None, None),), ""),
            "US": records.MarketPackages((), "none"),
        },
    )  # fmt: skip


def test_subscriptions():
    sent = {"sub_list": [{"symbol": "700.HK", "sub_type": [1, 2, 3, 4, 9]}]}
    found, _ = pull("get_subscriptions", answers=answers(SUBSCRIPTIONS=sent))
    kinds = ("quotes", "books", "brokers", "ticks", "9")
    assert found == [records.SubscribedKinds("700.HK", kinds)]


# records against messages


def matches(value, sent):
    """Return whether a value of a record is what a message has, decimals by `float`."""
    if isinstance(value, float):
        good = re.fullmatch(r"-?[0-9]{1,40}(\.[0-9]{0,40})?", sent)
        return same(value, float(sent) if good else math.nan)
    return value == sent


TEXTS = st.one_of(
    st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,18})?", fullmatch=True),
    st.sampled_from(["", "nan", "inf", "1_0", "1e5", " 1", "+1", "٣", "-", "20260230", "20260228"]),
    st.text(max_size=5),
)


def fill(draw, message):
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None or field.is_repeated:
            continue
        if field.type == field.TYPE_STRING:
            setattr(message, field.name, draw(TEXTS))
        elif field.type == field.TYPE_BOOL:
            setattr(message, field.name, draw(st.booleans()))
        else:
            bits = 31 if field.type == field.TYPE_INT32 else 63
            setattr(message, field.name, draw(st.integers(-(2**bits), 2**bits - 1)))


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(
        [
            (records.LongPortStaticInfo, "StaticInfo"),
            (records.Warrant, "FilterWarrant"),
            (records.WarrantIssuer, "IssuerInfo"),
            (records.Participant, "ParticipantInfo"),
            (records.CapitalBySize, "CapitalDistributionResponse.CapitalDistribution"),
            (records.CommandLimit, "RateLimit"),
        ]
    ),
    st.data(),
)
def test_records_have_what_messages_have(pair, data):
    kind, name = pair
    message = message_class(name)()
    fill(data.draw, message)
    found = records.record(kind, message)
    for field in kind.__struct_fields__:
        value = getattr(found, field)
        sent = getattr(message, "type" if field == "kind" else field)
        if field == "symbol" or isinstance(value, tuple):
            continue
        if field in ("kind", "status"):
            names = records.WARRANT_KIND if field == "kind" else records.WARRANT_STATUS
            assert value == names.get(sent, str(sent))
        elif field.endswith("_date"):
            assert value is None or value.strftime("%Y%m%d") == sent
        else:
            assert matches(value, sent), (field, value, sent)


@pytest.mark.parametrize(
    ("kind", "name", "others"),
    [
        (records.LongPortStaticInfo, "StaticInfo", ()),
        (records.Warrant, "FilterWarrant", ("type",)),
        (records.WarrantIssuer, "IssuerInfo", ()),
        (records.Participant, "ParticipantInfo", ()),
        (records.Profile, "UserQuoteProfileResponse", ("rate_limit", "quote_level_detail")),
        (records.Package, "UserQuoteLevelDetail.PackageDetail", ("start", "end")),
        (records.MarketPackages, "UserQuoteLevelDetail.MarketPackageDetail", ()),
        (records.WarrantTerms, "WarrantExtend", ("strike_price", "implied_volatility")),
        (
            records.OptionTerms,
            "OptionExtend",
            (
                "strike_price",
                "implied_volatility",
                "open_interest",
                "contract_multiplier",
                "contract_size",
            ),
        ),
    ],
)
def test_no_field_is_forgotten(kind, name, others):
    sent = {field.name for field in message_class(name).DESCRIPTOR.fields}
    assert sent - set(kind.__struct_fields__) == set(others)


def test_any_bytes_are_an_answer_or_a_protocol_error():
    pulls = [
        lambda feed: feed.get_ticks("700.HK"),
        lambda feed: feed.get_quotes(["700.HK"]),
        lambda feed: feed.get_bars("700.HK"),
        lambda feed: feed.get_book("700.HK"),
        lambda feed: feed.get_timeshare("700.HK"),
        lambda feed: feed.get_brokers("700.HK"),
        lambda feed: feed.get_option_quotes("700.HK"),
        lambda feed: feed.get_warrant_quotes("700.HK"),
        lambda feed: feed.get_static_info("700.HK"),
        lambda feed: feed.get_option_expiries("700.HK"),
        lambda feed: feed.get_warrants("700.HK"),
        lambda feed: feed.get_warrant_issuers(),
        lambda feed: feed.get_participants(),
        lambda feed: feed.get_capital_flow("700.HK"),
        lambda feed: feed.get_capital_distribution("700.HK"),
        lambda feed: feed.get_calc_indexes("700.HK", "rho"),
        lambda feed: feed.get_trading_sessions(),
        lambda feed: feed.get_trading_days("HK", "2026-01-01", "2026-01-02"),
        lambda feed: feed.get_profile(),
        lambda feed: feed.get_subscriptions(),
        lambda feed: feed.get_history_bars("700.HK", "1d", "2025-01-01", "2025-02-01")._all(),
    ]

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(pulls), st.binary(max_size=60), st.booleans())
    def check(pull, body, is_entry):
        if is_entry:  # of a list
            body = b"\x0a" + bytes([len(body)]) + body
        feed = Feed({command: lambda request: body for command in Command})
        feed._all_calls = feed._bucket(10**6, 10**6, "")
        with contextlib.suppress(ff.RemoteProtocolError):
            repr(run(pull(feed)))

    check()


BROKEN = [b"\xff\xff\xff", b"\x0a\x05a", b"\x0a\xff\xff\xff\xff\x0f"]


@pytest.mark.parametrize("body", BROKEN)
@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("get_ticks", ["700.HK"]),
        ("get_quotes", ["700.HK"]),
        ("get_book", ["700.HK"]),
        ("get_bars", ["700.HK"]),
        ("get_static_info", ["700.HK"]),
        ("get_option_quotes", ["700.HK"]),
        ("get_participants", []),
        ("get_profile", []),
        ("get_trading_days", ["HK", "2026-01-01", "2026-01-02"]),
    ],
)
def test_replies_that_cannot_be_read(method, args, body):
    with pytest.raises(ff.RemoteProtocolError) as raised:
        pull(method, *args, answers={command: lambda request: body for command in Command})
    assert raised.value.source == "longport"
    assert raised.value.data == body


@pytest.mark.parametrize(
    ("method", "args", "sent"),
    [
        ("get_option_expiries", ["A.US"], {"OPTION_EXPIRIES": {"expiry_date": ["2026-01-01"]}}),
        ("get_trading_days", ["HK"], {"TRADING_DAYS": {"trade_day": ["20260230"]}}),
    ],
)
def test_dates_that_are_none(method, args, sent):
    with pytest.raises(ff.RemoteProtocolError, match="cannot be read: expected"):
        pull(method, *args, answers=answers(**sent))


@pytest.mark.parametrize(
    ("method", "args", "sent"),
    [
        ("get_ticks", [], {"TRADES": {"symbol": "9.HK", "trades": [trade(1)]}}),
        ("get_book", [], {"DEPTH": {"symbol": "9.HK"}}),
        ("get_quotes", [], {"QUOTES": {"secu_quote": [quote("9.HK")]}}),
        ("get_static_info", [], {"STATIC_INFO": {"secu_static_info": [{"symbol": "9.HK"}]}}),
        ("get_capital_flow", [], {"CAPITAL_FLOW": {"symbol": "9.HK"}}),
        (
            "get_calc_indexes",
            ["rho"],
            {"CALC_INDEXES": {"security_calc_index": [{"symbol": "9.HK"}]}},
        ),
    ],
)
def test_an_answer_about_another_security_is_refused(method, args, sent):
    with pytest.raises(ff.RemoteProtocolError, match=r"about 9\.HK, expected 700\.HK"):
        pull(method, "700.HK", *args, answers=answers(**sent))


@pytest.mark.parametrize(
    ("method", "args", "options"),
    [
        ("get_ticks", ["700"], {}),
        ("get_ticks", ["700.HK", 0], {}),
        ("get_ticks", ["700.HK", 1001], {}),
        ("get_bars", ["700.HK", "7m"], {}),
        ("get_bars", ["700.HK", "1m", 1001], {}),
        ("get_bars", ["700.HK"], {"adjust": "backward"}),
        ("get_bars", ["700.HK"], {"session": "RTH"}),
        ("get_book", ["700.HK", 1001], {}),
        ("get_timeshare", ["700.HK"], {"session": "pre"}),
        ("get_option_chain", ["A.US", "2026-02-01", "2026-01-01"], {}),
        ("get_warrants", ["700.HK"], {"sort_by": "symbol"}),
        ("get_warrants", ["700.HK"], {"kinds": ["BIG"]}),
        ("get_warrants", ["700.HK"], {"limit": 100_001}),
        ("get_warrants", ["700.HK"], {"offset": -1}),
        ("get_calc_indexes", ["700.HK", "symbol"], {}),
        ("get_calc_indexes", ["700.HK", []], {}),
        ("get_trading_days", ["JP"], {}),
        ("get_trading_days", ["HK", "2026-01-02", "2026-01-01"], {}),
        ("get_profile", ["fr"], {}),
    ],
)
def test_what_cannot_be_is_not_asked_for(method, args, options):
    with pytest.raises(ValueError, match="expected"):
        pull(method, *args, answers={}, **options)


def test_history_that_cannot_be_is_refused_at_once():
    feed = Feed()
    for args, options in (
        (["700.HK", "1d", "2026-02-01", "2026-01-01"], {}),
        (["700.HK"], {"limit": 0}),
        (["700.HK"], {"session": "ETH"}),
    ):
        with pytest.raises(ValueError, match="expected"):
            feed.get_history_bars(*args, **options)


# refusals


def refused(number, text="no"):
    return ff.RequestError(f"status 7: {text}", code=number, text=text)


def test_refusals_say_what_they_mean():
    error = refused(301607, "quota")
    with pytest.raises(
        ff.RequestError, match=r"history candlesticks \(27\).*monthly quota.*301607: quota"
    ) as raised:
        pull("get_history_bars", "700.HK", answers=answers(HISTORY_CANDLESTICKS=error))
    assert type(raised.value) is ff.RequestError
    assert (raised.value.code, raised.value.text) == (301607, "quota")
    bare = ff.RequestError("LongPort answered with status 7")
    with pytest.raises(ff.RequestError) as raised:
        pull("get_participants", answers=answers(PARTICIPANTS=bare))
    assert raised.value is bare


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (7, r"server error \(status 7\)"),
        (5, r"unauthenticated \(status 5\)"),
        (99, r"unknown \(status 99\)"),
    ],
)
def test_a_status_without_a_code_is_told_in_words(status, words):
    error = ff.RequestError("refused", code=status)
    with pytest.raises(ff.RequestError, match=rf"participants \(16\): {words}$") as raised:
        pull("get_participants", answers=answers(PARTICIPANTS=error))
    assert raised.value.code == status


@pytest.mark.parametrize("kind", [ff.RequestError, ff.RateLimitError])
def test_a_request_that_came_too_early_is_sent_once_more(kind):
    async def main():
        clock = Clock()
        error = kind("too fast", code=301606, text="slow down")
        replies = [error, {"issuer_info": [{"id": 1}]}, error, error]
        feed = Feed(answers(WARRANT_ISSUERS=lambda request: replies.pop(0)), clock=clock)
        pull = asyncio.create_task(feed.get_warrant_issuers())
        await clock.advance(100.9)
        assert (len(feed.asked), pull.done()) == (1, False)
        await clock.advance(101.1)
        assert len(await pull) == 1
        pull = asyncio.create_task(feed.get_warrant_issuers())
        await clock.advance(110)
        with pytest.raises(ff.RateLimitError, match="slow down") as raised:
            await pull
        assert raised.value.code == 301606
        assert len(feed.asked) == 4

    run(main())


def test_other_failures_pass_through():
    for error in (ff.RequestTimeout("late"), ff.ConnectError("lost")):
        with pytest.raises(type(error)) as raised:
            pull("get_participants", answers=answers(PARTICIPANTS=error))
        assert raised.value is error


def test_the_first_failure_of_a_part_ends_the_pull():
    ended = []

    async def answer(request):
        if request.symbol[0] == "501.HK":
            return refused(301604)
        try:
            await asyncio.sleep(20)
        finally:
            ended.append(request.symbol[0])

    with pytest.raises(ff.RequestError, match="301604"):
        pull("get_quotes", [f"{i}.HK" for i in range(1, 1101)], answers=answers(QUOTES=answer))
    assert sorted(ended) == ["1.HK", "1001.HK"]


# limits


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def timed(feed, clock):
    """Return a list that gets (command, time) of each request."""
    made = []
    exchange = feed._exchange

    async def wrapped(command, body):
        made.append((command, round(clock.now - 100, 3)))
        return await exchange(command, body)

    feed._exchange = wrapped
    return made


def test_ten_calls_a_second_for_all_that_has_no_limit_of_its_own():
    async def main():
        clock = Clock()
        feed = Feed(
            answers(WARRANT_ISSUERS={}, PARTICIPANTS={}, QUOTES={}, SUBSCRIPTIONS={}), clock=clock
        )
        made = timed(feed, clock)
        feed._set_limits(message_class("UserQuoteProfileResponse")(
            rate_limit=[
                {"command": 11, "limit": 2, "burst": 3},
                {"command": 5, "limit": 4},  # a bucket for one
                {"command": 16, "limit": 0, "burst": 9},  # says nothing
            ]
        ))  # fmt: skip
        tasks = [asyncio.create_task(feed.get_warrant_issuers()) for _ in range(7)]
        tasks += [asyncio.create_task(feed.get_participants()) for _ in range(7)]
        tasks += [asyncio.create_task(feed.get_quotes("700.HK")) for _ in range(5)]
        tasks += [asyncio.create_task(feed.get_subscriptions()) for _ in range(3)]
        await clock.advance(110.0)
        await asyncio.gather(*tasks)
        by_command = {}
        for command, at in made:
            by_command.setdefault(command, []).append(at)
        assert by_command[22] == [0] * 7
        assert by_command[16] == [0, 0, 0, 0.1, 0.2, 0.3, 0.4]
        assert by_command[11] == [0, 0, 0, 0.5, 1.0]
        assert by_command[5] == [0, 0.25, 0.5]

    run(main())


def test_limits_that_stay_the_same_are_not_full_again():
    feed = Feed()
    profile = message_class("UserQuoteProfileResponse")
    feed._set_limits(profile(rate_limit=[{"command": 11, "limit": 2, "burst": 3}]))
    bucket = feed._calls_of[11]
    feed._set_limits(profile(rate_limit=[{"command": 11, "limit": 2, "burst": 3}]))
    assert feed._calls_of == {11: bucket}
    feed._set_limits(profile(rate_limit=[{"command": 11, "limit": 5, "burst": 3}]))
    assert feed._calls_of[11] is not bucket
    every = [{"command": i, "limit": 1} for i in range(100_000)]
    feed._set_limits(profile(rate_limit=every))
    assert set(feed._calls_of) == set(MESSAGES)  # what is not asked for has no bucket
    feed._set_limits(profile())
    assert feed._calls_of == {}


def test_history_has_a_limit_besides():
    async def main():
        clock = Clock()
        feed = Feed(answers(HISTORY_CANDLESTICKS={}, PARTICIPANTS={}), clock=clock)
        made = timed(feed, clock)
        tasks = [asyncio.ensure_future(feed.get_history_bars("700.HK")._all()) for _ in range(61)]
        await clock.advance(120.0)
        assert len(made) == 60
        await feed.get_participants()  # others are not held up
        await clock.advance(131.0)
        await asyncio.gather(*tasks)
        assert made[-1] == (27, 30.25)

    run(main())


def test_a_wait_that_is_too_long_is_refused_at_once():
    async def main():
        clock = Clock()
        feed = Feed(answers(PARTICIPANTS={}), clock=clock, wait_s=0)
        for _ in range(10):
            await feed.get_participants()
        with pytest.raises(ff.RateLimitError, match="10 calls a second") as raised:
            await feed.get_participants()
        assert raised.value.code is None
        assert len(feed.asked) == 10
        clock.now += 0.1
        await feed.get_participants()

    run(main())


def test_five_at_a_time_and_one_without_an_answer_holds_up_nobody():
    async def main():
        waiting = []

        async def answer(request):
            if request.symbol == "1.HK":
                await asyncio.sleep(20)
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            await future
            return {"symbol": request.symbol}

        feed = Feed(answers(TRADES=answer))
        feed._all_calls = feed._bucket(10**6, 10**6, "")
        silent = asyncio.create_task(feed.get_ticks("1.HK"))
        await settle()
        others = [asyncio.create_task(feed.get_ticks(f"{i}.HK")) for i in range(2, 102)]
        answered = 0
        while answered < 100:
            await settle()
            assert len(feed.asked) == min(answered + 5, 101)
            waiting.pop().set_result(None)  # the latest first
            answered += 1
        await asyncio.gather(*others)
        assert not silent.done()
        silent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await silent

    run(main())


def test_all_places_taken_for_too_long_is_an_error():
    async def main():
        feed = Feed(answers(PARTICIPANTS=lambda request: asyncio.sleep(20)), wait_s=0.05)
        stuck = [asyncio.create_task(feed.get_participants()) for _ in range(5)]
        await settle()
        with pytest.raises(ff.RateLimitError, match="5 at a time"):
            await feed.get_participants()
        stuck[0].cancel()
        await settle()
        feed.answers = answers(PARTICIPANTS={})
        assert await feed.get_participants() == []  # its place is free again
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert feed._places._value == 5

    run(main())


def test_a_cancelled_pull_that_waits_gives_everything_back():
    async def main():
        clock = Clock()
        feed = Feed(answers(PARTICIPANTS={}), clock=clock)
        for _ in range(10):
            await feed.get_participants()
        waiting = asyncio.create_task(feed.get_participants())
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        after = asyncio.create_task(feed.get_participants())
        await clock.advance(100.1)
        assert await after == []
        assert (len(feed.asked), feed._places._value) == (11, 5)

    run(main())


def test_pulls_wait_for_the_connection():
    async def main():
        feed = Feed(answers(PARTICIPANTS={}))
        feed._up.clear()
        with pytest.raises(ff.ConnectError, match="not connected"):
            await feed.get_participants()
        pull = asyncio.create_task(feed.get_participants())
        await settle()
        assert feed.asked == []
        feed._up.set()
        assert await pull == []
        feed._closed = True
        with pytest.raises(ff.ConnectError, match="closed"):
            await feed.get_participants()

    run(main())


def test_a_pull_whose_connection_is_lost_while_it_waits_is_sent_on_the_next_one():
    async def main():
        clock = Clock()
        feed = Feed(answers(PARTICIPANTS={}), clock=clock)
        feed._up_timeout_s = 20
        for _ in range(10):
            await feed.get_participants()
        pull = asyncio.create_task(feed.get_participants())
        await settle()
        feed._up.clear()
        await clock.advance(105)
        assert (len(feed.asked), pull.done(), feed._places._value) == (10, False, 5)
        feed._up.set()
        assert await pull == []

    run(main())
