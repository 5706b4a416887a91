#include "fastfeed/histogram.h"

#include <math.h>

enum { LAST = FF_HISTOGRAM_BUCKETS - 1 };

void ff_histogram_read(const ff_histogram *h, ff_counts *counts) {
    unsigned highest = 0;
    counts->count = 0;
    for (unsigned i = 0; i < FF_HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        counts->buckets[i] = n;
        counts->count += n;
        if (n > 0)
            highest = i;
    }
    counts->negative = atomic_load_explicit(&h->negative, memory_order_relaxed);
    counts->max_ns = atomic_load_explicit(&h->max_ns, memory_order_relaxed);
    /* The bucket may have been seen before the maximum. */
    if (counts->max_ns < (int64_t)ff_histogram_floor(highest))
        counts->max_ns = (int64_t)ff_histogram_floor(highest);
}

void ff_counts_subtract(ff_counts *counts, const ff_counts *earlier) {
    int64_t most = 0;
    counts->count = 0;
    for (unsigned i = 0; i < FF_HISTOGRAM_BUCKETS; i++) {
        uint64_t before = earlier->buckets[i];
        uint64_t n = counts->buckets[i] > before ? counts->buckets[i] - before : 0;
        counts->buckets[i] = n;
        counts->count += n;
        if (n > 0)
            most = i == LAST ? INT64_MAX : (int64_t)ff_histogram_floor(i + 1) - 1;
    }
    counts->negative -=
        counts->negative > earlier->negative ? earlier->negative : counts->negative;
    if (counts->max_ns > most)
        counts->max_ns = most;
}

int64_t ff_counts_percentile(const ff_counts *counts, double q) {
    if (counts->count == 0 || !(q >= 0 && q <= 1))
        return -1;
    double want = ceil(q * (double)counts->count);
    uint64_t rank = want < 1 ? 1 : (uint64_t)want, seen = 0;
    for (unsigned i = 0; i < LAST; i++) {
        seen += counts->buckets[i];
        if (seen >= rank) {
            uint64_t floor_ns = ff_histogram_floor(i);
            int64_t middle = (int64_t)((floor_ns + ff_histogram_floor(i + 1) - 1) / 2);
            return middle < counts->max_ns ? middle : counts->max_ns;
        }
    }
    return counts->max_ns;
}
