#ifndef FASTFEED_FUZZ_H
#define FASTFEED_FUZZ_H

/* What a target has: the function that libFuzzer calls, and inputs to begin with. */

#include <stddef.h>
#include <stdint.h>

#include "check.h"
#include "opend_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* Append seed `number` (0, 1, 2, ...) to *seed. Returns false when there is none. */
bool fuzz_seed(size_t number, bytes *seed);

#endif
