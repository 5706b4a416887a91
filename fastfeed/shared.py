"""Where named hubs lie: a folder of files in /dev/shm for each; who writes it, and whether he lives.

    /dev/shm/fastfeed-UID/NAME/
        hub                     what it is (`Description`), as JSON; there while the hub can be attached, and
                                locked by the writer for as long as he lives
        lock                    who has locked it may write in this folder; for the owner's eyes only
        bells                   what readers of the same user write: that they sleep
        symbols, broker_names   journals of symbol tables
        ticks, quotes, ...      rings
        quotes.latest, ...      latest rows
        feeds                   states and latencies of the feeds
        readers/                a file for each process that reads

Readers open everything for reading only, but for the bells and their own file. `hub` comes last and goes first: who
finds it, opens the others and then finds the same one still there has files that belong together. A hub of the
same name that begins anew is another file.

Locks are of the kind that belongs to the opened file (open file description): the kernel takes them back when the
writer ends, however he ends. Other users, where they may read, cannot get in a writer's way: what they could
lock is new with every hub, and what they could cut short, the bells, is not theirs to write.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import pwd
import re
import stat
import struct
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from fastfeed.errors import HubError, InternalError

__all__ = [
    "LAYOUT",
    "Description",
    "Mapped",
    "OpenFolder",
    "OwnFolder",
    "Survey",
    "checked_mode",
    "checked_name",
    "folders",
    "is_at",
    "is_locked",
    "leave_at_fork",
    "lock_file",
    "new_generation",
    "remove",
    "try_to_lock",
    "survey",
    "user_folder",
]

#: The number of the layout of all files; it changes with every change of them.
LAYOUT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FLOCK = struct.Struct("@hhqqi4x")  # type, whence, start, length, pid
_ATTEMPTS = 100


class Description(msgspec.Struct, frozen=True):
    """What a hub is.

    Attributes
    ----------
    layout : int
        `LAYOUT` of who wrote it.
    version : str
        The same of fastfeed.
    generation : int
        Another one whenever a hub of this name begins anew; ns since 1970 UTC.
    pid : int
    program : str
        The writer's.
    capacity, max_symbols, book_depth : int
        As in `Hub`.
    row_sizes, capacities : dict
        Of the rings, by stream.
    """

    layout: int
    version: str
    generation: int
    pid: int
    program: str
    capacity: int
    max_symbols: int
    book_depth: int
    row_sizes: dict[str, int]
    capacities: dict[str, int]


def user_folder(user: str | int | None = None) -> Path:
    """Return the folder of a user's hubs, by default one's own.

    It lies in /dev/shm, or where `FASTFEED_SHM` says; that should be a file system in memory.

    Raises
    ------
    HubError
        There is no such user.
    """
    if user is None:
        uid = os.geteuid()
    elif isinstance(user, int):
        uid = user
    else:
        try:
            uid = pwd.getpwnam(user).pw_uid
        except KeyError:
            raise HubError(f"expected a user of this machine, got {user!r}") from None
    return Path(os.environ.get("FASTFEED_SHM") or "/dev/shm") / f"fastfeed-{uid}"


def checked_name(name: str) -> str:
    """Return the name of a hub; TypeError, ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"expected the name of a hub, got {name!r}")
    if not _NAME.fullmatch(name):
        raise ValueError(
            "expected the name of a hub: up to 64 letters, digits, dots, dashes and underscores, "
            f"first a letter or a digit, got {name!r}"
        )
    return name


def checked_mode(mode: int) -> int:
    """Return the permissions of a hub's files; ValueError."""
    if not isinstance(mode, int) or mode & ~0o666 or mode & 0o600 != 0o600:
        shown = oct(mode) if isinstance(mode, int) else repr(mode)
        raise ValueError(f"expected permissions such as 0o600 or 0o640, got {shown}")
    return mode


def folders(user: str | int | None = None) -> list[Path]:
    """Return the folders of a user's hubs, dead ones as well."""
    with contextlib.suppress(OSError):
        found = sorted(path for path in user_folder(user).iterdir() if _NAME.fullmatch(path.name))
        return [path for path in found if path.is_dir() and not path.is_symlink()]
    return []


def try_to_lock(fd: int) -> bool:
    """Lock a file for as long as it is open; return False where somebody else has."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def is_locked(fd: int) -> bool:
    """Return whether somebody else has locked a file as `lock_file` does; it need not be open for writing."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def is_at(fd: int, path: Path) -> bool:
    """Return whether an opened file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def lock_file(path: Path, mode: int) -> int | None:
    """Make or open a file and lock it for as long as it is open; return it, None where another one has it.

    A forked child closes it: it must not keep the lock of a parent that is gone.
    """
    for _ in range(_ATTEMPTS):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            if not try_to_lock(fd):
                return None
            if is_at(fd, path):
                os.fchmod(fd, mode)
                kept, fd = fd, -1
                return kept
        finally:
            if fd >= 0:  # another one has it, or it was removed meanwhile by who had it
                os.close(fd)
    raise HubError(f"cannot lock {path}: it is removed again and again")


def _read_description(fd: int, path: Path) -> Description:
    try:
        data = os.pread(fd, 1 << 16, 0)
        layout = msgspec.json.decode(data)["layout"]
    except (OSError, msgspec.DecodeError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise HubError(f"{path} does not describe a hub: {error!r}") from None
    if layout != LAYOUT:
        version = msgspec.json.decode(data).get("version")
        raise HubError(
            f"the hub {path.parent.name!r} has layout {layout!r} of fastfeed {version!r}, this fastfeed reads "
            f"layout {LAYOUT}: run the same version on both sides"
        )
    try:
        return msgspec.json.decode(data, type=Description)
    except msgspec.ValidationError as error:
        raise HubError(f"{path} does not describe a hub: {error}") from None


def _make_folder(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise HubError(f"{path} is not a folder of this user's")
    if status.st_mode & 0o700 != 0o700:  # an odd umask
        path.chmod(0o700)


def _remove_files(folder: Path, but: str = "") -> None:
    """Remove what is in a folder of a hub; `hub` first."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name != "hub"):
        if path.name == but:
            continue
        if path.is_dir() and not path.is_symlink():
            _remove_folder(path)
        else:
            path.unlink(missing_ok=True)


def _remove_folder(folder: Path) -> None:
    """Remove a folder in which a reader may be making a file."""
    for _ in range(_ATTEMPTS):
        _remove_files(folder)
        try:
            folder.rmdir()
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
    raise HubError(f"cannot remove {folder}: it is filled again and again")


class Mapped(Protocol):
    """What a process has mapped for writing."""

    def leave(self) -> None:
        """Write no more: this process is a fork of that one."""


class OwnFolder:
    """The folder of a hub that this process writes.

    Parameters
    ----------
    name : str
    mode : int
        Permissions of the files, as for `os.chmod`; who may read may attach.

    Raises
    ------
    HubError
        Another process writes the hub of this name, or /dev/shm cannot be used.
    """

    def __init__(self, name: str, mode: int = 0o600) -> None:
        self.name = checked_name(name)
        checked_mode(mode)
        self.path = user_folder() / name
        self.mapped: list[Mapped] = []
        self._readable = mode & 0o644
        folder_mode = 0o700 | (mode & 0o044) | (mode & 0o044) >> 2
        self._pid = os.getpid()
        self._hub = self._lock = -1
        try:
            self._lock = self._enter()
            leave_at_fork(self)
            _remove_files(self.path, but="lock")  # of a hub that is dead
            self.path.parent.chmod(folder_mode | stat.S_IMODE(self.path.parent.stat().st_mode))
            self.path.chmod(folder_mode)
            readers = self.path / "readers"
            readers.mkdir()
            readers.chmod(folder_mode)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self.failure(f"cannot make the hub {name!r}", error) from error
            raise

    def _enter(self) -> int:
        for _ in range(_ATTEMPTS):
            try:
                _make_folder(self.path.parent)
                _make_folder(self.path)
                fd = lock_file(self.path / "lock", 0o600)
            except FileNotFoundError:  # one of them is removed by who had it
                if not self.path.parent.parent.is_dir():
                    raise
                continue
            if fd is not None:
                return fd
            raise HubError(f"the hub {self.name!r} is written by another process{self._writer()}")
        raise HubError(f"cannot make {self.path}: it is removed again and again")

    def _writer(self) -> str:
        """Say who it is, where that is known: what lies there may also be a dead one's that is being replaced."""
        with contextlib.suppress(OSError, HubError), open(self.path / "hub", "rb") as file:
            found = _read_description(file.fileno(), self.path / "hub")
            if is_locked(file.fileno()):
                return f": {found.pid}, {found.program}"
        return ""

    def failure(self, what: str, error: OSError | MemoryError) -> HubError:
        """Return the error that says what cannot be done here, and why."""
        why = str(error)
        if isinstance(error, MemoryError) or error.errno in (errno.ENOSPC, errno.ENOMEM):
            why = "no memory is left there"
            with contextlib.suppress(OSError):
                found = os.statvfs(self.path.parent.parent)
                why += f" ({found.f_bavail * found.f_frsize >> 10} KiB free)"
        return HubError(f"{what} in {self.path}: {why}")

    @contextlib.contextmanager
    def new_file(self, name: str) -> Iterator[int]:
        """Make an empty file, and give its descriptor."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(self.path / name, flags, 0o600)
        try:
            os.fchmod(fd, 0o600 if name == "bells" else self._readable)
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[int]:
        """Open a file that is there, for writing."""
        fd = os.open(self.path / name, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

    def announce(self, description: Description) -> None:
        """Let readers find the hub: everything else is there."""
        new = self.path / "hub.new"
        self._hub = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.write(self._hub, msgspec.json.encode(description))
        if not try_to_lock(self._hub):
            raise InternalError(f"{new} is locked by somebody else")
        os.fchmod(self._hub, self._readable)  # after it was locked: others could do so now
        os.rename(new, self.path / "hub")

    def close(self) -> None:
        """Remove the hub; who has it open may go on reading what was written."""
        if self._pid != os.getpid() or self._lock < 0:
            return
        with contextlib.suppress(OSError, HubError):
            if is_at(self._lock, self.path / "lock"):  # and was not removed by hand
                _remove_files(self.path, but="lock")
                (self.path / "lock").unlink(missing_ok=True)
                self.path.rmdir()
        self._close_files()
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()  # unless there are other hubs

    def leave(self) -> None:
        """Leave the hub to the parent of this process, which is a fork: it can be read here, and no more."""
        self._close_files()
        for mapped in self.mapped:
            mapped.leave()

    def _close_files(self) -> None:
        _parents.discard(self)
        for fd in (self._hub, self._lock):
            if fd >= 0:
                os.close(fd)
        self._hub = self._lock = -1


_parents: weakref.WeakSet[Mapped] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for one in list(_parents):
        one.leave()


@functools.cache
def _leave_to_parent_at_fork() -> None:
    os.register_at_fork(after_in_child=_leave_to_parent)


def leave_at_fork(one: Mapped) -> None:
    """Have `leave()` called in every fork of this process, for as long as the object is there."""
    _leave_to_parent_at_fork()
    _parents.add(one)


class OpenFolder:
    """The folder of a hub that another process writes, as it was when it was opened.

    Parameters
    ----------
    path : Path
    uid : int
        Whom it has to belong to.

    Raises
    ------
    HubError
        There is no such hub, its writer is gone, it may not be read, or it is of another layout.
    """

    def __init__(self, path: Path, uid: int) -> None:
        self.path = path
        self._hub = -1
        try:
            for folder in (path.parent, path):
                status = folder.lstat()
                if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
                    raise HubError(f"{folder} is not a folder of user {uid}'s")
            self._hub = self._open("hub")
            self.description = _read_description(self._hub, path / "hub")
        except FileNotFoundError:
            raise HubError(f"there is no hub {path.name!r} in {path.parent}") from None
        except PermissionError:
            raise HubError(
                f"the hub {path.name!r} in {path.parent} may not be read by this user; who writes it can "
                "allow that, see the `mode` of a hub"
            ) from None
        except OSError as error:
            raise HubError(f"the hub {path.name!r} cannot be read: {error}") from None

    def __del__(self) -> None:
        self.close()

    def _open(self, name: str, flags: int = os.O_RDONLY) -> int:
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(self.path / name, flags)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[int]:
        """Open a file for reading, the bells also for writing."""
        fd = self._open(name, os.O_RDWR if name == "bells" else os.O_RDONLY)
        try:
            yield fd
        finally:
            os.close(fd)

    def is_alive(self) -> bool:
        """Return whether the writer lives and has not ended this hub."""
        return self.is_current() and is_locked(self._hub)

    def is_current(self) -> bool:
        """Return whether the hub of this name is still this one."""
        return is_at(self._hub, self.path / "hub")

    def close(self) -> None:
        """Close its file."""
        fd, self._hub = self._hub, -1
        if fd >= 0:
            os.close(fd)


def remove(folder: Path) -> bool:
    """Remove a hub whose writer is gone; return whether that was so."""
    try:
        fd = lock_file(folder / "lock", 0o600)
    except OSError:
        return False
    if fd is None:
        return False
    try:
        _remove_files(folder, but="lock")
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()
        with contextlib.suppress(OSError):
            folder.parent.rmdir()
    except (OSError, HubError):
        return False
    finally:
        os.close(fd)
    return True


class Survey(msgspec.Struct, frozen=True):
    """What is in a folder of a hub, dead or alive.

    Attributes
    ----------
    path : Path
    state : str
        ``alive``; ``dead``, its writer is gone; ``starting`` or just ending; ``broken``, leftovers without a
        description; ``unknown``, not for this user to see.
    description : Description or None
    problem : str
        Why there is no description.
    memory_bytes : int
        What its files take.
    readers, dead_readers : tuple of str
        Files of processes that read it, and of those that are gone.
    """

    path: Path
    state: Literal["alive", "dead", "starting", "broken", "unknown"]
    description: Description | None
    problem: str
    memory_bytes: int
    readers: tuple[str, ...]
    dead_readers: tuple[str, ...]


def survey(folder: Path) -> Survey:
    """Look at the folder of a hub without attaching to it."""
    description = None
    problem = ""
    state: Literal["alive", "dead", "starting", "broken", "unknown"] = "unknown"
    try:
        fd = os.open(folder / "hub", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            state = "alive" if is_locked(fd) else "dead"
            description = _read_description(fd, folder / "hub")
        finally:
            os.close(fd)
    except FileNotFoundError:
        problem = "nothing describes it"
        with contextlib.suppress(OSError):
            state = "starting" if _is_file_locked(folder / "lock") else "broken"
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
    except HubError as error:
        problem = str(error)
    readers = {path.name: _is_reader_alive(path) for path in _files(folder / "readers")}
    return Survey(
        folder,
        state,
        description,
        problem,
        _memory(folder),
        tuple(name for name, lives in readers.items() if lives),
        tuple(name for name, lives in readers.items() if not lives),
    )


def _is_reader_alive(path: Path) -> bool:
    """Return whether the process of a reader's file lives; whose file cannot be opened, is taken for alive."""
    try:
        return _is_file_locked(path)
    except OSError:
        return True


def _files(folder: Path) -> list[Path]:
    """Return what is in a folder, nothing where it cannot be read."""
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _is_file_locked(path: Path) -> bool:
    """Return whether somebody has locked a file; one that is not there is locked by nobody."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        return is_locked(fd)
    finally:
        os.close(fd)


def _memory(folder: Path) -> int:
    """Return how many bytes of memory files take, those in folders within as well."""
    taken = 0
    for path in _files(folder):
        with contextlib.suppress(OSError):
            status = path.lstat()
            is_folder = stat.S_ISDIR(status.st_mode)
            taken += _memory(path) if is_folder else status.st_blocks * 512
    return taken


def new_generation() -> int:
    """Return the number of a hub that begins now."""
    return time.time_ns()
