"""What `fastfeed serve` serves: the settings of a hub and of its feeds, from a TOML file or the command line.

    name = "md"
    capacity = 1048576

    [[feeds]]
    url = "opend://127.0.0.1:11111"
    kinds = ["ticks", "books"]
    symbols = ["700.HK", "AAPL.US"]

    [[feeds]]
    url = "alltick://crypto"
    options = { plan = "premium" }

    [[feeds.subscriptions]]
    symbols_file = "crypto.txt"

Everything is checked before anything starts. What is said about a wrong option does not repeat it where it may be
a credential.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints
from urllib.parse import parse_qs, urlsplit

import msgspec

from fastfeed.cli.options import FOR_EVER_S
from fastfeed.connect import connect, vendor_of
from fastfeed.errors import ConfigError
from fastfeed.feeds.feed import Feed
from fastfeed.hub import Hub, Receive
from fastfeed.shared import checked_mode, checked_name

__all__ = ["FeedConfig", "HubConfig", "Plan", "Subscription", "load"]

_MOST_BYTES = 1 << 26  # of a file
#: Options of vendors' classes that are no plain values.
_NOT_IN_FILE = ("hub", "backoff", "ssl_context")


class _Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What a table of the file may have: fields of these names and types, and nothing else."""


class Subscription(_Settings):
    """Symbols, and what is to be delivered of them.

    Attributes
    ----------
    symbols : list of str
    symbols_file : str, optional
        More symbols, one a line; what stands behind ``#`` is a comment. The path counts from the TOML's folder.
    kinds : list of str
        As in `Feed.subscribe`.
    """

    symbols: list[str] = []
    symbols_file: str | None = None
    kinds: list[str] = msgspec.field(default_factory=lambda: ["ticks"])


class FeedConfig(_Settings):
    """A feed of the hub.

    Attributes
    ----------
    url : str
    options : dict
        Those of the vendor's class.
    symbols, symbols_file, kinds
        As in `Subscription`, where there is only one.
    subscriptions : list of Subscription
    """

    url: str
    options: dict[str, Any] = {}
    symbols: list[str] | None = None
    symbols_file: str | None = None
    kinds: list[str] | None = None
    subscriptions: list[Subscription] | None = None


class HubConfig(_Settings):
    """A hub and its feeds.

    Attributes
    ----------
    name : str
    capacity, max_symbols, book_depth, mode
        As in `Hub`, whose defaults hold. `mode` may be a text of octal digits.
    receive, spin, cpu
        Options of all feeds.
    feeds : list of FeedConfig
    """

    name: str | None = None
    capacity: int | None = None
    max_symbols: int | None = None
    book_depth: int | None = None
    mode: int | str | None = None
    receive: Receive | None = None
    spin: bool | None = None
    cpu: int | None = None
    feeds: list[FeedConfig] = []

    def new_hub(self, name: str | None) -> Hub:
        """Return the hub; without a name, a private one that is made like it.

        Raises
        ------
        ConfigError
            A setting cannot be.
        HubError
            Another process has the hub of this name, or there is no room for it.
        """
        given = {
            "capacity": self.capacity,
            "max_symbols": self.max_symbols,
            "book_depth": self.book_depth,
            "mode": _permissions(self.mode),
        }
        settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        try:
            return Hub(name, **settings)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def check(self) -> None:
        """Look at everything that can be wrong; ConfigError says where it is."""
        if self.name is None:
            raise ConfigError("expected the name of the hub: give --name, or name in the file")
        try:
            checked_name(self.name)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self.check_feeds()

    def check_feeds(self) -> None:
        """Do the same for a hub that needs no name."""
        if self.receive != "thread" and (self.spin is not None or self.cpu is not None):
            raise ConfigError(
                "spin and cpu are about the receiving thread: expected receive thread "
                "(--receive, or receive in the file)"
            )
        if not self.feeds:
            raise ConfigError("expected at least one feed, [[feeds]]")
        with self.new_hub(None) as hub:
            found = {symbol for plan in self.plans(hub) for symbol in plan.symbols}
            if len(found) > hub.symbols.capacity:
                raise ConfigError(
                    f"expected at most {hub.symbols.capacity} symbols, got {len(found)}: raise max_symbols"
                )

    def plans(self, hub: Hub, wait_s: float | None = None) -> list[Plan]:
        """Make the feeds, none of which is connected yet.

        Parameters
        ----------
        hub : Hub
        wait_s : float, optional
            How long each tries to connect at first; not given, for ever. Its option `wait_s` comes first.
        """
        given = {
            "receive": self.receive,
            "spin": self.spin,
            "cpu": self.cpu,
            "hub": hub,
            "wait_s": FOR_EVER_S if wait_s is None else wait_s,
        }
        options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        return [_plan(feed, f"$.feeds[{i}]", options) for i, feed in enumerate(self.feeds)]


class Plan(NamedTuple):
    """A feed, the symbols with the kinds that it is to subscribe to, and how to make another one like it."""

    feed: Feed
    wanted: list[tuple[list[str], tuple[str, ...]]]
    make: Callable[[], Feed]

    @property
    def symbols(self) -> set[str]:
        """All symbols."""
        return {symbol for symbols, _ in self.wanted for symbol in symbols}


def load(path: Path) -> HubConfig:
    """Read a TOML file, and the files of symbols that it names.

    Raises
    ------
    ConfigError
        It cannot be read, or it is not what is expected; the text says where.
    """
    try:
        config = msgspec.toml.decode(_read(path), type=HubConfig)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, numbers of thousands of digits
        raise ConfigError(f"{path} is no TOML: {error}") from None
    for i, feed in enumerate(config.feeds):
        where = f"$.feeds[{i}]"
        if feed.subscriptions is None:
            kinds = {} if feed.kinds is None else {"kinds": feed.kinds}
            feed.subscriptions = [Subscription(feed.symbols or [], feed.symbols_file, **kinds)]
        elif (feed.symbols, feed.symbols_file, feed.kinds) != (None, None, None):
            raise ConfigError(
                f"{path}: expected symbols and kinds either here or in subscriptions - at `{where}`"
            )
        for subscription in feed.subscriptions:
            if subscription.symbols_file is not None:
                file = path.parent / subscription.symbols_file
                subscription.symbols = subscription.symbols + _symbols_of(file)
    return config


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path}: expected at most {_MOST_BYTES >> 20} MiB")
    return data


def _symbols_of(path: Path) -> list[str]:
    try:
        text = _read(path).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8: {error}") from None
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _permissions(mode: int | str | None) -> int | None:
    if mode is None:
        return None
    try:
        number = int(mode, 8) if isinstance(mode, str) else mode
    except ValueError:
        raise ConfigError(f"expected permissions such as 0640, got {mode!r}") from None
    try:
        return checked_mode(number)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _plan(config: FeedConfig, where: str, options: dict[str, Any]) -> Plan:
    if config.url.startswith("file:"):
        raise ConfigError(
            f"fastfeed replay PATH --hub NAME publishes a capture, see its --help - at `{where}`"
        )
    vendor = vendor_of(config.url)
    own = _checked_options(config, {} if vendor is None else get_type_hints(vendor.__init__), where)
    if vendor is not None and "wait_s" in parse_qs(urlsplit(config.url).query):
        options = {name: value for name, value in options.items() if name != "wait_s"}
    make = functools.partial(connect, config.url, **options | own)
    try:
        feed = make()
    except ConfigError as error:
        raise ConfigError(f"{error} - at `{where}`") from None
    wanted = []
    for i, subscription in enumerate(config.subscriptions or ()):
        kinds = tuple(subscription.kinds)
        try:
            names = feed.check(subscription.symbols, *kinds)
        except ValueError as error:
            raise ConfigError(f"{error} - at `{where}`, subscription {i}") from None
        if not names:
            raise ConfigError(f"expected at least one symbol - at `{where}`, subscription {i}")
        wanted.append((names, kinds))
    if not wanted:
        raise ConfigError(f"expected symbols - at `{where}`")
    return Plan(feed, wanted, make)


def _checked_options(config: FeedConfig, hints: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the options of a feed as the types that its vendor's class declares; `connect` checks the names."""
    options = {}
    for name, value in config.options.items():
        if name in _NOT_IN_FILE:
            raise ConfigError(f"the option {name} cannot stand in a file - at `{where}.options`")
        try:
            options[name] = msgspec.convert(value, hints.get(name, Any))
        except msgspec.ValidationError as error:
            raise ConfigError(f"{error} - at `{where}.options.{name}`") from None
    return options
