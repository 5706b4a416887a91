"""A machine for what is rows already, sent by another fastfeed: they go into rings, tables and meters as decoded ones do."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy

from fastfeed._core.machine cimport check
from fastfeed._core.native cimport (
    FF_SESSIONS,
    FF_STREAM_QUOTES,
    FF_STREAMS,
    ff_latest_put,
    ff_lock_give,
    ff_lock_take,
    ff_quote,
    ff_ring,
    ff_ring_claim,
    ff_sink_publish,
    ff_sink_written,
)

cimport cython
from fastfeed._core.symbols cimport SymbolTable

from fastfeed._core.ring import row_type
from fastfeed.errors import InternalError, LocalProtocolError


@cython.final
cdef class RowMachine(Machine):
    """Rows in, rows out: it gives them the ids of its own symbols.

    Parameters
    ----------
    symbols
        Whose ids rows get.
    depth : int
        Levels of the books' rows.
    """

    def __cinit__(self, SymbolTable symbols not None, *, size_t depth=10, **options):
        cdef int stream
        if FF_STREAMS > MOST_STREAMS:
            raise InternalError(f"expected at most {MOST_STREAMS} streams")
        self.sink = &self.rows_sink
        for stream in range(FF_STREAMS):
            layout = row_type(stream, depth)
            self.symbol_at[stream] = layout["offsets"][layout["names"].index("symbol")]

    cdef int enter_reading(self, bint stopped=False) except -1:
        raise LocalProtocolError("this machine takes rows, and no bytes of a vendor's")

    def add(self, int stream, uint32_t symbol, rows):
        """Write rows of one symbol, given as their bytes; `show_added()` publishes them.

        Returns how many there are. Where the ring is full of what is not published, that is published before.

        Raises
        ------
        ValueError
            Nobody listens to the stream, or these are no whole rows.
        IndexError
            There is no such symbol.
        """
        cdef Py_buffer buffer
        cdef size_t size
        if not 0 <= stream < FF_STREAMS or self.sink.rings[stream] == NULL:
            raise ValueError(f"expected a stream that is listened to, got {stream}")
        if symbol >= self.symbols.table.count:
            raise IndexError(f"expected the id of a symbol, got {symbol}")
        self.enter()
        size = self.sink.rings[stream].row_size
        PyObject_GetBuffer(rows, &buffer, PyBUF_SIMPLE)
        try:
            if <size_t>buffer.len % size:
                raise ValueError(f"expected whole rows of {size} bytes, got {buffer.len} bytes")
            self.copy(stream, symbol, <const uint8_t *>buffer.buf, <size_t>buffer.len // size)
            return <size_t>buffer.len // size
        finally:
            PyBuffer_Release(&buffer)

    def show_added(self):
        """Publish what was added, and deliver it."""
        self.enter()
        if self.sink.dirty:
            self.publish()

    cdef int copy(self, int stream, uint32_t symbol, const uint8_t *rows, size_t n) except -1:
        cdef ff_ring *ring = self.sink.rings[stream]
        cdef size_t most = <size_t>ring.capacity // 4
        cdef size_t part
        cdef int rc
        while n:
            part = min(n, most)
            ff_lock_take(self.symbols.lock)
            rc = self.put(stream, symbol, rows, part)
            ff_lock_give(self.symbols.lock)
            check(rc)
            if self.sink.full:  # a quarter of the ring: a reader that keeps up loses nothing
                self.publish()
            rows += part * ring.row_size
            n -= part
        return 0

    cdef int put(self, int stream, uint32_t symbol, const uint8_t *rows, size_t n) noexcept:
        """Write rows that fit into the ring, under the lock. Returns 0 or a negative reason."""
        cdef ff_ring *ring = self.sink.rings[stream]
        cdef uint8_t *place = <uint8_t *>ff_ring_claim(ring, n)
        cdef size_t i
        memcpy(place, rows, n * ring.row_size)
        for i in range(n):
            memcpy(place + i * ring.row_size + self.symbol_at[stream], &symbol, sizeof(symbol))
        cdef int rc = self.keep_last(stream, symbol, place, n)
        ff_sink_written(self.sink, stream, n)
        return rc

    cdef int keep_last(self, int stream, uint32_t symbol, const uint8_t *rows, size_t n) noexcept:
        """Keep the last row of the symbol, of quotes that of each session, where that is kept."""
        cdef size_t size = self.sink.rings[stream].row_size
        cdef size_t i
        cdef uint8_t session
        cdef int rc = 0
        if self.sink.latest[stream] == NULL:
            return 0
        if stream != FF_STREAM_QUOTES:
            return ff_latest_put(self.sink.latest[stream], symbol, rows + (n - 1) * size)
        for i in range(n):
            session = (<const ff_quote *>(rows + i * size)).session
            if session < FF_SESSIONS and rc == 0:  # from another machine: it may be anything
                rc = ff_latest_put(self.sink.latest[stream], <size_t>symbol * FF_SESSIONS + session, rows + i * size)
        return rc
