from fastfeed._core.native cimport ff_symbols


cdef class SymbolTable:
    cdef ff_symbols table
    cdef list names             # str by id, filled up when somebody asks
    cdef object __weakref__

    cdef str name(self, Py_ssize_t id)
    cdef Py_ssize_t find(self, str symbol) except? -2
    cdef Py_ssize_t find_exactly(self, str symbol) except? -2
