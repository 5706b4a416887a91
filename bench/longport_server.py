"""A quote gateway of LongPort that answers what a client needs, and sends ready-made pushes to who subscribes.

    longport_server.py FRAMES PACKETS REPEAT

Both files are blocks of the same pushes, as WebSocket frames and as bare packets, each with a .npy beside it that says
where the sequences lie (9 bytes each). A block is sent so many times, each time with later sequences, as fast as it is
read. One-time passwords, WebSocket and TCP are at the one port that it says.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import struct
import sys
import threading
import time

import numpy as np

from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.longport_packets import TCP_HANDSHAKE, pack_response

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN = b'{"code":0,"message":"","data":{"otp":"O","limit":10,"online":1}}'
_REQUEST_HEAD = 11
_VARINT = 9
_LATER_NS = 21_000_000_000  # a block spans 20 s


class Blocks:
    """A block, so many times."""

    def __init__(self, path: str, repeat: int) -> None:
        one = np.fromfile(path, np.uint8)
        places = np.load(f"{path}.npy")[:, None] + np.arange(_VARINT)
        shifts = 7 * np.arange(_VARINT, dtype=np.uint64)
        sequences = ((one[places] & 0x7F).astype(np.uint64) << shifts).sum(1, dtype=np.uint64)
        self.parts: list[bytes] = []
        for i in range(repeat):
            later = sequences + np.uint64(i * _LATER_NS)
            digits = (later[:, None] >> shifts & np.uint64(0x7F)).astype(np.uint8)
            digits[:, :-1] |= 0x80
            one[places] = digits
            self.parts.append(one.tobytes())


class Peer:
    """A connection of a client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.framed = True
        self.sending = threading.Lock()

    def exactly(self, count: int) -> bytes:
        """Return so many bytes."""
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                raise ConnectionError("the client has gone")
            data += part
        return data

    def message(self) -> tuple[int, bytes]:
        """Return the opcode and payload of the next frame; of TCP the next request."""
        if not self.framed:
            head = self.exactly(_REQUEST_HEAD)
            return 2, head + self.exactly(int.from_bytes(head[8:11], "big"))
        first, length = self.exactly(2)
        length &= 127
        if length == 126:
            length = int.from_bytes(self.exactly(2), "big")
        mask, payload = self.exactly(4), self.exactly(length)
        return first & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

    def answer(self, opcode: int, payload: bytes) -> None:
        """Send a message."""
        if self.framed:
            head = bytes([0x80 | opcode, len(payload)])
            if len(payload) > 125:
                head = struct.pack("!BBH", 0x80 | opcode, 126, len(payload))
            payload = head + payload
        with self.sending:
            self.sock.sendall(payload)

    def blast(self, parts: list[bytes]) -> None:
        """Send blocks as fast as they are read."""
        with contextlib.suppress(OSError):  # the client may go
            for part in parts:
                with self.sending:
                    self.sock.sendall(part)

    def serve(self, frames: Blocks, packets: Blocks) -> None:
        """Serve until the client goes."""
        head = self.exactly(2)
        if head == TCP_HANDSHAKE:
            self.framed = False
        else:
            while b"\r\n\r\n" not in head:
                head += self.sock.recv(1 << 16)
            if b"/socket/token" in head:
                self.sock.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(_TOKEN) + _TOKEN
                )
                return
            found = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
            assert found is not None
            accept = base64.b64encode(hashlib.sha1(found[1] + _GUID).digest())
            self.sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
        session = message_class("AuthResponse")(
            session_id="S", expires=int(time.time() + 3600) * 1000, limit=10, online=1
        )
        while True:
            opcode, payload = self.message()
            if opcode == 9:
                self.answer(10, payload)
            if opcode != 2:
                continue
            command, request_id = payload[1], int.from_bytes(payload[2:6], "big")
            body = session.SerializeToString() if command == Command.AUTH else b""
            self.answer(2, pack_response(command, request_id, 0, body))
            if command == Command.SUBSCRIBE:
                parts = (frames if self.framed else packets).parts
                threading.Thread(target=self.blast, args=(parts,), daemon=True).start()


def main(frames: str, packets: str, repeat: str) -> None:
    """Serve any number of clients."""
    blocks = Blocks(frames, int(repeat)), Blocks(packets, int(repeat))
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)

    def one(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock, contextlib.suppress(OSError):
            Peer(sock).serve(*blocks)

    while True:
        sock, _ = server.accept()
        threading.Thread(target=one, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
