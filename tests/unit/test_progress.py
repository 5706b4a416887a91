"""The line that tells how far a command is."""

import io

import pytest

from fastfeed.cli import progress
from fastfeed.cli.progress import Progress, Rate


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")


def test_line_changes_in_place_and_is_cut():
    terminal = Terminal()
    with Progress(terminal) as line:
        line.show("1 row")
        line.show("2 rows, and many more words")
        line.end("done: 2 rows, and nothing is cut here")
    assert terminal.getvalue() == (
        "1 row\r\x1b[K2 rows, and many mo\r\x1b[Kdone: 2 rows, and nothing is cut here\n"
    )


def test_what_is_said_meanwhile_stands_above():
    terminal = Terminal()
    with Progress(terminal) as line:
        line.show("1 row")
        line.say("disconnected")
    assert terminal.getvalue() == "1 row\r\x1b[Kdisconnected\n1 row\n"


def test_nothing_shown_leaves_nothing():
    terminal = Terminal()
    with Progress(terminal):
        pass
    assert terminal.getvalue() == ""


def test_elsewhere_a_line_now_and_then(monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    file = io.StringIO()
    with Progress(file) as line:
        for second in range(25):
            now = 100.0 + second
            line.show(f"after {second} s")
        line.say("a word")
        line.end("done")
    assert file.getvalue() == "after 10 s\nafter 20 s\na word\ndone\n"


def test_characters_that_cannot_be_written_are_replaced():
    raw = io.BytesIO()
    with Progress(io.TextIOWrapper(raw, encoding="ascii", newline="\n")) as line:
        line.end("1 µs · 2 \x1b[2J €")
    assert raw.getvalue() == b"1 us . 2 ?[2J ?\n"


def test_closed_terminal_ends_nothing():
    class Gone(Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    with Progress(Gone()) as line:
        line.show("1 row")
        line.show("2 rows")
        line.end("done")


def test_rate_is_that_of_the_last_seconds():
    rate = Rate()
    assert rate.of(1000, 10.0) == 0
    assert rate.of(1500, 10.5) == 1000
    for step in range(1, 9):
        rate.of(1500, 10.5 + step / 2)  # nothing more comes
    assert rate.of(1500, 15.0) == 0
    assert rate.of(1600, 17.0) == 50
