"""Who receives a replay: a feed, and a callback that takes the time and keeps what came."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastfeed as ff
from fastfeed._core.symbols import SymbolTable
from fastfeed.feeds.events import Event

__all__ = ["COLUMNS", "Received", "Receiver"]

#: What is kept of rows, beside their symbols.
COLUMNS = {"price": "f8", "volume": "f8", "side": "i1"}
_LOOK_S = 0.1  # between two looks at whether it is over
_KEYS: dict[str, Any] = {"app_key": "KEY", "app_secret": "secret", "access_token": "TOKEN"}


def _connect(vendor: str, port: int, options: dict[str, Any]) -> Any:
    if vendor == "opend":
        return ff.connect(f"opend://127.0.0.1:{port}", **options)
    if vendor == "longport":
        where = {"url": f"ws://127.0.0.1:{port}/v2", "http_url": f"http://127.0.0.1:{port}"}
        return ff.connect("longport://", **where, **_KEYS, **options)
    market = options.pop("market")
    url = f"ws://127.0.0.1:{port}/quote-{'stock-b' if market == 'stock' else 'b'}-ws-api"
    return ff.connect(
        f"alltick://{market}", token="benchmark", url=url, plan="professional", **options
    )


def _id(table: SymbolTable, symbol: str) -> int:
    """Return the id of a symbol, -1: it never came."""
    try:
        return table[symbol]
    except KeyError:
        return -1


def used() -> tuple[int, int]:
    """Return how much of the processor this process has used, and the time, in ns."""
    return time.process_time_ns(), time.monotonic_ns()


class Received:
    """The rows of a replay, as they come: room for all is made before.

    Parameters
    ----------
    most : int
        How many are expected.

    Attributes
    ----------
    count : int
        Rows that came, also those that there was no room for.
    largest : int
        Most rows of a call: so many was the stream's reader behind.
    ended : (int, int)
        When as many had come as are expected: `used` then; zeros before.
    """

    def __init__(self, most: int) -> None:
        self.count = 0
        self.largest = 0
        self.ended = (0, 0)
        self._most = most
        self._moments: list[int] = []
        self._sizes: list[int] = []
        self._columns = {name: np.zeros(most, kind) for name, kind in COLUMNS.items()}
        self._symbols = np.zeros(most, np.uint32)

    @property
    def complete(self) -> bool:
        """Whether as many came as are expected."""
        return self.count >= self._most

    def take(self, rows: npt.NDArray[Any]) -> None:
        """Take rows: the callback."""
        now = time.time_ns()
        size = len(rows)
        self._moments.append(now)
        self._sizes.append(size)
        self.largest = max(self.largest, size)
        start = self.count
        self.count = start + size
        if self.count > self._most:
            rows = rows[: max(self._most - start, 0)]
        end = start + len(rows)
        self._symbols[start:end] = rows["symbol"]
        for name, values in self._columns.items():
            values[start:end] = rows[name]
        if start < self._most <= self.count:
            self.ended = used()

    def last(self) -> int:
        """Return when the last rows came, epoch ns; 0: none came."""
        return self._moments[-1] if self._moments else 0

    def save(self, path: Path) -> None:
        """Write what came: ``moment`` and ``symbol`` of each row, and `COLUMNS`."""
        kept = min(self.count, self._most)
        moments = np.repeat(np.array(self._moments, np.int64), np.array(self._sizes, np.int64))
        columns: dict[str, Any] = {name: values[:kept] for name, values in self._columns.items()}
        np.savez(path, moment=moments[:kept], symbol=self._symbols[:kept], **columns)


class Receiver:
    """A worker's candidate: each round is a connection of its own.

    Parameters
    ----------
    vendor : {"opend", "alltick", "longport"}
    port : int
        The gateway's.
    symbols : list of str
        Of the tape, in its order.
    options : dict
        Of `fastfeed.connect`.
    patience_s : float
        How long to wait for a row when the last one should have come.
    """

    def __init__(
        self,
        vendor: str,
        port: int,
        symbols: list[str],
        options: dict[str, Any],
        patience_s: float,
    ) -> None:
        self._vendor = vendor
        self._port = port
        self._symbols = symbols
        self._options = options
        self._patience_s = patience_s

    def round(self, count: int, seconds: float, path: str) -> dict[str, Any]:
        """Receive so many rows.

        Parameters
        ----------
        count : int
        seconds : float
            How long they take to be sent.
        path : str
            Where to write them.

        Returns
        -------
        dict
            `rows`; `lost` from the ring; `largest`; `capacity` of the ring; `cpu_ns` used in
            `wall_ns`, from the subscription to the last row; `rejected` by reasons;
            `errors` of the callback; `ended`: how, ``"complete"``, ``"silence"``, ``"interrupted"`` or that the
            connection was lost; `ids`: of the symbols, in their order.
        """
        return ff.run(self._receive(count, seconds, Path(path)))

    async def _receive(self, count: int, seconds: float, path: Path) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        ended = ""
        received = Received(count)

        def end(why: str) -> None:
            nonlocal ended
            ended = ended or why

        def on_event(event: Event) -> None:
            if event.kind == "disconnected":
                end(f"the connection was lost: {event.text}")

        loop.add_signal_handler(signal.SIGINT, end, "interrupted")
        try:
            async with _connect(self._vendor, self._port, dict(self._options)) as feed:
                feed.on_event(on_event)
                feed.ticks.on_batch(received.take)
                await feed.subscribe(self._symbols, "ticks")
                cpu, started = used()
                until = started + int((seconds + self._patience_s) * 1e9)
                while not ended:
                    if received.complete:
                        end("complete")
                        break
                    await asyncio.sleep(_LOOK_S)
                    quiet_s = (time.time_ns() - received.last()) / 1e9
                    if time.monotonic_ns() > until and quiet_s > self._patience_s:
                        end("silence")
                cpu_end, wall_end = received.ended if received.complete else used()
                if ended == "complete":
                    await asyncio.sleep(_LOOK_S)  # for what should not come
                stats = feed.stats()
                found = {
                    "rows": received.count,
                    "lost": feed.ticks.lost,
                    "largest": received.largest,
                    "capacity": feed.ticks.ring.capacity,
                    "cpu_ns": cpu_end - cpu,
                    "wall_ns": max(wall_end - started, 1),
                    "rejected": stats["rejected"],
                    "ended": ended,
                    "errors": feed.ticks.callback_errors,
                    "ids": [_id(feed.symbols, symbol) for symbol in self._symbols],
                }
        finally:
            with contextlib.suppress(ValueError):
                loop.remove_signal_handler(signal.SIGINT)
        received.save(path)
        return found
