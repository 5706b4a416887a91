"""Options that several commands have, and how their texts are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = [
    "FOR_EVER_S",
    "format_option",
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
