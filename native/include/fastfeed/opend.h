#ifndef FASTFEED_OPEND_H
#define FASTFEED_OPEND_H

/* OpenD's machine for one connection: received bytes in, rows into the rings of the streams,
 * other packets to the session.
 *
 * Bytes are received into its window; ff_opend_process() works through them. What is sent is
 * the session's business. */

#include <stdbool.h>

#include "fastfeed/machine.h"
#include "fastfeed/opend_bars.h"
#include "fastfeed/opend_books.h"
#include "fastfeed/opend_brokers.h"
#include "fastfeed/opend_cipher.h"
#include "fastfeed/opend_quotes.h"
#include "fastfeed/opend_ticks.h"
#include "fastfeed/opend_timeshare.h"
#include "fastfeed/order.h"

enum {
    FF_OPEND_HEADER = 44,        /* bytes of a packet's header */
    FF_OPEND_SHA1_OFFSET = 16,   /* of the body's digest in it */
    FF_OPEND_LENGTH_OFFSET = 12, /* of the body's length in it */
    FF_OPEND_INIT_CONNECT = 1001,
    FF_OPEND_NOTIFY = 1003, /* push: OpenD's events */
    /* Pushes that become rows. */
    FF_OPEND_PUSH_QUOTES = 3005,
    FF_OPEND_PUSH_BARS = 3007,
    FF_OPEND_PUSH_TIMESHARE = 3009,
    FF_OPEND_PUSH_TICKS = 3011,
    FF_OPEND_PUSH_BOOK = 3013,
    FF_OPEND_PUSH_BROKERS = 3015,
    FF_OPEND_PUSH_PRICE_REMINDER = 3019, /* for the session */
};

typedef struct ff_opend_counters {
    uint64_t bytes;                /* received and consumed */
    uint64_t packets;              /* complete packets, good or bad */
    uint64_t frames;               /* packets handed to the session */
    uint64_t ignored;              /* pushes that nobody listens to */
    uint64_t rejected[FF_REASONS]; /* packets, by reason */
} ff_opend_counters;

typedef struct ff_opend {
    ff_window window;
    ff_sink sink;
    size_t max_body;
    bool check_sha1;
    ff_opend_cipher cipher; /* of all packets but InitConnect */
    uint8_t *plain;         /* the body that was decrypted last */
    size_t plain_size;
    int failed;      /* a negative reason once framing is lost */
    ff_order *order; /* of the ticks; NULL: as they come */
    size_t depth;    /* of both streams of books */
    ff_opend_decoder decoder;
    ff_opend_counters counters;
} ff_opend;

/* Prepare a machine that listens to nothing yet. Returns 0 or -FF_ENOMEM. */
int ff_opend_init(ff_opend *m, size_t window_bytes, size_t max_body, ff_symbols *symbols);
void ff_opend_free(ff_opend *m);

/* Forget the stream and its cipher, for a new connection; counters stay. */
void ff_opend_reset(ff_opend *m);

/* How many bytes the packet in the window lacks to be complete or to have its header; 0 when
 * it lacks none. */
static inline size_t ff_opend_missing(const ff_opend *m) {
    const ff_window *w = &m->window;
    const size_t have = w->end - w->start;
    if (have < FF_OPEND_HEADER)
        return FF_OPEND_HEADER - have;
    size_t length =
        FF_OPEND_HEADER + (size_t)ff_load_u32(w->data + w->start + FF_OPEND_LENGTH_OFFSET);
    return have < length ? length - have : 0;
}

/* Work through the window, see ff_step.
 *
 * Of a frame for the session the kind is the protocol id. With a negative reason it is a
 * rejected packet without a body, which may be a reply that somebody waits for. InitConnect is
 * the session's as it is: its encryption is another one, so that only the session can compare
 * the digest. */
int ff_opend_process(ff_opend *m, ff_frame *frame);

/* The same as an ff_step. */
int ff_opend_step(void *machine, ff_frame *frame);

/* The same for bytes that lie elsewhere, while the window is empty; *used says how many were
 * consumed. */
int ff_opend_process_span(ff_opend *m, const uint8_t *data, size_t length, size_t *used,
                          ff_frame *frame);

#endif
