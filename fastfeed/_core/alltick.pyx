"""AllTick's machine: received bytes in, rows into rings, other messages out for the session."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from fastfeed._core.machine cimport Machine, add_message, broken, now_ns, reasons
from fastfeed._core.native cimport (
    FF_ALLTICK_BOOKS,
    FF_ALLTICK_IGNORED,
    FF_ALLTICK_MAX_MESSAGE,
    FF_ALLTICK_SESSION,
    FF_ALLTICK_TICKS,
    FF_BOOK_MAX_DEPTH,
    FF_ETIME,
    FF_FRAME,
    FF_RECORD_AGAIN,
    FF_RECORD_BEGIN,
    FF_RECORD_EXPECT,
    FF_RECORD_RESET,
    FF_RECORD_SIDED,
    FF_STREAM_BOOKS,
    FF_STREAM_TICKS,
    ff_alltick_decode,
    ff_alltick_decode_any,
    ff_alltick_decode_reply,
    ff_alltick_decoder,
    ff_alltick_free,
    ff_alltick_init,
    ff_alltick_max_rows,
    ff_alltick_reset,
    ff_alltick_rows,
    ff_alltick_seen,
    ff_alltick_seen_of,
    ff_alltick_step,
    ff_alltick_take,
    ff_book,
    ff_book_size,
    ff_frame,
    ff_lock_give,
    ff_lock_take,
    ff_reason_name,
    ff_record,
    ff_tap_begin,
    ff_tap_note,
    ff_tap_reset,
    ff_tap_symbol,
    ff_tick,
)
from fastfeed._core.symbols cimport SymbolTable

cimport cython

from fastfeed.errors import StorageError


@cython.final
cdef class AlltickMachine(Machine):
    """The receiving side of one AllTick connection, without a socket.

    `received()` returns what is not rows, as a list of (opcode, payload), or None. Until `upgraded()` is called,
    that is all that comes, with the opcode `HANDSHAKE`. When the stream cannot be followed any more, `error` becomes
    a `RemoteProtocolError`, the last entry has the opcode `CLOSING`, and everything further is ignored until
    `reset()`.

    Parameters
    ----------
    symbols
        Where symbols go.
    limit_bytes : int
        Longest message that is believed, at most 1 MiB.
    window_bytes : int
        What a single read may bring.
    depth : int
        Levels of the books' rows.
    learn : bool
        Decode codes that nobody has asked for, as well.
    """

    def __cinit__(self, SymbolTable symbols not None, *, window_bytes=1 << 18, size_t depth=10,
                  limit_bytes=FF_ALLTICK_MAX_MESSAGE, bint learn=False):
        if not 1024 <= limit_bytes <= FF_ALLTICK_MAX_MESSAGE:
            raise ValueError(f"expected limit_bytes of 1024 to {FF_ALLTICK_MAX_MESSAGE}, got {limit_bytes}")
        if ff_alltick_init(&self.machine, window_bytes, limit_bytes, &symbols.table) < 0:
            raise MemoryError("no memory for a receive window")
        self.own = &self.machine
        self.step = ff_alltick_step
        self.window = &self.machine.window
        self.sink = &self.machine.sink
        self.recv_ns = &self.machine.decoder.recv_ns
        self.machine.decoder.depth = depth
        self.machine.decoder.learn = learn
        self.limit_bytes = limit_bytes

    def __dealloc__(self):
        ff_alltick_free(&self.machine)

    def listen(self, int stream, ring, deliver, latest=None):
        if stream != FF_STREAM_TICKS and stream != FF_STREAM_BOOKS:
            raise ValueError(f"expected the stream of ticks or books, got {stream}")
        Machine.listen(self, stream, ring, deliver, latest)

    def expect(self, str symbol not None, bint sided=True):
        """Decode a symbol from now on.

        With `sided` false, what its ticks say of buyer and seller is left out.
        """
        self.expect_one(self.symbols.intern(symbol), sided)

    cdef int expect_one(self, uint32_t number, bint sided) except -1:
        cdef ff_alltick_seen *seen
        ff_lock_take(self.symbols.lock)
        seen = ff_alltick_seen_of(&self.machine, number)
        if seen != NULL:
            seen.sideless = not sided
            ff_tap_symbol(self.sink.tap, FF_RECORD_EXPECT, FF_RECORD_SIDED if sided else 0, number)
        ff_lock_give(self.symbols.lock)
        if seen == NULL:
            raise MemoryError("no memory for another symbol")
        return 0

    def feed(self, data, recv_ns=None):
        """Decode one message.

        Parameters
        ----------
        data : bytes-like
            The payload, without a WebSocket frame.
        recv_ns : int, optional
            The time of reception for the rows; now, if not given.

        Raises
        ------
        BufferError, TypeError
            Not bytes.
        """
        cdef Py_buffer buffer
        self.enter_reading()
        self.recv_ns[0] = now_ns() if recv_ns is None else recv_ns
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            ff_lock_take(self.symbols.lock)
            ff_alltick_take(&self.machine, <const uint8_t *>buffer.buf, buffer.len)
            ff_lock_give(self.symbols.lock)
        finally:
            PyBuffer_Release(&buffer)
        if self.sink.dirty:
            self.publish()

    def upgraded(self, bytes rest not None):
        """Go on behind the handshake, of which `rest` is left; returns what `received()` does."""
        self.enter_reading()
        self.machine.upgraded = True
        self.machine.counters.bytes -= len(rest)  # counted again where they are used
        self.begun_at = self.machine.counters.bytes
        ff_lock_take(self.symbols.lock)
        ff_tap_begin(self.sink.tap, False)
        ff_lock_give(self.symbols.lock)
        if rest:
            self.keep(rest, len(rest))
        return self.process()

    cdef list note(self, list messages, int status, ff_frame *frame):
        if status == FF_FRAME:
            return add_message(messages, frame)
        if self.error is None:
            messages = messages or []
            self.error = broken(self.window, -status, self.machine.counters.bytes - self.begun_at, "alltick",
                                messages)
        return messages

    def reset(self):
        """Forget the stream and its error, for a new connection, which begins with the handshake. Counters go on,
        and what is known of the symbols' last ticks.
        """
        self.enter_reading()
        ff_alltick_reset(&self.machine)
        ff_lock_take(self.symbols.lock)
        ff_tap_reset(self.sink.tap, True)
        ff_lock_give(self.symbols.lock)
        self.error = None

    def options(self):
        """Return what a machine that plays a record of this one is made with."""
        return {"limit_bytes": self.limit_bytes, "learn": self.machine.decoder.learn}

    cdef int play(self, const ff_record *record, const uint8_t *data) except -1:
        cdef uint32_t number
        cdef size_t i
        if record.type == FF_RECORD_RESET:
            self.reset()
            self.begun = False
        elif record.type == FF_RECORD_BEGIN:
            self.machine.upgraded = self.begun = True
        elif record.type == FF_RECORD_EXPECT:
            for i in range(record.length // sizeof(number)):
                memcpy(&number, data + i * sizeof(number), sizeof(number))
                if number >= self.symbols.table.count:
                    raise StorageError(f"the symbol {number}, of which there are {self.symbols.table.count}")
                self.expect_one(number, record.flags & FF_RECORD_SIDED)
        else:
            return Machine.play(self, record, data)
        return 0

    cdef int mend(self) except -1:
        self.reset()
        self.machine.upgraded = True
        return 0

    cdef int say_again(self) noexcept:
        cdef size_t i
        Machine.say_again(self)
        for i in range(min(self.machine.seen_size, <size_t>self.symbols.table.count)):
            if self.machine.seen[i].sideless:
                ff_tap_symbol(&self.tap, FF_RECORD_EXPECT, FF_RECORD_AGAIN, <uint32_t>i)
        if self.tap.on:
            ff_tap_note(&self.tap, FF_RECORD_BEGIN, FF_RECORD_AGAIN, 0)
        return 0

    @property
    def messages(self):
        """Complete messages received, and control frames."""
        return self.machine.counters.messages

    def stats(self):
        """Return the counters; see `fastfeed.AllTick.stats`."""
        return {
            "bytes": self.machine.counters.bytes,
            "messages": self.machine.counters.messages,
            "ticks": self.sink.rows[FF_STREAM_TICKS],
            "books": self.sink.rows[FF_STREAM_BOOKS],
            "duplicates": self.machine.counters.duplicates,
            "cut_levels": self.machine.decoder.cut_levels,
            "frames": self.machine.counters.frames,
            "unwanted": self.machine.decoder.unwanted,
            "unknown_codes": self.machine.decoder.unknown_codes,
            "unknown_numbers": self.machine.decoder.unknown_numbers,
            "non_json": self.machine.decoder.non_json,
            "odd_sequences": self.machine.decoder.odd_seqs,
            "odd_directions": self.machine.decoder.odd_directions,
            "unreadable_times": self.machine.decoder.dropped[<int>FF_ETIME],
            "rejected": reasons(self.machine.counters.rejected, NULL),
        }


cdef dict KINDS = {
    <int>FF_ALLTICK_IGNORED: "ignored",
    <int>FF_ALLTICK_TICKS: "ticks",
    <int>FF_ALLTICK_BOOKS: "books",
    <int>FF_ALLTICK_SESSION: "session",
}


cdef int set_up(ff_alltick_decoder *d, SymbolTable symbols, int64_t recv_ns, Py_ssize_t depth) except -1:
    if not 1 <= depth <= FF_BOOK_MAX_DEPTH:
        raise ValueError(f"expected a depth of 1 to {FF_BOOK_MAX_DEPTH} levels, got {depth}")
    if recv_ns < 0:
        raise ValueError(f"expected a time of reception of at least 0, got {recv_ns}")
    memset(d, 0, sizeof(ff_alltick_decoder))
    d.symbols = &symbols.table
    d.recv_ns = recv_ns
    d.depth = depth
    d.learn = True
    return 0


def decode_message(data, SymbolTable symbols not None, int64_t recv_ns, *, Py_ssize_t depth=10, bint generic=False,
                   bint learn=True):
    """Return what a message is, and its rows.

    Parameters
    ----------
    data : bytes-like
        One WebSocket message.
    symbols : SymbolTable
    recv_ns : int
        The time of reception for the rows.
    depth : int
        Of books: the levels of the rows, 1 to 1000.
    generic : bool
        Leave out the fast way for the documented form.
    learn : bool
        Codes that are not in `symbols` get an id there; otherwise their rows are left out.

    Returns
    -------
    (str, bytearray)
        "ticks" or "books", with whole rows of that stream's dtype; "session" for replies; "ignored" for what is
        no JSON, has an unknown number, or only unknown codes.

    Raises
    ------
    ValueError
        The message is rejected; the text is the reason's name, as in ``stats()["rejected"]``.
    """
    cdef ff_alltick_decoder decoder
    cdef ff_alltick_rows out
    cdef Py_buffer buffer
    cdef bytearray rows
    cdef size_t max_rows, row_size
    cdef int kind
    set_up(&decoder, symbols, recv_ns, depth)
    decoder.learn = learn
    row_size = max(sizeof(ff_tick), ff_book_size(depth))
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        max_rows = ff_alltick_max_rows(min(buffer.len, <Py_ssize_t>FF_ALLTICK_MAX_MESSAGE))
        rows = PyByteArray_FromStringAndSize(NULL, max_rows * row_size)
        memset(&out, 0, sizeof(out))
        out.ticks = <ff_tick *>PyByteArray_AS_STRING(rows)
        out.books = <ff_book *>PyByteArray_AS_STRING(rows)
        out.max_ticks = out.max_books = max_rows
        ff_lock_take(symbols.lock)
        if generic:
            kind = ff_alltick_decode_any(&decoder, <const uint8_t *>buffer.buf, buffer.len, &out)
        else:
            kind = ff_alltick_decode(&decoder, <const uint8_t *>buffer.buf, buffer.len, &out)
        ff_lock_give(symbols.lock)
    finally:
        PyBuffer_Release(&buffer)
    if kind < 0:
        raise ValueError(ff_reason_name(-kind).decode())
    PyByteArray_Resize(rows, out.count * (ff_book_size(depth) if kind == FF_ALLTICK_BOOKS else sizeof(ff_tick)))
    return KINDS[kind], rows


def decode_reply(str stream not None, data, SymbolTable symbols not None, int64_t recv_ns, Py_ssize_t depth=10, *,
                 bint learn=True):
    """Return the rows in the reply to an HTTP request.

    Parameters
    ----------
    stream : {"ticks", "books"}
        What was asked for; a reply does not say.
    data : bytes-like
        The body. Whether it says that it is an error is not looked at: such a body has no rows and is rejected.
    symbols : SymbolTable
    recv_ns : int
        The time of reception for the rows.
    depth : int
        Of books: the levels of the rows, 1 to 1000.
    learn : bool
        Codes that are not in `symbols` get an id there; otherwise their rows are left out.

    Returns
    -------
    bytearray
        Whole rows of the stream's dtype, possibly none.

    Raises
    ------
    ValueError
        The body cannot be read; the text is the reason's name.
    """
    cdef ff_alltick_decoder decoder
    cdef Py_buffer buffer
    cdef bytearray rows
    cdef size_t max_rows, row_size
    cdef bint books = stream == "books"
    cdef int n
    if not books and stream != "ticks":
        raise ValueError(f"expected a stream (ticks, books), got {stream!r}")
    set_up(&decoder, symbols, recv_ns, depth)
    decoder.learn = learn
    row_size = ff_book_size(depth) if books else sizeof(ff_tick)
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        max_rows = ff_alltick_max_rows(min(buffer.len, <Py_ssize_t>FF_ALLTICK_MAX_MESSAGE))
        rows = PyByteArray_FromStringAndSize(NULL, max_rows * row_size)
        ff_lock_take(symbols.lock)
        n = ff_alltick_decode_reply(&decoder, FF_STREAM_BOOKS if books else FF_STREAM_TICKS,
                                    <const uint8_t *>buffer.buf, buffer.len, PyByteArray_AS_STRING(rows), max_rows)
        ff_lock_give(symbols.lock)
    finally:
        PyBuffer_Release(&buffer)
    if n < 0:
        raise ValueError(ff_reason_name(-n).decode())
    PyByteArray_Resize(rows, n * row_size)
    return rows
