"""Connections to NATS, as relays and feeds have them: addresses, credentials, errors, streams.

nats-py (the extra `bus`) is imported when a connection is made. A client here has one connection in its life: who uses
it connects again with another one, and knows what was not acknowledged by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fastfeed.errors import AuthError, ConfigError, ConnectError, FastfeedError, RequestTimeout
from fastfeed.protocols.opend_codes import canonical_symbol
from fastfeed.protocols.relay_messages import checked_prefix

__all__ = ["Address", "Server", "canonical_of", "failures", "js_of", "open_nats", "stream_name"]

_PORT = 4222
_PING_S = 5.0  # a server that answers none of three pings is gone
_PINGS = 2
_MOST_SYMBOL_BYTES = 80
_ATTEMPTS = 5
_PENDING_BYTES = 1 << 21


class Server(NamedTuple):
    """A connection, and the future that gets the reason when it is lost."""

    client: Any
    lost: asyncio.Future[Exception | None]
    connected_to: str

    async def close(self) -> None:
        """Close the connection, whatever state it is in."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2.0):
                await self.client.close()


class Address:
    """One or more servers of a cluster, and how to be let in.

    Parameters
    ----------
    servers : str or iterable of str
        ``nats://host:4222`` or ``tls://...``, in one text with commas between them. A name and a password, or a
        token, may stand before the host, as in ``nats://name:password@host``.
    creds : str, optional
        A file of credentials. Default: the environment's `NATS_CREDS`; where an address has none and there is no
        file, `NATS_USER` and `NATS_PASSWORD`, or `NATS_TOKEN`.
    ssl_context : ssl.SSLContext, optional
        For ``tls://``. Default: Python's, which verifies the certificate.

    Raises
    ------
    ConfigError
        It cannot be an address, or the file cannot be read.
    """

    def __init__(
        self,
        servers: str | Iterable[str],
        creds: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        texts = servers.split(",") if isinstance(servers, str) else list(servers)
        self._urls: list[str] = []
        shown = []
        scheme = "nats"
        for text in texts:
            try:
                parts = urlsplit(text if "://" in text else f"{scheme}://{text}")
                scheme, port = parts.scheme, parts.port or _PORT
                host = parts.hostname or ""
            except (ValueError, TypeError, AttributeError):
                scheme, host, port = "", "", 0
            if scheme not in ("nats", "tls") or not host or parts.path.strip("/") or parts.query:
                raise ConfigError(
                    "expected addresses of NATS such as nats://127.0.0.1:4222, with commas between them"
                )
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            before, at, _ = parts.netloc.rpartition("@")
            self._urls.append(f"{scheme}://{before}{at}{place}")
            shown.append(place)
        #: Where they are, without credentials.
        self.shown = f"{scheme}://{','.join(shown)}"
        creds = creds or os.environ.get("NATS_CREDS") or None
        self._options: dict[str, Any] = {}
        if creds is not None:
            if not os.access(creds, os.R_OK) or not os.path.isfile(creds):
                raise ConfigError(f"cannot read the file of credentials {creds}")
            self._options["user_credentials"] = creds
        elif not any("@" in url for url in self._urls):
            if user := os.environ.get("NATS_USER"):
                self._options |= {"user": user, "password": os.environ.get("NATS_PASSWORD", "")}
            elif token := os.environ.get("NATS_TOKEN"):
                self._options["token"] = token
        #: Whether there is anything to be let in by.
        self.has_credentials = bool(self._options) or any("@" in url for url in self._urls)
        if scheme == "tls":
            self._options["tls"] = ssl_context or ssl.create_default_context()

    async def connect(self, name: str, timeout_s: float) -> Server:
        """Connect to any of the servers.

        Raises
        ------
        ConnectError, RequestTimeout, AuthError
            None can be reached, none answers in time, one refuses.
        ConfigError
            nats-py is not installed, or the credentials cannot be read.
        """
        failure: FastfeedError | None = None
        for url in random.sample(self._urls, len(self._urls)):
            for _ in range(_ATTEMPTS):
                try:
                    return await self._connect_to(url, name, timeout_s)
                except ConnectionResetError:
                    # Who refuses credentials closes at once, and that may overtake the reason.
                    place = url.rpartition("@")[2].rpartition("/")[2]
                    failure = ConnectError(f"{place} closed the connection without a word")
                except FastfeedError as error:
                    failure = error
                    break
        assert failure is not None
        raise failure

    async def _connect_to(self, url: str, name: str, timeout_s: float) -> Server:
        client = open_nats()
        lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        place = url.rpartition("@")[2].rpartition("/")[2]
        reasons: list[Exception] = []

        async def on_error(error: Exception) -> None:
            reasons[:] = [error]

        async def on_closed() -> None:
            if not lost.done():
                reason = reasons[0] if reasons else client.last_error
                text = f": {_words(reason)}" if reason is not None else ""
                lost.set_result(ConnectError(f"the connection to {place} was lost{text}"))

        server = Server(client, lost, place)
        try:
            async with asyncio.timeout(timeout_s):
                await client.connect(
                    [url],
                    name=name,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=timeout_s,
                    ping_interval=_PING_S,
                    max_outstanding_pings=_PINGS,
                    pending_size=_PENDING_BYTES,
                    error_cb=on_error,
                    closed_cb=on_closed,
                    **self._options,
                )
        except TimeoutError:
            await server.close()
            raise RequestTimeout(f"{place} does not answer as NATS, in {timeout_s:g} s") from None
        except BaseException as error:
            await server.close()
            if not isinstance(error, Exception):
                raise
            reason = reasons[0] if reasons else error
            if isinstance(reason, (ConnectionResetError, BrokenPipeError)) or (
                type(reason).__name__ == "UnexpectedEOF"
            ):
                raise ConnectionResetError from None
            raise self._failure(place, reason) from None
        return server

    def _failure(self, place: str, error: Exception) -> FastfeedError:  # noqa: PLR0911
        words = _words(error)
        if "auth" in words.lower():
            without = "" if self.has_credentials else "; none were given"
            return AuthError(f"NATS at {place} refused the credentials{without}", text=words)
        if isinstance(error, ConnectionRefusedError):
            return ConnectError(f"nothing listens at {place}")
        if isinstance(error, ssl.SSLError):
            return ConnectError(f"no TLS with {place}: {words}")
        if isinstance(error, ModuleNotFoundError):
            return ConfigError(
                "a file of credentials needs the package nkeys: pip install 'nats-py[nkeys]'"
            )
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return ConnectError(f"cannot connect to NATS at {place}: {words}")
        if (
            "user_credentials" in self._options
            and type(error).__module__.partition(".")[0] != "nats"
        ):
            return ConfigError("the file of credentials is none: it cannot be read as one of NATS")
        return ConnectError(f"{place} does not answer as NATS: {words}")


def canonical_of(symbol: str) -> str:
    """Return the canonical form of a symbol of any vendor's; ValueError where it cannot be one."""
    if not 1 <= len(symbol.encode()) <= _MOST_SYMBOL_BYTES:
        raise ValueError(f"expected a symbol of 1 to {_MOST_SYMBOL_BYTES} bytes, got {symbol!r}")
    try:
        return canonical_symbol(symbol)
    except ValueError:  # of a vendor that writes them in another way
        return symbol


def open_nats() -> Any:
    """Return a new client of nats-py; ConfigError where that is not installed."""
    try:
        from nats.aio.client import Client
    except ModuleNotFoundError:
        raise ConfigError("NATS needs the package nats-py: pip install 'fastfeed[bus]'") from None

    class SafeClient(Client):
        async def _process_headers(self, headers: Any) -> Any:
            # What it cannot read would end nats-py's reading, and of that connection all that follows.
            try:
                return await super()._process_headers(headers)
            except Exception:
                return None

    return SafeClient()


def js_of(server: Server, timeout_s: float) -> Any:
    """Return what asks JetStream about streams and consumers; see `failures()`."""
    return server.client.jetstream(timeout=timeout_s)


def stream_name(prefix: str) -> str:
    """Return the name of the stream that a prefix has unless it is said."""
    return checked_prefix(prefix).replace(".", "_")


@contextlib.asynccontextmanager
async def failures(what: str, server: Server) -> AsyncIterator[None]:
    """Turn what nats-py raises into our own errors; that there is no such thing is left as it is."""
    import nats.errors
    import nats.js.errors

    try:
        yield
    except nats.js.errors.NotFoundError:
        raise
    except (nats.js.errors.ServiceUnavailableError, nats.errors.NoRespondersError) as error:
        text = getattr(error, "description", None)
        raise ConnectError(
            f"{what}: {server.connected_to} has no JetStream now: {text or 'start nats-server with -js'}"
        ) from None
    except nats.js.errors.APIError as error:
        raise ConfigError(f"{what}: {error.description}") from None
    except (nats.errors.TimeoutError, TimeoutError):
        raise RequestTimeout(f"{what}: no reply from JetStream at {server.connected_to}") from None
    except nats.errors.Error as error:
        raise ConnectError(f"{what}: {_words(error)}") from None


def _words(error: object) -> str:
    """Return an error's text without the name of the package, which says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__
