#ifndef FASTFEED_WEBSOCKET_H
#define FASTFEED_WEBSOCKET_H

/* WebSocket frames (RFC 6455), a client's side: what the server sends is cut into messages,
 * what is sent to it is framed and masked. No extension is known, hence none may have been
 * agreed on.
 *
 * The bytes stay where the caller received them. A message of one frame, which is nearly every
 * message, is given in place. Only the fragments of a longer one are copied, into a buffer of
 * its own, when each of them is complete: what a header claims costs no memory.
 *
 * Text is NOT checked to be UTF-8 here: that is the caller's, with ff_utf8_valid() and
 * ff_ws_fail(), or by decoding it with something that takes no bytes above 0x7f. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/status.h"
#include "fastfeed/wire.h"

enum {
    FF_WS_CONTINUATION = 0,
    FF_WS_TEXT = 1,
    FF_WS_BINARY = 2,
    FF_WS_CLOSE = 8,
    FF_WS_PING = 9,
    FF_WS_PONG = 10,
    FF_WS_HANDSHAKE =
        16, /* no opcode of a frame: bytes of the handshake, on the way to who does it */
    FF_WS_MAX_CONTROL = 125, /* bytes of a close, ping or pong frame's payload */
    FF_WS_MASK = 4,          /* bytes of a mask */
};

/* What ff_ws_next() has to look at before it takes the short way, which is open in READY. */
typedef enum ff_ws_state {
    FF_WS_READY = 0, /* between two messages */
    FF_WS_FRAGMENTS, /* inside a fragmented message */
    FF_WS_GIVEN,     /* the buffer's message is in use until the next call */
    FF_WS_CLOSED,    /* a close frame came: what follows is dropped */
    FF_WS_FAILED,    /* the protocol is broken: nothing is looked at */
} ff_ws_state;

/* A whole message (text or binary), or a control frame (close, ping or pong).
 *
 * The data lies in the caller's bytes or, of a fragmented message, in the buffer: it is there
 * until the caller moves its bytes and until the next call of a function of this ff_ws. */
typedef struct ff_ws_message {
    unsigned opcode;
    const uint8_t *data; /* never NULL; a close frame's are empty, or a code and a reason */
    size_t length;
} ff_ws_message;

typedef struct ff_ws_counters {
    uint64_t bytes;    /* consumed */
    uint64_t frames;   /* complete ones of every kind */
    uint64_t messages; /* text and binary */
} ff_ws_counters;

typedef struct ff_ws {
    size_t max_message; /* longest message that is believed */
    ff_ws_state state;
    int failed;      /* a negative reason once the protocol is broken */
    unsigned opcode; /* of the fragmented message */
    uint8_t *buffer; /* its fragments */
    size_t filled;
    size_t size;
    ff_ws_counters counters;
} ff_ws;

/* Prepare for a connection whose handshake is done. Allocates nothing. */
void ff_ws_init(ff_ws *ws, size_t max_message);
void ff_ws_free(ff_ws *ws);

/* Forget the stream, for a new connection; counters stay. */
void ff_ws_reset(ff_ws *ws);

/* ff_ws_next() by the long way. */
int ff_ws_next_any(ff_ws *ws, const uint8_t *data, size_t length, size_t *used,
                   ff_ws_message *out);

/* Take the next message from the beginning of `length` received bytes. Returns
 *
 *   1  *out is a message or a control frame; call again behind the *used bytes
 *   0  more bytes are needed, behind those that were not used. Used are complete
 *      fragments only, of a message that goes on
 *   <0 a reason: the protocol is broken at *used, for good until ff_ws_reset()
 *
 * A frame that cannot be is refused as soon as the bytes that say so are there. Behind a close
 * frame everything is used and nothing looked at. */
static inline int ff_ws_next(ff_ws *ws, const uint8_t *data, size_t length, size_t *used,
                             ff_ws_message *out) {
    /* A whole message in one frame of less than 64 KiB. */
    if (FF_LIKELY(ws->state == FF_WS_READY && length >= 4 &&
                  (data[0] == (0x80 | FF_WS_TEXT) || data[0] == (0x80 | FF_WS_BINARY)))) {
        size_t header = 2, n = data[1];
        if (n == 126) {
            n = (size_t)data[2] << 8 | data[3];
            header = n >= 126 ? 4 : SIZE_MAX;
        } else if (n > 126) {
            header = SIZE_MAX;
        }
        if (FF_LIKELY(header <= length && n <= length - header && n <= ws->max_message)) {
            *out = (ff_ws_message){data[0] & 0x0f, data + header, n};
            *used = header + n;
            ws->counters.bytes += header + n;
            ws->counters.frames++;
            ws->counters.messages++;
            return 1;
        }
    }
    return ff_ws_next_any(ws, data, length, used, out);
}

/* Give the connection up for a reason (> 0) of the caller's, as text that is not UTF-8. */
static inline void ff_ws_fail(ff_ws *ws, int reason) {
    ws->state = FF_WS_FAILED;
    ws->failed = -reason;
}

/* The code that a close frame to the server should have after a failure with this reason
 * (> 0). */
static inline unsigned ff_ws_close_code(int reason) {
    switch (reason) {
    case FF_EUTF8:
        return 1007;
    case FF_ELENGTH:
        return 1009;
    case FF_ENOMEM:
        return 1011;
    default:
        return 1002;
    }
}

/* ---- the sending side ---- */

/* How many bytes ff_ws_frame() writes for a payload. */
static inline size_t ff_ws_frame_size(size_t length) {
    const size_t header = length < 126 ? 2 : length <= UINT16_MAX ? 4 : 10;
    return header + FF_WS_MASK + length;
}

/* Write a whole masked frame to `out`, which has room for ff_ws_frame_size(length) bytes.
 * Returns their number. The mask should be random. The payload may lie where it will be
 * written, at the end of that room; otherwise it must not overlap. A control frame's payload
 * has at most FF_WS_MAX_CONTROL bytes: the caller sees to that. */
size_t ff_ws_frame(uint8_t *out, unsigned opcode, const uint8_t *payload, size_t length,
                   const uint8_t mask[FF_WS_MASK]);

#endif
