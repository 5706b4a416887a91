#ifndef FASTFEED_HISTOGRAM_H
#define FASTFEED_HISTOGRAM_H

/* How long something took, many times: counts by length. One writer; anybody may read while it
 * writes, also in another process.
 *
 * Buckets are log-linear: lengths below 32 ns have one each, and from there on every power of
 * two is cut into 16 equal ones, so that a bucket is at most a sixteenth as wide as what it
 * holds is long. What takes 2^40 ns (18 minutes) or more is counted in the last one. */

#include <stdatomic.h>
#include <stdint.h>

#include "fastfeed/status.h"

enum {
    FF_HISTOGRAM_STEPS = 16,
    FF_HISTOGRAM_STEP_BITS = 4,
    FF_HISTOGRAM_BITS = 40,
    FF_HISTOGRAM_BUCKETS = (FF_HISTOGRAM_BITS - FF_HISTOGRAM_STEP_BITS + 1) *
            FF_HISTOGRAM_STEPS +
        1,
};

typedef struct ff_histogram {
    _Atomic int64_t max_ns;
    _Atomic uint64_t negative; /* clocks disagree; in no bucket */
    _Atomic uint64_t buckets[FF_HISTOGRAM_BUCKETS];
    uint64_t _reserved[5];
} ff_histogram;

_Static_assert(sizeof(ff_histogram) == 4800, "a histogram is whole cache lines");

/* What a histogram held at one moment. */
typedef struct ff_counts {
    uint64_t count; /* of all buckets together */
    uint64_t negative;
    int64_t max_ns;
    uint64_t buckets[FF_HISTOGRAM_BUCKETS];
} ff_counts;

/* The bucket of a length of 0 or more. */
static inline unsigned ff_histogram_bucket(uint64_t ns) {
    if (ns < FF_HISTOGRAM_STEPS)
        return (unsigned)ns;
    if (FF_UNLIKELY(ns >> FF_HISTOGRAM_BITS != 0))
        return FF_HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - FF_HISTOGRAM_STEP_BITS;
    return shift * FF_HISTOGRAM_STEPS + (unsigned)(ns >> shift);
}

/* The shortest length of a bucket; that of the one behind the last is what would follow. */
static inline uint64_t ff_histogram_floor(unsigned bucket) {
    if (bucket < 2 * FF_HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = bucket / FF_HISTOGRAM_STEPS - 1;
    return (uint64_t)(FF_HISTOGRAM_STEPS + bucket % FF_HISTOGRAM_STEPS) << shift;
}

/* Plain loads and stores where there is one writer. */
static inline void ff_count_up(_Atomic uint64_t *counter, uint64_t n) {
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + n, memory_order_relaxed);
}

/* Count something that took so long, `weight` times. */
static inline void ff_histogram_add(ff_histogram *h, int64_t ns, uint64_t weight) {
    if (FF_UNLIKELY(ns < 0)) {
        ff_count_up(&h->negative, weight);
        return;
    }
    if (FF_UNLIKELY(ns > atomic_load_explicit(&h->max_ns, memory_order_relaxed)))
        atomic_store_explicit(&h->max_ns, ns, memory_order_relaxed);
    ff_count_up(&h->buckets[ff_histogram_bucket((uint64_t)ns)], weight);
}

/* Copy what is there. */
void ff_histogram_read(const ff_histogram *h, ff_counts *counts);

/* Take away what was there earlier, so that what came since is left. Its longest is then known
 * as well as its bucket is wide. */
void ff_counts_subtract(ff_counts *counts, const ff_counts *earlier);

/* Add what another one held. */
void ff_counts_add(ff_counts *counts, const ff_counts *other);

/* How many took no longer than a length of 0 or more. A bucket counts as a whole, as its
 * middle: the length is at most a thirty-second off. */
uint64_t ff_counts_up_to(const ff_counts *counts, int64_t length_ns);

/* How long all took together, each as the middle of its bucket; what is in the last one as the
 * shortest there. */
double ff_counts_sum_ns(const ff_counts *counts);

/* The shortest length such that at least the part q (0 to 1) of all took no longer: the middle
 * of its bucket, so at most a thirty-second off. -1 where nothing was counted. */
int64_t ff_counts_percentile(const ff_counts *counts, double q);

#endif
