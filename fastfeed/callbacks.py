"""Functions of the user's that are called when something happens, and cannot do harm by raising."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Callbacks"]

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_LOG_PAUSE_S = 1.0  # between two log entries about callbacks that raise


class Callbacks(Generic[T]):
    """A set of callbacks of one argument.

    Attributes
    ----------
    errors : int
        Exceptions they have raised.
    """

    def __init__(self, what: str) -> None:
        self.errors = 0
        self._what = what
        self._entries: tuple[tuple[Callable[[T], object]], ...] = ()
        self._logged_at = -_LOG_PAUSE_S

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Add a callback; the function that is returned takes it out again."""
        if not callable(callback):
            raise TypeError(f"expected a callable, got {callback!r}")
        if inspect.iscoroutinefunction(callback):
            raise TypeError(
                f"expected a plain function, got the coroutine function {callback!r}: "
                "nobody would await it; use `async for`, or create a task in the callback"
            )
        entry = (callback,)  # with an identity of its own: the same function may be added twice
        self._entries = (*self._entries, entry)

        def remove() -> None:
            self._entries = tuple(other for other in self._entries if other is not entry)

        return remove

    def __call__(self, argument: T) -> None:
        """Call all; an exception is counted, and logged at most once a second.

        `SystemExit` and `KeyboardInterrupt` are raised from the loop itself: through the transport that called
        they would only break the connection.
        """
        for (callback,) in self._entries:
            try:
                callback(argument)
            except (SystemExit, KeyboardInterrupt) as leave:
                try:
                    asyncio.get_running_loop().call_soon(_raise, leave)
                except RuntimeError:  # no loop, no transport
                    raise leave from None
            except (
                BaseException
            ):  # also CancelledError, which speaks of something of the callback's
                self.errors += 1
                now = time.monotonic()
                if now - self._logged_at >= _LOG_PAUSE_S:
                    self._logged_at = now
                    _logger.exception(
                        "%s callback %r raised (%d errors so far)",
                        self._what,
                        callback,
                        self.errors,
                    )


def _raise(error: BaseException) -> None:
    raise error
