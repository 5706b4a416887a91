"""A simulated LongPort (Longbridge): one-time passwords over HTTP, quotes over WebSocket and over TCP."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastfeed.errors import ConfigError
from fastfeed.protocols.longport_codes import CloseReason, Status, code
from fastfeed.protocols.longport_messages import Command
from fastfeed.sim.generator import TickGenerator
from fastfeed.sim.limits import Bucket, Window
from fastfeed.sim.longport_answers import Answers, Refused
from fastfeed.sim.longport_client import Client
from fastfeed.sim.longport_hours import Passage
from fastfeed.sim.longport_http import Endpoints
from fastfeed.sim.longport_knobs import LongPortFaults, LongPortKnobs
from fastfeed.sim.longport_pushes import Writer, depth_fields
from fastfeed.sim.longport_requests import MAX_REQUEST_BYTES
from fastfeed.sim.longport_sessions import Sessions
from fastfeed.sim.longport_wire import TcpWire, WebSocketPackets, Wire
from fastfeed.sim.market import Market
from fastfeed.sim.playback import GeneratorSource, Playback, Source, TapeSource
from fastfeed.sim.recorded import RecordingSource, recording, served
from fastfeed.sim.server import FLUSH_S, WebServer
from fastfeed.sim.tape import Tape

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["LongPortSimulator", "places_of", "symbols_of"]

_REGIONS = {"HK", "US", "SH", "SZ", "SG"}
_LEVELS = {"HK": 10, "US": 1, "SH": 5, "SZ": 5, "SG": 10}  # most of a side
_KNOWN = (
    "AAPL.US", "700.HK", "NVDA.US", "TSLA.US", "9988.HK", "SPY.US", "600519.SH", "D05.SG",
    "000651.SZ", "BRK.A.US",
)  # fmt: skip
_PLACES = 3  # digits of a price, where a tape does not say
_QUERY = {"version": "1", "codec": "1", "platform": "9"}
_HISTORY = (60, 30.0)  # requests in so many seconds


class LongPortSimulator(WebServer[Client]):
    """Serve quotes as LongPort does, from a tape or a seeded generator.

    An async context manager: it listens inside the ``async with`` block, for HTTP and WebSocket at one port, for
    TCP at another. A tape begins with the first subscription and plays to every subscriber of its symbols; one
    that reads slowly lags alone and still gets every trade. Quotes, books, broker queues and all else follow from
    the trades, made up where those do not say. Needs ``pip install 'fastfeed[sim]'``.

    Parameters
    ----------
    host : str, default "127.0.0.1"
    port : int, default 0
        Of HTTP and WebSocket; 0 takes any free port.
    tcp_port : int, default 0
        Of raw TCP.
    tape : Tape or path, optional
        Trades to play, of whole volumes. None: generate them. Prices are written with the tape's digits.
    speed : float or "max", default 1.0
        Multiple of the tape's own speed; ``"max"`` is as fast as each client reads.
    loop : bool, default False
        Begin the tape again at its end. Times repeat, sequences go on growing.
    symbols : int or sequence of str, default 10
        Without a tape: which symbols, or how many.
    rate : float, default 100.0
        Without a tape: trades a second, of all symbols together.
    seed : int, default 0
        The same seed gives the same trades (their times are the clock's) and the same past.
    trades_per_push : int, default 1
        Most trades in one push. Trades of a tape share one where they follow each other; generated ones come in
        runs of this length.
    key, secret, token : str
        The app key, its secret, the access token that are accepted. ``Authorization: Bearer TOKEN`` needs no
        signature.
    rate_limits : bool, default True
        State limits in the profile, and refuse requests that come too fast.
    knobs : LongPortKnobs, optional
        How the server decides what the documents leave open.
    faults : LongPortFaults, optional
        What goes wrong on purpose.
    hold : bool, default False
        The trades wait for `begin`, so that several clients can subscribe before the first.
    clock_ns : callable, optional
        Epoch nanoseconds; the times of generated trades, and when sessions expire, come from it.
    capture : path, optional
        In place of a tape, a raw capture of a LongPort, see `fastfeed.captures`: its pushes go to whoever subscribes
        to their symbol and kind, each when it came. Pulls are answered from a market that stands still.

    Raises
    ------
    ConfigError
        The tape, the capture, a symbol or the address cannot be used, or aiohttp is missing.
    StorageError
        The capture cannot be read.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tcp_port: int = 0,
        tape: Tape | str | PathLike[str] | None = None,
        speed: float | Literal["max"] = 1.0,
        loop: bool = False,
        symbols: int | Sequence[str] = 10,
        rate: float = 100.0,
        seed: int = 0,
        trades_per_push: int = 1,
        key: str = "KEY",
        secret: str = "secret",
        token: str = "TOKEN",
        rate_limits: bool = True,
        knobs: LongPortKnobs | None = None,
        faults: LongPortFaults | None = None,
        hold: bool = False,
        clock_ns: Callable[[], int] = time.time_ns,
        capture: str | PathLike[str] | None = None,
    ) -> None:
        if find_spec("aiohttp") is None:
            raise ConfigError(
                "the simulated LongPort needs the package aiohttp: pip install 'fastfeed[sim]'"
            )
        if not 1 <= trades_per_push <= 256:
            raise ValueError(f"expected 1 to 256 trades a push, got {trades_per_push}")
        if not (key and secret and token):
            raise ConfigError("expected a key, a secret and a token, got an empty one")
        self.knobs = knobs or LongPortKnobs()
        self.faults = faults or LongPortFaults()
        self.trades_per_push = trades_per_push
        self.clock_ns = clock_ns
        self.strikes: Counter[str] = Counter()
        source: Source
        self.recording = recording(capture, "longport", tape)
        """What is played in place of trades; the market stands still then."""
        if self.recording is not None:
            self.symbols = served(self.recording.symbols, lambda name: _symbols([name]))
            source = RecordingSource(self.recording, speed=speed, loop=loop)
            span_s = source.span_s
            places: Sequence[int] = (_PLACES,) * len(self.symbols)
        elif tape is None:
            names = _names(symbols) if isinstance(symbols, int) else symbols
            self.symbols = _symbols(names)
            generator = TickGenerator(self.symbols, rate, seed=seed, run=trades_per_push)
            source = GeneratorSource(generator, clock_ns=clock_ns)
            now_s = clock_ns() // 10**9
            span_s = (now_s, now_s + 366 * 86400)
            places = (_PLACES,) * len(self.symbols)
        else:
            tape = tape if isinstance(tape, Tape) else Tape.load(tape)
            self.symbols = symbols_of(tape)
            source = TapeSource(tape, speed=speed, loop=loop)
            span_s = source.span_s
            places = places_of(tape)
        self.market = Market(self.symbols, source, span_s, seed=seed, clock_ns=clock_ns)
        """The market behind it."""
        self.passage = Passage(self.symbols, source, span_s)
        super().__init__(host, port, Playback(source, held=hold), {}, Counter())
        self.writer = Writer(
            self.symbols,
            places,
            self.passage,
            unknown_enums=self.faults.unknown_enums,
            unknown_fields=self.faults.unknown_fields,
            unpacked=self.knobs.unpacked,
        )
        self.sessions = Sessions(self.knobs.lifetime_s, random.Random(seed), clock_ns)
        self.limits = (
            {
                command: Bucket(self.knobs.rate, self.knobs.burst)
                for command in Command
                if Command.PROFILE <= command <= Command.HISTORY_CANDLESTICKS
            }
            if rate_limits
            else {}
        )
        """By command."""
        self._history = Window(*_HISTORY)
        self.no_access = frozenset(_symbols(filter(None, self.knobs.no_access.split(","))))
        self.answers = Answers(self)
        self.credentials = (key, secret, token)
        """The app key, its secret, the access token that are accepted."""
        self._endpoints = Endpoints(self, *self.credentials)
        self._tcp_port = tcp_port
        self._tcp: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where WebSocket clients connect to."""
        return f"ws://{self._authority}/v2"

    @property
    def tcp_port(self) -> int:
        """Where it listens for raw TCP."""
        return self._tcp_port

    @property
    def tcp_url(self) -> str:
        """Where TCP clients connect to: ``tcp://host:port``."""
        return f"tcp://{self._authority.rpartition(':')[0]}:{self._tcp_port}"

    @property
    def http_url(self) -> str:
        """What the addresses of HTTP begin with."""
        return f"http://{self._authority}"

    @property
    def online(self) -> int:
        """How many connections are authenticated."""
        return sum(client.authenticated for client in self._clients)

    def stats(self) -> dict[str, int]:
        """Return the counters.

        Returns
        -------
        dict
            `sent`: trades; `pushes` and `bytes`: of all kinds; `requests`; `refused`: of those; `http_requests`,
            `http_refused`; `connections`: ever; `refused_connections`: upgrades; `clients`: now; `subscribed`:
            symbols; `dropped_idle`, `dropped_bad_packet`, `dropped_fault`, `dropped_fell_behind`,
            `dropped_failed`: connections ended, by reason.
        """
        names = (
            "sent", "pushes", "bytes", "requests", "refused", "http_requests", "http_refused", "connections",
            "refused_connections", "dropped_idle", "dropped_bad_packet", "dropped_fault",
            "dropped_fell_behind", "dropped_failed",
        )  # fmt: skip
        now = {"clients": len(self._clients), "subscribed": len(self.subscribed())}
        return {name: self.counts[name] for name in names} | now

    # What a server does of its own accord.

    async def push(self, command: int, **fields: Any) -> None:
        """Push something to every client that is authenticated, subscribed or not.

        Parameters
        ----------
        command : int
            101 to 104.
        **fields
            Of the message: ``PushQuote(symbol="700.HK", tag=1, ...)``.
        """
        body = self.writer.message(command, fields)
        for client in list(self._clients):
            if client.authenticated:
                with suppress(ConnectionError):  # it left
                    client.push(command, body)
        await asyncio.sleep(0)

    async def hang_up(self, why: CloseReason, text: str = "") -> None:
        """End every connection with a close push and, over WebSocket, a close frame."""
        tasks = list(self._clients.values())
        for client in list(self._clients):
            client.hang_up(why, text)
        await asyncio.gather(*tasks, return_exceptions=True)

    def expire_sessions(self) -> None:
        """Let every session expire: nobody can take one up again."""
        self.sessions.expire()

    # Connections.

    async def resume_listening(self) -> None:
        """Accept connections again, at the same ports."""
        await super().resume_listening()
        if self._tcp is not None:
            return
        try:
            self._tcp = await asyncio.start_server(self._serve_tcp, self._host, self._tcp_port)
        except OSError as error:
            await self.pause_listening()
            reason = str(error.strerror or error)
            raise ConfigError(
                f"cannot listen on {self._host}:{self._tcp_port}: {reason}"
            ) from error
        self._tcp_port = self._tcp.sockets[0].getsockname()[1]

    async def pause_listening(self) -> None:
        """Refuse new connections; those that are there stay."""
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None
        await super().pause_listening()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            body = await request.read()
        except ConnectionError:  # it left; nobody gets this
            return web.Response(status=400)
        status, text = self._endpoints.answer(
            request.method, request.path, request.query_string, headers, body
        )
        kind = "application/json" if text.startswith("{") else "text/plain"
        return web.Response(status=status, text=text, content_type=kind)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        wrong = {n: request.query.get(n) for n, v in _QUERY.items() if request.query.get(n) != v}
        if wrong:
            self.counts["refused_connections"] += 1
            return web.Response(status=400, text=f"expected {_QUERY}, got {wrong}")
        response = web.WebSocketResponse(
            timeout=FLUSH_S, autoclose=False, autoping=False, compress=False,
            max_msg_size=2 * MAX_REQUEST_BYTES,
        )  # fmt: skip
        await response.prepare(request)
        try:
            wire = WebSocketPackets(request, response, self.faults)
        except ConnectionError:
            return response
        assert request.transport is not None
        await self._run(wire, request.transport.get_extra_info("peername"))
        return response

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._run(TcpWire(reader, writer, self.faults), writer.get_extra_info("peername"))

    async def _run(self, wire: Wire, peer: Any) -> None:
        self.counts["connections"] += 1
        task = asyncio.current_task()
        assert task is not None
        client = Client(self, wire, peer or ("?", "?"))
        self._clients[client] = task
        try:
            await client.run()
        finally:
            del self._clients[client]

    # What clients ask of the whole.

    def catch_up(self) -> None:
        """Let the trades pass that are due."""
        self.pass_ticks(self.playback.position)

    def pass_ticks(self, position: int) -> None:
        """Let the trades before a position pass through the market."""
        if self.recording is None and position > self.market.position:
            self.market.advance(position)
            self.passage.advance(position)

    def pace(self, command: int) -> None:
        """Refuse a request that comes too fast."""
        bucket = self.limits.get(Command(command))
        if bucket is None:
            return
        if not bucket.take() or (
            command == Command.HISTORY_CANDLESTICKS and not self._history.take()
        ):
            raise Refused(Status.BAD_REQUEST, 301606)

    def subscribed(self) -> set[str]:
        """Return the symbols that somebody subscribes to."""
        return set().union(*(client.kinds for client in self._clients))

    def sequence(self, symbol: str) -> int:
        """Return the sequence of the newest trade of a symbol."""
        number = self.market.number(symbol)
        if number is not None and (newest := int(self.market.days["newest"][number])) >= 0:
            return int(self.passage.sequences[newest % len(self.passage.sequences)])
        return self.market.quote(symbol).time_ns

    def depth(self, symbol: str) -> dict[str, list[dict[str, Any]]] | None:
        """Return the book of a symbol, None: it has none."""
        found = self.market.find(symbol)
        if found is None or found.kind == "index":
            return None
        number = self.market.number(symbol)
        region = symbol.rpartition(".")[2]
        bids, asks = self.market.book(symbol, _LEVELS[region])

        def price(value: float) -> str:
            return self.writer.price(number, value)

        return {
            name: depth_fields(side, price, orders=region != "US")
            for name, side in (("ask", asks), ("bid", bids))
        }


def _names(count: int) -> tuple[str, ...]:
    """Return `count` symbols: a few well-known ones, then synthetic ones."""
    return _KNOWN[:count] + tuple(f"SIM{i:05}.US" for i in range(count - len(_KNOWN)))


def symbols_of(tape: Tape) -> tuple[str, ...]:
    """Return the symbols of a tape that LongPort could have written, in canonical form; ConfigError."""
    symbols = _symbols(tape.symbols)
    volumes = tape.rows["volume"]
    if len(broken := np.flatnonzero(volumes != np.floor(volumes))):
        raise ConfigError(
            f"expected whole volumes, got {volumes[broken[0]]} in row {broken[0]} of the tape"
        )
    return symbols


def places_of(tape: Tape) -> Sequence[int]:
    """Return how many digits behind the point the prices of a tape's symbols have."""
    return tape.places or (_PLACES,) * len(tape.symbols)


def _symbols(names: Any) -> tuple[str, ...]:
    """Return symbols in canonical form, each there once."""
    found: dict[str, None] = {}
    for name in names:
        try:
            symbol = code(name)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        region = symbol.rpartition(".")[2]
        if region not in _REGIONS:
            raise ConfigError(f"expected a symbol of {', '.join(sorted(_REGIONS))}, got {name!r}")
        if symbol in found:
            raise ConfigError(f"expected each symbol once, got {symbol} twice")
        found[symbol] = None
    return tuple(found)
