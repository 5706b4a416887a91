"""Options that several commands have, and how their texts are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from fastfeed.schema import STREAMS

__all__ = [
    "FOR_EVER_S",
    "attached_options",
    "format_option",
    "hub_options",
    "kinds_of",
    "seconds",
    "seconds_or_none",
    "size",
    "user_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])

#: Longer than anything is waited for.
FOR_EVER_S = 1e9

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read an option that is a duration."""
    number = _number(value)
    if number is not None and not 0 < number < FOR_EVER_S:
        raise click.BadParameter(f"expected more than 0 seconds, got {value!r}")
    return number


def seconds_or_none(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read an option that is a duration and may be 0."""
    number = _number(value)
    if number is not None and not 0 <= number < FOR_EVER_S:
        raise click.BadParameter(f"expected 0 or more seconds, got {value!r}")
    return number


def _number(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return math.nan


def size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read an option that is a number of bytes."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,12})([KMG]?)(i?B)?", value.strip(), re.IGNORECASE)
    if found is None or not int(found[1]):
        raise click.BadParameter(f"expected a size such as 64M or 1G, got {value!r}")
    return int(found[1]) << _UNITS[found[2].upper()]


def kinds_of(text: str) -> tuple[str, ...]:
    """Return kinds that are written with commas between them."""
    return tuple(dict.fromkeys(kind.strip() for kind in text.split(",") if kind.strip()))


def _user(ctx: click.Context, param: click.Parameter, value: str | None) -> str | int | None:
    return int(value) if value is not None and value.isascii() and value.isdigit() else value


def format_option(*forms: str) -> Callable[[Command], Command]:
    """Return the option that says what to write, by default the first of some forms."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="What to write.",
    )


user_option = click.option(
    "--user",
    callback=_user,
    metavar="USER",
    help="Whose, by name or number; another user has to allow it.  [default: one's own]",
)


def attached_options(command: Command) -> Command:
    """Add --kinds, --from, --user and --no-follow to a command that reads another process's hub."""
    kinds = click.option(
        "--kinds",
        default="ticks",
        show_default=True,
        metavar="KIND,...",
        help=f"Of {', '.join(STREAMS)}; bars:1m are all bars.",
    )
    start = click.option(
        "--from",
        "start",
        type=click.Choice(["now", "oldest"]),
        default="now",
        show_default=True,
        help="Begin with the next row, or with the oldest one that the hub still keeps.",
    )
    no_follow = click.option("--no-follow", is_flag=True, help="End when the hub's writer is gone.")
    return kinds(start(user_option(no_follow(command))))


def hub_options(command: Command) -> Command:
    """Add what a command's own hub and its feeds are made with: --capacity, --depth, --receive, --spin and --cpu."""
    capacity = click.option(
        "--capacity",
        type=int,
        metavar="N",
        help="Ticks that are kept in memory, a power of two; 64 bytes each.  [default: 262144]",
    )
    depth = click.option(
        "--depth",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="Levels of a side of books.  [default: 10]",
    )
    receive = click.option(
        "--receive",
        type=click.Choice(["loop", "thread"]),
        help="Who receives: Python's event loop, or a native thread without the GIL.  [default: loop]",
    )
    spin = click.option(
        "--spin/--no-spin",
        default=None,
        help="Of the thread: poll without sleeping; takes a processor.",
    )
    cpu = click.option(
        "--cpu",
        type=click.IntRange(min=0),
        metavar="N",
        help="Of the thread: the processor it runs on.",
    )
    return capacity(depth(receive(spin(cpu(command)))))
