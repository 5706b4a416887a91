"""OpenD's machine: received bytes in, rows into rings, other packets out for the session."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint64_t, uint32_t, uint8_t
from libc.string cimport memset

from fastfeed._core.native cimport (
    FF_BOOK_MAX_DEPTH,
    FF_BROKER_SPACE,
    FF_EMAGIC,
    FF_ENOMEM,
    FF_EROWS,
    FF_ESYMBOL,
    FF_ETIME,
    FF_FRAME,
    FF_HELD,
    FF_NEED_MORE,
    FF_OPEND_INIT_CONNECT,
    FF_RECORD_AGAIN,
    FF_RECORD_BEGIN,
    FF_RECORD_RESET,
    FF_RECORD_SHA1,
    FF_ROWS_FULL,
    FF_STREAMS,
    FF_STREAM_BARS,
    FF_STREAM_BOOKS,
    FF_STREAM_BROKERS,
    FF_STREAM_ODD_BOOKS,
    FF_STREAM_QUOTES,
    FF_STREAM_TICKS,
    FF_STREAM_TIMESHARE,
    explicit_bzero,
    ff_book_size,
    ff_opend_decode_bars,
    ff_opend_decode_bars_reply,
    ff_opend_decode_book,
    ff_opend_broker_name,
    ff_opend_decode_brokers,
    ff_opend_decode_quotes,
    ff_opend_decode_ticks,
    ff_opend_decode_timeshare,
    ff_opend_decoder,
    ff_frame,
    ff_lock_give,
    ff_lock_take,
    ff_opend_free,
    ff_opend_init,
    ff_opend_missing,
    ff_opend_process_span,
    ff_opend_reset,
    ff_opend_step,
    ff_order_symbol,
    ff_order_take,
    ff_reason_name,
    ff_record,
    ff_row_types,
    ff_tap_begin,
    ff_tap_note,
    ff_tap_reset,
    ff_tick,
)
from fastfeed._core.machine cimport HoldingMachine, now_ns, reasons
from fastfeed._core.opend_cipher cimport OpendCipher
from fastfeed._core.symbols cimport SymbolTable

cimport cython
from fastfeed.errors import LocalProtocolError, RemoteProtocolError


@cython.final
cdef class OpendMachine(HoldingMachine):
    """The receiving side of one OpenD connection, without a socket.

    Ask `space()` for memory, put bytes there, tell `received()` how many; or hand whole pieces to `feed()`.
    Rows go into the rings of the streams that are listened to. Both calls return the packets that are not rows,
    as a list of (protocol id, serial number, body), or None. In place of the body of a rejected reply stands the
    name of the reason, a str.

    Replies to InitConnect are given as they came, neither decrypted nor checked. After `reset(handshake=True)`
    the machine stops behind each of them: `init_sha1` is then the digest in its header, and `resume()` goes on,
    once `set_cipher()` has been called where that is wanted.

    When the stream cannot be followed any more, `error` becomes a `RemoteProtocolError` and everything
    further is ignored until `reset()`.

    Parameters
    ----------
    symbols
        Where symbols go.
    limit_bytes : int
        Longest body that is believed.
    check_sha1 : bool
        Compute the digest of every body; packets with a wrong one are dropped and counted.
    window_bytes : int
        What a single read may bring.
    depth : int
        Levels of the books' rows.
    brokers : SymbolTable, optional
        Where names of brokers go; see `broker_name()`.
    most_held : int
        Ticks that wait during an interruption, see `hold()`.
    ordered : bool
        Ticks of a symbol whose sequence is not above that of its last one are dropped and counted: they have
        been delivered before.
    """

    def __cinit__(self, SymbolTable symbols not None, *, window_bytes=1 << 18, size_t depth=10,
                  limit_bytes=1 << 26, bint check_sha1=False, bint ordered=False,
                  SymbolTable brokers=None, **options):
        if not 1024 <= limit_bytes <= 1 << 30:
            raise ValueError(f"expected limit_bytes of 1024 to {1 << 30}, got {limit_bytes}")
        self.brokers = brokers
        if ff_opend_init(&self.machine, window_bytes, limit_bytes, &symbols.table) < 0:
            raise MemoryError("no memory for a receive window")
        self.own = &self.machine
        self.step = ff_opend_step
        self.window = &self.machine.window
        self.sink = &self.machine.sink
        self.recv_ns = &self.machine.decoder.recv_ns
        self.machine.check_sha1 = check_sha1
        self.machine.depth = depth
        self.limit_bytes = limit_bytes
        if brokers is not None:
            self.machine.decoder.brokers = &brokers.table
        if ordered:
            self.machine.order = &self.order

    def __dealloc__(self):
        ff_opend_free(&self.machine)

    def feed(self, data, recv_ns=None):
        """Process a piece of the received stream, cut wherever it may be.

        Parameters
        ----------
        data : bytes-like
        recv_ns : int, optional
            The time of reception for the rows; now, if not given.
        """
        cdef Py_buffer buffer
        cdef const uint8_t *p
        cdef size_t left, part
        cdef list frames = None, more
        self.enter_reading()
        self.machine.decoder.recv_ns = now_ns() if recv_ns is None else recv_ns
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            p = <const uint8_t *>buffer.buf
            left = buffer.len
            try:
                while left and self.window.start != self.window.end:
                    # An unfinished packet waits in the window: what it lacks goes there, no more.
                    part = ff_opend_missing(&self.machine)
                    part = min(part, left) if part else left
                    self.keep(p, part)
                    p += part
                    left -= part
                    more = self.process()
                    frames = more if frames is None else frames + (more or [])
                    if self.stopped or self.error is not None:
                        return frames
                more = self.walk(&p, &left) if left else self.process()
                return more if frames is None else frames + (more or [])
            finally:  # also when deliver() raised: the stream goes on
                if left:
                    self.keep(p, left)
        finally:
            PyBuffer_Release(&buffer)

    def resume(self):
        """Go on behind the reply to InitConnect; returns what `received()` does."""
        if self.init_sha1 is None:
            raise LocalProtocolError("there is no reply to InitConnect to go on from")
        self.enter_reading(True)
        self.init_sha1 = None
        self.stopped = False
        if self.sink.tap != NULL:
            ff_lock_take(self.symbols.lock)
            ff_tap_begin(self.sink.tap, self.machine.check_sha1)
            ff_lock_give(self.symbols.lock)
        return self.process()

    def set_cipher(self, OpendCipher cipher):
        """Decrypt every body from now on; with None, no more. `reset()` ends it as well."""
        if cipher is None:
            explicit_bzero(&self.machine.cipher, sizeof(self.machine.cipher))
        else:
            self.machine.cipher = cipher.cipher
        self.tap.by_packet = cipher is not None

    cdef list walk(self, const uint8_t **p, size_t *left):
        """Work through the `left` bytes at p, while the window is empty: as `process()`."""
        cdef ff_frame frame
        cdef list frames = None
        cdef int status
        cdef size_t used
        while left[0]:
            status = ff_opend_process_span(&self.machine, p[0], left[0], &used, &frame)
            p[0] += used
            left[0] -= used
            if status == FF_NEED_MORE:
                break
            if status == FF_ROWS_FULL:
                self.publish()
            elif status < 0:
                self.fail(status, p[0], left[0])
                left[0] = 0
            else:
                frames = self.note(frames, status, &frame)
                if self.stopped:
                    break
        if self.sink.dirty:
            self.publish()
        return frames

    cdef list note(self, list frames, int status, ff_frame *frame):
        if status == FF_HELD:
            self.hold_rows(<const ff_tick *>frame.data, frame.length)
        elif status == FF_FRAME:
            frames = add_frame(frames, frame)
            if self.stops_behind_init and self.slot == NULL and frame.kind == FF_OPEND_INIT_CONNECT:
                self.init_sha1 = PyBytes_FromStringAndSize(<const char *>frame.sha1, 20)
                self.stopped = True
        else:
            self.fail(status, self.window.data + self.window.start, self.window.end - self.window.start)
        return frames

    def reset(self, *, bint handshake=False):
        """Forget the stream, its error and its cipher, for a new connection; counters go on, and so does the ticks'
        order.

        With handshake, the machine will stop behind replies to InitConnect.
        """
        self.enter_reading(True)
        ff_opend_reset(&self.machine)
        ff_lock_take(self.symbols.lock)
        ff_tap_reset(self.sink.tap, False)
        ff_lock_give(self.symbols.lock)
        self.begun_at = self.machine.counters.bytes
        self.stops_behind_init = handshake
        self.stopped = False
        self.init_sha1 = None
        self.error = None

    def options(self):
        """Return what a machine that plays a record of this one is made with."""
        return {"limit_bytes": self.limit_bytes, "ordered": self.machine.order != NULL}

    cdef int play(self, const ff_record *record, const uint8_t *data) except -1:
        if record.type == FF_RECORD_RESET:
            self.reset()
            self.begun = False
            if record.flags & FF_RECORD_AGAIN:
                self.hold_none()
            return 0
        if record.type == FF_RECORD_BEGIN:
            self.machine.check_sha1 = record.flags & FF_RECORD_SHA1
            self.begun = True
            return 0
        return HoldingMachine.play(self, record, data)

    cdef int mend(self) except -1:
        self.reset()
        return 0

    cdef int say_again(self) noexcept:
        HoldingMachine.say_again(self)
        if self.tap.on:
            ff_tap_note(&self.tap, FF_RECORD_BEGIN,
                        FF_RECORD_AGAIN | (FF_RECORD_SHA1 if self.machine.check_sha1 else 0), 0)
        return 0

    cdef int order_rows(self, int stream, void *rows, size_t *n) noexcept:
        cdef ff_order_symbol *symbol
        cdef uint32_t number
        if stream == FF_STREAM_TICKS and self.machine.order != NULL and n[0]:
            number = (<ff_tick *>rows).symbol
            symbol = self.find_order(number)
            if symbol == NULL:
                return -FF_ENOMEM if number < self.symbols.table.count else -FF_ESYMBOL
            n[0] = ff_order_take(&self.order, symbol, <ff_tick *>rows, n[0])
        return 0

    cdef int enter(self, bint stopped=False) except -1:
        HoldingMachine.enter(self, stopped)
        if self.stopped and not stopped:
            raise LocalProtocolError("the machine stopped behind InitConnect: expected resume() or reset()")
        return 0

    cdef int fail(self, int status, const uint8_t *p, size_t left) except -1:
        cdef uint64_t offset = self.machine.counters.bytes - self.begun_at
        cdef bytes data = PyBytes_FromStringAndSize(<const char *>p, min(left, 16))
        if self.error is not None:
            return 0
        if status == -FF_EMAGIC:
            message = f"expected a packet that begins with b'FT', got {data[:2]!r}"
        else:
            message = f"expected a body within the limit, got a length of {int.from_bytes(data[12:16],
            'little')} bytes"
        self.error = RemoteProtocolError(
            f"{message} at byte {offset} of the stream", source="opend", offset=offset, data=data
        )
        return 0

    @property
    def check_sha1(self):
        """Whether the digest of every body is computed and compared."""
        return self.machine.check_sha1

    @check_sha1.setter
    def check_sha1(self, bint value):
        self.machine.check_sha1 = value

    @property
    def packets(self):
        """Complete packets received."""
        return self.machine.counters.packets

    def stats(self):
        """Return the counters; see `fastfeed.Decoder.stats`."""
        return {
            "bytes": self.machine.counters.bytes,
            "packets": self.machine.counters.packets,
            **{ff_row_types[i].stream.decode(): self.sink.rows[i] for i in range(FF_STREAMS)},
            "duplicates": self.order.duplicates,
            "cut_levels": self.machine.decoder.cut_levels,
            "frames": self.machine.counters.frames,
            "ignored": self.machine.counters.ignored,
            "unreadable_times": self.machine.decoder.dropped[<int>FF_ETIME],
            "rejected": reasons(self.machine.counters.rejected, self.machine.decoder.dropped),
        }


cdef list add_frame(list frames, const ff_frame *frame):
    if frames is None:
        frames = []
    if frame.reason == 0:
        body = PyBytes_FromStringAndSize(<const char *>frame.data, frame.length)
    else:
        body = ff_reason_name(-frame.reason).decode()
    frames.append((frame.kind, frame.serial, body))
    return frames


cdef int stream_number(str stream) except -1:
    cdef int i
    for i in range(FF_STREAMS):
        if stream == ff_row_types[i].stream.decode():
            return i
    raise ValueError(f"expected a stream, got {stream!r}")


def decode_reply(str stream not None, body, SymbolTable symbols not None, int64_t recv_ns, *, int32_t kl_type=0,
                 int32_t adjust=0, Py_ssize_t depth=10, bint push=False, SymbolTable brokers=None):
    """Return the rows in the body of a reply with market data.

    Parameters
    ----------
    stream : str
        What the reply holds.
    body : bytes-like
    symbols : SymbolTable
        A security that is new gets its id there.
    recv_ns : int
        The time of reception for the rows.
    kl_type, adjust : int
        Of bars: what was asked for, by OpenD's numbers (KLType, RehabType). A reply does not say.
    depth : int
        Of books: the levels of the row, 1 to 1000.
    push : bool
        The body is that of a push. It matters for bars, where replies and pushes differ.
    brokers : SymbolTable, optional
        Where names of brokers go; see `broker_name`.

    Returns
    -------
    bytearray
        Whole rows of the stream's dtype, possibly none.

    Raises
    ------
    ValueError
        The body cannot be read, or OpenD says that it is an error; the text is the reason's name, as in
        ``stats()["rejected"]``.
    """
    cdef ff_opend_decoder decoder
    cdef Py_buffer buffer
    cdef int number = stream_number(stream)
    cdef size_t row_size, max_rows = 1
    cdef bytearray rows
    cdef int n
    if not 1 <= depth <= FF_BOOK_MAX_DEPTH:
        raise ValueError(f"expected a depth of 1 to {FF_BOOK_MAX_DEPTH} levels, got {depth}")
    memset(&decoder, 0, sizeof(decoder))
    decoder.symbols = &symbols.table
    decoder.brokers = NULL if brokers is None else &brokers.table
    decoder.recv_ns = recv_ns
    if number == FF_STREAM_BOOKS or number == FF_STREAM_ODD_BOOKS:
        row_size = ff_book_size(depth)
    else:
        row_size = ff_row_types[number].size
    PyObject_GetBuffer(body, &buffer, PyBUF_SIMPLE)
    try:
        if number != FF_STREAM_BOOKS and number != FF_STREAM_ODD_BOOKS and number != FF_STREAM_BROKERS:
            max_rows = buffer.len // 64 + 4  # short of room only when rows are unusually small
        while True:
            rows = PyByteArray_FromStringAndSize(NULL, max_rows * row_size)
            ff_lock_take(symbols.lock)
            n = decode_body(&decoder, number, push, kl_type, adjust, depth, <const uint8_t *>buffer.buf,
                            buffer.len, PyByteArray_AS_STRING(rows), max_rows)
            ff_lock_give(symbols.lock)
            if n != -FF_EROWS:
                break
            max_rows *= 2
    finally:
        PyBuffer_Release(&buffer)
    if n < 0:
        raise ValueError(ff_reason_name(-n).decode())
    PyByteArray_Resize(rows, n * row_size)
    return rows


cdef int decode_body(ff_opend_decoder *d, int stream, bint push, int32_t kl_type, int32_t adjust, size_t depth,
                     const uint8_t *body, size_t length, void *rows, size_t max_rows) noexcept nogil:
    if stream == FF_STREAM_TICKS:
        return ff_opend_decode_ticks(d, body, length, rows, max_rows)
    if stream == FF_STREAM_QUOTES:
        return ff_opend_decode_quotes(d, body, length, rows, max_rows)
    if stream == FF_STREAM_BARS and push:
        return ff_opend_decode_bars(d, body, length, rows, max_rows)
    if stream == FF_STREAM_BARS:
        return ff_opend_decode_bars_reply(d, kl_type, adjust, body, length, rows, max_rows)
    if stream == FF_STREAM_TIMESHARE:
        return ff_opend_decode_timeshare(d, body, length, rows, max_rows)
    if stream == FF_STREAM_BROKERS:
        return ff_opend_decode_brokers(d, body, length, rows)
    return ff_opend_decode_book(d, body, length, rows, depth)


def broker_name(SymbolTable brokers not None, int64_t broker):
    """Return the name of a broker by the id in rows of ``brokers``; None when none was seen."""
    cdef int64_t id
    brokers.follow()
    id = brokers.look_up(FF_BROKER_SPACE, <const uint8_t *>&broker, sizeof(broker))
    return None if id < 0 else brokers[id]


def name_broker(SymbolTable brokers not None, int64_t broker, str name not None):
    """Note the name of a broker, unless one is known; what cannot be a name is passed over."""
    cdef bytes data
    if broker_name(brokers, broker) is None:
        data = name.encode()
        ff_lock_take(brokers.lock)
        ff_opend_broker_name(&brokers.table, broker, data, len(data))
        ff_lock_give(brokers.lock)
