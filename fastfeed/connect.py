"""From a URL to a feed, and from a coroutine to a running loop."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
import uvloop

from fastfeed.errors import ConfigError
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.opend import OpenD

__all__ = ["connect", "run"]

T = TypeVar("T")

_FEEDS: dict[str, type[OpenD]] = {"opend": OpenD}
_DEFAULT_PORTS = {"opend": 11111}

#: Options that a URL's query may hold, and how to read their text.
_QUERY: dict[str, Any] = {
    "client_id": str,
    "session": str,
    "check_sha1": bool,
    "wait_s": float,
    "connect_timeout_s": float,
    "request_timeout_s": float,
    "limit_bytes": int,
    "window_bytes": int,
}


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
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"expected a URL such as opend://127.0.0.1:11111, got {url!r}") from error
    feed = _FEEDS.get(parts.scheme)
    if feed is None or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
        raise ConfigError(
            f"expected a URL such as opend://127.0.0.1:11111 ({', '.join(_FEEDS)}), got {url!r}"
        )
    chosen = _query_options(parts.query) | options
    known = inspect.signature(feed).parameters
    for name in chosen:
        if name not in known or name in ("host", "port"):
            names = ", ".join(n for n in known if n not in ("host", "port"))
            raise ConfigError(f"expected an option of {feed.__name__} ({names}), got {name!r}")
    try:
        return feed(
            parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port, **chosen
        )
    except ValueError as error:
        raise ConfigError(f"{error}, in {url!r}") from error


def _query_options(query: str) -> dict[str, Any]:
    options = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _QUERY:
            raise ConfigError(f"expected an option ({', '.join(_QUERY)}), got {name!r} in the URL")
        try:
            options[name] = msgspec.convert(text, _QUERY[name], strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"option {name}={text!r} in the URL: {error}") from None
    return options


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop and return its result, as `asyncio.run()` does on the standard loop."""
    return uvloop.run(main)
