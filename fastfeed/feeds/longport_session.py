"""One connection to LongPort's quote gateway, as a state machine without a socket, a loop or a clock.

It is fed with packets and with the time, and gives bytes to send. The table of states:

    NEW        -- start() -->                          HANDSHAKE   WebSocket: the upgrade was asked for
    HANDSHAKE  -- the server switches protocols -->    HANDSHAKE   auth (2) or reconnect (3) was sent
    HANDSHAKE  -- a good answer to that -->            READY       requests, heartbeats
    any        -- a bad answer, silence, close() -->   CLOSED      `error` says why; all requests fail

Raw TCP has no upgrade: two bytes, to which nothing is answered, and auth follows them at once. Its heartbeats are
requests (1), those of a WebSocket ping frames. An answer to one is an answer to those before it; whatever else the
server sends is none.

Not in it: which symbols are subscribed and when a session is used again (the feed's business, they outlive a
connection), and the decoding of pushes (the machine's).

Times are seconds of any clock that does not go back.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from google.protobuf.message import DecodeError

from fastfeed._core.websocket import HANDSHAKE
from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    LocalProtocolError,
    RateLimitError,
    RemoteProtocolError,
    RequestError,
    RequestTimeout,
)
from fastfeed.feeds.session import State
from fastfeed.feeds.websocket_end import WebsocketEnd
from fastfeed.protocols.longport_codes import CloseReason, Status, reason
from fastfeed.protocols.longport_messages import Command, message_class
from fastfeed.protocols.longport_packets import (
    MAX_BODY_BYTES,
    TCP_HANDSHAKE,
    WEBSOCKET_QUERY,
    PacketType,
    pack_request,
    pack_response,
)
from fastfeed.protocols.websocket import (
    Handshake,
    Opcode,
    close_text,
    parse_close,
    secrets_of,
    shown,
)

__all__ = [
    "Auth",
    "Done",
    "LongportSession",
    "Messages",
    "Reconnect",
    "Transport",
]

#: Type, command, request id, status, and the body, or in its place why it could not be read. Of a push the id and
#: the status are 0.
Packet = tuple[int, int, int, int, bytes | str]
#: What is no row, as the machine gives it: `PACKET` and a packet or, of a WebSocket, the opcode and payload of a
#: frame, `HANDSHAKE`, `CLOSING`.
Messages = list[tuple[int, bytes | Packet]]
#: What to do with a request's outcome: the body of the response, or the error.
Done = Callable[[bytes | FastfeedError], None]
#: What carries the packets.
Transport = Literal["ws", "tcp"]

_LAST_ID = (1 << 32) - 1
_MOST_TIMEOUT_MS = 60_000  # that may be told to the server
_UNANSWERED = 2  # heartbeats
_TOO_MANY_REQUESTS = 301606
_TOO_MANY_CONNECTIONS = 403


@dataclass(frozen=True, slots=True)
class Auth:
    """Begin a session, with a one-time password."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Go on with the session of an earlier connection."""

    session_id: str = field(repr=False)


@dataclass(slots=True)
class _Request:
    command: int
    deadline: float
    done: Done


class LongportSession:
    """See the head of this file.

    Parameters
    ----------
    transport : {"ws", "tcp"}
    host
        For the upgrade's head, as in the URL. As `target` and `dc_region` of no use over TCP.
    target
        Path and query of the URL; what the gateway wants to know is added to it.
    opening : Auth or Reconnect
        How the connection introduces itself. It is shown nowhere.
    language : {"en", "zh-CN", "zh-HK"}
        Of texts and names.
    overnight
        Whether quotes of the US overnight session are wanted.
    dc_region : {"ap", "us"}
        The data centre of the credentials.
    connect_timeout_s, request_timeout_s
        How long the upgrade and the answer to the opening may take together; how long to wait for other answers.
    heartbeat_s
        Between two heartbeats.
    calendar
        Epoch seconds, which heartbeats carry.

    Attributes
    ----------
    session_id : str
        With READY: what a later connection may introduce itself with. Empty: the server gave none.
    expires_ms : int
        With READY: until when, in milliseconds since 1970 UTC.
    session_expired : bool
        The server knows the session no more, or does not want it: a later connection needs a one-time password.
    unmatched_replies, unknown_pushes, unknown_requests, unknown_messages : int
        What came and was ignored: responses that are too late or to nothing that was asked; pushes and the
        server's requests of unknown commands, or that cannot be read; messages that are no packets of the three types.
    """

    def __init__(
        self,
        transport: Transport,
        host: str,
        target: str,
        opening: Auth | Reconnect,
        *,
        language: str = "en",
        overnight: bool = False,
        dc_region: str = "ap",
        connect_timeout_s: float = 10.0,
        request_timeout_s: float = 12.0,
        heartbeat_s: float = 20.0,
        calendar: Callable[[], float] = time.time,
    ) -> None:
        self.state = State.NEW
        self.error: FastfeedError | None = None
        self.session_id = ""
        self.expires_ms = 0
        self.session_expired = False
        self.unmatched_replies = 0
        self.unknown_pushes = 0
        self.unknown_requests = 0
        self.unknown_messages = 0
        self._output: list[bytes] = []
        self._end: WebsocketEnd | None = None
        if transport == "ws":
            target += ("&" if "?" in target else "?") + WEBSOCKET_QUERY
            headers = {"x-dc-region": dc_region, "accept-language": language}
            handshake = Handshake(host, target, headers, source="longport")
            self._end = WebsocketEnd(handshake, self._output.append)
        self._opening = opening
        self._metadata = {"accept-language": language}
        if overnight:
            self._metadata["need_over_night_quote"] = "true"
        secret = opening.token if isinstance(opening, Auth) else opening.session_id
        self._secrets = secrets_of("/", [("token", secret)])
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._heartbeat_s = heartbeat_s
        self._calendar = calendar
        self._now = 0.0
        self._deadline = 0.0  # of the handshake
        self._last_id = 0
        self._pending: dict[int, _Request] = {}
        self._heartbeat_at = 0.0
        self._unanswered: dict[int, bytes] = {}  # heartbeats, oldest first, by request id

    def start(self, now: float) -> None:
        """Begin: the connection stands."""
        if self.state is not State.NEW:
            raise LocalProtocolError(f"expected a new session, it is {self.state.value}")
        self.state = State.HANDSHAKE
        self._now = now
        self._deadline = now + self._connect_timeout_s
        if self._end is None:
            self._output.append(TCP_HANDSHAKE)
            self._open()
        else:
            self._end.start()

    def request(
        self,
        command: int,
        body: bytes,
        now: float,
        done: Done,
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Send a request; `done` gets the body of the response when its status is 0, or else the error.

        Raises
        ------
        ConnectError
            Not connected; or what ended the session.
        ValueError
            The body is longer than a packet can be.
        """
        self._now = now
        if self.state is not State.READY:
            raise self.error or ConnectError(f"not connected: the session is {self.state.value}")
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(
                f"expected a body of at most {MAX_BODY_BYTES} bytes, got {len(body)} bytes"
            )
        timeout_s = self._request_timeout_s if timeout_s is None else timeout_s
        self._request(command, body, now + timeout_s, done)

    def receive(self, messages: Messages, now: float) -> bytes | None:
        """Take what is no row.

        Returns
        -------
        bytes or None
            When the upgrade is done: what came behind it, which is the machine's.
        """
        self._now = now
        rest = None
        for kind, payload in messages:
            if self.state is State.CLOSED:
                return None
            if isinstance(payload, tuple):
                self._packet(*payload)
            elif self._end is None:
                self.unknown_messages += 1
            elif kind == HANDSHAKE:
                rest = self._upgrade(self._end, payload)
            elif not self._end.control(kind, payload):
                self.unknown_messages += 1
            elif kind == Opcode.PONG:
                self._pong(payload)
            elif kind == Opcode.CLOSE:
                code, text = parse_close(payload)
                self._server_closes(close_text(payload), code, text)
        return rest

    def poll(self, now: float, received: int) -> None:
        """Look at the clock: heartbeats, timeouts. How much was received does not matter."""
        self._now = now
        if self._is_upgrading() and now >= self._deadline:
            self.close(
                self._refused()
                or RequestTimeout("LongPort did not answer the WebSocket handshake in time")
            )
        for request_id, request in list(self._pending.items()):
            if now >= request.deadline and self._pending.pop(request_id, None) is not None:
                request.done(
                    RequestTimeout(
                        f"LongPort did not answer {_name(request.command)} (request {request_id}) in time"
                    )
                )
        if self.state is State.READY and now >= self._heartbeat_at:
            self._heartbeat()

    def due(self, now: float) -> float:
        """Return after how many seconds `poll()` has something to do, at most."""
        times = [request.deadline for request in self._pending.values()]
        if self._is_upgrading():
            times.append(self._deadline)
        if self.state is State.READY:
            times.append(self._heartbeat_at)
        return max(0.0, min(times, default=now + 1.0) - now)

    def close(self, error: FastfeedError) -> None:
        """End the session; what is unanswered fails with the error."""
        if self.state is State.CLOSED:
            return
        if self._end is not None:
            self._end.close(error)
        self.state = State.CLOSED
        self.error = error
        pending, self._pending = self._pending, {}
        for request in pending.values():
            request.done(error)

    def lost(self, text: str) -> None:
        """End the session: the connection is gone, for a reason of the peer's or the network's."""
        self.close(self._refused() or ConnectError(text))

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    # the handshake

    def _is_upgrading(self) -> bool:
        return self.state is State.HANDSHAKE and self._end is not None and not self._end.is_open

    def _refused(self) -> FastfeedError | None:
        return None if self._end is None else self._end.refused()

    def _upgrade(self, end: WebsocketEnd, data: bytes) -> bytes | None:
        try:
            rest = end.upgrade(data)
        except FastfeedError as error:
            self.close(error)
            return None
        if rest is not None:
            self._open()
        return rest

    def _open(self) -> None:
        message: Any
        if isinstance(self._opening, Auth):
            command = Command.AUTH
            message = message_class("AuthRequest")(token=self._opening.token)
        else:
            command = Command.RECONNECT
            message = message_class("ReconnectRequest")(session_id=self._opening.session_id)
        message.metadata.update(self._metadata)
        body = message.SerializeToString(deterministic=True)
        self._request(command, body, self._deadline, self._opened)

    def _opened(self, outcome: bytes | FastfeedError) -> None:
        if isinstance(outcome, FastfeedError):
            self.close(outcome)
            return
        name = "AuthResponse" if isinstance(self._opening, Auth) else "ReconnectResponse"
        try:
            answer = message_class(name).FromString(outcome)
        except DecodeError:
            self.close(
                RemoteProtocolError(
                    "LongPort's answer to the handshake is no protobuf", source="longport"
                )
            )
            return
        self.session_id = answer.session_id
        self.expires_ms = answer.expires
        self._secrets += secrets_of("/", [("token", answer.session_id)])
        self.state = State.READY
        self._heartbeat_at = self._now + self._heartbeat_s

    # packets

    def _request(self, command: int, body: bytes, deadline: float, done: Done) -> None:
        request_id = self._next_id()
        self._pending[request_id] = _Request(command, deadline, done)
        self._send(pack_request(command, request_id, self._milliseconds(deadline), body))

    def _next_id(self) -> int:
        self._last_id = self._last_id % _LAST_ID + 1
        return self._last_id

    def _milliseconds(self, deadline: float) -> int:
        """Return how long the server is told that it has; 0 would be for ever."""
        return max(1, min(round((deadline - self._now) * 1000), _MOST_TIMEOUT_MS))

    def _send(self, packet: bytes) -> None:
        if self._end is None:
            self._output.append(packet)
        else:
            self._end.send(Opcode.BINARY, packet)

    def _packet(
        self, kind: int, command: int, request_id: int, status: int, body: bytes | str
    ) -> None:
        if kind == PacketType.RESPONSE:
            self._response(request_id, status, body)
        elif kind == PacketType.PUSH:
            if command == Command.CLOSE:
                self._close_push(body)
            else:
                self.unknown_pushes += 1
        elif kind != PacketType.REQUEST:
            self.unknown_messages += 1
        elif command == Command.HEARTBEAT and not isinstance(body, str):
            self._send(pack_response(command, request_id, Status.SUCCESS, body))
        else:
            self.unknown_requests += 1

    def _response(self, request_id: int, status: int, body: bytes | str) -> None:
        if request_id in self._unanswered:
            self._answered(request_id)
            return
        request = self._pending.pop(request_id, None)
        if request is None:
            self.unmatched_replies += 1
        elif status != Status.SUCCESS:
            request.done(self._refusal(request.command, status, body))
        elif isinstance(body, str):
            request.done(
                RemoteProtocolError(
                    f"LongPort's answer to {_name(request.command)} cannot be read: {body}",
                    source="longport",
                )
            )
        else:
            request.done(body)

    def _refusal(self, command: int, status: int, body: bytes | str) -> FastfeedError:
        name = _words(Status, status)
        code, text = 0, ""
        if not isinstance(body, str):
            try:
                error = message_class("Error").FromString(body)
            except DecodeError:
                pass
            else:
                code, text = error.code, shown(error.msg, self._secrets)
        why = f"{name} (status {status})"
        if code:
            why = f"{reason(code)} (code {code}, status {status}: {name})"
        message = f"LongPort refused {_name(command)}: {why}" + (f": {text}" if text else "")
        is_opening = command in (Command.AUTH, Command.RECONNECT)
        if is_opening:
            self.session_expired = True
        kind: type[FastfeedError] = RequestError
        if code == _TOO_MANY_REQUESTS:
            kind = RateLimitError
        elif is_opening and (
            status in (Status.UNAUTHENTICATED, Status.PERMISSION_DENIED)
            or code == _TOO_MANY_CONNECTIONS
        ):
            kind = AuthError
        return kind(message, code=code or status, text=text)

    def _close_push(self, body: bytes | str) -> None:
        try:
            notice = message_class("Close").FromString(b"" if isinstance(body, str) else body)
        except DecodeError:
            self._server_closes("it could not be read why", None, "")
            return
        if isinstance(body, str):
            self._server_closes(f"it could not be read why: {body}", None, "")
            return
        number = notice.code
        self.session_expired = number in (CloseReason.SESSION_EXPIRED, CloseReason.AUTH_ERROR)
        why = f"{number} ({_words(CloseReason, number)})"
        self._server_closes(
            why + (f": {notice.reason}" if notice.reason else ""), number, notice.reason
        )

    def _server_closes(self, why: str, code: int | None, text: str) -> None:
        self.close(
            ConnectError(
                f"LongPort closed the connection: {shown(why, self._secrets)}",
                code=code,
                text=shown(text, self._secrets),
            )
        )

    # heartbeats

    def _heartbeat(self) -> None:
        if len(self._unanswered) >= _UNANSWERED:
            self.close(ConnectError(f"LongPort did not answer {len(self._unanswered)} heartbeats"))
            return
        self._heartbeat_at = self._now + self._heartbeat_s
        request_id = self._next_id()
        body = message_class("Heartbeat")(
            timestamp=int(self._calendar() * 1000), heartbeat_id=request_id
        ).SerializeToString()
        self._unanswered[request_id] = body
        if self._end is not None:
            self._end.send(Opcode.PING, body)
        else:
            timeout_ms = self._milliseconds(self._heartbeat_at)
            self._output.append(pack_request(Command.HEARTBEAT, request_id, timeout_ms, body))

    def _pong(self, payload: bytes) -> None:
        for request_id, body in self._unanswered.items():
            if body == payload:
                self._answered(request_id)
                return

    def _answered(self, request_id: int) -> None:
        """Take note that a heartbeat was answered, and with it those before it."""
        for one in list(self._unanswered):
            del self._unanswered[one]
            if one == request_id:
                return


def _name(command: int) -> str:
    return f"{_words(Command, command)} (command {command})"


def _words(numbers: type[enum.IntEnum], number: int) -> str:
    try:
        return numbers(number).name.lower().replace("_", " ")
    except ValueError:
        return "unknown"
