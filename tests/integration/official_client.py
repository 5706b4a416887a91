"""Run as a process of its own by test_official_clients.py: the vendor's client against a simulator.

    official_client.py futu|moomoo PORT SYMBOLS COUNT

Subscribes to the ticks of the symbols (comma-separated, in the vendor's form), waits for COUNT of
them, and prints what it saw as one line of JSON. The vendor's packages start threads, install
signal handlers and write log files, which nobody wants in the process of the tests.
"""

import importlib
import json
import os
import sys
import threading
import time


def main(package, port, symbols, count):
    api = importlib.import_module(package)
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
    print(json.dumps(said, default=str), flush=True)
    # Its threads and handlers have nothing left to do.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","), int(sys.argv[4]))
