#ifndef FASTFEED_TESTS_OPEND_DECODE_H
#define FASTFEED_TESTS_OPEND_DECODE_H

/* All decoders of OpenD's messages behind one function, for tests. */

#include "fastfeed/opend_bars.h"
#include "fastfeed/opend_books.h"
#include "fastfeed/opend_brokers.h"
#include "fastfeed/opend_quotes.h"
#include "fastfeed/opend_ticks.h"
#include "fastfeed/opend_timeshare.h"

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

#endif
