/* AllTick's machine: a received stream, whole and in pieces, gives the same rows, messages and
 * counters; its window stays bounded. The first byte of an input is the length of the pieces,
 * less one. */

#include "alltick_messages.h"
#include "fastfeed/alltick.h"
#include "websocket_bytes.h"

#include "fuzz.h"

enum { CAPACITY = 64, WINDOW = 4096, LIMIT = 1 << 16, DEPTH = 3 };

static const ff_stream streams[] = {FF_STREAM_TICKS, FF_STREAM_BOOKS};

typedef struct run {
    ff_symbols symbols;
    ff_ring rings[2];
    ff_alltick m;
    bytes rows;
    bytes messages;
    int status;
} run;

static void open_run(run *r) {
    memset(r, 0, sizeof *r);
    CHECK(ff_symbols_init(&r->symbols, 1000) == 0);
    CHECK(ff_alltick_init(&r->m, WINDOW, LIMIT, &r->symbols) == 0);
    CHECK(ff_ring_create(&r->rings[0], sizeof(ff_tick), CAPACITY) == 0);
    CHECK(ff_ring_create(&r->rings[1], ff_book_size(DEPTH), CAPACITY) == 0);
    for (size_t i = 0; i < 2; i++)
        r->m.sink.rings[streams[i]] = &r->rings[i];
    r->m.decoder.depth = DEPTH;
    r->m.decoder.learn = true;
    r->m.decoder.recv_ns = RECV_NS;
    r->m.upgraded = true;
}

static void close_run(run *r) {
    ff_alltick_free(&r->m);
    for (size_t i = 0; i < 2; i++)
        ff_ring_close(&r->rings[i]);
    ff_symbols_free(&r->symbols);
    free(r->rows.data);
    free(r->messages.data);
}

static void publish(run *r) {
    uint64_t at[2], lost = 0;
    for (size_t i = 0; i < 2; i++)
        at[i] = ff_ring_published(&r->rings[i]);
    ff_sink_publish(&r->m.sink);
    for (size_t i = 0; i < 2; i++) {
        const uint64_t n = ff_ring_poll(&r->rings[i], &at[i], &lost);
        CHECK(lost == 0);
        if (n > 0)
            put(&r->rows, ff_ring_row(&r->rings[i], at[i]), n * r->rings[i].row_size);
    }
}

static void receive(run *r, const uint8_t *data, size_t length, size_t step) {
    for (size_t at = 0; at < length;) {
        size_t room, n = length - at < step ? length - at : step;
        uint8_t *place = ff_window_space(&r->m.window, n, &room);
        ff_frame frame;
        CHECK(place != NULL && room >= n);
        memcpy(place, data + at, n);
        ff_window_commit(&r->m.window, n);
        at += n;
        while ((r->status = ff_alltick_process(&r->m, &frame)) > 0) {
            if (r->status == FF_FRAME) {
                put(&r->messages, &frame.kind, sizeof frame.kind);
                put(&r->messages, frame.data, frame.length);
            } else {
                publish(r);
            }
        }
        publish(r);
        CHECK(r->m.window.start <= r->m.window.end && r->m.window.end <= r->m.window.size);
        CHECK(r->m.window.size <= 4 * (LIMIT + n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (length == 0)
        return 0;
    const size_t step = (size_t)data[0] + 1;
    run whole, pieces;
    open_run(&whole);
    open_run(&pieces);
    receive(&whole, data + 1, length - 1, SIZE_MAX);
    receive(&pieces, data + 1, length - 1, step);
    check_same(&whole.messages, &pieces.messages);
    CHECK(whole.rows.length == pieces.rows.length);
    CHECK(memcmp(whole.m.sink.rows, pieces.m.sink.rows, sizeof whole.m.sink.rows) == 0);
    CHECK(whole.status == pieces.status);
    CHECK(whole.m.counters.messages == pieces.m.counters.messages);
    CHECK(memcmp(whole.m.counters.rejected, pieces.m.counters.rejected,
                 sizeof whole.m.counters.rejected) == 0);
    close_run(&whole);
    close_run(&pieces);
    return 0;
}

bool fuzz_seed(size_t number, bytes *seed) {
    const size_t count = sizeof alltick_messages / sizeof *alltick_messages;
    if (number > count)
        return false;
    put_u8(seed, 6);
    if (number < count) {
        put_frame_text(seed, FIN | FF_WS_TEXT, alltick_messages[number]);
        put_frame_text(seed, FIN | FF_WS_PING, "p");
        return true;
    }
    for (size_t i = 0; i < count; i++) /* all of them, in two fragments each */
        for (size_t half = 0; half < 2; half++) {
            const char *text = alltick_messages[i];
            const size_t middle = strlen(text) / 2;
            if (half == 0)
                put_frame(seed, MORE | FF_WS_TEXT, text, middle);
            else
                put_frame_text(seed, FIN | FF_WS_CONTINUATION, text + middle);
        }
    return true;
}
