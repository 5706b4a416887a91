from libc.stdint cimport uint64_t

from fastfeed._core.machine cimport HoldingMachine
from fastfeed._core.native cimport ff_frame, ff_longport


cdef class LongportMachine(HoldingMachine):
    cdef ff_longport machine   # window, decoder and counters
    cdef dict again            # symbol id: how often a tick that was written will come once more, by what it says
    cdef set following         # symbol ids: live ticks are written, and copies of them wait
    cdef dict last_second      # symbol id: latest time of ticks before it was held, and how many had it
    cdef size_t limit_bytes
    cdef uint64_t begun_at     # the counter of bytes at the beginning of this stream

    cdef list unzip(self, list messages, ff_frame *packet)
