"""From the rings of a hub to NATS JetStream.

A relay is a reader like any other. Every few milliseconds it takes the rows that are new, sorts them by symbol, and
publishes a message for each symbol, see `fastfeed.protocols.relay_messages`.

What it keeps to:

- At most one message of a subject is on its way. So the order of a symbol's rows cannot change, whatever is lost,
  refused or sent again, and rows come together in larger messages the longer an answer takes.
- What is not acknowledged is sent again with the same id, which JetStream drops where it has it already.
- While messages cannot be sent, rows wait in the ring. What is overwritten there is counted, told as an event, and
  told to consumers by each following message.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import secrets
import ssl
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastfeed.attach import AttachedHub, AttachedReader
from fastfeed.callbacks import Callbacks
from fastfeed.errors import (
    ConfigError,
    ConnectError,
    FastfeedError,
    InternalError,
    LocalProtocolError,
)
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.events import Event
from fastfeed.feeds.nats_connection import (
    Address,
    Server,
    canonical_of,
    failures,
    js_of,
    stream_name,
)
from fastfeed.hub import Hub
from fastfeed.protocols.relay_messages import (
    FIRST,
    LOST,
    MESSAGE_ID,
    RUN,
    PayloadCodec,
    checked_prefix,
    subject_of,
)
from fastfeed.schema import streams_of
from fastfeed.stream import Source

__all__ = ["Relay", "shard_of"]

_logger = logging.getLogger(__name__)

_ROUND_BYTES = 1 << 24  # of rows of a kind that are taken at once
_IN_FLIGHT_BYTES = 1 << 24
_HEADERS_BYTES = 512  # of a message, at most
_LONGEST_LINGER_S = 0.25
_LOOK_S = 0.25  # between two looks at what is not acknowledged
_CANCEL_S = 0.1  # before a task is cancelled again; ten times that before the one that does so is
_REFUSED_S = 1.0  # before a message that JetStream refused is sent again
_DAY_S = 86400.0
_WINDOW_S = 120.0  # in which JetStream recognises doubles
_TOO_LONG = "message size exceeds maximum allowed"  # as JetStream says it
_NO_STREAM = "there is no stream for it"


def shard_of(symbol: str, count: int) -> int:
    """Return which of so many relays a symbol belongs to, from 0: CRC-32 of its UTF-8, modulo their number."""
    return zlib.crc32(symbol.encode()) % count


class Wanted(NamedTuple):
    """What a stream of JetStream is to have; None: whatever it has.

    Attributes
    ----------
    max_age_s : float
        How long messages are kept, 0 = for ever. A new stream keeps them for a day if it is not said.
    max_bytes : int
        What they may take, -1 = whatever the server allows.
    storage : {"file", "memory"}
    replicas : int
    """

    max_age_s: float | None = None
    max_bytes: int | None = None
    storage: Literal["file", "memory"] | None = None
    replicas: int | None = None

    def check(self) -> None:
        """Look whether these can be; ValueError."""
        if self.max_age_s is not None and not 0 <= self.max_age_s < 1e9:
            raise ValueError(f"expected max_age_s of 0 or more seconds, got {self.max_age_s!r}")
        if self.max_bytes is not None and not (self.max_bytes == -1 or self.max_bytes > 0):
            raise ValueError(f"expected max_bytes of 1 or more, or -1, got {self.max_bytes!r}")
        if self.storage not in (None, "file", "memory"):
            raise ValueError(f"expected storage 'file' or 'memory', got {self.storage!r}")
        if self.replicas is not None and not 1 <= self.replicas <= 5:
            raise ValueError(f"expected 1 to 5 replicas, got {self.replicas!r}")

    def given(self) -> dict[str, Any]:
        """Return the settings that were asked for, as nats-py names them."""
        settings = {
            "max_age": self.max_age_s,
            "max_bytes": self.max_bytes,
            "storage": self.storage,
            "num_replicas": self.replicas,
        }
        return {name: value for name, value in settings.items() if value is not None}


class _Message:
    """A message on its way: one symbol's rows.

    Attributes
    ----------
    origin : str
        The run of the relay and the symbol in it.
    first : int
        Number of its first row.
    lost : str
        What the header `LOST` says.
    body : memoryview
        Its rows.
    """

    __slots__ = (
        "body", "bytes", "codec", "first", "kind", "lost", "origin", "payload", "refused_at", "rows", "subject"
    )  # fmt: skip

    def __init__(
        self, kind: str, subject: str, origin: str, first: int, lost: str, codec: PayloadCodec, body: memoryview
    ) -> None:  # fmt: skip
        self.kind = kind
        self.subject = subject
        self.origin = origin
        self.first = first
        self.lost = lost
        self.codec = codec
        self.rows = len(body) // codec.dtype.itemsize
        self.payload = b"".join((codec.head(self.rows), body))
        self.body = memoryview(self.payload)[codec.overhead :]
        self.bytes = len(self.payload)
        self.refused_at = 0.0

    @property
    def headers(self) -> dict[str, str]:
        """What is sent before the payload."""
        return {
            MESSAGE_ID: f"{self.origin}.{self.first}",
            RUN: self.origin.partition(".")[0],
            FIRST: str(self.first),
            LOST: self.lost,
        }

    def parts(self, most_payload: int) -> list[_Message]:
        """Return it as messages that are not longer than that.

        The first one has its id: where JetStream has the whole already, it drops that one, and consumers know the
        others' rows by their numbers.
        """
        most = _rows_within(self.codec, most_payload)
        if self.rows <= most:
            return [self]
        size = self.codec.dtype.itemsize
        return [
            _Message(
                self.kind, self.subject, self.origin, self.first + begin, self.lost, self.codec,
                self.body[begin * size : (begin + most) * size],
            )
            for begin in range(0, self.rows, most)
        ]  # fmt: skip


class _Tap:
    """One kind of a hub's rows on its way into messages.

    Rows are numbered by symbol, anew in each run. A run ends when the hub's writer is followed by another one, whose
    symbols have other ids.
    """

    def __init__(
        self,
        hub: Hub | AttachedHub,
        kind: str,
        start: Literal["now", "oldest"],
        prefix: str,
        wants: Callable[[str], bool],
    ) -> None:
        self.kind = kind
        self.published = 0  # rows that were acknowledged
        self.waiting = 0  # rows in messages that were not
        self._hub = hub
        self._stream = hub.stream(kind)
        self.reader = self._stream.reader(start)
        self._prefix = prefix
        self._wants = wants
        self._torn = 0
        self._told = 0
        self._begin(self._stream.dtype)

    def _begin(self, dtype: np.dtype[Any]) -> None:
        self._source = self._source_now()
        self.run = secrets.token_hex(6)
        self._codec = PayloadCodec(dtype)
        self._lost_before = self.lost
        self._numbers: list[int] = []  # of the next row, by symbol id
        self._subjects: list[str] = []
        self._is_wanted = np.zeros(0, bool)
        self._wants_all = True

    def _source_now(self) -> Source:
        """Return what was read last; the stream of an attached hub may be ahead of it."""
        return (
            self.reader.source if isinstance(self.reader, AttachedReader) else self._stream.source
        )

    @property
    def lost(self) -> int:
        """Rows of all runs that were overwritten before they could be taken."""
        behind = 0  # which the reader counts when it reads on
        if self._source is self._stream.source:
            behind = max(0, self._stream.ring.oldest - self.reader.position)
        return self.reader.lost + self._torn + behind

    def newly_lost(self) -> int:
        """Return how many rows were lost since this was asked last."""
        found, self._told = self.lost - self._told, self.lost
        return found

    @property
    def is_pressed(self) -> bool:
        """Whether rows may be overwritten soon."""
        return self.reader.ready > self._stream.capacity // 4

    @property
    def row_bytes(self) -> int:
        """Bytes of a message with one row, without headers."""
        return self._codec.overhead + self._codec.dtype.itemsize

    def take(self, most_payload: int) -> list[_Message]:
        """Return the rows that are new as messages, those of each symbol in their order."""
        size = self._codec.dtype.itemsize
        view = self.reader.read(max(1, _ROUND_BYTES // size))
        if not len(view):
            return []
        source = self._source_now()
        first = self.reader.position - len(view)
        rows = view.copy()
        if torn := source.torn(first, len(rows)):
            self._torn += torn
            rows = rows[torn:]
            if not len(rows):
                return []
        if source is not self._source:
            self._begin(rows.dtype)
            size = self._codec.dtype.itemsize
        ids = rows["symbol"]
        self._know(len(self._source.symbols))
        if int(ids.max()) >= len(self._numbers):
            raise InternalError(f"rows of {self.kind} have symbols that the hub does not")
        order = self._order(ids)
        if not len(order):
            return []
        plain = np.dtype((np.void, size))
        data = memoryview(rows.view(plain).take(order).tobytes())
        ids = ids[order]
        ends = [*(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        most = _rows_within(self._codec, most_payload)
        made: list[
            list[_Message]
        ] = []  # the first message of each symbol, the second ones, and so on
        begin = 0
        lost = str(self.lost - self._lost_before)
        for end, symbol in zip(ends, ids[[e - 1 for e in ends]].tolist(), strict=True):
            origin = f"{self.run}.{symbol}"
            for turn in itertools.count():
                count = min(most, end - begin)
                first = self._numbers[symbol]
                self._numbers[symbol] = first + count
                if turn == len(made):
                    made.append([])
                body = data[begin * size : (begin + count) * size]
                made[turn].append(
                    _Message(
                        self.kind, self._subjects[symbol], origin, first, lost, self._codec, body
                    )
                )
                begin += count
                if begin == end:
                    break
        self.waiting += len(ids)
        # In turns: a symbol's second message waits for the answer to its first, and would hold all others up.
        return list(itertools.chain.from_iterable(made))

    def _order(self, ids: NDArray[Any]) -> NDArray[np.intp]:
        """Return the places of rows that are wanted, by symbol."""
        if len(self._numbers) <= 1 << 16:
            ids = ids.astype(np.uint16)  # which is sorted by counting
        if self._wants_all:
            return np.argsort(ids, kind="stable")
        chosen = np.flatnonzero(self._is_wanted[ids])
        return chosen[np.argsort(ids[chosen], kind="stable")]

    def _know(self, count: int) -> None:
        """Take note of new symbols."""
        known = len(self._numbers)
        if count == known:
            return
        names = [self._source.symbols[number] for number in range(known, count)]
        self._numbers += [0] * len(names)
        self._subjects += [subject_of(self._prefix, self.kind, name) for name in names]
        wanted = np.fromiter(map(self._wants, names), bool, len(names))
        self._is_wanted = np.concatenate([self._is_wanted, wanted])
        self._wants_all = bool(self._is_wanted.all())


class Relay:
    """Publishes the rows of a hub on NATS JetStream, for feeds on other machines (``ff.connect("nats://...")``).

    Use it as ``async with``: entering connects and looks at the stream, leaving publishes what is there by then. In
    between it connects again by itself. It needs nats-py: ``pip install 'fastfeed[bus]'``.

    Parameters
    ----------
    hub : Hub or AttachedHub
        Whose rows. With `fastfeed.attach` the receiving process does not notice.
    servers : str or iterable of str
        ``nats://host:4222`` or ``tls://...``, several with commas between them; credentials may stand in it.
    kinds : iterable of str
        Names of streams; ``bars:1m`` are all bars.
    symbols : iterable of str, optional
        Only these; by default all that the hub has and will have.
    shard : (int, int)
        Which of how many relays this one is, from 1: each symbol belongs to one of them, see `shard_of`.
    prefix : str
        First part of the subjects: ``md.ticks.HK.700``.
    start : {"now", "oldest"}
        Begin with the next row, or with the oldest one that the hub still keeps: what another relay, or this one
        before it was restarted, has published of those comes again.
    linger_s : float
        How often rows are taken, at most. Where publishing is much work, they are taken more seldom, and a quarter of
        a second is the longest pause.
    max_in_flight : int
        Messages that are not acknowledged, at most.
    creds : str, optional
        A file of credentials. By default the environment's `NATS_CREDS`, `NATS_USER` and `NATS_PASSWORD`, or
        `NATS_TOKEN`.
    ssl_context : ssl.SSLContext, optional
        For ``tls://``.
    stream : str, optional
        Name of JetStream's stream; by default the prefix. It is made if it is not there.
    max_age_s, max_bytes, storage, replicas : optional
        What the stream is to have. What is not said is whatever it has; a new one keeps messages for a day, in files.
    update_stream : bool
        Change a stream that has other settings than these, or other subjects.
    connect_timeout_s, ack_timeout_s : float
        For the connection and answers about the stream; after that long without any acknowledgement the connection
        is given up, and what was not acknowledged sent again.
    backoff : Backoff, optional
        Pauses between attempts to come back.

    Raises
    ------
    ConfigError
        An option cannot be.
    """

    def __init__(
        self,
        hub: Hub | AttachedHub,
        servers: str | Iterable[str],
        *,
        kinds: Iterable[str] = ("ticks",),
        symbols: Iterable[str] | None = None,
        shard: tuple[int, int] = (1, 1),
        prefix: str = "md",
        start: Literal["now", "oldest"] = "now",
        linger_s: float = 0.005,
        max_in_flight: int = 512,
        creds: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        stream: str | None = None,
        max_age_s: float | None = None,
        max_bytes: int | None = None,
        storage: Literal["file", "memory"] | None = None,
        replicas: int | None = None,
        update_stream: bool = False,
        connect_timeout_s: float = 5.0,
        ack_timeout_s: float = 10.0,
        backoff: Backoff | None = None,
    ) -> None:
        self._address = Address(servers, creds, ssl_context)
        self.url = self._address.shown
        self.hub = hub
        self._settings = Wanted(max_age_s, max_bytes, storage, replicas)
        number, count = shard
        try:
            self._prefix = checked_prefix(prefix)
            self._settings.check()
            self.kinds = streams_of(kinds)
            if not 1 <= number <= count <= 1 << 16:
                raise ValueError(f"expected a shard such as 1/4, got {number}/{count}")
            if start not in ("now", "oldest"):
                raise ValueError(f"expected start 'now' or 'oldest', got {start!r}")
            if not 1 <= max_in_flight <= 1 << 14:
                raise ValueError(f"expected 1 to {1 << 14} messages in flight, got {max_in_flight}")
            for name, value in (
                ("linger_s", linger_s),
                ("connect_timeout_s", connect_timeout_s),
                ("ack_timeout_s", ack_timeout_s),
            ):
                if not 0 < value < 1e9:
                    raise ValueError(f"expected {name} of more than 0 seconds, got {value!r}")
            only = None if symbols is None else frozenset(map(canonical_of, symbols))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self.stream = stream_name(prefix) if stream is None else stream
        self._wants: Callable[[str], bool] = lambda name: (
            (only is None or name in only) and (count == 1 or shard_of(name, count) == number - 1)
        )
        self._start: Literal["now", "oldest"] = start
        self._linger_s = linger_s
        self._max_in_flight = max_in_flight
        self._update_stream = update_stream
        self._connect_timeout_s = connect_timeout_s
        self._ack_timeout_s = ack_timeout_s
        self._backoff = backoff if backoff is not None else Backoff()
        self._events: Callbacks[Event] = Callbacks("event")
        self._taps: dict[str, _Tap] = {}
        self._outbox: deque[_Message] = deque()
        self._in_flight: dict[int, _Message] = {}  # by token, in the order in which they were sent
        self._in_flight_bytes = 0
        self._busy: set[str] = set()  # subjects of those
        self._token = 0
        self._room = asyncio.Event()
        self._acked_at = 0.0
        self._most_payload = 1 << 20
        self._server: Server | None = None
        self._inbox = ""
        self._task: asyncio.Task[None] | None = None
        self._opened = self._closing = False
        self._counts = {"messages": 0, "bytes": 0, "retries": 0, "reconnects": 0, "refused": 0}
        self._refusal = ""
        self._refused_since = 0.0

    # life

    async def open(self) -> Self:
        """Connect, look at the stream and begin; the same as entering ``async with``.

        Raises
        ------
        ConnectError, RequestTimeout
            Nothing listens there, it does not answer, or has no JetStream.
        AuthError
            It refused the credentials.
        ConfigError
            The stream has other settings, or what was asked for cannot be had.
        """
        if self._opened:
            raise LocalProtocolError("a relay is opened once; make a new one")
        self._opened = True
        try:
            await self._connect()
            self._taps = {
                kind: _Tap(self.hub, kind, self._start, self._prefix, self._wants)
                for kind in self.kinds
            }
            self._check_rows()
        except BaseException:
            await self._disconnect()
            raise
        self._emit("connected")
        self._task = asyncio.create_task(self._run(), name=f"fastfeed relay {self.url}")
        return self

    async def close(self, drain_s: float = 5.0) -> None:
        """Publish what the hub has now, for some seconds at most, and disconnect."""
        self._closing = True
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=drain_s)
            await _end(task, every_s=10 * _CANCEL_S)
        await self._disconnect()

    async def wait(self) -> None:
        """Wait until the relay ends by itself: the hub has ended, or it cannot go on.

        Raises
        ------
        InternalError
            Why it cannot go on.
        """
        if self._task is not None:
            await asyncio.wait([self._task])
            if self._task is not None and not self._task.cancelled():
                self._task.result()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<Relay of {', '.join(self.kinds)} to {self.url}: {state}>"

    @property
    def connected(self) -> bool:
        """Whether the connection stands at the moment."""
        return self._server is not None and not self._server.lost.done()

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call a function with every `Event`: connected, disconnected, connect_failed, error, and gap.

        A ``gap`` says that rows of the ring were overwritten before they were published.

        Returns
        -------
        callable
            Without arguments; ends it.
        """
        return self._events.add(callback)

    def stats(self) -> dict[str, Any]:
        """Return counters since the relay was made.

        `rows` by kind, `messages` and `bytes`: acknowledged; `lost` by kind: overwritten in the ring before they
        were taken; `in_flight`: messages sent and not acknowledged; `retries`: messages sent again; `refused`: times
        that JetStream did not take one; `failing`: why it takes none at the moment, or None; `reconnects`;
        `lag_rows`: not acknowledged yet; `connected`.
        """
        return {
            "rows": {kind: tap.published for kind, tap in self._taps.items()},
            "lost": {kind: tap.lost for kind, tap in self._taps.items()},
            "in_flight": len(self._in_flight),
            "lag_rows": sum(tap.reader.ready + tap.waiting for tap in self._taps.values()),
            "connected": self.connected,
            "failing": f"JetStream does not take messages: {self._refusal}"
            if self._refusal
            else None,
            **self._counts,
        }

    def _emit(self, kind: str, text: str = "", **fields: Any) -> None:
        level = logging.INFO if kind == "connected" else logging.WARNING
        _logger.log(level, "relay %s %s %s", self.url, kind, text)
        self._events(Event(kind, self.url, time.time_ns(), text, **fields))

    # connection

    async def _connect(self) -> None:
        server = await self._address.connect("fastfeed relay", self._connect_timeout_s)
        self._server = server
        try:
            await self._look_at_stream(server)
            self._check_rows()
            self._inbox = server.client.new_inbox()
            async with failures("cannot listen for acknowledgements", server):
                await server.client.subscribe(f"{self._inbox}.*", cb=self._on_ack)
        except BaseException:
            await self._disconnect()
            raise

    def _check_rows(self) -> None:
        """See that messages may be as long as one row."""
        for tap in self._taps.values():
            if tap.row_bytes + _HEADERS_BYTES > self._most_payload:
                raise ConfigError(
                    f"a row of {tap.kind} takes {tap.row_bytes + _HEADERS_BYTES} bytes, and {self.url} takes "
                    f"messages of {self._most_payload}: raise max_payload there"
                )

    async def _disconnect(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.close()

    async def _look_at_stream(self, server: Server) -> None:
        """See that the stream is there and as it was asked for."""
        from nats.js.errors import NotFoundError

        js = js_of(server, self._connect_timeout_s)
        subjects = [f"{self._prefix}.>"]
        what = f"the stream {self.stream!r}"
        async with failures(what, server):
            try:
                config = (await js.stream_info(self.stream)).config
            except NotFoundError:
                config = None
            except ValueError as error:
                raise ConfigError(f"{what}: {error}") from None
        asked = self._settings.given()
        if config is None:
            settings: dict[str, Any] = {"max_age": _DAY_S, "storage": "file"} | asked
            age: float = settings["max_age"]
            settings["duplicate_window"] = min(_WINDOW_S, age) if age else _WINDOW_S
            async with failures(f"cannot make {what}", server):
                config = (
                    await js.add_stream(name=self.stream, subjects=subjects, **settings)
                ).config
        else:
            differences = _differences(config, asked)
            if not any(_covers(pattern, subjects[0]) for pattern in config.subjects or ()):
                there = ", ".join(config.subjects or ()) or "none"
                differences.append(f"the subjects {there}, and not {subjects[0]}")
                asked["subjects"] = [*(config.subjects or ()), *subjects]
            if differences and not self._update_stream:
                raise ConfigError(
                    f"{what} at {self.url} has {'; '.join(differences)}: do not ask for that, name another "
                    "stream (--stream), or have it changed (--update-stream)"
                )
            if differences:
                async with failures(f"cannot change {what}", server):
                    config = (await js.update_stream(config.evolve(**asked))).config
        self._most_payload = int(server.client.max_payload)
        if config.max_msg_size and config.max_msg_size > 0:
            self._most_payload = min(self._most_payload, config.max_msg_size)

    # publishing

    async def _run(self) -> None:
        """Publish until the end; connect again where the connection is lost."""
        try:
            while True:
                since = time.monotonic()
                reason = await self._publish_while_connected()
                if reason is None:
                    return
                if time.monotonic() - since >= 10.0:
                    self._backoff.reset()
                self._emit("disconnected", str(reason))
                await self._disconnect()
                await self._connect_again()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _logger.exception("the relay to %s cannot go on", self.url)
            failure = InternalError(f"the relay to {self.url} cannot go on: {error!r}")
            self._emit("error", str(failure))
            raise failure from error

    async def _connect_again(self) -> None:
        while True:
            await asyncio.sleep(self._backoff.pause_s())
            self._tell_lost()
            try:
                await self._connect()
            except (
                FastfeedError
            ) as error:  # also a stream that is another one by now: it may be put right
                self._emit("connect_failed", str(error))
            else:
                self._counts["reconnects"] += 1
                self._emit("connected")
                return

    async def _publish_while_connected(self) -> Exception | None:
        """Publish; return why the connection is lost, None when everything is done."""
        server = self._server
        assert server is not None
        self._acked_at = time.monotonic()
        self._refusal = ""
        pump = asyncio.create_task(self._pump(server))
        watch = asyncio.create_task(self._watch(server))
        try:
            ends: list[asyncio.Future[Any]] = [pump, watch, server.lost]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(pump, watch)
        if server.lost.done():
            return server.lost.result() or ConnectError("closed by the peer")
        for task in (pump, watch):
            if not task.cancelled():
                error = task.exception()
                if error is None:
                    return None
                if isinstance(error, ConnectError):
                    return error
                raise error
        raise InternalError("neither connected nor lost")

    async def _pump(self, server: Server) -> None:
        """Send again what was not acknowledged, then what comes."""
        try:
            again = list(self._in_flight.values())
            self._in_flight.clear()
            self._busy.clear()
            self._in_flight_bytes = 0
            waiting = [*again, *self._outbox]  # which this server may find too long
            self._outbox = deque(part for one in waiting for part in one.parts(self._most_payload))
            self._counts["retries"] += len(again)
            while True:
                began = time.thread_time()
                while self._outbox:
                    message = self._outbox[0]
                    while not self._has_room(message):
                        self._room.clear()
                        await self._room.wait()
                    await self._send(server, self._outbox.popleft())
                took = time.thread_time() - began
                if not await self._fill(took):
                    break
            while self._in_flight:
                self._room.clear()
                await self._room.wait()
        except FastfeedError:
            raise
        except Exception as error:
            if type(error).__module__.partition(".")[0] == "nats":
                raise ConnectError(f"cannot publish: {error}") from error
            raise

    def _has_room(self, message: _Message) -> bool:
        return (
            message.subject not in self._busy
            and len(self._in_flight) < self._max_in_flight
            and (not self._in_flight or self._in_flight_bytes + message.bytes <= _IN_FLIGHT_BYTES)
        )

    async def _send(self, server: Server, message: _Message) -> None:
        self._token += 1
        if not self._in_flight:
            self._acked_at = time.monotonic()
        self._in_flight[self._token] = message
        self._in_flight_bytes += message.bytes
        self._busy.add(message.subject)
        await server.client.publish(
            message.subject,
            message.payload,
            reply=f"{self._inbox}.{self._token}",
            headers=message.headers,
        )

    async def _fill(self, took_s: float) -> bool:
        """Wait for rows, and make messages of them; False when no more will come."""
        while True:
            is_last = self._closing or self._has_ended()
            if not is_last and not any(tap.is_pressed for tap in self._taps.values()):
                # Where a round is much work, the next one brings more rows in as many messages.
                await asyncio.sleep(min(max(self._linger_s, took_s), _LONGEST_LINGER_S))
            for tap in self._taps.values():
                self._outbox.extend(tap.take(self._most_payload))
            self._tell_lost()
            if self._outbox:
                return True
            if is_last and not any(tap.reader.ready for tap in self._taps.values()):
                return False
            took_s = 0.0

    def _has_ended(self) -> bool:
        if isinstance(self.hub, AttachedHub):
            return not self.hub.look()
        return all(self.hub.stream(kind).ended for kind in self.kinds)

    def _tell_lost(self) -> None:
        for tap in self._taps.values():
            if lost := tap.newly_lost():
                self._emit(
                    "gap",
                    f"{lost:,} rows of {tap.kind} were overwritten before they could be published",
                    details={"kind": tap.kind, "rows": lost},
                )

    async def _on_ack(self, answer: Any) -> None:
        token = answer.subject.rpartition(".")[2]
        message = self._in_flight.get(int(token)) if token.isdigit() else None
        if message is None:
            return
        self._acked_at = time.monotonic()
        refusal = _refusal(answer)
        if refusal is not None:
            message.refused_at = self._acked_at
            self._counts["refused"] += 1
            if refusal != self._refusal:
                self._refusal = refusal
                self._refused_since = self._acked_at
                self._emit("error", f"JetStream does not take messages: {refusal}; trying again")
            return
        self._refusal = ""
        del self._in_flight[int(token)]
        self._in_flight_bytes -= message.bytes
        self._busy.discard(message.subject)
        self._counts["messages"] += 1
        self._counts["bytes"] += message.bytes
        tap = self._taps[message.kind]
        tap.published += message.rows
        tap.waiting -= message.rows
        self._room.set()

    async def _watch(self, server: Server) -> None:
        """Send again what was refused, and give a connection up on which nothing is acknowledged any more."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self._tell_lost()  # also while nothing can be sent
            if self._refusal == _TOO_LONG:
                raise ConnectError("the stream takes shorter messages now")
            now = time.monotonic()
            if self._refusal == _NO_STREAM and now - self._refused_since > self._ack_timeout_s:
                raise ConnectError(
                    f"there is no stream {self.stream!r} any more"
                )  # it is made again
            if self._in_flight and now - self._acked_at > self._ack_timeout_s:
                raise ConnectError(f"nothing was acknowledged for {self._ack_timeout_s:g} s")
            refused = [
                token
                for token, message in self._in_flight.items()
                if message.refused_at and now - message.refused_at > _REFUSED_S
            ]
            for token in refused:
                message = self._in_flight[token]
                message.refused_at = 0.0
                self._counts["retries"] += 1
                with contextlib.suppress(Exception):  # a lost connection is told elsewhere
                    await server.client.publish(
                        message.subject,
                        message.payload,
                        reply=f"{self._inbox}.{token}",
                        headers=message.headers,
                    )


async def _end(*tasks: asyncio.Task[None], every_s: float = _CANCEL_S) -> None:
    """Cancel tasks until they have ended: nats-py keeps to itself that something was cancelled while it publishes."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=every_s)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # or asyncio says that nobody has asked for it


def _rows_within(codec: PayloadCodec, most_payload: int) -> int:
    """Return how many rows a message may have at most."""
    return max(1, (most_payload - codec.overhead - _HEADERS_BYTES) // codec.dtype.itemsize)


def _refusal(answer: Any) -> str | None:
    """Return why a message was not taken, None when it was."""
    status = (answer.headers or {}).get("Status")
    if status is not None:
        return _NO_STREAM if status == "503" else f"status {status}"
    try:
        found = json.loads(answer.data)
        if "error" in found:
            return str(found["error"].get("description", found["error"]))
        return None if isinstance(found.get("seq"), int) else "the answer is no acknowledgement"
    except (ValueError, AttributeError, TypeError):
        return "the answer is no acknowledgement"


def _covers(pattern: str, subject: str) -> bool:
    """Return whether a pattern of subjects has all that another one has."""
    theirs, ours = pattern.split("."), subject.split(".")
    for i, token in enumerate(theirs):
        if token == ">":
            return len(ours) > i
        if i >= len(ours) or ours[i] == ">" or (token != "*" and token != ours[i]):
            return False
    return len(theirs) == len(ours)


def _differences(config: Any, asked: dict[str, Any]) -> list[str]:
    """Return in words what a stream has other than it was asked for."""
    found = []
    for field, value in asked.items():
        there = getattr(config, field)
        there = getattr(there, "value", there) or 0
        if there != value:
            name = field.removeprefix("num_").replace("_", " ")
            found.append(f"{name} {_shown(there)}, and not {_shown(value)}")
    return found


def _shown(value: object) -> str:
    return f"{value:g} s" if isinstance(value, float) else str(value)
