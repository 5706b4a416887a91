"""The two ends of the benches of shared memory, each a process of its own.

    shared_peers.py write|read FOLDER EVENTFD

Says "ready", then obeys lines of words on stdin: "open KIND" makes an end, "VERB KIND NUMBER..." runs a round of it.
Each is answered with a line of JSON; a reader says "reading" before, when the writer may begin.

    shared_peers.py attend

Reads a hub for the sake of being there: "HOW HUB" attaches, "away" gives it up; answers "{}".

A row has 64 bytes, begins with the time of its publication (CLOCK_MONOTONIC ns), and has its number where a tick has
its sequence. Readers take the time as soon as they have a row, and look into it afterwards.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from compiled import HEADERS, built

import fastfeed as ff
from fastfeed.bench.fanout_ends import ROW_BYTES, STAMP_AND_NUMBER, late_of_hub, late_of_messages
from fastfeed.schema import STREAMS
from fastfeed.shared import user_folder

ROWS = 1 << 14  # of fastfeed's ring; that of the plain one is the same
LEAD_NS = 20_000_000
HUB, PYTHON_HUB = "bench", "bench-python"
SUBJECT = "ticks"
_FUTEX_WAIT = 0
_LOOKING, _FUTEX, _EVENTFD = range(3)


# ---- C


@cache
def native() -> ctypes.CDLL:
    """Return native/shared.c with fastfeed's ring."""
    path = built(
        "shared",
        *("-O3", "-shared", "-fPIC", "-D_GNU_SOURCE", f"-I{HEADERS}"),
        also="../../native/src/ring ../../native/src/region",
    )
    library = ctypes.CDLL(str(path))
    at, u64, i64, text = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64, ctypes.c_char_p
    number, flag, times = ctypes.c_int, ctypes.c_bool, ctypes.c_void_p
    for name, result, arguments in (
        ("plain", at, (text,)),
        ("plain_rows", ctypes.c_size_t, ()),
        ("ring", at, (text, text, ctypes.c_uint, u64, flag)),
        ("wait_until", None, (i64,)),
        ("ring_write", None, (at, u64, i64, i64, times)),
        ("plain_write", None, (at, u64, i64, i64, number, number)),
        ("ring_read", None, (at, u64, u64, times, flag)),
        ("plain_read", None, (at, u64, u64, times, flag)),
        ("ring_fill", None, (at, u64, u64, times)),
        ("ring_lead", i64, (at, at, u64, u64)),
        ("plain_lead", i64, (at, u64, u64)),
        ("ring_follow", u64, (at, at, u64, u64)),
        ("plain_follow", u64, (at, u64, u64)),
    ):
        function = getattr(library, f"shared_{name}")
        function.restype, function.argtypes = result, arguments
    return library


@cache
def plain(folder: Path) -> int:
    """Map the plain ring."""
    ring = native().shared_plain(os.fsencode(folder / "plain"))
    if not ring:
        raise OSError("cannot map the plain ring")
    return int(ring)


@cache
def ring(writes: bool) -> int:
    """Map the hub's ring of ticks."""
    hub = user_folder() / HUB
    found = native().shared_ring(
        os.fsencode(hub / "ticks"), os.fsencode(hub / "bells"), STREAMS.index("ticks"), ROWS, writes
    )
    if not found:
        raise OSError("cannot map the hub's ring")
    return int(found)


def times(count: int) -> tuple[Any, int]:
    """Return an array for times, and its address."""
    array = np.zeros(count, np.int64)
    return array, array.ctypes.data


# ---- writers: write(count, interval_ns) -> result


class HubWriter:
    """A named hub, and C that writes its ring."""

    def __init__(self, folder: Path, event: int) -> None:
        self.hub = ff.Hub(HUB, capacity=ROWS)
        self.stream = self.hub.ticks
        self.ring = ring(True)
        self.pace = plain(folder)

    def write(self, count: int, interval_ns: int) -> Any:
        took, at = times(count)
        begin = time.monotonic_ns() + LEAD_NS
        native().shared_ring_write(self.ring, count, begin, interval_ns, at)
        return {"ns": took.tolist()}

    def fill(self, count: int, batch: int) -> Any:
        took, at = times(2)
        native().shared_ring_fill(self.ring, count, batch, at)
        return {"ns": int(took[0]), "cpu_ns": int(took[1])}

    def lead(self, count: int, batch: int) -> Any:
        return {"ns": native().shared_ring_lead(self.ring, self.pace, count, batch)}


class PythonHubWriter:
    """A named hub that Python writes."""

    def __init__(self, folder: Path, event: int) -> None:
        self.hub = ff.Hub(PYTHON_HUB, capacity=ROWS)
        self.ring = self.hub.ticks.ring

    def fill(self, count: int, batch: int) -> Any:
        rows = bytes(batch * ROW_BYTES)
        write = self.ring.write
        started, cpu = time.perf_counter_ns(), time.thread_time_ns()
        for _ in range(count // batch):
            write(rows)
        return {
            "ns": time.perf_counter_ns() - started,
            "cpu_ns": time.thread_time_ns() - cpu,
        }


class PlainWriter:
    """A plain ring in a mapped file."""

    how = _LOOKING

    def __init__(self, folder: Path, event: int) -> None:
        self.ring = plain(folder)
        self.event = event

    def write(self, count: int, interval_ns: int) -> Any:
        begin = time.monotonic_ns() + LEAD_NS
        native().shared_plain_write(self.ring, count, begin, interval_ns, self.how, self.event)
        return {}

    def lead(self, count: int, batch: int) -> Any:
        return {"ns": native().shared_plain_lead(self.ring, count, batch)}


class FutexWriter(PlainWriter):
    how = _FUTEX


class EventWriter(PlainWriter):
    how = _EVENTFD


class PythonWriter:
    """Whatever has its own way to send: rows are made and stamped in Python."""

    def send(self, row: bytes) -> object:
        raise NotImplementedError

    def write(self, count: int, interval_ns: int) -> Any:
        begin = time.monotonic_ns() + LEAD_NS
        wait_until, pack = native().shared_wait_until, STAMP_AND_NUMBER.pack
        send, clock = self.send, time.monotonic_ns
        for i in range(count):
            wait_until(begin + i * interval_ns)
            send(pack(clock(), i))
        return {}


class PipeWriter(PythonWriter):
    """What `multiprocessing.Pipe(duplex=False)` gives; the pipe has a name, as the processes are strangers."""

    def __init__(self, folder: Path, event: int) -> None:
        self.send = pipe(folder).send_bytes  # type: ignore[method-assign]


class ZeroMQWriter(PythonWriter):
    def __init__(self, folder: Path, event: int) -> None:
        import zmq

        self.socket = zmq.Context.instance().socket(zmq.XPUB)
        self.socket.bind(f"ipc://{folder}/zeromq")
        self.send = self.socket.send  # type: ignore[method-assign]
        self.subscribed = False

    def write(self, count: int, interval_ns: int) -> Any:
        if not self.subscribed:
            self.subscribed = self.socket.recv() == b"\1"
        return super().write(count, interval_ns)


class IceoryxWriter(PythonWriter):
    def __init__(self, folder: Path, event: int) -> None:
        self.publisher = iceoryx_service().publisher_builder().create()

    def send(self, row: bytes) -> object:
        stamp, number = STAMP_AND_NUMBER.unpack(row)
        sample = self.publisher.loan_uninit()
        return sample.write_payload(IceoryxRow(stamp, number)).send()


class NatsWriter:
    """nats-py, and the server as its child."""

    def __init__(self, folder: Path, event: int) -> None:
        program = nats_server()
        assert program is not None
        self.server = subprocess.Popen(
            [program, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.folder = folder

    def close(self) -> None:
        self.server.terminate()
        self.server.wait()

    def write(self, count: int, interval_ns: int) -> Any:
        return asyncio.run(self._write(count, interval_ns))

    async def _write(self, count: int, interval_ns: int) -> Any:
        import nats

        client = await nats.connect(nats_url(self.folder))
        begin = time.monotonic_ns() + LEAD_NS
        for i in range(count):
            native().shared_wait_until(begin + i * interval_ns)
            row = STAMP_AND_NUMBER.pack(time.monotonic_ns(), i)
            await client.publish(SUBJECT, row)
            await client.flush()
        await client.close()
        return {}


# ---- readers: read(count, say) -> result; say() when the writer may begin


Say = Callable[[], None]
Late = list[int]


class RingReaderInC:
    """C on fastfeed's ring."""

    blocks = False

    def __init__(self, folder: Path, event: int) -> None:
        self.hub = ff.attach(HUB)
        self.stream = self.hub.ticks
        self.ring = ring(False)
        self.pace = plain(folder)

    def read(self, count: int, say: Say) -> Any:
        late, at = times(count)
        position = self.stream.count
        say()
        native().shared_ring_read(self.ring, position, count, at, self.blocks)
        return {"late_ns": late.tolist()}

    def follow(self, count: int, say: Say) -> Any:
        position = self.stream.count
        # It says where it is before it follows: the writer must not go by what was said in another round.
        ctypes.c_uint64.from_address(self.pace + 256).value = position
        say()
        total = native().shared_ring_follow(self.ring, self.pace, position, count)
        assert total == sum(range(position, position + count))
        return {}


class SleeperInC(RingReaderInC):
    blocks = True


class PlainReaderInC:
    """C on a plain ring."""

    blocks = False

    def __init__(self, folder: Path, event: int) -> None:
        self.ring = plain(folder)

    def position(self) -> int:
        return ctypes.c_uint64.from_address(self.ring).value

    def read(self, count: int, say: Say) -> Any:
        late, at = times(count)
        position = self.position()
        say()
        native().shared_plain_read(self.ring, position, count, at, self.blocks)
        return {"late_ns": late.tolist()}

    def follow(self, count: int, say: Say) -> Any:
        position = self.position()
        ctypes.c_uint64.from_address(self.ring + 256).value = position
        say()
        total = native().shared_plain_follow(self.ring, position, count)
        assert total == sum(range(position, position + count))
        return {}


class FutexReaderInC(PlainReaderInC):
    blocks = True


class HubReader:
    """fastfeed, waiting."""

    def __init__(self, folder: Path, event: int, wait: Any = "spin") -> None:
        self.stream = ff.attach(HUB).ticks
        self.wait = wait

    def read(self, count: int, say: Say) -> Any:
        reader = self.stream.reader(wait=self.wait)
        say()
        return checked(*late_of_hub(reader, count))


class BlockedHubReader(HubReader):
    def __init__(self, folder: Path, event: int) -> None:
        super().__init__(folder, event, "block")


class PollingHubReader(HubReader):
    """fastfeed, reading again and again."""

    def read(self, count: int, say: Say) -> Any:
        reader = self.stream.reader()
        late: Late = []
        numbers: list[int] = []
        read, clock = reader.read, time.monotonic_ns
        say()
        while len(late) < count:
            rows = read()
            if len(rows):
                now = clock()
                late.extend(now - sent for sent in rows["recv_ns"].tolist())
                numbers.extend(rows["seq"].tolist())
        return checked(late, numbers)


class MappedReader:
    """Python that maps the plain ring itself, and copies a row."""

    def __init__(self, folder: Path, event: int) -> None:
        plain(folder)  # makes it
        with open(folder / "plain", "r+b") as file:
            self.mapped = mmap.mmap(file.fileno(), 0)
        self.written: Any = memoryview(self.mapped)[:8].cast("Q")
        self.word: Any = memoryview(self.mapped)[128:132].cast("I")
        self.first = native().shared_plain_rows()
        self.event = event

    def read(self, count: int, say: Say) -> Any:
        late: Late = []
        numbers: list[int] = []
        mapped, first, clock = self.mapped, self.first, time.monotonic_ns
        unpack = STAMP_AND_NUMBER.unpack_from
        wait = self.waiting()
        position = self.written[0]
        say()
        for i in range(position, position + count):
            at = first + i % ROWS * ROW_BYTES
            end = at + ROW_BYTES
            wait(i)
            row = mapped[at:end]
            now = clock()
            sent, number = unpack(row)
            late.append(now - sent)
            numbers.append(number)
        return checked(late, numbers)

    def waiting(self) -> Callable[[int], object]:
        """Return a function that waits for a row."""
        raise NotImplementedError


class MemoryviewPoller(MappedReader):
    """The loop is written out, as a call would cost more than a look."""

    def read(self, count: int, say: Say) -> Any:
        late: Late = []
        numbers: list[int] = []
        mapped, first, clock = self.mapped, self.first, time.monotonic_ns
        unpack = STAMP_AND_NUMBER.unpack_from
        written = self.written
        position = written[0]
        say()
        for i in range(position, position + count):
            at = first + i % ROWS * ROW_BYTES
            end = at + ROW_BYTES
            while written[0] <= i:
                pass
            row = mapped[at:end]
            now = clock()
            sent, number = unpack(row)
            late.append(now - sent)
            numbers.append(number)
        return checked(late, numbers)


class StructPoller(MappedReader):
    def read(self, count: int, say: Say) -> Any:
        late: Late = []
        numbers: list[int] = []
        mapped, first, clock = self.mapped, self.first, time.monotonic_ns
        unpack = STAMP_AND_NUMBER.unpack_from
        written = struct.Struct("<Q").unpack_from
        position = self.written[0]
        say()
        for i in range(position, position + count):
            at = first + i % ROWS * ROW_BYTES
            end = at + ROW_BYTES
            while written(mapped)[0] <= i:
                pass
            row = mapped[at:end]
            now = clock()
            sent, number = unpack(row)
            late.append(now - sent)
            numbers.append(number)
        return checked(late, numbers)


class NumPyPoller(MappedReader):
    """The row is a view with fields, as fastfeed's."""

    def read(self, count: int, say: Say) -> Any:
        late: Late = []
        numbers: list[int] = []
        clock = time.monotonic_ns
        written = np.frombuffer(self.mapped, np.uint64, 1)
        all_rows = np.frombuffer(self.mapped, ff.dtype("ticks"), ROWS, self.first)
        position = int(written[0])
        say()
        for i in range(position, position + count):
            at = i % ROWS
            end = at + 1
            while written[0] <= i:
                pass
            rows = all_rows[at:end]
            now = clock()
            late.append(now - rows["recv_ns"].item())
            numbers.append(rows["seq"].item())
        return checked(late, numbers)


class FutexReader(MappedReader):
    """futex(2) by ctypes."""

    def waiting(self) -> Callable[[int], object]:
        call = ctypes.CDLL(None).syscall
        number = {"x86_64": 202, "aarch64": 98}[os.uname().machine]
        address = ctypes.c_void_p(ctypes.addressof(ctypes.c_uint32.from_buffer(self.mapped, 128)))
        word, written = self.word, self.written

        def wait(i: int) -> None:
            while True:
                seen = word[0]
                if written[0] > i:
                    return
                call(number, address, _FUTEX_WAIT, ctypes.c_uint32(seen), None, None, 0)

        return wait


class EventReader(MappedReader):
    def waiting(self) -> Callable[[int], object]:
        event, written = self.event, self.written

        def wait(i: int) -> None:
            while written[0] <= i:
                os.eventfd_read(event)

        return wait


class MessageReader:
    """Whatever has its own way to receive."""

    receive: Callable[[], Any]

    def read(self, count: int, say: Say) -> Any:
        say()
        return checked(*late_of_messages(self.receive, count))


class PipeReader(MessageReader):
    def __init__(self, folder: Path, event: int) -> None:
        self.receive = pipe(folder).recv_bytes


class ZeroMQReader(MessageReader):
    def __init__(self, folder: Path, event: int) -> None:
        import zmq

        socket = zmq.Context.instance().socket(zmq.SUB)
        socket.connect(f"ipc://{folder}/zeromq")
        socket.subscribe(b"")
        self.receive = socket.recv


class IceoryxReader:
    def __init__(self, folder: Path, event: int) -> None:
        self.subscriber = iceoryx_service().subscriber_builder().create()

    def read(self, count: int, say: Say) -> Any:
        late: Late = []
        numbers: list[int] = []
        receive, clock = self.subscriber.receive, time.monotonic_ns
        say()
        for _ in range(count):
            while (sample := receive()) is None:
                pass
            row = sample.payload().contents
            now = clock()
            late.append(now - row.recv_ns)
            numbers.append(row.seq)
            sample.delete()
        return checked(late, numbers)


class NatsReader:
    def __init__(self, folder: Path, event: int) -> None:
        self.folder = folder

    def read(self, count: int, say: Say) -> Any:
        return asyncio.run(self._read(count, say))

    async def _read(self, count: int, say: Say) -> Any:
        import nats

        late: Late = []
        numbers: list[int] = []
        done = asyncio.get_running_loop().create_future()
        clock, unpack = time.monotonic_ns, STAMP_AND_NUMBER.unpack_from

        async def on_message(message: Any) -> None:
            now = clock()
            sent, number = unpack(message.data)
            late.append(now - sent)
            numbers.append(number)
            if len(late) == count:
                done.set_result(None)

        client = await nats.connect(nats_url(self.folder))
        await client.subscribe(SUBJECT, cb=on_message)
        await client.flush()
        say()
        await done
        await client.close()
        return checked(late, numbers)


# ---- what both ends need


def checked(late: Late, numbers: list[int]) -> Any:
    """Return the result of a round, every row of which must have come once and in order."""
    assert numbers == list(range(numbers[0], numbers[0] + len(late)))
    return {"late_ns": late}


def pipe(folder: Path) -> Any:
    """Return an end of a pipe as multiprocessing has it."""
    from multiprocessing.connection import Connection

    path = folder / "pipe"
    if not path.exists():
        os.mkfifo(path)
    return Connection(
        os.open(path, os.O_RDWR | os.O_CLOEXEC)
    )  # O_RDWR: does not wait for the other


class IceoryxRow(ctypes.Structure):
    """A row for iceoryx2."""

    _fields_ = (
        ("recv_ns", ctypes.c_int64),
        ("seq", ctypes.c_int64),
        ("rest", ctypes.c_int64 * 6),
    )


@cache
def iceoryx_service() -> Any:
    """Return the service of ticks."""
    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    name = iceoryx2.ServiceName.new(f"fastfeed/bench/{os.getppid()}")
    # Room for a round, as all others have.
    ticks = node.service_builder(name).publish_subscribe(IceoryxRow)
    return ticks.subscriber_max_buffer_size(ROWS).open_or_create()


def nats_server() -> str | None:
    """Return the path of a server, from the PATH or beside Python."""
    return shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def nats_url(folder: Path) -> str:
    """Return where the server is; it says so in a file, once it is there."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for path in folder.glob("nats-server*.ports"):
            if text := path.read_text():
                return str(json.loads(text)["nats"][0])
        time.sleep(0.01)
    raise TimeoutError("no NATS server within 10 s")


# ---- readers that are only there


def poll(hub: Any, stop: threading.Event) -> None:
    """Read a hundred times a second."""
    reader = hub.ticks.reader()
    while not stop.wait(0.01):
        reader.read()


def wait(hub: Any, stop: threading.Event) -> None:
    """Read whenever there is something, as the hub waits."""
    reader = hub.ticks.reader()
    while not stop.is_set():
        if reader.wait(0.05):
            reader.read()


def attend() -> None:
    """Obey until stdin ends."""
    stop = threading.Event()
    hub = thread = None
    print("ready", flush=True)
    for line in sys.stdin:
        how, *name = line.split()
        if thread is not None and hub is not None:
            stop.set()
            thread.join()
            hub.close()
            hub = thread = None
            gc.collect()  # the rings are unmapped
        if how != "away":
            hub = ff.attach(*name, wait="spin" if how == "spin" else "block")
            target = {"idle": lambda _, stop: stop.wait(), "poll": poll}.get(how, wait)
            stop.clear()
            thread = threading.Thread(target=target, args=(hub, stop), daemon=True)
            thread.start()
        print("{}", flush=True)


#: By kind: the writer and the reader.
ENDS: dict[str, tuple[Any, Any]] = {
    "ring": (HubWriter, HubReader),
    "ring-read": (HubWriter, PollingHubReader),
    "ring-c": (HubWriter, RingReaderInC),
    "ring-block": (HubWriter, BlockedHubReader),
    "ring-block-c": (HubWriter, SleeperInC),
    "ring-python": (PythonHubWriter, None),
    "memoryview": (PlainWriter, MemoryviewPoller),
    "struct": (PlainWriter, StructPoller),
    "numpy": (PlainWriter, NumPyPoller),
    "plain-c": (PlainWriter, PlainReaderInC),
    "futex": (FutexWriter, FutexReader),
    "futex-c": (FutexWriter, FutexReaderInC),
    "eventfd": (EventWriter, EventReader),
    "pipe": (PipeWriter, PipeReader),
    "zeromq": (ZeroMQWriter, ZeroMQReader),
    "iceoryx2": (IceoryxWriter, IceoryxReader),
    "nats": (NatsWriter, NatsReader),
}


def main(role: str, folder: str, event: str) -> None:
    """Serve rounds until stdin ends."""
    which = ("write", "read").index(role)
    made: dict[Any, Any] = {}  # by class: kinds may share a writer

    def say(text: str) -> None:
        print(text, flush=True)

    say("ready")
    try:
        for line in sys.stdin:
            verb, kind, *numbers = line.split()
            made_by = ENDS[kind][which]
            gc.collect()
            result: Any = {}
            if verb == "open":
                if made_by not in made:
                    made[made_by] = made_by(Path(folder), int(event))
            else:
                run = getattr(made[made_by], verb)
                arguments: list[Any] = [int(number) for number in numbers]
                if role == "read":
                    arguments.append(lambda: say("reading"))
                result = run(*arguments)
            say(json.dumps(result))
    finally:
        for end in made.values():
            if hasattr(end, "close"):
                end.close()


if __name__ == "__main__":
    if sys.argv[1] == "attend":
        attend()
    else:
        main(*sys.argv[1:])
