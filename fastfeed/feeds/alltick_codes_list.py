"""The codes that one connection to AllTick is subscribed to, of one kind.

AllTick knows no "add" and no "remove": a request replaces the whole list. So changes are collected, and the list
that comes of them is sent when a request is allowed again. A list with a code that AllTick does not like is refused
as a whole; it is divided until it is known which codes are the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastfeed.errors import FastfeedError, RequestError
from fastfeed.protocols.alltick_codes import KINDS, UNSUBSCRIBE

__all__ = ["CodeList"]

_BAD_CODES = (600, 604)  # unknown, no right: one of the codes is the reason
_TOO_MANY = 603
_TOO_FAST = (429, 605)
_PAUSES_S = (2.0, 5.0, 10.0)  # after those


class CodeList:
    """See the head of this file.

    Parameters
    ----------
    kind
        ``ticks`` or ``books``.
    request
        Sends a request with its number and data; returns when it was granted, raises RequestError when it was
        refused and ConnectError when the connection ends.
    turn
        Returns when a request may be sent.
    """

    def __init__(
        self,
        kind: str,
        request: Callable[[int, dict[str, Any]], Awaitable[None]],
        turn: Callable[[], Awaitable[None]],
    ) -> None:
        self._kind = KINDS[kind]
        self._request = request
        self._turn = turn
        self._wanted: dict[str, None] = {}
        self._granted: dict[str, None] = {}
        self._confirmed: (
            list[str] | None
        ) = []  # AllTick's own list; None when a refusal made it unknown
        self._changing = asyncio.Lock()
        self._next: asyncio.Task[dict[str, RequestError]] | None = None

    def __len__(self) -> int:
        return len(self._wanted)

    def __contains__(self, code: str) -> bool:
        return code in self._wanted

    def clear(self) -> None:
        """Forget everything: the connection has ended, and the list with it."""
        self._wanted.clear()
        self._granted.clear()
        self._confirmed = []

    async def change(
        self, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> dict[str, RequestError]:
        """Add codes and remove others; return when AllTick has answered.

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
        self._wanted.update(dict.fromkeys(add))
        for code in remove:
            self._wanted.pop(code, None)
        if self._next is None:
            self._next = asyncio.create_task(self._bring_about())
        return await asyncio.shield(self._next)

    async def _bring_about(self) -> dict[str, RequestError]:
        try:
            async with self._changing:
                await self._turn()
                self._next = None  # what changes from now on is the next request's
                return await self._replace()
        finally:
            self._next = None if self._next is asyncio.current_task() else self._next

    async def _replace(self) -> dict[str, RequestError]:
        new = [code for code in self._wanted if code not in self._granted]
        refused: dict[str, RequestError] = {}
        good = [code for code in self._granted if code in self._wanted]
        try:
            good = await self._grown(good, new, refused)
        except FastfeedError:
            for code in new:
                self._wanted.pop(code, None)
            raise
        finally:
            self._granted = dict.fromkeys(good)
        for code in refused:
            self._wanted.pop(code, None)
        if self._confirmed != good:
            await self._ask(good)
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
        self._confirmed = None
        if codes:
            items = [{"code": code, **self._kind.item} for code in codes]
            number = self._kind.subscribe
            data: dict[str, Any] = {"symbol_list": items}
        else:
            number = UNSUBSCRIBE
            data = {"cancel_type": self._kind.cancel_type}
        for pause_s in (*_PAUSES_S, None):
            try:
                await self._request(number, data)
            except RequestError as error:
                if error.code not in _TOO_FAST or pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
            else:
                self._confirmed = codes
                return
