"""One WebSocket connection to AllTick, as a state machine without a socket, a loop or a clock.

It is fed with messages and with the time, and gives bytes to send. The table of states:

    NEW        -- start() -->                          HANDSHAKE   the upgrade was asked for
    HANDSHAKE  -- the server switches protocols -->    READY       requests, heartbeats (22000)
    any        -- a bad reply, silence, close() -->    CLOSED      `error` says why; all requests fail

The server refuses requests that follow each other within a second, and may close the connection for it. So
everything keeps a distance, and requests wait in a queue for it. A heartbeat that is due goes before them: one
that is late costs the connection.

Not in it: which symbols are subscribed (the feed's business), and the decoding of pushes (the machine's).

Times are seconds of any clock that does not go back.
"""

from __future__ import annotations

import itertools
import logging
import math
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from fastfeed._core.websocket import HANDSHAKE
from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    LocalProtocolError,
    RequestError,
    RequestTimeout,
)
from fastfeed.feeds.session import State
from fastfeed.feeds.websocket_end import WebsocketEnd
from fastfeed.protocols.alltick_codes import HEARTBEAT, REFUSED_TOKEN, is_known, reason
from fastfeed.protocols.websocket import Handshake, Opcode, close_text

__all__ = ["AlltickSession", "Done", "Pacer", "Times"]

_logger = logging.getLogger(__name__)

#: What to do with a request's outcome: None when it was granted, or the error.
Done = Callable[[FastfeedError | None], None]

_ATTEMPTS = 2  # at a request
_UNANSWERED = 2  # heartbeats
_MOST_IDS = 1 << 31


@dataclass(frozen=True, slots=True)
class Times:
    """The vendor's times, in seconds."""

    heartbeat: float = 10.0
    """Between two; the server waits 30."""
    ack: float = 5.0
    """For an answer."""
    silence: float = 25.0
    """Without any message, and the peer is given up."""
    own_gap: float = 1.1
    """Between two requests of one connection."""
    others_gap: float = 3.1
    """From a request or the beginning of one connection to those of another with the same token."""
    too_fast: tuple[float, ...] = (2.0, 5.0, 10.0)
    """Pauses before a request that came too fast is made again."""
    will_close: float = 10.0
    """Least pause before the next connection when the last one was closed for it."""
    too_many_connections: float = 15.0
    """The same after a connection was refused because of others."""
    refused_token: float = 300.0
    """The same after the token was refused."""


class Pacer:
    """The distances that the requests of one connection keep, from each other and from those of its token's others.

    Heartbeats keep a distance from what their own connection sends, and none from other connections: of ten
    connections with a heartbeat every 10 s, none could.

    Parameters
    ----------
    others : list of Pacer
        Those of the token's connections; this one is added.
    times
    """

    def __init__(self, others: list[Pacer], times: Times = Times()) -> None:
        self._others = others
        self._times = times
        self._sent_at = self._active_at = float("-inf")
        others.append(self)

    def free_at(self) -> float:
        """Return from when on the connection may send, or begin."""
        others = (one._active_at for one in self._others if one is not self)
        return max(self.beat_at(), max(others, default=-math.inf) + self._times.others_gap)

    def beat_at(self) -> float:
        """Return from when on the connection may send a heartbeat."""
        return self._sent_at + self._times.own_gap

    def begin(self, now: float) -> None:
        """Take note that the connection begins."""
        self._active_at = now
        self._sent_at = float("-inf")

    def send(self, now: float) -> None:
        """Take note that a request is sent."""
        self._active_at = self._sent_at = now

    def beat(self, now: float) -> None:
        """Take note that a heartbeat is sent."""
        self._sent_at = now

    def end(self) -> None:
        """Take the connection out: there will be no other one in its place."""
        self._others.remove(self)


class _Reply(msgspec.Struct):
    ret: Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]
    msg: str | None = ""
    cmd_id: int = 0
    seq_id: int = 0


_read_reply = msgspec.json.Decoder(_Reply).decode
_write = msgspec.json.encode


@dataclass(slots=True)
class _Request:
    cmd_id: int
    data: dict[str, Any]
    done: Done
    pushes: Callable[[], int] | None  # how many there were of what it asks for
    pushes_before: int = 0  # it was sent first
    attempts: int = 0


class AlltickSession:
    """See the head of this file.

    Parameters
    ----------
    host
        For the request's head, as in the URL.
    target
        Path and query, with the token: it is shown nowhere.
    pacer
        The connection's.
    connect_timeout_s
        How long the upgrade may take.
    times
    """

    def __init__(
        self,
        host: str,
        target: str,
        pacer: Pacer,
        *,
        connect_timeout_s: float = 10.0,
        times: Times = Times(),
    ) -> None:
        self.state = State.NEW
        self.error: FastfeedError | None = None
        self.unmatched_replies = 0
        self.returned: dict[int, int] = {}  # how often each return code came, 0: others
        self._pacer = pacer
        self._connect_timeout_s = connect_timeout_s
        self._times = times
        self._ids = itertools.cycle(range(1, _MOST_IDS))
        self._trace = uuid.uuid4().hex
        self._now = 0.0
        self._deadline = 0.0  # of the upgrade
        self._queue: deque[_Request] = deque()
        self._sent: dict[
            int, tuple[float, _Request]
        ] = {}  # by seq_id; the time when it is given up
        self._output: list[bytes] = []
        self._end = WebsocketEnd(Handshake(host, target), self._output.append)
        self._heartbeat_at = 0.0
        self._unanswered = 0
        self._messages = 0
        self._heard_at = 0.0

    def start(self, now: float) -> None:
        """Begin: the connection stands."""
        if self.state is not State.NEW:
            raise LocalProtocolError(f"expected a new session, it is {self.state.value}")
        self.state = State.HANDSHAKE
        self._now = self._heard_at = now
        self._deadline = now + self._connect_timeout_s
        self._end.start()

    def request(
        self,
        cmd_id: int,
        data: dict[str, Any],
        now: float,
        done: Done,
        pushes: Callable[[], int] | None = None,
    ) -> None:
        """Queue a request; `done` is told when it was granted or refused.

        With `pushes`, the number of messages that can only come when it was granted: where it has grown, no answer
        is as good as one.
        """
        self._now = now
        if self.state is not State.READY:
            raise self.error or ConnectError(f"not connected: the session is {self.state.value}")
        self._queue.append(_Request(cmd_id, data, done, pushes))
        self._send_due()

    def receive(self, messages: list[tuple[int, bytes]], now: float) -> bytes | None:
        """Take what is no push: opcode and payload.

        Returns
        -------
        bytes or None
            When the upgrade is done: what came behind it, which is the machine's.
        """
        self._now = now
        rest = None
        for opcode, payload in messages:
            if self.state is State.CLOSED:
                return None
            if opcode == HANDSHAKE:
                rest = self._upgrade(payload)
            elif not self._end.control(opcode, payload):
                self._reply(payload)
            elif opcode == Opcode.CLOSE:
                text = self._end.shown(close_text(payload))
                self.close(ConnectError(f"AllTick closed the connection: {text}"))
        return rest

    def poll(self, now: float, messages: int) -> None:
        """Look at the clock: what may be sent, timeouts, a dead peer.

        Parameters
        ----------
        now
        messages
            Complete messages received so far, of whatever kind.
        """
        self._now = now
        if messages != self._messages:
            self._messages = messages
            self._heard_at = now
        if self.state is State.HANDSHAKE and now >= self._deadline:
            self.close(
                self._end.refused()
                or RequestTimeout("AllTick did not answer the WebSocket handshake in time")
            )
        if self.state is not State.READY:
            return
        silent_s = now - self._heard_at
        if silent_s >= self._times.silence:
            self.close(ConnectError(f"AllTick has sent nothing for {silent_s:.0f} s"))
            return
        for seq_id, (deadline, request) in list(self._sent.items()):
            if now >= deadline:
                del self._sent[seq_id]
                if request.pushes is not None and request.pushes() > request.pushes_before:
                    request.done(None)
                elif request.attempts < _ATTEMPTS:
                    self._queue.appendleft(request)
                else:
                    error = RequestTimeout(f"AllTick did not answer request {request.cmd_id}")
                    request.done(error)
                    self.close(ConnectError(str(error)))
                    return
        self._send_due()

    def due(self, now: float) -> float:
        """Return after how many seconds `poll()` has something to do, at most."""
        if self.state is State.HANDSHAKE:
            return max(0.0, self._deadline - now)
        times = [deadline for deadline, _ in self._sent.values()]
        if self.state is State.READY:
            times += [
                self._heard_at + self._times.silence,
                max(self._heartbeat_at, self._pacer.beat_at()),
            ]
            if self._queue:
                times.append(self._pacer.free_at())
        return max(0.0, min(times, default=now + 1.0) - now)

    def close(self, error: FastfeedError) -> None:
        """End the session; what is unanswered fails with the error."""
        if self.state is State.CLOSED:
            return
        self._end.close(error)
        self.state = State.CLOSED
        self.error = error
        waiting = [request for _, request in self._sent.values()] + list(self._queue)
        self._sent.clear()
        self._queue.clear()
        for request in waiting:
            request.done(error)

    def lost(self, text: str) -> None:
        """End the session: the connection is gone, for a reason of the peer's or the network's."""
        self.close(self._end.refused() or ConnectError(text))

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def _upgrade(self, data: bytes) -> bytes | None:
        try:
            rest = self._end.upgrade(data)
        except FastfeedError as error:
            self.close(error)
            return None
        if rest is not None:
            self.state = State.READY
            self._heard_at = self._now
            self._heartbeat_at = self._now + self._times.heartbeat
        return rest

    def _send_due(self) -> None:
        """Send what may be sent now: a heartbeat, or one request."""
        if self._now >= max(self._heartbeat_at, self._pacer.beat_at()):
            if self._unanswered >= _UNANSWERED:
                self.close(ConnectError(f"AllTick did not answer {self._unanswered} heartbeats"))
                return
            self._unanswered += 1
            self._heartbeat_at = self._now + self._times.heartbeat
            self._send(HEARTBEAT, {})
            self._pacer.beat(self._now)
        elif self._queue and self._now >= self._pacer.free_at():
            request = self._queue.popleft()
            if request.pushes is not None and not request.attempts:
                request.pushes_before = request.pushes()
            request.attempts += 1
            seq_id = self._send(request.cmd_id, request.data)
            self._sent[seq_id] = (self._now + self._times.ack, request)
            self._pacer.send(self._now)

    def _send(self, cmd_id: int, data: dict[str, Any]) -> int:
        seq_id = next(self._ids)
        message = {
            "cmd_id": cmd_id,
            "seq_id": seq_id,
            "trace": f"{self._trace}-{seq_id}",
            "data": data,
        }
        self._end.send(Opcode.TEXT, _write(message))
        return seq_id

    def _reply(self, payload: bytes) -> None:
        try:
            reply = _read_reply(payload)
        except (msgspec.ValidationError, msgspec.DecodeError):
            self.unmatched_replies += 1
            return
        number = reply.ret if is_known(reply.ret) else 0
        self.returned[number] = self.returned.get(number, 0) + 1
        if reply.cmd_id == HEARTBEAT + 1:
            self._unanswered = 0
            if reply.ret == 200 and reply.seq_id not in self._sent:
                return
        error = None if reply.ret == 200 else self._refusal(reply)
        if reply.ret in REFUSED_TOKEN:
            assert error is not None
            self.close(AuthError(str(error), code=error.code, text=error.text))
            return
        seq_id = reply.seq_id
        if reply.cmd_id == 0 and seq_id == 0 and self._sent:  # it could not read which: the oldest
            seq_id = next(iter(self._sent))
        pending = self._sent.get(seq_id)
        if pending is None or reply.cmd_id not in (0, pending[1].cmd_id + 1):
            self.unmatched_replies += 1
            if error is not None:
                _logger.warning("%s", error)
            return
        del self._sent[seq_id]
        pending[1].done(error)

    def _refusal(self, reply: _Reply) -> RequestError:
        text = self._end.shown(reply.msg or "")  # it may repeat the token
        return RequestError(
            f"AllTick refused: {reason(reply.ret)} (code {reply.ret}: {text})",
            code=reply.ret,
            text=text,
        )
