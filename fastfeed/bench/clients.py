"""What all receivers of the wire and latency benches share: each connects to a gateway, subscribes and takes pushes.

The modules `opend_clients`, `alltick_clients` and `longport_clients` have the candidates. Each round is a new
connection.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import uvloop

from fastfeed.bench.digests import digests
from fastfeed.bench.gateway import packets_of
from fastfeed.bench.opend_pushes import HEADER
from fastfeed.bench.samples import Sample

__all__ = [
    "COLUMNS",
    "DEADLINE_S",
    "Client",
    "Count",
    "Done",
    "FeedClient",
    "Fields",
    "ReadingOnly",
    "Rows",
    "Sink",
    "Stamps",
    "on_uvloop",
]

COLUMNS = ("price", "volume", "seq")
#: For a round: far more than any takes, so that one that gets nothing ends as well.
DEADLINE_S = 120.0

#: Symbol, price, volume and sequence of a push.
Fields = tuple[str, float, float, int]

_ROW = np.dtype([(name, "i8" if name == "seq" else "f8") for name in COLUMNS])
_WINDOW_BYTES = 1 << 18


class Sink:
    """Where pushes go, one by one or as rows.

    Parameters
    ----------
    total : int
        How many will come.
    fields : callable, optional
        Makes `Fields` of a push, where they come one by one.
    """

    def __init__(self, total: int, fields: Callable[[Any], Fields] | None = None) -> None:
        self.total = self.left = total
        self.fields = fields
        self.finished: Callable[[], object] = lambda: None
        self.started = self.ended = 0.0

    def begin(self, finished: Callable[[], object]) -> None:
        """Take note of the time; `finished` is called when all have come."""
        self.finished = finished
        self.started = time.perf_counter()

    def less(self, count: int) -> None:
        """Take note that so many have come."""
        self.left -= count
        if self.left <= 0:
            self.ended = time.perf_counter()
            self.finished()

    def batch(self, rows: Any) -> None:
        """Take fastfeed's rows."""
        raise NotImplementedError

    def one(self, push: Any) -> None:
        """Take a push."""
        raise NotImplementedError


class Count(Sink):
    """Counts, and nothing else."""

    def batch(self, rows: Any) -> None:
        self.left -= len(rows)
        if self.left <= 0:
            self.less(0)

    def one(self, push: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.less(0)


class Stamps(Sink):
    """Takes the time first, and compares it with the sequence."""

    def __init__(self, total: int, fields: Callable[[Any], Fields] | None = None) -> None:
        super().__init__(total, fields)
        self.late: list[int] = []

    def batch(self, rows: Any) -> None:
        now = time.time_ns()
        for sequence in rows["seq"].tolist():
            self.late.append(now - sequence)
        self.less(len(rows))

    def one(self, push: Any) -> None:
        now = time.time_ns()
        assert self.fields is not None
        self.late.append(now - self.fields(push)[3])
        self.less(1)


class Rows(Sink):
    """Keeps the rows."""

    def __init__(self, total: int, fields: Callable[[Any], Fields] | None = None) -> None:
        super().__init__(total, fields)
        self.parts: list[Any] = []

    def batch(self, rows: Any) -> None:
        self.parts.append(rows.copy())
        self.less(len(rows))

    def one(self, push: Any) -> None:
        assert self.fields is not None
        self.parts.append(self.fields(push))
        self.less(1)


class Done:
    """What a coroutine waits for: that all pushes have come, or cannot any more."""

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set(self) -> None:
        """All have come."""
        if not self.future.done():
            self.future.set_result(None)

    def fail(self, error: Exception | None) -> None:
        """They will not come."""
        if not self.future.done():
            self.future.set_exception(error or ConnectionError("the gateway hung up"))


class Client(ABC):
    """A candidate.

    Parameters
    ----------
    port : int
        The gateway's.
    sample : str
        The path of the `Sample` from which it sends.
    pushes, repeat : int
        Of a blast: how many of the sample are sent, and how many times.
    """

    #: What of `COLUMNS` is shown of a push.
    columns: tuple[str, ...] = COLUMNS

    def __init__(self, port: int, sample: str, pushes: int = 0, repeat: int = 1) -> None:
        self.port = port
        self.path = sample
        self.sample = Sample.read(sample)
        self.pushes = pushes
        self.repeat = repeat

    def check(self, count: int) -> dict[str, str]:
        """Return digests of the first so many pushes."""
        symbols, rows = self.rows(count)
        return digests(rows, symbols, self.columns)

    def round(self, count: int = 0) -> dict[str, Any]:
        """Receive a blast, and tell the seconds; or so many pushes of a schedule, and tell how late they were in ns."""
        if count:
            stamps = Stamps(count, self.fields)
            self.receive(stamps)
            return {"late_ns": stamps.late}
        counter = Count(self.pushes * self.repeat, self.fields)
        self.receive(counter)
        return {"seconds": counter.ended - counter.started}

    def rows(self, count: int) -> tuple[list[str], Any]:
        """Return the symbols and columns of the first so many pushes."""
        kept = Rows(count, self.fields)
        self.receive(kept)
        symbols = [symbol for symbol, *_ in kept.parts]
        return symbols, np.array([tuple(values) for _, *values in kept.parts], _ROW)

    @abstractmethod
    def receive(self, sink: Sink) -> None:
        """Connect, subscribe to all symbols, and give the sink as many pushes as it waits for."""

    @staticmethod
    def fields(push: Any) -> Fields:
        """Return what the sinks want of a push."""
        raise NotImplementedError


class FeedClient(Client):
    """fastfeed, by its public interface.

    Parameters
    ----------
    port, sample, pushes, repeat
        As of `Client`.
    **options
        Of the feed.
    """

    def __init__(
        self, port: int, sample: str, pushes: int = 0, repeat: int = 1, **options: Any
    ) -> None:
        super().__init__(port, sample, pushes, repeat)
        self.options = options

    @abstractmethod
    def feed(self) -> Any:
        """Return the feed."""

    async def beside(self, feed: Any, sink: Sink, done: Done) -> None:
        """Do something while pushes come; here nothing."""

    def rows(self, count: int) -> tuple[list[str], Any]:
        kept = Rows(count)
        symbols = self._receive(kept)
        rows = np.concatenate(kept.parts)
        return [symbols[i] for i in rows["symbol"].tolist()], rows

    def receive(self, sink: Sink) -> None:
        self._receive(sink)

    def _receive(self, sink: Sink) -> Any:
        feed = self.feed()
        uvloop.run(self._run(feed, sink))
        return feed.symbols

    async def _run(self, feed: Any, sink: Sink) -> None:
        done = Done()

        def on_event(event: Any) -> None:
            if event.kind == "disconnected":
                done.fail(ConnectionError(f"disconnected: {event.text}"))

        async with asyncio.timeout(DEADLINE_S), feed:
            feed.on_event(on_event)
            feed.ticks.on_batch(sink.batch)
            sink.begin(done.set)
            subscribing = asyncio.ensure_future(feed.subscribe(self.sample.symbols, "ticks"))
            await asyncio.wait((subscribing, done.future), return_when=asyncio.FIRST_COMPLETED)
            if not done.future.done():
                await subscribing
                await self.beside(feed, sink, done)
            await done.future
            stats = feed.stats()
        if stats["ticks"] != sink.total or stats["rejected"]:
            raise RuntimeError(f"expected {sink.total} ticks and none rejected, got {stats}")


class ReadingOnly(Client):
    """Reads in C, and looks at nothing: what no receiver can be faster than."""

    @abstractmethod
    def greet(self) -> socket.socket:
        """Return a socket on which the pushes come next; OSError."""

    @property
    def framed(self) -> bool:
        """Whether packets come in frames."""
        return True

    def receive(self, sink: Sink) -> None:
        from fastfeed._core.load import drain

        packets = packets_of(self.path, self.framed)
        length = int(packets.ends[self.pushes - 1])
        with self.greet() as sock:
            sink.begin(lambda: None)
            drain(sock.fileno(), _WINDOW_BYTES, length * self.repeat)
            sink.less(sink.total)

    def rows(self, count: int) -> tuple[list[str], Any]:
        packets = packets_of(self.path, self.framed)
        ends = packets.ends[:count].tolist()
        with self.greet() as sock:
            data = exactly(sock, ends[-1])
        starts = [0, *ends[:-1]]
        fields = [self.fields(data[start:end]) for start, end in zip(starts, ends, strict=True)]
        symbols = [symbol for symbol, *_ in fields]
        return symbols, np.array([tuple(values) for _, *values in fields], _ROW)


def exactly(sock: socket.socket, count: int) -> bytes:
    """Return so many bytes from a socket; ConnectionError."""
    data = bytearray()
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError(f"the gateway hung up after {len(data)} of {count} bytes")
        data += part
    return bytes(data)


def read_packet(sock: socket.socket) -> bytes:
    """Return OpenD's next packet."""
    header = exactly(sock, HEADER.size)
    return header + exactly(sock, HEADER.unpack(header)[5])


def read_frame(sock: socket.socket) -> bytes:
    """Return the payload of a server's next frame."""
    length = exactly(sock, 2)[1]
    if length > 125:
        length = int.from_bytes(exactly(sock, 2 if length == 126 else 8), "big")
    return exactly(sock, length)


def upgrade(port: int, path: str) -> socket.socket:
    """Return a socket after WebSocket's handshake."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += exactly(sock, 1)
    return sock


def on_uvloop(main: Callable[[], Any]) -> Any:
    """Run a coroutine function on uvloop, for as long as a round may take."""

    async def limited() -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return await main()

    return uvloop.run(limited())


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a server's frame."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


def subscription(symbols: Sequence[str]) -> str:
    """Return AllTick's request for trades."""
    return json.dumps(
        {
            "cmd_id": 22004,
            "seq_id": 1,
            "trace": "bench",
            "data": {"symbol_list": [{"code": symbol} for symbol in symbols]},
        }
    )
