"""The last row of each symbol, kept outside of the ring."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastfeed._core.native cimport ff_latest_free, ff_latest_init, ff_latest_put, ff_latest_row, ff_lock_give, ff_lock_take

cimport cython


@cython.final
cdef class LatestTable:
    """Rows by place, a symbol's id or a number made of it; see native/include/fastfeed/latest.h."""

    def __cinit__(self, size_t row_size):
        if not 0 < row_size <= 1 << 20:
            raise ValueError(f"expected a row_size of 1 to {1 << 20}, got {row_size}")
        ff_latest_init(&self.table, row_size)

    def __dealloc__(self):
        ff_latest_free(&self.table)

    def __len__(self):
        """Return how many places have a row."""
        return self.table.used

    def row(self, size_t place):
        """Return a copy of the row of a place, None when it has none."""
        cdef bytes copy = PyBytes_FromStringAndSize(NULL, self.table.row_size)
        cdef const uint8_t *row
        ff_lock_take(self.lock)
        row = ff_latest_row(&self.table, place)
        if row != NULL:
            memcpy(PyBytes_AS_STRING(copy), row, self.table.row_size)
        ff_lock_give(self.lock)
        return None if row == NULL else copy

    def put(self, size_t place, const unsigned char[::1] row not None):
        """Keep a copy of a row: for writers in Python."""
        if <size_t>row.shape[0] != self.table.row_size:
            raise ValueError(f"expected a row of {self.table.row_size} bytes, got {row.shape[0]}")
        cdef int rc
        ff_lock_take(self.lock)
        rc = ff_latest_put(&self.table, place, &row[0])
        ff_lock_give(self.lock)
        if rc < 0:
            raise MemoryError("no memory for another row")
