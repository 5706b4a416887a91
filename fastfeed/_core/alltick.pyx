"""AllTick's messages: JSON text to rows."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from fastfeed._core.native cimport (
    FF_ALLTICK_BOOKS,
    FF_ALLTICK_IGNORED,
    FF_ALLTICK_MAX_MESSAGE,
    FF_ALLTICK_SESSION,
    FF_ALLTICK_TICKS,
    FF_BOOK_MAX_DEPTH,
    FF_STREAM_BOOKS,
    FF_STREAM_TICKS,
    ff_alltick_decode,
    ff_alltick_decode_any,
    ff_alltick_decode_reply,
    ff_alltick_decoder,
    ff_alltick_max_rows,
    ff_alltick_rows,
    ff_book,
    ff_book_size,
    ff_reason_name,
    ff_tick,
)
from fastfeed._core.symbols cimport SymbolTable

__all__ = ["decode_message", "decode_reply"]

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
        if generic:
            kind = ff_alltick_decode_any(&decoder, <const uint8_t *>buffer.buf, buffer.len, &out)
        else:
            kind = ff_alltick_decode(&decoder, <const uint8_t *>buffer.buf, buffer.len, &out)
    finally:
        PyBuffer_Release(&buffer)
    if kind < 0:
        raise ValueError(ff_reason_name(-kind).decode())
    PyByteArray_Resize(rows, out.count * (ff_book_size(depth) if kind == FF_ALLTICK_BOOKS else sizeof(ff_tick)))
    return KINDS[kind], rows


def decode_reply(str stream not None, data, SymbolTable symbols not None, int64_t recv_ns, Py_ssize_t depth=10):
    """Return the rows in the reply to an HTTP request.

    Parameters
    ----------
    stream : {"ticks", "books"}
        What was asked for; a reply does not say.
    data : bytes-like
        The body. Whether it says that it is an error is not looked at: such a body has no rows and is rejected.
    symbols : SymbolTable
        A code that is new gets its id there.
    recv_ns : int
        The time of reception for the rows.
    depth : int
        Of books: the levels of the rows, 1 to 1000.

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
    row_size = ff_book_size(depth) if books else sizeof(ff_tick)
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        max_rows = ff_alltick_max_rows(min(buffer.len, <Py_ssize_t>FF_ALLTICK_MAX_MESSAGE))
        rows = PyByteArray_FromStringAndSize(NULL, max_rows * row_size)
        n = ff_alltick_decode_reply(&decoder, FF_STREAM_BOOKS if books else FF_STREAM_TICKS,
                                    <const uint8_t *>buffer.buf, buffer.len, PyByteArray_AS_STRING(rows), max_rows)
    finally:
        PyBuffer_Release(&buffer)
    if n < 0:
        raise ValueError(ff_reason_name(-n).decode())
    PyByteArray_Resize(rows, n * row_size)
    return rows
