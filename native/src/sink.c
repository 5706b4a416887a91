#include "fastfeed/sink.h"

#include <string.h>

#include "fastfeed/clock.h"

/* These two lie at the same place in the rows of all streams. */
#define HAS_TIMES(type)                                                                       \
    _Static_assert(offsetof(type, recv_ns) == offsetof(ff_tick, recv_ns) &&                   \
                       offsetof(type, gateway_ns) == offsetof(ff_tick, gateway_ns),           \
                   "the times of " #type)
HAS_TIMES(ff_quote);
HAS_TIMES(ff_book);
HAS_TIMES(ff_bar);
HAS_TIMES(ff_timeshare);
HAS_TIMES(ff_brokers);

static const size_t flags_at[FF_STREAMS] = {
    [FF_STREAM_TICKS] = offsetof(ff_tick, flags),
    [FF_STREAM_QUOTES] = offsetof(ff_quote, flags),
    [FF_STREAM_BOOKS] = offsetof(ff_book, flags),
    [FF_STREAM_ODD_BOOKS] = offsetof(ff_book, flags),
    [FF_STREAM_BARS] = offsetof(ff_bar, flags),
    [FF_STREAM_TIMESHARE] = offsetof(ff_timeshare, flags),
    [FF_STREAM_BROKERS] = offsetof(ff_brokers, flags),
};

static int64_t time_at(const uint8_t *row, size_t offset) {
    int64_t value;
    memcpy(&value, row + offset, sizeof value);
    return value;
}

/* Measure the rows from `first` on, which were published at `now`. Of many only some are
 * looked at, evenly spread, each for those around it. */
static void measure(ff_meter *meter, ff_stream stream, const ff_ring *ring, uint64_t first,
                    int64_t now) {
    enum { MOST = 8, NOT_LIVE = FF_FLAG_CACHED | FF_FLAG_BACKFILLED | FF_FLAG_STALE };
    const uint64_t n = ring->head - first, looks = n < MOST ? n : MOST;
    const uint8_t *row = NULL;
    for (uint64_t i = 0, begin = 0; i < looks; i++) {
        const uint64_t end = (i + 1) * n / looks, weight = end - begin;
        row = ff_ring_row(ring, first + end - 1);
        const int64_t recv_ns = time_at(row, offsetof(ff_tick, recv_ns));
        const int64_t gateway_ns = time_at(row, offsetof(ff_tick, gateway_ns));
        begin = end;
        if (FF_UNLIKELY(recv_ns <= 0))
            continue;
        ff_histogram_add(&meter->receive_to_publish, now - recv_ns, weight);
        if (gateway_ns > 0 && (row[flags_at[stream]] & NOT_LIVE) == 0)
            ff_histogram_add(&meter->gateway_to_receive, recv_ns - gateway_ns, weight);
    }
    ff_count_up(&meter->rows, n);
    if (row != NULL)
        atomic_store_explicit(&meter->last_recv_ns, time_at(row, offsetof(ff_tick, recv_ns)),
                              memory_order_relaxed);
}

unsigned ff_sink_publish(ff_sink *sink) {
    const unsigned dirty = sink->dirty;
    ff_meter *meter = sink->meter;
    uint64_t first[FF_STREAMS];
    const int64_t now = meter != NULL && dirty != 0 ? ff_clock_ns(CLOCK_REALTIME) : 0;
    for (unsigned left = dirty; left != 0; left &= left - 1) {
        const int stream = __builtin_ctz(left);
        ff_ring *ring = sink->rings[stream];
        first[stream] = ff_ring_published(ring);
        ff_ring_stamp(ring, now);
        ff_ring_publish(ring);
    }
    /* Afterwards: readers do not wait for it. */
    for (unsigned left = meter != NULL ? dirty : 0; left != 0; left &= left - 1) {
        const int stream = __builtin_ctz(left);
        measure(meter, (ff_stream)stream, sink->rings[stream], first[stream], now);
    }
    sink->dirty = 0;
    sink->full = false;
    return dirty;
}
