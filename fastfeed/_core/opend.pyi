from collections.abc import Callable, Iterable
from typing import Any

from typing_extensions import Buffer

from fastfeed._core.latest import LatestTable
from fastfeed._core.opend_cipher import OpendCipher
from fastfeed._core.ring import Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import RemoteProtocolError

Frames = list[tuple[int, int, bytes | str]]

def decode_reply(
    stream: str,
    body: bytes,
    symbols: SymbolTable,
    recv_ns: int,
    *,
    kl_type: int = ...,
    adjust: int = ...,
    depth: int = ...,
) -> bytearray: ...

class OpendMachine:
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
    ) -> None: ...
    def listen(
        self,
        stream: int,
        ring: Ring,
        deliver: Callable[[], object],
        latest: LatestTable | None = ...,
    ) -> None: ...
    def hold(self, ids: Iterable[int]) -> None: ...
    def last_tick(self, number: int) -> tuple[int, int]: ...
    def is_held(self, number: int) -> bool: ...
    def take_held(self, number: int) -> bytearray: ...
    def release(self, number: int, rows: Buffer, gap: bool = ...) -> None: ...
    def write(self, stream: int, rows: Buffer) -> None: ...
    @property
    def held_rows(self) -> int: ...
    @property
    def symbols(self) -> SymbolTable: ...
    @property
    def error(self) -> RemoteProtocolError | None: ...
    @property
    def packets(self) -> int: ...
    @property
    def rows(self) -> int: ...
    def space(self, size_hint: int = -1) -> memoryview: ...
    def received(self, n: int) -> Frames | None: ...
    @property
    def init_sha1(self) -> bytes | None: ...
    def feed(self, data: Buffer, recv_ns: int | None = None) -> Frames | None: ...
    def resume(self) -> Frames | None: ...
    def set_cipher(self, cipher: OpendCipher | None) -> None: ...
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
