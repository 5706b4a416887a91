"""`fastfeed bench`: fastfeed beside its peers, measured on this machine."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fastfeed.cli.bench_replay import replay
from fastfeed.cli.group import complain
from fastfeed.cli.options import kinds_of
from fastfeed.errors import ConfigError

__all__ = ["bench"]

Command = TypeVar("Command", bound=Callable[..., Any])


class _All(click.Group):
    """A group that measures all where no family is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the name that is left out."""
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["all", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_All, short_help="Measure fastfeed beside its peers, on this machine.")
def bench() -> None:
    """Measure fastfeed beside its peers, on this machine.

    Decoders in memory, throughput and latency over loopback from a native load generator, scaling over symbols, and
    one process to many. Peers take part where they are installed (pip install 'fastfeed[peers]'): all get the same
    bytes, have to make the same rows of them before anything is timed, and take turns. With --out DIR the figures
    go into DIR/results.json and, with plots (pip install 'fastfeed[plot]'), DIR/report.html.

    \b
    Examples:
      fastfeed bench --quick
      fastfeed bench decode --vendor opend --out today
      fastfeed bench compare yesterday/results.json today/results.json
    """


def measuring(command: Command) -> Command:
    """Give a command the options that say what to measure, and what to do with it."""
    for option in reversed(
        (
            click.option(
                "--vendor",
                "vendors",
                metavar="VENDOR,...",
                help="Of opend, alltick, longport.  [default: all]",
            ),
            click.option(
                "--peers",
                metavar="PEER,...",
                help="The only peers that take part; none: fastfeed alone.  [default: all that are installed]",
            ),
            click.option(
                "--quick", is_flag=True, help="Fewer and shorter rounds: a first impression."
            ),
            click.option(
                "--out",
                metavar="DIR",
                type=click.Path(path_type=Path),
                help="Write results.json and report.html there.",
            ),
        )
    ):
        command = option(command)
    return command


def _family(name: str, families: tuple[str, ...], help_text: str) -> None:
    @bench.command(name, help=help_text, short_help=help_text.partition(".")[0] + ".")
    @measuring
    def command(vendors: str | None, peers: str | None, quick: bool, out: Path | None) -> None:
        _measure(families, vendors, peers, quick=quick, out=out)


_family("decode", ("decode",), "Bytes in memory to rows: ns for each.")
_family("wire", ("wire",), "Throughput over loopback, to a callback.")
_family("latency", ("latency",), "From the wire to a callback, at fixed rates.")
_family("scaling", ("scaling",), "What a tick costs with 1 to 10,000 symbols.")
_family("fanout", ("fanout",), "From one process to many.")
bench.add_command(replay)
_family("all", ("decode", "wire", "latency", "scaling", "fanout"), "All of these.")


def _measure(
    families: tuple[str, ...],
    vendors: str | None,
    peers: str | None,
    *,
    quick: bool,
    out: Path | None,
) -> None:
    from fastfeed.bench.plan import FULL, QUICK, VENDORS, Case, Plan
    from fastfeed.bench.run import cases, new_results, run

    plan = Plan(
        families,
        VENDORS if vendors is None else kinds_of(vendors),
        QUICK if quick else FULL,
        None if peers is None else () if peers == "none" else kinds_of(peers),
    )
    if out is not None:
        _writable(out)
    results = new_results(shlex.join(["fastfeed", *sys.argv[1:]]))
    steps = sum(case.steps for case in cases(plan))
    interrupted = False
    with click.progressbar(length=steps, file=sys.stderr, show_pos=False) as bar:

        def began(case: Case) -> None:
            bar.label = case.name
            bar.render_progress()

        try:
            run(plan, results.command, began=began, step=lambda: bar.update(1), into=results)
        except KeyboardInterrupt:
            interrupted = True
    for table in results.tables:
        click.echo(f"{table.name}: {table.rows}")
    if out is not None:
        results.write(out / "results.json")
    if interrupted:
        complain(f"interrupted: {len(results.tables)} tables were ready")
        click.get_current_context().exit(130)


def _writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to {out}: {error.strerror}") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write to {out}: permission denied")
