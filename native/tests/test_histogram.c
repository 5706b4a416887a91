#include "fastfeed/histogram.h"

#include <math.h>
#include <string.h>

#include "check.h"

enum { LAST = FF_HISTOGRAM_BUCKETS - 1 };

/* Every bucket begins where the one before it ends, and knows both of its ends. */
static void test_boundaries(void) {
    CHECK_EQ(ff_histogram_floor(0), 0);
    CHECK_EQ(ff_histogram_floor(LAST), 1ll << FF_HISTOGRAM_BITS);
    for (unsigned i = 0; i < FF_HISTOGRAM_BUCKETS; i++) {
        uint64_t first = ff_histogram_floor(i);
        CHECK_EQ(ff_histogram_bucket(first), i);
        if (i == LAST)
            break;
        uint64_t last = ff_histogram_floor(i + 1) - 1;
        CHECK(last >= first);
        CHECK_EQ(ff_histogram_bucket(last), i);
        CHECK(last - first + 1 <= 1 || (last - first + 1) * 16 <= first);
    }
    CHECK_EQ(ff_histogram_bucket(UINT64_MAX), LAST);
    CHECK_EQ(ff_histogram_bucket(INT64_MAX), LAST);
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static const double parts[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};

static void check_percentiles(const ff_counts *counts, int64_t *sorted, size_t n) {
    qsort(sorted, n, sizeof *sorted, by_size);
    CHECK_EQ(counts->count, n);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        double want = ceil(parts[i] * (double)n);
        int64_t exact = sorted[want < 1 ? 0 : (size_t)want - 1];
        int64_t got = ff_counts_percentile(counts, parts[i]);
        CHECK(llabs(got - exact) * 32 <= exact);
        if (exact < 32)
            CHECK_EQ(got, exact);
    }
}

/* How many took no longer, and how long all together, both to a thirty-second. */
static void check_sums(const ff_counts *counts, const int64_t *sorted, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)sorted[i];
    CHECK(fabs(ff_counts_sum_ns(counts) - sum) * 32 <= sum);
    CHECK_EQ(ff_counts_up_to(counts, -1), 0);
    CHECK_EQ(ff_counts_up_to(counts, INT64_MAX), n);
    uint64_t before = 0;
    for (int64_t bound = 1; bound <= sorted[n - 1]; bound += bound / 3 + 1) {
        size_t least = 0, most = 0;
        for (size_t i = 0; i < n; i++) {
            least += sorted[i] + sorted[i] / 31 <= bound;
            most += sorted[i] - sorted[i] / 31 <= bound;
        }
        uint64_t found = ff_counts_up_to(counts, bound);
        CHECK(least <= found && found <= most && before <= found);
        before = found;
    }
}

static void test_percentiles(void) {
    enum { MOST = 20000 };
    static int64_t values[MOST];
    static ff_histogram histogram;
    static ff_counts counts, earlier;
    uint64_t random = 3;
    for (unsigned width = 1; width <= FF_HISTOGRAM_BITS; width++) {
        for (size_t n = 1; n <= MOST; n *= 20) {
            memset((void *)&histogram, 0, sizeof histogram);
            int64_t most = 0;
            for (size_t i = 0; i < n; i++) {
                values[i] = (int64_t)(next_random(&random) >> (64 - width));
                most = values[i] > most ? values[i] : most;
                ff_histogram_add(&histogram, values[i], 1);
            }
            ff_histogram_read(&histogram, &counts);
            CHECK_EQ(counts.max_ns, most);
            CHECK_EQ(counts.negative, 0);
            check_percentiles(&counts, values, n);
            check_sums(&counts, values, n);

            /* The same again, apart from what was there. */
            ff_histogram_read(&histogram, &earlier);
            ff_histogram_add(&histogram, INT64_MAX, 3);
            for (size_t i = 0; i < n; i++)
                ff_histogram_add(&histogram, values[i], 1);
            ff_histogram_add(&histogram, -1, 2);
            ff_histogram_read(&histogram, &counts);
            ff_counts_subtract(&counts, &earlier);
            CHECK_EQ(counts.count, n + 3);
            CHECK_EQ(counts.negative, 2);
            CHECK_EQ(counts.max_ns, INT64_MAX);
            CHECK_EQ(ff_counts_percentile(&counts, 1), INT64_MAX);
            CHECK_EQ(counts.buckets[LAST], 3);

            ff_counts_add(&counts, &earlier);
            CHECK_EQ(counts.count, 2 * n + 3);
            CHECK_EQ(counts.negative, 2);
            if (width < FF_HISTOGRAM_BITS)
                CHECK_EQ(ff_counts_up_to(&counts, values[n - 1] * 2), 2 * n);
            CHECK(ff_counts_sum_ns(&counts) >= 3 * ldexp(1, FF_HISTOGRAM_BITS));
        }
    }
}

static void test_weights(void) {
    static ff_histogram histogram;
    static ff_counts counts, earlier;
    ff_histogram_read(&histogram, &counts);
    CHECK_EQ(ff_counts_percentile(&counts, 0.5), -1);
    ff_histogram_add(&histogram, 10, 98);
    ff_histogram_add(&histogram, 1000000, 1);
    ff_histogram_add(&histogram, 20, 1);
    ff_histogram_read(&histogram, &counts);
    CHECK_EQ(counts.count, 100);
    CHECK_EQ(ff_counts_percentile(&counts, 0.98), 10);
    CHECK_EQ(ff_counts_percentile(&counts, 0.99), 20);
    CHECK_EQ(ff_counts_percentile(&counts, 1), 1000000 - 1000000 % 32768 + 16383);
    CHECK_EQ(ff_counts_percentile(&counts, -0.1), -1);
    CHECK_EQ(ff_counts_percentile(&counts, 1.1), -1);
    CHECK_EQ(ff_counts_percentile(&counts, NAN), -1);

    /* The longest of a part is known as well as its bucket is wide. */
    earlier = counts;
    ff_histogram_add(&histogram, 1000, 1);
    ff_histogram_read(&histogram, &counts);
    ff_counts_subtract(&counts, &earlier);
    CHECK_EQ(counts.count, 1);
    CHECK_EQ(counts.max_ns, 1023);
    CHECK_EQ(ff_counts_percentile(&counts, 0.5), 1007);

    /* Of a histogram that began again nothing is negative. */
    ff_counts_subtract(&earlier, &counts);
    ff_counts_subtract(&counts, &earlier);
    CHECK_EQ(counts.negative, 0);
    CHECK(counts.count <= 1);
}

int main(void) {
    test_boundaries();
    test_percentiles();
    test_weights();
    return 0;
}
