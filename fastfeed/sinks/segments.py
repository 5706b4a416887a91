"""Segments of a recording: written as Arrow IPC streams, and sealed into Parquet files.

A segment holds complete record batches, and at its end perhaps a part of one, where its writer was killed. What is
read of it ends there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastfeed.sinks.arrow import array_of, load_pyarrow, numbers_of, parquet_options
from fastfeed.sinks.recording_folder import RecordingFolder, put_to_disk

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["COMPRESSIONS", "ParquetOptions", "Sealed", "Segment", "seal"]

#: How Parquet files can be compressed.
COMPRESSIONS = ("zstd", "snappy", "lz4", "gzip", "none")

_MOST_GROUP_BYTES = 1 << 26  # of a row group in memory
#: More than a batch with its symbols takes: what is more was no unfinished batch.
_MOST_TORN_BYTES = 1 << 27


class ParquetOptions(NamedTuple):
    """How Parquet files are written."""

    row_group_rows: int
    compression: str


class Segment:
    """Rows of one kind and one day, in a file that grows.

    Parameters
    ----------
    folder : RecordingFolder
    kind : str
    first_ns : int
        When the first row was received.
    schema : pyarrow.Schema

    Attributes
    ----------
    path : Path
    rows : int
    bytes : int
        Written so far; whole batches.
    began_s, wrote_s : float
        When it was begun, and when it was last written to (time.monotonic()).
    """

    def __init__(
        self, folder: RecordingFolder, kind: str, first_ns: int, schema: pa.Schema
    ) -> None:
        pa = load_pyarrow()
        self._folder = folder
        folder.check_in_place()
        self.path = folder.new_segment(kind, first_ns)
        self.rows = self.bytes = 0
        self.began_s = self.wrote_s = time.monotonic()
        self._sink = pa.OSFile(str(self.path), "wb")
        status = self.path.stat()
        self._identity = status.st_dev, status.st_ino
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self._writer = pa.ipc.new_stream(self._sink, schema, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch; OSError: it could not be written, and `close()` has to follow."""
        self._folder.check_in_place()
        if not self.is_there():
            raise FileNotFoundError(None, f"{self.path.name} was removed meanwhile")
        self._writer.write_batch(batch)
        self.bytes = self._sink.tell()
        self.rows += batch.num_rows
        self.wrote_s = time.monotonic()

    def is_there(self) -> bool:
        """Return whether its file is still in its place."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def close(self) -> None:
        """End it after the last whole batch; remove it when there is none."""
        with contextlib.suppress(OSError):
            self._writer.close()
        with contextlib.suppress(OSError):
            self._sink.close()
        with contextlib.suppress(OSError):
            if self.is_there():
                if self.rows:
                    os.truncate(self.path, self.bytes)
                else:
                    self.path.unlink()


class Sealed(NamedTuple):
    """What became of a segment.

    Attributes
    ----------
    segment : Path
    path : Path or None
        The Parquet file; None where there was not one row.
    rows : int
    bytes : int
        Of the Parquet file.
    cut_bytes : int
        At the segment's end, which were no whole batch.
    damage : str
        Why they were not, where that was no unfinished batch; the segment is then kept beside, as ``.damaged``.
    was_there : bool
        The Parquet file had been made before.
    failure : str
        Why it could not be read or written; it is left as it is then.
    """

    segment: Path
    path: Path | None
    rows: int
    bytes: int
    cut_bytes: int = 0
    damage: str = ""
    was_there: bool = False
    failure: str = ""


def seal(
    folder: RecordingFolder, segment: Path, options: ParquetOptions, *, checks: bool
) -> Sealed:
    """Make a segment the Parquet file that it is to become, and remove it.

    Whenever this is interrupted, it can be done again: nothing is lost, and nothing is there twice.

    Parameters
    ----------
    folder : RecordingFolder
    segment : Path
    options : ParquetOptions
    checks : bool
        Look at every value: another process wrote it, and may have been killed meanwhile.

    Raises
    ------
    OSError
        It cannot be read or written; the segment is left as it is.
    """
    import pyarrow.parquet as pq

    target = folder.sealed_path(segment)
    if target.exists():  # only the removal was missing
        rows, size = pq.read_metadata(target).num_rows, target.stat().st_size
        segment.unlink()
        return Sealed(segment, target, rows, size, was_there=True)
    part = folder.part_path(segment)
    found = _Reading(segment, checks)
    try:
        rows = _write_parquet(part, found, options)
        if rows:
            put_to_disk(part)
            size = part.stat().st_size
            _make_folders(target.parent, folder.path)
            part.rename(target)
            put_to_disk(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    finally:
        found.close()
    if found.damage:
        segment.rename(segment.with_suffix(".damaged"))
    else:
        segment.unlink()
    if not rows:
        return Sealed(segment, None, 0, 0, found.cut_bytes, found.damage)
    return Sealed(segment, target, rows, size, found.cut_bytes, found.damage)


def _make_folders(path: Path, top: Path) -> None:
    """Make a folder with those above it, up to one that is there, so that they are on the disk."""
    if not path.is_dir():
        if path != top:
            _make_folders(path.parent, top)
        path.mkdir(exist_ok=True)
        put_to_disk(path.parent)


def _write_parquet(path: Path, batches: _Reading, options: ParquetOptions) -> int:
    """Write batches into a Parquet file, unless there are none; return how many rows."""
    import pyarrow.parquet as pq

    writer: Any = None
    rows = 0
    try:
        for parts in _groups(batches, options.row_group_rows):
            group = _table(parts)
            if writer is None:
                how = parquet_options(group.schema) | {"compression": options.compression}
                writer = pq.ParquetWriter(str(path), group.schema, **how)
            writer.write_table(group, row_group_size=group.num_rows)
            rows += group.num_rows
        if writer is not None:
            last, writer = writer, None
            last.close()
    finally:
        if writer is not None:  # an error is on its way: the file is of no use
            with contextlib.suppress(OSError):
                writer.close()
    return rows


def _groups(batches: _Reading, most_rows: int) -> Iterator[list[pa.RecordBatch]]:
    """Give the batches of each row group."""
    parts: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        at = 0
        while at < batch.num_rows:
            taken = batch.slice(at, most_rows - rows)
            at += taken.num_rows
            parts.append(taken)
            rows += taken.num_rows
            size += taken.nbytes
            if rows == most_rows or size >= _MOST_GROUP_BYTES:
                yield parts
                parts = []
                rows = size = 0
    if parts:
        yield parts


def _table(parts: Sequence[pa.RecordBatch]) -> pa.Table:
    """Return batches as a table whose dictionaries have what occurs in them, and nothing else.

    Parquet keeps a dictionary for each row group, and whole: it must not have the symbols of the whole market. One
    that changes within a row group would not be used at all.
    """
    pa = load_pyarrow()
    table = pa.Table.from_batches(parts)
    for number, field in enumerate(table.schema):
        if not pa.types.is_dictionary(field.type):
            continue
        columns = [part.column(number) for part in parts]
        values = columns[-1].dictionary  # those before it were its beginning
        # Part by part: NumPy keeps the interpreter to itself, and who takes rows from the ring waits for it. So he
        # would while pyarrow imports pandas, as `pyarrow.array` does.
        ids = [numbers_of(column.indices) for column in columns]
        occurs = np.zeros(len(values), bool)
        for some in ids:
            occurs[some] = True
        used = np.flatnonzero(occurs)
        places = np.zeros(len(values), ids[0].dtype)
        places[used] = np.arange(len(used), dtype=places.dtype)
        found = np.concatenate([places[some] for some in ids])
        column = pa.DictionaryArray.from_arrays(
            array_of(columns[0].indices.type, found), values.take(array_of(pa.int64(), used))
        )
        table = table.set_column(number, field, column)
    return table


class _Reading:
    """The whole batches of a segment, up to its end or to where they cannot be read.

    Attributes
    ----------
    cut_bytes : int
        Behind the last whole batch.
    damage : str
        Why there is no further batch, where that is not for the end of the file.
    """

    def __init__(self, path: Path, checks: bool) -> None:
        pa = load_pyarrow()
        self.cut_bytes = 0
        self.damage = ""
        self._checks = checks
        self._source = pa.OSFile(str(path), "rb")

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        pa = load_pyarrow()
        whole, size = 0, self._source.size()
        try:
            reader = pa.ipc.open_stream(self._source)
            while True:
                batch = reader.read_next_batch()
                if self._checks:
                    batch.validate(full=True)
                whole = self._source.tell()
                yield batch
        except StopIteration:
            reason = "it says that it ends there"
            whole = self._source.tell()
        except (pa.ArrowException, OSError, MemoryError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk
            reason = " ".join(str(error).split())
        self.cut_bytes = size - whole
        if self.cut_bytes > _MOST_TORN_BYTES or self._source.tell() < size:
            self.damage = reason

    def close(self) -> None:
        """Close the file."""
        self._source.close()
