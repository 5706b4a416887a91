/* SHA-1 (FIPS 180-4), for the checksum in OpenD's packet header. Not for anything secret. */
#ifndef FASTFEED_SHA1_H
#define FASTFEED_SHA1_H

#include <stddef.h>
#include <stdint.h>

/* Writes the SHA-1 of `len` bytes at `data` to `out`. `data` may be NULL when `len` is 0. */
void ff_sha1(const uint8_t *data, size_t len, uint8_t out[20]);

#endif
