"""LongPort's machine: received bytes in, rows into rings, other packets out for the session."""

import zlib

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t

from fastfeed._core.machine cimport HoldingMachine, add_message, broken, check, now_ns, reasons
from fastfeed._core.native cimport (
    FF_EGZIP,
    FF_ENOMEM,
    FF_ESYMBOL,
    FF_ETIME,
    FF_FRAME,
    FF_HELD,
    FF_LONGPORT_MAX_BODY,
    FF_LONGPORT_PUSH,
    FF_LONGPORT_RESPONSE,
    FF_PACKET,
    FF_RECORD_AGAIN,
    FF_RECORD_BEGIN,
    FF_RECORD_FRAMED,
    FF_RECORD_RESET,
    FF_RECORD_SEED,
    FF_RECORD_UNZIP,
    FF_SESSIONS,
    FF_STREAM_BOOKS,
    FF_STREAM_BROKERS,
    FF_STREAM_QUOTES,
    FF_STREAM_TICKS,
    FF_ZIPPED,
    ff_frame,
    ff_lock_give,
    ff_lock_take,
    ff_longport_free,
    ff_longport_init,
    ff_longport_message,
    ff_longport_reset,
    ff_longport_seed,
    ff_longport_step,
    ff_longport_take,
    ff_order_pass,
    ff_order_symbol,
    ff_quote,
    ff_reason_name,
    ff_record,
    ff_sink_publish,
    ff_tap,
    ff_tap_begin,
    ff_tap_note,
    ff_tap_reset,
    ff_tick,
)
from fastfeed._core.symbols cimport SymbolTable

cimport cython

from fastfeed.errors import StorageError

from fastfeed._core.websocket import CLOSING

#: Commands of the responses that end the handshake: they say what the gateway knows the session by.
cdef int AUTH = 2
cdef int RECONNECT = 3

#: What stands before a packet in the lists for the session, where WebSocket frames have their opcode.
PACKET = CLOSING + 1


@cython.final
cdef class LongportMachine(HoldingMachine):
    """The receiving side of one LongPort connection, without a socket: a stream of packets, or of WebSocket
    messages that hold them.

    `received()` returns what is not rows, as a list, or None. An entry is (`PACKET`, (type, command, id of the
    request, status, body)), where in the place of a body that cannot be decompressed stands the name of the reason,
    a str; or, of WebSocket, (opcode, payload). Until `upgraded()` is called the latter are all that comes, with the
    opcode `HANDSHAKE`.

    When the stream cannot be followed any more, `error` becomes a `RemoteProtocolError` and everything further is
    ignored until `reset()`; of WebSocket the last entry then has the opcode `CLOSING`.

    Parameters
    ----------
    symbols
        Where symbols go.
    limit_bytes : int
        Longest body that is believed, compressed or not.
    window_bytes : int
        What a single read may bring.
    depth : int
        Levels of the books' rows.
    most_held : int
        Ticks that wait during an interruption, see `hold()`.
    ordered : bool
        Ticks can be held, and what is known of each symbol's last ones is kept.
    """

    def __cinit__(self, SymbolTable symbols not None, *, window_bytes=1 << 18, size_t depth=10,
                  limit_bytes=FF_LONGPORT_MAX_BODY, bint ordered=False, **options):
        if not 1024 <= limit_bytes <= FF_LONGPORT_MAX_BODY:
            raise ValueError(f"expected limit_bytes of 1024 to {FF_LONGPORT_MAX_BODY}, got {limit_bytes}")
        if ff_longport_init(&self.machine, window_bytes, limit_bytes, depth, &symbols.table) < 0:
            raise MemoryError("no memory for a receive window")
        self.own = &self.machine
        self.step = ff_longport_step
        self.window = &self.machine.window
        self.sink = &self.machine.sink
        self.recv_ns = &self.machine.decoder.recv_ns
        self.limit_bytes = limit_bytes
        self.again = {}
        self.following = set()
        self.last_second = {}
        if ordered:
            self.machine.order = &self.order

    def __dealloc__(self):
        ff_longport_free(&self.machine)

    def listen(self, int stream, ring, deliver, latest=None):
        if stream not in (FF_STREAM_TICKS, FF_STREAM_QUOTES, FF_STREAM_BOOKS, FF_STREAM_BROKERS):
            raise ValueError(f"expected the stream of ticks, quotes, books or brokers, got {stream}")
        HoldingMachine.listen(self, stream, ring, deliver, latest)

    cdef int set_up_tap(self) except -1:
        self.tap.inside = &self.machine.inside
        self.tap.apart = &self.machine.apart
        return 0

    def feed(self, data, recv_ns=None):
        """Process one WebSocket message without its frame or, where there are no messages, a piece of the stream, cut
        wherever it may be. Returns what `received()` does.

        Parameters
        ----------
        data : bytes-like
        recv_ns : int, optional
            The time of reception for the rows; now, if not given.
        """
        cdef Py_buffer buffer
        self.enter_reading()
        self.recv_ns[0] = now_ns() if recv_ns is None else recv_ns
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            if not self.machine.framed:
                self.keep(<const uint8_t *>buffer.buf, buffer.len)
                return self.process()
            ff_longport_message(&self.machine, <const uint8_t *>buffer.buf, buffer.len)
            try:
                return self.process()
            finally:  # also when deliver() raised: the bytes are gone then
                self.machine.inside = 0
                self.machine.apart = NULL
        finally:
            PyBuffer_Release(&buffer)

    def upgraded(self, bytes rest not None):
        """Go on behind the WebSocket handshake, of which `rest` is left; returns what `received()` does."""
        self.enter_reading()
        self.machine.upgraded = True
        self.machine.counters.bytes -= len(rest)  # counted again where they are used
        self.begun_at = self.machine.counters.bytes
        if rest:
            self.keep(rest, len(rest))
        return self.process()

    cdef list note(self, list messages, int status, ff_frame *frame):
        if status == FF_HELD:
            self.hold_rows(<const ff_tick *>frame.data, frame.length)
        elif status == FF_PACKET:
            messages = add_packet(messages, frame,
                                  PyBytes_FromStringAndSize(<const char *>frame.data, frame.length))
            self.begin_record(frame)
        elif status == FF_ZIPPED:
            messages = self.unzip(messages, frame)
        elif status == FF_FRAME:
            messages = add_message(messages, frame)
        elif self.error is None:
            if self.machine.framed:
                messages = messages or []
            self.error = broken(self.window, -status, self.machine.counters.bytes - self.begun_at, "longport",
                                messages if self.machine.framed else None)
        return messages

    cdef list unzip(self, list messages, ff_frame *packet):
        """Decompress a body, and take the packet again; no more than the limit is ever made of it."""
        cdef bytes plain, rows = None
        cdef int rc
        inflater = zlib.decompressobj(31)  # one gzip member
        try:
            plain = inflater.decompress(PyBytes_FromStringAndSize(<const char *>packet.data, packet.length),
                                        self.limit_bytes + 1)
        except zlib.error:
            plain = None
        if plain is None or not inflater.eof or <size_t>len(plain) > self.limit_bytes:
            self.machine.counters.rejected[<int>FF_EGZIP] += 1
            if packet.type == FF_LONGPORT_PUSH:
                return messages
            return add_packet(messages, packet, ff_reason_name(FF_EGZIP).decode())
        packet.data = plain
        packet.length = len(plain)
        ff_lock_take(self.symbols.lock)
        ff_tap_note(self.sink.tap, FF_RECORD_UNZIP, 0, 0)
        rc = ff_longport_take(&self.machine, packet)
        try:
            if rc == FF_HELD:  # as in Machine.process()
                rows = PyBytes_FromStringAndSize(<const char *>packet.data, packet.length * sizeof(ff_tick))
        finally:
            ff_lock_give(self.symbols.lock)
        if rc == FF_PACKET:
            self.begin_record(packet)
            return add_packet(messages, packet, plain)
        if rc == FF_HELD:
            self.hold_rows(<const ff_tick *><const char *>rows, packet.length)
        return messages

    cdef int begin_record(self, const ff_frame *packet) except -1:
        """Record what comes behind the response that ends the handshake."""
        cdef ff_tap *tap = self.sink.tap
        if tap != NULL and not tap.on and packet.type == FF_LONGPORT_RESPONSE and packet.kind in (AUTH, RECONNECT):
            ff_lock_take(self.symbols.lock)
            # What is left of this very message has no beginning that could be told.
            tap.left = self.machine.inside
            tap.ahead = tap.left if self.machine.apart == NULL else 0
            ff_tap_begin(tap, False)
            ff_lock_give(self.symbols.lock)
        return 0

    def options(self):
        """Return what a machine that plays a record of this one is made with."""
        return {"limit_bytes": self.limit_bytes, "ordered": self.machine.order != NULL}

    cdef int play(self, const ff_record *record, const uint8_t *data) except -1:
        cdef size_t i
        if record.type == FF_RECORD_RESET:
            self.reset(framed=bool(record.flags & FF_RECORD_FRAMED))
            self.begun = False
            self.zipped = None
            if record.flags & FF_RECORD_AGAIN:
                self.hold_none()
        elif record.type == FF_RECORD_BEGIN:
            self.machine.upgraded = self.begun = True
        elif record.type == FF_RECORD_SEED:
            self.check_rows(FF_STREAM_QUOTES, data, record.length, sizeof(ff_quote))
            for i in range(record.length // sizeof(ff_quote)):
                if (<const ff_quote *>data)[i].session >= FF_SESSIONS:
                    raise StorageError(f"a quote of the session {(<const ff_quote *>data)[i].session}")
            self.seed(PyBytes_FromStringAndSize(<const char *>data, record.length))
        elif record.type == FF_RECORD_UNZIP:
            if self.zipped is not None:
                self.zipped_frame.data = self.zipped
                self.unzip(None, &self.zipped_frame)
                self.zipped = None
                if self.sink.dirty:
                    self.publish()
        else:
            return HoldingMachine.play(self, record, data)
        return 0

    cdef int keep_zipped(self, const ff_frame *frame) except -1:
        self.zipped = PyBytes_FromStringAndSize(<const char *>frame.data, frame.length)
        self.zipped_frame = frame[0]
        return 0

    cdef bint is_left(self, size_t bytes) noexcept:
        cdef size_t waiting = self.window.end - self.window.start
        return self.machine.inside == bytes and waiting == (bytes if self.machine.apart == NULL else 0)

    cdef int mend(self) except -1:
        self.reset(framed=self.machine.framed)
        self.machine.upgraded = True
        return 0

    cdef int say_again(self) noexcept:
        HoldingMachine.say_again(self)
        if self.tap.on:
            ff_tap_note(&self.tap, FF_RECORD_BEGIN, FF_RECORD_AGAIN, 0)
        return 0

    def reset(self, *, bint framed=True):
        """Forget the stream and its error, for a new connection, and what its pushes said so far: quotes and books are
        complete again when the gateway has said what they are. Counters go on, and what is known of the symbols' last
        ticks.

        With `framed`, it begins with the WebSocket handshake.
        """
        self.enter_reading()
        ff_longport_reset(&self.machine, framed)
        ff_lock_take(self.symbols.lock)
        ff_tap_reset(self.sink.tap, framed)
        ff_lock_give(self.symbols.lock)
        self.begun_at = self.machine.counters.bytes
        self.error = None

    def seed(self, const unsigned char[::1] rows not None):
        """Take snapshots of quotes, given as the bytes of whole rows, as what later pushes change, and deliver them.

        Where a push was not earlier than the snapshot, what it said stays; only what was not known is filled in: times
        are of whole seconds, and pushes that came behind the snapshot may have been decoded before it gets here.
        """
        cdef size_t n = rows.shape[0] // sizeof(ff_quote)
        cdef bytearray known = bytearray(rows)
        cdef unsigned char[::1] view = known
        cdef bint listened = self.sink.rings[<int>FF_STREAM_QUOTES] != NULL
        cdef size_t most = self.sink.rings[<int>FF_STREAM_QUOTES].capacity // 4 if listened else n
        cdef size_t part, start = 0
        cdef unsigned dirty = 0
        cdef uint8_t *first
        cdef ff_tap *tap
        cdef int rc
        if rows.shape[0] % sizeof(ff_quote):
            raise ValueError(f"expected whole rows of {sizeof(ff_quote)} bytes, got {rows.shape[0]} bytes")
        self.enter()
        while start < n:
            part = min(n - start, most)
            first = &view[start * sizeof(ff_quote)]
            # Under one lock: no push comes between what is known and its row.
            ff_lock_take(self.symbols.lock)
            tap = self.sink.tap
            if tap != NULL:
                self.record_rows(FF_RECORD_SEED, FF_STREAM_QUOTES, first, part, sizeof(ff_quote))
            rc = ff_longport_seed(&self.machine, <ff_quote *>first, part)
            if rc >= 0 and listened:
                self.sink.tap = NULL  # these are not other rows
                rc = self.put_rows(FF_STREAM_QUOTES, first, part)
                self.sink.tap = tap
                dirty = ff_sink_publish(self.sink)
            ff_lock_give(self.symbols.lock)
            self.show(dirty)
            check(rc)
            start += part

    # What was missed, beyond holding: trades have no numbers, so it takes what they say to know them again.

    def trades_of_last_second(self, uint32_t number):
        """Return the latest time of a held symbol's ticks before the interruption, 0 when there was none, and how many
        had it.
        """
        return self.last_second.get(number, (0, 0))

    def hold(self, ids):
        """As `HoldingMachine.hold`. Where what an earlier interruption missed has not been written yet, that one goes
        on: also live ticks go on to follow.
        """
        cdef ff_order_symbol before
        self.take_held_notes()
        for number in ids:
            before = self.hold_one(number)
            if not before.held or number in self.again:
                self.last_second[number] = before.time_ns, before.count
            self.again.pop(number, None)
            if number in self.following:
                self.change(number, True, False)

    def follow(self, uint32_t number):
        """Let live ticks of a symbol follow at once, those that wait first, and keep copies of them in their place:
        until `settle()` they are what `take_held()` returns.
        """
        cdef bytearray waited
        cdef const unsigned char[::1] rows
        if not self.is_held(number) or number in self.again or number in self.following:
            return
        self.change(number, True, False)
        self.following.add(number)
        waited = self.held.get(number)
        if waited:
            rows = bytes(waited)
            self.write_rows(FF_STREAM_TICKS, &rows[0], rows.shape[0] // sizeof(ff_tick))

    def is_followed(self, uint32_t number):
        """Return whether ticks of a symbol have followed before what was missed."""
        return number in self.following

    def settle(self, uint32_t number, const unsigned char[::1] rows not None, const unsigned char[::1] again not None,
               bint gap=False):
        """Write ticks of a symbol and let live ones follow; but leave out those that say the same as one in `again`,
        each once, until `settled()`.

        With gap, the first row carries the flag that rows may be missing before it.
        """
        cdef const ff_tick *tick = NULL
        cdef size_t n = again.shape[0] // sizeof(ff_tick)
        cdef dict expected = {}
        if n:
            tick = <const ff_tick *>&again[0]
        for _ in range(n):
            said = said_by(tick)
            expected[said] = expected.get(said, 0) + 1
            tick += 1
        self.following.discard(number)
        self.change(number, gap, False)
        self.write(FF_STREAM_TICKS, rows)
        self.hold_one(number)  # so that they come through hold_rows()
        self.again[number] = expected

    def settled(self, uint32_t number):
        """Let live ticks of a symbol follow as they come."""
        if number in self.again:
            self.take_held_notes()
            del self.again[number]
            self.unhold(number)

    def give_up(self, uint32_t number):
        """Let go of a symbol that nobody wants any more; what waited is forgotten."""
        self.take_held(number)
        self.take_overflow(number)
        self.again.pop(number, None)
        self.following.discard(number)
        self.last_second.pop(number, None)
        self.unhold(number, True)

    cdef int let_go(self, uint32_t number, const unsigned char[::1] rows) except -1:
        if number in self.following:  # they have been written
            self.following.discard(number)
            self.overflowed[number] = self.trades_of_last_second(number)[0], (<const ff_tick *>&rows[0]).time_ns
            return self.unhold(number)
        return HoldingMachine.let_go(self, number, rows)

    cdef int hold_rows(self, const ff_tick *first, size_t n) except -1:
        cdef dict expected = self.again.get(first.symbol)
        cdef uint32_t number = first.symbol
        cdef bytearray rows
        cdef const unsigned char[::1] view
        cdef size_t i
        if expected is None and number not in self.following:
            return HoldingMachine.hold_rows(self, first, n)
        rows = bytearray()
        for i in range(n):
            said = None if expected is None else said_by(first + i)
            if said is not None and expected.get(said, 0):
                expected[said] -= 1
                self.order.duplicates += 1
            else:
                rows += PyBytes_FromStringAndSize(<const char *>(first + i), sizeof(ff_tick))
        if rows:
            view = rows
            self.write_rows(FF_STREAM_TICKS, &view[0], len(rows) // sizeof(ff_tick))
        if expected is None:
            HoldingMachine.hold_rows(self, first, n)
        return 0

    cdef int order_rows(self, int stream, void *rows, size_t *n) noexcept:
        cdef ff_order_symbol *symbol
        cdef uint32_t number
        if stream == FF_STREAM_TICKS and self.machine.order != NULL and n[0]:
            number = (<ff_tick *>rows).symbol
            symbol = self.find_order(number)
            if symbol == NULL:
                return -FF_ENOMEM if number < self.symbols.table.count else -FF_ESYMBOL
            ff_order_pass(symbol, <ff_tick *>rows, n[0])
        return 0

    @property
    def new_days(self):
        """How often a push of quotes was the first one of a market's day and a session, after another day's: what the
        pushes do not say was forgotten with it.
        """
        return self.machine.decoder.new_days

    @property
    def packets(self):
        """Complete packets received, and WebSocket control frames."""
        return self.machine.counters.packets + self.machine.counters.messages

    def stats(self):
        """Return the counters; see `fastfeed.LongPort.stats`."""
        return {
            "bytes": self.machine.counters.bytes,
            "packets": self.machine.counters.packets,
            "ticks": self.sink.rows[<int>FF_STREAM_TICKS],
            "quotes": self.sink.rows[<int>FF_STREAM_QUOTES],
            "books": self.sink.rows[<int>FF_STREAM_BOOKS],
            "brokers": self.sink.rows[<int>FF_STREAM_BROKERS],
            "duplicates": self.order.duplicates,
            "old": self.machine.decoder.old,
            "end_of_day": self.machine.decoder.end_of_day,
            "cut_levels": self.machine.decoder.cut_levels,
            "compressed": self.machine.counters.zipped,
            "frames": self.machine.counters.frames,
            "ignored": self.machine.counters.ignored,
            "unreadable_times": self.machine.decoder.dropped[<int>FF_ETIME],
            "rejected": reasons(self.machine.counters.rejected, self.machine.decoder.dropped),
        }


cdef tuple said_by(const ff_tick *tick):
    # Pulled trades are known again by the same: _SAID in feeds/longport_recovery.py changes together with this.
    return tick.time_ns, tick.price, tick.volume, tick.side, tick.kind, tick.session


cdef list add_packet(list messages, const ff_frame *packet, body):
    if messages is None:
        messages = []
    messages.append((PACKET, (packet.type, packet.kind, packet.serial, packet.status, body)))
    return messages
