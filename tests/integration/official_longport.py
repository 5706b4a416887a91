"""Run as a process of its own by test_official_longport.py: the vendor's client against a simulator.

    official_longport.py longport|longbridge pulls|pushes|errors PORT [COUNT]

Prints what it saw as one line of JSON. ``pulls`` makes every call; ``pushes`` subscribes to everything, and waits for
COUNT trades; ``errors`` shows what goes wrong. The vendor's packages hold the GIL while they wait, which nobody wants
in the process of the tests.
"""

import importlib
import json
import os
import sys
import threading
import time
from datetime import date, datetime
from decimal import Decimal

SYMBOLS = ["SPY.US", "700.HK", "600519.SH"]
WARRANT = "13579.HK"
OPTION = "SPY131018C75000.US"


def say(said):
    print(json.dumps(said), flush=True)
    os._exit(0)  # its threads have nothing left to do


def plain(value):
    """Return a value as JSON has it: decimals as texts, times as epoch seconds, enumerations by their names."""
    if value is None or isinstance(value, (str, int, float, Decimal)):
        return str(value) if isinstance(value, Decimal) else value
    if hasattr(value, "isoformat"):
        return round(value.timestamp()) if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    names = [name for name in dir(value) if not name.startswith("_")]
    if any(isinstance(getattr(type(value), name, None), type(value)) for name in names):
        return next((n for n in names if getattr(type(value), n) == value), "?")
    return {name: plain(getattr(value, name)) for name in names}


def context(api, port, **options):
    where = {
        "http_url": f"http://127.0.0.1:{port}",
        "quote_ws_url": f"ws://127.0.0.1:{port}/v2",
        "trade_ws_url": f"ws://127.0.0.1:{port}/v2",
        "enable_print_quote_packages": False,
    }
    make = getattr(api.Config, "from_apikey", api.Config)
    return api.QuoteContext(make("KEY", "secret", "TOKEN", **where | options))


def pulls(api, port):
    ctx = context(api, port, enable_overnight=True)
    period, adjust, sessions = api.Period, api.AdjustType, api.TradeSessions
    now = datetime.fromtimestamp(1_381_152_700)
    said = {}

    def call(name, *args, key=None):
        said[key or name] = plain(getattr(ctx, name)(*args))

    call("member_id")
    call("quote_level")
    call("quote_package_details")
    ctx.subscribe(SYMBOLS, [api.SubType.Trade])
    late = time.monotonic() + 10
    while len(ctx.realtime_trades("SPY.US", 500)) < 200 and time.monotonic() < late:
        time.sleep(0.02)
    time.sleep(0.1)
    call("static_info", [*SYMBOLS, WARRANT])
    call("quote", SYMBOLS)
    call("depth", "700.HK")
    call("depth", "SPY.US", key="depth of America")
    call("brokers", "700.HK")
    call("participants")
    call("trades", "SPY.US", 1000)
    call("intraday", "SPY.US", sessions.All)
    for name in (
        "Min_1",
        "Min_2",
        "Min_20",
        "Min_45",
        "Min_60",
        "Day",
        "Week",
        "Month",
        "Quarter",
        "Year",
    ):
        call(
            "candlesticks", "SPY.US", getattr(period, name), 5, adjust.NoAdjust, sessions.All,
            key=f"candlesticks {name}",
        )  # fmt: skip
    call(
        "history_candlesticks_by_offset",
        "700.HK",
        period.Min_5,
        adjust.ForwardAdjust,
        False,
        7,
        now,
    )
    call(
        "history_candlesticks_by_date", "700.HK", period.Day, adjust.NoAdjust, date(2013, 9, 2),
        date(2013, 9, 20),
    )  # fmt: skip
    call("option_chain_expiry_date_list", "SPY.US")
    if hasattr(api.Config, "from_apikey"):
        said["option_chain_info_by_date"] = None  # asked for over HTTP, by an address of its own
    else:
        call("option_chain_info_by_date", "SPY.US", ctx.option_chain_expiry_date_list("SPY.US")[0])
    call("option_quote", [OPTION])
    call("warrant_quote", [WARRANT])
    call("warrant_issuers")
    call("warrant_list", "700.HK", api.WarrantSortBy.LastDone, api.SortOrderType.Descending)
    call("trading_session")
    call("trading_days", api.Market.US, date(2013, 12, 16), date(2014, 1, 3))
    call("capital_flow", "SPY.US")
    call("capital_distribution", "SPY.US")
    indexes = [
        getattr(api.CalcIndex, name) for name in dir(api.CalcIndex) if not name.startswith("_")
    ]
    call("calc_indexes", [SYMBOLS[0], OPTION, WARRANT], indexes)
    call("subscriptions")
    ctx.unsubscribe(SYMBOLS[:1], [api.SubType.Trade])
    call("subscriptions", key="fewer subscriptions")
    say(said)


def pushes(api, port, count):
    ctx = context(api, port)
    seen = {"quote": [], "depth": [], "brokers": [], "trades": []}
    done = threading.Event()

    def on_trades(symbol, event):
        seen["trades"] += [(symbol, trade) for trade in event.trades]
        if len(seen["trades"]) >= count:
            done.set()

    def keep(kind):
        return lambda symbol, event: seen[kind].append((symbol, event))

    ctx.set_on_trades(on_trades)
    for kind in ("quote", "depth", "brokers"):
        getattr(ctx, f"set_on_{kind}")(keep(kind))
    types = api.SubType
    ctx.subscribe(SYMBOLS, [types.Quote, types.Depth, types.Brokers, types.Trade])
    said = {"complete": done.wait(20)}
    time.sleep(0.5)
    said["realtime"] = plain(ctx.realtime_quote(SYMBOLS))
    ctx.unsubscribe(SYMBOLS, [types.Quote, types.Depth, types.Brokers, types.Trade])
    said["subscriptions"] = plain(ctx.subscriptions())
    said |= {
        kind: [[symbol, plain(event)] for symbol, event in found] for kind, found in seen.items()
    }
    say(said)


def errors(api, port):
    ctx = context(api, port)
    said = {}

    def call(key, name, *args):
        try:
            said[key] = plain(getattr(ctx, name)(*args))
        except api.OpenApiException as error:
            said[key] = [error.code, error.message]

    call("unknown", "quote", ["NOBODY.US"])
    call("too many", "quote", [f"SIM{i:05}.US" for i in range(501)])
    call("no access", "quote", ["600519.SH"])
    call("count", "trades", "SPY.US", 1001)
    call("period", "candlesticks", "SPY.US", api.Period.Day, 1001, api.AdjustType.NoAdjust)
    call("broken", "brokers", "700.HK")
    call("still there", "quote", ["SPY.US"])
    say(said)


def refused(api, port):
    try:
        # The newer one connects when something is asked.
        context(api, port).quote(["SPY.US"])
    except api.OpenApiException as error:
        say({"code": error.code, "message": error.message})
    say({"code": 0, "message": ""})


def main(package, what, port, *rest):
    api = importlib.import_module(f"{package}.openapi")
    globals()[what](api, int(port), *map(int, rest))


if __name__ == "__main__":
    main(*sys.argv[1:])
