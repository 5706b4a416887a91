"""A server that stands in for a vendor's, in a process of its own, and sends ready-made pushes to who subscribes.

    python -m fastfeed.bench.gateway VENDOR [CORE]

Says its port, as a line of JSON; `Gateway` runs it and speaks with it. Each line of JSON that it gets on stdin is a
task for the next client that subscribes; the answer is what was measured while sending. Then that client is
served until it hangs up, or the next task comes. Everything ends with stdin.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha1
from typing import Any, Literal, NamedTuple

import numpy as np

from fastfeed._core import load
from fastfeed.bench import opend_pushes
from fastfeed.bench.greetings import GREETINGS, GoneError, Greeting, Peer
from fastfeed.bench.process import Process, end_with_parent
from fastfeed.bench.samples import Sample, pushes_of

__all__ = ["Gateway", "Packets", "Server", "main", "packets_of", "schedule", "stamp"]

Array = np.ndarray[Any, Any]
Form = Literal["varint", "digits"]

_LEAD_NS = (
    50_000_000  # from a subscription to the first packet of a schedule, besides what stamping takes
)
_STAMP_NS = 10_000  # for each packet
_SILENCE_S = 5.0  # of a client before it subscribes; or of one that does not read replies


class Gateway(Process):
    """The process, as its parent sees it.

    Parameters
    ----------
    vendor : str
    cores : sequence of int
        The one to which it is pinned; empty: none.
    module : str
        What is run instead of this one.
    environment : dict, optional
        As of `Process`.

    Attributes
    ----------
    port : int
        Where it listens on 127.0.0.1.
    """

    def __init__(
        self,
        vendor: str,
        cores: Sequence[int] = (),
        *,
        module: str = "fastfeed.bench.gateway",
        environment: dict[str, str] | None = None,
    ) -> None:
        super().__init__(module, vendor, *map(str, cores), environment=environment)
        try:
            self.port: int = self.answer()["port"]
        except BaseException:
            self.end()
            raise

    def blast(self, sample: str, pushes: int, repeat: int = 1) -> None:
        """Send pushes as fast as they are read, to the next client.

        `result` then has ``bytes``, ``seconds``, and ``waited``: in how many of these there was no room for more.

        Parameters
        ----------
        sample : str
            The path of a `samples.Sample`.
        pushes : int
            How many of it.
        repeat : int
            How many times, each time with greater sequences.
        """
        self.tell(do="blast", sample=sample, pushes=pushes, repeat=repeat)

    def paced(self, sample: str, rate: float, count: int, jitter: float = 0.1) -> None:
        """Send so many pushes at a fixed rate, whether they are read or not, to the next client.

        The time at which each should be sent, by `schedule`, is its sequence. `result` then has ``start_ns``, to which
        the schedule is to be added, and ``late_us``: percentiles of how late the kernel was given the packets.
        """
        self.tell(do="paced", sample=sample, rate=rate, count=count, jitter=jitter)

    def play(self, data: str, ends: str, times: str) -> None:
        """Send packets as they are, each at its time, to the next client.

        `result` is as that of `paced`. Where the client hangs up before the end, it is that of what was sent: ``count``
        packets, and ``gone`` says why no more.

        Parameters
        ----------
        data : str
            A file of packets.
        ends, times : str
            Files as `numpy.save` writes them: where each packet ends (u8), and when it is to be sent (i8, ns from the
            start).
        """
        self.tell(do="paced", data=data, ends=ends, times=times, stamped=False)

    def reply(self) -> None:
        """Do nothing but answer requests, of one client after the other, until there is another task."""
        self.tell(do="reply")

    def result(self) -> dict[str, Any]:
        """Return what was measured while sending; ChildError where the client has gone, or the gateway."""
        return self.answer()


def schedule(rate: float, count: int, jitter: float = 0.1) -> Array:
    """Return the times of so many packets in ns: at a rate, each later by chance by up to a part of an interval."""
    interval = 1e9 / rate
    off = np.random.default_rng(count).uniform(0, interval * jitter, count)
    return (np.arange(count) * interval + off).astype("i8")


class Packets(NamedTuple):
    """Packets as they are on the wire, and where in them the sequences are; `step`: more than these differ by."""

    data: bytes
    ends: Array
    places: Array
    form: Form
    step: int


@cache
def packets_of(path: str, framed: bool) -> Packets:
    """Return the packets of a sample's file."""
    sample = Sample.read(path)
    vendor = pushes_of(sample.vendor)
    more = {"longport": {"framed": framed}, "alltick": {"stampable": True}}.get(sample.vendor, {})
    pieces = [vendor.on_wire(body, i, sample.kind, **more) for i, body in enumerate(sample.bodies)]
    ends = np.cumsum([len(piece) for piece in pieces], dtype="u8")
    starts = np.concatenate((np.zeros(1, "u8"), ends[:-1]))
    places = starts + np.array([vendor.sequence_at(piece) for piece in pieces], "u8")
    form: Form = "digits" if sample.vendor == "alltick" else "varint"
    data = b"".join(pieces)
    return Packets(data, ends, places, form, _step(data, places, form))


def stamp(packets: Packets, count: int, sequences: Array, vendor: str) -> bytearray:
    """Return the first so many packets with other sequences, and digests that fit."""
    data = bytearray(packets.data[: packets.ends[count - 1]])
    view = np.frombuffer(data, "u1")
    width = load.VARINT if packets.form == "varint" else load.DIGITS
    digits = np.empty((count, width), "u1")
    left = np.asarray(sequences, "u8")
    for i in range(width):
        if packets.form == "varint":
            digits[:, i] = left & np.uint64(0x7F) | np.uint64(0x80 if i < width - 1 else 0)
            left = left >> np.uint64(7)
        else:
            digits[:, width - 1 - i] = left % np.uint64(10) + np.uint64(ord("0"))
            left = left // np.uint64(10)
    view[packets.places[:count].astype("i8")[:, None] + np.arange(width)] = digits
    if vendor == "opend":
        start = 0
        for end in packets.ends[:count].tolist():
            body = start + opend_pushes.HEADER.size
            data[start + 16 : start + 36] = sha1(memoryview(data)[body:end]).digest()
            start = end
    return data


class _NextError(Exception):
    """There is something on stdin."""


class Server:
    """What listens: one client after the other.

    Parameters
    ----------
    vendor : str
    stdin : int
        The descriptor from which tasks come.
    say : callable
        Takes an answer.
    """

    def __init__(self, vendor: str, stdin: int, say: Callable[[dict[str, Any]], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._vendor = vendor
        self._stdin = stdin
        self._say = say
        self._silence_s: float | None = None

    def serve(self, task: dict[str, Any]) -> None:
        """Do a task; _NextError when the next one is there before it is done."""
        done = False  # then nobody else is let in: who comes now is for the next task
        while not done:
            self._silence_s = None
            self._readable(self.listener)
            accepted, _ = self.listener.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.settimeout(_SILENCE_S)
            with contextlib.suppress(GoneError, OSError), self.accept(accepted) as sock:
                greeting = GREETINGS[self._vendor](Peer(sock, self._readable))
                replying = task["do"] == "reply"
                self._silence_s = None if replying else _SILENCE_S
                greeting.begin()
                while not greeting.answer() or replying:
                    pass
                self._silence_s = None
                done = True
                self._say(self._send(task, sock, greeting))
                while True:
                    greeting.answer()

    def accept(self, sock: socket.socket) -> socket.socket:
        """Return a connection as what speaks with its client; OSError."""
        return sock

    def pending(self, sock: socket.socket) -> bool:
        """Whether there is something to read that the system does not know of."""
        return False

    def _readable(self, sock: socket.socket) -> None:
        if self.pending(sock):
            return
        ready, _, _ = select.select([self._stdin, sock.fileno()], [], [], self._silence_s)
        if self._stdin in ready:
            raise _NextError
        if not ready:
            raise GoneError("the client says nothing")

    def _send(self, task: dict[str, Any], sock: socket.socket, greeting: Greeting) -> Any:
        try:
            if task["do"] == "blast":
                return self._blast(sock, greeting.framed, **task)
            if "sample" in task:
                return self._paced(sock, greeting, **task)
            return self._play(sock, greeting, **task)
        except GoneError as error:
            return {"error": f"a task was not done: {error}"}
        except (OSError, ValueError) as error:
            return {"error": f"a task cannot be done: {error}"}

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        try:
            yield
        except InterruptedError:
            raise _NextError from None
        except OSError as error:
            raise GoneError(f"the client has gone: {error.strerror}") from None

    def _blast(
        self, sock: socket.socket, framed: bool, sample: str, pushes: int, repeat: int, do: str
    ) -> dict[str, Any]:
        packets = _enough(packets_of(sample, framed), pushes)
        block = bytearray(packets.data[: packets.ends[pushes - 1]])
        places = packets.places[:pushes]
        with self._sending():
            sent, seconds, waited = self.blast(
                sock, block, places, packets.form, repeat, packets.step
            )
        return {"bytes": sent, "seconds": seconds, "waited": waited}

    def blast(
        self,
        sock: socket.socket,
        block: bytearray,
        places: Array,
        form: Form,
        repeat: int,
        step: int,
    ) -> tuple[int, float, float]:
        """Send as `load.blast` does."""
        return load.blast(sock.fileno(), block, places, form, repeat, step, stop_fd=self._stdin)

    def _paced(
        self,
        sock: socket.socket,
        greeting: Greeting,
        sample: str,
        rate: float,
        count: int,
        jitter: float,
        do: str,
    ) -> dict[str, Any]:
        packets = _enough(packets_of(sample, greeting.framed), count)
        start = time.time_ns() + _LEAD_NS + count * _STAMP_NS
        times = start + schedule(rate, count, jitter)
        data = stamp(packets, count, times, self._vendor)
        return self._follow(sock, greeting, data, packets.ends[:count], times, start)

    def _play(
        self,
        sock: socket.socket,
        greeting: Greeting,
        data: str,
        ends: str,
        times: str,
        stamped: bool,
        do: str,
    ) -> dict[str, Any]:
        packets = np.memmap(data, "u1", "r")
        after = np.load(times).astype("i8", copy=False)
        start = time.time_ns() + _LEAD_NS
        return self._follow(
            sock,
            greeting,
            packets,
            np.load(ends).astype("u8", copy=False),
            start + after,
            start,
            partly=True,
        )

    def _follow(
        self,
        sock: socket.socket,
        greeting: Greeting,
        data: Any,
        ends: Array,
        times: Array,
        start: int,
        *,
        partly: bool = False,
    ) -> dict[str, Any]:
        late = np.full(len(times), -1, "i8")
        began = time.perf_counter()
        at, gone = 0, ""
        while at < len(times):
            try:
                with self._sending():
                    at = load.paced(sock.fileno(), data, ends, times, at, late, stop_fd=self._stdin)
                if at < len(times):
                    greeting.answer()
            except ConnectionError as error:
                if not partly:
                    raise
                gone = error.strerror or str(error)
                late = late[late >= 0]
                break
        names = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
        return {
            "start_ns": start,
            "seconds": time.perf_counter() - began,
            "count": len(late),
            "late_us": {
                name: float(np.percentile(late, part)) / 1e3 if len(late) else 0.0
                for name, part in names.items()
            },
            **({"gone": gone} if gone else {}),
        }


def _enough(packets: Packets, count: int) -> Packets:
    """Return the same, if there are so many; ValueError."""
    if not 0 < count <= len(packets.ends):
        raise ValueError(f"expected 1 to {len(packets.ends)} pushes of the sample, got {count}")
    return packets


def _step(data: bytes, places: Array, form: Form) -> int:
    """Return by how much sequences have to grow, so that all are greater than those before."""
    width = load.VARINT if form == "varint" else load.DIGITS
    found = np.frombuffer(data, "u1")[places.astype("i8")[:, None] + np.arange(width)]
    if form == "varint":
        shifts = np.arange(width, dtype="u8") * np.uint64(7)
        values = ((found & 0x7F).astype("u8") << shifts).sum(1, dtype="u8")
    else:
        tens = np.uint64(10) ** np.arange(width - 1, -1, -1, dtype="u8")
        values = ((found - ord("0")).astype("u8") * tens).sum(1, dtype="u8")
    return int(values.max() - values.min()) + 1


def main(vendor: str, *cores: str, make: type[Server] = Server) -> None:
    """Serve until stdin ends."""
    end_with_parent()
    if cores:
        os.sched_setaffinity(0, map(int, cores))
    # No more is read than a line: what is left would not be seen by select().
    tasks = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115, as long as the process

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), flush=True)

    server = make(vendor, tasks.fileno(), say)
    say({"port": server.listener.getsockname()[1]})
    while line := tasks.readline():
        with contextlib.suppress(_NextError):
            server.serve(json.loads(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
