"""What recoveries of missed ticks have in common: symbols whose ticks wait, and what is told of holes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from fastfeed._core.machine import HoldingMachine
from fastfeed.feeds.feed import Feed

__all__ = ["Recovery"]

F = TypeVar("F", bound=Feed)
M = TypeVar("M", bound=HoldingMachine)


class Recovery(Generic[F, M]):
    """Holds and fills for one feed.

    Parameters
    ----------
    feed
        Whose pulls fetch.
    machine
    tell
        Gets what an event is made of, see `Event`.
    """

    def __init__(self, feed: F, machine: M, tell: Callable[..., None]) -> None:
        self._feed = feed
        self._machine = machine
        self._tell = tell
        self._interruptions = 0

    def _tell_overflow(self, symbol: str) -> None:
        bounds = self._machine.take_overflow(self._feed.symbols[symbol])
        if bounds is not None:
            text = "too many ticks arrived to wait for what was missed"
            self._tell_hole(symbol, *bounds, 0, text)

    def _tell_hole(self, symbol: str, start_ns: int, end_ns: int, fetched: int, text: str) -> None:
        self._tell(
            "gap",
            f"{symbol}: {text}",
            symbols=(symbol,),
            start_ns=start_ns,
            end_ns=end_ns,
            rows=fetched,
        )

    def _tell_filled(self, filled: dict[str, int], since_ns: int) -> None:
        """Tell of symbols of which nothing is missing, with the numbers of their ticks that were fetched."""
        if filled:
            total = sum(filled.values())
            self._tell(
                "gap",
                f"{total} missed ticks were fetched, nothing is missing",
                symbols=tuple(filled),
                start_ns=since_ns,
                end_ns=time.time_ns(),
                rows=total,
                filled=True,
            )
