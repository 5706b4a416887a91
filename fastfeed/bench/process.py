"""Children that speak in lines: workers and gateways."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Self

__all__ = ["ChildError", "Process", "end_with_parent"]

#: For an answer: far more than any takes, so that a run ends also with a child that hangs.
PATIENCE_S = 300.0

_LAST_WORDS = 2000  # bytes of a child's stderr that are looked at
_MOST_BYTES = 1 << 26  # of a line
_END_S = 10.0  # from the end of a child's stdout to its own
_PR_SET_PDEATHSIG = 1


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
        self._said = bytearray()  # and not yet taken

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send a line of JSON and return the answer; ChildError where it is an error's."""
        self.tell(**question)
        return self.answer()

    def tell(self, **what: Any) -> None:
        """Send a line of JSON."""
        self.send(json.dumps(what).encode() + b"\n")

    def answer(self, patience_s: float | None = None) -> dict[str, Any]:
        """Return the next line as what it says; ChildError where it is an error's, or none comes in time."""
        text = self.line(patience_s)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ChildError(f"expected an answer of {self.name}, got {text[:80]!r}")
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

    def line(self, patience_s: float | None = None) -> str:
        """Return the next line that the child says, without its end; ChildError where none comes in time."""
        assert self.child.stdout is not None
        fd = self.child.stdout.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if patience_s is None:
            patience_s = PATIENCE_S
        until = time.monotonic() + patience_s
        looked = 0
        while (end := self._said.find(b"\n", looked)) < 0:
            looked = len(self._said)
            if looked > _MOST_BYTES:
                raise ChildError(f"expected lines of at most {_MOST_BYTES} bytes of {self.name}")
            if not poll.poll(max(0.0, until - time.monotonic()) * 1e3):
                raise ChildError(f"{self.name} did not answer within {patience_s:g} s")
            data = os.read(fd, 1 << 16)
            if not data:
                raise self._gone()
            self._said += data
        text = self._said[:end].decode(errors="replace")
        del self._said[: end + 1]
        return text

    def gone(self, timeout: float) -> ChildError | None:
        """Return an error with its last words if the child ends within so many seconds."""
        try:
            self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return self._gone()

    def _gone(self) -> ChildError:
        try:
            self.child.wait(_END_S)
        except subprocess.TimeoutExpired:  # it has closed its stdout, and goes on
            self.kill()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _LAST_WORDS))
        said = self._errors.read().decode(errors="replace").strip()
        last = said.splitlines()[-1].strip() if said else "it said nothing"
        return ChildError(f"{self.name} ended with status {self.child.returncode}: {last}")

    def kill(self) -> None:
        """End the child at once, with all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def end(self) -> None:
        """Let the child end, or end it."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(1.0)
        finally:  # an interrupt may come while it is waited for
            if self.child.poll() is None:
                self.kill()
            self.child.stdout.close()
            self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def end_with_parent() -> None:
    """Let the system kill this process when the thread that started it ends, in whatever way, and whatever it does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
