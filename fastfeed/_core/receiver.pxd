from fastfeed._core.machine cimport Machine
from fastfeed._core.native cimport ff_receiver


cdef class Receiver:
    cdef ff_receiver receiver
    cdef bint made              # and not yet to be freed
    cdef readonly bint spin
    cdef readonly object cpu
    cdef list connections       # (machine, connection)
    cdef readonly object loop   # calls `drain()`

    cdef int take_out(self, Machine machine) except -1
    cdef int show(self, unsigned dirty) except -1
    cdef int drain_one(self, Machine machine, connection) except -1
