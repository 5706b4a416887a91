"""`fastfeed sim alltick`: one side of AllTick."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import click

from fastfeed.cli.sim_options import (
    check_source,
    command_of,
    faults_option,
    listen,
    number_of_symbols,
    parsed,
    run,
    settings_option,
    source,
)

__all__ = ["alltick"]


def _symbols(ctx: click.Context, param: click.Parameter, value: str) -> int | list[str]:
    return number_of_symbols(value)


def _check_codes(symbols: int | list[str], market: Literal["stock", "crypto"]) -> None:
    from fastfeed.sim.alltick_codes import code

    try:
        for symbol in symbols if isinstance(symbols, list) else ():
            code(symbol, market)
    except ValueError as error:
        raise click.BadParameter(f"{error} (--market {market})", param_hint="'--symbols'") from None


def _sections() -> Iterator[tuple[str, Any]]:
    from fastfeed.sim import AllTickFaults, AllTickKnobs

    yield "Settings, what the documents leave open (the default is the first)", AllTickKnobs
    yield "Faults (=VALUE is what the bare name stands for)", AllTickFaults


@click.command(cls=command_of(_sections))
@listen("127.0.0.1:11112")
@click.option(
    "--market",
    type=click.Choice(["stock", "crypto"]),
    help="The side: stocks, or crypto, forex and metals.  [default: stock, or the capture's]",
)
@source(_symbols, "AAPL.US,700.HK or BTCUSDT,EURUSD")
@click.option(
    "--token",
    metavar="TEXT",
    default="testtoken",
    show_default=True,
    help="The token that is accepted.",
)
@click.option(
    "--plan",
    type=click.Choice(["free", "basic", "premium", "professional"]),
    default="professional",
    show_default=True,
    help="What the token may do.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    metavar="N",
    help="Connections at once, where not as the plan says.",
)
@click.option(
    "--codes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Codes in a subscription, where not as the plan says.",
)
@click.option(
    "--rate-limits/--no-rate-limits",
    default=True,
    show_default=True,
    help="Refuse requests and connections that come too fast.",
)
@settings_option
@faults_option
@click.pass_context
def alltick(
    ctx: click.Context,
    *,
    listen: tuple[str, int],
    market: Literal["stock", "crypto"] | None,
    tape: str | None,
    capture: str | None,
    speed: float | Literal["max"],
    loop: bool,
    symbols: int | list[str],
    rate: float,
    seed: int,
    token: str,
    plan: str,
    connections: int | None,
    codes: int | None,
    rate_limits: bool,
    settings: tuple[str, ...],
    faults: tuple[str, ...],
) -> None:
    """Run a simulated AllTick: one of its two sides.

    Prints `listening ws://HOST:PORT/PATH`, to which clients add `?token=` and the token, and where it answers
    over HTTP. Then it serves clients until Ctrl-C: the trades of a tape, or generated ones, and the books and
    bars that follow from them.
    """
    from fastfeed.sim import AllTickFaults, AllTickKnobs, AllTickSimulator

    check_source(ctx, tape, capture)
    _check_codes(symbols, market or "stock")
    knobs = parsed(AllTickKnobs, settings, "--set")
    wrong = parsed(AllTickFaults, faults, "--fault")
    run(
        lambda: AllTickSimulator(
            *listen,
            market=market,
            tape=tape,
            capture=capture,
            speed=speed,
            loop=loop,
            symbols=symbols,
            rate=rate,
            seed=seed,
            token=token,
            plan=plan,
            connections=connections,
            codes=codes,
            rate_limits=rate_limits,
            knobs=knobs,
            faults=wrong,
        ),
        lambda simulator: f"answering {simulator.http_url}",
    )
