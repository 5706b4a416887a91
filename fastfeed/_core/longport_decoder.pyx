"""The decoder of LongPort's bodies without packets and without a network: for pulls, tests and benchmarks."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from fastfeed._core.native cimport (
    FF_BOOK_MAX_DEPTH,
    FF_EROWS,
    FF_LONGPORT_BROKERS,
    FF_LONGPORT_CANDLESTICKS,
    FF_LONGPORT_DEPTH,
    FF_LONGPORT_HISTORY_CANDLESTICKS,
    FF_LONGPORT_INTRADAY,
    FF_LONGPORT_PUSH_BROKERS,
    FF_LONGPORT_PUSH_DEPTH,
    FF_LONGPORT_PUSH_QUOTE,
    FF_LONGPORT_PUSH_TRADES,
    FF_LONGPORT_QUOTES,
    FF_LONGPORT_TRADES,
    FF_REASONS,
    FF_STREAM_BARS,
    FF_STREAM_BROKERS,
    FF_STREAM_QUOTES,
    FF_STREAM_TICKS,
    FF_STREAM_TIMESHARE,
    ff_book_size,
    ff_lock_give,
    ff_lock_take,
    ff_longport_decode_push,
    ff_longport_decode_push_any,
    ff_longport_decode_response,
    ff_longport_decoder,
    ff_longport_decoder_free,
    ff_longport_decoder_init,
    ff_longport_decoder_reset,
    ff_longport_max_rows,
    ff_longport_seed_quotes,
    ff_quote,
    ff_reason_name,
    ff_row_types,
)
from fastfeed._core.symbols cimport SymbolTable


cdef size_t row_size(unsigned command, size_t depth) except 0:
    if command in (FF_LONGPORT_PUSH_QUOTE, FF_LONGPORT_QUOTES):
        return ff_row_types[<int>FF_STREAM_QUOTES].size
    if command in (FF_LONGPORT_PUSH_DEPTH, FF_LONGPORT_DEPTH):
        return ff_book_size(depth)
    if command in (FF_LONGPORT_PUSH_BROKERS, FF_LONGPORT_BROKERS):
        return ff_row_types[<int>FF_STREAM_BROKERS].size
    if command in (FF_LONGPORT_PUSH_TRADES, FF_LONGPORT_TRADES):
        return ff_row_types[<int>FF_STREAM_TICKS].size
    if command == FF_LONGPORT_INTRADAY:
        return ff_row_types[<int>FF_STREAM_TIMESHARE].size
    if command in (FF_LONGPORT_CANDLESTICKS, FF_LONGPORT_HISTORY_CANDLESTICKS):
        return ff_row_types[<int>FF_STREAM_BARS].size
    raise ValueError(f"expected a command whose bodies have rows, got {command}")


cdef int check_depth(Py_ssize_t depth) except -1:
    if not 1 <= depth <= FF_BOOK_MAX_DEPTH:
        raise ValueError(f"expected a depth of 1 to {FF_BOOK_MAX_DEPTH} levels, got {depth}")
    return 0


cdef int check_result(int n) except -1:
    if n < 0:
        raise ValueError(ff_reason_name(-n).decode())
    return n


cdef class LongportDecoder:
    """What is known of each symbol, and pushes merged into it.

    Parameters
    ----------
    symbols : SymbolTable
        Where symbols get their ids.
    depth : int
        Levels a side of the rows of books, 1 to 1000.
    generic : bool
        Leave out the short ways for canonical bodies.
    """

    cdef SymbolTable symbols
    cdef ff_longport_decoder decoder
    cdef bint generic

    def __cinit__(self, SymbolTable symbols not None, *, Py_ssize_t depth=10, bint generic=False):
        check_depth(depth)
        self.symbols = symbols
        self.generic = generic
        ff_longport_decoder_init(&self.decoder, &symbols.table, depth)

    def __dealloc__(self):
        ff_longport_decoder_free(&self.decoder)

    def push(self, unsigned command, body, int64_t recv_ns):
        """Return the rows of a push (101 to 104): whole rows of the stream's dtype, possibly none.

        Raises
        ------
        ValueError
            The push is rejected; the text is the reason's name.
        """
        cdef Py_buffer buffer
        cdef bytearray rows
        cdef size_t size, max_rows
        cdef int n
        if not FF_LONGPORT_PUSH_QUOTE <= command <= FF_LONGPORT_PUSH_TRADES:
            raise ValueError(f"expected the command of a push (101 to 104), got {command}")
        size = row_size(command, self.decoder.depth)
        self.decoder.recv_ns = recv_ns
        PyObject_GetBuffer(body, &buffer, PyBUF_SIMPLE)
        try:
            max_rows = ff_longport_max_rows(command, buffer.len)
            rows = PyByteArray_FromStringAndSize(NULL, max_rows * size)
            if self.generic:
                n = ff_longport_decode_push_any(&self.decoder, command, <const uint8_t *>buffer.buf, buffer.len,
                                                PyByteArray_AS_STRING(rows), max_rows)
            else:
                n = ff_longport_decode_push(&self.decoder, command, <const uint8_t *>buffer.buf, buffer.len,
                                            PyByteArray_AS_STRING(rows), max_rows)
        finally:
            PyBuffer_Release(&buffer)
        PyByteArray_Resize(rows, check_result(n) * size)
        return rows

    def push_all(self, unsigned command, data, ends, int64_t recv_ns, rows):
        """Decode pushes that lie one behind the other; for benchmarks.

        Parameters
        ----------
        command : int
            101 to 104, of all of them.
        data : bytes-like
        ends : buffer of uint64
            Where each push ends.
        recv_ns : int
        rows : writable buffer
            Where rows go; when it is full, from its beginning again.

        Returns
        -------
        int
            How many rows there were.

        Raises
        ------
        ValueError
            A push is rejected, or its rows do not fit into `rows`; the text is the reason's name.
        """
        cdef Py_buffer source, places, out
        cdef const uint64_t *at
        cdef const uint8_t *body
        cdef uint8_t *row
        cdef size_t size, room, free, i, count, start = 0, total = 0
        cdef int n = 0
        if not FF_LONGPORT_PUSH_QUOTE <= command <= FF_LONGPORT_PUSH_TRADES:
            raise ValueError(f"expected the command of a push (101 to 104), got {command}")
        size = row_size(command, self.decoder.depth)
        self.decoder.recv_ns = recv_ns
        PyObject_GetBuffer(data, &source, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(ends, &places, PyBUF_SIMPLE)
            try:
                PyObject_GetBuffer(rows, &out, PyBUF_WRITABLE)
                try:
                    at = <const uint64_t *>places.buf
                    body = <const uint8_t *>source.buf
                    row = <uint8_t *>out.buf
                    room = free = out.len // size
                    count = places.len // sizeof(uint64_t)
                    for i in range(count):
                        if at[i] < start or at[i] > <size_t>source.len:
                            raise ValueError(f"expected ends that rise to {source.len} at most, got {at[i]}")
                        if free == 0:
                            row = <uint8_t *>out.buf
                            free = room
                        n = ff_longport_decode_push(&self.decoder, command, body + start, at[i] - start, row, free)
                        if n == -FF_EROWS and free < room:
                            row = <uint8_t *>out.buf
                            free = room
                            n = ff_longport_decode_push(&self.decoder, command, body + start, at[i] - start, row, free)
                        if n < 0:
                            break
                        row += n * size
                        free -= n
                        total += n
                        start = at[i]
                finally:
                    PyBuffer_Release(&out)
            finally:
                PyBuffer_Release(&places)
        finally:
            PyBuffer_Release(&source)
        check_result(n)
        return total

    def seed(self, rows):
        """Take rows of quotes (a writable buffer of whole rows) as what is known; they become what is known now."""
        cdef Py_buffer buffer
        cdef size_t size = ff_row_types[<int>FF_STREAM_QUOTES].size
        cdef int rc
        PyObject_GetBuffer(rows, &buffer, PyBUF_WRITABLE)
        try:
            rc = ff_longport_seed_quotes(&self.decoder, <ff_quote *>buffer.buf, buffer.len // size)
        finally:
            PyBuffer_Release(&buffer)
        check_result(rc)

    def reset(self):
        """Forget sequences and what was merged, as for a new connection."""
        ff_longport_decoder_reset(&self.decoder)

    def stats(self):
        """Return the counters; of `dropped` those that are not 0, by reason."""
        cdef int i
        dropped = {}
        for i in range(FF_REASONS):
            if self.decoder.dropped[i]:
                dropped[ff_reason_name(i).decode()] = self.decoder.dropped[i]
        return {
            "old": self.decoder.old,
            "end_of_day": self.decoder.end_of_day,
            "cut_levels": self.decoder.cut_levels,
            "dropped": dropped,
        }


def decode_response(unsigned command, body, SymbolTable symbols not None, int64_t recv_ns, *, Py_ssize_t depth=10,
                    int32_t interval_s=0, uint8_t kind=0):
    """Return the rows in the response to a request.

    Parameters
    ----------
    command : int
        11 quotes (a row for each session that is there), 14 a book, 15 brokers, 17 ticks, 18 timeshare,
        19 and 27 bars.
    body : bytes-like
        Of a response with status 0; when it is empty there are no rows.
    symbols : SymbolTable
        Where symbols get their ids.
    recv_ns : int
        The time of reception for the rows.
    depth : int
        Of books: the levels of the rows, 1 to 1000.
    interval_s : int
        Of bars: what was asked for; a response does not say.
    kind : int
        Of bars: the period that was asked for.

    Returns
    -------
    bytearray
        Whole rows of the stream's dtype, possibly none. `adjust` of bars is 0.

    Raises
    ------
    ValueError
        The body cannot be read; the text is the reason's name. Or there are no rows for such a command.
    """
    cdef ff_longport_decoder decoder
    cdef Py_buffer buffer
    cdef bytearray rows
    cdef size_t size, most, max_rows
    cdef int n
    check_depth(depth)
    if command >= FF_LONGPORT_PUSH_QUOTE:
        raise ValueError(f"expected a command of responses, got {command}")
    size = row_size(command, depth)
    ff_longport_decoder_init(&decoder, &symbols.table, depth)
    decoder.recv_ns = recv_ns
    PyObject_GetBuffer(body, &buffer, PyBUF_SIMPLE)
    try:
        most = ff_longport_max_rows(command, buffer.len)
        max_rows = min(most, <size_t>(buffer.len // 32 + 4))  # short of room only when rows are unusually small
        while True:
            rows = PyByteArray_FromStringAndSize(NULL, max_rows * size)
            ff_lock_take(symbols.lock)
            n = ff_longport_decode_response(&decoder, command, <const uint8_t *>buffer.buf, buffer.len, interval_s,
                                            kind, PyByteArray_AS_STRING(rows), max_rows)
            ff_lock_give(symbols.lock)
            if n != -FF_EROWS or max_rows >= most:
                break
            max_rows = min(most, 2 * max_rows)
    finally:
        PyBuffer_Release(&buffer)
        ff_longport_decoder_free(&decoder)
    PyByteArray_Resize(rows, check_result(n) * size)
    return rows
