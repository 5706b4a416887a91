"""From a URL to a feed, and from a coroutine to a running loop."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec
import uvloop

from fastfeed.errors import ConfigError
from fastfeed.feeds.alltick import AllTick
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.longport import LongPort
from fastfeed.feeds.nats import Nats
from fastfeed.feeds.opend import OpenD
from fastfeed.feeds.replay import Replay

__all__ = ["connect", "masked", "run", "vendor_of"]

T = TypeVar("T")

_EXAMPLES = "opend://127.0.0.1:11111, longport://, alltick://crypto, nats://127.0.0.1:4222/md or file://./captured"


def _opend(parts: SplitResult) -> dict[str, Any]:
    _no_path(parts)
    if not parts.hostname:
        raise ValueError("a host expected")
    port = {} if parts.port is None else {"port": parts.port}
    return {"host": parts.hostname, **port}


def _longport(parts: SplitResult) -> dict[str, Any]:
    _no_path(parts)
    if parts.netloc:
        raise ValueError("no address expected: that is an option")
    return {}


def _alltick(parts: SplitResult) -> dict[str, Any]:
    _no_path(parts)
    if not parts.hostname or parts.port is not None:
        raise ValueError("a market expected, and no port")
    return {"market": parts.hostname}


def _nats(parts: SplitResult) -> dict[str, Any]:
    if not parts.netloc:
        raise ValueError("a host expected")
    prefix = parts.path.strip("/")
    return {"servers": f"{parts.scheme}://{parts.netloc}", **({"prefix": prefix} if prefix else {})}


def _file(parts: SplitResult) -> dict[str, Any]:
    path = unquote(parts.netloc + parts.path)
    if not path or parts.fragment or "\0" in path:
        raise ValueError("a path expected")
    return {"path": path}


def _no_path(parts: SplitResult) -> None:
    if parts.path.strip("/") or "@" in parts.netloc:
        raise ValueError("more than an address")


#: The classes of the schemes that are somebody's address.
_VENDORS: dict[str, type[OpenD | LongPort | AllTick | Nats]] = {
    "opend": OpenD,
    "longport": LongPort,
    "alltick": AllTick,
    "nats": Nats,
    "tls": Nats,
}
#: The class of each scheme, and what the URL's address means to it.
_FEEDS: dict[str, tuple[type[Any], Callable[[SplitResult], dict[str, Any]]]] = {
    "opend": (OpenD, _opend),
    "longport": (LongPort, _longport),
    "alltick": (AllTick, _alltick),
    "nats": (Nats, _nats),
    "tls": (Nats, _nats),
    "file": (Replay, _file),
}
#: Options that cannot stand in a URL.
_NOT_IN_URL = ("hub", "backoff", "ssl_context")


def vendor_of(url: str) -> type[OpenD | LongPort | AllTick | Nats] | None:
    """Return the class of a URL's vendor, None where the URL has none."""
    try:
        return _VENDORS[urlsplit(url).scheme]
    except (ValueError, AttributeError, TypeError, KeyError):
        return None


def masked(text: str) -> str:
    """Return a text without the credentials of the URLs in it."""
    text = re.sub(r"//[^\s'\"]*@", "//***@", text)
    return re.sub(r"(?i)((?:token|secret|app_key)(?:=|%3d))[^&#\s'\",][^&#\s'\"]*", r"\1***", text)


def connect(url: str, /, **options: Any) -> Feed:
    """Return the feed of a URL, to be entered with ``async with``.

    Parameters
    ----------
    url : str
        ``opend://host:port``; the port is 11111 if not given. ``longport://``. ``alltick://stock`` or
        ``alltick://crypto``. ``nats://host:4222/md`` (or ``tls://``), what a `Relay` publishes with the prefix ``md``.
        ``file://PATH`` plays a raw capture, as in ``file://./captured?speed=max``; ``?``, ``#`` and ``%`` in PATH are
        written ``%3F``, ``%23`` and ``%25``. Options may stand in the query, as in
        ``opend://10.0.0.5?wait_s=30&session=ALL``.
    **options
        Options of the class, `OpenD`, `LongPort`, `AllTick`, `Nats` or `Replay`; they override those of the URL.

    Raises
    ------
    ConfigError
        The URL or an option cannot be used.
    StorageError
        There is no capture, or it cannot be read.

    Examples
    --------
    >>> async with ff.connect("opend://127.0.0.1:11111") as feed:
    ...     await feed.subscribe(["700.HK", "AAPL.US"], "ticks")
    ...     async for ticks in feed.ticks:
    ...         print(feed.symbols[ticks["symbol"][-1]], ticks["price"][-1])
    """
    shown = masked(url) if isinstance(url, str) else repr(url)
    try:
        parts = urlsplit(url)
        make, address_of = _FEEDS[parts.scheme]
        address = address_of(parts)
    except (ValueError, AttributeError, TypeError, KeyError):
        raise ConfigError(f"expected a URL such as {_EXAMPLES}, got {shown!r}") from None
    known = get_type_hints(make.__init__)
    for name in ("return", *address):
        known.pop(name, None)
    known.pop("port", None)
    for name in options:
        if name not in known:
            raise ConfigError(f"expected an option ({', '.join(known)}), got {name!r}")
    try:
        feed: Feed = make(**address, **_query_options(parts.query, known) | options)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{error}, in {shown!r}") from error
    return feed


def _query_options(query: str, known: dict[str, Any]) -> dict[str, Any]:
    """Read the options of a query by the types that the constructor declares."""
    plain = {name: kind for name, kind in known.items() if name not in _NOT_IN_URL}
    options = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in plain:
            raise ConfigError(f"expected an option ({', '.join(plain)}), got {name!r} in the URL")
        try:
            options[name] = (
                text
                if str in get_args(plain[name])
                else msgspec.convert(text, plain[name], strict=False)
            )
        except msgspec.ValidationError as error:
            kinds = (plain[name], *get_args(plain[name]))  # it may be `Literal[...] | None`
            words = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
            choices = f": {', '.join(words)}" if words else ""
            raise ConfigError(f"option {name}={text!r} in the URL: {error}{choices}") from None
    return options


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop and return its result, as `asyncio.run()` does on the standard loop."""
    return uvloop.run(main)
