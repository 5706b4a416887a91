"""What a feed tells besides rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["Event"]


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a feed.

    Attributes
    ----------
    kind : str
        ``connected``; ``disconnected`` (`text` is the reason); ``connect_failed`` (an attempt to connect or to come
        back did not succeed, the next one follows); ``resubscribed`` (`symbols` are delivered again); ``gap``
        (`symbols` were not delivered between `start_ns` and `end_ns`; `filled` says whether all that was
        missed has been fetched); ``notice`` (the vendor says something); ``price_reminder`` (a price alert
        fired, of `symbols`); ``ended`` (a capture has been played to its end); ``error`` (something failed in the
        background, `symbols` are those it concerns).
    feed : str
        URL of the feed, without credentials.
    time_ns : int
        When it happened, ns since 1970 UTC.
    text : str
        In words.
    code : int or None
        The vendor's number.
    symbols : tuple of str
    details : mapping
        What a notice or a price reminder says, by name; for OpenD see `fastfeed.feeds.opend_notices.Notice`.
    start_ns, end_ns : int
        Of a gap, ns since 1970 UTC, 0 otherwise. When it was filled, the interruption in this machine's time;
        when not, the exchange's times of the last tick before the hole and of the first one after it, where
        known.
    rows : int
        Of a gap: ticks that were fetched.
    filled : bool
        Of a gap: nothing is missing any more.
    """

    kind: str
    feed: str
    time_ns: int
    text: str = ""
    code: int | None = None
    symbols: tuple[str, ...] = ()
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    rows: int = 0
    filled: bool = False
