"""`fastfeed record --raw`: the bytes that a feed receives, kept as they came."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import Any

import click

from fastfeed.capture import Capture, capture
from fastfeed.capture.files import segment_name
from fastfeed.cli import words
from fastfeed.cli.group import complain
from fastfeed.cli.journal import Journal
from fastfeed.cli.members import subscribe
from fastfeed.cli.metrics import Listen, serve_metrics
from fastfeed.cli.progress import Progress, Rate
from fastfeed.cli.stop import Stop
from fastfeed.connect import run
from fastfeed.errors import StorageError
from fastfeed.feeds.feed import Feed

__all__ = ["run_raw"]

_REFRESH_S = 0.2


def run_raw(
    feed: Feed,
    symbols: Sequence[str],
    kinds: Sequence[str],
    out: str | PathLike[str],
    *,
    zstd: bool,
    duration: float | None,
    metrics: Listen | None = None,
) -> int:
    """Capture what a feed receives until the end is requested.

    Parameters
    ----------
    feed : Feed
        Not open yet; its `wait_s` says how long it tries to connect.
    symbols, kinds : sequence of str
        What to subscribe to.
    out : path
        The folder, in which there is no capture yet.
    zstd : bool
        Compress.
    duration : float or None
        In seconds, from when it is subscribed.
    metrics : Listen, optional
        Where to serve metrics.

    Returns
    -------
    int
        The exit code: 1 if something is missing in the capture, or nothing could be subscribed.
    """
    work = _record(feed, symbols, kinds, out, zstd=zstd, duration=duration, metrics=metrics)
    return run(work)


async def _record(
    feed: Feed,
    symbols: Sequence[str],
    kinds: Sequence[str],
    out: str | PathLike[str],
    *,
    zstd: bool,
    duration: float | None,
    metrics: Listen | None,
) -> int:
    path = fspath(out)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(Stop())
        written = stack.enter_context(capture(feed, path, zstd=zstd))
        stack.callback(_remove_empty, feed, written)
        stack.enter_context(
            serve_metrics(metrics, hub=feed.hub, feeds=[feed], parts={"capture": written})
        )
        progress = stack.enter_context(Progress())
        journal = Journal(sys.stderr.fileno(), say=progress.say)

        def say(text: str) -> None:
            journal.write(feed.url, text)

        feed.on_event(journal.tell)
        started = time.monotonic()
        showing: asyncio.Task[None] | None = None
        try:
            if await stop.race(feed.open()) and await stop.race(
                subscribe(feed, symbols, kinds, say)
            ):
                if not any(feed.subscribed(kind) for kind in kinds):
                    complain("nothing is subscribed: nothing is captured")
                    return 1
                click.echo(f"capturing {feed.url} into {path} (Ctrl-C ends it)")
                sys.stdout.flush()
                stop.after(duration)
                showing = asyncio.create_task(_show(feed, written, progress, say))
                await stop.race(asyncio.Event().wait())
        finally:
            if showing is not None:
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)
            await feed.close()
        # Also writes what is still in memory; a disk may take its time.
        try:
            await asyncio.to_thread(written.close)
        except StorageError as error:
            say(str(error))
        stats = written.stats()
        progress.end(_summary(path, feed, stats, time.monotonic() - started))
    if stats["failing"]:
        complain(f"the capture is not complete: {stats['failing']}")
    return 1 if stats["failing"] or stats["gaps"] else 0


def _remove_empty(feed: Feed, written: Capture) -> None:
    """Remove a capture whose feed was never connected: the folder can be used again."""
    written.close()
    if not feed.stats()["connections"]:
        for number in range(written.stats()["segments"]):
            (written.path / segment_name(number)).unlink(missing_ok=True)


async def _show(
    feed: Feed, written: Capture, progress: Progress, say: Callable[[str], object]
) -> None:
    growth = Rate()
    failing = None
    while True:
        stats = written.stats()
        if stats["failing"] != failing:
            failing = stats["failing"]
            say(f"cannot write: {failing}; the feed lives on" if failing else "writing again")
        rows = sum(stream.count for stream in feed.hub.streams)
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


def _summary(path: str, feed: Feed, stats: dict[str, Any], took_s: float) -> str:
    rows = sum(stream.count for stream in feed.hub.streams)
    text = (
        f"{path}: {words.size(stats['bytes'])} as received in {took_s:.1f} s, "
        f"{words.size(stats['stored_bytes'])} stored in {words.counted(stats['segments'], 'segment')}, "
        f"{words.counted(rows, 'row')}"
    )
    return f"{text}, {_gaps(stats)}." if stats["gaps"] else f"{text}."
