"""Who gets one price wrong."""

from __future__ import annotations

from typing import Any

import fastfeed as ff
from fastfeed.bench.fanout_ends import PipeWriter
from fastfeed.bench.opend_clients import Reading


class Wrong(Reading):
    """The last price is a little higher."""

    def rows(self, count: int) -> tuple[list[str], Any]:
        symbols, rows = super().rows(count)
        rows["price"][-1] += 0.01
        return symbols, rows


class WrongPipe(PipeWriter):
    """A writer whose prices are all 0."""

    def complete(self, readers: int) -> None:
        super().complete(readers)
        send = self.send
        at = ff.dtype("ticks").fields["price"][1]
        self.send = lambda row: send(row[:at] + bytes(8) + row[at + 8 :])
