"""The options that say how to reach a gateway, common to all commands that connect to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from fastfeed.connect import connect
from fastfeed.feeds.opend import OpenD
from fastfeed.feeds.opend_session import Encryption

__all__ = ["connection_options", "feed_of"]

Command = TypeVar("Command", bound=Callable[..., Any])


def connection_options(command: Command) -> Command:
    """Add --rsa-key and --encryption to a command."""
    key = click.option(
        "--rsa-key",
        metavar="FILE",
        help="The gateway's RSA key (PEM), if it has one.  [env: FUTU_OPEND_RSA_KEY]",
    )
    cipher = click.option(
        "--encryption",
        type=click.Choice(get_args(Encryption)),
        help="What follows the handshake; aes-cbc if there is a key.",
    )
    return key(cipher(command))


def feed_of(url: str, rsa_key: str | None, encryption: str | None, **options: Any) -> OpenD:
    """Return the feed of a URL; options that are None are left to the URL and the defaults."""
    given = {"rsa_key": rsa_key, "encryption": encryption, **options}
    feed = connect(url, **{name: value for name, value in given.items() if value is not None})
    assert isinstance(feed, OpenD)
    return feed
