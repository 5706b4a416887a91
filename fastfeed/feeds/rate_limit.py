"""A limit of calls in a sliding window, kept by waiting."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from fastfeed.errors import RateLimitError

__all__ = ["RateLimit"]


class RateLimit:
    """At most `calls` calls in any `window_s` seconds; those who wait are served in the order they came.

    Each caller takes the earliest moment that is free, and sleeps until then. So how long it will wait is known
    at once, and nobody overtakes. A caller that is cancelled while it waits gives its moment back.

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
        self._calls = calls
        self._window_s = window_s
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._taken: deque[float] = deque()  # moments of calls, rising, also those still to come

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
        taken, now = self._taken, self._clock()
        while len(taken) > self._calls and taken[0] <= now:
            taken.popleft()
        at = now
        if taken:
            at = max(at, taken[-1])
        if len(taken) >= self._calls:
            at = max(at, taken[-self._calls] + self._window_s)
        if at - now > most_s:
            raise RateLimitError(
                f"{self._name}: the limit of {self._calls} calls in {self._window_s:g} s is used up: "
                f"expected to wait at most {most_s:g} s, it would be {at - now:.1f} s"
            )
        taken.append(at)
        try:
            while (left_s := at - self._clock()) > 0:
                await self._sleep(left_s)
        except BaseException:
            taken.remove(at)
            raise
