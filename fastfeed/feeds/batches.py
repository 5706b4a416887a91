"""Requests for many symbols: in batches, a few at a time, and divided where the vendor refuses them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from fastfeed.errors import RateLimitError, RemoteProtocolError, RequestError, SubscriptionError

__all__ = ["in_batches", "shown"]

_AT_ONCE = 4  # requests under way

Ask = Callable[[list[str]], Awaitable[object]]


class _Refused(NamedTuple):
    symbols: list[str]
    error: RequestError | None


_NOTHING = _Refused([], None)


async def in_batches(
    vendor: str,
    verb: str,
    symbols: list[str],
    ask: Ask,
    room: Callable[[], Awaitable[int]] | None = None,
    *,
    size: int,
) -> None:
    """Ask for all symbols; the refused ones make one error.

    Parameters
    ----------
    vendor, verb : str
        Who does what to the symbols, for the error.
    symbols : list of str
    ask : coroutine function
        Sends the request for some of them, and takes note when it is granted.
    room : coroutine function, optional
        For how many symbols there is quota left. With it, a refused request is divided until it is known
        which symbols are the reason.
    size : int
        Symbols in a request.

    Raises
    ------
    SubscriptionError
        Some were refused; all others are granted.
    FastfeedError
        What else a request ended with, once all have ended.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def attempt(batch: list[str]) -> _Refused:
        if not batch:
            return _NOTHING
        try:
            await ask(batch)
        except RateLimitError:
            raise
        except RequestError as error:
            if len(batch) == 1 or room is None:
                return _Refused(batch, error)
            return await divide(batch, error, room)
        return _NOTHING

    async def divide(
        batch: list[str], error: RequestError, room: Callable[[], Awaitable[int]]
    ) -> _Refused:
        try:
            fitting = await room()
        except (RequestError, RemoteProtocolError):
            return _Refused(batch, error)
        if fitting >= len(batch):  # one of them is the reason
            half = len(batch) // 2
            return _joined([await attempt(batch[:half]), await attempt(batch[half:])])
        first, others = await attempt(batch[:fitting]), batch[fitting:]
        probed = await attempt(others[:1])
        if probed.symbols:  # as good as certain: there is no quota for any of them
            return _joined([first, _Refused(others, probed.error)])
        return _joined([first, await attempt(others[1:])])

    async def one(batch: list[str]) -> _Refused:
        async with places:
            return await attempt(batch)

    batches = [symbols[i : i + size] for i in range(0, len(symbols), size)]
    outcomes = await asyncio.gather(*map(one, batches), return_exceptions=True)
    refused, error = _joined([o for o in outcomes if not isinstance(o, BaseException)])
    others = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if others:
        if refused:
            others[0].add_note(f"besides, {shown(refused)} were refused: {error}")
        raise others[0]
    if error is not None:
        raise SubscriptionError(
            f"{vendor} refused to {verb} {len(refused)} of {len(symbols)} symbols ({shown(refused)}): "
            f"{error.text} (code {error.code})",
            symbols=tuple(refused),
            code=error.code,
            text=error.text,
        )


def shown(symbols: Sequence[str]) -> str:
    """Return the first of some symbols for a text."""
    return ", ".join(symbols[:5]) + (", ..." if len(symbols) > 5 else "")


def _joined(parts: list[_Refused]) -> _Refused:
    errors = (part.error for part in parts if part.error is not None)
    return _Refused([symbol for part in parts for symbol in part.symbols], next(errors, None))
