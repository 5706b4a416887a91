#ifndef FASTFEED_DECIMAL_H
#define FASTFEED_DECIMAL_H

/* Decimal text to the double nearest to it, bit for bit what Python's float() gives, and
 * digits to integers.
 *
 * A decimal is an optional minus, digits, optionally a point and digits, optionally an
 * exponent. Digits are needed on both sides of the point; a plus stands in exponents only. No
 * blanks, no words. The point is a point whatever the locale says.
 *
 * Up to 2^53 the digits are one exact double, and so is a power of ten up to 10^22: then one
 * division rounds correctly. ff_decimal_plain() does just that, eight digits at a time;
 * ff_decimal_read() has the rest. */

#include <stdbool.h>

#include "fastfeed/wire.h"

enum {
    FF_DECIMAL_MAX_DIGITS = 40, /* before the exponent; more are refused */
    FF_DECIMAL_EXACT_POWER = 22,
};

extern const double ff_decimal_powers[FF_DECIMAL_EXACT_POWER + 1]; /* of ten */
extern const uint64_t ff_decimal_units[20];                        /* the same as integers */

/* Eight bytes of text, less '0' each. */
static inline uint64_t ff_digits_load(const uint8_t *p) {
    return ff_load_u64(p) ^ 0x3030303030303030u;
}

/* Bit 7 of each byte that is no digit. Behind a byte beyond ASCII it may be wrong. */
static inline uint64_t ff_digits_stop(uint64_t digits) {
    return ((digits + 0x7676767676767676u) | digits) & 0x8080808080808080u;
}

/* The bits that the digits before the first stop have: 8 for each, 64 without a stop. */
static inline unsigned ff_digits_bits(uint64_t stop) {
    return FF_LIKELY(stop != 0) ? (unsigned)__builtin_ctzll(stop) & 0x38 : 64;
}

/* The number that the first bits/8 digits are; bits is 8 to 64. */
static inline uint64_t ff_digits_join(uint64_t digits, unsigned bits) {
    digits <<= 64 - bits; /* zeros in front */
    digits = digits * 10 + (digits >> 8);
    const uint64_t pairs = 0x000000ff000000ffu;
    return (uint32_t)(((digits & pairs) * 0x000f424000000064u +
                       (digits >> 16 & pairs) * 0x0000271000000001u) >>
                      32);
}

/* The digits at p one by one; as ff_digits_read(). */
const uint8_t *ff_digits_read_slow(const uint8_t *p, const uint8_t *end, uint64_t *value);

/* The digits at p. Returns where they end; NULL: there are none, or more than 19. */
static inline const uint8_t *ff_digits_read(const uint8_t *p, const uint8_t *end,
                                            uint64_t *value) {
    if (FF_LIKELY(end - p >= 16)) {
        uint64_t digits = ff_digits_load(p), stop = ff_digits_stop(digits);
        if (FF_LIKELY(stop == 0)) {
            uint64_t more = ff_digits_load(p + 8);
            stop = ff_digits_stop(more);
            unsigned bits = ff_digits_bits(stop);
            *value = ff_digits_join(digits, 64);
            if (FF_UNLIKELY(bits == 0))
                return p + 8;
            if (FF_LIKELY(bits < 64)) {
                *value = *value * ff_decimal_units[bits / 8] + ff_digits_join(more, bits);
                return p + 8 + bits / 8;
            }
        } else if ((stop & 0x80) == 0) {
            unsigned bits = ff_digits_bits(stop);
            *value = ff_digits_join(digits, bits);
            return p + bits / 8;
        }
    }
    return ff_digits_read_slow(p, end, value);
}

/* The decimal at p, of any kind. Returns where it ends; NULL: none is there, or one with too
 * many digits. What is too large is infinite, what is too small 0. */
const uint8_t *ff_decimal_read(const uint8_t *p, const uint8_t *end, double *value);

/* The same where the caller knows what must stand behind it, a quote for instance, and looks:
 * a point or an exponent may be left unread. */
static inline const uint8_t *ff_decimal_plain(const uint8_t *p, const uint8_t *end,
                                              double *value) {
    enum { REACH = 8 + 1 + 8 };
    if (FF_LIKELY(end - p >= REACH)) {
        const uint64_t whole = ff_digits_load(p);
        unsigned bits = ff_digits_bits(ff_digits_stop(whole));
        const uint8_t *q = p + bits / 8;
        if (FF_UNLIKELY(bits == 0))
            return ff_decimal_read(p, end, value);
        uint64_t mantissa = ff_digits_join(whole, bits);
        if (*q == '.') {
            const uint64_t part = ff_digits_load(q + 1), stop = ff_digits_stop(part);
            bits = ff_digits_bits(stop);
            if (FF_LIKELY(bits - 8 <= 48)) {
                mantissa = mantissa * ff_decimal_units[bits / 8] + ff_digits_join(part, bits);
                if (FF_LIKELY(mantissa < (uint64_t)1 << 53)) {
                    *value = (double)(int64_t)mantissa / ff_decimal_powers[bits / 8];
                    return q + 1 + bits / 8;
                }
            }
        } else if (FF_LIKELY(bits < 64)) {
            *value = (double)(int64_t)mantissa;
            return q;
        }
    }
    return ff_decimal_read(p, end, value);
}

/* Whether all eight bytes are digits. */
static inline bool ff_digits_only(uint64_t digits) {
    return ff_digits_stop(digits) == 0;
}

/* A text of up to 8 bytes with the point taken out, behind zeros. Returns false when it is no
 * plain decimal; *places is how many digits stand behind the point. */
static inline bool ff_decimal_word(uint64_t word, size_t length, uint64_t *digits,
                                   size_t *places) {
    const unsigned bits = 8 * (unsigned)length;
    uint64_t stop = ff_digits_stop(word);
    stop |= bits < 64 ? (uint64_t)0x80 << bits : 0;
    const unsigned whole = ff_digits_bits(stop);
    if (FF_UNLIKELY(whole == 0))
        return false;
    if (whole == bits) {
        *digits = word << (64 - bits);
        *places = 0;
        return true;
    }
    const uint64_t below = ((uint64_t)1 << whole) - 1;
    *places = length - whole / 8 - 1;
    *digits = ((word & below) | (word >> 8 & ~below)) << (72 - bits);
    return (word >> whole & 0xff) == ('.' ^ '0') && *places != 0 && ff_digits_only(*digits);
}

/* The same for 9 to 16 bytes: the first eight and the last eight, which may overlap. */
static inline bool ff_decimal_words(uint64_t first, uint64_t last, size_t length,
                                    uint64_t digits[2], size_t *places) {
    const unsigned bits = 8 * (unsigned)length;
    unsigned __int128 text = first | (unsigned __int128)last << (bits - 64);
    const uint64_t stop = ff_digits_stop(first);
    unsigned whole = ff_digits_bits(stop);
    if (FF_UNLIKELY(whole == 0))
        return false;
    if (whole == 64) {
        uint64_t more = ff_digits_stop((uint64_t)(text >> 64));
        more |= bits < 128 ? (uint64_t)0x80 << (bits - 64) : 0;
        whole += ff_digits_bits(more);
    }
    *places = 0;
    if (whole != bits) {
        const unsigned __int128 below = ((unsigned __int128)1 << whole) - 1;
        if (FF_UNLIKELY((uint8_t)(text >> whole) != ('.' ^ '0')))
            return false;
        *places = length - whole / 8 - 1;
        if (FF_UNLIKELY(*places == 0))
            return false;
        text = ((text & below) | (text >> 8 & ~below)) << 8;
    }
    text <<= 128 - bits;
    digits[0] = (uint64_t)text;
    digits[1] = (uint64_t)(text >> 64);
    return ff_digits_only(digits[0]) && ff_digits_only(digits[1]);
}

/* A text of any kind that is a decimal and nothing else; `reach` bounds what may be read, and
 * is not before its end. Returns whether it is. */
static inline bool ff_decimal_parse(const uint8_t *text, size_t length, const uint8_t *reach,
                                    double *value) {
    uint64_t digits[2];
    size_t places;
    if (FF_LIKELY(length - 1 < 8 && reach - text >= 8)) {
        if (FF_LIKELY(ff_decimal_word(ff_digits_load(text), length, digits, &places))) {
            *value =
                (double)(int64_t)ff_digits_join(digits[0], 64) / ff_decimal_powers[places];
            return true;
        }
    } else if (FF_LIKELY(length - 9 < 8)) {
        if (FF_LIKELY(ff_decimal_words(ff_digits_load(text), ff_digits_load(text + length - 8),
                                       length, digits, &places))) {
            const uint64_t mantissa =
                ff_digits_join(digits[0], 64) * 100000000 + ff_digits_join(digits[1], 64);
            if (FF_LIKELY(mantissa < (uint64_t)1 << 53)) {
                *value = (double)(int64_t)mantissa / ff_decimal_powers[places];
                return true;
            }
        }
    }
    return ff_decimal_read(text, text + length, value) == text + length;
}

#endif
