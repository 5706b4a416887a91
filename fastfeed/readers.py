"""Who reads a named hub: a file for each process, in the folder `readers` of the hub.

A process locks its file, as a writer locks its hub, and removes it when it has done with the hub. Where it dies the
file is left, without a lock: anybody who may can see that, and remove it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastfeed._core.meter import ReaderSlot, ReaderSlots, readers_in
from fastfeed.errors import HubError
from fastfeed.schema import STREAMS
from fastfeed.shared import is_at, is_locked, leave_at_fork, lock_file, try_to_lock

__all__ = ["OwnReaders", "program_name", "readers_of", "remove_dead_readers"]

_MOST_FILES = 1024  # of a process, and of all that are looked at


def program_name() -> str:
    """Return what this process is called."""
    return os.path.basename(sys.argv[0]) if sys.argv else ""


class OwnReaders:
    """The file in which this process tells what it reads of a hub.

    A forked child has none: what it goes on reading is told nowhere.

    Parameters
    ----------
    folder : Path
        Of the hub.
    """

    def __init__(self, folder: Path) -> None:
        self._slots: ReaderSlots | None = None
        try:
            self._make(folder)
        except (OSError, HubError):  # not allowed, or no memory: readers do without
            return
        leave_at_fork(self)

    def _make(self, folder: Path) -> None:
        mode = (folder / "hub").stat().st_mode & 0o644 | 0o600
        for number in range(_MOST_FILES):
            path = folder / "readers" / f"{os.getpid()}-{number}"
            fd = lock_file(path, mode)
            if fd is None:
                continue
            try:
                os.ftruncate(fd, 0)  # somebody dead had the same number
                self._slots = ReaderSlots(fd, program_name())
                status = os.fstat(fd)
                self._remove = weakref.finalize(
                    self, _remove, path, (status.st_dev, status.st_ino), os.getpid()
                )
            except OSError:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(fd)  # the slots have another one
            return

    def take(self, stream: int, *, measures: bool) -> ReaderSlot | None:
        """Return the slot of a new reader; None where there is no room."""
        slots = self._slots  # another thread may close
        return None if slots is None else slots.take(stream, measures)

    def close(self) -> None:
        """Remove the file."""
        if self._slots is not None:
            self._slots = None
            self._remove()

    def leave(self) -> None:
        """Leave the file to the parent."""
        if self._slots is not None:
            self._slots.leave()


def _remove(path: Path, identity: tuple[int, int], pid: int) -> None:
    """Remove one's own file: not a parent's, nor one of the same name in a hub that began anew."""
    if pid != os.getpid():
        return
    with contextlib.suppress(OSError):
        status = path.lstat()
        if (status.st_dev, status.st_ino) == identity:
            path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    try:
        paths = sorted((folder / "readers").iterdir())
    except OSError:
        return
    yield from paths[:_MOST_FILES]


def readers_of(folder: Path) -> list[dict[str, Any]]:
    """Return what the processes that live tell of their readers; latencies as `Latency` or None."""
    found: list[dict[str, Any]] = []
    for path in _files(folder):
        pid = path.name.partition("-")[0]
        if not pid.isdecimal():
            continue
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if is_locked(fd):
                    program, readers = readers_in(fd)
                    for reader in readers:
                        reader["stream"] = STREAMS[reader["stream"]]
                        reader["id"] = f"{path.name}/{reader['id']}"
                        found.append({"pid": int(pid), "program": program, **reader})
            finally:
                os.close(fd)
    return found


def remove_dead_readers(folder: Path) -> int:
    """Remove the files of processes that are gone, where that is allowed; return how many."""
    removed = 0
    for path in _files(folder):
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if try_to_lock(fd) and is_at(fd, path):
                    path.unlink()
                    removed += 1
            finally:
                os.close(fd)
    return removed
