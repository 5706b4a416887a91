from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

from fastfeed._core.latest import LatestTable
from fastfeed._core.ring import Ring
from fastfeed._core.symbols import SymbolTable
from fastfeed.errors import RemoteProtocolError

class Machine:
    def listen(
        self,
        stream: int,
        ring: Ring,
        deliver: Callable[[], object],
        latest: LatestTable | None = ...,
    ) -> None: ...
    def space(self, size_hint: int = -1) -> memoryview: ...
    def received(self, n: int) -> list[Any] | None: ...
    def write(self, stream: int, rows: Buffer) -> None: ...
    @property
    def rows(self) -> int: ...
    @property
    def symbols(self) -> SymbolTable: ...
    @property
    def error(self) -> RemoteProtocolError | None: ...
