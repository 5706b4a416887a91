#include "fastfeed/opend_cipher.h"

#include <string.h>

#include "fastfeed/opend.h"

void ff_opend_cipher_init(ff_opend_cipher *cipher, ff_cipher_mode mode,
                          const uint8_t key[FF_AES_KEY], const uint8_t iv[FF_AES_BLOCK],
                          bool portable) {
    cipher->mode = mode;
    memset(cipher->iv, 0, sizeof cipher->iv);
    if (mode == FF_CIPHER_CBC)
        memcpy(cipher->iv, iv, sizeof cipher->iv);
    ff_aes_init(&cipher->aes, key, portable);
}

static ptrdiff_t decrypt_cbc(const ff_opend_cipher *cipher, const uint8_t *in, size_t length,
                             uint8_t *out) {
    if (FF_UNLIKELY(length == 0 || length % FF_AES_BLOCK != 0))
        return -FF_EPADDING;
    ff_aes_cbc_decrypt(&cipher->aes, cipher->iv, in, length / FF_AES_BLOCK, out);
    const size_t padding = out[length - 1];
    if (FF_UNLIKELY(padding < 1 || padding > FF_AES_BLOCK))
        return -FF_EPADDING;
    for (size_t i = length - padding; i < length; i++) {
        if (FF_UNLIKELY(out[i] != padding))
            return -FF_EPADDING;
    }
    return (ptrdiff_t)(length - padding);
}

static ptrdiff_t decrypt_ecb(const ff_opend_cipher *cipher, const uint8_t *in, size_t length,
                             uint8_t *out) {
    if (FF_UNLIKELY(length == 0 || length % FF_AES_BLOCK != 0))
        return -FF_EPADDING;
    const size_t padded = length - FF_AES_BLOCK;
    const uint8_t *trailer = in + padded;
    for (size_t i = 0; i < FF_AES_BLOCK - 1; i++) {
        if (FF_UNLIKELY(trailer[i] != 0))
            return -FF_EPADDING;
    }
    const size_t rest = trailer[FF_AES_BLOCK - 1];
    if (FF_UNLIKELY(rest >= FF_AES_BLOCK || (rest > 0 && padded == 0)))
        return -FF_EPADDING;
    ff_aes_ecb_decrypt(&cipher->aes, in, padded / FF_AES_BLOCK, out);
    return (ptrdiff_t)(rest > 0 ? padded - FF_AES_BLOCK + rest : padded);
}

ptrdiff_t ff_opend_decrypt(const ff_opend_cipher *cipher, const uint8_t *in, size_t length,
                           uint8_t *out) {
    switch (cipher->mode) {
    case FF_CIPHER_CBC:
        return decrypt_cbc(cipher, in, length, out);
    case FF_CIPHER_ECB:
        return decrypt_ecb(cipher, in, length, out);
    case FF_CIPHER_NONE:
        break;
    }
    if (length > 0)
        memmove(out, in, length);
    return (ptrdiff_t)length;
}

size_t ff_opend_encrypted_length(const ff_opend_cipher *cipher, size_t length) {
    switch (cipher->mode) {
    case FF_CIPHER_CBC:
        return length - length % FF_AES_BLOCK + FF_AES_BLOCK;
    case FF_CIPHER_ECB:
        return (length + FF_AES_BLOCK - 1) / FF_AES_BLOCK * FF_AES_BLOCK + FF_AES_BLOCK;
    case FF_CIPHER_NONE:
        break;
    }
    return length;
}

size_t ff_opend_encrypt(const ff_opend_cipher *cipher, const uint8_t *in, size_t length,
                        uint8_t *out) {
    const size_t encrypted = ff_opend_encrypted_length(cipher, length);
    const size_t rest = length % FF_AES_BLOCK;
    if (length > 0)
        memmove(out, in, length);
    if (cipher->mode == FF_CIPHER_CBC) {
        memset(out + length, (int)(FF_AES_BLOCK - rest), FF_AES_BLOCK - rest);
        ff_aes_cbc_encrypt(&cipher->aes, cipher->iv, out, encrypted / FF_AES_BLOCK, out);
    } else if (cipher->mode == FF_CIPHER_ECB) {
        memset(out + length, 0, encrypted - length);
        ff_aes_ecb_encrypt(&cipher->aes, out, encrypted / FF_AES_BLOCK - 1, out);
        out[encrypted - 1] = (uint8_t)rest;
    }
    return encrypted;
}

size_t ff_opend_encrypted_packets_length(const ff_opend_cipher *cipher, const uint8_t *in,
                                         size_t length) {
    size_t total = 0;
    while (length > 0) {
        if (length < FF_OPEND_HEADER || in[0] != 'F' || in[1] != 'T')
            return 0;
        const size_t body = ff_load_u32(in + FF_OPEND_LENGTH_OFFSET);
        if (length - FF_OPEND_HEADER < body)
            return 0;
        const size_t encrypted = ff_opend_encrypted_length(cipher, body);
        if (encrypted > UINT32_MAX)
            return 0;
        total += FF_OPEND_HEADER + encrypted;
        in += FF_OPEND_HEADER + body;
        length -= FF_OPEND_HEADER + body;
    }
    return total;
}

size_t ff_opend_encrypt_packets(const ff_opend_cipher *cipher, const uint8_t *in,
                                size_t length, uint8_t *out) {
    const uint8_t *end = in + length;
    uint8_t *p = out;
    while (in < end) {
        const size_t body = ff_load_u32(in + FF_OPEND_LENGTH_OFFSET);
        memcpy(p, in, FF_OPEND_HEADER);
        const size_t encrypted =
            ff_opend_encrypt(cipher, in + FF_OPEND_HEADER, body, p + FF_OPEND_HEADER);
        for (size_t i = 0; i < 4; i++)
            p[FF_OPEND_LENGTH_OFFSET + i] = (uint8_t)(encrypted >> (8 * i));
        in += FF_OPEND_HEADER + body;
        p += FF_OPEND_HEADER + encrypted;
    }
    return (size_t)(p - out);
}
