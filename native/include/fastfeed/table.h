#ifndef FASTFEED_TABLE_H
#define FASTFEED_TABLE_H

/* A row for each place, in the memory of one thread: what a decoder knows of each symbol.
 *
 * A place is a symbol id, or a symbol id and something else, counted without large holes. Rows
 * are given memory when a place is first used; rows may move then, so they are copied out. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/status.h"

typedef struct ff_table {
    uint32_t *index; /* by place: 1 + number of its row, 0 = none yet */
    uint8_t *rows;
    size_t row_size;
    size_t places;     /* in index */
    uint32_t used;     /* rows */
    uint32_t max_used; /* rows that there is memory for */
} ff_table;

void ff_table_init(ff_table *table, size_t row_size);
void ff_table_free(ff_table *table);

/* Forget all rows; the memory is kept. */
void ff_table_clear(ff_table *table);

/* Give a place a row. Returns 0 or -FF_ENOMEM. */
int ff_table_grow(ff_table *table, size_t place);

/* The row of a place, or NULL. Valid until the next place is first used. */
static inline uint8_t *ff_table_row(const ff_table *table, size_t place) {
    if (FF_UNLIKELY(place >= table->places || table->index[place] == 0))
        return NULL;
    return table->rows + (size_t)(table->index[place] - 1) * table->row_size;
}

/* Keep a copy of a row. Returns 0 or -FF_ENOMEM. */
static inline int ff_table_put(ff_table *table, size_t place, const void *row) {
    uint8_t *kept = ff_table_row(table, place);
    if (FF_UNLIKELY(kept == NULL)) {
        int rc = ff_table_grow(table, place);
        if (rc < 0)
            return rc;
        kept = ff_table_row(table, place);
    }
    memcpy(kept, row, table->row_size);
    return 0;
}

#endif
