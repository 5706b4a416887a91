"""What a feed tells besides rows."""

from __future__ import annotations

import dataclasses

__all__ = ["Event"]


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a feed.

    Attributes
    ----------
    kind : str
        ``connected``; ``disconnected`` (`text` is the reason); ``connect_failed`` (an attempt to come back did
        not succeed, the next one follows); ``resubscribed`` (`symbols` are delivered again); ``gap`` (rows of
        `symbols` may be missing between `start_ns` and `end_ns`; `text` says whether they were fetched);
        ``notice`` (the vendor says something); ``error`` (something failed in the background, `symbols` are
        those it concerns).
    feed : str
        URL of the feed, without credentials.
    time_ns : int
        When it happened, ns since 1970 UTC.
    text : str
        In words.
    code : int or None
        The vendor's number.
    symbols : tuple of str
    start_ns, end_ns : int
        Of a gap, in this machine's time, 0 otherwise.
    """

    kind: str
    feed: str
    time_ns: int
    text: str = ""
    code: int | None = None
    symbols: tuple[str, ...] = ()
    start_ns: int = 0
    end_ns: int = 0
