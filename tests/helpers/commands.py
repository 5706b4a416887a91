"""The command line as processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
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


@contextlib.contextmanager
def alltick(
    market: str, *args: str, port: str = "0"
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a side of AllTick; give its URL as `fastfeed` takes it."""
    with process(
        "sim", "alltick", "--market", market, "--listen", f"127.0.0.1:{port}", *args
    ) as child:
        assert child.stdout is not None
        yield f"alltick://{market}?url={child.stdout.readline().split()[-1]}", child
        child.terminate()
        child.communicate(timeout=10)


@contextlib.contextmanager
def longport(*args: str, port: str = "0") -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """Run LongPort; give the variables that clients need, and its addresses as WS, TCP and HTTP."""
    options = ("--listen", f"127.0.0.1:{port}", "--tcp-port", "0")
    with process("sim", "longport", *options, *args) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline().split() for _ in range(8)]
        found = {"WS": lines[0][1], "TCP": lines[1][1], "HTTP": lines[2][1]}
        for words in lines[4:]:
            found.update(word.split("=", 1) for word in words if "=" in word)
        yield found, child
        child.terminate()
        child.communicate(timeout=10)


def run(*args: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FASTFEED, *args], capture_output=True, text=True, timeout=timeout, check=False
    )


@contextlib.contextmanager
def terminal(
    *args: str, width: int = 80, height: int = 24
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start the command with a terminal as its standard input, output and error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    child = subprocess.Popen(
        [*FASTFEED, *args], stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield child, ours
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        os.close(ours)


def until(fd: int, words: str, seconds: float = 10) -> str:
    """Read a terminal until something stands there; with no words, until its end.

    A read may end, and the next one begin, within a character.
    """
    text = b""
    deadline = time.monotonic() + seconds
    while not words or words.encode() not in text:
        if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"expected {words!r}, got {text!r}")
        try:
            part = os.read(fd, 1 << 16)
        except OSError:  # Linux tells so that the other side has gone
            part = b""
        if not part:
            assert not words, f"expected {words!r}, got {text!r}"
            break
        text += part
    return text.decode(errors="replace")
