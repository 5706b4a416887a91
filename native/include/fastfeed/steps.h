#ifndef FASTFEED_STEPS_H
#define FASTFEED_STEPS_H

/* Steps through canonical messages (canonical.h): each takes one field, in the order of the
 * numbers. A step that does not find its field leaves the position where it is, so fields may
 * lack; what is left over at the end means that the message is of another shape. */

#include <math.h>

#include "fastfeed/canonical.h"
#include "fastfeed/wire.h"

static inline bool ff_is_finite(double v) {
    return v - v == 0;
}

/* A number of the vendor's for a field of one byte: 255 = larger than that, or negative. */
static inline uint8_t ff_u8(uint64_t v) {
    int32_t number = (int32_t)(uint32_t)v;
    return number < 0 || number > 255 ? 255 : (uint8_t)number;
}

#define FF_STEP static inline __attribute__((always_inline))

typedef struct ff_text {
    const uint8_t *data; /* NULL = not sent */
    size_t length;
} ff_text;

/* Whether a tag of one or two bytes stands at p, with `more` bytes behind it. */
FF_STEP bool ff_step_at(const uint8_t *p, const uint8_t *end, uint32_t tag, ptrdiff_t more) {
    if (tag < 0x80)
        return end - p >= 1 + more && *p == tag;
    uint16_t two, want = (uint16_t)((tag & 0x7f) | 0x80 | tag >> 7 << 8);
    if (end - p < 2 + more)
        return false;
    memcpy(&two, p, sizeof two);
    return two == want;
}

/* A double; returns whether it was there, *v stays as it is if not. */
FF_STEP bool ff_step_real(const uint8_t **p, const uint8_t *end, uint32_t field, double *v) {
    const uint32_t tag = field << 3 | FF_WIRE_I64;
    const size_t size = tag < 0x80 ? 1 : 2;
    if (FF_UNLIKELY(!ff_step_at(*p, end, tag, 8)))
        return false;
    *v = ff_load_f64(*p + size);
    *p += size + 8;
    return true;
}

/* The same with NaN for one that was not sent. */
FF_STEP double ff_step_real_or_nan(const uint8_t **p, const uint8_t *end, uint32_t field) {
    double v = (double)NAN;
    ff_step_real(p, end, field, &v);
    return v;
}

/* A varint that is mostly of one byte. */
FF_STEP bool ff_step_number(const uint8_t **p, const uint8_t *end, uint32_t field,
                            uint64_t *v) {
    const uint32_t tag = field << 3 | FF_WIRE_VARINT;
    int why;
    if (FF_UNLIKELY(!ff_step_at(*p, end, tag, 1)))
        return false;
    const uint8_t *after = ff_wire_varint(*p + (tag < 0x80 ? 1 : 2), end, v, &why);
    if (FF_UNLIKELY(after == NULL))
        return false;
    *p = after;
    return true;
}

/* A varint of any length up to eight bytes, without a branch for each of them. */
FF_STEP bool ff_step_long_number(const uint8_t **p, const uint8_t *end, uint32_t field,
                                 uint64_t *v) {
    const uint32_t tag = field << 3 | FF_WIRE_VARINT;
    const uint64_t more = 0x8080808080808080u;
    if (FF_LIKELY(ff_step_at(*p, end, tag, 8))) {
        const uint8_t *at = *p + (tag < 0x80 ? 1 : 2);
        uint64_t word = ff_load_u64(at), stops = ~word & more;
        if (FF_LIKELY(stops != 0)) {
            word &= stops ^ (stops - 1); /* up to the first stop */
            word &= ~more;
            word = (word & 0x007f007f007f007fu) | (word & 0x7f007f007f007f00u) >> 1;
            word = (word & 0x00003fff00003fffu) | (word & 0x3fff00003fff0000u) >> 2;
            *v = (word & 0x000000000fffffffu) | (word & 0x0fffffff00000000u) >> 4;
            *p = at + (unsigned)__builtin_ctzll(stops) / 8 + 1;
            return true;
        }
    }
    return ff_step_number(p, end, field, v);
}

/* The same where nine bytes are most common: ns since 1970. */
FF_STEP bool ff_step_stamp(const uint8_t **p, const uint8_t *end, uint32_t field,
                           uint64_t *v) {
    const uint32_t tag = field << 3 | FF_WIRE_VARINT;
    const uint64_t more = 0x8080808080808080u;
    if (FF_LIKELY(tag < 0x80 && ff_step_at(*p, end, tag, 9))) {
        const uint8_t *at = *p + 1;
        uint64_t word = ff_load_u64(at);
        if (FF_LIKELY((word & more) == more && at[8] < 0x80)) {
            word &= ~more;
            word = (word & 0x007f007f007f007fu) | (word & 0x7f007f007f007f00u) >> 1;
            word = (word & 0x00003fff00003fffu) | (word & 0x3fff00003fff0000u) >> 2;
            word = (word & 0x000000000fffffffu) | (word & 0x0fffffff00000000u) >> 4;
            *v = word | (uint64_t)at[8] << 56;
            *p = at + 9;
            return true;
        }
    }
    return ff_step_number(p, end, field, v);
}

/* ---- messages that have all their fields
 *
 * Some writers leave nothing out. Then few comparisons show where everything is, and no
 * step waits for the one before it. */

/* Whether doubles of `count` successive fields below 16 stand at p, 9 bytes each. */
FF_STEP bool ff_full_reals(const uint8_t *p, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (FF_UNLIKELY(p[9 * i] != ((first + i) << 3 | FF_WIRE_I64)))
            return false;
    }
    return true;
}

/* Whether n bytes at p are one varint; 8 can be read there. */
FF_STEP bool ff_full_varint(const uint8_t *p, size_t n) {
    if (FF_UNLIKELY(n - 1 >= 8))
        return false;
    const uint64_t used = 0x8080808080808080u >> (64 - 8 * n);
    return (ff_load_u64(p) & used) == (used & used >> 8);
}

/* ---- steps of a text */

/* A text or an embedded message of less than 128 bytes. */
FF_STEP ff_text ff_step_text(const uint8_t **p, const uint8_t *end, uint32_t field) {
    const uint32_t tag = field << 3 | FF_WIRE_BYTES;
    if (FF_UNLIKELY(!ff_step_at(*p, end, tag, 1)))
        return (ff_text){NULL, 0};
    const uint8_t *at = *p + (tag < 0x80 ? 1 : 2);
    size_t length = *at++;
    if (FF_UNLIKELY(length >= 0x80 || (size_t)(end - at) < length))
        return (ff_text){NULL, 0};
    *p = at + length;
    return (ff_text){at, length};
}

/* The same of any length. */
FF_STEP ff_text ff_step_message(const uint8_t **p, const uint8_t *end, uint32_t field) {
    const uint32_t tag = field << 3 | FF_WIRE_BYTES;
    size_t length;
    int why;
    if (FF_UNLIKELY(!ff_step_at(*p, end, tag, 1)))
        return (ff_text){NULL, 0};
    const uint8_t *at = *p + (tag < 0x80 ? 1 : 2);
    if (FF_LIKELY(*at < 0x80)) {
        length = *at++;
        if (FF_UNLIKELY((size_t)(end - at) < length))
            return (ff_text){NULL, 0};
    } else if (FF_UNLIKELY((at = ff_wire_length(at, end, &length, &why)) == NULL)) {
        return (ff_text){NULL, 0};
    }
    *p = at + length;
    return (ff_text){at, length};
}

/* A text that was gathered. */
static inline ff_text ff_fields_text(const ff_fields *fields, unsigned n) {
    return (ff_text){fields->values[n].text, fields->values[n].length};
}

#endif
