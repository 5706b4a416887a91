from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastfeed._core.native cimport ff_opend, ff_opend_frame, ff_order, ff_order_symbol
from fastfeed._core.symbols cimport SymbolTable


cdef class OpendMachine:
    cdef ff_opend machine       # window, decoder and counters
    cdef ff_order order         # of the ticks
    cdef readonly SymbolTable symbols
    cdef SymbolTable brokers    # names of brokers, or None
    cdef list rings             # by stream, None where nobody listens; with their callables and tables below
    cdef list deliver
    cdef list latest
    cdef dict held              # symbol id: bytearray of ticks that wait
    cdef dict overflowed        # symbol id: the times around the hole, of those for which there was no more room
    cdef readonly uint64_t held_rows  # that wait now
    cdef readonly uint64_t held_live  # of all that ever waited, those that were not from OpenD's cache
    cdef uint64_t most_held
    cdef readonly object error  # RemoteProtocolError once framing is lost
    cdef size_t window_bytes    # of a read
    cdef bint busy              # `deliver` runs user code, which must not call in again
    cdef bint stops_behind_init
    cdef readonly bytes init_sha1  # of a reply to InitConnect, while the machine has stopped behind it
    cdef uint64_t begun_at      # the counter of bytes at the beginning of this stream

    cdef list process(self, const uint8_t **p, size_t *left)
    cdef int enter(self, bint stopped=*) except -1
    cdef int keep(self, const uint8_t *p, size_t n) except -1
    cdef int publish(self) except -1
    cdef ff_order_symbol *order_of(self, uint32_t number) except NULL
    cdef int let_go(self, uint32_t number, const unsigned char[::1] rows) except -1
    cdef int hold_rows(self, const ff_opend_frame *frame) except -1
    cdef int write_rows(self, int stream, const uint8_t *rows, size_t n) except -1
    cdef int fail(self, int status, const uint8_t *p, size_t left) except -1
