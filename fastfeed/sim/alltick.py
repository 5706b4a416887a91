"""A simulated AllTick: one of its two sides, over WebSocket and HTTP at one port."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from fastfeed.errors import ConfigError
from fastfeed.protocols.alltick_codes import MARKETS, PLANS, Plan, http_path
from fastfeed.sim import alltick_codes
from fastfeed.sim.alltick_client import Client
from fastfeed.sim.alltick_codes import Code, MarketName
from fastfeed.sim.alltick_http import Endpoints
from fastfeed.sim.alltick_knobs import AllTickFaults, AllTickKnobs
from fastfeed.sim.alltick_replies import Refused
from fastfeed.sim.alltick_texts import Integers, Sequences, Texts
from fastfeed.sim.generator import TickGenerator
from fastfeed.sim.market import Market
from fastfeed.sim.playback import GeneratorSource, Playback, Rows, Source, TapeSource
from fastfeed.sim.recorded import Recording, RecordingSource, recording, served
from fastfeed.sim.server import FLUSH_S, WebServer
from fastfeed.sim.tape import Tape

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["AllTickSimulator", "codes_of"]

_DELAY_MS = 12  # how long the vendor takes to number a trade


class AllTickSimulator(WebServer[Client]):
    """Serve quotes as one side of AllTick does, from a tape or a seeded generator.

    An async context manager: it listens inside the ``async with`` block. A tape begins with the
    first subscription and plays to every subscriber of its codes; one that reads slowly lags alone
    and still gets every trade. Books and bars follow from the trades, made up where those do not say.
    Needs ``pip install 'fastfeed[sim]'``.

    Parameters
    ----------
    host : str, default "127.0.0.1"
    port : int, default 0
        0 takes any free port.
    market : {"stock", "crypto"}, default "stock"
        The side: stocks and exchange indices, or crypto, forex, metals, energy. With a capture, the capture's.
    tape : Tape or path, optional
        Trades to play; their symbols are codes of this side. None: generate them.
    speed : float or "max", default 1.0
        Multiple of the tape's own speed; ``"max"`` is as fast as each client reads.
    loop : bool, default False
        Begin the tape again at its end. Times repeat.
    symbols : int or sequence of str, default 10
        Without a tape: which codes, or how many.
    rate : float, default 100.0
        Without a tape: trades a second, of all codes together.
    seed : int, default 0
        The same seed gives the same trades (their times are the clock's) and the same past.
    token : str, default "testtoken"
        The one that is accepted.
    plan : {"free", "basic", "premium", "professional"}, default "professional"
        What the token may do.
    connections : int, optional
        WebSocket connections at once. None: as the plan says.
    codes : int, optional
        Codes in one subscription. None: as the plan says.
    rate_limits : bool, default True
        Requests and connections that come too fast are refused.
    knobs : AllTickKnobs, optional
        How the server decides what the documents leave open.
    faults : AllTickFaults, optional
        What goes wrong on purpose.
    hold : bool, default False
        The trades wait for `begin`, so that several clients can subscribe before the first.
    clock_ns : callable, optional
        Epoch nanoseconds; the times of generated trades, and sequences, come from it.
    capture : path, optional
        In place of a tape, a raw capture of an AllTick, see `fastfeed.captures`: its pushes go to whoever subscribes
        to their code and kind, each when it came. Methods over HTTP are answered from a market that stands still.

    Raises
    ------
    ConfigError
        The tape, the capture, a code, the plan or the address cannot be used, or aiohttp is missing.
    StorageError
        The capture cannot be read.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        market: MarketName | None = None,
        tape: Tape | str | PathLike[str] | None = None,
        speed: float | Literal["max"] = 1.0,
        loop: bool = False,
        symbols: int | Sequence[str] = 10,
        rate: float = 100.0,
        seed: int = 0,
        token: str = "testtoken",
        plan: str = "professional",
        connections: int | None = None,
        codes: int | None = None,
        rate_limits: bool = True,
        knobs: AllTickKnobs | None = None,
        faults: AllTickFaults | None = None,
        hold: bool = False,
        clock_ns: Callable[[], int] = time.time_ns,
        capture: str | PathLike[str] | None = None,
    ) -> None:
        if find_spec("aiohttp") is None:
            raise ConfigError(
                "the simulated AllTick needs the package aiohttp: pip install 'fastfeed[sim]'"
            )
        if not token:
            raise ConfigError("expected a token, got an empty one")
        self.recording = recording(capture, "alltick", tape)
        """What is played in place of trades; the market stands still then."""
        self.side = market = _market_of(self.recording, market)
        self.plan = _plan(plan, connections, codes)
        self.knobs = knobs or AllTickKnobs()
        self.faults = faults or AllTickFaults()
        self.rate_limits = rate_limits
        self.strikes: Counter[str] = Counter()
        self.last_request: tuple[Client | None, float] = (None, 0.0)
        source: Source
        if self.recording is not None:
            known = served(self.recording.symbols, lambda text: alltick_codes.code(text, market))
            self.codes = codes_of(known, market)
            source = RecordingSource(self.recording, speed=speed, loop=loop)
            span_s = source.span_s
            self.sequences = Sequences(self.knobs.seq_mode, _DELAY_MS)
        elif tape is None:
            texts = alltick_codes.names(symbols, market) if isinstance(symbols, int) else symbols
            self.codes = codes_of(texts, market)
            names = [found.symbol for found in self.codes]
            source = GeneratorSource(TickGenerator(names, rate, seed=seed), clock_ns=clock_ns)
            now_s = clock_ns() // 10**9
            span_s = (now_s, now_s + 366 * 86400)
            self.sequences = Sequences(self.knobs.seq_mode, _DELAY_MS)
        else:
            tape = tape if isinstance(tape, Tape) else Tape.load(tape)
            self.codes = codes_of(tape.symbols, market)
            source = TapeSource(tape, speed=speed, loop=loop)
            span_s = source.span_s
            self.sequences = Sequences(
                self.knobs.seq_mode,
                (clock_ns() - int(tape.rows["time_ns"][0])) // 1_000_000,
                length=len(tape),
                period_ms=source.period_ns // 1_000_000,
            )
        self.symbols = tuple(found.code for found in self.codes)
        """The codes that trade."""
        self.numbers = {name: i for i, name in enumerate(self.symbols)}
        self.market = Market(
            [found.symbol for found in self.codes], source, span_s, seed=seed, clock_ns=clock_ns
        )
        super().__init__(host, port, Playback(source, held=hold), {}, Counter())
        self.texts = Texts(self.codes, self.knobs, self.sequences)
        self._limits = tuple(
            frozenset(filter(None, text.split(",")))
            for text in (self.knobs.limit_down, self.knobs.limit_up)
        )
        self._endpoints = Endpoints(self)
        self._token = token
        self._seed = seed
        path = MARKETS[market].path
        self._paths = (path, http_path(path))
        self._upgrading = 0
        self._connected_s = float("-inf")

    @property
    def url(self) -> str:
        """Where WebSocket clients connect to, without the token."""
        return f"ws://{self._authority}{self._paths[0]}"

    @property
    def http_url(self) -> str:
        """What the methods over HTTP begin with."""
        return f"http://{self._authority}{self._paths[1]}"

    def stats(self) -> dict[str, int]:
        """Return the counters.

        Returns
        -------
        dict
            `sent`: trades; `books`: pushed with them; `pushes` and `bytes`: of both, snapshots as well;
            `requests`; `refused`: of those; `http_requests`, `http_refused`; `connections`: ever;
            `refused_connections`; `clients`: now; `dropped_idle` (no heartbeat), `dropped_rate`,
            `dropped_fault`, `dropped_fell_behind`, `dropped_failed`: connections ended, by reason.
        """
        names = (
            "sent", "books", "pushes", "bytes", "requests", "refused", "http_requests", "http_refused",
            "connections", "refused_connections", "dropped_idle", "dropped_rate", "dropped_fault",
            "dropped_fell_behind", "dropped_failed",
        )  # fmt: skip
        return {name: self.counts[name] for name in names} | {"clients": len(self._clients)}

    # Connections.

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        upgrade, methods = self._paths
        path = request.path
        if path != upgrade and not path.startswith(methods):
            return web.Response(status=404)
        token = request.query.get("token", "")
        if token != self._token:
            words = "token invalid" if token else "token is required"
            self.counts["refused_connections"] += path == upgrade
            return _json(401, f'{{"msg":"{words}","ret":401}}')
        if path == upgrade:
            return await self._serve(request)
        query = request.query.get("query")
        name = path.removeprefix(methods)
        return _json(*self._endpoints.answer(request.method, name, query, await request.read()))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        now = asyncio.get_running_loop().time()
        gap_s = self.knobs.reconnect_gap_s
        early = now - self._connected_s < (self.plan.reconnect_gap_s if gap_s is None else gap_s)
        too_many = len(self._clients) + self._upgrading >= self.plan.connections
        if (early and self.rate_limits) or (too_many and self.knobs.too_many_connections == 429):
            self.counts["refused_connections"] += 1
            return _json(429, '{"msg":"Too Many Requests","ret":429}')
        response = web.WebSocketResponse(
            timeout=FLUSH_S, autoclose=False, autoping=False, compress=self.faults.deflate
        )
        self._upgrading += 1
        try:
            await response.prepare(request)
        finally:
            self._upgrading -= 1
        if too_many:
            self.counts["refused_connections"] += 1
            await response.close()
            return response
        self._connected_s = now
        self.counts["connections"] += 1
        task = asyncio.current_task()
        assert task is not None
        try:
            client = Client(self, request, response, self._seed + self.counts["connections"])
        except ConnectionError:
            return response
        self._clients[client] = task
        try:
            await client.run()
        finally:
            del self._clients[client]
        return response

    # What clients ask of the whole.

    def catch_up(self) -> None:
        """Let the trades pass that are due."""
        self.pass_ticks(self.playback.position)

    def pass_ticks(self, position: int) -> None:
        """Let the trades before a position pass through the market."""
        if self.recording is None and position > self.market.position:
            self.market.advance(position)

    def rows_at(self, positions: Integers) -> Rows:
        """Return the trades at some positions."""
        return self.playback.source.store.take(positions, mode="wrap")

    def admitted(self, wanted: Mapping[str, Any], *, most: int | None = None) -> dict[str, Any]:
        """Return what a subscription gets of what it wants, or raise `Refused`."""
        limit = self.plan.codes if most is None else most
        if len(wanted) > limit and self.knobs.oversubscribe == "refuse" and most is None:
            raise Refused(603)
        kept = dict(list(wanted.items())[:limit])
        for name in kept:
            if name not in self.numbers and self.knobs.bad_code == "refuse":
                raise Refused(600)
            if self.plan.only is not None and name not in self.plan.only:
                raise Refused(604)
        return kept

    def book(self, texts: Texts, number: int, levels: int, older_ms: int = 0) -> str:
        """Return the push of a book as it is now."""
        found = self.codes[number]
        quote = self.market.quote(found.symbol)
        bids, asks = self.market.book(found.symbol, levels)
        down, up = self._limits
        sides = ([] if found.code in down else bids, [] if found.code in up else asks)
        position = max(int(self.market.days["newest"][number]), 0)
        return texts.book(number, position, quote.time_ns, sides, levels, older_ms=older_ms)


def _market_of(recorded: Recording | None, wanted: MarketName | None) -> MarketName:
    """Return the side: that of a capture if there is one; ConfigError where another one is wanted."""
    if wanted is not None and wanted not in MARKETS:
        raise ConfigError(f"expected market stock or crypto, got {wanted!r}")
    if recorded is None:
        return wanted or "stock"
    host = urlsplit(recorded.header.url).hostname
    found: MarketName = "crypto" if host == "crypto" else "stock"
    if wanted is not None and wanted != found:
        raise ConfigError(f"the capture is of the market {found}: expected that one, got {wanted}")
    return found


def _plan(name: str, connections: int | None, codes: int | None) -> Plan:
    if name not in PLANS:
        raise ConfigError(f"expected a plan of {', '.join(PLANS)}, got {name!r}")
    plan = PLANS[name]
    return replace(
        plan,
        connections=plan.connections if connections is None else connections,
        codes=plan.codes if codes is None else codes,
    )


def codes_of(texts: Sequence[str], market: MarketName) -> tuple[Code, ...]:
    """Return what codes name, each of them there once; ConfigError."""
    try:
        found = [alltick_codes.code(text, market) for text in texts]
    except ValueError as error:
        raise ConfigError(str(error)) from None
    seen: set[str] = set()
    for one in found:
        if one.code in seen:
            raise ConfigError(f"expected each code once, got {one.code} twice")
        seen.add(one.code)
    if not found:
        raise ConfigError("expected at least one code, got none")
    return tuple(found)


def _json(status: int, text: str) -> web.Response:
    from aiohttp import web

    return web.Response(status=status, text=text, content_type="application/json")
