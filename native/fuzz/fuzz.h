#ifndef FASTFEED_FUZZ_H
#define FASTFEED_FUZZ_H

/* What a target has: the function that libFuzzer calls, and inputs to begin with. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "opend_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* Append seed `number` (0, 1, 2, ...) to *seed. Returns false when there is none. */
bool fuzz_seed(size_t number, bytes *seed);

static inline void check_same(const bytes *a, const bytes *b) {
    CHECK(a->length == b->length);
    CHECK(a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

#endif
