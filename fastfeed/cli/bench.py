"""`fastfeed bench`: fastfeed beside its peers, measured on this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from fastfeed.cli.bench_replay import replay
from fastfeed.cli.options import kinds_of

__all__ = ["bench"]


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
    one process to many; without a command, all of these. Peers take part where they are installed (pip install
    'fastfeed[peers]'): all get the same bytes, have to make the same rows of them before anything is timed, and take
    turns. With --out DIR the figures go into DIR/results.json and, with plots (pip install 'fastfeed[plot]'),
    DIR/report.html.

    \b
    Examples:
      fastfeed bench --quick
      fastfeed bench decode --vendor opend --out today
      fastfeed bench compare yesterday/results.json today/results.json
    """


def _family(name: str, help_text: str) -> None:
    @bench.command(name, help=help_text, short_help=help_text)
    @click.option(
        "--vendor",
        "vendors",
        metavar="VENDOR,...",
        help="Of opend, alltick, longport.  [default: all]",
    )
    @click.option(
        "--peers",
        metavar="PEER,...",
        help="The only peers that take part; none: fastfeed alone.  [default: all that are installed]",
    )
    @click.option("--quick", is_flag=True, help="Fewer and shorter rounds: a first impression.")
    @click.option(
        "--out",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Write results.json and report.html there.",
    )
    def command(vendors: str | None, peers: str | None, quick: bool, out: Path | None) -> None:
        _measure(name, vendors, peers, quick=quick, out=out)


_family("decode", "Bytes in memory to rows: ns for each.")
_family("wire", "Throughput over loopback, to a callback.")
_family("latency", "From the wire to a callback, at fixed rates.")
_family("scaling", "What a tick costs with 1 to 10,000 symbols.")
_family("fanout", "From one process to many.")
_family("all", "All of these but replay.")
bench.add_command(replay)


def _measure(
    name: str, vendors: str | None, peers: str | None, *, quick: bool, out: Path | None
) -> None:
    from fastfeed.bench.plan import FAMILIES, FULL, QUICK, VENDORS, Plan
    from fastfeed.bench.run import run
    from fastfeed.cli.bench_run import conduct

    plan = Plan(
        FAMILIES if name == "all" else (name,),
        VENDORS if vendors is None else _names(vendors),
        QUICK if quick else FULL,
        None if peers is None else () if peers == "none" else _names(peers),
    )
    command = shlex.join(["fastfeed", *sys.argv[1:]])
    conduct(out, lambda progress: run(plan, command, progress))


def _names(text: str) -> tuple[str, ...]:
    """Return names that are written with commas between them; at least one, if only an empty one."""
    return kinds_of(text) or ("",)


@bench.command(short_help="What changed between two runs, beyond noise.")
@click.argument("before", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("after", metavar="B.json", type=click.Path(path_type=Path))
@click.option("--fail", is_flag=True, help="Exit with 1 if a figure of fastfeed's got worse.")
def compare(before: Path, after: Path, fail: bool) -> None:
    """Show what changed between two runs, beyond noise.

    A figure has changed where the quartiles of its rounds in A and in B do not overlap, and by more than the rounds
    and the machine varied in either. Of runs on different machines only ratios are compared. Files of `make bench`
    can be given as well.
    """
    from fastfeed.bench.compare import compare as compared
    from fastfeed.bench.results import Results
    from fastfeed.cli.bench_compare import comparison_lines
    from fastfeed.cli.grid import say, terminal_width

    comparison = compared(Results.read(before), Results.read(after))
    say(comparison_lines(comparison, str(before), str(after), terminal_width()))
    if fail and comparison.failed:
        click.get_current_context().exit(1)
