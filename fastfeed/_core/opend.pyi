from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

from fastfeed._core.ring import Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import RemoteProtocolError

class OpendMachine:
    check_sha1: bool
    def __init__(
        self,
        symbols: SymbolTable,
        ring: Ring,
        deliver: Callable[[], object],
        *,
        limit_bytes: int = ...,
        check_sha1: bool = ...,
        window_bytes: int = ...,
    ) -> None: ...
    @property
    def symbols(self) -> SymbolTable: ...
    @property
    def ring(self) -> Ring: ...
    @property
    def error(self) -> RemoteProtocolError | None: ...
    @property
    def packets(self) -> int: ...
    @property
    def rows(self) -> int: ...
    def space(self, size_hint: int = -1) -> memoryview: ...
    def received(self, n: int) -> list[tuple[int, int, bytes]] | None: ...
    def feed(
        self, data: Buffer, recv_ns: int | None = None
    ) -> list[tuple[int, int, bytes]] | None: ...
    def reset(self, gap: bool = False) -> None: ...
    def stats(self) -> dict[str, Any]: ...

def decode_reply(
    stream: str,
    body: Buffer,
    symbols: SymbolTable,
    recv_ns: int,
    *,
    kl_type: int = 0,
    adjust: int = 0,
    depth: int = 10,
    push: bool = False,
    brokers: SymbolTable | None = None,
) -> bytearray: ...
def broker_name(brokers: SymbolTable, broker: int) -> str | None: ...
