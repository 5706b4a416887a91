from libc.stdint cimport uint64_t

from fastfeed._core.machine cimport HoldingMachine
from fastfeed._core.native cimport ff_frame, ff_longport


cdef class LongportMachine(HoldingMachine):
    cdef ff_longport machine   # window, decoder and counters
    cdef dict again            # symbol id: how often a tick that was written will come once more, by what it says
    cdef set following         # symbol ids: live ticks are written, and copies of them wait
    cdef dict last_second      # symbol id: latest time of ticks before it was held, and how many had it
    cdef uint64_t begun_at     # the counter of bytes at the beginning of this stream

    cdef bytes zipped          # of one that plays a record: the body that waits, and its packet
    cdef ff_frame zipped_frame

    cdef list unzip(self, list messages, ff_frame *packet)
    cdef int begin_record(self, const ff_frame *packet) except -1
