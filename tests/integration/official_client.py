"""Run as a process of its own by test_official_clients.py: the vendor's client against a simulator.

    official_client.py futu|moomoo ticks PORT SYMBOLS COUNT
    official_client.py futu|moomoo quotes PORT COUNT [KEY [encrypt]]

Prints what it saw as one line of JSON. ``ticks`` subscribes to the ticks of the symbols
(comma-separated, in the vendor's form) and waits for COUNT of them. ``quotes`` subscribes to all
kinds of data, waits for COUNT ticks, and makes every call. The vendor's packages start threads,
install signal handlers and write log files, which nobody wants in the process of the tests.
"""

import importlib
import json
import os
import sys
import threading
import time

CODES = [
    "US.AAPL", "HK.00700", "US.SPY", "US.AAPL140118C100000", "HK.HSImain", "HK.13579", "US..DJI",
    "CC.BTCUSDT",
]  # fmt: skip
BARS = [
    "K_1M", "K_3M", "K_5M", "K_10M", "K_15M", "K_30M", "K_60M", "K_120M", "K_180M", "K_240M",
    "K_DAY", "K_WEEK", "K_MON", "K_QUARTER", "K_YEAR",
]  # fmt: skip


def say(said):
    print(json.dumps(said, default=plain), flush=True)
    # Its threads and handlers have nothing left to do.
    os._exit(0)


def plain(value):
    """Return a table as the list of its rows, a NumPy number as Python's, anything else as text."""
    if hasattr(value, "to_dict"):
        return value.to_dict("records")
    return value.item() if hasattr(value, "item") else str(value)


def ticks(api, port, symbols, count):
    rows = []
    done = threading.Event()

    class Handler(api.TickerHandlerBase):
        def on_recv_rsp(self, rsp_pb):
            ret, data = super().on_recv_rsp(rsp_pb)
            if ret != 0:
                rows.append(["error", str(data)])
            else:
                rows.extend(data.to_dict("records"))
            if len(rows) >= count:
                done.set()
            return ret, data

    context = api.OpenQuoteContext(host="127.0.0.1", port=port)
    context.set_handler(Handler())
    said = {}
    said["state"] = context.get_global_state()
    said["unknown"] = context.subscribe(["US.NOBODY"], [api.SubType.TICKER])
    said["subscribe"] = context.subscribe(symbols, [api.SubType.TICKER])
    said["unsubscribe_early"] = context.unsubscribe(symbols[:1], [api.SubType.TICKER])
    said["complete"] = done.wait(10)
    said["subscription"] = context.query_subscription(is_all_conn=True)
    time.sleep(1.0)
    said["unsubscribe"] = context.unsubscribe(symbols[:1], [api.SubType.TICKER])
    said["subscription_after"] = context.query_subscription(is_all_conn=False)
    said["unsubscribe_all"] = context.unsubscribe_all()
    said["rows"] = rows
    say(said)


def watch(api, context, count):
    """Keep the newest push of each kind, by its key; the event is set after `count` ticks."""
    pushed = {}
    ticks_seen = []
    done = threading.Event()

    def handle(base, key):
        class Handler(base):
            def on_recv_rsp(self, rsp_pb):
                got = super().on_recv_rsp(rsp_pb)
                pushed.setdefault(base.__name__, {})[key(got)] = got
                if base is api.TickerHandlerBase:
                    ticks_seen.append(len(got[1]))
                    if sum(ticks_seen) >= count:
                        done.set()
                return got

        context.set_handler(Handler())

    def row(*names):
        return lambda got: " ".join(str(got[1].iloc[0][name]) for name in names)

    handle(api.TickerHandlerBase, row("code"))
    handle(api.StockQuoteHandlerBase, row("code"))
    handle(api.CurKlineHandlerBase, row("code", "k_type"))
    handle(api.RTDataHandlerBase, row("code"))
    handle(api.OrderBookHandlerBase, lambda got: f"{got[1]['code']} {got[1]['order_book_type']}")
    handle(api.BrokerHandlerBase, lambda got: got[1])
    handle(api.SysNotifyHandlerBase, lambda got: got[1][0])
    handle(api.PriceReminderHandlerBase, lambda got: got[1]["code"])
    return pushed, done


def quotes(api, port, count):
    context = api.OpenQuoteContext(host="127.0.0.1", port=port)
    pushed, done = watch(api, context, count)
    said = {}

    def call(name, *args, key=None, **options):
        said[key or name] = getattr(context, name)(*args, **options)
        return said[key or name]

    call("get_rt_ticker", "US.AAPL", key="not subscribed")
    call("subscribe", CODES, ["TICKER", "QUOTE", "ORDER_BOOK", "RT_DATA"])
    call("subscribe", ["HK.00700"], ["BROKER", "ORDER_BOOK_ODD", *BARS], key="subscribe more")
    said["complete"] = done.wait(15)
    call("get_rt_ticker", "US.AAPL", 1000)
    call("get_rt_data", "US.AAPL")
    call("get_stock_quote", CODES)
    for kind in BARS:
        call("get_cur_kline", "HK.00700", 9, kind, "qfq", key=kind)
    call("get_order_book", "HK.00700", 60)
    call("get_order_book", "HK.00700", 5, order_book_type="ODD", key="odd book")
    call("get_broker_queue", "HK.00700")
    dates = {"start": "2013-10-01", "end": "2013-10-04"}
    history, key = [], None
    while True:
        got = context.request_history_kline(
            "HK.00700", **dates, ktype="K_5M", autype="hfq", max_count=50, page_req_key=key
        )
        history.append(got[:2])
        key = got[2]
        if key is None or len(history) > 20:
            break
    said["request_history_kline"] = history
    ask_for_terms(call)
    late = time.monotonic() + 10
    while time.monotonic() < late and not (
        "PriceReminderHandlerBase" in pushed and len(pushed.get("SysNotifyHandlerBase", ())) == 2
    ):
        time.sleep(0.05)
    call("unsubscribe", ["US.SPY"], ["QUOTE"])
    call("unsubscribe_all")
    said["pushed"] = pushed
    say({"state": said["get_global_state"], **said})


def ask_for_terms(call):
    call("get_history_kl_quota", True)
    call("get_rehab", "HK.00700")
    call("get_market_snapshot", CODES)
    call("get_stock_basicinfo", "HK", "WARRANT")
    call("get_stock_basicinfo", "HK", "STOCK", CODES, key="some securities")
    call("get_plate_list", "US", "ALL")
    call("get_plate_stock", "US.LIST1001")
    call("get_option_chain", "US.AAPL", start="2013-10-07", end="2013-11-05")
    call("get_future_info", ["HK.HSImain"])
    call("request_trading_days", "US", start="2013-12-20", end="2014-01-03")
    call("get_market_state", ["US.AAPL", "HK.HSImain"])
    call("get_global_state")
    call("get_user_info")
    call("get_delay_statistics", ["QOT_PUSH", "REQ_REPLY"], "SR2CS", [2, 10, 100])
    call("query_subscription")
    call("get_user_security_group", "CUSTOM")
    call("get_user_security", "Mine")
    call("modify_user_security", "Mine", "ADD", ["US.SPY", "CC.BTCUSDT"])
    call("get_user_security", "Mine", key="after ADD")
    call("modify_user_security", "Mine", "MOVE_OUT", ["CC.BTCUSDT"], key="move out")
    call("get_user_security", "Mine", key="after MOVE_OUT")
    call("modify_user_security", "All", "DEL", ["US.SPY"], key="modify All")


def main(package, what, port, *rest):
    api = importlib.import_module(package)
    if what == "ticks":
        ticks(api, int(port), rest[0].split(","), int(rest[1]))
    count, *key = rest
    if key:
        api.SysConfig.set_init_rsa_file(key[0])
        api.SysConfig.enable_proto_encrypt(key[1:] == ["encrypt"])
    quotes(api, int(port), int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
