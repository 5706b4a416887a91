"""`fastfeed record --raw`: the bytes that a feed receives, kept as they came."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fastfeed.captures import Capture, capture
from fastfeed.captures.files import segment_name
from fastfeed.cli import words
from fastfeed.cli.group import complain
from fastfeed.cli.journal import Journal
from fastfeed.cli.members import Member, counts, deliver
from fastfeed.cli.metrics import Listen, serve_metrics
from fastfeed.cli.progress import Progress, Rate
from fastfeed.cli.serve_config import HubConfig, Plan
from fastfeed.cli.stop import Stop
from fastfeed.connect import run
from fastfeed.feeds.feed import Feed
from fastfeed.hub import Hub

__all__ = ["run_raw"]

_REFRESH_S = 0.2


def run_raw(
    settings: HubConfig,
    out: Path,
    *,
    zstd: bool,
    wait: float | None,
    duration: float | None,
    metrics: Listen | None = None,
) -> int:
    """Capture what a feed receives until the end is requested.

    Parameters
    ----------
    settings : HubConfig
        With one feed.
    out : Path
        The folder, in which there is nothing yet.
    zstd : bool
        Compress.
    wait : float or None
        For how many seconds the feed tries to connect; None: for ever.
    duration : float or None
        In seconds, from when it is set up or had its first failure.
    metrics : Listen, optional
        Where to serve metrics.

    Returns
    -------
    int
        The exit code: 1 if something is missing in the capture, or nothing could be subscribed.
    """
    work = _record(settings, out, zstd=zstd, wait=wait, duration=duration, metrics=metrics)
    return run(work)


async def _record(
    settings: HubConfig,
    path: Path,
    *,
    zstd: bool,
    wait: float | None,
    duration: float | None,
    metrics: Listen | None,
) -> int:
    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        hub = stack.enter_context(settings.new_hub(None))
        [plan] = settings.plans(hub, wait)
        captures = _Captures(plan, path, zstd)
        stack.callback(captures.close)
        progress = stack.enter_context(Progress())
        journal = Journal(sys.stderr.fileno(), say=progress.say)
        member = Member(plan._replace(make=captures.make), journal, wait)
        stack.enter_context(
            serve_metrics(
                metrics, hub=hub, feeds=lambda: [member.feed], parts={"capture": captures}
            )
        )
        started = time.monotonic()
        goes_on = await deliver(
            [member],
            stop,
            duration,
            lambda: f"capturing {plan.feed.url} into {path}: {counts([member])}",
            lambda: _show(hub, captures, progress, lambda text: journal.write(plan.feed.url, text)),
        )
        # Also writes what is still in memory; a disk may take its time.
        await asyncio.to_thread(captures.written.close)
        if not goes_on:
            complain("no feed could be set up: nothing is captured")
            return 1
        stats = captures.stats()
        progress.end(_summary(path, hub, stats, time.monotonic() - started))
    if stats["failing"]:
        complain(f"the capture is not complete: {stats['failing']}")
    return 1 if stats["failing"] or stats["gaps"] else 0


class _Captures:
    """The capture of the feed that is set up; of one that was never connected nothing is left.

    Attributes
    ----------
    written : Capture
    """

    def __init__(self, plan: Plan, path: Path, zstd: bool) -> None:
        self._plan, self._path, self._zstd = plan, path, zstd
        self._begin(plan.feed)

    def _begin(self, feed: Feed) -> None:
        self.written: Capture = capture(feed, self._path, zstd=self._zstd)
        self._feed = feed

    def make(self) -> Feed:
        """Return another feed like the one that could not be opened, which is captured in its place."""
        self.close()
        feed = self._plan.make()
        self._begin(feed)
        return feed

    def stats(self) -> dict[str, Any]:
        """Return the counters of the capture."""
        return self.written.stats()

    def close(self) -> None:
        """End the capture, and remove it if its feed was never connected: the folder can be used again."""
        self.written.close()
        if not self._feed.stats()["connections"]:
            for number in range(self.written.stats()["segments"]):
                (self._path / segment_name(number)).unlink(missing_ok=True)


async def _show(
    hub: Hub, captures: _Captures, progress: Progress, say: Callable[[str], object]
) -> None:
    growth = Rate()
    failing = None
    while True:
        stats = captures.stats()
        if stats["failing"] != failing:
            failing = stats["failing"]
            say(f"cannot write: {failing}; the feed lives on" if failing else "writing again")
        rows = sum(stream.count for stream in hub.streams)
        text = (
            f"{words.size(stats['bytes'])} as received, {words.size(growth.of(stats['bytes']))}/s, "
            f"{words.size(stats['stored_bytes'])} stored, {words.counted(rows, 'row')}"
        )
        if stats["gaps"]:
            text += f", {_gaps(stats)}"
        if stats["failing"]:
            text += f"; cannot write: {stats['failing']}"
        progress.show(text)
        await asyncio.sleep(_REFRESH_S)


def _gaps(stats: dict[str, Any]) -> str:
    return f"{words.counted(stats['gaps'], 'gap')} of {words.size(stats['lost_bytes'])}"


def _summary(path: Path, hub: Hub, stats: dict[str, Any], took_s: float) -> str:
    rows = sum(stream.count for stream in hub.streams)
    text = (
        f"{path}: {words.size(stats['bytes'])} as received in {took_s:.1f} s, "
        f"{words.size(stats['stored_bytes'])} stored in {words.counted(stats['segments'], 'segment')}, "
        f"{words.counted(rows, 'row')}"
    )
    return f"{text}, {_gaps(stats)}." if stats["gaps"] else f"{text}."
