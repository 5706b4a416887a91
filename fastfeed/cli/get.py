"""`fastfeed get`: one request to a server, and its answer as a table or as text."""

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
import msgspec
import numpy as np

from fastfeed.cli import answers, ladder, words
from fastfeed.cli.answers import Answer
from fastfeed.cli.columns import SESSION_NAMES
from fastfeed.cli.connection import connection_options, feed_of
from fastfeed.cli.grid import Column, column, dates, grid, say, terminal_width, times
from fastfeed.cli.group import complain
from fastfeed.cli.output import Csv, Format, JsonLines
from fastfeed.cli.records import value_at
from fastfeed.connect import run, vendor_of
from fastfeed.errors import ConnectError
from fastfeed.feeds import opend_records as records
from fastfeed.feeds.alltick import AllTick
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.history import HistoryBars
from fastfeed.feeds.opend import OpenD
from fastfeed.protocols.alltick_codes import MOST_BARS_OF_MANY, code
from fastfeed.protocols.opend_codes import (
    ADJUSTMENTS,
    INTERVALS,
    MARKETS,
    SESSIONS,
    canonical,
    interval,
    security,
)
from fastfeed.schema import dtype
from fastfeed.stream import Rows

__all__ = ["get"]

Form = Literal["table", "csv", "jsonl"]

_DAY_S = 86400
_COMMON = ("form", "wait", "rsa_key", "encryption")
_TICKS = 20
_FILL_S = 2.0  # how long a gateway may take to fill its cache
_ASK_AGAIN_S = 0.2
_HELP = ("-h", "--help")


class _GetGroup(click.Group):
    """Commands behind a URL; their help is found without one as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections: dict[str, list[str]] = {}
        self.alltick: list[str] = []  # what AllTick has as well

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name in self.alltick or vendor_of(ctx.params["url"]) is not AllTick:
            return name, command, rest
        if not any(word in rest for word in _HELP):
            raise click.UsageError(f"AllTick has no {name}: expected {_or(self.alltick)}", ctx)
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
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, self.commands))
        for section, names in self.sections.items():
            with formatter.section(section):
                formatter.write_dl(
                    [(name, self.commands[name].get_short_help_str(limit)) for name in names]
                )


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

    URL is where it listens: opend://127.0.0.1:11111, alltick://stock or alltick://crypto. Each WHAT has a
    help of its own: fastfeed get ticks --help. AllTick has ticks, bars and book; it is asked by HTTP, which
    takes none of the plan's connections.

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
      fastfeed get alltick://crypto ticks BTCUSDT EURUSD
    """


# columns of tables


def _field(rows: Rows, name: str) -> Column:
    title, values = name.replace("_", " ").capitalize(), rows[name].tolist()
    if name == "turnover":  # nobody reads it to the cent
        known = [words.NONE if math.isnan(value) else words.count(value) for value in values]
        return Column(title, known)
    return column(title, values, 0 if name == "volume" else 2)


def _change(values: Rows) -> Column:
    return Column("Change", [words.percent(value / 100) for value in values.tolist()])


def _symbols_of(feed: Feed, rows: Rows) -> Column:
    return column("Symbol", [feed.symbols[i] for i in rows["symbol"].tolist()])


def _named(title: str, names: dict[int, str], numbers: Sequence[int]) -> Column:
    return column(title, [names.get(number) for number in numbers])


async def _filled(ask: Callable[[], Awaitable[Rows]]) -> Rows:
    """Ask again while the answer is empty: a gateway fills its cache after the subscription."""
    deadline = time.monotonic() + _FILL_S
    while not len(rows := await ask()) and time.monotonic() < deadline:
        await asyncio.sleep(_ASK_AGAIN_S)
    return rows


async def _each(
    symbols: Sequence[str], ask: Callable[[str], Awaitable[Rows]], row: np.dtype[Any]
) -> Rows:
    """Ask for each symbol, and return all rows."""
    parts = await asyncio.gather(*map(ask, symbols))
    return np.concatenate(parts, dtype=row)


# what all commands have in common

Pull = Callable[..., Awaitable[Any]]


def _what(
    section: str, name: str | None = None, *, alltick: bool = False
) -> Callable[[Pull], click.Command]:
    """Make a command of a coroutine function that gets the feed and the arguments and gives an answer.

    The feed is an `OpenD`; or, where AllTick has that as well, an `AllTick`.
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
        command = click.option(
            "--format",
            "form",
            type=click.Choice(["table", "csv", "jsonl"]),
            default="table",
            show_default=True,
            help="What to write.",
        )(command)
        made = get.command(name or pull.__name__)(command)
        made.params.sort(key=lambda param: param.name in _COMMON)  # these come last in the help
        assert isinstance(get, _GetGroup)
        get.sections.setdefault(section, []).append(made.name or "")
        if alltick:
            get.alltick.append(made.name or "")
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
        _print(_bars_answer(feed, await bars, 1), form)
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
    def one(symbol: str) -> str:
        return code(symbol) if _vendor(ctx) is AllTick else canonical(*security(symbol))

    try:
        if isinstance(value, tuple):
            return tuple(dict.fromkeys(map(one, value)))
        return None if value is None else one(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _interval(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if _vendor(ctx) is AllTick:
        return value  # which there are depends on the market: the feed knows
    try:
        return interval(value).name
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _day(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime.date | None:
    try:
        return None if value is None else datetime.date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"expected a day as yyyy-mm-dd, got {value!r}") from None


one_symbol = click.argument("symbol", callback=_symbol)
symbols = click.argument("symbols", metavar="SYMBOL...", nargs=-1, required=True, callback=_symbol)
interval_option = functools.partial(
    click.option,
    "--interval",
    "length",
    callback=_interval,
    show_default=True,
    metavar="LENGTH",
    help=f"{' '.join(INTERVALS)}; M is a month.",
)
adjust_option = click.option(
    "--adjust",
    type=click.Choice(list(ADJUSTMENTS)),
    help="For splits and dividends.  [default: forward; AllTick has none]",
)


def day_option(name: str, text: str, *, required: bool = False) -> Callable[[Any], Any]:
    return click.option(name, callback=_day, metavar="DAY", help=text, required=required)


# market data

_MARKET_DATA = "Market data"


@_what(_MARKET_DATA)
@symbols
async def quotes(feed: OpenD, symbols: tuple[str, ...]) -> Answer:
    """Print the quotes of SYMBOLs, by session.

    \b
    Example:
      fastfeed get opend://127.0.0.1:11111 quotes 700.HK AAPL.US
    """
    rows = await feed.get_quotes(symbols, subscribe=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        since = (rows["last"] / rows["prev_close"] - 1) * 100
    change = np.where(np.isnan(rows["change_rate"]), since, rows["change_rate"])

    def table() -> Sequence[str]:
        columns = [
            _symbols_of(feed, rows),
            _named("Session", SESSION_NAMES, rows["session"].tolist()),
            _field(rows, "last"),
            _change(change),
            *(_field(rows, name) for name in ("open", "high", "low", "prev_close", "volume")),
            _field(rows, "turnover"),
            times("Time", rows["time_ns"].tolist()),
        ]
        return grid(columns, terminal_width())

    return answers.of_rows(feed, "quotes", rows, table)


@_what(_MARKET_DATA, alltick=True)
@symbols
@click.option(
    "-n",
    "n",
    type=click.IntRange(1, 1000),
    metavar="N",
    help=f"How many ticks of each at most.  [default: {_TICKS}; AllTick has only the latest]",
)
async def ticks(feed: OpenD | AllTick, symbols: tuple[str, ...], n: int | None) -> Answer:
    """Print the latest trades of SYMBOLs.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 ticks 700.HK -n 1000 --format csv >ticks.csv
      fastfeed get alltick://crypto ticks BTCUSDT EURUSD
    """
    if isinstance(feed, AllTick):
        rows: Rows = await feed.get_ticks(symbols, n or 1)
    else:
        rows = await _each(
            symbols,
            lambda symbol: _filled(lambda: feed.get_ticks(symbol, n or _TICKS, subscribe=True)),
            dtype("ticks"),
        )

    def table() -> Sequence[str]:
        columns = [
            *([_symbols_of(feed, rows)] if len(symbols) > 1 else []),
            times("Time", rows["time_ns"].tolist()),
            _field(rows, "price"),
            _field(rows, "volume"),
            _named("Side", {1: "buy", -1: "sell"}, rows["side"].tolist()),
            _field(rows, "turnover"),
            column("Sequence", map(str, rows["seq"].tolist())),
        ]
        return grid(columns, terminal_width())

    return answers.of_rows(feed, "ticks", rows, table)


def _bars_answer(feed: Feed, rows: Rows, symbols: int) -> Answer:
    def table() -> Sequence[str]:
        when = rows["time_ns"].tolist()
        daily = len(rows) > 0 and rows["interval_s"][0] >= _DAY_S
        columns = [
            *([_symbols_of(feed, rows)] if symbols > 1 else []),
            dates("Day", when) if daily else times("Start", when),
            *(_field(rows, name) for name in ("open", "high", "low", "close", "volume")),
            *([] if np.isnan(rows["change_rate"]).all() else [_change(rows["change_rate"])]),
            _field(rows, "turnover"),
        ]
        return grid(columns, terminal_width())

    return answers.of_rows(feed, "bars", rows, table)


@_what(_MARKET_DATA, alltick=True)
@symbols
@interval_option(default="1m")
@click.option(
    "-n",
    "n",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="How many bars of each at most; AllTick has 500.",
)
@adjust_option
async def bars(
    feed: OpenD | AllTick, symbols: tuple[str, ...], length: str, n: int, adjust: Any
) -> Answer:
    """Print the latest bars of SYMBOLs.

    The oldest comes first, the last one is still running. Times are starts of bars. OpenD has older bars:
    history. AllTick has lengths of 1m 5m 15m 30m 1h 1d 1w 1M, of all but stocks also 2h 4h; and up to 500
    bars of a symbol, for which each symbol takes a request of its own.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 bars 700.HK --interval 5m -n 50
      fastfeed get alltick://crypto bars GOLD --interval 4h
    """
    if not isinstance(feed, AllTick):
        rows = await _each(
            symbols,
            lambda symbol: _filled(
                lambda: feed.get_bars(symbol, length, n, adjust=adjust or "forward", subscribe=True)
            ),
            dtype("bars"),
        )
    elif adjust is not None:
        raise ValueError("AllTick has no --adjust: its bars are as traded")
    elif len(symbols) > 1 and n <= MOST_BARS_OF_MANY:
        rows = await feed.get_bars(symbols, length, n)
    else:
        rows = await _each(symbols, lambda symbol: feed.get_bars(symbol, length, n), dtype("bars"))
    return _bars_answer(feed, rows, len(symbols))


@_what(_MARKET_DATA)
@one_symbol
@interval_option(default="1d")
@day_option("--start", "First day; a year before the last one if not given.")
@day_option("--end", "Last day; today if not given.")
@adjust_option
@click.option(
    "--session", type=click.Choice(list(SESSIONS)), help="Trading sessions of US symbols."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The oldest N bars only.")
async def history(
    feed: OpenD,
    symbol: str,
    length: str,
    start: datetime.date | None,
    end: datetime.date | None,
    adjust: Any,
    session: Any,
    limit: int | None,
) -> HistoryBars:
    """Print bars of the past of a SYMBOL.

    It needs no subscription, but a place of the quota of history: one for each symbol in 30 days.

    \b
    Example:
      fastfeed get opend://127.0.0.1:11111 history AAPL.US --start 2024-01-01 --end 2024-12-31
    """
    return feed.get_history_bars(
        symbol, length, start, end, adjust=adjust or "forward", session=session, limit=limit
    )


@_what(_MARKET_DATA)
@one_symbol
async def timeshare(feed: OpenD, symbol: str) -> Answer:
    """Print the minute line of a SYMBOL's day."""
    rows = await _filled(lambda: feed.get_timeshare(symbol, subscribe=True))

    def table() -> Sequence[str]:
        columns = [
            times("Time", rows["time_ns"].tolist()),
            *(_field(rows, name) for name in ("price", "avg_price", "volume", "turnover")),
        ]
        return grid(columns, terminal_width())

    return answers.of_rows(feed, "timeshare", rows, table)


@_what(_MARKET_DATA, alltick=True)
@symbols
@click.option(
    "--depth",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    metavar="N",
    help="Levels of a side; AllTick has at most 10.",
)
@click.option("--odd-lots", is_flag=True, help="The books of odd lots instead; AllTick has none.")
async def book(
    feed: OpenD | AllTick, symbols: tuple[str, ...], depth: int, odd_lots: bool
) -> Answer:
    """Print the order books of SYMBOLs.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 book 700.HK --depth 5
      fastfeed get alltick://crypto book BTCUSDT
    """
    if not isinstance(feed, AllTick):

        async def one(symbol: str) -> Rows:
            return _array_of(await feed.get_book(symbol, depth, odd_lots=odd_lots, subscribe=True))

        rows = await _each(symbols, one, dtype("books", depth))
    elif odd_lots:
        raise ValueError("AllTick has no --odd-lots")
    else:
        depth = min(depth, feed.hub.book_depth)
        rows = _cut(await feed.get_book(symbols), depth)

    def table() -> Sequence[str]:
        lines: list[str] = []
        for row, symbol in zip(rows, rows["symbol"].tolist(), strict=True):
            head = ["", feed.symbols[symbol]] if len(symbols) > 1 else []
            lines += [*head, *ladder.plain(row, terminal_width())]
        return lines[len(symbols) > 1 :]

    return answers.of_rows(feed, "odd_books" if odd_lots else "books", rows, table, depth)


def _cut(books: Rows, depth: int) -> Rows:
    """Return the best levels of books."""
    rows = np.zeros(len(books), dtype("books", depth))
    for name in rows.dtype.names or ():
        rows[name] = books[name][:, :depth] if rows.dtype[name].shape else books[name]
    for side in ("bids", "asks"):
        rows[side] = np.minimum(books[side], depth)
    return rows


@_what(_MARKET_DATA)
@one_symbol
async def brokers(feed: OpenD, symbol: str) -> Answer:
    """Print the broker queues of a SYMBOL (Hong Kong only)."""
    row = await feed.get_brokers(symbol, subscribe=True)
    return answers.of_rows(
        feed,
        "brokers",
        _array_of(row),
        lambda: grid(ladder.queues(row, feed.hub.broker_name), terminal_width()),
    )


@_what(_MARKET_DATA)
@symbols
async def snapshot(feed: OpenD, symbols: tuple[str, ...]) -> Answer:
    """Print snapshots of SYMBOLs, without a subscription.

    Of a single one the table has all that is known.

    \b
    Example:
      fastfeed get opend://127.0.0.1:11111 snapshot 700.HK AAPL.US
    """
    found = await feed.get_snapshots(symbols)
    if len(found) == 1:
        return answers.single(found[0])
    return answers.listed(
        records.Snapshot,
        found,
        Symbol="symbol",
        Name="name",
        Last="last",
        Open="open",
        High="high",
        Low="low",
        Prev_close="prev_close",
        Volume="volume",
        Bid="bid_price",
        Ask="ask_price",
        Turnover="turnover",
        Time="update_ns",
    )


def _array_of(row: np.void) -> Rows:
    rows = np.empty(1, row.dtype)
    rows[0] = row
    return rows


# securities

_SECURITIES = "Securities"


def _securities(found: Sequence[records.StaticInfo]) -> Answer:
    return answers.listed(
        records.StaticInfo,
        found,
        Symbol="symbol",
        Name="name",
        Kind="kind",
        Lot="lot_size",
        Listed="listed",
        Exchange="exchange",
    )


@_what(_SECURITIES)
@click.argument("symbols", metavar="[SYMBOL]...", nargs=-1, callback=_symbol)
@click.option("--market", metavar="MARKET", help=f"All of a market: {' '.join(MARKETS)}.")
@click.option(
    "--kind",
    default="STOCK",
    show_default=True,
    metavar="KIND",
    help="Of a market: STOCK ETF WARRANT IDX BOND FUTURE PLATE DRVT.",
)
async def static(feed: OpenD, symbols: tuple[str, ...], market: str | None, kind: str) -> Answer:
    """Print what SYMBOLs are: names, lot sizes, terms.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 static 700.HK
      fastfeed get opend://127.0.0.1:11111 static --market HK --kind ETF --format csv >etf.csv
    """
    found = await feed.get_static_info(symbols or None, market=market, kind=kind)
    return _securities(found)


@_what(_SECURITIES)
@click.argument("market")
@click.option(
    "--kind",
    type=click.Choice(["all", "industry", "region", "concept"]),
    default="all",
    show_default=True,
)
async def plates(feed: OpenD, market: str, kind: str) -> Answer:
    """Print the sectors of a MARKET, such as HK, US, SH, SZ."""
    found = await feed.get_plates(market, kind)
    return answers.listed(records.Plate, found, Plate="symbol", Name="name", Kind="kind")


@_what(_SECURITIES)
@click.argument("plate", callback=_symbol)
async def plate(feed: OpenD, plate: str) -> Answer:
    """Print the members of a sector or an index.

    PLATE is its symbol, from plates."""
    return _securities(await feed.get_plate_symbols(plate))


@_what(_SECURITIES)
@one_symbol
@day_option("--start", "First expiry.", required=True)
@day_option("--end", "Last expiry.", required=True)
@click.option("--kind", type=click.Choice(["all", "call", "put"]), default="all", show_default=True)
@click.option(
    "--moneyness", type=click.Choice(["all", "in", "out"]), default="all", show_default=True
)
async def options(
    feed: OpenD,
    symbol: str,
    start: datetime.date,
    end: datetime.date,
    kind: Any,
    moneyness: Any,
) -> Answer:
    """Print the option chain of an underlying SYMBOL.

    \b
    Example:
      fastfeed get opend://127.0.0.1:11111 options 700.HK --start 2026-12-01 --end 2026-12-31
    """
    chains = await feed.get_option_chain(symbol, start, end, kind=kind, moneyness=moneyness)
    pairs = [(chain.expiry, pair) for chain in chains for pair in chain.options]
    contracts = [c for _, pair in pairs for c in (pair.call, pair.put) if c is not None]

    def table() -> Sequence[str]:
        strikes = [
            value_at(pair, "call.option.strike_price") or value_at(pair, "put.option.strike_price")
            for _, pair in pairs
        ]
        columns = [
            column("Expiry", [expiry for expiry, _ in pairs]),
            column("Strike", strikes),
            column("Call", [value_at(pair, "call.symbol") for _, pair in pairs]),
            column("Put", [value_at(pair, "put.symbol") for _, pair in pairs]),
        ]
        return grid(columns, terminal_width())

    return answers.of_records(records.OptionChain, chains, table, (records.StaticInfo, contracts))


@_what(_SECURITIES)
@symbols
async def futures(feed: OpenD, symbols: tuple[str, ...]) -> Answer:
    """Print the terms of futures."""
    found = await feed.get_futures(symbols)
    return answers.listed(
        records.FutureInfo,
        found,
        Symbol="symbol",
        Name="name",
        Size="contract_size",
        Unit="contract_size_unit",
        Tick="tick_size",
        Currency="quote_currency",
        Last_day="last_trading_day",
        Contract="actual_contract",
        Exchange="exchange",
        Zone="time_zone",
    )


@_what(_SECURITIES)
@one_symbol
async def rehab(feed: OpenD, symbol: str) -> Answer:
    """Print corporate actions and adjustment factors of a SYMBOL."""
    found = await feed.get_rehab(symbol)
    return answers.listed(
        records.Rehab,
        found,
        Day="date",
        Forward_factor="forward_factor",
        Forward_offset="forward_offset",
        Dividend="dividend",
        Split_base="split_base",
        Split_extra="split_extra",
        Bonus_base="bonus_base",
        Bonus_extra="bonus_extra",
        Special_dividend="special_dividend",
        Acts="acts",
    )


@_what(_SECURITIES)
@click.argument("market", required=False)
@click.option(
    "--symbol", callback=_symbol, metavar="SYMBOL", help="Its days instead of a market's."
)
@day_option("--start", "First day; a year before the last one if not given.")
@day_option("--end", "Last day; today if not given.")
async def days(
    feed: OpenD,
    market: str | None,
    symbol: str | None,
    start: datetime.date | None,
    end: datetime.date | None,
) -> Answer:
    """Print the days on which a market is open.

    MARKET is one of HK US CN NT ST SG MY JP JP_FUTURE SG_FUTURE; NT and ST are the links north and south.

    \b
    Example:
      fastfeed get opend://127.0.0.1:11111 days HK --start 2026-11-01 --end 2026-11-30
    """
    found = await feed.get_trading_days(market, start, end, symbol=symbol)
    return answers.listed(records.TradingDay, found, Day="date", Kind="kind")


@_what(_SECURITIES)
@symbols
async def state(feed: OpenD, symbols: tuple[str, ...]) -> Answer:
    """Print the state of the markets of SYMBOLs."""
    found = await feed.get_market_states(symbols)
    return answers.listed(records.MarketState, found, Symbol="symbol", Name="name", State="state")


# watchlists

_WATCHLISTS = "Watchlists"


@_what(_WATCHLISTS)
@click.option(
    "--kind", type=click.Choice(["all", "custom", "system"]), default="all", show_default=True
)
async def watchlists(feed: OpenD, kind: Any) -> Answer:
    """Print the names of the user's watchlists."""
    found = await feed.get_watchlists(kind)
    return answers.listed(records.WatchlistGroup, found, Name="name", Kind="kind")


@_what(_WATCHLISTS)
@click.argument("group")
async def watchlist(feed: OpenD, group: str) -> Answer:
    """Print the securities of a watchlist.

    \b
    Example:
      fastfeed get opend://127.0.0.1:11111 watchlist "All"
    """
    return _securities(await feed.get_watchlist(group))


# the account and the gateway

_GATEWAY = "Account and gateway"


@_what(_GATEWAY, "global")
async def global_(feed: OpenD) -> Answer:
    """Print the gateway's state and those of the markets."""
    return answers.single(await feed.get_global_state())


@_what(_GATEWAY)
async def user(feed: OpenD) -> Answer:
    """Print the account's rights to quotes and its quotas."""
    return answers.single(await feed.get_user_info())


class _Subscribed(msgspec.Struct, frozen=True):
    """A subscription as a line of CSV."""

    own: bool
    kind: str
    symbol: str


@_what(_GATEWAY)
@click.option("--all", "everybody", is_flag=True, help="Those of all connections to the gateway.")
async def subscriptions(feed: OpenD, everybody: bool) -> Answer:
    """Print what is subscribed, and the quota left.

    A command's own connection has no subscriptions: --all shows those of others.
    """
    found = await feed.get_subscriptions(everybody)
    lines = [
        _Subscribed(connection.own, group.kind, symbol)
        for connection in found.connections
        for group in connection.subscribed
        for symbol in group.symbols
    ]

    def table() -> Sequence[str]:
        own = column("Connection", ["own" if line.own else "other" for line in lines])
        kinds = column("Kind", [line.kind for line in lines])
        listed = grid([own, kinds, column("Symbol", [line.symbol for line in lines])])
        return [*answers.fields(found), *(["", *listed] if lines else [])]

    return answers.of_records(records.Subscriptions, [found], table, (_Subscribed, lines))


class _Quota(msgspec.Struct, frozen=True):
    """A quota, and what is used and left of it."""

    quota: str
    used: int
    remaining: int


@_what(_GATEWAY)
async def quota(feed: OpenD) -> Answer:
    """Print how much of the quotas is used and left."""
    live = await feed.get_subscriptions(True)
    past = await feed.get_history_quota()
    found = [
        _Quota("subscriptions", live.used_quota, live.remaining_quota),
        _Quota("history", past.used, past.remaining),
    ]
    if live.option_used_quota is not None and live.option_remaining_quota is not None:
        options = _Quota("options", live.option_used_quota, live.option_remaining_quota)
        found.insert(1, options)
    return answers.listed(_Quota, found, Quota="quota", Used="used", Left="remaining")


@_what(_GATEWAY)
async def delays(feed: OpenD) -> Answer:
    """Print the gateway's own record of delays, in ms."""
    found = await feed.get_delay_statistics()

    def table() -> Sequence[str]:
        lines = grid(
            [
                column("Pushes", [push.kind for push in found.pushes]),
                column("Count", [push.count for push in found.pushes]),
                column("Average", [push.average_ms for push in found.pushes]),
            ]
        )
        return [
            *lines,
            "",
            *grid(
                [
                    column("Requests", [str(request.proto_id) for request in found.requests]),
                    column("Count", [request.count for request in found.requests]),
                    column("Total", [request.total_ms for request in found.requests]),
                    column("Gateway", [request.opend_ms for request in found.requests]),
                    column("Network", [request.network_ms for request in found.requests]),
                ]
            ),
        ]

    return answers.of_records(records.DelayStatistics, [found], table)
