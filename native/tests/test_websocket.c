#include "fastfeed/websocket.h"

#include "check.h"
#include "websocket_bytes.h"

enum { LIMIT = 1 << 20 };

/* What came out of a stream: opcode, length and data of each message. */
typedef struct result {
    ff_ws ws;
    bytes out;
    size_t count;
    size_t used; /* of the whole stream */
    int status;  /* of the last call */
} result;

static void open_result(result *r, size_t limit) {
    memset(r, 0, sizeof *r);
    ff_ws_init(&r->ws, limit);
}

static void close_result(result *r) {
    ff_ws_free(&r->ws);
    free(r->out.data);
}

static void keep(result *r, const ff_ws_message *message) {
    const uint64_t length = message->length;
    CHECK(message->data != NULL);
    put(&r->out, &message->opcode, sizeof message->opcode);
    put(&r->out, &length, sizeof length);
    put(&r->out, message->data, message->length);
    r->count++;
}

/* The stream in pieces of at most `step` bytes, each in memory of its own with what the one
 * before has left over. */
static void receive(result *r, const uint8_t *data, size_t length, size_t step) {
    size_t end = 0;
    r->status = 0;
    do {
        end = length - end > step ? end + step : length;
        uint8_t *p = exact_copy(data + r->used, end - r->used);
        const size_t have = end - r->used;
        size_t at = 0, used;
        ff_ws_message message;
        while ((r->status = ff_ws_next(&r->ws, p + at, have - at, &used, &message)) > 0) {
            CHECK(used > 0 && used <= have - at);
            keep(r, &message);
            at += used;
        }
        CHECK(used <= have - at);
        at += used;
        r->used += at;
        free(p);
    } while (r->status == 0 && end < length);
}

static void same_result(const result *a, const result *b) {
    CHECK_EQ(a->status, b->status);
    CHECK_EQ(a->used, b->used);
    CHECK_EQ(a->count, b->count);
    CHECK_EQ(a->out.length, b->out.length);
    CHECK(a->out.length == 0 || memcmp(a->out.data, b->out.data, a->out.length) == 0);
    CHECK(memcmp(&a->ws.counters, &b->ws.counters, sizeof a->ws.counters) == 0);
}

/* The result of a stream, the same for every size of the pieces and for one cut anywhere; of a
 * long stream for a few. */
static void receive_all(result *whole, const bytes *stream, size_t limit) {
    open_result(whole, limit);
    receive(whole, stream->data, stream->length, SIZE_MAX);
    const bool is_long = stream->length > 2000;
    const size_t most = is_long ? 20 : stream->length;
    for (size_t step = is_long ? 8000 : 1; step <= stream->length;
         step += is_long ? 7777 : 1) {
        result cut;
        open_result(&cut, limit);
        receive(&cut, stream->data, stream->length, step);
        same_result(whole, &cut);
        close_result(&cut);
    }
    for (size_t at = 1; at < most; at++) {
        result cut;
        open_result(&cut, limit);
        receive(&cut, stream->data, at, SIZE_MAX);
        if (cut.status == 0) { /* otherwise its reason was in the first part */
            const size_t used = cut.used;
            cut.used = 0;
            receive(&cut, stream->data + used, stream->length - used, SIZE_MAX);
            cut.used += used;
        }
        same_result(whole, &cut);
        close_result(&cut);
    }
}

/* Expect a stream to be refused: at its last frame, which begins at `at`, for a reason; and
 * not before the byte `needs` of that frame was there. */
static void refused(bytes *stream, size_t at, size_t needs, int reason) {
    result r;
    receive_all(&r, stream, LIMIT);
    CHECK_EQ(r.status, -reason);
    CHECK_EQ(r.used, at);
    CHECK_EQ(r.ws.counters.bytes, at);
    CHECK_EQ(r.ws.state, FF_WS_FAILED);
    /* For good. */
    size_t used = 1;
    ff_ws_message message;
    CHECK_EQ(ff_ws_next(&r.ws, (const uint8_t *)"\x81\x02hi", 4, &used, &message), -reason);
    CHECK_EQ(used, 0);
    ff_ws_reset(&r.ws);
    CHECK_EQ(r.ws.failed, 0);
    CHECK_EQ(ff_ws_next(&r.ws, (const uint8_t *)"\x81\x02hi", 4, &used, &message), 1);
    CHECK_EQ(used, 4);
    close_result(&r);

    open_result(&r, LIMIT); /* a byte earlier it is not known yet */
    receive(&r, stream->data, at + needs - 1, SIZE_MAX);
    CHECK_EQ(r.status, 0);
    close_result(&r);
    open_result(&r, LIMIT);
    receive(&r, stream->data, at + needs, SIZE_MAX);
    CHECK_EQ(r.status, -reason);
    close_result(&r);
    free(stream->data);
    *stream = (bytes){0};
}

/* The same, for a header alone. */
static void refused_header(unsigned first, unsigned second, size_t needs, int reason) {
    bytes b = {0};
    put_u8(&b, first);
    put_u8(&b, second);
    for (int i = 0; i < 20; i++)
        put_u8(&b, 0);
    refused(&b, 0, needs, reason);
}

static void test_first_byte(void) {
    for (unsigned first = 0; first < 256; first++) {
        const unsigned opcode = first & 0x0f;
        if ((first & 0x70) != 0 || (opcode > 2 && opcode < 8) || opcode > 10)
            refused_header(first, 0, 1, FF_EFRAME);
        else if (opcode == 0 || (opcode >= 8 && (first & FIN) == 0))
            refused_header(first, 0, 1, FF_EFRAGMENT);
        if (opcode != 0 && (first & 0x70) == 0) { /* the same inside of a message */
            bytes b = {0};
            put_frame_text(&b, MORE | FF_WS_TEXT, "one");
            const size_t at = b.length;
            put_frame_text(&b, first, "");
            if ((opcode > 2 && opcode < 8) || opcode > 10)
                refused(&b, at, 1, FF_EFRAME);
            else if (opcode < 3 || (first & FIN) == 0)
                refused(&b, at, 1, FF_EFRAGMENT);
            free(b.data);
        }
    }
}

static void test_second_byte(void) {
    for (unsigned length = 0; length < 128; length++) {
        refused_header(FIN | FF_WS_TEXT, MASKED | length, 2, FF_EFRAME);
        refused_header(FIN | FF_WS_PONG, MASKED | length, 2, FF_EFRAME);
    }
    for (unsigned opcode = FF_WS_CLOSE; opcode <= FF_WS_PONG; opcode++) {
        refused_header(FIN | opcode, 126, 2, FF_EFRAME);
        refused_header(FIN | opcode, 127, 2, FF_EFRAME);
    }
    refused_header(FIN | FF_WS_CLOSE, 1, 2, FF_ECLOSE);
}

static void test_lengths(void) {
    static const size_t lengths[] = {0, 1, 2, 125, 126, 127, 255, 256, 65535, 65536, 65537};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        bytes b = {0};
        put_frame_of(&b, FIN | FF_WS_BINARY, lengths[i], 7);
        const size_t header = b.length - lengths[i];
        CHECK_EQ(header, lengths[i] < 126 ? 2 : lengths[i] < 65536 ? 4 : 10);
        uint8_t *p = exact_copy(b.data, b.length);
        ff_ws ws;
        ff_ws_init(&ws, LIMIT);
        size_t used;
        ff_ws_message message;
        for (size_t have = 0; have < b.length; have++) {
            uint8_t *part = have < 20 ? exact_copy(b.data, have) : p;
            CHECK_EQ(ff_ws_next(&ws, part, have, &used, &message), 0);
            CHECK_EQ(used, 0);
            if (part != p)
                free(part);
        }
        CHECK_EQ(ff_ws_next(&ws, p, b.length, &used, &message), 1);
        CHECK_EQ(used, b.length);
        CHECK_EQ(message.opcode, FF_WS_BINARY);
        CHECK_EQ(message.length, lengths[i]);
        CHECK(message.data == p + header); /* in place */
        CHECK(ws.buffer == NULL);
        CHECK_EQ(ws.counters.bytes, b.length);
        CHECK_EQ(ws.counters.frames, 1);
        CHECK_EQ(ws.counters.messages, 1);
        free(p);
        result r;
        receive_all(&r, &b, LIMIT);
        CHECK_EQ(r.count, 1);
        close_result(&r);
        free(b.data);
    }
    for (uint64_t length = 0; length < 126; length++) {
        bytes b = {0};
        put_header(&b, FIN | FF_WS_TEXT, 16, length);
        put(&b, "0123456789", 10);
        refused(&b, 0, 4, FF_EFRAME);
        put_header(&b, MORE | FF_WS_TEXT, 64, length);
        put(&b, "0123456789", 10);
        refused(&b, 0, 10, FF_EFRAME);
    }
    bytes b = {0};
    put_header(&b, FIN | FF_WS_TEXT, 64, 65535);
    refused(&b, 0, 10, FF_EFRAME);
    put_header(&b, FIN | FF_WS_TEXT, 64, (uint64_t)1 << 63);
    refused(&b, 0, 10, FF_EFRAME);
    put_header(&b, FIN | FF_WS_TEXT, 64, UINT64_MAX);
    refused(&b, 0, 10, FF_EFRAME);
    put_header(&b, FIN | FF_WS_TEXT, 64, INT64_MAX);
    refused(&b, 0, 10, FF_ELENGTH);
}

static void test_limit(void) {
    bytes b = {0};
    put_header(&b, FIN | FF_WS_TEXT, 64, LIMIT + 1);
    refused(&b, 0, 10, FF_ELENGTH);
    put_frame_of(&b, FIN | FF_WS_TEXT, LIMIT, 1);
    result r;
    open_result(&r, LIMIT);
    receive(&r, b.data, b.length, 4096);
    CHECK_EQ(r.count, 1);
    close_result(&r);
    free(b.data);

    /* The sum of fragments, for each form of a length; empty ones add nothing. */
    for (size_t limit = 0; limit < 300; limit += 1 + limit / 9) {
        for (size_t first = 0; first <= limit; first += 1 + first / 5) {
            for (size_t more = 0; more < 2; more++) {
                bytes stream = {0};
                put_frame_of(&stream, MORE | FF_WS_BINARY, first, 1);
                put_frame_of(&stream, MORE, 0, 1);
                put_frame_of(&stream, FIN | FF_WS_PING, 125, 1);
                const size_t at = stream.length;
                put_frame_of(&stream, FIN, limit - first + more, 1);
                open_result(&r, limit);
                receive(&r, stream.data, stream.length - more, SIZE_MAX);
                CHECK_EQ(r.status, more ? -FF_ELENGTH : 0);
                CHECK_EQ(r.used, more ? at : stream.length);
                CHECK_EQ(r.count, more ? 1 : 2);
                CHECK(r.ws.size <= limit);
                close_result(&r);
                free(stream.data);
            }
        }
    }
    /* A single message, too, on the short way. */
    for (size_t length = 0; length < 400; length++) {
        bytes stream = {0};
        put_frame_of(&stream, FIN | FF_WS_BINARY, length, 1);
        open_result(&r, 200);
        receive(&r, stream.data, stream.length, SIZE_MAX);
        CHECK_EQ(r.status, length > 200 ? -FF_ELENGTH : 0);
        CHECK_EQ(r.count, length <= 200);
        close_result(&r);
        free(stream.data);
    }
}

/* The buffer grows by less and by more than it is. */
static void test_growth(void) {
    static const size_t sizes[] = {1, 255, 256, 257, 511, 513, 3000, 100000};
    for (size_t first = 0; first < 8; first++) {
        for (size_t second = 0; second < 8; second++) {
            bytes b = {0};
            put_frame_of(&b, MORE | FF_WS_BINARY, sizes[first], 9);
            put_frame_of(&b, MORE, sizes[second], (unsigned)(9 + sizes[first] * 31));
            put_frame_text(&b, FIN, "");
            const size_t length = sizes[first] + sizes[second];
            bytes whole = {0};
            put_frame_of(&whole, FIN | FF_WS_BINARY, length, 9);
            ff_ws ws;
            ff_ws_init(&ws, LIMIT);
            size_t used;
            ff_ws_message message;
            CHECK_EQ(ff_ws_next(&ws, b.data, b.length, &used, &message), 1);
            CHECK_EQ(used, b.length);
            CHECK_EQ(message.length, length);
            CHECK(memcmp(message.data, whole.data + whole.length - length, length) == 0);
            ff_ws_free(&ws);
            free(whole.data);
            free(b.data);
        }
    }
}

/* What a header claims costs no memory; what came does, and is given back. */
static void test_memory(void) {
    ff_ws ws;
    size_t used;
    ff_ws_message message;
    bytes b = {0};
    ff_ws_init(&ws, LIMIT);
    put_header(&b, MORE | FF_WS_TEXT, 64, LIMIT);
    CHECK_EQ(ff_ws_next(&ws, b.data, b.length, &used, &message), 0);
    CHECK(used == 0 && ws.buffer == NULL);
    b.length = 0;
    for (size_t i = 0; i < LIMIT / 1024; i++)
        put_frame_of(&b, i == 0 ? MORE | FF_WS_TEXT : MORE, 1024, 3);
    CHECK_EQ(ff_ws_next(&ws, b.data, b.length, &used, &message), 0);
    CHECK_EQ(used, b.length);
    CHECK_EQ(ws.size, LIMIT);
    CHECK_EQ(ff_ws_next(&ws, (const uint8_t *)"\x80", 2, &used, &message), 1);
    CHECK_EQ(message.length, LIMIT);
    CHECK(message.data == ws.buffer);
    CHECK_EQ(ff_ws_next(&ws, b.data, 0, &used, &message), 0);
    CHECK(ws.buffer == NULL && ws.size == 0);

    /* A small one stays for the next message; the end of the connection drops what is in it.
     */
    CHECK_EQ(ff_ws_next(&ws, (const uint8_t *)"\x01\x03one", 5, &used, &message), 0);
    CHECK_EQ(used, 5);
    const uint8_t *buffer = ws.buffer;
    ff_ws_reset(&ws);
    CHECK_EQ(ff_ws_next(&ws, (const uint8_t *)"\x02\x03two\x80\x01!", 8, &used, &message), 1);
    CHECK(message.data == buffer && message.length == 4);
    CHECK(memcmp(message.data, "two!", 4) == 0);
    CHECK_EQ(message.opcode, FF_WS_BINARY);
    CHECK_EQ(ff_ws_next(&ws, NULL, 0, &used, &message), 0);
    ff_ws_free(&ws);
    ff_ws_free(&ws);
    free(b.data);
}

static void test_fragments(void) {
    bytes b = {0};
    put_frame_text(&b, FIN | FF_WS_TEXT, "alone");
    put_frame_text(&b, MORE | FF_WS_TEXT, "one ");
    put_frame_text(&b, FIN | FF_WS_PING, "are you there?");
    put_frame_text(&b, MORE, "two ");
    put_frame_text(&b, MORE, "");
    put_frame_text(&b, FIN | FF_WS_PONG, "");
    put_frame_text(&b, FIN | FF_WS_PING, "");
    put_frame_text(&b, FIN, "three");
    put_frame_text(&b, FIN | FF_WS_BINARY, "");
    put_frame_text(&b, MORE | FF_WS_BINARY, "");
    put_frame_text(&b, FIN, "");
    put_frame_text(&b, MORE | FF_WS_BINARY, "");
    put_frame_text(&b, FIN, "in place");
    put_frame_text(&b, MORE | FF_WS_BINARY, "all of it");
    put_frame_text(&b, FIN, "");
    put_frame_of(&b, MORE | FF_WS_TEXT, 200, 5);
    put_frame_of(&b, FIN, 300, 200 * 31 + 5);
    put_frame_text(&b, FIN | FF_WS_TEXT, "x");
    result r, want;
    receive_all(&r, &b, LIMIT);
    CHECK_EQ(r.status, 0);
    CHECK_EQ(r.used, b.length);
    CHECK_EQ(r.ws.counters.frames, 18);
    CHECK_EQ(r.ws.counters.messages, 8);
    open_result(&want, 0);
    static const struct {
        unsigned opcode;
        const char *text;
    } first[] = {
        {FF_WS_TEXT, "alone"}, {FF_WS_PING, "are you there?"}, {FF_WS_PONG, ""},
        {FF_WS_PING, ""},      {FF_WS_TEXT, "one two three"},  {FF_WS_BINARY, ""},
        {FF_WS_BINARY, ""},    {FF_WS_BINARY, "in place"},     {FF_WS_BINARY, "all of it"},
    };
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        ff_ws_message message = {first[i].opcode, (const uint8_t *)first[i].text,
                                 strlen(first[i].text)};
        keep(&want, &message);
    }
    bytes frame = {0};
    put_frame_of(&frame, FIN | FF_WS_TEXT, 500, 5);
    keep(&want, &(ff_ws_message){FF_WS_TEXT, frame.data + 4, 500});
    keep(&want, &(ff_ws_message){FF_WS_TEXT, (const uint8_t *)"x", 1});
    CHECK_EQ(r.count, want.count);
    CHECK_EQ(r.out.length, want.out.length);
    CHECK(memcmp(r.out.data, want.out.data, want.out.length) == 0);
    free(frame.data);
    close_result(&r);
    close_result(&want);
    b.length = 0;

    put_frame_text(&b, MORE | FF_WS_TEXT, "one");
    put_frame_text(&b, FIN, "two");
    const size_t at = b.length;
    put_frame_text(&b, FIN, "three");
    refused(&b, at, 1, FF_EFRAGMENT);
}

static void put_close(bytes *b, unsigned code, const char *reason) {
    bytes payload = {0};
    put_u8(&payload, code >> 8);
    put_u8(&payload, code & 0xff);
    put(&payload, reason, strlen(reason));
    put_frame(b, FIN | FF_WS_CLOSE, payload.data, payload.length);
    free(payload.data);
}

static void closes(bytes *stream) {
    const size_t length = stream->length;
    put(stream, "\xff what follows is not looked at", 31);
    result r;
    receive_all(&r, stream, LIMIT);
    CHECK_EQ(r.status, 0);
    CHECK_EQ(r.used, stream->length);
    CHECK_EQ(r.count, 1);
    CHECK_EQ(r.ws.state, FF_WS_CLOSED);
    CHECK_EQ(r.ws.counters.bytes, stream->length);
    CHECK_EQ(r.out.length, 12 + length - 2);
    CHECK_EQ(r.out.data[0], FF_WS_CLOSE);
    CHECK(memcmp(r.out.data + 12, stream->data + 2, length - 2) == 0);
    close_result(&r);
    stream->length = 0;
}

static void test_close(void) {
    static const char *const bad[] = {
        "\x80",
        "\xff",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xe2(\xa1",
        "\xe2\x82(",
        "\xed\xa0\x80",
        "\xf0\x90\x8d",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf0(\x8c\xbc",
    };
    bytes b = {0};
    put_frame_text(&b, FIN | FF_WS_CLOSE, "");
    closes(&b);
    put_close(&b, 1000, "it is enough: \xc3\xa9 \xe2\x82\xac \xed\x9f\xbf \xf0\x9f\x98\x80");
    closes(&b);
    for (unsigned code = 0; code < 5100; code += code < 900 || code > 3100 ? 7 : 1) {
        const bool good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                          (code >= 3000 && code <= 4999);
        put_close(&b, code, "bye");
        if (good)
            closes(&b);
        else
            refused(&b, 0, 7, FF_ECLOSE);
    }
    for (unsigned code = 5000; code < 65536; code += 12107) {
        put_close(&b, code, "");
        refused(&b, 0, 4, FF_ECLOSE);
    }
    put_close(&b, 4999, "");
    closes(&b);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_close(&b, 1000, bad[i]);
        refused(&b, 0, b.length, FF_EUTF8);
        char text[40] = "more than eight letters, ";
        strcat(text, bad[i]);
        put_close(&b, 1000, text);
        refused(&b, 0, b.length, FF_EUTF8);
    }
    /* In the middle of a message, which never ends then. */
    put_frame_text(&b, MORE | FF_WS_TEXT, "one");
    put_frame_text(&b, FIN | FF_WS_CLOSE, "");
    put_frame_text(&b, FIN, "two");
    result r;
    receive_all(&r, &b, LIMIT);
    CHECK_EQ(r.count, 1);
    CHECK_EQ(r.ws.counters.messages, 0);
    ff_ws_reset(&r.ws);
    CHECK_EQ(r.ws.state, FF_WS_READY);
    close_result(&r);
    free(b.data);
}

static void test_failing_from_outside(void) {
    ff_ws ws;
    size_t used;
    ff_ws_message message;
    ff_ws_init(&ws, LIMIT);
    CHECK_EQ(ff_ws_next(&ws, (const uint8_t *)"\x81\x02\xc3(", 4, &used, &message), 1);
    ff_ws_fail(&ws, FF_EUTF8);
    CHECK_EQ(ff_ws_next(&ws, (const uint8_t *)"\x81\x02hi", 4, &used, &message), -FF_EUTF8);
    CHECK_EQ(ff_ws_close_code(FF_EUTF8), 1007);
    CHECK_EQ(ff_ws_close_code(FF_ELENGTH), 1009);
    CHECK_EQ(ff_ws_close_code(FF_ENOMEM), 1011);
    CHECK_EQ(ff_ws_close_code(FF_EFRAME), 1002);
    CHECK_EQ(ff_ws_close_code(FF_EFRAGMENT), 1002);
    CHECK_EQ(ff_ws_close_code(FF_ECLOSE), 1002);
    ff_ws_free(&ws);
}

/* Byte by byte, as the RFC says it. */
static void check_frame(const uint8_t *frame, size_t size, unsigned opcode,
                        const uint8_t *payload, size_t length, const uint8_t *mask) {
    bytes want = {0};
    put_header(&want, FIN | opcode, length < 126 ? 7 : length < 65536 ? 16 : 64, length);
    want.data[1] |= MASKED;
    put(&want, mask, 4);
    for (size_t i = 0; i < length; i++)
        put_u8(&want, payload[i] ^ mask[i % 4]);
    CHECK_EQ(size, want.length);
    CHECK(memcmp(frame, want.data, size) == 0);
    free(want.data);
}

static void test_sending(void) {
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    for (size_t length = 0; length < 66000; length = length < 300 ? length + 1 : length * 2) {
        for (size_t more = 0; more < (length > 16384 ? 2 : 1); more++) {
            const size_t n = more == 1 ? 65535 : length;
            bytes payload = {0};
            for (size_t i = 0; i < n; i++)
                put_u8(&payload, (unsigned)(i * 7 + length) & 0xff);
            const size_t size = ff_ws_frame_size(n);
            uint8_t *out = malloc(size);
            CHECK(out != NULL);
            CHECK_EQ(ff_ws_frame(out, FF_WS_TEXT, payload.data, n, mask), size);
            check_frame(out, size, FF_WS_TEXT, payload.data, n, mask);
            if (n > 0)
                memcpy(out + size - n, payload.data, n);
            CHECK_EQ(ff_ws_frame(out, FF_WS_BINARY, out + size - n, n, mask), size);
            check_frame(out, size, FF_WS_BINARY, payload.data, n, mask);
            free(out);
            free(payload.data);
        }
    }
    /* Section 5.7: a masked "Hello", and its unmasked counterpart. */
    uint8_t out[32];
    CHECK_EQ(ff_ws_frame(out, FF_WS_TEXT, (const uint8_t *)"Hello", 5, mask), 11);
    CHECK(memcmp(out, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11) == 0);
    CHECK_EQ(ff_ws_frame(out, FF_WS_CLOSE, NULL, 0, mask), 6);
}

int main(void) {
    test_first_byte();
    test_second_byte();
    test_lengths();
    test_limit();
    test_growth();
    test_memory();
    test_fragments();
    test_close();
    test_failing_from_outside();
    test_sending();
    return 0;
}
