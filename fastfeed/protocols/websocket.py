"""WebSocket's opening handshake, a client's side (RFC 6455, section 4), and what close frames say.

What is sent may hold a token: in the path's query, in the path itself, in a header. Whatever a server answers
may repeat it. No error and no repr made here shows it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from enum import IntEnum
from http.client import HTTPException, parse_headers
from typing import NoReturn
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from fastfeed.errors import (
    AuthError,
    ConnectError,
    FastfeedError,
    LocalProtocolError,
    RateLimitError,
    RemoteProtocolError,
)

__all__ = [
    "CloseCode",
    "Handshake",
    "Opcode",
    "close_payload",
    "close_text",
    "parse_close",
    "secrets_of",
    "shown",
]


class Opcode(IntEnum):
    """What a message or a control frame is."""

    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Why a connection is closed (section 7.4.1, and the register that it founded)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005  # never sent: the close frame was empty
    ABNORMAL = 1006  # never sent: there was no close frame
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MISSING_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_FAILURE = 1015  # never sent


_MAX_REASON = 123  # bytes: a control frame's 125 without the code


def close_payload(code: int = CloseCode.NORMAL, reason: str = "") -> bytes:
    """Return the payload of a close frame; a reason that is too long is cut."""
    if not (1000 <= code <= 4999) or code in {1004, 1005, 1006, 1015}:
        raise ValueError(f"expected a close code that may be sent, got {code}")
    text = reason.encode()[:_MAX_REASON].decode(errors="ignore")
    return code.to_bytes(2, "big") + text.encode()


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a close frame's payload; 1005 when it is empty."""
    if len(payload) < 2:
        return CloseCode.NO_STATUS, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")


def close_text(payload: bytes) -> str:
    """Return what a close frame's payload says, for people: `1001 (going away): the server restarts`.

    The reason is the server's, which may repeat what it was sent: see `Handshake.shown`.
    """
    code, reason = parse_close(payload)
    try:
        name = CloseCode(code).name.lower().replace("_", " ")
    except ValueError:
        name = "reserved" if code < 3000 else "the vendor's own" if code >= 4000 else "registered"
    reason = _printable(reason)
    return f"{code} ({name})" + (f": {reason}" if reason else "")


_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_BYTES = 16 * 1024  # longest head of a response
_BODY_BYTES = 4 * 1024  # as much of a refusal's body is waited for
_TEXT_CHARS = 200  # as much of it is told
_BEGINNING = b"HTTP/1."

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD_LINE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_HOST = re.compile(r"[A-Za-z0-9._~%:\[\]-]+")
_PATH = re.compile(r"/[\x21\x22\x24-\x7e]*")  # printable, no blank, no fragment

#: Headers that are the handshake's own.
_OWN = frozenset(
    {
        *("host", "upgrade", "connection", "content-length", "transfer-encoding"),
        *("sec-websocket-key", "sec-websocket-version", "sec-websocket-accept"),
        "sec-websocket-extensions",  # the framing knows none
    }
)

#: What looks like a secret even where it is not one of ours.
_PARAMETER = re.compile(
    r"((?:token|key|secret|signature|sign|password|otp|auth)(?:=|%3[dD])|bearer\s+)[^&\s\"'<>;,]+",
    re.IGNORECASE,
)
_MIN_SECRET = 6  # characters: a shorter value, as the 1 of `v=1`, is found in any text


class Handshake:
    """The opening handshake of one connection: send `request()`, hand what comes to `receive()`.

    Parameters
    ----------
    host : str
        With a port where it is not the scheme's own.
    path : str
        With the query, percent-encoded.
    headers : mapping of str to str, or pairs
        To send besides those of the handshake. What Sec-WebSocket-Protocol offers may be agreed on; extensions
        cannot be asked for.
    source : str
        The name that errors carry.

    Attributes
    ----------
    protocol : str
        The sub-protocol that was agreed on, empty without one.
    """

    def __init__(
        self,
        host: str,
        path: str = "/",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        source: str = "websocket",
    ) -> None:
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not _HOST.fullmatch(host):
            raise ValueError(f"expected a host, got {host!r}")
        if not _PATH.fullmatch(path):
            raise ValueError("expected a path that begins with / and is percent-encoded")
        for name, value in pairs:
            if not _NAME.fullmatch(name) or name.lower() in _OWN:
                raise ValueError(f"expected a header that may be added, got {name!r}")
            if not _VALUE.fullmatch(value):
                raise ValueError(f"expected printable ASCII as the value of {name}")
        self._host = host
        self._source = source
        self._secrets = secrets_of(path, pairs)
        self._asked = {
            item
            for name, value in pairs
            if name.lower() == "sec-websocket-protocol"
            for item in _items([value])
        }
        key = base64.b64encode(secrets.token_bytes(16))
        self._accept = _answer(key)
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value.strip()}" for name, value in pairs),
        ]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._buffer = bytearray()
        self._head: Message | None = None  # of a refusal whose body is not complete
        self._status = 0
        self._done = False
        self.protocol = ""

    def __repr__(self) -> str:
        return f"<Handshake with {self._host}>"

    def request(self) -> bytes:
        """Return what to send."""
        return self._request

    def receive(self, data: bytes) -> bytes | None:
        """Take a piece of what the server sent, cut wherever it may be.

        Returns
        -------
        bytes or None
            None while the response is incomplete; then, once, what came behind it: frames.

        Raises
        ------
        AuthError
            Status 401 or 403. As of every refusal, `code` is the status and `text` the beginning of the body.
        RateLimitError
            Status 429.
        RemoteProtocolError
            Any other status but 101, or what is no agreement on WebSocket, or not HTTP.
        """
        if self._done:
            raise LocalProtocolError("the handshake is over")
        searched = max(0, len(self._buffer) - 3)
        self._buffer += data
        if self._head is None:
            beginning = bytes(self._buffer[: len(_BEGINNING)])
            if not _BEGINNING.startswith(beginning):
                self._fail("expected an HTTP response", got=bytes(self._buffer[:_BODY_BYTES]))
            end = self._buffer.find(b"\r\n\r\n", searched, _HEAD_BYTES)
            if end < 0:
                if len(self._buffer) >= _HEAD_BYTES:
                    self._fail(f"expected an HTTP head of less than {_HEAD_BYTES} bytes, got more")
                return None
            head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            message = self._parse(head)
            if self._status == 101:
                self._agree(message)
                self._done = True
                return bytes(self._buffer)
            self._head = message
        if _is_complete(self._head, self._buffer):
            self._done = True
            raise self._refusal(self._head)
        return None

    def ended(self) -> FastfeedError:
        """Return the error of a connection that was closed, or given up, before the handshake was over."""
        self._done = True
        if self._head is not None:
            return self._refusal(self._head)
        return ConnectError(
            f"{self._host} closed the connection during the WebSocket handshake"
            + (", in the middle of its response" if self._buffer else "")
        )

    def shown(self, text: str) -> str:
        """Return a text of the server's as errors show it; see `shown`."""
        return shown(text, self._secrets)

    def _parse(self, head: bytes) -> Message:
        first, *lines = head.decode("latin-1").split("\r\n")
        found = _STATUS_LINE.fullmatch(first)
        if found is None:
            self._fail("expected an HTTP/1.1 status line", got=first.encode("latin-1"))
        if not all(map(_FIELD_LINE.fullmatch, lines)):
            self._fail("expected HTTP headers, one in a line, got something else")
        self._status = int(found[2])
        if self._status == 101 and found[1] != "1":
            self._fail("expected HTTP/1.1, got HTTP/1.0")
        try:
            message = parse_headers(io.BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n"))
        except HTTPException as error:
            self._fail(f"expected fewer HTTP headers, {error}")
        return message

    def _agree(self, head: Message) -> None:
        def of(name: str) -> list[str]:
            return [str(value).strip() for value in head.get_all(name, [])]

        upgrade = of("Upgrade")
        if [value.lower() for value in upgrade] != ["websocket"]:
            self._fail(f"expected the header Upgrade: websocket, {self._got(upgrade)}")
        connection = of("Connection")
        if "upgrade" not in map(str.lower, _items(connection)):
            self._fail(f"expected the header Connection: Upgrade, {self._got(connection)}")
        accept = of("Sec-WebSocket-Accept")
        if accept != [self._accept]:
            self._fail(
                "expected the header Sec-WebSocket-Accept to answer the key, "
                + ("got another value" if accept else "it is missing")
            )
        extensions = of("Sec-WebSocket-Extensions")
        if any(extensions):
            self._fail(f"expected no WebSocket extension, {self._got(extensions)}")
        protocols = of("Sec-WebSocket-Protocol")
        if any(protocols):
            if len(protocols) != 1 or protocols[0] not in self._asked:
                self._fail(
                    f"expected no sub-protocol but one that was asked for, {self._got(protocols)}"
                )
            self.protocol = protocols[0]

    def _got(self, values: list[str]) -> str:
        return f"got {self.shown(', '.join(values))!r}" if values else "it is missing"

    def _refusal(self, head: Message) -> FastfeedError:
        text = self.shown(_body(head, bytes(self._buffer)).decode(errors="replace"))
        message = f"{self._host} refused the WebSocket handshake with HTTP status {self._status}"
        message += f": {text}" if text else ""
        if self._status in {401, 403}:
            return AuthError(message, code=self._status, text=text)
        if self._status == 429:
            return RateLimitError(message, code=self._status, text=text)
        error = RemoteProtocolError(message, source=self._source)
        error.code, error.text = self._status, text
        return error

    def _fail(self, why: str, got: bytes | None = None) -> NoReturn:
        self._done = True
        data = b""
        if got is not None:
            data = _redacted(got.decode("latin-1"), self._secrets)[:80].encode("latin-1")
            why += f", got {data!r}"
        raise RemoteProtocolError(
            f"WebSocket handshake with {self._host}: {why}", source=self._source, data=data
        ) from None


def _answer(key: bytes) -> str:
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()


def _items(values: list[str]) -> list[str]:
    """Return the elements of comma-separated headers."""
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


def _printable(text: str) -> str:
    """Return a text in one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shown(text: str, secrets: Sequence[str]) -> str:
    """Return a text of a server's as errors show it: without what looks like a token, in one line, not too long.

    Parameters
    ----------
    text
    secrets
        What the request held, as `secrets_of` gives it.
    """
    text = _printable(_redacted(text, secrets))
    return text if len(text) <= _TEXT_CHARS else text[:_TEXT_CHARS] + "..."


def _redacted(text: str, secrets: Sequence[str]) -> str:
    """Return a text without secrets, longest first, and without what looks like a token."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _PARAMETER.sub(r"\1***", text)
    for secret in secrets:  # one that was cut off
        for length in range(min(len(secret) - 1, len(text)), 3, -1):
            if text.endswith(secret[:length]):
                text = text[:-length] + "***"
                break
    return text


def secrets_of(path: str, headers: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Return what no error about a request may show, longest first."""
    plain, _, query = path.partition("?")
    # All values, named as a secret or not: whoever knows the vendor need not tell which it is.
    parts = [parameter.rpartition("=")[2] for parameter in re.split("[&;]", query)]
    parts += [path, query, plain, *(part for part in plain.split("/") if len(part) >= 16)]
    for name, value in headers:
        if name.lower() != "sec-websocket-protocol":
            parts += [value.strip(), *value.split()]
    forms = {form for part in parts for form in (part, unquote(part), unquote_plus(part))}
    forms |= {again for form in forms for again in (quote(form, safe=""), quote_plus(form))}
    forms |= {form.replace("&", "&amp;") for form in forms}  # in a page
    return sorted((form for form in forms if len(form) >= _MIN_SECRET), key=len, reverse=True)


def _is_complete(head: Message, body: bytearray) -> bool:
    """Return whether there is as much of a refusal's body as is waited for."""
    if len(body) >= _BODY_BYTES:
        return True
    if _is_chunked(head):
        return b"0\r\n\r\n" in body
    length = str(head.get("Content-Length", "")).strip()
    return not length.isdecimal() or len(body) >= int(length[:9])


def _is_chunked(head: Message) -> bool:
    return "chunked" in str(head.get("Transfer-Encoding", "")).lower()


def _body(head: Message, data: bytes) -> bytes:
    if not _is_chunked(head):
        length = str(head.get("Content-Length", "")).strip()
        return data[: int(length[:9])] if length.isdecimal() else data
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        try:
            chunk_bytes = int(size.partition(b";")[0], 16)
        except ValueError:
            return body
        if chunk_bytes <= 0:
            return body
        body += data[:chunk_bytes]
        data = data[chunk_bytes + 2 :]
