"""LongPort's pulls over a real connection, beside what the vendor's client is told by the same simulator."""

import datetime
import importlib.util
import math
from pathlib import Path

import pytest
from official import run_official

from fastfeed.feeds.longport import LongPort
from fastfeed.sim import LongPortSimulator

SCRIPT = Path(__file__).with_name("official_longport_pulls.py")
HK, US = "700.HK", "AAPL.US"
FIRST, LAST = datetime.date(2026, 1, 5), datetime.date(2026, 3, 31)
PRICES = {"last": "last_done", **{n: n for n in ("prev_close", "open", "high", "low", "turnover")}}
#: Enumerations of the official client, and numbers in whose place it (3.0.18) has the last price.
WARRANT_DIFFERS = (
    *("kind", "status", "itm_otm", "conversion_ratio", "balance_point", "strike_price", "delta"),
    *("effective_leverage", "implied_volatility"),
)
BAR = ("open", "high", "low", "close", "volume", "turnover")


def number(said):
    """Return a decimal of the official client as a float; it has None, or 0, for what was not sent."""
    return math.nan if said is None else float(said)


def check_fields(ours, said, names):
    for name, official in names.items():
        value, want = ours[name], number(said[official])
        assert value == want or (math.isnan(value) and (want == 0 or math.isnan(want))), name


def check_record(ours, said, renamed, left_out=()):
    """Compare all fields of a record with what the official client has under the same name."""
    for name in set(ours.__struct_fields__) - set(left_out):
        value, want = getattr(ours, name), said[renamed.get(name, name)]
        if isinstance(value, datetime.date):
            value = value.isoformat()
        elif isinstance(value, float):
            if want is None:  # it leaves out what does not fit the kind of warrant, sent or not
                continue
            want = number(want)
            if math.isnan(value):
                assert want == 0, name
                continue
        assert value == want, name


def check_quotes(symbols, rows, said):
    assert [symbols[i] for i in rows["symbol"]] == [one["symbol"] for one in said]
    for row, one in zip(rows, said, strict=True):
        check_fields(row, one, PRICES | {"volume": "volume"})
        assert row["time_ns"] == one["timestamp"] * 10**9


def check_bars(rows, said):
    assert rows["time_ns"].tolist() == [one["timestamp"] * 10**9 for one in said]
    for row, one in zip(rows, said, strict=True):
        check_fields(row, one, dict(zip(BAR, BAR, strict=True)))


def feed_of(simulator, transport="ws"):
    port = simulator.port if transport == "ws" else simulator.tcp_port
    return LongPort(
        app_key="KEY",
        app_secret="secret",
        access_token="TOKEN",
        http_url=f"http://127.0.0.1:{simulator.port}",
        url=f"{transport}://127.0.0.1:{port}",
    )


@pytest.mark.parametrize("transport", ["ws", "tcp"])
def test_what_the_official_client_is_told(tmp_path, run, transport):
    if importlib.util.find_spec("longport") is None:
        pytest.skip("longport is not installed")

    async def main():
        now_ns = 1_795_000_000 * 10**9  # stands still, so that both are told the same
        async with LongPortSimulator(rate_limits=False, clock_ns=lambda: now_ns) as simulator:
            said = await run_official(SCRIPT, "longport", simulator.port, home=tmp_path)
            async with feed_of(simulator, transport) as feed:
                await compare(feed, said)

    run(main())


async def compare(feed, said):
    check_quotes(feed.symbols, await feed.get_quotes([US, HK]), said["quotes"])
    for ours, one in zip(await feed.get_static_info([US, HK]), said["static"], strict=True):
        check_record(ours, one, {}, ["listing_date", "stock_derivatives", "board"])

    book = await feed.get_book(HK)
    for side in ("bid", "ask"):
        levels = said["book"][f"{side}s"]
        assert len(levels) == book[f"{side}s"] == 10
        assert book[f"{side}_price"].tolist() == [float(one["price"]) for one in levels]
        assert book[f"{side}_volume"].tolist() == [one["volume"] for one in levels]
        assert book[f"{side}_orders"].tolist() == [one["order_num"] for one in levels]
    queues = await feed.get_brokers(HK)
    participants = await feed.get_participants()
    for ours, one in zip(participants, said["participants"], strict=True):
        assert list(ours.broker_ids) == one["broker_ids"]
        assert ours.participant_name_en == one["name_en"]
    for side in ("bid", "ask"):
        want = [id for level in said["brokers"][f"{side}_brokers"] for id in level["broker_ids"]]
        found = queues[f"{side}_broker"][: queues[f"{side}s"]].tolist()
        assert found == want
        assert all(feed.hub.broker_name(id) for id in found)

    check_bars(await feed.get_bars(US, "5m", 300, adjust="none", session="all"), said["bars"])
    check_bars(await feed.get_history_bars(HK, "1d", FIRST, LAST, adjust="none"), said["history"])

    expiries = await feed.get_option_expiries(US)
    assert [day.isoformat() for day in expiries] == said["expiries"]
    ((chain),) = await feed.get_option_chain(US, end=expiries[0])
    pairs = [(one.strike_price, one.call, one.put, one.standard) for one in chain.options]
    assert pairs == [
        (float(one["price"]), one["call_symbol"], one["put_symbol"], one["standard"])
        for one in said["pairs"]
    ]
    options = await feed.get_option_quotes([one["symbol"] for one in said["options"]])
    check_quotes(feed.symbols, options.rows, said["options"])
    same = ("strike_price", "contract_size", "contract_multiplier", "open_interest")
    for row, terms, one in zip(*options, said["options"], strict=True):
        check_fields(row, one, {name: name for name in same})
        assert row["implied_volatility"] == float(one["implied_volatility"] + "e2")
        check_record(terms, one, {}, ["direction", "contract_type"])

    for ours, one in zip(await feed.get_warrant_issuers(), said["issuers"], strict=True):
        check_record(ours, one, {"id": "issuer_id"})
    warrants = await feed.get_warrants(HK)
    assert warrants.total == len(said["warrants"]) > 0
    for ours, one in zip(warrants.warrants, said["warrants"], strict=True):
        check_record(ours, one, {"change_val": "change_value"}, WARRANT_DIFFERS)
    quotes = await feed.get_warrant_quotes([one["symbol"] for one in said["warrant_quotes"]])
    check_quotes(feed.symbols, quotes.rows, said["warrant_quotes"])
    for terms, one in zip(quotes.terms, said["warrant_quotes"], strict=True):
        check_record(terms, one, {"outstanding_qty": "outstanding_quantity"}, ["category"])

    names = ["last_done", "pe_ttm_ratio", "total_market_value"]
    ours = await feed.get_calc_indexes(HK, names)
    check_fields(ours[HK], said["indexes"][0], {name: name for name in names})
    for ours, one in zip(await feed.get_trading_sessions(), said["sessions"], strict=True):
        hours = [(s.begin_minute, s.end_minute) for s in ours.sessions]
        texts = [(s["begin_time"], s["end_time"]) for s in one["trade_sessions"]]
        assert [tuple(f"{m // 60:02}:{m % 60:02}:00" for m in pair) for pair in hours] == texts
    days = await feed.get_trading_days("HK", FIRST, FIRST + datetime.timedelta(28))
    for kind, key in (("WHOLE", "trading_days"), ("HALF", "half_trading_days")):
        assert [d.date.isoformat() for d in days if d.kind == kind] == said["days"][key]
    profile = await feed.get_profile()
    assert (profile.member_id, profile.quote_level) == (said["member_id"], said["quote_level"])
