"""Rings of rows, and readers with a position of their own."""

from operator import index

from cpython.buffer cimport PyBUF_WRITABLE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME

from fastfeed._core.meter cimport ReaderSlot
from fastfeed._core.native cimport (
    FF_BOOK_MAX_DEPTH,
    FF_DEPTH,
    FF_FLAG_BACKFILLED,
    FF_FLAG_CACHED,
    FF_FLAG_GAP,
    FF_FLAG_STALE,
    FF_SESSION_OVERNIGHT,
    FF_SESSION_POST,
    FF_SESSION_PRE,
    FF_SESSION_REGULAR,
    FF_SESSION_UNKNOWN,
    FF_STREAMS,
    ff_clock_ns,
    ff_field,
    ff_reader_measure,
    ff_reader_note,
    ff_region_close,
    ff_region_join,
    ff_region_map,
    ff_region_take,
    ff_ring_advance,
    ff_ring_attach,
    ff_ring_bell,
    ff_ring_bytes,
    ff_ring_claim,
    ff_ring_close,
    ff_ring_create,
    ff_ring_intact,
    ff_ring_map,
    ff_ring_oldest,
    ff_ring_poll,
    ff_ring_prepare,
    ff_ring_protect,
    ff_ring_publish,
    ff_ring_published,
    ff_ring_stamp,
    ff_ring_wait,
    ff_book_size,
    ff_row_type,
    ff_row_types,
)

cimport cython
from libc.string cimport memcpy

cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass

    ctypedef struct PyInterpreterState:
        pass

    PyThreadState *PyThreadState_Get() noexcept
    PyThreadState *PyThreadState_Next(PyThreadState *thread) noexcept
    PyInterpreterState *PyInterpreterState_Get() noexcept
    PyThreadState *PyInterpreterState_ThreadHead(PyInterpreterState *interpreter) noexcept


FLAG_CACHED = FF_FLAG_CACHED
FLAG_BACKFILLED = FF_FLAG_BACKFILLED
FLAG_STALE = FF_FLAG_STALE
FLAG_GAP = FF_FLAG_GAP

SESSION_UNKNOWN = FF_SESSION_UNKNOWN
SESSION_REGULAR = FF_SESSION_REGULAR
SESSION_PRE = FF_SESSION_PRE
SESSION_POST = FF_SESSION_POST
SESSION_OVERNIGHT = FF_SESSION_OVERNIGHT


#: The names of the streams, by number.
STREAMS = tuple(ff_row_types[i].stream.decode() for i in range(FF_STREAMS))

MAX_DEPTH = FF_BOOK_MAX_DEPTH


def row_type(int stream, size_t depth):
    """Return what `numpy.dtype()` makes the dtype of a stream's rows from; the depth is that of books."""
    if not 0 <= stream < FF_STREAMS:
        raise IndexError(f"expected a stream below {FF_STREAMS}, got {stream}")
    cdef const ff_row_type *row = &ff_row_types[stream]
    cdef const ff_field *field = row.fields
    cdef size_t end = row.size
    cdef bint deep = False
    names, formats, offsets = [], [], []
    while field.name != NULL:
        name, form = field.name.decode(), field.format.decode()
        names.append(name)
        if field.count == FF_DEPTH:
            deep = True
            formats.append(f"({depth},){form}")
            offsets.append(end)
            end += depth * int(form[1:])
        else:
            formats.append(f"({field.count},){form}" if field.count else form)
            offsets.append(field.offset)
        field += 1
    return {
        "names": names,
        "formats": formats,
        "offsets": offsets,
        "itemsize": ff_book_size(depth) if deep else row.size,
    }


def prepare_ring(int fd, size_t row_size, uint64_t capacity):
    """Make an empty file a ring without rows, which takes its memory when its writer makes a `Ring` of it."""
    if ff_ring_prepare(fd, row_size, capacity) < 0:
        PyErr_SetFromErrno(OSError)


def ring_bytes(size_t row_size, uint64_t capacity):
    """Return the size of a ring's file; 0 where the geometry is not allowed."""
    return ff_ring_bytes(row_size, capacity)


# Of the file behind `Bells`.
cdef size_t BELLS_BYTES = FF_STREAMS * sizeof(ff_ring_bell)


@cython.final
cdef class Bells:
    """What the readers of a hub's rings write, in the file fd: whether they sleep. One for each stream.

    Parameters
    ----------
    fd : int
        A reader needs it open for writing too.
    makes : bool
        Whether this is the writer of the hub.
    """

    def __cinit__(self, int fd, *, bint makes=True):
        cdef int rc
        if makes:
            rc = ff_region_map(&self.region, fd, BELLS_BYTES)
        else:
            rc = ff_region_join(&self.region, fd, BELLS_BYTES)
        if rc < 0:
            PyErr_SetFromErrno(OSError)
        if makes and ff_region_take(&self.region, 0, BELLS_BYTES) < 0:
            raise MemoryError("no memory for the bells of a hub")

    def __dealloc__(self):
        ff_region_close(&self.region)


@cython.final
cdef class Ring:
    """A broadcast ring of fixed-size rows; see native/include/fastfeed/ring.h.

    Exports its rows twice in a row as one read-only buffer, so that every window of up to `capacity` rows is
    a contiguous slice of it.

    Parameters
    ----------
    row_size, capacity : int
    fd : int
        The file that it lies in; without it, memory of this process alone.
    writes : bool
        Whether this is the writer of that file. A reader cannot write there, by mistake neither.
    bells : Bells, optional
        Of the rings that other processes read; number `bell` is this one's.

    Attributes
    ----------
    replaced : bool
        Readers of another process's ring set it when they are to ask their stream what to do.
    """

    def __cinit__(self, size_t row_size, uint64_t capacity, *, int fd=-1, bint writes=True, Bells bells=None,
                  int bell=0):
        cdef int rc
        if ff_ring_bytes(row_size, capacity) == 0:
            raise ValueError(
                f"expected a capacity that is a power of two and whole pages of {row_size}-byte rows "
                f"(at least 64), got {capacity}"
            )
        if not 0 <= bell < FF_STREAMS:
            raise ValueError(f"expected the number of a bell below {FF_STREAMS}, got {bell}")
        if fd < 0:
            rc = ff_ring_create(&self.ring, row_size, capacity)
        elif writes:
            rc = ff_ring_map(&self.ring, fd, row_size, capacity)
        else:
            rc = ff_ring_attach(&self.ring, fd, row_size, capacity)
        if rc < 0 and fd < 0:
            raise MemoryError(f"no memory for a ring of {capacity} rows of {row_size} bytes")
        if rc < 0:
            PyErr_SetFromErrno(OSError)
        self.writes = writes
        self.bells = bells
        if bells is not None:
            self.ring.bell = <ff_ring_bell *>bells.region.base + bell
        self.shape[0] = 2 * row_size * capacity
        self.strides[0] = 1

    def __dealloc__(self):
        ff_ring_close(&self.ring)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("a ring is read-only")
        buffer.buf = self.ring.rows
        buffer.obj = self
        buffer.len = self.shape[0]
        buffer.itemsize = 1
        buffer.readonly = 1
        buffer.ndim = 1
        buffer.format = b"B"
        buffer.shape = self.shape
        buffer.strides = self.strides
        buffer.suboffsets = NULL
        buffer.internal = NULL

    @property
    def capacity(self):
        return self.ring.capacity

    @property
    def published(self):
        """How many rows were ever published."""
        return ff_ring_published(&self.ring)

    @property
    def oldest(self):
        """The number of the oldest row that is still whole."""
        return ff_ring_oldest(&self.ring)

    def leave(self):
        """Write no more: this process is a fork of the writer's. What machines write here all the same is a signal."""
        self.writes = False
        ff_ring_protect(&self.ring)

    def write(self, const unsigned char[::1] rows not None):
        """Append rows given as their bytes, and publish them: for writers in Python, tests among them."""
        if not self.writes:
            raise TypeError("expected the ring of a writer: this one belongs to another process")
        cdef uint64_t n = <uint64_t>rows.shape[0] // self.ring.row_size
        if n * self.ring.row_size != <uint64_t>rows.shape[0] or n > self.ring.capacity:
            raise ValueError(
                f"expected up to {self.ring.capacity} whole rows of {self.ring.row_size} bytes, "
                f"got {rows.shape[0]} bytes"
            )
        if n:
            memcpy(ff_ring_claim(&self.ring, n), &rows[0], n * self.ring.row_size)
            ff_ring_advance(&self.ring, n)
            ff_ring_stamp(&self.ring, ff_clock_ns(CLOCK_REALTIME))
            ff_ring_publish(&self.ring)


#: While there is nothing to read, a reader of another process's ring asks that often whether it is still the one.
cdef int64_t IDLE_NS = 200_000_000


#: For so long a reader keeps the GIL before it looks for signals and other threads.
cdef int64_t KEPT_NS = 200_000


cdef inline bint is_only_thread() noexcept:
    """Return whether no other thread of Python's exists."""
    # Threads are in a list, new ones first. Only this one's entry is looked into: it cannot go meanwhile.
    cdef PyThreadState *own = PyThreadState_Get()
    return PyInterpreterState_ThreadHead(PyInterpreterState_Get()) == own and PyThreadState_Next(own) == NULL


cdef class RingReader:
    """A position in a ring. `rows` is the NumPy array over the ring's buffer.

    `position` is the number of the next row, counted from the ring's beginning.
    """

    def __cinit__(self, Ring ring not None, rows, uint64_t position, *args, **kwargs):
        if position > ff_ring_published(&ring.ring):
            raise ValueError(
                f"expected a position of at most {ff_ring_published(&ring.ring)}, the rows published, got {position}"
            )
        self.ring = ring
        self.rows = rows
        self.nothing = rows[:0]
        self.position = position
        self.last = position
        self.whole = True

    def read(self, limit=None):
        """Return the rows that are new to this reader, oldest first, as a read-only view without a copy.

        The view shows the ring itself: it holds until your code awaits, after that only until the writer comes
        round, which `intact()` tells. Copy what must stay before you await. Rows that were overwritten before they
        were read are counted in `lost`.

        Parameters
        ----------
        limit : int, optional
            At most so many rows; the others stay for the next call.
        """
        return self.take(limit)

    cdef object take(self, object limit):
        cdef uint64_t most = <uint64_t>-1, ready
        cdef int64_t now_ns
        if limit is not None:
            limit = index(limit)
            if limit < 0:
                raise ValueError(f"expected a limit of 0 or more rows, got {limit}")
            most = limit
        if self.ring.replaced:
            self.on_idle()
        ready = ff_ring_poll(&self.ring.ring, &self.position, &self.lost)
        if ready == 0 and not self.ring.writes:
            now_ns = ff_clock_ns(CLOCK_MONOTONIC_COARSE)
            if now_ns - self.idle_ns >= IDLE_NS:
                self.idle_ns = now_ns
                self.on_idle()
                ready = ff_ring_poll(&self.ring.ring, &self.position, &self.lost)
        if ready and self.reader != NULL and self.reader.measures:
            ff_reader_measure(self.reader, &self.ring.ring, self.position + ready)
        if ready > most:
            ready = most
        cdef Py_ssize_t start = self.position & self.ring.ring.mask
        self.last = self.position
        self.whole = True
        if ready == 0:
            self.prepare()
            return self.nothing
        self.position += ready
        if self.reader != NULL:
            ff_reader_note(self.reader, self.position, self.lost)
        if ready == 1 and self.ahead_at == self.last and self.ahead is not None:
            row = self.ahead
            self.ahead = None
            return row
        return self.rows[start:start + <Py_ssize_t>ready]

    cdef int prepare(self) except -1:
        # Most often the next thing to come is one row. Its view is made while there is time.
        cdef Py_ssize_t start = self.position & self.ring.ring.mask
        if self.ahead is None or self.ahead_at != self.position:
            self.ahead = self.rows[start:start + 1]
            self.ahead_at = self.position
        return 0

    def on_idle(self):
        """Do what is to be done now and then while there is nothing to read, and when the ring was replaced."""

    def wait_ns(self, int64_t spin_ns, int64_t timeout_ns):
        """Wait for rows, up to timeout_ns; return whether there are any. May return early.

        For up to spin_ns it looks again and again; after that it sleeps. Where the ring was replaced, it returns
        False at once. Other threads can run meanwhile.
        """
        return self.arrive(spin_ns, timeout_ns)

    cdef bint arrive(self, int64_t spin_ns, int64_t timeout_ns) except -1:
        cdef Ring ring = self.ring  # another thread may give this reader another one
        cdef uint64_t position = self.position
        cdef int64_t part_ns
        cdef bint arrived = False
        # To take the GIL again costs as much as all else from publication to row. Where nobody else can want it, it
        # is kept while looking.
        while spin_ns > 0 and timeout_ns > 0 and not ring.replaced and is_only_thread():
            part_ns = min(KEPT_NS, spin_ns, timeout_ns)
            if ff_ring_wait(&ring.ring, position, part_ns, part_ns):
                return True
            spin_ns -= part_ns
            timeout_ns -= part_ns
            PyErr_CheckSignals()
        if ring.replaced:
            return False
        with nogil:
            arrived = ff_ring_wait(&ring.ring, position, spin_ns, timeout_ns)
        return arrived

    def move(self, Ring ring not None, rows):
        """Go on in another ring, from its oldest row on; what was not read in this one is lost."""
        self.whole = self.whole and ff_ring_intact(&self.ring.ring, self.last)
        self.lost += ff_ring_published(&self.ring.ring) - self.position
        self.ring = ring
        self.rows = rows
        self.nothing = rows[:0]
        self.ahead = None
        self.position = self.last = 0

    def tell(self, ReaderSlot slot):
        """Say in a slot from now on how far this reader is, or nowhere."""
        self.slot = slot
        self.reader = NULL if slot is None else slot.reader
        if slot is not None:
            ff_reader_note(self.reader, self.position, self.lost)

    def skip(self):
        """Pass over everything that is published."""
        self.position = self.last = ff_ring_published(&self.ring.ring)

    @property
    def ready(self):
        """How many rows `read()` would return now."""
        cdef uint64_t position = self.position, lost = 0
        return ff_ring_poll(&self.ring.ring, &position, &lost)

    def intact(self) -> bool:
        """Return whether the rows of the last `read()` are still what they were, to be asked after use."""
        return self.whole and ff_ring_intact(&self.ring.ring, self.last)


cdef class BlockingReader(RingReader):
    """A reader that is an iterator: each step waits for rows and reads them, without a detour through Python.

    A subclass has `wait()`, which is called when that takes long, and returns False when no more rows will come.
    """

    def __iter__(self):
        return self

    def __next__(self):
        cdef bint arrived = False
        if not self.ring.replaced:  # otherwise `wait()` knows what to do
            arrived = ff_ring_published(&self.ring.ring) > self.position
            if not arrived:
                self.prepare()
                arrived = self.arrive(self.spin_ns, self.slice_ns)
        while arrived or self.wait():
            rows = self.take(None)
            if rows is not self.nothing:
                return rows
            arrived = False
        raise StopIteration
