from typing import Any

from typing_extensions import Buffer

from fastfeed._core.symbols import SymbolTable

class LongportDecoder:
    def __init__(self, symbols: SymbolTable, *, depth: int = 10, generic: bool = False) -> None: ...
    def push(self, command: int, body: Buffer, recv_ns: int) -> bytearray: ...
    def push_all(
        self, command: int, data: Buffer, ends: Buffer, recv_ns: int, rows: Buffer
    ) -> int: ...
    def seed(self, rows: Buffer) -> None: ...
    def reset(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...

def decode_response(
    command: int,
    body: Buffer,
    symbols: SymbolTable,
    recv_ns: int,
    *,
    depth: int = 10,
    interval_s: int = 0,
    kind: int = 0,
) -> bytearray: ...
