"""`fastfeed sim`: servers that speak the vendors' protocols."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import sys
import time
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from fastfeed.sim import OpenDSimulator

__all__ = ["sim"]

# Which options say something only with a tape, which only without.
_TAPE_ONLY = ("speed", "loop")
_GENERATOR_ONLY = ("symbols", "rate", "seed")


def _address(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise click.BadParameter(f"expected HOST:PORT, got {value!r}")
    return host.strip("[]"), int(port)


def _positive(ctx: click.Context, param: click.Parameter, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise click.BadParameter(f"expected a number above 0, got {value!r}")
    return number


def _speed(ctx: click.Context, param: click.Parameter, value: str) -> float | Literal["max"]:
    try:
        return "max" if value == "max" else _positive(ctx, param, value)
    except click.BadParameter:
        raise click.BadParameter(f"expected max or a number above 0, got {value!r}") from None


def _symbols(ctx: click.Context, param: click.Parameter, value: str) -> int | list[str]:
    if not value.lstrip("-").isdecimal():
        return _named(value.split(","))
    if not 1 <= int(value) <= 1_000_000:
        raise click.BadParameter(f"expected 1 to 1000000 symbols, got {value}")
    return int(value)


def _named(symbols: list[str]) -> list[str]:
    from fastfeed.protocols.opend_codes import security

    try:
        for symbol in symbols:
            security(symbol)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return symbols


class _FaultyCommand(click.Command):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from fastfeed.sim import Faults

        with formatter.section("Faults (=VALUE is what the bare name stands for)"):
            formatter.write_dl(list(Faults.describe()))


@click.group()
def sim() -> None:
    """Run a server that speaks a vendor's protocol."""


@sim.command(cls=_FaultyCommand)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=_address,
    default="127.0.0.1:11111",
    show_default=True,
    help="Address; port 0 takes any free one.",
)
@click.option(
    "--tape",
    metavar="FILE",
    help="Play the trades of this CSV file (plain or .gz), from the first subscription on.",
)
@click.option(
    "--speed",
    callback=_speed,
    metavar="max|X",
    default="1",
    show_default=True,
    help="Tape: multiple of its own speed; max: as fast as clients read.",
)
@click.option("--loop", is_flag=True, help="Tape: begin again at its end.")
@click.option(
    "--symbols",
    callback=_symbols,
    metavar="N|LIST",
    default="10",
    show_default=True,
    help="Without a tape: how many symbols, or which (AAPL.US,700.HK).",
)
@click.option(
    "--rate",
    callback=_positive,
    metavar="R",
    default="100",
    show_default=True,
    help="Without a tape: ticks a second, of all symbols together.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Without a tape: the same seed gives the same ticks.",
)
@click.option(
    "--rows-per-push",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Most ticks in one push.",
)
@click.option(
    "--quota",
    type=click.IntRange(min=0),
    default=100_000,
    show_default=True,
    help="Subscriptions of all clients together.",
)
@click.option(
    "--history-quota",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Securities that may be asked for their history.",
)
@click.option(
    "--rate-limits/--no-rate-limits",
    default=True,
    show_default=True,
    help="Refuse requests that come too often.",
)
@click.option(
    "--book-depth",
    type=click.IntRange(1, 60),
    default=10,
    show_default=True,
    help="Levels of a side in pushed books.",
)
@click.option(
    "--rsa-key",
    metavar="FILE",
    help="Let clients with this private key (PEM) encrypt.",
)
@click.option(
    "--idle-timeout",
    callback=_positive,
    metavar="SECONDS",
    default="30",
    show_default=True,
    help="Drop clients that send nothing for so long.",
)
@click.option(
    "--unsubscribe-after",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Age from which a subscription may be given up.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Do this wrong; repeatable. Names below.",
)
@click.pass_context
def opend(
    ctx: click.Context,
    *,
    listen: tuple[str, int],
    tape: str | None,
    speed: float | Literal["max"],
    loop: bool,
    symbols: int | list[str],
    rate: float,
    seed: int,
    rows_per_push: int,
    quota: int,
    history_quota: int,
    rate_limits: bool,
    book_depth: int,
    rsa_key: str | None,
    idle_timeout: float,
    unsubscribe_after: float,
    faults: tuple[str, ...],
) -> None:
    """Run a simulated OpenD (Futu / moomoo gateway).

    Prints `listening opend://HOST:PORT`, then serves clients until Ctrl-C: the trades of a tape, or
    generated ones, and the quotes, bars and books that follow from them.
    """
    import uvloop

    from fastfeed.errors import FastfeedError
    from fastfeed.sim import Faults, OpenDSimulator

    for name in _GENERATOR_ONLY if tape is not None else _TAPE_ONLY:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            use = "cannot be used together with" if tape is not None else "needs"
            raise click.UsageError(f"--{name} {use} --tape")
    try:
        wrong = Faults.parse(faults)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--fault'") from None
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        simulator = OpenDSimulator(
            *listen,
            tape=tape,
            speed=speed,
            loop=loop,
            symbols=symbols,
            rate=rate,
            seed=seed,
            rows_per_push=rows_per_push,
            faults=wrong if faults else None,
            idle_timeout_s=idle_timeout,
            quota=quota,
            history_quota=history_quota,
            rate_limits=rate_limits,
            book_depth=book_depth,
            rsa_key=rsa_key,
            unsubscribe_after_s=unsubscribe_after,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(simulator))
    except (FastfeedError, ValueError) as error:
        raise click.ClickException(str(error)) from None


async def _serve(simulator: OpenDSimulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    started = time.monotonic()
    async with simulator:
        click.echo(f"listening {simulator.url}")
        await stop.wait()
    stats = simulator.stats()
    click.echo(
        f"{stats['sent']:,} ticks sent, {stats['pushes']:,} pushes, {stats['connections']:,} connections, "
        f"{time.monotonic() - started:.1f} s",
        err=True,
    )
