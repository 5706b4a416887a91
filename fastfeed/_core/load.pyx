"""The load generator of the benches: ready-made packets into a socket, and what is measured beside it.

All functions release the GIL, and look at signals ten times a second.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport ERANGE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import os

from fastfeed._core.native cimport (
    FF_LOAD_AGAIN,
    FF_LOAD_AS_DIGITS,
    FF_LOAD_AS_VARINT,
    FF_LOAD_DIGITS,
    FF_LOAD_STOPPED,
    FF_LOAD_VARINT,
    ff_blast,
    ff_blast_init,
    ff_blast_run,
    ff_drain,
    ff_drain_run,
    ff_jitter,
    ff_jitter_run,
    ff_load_form,
    ff_paced,
    ff_paced_run,
)

__all__ = ["DIGITS", "VARINT", "blast", "drain", "jitter", "paced"]

#: How many bytes a sequence has in decimal, and as a varint.
DIGITS = FF_LOAD_DIGITS
VARINT = FF_LOAD_VARINT

cdef dict FORMS = {"varint": FF_LOAD_AS_VARINT, "digits": FF_LOAD_AS_DIGITS}


cdef int ended(int rc) except -1:
    """Raise what a run that ended with `rc` means."""
    if rc == FF_LOAD_STOPPED:
        raise InterruptedError("stopped")
    if rc < 0:
        raise OSError(-rc, os.strerror(-rc))
    return 0


def blast(int fd, uint8_t[::1] block not None, const uint64_t[::1] places not None, str form, uint64_t repeat,
          uint64_t step, *, int stop_fd=-1):
    """Send a block of packets again and again, as fast as they are read; every time with greater sequences.

    Parameters
    ----------
    fd : int
        A connected socket.
    block : writable bytes-like
        Whole packets. The first time they go as they are; the block is left as it was sent last.
    places : array of uint64
        Where the sequences begin in the block, rising.
    form : {"varint", "digits"}
        How they are written: `VARINT` bytes, or `DIGITS` decimal digits.
    repeat : int
        How many times.
    step : int
        By how much a sequence grows each time.
    stop_fd : int, optional
        A descriptor that ends it as soon as there is something to read.

    Returns
    -------
    sent : int
        Bytes.
    seconds : float
        How long it took.
    waited : float
        The seconds of these in which the receiver had to make room: where they are few, the sender was the bottleneck.

    Raises
    ------
    ValueError
        A place where no sequence is, or a sequence that would grow too long.
    OSError
        The peer is gone.
    InterruptedError
        `stop_fd` said so.
    """
    cdef ff_blast state
    cdef ff_load_form how
    cdef int rc
    if form not in FORMS:
        raise ValueError(f"expected the form 'varint' or 'digits', got {form!r}")
    how = FORMS[form]
    rc = ff_blast_init(&state, &block[0] if block.shape[0] else NULL, block.shape[0],
                       &places[0] if places.shape[0] else NULL, places.shape[0], how, step, repeat)
    if rc == -ERANGE:
        raise ValueError(f"expected sequences that still fit after {repeat} times {step}")
    if rc < 0:
        raise ValueError(f"expected places of sequences as {form} in the block, in their order")
    while True:
        with nogil:
            rc = ff_blast_run(&state, fd, stop_fd)
        if rc != FF_LOAD_AGAIN:
            break
        PyErr_CheckSignals()
    ended(rc)
    return state.bytes, (state.ended_ns - state.began_ns) / 1e9, state.waited_ns / 1e9


def paced(int fd, const uint8_t[::1] data not None, const uint64_t[::1] ends not None,
          const int64_t[::1] times not None, size_t start, int64_t[::1] late not None, *, int stop_fd=-1):
    """Send each packet at its time, whether the receiver keeps up or not; what is due together is sent together.

    Parameters
    ----------
    fd : int
        A connected socket.
    data : bytes-like
        The packets.
    ends : array of uint64
        Where each packet ends in the data.
    times : array of int64
        When each is to be sent: CLOCK_REALTIME, ns.
    start : int
        The first packet to send.
    late : writable array of int64
        Out: how long after its time the kernel was given the last byte of each, ns.
    stop_fd : int, optional
        A descriptor that ends it as soon as there is something to read.

    Returns
    -------
    int
        The next packet: as many as there are at the end; fewer when the peer has said something, or hung up, which
        is to be read before this is called again.

    Raises
    ------
    ValueError
        Arrays of different lengths, ends that are not in the data or not in their order, negative times.
    OSError
        The peer is gone.
    InterruptedError
        `stop_fd` said so.
    """
    cdef ff_paced state
    cdef size_t i, count = times.shape[0]
    cdef uint64_t end = 0
    cdef bint right = True, known = True
    cdef int rc
    if ends.shape[0] != times.shape[0] or late.shape[0] != times.shape[0] or start > count:
        raise ValueError(
            f"expected ends, times and late of one length and a start up to it, got {ends.shape[0]}, "
            f"{times.shape[0]}, {late.shape[0]} and {start}"
        )
    with nogil:
        for i in range(count):
            right = right and end <= ends[i]
            end = ends[i]
            known = known and times[i] >= 0
    if not known:
        raise ValueError("expected times after 1970")
    if not right or end > <uint64_t>data.shape[0]:
        raise ValueError("expected ends of packets in the data, in their order")
    if start == count:
        return start
    state.data = &data[0] if data.shape[0] else NULL
    state.ends, state.times, state.late = &ends[0], &times[0], &late[0]
    state.count, state.next, state.begun = count, start, 0
    while True:
        with nogil:
            rc = ff_paced_run(&state, fd, stop_fd)
        if rc != FF_LOAD_AGAIN:
            break
        PyErr_CheckSignals()
    if rc < 0 or rc == FF_LOAD_STOPPED:
        ended(rc)
    return state.next


def drain(int fd, size_t window, uint64_t count):
    """Read so many bytes and look at nothing: what no receiver can be faster than.

    Parameters
    ----------
    fd : int
        A connected socket.
    window : int
        The most bytes of a read.
    count : int

    Returns
    -------
    int
        The number of reads.

    Raises
    ------
    ValueError
        The window has no bytes.
    OSError
        The peer hung up before everything came.
    """
    cdef ff_drain state
    cdef int rc
    if window == 0:
        raise ValueError("expected a window of at least one byte")
    state.window = <uint8_t *>malloc(window)
    if state.window == NULL:
        raise MemoryError
    state.size, state.left, state.reads = window, count, 0
    try:
        while True:
            with nogil:
                rc = ff_drain_run(&state, fd)
            if rc != FF_LOAD_AGAIN:
                break
            PyErr_CheckSignals()
    finally:
        free(state.window)
    ended(rc)
    return state.reads


def jitter(double seconds):
    """Do nothing but look at the clock, and tell when this stood still.

    Parameters
    ----------
    seconds : float

    Returns
    -------
    stolen_ns : int
        In all pauses of more than 1 µs.
    longest_ns : int
        The longest time between two looks.
    """
    cdef ff_jitter state
    cdef int rc
    if not 0 <= seconds <= 1e6:
        raise ValueError(f"expected seconds from 0 to a million, got {seconds}")
    memset(&state, 0, sizeof(state))
    state.left_ns = <int64_t>(seconds * 1e9)
    while True:
        with nogil:
            rc = ff_jitter_run(&state)
        if rc != FF_LOAD_AGAIN:
            break
        PyErr_CheckSignals()
    return state.stolen_ns, state.longest_ns
