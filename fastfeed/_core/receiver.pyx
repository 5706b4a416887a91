"""The thread that receives for the connections of a hub, as its event loop sees it."""

import os

from libc.errno cimport ECHILD, EINVAL, ENOBUFS
from libc.stdlib cimport free

from fastfeed._core.machine cimport Machine
from fastfeed._core.native cimport (
    FF_RECEIVER_SLOTS,
    FF_ZIPPED,
    ff_machine,
    ff_note,
    ff_receiver_ask,
    ff_receiver_forget,
    ff_receiver_free,
    ff_receiver_go_on,
    ff_receiver_has_ended,
    ff_receiver_init,
    ff_receiver_join,
    ff_receiver_leave,
    ff_receiver_note,
    ff_receiver_take,
    ff_slot,
)
from fastfeed._core.symbols cimport SymbolTable

cimport cython

from fastfeed.errors import ConfigError, LocalProtocolError

cdef int MOST_CPUS = 1 << 16


@cython.final
cdef class Receiver:
    """A thread that reads from sockets and lets machines write their rows, without ever waiting for Python; see
    native/include/fastfeed/receiver.h.

    It begins with the first connection and ends with the last one. Whatever is not rows waits until `drain()`, to be
    called when `fileno()` is readable; as all other methods, by the thread of one event loop.

    Parameters
    ----------
    spin : bool
        Read over and over; otherwise sleep until there is something.
    cpu : int, optional
        The only one that the thread may run on.

    Raises
    ------
    ConfigError
        It cannot run there.
    """

    def __cinit__(self, *, bint spin=False, cpu=None):
        cdef int rc = -EINVAL
        if cpu is None or 0 <= cpu < MOST_CPUS:
            rc = ff_receiver_init(&self.receiver, spin, -1 if cpu is None else cpu)
        if rc == -EINVAL and cpu is not None:
            raise ConfigError(f"expected a cpu that this process may run on, got {cpu}")
        if rc < 0:
            raise OSError(-rc, f"no receiver: {os.strerror(-rc)}")
        self.made = True
        self.spin = spin
        self.cpu = cpu
        self.connections = []

    def __del__(self):
        # Before anything of a cycle is taken apart: the thread still writes to the machines in it.
        if self.made:
            for machine, _ in tuple(self.connections):
                self.take_out(machine)

    def __dealloc__(self):
        if self.made:
            ff_receiver_free(&self.receiver)

    def __len__(self):
        """Return how many connections there are."""
        return len(self.connections)

    def __bool__(self):
        return True

    def fileno(self):
        """Return the descriptor that is readable when there is something to take."""
        return self.receiver.event_fd

    def guard(self, SymbolTable table not None):
        """Let machines that know this table share it with the thread."""
        table.lock = &self.receiver.lock
        table.locker = self

    def ask(self, int stream):
        """Let `drain()` deliver new rows of a stream as long as somebody is there."""
        ff_receiver_ask(&self.receiver, stream, True)

    def belong_to(self, loop):
        """Say which event loop calls `drain()`; connections that a closed one has left behind are forgotten.

        Raises
        ------
        LocalProtocolError
            There are connections of another one.
        """
        if self.connections and self.loop is not loop:
            if not self.loop.is_closed():
                raise LocalProtocolError(
                    "with receive='thread' the feeds of a hub belong to one event loop, and there are some of another "
                    "one: make a hub for each loop"
                )
            for machine, _ in tuple(self.connections):
                self.take_out(machine)
        self.loop = loop

    def add(self, Machine machine not None, int fd, connection):
        """Read for a machine from now on.

        Parameters
        ----------
        machine
            Its symbols are in a table that was given to `guard()`. Bytes that it has not worked through are the first.
        fd : int
            A socket, from now on the receiver's. It stays the caller's when this raises.
        connection
            Gets what is not rows, and the end: `frames_came()`, `ended()` with an errno, 0 where the peer has closed
            it, `failed()` with what one of them raised; and `abort()` when the stream cannot be followed.
        """
        cdef ff_slot *slot = NULL
        cdef ff_machine described = machine.described()
        cdef int rc
        if machine.slot != NULL:
            raise LocalProtocolError("a receiver reads for this machine already")
        if machine.symbols.lock != &self.receiver.lock:
            raise LocalProtocolError("expected a machine of this receiver's hub")
        rc = ff_receiver_join(&self.receiver, &described, fd, &slot)
        if rc == -ENOBUFS:
            raise ConfigError(f"a hub can receive from {FF_RECEIVER_SLOTS} connections, and has as many")
        if rc == -ECHILD:
            raise LocalProtocolError("the hub's receiver is of the process before fork(): make a new hub")
        if rc < 0:
            raise OSError(-rc, f"no thread to receive: {os.strerror(-rc)}")
        machine.receiver = &self.receiver
        machine.slot = slot
        self.connections.append((machine, connection))

    def remove(self, Machine machine not None):
        """Read no more for a machine, as soon as this returns; ticks that are to wait are there then, and rows are
        delivered. What else has not been taken is forgotten, and nobody is told of the end.
        """
        cdef ff_slot *slot = machine.slot
        if slot == NULL:
            return
        with nogil:
            ff_receiver_leave(&self.receiver, slot)
        try:
            machine.take_held_notes()
            self.show(ff_receiver_take(&self.receiver))
        finally:
            self.take_out(machine)

    cdef int take_out(self, Machine machine) except -1:
        cdef ff_slot *slot = machine.slot
        if slot != NULL:
            machine.slot = NULL
            machine.receiver = NULL
            self.connections = [one for one in self.connections if one[0] is not machine]
            with nogil:
                ff_receiver_leave(&self.receiver, slot)
                ff_receiver_forget(&self.receiver, slot)
        return 0

    def drain(self):
        """Deliver new rows, and give to the connections what is theirs."""
        self.show(ff_receiver_take(&self.receiver))
        for machine, connection in tuple(self.connections):
            try:
                self.drain_one(machine, connection)
            except Exception as error:
                connection.failed(error)

    cdef int show(self, unsigned dirty) except -1:
        cdef int stream = 0
        cdef Machine machine
        while dirty:
            if dirty & 1:
                for machine, _ in self.connections:
                    if machine.deliver[stream] is not None:  # all have the same, the hub's
                        if not machine.deliver[stream]():
                            ff_receiver_ask(&self.receiver, stream, False)
                        break
            dirty >>= 1
            stream += 1
        return 0

    cdef int drain_one(self, Machine machine, connection) except -1:
        cdef ff_note *note
        cdef list frames = None
        cdef size_t left = 0 if machine.slot == NULL else machine.slot.notes
        cdef int error = 0
        while left and machine.slot != NULL:
            note = ff_receiver_note(&self.receiver, machine.slot)
            if note == NULL:
                break
            try:
                frames = machine.note(frames, note.status, &note.frame)
                if note.status == FF_ZIPPED and machine.sink.dirty:
                    machine.publish()
            finally:
                free(note)
            left -= 1
        if frames:
            connection.frames_came(frames)
        if machine.slot == NULL:
            return 0
        if machine.error is not None:
            connection.abort(machine.error)
            return 0
        ff_receiver_go_on(&self.receiver, machine.slot)
        if ff_receiver_has_ended(&self.receiver, machine.slot, &error):
            connection.ended(error)
        return 0
