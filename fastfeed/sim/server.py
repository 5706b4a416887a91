"""What the simulators of all vendors have in common: they listen, and end with their clients."""

from __future__ import annotations

import abc
import asyncio
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from fastfeed.errors import ConfigError
from fastfeed.sim.playback import Playback

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FLUSH_S", "Server", "WebServer"]

FLUSH_S = 1.0
"""How long the end waits for clients to take what was written."""


class _Client(Protocol):
    def close(self) -> None: ...
    def abort(self) -> None: ...


C = TypeVar("C", bound=_Client)


class Server(abc.ABC, Generic[C]):
    """A simulator's listening side; a vendor's class adds how to serve a connection.

    Parameters
    ----------
    host : str
    port : int
        0 takes any free port.
    playback : Playback
    clients : dict
        Each with the task that serves it; kept by the vendor's class.
    counts : Counter
        Kept by the vendor's class; `sent` are ticks.
    """

    def __init__(
        self,
        host: str,
        port: int,
        playback: Playback,
        clients: dict[C, asyncio.Task[Any]],
        counts: Counter[str],
    ) -> None:
        self.playback = playback
        self.counts = counts
        self._clients = clients
        self._host = host
        self._address: tuple[str, int] = (host, port)
        self._server: asyncio.Server | None = None

    @abc.abstractmethod
    async def _listen(self, host: str, port: int) -> asyncio.Server:
        """Return a server that serves connections; OSError."""

    async def __aenter__(self) -> Self:
        await self.resume_listening()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.pause_listening()
        await self.playback.close()
        tasks = list(self._clients.values())
        for client in list(self._clients):
            client.close()
        if tasks:
            await asyncio.wait(tasks, timeout=FLUSH_S)
        await self.disconnect_all()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._address[1]

    @property
    def _authority(self) -> str:
        host, port = self._address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def sent(self) -> int:
        """Ticks sent so far, to all clients together."""
        return self.counts["sent"]

    def begin(self) -> None:
        """Let the ticks begin, where they were told to wait."""
        self.playback.begin()

    async def finished(self) -> None:
        """Wait until the tape was played out to every client that subscribes to it.

        Raises
        ------
        RuntimeError
            It plays without end: there is no tape, or it repeats.
        """
        await self.playback.finished()

    async def disconnect_all(self) -> None:
        """Drop every client."""
        tasks = list(self._clients.values())
        for client in list(self._clients):
            client.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def pause_listening(self) -> None:
        """Refuse new connections; those that are there stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)  # the loop closes the socket

    async def resume_listening(self) -> None:
        """Accept connections again, at the same port."""
        if self._server is not None:
            return
        host, port = self._host, self._address[1]
        try:
            self._server = await self._listen(host, port)
        except OSError as error:
            reason = str(error.strerror or error)
            raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from error
        self._address = self._server.sockets[0].getsockname()[:2]


class WebServer(Server[C]):
    """The same for a vendor who speaks HTTP: its class answers requests, those for a WebSocket as well."""

    _web: web.Server | None = None

    @abc.abstractmethod
    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await super().__aexit__(exc_type, exc, traceback)
        if self._web is not None:
            await self._web.shutdown(FLUSH_S)

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        from aiohttp import web

        if self._web is None:
            self._web = web.Server(self._handle, access_log=None)
        return await asyncio.get_running_loop().create_server(self._web, host, port)
