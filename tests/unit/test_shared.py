"""Where named hubs lie: folders, locks, permissions, errors, and the layout of the files."""

import errno
import fcntl
import gc
import hashlib
import os
import stat
import sys
import threading
import time

import msgspec
import numpy as np
import pytest
from hub_process import open_files

import fastfeed as ff
from fastfeed import hub, schema, shared
from fastfeed.shared import OwnFolder

#: Of what the files contain. It changes together with `LAYOUT`, where that was released.
LAYOUT_DIGEST = "309ddb7cde0cb8c2f8022f6f0f8f726b"


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


# names and folders


@pytest.mark.parametrize("name", ["a", "md", "7", "a.b-c_d", "x" * 64])
def test_names(name, shm):
    with ff.Hub(name) as made:
        assert made.name == name
        assert [path.name for path in shared.folders()] == [name]


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "a/b", "../a", "a b", "x" * 65, "a\n", "é", "a\0b"]
)
def test_names_that_are_none(name, shm):
    with pytest.raises(ValueError, match="expected the name of a hub"):
        ff.Hub(name)
    with pytest.raises(ValueError, match="expected the name of a hub"):
        ff.attach(name)
    assert not list(shm.iterdir())


def test_a_name_is_text(shm):
    with pytest.raises(TypeError, match="expected the name of a hub"):
        ff.Hub(7)


def test_folder_of_a_user(shm):
    assert shared.user_folder() == shm / f"fastfeed-{os.geteuid()}"
    assert shared.user_folder("root") == shm / "fastfeed-0"
    assert shared.user_folder(1234) == shm / "fastfeed-1234"
    with pytest.raises(ff.HubError, match="expected a user of this machine"):
        ff.attach("md", user="nobody-has-this-name")


def test_folder_is_in_dev_shm_by_default(monkeypatch):
    monkeypatch.delenv("FASTFEED_SHM", raising=False)
    assert str(shared.user_folder()) == f"/dev/shm/fastfeed-{os.geteuid()}"


def test_memory_that_is_not_there(shm, monkeypatch):
    monkeypatch.setenv("FASTFEED_SHM", str(shm / "missing"))
    with pytest.raises(ff.HubError, match=r"cannot make the hub 'md'.*No such file"):
        ff.Hub("md")
    assert shared.folders() == []
    with pytest.raises(ff.HubError, match="there is no hub 'md'"):
        ff.attach("md")


def test_a_clean_end_leaves_nothing(shm):
    before = open_files()
    with ff.Hub("one") as one, ff.Hub("two"):
        for name in schema.STREAMS:
            one.stream(name)
        assert sorted(path.name for path in shared.folders()) == ["one", "two"]
        del one
    assert not list(shm.iterdir())
    gc.collect()
    assert open_files() == before


def test_a_hub_that_is_dropped_is_removed(shm):
    made = ff.Hub("md")
    ticks = made.ticks
    ticks.ring.write(bytes(64))
    del made
    gc.collect()
    assert not list(shm.iterdir())
    assert ticks.count == 1  # the rows live as long as somebody holds them


def test_closing_twice_leaves_another_hub_alone(shm):
    first = ff.Hub("md")
    first.close()
    with ff.Hub("md"):
        first.close()
        assert ff.attach("md").alive


def test_removal_by_hand_is_no_harm(shm):
    made = ff.Hub("md")
    reader = ff.attach("md")
    shared._remove_folder(shared.user_folder())
    assert reader.look()
    assert not reader.alive
    with ff.Hub("md"):
        made.close()
        assert ff.attach("md").alive
    assert not list(shm.iterdir())


# who may


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
@pytest.mark.parametrize(("mode", "folder_mode"), [(0o600, 0o700), (0o640, 0o750), (0o644, 0o755)])
def test_permissions(mode, folder_mode, umask, shm):
    old = os.umask(umask)
    try:
        made = ff.Hub("md", mode=mode)
    finally:
        os.umask(old)
    with made:
        folder = shared.user_folder() / "md"
        assert mode_of(folder) == mode_of(folder.parent) == folder_mode
        for path in folder.iterdir():
            own = path.name in ("lock", "bells")
            expected = folder_mode if path.is_dir() else 0o600 if own else mode
            assert (path.name, mode_of(path)) == (path.name, expected)


def test_permissions_narrow_again(shm):
    with ff.Hub("md", mode=0o644), ff.Hub("other"):
        folder = shared.user_folder()
        assert mode_of(folder / "md") == 0o755
        with pytest.raises(ff.HubError):
            ff.Hub("other", mode=0o644)
        assert mode_of(folder / "other") == 0o700


@pytest.mark.parametrize("mode", [0, 0o400, 0o700, 0o620 | 0o1000, 0o755, "0o600", None, True, -1])
def test_permissions_that_are_none(mode, shm):
    with pytest.raises(ValueError, match="expected permissions such as"):
        ff.Hub("md", mode=mode)
    assert not list(shm.iterdir())


@pytest.mark.parametrize("what", ["fastfeed-{uid}", "fastfeed-{uid}/md", "fastfeed-{uid}/md/lock"])
def test_links_are_not_followed(what, shm, tmp_path):
    (tmp_path / "precious").write_text("x")
    link = shm / what.format(uid=os.geteuid())
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path if what.endswith(("md", "}")) else tmp_path / "precious")
    with pytest.raises(ff.HubError):
        ff.Hub("md")
    with pytest.raises(ff.HubError):
        ff.attach("md")
    assert (tmp_path / "precious").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_links_in_a_folder_are_removed_and_not_followed(shm, tmp_path):
    (tmp_path / "precious").write_text("x")
    folder = shared.user_folder() / "md"
    folder.mkdir(parents=True)
    (folder / "ticks").symlink_to(tmp_path / "precious")
    (folder / "readers").symlink_to(tmp_path)
    with ff.Hub("md") as made:
        made.ticks.ring.write(bytes(64))
    assert (tmp_path / "precious").read_text() == "x"
    assert not list(shm.iterdir())


def test_a_file_in_place_of_a_folder(shm):
    (shm / f"fastfeed-{os.geteuid()}").write_text("")
    with pytest.raises(ff.HubError, match="is not a folder of this user's"):
        ff.Hub("md")
    with pytest.raises(ff.HubError, match="is not a folder of user"):
        ff.attach("md")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_folder_of_somebody_else(shm):
    with ff.Hub("md"):
        for path in (shared.user_folder(), shared.user_folder() / "md"):
            os.chown(path, 65534, -1)
            with pytest.raises(ff.HubError, match="is not a folder of this user's"):
                ff.Hub("other" if path == shared.user_folder() else "md")
            with pytest.raises(ff.HubError, match="is not a folder of user 0's"):
                ff.attach("md")
            os.chown(path, 0, -1)
        assert ff.attach("md").alive


# one writer


def test_a_second_writer_is_refused(shm):
    before = open_files()
    with ff.Hub("md") as first:
        inside = open_files()
        with pytest.raises(
            ff.HubError, match=rf"'md' is written by another process: {os.getpid()}, "
        ):
            ff.Hub("md")
        assert open_files() == inside
        assert ff.attach("md").generation
        assert first.ticks.count == 0
    del first
    assert open_files() == before


def test_a_dead_hub_is_replaced_and_not_named_as_a_writer(shm):
    folder = shared.user_folder() / "md"
    folder.mkdir(parents=True)
    (folder / "hub").write_text('{"layout": 1, "pid": 1}')
    (folder / "ticks").write_bytes(b"old")
    (folder / "readers").mkdir()
    (folder / "readers" / "17").write_text("")
    with pytest.raises(ff.HubError):
        ff.attach("md")
    fd = shared.lock_file(folder / "lock", 0o600)  # of one who is about to begin
    with pytest.raises(ff.HubError, match=r"written by another process$"):
        ff.Hub("md")
    os.close(fd)
    with ff.Hub("md"):
        assert ff.attach("md").alive
    assert not list(shm.iterdir())


def test_locks(shm):
    path = shm / "lock"
    fd = shared.lock_file(path, 0o640)
    assert mode_of(path) == 0o640
    assert shared.lock_file(path, 0o600) is None
    other = os.open(path, os.O_RDONLY)
    assert shared.is_locked(other)
    assert not shared.is_locked(fd)  # by somebody else
    os.close(fd)
    assert not shared.is_locked(other)
    os.close(other)


def test_a_lock_that_was_removed_meanwhile(shm, monkeypatch):
    """One who ended has removed the file between its opening and its locking."""
    path = shm / "lock"
    usual = shared.try_to_lock
    opened = []

    def slow(fd):
        opened.append(fd)
        if len(opened) == 1:
            path.unlink()
        return usual(fd)

    before = open_files()
    monkeypatch.setattr(shared, "try_to_lock", slow)
    fd = shared.lock_file(path, 0o600)
    assert len(opened) == 2
    assert os.path.samestat(os.fstat(fd), path.stat())
    os.close(fd)
    monkeypatch.setattr(shared, "try_to_lock", lambda fd: path.unlink() or True)
    with pytest.raises(ff.HubError, match="removed again and again"):
        shared.lock_file(path, 0o600)
    assert open_files() == before


def test_a_reader_cannot_keep_a_hub_alive_nor_its_name(shm):
    """Who may read could lock for reading: that is not taken for a writer, and is in nobody's way."""
    made = ff.Hub("md")
    reader = ff.attach("md")
    held = os.open(shared.user_folder() / "md" / "hub", os.O_RDONLY)
    with pytest.raises(OSError):
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, shared._FLOCK.pack(fcntl.F_RDLCK, 0, 0, 0, 0))
    made._folder._close_files()  # as when the process is killed
    fcntl.fcntl(held, fcntl.F_OFD_SETLK, shared._FLOCK.pack(fcntl.F_RDLCK, 0, 0, 0, 0))
    reader._looked_at = 0
    reader.look()
    assert not reader.alive
    with pytest.raises(ff.HubError, match="is dead"):
        ff.attach("md")
    with ff.Hub("md"):
        reader._looked_at = 0
        assert reader.look()
        assert reader.alive
    os.close(held)


def test_remove(shm):
    made = ff.Hub("md")
    (folder,) = shared.folders()
    assert not shared.remove(folder)
    assert ff.attach("md").alive
    made._folder._close_files()
    before = open_files()
    assert shared.remove(folder)
    assert not list(shm.iterdir())
    assert not shared.remove(folder)
    assert open_files() == before


def test_readers_that_come_while_a_hub_is_removed(shm):
    made = ff.Hub("md")
    readers = shared.user_folder() / "md" / "readers"
    done = threading.Event()
    began = threading.Event()

    def come():
        number = 0
        while not done.is_set():
            number += 1
            try:
                (readers / str(number)).write_text("")
            except OSError:
                break
            began.set()

    thread = threading.Thread(target=come)
    thread.start()
    assert began.wait(10)
    made.close()
    done.set()
    thread.join()
    assert not list(shm.iterdir())


# what fails half way


class Failing:
    """Fails as when there is no memory left."""

    def __init__(self, *args, **options):
        raise OSError(errno.ENOSPC, "no space")


class Interrupted:
    def __init__(self, *args, **options):
        raise KeyboardInterrupt


@pytest.mark.parametrize("what", ["SymbolTable", "Bells", "LatestTable", "Description"])
def test_nothing_is_left_of_a_hub_that_could_not_be_made(what, shm, monkeypatch):
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(hub, what, Failing)
        with pytest.raises(ff.HubError, match=r"cannot make the hub 'md' in .*KiB free"):
            ff.Hub("md")
        patch.setattr(hub, what, Interrupted)
        with pytest.raises(KeyboardInterrupt):
            ff.Hub("md")
    assert open_files() == before
    assert not list(shm.iterdir())
    ff.Hub("md").close()


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_folder_that_could_not_be_made(error, shm, monkeypatch):
    before = open_files()
    usual = shared._remove_files
    calls = []

    def fail(*args, **options):
        calls.append(args)
        if len(calls) == 1:
            raise error
        usual(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shared, "_remove_files", fail)
        with pytest.raises(
            KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ff.HubError
        ):
            OwnFolder("md")
    assert open_files() == before
    assert not list(shm.iterdir())


@pytest.mark.parametrize("option", [{"max_symbols": 0}, {"book_depth": 0}, {"capacity": 3}])
def test_wrong_options_leave_nothing(option, shm):
    before = open_files()
    with pytest.raises(ValueError):
        ff.Hub("md", **option)
    assert open_files() == before
    assert not list(shm.iterdir())


def test_an_attached_hub_that_is_dropped_closes_its_files(shm):
    with ff.Hub("md"):
        before = open_files()
        reader = ff.attach("md")
        assert reader.alive
        assert open_files() != before
        del reader
        assert open_files() == before
        with pytest.raises(ff.HubError):
            ff.attach("other")
        assert open_files() == before


# what is found there


def described(**changes):
    with ff.Hub("md", capacity=64, max_symbols=16):
        found = msgspec.json.decode((shared.user_folder() / "md" / "hub").read_bytes())
    return found | changes


GARBAGE = [
    b"",
    b"\x00" * 100,
    b"\xff\xfe",
    b"{}",
    b"[]",
    b'"text"',
    b"7",
    b"[" * 60_000,
    b"{" * 100_000,
    b'{"layout": null}',
    b'{"layout": true}',
    b'{"layout": 1}',
    b'{"layout": "\xff"}',
]
CHANGES = [
    {"pid": "1"},
    {"capacities": {}},
    {"capacities": {"ticks": 0}},
    {"capacities": dict.fromkeys(schema.STREAMS, 63)},
    {"capacities": dict.fromkeys(schema.STREAMS, -64)},
    {"capacities": dict.fromkeys(schema.STREAMS, 1 << 40)},
    {"capacities": dict.fromkeys(schema.STREAMS, 1 << 63)},
    {"row_sizes": {}},
    {"max_symbols": 0},
    {"max_symbols": 17},
    {"max_symbols": -1},
    {"max_symbols": 1 << 62},
    {"book_depth": 0},
    {"book_depth": 40},
    {"book_depth": 1 << 62},
]


@pytest.mark.parametrize("number", range(len(GARBAGE) + len(CHANGES)))
def test_a_description_that_is_none(number, shm):
    is_garbage = number < len(GARBAGE)
    data = (
        GARBAGE[number]
        if is_garbage
        else msgspec.json.encode(described(**CHANGES[number - len(GARBAGE)]))
    )
    with ff.Hub("md", capacity=64, max_symbols=16):
        with open(shared.user_folder() / "md" / "hub", "r+b") as file:
            file.truncate(0)
            file.write(data)
        before = open_files()
        with pytest.raises(ff.HubError):
            ff.attach("md")
        assert open_files() == before


def test_another_layout_is_told(shm):
    text = described(layout=shared.LAYOUT + 1, version="9.9", unknown=[1, 2])
    with ff.Hub("md"):
        (shared.user_folder() / "md" / "hub").write_bytes(msgspec.json.encode(text))
        with pytest.raises(
            ff.HubError,
            match=rf"'md' has layout {shared.LAYOUT + 1} of fastfeed '9\.9', this fastfeed reads layout "
            rf"{shared.LAYOUT}:",
        ):
            ff.attach("md")


@pytest.mark.parametrize("name", ["hub", "bells"])
def test_a_pipe_in_place_of_a_file(name, shm):
    with ff.Hub("md"):
        path = shared.user_folder() / "md" / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ff.HubError):
            ff.attach("md")


FILES = ["symbols", "broker_names", "bells", "ticks", "books.latest", "brokers"]


@pytest.mark.parametrize("change", ["missing", "empty", "short", "other"])
@pytest.mark.parametrize("name", FILES)
def test_files_that_do_not_fit(name, change, shm):
    with ff.Hub("md", capacity=64, max_symbols=16) as made:
        path = shared.user_folder() / "md" / name
        made.stream("ticks").ring.write(bytes(64))
        if change == "missing":
            path.unlink()
        elif change == "empty":
            path.unlink()
            path.write_bytes(b"")
        elif change == "short":
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data[: len(data) // 2 - 1])
        else:
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(b"\x01" * len(data))
            if name == "bells":  # any numbers will do there
                return
        with pytest.raises(ff.HubError):
            ff.attach("md")


def test_attaching_while_a_hub_begins_anew(shm, monkeypatch):
    """Files of two hubs are never taken for one's."""
    hubs = [ff.Hub("md", capacity=64)]
    hubs[0].symbols.intern("OLD")
    attach = sys.modules["fastfeed.attach"]  # `fastfeed.attach` is the function
    usual = attach._Generation

    def slow(folder):
        if len(hubs) < 4:
            hubs.pop().close()
            hubs.append(ff.Hub("md", capacity=64))
            hubs[-1].symbols.intern(f"NEW{len(hubs)}")
            hubs[:0] = [None]
        return usual(folder)

    monkeypatch.setattr(attach, "_Generation", slow)
    before = open_files()
    found = ff.attach("md")
    assert found.alive
    assert hubs[-1] is not None
    hubs[-1].symbols.intern("LATER")
    assert "LATER" in list(found.symbols)
    assert "OLD" not in found.symbols
    found.close()
    assert len(open_files()) == len(before)
    hubs[-1].close()


# the layout


def test_layout_is_pinned(shm):
    """The same calls make the same files, byte for byte; another digest needs another `LAYOUT`."""
    digest = hashlib.sha256()
    digest.update(repr(shared.Description.__struct_fields__).encode())
    for name in schema.STREAMS:
        digest.update(repr((name, ff.dtype(name).fields)).encode())
    with ff.Hub("md", capacity=64, max_symbols=16) as made:
        folder = shared.user_folder() / "md"
        for number, name in enumerate(schema.STREAMS):
            size = ff.dtype(name).itemsize
            row = (np.arange(size) % 251 + number).astype(np.uint8).tobytes()
            made.stream(name).ring.write(row + row[::-1])
            if made.stream(name).table is not None:
                for byte in (1, 2, 3):
                    made.stream(name).table.put(7, bytes([byte]) * size)
        made.symbols.intern("700.HK")
        made.symbols.intern("X" * 80)
        made.name_broker(7, "A BROKER")
        attached = ff.attach("md")
        reader = attached.ticks.reader()
        for path in sorted(folder.rglob("*")):
            is_readers = path.parent != folder  # named after its process, and full of its numbers
            digest.update(repr("*" if is_readers else path.name).encode())
            if is_readers:
                digest.update(repr(path.stat().st_size).encode())
            elif path.is_file() and path.name != "hub":
                data = bytearray(path.read_bytes())
                if path.name in schema.STREAMS:  # when it was published
                    assert 0 <= time.time_ns() - int.from_bytes(data[264:272], "little") < 60e9
                    data[264:272] = bytes(8)
                digest.update(data)
        assert reader.ready == 0
    assert (digest.hexdigest()[:32], shared.LAYOUT) == (LAYOUT_DIGEST, 1), (
        "the files look different: give `LAYOUT` another number, unless the last one was never released"
    )
