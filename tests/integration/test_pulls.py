"""What the pulls return from the simulator, and that the vendor's own clients are told the same, column by column."""

import asyncio
import math
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from official import run_official

import fastfeed as ff
from fastfeed.protocols.opend_codes import canonical, security
from fastfeed.sim import OpenDSimulator, Tape
from fastfeed.sim.tape import TICK

SCRIPT = Path(__file__).with_name("official_pulls.py")
HK, US = "700.HK", "AAPL.US"
COUNT = 600


def make_tape():
    """Return trades of ten minutes of a morning in Hong Kong; when they are over, nothing changes any more."""
    rows = np.zeros(COUNT, TICK)
    at = np.arange(COUNT)
    rows["time_ns"] = 1_790_000_000_000_000_000 + at * 1_000_000_000
    rows["price"] = np.round(50 + np.sin(at / 50), 2)
    rows["volume"] = 100 * (1 + at % 7)
    rows["symbol"] = at % 2
    rows["side"] = at % 3 - 1
    return Tape([HK, US], rows)


async def ask_official(package, port, home):
    said = await run_official(SCRIPT, package, port, home=home)
    for name, (ret, *data) in said.items():
        assert ret == 0, (name, data)
    return {name: data for name, (_, *data) in said.items()}


async def ask_ourselves(feed):
    return {
        "ticks": await feed.get_ticks(HK),
        "quotes": await feed.get_quotes([US, HK]),
        "bars": await feed.get_bars(HK, "1m", 50),
        "timeshare": await feed.get_timeshare(HK),
        "book": await feed.get_book(HK),
        "brokers": await feed.get_brokers(HK),
        "history": await feed.get_history_bars(HK, "1d", "2026-01-05", "2026-03-31", adjust="none"),
        "snapshots": await feed.get_snapshots([US, HK]),
        "static": await feed.get_static_info(HK),
        "groups": await feed.get_watchlists(),
        "group": await feed.get_watchlist("All"),
        "states": await feed.get_market_states([US, HK]),
        "days": await feed.get_trading_days("HK", "2026-01-05", "2026-01-30"),
        "plates": await feed.get_plates("HK"),
        "rehab": await feed.get_rehab(HK),
        "futures": await feed.get_futures("HSImain.HK"),
        "options": await feed.get_option_chain(US, "2026-12-01", "2026-12-30"),
        "quota": await feed.get_history_quota(details=True),
        "state": await feed.get_global_state(),
    }


def code(symbol):
    """Return a symbol in the vendor's form."""
    market, ticker = security(symbol)
    return f"{canonical(market, 'X').rpartition('.')[2]}.{ticker}"


def local(ns, zone="Asia/Hong_Kong", digits=3):
    """Return a time as the vendor writes it."""
    at = datetime.fromtimestamp(ns // 10**9, UTC).astimezone(ZoneInfo(zone))
    milliseconds = f".{ns % 10**9 // 10**6:03}" if digits else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{milliseconds}"


def same(theirs, ours):
    """Compare their value with ours: absent is 'N/A', NaN or empty there, NaN or None here."""
    if ours is None or (isinstance(ours, float | np.floating) and math.isnan(ours)):
        return theirs in ("N/A", "", None) or (isinstance(theirs, float) and math.isnan(theirs))
    return theirs == ours


def compare(theirs, ours, columns, name):
    """Compare rows by a table from their column to a function of our row."""
    assert len(theirs) == len(ours) > 0, name
    for their, our in zip(theirs, ours, strict=True):
        for column, get in columns.items():
            value = get(our)
            if isinstance(value, np.generic):
                value = value.item()
            assert same(their[column], value), (name, column, their[column], value)


def fields(**columns):
    """Return such a table from the names of our fields."""
    return {
        theirs: (lambda row, ours=ours: row[ours])
        if isinstance(ours, str)
        else ours
        for theirs, ours in columns.items()
    }  # fmt: skip


def attributes(block=None, **columns):
    """Return such a table from the names of our attributes, of the record or of a block in it."""

    def get(row, ours):
        inner = getattr(row, block) if block else row
        return None if inner is None else getattr(inner, ours)

    return {
        theirs: (lambda row, ours=ours: get(row, ours)) if isinstance(ours, str) else ours
        for theirs, ours in columns.items()
    }


SIDES = {1: "BUY", -1: "SELL", 0: "NEUTRAL"}


def check_arrays(theirs, ours):
    compare(
        theirs["ticks"][0],
        ours["ticks"],
        fields(
            **{"price": "price", "volume": "volume", "turnover": "turnover", "sequence": "seq"},
            ticker_direction=lambda r: SIDES[int(r["side"])],
            time=lambda r: local(int(r["time_ns"])),
        ),
        "ticks",
    )
    regular = [row for row in ours["quotes"] if row["session"] == 1]
    compare(
        theirs["quotes"][0],
        regular,
        fields(
            **{"last_price": "last", "open_price": "open", "high_price": "high"},
            **{"low_price": "low", "prev_close_price": "prev_close", "volume": "volume"},
            **{"turnover": "turnover", "turnover_rate": "turnover_rate"},
            **{"amplitude": "amplitude", "price_spread": "price_spread"},
            suspension=lambda r: bool(r["suspended"]),
        ),
        "quotes",
    )
    bars = fields(
        **{"open": "open", "high": "high", "low": "low", "close": "close", "pe_ratio": "pe"},
        **{"volume": "volume", "turnover": "turnover", "turnover_rate": "turnover_rate"},
        last_close="prev_close",
    )
    label = {"time_key": lambda r: local(int(r["time_ns"]) + 60 * 10**9, digits=0)}
    compare(theirs["bars"][0], ours["bars"], bars | label, "bars")
    label = {
        "time_key": lambda r: local(int(r["time_ns"]), digits=0),
        "change_rate": lambda r: r["change_rate"],
    }
    compare(theirs["history"][0], ours["history"], bars | label, "history")
    compare(
        theirs["timeshare"][0],
        ours["timeshare"],
        fields(
            **{"cur_price": "price", "last_close": "prev_close", "avg_price": "avg_price"},
            **{"turnover": "turnover", "volume": "volume", "opened_mins": "minute"},
            is_blank=lambda r: bool(r["blank"]),
            time=lambda r: local(int(r["time_ns"]), digits=0),
        ),
        "timeshare",
    )
    book = ours["book"]
    for side, ask in (("bid", "Bid"), ("ask", "Ask")):
        n = book[f"{side}s"]
        levels = [
            [book[f"{side}_{what}"][i].item() for what in ("price", "volume", "orders")]
            for i in range(n)
        ]
        assert levels == [level[:3] for level in theirs["book"][0][ask]]
        assert n == 10
        assert theirs["book"][0][f"svr_recv_time_{side}"] == local(int(book[f"{side}_ns"]))
    row = ours["brokers"]
    for side, queue in zip(("bid", "ask"), theirs["brokers"], strict=True):
        n = row[f"{side}s"]
        assert row[f"{side}_broker"][:n].tolist() == [b[f"{side}_broker_id"] for b in queue]
        assert row[f"{side}_level"][:n].tolist() == [b[f"{side}_broker_pos"] for b in queue]
        assert n > 0


STATIC = attributes(
    **{"name": "name", "lot_size": "lot_size", "stock_type": "kind", "stock_id": "security_id"},
    code=lambda r: code(r.symbol),
    listing_date="listed",
    delisting="delisted",
)


def check_records(theirs, ours):
    snapshots = (
        attributes(
            **{"name": "name", "last_price": "last", "open_price": "open", "high_price": "high"},
            **{"low_price": "low", "prev_close_price": "prev_close", "volume": "volume"},
            **{"turnover": "turnover", "turnover_rate": "turnover_rate", "lot_size": "lot_size"},
            **{"suspension": "suspended", "listing_date": "listed", "sec_status": "status"},
            **{"price_spread": "price_spread", "ask_price": "ask_price", "bid_price": "bid_price"},
            **{"ask_vol": "ask_volume", "bid_vol": "bid_volume", "amplitude": "amplitude"},
            **{"avg_price": "average_price", "bid_ask_ratio": "bid_ask_ratio"},
            **{"volume_ratio": "volume_ratio", "highest52weeks_price": "high_52_weeks"},
            **{"lowest52weeks_price": "low_52_weeks", "highest_history_price": "high_ever"},
            **{"lowest_history_price": "low_ever", "update_time": "update_time"},
            **{"enable_margin": "margin_enabled", "mortgage_ratio": "mortgage_ratio"},
            **{"short_available_volume": "short_available_volume"},
            code=lambda r: code(r.symbol),
        )
        | attributes(
            "equity",
            **{"issued_shares": "issued_shares", "total_market_val": "total_market_value"},
            **{"net_asset": "net_asset", "net_profit": "net_profit", "pe_ratio": "pe_ratio"},
            **{"earning_per_share": "earnings_per_share", "pb_ratio": "pb_ratio"},
            **{"outstanding_shares": "outstanding_shares", "pe_ttm_ratio": "pe_ttm_ratio"},
            **{"circular_market_val": "outstanding_market_value", "ey_ratio": "earnings_yield"},
            **{"net_asset_per_share": "net_asset_per_share", "dividend_ttm": "dividend_ttm"},
        )
        | attributes("pre_market", pre_price="price", pre_volume="volume")
    )
    compare(theirs["snapshots"][0], ours["snapshots"], snapshots, "snapshots")
    zones = {HK: "Asia/Hong_Kong", US: "America/New_York"}
    for one in ours["snapshots"]:
        assert local(one.update_ns, zones[one.symbol]) == one.update_time
    compare(
        theirs["static"][0], ours["static"], STATIC | attributes(exchange_type="exchange"), "static"
    )
    compare(theirs["group"][0], ours["group"], STATIC, "group")
    compare(
        theirs["groups"][0],
        ours["groups"],
        attributes(group_name="name", group_type="kind"),
        "groups",
    )
    compare(
        theirs["states"][0],
        ours["states"],
        attributes(stock_name="name", market_state="state", code=lambda r: code(r.symbol)),
        "states",
    )
    compare(
        theirs["days"][0], ours["days"], attributes(time="date", trade_date_type="kind"), "days"
    )
    compare(
        theirs["plates"][0],
        ours["plates"],
        attributes(plate_name="name", code=lambda r: code(r.symbol)),
        "plates",
    )
    compare(
        theirs["rehab"][0],
        ours["rehab"],
        attributes(
            **{"ex_div_date": "date", "split_base": "split_base", "split_ert": "split_extra"},
            **{"join_base": "join_base", "bonus_ert": "bonus_extra", "per_cash_div": "dividend"},
            **{"special_dividend": "special_dividend", "allotment_price": "allot_price"},
            **{"forward_adj_factorA": "forward_factor", "forward_adj_factorB": "forward_offset"},
            **{
                "backward_adj_factorA": "backward_factor",
                "backward_adj_factorB": "backward_offset",
            },
        ),
        "rehab",
    )
    compare(
        theirs["futures"][0],
        ours["futures"],
        attributes(
            **{"name": "name", "exchange": "exchange", "type": "contract_type"},
            **{"size": "contract_size", "size_unit": "contract_size_unit"},
            **{"price_currency": "quote_currency", "price_unit": "quote_unit"},
            **{"min_change": "tick_size", "min_change_unit": "tick_size_unit"},
            **{"time_zone": "time_zone", "last_trade_time": "last_trading_day"},
            code=lambda r: code(r.symbol),
        ),
        "futures",
    )
    contracts = [
        contract
        for chain in ours["options"]
        for pair in chain.options
        for contract in (pair.call, pair.put)
        if contract is not None
    ]
    compare(
        theirs["options"][0],
        contracts,
        attributes(name="name", lot_size="lot_size", stock_type="kind", stock_id="security_id")
        | {"code": lambda r: code(r.symbol), "stock_owner": lambda r: code(r.option.underlying)}
        | attributes(
            "option",
            **{"option_type": "kind", "strike_time": "expiry", "strike_price": "strike_price"},
            **{"suspension": "suspended", "expiration_cycle": "expiration_cycle"},
            **{"option_standard_type": "standard", "option_settlement_mode": "settlement"},
        ),
        "options",
    )
    used, remaining, details = theirs["quota"][0]
    assert (used, remaining) == (ours["quota"].used, ours["quota"].remaining)
    assert [d["code"] for d in details] == [code(d.symbol) for d in ours["quota"].details]
    state = theirs["state"][0]
    compare(
        [state],
        [ours["state"]],
        attributes(
            **{"market_hk": "market_hk", "market_us": "market_us", "market_sh": "market_sh"},
            **{"market_sz": "market_sz", "market_hkfuture": "market_hk_future"},
            **{"market_usfuture": "market_us_future", "market_jp": "market_jp"},
            **{"qot_logined": "quotes_logged_in", "trd_logined": "trade_logged_in"},
            program_status_type="program_status",
            server_ver=lambda r: str(r.server_version),
        ),
        "state",
    )


def test_the_vendors_clients_are_told_the_same(package, tmp_path):
    async def main():
        async with OpenDSimulator(tape=make_tape(), speed="max") as sim:
            async with ff.OpenD("127.0.0.1", sim.port) as feed:
                await feed.subscribe([HK, US], "ticks", "quotes", "books", "bars:1m", "timeshare")
                await feed.subscribe(HK, "brokers")
                async with asyncio.timeout(20):
                    while feed.ticks.count < COUNT:
                        await asyncio.sleep(0.01)
                ours = await ask_ourselves(feed)
                theirs = await ask_official(package, sim.port, tmp_path)
                assert len(ours["ticks"]) == COUNT // 2
                check_arrays(theirs, ours)
                check_records(theirs, ours)

    asyncio.run(main())
