"""Run as a process of its own by test_pulls.py: the vendor's client asks a simulator for everything.

    official_pulls.py futu|moomoo PORT

Prints what it was told as one line of JSON. See official_client.py for why it is a process of its own.
"""

import importlib
import json
import os
import sys


def plain(value):
    """Return a DataFrame as a list of rows, and other things as they are."""
    return value.to_dict("records") if hasattr(value, "to_dict") else value


def main(package, port):
    api = importlib.import_module(package)
    context = api.OpenQuoteContext(host="127.0.0.1", port=port)
    hk, us = "HK.00700", "US.AAPL"
    kinds = [
        api.SubType.TICKER,
        api.SubType.QUOTE,
        api.SubType.ORDER_BOOK,
        api.SubType.K_1M,
        api.SubType.RT_DATA,
    ]
    context.subscribe([hk, us], kinds, subscribe_push=False)
    context.subscribe([hk], [api.SubType.BROKER], subscribe_push=False)
    calls = {
        "ticks": lambda: context.get_rt_ticker(hk, 1000),
        "quotes": lambda: context.get_stock_quote([us, hk]),
        "bars": lambda: context.get_cur_kline(hk, 50, api.KLType.K_1M, api.AuType.QFQ),
        "timeshare": lambda: context.get_rt_data(hk),
        "book": lambda: context.get_order_book(hk, 10),
        "brokers": lambda: context.get_broker_queue(hk),
        "history": lambda: context.request_history_kline(
            hk, "2026-01-05", "2026-03-31", api.KLType.K_DAY, api.AuType.NONE, max_count=1000
        ),
        "snapshots": lambda: context.get_market_snapshot([us, hk]),
        "static": lambda: context.get_stock_basicinfo(api.Market.HK, api.SecurityType.STOCK, [hk]),
        "groups": lambda: context.get_user_security_group(api.UserSecurityGroupType.ALL),
        "group": lambda: context.get_user_security("All"),
        "states": lambda: context.get_market_state([us, hk]),
        "days": lambda: context.request_trading_days(api.TradeDateMarket.HK, "2026-01-05", "2026-01-30"),
        "plates": lambda: context.get_plate_list(api.Market.HK, api.Plate.ALL),
        "rehab": lambda: context.get_rehab(hk),
        "futures": lambda: context.get_future_info(["HK.HSImain"]),
        "options": lambda: context.get_option_chain(us, start="2026-12-01", end="2026-12-30"),
        "quota": lambda: context.get_history_kl_quota(get_detail=True),
        "state": context.get_global_state,
    }  # fmt: skip
    said = {}
    for name, call in calls.items():
        ret, *data = call()
        said[name] = [ret, *map(plain, data)]
    print(json.dumps(said, default=str), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
