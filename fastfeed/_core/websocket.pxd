from libc.stdint cimport uint8_t, uint64_t

from fastfeed._core.native cimport ff_ws


cdef class Framing:
    cdef ff_ws ws
    cdef bytearray pending  # an unfinished frame
    cdef uint64_t begun_at  # counters.bytes when this connection began
    cdef str source
    cdef int reason  # of the error
    cdef readonly object error

    cdef size_t take(self, const uint8_t *data, size_t length, list messages) except? 0
    cdef int fail(self, int reason, uint64_t offset, const uint8_t *data, size_t length) except -1
