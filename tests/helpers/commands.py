"""The command line as processes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

FASTFEED = [sys.executable, "-m", "fastfeed"]


@contextlib.contextmanager
def process(*args: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """Start the command; kill it if the test leaves it running."""
    with subprocess.Popen(
        [*FASTFEED, *args], stdout=stdout, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


@contextlib.contextmanager
def simulator(*args: str, port: str = "0") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with process("sim", "opend", "--listen", f"127.0.0.1:{port}", *args) as child:
        assert child.stdout is not None
        yield child.stdout.readline().split()[-1], child
        child.terminate()
        child.communicate(timeout=10)


def run(*args: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FASTFEED, *args], capture_output=True, text=True, timeout=timeout, check=False
    )
