"""WebSocket frames of a simulated AllTick, many in one write, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastfeed.protocols.websocket import Opcode
from fastfeed.sim.alltick_knobs import AllTickFaults

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Wire", "frames"]

_FIN, _COMPRESSED = 0x80, 0x40
_WRITE_BUFFER_BYTES = 1 << 18
_CLOSE_S = 1.0


def _head(first: int, length: int) -> bytes:
    """Return the head of a frame of a server; `first` is its first byte."""
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


# By length; text in latin-1, so that a batch is joined and encoded once.
_HEADS = [_head(_FIN | Opcode.TEXT, length).decode("latin-1") for length in range(4096)]


def frames(texts: Sequence[str]) -> bytes:
    """Return text frames with these texts, which are ASCII."""
    heads = _HEADS
    try:
        return "".join([heads[len(text)] + text for text in texts]).encode("latin-1")
    except IndexError:
        return b"".join(_head(_FIN | Opcode.TEXT, len(text)) + text.encode() for text in texts)


class Wire:
    """Writes messages to one client.

    aiohttp speaks HTTP, answers the upgrade and reads; frames are written here, since a call for each
    message would cost more than making it.

    Parameters
    ----------
    request : web.BaseRequest
    response : web.WebSocketResponse
        Prepared.
    faults : AllTickFaults
    """

    def __init__(
        self, request: web.BaseRequest, response: web.WebSocketResponse, faults: AllTickFaults
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("it left before it was answered")
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._transport = transport
        self._writer = request.writer
        self._faults = faults
        self._deflate = (
            zlib.compressobj(wbits=-int(response.compress)) if response.compress else None
        )
        self._plain = not (self._deflate or faults.fragment or faults.binary)
        self.silent = False
        """Nothing is written any more."""

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    def encode(self, texts: Sequence[str]) -> bytes:
        """Return the frames of messages."""
        return frames(texts) if self._plain else b"".join(map(self._message, texts))

    def write(self, data: bytes) -> None:
        """Write frames, at once."""
        if self.silent or not data:
            return
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        for start in range(0, len(data), self._faults.split or len(data)):
            self._transport.write(data[start : start + (self._faults.split or len(data))])

    async def flush(self) -> None:
        """Return when all that was written is sent."""
        while self._transport.get_write_buffer_size() and not self._transport.is_closing():
            await asyncio.sleep(0.005)

    async def drain(self) -> None:
        """Return when more may be written."""
        await self._writer.drain()
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")

    def _message(self, text: str) -> bytes:
        first: int = Opcode.BINARY if self._faults.binary else Opcode.TEXT
        body = text.encode()
        if self._deflate is not None:
            first |= _COMPRESSED
            # A full flush: every message can be read by itself, whatever was agreed about that.
            body = self._deflate.compress(body) + self._deflate.flush(zlib.Z_FULL_FLUSH)
            body = body.removesuffix(b"\x00\x00\xff\xff")
        size = self._faults.fragment or len(body)
        if len(body) <= size:
            return _head(_FIN | first, len(body)) + body
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        out = [_head(first, size) + pieces[0]]
        if self._faults.ping:
            out.append(_head(_FIN | Opcode.PING, 0))
        out += [_head(0, size) + piece for piece in pieces[1:-1]]
        out.append(_head(_FIN, len(pieces[-1])) + pieces[-1])
        return b"".join(out)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if not self.silent and not self._transport.is_closing():
            self._transport.write(_head(_FIN | Opcode.PING, 3) + b"sim")

    def close(self, *, frame: bool) -> None:
        """End it when what was written is sent, with a close frame or without a word."""
        if self._transport.is_closing():
            return
        if frame and not self.silent:
            self._transport.write(_head(_FIN | Opcode.CLOSE, 2) + struct.pack("!H", 1000))
        else:
            self._transport.close()
        # The client has a moment to answer, and to take what was written.
        asyncio.get_running_loop().call_later(_CLOSE_S, self._transport.abort)

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    def reset(self) -> None:
        """End it by a TCP reset."""
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
