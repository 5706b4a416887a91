"""What the feeds of all vendors have in common: life, subscriptions, events, coming back after a disconnect.

A vendor's class adds how to connect and how to ask for symbols.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, ClassVar, Self

from fastfeed._core.machine import Machine
from fastfeed._core.meter import Meter
from fastfeed._core.symbols import SymbolTable
from fastfeed._core.tape import Tape
from fastfeed.callbacks import Callbacks
from fastfeed.errors import (
    ConfigError,
    ConnectError,
    FastfeedError,
    InternalError,
    LocalProtocolError,
    RequestTimeout,
    SubscriptionError,
)
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.events import Event
from fastfeed.feeds.session import Link
from fastfeed.html import feed_html
from fastfeed.hub import Hub, Receive, Streams
from fastfeed.schema import BOOK_DEPTH
from fastfeed.stream import Stream

__all__ = ["Feed", "check_options", "check_receive"]

_logger = logging.getLogger(__name__)

#: A connection that lived this long was a good one: the next pause is the first one again.
_GOOD_CONNECTION_S = 10.0
#: Pauses before symbols that were refused after a reconnect are asked for again: the first and the longest.
_ASK_AGAIN_S = 2.0
_ASK_AGAIN_MOST_S = 60.0
#: Events that are no cause for concern.
_GOOD_NEWS = ("connected", "resubscribed", "notice", "ended")
#: So often counters are copied to where other processes see them.
_BEAT_S = 0.25


class Feed(Streams[Stream]):
    """A live connection to a vendor, kept up until it is closed; made by `fastfeed.connect()`.

    Use it as ``async with``: entering connects (and raises `ConnectError` when that fails), leaving closes.
    In between a lost connection is made again, with growing pauses, and what was subscribed is subscribed
    again; `on_event()` tells. While it is open its hub tells of its state and latencies, see `Hub.stats`; of more
    than 64 feeds of one hub, the first 64 do.

    Attributes
    ----------
    url : str
        Where it connects to, without credentials.
    hub : Hub
        Where its rows and symbols are.
    """

    #: The streams that can be subscribed to.
    kinds: ClassVar[tuple[str, ...]] = ()
    #: It delivers whatever it has, and not only what is subscribed.
    delivers_all: ClassVar[bool] = False
    _machine: Machine

    def __init__(
        self,
        url: str,
        *,
        hub: Hub | None,
        wait_s: float,
        up_timeout_s: float,
        backoff: Backoff | None,
        book_depth: int = BOOK_DEPTH,
        receive: Receive = "loop",
        spin: bool = False,
        cpu: int | None = None,
    ) -> None:
        self.url = url
        self.hub = hub if hub is not None else Hub(book_depth=book_depth)
        self._receiver = self.hub.receiver(receive, spin, cpu)
        self._owns_hub = hub is None
        self._wait_s = wait_s
        self._up_timeout_s = up_timeout_s
        self._backoff = backoff if backoff is not None else Backoff()
        self._wanted: dict[str, dict[str, None]] = {}  # kind: symbols
        self._granted: set[tuple[str, str]] = set()  # (symbol, kind), on the present connection
        # One change of the subscriptions at a time.
        self._asking: AbstractAsyncContextManager[Any] = asyncio.Lock()
        self._events: Callbacks[Event] = Callbacks("event")
        self._link: Link[Any] | None = None
        self._connections = 0
        self._opened = False
        self._closed = False
        self._failure: InternalError | None = None
        self._up = asyncio.Event()  # connected, or nothing to wait for any more
        self._task: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._missed_since_ns = 0  # when what was not recovered from yet began, 0 = nothing
        self._gaps = 0
        self._meter: Meter | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._in_outage = False  # the gateway has lost its source: recovery waits for its end
        self._tape: Tape | None = None

    # what a vendor adds

    @abc.abstractmethod
    async def _connect(self) -> asyncio.Future[Exception | None]:
        """Connect and shake hands; return a future that gets the reason when the connection is lost."""

    @abc.abstractmethod
    def _forget(self, link: Link[Any], why: Exception | None) -> None:
        """Take leave of a connection, and of what was known of it where it is `_link`; `why` is None if the peer
        has closed it.
        """

    @abc.abstractmethod
    async def _subscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        """Ask for symbols and enter those that were granted in `_wanted` and `_granted`.

        SubscriptionError names the symbols that were refused.
        """

    @abc.abstractmethod
    async def _unsubscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        """Give symbols up that are no longer in `_wanted`; pass over those that were never asked for."""

    async def _recover(
        self, symbols: tuple[str, ...], kinds: tuple[str, ...], since_ns: int
    ) -> None:
        """Fetch what symbols that are subscribed again missed since, and tell about the gap.

        During an outage it is left to its end, and so is `_missed_since_ns`.
        """
        self._emit(
            "gap",
            f"{', '.join(kinds)} of the interruption were not fetched",
            symbols=symbols,
            start_ns=since_ns,
            end_ns=time.time_ns(),
        )

    def _give_up(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        """Take note of symbols that are no longer in `_wanted`, whether connected or not."""

    async def _missing_at_vendor(self) -> set[tuple[str, str]]:
        """Return the (symbol, kind) that were granted and that the vendor does not know of; forget them."""
        return set()

    @staticmethod
    @abc.abstractmethod
    def _canonical(symbol: str) -> str:
        """Return the canonical form of a symbol; ValueError."""

    @classmethod
    def _canonical_kind(cls, kind: str) -> str:
        """Return the canonical form of a kind; ValueError."""
        if kind not in cls.kinds:
            raise ValueError(f"expected a kind ({', '.join(cls.kinds)}), got {kind!r}")
        return kind

    @abc.abstractmethod
    def _machine_stats(self) -> dict[str, Any]:
        """Return the vendor's counters."""

    # streams

    def stream(self, name: str) -> Stream:
        """Return a stream by its name."""
        return self.hub.stream(name)

    @property
    def symbols(self) -> SymbolTable:
        """Ids and symbols: ``feed.symbols[3]``, ``feed.symbols["700.HK"]``."""
        return self.hub.symbols

    # what is received, for `fastfeed.capture()`

    @property
    def machine_options(self) -> tuple[str, str, dict[str, Any]]:
        """Vendor, transport, and what a machine is made with that reads what this feed receives.

        LocalProtocolError: it does not receive from a vendor.
        """
        raise LocalProtocolError(f"{self.url} is no vendor's: what comes of it cannot be captured")

    def record_on(self, tape: Tape | None) -> None:
        """Record what is received on a tape, from the beginning; or no more. `fastfeed.capture()` calls it.

        Raises
        ------
        LocalProtocolError
            The feed has been opened, or is recorded already.
        """
        if tape is not None and self._opened:
            raise LocalProtocolError("a capture begins before its feed is opened")
        if tape is not None and self._tape is not None:
            raise LocalProtocolError("the feed is captured already")
        self._tape = tape
        self._machine.record(tape)

    # life

    async def open(self) -> Self:
        """Connect; the same as entering ``async with``.

        Raises
        ------
        ConnectError
            Nothing listens there; at once, unless the option `wait_s` allows more attempts.
        RequestTimeout
            It does not answer.
        AuthError
            It refused.
        RemoteProtocolError
            What listens there does not speak the vendor's protocol.
        """
        if self._opened:
            raise LocalProtocolError("a feed is opened once; make a new one")
        self._opened = True
        self._loop = asyncio.get_running_loop()
        self._meter = self.hub.meters.take(self.url)
        if self._meter is not None:
            self._measure(self._meter)
            self._beat(self._meter)
        deadline = time.monotonic() + self._wait_s
        try:
            while True:
                try:
                    lost = await self._connect()
                    break
                except (ConnectError, RequestTimeout) as error:
                    pause = min(self._backoff.pause_s(), deadline - time.monotonic())
                    if self._closed or pause <= 0:
                        raise
                    self._emit("connect_failed", str(error), code=error.code)
                    await asyncio.sleep(pause)
            self._check_not_closed_meanwhile()
        except BaseException:
            self._disconnect()
            await self.close()
            raise
        self._is_up()
        self._task = asyncio.create_task(self._stay_connected(lost), name=f"fastfeed {self.url}")
        return self

    async def close(self) -> None:
        """Disconnect for good. Loops over the streams end, unless the hub is shared."""
        if self._closed:
            return
        self._check_loop()
        self._closed = True
        self._up.set()
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
        finally:
            self._disconnect()
            self._stop_measuring()
            if self._owns_hub:
                self.hub.end()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}: {'connected' if self.connected else 'not connected'}>"

    def _repr_html_(self) -> str:
        state = "closed" if self._closed else "disconnected, trying again"
        if self._failure is not None:
            state = f"failed: {self._failure}"
        elif not self._opened and not self._closed:
            state = "not open yet"
        elif self.connected:
            state = "connected"
        return feed_html(self, state)

    @property
    def connected(self) -> bool:
        """Whether the connection stands at the moment."""
        return self._up.is_set() and not self._closed and self._failure is None

    # subscriptions

    async def subscribe(self, symbols: str | Iterable[str], *kinds: str) -> None:
        """Ask for live rows of symbols, from now on and after every reconnect.

        What is subscribed already is passed over. While the feed is reconnecting this waits for it.

        Parameters
        ----------
        symbols : str or iterable of str
            One symbol or several, such as ``"700.HK"``; the vendor's own form is understood as well.
        *kinds : str
            What to deliver, by the names of the streams: ``"ticks"``, ``"quotes"``, ...; bars with their
            interval: ``"bars:1m"``.

        Raises
        ------
        ValueError
            A symbol or a kind that cannot be.
        SubscriptionError
            The vendor refused; `symbols` are those it concerns, all others are subscribed.
        ConnectError, RequestTimeout
            The connection was lost meanwhile, or there was no answer. What was granted before stays. A request
            without an answer, or one that was cancelled, may be granted later: `unsubscribe()` gives it up.
        """
        names = self.check(symbols, *kinds)
        kinds = tuple(dict.fromkeys(map(self._canonical_kind, kinds)))
        self._check_loop()
        await self._wait_until_up()
        async with self._asking:
            new = [
                name for name in names if any((name, kind) not in self._granted for kind in kinds)
            ]
            if new:
                await self._subscribe(new, kinds)

    async def unsubscribe(self, symbols: str | Iterable[str], *kinds: str) -> None:
        """Give up symbols; without kinds, all kinds of them. What is not subscribed is passed over.

        Raises
        ------
        ValueError
            A symbol or a kind that cannot be.
        SubscriptionError
            The vendor refused.
        """
        names = self._canonical_symbols(symbols)
        kinds = tuple(dict.fromkeys(map(self._canonical_kind, kinds))) or tuple(self._wanted)
        self._check_loop()
        async with self._asking:
            wanted = [self._wanted.get(kind, {}) for kind in kinds]
            gone = [name for name in names if any(name in known for known in wanted)]
            for known in wanted:
                for name in gone:
                    known.pop(name, None)
            self._give_up(gone, kinds)
            await self._unsubscribe(names, kinds)

    def subscribed(self, kind: str) -> tuple[str, ...]:
        """Return the symbols subscribed to a kind, also those that wait for the connection to come back."""
        return tuple(self._wanted.get(self._canonical_kind(kind), ()))

    def check(self, symbols: str | Iterable[str], *kinds: str) -> list[str]:
        """Return the canonical forms of symbols, each once, without asking the vendor.

        Raises
        ------
        ValueError
            A symbol or a kind that cannot be.
        """
        if not kinds:
            raise ValueError(f"expected at least one kind ({', '.join(self.kinds)})")
        for kind in kinds:
            self._canonical_kind(kind)
        return self._canonical_symbols(symbols)

    def _canonical_symbols(self, symbols: str | Iterable[str]) -> list[str]:
        if isinstance(symbols, str):
            symbols = (symbols,)
        elif isinstance(symbols, bytes):
            raise TypeError(f"expected symbols as str, got {symbols!r}")
        return list(dict.fromkeys(map(self._canonical, symbols)))

    def _check_loop(self) -> None:
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise LocalProtocolError(
                f"the feed {self.url} belongs to the event loop that opened it; from another thread use "
                "asyncio.run_coroutine_threadsafe()"
            )

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed or not self._opened:
            raise ConnectError(f"the feed {self.url} is {'closed' if self._closed else 'not open'}")

    def _check_not_closed_meanwhile(self) -> None:
        if self._closed:
            raise ConnectError(f"the feed {self.url} was closed while it connected")

    async def _wait_until_up(self) -> None:
        self._check_open()
        try:
            async with asyncio.timeout(self._up_timeout_s):
                await self._up.wait()
        except TimeoutError:
            raise ConnectError(
                f"{self.url} is not connected, after {self._up_timeout_s:g} s of waiting"
            ) from None
        self._check_open()

    # events and counters

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call a function with every `Event`; an exception in it is logged and counted.

        Returns
        -------
        callable
            Without arguments; ends it.
        """
        return self._events.add(callback)

    def stats(self) -> dict[str, Any]:
        """Return counters since the feed was made.

        `connected`; `connections`; `subscribed`: by kind; `callback_errors`; `lost_rows`: overwritten before a
        loop or the callbacks came to them; `unmatched_replies`: too late, or to nothing that was asked; and the
        receiving machine's, see `fastfeed.Decoder.stats`.
        """
        return {
            "connected": self.connected,
            "connections": self._connections,
            "subscribed": {kind: len(symbols) for kind, symbols in self._wanted.items()},
            "callback_errors": self._events.errors
            + sum(stream.callback_errors for stream in self.hub.streams),
            "lost_rows": sum(stream.lost for stream in self.hub.streams),
            **self._machine_stats(),
        }

    def _emit(self, kind: str, text: str = "", **fields: Any) -> None:
        event = Event(kind, self.url, time.time_ns(), text, **fields)
        self._gaps += kind == "gap"
        _logger.log(
            logging.INFO if kind in _GOOD_NEWS else logging.WARNING,
            "%s %s %s",
            self.url,
            kind,
            text,
        )
        self._events(event)

    def _beat(self, meter: Meter) -> None:
        """Copy counters to where other processes see them, and again soon."""
        assert self._loop is not None
        self._copy_counters(meter)
        self.hub.tidy()
        self._beat_timer = self._loop.call_later(_BEAT_S, self._beat, meter)

    def _copy_counters(self, meter: Meter) -> None:
        stats = self.stats()
        meter.count(
            connections=self._connections,
            gaps=self._gaps,
            bytes=stats["bytes"],
            packets=stats.get("packets", stats.get("messages", 0)),
            rejected=sum(stats["rejected"].values()),
            lost_rows=stats["lost_rows"],
        )

    def _measure(self, meter: Meter | None) -> None:
        """Let the machine count and time what it does, or no longer."""
        self._machine.measure(meter)

    def _enter(self, state: str) -> None:
        if self._meter is not None:
            self._meter.enter(state)

    def _stop_measuring(self) -> None:
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        if self._meter is not None:
            self._copy_counters(self._meter)
            self._measure(None)
            self._meter.close()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task; what it raises is told, and the feed goes on."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_ended)
        return task

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _logger.error("the feed %s: a task failed", self.url, exc_info=error)
            self._emit(
                "error", str(InternalError(f"something failed in the background: {error!r}"))
            )

    def _hand_over(self, link: Link[Any]) -> None:
        """After the handshake: let the receiver read, where that is not the loop."""
        if self._receiver is not None and link.connection is not None:
            link.connection.hand_over(self._receiver)

    def _disconnect(self) -> None:
        """Drop the connection at once, if there is one."""
        link = self._link
        if link is not None:
            self._forget(link, ConnectError(f"the connection to {self.url} was given up"))
            assert link.connection is not None
            link.connection.abort()

    # coming back

    def _is_up(self) -> None:
        self._connections += 1
        self._enter("connected")
        self._up.set()
        self._emit("connected")

    async def _stay_connected(self, lost: asyncio.Future[Exception | None]) -> None:
        try:
            await self._come_back_for_ever(lost)
        except Exception as error:
            _logger.exception("the feed %s cannot go on", self.url)
            self._failure = InternalError(f"the feed {self.url} cannot go on: {error!r}")
            self._up.set()
            self._enter("disconnected")
            self._disconnect()
            self._emit("error", str(self._failure))
            if self._owns_hub:
                self.hub.end(self._failure)

    async def _come_back_for_ever(self, lost: asyncio.Future[Exception | None]) -> None:
        resubscribing: asyncio.Task[None] | None = None
        try:
            while True:
                since = time.monotonic()
                reason = await lost
                self._missed_since_ns = self._missed_since_ns or time.time_ns()
                self._up.clear()
                self._enter("disconnected")
                if resubscribing is not None:
                    resubscribing.cancel()
                self._emit("disconnected", str(reason) if reason else "closed by the peer")
                if time.monotonic() - since >= _GOOD_CONNECTION_S:
                    self._backoff.reset()
                lost = await self._connect_again()
                resubscribing = self._in_background(self._resubscribe(self._missed_since_ns))
        finally:
            if resubscribing is not None:
                resubscribing.cancel()

    async def _connect_again(self) -> asyncio.Future[Exception | None]:
        failure: FastfeedError | None = None
        while True:
            await asyncio.sleep(self._pause_s(failure))
            try:
                lost = await self._connect()
            except FastfeedError as error:
                failure = error
                self._emit("connect_failed", str(error), code=error.code)
            else:
                self._is_up()
                return lost

    def _pause_s(self, failure: FastfeedError | None) -> float:
        """Return how long to wait before the next attempt; `failure` is that of the one before."""
        return self._backoff.pause_s()

    async def _resubscribe(self, since_ns: int) -> None:
        """Ask for everything again; for what is refused, ask again later."""
        refused: set[str] | None = None
        pauses = Backoff(_ASK_AGAIN_S, _ASK_AGAIN_MOST_S)
        while refused is None or refused:
            if refused:
                await asyncio.sleep(pauses.pause_s())
            only, refused = refused, set()
            recoveries: dict[str, list[str]] = {}
            async with self._asking:  # what is wanted stays as it is meanwhile
                for symbols, kinds in self._wanted_groups(only):
                    wanted = [s for s in symbols if self._is_missing(s, kinds)]
                    try:
                        await self._subscribe(wanted, kinds)
                    except SubscriptionError as error:
                        refused.update(error.symbols)
                        self._emit("error", str(error), code=error.code, symbols=error.symbols)
                    except FastfeedError as error:  # a new connection is a new chance
                        self._emit("error", str(error), code=error.code, symbols=tuple(wanted))
                        self._disconnect()
                        return
                    granted = tuple(symbol for symbol in wanted if symbol not in refused)
                    if granted:
                        self._emit("resubscribed", f"{len(granted)} symbols", symbols=granted)
                    # Also what the user has subscribed again before we came to it.
                    for kind in kinds:
                        here = [s for s in symbols if (s, kind) in self._granted]
                        recoveries.setdefault(kind, []).extend(here)
            try:
                missing = await self._missing_at_vendor()
            except FastfeedError as error:  # no reason to leave out the recovery
                missing = set()
                self._emit("error", str(error), code=error.code)
            if missing:
                refused.update(symbol for symbol, _ in missing)
                self._emit(
                    "error",
                    "the vendor does not know of subscriptions that it has granted",
                    symbols=tuple(sorted(refused)),
                )
            for kind, symbols_again in recoveries.items():
                if symbols_again:
                    await self._recover(tuple(symbols_again), (kind,), since_ns)
            if not self._in_outage:
                self._missed_since_ns = 0

    def _is_missing(self, symbol: str, kinds: tuple[str, ...]) -> bool:
        """Return whether a symbol is wanted and not granted: the user may have been faster."""
        return any(
            symbol in self._wanted.get(k, ()) and (symbol, k) not in self._granted for k in kinds
        )

    def _wanted_groups(self, only: set[str] | None) -> list[tuple[list[str], tuple[str, ...]]]:
        """Return what is wanted, grouped by equal sets of kinds."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for symbol in dict.fromkeys(s for symbols in self._wanted.values() for s in symbols):
            if only is None or symbol in only:
                kinds = tuple(kind for kind, symbols in self._wanted.items() if symbol in symbols)
                groups.setdefault(kinds, []).append(symbol)
        return [(symbols, kinds) for kinds, symbols in groups.items()]


def check_receive(receive: Receive, tls: bool) -> None:
    """Check that the option can be had at an address; ConfigError."""
    if receive == "thread" and tls:
        raise ConfigError(
            "receive='thread' reads from plain sockets: an address with TLS (wss://) cannot be had with it"
        )


def check_options(
    hub: Hub | None, book_depth: int | None, backoff: Backoff | None, **seconds: float
) -> None:
    """Check the options that the feeds of all vendors have; ValueError, TypeError."""
    for name, value in seconds.items():
        may_be_0 = name in ("wait_s", "rate_limit_wait_s")
        if not 0 <= value < float("inf") or (value == 0 and not may_be_0):
            raise ValueError(f"expected {name} in seconds, more than 0, got {value!r}")
    if hub is not None and not isinstance(hub, Hub):
        raise TypeError(f"expected a Hub, got {hub!r}")
    if hub is not None and book_depth is not None:
        raise ValueError("expected either a hub or a book_depth: the hub has its own")
    if backoff is not None and not isinstance(backoff, Backoff):
        raise TypeError(f"expected a Backoff, got {backoff!r}")
