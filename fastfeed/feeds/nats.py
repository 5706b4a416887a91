"""A feed of what relays publish on NATS JetStream.

For each call of `subscribe()` and each stream of rows there is a consumer of JetStream's, or for few symbols one for
each; it is asked for so many messages at a time, and again when half of those have come. How far a consumer came is
kept here: after a disconnect another one is made behind the last message that was received.

Each symbol's rows are numbered by the relay. So doubles are recognised whoever made them, and so is what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import re
import ssl
import time
from typing import Any, ClassVar

import numpy as np

from fastfeed._core.row_machine import RowMachine
from fastfeed.errors import ConfigError, ConnectError, FastfeedError, HubError
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.feed import Feed, check_options
from fastfeed.feeds.nats_connection import (
    Address,
    Server,
    canonical_of,
    failures,
    js_of,
    stream_name,
)
from fastfeed.feeds.session import Link
from fastfeed.hub import Hub
from fastfeed.protocols.opend_codes import interval
from fastfeed.protocols.relay_messages import (
    Header,
    PayloadCodec,
    checked_prefix,
    header_of,
    subject_of,
    symbol_of,
)
from fastfeed.schema import BOOK_DEPTH, STREAMS, Flags
from fastfeed.stream import Stream

__all__ = ["ALL", "Nats"]

_logger = logging.getLogger(__name__)

#: In the place of symbols: all that there are.
ALL = "*"

_FEW = 8  # symbols that have consumers of their own; for more, messages are chosen here
_BATCH = 256  # messages that are asked for at a time
_EXPIRES_S = 30.0
_LATE_S = 5.0
_LOOK_S = 1.0
_INACTIVE_S = 60.0  # after which JetStream forgets a consumer that nobody asks any more
_MOST_RUNS = 64
_MOST_OTHERS = 8  # runs of relays that are remembered of a symbol beside the present one
_MOST_IGNORED = 1 << 16  # subjects that are remembered as unwanted


class _Symbol:
    """What is known of the rows of one subject."""

    __slots__ = (
        "codec",
        "id",
        "intervals",
        "kind",
        "next",
        "others",
        "owner",
        "run",
        "stream",
        "symbol",
        "time_ns",
    )

    def __init__(
        self, kind: str, symbol: str, id: int, stream: Stream, codec: PayloadCodec
    ) -> None:
        self.kind = kind
        self.symbol = symbol
        self.id = id
        self.stream = stream.number
        self.codec = codec
        self.owner: _Consumer | None = None
        self.intervals: frozenset[int] | None = None  # of bars; None: all
        self.run = ""
        self.next = 0
        self.others: dict[
            str, int
        ] = {}  # runs before this one, or beside it: what was next in them
        self.time_ns = 0  # of the last row


class _Consumer:
    """A consumer of JetStream's, or the next one in its place.

    Attributes
    ----------
    kind : str
        The stream of rows.
    symbols : set of str
        Whose rows it is for, `ALL` for those that no other one has.
    position : int or None
        Number of the last message in JetStream's stream, None before there was one.
    """

    def __init__(self, kind: str, symbols: set[str], subject: str, start: dict[str, Any]) -> None:
        self.kind = kind
        self.symbols = symbols
        self.subject = subject
        self.start = start
        self.position: int | None = None
        self.created: object = None  # when JetStream's stream was
        self.name = ""
        self.running = False
        self.received = 0  # by the present one
        self.asked = 0  # messages that are still to come
        self.until = 0.0  # when the last request expires
        self.inbox = ""
        self.subscription: Any = None


class Nats(Feed):
    """A feed of what `fastfeed.Relay` publishes on NATS JetStream, on any machine.

    Its rows are those of the relay's hub, with the same values in all fields but `symbol`, which is this hub's own id;
    `recv_ns` stays when the bytes arrived at the relay's side. A row before which others are missing has the flag
    ``GAP``, and an event tells how many. It needs nats-py: ``pip install 'fastfeed[bus]'``.

    Parameters
    ----------
    servers : str
        Hosts with or without ports, with commas between them; or full addresses such as ``tls://host:4222``.
    prefix : str
        Of the subjects, as the relay has it.
    stream : str, optional
        JetStream's stream; by default the prefix.
    start : str, int or datetime
        Where each subscription begins: ``"now"``, ``"oldest"``, or when messages were stored, as datetime, ISO text or
        ns since 1970 UTC (also as text).
    sequence : int, optional
        Instead of that, the number of the first message in JetStream's stream; see `stats()`. Where the stream has
        it not any more, or never had one so far, its oldest message is the first, and an event ``gap`` says so.
    creds : str, optional
        A file of credentials. By default the environment's `NATS_CREDS`, `NATS_USER` and `NATS_PASSWORD`, or
        `NATS_TOKEN`.
    hub : Hub, optional
        Where rows and symbols go; one of its own by default.
    book_depth : int, optional
        Levels of each side that rows of books keep. With a hub, the hub says it.
    wait_s : float
        How long to try when nothing listens at first, or the stream is not there yet. Default: not at all.
    connect_timeout_s, request_timeout_s : float
        For the connection; for an answer of JetStream.
    backoff : Backoff, optional
        Pauses between attempts to come back.
    ssl_context : ssl.SSLContext, optional
        For ``tls://``. Default: Python's, which verifies the certificate.

    Notes
    -----
    Symbols may be ``"*"``: all that come. What a subscription gives is decided by the first one that covers a symbol.
    """

    kinds: ClassVar[tuple[str, ...]] = STREAMS
    _machine: RowMachine

    def __init__(
        self,
        *,
        servers: str = "127.0.0.1",
        prefix: str = "md",
        stream: str | None = None,
        start: str | int | datetime.datetime = "now",
        sequence: int | None = None,
        creds: str | None = None,
        hub: Hub | None = None,
        book_depth: int | None = None,
        wait_s: float = 0.0,
        connect_timeout_s: float = 5.0,
        request_timeout_s: float = 10.0,
        backoff: Backoff | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        check_options(
            hub,
            book_depth,
            backoff,
            wait_s=wait_s,
            connect_timeout_s=connect_timeout_s,
            request_timeout_s=request_timeout_s,
        )
        self.prefix = checked_prefix(prefix)
        self._stream_name = stream_name(prefix) if stream is None else stream
        self._start = _start(start, sequence)
        self._address = Address(servers, creds, ssl_context)
        super().__init__(
            f"{self._address.shown}/{prefix}",
            hub=hub,
            wait_s=wait_s,
            up_timeout_s=request_timeout_s,
            backoff=backoff,
            book_depth=BOOK_DEPTH if book_depth is None else book_depth,
        )
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._machine = RowMachine(self.hub.symbols, depth=self.hub.book_depth)
        self._server: Server | None = None
        self._closings: set[asyncio.Task[None]] = set()
        self._consumers: list[_Consumer] = []
        self._symbols: dict[str, _Symbol] = {}  # by subject
        self._ignored: set[str] = set()  # subjects that nobody wants
        self._codecs: dict[str, PayloadCodec] = {}
        self._lost_at_relay: dict[str, dict[str, int]] = {}  # by kind and run
        self._told_runs: dict[tuple[str, str], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_to_show = False
        self._counts = {"bytes": 0, "messages": 0, "duplicate_rows": 0, "missing_rows": 0}
        self._rejected: dict[str, int] = {}

    # connection

    async def _connect(self) -> asyncio.Future[Exception | None]:
        self._granted.clear()
        for consumer in self._consumers:
            consumer.running = False
        server = await self._address.connect("fastfeed", self._connect_timeout_s)
        from nats.js.errors import NotFoundError

        self._server = server
        what = f"the stream {self._stream_name!r}"
        try:
            async with failures(what, server):
                try:
                    await js_of(server, self._request_timeout_s).stream_info(self._stream_name)
                except NotFoundError:
                    raise ConnectError(
                        f"there is no stream {self._stream_name!r} at {server.connected_to}: no relay has published "
                        f"with the prefix {self.prefix!r} yet"
                    ) from None
                except ValueError as error:
                    raise ConfigError(f"{what}: {error}") from None
        except BaseException:
            self._disconnect()
            raise
        if self._timer is None:
            self._look()
        return server.lost

    def _forget(self, link: Link[Any], why: Exception | None) -> None:
        """Nothing: a feed of NATS has no link."""

    def _disconnect(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            if not server.lost.done():
                server.lost.set_result(ConnectError(f"the connection to {self.url} was given up"))
            task = asyncio.get_running_loop().create_task(server.close())
            self._closings.add(task)
            task.add_done_callback(self._closings.discard)

    async def close(self) -> None:
        """Disconnect for good. Loops over the streams end, unless the hub is shared."""
        self._check_loop()
        if not self._closed:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1.0):
                    await self._stop(list(self._consumers))
        try:
            await super().close()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._closings:
                await asyncio.wait(list(self._closings))

    async def get_stream_state(self) -> dict[str, Any]:
        """Ask what JetStream has of the stream.

        Returns
        -------
        dict
            `server` and its `version`; `stream` and its `subjects`; `messages`, `bytes`; `symbols`: how many subjects;
            `first_seq`, `last_seq`, `first_ns`, `last_ns`: of the oldest message and of the newest, ns since 1970 UTC,
            0 = none; `max_age_s`, 0 = for ever; `round_trip_ns`.

        Raises
        ------
        ConnectError, RequestTimeout
            Not connected, or no answer.
        """
        self._check_open()
        server = self._server
        if server is None:
            raise ConnectError(f"{self.url} is not connected")
        subject = f"$JS.API.STREAM.INFO.{self._stream_name}"
        async with failures(f"the stream {self._stream_name!r}", server):
            began = time.monotonic_ns()
            await server.client.flush(self._request_timeout_s)
            took = time.monotonic_ns() - began
            # As text: nats-py leaves the times away.
            reply = await server.client.request(subject, b"", timeout=self._request_timeout_s)
        version = server.client.connected_server_version
        try:
            found = json.loads(reply.data)
            config, state = found["config"], found["state"]
            return {
                "server": server.connected_to,
                "version": f"{version.major}.{version.minor}.{version.patch}",
                "stream": self._stream_name,
                "subjects": list(config.get("subjects") or ()),
                "messages": int(state["messages"]),
                "bytes": int(state["bytes"]),
                "symbols": int(state.get("num_subjects", 0)),
                "first_seq": int(state["first_seq"]),
                "last_seq": int(state["last_seq"]),
                "first_ns": _ns_of(state.get("first_ts", "")),
                "last_ns": _ns_of(state.get("last_ts", "")),
                "max_age_s": int(config.get("max_age", 0)) / 1e9,
                "round_trip_ns": took,
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConnectError(
                f"the answer about the stream {self._stream_name!r} cannot be read: {error!r}"
            ) from None

    # subscriptions

    @staticmethod
    def _canonical(symbol: str) -> str:
        if not isinstance(symbol, str):
            raise TypeError(f"expected a symbol as str, got {symbol!r}")
        return symbol if symbol == ALL else canonical_of(symbol)

    @classmethod
    def _canonical_kind(cls, kind: str) -> str:
        stream, colon, length = kind.partition(":") if isinstance(kind, str) else (kind, "", "")
        if stream == "bars" and colon:
            return f"bars:{interval(length).name}"
        return super()._canonical_kind(kind)

    async def _subscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            wanted = self._wanted.setdefault(kind, {})
            wanted.update(dict.fromkeys(symbols))
        for name in dict.fromkeys(kind.partition(":")[0] for kind in kinds):
            stream = self.hub.stream(name)
            self._machine.listen(stream.number, stream.ring, stream.deliver, stream.table)
            self._codecs[name] = PayloadCodec(stream.dtype)
            owned = {s for c in self._consumers if c.kind == name for s in c.symbols}
            new = [s for s in symbols if s not in owned and (ALL not in owned or s == ALL)]
            if ALL in new:
                self._consumers.append(
                    _Consumer(name, {ALL}, f"{self.prefix}.{name}.>", self._start)
                )
            elif len(new) > _FEW:
                self._consumers.append(
                    _Consumer(name, set(new), f"{self.prefix}.{name}.>", self._start)
                )
            else:
                self._consumers += (
                    _Consumer(name, {s}, subject_of(self.prefix, name, s), self._start) for s in new
                )
        self._assign()
        names = {kind.partition(":")[0] for kind in kinds}
        for consumer in self._consumers:
            if not consumer.running and consumer.kind in names:
                await self._begin(consumer)
        self._granted.update((symbol, kind) for symbol in symbols for kind in kinds)

    async def _unsubscribe(self, symbols: list[str], kinds: tuple[str, ...]) -> None:
        self._granted.difference_update((symbol, kind) for symbol in symbols for kind in kinds)
        over = []
        for consumer in list(self._consumers):
            wanted = {
                symbol
                for kind, known in self._wanted.items()
                if kind.partition(":")[0] == consumer.kind
                for symbol in known
            }
            consumer.symbols &= wanted
            if not consumer.symbols:
                self._consumers.remove(consumer)
                over.append(consumer)
        self._assign()
        with contextlib.suppress(Exception):  # JetStream forgets them by itself
            await self._stop(over)

    async def _recover(
        self, symbols: tuple[str, ...], kinds: tuple[str, ...], since_ns: int
    ) -> None:
        """Nothing: JetStream goes on where it was, and what it does not have any more is seen by the numbers."""

    def _assign(self) -> None:
        """Decide again which consumer delivers which symbol; what is not wanted any more is forgotten."""
        self._ignored.clear()
        for subject, one in list(self._symbols.items()):
            self._assign_one(one)
            if one.owner is None:
                del self._symbols[subject]

    def _assign_one(self, one: _Symbol) -> None:
        one.owner = None
        for consumer in self._consumers:
            if consumer.kind == one.kind and one.symbol in consumer.symbols:
                one.owner = consumer
                break
            if consumer.kind == one.kind and ALL in consumer.symbols:
                one.owner = consumer
        if one.kind == "bars":
            lengths = {
                kind.partition(":")[2]
                for kind, symbols in self._wanted.items()
                if kind.partition(":")[0] == "bars" and (one.symbol in symbols or ALL in symbols)
            }
            everything = "" in lengths
            one.intervals = None if everything else frozenset(interval(n).seconds for n in lengths)

    # consumers

    async def _begin(self, consumer: _Consumer) -> None:
        """Make a consumer at JetStream that goes on behind the last message."""
        server = self._server
        if server is None or server.lost.done():
            raise ConnectError(f"{self.url} is not connected")
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
        from nats.js.errors import NotFoundError

        js = js_of(server, self._request_timeout_s)
        what = f"cannot read {consumer.subject} of the stream {self._stream_name!r}"
        async with failures(what, server):
            found = await js.stream_info(self._stream_name)
            last = int(found.state.last_seq or 0)
            created, consumer.created = consumer.created, found.created
            is_other = created is not None and created != found.created
            if consumer.position is not None and (is_other or consumer.position > last):
                self._emit(
                    "gap",
                    f"the stream {self._stream_name!r} began anew: what it had before may be missing",
                    symbols=tuple(sorted(consumer.symbols)),
                    start_ns=self._missed_since_ns,
                    end_ns=time.time_ns(),
                    details={"kind": consumer.kind},
                )
                consumer.position = 0
            start = consumer.start
            if consumer.position is None and start.get("opt_start_seq", 1) > 1:
                first = int(found.state.first_seq or 0)
                consumer.position = self._position_before(consumer, first, last)
            if (
                consumer.position is None and not start
            ):  # from now on, also when this one is lost at once
                consumer.position = last
            if consumer.position is not None:
                start = {"opt_start_seq": consumer.position + 1}
            policy = DeliverPolicy.BY_START_SEQUENCE
            if "opt_start_time" in start:
                policy = DeliverPolicy.BY_START_TIME
            await self._stop_listening(consumer)
            if consumer.name:  # its predecessor, if JetStream still has it
                with contextlib.suppress(NotFoundError):
                    await js.delete_consumer(self._stream_name, consumer.name)
                consumer.name = ""
            consumer.received = consumer.asked = 0
            consumer.inbox = server.client.new_inbox()
            config = ConsumerConfig(
                ack_policy=AckPolicy.NONE,
                deliver_policy=policy,
                filter_subject=consumer.subject,
                inactive_threshold=_INACTIVE_S,
                mem_storage=True,
                num_replicas=1,
                **start,
            )
            consumer.name = (await js.add_consumer(self._stream_name, config)).name
            inbox = consumer.inbox

            async def on_message(message: Any) -> None:
                if consumer.inbox == inbox:
                    await self._on_message(consumer, message)

            consumer.subscription = await server.client.subscribe(
                inbox,
                cb=on_message,
                pending_msgs_limit=4 * _BATCH,
                pending_bytes_limit=0,  # of so many messages, each as long as the server allows
            )
            consumer.running = True
            await self._ask(consumer)

    def _position_before(self, consumer: _Consumer, first: int, last: int) -> int:
        """Return the number before the one that was asked for; tell where the stream does not have that."""
        wanted: int = consumer.start["opt_start_seq"]
        begin, text = wanted, ""
        if wanted < first:
            begin = first
            text = (
                f"{first - wanted:,} messages from {wanted} on, of any symbols, are not in the stream "
                f"{self._stream_name!r} any more"
            )
        elif wanted > last + 1:  # as where it begins anew while this is connected
            begin = first
            text = (
                f"the stream {self._stream_name!r} has no message {wanted - 1}, so it began anew: what it had before "
                "may be missing"
            )
        if text:
            self._emit(
                "gap",
                text,
                symbols=tuple(sorted(consumer.symbols)),
                end_ns=time.time_ns(),
                details={"kind": consumer.kind, "sequence": begin},
            )
        return max(0, begin - 1)

    async def _ask(self, consumer: _Consumer) -> None:
        """Ask for more messages."""
        server = self._server
        if server is None or server.lost.done():
            return
        count = _BATCH - consumer.asked
        consumer.asked = _BATCH
        consumer.until = time.monotonic() + _EXPIRES_S
        request = {"batch": count, "expires": int(_EXPIRES_S * 1e9)}
        await server.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream_name}.{consumer.name}",
            json.dumps(request).encode(),
            reply=consumer.inbox,
        )

    async def _stop_listening(self, consumer: _Consumer) -> None:
        subscription, consumer.subscription = consumer.subscription, None
        consumer.inbox = ""
        if subscription is not None:
            with contextlib.suppress(Exception):  # that connection is gone
                await subscription.unsubscribe()

    async def _stop(self, consumers: list[_Consumer]) -> None:
        """Let JetStream forget consumers."""
        server = self._server
        for consumer in consumers:
            await self._stop_listening(consumer)
        if server is None or server.lost.done():
            return
        js = js_of(server, self._request_timeout_s)
        running = [consumer for consumer in consumers if consumer.running]
        for consumer in running:
            consumer.running = False
        await asyncio.gather(
            *(js.delete_consumer(self._stream_name, consumer.name) for consumer in running),
            return_exceptions=True,
        )

    def _look(self) -> None:
        """See that every consumer is asked for messages, and again soon."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LOOK_S, self._look)
        now = time.monotonic()
        for consumer in self._consumers:
            if consumer.running and now > consumer.until + _LATE_S:  # an answer was lost
                consumer.asked = 0
                consumer.until = now + _EXPIRES_S
                self._in_background(self._ask_safely(consumer))

    async def _ask_safely(self, consumer: _Consumer) -> None:
        with contextlib.suppress(Exception):  # a lost connection is told elsewhere
            await self._ask(consumer)

    async def _begin_again(self, consumer: _Consumer, pause_s: float) -> None:
        """Make a consumer that JetStream has not any more, or that missed messages."""
        server = self._server
        await asyncio.sleep(pause_s)
        if server is None or server is not self._server or server.lost.done():
            return
        try:
            async with self._asking:
                if consumer in self._consumers and not consumer.running:
                    await self._begin(consumer)
        except Exception as error:
            if isinstance(error, FastfeedError):
                self._emit("error", str(error), code=error.code)
            if not server.lost.done():  # a new connection is a new chance
                text = getattr(error, "description", None) or error
                server.lost.set_result(ConnectError(f"a consumer cannot be made again: {text}"))
                self._disconnect()

    # messages

    async def _on_message(self, consumer: _Consumer, message: Any) -> None:
        headers = message.headers
        # What the stream has comes under its own subject, whatever its publisher wrote into it.
        if message.subject == consumer.inbox:
            await self._on_status(consumer, headers or {})
            return
        fields = (message.reply or "").split(".")
        at = 5 if len(fields) == 9 else 7
        try:
            sequence, number = int(fields[at]), int(fields[at + 1])
        except (IndexError, ValueError):
            self._reject("no message of JetStream")
            return
        consumer.received += 1
        if number != consumer.received:  # some were dropped on the way
            self._lose(consumer, 0.0)
            return
        consumer.asked -= 1
        consumer.position = sequence
        self._counts["messages"] += 1
        self._counts["bytes"] += len(message.data)
        try:
            self._take(consumer, message, headers)
        except ValueError as error:
            self._reject("unreadable message")
            _logger.debug("%s: message %d: %s", self.url, sequence, error)
        except (HubError, MemoryError):
            self._reject("no memory for the symbol")
        if consumer.asked <= _BATCH // 2:
            await self._ask(consumer)

    def _lose(self, consumer: _Consumer, pause_s: float) -> None:
        if consumer.running:
            consumer.running = False
            consumer.inbox = ""
            self._in_background(self._begin_again(consumer, pause_s))

    async def _on_status(self, consumer: _Consumer, headers: dict[str, str]) -> None:
        """Look at what JetStream says in the place of messages."""
        status = headers.get("Status", "")
        text = headers.get("Description", "").lower()
        if status in ("100",):
            return
        if status in ("404", "408") or (status == "409" and "deleted" not in text):
            pending = headers.get("Nats-Pending-Messages", "")
            consumer.asked -= int(pending) if pending.isdigit() else consumer.asked
            consumer.asked = max(consumer.asked, 0)
            if consumer.asked <= _BATCH // 2:
                if status == "409":
                    consumer.until = time.monotonic() - _LATE_S + _LOOK_S  # not at once
                else:
                    await self._ask(consumer)
            return
        self._lose(consumer, _LOOK_S)

    def _take(self, consumer: _Consumer, message: Any, headers: dict[str, str] | None) -> None:
        """Write the rows of a message, and tell what is missing before them; ValueError."""
        one = self._symbols.get(message.subject)
        if one is None:
            if message.subject in self._ignored:
                return
            one = self._new_symbol(message.subject)
        if one is None or one.owner is not consumer:
            return
        head = header_of(headers)
        body, count = one.codec.decode(message.data)
        skipped, missing = self._in_order(one, head, count)
        self._look_at_losses(one.kind, head)
        if skipped >= count:
            return
        rows = np.frombuffer(body, one.codec.dtype)[skipped:]
        if missing or one.intervals is not None:
            rows = rows.copy()
        if missing:
            self._counts["missing_rows"] += missing
            rows["flags"][0] |= Flags.GAP
            self._emit(
                "gap",
                f"{missing:,} rows of {one.kind} of {one.symbol} are missing",
                symbols=(one.symbol,),
                start_ns=one.time_ns,
                end_ns=int(rows["time_ns"][0]),
                details={"kind": one.kind, "rows": missing, "first": head.first - missing},
            )
        one.time_ns = int(rows["time_ns"][-1])
        if one.intervals is not None:
            rows = rows[np.isin(rows["interval_s"], list(one.intervals))]
        if len(rows):
            self._machine.add(one.stream, one.id, rows.view(np.uint8).data)
            if not self._is_to_show:
                self._is_to_show = True
                asyncio.get_running_loop().call_soon(self._show)

    def _new_symbol(self, subject: str) -> _Symbol | None:
        kind, symbol = symbol_of(subject)
        codec = self._codecs.get(kind)
        if codec is None:
            raise ValueError(f"nobody wants {kind}")
        one = _Symbol(kind, symbol, 0, self.hub.stream(kind), codec)
        self._assign_one(one)
        if one.owner is None:
            if len(self._ignored) >= _MOST_IGNORED:
                self._ignored.clear()
            self._ignored.add(subject)
            return None
        one.id = self.symbols.intern(symbol)
        self._symbols[subject] = one
        return one

    def _show(self) -> None:
        self._is_to_show = False
        self._machine.show_added()

    def _in_order(self, one: _Symbol, head: Header, count: int) -> tuple[int, int]:
        """Return how many of the rows came before, and how many are missing before them."""
        if head.run != one.run:
            if one.run:
                expected = one.others.pop(head.run, None)  # several relays at once
                if expected is None:
                    expected = 0
                    self._tell_run(one, head)
                while len(one.others) >= _MOST_OTHERS:
                    del one.others[next(iter(one.others))]
                one.others[one.run] = one.next
                one.run, one.next = head.run, expected
            else:
                one.run, one.next = head.run, head.first
        missing = max(0, head.first - one.next)
        skipped = min(max(0, one.next - head.first), count)
        self._counts["duplicate_rows"] += skipped
        one.next = max(one.next, head.first + count)
        return skipped, missing

    def _tell_run(self, one: _Symbol, head: Header) -> None:
        """Tell once that a relay has begun anew."""
        if (one.kind, head.run) in self._told_runs:
            return
        while len(self._told_runs) >= _MOST_RUNS:
            del self._told_runs[next(iter(self._told_runs))]
        self._told_runs[one.kind, head.run] = None
        symbols = tuple(
            each.symbol
            for each in self._symbols.values()
            if each.kind == one.kind and each.run == one.run
        )
        self._emit(
            "gap",
            f"the relay of {one.kind} began anew: rows between its runs may be missing, or come again",
            symbols=symbols,
            start_ns=one.time_ns,
            end_ns=time.time_ns(),
            details={"kind": one.kind, "run": head.run},
        )

    def _look_at_losses(self, kind: str, head: Header) -> None:
        """Tell when a relay came too late for rows."""
        runs = self._lost_at_relay.setdefault(kind, {})
        before = runs.get(head.run)
        if before is None:
            while len(runs) >= _MOST_RUNS:
                del runs[next(iter(runs))]
            runs[head.run] = head.lost
        elif head.lost > before:
            runs[head.run] = head.lost
            self._emit(
                "gap",
                f"the relay came too late for {head.lost - before:,} rows of {kind}, of any symbols",
                symbols=tuple(
                    s for k in self._wanted if k.partition(":")[0] == kind for s in self._wanted[k]
                ),
                end_ns=time.time_ns(),
                details={"kind": kind, "rows": head.lost - before},
            )

    # counters

    def _reject(self, why: str) -> None:
        self._rejected[why] = self._rejected.get(why, 0) + 1

    def _machine_stats(self) -> dict[str, Any]:
        """Return counters of what was received.

        `sequence`: the last message's number in JetStream's stream, for the option of that name.
        """
        positions = [c.position for c in self._consumers if c.position is not None]
        return {
            **self._counts,
            "rows": self._machine.rows,
            "rejected": dict(self._rejected),
            "sequence": max(positions, default=0),
        }


def _start(start: object, sequence: int | None) -> dict[str, Any]:
    """Return where consumers begin, as nats-py names it; nothing: with what comes from now on."""
    if sequence is not None:
        if start != "now" or not 1 <= sequence < 1 << 63:
            raise ValueError(f"expected either start or a sequence of 1 or more, got {sequence!r}")
        return {"opt_start_seq": sequence}
    if start == "now":
        return {}
    if start == "oldest":
        return {"opt_start_seq": 1}
    time = start
    if isinstance(start, str):
        try:
            time = int(start) if start.isdigit() else datetime.datetime.fromisoformat(start)
        except ValueError:
            time = None
    if isinstance(time, int) and 0 < time < 1 << 62:
        seconds, ns = divmod(time, 1_000_000_000)
        time = datetime.datetime.fromtimestamp(seconds, datetime.UTC) + datetime.timedelta(
            microseconds=ns // 1000
        )
    if not isinstance(time, datetime.datetime):
        raise ValueError(f"expected start 'now', 'oldest' or a time, got {start!r}")
    if time.tzinfo is None:
        raise ValueError(f"expected a time with its zone, such as ...Z for UTC, got {start!r}")
    return {"opt_start_time": time.astimezone(datetime.UTC)}


def _ns_of(text: str) -> int:
    """Return a time of JetStream's, 0 where it has none; to the microsecond."""
    try:
        moment = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return 0
    return max(0, int(moment.timestamp() * 1e6) * 1000)
