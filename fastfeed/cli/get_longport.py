"""`fastfeed get`: what only LongPort has, and its answers to questions that others have as well."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec

from fastfeed.cli import answers
from fastfeed.cli.answers import Answer
from fastfeed.cli.grid import column, grid, terminal_width, times
from fastfeed.cli.output import Csv, JsonLines
from fastfeed.cli.questions import (
    GATEWAY,
    MARKET_DATA,
    SECURITIES,
    Pull,
    one_symbol,
    quotes_answer,
    symbols,
    what,
)
from fastfeed.cli.records import csv_lines
from fastfeed.feeds import longport_records as records
from fastfeed.feeds.longport import LongPort

__all__ = ["chains", "days", "securities", "subscribed"]

_ONLY = (LongPort,)
_WARRANTS = 20
_INDEXES = (
    "last_done,change_rate,volume,turnover,turnover_rate,amplitude,volume_ratio,total_market_value,"
    "pe_ttm_ratio,pb_ratio,dividend_ratio_ttm"
)


# answers to what others have as well


def securities(found: Sequence[records.LongPortStaticInfo]) -> Answer:
    """Return what securities are."""
    return answers.listed(
        records.LongPortStaticInfo,
        found,
        Symbol="symbol",
        Name="name_en",
        Exchange="exchange",
        Currency="currency",
        Lot="lot_size",
        Board="board",
        Shares="total_shares",
        EPS="eps",
        Listed="listing_date",
    )


class _Pair(msgspec.Struct, frozen=True):
    """Call and put of one strike price, as a line."""

    expiry: datetime.date
    strike_price: float
    call: str | None
    put: str | None
    standard: bool


def chains(found: Sequence[records.LongPortOptionChain]) -> Answer:
    """Return chains of options."""
    pairs = [
        _Pair(chain.expiry, pair.strike_price, pair.call, pair.put, pair.standard)
        for chain in found
        for pair in chain.options
    ]
    return answers.listed(
        _Pair,
        pairs,
        Expiry="expiry",
        Strike="strike_price",
        Call="call",
        Put="put",
        Standard="standard",
    )


def days(found: Sequence[records.LongPortTradingDay]) -> Answer:
    """Return trading days."""
    return answers.listed(records.LongPortTradingDay, found, Day="date", Kind="kind")


def subscribed(found: Sequence[records.SubscribedKinds]) -> Answer:
    """Return what is subscribed."""
    return answers.listed(records.SubscribedKinds, found, Symbol="symbol", Kinds="kinds")


# market data


@what(MARKET_DATA, "option-quotes", of=_ONLY)
@symbols
async def option_quotes(feed: LongPort, symbols: tuple[str, ...]) -> Answer:
    """Print quotes of options, with their terms.

    \b
    Example:
      fastfeed get longport:// option-quotes AAPL261218C250000.US
    """
    found = await feed.get_option_quotes(symbols)
    return _with_terms(feed, found, records.OptionTerms, Kind="direction", Expiry="expiry_date")


@what(MARKET_DATA, "warrant-quotes", of=_ONLY)
@symbols
async def warrant_quotes(feed: LongPort, symbols: tuple[str, ...]) -> Answer:
    """Print quotes of warrants, with their terms.

    \b
    Example:
      fastfeed get longport:// warrant-quotes 13447.HK
    """
    found = await feed.get_warrant_quotes(symbols)
    return _with_terms(feed, found, records.WarrantTerms, Kind="category", Expiry="expiry_date")


def _with_terms(
    feed: LongPort,
    found: records.OptionQuotes | records.WarrantQuotes,
    kind: type[msgspec.Struct],
    **paths: str,
) -> Answer:
    """Return rows of quotes, each with its record behind it."""
    rows, terms = found
    strikes = column("Strike", rows["strike_price"].tolist())
    more = [column(title, [getattr(one, name) for one in terms]) for title, name in paths.items()]

    def csv() -> bytes:
        form = Csv(feed.symbols, "quotes")
        quotes = (form.header + form(rows)).decode().splitlines()
        rest = csv_lines(kind, terms).decode().splitlines()
        # The symbol stands in both.
        lines = [
            f"{quote},{line.partition(',')[2]}" for quote, line in zip(quotes, rest, strict=True)
        ]
        return ("\n".join(lines) + "\n").encode()

    def jsonl() -> bytes:
        form = JsonLines(feed.symbols, "quotes")
        objects = map(msgspec.json.decode, form(rows).splitlines())
        merged = [
            quote | msgspec.to_builtins(one) for quote, one in zip(objects, terms, strict=True)
        ]
        return msgspec.json.Encoder().encode_lines(merged)

    return Answer(quotes_answer(feed, rows, *more, strikes).table, csv, jsonl, len(rows))


@what(MARKET_DATA, "capital-flow", of=_ONLY)
@one_symbol
async def capital_flow(feed: LongPort, symbol: str) -> Answer:
    """Print the day's net inflow of capital, by minute."""
    found = await feed.get_capital_flow(symbol)
    return answers.listed(records.CapitalFlow, found, Time="time_ns", Inflow="inflow")


@what(MARKET_DATA, "capital-distribution", of=_ONLY)
@one_symbol
async def capital_distribution(feed: LongPort, symbol: str) -> Answer:
    """Print the day's capital flow by the size of orders."""
    return answers.single(await feed.get_capital_distribution(symbol))


@what(MARKET_DATA, of=_ONLY)
@symbols
@click.option(
    "--indexes",
    default=_INDEXES,
    metavar="NAME,...",
    help="Which ones.  [default: prices, volumes, valuation]",
)
async def calc(feed: LongPort, symbols: tuple[str, ...], indexes: str) -> Answer:
    """Print numbers that are calculated of SYMBOLs.

    \b
    Indexes:
      last_done change_val change_rate volume turnover ytd_change_rate turnover_rate
      total_market_value capital_flow amplitude volume_ratio pe_ttm_ratio pb_ratio
      dividend_ratio_ttm five_day_change_rate ten_day_change_rate
      half_year_change_rate five_minutes_change_rate
    Of options and warrants:
      expiry_date strike_price upper_strike_price lower_strike_price
      outstanding_qty outstanding_ratio premium itm_otm implied_volatility
      warrant_delta call_price to_call_price effective_leverage leverage_ratio
      conversion_ratio balance_point open_interest delta gamma theta vega rho

    \b
    Example:
      fastfeed get longport:// calc 700.HK AAPL.US --indexes pe_ttm_ratio,pb_ratio
    """
    names = list(dict.fromkeys(name.strip() for name in indexes.split(",") if name.strip()))
    found = await feed.get_calc_indexes(symbols, names)
    kind = msgspec.defstruct("CalcIndexes", [("symbol", str), *((name, Any) for name in names)])
    lines = [kind(symbol, **numbers) for symbol, numbers in found.items()]
    titles = {name.replace("_", " ").capitalize(): name for name in names}
    return answers.listed(kind, lines, Symbol="symbol", **titles)


# securities


class _Expiry(msgspec.Struct, frozen=True):
    expiry: datetime.date


@what(SECURITIES, of=_ONLY)
@one_symbol
async def expiries(feed: LongPort, symbol: str) -> Answer:
    """Print when options of an underlying SYMBOL expire."""
    found = [_Expiry(day) for day in await feed.get_option_expiries(symbol)]
    return answers.listed(_Expiry, found, Expiry="expiry")


def _words(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _choices(name: str, metavar: str, text: str) -> Callable[[Pull], Pull]:
    return click.option(name, default="", callback=_words, metavar=metavar, help=text)


@what(SECURITIES, of=_ONLY)
@one_symbol
@_choices("--kinds", "KIND,...", "CALL PUT BULL BEAR INLINE.")
@_choices("--issuers", "ID,...", "Their numbers, from issuers.")
@_choices("--expiries", "SPAN,...", "Months from now: <3M 3-6M 6-12M >12M.")
@_choices("--bounds", "in,out", "Of inline warrants.")
@_choices("--statuses", "STATUS,...", "SUSPENDED TO_BE_LISTED NORMAL.")
@click.option(
    "--sort", default="last_done", show_default=True, metavar="NAME", help="By this column."
)
@click.option("--descending", is_flag=True, help="The highest first.")
@click.option("--offset", type=click.IntRange(0), default=0, metavar="N", help="Leave out N.")
@click.option(
    "-n", "n", type=click.IntRange(1), default=_WARRANTS, show_default=True, metavar="N",
    help="How many at most.",
)  # fmt: skip
async def warrants(
    feed: LongPort,
    symbol: str,
    kinds: tuple[str, ...],
    issuers: tuple[str, ...],
    expiries: tuple[str, ...],
    bounds: Any,
    statuses: tuple[str, ...],
    sort: str,
    descending: bool,
    offset: int,
    n: int,
) -> Answer:
    """Print warrants of an underlying SYMBOL in Hong Kong.

    Without a filter they are of all kinds, issuers and so on.

    \b
    Example:
      fastfeed get longport:// warrants 700.HK --kinds BULL,BEAR --sort turnover --descending
    """
    wrong = [one for one in issuers if not (one.isascii() and one.isdigit())]
    if wrong:
        raise ValueError(f"expected numbers of issuers, got {wrong[0]!r}")
    found = await feed.get_warrants(
        symbol,
        kinds=kinds,
        issuers=map(int, issuers),
        expiries=expiries,
        bounds=bounds,
        statuses=statuses,
        sort_by=sort,
        descending=descending,
        offset=offset,
        limit=n,
    )
    listed = answers.listed(
        records.Warrant,
        found.warrants,
        Symbol="symbol",
        Name="name",
        Kind="kind",
        Last="last_done",
        Strike="strike_price",
        Expiry="expiry_date",
        Call_price="call_price",
        Leverage="effective_leverage",
        Volatility="implied_volatility",
        Premium="premium",
        Outstanding="outstanding_ratio",
        Turnover="turnover",
        Status="status",
    )

    def table() -> Sequence[str]:
        count = len(found.warrants)
        more = [f"{count:,} of {found.total:,}"] if count < found.total else []
        return [*listed.table(), *more]

    return Answer(table, listed.csv, listed.jsonl, listed.count)


@what(SECURITIES, of=_ONLY)
async def issuers(feed: LongPort) -> Answer:
    """Print who issues warrants in Hong Kong."""
    found = await feed.get_warrant_issuers()
    return answers.listed(records.WarrantIssuer, found, Id="id", Name="name_en", Local="name_hk")


@what(SECURITIES, of=_ONLY)
async def participants(feed: LongPort) -> Answer:
    """Print who the numbers in broker queues are."""
    found = await feed.get_participants()

    def table() -> Sequence[str]:
        columns = [
            column("Name", [one.participant_name_en for one in found]),
            column("Local", [one.participant_name_hk for one in found]),
            column("Numbers", [" ".join(map(str, one.broker_ids)) for one in found]),
        ]
        return grid(columns, terminal_width())

    return answers.of_records(records.Participant, found, table)


class _Hours(msgspec.Struct, frozen=True):
    """A trading session of a market, as a line."""

    market: str
    session: str
    begin_minute: int
    end_minute: int


@what(SECURITIES, of=_ONLY)
async def sessions(feed: LongPort) -> Answer:
    """Print the hours of the markets, in their own time."""
    found = await feed.get_trading_sessions()
    lines = [
        _Hours(one.market, session.session, session.begin_minute, session.end_minute)
        for one in found
        for session in one.sessions
    ]

    def table() -> Sequence[str]:
        def hours(minutes: Sequence[int]) -> Sequence[str]:
            return [f"{minute // 60:02}:{minute % 60:02}" for minute in minutes]

        columns = [
            column("Market", [line.market for line in lines]),
            column("Session", [line.session for line in lines]),
            column("Begin", hours([line.begin_minute for line in lines])),
            column("End", hours([line.end_minute for line in lines])),
        ]
        return grid(columns, terminal_width())

    return answers.of_records(records.MarketSessions, found, table, (_Hours, lines))


# the account


@what(GATEWAY, of=_ONLY)
async def profile(feed: LongPort) -> Answer:
    """Print the account's rights to quotes and its limits."""
    found = await feed.get_profile()
    held: list[tuple[str, str | None, int | None, int | None, str]] = [
        (market, package.name or package.key, package.start_ns, package.end_ns, "")
        for market, packages in found.markets.items()
        for package in packages.packages
    ]
    held += [
        (market, None, None, None, packages.warning_msg)
        for market, packages in found.markets.items()
        if packages.warning_msg
    ]

    def table() -> Sequence[str]:
        width = terminal_width()
        lines = answers.fields(found)
        if held:
            markets, names, starts, ends, warnings = zip(*held, strict=True)
            columns = [
                column("Market", markets),
                column("Package", names),
                times("From", starts),
                times("Until", ends),
                *([column("Warning", warnings)] if any(warnings) else []),
            ]
            lines += ["", *grid(columns, width)]
        if found.rate_limits:
            spans = _spans(found.rate_limits)
            limits = [
                column("Commands", [span for span, _ in spans]),
                column("A second", [one.limit for _, one in spans]),
                column("At once", [one.burst for _, one in spans]),
            ]
            lines += ["", *grid(limits, width)]
        return lines

    return answers.of_records(records.Profile, [found], table)


def _spans(limits: Sequence[records.CommandLimit]) -> list[tuple[str, records.CommandLimit]]:
    """Return limits with the commands that they are of: neighbours with the same one together."""

    def same(item: tuple[int, records.CommandLimit]) -> tuple[int, int, int]:
        place, one = item
        return one.command - place, one.limit, one.burst

    found = []
    ordered = sorted(limits, key=lambda one: one.command)
    for _, group in itertools.groupby(enumerate(ordered), same):
        some = [one for _, one in group]
        first, last = some[0].command, some[-1].command
        found.append((f"{first} to {last}" if len(some) > 1 else str(first), some[0]))
    return found
