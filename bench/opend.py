"""The other end of the connection: native/sender.c as a process."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compiled import built

from fastfeed.bench.opend_pushes import HEADER, replies, sequence_at

HERE = Path(__file__).parent


class Process:
    """A child that speaks in lines."""

    def __init__(self, *arguments: str, pass_fds: tuple[int, ...] = ()) -> None:
        self.child = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=pass_fds,
        )

    def result(self) -> dict[str, Any]:
        """Return the outcome of a client's round."""
        outcome: dict[str, Any] = json.loads(self.line())
        return outcome

    def line(self) -> str:
        """Return the next line that the child says."""
        assert self.child.stdout is not None
        text = self.child.stdout.readline().decode()
        if not text:
            raise RuntimeError(f"{self.child.args!r} ended with status {self.child.wait()}")
        return text.rstrip("\n")

    def send(self, data: bytes) -> None:
        """Write to the child."""
        assert self.child.stdin is not None
        left = memoryview(data)
        while left:
            left = left[self.child.stdin.write(left) :]

    def end(self) -> None:
        """Let the child end, or end it."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.close()
        try:
            self.child.wait(1.0)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


class Sender(Process):
    """A server; `port` is where it listens."""

    def __init__(self, *arguments: str) -> None:
        super().__init__(*arguments)
        self.port = int(self.line())

    def schedule(self, packets: list[tuple[int, bytes]]) -> None:
        """Once a client has subscribed, tell what is to be sent when."""
        line = self.line()
        if line != "subscribed":
            raise RuntimeError(f"expected 'subscribed', got {line!r}")
        records = [struct.pack("<qq", at, len(data)) + data for at, data in packets]
        self.send(b"".join(records) + bytes(8))


@contextmanager
def _sender(*arguments: str) -> Iterator[Sender]:
    program = built("sender", "-O2")
    with tempfile.TemporaryDirectory(prefix="fastfeed-bench-") as folder:
        path = Path(folder, "replies")
        path.write_bytes(replies())
        sender = Sender(str(program), str(path), *arguments)
        try:
            yield sender
        finally:
            sender.child.kill()
            sender.end()


@contextmanager
def answering() -> Iterator[Sender]:
    """Run a sender that only answers, with ready-made replies."""
    with _sender() as sender:
        yield sender


@contextmanager
def simulator() -> Iterator[Sender]:
    """Run a simulated OpenD."""
    process = Sender(sys.executable, "-P", str(HERE / "simulator.py"))
    try:
        yield process
    finally:
        process.end()


@contextmanager
def blasting(block: bytes, repeat: int) -> Iterator[Sender]:
    """Run a sender that sends a block so many times to every client, with sequences that grow."""
    with tempfile.NamedTemporaryFile(prefix="fastfeed-bench-") as file:
        file.write(block)
        file.flush()
        first = block[: HEADER.size + HEADER.unpack_from(block)[5]]
        with _sender("blast", file.name, str(repeat), str(sequence_at(first))) as sender:
            yield sender


@contextmanager
def paced() -> Iterator[Sender]:
    """Run a sender that follows a schedule."""
    with _sender("paced") as sender:
        yield sender


@contextmanager
def client(name: str, port: int, packets: int, *options: str) -> Iterator[Process]:
    """Run a receiver of client.py."""
    process = Process(
        sys.executable, "-P", str(HERE / "client.py"), name, str(port), str(packets), *options
    )
    try:
        line = process.line()
        if line != "ready":
            raise RuntimeError(f"expected 'ready' of client {name}, got {line!r}")
        yield process
    finally:
        process.end()
