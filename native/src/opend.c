#include "fastfeed/opend.h"

#include <stdlib.h>

#include "fastfeed/sha1.h"
#include "fastfeed/tap.h"

/* The fewest bytes of a body that can make a row: a ticker is tag, length and a price, a
 * session of a quote may be empty, as may a bar and a point. */
enum { MIN_TICK_BYTES = 11, MIN_QUOTE_BYTES = 3, MIN_BAR_BYTES = 2, MIN_POINT_BYTES = 2 };

int ff_opend_init(ff_opend *m, size_t window_bytes, size_t max_body, ff_symbols *symbols) {
    memset(m, 0, sizeof *m);
    if (ff_window_init(&m->window, window_bytes) < 0)
        return -FF_ENOMEM;
    m->max_body = max_body;
    m->decoder.symbols = symbols;
    return 0;
}

void ff_opend_free(ff_opend *m) {
    ff_window_free(&m->window);
    free(m->plain);
    m->plain = NULL;
    explicit_bzero(&m->cipher, sizeof m->cipher);
}

void ff_opend_reset(ff_opend *m) {
    ff_window_clear(&m->window);
    m->failed = 0;
    explicit_bzero(&m->cipher, sizeof m->cipher);
}

static inline void keep_latest(ff_opend *m, ff_stream stream, size_t place, const void *row) {
    if (FF_UNLIKELY(ff_sink_keep(&m->sink, stream, place, row) < 0))
        m->decoder.dropped[FF_ENOMEM]++;
}

/* The decoding of each kind of push into its ring: 0, a negative reason, or FF_HELD. */

static inline int push_ticks(ff_opend *m, const uint8_t *body, size_t length,
                             ff_frame *frame) {
    uint64_t max_rows = length / MIN_TICK_BYTES + 1;
    ff_tick *rows = ff_sink_claim(&m->sink, FF_STREAM_TICKS, &max_rows);
    int n = ff_opend_decode_ticks(&m->decoder, body, length, rows, max_rows);
    if (FF_UNLIKELY(n < 0))
        return n;
    size_t kept = (size_t)n;
    if (m->order != NULL && n > 0) { /* all of them are of one symbol */
        ff_order_symbol *symbol = ff_order_of(m->order, rows->symbol);
        if (FF_UNLIKELY(symbol == NULL))
            return -FF_ENOMEM;
        if (FF_UNLIKELY(symbol->held)) {
            frame->data = (const uint8_t *)rows;
            frame->length = kept;
            return FF_HELD;
        }
        kept = ff_order_take(m->order, symbol, rows, kept);
    }
    ff_sink_written(&m->sink, FF_STREAM_TICKS, kept);
    return 0;
}

static int push_quotes(ff_opend *m, const uint8_t *body, size_t length) {
    uint64_t max_rows = length / MIN_QUOTE_BYTES + 1;
    ff_quote *rows = ff_sink_claim(&m->sink, FF_STREAM_QUOTES, &max_rows);
    int n = ff_opend_decode_quotes(&m->decoder, body, length, rows, max_rows);
    if (FF_UNLIKELY(n < 0))
        return n;
    for (int i = 0; i < n; i++)
        if (FF_UNLIKELY(ff_sink_keep_quote(&m->sink, &rows[i]) < 0))
            m->decoder.dropped[FF_ENOMEM]++;
    ff_sink_written(&m->sink, FF_STREAM_QUOTES, (uint64_t)n);
    return 0;
}

static int push_book(ff_opend *m, const uint8_t *body, size_t length) {
    ff_stream stream =
        m->sink.rings[FF_STREAM_BOOKS] != NULL ? FF_STREAM_BOOKS : FF_STREAM_ODD_BOOKS;
    ff_book *row = ff_ring_claim(m->sink.rings[stream], 1);
    int n = ff_opend_decode_book(&m->decoder, body, length, row, m->depth);
    if (FF_UNLIKELY(n <= 0))
        return n;
    if (FF_UNLIKELY((row->kind == 1) != (stream == FF_STREAM_ODD_BOOKS))) {
        stream = row->kind == 1 ? FF_STREAM_ODD_BOOKS : FF_STREAM_BOOKS;
        if (m->sink.rings[stream] == NULL) {
            m->counters.ignored++;
            return 0;
        }
        row = memcpy(ff_ring_claim(m->sink.rings[stream], 1), row, ff_book_size(m->depth));
    }
    keep_latest(m, stream, row->symbol, row);
    ff_sink_written(&m->sink, stream, 1);
    return 0;
}

static int push_bars(ff_opend *m, const uint8_t *body, size_t length) {
    uint64_t max_rows = length / MIN_BAR_BYTES + 1;
    ff_bar *rows = ff_sink_claim(&m->sink, FF_STREAM_BARS, &max_rows);
    int n = ff_opend_decode_bars(&m->decoder, body, length, rows, max_rows);
    if (FF_UNLIKELY(n < 0))
        return n;
    ff_sink_written(&m->sink, FF_STREAM_BARS, (uint64_t)n);
    return 0;
}

static int push_timeshare(ff_opend *m, const uint8_t *body, size_t length) {
    uint64_t max_rows = length / MIN_POINT_BYTES + 1;
    ff_timeshare *rows = ff_sink_claim(&m->sink, FF_STREAM_TIMESHARE, &max_rows);
    int n = ff_opend_decode_timeshare(&m->decoder, body, length, rows, max_rows);
    if (FF_UNLIKELY(n < 0))
        return n;
    ff_sink_written(&m->sink, FF_STREAM_TIMESHARE, (uint64_t)n);
    return 0;
}

static int push_brokers(ff_opend *m, const uint8_t *body, size_t length) {
    ff_brokers *row = ff_ring_claim(m->sink.rings[FF_STREAM_BROKERS], 1);
    int n = ff_opend_decode_brokers(&m->decoder, body, length, row);
    if (FF_UNLIKELY(n <= 0))
        return n;
    keep_latest(m, FF_STREAM_BROKERS, row->symbol, row);
    ff_sink_written(&m->sink, FF_STREAM_BROKERS, 1);
    return 0;
}

/* Whether a packet of this id is never a reply: the pushes of the quote side (section 4 of
 * OpenD's protocol). */
static bool is_push(uint32_t proto_id) {
    switch (proto_id) {
    case FF_OPEND_NOTIFY:
    case FF_OPEND_PUSH_QUOTES:
    case FF_OPEND_PUSH_BARS:
    case FF_OPEND_PUSH_TIMESHARE:
    case FF_OPEND_PUSH_TICKS:
    case FF_OPEND_PUSH_BOOK:
    case FF_OPEND_PUSH_BROKERS:
    case FF_OPEND_PUSH_PRICE_REMINDER:
    case 3261: /* indicator */
    case 3310: /* option event */
    case 3450: /* event contracts: book */
    case 3451: /* event contracts: bar */
    case 3452: /* event contracts: ticks */
        return true;
    default:
        return false;
    }
}

enum { NOBODY_LISTENS = 100, NO_ROWS = 101 };

/* As the functions above, NOBODY_LISTENS, or NO_ROWS: a packet for the session. */
static inline int push(ff_opend *m, uint32_t proto_id, const uint8_t *body, size_t length,
                       ff_frame *frame) {
    if (FF_LIKELY(proto_id == FF_OPEND_PUSH_TICKS && m->sink.rings[FF_STREAM_TICKS] != NULL))
        return push_ticks(m, body, length, frame);
    ff_ring *const *rings = m->sink.rings;
    switch (proto_id) {
    case FF_OPEND_PUSH_QUOTES:
        return rings[FF_STREAM_QUOTES] ? push_quotes(m, body, length) : NOBODY_LISTENS;
    case FF_OPEND_PUSH_BARS:
        return rings[FF_STREAM_BARS] ? push_bars(m, body, length) : NOBODY_LISTENS;
    case FF_OPEND_PUSH_TIMESHARE:
        return rings[FF_STREAM_TIMESHARE] ? push_timeshare(m, body, length) : NOBODY_LISTENS;
    case FF_OPEND_PUSH_BOOK:
        return rings[FF_STREAM_BOOKS] || rings[FF_STREAM_ODD_BOOKS]
                   ? push_book(m, body, length)
                   : NOBODY_LISTENS;
    case FF_OPEND_PUSH_BROKERS:
        return rings[FF_STREAM_BROKERS] ? push_brokers(m, body, length) : NOBODY_LISTENS;
    case FF_OPEND_NOTIFY:
    case FF_OPEND_PUSH_PRICE_REMINDER:
        return NO_ROWS;
    default:
        return is_push(proto_id) ? NOBODY_LISTENS : NO_ROWS;
    }
}

/* Make room for a decrypted body; no more than has arrived. */
static int make_plain(ff_opend *m, size_t length) {
    size_t size = length > m->window.first_size ? length : m->window.first_size;
    free(m->plain);
    m->plain = malloc(size);
    m->plain_size = m->plain != NULL ? size : 0;
    return m->plain != NULL ? 0 : -FF_ENOMEM;
}

typedef struct span {
    const uint8_t *data;
    size_t length;
} span;

/* Decrypt and check a body where that is asked for; *body becomes the plain one. Returns 0 or
 * a negative reason.
 *
 * What was received is never changed: a packet may be looked at again. */
static FF_NOINLINE int plain_body(ff_opend *m, uint32_t proto_id, const uint8_t *sha1,
                                  span *body) {
    if (FF_UNLIKELY(proto_id == FF_OPEND_INIT_CONNECT))
        return 0;
    if (m->cipher.mode != FF_CIPHER_NONE) {
        if (FF_UNLIKELY(body->length > m->plain_size) && make_plain(m, body->length) < 0)
            return -FF_ENOMEM;
        ptrdiff_t n = ff_opend_decrypt(&m->cipher, body->data, body->length, m->plain);
        if (FF_UNLIKELY(n < 0))
            return (int)n;
        *body = (span){m->plain, (size_t)n};
    }
    if (m->check_sha1) {
        uint8_t digest[20];
        ff_sha1(body->data, body->length, digest);
        if (FF_UNLIKELY(memcmp(digest, sha1, sizeof digest) != 0))
            return -FF_ESHA1;
    }
    return 0;
}

static FF_NOINLINE void give(ff_frame *frame, const uint8_t *header, span body, int reason) {
    *frame = (ff_frame){.data = body.data,
                        .length = body.length,
                        .kind = ff_load_u32(header + 2),
                        .serial = ff_load_u32(header + 8),
                        .reason = reason};
    memcpy(frame->sha1, header + FF_OPEND_SHA1_OFFSET, sizeof frame->sha1);
}

/* What is received is no use without the key, which is not recorded. InitConnect has one. */
static FF_NOINLINE void record_plain(ff_opend *m, uint32_t proto_id, const uint8_t *header,
                                     span body) {
    ff_tap *tap = m->sink.tap;
    if (tap->on && tap->by_packet && proto_id != FF_OPEND_INIT_CONNECT)
        ff_tap_packet(tap, header, FF_OPEND_HEADER, FF_OPEND_LENGTH_OFFSET, body.data,
                      body.length, m->decoder.recv_ns);
}

int ff_opend_process_span(ff_opend *m, const uint8_t *data, size_t length, size_t *used,
                          ff_frame *frame) {
    const uint8_t *p = data, *end = data + length;
    int status = FF_NEED_MORE;
    if (m->failed) {
        *used = 0;
        return m->failed;
    }
    if (FF_UNLIKELY(m->plain_size > m->window.first_size)) { /* a long body has passed */
        free(m->plain);
        m->plain = NULL;
        m->plain_size = 0;
    }
    while (end - p >= 2) {
        /* Header: magic, u32 id, u8 format, u8 version, u32 serial, u32 body length, digest,
         * reserved. */
        if (FF_UNLIKELY(p[0] != 'F' || p[1] != 'T')) {
            status = m->failed = -FF_EMAGIC;
            m->counters.rejected[FF_EMAGIC]++;
            break;
        }
        if (FF_UNLIKELY(end - p < FF_OPEND_HEADER))
            break;
        const uint32_t proto_id = ff_load_u32(p + 2);
        size_t body_length = ff_load_u32(p + FF_OPEND_LENGTH_OFFSET);
        if (FF_UNLIKELY(body_length > m->max_body)) {
            status = m->failed = -FF_ELENGTH;
            m->counters.rejected[FF_ELENGTH]++;
            break;
        }
        if (FF_UNLIKELY((size_t)(end - p) - FF_OPEND_HEADER < body_length))
            break;
        if (FF_UNLIKELY(m->sink.full)) {
            status = FF_ROWS_FULL;
            break;
        }
        const uint8_t *header = p, *body = p + FF_OPEND_HEADER;
        p = body + body_length;
        m->counters.packets++;
        const uint8_t *sha1 = header + FF_OPEND_SHA1_OFFSET;
        int why = FF_UNLIKELY(header[6] != 0) ? -FF_EFORMAT : 0;
        if (why == 0 && (m->check_sha1 || m->cipher.mode != FF_CIPHER_NONE)) {
            span plain = {body, body_length};
            why = plain_body(m, proto_id, sha1, &plain);
            body = plain.data;
            body_length = plain.length;
            if (FF_UNLIKELY(m->sink.tap != NULL) && why == 0)
                record_plain(m, proto_id, header, plain);
        }
        if (FF_UNLIKELY(why != 0)) {
            m->counters.rejected[-why]++;
            if (is_push(proto_id))
                continue;
            m->counters.frames++;
            give(frame, header, (span){NULL, 0}, why);
            status = FF_FRAME;
            break;
        }
        int rc = push(m, proto_id, body, body_length, frame);
        if (FF_LIKELY(rc == 0))
            continue;
        if (rc == FF_HELD) {
            status = rc;
            break;
        }
        if (rc == NOBODY_LISTENS) {
            m->counters.ignored++;
            continue;
        }
        if (rc < 0) {
            m->counters.rejected[-rc]++;
            if (rc != -FF_ERETTYPE)
                continue;
            /* The session gets the vendor's words. */
        }
        m->counters.frames++;
        give(frame, header, (span){body, body_length}, 0);
        status = FF_FRAME;
        break;
    }
    *used = (size_t)(p - data);
    m->counters.bytes += *used;
    return status;
}

int ff_opend_process(ff_opend *m, ff_frame *frame) {
    ff_window *w = &m->window;
    size_t used;
    if (FF_UNLIKELY(m->failed)) /* what still comes is not looked at: keep none of it */
        w->start = w->end;
    int status = ff_opend_process_span(m, w->data + w->start, w->end - w->start, &used, frame);
    w->start += used;
    return status;
}

int ff_opend_step(void *machine, ff_frame *frame) {
    return ff_opend_process(machine, frame);
}
