"""The vendor's own clients connect to the simulator, subscribe and get every tick right."""

import asyncio
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from official import run_official

from fastfeed.sim import OpenDSimulator, Tape, calendar
from fastfeed.sim import opend_records as records
from fastfeed.sim.bars import INTRADAY_S
from fastfeed.sim.instruments import instrument
from fastfeed.sim.tape import TICK

SCRIPT = Path(__file__).with_name("official_client.py")
SIDES = {1: "BUY", -1: "SELL", 0: "NEUTRAL"}

# As a tape has it: symbol, the vendor's code, what the market's clock says at START_NS.
MARKETS = [
    ("SPY.US", "US.SPY", "2013-10-07 09:30:00"),
    ("700.HK", "HK.00700", "2013-10-07 21:30:00"),
    ("600519.SH", "SH.600519", "2013-10-07 21:30:00"),
    ("7203.JP", "JP.7203", "2013-10-07 22:30:00"),
    (".DJI.US", "US..DJI", "2013-10-07 09:30:00"),
    ("BTCUSDT", "CC.BTCUSDT", "2013-10-07 09:30:00"),
]
START_NS = 1_381_152_600_000_000_000
COUNT = 900


def make_tape():
    rows = np.zeros(COUNT, TICK)
    at = np.arange(COUNT)
    rows["time_ns"] = START_NS + at * 1_001_000
    rows["price"] = np.round(50 + at * 0.017, 3)
    rows["volume"] = at % 700 + np.where(at % len(MARKETS) == 5, 0.125, 0)
    rows["symbol"] = at % len(MARKETS)
    rows["side"] = at % 3 - 1
    return Tape([symbol for symbol, _, _ in MARKETS], rows)


async def run_client(package, sim, codes, count, home):
    """Return what the client saw of the ticks."""
    return await run_official(SCRIPT, package, "ticks", sim.port, ",".join(codes), count, home=home)


def test_every_tick_of_a_tape_is_right(package, tmp_path):
    tape = make_tape()

    async def main():
        async with OpenDSimulator(tape=tape, speed="max", unsubscribe_after_s=1.0) as sim:
            codes = [code for _, code, _ in MARKETS]
            return await run_client(package, sim, codes, COUNT, tmp_path), sim.stats()

    said, stats = asyncio.run(main())
    assert said["complete"], said
    rows = said["rows"]
    assert len(rows) == COUNT == stats["sent"]
    sequences = {}
    for row, (time_ns, price, volume, symbol, side) in zip(rows, tape.rows.tolist(), strict=True):
        _, code, clock = MARKETS[symbol]
        assert row["code"] == code
        assert row["name"] == code.split(".", 1)[1]
        assert row["time"] == f"{clock}.{(time_ns - START_NS) // 1_000_000:03}"
        assert row["price"] == price
        assert row["volume"] == volume
        assert row["turnover"] == price * volume
        assert row["ticker_direction"] == SIDES[side]
        assert row["type"] == "AUTO_MATCH"
        assert row["push_data_type"] == "REALTIME"
        assert row["sequence"] >> 32 == time_ns // 1_000_000_000
        assert row["sequence"] > sequences.get(code, 0)
        sequences[code] = row["sequence"]


def test_requests_are_understood(package, tmp_path):
    async def main():
        async with OpenDSimulator(tape=make_tape(), speed="max", unsubscribe_after_s=1.0) as sim:
            return await run_client(package, sim, ["US.SPY", "HK.00700"], 300, tmp_path)

    said = asyncio.run(main())
    ret, state = said["state"]
    assert ret == 0
    assert state["qot_logined"] is True
    assert state["server_ver"] == "1011"
    ret, text = said["unknown"]
    assert ret == -1
    assert text == "unknown security: NOBODY.US"
    assert said["subscribe"][0] == 0
    ret, info = said["subscription"]
    assert ret == 0
    assert (info["total_used"], info["own_used"]) == (2, 2)
    assert info["remain"] == 99_998
    assert sorted(info["sub_list"]["TICKER"]) == ["HK.00700", "US.SPY"]
    ret, text = said["unsubscribe_early"]
    assert ret == -1
    assert text.startswith("SPY.US, type 4: a subscription can be given up after 1 s")
    assert said["unsubscribe"][0] == 0
    ret, info = said["subscription_after"]
    assert ret == 0
    assert info["sub_list"] == {"TICKER": ["HK.00700"]}
    assert said["unsubscribe_all"][0] == 0


def test_generated_ticks_arrive_too(package, tmp_path):
    async def main():
        sim = OpenDSimulator(symbols=["AAPL.US", "700.HK"], rate=500, seed=4, rows_per_push=3)
        async with sim:
            return await run_client(package, sim, ["US.AAPL", "HK.00700"], 300, tmp_path)

    said = asyncio.run(main())
    assert said["complete"], said
    rows = said["rows"]
    assert {row["code"] for row in rows} == {"US.AAPL", "HK.00700"}
    for code in ("US.AAPL", "HK.00700"):
        sequences = [row["sequence"] for row in rows if row["code"] == code]
        assert sequences == sorted(set(sequences))
    for row in rows:
        assert row["turnover"] == row["price"] * row["volume"]
        assert row["price"] == round(row["price"], 2)


# Everything else, compared column by column with the market behind the simulator.

TRADED = (
    "AAPL.US", "700.HK", "SPY.US", "AAPL140118C100000.US", "HSImain.HK", "13579.HK", ".DJI.US",
    "BTCUSDT",
)  # fmt: skip
CODES = {
    "AAPL.US": "US.AAPL", "700.HK": "HK.00700", "SPY.US": "US.SPY",
    "AAPL140118C100000.US": "US.AAPL140118C100000", "HSImain.HK": "HK.HSImain",
    "13579.HK": "HK.13579", ".DJI.US": "US..DJI", "BTCUSDT.CC": "CC.BTCUSDT",
}  # fmt: skip
KINDS = {
    "stock": "STOCK", "etf": "ETF", "option": "DRVT", "future": "FUTURE", "warrant": "WARRANT",
    "index": "IDX", "crypto": "CRYPTO",
}  # fmt: skip
QUOTES = 2400
K_TYPES = {
    "K_1M": "1m", "K_3M": "3m", "K_5M": "5m", "K_10M": "10m", "K_15M": "15m", "K_30M": "30m",
    "K_60M": "1h", "K_120M": "2h", "K_180M": "3h", "K_240M": "4h", "K_DAY": "1d", "K_WEEK": "1w",
    "K_MON": "1M", "K_QUARTER": "3M", "K_YEAR": "1y",
}  # fmt: skip


def make_quote_tape():
    rows = np.zeros(QUOTES, TICK)
    at = np.arange(QUOTES)
    rows["time_ns"] = START_NS + at * 100_000_000  # 4 minutes
    rows["price"] = np.round(100 + 3 * np.sin(at / 99), 2)
    rows["volume"] = at % 70 + np.where(at % 8 == 7, 0.125, 1)
    rows["symbol"] = at % len(TRADED)
    rows["side"] = at % 3 - 1
    return Tape(TRADED, rows)


@pytest.mark.parametrize("mode", ["plain", "encrypt", "key only"])
def test_every_call_and_push_of_the_market_is_right(package, mode, key_file, tmp_path):
    if (package, mode) in {("futu", "key only"), ("moomoo", "encrypt")}:
        pytest.skip("the other package does it; their code is the same")
    tape = make_quote_tape()
    arguments = [str(QUOTES)]
    if mode != "plain":
        arguments += [str(key_file)] + ["encrypt"] * (mode == "encrypt")
    said = {}

    async def main():
        sim = OpenDSimulator(
            tape=tape,
            speed="max",
            hold=True,
            watchlists={"Mine": ["700.HK"]},
            unsubscribe_after_s=0.0,
            rsa_key=None if mode == "plain" else key_file,
        )
        async with sim:
            script = asyncio.create_task(
                run_official(SCRIPT, package, "quotes", sim.port, *arguments, home=tmp_path)
            )
            while not script.done():
                await asyncio.sleep(0.1)
                if sim.stats()["subscriptions"] == 8 * 4 + 17:
                    sim.begin()
                await sim.notify(1, event={"eventType": 7, "desc": b"kicked out"})
                await sim.remind("700.HK", note="sell")
                if sim.sent == QUOTES and sim.upstream:
                    sim.lose_upstream()
                    sim.restore_upstream()
            said.update(await script)
            return sim.market

    market = asyncio.run(main())
    assert said["complete"], said
    check_cached(said, market, tape)
    check_bars(said, market)
    check_terms(said, market)
    check_user(said)
    check_pushes(said["pushed"], market, tape)


def good(said, name):
    ret, data = said[name][:2]
    assert ret == 0, (name, data)
    return data


def has(row, **columns):
    """Check columns of a row; what is absent is told as N/A."""
    for name, value in columns.items():
        assert row[name] == ("N/A" if value is None else value), (name, row[name], value, row)


def clock(region, at_s, form="%Y-%m-%d %H:%M:%S"):
    return f"{calendar.local(region, at_s):{form}}"


def check_cached(said, market, tape):
    ret, text = said["not subscribed"]
    assert (ret, text) == (-1, "please subscribe to ticks of AAPL.US first")
    rows = good(said, "get_rt_ticker")
    mine = tape.rows[tape.rows["symbol"] == 0]
    assert len(rows) == len(mine) == 300
    for row, (time_ns, price, volume, _, side) in zip(rows, mine.tolist(), strict=True):
        has(row, code="US.AAPL", name="AAPL", price=price, volume=volume, turnover=price * volume)
        has(row, ticker_direction=SIDES[side], type="AUTO_MATCH")
        assert row["time"] == clock("US", time_ns // 10**9) + f".{time_ns // 10**6 % 1000:03}"
        assert row["sequence"] >> 32 == time_ns // 10**9
    line = good(said, "get_rt_data")
    points = market.minute_line("AAPL.US")
    assert len(line) == len(points) == 4
    for row, point in zip(line, points, strict=True):
        check_point(row, point, market)
    quotes = good(said, "get_stock_quote")
    assert [row["code"] for row in quotes] == list(CODES.values())
    for row, symbol in zip(quotes, CODES, strict=True):
        check_quote(row, symbol, market)
    for name, depth, odd in (("get_order_book", 60, False), ("odd book", 5, True)):
        check_book(good(said, name), market, depth, odd)
    ret, bids, asks = said["get_broker_queue"]
    assert ret == 0
    check_brokers(bids, asks, market)


def check_point(row, point, market):
    has(
        row, code="US.AAPL", name="AAPL", time=clock("US", point.time_s), is_blank=False,
        opened_mins=point.minute, cur_price=point.price, avg_price=point.average,
        last_close=market.quote("AAPL.US").prev_close, turnover=point.turnover,
        volume=point.volume,
    )  # fmt: skip


def check_quote(row, symbol, market):
    quote, found = market.quote(symbol), instrument(symbol)
    has(
        row, code=CODES[symbol], name=found.name,
        data_date=clock(found.region, quote.time_ns // 10**9, "%Y-%m-%d"),
        last_price=quote.last, open_price=quote.open, high_price=quote.high,
        low_price=quote.low, prev_close_price=quote.prev_close, volume=quote.volume,
        turnover=quote.turnover, suspension=False, price_spread=found.spread,
        dark_status=None, sec_status="NORMAL",
        listing_date=None if found.kind == "option" else f"{found.listed}",
        amplitude=round((quote.high - quote.low) / quote.prev_close * 100, 3),
    )  # fmt: skip
    milliseconds = quote.time_ns // 10**6 % 1000
    assert row["data_time"] == clock(found.region, quote.time_ns // 10**9, "%H:%M:%S") + (
        f".{milliseconds:03}"
    )
    sent = records.basic_qot(market, found)
    terms = sent.get("optionExData", {})
    assert bool(terms) == (found.kind == "option")
    if terms:
        has(
            row, strike_price=100.0, contract_size=100.0, open_interest=terms["openInterest"],
            implied_volatility=terms["impliedVolatility"], premium=terms["premium"],
            delta=terms["delta"], gamma=terms["gamma"], vega=terms["vega"],
            theta=terms["theta"], rho=terms["rho"], net_open_interest=None,
            expiry_date_distance=103, contract_nominal_value=10_000.0,
            owner_lot_multiplier=1.0, option_area_type="AMERICAN", contract_multiplier=100.0,
        )  # fmt: skip
    elif found.kind == "future":
        future = sent["futureExData"]
        has(
            row, last_settle_price=future["lastSettlePrice"], position=future["position"],
            position_change=future["positionChange"],
        )  # fmt: skip
    else:  # of a warrant it shows nothing
        has(row, strike_price=None, delta=None, position=None)
    for prefix, name in (
        ("pre", "preMarket"),
        ("after", "afterMarket"),
        ("overnight", "overnight"),
    ):
        block = sent.get(name, {})
        assert bool(block) == (symbol in {"AAPL.US", "SPY.US"})
        has(
            row,
            **{
                f"{prefix}_{column}": block.get(field)
                for column, field in (
                    ("price", "price"), ("high_price", "highPrice"), ("low_price", "lowPrice"),
                    ("volume", "volume"), ("turnover", "turnover"), ("change_val", "changeVal"),
                    ("change_rate", "changeRate"), ("amplitude", "amplitude"),
                )
            },
        )  # fmt: skip


def check_book(book, market, depth, odd):
    bids, asks = market.book("700.HK", depth, odd_lots=odd)
    assert (book["code"], book["name"]) == ("HK.00700", "00700")
    assert book["order_book_type"] == ("ODD" if odd else "NORMAL")
    for side, levels in (("Bid", bids), ("Ask", asks)):
        assert [level[:3] for level in book[side]] == [
            [level.price, level.volume, len(level.orders)] for level in levels
        ]
        assert len(levels) == depth
    time_ns = market.quote("700.HK").time_ns
    for name in ("svr_recv_time_bid", "svr_recv_time_ask"):
        expected = clock("HK", time_ns // 10**9) + f".{time_ns // 10**6 % 1000:03}"
        assert book[name] == expected


def check_brokers(bids, asks, market):
    expected = market.brokers("700.HK")
    for side, rows, places in zip(("bid", "ask"), (bids, asks), expected, strict=True):
        assert len(rows) == len(places) > 9
        for row, place in zip(rows, places, strict=True):
            names = (f"{side}_broker_id", f"{side}_broker_name", f"{side}_broker_pos")
            assert [row[name] for name in names] == [place.id, place.name, place.level]
            has(row, code="HK.00700", order_id=None, order_volume=None)


def check_bars(said, market):
    for k_type, interval in K_TYPES.items():
        bars, closes = market.last_bars("700.HK", interval, 9, 1)
        rows = good(said, k_type)
        assert len(rows) == len(bars) >= 3
        for row, bar, close in zip(rows, bars.tolist(), closes.tolist(), strict=True):
            check_bar(row, bar, interval, last_close=close)
    history = said["request_history_kline"]
    assert [ret for ret, _ in history] == [0] * len(history)
    assert [len(rows) for _, rows in history] == [50, 50, 50, 50, 50, 14]
    begin = calendar.midnight_s("HK", date(2013, 10, 1))
    bars, closes = market.bars_between("700.HK", "5m", begin, begin + 4 * 86400, None, 2)
    rows = [row for _, page in history for row in page]
    for row, bar, close in zip(rows, bars.tolist(), closes.tolist(), strict=True):
        check_bar(row, bar, "5m", last_close=close)
        assert row["change_rate"] == round((bar[4] - close) / close * 100, 3)
    assert rows[0]["time_key"] == "2013-10-01 09:35:00"
    assert rows[-1]["time_key"] == "2013-10-04 16:00:00"
    used, remaining, [detail] = good(said, "get_history_kl_quota")
    assert (used, remaining, detail["code"]) == (1, 999, "HK.00700")
    [split] = good(said, "get_rehab")
    has(split, ex_div_date="2012-05-16", split_base=1.0, split_ert=2.0, forward_adj_factorA=0.5)
    has(split, forward_adj_factorB=0.0, backward_adj_factorA=2.0, backward_adj_factorB=0.0)


def check_bar(row, bar, interval, **more):
    start, opened, high, low, close, volume, turnover = bar
    label = clock("HK", start + INTRADAY_S.get(interval, 0))
    has(row, code="HK.00700", name="00700", time_key=label, open=opened, high=high, low=low)
    has(row, close=close, volume=volume, turnover=turnover, **more)


def check_terms(said, market):
    rows = good(said, "get_market_snapshot")
    assert [row["code"] for row in rows] == list(CODES.values())
    for row, symbol in zip(rows, CODES, strict=True):
        check_snapshot(row, symbol, market)
    assert [row["code"] for row in good(said, "get_stock_basicinfo")] == ["HK.13579", "HK.60123"]
    for row, symbol in zip(good(said, "some securities"), CODES, strict=True):
        found = instrument(symbol)
        has(row, code=CODES[symbol], name=found.name, lot_size=found.lot_size, stock_id=found.id)
        has(row, stock_type=KINDS[found.kind], delisting=False)
        option, warrant = found.kind == "option", found.kind == "warrant"
        has(row, stock_owner=CODES[found.owner] if found.owner else "")
        has(row, stock_child_type="CALL" if warrant else None)
        has(row, option_type="CALL" if option else None)
        has(row, strike_time="2014-01-18" if option else "", strike_price=100.0 if option else None)
        has(row, listing_date=None if option else str(found.listed))
        has(row, main_contract=found.kind == "future")
        has(row, last_trade_time="2030-12-30" if found.kind == "future" else "")
    plates = good(said, "get_plate_list")
    assert [(p["code"], p["plate_name"]) for p in plates] == [
        (f"US.{p.symbol.removesuffix('.US')}", p.name) for p in market.plates("US")
    ]
    assert [row["code"] for row in good(said, "get_plate_stock")] == ["US.AAPL", "US.SPY"]
    chain = good(said, "get_option_chain")
    pairs = market.chain("AAPL.US", date(2013, 10, 7), date(2013, 11, 5))
    options = [option for _, call, put in pairs for option in (call, put)]
    assert len(options) == 22
    for row, option in zip(
        sorted(chain, key=lambda row: row["code"]),
        sorted(options, key=lambda option: option.code),
        strict=True,
    ):
        has(row, code=f"US.{option.code}", option_type=option.right.upper(), lot_size=100)
        has(row, stock_owner="US.AAPL", strike_price=option.strike, strike_time="2013-10-18")
    [future] = good(said, "get_future_info")
    has(future, code="HK.HSImain", name="HSImain", size=50.0, price_currency="HKD")
    has(future, time_zone="Asia/Hong_Kong", last_trade_time="2030-12-30")
    assert [(d["time"][5:], d["trade_date_type"]) for d in good(said, "request_trading_days")] == [
        ("12-20", "WHOLE"), ("12-23", "WHOLE"), ("12-24", "MORNING"), ("12-26", "WHOLE"),
        ("12-27", "WHOLE"), ("12-30", "WHOLE"), ("12-31", "MORNING"), ("01-02", "WHOLE"),
        ("01-03", "WHOLE"),
    ]  # fmt: skip


def check_snapshot(row, symbol, market):
    quote, found = market.quote(symbol), instrument(symbol)
    sent = records.snapshot(market, found)
    basic = sent["basic"]
    [[bid], [ask]] = market.book(symbol, 1)
    has(
        row, name=found.name, last_price=quote.last, open_price=quote.open,
        high_price=quote.high, low_price=quote.low, prev_close_price=quote.prev_close,
        volume=quote.volume, turnover=quote.turnover, lot_size=found.lot_size,
        price_spread=found.spread, ask_price=ask.price, bid_price=bid.price, ask_vol=ask.volume,
        bid_vol=bid.volume, sec_status="NORMAL", suspension=False,
        highest52weeks_price=basic["highest52WeeksPrice"],
        lowest52weeks_price=basic["lowest52WeeksPrice"], avg_price=basic["avgPrice"],
        close_price_5min=quote.last, short_available_volume=basic["shortAvailableVolume"],
        equity_valid=found.kind == "stock", option_valid=found.kind == "option",
        wrt_valid=found.kind == "warrant", index_valid=found.kind == "index", plate_valid=False,
        future_valid=found.kind == "future", trust_valid=found.kind == "etf",
    )  # fmt: skip
    if found.kind == "stock":
        block = sent["equityExData"]
        has(row, issued_shares=block["issuedShares"], pe_ratio=block["peRate"])
        has(row, net_asset_per_share=block["netAssetPershare"], ey_ratio=block["eyRate"])
    elif found.kind == "etf":
        block = sent["trustExData"]
        has(row, trust_dividend_yield=block["dividendYield"], trust_assetClass="STOCK")
    elif found.kind == "option":
        block = sent["optionExData"]
        has(row, option_type="CALL", strike_time="2014-01-18", option_strike_price=100.0)
        has(row, option_delta=block["delta"], option_open_interest=block["openInterest"])
    elif found.kind == "warrant":
        block = sent["warrantExData"]
        has(row, wrt_type="CALL", wrt_strike_price=500.0, stock_owner="HK.00700")
        has(row, wrt_street_vol=block["streetVolumn"], wrt_score=block["score"])
    elif found.kind == "index":
        has(row, index_raise_count=sent["indexExData"]["raiseCount"])
    elif found.kind == "future":
        block = sent["futureExData"]
        has(row, future_position=block["position"], future_main_contract=True)


def check_user(said):
    states = good(said, "get_market_state")
    assert [(s["code"], s["market_state"]) for s in states] == [
        ("US.AAPL", "MORNING"),
        ("HK.HSImain", "FUTURE_DAY_OPEN"),
    ]
    assert good(said, "get_global_state")["qot_logined"] is True
    info = good(said, "get_user_info")
    has(info, user_id=100001, sub_quota=100_000, history_kl_quota=1000, hk_qot_right="LV2")
    delays = good(said, "get_delay_statistics")
    assert [d["count"] for d in delays["qot_push"][0]["list"]] == [30, 20, 10]
    used = good(said, "query_subscription")
    assert (used["total_used"], used["own_used"]) == (49, 49)
    assert set(used["sub_list"]) == {
        "TICKER", "QUOTE", "ORDER_BOOK", "RT_DATA", "BROKER", "ORDER_BOOK_ODD", *K_TYPES,
    }  # fmt: skip
    assert good(said, "get_user_security_group") == [{"group_name": "Mine", "group_type": "CUSTOM"}]
    for name, codes in (
        ("get_user_security", ["HK.00700"]),
        ("after ADD", ["HK.00700", "US.SPY", "CC.BTCUSDT"]),
        ("after MOVE_OUT", ["HK.00700", "US.SPY"]),
    ):
        assert [row["code"] for row in good(said, name)] == codes
    assert said["modify All"] == [-1, "not a group of the user's: All"]
    assert good(said, "unsubscribe") is None
    assert good(said, "unsubscribe_all") is None


def check_pushes(pushed, market, tape):
    ticks = pushed["TickerHandlerBase"]
    assert set(ticks) == set(CODES.values())
    for i, code in enumerate(CODES.values()):
        mine = tape.rows[tape.rows["symbol"] == i]
        has(good(ticks, code)[-1], price=mine["price"][-1], push_data_type="REALTIME")
    for symbol, code in CODES.items():
        [row] = good(pushed["StockQuoteHandlerBase"], code)
        check_quote(row, symbol, market)
    [row] = good(pushed["RTDataHandlerBase"], "US.AAPL")
    check_point(row, market.minute_line("AAPL.US")[-1], market)
    assert set(pushed["RTDataHandlerBase"]) == set(CODES.values())
    bars = pushed["CurKlineHandlerBase"]
    assert set(bars) == {f"HK.00700 {k_type}" for k_type in K_TYPES}
    for k_type, interval in K_TYPES.items():
        [row] = good(bars, f"HK.00700 {k_type}")
        [bar] = market.last_bars("700.HK", interval, 1, 1)[0].tolist()
        check_bar(row, bar, interval, k_type=k_type, last_close=0.0)
    books = pushed["OrderBookHandlerBase"]
    check_book(good(books, "HK.00700 NORMAL"), market, 10, False)
    check_book(good(books, "HK.00700 ODD"), market, 10, True)
    assert len(books) == len(CODES) + 1
    ret, code, [bids, asks] = pushed["BrokerHandlerBase"]["HK.00700"]
    assert (ret, code) == (0, "HK.00700")
    check_brokers(bids, asks, market)
    notices = pushed["SysNotifyHandlerBase"]
    assert good(notices, "GTW_EVENT") == ["GTW_EVENT", "KickedOut", "kicked out"]
    kind, _, state = good(notices, "CONN_STATUS")
    assert (kind, state) == ("CONN_STATUS", {"qot_logined": True, "trd_logined": True})
    reminder = good(pushed["PriceReminderHandlerBase"], "HK.00700")
    last = market.quote("700.HK").last
    has(reminder, note="sell", market_status="OPEN", content=f"700.HK is at {last:g}", price=last)
