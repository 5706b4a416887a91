#include "fastfeed/alltick.h"

#include <stdlib.h>

#include "fastfeed/utf8.h"

int ff_alltick_init(ff_alltick *m, size_t window_bytes, size_t max_message,
                    ff_symbols *symbols) {
    memset(m, 0, sizeof *m);
    if (ff_window_init(&m->window, window_bytes) < 0)
        return -FF_ENOMEM;
    ff_ws_init(&m->ws, max_message);
    m->decoder.symbols = symbols;
    m->connection = 1;
    return 0;
}

void ff_alltick_free(ff_alltick *m) {
    ff_window_free(&m->window);
    ff_ws_free(&m->ws);
    free(m->seen);
    m->seen = NULL;
}

void ff_alltick_reset(ff_alltick *m) {
    ff_window_clear(&m->window);
    ff_ws_reset(&m->ws);
    m->connection++;
    m->upgraded = false;
}

ff_alltick_seen *ff_alltick_seen_of(ff_alltick *m, uint32_t symbol) {
    if (FF_UNLIKELY(symbol >= m->seen_size)) {
        size_t size = m->seen_size * 2 > symbol + (size_t)1 ? m->seen_size * 2 : symbol + 64;
        ff_alltick_seen *seen = realloc(m->seen, size * sizeof *seen);
        if (seen == NULL)
            return NULL;
        memset(seen + m->seen_size, 0, (size - m->seen_size) * sizeof *seen);
        m->seen = seen;
        m->seen_size = size;
    }
    return &m->seen[symbol];
}

/* The first tick of a symbol on a connection is often the last one of the connection before.
 * Returns whether it is another one. */
static FF_NOINLINE bool is_new(ff_alltick *m, const ff_alltick_seen *seen, ff_tick *row) {
    if (seen->connection == 0)
        return true;
    if (seen->seq == row->seq && seen->time_ns == row->time_ns && seen->price == row->price &&
        (seen->volume == row->volume || (isnan(seen->volume) && isnan(row->volume)))) {
        m->counters.duplicates++;
        return false;
    }
    row->flags |= FF_FLAG_GAP;
    return true;
}

/* Take note of n new ticks, in place: returns how many are left of them, or -FF_ENOMEM. */
static inline int keep_ticks(ff_alltick *m, ff_tick *rows, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        ff_tick *row = &rows[i];
        ff_alltick_seen *seen = ff_alltick_seen_of(m, row->symbol);
        if (FF_UNLIKELY(seen == NULL))
            return -FF_ENOMEM;
        if (FF_UNLIKELY(seen->connection != m->connection) && !is_new(m, seen, row))
            continue;
        if (seen->sideless)
            row->side = 0;
        seen->connection = m->connection;
        seen->seq = row->seq;
        seen->time_ns = row->time_ns;
        seen->price = row->price;
        seen->volume = row->volume;
        if (FF_UNLIKELY(kept != i))
            rows[kept] = *row;
        kept++;
    }
    return (int)kept;
}

static inline void keep_books(ff_alltick *m, const ff_book *rows, size_t n) {
    const size_t size = ff_book_size(m->decoder.depth);
    for (size_t i = 0; i < n; i++) {
        const ff_book *row = (const ff_book *)(const void *)((const uint8_t *)rows + i * size);
        if (FF_UNLIKELY(ff_sink_keep(&m->sink, FF_STREAM_BOOKS, row->symbol, row) < 0))
            m->counters.rejected[FF_ENOMEM]++;
    }
}

/* Decode a message into the rings; as ff_alltick_decode(), counted. */
static inline int take(ff_alltick *m, const uint8_t *data, size_t length) {
    ff_sink *sink = &m->sink;
    ff_alltick_rows rows = {0};
    const uint64_t most = ff_alltick_max_rows(length);
    if (FF_LIKELY(sink->rings[FF_STREAM_TICKS] != NULL)) {
        uint64_t room = most;
        rows.ticks = ff_sink_claim(sink, FF_STREAM_TICKS, &room);
        rows.max_ticks = room;
    }
    if (sink->rings[FF_STREAM_BOOKS] != NULL) {
        uint64_t room = most;
        rows.books = ff_sink_claim(sink, FF_STREAM_BOOKS, &room);
        rows.max_books = room;
    }
    int kind = ff_alltick_decode(&m->decoder, data, length, &rows);
    if (FF_LIKELY(kind == FF_ALLTICK_TICKS)) {
        const int n = keep_ticks(m, rows.ticks, rows.count);
        if (FF_LIKELY(n >= 0))
            ff_sink_written(sink, FF_STREAM_TICKS, (uint64_t)n);
        else
            kind = n;
    } else if (kind == FF_ALLTICK_BOOKS) {
        keep_books(m, rows.books, rows.count);
        ff_sink_written(sink, FF_STREAM_BOOKS, rows.count);
    }
    if (FF_UNLIKELY(kind < 0))
        m->counters.rejected[-kind]++;
    return kind;
}

int ff_alltick_take(ff_alltick *m, const uint8_t *data, size_t length) {
    m->counters.messages++;
    m->counters.bytes += length;
    if (length > m->ws.max_message) {
        m->counters.rejected[FF_ELENGTH]++;
        return -FF_ELENGTH;
    }
    const int kind = take(m, data, length);
    return kind == FF_ALLTICK_SESSION ? FF_FRAME : kind < 0 ? kind : 0;
}

/* What comes before the handshake is done. */
static int handshake(ff_alltick *m, ff_frame *frame) {
    ff_window *w = &m->window;
    *frame = (ff_frame){
        .kind = FF_WS_HANDSHAKE, .data = w->data + w->start, .length = w->end - w->start};
    w->start = w->end;
    m->counters.bytes += frame->length;
    return frame->length > 0 ? FF_FRAME : FF_NEED_MORE;
}

static FF_NOINLINE int fail(ff_alltick *m, int reason) {
    if (m->ws.state != FF_WS_FAILED)
        ff_ws_fail(&m->ws, reason);
    m->counters.rejected[reason]++;
    return -reason;
}

static FF_NOINLINE int give(ff_alltick *m, const ff_ws_message *message, ff_frame *frame) {
    m->counters.frames++;
    *frame =
        (ff_frame){.kind = message->opcode, .data = message->data, .length = message->length};
    return FF_FRAME;
}

int ff_alltick_process(ff_alltick *m, ff_frame *frame) {
    ff_window *w = &m->window;
    if (FF_UNLIKELY(!m->upgraded))
        return handshake(m, frame);
    if (FF_UNLIKELY(m->ws.state == FF_WS_FAILED)) { /* what still comes is not looked at */
        w->start = w->end;
        return m->ws.failed;
    }
    const uint8_t *p = w->data + w->start;
    const uint8_t *const begin = p, *const end = w->data + w->end;
    ff_ws_message message;
    int status = FF_NEED_MORE;
    for (;;) {
        if (FF_UNLIKELY(m->sink.full)) {
            status = FF_ROWS_FULL;
            break;
        }
        size_t used;
        const int rc = ff_ws_next(&m->ws, p, (size_t)(end - p), &used, &message);
        p += used;
        if (FF_UNLIKELY(rc <= 0)) {
            status = rc == 0 ? FF_NEED_MORE : fail(m, -rc);
            break;
        }
        m->counters.messages++;
        if (FF_UNLIKELY(message.opcode >= FF_WS_CLOSE)) {
            status = give(m, &message, frame);
            break;
        }
        const int kind = take(m, message.data, message.length);
        if (FF_LIKELY(kind == FF_ALLTICK_TICKS || kind == FF_ALLTICK_BOOKS))
            continue;
        if (kind == FF_ALLTICK_SESSION) {
            status = give(m, &message, frame);
            break;
        }
        /* Of text, what is not decoded must be UTF-8 all the same (RFC 6455, section 8.1). */
        if (message.opcode == FF_WS_TEXT && !ff_utf8_valid(message.data, message.length)) {
            if (kind < 0) /* it is counted once */
                m->counters.rejected[-kind]--;
            status = fail(m, FF_EUTF8);
            break;
        }
    }
    w->start += (size_t)(p - begin);
    m->counters.bytes += (uint64_t)(p - begin);
    return status;
}

int ff_alltick_step(void *machine, ff_frame *frame) {
    return ff_alltick_process(machine, frame);
}
