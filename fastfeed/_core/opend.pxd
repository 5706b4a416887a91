from libc.stdint cimport uint8_t, uint64_t

from fastfeed._core.machine cimport HoldingMachine
from fastfeed._core.native cimport ff_opend
from fastfeed._core.symbols cimport SymbolTable


cdef class OpendMachine(HoldingMachine):
    cdef ff_opend machine       # window, decoder and counters
    cdef SymbolTable brokers    # names of brokers, or None
    cdef bint stops_behind_init
    cdef readonly bytes init_sha1  # of a reply to InitConnect, while the machine has stopped behind it
    cdef uint64_t begun_at      # the counter of bytes at the beginning of this stream

    cdef list walk(self, const uint8_t **p, size_t *left)
    cdef int fail(self, int status, const uint8_t *p, size_t left) except -1
