from typing import Any, Literal

from typing_extensions import Buffer

from fastfeed._core.machine import Machine
from fastfeed._core.symbols import SymbolTable

Kind = Literal["ticks", "books", "session", "ignored"]

class AlltickMachine(Machine):
    def __init__(
        self,
        symbols: SymbolTable,
        *,
        window_bytes: int = ...,
        depth: int = ...,
        limit_bytes: int = ...,
        learn: bool = ...,
    ) -> None: ...
    def expect(self, symbol: str, sided: bool = ...) -> None: ...
    def feed(self, data: Buffer, recv_ns: int | None = None) -> None: ...
    def upgraded(self, rest: bytes) -> list[tuple[int, bytes]] | None: ...
    def options(self) -> dict[str, Any]: ...
    def reset(self) -> None: ...
    @property
    def messages(self) -> int: ...
    def stats(self) -> dict[str, Any]: ...

def decode_message(
    data: Buffer,
    symbols: SymbolTable,
    recv_ns: int,
    *,
    depth: int = 10,
    generic: bool = False,
    learn: bool = True,
) -> tuple[Kind, bytearray]: ...
def decode_reply(
    stream: str,
    data: Buffer,
    symbols: SymbolTable,
    recv_ns: int,
    depth: int = 10,
    *,
    learn: bool = True,
) -> bytearray: ...
