/* The two decoders of a body of ticks: when the canonical one accepts, the one for any shape
 * gives the same rows; and what is refused leaves no trace. */

#include "fastfeed/opend_ticks.h"

#include "fuzz.h"

enum { MAX_ROWS = 300, GUARD = 2, KNOWN = 3 };

typedef struct side {
    ff_symbols symbols;
    ff_opend_decoder decoder;
    ff_tick *rows;
} side;

static void open_side(side *s, uint8_t flags) {
    memset(s, 0, sizeof *s);
    CHECK(ff_symbols_init(&s->symbols, 100) == 0);
    CHECK(ff_opend_intern(&s->symbols, 11, (const uint8_t *)"AAPL", 4) == 0);
    CHECK(ff_opend_intern(&s->symbols, 1, (const uint8_t *)"00700", 5) == 1);
    CHECK(ff_opend_intern(&s->symbols, 41, (const uint8_t *)"7203", 4) == 2);
    s->decoder.symbols = &s->symbols;
    s->decoder.recv_ns = 42;
    s->decoder.flags = flags;
    s->rows = malloc((MAX_ROWS + GUARD) * sizeof *s->rows);
    CHECK(s->rows != NULL);
    memset(s->rows, 0xa5, (MAX_ROWS + GUARD) * sizeof *s->rows);
}

static void close_side(side *s) {
    ff_symbols_free(&s->symbols);
    free(s->rows);
}

/* Rows beyond the limit are untouched. */
static void check_guard(const side *s, size_t max_rows) {
    const uint8_t *p = (const uint8_t *)(s->rows + max_rows);
    for (size_t i = 0; i < GUARD * sizeof *s->rows; i++)
        CHECK(p[i] == 0xa5);
}

static void check_same(const side *a, const side *b, int n) {
    CHECK(memcmp(a->rows, b->rows, (size_t)n * sizeof *a->rows) == 0);
    CHECK(memcmp(a->decoder.dropped, b->decoder.dropped, sizeof a->decoder.dropped) == 0);
    CHECK(a->decoder.flags == b->decoder.flags);
}

static void check_rows(const side *s, int n) {
    for (int i = 0; i < n; i++) {
        const ff_tick *row = &s->rows[i];
        CHECK(row->recv_ns == 42);
        CHECK(row->symbol < s->symbols.count);
        CHECK(ff_is_finite(row->price));
        CHECK(ff_is_finite(row->volume) || row->volume != row->volume);
        CHECK(ff_is_finite(row->turnover) || row->turnover != row->turnover);
        CHECK(row->side >= -1 && row->side <= 1);
        CHECK((row->flags & ~0xb) == 0);
        CHECK(i == 0 || (row->flags & FF_FLAG_GAP) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (length == 0)
        return 0;
    size_t max_rows = data[0] < 0x80 ? (size_t)data[0] : MAX_ROWS;
    uint8_t flags = data[0] & 1 ? FF_FLAG_GAP : 0;
    const uint8_t *body = data + 1, *end = data + length;
    side canonical, any, both;
    open_side(&canonical, flags);
    open_side(&any, flags);
    open_side(&both, flags);
    int n = ff_opend_ticks_canonical(&canonical.decoder, body, end, canonical.rows, max_rows);
    int m = ff_opend_ticks_any(&any.decoder, body, end, any.rows, max_rows);
    int k = ff_opend_decode_ticks(&both.decoder, body, length - 1, both.rows, max_rows);
    check_guard(&canonical, max_rows);
    check_guard(&any, max_rows);
    check_guard(&both, max_rows);
    CHECK(n >= -1 && n <= (int)max_rows);
    CHECK(m > -FF_REASONS && m <= (int)max_rows);
    CHECK(k == m);
    CHECK(canonical.symbols.count == KNOWN);
    CHECK(any.symbols.count == both.symbols.count && any.symbols.count <= KNOWN + 1);
    if (n >= 0) {
        CHECK(n == m);
        check_same(&canonical, &any, n);
    }
    if (m >= 0) {
        check_same(&any, &both, m);
        check_rows(&any, m);
        if (m > 0)
            CHECK(any.decoder.flags == 0);
    }
    if (m <= 0)
        CHECK(both.decoder.flags == flags);
    if (m < 0) {
        for (int i = 0; i < FF_REASONS; i++)
            CHECK(both.decoder.dropped[i] == 0);
    }
    close_side(&canonical);
    close_side(&any);
    close_side(&both);
    return 0;
}

bool fuzz_seed(size_t number, bytes *seed) {
    bytes s2c = {0}, t = {0};
    put_u8(seed, number % 2 == 0 ? 0x80 : 0x81);
    switch (number) {
    case 0:
        put_push(seed, 11, "AAPL", 1, 1);
        return true;
    case 1:
        put_push(seed, 1, "00700", 5, 1);
        return true;
    case 2:
        put_push(seed, 51, "A-RATHER-LONG-CODE", 0, 1);
        return true;
    case 3: /* optional fields absent, others unknown */
        put_security(&s2c, 1, 41, "7203", 4);
        put_text(&t, 1, "2023-11-15 09:00:00", 19);
        put_double(&t, 4, 1.5);
        put_int(&t, 5, -7);
        put_message(&s2c, 2, &t);
        put_double(&t, 4, 2.5);
        put_int(&t, 200, 5);
        put_double(&t, 201, 5);
        put_text(&t, 202, "abc", 3);
        put_varint(&t, 203 << 3 | 5);
        put(&t, "1234", 4);
        put_message(&s2c, 2, &t);
        put_int(seed, 1, 0);
        put_message(seed, 4, &s2c);
        return true;
    case 4: /* pieces, and the other order */
        put_ticker_fields(&t, 1);
        put_double(&t, 4, 9.5);
        put_message(&s2c, 2, &t);
        put_message(seed, 4, &s2c);
        put_text(&t, 2, "BTC", 3);
        put_int(&t, 1, 91);
        put_message(&s2c, 1, &t);
        put_message(seed, 4, &s2c);
        put_int(seed, 1, 0);
        return true;
    case 5: /* an error */
        put_int(seed, 1, -1);
        put_text(seed, 2, "no right", 8);
        return true;
    case 6: /* numbers that are none */
        put_security(&s2c, 1, 11, "AAPL", 4);
        put_ticker_fields(&t, 1);
        put_double(&t, 4, (double)NAN);
        put_message(&s2c, 2, &t);
        put_text(&s2c, 2, "", 0);
        put_ticker_fields(&t, 1);
        put_message(&s2c, 2, &t);
        put_int(seed, 1, 0);
        put_message(seed, 4, &s2c);
        return true;
    default:
        return false;
    }
}
