/* LongPort's decoder, pushes one after the other and responses between them. The short ways
 * and the walk for any shape say the same all along; so does a rougher encoding of what is
 * accepted (every element and the body with an unknown field at its end). What is rejected
 * changes no counter; no byte is written behind the rows allowed.
 *
 * The input is a run of: which command, how many rows, two bytes of length, the body. */

#include "fuzz.h"
#include "longport_bytes.h"

enum { MAX_ROWS = 300, GUARD = 64, SIDES = 3 };

typedef struct side {
    ff_symbols symbols;
    ff_longport_decoder decoder;
    uint8_t *rows;
    int n;
} side;

static void begin(side *s) {
    CHECK(ff_symbols_init(&s->symbols, 100) == 0);
    ff_longport_decoder_init(&s->decoder, &s->symbols, LONGPORT_DEPTH_ROWS);
    s->decoder.recv_ns = 42;
    s->rows = malloc(MAX_ROWS * sizeof(ff_quote) + sizeof(ff_brokers) + GUARD);
    CHECK(s->rows != NULL);
}

static void finish(side *s) {
    ff_longport_decoder_free(&s->decoder);
    ff_symbols_free(&s->symbols);
    free(s->rows);
}

static bool same_counters(const ff_longport_decoder *a, const ff_longport_decoder *b) {
    return memcmp(a->dropped, b->dropped, sizeof a->dropped) == 0 &&
           a->cut_levels == b->cut_levels && a->old == b->old &&
           a->end_of_day == b->end_of_day;
}

static void run(side *s, unsigned command, bool any, size_t max_rows, const uint8_t *body,
                size_t length) {
    const ff_longport_decoder before = s->decoder;
    const size_t used = max_rows * longport_row_size(command);
    memset(s->rows, 0xa5, used + GUARD);
    if (command < 100)
        s->n = ff_longport_decode_response(&s->decoder, command, body, length, 60, 3, s->rows,
                                           max_rows);
    else if (any)
        s->n =
            ff_longport_decode_push_any(&s->decoder, command, body, length, s->rows, max_rows);
    else
        s->n = ff_longport_decode_push(&s->decoder, command, body, length, s->rows, max_rows);
    CHECK(s->n > -FF_REASONS && s->n <= (int)max_rows);
    CHECK(s->n < 0 || (size_t)s->n <= ff_longport_max_rows(command, length));
    for (size_t i = 0; i < GUARD; i++)
        CHECK(s->rows[used + i] == 0xa5);
    if (s->n < 0)
        CHECK(same_counters(&before, &s->decoder));
}

/* The same message, with more in it. */
static bytes roughen(unsigned command, const uint8_t *body, size_t length) {
    const uint32_t first = command > 100 ? 3 : command == FF_LONGPORT_QUOTES ? 1 : 2;
    const uint8_t *end = body + length;
    bytes out = {0};
    uint32_t tag = 0; /* the body was decoded: nothing fails from here on */
    size_t n = 0;
    int why;
    for (const uint8_t *p = body; p < end;) {
        const uint8_t *field = p;
        p = ff_wire_tag(p, end, &tag, &why);
        const uint8_t *value = p;
        p = ff_wire_skip(p, end, tag, &why);
        const bool element = command != FF_LONGPORT_PUSH_QUOTE && (tag & 7) == FF_WIRE_BYTES &&
                             (tag >> 3 == first || (first > 1 && tag >> 3 == first + 1));
        if (!element) {
            put(&out, field, (size_t)(p - field));
            continue;
        }
        value = ff_wire_length(value, p, &n, &why);
        bytes e = {0};
        put(&e, value, n);
        put_int(&e, 31, 5);
        put_message(&out, tag >> 3, &e);
    }
    put_int(&out, 31, 5);
    return out;
}

static bool is_number_or_nan(double v) {
    return v - v == 0 || v != v;
}

static void check_rows(unsigned command, const side *s) {
    for (int i = 0; i < s->n; i++) {
        const uint8_t *row = s->rows + (size_t)i * longport_row_size(command);
        CHECK((int64_t)ff_load_u64(row) == 42); /* recv_ns */
        if (longport_row_size(command) == sizeof(ff_tick)) {
            const ff_tick *tick = (const ff_tick *)(const void *)row;
            CHECK(tick->price - tick->price == 0);
            CHECK(tick->symbol < s->symbols.count && tick->session < FF_SESSIONS);
        } else if (longport_row_size(command) == sizeof(ff_quote)) {
            const ff_quote *quote = (const ff_quote *)(const void *)row;
            CHECK(quote->last - quote->last == 0);
            CHECK(is_number_or_nan(quote->turnover) && is_number_or_nan(quote->prev_close));
            CHECK(quote->symbol < s->symbols.count && quote->session < FF_SESSIONS);
        } else if (longport_row_size(command) == sizeof(ff_brokers)) {
            const ff_brokers *brokers = (const ff_brokers *)(const void *)row;
            CHECK(brokers->bids <= FF_BROKER_PLACES && brokers->asks <= FF_BROKER_PLACES);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    side sides[SIDES]; /* the short ways, any shape, any shape in a rougher encoding */
    for (size_t i = 0; i < SIDES; i++)
        begin(&sides[i]);
    for (const uint8_t *end = data + length; end - data >= 4;) {
        const unsigned command = longport_commands[data[0] % LONGPORT_COMMANDS];
        size_t max_rows = data[1] < 0x80 ? (size_t)data[1] % 8 : MAX_ROWS, n;
        if (longport_row_size(command) > sizeof(ff_quote) || command == FF_LONGPORT_PUSH_QUOTE)
            max_rows = max_rows > 0;
        n = (size_t)data[2] | (size_t)data[3] << 8;
        data += 4;
        n = n < (size_t)(end - data) ? n : (size_t)(end - data);
        uint8_t *body = exact_copy(data, n);
        data += n;
        run(&sides[0], command, false, max_rows, body, n);
        run(&sides[1], command, true, max_rows, body, n);
        const int got = sides[0].n;
        CHECK(got == sides[1].n);
        if (got >= 0) {
            const size_t size = (size_t)got * longport_row_size(command);
            check_rows(command, &sides[0]);
            if (n > 0) { /* an empty response needs no symbol */
                bytes other = roughen(command, body, n);
                run(&sides[2], command, false, max_rows, other.data, other.length);
                free(other.data);
            } else {
                run(&sides[2], command, true, max_rows, body, n);
            }
            CHECK(got == sides[2].n);
            for (size_t i = 1; i < SIDES; i++) {
                CHECK(memcmp(sides[0].rows, sides[i].rows, size) == 0);
                CHECK(same_counters(&sides[0].decoder, &sides[i].decoder));
                CHECK(sides[0].symbols.count == sides[i].symbols.count);
            }
            if (command == FF_LONGPORT_QUOTES) {
                for (size_t i = 0; i < SIDES; i++) {
                    CHECK(ff_longport_seed_quotes(&sides[i].decoder,
                                                  (ff_quote *)(void *)sides[i].rows,
                                                  (size_t)got) == 0);
                }
                CHECK(memcmp(sides[0].rows, sides[2].rows, size) == 0);
            }
        } else {
            /* A response that is rejected may have taught a symbol. */
            run(&sides[2], command, true, max_rows, body, n);
            CHECK(got == sides[2].n);
        }
        free(body);
    }
    for (size_t i = 0; i < SIDES; i++)
        finish(&sides[i]);
    return 0;
}

static void put_part(bytes *seed, size_t command, const bytes *body) {
    put_u8(seed, (unsigned)command);
    put_u8(seed, 0x80);
    put_u8(seed, (unsigned)(body->length & 0xff));
    put_u8(seed, (unsigned)(body->length >> 8));
    put(seed, body->data, body->length);
}

bool fuzz_seed(size_t number, bytes *seed) {
    static const char *const symbols[] = {"700.HK", "00700.HK", "AAPL.US", "BRK.A.US"};
    if (number >= 2 * LONGPORT_COMMANDS + 2)
        return false;
    if (number < 2 * LONGPORT_COMMANDS) { /* twice the same, with several symbols */
        const size_t command = number % LONGPORT_COMMANDS;
        for (unsigned i = 0; i < 4; i++) {
            bytes body = {0};
            put_longport(&body, longport_commands[command], symbols[(i + number) % 4],
                         1721098963326623840 + (int64_t)i, number < LONGPORT_COMMANDS ? 1 : 5);
            put_part(seed, command, &body);
            free(body.data);
        }
        return true;
    }
    for (size_t command = 0; command < LONGPORT_COMMANDS; command++) { /* all of them */
        bytes body = {0};
        put_longport(&body, longport_commands[command], "AAPL.US", 0,
                     (unsigned)number % 3 + 1);
        put_part(seed, command, &body);
        free(body.data);
    }
    return true;
}
