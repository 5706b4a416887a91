"""What a simulated OpenD grants: subscriptions, securities with history, requests in a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fastfeed.protocols.opend_messages import CALL_LIMITS
from fastfeed.sim.limits import Window

__all__ = ["HistoryQuota", "RateLimits", "Refused", "Subscription", "SubscriptionQuota"]

#: A symbol and a type of data (SubType).
Subscription = tuple[str, int]


class Refused(Exception):
    """A request that is answered with an error; the text is what the client is told."""


class RateLimits:
    """Sliding windows, one for each kind of request, of all clients together.

    Parameters
    ----------
    window_s : float
        Length of the windows; 0: no limits.
    """

    def __init__(self, window_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._windows = (
            {proto: Window(limit, window_s, clock=clock) for proto, limit in CALL_LIMITS.items()}
            if window_s
            else {}
        )

    def check(self, proto: int) -> None:
        """Count a request.

        Raises
        ------
        Refused
            There were too many; this one does not count.
        """
        window = self._windows.get(proto)
        if window is not None and not window.take():
            raise Refused(
                f"requests are too frequent: at most {window.limit} of {proto} in {window.seconds:g} s"
            )


class SubscriptionQuota:
    """How many subscriptions there may be, of all clients together; a young one outlives its client.

    Parameters
    ----------
    limit : int
    minimum_age_s : float
        How old a subscription must be before it may be given up.
    """

    def __init__(self, limit: int, minimum_age_s: float) -> None:
        self.limit = limit
        self.minimum_age_s = minimum_age_s
        self._lingering: dict[Subscription, float] = {}

    def used(self, clients: Iterable[dict[Subscription, float]]) -> set[Subscription]:
        """Return what counts now."""
        now = time.monotonic()
        self._lingering = {key: until for key, until in self._lingering.items() if until > now}
        return set(self._lingering).union(*clients)

    def check(
        self, clients: Iterable[dict[Subscription, float]], wanted: Iterable[Subscription]
    ) -> None:
        """Raise `Refused` where there is no room for what is wanted."""
        used = self.used(clients)
        missing = len(used.union(wanted)) - self.limit
        if missing > 0:
            raise Refused(
                f"the subscription quota of {self.limit} does not suffice: "
                f"{len(used)} used, {missing} missing"
            )

    def check_age(self, subscription: Subscription, since: float) -> None:
        """Raise `Refused` where a subscription is too young to be given up."""
        age = time.monotonic() - since
        if age < self.minimum_age_s:
            symbol, kind = subscription
            raise Refused(
                f"{symbol}, type {kind}: a subscription can be given up after "
                f"{self.minimum_age_s:g} s, this one is {age:.1f} s old"
            )

    def leave(self, subscribed: dict[Subscription, float]) -> None:
        """Keep what a client leaves behind, until it is old enough."""
        now = time.monotonic()
        for subscription, since in subscribed.items():
            until = since + self.minimum_age_s
            if until > now:
                self._lingering[subscription] = max(until, self._lingering.get(subscription, 0.0))


class HistoryQuota:
    """How many securities may be asked for their history; asking again is free."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.asked: dict[str, float] = {}
        """Symbols, and when they were first asked for, epoch seconds."""

    @property
    def remaining(self) -> int:
        return max(0, self.limit - len(self.asked))

    def take(self, symbol: str) -> None:
        """Count a security, or raise `Refused`."""
        if symbol in self.asked:
            return
        if not self.remaining:
            raise Refused(f"the history quota of {self.limit} securities does not suffice")
        self.asked[symbol] = time.time()
