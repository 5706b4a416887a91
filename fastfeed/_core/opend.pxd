from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastfeed._core.machine cimport Machine
from fastfeed._core.native cimport ff_opend, ff_opend_frame, ff_order, ff_order_symbol
from fastfeed._core.symbols cimport SymbolTable


cdef class OpendMachine(Machine):
    cdef ff_opend machine       # window, decoder and counters
    cdef ff_order order         # of the ticks
    cdef SymbolTable brokers    # names of brokers, or None
    cdef dict held              # symbol id: bytearray of ticks that wait
    cdef dict overflowed        # symbol id: the times around the hole, of those for which there was no more room
    cdef readonly uint64_t held_rows  # that wait now
    cdef readonly uint64_t held_live  # of all that ever waited, those that were not from OpenD's cache
    cdef uint64_t most_held
    cdef bint stops_behind_init
    cdef readonly bytes init_sha1  # of a reply to InitConnect, while the machine has stopped behind it
    cdef uint64_t begun_at      # the counter of bytes at the beginning of this stream

    cdef ff_order_symbol *order_of(self, uint32_t number) except NULL
    cdef int let_go(self, uint32_t number, const unsigned char[::1] rows) except -1
    cdef int hold_rows(self, const ff_opend_frame *frame) except -1
    cdef int fail(self, int status, const uint8_t *p, size_t left) except -1
