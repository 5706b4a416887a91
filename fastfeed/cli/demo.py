"""`fastfeed demo`: a simulator in a process of its own, and a live view of its ticks."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import click

from fastfeed.cli.options import seconds
from fastfeed.cli.watch import console_for_table, watch_table
from fastfeed.connect import connect, run
from fastfeed.errors import ConnectError
from fastfeed.sim.generator import symbol_names

__all__ = ["demo"]

_SYMBOLS = symbol_names(10)
_ELSEWHERE_S = 10.0  # how long it runs where there is no terminal
_START_S = 20.0
_PR_SET_PDEATHSIG = 1


@click.command(short_help="Run a simulator and show its ticks, with nothing to configure.")
@click.option("--duration", callback=seconds, metavar="S", help="End after S seconds.")
@click.option(
    "--rate",
    type=click.FloatRange(min=1, max=1_000_000),
    default=120.0,
    show_default=True,
    metavar="R",
    help="Ticks a second, of all symbols together.",
)
def demo(duration: float | None, rate: float) -> None:
    """Run a simulated OpenD on this machine and watch its ticks live.

    Everything between the socket and the table is what a real gateway would go through; only the prices
    are made up. In a terminal it runs until Ctrl-C, elsewhere for ten seconds, and ends with a summary.
    """
    console = console_for_table()
    live = console.is_terminal
    if duration is None and not live:
        duration = _ELSEWHERE_S
    end = "until Ctrl-C" if duration is None else f"for {duration:g} seconds"
    click.echo(f"Made-up ticks of {len(_SYMBOLS)} symbols from a simulated OpenD, {end}.\n")
    sys.stdout.flush()
    with _terminated(), _simulator(rate) as url:
        feed = connect(url, wait_s=5.0)
        code = run(watch_table(feed, _SYMBOLS, console, duration=duration, title="fastfeed demo"))
    click.get_current_context().exit(code)


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """Leave by an exception on SIGTERM and SIGHUP, so that the simulator is ended on the way."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(0)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, leave) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _simulator(rate: float) -> Iterator[str]:
    """Run the simulator; give its URL."""
    parent = os.getpid()

    def end_with_parent() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    arguments = ["sim", "opend", "--listen", "127.0.0.1:0", "--symbols", ",".join(_SYMBOLS)]
    process = subprocess.Popen(  # -P: the package that runs, not one in the current folder
        [sys.executable, "-P", "-m", "fastfeed", *arguments, "--rate", f"{rate:g}"],
        preexec_fn=end_with_parent,  # noqa: PLW1509, there is no other thread yet
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C in the terminal is for the parent alone
    )
    try:
        yield _first_line(process)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """Wait until the simulator says where it listens."""
    assert process.stdout is not None
    deadline = time.monotonic() + _START_S
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise ConnectError(f"the simulator did not start within {_START_S:g} s")
        part = os.read(process.stdout.fileno(), 4096)
        if not part:
            _, errors = process.communicate()
            words = errors.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise ConnectError(f"the simulator did not start: {words[-1]}")
        line += part
    return line.decode().split()[-1]
