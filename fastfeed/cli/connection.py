"""How commands get a feed: the options about connections, and which vendor has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from fastfeed.connect import connect, vendor_of
from fastfeed.errors import ConfigError
from fastfeed.feeds.alltick import AllTick
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.longport import LongPort
from fastfeed.feeds.opend import OpenD
from fastfeed.feeds.opend_session import Encryption

__all__ = ["NAMES", "connection_options", "feed_of"]

Command = TypeVar("Command", bound=Callable[..., Any])


def connection_options(command: Command) -> Command:
    """Add --rsa-key and --encryption to a command."""
    key = click.option(
        "--rsa-key",
        metavar="FILE",
        help="OpenD's RSA key (PEM), if it has one.  [env: FUTU_OPEND_RSA_KEY]",
    )
    cipher = click.option(
        "--encryption",
        type=click.Choice(get_args(Encryption)),
        help="Of OpenD, what follows the handshake; aes-cbc if there is a key.",
    )
    return key(cipher(command))


#: What the vendors are called.
NAMES: dict[type[Feed], str] = {OpenD: "OpenD", LongPort: "LongPort", AllTick: "AllTick"}


def feed_of(url: str, rsa_key: str | None, encryption: str | None, **options: Any) -> Feed:
    """Return the feed of a URL; options that are None are left to the URL and the defaults."""
    opend_only = {"rsa_key": rsa_key, "encryption": encryption}
    vendor = vendor_of(url)
    if vendor is not None and vendor is not OpenD:
        for name, value in opend_only.items():
            if value is not None:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"{NAMES[vendor]} has no {option}: it is about OpenD; wss:// encrypts"
                )
    given = opend_only | options
    return connect(url, **{name: value for name, value in given.items() if value is not None})
