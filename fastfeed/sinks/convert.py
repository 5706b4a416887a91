"""Conversion: rows out of files of one format into files of another one, some thousand at a time.

A source gives parts of rows of one kind, whose symbols are ids of its table; a target takes them. Nothing is kept but
the symbols and what a target collects for a row group. What a target writes has another name until it is complete.
"""

from __future__ import annotations

import abc
import contextlib
import importlib.metadata
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fastfeed import schema
from fastfeed._core.symbols import SymbolTable
from fastfeed.captures import CaptureFile, Damage, Player
from fastfeed.errors import ConfigError, StorageError
from fastfeed.sinks.arrow import (
    ArrowRows,
    arrow_schema,
    kind_of,
    load_pyarrow,
    parquet_options,
    rows_of,
    table_of,
)
from fastfeed.sinks.recording_folder import (
    DESCRIPTION,
    described,
    description,
    name_of,
    put_to_disk,
    why,
)
from fastfeed.stream import Rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "MOST_SYMBOLS",
    "ArrowSource",
    "ArrowStreamTarget",
    "ArrowTarget",
    "CaptureSource",
    "FileTarget",
    "FolderSource",
    "FolderTarget",
    "ParquetSource",
    "ParquetTarget",
    "Part",
    "Source",
    "Target",
    "convert",
    "most_rows",
]

_PART_BYTES = 1 << 22  # of rows that go together from a source to a target
_GROUP_BYTES = 1 << 25  # of the rows of a row group
_PLAYED_ROWS = 1 << 12  # of a capture, collected before they are passed on
_MOST_OPEN = 8  # files of a folder that are written at the same time
#: Symbols of a conversion.
MOST_SYMBOLS = 1 << 24


class Part(NamedTuple):
    """Some rows of one kind."""

    kind: str
    depth: int  # of books
    rows: Rows


class Source(Protocol):
    """What rows are read from."""

    @property
    def symbols(self) -> SymbolTable:
        """What the `symbol` of its rows refers to."""

    @property
    def kinds(self) -> Sequence[str] | None:
        """The kinds of its rows, None where that is seen only when they are read."""

    @property
    def done(self) -> float | None:
        """How much of it was read, from 0 to 1; None where that is not known."""

    @property
    def damage(self) -> Damage | None:
        """Why and where reading ended before the end of it."""

    def parts(self, wanted: Sequence[str]) -> Iterator[Part]:
        """Yield the rows of some kinds in their order."""


class Target(Protocol):
    """What rows are written to; nothing is there before `finish()`."""

    def write(self, part: Part) -> None:
        """Take some rows, which hold no longer than this call."""

    def finish(self) -> None:
        """Write what is left, and give it its name."""

    def abandon(self) -> None:
        """Remove what was written."""


def convert(
    source: Source,
    target: Target,
    *,
    kinds: Sequence[str] = (),
    symbols: Iterable[str] = (),
    tell: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write the rows of a source to a target.

    Parameters
    ----------
    source, target
    kinds : sequence of str
        Those to take, without any all of them.
    symbols : iterable of str
        Those to take, in the canonical form; without any all of them.
    tell : callable
        Is called with the number of rows after some of them.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    StorageError
        The source cannot be read, or the target not be written, and is then not there.
    ConfigError
        The source has not what is to be taken.
    """
    there = source.kinds
    if there is not None and (missing := [kind for kind in kinds if kind not in there]):
        raise ConfigError(f"expected {missing[0]}, there are only {', '.join(there) or 'no rows'}")
    wanted = tuple(kinds) or there or schema.STREAMS
    chosen = _Chosen(source.symbols, symbols)
    count = 0
    try:
        for part in source.parts(wanted):
            rows = chosen(part.rows)
            if len(rows):
                target.write(part._replace(rows=rows))
                count += len(rows)
            tell(count)
        target.finish()
    except BaseException:
        target.abandon()
        raise
    return count


class _Chosen:
    """The rows of some symbols, which may come to be in the table only later; of all where there are none."""

    def __init__(self, symbols: SymbolTable, names: Iterable[str]) -> None:
        self._symbols = symbols
        self._names = set(names)
        self._is_chosen = np.zeros(0, bool)  # by id

    def __call__(self, rows: Rows) -> Rows:
        if not self._names:
            return rows
        known, count = len(self._is_chosen), len(self._symbols)
        if known < count:
            new = [self._symbols[i] in self._names for i in range(known, count)]
            self._is_chosen = np.concatenate([self._is_chosen, new])
        found: Rows = rows[self._is_chosen[rows["symbol"]]]
        return found


def most_rows(kind: str, depth: int) -> int:
    """Return how many rows of a kind go together."""
    return max(1, _PART_BYTES // schema.dtype(kind, depth).itemsize)


def _only(part: Part, kind: str | None, depth: int) -> None:
    """See that a file which has rows of one kind gets no others; ConfigError."""
    if kind is not None and (part.kind, part.depth) != (kind, depth):
        if part.kind != kind:
            raise ConfigError(
                f"a file has rows of one kind, and here are {kind} and {part.kind}: choose with --kinds, or "
                "convert into a folder"
            )
        raise ConfigError(
            f"a file has books of one depth, and here are {depth} and {part.depth} levels: convert into a folder"
        )


class _Reading:
    """What the sources of this module have in common."""

    damage: Damage | None = None

    def __init__(self, path: Path, symbols: SymbolTable | None) -> None:
        self.path = path
        self.symbols = SymbolTable(MOST_SYMBOLS) if symbols is None else symbols
        self.done: float | None = 0.0
        self.rows = 0

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Say of every error where it was."""
        try:
            yield
        except StorageError as error:
            raise StorageError(f"{self._place()}: {error}") from error
        except (load_pyarrow().ArrowException, OSError, MemoryError) as error:
            raise StorageError(f"{self._place()}: {why(error)}") from error

    def _place(self) -> str:
        return f"cannot read {self.path} after row {self.rows:,}"

    def _of(self, batch: pa.RecordBatch, kind: str, depth: int) -> Iterator[Part]:
        """Yield the rows of a batch in pieces that are not too large."""
        step = most_rows(kind, depth)
        for start in range(0, batch.num_rows, step):
            rows = rows_of(batch.slice(start, step), self.symbols)
            yield Part(kind, depth, rows)
            self.rows += len(rows)


class ParquetSource(_Reading):
    """A Parquet file with the columns of `fastfeed.sinks.arrow.arrow_schema`, whoever wrote it.

    Parameters
    ----------
    path : Path
    symbols : SymbolTable, optional
        By default a new one.

    Raises
    ------
    StorageError
        It cannot be read, or its columns are not those of a stream.
    """

    def __init__(self, path: Path, symbols: SymbolTable | None = None) -> None:
        super().__init__(path, symbols)
        load_pyarrow()
        import pyarrow.parquet as pq

        with self._reading():
            self._file = pq.ParquetFile(path, pre_buffer=False)
            self._schema = self._file.schema_arrow
            self.kind, self.depth = kind_of(self._schema)
            self.total: int = self._file.metadata.num_rows
        self.kinds: Sequence[str] = (self.kind,)

    def parts(self, wanted: Sequence[str]) -> Iterator[Part]:
        """Yield all rows."""
        step = most_rows(self.kind, self.depth)
        with self._file, self._reading():
            for batch in self._file.iter_batches(step):
                batch.validate(full=True)
                # What the file says of itself does not come with its batches.
                batch = batch.replace_schema_metadata(self._schema.metadata)  # noqa: PLW2901
                yield from self._of(batch, self.kind, self.depth)
                self.done = self.rows / self.total


class ArrowSource(_Reading):
    """An Arrow IPC file (Feather) or stream.

    Parameters
    ----------
    path : Path

    Raises
    ------
    StorageError
        It cannot be read, or its columns are not those of a stream.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, None)
        pa = load_pyarrow()
        with self._reading():
            with open(path, "rb") as file:
                is_file = file.read(6) == b"ARROW1"
            self._bytes = pa.memory_map(str(path))
            try:
                self._reader = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(self._bytes)
                self.kind, self.depth = kind_of(self._reader.schema)
            except BaseException:
                self._bytes.close()
                raise
        self.kinds: Sequence[str] = (self.kind,)

    def _batches(self) -> Iterator[tuple[Any, float]]:
        if hasattr(self._reader, "get_batch"):
            count = self._reader.num_record_batches
            for number in range(count):
                yield self._reader.get_batch(number), (number + 1) / count
        else:
            size = self._bytes.size()
            while True:
                try:
                    batch = self._reader.read_next_batch()
                except StopIteration:
                    return
                yield batch, self._bytes.tell() / size

    def parts(self, wanted: Sequence[str]) -> Iterator[Part]:
        """Yield all rows."""
        with self._bytes, self._reading():
            for batch, done in self._batches():
                batch.validate(full=True)
                yield from self._of(batch, self.kind, self.depth)
                self.done = done


class FolderSource(_Reading):
    """A folder of Parquet files: of a recording, or with others in it.

    Segments that a recorder has not finished are no part of it; `unfinished` says how many there are.

    Parameters
    ----------
    path : Path

    Raises
    ------
    StorageError
        It is of a newer version, or there is no Parquet file in it.
    """

    kinds: Sequence[str] | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path, None)
        try:
            with contextlib.suppress(FileNotFoundError):  # others' folders say nothing
                described(path)
            found = sorted(path.rglob("*.parquet"))
            self.unfinished = sum(1 for _ in (path / "_open").glob("*.arrows"))
        except OSError as error:
            raise StorageError(f"cannot read {path}: {why(error)}") from error
        self._files = [file for file in found if not _is_hidden(file.relative_to(path))]
        if not self._files:
            raise StorageError(f"there is no Parquet file in {path}")
        self._number = 0

    def parts(self, wanted: Sequence[str]) -> Iterator[Part]:
        """Yield the rows of all files."""
        for number, path in enumerate(self._files):
            source = ParquetSource(path, self.symbols)
            if source.kind in wanted:
                for part in source.parts(wanted):
                    yield part
                    self.done = (number + (source.done or 0)) / len(self._files)
            self.done = (number + 1) / len(self._files)


class CaptureSource:
    """A raw capture, played by the machines of its vendor.

    Parameters
    ----------
    path : Path
        Its folder or one of its segments.

    Attributes
    ----------
    damage : Damage or None
        Where reading ended before the end, once it did.
    """

    kinds: Sequence[str] | None = None
    done: float | None = None

    def __init__(self, path: Path) -> None:
        self._capture = CaptureFile(path)
        self._player = Player(self._capture)
        self.symbols = self._player.hub.symbols

    @property
    def damage(self) -> Damage | None:
        """Where reading ended before the end, once it did."""
        return self._capture.damage

    @property
    def removed(self) -> int:
        """Segments that the folder does not have, before the first one."""
        return self._capture.removed

    @property
    def gaps(self) -> int:
        """How often the capture has nothing of what was received, as far as it was read."""
        found: int = self._player.stats()["gaps"]
        return found

    def parts(self, wanted: Sequence[str]) -> Iterator[Part]:
        """Yield all rows, those of a kind in their order."""
        hub, depth = self._player.hub, self._player.hub.book_depth
        taken: dict[str, list[Rows]] = {kind: [] for kind in wanted}
        counts = dict.fromkeys(wanted, 0)

        def take(kind: str, rows: Rows) -> None:
            taken[kind].append(rows.copy())
            counts[kind] += len(rows)

        # At each publication: what one record gives may be more than the rings keep.
        ends = [hub.stream(kind).on_batch(partial(take, kind)) for kind in taken]
        for record in self._capture:
            self._player.play(record)
            for kind, found in taken.items():
                if counts[kind] >= _PLAYED_ROWS:
                    yield Part(kind, depth, np.concatenate(found))
                    found.clear()
                    counts[kind] = 0
        for end in ends:
            end()
        for kind, found in taken.items():
            if found:
                yield Part(kind, depth, np.concatenate(found))


def _is_hidden(path: Path) -> bool:
    return any(name[0] in "._" for name in path.parts)


class _NewFile:
    """A file under another name until it is complete.

    Parameters
    ----------
    path : Path
    overwrites : bool
        It may be there already.

    Raises
    ------
    StorageError
        It is there, or its folder is not.
    """

    def __init__(self, path: Path, *, overwrites: bool) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.{os.getpid()}.part")
        if path.is_dir():
            raise StorageError(f"{path} is a folder, expected a file")
        if path.exists() and not path.is_file():  # /dev/null would be gone
            raise StorageError(f"{path} is a device or pipe, expected a file")
        if path.exists() and not overwrites:
            raise StorageError(f"{path} is there already: --force overwrites it")
        if not path.parent.is_dir():
            raise StorageError(f"there is no folder {path.parent}")
        self._overwrites = overwrites

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Say of every error what could not be written."""
        try:
            yield
        except (load_pyarrow().ArrowException, OSError) as error:
            raise StorageError(f"cannot write {self.path}: {why(error)}") from error

    def publish(self) -> None:
        """Give it its name."""
        put_to_disk(self.part)
        if self._overwrites:
            self.part.replace(self.path)
        else:
            try:
                os.link(self.part, self.path)  # fails where it came to be there meanwhile
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                self.part.rename(self.path)
            else:
                self.part.unlink()
        put_to_disk(self.path.parent)

    def remove(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):
            self.part.unlink()


class _Groups:
    """A Parquet file that is written by row groups.

    Parameters
    ----------
    path : Path
    kind : str
    depth : int
    symbols : SymbolTable
    tz : str
    """

    def __init__(self, path: Path, kind: str, depth: int, symbols: SymbolTable, tz: str) -> None:
        import pyarrow.parquet as pq

        self._kind, self._symbols, self._tz = kind, symbols, tz
        columns = arrow_schema(kind, depth, tz=tz)
        self._writer = pq.ParquetWriter(path, columns, **parquet_options(columns))
        size = schema.dtype(kind, depth).itemsize
        self._rows: Rows = np.zeros(max(1, _GROUP_BYTES // size), schema.dtype(kind, depth))
        self._count = 0

    def write(self, rows: Rows) -> None:
        """Append rows."""
        while len(rows):
            taken = rows[: len(self._rows) - self._count]
            self._rows[self._count : self._count + len(taken)] = taken
            self._count += len(taken)
            rows = rows[len(taken) :]
            if self._count == len(self._rows):
                self._flush()

    def _flush(self) -> None:
        if self._count:
            rows, self._count = self._rows[: self._count], 0
            table = table_of(rows, self._symbols, tz=self._tz, stream=self._kind)
            self._writer.write_table(table, row_group_size=len(rows))

    def close(self, *, completes: bool = True) -> None:
        """Write what is left, unless the file is of no use, and close it."""
        try:
            if completes:
                self._flush()
        finally:
            self._writer.close()


class FileTarget(abc.ABC):
    """A file with rows of one kind: of the one that it was made for, or that of its first rows.

    Parameters
    ----------
    path : Path
    symbols : SymbolTable
        Of the source.
    kind : str or None
        Of the rows, where it is known before there are any: a file without rows is made then.
    tz : str
        Of its times.
    overwrites : bool
    """

    def __init__(
        self,
        path: Path,
        symbols: SymbolTable,
        *,
        kind: str | None = None,
        tz: str = "UTC",
        overwrites: bool = False,
    ) -> None:
        load_pyarrow()
        self._file = _NewFile(path, overwrites=overwrites)
        self._symbols, self._tz = symbols, tz
        self._kind, self._depth = kind, schema.BOOK_DEPTH
        self._is_open = False

    @abc.abstractmethod
    def _begin(self, kind: str) -> None:
        """Open the file for rows of a kind, with books of the depth that is known by now."""

    @abc.abstractmethod
    def _append(self, rows: Rows) -> None:
        """Write rows."""

    @abc.abstractmethod
    def _end(self, *, completes: bool) -> None:
        """Close the file, after writing what is left unless it is of no use."""

    def write(self, part: Part) -> None:
        """Append rows; ConfigError: they are of another kind than those before."""
        with self._file.writing():
            if not self._is_open:
                self._kind, self._depth = part.kind, part.depth
                self._begin(part.kind)
                self._is_open = True
            _only(part, self._kind, self._depth)
            self._append(part.rows)

    def finish(self) -> None:
        """Complete it."""
        with self._file.writing():
            if not self._is_open:
                if self._kind is None:
                    raise StorageError("there are no rows to be converted")
                self._begin(self._kind)
            self._is_open = False
            self._end(completes=True)
            self._file.publish()

    def abandon(self) -> None:
        """Remove it."""
        if self._is_open:
            with contextlib.suppress(OSError, load_pyarrow().ArrowException):
                self._end(completes=False)
        self._file.remove()


class ParquetTarget(FileTarget):
    """A Parquet file."""

    _groups: _Groups

    def _begin(self, kind: str) -> None:
        self._groups = _Groups(self._file.part, kind, self._depth, self._symbols, self._tz)

    def _append(self, rows: Rows) -> None:
        self._groups.write(rows)

    def _end(self, *, completes: bool) -> None:
        self._groups.close(completes=completes)


class ArrowTarget(FileTarget):
    """An Arrow IPC file (Feather).

    The dictionary of the symbols is the same for all batches. Where symbols came after the first batch, everything is
    copied at the end: dictionaries that grow are nothing that polars and others can read.
    """

    _streams = False
    _maker: ArrowRows
    _writer: Any
    _names: tuple[Any, Any] = (None, None)  # dictionaries of the first and the last batch

    @property
    def _growing(self) -> Path:
        return self._file.part.with_suffix(".grows")

    def _open(self, path: Path, found: Any) -> Any:
        ipc = load_pyarrow().ipc
        make = ipc.new_stream if self._streams else ipc.new_file
        return make(path, found, options=ipc.IpcWriteOptions(emit_dictionary_deltas=True))

    def _begin(self, kind: str) -> None:
        self._maker = ArrowRows(kind, self._symbols, self._depth, tz=self._tz)
        self._writer = self._open(self._file.part, self._maker.schema)

    def _append(self, rows: Rows) -> None:
        batch = self._maker.batch(rows)
        names = batch.column(0).dictionary
        self._names = (names if self._names[0] is None else self._names[0], names)
        self._writer.write_batch(batch)

    def _end(self, *, completes: bool) -> None:
        self._writer.close()
        first, last = self._names
        if completes and first is not None and len(first) != len(last):
            self._copy(last, self._maker.schema)

    def _copy(self, names: Any, found: Any) -> None:
        """Write everything again with all symbols in the first dictionary."""
        pa = load_pyarrow()
        self._file.part.rename(self._growing)
        with pa.memory_map(str(self._growing)) as data:
            with self._open(self._file.part, found) as writer:
                for batch in _batches(pa, data, streams=self._streams):
                    symbol = pa.DictionaryArray.from_arrays(
                        batch.column(0).indices, names, safe=False
                    )
                    columns = [symbol, *batch.columns[1:]]
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=found))
        self._growing.unlink()

    def abandon(self) -> None:
        """Remove it."""
        super().abandon()
        with contextlib.suppress(OSError):
            self._growing.unlink()


class ArrowStreamTarget(ArrowTarget):
    """An Arrow IPC stream."""

    _streams = True


def _batches(pa: Any, data: Any, *, streams: bool) -> Iterator[Any]:
    if streams:
        yield from pa.ipc.open_stream(data)
    else:
        reader = pa.ipc.open_file(data)
        yield from map(reader.get_batch, range(reader.num_record_batches))


class FolderTarget:
    """A folder as `fastfeed record` makes it: ``kind=ticks/date=2026-11-26/*.parquet``.

    A date is the UTC date at which a row was received.

    Parameters
    ----------
    path : Path
        Not there yet, or empty.
    symbols : SymbolTable
        Of the source.
    tz : str

    Raises
    ------
    StorageError
        There is something already.
    """

    def __init__(self, path: Path, symbols: SymbolTable, *, tz: str = "UTC") -> None:
        load_pyarrow()
        self.path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._symbols, self._tz = symbols, tz
        self._open: dict[
            tuple[str, int, int], _Groups
        ] = {}  # by kind, depth and day; the last one used at the end
        try:
            if path.exists() and not path.is_dir():
                raise StorageError(f"{path} is a file, expected a folder")
            if path.exists() and any(path.iterdir()):
                raise StorageError(f"{path} is not empty: expected a new folder")
            if not path.parent.is_dir():
                raise StorageError(f"there is no folder {path.parent}")
            self._part.mkdir()
        except OSError as error:
            raise StorageError(f"cannot write {path}: {why(error)}") from error

    def write(self, part: Part) -> None:
        """Append rows."""
        days = part.rows["recv_ns"] // 86_400_000_000_000
        # Mostly they are of one day.
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        with self._writing():
            for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
                rows = part.rows[start:end]
                key = part.kind, part.depth, int(days[start])
                groups = self._open.pop(key, None) or self._new(key, int(rows["recv_ns"][0]))
                self._open[key] = groups
                groups.write(rows)

    def _new(self, key: tuple[str, int, int], first_ns: int) -> _Groups:
        if len(self._open) >= _MOST_OPEN:
            self._open.pop(next(iter(self._open))).close()
        kind, depth, day = key
        folder = self._part / f"kind={kind}" / f"date={np.datetime64(day, 'D')}"
        folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while (path := folder / f"{name_of(kind, first_ns, number)}.parquet").exists():
            number += 1
        return _Groups(path, kind, depth, self._symbols, self._tz)

    def finish(self) -> None:
        """Complete it."""
        with self._writing():
            while self._open:
                self._open.popitem()[1].close()
            if not any(self._part.iterdir()):
                raise StorageError("there are no rows to be converted")
            about = description(importlib.metadata.version("fastfeed"))
            (self._part / DESCRIPTION).write_bytes(about)
            for path in self._part.rglob("*"):
                put_to_disk(path)
            if self.path.exists():
                self.path.rmdir()
            self._part.rename(self.path)
            put_to_disk(self.path.parent)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (load_pyarrow().ArrowException, OSError) as error:
            raise StorageError(f"cannot write {self.path}: {why(error)}") from error

    def abandon(self) -> None:
        """Remove it."""
        for groups in self._open.values():
            with contextlib.suppress(OSError, load_pyarrow().ArrowException):
                groups.close(completes=False)
        self._open.clear()
        shutil.rmtree(self._part, ignore_errors=True)
