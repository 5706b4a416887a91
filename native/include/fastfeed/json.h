#ifndef FASTFEED_JSON_H
#define FASTFEED_JSON_H

/* A walk over JSON text (RFC 8259) where it lies: no tree, no recursion, no memory.
 *
 * The scanner is strict: numbers without plus or zeros in front, no NaN, no control characters
 * in strings, no half surrogate pairs, no comments, no trailing commas. What it does not look
 * at is whether the bytes are UTF-8; ff_utf8_valid() does. Nothing is read at or behind `end`.
 *
 * A position that comes back NULL means that a reason was stored in *why: FF_EJSON, or
 * FF_ENESTING for arrays and objects deeper than the limit. */

#include <stdbool.h>

#include "fastfeed/wire.h"

enum { FF_JSON_MAX_DEPTH = 32 }; /* arrays and objects around a value and the value itself */

/* The first byte that is no blank. */
static inline const uint8_t *ff_json_blanks(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* Pass over the string whose opening quote is at p. NULL: it is none, or broken. */
const uint8_t *ff_json_string(const uint8_t *p, const uint8_t *end);

/* Pass over the value at p, which may begin with blanks; `depth` is how deep it may be (at
 * most 64). */
const uint8_t *ff_json_skip(const uint8_t *p, const uint8_t *end, unsigned depth, int *why);

/* Write the characters of a string, which ff_json_string() has passed, with its quotes from p
 * to end. Returns how many bytes they are; more than `room`: only so many were written. */
size_t ff_json_text(const uint8_t *p, const uint8_t *end, uint8_t *out, size_t room);

typedef struct ff_json_span {
    const uint8_t *p; /* NULL: nothing */
    const uint8_t *end;
} ff_json_span;

/* A walk over the members of an object or the elements of an array. */
typedef struct ff_json_walk {
    const uint8_t *p, *end;
    unsigned depth; /* of the values */
    bool begun;
    ff_json_span key; /* of a member, with its quotes */
    ff_json_span value;
} ff_json_walk;

/* Begin behind the bracket at p. */
static inline ff_json_walk ff_json_enter(const uint8_t *p, const uint8_t *end,
                                         unsigned depth) {
    return (ff_json_walk){.p = p + 1, .end = end, .depth = depth - 1};
}

/* Go to the next member's key or to the next element: then walk->p is where its value begins,
 * and is to be moved behind that. Returns 1; 0: there is none, and walk->p is behind the
 * bracket; or a negative reason. */
int ff_json_next_key(ff_json_walk *walk);
int ff_json_next(ff_json_walk *walk);

/* Pass over the value at walk->p. Returns 1 or a negative reason. */
int ff_json_value(ff_json_walk *walk);

/* The next member or element with its value. As ff_json_next(). */
static inline int ff_json_member(ff_json_walk *walk) {
    const int rc = ff_json_next_key(walk);
    return rc <= 0 ? rc : ff_json_value(walk);
}

static inline int ff_json_element(ff_json_walk *walk) {
    const int rc = ff_json_next(walk);
    return rc <= 0 ? rc : ff_json_value(walk);
}

#endif
