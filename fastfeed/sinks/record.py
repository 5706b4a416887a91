"""Recording: the rows of a hub into Parquet files, by threads of their own that read the rings like anybody else.

The writer goes round the rings, makes record batches of what is new, and appends them to segments. The sealer makes
Parquet files of segments that are full or old. What one of them cannot write now, it tries again later: the ring, and
the segments on the disk, are the only queues there are. `fastfeed.sinks.recording_folder` says what lies where.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastfeed.attach import AttachedHub, attach
from fastfeed.errors import ConfigError
from fastfeed.feeds.feed import Feed
from fastfeed.hub import Hub
from fastfeed.schema import BOOK_DEPTH, streams_of
from fastfeed.sinks.arrow import ArrowRows, array_of, load_pyarrow, numbers_of
from fastfeed.sinks.recording_folder import RecordingFolder, why
from fastfeed.sinks.segments import COMPRESSIONS, ParquetOptions, Sealed, Segment, seal
from fastfeed.stream import Chosen, Rows, RowStream, Source

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Recording", "record", "recover"]

_logger = logging.getLogger(__name__)

_LOOK_S = 0.004  # between two looks at rings that had little to give
_RETRY_S = 0.5  # between two attempts to write what could not be written
_SEAL_AGAIN_S = 2.0
_NICE = 10  # of the sealer
_BATCH_ROWS = 1 << 17  # at most
_BATCH_BYTES = 1 << 24
_FULL = (
    8  # a batch is made when the reader is an eighth of the ring behind, however young the rows are
)
_DAY_NS = 86_400_000_000_000
_LATE_S = 10.0  # for so long rows of the day before may come
_MOST_DAYS = 2  # open at once of a kind


def record(
    source: Feed | Hub | AttachedHub | str,
    out: str | os.PathLike[str],
    *kinds: str,
    symbols: Iterable[str] | None = None,
    flush_s: float = 1.0,
    segment_bytes: int = 1 << 28,
    segment_s: float = 900.0,
    row_group_rows: int = 1 << 20,
    compression: str = "zstd",
    tell: Callable[[str], object] | None = None,
) -> Recording:
    """Record rows into a folder of Parquet files, from now until `Recording.close()`; best used by ``with``.

    The folder has the layout ``kind=ticks/date=2026-11-26/*.parquet``, which pandas, polars, DuckDB and others read as
    it stands; a date is the UTC date at which a row was received. The columns are those of `fastfeed.arrow_schema`.

    Threads of this process read the rings; whoever writes them does not notice. A recorder that falls a whole ring
    behind loses rows and counts them. Where this process's Python code leaves it little time, record from another
    process, by the name of a hub.

    Rows are appended to an open segment within `flush_s`: when this process is killed, later rows may be missing, and
    nothing else. The next recording in the folder, or `recover()`, finishes what was open. After a loss of power
    that holds for Parquet files, not for open segments.

    When the folder cannot be written (the disk is full, for example), that is told once, the ring keeps what it
    can, and recording goes on when it can be written again.

    Parameters
    ----------
    source : Feed, Hub, AttachedHub or str
        Whose rows; a text is the name of another process's hub. A feed has to be subscribed to what is to be recorded.
        When a hub's writer is followed by another one, segments are sealed and new ones begun.
    out : path
        The folder. It is made where it is not there; a folder with something else in it is refused.
    *kinds : str
        What to record: ``"ticks"``, ``"books"``, ``"bars"`` (or ``"bars:1m"``, which are all bars), ...; without
        any, ticks.
    symbols : iterable of str, optional
        Those to record, without it all. One that is not known yet may come later.
    flush_s : float
        How old a row may become before it is written; 0 = write each time there is one.
    segment_bytes : int
        A segment of so many bytes becomes a Parquet file, which is some four times smaller.
    segment_s : float
        So does one that is so old, in seconds, and one of a day that is over.
    row_group_rows : int
        Rows of a row group, fewer where they take more than 64 MiB.
    compression : {"zstd", "snappy", "lz4", "gzip", "none"}
        Of the Parquet files.
    tell : callable, optional
        Is called with a text when something goes wrong, and when it is well again; by the recorder's threads. Without
        it, that is logged.

    Returns
    -------
    Recording

    Raises
    ------
    StorageError
        Another process records into the folder, it cannot be written, is one of a newer version, or no recording.
    ConfigError
        An option cannot be, or pyarrow is not installed.
    HubError
        There is no hub of this name.

    Examples
    --------
    >>> async with ff.connect("opend://127.0.0.1:11111") as feed:
    ...     with ff.record(feed, "data", "ticks", "books"):
    ...         await feed.subscribe(["700.HK"], "ticks", "books")
    ...         await asyncio.sleep(3600)
    """
    return Recording(
        source,
        out,
        *kinds,
        symbols=symbols,
        flush_s=flush_s,
        segment_bytes=segment_bytes,
        segment_s=segment_s,
        row_group_rows=row_group_rows,
        compression=compression,
        tell=tell,
    )


class Recording:
    """Rows on their way into a folder, made by `record()`.

    A context manager, for ``with`` and ``async with``.

    Attributes
    ----------
    path : Path
        The folder.
    recovered : list of Sealed
        What was made of the segments that an earlier recorder had left open.
    """

    def __init__(
        self,
        source: Feed | Hub | AttachedHub | str,
        out: str | os.PathLike[str],
        *kinds: str,
        symbols: Iterable[str] | None = None,
        flush_s: float = 1.0,
        segment_bytes: int = 1 << 28,
        segment_s: float = 900.0,
        row_group_rows: int = 1 << 20,
        compression: str = "zstd",
        tell: Callable[[str], object] | None = None,
    ) -> None:
        load_pyarrow()
        try:
            names = streams_of(kinds or ("ticks",))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        wanted = None if symbols is None else _checked_symbols(symbols)
        for name, value, least in (
            ("flush_s", flush_s, 0),
            ("segment_bytes", segment_bytes, 1),
            ("segment_s", segment_s, 0),
        ):
            _check_least(name, value, least)
        options = _checked_options(row_group_rows, compression)
        self.path = Path(out)
        self.recovered: list[Sealed] = []
        self._tell = tell if tell is not None else _logger.warning
        self._segment_bytes, self._segment_s = segment_bytes, segment_s
        self._own_hub: AttachedHub | None = None
        if isinstance(source, str):
            source = self._own_hub = attach(source)
        try:
            self._folder = RecordingFolder(self.path, version("fastfeed"), makes=True)
            try:
                leftovers = self._folder.segments()
                hub = source.hub if isinstance(source, Feed) else source
                self._takers = [_Taker(self, hub, name, wanted, flush_s) for name in names]
            except BaseException:
                self._folder.close()
                raise
        except BaseException:
            self._close_hub()
            raise
        self._hub = hub
        self._failing: str | None = None
        self._sealer = _Sealer(self._folder, options, self._tell, self.recovered)
        self._sealer.add(leftovers, leftovers=True)
        self._stopping = threading.Event()
        self._closed = False
        self._writer = threading.Thread(target=self._run, name="fastfeed recorder", daemon=True)
        self._writer.start()

    # the writer's thread

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                is_behind = [taker.take() for taker in self._takers]
                if not any(is_behind):
                    self._stopping.wait(max(_LOOK_S - (time.monotonic() - started), 0.0005))
            for taker in self._takers:
                taker.finish()
        except Exception as error:
            self._failing = f"the recorder has failed: {error!r}"
            self._tell(self._failing)
            _logger.exception("the recorder of %s has failed", self.path)
            for taker in self._takers:
                taker.end_all()
            self._stopping.wait()
            for taker in self._takers:
                taker.drop(all_rows=True)
        finally:
            for taker in self._takers:
                taker.end_all()

    def failed(self, error: OSError) -> None:
        """Take note that something could not be written, and tell it unless that was done."""
        reason = why(error)
        if reason != self._failing:
            self._failing = reason
            free = ""
            with contextlib.suppress(OSError):
                found = os.statvfs(self.path)
                free = f" ({found.f_bavail * found.f_frsize >> 10:,} KiB free)"
            self._tell(
                f"cannot write in {self.path}: {reason}{free}; rows wait in the ring until that is over"
            )

    def succeeded(self) -> None:
        """Take note that writing is possible."""
        if self._failing is not None:
            self._failing = None
            lost = sum(taker.lost for taker in self._takers)
            self._tell(f"writing in {self.path} again; rows lost so far: {lost:,}")

    @property
    def folder(self) -> RecordingFolder:
        """Where it writes."""
        return self._folder

    def is_full(self, segment: Segment) -> bool:
        """Return whether a segment is to become a Parquet file."""
        age_s = time.monotonic() - segment.began_s
        return segment.bytes >= self._segment_bytes or age_s >= self._segment_s

    def end(self, segment: Segment) -> None:
        """Close a segment, and let it be sealed."""
        segment.close()
        if segment.rows and segment.is_there():
            self._sealer.add([segment.path])

    # what is known

    def stats(self) -> dict[str, Any]:
        """Return what was recorded so far.

        By kind: `rows` that are written; `lost`, overwritten in the ring before they were taken; `dropped`, taken
        and not written. `bytes` of the segments written so far, `open_bytes` of those that are open; `sealed` Parquet
        files and their `sealed_bytes`; `segments` that are open or wait for being sealed; `lag_rows` that wait in the
        rings, and `lag_s`, for how long the oldest of them has; `failing`: why nothing can be written or sealed, or
        None.
        """
        takers, sealer = self._takers, self._sealer
        return {
            "rows": {taker.kind: taker.rows for taker in takers},
            "lost": {taker.kind: taker.lost for taker in takers},
            "dropped": {taker.kind: taker.dropped for taker in takers},
            "bytes": sum(taker.bytes for taker in takers),
            "open_bytes": sum(taker.open_bytes for taker in takers),
            "segments": sum(taker.open for taker in takers) + sealer.waiting,
            "sealed": sealer.files,
            "sealed_bytes": sealer.bytes,
            "lag_rows": sum(taker.lag_rows for taker in takers),
            "lag_s": max(taker.lag_s for taker in takers),
            "failing": self._failing or sealer.failing,
        }

    @property
    def ended(self) -> bool:
        """Whether no more rows will come, and all are written."""
        return all(taker.ended for taker in self._takers)

    # life

    def close(self) -> None:
        """Write what there is, seal it, and leave the folder to others; this waits for the disk.

        What cannot be written is counted as dropped, and told. What cannot be sealed stays open for `recover()`.
        """
        if self._closed:
            return
        self._closed = True
        self._stopping.set()
        self._writer.join()
        self._sealer.close()
        self._folder.close()
        self._close_hub()
        dropped = sum(taker.dropped for taker in self._takers)
        if dropped:
            self._tell(f"{dropped:,} rows could not be written in {self.path}")

    def _close_hub(self) -> None:
        if self._own_hub is not None:
            self._own_hub.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        state = "closed" if self._closed else self._failing or "recording"
        rows = sum(taker.rows for taker in self._takers)
        return f"<Recording in {str(self.path)!r}: {rows} rows, {state}>"


def _check_least(name: str, value: float, least: int) -> None:
    if not value >= least:
        raise ConfigError(f"expected {name} of at least {least}, got {value!r}")


def _checked_options(row_group_rows: int, compression: str) -> ParquetOptions:
    _check_least("row_group_rows", row_group_rows, 1)
    if compression not in COMPRESSIONS:
        raise ConfigError(
            f"expected a compression ({', '.join(COMPRESSIONS)}), got {compression!r}"
        )
    return ParquetOptions(row_group_rows, compression)


def _checked_symbols(symbols: Iterable[str]) -> list[str]:
    found = [symbols] if isinstance(symbols, str) else list(symbols)
    if not found:
        raise ConfigError("expected at least one symbol, or none for all")
    return found


class _Taker:
    """The rows of one kind: from its ring, and from that of the next writer, into segments.

    Everything but counters is for the writer's thread only.
    """

    def __init__(
        self,
        recording: Recording,
        hub: Hub | AttachedHub,
        kind: str,
        wanted: list[str] | None,
        flush_s: float,
    ) -> None:
        self.kind = kind
        self.rows = self.dropped = self.bytes = 0
        self._recording = recording
        self._hub = hub
        self._stream: RowStream = hub.stream(kind)
        self._wanted = wanted
        self._flush_s = flush_s
        self._lost = 0
        self._segments: dict[int, Segment] = {}  # by day, the last one written to at the end
        self._waiting: collections.deque[tuple[int, int, pa.RecordBatch]] = collections.deque()
        self._waited_since: float | None = None  # by rows in the ring
        self._tried_s = 0.0
        source = self._stream.source
        self._use(source, source.start("now"))

    def _use(self, source: Source, position: int) -> None:
        self._source = source
        self._reader = source.reader(position)  # a plain one: it goes on nowhere by itself
        if isinstance(self._hub, AttachedHub):
            self._reader.tell(self._hub.new_slot(self._stream.number))
        depth = BOOK_DEPTH
        if "bid_price" in (source.rows.dtype.names or ()):
            depth = source.rows.dtype["bid_price"].shape[0]
        self._arrow = ArrowRows(self.kind, source.symbols, depth)
        self._chosen = None if self._wanted is None else Chosen(source.symbols, self._wanted)
        size = source.rows.dtype.itemsize
        self._most = max(1, min(_BATCH_ROWS, _BATCH_BYTES // size, source.ring.capacity // 2))
        self._enough = max(1, min(self._most, source.ring.capacity // _FULL))

    # counters

    @property
    def lost(self) -> int:
        """Rows that were overwritten before they were taken."""
        return self._lost + int(self._reader.lost)

    @property
    def lag_rows(self) -> int:
        """Rows that are in the ring and not written."""
        waiting: list[int] = [batch.num_rows for _, _, batch in tuple(self._waiting)]
        return self._reader.ready + sum(waiting)

    @property
    def lag_s(self) -> float:
        """For how long the oldest of them has been there."""
        since = self._waited_since
        return 0.0 if since is None else max(time.monotonic() - since, 0.0)

    @property
    def open(self) -> int:
        """Segments that are written."""
        return len(self._segments)

    @property
    def open_bytes(self) -> int:
        """Their bytes."""
        return sum(segment.bytes for segment in tuple(self._segments.values()))

    @property
    def ended(self) -> bool:
        """Whether all is written, and no more will come."""
        if self._reader.ready or self._waiting:
            return False
        if isinstance(self._hub, AttachedHub):
            return not self._hub.look() and self._stream.source is self._source
        return bool(getattr(self._stream, "ended", False))

    # the writer's thread

    def take(self) -> bool:
        """Write what is due; return whether there is more to do at once."""
        now = time.monotonic()
        self._end_old(now)
        if self._waiting and (now - self._tried_s < _RETRY_S or not self._write_waiting()):
            return False
        ready = self._reader.ready
        if not ready:
            self._waited_since = None
            if isinstance(self._hub, AttachedHub):
                self._hub.look()
            if self._stream.source is not self._source and not self._reader.ready:
                self._follow()
            return False
        if self._waited_since is None:
            self._waited_since = now
        goes_on = self._stream.source is self._source
        if ready < self._enough and now - self._waited_since < self._flush_s and goes_on:
            return False
        is_written = self._take_batch()
        if is_written:
            self._waited_since = now if self._reader.ready else None
        return is_written and self._reader.ready >= self._enough

    def finish(self) -> None:
        """Write all that is there; what cannot be written is dropped."""
        end = self._source.ring.published
        if not self._waiting or self._write_waiting():
            while self._reader.position < end and self._reader.ready:
                if not self._take_batch(end - self._reader.position):
                    break
            else:
                if self._stream.source is not self._source:
                    self._follow()
                    self.finish()
                    return
        self.drop()

    def drop(self, *, all_rows: bool = False) -> None:
        """Count what could not be written as dropped, with what waits behind it in the ring."""
        if self._waiting or all_rows:
            self.dropped += sum(batch.num_rows for _, _, batch in self._waiting)
            self.dropped += self._source.ring.published - self._reader.position
            self._waiting.clear()
        self._waited_since = None

    def end_all(self) -> None:
        """Let all segments be sealed."""
        for day in list(self._segments):
            self._end(day)

    def _follow(self) -> None:
        """Go on with the next writer's rows, from the first one on."""
        self.end_all()
        self._lost += self._reader.lost
        self._use(self._stream.source, 0)

    def _take_batch(self, most: int | None = None) -> bool:
        """Take rows off the ring and write them; return False when they have to wait."""
        rows = self._reader.read(min(self._most, self._most if most is None else most))
        try:
            batch = self._converted(rows)
        except Exception:
            self.dropped += len(rows)
            raise
        if batch is None or not batch.num_rows:
            return True
        self._waiting += _by_day(batch)
        return self._write_waiting()

    def _converted(self, rows: Rows) -> pa.RecordBatch | None:
        """Return rows as a batch, without those that the writer has overwritten meanwhile."""
        first = self._reader.position - len(rows)
        while len(rows):
            wanted = rows if self._chosen is None else self._chosen(rows)
            try:
                batch = self._arrow.batch(wanted)
            except ValueError:  # a torn row may have any symbol
                batch = None
                if not self._source.torn(first, len(rows)):
                    raise
            torn = self._source.torn(first, len(rows))
            if batch is not None and not torn:
                return batch
            self._lost += torn
            first += torn
            rows = rows[torn:]
        return None

    def _write_waiting(self) -> bool:
        """Write what waits, in order; return whether that was possible."""
        self._tried_s = time.monotonic()
        while self._waiting:
            day, first_ns, batch = self._waiting[0]
            try:
                segment = self._segment(day, first_ns)
                before = segment.bytes
                segment.write(batch)
            except OSError as error:
                self._give_up(day)
                self._recording.failed(error)
                return False
            self._waiting.popleft()
            self.rows += batch.num_rows
            self.bytes += segment.bytes - before
            self._recording.succeeded()
            if self._recording.is_full(segment):
                self._end(day)
        return True

    def _segment(self, day: int, first_ns: int) -> Segment:
        """Return the segment of a day, which may be a new one."""
        segment = self._segments.pop(day, None)
        if segment is None:
            while len(self._segments) >= _MOST_DAYS:
                self._end(next(iter(self._segments)))
            segment = Segment(self._recording.folder, self.kind, first_ns, self._arrow.schema)
        self._segments[day] = segment
        return segment

    def _give_up(self, day: int) -> None:
        """End a segment that cannot be written to any more; what is in it is safe, unless it was removed."""
        segment = self._segments.pop(day, None)
        if segment is None:
            return
        if not segment.is_there():
            self.rows -= segment.rows
            self.dropped += segment.rows
        self._recording.end(segment)

    def _end(self, day: int) -> None:
        self._recording.end(self._segments.pop(day))

    def _end_old(self, now: float) -> None:
        """End segments that are old, and those of days that are over."""
        if not self._segments:
            return
        *before, _ = self._segments
        for day, segment in list(self._segments.items()):
            if self._recording.is_full(segment) or (
                day in before and now - segment.wrote_s >= _LATE_S
            ):
                self._end(day)


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[int, int, pa.RecordBatch]]:
    """Give the parts of a batch whose rows were received on one day: its number, the first row's time, the rows."""
    times = numbers_of(batch.column("recv_time"))
    days = times // _DAY_NS
    if days[0] == days.min() == days.max():
        yield int(days[0]), int(times[0]), batch
        return
    for day in dict.fromkeys(days.tolist()):  # in the order in which they begin
        places = np.flatnonzero(days == day)
        yield day, int(times[places[0]]), batch.take(array_of(load_pyarrow().int64(), places))


class _Sealer:
    """A thread that makes Parquet files of segments, one after the other."""

    def __init__(
        self,
        folder: RecordingFolder,
        options: ParquetOptions,
        tell: Callable[[str], object],
        recovered: list[Sealed],
    ) -> None:
        import pyarrow.parquet  # noqa: F401  # now: it would hold up who takes rows from the ring

        self.files = self.bytes = 0
        self._failed: dict[Path, str] = {}  # why segments that wait could not be sealed
        self._folder = folder
        self._options = options
        self._tell = tell
        self._recovered = recovered
        self._leftovers: set[Path] = set()
        self._paths: collections.deque[Path] = collections.deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fastfeed sealer", daemon=True)
        self._thread.start()

    @property
    def failing(self) -> str | None:
        """Why a segment cannot be sealed at the moment."""
        return next(iter(self._failed.copy().values()), None)

    @property
    def waiting(self) -> int:
        """How many segments are not sealed yet."""
        return len(self._paths)

    def add(self, paths: list[Path], *, leftovers: bool = False) -> None:
        """Have segments sealed, those of an earlier recorder as `leftovers`."""
        with self._changed:
            self._paths.extend(paths)
            if leftovers:
                self._leftovers.update(paths)
            self._changed.notify()

    def close(self) -> None:
        """Seal what waits, and end; what cannot be sealed is left where it is."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()
        if self._paths:
            self._tell(
                f"{len(self._paths)} open segments are left in {self._folder.path}, the next recorder or "
                f"fastfeed recover finishes them: {self.failing}"
            )

    def _run(self) -> None:
        with contextlib.suppress(
            OSError
        ):  # of this thread: whoever takes or makes rows comes first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        given_up = 0  # at the end each is tried once more
        while True:
            with self._changed:
                while not self._paths and not self._stopping:
                    self._changed.wait()
                if given_up >= len(self._paths):
                    return
                path = self._paths[0]
            is_sealed = self._seal(path)
            with self._changed:
                if is_sealed:
                    self._paths.popleft()
                    self._failed.pop(path, None)
                    continue
                self._paths.rotate(-1)  # perhaps it alone cannot be sealed
                if self._stopping:
                    given_up += 1
                else:
                    self._changed.wait_for(lambda: self._stopping, _SEAL_AGAIN_S)

    def _seal(self, path: Path) -> bool:
        """Seal a segment; return False when it has to be tried again."""
        is_left = path in self._leftovers
        try:
            self._folder.check_in_place()
            sealed = seal(self._folder, path, self._options, checks=is_left)
        except FileNotFoundError as error:
            if not path.exists() and self._folder.path.exists():
                self._tell(f"the segment {path} was removed: its rows are lost")
                return True
            return self._fail(path, error)
        except Exception as error:  # of the disk or of Arrow: whatever it is, the segment is kept
            return self._fail(path, error)
        self.files += sealed.path is not None
        self.bytes += sealed.bytes
        if is_left:
            self._leftovers.discard(path)
            self._recovered.append(sealed)
        return True

    def _fail(self, path: Path, error: Exception) -> bool:
        reason = why(error)
        is_new = reason not in self._failed.values()
        self._failed[path] = reason
        if is_new:
            self._tell(f"cannot make a Parquet file in {self._folder.path}: {reason}; trying again")
        return False


def recover(
    path: str | os.PathLike[str], *, row_group_rows: int = 1 << 20, compression: str = "zstd"
) -> list[Sealed]:
    """Finish the segments that a recorder which was killed left open.

    Whatever is whole in them becomes Parquet files, as the recorder would have done; what was written only in part is
    cut off and told. A segment that is damaged otherwise is read up to the damage and kept under the name
    ``*.damaged``. One that cannot be read or written now, because the disk is full for example, is left as it is; the
    others are finished. It can be done again at any time, and does nothing where nothing is open.

    Parameters
    ----------
    path : path
        The folder.
    row_group_rows : int
    compression : str
        As in `record`.

    Returns
    -------
    list of Sealed
        What became of each: `path`, `rows`, `bytes`, `cut_bytes`, `damage`; `failure` says why one is left.

    Raises
    ------
    StorageError
        It is no recording, a recorder is writing it, or it is one of a newer version.
    ConfigError
        An option that cannot be, or pyarrow is not installed.
    """
    pa = load_pyarrow()
    options = _checked_options(row_group_rows, compression)
    folder = RecordingFolder(Path(path), version("fastfeed"), makes=False)
    found = []
    try:
        for segment in folder.segments():
            try:
                found.append(seal(folder, segment, options, checks=True))
            except (OSError, pa.ArrowException) as error:
                found.append(Sealed(segment, None, 0, 0, failure=why(error)))
    finally:
        folder.close()
    return found
