"""OpenD's machine: received bytes in, rows into a ring, other packets out for the session."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from fastfeed._core.native cimport (
    FF_EMAGIC,
    FF_ETIME,
    FF_FLAG_GAP,
    FF_OPEND_FRAME,
    FF_OPEND_INIT_CONNECT,
    FF_OPEND_NEED_MORE,
    FF_OPEND_ROWS_FULL,
    FF_REASONS,
    explicit_bzero,
    ff_opend,
    ff_opend_commit,
    ff_opend_frame,
    ff_opend_free,
    ff_opend_init,
    ff_opend_process,
    ff_opend_process_span,
    ff_opend_reset,
    ff_opend_space,
    ff_reason_name,
    ff_ring_publish,
)
from fastfeed._core.opend_cipher cimport OpendCipher
from fastfeed._core.ring cimport Ring
from fastfeed._core.symbols cimport SymbolTable

cimport cython
from fastfeed.errors import LocalProtocolError, RemoteProtocolError


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


@cython.final
cdef class OpendMachine:
    """The receiving side of one OpenD connection, without a socket.

    Ask `space()` for memory, put bytes there, tell `received()` how many; or hand whole pieces to `feed()`.
    Rows go into the ring; after each publication `deliver` is called without arguments. Both calls return the
    packets that are not rows, as a list of (protocol id, serial number, body), or None. In place of the body of
    a rejected reply stands the name of the reason, a str.

    Replies to InitConnect are given as they came, neither decrypted nor checked. After `reset(handshake=True)`
    the machine stops behind each of them: `init_sha1` is then the digest in its header, and `resume()` goes on,
    once `set_cipher()` has been called where that is wanted.

    When the stream cannot be followed any more, `error` becomes a `RemoteProtocolError` and everything
    further is ignored until `reset()`.

    Parameters
    ----------
    symbols, ring
        Where symbols and ticks go.
    deliver : callable
    limit_bytes : int
        Longest body that is believed.
    check_sha1 : bool
        Compute the digest of every body; packets with a wrong one are dropped and counted.
    window_bytes : int
        What a single read may bring.
    """

    def __cinit__(self, SymbolTable symbols not None, Ring ring not None, deliver, *,
                  size_t limit_bytes=1 << 26, bint check_sha1=False, size_t window_bytes=1 << 18):
        if not 4096 <= window_bytes <= 1 << 30:
            raise ValueError(f"expected window_bytes of 4096 to {1 << 30}, got {window_bytes}")
        if not 1024 <= limit_bytes <= 1 << 30:
            raise ValueError(f"expected limit_bytes of 1024 to {1 << 30}, got {limit_bytes}")
        if ring.ring.row_size != 64:
            raise ValueError("expected a ring of ticks")
        self.symbols = symbols
        self.ring = ring
        self.deliver = deliver
        self.window_bytes = window_bytes
        if ff_opend_init(&self.machine, window_bytes, limit_bytes, &symbols.table, &ring.ring) < 0:
            raise MemoryError("no memory for a receive window")
        self.machine.check_sha1 = check_sha1

    def __dealloc__(self):
        ff_opend_free(&self.machine)

    def space(self, size_hint=-1):
        """Return writable memory for the next read; using it after the next call of any method, or after the
        machine's end, is an access to freed memory.

        The loop's size hint is passed over: one large read costs less than several small ones.
        """
        cdef size_t room
        self.enter()
        cdef uint8_t *place = ff_opend_space(&self.machine, self.window_bytes // 2, &room)
        if place == NULL:
            raise MemoryError("no memory for the receive window")
        return PyMemoryView_FromMemory(<char *>place, room, PyBUF_WRITE)

    def received(self, size_t n):
        """Take note of n bytes written to the memory of `space()`, and process all that is complete."""
        cdef const uint8_t *p = NULL
        cdef size_t left = 0
        self.enter()
        if n > self.machine.size - self.machine.end:
            raise ValueError(f"expected at most {self.machine.size - self.machine.end} bytes, got {n}")
        self.machine.decoder.recv_ns = now_ns()
        ff_opend_commit(&self.machine, n)
        return self.process(&p, &left)

    def feed(self, data, recv_ns=None):
        """Process a piece of the received stream, cut wherever it may be.

        Parameters
        ----------
        data : bytes-like
        recv_ns : int, optional
            The time of reception for the rows; now, if not given.
        """
        cdef Py_buffer buffer
        cdef const uint8_t *p
        cdef size_t left
        self.enter()
        self.machine.decoder.recv_ns = now_ns() if recv_ns is None else recv_ns
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            p = <const uint8_t *>buffer.buf
            left = buffer.len
            if left and self.machine.start != self.machine.end:
                # An unfinished packet waits in the window: everything goes there behind it.
                self.keep(p, left)
                left = 0
            try:
                return self.process(&p, &left)
            finally:  # also when deliver() raised: the stream goes on
                if left:
                    self.keep(p, left)
        finally:
            PyBuffer_Release(&buffer)

    def resume(self):
        """Go on behind the reply to InitConnect; returns what `received()` does."""
        cdef const uint8_t *p = NULL
        cdef size_t left = 0
        if self.init_sha1 is None:
            raise LocalProtocolError("there is no reply to InitConnect to go on from")
        self.enter(True)
        self.init_sha1 = None
        return self.process(&p, &left)

    def set_cipher(self, OpendCipher cipher):
        """Decrypt every body from now on; with None, no more. `reset()` ends it as well."""
        if cipher is None:
            explicit_bzero(&self.machine.cipher, sizeof(self.machine.cipher))
        else:
            self.machine.cipher = cipher.cipher

    cdef list process(self, const uint8_t **p, size_t *left):
        """Work through the `left` bytes at p or, when there are none, through the window."""
        cdef ff_opend_frame frame
        cdef uint64_t before = self.machine.counters.ticks
        cdef list frames = None
        cdef int status
        cdef size_t used
        while True:
            if left[0]:
                status = ff_opend_process_span(&self.machine, p[0], left[0], &used, &frame)
                p[0] += used
                left[0] -= used
            else:
                status = ff_opend_process(&self.machine, &frame)
            if status == FF_OPEND_NEED_MORE:
                break
            if status == FF_OPEND_FRAME:
                frames = add_frame(frames, &frame)
                if self.stops_behind_init and frame.proto_id == FF_OPEND_INIT_CONNECT:
                    self.init_sha1 = PyBytes_FromStringAndSize(<const char *>frame.sha1, 20)
                    break
            elif status == FF_OPEND_ROWS_FULL:
                before = self.publish(before)
            else:
                if left[0]:
                    self.fail(status, p[0], left[0])
                    left[0] = 0
                else:
                    self.fail(status, self.machine.window + self.machine.start,
                              self.machine.end - self.machine.start)
                break
        if before != self.machine.counters.ticks:
            self.publish(before)
        return frames

    def reset(self, bint gap=False, *, bint handshake=False):
        """Forget the stream, its error and its cipher, for a new connection; counters go on.

        With gap, the next row carries the flag that rows may be missing before it. With handshake, the machine
        will stop behind replies to InitConnect.
        """
        self.enter(True)
        ff_opend_reset(&self.machine)
        self.begun_at = self.machine.counters.bytes
        self.machine.decoder.flags = FF_FLAG_GAP if gap else 0
        self.stops_behind_init = handshake
        self.init_sha1 = None
        self.error = None

    cdef int enter(self, bint stopped=False) except -1:
        if self.busy:
            raise LocalProtocolError("a callback must not feed the machine that called it")
        if self.init_sha1 is not None and not stopped:
            raise LocalProtocolError("the machine stopped behind InitConnect: expected resume() or reset()")
        return 0

    cdef int keep(self, const uint8_t *p, size_t n) except -1:
        cdef size_t room
        cdef uint8_t *place = ff_opend_space(&self.machine, n, &room)
        if place == NULL:
            raise MemoryError("no memory for the receive window")
        memcpy(place, p, n)
        ff_opend_commit(&self.machine, n)
        return 0

    cdef uint64_t publish(self, uint64_t before) except? 0:
        ff_ring_publish(&self.ring.ring)
        self.busy = True
        try:
            self.deliver()
        finally:
            self.busy = False
        return self.machine.counters.ticks

    cdef int fail(self, int status, const uint8_t *p, size_t left) except -1:
        cdef uint64_t offset = self.machine.counters.bytes - self.begun_at
        cdef bytes data = PyBytes_FromStringAndSize(<const char *>p, min(left, 16))
        if self.error is not None:
            return 0
        if status == -FF_EMAGIC:
            message = f"expected a packet that begins with b'FT', got {data[:2]!r}"
        else:
            message = f"expected a body within the limit, got a length of {int.from_bytes(data[12:16], 'little')} bytes"
        self.error = RemoteProtocolError(
            f"{message} at byte {offset} of the stream", source="opend", offset=offset, data=data
        )
        return 0

    @property
    def check_sha1(self):
        """Whether the digest of every body is computed and compared."""
        return self.machine.check_sha1

    @check_sha1.setter
    def check_sha1(self, bint value):
        self.machine.check_sha1 = value

    @property
    def packets(self):
        """Complete packets received."""
        return self.machine.counters.packets

    @property
    def rows(self):
        """Rows written."""
        return self.machine.counters.ticks

    def stats(self):
        """Return the counters; see `fastfeed.Decoder.stats`."""
        cdef int i
        rejected = {}
        for i in range(FF_REASONS):
            n = self.machine.counters.rejected[i] + self.machine.decoder.dropped[i]
            if n and i != FF_ETIME:
                rejected[ff_reason_name(i).decode()] = n
        return {
            "bytes": self.machine.counters.bytes,
            "packets": self.machine.counters.packets,
            "ticks": self.machine.counters.ticks,
            "frames": self.machine.counters.frames,
            "ignored": self.machine.counters.ignored,
            "unreadable_times": self.machine.decoder.dropped[<int>FF_ETIME],
            "rejected": rejected,
        }


cdef list add_frame(list frames, const ff_opend_frame *frame):
    if frames is None:
        frames = []
    if frame.reason == 0:
        body = PyBytes_FromStringAndSize(<const char *>frame.body, frame.length)
    else:
        body = ff_reason_name(-frame.reason).decode()
    frames.append((frame.proto_id, frame.serial, body))
    return frames
