"""When a command that would run for ever ends: a signal, a time, or a count."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Self

__all__ = ["Stop"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_S = 0.2  # timeout(1) signals a process, and at once its group: that is one request


class Stop:
    """A request to end, made by SIGINT, SIGTERM, SIGHUP, `after()` or `request()`.

    A context manager that holds the signals' handlers. `requested` tells at once, also while the loop is
    busy, so that code which blocks can look at it. A second signal, a moment later, is not held back any more: it
    ends the process the default way.

    Parameters
    ----------
    wake : callable, optional
        Called once on the loop when the end is requested.
    """

    def __init__(self, wake: Callable[[], object] | None = None) -> None:
        self._requested = False
        self._deadline = math.inf
        self._loop = asyncio.get_running_loop()
        self._wake = wake
        self._event = asyncio.Event()
        self._before: dict[signal.Signals, Any] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._signalled_s = math.inf

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:  # nohup, a shell's background job
                self._before[number] = before
                signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, before in self._before.items():
            signal.signal(number, before)

    @property
    def requested(self) -> bool:
        """Whether it is time to end."""
        return self._requested or time.monotonic() >= self._deadline

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled_s == math.inf:
            self._signalled_s = now
            self._requested = True
            self._loop.call_soon_threadsafe(self._request_by_signal)
        elif now - self._signalled_s >= _SAME_S:
            self._let_go()
            signal.raise_signal(number)

    def _request_by_signal(self) -> None:
        self._loop.call_later(_SAME_S, self._let_go)  # whatever blocks then can be ended
        self.request()

    def _let_go(self) -> None:
        """Let the next signal end the process."""
        for held in self._before:
            if signal.getsignal(held) == self._on_signal:
                signal.signal(held, signal.SIG_DFL)

    def request(self) -> None:
        """End."""
        self._requested = True
        if not self._event.is_set():
            self._event.set()
            if self._wake is not None:
                self._wake()

    def after(self, seconds: float | None) -> None:
        """End in some seconds, with None never."""
        if seconds is not None:
            self._deadline = time.monotonic() + seconds
            self._timer = self._loop.call_later(seconds, self.request)

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()

    async def race(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Do some work unless the end comes first.

        Returns
        -------
        bool
            Whether the work was done; otherwise it was cancelled.
        """
        task = asyncio.ensure_future(work)
        end = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait((task, end), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            end.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
