"""What a command that runs for long says on standard error: lines with the time, never too many, never in the way."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from fastfeed.cli import words
from fastfeed.connect import masked
from fastfeed.feeds.events import Event

__all__ = ["Journal"]

_MOST_AT_ONCE = 30.0
_LINES_A_SECOND = 2.0
_SAME_AGAIN_S = 60.0  # a line that says the same as the one before about this feed
_LONGEST = 1000
_NAMED = 3  # symbols


class Journal:
    """Lines on a file descriptor.

    What exceeds some thirty lines at once and two a second is left out, and counted in the next line; so is what the
    other side does not take at once: nobody waits for a reader of the journal.

    Parameters
    ----------
    fd : int
    clock : callable
        Gives seconds.
    say : callable, optional
        Takes the lines in place of the file descriptor, where that is a terminal with something else on it.
    """

    def __init__(
        self,
        fd: int,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], object] | None = None,
    ) -> None:
        self._fd = fd
        self._say = say
        self._clock = clock
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._allowed = _MOST_AT_ONCE
        self._counted_at = clock()
        self._left_out = 0
        self._last: dict[str, tuple[str, float]] = {}

    def tell(self, event: Event) -> None:
        """Write what happened to a feed."""
        text = words.event_words(event)
        if event.kind != "resubscribed" and event.symbols:
            names = ", ".join(event.symbols[:_NAMED])
            more = len(event.symbols) - _NAMED
            text += f" ({names} and {more} more)" if more > 0 else f" ({names})"
        self.write(event.feed, text, event.time_ns)

    def write(self, who: str, text: str, time_ns: int | None = None) -> None:
        """Write a line about somebody."""
        now = self._clock()
        last, said_at = self._last.get(who, ("", now))
        if text == last and now - said_at < _SAME_AGAIN_S:
            return
        self._last[who] = text, now
        self._allowed = min(
            _MOST_AT_ONCE, self._allowed + (now - self._counted_at) * _LINES_A_SECOND
        )
        self._counted_at = now
        if self._allowed < 1 or not self._put(who, text, time_ns or time.time_ns()):
            self._left_out += 1
            return
        self._allowed -= 1

    def _put(self, who: str, text: str, time_ns: int) -> bool:
        """Write a line if it is taken at once."""
        before = f"({self._left_out} lines left out) " if self._left_out else ""
        line = masked(" ".join(f"{_utc(time_ns)} {who}: {before}{text}".split()))
        if len(line) > _LONGEST:
            line = f"{line[:_LONGEST]} ..."
        try:
            if not self._poll.poll(0):
                return False
            if self._say is not None:
                self._say(line)
                self._left_out = 0
                return True
            os.write(self._fd, f"{line}\n".encode(errors="replace"))
        except OSError:  # nobody reads
            return False
        self._left_out = 0
        return True


def _utc(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1_000_000:03}Z"
