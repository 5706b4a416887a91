from typing import Any

from typing_extensions import Buffer

from fastfeed._core.machine import HoldingMachine
from fastfeed._core.opend_cipher import OpendCipher
from fastfeed._core.symbols import SymbolTable

Frames = list[tuple[int, int, bytes | str]]

class OpendMachine(HoldingMachine):
    check_sha1: bool
    def __init__(
        self,
        symbols: SymbolTable,
        *,
        limit_bytes: int = ...,
        check_sha1: bool = ...,
        window_bytes: int = ...,
        depth: int = ...,
        ordered: bool = ...,
        brokers: SymbolTable | None = ...,
        most_held: int = ...,
    ) -> None: ...
    @property
    def packets(self) -> int: ...
    @property
    def init_sha1(self) -> bytes | None: ...
    def feed(self, data: Buffer, recv_ns: int | None = None) -> Frames | None: ...
    def resume(self) -> Frames | None: ...
    def set_cipher(self, cipher: OpendCipher | None) -> None: ...
    def options(self) -> dict[str, Any]: ...
    def reset(self, *, handshake: bool = False) -> None: ...
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
def name_broker(brokers: SymbolTable, broker: int, name: str) -> None: ...
