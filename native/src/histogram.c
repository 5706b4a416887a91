#include "fastfeed/histogram.h"

#include <math.h>

enum { LAST = FF_HISTOGRAM_BUCKETS - 1 };

/* Of any bucket but the last. */
static int64_t middle_ns(unsigned bucket) {
    return (int64_t)((ff_histogram_floor(bucket) + ff_histogram_floor(bucket + 1) - 1) / 2);
}

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

void ff_counts_add(ff_counts *counts, const ff_counts *other) {
    for (unsigned i = 0; i < FF_HISTOGRAM_BUCKETS; i++)
        counts->buckets[i] += other->buckets[i];
    counts->count += other->count;
    counts->negative += other->negative;
    if (counts->max_ns < other->max_ns)
        counts->max_ns = other->max_ns;
}

uint64_t ff_counts_up_to(const ff_counts *counts, int64_t length_ns) {
    if (length_ns < 0)
        return 0;
    unsigned end = ff_histogram_bucket((uint64_t)length_ns);
    if (end == LAST || middle_ns(end) <= length_ns)
        end++;
    uint64_t found = 0;
    for (unsigned i = 0; i < end; i++)
        found += counts->buckets[i];
    return found;
}

double ff_counts_sum_ns(const ff_counts *counts) {
    double sum = (double)counts->buckets[LAST] * (double)ff_histogram_floor(LAST);
    for (unsigned i = 0; i < LAST; i++)
        sum += (double)counts->buckets[i] * (double)middle_ns(i);
    return sum;
}

int64_t ff_counts_percentile(const ff_counts *counts, double q) {
    if (counts->count == 0 || !(q >= 0 && q <= 1))
        return -1;
    double want = ceil(q * (double)counts->count);
    uint64_t rank = want < 1 ? 1 : (uint64_t)want, seen = 0;
    for (unsigned i = 0; i < LAST; i++) {
        seen += counts->buckets[i];
        if (seen >= rank) {
            int64_t middle = middle_ns(i);
            return middle < counts->max_ns ? middle : counts->max_ns;
        }
    }
    return counts->max_ns;
}
