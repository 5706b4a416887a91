#include "fastfeed/alltick.h"

#include "alltick_messages.h"
#include "websocket_bytes.h"

enum { CAPACITY = 64, WINDOW = 4096, DEPTH = 5 };

/* A machine that listens to ticks and books, and what came out of it. */
typedef struct fixture {
    ff_symbols symbols;
    ff_ring rings[2];
    ff_latest latest;
    ff_alltick machine;
    bytes rows;     /* every row published */
    bytes messages; /* every message for the session: opcode, length, data */
    int status;     /* of the last process call */
} fixture;

static const ff_stream streams[] = {FF_STREAM_TICKS, FF_STREAM_BOOKS};

static void open_fixture(fixture *f) {
    memset(f, 0, sizeof *f);
    CHECK_EQ(ff_symbols_init(&f->symbols, 1000), 0);
    CHECK_EQ(ff_alltick_init(&f->machine, WINDOW, 1 << 16, &f->symbols), 0);
    CHECK_EQ(ff_ring_create(&f->rings[0], sizeof(ff_tick), CAPACITY), 0);
    CHECK_EQ(ff_ring_create(&f->rings[1], ff_book_size(DEPTH), CAPACITY), 0);
    CHECK_EQ(ff_latest_create(&f->latest, ff_book_size(DEPTH), 1000), 0);
    for (size_t i = 0; i < 2; i++)
        f->machine.sink.rings[streams[i]] = &f->rings[i];
    f->machine.sink.latest[FF_STREAM_BOOKS] = &f->latest;
    f->machine.decoder.depth = DEPTH;
    f->machine.decoder.learn = true;
    f->machine.decoder.recv_ns = RECV_NS;
    f->machine.upgraded = true;
}

static void close_fixture(fixture *f) {
    ff_alltick_free(&f->machine);
    for (size_t i = 0; i < 2; i++)
        ff_ring_close(&f->rings[i]);
    ff_latest_close(&f->latest);
    ff_symbols_free(&f->symbols);
    free(f->rows.data);
    free(f->messages.data);
}

static void publish(fixture *f) {
    uint64_t at[2], lost = 0;
    for (size_t i = 0; i < 2; i++)
        at[i] = ff_ring_published(&f->rings[i]);
    ff_sink_publish(&f->machine.sink);
    for (size_t i = 0; i < 2; i++) {
        uint64_t n = ff_ring_poll(&f->rings[i], &at[i], &lost);
        CHECK_EQ(lost, 0); /* a reader that keeps up loses nothing */
        if (n > 0)
            put(&f->rows, ff_ring_row(&f->rings[i], at[i]), n * f->rings[i].row_size);
    }
}

static void process(fixture *f) {
    ff_frame frame;
    while ((f->status = ff_alltick_process(&f->machine, &frame)) > 0) {
        if (f->status == FF_FRAME) {
            const uint64_t length = frame.length;
            put(&f->messages, &frame.kind, sizeof frame.kind);
            put(&f->messages, &length, sizeof length);
            put(&f->messages, frame.data, frame.length);
        } else {
            CHECK_EQ(f->status, FF_ROWS_FULL);
            publish(f);
        }
    }
    publish(f);
}

/* Through the window, in pieces of at most `step` bytes. */
static void receive(fixture *f, const bytes *stream, size_t step) {
    for (size_t at = 0; at < stream->length;) {
        size_t room, n = stream->length - at;
        uint8_t *place = ff_window_space(&f->machine.window, 1, &room);
        CHECK(place != NULL && room > 0);
        n = n < step ? n : step;
        n = n < room ? n : room;
        memcpy(place, stream->data + at, n);
        ff_window_commit(&f->machine.window, n);
        at += n;
        process(f);
    }
}

static void put_json(bytes *stream, const char *text) {
    put_frame(stream, 0x80 | FF_WS_TEXT, text, strlen(text));
}

static void test_cut(void) {
    bytes stream = {0};
    for (size_t i = 0; i < sizeof alltick_messages / sizeof *alltick_messages; i++) {
        put_json(&stream, alltick_messages[i]);
        put_frame(&stream, 0x80 | FF_WS_PING, "p", 1);
    }
    put_json(&stream, "{\"ret\":200,\"msg\":\"ok\",\"cmd_id\":22005,\"seq_id\":1}");
    put_json(&stream, "not JSON");
    put_json(&stream, "{\"cmd_id\":22998");
    fixture whole;
    open_fixture(&whole);
    receive(&whole, &stream, SIZE_MAX);
    CHECK_EQ(whole.status, 0);
    CHECK_EQ(whole.machine.counters.bytes, stream.length);
    CHECK(whole.rows.length > 0 && whole.messages.length > 0);
    CHECK(whole.machine.counters.rejected[FF_EJSON] >= 1);
    CHECK(whole.machine.decoder.non_json >= 1);
    for (size_t step = 1; step < 400; step += step < 40 ? 1 : 37) {
        fixture cut;
        open_fixture(&cut);
        receive(&cut, &stream, step);
        CHECK_EQ(cut.rows.length, whole.rows.length);
        CHECK_EQ(cut.messages.length, whole.messages.length);
        CHECK(memcmp(cut.messages.data, whole.messages.data, cut.messages.length) == 0);
        CHECK(memcmp(&cut.machine.counters, &whole.machine.counters,
                     sizeof cut.machine.counters) == 0);
        close_fixture(&cut);
    }
    close_fixture(&whole);
    free(stream.data);
}

/* Before the handshake is done, everything is the session's. */
static void test_handshake(void) {
    fixture f;
    bytes stream = {0};
    open_fixture(&f);
    ff_alltick_reset(&f.machine);
    put(&stream, "HTTP/1.1 101", 12);
    receive(&f, &stream, 5);
    CHECK_EQ(f.messages.length, 3 * (4 + 8) + 12);
    CHECK_EQ(f.machine.counters.bytes, 12);
    f.machine.upgraded = true;
    stream.length = 0;
    put_json(&stream, alltick_messages[0]);
    receive(&f, &stream, 5);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 1);
    close_fixture(&f);
    free(stream.data);
}

static void test_stream_lost(void) {
    static const char bad_text[] = "{\"cmd_id\":22998,\"data\":{\"code\":\"\xff\"}}";
    const struct {
        uint8_t head;
        const char *payload;
        int reason;
    } cases[] = {
        {0x80 | 3, "", FF_EFRAME},
        {0x80, "", FF_EFRAGMENT},
        {0x80 | FF_WS_TEXT, bad_text, FF_EUTF8},
        {0x80 | FF_WS_TEXT, "\xff", FF_EUTF8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        bytes stream = {0};
        open_fixture(&f);
        put_json(&stream, alltick_messages[0]);
        put_frame(&stream, cases[i].head, cases[i].payload, strlen(cases[i].payload));
        put_json(&stream, alltick_messages[0]);
        receive(&f, &stream, SIZE_MAX);
        CHECK_EQ(f.status, -cases[i].reason);
        for (int reason = 0; reason < FF_REASONS; reason++)
            CHECK_EQ(f.machine.counters.rejected[reason], reason == cases[i].reason);
        CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 1);
        for (int k = 0; k < 100; k++) /* what still comes is not kept */
            receive(&f, &stream, SIZE_MAX);
        CHECK_EQ(f.machine.window.size, WINDOW);
        ff_alltick_reset(&f.machine);
        f.machine.upgraded = true;
        receive(&f, &stream, SIZE_MAX);
        CHECK_EQ(f.status, -cases[i].reason);
        close_fixture(&f);
        free(stream.data);
    }
    /* A binary message that is not UTF-8 is only a bad message. */
    fixture f;
    bytes stream = {0};
    open_fixture(&f);
    put_frame(&stream, 0x80 | FF_WS_BINARY, bad_text, strlen(bad_text));
    put_frame(&stream, 0x80 | FF_WS_BINARY, alltick_messages[0], strlen(alltick_messages[0]));
    receive(&f, &stream, SIZE_MAX);
    CHECK_EQ(f.status, 0);
    CHECK_EQ(f.machine.counters.rejected[FF_EUTF8], 1);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 1);
    close_fixture(&f);
    free(stream.data);
}

/* After a reconnect the last tick comes again: it is left out, and what follows has the flag
 * that rows may be missing before it. */
static void test_reconnect(void) {
    fixture f;
    bytes stream = {0};
    open_fixture(&f);
    put_json(&stream, alltick_messages[0]);
    receive(&f, &stream, SIZE_MAX);
    receive(&f, &stream, SIZE_MAX); /* twice on one connection are two trades */
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 2);
    CHECK_EQ(((ff_tick *)(void *)f.rows.data)[1].flags & FF_FLAG_GAP, 0);
    ff_alltick_reset(&f.machine);
    f.machine.upgraded = true;
    receive(&f, &stream, SIZE_MAX);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 2);
    CHECK_EQ(f.machine.counters.duplicates, 1);
    put_json(&stream, TICK_HEAD "\"700.HK\"," NUMBERS "\"price\":\"1\"}}");
    receive(&f, &stream, SIZE_MAX);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 3);
    CHECK_EQ(f.machine.counters.duplicates, 2);
    const ff_tick *last = (const ff_tick *)(const void *)f.rows.data + 2;
    CHECK(last->price == 1);
    CHECK_EQ(last->flags & FF_FLAG_GAP, FF_FLAG_GAP);
    CHECK_EQ(last->side, 0);
    /* A symbol whose ticks say nothing of buyer and seller. */
    CHECK_EQ(((const ff_tick *)(const void *)f.rows.data)->side, 1);
    ff_alltick_seen_of(&f.machine, last->symbol)->sideless = true;
    receive(&f, &stream, SIZE_MAX);
    CHECK_EQ(((const ff_tick *)(const void *)f.rows.data + 3)->side, 0);
    close_fixture(&f);
    free(stream.data);
}

/* More rows at once than the ring keeps unpublished. */
static void test_full(void) {
    fixture f;
    bytes stream = {0};
    open_fixture(&f);
    for (int i = 0; i < 10 * CAPACITY; i++)
        put_json(&stream, alltick_messages[0]);
    receive(&f, &stream, SIZE_MAX);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 10 * CAPACITY);
    CHECK_EQ(f.rows.length, 10 * CAPACITY * sizeof(ff_tick));
    close_fixture(&f);
    free(stream.data);
}

int main(void) {
    test_cut();
    test_handshake();
    test_stream_lost();
    test_reconnect();
    test_full();
    return 0;
}
