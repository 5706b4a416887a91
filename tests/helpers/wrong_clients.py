"""A receiver that gets one price wrong."""

from __future__ import annotations

from typing import Any

from fastfeed.bench.opend_clients import Reading


class Wrong(Reading):
    """The last price is a little higher."""

    def rows(self, count: int) -> tuple[list[str], Any]:
        symbols, rows = super().rows(count)
        rows["price"][-1] += 0.01
        return symbols, rows
