"""Trades that were missed during an interruption: fetched, put in their place, and told about.

An interruption begins when a connection is lost. From then on the machine *holds* the ticks of each symbol: what
arrives live waits, until what was missed before it has been pulled (17). LongPort allows few requests a second, so
with many symbols that may take long: live ticks of a symbol whose turn has not come after two seconds follow at
once, and what was missed is written when it comes, marked as older than what was delivered before it.

Trades have no numbers. Of the second of the last trade before the interruption it is known how many were delivered;
a live trade that says the same as one that was pulled is taken to be that one, as often as it was pulled. Pushes may
lag behind a pull, so that goes on for some seconds. At most 1000 trades can be pulled, and fewer are all there are;
what lies before 1000 is lost, and the `gap` event says so. Where the next interruption comes before what was missed
in this one has been written, both are one.

Quotes, books and broker queues are states: the gateway sends them anew.
"""

from __future__ import annotations

import asyncio
from bisect import bisect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfeed._core.longport import LongportMachine
from fastfeed.errors import ConnectError, FastfeedError
from fastfeed.feeds.recovery import Recovery
from fastfeed.protocols.longport_codes import CALLS_AT_ONCE, MOST_TRADES
from fastfeed.schema import Flags
from fastfeed.stream import Rows

if TYPE_CHECKING:
    from fastfeed.feeds.longport import LongPort

__all__ = ["LongportRecovery"]

_HOLD_S = 2.0  # live ticks wait no longer
_SETTLE_S = 5.0  # how far pushes may lag behind a pull
_SECOND_NS = 10**9
#: What a trade says, of its row; as said_by() in _core/longport.pyx.
_SAID = ["time_ns", "price", "volume", "side", "kind", "session"]


class LongportRecovery(Recovery["LongPort", LongportMachine]):
    """See the head of this file; parameters are those of `Recovery`."""

    def __init__(self, feed: LongPort, machine: LongportMachine, tell: Callable[..., None]) -> None:
        super().__init__(feed, machine, tell)
        # What waits of these has holes, of interruptions in between.
        self._in_pieces: set[int] = set()
        self._waited_s = 0.0  # for recoveries that were cut short, one after the other
        self._timers: dict[int, asyncio.TimerHandle] = {}  # by symbol, until pushes lag no more

    def hold(self, symbols: Iterable[str]) -> None:
        """Let the ticks of symbols wait: an interruption has begun."""
        self._interruptions += 1
        numbers = [self._feed.symbols.intern(symbol) for symbol in symbols]
        self._in_pieces |= {
            number
            for number in numbers
            if self._machine.is_held(number) and number not in self._timers
        }
        for number in list(self._timers):
            self._stop_timer(number)
        self._machine.hold(numbers)

    def give_up(self, symbol: str) -> None:
        """Let go of a symbol that nobody wants any more; what waited is forgotten."""
        if symbol in self._feed.symbols:
            number = self._feed.symbols[symbol]
            self._stop_timer(number)
            self._in_pieces.discard(number)
            self._machine.give_up(number)

    async def recover(self, symbols: Iterable[str], since_ns: int) -> None:
        """Fetch the trades that were missed since the interruption began, and tell about the gap.

        Returns early, with the ticks still held, when the connection is lost: the next one goes on from here.
        """
        symbols = tuple(symbols)
        filled: dict[str, int] = {}

        places = asyncio.Semaphore(CALLS_AT_ONCE)  # so that none waits for all others' calls

        async def one(symbol: str) -> None:
            try:
                async with places:
                    fetched = await self._fill(symbol, since_ns)
            except ConnectError:
                return  # the next connection goes on
            if fetched is not None:
                filled[symbol] = fetched

        loop, interruptions = asyncio.get_running_loop(), self._interruptions
        begun = loop.time()
        impatience = loop.call_later(max(0.0, _HOLD_S - self._waited_s), self._follow, symbols)
        try:
            await asyncio.gather(*map(one, symbols))
        finally:  # also when the next interruption cuts it short
            impatience.cancel()
            self._waited_s += loop.time() - begun
            if interruptions == self._interruptions:
                self._waited_s = 0.0
            self._tell_filled(filled, since_ns)

    def _follow(self, symbols: tuple[str, ...]) -> None:
        for symbol in symbols:
            self._machine.follow(self._feed.symbols.intern(symbol))

    async def _fill(self, symbol: str, since_ns: int) -> int | None:
        """Write what was missed of a symbol and what waited, and let it go. Returns the number of ticks fetched when
        nothing is missing; otherwise tells about the gap."""
        machine, number = self._machine, self._feed.symbols.intern(symbol)
        self._tell_overflow(symbol)
        if not machine.is_held(number):
            return None
        interruption = self._interruptions
        last_ns, delivered = machine.trades_of_last_second(number)
        if not last_ns:  # what came before the interruption was not missed
            last_ns = since_ns // _SECOND_NS * _SECOND_NS - 1
        pulled = self._feed.ticks.latest(0).copy()
        reason = ""
        try:
            pulled = await self._feed.get_ticks(symbol, MOST_TRADES)
        except ConnectError:
            raise
        except FastfeedError as refused:
            reason = str(refused)
        self._tell_overflow(symbol)
        if interruption != self._interruptions or not machine.is_held(number):
            # What was pulled is from before the next interruption, whose end is waited for; or given up meanwhile.
            return None
        waited = np.frombuffer(bytes(machine.take_held(number)), self._feed.ticks.dtype)
        pulled["flags"] |= np.uint8(Flags.BACKFILLED)
        missed, late, rows = merged(
            pulled, waited, last_ns, delivered, in_pieces=number in self._in_pieces
        )
        self._in_pieces.discard(number)
        of_last = int(np.count_nonzero(pulled["time_ns"] == last_ns))
        is_closed = bool(np.any(pulled["time_ns"] < last_ns)) or (
            len(pulled) < MOST_TRADES and of_last >= delivered and not reason
        )
        if machine.is_followed(number):  # those that waited have been written
            missed["flags"] |= np.uint8(Flags.STALE)
            rows = missed
        if not is_closed and len(pulled):
            # What waited since an earlier interruption may be before it.
            reached = rows[rows["time_ns"] >= pulled["time_ns"][0]]
            reached["flags"][:1] |= np.uint8(Flags.GAP)
            rows[len(rows) - len(reached) :] = reached
        machine.settle(number, rows.tobytes(), late.tobytes(), gap=not is_closed)
        self._stop_timer(number)
        self._timers[number] = asyncio.get_running_loop().call_later(
            _SETTLE_S, self._settled, number
        )
        if is_closed and not reason:
            return len(missed)
        reason = reason or (
            f"{len(missed)} ticks were fetched, which do not reach back to the last one before"
        )
        later = rows if len(rows) else waited  # which may have followed already
        first_ns = int(later["time_ns"][0]) if len(later) else 0
        if len(pulled):
            first_ns = max(first_ns, int(pulled["time_ns"][0]))
        self._tell_hole(symbol, last_ns, first_ns, len(missed), reason)
        return None

    def _stop_timer(self, number: int) -> None:
        if number in self._timers:
            self._timers.pop(number).cancel()

    def _settled(self, number: int) -> None:
        del self._timers[number]
        self._machine.settled(number)


def merged(
    pulled: Rows, waited: Rows, last_ns: int, delivered: int, *, in_pieces: bool = False
) -> tuple[Rows, Rows, Rows]:
    """Return the trades that only the pull has, of these the ones that may still come live, and all that follow the
    interruption, each once: of a trade that came live as well, that row is taken.

    Parameters
    ----------
    pulled, waited
        In the order of time, and as they came.
    last_ns, delivered
        The time of the last trade before the interruption, and how many of that time were delivered.
    in_pieces
        Trades may be missing between those that waited.
    """
    is_after = pulled["time_ns"] > last_ns
    of_last = np.flatnonzero(pulled["time_ns"] == last_ns)
    is_after[of_last[delivered:]] = True
    after = pulled[is_after]
    places = _places(_said(after), _said(waited), in_pieces)
    rows, is_missed = after.copy(), np.ones(len(after), bool)
    before = np.empty(len(waited), np.int64)  # a trade of the pull that each of them precedes
    following = len(after)
    for i in reversed(range(len(waited))):
        if places[i] >= 0:
            following = places[i]
            rows[following] = waited[i]
            is_missed[following] = False
        before[i] = following
    is_new = np.array(places, np.int64) < 0
    together = np.empty(len(rows) + np.count_nonzero(is_new), pulled.dtype)
    together[: len(rows)], together[len(rows) :] = rows, waited[is_new]
    order = np.concatenate((2 * np.arange(len(rows)) + 1, 2 * before[is_new]))
    # Pushes come in order: what the pull has before the last one that came will not come any more.
    may_come = is_missed & (np.arange(len(after)) > max(places, default=-1))
    return after[is_missed], after[may_come], together[np.lexsort((order, together["time_ns"]))]


def _places(pulled: list[Any], waited: list[Any], in_pieces: bool) -> list[int]:
    """Return which trade of a pull each of those is that came live, -1: none of them."""
    first = waited[0] if waited and not in_pieces else None
    for start in (i for i, said in enumerate(pulled) if said == first):
        count = min(len(waited), len(pulled) - start)
        if pulled[start : start + count] == waited[:count]:
            return [*range(start, start + count)] + [-1] * (len(waited) - count)
    # No run of trades, or their order is another.
    left: dict[Any, list[int]] = {}
    for place, said in enumerate(pulled):
        left.setdefault(said, []).append(place)
    places, last = [], -1
    for said in waited:
        place = -1
        if some := left.get(said):
            next_one = bisect(some, last)
            place = some.pop(next_one if next_one < len(some) else 0)
            last = max(last, place)
        places.append(place)
    return places


def _said(rows: Rows) -> list[Any]:
    said: list[Any] = rows[_SAID].tolist()
    return said
