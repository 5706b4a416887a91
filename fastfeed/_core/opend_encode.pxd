from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from fastfeed._core.native cimport ff_opend_out_security, ff_opend_out_tick


# A trade of a simulation, of no vendor in particular.
cdef struct sim_tick:
    int64_t time_ns
    double price
    double volume
    uint32_t symbol  # index of its symbol in the tape
    int32_t side     # 1 buyer, -1 seller, 0 neither


cdef struct offset_change:
    int64_t from_s  # epoch seconds
    int32_t offset_s


cdef struct out_security:
    ff_opend_out_security wire
    size_t changes_start  # of its UTC offsets in `changes`; at least one
    size_t changes_end


cdef class TickEncoder:
    cdef out_security *securities
    cdef offset_change *changes
    cdef uint8_t *scratch
    cdef readonly size_t count  # of the securities

    cdef size_t _checked(self, const sim_tick[::1] rows, const uint8_t[::1] wanted,
                         size_t rows_per_push) except? 0
    cdef void _fill(self, ff_opend_out_tick *out, const sim_tick *row, int64_t position,
                    int64_t floor_s) noexcept nogil
