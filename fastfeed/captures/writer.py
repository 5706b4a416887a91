"""Who keeps in files what a feed receives, while it does.

The machines of the feed record on a tape in memory, without waiting for anybody. A thread of its own writes that to
the current segment. It needs the interpreter only between segments, where something goes wrong, and to compress.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import logging
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from fastfeed._core.machine import say_again
from fastfeed._core.player import gap_record, symbols_record
from fastfeed._core.tape import (
    ASKED,
    CELL,
    CODEC_NONE,
    CODEC_ZSTD,
    FULL,
    LAPPED,
    PIECE,
    REACHED,
    RECORD_MOST,
    Tape,
    own_chunk,
)
from fastfeed.captures.files import SUFFIX, Header, encode_header, segment_name, zstd
from fastfeed.errors import HubError, InternalError, StorageError
from fastfeed.hub import Hub
from fastfeed.schema import STREAMS, dtype
from fastfeed.shared import lock_file

__all__ = ["Capture", "Captured", "capture"]

_logger = logging.getLogger(__name__)

_RETRY_S = 0.5  # after a failure
_MOST_NAMES = RECORD_MOST // 96  # in a record: a name has up to 80 bytes


class Captured(Protocol):
    """A feed, as far as this needs to know it."""

    url: str
    hub: Hub

    def record_on(self, tape: Tape | None) -> None:
        """Have all machines record on a tape from now on, or nowhere."""

    @property
    def machine_options(self) -> tuple[str, str, dict[str, Any]]:
        """Return vendor, transport and what its machines are made with."""


def capture(
    feed: Any,
    path: str | os.PathLike[str],
    *,
    zstd: bool = False,
    segment_bytes: int = 1 << 30,
    buffer_bytes: int = 1 << 26,
    flush_s: float = 1.0,
) -> Capture:
    """Keep what a feed receives, and all else that makes its rows, from now until the capture is closed.

    Recorded are the bytes as they were received, with their times, but for the handshake, which has credentials; of
    an OpenD that encrypts, the plain packets. Besides, what the feed fetched for its rows (missed ticks, snapshots)
    and when. `Player` makes the same rows of it, bit for bit. Replies to requests are in it as well: who can read
    the files knows what the account may do and what it watches.

    The feed never waits for it. Where the disk is too slow for longer than the buffer lasts, or full, the capture has
    a gap: it is counted, written into the capture, and told by who reads it.

    Parameters
    ----------
    feed : Feed
        One that has not been opened yet.
    path : str or Path
        The folder. It is made where it is not there; one with something in it is refused.
    zstd : bool
        Compress; needs ``pip install 'fastfeed[arrow]'``. It takes some 3 ns a byte of another core.
    segment_bytes : int
        A file becomes about so long.
    buffer_bytes : int
        Memory between the feed and the disk: a power of two, at least 1 MiB.
    flush_s : float
        How long records wait before they are written. What was written is safe from the end of the process; not
        from that of the machine: nothing is synced.

    Returns
    -------
    Capture
        To be closed after the feed, best by ``with``.

    Raises
    ------
    LocalProtocolError
        The feed has been opened, or is captured already.
    StorageError
        There is a capture or something else in the folder, another process writes one there, or it cannot be
        written.
    ValueError
        A number that cannot be.

    Examples
    --------
    >>> feed = ff.connect("opend://127.0.0.1:11111")
    >>> with ff.capture(feed, "capture"):
    ...     async with feed:
    ...         await feed.subscribe("700.HK", "ticks")
    ...         await asyncio.sleep(60)
    """
    return Capture(
        feed,
        path,
        compress=zstd,
        segment_bytes=segment_bytes,
        buffer_bytes=buffer_bytes,
        flush_s=flush_s,
    )


class Capture:
    """A capture that is being written; made by `fastfeed.capture()`.

    Attributes
    ----------
    path : Path
        The folder.
    """

    def __init__(
        self,
        feed: Captured,
        path: str | os.PathLike[str],
        *,
        compress: bool,
        segment_bytes: int,
        buffer_bytes: int,
        flush_s: float,
    ) -> None:
        if not isinstance(segment_bytes, int) or segment_bytes < 1 << 16:
            raise ValueError(f"expected segment_bytes of at least {1 << 16}, got {segment_bytes!r}")
        if not 0 < flush_s <= 3600:
            raise ValueError(f"expected flush_s of more than 0 to 3600 seconds, got {flush_s!r}")
        self.path = Path(path)
        self._codec = zstd() if compress else None
        self._segment_bytes = segment_bytes
        self._feed = feed
        self._tape = Tape(feed.hub.symbols, buffer_bytes, max(1, int(flush_s * 1e9)))
        vendor, transport, options = feed.machine_options
        depth = feed.hub.book_depth
        self._about: dict[str, Any] = {
            "vendor": vendor,
            "url": feed.url,
            "options": options,
            "transport": transport,
            "book_depth": depth,
            "capacity": feed.hub.capacity,
            "max_symbols": feed.hub.symbols.capacity,
            "streams": {name: dtype(name, depth).itemsize for name in STREAMS},
            "capture_ns": time.time_ns(),
            "fastfeed": importlib.metadata.version("fastfeed"),
        }
        self._segments = 0
        self._fd = -1
        self._lost_bytes = 0
        self._gaps = 0
        self._own_records = 0
        self._named = 0  # symbols that are in the files for certain
        self._owed_bytes = 0  # a gap, and the names until there, that are to be written first
        self._owed_names = 0
        self._failing: str | None = None
        self._closed = False
        self._ending = threading.Event()
        self._pid = os.getpid()
        self._lock = self._enter()
        try:
            feed.record_on(self._tape)
            try:
                self._begin_segment()
            except BaseException:
                feed.record_on(None)
                raise
        except BaseException as error:
            self._leave()
            if isinstance(error, OSError):
                raise StorageError(
                    f"cannot write a capture to {self.path}: {_why(error)}"
                ) from error
            raise
        self._thread = threading.Thread(target=self._run, name="fastfeed capture", daemon=True)
        self._thread.start()

    # the folder

    def _enter(self) -> int:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_is_ours()
            fd = lock_file(self.path / "lock", 0o600)
        except (OSError, HubError) as error:
            raise StorageError(f"cannot write a capture to {self.path}: {_why(error)}") from error
        if fd is None:
            raise StorageError(f"another process writes a capture to {self.path}")
        try:
            there = sorted(one.name for one in self.path.iterdir() if one.suffix == SUFFIX)
        except OSError as error:
            os.close(fd)
            raise StorageError(f"cannot read {self.path}: {_why(error)}") from error
        if there:
            os.close(fd)
            raise StorageError(
                f"there is a capture in {self.path} already ({there[0]}): give another folder"
            )
        return fd

    def _check_is_ours(self) -> None:
        """See that there is nothing else in the folder; nothing has been touched yet."""
        names = {one.name for one in self.path.iterdir() if one.suffix != SUFFIX}
        if foreign := {name for name in names if name[0] != "."} - {"lock", "lost+found"}:
            raise StorageError(
                f"{self.path} is not empty ({min(foreign)} is there): expected a new or empty folder"
            )

    def _leave(self) -> None:
        self._end_segment(self._fd, self._tape.file_bytes)
        with contextlib.suppress(OSError):
            os.close(self._lock)
        self._fd = self._lock = -1

    # writing, on the thread but for the first segment

    def _begin_segment(self) -> None:
        """Begin another file where the tape says what the machines are like; the one before gets all until there."""
        position, count = say_again(self._tape)
        if self._fd >= 0 and not self._write_until(position):
            return
        path = self.path / segment_name(self._segments)
        header = Header(segment=self._segments, created_ns=time.time_ns(), **self._about)
        head = encode_header(header)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        before = self._fd, self._tape.file_bytes
        try:
            _write_all(fd, head)
            self._fd = fd
            self._tape.write_to(fd, len(head), self._segment_bytes)
            self._named = 0
            self._write_own(count)
        except BaseException:
            self._fd, file_bytes = before
            self._tape.write_to(self._fd, file_bytes, self._segment_bytes)
            with contextlib.suppress(OSError):
                os.close(fd)
                path.unlink()
            raise
        self._segments += 1
        self._end_segment(*before)

    def _end_segment(self, fd: int, file_bytes: int) -> None:
        """Close a file, without the blocks that it has beyond its end."""
        if fd < 0:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(fd, file_bytes)
        try:
            os.close(fd)
        except OSError as error:  # as file systems over a network say that they could not write
            self._fails(error)

    def _write_until(self, position: int) -> bool:
        """Write what was recorded before a position; return whether that is done."""
        self._tape.until(position)
        try:
            status = self._pump()
        finally:
            self._tape.until(None)
        if status == LAPPED:
            self._skip()
        return status == REACHED

    def _skip(self) -> None:
        """Take note that records were overwritten before they were written, and go on behind them."""
        position, self._owed_names = say_again(self._tape)
        lost = self._tape.skip(position)
        _logger.warning(
            "%s could not be written fast enough: %d bytes were not captured", self.path, lost
        )
        self._gaps += 1
        self._lost_bytes += lost
        self._owed_bytes += lost

    def _write_own(self, names: int) -> None:
        """Write a gap that is owed, and the names of symbols before some position."""
        now = time.time_ns()
        if self._owed_bytes:
            self._write_chunk(gap_record(self._owed_bytes, now), now)
            self._owed_bytes = 0
        symbols = self._tape.symbols
        while self._named < names:
            end = min(names, self._named + _MOST_NAMES)
            some = [symbols[number].encode() for number in range(self._named, end)]
            self._write_chunk(symbols_record(self._named, some, now), now)
            self._named = end
        self._owed_names = 0

    def _write_chunk(self, record: bytes, now: int) -> None:
        data = own_chunk(self._tape.number, now, 1, record)
        try:
            _write_all(self._fd, data)
        except OSError:
            self._cut()
            raise
        self._tape.wrote(len(data))
        self._own_records += 1

    def _pump(self) -> int:
        if self._codec is None:
            return self._tape.run()
        while True:
            status = self._tape.wait()
            if status != PIECE:
                return status
            piece = self._tape.piece()
            data = self._codec.compress(piece, asbytes=True)
            codec = CODEC_ZSTD
            if len(data) >= len(piece):
                codec, data = CODEC_NONE, piece
            try:
                _write_all(self._fd, self._tape.head(codec, data), data)
            except OSError:
                self._cut()
                raise
            if not self._tape.done(CELL + len(data)):
                self._cut()
                return LAPPED

    def _cut(self) -> None:
        """Take away what was not written whole."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._tape.file_bytes)
            os.lseek(self._fd, self._tape.file_bytes, os.SEEK_SET)

    def _run(self) -> None:
        try:
            while True:
                try:
                    if self._owed_bytes or self._owed_names:
                        self._write_own(self._owed_names)
                    status = self._pump()
                    self._works()
                    if status == ASKED:
                        return
                    if status == LAPPED:
                        self._skip()
                    elif status == FULL:
                        self._begin_segment()
                except OSError as error:
                    self._fails(error)
                    if self._ending.is_set():
                        self._give_up()
                        return
                    self._ending.wait(_RETRY_S)
        except BaseException as error:
            _logger.exception("%s the capture cannot go on", self.path)
            self._failing = str(InternalError(f"the capture cannot go on: {error!r}"))

    def _fails(self, error: OSError) -> None:
        if self._failing is None:
            _logger.error("%s cannot be written, the feed lives on: %s", self.path, _why(error))
        self._failing = _why(error)

    def _works(self) -> None:
        if self._failing is not None:
            _logger.warning("%s can be written again", self.path)
            self._failing = None

    def _give_up(self) -> None:
        """Count what will never be written."""
        position, _ = say_again(self._tape)
        lost = self._tape.skip(position)
        self._lost_bytes += lost
        self._gaps += bool(lost)
        _logger.error("%s was closed, %d bytes could not be written", self.path, lost)

    # its owner

    def close(self) -> None:
        """End the capture: write what was recorded until now. What could not be written is in `stats()`."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():
            return  # a fork has no part in it
        self._feed.record_on(None)
        self._ending.set()
        self._tape.ask()
        self._thread.join()
        self._failing = self._failing or self._removed()
        self._leave()

    def stats(self) -> dict[str, Any]:
        """Return counters.

        `bytes`: of records, which are those received and 32 to 95 for each read; `stored_bytes`: of the files;
        `records`; `gaps`: how often records were lost, because the disk was too slow or full for too long, and
        `lost_bytes`; `segments`: files; `failing`: why nothing can be written at the moment, or that
        the file was removed, or None.
        """
        written, stored, count = self._tape.counts()
        return {
            "bytes": written,
            "stored_bytes": stored,
            "records": count + self._own_records,
            "gaps": self._gaps,
            "lost_bytes": self._lost_bytes,
            "segments": self._segments,
            "failing": self._failing or self._removed(),
        }

    def _removed(self) -> str | None:
        """Return what is to be told where the file that is written has no name any more."""
        try:
            is_there = os.fstat(self._fd).st_nlink > 0
        except OSError:  # another one is just begun, or it is closed
            return None
        return None if is_there else f"{segment_name(self._segments - 1)} was removed"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Capture {str(self.path)!r}: {self._segments} segments{', closed' * self._closed}>"


def _write_all(fd: int, *parts: bytes | memoryview) -> None:
    left = [memoryview(part) for part in parts]
    while left:
        n = os.writev(fd, left)
        if n == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        while left and n >= len(left[0]):
            n -= len(left.pop(0))
        if n:
            left[0] = left[0][n:]


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
