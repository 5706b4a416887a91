"""What the sessions of all vendors have in common, and how one is joined to its connection."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from fastfeed.errors import FastfeedError
from fastfeed.feeds.transport import Connection

__all__ = ["Link", "Session", "State"]

_MAX_POLL_S = 0.5


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

    def start(self, now: float) -> None:
        """Begin: the connection stands."""

    def poll(self, now: float, received: int) -> None:
        """Look at the clock; `received` is how many packets or messages came so far."""

    def due(self, now: float) -> float:
        """Return after how many seconds `poll()` has something to do, at most."""

    def close(self, error: FastfeedError) -> None:
        """End the session for a reason of ours."""

    def lost(self, text: str) -> None:
        """End the session: the connection is gone."""

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""


S = TypeVar("S", bound=Session)
T = TypeVar("T")


class Link(Generic[S]):
    """One connection with its session; replaced as a whole by the next one.

    Parameters
    ----------
    session
    url
        For error messages.

    Attributes
    ----------
    ready : Future
        The handshake is over, well or badly.
    lost : Future
        Gets the reason when the connection has ended.
    """

    def __init__(self, session: S, url: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._url = url
        self._poll_timer: asyncio.TimerHandle | None = None
        self._received: Callable[[], int] = int
        self.session = session
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[Exception | None] = self._loop.create_future()
        self.connection: Connection[Any] | None = None

    def carry_out(self) -> None:
        """Send what the session wants to send, and take note of its state."""
        if self.connection is not None:
            self.connection.write(self.session.take_output())
            if self.session.error is not None:
                self.connection.abort(self.session.error)
        if self.session.state in (State.READY, State.CLOSED) and not self.ready.done():
            self.ready.set_result(None)

    async def start(self, received: Callable[[], int]) -> None:
        """Begin the session, and return when its handshake is over; if that went badly, raise the session's error.

        Parameters
        ----------
        received
            Returns how many packets or messages came so far; called now and then, until the connection has ended.
        """
        self._received = received
        self.session.start(self._loop.time())
        self.poll()
        await self.ready
        if self.session.error is not None:
            raise self.session.error

    def poll(self) -> None:
        """Let the session look at the clock, and again when it next has something to do."""
        if self._poll_timer is not None:
            self._poll_timer.cancel()
        self.session.poll(self._loop.time(), self._received())
        self.carry_out()
        if not self.lost.done():
            delay_s = min(max(self.session.due(self._loop.time()), 0.001), _MAX_POLL_S)
            self._poll_timer = self._loop.call_later(delay_s, self.poll)

    async def outcome(self, ask: Callable[[Callable[[T | FastfeedError], None]], None]) -> T:
        """Return what a request gives, or raise its error; `ask` makes it, and is given what to call with that."""
        reply: asyncio.Future[T] = self._loop.create_future()

        def done(outcome: T | FastfeedError) -> None:
            if reply.done():
                return
            if isinstance(outcome, FastfeedError):
                reply.set_exception(outcome)
            else:
                reply.set_result(outcome)

        ask(done)
        self.carry_out()
        return await reply

    def end(self, why: Exception | None) -> None:
        """End the session for a reason: None if the peer has closed the connection."""
        if isinstance(why, FastfeedError):
            self.session.close(why)
        else:
            self.session.lost(f"connection to {self._url} lost: {why or 'closed by the peer'}")
        self.carry_out()
        if self._poll_timer is not None:
            self._poll_timer.cancel()
        if not self.lost.done():
            self.lost.set_result(self.session.error)
