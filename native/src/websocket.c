#include "fastfeed/websocket.h"

#include <stdlib.h>

#include "fastfeed/utf8.h"

enum {
    FIN = 0x80,
    RESERVED = 0x70,
    OPCODE = 0x0f,
    CONTROL = 0x08,     /* a bit of the opcode */
    MASKED = 0x80,      /* of the second byte */
    FIRST_SIZE = 256,   /* of the buffer */
    KEPT_SIZE = 1 << 18 /* what it may stay at between messages */
};

void ff_ws_init(ff_ws *ws, size_t max_message) {
    memset(ws, 0, sizeof *ws);
    ws->max_message = max_message;
}

void ff_ws_free(ff_ws *ws) {
    free(ws->buffer);
    ws->buffer = NULL;
    ws->size = ws->filled = 0;
}

/* Be between two messages. */
static void ready(ff_ws *ws) {
    ws->state = FF_WS_READY;
    ws->filled = 0;
    if (ws->size > KEPT_SIZE)
        ff_ws_free(ws);
}

void ff_ws_reset(ff_ws *ws) {
    ready(ws);
    ws->failed = 0;
}

typedef struct frame {
    bool fin;
    unsigned opcode;
    size_t header;
    size_t length;
} frame;

/* The header at p, where at least a byte is. Returns 1, 0: not all there, or a negative
 * reason. The checks come in the order of the bytes, each as soon as its bytes are there: so
 * the reason does not depend on how the stream was cut. */
static int read_header(const ff_ws *ws, const uint8_t *p, size_t have, frame *f) {
    f->fin = (p[0] & FIN) != 0;
    f->opcode = p[0] & OPCODE;
    const bool control = (f->opcode & CONTROL) != 0;
    if ((p[0] & RESERVED) != 0 || (f->opcode & ~(unsigned)CONTROL) > 2)
        return -FF_EFRAME;
    if (control ? !f->fin
                : (f->opcode == FF_WS_CONTINUATION) != (ws->state == FF_WS_FRAGMENTS))
        return -FF_EFRAGMENT;

    if (have < 2)
        return 0;
    const unsigned short_length = p[1] & 0x7f;
    if ((p[1] & MASKED) != 0 || (control && short_length > FF_WS_MAX_CONTROL))
        return -FF_EFRAME;
    uint64_t n = short_length, least = 0;
    f->header = 2;
    if (short_length == 126) {
        if (have < 4)
            return 0;
        n = (uint64_t)p[2] << 8 | p[3];
        least = 126;
        f->header = 4;
    } else if (short_length == 127) {
        if (have < 10)
            return 0;
        n = __builtin_bswap64(ff_load_u64(p + 2));
        least = (uint64_t)UINT16_MAX + 1;
        f->header = 10;
    }
    if (n < least || n > INT64_MAX)
        return -FF_EFRAME;
    if (!control && n > ws->max_message - ws->filled)
        return -FF_ELENGTH;
    if (f->opcode == FF_WS_CLOSE && n == 1)
        return -FF_ECLOSE;
    f->length = (size_t)n;
    return 1;
}

/* A close frame's payload: nothing, or a code that may be sent and a reason. */
static int check_close(const uint8_t *payload, size_t length) {
    if (length == 0)
        return 0;
    const unsigned code = (unsigned)payload[0] << 8 | payload[1];
    /* Section 7.4 and IANA's register; 1004 to 1006 and 1015 are never sent. */
    const bool known = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
    if (!known && (code < 3000 || code > 4999))
        return -FF_ECLOSE;
    return ff_utf8_valid(payload + 2, length - 2) ? 0 : -FF_EUTF8;
}

/* Append a fragment; that it is not too long is known. */
static int append(ff_ws *ws, const uint8_t *payload, size_t length) {
    const size_t need = ws->filled + length;
    if (need > ws->size) {
        size_t size = ws->size < FIRST_SIZE ? FIRST_SIZE : ws->size * 2;
        size = size > ws->max_message ? ws->max_message : size;
        size = size < need ? need : size;
        uint8_t *buffer = realloc(ws->buffer, size);
        if (buffer == NULL)
            return -FF_ENOMEM;
        ws->buffer = buffer;
        ws->size = size;
    }
    if (length > 0)
        memcpy(ws->buffer + ws->filled, payload, length);
    ws->filled = need;
    return 0;
}

/* What a complete frame gives: 1 and *out, 0 for a fragment, or a negative reason. */
static int take(ff_ws *ws, const frame *f, const uint8_t *payload, ff_ws_message *out) {
    *out = (ff_ws_message){f->opcode, payload, f->length};
    if ((f->opcode & CONTROL) != 0) {
        int why = f->opcode == FF_WS_CLOSE ? check_close(payload, f->length) : 0;
        if (why == 0 && f->opcode == FF_WS_CLOSE)
            ws->state = FF_WS_CLOSED;
        return why == 0 ? 1 : why;
    }
    if (f->opcode != FF_WS_CONTINUATION)
        ws->opcode = f->opcode;
    if (f->fin && ws->filled == 0) { /* in place, also behind empty fragments */
        out->opcode = ws->opcode;
        ws->state = FF_WS_READY;
        ws->counters.messages++;
        return 1;
    }
    int why = append(ws, payload, f->length);
    if (why < 0)
        return why;
    if (!f->fin) {
        ws->state = FF_WS_FRAGMENTS;
        return 0;
    }
    *out = (ff_ws_message){ws->opcode, ws->buffer, ws->filled};
    ws->state = FF_WS_GIVEN;
    ws->counters.messages++;
    return 1;
}

int ff_ws_next_any(ff_ws *ws, const uint8_t *data, size_t length, size_t *used,
                   ff_ws_message *out) {
    *used = 0;
    if (ws->state == FF_WS_FAILED)
        return ws->failed;
    if (ws->state == FF_WS_CLOSED) {
        *used = length;
        ws->counters.bytes += length;
        return 0;
    }
    if (ws->state == FF_WS_GIVEN)
        ready(ws);
    size_t at = 0;
    int status = 0;
    while (status == 0 && at < length) {
        frame f;
        status = read_header(ws, data + at, length - at, &f);
        if (status <= 0 || length - at - f.header < f.length) {
            status = status < 0 ? status : 0;
            break;
        }
        status = take(ws, &f, data + at + f.header, out);
        if (status >= 0) {
            at += f.header + f.length;
            ws->counters.frames++;
        }
    }
    if (status < 0)
        ff_ws_fail(ws, -status);
    *used = at;
    ws->counters.bytes += at;
    return status;
}

size_t ff_ws_frame(uint8_t *out, unsigned opcode, const uint8_t *payload, size_t length,
                   const uint8_t mask[FF_WS_MASK]) {
    uint8_t *p = out;
    *p++ = (uint8_t)(FIN | opcode);
    if (length < 126) {
        *p++ = (uint8_t)(MASKED | length);
    } else if (length <= UINT16_MAX) {
        *p++ = MASKED | 126;
        *p++ = (uint8_t)(length >> 8);
        *p++ = (uint8_t)length;
    } else {
        const uint64_t big_endian = __builtin_bswap64(length);
        *p++ = MASKED | 127;
        memcpy(p, &big_endian, sizeof big_endian);
        p += sizeof big_endian;
    }
    memcpy(p, mask, FF_WS_MASK);
    const uint64_t twice = (uint64_t)ff_load_u32(mask) << 32 | ff_load_u32(mask);
    p += FF_WS_MASK;
    size_t i = 0;
    for (; length - i >= sizeof twice; i += sizeof twice) {
        const uint64_t eight = ff_load_u64(payload + i) ^ twice;
        memcpy(p + i, &eight, sizeof eight);
    }
    for (; i < length; i++)
        p[i] = payload[i] ^ (uint8_t)(twice >> 8 * (i % FF_WS_MASK));
    return (size_t)(p - out) + length;
}
