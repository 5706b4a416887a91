#ifndef FASTFEED_LONGPORT_H
#define FASTFEED_LONGPORT_H

/* LongPort's machine for one connection: received bytes in, rows into the rings of the
 * streams, other packets to the session.
 *
 * Bytes are received into its window; ff_longport_process() works through them. They are a
 * stream of packets or, over WebSocket, of messages that hold whole packets: usually one, more
 * are taken as well. Before the WebSocket handshake is done they are the session's as they
 * come.
 *
 * Bodies that are compressed are given away, to be decompressed by who has a library for it,
 * and come back through ff_longport_take(). Signatures are passed over: nobody outside knows
 * how they are made. */

#include <stdbool.h>

#include "fastfeed/longport_decoder.h"
#include "fastfeed/machine.h"
#include "fastfeed/order.h"
#include "fastfeed/websocket.h"

enum {
    FF_LONGPORT_REQUEST = 1, /* types of packets */
    FF_LONGPORT_RESPONSE = 2,
    FF_LONGPORT_PUSH = 3,
    FF_LONGPORT_MAX_HEAD = 11,            /* bytes before the body */
    FF_LONGPORT_MAX_BODY = (1 << 24) - 1, /* compressed or not: what a length can say */
    FF_LONGPORT_SIGNATURE = 8 + 16,       /* bytes behind the body, of a packet that has one */
};

typedef struct ff_longport_counters {
    uint64_t bytes;                /* received and consumed */
    uint64_t packets;              /* complete ones, good or bad */
    uint64_t messages;             /* of WebSocket, and control frames */
    uint64_t frames;               /* packets and control frames handed to the session */
    uint64_t zipped;               /* packets that were compressed */
    uint64_t ignored;              /* pushes that nobody listens to */
    uint64_t rejected[FF_REASONS]; /* packets and messages, by reason */
} ff_longport_counters;

typedef struct ff_longport {
    ff_window window;
    ff_sink sink;
    ff_ws ws;
    bool framed;   /* by WebSocket */
    bool upgraded; /* its handshake is done */
    size_t max_body;
    int failed;    /* a negative reason once the framing of a stream of packets is lost */
    size_t inside; /* bytes of the present message that are still to be worked through */
    const uint8_t *apart; /* where they are; NULL: at the beginning of what is in the window */
    ff_order *order;      /* of the ticks; NULL: as they come */
    ff_longport_decoder decoder;
    ff_longport_counters counters;
} ff_longport;

/* Prepare a machine that listens to nothing yet. Returns 0 or -FF_ENOMEM. */
int ff_longport_init(ff_longport *m, size_t window_bytes, size_t max_body, size_t depth,
                     ff_symbols *symbols);
void ff_longport_free(ff_longport *m);

/* Forget the stream, and what the pushes said so far, for a new connection; counters stay. */
void ff_longport_reset(ff_longport *m, bool framed);

/* Work through the window, see ff_step. The kind of a packet is its command, that of a frame
 * its opcode. */
int ff_longport_process(ff_longport *m, ff_frame *frame);

/* The same as an ff_step. */
int ff_longport_step(void *machine, ff_frame *frame);

/* Take a packet whose body is not compressed, or no longer. Returns 0, FF_PACKET or FF_HELD as
 * above, or a negative reason, which is counted. */
int ff_longport_take(ff_longport *m, ff_frame *packet);

/* Work through one message without its frame, while the window is empty: call
 * ff_longport_process() after it. The bytes have to stay until that returns
 * FF_NEED_MORE. */
static inline void ff_longport_message(ff_longport *m, const uint8_t *data, size_t length) {
    m->apart = data;
    m->inside = length;
    m->upgraded = true;
    m->counters.messages++;
    m->counters.bytes += length;
}

/* Take snapshots of quotes as what is known, see ff_longport_seed_quotes(), and keep the rows
 * that they become as the latest ones; the caller writes them. Returns 0 or -FF_ENOMEM. */
int ff_longport_seed(ff_longport *m, ff_quote *rows, size_t n);

#endif
