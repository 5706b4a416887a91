#ifndef FASTFEED_TESTS_LONGPORT_BYTES_H
#define FASTFEED_TESTS_LONGPORT_BYTES_H

/* Bodies of LongPort's pushes and responses, for tests and for the seeds of the fuzz target.
 */

#include "fastfeed/longport_decoder.h"

#include "opend_bytes.h"

enum { LONGPORT_DEPTH_ROWS = 3, LONGPORT_COMMANDS = 11 };

static const uint8_t longport_commands[LONGPORT_COMMANDS] = {101, 102, 103, 104, 11, 14,
                                                             15,  17,  18,  19,  27};

static inline size_t longport_row_size(unsigned command) {
    switch (command) {
    case FF_LONGPORT_QUOTES:
    case FF_LONGPORT_PUSH_QUOTE:
        return sizeof(ff_quote);
    case FF_LONGPORT_DEPTH:
    case FF_LONGPORT_PUSH_DEPTH:
        return ff_book_size(LONGPORT_DEPTH_ROWS);
    case FF_LONGPORT_BROKERS:
    case FF_LONGPORT_PUSH_BROKERS:
        return sizeof(ff_brokers);
    case FF_LONGPORT_TRADES:
    case FF_LONGPORT_PUSH_TRADES:
        return sizeof(ff_tick);
    case FF_LONGPORT_INTRADAY:
        return sizeof(ff_timeshare);
    default:
        return sizeof(ff_bar);
    }
}

static inline void put_string(bytes *b, uint32_t field, const char *text) {
    put_text(b, field, text, strlen(text));
}

static inline void put_trade(bytes *b, const char *price) {
    put_string(b, 1, price);
    put_int(b, 2, 300);
    put_int(b, 3, 1721098963);
    put_string(b, 4, "U");
    put_int(b, 5, 2);
    put_int(b, 6, 1);
}

static inline void put_level(bytes *b, int64_t position, const char *price) {
    put_int(b, 1, position);
    put_string(b, 2, price);
    put_int(b, 3, 10000);
    put_int(b, 4, 7);
}

static inline void put_brokers(bytes *b, int64_t position, bool packed) {
    bytes ids = {0};
    put_int(b, 1, position);
    for (int64_t id = 7358; id < 7361; id++) {
        if (packed)
            put_varint(&ids, (uint64_t)id);
        else
            put_int(b, 2, id);
    }
    if (packed)
        put_message(b, 2, &ids);
    free(ids.data);
}

/* The fields of a quote behind its sequence. */
static inline void put_quote(bytes *b, const char *last) {
    put_string(b, 3, last);
    put_string(b, 4, "381.000");
    put_string(b, 5, "383.200");
    put_string(b, 6, "380.400");
    put_int(b, 7, 1721098963);
    put_int(b, 8, 5439640);
    put_string(b, 9, "2092133598.130");
    put_int(b, 10, 0);
    put_int(b, 11, 0);
    put_int(b, 12, 200);
    put_string(b, 13, "76480.000");
}

static inline void put_security_quote(bytes *b, const char *symbol) {
    put_string(b, 1, symbol);
    for (uint32_t field = 2; field <= 6; field++)
        put_string(b, field, "156.570");
    put_int(b, 7, 1651089600);
    put_int(b, 8, 88063191);
    put_string(b, 9, "13865092584.000");
    for (uint32_t field = 11; field <= 13; field++) {
        bytes session = {0};
        put_string(&session, 1, "158.770");
        put_int(&session, 2, 1651103995);
        put_int(&session, 3, 6188441);
        put_string(&session, 7, "156.570");
        put_message(b, field, &session);
    }
}

/* A body as LongPort writes them. */
static inline void put_longport(bytes *b, unsigned command, const char *symbol,
                                int64_t sequence, unsigned elements) {
    const bool push = command > 100;
    if (command == FF_LONGPORT_QUOTES) {
        for (unsigned i = 0; i < elements; i++) {
            bytes e = {0};
            put_security_quote(&e, symbol);
            put_message(b, 1, &e);
        }
        return;
    }
    put_string(b, 1, symbol);
    if (push)
        put_int(b, 2, sequence);
    if (command == FF_LONGPORT_PUSH_QUOTE) {
        put_quote(b, "382.400");
        return;
    }
    const bool sided = longport_row_size(command) > sizeof(ff_quote);
    const uint32_t field = push ? 3 : 2;
    for (unsigned i = 0; i < elements * (sided ? 2 : 1); i++) {
        const int64_t position = 1 + i % (elements > 0 ? elements : 1);
        bytes e = {0};
        switch (command) {
        case FF_LONGPORT_DEPTH:
        case FF_LONGPORT_PUSH_DEPTH:
            put_level(&e, position, i % 4 == 3 ? "" : "338.400");
            break;
        case FF_LONGPORT_BROKERS:
        case FF_LONGPORT_PUSH_BROKERS:
            put_brokers(&e, position, i % 2 == 0);
            break;
        case FF_LONGPORT_TRADES:
        case FF_LONGPORT_PUSH_TRADES:
            put_trade(&e, i == 5 ? "" : "338.400");
            break;
        case FF_LONGPORT_INTRADAY:
            put_string(&e, 1, "338.400");
            put_int(&e, 2, 1721098920);
            put_int(&e, 3, 500);
            put_string(&e, 4, "169200.000");
            put_string(&e, 5, "338.412345");
            break;
        default:
            for (uint32_t n = 1; n <= 4; n++)
                put_string(&e, n, "338.400");
            put_int(&e, 5, 500);
            put_string(&e, 6, "169200.000");
            put_int(&e, 7, 1721098800);
        }
        put_message(b, field + (sided && i >= elements), &e);
    }
}

#endif
