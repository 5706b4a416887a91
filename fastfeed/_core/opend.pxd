from libc.stdint cimport uint8_t, uint64_t

from fastfeed._core.native cimport ff_opend
from fastfeed._core.ring cimport Ring
from fastfeed._core.symbols cimport SymbolTable


cdef class OpendMachine:
    cdef ff_opend machine       # window, decoder and counters
    cdef readonly SymbolTable symbols
    cdef readonly Ring ring
    cdef object deliver
    cdef readonly object error  # RemoteProtocolError once framing is lost
    cdef size_t window_bytes    # of a read
    cdef bint busy              # `deliver` runs user code, which must not call in again
    cdef bint stops_behind_init
    cdef readonly bytes init_sha1  # of a reply to InitConnect, while the machine has stopped behind it
    cdef uint64_t begun_at      # the counter of bytes at the beginning of this stream

    cdef list process(self, const uint8_t **p, size_t *left)
    cdef int enter(self, bint stopped=*) except -1
    cdef int keep(self, const uint8_t *p, size_t n) except -1
    cdef uint64_t publish(self, uint64_t before) except? 0
    cdef int fail(self, int status, const uint8_t *p, size_t left) except -1
