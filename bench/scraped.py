"""The candidate of the bench of metrics: fastfeed, scraped by another process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from children import Process

from fastfeed.bench import opend_clients
from fastfeed.bench.clients import Sink
from fastfeed.sinks.metrics_server import serve_metrics

SCRAPER = Path(__file__).parent / "scraper.py"


class Scraped(opend_clients.Fastfeed):
    """Is scraped every so many seconds while it receives; with 0 never, and serves no metrics."""

    def __init__(self, *, every_s: float, **options: Any) -> None:
        super().__init__(**options)
        self.every_s = every_s
        self.scraper: dict[str, Any] = {"scrapes": 0}

    def round(self, count: int = 0) -> dict[str, Any]:
        return {**super().round(count), **self.scraper}

    async def _run(self, feed: Any, sink: Sink) -> None:
        if not self.every_s:
            await super()._run(feed, sink)
            return
        feed.ticks  # noqa: B018 - the first scrape has its counter
        with serve_metrics(0, feed.hub, feeds=[feed]) as server:
            port = server.url.rpartition(":")[2].partition("/")[0]
            scraper = Process(sys.executable, "-S", str(SCRAPER), port, str(self.every_s))
            try:
                await asyncio.to_thread(scraper.line)  # it has scraped once
                await super()._run(feed, sink)
                assert scraper.child.stdin is not None
                scraper.child.stdin.close()
                self.scraper = await asyncio.to_thread(scraper.result)
            finally:
                scraper.end()
