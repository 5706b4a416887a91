#ifndef LOOP_H
#define LOOP_H

/* What the decoders that one would write by hand have in common. They are the yardstick of the
 * benches, not an example to follow.
 *
 * They believe everything: that a packet's fields are canonical (each once, in the order of
 * the numbers), that those are there which a real OpenD sends today, that codes have at most 8
 * bytes, that lengths inside a body are right. A body that is not so is read out of bounds.
 * Symbols are known before. No SHA-1, no counters, no second path. What remains is the least
 * work for the same rows. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/rows.h"

enum { HEADER = 44 };

typedef struct slot {
    uint64_t key;
    uint64_t id_plus_1; /* 0 = free */
} slot;

typedef struct loop {
    slot *slots;
    unsigned shift;
    uint64_t slot_mask;
    uint8_t *rows;
    size_t row_size;
    uint64_t row_mask;
    uint64_t head; /* rows written */
} loop;

static inline uint32_t u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t u64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline double f64(const uint8_t *p) {
    double v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline const uint8_t *varint(const uint8_t *p, uint64_t *value) {
    uint64_t v = *p & 0x7f;
    for (unsigned shift = 7; *p++ >= 0x80; shift += 7)
        v |= (uint64_t)(*p & 0x7f) << shift;
    *value = v;
    return p;
}

static inline int64_t to_ns(double seconds) {
    return (int64_t)(seconds * 1e6 + 0.5) * 1000;
}

static inline slot *find(const loop *l, uint64_t key) {
    uint64_t i = key * 0x9e3779b97f4a7c15u >> l->shift;
    while (l->slots[i].id_plus_1 != 0 && l->slots[i].key != key)
        i = (i + 1) & l->slot_mask;
    return &l->slots[i];
}

static inline uint64_t key_of(const uint8_t *code, size_t length) {
    return u64(code) & (~(uint64_t)0 >> (64 - 8 * length));
}

/* Where the next row goes. */
static inline void *next_row(loop *l) {
    return l->rows + (l->head++ & l->row_mask) * l->row_size;
}

/* The id of the security at *p (08 market, 12 code), and *p behind it. */
static inline uint32_t symbol_at(const loop *l, const uint8_t **p) {
    size_t length = (*p)[3];
    const uint8_t *code = *p + 4;
    *p = code + length;
    return (uint32_t)(find(l, key_of(code, length))->id_plus_1 - 1);
}

/* Decode all complete packets; returns the bytes used, or -1 when the magic is wrong. */
int64_t loop_decode(loop *l, const uint8_t *data, size_t length, int64_t recv_ns);

#endif
