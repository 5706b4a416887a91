"""AllTick's gateway over TLS: the instrument's, whose connections are encrypted and whose sender is Python.

    python -m encrypted_gateway alltick [CORE]

The certificate with its key is in the file that the environment's `FASTFEED_BENCH_CERTIFICATE` names.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import time
from typing import Any

import numpy as np

from fastfeed.bench.gateway import Server, main

_PIECE = 1 << 20


class EncryptedServer(Server):
    """Sends blocks as they are, again and again: of AllTick nobody drops what comes twice."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(os.environ["FASTFEED_BENCH_CERTIFICATE"])

    def accept(self, sock: socket.socket) -> socket.socket:
        return self._context.wrap_socket(sock, server_side=True)

    def pending(self, sock: socket.socket) -> bool:
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def blast(
        self,
        sock: socket.socket,
        block: bytearray,
        places: np.ndarray[Any, Any],
        form: Any,
        repeat: int,
        step: int,
    ) -> tuple[int, float, float]:
        view = memoryview(block)
        started, busy = time.perf_counter(), time.thread_time()
        for _ in range(repeat):
            for at in range(0, len(view), _PIECE):
                sock.sendall(view[at : at + _PIECE])
        seconds = time.perf_counter() - started
        return len(view) * repeat, seconds, seconds - (time.thread_time() - busy)


if __name__ == "__main__":
    main(*sys.argv[1:], make=EncryptedServer)
