#ifndef FASTFEED_OPEND_CIPHER_H
#define FASTFEED_OPEND_CIPHER_H

/* The encryption of OpenD's packets after the handshake (section 3.3 of the protocol). Every
 * body stands alone; the same key and IV serve both directions.
 *
 * AES-CBC: padded with n bytes of value n, 1 to 16. FTAES-ECB: padded with zeros, then 16
 * bytes in clear, which are zeros and the length of the plain body modulo 16. */

#include "fastfeed/aes.h"

typedef enum ff_cipher_mode {
    FF_CIPHER_NONE = 0,
    FF_CIPHER_CBC = 1,
    FF_CIPHER_ECB = 2,
} ff_cipher_mode;

typedef struct ff_opend_cipher {
    ff_cipher_mode mode;
    uint8_t iv[FF_AES_BLOCK]; /* of CBC */
    ff_aes aes;
} ff_opend_cipher;

/* Set mode and key; `iv` counts for CBC only. `portable`: see aes.h. */
void ff_opend_cipher_init(ff_opend_cipher *cipher, ff_cipher_mode mode,
                          const uint8_t key[FF_AES_KEY], const uint8_t iv[FF_AES_BLOCK],
                          bool portable);

/* Decrypt a body into `out`, which has room for `length` bytes and may be `in`. Returns the
 * length of the plain body, or -FF_EPADDING when length or padding cannot be; what lies in
 * `out` is of no use then. */
ptrdiff_t ff_opend_decrypt(const ff_opend_cipher *cipher, const uint8_t *in, size_t length,
                           uint8_t *out);

/* How long a plain body of `length` bytes is when it is encrypted. */
size_t ff_opend_encrypted_length(const ff_opend_cipher *cipher, size_t length);

/* Encrypt a body into `out`, which has room for ff_opend_encrypted_length() bytes and may be
 * `in`. Returns that length. */
size_t ff_opend_encrypt(const ff_opend_cipher *cipher, const uint8_t *in, size_t length,
                        uint8_t *out);

/* How long a run of whole plain packets is when their bodies are encrypted; 0 when it is empty
 * or no such run. */
size_t ff_opend_encrypted_packets_length(const ff_opend_cipher *cipher, const uint8_t *in,
                                         size_t length);

/* Encrypt the bodies of such a run into `out`, which does not overlap it; the headers keep the
 * digests of the plain bodies. Returns the length. */
size_t ff_opend_encrypt_packets(const ff_opend_cipher *cipher, const uint8_t *in,
                                size_t length, uint8_t *out);

#endif
