"""Scrapes a port again and again until its standard input ends; tells how often, and what a scrape took.

A process of its own, as Prometheus is: ``python scraper.py PORT SECONDS``.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
import urllib.request


def main(port: str, every_s: float) -> None:
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # not the receiver's alone
    took: list[float] = []
    following = time.monotonic()
    while True:
        started = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"fastfeed_rows_total" in answer.read()
        took.append((time.perf_counter() - started) * 1e3)
        if len(took) == 1:
            print("ready", flush=True)
        following = max(following + every_s, time.monotonic())
        if select.select([sys.stdin], [], [], max(0.0, following - time.monotonic()))[0]:
            break
    print(json.dumps({"scrapes": len(took), "ms": sorted(took)[len(took) // 2]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
