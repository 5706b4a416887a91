#ifndef FASTFEED_SINK_H
#define FASTFEED_SINK_H

/* Where a machine writes its rows: a ring for each stream that somebody listens to, perhaps a
 * table of last rows beside it, and what is written and not yet shown to readers. */

#include <stdbool.h>

#include "fastfeed/latest.h"
#include "fastfeed/meter.h"
#include "fastfeed/ring.h"
#include "fastfeed/rows.h"

struct ff_tap;

typedef struct ff_sink {
    ff_ring *rings[FF_STREAMS];    /* NULL: nobody listens */
    ff_latest *latest[FF_STREAMS]; /* NULL: not kept */
    uint64_t rows[FF_STREAMS];     /* written */
    ff_meter *meter;               /* NULL: nothing is measured */
    struct ff_tap *tap;            /* NULL: nobody keeps what is received */
    unsigned dirty;                /* bit by stream: rows are written and not published */
    bool full;                     /* one of them has enough rows for a publication */
} ff_sink;

/* Show readers what was written, and measure how long it took to here. Returns the streams
 * concerned, a bit each. */
unsigned ff_sink_publish(ff_sink *sink);

/* Where up to *max_rows rows of a stream go, which is cut to half of the ring. */
static inline void *ff_sink_claim(ff_sink *sink, ff_stream stream, uint64_t *max_rows) {
    ff_ring *ring = sink->rings[stream];
    if (FF_UNLIKELY(*max_rows > ring->capacity / 2))
        *max_rows = ring->capacity / 2;
    return ff_ring_claim(ring, *max_rows);
}

/* n of them were written. */
static inline void ff_sink_written(ff_sink *sink, ff_stream stream, uint64_t n) {
    ff_ring *ring = sink->rings[stream];
    ff_ring_advance(ring, n);
    sink->rows[stream] += n;
    sink->dirty |= (unsigned)(n > 0) << stream;
    /* With a push of at most half a ring on top, a reader that keeps up never loses a row. */
    sink->full |= ring->head - ff_ring_published(ring) >= ring->capacity / 4;
}

/* Keep a row as the last one of its place. Returns 0 or -FF_ENOMEM. */
static inline int ff_sink_keep(ff_sink *sink, ff_stream stream, size_t place,
                               const void *row) {
    ff_latest *table = sink->latest[stream];
    return table != NULL ? ff_latest_put(table, place, row) : 0;
}

/* The same for a quote, whose place is that of its symbol and session. */
static inline int ff_sink_keep_quote(ff_sink *sink, const ff_quote *row) {
    ff_latest *table = sink->latest[FF_STREAM_QUOTES];
    const size_t place = (size_t)row->symbol * FF_SESSIONS + row->session;
    uint64_t version = 0;
    if (table == NULL)
        return 0;
    ff_latest_slot *slot = ff_latest_slot_of(table, place);
    if (FF_UNLIKELY(slot == NULL))
        return ff_latest_put(table, place, row);
    /* Of plain quotes the rest is the same, once there is a row: new memory has no time. Where
     * nobody else reads, the version says nothing more after the first one. */
    const bool alone = table->step == 2;
    ff_quote *kept = alone ? (ff_quote *)(void *)ff_latest_version(table, slot, 0)
                           : (ff_quote *)(void *)ff_latest_begin(table, slot, &version);
    if (FF_UNLIKELY(kept->recv_ns == 0 || kept->kind != 0 || row->kind != 0))
        return ff_latest_put(table, place, row);
    memcpy(kept, row, offsetof(ff_quote, strike_price));
    if (!alone)
        ff_latest_end(slot, version);
    return 0;
}

#endif
