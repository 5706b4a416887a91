"""OpenD's encryption of packets, made with the package `cryptography` only."""

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def encrypt(mode, key, iv, body):
    """Return a body encrypted by "aes-cbc" or "ftaes-ecb"."""
    if mode == "aes-cbc":
        padder = padding.PKCS7(128).padder()
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        return encryptor.update(padder.update(body) + padder.finalize()) + encryptor.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    padded = body + bytes(-len(body) % 16)
    return encryptor.update(padded) + encryptor.finalize() + bytes(15) + bytes([len(body) % 16])


def decrypt(mode, key, iv, body):
    """Return a body decrypted."""
    if mode == "aes-cbc":
        unpadder = padding.PKCS7(128).unpadder()
        decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        padded = decryptor.update(body) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    decryptor = Cipher(algorithms.AES(key), modes.ECB()).decryptor()
    plain = decryptor.update(body[:-16]) + decryptor.finalize()
    return plain[: len(plain) - 16 + body[-1]] if body[-1] else plain
