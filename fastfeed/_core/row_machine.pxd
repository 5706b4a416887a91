from libc.stdint cimport uint8_t, uint32_t

from fastfeed._core.machine cimport Machine
from fastfeed._core.native cimport ff_sink


cdef enum:
    MOST_STREAMS = 16


cdef class RowMachine(Machine):
    cdef ff_sink rows_sink
    cdef size_t symbol_at[MOST_STREAMS]  # where the symbol is in rows, by stream

    cdef int copy(self, int stream, uint32_t symbol, const uint8_t *rows, size_t n) except -1
    cdef int put(self, int stream, uint32_t symbol, const uint8_t *rows, size_t n) noexcept
    cdef int keep_last(self, int stream, uint32_t symbol, const uint8_t *rows, size_t n) noexcept
