"""One-time passwords, and the sessions that they open."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Sessions"]

_PASSWORDS = 1000  # not yet used
_SESSIONS = 10_000


class Sessions:
    """Of one user. The oldest are forgotten where there are too many.

    Parameters
    ----------
    lifetime_s : float
    random : Random
    clock_ns : callable
        Epoch nanoseconds.
    """

    def __init__(
        self, lifetime_s: float, random: random.Random, clock_ns: Callable[[], int]
    ) -> None:
        self._lifetime_ms = round(lifetime_s * 1000)
        self._random = random
        self._clock_ns = clock_ns
        self._passwords: dict[str, None] = {}
        self._expires_ms: dict[str, int] = {}

    def password(self) -> str:
        """Return a new one-time password."""
        password = self._id()
        self._passwords[password] = None
        if len(self._passwords) > _PASSWORDS:
            del self._passwords[next(iter(self._passwords))]
        return password

    def open(self, password: str) -> tuple[str, int] | None:
        """Return a new session and when it expires (ms), None: the password is unknown or was used."""
        if password not in self._passwords:
            return None
        del self._passwords[password]
        return self._new()

    def renew(self, session: str) -> tuple[str, int] | None:
        """Return a session in place of another, None: that is unknown or has expired."""
        expires_ms = self._expires_ms.pop(session, 0)
        return self._new() if self._clock_ns() // 10**6 < expires_ms else None

    def expire(self) -> None:
        """Let every session expire."""
        self._expires_ms.clear()

    def _new(self) -> tuple[str, int]:
        session = self._id()
        expires_ms = self._clock_ns() // 10**6 + self._lifetime_ms
        self._expires_ms[session] = expires_ms
        if len(self._expires_ms) > _SESSIONS:
            del self._expires_ms[next(iter(self._expires_ms))]
        return session, expires_ms

    def _id(self) -> str:
        return f"{self._random.getrandbits(128):032x}"
