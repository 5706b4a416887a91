"""What was missed during an interruption: fetched, put in order, and told about.

An interruption begins when a connection is lost, or when OpenD says that it has lost its quote server. From
then on the machine *holds* the ticks of each symbol: what arrives live waits, until what was missed before it
has been pulled (3010) and both can be written in the order of their sequence. The machine drops what was
delivered before. OpenD's cache gives at most 1000 ticks; what lies before them is lost, and the `gap` event
says between which two ticks. So it does when OpenD's sequences begin anew, and cannot be compared.

Bars and points of the minute line that ended meanwhile are pulled as well. Quotes, books and broker queues are
states: OpenD pushes them anew when their pushes are registered.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fastfeed._core.opend import OpendMachine
from fastfeed.errors import ConnectError, FastfeedError
from fastfeed.feeds.opend_pulls import Adjust
from fastfeed.feeds.recovery import Recovery
from fastfeed.protocols.opend_codes import interval
from fastfeed.schema import Flags
from fastfeed.stream import Rows

if TYPE_CHECKING:
    from fastfeed.feeds.opend import OpenD

__all__ = ["OpendRecovery"]

_PULLS = (100, 1000)  # ticks asked for, until the hole is closed
_MOST_BARS = 1000
_AT_ONCE = 8  # symbols
_BACKFILLED = np.uint8(Flags.BACKFILLED)


class OpendRecovery(Recovery["OpenD", OpendMachine]):
    """See the head of this file; further parameters are those of `Recovery`.

    Parameters
    ----------
    adjust
        As the feed's bars are.
    """

    def __init__(
        self, feed: OpenD, machine: OpendMachine, tell: Callable[..., None], *, adjust: Adjust
    ) -> None:
        super().__init__(feed, machine, tell)
        self._adjust: Adjust = adjust

    def hold(self, symbols: Iterable[str]) -> None:
        """Let the ticks of symbols wait: an interruption has begun."""
        self._interruptions += 1
        self._machine.hold(self._feed.symbols[symbol] for symbol in symbols)

    def give_up(self, symbol: str) -> None:
        """Let go of a symbol that nobody wants any more; what waited is forgotten."""
        number = self._feed.symbols[symbol]
        if self._machine.is_held(number):
            self._machine.take_held(number)
            self._machine.release(number, b"", gap=True)

    async def recover(self, symbols: Iterable[str], kinds: Iterable[str], since_ns: int) -> None:
        """Fetch what was missed since the interruption began, and tell about the gap.

        Returns early, with the ticks still held, when the connection is lost: the next one goes on from here.
        """
        for kind in kinds:
            stream, _, length = kind.partition(":")
            if stream == "ticks":
                await self._ticks(tuple(symbols), since_ns)
            elif stream == "bars":
                await self._together(symbols, partial(self._bars, length=length, since_ns=since_ns))
            elif stream == "timeshare":
                await self._together(symbols, partial(self._timeshare, since_ns=since_ns))

    async def _ticks(self, symbols: tuple[str, ...], since_ns: int) -> None:
        filled: dict[str, int] = {}

        async def one(symbol: str) -> None:
            fetched = await self._fill(symbol)
            if fetched is not None:
                filled[symbol] = fetched

        try:
            await self._together(symbols, one)
        finally:  # also when the next interruption cuts it short
            self._tell_filled(filled, since_ns)

    async def _fill(self, symbol: str) -> int | None:
        """Write what was missed of a symbol and what waited, and let it go. Returns the number of ticks fetched when
        nothing is missing; otherwise tells about the gap."""
        machine, number = self._machine, self._feed.symbols[symbol]
        self._tell_overflow(symbol)
        if not machine.is_held(number):
            return None
        interruption = self._interruptions
        last, last_ns = machine.last_tick(number)
        pulled: Rows | None = None
        error: FastfeedError | None = None
        closed = last < 0  # before the first tick ever seen there is nothing to miss
        anew = False
        try:
            for n in _PULLS:
                pulled = await self._feed.get_ticks(symbol, n)
                anew = begun_anew(pulled, last, last_ns)
                # A short answer proves nothing: OpenD may have begun only now.
                reaches_back = len(pulled) > 0 and int(pulled["seq"][0]) <= last and not anew
                closed = closed or reaches_back
                if closed or len(pulled) < n:
                    break
        except ConnectError:
            raise
        except FastfeedError as refused:
            error = refused
        self._tell_overflow(symbol)
        if interruption != self._interruptions or not machine.is_held(number):
            # What was pulled is from before the next interruption, whose end is waited for; or given up meanwhile.
            return None
        waited = np.frombuffer(bytes(machine.take_held(number)), self._feed.ticks.dtype)
        if anew or begun_anew(waited, last, last_ns):
            anew, closed, last = True, False, -1
            waited = waited[waited["time_ns"] > last_ns]
            pulled = None if pulled is None else pulled[pulled["time_ns"] > last_ns]
        rows, fetched = in_order(pulled, waited, last)
        machine.release(number, rows.tobytes(), gap=not closed, anew=anew)
        if closed and error is None:
            return fetched
        first_ns = int(rows["time_ns"][0]) if len(rows) else 0
        reason = f"{fetched} ticks were fetched, which do not reach back to the last one before"
        if error is not None:
            reason = str(error)
        elif anew:
            reason = f"OpenD's sequences begin anew, {fetched} ticks were fetched"
        self._tell_hole(symbol, last_ns, first_ns, fetched, reason)
        return None

    async def _bars(self, symbol: str, length: str, since_ns: int) -> None:
        """Write the bars that ended or changed since; the running one is pushed anyway."""
        seconds = interval(length).seconds
        n = min(_MOST_BARS, math.ceil((time.time_ns() - since_ns) / (seconds * 1e9)) + 1)
        rows = await self._feed.get_bars(symbol, length, n, adjust=self._adjust)
        self._write_missed("bars", rows[rows["time_ns"] > since_ns - seconds * 10**9])

    async def _timeshare(self, symbol: str, since_ns: int) -> None:
        rows = await self._feed.get_timeshare(symbol)
        self._write_missed("timeshare", rows[rows["time_ns"] > since_ns - 60 * 10**9])

    def _write_missed(self, stream: str, rows: Rows) -> None:
        rows["flags"] |= _BACKFILLED
        self._machine.write(self._feed.stream(stream).number, rows.tobytes())

    async def _together(
        self, symbols: Iterable[str], one: Callable[[str], Awaitable[object]]
    ) -> None:
        """Run a coroutine function for each symbol, a few at a time; errors become events."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def guarded(symbol: str) -> None:
            async with places:
                try:
                    await one(symbol)
                except ConnectError:
                    pass  # the next connection goes on
                except FastfeedError as error:
                    self._tell("error", str(error), code=error.code, symbols=(symbol,))

        await asyncio.gather(*map(guarded, symbols))


def begun_anew(rows: Rows, last: int, last_ns: int) -> bool:
    """Return whether there are later ticks than the last one known, and none that has its sequence or a higher one."""
    numbered = rows[rows["seq"] >= 0]
    if not len(numbered):
        return False
    return bool(numbered["seq"].max() < last and numbered["time_ns"].max() > last_ns)


def in_order(pulled: Rows | None, waited: Rows, last: int) -> tuple[Rows, int]:
    """Return the ticks behind sequence `last` in order, each once, and how many of them were missed.

    Those, pulled or sent by OpenD from its cache, are marked `Flags.BACKFILLED`; of a tick that is in both arrays
    the one that arrived by itself is taken. Ticks without a sequence come at the end.
    """
    pulled = waited[:0] if pulled is None else pulled
    rows = np.concatenate([waited, pulled])
    missed = (rows["flags"] & Flags.CACHED) != 0
    missed[len(waited) :] = True
    rows["flags"][missed] |= _BACKFILLED
    unnumbered = rows[: len(waited)][rows["seq"][: len(waited)] < 0]
    _, first = np.unique(rows["seq"], return_index=True)  # of equal ones the first: what waited
    first = first[rows["seq"][first] > max(last, -1)]
    fetched = int(np.count_nonzero(missed[first]))
    return np.concatenate([rows[first], unnumbered]), fetched
