"""One WebSocket connection to AllTick, as a state machine without a socket, a loop or a clock.

It is fed with messages and with the time, and gives bytes to send. The table of states:

    NEW        -- start() -->                          HANDSHAKE   the upgrade was asked for
    HANDSHAKE  -- the server switches protocols -->    READY       requests, heartbeats (22000)
    any        -- a bad reply, silence, close() -->    CLOSED      `error` says why; all requests fail

The server refuses requests that follow each other within a second, and may close the connection for it. So
everything goes through one queue that keeps a distance; heartbeats wait for requests unless they are late.

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
from typing import Any

import msgspec

from fastfeed._core.alltick import CLOSING, HANDSHAKE
from fastfeed._core.websocket import frame
from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    LocalProtocolError,
    RequestError,
    RequestTimeout,
)
from fastfeed.feeds.session import State
from fastfeed.protocols.alltick_codes import HEARTBEAT, reason
from fastfeed.protocols.websocket import Handshake, Opcode, close_payload, close_text

__all__ = ["AlltickSession", "Pacer"]

_logger = logging.getLogger(__name__)

#: What to do with a request's outcome: None when it was granted, or the error.
Done = Callable[[FastfeedError | None], None]

_HEARTBEAT_S = 10.0
_LATE_HEARTBEAT_S = 20.0  # then it goes before requests; the server waits 30
_ACK_TIMEOUT_S = 5.0
_ATTEMPTS = 2  # at a request
_SILENCE_S = 25.0  # without any message, and the peer is given up
_UNANSWERED = 2  # heartbeats
_MOST_IDS = 1 << 31

_REFUSED_TOKEN = (401, 403)


class Pacer:
    """The distances that the requests of one connection keep, from each other and from those of its token's others.

    Parameters
    ----------
    others : list of Pacer
        Those of the token's connections; this one is added.
    own_s, others_s
        Between two requests of one connection, and from a request or the beginning of one connection to those of
        another.
    """

    def __init__(self, others: list[Pacer], *, own_s: float = 1.1, others_s: float = 3.1) -> None:
        self._others = others
        self._own_s = own_s
        self._others_s = others_s
        self._sent_at = self._active_at = float("-inf")
        others.append(self)

    def free_at(self) -> float:
        """Return from when on the connection may send, or begin."""
        others = (one._active_at for one in self._others if one is not self)
        return max(self._sent_at + self._own_s, max(others, default=-math.inf) + self._others_s)

    def begin(self, now: float) -> None:
        """Take note that the connection begins."""
        self._active_at = now
        self._sent_at = float("-inf")

    def send(self, now: float) -> None:
        """Take note that a request is sent."""
        self._active_at = self._sent_at = now


class _Reply(msgspec.Struct):
    ret: int
    msg: str = ""
    cmd_id: int = 0
    seq_id: int = 0


_read_reply = msgspec.json.Decoder(_Reply).decode
_write = msgspec.json.encode


@dataclass(slots=True)
class _Request:
    cmd_id: int
    data: dict[str, Any]
    done: Done
    attempts: int = 0
    pushes: int = 0  # received before it was sent


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
    heartbeat_s
        Between two heartbeats.
    """

    def __init__(
        self,
        host: str,
        target: str,
        pacer: Pacer,
        *,
        connect_timeout_s: float = 10.0,
        heartbeat_s: float = _HEARTBEAT_S,
    ) -> None:
        self.state = State.NEW
        self.error: FastfeedError | None = None
        self.unmatched_replies = 0
        self.returned: dict[int, int] = {}  # how often each return code came
        self._handshake = Handshake(host, target)
        self._pacer = pacer
        self._connect_timeout_s = connect_timeout_s
        self._heartbeat_s = heartbeat_s
        self._ids = itertools.cycle(range(1, _MOST_IDS))
        self._trace = uuid.uuid4().hex
        self._now = 0.0
        self._deadline = 0.0  # of the upgrade
        self._queue: deque[_Request] = deque()
        self._sent: dict[
            int, tuple[float, _Request]
        ] = {}  # by seq_id; the time when it is given up
        self._output: list[bytes] = []
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
        self._output.append(self._handshake.request())

    def request(self, cmd_id: int, data: dict[str, Any], now: float, done: Done) -> None:
        """Queue a request; `done` is told when it was granted or refused."""
        self._now = now
        if self.state is not State.READY:
            raise self.error or ConnectError(f"not connected: the session is {self.state.value}")
        self._queue.append(_Request(cmd_id, data, done))
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
            elif opcode == CLOSING:  # the server broke the protocol: the payload is what it is told
                self._output.append(frame(Opcode.CLOSE, payload))
            elif opcode == Opcode.PING:
                self._output.append(frame(Opcode.PONG, payload))
            elif opcode == Opcode.CLOSE:
                self._output.append(frame(Opcode.CLOSE, payload[:2]))
                text = self._handshake.redact(close_text(payload))
                self.close(ConnectError(f"AllTick closed the connection: {text}"))
            elif opcode != Opcode.PONG:
                self._reply(payload)
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
            self.close(RequestTimeout("AllTick did not answer the WebSocket handshake in time"))
        if self.state is not State.READY:
            return
        silent_s = now - self._heard_at
        if silent_s >= _SILENCE_S:
            self.close(ConnectError(f"AllTick has sent nothing for {silent_s:.0f} s"))
            return
        for seq_id, (deadline, request) in list(self._sent.items()):
            if now >= deadline:
                del self._sent[seq_id]
                if request.attempts < _ATTEMPTS:
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
            free_at = self._pacer.free_at()
            times += [self._heard_at + _SILENCE_S, max(self._heartbeat_at, free_at)]
            if self._queue:
                times.append(free_at)
        return max(0.0, min(times, default=now + 1.0) - now)

    def close(self, error: FastfeedError) -> None:
        """End the session; what is unanswered fails with the error."""
        if self.state is State.CLOSED:
            return
        if self.state is State.READY and not isinstance(error, ConnectError):
            self._output.append(frame(Opcode.CLOSE, close_payload()))
        self.state = State.CLOSED
        self.error = error
        waiting = [request for _, request in self._sent.values()] + list(self._queue)
        self._sent.clear()
        self._queue.clear()
        for request in waiting:
            request.done(error)

    def lost(self, text: str) -> None:
        """End the session: the connection is gone, for a reason of the peer's or the network's."""
        self.close(ConnectError(text))

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def _upgrade(self, data: bytes) -> bytes | None:
        try:
            rest = self._handshake.receive(data)
        except FastfeedError as error:
            self.close(error)
            return None
        if rest is not None:
            self.state = State.READY
            self._heard_at = self._now
            self._heartbeat_at = self._now + self._heartbeat_s
        return rest

    def _send_due(self) -> None:
        """Send what may be sent now: one request, or a heartbeat."""
        if self._now < self._pacer.free_at():
            return
        late = self._now >= self._heartbeat_at + _LATE_HEARTBEAT_S - self._heartbeat_s
        if self._queue and not late:
            self._send(self._queue.popleft())
        elif self._now >= self._heartbeat_at:
            if self._unanswered >= _UNANSWERED:
                self.close(ConnectError(f"AllTick did not answer {self._unanswered} heartbeats"))
                return
            self._unanswered += 1
            self._heartbeat_at = self._now + self._heartbeat_s
            self._send(_Request(HEARTBEAT, {}, _ignore, attempts=_ATTEMPTS))

    def _send(self, request: _Request) -> None:
        seq_id = next(self._ids)
        request.attempts += 1
        if request.done is not _ignore:
            self._sent[seq_id] = (self._now + _ACK_TIMEOUT_S, request)
        message = {
            "cmd_id": request.cmd_id,
            "seq_id": seq_id,
            "trace": f"{self._trace}-{seq_id}",
            "data": request.data,
        }
        self._output.append(frame(Opcode.TEXT, _write(message)))
        self._pacer.send(self._now)

    def _reply(self, payload: bytes) -> None:
        try:
            reply = _read_reply(payload)
        except (msgspec.ValidationError, msgspec.DecodeError):
            self.unmatched_replies += 1
            return
        self.returned[reply.ret] = self.returned.get(reply.ret, 0) + 1
        if reply.cmd_id == HEARTBEAT + 1 and reply.ret == 200:
            self._unanswered = 0
            if reply.seq_id not in self._sent:
                return
        error = None if reply.ret == 200 else _refusal(reply)
        if reply.ret in _REFUSED_TOKEN:
            assert error is not None
            self.close(AuthError(str(error), code=reply.ret, text=reply.msg))
            return
        seq_id = reply.seq_id
        if reply.cmd_id == 0 and self._sent:  # it could not read which: the oldest one
            seq_id = next(iter(self._sent))
        pending = self._sent.get(seq_id)
        if pending is None or reply.cmd_id not in (0, pending[1].cmd_id + 1):
            self.unmatched_replies += 1
            if error is not None:
                _logger.warning("%s", error)
            return
        del self._sent[seq_id]
        pending[1].done(error)


def _refusal(reply: _Reply) -> RequestError:
    return RequestError(
        f"AllTick refused: {reason(reply.ret)} (code {reply.ret}: {reply.msg})",
        code=reply.ret,
        text=reply.msg,
    )


def _ignore(error: FastfeedError | None) -> None:
    pass
