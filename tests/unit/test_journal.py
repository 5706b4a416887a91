"""What a command that runs for long says: a line each, with the time, never too many, never in the way."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import fastfeed as ff
from fastfeed.cli.journal import Journal

TIME_NS = 1_700_010_000_123_456_789


class Page:
    """A journal, what was written to it so far, and its clock."""

    def __init__(self) -> None:
        self._read, self.write_end = os.pipe()
        os.set_blocking(self._read, False)
        self.now = 100.0
        self.journal = Journal(self.write_end, lambda: self.now)

    def lines(self) -> list[str]:
        text = b""
        while True:
            try:
                part = os.read(self._read, 1 << 16)
            except BlockingIOError:
                break
            text += part
        return text.decode().splitlines()

    def close_reader(self) -> None:
        os.close(self._read)
        self._read = -1

    def close(self) -> None:
        os.close(self.write_end)
        if self._read >= 0:
            os.close(self._read)


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page()
    yield made
    made.close()


def event(kind: str, text: str = "", symbols: tuple[str, ...] = ()) -> ff.Event:
    return ff.Event(kind, "opend://h:1", TIME_NS, text, symbols=symbols)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (event("connected"), "connected"),
        (event("disconnected", "reset\nby peer"), "disconnected: reset by peer; reconnecting"),
        (event("gap", "2 ticks", ("A.US", "B.US")), "gap: 2 ticks (A.US, B.US)"),
        (event("gap", "holes", tuple("ABCDE")), "gap: holes (A, B, C and 2 more)"),
        (event("resubscribed", "2 symbols", ("A", "B")), "subscribed again: 2 symbols"),
        (event("error", "at ws://x?token=hush&y"), "error: at ws://x?token=***&y"),
    ],
)
def test_events_are_lines(page: Page, told: ff.Event, words: str) -> None:
    page.journal.tell(told)
    assert page.lines() == [f"2023-11-15T01:00:00.123Z opend://h:1: {words}"]


def test_a_line_is_not_longer_than_a_pipe_takes_at_once(page: Page) -> None:
    page.journal.write("x", "y" * 100_000)
    [line] = page.lines()
    assert len(line) < 1100
    assert line.endswith(" ...")


def test_the_same_again_is_told_once_a_minute(page: Page) -> None:
    for _ in range(100):
        page.journal.write("a", "refused")
        page.journal.write("b", "refused")
        page.now += 1
    assert len(page.lines()) == 4
    page.journal.write("a", "connected")
    page.journal.write("a", "refused")
    assert len(page.lines()) == 2


def test_too_many_lines_are_left_out_and_counted(page: Page) -> None:
    for i in range(100):
        page.journal.write("a", f"line {i}")
    assert len(page.lines()) == 30
    page.now += 1
    page.journal.write("a", "more")
    page.journal.write("a", "and more")
    page.journal.write("a", "too much")
    first, second = page.lines()
    assert first.endswith("a: (70 lines left out) more")
    assert second.endswith("a: and more")
    page.now += 1000
    for i in range(100):
        page.journal.write("a", f"again {i}")
    assert len(page.lines()) == 30


def test_nobody_waits_for_a_reader_who_does_not_read(page: Page) -> None:
    for i in range(10_000):
        page.journal.write("a", f"{i} {'x' * 500}")
        page.now += 1
    taken = len(page.lines())
    assert 0 < taken < 10_000
    page.journal.write("a", "here again")
    [line] = page.lines()
    assert line.endswith(f"({10_000 - taken} lines left out) here again")


def test_a_reader_who_has_gone_is_no_error(page: Page) -> None:
    page.close_reader()
    page.journal.write("a", "is anybody there?")
    page.journal.write("a", "no")
