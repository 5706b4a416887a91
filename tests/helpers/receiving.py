"""What a receiver's thread reads for a machine: the peer's end of the socket, and all that comes of it."""

import contextlib
import select
import socket
import time

PATIENCE_S = 10.0


class Line:
    """A connection of a receiver. `peer` is the other end's socket."""

    def __init__(self, receiver, machine):
        ours, self.peer = socket.socketpair()
        self.receiver = receiver
        self.machine = machine
        self.frames = []
        self.end = None  # an errno
        self.reason = None  # of an abort
        receiver.add(machine, ours.detach(), self)

    def frames_came(self, frames):
        self.frames += frames

    def ended(self, error):
        self.end = error

    def failed(self, error):
        raise error

    def abort(self, reason=None):
        self.reason = reason

    def close(self):
        self.receiver.remove(self.machine)
        self.peer.close()

    @property
    def over(self):
        return self.end is not None or self.reason is not None


@contextlib.contextmanager
def line(receiver, machine):
    """Give a connection that is closed at the end."""
    one = Line(receiver, machine)
    try:
        yield one
    finally:
        one.close()


def drain_until(receiver, condition):
    """Take what a receiver has, whenever it says so, until something is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        if select.select([receiver], [], [], 0.1)[0]:
            receiver.drain()
