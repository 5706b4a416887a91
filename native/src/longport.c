#include "fastfeed/longport.h"

#include <string.h>

int ff_longport_init(ff_longport *m, size_t window_bytes, size_t max_body, size_t depth,
                     ff_symbols *symbols) {
    memset(m, 0, sizeof *m);
    if (ff_window_init(&m->window, window_bytes) < 0)
        return -FF_ENOMEM;
    ff_longport_decoder_init(&m->decoder, symbols, depth);
    m->max_body = max_body;
    m->framed = true;
    ff_ws_init(&m->ws, FF_LONGPORT_MAX_HEAD + max_body + FF_LONGPORT_SIGNATURE);
    return 0;
}

void ff_longport_free(ff_longport *m) {
    ff_window_free(&m->window);
    ff_ws_free(&m->ws);
    ff_longport_decoder_free(&m->decoder);
}

void ff_longport_reset(ff_longport *m, bool framed) {
    ff_window_clear(&m->window);
    ff_ws_reset(&m->ws);
    ff_longport_decoder_reset(&m->decoder);
    m->framed = framed;
    m->upgraded = false;
    m->failed = 0;
    m->inside = 0;
    m->apart = NULL;
}

/* ---- pushes */

static inline int push_ticks(ff_longport *m, ff_frame *packet) {
    uint64_t max_rows = ff_longport_max_rows(packet->kind, packet->length);
    ff_tick *rows = ff_sink_claim(&m->sink, FF_STREAM_TICKS, &max_rows);
    const int n = ff_longport_decode_push(&m->decoder, packet->kind, packet->data,
                                          packet->length, rows, max_rows);
    if (FF_UNLIKELY(n <= 0))
        return n;
    if (m->order != NULL) { /* all of them are of one symbol */
        ff_order_symbol *symbol = ff_order_of(m->order, rows->symbol);
        if (FF_UNLIKELY(symbol == NULL))
            return -FF_ENOMEM;
        if (FF_UNLIKELY(symbol->held)) {
            packet->data = (const uint8_t *)rows;
            packet->length = (size_t)n;
            return FF_HELD;
        }
        ff_order_pass(symbol, rows, (size_t)n);
    }
    ff_sink_written(&m->sink, FF_STREAM_TICKS, (uint64_t)n);
    return 0;
}

/* A push that is one row, the state of its symbol. */
static inline int push_state(ff_longport *m, const ff_frame *packet, ff_stream stream) {
    void *row = ff_ring_claim(m->sink.rings[stream], 1);
    const int n = ff_longport_decode_push(&m->decoder, packet->kind, packet->data,
                                          packet->length, row, 1);
    if (FF_UNLIKELY(n <= 0))
        return n;
    int kept;
    if (stream == FF_STREAM_QUOTES)
        kept = ff_sink_keep_quote(&m->sink, row);
    else if (stream == FF_STREAM_BOOKS)
        kept = ff_sink_keep(&m->sink, stream, ((const ff_book *)row)->symbol, row);
    else
        kept = ff_sink_keep(&m->sink, stream, ((const ff_brokers *)row)->symbol, row);
    if (FF_UNLIKELY(kept < 0))
        m->counters.rejected[FF_ENOMEM]++;
    ff_sink_written(&m->sink, stream, 1);
    return 0;
}

/* The stream of a push's rows, or -1. */
static inline int stream_of(unsigned command) {
    switch (command) {
    case FF_LONGPORT_PUSH_TRADES:
        return FF_STREAM_TICKS;
    case FF_LONGPORT_PUSH_QUOTE:
        return FF_STREAM_QUOTES;
    case FF_LONGPORT_PUSH_DEPTH:
        return FF_STREAM_BOOKS;
    case FF_LONGPORT_PUSH_BROKERS:
        return FF_STREAM_BROKERS;
    default:
        return -1;
    }
}

/* As ff_longport_take(), and FF_ZIPPED. */
static inline int take(ff_longport *m, ff_frame *packet) {
    const int stream =
        FF_LIKELY(packet->type == FF_LONGPORT_PUSH) ? stream_of(packet->kind) : -1;
    if (FF_UNLIKELY(stream >= 0 && m->sink.rings[stream] == NULL)) {
        m->counters.ignored++;
        return 0;
    }
    if (FF_UNLIKELY(packet->zipped)) {
        m->counters.zipped++;
        return FF_ZIPPED;
    }
    if (FF_UNLIKELY(stream < 0)) {
        m->counters.frames++;
        return FF_PACKET;
    }
    const int rc = FF_LIKELY(stream == FF_STREAM_TICKS)
                       ? push_ticks(m, packet)
                       : push_state(m, packet, (ff_stream)stream);
    if (FF_UNLIKELY(rc < 0))
        m->counters.rejected[-rc]++;
    return rc;
}

int ff_longport_take(ff_longport *m, ff_frame *packet) {
    packet->zipped = false;
    return take(m, packet);
}

int ff_longport_seed(ff_longport *m, ff_quote *rows, size_t n) {
    const int rc = ff_longport_seed_quotes(&m->decoder, rows, n);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (FF_UNLIKELY(ff_sink_keep_quote(&m->sink, rows + i) < 0))
            m->counters.rejected[FF_ENOMEM]++;
    return rc;
}

/* ---- packets */

static inline uint32_t load_big(const uint8_t *p, size_t n) {
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* The packet at p. Returns how many bytes it has, 0 when they are not all there, or a negative
 * reason. */
static inline ptrdiff_t packet_at(const ff_longport *m, const uint8_t *p, const uint8_t *end,
                                  ff_frame *packet) {
    enum { VERIFY = 0x10, GZIP = 0x20 };
    size_t head;
    if (FF_UNLIKELY(p == end))
        return 0;
    packet->type = p[0] & 0x0f;
    if (FF_LIKELY(packet->type == FF_LONGPORT_PUSH))
        head = 5;
    else if (packet->type == FF_LONGPORT_RESPONSE)
        head = 10;
    else if (packet->type == FF_LONGPORT_REQUEST)
        head = 11;
    else
        return -FF_EPACKET;
    if (FF_UNLIKELY((size_t)(end - p) < head))
        return 0;
    packet->kind = p[1];
    packet->zipped = (p[0] & GZIP) != 0;
    packet->serial = 0;
    packet->status = 0;
    if (FF_UNLIKELY(packet->type != FF_LONGPORT_PUSH)) {
        packet->serial = load_big(p + 2, 4);
        if (packet->type == FF_LONGPORT_RESPONSE)
            packet->status = p[6];
    }
    packet->data = p + head;
    packet->length = load_big(p + head - 3, 3);
    if (FF_UNLIKELY(packet->length > m->max_body))
        return -FF_ELENGTH;
    const size_t size =
        head + packet->length + ((p[0] & VERIFY) != 0 ? FF_LONGPORT_SIGNATURE : 0);
    return (size_t)(end - p) < size ? 0 : (ptrdiff_t)size;
}

static FF_NOINLINE int fail(ff_longport *m, int reason) {
    if (m->framed)
        ff_ws_fail(&m->ws, reason);
    m->failed = -reason;
    m->counters.rejected[reason]++;
    return -reason;
}

/* A stream of packets. */
static int process_packets(ff_longport *m, ff_frame *packet) {
    ff_window *w = &m->window;
    const uint8_t *p = w->data + w->start;
    const uint8_t *const begin = p, *const end = w->data + w->end;
    int status = FF_NEED_MORE;
    for (;;) {
        if (FF_UNLIKELY(m->sink.full)) {
            status = FF_ROWS_FULL;
            break;
        }
        const ptrdiff_t size = packet_at(m, p, end, packet);
        if (FF_UNLIKELY(size <= 0)) {
            status = size == 0 ? FF_NEED_MORE : fail(m, (int)-size);
            break;
        }
        p += size;
        m->counters.packets++;
        const int rc = take(m, packet);
        if (FF_UNLIKELY(rc > 0)) {
            status = rc;
            break;
        }
    }
    w->start += (size_t)(p - begin);
    m->counters.bytes += (uint64_t)(p - begin);
    return status;
}

/* The packets of the present message, whose bytes begin at *p. Returns a status for the
 * caller, or FF_NEED_MORE when the message is done. */
static inline int process_message(ff_longport *m, const uint8_t **p, const uint8_t *end,
                                  ff_frame *packet) {
    while (*p != end) {
        if (FF_UNLIKELY(m->sink.full))
            return FF_ROWS_FULL;
        const ptrdiff_t size = packet_at(m, *p, end, packet);
        if (FF_UNLIKELY(size <= 0)) { /* the next message is in its place all the same */
            m->counters.rejected[size == 0 ? FF_EPACKET : -size]++;
            *p = end;
            break;
        }
        *p += size;
        m->counters.packets++;
        const int rc = take(m, packet);
        if (FF_UNLIKELY(rc > 0))
            return rc;
    }
    return FF_NEED_MORE;
}

/* What is left of a message that was interrupted, or lies apart. */
static int finish_message(ff_longport *m, ff_frame *packet) {
    ff_window *w = &m->window;
    const uint8_t *p = m->apart != NULL ? m->apart : w->data + w->start;
    const uint8_t *const begin = p, *const end = p + m->inside;
    const int status = process_message(m, &p, end, packet);
    m->inside = (size_t)(end - p);
    if (m->apart == NULL) {
        w->start += (size_t)(p - begin);
        m->counters.bytes += (uint64_t)(p - begin);
    } else {
        m->apart = m->inside > 0 ? p : NULL;
    }
    return status;
}

/* A stream of WebSocket messages. */
static int process_messages(ff_longport *m, ff_frame *frame) {
    ff_window *w = &m->window;
    ff_ws_message message;
    int status = FF_NEED_MORE;
    if (FF_UNLIKELY(m->inside > 0)) {
        status = finish_message(m, frame);
        if (status != FF_NEED_MORE)
            return status;
    }
    const uint8_t *p = w->data + w->start;
    const uint8_t *const begin = p, *const end = w->data + w->end;
    for (;;) {
        size_t used;
        const int rc = ff_ws_next(&m->ws, p, (size_t)(end - p), &used, &message);
        p += used;
        if (FF_UNLIKELY(rc <= 0)) {
            status = rc == 0 ? FF_NEED_MORE : fail(m, -rc);
            break;
        }
        m->counters.messages++;
        if (FF_UNLIKELY(message.opcode >= FF_WS_CLOSE)) {
            m->counters.frames++;
            *frame = (ff_frame){
                .kind = message.opcode, .data = message.data, .length = message.length};
            status = FF_FRAME;
            break;
        }
        if (FF_UNLIKELY(message.opcode != FF_WS_BINARY)) {
            m->counters.rejected[FF_EFORMAT]++;
            continue;
        }
        const uint8_t *q = message.data, *const q_end = q + message.length;
        status = process_message(m, &q, q_end, frame);
        if (FF_UNLIKELY(status != FF_NEED_MORE)) {
            m->inside = (size_t)(q_end - q);
            if (q_end == p) /* in the window: there the rest stays, also when that is moved */
                p = q;
            else if (m->inside > 0)
                m->apart = q;
            break;
        }
    }
    w->start += (size_t)(p - begin);
    m->counters.bytes += (uint64_t)(p - begin);
    return status;
}

int ff_longport_process(ff_longport *m, ff_frame *frame) {
    ff_window *w = &m->window;
    if (FF_UNLIKELY(m->failed)) { /* what still comes is not looked at */
        w->start = w->end;
        return m->failed;
    }
    if (!m->framed)
        return process_packets(m, frame);
    if (FF_UNLIKELY(!m->upgraded)) {
        *frame = (ff_frame){
            .kind = FF_WS_HANDSHAKE, .data = w->data + w->start, .length = w->end - w->start};
        w->start = w->end;
        m->counters.bytes += frame->length;
        return frame->length > 0 ? FF_FRAME : FF_NEED_MORE;
    }
    return process_messages(m, frame);
}

int ff_longport_step(void *machine, ff_frame *frame) {
    return ff_longport_process(machine, frame);
}
