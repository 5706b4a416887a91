"""Feeds of a hub on their way: those of `fastfeed serve` and `fastfeed record`, which keep trying."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import click

from fastfeed.cli import words
from fastfeed.cli.journal import Journal
from fastfeed.cli.options import kinds_of
from fastfeed.cli.serve_config import FeedConfig, HubConfig, Plan, Subscription
from fastfeed.cli.stop import Stop
from fastfeed.errors import (
    AuthError,
    ConfigError,
    ConnectError,
    FastfeedError,
    InternalError,
    RequestTimeout,
    SubscriptionError,
)
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.events import Event
from fastfeed.feeds.feed import Feed

__all__ = ["Member", "counts", "deliver", "settings_of"]

_PAUSE_S = 1.0  # before something is tried again
_LONGEST_PAUSE_S = 60.0


def settings_of(
    url: str, symbols: tuple[str, ...], kinds: str | None, options: dict[str, str]
) -> HubConfig:
    """Return the settings of a hub with one feed, as they stand on the command line."""
    wanted = Subscription(list(symbols), None, list(kinds_of("ticks" if kinds is None else kinds)))
    return HubConfig(feeds=[FeedConfig(url, options, subscriptions=[wanted])])


class Member:
    """A feed of the hub on its way: connecting, subscribing, or given up."""

    def __init__(self, plan: Plan, journal: Journal, wait_s: float | None) -> None:
        self.plan = plan
        self.feed = plan.feed
        self.given_up = False
        #: Set up or given up, or something has failed for the first time.
        self.settled = asyncio.Event()
        self.gaps = 0
        self._journal = journal
        self._until = math.inf if wait_s is None else time.monotonic() + wait_s

    def _on_event(self, event: Event) -> None:
        self._journal.tell(event)
        if event.kind == "connect_failed":
            self.settled.set()
        elif event.kind == "gap":
            self.gaps += 1

    @property
    def subscribed(self) -> int:
        """How many of its symbols are subscribed."""
        kinds = {kind for _, kinds in self.plan.wanted for kind in kinds}
        return len({symbol for kind in kinds for symbol in self.feed.subscribed(kind)})

    async def set_up(self) -> None:
        """Connect and subscribe, or give the feed up."""
        try:
            await self._open()
            for symbols, kinds in self.plan.wanted:
                await _subscribe(self.feed, symbols, kinds, self._say, self.settled.set)
            if not self.subscribed:
                raise SubscriptionError("nothing is subscribed")
            if self.settled.is_set():  # the line about all feeds was too early for this one
                self._say(f"subscribed: {_part(self.subscribed, len(self.plan.symbols), 'symbol')}")
        except Exception as error:  # the other feeds go on, whatever it is
            self.given_up = True
            text = str(error) if isinstance(error, FastfeedError) else repr(error)
            self._say(f"given up: {text}")
            await self.feed.close()
        finally:
            self.settled.set()

    async def _open(self) -> None:
        """Connect. Where nothing listens, the feed itself keeps trying; a vendor who is ill may recover."""
        pauses = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            self.feed.on_event(self._on_event)
            try:
                await self.feed.open()
                return
            except (AuthError, ConfigError, ConnectError, RequestTimeout):
                raise
            except FastfeedError as error:
                pause_s = pauses.pause_s()
                if time.monotonic() + pause_s > self._until:
                    raise
                self._say(f"{error}; trying again")
                self.settled.set()
                await asyncio.sleep(pause_s)
                self.feed = self.plan.make()  # one is opened only once

    def _say(self, text: str) -> None:
        self._journal.write(self.feed.url, text)


async def _subscribe(
    feed: Feed,
    symbols: Sequence[str],
    kinds: Sequence[str],
    say: Callable[[str], object],
    on_failure: Callable[[], object],
) -> None:
    """Subscribe, and ask again where there is no answer; what is refused is told."""
    pauses = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
    while True:
        try:
            await feed.subscribe(symbols, *kinds)
            return
        except SubscriptionError as error:
            say(str(error))
            return
        except InternalError:
            raise
        except FastfeedError as error:
            say(f"{error}; asking again")
            on_failure()
            await asyncio.sleep(pauses.pause_s())


async def deliver(
    members: Sequence[Member],
    stop: Stop,
    duration: float | None,
    begun: Callable[[], str],
    show: Callable[[], Coroutine[Any, Any, object]] | None = None,
) -> bool:
    """Set feeds up, let them deliver until the end is requested, and close them.

    Parameters
    ----------
    members : sequence of Member
    stop : Stop
    duration : float or None
        In seconds, from when every feed is set up, given up, or had its first failure.
    begun : callable
        What to tell then on standard output.
    show : callable, optional
        Goes on from then until the end.

    Returns
    -------
    bool
        Whether a feed could be set up.
    """
    tasks = [asyncio.create_task(member.set_up()) for member in members]
    showing: list[asyncio.Task[object]] = []
    try:
        if await stop.race(_settled(members)) and not all(one.given_up for one in members):
            click.echo(f"{begun()} (Ctrl-C ends it)")
            sys.stdout.flush()
            stop.after(duration)
            if show is not None:
                showing.append(asyncio.create_task(show()))
        return not await stop.race(_given_up(tasks, members))
    finally:
        for task in (*tasks, *showing):
            task.cancel()
        await asyncio.gather(*tasks, *showing, return_exceptions=True)
        for member in members:
            await member.feed.close()


async def _settled(members: Sequence[Member]) -> None:
    """Return when every feed is set up, given up, or had its first failure."""
    for member in members:
        await member.settled.wait()


async def _given_up(tasks: Sequence[asyncio.Task[None]], members: Sequence[Member]) -> None:
    """Return when all feeds are given up, otherwise never."""
    await asyncio.wait(tasks)
    if not all(member.given_up for member in members):
        await asyncio.Event().wait()


def counts(members: Sequence[Member]) -> str:
    """Return how many feeds and symbols are there, out of how many."""
    up = sum(member.feed.connected for member in members)
    subscribed = sum(member.subscribed for member in members)
    wanted = sum(len(member.plan.symbols) for member in members)
    return f"{_part(up, len(members), 'feed')}, {_part(subscribed, wanted, 'symbol')}"


def _part(number: int, whole: int, noun: str) -> str:
    return f"{'' if number == whole else f'{number:,} of '}{words.counted(whole, noun)}"
