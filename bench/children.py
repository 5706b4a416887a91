"""Children that speak in lines and share descriptors with their parent."""

from __future__ import annotations

import json
import subprocess
from typing import Any


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
        """Return the outcome of a round."""
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
