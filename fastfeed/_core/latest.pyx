"""The last row of each symbol, kept outside of the ring."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno

from fastfeed._core.native cimport (
    ff_latest_attach,
    ff_latest_close,
    ff_latest_copy,
    ff_latest_create,
    ff_latest_map,
    ff_latest_put,
    ff_latest_used,
    ff_lock_give,
    ff_lock_take,
    ff_region_protect,
)

cimport cython
from fastfeed.errors import HubError, InternalError


@cython.final
cdef class LatestTable:
    """Rows by place, a symbol's id or a number made of it; see native/include/fastfeed/latest.h.

    Parameters
    ----------
    row_size : int
        A multiple of 64.
    places : int
        How many there can be.
    fd : int
        The file that it lies in; without it, memory of this process alone.
    writes : bool
        Whether this is the writer of that file, which then has to be empty.
    """

    def __cinit__(self, size_t row_size, size_t places, *, int fd=-1, bint writes=True):
        cdef int rc
        if row_size % 64 or not 0 < row_size <= 1 << 20 or not 0 < places < 1 << 31:
            raise ValueError(
                f"expected a row_size of 64, 128, ... {1 << 20} and places below {1 << 31}, got {row_size}, {places}"
            )
        self.writes = writes
        if fd < 0:
            rc = ff_latest_create(&self.table, row_size, places)
        elif writes:
            rc = ff_latest_map(&self.table, fd, row_size, places)
        else:
            rc = ff_latest_attach(&self.table, fd, row_size, places)
        if rc < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        ff_latest_close(&self.table)

    def __len__(self):
        """Return how many places have a row."""
        return ff_latest_used(&self.table)

    def row(self, size_t place):
        """Return a copy of the row of a place, None when it has none."""
        cdef bytes row = PyBytes_FromStringAndSize(NULL, self.table.row_size)
        cdef int found = ff_latest_copy(&self.table, place, PyBytes_AS_STRING(row))
        if found < 0:
            raise InternalError(f"the row of place {place} changed during every attempt to copy it")
        return row if found else None

    def put(self, size_t place, const unsigned char[::1] row not None):
        """Keep a copy of a row: for writers in Python."""
        if not self.writes:
            raise TypeError("expected the table of a writer: this one belongs to another process")
        if <size_t>row.shape[0] != self.table.row_size:
            raise ValueError(f"expected a row of {self.table.row_size} bytes, got {row.shape[0]}")
        cdef int rc
        ff_lock_take(self.lock)
        rc = ff_latest_put(&self.table, place, &row[0])
        ff_lock_give(self.lock)
        if rc < 0:
            raise HubError(f"no memory is left for a row at place {place}")

    def leave(self):
        """Write no more: this process is a fork of the writer's. What machines write here all the same is a signal."""
        self.writes = False
        ff_region_protect(&self.table.region)
