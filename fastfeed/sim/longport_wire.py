"""How a simulated LongPort reads and writes packets: over WebSocket, or over TCP without anything around them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from fastfeed.protocols.longport_packets import TCP_HANDSHAKE
from fastfeed.protocols.websocket import CloseCode, Opcode
from fastfeed.sim.longport_knobs import LongPortFaults
from fastfeed.sim.longport_requests import Broken
from fastfeed.sim.websocket_wire import FIN, TransportWire, WebSocketWire, fragments, frame_head

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["TcpWire", "WebSocketPackets", "Wire"]

_READ_BYTES = 1 << 16
_HEADS = [frame_head(FIN | Opcode.BINARY, length) for length in range(512)]


class WebSocketPackets(WebSocketWire):
    """Packets in binary messages, each in one of its own.

    Parameters
    ----------
    request : web.BaseRequest
    response : web.WebSocketResponse
        Prepared.
    faults : LongPortFaults
    """

    whole = True
    """A packet does not go on in the next message."""

    def __init__(
        self, request: web.BaseRequest, response: web.WebSocketResponse, faults: LongPortFaults
    ) -> None:
        super().__init__(request, faults.split)
        self._response = response
        self._fragment = faults.fragment
        self._pack = faults.pack

    async def begin(self) -> None:
        """Wait for what comes before the first packet."""

    async def receive(self) -> bytes | None:
        """Return what came, nothing where it was but a sign of life; None: the end."""
        from aiohttp import WSMsgType

        message = await self._response.receive()
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is WSMsgType.TEXT:
            raise Broken("expected binary messages, got text")
        if message.type is WSMsgType.PING:
            if not self.silent:
                await self._response.pong(message.data)
            return b""
        return b"" if message.type is WSMsgType.PONG else None

    def encode(self, packets: Sequence[bytes]) -> bytes:
        """Return what carries packets."""
        if self._pack > 1:
            packets = [
                b"".join(packets[start : start + self._pack])
                for start in range(0, len(packets), self._pack)
            ]
        if self._fragment:
            return b"".join([fragments(Opcode.BINARY, p, self._fragment) for p in packets])
        heads = _HEADS
        try:
            return b"".join([heads[len(packet)] + packet for packet in packets])
        except IndexError:
            return b"".join([fragments(Opcode.BINARY, p, 0) for p in packets])

    def hang_up(self) -> None:
        """End it when what was written is sent."""
        self.close(CloseCode.NORMAL)


class TcpWire(TransportWire):
    """Packets one behind the other."""

    whole = False

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: LongPortFaults
    ) -> None:
        super().__init__(writer.transport, writer, faults.split)
        self._reader = reader
        connection = writer.get_extra_info("socket")
        with suppress(OSError):  # it has left
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def begin(self) -> None:
        """Wait for the handshake.

        Raises
        ------
        Broken
            It asks for something else than version 1, protobuf, OpenAPI.
        """
        try:
            handshake = await self._reader.readexactly(len(TCP_HANDSHAKE))
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("it left before the handshake") from None
        if handshake != TCP_HANDSHAKE:
            raise Broken(f"expected the handshake {TCP_HANDSHAKE.hex()}, got {handshake.hex()}")

    async def receive(self) -> bytes | None:
        """Return what came; None: the end."""
        return await self._reader.read(_READ_BYTES) or None

    def encode(self, packets: Sequence[bytes]) -> bytes:
        """Return what carries packets."""
        return b"".join(packets)

    def ping(self) -> None:
        """There are no pings here."""

    def hang_up(self) -> None:
        """End it when what was written is sent."""
        self.close()


Wire = WebSocketPackets | TcpWire
