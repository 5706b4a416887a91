#ifndef FASTFEED_UTF8_H
#define FASTFEED_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether these bytes are UTF-8 (RFC 3629): nothing overlong, no surrogates, nothing above
 * U+10FFFF, nothing cut off. `data` may be NULL when `length` is 0. */
bool ff_utf8_valid(const uint8_t *data, size_t length);

#endif
