"""What the sessions of all vendors have in common, and how one is joined to its connection."""

from __future__ import annotations

import asyncio
import enum
from typing import Any, Generic, Protocol, TypeVar

from fastfeed.errors import FastfeedError
from fastfeed.feeds.transport import Connection

__all__ = ["Link", "Session", "State"]


class State(enum.Enum):
    """Where a session is in its life."""

    NEW = "new"
    HANDSHAKE = "handshake"
    READY = "ready"
    CLOSED = "closed"


class Session(Protocol):
    """A vendor's protocol on one connection, without a socket."""

    state: State
    error: FastfeedError | None

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""


S = TypeVar("S", bound=Session)


class Link(Generic[S]):
    """One connection with its session; replaced as a whole by the next one.

    Attributes
    ----------
    ready : Future
        The handshake is over, well or badly.
    lost : Future
        Gets the reason when the connection has ended.
    """

    def __init__(self, session: S) -> None:
        loop = asyncio.get_running_loop()
        self.session = session
        self.ready: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[Exception | None] = loop.create_future()
        self.connection: Connection[Any] | None = None
        self.poll_timer: asyncio.TimerHandle | None = None

    def carry_out(self) -> None:
        """Send what the session wants to send, and take note of its state."""
        if self.connection is not None:
            self.connection.write(self.session.take_output())
            if self.session.error is not None:
                self.connection.abort(self.session.error)
        if self.session.state in (State.READY, State.CLOSED) and not self.ready.done():
            self.ready.set_result(None)
