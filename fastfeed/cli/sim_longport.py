"""`fastfeed sim longport`: LongPort's quote gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import click

from fastfeed.cli.sim_options import (
    check_source,
    command_of,
    faults_option,
    listen,
    parsed,
    run,
    securities,
    settings_option,
    source,
)

__all__ = ["longport"]


def _sections() -> Iterator[tuple[str, Any]]:
    from fastfeed.sim import LongPortFaults, LongPortKnobs

    yield "Settings, what the documents leave open", LongPortKnobs
    yield "Faults (=VALUE is what the bare name stands for)", LongPortFaults


def _environment(simulator: Any) -> str:
    """Return what clients have to be told, as lines for a shell."""
    key, secret, token = simulator.credentials
    return "\n".join(
        (
            f"listening {simulator.tcp_url}",
            f"answering {simulator.http_url}",
            "for clients, the vendor's and fastfeed's:",
            f"  export LONGPORT_HTTP_URL={simulator.http_url}",
            f"  export LONGPORT_QUOTE_WS_URL={simulator.url}",
            f"  export LONGPORT_TRADE_WS_URL={simulator.url}",
            f"  export LONGPORT_APP_KEY={key} LONGPORT_APP_SECRET={secret} LONGPORT_ACCESS_TOKEN={token}",
        )
    )


@click.command(cls=command_of(_sections))
@listen("127.0.0.1:11113")
@click.option(
    "--tcp-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    default=11114,
    show_default=True,
    help="Port of raw TCP; 0 takes any free one.",
)
@source(securities, "AAPL.US,700.HK")
@click.option(
    "--trades-per-push",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Most trades in one push.",
)
@click.option(
    "--key", metavar="TEXT", default="KEY", show_default=True, help="The app key that is accepted."
)
@click.option("--secret", metavar="TEXT", default="secret", show_default=True, help="Its secret.")
@click.option(
    "--token",
    metavar="TEXT",
    default="TOKEN",
    show_default=True,
    help="The access token that is accepted.",
)
@click.option(
    "--rate-limits/--no-rate-limits",
    default=True,
    show_default=True,
    help="State limits in the profile, refuse requests that come too fast.",
)
@settings_option
@faults_option
@click.pass_context
def longport(
    ctx: click.Context,
    *,
    listen: tuple[str, int],
    tcp_port: int,
    tape: str | None,
    capture: str | None,
    speed: float | Literal["max"],
    loop: bool,
    symbols: int | list[str],
    rate: float,
    seed: int,
    trades_per_push: int,
    key: str,
    secret: str,
    token: str,
    rate_limits: bool,
    settings: tuple[str, ...],
    faults: tuple[str, ...],
) -> None:
    """Run a simulated LongPort (Longbridge): its quote gateway.

    Prints `listening ws://HOST:PORT/v2`, where it listens for raw TCP, where it gives one-time passwords over HTTP,
    and the variables that point clients to it. Then it serves clients until Ctrl-C: the trades of a tape, or
    generated ones, and the quotes, books and broker queues that follow from them.
    """
    from fastfeed.sim import LongPortFaults, LongPortKnobs, LongPortSimulator

    check_source(ctx, tape, capture)
    knobs = parsed(LongPortKnobs, settings, "--set")
    wrong = parsed(LongPortFaults, faults, "--fault")
    run(
        lambda: LongPortSimulator(
            *listen,
            tcp_port=tcp_port,
            tape=tape,
            capture=capture,
            speed=speed,
            loop=loop,
            symbols=symbols,
            rate=rate,
            seed=seed,
            trades_per_push=trades_per_push,
            key=key,
            secret=secret,
            token=token,
            rate_limits=rate_limits,
            knobs=knobs,
            faults=wrong,
        ),
        _environment,
    )
