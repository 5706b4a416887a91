#ifndef FASTFEED_CANONICAL_H
#define FASTFEED_CANONICAL_H

/* Messages in any encoding that protobuf allows, brought into the one that writers use: every
 * field once, in the order of the numbers, nothing unknown. Decoders are written for that
 * encoding alone; what they do not recognise comes here first, and then to them again.
 *
 * The rules are those of proto2: of a field that is repeated against its label the last value
 * counts, the pieces of an embedded message are merged, a known number with another wire type
 * is an unknown field. This is not the hot path. */

#include "fastfeed/wire.h"

enum {
    FF_CANONICAL_FIELDS = 31,  /* largest field number */
    FF_CANONICAL_MESSAGES = 7, /* embedded messages of one message */
    FF_CANONICAL_TEXT = 81, /* longer texts are cut, and still longer than any that is used */
    FF_CANONICAL_BYTES = 2048, /* longest result: a quote has less than 1300 */
};

/* The fields of a message that are of interest. Bit n of a mask stands for field n. Repeated
 * fields are not among them. */
typedef struct ff_shape {
    uint32_t numbers; /* varints */
    uint32_t reals;   /* doubles */
    uint32_t texts;   /* strings and bytes */
    struct {
        uint32_t field;               /* 0 = no more */
        const struct ff_shape *shape; /* without messages of its own */
    } messages[FF_CANONICAL_MESSAGES];
} ff_shape;

/* The fields that were found, by number. */
typedef struct ff_fields {
    uint32_t seen; /* bit n: field n */
    struct {
        uint64_t number;     /* the varint, or the bits of the double */
        const uint8_t *text; /* in the message */
        size_t length;       /* of the text */
    } values[FF_CANONICAL_FIELDS + 1];
} ff_fields;

typedef struct ff_message {
    ff_fields fields;
    ff_fields messages[FF_CANONICAL_MESSAGES]; /* as in the shape */
} ff_message;

/* Add the fields of a message, or of a piece of one, to *message, which was zeroed in the
 * beginning. Returns 0 or a negative reason. The texts stay where they are. */
int ff_message_merge(ff_message *message, const ff_shape *shape, const uint8_t *p,
                     const uint8_t *end);

/* Write it in the canonical encoding; returns the number of bytes. */
size_t ff_message_write(const ff_message *message, const ff_shape *shape,
                        uint8_t out[FF_CANONICAL_BYTES]);

static inline bool ff_fields_has(const ff_fields *fields, unsigned n) {
    return (fields->seen >> n & 1) != 0;
}

/* A double, 0 when it was not found. */
static inline double ff_fields_real(const ff_fields *fields, unsigned n) {
    double v;
    memcpy(&v, &fields->values[n].number, sizeof v);
    return v;
}

#endif
