"""Every error that fastfeed raises on purpose.

One base class; below it one class for each thing a caller can do something about. Errors that a vendor
reported carry its `code` and `text` unchanged. Wrong arguments are plain `TypeError` and `ValueError`.
"""

from __future__ import annotations

__all__ = [
    "FastfeedError",
    "ConfigError",
    "ConnectError",
    "HubError",
    "StorageError",
    "AuthError",
    "SubscriptionError",
    "RateLimitError",
    "RequestTimeout",
    "RequestError",
    "ProtocolError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "InternalError",
]


class FastfeedError(Exception):
    """Base of all errors of fastfeed.

    Attributes
    ----------
    code : int or None
        The vendor's number for what went wrong, None where the error is not the vendor's.
    text : str
        The vendor's words, empty where the error is not the vendor's.
    """

    def __init__(self, message: str, *, code: int | None = None, text: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.text = text


class ConfigError(FastfeedError, ValueError):
    """A URL, an option or a credential that cannot be used."""


class ConnectError(FastfeedError, ConnectionError):
    """Nothing listens there, the connection was lost, or the feed is closed."""


class HubError(FastfeedError):
    """A named hub that is not there, that another process writes, or that is of another layout."""


class StorageError(FastfeedError):
    """A folder or file that cannot be read or written: damaged, of a newer version, used by another process, full."""


class AuthError(FastfeedError):
    """The vendor refused the handshake."""


class RequestError(FastfeedError):
    """The vendor answered a request with an error."""


class SubscriptionError(RequestError):
    """The vendor refused to subscribe or unsubscribe.

    Attributes
    ----------
    symbols : tuple of str
        Those that were refused.
    """

    def __init__(
        self,
        message: str,
        *,
        symbols: tuple[str, ...] = (),
        code: int | None = None,
        text: str = "",
    ) -> None:
        super().__init__(message, code=code, text=text)
        self.symbols = symbols


class RateLimitError(RequestError):
    """The vendor's limit of calls was hit."""


class RequestTimeout(FastfeedError, TimeoutError):
    """No reply within the time allowed."""


class ProtocolError(FastfeedError):
    """One side broke the protocol."""


class LocalProtocolError(ProtocolError):
    """Our side would have broken the protocol, for example by a call in the wrong state."""


class RemoteProtocolError(ProtocolError):
    """The received stream cannot be what the protocol says.

    Attributes
    ----------
    source : str
        The vendor's name.
    offset : int
        Where in the received stream, in bytes since its beginning.
    data : bytes
        The first bytes at that place.
    """

    def __init__(
        self, message: str, *, source: str = "", offset: int = 0, data: bytes = b""
    ) -> None:
        super().__init__(message)
        self.source = source
        self.offset = offset
        self.data = data


class InternalError(FastfeedError):
    """A mistake in fastfeed itself: please report it."""
