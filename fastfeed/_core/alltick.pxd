from libc.stdint cimport uint32_t, uint64_t

from fastfeed._core.machine cimport Machine
from fastfeed._core.native cimport ff_alltick


cdef class AlltickMachine(Machine):
    cdef ff_alltick machine  # window, decoder and counters
    cdef uint64_t begun_at   # the counter of bytes at the beginning of this stream

    cdef int expect_one(self, uint32_t number, bint sided) except -1
