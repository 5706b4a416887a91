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
from fastfeed.feeds.nats import Nats
from fastfeed.feeds.opend import OpenD
from fastfeed.feeds.opend_session import Encryption
from fastfeed.feeds.replay import Replay

__all__ = ["NAMES", "connection_options", "feed_of", "opend_options", "vendor_class"]

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
NAMES: dict[type[Feed], str] = {
    OpenD: "OpenD",
    LongPort: "LongPort",
    AllTick: "AllTick",
    Nats: "NATS",
}


def feed_of(url: str, rsa_key: str | None, encryption: str | None, **options: Any) -> Feed:
    """Return the feed of a URL; options that are None are left to the URL and the defaults."""
    given = opend_options(url, rsa_key, encryption) | options
    return connect(url, **{name: value for name, value in given.items() if value is not None})


def vendor_class(feed: Feed) -> type[Feed]:
    """Return the class of the vendor's feeds that a feed is, or that it replays."""
    return feed.vendor if isinstance(feed, Replay) else type(feed)


def opend_options(url: str, rsa_key: str | None, encryption: str | None) -> dict[str, Any]:
    """Return those options of a URL that were given and that only OpenD has; ConfigError for other vendors'."""
    given = {"rsa_key": rsa_key, "encryption": encryption}
    options = {name: value for name, value in given.items() if value is not None}
    vendor = vendor_of(url)
    if options and vendor is not None and vendor is not OpenD:
        option = f"--{next(iter(options)).replace('_', '-')}"
        raise ConfigError(
            f"{NAMES[vendor]} has no {option}: it is about OpenD; wss:// or tls:// encrypts"
        )
    return options
