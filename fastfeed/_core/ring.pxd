from libc.stdint cimport int64_t, uint64_t

from fastfeed._core.meter cimport ReaderSlot
from fastfeed._core.native cimport ff_reader, ff_region, ff_ring


cdef class Bells:
    cdef ff_region region


cdef class Ring:
    cdef ff_ring ring           # the writer's handle; machines write through its address
    cdef Bells bells            # that its own one is part of, None: nobody sleeps
    cdef readonly bint writes   # False: of another process, for reading only
    cdef public bint replaced   # readers are to ask their stream
    cdef Py_ssize_t shape[1]    # of the exported buffer, in bytes
    cdef Py_ssize_t strides[1]


cdef class RingReader:
    cdef Ring ring
    cdef object rows            # NumPy array over both mappings of the ring
    cdef object nothing         # no rows of it
    cdef object ahead           # the row at `ahead_at`, or None
    cdef uint64_t ahead_at
    cdef readonly uint64_t position   # number of the next row to read
    cdef readonly uint64_t lost       # rows overwritten before they were read
    cdef uint64_t last          # number of the first row handed out last
    cdef bint whole             # False: they were overwritten in a ring that this reader has left
    cdef int64_t idle_ns        # when on_idle() was called last
    cdef ReaderSlot slot        # where it says how far it is, None: nowhere
    cdef ff_reader *reader      # the same, NULL without one

    cdef object take(self, object limit)
    cdef bint arrive(self, int64_t spin_ns, int64_t timeout_ns) except -1
    cdef int prepare(self) except -1


cdef class BlockingReader(RingReader):
    cdef public int64_t spin_ns   # how long it looks again and again before it sleeps
    cdef public int64_t slice_ns  # how long it waits before it asks `wait()`
