"""`fastfeed watch`: the ticks of a running feed, as a live table or as text."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

import click

from fastfeed.cli import words
from fastfeed.cli.board import Board
from fastfeed.cli.group import complain
from fastfeed.cli.output import Csv, JsonLines, Output, Stalled, write_all
from fastfeed.cli.stop import Stop
from fastfeed.connect import connect, run
from fastfeed.feeds.events import Event
from fastfeed.feeds.feed import Feed

__all__ = ["console_for_table", "seconds", "watch", "watch_table", "watch_text"]

_REFRESH_S = 0.11
_FOR_EVER_S = 1e9
_SOON_S = 1.0  # connecting for longer than this is worth a word
_CHUNK = 1 << 16  # rows taken into the table at once


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read an option that is a duration."""
    number = _number(value)
    if number is not None and not 0 < number < _FOR_EVER_S:
        raise click.BadParameter(f"expected more than 0 seconds, got {value!r}")
    return number


def _seconds_or_none(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    number = _number(value)
    if number is not None and not 0 <= number < _FOR_EVER_S:
        raise click.BadParameter(f"expected 0 or more seconds, got {value!r}")
    return number


def _number(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return math.nan


@click.command(short_help="Show live ticks, as a table, CSV or JSON lines.")
@click.argument("url")
@click.argument("symbols", metavar="SYMBOL...", nargs=-1, required=True)
@click.option(
    "--kinds", default="ticks", show_default=True, metavar="KIND,...", help="What to watch."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "jsonl"]),
    default="table",
    show_default=True,
    help="What to write.",
)
@click.option("--limit", type=int, metavar="N", help="End after N ticks.")
@click.option("--duration", callback=seconds, metavar="S", help="End after S seconds.")
@click.option(
    "--wait",
    callback=_seconds_or_none,
    metavar="S",
    help="Keep trying for S seconds if nothing listens there yet.",
)
def watch(
    *,
    url: str,
    symbols: tuple[str, ...],
    kinds: str,
    form: Literal["table", "csv", "jsonl"],
    limit: int | None,
    duration: float | None,
    wait: float | None,
) -> None:
    """Show the live ticks of SYMBOLs from a server.

    URL is where the server listens, such as opend://127.0.0.1:11111; a SYMBOL is written 700.HK,
    AAPL.US, BTCUSDT.CC, or the way OpenD does, HK.00700. It ends with Ctrl-C, --limit or --duration,
    and comes back by itself when the connection is lost.

    \b
    Formats:
      table  a live table, a line a symbol; where standard output is no
             terminal, one plain table at the end
      csv    every tick as a line below a header line; unknown is empty
      jsonl  every tick as a JSON object; unknown is null

    csv and jsonl write ticks and nothing else to standard output, messages go to standard error. Numbers
    are complete: they read back as the very same doubles. Times are UTC, those in _ns nanoseconds since
    1970. A slow reader of the output is waited for, and ticks lost all the same make the exit code 1.

    \b
    Columns of the table:
      change   since the first tick seen here, absolute and in percent
      volume   sum of the ticks seen here
      ticks/s  smoothed over some two seconds
      age      time since the last tick arrived
      latency  from the gateway (or, where it does not say, the exchange)
               to here; median of a symbol's last 64 ticks

    \b
    Examples:
      fastfeed watch opend://127.0.0.1:11111 700.HK AAPL.US
      fastfeed watch opend://127.0.0.1:11111 700.HK --format csv --duration 60 >ticks.csv
    """
    if limit is not None and limit < 1:
        raise click.BadParameter(f"expected 1 or more ticks, got {limit}", param_hint="'--limit'")
    chosen = tuple(kind.strip() for kind in kinds.split(",") if kind.strip())
    feed = connect(url, **({} if wait is None else {"wait_s": wait}))
    try:
        names = feed.check(symbols, *chosen)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if form == "table":
        console = console_for_table()
        code = run(watch_table(feed, names, console, limit=limit, duration=duration, kinds=chosen))
    else:
        code = run(watch_text(feed, names, form, limit=limit, duration=duration, kinds=chosen))
    click.get_current_context().exit(code)


def console_for_table() -> Any:
    """Return a rich console, or say how to install it."""
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        raise click.ClickException(
            "the table needs the package rich: pip install 'fastfeed[cli]', or choose --format csv or jsonl"
        ) from None

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    return Terminal(highlight=False)


async def watch_text(
    feed: Feed,
    symbols: Sequence[str],
    form: Literal["csv", "jsonl"],
    *,
    limit: int | None = None,
    duration: float | None = None,
    kinds: Sequence[str] = ("ticks",),
) -> int:
    """Write a feed's ticks to standard output.

    Returns
    -------
    int
        The exit code.
    """
    feed.on_event(_tell())
    reader = feed.ticks.reader()  # before anything is subscribed: nothing is missed
    with Stop(feed.hub.end) as stop:
        try:
            if not await _begin(feed, symbols, kinds, stop):
                return 0
            stop.after(duration)
            output = Output(sys.stdout.fileno(), stop)
            formatter = Csv(feed.symbols) if form == "csv" else JsonLines(feed.symbols)
            await write_all(feed.ticks, reader, formatter, output, stop=stop, limit=limit)
        except Stalled:
            complain(
                f"nobody takes the output: {feed.ticks.count - reader.position} ticks or more were not written"
            )
            return 1
        except BrokenPipeError:
            return 0  # whoever read has had enough
        finally:
            await feed.close()
    if reader.lost:
        complain(f"{reader.lost} ticks were lost because the output was taken too slowly")
        return 1
    return 0


async def watch_table(
    feed: Feed,
    symbols: Sequence[str],
    console: Any,
    *,
    limit: int | None = None,
    duration: float | None = None,
    kinds: Sequence[str] = ("ticks",),
    title: str = "fastfeed",
) -> int:
    """Show a feed's ticks as a live table, or in the end where there is no terminal.

    Returns
    -------
    int
        The exit code.
    """
    from fastfeed.cli.screen import Picture, Screen, readable

    board = Board()
    screen = Screen(console, board, feed.symbols, feed.url, title)
    live = console.is_terminal
    tell = _tell()

    def on_event(event: Event) -> None:
        screen.tell(event)
        if not live:
            tell(event)

    feed.on_event(on_event)
    reader = feed.ticks.reader()

    def take() -> None:
        while True:
            left = None if limit is None else limit - board.total
            rows = reader.read(_CHUNK if left is None else min(_CHUNK, left))
            board.update(rows, time.monotonic())
            if not len(rows) or (limit is not None and board.total >= limit):
                return

    def done() -> bool:
        return stop.requested or (limit is not None and board.total >= limit)

    with Stop() as stop:
        try:
            if not await _begin(feed, symbols, kinds, stop):
                return 0
            stop.after(duration)
            take()
            if live:
                with console.screen() as window:
                    while not done():
                        window.update(
                            screen.live(
                                connected=feed.connected, lost=reader.lost, now_s=time.monotonic()
                            )
                        )
                        await stop.sleep(_REFRESH_S)
                        take()
            else:
                if limit is None and duration is None:
                    complain("standard output is no terminal: one table follows at the end")
                while not done():
                    await stop.sleep(_REFRESH_S)
                    take()
        finally:
            await feed.close()
    console.print(screen.summary(), end="")
    console.print(Picture([[]]), end="")
    sentence = readable(_sentence(board, len(symbols), reader.lost), console)
    console.print(sentence, soft_wrap=not live)
    return 0


def _sentence(board: Board, symbols: int, lost: int) -> str:
    took = max(board.elapsed_s, 1e-3)
    text = (
        f"{board.total:,} ticks of {symbols} {'symbol' if symbols == 1 else 'symbols'} "
        f"in {took:.1f} s, {words.rate(board.total / took)} ticks/s"
    )
    latency = board.median_latency_ns()
    if not math.isnan(latency):
        text += f", median latency {words.latency(latency)}"
    return text + (f"; {lost:,} more were not seen here." if lost else ".")


async def _begin(feed: Feed, symbols: Sequence[str], kinds: Sequence[str], stop: Stop) -> bool:
    """Connect and subscribe; False when the end was requested before that."""
    loop = asyncio.get_running_loop()
    word = loop.call_later(_SOON_S, complain, f"connecting to {feed.url}")
    try:
        if not await stop.race(feed.open()):
            return False
    finally:
        word.cancel()
    return await stop.race(feed.subscribe(symbols, *kinds))


def _tell() -> Any:
    """Return a callback that says on stderr what happens, except that all is well in the beginning."""
    first = True

    def tell(event: Event) -> None:
        nonlocal first
        if event.kind == "connected" and first:
            first = False
            return
        complain(words.event_words(event))

    return tell
