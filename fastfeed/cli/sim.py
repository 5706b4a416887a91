"""`fastfeed sim`: servers that speak the vendors' protocols."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import click

from fastfeed.cli.sim_alltick import alltick
from fastfeed.cli.sim_longport import longport
from fastfeed.cli.sim_options import (
    check_source,
    command_of,
    faults_option,
    listen,
    parsed,
    positive,
    run,
    securities,
    source,
)

__all__ = ["sim"]


def _sections() -> Iterator[tuple[str, Any]]:
    from fastfeed.sim import Faults

    yield "Faults (=VALUE is what the bare name stands for)", Faults


@click.group()
def sim() -> None:
    """Run a server that speaks a vendor's protocol."""


sim.add_command(alltick)
sim.add_command(longport)


@sim.command(cls=command_of(_sections))
@listen("127.0.0.1:11111")
@source(securities, "AAPL.US,700.HK")
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
    callback=positive,
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
@faults_option
@click.pass_context
def opend(
    ctx: click.Context,
    *,
    listen: tuple[str, int],
    tape: str | None,
    capture: str | None,
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
    generated ones, and the quotes, bars and books that follow from them. Of a capture it serves the recorded pushes,
    byte for byte, to whoever subscribes to them.
    """
    from fastfeed.sim import Faults, OpenDSimulator

    check_source(ctx, tape, capture)
    wrong = parsed(Faults, faults, "--fault")
    run(
        lambda: OpenDSimulator(
            *listen,
            tape=tape,
            capture=capture,
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
    )
