#include "fastfeed/aes.h"

#include <string.h>

#include "fastfeed/wire.h"

/* The instructions work on one block in four cycles, but take on a new one every cycle or
 * two: where blocks do not wait for each other, eight are under way at once. */
#if defined(__x86_64__) && defined(__GNUC__)
#define FF_AES_X86 1
#include <immintrin.h>
#endif

/* FIPS 197, figures 7 and 14. */
static const uint8_t box[256] = {
    0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab,
    0x76, 0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59, 0x47, 0xf0, 0xad, 0xd4, 0xa2, 0xaf, 0x9c, 0xa4,
    0x72, 0xc0, 0xb7, 0xfd, 0x93, 0x26, 0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5, 0xe5, 0xf1, 0x71,
    0xd8, 0x31, 0x15, 0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a, 0x07, 0x12, 0x80, 0xe2,
    0xeb, 0x27, 0xb2, 0x75, 0x09, 0x83, 0x2c, 0x1a, 0x1b, 0x6e, 0x5a, 0xa0, 0x52, 0x3b, 0xd6,
    0xb3, 0x29, 0xe3, 0x2f, 0x84, 0x53, 0xd1, 0x00, 0xed, 0x20, 0xfc, 0xb1, 0x5b, 0x6a, 0xcb,
    0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf, 0xd0, 0xef, 0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45,
    0xf9, 0x02, 0x7f, 0x50, 0x3c, 0x9f, 0xa8, 0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5,
    0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff, 0xf3, 0xd2, 0xcd, 0x0c, 0x13, 0xec, 0x5f, 0x97, 0x44,
    0x17, 0xc4, 0xa7, 0x7e, 0x3d, 0x64, 0x5d, 0x19, 0x73, 0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a,
    0x90, 0x88, 0x46, 0xee, 0xb8, 0x14, 0xde, 0x5e, 0x0b, 0xdb, 0xe0, 0x32, 0x3a, 0x0a, 0x49,
    0x06, 0x24, 0x5c, 0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79, 0xe7, 0xc8, 0x37, 0x6d,
    0x8d, 0xd5, 0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08, 0xba, 0x78, 0x25,
    0x2e, 0x1c, 0xa6, 0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f, 0x4b, 0xbd, 0x8b, 0x8a, 0x70, 0x3e,
    0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e, 0x61, 0x35, 0x57, 0xb9, 0x86, 0xc1, 0x1d, 0x9e, 0xe1,
    0xf8, 0x98, 0x11, 0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55, 0x28, 0xdf,
    0x8c, 0xa1, 0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f, 0xb0, 0x54, 0xbb,
    0x16,
};
static const uint8_t inverse_box[256] = {
    0x52, 0x09, 0x6a, 0xd5, 0x30, 0x36, 0xa5, 0x38, 0xbf, 0x40, 0xa3, 0x9e, 0x81, 0xf3, 0xd7,
    0xfb, 0x7c, 0xe3, 0x39, 0x82, 0x9b, 0x2f, 0xff, 0x87, 0x34, 0x8e, 0x43, 0x44, 0xc4, 0xde,
    0xe9, 0xcb, 0x54, 0x7b, 0x94, 0x32, 0xa6, 0xc2, 0x23, 0x3d, 0xee, 0x4c, 0x95, 0x0b, 0x42,
    0xfa, 0xc3, 0x4e, 0x08, 0x2e, 0xa1, 0x66, 0x28, 0xd9, 0x24, 0xb2, 0x76, 0x5b, 0xa2, 0x49,
    0x6d, 0x8b, 0xd1, 0x25, 0x72, 0xf8, 0xf6, 0x64, 0x86, 0x68, 0x98, 0x16, 0xd4, 0xa4, 0x5c,
    0xcc, 0x5d, 0x65, 0xb6, 0x92, 0x6c, 0x70, 0x48, 0x50, 0xfd, 0xed, 0xb9, 0xda, 0x5e, 0x15,
    0x46, 0x57, 0xa7, 0x8d, 0x9d, 0x84, 0x90, 0xd8, 0xab, 0x00, 0x8c, 0xbc, 0xd3, 0x0a, 0xf7,
    0xe4, 0x58, 0x05, 0xb8, 0xb3, 0x45, 0x06, 0xd0, 0x2c, 0x1e, 0x8f, 0xca, 0x3f, 0x0f, 0x02,
    0xc1, 0xaf, 0xbd, 0x03, 0x01, 0x13, 0x8a, 0x6b, 0x3a, 0x91, 0x11, 0x41, 0x4f, 0x67, 0xdc,
    0xea, 0x97, 0xf2, 0xcf, 0xce, 0xf0, 0xb4, 0xe6, 0x73, 0x96, 0xac, 0x74, 0x22, 0xe7, 0xad,
    0x35, 0x85, 0xe2, 0xf9, 0x37, 0xe8, 0x1c, 0x75, 0xdf, 0x6e, 0x47, 0xf1, 0x1a, 0x71, 0x1d,
    0x29, 0xc5, 0x89, 0x6f, 0xb7, 0x62, 0x0e, 0xaa, 0x18, 0xbe, 0x1b, 0xfc, 0x56, 0x3e, 0x4b,
    0xc6, 0xd2, 0x79, 0x20, 0x9a, 0xdb, 0xc0, 0xfe, 0x78, 0xcd, 0x5a, 0xf4, 0x1f, 0xdd, 0xa8,
    0x33, 0x88, 0x07, 0xc7, 0x31, 0xb1, 0x12, 0x10, 0x59, 0x27, 0x80, 0xec, 0x5f, 0x60, 0x51,
    0x7f, 0xa9, 0x19, 0xb5, 0x4a, 0x0d, 0x2d, 0xe5, 0x7a, 0x9f, 0x93, 0xc9, 0x9c, 0xef, 0xa0,
    0xe0, 0x3b, 0x4d, 0xae, 0x2a, 0xf5, 0xb0, 0xc8, 0xeb, 0xbb, 0x3c, 0x83, 0x53, 0x99, 0x61,
    0x17, 0x2b, 0x04, 0x7e, 0xba, 0x77, 0xd6, 0x26, 0xe1, 0x69, 0x14, 0x63, 0x55, 0x21, 0x0c,
    0x7d,
};

/* A block in portable code is four columns; row r of a column is byte r, counted from the
 * lowest. */

static inline void store_column(uint8_t *p, uint32_t v) {
    memcpy(p, &v, sizeof v);
}

static inline uint32_t rotate_right(uint32_t v, unsigned n) {
    return v >> n | v << (32 - n);
}

/* Each byte times x in GF(2^8). */
static inline uint32_t times_x(uint32_t v) {
    uint32_t carries = v >> 7 & 0x01010101;
    return (v & 0x7f7f7f7f) << 1 ^ (((carries << 8) - carries) & 0x1b1b1b1b);
}

static inline uint32_t mix_column(uint32_t v) {
    uint32_t doubled = times_x(v);
    return doubled ^ rotate_right(doubled ^ v, 8) ^ rotate_right(v, 16) ^ rotate_right(v, 24);
}

/* The matrix of the inverse is that of mix_column() times the one of (5, 0, 4, 0). */
static inline uint32_t unmix_column(uint32_t v) {
    return mix_column(v ^ times_x(times_x(v ^ rotate_right(v, 16))));
}

/* One byte of each of four columns, through a table. */
static inline uint32_t substitute(const uint8_t table[256], uint32_t row0, uint32_t row1,
                                  uint32_t row2, uint32_t row3) {
    return (uint32_t)table[row0 & 0xff] | (uint32_t)table[row1 >> 8 & 0xff] << 8 |
           (uint32_t)table[row2 >> 16 & 0xff] << 16 | (uint32_t)table[row3 >> 24] << 24;
}

static inline void add_key(uint32_t s[4], const uint8_t key[FF_AES_BLOCK]) {
    for (size_t i = 0; i < 4; i++)
        s[i] ^= ff_load_u32(key + 4 * i);
}

/* `in` and `out` may be the same. */
static void encrypt_portable(const ff_aes *aes, const uint8_t *in, uint8_t *out) {
    uint32_t s[4], t[4];
    memcpy(s, in, sizeof s);
    add_key(s, aes->encrypt_keys[0]);
    for (size_t round = 1; round <= FF_AES_ROUNDS; round++) {
        for (size_t i = 0; i < 4; i++)
            t[i] = substitute(box, s[i], s[(i + 1) % 4], s[(i + 2) % 4], s[(i + 3) % 4]);
        for (size_t i = 0; i < 4; i++) /* a loop of its own: the compiler can do all at once */
            s[i] = round < FF_AES_ROUNDS ? mix_column(t[i]) : t[i];
        add_key(s, aes->encrypt_keys[round]);
    }
    memcpy(out, s, sizeof s);
}

static void decrypt_portable(const ff_aes *aes, const uint8_t *in, uint8_t *out) {
    uint32_t s[4], t[4];
    memcpy(s, in, sizeof s);
    add_key(s, aes->decrypt_keys[0]);
    for (size_t round = 1; round <= FF_AES_ROUNDS; round++) {
        for (size_t i = 0; i < 4; i++)
            t[i] =
                substitute(inverse_box, s[i], s[(i + 3) % 4], s[(i + 2) % 4], s[(i + 1) % 4]);
        for (size_t i = 0; i < 4; i++) /* a loop of its own: the compiler can do all at once */
            s[i] = round < FF_AES_ROUNDS ? unmix_column(t[i]) : t[i];
        add_key(s, aes->decrypt_keys[round]);
    }
    memcpy(out, s, sizeof s);
}

static inline void xor_block(uint8_t *out, const uint8_t *a, const uint8_t *b) {
    for (size_t i = 0; i < FF_AES_BLOCK; i++)
        out[i] = a[i] ^ b[i];
}

#ifdef FF_AES_X86
#define FF_AES_TARGET __attribute__((target("aes,sse4.1")))
#define FF_AES_INLINE FF_AES_TARGET __attribute__((always_inline)) static inline

FF_AES_INLINE __m128i load(const uint8_t *p) {
    return _mm_loadu_si128((const __m128i_u *)p);
}

FF_AES_INLINE void store(uint8_t *p, __m128i v) {
    _mm_storeu_si128((__m128i_u *)p, v);
}

/* n blocks at once; n is a constant where this is inlined, and s lies in registers. */
FF_AES_INLINE void encrypt_x86(const ff_aes *aes, __m128i *s, size_t n) {
    __m128i key = load(aes->encrypt_keys[0]);
    for (size_t i = 0; i < n; i++)
        s[i] = _mm_xor_si128(s[i], key);
    for (size_t round = 1; round < FF_AES_ROUNDS; round++) {
        key = load(aes->encrypt_keys[round]);
        for (size_t i = 0; i < n; i++)
            s[i] = _mm_aesenc_si128(s[i], key);
    }
    key = load(aes->encrypt_keys[FF_AES_ROUNDS]);
    for (size_t i = 0; i < n; i++)
        s[i] = _mm_aesenclast_si128(s[i], key);
}

FF_AES_INLINE void decrypt_x86(const ff_aes *aes, __m128i *s, size_t n) {
    __m128i key = load(aes->decrypt_keys[0]);
    for (size_t i = 0; i < n; i++)
        s[i] = _mm_xor_si128(s[i], key);
    for (size_t round = 1; round < FF_AES_ROUNDS; round++) {
        key = load(aes->decrypt_keys[round]);
        for (size_t i = 0; i < n; i++)
            s[i] = _mm_aesdec_si128(s[i], key);
    }
    key = load(aes->decrypt_keys[FF_AES_ROUNDS]);
    for (size_t i = 0; i < n; i++)
        s[i] = _mm_aesdeclast_si128(s[i], key);
}

/* n blocks from `in` to `out`. */
FF_AES_INLINE void ecb_x86(const ff_aes *aes, const uint8_t *in, uint8_t *out, size_t n,
                           bool encrypt) {
    __m128i s[8];
    for (size_t i = 0; i < n; i++)
        s[i] = load(in + FF_AES_BLOCK * i);
    if (encrypt)
        encrypt_x86(aes, s, n);
    else
        decrypt_x86(aes, s, n);
    for (size_t i = 0; i < n; i++)
        store(out + FF_AES_BLOCK * i, s[i]);
}

/* The same in CBC. Returns the cipher block before the next one. */
FF_AES_INLINE __m128i cbc_decrypt_x86(const ff_aes *aes, __m128i before, const uint8_t *in,
                                      uint8_t *out, size_t n) {
    __m128i s[8];
    for (size_t i = 0; i < n; i++)
        s[i] = load(in + FF_AES_BLOCK * i);
    decrypt_x86(aes, s, n);
    for (size_t i = 0; i < n; i++) { /* in place: a cipher block is read before it is gone */
        __m128i cipher = load(in + FF_AES_BLOCK * i);
        store(out + FF_AES_BLOCK * i, _mm_xor_si128(s[i], before));
        before = cipher;
    }
    return before;
}

FF_AES_INLINE void ecb_all_x86(const ff_aes *aes, const uint8_t *in, size_t blocks,
                               uint8_t *out, bool encrypt) {
    for (; blocks >= 8; blocks -= 8, in += 8 * FF_AES_BLOCK, out += 8 * FF_AES_BLOCK)
        ecb_x86(aes, in, out, 8, encrypt);
    for (; blocks >= 3; blocks -= 3, in += 3 * FF_AES_BLOCK, out += 3 * FF_AES_BLOCK)
        ecb_x86(aes, in, out, 3, encrypt);
    for (; blocks >= 1; blocks--, in += FF_AES_BLOCK, out += FF_AES_BLOCK)
        ecb_x86(aes, in, out, 1, encrypt);
}

FF_AES_TARGET static void ecb_encrypt_x86(const ff_aes *aes, const uint8_t *in, size_t blocks,
                                          uint8_t *out) {
    ecb_all_x86(aes, in, blocks, out, true);
}

FF_AES_TARGET static void ecb_decrypt_x86(const ff_aes *aes, const uint8_t *in, size_t blocks,
                                          uint8_t *out) {
    ecb_all_x86(aes, in, blocks, out, false);
}

FF_AES_TARGET static void cbc_encrypt_x86(const ff_aes *aes, const uint8_t *iv,
                                          const uint8_t *in, size_t blocks, uint8_t *out) {
    __m128i s = load(iv);
    for (; blocks > 0; blocks--, in += FF_AES_BLOCK, out += FF_AES_BLOCK) {
        s = _mm_xor_si128(s, load(in));
        encrypt_x86(aes, &s, 1);
        store(out, s);
    }
}

FF_AES_TARGET static void cbc_decrypt_all_x86(const ff_aes *aes, const uint8_t *iv,
                                              const uint8_t *in, size_t blocks, uint8_t *out) {
    __m128i before = load(iv);
    for (; blocks >= 8; blocks -= 8, in += 8 * FF_AES_BLOCK, out += 8 * FF_AES_BLOCK)
        before = cbc_decrypt_x86(aes, before, in, out, 8);
    for (; blocks >= 3; blocks -= 3, in += 3 * FF_AES_BLOCK, out += 3 * FF_AES_BLOCK)
        before = cbc_decrypt_x86(aes, before, in, out, 3);
    for (; blocks >= 1; blocks--, in += FF_AES_BLOCK, out += FF_AES_BLOCK)
        before = cbc_decrypt_x86(aes, before, in, out, 1);
}
#endif

void ff_aes_init(ff_aes *aes, const uint8_t key[FF_AES_KEY], bool portable) {
    uint8_t (*keys)[FF_AES_BLOCK] = aes->encrypt_keys;
    uint32_t constant = 1;
    memcpy(keys[0], key, FF_AES_KEY);
    for (size_t round = 1; round <= FF_AES_ROUNDS; round++) {
        uint32_t last = rotate_right(ff_load_u32(keys[round - 1] + 12), 8);
        last = substitute(box, last, last, last, last) ^ constant;
        constant = times_x(constant);
        for (size_t i = 0; i < 4; i++) {
            last ^= ff_load_u32(keys[round - 1] + 4 * i);
            store_column(keys[round] + 4 * i, last);
        }
    }
    /* Decryption does its steps in the order of encryption (FIPS 197, 5.3.5): the keys of the
     * middle rounds go through the columns' step. */
    for (size_t round = 0; round <= FF_AES_ROUNDS; round++) {
        for (size_t i = 0; i < 4; i++) {
            uint32_t column = ff_load_u32(keys[FF_AES_ROUNDS - round] + 4 * i);
            if (round > 0 && round < FF_AES_ROUNDS)
                column = unmix_column(column);
            store_column(aes->decrypt_keys[round] + 4 * i, column);
        }
    }
    aes->hardware = false;
#ifdef FF_AES_X86
    aes->hardware =
        !portable && __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1");
#else
    (void)portable;
#endif
}

void ff_aes_ecb_encrypt(const ff_aes *aes, const uint8_t *in, size_t blocks, uint8_t *out) {
#ifdef FF_AES_X86
    if (aes->hardware) {
        ecb_encrypt_x86(aes, in, blocks, out);
        return;
    }
#endif
    for (; blocks > 0; blocks--, in += FF_AES_BLOCK, out += FF_AES_BLOCK)
        encrypt_portable(aes, in, out);
}

void ff_aes_ecb_decrypt(const ff_aes *aes, const uint8_t *in, size_t blocks, uint8_t *out) {
#ifdef FF_AES_X86
    if (aes->hardware) {
        ecb_decrypt_x86(aes, in, blocks, out);
        return;
    }
#endif
    for (; blocks > 0; blocks--, in += FF_AES_BLOCK, out += FF_AES_BLOCK)
        decrypt_portable(aes, in, out);
}

void ff_aes_cbc_encrypt(const ff_aes *aes, const uint8_t iv[FF_AES_BLOCK], const uint8_t *in,
                        size_t blocks, uint8_t *out) {
#ifdef FF_AES_X86
    if (aes->hardware) {
        cbc_encrypt_x86(aes, iv, in, blocks, out);
        return;
    }
#endif
    const uint8_t *before = iv;
    for (; blocks > 0; blocks--, in += FF_AES_BLOCK, out += FF_AES_BLOCK) {
        xor_block(out, in, before);
        encrypt_portable(aes, out, out);
        before = out;
    }
}

void ff_aes_cbc_decrypt(const ff_aes *aes, const uint8_t iv[FF_AES_BLOCK], const uint8_t *in,
                        size_t blocks, uint8_t *out) {
#ifdef FF_AES_X86
    if (aes->hardware) {
        cbc_decrypt_all_x86(aes, iv, in, blocks, out);
        return;
    }
#endif
    uint8_t before[FF_AES_BLOCK], cipher[FF_AES_BLOCK];
    memcpy(before, iv, sizeof before);
    for (; blocks > 0; blocks--, in += FF_AES_BLOCK, out += FF_AES_BLOCK) {
        memcpy(cipher, in, sizeof cipher);
        decrypt_portable(aes, cipher, out);
        xor_block(out, out, before);
        memcpy(before, cipher, sizeof before);
    }
}
