/* What a property test through Python does not see: counters, flags, room, side effects. The
 * meaning of the fields is tested there, against the protobuf runtime. */

#include "opend_decode.h"

#include "check.h"
#include "opend_bytes.h"

typedef struct fixture {
    ff_symbols symbols, brokers;
    ff_opend_decoder decoder;
    uint8_t *rows;
} fixture;

enum { ROOM = 64 };

static void open_fixture(fixture *f) {
    memset(f, 0, sizeof *f);
    CHECK_EQ(ff_symbols_init(&f->symbols, 4), 0);
    CHECK_EQ(ff_symbols_init(&f->brokers, 100), 0);
    f->decoder.symbols = &f->symbols;
    f->decoder.brokers = &f->brokers;
    f->decoder.recv_ns = 42;
    f->rows = malloc(ROOM * sizeof(ff_brokers));
    CHECK(f->rows != NULL);
}

static void close_fixture(fixture *f) {
    ff_symbols_free(&f->symbols);
    ff_symbols_free(&f->brokers);
    free(f->rows);
}

static const uint32_t element_fields[KINDS] = {
    [KIND_TICKS] = 2,      [KIND_QUOTES] = 1,    [KIND_BOOKS] = 2,   [KIND_BARS] = 4,
    [KIND_BARS_REPLY] = 2, [KIND_TIMESHARE] = 2, [KIND_BROKERS] = 2,
};

static void put_element(bytes *s2c, opend_kind kind, int64_t number) {
    bytes element = {0};
    switch (kind) {
    case KIND_TICKS:
        put_ticker_fields(&element, number);
        break;
    case KIND_QUOTES:
        put_quote_fields(&element, 11, "AAPL", number, QUOTE_SESSIONS);
        break;
    case KIND_BOOKS:
        put_level_fields(&element, number, 2);
        break;
    case KIND_TIMESHARE:
        put_point_fields(&element, number);
        break;
    case KIND_BROKERS:
        put_broker_fields(&element, 1000 + number, false);
        break;
    default:
        put_bar_fields(&element, number);
    }
    put_message(s2c, element_fields[kind], &element);
}

static void put_head(bytes *s2c, opend_kind kind) {
    if (kind == KIND_BARS) {
        put_int(s2c, 1, TEST_REHAB);
        put_int(s2c, 2, TEST_KL_TYPE);
        put_security(s2c, 3, 11, "AAPL", 4);
    } else if (kind != KIND_QUOTES) {
        put_security(s2c, 1, 11, "AAPL", 4);
    }
}

static void put_whole(bytes *body, opend_kind kind, bool reply, size_t elements) {
    bytes s2c = {0};
    put_head(&s2c, kind);
    for (size_t i = 0; i < elements; i++)
        put_element(&s2c, kind, (int64_t)i);
    if (kind == KIND_BOOKS)
        put_book_end(&s2c, 0);
    put_body(body, reply, &s2c);
}

static int decode(fixture *f, opend_kind kind, const bytes *body, size_t max_rows) {
    uint8_t *copy = exact_copy(body->data, body->length);
    int n = opend_decode(kind, &f->decoder, copy, body->length, f->rows, max_rows);
    free(copy);
    return n;
}

/* How many rows so many elements make. */
static size_t rows_of(opend_kind kind, size_t elements) {
    if (kind == KIND_BOOKS || kind == KIND_BROKERS)
        return 1;
    return kind == KIND_QUOTES ? 4 * elements : elements;
}

/* A push, a reply, and the same with more in it are the same. */
static void test_replies(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        uint8_t first[ROOM * sizeof(ff_quote)];
        for (int shape = 0; shape < 3; shape++) {
            fixture f;
            bytes body = {0};
            open_fixture(&f);
            put_whole(&body, (opend_kind)kind, shape == 1, 2);
            if (shape == 2)
                put_int(&body, 9, 0);
            size_t rows = rows_of((opend_kind)kind, 2);
            for (int again = 0; again < 2; again++) /* the security is new, and known */
                CHECK_EQ(decode(&f, (opend_kind)kind, &body, ROOM), rows);
            size_t size = rows * opend_row_size((opend_kind)kind);
            CHECK(size <= sizeof first);
            if (shape == 0)
                memcpy(first, f.rows, size);
            CHECK(memcmp(first, f.rows, size) == 0);
            CHECK_EQ(f.symbols.count, 1);
            close_fixture(&f);
            free(body.data);
        }
    }
}

static void test_room(void) {
    static const opend_kind kinds[] = {KIND_TICKS, KIND_QUOTES, KIND_BARS, KIND_BARS_REPLY,
                                       KIND_TIMESHARE};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        fixture f;
        bytes body = {0};
        open_fixture(&f);
        put_whole(&body, kinds[k], false, 3);
        const size_t rows = rows_of(kinds[k], 3), size = opend_row_size(kinds[k]);
        for (size_t room = 0; room < rows; room++) {
            memset(f.rows, 0xa5, ROOM * sizeof(ff_brokers));
            CHECK_EQ(decode(&f, kinds[k], &body, room), -FF_EROWS);
            for (size_t i = room * size; i < (room + 1) * size; i++)
                CHECK_EQ(f.rows[i], 0xa5);
        }
        CHECK_EQ(decode(&f, kinds[k], &body, rows), rows);
        for (int i = 0; i < FF_REASONS; i++)
            CHECK_EQ(f.decoder.dropped[i], 0);
        close_fixture(&f);
        free(body.data);
    }
}

/* A body whose last element is broken counts nothing. */
static void test_all_or_nothing(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        fixture f;
        bytes s2c = {0}, body = {0}, element = {0};
        open_fixture(&f);
        put_head(&s2c, (opend_kind)kind);
        put_text(&element, 1, "", 0); /* without a price, and without a time */
        if (kind == KIND_QUOTES)
            put_security(&element, 1, 11, "AAPL", 4);
        put_message(&s2c, element_fields[kind], &element);
        for (int i = 0; i < 50; i++)
            put_element(&s2c, (opend_kind)kind, i);
        put_text(&s2c, element_fields[kind], "\x0f", 1);
        put_body(&body, false, &s2c);
        CHECK_EQ(decode(&f, (opend_kind)kind, &body, 4 * ROOM), -FF_ETAG);
        for (int i = 0; i < FF_REASONS; i++)
            CHECK_EQ(f.decoder.dropped[i], 0);
        CHECK_EQ(f.decoder.cut_levels, 0);
        close_fixture(&f);
        free(body.data);
    }
}

static void test_left_out(void) {
    static const struct {
        opend_kind kind;
        uint32_t price; /* its field */
        uint64_t dropped;
    } cases[] = {{KIND_TICKS, 4, 1}, {KIND_QUOTES, 9, 1}, {KIND_BOOKS, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int rough = 0; rough < 2; rough++) {
            fixture f;
            bytes s2c = {0}, body = {0}, element = {0};
            const opend_kind kind = cases[i].kind;
            open_fixture(&f);
            /* Infinite. */
            put_head(&s2c, kind);
            if (kind == KIND_QUOTES)
                put_quote_fields(&element, 11, "AAPL", 1, QUOTE_SESSIONS);
            put_double(&element, cases[i].price, (double)INFINITY);
            put_message(&s2c, element_fields[kind], &element);
            put_element(&s2c, kind, 1);
            if (rough)
                put_int(&s2c, 30, 1);
            put_body(&body, false, &s2c);
            const int rest = kind == KIND_BOOKS ? 0 : (int)rows_of(kind, 1);
            CHECK_EQ(decode(&f, kind, &body, ROOM), rest);
            CHECK_EQ(f.decoder.dropped[FF_ENOTFINITE], cases[i].dropped);
            /* Not there. */
            put_head(&s2c, kind);
            if (kind == KIND_QUOTES)
                put_security(&element, 1, 11, "AAPL", 4);
            put_message(&s2c, element_fields[kind], &element);
            put_element(&s2c, kind, 1);
            body.length = 0;
            put_body(&body, false, &s2c);
            CHECK_EQ(decode(&f, kind, &body, ROOM), rest);
            CHECK_EQ(f.decoder.dropped[FF_EMISSING], cases[i].dropped);
            CHECK_EQ(f.decoder.dropped[FF_ENOTFINITE], cases[i].dropped);
            close_fixture(&f);
            free(body.data);
        }
    }
}

/* Rows without a readable time are kept, and counted. */
static void test_untimed(void) {
    static const opend_kind kinds[] = {KIND_TICKS, KIND_QUOTES, KIND_BARS, KIND_BARS_REPLY,
                                       KIND_TIMESHARE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        fixture f;
        bytes s2c = {0}, body = {0}, element = {0};
        open_fixture(&f);
        put_head(&s2c, kinds[i]);
        if (kinds[i] == KIND_QUOTES) {
            put_security(&element, 1, 11, "AAPL", 4);
            put_double(&element, 9, 1.5);
            put_session(&element, 19, 1);
        } else {
            put_double(&element, 4, 1.5);
        }
        put_message(&s2c, element_fields[kinds[i]], &element);
        put_body(&body, false, &s2c);
        int rows = kinds[i] == KIND_QUOTES ? 2 : 1;
        for (int again = 1; again < 3; again++) {
            CHECK_EQ(decode(&f, kinds[i], &body, ROOM), rows);
            CHECK_EQ(f.decoder.dropped[FF_ETIME], rows * again);
            CHECK_EQ(ff_load_u64(f.rows + 8), 0); /* time_ns: also of bars with an interval */
        }
        close_fixture(&f);
        free(body.data);
    }
}

static void test_cut(void) {
    static const struct {
        opend_kind kind;
        size_t places;
    } cases[] = {{KIND_BOOKS, TEST_DEPTH}, {KIND_BROKERS, FF_BROKER_PLACES}};
    for (size_t i = 0; i < 2; i++) {
        fixture f;
        uint64_t cut = 0;
        open_fixture(&f);
        for (size_t n = cases[i].places - 1; n < cases[i].places + 3; n++) {
            for (uint32_t side = 2; side <= 3; side++) {
                bytes s2c = {0}, body = {0};
                put_head(&s2c, cases[i].kind);
                for (size_t k = 0; k < n; k++) {
                    bytes element = {0};
                    if (cases[i].kind == KIND_BOOKS)
                        put_level_fields(&element, (int64_t)k, 0);
                    else
                        put_broker_fields(&element, (int64_t)(1000 + k), true);
                    put_message(&s2c, side, &element);
                }
                put_body(&body, false, &s2c);
                CHECK_EQ(decode(&f, cases[i].kind, &body, 1), 1);
                cut += n > cases[i].places ? n - cases[i].places : 0;
                CHECK_EQ(f.decoder.cut_levels, cut);
                const ff_book *book = (const ff_book *)(const void *)f.rows;
                const ff_brokers *brokers = (const ff_brokers *)(const void *)f.rows;
                uint16_t bids = cases[i].kind == KIND_BOOKS ? book->bids : brokers->bids;
                uint16_t asks = cases[i].kind == KIND_BOOKS ? book->asks : brokers->asks;
                size_t kept = n < cases[i].places ? n : cases[i].places;
                CHECK_EQ(bids, side == 3 ? kept : 0);
                CHECK_EQ(asks, side == 2 ? kept : 0);
                free(body.data);
            }
        }
        close_fixture(&f);
    }
}

/* A table that is full: the body is refused; names of brokers are passed over. */
static void test_full_tables(void) {
    static const char *const codes[] = {"A", "B", "C", "D", "E"};
    fixture f;
    open_fixture(&f);
    for (size_t i = 0; i < 5; i++) {
        bytes s2c = {0}, body = {0}, element = {0};
        put_quote_fields(&element, 11, codes[i], 1, 0);
        put_message(&s2c, 1, &element);
        put_body(&body, false, &s2c);
        CHECK_EQ(decode(&f, KIND_QUOTES, &body, ROOM), i < 4 ? 1 : -FF_ESYMBOLS);
        free(body.data);
    }
    ff_symbols_free(&f.brokers);
    CHECK_EQ(ff_symbols_init(&f.brokers, 1), 0);
    bytes s2c = {0}, body = {0};
    put_security(&s2c, 1, 11, "A", 1);
    for (int i = 0; i < 3; i++) {
        bytes element = {0};
        put_int(&element, 1, 1000 + i);
        put_text(&element, 2, codes[i], 1);
        put_int(&element, 3, 1);
        put_message(&s2c, 3, &element);
    }
    put_body(&body, false, &s2c);
    CHECK_EQ(decode(&f, KIND_BROKERS, &body, ROOM), 1);
    CHECK_EQ(f.brokers.count, 1);
    CHECK_EQ(((const ff_brokers *)(const void *)f.rows)->bids, 3);
    f.decoder.brokers = NULL; /* nobody wants the names */
    CHECK_EQ(decode(&f, KIND_BROKERS, &body, ROOM), 1);
    free(body.data);
    close_fixture(&f);
}

/* No row has a byte that was not written. */
static void test_whole_rows(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        fixture f;
        bytes body = {0};
        uint8_t first[ROOM * sizeof(ff_quote)];
        open_fixture(&f);
        put_whole(&body, (opend_kind)kind, false, 3);
        size_t size = rows_of((opend_kind)kind, 3) * opend_row_size((opend_kind)kind);
        memset(f.rows, 0, ROOM * sizeof(ff_brokers));
        CHECK(decode(&f, (opend_kind)kind, &body, ROOM) > 0);
        memcpy(first, f.rows, size);
        memset(f.rows, 0xff, ROOM * sizeof(ff_brokers));
        CHECK(decode(&f, (opend_kind)kind, &body, ROOM) > 0);
        CHECK(memcmp(first, f.rows, size) == 0);
        close_fixture(&f);
        free(body.data);
    }
}

int main(void) {
    test_replies();
    test_room();
    test_all_or_nothing();
    test_left_out();
    test_untimed();
    test_cut();
    test_full_tables();
    test_whole_rows();
    return 0;
}
