#include "fastfeed/decimal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const double ff_decimal_powers[FF_DECIMAL_EXACT_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

const uint64_t ff_decimal_units[20] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
    10000000000000000000u,
};

enum {
    MOST_DIGITS = 19, /* that always fit into 64 bits */
    MOST_EXPONENT =
        9999, /* with at most 40 digits, this is infinite or 0 like all beyond it */
};

const uint8_t *ff_digits_read_slow(const uint8_t *p, const uint8_t *end, uint64_t *value) {
    const uint8_t *start = p;
    uint64_t v = 0;
    for (; p < end && (unsigned)(*p - '0') <= 9; p++) {
        if (p - start == MOST_DIGITS)
            return NULL;
        v = v * 10 + (unsigned)(*p - '0');
    }
    *value = v;
    return p > start ? p : NULL;
}

/* mantissa / 10^n for n of 1 to 19: a quotient of at least 55 bits, the lowest of which also
 * says whether there is a rest, rounds as the true one does. */
static double divide(uint64_t mantissa, unsigned n) {
    const uint64_t unit = ff_decimal_units[n];
    int shift = 55 + __builtin_clzll(mantissa) - __builtin_clzll(unit);
    shift = shift > 0 ? shift : 0;
    const unsigned __int128 dividend = (unsigned __int128)mantissa << shift;
    uint64_t quotient = (uint64_t)(dividend / unit);
    quotient |= (uint64_t)quotient * (unsigned __int128)unit != dividend;
    uint64_t bits = (uint64_t)(1023 - shift) << 52;
    double scale; /* 2^-shift */
    memcpy(&scale, &bits, sizeof scale);
    return (double)quotient * scale;
}

/* digits * 10^exponent by the C library, from a text without a point: no locale matters. */
static double by_library(const uint8_t *digits, size_t count, int exponent) {
    char text[FF_DECIMAL_MAX_DIGITS + 16];
    memcpy(text, digits, count);
    snprintf(text + count, sizeof text - count, "e%d", exponent);
    int before = errno;
    double v = strtod(text, NULL);
    errno = before;
    return v;
}

const uint8_t *ff_decimal_read(const uint8_t *p, const uint8_t *end, double *value) {
    uint8_t digits[FF_DECIMAL_MAX_DIGITS]; /* without zeros in front */
    size_t count = 0, all = 0;
    uint64_t mantissa = 0;
    int exponent = 0;
    bool negative = p < end && *p == '-';
    p += negative;
    for (int part = 0; part < 2; part++) {
        const uint8_t *start = p;
        for (; p < end && (unsigned)(*p - '0') <= 9; p++) {
            if (++all > FF_DECIMAL_MAX_DIGITS)
                return NULL;
            exponent -= part;
            if (count == 0 && *p == '0')
                continue;
            digits[count++] = *p;
            if (count <= MOST_DIGITS)
                mantissa = mantissa * 10 + (unsigned)(*p - '0');
        }
        if (p == start)
            return NULL;
        if (part == 1 || p == end || *p != '.')
            break;
        p++;
    }
    if (p < end && (*p | 0x20) == 'e') {
        int e = 0;
        p++;
        bool less = p < end && *p == '-';
        p += less || (p < end && *p == '+');
        const uint8_t *start = p;
        for (; p < end && (unsigned)(*p - '0') <= 9; p++)
            e = e < MOST_EXPONENT ? e * 10 + (*p - '0') : e;
        if (p == start)
            return NULL;
        exponent += less ? -e : e;
    }
    double v;
    if (mantissa == 0)
        v = 0;
    else if (count > MOST_DIGITS)
        v = by_library(digits, count, exponent);
    else if (exponent == 0)
        v = (double)mantissa;
    else if (exponent < 0 && exponent >= -FF_DECIMAL_EXACT_POWER &&
             mantissa <= (uint64_t)1 << 53)
        v = (double)mantissa / ff_decimal_powers[-exponent];
    else if (exponent < 0 && exponent >= -MOST_DIGITS)
        v = divide(mantissa, (unsigned)-exponent);
    else if (exponent > 0 && exponent <= FF_DECIMAL_EXACT_POWER &&
             mantissa <= (uint64_t)1 << 53)
        v = (double)mantissa * ff_decimal_powers[exponent];
    else
        v = by_library(digits, count, exponent);
    *value = negative ? -v : v;
    return p;
}
