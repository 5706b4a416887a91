from fastfeed._core.native cimport ff_latest, ff_lock


cdef class LatestTable:
    cdef ff_latest table        # machines write through its address
    cdef bint writes
    cdef ff_lock *lock          # of those machines, see SymbolTable
    cdef object locker
