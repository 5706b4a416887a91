#ifndef FASTFEED_WIRE_H
#define FASTFEED_WIRE_H

/* Reading the protobuf wire format in place. Every function gets the end of what may be read
 * and checks against it before it reads; a position that comes back NULL means a reason was
 * stored in *why. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/status.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are loaded as they lie");

enum { FF_WIRE_VARINT = 0, FF_WIRE_I64 = 1, FF_WIRE_BYTES = 2, FF_WIRE_I32 = 5 };

static inline uint32_t ff_load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t ff_load_u64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline double ff_load_f64(const uint8_t *p) {
    double v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* A varint of more than one byte. The tenth byte may only hold one bit; protobuf's own
 * parsers differ in that. */
static inline const uint8_t *ff_wire_varint_long(const uint8_t *p, const uint8_t *end,
                                                 uint64_t *value, int *why) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (p == end) {
            *why = FF_ETRUNCATED;
            return NULL;
        }
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = v;
            return p;
        }
    }
    *why = FF_EVARINT;
    return NULL;
}

static inline const uint8_t *ff_wire_varint(const uint8_t *p, const uint8_t *end,
                                            uint64_t *value, int *why) {
    if (FF_LIKELY(p < end && *p < 0x80)) {
        *value = *p;
        return p + 1;
    }
    return ff_wire_varint_long(p, end, value, why);
}

/* Protobuf takes tags and lengths of at most five bytes, even when the others add nothing. */
enum { FF_WIRE_MAX_SHORT = 5 };

/* The length of a bytes field, checked: after it, *length bytes are there. */
static inline const uint8_t *ff_wire_length(const uint8_t *p, const uint8_t *end,
                                            size_t *length, int *why) {
    uint64_t v;
    if (FF_LIKELY(p < end && *p < 0x80)) {
        v = *p++;
    } else if (FF_LIKELY(end - p >= 2 && p[1] < 0x80)) {
        v = (uint64_t)(p[0] & 0x7f) | (uint64_t)p[1] << 7;
        p += 2;
    } else {
        const uint8_t *start = p;
        p = ff_wire_varint_long(p, end, &v, why);
        if (p == NULL)
            return NULL;
        if (p - start > FF_WIRE_MAX_SHORT && v <= (uint64_t)(end - p)) {
            *why = FF_EVARINT;
            return NULL;
        }
    }
    if (v > (uint64_t)(end - p)) {
        *why = FF_ETRUNCATED;
        return NULL;
    }
    *length = (size_t)v;
    return p;
}

/* A field's tag. Wire types 3, 4 (groups), 6, 7 and field number 0 are refused here. */
static inline const uint8_t *ff_wire_tag(const uint8_t *p, const uint8_t *end, uint32_t *tag,
                                         int *why) {
    uint64_t v;
    const uint8_t *start = p;
    p = ff_wire_varint(p, end, &v, why);
    if (p == NULL)
        return NULL;
    unsigned type = (unsigned)(v & 7);
    if (v > UINT32_MAX || v < 8 || type > 5) {
        *why = FF_ETAG;
        return NULL;
    }
    if (type == 3 || type == 4) {
        *why = FF_EGROUP;
        return NULL;
    }
    if (p - start > FF_WIRE_MAX_SHORT) {
        *why = FF_EVARINT;
        return NULL;
    }
    *tag = (uint32_t)v;
    return p;
}

/* Pass over the value of a field of no interest. */
static inline const uint8_t *ff_wire_skip(const uint8_t *p, const uint8_t *end, uint32_t tag,
                                          int *why) {
    uint64_t ignored;
    size_t length;
    switch (tag & 7) {
    case FF_WIRE_VARINT:
        return ff_wire_varint(p, end, &ignored, why);
    case FF_WIRE_BYTES:
        p = ff_wire_length(p, end, &length, why);
        return p == NULL ? NULL : p + length;
    default:
        length = (tag & 7) == FF_WIRE_I64 ? 8 : 4;
        if ((size_t)(end - p) < length) {
            *why = FF_ETRUNCATED;
            return NULL;
        }
        return p + length;
    }
}

#endif
