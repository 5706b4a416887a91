#ifndef FASTFEED_TESTS_WEBSOCKET_BYTES_H
#define FASTFEED_TESTS_WEBSOCKET_BYTES_H

/* A writer of WebSocket frames as servers send them, for tests and for the seeds of the fuzz
 * target. */

#include "opend_bytes.h"

enum { FIN = 0x80, MORE = 0, MASKED = 0x80 };

/* A header with a length of the given form: 7, 16 or 64 bits. */
static inline void put_header(bytes *b, unsigned first, unsigned bits, uint64_t length) {
    put_u8(b, first);
    put_u8(b, bits == 7 ? (unsigned)length : bits == 16 ? 126 : 127);
    for (unsigned shift = bits == 7 ? 0 : bits; shift > 0; shift -= 8)
        put_u8(b, (unsigned)(length >> (shift - 8)) & 0xff);
}

static inline void put_frame(bytes *b, unsigned first, const void *payload, size_t length) {
    put_header(b, first, length < 126 ? 7 : length < 65536 ? 16 : 64, length);
    put(b, payload, length);
}

static inline void put_frame_text(bytes *b, unsigned first, const char *text) {
    put_frame(b, first, text, strlen(text));
}

/* A frame of `length` bytes that follow from `number`. */
static inline void put_frame_of(bytes *b, unsigned first, size_t length, unsigned number) {
    bytes payload = {0};
    for (size_t i = 0; i < length; i++)
        put_u8(&payload, (unsigned)(i * 31 + number) & 0xff);
    put_frame(b, first, payload.data, length);
    free(payload.data);
}

#endif
