"""A client's end of a WebSocket, as a part of a vendor's session: the upgrade and the control frames."""

from __future__ import annotations

from collections.abc import Callable

from fastfeed._core.websocket import CLOSING, frame
from fastfeed.errors import ConnectError, FastfeedError
from fastfeed.protocols.websocket import Handshake, Opcode, close_payload

__all__ = ["WebsocketEnd"]


class WebsocketEnd:
    """See the head of this file.

    Parameters
    ----------
    handshake
    send
        Takes the bytes to send.

    Attributes
    ----------
    is_open : bool
        The server has switched protocols.
    """

    def __init__(self, handshake: Handshake, send: Callable[[bytes], None]) -> None:
        self.is_open = False
        self._handshake = handshake
        self._send = send

    def start(self) -> None:
        """Ask for the upgrade."""
        self._send(self._handshake.request())

    def upgrade(self, data: bytes) -> bytes | None:
        """Take a piece of the answer to the upgrade; see `Handshake.receive`."""
        rest = self._handshake.receive(data)
        self.is_open = rest is not None
        return rest

    def refused(self) -> FastfeedError | None:
        """Return why the upgrade was refused, where the server had begun to say it."""
        error = self._handshake.ended()
        return None if isinstance(error, ConnectError) else error

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a message or a control frame."""
        self._send(frame(opcode, payload))

    def control(self, kind: int, payload: bytes) -> bool:
        """Answer a control frame; return whether it was one.

        One of `CLOSING` is the machine's: the server broke the protocol, and the payload is what it is told.
        """
        if kind == CLOSING:
            self.send(Opcode.CLOSE, payload)
        elif kind == Opcode.PING:
            self.send(Opcode.PONG, payload)
        elif kind == Opcode.CLOSE:
            self.send(Opcode.CLOSE, payload[:2])
        else:
            return kind == Opcode.PONG
        return True

    def close(self, error: FastfeedError) -> None:
        """Say goodbye, unless the reason is that the connection is lost."""
        if self.is_open and not isinstance(error, ConnectError):
            self.send(Opcode.CLOSE, close_payload())

    def shown(self, text: str) -> str:
        """Return a text of the server's as errors show it; see `Handshake.shown`."""
        return self._handshake.shown(text)
