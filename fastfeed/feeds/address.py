"""Where a vendor is: the URL of a WebSocket or of a TCP port, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastfeed.errors import ConfigError
from fastfeed.protocols.websocket import Handshake

__all__ = ["WEBSOCKET_PORTS", "Address"]

#: The usual ports by scheme.
WEBSOCKET_PORTS = {"ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A URL without credentials."""

    scheme: str
    host: str
    port: int
    netloc: str
    path: str
    query: str

    @classmethod
    def of(cls, url: str, ports: Mapping[str, int]) -> Address:
        """Read a URL of one of some schemes, each with its usual port.

        Raises
        ------
        ConfigError
            It is none, or has more than an address, a path and a query. The text does not repeat it.
        """
        *first, last = (f"{scheme}://" for scheme in ports)
        wrong = ConfigError(f"expected url to be a {', '.join(first)} or {last} address")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        except (ValueError, TypeError, AttributeError):
            raise wrong from None
        if parts.scheme not in ports or not host or "@" in parts.netloc or parts.fragment:
            raise wrong
        address = cls(
            parts.scheme, host, port or ports[parts.scheme], parts.netloc, parts.path, parts.query
        )
        try:
            Handshake(address.host_header, address.target)
        except ValueError as error:
            raise ConfigError(f"{error}, in url") from None
        return address

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "wss"

    @property
    def host_header(self) -> str:
        """Host and, unless it is the usual one, port, as HTTP wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == WEBSOCKET_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query."""
        return (self.path or "/") + (f"?{self.query}" if self.query else "")
