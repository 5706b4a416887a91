/* The decoders of bodies. Whatever is accepted gives the same rows in a rougher encoding
 * (every element and the body with an unknown field at its end), which the canonical path does
 * not take; what is refused leaves no trace; no byte is written behind the rows allowed.
 *
 * The first byte says which decoder, the second how many rows. */

#include "opend_decode.h"

#include "fuzz.h"

enum { MAX_ROWS = 300, GUARD = 64, KNOWN = 3 };

typedef struct side {
    ff_symbols symbols, brokers;
    ff_opend_decoder decoder;
    uint8_t *rows;
    size_t bytes;
    int n;
} side;

static void run(side *s, opend_kind kind, size_t max_rows, const uint8_t *body,
                size_t length) {
    memset(s, 0, sizeof *s);
    CHECK(ff_symbols_init(&s->symbols, 100) == 0);
    CHECK(ff_symbols_init(&s->brokers, 100) == 0);
    CHECK(ff_opend_intern(&s->symbols, 11, (const uint8_t *)"AAPL", 4) == 0);
    CHECK(ff_opend_intern(&s->symbols, 1, (const uint8_t *)"00700", 5) == 1);
    CHECK(ff_opend_intern(&s->symbols, 41, (const uint8_t *)"7203", 4) == 2);
    s->decoder.symbols = &s->symbols;
    s->decoder.brokers = &s->brokers;
    s->decoder.recv_ns = 42;
    size_t rows = kind == KIND_BOOKS || kind == KIND_BROKERS ? 1 : max_rows;
    s->bytes = rows * opend_row_size(kind);
    s->rows = malloc(s->bytes + GUARD);
    CHECK(s->rows != NULL);
    memset(s->rows, 0xa5, s->bytes + GUARD);
    s->n = opend_decode(kind, &s->decoder, body, length, s->rows, max_rows);
    CHECK(s->n > -FF_REASONS && s->n <= (int)rows);
    for (size_t i = 0; i < GUARD; i++)
        CHECK(s->rows[s->bytes + i] == 0xa5);
    if (s->n < 0) {
        for (int i = 0; i < FF_REASONS; i++)
            CHECK(s->decoder.dropped[i] == 0);
        CHECK(s->decoder.cut_levels == 0);
    }
}

static void finish(side *s) {
    ff_symbols_free(&s->symbols);
    ff_symbols_free(&s->brokers);
    free(s->rows);
}

/* Whether a field of S2C is an element. */
static bool is_element(opend_kind kind, uint32_t tag) {
    switch (kind) {
    case KIND_QUOTES:
        return tag == 0x0a;
    case KIND_BARS:
        return tag == 0x22;
    case KIND_BOOKS:
    case KIND_BROKERS:
        return tag == 0x12 || tag == 0x1a;
    default:
        return tag == 0x12;
    }
}

/* The same message, with more in it. */
static bytes roughen(opend_kind kind, const uint8_t *body, size_t length) {
    bytes out = {0};
    const uint8_t *end = body + length;
    uint32_t tag = 0; /* the body was decoded: nothing fails from here on */
    size_t n = 0;
    int why;
    for (const uint8_t *p = body; p < end;) {
        const uint8_t *field = p;
        p = ff_wire_tag(p, end, &tag, &why);
        const uint8_t *value = p;
        p = ff_wire_skip(p, end, tag, &why);
        if (tag != 0x22) {
            put(&out, field, (size_t)(p - field));
            continue;
        }
        bytes s2c = {0};
        for (const uint8_t *q = ff_wire_length(value, p, &n, &why); q < p;) {
            field = q;
            q = ff_wire_tag(q, p, &tag, &why);
            value = q;
            q = ff_wire_skip(q, p, tag, &why);
            if (is_element(kind, tag)) {
                value = ff_wire_length(value, q, &n, &why);
                bytes element = {0};
                put(&element, value, n);
                put_int(&element, 31, 5);
                put_message(&s2c, tag >> 3, &element);
            } else {
                put(&s2c, field, (size_t)(q - field));
            }
        }
        put_message(&out, 4, &s2c);
    }
    put_int(&out, 31, 5);
    return out;
}

static void check_tick(const ff_tick *row) {
    CHECK(ff_is_finite(row->price));
    CHECK(ff_is_finite(row->volume) || row->volume != row->volume);
    CHECK(ff_is_finite(row->turnover) || row->turnover != row->turnover);
    CHECK(row->side >= -1 && row->side <= 1);
    CHECK((row->flags & ~0x3) == 0);
}

static void check_rows(opend_kind kind, const side *s) {
    for (int i = 0; i < s->n; i++) {
        const uint8_t *row = s->rows + (size_t)i * opend_row_size(kind);
        CHECK((int64_t)ff_load_u64(row) == 42); /* recv_ns */
        if (kind == KIND_TICKS) {
            check_tick((const ff_tick *)(const void *)row);
        } else if (kind == KIND_QUOTES) {
            const ff_quote *quote = (const ff_quote *)(const void *)row;
            CHECK(quote->symbol < s->symbols.count);
            CHECK(quote->session >= 1 && quote->session < FF_SESSIONS);
            CHECK(quote->session != FF_SESSION_REGULAR || ff_is_finite(quote->last));
            CHECK(quote->suspended <= 1 && quote->kind < 8);
        } else if (kind == KIND_BOOKS) {
            const ff_book *book = (const ff_book *)(const void *)row;
            CHECK(book->symbol < s->symbols.count);
            CHECK(book->bids <= TEST_DEPTH && book->asks <= TEST_DEPTH);
        } else if (kind == KIND_BROKERS) {
            const ff_brokers *brokers = (const ff_brokers *)(const void *)row;
            CHECK(brokers->symbol < s->symbols.count);
            CHECK(brokers->bids <= FF_BROKER_PLACES && brokers->asks <= FF_BROKER_PLACES);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (length < 2)
        return 0;
    opend_kind kind = (opend_kind)(data[0] % KINDS);
    size_t max_rows = data[1] < 0x80 ? (size_t)data[1] : MAX_ROWS;
    uint8_t *body = exact_copy(data + 2, length - 2);
    side plain;
    run(&plain, kind, max_rows, body, length - 2);
    CHECK(plain.symbols.count <= (kind == KIND_QUOTES ? 100 : KNOWN + 1));
    if (plain.n >= 0) {
        check_rows(kind, &plain);
        side rough;
        bytes other = roughen(kind, body, length - 2);
        run(&rough, kind, max_rows, other.data, other.length);
        CHECK(rough.n == plain.n);
        CHECK(memcmp(plain.rows, rough.rows, (size_t)plain.n * opend_row_size(kind)) == 0);
        CHECK(memcmp(plain.decoder.dropped, rough.decoder.dropped,
                     sizeof plain.decoder.dropped) == 0);
        CHECK(plain.decoder.cut_levels == rough.decoder.cut_levels);
        CHECK(plain.symbols.count == rough.symbols.count);
        CHECK(plain.brokers.count == rough.brokers.count);
        free(other.data);
        finish(&rough);
    }
    finish(&plain);
    free(body);
    return 0;
}

/* Seeds that only ticks have. */
static bool put_odd_seed(size_t number, bytes *seed) {
    bytes s2c = {0}, t = {0};
    switch (number) {
    case 0:
        put_push(seed, 51, "A-RATHER-LONG-CODE", 0, 1);
        return true;
    case 1: /* optional fields absent, others unknown */
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
    case 2: /* pieces, and the other order */
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
    case 3: /* an error */
        put_int(seed, 1, -1);
        put_text(seed, 2, "no right", 8);
        return true;
    case 4: /* numbers that are none */
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

bool fuzz_seed(size_t number, bytes *seed) {
    static const size_t elements[] = {1, 9, 0};
    if (number < 3 * KINDS) {
        put_u8(seed, (unsigned)(number % KINDS));
        put_u8(seed, number % 2 == 0 ? 0x80 : 0x81);
        put_kind(seed, (opend_kind)(number % KINDS), number / KINDS == 1,
                 elements[number / KINDS]);
        return true;
    }
    put_u8(seed, KIND_TICKS);
    put_u8(seed, number % 2 == 0 ? 0x80 : 0x81);
    return put_odd_seed(number - 3 * KINDS, seed);
}
