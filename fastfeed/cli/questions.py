"""What all questions of `fastfeed get` have in common: the group, its arguments, columns of its tables."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import math
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal

import click
import numpy as np

from fastfeed.cli import answers, words
from fastfeed.cli.answers import Answer
from fastfeed.cli.columns import SESSION_NAMES
from fastfeed.cli.connection import NAMES, connection_options, feed_of
from fastfeed.cli.grid import Column, column, dates, grid, say, terminal_width, times
from fastfeed.cli.group import complain
from fastfeed.cli.options import format_option
from fastfeed.cli.output import Csv, Format, JsonLines
from fastfeed.connect import run, vendor_of
from fastfeed.errors import ConnectError
from fastfeed.feeds.alltick import AllTick
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.history import HistoryBars
from fastfeed.feeds.longport import LongPort
from fastfeed.feeds.opend import OpenD
from fastfeed.protocols import alltick_codes, longport_codes, opend_codes
from fastfeed.protocols.opend_codes import ADJUSTMENTS, INTERVALS, SESSIONS
from fastfeed.stream import Rows

__all__ = [
    "GATEWAY",
    "MARKET_DATA",
    "SECURITIES",
    "Pull",
    "WATCHLISTS",
    "adjust_option",
    "array_of",
    "bars_answer",
    "change_column",
    "day_option",
    "each",
    "field_column",
    "filled",
    "get",
    "interval_option",
    "maybe_symbols",
    "named_column",
    "one_plate",
    "one_symbol",
    "quotes_answer",
    "session_option",
    "symbol_option",
    "symbols",
    "symbols_column",
    "what",
]

Form = Literal["table", "csv", "jsonl"]

MARKET_DATA = "Market data"
SECURITIES = "Securities"
WATCHLISTS = "Watchlists"
GATEWAY = "Account and gateway"
_SECTIONS = (MARKET_DATA, SECURITIES, WATCHLISTS, GATEWAY)

_DAY_S = 86400
_COMMON = ("form", "wait", "rsa_key", "encryption")
_FILL_S = 2.0  # how long a gateway may take to fill its cache
_ASK_AGAIN_S = 0.2
_HELP = ("-h", "--help")
_VENDOR = f"{__name__}.vendor"


class _GetGroup(click.Group):
    """Commands behind a URL; their help is found without one as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections: dict[str, list[str]] = {section: [] for section in _SECTIONS}
        self.vendors: dict[str, tuple[type[Feed], ...]] = {}  # by name of a command

    def of(self, vendor: type[Feed] | None) -> list[str]:
        """Return the names of what a vendor has; of no vendor, of all that there is."""
        return [
            name
            for names in self.sections.values()
            for name in sorted(names, key=lambda name: OpenD not in self.vendors[name])
            if vendor is None or vendor in self.vendors[name]
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        vendor = vendor_of(ctx.params["url"])
        names = self.of(vendor)
        if vendor is not None and name not in names and not any(word in rest for word in _HELP):
            raise click.UsageError(f"{NAMES[vendor]} has no {name}: expected {_or(names)}", ctx)
        return name, command, rest

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in self.commands:
            if not any(word in args for word in _HELP):
                raise click.UsageError(
                    f"expected a URL before {args[0]!r}, as in "
                    f"{ctx.command_path} opend://127.0.0.1:11111 {args[0]}",
                    ctx,
                )
            args = ["URL", *args]
        if args and (vendor := vendor_of(args[0])) is not None:
            if not self.of(vendor):
                raise click.UsageError(
                    f"{NAMES[vendor]} answers no questions: see fastfeed watch", ctx
                )
            ctx.meta[_VENDOR] = vendor  # click parses an option behind the URL by itself again
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        known = self.of(ctx.meta.get(_VENDOR))
        limit = formatter.width - 6 - max(map(len, known))
        for section, names in self.sections.items():
            lines = [
                (name, self.commands[name].get_short_help_str(limit))
                for name in known
                if name in names
            ]
            if lines:
                with formatter.section(section):
                    formatter.write_dl(lines)


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


@click.group(
    cls=_GetGroup,
    subcommand_metavar="WHAT [ARGS]...",
    short_help="Ask a server once: ticks, bars, a book, a watchlist and more.",
)
@click.argument("url")
def get(url: str) -> None:
    """Ask a server for something and print the answer.

    URL is where it listens: opend://127.0.0.1:11111; longport:// with credentials in LONGBRIDGE_APP_KEY,
    LONGBRIDGE_APP_SECRET and LONGBRIDGE_ACCESS_TOKEN; alltick://stock or alltick://crypto with the token in
    ALLTICK_TOKEN. What one of them has: fastfeed get longport:// --help. Each WHAT has a help of its own: fastfeed
    get ticks --help. AllTick is asked by HTTP, which takes none of the plan's connections; LongPort takes one.

    \b
    Formats (--format, after WHAT):
      table  for people: the more important columns, as many as fit
      csv    everything, below a header line; unknown is empty
      jsonl  everything, a JSON object a line; unknown is null

    csv and jsonl are complete: numbers read back as the very same doubles. Times are UTC, those in _ns
    nanoseconds since 1970. What needs a subscription is subscribed until the command ends.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 ticks 700.HK -n 100
      fastfeed get opend://127.0.0.1:11111 bars 700.HK --interval 5m
      fastfeed get opend://127.0.0.1:11111 watchlist All --format csv >all.csv
      fastfeed get longport:// quotes 700.HK AAPL.US
      fastfeed get alltick://crypto ticks BTCUSDT EURUSD
    """


# columns of tables


def field_column(rows: Rows, name: str) -> Column:
    title, values = name.replace("_", " ").capitalize(), rows[name].tolist()
    if name == "turnover":  # nobody reads it to the cent
        known = [words.NONE if math.isnan(value) else words.count(value) for value in values]
        return Column(title, known)
    return column(title, values, 0 if name == "volume" else 2)


def change_column(values: Rows) -> Column:
    return Column("Change", [words.percent(value / 100) for value in values.tolist()])


def symbols_column(feed: Feed, rows: Rows) -> Column:
    return column("Symbol", [feed.symbols[i] for i in rows["symbol"].tolist()])


def named_column(title: str, names: dict[int, str], numbers: Sequence[int]) -> Column:
    return column(title, [names.get(number) for number in numbers])


async def filled(ask: Callable[[], Awaitable[Rows]]) -> Rows:
    """Ask again while the answer is empty: a gateway fills its cache after the subscription."""
    deadline = time.monotonic() + _FILL_S
    while not len(rows := await ask()) and time.monotonic() < deadline:
        await asyncio.sleep(_ASK_AGAIN_S)
    return rows


async def each(
    symbols: Sequence[str], ask: Callable[[str], Awaitable[Rows]], row: np.dtype[Any]
) -> Rows:
    """Ask for each symbol, and return all rows."""
    parts = await asyncio.gather(*map(ask, symbols))
    return np.concatenate(parts, dtype=row)


def array_of(row: np.void) -> Rows:
    rows = np.empty(1, row.dtype)
    rows[0] = row
    return rows


def quotes_answer(feed: Feed, rows: Rows, *more: Column) -> Answer:
    """Return quotes, with their table; columns that it begins with may be added to."""
    with np.errstate(divide="ignore", invalid="ignore"):
        since = (rows["last"] / rows["prev_close"] - 1) * 100
    change = np.where(np.isnan(rows["change_rate"]), since, rows["change_rate"])

    def table() -> Sequence[str]:
        columns = [
            symbols_column(feed, rows),
            *(more or [named_column("Session", SESSION_NAMES, rows["session"].tolist())]),
            field_column(rows, "last"),
            change_column(change),
            *(field_column(rows, name) for name in ("open", "high", "low", "prev_close", "volume")),
            field_column(rows, "turnover"),
            times("Time", rows["time_ns"].tolist()),
        ]
        return grid(columns, terminal_width())

    return answers.of_rows(feed, "quotes", rows, table)


def bars_answer(feed: Feed, rows: Rows, symbols: int) -> Answer:
    def table() -> Sequence[str]:
        when = rows["time_ns"].tolist()
        daily = len(rows) > 0 and rows["interval_s"][0] >= _DAY_S
        columns = [
            *([symbols_column(feed, rows)] if symbols > 1 else []),
            dates("Day", when) if daily else times("Start", when),
            *(field_column(rows, name) for name in ("open", "high", "low", "close", "volume")),
            *([] if np.isnan(rows["change_rate"]).all() else [change_column(rows["change_rate"])]),
            field_column(rows, "turnover"),
        ]
        return grid(columns, terminal_width())

    return answers.of_rows(feed, "bars", rows, table)


# what all commands have in common

Pull = Callable[..., Awaitable[Any]]


def what(
    section: str, name: str | None = None, *, of: tuple[type[Feed], ...] = (OpenD,)
) -> Callable[[Pull], click.Command]:
    """Make a command of a coroutine function that gets the feed and the arguments and gives an answer.

    The feed is one of the classes that are given.
    """

    def decorate(pull: Pull) -> click.Command:
        @functools.wraps(pull)
        def callback(
            *,
            form: Form,
            wait: float | None,
            rsa_key: str | None,
            encryption: str | None,
            **arguments: Any,
        ) -> None:
            ctx = click.get_current_context()
            assert ctx.parent is not None
            feed = feed_of(ctx.parent.params["url"], rsa_key, encryption, wait_s=wait)
            run(_pull(feed, pull, arguments, form, wait or 0.0))

        command = connection_options(callback)
        command = click.option(
            "--wait",
            type=click.FloatRange(min=0),
            metavar="S",
            help="Keep trying for S seconds if nothing listens there yet.",
        )(command)
        command = format_option("table", "csv", "jsonl")(command)
        made = get.command(name or pull.__name__)(command)
        made.params.sort(key=lambda param: param.name in _COMMON)  # these come last in the help
        assert isinstance(get, _GetGroup)
        get.sections[section].append(made.name or "")
        get.vendors[made.name or ""] = of
        return made

    return decorate


async def _pull(
    feed: Feed, pull: Pull, arguments: dict[str, Any], form: Form, wait_s: float
) -> None:
    async with _ready(feed):
        try:
            answer = await _patiently(feed, functools.partial(pull, feed, **arguments), wait_s)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        if isinstance(answer, HistoryBars):
            await _print_pages(feed, answer, form)
        else:
            _print(answer, form)


@contextlib.asynccontextmanager
async def _ready(feed: Feed) -> AsyncIterator[None]:
    """Connect where pulls need it: those of AllTick have connections of their own, by HTTP."""
    try:
        if not isinstance(feed, AllTick):
            await feed.open()
        yield
    finally:
        await feed.close()


async def _patiently(feed: Feed, ask: Callable[[], Awaitable[Any]], wait_s: float) -> Any:
    """Ask; of AllTick again while it cannot be reached, which is what opening a feed does otherwise."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return await ask()
        except ConnectError:
            if not isinstance(feed, AllTick) or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_ASK_AGAIN_S)


def _print(answer: Answer, form: Form) -> None:
    if form == "table":
        if answer.count:
            say(answer.table())
        else:
            complain("the answer is empty")
    else:
        _write(answer.csv() if form == "csv" else answer.jsonl())


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


async def _print_pages(feed: Feed, bars: HistoryBars, form: Form) -> None:
    """Print a table of all, or text page by page: there may be more than fits into memory."""
    if form == "table":
        _print(bars_answer(feed, await bars, 1), form)
        return
    text: Format = Csv(feed.symbols, "bars") if form == "csv" else JsonLines(feed.symbols, "bars")
    _write(text.header)
    async for page in bars:
        _write(text(page))


# arguments


def _vendor(ctx: click.Context) -> type[Feed] | None:
    assert ctx.parent is not None
    return vendor_of(ctx.parent.params["url"])


def _symbol(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    # OpenD's way of writing them is understood by LongPort as well.
    one = alltick_codes.code if _vendor(ctx) is AllTick else longport_codes.code

    try:
        if isinstance(value, tuple):
            return tuple(dict.fromkeys(map(one, value)))
        return None if value is None else one(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _interval(ctx: click.Context, param: click.Parameter, value: str) -> str:
    vendor = _vendor(ctx)
    if vendor is AllTick:
        return value  # which there are depends on the market: the feed knows
    try:
        if vendor is LongPort:
            return longport_codes.interval(value).name
        return opend_codes.interval(value).name
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _day(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime.date | None:
    try:
        return None if value is None else datetime.date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"expected a day as yyyy-mm-dd, got {value!r}") from None


one_symbol = click.argument("symbol", callback=_symbol)
symbols = click.argument("symbols", metavar="SYMBOL...", nargs=-1, required=True, callback=_symbol)
maybe_symbols = click.argument("symbols", metavar="[SYMBOL]...", nargs=-1, callback=_symbol)
one_plate = click.argument("plate", callback=_symbol)
interval_option = functools.partial(
    click.option,
    "--interval",
    "length",
    callback=_interval,
    show_default=True,
    metavar="LENGTH",
    help=f"{' '.join(INTERVALS)}; M is a month. LongPort has 2m 20m 45m as well.",
)
adjust_option = click.option(
    "--adjust",
    type=click.Choice(list(ADJUSTMENTS)),
    help="For splits and dividends.  [default: forward; LongPort has no backward, AllTick none]",
)
session_option = click.option(
    "--session",
    type=click.Choice(list(SESSIONS)),
    help="Trading sessions of US symbols; LongPort has RTH (the default) and ALL.",
)


def symbol_option(text: str) -> Callable[[Any], Any]:
    return click.option("--symbol", callback=_symbol, metavar="SYMBOL", help=text)


def day_option(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(name, callback=_day, metavar="DAY", help=text)
