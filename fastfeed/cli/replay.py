"""`fastfeed replay`: a raw capture, shown or published as if it came now."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from typing import Literal

import click

from fastfeed.captures import CaptureFile
from fastfeed.cli import words
from fastfeed.cli.group import complain
from fastfeed.cli.options import format_option, kinds_of, seconds
from fastfeed.cli.progress import Progress, Rate
from fastfeed.cli.stop import Stop
from fastfeed.cli.watch import show
from fastfeed.connect import run
from fastfeed.feeds.events import Event
from fastfeed.feeds.replay import Replay
from fastfeed.hub import Hub

__all__ = ["replay"]

_REFRESH_S = 0.2
_LOOK_S = 0.05


def _speed(ctx: click.Context, param: click.Parameter, value: str) -> float | Literal["max"]:
    if value == "max":
        return "max"
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise click.BadParameter(f"expected max or a number above 0, got {value!r}")
    return number


@click.command(short_help="Play a raw capture: show it, or publish it into a hub.")
@click.argument("path")
@click.argument("symbols", metavar="[SYMBOL]...", nargs=-1)
@click.option(
    "--speed",
    callback=_speed,
    metavar="max|N",
    default="1",
    show_default=True,
    help="How many times as fast as then; max: as fast as it is shown.",
)
@click.option(
    "--kinds",
    default="ticks",
    show_default=True,
    metavar="KIND,...",
    help="What to show, as in fastfeed watch.",
)
@format_option("table", "csv", "jsonl")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N rows.")
@click.option("--duration", callback=seconds, metavar="S", help="End after S seconds.")
@click.option(
    "--hub",
    "name",
    metavar="NAME",
    help="Show nothing: publish all of it into this hub, for other processes to read.",
)
@click.option(
    "--wait-reader",
    is_flag=True,
    help="With --hub: begin when the first reader is there.",
)
@click.pass_context
def replay(
    ctx: click.Context,
    *,
    path: str,
    symbols: tuple[str, ...],
    speed: float | Literal["max"],
    kinds: str,
    form: Literal["table", "csv", "jsonl"],
    limit: int | None,
    duration: float | None,
    name: str | None,
    wait_reader: bool,
) -> None:
    """Play the raw capture PATH, made by fastfeed record --raw or fastfeed.capture().

    PATH is the folder of a capture, or one segment of it. The bytes go through the very machines that received
    them, and give the same rows, with the times of then. All symbols are shown, or SYMBOLs only. With --hub,
    the capture is published as fastfeed serve publishes what is live, and strategies that attach to the hub
    run against it; a reader in another process that is too slow for --speed loses rows, and is told.

    It ends with the capture, or with Ctrl-C, --limit or --duration. A capture that is cut off or damaged is
    played up to the damage; one line says where that is, and the exit code is 1.

    \b
    Examples:
      fastfeed replay captured
      fastfeed replay captured 700.HK --kinds ticks,books --speed 10
      fastfeed replay captured --speed max --format csv >ticks.csv
      fastfeed replay captured --hub yesterday --wait-reader
    """
    if name is None:
        if wait_reader:
            raise click.UsageError("--wait-reader needs --hub")
        feed = Replay(path, speed=speed)
        chosen = kinds_of(kinds)
        try:
            names = feed.check(symbols, *chosen)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        code = show(feed, names, form, limit=limit, duration=duration, kinds=chosen)
        if feed.damage is not None:
            if form == "table" and sys.stdout.isatty():  # it was not told yet
                complain(feed.damage)
            code = 1
        ctx.exit(code)
    of_shown = {"kinds": "--kinds", "form": "--format", "limit": "--limit"}
    for option, text in of_shown.items():
        if ctx.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{text} cannot be used together with --hub: all is published")
    if symbols:
        raise click.UsageError("SYMBOLs cannot be used together with --hub: all is published")
    ctx.exit(run(_publish(path, speed, name, wait_reader=wait_reader, duration=duration)))


async def _publish(
    path: str,
    speed: float | Literal["max"],
    name: str,
    *,
    wait_reader: bool,
    duration: float | None,
) -> int:
    """Play into a named hub; return the exit code."""
    header = CaptureFile(path).header
    try:
        hub = Hub(
            name,
            capacity=header.capacity,
            max_symbols=header.max_symbols,
            book_depth=header.book_depth,
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--hub'") from None
    with Stop() as stop, hub, Progress() as progress:
        feed = Replay(path, speed=speed, hub=hub)

        def tell(event: Event) -> None:
            if event.kind not in ("connected", "ended"):
                progress.say(f"fastfeed: {words.event_words(event)}")

        feed.on_event(tell)
        click.echo(f"serving hub {hub.name}: {feed.url} (Ctrl-C ends it)")
        sys.stdout.flush()
        if wait_reader:
            progress.show("waiting for a reader")
            while not (stop.requested or hub.stats()["readers"]):
                await stop.sleep(_LOOK_S)
        started = time.monotonic()
        async with feed:
            stop.after(duration)
            showing = asyncio.create_task(_show(hub, progress))
            try:
                await stop.race(feed.finished())
            finally:
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)
        progress.end(_summary(hub, time.monotonic() - started))
    return 1 if feed.damage is not None else 0


async def _show(hub: Hub, progress: Progress) -> None:
    growth = Rate()
    while True:
        rows = sum(stream.count for stream in hub.streams)
        progress.show(f"{words.counted(rows, 'row')}, {words.rate(growth.of(rows))} rows/s")
        await asyncio.sleep(_REFRESH_S)


def _summary(hub: Hub, took_s: float) -> str:
    rows = {stream.name: stream.count for stream in hub.streams}
    return f"hub {hub.name}: {words.rows_in(rows, took_s)}."
