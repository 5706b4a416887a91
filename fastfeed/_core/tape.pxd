from libc.stdint cimport uint64_t

from fastfeed._core.native cimport ff_piece, ff_pump, ff_tape
from fastfeed._core.symbols cimport SymbolTable


cdef class Tape:
    cdef ff_tape tape
    cdef ff_pump pump
    cdef ff_piece found            # that `take()` gave last
    cdef readonly SymbolTable symbols
    cdef readonly list machines    # that record here, by number

    cdef int check(self, int status) except? -1
