"""The ends of one process to many. Each writer is a worker's candidate, and starts its readers as workers of its own.

A row has 64 bytes, and begins with the time at which it is to be sent (CLOCK_MONOTONIC ns). Readers take the time as
soon as they have a row, and look into it afterwards.
"""

from __future__ import annotations

import gc
import os
import struct
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

import fastfeed as ff
from fastfeed.attach import AttachedReader, Wait
from fastfeed.bench.digests import digests
from fastfeed.bench.process import Process
from fastfeed.bench.turns import DisagreementError, Job

__all__ = [
    "ROW_BYTES",
    "STAMP_AND_NUMBER",
    "HubReader",
    "HubWriter",
    "MessageReader",
    "PipeReader",
    "PipeWriter",
    "ZeroMQReader",
    "ZeroMQWriter",
    "late_of_hub",
    "late_of_messages",
]

Rows = npt.NDArray[Any]
#: How late rows were, in ns, and their numbers.
Late = tuple[list[int], list[int]]

STAMP_AND_NUMBER = struct.Struct("<q16xq32x")
ROW_BYTES = STAMP_AND_NUMBER.size
_HUB = "bench"
_CAPACITY = 1 << 14  # of the ring
_SYMBOLS = ("700.HK", "AAPL.US", "BTCUSDT")
_LEAD_NS = 50_000_000  # from when readers are told to read
_SPIN_NS = 150_000  # a sleep ends later than it should, but not by as much
_WARM_UP = 0.1  # of a round's rows, which do not count
_PATIENCE_MS = 5000  # for a message that does not come
_COLUMNS = tuple(
    name for name in ff.dtype("ticks").names or () if name not in ("symbol", "recv_ns")
)


def ticks(count: int, at_ns: int, interval_ns: int) -> Rows:
    """Return so many ticks, to be sent from some time on."""
    rows = np.zeros(count, ff.dtype("ticks"))
    number = np.arange(count)
    rows["recv_ns"] = at_ns + number * interval_ns
    rows["time_ns"] = 1_700_000_000_000_000_000 + number * interval_ns
    rows["seq"] = number
    rows["price"] = 100 + number % 997 / 100
    rows["volume"] = 1 + number % 89
    rows["turnover"] = rows["price"] * rows["volume"]
    rows["symbol"] = number % len(_SYMBOLS)
    rows["side"] = number % 3 - 1
    return rows


# ---- writers


class _Writer:
    """Sends rows by `send`, which what follows brings.

    Parameters
    ----------
    folder : str
        In which both ends meet; in memory.
    readers : int
    cores : list of int
        The readers'.
    """

    reader = ""
    send: Callable[[bytes], object]

    def __init__(self, folder: str, readers: int, cores: list[int], **options: Any) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        os.environ["FASTFEED_SHM"] = str(self._folder)
        self._readers = [Process("fastfeed.bench.worker") for _ in range(readers)]
        self.begin()
        for number, process in enumerate(self._readers):
            more = {"folder": str(self._folder), "number": number, **options}
            own = [cores[-1 - number]] if readers <= len(cores) else cores
            job = Job(f"{__name__}:{self.reader}", more, own, [])
            process.send(msgspec.json.encode(job) + b"\n")
        for process in self._readers:
            process.answer()
        self.complete(readers)

    def begin(self) -> None:
        """Make what readers look for."""

    def complete(self, readers: int) -> None:
        """Make what needs readers."""

    def check(self, count: int, rate: int) -> dict[str, str]:
        """Return the digests of the rows that readers have, who must agree."""
        found = self._run("check", count, rate)["answers"]
        for other in found[1:]:
            if other != found[0]:
                raise DisagreementError("the readers do not have the same rows")
        first: dict[str, str] = found[0]
        return first

    def round(self, count: int, rate: int) -> dict[str, Any]:
        """Send so many rows a second; return how late the readers had them."""
        found = self._run("read", count, rate)
        skipped = int(count * _WARM_UP)
        return {
            "late_ns": [
                late for answer in found["answers"] for late in answer["late_ns"][skipped:]
            ],
            "sent_late_us": float(np.percentile(found["sent_late_ns"][skipped:], 99)) / 1e3,
            "cpu_ns_per_row": found["cpu_ns"] / count,
        }

    def _run(self, what: str, count: int, rate: int) -> dict[str, Any]:
        for process in self._readers:
            process.ask(do="collect", **{"with": {}})
        for process in self._readers:
            process.tell(do=what, **{"with": {"count": count}})
        interval_ns = 1_000_000_000 // rate
        rows = ticks(count, time.monotonic_ns() + _LEAD_NS, interval_ns)
        late, cpu_ns = _paced(self.send, rows)
        answers = [process.answer() for process in self._readers]
        return {"answers": answers, "sent_late_ns": late, "cpu_ns": cpu_ns}


def _paced(send: Callable[[bytes], object], rows: Rows) -> tuple[list[int], float]:
    """Send rows when it is their time; return how late each was sent, and the processor's time that this took."""
    data = rows.tobytes()
    pieces = [data[start : start + ROW_BYTES] for start in range(0, len(data), ROW_BYTES)]
    late: list[int] = []
    clock, cpu_clock, sleep = time.monotonic_ns, time.thread_time_ns, time.sleep
    looks = sorted(-cpu_clock() + cpu_clock() for _ in range(101))
    own = 0
    all_threads, this_thread = time.process_time_ns(), cpu_clock()
    for row, at in zip(pieces, rows["recv_ns"].tolist(), strict=True):
        left = at - clock() - _SPIN_NS
        if left > 0:
            sleep(left / 1e9)
        while (now := clock()) < at:
            pass
        late.append(now - at)
        before = cpu_clock()
        send(row)
        own += cpu_clock() - before
    # What other threads did, they did for the rows; of this one only the calls count, not the waiting.
    others = time.process_time_ns() - all_threads - (cpu_clock() - this_thread)
    return late, max(own - looks[50] * len(rows), 0) + max(others, 0)


class HubWriter(_Writer):
    """A named hub."""

    reader = "HubReader"

    def begin(self) -> None:
        self._hub = ff.Hub(_HUB, capacity=_CAPACITY)
        for symbol in _SYMBOLS:
            self._hub.symbols.intern(symbol)
        self.send = self._hub.ticks.ring.write


class ZeroMQWriter(_Writer):
    """A socket of pyzmq's that publishes; XPUB is PUB that tells of subscriptions."""

    reader = "ZeroMQReader"

    def begin(self) -> None:
        import zmq

        socket: Any = zmq.Context.instance().socket(zmq.XPUB)
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # of each, though all want the same
        socket.setsockopt(zmq.SNDHWM, _CAPACITY)
        socket.setsockopt(zmq.RCVTIMEO, _PATIENCE_MS)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(f"ipc://{self._folder}/zeromq")
        self.send = socket.send
        self._receive = socket.recv

    def complete(self, readers: int) -> None:
        for _ in range(readers):
            if self._receive() != b"\1":
                raise RuntimeError("expected a subscription")


class PipeWriter(_Writer):
    """What `multiprocessing.Pipe(duplex=False)` gives, for each reader; by name, as these are no forks."""

    reader = "PipeReader"

    def begin(self) -> None:
        for number in range(len(self._readers)):
            os.mkfifo(self._folder / f"pipe-{number}")

    def complete(self, readers: int) -> None:
        self._ends = [
            Connection(os.open(self._folder / f"pipe-{number}", os.O_WRONLY), readable=False)
            for number in range(readers)
        ]
        sends = [end.send_bytes for end in self._ends]
        if len(sends) == 1:
            self.send = sends[0]
            return

        def send(row: bytes) -> None:
            for each in sends:
                each(row)

        self.send = send


# ---- readers


def late_of_hub(reader: AttachedReader, count: int) -> Late:
    """Read so many rows, or as many as are left of them where some were lost."""
    late: list[int] = []
    numbers: list[int] = []
    clock = time.monotonic_ns
    end = reader.position + count
    for rows in reader:
        now = clock()
        late.extend(now - sent for sent in rows["recv_ns"].tolist())
        numbers.extend(rows["seq"].tolist())
        if reader.position >= end:
            return late, numbers
    raise RuntimeError("the writer is gone")


def late_of_messages(receive: Callable[[], bytes], count: int) -> Late:
    """Receive so many rows."""
    late: list[int] = []
    numbers: list[int] = []
    clock, unpack = time.monotonic_ns, STAMP_AND_NUMBER.unpack_from
    for _ in range(count):
        row = receive()
        now = clock()
        sent, number = unpack(row)
        late.append(now - sent)
        numbers.append(number)
    return late, numbers


def _checked(found: Late, count: int) -> dict[str, Any]:
    late, numbers = found
    if numbers != list(range(count)):
        lost = len(set(range(count)) - set(numbers))
        raise RuntimeError(
            f"{lost} of {count} rows were lost" if lost else "rows came out of order"
        )
    return {"late_ns": late}


class _Reader:
    """What a writer asks of a reader, besides to read."""

    def collect(self) -> dict[str, Any]:
        """Leave no garbage to be collected while it reads."""
        gc.collect()
        return {}


class HubReader(_Reader):
    """fastfeed, waiting."""

    def __init__(self, folder: str, number: int, wait: Wait) -> None:
        self._hub = ff.attach(_HUB, wait=wait, follow=False)
        self._reader = self._hub.ticks.reader()

    def read(self, count: int) -> dict[str, Any]:
        """Return how late rows were."""
        return _checked(late_of_hub(self._reader, count), count)

    def check(self, count: int) -> dict[str, str]:
        """Return digests of rows."""
        end = self._reader.position + count
        parts: list[Rows] = []
        while self._reader.position < end:
            parts.append(next(self._reader).copy())
        rows = np.concatenate(parts)
        return digests(rows, [self._hub.symbols[i] for i in rows["symbol"].tolist()], _COLUMNS)


class MessageReader(_Reader):
    """What receives rows one by one, by `receive`."""

    receive: Callable[[], bytes]

    def read(self, count: int) -> dict[str, Any]:
        """Return how late rows were."""
        return _checked(late_of_messages(self.receive, count), count)

    def check(self, count: int) -> dict[str, str]:
        """Return digests of rows."""
        rows = np.frombuffer(b"".join([self.receive() for _ in range(count)]), ff.dtype("ticks"))
        return digests(rows, [_SYMBOLS[i] for i in rows["symbol"].tolist()], _COLUMNS)


class ZeroMQReader(MessageReader):
    """A socket of pyzmq's that subscribes."""

    def __init__(self, folder: str, number: int) -> None:
        import zmq

        socket: Any = zmq.Context.instance().socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, _CAPACITY)
        socket.setsockopt(zmq.RCVTIMEO, _PATIENCE_MS)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{folder}/zeromq")
        socket.subscribe(b"")
        self.receive = socket.recv


class PipeReader(MessageReader):
    """An end of a pipe."""

    def __init__(self, folder: str, number: int) -> None:
        # Without a writer there is none to wait for: it opens its end when this one is there.
        fd = os.open(Path(folder) / f"pipe-{number}", os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(fd, True)
        self.receive = Connection(fd, writable=False).recv_bytes
