"""Bars of the past that come in pages, oldest first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeed.errors import RemoteProtocolError
from fastfeed.feeds.rows import joined
from fastfeed.schema import dtype

__all__ = ["HistoryBars"]

_MOST_BARS = 1_000_000  # in one array, when the caller sets no limit: 128 MB
_MOST_EMPTY_PAGES = 10  # in a row, and the server makes fun of us


class HistoryBars:
    """Bars of the past, asked for when awaited or iterated; made by `get_history_bars()` of a feed.

    ``await`` it for all bars in one array, or take it page by page with ``async for``: each page is an array of
    its own. Every use asks the vendor anew.
    """

    def __init__(
        self,
        page: Callable[[bytes], Awaitable[tuple[NDArray[np.void], bytes]]],
        limit: int | None,
        vendor: str,
    ) -> None:
        self._page = page
        self._limit = limit
        self._vendor = vendor

    def __await__(self) -> Generator[Any, None, NDArray[np.void]]:
        return self._all().__await__()

    def __aiter__(self) -> AsyncIterator[NDArray[np.void]]:
        return self._pages()

    async def _all(self) -> NDArray[np.void]:
        pages: list[NDArray[np.void]] = []
        bars = 0
        async for rows in self._pages():
            pages.append(rows)
            bars += len(rows)
            if self._limit is None and bars > _MOST_BARS:
                raise ValueError(
                    f"expected at most {_MOST_BARS:,} bars in one array, got more: "
                    "take them page by page with `async for`, or give a limit"
                )
        return joined(pages, dtype("bars"))

    async def _pages(self) -> AsyncIterator[NDArray[np.void]]:
        left = self._limit
        key = b""
        empty = 0
        while True:
            rows, next_key = await self._page(key)
            if left is not None:
                rows = rows[:left]
                left -= len(rows)
            if len(rows):
                empty = 0
                yield rows
            else:
                empty += 1
            if not next_key or left == 0:
                return
            if next_key == key or empty > _MOST_EMPTY_PAGES:
                raise RemoteProtocolError(
                    f"{self._vendor}'s history comes to no end: it names the same page again, or empty ones",
                    source=self._vendor.lower(),
                    data=next_key[:16],
                )
            key = next_key
