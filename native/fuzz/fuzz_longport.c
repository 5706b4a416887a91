/* LongPort's machine: a received stream, whole and in pieces, gives the same rows, packets and
 * counters; its window stays bounded. The first byte of an input is the length of the pieces,
 * less one; the second says whether the stream is of WebSocket, and whether a symbol's ticks
 * are held. Compressed bodies are taken as if what was received were what comes of them. */

#include "longport_packets.h"

#include "fuzz.h"

enum { CAPACITY = 64, WINDOW = 4096, LIMIT = 1 << 16, DEPTH = 3, STREAMS = 4 };

static const ff_stream streams[STREAMS] = {FF_STREAM_TICKS, FF_STREAM_QUOTES, FF_STREAM_BOOKS,
                                           FF_STREAM_BROKERS};

typedef struct run {
    ff_symbols symbols;
    ff_ring *rings; /* of the streams */
    ff_latest latest[STREAMS];
    ff_order order;
    ff_longport m;
    bytes ticks; /* all that were published */
    bytes held;
    bytes rest; /* packets and frames for the session */
    int status;
} run;

static size_t row_size(size_t stream) {
    return streams[stream] == FF_STREAM_BOOKS ? ff_book_size(DEPTH)
                                              : ff_row_types[streams[stream]].size;
}

static void open_run(run *r, ff_ring *rings, unsigned options) {
    memset(r, 0, sizeof *r);
    r->rings = rings;
    CHECK(ff_symbols_init(&r->symbols, 1000) == 0);
    CHECK(ff_longport_init(&r->m, WINDOW, LIMIT, DEPTH, &r->symbols) == 0);
    for (size_t i = 0; i < STREAMS; i++) {
        CHECK(ff_latest_create(&r->latest[i], row_size(i), 1000 * FF_SESSIONS) == 0);
        r->m.sink.rings[streams[i]] = &r->rings[i];
        if (streams[i] != FF_STREAM_TICKS)
            r->m.sink.latest[streams[i]] = &r->latest[i];
    }
    ff_longport_reset(&r->m, (options & 1) != 0);
    r->m.upgraded = true;
    r->m.decoder.recv_ns = RECV_NS;
    ff_order_init(&r->order);
    if ((options & 2) != 0) {
        r->m.order = &r->order;
        if ((options & 4) != 0)
            ff_order_of(&r->order, 0)->held = true;
    }
}

static void close_run(run *r) {
    ff_longport_free(&r->m);
    ff_order_free(&r->order);
    for (size_t i = 0; i < STREAMS; i++)
        ff_latest_close(&r->latest[i]);
    ff_symbols_free(&r->symbols);
    free(r->ticks.data);
    free(r->held.data);
    free(r->rest.data);
}

static void publish(run *r) {
    uint64_t at[STREAMS], lost = 0;
    for (size_t i = 0; i < STREAMS; i++)
        at[i] = ff_ring_published(&r->rings[i]);
    ff_sink_publish(&r->m.sink);
    for (size_t i = 0; i < STREAMS; i++) {
        const uint64_t n = ff_ring_poll(&r->rings[i], &at[i], &lost);
        CHECK(lost == 0);
        if (n > 0 && streams[i] == FF_STREAM_TICKS)
            put(&r->ticks, ff_ring_row(&r->rings[i], at[i]), n * sizeof(ff_tick));
    }
}

static void take(run *r, int status, ff_frame *frame) {
    switch (status) {
    case FF_FRAME:
        put(&r->rest, &frame->kind, sizeof frame->kind);
        put(&r->rest, frame->data, frame->length);
        break;
    case FF_PACKET:
        put(&r->rest, &frame->serial, sizeof frame->serial);
        put_u8(&r->rest, (uint8_t)frame->kind);
        put(&r->rest, frame->data, frame->length);
        break;
    case FF_HELD:
        put(&r->held, frame->data, frame->length * sizeof(ff_tick));
        break;
    case FF_ZIPPED:
        status = ff_longport_take(&r->m, frame);
        CHECK(status != FF_ZIPPED);
        take(r, status, frame);
        break;
    default:
        publish(r);
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
        while ((r->status = ff_longport_process(&r->m, &frame)) > 0)
            take(r, r->status, &frame);
        publish(r);
        CHECK(r->m.inside == 0 && r->m.apart == NULL);
        CHECK(r->m.window.start <= r->m.window.end && r->m.window.end <= r->m.window.size);
        CHECK(r->m.window.size <= 4 * (LIMIT + n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    /* Mappings are slow to make: the same rings for all inputs. */
    static ff_ring rings[2][STREAMS];
    for (size_t i = 0; i < (size_t)2 * STREAMS; i++) {
        ff_ring *ring = &rings[i / STREAMS][i % STREAMS];
        if (ring->header == NULL)
            CHECK(ff_ring_create(ring, row_size(i % STREAMS), CAPACITY) == 0);
    }
    if (length < 2)
        return 0;
    const size_t step = (size_t)data[0] + 1;
    run whole, pieces;
    open_run(&whole, rings[0], data[1]);
    open_run(&pieces, rings[1], data[1]);
    receive(&whole, data + 2, length - 2, SIZE_MAX);
    receive(&pieces, data + 2, length - 2, step);
    check_same(&whole.rest, &pieces.rest);
    check_same(&whole.ticks, &pieces.ticks);
    check_same(&whole.held, &pieces.held);
    CHECK(memcmp(whole.m.sink.rows, pieces.m.sink.rows, sizeof whole.m.sink.rows) == 0);
    CHECK(whole.status == pieces.status);
    CHECK(memcmp(&whole.m.counters, &pieces.m.counters, sizeof whole.m.counters) == 0);
    close_run(&whole);
    close_run(&pieces);
    return 0;
}

bool fuzz_seed(size_t number, bytes *seed) {
    bytes packets = {0};
    const unsigned options = (unsigned)number & 7;
    const size_t which = number / 8;
    if (which > LONGPORT_BODIES)
        return false;
    put_u8(seed, 6);
    put_u8(seed, options);
    if (which < LONGPORT_BODIES) {
        put_longport_push(&packets, which);
    } else {
        for (size_t i = 0; i < LONGPORT_BODIES; i++)
            put_longport_push(&packets, i);
        put_longport(&packets, FF_LONGPORT_RESPONSE, 6, 1, 0, "", 0);
        put_longport(&packets, FF_LONGPORT_REQUEST | 0x10, 1, 2, 0, "beat", 4);
        put_longport(&packets, FF_LONGPORT_PUSH | 0x30, 104, 0, 0, longport_bodies[4].bytes,
                     longport_bodies[4].length);
        put_longport(&packets, FF_LONGPORT_PUSH, 0, 0, 0, "\x08\x02", 2);
    }
    if ((options & 1) == 0) {
        put(seed, packets.data, packets.length);
    } else {
        put_frame(seed, FIN | FF_WS_BINARY, packets.data, packets.length);
        put_frame_text(seed, FIN | FF_WS_PING, "p");
        put_frame(seed, MORE | FF_WS_BINARY, packets.data, packets.length / 2);
        put_frame(seed, FIN | FF_WS_CONTINUATION, packets.data + packets.length / 2,
                  packets.length - packets.length / 2);
    }
    free(packets.data);
    return true;
}
