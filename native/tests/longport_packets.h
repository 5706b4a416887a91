#ifndef FASTFEED_TESTS_LONGPORT_PACKETS_H
#define FASTFEED_TESTS_LONGPORT_PACKETS_H

/* Packets of LongPort's gateway, as documents and clients of the vendor have them, and a
 * writer of their heads. */

#include "check.h"
#include "fastfeed/longport.h"
#include "websocket_bytes.h"

#define RECV_NS INT64_C(1785204916000000000)

typedef struct longport_body {
    unsigned command;
    size_t length;
    const char *bytes;
} longport_body;

/* 700.HK: a quote, a book with an empty level, a broker queue, a trade, and two trades. */
static const longport_body longport_bodies[] = {
    {101, 68,
     "\x0a\x06"
     "700.HK\x10\xe0\xc0\x81\xe3\xb6\xcc\xa4\xf1\x17\x1a\x07"
     "382.400\x38\xd3\xc5\xd7"
     "\xb4\x06\x40\x98\x81\xcc\x02\x4a\x0e"
     "2092133598.130\x60\xc8\x01\x6a\x09"
     "76480.000"},
    {102, 42,
     "\x0a\x06"
     "700.HK\x10\x67\x1a\x0d\x08\x01\x12\x05"
     "338.4\x18\x64\x20\x01\x1a\x02\x08\x02\x22"
     "\x0b\x08\x01\x12\x05"
     "338.2\x18\x05"},
    {103, 20,
     "\x0a\x06"
     "700.HK\x10\x67\x1a\x08\x08\x01\x12\x04\xbe\x39\xe1\x46"},
    {104, 29,
     "\x0a\x06"
     "700.HK\x10\x67\x1a\x11\x0a\x05"
     "338.4\x10\x03\x18\xb5\x8f\xa8\x93\x06\x28\x02"},
    {104, 44,
     "\x0a\x06"
     "700.HK\x10\x68\x1a\x11\x0a\x05"
     "338.4\x10\x03\x18\xb5\x8f\xa8\x93\x06\x28\x02"
     "\x1a\x0d\x0a\x03"
     "338\x10\x07\x18\xb5\x8f\xa8\x93\x06"},
};

enum { LONGPORT_BODIES = sizeof longport_bodies / sizeof *longport_bodies };

static inline void put_big(bytes *b, uint32_t value, unsigned count) {
    while (count-- > 0)
        put_u8(b, value >> 8 * count & 0xff);
}

/* A packet; `first` is the type and its flags. */
static inline void put_longport(bytes *b, unsigned first, unsigned command,
                                uint32_t request_id, unsigned status, const void *body,
                                size_t length) {
    put_u8(b, first);
    put_u8(b, command);
    if ((first & 0x0f) != FF_LONGPORT_PUSH)
        put_big(b, request_id, 4);
    if ((first & 0x0f) == FF_LONGPORT_REQUEST)
        put_big(b, 5000, 2);
    if ((first & 0x0f) == FF_LONGPORT_RESPONSE)
        put_u8(b, status);
    put_big(b, (uint32_t)length, 3);
    put(b, body, length);
    if ((first & 0x10) != 0)
        put(b, "nonce 8 signature of 16.", FF_LONGPORT_SIGNATURE);
}

static inline void put_longport_push(bytes *b, size_t number) {
    const longport_body *body = &longport_bodies[number];
    put_longport(b, FF_LONGPORT_PUSH, body->command, 0, 0, body->bytes, body->length);
}

#endif
