"""The folder of a recording: who writes it, and what its files are called.

    OUT/
        _fastfeed.json                  what it is (`Description`)
        kind=ticks/date=2026-11-26/     Parquet files; a day is one of UTC, by the time of receipt
            ticks-20261126T093000.123456789-0000.parquet
        _open/
            lock                        locked by the process that writes here, whom it names
            ticks-20261126T093512.000000001-0000.arrows
                                        a segment: rows that are not in a Parquet file yet, as an Arrow IPC stream
            ticks-...-0000.part         the Parquet file that a segment is just becoming

Names are the time at which the first row was received, and a number for those that begin with the same. The rows of a
segment are all of one kind and one day, so its name says which Parquet file it becomes. That file is written under
another name, put to disk, renamed into its place, and only then the segment goes. So a segment whose Parquet file is
there is done with, one without is not, and whoever finds either knows what is left to do.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import msgspec
import numpy as np

from fastfeed.errors import HubError, StorageError
from fastfeed.readers import program_name
from fastfeed.schema import STREAMS
from fastfeed.shared import is_at, leave_at_fork, lock_file

__all__ = [
    "DESCRIPTION",
    "LAYOUT",
    "RecordingFolder",
    "described",
    "description",
    "name_of",
    "put_to_disk",
    "why",
]

#: The number of the layout of a recording's folder; it changes with every change of it.
LAYOUT = 1

#: The name of the file that says what the folder is.
DESCRIPTION = "_fastfeed.json"

_SEGMENT = re.compile(rf"({'|'.join(STREAMS)})-(\d{{4}})(\d\d)(\d\d)T[\d.]+-\d+")
_MOST_BYTES = 1 << 16  # of a description


class Description(msgspec.Struct, frozen=True):
    """What a folder is.

    Attributes
    ----------
    layout : int
        `LAYOUT` of who made it.
    version : str
        The same of fastfeed.
    """

    layout: int
    version: str


class _Owner(msgspec.Struct, frozen=True):
    """Who writes in a folder."""

    pid: int
    program: str


class RecordingFolder:
    """The folder of a recording, which this process alone writes until `close()`.

    Parameters
    ----------
    path : Path
    version : str
        Of fastfeed.
    makes : bool
        Make it a recording if there is none.

    Raises
    ------
    StorageError
        It cannot be used, is no recording, is one of a newer version, or another process writes there.
    """

    def __init__(self, path: Path, version: str, *, makes: bool) -> None:
        self.path = path
        self.open_path = path / "_open"
        self._lock_path = self.open_path / "lock"
        self._lock = -1
        try:
            if makes:
                path.mkdir(parents=True, exist_ok=True)
            self._check(makes)
            self.open_path.mkdir(exist_ok=True)
            self._enter()
            if not (path / DESCRIPTION).exists():
                self._describe(version)
        except (OSError, HubError) as error:
            self.close()
            raise StorageError(f"cannot use the folder {path}: {why(error)}") from error
        except BaseException:
            self.close()
            raise

    def _check(self, makes: bool) -> None:
        """Look at what is there; nothing has been touched yet."""
        names = {entry.name for entry in os.scandir(self.path)}
        if DESCRIPTION not in names:
            # "_open": a recorder ended before it could describe the folder.
            foreign = {name for name in names if name[0] != "."} - {"_open", "lost+found"}
            if foreign and makes:
                raise StorageError(
                    f"{self.path} is no recording and not empty ({min(foreign)} is there): expected a new or "
                    "empty folder, or one of an earlier recording"
                )
            if not makes:
                raise StorageError(f"{self.path} is no recording: there is no {DESCRIPTION} in it")
            return
        described(self.path)

    def _enter(self) -> None:
        fd = lock_file(self._lock_path, 0o644)
        if fd is None:
            raise StorageError(f"{self.path} is in use: {self._owner()} writes there")
        self._lock = fd
        leave_at_fork(self)
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(_Owner(os.getpid(), program_name())), 0)

    def _owner(self) -> str:
        with contextlib.suppress(OSError, msgspec.DecodeError, ValueError):
            with open(self._lock_path, "rb") as file:
                found = msgspec.json.decode(file.read(_MOST_BYTES), type=_Owner)
            return f"process {found.pid} ({found.program})"
        return "another process"

    def _describe(self, version: str) -> None:
        new = self.open_path / f"{DESCRIPTION}.part"
        new.write_bytes(description(version))
        put_to_disk(new)
        new.rename(self.path / DESCRIPTION)
        put_to_disk(self.path)

    def check_in_place(self) -> None:
        """See that the folder is still the one that was opened; FileNotFoundError."""
        if not is_at(self._lock, self._lock_path):
            raise FileNotFoundError(None, "it was removed or replaced meanwhile")

    # names

    def new_segment(self, kind: str, first_ns: int) -> Path:
        """Return the path of a segment that is not there, nor its Parquet file."""
        number = 0
        while True:
            path = self.open_path / f"{name_of(kind, first_ns, number)}.arrows"
            if not (path.exists() or self.sealed_path(path).exists()):
                return path
            number += 1

    def sealed_path(self, segment: Path) -> Path:
        """Return where the Parquet file of a segment belongs."""
        found = _SEGMENT.fullmatch(segment.stem)
        if found is None:
            raise StorageError(
                f"{segment} is no segment of a recording: its name says no kind and day"
            )
        kind, *date = found.groups()
        return self.path / f"kind={kind}" / f"date={'-'.join(date)}" / f"{segment.stem}.parquet"

    def part_path(self, segment: Path) -> Path:
        """Return where the Parquet file of a segment is written."""
        return segment.with_suffix(".part")

    def segments(self) -> list[Path]:
        """Return the segments that are there, oldest first."""
        found = [path for path in self.open_path.glob("*.arrows") if _SEGMENT.fullmatch(path.stem)]
        return sorted(found, key=lambda path: path.name.partition("-")[2])

    # life

    def close(self) -> None:
        """Let others write here."""
        if self._lock < 0:
            return
        with contextlib.suppress(OSError):
            if is_at(self._lock, self._lock_path):
                self._lock_path.unlink()
                self.open_path.rmdir()  # unless a segment is left
        self.leave()

    def leave(self) -> None:
        """Leave the folder to the parent of this process, which is a fork."""
        fd, self._lock = self._lock, -1
        if fd >= 0:
            os.close(fd)


def described(path: Path) -> Description:
    """Return what a folder says that it is.

    Raises
    ------
    OSError
        It says nothing, or that cannot be read.
    StorageError
        That is no description, or one of another layout.
    """
    with open(path / DESCRIPTION, "rb") as file:
        data = file.read(_MOST_BYTES)
    try:
        found = msgspec.json.decode(data, type=Description)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise StorageError(f"{path / DESCRIPTION} does not describe a recording: {error}") from None
    if found.layout != LAYOUT:
        raise StorageError(
            f"{path} has layout {found.layout} of fastfeed {found.version}, this fastfeed knows layout "
            f"{LAYOUT}: it needs a newer fastfeed"
        )
    return found


def description(version: str) -> bytes:
    """Return what a folder of this version of fastfeed says."""
    return msgspec.json.encode(Description(LAYOUT, version)) + b"\n"


def name_of(kind: str, first_ns: int, number: int) -> str:
    """Return the name of a file without its ending."""
    text = str(np.datetime64(first_ns, "ns")).replace("-", "").replace(":", "")
    return f"{kind}-{text}-{number:04}"


def put_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def why(error: BaseException) -> str:
    """Return the reason of an error in as few words as the system has for it."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)  # Arrow's texts have lines of details
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join((text or str(error) or repr(error)).split())
