"""Limits of calls, kept by waiting."""

from __future__ import annotations

import abc
import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from fastfeed.errors import RateLimitError

__all__ = ["Limit", "RateLimit", "TokenBucket"]


class Limit(abc.ABC):
    """A limit of calls; those who wait are served in the order they came.

    Each caller takes the earliest moment that is free, and sleeps until then. So how long it will wait is known
    at once, and nobody overtakes. A caller that is cancelled while it waits gives its moment back.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._taken: deque[float] = deque()  # moments of calls, rising, also those still to come

    @abc.abstractmethod
    def _next(self, now: float) -> float:
        """Return the earliest moment for one more call, not before the last one taken; forget old ones."""

    @abc.abstractmethod
    def __str__(self) -> str:
        """Return what is allowed, for the text of errors."""

    async def acquire(self, most_s: float) -> None:
        """Wait until a call may be made.

        Parameters
        ----------
        most_s : float
            Longest wait that is acceptable.

        Raises
        ------
        RateLimitError
            It would be longer; at once.
        """
        now = self._clock()
        at = self._next(now)
        if at - now > most_s:
            raise RateLimitError(
                f"{self._name}: the limit of {self} is used up: "
                f"expected to wait at most {most_s:g} s, it would be {at - now:.1f} s"
            )
        self._taken.append(at)
        try:
            while (left_s := at - self._clock()) > 0:
                await self._sleep(left_s)
        except BaseException:
            if at in self._taken:  # not if its moment has come and gone
                self._taken.remove(at)
            raise


class RateLimit(Limit):
    """At most `calls` calls in any `window_s` seconds.

    Parameters
    ----------
    calls : int
    window_s : float
        Call number one and call number `calls` + 1 lie at least so far apart.
    name : str
        For the text of errors.
    clock, sleep
        Seconds that do not go back, and how to wait for them.
    """

    def __init__(
        self,
        calls: int,
        window_s: float,
        *,
        name: str = "call",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if calls < 1 or not 0 < window_s < float("inf"):
            raise ValueError(
                f"expected calls and seconds, more than 0, got {calls!r}, {window_s!r}"
            )
        super().__init__(name, clock, sleep)
        self._calls = calls
        self._window_s = window_s

    def __str__(self) -> str:
        return f"{self._calls} calls in {self._window_s:g} s"

    def _next(self, now: float) -> float:
        taken = self._taken
        while len(taken) > self._calls and taken[0] <= now:
            taken.popleft()
        at = now
        if taken:
            at = max(at, taken[-1])
        if len(taken) >= self._calls:
            at = max(at, taken[-self._calls] + self._window_s)
        return at


class TokenBucket(Limit):
    """A bucket of `burst` tokens, full at first, that gets `per_s` tokens a second; a call takes one.

    Parameters
    ----------
    per_s, burst : int
    name, clock, sleep
        As in `RateLimit`.
    """

    def __init__(
        self,
        per_s: int,
        burst: int,
        *,
        name: str = "call",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if per_s < 1 or burst < 1:
            raise ValueError(f"expected tokens, more than 0, got {per_s!r} and {burst!r}")
        super().__init__(name, clock, sleep)
        self.per_s = per_s
        self.burst = burst
        self._full_at = float("-inf")  # after the calls that are no longer in `_taken`

    def __str__(self) -> str:
        return f"{self.per_s} calls a second, {self.burst} at once"

    def _next(self, now: float) -> float:
        taken = self._taken
        while taken and taken[0] <= now:
            self._full_at = self._full_after(self._full_at, taken.popleft())
        full_at = self._full_at
        for at in taken:
            full_at = self._full_after(full_at, at)
        return max(now, taken[-1] if taken else now, full_at - (self.burst - 1) / self.per_s)

    def _full_after(self, full_at: float, call: float) -> float:
        """Return when the bucket will be full again after a call."""
        return max(full_at, call) + 1 / self.per_s
