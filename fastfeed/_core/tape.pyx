"""The tape on which machines record what they received, and how it gets into files; see
native/include/fastfeed/tap.h and capture.h.
"""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastfeed._core.native cimport (
    FF_CELL,
    FF_CHUNK_MOST,
    FF_CODEC_NONE,
    FF_CODEC_ZSTD,
    FF_PUMP_ASKED,
    FF_PUMP_FULL,
    FF_PUMP_LAPPED,
    FF_PUMP_PIECE,
    FF_PUMP_REACHED,
    FF_TAPE_MOST,
    ff_chunk,
    ff_chunk_init,
    ff_chunk_read,
    ff_crc32c,
    ff_piece,
    ff_pump_done,
    ff_pump_init,
    ff_pump_run,
    ff_pump_skip,
    ff_pump_wait,
    ff_tape_free,
    ff_tape_init,
)
from fastfeed._core.symbols cimport SymbolTable

cimport cython

CELL = FF_CELL
CHUNK_MOST = FF_CHUNK_MOST
RECORD_MOST = FF_TAPE_MOST
CODEC_NONE = FF_CODEC_NONE
CODEC_ZSTD = FF_CODEC_ZSTD
#: What `Tape.run()` and `Tape.wait()` return.
ASKED = FF_PUMP_ASKED
PIECE = FF_PUMP_PIECE
LAPPED = FF_PUMP_LAPPED
FULL = FF_PUMP_FULL
REACHED = FF_PUMP_REACHED


@cython.final
cdef class Tape:
    """A ring of records, and the one who writes it to files: a thread of its own.

    Parameters
    ----------
    symbols : SymbolTable
        Of the machines that will record here.
    buffer_bytes : int
        A power of two, at least 1 MiB.
    flush_ns : int
        Records wait no longer before they are written.
    """

    def __cinit__(self, SymbolTable symbols not None, size_t buffer_bytes, int64_t flush_ns):
        if buffer_bytes < 1 << 20 or buffer_bytes & (buffer_bytes - 1) or buffer_bytes > 1 << 34:
            raise ValueError(f"expected buffer_bytes, a power of two from {1 << 20} to {1 << 34}, got {buffer_bytes}")
        if ff_tape_init(&self.tape, buffer_bytes, &symbols.table) < 0:
            raise MemoryError(f"no memory for a buffer of {buffer_bytes} bytes")
        ff_pump_init(&self.pump, &self.tape.ring, flush_ns)
        self.symbols = symbols
        self.machines = []

    def __dealloc__(self):
        ff_tape_free(&self.tape)

    def write_to(self, int fd, uint64_t file_bytes, uint64_t most_bytes):
        """Write to a file from now on, which has so many bytes and shall get about so many."""
        self.pump.fd = fd
        self.pump.file_bytes = self.pump.reserved = file_bytes
        self.pump.most_bytes = most_bytes

    def run(self):
        """Write chunks, without the interpreter, until there is a reason to return: ASKED, LAPPED, FULL or REACHED.

        Raises
        ------
        OSError
            The file cannot be written; it is cut to what was whole, where that was possible.
        """
        cdef int status
        with nogil:
            status = ff_pump_run(&self.pump)
        return self.check(status)

    def wait(self):
        """Wait for a piece of records: PIECE, ASKED, LAPPED, FULL or REACHED."""
        cdef int status
        if self.pump.file_bytes >= self.pump.most_bytes and self.pump.until == <uint64_t>-1:
            return FF_PUMP_FULL
        with nogil:
            status = ff_pump_wait(&self.pump, &self.found)
        return self.check(status)

    cdef int check(self, int status) except? -1:
        if status < 0:
            raise OSError(-status, os.strerror(-status))
        return status

    def piece(self):
        """Return a copy of the records that `wait()` has found; `done()` tells whether they were whole until then."""
        cdef bytes copy = PyBytes_FromStringAndSize(NULL, self.found.bytes)
        cdef char *place = PyBytes_AS_STRING(copy)
        with nogil:
            memcpy(place, self.found.data, self.found.bytes)
        return copy

    def head(self, int codec, data):
        """Return the head of the chunk of that piece, of which `data` is what is stored."""
        cdef ff_chunk chunk
        cdef Py_buffer buffer
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            with nogil:
                ff_chunk_init(&chunk, self.pump.number, &self.found, <int>codec, buffer.buf, buffer.len)
        finally:
            PyBuffer_Release(&buffer)
        return PyBytes_FromStringAndSize(<const char *>&chunk, sizeof(chunk))

    def done(self, size_t file_bytes):
        """Take note that the piece was written, as so many bytes; return whether it was whole until now."""
        return ff_pump_done(&self.pump, &self.found, file_bytes)

    def ask(self, bint asked=True):
        """Have everything written that was recorded before, and `run()` and `wait()` return."""
        self.pump.asked = asked

    def skip(self, uint64_t position):
        """Go on at a position, and return how many bytes were lost before it."""
        return ff_pump_skip(&self.pump, position)

    def until(self, position):
        """Go no further than to a position; None: without an end."""
        self.pump.until = <uint64_t>-1 if position is None else position

    def wrote(self, size_t file_bytes):
        """Take note of a chunk that was written without this."""
        self.pump.number += 1
        self.pump.file_bytes += file_bytes
        self.pump.stored_bytes += file_bytes

    @property
    def position(self):
        """How many cells were written, or passed over."""
        return self.pump.position

    @property
    def number(self):
        """Of the next chunk."""
        return self.pump.number

    @property
    def file_bytes(self):
        """Of the file, as far as it is whole."""
        return self.pump.file_bytes

    def counts(self):
        """Return bytes of records written, bytes in files, and records."""
        return self.pump.bytes, self.pump.stored_bytes, self.pump.records


def crc32c(data, uint32_t crc=0):
    """Return the CRC-32C of bytes, behind those of which `crc` is it."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        with nogil:
            crc = ff_crc32c(crc, buffer.buf, buffer.len)
    finally:
        PyBuffer_Release(&buffer)
    return crc


def read_chunk(int fd, place):
    """Read the next chunk of a file, without the interpreter.

    Parameters
    ----------
    fd : int
    place : buffer
        Writable memory for the data. What does not fit is not read.

    Returns
    -------
    tuple
        How many bytes were read, of head and data; the head, as far as it was; the CRC that it should have.

    Raises
    ------
    OSError
    """
    cdef ff_chunk chunk
    cdef Py_buffer buffer
    cdef ptrdiff_t n
    cdef uint32_t crc = 0
    PyObject_GetBuffer(place, &buffer, PyBUF_WRITABLE)
    try:
        with nogil:
            n = ff_chunk_read(fd, &chunk, buffer.buf, buffer.len, &crc)
    finally:
        PyBuffer_Release(&buffer)
    if n < 0:
        raise OSError(-n, os.strerror(-n))
    return n, PyBytes_FromStringAndSize(<const char *>&chunk, min(n, <ptrdiff_t>sizeof(chunk))), crc


def own_chunk(uint64_t number, int64_t recv_ns, uint32_t records, bytes data not None):
    """Return a chunk of records that were on no tape."""
    cdef ff_chunk chunk
    cdef ff_piece piece
    piece.data = <const uint8_t *><const char *>data
    piece.bytes = len(data)
    piece.records = records
    piece.recv_ns = recv_ns
    ff_chunk_init(&chunk, number, &piece, FF_CODEC_NONE, piece.data, piece.bytes)
    return PyBytes_FromStringAndSize(<const char *>&chunk, sizeof(chunk)) + data
