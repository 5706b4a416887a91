"""WebSocket frames to send; those that are received, the machines find in place, in C."""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

from fastfeed._core.native cimport (
    FF_WS_BINARY,
    FF_WS_CLOSE,
    FF_WS_HANDSHAKE,
    FF_WS_MASK,
    FF_WS_MAX_CONTROL,
    FF_WS_PONG,
    FF_WS_TEXT,
    ff_ws_frame,
    ff_ws_frame_size,
)

__all__ = ["CLOSING", "HANDSHAKE", "frame"]

#: Opcodes of what sessions get from machines besides WebSocket's own: bytes of the handshake, and what a close frame
#: to the server shall say.
HANDSHAKE = FF_WS_HANDSHAKE
CLOSING = HANDSHAKE + 1


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
