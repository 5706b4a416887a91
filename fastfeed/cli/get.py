"""`fastfeed get`: one request to a server, and its answer as a table or as text."""

from __future__ import annotations

import asyncio
import datetime
import functools
from collections.abc import Sequence
from typing import Any, Literal

import click
import msgspec
import numpy as np

from fastfeed.cli import answers, get_longport, ladder
from fastfeed.cli.answers import Answer
from fastfeed.cli.columns import SESSION_NAMES
from fastfeed.cli.connection import NAMES
from fastfeed.cli.grid import column, grid, terminal_width, times
from fastfeed.cli.questions import (
    GATEWAY,
    MARKET_DATA,
    SECURITIES,
    WATCHLISTS,
    adjust_option,
    array_of,
    bars_answer,
    day_option,
    each,
    field_column,
    filled,
    get,
    interval_option,
    maybe_symbols,
    named_column,
    one_plate,
    one_symbol,
    quotes_answer,
    session_option,
    symbol_option,
    symbols,
    symbols_column,
    what,
)
from fastfeed.cli.records import value_at
from fastfeed.feeds import opend_records as records
from fastfeed.feeds.alltick import AllTick
from fastfeed.feeds.history import HistoryBars
from fastfeed.feeds.longport import LongPort
from fastfeed.feeds.opend import OpenD
from fastfeed.protocols.alltick_codes import MOST_BARS_OF_MANY
from fastfeed.protocols.opend_codes import MARKETS
from fastfeed.schema import dtype
from fastfeed.stream import Rows

__all__ = ["get"]

_TICKS = 20
_ALL = (OpenD, LongPort, AllTick)
_BOTH = (OpenD, LongPort)
#: LongPort's words for sessions by OpenD's.
_SESSIONS: dict[str, Literal["regular", "all"]] = {"RTH": "regular", "ALL": "all"}


def _longport_session(session: str | None) -> Literal["regular", "all"]:
    if session is None or session in _SESSIONS:
        return _SESSIONS[session or "RTH"]
    raise ValueError(f"expected of LongPort a --session ({', '.join(_SESSIONS)}), got {session}")


# market data


@what(MARKET_DATA, of=_BOTH)
@symbols
async def quotes(feed: OpenD | LongPort, symbols: tuple[str, ...]) -> Answer:
    """Print the quotes of SYMBOLs, by session.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 quotes 700.HK AAPL.US
      fastfeed get "longport://?overnight=true" quotes AAPL.US
    """
    if isinstance(feed, LongPort):
        return quotes_answer(feed, await feed.get_quotes(symbols))
    return quotes_answer(feed, await feed.get_quotes(symbols, subscribe=True))


@what(MARKET_DATA, of=_ALL)
@symbols
@click.option(
    "-n",
    "n",
    type=click.IntRange(1, 1000),
    metavar="N",
    help=f"How many ticks of each at most.  [default: {_TICKS}; AllTick has only the latest]",
)
async def ticks(
    feed: OpenD | LongPort | AllTick, symbols: tuple[str, ...], n: int | None
) -> Answer:
    """Print the latest trades of SYMBOLs.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 ticks 700.HK -n 1000 --format csv >ticks.csv
      fastfeed get longport:// ticks AAPL.US -n 50
      fastfeed get alltick://crypto ticks BTCUSDT EURUSD
    """
    if isinstance(feed, AllTick):
        rows: Rows = await feed.get_ticks(symbols, n or 1)
    elif isinstance(feed, LongPort):
        rows = await each(
            symbols, lambda symbol: feed.get_ticks(symbol, n or _TICKS), dtype("ticks")
        )
    else:
        rows = await each(
            symbols,
            lambda symbol: filled(lambda: feed.get_ticks(symbol, n or _TICKS, subscribe=True)),
            dtype("ticks"),
        )

    def table() -> Sequence[str]:
        if isinstance(feed, LongPort):  # numbers no trades; its kinds are letters
            rest = [
                named_column("Session", SESSION_NAMES, rows["session"].tolist()),
                column("Type", [chr(kind) if kind else "" for kind in rows["kind"].tolist()]),
            ]
        else:
            rest = [
                field_column(rows, "turnover"),
                column("Sequence", map(str, rows["seq"].tolist())),
            ]
        columns = [
            *([symbols_column(feed, rows)] if len(symbols) > 1 else []),
            times("Time", rows["time_ns"].tolist()),
            field_column(rows, "price"),
            field_column(rows, "volume"),
            named_column("Side", {1: "buy", -1: "sell"}, rows["side"].tolist()),
            *rest,
        ]
        return grid(columns, terminal_width())

    return answers.of_rows(feed, "ticks", rows, table)


@what(MARKET_DATA, of=_ALL)
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
@session_option
async def bars(
    feed: OpenD | LongPort | AllTick,
    symbols: tuple[str, ...],
    length: str,
    n: int,
    adjust: Any,
    session: str | None,
) -> Answer:
    """Print the latest bars of SYMBOLs.

    The oldest comes first, the last one is still running. Times are starts of bars. OpenD and LongPort have older
    bars: history. Of OpenD, sessions are an option of the URL. AllTick has lengths of 1m 5m 15m 30m 1h 1d 1w 1M, of
    all but stocks also 2h 4h; and up to 500 bars of a symbol, for which each symbol takes a request of its own.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 bars 700.HK --interval 5m -n 50
      fastfeed get longport:// bars AAPL.US --session ALL
      fastfeed get alltick://crypto bars GOLD --interval 4h
    """
    if isinstance(feed, LongPort):
        which = _longport_session(session)
        rows = await each(
            symbols,
            lambda symbol: feed.get_bars(
                symbol, length, n, adjust=adjust or "forward", session=which
            ),
            dtype("bars"),
        )
    elif session is not None:
        raise ValueError(
            "--session of bars is LongPort's; of OpenD it stands in the URL: ?session=ALL"
        )
    elif isinstance(feed, OpenD):
        rows = await each(
            symbols,
            lambda symbol: filled(
                lambda: feed.get_bars(symbol, length, n, adjust=adjust or "forward", subscribe=True)
            ),
            dtype("bars"),
        )
    elif adjust is not None:
        raise ValueError("AllTick has no --adjust: its bars are as traded")
    elif len(symbols) > 1 and n <= MOST_BARS_OF_MANY:
        rows = await feed.get_bars(symbols, length, n)
    else:
        rows = await each(symbols, lambda symbol: feed.get_bars(symbol, length, n), dtype("bars"))
    return bars_answer(feed, rows, len(symbols))


@what(MARKET_DATA, of=_BOTH)
@one_symbol
@interval_option(default="1d")
@day_option("--start", "First day; a year before the last one if not given.")
@day_option("--end", "Last day; today if not given.")
@adjust_option
@session_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The oldest N bars only.")
async def history(
    feed: OpenD | LongPort,
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
    Examples:
      fastfeed get opend://127.0.0.1:11111 history AAPL.US --start 2024-01-01 --end 2024-12-31
      fastfeed get longport:// history 700.HK --interval 5m --start 2026-10-01
    """
    if isinstance(feed, LongPort):
        which = _longport_session(session)
        return feed.get_history_bars(
            symbol, length, start, end, adjust=adjust or "forward", session=which, limit=limit
        )
    return feed.get_history_bars(
        symbol, length, start, end, adjust=adjust or "forward", session=session, limit=limit
    )


@what(MARKET_DATA, of=_BOTH)
@one_symbol
@session_option
async def timeshare(feed: OpenD | LongPort, symbol: str, session: str | None) -> Answer:
    """Print the minute line of a SYMBOL's day."""
    if isinstance(feed, LongPort):
        rows: Rows = await feed.get_timeshare(symbol, session=_longport_session(session))
    elif session is not None:
        raise ValueError("--session of timeshare is LongPort's; OpenD has the regular one")
    else:
        rows = await filled(lambda: feed.get_timeshare(symbol, subscribe=True))

    def table() -> Sequence[str]:
        columns = [
            times("Time", rows["time_ns"].tolist()),
            *(field_column(rows, name) for name in ("price", "avg_price", "volume", "turnover")),
        ]
        return grid(columns, terminal_width())

    return answers.of_rows(feed, "timeshare", rows, table)


@what(MARKET_DATA, of=_ALL)
@symbols
@click.option(
    "--depth",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    metavar="N",
    help="Levels of a side; LongPort and AllTick have at most 10.",
)
@click.option("--odd-lots", is_flag=True, help="The books of odd lots instead; of OpenD only.")
async def book(
    feed: OpenD | LongPort | AllTick, symbols: tuple[str, ...], depth: int, odd_lots: bool
) -> Answer:
    """Print the order books of SYMBOLs.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 book 700.HK --depth 5
      fastfeed get longport:// book 700.HK
      fastfeed get alltick://crypto book BTCUSDT
    """

    async def of_opend(feed: OpenD, symbol: str) -> Rows:
        return array_of(await feed.get_book(symbol, depth, odd_lots=odd_lots, subscribe=True))

    async def of_longport(feed: LongPort, symbol: str) -> Rows:
        return array_of(await feed.get_book(symbol, depth))

    if odd_lots and not isinstance(feed, OpenD):
        raise ValueError(f"{NAMES[type(feed)]} has no --odd-lots")
    if isinstance(feed, OpenD):
        rows = await each(symbols, functools.partial(of_opend, feed), dtype("books", depth))
    elif isinstance(feed, LongPort):
        rows = await each(symbols, functools.partial(of_longport, feed), dtype("books", depth))
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


@what(MARKET_DATA, of=_BOTH)
@one_symbol
async def brokers(feed: OpenD | LongPort, symbol: str) -> Answer:
    """Print the broker queues of a Hong Kong SYMBOL."""
    if isinstance(feed, LongPort):
        row, _ = await asyncio.gather(feed.get_brokers(symbol), feed.get_participants())  # names
    else:
        row = await feed.get_brokers(symbol, subscribe=True)
    return answers.of_rows(
        feed,
        "brokers",
        array_of(row),
        lambda: grid(ladder.queues(row, feed.hub.broker_name), terminal_width()),
    )


@what(MARKET_DATA)
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


# securities


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


@what(SECURITIES, of=_BOTH)
@maybe_symbols
@click.option(
    "--market", metavar="MARKET", help=f"All of a market, of OpenD only: {' '.join(MARKETS)}."
)
@click.option(
    "--kind",
    default="STOCK",
    show_default=True,
    metavar="KIND",
    help="Of a market: STOCK ETF WARRANT IDX BOND FUTURE PLATE DRVT.",
)
async def static(
    feed: OpenD | LongPort, symbols: tuple[str, ...], market: str | None, kind: str
) -> Answer:
    """Print what SYMBOLs are: names, lot sizes, terms.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 static 700.HK
      fastfeed get opend://127.0.0.1:11111 static --market HK --kind ETF --format csv >etf.csv
      fastfeed get longport:// static 700.HK AAPL.US
    """
    if isinstance(feed, LongPort):
        if market is not None or not symbols:
            raise ValueError("LongPort has no lists of markets: expected symbols")
        return get_longport.securities(await feed.get_static_info(symbols))
    found = await feed.get_static_info(symbols or None, market=market, kind=kind)
    return _securities(found)


@what(SECURITIES)
@click.argument("market")
@click.option(
    "--kind",
    type=click.Choice(["all", "industry", "region", "concept"]),
    default="all",
    show_default=True,
)
async def plates(feed: OpenD, market: str, kind: str) -> Answer:
    """Print the sectors of a MARKET: HK, US, SH, SZ."""
    found = await feed.get_plates(market, kind)
    return answers.listed(records.Plate, found, Plate="symbol", Name="name", Kind="kind")


@what(SECURITIES)
@one_plate
async def plate(feed: OpenD, plate: str) -> Answer:
    """Print the members of a sector or an index.

    PLATE is its symbol, from plates."""
    return _securities(await feed.get_plate_symbols(plate))


@what(SECURITIES, of=_BOTH)
@one_symbol
@day_option("--start", "First expiry; OpenD has to be told.")
@day_option("--end", "Last expiry; the same.")
@click.option(
    "--kind", type=click.Choice(["all", "call", "put"]), help="Of OpenD only.  [default: all]"
)
@click.option("--moneyness", type=click.Choice(["all", "in", "out"]), help="The same.")
async def options(
    feed: OpenD | LongPort,
    symbol: str,
    start: datetime.date | None,
    end: datetime.date | None,
    kind: Any,
    moneyness: Any,
) -> Answer:
    """Print the option chain of an underlying SYMBOL.

    LongPort is asked once for the expiries, and once more for each: expiries lists them.

    \b
    Examples:
      fastfeed get opend://127.0.0.1:11111 options 700.HK --start 2026-12-01 --end 2026-12-31
      fastfeed get longport:// options AAPL.US --start 2026-12-01 --end 2026-12-31
    """
    if isinstance(feed, LongPort):
        if kind is not None or moneyness is not None:
            raise ValueError("LongPort has no --kind and no --moneyness of options")
        return get_longport.chains(await feed.get_option_chain(symbol, start, end))
    if start is None or end is None:
        raise ValueError("expected --start and --end: of OpenD they are needed")
    kind, moneyness = kind or "all", moneyness or "all"
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


@what(SECURITIES)
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


@what(SECURITIES)
@one_symbol
async def rehab(feed: OpenD, symbol: str) -> Answer:
    """Print corporate actions of a SYMBOL, with factors."""
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


@what(SECURITIES, of=_BOTH)
@click.argument("market", required=False)
@symbol_option("Its days instead of a market's; of OpenD only.")
@day_option("--start", "First day; a year before the last one if not given.")
@day_option("--end", "Last day; today if not given.")
async def days(
    feed: OpenD | LongPort,
    market: str | None,
    symbol: str | None,
    start: datetime.date | None,
    end: datetime.date | None,
) -> Answer:
    """Print the days on which a market is open.

    MARKET is one of HK US CN NT ST SG MY JP JP_FUTURE SG_FUTURE; NT and ST are the links north and south. LongPort
    has HK US CN SG, and the days of the last year.

    \b
    Example:
      fastfeed get opend://127.0.0.1:11111 days HK --start 2026-11-01 --end 2026-11-30
    """
    if isinstance(feed, LongPort):
        if market is None or symbol is not None:
            raise ValueError("expected a market: LongPort has no days of symbols")
        return get_longport.days(await feed.get_trading_days(market, start, end))
    found = await feed.get_trading_days(market, start, end, symbol=symbol)
    return answers.listed(records.TradingDay, found, Day="date", Kind="kind")


@what(SECURITIES)
@symbols
async def state(feed: OpenD, symbols: tuple[str, ...]) -> Answer:
    """Print the state of the markets of SYMBOLs."""
    found = await feed.get_market_states(symbols)
    return answers.listed(records.MarketState, found, Symbol="symbol", Name="name", State="state")


# watchlists


@what(WATCHLISTS)
@click.option(
    "--kind", type=click.Choice(["all", "custom", "system"]), default="all", show_default=True
)
async def watchlists(feed: OpenD, kind: Any) -> Answer:
    """Print the names of the user's watchlists."""
    found = await feed.get_watchlists(kind)
    return answers.listed(records.WatchlistGroup, found, Name="name", Kind="kind")


@what(WATCHLISTS)
@click.argument("group")
async def watchlist(feed: OpenD, group: str) -> Answer:
    """Print the securities of a watchlist.

    \b
    Example:
      fastfeed get opend://127.0.0.1:11111 watchlist "All"
    """
    return _securities(await feed.get_watchlist(group))


# the account and the gateway


@what(GATEWAY, "global")
async def global_(feed: OpenD) -> Answer:
    """Print the gateway's state and those of the markets."""
    return answers.single(await feed.get_global_state())


@what(GATEWAY)
async def user(feed: OpenD) -> Answer:
    """Print the account's rights to quotes and its quotas."""
    return answers.single(await feed.get_user_info())


class _Subscribed(msgspec.Struct, frozen=True):
    """A subscription as a line of CSV."""

    own: bool
    kind: str
    symbol: str


@what(GATEWAY, of=_BOTH)
@click.option(
    "--all", "everybody", is_flag=True, help="Those of all connections to the gateway; of OpenD."
)
async def subscriptions(feed: OpenD | LongPort, everybody: bool) -> Answer:
    """Print what is subscribed, and the quota left.

    A command's own connection has no subscriptions: --all shows those of others. LongPort tells no quota.
    """
    if isinstance(feed, LongPort):
        if everybody:
            raise ValueError("LongPort has no --all: it tells what it knows of")
        return get_longport.subscribed(await feed.get_subscriptions())
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


@what(GATEWAY)
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


@what(GATEWAY)
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
