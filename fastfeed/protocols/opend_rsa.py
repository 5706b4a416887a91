"""The encryption of OpenD's InitConnect: RSA with PKCS #1 v1.5 padding, in pieces, by one key for both ends.

OpenD and its client hold the same private key and encrypt with its public half, in either direction. The same
class therefore serves a client and a simulator. It needs the package `cryptography`, which is an extra.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastfeed.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["RsaKey", "load_rsa_key"]

_MIN_BITS = 512  # 53 bytes in a piece
_MAX_FILE_BYTES = 1 << 16
_PIECE = 100  # of a plain body, as all official clients
_PADDING = 11  # bytes that PKCS #1 needs in a block


class RsaKey:
    """See the head of this file; made by `load_rsa_key()`."""

    def __init__(self, private_key: RSAPrivateKey) -> None:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

        self._private_key = private_key
        self._public_key = private_key.public_key()
        self._padding = PKCS1v15()
        #: Bytes of an encrypted piece.
        self.block = (private_key.key_size + 7) // 8

    def __repr__(self) -> str:
        return f"<RsaKey of {self._private_key.key_size} bits>"

    def encrypt(self, body: bytes) -> bytes:
        """Return a body encrypted."""
        piece = min(_PIECE, self.block - _PADDING)
        return b"".join(
            self._public_key.encrypt(body[at : at + piece], self._padding)
            for at in range(0, len(body), piece)
        )

    def decrypt(self, body: bytes) -> bytes:
        """Return a body decrypted; compare its SHA-1, for what comes of a wrong key may be any bytes.

        Raises
        ------
        ValueError
            It is not what `encrypt()` gives with this key; not raised in all such cases.
        """
        if not body or len(body) % self.block:
            raise ValueError(f"expected blocks of {self.block} bytes, got {len(body)} bytes")
        try:
            return b"".join(
                self._private_key.decrypt(body[at : at + self.block], self._padding)
                for at in range(0, len(body), self.block)
            )
        except ValueError:
            raise ValueError("expected bytes encrypted with the same RSA key") from None


def load_rsa_key(path: str | os.PathLike[str]) -> RsaKey:
    """Read a private key from a PEM file without a password.

    Raises
    ------
    ConfigError
        The file cannot be read, is no such key, or the package `cryptography` is missing. Its text does not
        show what is in the file.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigError(
            "rsa_key needs the package cryptography: pip install 'fastfeed[crypto]'"
        ) from None
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read the RSA key {name!r}: {error.strerror}") from None
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        raise ConfigError(f"expected an RSA key without a password in {name!r}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(
            f"expected an RSA private key (PKCS #1, PEM) of at least {_MIN_BITS} bits in {name!r}, which the "
            "package cryptography can read"
        ) from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _MIN_BITS:
        raise ConfigError(
            f"expected an RSA private key of at least {_MIN_BITS} bits in {name!r}, got another kind of key"
        )
    return RsaKey(key)
