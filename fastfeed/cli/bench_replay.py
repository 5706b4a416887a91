"""`fastfeed bench replay`: a user's own tape, at its own times and at multiples of them."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastfeed.cli.group import complain

if TYPE_CHECKING:
    from fastfeed.cli.bench_run import Progress
    from fastfeed.hub import Receive

__all__ = ["replay"]


def _speeds(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    found = []
    for text in value.split(","):
        try:
            speed = float(text)
        except ValueError:
            speed = math.nan
        if not 0 < speed < math.inf:
            raise click.BadParameter(f"expected numbers above 0 such as 1,10,100, got {text!r}")
        found.append(speed)
    return tuple(dict.fromkeys(found))


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"expected seconds, or 0 for the whole tape, got {value!r}")
    return seconds


@click.command(short_help="Your own tape, bursts included, into a feed.")
@click.argument("tape", metavar="TAPE")
@click.option(
    "--vendor",
    type=click.Choice(["opend", "alltick", "longport"]),
    default="opend",
    show_default=True,
    help="Whose protocol is spoken.",
)
@click.option(
    "--receive",
    type=click.Choice(["loop", "thread"]),
    default="loop",
    show_default=True,
    help="Who reads from the socket: the event loop, or a thread of its own.",
)
@click.option(
    "--speed",
    "speeds",
    metavar="N,...",
    default="1",
    show_default=True,
    callback=_speeds,
    help="Multiples of real time, one after the other.",
)
@click.option(
    "--for",
    "longest_s",
    metavar="SECONDS",
    default="30",
    show_default=True,
    callback=_seconds,
    help="How long at most for each: the busiest stretch of the tape that lasts so long; 0: the whole tape.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write results.json and report.html there.",
)
def replay(
    tape: str,
    vendor: str,
    receive: Receive,
    speeds: tuple[float, ...],
    longest_s: float,
    out: Path | None,
) -> None:
    """Replay your own tape at its own times, bursts included, and at multiples of them.

    TAPE is a CSV file, plain or compressed with gzip, with the header time_ns,symbol,price,volume,side. A gateway in a
    process of its own sends each trade at its time, in the vendor's protocol, whether the feed keeps up or not. Shown
    are what was lost, how long after its time each row was in the feed's callback, how far the stream's reader was
    behind at most, and what the receiving process took of a core. Every row is compared with the tape's.

    Exits with 1 where something was lost, or is not as it was sent.

    \b
    Examples:
      fastfeed bench replay trades.csv.gz
      fastfeed bench replay trades.csv.gz --vendor alltick --speed 1,10,100,1000 --for 10
      fastfeed bench replay trades.csv.gz --speed 1000 --for 0 --out today
    """
    from fastfeed.bench.machine import watched
    from fastfeed.bench.replay import Replay, stretch_of
    from fastfeed.bench.run import new_results
    from fastfeed.bench.turns import worker_cores
    from fastfeed.cli.bench_run import conduct
    from fastfeed.sim.tape import Tape

    whole = Tape.load(tape)
    played = Replay(whole, vendor, receive)
    stretches = [stretch_of(whole, speed, longest_s) for speed in speeds]
    steps = [math.ceil(stretch.seconds) + 1 for stretch in stretches]
    results = new_results(shlex.join(["fastfeed", *sys.argv[1:]]))
    results.complete = False
    receiver, sender = worker_cores() if receive == "loop" else ([], [])
    results.method = {
        "receive": receive,
        "longest_s": longest_s,
        "worker_cores": receiver,
        "feeder_cores": sender,
    }

    def work(progress: Progress) -> None:
        progress.begun(results, sum(steps))
        try:
            with watched(results):
                for stretch, most in zip(stretches, steps, strict=True):
                    progress.measures(f"replay {vendor}, {stretch.speed:,g} times", most)
                    played.play(stretch, _whole_seconds(progress, most))
                    results.tables = [played.table]
                    progress.keep()
        finally:
            if played.table.rows:
                results.tables = [played.table]
                progress.ready(played.table)
        results.complete = True

    conduct(out, work)
    if played.failures:
        complain("; ".join(played.failures))
        click.get_current_context().exit(1)


def _whole_seconds(progress: Progress, most: int) -> Callable[[float], None]:
    """Return what goes on by one step for each second."""
    passed, done = 0.0, 0

    def step(seconds: float) -> None:
        nonlocal passed, done
        passed += seconds
        while done < min(int(passed), most):
            done += 1
            progress.step()

    return step
