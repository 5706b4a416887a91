#ifndef FASTFEED_BENCH_DIGITS_H
#define FASTFEED_BENCH_DIGITS_H

/* Digits of texts to numbers, eight at a time. */

#include "loop.h"

static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
static const uint64_t units[] = {1,      10,      100,      1000,     10000,
                                 100000, 1000000, 10000000, 100000000};

static inline uint64_t text(const uint8_t *p) {
    return u64(p) ^ 0x3030303030303030u;
}

/* 8 times the number of digits in front. */
static inline unsigned digit_bits(uint64_t digits) {
    uint64_t stop = (digits + 0x7676767676767676u) & 0x8080808080808080u;
    return stop != 0 ? (unsigned)__builtin_ctzll(stop) & 0x38 : 64;
}

static inline uint64_t join(uint64_t digits, unsigned bits) {
    digits <<= 64 - bits;
    digits = digits * 10 + (digits >> 8);
    const uint64_t pairs = 0x000000ff000000ffu;
    return (uint32_t)(((digits & pairs) * 0x000f424000000064u +
                       (digits >> 16 & pairs) * 0x0000271000000001u) >>
                      32);
}

#endif
