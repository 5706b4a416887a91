"""One HTTP request at a time, in a thread: none delays a push."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult

from fastfeed.errors import ConnectError, RemoteProtocolError, RequestTimeout
from fastfeed.protocols.websocket import shown

__all__ = ["fetch"]


async def fetch(
    address: SplitResult,
    target: str,
    *,
    vendor: str,
    what: str,
    secrets: Sequence[str],
    timeout_s: float,
    most_bytes: int,
    tls: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, bytes]:
    """Send a GET, or a POST with a body; return the status and the body of the reply.

    Parameters
    ----------
    address
        An ``http://`` or ``https://`` address; of it only the host counts.
    target
        Path and query.
    vendor, what
        Who is asked for what, in errors.
    secrets
        What no error may show, as `secrets_of` gives it.
    timeout_s
        For all of it.
    most_bytes
        Longest body that is believed.
    tls
        For ``https://``. Default: Python's, which reads files.

    Raises
    ------
    RequestTimeout, ConnectError
        No reply in time, or no connection.
    RemoteProtocolError
        The body is too long.
    """
    host, port = address.hostname or "", address.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=timeout_s, context=tls)
        if address.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=timeout_s)
    )
    sockets: list[socket.socket] = []  # the reply takes it from the connection
    is_over = False

    def exchange() -> tuple[int, bytes]:
        with contextlib.closing(connection):
            connection.connect()
            sockets.append(connection.sock)
            if is_over:
                raise ConnectionAbortedError
            connection.request("GET" if body is None else "POST", target, body, headers or {})
            with connection.getresponse() as reply:
                return reply.status, reply.read(most_bytes + 1)

    try:
        async with asyncio.timeout(timeout_s):
            status, found = await asyncio.to_thread(exchange)
    except TimeoutError:
        raise RequestTimeout(f"{vendor} did not answer {what} within {timeout_s:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        text = shown(getattr(error, "strerror", None) or str(error), secrets)
        raise ConnectError(f"cannot ask {vendor} for {what} at {address.netloc}: {text}") from None
    finally:
        is_over = True
        for sock in sockets:  # so that the thread ends in any case
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
    if len(found) > most_bytes:
        raise RemoteProtocolError(
            f"expected a reply of at most {most_bytes} bytes to {what}, got more",
            source=vendor.lower(),
        )
    return status, found
