from typing import Literal

from typing_extensions import Buffer

from fastfeed._core.symbols import SymbolTable

Kind = Literal["ticks", "books", "session", "ignored"]

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
    stream: str, data: Buffer, symbols: SymbolTable, recv_ns: int, depth: int = 10
) -> bytearray: ...
