"""How a command that measures runs: tables as they are ready, a bar below them, and what an interrupt keeps."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from fastfeed.bench.process import ChildError
from fastfeed.bench.report import write_report
from fastfeed.bench.results import Results, Table
from fastfeed.bench.run import Watcher
from fastfeed.bench.turns import DisagreementError
from fastfeed.cli.bench_tables import end_lines, head_lines, table_lines
from fastfeed.cli.grid import say, terminal_width
from fastfeed.cli.group import complain
from fastfeed.cli.words import counted
from fastfeed.errors import ConfigError, FastfeedError

__all__ = ["Progress", "conduct", "make_writable"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RESULTS = "results.json"
_REPORT = "report.html"


class Progress(Watcher):
    """Shows tables as they are ready, and in a terminal below them what is measured now and how long it will take.

    Parameters
    ----------
    out : Path, optional
        The folder whose results.json has what is ready.

    Attributes
    ----------
    results : Results or None
        From when the run has begun.
    """

    def __init__(self, out: Path | None) -> None:
        self.results: Results | None = None
        self._out = out
        self._bar: Any = None
        self._expected = 0  # where the next table begins, however many steps the last one had

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._bar is not None:
            self._erase()
            self._bar.__exit__(*exc)

    def begun(self, results: Results, steps: int) -> None:
        """Print what is known before anything is measured."""
        self.results = results
        say(head_lines(results, terminal_width()))
        sys.stdout.flush()
        if sys.stderr.isatty():
            self._bar = click.progressbar(
                length=steps, file=sys.stderr, width=30, label=" " * _LABEL
            )
            self._bar.__enter__()

    def measures(self, name: str, steps: int) -> None:
        """Name what is measured now, and how many steps it has."""
        if self._bar is not None:
            self._bar.label = f"{name:<{_LABEL}}"
            self._bar.update(self._expected - self._bar.pos)
            self._bar.render_progress()
        self._expected += steps

    def step(self) -> None:
        """Go on by one."""
        if self._bar is not None:
            self._bar.update(1)

    def ready(self, table: Table) -> None:
        """Print a table above, and keep it."""
        if self._bar is not None:
            self._erase()
        say(table_lines(table, terminal_width()))
        sys.stdout.flush()
        self.keep()

    def keep(self) -> None:
        """Write what is ready, so that it is there however this process ends."""
        if self._out is not None and self.results is not None:
            # Where it cannot be written the end of the run will say so: until then nothing is lost.
            with contextlib.suppress(OSError):
                self.results.write(self._out / _RESULTS)

    def _erase(self) -> None:
        click.echo("\r\x1b[K", nl=False, err=True)


_LABEL = 34  # the longest names: "decode opend ticks, 10 a packet"


def conduct(out: Path | None, work: Callable[[Progress], object]) -> None:
    """Let something be measured, show it, write it, and exit with the code that says how it ended.

    Parameters
    ----------
    out : Path, optional
        The folder for results.json and report.html.
    work : callable
        Measures, as `run` does with a watcher; it may be left at any time by a KeyboardInterrupt, and what is among
        the results by then is kept.
    """
    if out is not None:
        make_writable(out)
    code = 0
    ended = ""
    progress = Progress(out)
    with _interrupted_by_signals():
        try:
            with progress:
                work(progress)
        except KeyboardInterrupt:
            code, ended = 130, "interrupted"
        except (DisagreementError, ChildError, FastfeedError) as error:
            code, ended = 1, str(error)
        except BrokenPipeError:
            raise  # nobody reads any more
        except OSError as error:  # as a full disk: what was ready is kept
            where = f": {error.filename}" if error.filename else ""
            code, ended = 1, f"{error.strerror or error}{where}"
        results = progress.results
        if results is not None:
            say(end_lines(results, terminal_width()))
            if out is not None:
                _write(results, out)
    if ended:
        ready = 0 if results is None else len(results.tables)
        complain(f"{ended}: {counted(ready, 'table')} ready before")
        click.get_current_context().exit(code)


def _write(results: Results, out: Path) -> None:
    results.write(out / _RESULTS)
    say(["", f"written: {out / _RESULTS}"])
    if write_report(results, out / _REPORT):
        say([f"written: {out / _REPORT}"])
    else:
        say([f"no {_REPORT}: its pictures need matplotlib (pip install 'fastfeed[plot]')"])


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let the signals that end a command raise KeyboardInterrupt; a second one ends it the default way."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    held = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in held:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in held:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, before[number])


def make_writable(out: Path) -> None:
    """Make a folder if it is missing, and see that results can be written there; ConfigError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        for name in (_RESULTS, _REPORT):
            path = out / name
            if path.is_dir() or (path.exists() and not os.access(path, os.W_OK)):
                raise ConfigError(f"cannot write to {path}")
    except FileExistsError:
        raise ConfigError(f"cannot write to {out}: it is a file, not a folder") from None
    except OSError as error:
        raise ConfigError(f"cannot write to {out}: {error.strerror}") from error
