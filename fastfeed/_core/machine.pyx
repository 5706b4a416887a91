"""What the machines of all vendors have in common: received bytes in, rows into rings."""

from cpython.buffer cimport PyBUF_WRITE
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdlib cimport free
from libc.string cimport memcpy
from posix.time cimport CLOCK_REALTIME

from fastfeed._core.latest cimport LatestTable
from fastfeed._core.meter cimport Meter
from fastfeed._core.native cimport (
    FF_BOOK_MAX_DEPTH,
    FF_ENOMEM,
    FF_ETIME,
    FF_FLAG_CACHED,
    FF_HELD,
    FF_NEED_MORE,
    FF_REASONS,
    FF_RECORD_AGAIN,
    FF_RECORD_ANEW,
    FF_RECORD_BYTES,
    FF_RECORD_CHANGE,
    FF_RECORD_FORGET,
    FF_RECORD_HOLD,
    FF_RECORD_HOLE,
    FF_RECORD_LISTEN,
    FF_RECORD_MORE,
    FF_RECORD_RESET,
    FF_RECORD_ROWS,
    FF_RECORD_UNHOLD,
    FF_ROWS_FULL,
    FF_STREAM_BOOKS,
    FF_STREAM_ODD_BOOKS,
    FF_STREAM_TICKS,
    FF_STREAMS,
    FF_ZIPPED,
    ff_book_size,
    ff_clock_ns,
    ff_frame,
    ff_lock_give,
    ff_lock_take,
    ff_machine,
    ff_note,
    ff_order_free,
    ff_order_init,
    ff_order_of,
    ff_order_symbol,
    ff_receiver_held,
    ff_receiver_held_of,
    ff_record,
    ff_ring,
    ff_reason_name,
    ff_ring_claim,
    ff_ring_published,
    ff_row_types,
    ff_sink_publish,
    ff_sink_written,
    ff_symbol_at,
    ff_tap,
    ff_tap_note,
    ff_tap_put,
    ff_tap_step,
    ff_tap_symbol,
    ff_tick,
    ff_window_commit,
    ff_window,
    ff_window_space,
    ff_ws_close_code,
)
from fastfeed._core.ring cimport Ring
from fastfeed._core.symbols cimport SymbolTable
from fastfeed._core.tape cimport Tape

from fastfeed._core.websocket import CLOSING
from fastfeed.errors import LocalProtocolError, RemoteProtocolError, StorageError


cdef int64_t now_ns() noexcept nogil:
    return ff_clock_ns(CLOCK_REALTIME)


cdef list add_message(list messages, const ff_frame *frame):
    """Add what came of a WebSocket: opcode and payload."""
    if messages is None:
        messages = []
    messages.append((frame.kind, PyBytes_FromStringAndSize(<const char *>frame.data, frame.length)))
    return messages


cdef object broken(const ff_window *window, int reason, uint64_t offset, str source, list messages):
    """Return the error of a stream that cannot be followed any more. With `messages`, it is one of WebSocket, and
    what a close frame to the server shall say is added to them.
    """
    cdef bytes data = PyBytes_FromStringAndSize(<const char *>window.data + window.start,
                                                min(<size_t>16, window.end - window.start))
    cdef unsigned code = ff_ws_close_code(reason)
    if messages is not None:
        messages.append((CLOSING, code.to_bytes(2, "big")))
    return RemoteProtocolError(
        f"the stream of {source} is broken ({ff_reason_name(reason).decode()}) at byte {offset}",
        source=source, offset=offset, data=data,
    )


cdef int check(int rc) except -1:
    """Raise the error of a negative reason."""
    if rc == -FF_ENOMEM:
        raise MemoryError("no memory for another symbol")
    if rc < 0:
        raise IndexError(f"expected rows of known symbols: {ff_reason_name(-rc).decode()}")
    return 0


cdef dict reasons(const uint64_t *rejected, const uint64_t *dropped):
    """Return how often each reason came, of messages and, unless they are NULL, of rows; without unreadable times."""
    cdef int i
    cdef uint64_t n
    cdef dict found = {}
    for i in range(FF_REASONS):
        n = rejected[i] + (0 if dropped == NULL else dropped[i])
        if n and i != FF_ETIME:
            found[ff_reason_name(i).decode()] = n
    return found


cdef class Machine:
    """The receiving side of one connection, without a socket; made by the vendor's class.

    Ask `space()` for memory, put bytes there, tell `received()` how many. Rows go into the rings of the streams
    that are listened to.

    Parameters
    ----------
    symbols
        Where symbols go.
    window_bytes : int
        What a single read may bring.
    depth : int
        Levels of the books' rows.
    """

    def __cinit__(self, SymbolTable symbols not None, *, window_bytes=1 << 18, size_t depth=10, **options):
        if not 4096 <= window_bytes <= 1 << 30:
            raise ValueError(f"expected window_bytes of 4096 to {1 << 30}, got {window_bytes}")
        if not 1 <= depth <= FF_BOOK_MAX_DEPTH:
            raise ValueError(f"expected a depth of 1 to {FF_BOOK_MAX_DEPTH}, got {depth}")
        self.symbols = symbols
        self.window_bytes = window_bytes
        self.depth = depth
        self.rings = [None] * FF_STREAMS
        self.deliver = [None] * FF_STREAMS
        self.secret = b""
        self.latest = [None] * FF_STREAMS

    def listen(self, int stream, Ring ring not None, deliver, LatestTable latest=None):
        """Write the rows of a stream from now on.

        Parameters
        ----------
        stream : int
            Its number, the place in `fastfeed._core.ring.STREAMS`.
        ring : Ring
        deliver : callable
            Called without arguments after each publication.
        latest : LatestTable, optional
            Gets the last row of each symbol (of quotes: of each symbol and session).
        """
        if not 0 <= stream < FF_STREAMS:
            raise ValueError(f"expected a stream below {FF_STREAMS}, got {stream}")
        cdef size_t size = ff_row_types[stream].size
        if stream == FF_STREAM_BOOKS or stream == FF_STREAM_ODD_BOOKS:
            size = ff_book_size(self.depth)
        if ring.ring.row_size != size or (latest is not None and latest.table.row_size != size):
            raise ValueError(f"expected a ring and a table of {size}-byte rows")
        self.enter()
        if latest is not None:
            latest.lock, latest.locker = self.symbols.lock, self.symbols.locker
            if latest.lock != NULL:  # another thread may read what this or a receiver's writes
                latest.table.step = 1
        before = self.rings[stream], self.latest[stream]  # until nobody writes there any more
        self.rings[stream] = ring
        self.deliver[stream] = deliver
        self.latest[stream] = latest
        ff_lock_take(self.symbols.lock)
        self.sink.rings[stream] = &ring.ring
        self.sink.latest[stream] = NULL if latest is None else &latest.table
        ff_tap_note(self.sink.tap, FF_RECORD_LISTEN, 0, stream)
        ff_lock_give(self.symbols.lock)
        del before

    def measure(self, Meter meter):
        """Keep the latencies of all rows in the slot of a feed from now on, or nowhere."""
        self.enter(stopped=True)
        before = self.meter  # until nobody writes there any more
        ff_lock_take(self.symbols.lock)
        self.sink.meter = NULL if meter is None else meter.meter
        ff_lock_give(self.symbols.lock)
        self.meter = meter
        del before

    def record(self, Tape tape):
        """Record on a tape from now on what changes the rows, or nowhere. The machine is new: nothing was received yet."""
        cdef ff_tap *tap = NULL
        self.enter(stopped=True)
        if tape is not None:
            if tape.symbols is not self.symbols:
                raise ValueError("expected a tape for the symbols of this machine")
            if len(tape.machines) > 0xffff:
                raise ValueError("a tape has no room for another machine")
            self.tap.tape = &tape.tape
            self.tap.machine = len(tape.machines)
            self.tap.on = self.tap.by_packet = False
            self.tap.ahead = self.tap.left = 0
            self.tap.secret = <const uint8_t *><const char *>self.secret
            self.tap.secret_length = len(self.secret)
            self.set_up_tap()
            tap = &self.tap
        before = self.tape  # until nobody writes there any more
        ff_lock_take(self.symbols.lock)
        self.sink.tap = tap
        ff_lock_give(self.symbols.lock)
        self.tape = tape
        if tape is not None:
            tape.machines.append(self)
        del before

    cdef int set_up_tap(self) except -1:
        """Fill in what is the vendor's."""
        return 0

    def conceal(self, bytes secret not None):
        """Leave a text out of what is recorded, where the vendor repeats it."""
        self.secret = secret

    def space(self, size_hint=-1):
        """Return writable memory for the next read; using it after the next call of any method, or after the
        machine's end, is an access to freed memory.

        The loop's size hint is passed over: one large read costs less than several small ones.
        """
        cdef size_t room
        self.enter_reading()
        cdef uint8_t *place = ff_window_space(self.window, self.window_bytes // 2, &room)
        if place == NULL:
            raise MemoryError("no memory for the receive window")
        return PyMemoryView_FromMemory(<char *>place, room, PyBUF_WRITE)

    def received(self, size_t n):
        """Take note of n bytes written to the memory of `space()`, and process all that is complete.

        Returns what is not rows, as the vendor's machine says, or None.
        """
        self.enter_reading()
        if n > self.window.size - self.window.end:
            raise ValueError(f"expected at most {self.window.size - self.window.end} bytes, got {n}")
        self.recv_ns[0] = now_ns()
        ff_window_commit(self.window, n)
        return self.process()

    cdef list process(self):
        """Work through the window."""
        cdef ff_frame frame
        cdef list frames = None
        cdef bytes held
        cdef int status
        cdef size_t start
        while True:
            ff_lock_take(self.symbols.lock)
            start = self.window.start
            status = self.step(self.own, &frame)
            if self.sink.tap != NULL:
                ff_tap_step(self.sink.tap, self.window, start, self.recv_ns[0], status)
            if status == FF_HELD and self.symbols.lock != NULL:
                # They lie where other connections' rows go next. (Bytes are no matter of the collector's.)
                try:
                    held = PyBytes_FromStringAndSize(<const char *>frame.data, frame.length * sizeof(ff_tick))
                finally:
                    ff_lock_give(self.symbols.lock)
                frame.data = held
            else:
                ff_lock_give(self.symbols.lock)
            if status == FF_NEED_MORE:
                break
            if status == FF_ROWS_FULL:
                self.publish()
                continue
            frames = self.note(frames, status, &frame)
            if status < 0 or self.stopped:
                break
        if self.sink.dirty:
            self.publish()
        return frames

    cdef list note(self, list frames, int status, ff_frame *frame):
        """Take what a step stopped for, other than rows. What is for the session is added to `frames`, None as long
        as there is nothing; with a negative status, `error` is set.
        """
        raise NotImplementedError

    def write(self, int stream, const unsigned char[::1] rows not None):
        """Write rows that came another way, given as their bytes, and deliver them."""
        if not 0 <= stream < FF_STREAMS or self.sink.rings[stream] == NULL:
            raise ValueError(f"expected a stream that is listened to, got {stream}")
        cdef size_t size = self.sink.rings[stream].row_size
        if rows.shape[0] % size:
            raise ValueError(f"expected whole rows of {size} bytes, got {rows.shape[0]} bytes")
        self.enter()
        if rows.shape[0]:
            self.write_rows(stream, &rows[0], rows.shape[0] // size)

    cdef ff_machine described(self) noexcept:
        """Return what a receiver needs to know."""
        cdef ff_machine machine
        machine.self = self.own
        machine.step = self.step
        machine.window = self.window
        machine.sink = self.sink
        machine.recv_ns = self.recv_ns
        machine.window_bytes = self.window_bytes
        return machine

    cdef int order_rows(self, int stream, void *rows, size_t *n) noexcept:
        """Drop those of n rows that were delivered before, under the lock. Returns 0 or a negative reason."""
        return 0

    cdef int put_rows(self, int stream, const uint8_t *rows, size_t n) noexcept:
        """Write rows that fit into the ring, under the lock. Returns 0 or a negative reason."""
        cdef ff_ring *ring = self.sink.rings[stream]
        cdef void *place = ff_ring_claim(ring, n)
        cdef int rc
        if self.sink.tap != NULL:
            self.record_rows(FF_RECORD_ROWS, stream, rows, n, ring.row_size)
        memcpy(place, rows, n * ring.row_size)
        rc = self.order_rows(stream, place, &n)
        if rc == 0:
            ff_sink_written(self.sink, stream, n)
        return rc

    cdef int record_rows(self, int type, int stream, const uint8_t *rows, size_t n, size_t size) noexcept:
        """Record rows that come another way, under the lock."""
        cdef ff_record record
        record.type = type
        record.flags = 0
        record.number = 0
        record.stream = stream
        ff_tap_put(self.sink.tap, record, rows, n * size, size)
        return 0

    cdef int write_rows(self, int stream, const uint8_t *rows, size_t n) except -1:
        cdef ff_ring *ring = self.sink.rings[stream]
        cdef size_t most = <size_t>ring.capacity // 4
        cdef size_t part
        cdef unsigned dirty
        cdef int rc
        while n:
            part = min(n, most)
            ff_lock_take(self.symbols.lock)
            rc = self.put_rows(stream, rows, part)
            dirty = ff_sink_publish(self.sink)
            ff_lock_give(self.symbols.lock)
            self.show(dirty)
            check(rc)
            rows += part * ring.row_size
            n -= part
        return 0

    cdef int enter(self, bint stopped=False) except -1:
        if self.busy:
            raise LocalProtocolError("a callback must not feed the machine that called it")
        return 0

    cdef int enter_reading(self, bint stopped=False) except -1:
        """The same, to do what the receiver does where there is one."""
        self.enter(stopped)
        if self.slot != NULL:
            raise LocalProtocolError("a receiver reads for this machine: nobody else may")
        return 0

    cdef int keep(self, const uint8_t *p, size_t n) except -1:
        cdef size_t room
        cdef uint8_t *place = ff_window_space(self.window, n, &room)
        if place == NULL:
            raise MemoryError("no memory for the receive window")
        memcpy(place, p, n)
        ff_window_commit(self.window, n)
        return 0

    cdef int publish(self) except -1:
        cdef unsigned dirty
        ff_lock_take(self.symbols.lock)
        dirty = ff_sink_publish(self.sink)
        ff_lock_give(self.symbols.lock)
        return self.show(dirty)

    cdef int show(self, unsigned dirty) except -1:
        """Deliver what was published."""
        cdef int stream = 0
        self.busy = True
        try:
            while dirty:
                if dirty & 1:
                    self.deliver[stream]()
                dirty >>= 1
                stream += 1
        finally:
            self.busy = False
        return 0

    cdef int take_held_notes(self) except -1:
        """Take the ticks that the receiver has decoded since and that are to wait; see `HoldingMachine`."""
        return 0

    # What was recorded, done again.

    cdef int play(self, const ff_record *record, const uint8_t *data) except -1:
        """Do what a record of a machine of the same kind says, other than to listen."""
        if record.type == FF_RECORD_BYTES:
            return self.play_bytes(record, data)
        if record.type == FF_RECORD_ROWS:
            return self.play_rows(record.stream, data, record.length)
        return 0

    cdef int play_bytes(self, const ff_record *record, const uint8_t *data) except -1:
        cdef ff_window own
        cdef ff_frame frame
        cdef int status
        cdef size_t left
        cdef bint aside = self.window.start == self.window.end and not record.flags & FF_RECORD_MORE
        if self.error is not None or not self.begun:
            return 0
        self.recv_ns[0] = record.recv_ns
        if not aside:
            if self.window.end - self.window.start > self.limit_bytes + MOST_BESIDE:
                raise StorageError(f"a packet of more than {self.limit_bytes} bytes")
            self.keep(data, record.length)
            if record.flags & FF_RECORD_MORE:
                return 0
        else:
            # In place, without a copy: steps only read.
            own = self.window[0]
            self.window.data = <uint8_t *>data
            self.window.size = record.length
            self.window.start = 0
            self.window.end = record.length
        try:
            while True:
                status = self.step(self.own, &frame)
                if status == FF_ROWS_FULL:
                    self.publish()
                    continue
                if status == FF_NEED_MORE:
                    self.window.start = self.window.end  # records are whole packets
                    break
                if status == FF_ZIPPED:
                    self.keep_zipped(&frame)
                elif status < 0:
                    self.note(None, status, &frame)
                    break
                if record.number and self.is_left(record.number):
                    break
        finally:
            if aside:
                data = self.window.data + self.window.start
                left = self.window.end - self.window.start
                self.window[0] = own
                self.window.start = self.window.end = 0
                if left:
                    self.keep(data, left)
        if self.sink.dirty:
            self.publish()
        return 0

    cdef int mend(self) except -1:
        """Begin anew with the next whole packet."""
        raise NotImplementedError

    cdef bint is_left(self, size_t bytes) noexcept:
        """Return whether so many bytes of a message are left in the window."""
        return False

    cdef int keep_zipped(self, const ff_frame *frame) except -1:
        return 0

    cdef int play_rows(self, int stream, const uint8_t *rows, size_t bytes) except -1:
        if self.sink.rings[stream] == NULL:
            return 0  # nobody listens yet: the beginning is missing
        self.check_rows(stream, rows, bytes, self.sink.rings[stream].row_size)
        return self.write_rows(stream, rows, bytes // self.sink.rings[stream].row_size)

    cdef int check_rows(self, int stream, const uint8_t *rows, size_t bytes, size_t size) except -1:
        """Raise StorageError unless these are rows of known symbols."""
        cdef size_t at = ff_symbol_at[stream]
        cdef uint32_t number
        if bytes == 0 or bytes % size:
            raise StorageError(f"expected whole rows of {size} bytes, got {bytes} bytes")
        while at < bytes:
            memcpy(&number, rows + at, sizeof(number))
            if number >= self.symbols.table.count:
                raise StorageError(f"a row of the symbol {number}, of which there are {self.symbols.table.count}")
            at += size
        return 0

    cdef int say_again(self) noexcept:
        """Record the state for who begins here, under the lock."""
        cdef int stream
        ff_tap_note(self.sink.tap, FF_RECORD_RESET, FF_RECORD_AGAIN, 0)
        for stream in range(FF_STREAMS):
            if self.sink.rings[stream] != NULL:
                ff_tap_note(self.sink.tap, FF_RECORD_LISTEN, FF_RECORD_AGAIN, stream)
        return 0

    @property
    def rows(self):
        """Rows written, of all streams."""
        cdef uint64_t n = 0
        cdef int stream
        for stream in range(FF_STREAMS):
            n += self.sink.rows[stream]
        return n


cdef class HoldingMachine(Machine):
    """A machine that lets the ticks of a symbol wait while what was missed before them is fetched.

    Parameters
    ----------
    most_held : int
        Ticks that wait during an interruption, see `hold()`.
    """

    def __cinit__(self, SymbolTable symbols not None, *, uint64_t most_held=1 << 18, **options):
        ff_order_init(&self.order)
        self.most_held = most_held
        self.held = {}
        self.overflowed = {}

    def __dealloc__(self):
        ff_order_free(&self.order)

    def hold(self, ids):
        """Let the live ticks of symbols wait from now on, until `release()`.

        At most `most_held` rows wait, of all symbols together; a symbol for which there is no more room is
        released with a gap.
        """
        for number in ids:
            self.hold_one(number)

    def last_tick(self, uint32_t number):
        """Return the sequence of a symbol's last tick, -1 when there is none, and its time."""
        cdef ff_order_symbol symbol = self.order_of(number)
        return symbol.last, symbol.time_ns

    def is_held(self, uint32_t number):
        """Return whether the ticks of a symbol wait."""
        self.take_held_notes()  # one for which there is no more room waits no longer
        return self.order_of(number).held

    def take_held(self, uint32_t number):
        """Return the rows of a symbol that wait, oldest first, and forget them."""
        self.take_held_notes()
        return self.pop_held(number)

    cdef bytearray pop_held(self, uint32_t number):
        cdef bytearray rows = self.held.pop(number, None)
        if rows is None:
            return bytearray()
        self.held_rows -= <uint64_t>len(rows) // sizeof(ff_tick)
        return rows

    def take_overflow(self, uint32_t number):
        """Return the times of the ticks around the hole in a symbol for which there was no more room, and forget it;
        None when there was room.
        """
        return self.overflowed.pop(number, None)

    def release(self, uint32_t number, const unsigned char[::1] rows not None, bint gap=False, bint anew=False):
        """Write ticks of a symbol, what was missed and what waited, and let live ones follow.

        Rows that were delivered before are dropped. With gap, the first row carries the flag that rows may be
        missing before it. With anew, sequences begin again: none of the rows was delivered before.
        """
        self.change(number, gap, anew)
        try:
            self.write(FF_STREAM_TICKS, rows)
        finally:
            self.unhold(number)

    # Ticks of a held symbol that a receiver's thread decodes are notes of its connection, which `take_held_notes()`
    # brings to the others that wait. That, and everything else here, happens in the loop's thread; the other one only
    # adds notes, as long as the symbol is held, under the lock. So whoever ends the holding writes the notes that are
    # still there, and ends it, under one and the same lock: afterwards there are none, and none can come.

    cdef int take_held_notes(self) except -1:
        cdef ff_note *note
        cdef size_t left = 0 if self.slot == NULL else self.slot.notes  # those that come meanwhile are later ones
        while left and self.slot != NULL:
            note = ff_receiver_held(self.receiver, self.slot)
            if note == NULL:
                break
            try:
                self.hold_rows(<const ff_tick *>note.frame.data, note.frame.length)
            finally:
                free(note)
            left -= 1
        return 0

    cdef int unhold(self, uint32_t number, bint forget=False) except -1:
        """Let live ticks of a symbol follow. Those that the receiver has noted meanwhile are written or, with forget,
        forgotten, and with them what is known of the symbol's last ticks.
        """
        cdef ff_order_symbol *symbol
        cdef ff_note *notes = NULL
        cdef ff_note *note
        cdef unsigned dirty = 0
        cdef int rc = 0
        ff_lock_take(self.symbols.lock)
        symbol = self.find_order(number)
        if symbol != NULL:
            if self.slot != NULL:
                notes = ff_receiver_held_of(self.slot, number)
            note = NULL if forget else notes
            while note != NULL:
                rc = self.put_rows(FF_STREAM_TICKS, note.frame.data, note.frame.length)
                dirty |= ff_sink_publish(self.sink)
                note = note.next
            symbol = ff_order_of(&self.order, number)
            symbol.held = False
            if forget:
                symbol.gap = False
                symbol.time_ns = 0
                symbol.count = 0
            ff_tap_symbol(self.sink.tap, FF_RECORD_UNHOLD, FF_RECORD_FORGET if forget else 0, number)
        ff_lock_give(self.symbols.lock)
        while notes != NULL:
            note = notes.next
            free(notes)
            notes = note
        self.check_symbol(symbol, number)
        self.show(dirty)
        return check(rc)

    cdef ff_order_symbol *find_order(self, uint32_t number) noexcept:
        """Return what is known of a symbol's ticks, under the lock. NULL: no such symbol, or no memory."""
        return ff_order_of(&self.order, number) if number < self.symbols.table.count else NULL

    cdef int change(self, uint32_t number, bint gap, bint anew) except -1:
        cdef ff_order_symbol *symbol
        ff_lock_take(self.symbols.lock)
        symbol = self.find_order(number)
        if symbol != NULL:
            if anew:
                symbol.last = -1
            symbol.gap = symbol.gap or gap
            ff_tap_symbol(self.sink.tap, FF_RECORD_CHANGE,
                          (FF_RECORD_HOLE if gap else 0) | (FF_RECORD_ANEW if anew else 0), number)
        ff_lock_give(self.symbols.lock)
        return self.check_symbol(symbol, number)

    cdef ff_order_symbol hold_one(self, uint32_t number) except *:
        """Hold a symbol; return what was known of it until then."""
        cdef ff_order_symbol *symbol
        cdef ff_order_symbol before
        ff_lock_take(self.symbols.lock)
        symbol = self.find_order(number)
        if symbol != NULL:
            before = symbol[0]
            symbol.held = True
            ff_tap_symbol(self.sink.tap, FF_RECORD_HOLD, 0, number)
        ff_lock_give(self.symbols.lock)
        self.check_symbol(symbol, number)
        return before

    cdef ff_order_symbol order_of(self, uint32_t number) except *:
        """Return a copy of what is known of a symbol's ticks."""
        cdef ff_order_symbol *symbol
        cdef ff_order_symbol copy
        ff_lock_take(self.symbols.lock)
        symbol = self.find_order(number)
        if symbol != NULL:
            copy = symbol[0]
        ff_lock_give(self.symbols.lock)
        self.check_symbol(symbol, number)
        return copy

    cdef int check_symbol(self, const ff_order_symbol *symbol, uint32_t number) except -1:
        if symbol == NULL and number >= self.symbols.table.count:
            raise IndexError(f"expected the id of a symbol, got {number}")
        if symbol == NULL:
            raise MemoryError("no memory for another symbol")
        return 0

    cdef int hold_rows(self, const ff_tick *first, size_t n) except -1:
        cdef uint32_t number = first.symbol
        cdef bytearray rows = self.held.get(number)
        if not first.flags & FF_FLAG_CACHED:
            self.held_live += n
        if self.held_rows + n > self.most_held:
            waited = self.pop_held(number)
            waited += PyBytes_FromStringAndSize(<const char *>first, n * sizeof(ff_tick))
            self.let_go(number, waited)
            return 0
        if rows is None:
            rows = self.held[number] = bytearray()
        rows += PyBytes_FromStringAndSize(<const char *>first, n * sizeof(ff_tick))
        self.held_rows += n
        return 0

    cdef int let_go(self, uint32_t number, const unsigned char[::1] rows) except -1:
        cdef ff_order_symbol symbol = self.order_of(number)
        cdef const ff_tick *first = <const ff_tick *>&rows[0]
        cdef size_t n = rows.shape[0] // sizeof(ff_tick)
        if number not in self.overflowed:
            while n > 1 and 0 <= first.seq <= symbol.last:  # those were delivered before
                first += 1
                n -= 1
            self.overflowed[number] = (symbol.time_ns, first.time_ns)
        self.release(number, rows, True)
        return 0

    cdef int play(self, const ff_record *record, const uint8_t *data) except -1:
        cdef uint32_t number
        cdef size_t i
        if record.type not in (FF_RECORD_HOLD, FF_RECORD_CHANGE, FF_RECORD_UNHOLD):
            return Machine.play(self, record, data)
        for i in range(record.length // sizeof(number)):
            memcpy(&number, data + i * sizeof(number), sizeof(number))
            if number >= self.symbols.table.count:
                raise StorageError(f"the symbol {number}, of which there are {self.symbols.table.count}")
            if record.type == FF_RECORD_HOLD:
                self.hold_one(number)
            elif record.type == FF_RECORD_CHANGE:
                self.change(number, record.flags & FF_RECORD_HOLE, record.flags & FF_RECORD_ANEW)
            else:
                self.unhold(number, record.flags & FF_RECORD_FORGET)
        return 0

    cdef int say_again(self) noexcept:
        cdef size_t i
        Machine.say_again(self)
        for i in range(self.order.count):
            if self.order.symbols[i].held:
                ff_tap_symbol(self.sink.tap, FF_RECORD_HOLD, FF_RECORD_AGAIN, <uint32_t>i)
        return 0

    cdef int hold_none(self) noexcept:
        """Let the ticks of all symbols follow."""
        cdef size_t i
        for i in range(self.order.count):
            self.order.symbols[i].held = False
        return 0


def say_again(Tape tape not None):
    """Record what the machines of a tape are like, for who begins there; the names of the symbols before it are the
    caller's. Returns the position, and how many symbols there are.
    """
    cdef Machine machine
    cdef uint64_t position
    ff_lock_take(tape.symbols.lock)
    position = ff_ring_published(&tape.tape.ring)
    tape.tape.named = tape.symbols.table.count
    for machine in tape.machines:
        if machine.sink.tap != NULL:
            machine.say_again()
    ff_lock_give(tape.symbols.lock)
    return position, tape.tape.named


cdef size_t MOST_BESIDE = 1 << 20  # of a packet, besides its body
