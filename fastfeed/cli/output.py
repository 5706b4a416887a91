"""Ticks as text on standard output: CSV and JSON lines, complete and in order.

The loop formats whatever the ring holds, and reads from the network again only after that: a producer that is too
fast is held back by TCP and loses nothing. A reader of the pipe that is too slow is waited for while the loop goes
on; once the ring is half full the loop waits as well, which holds the producer back in the same way.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import msgspec
import numpy as np

from fastfeed._core.symbols import SymbolTable
from fastfeed.cli.stop import Stop
from fastfeed.schema import Flags
from fastfeed.stream import Reader, Rows, Stream

__all__ = ["FIELDS", "Csv", "Format", "JsonLines", "Output", "Stalled", "write_all"]

#: The fields of a tick, in the order of the columns.
FIELDS = (
    "symbol",
    "time",
    "price",
    "volume",
    "turnover",
    "side",
    "seq",
    "kind",
    "flags",
    "recv_ns",
    "time_ns",
    "gateway_ns",
)

_CHUNK = 2048  # rows formatted at once: some 5 ms, 300 kB of text
_PIPE_PIECE = select.PIPE_BUF  # a pipe that polls as writable takes so much without blocking
_FILE_PIECE = 1 << 20
_RETRY_S = 0.002
_BLOCK_MS = 50
_IDLE_S = 0.5  # between two looks at a quiet pipe: is anybody there?
_PATIENCE_S = 2.0  # after the request to end

_SIDES: dict[int, str] = {1: "buy", -1: "sell"}
_FLAG_WORDS = tuple(
    "|".join(flag.name.lower() for flag in Flags if value & flag and flag.name)
    for value in range(256)
)


class Format(Protocol):
    """Rows to text."""

    header: ClassVar[bytes]

    def __call__(self, rows: Rows) -> bytes:
        """Return the lines of some rows."""


class _Columns:
    """What both formats need of the columns."""

    def __init__(self, symbols: SymbolTable) -> None:
        self._symbols = symbols
        self._names: list[str] = []

    def _name(self, symbol: str) -> str:
        return symbol

    def names(self, rows: Rows) -> list[str]:
        ids = rows["symbol"].tolist()
        names = self._names
        if len(names) < len(self._symbols):
            names += [self._name(self._symbols[i]) for i in range(len(names), len(self._symbols))]
        return [names[i] for i in ids]

    @staticmethod
    def times(rows: Rows, unknown: Any) -> list[Any]:
        time_ns = rows["time_ns"]
        texts: list[Any] = np.datetime_as_string(
            (time_ns // 1000).view("M8[us]"), timezone="UTC"
        ).tolist()
        if not time_ns.all():
            for i in np.flatnonzero(time_ns == 0).tolist():
                texts[i] = unknown
        return texts


class Csv(_Columns):
    """Comma-separated values, a line a tick; what is unknown is empty."""

    header: ClassVar[bytes] = (",".join(FIELDS) + "\n").encode()

    def _name(self, symbol: str) -> str:
        if any(c in symbol for c in ',"\r\n'):
            return '"' + symbol.replace('"', '""') + '"'
        return symbol

    def __call__(self, rows: Rows) -> bytes:
        """Return the lines of some rows; floats in their shortest form that reads back as the same double."""
        columns = (
            self.names(rows),
            self.times(rows, ""),
            _reprs(rows["price"]),
            _reprs(rows["volume"]),
            _reprs(rows["turnover"]),
            [_SIDES.get(side, "") for side in rows["side"].tolist()],
            map(str, rows["seq"].tolist()),
            map(str, rows["kind"].tolist()),
            [_FLAG_WORDS[flags] for flags in rows["flags"].tolist()],
            map(str, rows["recv_ns"].tolist()),
            map(str, rows["time_ns"].tolist()),
            map(str, rows["gateway_ns"].tolist()),
        )
        lines = list(map(",".join, zip(*columns, strict=True)))
        lines.append("")
        return "\n".join(lines).encode()


class Line(msgspec.Struct, gc=False):
    """A tick as one JSON object."""

    symbol: str
    time: str | None
    price: float
    volume: float
    turnover: float
    side: str | None
    seq: int
    kind: int
    flags: str | None
    recv_ns: int
    time_ns: int
    gateway_ns: int


class JsonLines(_Columns):
    """JSON, an object a line; what is empty in CSV is null."""

    header: ClassVar[bytes] = b""

    def __init__(self, symbols: SymbolTable) -> None:
        super().__init__(symbols)
        self._encode = msgspec.json.Encoder().encode_lines

    def __call__(self, rows: Rows) -> bytes:
        """Return the lines of some rows."""
        return self._encode(
            map(
                Line,
                self.names(rows),
                self.times(rows, None),
                rows["price"].tolist(),
                rows["volume"].tolist(),
                rows["turnover"].tolist(),
                [_SIDES.get(side) for side in rows["side"].tolist()],
                rows["seq"].tolist(),
                rows["kind"].tolist(),
                [_FLAG_WORDS[flags] or None for flags in rows["flags"].tolist()],
                rows["recv_ns"].tolist(),
                rows["time_ns"].tolist(),
                rows["gateway_ns"].tolist(),
            )
        )


def _reprs(values: Any) -> list[str]:
    texts = list(map(repr, values.tolist()))
    missing = np.isnan(values)
    if missing.any():
        for i in np.flatnonzero(missing).tolist():
            texts[i] = ""
    return texts


class Stalled(Exception):
    """The end was requested and nobody takes the rest of the output."""


class Output:
    """A file descriptor that is written completely or not at all silently.

    Its flags are left alone (others may share the open file), so it stays in blocking mode: it is asked
    before each piece whether it would take it.
    """

    def __init__(self, fd: int, stop: Stop) -> None:
        self._fd = fd
        self._stop = stop
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._piece = _FILE_PIECE if stat.S_ISREG(os.fstat(fd).st_mode) else _PIPE_PIECE

    @property
    def closed(self) -> bool:
        """Whether nobody can read any more what is written."""
        return any(event & (select.POLLERR | select.POLLNVAL) for _, event in self._poll.poll(0))

    async def write(self, data: bytes, behind: Callable[[], bool]) -> None:
        """Write everything.

        Parameters
        ----------
        data
        behind
            Asked while there is no room: is it better to hold up the loop than to let it read on?

        Raises
        ------
        BrokenPipeError
            Nobody reads.
        Stalled
            The end was requested, and for some time nothing could be written.
        """
        rest = memoryview(data)
        waiting_since = 0.0
        while rest:
            written = 0
            if self._poll.poll(0):
                try:
                    written = os.write(self._fd, rest[: self._piece])
                except BlockingIOError:  # somebody else made it non-blocking
                    await asyncio.sleep(_RETRY_S)
            if written:
                rest = rest[written:]
                waiting_since = 0.0
                continue
            if self._stop.requested:
                now = time.monotonic()
                waiting_since = waiting_since or now
                if now - waiting_since > _PATIENCE_S:
                    raise Stalled
            if behind():
                self._poll.poll(_BLOCK_MS)
            else:
                await asyncio.sleep(_RETRY_S)


async def write_all(
    stream: Stream,
    reader: Reader,
    form: Format,
    output: Output,
    *,
    stop: Stop,
    limit: int | None = None,
) -> int:
    """Write every tick of a stream until the end is requested or so many are written.

    Returns
    -------
    int
        How many were written.
    """

    def behind() -> bool:
        return reader.ready > stream.capacity // 2

    await output.write(form.header, behind)
    written = 0
    end: int | None = None
    while limit is None or written < limit:
        if end is None and stop.requested:
            end = stream.count
        most = _CHUNK if limit is None else min(_CHUNK, limit - written)
        if end is not None:
            most = min(most, max(0, end - reader.position))
        rows = reader.read(most)
        if len(rows):
            text = form(rows)
            await output.write(text, behind)
            written += len(rows)
        elif end is not None or stream.ended:
            break
        elif output.closed:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        else:
            await reader.wait(_IDLE_S)
    return written
