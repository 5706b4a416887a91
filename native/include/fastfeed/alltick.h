#ifndef FASTFEED_ALLTICK_H
#define FASTFEED_ALLTICK_H

/* AllTick's machine for one connection: received bytes in, rows into the rings of the streams,
 * other messages to the session.
 *
 * Bytes are received into its window; ff_alltick_process() works through them. Before the
 * WebSocket handshake is done they are the session's as they come. */

#include <stdbool.h>

#include "fastfeed/alltick_decoder.h"
#include "fastfeed/machine.h"
#include "fastfeed/websocket.h"

/* What is known of a symbol's ticks across connections. */
typedef struct ff_alltick_seen {
    uint32_t connection; /* the one that the last tick came from, 0 = none came */
    bool sideless;       /* its `side` says nothing */
    int64_t seq, time_ns;
    double price, volume;
} ff_alltick_seen;

typedef struct ff_alltick_counters {
    uint64_t bytes;                /* received and consumed */
    uint64_t messages;             /* complete ones and control frames, good or bad */
    uint64_t frames;               /* handed to the session */
    uint64_t duplicates;           /* ticks that an earlier connection had delivered */
    uint64_t rejected[FF_REASONS]; /* messages, by reason */
} ff_alltick_counters;

typedef struct ff_alltick {
    ff_window window;
    ff_sink sink;
    ff_ws ws;
    ff_alltick_decoder decoder;
    ff_alltick_seen *seen; /* by symbol */
    size_t seen_size;
    uint32_t connection; /* counted from 1 */
    bool upgraded;       /* the handshake is done */
    ff_alltick_counters counters;
} ff_alltick;

/* Prepare a machine that listens to nothing yet. Returns 0 or -FF_ENOMEM. */
int ff_alltick_init(ff_alltick *m, size_t window_bytes, size_t max_message,
                    ff_symbols *symbols);
void ff_alltick_free(ff_alltick *m);

/* Forget the stream, for a new connection; counters stay. */
void ff_alltick_reset(ff_alltick *m);

/* What is known of a symbol, NULL: no memory. Valid until the next symbol is asked for. */
ff_alltick_seen *ff_alltick_seen_of(ff_alltick *m, uint32_t symbol);

/* Decode one message without framing. Returns 0, FF_FRAME when it is the session's,
 * or a negative reason, which is counted. Rows are written but not published. */
int ff_alltick_take(ff_alltick *m, const uint8_t *data, size_t length);

/* Work through the window, see ff_step. The kind of a frame is its opcode. */
int ff_alltick_process(ff_alltick *m, ff_frame *frame);

/* The same as an ff_step. */
int ff_alltick_step(void *machine, ff_frame *frame);

#endif
