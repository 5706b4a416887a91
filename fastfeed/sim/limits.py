"""How often something may happen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Bucket", "Window"]


class Window:
    """At most `limit` in any `seconds`."""

    def __init__(
        self, limit: int, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self.seconds = seconds
        self._clock = clock
        self._times: deque[float] = deque(maxlen=limit)

    def take(self) -> bool:
        """Count one more, or say that it is one too many: then it does not count."""
        now = self._clock()
        if len(self._times) == self.limit and now - self._times[0] <= self.seconds:
            return False
        self._times.append(now)
        return True


class Bucket:
    """At most `burst` at once, `rate` a second in the long run; it begins full."""

    def __init__(
        self, rate: float, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def take(self) -> bool:
        """Count one more, or say that it is one too many: then it does not count."""
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
