from typing_extensions import Buffer

HANDSHAKE: int
CLOSING: int

def frame(opcode: int, payload: Buffer = b"", mask: bytes | None = None) -> bytes: ...
