"""What the commands of `fastfeed sim` have in common: options about ticks, and how a simulator is run."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol, Self, TypeVar

import click

__all__ = [
    "check_source",
    "command_of",
    "faults_option",
    "listen",
    "number_of_symbols",
    "parsed",
    "positive",
    "run",
    "securities",
    "settings_option",
    "source",
]

# Which options say something only with a tape, which only without.
_PLAYED_ONLY = ("speed", "loop")
_GENERATOR_ONLY = ("symbols", "rate", "seed")


def _address(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise click.BadParameter(f"expected HOST:PORT, got {value!r}")
    return host.strip("[]"), int(port)


def positive(ctx: click.Context, param: click.Parameter, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise click.BadParameter(f"expected a number above 0, got {value!r}")
    return number


def _speed(ctx: click.Context, param: click.Parameter, value: str) -> float | Literal["max"]:
    try:
        return "max" if value == "max" else positive(ctx, param, value)
    except click.BadParameter:
        raise click.BadParameter(f"expected max or a number above 0, got {value!r}") from None


def number_of_symbols(value: str) -> int | list[str]:
    """Return how many symbols a text says, or which."""
    if not value.lstrip("-").isdecimal():
        return value.split(",")
    if not 1 <= int(value) <= 1_000_000:
        raise click.BadParameter(f"expected 1 to 1000000 symbols, got {value}")
    return int(value)


def securities(ctx: click.Context, param: click.Parameter, value: str) -> int | list[str]:
    """Return how many symbols of OpenD's or LongPort's form a text says, or which."""
    from fastfeed.protocols.opend_codes import security

    symbols = number_of_symbols(value)
    try:
        for symbol in symbols if isinstance(symbols, list) else ():
            security(symbol)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return symbols


_Command = TypeVar("_Command", bound=Callable[..., Any])


def listen(default: str) -> Callable[[_Command], _Command]:
    """Return the option about the address."""
    return click.option(
        "--listen",
        metavar="HOST:PORT",
        callback=_address,
        default=default,
        show_default=True,
        help="Address; port 0 takes any free one.",
    )


def source(
    symbols: Callable[[click.Context, click.Parameter, str], Any], example: str
) -> Callable[[_Command], _Command]:
    """Return the options about where ticks come from."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    options = (
        click.option(
            "--tape",
            metavar="FILE",
            help="Play the trades of this CSV file (plain or .gz), from the first subscription on.",
        ),
        click.option(
            "--capture",
            metavar="PATH",
            help="Serve the pushes of this raw capture (see fastfeed record --raw), from the first subscription on.",
        ),
        click.option(
            "--speed",
            callback=_speed,
            metavar="max|X",
            default="1",
            show_default=True,
            help="Tape, capture: multiple of its own speed; max: as fast as clients read.",
        ),
        click.option("--loop", is_flag=True, help="Tape, capture: begin again at its end."),
        click.option(
            "--symbols",
            callback=symbols,
            metavar="N|LIST",
            default="10",
            show_default=True,
            help=f"Without a tape: how many symbols, or which ({example}).",
        ),
        click.option(
            "--rate",
            callback=positive,
            metavar="R",
            default="100",
            show_default=True,
            help="Without a tape: ticks a second, of all symbols together.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Without a tape: the same seed gives the same ticks.",
        ),
    )
    return add


faults_option = click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Do this wrong; repeatable. Names below.",
)


settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Decide what the documents leave open; repeatable. Names below.",
)


def check_source(ctx: click.Context, tape: str | None, capture: str | None) -> None:
    """Refuse options that say nothing with a tape or a capture, or without one."""
    if tape is not None and capture is not None:
        raise click.UsageError("--capture cannot be used together with --tape")
    played = "--tape" if tape is not None else "--capture" if capture is not None else None
    for name in _PLAYED_ONLY if played is None else _GENERATOR_ONLY:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name} needs --tape or --capture"
                if played is None
                else f"--{name} cannot be used together with {played}"
            )


_Options_co = TypeVar("_Options_co", covariant=True)


class _OptionsClass(Protocol[_Options_co]):
    def parse(self, texts: Iterable[str]) -> _Options_co: ...
    def describe(self) -> Iterable[tuple[str, str]]: ...


def parsed(kind: _OptionsClass[_Options_co], texts: Iterable[str], option: str) -> _Options_co:
    """Return what was given as NAME=VALUE."""
    try:
        return kind.parse(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def command_of(
    sections: Callable[[], Iterable[tuple[str, _OptionsClass[Any]]]],
) -> type[click.Command]:
    """Return a class of commands whose help ends with lists of options NAME=VALUE."""

    class Command(click.Command):
        def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            for title, kind in sections():
                with formatter.section(title):
                    formatter.write_dl(list(kind.describe()))

    return Command


class _Simulator(Protocol):
    @property
    def url(self) -> str: ...
    def stats(self) -> dict[str, int]: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *args: Any) -> None: ...


def run(make: Callable[[], _Simulator], *more: Callable[[Any], str]) -> None:
    """Make a simulator and run it until it is told to stop; say where it listens, and `more`."""
    import uvloop

    from fastfeed.errors import FastfeedError

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        simulator = make()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(simulator, more))
    except (FastfeedError, ValueError) as error:
        raise click.ClickException(str(error)) from None


async def _serve(simulator: _Simulator, more: Iterable[Callable[[Any], str]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    started = time.monotonic()
    async with simulator:
        click.echo(f"listening {simulator.url}")
        for line in more:
            click.echo(line(simulator))
        await stop.wait()
    stats = simulator.stats()
    click.echo(
        f"{stats['sent']:,} ticks sent, {stats['pushes']:,} pushes, {stats['connections']:,} connections, "
        f"{time.monotonic() - started:.1f} s",
        err=True,
    )
