"""The transport shell: the only place that knows the event loop's sockets.

A `Connection` joins a socket to a machine (bytes to rows) and tells its owner about other packets and about
the end. The same for every vendor and on every asyncio loop. It can hand the reading over to a thread; writing
stays with the loop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from fastfeed._core.machine import Machine
from fastfeed._core.receiver import Receiver
from fastfeed.errors import ConnectError

__all__ = ["Connection", "open_connection"]

_logger = logging.getLogger(__name__)

#: A peer that makes us answer and does not read must not fill memory.
_MOST_UNSENT_BYTES = 4 << 20

#: What is not rows, as the vendor's machine gives it.
F = TypeVar("F")


class Connection(asyncio.BufferedProtocol, Generic[F]):
    """One connection, from the socket's opening to its end; never used again after that.

    Parameters
    ----------
    machine
        Gets the bytes; reset by the owner before.
    on_frames
        Gets the packets that are no rows.
    on_lost
        Called once, with the reason or None when the peer closed.
    """

    def __init__(
        self,
        machine: Machine,
        on_frames: Callable[[F], None],
        on_lost: Callable[[Exception | None], None],
    ) -> None:
        self._machine = machine
        self._received = machine.received
        self._on_frames: Callable[[Any], None] = on_frames
        self._on_lost = on_lost
        self._reason: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._loop = asyncio.get_running_loop()
        # The loop asks the machine itself for memory, without a Python frame in between.
        self.get_buffer = machine.space  # type: ignore[method-assign, assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def buffer_updated(self, nbytes: int) -> None:
        """Process what was read."""
        frames = self._received(nbytes)
        if frames is not None:
            self._on_frames(frames)
        if self._machine.error is not None:
            self.abort(self._machine.error)

    def eof_received(self) -> None:
        """Let the loop close the transport."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner."""
        self._take_back()
        self._transport = None
        self._on_lost(self._reason or exc)

    def write(self, data: bytes) -> None:
        """Send; after the end, do nothing. A peer that does not read what is sent is given up."""
        if self._transport is not None and data:
            self._transport.write(data)
            unsent = self._transport.get_write_buffer_size()
            if unsent > _MOST_UNSENT_BYTES:  # answers to pings, for example, could go on for ever
                self.abort(ConnectError(f"the peer does not read: {unsent} bytes are unsent"))

    def abort(self, reason: Exception | None = None) -> None:
        """End the connection at once; unsent bytes are dropped."""
        if self._transport is not None:
            self._reason = self._reason or reason
            self._take_back()
            self._transport.abort()

    # reading by a thread

    def hand_over(self, receiver: Receiver) -> None:
        """Let a receiver read from now on."""
        if self._transport is None or self._transport.is_closing():
            return
        receiver.belong_to(self._loop)
        self._transport.pause_reading()
        sock: Any = self._transport.get_extra_info("socket")
        fd = os.dup(sock.fileno())
        try:
            receiver.add(self._machine, fd, self)
        except BaseException:
            os.close(fd)
            raise
        self._receiver = receiver
        if len(receiver) == 1:
            self._loop.add_reader(receiver.fileno(), receiver.drain)

    def _take_back(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.remove(self._machine)
            if not len(receiver) and receiver.loop is self._loop:
                self._loop.remove_reader(receiver.fileno())

    def frames_came(self, frames: list[Any]) -> None:
        """Pass on what the receiver has for the session."""
        self._on_frames(frames)

    def ended(self, error: int) -> None:
        """Take note that the receiver came to the end: of an errno, 0 where the peer has closed."""
        if self._transport is not None:
            if error:
                self.abort(OSError(error, os.strerror(error)))
            else:
                self._transport.close()

    def failed(self, error: Exception) -> None:
        """Take note that what the receiver had could not be taken: as a loop does with what a protocol raises."""
        self._loop.call_exception_handler(
            {
                "message": "Fatal error: what a connection received could not be taken",
                "exception": error,
                "transport": self._transport,
                "protocol": self,
            }
        )
        self.abort(error)

    @property
    def is_loopback(self) -> bool:
        """Whether the peer is on this machine."""
        peer: Any = self._transport.get_extra_info("peername") if self._transport else None
        return bool(peer) and ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback


async def open_connection(
    host: str,
    port: int,
    timeout_s: float,
    make: Callable[[], Connection[F]],
    *,
    tls: ssl.SSLContext | None = None,
) -> Connection[F]:
    """Connect a socket to a new `Connection`, with `tls` encrypted and verified by it.

    Raises
    ------
    ConnectError
        Nothing listens there, the name is unknown, or it took longer than the timeout.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            transport, connection = await loop.create_connection(make, host, port, ssl=tls)
        sock: Any = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        receive_buffer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    except TimeoutError:
        raise ConnectError(
            f"cannot connect to {host}:{port}: no answer within {timeout_s:g} s"
        ) from None
    except OSError as error:  # also when the peer has closed again already
        raise ConnectError(f"cannot connect to {host}:{port}: {_reason(error)}") from error
    _logger.info(
        "connected to %s:%d, TCP_NODELAY 1, SO_RCVBUF %d bytes", host, port, receive_buffer
    )
    return connection


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused, nothing listens there"
    return error.strerror or str(error)
