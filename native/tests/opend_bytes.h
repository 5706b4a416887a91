#ifndef FASTFEED_TESTS_OPEND_BYTES_H
#define FASTFEED_TESTS_OPEND_BYTES_H

/* A writer of protobuf and of OpenD packets, for tests and for the seeds of the fuzz targets.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fastfeed/sha1.h"

typedef struct bytes {
    uint8_t *data;
    size_t length;
    size_t size;
} bytes;

static inline void put(bytes *b, const void *data, size_t length) {
    if (b->length + length > b->size) {
        b->size = 2 * (b->length + length);
        b->data = realloc(b->data, b->size);
        if (b->data == NULL)
            abort();
    }
    if (length > 0)
        memcpy(b->data + b->length, data, length);
    b->length += length;
}

static inline void put_bytes(bytes *b, bytes *from) { /* and free them */
    put(b, from->data, from->length);
    free(from->data);
    *from = (bytes){0};
}

static inline void put_u8(bytes *b, unsigned v) {
    uint8_t byte = (uint8_t)v;
    put(b, &byte, 1);
}

static inline void put_varint(bytes *b, uint64_t v) {
    while (v >= 0x80) {
        put_u8(b, (unsigned)(v & 0x7f) | 0x80);
        v >>= 7;
    }
    put_u8(b, (unsigned)v);
}

static inline void put_int(bytes *b, uint32_t field, int64_t v) {
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, (uint64_t)v);
}

static inline void put_double(bytes *b, uint32_t field, double v) {
    put_varint(b, (uint64_t)field << 3 | 1);
    put(b, &v, sizeof v);
}

static inline void put_text(bytes *b, uint32_t field, const void *text, size_t length) {
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, length);
    put(b, text, length);
}

static inline void put_message(bytes *b, uint32_t field, bytes *message) { /* and free it */
    put_text(b, field, message->data, message->length);
    free(message->data);
    *message = (bytes){0};
}

/* One ticker, all fields in order; its numbers follow from `number`. */
static inline void put_ticker_fields(bytes *b, int64_t number) {
    double price = 310.2 + 0.01 * (double)number;
    put_text(b, 1, "2023-11-15 09:00:00.123", 23);
    put_int(b, 2, ((int64_t)1700010000 << 32) + number);
    put_int(b, 3, 1 + number % 3);
    put_double(b, 4, price);
    put_int(b, 5, 100);
    put_double(b, 6, price * 100);
    put_double(b, 7, 1700010000.25);
    put_int(b, 8, 1);
    put_int(b, 9, 32);
    put_int(b, 10, 1);
    put_double(b, 11, 1700010000.123);
    put_double(b, 12, 100.5);
}

static inline void put_security(bytes *b, uint32_t field, int64_t market, const void *code,
                                size_t length) {
    bytes security = {0};
    put_int(&security, 1, market);
    put_text(&security, 2, code, length);
    put_message(b, field, &security);
}

/* A push of `rows` trades of one security, as OpenD writes it. */
static inline void put_push(bytes *b, int64_t market, const char *code, size_t rows,
                            int64_t number) {
    bytes s2c = {0};
    put_security(&s2c, 1, market, code, strlen(code));
    for (size_t i = 0; i < rows; i++) {
        bytes ticker = {0};
        put_ticker_fields(&ticker, number + (int64_t)i);
        put_message(&s2c, 2, &ticker);
    }
    put_text(&s2c, 3, "a name", 6);
    put_int(b, 1, 0);
    put_message(b, 4, &s2c);
}

/* The other messages, all fields in order; their numbers follow from `number`. */
static inline void put_bar_fields(bytes *b, int64_t number) {
    put_text(b, 1, "2023-11-15 09:05:00", 19);
    put_int(b, 2, 0);
    for (uint32_t field = 3; field <= 7; field++)
        put_double(b, field, 100 + field + (double)number);
    put_int(b, 8, 1000 + number);
    for (uint32_t field = 9; field <= 12; field++)
        put_double(b, field, 1.5 * field);
    put_double(b, 13, 1700010300);
    put_double(b, 14, 1000.5 + (double)number);
}

static inline void put_point_fields(bytes *b, int64_t number) {
    put_text(b, 1, "2023-11-15 09:05:00", 19);
    put_int(b, 2, 545);
    put_int(b, 3, 0);
    put_double(b, 4, 310.2 + (double)number);
    put_double(b, 5, 300);
    put_double(b, 6, 309.5);
    put_int(b, 7, 100000);
    put_double(b, 8, 31020000);
    put_double(b, 9, 1700010300);
    put_double(b, 10, 100000.25);
}

static inline void put_level_fields(bytes *b, int64_t number, size_t details) {
    put_double(b, 1, 310.2 + 0.2 * (double)number);
    put_int(b, 2, 100 * number);
    put_int(b, 3, 1 + number);
    for (size_t i = 0; i < details; i++) {
        bytes detail = {0};
        put_int(&detail, 1, (int64_t)i - 5);
        put_int(&detail, 2, 100);
        put_message(b, 4, &detail);
    }
    put_double(b, 5, 100.5 * (double)number);
}

static inline void put_broker_fields(bytes *b, int64_t number, bool order) {
    put_int(b, 1, number);
    put_text(b, 2, "Some Broker Ltd", 15);
    put_int(b, 3, 1 + number % 10);
    if (order) {
        put_int(b, 4, -number);
        put_int(b, 5, 400);
    }
}

static inline void put_session(bytes *b, uint32_t field, int64_t number) {
    bytes block = {0};
    put_double(&block, 1, 311.5 + (double)number);
    put_double(&block, 2, 312);
    put_double(&block, 3, 309);
    put_int(&block, 4, 123456);
    put_double(&block, 5, 38000000);
    put_double(&block, 6, -1.25);
    put_double(&block, 7, -0.4);
    put_double(&block, 8, 0.9);
    put_message(b, field, &block);
}

enum { QUOTE_SESSIONS = 1, QUOTE_OPTION = 2, QUOTE_FUTURE = 4, QUOTE_WARRANT = 8 };

static inline void put_quote_fields(bytes *b, int64_t market, const char *code, int64_t number,
                                    unsigned with) {
    bytes block = {0};
    put_security(b, 1, market, code, strlen(code));
    put_int(b, 2, 0);
    put_text(b, 3, "2004-06-16", 10);
    put_double(b, 4, 0.2);
    put_text(b, 5, "2023-11-15 09:00:00.123", 23);
    for (uint32_t field = 6; field <= 10; field++)
        put_double(b, field, 300 + field + (double)number);
    put_int(b, 11, 1234567);
    for (uint32_t field = 12; field <= 14; field++)
        put_double(b, field, 1.5 * field);
    put_int(b, 15, 0);
    if (with & QUOTE_OPTION) {
        for (uint32_t field = 1; field <= 18; field++) {
            if (field == 2 || field == 3 || field == 11 || field == 12 || field == 15 ||
                field == 18)
                put_int(&block, field, field);
            else
                put_double(&block, field, field + 0.5);
        }
        put_message(b, 16, &block);
    }
    put_double(b, 17, 1087315200);
    put_double(b, 18, 1700010000.123);
    if (with & QUOTE_SESSIONS) {
        put_session(b, 19, 1);
        put_session(b, 20, 2);
    }
    put_int(b, 21, 1);
    if (with & QUOTE_FUTURE) {
        put_double(&block, 1, 3300);
        put_int(&block, 2, 77);
        put_int(&block, 3, -8);
        put_int(&block, 4, 30);
        put_message(b, 22, &block);
    }
    if (with & QUOTE_WARRANT) {
        put_double(&block, 1, 0.5);
        put_double(&block, 2, 40);
        put_double(&block, 3, 7.5);
        put_message(b, 23, &block);
    }
    put_text(b, 24, "a name", 6);
    if (with & QUOTE_SESSIONS)
        put_session(b, 25, 3);
    put_double(b, 26, 1234567.5);
}

/* The end of the S2C of a book. */
static inline void put_book_end(bytes *b, int64_t type) {
    put_text(b, 4, "2023-11-15 09:00:00.123", 23);
    put_double(b, 5, 1700010000.123);
    put_text(b, 6, "2023-11-15 09:00:00.456", 23);
    put_double(b, 7, 1700010000.456);
    put_text(b, 8, "a name", 6);
    put_int(b, 9, type);
}

/* A push (retType, s2c) or a reply (retMsg and errCode, too) around an S2C. */
static inline void put_body(bytes *b, bool reply, bytes *s2c) {
    put_int(b, 1, 0);
    if (reply) {
        put_text(b, 2, "", 0);
        put_int(b, 3, 0);
    }
    put_message(b, 4, s2c);
}

/* A packet around a body. */
static inline void put_packet(bytes *b, uint32_t proto_id, uint32_t serial, const void *body,
                              size_t length) {
    uint8_t header[44] = "FT";
    uint32_t body_length = (uint32_t)length;
    memcpy(header + 2, &proto_id, 4);
    memcpy(header + 8, &serial, 4);
    memcpy(header + 12, &body_length, 4);
    ff_sha1(body, length, header + 16);
    put(b, header, sizeof header);
    put(b, body, length);
}

static inline void put_packet_of(bytes *b, uint32_t proto_id, uint32_t serial, bytes *body) {
    put_packet(b, proto_id, serial, body->data, body->length);
    free(body->data);
    *body = (bytes){0};
}

#endif
