#ifndef FASTFEED_UTF8_H
#define FASTFEED_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the bytes are UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing beyond
 * U+10FFFF, no character cut off at the end. Zero bytes are characters like any other. */
bool ff_utf8_valid(const uint8_t *data, size_t length);

#endif
