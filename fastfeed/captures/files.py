"""The files of a capture, and who reads them.

    PATH/000000.ffcap, 000001.ffcap, ...    segments
    PATH/lock                               who has locked it writes here

A segment is a head and chunks, all in little-endian and in multiples of 64 bytes but the data of compressed chunks:

    head    magic "FFCAPTUR", u32 version, u32 length, u32 CRC-32C of the two and the JSON, the JSON (`Header`), zeros
    chunk   u32 magic "FFCK", u32 CRC-32C of all that follows, u32 bytes of data, u32 the same when decompressed,
            u64 number in the capture, i64 time of the first record, u32 records, u8 codec (1: zstd), 27 zeros; the
            data: whole records, see native/include/fastfeed/tap.h

Segments are only ever appended to, and only by who has begun them.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, NamedTuple

import msgspec

from fastfeed._core.player import Record, records
from fastfeed._core.tape import CELL, CHUNK_MOST, CODEC_NONE, CODEC_ZSTD, crc32c, read_chunk
from fastfeed.errors import StorageError

__all__ = [
    "SET_BACK_NS",
    "SUFFIX",
    "VERSION",
    "CaptureFile",
    "Chunk",
    "Damage",
    "Header",
    "encode_header",
    "segment_name",
    "zstd",
]

#: Of the layout of the files; it changes with every change of them and of the records.
VERSION = 1
SUFFIX = ".ffcap"
#: How far times of receipt go back where a clock was set; less is disorder between connections.
SET_BACK_NS = 1_000_000_000

_MAGIC = b"FFCAPTUR"
_HEAD = struct.Struct("<8sIII")  # magic, version, length and CRC of the JSON
_CHUNK = struct.Struct("<IIIIQqIB27s")
_CHUNK_MAGIC = int.from_bytes(b"FFCK", "little")
_MOST_JSON = 1 << 16
_NAME = re.compile(r"\d{6,9}\.ffcap")


class Header(msgspec.Struct, frozen=True):
    """What a segment says of its capture.

    Attributes
    ----------
    vendor : str
        ``"opend"``, ``"longport"`` or ``"alltick"``.
    url : str
        Of the feed, without credentials.
    options : dict
        What a machine that reads this is made with: `limit_bytes`, and what else the vendor's has.
    transport : str
        ``"tcp"``, or ``"ws"`` where what was received are WebSocket frames.
    book_depth, capacity, max_symbols : int
        Of the feed's hub.
    streams : dict
        Names of the streams in the order of their numbers, with the bytes of a row.
    created_ns : int
        When the segment was begun, ns since 1970 UTC.
    capture_ns : int
        The same of the capture: all of its segments have it.
    segment : int
        Counted from 0.
    fastfeed : str
        The version that wrote it.
    """

    vendor: str
    url: str
    options: dict[str, Any]
    transport: str
    book_depth: int
    capacity: int
    max_symbols: int
    streams: dict[str, int]
    created_ns: int
    capture_ns: int
    segment: int
    fastfeed: str


class Damage(NamedTuple):
    """Where and why a capture cannot be read further.

    Attributes
    ----------
    path : Path
        The file.
    position : int
        The byte in it behind which nothing can be read.
    reason : str
    is_torn : bool
        The file only ends in the middle of something, as it does when its writer was killed.
    """

    path: Path
    position: int
    reason: str
    is_torn: bool

    def __str__(self) -> str:
        return f"{self.path}, at byte {self.position}: {self.reason}"


class Chunk(NamedTuple):
    """Records that were written together.

    Attributes
    ----------
    number : int
        In the capture, from 0.
    recv_ns : int
        The time of the first record.
    data : memoryview
        The records: what `Player.play` takes.
    """

    number: int
    recv_ns: int
    data: memoryview

    def records(self) -> list[Record]:
        """Return the records one by one."""
        return records(self.data)


def segment_name(number: int) -> str:
    """Return the name of a segment's file."""
    return f"{number:06}{SUFFIX}"


def encode_header(header: Header) -> bytes:
    """Return the head of a segment's file."""
    data = msgspec.json.encode(header)
    numbers = struct.pack("<II", VERSION, len(data))
    head = _HEAD.pack(_MAGIC, VERSION, len(data), crc32c(data, crc32c(numbers))) + data
    return head + bytes(-len(head) % CELL)


def zstd() -> Any:
    """Return the codec of compressed chunks; StorageError where its package is missing."""
    try:
        import pyarrow
    except ImportError:
        raise StorageError(
            "compressed captures need a package that is not installed: pip install 'fastfeed[arrow]'"
        ) from None
    return pyarrow.Codec("zstd", compression_level=1)


class _Damaged(Exception):
    def __init__(self, position: int, reason: str, is_torn: bool = False) -> None:
        super().__init__(reason)
        self.position, self.reason, self.is_torn = position, reason, is_torn


class _Unreadable(_Damaged):
    """Not here: nothing needs to be wrong with it."""


class CaptureFile:
    """A capture that is there, to be read up to its end or to where it is damaged.

    Iterating over it gives its records (`fastfeed._core.player.Record`) in the order in which they were recorded;
    each time from the beginning. Memory is that of a few chunks of 1 MiB, and of what is still referred to.

    Parameters
    ----------
    path : str or Path
        The folder, or one of its segments, which then is read alone.

    Raises
    ------
    StorageError
        There is no capture, or it cannot be read; it is of a newer version of fastfeed; or the head of its first
        segment is damaged.

    Attributes
    ----------
    path : Path
    segments : tuple of Path
        The files, in their order.
    header : Header
        Of the first one.
    removed : int
        Segments that the folder does not have, before the first one.
    damage : Damage or None
        What the last iteration came to, None where that was the end of the capture, or there was none yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.segments = _segments(self.path)
        self.damage: Damage | None = None
        first = self.segments[0]
        try:
            with _opened(first) as file:
                self.header = _read_header(file)
        except _Unreadable as damage:
            raise StorageError(f"{first} {damage.reason}") from damage.__cause__
        except _Damaged as damage:
            raise StorageError(
                f"{first} is no capture: {damage.reason}, at byte {damage.position}"
            ) from None
        self.removed = self.header.segment if self.path.is_dir() else 0

    def __iter__(self) -> Iterator[Record]:
        for chunk in self.chunks():
            yield from chunk.records()

    def chunks(self) -> Iterator[Chunk]:
        """Iterate over the chunks from the beginning: faster than by records."""
        return filter(None, self.chunks_so_far(None))

    def chunks_so_far(self, patience_s: float | None) -> Iterator[Chunk | None]:
        """Iterate over the chunks, with None whenever the next one has not been read within so many seconds."""
        self.damage = None
        number: int | None = None
        for i, path in enumerate(self.segments):
            try:
                file = self._begin(path, self.header.segment + i)
                for chunk in _ahead(file, number, patience_s):
                    if chunk is not None:
                        number = chunk.number + 1
                    yield chunk
                    del chunk
            except _Damaged as damage:
                later = len(self.segments) - i - 1
                reason = damage.reason
                if later:
                    are = "segment is" if later == 1 else "segments are"
                    reason += f"; {later} later {are} not read"
                self.damage = Damage(path, damage.position, reason, damage.is_torn and not later)
                return

    def _begin(self, path: Path, expected: int) -> BinaryIO:
        """Open a segment, behind its head."""
        file = _opened(path)
        try:
            header = _read_header(file)
            if header.capture_ns != self.header.capture_ns or header.segment != expected:
                raise _Damaged(0, f"expected segment {expected} of this capture, it is another one")
        except BaseException:
            file.close()
            raise
        return file

    def __repr__(self) -> str:
        return (
            f"<CaptureFile {str(self.path)!r}: {self.header.vendor}, {len(self.segments)} segments>"
        )


def _segments(path: Path) -> tuple[Path, ...]:
    try:
        if not path.is_dir():
            if not path.exists():
                raise StorageError(f"there is no capture {path}")
            return (path,)
        found = sorted(
            (one for one in path.iterdir() if _NAME.fullmatch(one.name)),
            key=lambda one: int(one.stem),
        )
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if not found:
        raise StorageError(f"there is no capture in {path}: no file such as {segment_name(0)}")
    return tuple(found)


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise _Unreadable(0, f"cannot be read ({error.strerror})") from error


class _Buffers:
    """Memory for what is read, which is used again where nobody refers to what was in it: new memory costs as much as
    all else that is done to a chunk.
    """

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []

    def take(self) -> memoryview:
        """Return memory for a chunk."""
        for buffer in self._buffers:
            try:
                buffer.append(0)  # not while there are views
            except BufferError:
                continue
            buffer.pop()
            break
        else:
            buffer = bytearray(CHUNK_MOST)
            self._buffers = [*self._buffers[-3:], buffer]  # who keeps everything gets his own
        return memoryview(buffer)


def _read(file: BinaryIO, place: memoryview) -> int:
    """Fill a place from a file; return how much of it, less only at the end."""
    done = 0
    while done < len(place):
        try:
            n = file.readinto(place[done:])  # type: ignore[attr-defined]
        except OSError as error:
            raise _Unreadable(file.tell(), f"cannot be read ({error.strerror})") from error
        if not n:
            break
        done += n
    return done


def _read_header(file: BinaryIO) -> Header:
    head = bytearray(_HEAD.size)
    there = _read(file, memoryview(head))
    if there < _HEAD.size or head[:8] != _MAGIC:
        raise _Damaged(0, "does not begin as a capture does", there < _HEAD.size)
    _, version, length, crc = _HEAD.unpack(head)
    if version > VERSION:
        raise _Unreadable(
            8,
            f"has version {version} of the capture's layout, this fastfeed reads {VERSION}: "
            "read it with a newer fastfeed",
        )
    if version == 0 or length > _MOST_JSON:
        raise _Damaged(8, f"has a head of version {version} and {length} bytes")
    padded = length + -(_HEAD.size + length) % CELL
    data = bytearray(padded)
    if _read(file, memoryview(data)) < padded:
        raise _Damaged(_HEAD.size, "ends in the middle of its head", True)
    if crc32c(data[:length], crc32c(head[8:16])) != crc:
        raise _Damaged(8, "has a head with a wrong checksum")
    try:
        return msgspec.json.decode(data[:length], type=Header)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _Damaged(_HEAD.size, f"has a head that cannot be read ({error})") from None


def _ahead(file: BinaryIO, number: int | None, patience_s: float | None) -> Iterator[Chunk | None]:
    """Read further while the caller is busy with a chunk: reading and checking need no interpreter. Closes the file.

    Two are asked for: who plays a chunk may not let go of the interpreter until he comes for the next one, and what
    has not begun by then would wait for him.
    """
    wanted: SimpleQueue[bool] = SimpleQueue()
    found: SimpleQueue[Chunk | BaseException | None] = SimpleQueue()
    arguments = (file, number, wanted, found)
    thread = Thread(target=_read_on, args=arguments, name="fastfeed capture", daemon=True)
    thread.start()
    try:
        wanted.put(True)
        wanted.put(True)
        while True:
            try:
                chunk = found.get(timeout=patience_s)
            except Empty:
                yield None
                continue
            if chunk is None:
                break
            if isinstance(chunk, BaseException):
                raise chunk
            wanted.put(True)
            yield chunk
            del chunk
    finally:
        # No more than this: it may be done where garbage is collected, by any thread, whatever that has locked.
        wanted.put(False)
    thread.join()


def _read_on(
    file: BinaryIO,
    number: int | None,
    wanted: SimpleQueue[bool],
    found: SimpleQueue[Chunk | BaseException | None],
) -> None:
    with file:
        chunks = _chunks(file, number)
        while wanted.get():
            try:
                found.put(next(chunks, None))
            except BaseException as error:
                found.put(error)


def _chunks(file: BinaryIO, expected: int | None) -> Iterator[Chunk]:
    codec: Any = None
    buffers = _Buffers()
    position = file.tell()
    while True:
        place = buffers.take()
        try:
            there, head, right_crc = read_chunk(file.fileno(), place)
        except OSError as error:
            raise _Damaged(position, f"cannot be read ({error.strerror})") from error
        if not there:
            return
        if there < _CHUNK.size:
            raise _Damaged(position, "ends in the middle of a chunk", True)
        magic, crc, stored, plain, number, recv_ns, _, kind, _ = _CHUNK.unpack(head)
        if magic != _CHUNK_MAGIC:
            raise _Damaged(position, "has something else where a chunk should begin")
        if expected is not None and number != expected:
            raise _Damaged(position, f"has chunk {number} where chunk {expected} should be")
        is_whole = 0 < plain <= CHUNK_MOST and plain % CELL == 0
        if stored > CHUNK_MOST or not is_whole or kind > CODEC_ZSTD:
            raise _Damaged(position, "has a chunk with a head that cannot be")
        if there < _CHUNK.size + stored:
            raise _Damaged(position, "ends in the middle of a chunk", True)
        if crc != right_crc:
            raise _Damaged(position, "has a chunk with a wrong checksum")
        view = place[:stored].toreadonly()
        del place
        if kind == CODEC_ZSTD:
            codec = zstd() if codec is None else codec
            try:
                view = memoryview(codec.decompress(view, plain, asbytes=True))
            except (OSError, ValueError) as error:
                raise _Damaged(
                    position, f"has a chunk that cannot be decompressed ({error})"
                ) from None
        if len(view) != plain or (kind == CODEC_NONE and stored != plain):
            raise _Damaged(position, "has a chunk of another length than it says")
        position += there
        expected = number + 1
        chunk = Chunk(number, recv_ns, view)
        del view
        yield chunk
        del chunk
