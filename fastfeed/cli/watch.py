"""`fastfeed watch`: what a running feed delivers, as a live view or as text."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

import click

from fastfeed.cli import words
from fastfeed.cli.board import Board
from fastfeed.cli.chosen import ChosenReader
from fastfeed.cli.connection import connection_options, feed_of, vendor_class
from fastfeed.cli.group import complain
from fastfeed.cli.metrics import Listen, metrics_option, serve_metrics
from fastfeed.cli.options import format_option, kinds_of, seconds, seconds_or_none
from fastfeed.cli.output import Csv, JsonLines, Output, Stalled, StreamSource, write_all
from fastfeed.cli.stop import Stop
from fastfeed.connect import run
from fastfeed.feeds.events import Event
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.longport import LongPort
from fastfeed.schema import streams_of
from fastfeed.stream import Chosen

__all__ = ["console_for_table", "show", "watch", "watch_table", "watch_text"]

_REFRESH_S = 0.11
_SOON_S = 1.0  # connecting for longer than this is worth a word
_LATER_S = 2.5  # and so is subscribing: AllTick takes a request a second, and a connection in three
_CHUNK = 1 << 16  # rows taken into the table at once


@click.command(short_help="Show live ticks, quotes, books, bars: a table, CSV or JSON lines.")
@click.argument("url")
@click.argument("symbols", metavar="SYMBOL...", nargs=-1, required=True)
@click.option(
    "--kinds",
    default="ticks",
    show_default=True,
    metavar="KIND,...",
    help="What to watch, see above.",
)
@format_option("table", "csv", "jsonl")
@click.option(
    "--depth",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Levels of a side of books.  [default: 10]",
)
@click.option("--limit", type=int, metavar="N", help="End after N ticks, or rows of other kinds.")
@click.option("--duration", callback=seconds, metavar="S", help="End after S seconds.")
@click.option(
    "--wait",
    callback=seconds_or_none,
    metavar="S",
    help="Keep trying for S seconds if nothing listens there yet.",
)
@metrics_option
@connection_options
def watch(
    *,
    url: str,
    symbols: tuple[str, ...],
    kinds: str,
    form: Literal["table", "csv", "jsonl"],
    depth: int | None,
    limit: int | None,
    duration: float | None,
    wait: float | None,
    metrics: Listen | None,
    rsa_key: str | None,
    encryption: str | None,
) -> None:
    """Show the live data of SYMBOLs from a server.

    URL is where the server listens: opend://127.0.0.1:11111 with SYMBOLs such as 700.HK, AAPL.US,
    BTCUSDT.CC, or written OpenD's way, HK.00700; longport:// with 700.HK, AAPL.US, 600519.SH, D05.SG and
    credentials in LONGBRIDGE_APP_KEY, LONGBRIDGE_APP_SECRET, LONGBRIDGE_ACCESS_TOKEN (or LONGPORT_...);
    alltick://stock with 700.HK, AAPL.US, or alltick://crypto with BTCUSDT, EURUSD, GOLD, Silver, the token in
    ALLTICK_TOKEN. It ends with Ctrl-C, --limit or --duration, and comes back by itself when the connection
    is lost.

    \b
    Kinds:
      ticks, books: of all; of OpenD and LongPort also quotes and brokers (Hong Kong); of OpenD
      odd_books, timeshare and bars:LENGTH, with 1m 3m 5m 10m 15m 30m 1h 2h 3h 4h 1d 1w 1M 3M 1y

    \b
    Formats:
      table  a live view: a line a symbol, books as ladders; where standard
             output is no terminal, once and plain at the end
      csv    every row as a line below a header line; unknown is empty.
             One kind only: columns differ
      jsonl  every row as a JSON object; unknown is null. Of several kinds,
             each begins with the name of its "stream"

    csv and jsonl write rows and nothing else to standard output, messages go to standard error. Numbers
    are complete: they read back as the very same doubles. Times are UTC, those in _ns nanoseconds since
    1970. A slow reader of the output is waited for, and rows lost all the same make the exit code 1.

    \b
    Columns of the table of ticks:
      change   since the first tick seen here, absolute and in percent
      volume   sum of the ticks seen here
      ticks/s  smoothed over some two seconds
      age      time since the last tick arrived
      latency  from the gateway (or, where it does not say, the exchange)
               to here; median of a symbol's last 64 ticks

    \b
    Examples:
      fastfeed watch opend://127.0.0.1:11111 700.HK AAPL.US
      fastfeed watch opend://127.0.0.1:11111 700.HK --kinds quotes,books
      fastfeed watch opend://127.0.0.1:11111 700.HK --format csv --duration 60 >ticks.csv
      fastfeed watch longport:// 700.HK AAPL.US --kinds quotes,books,brokers,ticks
      fastfeed watch "longport://?transport=tcp&overnight=true" AAPL.US --kinds quotes
      fastfeed watch alltick://crypto BTCUSDT EURUSD --kinds ticks,books
      fastfeed watch "alltick://stock?plan=premium" 700.HK AAPL.US
    """
    if limit is not None and limit < 1:
        raise click.BadParameter(f"expected 1 or more ticks, got {limit}", param_hint="'--limit'")
    chosen = kinds_of(kinds)
    feed = feed_of(url, rsa_key, encryption, wait_s=wait, book_depth=depth)
    try:
        names = feed.check(symbols, *chosen)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    code = show(feed, names, form, limit=limit, duration=duration, kinds=chosen, metrics=metrics)
    click.get_current_context().exit(code)


def show(
    feed: Feed,
    symbols: Sequence[str],
    form: Literal["table", "csv", "jsonl"],
    *,
    limit: int | None,
    duration: float | None,
    kinds: Sequence[str],
    metrics: Listen | None = None,
) -> int:
    """Show what a feed delivers in one of the formats; return the exit code."""
    streams = streams_of(kinds)
    if form == "csv" and len(streams) > 1:
        raise click.UsageError(
            f"csv has the columns of one kind, got {', '.join(streams)}: choose one, or --format jsonl"
        )
    if form != "table":
        work = watch_text(feed, symbols, form, limit=limit, duration=duration, kinds=kinds)
    elif streams == ("ticks",):
        console = console_for_table()
        work = watch_table(feed, symbols, console, limit=limit, duration=duration)
    else:
        console = console_for_table()
        work = watch_panels(feed, symbols, console, limit=limit, duration=duration, kinds=kinds)
    return run(_with_metrics(work, feed, metrics))


async def _with_metrics(work: Coroutine[Any, Any, int], feed: Feed, metrics: Listen | None) -> int:
    with contextlib.closing(work), serve_metrics(metrics, hub=feed.hub, feeds=[feed]):
        return await work


def console_for_table(others: str = "csv or jsonl") -> Any:
    """Return a rich console, or say how to install it, or what other formats there are."""
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        raise click.ClickException(
            f"the table needs the package rich: pip install 'fastfeed[cli]', or choose --format {others}"
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
    """Write a feed's rows to standard output.

    Returns
    -------
    int
        The exit code.
    """
    feed.on_event(_tell())
    streams = streams_of(kinds)
    noun = "ticks" if streams == ("ticks",) else "rows"
    sources = [_source(feed, symbols, name, form, len(streams) > 1) for name in streams]
    with Stop(feed.hub.end) as stop:
        try:
            if not await _begin(feed, symbols, kinds, stop):
                return 0
            stop.after(duration)
            output = Output(sys.stdout.fileno(), stop)
            await write_all(sources, output, stop=stop, limit=limit)
        except Stalled:
            left = sum(source.stream.count - source.reader.position for source in sources)
            complain(f"nobody takes the output: {left} {noun} or more were not written")
            return 1
        except BrokenPipeError:
            return 0  # whoever read has had enough
        finally:
            await feed.close()
    if lost := sum(source.reader.lost for source in sources):
        complain(f"{lost} {noun} were lost because the output was taken too slowly")
        return 1
    return 0


def _source(
    feed: Feed, symbols: Sequence[str], name: str, form: Literal["csv", "jsonl"], tagged: bool
) -> StreamSource:
    """Return what is to be written of a stream, from now on: made before anything is subscribed."""
    stream, reader = feed.stream(name), _reader(feed, symbols, name)
    depth, sessions = feed.hub.book_depth, issubclass(vendor_class(feed), LongPort)
    if form == "csv":
        cells = Csv(feed.symbols, name, depth, sessions=sessions)
        return StreamSource(stream, reader, cells)
    lines = JsonLines(feed.symbols, name, depth, tagged=tagged, sessions=sessions)
    return StreamSource(stream, reader, lines)


def _reader(feed: Feed, symbols: Sequence[str], name: str) -> ChosenReader:
    """Return a reader of what is wanted of a stream, from now on."""
    reader = feed.stream(name).reader()
    only = feed.delivers_all and symbols
    return ChosenReader(reader, Chosen(feed.symbols, symbols) if only else None)


async def watch_table(
    feed: Feed,
    symbols: Sequence[str],
    console: Any,
    *,
    limit: int | None = None,
    duration: float | None = None,
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
    screen = Screen(console, board, feed.symbols, feed.url, title, silent=not feed.delivers_all)
    live = console.is_terminal
    tell = _tell()

    def on_event(event: Event) -> None:
        screen.tell(event)
        if not live:
            tell(event)

    feed.on_event(on_event)
    reader = _reader(feed, symbols, "ticks")

    def take() -> None:
        while True:
            left = None if limit is None else limit - board.total
            rows = reader.read(_CHUNK if left is None else min(_CHUNK, left))
            board.update(rows, time.monotonic())
            if not len(rows) or (limit is not None and board.total >= limit):
                return

    def picture() -> Any:
        return screen.live(connected=feed.connected, lost=reader.lost, now_s=time.monotonic())

    def full() -> bool:
        return limit is not None and board.total >= limit

    begun = await _show(feed, symbols, ("ticks",), console, take, picture, full, duration, limit)
    if begun:
        console.print(screen.summary(), end="")
        console.print(Picture([[]]), end="")
        sentence = readable(_sentence(board, len(symbols or feed.symbols), reader.lost), console)
        console.print(sentence, soft_wrap=not live)
    return 0


async def watch_panels(
    feed: Feed,
    symbols: Sequence[str],
    console: Any,
    *,
    limit: int | None = None,
    duration: float | None = None,
    kinds: Sequence[str],
) -> int:
    """Show what a feed delivers of any kinds, a panel for each stream.

    Returns
    -------
    int
        The exit code.
    """
    from fastfeed.cli.panels import Panels, panel_of
    from fastfeed.cli.screen import Picture

    live = console.is_terminal
    parts = [
        (_reader(feed, symbols, name), panel_of(name, feed, console)) for name in streams_of(kinds)
    ]
    panels = Panels(console, [panel for _, panel in parts], feed.url)
    tell = _tell()

    def on_event(event: Event) -> None:
        panels.tell(event)
        if not live:
            tell(event)

    feed.on_event(on_event)

    def take() -> None:
        now_s = time.monotonic()
        for reader, panel in parts:
            count = -1
            while count:
                left = _CHUNK if limit is None else min(_CHUNK, limit - panels.total)
                rows = reader.read(left)
                panel.take(rows, now_s)
                count = len(rows)
                panels.update(count, now_s)

    def lost() -> int:
        return sum(reader.lost for reader, _ in parts)

    def picture() -> Any:
        return panels.live(connected=feed.connected, lost=lost(), now_s=time.monotonic())

    def full() -> bool:
        return limit is not None and panels.total >= limit

    if await _show(feed, symbols, kinds, console, take, picture, full, duration, limit):
        console.print(panels.summary(), end="")
        console.print(Picture([[]]), end="")
        took = max(panels.elapsed_s, 1e-3)
        text = (
            f"{panels.total:,} rows of {_counted(len(symbols or feed.symbols))} in {took:.1f} s, "
            f"{words.rate(panels.total / took)} rows/s"
        )
        text += f"; {lost():,} more were not seen here." if lost() else "."
        console.print(text, soft_wrap=not live)
    return 0


async def _show(
    feed: Feed,
    symbols: Sequence[str],
    kinds: Sequence[str],
    console: Any,
    take: Callable[[], None],
    picture: Callable[[], Any],
    full: Callable[[], bool],
    duration: float | None,
    limit: int | None,
) -> bool:
    """Subscribe, and take rows until the end; False when the end was requested before there was anything."""
    with Stop() as stop:
        feed.on_event(lambda event: stop.request() if event.kind == "ended" else None)
        try:
            if not await _begin(feed, symbols, kinds, stop):
                return False
            stop.after(duration)
            take()
            if console.is_terminal:
                with console.screen() as window:
                    while not (stop.requested or full()):
                        window.update(picture())
                        await stop.sleep(_REFRESH_S)
                        take()
            else:
                if limit is None and duration is None:
                    complain("standard output is no terminal: one table follows at the end")
                while not (stop.requested or full()):
                    await stop.sleep(_REFRESH_S)
                    take()
        finally:
            await feed.close()
    return True


def _counted(symbols: int) -> str:
    return f"{symbols} {'symbol' if symbols == 1 else 'symbols'}"


def _sentence(board: Board, symbols: int, lost: int) -> str:
    took = max(board.elapsed_s, 1e-3)
    text = f"{board.total:,} ticks of {_counted(symbols)} in {took:.1f} s, {words.rate(board.total / took)} ticks/s"
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
    word = loop.call_later(_LATER_S, complain, f"subscribing to {_counted(len(symbols))}")
    try:
        return await stop.race(feed.subscribe(symbols, *kinds))
    finally:
        word.cancel()


def _tell() -> Any:
    """Return a callback that says on stderr what happens, except that all is well in the beginning."""
    begun = down = False

    def tell(event: Event) -> None:
        nonlocal begun, down
        if not begun and event.kind == "connect_failed":
            return  # `--wait` was asked for
        if event.kind == "ended":
            return  # the summary follows
        if event.kind == "connected" and not down:
            begun = True
            return  # at first, and further connections when they are needed
        down = event.kind in ("disconnected", "connect_failed")
        complain(words.event_words(event))

    return tell
