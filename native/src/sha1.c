#include "fastfeed/sha1.h"

#include <string.h>

/* Where the CPU has SHA instructions, they are several times as fast as the portable loop. The
 * compilers left out do not know "sha" in __builtin_cpu_supports. */
#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 11 && !defined(__clang__)
#define FF_SHA1_X86 1
#include <immintrin.h>
#endif

static uint32_t rotl(uint32_t x, unsigned n) {
    return (x << n) | (x >> (32 - n));
}

static uint32_t load_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void store_be32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static void compress_portable(uint32_t state[5], const uint8_t *data, size_t blocks) {
    for (; blocks > 0; blocks--, data += 64) {
        uint32_t w[80];
        for (size_t t = 0; t < 16; t++) {
            w[t] = load_be32(data + 4 * t);
        }
        for (size_t t = 16; t < 80; t++) {
            w[t] = rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
        for (size_t t = 0; t < 80; t++) {
            uint32_t f, k;
            if (t < 20) {
                f = (b & c) | (~b & d);
                k = 0x5a827999;
            } else if (t < 40) {
                f = b ^ c ^ d;
                k = 0x6ed9eba1;
            } else if (t < 60) {
                f = (b & c) | (b & d) | (c & d);
                k = 0x8f1bbcdc;
            } else {
                f = b ^ c ^ d;
                k = 0xca62c1d6;
            }
            uint32_t next = rotl(a, 5) + f + e + k + w[t];
            e = d;
            d = c;
            c = rotl(b, 30);
            b = a;
            a = next;
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
    }
}

#ifdef FF_SHA1_X86
/* Four rounds; `group` picks the function and constant of the 20 rounds they belong to. */
#define ROUNDS4(group)                                                                        \
    do {                                                                                      \
        __m128i before = abcd;                                                                \
        abcd = _mm_sha1rnds4_epu32(abcd, e, group);                                           \
        e = before;                                                                           \
    } while (0)

/* The next four schedule words replace the oldest four, then four rounds use them. */
#define SCHEDULE_ROUNDS4(w0, w1, w2, w3, group)                                               \
    do {                                                                                      \
        w0 = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w0, w1), w2), w3);           \
        e = _mm_sha1nexte_epu32(e, w0);                                                       \
        ROUNDS4(group);                                                                       \
    } while (0)

__attribute__((target("sha,sse4.1"))) static void
compress_x86(uint32_t state[5], const uint8_t *data, size_t blocks) {
    const __m128i reverse = _mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL);
    __m128i abcd = _mm_set_epi32((int)state[0], (int)state[1], (int)state[2], (int)state[3]);
    __m128i e_in = _mm_set_epi32((int)state[4], 0, 0, 0);

    for (; blocks > 0; blocks--, data += 64) {
        __m128i abcd_in = abcd, e, w0, w1, w2, w3;
        memcpy(&w0, data, 16);
        memcpy(&w1, data + 16, 16);
        memcpy(&w2, data + 32, 16);
        memcpy(&w3, data + 48, 16);
        w0 = _mm_shuffle_epi8(w0, reverse);
        w1 = _mm_shuffle_epi8(w1, reverse);
        w2 = _mm_shuffle_epi8(w2, reverse);
        w3 = _mm_shuffle_epi8(w3, reverse);

        e = _mm_add_epi32(e_in, w0);
        ROUNDS4(0);
        e = _mm_sha1nexte_epu32(e, w1);
        ROUNDS4(0);
        e = _mm_sha1nexte_epu32(e, w2);
        ROUNDS4(0);
        e = _mm_sha1nexte_epu32(e, w3);
        ROUNDS4(0);
        SCHEDULE_ROUNDS4(w0, w1, w2, w3, 0);
        SCHEDULE_ROUNDS4(w1, w2, w3, w0, 1);
        SCHEDULE_ROUNDS4(w2, w3, w0, w1, 1);
        SCHEDULE_ROUNDS4(w3, w0, w1, w2, 1);
        SCHEDULE_ROUNDS4(w0, w1, w2, w3, 1);
        SCHEDULE_ROUNDS4(w1, w2, w3, w0, 1);
        SCHEDULE_ROUNDS4(w2, w3, w0, w1, 2);
        SCHEDULE_ROUNDS4(w3, w0, w1, w2, 2);
        SCHEDULE_ROUNDS4(w0, w1, w2, w3, 2);
        SCHEDULE_ROUNDS4(w1, w2, w3, w0, 2);
        SCHEDULE_ROUNDS4(w2, w3, w0, w1, 2);
        SCHEDULE_ROUNDS4(w3, w0, w1, w2, 3);
        SCHEDULE_ROUNDS4(w0, w1, w2, w3, 3);
        SCHEDULE_ROUNDS4(w1, w2, w3, w0, 3);
        SCHEDULE_ROUNDS4(w2, w3, w0, w1, 3);
        SCHEDULE_ROUNDS4(w3, w0, w1, w2, 3);

        e_in = _mm_sha1nexte_epu32(e, e_in);
        abcd = _mm_add_epi32(abcd, abcd_in);
    }
    state[0] = (uint32_t)_mm_extract_epi32(abcd, 3);
    state[1] = (uint32_t)_mm_extract_epi32(abcd, 2);
    state[2] = (uint32_t)_mm_extract_epi32(abcd, 1);
    state[3] = (uint32_t)_mm_extract_epi32(abcd, 0);
    state[4] = (uint32_t)_mm_extract_epi32(e_in, 3);
}

static int has_sha_instructions(void) {
    return __builtin_cpu_supports("sha") && __builtin_cpu_supports("sse4.1");
}
#endif

static void compress(uint32_t state[5], const uint8_t *data, size_t blocks) {
#ifdef FF_SHA1_X86
    if (has_sha_instructions()) {
        compress_x86(state, data, blocks);
        return;
    }
#endif
    compress_portable(state, data, blocks);
}

void ff_sha1(const uint8_t *data, size_t len, uint8_t out[20]) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t whole = len / 64, rest = len % 64;
    if (whole > 0) {
        compress(state, data, whole);
    }

    /* A one bit, zeros, the length in bits; a second block when the rest leaves no room. */
    uint8_t tail[128] = {0};
    size_t tail_len = rest < 56 ? 64 : 128;
    if (rest > 0) {
        memcpy(tail, data + 64 * whole, rest);
    }
    tail[rest] = 0x80;
    store_be32(tail + tail_len - 8, (uint32_t)((uint64_t)len >> 29));
    store_be32(tail + tail_len - 4, (uint32_t)((uint64_t)len << 3));
    compress(state, tail, tail_len / 64);

    for (size_t i = 0; i < 5; i++) {
        store_be32(out + 4 * i, state[i]);
    }
}
