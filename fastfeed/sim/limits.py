"""How often something may happen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Window"]


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
