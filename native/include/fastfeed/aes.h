#ifndef FASTFEED_AES_H
#define FASTFEED_AES_H

/* AES-128 (FIPS 197) on whole blocks, in the modes ECB and CBC.
 *
 * `out` may be `in`, or else must not overlap it. The caller owns all memory. Which code works
 * is decided when the key is set: the CPU's instructions where it has them, or portable C,
 * which gives the same bytes; its table makes the time it takes depend on them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FF_AES_BLOCK = 16, FF_AES_KEY = 16, FF_AES_ROUNDS = 10 };

typedef struct ff_aes {
    uint8_t encrypt_keys[FF_AES_ROUNDS + 1][FF_AES_BLOCK];
    uint8_t decrypt_keys[FF_AES_ROUNDS + 1][FF_AES_BLOCK]; /* in order of use */
    bool hardware;                                         /* the CPU's instructions */
} ff_aes;

/* Set a key. `portable` leaves the CPU's instructions out. */
void ff_aes_init(ff_aes *aes, const uint8_t key[FF_AES_KEY], bool portable);

void ff_aes_ecb_encrypt(const ff_aes *aes, const uint8_t *in, size_t blocks, uint8_t *out);
void ff_aes_ecb_decrypt(const ff_aes *aes, const uint8_t *in, size_t blocks, uint8_t *out);
void ff_aes_cbc_encrypt(const ff_aes *aes, const uint8_t iv[FF_AES_BLOCK], const uint8_t *in,
                        size_t blocks, uint8_t *out);
void ff_aes_cbc_decrypt(const ff_aes *aes, const uint8_t iv[FF_AES_BLOCK], const uint8_t *in,
                        size_t blocks, uint8_t *out);

#endif
