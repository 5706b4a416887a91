#ifndef FASTFEED_LATEST_H
#define FASTFEED_LATEST_H

/* The last row of each symbol, kept outside of the ring: a quiet symbol's row is still here
 * when the ring has long come round.
 *
 * A place is a symbol id, or a symbol id and something else, counted without large holes. Rows
 * are given memory when a place is first used; rows may move then, so they are copied out. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/status.h"

typedef struct ff_latest {
    uint32_t *index; /* by place: 1 + number of its row, 0 = none yet */
    uint8_t *rows;
    size_t row_size;
    size_t places;     /* in index */
    uint32_t used;     /* rows */
    uint32_t max_used; /* rows that there is memory for */
} ff_latest;

void ff_latest_init(ff_latest *table, size_t row_size);
void ff_latest_free(ff_latest *table);

/* Forget all rows; the memory is kept. */
void ff_latest_clear(ff_latest *table);

/* Give a place a row. Returns 0 or -FF_ENOMEM. */
int ff_latest_grow(ff_latest *table, size_t place);

/* The row of a place, or NULL. Valid until the next place is first used. */
static inline uint8_t *ff_latest_row(const ff_latest *table, size_t place) {
    if (FF_UNLIKELY(place >= table->places || table->index[place] == 0))
        return NULL;
    return table->rows + (size_t)(table->index[place] - 1) * table->row_size;
}

/* Keep a copy of a row. Returns 0 or -FF_ENOMEM. */
static inline int ff_latest_put(ff_latest *table, size_t place, const void *row) {
    uint8_t *kept = ff_latest_row(table, place);
    if (FF_UNLIKELY(kept == NULL)) {
        int rc = ff_latest_grow(table, place);
        if (rc < 0)
            return rc;
        kept = ff_latest_row(table, place);
    }
    memcpy(kept, row, table->row_size);
    return 0;
}

#endif
