"""What a WebSocket's server does with a client's bytes, for sessions without a network."""

import base64
import hashlib

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frames(data):
    """Take what a client sends apart: [(opcode, payload)]."""
    found = []
    while data:
        n, at = data[1] & 0x7F, 2
        assert data[1] & 0x80
        if n == 126:
            n, at = int.from_bytes(data[2:4], "big"), 4
        mask, payload = data[at : at + 4], data[at + 4 : at + 4 + n]
        found.append((data[0] & 15, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))))
        data = data[at + 4 + n :]
    return found


def accepted(request, behind=b""):
    """Return the answer that agrees to an upgrade, and what comes behind it."""
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    answer = base64.b64encode(hashlib.sha1(key + GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + answer + b"\r\n\r\n" + behind
    )
