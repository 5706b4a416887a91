#include "fastfeed/meter.h"

#include <errno.h>
#include <string.h>

enum { ATTEMPTS = 1 << 10 };

static size_t size_of_all(void) {
    return ff_whole_pages(sizeof(ff_meters_header)) + FF_METERS * sizeof(ff_meter);
}

static void set_up(ff_meters *meters) {
    meters->header = (ff_meters_header *)(void *)meters->region.base;
    meters->slots =
        (ff_meter *)(void *)(meters->region.base + ff_whole_pages(sizeof(ff_meters_header)));
}

static int begin(ff_meters *meters) {
    if (ff_region_take(&meters->region, 0, sizeof(ff_meters_header)) < 0) {
        ff_meters_close(meters);
        errno = ENOMEM;
        return -1;
    }
    set_up(meters);
    meters->header->slot_size = sizeof(ff_meter);
    return 0;
}

int ff_meters_create(ff_meters *meters) {
    memset(meters, 0, sizeof *meters);
    return ff_region_create(&meters->region, size_of_all()) < 0 ? -1 : begin(meters);
}

int ff_meters_map(ff_meters *meters, int fd) {
    memset(meters, 0, sizeof *meters);
    return ff_region_map(&meters->region, fd, size_of_all()) < 0 ? -1 : begin(meters);
}

int ff_meters_attach(ff_meters *meters, int fd) {
    memset(meters, 0, sizeof *meters);
    if (ff_region_attach(&meters->region, fd, size_of_all()) < 0)
        return -1;
    set_up(meters);
    if (meters->header->slot_size != sizeof(ff_meter)) {
        ff_meters_close(meters);
        errno = EINVAL;
        return -1;
    }
    return 0;
}

void ff_meters_close(ff_meters *meters) {
    ff_region_close(&meters->region);
    memset(meters, 0, sizeof *meters);
}

static uint32_t ready(const ff_meters *meters) {
    /* Acquire: pairs with the release in ff_meters_take(); behind that there is no memory, and
     * reading could be a signal. */
    uint32_t n = atomic_load_explicit(&meters->header->ready, memory_order_acquire);
    return n < FF_METERS ? n : FF_METERS;
}

/* One that was never used, or the one that was closed first. */
static ff_meter *unused(ff_meters *meters) {
    uint32_t n = ready(meters);
    ff_meter *found = NULL;
    int64_t first = INT64_MAX;
    if (n < FF_METERS) {
        ff_meter *next = &meters->slots[n];
        size_t offset = (size_t)((uint8_t *)next - meters->region.base);
        if (ff_region_take(&meters->region, offset, sizeof *next) == 0) {
            atomic_store_explicit(&meters->header->ready, n + 1, memory_order_release);
            return next;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        ff_meter *meter = &meters->slots[i];
        int64_t since = atomic_load_explicit(&meter->since_ns, memory_order_relaxed);
        if (atomic_load_explicit(&meter->state, memory_order_relaxed) == FF_METER_CLOSED &&
            since < first) {
            first = since;
            found = meter;
        }
    }
    return found;
}

ff_meter *ff_meters_take(ff_meters *meters, const uint8_t *url, size_t length,
                         int64_t now_ns) {
    ff_meter *meter = unused(meters);
    if (meter == NULL)
        return NULL;
    if (length > FF_METER_URL_BYTES)
        length = FF_METER_URL_BYTES;
    uint64_t version = atomic_load_explicit(&meter->version, memory_order_relaxed) + 1;
    atomic_store_explicit(&meter->version, version, memory_order_relaxed);
    /* Release fence: pairs with the acquire fence in ff_meters_copy(). Whoever sees something
     * of the new owner also sees the odd version. */
    atomic_thread_fence(memory_order_release);
    memset((uint8_t *)meter + sizeof meter->version, 0, sizeof *meter - sizeof meter->version);
    memcpy(meter->url, url, length);
    meter->url_bytes = (uint32_t)length;
    ff_meter_enter(meter, FF_METER_CONNECTING, now_ns);
    /* Release: pairs with the acquire in ff_meters_copy(). */
    atomic_store_explicit(&meter->version, version + 1, memory_order_release);
    return meter;
}

void ff_meter_enter(ff_meter *meter, ff_meter_state state, int64_t now_ns) {
    atomic_store_explicit(&meter->since_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&meter->state, state, memory_order_relaxed);
}

int ff_meters_copy(const ff_meters *meters, size_t i, ff_meter *copy) {
    if (i >= ready(meters))
        return 0;
    const ff_meter *meter = &meters->slots[i];
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint64_t version = atomic_load_explicit(&meter->version, memory_order_acquire);
        if (version == 0)
            return 0;
        if (version & 1)
            continue;
        memcpy(copy, meter, sizeof *copy);
        atomic_thread_fence(memory_order_acquire); /* pairs with that in ff_meters_take() */
        if (atomic_load_explicit(&meter->version, memory_order_relaxed) == version) {
            if (copy->url_bytes > FF_METER_URL_BYTES)
                copy->url_bytes = FF_METER_URL_BYTES;
            return 1;
        }
    }
    return 0; /* its writer died in the middle of it */
}
