"""What the machines of all vendors have in common: received bytes in, rows into rings."""

from cpython.buffer cimport PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.string cimport memcpy
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from fastfeed._core.latest cimport LatestTable
from fastfeed._core.native cimport (
    FF_BOOK_MAX_DEPTH,
    FF_STREAM_BOOKS,
    FF_STREAM_ODD_BOOKS,
    FF_STREAMS,
    ff_book_size,
    ff_ring,
    ff_ring_claim,
    ff_row_types,
    ff_sink_publish,
    ff_sink_written,
    ff_window_commit,
    ff_window_space,
)
from fastfeed._core.ring cimport Ring

from fastfeed.errors import LocalProtocolError


cdef int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


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
        self.rings[stream] = ring
        self.deliver[stream] = deliver
        self.latest[stream] = latest
        self.sink.rings[stream] = &ring.ring
        self.sink.latest[stream] = NULL if latest is None else &latest.table

    def space(self, size_hint=-1):
        """Return writable memory for the next read; using it after the next call of any method, or after the
        machine's end, is an access to freed memory.

        The loop's size hint is passed over: one large read costs less than several small ones.
        """
        cdef size_t room
        self.enter()
        cdef uint8_t *place = ff_window_space(self.window, self.window_bytes // 2, &room)
        if place == NULL:
            raise MemoryError("no memory for the receive window")
        return PyMemoryView_FromMemory(<char *>place, room, PyBUF_WRITE)

    def received(self, size_t n):
        """Take note of n bytes written to the memory of `space()`, and process all that is complete.

        Returns what is not rows, as the vendor's machine says, or None.
        """
        cdef const uint8_t *p = NULL
        cdef size_t left = 0
        self.enter()
        if n > self.window.size - self.window.end:
            raise ValueError(f"expected at most {self.window.size - self.window.end} bytes, got {n}")
        self.recv_ns[0] = now_ns()
        ff_window_commit(self.window, n)
        return self.process(&p, &left)

    cdef list process(self, const uint8_t **p, size_t *left):
        """Work through the `left` bytes at p or, when there are none, through the window."""
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

    cdef int order_rows(self, int stream, void *rows, size_t *n) except -1:
        """Drop those of n rows that were delivered before."""
        return 0

    cdef int write_rows(self, int stream, const uint8_t *rows, size_t n) except -1:
        cdef ff_ring *ring = self.sink.rings[stream]
        cdef size_t most = <size_t>ring.capacity // 4
        cdef size_t part, kept
        cdef void *place
        while n:
            part = min(n, most)
            place = ff_ring_claim(ring, part)
            memcpy(place, rows, part * ring.row_size)
            kept = part
            self.order_rows(stream, place, &kept)
            ff_sink_written(self.sink, stream, kept)
            if kept:
                self.publish()
            rows += part * ring.row_size
            n -= part
        return 0

    cdef int enter(self, bint stopped=False) except -1:
        if self.busy:
            raise LocalProtocolError("a callback must not feed the machine that called it")
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
        cdef unsigned dirty = ff_sink_publish(self.sink)
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

    @property
    def rows(self):
        """Rows written, of all streams."""
        cdef uint64_t n = 0
        cdef int stream
        for stream in range(FF_STREAMS):
            n += self.sink.rows[stream]
        return n
