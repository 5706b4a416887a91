"""Rows as text on standard output: CSV and JSON lines, complete and in order.

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
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from fastfeed._core.symbols import SymbolTable
from fastfeed.cli.columns import FIELDS, texts_of, values_of
from fastfeed.cli.stop import Stop
from fastfeed.schema import BOOK_DEPTH, dtype
from fastfeed.stream import Reader, Rows, Stream

__all__ = ["Csv", "Format", "JsonLines", "Output", "Source", "Stalled", "write_all"]

_CHUNK = 2048  # rows formatted at once: some 5 ms, 300 kB of text
_PIPE_PIECE = select.PIPE_BUF  # a pipe that polls as writable takes so much without blocking
_FILE_PIECE = 1 << 20
_RETRY_S = 0.002
_BLOCK_MS = 50
_IDLE_S = 0.5  # between two looks at a quiet pipe: is anybody there?
_PATIENCE_S = 2.0  # after the request to end


class Format(Protocol):
    """Rows to text."""

    header: bytes

    def __call__(self, rows: Rows) -> bytes:
        """Return the lines of some rows."""


class Csv:
    """Comma-separated values, a line a row; what is unknown is empty.

    Parameters
    ----------
    symbols : SymbolTable
    stream : str
    depth : int
        Of books.
    """

    header: bytes = (",".join(FIELDS) + "\n").encode()

    def __init__(
        self,
        symbols: SymbolTable,
        stream: str = "ticks",
        depth: int = BOOK_DEPTH,
        *,
        sessions: bool = False,
    ) -> None:
        columns = texts_of(stream, dtype(stream, depth), symbols, sessions=sessions)
        self.header = (",".join(columns) + "\n").encode()
        self._columns = tuple(columns.values())

    def __call__(self, rows: Rows) -> bytes:
        """Return the lines of some rows; floats in their shortest form that reads back as the same double."""
        columns = [column(rows) for column in self._columns]
        lines = list(map(",".join, zip(*columns, strict=True)))
        lines.append("")
        return "\n".join(lines).encode()


class JsonLines:
    """JSON, an object a line; what is empty in CSV is null.

    Parameters
    ----------
    symbols : SymbolTable
    stream : str
    depth : int
        Of books.
    tagged : bool
        Each object begins with the name of its stream.
    """

    header: bytes = b""

    def __init__(
        self,
        symbols: SymbolTable,
        stream: str = "ticks",
        depth: int = BOOK_DEPTH,
        *,
        tagged: bool = False,
        sessions: bool = False,
    ) -> None:
        columns = values_of(stream, dtype(stream, depth), symbols, sessions=sessions)
        self._columns = tuple(columns.values())
        self._line = msgspec.defstruct(
            "Line",
            [(name, Any) for name in columns],
            gc=False,
            tag_field="stream" if tagged else None,
            tag=stream if tagged else None,
        )
        self._encode = msgspec.json.Encoder().encode_lines

    def __call__(self, rows: Rows) -> bytes:
        """Return the lines of some rows."""
        return self._encode(map(self._line, *[column(rows) for column in self._columns]))


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


class Source(NamedTuple):
    """A stream that is written: its own reader, and how its rows become text."""

    stream: Stream
    reader: Reader
    form: Format

    @property
    def behind(self) -> bool:
        """Whether the reader is so far behind that it might lose rows."""
        return self.reader.ready > self.stream.capacity // 2


async def write_all(
    sources: Sequence[Source], output: Output, *, stop: Stop, limit: int | None = None
) -> int:
    """Write every row of some streams until the end is requested or so many are written.

    Rows of one stream stay in their order; those of several come by turns, some at a time.

    Returns
    -------
    int
        How many were written.
    """

    def behind() -> bool:
        return any(source.behind for source in sources)

    for source in sources:
        await output.write(source.form.header, behind)
    written = 0
    ends: list[int] | None = None
    while limit is None or written < limit:
        if ends is None and stop.requested:
            ends = [source.stream.count for source in sources]
        before = written
        for i, (_, reader, form) in enumerate(sources):
            most = _CHUNK if limit is None else min(_CHUNK, limit - written)
            if ends is not None:
                most = min(most, max(0, ends[i] - reader.position))
            rows = reader.read(most)
            if len(rows):
                text = form(rows)
                await output.write(text, behind)
                written += len(rows)
        if written > before:
            continue
        if ends is not None or any(source.stream.ended for source in sources):
            break
        if output.closed:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        await _wait([source.reader for source in sources], _IDLE_S)
    return written


async def _wait(readers: Sequence[Reader], timeout: float) -> None:
    """Wait until one of the readers has rows."""
    if len(readers) == 1:
        await readers[0].wait(timeout)
        return
    tasks = [asyncio.ensure_future(reader.wait(timeout)) for reader in readers]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
