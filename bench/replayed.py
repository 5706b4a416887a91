"""Captures that are played, as candidates beside the live feed: each captures a blast and plays it, which is timed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import uvloop

import fastfeed as ff
from fastfeed.bench import alltick_clients, longport_clients, opend_clients
from fastfeed.bench.clients import DEADLINE_S, Count, Done, FeedClient, Sink

__all__ = ["Alltick", "Longport", "Opend"]

_BUFFER_BYTES = 1 << 28  # all of a round fits, however slow the disk is


class _Replayed(FeedClient):
    """`ff.connect("file://...")` with `on_batch`, as fast as it can be."""

    def _receive(self, sink: Sink) -> Any:
        with tempfile.TemporaryDirectory(prefix="fastfeed-bench-") as folder:
            path = Path(folder, "captured")
            feed = self.feed()
            live = Count(sink.total)
            with ff.capture(feed, path, buffer_bytes=_BUFFER_BYTES) as written:
                uvloop.run(self._run(feed, live))
            if written.stats()["gaps"]:
                raise RuntimeError(f"the capture could not keep up: {written.stats()}")
            feed = ff.connect(f"file://{path}", speed="max")
            uvloop.run(self._play(feed, sink))
            return feed.symbols

    async def _play(self, feed: Any, sink: Sink) -> None:
        done = Done()
        async with asyncio.timeout(DEADLINE_S), feed:
            feed.ticks.on_batch(sink.batch)
            sink.begin(done.set)
            await asyncio.wait(
                [done.future, asyncio.ensure_future(feed.finished())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            stats = feed.stats()
        if stats["ticks"] != sink.total or stats["rejected"] or stats["lost_rows"]:
            raise RuntimeError(f"expected {sink.total} ticks and none rejected, got {stats}")


class Opend(_Replayed, opend_clients.Fastfeed):
    """OpenD's."""


class Longport(_Replayed, longport_clients.Fastfeed):
    """LongPort's."""


class Alltick(_Replayed, alltick_clients.Fastfeed):
    """AllTick's."""
