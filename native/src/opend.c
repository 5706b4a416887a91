#include "fastfeed/opend.h"

#include <stdlib.h>

#include "fastfeed/sha1.h"

enum { MIN_ROW_BYTES = 11 }; /* of a ticker that gives a row: tag, length and a price */

int ff_opend_init(ff_opend *m, size_t window_bytes, size_t max_body, ff_symbols *symbols,
                  ff_ring *ring) {
    memset(m, 0, sizeof *m);
    m->window = malloc(window_bytes);
    if (m->window == NULL)
        return -FF_ENOMEM;
    m->size = m->first_size = window_bytes;
    m->max_body = max_body;
    m->ring = ring;
    /* With a push of at most half a ring on top, a reader that keeps up never loses a row. */
    m->max_batch = ring->capacity / 4;
    m->decoder.symbols = symbols;
    return 0;
}

void ff_opend_free(ff_opend *m) {
    free(m->window);
    free(m->plain);
    m->window = m->plain = NULL;
    explicit_bzero(&m->cipher, sizeof m->cipher);
}

void ff_opend_reset(ff_opend *m) {
    m->start = m->end = 0;
    m->failed = 0;
    explicit_bzero(&m->cipher, sizeof m->cipher);
}

uint8_t *ff_opend_space(ff_opend *m, size_t want, size_t *room) {
    if (FF_UNLIKELY(m->failed)) { /* what still comes is not looked at: keep none of it */
        m->start = m->end = 0;
    } else if (m->start > 0) {
        memmove(m->window, m->window + m->start, m->end - m->start);
        m->end -= m->start;
        m->start = 0;
    }
    if (FF_UNLIKELY(m->size > m->first_size && m->end == 0)) {
        /* A long packet has passed: the window need not stay as large. */
        uint8_t *window = realloc(m->window, m->first_size);
        if (window != NULL) {
            m->window = window;
            m->size = m->first_size;
        }
    }
    if (FF_UNLIKELY(m->plain_size > m->first_size)) {
        free(m->plain);
        m->plain = NULL;
        m->plain_size = 0;
    }
    if (m->size - m->end < want) {
        /* Doubling: a header alone cannot make the window as large as it says. */
        size_t size = m->size * 2 > m->end + want ? m->size * 2 : m->end + want;
        uint8_t *window = realloc(m->window, size);
        if (window == NULL)
            return NULL;
        m->window = window;
        m->size = size;
    }
    *room = m->size - m->end;
    return m->window + m->end;
}

/* Pushes of the quote side (section 4 of OpenD's protocol: every id of kind "push") that are
 * not decoded. */
static bool is_other_push(uint32_t proto_id) {
    switch (proto_id) {
    case 3005: /* quote */
    case 3007: /* bar */
    case 3009: /* time frame */
    case 3013: /* book */
    case 3015: /* broker queue */
    case 3019: /* price reminder */
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

/* Whether a packet of this id is never a reply. */
static bool is_push(uint32_t proto_id) {
    return proto_id == FF_OPEND_PUSH_TICKS || proto_id == FF_OPEND_NOTIFY ||
           is_other_push(proto_id);
}

/* Make room for a decrypted body; no more than has arrived. */
static int make_plain(ff_opend *m, size_t length) {
    size_t size = length > m->first_size ? length : m->first_size;
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

/* Decode one push of ticks into the ring. Returns 0 or a negative reason. */
static inline int push_ticks(ff_opend *m, const uint8_t *body, size_t length) {
    uint64_t max_rows = length / MIN_ROW_BYTES + 1;
    if (FF_UNLIKELY(max_rows > m->ring->capacity / 2))
        max_rows = m->ring->capacity / 2;
    ff_tick *rows = ff_ring_claim(m->ring, max_rows);
    int n = ff_opend_decode_ticks(&m->decoder, body, length, rows, max_rows);
    if (FF_UNLIKELY(n < 0))
        return n;
    ff_ring_advance(m->ring, (uint64_t)n);
    m->counters.ticks += (uint64_t)n;
    return 0;
}

int ff_opend_process_span(ff_opend *m, const uint8_t *data, size_t length, size_t *used,
                          ff_opend_frame *frame) {
    const uint8_t *p = data, *end = data + length;
    const uint64_t published = ff_ring_published(m->ring);
    int status = FF_OPEND_NEED_MORE;
    if (m->failed) {
        *used = 0;
        return m->failed;
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
        if (FF_UNLIKELY(m->ring->head - published >= m->max_batch)) {
            status = FF_OPEND_ROWS_FULL;
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
        }
        if (FF_UNLIKELY(why != 0)) {
            m->counters.rejected[-why]++;
            if (is_push(proto_id))
                continue;
            m->counters.frames++;
            *frame = (ff_opend_frame){proto_id, ff_load_u32(header + 8), NULL, 0, sha1, why};
            status = FF_OPEND_FRAME;
            break;
        }
        if (FF_LIKELY(proto_id == FF_OPEND_PUSH_TICKS)) {
            int rc = push_ticks(m, body, body_length);
            if (FF_LIKELY(rc == 0))
                continue;
            m->counters.rejected[-rc]++;
            if (rc != -FF_ERETTYPE)
                continue;
            /* The session gets the vendor's words. */
        } else if (is_other_push(proto_id)) {
            m->counters.ignored++;
            continue;
        }
        m->counters.frames++;
        *frame =
            (ff_opend_frame){proto_id, ff_load_u32(header + 8), body, body_length, sha1, 0};
        status = FF_OPEND_FRAME;
        break;
    }
    *used = (size_t)(p - data);
    m->counters.bytes += *used;
    return status;
}

int ff_opend_process(ff_opend *m, ff_opend_frame *frame) {
    size_t used;
    int status =
        ff_opend_process_span(m, m->window + m->start, m->end - m->start, &used, frame);
    m->start += used;
    return status;
}
