"""The vendor's own clients, unmodified, connect to the simulated LongPort, ask, subscribe, and get everything right."""

import asyncio
import importlib.util
import math
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from clocks import clock_in_new_york_hours
from official import run_official
from raw_client import START_NS

import fastfeed as ff
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.sim import LongPortFaults, LongPortKnobs, LongPortSimulator, Tape, calendar
from fastfeed.sim.longport_answers import Answers
from fastfeed.sim.longport_client import Client
from fastfeed.sim.longport_pushes import MESSAGE_OF_PUSH
from fastfeed.sim.tape import TICK

SCRIPT = Path(__file__).with_name("official_longport.py")
SYMBOLS = ("SPY.US", "700.HK", "600519.SH")
COUNT = 900
DIRECTIONS = {0: "Neutral", 1: "Up", -1: "Down"}
SESSIONS = {0: "Intraday", 1: "Pre", 2: "Post", 3: "Overnight"}
SECOND_S = START_NS // 10**9


@pytest.fixture(params=["longport", "longbridge"])
def package(request):
    """Return the name of a vendor's package that is installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


def make_tape(gap_ns=1_000_000_000):
    """Return 15 minutes around the opening in New York."""
    rows = np.zeros(COUNT, TICK)
    at = np.arange(COUNT)
    rows["time_ns"] = START_NS + (at - 300) * gap_ns + at
    rows["price"] = np.round(100 + 3 * np.sin(at / 99), 2)
    rows["volume"] = at % 70 + 1
    rows["symbol"] = at % len(SYMBOLS)
    rows["side"] = at % 3 - 1
    rows["side"][::7] = 1
    return Tape(SYMBOLS, rows, [2] * len(SYMBOLS))


async def run_client(package, sim, what, *arguments, home):
    return await run_official(SCRIPT, package, what, sim.port, *arguments, home=home)


def number(text):
    """Return a decimal of the wire as the client has it."""
    return Decimal(text or "0")


def same_trade(said, price, volume, time_ns, side, session):
    assert float(said["price"]) == price
    assert said["volume"] == volume
    assert said["timestamp"] == time_ns // 10**9
    assert said["direction"] == DIRECTIONS[side]
    assert said["trade_session"] == SESSIONS[session]
    assert said["trade_type"] == ""


def session_of(symbol, time_ns):
    return 1 if symbol.endswith(".US") and time_ns < START_NS else 0


# Pulls.


ENUMERATIONS = {"board", "category", "contract_type", "direction"}


def same(said, fields, **names):
    """Compare what a client says with what it was sent: every field that goes by the same name."""
    compared = 0
    for name, value in said.items():
        sent = fields.get(names.get(name, name))
        if value is None or sent is None or name in ENUMERATIONS:
            continue
        if isinstance(value, str) and isinstance(sent, str):
            try:
                assert Decimal(value) == number(sent), name
            except ArithmeticError:  # a text, or a date
                assert value.replace("-", "") == sent, name
        elif isinstance(value, (int, bool)) and isinstance(sent, (int, bool)):
            assert value == sent, name
        else:
            continue
        compared += 1
    assert compared >= 2, (said, fields)


@pytest.fixture
def answered(monkeypatch):
    """Return what the simulator answers, by command."""
    kept = {}
    answer = Answers.answer

    def keep(self, command, request, asker):
        fields = answer(self, command, request, asker)
        kept.setdefault(command, []).append(fields)
        return fields

    monkeypatch.setattr(Answers, "answer", keep)
    return kept


def test_every_pull_is_understood(package, answered, tmp_path):
    tape = make_tape()

    async def main():
        async with LongPortSimulator(tape=tape, speed="max", rate_limits=False) as sim:
            return await run_client(package, sim, "pulls", home=tmp_path), sim.stats()

    said, stats = asyncio.run(main())
    assert stats["refused"] == 0
    assert stats["sent"] == COUNT
    assert said["member_id"] == 100001
    assert said["quote_level"].startswith("HKAA:OpenAPI")
    assert len(said["quote_package_details"]) == 3
    check_against_the_tape(said, tape)
    check_against_what_was_sent(said, answered, package)
    check_days_and_options(said)


def check_against_the_tape(said, tape):
    mine = [row for row in tape.rows.tolist() if row[3] == 0]
    for trade, (time_ns, price, volume, _, side) in zip(said["trades"], mine, strict=True):
        same_trade(trade, price, volume, time_ns, side, session_of("SPY.US", time_ns))
    for symbol, quote in zip(SYMBOLS, said["quote"], strict=True):
        rows = [row for row in tape.rows.tolist() if tape.symbols[row[3]] == symbol]
        regular = [row for row in rows if session_of(symbol, row[0]) == 0]
        pre = [row for row in rows if session_of(symbol, row[0]) == 1]
        parts = [(quote, regular)] + ([(quote["pre_market_quote"], pre)] if pre else [])
        for part, some in parts:
            prices = [row[1] for row in some]
            assert float(part["last_done"]) == prices[-1]
            assert (float(part["high"]), float(part["low"])) == (max(prices), min(prices))
            assert part["volume"] == sum(row[2] for row in some)
            assert float(part["turnover"]) == pytest.approx(sum(r[1] * r[2] for r in some))
            assert part["timestamp"] == some[-1][0] // 10**9
        assert float(quote["open"]) == regular[0][1]
        assert quote["symbol"] == symbol
        assert quote["trade_status"] == "Normal"
        assert bool(quote["pre_market_quote"]) == (symbol == "SPY.US")
        assert quote["post_market_quote"] is quote["overnight_quote"] is None
    minutes = {}
    for time_ns, price, volume, _, _ in mine:
        minutes.setdefault(time_ns // 60_000_000_000 * 60, []).append((price, volume))
    assert [line["timestamp"] for line in said["intraday"]] == list(minutes)
    money = total = 0
    for line, trades in zip(said["intraday"], minutes.values(), strict=True):
        money += sum(price * volume for price, volume in trades)
        total += sum(volume for _, volume in trades)
        assert float(line["price"]) == trades[-1][0]
        assert line["volume"] == sum(volume for _, volume in trades)
        assert float(line["avg_price"]) == pytest.approx(money / total, abs=1e-6)
    for bar, (start, trades) in zip(
        said["candlesticks Min_1"], list(minutes.items())[-5:], strict=True
    ):
        prices = [price for price, _ in trades]
        found = [float(bar[name]) for name in ("open", "high", "low", "close")]
        assert found == [prices[0], max(prices), min(prices), prices[-1]]
        assert bar["timestamp"] == start
        assert bar["volume"] == sum(volume for _, volume in trades)
    day = said["candlesticks Day"][-1]
    assert day["timestamp"] == calendar.midnight_s("US", date(2013, 10, 7))
    assert day["volume"] == total
    inflow = sum(row[1] * row[2] * row[4] for row in mine)
    assert float(said["capital_flow"][-1]["inflow"]) == pytest.approx(inflow, abs=1e-3)
    money_in, money_out = (
        sum(
            float(said["capital_distribution"][side][size]) for size in ("large", "medium", "small")
        )
        for side in ("capital_in", "capital_out")
    )
    assert money_in - money_out == pytest.approx(inflow, abs=0.01)


def check_against_what_was_sent(said, answered, package):
    def rows(key, name, at=-1, **names):
        fields = answered[Command[key]][at]
        sent = next(value for value in fields.values() if isinstance(value, list))
        assert len(said[name]) == len(sent) > 0
        for one, other in zip(said[name], sent, strict=True):
            same(
                one,
                {**other, **other.get("option_extend", {}), **other.get("warrant_extend", {})},
                **names,
            )

    rows("STATIC_INFO", "static_info")
    rows(
        "PARTICIPANTS", "participants", name_en="participant_name_en", name_hk="participant_name_hk"
    )
    rows("INTRADAY", "intraday")
    rows("OPTION_QUOTES", "option_quote")
    rows("WARRANT_QUOTES", "warrant_quote", outstanding_quantity="outstanding_qty")
    rows("WARRANT_ISSUERS", "warrant_issuers", issuer_id="id")
    rows("CAPITAL_FLOW", "capital_flow")
    for at, name in ((0, "depth"), (1, "depth of America")):
        for side, sent in (("asks", "ask"), ("bids", "bid")):
            levels = answered[Command.DEPTH][at][sent]
            assert len(said[name][side]) == len(levels) == (10 if at == 0 else 1)
            for one, other in zip(said[name][side], levels, strict=True):
                same(one, other)
                assert one["order_num"] == other["order_num"]
    for side in ("ask_brokers", "bid_brokers"):
        assert said["brokers"][side] == answered[Command.BROKERS][0][side]
    for at, name in enumerate(key for key in said if key.startswith("candlesticks ")):
        rows("CANDLESTICKS", name, at)
        assert len(said[name]) == 5
    rows("HISTORY_CANDLESTICKS", "history_candlesticks_by_offset", 0)
    rows("HISTORY_CANDLESTICKS", "history_candlesticks_by_date", 1)
    assert [bar["timestamp"] for bar in said["history_candlesticks_by_offset"]] == sorted(
        bar["timestamp"] for bar in said["history_candlesticks_by_offset"]
    )
    # This version puts the last price into most of a warrant's fields.
    wrong = {"delta", "itm_otm", "balance_point", "conversion_ratio", "effective_leverage",
             "implied_volatility", "to_call_price", "call_price", "strike_price",
             "upper_strike_price", "lower_strike_price"} if package == "longport" else set()  # fmt: skip
    listed = answered[Command.WARRANT_LIST][0]["warrant_list"]
    assert [float(sent["last_done"]) for sent in listed] == sorted(
        (float(sent["last_done"]) for sent in listed), reverse=True
    )
    for warrant, sent in zip(said["warrant_list"], listed, strict=True):
        kept = {name: value for name, value in warrant.items() if name not in wrong}
        quantity = int(sent["outstanding_qty"])
        same(kept, sent | {"outstanding_qty": quantity}, change_value="change_val")
    for said_one, sent_one in zip(
        said["calc_indexes"], answered[Command.CALC_INDEXES][0]["security_calc_index"], strict=True
    ):
        same(said_one, sent_one, change_value="change_val")


def check_days_and_options(said):
    days = [date(2013, 12, 16) + timedelta(n) for n in range(19)]
    kinds = {day: calendar.day_kind("US", day) for day in days}
    assert said["trading_days"] == {
        "trading_days": [f"{day}" for day in days if kinds[day] == 0],
        "half_trading_days": [f"{day}" for day in days if kinds[day] == 1],
    }
    sessions = {m["market"]: m["trade_sessions"] for m in said["trading_session"]}
    assert set(sessions) == {"US", "HK", "CN", "SG"}
    assert {s["trade_session"] for s in sessions["US"]} == set(SESSIONS.values())
    assert [s["begin_time"] for s in sessions["HK"]] == ["09:30:00", "13:00:00"]
    assert said["option_chain_expiry_date_list"][0] == "2013-10-18"
    assert len(said["option_chain_expiry_date_list"]) == 12
    for strike in said["option_chain_info_by_date"] or ():
        thousand = round(float(strike["price"]) * 1000)
        assert strike["call_symbol"] == f"SPY131018C{thousand}.US"
        assert strike["put_symbol"] == f"SPY131018P{thousand}.US"
    [option] = said["option_quote"]
    assert (option["strike_price"], option["expiry_date"]) == ("75", "2013-10-18")
    assert (option["direction"], option["underlying_symbol"]) == ("Call", "SPY.US")
    assert said["warrant_quote"][0]["underlying_symbol"] == "700.HK"
    subscriptions = {s["symbol"]: s["sub_types"] for s in said["subscriptions"]}
    assert subscriptions == {symbol: ["Trade"] for symbol in SYMBOLS}
    fewer = {s["symbol"]: s["sub_types"] for s in said["fewer subscriptions"] if s["sub_types"]}
    assert fewer == {symbol: ["Trade"] for symbol in SYMBOLS[1:]}


# Pushes.


@pytest.fixture
def pushed(monkeypatch):
    """Return the pushes that the simulator sends, by command."""
    kept = {}
    encode = Client._encode_pushes

    def keep(self, pushes):
        for command, body in pushes:
            name = MESSAGE_OF_PUSH[command]
            kept.setdefault(name, []).append(message_class(name).FromString(body))
        return encode(self, pushes)

    monkeypatch.setattr(Client, "_encode_pushes", keep)
    return kept


PUSH_FAULTS = {
    "none": {},
    "compressed and signed": {"gzip": 0, "verify": True},
    "fragments": {"fragment": 7, "split": 5},
    "extras": {
        "garbage": 50, "unknown_push": 20, "unknown_fields": True, "double_reply": 1,
    },
}  # fmt: skip


def check_pushes(said, pushed, tape):
    assert said["complete"], said
    assert len(said["trades"]) == COUNT
    for (symbol, trade), (time_ns, price, volume, index, side) in zip(
        said["trades"], tape.rows.tolist(), strict=True
    ):
        assert symbol == SYMBOLS[index]
        same_trade(trade, price, volume, time_ns, side, session_of(symbol, time_ns))
    quotes = pushed["PushQuote"]
    assert len(said["quote"]) == len(quotes) > len(SYMBOLS)
    known = {}
    for (symbol, event), sent in zip(said["quote"], quotes, strict=True):
        assert symbol == sent.symbol
        for name in ("last_done", "open", "high", "low", "turnover", "volume"):
            if value := getattr(sent, name):  # the client fills in what has not changed
                known[symbol, name] = Decimal(value)
            assert Decimal(event[name]) == known.get((symbol, name), 0), name
        assert Decimal(event["current_turnover"]) == number(sent.current_turnover)
        for name in ("timestamp", "current_volume"):
            assert event[name] == getattr(sent, name), name
        assert event["trade_session"] == SESSIONS[sent.trade_session]
    books = pushed["PushDepth"]
    assert len(said["depth"]) == len(books) > len(SYMBOLS)
    for (symbol, event), sent in zip(said["depth"], books, strict=True):
        assert symbol == sent.symbol
        for levels, others in ((event["asks"], sent.ask), (event["bids"], sent.bid)):
            assert [
                (x["position"], Decimal(x["price"]), x["volume"], x["order_num"]) for x in levels
            ] == [(y.position, Decimal(y.price), y.volume, y.order_num) for y in others]
    queues = pushed["PushBrokers"]
    assert len(said["brokers"]) == len(queues) > 1
    for (symbol, event), sent in zip(said["brokers"], queues, strict=True):
        assert symbol == sent.symbol == "700.HK"
        for levels, others in (
            (event["ask_brokers"], sent.ask_brokers),
            (event["bid_brokers"], sent.bid_brokers),
        ):
            assert [(x["position"], x["broker_ids"]) for x in levels] == [
                (y.position, list(y.broker_ids)) for y in others
            ]
    for quote in said["realtime"]:
        last = [row for row in tape.rows.tolist() if SYMBOLS[row[3]] == quote["symbol"]][-1]
        assert float(quote["last_done"]) == last[1]
    assert all(not item["sub_types"] for item in said["subscriptions"])


@pytest.mark.parametrize("faults", PUSH_FAULTS)
def test_every_push_is_right(package, faults, pushed, tmp_path):
    tape = make_tape()

    async def main():
        sim = LongPortSimulator(
            tape=tape, speed="max", rate_limits=False, hold=True,
            faults=LongPortFaults(**PUSH_FAULTS[faults]), knobs=LongPortKnobs(unpacked=True),
        )  # fmt: skip
        async with sim:
            client = asyncio.create_task(run_client(package, sim, "pushes", COUNT, home=tmp_path))
            while sim.stats()["subscribed"] < len(SYMBOLS) and not client.done():
                await asyncio.sleep(0.02)
            sim.begin()
            return await client

    check_pushes(asyncio.run(main()), pushed, tape)


DROPS = [{"drop_after": 200}, {"close": 200}, {"truncated": 200}, {"unknown_type": 200}]


@pytest.mark.parametrize("fault", DROPS, ids=lambda fault: next(iter(fault)))
def test_it_comes_back(package, fault, tmp_path):
    if (package == "longbridge") == (next(iter(fault)) in {"close", "truncated"}):
        pytest.skip("the other package does it; their code is the same")

    async def main():
        sim = LongPortSimulator(
            symbols=SYMBOLS, rate=1000, rate_limits=False, faults=LongPortFaults(**fault),
            clock_ns=clock_in_new_york_hours(),
        )  # fmt: skip
        async with sim:
            said = await run_client(package, sim, "pushes", 700, home=tmp_path)
            return said, sim.stats()

    said, stats = asyncio.run(main())
    assert said["complete"], said
    assert stats["connections"] == 2
    assert stats["http_requests"] == 1  # the session was taken up again
    assert {symbol for symbol, _ in said["trades"][-200:]} == set(SYMBOLS)


def test_a_refused_session_is_opened_anew(package, tmp_path):
    if package == "longbridge":
        pytest.skip("the other package does it; their code is the same")

    async def main():
        faults = LongPortFaults(drop_after=100, refuse_reconnect=True)
        async with LongPortSimulator(
            symbols=SYMBOLS, rate=1000, rate_limits=False, faults=faults
        ) as sim:
            said = await run_client(package, sim, "pushes", 700, home=tmp_path)
            return said, sim.stats()

    said, stats = asyncio.run(main())
    assert said["complete"], said
    assert stats["http_requests"] == 2


# What is refused.


def test_errors_have_their_codes(package, tmp_path):
    async def main():
        async with LongPortSimulator(
            tape=make_tape(),
            rate_limits=False,
            knobs=LongPortKnobs(no_access="600519.SH"),
            faults=LongPortFaults(bad_error=int(Command.BROKERS)),
        ) as sim:
            return await run_client(package, sim, "errors", home=tmp_path)

    said = asyncio.run(main())
    assert said["unknown"] == [301600, "unknown symbol: NOBODY.US"]
    assert said["too many"][0] == said["count"][0] == said["period"][0] == 301607
    assert said["no access"][0] == 301604
    assert said["broken"][0] is None
    assert said["still there"][0]["symbol"] == "SPY.US"


@pytest.mark.parametrize(
    ("fault", "code"),
    [("401003", 401003), ("403201", 403201), ("429002", 429002), ("full", None), ("429", 0)],
)
def test_who_gets_no_password_is_told(package, fault, code, tmp_path):
    async def main():
        # After two refusals without JSON it works; the others are not tried again.
        faults = LongPortFaults(token_error=fault, token_times=2 if fault == "429" else 0)
        async with LongPortSimulator(tape=make_tape(), rate_limits=False, faults=faults) as sim:
            said = await run_client(package, sim, "refused", home=tmp_path)
            return said, sim.stats()["http_requests"]

    said, requests = asyncio.run(main())
    assert said["code"] == code, said
    assert requests == (3 if fault == "429" else 1)


# Both at once.


async def pushes_of_ours(sim, begin):
    """Return the rows of a feed that subscribes as the official client does."""
    rows = {kind: [] for kind in ("ticks", "quotes", "books", "brokers")}
    names = ("app_key", "app_secret", "access_token")
    keys = dict(zip(names, ("KEY", "secret", "TOKEN"), strict=True))
    async with ff.LongPort(url=sim.url, http_url=sim.http_url, **keys) as feed:
        for kind, kept in rows.items():
            feed.stream(kind).on_batch(lambda batch, kept=kept: kept.extend(batch.copy()))
        await feed.subscribe(SYMBOLS, *rows)
        await begin()
        async with asyncio.timeout(20):
            while len(rows["ticks"]) < COUNT:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        symbols = list(feed.symbols)
    return symbols, rows


def check_levels(levels, row, side):
    """Compare the levels that a push had with a merged book."""
    for level in levels:
        place = level["position"] - 1
        price = row[f"{side}_price"][place]
        assert (
            math.isnan(price) if level["price"] in (None, "0") else price == float(level["price"])
        )
        if not math.isnan(price):
            assert row[f"{side}_volume"][place] == level["volume"]
            assert row[f"{side}_orders"][place] == level["order_num"]


def test_both_clients_see_the_same(package, tmp_path):
    async def main():
        sim = LongPortSimulator(tape=make_tape(), speed="max", rate_limits=False, hold=True)
        async with sim:
            theirs = asyncio.create_task(run_client(package, sim, "pushes", COUNT, home=tmp_path))

            async def begin():
                while sim.stats()["clients"] < 2 and not theirs.done():
                    await asyncio.sleep(0.02)
                await asyncio.sleep(1.0)  # the other one subscribes
                sim.begin()

            ours = await pushes_of_ours(sim, begin)
            return await theirs, *ours

    said, symbols, rows = asyncio.run(main())
    assert said["complete"], said
    assert len(said["trades"]) == len(rows["ticks"]) == COUNT
    names = {1: "Intraday", 2: "Pre", 3: "Post", 4: "Overnight"}
    for (symbol, trade), row in zip(said["trades"], rows["ticks"], strict=True):
        assert symbol == symbols[row["symbol"]]
        side, session = int(row["side"]), int(row["session"]) - 1
        same_trade(trade, row["price"], row["volume"], row["time_ns"], side, session)
    quotes = [row for row in rows["quotes"] if not row["flags"] & ff.Flags.CACHED]
    assert len(quotes) == len(said["quote"]) > len(SYMBOLS)
    for (symbol, event), row in zip(said["quote"], quotes, strict=True):
        assert symbol == symbols[row["symbol"]]
        assert row["last"] == float(event["last_done"])
        assert row["time_ns"] == event["timestamp"] * 10**9
        assert names[int(row["session"])] == event["trade_session"]
    assert len(rows["books"]) == len(said["depth"]) > len(SYMBOLS)
    for (symbol, event), row in zip(said["depth"], rows["books"], strict=True):
        assert symbol == symbols[row["symbol"]]
        check_levels(event["asks"], row, "ask")
        check_levels(event["bids"], row, "bid")
    assert len(rows["brokers"]) == len(said["brokers"]) > 1
    for (symbol, event), row in zip(said["brokers"], rows["brokers"], strict=True):
        assert symbol == symbols[row["symbol"]]
        for side in ("ask", "bid"):
            for level in event[f"{side}_brokers"]:
                here = row[f"{side}_level"] == level["position"]
                assert row[f"{side}_broker"][here].tolist() == level["broker_ids"]
