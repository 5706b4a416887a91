"""The market behind the simulator: it follows from its ticks, and is the same in every run."""

import itertools
from datetime import date

import numpy as np
import pytest

from fastfeed.protocols.opend_codes import INTERVALS
from fastfeed.sim import calendar
from fastfeed.sim.bars import INTRADAY_S, Rehab, adjusted
from fastfeed.sim.instruments import expiries, instrument
from fastfeed.sim.limits import Bucket
from fastfeed.sim.market import Market
from fastfeed.sim.opend_limits import HistoryQuota, RateLimits, Refused
from fastfeed.sim.playback import TapeSource
from fastfeed.sim.tape import TICK, Tape
from fastfeed.sim.watchlists import Watchlists

START_S = 1_381_152_600  # 2013-10-07 09:30 in New York, 21:30 in Hong Kong
SYMBOLS = ("SPY.US", "700.HK", "BTCUSDT.CC", "AAPL.US")
COUNT = 9000


def make_rows(gap_ns=100_000_000):
    at = np.arange(COUNT)
    rows = np.zeros(COUNT, TICK)
    rows["time_ns"] = START_S * 10**9 + at * gap_ns
    rows["price"] = np.round(100 + 5 * np.sin(at / 700), 2)
    rows["volume"] = at % 90 + 1
    rows["symbol"] = at % 3
    rows["side"] = at % 3 - 1
    return rows


def make_market(rows, position=None, seed=0):
    source = TapeSource(Tape(SYMBOLS, rows), speed="max", loop=False)
    source.advance(0)
    span = (int(rows["time_ns"][0]) // 10**9, int(rows["time_ns"][-1]) // 10**9)
    market = Market(SYMBOLS, source, span, seed=seed)
    market.advance(COUNT if position is None else position)
    return market


def test_a_quote_is_the_sum_of_the_ticks():
    rows = make_rows()
    market = make_market(rows, 5000)
    mine = rows[:5000][rows["symbol"][:5000] == 1]
    quote = market.quote("700.HK")
    assert quote.time_ns == mine["time_ns"][-1]
    assert (quote.open, quote.last) == (mine["price"][0], mine["price"][-1])
    assert (quote.high, quote.low) == (mine["price"].max(), mine["price"].min())
    assert quote.volume == mine["volume"].sum()
    assert quote.turnover == pytest.approx((mine["price"] * mine["volume"]).sum(), rel=1e-12)
    assert quote.side == mine["side"][-1]
    [close] = market.bars("700.HK").last("1d", 1, START_S - 86400)["close"]
    assert quote.prev_close == close
    unseen = market.quote("AAPL.US")
    assert unseen.volume == 0
    assert unseen.last == unseen.open > 0


def test_bars_of_ticks_are_their_first_highest_lowest_last():
    rows = make_rows()
    for position in (1, 4321, COUNT):
        market = make_market(rows, 0)
        for stop in (position // 3, position):  # ticks may come in pieces
            market.advance(stop)
            market.bars("SPY.US")
        mine = rows[:position][rows["symbol"][:position] == 0]
        for interval, seconds in INTRADAY_S.items():
            midnight = calendar.midnight_s("US", date(2013, 10, 7))
            labels = (mine["time_ns"] // 10**9 - midnight) // seconds * seconds + midnight
            expected = []
            for label in dict.fromkeys(labels.tolist()):
                some = mine[labels == label]
                price = some["price"]
                expected.append(
                    (label, price[0], price.max(), price.min(), price[-1], some["volume"].sum())
                )
            found, closes = market.last_bars("SPY.US", interval, len(expected))
            assert [tuple(bar)[:6] for bar in found.tolist()] == expected, interval
            assert closes[1:].tolist() == found["close"][:-1].tolist()
            one, _ = market.last_bars("SPY.US", interval, 1)
            assert one.tolist() == found[-1:].tolist()
        day, closes = market.last_bars("SPY.US", "1d", 1)
        quote = market.quote("SPY.US")
        assert day["start_s"][0] == calendar.midnight_s("US", date(2013, 10, 7))
        assert day[["open", "high", "low", "close", "volume"]].tolist() == [
            (quote.open, quote.high, quote.low, quote.last, quote.volume)
        ]
        assert closes[0] == quote.prev_close


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("symbol", ["SPY.US", "700.HK", "BTCUSDT.CC"])
def test_any_page_of_the_past_is_the_same(interval, symbol):
    rows = make_rows()
    market = make_market(rows)
    last, closes = market.last_bars(symbol, interval, 40)
    starts = last["start_s"].tolist()
    assert starts == sorted(set(starts))
    assert len(last) in {40, len(market.bars(symbol).last(interval, 10_000))}
    begin, end = starts[0], starts[-1]
    whole, whole_closes = market.bars_between(symbol, interval, begin, end, None)
    assert whole.tolist() == last.tolist()
    if interval in INTRADAY_S or interval == "1d":
        assert whole_closes.tolist() == closes.tolist()
    paged, at = [], begin
    while True:
        page, _ = market.bars_between(symbol, interval, at, end, 8)
        paged += page[:7].tolist()
        if len(page) < 8:
            break
        at = int(page["start_s"][7])
    assert paged == last.tolist()
    again, _ = make_market(rows).last_bars(symbol, interval, 40)
    assert again.tolist() == last.tolist()
    other, _ = make_market(rows, seed=1).last_bars(symbol, interval, 40)
    assert other["close"][:10].tolist() != last["close"][:10].tolist()
    for bar in last.tolist():
        _, opened, high, low, close, volume, turnover = bar
        assert low <= min(opened, close) <= max(opened, close) <= high
        assert low * volume * 0.999 <= turnover <= high * volume * 1.001


def test_the_past_has_the_hours_of_the_market():
    market = make_market(make_rows())
    bars, _ = market.bars_between("700.HK", "1m", START_S - 20 * 86400, START_S - 10 * 86400, None)
    minutes = [calendar.local("HK", at) for at in bars["start_s"].tolist()]
    assert {m.weekday() for m in minutes} == {0, 1, 2, 3, 4}
    of_day = sorted({m.hour * 60 + m.minute for m in minutes})
    assert of_day == [*range(570, 720), *range(780, 960)]
    days = list(calendar.trading_days("US", date(2020, 12, 22), date(2021, 1, 4)))
    assert [d.day for d in days] == [22, 23, 24, 28, 29, 30, 31, 4]
    assert [calendar.day_kind("US", d) for d in days[:3]] == [0, 0, 1]
    assert list(calendar.trading_days("US", days[-1], days[0])) == days[::-1]
    assert list(calendar.trading_days("US", date.max, date.max)) == [date.max]
    assert list(calendar.trading_days("CC", date.min, date.min)) == [date.min]


def test_nothing_is_made_of_days_before_the_listing(monkeypatch):
    bars = make_market(make_rows()).bars("700.HK")
    monkeypatch.setattr(bars, "_past_of", None)
    listed_s = calendar.midnight_s("HK", bars._instrument.listed)
    for until_s in (-(10**10), 0, listed_s - 1):
        assert len(bars.last("1m", 3, until_s)) == 0


def test_a_week_and_a_year_hold_their_days():
    market = make_market(make_rows())
    days = market.bars("700.HK").last("1d", 600)
    for interval in ("1w", "1M", "3M", "1y"):
        bars, _ = market.last_bars("700.HK", interval, 3)
        for start, bar in zip(bars["start_s"].tolist()[:-1], bars[:-1], strict=True):
            end = bars["start_s"][bars["start_s"] > start][0]
            some = days[(days["start_s"] >= start) & (days["start_s"] < end)]
            if len(some) and some["start_s"][0] < start + 4 * 86400:
                assert bar["high"] == some["high"].max(), interval
                assert bar["volume"] == pytest.approx(some["volume"].sum())
                assert bar["close"] == some["close"][-1]
        assert bars["close"][-1] == days["close"][-1]
        assert bars["high"][-1] >= days["high"][-1]


def test_a_tape_that_begins_again_begins_its_bars_again():
    rows = make_rows()
    source = TapeSource(Tape(SYMBOLS, rows), speed="max", loop=True)
    source.advance(0)
    market = Market(SYMBOLS, source, (START_S, START_S + 900))
    market.advance(COUNT)
    market.bars("SPY.US")
    market.advance(COUNT + 3000)
    mine = rows[:3000][rows["symbol"][:3000] == 0]
    minutes = market.bars("SPY.US").minutes
    assert minutes["start_s"].tolist() == sorted(set(mine["time_ns"] // 60_000_000_000 * 60))
    assert minutes["volume"].sum() == mine["volume"].sum()


def test_prices_are_adjusted_before_or_since_an_event():
    market = make_market(make_rows())
    [split] = market.rehabs("700.HK")
    assert split == Rehab(date(2012, 5, 16), split=2)
    assert market.rehabs("BTCUSDT.CC") == []
    at = calendar.midnight_s("HK", split.day)
    args = ("700.HK", "1d", at - 5 * 86400, at + 5 * 86400, None)
    plain, _ = market.bars_between(*args, 0)
    forward, closes = market.bars_between(*args, 1)
    backward, _ = market.bars_between(*args, 2)
    before = plain["start_s"] < at
    assert 0 < before.sum() < len(plain)
    half, double = np.where(before, 0.5, 1.0), np.where(before, 1.0, 2.0)
    assert forward["close"] == pytest.approx(plain["close"] * half)
    assert backward["high"] == pytest.approx(plain["high"] * double)
    assert closes[1:].tolist() == forward["close"][:-1].tolist()
    dividend = Rehab(date(2012, 5, 16), dividend=1.5)
    assert adjusted(plain, [dividend], "HK", 1)["open"] == pytest.approx(
        plain["open"] - np.where(before, 1.5, 0)
    )


def test_the_minute_line_fills_minutes_without_ticks():
    rows = make_rows(gap_ns=17_000_000_000)[:30]  # every symbol each 51 s
    rows["time_ns"][15:] += 300_000_000_000
    market = make_market(rows, 30)
    line = market.minute_line("SPY.US")
    assert [p.minute for p in line] == list(range(571, 571 + len(line)))
    mine = rows[rows["symbol"] == 0]
    traded = sorted(set((mine["time_ns"] // 60_000_000_000 + 1).tolist()))
    assert [p.time_s // 60 for p in line if not p.blank] == traded
    assert sum(p.blank for p in line) >= 4
    assert sum(p.volume for p in line) == mine["volume"].sum()
    average = (mine["price"] * mine["volume"]).sum() / mine["volume"].sum()
    assert line[-1].average == pytest.approx(average)
    for before, point in itertools.pairwise(line):
        if point.blank:
            assert (point.price, point.volume) == (before.price, 0)


@pytest.mark.parametrize("symbol", ["SPY.US", "700.HK", "BTCUSDT.CC"])
def test_books_are_around_the_last_price(symbol):
    market = make_market(make_rows())
    last = market.quote(symbol).last
    bids, asks = market.book(symbol, 60)
    assert (len(bids), len(asks)) == (60, 60)
    assert [b.price for b in bids] == sorted({b.price for b in bids}, reverse=True)
    assert [a.price for a in asks] == sorted({a.price for a in asks})
    assert bids[0].price < asks[0].price
    assert last in {bids[0].price, asks[0].price}
    numbers = [order for level in bids + asks for order, _ in level.orders]
    assert len(numbers) == len(set(numbers))
    for level in bids + asks:
        assert level.volume == pytest.approx(sum(volume for _, volume in level.orders))
    assert market.book(symbol, 5) == (bids[:5], asks[:5])
    lot = instrument(symbol).lot_size
    if lot > 1:
        odd, _ = market.book(symbol, 10, odd_lots=True)
        assert all(volume < lot for level in odd for _, volume in level.orders)
        assert all(level.volume % lot == 0 for level in bids)


def test_only_hong_kong_has_broker_queues():
    market = make_market(make_rows())
    assert market.brokers("SPY.US") == ([], [])
    bids, asks = market.brokers("700.HK")
    assert 10 <= len(bids) <= 40
    assert 10 <= len(asks) <= 40
    assert [place.level for place in bids] == sorted(place.level for place in bids)
    assert len({(place.id, place.name) for place in bids}) == len({place.id for place in bids}) > 1


@pytest.mark.parametrize(
    ("symbol", "kind"),
    [
        ("SPY.US", "etf"), ("700.HK", "stock"), ("BTCUSDT.CC", "crypto"), (".DJI.US", "index"),
        ("800000.HK", "index"), ("AAPL260116C230000.US", "option"), ("TCH260129P500000.HK", "option"),
        ("HSImain.HK", "future"), ("ES2512.US", "future"), ("13579.HK", "warrant"),
        ("60123.HK", "warrant"), ("LIST1001.HK", "plate"), ("AAPL269916C230000.US", "stock"),
    ],
)  # fmt: skip
def test_symbols_say_what_they_are(symbol, kind):
    found = instrument(symbol)
    assert (found.symbol, found.kind) == (symbol, kind)
    if kind == "option":
        assert found.owner in {"AAPL.US", "700.HK"}
        assert found.strike in {230.0, 500.0}
        assert found.right == ("call" if "C2" in symbol else "put")
        assert found.expiry in {date(2026, 1, 16), date(2026, 1, 29)}


def test_plates_chains_and_what_belongs_to_symbols():
    market = make_market(make_rows())
    assert [s.symbol for s in market.instruments("HK", "warrant")] == ["13579.HK", "60123.HK"]
    assert [s.symbol for s in market.instruments("US", "stock")] == ["AAPL.US"]
    assert market.find("IBM.US") is None
    assert market.find("IBM260116C230000.US") is None
    assert market.find("LIST1099.US") is None
    assert len(market.plates("US")) == 6
    assert {p.kind for p in market.plates("US", 1)} == {1}
    assert market.plates("JP") == []
    assert [m.symbol for m in market.members("LIST1001.US")] == ["SPY.US", "AAPL.US"]
    assert [m.symbol for m in market.members("LIST1002.US")] == ["SPY.US"]
    today = market.today("US")
    assert today == date(2013, 10, 7)
    days = expiries(today)
    assert days[:2] == [date(2013, 10, 18), date(2013, 11, 15)]
    chain = list(market.chain("AAPL.US", days[0], days[0]))
    assert len(chain) == 11
    for day, call, put in chain:
        assert (day, call.right, put.right, call.strike) == (days[0], "call", "put", put.strike)
        assert market.find(call.symbol) == call
        assert market.days_to(call) == 11


def test_too_many_requests_in_a_while_are_refused():
    now = [0.0]
    limits = RateLimits(30.0, clock=lambda: now[0])
    for _ in range(10):
        limits.check(3223)
        now[0] += 1
    with pytest.raises(Refused, match="too frequent: at most 10 of 3223 in 30 s"):
        limits.check(3223)
    limits.check(3203)  # another kind
    limits.check(3010)  # without a limit
    now[0] = 30.0  # not yet more than 30 s after the first
    with pytest.raises(Refused):
        limits.check(3223)
    now[0] = 30.1
    limits.check(3223)
    with pytest.raises(Refused):
        limits.check(3223)
    without = RateLimits(0.0)
    for _ in range(100):
        without.check(3223)


def test_a_bucket_fills_again():
    now = [10.0]
    bucket = Bucket(2, 3, clock=lambda: now[0])
    assert [bucket.take() for _ in range(5)] == [True] * 3 + [False] * 2
    now[0] += 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now[0] += 100
    assert [bucket.take() for _ in range(4)] == [True] * 3 + [False]


def test_history_counts_securities():
    quota = HistoryQuota(2)
    for symbol in ("A", "B", "A"):
        quota.take(symbol)
    assert quota.remaining == 0
    with pytest.raises(Refused, match="quota of 2"):
        quota.take("C")
    assert list(quota.asked) == ["A", "B"]


def test_watchlists():
    kinds = {"A.US": "stock", "B.HK": "option", "C.SZ": "stock", "D.HK": "future"}
    lists = Watchlists(list(kinds), {"Mine": ["A.US"], "HK": ["C.SZ"]}, kinds)
    assert ("Mine", True) in lists.names()
    assert [custom for name, custom in lists.names() if name == "HK"] == [False, True]
    assert lists.symbols("HK") == ["B.HK", "D.HK"]  # the first one of two wins
    assert lists.symbols("CN") == ["C.SZ"]
    assert lists.symbols("Options") == lists.symbols("HK options") == ["B.HK"]
    assert lists.symbols("US options") == []
    assert lists.symbols("Futures") == ["D.HK"]
    assert lists.symbols("None") is None
    assert not lists.is_custom("HK")
    lists.add("Mine", ["E.US", "B.HK"])
    assert lists.symbols("Mine") == ["A.US", "E.US", "B.HK"]
    assert lists.symbols("US") == ["A.US", "E.US"]
    lists.move_out("Mine", ["E.US", "F.US"])
    assert lists.symbols("Mine") == ["A.US", "B.HK"]
    assert "E.US" in lists.symbols("All")
    lists.delete(["A.US"])
    assert lists.symbols("Mine") == ["B.HK"]
    assert "A.US" not in lists.symbols("All")
