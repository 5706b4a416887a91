#ifndef FASTFEED_LONGPORT_DECODER_H
#define FASTFEED_LONGPORT_DECODER_H

/* The decoder of LongPort's pushes and of the responses that have rows: the body's wire bytes
 * (proto3, decimals as texts) to rows.
 *
 * Pushes of quotes, books and brokers say only what has changed. So the decoder keeps what is
 * known, and every row is complete: quotes by symbol and session, never one session mixed into
 * another; books and queues by position.
 *
 * Real bodies are canonical (steps.h). Others go through a walk for any shape that gathers the
 * same values; there is one place for what the values mean. Any order, repeated fields,
 * unknown fields and numbers, packed and unpacked lists are read as the protobuf runtime reads
 * them.
 *
 * A body is decoded completely or not at all. A decimal that is empty, unreadable, not finite
 * or not UTF-8 is missing, never 0. A trade, bar, point or quote without a price gives no row
 * and is counted. */

#include "fastfeed/rows.h"
#include "fastfeed/symbols.h"
#include "fastfeed/table.h"

enum {
    FF_LONGPORT_QUOTES = 11, /* commands of responses */
    FF_LONGPORT_DEPTH = 14,
    FF_LONGPORT_BROKERS = 15,
    FF_LONGPORT_TRADES = 17,
    FF_LONGPORT_INTRADAY = 18,
    FF_LONGPORT_CANDLESTICKS = 19,
    FF_LONGPORT_HISTORY_CANDLESTICKS = 27,
    FF_LONGPORT_PUSH_QUOTE = 101, /* and of pushes */
    FF_LONGPORT_PUSH_DEPTH,
    FF_LONGPORT_PUSH_BROKERS,
    FF_LONGPORT_PUSH_TRADES,
};

/* The space of LongPort's spellings in the symbol table; they are mostly the canonical names.
 */
enum { FF_LONGPORT_SPACE = 2 };

/* What the decoder keeps between bodies. */
typedef struct ff_longport_decoder {
    ff_symbols *symbols;
    int64_t recv_ns; /* goes into every row; the caller sets it */
    size_t depth;    /* levels a side of the rows of books */
    /* Counted of bodies that were decoded, not of those that were rejected. FF_EMISSING and
     * FF_ENOTFINITE: rows left out; FF_EVALUE: levels whose position is below 1, left out;
     * FF_ETIME: rows whose time is unknown. */
    uint64_t dropped[FF_REASONS];
    uint64_t cut_levels; /* pushed levels, and places of queues, that had no room */
    uint64_t old;        /* pushes whose sequence is not above the last one of their kind */
    uint64_t end_of_day; /* pushes of quotes with corrections of the day, left out */
    uint64_t new_days;   /* how often what was known of a quote was of another day */
    ff_table sequences;  /* by symbol: the highest one of each kind of push */
    ff_table quotes;     /* by symbol and session */
    ff_table books;      /* by symbol: the last row */
    ff_table queues;     /* by symbol */
} ff_longport_decoder;

/* Allocates nothing. The table belongs to the caller and outlives the decoder. */
void ff_longport_decoder_init(ff_longport_decoder *d, ff_symbols *symbols, size_t depth);
void ff_longport_decoder_free(ff_longport_decoder *d);

/* A new connection: forget sequences and what was merged. */
void ff_longport_decoder_reset(ff_longport_decoder *d);

/* How many rows a push or a response of that length cannot exceed; 0: it has none. */
size_t ff_longport_max_rows(unsigned command, size_t length);

/* Decode a push into complete rows of its stream: quotes, books, brokers or ticks. Returns how
 * many (0: nothing new), or a negative reason; then nothing has changed, and nothing counts
 * that was written. An unknown symbol gets an id when the push is good. */
int ff_longport_decode_push(ff_longport_decoder *d, unsigned command, const uint8_t *body,
                            size_t length, void *rows, size_t max_rows);

/* The same by the walk for any shape alone. */
int ff_longport_decode_push_any(ff_longport_decoder *d, unsigned command, const uint8_t *body,
                                size_t length, void *rows, size_t max_rows);

/* Decode a response: quotes (11; a row for each session that is there), a book (14), brokers
 * (15), ticks (17), timeshare (18), bars (19 and 27; interval and kind are the caller's, they
 * are not in the body). Keeps nothing. Returns how many rows, or a negative reason. */
int ff_longport_decode_response(ff_longport_decoder *d, unsigned command, const uint8_t *body,
                                size_t length, int32_t interval_s, uint8_t kind, void *rows,
                                size_t max_rows);

/* Take rows that were decoded from 11 as what is known; later pushes are merged into them.
 * Where a push of this connection was not earlier, only what it did not say is filled in, and
 * not from another day. The rows change to what is known now. Returns 0 or -FF_ENOMEM. */
int ff_longport_seed_quotes(ff_longport_decoder *d, ff_quote *rows, size_t n);

#endif
