/* fastfeed's decoder of AllTick's messages over many of them, without a machine around it. */

#include <stdlib.h>

#include "fastfeed/alltick_decoder.h"

typedef struct ours {
    ff_symbols symbols;
    ff_alltick_decoder d;
    uint8_t *rows;
    size_t row_size;
    uint64_t row_mask;
    uint64_t head;
} ours;

void ours_free(ours *o) {
    ff_symbols_free(&o->symbols);
    free(o->rows);
    free(o);
}

/* A decoder with 2^row_bits rows. NULL: no memory. */
ours *ours_new(unsigned row_bits, size_t row_size, size_t depth) {
    ours *o = calloc(1, sizeof *o);
    if (o == NULL)
        return NULL;
    o->row_mask = ((uint64_t)1 << row_bits) - 1;
    o->row_size = row_size;
    o->rows = aligned_alloc(64, (o->row_mask + 1) * row_size);
    if (o->rows == NULL || ff_symbols_init(&o->symbols, 1 << 20) < 0) {
        ours_free(o);
        return NULL;
    }
    memset(o->rows, 0, (o->row_mask + 1) * row_size); /* no page faults later */
    o->d = (ff_alltick_decoder){.symbols = &o->symbols, .depth = depth};
    return o;
}

void ours_add(ours *o, const uint8_t *code, size_t length) {
    ff_symbols_intern(&o->symbols, code, length);
}

const uint8_t *ours_rows(const ours *o) {
    return o->rows;
}

uint64_t ours_head(const ours *o) {
    return o->head;
}

/* Decode n messages; ends[i] is where message i ends. Returns how many rows they gave, or a
 * negative reason. */
int64_t ours_decode(ours *o, const uint8_t *data, const uint64_t *ends, size_t n,
                    int64_t recv_ns, int generic) {
    const uint64_t before = o->head;
    uint64_t start = 0;
    o->d.recv_ns = recv_ns;
    for (size_t i = 0; i < n; i++) {
        void *row = o->rows + (o->head & o->row_mask) * o->row_size;
        ff_alltick_rows out = {row, 1, row, 1, 0};
        const size_t length = (size_t)(ends[i] - start);
        int kind = generic ? ff_alltick_decode_any(&o->d, data + start, length, &out)
                           : ff_alltick_decode(&o->d, data + start, length, &out);
        if (kind < 0)
            return kind;
        o->head += out.count;
        start = ends[i];
    }
    return (int64_t)(o->head - before);
}
