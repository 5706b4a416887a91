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
from typing import Any, Protocol

import msgspec

from fastfeed._core.symbols import SymbolTable
from fastfeed.cli.chosen import ChosenReader
from fastfeed.cli.columns import FIELDS, texts_of, values_of
from fastfeed.cli.stop import Stop
from fastfeed.schema import BOOK_DEPTH, dtype
from fastfeed.stream import Reader, Rows, Stream

__all__ = [
    "Csv",
    "Format",
    "JsonLines",
    "Output",
    "Source",
    "Stalled",
    "StreamSource",
    "write_all",
]

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


class Source(Protocol):
    """Rows that become text, in their order."""

    @property
    def header(self) -> bytes:
        """What stands above them."""

    @property
    def behind(self) -> bool:
        """Whether rows might be lost if nothing is taken soon."""

    @property
    def ended(self) -> bool:
        """Whether no more rows will come."""

    def close(self) -> None:
        """Give no rows any more but those that are there now."""

    def take(self, most: int) -> tuple[int, bytes] | None:
        """Return how many of the next rows there are, at most so many, and their text; None if there is none."""

    async def wait(self, timeout: float) -> object:
        """Wait until there are rows, for some seconds."""


class StreamSource:
    """A stream of this process that is written: its own reader, and how its rows become text."""

    def __init__(self, stream: Stream, reader: Reader | ChosenReader, form: Format) -> None:
        self.stream = stream
        self.reader = reader
        self._form = form
        self._end: int | None = None

    @property
    def header(self) -> bytes:
        """The format's."""
        return self._form.header

    @property
    def behind(self) -> bool:
        """Whether the reader is so far behind that it might lose rows."""
        return self.reader.ready > self.stream.capacity // 2

    @property
    def ended(self) -> bool:
        """Whether the stream has ended."""
        return self.stream.ended

    def close(self) -> None:
        """Go up to the rows that are there now."""
        self._end = self.stream.count

    def take(self, most: int) -> tuple[int, bytes] | None:
        """Return the next rows as text."""
        if self._end is not None:
            most = min(most, max(0, self._end - self.reader.position))
        rows = self.reader.read(most)
        return (len(rows), self._form(rows)) if len(rows) else None

    async def wait(self, timeout: float) -> object:
        """Wait for the reader's rows."""
        return await self.reader.wait(timeout)


async def write_all(
    sources: Sequence[Source], output: Output, *, stop: Stop, limit: int | None = None
) -> int:
    """Write every row of some sources until the end is requested or so many are written.

    Rows of one source stay in their order; those of several come by turns, some at a time.

    Returns
    -------
    int
        How many were written.
    """

    def behind() -> bool:
        return any(source.behind for source in sources)

    for source in sources:
        await output.write(source.header, behind)
    written = 0
    ending = False
    while limit is None or written < limit:
        if not ending and stop.requested:
            ending = True
            for source in sources:
                source.close()
        idle = True
        for source in sources:
            most = _CHUNK if limit is None else min(_CHUNK, limit - written)
            taken = source.take(most) if most else None
            if taken is not None:
                idle = False
                count, text = taken
                await output.write(text, behind)
                written += count
        if not idle:
            continue
        if ending or any(source.ended for source in sources):
            break
        if output.closed:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        await _wait(sources, _IDLE_S)
    return written


async def _wait(sources: Sequence[Source], timeout: float) -> None:
    """Wait until one of the sources has rows."""
    if len(sources) == 1:
        await sources[0].wait(timeout)
        return
    tasks = [asyncio.ensure_future(source.wait(timeout)) for source in sources]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
