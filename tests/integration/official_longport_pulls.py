"""Run as a process of its own by test_longport_pulls.py: the vendor's client asks a simulator for much.

    official_longport_pulls.py longport PORT

Prints what it was told as one line of JSON: decimals as text, times as seconds.
"""

import datetime
import decimal
import importlib
import json
import os
import sys


def plain(value):
    """Return what JSON has of a value; of objects their attributes."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime.datetime):
        return int(value.timestamp())
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    names = [name for name in dir(value) if not name.startswith("_") and name[0].islower()]
    fields = {name: getattr(value, name) for name in names}
    return {name: plain(field) for name, field in fields.items() if not callable(field)}


def main(package, port):
    api = importlib.import_module(f"{package}.openapi")
    context = api.QuoteContext(
        api.Config(
            "KEY",
            "secret",
            "TOKEN",
            http_url=f"http://127.0.0.1:{port}",
            quote_ws_url=f"ws://127.0.0.1:{port}/v2",
            enable_print_quote_packages=False,
        )
    )
    hk, us = "700.HK", "AAPL.US"
    day = datetime.date(2026, 1, 5), datetime.date(2026, 3, 31)
    expiries = context.option_chain_expiry_date_list(us)
    pairs = context.option_chain_info_by_date(us, expiries[0])
    options = [pair.call_symbol for pair in pairs] + [pair.put_symbol for pair in pairs]
    warrants = context.warrant_list(hk, api.WarrantSortBy.LastDone, api.SortOrderType.Ascending)
    indexes = [api.CalcIndex.LastDone, api.CalcIndex.PeTtmRatio, api.CalcIndex.TotalMarketValue]
    none, session = api.AdjustType.NoAdjust, api.TradeSessions.All
    said = {
        "quotes": context.quote([us, hk]),
        "static": context.static_info([us, hk]),
        "book": context.depth(hk),
        "brokers": context.brokers(hk),
        "participants": context.participants(),
        "bars": context.candlesticks(us, api.Period.Min_5, 300, none, session),
        "history": context.history_candlesticks_by_date(hk, api.Period.Day, none, *day),
        "expiries": expiries,
        "pairs": pairs,
        "options": context.option_quote(options),
        "issuers": context.warrant_issuers(),
        "warrants": warrants,
        "warrant_quotes": context.warrant_quote([one.symbol for one in warrants]),
        "indexes": context.calc_indexes([hk], indexes),
        "sessions": context.trading_session(),
        "days": context.trading_days(api.Market.HK, day[0], day[0] + datetime.timedelta(28)),
        "member_id": context.member_id(),
        "quote_level": context.quote_level(),
    }
    print(json.dumps({name: plain(value) for name, value in said.items()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
