from libc.stdint cimport uint64_t

from fastfeed._core.machine cimport Machine
from fastfeed._core.native cimport ff_alltick


cdef class AlltickMachine(Machine):
    cdef ff_alltick machine  # window, decoder and counters
    cdef uint64_t begun_at   # the counter of bytes at the beginning of this stream
