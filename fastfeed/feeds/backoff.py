"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Growing pauses with jitter, so that many clients do not come back all at once.

    Parameters
    ----------
    first_s, most_s
        The first pause and the longest; each is twice the one before it.
    rng
        Source of chance: a pause lies between half of its length and all of it.
    """

    def __init__(
        self, first_s: float = 0.1, most_s: float = 6.0, rng: random.Random | None = None
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._rng = rng if rng is not None else random.Random()
        self._next_s = first_s

    def pause_s(self) -> float:
        """Return the next pause in seconds."""
        pause = self._next_s * (0.5 + 0.5 * self._rng.random())
        self._next_s = min(self._next_s * 2, self._most_s)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next_s = self._first_s
