"""The codes that one connection to AllTick is subscribed to, of one kind.

AllTick knows no "add" and no "remove": a request replaces the whole list. So changes are collected, and the list
that comes of them is sent when a request is allowed again. A list with a code that AllTick does not like is refused
as a whole; it is divided until it is known which codes are the reason.

The list at AllTick ends with the connection, and so does a `CodeList`: what still waits in it fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from fastfeed.errors import FastfeedError, RequestError
from fastfeed.protocols.alltick_codes import KINDS, UNSUBSCRIBE

__all__ = ["CodeList"]

_BAD_CODES = (600, 604)  # unknown, no right: one of the codes is the reason
_TOO_MANY = 603
_TOO_FAST = (429, 605)


class CodeList:
    """See the head of this file.

    Parameters
    ----------
    kind
        ``ticks`` or ``books``.
    request
        Sends a request with its number and data, and whether nothing of the kind was subscribed before; returns
        when it was granted, raises RequestError when it was refused and ConnectError when the connection ends.
    turn
        Returns when a request may be sent, and not before so many seconds; raises when the connection ends.
    give_up
        Ends the connection: it is not known what AllTick's list is.
    pauses_s
        After requests that came too fast.
    """

    def __init__(
        self,
        kind: str,
        request: Callable[[int, dict[str, Any], bool], Awaitable[None]],
        turn: Callable[[float], Awaitable[None]],
        give_up: Callable[[RequestError], None],
        pauses_s: Sequence[float],
    ) -> None:
        self._kind = KINDS[kind]
        self._request = request
        self._turn = turn
        self._give_up = give_up
        self._pauses_s = pauses_s
        self._changes: dict[str, bool] = {}  # of the next request: added or removed
        self._wanted: dict[str, None] = {}
        self._granted: dict[str, None] = {}
        # AllTick's own list; None when a refusal made it unknown.
        self._confirmed: list[str] | None = []
        self._changing = asyncio.Lock()
        self._next: asyncio.Task[dict[str, RequestError]] | None = None

    def __contains__(self, code: str) -> bool:
        """Whether a code is subscribed, and is to stay so."""
        return code in self._granted and self._changes.get(code, True)

    def needs(self, code: str) -> bool:
        """Return whether a code takes a place, or will."""
        return self._changes.get(code, code in self._wanted)

    def change(
        self, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> asyncio.Future[dict[str, RequestError]]:
        """Add codes and remove others; of several changes the last one counts. To be awaited: AllTick has answered.

        Returns
        -------
        dict
            Codes that were refused, and why.

        Raises
        ------
        RequestError
            AllTick refused for a reason that lies in none of the codes.
        ConnectError, RequestTimeout
            The connection has ended meanwhile.
        """
        self._changes.update(dict.fromkeys(add, True))
        self._changes.update(dict.fromkeys(remove, False))
        if self._next is None:
            self._next = asyncio.create_task(self._bring_about())
            self._next.add_done_callback(_ended)
        return asyncio.shield(self._next)

    async def _bring_about(self) -> dict[str, RequestError]:
        try:
            async with self._changing:
                await self._turn(0.0)
                self._next = None  # what changes from now on is the next request's
                changes, self._changes = self._changes, {}
                for code, is_added in changes.items():
                    if is_added:
                        self._wanted[code] = None
                    else:
                        self._wanted.pop(code, None)
                return await self._replace()
        finally:
            self._next = None if self._next is asyncio.current_task() else self._next

    async def _replace(self) -> dict[str, RequestError]:
        new = [code for code in self._wanted if code not in self._granted]
        good = [code for code in self._granted if code in self._wanted]
        refused: dict[str, RequestError] = {}
        failure: FastfeedError | None = None
        try:
            good = await self._grown(good, new, refused)
        except RequestError as error:
            failure = error
        finally:
            self._granted = dict.fromkeys(good)
            self._wanted = dict(self._granted)
        try:
            if self._confirmed != good:
                await self._ask(good)
        except FastfeedError as error:
            if isinstance(error, RequestError):
                self._give_up(error)
            raise failure or error from None
        if failure is not None:
            raise failure
        return refused

    async def _grown(
        self, good: list[str], new: list[str], refused: dict[str, RequestError]
    ) -> list[str]:
        """Ask for `new` besides `good`; return what was granted."""
        if not new:
            return good
        try:
            await self._ask(good + new)
        except RequestError as error:
            if error.code == _TOO_MANY or (error.code in _BAD_CODES and len(new) == 1):
                refused.update(dict.fromkeys(new, error))
                return good
            if error.code not in _BAD_CODES:
                raise
            half = len(new) // 2
            good = await self._grown(good, new[:half], refused)
            return await self._grown(good, new[half:], refused)
        return good + new

    async def _ask(self, codes: list[str]) -> None:
        was_empty = self._confirmed == []
        self._confirmed = None
        if codes:
            items = [{"code": code, **self._kind.item} for code in codes]
            number = self._kind.subscribe
            data: dict[str, Any] = {"symbol_list": items}
        else:
            number = UNSUBSCRIBE
            data = {"cancel_type": self._kind.cancel_type}
        for pause_s in (*self._pauses_s, None):
            try:
                await self._request(number, data, was_empty)
            except RequestError as error:
                if was_empty:  # then it still is
                    self._confirmed = []
                if error.code not in _TOO_FAST or pause_s is None:
                    raise
                await self._turn(pause_s)
            else:
                self._confirmed = codes
                return


def _ended(change: asyncio.Task[Any]) -> None:
    """Look at the outcome: those who waited for it may all have been cancelled."""
    if not change.cancelled():
        change.exception()
