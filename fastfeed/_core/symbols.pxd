from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastfeed._core.native cimport ff_journal, ff_lock, ff_symbols


cdef class SymbolTable:
    cdef ff_symbols table
    cdef ff_lock *lock          # to be taken around every use of the table; NULL: nobody else uses it
    cdef object locker          # whose lock it is
    cdef list names             # str by id, filled up when somebody asks
    cdef ff_journal journal     # of a shared table: written, or followed
    cdef bint follows
    cdef uint64_t followed      # entries of the journal
    cdef object __weakref__

    cdef int follow(self) except -1

    cdef str name(self, Py_ssize_t id)
    cdef Py_ssize_t find(self, str symbol) except? -2
    cdef Py_ssize_t find_exactly(self, str symbol) except? -2
    cdef int64_t look_up(self, uint32_t space, const uint8_t *key, size_t length) noexcept
