from fastfeed._core.native cimport ff_latest


cdef class LatestTable:
    cdef ff_latest table        # machines write through its address
    cdef bint writes
