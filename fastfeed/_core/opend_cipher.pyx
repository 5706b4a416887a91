"""The encryption of OpenD's packets, after the handshake."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

from fastfeed._core.native cimport (
    FF_AES_BLOCK,
    FF_AES_KEY,
    FF_CIPHER_CBC,
    FF_CIPHER_ECB,
    explicit_bzero,
    ff_opend_cipher_init,
    ff_opend_decrypt,
    ff_opend_encrypt,
    ff_opend_encrypt_packets,
    ff_opend_encrypted_length,
    ff_opend_encrypted_packets_length,
)

cimport cython

__all__ = ["OpendCipher"]

cdef dict MODES = {"aes-cbc": FF_CIPHER_CBC, "ftaes-ecb": FF_CIPHER_ECB}


@cython.final
cdef class OpendCipher:
    """Key and mode of one connection, for both directions.

    Parameters
    ----------
    mode : {"aes-cbc", "ftaes-ecb"}
    key, iv : bytes
        16 bytes each; the IV is for "aes-cbc" only.
    portable : bool
        Leave the CPU's AES instructions out.
    """

    def __cinit__(self, str mode not None, bytes key not None, bytes iv not None=b"", *, bint portable=False):
        if mode not in MODES:
            raise ValueError(f"expected a mode ({', '.join(MODES)}), got {mode!r}")
        if len(key) != FF_AES_KEY:
            raise ValueError(f"expected a key of {FF_AES_KEY} bytes, got {len(key)} bytes")
        if mode == "aes-cbc" and len(iv) != FF_AES_BLOCK:
            raise ValueError(f"expected an IV of {FF_AES_BLOCK} bytes, got {len(iv)} bytes")
        self.mode = mode
        ff_opend_cipher_init(&self.cipher, MODES[mode], <const uint8_t *>PyBytes_AS_STRING(key),
                             <const uint8_t *>PyBytes_AS_STRING(iv), portable)

    def __dealloc__(self):
        explicit_bzero(&self.cipher, sizeof(self.cipher))

    def __reduce__(self):
        raise TypeError("a cipher holds a key and cannot be copied or pickled")

    def __repr__(self):
        return f"<OpendCipher {self.mode}>"

    def encrypt(self, bytes body not None):
        """Return the encrypted form of a packet's body."""
        cdef bytes out = PyBytes_FromStringAndSize(NULL, ff_opend_encrypted_length(&self.cipher, len(body)))
        ff_opend_encrypt(&self.cipher, <const uint8_t *>PyBytes_AS_STRING(body), len(body),
                         <uint8_t *>PyBytes_AS_STRING(out))
        return out

    def decrypt(self, bytes body not None):
        """Return the plain form of a packet's body.

        Raises
        ------
        ValueError
            Its length or its padding cannot be.
        """
        cdef bytes out = PyBytes_FromStringAndSize(NULL, len(body))
        cdef Py_ssize_t n = ff_opend_decrypt(&self.cipher, <const uint8_t *>PyBytes_AS_STRING(body), len(body),
                                             <uint8_t *>PyBytes_AS_STRING(out))
        if n < 0:
            raise ValueError(f"expected an encrypted body, the padding of these {len(body)} bytes is wrong")
        return out[:n]

    def encrypt_packets(self, bytes packets not None):
        """Return a run of whole packets with their bodies encrypted and their headers made to fit.

        Raises
        ------
        ValueError
            They are not whole packets.
        """
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(packets)
        cdef size_t length = ff_opend_encrypted_packets_length(&self.cipher, data, len(packets))
        if length == 0 and packets:
            raise ValueError("expected whole packets")
        cdef bytes out = PyBytes_FromStringAndSize(NULL, length)
        ff_opend_encrypt_packets(&self.cipher, data, len(packets), <uint8_t *>PyBytes_AS_STRING(out))
        return out
