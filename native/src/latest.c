#include "fastfeed/latest.h"

#include <errno.h>

enum { FIRST_PLACES = 16384, FIRST_SLOTS = 16, ATTEMPTS = 1 << 16 };

typedef struct layout {
    size_t index; /* where it begins */
    size_t slots;
    size_t bytes;
} layout;

/* Where everything lies; bytes are 0 when the geometry is not allowed. */
static layout layout_of(size_t row_size, size_t places) {
    layout l = {0};
    if (row_size == 0 || row_size % 64 != 0 || row_size > 1u << 20 || places == 0 ||
        places > UINT32_MAX / 2)
        return l;
    l.index = ff_whole_pages(sizeof(ff_latest_header));
    l.slots = l.index + ff_whole_pages(places * sizeof(uint32_t));
    l.bytes = l.slots + ff_whole_pages(places * (sizeof(ff_latest_slot) + 2 * row_size));
    return l;
}

static void set_up(ff_latest *table, size_t row_size, size_t places, layout l) {
    uint8_t *base = table->region.base;
    table->header = (ff_latest_header *)(void *)base;
    table->index = (_Atomic uint32_t *)(void *)(base + l.index);
    table->slots = base + l.slots;
    table->row_size = row_size;
    table->slot_size = sizeof(ff_latest_slot) + 2 * row_size;
    table->places = places;
    table->step = 1;
}

/* Make an empty table, in private memory where fd is -1. */
static int make(ff_latest *table, int fd, size_t row_size, size_t places) {
    const layout l = layout_of(row_size, places);
    memset(table, 0, sizeof *table);
    if (l.bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    if ((fd < 0 ? ff_region_create(&table->region, l.bytes)
                : ff_region_map(&table->region, fd, l.bytes)) < 0)
        return -1;
    if (ff_region_take(&table->region, 0, l.index) < 0) {
        ff_latest_close(table);
        errno = ENOMEM;
        return -1;
    }
    set_up(table, row_size, places, l);
    if (table->header->row_size != 0) { /* its slots are not counted here */
        ff_latest_close(table);
        errno = EEXIST;
        return -1;
    }
    table->header->row_size = row_size;
    table->header->places = places;
    return 0;
}

int ff_latest_create(ff_latest *table, size_t row_size, size_t places) {
    int rc = make(table, -1, row_size, places);
    table->step = 2;
    return rc;
}

int ff_latest_map(ff_latest *table, int fd, size_t row_size, size_t places) {
    return make(table, fd, row_size, places);
}

int ff_latest_attach(ff_latest *table, int fd, size_t row_size, size_t places) {
    layout l = layout_of(row_size, places);
    memset(table, 0, sizeof *table);
    if (l.bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    if (ff_region_attach(&table->region, fd, l.bytes) < 0)
        return -1;
    set_up(table, row_size, places, l);
    if (table->header->row_size != row_size || table->header->places != places) {
        ff_latest_close(table);
        errno = EINVAL;
        return -1;
    }
    return 0;
}

void ff_latest_close(ff_latest *table) {
    ff_region_close(&table->region);
    memset(table, 0, sizeof *table);
}

/* Have memory for at least `want` things of `size` bytes behind `offset`, twice as many as
 * before at least; *ready says for how many there is. */
static int take(ff_latest *table, size_t offset, size_t size, size_t want, size_t *ready) {
    size_t n = *ready * 2;
    if (n < want)
        n = want;
    if (n > table->places)
        n = table->places;
    int rc = ff_region_take(&table->region, offset + *ready * size, (n - *ready) * size);
    if (rc == 0)
        *ready = n;
    return rc;
}

int ff_latest_grow(ff_latest *table, size_t place) {
    layout l = layout_of(table->row_size, table->places);
    uint32_t used = ff_latest_used(table);
    if (place >= table->places)
        return -FF_ENOMEM;
    size_t ready = atomic_load_explicit(&table->header->ready, memory_order_relaxed);
    if (place >= ready) {
        size_t want = place < FIRST_PLACES ? FIRST_PLACES : place + 1;
        if (take(table, l.index, sizeof(uint32_t), want, &ready) < 0)
            return -FF_ENOMEM;
        atomic_store_explicit(&table->header->ready, ready, memory_order_release);
    }
    if (atomic_load_explicit(&table->index[place], memory_order_relaxed) != 0)
        return 0;
    if (used == table->slots_ready) {
        size_t want = used == 0 ? FIRST_SLOTS : (size_t)used + 1;
        if (take(table, l.slots, table->slot_size, want, &table->slots_ready) < 0)
            return -FF_ENOMEM;
    }
    /* Release: pairs with the acquire in ff_latest_copy(); the slot's version is 0. */
    atomic_store_explicit(&table->index[place], used + 1, memory_order_release);
    atomic_store_explicit(&table->header->used, used + 1, memory_order_relaxed);
    return 0;
}

int ff_latest_copy(const ff_latest *table, size_t place, void *row) {
    /* Behind that the file has no memory, and reading could be a signal. */
    if (place >= table->places ||
        place >= atomic_load_explicit(&table->header->ready, memory_order_acquire))
        return 0;
    uint32_t number = atomic_load_explicit(&table->index[place], memory_order_acquire);
    if (number == 0 || number > table->places)
        return 0;
    ff_latest_slot *slot =
        (ff_latest_slot *)(void *)(table->slots + (number - 1) * table->slot_size);
    for (int i = 0; i < ATTEMPTS; i++) {
        uint64_t version = atomic_load_explicit(&slot->version, memory_order_acquire);
        if (version == 0)
            return 0;
        memcpy(row, ff_latest_version(table, slot, version), table->row_size);
        atomic_thread_fence(memory_order_acquire); /* pairs with that in ff_latest_begin() */
        if (atomic_load_explicit(&slot->version, memory_order_relaxed) == version)
            return 1;
    }
    return -1;
}
