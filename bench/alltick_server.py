"""A WebSocket server that sends ready-made frames to every client that subscribes.

    alltick_server.py blast FILE REPEAT [CERTIFICATE]    the bytes of a file, so many times, as fast as they are read
    alltick_server.py paced                              what stdin says, each at its time

Says its port. The handshake and one acknowledgement are all that it knows of the protocol. Paced, it says
"subscribed", and takes records from stdin: time (ns, i8), length (i8), bytes; a time of 0 ends the round.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import ssl
import sys
import time

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SPIN_NS = 200_000  # before a packet's time sleeping is not exact enough
_PIECE = 1 << 20


def upgrade(peer: socket.socket) -> None:
    """Answer the handshake and the first request."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(1 << 16)
    found = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
    assert found is not None
    accept = base64.b64encode(hashlib.sha1(found[1] + _GUID).digest())
    peer.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    request = json.loads(message(peer))
    reply = {"ret": 200, "msg": "ok", "cmd_id": request["cmd_id"] + 1, "seq_id": request["seq_id"]}
    text = json.dumps(reply).encode()
    peer.sendall(bytes([0x81, len(text)]) + text)


def exactly(peer: socket.socket, count: int) -> bytes:
    """Return so many bytes."""
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        if not part:
            raise ConnectionError("the client has gone")
        data += part
    return data


def message(peer: socket.socket) -> bytes:
    """Return the payload of a client's next frame."""
    length = exactly(peer, 2)[1] & 127
    if length == 126:
        length = int.from_bytes(exactly(peer, 2), "big")
    mask, payload = exactly(peer, 4), exactly(peer, length)
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def blast(peer: socket.socket, data: bytes, repeat: int) -> None:
    """Send as fast as it is read."""
    view = memoryview(data)
    for _ in range(repeat):
        for at in range(0, len(data), _PIECE):
            peer.sendall(view[at : at + _PIECE])


def paced(peer: socket.socket) -> None:
    """Send each record at its time."""
    print("subscribed", flush=True)
    records = []
    while True:
        at = int.from_bytes(sys.stdin.buffer.read(8), "little")
        if not at:
            break
        length = int.from_bytes(sys.stdin.buffer.read(8), "little")
        records.append((at, sys.stdin.buffer.read(length)))
    for at, data in records:
        while (left := at - time.time_ns()) > 0:
            if left > _SPIN_NS:
                time.sleep((left - _SPIN_NS) / 1e9)
        peer.sendall(data)


def main(mode: str, *arguments: str) -> None:
    """Serve one client after the other."""
    server = socket.create_server(("127.0.0.1", 0))
    context = None
    data, repeat = b"", 0
    if mode == "blast":
        with open(arguments[0], "rb") as file:
            data, repeat = file.read(), int(arguments[1])
        if len(arguments) > 2:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(arguments[2])
    print(server.getsockname()[1], flush=True)
    while True:
        peer, _ = server.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if context is not None:
                peer = context.wrap_socket(peer, server_side=True)
            with peer:
                upgrade(peer)
                if mode == "blast":
                    blast(peer, data, repeat)
                else:
                    paced(peer)
                while peer.recv(1 << 16):  # heartbeats, until the client goes
                    pass
        except OSError:
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
