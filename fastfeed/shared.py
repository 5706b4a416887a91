"""Where named hubs lie: a folder of files in /dev/shm for each; who writes it, and whether he lives.

    /dev/shm/fastfeed-UID/NAME/
        hub                     what it is (`Description`), as JSON; there while the hub can be attached
        lock                    locked by the writer for as long as he lives
        bells                   what readers write: that they sleep
        symbols, broker_names   journals of symbol tables
        ticks, quotes, ...      rings
        quotes.latest, ...      latest rows
        feeds                   states and latencies of the feeds
        readers/                a file for each process that reads

Readers open everything for reading only, but for the bells and their own file. `hub` comes last and goes first, so
that who finds it finds the others; a hub of the same name that begins anew is another file.

The lock is of the kind that belongs to the opened file (open file description): the kernel takes it back when the
writer ends, however he ends.
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
from typing import Literal

import msgspec

from fastfeed.errors import HubError

__all__ = [
    "LAYOUT",
    "Description",
    "OpenFolder",
    "OwnFolder",
    "Survey",
    "checked_mode",
    "checked_name",
    "folders",
    "is_locked",
    "lock_file",
    "new_generation",
    "remove",
    "remove_dead_readers",
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
        return sorted(p for p in user_folder(user).iterdir() if p.is_dir() and not p.is_symlink())
    return []


def _try_to_lock(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def is_locked(fd: int) -> bool:
    """Return whether somebody else has locked a file, which need not be open for writing."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _is_at(fd: int, path: Path) -> bool:
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
        if not _try_to_lock(fd):
            os.close(fd)
            return None
        if _is_at(fd, path):
            os.fchmod(fd, mode)
            return fd
        os.close(fd)  # it was removed meanwhile by who had it
    raise HubError(f"cannot lock {path}: it is removed again and again")


def _read_description(fd: int, path: Path) -> Description:
    try:
        data = os.pread(fd, 1 << 16, 0)
        layout = msgspec.json.decode(data)["layout"]
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise HubError(f"{path} does not describe a hub: {error!r}") from None
    if layout != LAYOUT:
        version = msgspec.json.decode(data).get("version")
        raise HubError(
            f"the hub {path.parent.name!r} has layout {layout} of fastfeed {version}, this fastfeed reads "
            f"layout {LAYOUT}: run the same version on both sides"
        )
    try:
        return msgspec.json.decode(data, type=Description)
    except msgspec.ValidationError as error:
        raise HubError(f"{path} does not describe a hub: {error}") from None


def _make_folder(path: Path, mode: int) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise HubError(f"{path} is not a folder of this user's")
    if mode & ~status.st_mode:
        path.chmod(mode | stat.S_IMODE(status.st_mode))


def _remove_files(folder: Path, but: str = "") -> None:
    """Remove what is in a folder of a hub; `hub` first."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name != "hub"):
        if path.name == but:
            continue
        if path.is_dir() and not path.is_symlink():
            _remove_files(path)
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


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
        self._readable = mode & 0o644
        self._bells = mode | (mode & 0o444) >> 1  # who reads may sleep
        folder_mode = 0o700 | (mode & 0o444) | (mode & 0o444) >> 2
        self._pid = os.getpid()
        try:
            self._lock = self._enter(folder_mode)
            _leave_to_parent_at_fork()
            _own.add(self)
            _remove_files(self.path, but="lock")  # of a hub that is dead
            readers = self.path / "readers"
            readers.mkdir()
            readers.chmod(folder_mode)
        except OSError as error:
            raise HubError(f"cannot make the hub {name!r} in {self.path}: {error}") from error

    def _enter(self, folder_mode: int) -> int:
        for _ in range(_ATTEMPTS):
            _make_folder(self.path.parent, folder_mode)
            _make_folder(self.path, folder_mode)
            try:
                fd = lock_file(self.path / "lock", self._readable)
            except FileNotFoundError:  # it is removed by who had it
                continue
            if fd is not None:
                return fd
            raise HubError(f"the hub {self.name!r} is written by {self._writer()}")
        raise HubError(f"cannot make {self.path}: it is removed again and again")

    def _writer(self) -> str:
        try:
            with open(self.path / "hub", "rb") as file:
                found = _read_description(file.fileno(), self.path / "hub")
        except (OSError, HubError):
            return "another process"
        return f"another process: {found.pid}, {found.program}"

    @contextlib.contextmanager
    def new_file(self, name: str, size: int = 0) -> Iterator[int]:
        """Make a file that is `size` bytes long and has no memory yet, and give its descriptor."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(self.path / name, flags, 0o600)
        try:
            os.fchmod(fd, self._bells if name == "bells" else self._readable)
            os.ftruncate(fd, size)
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
        with self.new_file("hub.new") as fd:
            os.write(fd, msgspec.json.encode(description))
        os.rename(self.path / "hub.new", self.path / "hub")

    def close(self) -> None:
        """Remove the hub; who has it open may go on reading what was written."""
        if self._pid != os.getpid() or self not in _own:
            return
        _own.discard(self)
        with contextlib.suppress(OSError):
            _remove_files(self.path, but="lock")
            (self.path / "lock").unlink(missing_ok=True)
            self.path.rmdir()
        os.close(self._lock)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()  # unless there are other hubs

    def after_fork(self) -> None:
        """Leave the hub to the parent."""
        os.close(self._lock)


_own: weakref.WeakSet[OwnFolder] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for folder in list(_own):
        folder.after_fork()
        _own.discard(folder)


@functools.cache
def _leave_to_parent_at_fork() -> None:
    os.register_at_fork(after_in_child=_leave_to_parent)


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
        self._hub = self._lock = -1
        try:
            self._hub = self._open("hub")
            self._lock = self._open("lock")
            for fd in (self._hub, self._lock):
                if os.fstat(fd).st_uid != uid:
                    raise HubError(f"the hub {path.name!r} does not belong to user {uid}")
            self.description = _read_description(self._hub, path / "hub")
        except FileNotFoundError:
            self.close()
            raise HubError(f"there is no hub {path.name!r} in {path.parent}") from None
        except OSError as error:
            self.close()
            raise HubError(f"the hub {path.name!r} cannot be read: {error}") from None
        except HubError:
            self.close()
            raise

    def _open(self, name: str, flags: int = os.O_RDONLY) -> int:
        return os.open(self.path / name, flags | os.O_CLOEXEC | os.O_NOFOLLOW)

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
        return self.is_current() and is_locked(self._lock)

    def is_current(self) -> bool:
        """Return whether the hub of this name is still this one."""
        return _is_at(self._hub, self.path / "hub")

    def close(self) -> None:
        """Close its files."""
        for fd in (self._hub, self._lock):
            if fd >= 0:
                os.close(fd)
        self._hub = self._lock = -1


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
    except OSError:
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
        state = "alive" if _is_file_locked(folder / "lock") else "dead"
        fd = os.open(folder / "hub", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            description = _read_description(fd, folder / "hub")
        finally:
            os.close(fd)
    except FileNotFoundError:
        state = "starting" if state == "alive" else "broken"
        problem = "nothing describes it"
    except OSError as error:
        state = "unknown"
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
        tuple(name for name, is_locked in readers.items() if is_locked),
        tuple(name for name, is_locked in readers.items() if not is_locked),
    )


def remove_dead_readers(folder: Path) -> int:
    """Remove the files of processes that read a hub and are gone; return how many they were."""
    removed = 0
    for path in _files(folder / "readers"):
        with contextlib.suppress(OSError, HubError):
            if _is_reader_alive(path):
                continue
            fd = lock_file(path, 0o600)
            if fd is not None:
                path.unlink(missing_ok=True)
                os.close(fd)
                removed += 1
    return removed


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
