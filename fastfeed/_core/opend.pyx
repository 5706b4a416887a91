"""OpenD's machine: received bytes in, rows into a ring, other packets out for the session."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from fastfeed._core.native cimport (
    FF_BOOK_MAX_DEPTH,
    FF_BROKER_SPACE,
    FF_EMAGIC,
    FF_EROWS,
    FF_ETIME,
    FF_FLAG_GAP,
    FF_OPEND_FRAME,
    FF_OPEND_NEED_MORE,
    FF_OPEND_ROWS_FULL,
    FF_REASONS,
    FF_STREAM_BARS,
    FF_STREAM_BOOKS,
    FF_STREAM_BROKERS,
    FF_STREAM_ODD_BOOKS,
    FF_STREAM_QUOTES,
    FF_STREAM_TICKS,
    FF_STREAM_TIMESHARE,
    FF_STREAMS,
    ff_book_size,
    ff_opend,
    ff_opend_commit,
    ff_opend_decode_bars,
    ff_opend_decode_bars_reply,
    ff_opend_decode_book,
    ff_opend_decode_brokers,
    ff_opend_decode_quotes,
    ff_opend_decode_ticks,
    ff_opend_decode_timeshare,
    ff_opend_decoder,
    ff_opend_frame,
    ff_opend_free,
    ff_opend_init,
    ff_opend_process,
    ff_opend_process_span,
    ff_opend_reset,
    ff_opend_space,
    ff_reason_name,
    ff_ring_publish,
    ff_row_types,
    ff_symbols_find,
)
from fastfeed._core.ring cimport Ring
from fastfeed._core.symbols cimport SymbolTable

cimport cython
from fastfeed.errors import LocalProtocolError, RemoteProtocolError


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


@cython.final
cdef class OpendMachine:
    """The receiving side of one OpenD connection, without a socket.

    Ask `space()` for memory, put bytes there, tell `received()` how many; or hand whole pieces to `feed()`.
    Rows go into the ring; after each publication `deliver` is called without arguments. Both calls return the
    packets that are not rows, as a list of (protocol id, serial number, body), or None.

    When the stream cannot be followed any more, `error` becomes a `RemoteProtocolError` and everything
    further is ignored until `reset()`.

    Parameters
    ----------
    symbols, ring
        Where symbols and ticks go.
    deliver : callable
    limit_bytes : int
        Longest body that is believed.
    check_sha1 : bool
        Compute the digest of every body; packets with a wrong one are dropped and counted.
    window_bytes : int
        What a single read may bring.
    """

    def __cinit__(self, SymbolTable symbols not None, Ring ring not None, deliver, *,
                  size_t limit_bytes=1 << 26, bint check_sha1=False, size_t window_bytes=1 << 18):
        if not 4096 <= window_bytes <= 1 << 30:
            raise ValueError(f"expected window_bytes of 4096 to {1 << 30}, got {window_bytes}")
        if not 1024 <= limit_bytes <= 1 << 30:
            raise ValueError(f"expected limit_bytes of 1024 to {1 << 30}, got {limit_bytes}")
        if ring.ring.row_size != 64:
            raise ValueError("expected a ring of ticks")
        self.symbols = symbols
        self.ring = ring
        self.deliver = deliver
        self.window_bytes = window_bytes
        if ff_opend_init(&self.machine, window_bytes, limit_bytes, &symbols.table, &ring.ring) < 0:
            raise MemoryError("no memory for a receive window")
        self.machine.check_sha1 = check_sha1

    def __dealloc__(self):
        ff_opend_free(&self.machine)

    def space(self, size_hint=-1):
        """Return writable memory for the next read; using it after the next call of any method, or after the
        machine's end, is an access to freed memory.

        The loop's size hint is passed over: one large read costs less than several small ones.
        """
        cdef size_t room
        self.enter()
        cdef uint8_t *place = ff_opend_space(&self.machine, self.window_bytes // 2, &room)
        if place == NULL:
            raise MemoryError("no memory for the receive window")
        return PyMemoryView_FromMemory(<char *>place, room, PyBUF_WRITE)

    def received(self, size_t n):
        """Take note of n bytes written to the memory of `space()`, and process all that is complete."""
        cdef const uint8_t *p = NULL
        cdef size_t left = 0
        self.enter()
        if n > self.machine.size - self.machine.end:
            raise ValueError(f"expected at most {self.machine.size - self.machine.end} bytes, got {n}")
        self.machine.decoder.recv_ns = now_ns()
        ff_opend_commit(&self.machine, n)
        return self.process(&p, &left)

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
        cdef size_t left
        self.enter()
        self.machine.decoder.recv_ns = now_ns() if recv_ns is None else recv_ns
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            p = <const uint8_t *>buffer.buf
            left = buffer.len
            if left and self.machine.start != self.machine.end:
                # An unfinished packet waits in the window: everything goes there behind it.
                self.keep(p, left)
                left = 0
            try:
                return self.process(&p, &left)
            finally:  # also when deliver() raised: the stream goes on
                if left:
                    self.keep(p, left)
        finally:
            PyBuffer_Release(&buffer)

    cdef list process(self, const uint8_t **p, size_t *left):
        """Work through the `left` bytes at p or, when there are none, through the window."""
        cdef ff_opend_frame frame
        cdef uint64_t before = self.machine.counters.ticks
        cdef list frames = None
        cdef int status
        cdef size_t used
        while True:
            if left[0]:
                status = ff_opend_process_span(&self.machine, p[0], left[0], &used, &frame)
                p[0] += used
                left[0] -= used
            else:
                status = ff_opend_process(&self.machine, &frame)
            if status == FF_OPEND_NEED_MORE:
                break
            if status == FF_OPEND_FRAME:
                frames = add_frame(frames, &frame)
            elif status == FF_OPEND_ROWS_FULL:
                before = self.publish(before)
            else:
                if left[0]:
                    self.fail(status, p[0], left[0])
                    left[0] = 0
                else:
                    self.fail(status, self.machine.window + self.machine.start,
                              self.machine.end - self.machine.start)
                break
        if before != self.machine.counters.ticks:
            self.publish(before)
        return frames

    def reset(self, bint gap=False):
        """Forget the stream and its error, for a new connection; counters go on.

        With gap, the next row carries the flag that rows may be missing before it.
        """
        self.enter()
        ff_opend_reset(&self.machine)
        self.begun_at = self.machine.counters.bytes
        self.machine.decoder.flags = FF_FLAG_GAP if gap else 0
        self.error = None

    cdef int enter(self) except -1:
        if self.busy:
            raise LocalProtocolError("a callback must not feed the machine that called it")
        return 0

    cdef int keep(self, const uint8_t *p, size_t n) except -1:
        cdef size_t room
        cdef uint8_t *place = ff_opend_space(&self.machine, n, &room)
        if place == NULL:
            raise MemoryError("no memory for the receive window")
        memcpy(place, p, n)
        ff_opend_commit(&self.machine, n)
        return 0

    cdef uint64_t publish(self, uint64_t before) except? 0:
        ff_ring_publish(&self.ring.ring)
        self.busy = True
        try:
            self.deliver()
        finally:
            self.busy = False
        return self.machine.counters.ticks

    cdef int fail(self, int status, const uint8_t *p, size_t left) except -1:
        cdef uint64_t offset = self.machine.counters.bytes - self.begun_at
        cdef bytes data = PyBytes_FromStringAndSize(<const char *>p, min(left, 16))
        if self.error is not None:
            return 0
        if status == -FF_EMAGIC:
            message = f"expected a packet that begins with b'FT', got {data[:2]!r}"
        else:
            message = f"expected a body within the limit, got a length of {int.from_bytes(data[12:16], 'little')} bytes"
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

    @property
    def rows(self):
        """Rows written."""
        return self.machine.counters.ticks

    def stats(self):
        """Return the counters; see `fastfeed.Decoder.stats`."""
        cdef int i
        rejected = {}
        for i in range(FF_REASONS):
            n = self.machine.counters.rejected[i] + self.machine.decoder.dropped[i]
            if n and i != FF_ETIME:
                rejected[ff_reason_name(i).decode()] = n
        return {
            "bytes": self.machine.counters.bytes,
            "packets": self.machine.counters.packets,
            "ticks": self.machine.counters.ticks,
            "frames": self.machine.counters.frames,
            "ignored": self.machine.counters.ignored,
            "unreadable_times": self.machine.decoder.dropped[<int>FF_ETIME],
            "rejected": rejected,
        }


cdef list add_frame(list frames, const ff_opend_frame *frame):
    if frames is None:
        frames = []
    frames.append((frame.proto_id, frame.serial,
                   PyBytes_FromStringAndSize(<const char *>frame.body, frame.length)))
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
            n = decode_body(&decoder, number, push, kl_type, adjust, depth, <const uint8_t *>buffer.buf,
                            buffer.len, PyByteArray_AS_STRING(rows), max_rows)
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
    cdef const uint8_t *key = <const uint8_t *>&broker
    cdef int64_t id = ff_symbols_find(&brokers.table, FF_BROKER_SPACE, key, sizeof(broker), key + sizeof(broker))
    return None if id < 0 else brokers[id]
