#include "fastfeed/opend.h"

#include "check.h"
#include "opend_bytes.h"

enum { CAPACITY = 64, WINDOW = 4096, LIMIT = 1 << 20 };

/* A machine with its table and ring, and what came out of it. */
typedef struct fixture {
    ff_symbols symbols;
    ff_ring ring;
    ff_opend machine;
    bytes rows;     /* every row published, without recv_ns */
    bytes frames;   /* every frame: id, serial, length, body */
    int status;     /* of the last process call */
    size_t longest; /* most rows between two publications */
} fixture;

static void open_with(fixture *f, uint64_t capacity, uint32_t max_symbols) {
    memset(f, 0, sizeof *f);
    CHECK_EQ(ff_symbols_init(&f->symbols, max_symbols), 0);
    CHECK_EQ(ff_ring_create(&f->ring, sizeof(ff_tick), capacity), 0);
    CHECK_EQ(ff_opend_init(&f->machine, WINDOW, LIMIT, &f->symbols), 0);
    f->machine.sink.rings[FF_STREAM_TICKS] = &f->ring;
}

static void open_fixture(fixture *f) {
    open_with(f, CAPACITY, 1000);
}

static void close_fixture(fixture *f) {
    ff_opend_free(&f->machine);
    ff_ring_close(&f->ring);
    ff_symbols_free(&f->symbols);
    free(f->rows.data);
    free(f->frames.data);
}

static void publish(fixture *f) {
    uint64_t position = ff_ring_published(&f->ring), lost = 0;
    ff_sink_publish(&f->machine.sink);
    uint64_t n = ff_ring_poll(&f->ring, &position, &lost);
    CHECK_EQ(lost, 0); /* a reader that keeps up loses nothing */
    f->longest = n > f->longest ? n : f->longest;
    const ff_tick *ticks = ff_ring_row(&f->ring, position);
    for (uint64_t i = 0; i < n; i++)
        put(&f->rows, &ticks[i].time_ns, sizeof *ticks - sizeof ticks->recv_ns);
    CHECK(ff_ring_intact(&f->ring, position));
}

static void keep_frame(fixture *f, const ff_frame *frame) {
    uint64_t length = frame->length;
    put(&f->frames, &frame->kind, 4);
    put(&f->frames, &frame->serial, 4);
    put(&f->frames, &length, 8);
    put(&f->frames, frame->data, frame->length);
}

/* Through the window, as a socket does it. */
static void receive(fixture *f, const uint8_t *data, size_t length) {
    ff_frame frame;
    while (length > 0) {
        size_t room;
        uint8_t *place = ff_window_space(&f->machine.window, WINDOW / 2, &room);
        CHECK(place != NULL && room >= WINDOW / 2);
        size_t n = length < room ? length : room;
        memcpy(place, data, n);
        ff_window_commit(&f->machine.window, n);
        data += n;
        length -= n;
        while ((f->status = ff_opend_process(&f->machine, &frame)) > 0) {
            if (f->status == FF_FRAME)
                keep_frame(f, &frame);
            else
                publish(f);
        }
        publish(f);
    }
}

/* In place; what is left over is dropped. Returns how many bytes were used. */
static size_t process_span(fixture *f, const uint8_t *data, size_t length) {
    uint8_t *p = exact_copy(data, length);
    size_t at = 0, used;
    ff_frame frame;
    while ((f->status =
                ff_opend_process_span(&f->machine, p + at, length - at, &used, &frame)) > 0) {
        at += used;
        if (f->status == FF_FRAME)
            keep_frame(f, &frame);
        else
            publish(f);
    }
    publish(f);
    free(p);
    return at + used;
}

static void same_result(const fixture *a, const fixture *b) {
    CHECK_EQ(a->rows.length, b->rows.length);
    CHECK(a->rows.length == 0 || memcmp(a->rows.data, b->rows.data, a->rows.length) == 0);
    CHECK_EQ(a->frames.length, b->frames.length);
    CHECK(a->frames.length == 0 ||
          memcmp(a->frames.data, b->frames.data, a->frames.length) == 0);
    CHECK(memcmp(&a->machine.counters, &b->machine.counters, sizeof a->machine.counters) == 0);
    CHECK(memcmp(a->machine.decoder.dropped, b->machine.decoder.dropped,
                 sizeof a->machine.decoder.dropped) == 0);
    CHECK_EQ(a->status, b->status);
    CHECK_EQ(a->symbols.count, b->symbols.count);
}

/* Some of everything. */
static void put_stream(bytes *b) {
    bytes body = {0};
    put_push(&body, 1, "00700", 1, 1);
    put_packet_of(b, FF_OPEND_PUSH_TICKS, 1, &body);
    put_packet(b, 1004, 2, "\x08\x00\x22\x02\x08\x05", 6); /* a reply */
    put_push(&body, 11, "AAPL", 3, 2);
    put_packet_of(b, FF_OPEND_PUSH_TICKS, 3, &body);
    put_packet(b, 3013, 4, "a book", 6);
    put_packet(b, FF_OPEND_PUSH_TICKS, 5, "", 0);
    put_packet(b, FF_OPEND_PUSH_TICKS, 6, "\x08\x01\x12\x02no", 6);
    put_packet(b, FF_OPEND_PUSH_TICKS, 7, "\x08\x00\x22\x7f", 4);
    put_packet(b, 1003, 8, NULL, 0);
    put_push(&body, 1, "00700", 30, 5);
    put_packet_of(b, FF_OPEND_PUSH_TICKS, 9, &body);
    put_push(&body, 1, "00700", 0, 5);
    put_packet_of(b, FF_OPEND_PUSH_TICKS, 10, &body);
}

static void test_cut(void) {
    bytes stream = {0};
    put_stream(&stream);
    fixture whole;
    open_fixture(&whole);
    CHECK_EQ(process_span(&whole, stream.data, stream.length), stream.length);
    const ff_opend_counters *c = &whole.machine.counters;
    CHECK_EQ(c->packets, 10);
    CHECK_EQ(whole.machine.sink.rows[FF_STREAM_TICKS], 34);
    CHECK_EQ(c->frames, 4); /* reply, two pushes that are errors, notice */
    CHECK_EQ(c->ignored, 1);
    CHECK_EQ(c->bytes, stream.length);
    CHECK_EQ(c->rejected[FF_ERETTYPE], 2);
    CHECK_EQ(c->rejected[FF_ETRUNCATED], 1);
    CHECK_EQ(whole.rows.length, 34 * 56);

    for (size_t step = 1; step <= stream.length; step++) { /* pieces of equal size */
        fixture cut;
        open_fixture(&cut);
        for (size_t at = 0; at < stream.length; at += step)
            receive(&cut, stream.data + at,
                    stream.length - at < step ? stream.length - at : step);
        same_result(&whole, &cut);
        close_fixture(&cut);
    }
    for (size_t at = 0; at <= stream.length; at++) { /* two pieces */
        fixture cut;
        open_fixture(&cut);
        receive(&cut, stream.data, at);
        receive(&cut, stream.data + at, stream.length - at);
        same_result(&whole, &cut);
        close_fixture(&cut);
        /* A part in place: the packets that are complete, and no more. */
        open_fixture(&cut);
        size_t used = process_span(&cut, stream.data, at);
        CHECK(used <= at);
        process_span(&cut, stream.data + used, stream.length - used);
        same_result(&whole, &cut);
        close_fixture(&cut);
    }
    close_fixture(&whole);
    free(stream.data);
}

static void test_framing_lost(void) {
    bytes stream = {0}, body = {0};
    put_push(&body, 11, "AAPL", 1, 1);
    put_packet_of(&stream, FF_OPEND_PUSH_TICKS, 1, &body);
    size_t good = stream.length;
    static const char *const bad[] = {"XT", "FX", "\0\0"};
    for (size_t i = 0; i < 3; i++) {
        fixture f;
        open_fixture(&f);
        stream.length = good;
        put(&stream, bad[i], 2);
        put_push(&body, 11, "AAPL", 1, 1);
        put_packet_of(&stream, FF_OPEND_PUSH_TICKS, 1, &body);
        CHECK_EQ(process_span(&f, stream.data, stream.length), good);
        CHECK_EQ(f.status, -FF_EMAGIC);
        CHECK_EQ(f.machine.counters.rejected[FF_EMAGIC], 1);
        CHECK_EQ(process_span(&f, stream.data, good), 0); /* final, and counted once */
        CHECK_EQ(f.machine.counters.rejected[FF_EMAGIC], 1);
        CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 1);
        /* What still arrives takes no memory. */
        size_t size = f.machine.window.size;
        for (size_t k = 0; k < 100; k++)
            receive(&f, stream.data, stream.length);
        CHECK_EQ(f.machine.window.size, size);
        CHECK_EQ(f.status, -FF_EMAGIC);
        ff_opend_reset(&f.machine);
        receive(&f, stream.data, good);
        CHECK_EQ(f.status, FF_NEED_MORE);
        CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 2);
        close_fixture(&f);
    }
    /* One byte is not enough to tell. */
    fixture f;
    open_fixture(&f);
    receive(&f, (const uint8_t *)"X", 1);
    CHECK_EQ(f.status, FF_NEED_MORE);
    receive(&f, (const uint8_t *)"T", 1);
    CHECK_EQ(f.status, -FF_EMAGIC);
    close_fixture(&f);
    free(stream.data);
}

static void test_length_limit(void) {
    fixture f;
    bytes stream = {0};
    uint8_t *body = calloc(1, LIMIT + 1);
    CHECK(body != NULL);
    open_fixture(&f);
    put_packet(&stream, 1004, 1, body, LIMIT); /* just allowed */
    receive(&f, stream.data, stream.length);
    CHECK_EQ(f.machine.counters.frames, 1);
    stream.length = 0;
    put_packet(&stream, 1004, 2, body, LIMIT + 1);
    receive(&f, stream.data, FF_OPEND_HEADER);
    CHECK_EQ(f.status, -FF_ELENGTH);
    CHECK_EQ(f.machine.counters.rejected[FF_ELENGTH], 1);
    ff_opend_reset(&f.machine);
    memset(stream.data + 12, 0xff, 4);
    receive(&f, stream.data, FF_OPEND_HEADER);
    CHECK_EQ(f.status, -FF_ELENGTH);
    close_fixture(&f);
    free(body);
    free(stream.data);

    /* A header alone does not make the window grow. */
    open_fixture(&f);
    uint8_t header[44] = "FT";
    header[14] = 0x0f;
    receive(&f, header, sizeof header);
    CHECK_EQ(f.status, FF_NEED_MORE);
    CHECK_EQ(f.machine.window.size, WINDOW);
    close_fixture(&f);
}

static void test_sha1(void) {
    bytes stream = {0}, body = {0};
    put_push(&body, 11, "AAPL", 1, 1);
    put_packet_of(&stream, FF_OPEND_PUSH_TICKS, 1, &body);
    for (size_t at = 0; at < stream.length; at++) {
        if (at < 16 || at >= FF_OPEND_HEADER || at < 36) {
            if (at < 16)
                continue; /* the header's other fields are not covered */
            fixture f;
            open_fixture(&f);
            f.machine.check_sha1 = true;
            stream.data[at] ^= 0x40;
            receive(&f, stream.data, stream.length);
            stream.data[at] ^= 0x40;
            CHECK_EQ(f.machine.counters.rejected[FF_ESHA1], 1);
            CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 0);
            CHECK_EQ(f.status, FF_NEED_MORE);
            receive(&f, stream.data, stream.length);
            CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 1);
            close_fixture(&f);
        }
    }
    fixture f;
    open_fixture(&f);
    stream.data[20] ^= 1; /* not looked at unless asked for */
    receive(&f, stream.data, stream.length);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 1);
    close_fixture(&f);
    free(stream.data);
}

static void test_header_fields(void) {
    bytes stream = {0}, body = {0};
    put_push(&body, 11, "AAPL", 1, 1);
    put_packet_of(&stream, FF_OPEND_PUSH_TICKS, 1, &body);
    fixture f;
    open_fixture(&f);
    stream.data[6] = 1; /* JSON */
    receive(&f, stream.data, stream.length);
    CHECK_EQ(f.machine.counters.rejected[FF_EFORMAT], 1);
    stream.data[6] = 0;
    stream.data[7] = 9;                /* version */
    memset(stream.data + 36, 0xee, 8); /* reserved */
    receive(&f, stream.data, stream.length);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 1);
    CHECK_EQ(f.machine.counters.packets, 2);
    close_fixture(&f);
    free(stream.data);
}

static void test_frames(void) {
    static const uint32_t pushes[] = {3005, 3007, 3009, 3013, 3015,
                                      3261, 3310, 3450, 3451, 3452};
    static const uint32_t others[] = {1001, 1002, 1003, 1004, 3001,
                                      3010, 3012, 2208, 0,    UINT32_MAX};
    bytes stream = {0};
    fixture f;
    open_fixture(&f);
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++)
        put_packet(&stream, pushes[i], 0, "abc", 3);
    receive(&f, stream.data, stream.length);
    CHECK_EQ(f.machine.counters.ignored, sizeof pushes / sizeof *pushes);
    CHECK_EQ(f.frames.length, 0);
    for (uint32_t i = 0; i < sizeof others / sizeof *others; i++) {
        stream.length = 0;
        f.frames.length = 0;
        put_packet(&stream, others[i], 0xfffffff0u + i, "abcdefg", i % 7);
        receive(&f, stream.data, stream.length);
        CHECK_EQ(f.machine.counters.frames, i + 1);
        CHECK_EQ(f.frames.length, 16 + i % 7);
        CHECK_EQ(ff_load_u32(f.frames.data), others[i]);
        CHECK_EQ(ff_load_u32(f.frames.data + 4), 0xfffffff0u + i);
        CHECK(memcmp(f.frames.data + 16, "abcdefg", i % 7) == 0);
    }
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 0);
    close_fixture(&f);
    free(stream.data);
}

/* One body as a packet: its reason (0: accepted), and the rows. */
static int reason_of(const bytes *body, fixture *f) {
    bytes stream = {0};
    fixture own;
    if (f == NULL)
        open_fixture(f = &own);
    const ff_opend_counters before = f->machine.counters;
    const uint64_t rows_before = f->machine.sink.rows[FF_STREAM_TICKS];
    put_packet(&stream, FF_OPEND_PUSH_TICKS, 1, body->data, body->length);
    CHECK_EQ(process_span(f, stream.data, stream.length), stream.length);
    free(stream.data);
    int reason = 0;
    uint64_t changes = 0;
    for (int i = 0; i < FF_REASONS; i++) {
        if (f->machine.counters.rejected[i] != before.rejected[i]) {
            reason = i;
            changes += f->machine.counters.rejected[i] - before.rejected[i];
        }
    }
    CHECK(changes <= 1);
    CHECK(reason == 0 || f->machine.sink.rows[FF_STREAM_TICKS] == rows_before);
    if (f == &own)
        close_fixture(&own);
    return reason;
}

/* A push around the bytes of one ticker; a field appended to the ticker, S2C and Response. */
static int reason_around(const char *ticker, size_t ticker_length, const char *s2c_tail,
                         size_t s2c_length, const char *tail, size_t tail_length) {
    bytes body = {0}, s2c = {0}, row = {0};
    put_security(&s2c, 1, 11, "AAPL", 4);
    put_ticker_fields(&row, 1);
    put(&row, ticker, ticker_length);
    put_message(&s2c, 2, &row);
    put(&s2c, s2c_tail, s2c_length);
    put_int(&body, 1, 0);
    put_message(&body, 4, &s2c);
    put(&body, tail, tail_length);
    int reason = reason_of(&body, NULL);
    free(body.data);
    return reason;
}

static void test_wire_errors(void) {
    static const struct {
        const char *field;
        size_t length;
        int reason;
    } fields[] = {
        {"\x98\x06\x05", 3, 0}, /* unknown, varint */
        {"\x99\x06"
         "12345678",
         10, 0}, /* unknown, 64 bits */
        {"\x9a\x06\x02"
         "ab",
         5, 0}, /* unknown, bytes */
        {"\x9d\x06"
         "1234",
         6, 0},                             /* unknown, 32 bits */
        {"\x9b\x06\x9c\x06", 4, FF_EGROUP}, /* group */
        {"\x9c\x06", 2, FF_EGROUP},         /* its end */
        {"\x9e\x06\x01", 3, FF_ETAG},       /* wire type 6 */
        {"\x9f\x06\x01", 3, FF_ETAG},       /* wire type 7 */
        {"\x00\x01", 2, FF_ETAG},           /* field number 0 */
        {"\x02\x00", 2, FF_ETAG},
        {"\x80\x80\x80\x80\x10\x00", 6, FF_ETAG},        /* field number 2^29 */
        {"\x98\x80\x80\x80\x80\x00\x05", 7, FF_EVARINT}, /* tag of six bytes */
        {"\x98\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 12, FF_EVARINT},
        {"\x98\x06\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 13, FF_EVARINT},
        {"\x9a\x06\x80\x80\x80\x80\x80\x00", 8, FF_EVARINT}, /* length of six bytes */
        {"\x98\x06", 2, FF_ETRUNCATED},
        {"\x98", 1, FF_ETRUNCATED},
        {"\x98\x06\x80", 3, FF_ETRUNCATED},
        {"\x99\x06"
         "1234567",
         9, FF_ETRUNCATED},
        {"\x9d\x06"
         "123",
         5, FF_ETRUNCATED},
        {"\x9a\x06\x7f", 3, FF_ETRUNCATED},
        {"\x9a\x06\xff\xff\xff\xff\x0f", 7, FF_ETRUNCATED},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *f = fields[i].field;
        size_t n = fields[i].length;
        CHECK_EQ(reason_around(f, n, "", 0, "", 0), fields[i].reason);
        CHECK_EQ(reason_around("", 0, f, n, "", 0), fields[i].reason);
        CHECK_EQ(reason_around("", 0, "", 0, f, n), fields[i].reason);
    }
    /* Every shorter piece of a good body is refused or, where a field ends, lacks its push. */
    bytes body = {0};
    put_push(&body, 11, "AAPL", 2, 1);
    CHECK_EQ(reason_of(&body, NULL), 0);
    size_t length = body.length;
    for (body.length = 0; body.length < length; body.length++) {
        int want = body.length == 0   ? FF_ERETTYPE
                   : body.length == 2 ? FF_ESYMBOL
                                      : FF_ETRUNCATED;
        CHECK_EQ(reason_of(&body, NULL), want);
    }
    free(body.data);
}

static void test_ret_type(void) {
    fixture f;
    bytes body = {0};
    open_fixture(&f);
    put_int(&body, 1, -1);
    put_text(&body, 2, "no", 2);
    CHECK_EQ(reason_of(&body, &f), FF_ERETTYPE);
    CHECK_EQ(f.machine.counters.frames, 1); /* the session gets the words */
    CHECK(memcmp(f.frames.data + 16, body.data, body.length) == 0);
    put_int(&body, 1, 0); /* the last one counts */
    CHECK_EQ(reason_of(&body, &f), FF_ESYMBOL);
    put_int(&body, 1, (int64_t)1 << 32); /* an int32: the upper half is cut off */
    CHECK_EQ(reason_of(&body, &f), FF_ESYMBOL);
    free(body.data);
    close_fixture(&f);
}

static int reason_of_code(int64_t market, const char *code, size_t length) {
    bytes body = {0}, s2c = {0};
    put_security(&s2c, 1, market, code, length);
    put_int(&body, 1, 0);
    put_message(&body, 4, &s2c);
    int reason = reason_of(&body, NULL);
    free(body.data);
    return reason;
}

static void test_symbols(void) {
    char code[300];
    memset(code, 'A', sizeof code);
    CHECK_EQ(reason_of_code(11, code, 0), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(11, code, 64), 0);
    CHECK_EQ(reason_of_code(11, code, 65), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(11, code, 128), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(11, code, 300), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(11, "A\0", 2), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(11, "A ", 2), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(11, "\xff\xfe", 2), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(0, "A", 1), 0);
    CHECK_EQ(reason_of_code(200, "A", 1), 0);
    CHECK_EQ(reason_of_code(65535, "A", 1), 0);
    CHECK_EQ(reason_of_code(65536, "A", 1), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(-1, "A", 1), FF_ESYMBOL);
    CHECK_EQ(reason_of_code(((int64_t)1 << 32) + 11, "A", 1), 0); /* an int32 */

    fixture f;
    open_with(&f, CAPACITY, 2);
    bytes body = {0};
    const char *const codes[] = {"A", "B", "C", "B", "A", "C"};
    const int reasons[] = {0, 0, FF_ESYMBOLS, 0, 0, FF_ESYMBOLS};
    for (size_t i = 0; i < 6; i++) {
        put_push(&body, 11, codes[i], 1, 1);
        CHECK_EQ(reason_of(&body, &f), reasons[i]);
        body.length = 0;
    }
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 4);
    free(body.data);
    close_fixture(&f);
}

/* The rows of one ticker made of the fields given. */
static const ff_tick *one_row(fixture *f, bytes *ticker, int *reason) {
    bytes body = {0}, s2c = {0};
    put_security(&s2c, 1, 11, "AAPL", 4);
    put_message(&s2c, 2, ticker);
    put_int(&body, 1, 0);
    put_message(&body, 4, &s2c);
    uint64_t before = f->machine.sink.rows[FF_STREAM_TICKS];
    *reason = reason_of(&body, f);
    free(body.data);
    return f->machine.sink.rows[FF_STREAM_TICKS] == before
               ? NULL
               : ff_ring_row(&f->ring, f->ring.head - 1);
}

static void test_values(void) {
    fixture f;
    bytes t = {0};
    int reason;
    open_fixture(&f);
    put_double(&t, 4, 1.5); /* nothing but a price */
    const ff_tick *row = one_row(&f, &t, &reason);
    CHECK(row != NULL && reason == 0);
    CHECK(row->price == 1.5 && isnan(row->volume) && isnan(row->turnover));
    CHECK_EQ(row->seq, -1);
    CHECK_EQ(row->time_ns, 0);
    CHECK_EQ(row->gateway_ns, 0);
    CHECK_EQ(row->side, 0);
    CHECK_EQ(row->kind, 0);
    CHECK_EQ(row->flags, 0);
    CHECK_EQ(f.machine.decoder.dropped[FF_ETIME], 1);

    put_int(&t, 2, 5); /* no price */
    CHECK(one_row(&f, &t, &reason) == NULL && reason == 0);
    CHECK_EQ(f.machine.decoder.dropped[FF_EMISSING], 1);

    static const struct {
        uint32_t field;
        double value;
    } bad[] = {{4, (double)NAN},       {4, (double)INFINITY}, {4, -(double)INFINITY},
               {6, (double)NAN},       {6, (double)INFINITY}, {12, (double)NAN},
               {12, -(double)INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_ticker_fields(&t, 1);
        put_double(&t, bad[i].field, bad[i].value);
        CHECK(one_row(&f, &t, &reason) == NULL && reason == 0);
        CHECK_EQ(f.machine.decoder.dropped[FF_ENOTFINITE], i + 1);
        put_ticker_fields(&t, 1);
        put_double(&t, bad[i].field, bad[i].value);
        put_double(&t, bad[i].field, 7); /* the last one counts */
        CHECK(one_row(&f, &t, &reason) != NULL);
    }
    static const double no_time[] = {
        0, -1, 9e9, 1e300, (double)NAN, (double)INFINITY, -(double)INFINITY, 4e-7, 5e-324};
    for (size_t i = 0; i < sizeof no_time / sizeof *no_time; i++) {
        put_ticker_fields(&t, 1);
        put_double(&t, 7, no_time[i]);
        put_double(&t, 11, no_time[i]);
        CHECK((row = one_row(&f, &t, &reason)) != NULL);
        CHECK_EQ(row->gateway_ns, 0);
        CHECK_EQ(row->time_ns, 1700056800123000000); /* of the text, in New York */
    }
    put_ticker_fields(&t, 1);
    put_double(&t, 7, 5e-7);
    put_double(&t, 11, 8999999999.5);
    row = one_row(&f, &t, &reason);
    CHECK_EQ(row->gateway_ns, 1000);
    CHECK_EQ(row->time_ns, 8999999999500000000);

    static const struct {
        int64_t type;
        uint8_t kind;
    } types[] = {{0, 0},     {1, 1},    {254, 254},     {255, 255},
                 {256, 255}, {-1, 255}, {INT64_MIN, 0}, {((int64_t)1 << 32) + 3, 3}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        put_ticker_fields(&t, 1);
        put_int(&t, 8, types[i].type);
        CHECK_EQ(one_row(&f, &t, &reason)->kind, types[i].kind);
    }
    static const int sides[] = {0, 1, -1, 0, 0};
    for (int dir = 0; dir < 5; dir++) {
        put_ticker_fields(&t, 1);
        put_int(&t, 3, dir);
        put_int(&t, 10, dir);
        row = one_row(&f, &t, &reason);
        CHECK_EQ(row->side, sides[dir]);
        CHECK_EQ(row->flags, dir == 3 ? FF_FLAG_CACHED : dir == 2 ? FF_FLAG_BACKFILLED : 0);
    }
    put_ticker_fields(&t, 1);
    put_int(&t, 2, INT64_MIN);
    put_int(&t, 5, INT64_MIN);
    row = one_row(&f, &t, &reason);
    CHECK(row->seq == INT64_MIN && row->volume == 100.5);
    put_double(&t, 4, 1);
    put_int(&t, 5, INT64_MIN);
    CHECK(one_row(&f, &t, &reason)->volume == -9223372036854775808.0);
    close_fixture(&f);
}

/* A ring of 64 rows: pushes of up to 32, publications of up to 16 - 1 + 32. */
static void test_small_ring(void) {
    bytes body = {0};
    for (size_t rows = 0; rows <= 100; rows++) {
        fixture f;
        open_fixture(&f);
        put_push(&body, 11, "AAPL", rows, 1);
        CHECK_EQ(reason_of(&body, &f), rows <= CAPACITY / 2 ? 0 : FF_EROWS);
        CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], rows <= CAPACITY / 2 ? rows : 0);
        body.length = 0;
        close_fixture(&f);
    }
    for (size_t rows = 1; rows <= CAPACITY / 2; rows++) {
        fixture f;
        bytes stream = {0};
        open_fixture(&f);
        size_t sent = 0;
        for (uint32_t i = 0; i < 60; i++) {
            put_push(&body, 11, "AAPL", rows, (int64_t)sent);
            put_packet_of(&stream, FF_OPEND_PUSH_TICKS, i, &body);
            sent += rows;
            if (i % 7 == 0) { /* packets in between do not hide how much is unpublished */
                put_packet(&stream, 1004, i, "", 0);
                put_packet(&stream, FF_OPEND_PUSH_TICKS, i, "\x08\x00\x22\x7f", 4);
            }
        }
        process_span(&f, stream.data, stream.length); /* publish() checks that none is lost */
        CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], sent);
        CHECK_EQ(f.rows.length, sent * 56);
        CHECK(f.longest < CAPACITY / 4 + rows);
        for (size_t i = 0; i < sent; i++) {
            double price, want = 310.2 + 0.01 * (double)i;
            memcpy(&price, f.rows.data + i * 56 + offsetof(ff_tick, price) - 8, 8);
            CHECK(memcmp(&price, &want, 8) == 0);
        }
        free(stream.data);
        close_fixture(&f);
    }
    /* Tickers without a price are short; they do not count as rows. */
    fixture f;
    bytes s2c = {0};
    open_fixture(&f);
    put_security(&s2c, 1, 11, "AAPL", 4);
    for (size_t i = 0; i < 500; i++)
        put_text(&s2c, 2, "", 0);
    bytes t = {0};
    put_double(&t, 4, 1.5);
    put_message(&s2c, 2, &t);
    put_int(&body, 1, 0);
    put_message(&body, 4, &s2c);
    CHECK_EQ(reason_of(&body, &f), 0);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 1);
    CHECK_EQ(f.machine.decoder.dropped[FF_EMISSING], 500);
    free(body.data);
    close_fixture(&f);
}

/* Messages in pieces, in any order, with the tickers before what they belong to. */
static void test_any_shape(void) {
    fixture f;
    bytes body = {0}, s2c = {0}, t = {0};
    open_fixture(&f);
    put_ticker_fields(&t, 1);
    put_message(&s2c, 2, &t);
    put_message(&body, 4, &s2c); /* s2c with a ticker only */
    put_text(&s2c, 3, "name", 4);
    put_text(&t, 2, "00700", 5);
    put_message(&s2c, 1, &t); /* a security's code */
    put_ticker_fields(&t, 2);
    put_message(&s2c, 2, &t);
    put_int(&t, 1, 1);
    put_message(&s2c, 1, &t); /* and its market */
    put_message(&body, 4, &s2c);
    put_int(&body, 1, 0);
    CHECK_EQ(reason_of(&body, &f), 0);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 2);
    size_t length;
    const uint8_t *name = ff_symbols_name(&f.symbols, 0, &length);
    CHECK(length == 6 && memcmp(name, "700.HK", 6) == 0);
    const ff_tick *rows = ff_ring_row(&f.ring, 0);
    CHECK(rows[0].price == 310.2 + 0.01 && rows[1].price == 310.2 + 0.01 * 2);
    CHECK_EQ(rows[0].symbol, 0);
    CHECK_EQ(rows[1].symbol, 0);
    free(body.data);
    close_fixture(&f);
}

/* Two securities, the last one counts: the first one gets no id. */
static void test_security_repeated(void) {
    fixture f;
    bytes body = {0}, s2c = {0}, t = {0};
    open_fixture(&f);
    put_security(&s2c, 1, 11, "FIRST", 5);
    put_ticker_fields(&t, 1);
    put_message(&s2c, 2, &t);
    put_security(&s2c, 1, 11, "LAST", 4);
    put_int(&body, 1, 0);
    put_message(&body, 4, &s2c);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(reason_of(&body, &f), 0);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 2);
    CHECK_EQ(f.symbols.count, 1);
    size_t length;
    CHECK(memcmp(ff_symbols_name(&f.symbols, 0, &length), "LAST.US", 7) == 0);
    free(body.data);
    close_fixture(&f);
}

/* The window grows with the bytes that arrive, and a frame's body stays until the next space.
 */
static void test_window(void) {
    fixture f;
    bytes stream = {0}, body = {0};
    open_fixture(&f);
    put_push(&body, 11, "AAPL", 30, 1);
    put_packet(&stream, 1004, 1, body.data, body.length);
    put_packet_of(&stream, FF_OPEND_PUSH_TICKS, 2, &body);
    uint8_t large[50000] = {1, 2, 3};
    put_packet(&stream, 1004, 3, large, sizeof large);
    put_packet(&stream, 1004, 4, "end", 3);
    for (size_t at = 0; at < stream.length; at += 100)
        receive(&f, stream.data + at, stream.length - at < 100 ? stream.length - at : 100);
    CHECK_EQ(f.machine.counters.frames, 3);
    CHECK_EQ(f.machine.sink.rows[FF_STREAM_TICKS], 30);
    CHECK(f.machine.window.size >= 50000 && f.machine.window.size <= 4 * 50000);
    CHECK(memcmp(f.frames.data + f.frames.length - 3, "end", 3) == 0);
    CHECK_EQ(f.machine.window.start, f.machine.window.end);
    size_t room; /* nothing waits any more: the next read is into a window of the first size */
    CHECK(ff_window_space(&f.machine.window, 100, &room) != NULL);
    CHECK_EQ(f.machine.window.size, WINDOW);
    free(stream.data);
    close_fixture(&f);
}

static void set_cipher(fixture *f, ff_cipher_mode mode) {
    ff_opend_cipher_init(&f->machine.cipher, mode, (const uint8_t *)"0123456789abcdef",
                         (const uint8_t *)"fedcba9876543210", false);
}

/* An encrypted stream, cut anywhere, gives what the plain one gives; its bytes stay as they
 * are, also where a packet waits for a publication. */
static void test_encrypted(void) {
    bytes plain = {0}, stream = {0}, body = {0};
    for (uint32_t i = 0; i < 3; i++)
        put_stream(&plain);
    for (size_t rows = 0; rows < 30; rows++) {
        put_push(&body, 1, "00700", rows, 5);
        put_packet_of(&plain, FF_OPEND_PUSH_TICKS, 10, &body);
    }
    static const ff_cipher_mode modes[] = {FF_CIPHER_CBC, FF_CIPHER_ECB};
    for (size_t m = 0; m < 4; m++) {
        fixture want, whole;
        open_fixture(&want);
        open_fixture(&whole);
        set_cipher(&whole, modes[m / 2]);
        want.machine.check_sha1 = whole.machine.check_sha1 = m % 2 == 1;
        ff_opend_cipher *cipher = &whole.machine.cipher;
        stream.length = 0;
        size_t size = ff_opend_encrypted_packets_length(cipher, plain.data, plain.length);
        uint8_t *encrypted = malloc(size);
        CHECK(encrypted != NULL);
        ff_opend_encrypt_packets(cipher, plain.data, plain.length, encrypted);
        put(&stream, encrypted, size);
        process_span(&want, plain.data, plain.length);
        CHECK_EQ(process_span(&whole, stream.data, stream.length), stream.length);
        CHECK_EQ(whole.machine.counters.bytes, size);
        whole.machine.counters.bytes = want.machine.counters.bytes;
        same_result(&want, &whole);
        for (size_t step = 1; step < 1500; step += 1 + step / 8) {
            fixture cut;
            open_fixture(&cut);
            set_cipher(&cut, modes[m / 2]);
            cut.machine.check_sha1 = m % 2 == 1;
            for (size_t at = 0; at < size; at += step)
                receive(&cut, stream.data + at, size - at < step ? size - at : step);
            cut.machine.counters.bytes = want.machine.counters.bytes;
            same_result(&want, &cut);
            close_fixture(&cut);
        }
        CHECK(memcmp(stream.data, encrypted, size) == 0);
        free(encrypted);
        close_fixture(&want);
        close_fixture(&whole);
    }
    free(plain.data);
    free(stream.data);
}

/* A rejected reply is told, a rejected push is counted; the stream goes on in both cases. */
static void test_rejected_replies(void) {
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        bytes stream = {0};
        put_packet(&stream, 3001, 7, "a body that is no block", 23);
        put_packet(&stream, FF_OPEND_PUSH_TICKS, 8, "neither", 7);
        put_packet(&stream, FF_OPEND_NOTIFY, 8, "neither", 7);
        put_packet(&stream, 3013, 8, "neither", 7);
        for (size_t at = 0; at < stream.length; at += 44 + stream.data[at + 12])
            stream.data[at + 16] ^= 1;
        fixture f;
        open_fixture(&f);
        f.machine.check_sha1 = true;
        if (encrypted)
            set_cipher(&f, FF_CIPHER_CBC);
        ff_frame frame;
        size_t used;
        CHECK_EQ(ff_opend_process_span(&f.machine, stream.data, stream.length, &used, &frame),
                 FF_FRAME);
        CHECK_EQ(used, 44 + 23);
        CHECK(frame.kind == 3001 && frame.serial == 7 && frame.length == 0);
        int reason = encrypted ? FF_EPADDING : FF_ESHA1;
        CHECK_EQ(frame.reason, -reason);
        process_span(&f, stream.data + used, stream.length - used);
        CHECK_EQ(f.status, FF_NEED_MORE);
        CHECK_EQ(f.machine.counters.rejected[reason], 4);
        CHECK_EQ(f.machine.counters.frames, 1);
        CHECK_EQ(f.machine.counters.packets, 4);
        close_fixture(&f);
        free(stream.data);
    }
}

/* InitConnect comes through as it is, with the digest of its header. */
static void test_init_connect(void) {
    bytes stream = {0};
    put_packet(&stream, FF_OPEND_INIT_CONNECT, 1, "some RSA", 8);
    stream.data[FF_OPEND_SHA1_OFFSET] ^= 1;
    fixture f;
    open_fixture(&f);
    f.machine.check_sha1 = true;
    set_cipher(&f, FF_CIPHER_ECB);
    ff_frame frame;
    size_t used;
    CHECK_EQ(ff_opend_process_span(&f.machine, stream.data, stream.length, &used, &frame),
             FF_FRAME);
    CHECK(frame.reason == 0 && frame.length == 8 && memcmp(frame.data, "some RSA", 8) == 0);
    CHECK(memcmp(frame.sha1, stream.data + FF_OPEND_SHA1_OFFSET, 20) == 0);
    ff_opend_reset(&f.machine);
    CHECK_EQ(f.machine.cipher.mode, FF_CIPHER_NONE);
    close_fixture(&f);
    free(stream.data);
}

/* The memory for plain bodies grows with what arrives and goes back. */
static void test_plain_memory(void) {
    fixture f;
    bytes stream = {0}, body = {0};
    uint8_t large[50000] = {1, 2, 3};
    open_fixture(&f);
    set_cipher(&f, FF_CIPHER_CBC);
    put(&body, large, ff_opend_encrypted_length(&f.machine.cipher, sizeof large - 16));
    ff_opend_encrypt(&f.machine.cipher, large, sizeof large - 16, body.data);
    put_packet_of(&stream, 1004, 3, &body);
    for (int i = 0; i < 2; i++) {
        ff_frame frame;
        size_t used;
        CHECK_EQ(ff_opend_process_span(&f.machine, stream.data, stream.length, &used, &frame),
                 FF_FRAME);
        CHECK(f.machine.plain_size >= 50000 && f.machine.plain_size <= 60000);
        CHECK_EQ(frame.length, sizeof large - 16);
        CHECK(memcmp(frame.data, large, frame.length) == 0);
        CHECK_EQ(ff_opend_process_span(&f.machine, NULL, 0, &used, &frame), FF_NEED_MORE);
        CHECK(f.machine.plain_size <= WINDOW);
    }
    CHECK_EQ(f.machine.counters.frames, 2);
    free(stream.data);
    close_fixture(&f);
}

int main(void) {
    test_cut();
    test_framing_lost();
    test_length_limit();
    test_sha1();
    test_header_fields();
    test_frames();
    test_wire_errors();
    test_ret_type();
    test_symbols();
    test_values();
    test_small_ring();
    test_any_shape();
    test_security_repeated();
    test_window();
    test_encrypted();
    test_rejected_replies();
    test_init_connect();
    test_plain_memory();
    for (int i = -1; i <= FF_REASONS; i++)
        CHECK((strcmp(ff_reason_name(i), "unknown") == 0) == (i < 0 || i == FF_REASONS));
    return 0;
}
