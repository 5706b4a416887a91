"""RSA keys in files, as OpenD takes them; made with the package `cryptography` only."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def new_key(bits=1024):
    """Return a new key."""
    return rsa.generate_private_key(65537, bits)


def write_key(path, key, *, password=None):
    """Write a key and return the path as a text."""
    encryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    return str(path)
