"""What simulators write to a client: WebSocket frames, many in one write.

aiohttp speaks HTTP, answers the upgrade and reads; frames are written here, since a call for each message would cost
more than making it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Protocol

from fastfeed.protocols.websocket import Opcode, close_payload

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FIN", "TransportWire", "WebSocketWire", "frame_head", "fragments"]

FIN = 0x80
_WRITE_BUFFER_BYTES = 1 << 18
_CLOSE_S = 1.0


def frame_head(first: int, length: int) -> bytes:
    """Return the head of a frame of a server; `first` is its first byte."""
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


def fragments(first: int, body: bytes, size: int, between: bytes = b"") -> bytes:
    """Return a message in frames of `size` bytes, 0: in one; `first` without FIN, `between` behind the first."""
    size = size or len(body)
    if len(body) <= size:
        return frame_head(FIN | first, len(body)) + body
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    out = [frame_head(first, size) + pieces[0], between]
    out += [frame_head(0, size) + piece for piece in pieces[1:-1]]
    out.append(frame_head(FIN, len(pieces[-1])) + pieces[-1])
    return b"".join(out)


class _Drainer(Protocol):
    async def drain(self) -> None: ...


class TransportWire:
    """Writes to one client.

    Parameters
    ----------
    transport : asyncio.Transport
    writer
        Whose `drain()` waits until more may be written.
    split : int
        Write in pieces of so many bytes; 0: whole.
    """

    def __init__(self, transport: asyncio.WriteTransport, writer: _Drainer, split: int) -> None:
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._transport = transport
        self._writer = writer
        self._split = split
        self.silent = False
        """Nothing is written any more."""

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write, at once."""
        if self.silent or not data:
            return
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        for start in range(0, len(data), self._split or len(data)):
            self._transport.write(data[start : start + (self._split or len(data))])

    async def flush(self) -> None:
        """Return when all that was written is sent."""
        while self._transport.get_write_buffer_size() and not self._transport.is_closing():
            await asyncio.sleep(0.005)

    async def drain(self) -> None:
        """Return when more may be written."""
        await self._writer.drain()
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")

    def close(self) -> None:
        """End it when what was written is sent, or after a moment."""
        if not self._transport.is_closing():
            self._transport.close()
            self._abort_soon()

    def _abort_soon(self) -> None:
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


class WebSocketWire(TransportWire):
    """Writes frames to one client.

    Parameters
    ----------
    request : web.BaseRequest
        That was upgraded.
    split : int
        Write in pieces of so many bytes; 0: whole.
    """

    def __init__(self, request: web.BaseRequest, split: int) -> None:
        if request.transport is None:
            raise ConnectionResetError("it left before it was answered")
        super().__init__(request.transport, request.writer, split)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if not self.silent and not self._transport.is_closing():
            self._transport.write(frame_head(FIN | Opcode.PING, 3) + b"sim")

    def close(self, code: int | None = None) -> None:
        """End it when what was written is sent, with a close frame or without a word."""
        if self._transport.is_closing():
            return
        if code is None or self.silent:
            super().close()
            return
        payload = close_payload(code)
        self._transport.write(frame_head(FIN | Opcode.CLOSE, len(payload)) + payload)
        self._abort_soon()
