"""What is measured of feeds and of readers: slots in shared memory, with latencies as histograms."""

from cpython.exc cimport PyErr_SetFromErrno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset
from posix.time cimport CLOCK_REALTIME
from posix.unistd cimport getpid, pread

from fastfeed._core.native cimport (
    FF_METER_BYTES,
    FF_METER_CLOSED,
    FF_METER_CONNECTED,
    FF_METER_CONNECTING,
    FF_METER_CONNECTIONS,
    FF_METER_DISCONNECTED,
    FF_METER_GAPS,
    FF_METER_LOST_ROWS,
    FF_METER_PACKETS,
    FF_METER_REJECTED,
    FF_METERS,
    FF_READERS,
    FF_READERS_PROGRAM_BYTES,
    FF_STREAMS,
    ff_clock_ns,
    ff_counts_add,
    ff_counts_percentile,
    ff_counts_subtract,
    ff_counts_sum_ns,
    ff_counts_up_to,
    ff_histogram,
    ff_histogram_add,
    ff_histogram_read,
    ff_meter_beat,
    ff_meter_count,
    ff_meter_enter,
    ff_meter_state,
    ff_meters_attach,
    ff_meters_close,
    ff_meters_copy,
    ff_meters_create,
    ff_meters_map,
    ff_meters_take,
    ff_reader_free,
    ff_readers_close,
    ff_readers_header,
    ff_readers_leave,
    ff_readers_map,
    ff_readers_take,
)

cimport cython

#: How many feeds of a hub are measured, and how many readers of a process.
MOST_FEEDS = FF_METERS
MOST_READERS = FF_READERS

STATES = {
    <int>FF_METER_CONNECTING: "connecting",
    <int>FF_METER_CONNECTED: "connected",
    <int>FF_METER_DISCONNECTED: "disconnected",
    <int>FF_METER_CLOSED: "closed",
}
cdef dict NUMBERS = {name: number for number, name in STATES.items()}


@cython.final
cdef class Latency:
    """How long something took, many times: what a histogram held at one moment.

    Parameters
    ----------
    lengths_ns : iterable of int
        What is counted; negative ones apart.
    """

    def __cinit__(self, lengths_ns=()):
        cdef ff_histogram histogram
        if lengths_ns:
            memset(&histogram, 0, sizeof(histogram))
            for length in lengths_ns:
                ff_histogram_add(&histogram, length, 1)
            ff_histogram_read(&histogram, &self.counts)

    @property
    def count(self):
        return self.counts.count

    @property
    def negative(self):
        """How often it ended before it began, because clocks disagree; not part of `count`."""
        return self.counts.negative

    @property
    def max_ns(self):
        """The longest; of what `since()` returns, to a sixteenth."""
        return self.counts.max_ns if self.counts.count else None

    def percentile_ns(self, double q):
        """Return the length that the part q (0 to 1) of all did not exceed, to a thirty-second; None without any."""
        if not 0 <= q <= 1:
            raise ValueError(f"expected a part from 0 to 1, got {q}")
        return ff_counts_percentile(&self.counts, q) if self.counts.count else None

    def since(self, Latency earlier not None):
        """Return what was added since an earlier moment."""
        cdef Latency made = Latency.__new__(Latency)
        made.counts = self.counts
        ff_counts_subtract(&made.counts, &earlier.counts)
        return made

    def plus(self, Latency other not None):
        """Return what was counted here and there."""
        cdef Latency made = Latency.__new__(Latency)
        made.counts = self.counts
        ff_counts_add(&made.counts, &other.counts)
        return made

    def up_to(self, lengths_ns):
        """Return how many took no longer than each of some lengths, which are taken to a thirty-second."""
        return [ff_counts_up_to(&self.counts, length_ns) for length_ns in lengths_ns]

    @property
    def sum_ns(self):
        """How long all took together, to a thirty-second; 2**40 ns or more count as that."""
        return ff_counts_sum_ns(&self.counts)

    def as_dict(self):
        """Return the numbers that `Hub.stats` shows."""
        return {
            "count": self.count,
            "negative": self.negative,
            "p50_ns": self.percentile_ns(0.5),
            "p90_ns": self.percentile_ns(0.9),
            "p99_ns": self.percentile_ns(0.99),
            "p999_ns": self.percentile_ns(0.999),
            "max_ns": self.max_ns,
        }


cdef Latency latency_of(const ff_histogram *histogram):
    cdef Latency made = Latency.__new__(Latency)
    ff_histogram_read(histogram, &made.counts)
    return made


@cython.final
cdef class Meters:
    """The slots of a hub's feeds; see native/include/fastfeed/meter.h.

    Parameters
    ----------
    fd : int
        The file that they lie in; without it, memory of this process alone.
    writes : bool
        Whether this is the writer of that file, which then has to be empty.
    """

    def __cinit__(self, *, int fd=-1, bint writes=True):
        cdef int rc
        self.writes = writes
        self.pid = getpid()
        if fd < 0:
            rc = ff_meters_create(&self.meters)
        elif writes:
            rc = ff_meters_map(&self.meters, fd)
        else:
            rc = ff_meters_attach(&self.meters, fd)
        if rc < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        ff_meters_close(&self.meters)

    cdef bint is_own(self) noexcept:
        """Return whether this is the process that writes here: a fork of it shares the memory, and has no part in it."""
        return self.writes and getpid() == self.pid

    def take(self, str url not None):
        """Return the `Meter` of a feed that begins, None where all slots are in use, and in a fork."""
        if not self.writes:
            raise TypeError("expected the slots of a writer: these belong to another process")
        if not self.is_own():
            return None
        cdef bytes text = url.encode()
        cdef Meter made = Meter.__new__(Meter)
        made.owner = self
        made.meter = ff_meters_take(&self.meters, text, len(text), ff_clock_ns(CLOCK_REALTIME))
        return None if made.meter == NULL else made

    def feeds(self):
        """Return what is known of each feed, latencies as `Latency`."""
        cdef ff_meter copy
        cdef int i
        found = []
        for i in range(FF_METERS):
            if ff_meters_copy(&self.meters, i, &copy):
                found.append({
                    "url": copy.url[:copy.url_bytes].decode(errors="replace"),
                    "state": STATES.get(copy.state, "unknown"),
                    "since_ns": copy.since_ns,
                    "connections": copy.counters[<int>FF_METER_CONNECTIONS],
                    "gaps": copy.counters[<int>FF_METER_GAPS],
                    "bytes": copy.counters[<int>FF_METER_BYTES],
                    "packets": copy.counters[<int>FF_METER_PACKETS],
                    "rows": copy.rows,
                    "rejected": copy.counters[<int>FF_METER_REJECTED],
                    "lost_rows": copy.counters[<int>FF_METER_LOST_ROWS],
                    "last_recv_ns": copy.last_recv_ns,
                    "beat_ns": copy.beat_ns,
                    "gateway_to_receive": latency_of(&copy.gateway_to_receive),
                    "receive_to_publish": latency_of(&copy.receive_to_publish),
                })
        return found


@cython.final
@cython.no_gc  # its owner has to be there until the end
cdef class Meter:
    """The slot of a feed, made by `Meters.take()`. After `close()` nothing is written there any more; a machine
    that measures with it has to be told before.
    """

    def __dealloc__(self):
        self.give_back()

    def enter(self, str state not None):
        """Change the state, unless it is that already."""
        cdef ff_meter_state number = NUMBERS[state]
        if not self.closed and self.owner.is_own() and self.meter.state != number:
            ff_meter_enter(self.meter, number, ff_clock_ns(CLOCK_REALTIME))

    def count(self, *, uint64_t connections, uint64_t gaps, uint64_t bytes, uint64_t packets, uint64_t rejected,
              uint64_t lost_rows):
        """Keep the feed's counters, and the time."""
        if self.closed or not self.owner.is_own():
            return
        ff_meter_count(self.meter, FF_METER_CONNECTIONS, connections)
        ff_meter_count(self.meter, FF_METER_GAPS, gaps)
        ff_meter_count(self.meter, FF_METER_BYTES, bytes)
        ff_meter_count(self.meter, FF_METER_PACKETS, packets)
        ff_meter_count(self.meter, FF_METER_REJECTED, rejected)
        ff_meter_count(self.meter, FF_METER_LOST_ROWS, lost_rows)
        ff_meter_beat(self.meter, ff_clock_ns(CLOCK_REALTIME))

    def close(self):
        """Give the slot back: its state is ``closed`` until another feed takes it."""
        self.give_back()

    cdef void give_back(self) noexcept:
        if self.meter != NULL and not self.closed and self.owner.is_own():
            ff_meter_enter(self.meter, FF_METER_CLOSED, ff_clock_ns(CLOCK_REALTIME))
        self.closed = True


@cython.final
cdef class ReaderSlots:
    """The slots of this process's readers of a hub, in the file fd; see native/include/fastfeed/readers.h.

    They keep the lock of the file for as long as they are.
    """

    def __cinit__(self, int fd, str program not None):
        cdef bytes text = program.encode(errors="replace")
        if ff_readers_map(&self.readers, fd, text, len(text)) < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        ff_readers_close(&self.readers)

    def take(self, int stream, bint measures=False):
        """Return the `ReaderSlot` of a new reader, None where all are in use."""
        if not 0 <= stream < FF_STREAMS:
            raise ValueError(f"expected a stream below {FF_STREAMS}, got {stream}")
        cdef ReaderSlot made = ReaderSlot.__new__(ReaderSlot)
        made.owner = self
        made.reader = ff_readers_take(&self.readers, stream, measures)
        return None if made.reader == NULL else made

    def leave(self):
        """Leave the file to the parent, after a fork."""
        ff_readers_leave(&self.readers)


@cython.final
@cython.no_gc  # its owner has to be there until the end
cdef class ReaderSlot:
    """Where a reader says how far it is; given back when it is collected."""

    def __dealloc__(self):
        if self.reader != NULL:
            ff_reader_free(self.reader)


def readers_in(int fd):
    """Return the program and the readers that the file of a process tells of, latencies as `Latency` or None.

    The file is another process's: what it says may be anything, and is not more than that.
    """
    cdef ff_readers_header header
    cdef ff_reader reader
    cdef uint32_t i
    found = []
    memset(&header, 0, sizeof(header))
    if pread(fd, &header, sizeof(header), 0) != <Py_ssize_t>sizeof(header) or header.slot_size != sizeof(reader):
        return "", found
    program = header.program[:FF_READERS_PROGRAM_BYTES].partition(b"\0")[0].decode(errors="replace")
    for i in range(min(header.ready, <uint32_t>FF_READERS)):
        if pread(fd, &reader, sizeof(reader), sizeof(header) + i * sizeof(reader)) != <Py_ssize_t>sizeof(reader):
            break
        if 0 < reader.stream <= <uint32_t>FF_STREAMS:
            found.append({
                "id": i,
                "stream": reader.stream - 1,
                "position": reader.position,
                "lag": 0,  # who knows the ring fills it in
                "lost": reader.lost,
                "read_ns": reader.read_ns,
                "publish_to_read": latency_of(&reader.publish_to_read) if reader.measures else None,
            })
    return program, found
