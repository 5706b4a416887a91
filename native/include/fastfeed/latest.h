#ifndef FASTFEED_LATEST_H
#define FASTFEED_LATEST_H

/* The last row of each symbol, kept outside of the ring: a quiet symbol's row is still here
 * when the ring has long come round. One writer, any number of readers, also in other
 * processes.
 *
 * A place is a symbol id, or a symbol id and something else, counted without large holes. A
 * place that is used has a slot: a version and two rows. Version v is in row v mod 2, and the
 * writer prepares version v + 1 in the other one before it says so. So a row that readers are
 * pointed at is always whole, even if the writer dies in the middle of the next one; and a
 * reader that was overtaken while it copied sees that the version has changed. A table of one
 * thread alone leaves every other version out, and so uses one row of the two.
 *
 * The file: a page of ff_latest_header, the index of places, the slots. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/region.h"
#include "fastfeed/status.h"

typedef struct ff_latest_header {
    uint64_t row_size;
    uint64_t places;
    _Atomic uint64_t ready; /* places that the index has memory for */
    _Atomic uint32_t used;  /* slots */
} ff_latest_header;

typedef struct ff_latest_slot {
    _Alignas(64) _Atomic uint64_t version; /* rows put here so far; 0 = none */
} ff_latest_slot;

typedef struct ff_latest {
    ff_region region;
    ff_latest_header *header;
    _Atomic uint32_t *index; /* by place: 1 + number of its slot, 0 = none yet */
    uint8_t *slots;
    size_t row_size;
    size_t slot_size;
    size_t places;
    size_t slots_ready; /* that there is memory for */
    unsigned step; /* from a version to the next: 1, or 2 while one thread reads and writes */
} ff_latest;

/* Make a table of at most `places` places in private memory, for one thread until `step` is
 * set to 1. row_size: a multiple of 64.
 * Returns 0, or -1 with errno set. Free with ff_latest_close(). */
int ff_latest_create(ff_latest *table, size_t row_size, size_t places);

/* Make an empty table in the empty file fd, as its writer; fd may be closed afterwards. */
int ff_latest_map(ff_latest *table, int fd, size_t row_size, size_t places);

/* Map the table in the file fd for reading. */
int ff_latest_attach(ff_latest *table, int fd, size_t row_size, size_t places);

/* Unmap. Safe on a zeroed table. */
void ff_latest_close(ff_latest *table);

/* ---- the writer */

/* Give a place a slot. Returns 0 or -FF_ENOMEM. */
int ff_latest_grow(ff_latest *table, size_t place);

/* The slot of a place, NULL = none yet. */
static inline ff_latest_slot *ff_latest_slot_of(const ff_latest *table, size_t place) {
    if (FF_UNLIKELY(place >=
                    atomic_load_explicit(&table->header->ready, memory_order_relaxed)))
        return NULL;
    uint32_t number = atomic_load_explicit(&table->index[place], memory_order_relaxed);
    if (FF_UNLIKELY(number == 0))
        return NULL;
    return (ff_latest_slot *)(void *)(table->slots + (number - 1) * table->slot_size);
}

/* The row of a version. */
static inline uint8_t *ff_latest_version(const ff_latest *table, ff_latest_slot *slot,
                                         uint64_t version) {
    return (uint8_t *)(slot + 1) + (version & 1) * table->row_size;
}

/* Where the next row goes; *version is what it will be. */
static inline uint8_t *ff_latest_begin(const ff_latest *table, ff_latest_slot *slot,
                                       uint64_t *version) {
    *version = atomic_load_explicit(&slot->version, memory_order_relaxed) + table->step;
    /* Release fence: pairs with the acquire fence in ff_latest_copy(). Whoever sees a byte of
     * this row also sees the version before it. */
    atomic_thread_fence(memory_order_release);
    return ff_latest_version(table, slot, *version);
}

/* It is whole. Release: pairs with the acquire in ff_latest_copy(). */
static inline void ff_latest_end(ff_latest_slot *slot, uint64_t version) {
    atomic_store_explicit(&slot->version, version, memory_order_release);
}

/* Keep a copy of a row. Returns 0 or -FF_ENOMEM. */
static inline int ff_latest_put(ff_latest *table, size_t place, const void *row) {
    uint64_t version;
    ff_latest_slot *slot = ff_latest_slot_of(table, place);
    if (FF_UNLIKELY(slot == NULL)) {
        int rc = ff_latest_grow(table, place);
        if (rc < 0)
            return rc;
        slot = ff_latest_slot_of(table, place);
    }
    memcpy(ff_latest_begin(table, slot, &version), row, table->row_size);
    ff_latest_end(slot, version);
    return 0;
}

/* ---- readers, and the writer itself */

/* Copy the last row of a place to `row`, row_size bytes. Returns 1, 0 when it has none, or -1
 * when the writer overtook every one of many attempts. */
int ff_latest_copy(const ff_latest *table, size_t place, void *row);

/* How many places have a row. */
static inline uint32_t ff_latest_used(const ff_latest *table) {
    return atomic_load_explicit(&table->header->used, memory_order_relaxed);
}

#endif
