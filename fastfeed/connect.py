"""From a URL to a feed, and from a coroutine to a running loop."""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Any, TypeVar, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import msgspec
import uvloop

from fastfeed.errors import ConfigError
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.opend import OpenD

__all__ = ["connect", "run"]

T = TypeVar("T")

_FEEDS: dict[str, type[OpenD]] = {"opend": OpenD}
_EXAMPLE = "opend://127.0.0.1:11111"


def connect(url: str, **options: Any) -> Feed:
    """Return the feed of a URL, to be entered with ``async with``.

    Parameters
    ----------
    url : str
        ``opend://host:port``; the port is 11111 if not given. Options may stand in the query, as in
        ``opend://10.0.0.5?wait_s=30&session=ALL``.
    **options
        Options of the vendor's class, `OpenD`; they override those of the URL.

    Raises
    ------
    ConfigError
        The URL or an option cannot be used.

    Examples
    --------
    >>> async with ff.connect("opend://127.0.0.1:11111") as feed:
    ...     await feed.subscribe(["700.HK", "AAPL.US"], "ticks")
    ...     async for ticks in feed.ticks:
    ...         print(feed.symbols[ticks["symbol"][-1]], ticks["price"][-1])
    """
    shown = re.sub(r"//.*@", "//***@", url) if isinstance(url, str) else repr(url)
    try:
        parts = urlsplit(url)
        address = (parts.hostname,) if parts.port is None else (parts.hostname, parts.port)
    except (ValueError, AttributeError, TypeError):
        raise ConfigError(f"expected a URL such as {_EXAMPLE}, got {shown!r}") from None
    feed = _FEEDS.get(parts.scheme)
    if feed is None or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
        raise ConfigError(f"expected a URL such as {_EXAMPLE}, got {shown!r}")
    known = get_type_hints(feed.__init__)
    for name in ("host", "port", "return"):
        del known[name]
    for name in options:
        if name not in known:
            raise ConfigError(f"expected an option ({', '.join(known)}), got {name!r}")
    try:
        return feed(*address, **_query_options(parts.query, known) | options)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{error}, in {shown!r}") from error


def _query_options(query: str, known: dict[str, Any]) -> dict[str, Any]:
    """Read the options of a query by the types that the constructor declares."""
    plain = {name: kind for name, kind in known.items() if name not in ("hub", "backoff")}
    options = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in plain:
            raise ConfigError(f"expected an option ({', '.join(plain)}), got {name!r} in the URL")
        try:
            options[name] = msgspec.convert(text, plain[name], strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"option {name}={text!r} in the URL: {error}") from None
    return options


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop and return its result, as `asyncio.run()` does on the standard loop."""
    return uvloop.run(main)
