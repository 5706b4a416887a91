"""A simulated OpenD: the vendor's own clients connect, subscribe, ask, and get every tick."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

from fastfeed._core.opend_encode import MAX_ROWS_PER_PACKET, MAX_ROWS_PER_PUSH, TickEncoder
from fastfeed.errors import ConfigError
from fastfeed.protocols.opend_codes import canonical, security
from fastfeed.protocols.opend_messages import (
    CALL_WINDOW_S,
    NOTIFY,
    QOT_UPDATE_PRICE_REMINDER,
)
from fastfeed.protocols.opend_rsa import load_rsa_key
from fastfeed.sim import calendar
from fastfeed.sim import opend_records as records
from fastfeed.sim.faults import Faults
from fastfeed.sim.generator import TickGenerator, symbol_names
from fastfeed.sim.instruments import instrument
from fastfeed.sim.market import Market
from fastfeed.sim.opend_answers import Answers
from fastfeed.sim.opend_client import Client
from fastfeed.sim.opend_gateway import MISSED, Gateway, Outage
from fastfeed.sim.opend_limits import HistoryQuota, RateLimits, SubscriptionQuota
from fastfeed.sim.playback import GeneratorSource, Playback, Source, TapeSource
from fastfeed.sim.recorded import RecordingSource, recording, served
from fastfeed.sim.server import Server
from fastfeed.sim.tape import Tape
from fastfeed.sim.watchlists import Watchlists

__all__ = ["OpenDSimulator", "securities_of", "tape_symbols", "tick_encoder"]

_WATCHED = 200  # symbols of the watch-list group All
_CONN_STATUS = 3  # NotifyType


class OpenDSimulator(Server[Client]):
    """Serve quotes as an OpenD does, from a tape or a seeded generator.

    An async context manager: it listens inside the ``async with`` block. A tape begins with the
    first subscription and plays to every subscriber of its symbols; one that reads slowly lags
    alone and still gets every row. Quotes, bars, books and all else follow from the ticks, made up
    where ticks do not say. A tape symbol without a region (``BTCUSDT``) is served in market CC.

    Parameters
    ----------
    host : str, default "127.0.0.1"
    port : int, default 0
        0 takes any free port.
    tape : Tape or path, optional
        Trades to play. None: generate them.
    speed : float or "max", default 1.0
        Multiple of the tape's own speed; ``"max"`` is as fast as each client reads.
    loop : bool, default False
        Begin the tape again at its end. Times repeat, sequences go on growing.
    symbols : int or sequence of str, default 10
        Without a tape: which symbols, or how many.
    rate : float, default 100.0
        Without a tape: ticks a second, of all symbols together.
    seed : int, default 0
        The same seed gives the same ticks (their times are the clock's) and the same past.
    rows_per_push : int, default 1
        Most rows in one push. Rows of a tape share one where they follow each other; generated rows
        come in runs of this length.
    faults : Faults, optional
        What goes wrong on purpose.
    keep_alive_interval : int, default 10
        Seconds, as told to clients.
    idle_timeout_s : float, default 30.0
        Clients without a request for so long are dropped.
    quota : int, default 100000
        Subscriptions (security and type) of all clients together.
    unsubscribe_after_s : float, default 60.0
        How old a subscription must be before it may be given up.
    history_quota : int, default 1000
        Securities that may be asked for their history.
    rate_limits : bool, default True
        Refuse requests that come too often, as OpenD does.
    rate_window_s : float, default 30.0
        In how many seconds so many requests may come.
    book_depth : int, default 10
        Levels of a side in pushed books, at most 60.
    watchlists : mapping, optional
        The user's groups, by their names. None: one called Favorites with the first three symbols.
    rsa_key : path, optional
        The private key that clients have as well: they may encrypt. Each connection decides.
    hold : bool, default False
        The ticks wait for `begin`, so that several clients can subscribe before the first.
    capture : path, optional
        In place of a tape, a raw capture of an OpenD, see `fastfeed.captures`: its pushes go to whoever subscribes to
        their security and type, each when it came. Pulls are answered from a market that stands still.

    Raises
    ------
    ConfigError
        The tape, the capture, a symbol, the key or the address cannot be used.
    StorageError
        The capture cannot be read.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tape: Tape | str | PathLike[str] | None = None,
        speed: float | Literal["max"] = 1.0,
        loop: bool = False,
        symbols: int | Sequence[str] = 10,
        rate: float = 100.0,
        seed: int = 0,
        rows_per_push: int = 1,
        faults: Faults | None = None,
        keep_alive_interval: int = 10,
        idle_timeout_s: float = 30.0,
        quota: int = 100_000,
        unsubscribe_after_s: float = 60.0,
        history_quota: int = 1000,
        rate_limits: bool = True,
        rate_window_s: float = CALL_WINDOW_S,
        book_depth: int = 10,
        watchlists: Mapping[str, Sequence[str]] | None = None,
        rsa_key: str | PathLike[str] | None = None,
        hold: bool = False,
        capture: str | PathLike[str] | None = None,
    ) -> None:
        if not 1 <= book_depth <= 60:
            raise ValueError(f"expected 1 to 60 levels, got {book_depth}")
        if not 1 <= rows_per_push <= MAX_ROWS_PER_PUSH:
            raise ValueError(f"expected 1 to {MAX_ROWS_PER_PUSH} rows a push, got {rows_per_push}")
        key = None if rsa_key is None else load_rsa_key(rsa_key)
        source: Source
        recorded = recording(capture, "opend", tape)
        if recorded is not None:
            names = served(recorded.symbols, security)
            source = RecordingSource(recorded, speed=speed, loop=loop)
            span_s = source.span_s
            floor_from, floor_s = 1 << 62, 0
        elif tape is None:
            names = symbol_names(symbols) if isinstance(symbols, int) else tuple(symbols)
            source = GeneratorSource(TickGenerator(names, rate, seed=seed, run=rows_per_push))
            now = int(time.time())
            span_s = (now, now + 366 * 86400)
            # Sequences grow with the clock.
            floor_from, floor_s = 1 << 62, 0
        else:
            tape = tape if isinstance(tape, Tape) else Tape.load(tape)
            names = tape_symbols(tape)
            source = TapeSource(tape, speed=speed, loop=loop)
            span_s = source.span_s
            # A tape that starts again has smaller times; sequences must not.
            floor_from, floor_s = len(tape), span_s[1]
        securities = securities_of(names)
        self.symbols = tuple(securities)
        """What trades, in canonical form."""
        market = Market(self.symbols, source, span_s, seed=seed)
        encoder = tick_encoder(securities, span_s)
        if watchlists is None:
            watchlists = {"Favorites": self.symbols[:3]}
        watched = self.symbols[:_WATCHED]
        answers = Answers(
            market,
            RateLimits(rate_window_s if rate_limits else 0.0),
            HistoryQuota(history_quota),
            Watchlists(
                watched,
                {name: tuple(securities_of(group)) for name, group in watchlists.items()},
                {symbol: instrument(symbol).kind for symbol in watched},
            ),
            quota=quota,
        )
        self._gateway = Gateway(
            market=market,
            playback=Playback(source, held=hold),
            encoder=encoder,
            answers=answers,
            subscriptions=SubscriptionQuota(quota, unsubscribe_after_s),
            faults=faults,
            rsa_key=key,
            random=random.Random(seed),
            rows_per_push=rows_per_push,
            book_depth=book_depth,
            floor_from=floor_from,
            floor_s=floor_s,
            keep_alive_interval=keep_alive_interval,
            idle_timeout_s=idle_timeout_s,
            recording=recorded,
        )
        gateway = self._gateway
        super().__init__(host, port, gateway.playback, gateway.clients, gateway.counts)

    @property
    def url(self) -> str:
        """Where clients connect to: ``opend://host:port``."""
        return f"opend://{self._authority}"

    @property
    def market(self) -> Market:
        """The market behind it."""
        return self._gateway.market

    @property
    def quota(self) -> int:
        """How many subscriptions there may be; can be set."""
        return self._gateway.subscriptions.limit

    @quota.setter
    def quota(self, limit: int) -> None:
        self._gateway.subscriptions.limit = limit

    def stats(self) -> dict[str, int]:
        """Return the counters.

        Returns
        -------
        dict
            `sent`: ticks; `cached`: of those, in first pushes; `pushes` and `bytes`: of ticks;
            `other_pushes`; `requests`; `refused`: requests answered with an error; `connections`: ever;
            `clients`: now; `subscriptions`: what counts against the quota now; `dropped_idle`,
            `dropped_bad_packet`, `dropped_fell_behind`, `dropped_failed`: connections ended, by reason.
        """
        names = (
            "sent", "cached", "pushes", "bytes", "other_pushes", "requests", "refused", "connections",
            "dropped_idle", "dropped_bad_packet", "dropped_fell_behind", "dropped_failed",
        )  # fmt: skip
        now = {
            "clients": len(self._gateway.clients),
            "subscriptions": len(self._gateway.used_subscriptions()),
        }
        return {name: self._gateway.counts[name] for name in names} | now

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, host, port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        client = Client(self._gateway, reader, writer)
        self._gateway.clients[client] = task
        self._gateway.counts["connections"] += 1
        try:
            await client.run()
        finally:
            del self._gateway.clients[client]
            self._gateway.subscriptions.leave(client.subscribed)

    # What a back end does.

    @property
    def upstream(self) -> bool:
        """The back end is there."""
        return self._gateway.upstream

    def lose_upstream(self) -> None:
        """Lose the back end: ticks go on, but nobody gets them, and nothing else is pushed.

        Clients are told by a Notify (ConnStatus).
        """
        if not self.upstream:
            return
        self._gateway.catch_up()
        self._gateway.outages.append(Outage(self._gateway.playback.position))
        self._notify_connection()

    def restore_upstream(self, missed: int = MISSED) -> None:
        """Have the back end again.

        Parameters
        ----------
        missed : int, default 50
            How many of the missed ticks of each symbol are pushed, the last ones; the cache that
            GetTicker reads has all of them.
        """
        if not 0 <= missed <= MAX_ROWS_PER_PACKET:
            raise ValueError(f"expected 0 to {MAX_ROWS_PER_PACKET} missed ticks, got {missed}")
        if self.upstream:
            return
        self._gateway.outages[-1].missed = missed
        self._gateway.outages[-1].end = self._gateway.playback.position
        self._gateway.catch_up()
        self._notify_connection()
        for client in self._gateway.clients:
            client.wake()

    def _notify_connection(self) -> None:
        self._notify(
            _CONN_STATUS, connectStatus={"qotLogined": self.upstream, "trdLogined": self.upstream}
        )

    async def notify(self, type: int, **fields: Any) -> None:
        """Push a Notify to the clients that want them.

        Parameters
        ----------
        type : int
            Which of the fields is set (NotifyType).
        **fields
            Fields of ``Notify.S2C``, such as ``event={"eventType": 7, "desc": b"kicked out"}``.
        """
        self._notify(type, **fields)
        await asyncio.sleep(0)

    def _notify(self, type: int, **fields: Any) -> None:
        packet = self._gateway.pack_push(NOTIFY, {"type": type, **fields})
        for client in self._gateway.clients:
            if client.initialised and client.wants_notices:
                client.send_soon(packet)

    async def remind(self, symbol: str, *, note: str = "", **fields: Any) -> None:
        """Push a price reminder to all clients.

        Parameters
        ----------
        symbol : str
        note : str
            The user's own words.
        **fields
            Further fields of ``QotUpdatePriceReminder.S2C``.
        """
        symbol = canonical(*security(symbol))
        quote = self.market.quote(symbol)
        s2c = {
            "security": records.security_fields(symbol),
            "price": quote.last,
            "changeRate": round((quote.last / quote.prev_close - 1) * 100, 3),
            "marketStatus": 1,
            "content": f"{symbol} is at {quote.last:g}",
            "note": note,
            "key": 1,
            "type": 1,
            "setValue": quote.last,
            "curValue": quote.last,
            "name": instrument(symbol).name,
        } | fields
        packet = self._gateway.pack_push(QOT_UPDATE_PRICE_REMINDER, s2c)
        for client in self._gateway.clients:
            if client.initialised:
                client.send_soon(packet)
        await asyncio.sleep(0)


def tick_encoder(securities: Mapping[str, tuple[int, str]], span_s: tuple[int, int]) -> TickEncoder:
    """Return what encodes the ticks of securities, whose times are in a span of epoch seconds."""
    offsets = {
        region: calendar.utc_offsets(region, *span_s)
        for region in {symbol.rpartition(".")[2] for symbol in securities}
    }
    return TickEncoder(
        (number, code, code, offsets[symbol.rpartition(".")[2]])
        for symbol, (number, code) in securities.items()
    )


def tape_symbols(tape: Tape) -> tuple[str, ...]:
    """Return the symbols of a tape; those without a region (``BTCUSDT``) are of the market CC."""
    return tuple(s if "." in s else f"{s}.CC" for s in tape.symbols)


def securities_of(symbols: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return OpenD's securities by their canonical symbols, each there once; ConfigError."""
    found: dict[str, tuple[int, str]] = {}
    for symbol in symbols:
        try:
            key = security(symbol)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        name = canonical(*key)
        if name in found:
            raise ConfigError(f"expected each security once, got {name} twice")
        found[name] = key
    return found
