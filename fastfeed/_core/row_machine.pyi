from typing import final

from typing_extensions import Buffer

from fastfeed._core.machine import Machine
from fastfeed._core.symbols import SymbolTable

@final
class RowMachine(Machine):
    def __init__(self, symbols: SymbolTable, *, depth: int = 10) -> None: ...
    def add(self, stream: int, symbol: int, rows: Buffer) -> int: ...
    def show_added(self) -> None: ...
