from fastfeed._core.native cimport ff_counts, ff_meter, ff_meters, ff_reader, ff_readers


cdef class Latency:
    cdef ff_counts counts


cdef class Meters:
    cdef ff_meters meters
    cdef bint writes
    cdef int pid                # who made them

    cdef bint is_own(self) noexcept


cdef class Meter:
    cdef Meters owner           # whose memory it is
    cdef ff_meter *meter        # sinks measure through it
    cdef bint closed

    cdef void give_back(self) noexcept


cdef class ReaderSlots:
    cdef ff_readers readers


cdef class ReaderSlot:
    cdef ReaderSlots owner
    cdef ff_reader *reader
