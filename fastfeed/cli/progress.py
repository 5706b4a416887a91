"""The line of a command that goes on for long: how far it is."""

from __future__ import annotations

import collections
import os
import shutil
import sys
import time
from types import TracebackType
from typing import Self, TextIO

from fastfeed.cli import words

__all__ = ["Progress", "Rate"]

_LINE_S = 10.0  # between two lines where they stay
_RATE_S = 2.0  # over which a rate is taken


class Progress:
    """Show one line that changes in place on a terminal, elsewhere a line now and then.

    A context manager that leaves the terminal at the beginning of a line. What else is written to the same
    terminal meanwhile goes through `say()`.

    Parameters
    ----------
    stream : file, optional
        Where to; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._in_place = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = ""  # what stands on the terminal's last line
        self._next_s = time.monotonic() + _LINE_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown:  # keep it, and go on below it
            self._write("\n")
            self._shown = ""

    def show(self, text: str) -> None:
        """Show how far it is. Where lines stay, most calls pass without one."""
        if self._in_place:
            self._put(text)
        elif time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _LINE_S
            self._write(f"{self._readable(text)}\n")

    def say(self, text: str) -> None:
        """Write a line that stays, above the one that changes."""
        self._write(f"{self._clear()}{self._readable(text)}\n")
        if shown := self._shown:
            self._shown = ""
            self._put(shown)

    def end(self, text: str) -> None:
        """Write the last line, in place of the one that changes."""
        self._write(f"{self._clear()}{self._readable(text)}\n")
        self._shown = ""

    def _put(self, text: str) -> None:
        text = self._readable(text)
        # The last column stays free: writing there makes some terminals begin a new line.
        self._write(f"{self._clear()}{text[: max(self._columns() - 1, 1)]}")
        self._shown = text

    def _columns(self) -> int:
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except OSError:
            columns = 0
        return columns or shutil.get_terminal_size().columns

    def _clear(self) -> str:
        return "\r\x1b[K" if self._shown else ""

    def _readable(self, text: str) -> str:
        text = words.printable(text)
        try:
            text.encode(self._stream.encoding or "ascii")
        except UnicodeEncodeError:
            text = text.translate(words.ASCII).encode("ascii", "replace").decode()
        return text

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # nobody looks any more: no reason to end what it tells about
            self._shown, self._in_place, self._next_s = "", False, float("inf")


class Rate:
    """How fast a number grows, over the last two seconds or so."""

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[float, float]] = collections.deque()

    def of(self, number: float, now_s: float | None = None) -> float:
        """Return the growth in a second, of a number as it is now; 0 at first."""
        now_s = time.monotonic() if now_s is None else now_s
        self._seen.append((now_s, number))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= _RATE_S:
            self._seen.popleft()
        before_s, before = self._seen[0]
        return (number - before) / max(now_s - before_s, 1e-3)
