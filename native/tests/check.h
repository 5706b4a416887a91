#ifndef FASTFEED_TESTS_CHECK_H
#define FASTFEED_TESTS_CHECK_H

/* Assertions that hold in every build: assert() is gone in a Release one. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                      \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);           \
            abort();                                                                          \
        }                                                                                     \
    } while (0)

/* Equality of integers, with both sides printed. */
#define CHECK_EQ(got, want)                                                                   \
    do {                                                                                      \
        long long got_ = (long long)(got), want_ = (long long)(want);                         \
        if (got_ != want_) {                                                                  \
            fprintf(stderr, "%s:%d: failed: %s: expected %lld, got %lld\n", __FILE__,         \
                    __LINE__, #got, want_, got_);                                             \
            abort();                                                                          \
        }                                                                                     \
    } while (0)

/* A copy of bytes in memory of just that size, so that AddressSanitizer sees a read behind
 * them. Not inlined, so that the compiler knows nothing of it. The caller frees it. */
__attribute__((noinline, unused)) static void *exact_copy(const void *bytes, size_t length) {
    unsigned char *copy = malloc(length > 0 ? length : 1);
    CHECK(copy != NULL);
    for (size_t i = 0; i < length; i++)
        copy[i] = ((const unsigned char *)bytes)[i];
    return copy;
}

/* xorshift64*: the same numbers in every run. */
static inline uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

#endif
