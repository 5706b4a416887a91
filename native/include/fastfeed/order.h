#ifndef FASTFEED_ORDER_H
#define FASTFEED_ORDER_H

/* Ticks of each symbol in the order of their sequence, none of them twice, across
 * interruptions.
 *
 * Of every symbol it is known which sequence came last; a row that is not above it has been
 * delivered and is dropped. Rows without a sequence pass. A symbol can be *held*: its live
 * rows wait then (the caller keeps them) until what was missed before them has been fetched.
 *
 * A sequence that is not above the last one, of a much later trade, has not been delivered:
 * the gateway counts anew, or the last one was nonsense. Dropping what follows would never
 * end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fastfeed/rows.h"
#include "fastfeed/status.h"

typedef struct ff_order_symbol {
    int64_t last;    /* sequence of the last row, -1 = none yet */
    int64_t time_ns; /* of that row */
    uint32_t count;  /* rows of that time, kept by ff_order_pass() */
    bool held;
    bool gap; /* the next row gets FF_FLAG_GAP */
} ff_order_symbol;

typedef struct ff_order {
    ff_order_symbol *symbols; /* by id */
    size_t count;
    uint64_t duplicates; /* rows dropped */
} ff_order;

#define FF_ORDER_ANEW_NS INT64_C(60000000000) /* how much later */

void ff_order_init(ff_order *order);
void ff_order_free(ff_order *order);

/* Make room for an id. Returns 0 or -FF_ENOMEM. */
int ff_order_grow(ff_order *order, uint32_t id);

/* The state of a symbol, NULL when there is no memory for it. */
static inline ff_order_symbol *ff_order_of(ff_order *order, uint32_t id) {
    if (FF_UNLIKELY(id >= order->count && ff_order_grow(order, id) < 0))
        return NULL;
    return &order->symbols[id];
}

/* Take n new rows of one symbol, in place: returns how many of them are left, at the beginning
 * of `rows`. */
static inline size_t ff_order_take(ff_order *order, ff_order_symbol *symbol, ff_tick *rows,
                                   size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (FF_UNLIKELY(rows[i].seq <= symbol->last && rows[i].seq >= 0)) {
            if (symbol->time_ns <= 0 ||
                rows[i].time_ns <= symbol->time_ns + FF_ORDER_ANEW_NS) {
                order->duplicates++;
                continue;
            }
            symbol->gap = true;
        }
        if (FF_UNLIKELY(kept != i))
            rows[kept] = rows[i];
        if (FF_UNLIKELY(symbol->gap)) {
            rows[kept].flags |= FF_FLAG_GAP;
            symbol->gap = false;
        }
        if (FF_LIKELY(rows[kept].seq >= 0))
            symbol->last = rows[kept].seq;
        symbol->time_ns = rows[kept].time_ns;
        kept++;
    }
    return kept;
}

/* The same for a vendor whose ticks have no sequence of their own: all n rows, at least one,
 * pass. What is known of the symbol is the latest time of a row, and how many rows had it. */
static inline void ff_order_pass(ff_order_symbol *symbol, ff_tick *rows, size_t n) {
    if (FF_UNLIKELY(symbol->gap)) {
        rows->flags |= FF_FLAG_GAP;
        symbol->gap = false;
    }
    for (size_t i = 0; i < n; i++) {
        if (rows[i].time_ns > symbol->time_ns) {
            symbol->time_ns = rows[i].time_ns;
            symbol->count = 1;
        } else if (rows[i].time_ns == symbol->time_ns) {
            symbol->count++;
        }
    }
}

#endif
