"""What a vendor's server says before it sends pushes, and besides: no more than any client needs.

Nothing here waits for anything but the client: `gateway` does the sending.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from fastfeed.bench import opend_pushes
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.longport_packets import TCP_HANDSHAKE, pack_response
from fastfeed.protocols.opend_messages import QOT_SUB
from fastfeed.protocols.websocket import Opcode
from fastfeed.sim.websocket_wire import FIN, frame_head

__all__ = ["GREETINGS", "GoneError", "Greeting", "Peer"]

_MOST_BYTES = 1 << 20  # of a request
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"(?i)\r\nsec-websocket-key: *(\S+)")
_TOKEN = b'{"code":0,"message":"","data":{"otp":"O","limit":10,"online":1}}'
_SUBSCRIBING = (22002, 22004)  # AllTick's books and trades
_TCP_REQUEST_HEAD = 11


class GoneError(ConnectionError):
    """The client has hung up, or says what no client may."""


class Peer:
    """A client's connection; only what is asked for is taken out of it.

    Parameters
    ----------
    sock : socket
    readable : callable
        Called before every read; may raise.
    """

    def __init__(
        self, sock: socket.socket, readable: Callable[[socket.socket], object] = lambda sock: None
    ) -> None:
        self.sock = sock
        self._readable = readable

    def some(self, most: int = 1 << 16) -> bytes:
        """Return what there is."""
        self._readable(self.sock)
        data = self.sock.recv(most)
        if not data:
            raise GoneError("the client has hung up")
        return data

    def exactly(self, count: int) -> bytes:
        """Return so many bytes."""
        if count > _MOST_BYTES:
            raise GoneError(f"expected a request of at most {_MOST_BYTES} bytes, got {count}")
        data = bytearray()
        while len(data) < count:
            data += self.some(count - len(data))
        return bytes(data)

    def head(self, begun: bytes = b"") -> bytes:
        """Return a request of HTTP, which has no body."""
        while not begun.endswith(b"\r\n\r\n"):
            if len(begun) > _MOST_BYTES:
                raise GoneError("expected an end of the request's head")
            begun += self.some()
        return begun

    def message(self) -> tuple[int, bytes]:
        """Return opcode and payload of a WebSocket frame."""
        first, length = self.exactly(2)
        length &= 127
        if length > 125:
            length = int.from_bytes(self.exactly(2 if length == 126 else 8), "big")
        key, payload = self.exactly(4), self.exactly(length)
        mask = (key * (length // 4 + 1))[:length]
        number = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
        return first & 15, number.to_bytes(length, "big")

    def say(self, data: bytes) -> None:
        """Send."""
        self.sock.sendall(data)

    def say_frame(self, opcode: int, payload: bytes) -> None:
        """Send a WebSocket frame."""
        self.say(frame_head(FIN | opcode, len(payload)) + payload)

    def upgrade(self, head: bytes) -> None:
        """Answer WebSocket's handshake."""
        key = _KEY.search(head)
        if key is None:
            raise GoneError(f"expected a WebSocket handshake, got {head[:200]!r}")
        accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
        self.say(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )


class Greeting(Protocol):
    """A vendor's part.

    Attributes
    ----------
    framed : bool
        Whether packets go in WebSocket frames, as far as there is a choice.
    """

    framed: bool

    def __init__(self, peer: Peer) -> None: ...

    def begin(self) -> None:
        """Do what comes before requests; GoneError where nothing comes after."""

    def answer(self) -> bool:
        """Answer a request; whether the client has subscribed by it."""


class OpenD:
    """Replies are ready-made, by the request's number; where there is none, none is sent."""

    framed = False
    _replies: dict[int, bytes] | None = None

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def begin(self) -> None:
        if OpenD._replies is None:
            OpenD._replies = _by_number(opend_pushes.replies())

    def answer(self) -> bool:
        header = opend_pushes.HEADER
        magic, proto_id, _, _, serial, length, _, _ = header.unpack(self._peer.exactly(header.size))
        if magic != b"FT":
            raise GoneError(f"expected a packet of OpenD, got {magic!r}")
        self._peer.exactly(length)
        reply = (OpenD._replies or {}).get(proto_id)
        if reply is not None:
            self._peer.say(reply[:8] + serial.to_bytes(4, "little") + reply[12:])
        return bool(proto_id == QOT_SUB)


def _by_number(packets: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(packets):
        _, proto_id, _, _, _, length, _, _ = opend_pushes.HEADER.unpack_from(packets, at)
        end = at + opend_pushes.HEADER.size + length
        found[proto_id] = packets[at:end]
        at = end
    return found


class AllTick:
    """Every request is acknowledged, heartbeats as well."""

    framed = True

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def begin(self) -> None:
        self._peer.upgrade(self._peer.head())

    def answer(self) -> bool:
        opcode, payload = self._peer.message()
        if opcode == Opcode.CLOSE:
            raise GoneError("the client has said goodbye")
        if opcode == Opcode.PING:
            self._peer.say_frame(Opcode.PONG, payload)
        if opcode != Opcode.TEXT:
            return False
        try:
            request = json.loads(payload)
            number, serial = int(request["cmd_id"]), int(request["seq_id"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise GoneError(f"expected a request, got {payload[:80]!r}") from None
        reply = {"ret": 200, "msg": "ok", "cmd_id": number + 1, "seq_id": serial}
        self._peer.say_frame(Opcode.TEXT, json.dumps(reply).encode())
        return number in _SUBSCRIBING


class LongPort:
    """One-time passwords, WebSocket and TCP at one port; every request is answered, with nothing in it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.framed = True

    def begin(self) -> None:
        head = self._peer.exactly(2)
        if head == TCP_HANDSHAKE:
            self.framed = False
            return
        head = self._peer.head(head)
        if b"/socket/token" in head.partition(b"\r\n")[0]:
            self._peer.say(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n" % len(_TOKEN) + _TOKEN
            )
            raise GoneError("that was all")
        self._peer.upgrade(head)

    def answer(self) -> bool:
        request = self._framed() if self.framed else self._bare()
        if request is None:
            return False
        command, request_id = request[1], int.from_bytes(request[2:6], "big")
        body = b""
        if command == Command.AUTH:
            message: Any = message_class("AuthResponse")(
                session_id="S", expires=int(time.time() + 3600) * 1000, limit=10, online=1
            )
            body = message.SerializeToString()
        reply = pack_response(command, request_id, 0, body)
        if self.framed:
            self._peer.say_frame(Opcode.BINARY, reply)
        else:
            self._peer.say(reply)
        return bool(command == Command.SUBSCRIBE)

    def _framed(self) -> bytes | None:
        opcode, payload = self._peer.message()
        if opcode == Opcode.CLOSE:
            raise GoneError("the client has said goodbye")
        if opcode == Opcode.PING:
            self._peer.say_frame(Opcode.PONG, payload)
        return payload if opcode == Opcode.BINARY and len(payload) >= _TCP_REQUEST_HEAD else None

    def _bare(self) -> bytes:
        head = self._peer.exactly(_TCP_REQUEST_HEAD)
        return head + self._peer.exactly(int.from_bytes(head[8:11], "big"))


GREETINGS: dict[str, type[Greeting]] = {"opend": OpenD, "alltick": AllTick, "longport": LongPort}
