"""Children that speak in lines: workers and gateways."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any, Self, cast

__all__ = ["ChildError", "Process"]

_LAST_WORDS = 2000  # bytes of a child's stderr that are shown


class ChildError(RuntimeError):
    """A child ended, or said what was not expected; the text has its last words."""


class Process:
    """A Python module in a process of its own: lines to its stdin, lines from its stdout.

    It does not get the terminal's Ctrl-C, which is its parent's to handle, and ends with its stdin.

    Parameters
    ----------
    module : str
        As for ``python -m``.
    *arguments : str
    environment : dict, optional
        Variables besides one's own.
    """

    def __init__(
        self, module: str, *arguments: str, environment: dict[str, str] | None = None
    ) -> None:
        self.name = " ".join((module, *arguments))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, as long as the child
        self.child = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        self._lines = io.BufferedReader(cast(io.RawIOBase, self.child.stdout))

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send a line of JSON and return the answer; ChildError where it is an error's."""
        self.tell(**question)
        return self.answer()

    def tell(self, **what: Any) -> None:
        """Send a line of JSON."""
        self.send(json.dumps(what).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        """Return the next line as what it says; ChildError where it is an error's."""
        answer: dict[str, Any] = json.loads(self.line())
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer

    def send(self, data: bytes) -> None:
        """Write to the child."""
        assert self.child.stdin is not None
        left = memoryview(data)
        try:
            while left:
                left = left[self.child.stdin.write(left) :]
        except BrokenPipeError:
            raise self._gone() from None

    def line(self) -> str:
        """Return the next line that the child says, without its end."""
        text = self._lines.readline().decode()
        if not text:
            raise self._gone()
        return text.rstrip("\n")

    def gone(self, timeout: float) -> ChildError | None:
        """Return an error with its last words if the child ends within so many seconds."""
        try:
            self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return self._gone()

    def _gone(self) -> ChildError:
        status = self.child.wait()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _LAST_WORDS))
        said = self._errors.read().decode(errors="replace").strip()
        return ChildError(f"{self.name} ended with status {status}: {said or 'it said nothing'}")

    def end(self) -> None:
        """Let the child end, or end it."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(1.0)
        finally:  # an interrupt may come while it is waited for
            if self.child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.child.pid, signal.SIGKILL)
                self.child.wait()
            self._lines.close()
            self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
