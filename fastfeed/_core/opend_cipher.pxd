from fastfeed._core.native cimport ff_opend_cipher


cdef class OpendCipher:
    cdef ff_opend_cipher cipher  # with the key: nothing of it leaves this module
    cdef readonly str mode
