/* The whole machine, listening to all streams. The first two bytes of an input say how it is
 * set, and how the rest is cut into reads: the rows, frames and counters are the same as in
 * one piece, and the latest row of each symbol is the last one of its stream. */

#include "fastfeed/opend.h"

#include "opend_decode.h"

#include "fuzz.h"

enum { CAPACITY = 64, WINDOW = 4096, LIMIT = 1 << 16, DEPTH = 5 };

typedef struct machine {
    ff_symbols symbols, brokers;
    ff_ring *rings;
    ff_latest latest[FF_STREAMS];
    ff_order order;
    ff_opend m;
    bytes rows[FF_STREAMS];
    bytes held;
    bytes frames;
    int status;
} machine;

/* Bits of the second byte. */
enum { CHECK_SHA1 = 0x80, ENCRYPTED = 0x40, ECB = 0x20, ORDERED = 0x10 };

static void set_cipher(ff_opend_cipher *cipher, unsigned options) {
    if ((options & ENCRYPTED) != 0)
        ff_opend_cipher_init(cipher, options & ECB ? FF_CIPHER_ECB : FF_CIPHER_CBC,
                             (const uint8_t *)"0123456789abcdef",
                             (const uint8_t *)"fedcba9876543210", (options & 1) != 0);
}

static size_t row_size(int stream) {
    return stream == FF_STREAM_BOOKS || stream == FF_STREAM_ODD_BOOKS
               ? ff_book_size(DEPTH)
               : ff_row_types[stream].size;
}

static void open_machine(machine *x, unsigned options, ff_ring *rings) {
    memset(x, 0, sizeof *x);
    CHECK(ff_symbols_init(&x->symbols, 50) == 0);
    CHECK(ff_symbols_init(&x->brokers, 50) == 0);
    CHECK(ff_opend_init(&x->m, WINDOW, LIMIT, &x->symbols) == 0);
    x->rings = rings;
    for (int i = 0; i < FF_STREAMS; i++) {
        CHECK(ff_latest_create(&x->latest[i], row_size(i), 50 * FF_SESSIONS) == 0);
        x->m.sink.rings[i] = &rings[i];
        x->m.sink.latest[i] = &x->latest[i];
    }
    ff_order_init(&x->order);
    if ((options & ORDERED) != 0) {
        x->m.order = &x->order;
        ff_order_of(&x->order, 1)->held = true; /* the second symbol that comes */
    }
    x->m.depth = DEPTH;
    x->m.decoder.brokers = &x->brokers;
    x->m.check_sha1 = (options & CHECK_SHA1) != 0;
    set_cipher(&x->m.cipher, options);
}

static void close_machine(machine *x) {
    ff_opend_free(&x->m);
    ff_symbols_free(&x->symbols);
    ff_symbols_free(&x->brokers);
    ff_order_free(&x->order);
    for (int i = 0; i < FF_STREAMS; i++) {
        ff_latest_close(&x->latest[i]);
        free(x->rows[i].data);
    }
    free(x->held.data);
    free(x->frames.data);
}

static void publish(machine *x) {
    uint64_t positions[FF_STREAMS];
    for (int i = 0; i < FF_STREAMS; i++)
        positions[i] = ff_ring_published(&x->rings[i]);
    unsigned dirty = ff_sink_publish(&x->m.sink);
    for (int i = 0; i < FF_STREAMS; i++) {
        uint64_t lost = 0, n = ff_ring_poll(&x->rings[i], &positions[i], &lost);
        CHECK(lost == 0 && n < CAPACITY / 4 + CAPACITY / 2);
        CHECK((n > 0) == (dirty >> i & 1));
        put(&x->rows[i], ff_ring_row(&x->rings[i], positions[i]), (size_t)n * row_size(i));
        CHECK(ff_ring_intact(&x->rings[i], positions[i]));
    }
}

/* The latest row of a symbol, and of a session, is the last one that was published. */
static void check_latest(const machine *x) {
    const bytes *quotes = &x->rows[FF_STREAM_QUOTES];
    const size_t size = row_size(FF_STREAM_QUOTES);
    for (size_t at = 0; at < quotes->length; at += size) {
        ff_quote row, later;
        memcpy(&row, quotes->data + at, size);
        bool last = true;
        for (size_t next = at + size; last && next < quotes->length; next += size) {
            memcpy(&later, quotes->data + next, size);
            last = later.symbol != row.symbol || later.session != row.session;
        }
        ff_quote kept;
        const size_t place = (size_t)row.symbol * FF_SESSIONS + row.session;
        CHECK(ff_latest_copy(&x->latest[FF_STREAM_QUOTES], place, &kept) == 1);
        CHECK(!last || memcmp(&kept, &row, size) == 0);
    }
}

/* True: call again. */
static bool handle(machine *x, const ff_frame *frame) {
    if (x->status == FF_FRAME) {
        CHECK(frame->length <= LIMIT);
        put(&x->frames, &frame->kind, sizeof frame->kind);
        put(&x->frames, &frame->serial, sizeof frame->serial);
        put(&x->frames, &frame->reason, sizeof frame->reason);
        put(&x->frames, frame->sha1, 20);
        CHECK(frame->reason == 0 || (frame->reason < 0 && frame->length == 0));
        put(&x->frames, frame->data, frame->length);
        put(&x->frames, "|", 1);
    } else if (x->status == FF_ROWS_FULL) {
        publish(x);
    } else if (x->status == FF_HELD) {
        CHECK(frame->length > 0);
        put(&x->held, frame->data, frame->length * sizeof(ff_tick));
    }
    return x->status > 0;
}

static void in_one_piece(machine *x, const uint8_t *data, size_t length) {
    ff_frame frame;
    size_t used;
    do {
        x->status = ff_opend_process_span(&x->m, data, length, &used, &frame);
        CHECK(used <= length);
        data += used;
        length -= used;
    } while (handle(x, &frame));
    publish(x);
}

static void in_pieces(machine *x, const uint8_t *data, size_t length, uint64_t cut) {
    ff_frame frame;
    uint64_t random = cut * 2 + 1;
    size_t most = (size_t)1 << cut % 13;
    do { /* also with nothing at all */
        size_t room, n = (size_t)(next_random(&random) % most) + 1;
        n = n < length ? n : length;
        uint8_t *place = ff_window_space(&x->m.window, n, &room);
        CHECK(place != NULL && room >= n);
        if (n > 0)
            memcpy(place, data, n);
        ff_window_commit(&x->m.window, n);
        data += n;
        length -= n;
        do
            x->status = ff_opend_process(&x->m, &frame);
        while (handle(x, &frame));
        publish(x);
        CHECK(x->m.window.start <= x->m.window.end && x->m.window.end <= x->m.window.size);
        CHECK(x->m.window.size <= 4 * (LIMIT + FF_OPEND_HEADER));
    } while (length > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    /* Mappings are slow to make: the same rings for all inputs. */
    static ff_ring rings[2][FF_STREAMS];
    for (int i = 0; i < 2 * FF_STREAMS; i++) {
        ff_ring *ring = &rings[i / FF_STREAMS][i % FF_STREAMS];
        if (ring->header == NULL)
            CHECK(ff_ring_create(ring, row_size(i % FF_STREAMS), CAPACITY) == 0);
    }
    if (length < 2)
        return 0;
    uint64_t cut = data[0] | (uint64_t)(data[1] & 0x1f) << 8;
    machine whole, pieces;
    open_machine(&whole, data[1], rings[0]);
    open_machine(&pieces, data[1], rings[1]);
    in_one_piece(&whole, data + 2, length - 2);
    in_pieces(&pieces, data + 2, length - 2, cut);

    CHECK(whole.status == pieces.status);
    for (int i = 0; i < FF_STREAMS; i++)
        check_same(&whole.rows[i], &pieces.rows[i]);
    check_same(&whole.held, &pieces.held);
    check_latest(&whole);
    check_same(&whole.frames, &pieces.frames);
    CHECK(memcmp(&whole.m.counters, &pieces.m.counters, sizeof whole.m.counters) == 0);
    CHECK(memcmp(whole.m.sink.rows, pieces.m.sink.rows, sizeof whole.m.sink.rows) == 0);
    CHECK(memcmp(whole.m.decoder.dropped, pieces.m.decoder.dropped,
                 sizeof whole.m.decoder.dropped) == 0);
    CHECK(whole.symbols.count == pieces.symbols.count);

    const ff_opend_counters *c = &whole.m.counters;
    uint64_t rejected = 0;
    for (int i = 0; i < FF_REASONS; i++)
        rejected += c->rejected[i];
    CHECK(c->bytes <= length - 2);
    CHECK(c->bytes >= c->packets * FF_OPEND_HEADER);
    for (int i = 0; i < FF_STREAMS; i++)
        CHECK(whole.m.sink.rows[i] * row_size(i) == whole.rows[i].length);
    CHECK(rejected + c->ignored <= c->packets + (whole.status < 0));
    CHECK(c->frames <= c->packets);
    CHECK((whole.status < 0) == (c->rejected[FF_EMAGIC] + c->rejected[FF_ELENGTH] == 1));
    close_machine(&whole);
    close_machine(&pieces);
    return 0;
}

enum { SEEDS = 9 };

static const uint32_t push_of[KINDS] = {
    [KIND_TICKS] = FF_OPEND_PUSH_TICKS,         [KIND_QUOTES] = FF_OPEND_PUSH_QUOTES,
    [KIND_BOOKS] = FF_OPEND_PUSH_BOOK,          [KIND_BARS] = FF_OPEND_PUSH_BARS,
    [KIND_BARS_REPLY] = FF_OPEND_PUSH_BARS,     [KIND_BROKERS] = FF_OPEND_PUSH_BROKERS,
    [KIND_TIMESHARE] = FF_OPEND_PUSH_TIMESHARE,
};

static void put_seed(bytes *seed, size_t number) {
    bytes body = {0};
    switch (number) {
    case 0:
    case 1:
    case 2:
        for (uint32_t i = 0; i < 4; i++) {
            put_push(&body, i % 2 == 0 ? 11 : 1, i % 2 == 0 ? "AAPL" : "00700",
                     1 + number * i * 4, i);
            put_packet_of(seed, 3011, i, &body);
        }
        break;
    case 3:
        put_packet(seed, 1001, 1, "\x08\x00\x12\x00\x18\x00\x22\x02\x08\x05", 10);
        put_packet(seed, 3005, 2, "a quote", 7);
        put_packet(seed, 3011, 3, "\x08\x01\x12\x02no", 6);
        put_packet(seed, 1003, 4, "", 0);
        break;
    case 4:
        put_push(&body, 11, "AAPL", 40, 1);
        put_packet_of(seed, 3011, 1, &body);
        put_push(&body, 11, "AAPL", 1, 1);
        put_packet_of(seed, 3011, 2, &body);
        put(seed, "XX", 2);
        break;
    case 5:
        put_packet(seed, 3011, 1, "\x08\x00\x22\x7f", 4);
        put_packet(seed, 1004, 2, "abc", 3);
        seed->data[seed->length - 44 - 3 + 15] = 0x7f;
        break;
    case 6:
    case 7:
    case 8:
        for (uint32_t i = 0; i < 2 * KINDS; i++) {
            opend_kind kind = (opend_kind)(i % KINDS);
            put_kind(&body, kind, false, number == 6 ? 1 : number == 7 ? 9 : i);
            put_packet_of(seed, push_of[kind], i, &body);
        }
        break;
    default:
        break;
    }
}

bool fuzz_seed(size_t number, bytes *seed) {
    if (number >= 2 * SEEDS) /* first in clear, then encrypted */
        return false;
    unsigned options = (number % 2 == 0 ? CHECK_SHA1 : 0) | 1;
    if (number % 3 == 0)
        options |= ORDERED;
    if (number >= SEEDS)
        options |= ENCRYPTED | (number % 4 < 2 ? ECB : 0);
    put_u8(seed, (unsigned)(number * 41));
    put_u8(seed, options);
    bytes plain = {0};
    put_seed(&plain, number % SEEDS);
    ff_opend_cipher cipher = {0};
    set_cipher(&cipher, options);
    size_t size = ff_opend_encrypted_packets_length(&cipher, plain.data, plain.length);
    uint8_t *out = malloc(size + 1);
    CHECK(out != NULL);
    if (size > 0)
        ff_opend_encrypt_packets(&cipher, plain.data, plain.length, out);
    else /* no whole packets */
        put(seed, plain.data, plain.length);
    put(seed, out, size);
    free(out);
    free(plain.data);
    return true;
}
