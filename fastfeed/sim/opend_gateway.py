"""What the connections to a simulated OpenD share: the market, what is granted, and what is counted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastfeed._core.opend_encode import TickEncoder
from fastfeed.protocols.opend_frames import pack
from fastfeed.protocols.opend_messages import NAMES, message_class
from fastfeed.protocols.opend_rsa import RsaKey
from fastfeed.sim.faults import Faults
from fastfeed.sim.market import Market
from fastfeed.sim.opend_answers import Answers
from fastfeed.sim.opend_limits import Subscription, SubscriptionQuota
from fastfeed.sim.playback import Playback
from fastfeed.sim.recorded import Recording

if TYPE_CHECKING:
    from fastfeed.sim.opend_client import Client

__all__ = ["MISSED", "Gateway", "Outage"]

MISSED = 50  # ticks of a security that come after an outage


@dataclass(slots=True)
class Outage:
    """Ticks from `start` to `end` did not arrive in time; the last `missed` of a symbol come late."""

    start: int
    end: int | None = None
    missed: int = MISSED


@dataclass(slots=True, kw_only=True, eq=False)
class Gateway:
    """See the head of this file.

    Attributes
    ----------
    market, playback, encoder, answers, subscriptions
    faults : Faults or None
    rsa_key : RsaKey or None
    random : Random
        For ids, keys and the order of faults.
    rows_per_push : int
    book_depth : int
        Levels of a side in pushed books.
    floor_from, floor_s : int
        Sequences of ticks from this position on begin with this second at least.
    keep_alive_interval : int
        Seconds, as told to clients.
    idle_timeout_s : float
    recording : Recording or None
        What is played in place of ticks; the market stands still then.
    clients : dict
        Those that are there, and the tasks that serve them.
    outages : list of Outage
        Of the back end, in their order; the last one may still last.
    strikes : dict
        How often the faults that end a connection have struck.
    serial : int
        Of the next push.
    counts : Counter
        See `OpenDSimulator.stats()`.
    """

    market: Market
    playback: Playback
    encoder: TickEncoder
    answers: Answers
    subscriptions: SubscriptionQuota
    faults: Faults | None
    rsa_key: RsaKey | None
    random: random.Random
    rows_per_push: int
    book_depth: int
    floor_from: int
    floor_s: int
    keep_alive_interval: int
    idle_timeout_s: float
    recording: Recording | None = None
    clients: dict[Client, asyncio.Task[None]] = field(default_factory=dict)
    outages: list[Outage] = field(default_factory=list)
    strikes: dict[str, int] = field(default_factory=dict)
    serial: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def upstream(self) -> bool:
        """The back end is there."""
        return not self.outages or self.outages[-1].end is not None

    def outages_before(self, position: int) -> int:
        """Return how many outages were over before a position."""
        return sum(outage.end is not None and outage.end <= position for outage in self.outages)

    def catch_up(self) -> None:
        """Let the ticks that are due pass through the market."""
        self.pass_ticks(self.playback.position)

    def pass_ticks(self, position: int) -> None:
        """Let ticks pass through the market, unless they do not get here."""
        if self.upstream and self.recording is None and position > self.market.position:
            self.market.advance(position)

    def used_subscriptions(self) -> set[Subscription]:
        """Return what counts against the quota."""
        return self.subscriptions.used(client.subscribed for client in self.clients)

    def pack_push(self, proto: int, s2c: Mapping[str, Any]) -> bytes:
        """Return a push other than of ticks, and count it."""
        push = message_class(f"{NAMES[proto]}.Response")(retType=0, s2c=s2c)
        packet = pack(proto, self.serial, push.SerializeToString())
        self.count(1, "other_pushes")
        return packet

    def count(self, pushes: int, kind: str = "pushes") -> None:
        """Count pushes, which have serial numbers of their own."""
        self.serial = (self.serial + pushes) & 0xFFFFFFFF
        self.counts[kind] += pushes
