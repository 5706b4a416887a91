"""What metrics and health are made of: all counters of a hub, its feeds and its sinks, as they are at one moment.

Looked at from any thread. A hub's counters may be read from everywhere; a feed's and a sink's belong to the event
loop, which is asked for them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastfeed._core.meter import Latency
from fastfeed._core.symbols import SymbolTable
from fastfeed.feeds.feed import Feed
from fastfeed.protocols.market_hours import region_of

__all__ = ["PARTS", "FeedsOf", "Observed", "OwnFeed", "Sight", "Source", "Watched"]

#: What else can be observed.
PARTS = ("recording", "capture", "relay")
_PATIENCE_S = 2.0  # with the event loop
_LATENCIES = ("gateway_to_receive", "receive_to_publish")
_COUNTERS = ("connections", "gaps", "bytes", "packets", "rows", "rejected")

#: Feeds, or what returns those there are at the moment.
FeedsOf = Iterable[Feed] | Callable[[], Iterable[Feed]]


class Source(Protocol):
    """What has counters."""

    def stats(self) -> dict[str, Any]: ...


class Watched(Protocol):
    """A hub, of this process or of another one."""

    @property
    def symbols(self) -> SymbolTable: ...
    def measured(self) -> dict[str, Any]: ...


@dataclass(slots=True)
class OwnFeed:
    """A feed of this process; of several with one URL all together."""

    connected: bool = True
    subscribed: dict[str, int] = field(default_factory=dict)  # by kind
    rejected: dict[str, int] = field(default_factory=dict)  # by reason
    counters: dict[str, int] = field(default_factory=dict)
    symbols: tuple[str, ...] = ()

    def add(self, feed: Feed) -> None:
        """Add a feed; on its event loop."""
        stats = feed.stats()
        self.connected = self.connected and feed.connected
        for name, value in stats.items():
            if name in ("subscribed", "rejected"):
                into = self.subscribed if name == "subscribed" else self.rejected
                for key, number in value.items():
                    into[key] = into.get(key, 0) + number
            elif type(value) is int:
                self.counters[name] = self.counters.get(name, 0) + value
        for kind in stats["subscribed"]:
            self.symbols += feed.subscribed(kind)


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen.

    Attributes
    ----------
    at_ns : int
        When; ns since 1970 UTC.
    hub : dict
        As `Hub.measured` returns it.
    feeds : dict
        By URL: the slots of ``hub["feeds"]`` that have it, as one.
    own : dict or None
        By URL: the feeds of this process; None where they are not known.
    symbols : int
        How many the hub knows.
    regions : frozenset of str
        Of all of them.
    parts : dict
        By name, what the `stats()` of each returned.
    responds : bool
        Whether the event loop has answered. If not, what is its own is of an earlier look.
    """

    at_ns: int
    hub: dict[str, Any]
    feeds: dict[str, dict[str, Any]]
    own: dict[str, OwnFeed] | None
    symbols: int
    regions: frozenset[str]
    parts: dict[str, dict[str, Any]]
    responds: bool


#: What the event loop answers.
_Answer = tuple[dict[str, OwnFeed] | None, dict[str, dict[str, Any]]]


class Observed:
    """A hub with its feeds and sinks; `look()` from any thread.

    Parameters
    ----------
    hub : Hub or AttachedHub
    feeds : iterable of Feed or callable, optional
        Those of this process.
    parts : mapping, optional
        By a name of `PARTS`.
    loop : event loop, optional
        Whose they are, by default the running one; without any they are looked at from the thread that looks.
    """

    def __init__(
        self,
        hub: Watched,
        feeds: FeedsOf | None = None,
        parts: Mapping[str, Source] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._hub = hub
        self._feeds = feeds if feeds is None or callable(feeds) else tuple(feeds)
        self._parts = dict(parts or {})
        for name in self._parts:
            if name not in PARTS:
                raise ValueError(
                    f"expected parts by their names ({', '.join(PARTS)}), got {name!r}"
                )
        self._loop = _running() if loop is None else loop
        self._looking = threading.Lock()
        self._question: Future[_Answer] | None = None
        self._last: _Answer = None if feeds is None else {}, {}
        self._regions: set[str] = set()
        self._regions_of: tuple[SymbolTable | None, int] = None, 0

    def look(self, patience_s: float = _PATIENCE_S) -> Sight:
        """Return what is to be seen now; the event loop has so long to answer."""
        (own, parts), responds = self._ask(patience_s)
        hub = self._hub.measured()
        symbols = self._hub.symbols
        return Sight(
            at_ns=time.time_ns(),
            hub=hub,
            feeds=_by_url(hub["feeds"]),
            own=own,
            symbols=len(symbols),
            regions=self._regions_in(symbols),
            parts=parts,
            responds=responds,
        )

    def stop(self) -> None:
        """Let nobody wait for the event loop any more."""
        question = self._question
        if question is not None:
            question.cancel()

    def _of_loop(self) -> _Answer:
        own: dict[str, OwnFeed] | None = None
        if self._feeds is not None:
            own = {}
            for feed in self._feeds() if callable(self._feeds) else self._feeds:
                own.setdefault(feed.url, OwnFeed()).add(feed)
        return own, {name: part.stats() for name, part in self._parts.items()}

    def _ask(self, patience_s: float) -> tuple[_Answer, bool]:
        if self._feeds is None and not self._parts and self._loop is None:
            return self._last, True
        if self._loop is None or self._loop is _running():
            return self._of_loop(), True
        # One question at a time: a loop that hangs would collect them.
        with self._looking:
            question = self._question
            if question is None or question.done():
                question = self._question = Future()
                try:
                    self._loop.call_soon_threadsafe(self._answer, question)
                except RuntimeError:  # it is closed
                    question.cancel()
        try:
            self._last = question.result(patience_s)
        except (TimeoutError, CancelledError):
            return self._last, False
        return self._last, True

    def _answer(self, question: Future[_Answer]) -> None:
        if question.set_running_or_notify_cancel():
            try:
                question.set_result(self._of_loop())
            except Exception as error:
                question.set_exception(error)

    def _regions_in(self, symbols: SymbolTable) -> frozenset[str]:
        """Return the regions of a table, looking only at what is new."""
        with self._looking:
            table, count = self._regions_of
            if table is not symbols:  # another writer's
                self._regions, count = set(), 0
            end = len(symbols)
            self._regions.update(region_of(symbols[i]) for i in range(count, end))
            self._regions_of = symbols, end
            return frozenset(self._regions)


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _by_url(slots: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the slots of each URL as one: a vendor may take several connections, and closed ones count on."""
    found: dict[str, dict[str, Any]] = {}
    for slot in slots:
        one = found.get(slot["url"])
        if one is None:
            found[slot["url"]] = {**slot, "up": slot["state"] == "connected"}
            continue
        was_open, is_open = one["state"] != "closed", slot["state"] != "closed"
        up = slot["state"] == "connected"
        if is_open and was_open:
            # The first that is down says since when; of those that are up the last.
            if up == one["up"]:
                one["since_ns"] = (max if up else min)(one["since_ns"], slot["since_ns"])
            elif one["up"]:
                one |= {"since_ns": slot["since_ns"], "state": slot["state"]}
            one["up"] = up and one["up"]
        elif is_open or not was_open:
            one["since_ns"] = (
                slot["since_ns"] if is_open else max(one["since_ns"], slot["since_ns"])
            )
            one |= {"state": slot["state"], "up": up}
        for name in _COUNTERS:
            one[name] += slot[name]
        for name in ("last_recv_ns", "beat_ns", "lost_rows"):  # rows lost are the hub's
            one[name] = max(one[name], slot[name])
        for name in _LATENCIES:
            latency: Latency = one[name]
            one[name] = latency.plus(slot[name])
    return found
