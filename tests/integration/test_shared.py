"""Named hubs with processes that come, go and are killed."""

import contextlib
import faulthandler
import multiprocessing
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import traceback

import numpy as np
import pytest
from hub_process import checked_rows, open_files, torn, words_of
from waiting import wait_until

import fastfeed as ff
from fastfeed import shared

PROGRAM = pathlib.Path(__file__).parents[1] / "helpers" / "hub_process.py"
LIMIT_S = 30.0
TICK = (
    b'{"cmd_id":22998,"data":{"code":"BTCUSDT","seq":"1","tick_time":"1605509068000","price":"1.5",'
    b'"volume":"3","turnover":"4.5","trade_direction":1}}'
)


class Child:
    """A process of hub_process.py."""

    def __init__(self, *arguments):
        command = [sys.executable, str(PROGRAM), *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid

    def line(self):
        """Return the next line that it prints, as words."""
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        return line.split()

    def go(self):
        """Let it go on."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """Return its exit status and what it wrote to its standard error."""
        _, errors = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, errors


@pytest.fixture
def start(shm):
    """Return a function that starts a child; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            child = Child(*arguments)
            stack.callback(child.process.__exit__, None, None, None)
            stack.callback(child.process.kill)
            return child

        yield start


# rows from one process to others


def test_rows_come_whole_and_in_order(start):
    """Readers in every way of waiting see each row once, or know that they lost it."""
    readers = [start("read", "md", way, 40 * 1000) for way in ("spin", "hybrid", "block")]
    writer = start("write", "md", 1000, 65536, 40, 0.002)
    assert len(writer.line()) == 2
    for reader in readers:
        assert reader.line() == ["ready"]
    assert writer.line() == ["done", "40000"]
    for reader in readers:
        assert reader.line() == ["40000", "0", "0", "0", "0"]
    writer.go()
    assert writer.end() == (0, "")


def test_slow_readers_lose_rows_and_see_none_torn(start):
    writer = start("write", "md", 100, 256)
    writer.line()
    readers = [start("read", "md", way, 0, 0.05) for way in ("spin", "block")]
    for reader in readers:
        reader.line()
    time.sleep(1.0)  # how long it runs decides nothing
    writer.kill()
    for reader in readers:
        seen, lost, bad, out_of_order, uncounted = map(int, reader.line())
        assert (bad, out_of_order, uncounted) == (0, 0, 0)
        assert seen > 0
        assert lost > 0


def test_readers_come_go_and_are_killed(start):
    """The writer and the other readers do not notice."""
    writer = start("write", "md", 500, 262144, 400, 0.002)
    writer.line()
    witness = start("read", "md", "hybrid", 400 * 500)
    witness.line()
    chance = random.Random(7)
    for number in range(12):
        reader = start("read", "md", ("spin", "hybrid", "block")[number % 3])
        if number % 2:
            reader.line()
        time.sleep(chance.random() / 50)
        reader.kill()
    assert witness.line()[1:] == ["0", "0", "0", "0"]
    assert writer.line() == ["done", "200000"]
    writer.go()
    assert writer.end() == (0, "")


def test_writers_are_killed_in_the_middle_of_writes(start):
    """No torn row, no torn row of a symbol, no torn symbol; the death is told, and the next one followed."""
    events, delays = [], []
    writer = start("pound", "md")
    generations = [int(writer.line()[1])]
    hub = ff.attach("md")
    hub.on_event(events.append)
    reader = hub.ticks.reader("oldest")
    chance = random.Random(3)
    checked = in_midst = 0
    for _ in range(6):
        end = time.monotonic() + 0.05 + chance.random() / 20
        while time.monotonic() < end:
            assert reader.wait(LIMIT_S)
            checked += check(reader, generations[-1])
        ring = hub.ticks.ring
        writer.kill()
        killed = time.monotonic()
        in_midst += ring.oldest + ring.capacity > ring.published
        while hub.alive:
            reader.wait(0.01)
            checked += check(reader, generations[-1])
        delays.append(time.monotonic() - killed)
        check_tables(hub)
        writer = start("pound", "md")
        generations.append(int(writer.line()[1]))
        wait_until(lambda: reader.wait(0.1) and hub.alive)
        checked += check(reader, generations[-1])
    assert checked
    assert [event.kind for event in events] == ["disconnected", "connected"] * 6
    assert {event.text for event in events if event.kind == "disconnected"} == {
        "the writer is dead"
    }
    assert len({event.details["generation"] for event in events}) == 7
    assert max(delays) < LIMIT_S
    print(
        f"{checked} rows; {in_midst} of 6 died in the midst of a write of rows; told after", delays
    )


def check(reader, generation):
    """Check what there is to read; returns how many rows were whole for as long as that took."""
    rows = words_of(reader.read(1 << 13)).copy()
    if not reader.intact():
        return 0
    assert torn(rows) == 0
    assert set(rows[:, 1].tolist()) <= {generation}
    return len(rows)


def check_tables(hub):
    found = [hub.books.table.row(place) for place in range(256)]
    assert any(found)
    assert not any(row and torn(np.frombuffer(row, np.uint64)[None]) for row in found)
    names = list(hub.symbols)
    assert names == [f"{n}.{names[0].rpartition('.')[2]}" for n in range(len(names))]


def test_a_blocked_reader_learns_of_the_death(start):
    writer = start("hold", "md")
    writer.line()
    reader = start("read", "md", "block")
    assert reader.line() == ["ready"]
    writer.kill()
    assert reader.line() == ["3", "0", "0", "0", "0"]


# one writer


def test_the_second_writer_is_refused(start):
    first = start("hold", "md", "close")
    (pid,) = first.line()
    with pytest.raises(
        ff.HubError, match=rf"the hub 'md' is written by another process: {pid}, hub_process.py"
    ):
        ff.Hub("md")
    hub = ff.attach("md")
    assert (hub.writer_pid, hub.ticks.count) == (int(pid), 3)
    first.go()
    assert first.end() == (0, "")
    ff.Hub("md", capacity=64).close()


def test_writers_that_start_and_end_at_the_same_moment(start, shm):
    children = [start("contend", "md", 60) for _ in range(3)]
    for child in children:
        child.line()
    for child in children:
        child.go()
    assert [child.line() for child in children] == [["60"]] * 3
    assert [child.end() for child in children] == [(0, "")] * 3
    assert not list(shm.iterdir())


def test_a_dead_hub_is_replaced(start, shm):
    dead = start("hold", "md")
    dead.line()
    dead.kill()
    with pytest.raises(ff.HubError, match=rf"is dead: its writer, process {dead.pid}, is gone"):
        ff.attach("md")
    with ff.Hub("md", capacity=64):
        assert ff.attach("md").ticks.count == 0
    assert not list(shm.iterdir())


def test_attaching_while_writers_come_and_go(start):
    """What is attached is of one hub, or there is an error that says why not."""
    children = [start("contend", "md", 300) for _ in range(2)]
    for child in children:
        child.line()
        child.go()
    attached = 0
    before = open_files()
    while any(child.process.poll() is None for child in children):
        with contextlib.suppress(ff.HubError):
            with ff.attach("md") as hub:
                attached += 1
                assert hub.ticks.count == 0
    assert attached
    assert open_files() == before
    for child in children:
        assert child.end() == (0, "")


# ends


@pytest.mark.parametrize(
    ("how", "status"),
    [("close", 0), ("return", 0), ("exit", 3), ("exception", 1), ("thread", 0)],
)
def test_ends_that_leave_nothing(how, status, start, shm):
    child = start("hold", "md", how)
    child.line()
    hub = ff.attach("md")
    child.go()
    assert child.end()[0] == status
    assert not list(shm.iterdir())
    hub._looked_at = 0.0
    hub.look()
    assert not hub.alive
    assert torn(words_of(hub.ticks.latest(3))) == 0
    assert hub.symbols[0] == "0.HK"


def test_a_signal_leaves_a_dead_hub(start, shm):
    child = start("hold", "md", "signal")
    child.line()
    child.go()
    assert child.end()[0] == -signal.SIGTERM
    (folder,) = shared.folders()
    assert shared.remove(folder)
    assert not list(shm.iterdir())


def test_a_hub_of_several_feeds(shm):
    """Machines of two vendors write into the same rings and symbol table."""
    with ff.Hub("md", capacity=64) as hub, ff.attach("md") as attached:
        one, two = ff.Decoder("opend", hub), ff.Decoder("alltick", hub)
        assert one.ticks is two.ticks is hub.ticks
        assert two.feed(TICK) == 1
        assert attached.ticks.latest("BTCUSDT")["price"] == 1.5
        assert attached.ticks.count == 1


# forks


def forked(function):
    """Return the exit status of a forked child that calls a function."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def hub(shm):
    with ff.Hub("md", capacity=64) as hub:
        hub.symbols.intern("700.HK")
        hub.ticks.ring.write(checked_rows(0, 3, 64, 0).tobytes())
        yield hub


def is_untouched(hub, rows=3):
    attached = ff.attach("md")
    numbers = words_of(attached.ticks.latest(64))[:, 0].tolist()
    return numbers == list(range(rows)) and list(attached.symbols) == ["700.HK"]


def test_a_fork_of_the_writer_reads_and_no_more(hub):
    size = hub.quotes.dtype.itemsize

    def child():
        assert torn(words_of(hub.ticks.latest(3))) == 0
        for write in (
            lambda: hub.ticks.ring.write(bytes(64)),
            lambda: hub.quotes.table.put(0, bytes(size)),
        ):
            with pytest.raises(TypeError, match="another process"):
                write()
        hub.symbols.intern("OWN")
        assert hub.symbols["OWN"] == 1
        with pytest.raises(ff.HubError, match="written by another process"):
            ff.Hub("md")
        hub.close()

    assert forked(child) == 0
    assert is_untouched(hub)


def test_a_machine_in_a_fork_cannot_write(hub):
    decoder = ff.Decoder("alltick", hub)

    def feed():
        faulthandler.disable()  # what it would print looks like a failure
        decoder.feed(TICK)

    assert forked(feed) == -signal.SIGSEGV
    assert is_untouched(hub)


@pytest.mark.parametrize("leave", [sys.exit, lambda: None])
def test_a_fork_that_ends_removes_nothing(leave, start, shm):
    code = (
        "import os, sys, fastfeed as ff\n"
        "hub = ff.Hub('md', capacity=64)\n"
        "if os.fork() == 0:\n"
        f"    {'sys.exit()' if leave is sys.exit else 'del hub; sys.exit()'}\n"
        "os.wait()\n"
        "print(ff.attach('md').alive)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout, run.stderr) == ("True\n", "")
    assert not list(shm.iterdir())


def test_a_fork_does_not_keep_the_lock(shm):
    """A parent is killed while its fork lives on: the hub is dead."""
    code = (
        "import os, sys, time, fastfeed as ff\n"
        "hub = ff.Hub('md', capacity=64)\n"
        "if not os.fork():\n"  # what a fork does first it has done then
        "    print(os.getpid(), flush=True)\n"
        "sys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as parent:
        child = int(parent.stdout.readline())
        assert ff.attach("md").alive
        parent.kill()
        parent.wait()
        os.kill(child, 0)  # it lives
        with pytest.raises(ff.HubError, match="is dead"):
            ff.attach("md")
        ff.Hub("md", capacity=64).close()
        os.kill(child, signal.SIGKILL)


def read_in_child(name, queue, hub=None):
    attached = hub or ff.attach(name)
    reader = attached.ticks.reader("oldest")
    reader.wait(LIMIT_S)
    queue.put((len(reader.read()), list(attached.symbols)))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing(method, hub):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=("md", queue))
    child.start()
    assert queue.get(timeout=LIMIT_S) == (3, ["700.HK"])
    child.join(LIMIT_S)
    assert child.exitcode == 0
    assert is_untouched(hub)


def test_a_fork_of_a_reader_reads_on(hub):
    attached = ff.attach("md")
    reader = attached.ticks.reader("oldest")
    reader.read(1)

    def child():
        assert len(reader.read()) == 2
        assert attached.look()
        assert attached.alive
        attached.close()

    assert forked(child) == 0
    assert len(reader.read()) == 2
    assert attached.look()
    assert attached.alive
    assert is_untouched(hub)


# no memory


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Return a function that makes a file system of so many bytes, in which hubs then lie."""
    with contextlib.ExitStack() as stack:

        def make(size):
            folder = tmp_path / "small"
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
            mounted = subprocess.run(command, capture_output=True, text=True, check=False)
            if mounted.returncode:
                pytest.skip(f"cannot mount: {mounted.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
            monkeypatch.setenv("FASTFEED_SHM", str(folder))
            return folder

        yield make


def fill(folder, keep=0):
    """Take all memory but so many bytes; returns the file that has it."""
    path = folder / "ballast"
    with open(path, "ab") as file:
        with contextlib.suppress(OSError):
            while True:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, 4096)
        os.ftruncate(file.fileno(), max(os.fstat(file.fileno()).st_size - keep, 0))
    return path


@pytest.mark.parametrize("kib", [8, 16, 32, 48, 256])
def test_no_room_for_a_hub(kib, small):
    folder = small(kib * 1024)
    before = open_files()
    if kib == 256:
        ff.Hub("md", capacity=64).close()
    else:
        with pytest.raises(
            ff.HubError, match=r"cannot make the hub 'md' in .*no memory is left there \(.*KiB free"
        ):
            ff.Hub("md", capacity=64)
    assert not list(folder.iterdir())
    assert open_files() == before


def test_no_room_for_a_stream(small):
    folder = small("6m")
    with ff.Hub("md", capacity=1 << 15) as hub, ff.attach("md") as attached:
        hub.ticks.ring.write(bytes(64))
        reader = attached.bars.reader()
        fill(folder)
        for _ in range(2):
            with pytest.raises(
                ff.HubError,
                match=r"cannot make the stream of bars, which takes \d+ KiB, in .*no memory is left",
            ):
                hub.bars  # noqa: B018
        assert len(reader.read()) == 0
        assert (attached.bars.count, attached.ticks.count) == (0, 1)
        hub.ticks.ring.write(bytes(64 * 1000))
        (folder / "ballast").unlink()
        hub.bars.ring.write(bytes(hub.bars.dtype.itemsize))
        assert len(reader.read()) == 1


def test_no_room_for_what_grows(small):
    folder = small("16m")
    with ff.Hub("md", capacity=64, max_symbols=1 << 16) as hub, ff.attach("md") as attached:
        hub.books.ring.write(bytes(hub.books.dtype.itemsize))
        row = bytes([7]) * hub.books.dtype.itemsize
        hub.books.table.put(0, row)
        fill(folder)

        def grow(add):
            for number in range(1 << 15):
                add(number)

        with pytest.raises(ff.HubError, match="no memory is left for a row at place"):
            grow(lambda number: hub.books.table.put(number, row))
        places = len(hub.books.table)
        with pytest.raises(ff.HubError, match="no memory is left for the symbol"):
            grow(lambda number: hub.symbols.intern(f"{number}.HK"))
        assert 0 < places < 1 << 15
        assert hub.books.table.row(0) == attached.books.table.row(places - 1) == row
        assert attached.books.table.row(places) is None
        assert list(attached.symbols) == list(hub.symbols)
        assert all(attached.quotes.table.row(place) is None for place in (0, 1, 1 << 17))
        (folder / "ballast").unlink()
        hub.books.table.put(places, row)
        assert hub.symbols.intern("LATER") == len(attached.symbols) - 1
        assert attached.books.table.row(places) == row


def test_readers_of_a_full_file_system_end_by_no_signal(small, start):
    folder = small("8m")
    with ff.Hub("md", capacity=64) as hub:
        hub.ticks.ring.write(checked_rows(0, 3, 64, 0).tobytes())
        fill(folder)
        code = (
            "import fastfeed as ff\n"
            "hub = ff.attach('md')\n"
            "for stream in hub.streams:\n"
            "    reader = stream.reader('oldest')\n"
            "    reader.wait(0.01), reader.read(), stream.latest(9), stream.latest('700.HK'), stream.count\n"
            "    if stream.table: [stream.table.row(place) for place in (0, 1, 1000, 1 << 19)]\n"
            "list(hub.symbols), hub.broker_name(7)\n"
            "print(hub.ticks.count)\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, "3\n", "")


# other users


def as_nobody(function):
    """Return the exit status of a child of another user that calls a function."""

    def child():
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            function()
        except BaseException:
            traceback.print_exc()
            raise

    return forked(child)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_other_users(shm):
    folder = shared.user_folder() / "md"

    def refused():
        for user in (0, "root"):
            with pytest.raises(
                ff.HubError, match="may not be read by this user; who writes it can"
            ):
                ff.attach("md", user=user)
        with pytest.raises(ff.HubError, match="there is no hub 'md'"):
            ff.attach("md")

    def reads():
        attached = ff.attach("md", user=0, wait="block")
        reader = attached.ticks.reader("oldest")
        assert reader.wait(LIMIT_S)
        assert len(reader.read()) == 1
        assert not reader.wait(0.2)
        assert attached.alive
        assert attached.symbols[0] == "700.HK"

    def spoils():
        done = []
        for path in folder.iterdir():
            for act in (
                lambda path: os.open(path, os.O_RDWR),
                lambda path: os.truncate(path, 0),
                lambda path: path.unlink(),
                lambda path: path.chmod(0o666),
                lambda path: (path / "x").mkdir(),
            ):
                with contextlib.suppress(OSError):
                    act(path)
                    done.append(path.name)
        assert done == []

    with ff.Hub("md", capacity=64):
        assert as_nobody(refused) == 0
    with ff.Hub("md", capacity=64, mode=0o644) as hub:
        hub.symbols.intern("700.HK")
        hub.ticks.ring.write(bytes(64))
        assert as_nobody(reads) == as_nobody(spoils) == as_nobody(reads) == 0
