#ifndef FASTFEED_METER_H
#define FASTFEED_METER_H

/* What is known of the feeds of a hub: states, counters, latencies. A slot for each feed; one
 * process writes, any number of others read.
 *
 * The file: a page of ff_meters_header, then the slots. A slot has memory once it was taken.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "fastfeed/histogram.h"
#include "fastfeed/region.h"

enum { FF_METERS = 64, FF_METER_URL_BYTES = 256 };

typedef enum ff_meter_state {
    FF_METER_FREE, /* was never taken */
    FF_METER_CONNECTING,
    FF_METER_CONNECTED,
    FF_METER_DISCONNECTED, /* and comes back, if it can */
    FF_METER_CLOSED,       /* can be taken again */
} ff_meter_state;

/* Counters that the feed copies here now and then. */
typedef enum ff_meter_counter {
    FF_METER_CONNECTIONS,
    FF_METER_GAPS, /* that were told */
    FF_METER_BYTES,
    FF_METER_PACKETS,
    FF_METER_REJECTED,
    FF_METER_LOST_ROWS, /* overwritten before the writer's own loops and callbacks had them */
    FF_METER_COUNTERS
} ff_meter_counter;

typedef struct ff_meter {
    _Alignas(128) _Atomic uint64_t version; /* how often it was taken, twice; odd: just now */
    _Atomic uint32_t state;                 /* ff_meter_state */
    uint32_t url_bytes;
    _Atomic int64_t since_ns; /* when the state began; this and others: ns since 1970 */
    _Atomic int64_t beat_ns;  /* the feed's loop was alive */
    _Atomic uint64_t counters[FF_METER_COUNTERS];
    uint8_t url[FF_METER_URL_BYTES];
    /* What follows is written by who publishes, with every publication. */
    _Alignas(128) _Atomic uint64_t rows;
    _Atomic int64_t last_recv_ns;
    ff_histogram gateway_to_receive; /* of rows that came live */
    ff_histogram receive_to_publish;
} ff_meter;

typedef struct ff_meters_header {
    uint64_t slot_size;
    _Atomic uint32_t ready; /* slots that there is memory for */
} ff_meters_header;

typedef struct ff_meters {
    ff_region region;
    ff_meters_header *header;
    ff_meter *slots;
} ff_meters;

/* Make empty slots in private memory. Returns 0, or -1 with errno set. Free with
 * ff_meters_close(). */
int ff_meters_create(ff_meters *meters);

/* Make empty slots in the empty file fd, as its writer; fd may be closed afterwards. */
int ff_meters_map(ff_meters *meters, int fd);

/* Map the slots in the file fd for reading. */
int ff_meters_attach(ff_meters *meters, int fd);

/* Unmap. Safe on a zeroed ff_meters. */
void ff_meters_close(ff_meters *meters);

/* ---- the writer */

/* Take a slot, one that was never used or else the one that was closed first, for the feed of
 * a URL, which is cut where it is too long. Its state is FF_METER_CONNECTING. Returns NULL
 * where all are in use or there is no memory. */
ff_meter *ff_meters_take(ff_meters *meters, const uint8_t *url, size_t length, int64_t now_ns);

/* Change the state; the slot is given back with FF_METER_CLOSED. */
void ff_meter_enter(ff_meter *meter, ff_meter_state state, int64_t now_ns);

static inline void ff_meter_count(ff_meter *meter, ff_meter_counter counter, uint64_t value) {
    atomic_store_explicit(&meter->counters[counter], value, memory_order_relaxed);
}

static inline void ff_meter_beat(ff_meter *meter, int64_t now_ns) {
    atomic_store_explicit(&meter->beat_ns, now_ns, memory_order_relaxed);
}

/* ---- readers */

/* Copy slot i, which does not change its owner meanwhile. Returns 1, or 0 where it was never
 * taken. */
int ff_meters_copy(const ff_meters *meters, size_t i, ff_meter *copy);

#endif
