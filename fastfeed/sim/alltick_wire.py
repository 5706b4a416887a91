"""WebSocket frames of a simulated AllTick, many in one write, and what goes wrong with them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastfeed.protocols.websocket import Opcode
from fastfeed.sim.alltick_knobs import AllTickFaults
from fastfeed.sim.websocket_wire import FIN, WebSocketWire, fragments, frame_head

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Wire", "frames"]

_COMPRESSED = 0x40

# By length; text in latin-1, so that a batch is joined and encoded once.
_HEADS = [frame_head(FIN | Opcode.TEXT, length).decode("latin-1") for length in range(4096)]


def frames(texts: Sequence[str]) -> bytes:
    """Return text frames with these texts, a character for each byte."""
    heads = _HEADS
    try:
        return "".join([heads[len(text)] + text for text in texts]).encode("latin-1")
    except IndexError:
        return b"".join(
            frame_head(FIN | Opcode.TEXT, len(text)) + text.encode("latin-1") for text in texts
        )


class Wire(WebSocketWire):
    """Writes messages to one client.

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
        super().__init__(request, faults.split)
        self._faults = faults
        self._deflate = (
            zlib.compressobj(wbits=-int(response.compress)) if response.compress else None
        )
        self._plain = not (self._deflate or faults.fragment or faults.binary)

    def encode(self, texts: Sequence[str]) -> bytes:
        """Return the frames of messages."""
        return frames(texts) if self._plain else b"".join(map(self._message, texts))

    def _message(self, text: str) -> bytes:
        first: int = Opcode.BINARY if self._faults.binary else Opcode.TEXT
        body = text.encode("latin-1")
        if self._deflate is not None:
            first |= _COMPRESSED
            # A full flush: every message can be read by itself, whatever was agreed about that.
            body = self._deflate.compress(body) + self._deflate.flush(zlib.Z_FULL_FLUSH)
            body = body.removesuffix(b"\x00\x00\xff\xff")
        ping = frame_head(FIN | Opcode.PING, 0) if self._faults.ping else b""
        return fragments(first, body, self._faults.fragment, ping)
