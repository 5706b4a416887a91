#ifndef FASTFEED_TAP_H
#define FASTFEED_TAP_H

/* What a machine received, and whatever else changed its rows, as records on a *tape*: a ring
 * of 64-byte cells that somebody else keeps elsewhere. The same records, given to a machine
 * that is made in the same way, give the same rows.
 *
 * The machines of a feed share a tape; each has a *tap*, which its sink points to. A tap is
 * used by whoever uses the machine, under the same lock, and never waits: who comes to the
 * tape too late finds it overwritten, as with any ring. After each record the tape is
 * published, so what is published ends where a record does.
 *
 * Bytes are recorded when a step has used them up, so that a record begins and ends where
 * packets do (of WebSocket: frames). What a step stopped for is done after that, and what it
 * changes are records of their own. A step may stop in the middle of a WebSocket message with
 * several packets: the message is recorded whole then, and the record says how much of it the
 * step has left.
 *
 * Nothing of a connection is recorded before its handshake is over: there are credentials in
 * it. Where OpenD encrypts, the C step records plain packets: the key is one as well. */

#include <stdbool.h>
#include <string.h>

#include "fastfeed/machine.h"
#include "fastfeed/ring.h"
#include "fastfeed/symbols.h"
#include "fastfeed/window.h"

enum {
    FF_CELL = 64,                /* bytes; records are whole cells */
    FF_TAPE_MOST = 1 << 18,      /* bytes of a record's payload, at most */
    FF_RECORD_MAGIC = 0x43524646 /* "FFRC" */
};

typedef enum ff_record_type {
    FF_RECORD_BYTES = 1, /* whole packets that were used up, but `number` bytes at the end */
    FF_RECORD_SYMBOLS,   /* names with the ids from `number` on, each behind its length */
    FF_RECORD_LISTEN,    /* rows of `stream` are written from now on */
    FF_RECORD_RESET,     /* the machine forgot the stream, for a new connection */
    FF_RECORD_BEGIN,     /* the handshake is over */
    FF_RECORD_ROWS,      /* rows of `stream` that came another way, before they were ordered */
    FF_RECORD_SEED,      /* snapshots of quotes (LongPort) */
    FF_RECORD_HOLD,      /* the ticks of symbols wait, whose ids are the payload */
    FF_RECORD_CHANGE,    /* see the flags, the same */
    FF_RECORD_UNHOLD,    /* they follow, the same */
    FF_RECORD_UNZIP,     /* the compressed packet at the end of the bytes is taken */
    FF_RECORD_EXPECT,    /* symbols are decoded (AllTick), the same */
    FF_RECORD_GAP,       /* of who keeps the tape: he was too slow; a u64 says for how much */
    FF_RECORD_TYPES
} ff_record_type;

enum {
    FF_RECORD_MORE = 1 << 0,   /* BYTES: they go on in the next one of the machine */
    FF_RECORD_FRAMED = 1 << 0, /* RESET: by WebSocket */
    FF_RECORD_SHA1 = 1 << 0,   /* BEGIN: digests are checked */
    FF_RECORD_HOLE = 1 << 0,   /* CHANGE: the next row says that some are missing before it */
    FF_RECORD_ANEW = 1 << 1,   /* CHANGE: sequences begin again */
    FF_RECORD_FORGET = 1 << 0, /* UNHOLD: with what is known of the last ticks */
    FF_RECORD_SIDED = 1 << 0,  /* EXPECT */
    /* Said again, for who begins here: any type but BYTES, ROWS, SEED, UNZIP and GAP. */
    FF_RECORD_AGAIN = 1 << 7,
};

typedef struct ff_record {
    uint32_t magic;
    uint8_t type;
    uint8_t flags;
    uint16_t machine; /* which one of the feed's */
    uint32_t length;  /* of the payload behind this */
    uint32_t number;
    int64_t recv_ns; /* BYTES: the rows have it too; of others when it was */
    uint8_t stream;
    uint8_t _reserved[7];
} ff_record;

_Static_assert(sizeof(ff_record) == 32, "half a cell");

typedef struct ff_tape {
    ff_ring ring; /* of cells */
    const ff_symbols *symbols;
    uint32_t named; /* how many of them are on it */
    size_t most;    /* bytes of a record's payload */
} ff_tape;

typedef struct ff_tap {
    ff_tape *tape;
    uint16_t machine;
    bool on;              /* the handshake is over */
    bool by_packet;       /* the C step records packets itself */
    size_t ahead;         /* bytes behind the window's start that are recorded already */
    size_t left;          /* of the last record */
    const size_t *inside; /* LongPort: bytes of a message half done; NULL: no such thing */
    const uint8_t *const *apart; /* the same, where they do not lie in the window */
    const uint8_t *secret;       /* is not recorded where messages for the session have it */
    size_t secret_length;
} ff_tap;

/* Cells of a record with so many bytes of payload. */
static inline size_t ff_record_cells(size_t length) {
    return (sizeof(ff_record) + length + FF_CELL - 1) / FF_CELL;
}

/* The record at the beginning of `length` bytes. Returns how many bytes it has, 0 when there
 * are none, or -1: there is no whole record. The payload lies behind the 32 bytes of *out. */
ptrdiff_t ff_record_at(const uint8_t *data, size_t length, ff_record *out);

/* Make a tape of at least 1 MiB in private memory, a power of two. Returns 0, or -1 with errno
 * set. */
int ff_tape_init(ff_tape *tape, size_t bytes, const ff_symbols *symbols);
void ff_tape_free(ff_tape *tape);

/* Add a record; with a payload longer than tape->most that is cut into several, in whole
 * `unit`s of bytes. Only magic, machine, length and time are filled in. */
void ff_tap_put(ff_tap *tap, ff_record record, const void *data, size_t length, size_t unit);

/* The same of something that has no payload but a symbol, or none. */
void ff_tap_note(ff_tap *tap, ff_record_type type, uint8_t flags, int stream);
void ff_tap_symbol(ff_tap *tap, ff_record_type type, uint8_t flags, uint32_t symbol);

/* Record what was used up between two places in memory, of which a session gets the end. */
void ff_tap_bytes(ff_tap *tap, const uint8_t *data, size_t length, size_t left,
                  int64_t recv_ns, bool for_session);

/* Record a packet of OpenD's that was encrypted: its header, with the length of the plain
 * body, and that. */
void ff_tap_packet(ff_tap *tap, const uint8_t *header, size_t header_length,
                   size_t length_offset, const uint8_t *body, size_t length, int64_t recv_ns);

/* The stream begins anew: nothing of it is recorded until ff_tap_begin(). */
void ff_tap_reset(ff_tap *tap, bool framed);
void ff_tap_begin(ff_tap *tap, bool check_sha1);

/* Say all symbols again with the next record. */
static inline void ff_tape_name_again(ff_tape *tape) {
    tape->named = 0;
}

/* A step has worked through a window, from `start` on; see ff_status. */
static inline void ff_tap_step(ff_tap *tap, const ff_window *w, size_t start, int64_t recv_ns,
                               int status) {
    if (!tap->on)
        return;
    const size_t from = start + tap->ahead;
    const size_t left = tap->inside != NULL ? *tap->inside : 0;
    const size_t end = w->start + (left > 0 && *tap->apart != NULL ? 0 : left);
    tap->ahead = end - w->start;
    if (!tap->by_packet && (end > from || left != tap->left))
        ff_tap_bytes(tap, w->data + from, end > from ? end - from : 0, left, recv_ns,
                     status > FF_ROWS_FULL);
    if (status < 0) /* what still comes is not looked at */
        tap->on = false;
}

#endif
