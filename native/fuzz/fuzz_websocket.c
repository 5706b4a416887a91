/* A server's WebSocket stream. The first two bytes of an input say what the longest message is
 * and how the rest is cut into reads: messages, status, place and counters are the same as in
 * one piece. Each read lies in memory of its own size. What comes out is what a plain reading
 * of the RFC gives, frame by frame. */

#include "fastfeed/websocket.h"

#include "fastfeed/utf8.h"

#include "fuzz.h"
#include "websocket_bytes.h"

typedef struct result {
    ff_ws ws;
    bytes out;
    size_t used;
    int status;
} result;

static void keep(bytes *out, unsigned opcode, const uint8_t *data, size_t length) {
    const uint64_t n = length;
    put_u8(out, opcode);
    put(out, &n, sizeof n);
    put(out, data, length);
}

/* Everything in these bytes; returns how many were used. */
static size_t take_all(result *r, const uint8_t *data, size_t length) {
    ff_ws_message message;
    size_t at = 0, used;
    while ((r->status = ff_ws_next(&r->ws, data + at, length - at, &used, &message)) > 0) {
        CHECK(used >= 2 && used <= length - at && message.data != NULL);
        if (message.opcode >= FF_WS_CLOSE)
            CHECK(message.length <= FF_WS_MAX_CONTROL);
        else
            CHECK(message.length <= r->ws.max_message);
        const bool in_place =
            message.data >= data && message.data + message.length <= data + length;
        CHECK(in_place || (message.data == r->ws.buffer && message.length == r->ws.filled));
        keep(&r->out, message.opcode, message.data, message.length);
        at += used;
    }
    CHECK(used <= length - at);
    CHECK(r->ws.filled <= r->ws.size && r->ws.size <= r->ws.max_message);
    return at + used;
}

static void in_pieces(result *r, const uint8_t *data, size_t length, uint64_t cut) {
    uint64_t random = cut * 2 + 1;
    const size_t most = (size_t)1 << cut % 13;
    size_t end = 0;
    do {
        const size_t n = (size_t)(next_random(&random) % most) + 1;
        end = n < length - end ? end + n : length;
        const size_t have = end - r->used;
        uint8_t *p = exact_copy(data + r->used, have);
        r->used += take_all(r, p, have);
        free(p);
    } while (r->status == 0 && end < length);
}

/* The RFC, one rule after the other, with none of the code under test. Returns the place of
 * the last frame, or of what stands behind a close frame. */
static size_t oracle(const uint8_t *data, size_t length, size_t limit, bytes *out,
                     bool *refused) {
    bytes message = {0};
    unsigned started = 0;
    size_t at = 0;
    *refused = false;
    while (length - at >= 1) {
        const unsigned opcode = data[at] & 15, fin = data[at] >> 7;
        *refused = (data[at] & 0x70) != 0 || (opcode > 2 && opcode < 8) || opcode > 10 ||
                   (opcode >= 8 && !fin) || (opcode == 0 && started == 0) ||
                   ((opcode == 1 || opcode == 2) && started != 0);
        if (*refused || length - at < 2)
            break;
        uint64_t n = data[at + 1] & 127;
        size_t header = n == 127 ? 10 : n == 126 ? 4 : 2;
        *refused = data[at + 1] >= 128 || (opcode >= 8 && n > 125);
        if (*refused || length - at < header)
            break;
        if (header > 2) {
            n = 0;
            for (size_t i = 2; i < header; i++)
                n = n << 8 | data[at + i];
        }
        *refused = (header == 4 && n < 126) || (header == 10 && n < 65536) || n >> 63 != 0 ||
                   (opcode < 8 && n > limit - message.length) || (opcode == 8 && n == 1);
        if (*refused || length - at - header < n)
            break;
        const uint8_t *payload = data + at + header;
        if (opcode == 8 && n > 0) {
            const unsigned code = payload[0] * 256u + payload[1];
            *refused = code < 1000 || code >= 5000 || (code > 1014 && code < 3000) ||
                       (code >= 1004 && code <= 1006) ||
                       !ff_utf8_valid(payload + 2, (size_t)n - 2);
            if (*refused)
                break;
        }
        at += header + (size_t)n;
        if (opcode >= 8) {
            keep(out, opcode, payload, (size_t)n);
            if (opcode == 8) {
                at = length;
                break;
            }
            continue;
        }
        started = opcode != 0 ? opcode : started;
        put(&message, payload, (size_t)n);
        if (fin) {
            keep(out, started, message.data, message.length);
            message.length = 0;
            started = 0;
        }
    }
    free(message.data);
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (length < 2)
        return 0;
    const size_t limit = (size_t)1 << (data[0] & 15) | (data[0] >> 4);
    const uint64_t cut = data[1];
    data += 2;
    length -= 2;
    result whole = {0}, pieces = {0};
    ff_ws_init(&whole.ws, limit);
    ff_ws_init(&pieces.ws, limit);
    whole.used = take_all(&whole, data, length);
    in_pieces(&pieces, data, length, cut);
    CHECK(whole.status == pieces.status && whole.used == pieces.used);
    CHECK(whole.used <= length && whole.ws.counters.bytes == whole.used);
    CHECK(whole.out.length == pieces.out.length);
    CHECK(whole.out.length == 0 ||
          memcmp(whole.out.data, pieces.out.data, whole.out.length) == 0);
    CHECK(memcmp(&whole.ws.counters, &pieces.ws.counters, sizeof whole.ws.counters) == 0);

    bytes want = {0};
    bool refused;
    CHECK(oracle(data, length, limit, &want, &refused) == whole.used);
    CHECK(refused == (whole.status < 0));
    CHECK(want.length == whole.out.length);
    CHECK(want.length == 0 || memcmp(want.data, whole.out.data, want.length) == 0);
    free(want.data);

    /* The same bytes sent and, without the mask, received: one message. */
    const uint8_t mask[FF_WS_MASK] = {(uint8_t)cut, 0x5a, 0, (uint8_t)length};
    uint8_t *frame = malloc(ff_ws_frame_size(length));
    CHECK(frame != NULL);
    size_t size = ff_ws_frame(frame, FF_WS_BINARY, data, length, mask), used;
    CHECK(size == ff_ws_frame_size(length));
    uint8_t *payload = frame + size - length;
    for (size_t i = 0; i < length; i++)
        payload[i] ^= mask[i % FF_WS_MASK];
    frame[1] &= 0x7f;
    memmove(payload - FF_WS_MASK, payload, length);
    ff_ws_reset(&whole.ws);
    whole.ws.max_message = length;
    ff_ws_message message;
    CHECK(ff_ws_next(&whole.ws, frame, size - FF_WS_MASK, &used, &message) == 1);
    CHECK(used == size - FF_WS_MASK && message.length == length);
    CHECK(memcmp(message.data, data, length) == 0);
    free(frame);

    ff_ws_free(&whole.ws);
    ff_ws_free(&pieces.ws);
    free(whole.out.data);
    free(pieces.out.data);
    return 0;
}

bool fuzz_seed(size_t number, bytes *seed) {
    static const char *const push =
        "{\"cmd_id\":22998,\"data\":{\"code\":\"700.HK\",\"seq\":1}}";
    if (number >= 10)
        return false;
    put_u8(seed, number == 9 ? 4 : 13);
    put_u8(seed, (unsigned)(number * 41));
    switch (number % 5) {
    case 0:
        for (int i = 0; i < 4; i++)
            put_frame_text(seed, FIN | FF_WS_TEXT, push);
        put_frame(seed, FIN | FF_WS_CLOSE, "\x03\xe8 bye", 6);
        put_frame_text(seed, FIN | FF_WS_TEXT, push);
        break;
    case 1:
        put_frame_text(seed, MORE | FF_WS_TEXT, push);
        put_frame_text(seed, FIN | FF_WS_PING, "ping");
        put_frame_text(seed, MORE, push);
        put_frame_text(seed, FIN | FF_WS_PONG, "");
        put_frame_text(seed, FIN, push);
        put_frame(seed, FIN | FF_WS_CLOSE, "\x03\xe9\xe2\x82\xac", 5);
        break;
    case 2:
        put_frame_of(seed, FIN | FF_WS_BINARY, 125, 1);
        put_frame_of(seed, FIN | FF_WS_BINARY, 126, 2);
        put_frame_of(seed, MORE | FF_WS_BINARY, 300, 3);
        put_frame_of(seed, MORE, 0, 4);
        put_frame_of(seed, FIN, 700, 5);
        break;
    case 3:
        put_frame_text(seed, FIN | FF_WS_BINARY, "");
        put_header(seed, FIN | FF_WS_BINARY, 64, 70000);
        put(seed, push, strlen(push));
        break;
    default:
        put_frame_text(seed, MORE | FF_WS_TEXT, "a");
        put_frame_text(seed, MORE, "");
        put_frame_text(seed, FIN, "b");
        put_frame_text(seed, FIN | FF_WS_CLOSE, "");
        put_frame_text(seed, FIN, "behind the end");
    }
    return true;
}
