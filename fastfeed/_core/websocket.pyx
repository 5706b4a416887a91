"""WebSocket frames for a client: messages out of received bytes, and masked frames to send.

Machines that make rows find their messages in place, in C; this is for those who want plain ones.
"""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from fastfeed._core.native cimport (
    FF_ECLOSE,
    FF_EFRAGMENT,
    FF_EFRAME,
    FF_ELENGTH,
    FF_ENOMEM,
    FF_EUTF8,
    FF_WS_BINARY,
    FF_WS_CLOSE,
    FF_WS_CLOSED,
    FF_WS_MASK,
    FF_WS_MAX_CONTROL,
    FF_WS_PONG,
    FF_WS_TEXT,
    ff_utf8_valid,
    ff_ws_close_code,
    ff_ws_fail,
    ff_ws_frame,
    ff_ws_frame_size,
    ff_ws_free,
    ff_ws_init,
    ff_ws_message,
    ff_ws_missing,
    ff_ws_next,
    ff_ws_reset,
)

cimport cython
from fastfeed.errors import RemoteProtocolError

__all__ = ["Framing", "frame"]

cdef dict EXPECTED = {
    FF_EFRAME: "expected a WebSocket frame that a server may send: no reserved bits, no mask, the shortest length",
    FF_EFRAGMENT: "expected WebSocket fragments in order, and control frames in one piece",
    FF_ECLOSE: "expected a close frame with a code that may be sent",
    FF_EUTF8: "expected text in UTF-8",
}


def frame(int opcode, payload=b"", mask=None):
    """Return a whole masked frame.

    Parameters
    ----------
    opcode : int
        1 text, 2 binary, 8 close, 9 ping, 10 pong.
    payload : bytes-like
        At most 125 bytes for a close, ping or pong.
    mask : bytes, optional
        Four bytes; random, if not given.
    """
    cdef Py_buffer buffer
    cdef bytes key, out
    if not (FF_WS_TEXT <= opcode <= FF_WS_BINARY or FF_WS_CLOSE <= opcode <= FF_WS_PONG):
        raise ValueError(f"expected an opcode of 1, 2, 8, 9 or 10, got {opcode}")
    key = os.urandom(FF_WS_MASK) if mask is None else mask
    if len(key) != FF_WS_MASK:
        raise ValueError(f"expected a mask of {FF_WS_MASK} bytes, got {len(key)} bytes")
    PyObject_GetBuffer(payload, &buffer, PyBUF_SIMPLE)
    try:
        if opcode >= FF_WS_CLOSE and buffer.len > FF_WS_MAX_CONTROL:
            raise ValueError(f"expected at most {FF_WS_MAX_CONTROL} bytes in a control frame, got {buffer.len}")
        out = PyBytes_FromStringAndSize(NULL, ff_ws_frame_size(buffer.len))
        ff_ws_frame(<uint8_t *>PyBytes_AS_STRING(out), opcode, <const uint8_t *>buffer.buf, buffer.len,
                    <const uint8_t *>PyBytes_AS_STRING(key))
        return out
    finally:
        PyBuffer_Release(&buffer)


@cython.final
cdef class Framing:
    """The receiving side of one WebSocket connection, behind its handshake and without a socket.

    When the server breaks the protocol, `error` becomes a `RemoteProtocolError`, `close_code` the code that a
    close frame should tell it, and everything further is ignored until `reset()`.

    Parameters
    ----------
    limit_bytes : int
        Longest message that is believed.
    source : str
        The name that errors carry.
    """

    def __cinit__(self, size_t limit_bytes=1 << 20, *, str source not None="websocket"):
        if not 1 <= limit_bytes <= 1 << 30:
            raise ValueError(f"expected limit_bytes of 1 to {1 << 30}, got {limit_bytes}")
        ff_ws_init(&self.ws, limit_bytes)
        self.pending = bytearray()
        self.source = source

    def __dealloc__(self):
        ff_ws_free(&self.ws)

    @property
    def is_closed(self):
        """Whether a close frame came; what follows it is dropped."""
        return self.ws.state == FF_WS_CLOSED

    @property
    def close_code(self):
        """The code for the close frame to send because of `error`; None without one."""
        return None if self.error is None else ff_ws_close_code(self.reason)

    def feed(self, data):
        """Return the messages and control frames that a piece of the received stream completes.

        Parameters
        ----------
        data : bytes-like
            Cut wherever it may be.

        Returns
        -------
        list of (int, bytes)
            Opcode (1 text, 2 binary, 8 close, 9 ping, 10 pong) and payload. Text is valid UTF-8.
        """
        cdef Py_buffer buffer
        cdef const uint8_t *p
        cdef size_t left, part, used
        cdef Py_ssize_t have
        cdef list messages = []
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            p = <const uint8_t *>buffer.buf
            left = buffer.len
            while left and self.error is None:
                have = PyByteArray_GET_SIZE(self.pending)
                if not have:
                    used = self.take(p, left, messages)
                    p += used
                    left -= used
                    part = left
                else:
                    # An unfinished frame waits: what it lacks goes there, no more.
                    part = ff_ws_missing(&self.ws, <const uint8_t *>PyByteArray_AS_STRING(self.pending), have)
                    part = min(part, left) if part else left
                if self.error is None and part:
                    PyByteArray_Resize(self.pending, have + part)
                    memcpy(PyByteArray_AS_STRING(self.pending) + have, p, part)
                    p += part
                    left -= part
                    if have:
                        used = self.take(<const uint8_t *>PyByteArray_AS_STRING(self.pending), have + part, messages)
                        del self.pending[:used]
        finally:
            PyBuffer_Release(&buffer)
        if self.error is not None and self.pending:
            self.pending = bytearray()
        return messages

    def reset(self):
        """Forget the stream and its error, for a new connection; counters go on."""
        ff_ws_reset(&self.ws)
        self.pending = bytearray()
        self.begun_at = self.ws.counters.bytes
        self.error = None

    def stats(self):
        """Return the counters: bytes consumed, complete frames of every kind, messages (text and binary)."""
        return {
            "bytes": self.ws.counters.bytes,
            "frames": self.ws.counters.frames,
            "messages": self.ws.counters.messages,
        }

    cdef size_t take(self, const uint8_t *data, size_t length, list messages) except? 0:
        """Append all that is complete; returns how many bytes were used."""
        cdef ff_ws_message message
        cdef size_t at = 0, used
        cdef uint64_t offset
        cdef int status
        while True:
            offset = self.ws.counters.bytes - self.begun_at
            status = ff_ws_next(&self.ws, data + at, length - at, &used, &message)
            if status < 0:
                self.fail(-status, offset + used, data + at + used, length - at - used)
                return at + used
            if status > 0 and message.opcode == FF_WS_TEXT and not ff_utf8_valid(message.data, message.length):
                ff_ws_fail(&self.ws, FF_EUTF8)
                self.fail(FF_EUTF8, offset, data + at, length - at)
                return at
            at += used
            if status == 0:
                return at
            messages.append((message.opcode,
                             PyBytes_FromStringAndSize(<const char *>message.data, message.length)))

    cdef int fail(self, int reason, uint64_t offset, const uint8_t *data, size_t length) except -1:
        cdef bytes some = PyBytes_FromStringAndSize(<const char *>data, min(length, <size_t>16))
        if reason == FF_ENOMEM:
            expected = "no memory for a fragmented message"
        elif reason == FF_ELENGTH:
            expected = f"expected a WebSocket message of at most {self.ws.max_message} bytes"
        else:
            expected = EXPECTED[reason]
        self.reason = reason
        self.error = RemoteProtocolError(f"{expected} - at byte {offset}, which begins {some.hex(' ')}",
                                         source=self.source, offset=offset, data=some)
        return 0
