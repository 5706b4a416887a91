#ifndef FASTFEED_TESTS_OPEND_DECODE_H
#define FASTFEED_TESTS_OPEND_DECODE_H

/* All decoders of OpenD's messages behind one function, for tests. */

#include "fastfeed/opend_bars.h"
#include "fastfeed/opend_books.h"
#include "fastfeed/opend_brokers.h"
#include "fastfeed/opend_quotes.h"
#include "fastfeed/opend_ticks.h"
#include "fastfeed/opend_timeshare.h"

#include "check.h"
#include "opend_bytes.h"

typedef enum opend_kind {
    KIND_TICKS,
    KIND_QUOTES,
    KIND_BOOKS,
    KIND_BARS,
    KIND_BARS_REPLY,
    KIND_TIMESHARE,
    KIND_BROKERS,
    KINDS
} opend_kind;

enum { TEST_DEPTH = 5, TEST_KL_TYPE = 6, TEST_REHAB = 1 };

static inline size_t opend_row_size(opend_kind kind) {
    switch (kind) {
    case KIND_TICKS:
        return sizeof(ff_tick);
    case KIND_QUOTES:
        return sizeof(ff_quote);
    case KIND_BOOKS:
        return ff_book_size(TEST_DEPTH);
    case KIND_TIMESHARE:
        return sizeof(ff_timeshare);
    case KIND_BROKERS:
        return sizeof(ff_brokers);
    default:
        return sizeof(ff_bar);
    }
}

static inline int opend_decode(opend_kind kind, ff_opend_decoder *d, const uint8_t *body,
                               size_t length, void *rows, size_t max_rows) {
    switch (kind) {
    case KIND_TICKS:
        return ff_opend_decode_ticks(d, body, length, rows, max_rows);
    case KIND_QUOTES:
        return ff_opend_decode_quotes(d, body, length, rows, max_rows);
    case KIND_BOOKS:
        return ff_opend_decode_book(d, body, length, rows, TEST_DEPTH);
    case KIND_BARS:
        return ff_opend_decode_bars(d, body, length, rows, max_rows);
    case KIND_BARS_REPLY:
        return ff_opend_decode_bars_reply(d, TEST_KL_TYPE, TEST_REHAB, body, length, rows,
                                          max_rows);
    case KIND_TIMESHARE:
        return ff_opend_decode_timeshare(d, body, length, rows, max_rows);
    default:
        return ff_opend_decode_brokers(d, body, length, rows);
    }
}

/* A body of a kind with all fields, as OpenD sends it. */
static inline void put_kind(bytes *b, opend_kind kind, bool reply, size_t elements) {
    static const char *const codes[] = {"AAPL", "MSFT"};
    bytes s2c = {0};
    uint32_t field = 2;
    if (kind == KIND_BARS) {
        put_int(&s2c, 1, 1);
        put_int(&s2c, 2, 6);
        put_security(&s2c, 3, 11, "AAPL", 4);
        field = 4;
    } else if (kind != KIND_QUOTES) {
        put_security(&s2c, 1, 11, "AAPL", 4);
    }
    for (size_t i = 0; i < elements; i++) {
        bytes element = {0};
        int64_t number = (int64_t)i;
        if (kind == KIND_TICKS)
            put_ticker_fields(&element, number);
        else if (kind == KIND_QUOTES)
            put_quote_fields(&element, 11, codes[i % 2], number, (unsigned)(i % 16));
        else if (kind == KIND_BOOKS)
            put_level_fields(&element, number, i % 3);
        else if (kind == KIND_TIMESHARE)
            put_point_fields(&element, number);
        else if (kind == KIND_BROKERS)
            put_broker_fields(&element, 150 * number, i % 2 == 1);
        else
            put_bar_fields(&element, number);
        if (kind == KIND_BOOKS || kind == KIND_BROKERS)
            field = i < elements / 2 ? 2 : 3;
        put_message(&s2c, kind == KIND_QUOTES ? 1 : field, &element);
    }
    if (kind == KIND_BOOKS)
        put_book_end(&s2c, 1);
    else if (kind != KIND_QUOTES)
        put_text(&s2c, field + 1, "a name", 6);
    put_body(b, reply, &s2c);
}

#endif
