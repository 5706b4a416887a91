"""One connection to OpenD, as a state machine without a socket, a loop or a clock.

It is fed with packets and with the time, and gives bytes to send. The table of states:

    NEW        -- start() -->                          HANDSHAKE   InitConnect (1001) was sent
    HANDSHAKE  -- a good reply to it -->               READY       requests, heartbeats (1004)
    any        -- a bad reply, silence, close() -->    CLOSED      `error` says why; all requests fail

With an RSA key InitConnect is encrypted by it, and everything after it by AES if that is asked for. The reply to
InitConnect says with which key: `cipher` has to be in force for whatever is received behind that reply.

Not in it: which symbols are subscribed (the feed's business, it outlives a connection), and the decoding of
rows (the machine's).

Times are seconds of any clock that does not go back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from google.protobuf.message import DecodeError

from fastfeed._core.opend_cipher import OpendCipher
from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    LocalProtocolError,
    RemoteProtocolError,
    RequestError,
    RequestTimeout,
)
from fastfeed.feeds.session import State
from fastfeed.protocols.opend_frames import body_sha1, pack
from fastfeed.protocols.opend_messages import (
    INIT_CONNECT,
    KEEP_ALIVE,
    NOTIFY,
    QOT_UPDATE_BASIC_QOT,
    QOT_UPDATE_BROKER,
    QOT_UPDATE_KL,
    QOT_UPDATE_ORDER_BOOK,
    QOT_UPDATE_PRICE_REMINDER,
    QOT_UPDATE_RT,
    QOT_UPDATE_TICKER,
    message_class,
    text_of,
)
from fastfeed.protocols.opend_rsa import RsaKey

__all__ = ["Encryption", "Frames", "OpendSession", "refusal", "refused_push"]

#: Packets that are no rows: protocol id, serial number, body; or in its place why it was rejected.
Frames = list[tuple[int, int, bytes | str]]
#: What to do with a request's outcome: the reply's body, or the error.
Done = Callable[[bytes | FastfeedError], None]
#: How everything behind the handshake is encrypted.
Encryption = Literal["aes-cbc", "ftaes-ecb", "none"]
#: What to do with a packet that is no reply: protocol id and body.
OnPush = Callable[[int, bytes], None]

_CLIENT_VERSION = 300  # what the official client sends; OpenD knows it
#: Of those that become rows only the refused ones come here.
_PUSHES = frozenset(
    {
        NOTIFY,
        QOT_UPDATE_BASIC_QOT,
        QOT_UPDATE_KL,
        QOT_UPDATE_RT,
        QOT_UPDATE_TICKER,
        QOT_UPDATE_ORDER_BOOK,
        QOT_UPDATE_BROKER,
        QOT_UPDATE_PRICE_REMINDER,
    }
)
#: packetEncAlgo by what users call it.
_ENCRYPTIONS: dict[Encryption, int] = {"none": -1, "ftaes-ecb": 0, "aes-cbc": 2}
_NO_KEY_THERE = "OpenD may have no RSA key configured, or another one than rsa_key"
_HEARTBEAT_PART = 0.8  # of the interval that OpenD asks for, as the official client
_DEAD_INTERVALS = 3  # intervals without a complete packet, and the peer is given up
_MAX_INTERVAL_S = 300.0


class OpendSession:
    """See the head of this file.

    Parameters
    ----------
    on_push
        Gets the packets that answer no request.
    client_id
        A label that OpenD shows in its log.
    handshake_timeout_s, request_timeout_s
        How long to wait for replies.
    rsa_key
        OpenD's key, if it has one.
    encryption
        What to ask for; anything but "none" needs the key.
    calendar
        Epoch seconds, which heartbeats carry.
    """

    def __init__(
        self,
        on_push: OnPush,
        *,
        client_id: str = "fastfeed",
        handshake_timeout_s: float = 10.0,
        request_timeout_s: float = 12.0,
        rsa_key: RsaKey | None = None,
        encryption: Encryption = "none",
        calendar: Callable[[], float] = time.time,
    ) -> None:
        self.state = State.NEW
        self.error: FastfeedError | None = None
        self.cipher: OpendCipher | None = None
        self.connection_id = 0
        self.server_version = 0
        self.keep_alive_s = 10.0
        self.unmatched_replies = 0  # too late, or to nothing that was asked
        self._on_push = on_push
        self._client_id = client_id
        self._calendar = calendar
        self._handshake_timeout_s = handshake_timeout_s
        self._request_timeout_s = request_timeout_s
        self._rsa_key = rsa_key
        self._encryption: Encryption = encryption
        self._init_was_encrypted = False
        self._serial = 0
        self._now = 0.0
        self._pending: dict[tuple[int, int], tuple[float, Done]] = {}
        self._output: list[bytes] = []
        self._heartbeat_at = 0.0
        self._packets = 0
        self._heard_at = 0.0

    def start(self, now: float) -> None:
        """Begin: the connection stands."""
        if self.state is not State.NEW:
            raise LocalProtocolError(f"expected a new session, it is {self.state.value}")
        self.state = State.HANDSHAKE
        self._now = self._heard_at = now
        request = message_class("InitConnect.Request")()
        request.c2s.clientVer = _CLIENT_VERSION
        request.c2s.clientID = self._client_id
        request.c2s.recvNotify = True
        request.c2s.packetEncAlgo = _ENCRYPTIONS[self._encryption]
        request.c2s.pushProtoFmt = 0
        request.c2s.programmingLanguage = "Python"
        self._send(INIT_CONNECT, request, self._handshake_timeout_s, self._initialised)

    def request(self, proto_id: int, message: Any, now: float, done: Done) -> None:
        """Send a request; `done` gets the reply's body when its retType is 0, or else the error."""
        self._now = now
        if self.state is not State.READY:
            raise self.error or ConnectError(f"not connected: the session is {self.state.value}")
        self._send(proto_id, message, self._request_timeout_s, done)

    def receive(
        self,
        frames: Frames,
        now: float,
        init_sha1: bytes | None = None,
    ) -> None:
        """Take packets that are no rows.

        Parameters
        ----------
        frames
            Protocol id, serial number, body; or in its place the reason why it was rejected.
        now
        init_sha1
            The digest that stood in the header of InitConnect's reply, if that is among them.
        """
        self._now = now
        for proto_id, serial, body in frames:
            if self.state is State.CLOSED:
                return
            if proto_id in _PUSHES:  # by the id, never by the serial number
                if isinstance(body, bytes):
                    self._on_push(proto_id, body)
                continue
            pending = self._pending.pop((proto_id, serial), None)
            if pending is None:
                self.unmatched_replies += 1
            elif isinstance(body, str):
                pending[1](
                    RemoteProtocolError(
                        f"OpenD's reply to {proto_id} was rejected: {body}", source="opend"
                    )
                )
            elif proto_id == INIT_CONNECT:
                self._init_reply(body, init_sha1, pending[1])
            else:
                self._reply(proto_id, body, pending[1])

    def poll(self, now: float, packets: int) -> None:
        """Look at the clock: heartbeats, timeouts, a dead peer.

        Parameters
        ----------
        now
        packets
            Complete packets received so far, of whatever kind.
        """
        self._now = now
        if packets != self._packets:
            self._packets = packets
            self._heard_at = now
        if self.state is State.READY:
            silent_s = now - self._heard_at
            if silent_s > _DEAD_INTERVALS * self.keep_alive_s:
                self.close(ConnectError(f"OpenD has sent nothing for {silent_s:.0f} s"))
                return
            if now >= self._heartbeat_at:
                self._heartbeat_at = now + self.keep_alive_s * _HEARTBEAT_PART
                request = message_class("KeepAlive.Request")()
                request.c2s.time = int(self._calendar())
                self._send(KEEP_ALIVE, request, self._request_timeout_s, _ignore)
        for key, (deadline, done) in list(self._pending.items()):
            if now >= deadline:
                del self._pending[key]
                done(
                    RequestTimeout(
                        f"OpenD did not answer request {key[0]} (serial {key[1]}) in time"
                    )
                )

    def due(self, now: float) -> float:
        """Return after how many seconds `poll()` has something to do, at most."""
        times = [deadline for deadline, _ in self._pending.values()]
        if self.state is State.READY:
            times += [self._heartbeat_at, self._heard_at + _DEAD_INTERVALS * self.keep_alive_s]
        return max(0.0, min(times, default=now + 1.0) - now)

    def close(self, error: FastfeedError) -> None:
        """End the session; what is unanswered fails with the error."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.error = error
        pending, self._pending = self._pending, {}
        for _, done in pending.values():
            done(error)

    def lost(self, text: str) -> None:
        """End the session: the connection is gone, for a reason of the peer's or the network's."""
        if self.state is State.HANDSHAKE and self._rsa_key is not None:
            self.close(AuthError(f"{text}, in the handshake: {_NO_KEY_THERE}"))
        else:
            self.close(ConnectError(text))

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def _send(self, proto_id: int, message: Any, timeout_s: float, done: Done) -> None:
        self._serial += 1
        self._pending[proto_id, self._serial] = (self._now + timeout_s, done)
        encrypt = None
        if proto_id == INIT_CONNECT and self._rsa_key is not None:
            encrypt = self._rsa_key.encrypt
        elif self.cipher is not None:
            encrypt = self.cipher.encrypt
        self._output.append(pack(proto_id, self._serial, message.SerializeToString(), encrypt))

    def _init_reply(self, body: bytes, sha1: bytes | None, done: Done) -> None:
        """Decrypt the reply to InitConnect. Whether it is encrypted, and by which key, its digest tells."""
        if sha1 is not None and body_sha1(body) != sha1:
            if self._rsa_key is None:
                self.close(
                    AuthError(
                        "OpenD's reply to InitConnect is encrypted: OpenD has an RSA key configured, give the "
                        "same file as rsa_key="
                    )
                )
                return
            try:
                body = self._rsa_key.decrypt(body)
            except ValueError:
                body = b""
            if body_sha1(body) != sha1:
                self.close(
                    AuthError(
                        "OpenD's reply to InitConnect cannot be decrypted: rsa_key is another key than OpenD's"
                    )
                )
                return
            self._init_was_encrypted = True
        self._reply(INIT_CONNECT, body, done)

    def _reply(self, proto_id: int, body: bytes, done: Done) -> None:
        try:
            verdict = message_class("Reply").FromString(body)
        except DecodeError:
            verdict = None
        if verdict is None or not verdict.HasField("retType"):
            done(
                RemoteProtocolError(
                    f"OpenD's reply to {proto_id} is not one", source="opend", data=body[:16]
                )
            )
            return
        if verdict.retType != 0:
            done(refusal(f"request {proto_id}", verdict))
        else:
            done(body)

    def _initialised(self, reply: bytes | FastfeedError) -> None:
        keyed, answered_plainly = self._rsa_key is not None, not self._init_was_encrypted
        if isinstance(reply, FastfeedError):
            if isinstance(reply, RequestError):
                hint = f"; {_NO_KEY_THERE}" if keyed and answered_plainly else ""
                reply = AuthError(f"{reply}{hint}", code=reply.code, text=reply.text)
            elif isinstance(reply, RequestTimeout) and keyed:
                reply = ConnectError(f"{reply}: {_NO_KEY_THERE}")
            self.close(reply)
            return
        try:
            response = message_class("InitConnect.Response").FromString(reply)
        except DecodeError:
            response = None
        if response is None or not response.HasField("s2c"):
            self.close(
                RemoteProtocolError("OpenD's reply to InitConnect is not one", source="opend")
            )
            return
        if self._encryption != "none":
            if answered_plainly:  # going on without encryption is not what was asked for
                self.close(
                    AuthError(f"OpenD's reply to InitConnect is not encrypted: {_NO_KEY_THERE}")
                )
                return
            try:
                self.cipher = self._make_cipher(response.s2c)
            except ValueError:
                self.close(
                    RemoteProtocolError(
                        "OpenD's reply to InitConnect has no usable key: expected 16 bytes, and for an IV too",
                        source="opend",
                    )
                )
                return
        self.connection_id = response.s2c.connID
        self.server_version = response.s2c.serverVer
        self.keep_alive_s = min(max(1.0, response.s2c.keepAliveInterval), _MAX_INTERVAL_S)
        self._heartbeat_at = self._now + self.keep_alive_s * _HEARTBEAT_PART
        self.state = State.READY

    def _make_cipher(self, s2c: Any) -> OpendCipher:
        key = s2c.connAESKey.encode()
        if self._encryption == "aes-cbc" and s2c.aesCBCiv:
            return OpendCipher("aes-cbc", key, s2c.aesCBCiv.encode())
        return OpendCipher("ftaes-ecb", key)


def refused_push(proto_id: int, body: bytes) -> FastfeedError:
    """Return what is wrong with a push that became no rows."""
    try:
        verdict = message_class("Reply").FromString(body)
    except DecodeError:
        return RemoteProtocolError(
            f"OpenD sent a push {proto_id} that is no protobuf", source="opend", data=body[:16]
        )
    return refusal(f"push {proto_id}", verdict)


def refusal(what: str, verdict: Any) -> RequestError:
    """Return the error of a reply or push whose retType is not 0."""
    code = verdict.errCode if verdict.errCode else verdict.retType
    text = text_of(verdict.retMsg)
    return RequestError(f"OpenD refused {what}: {text} (code {code})", code=code, text=text)


def _ignore(reply: bytes | FastfeedError) -> None:
    pass
