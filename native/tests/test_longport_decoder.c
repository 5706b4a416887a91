/* What a property test through Python does not see: room, memory, and that what is rejected
 * changes nothing. The meaning of the fields is tested there, against the protobuf runtime. */

#include "fastfeed/longport_decoder.h"

#include "check.h"
#include "longport_bytes.h"

enum { ROOM = 64, GUARD = 64 };

typedef struct fixture {
    ff_symbols symbols;
    ff_longport_decoder decoder;
    uint8_t *rows;
} fixture;

static void open_fixture(fixture *f) {
    CHECK_EQ(ff_symbols_init(&f->symbols, 4), 0);
    ff_longport_decoder_init(&f->decoder, &f->symbols, LONGPORT_DEPTH_ROWS);
    f->decoder.recv_ns = 42;
    f->rows = malloc(ROOM * sizeof(ff_brokers));
    CHECK(f->rows != NULL);
}

static void close_fixture(fixture *f) {
    ff_longport_decoder_free(&f->decoder);
    ff_symbols_free(&f->symbols);
    free(f->rows);
}

static int decode(fixture *f, unsigned command, const uint8_t *body, size_t length,
                  size_t max_rows) {
    uint8_t *copy = exact_copy(body, length);
    const int n =
        command > 100
            ? ff_longport_decode_push(&f->decoder, command, copy, length, f->rows, max_rows)
            : ff_longport_decode_response(&f->decoder, command, copy, length, 60, 3, f->rows,
                                          max_rows);
    free(copy);
    return n;
}

static bool is_list(unsigned command) {
    return longport_row_size(command) <= sizeof(ff_quote) &&
           command != FF_LONGPORT_PUSH_QUOTE && command != FF_LONGPORT_DEPTH &&
           command != FF_LONGPORT_PUSH_DEPTH;
}

/* No byte is written behind the rows that are allowed, and too many are refused. */
static void test_room(void) {
    for (size_t c = 0; c < LONGPORT_COMMANDS; c++) {
        const unsigned command = longport_commands[c];
        const size_t size = longport_row_size(command);
        const size_t all = !is_list(command) ? 1 : command == FF_LONGPORT_QUOTES ? 12 : 3;
        bytes body = {0};
        put_longport(&body, command, "700.HK", 5, 3);
        CHECK(all <= ff_longport_max_rows(command, body.length));
        for (size_t room = 0; room <= all + 1; room++) {
            fixture f;
            open_fixture(&f);
            memset(f.rows, 0xa5, room * size + GUARD);
            const int n = decode(&f, command, body.data, body.length, room);
            CHECK_EQ(n, room < all ? -FF_EROWS : (int)all);
            for (size_t i = 0; i < GUARD; i++)
                CHECK(f.rows[room * size + i] == 0xa5);
            /* What was refused for want of room is new when it comes again. */
            if (room < all && command > 100)
                CHECK_EQ(decode(&f, command, body.data, body.length, ROOM), all);
            close_fixture(&f);
        }
        free(body.data);
    }
}

/* The state of all that a push could change, as the row of a push that says nothing. */
static void row_of_nothing(fixture *f, unsigned command, uint8_t row[sizeof(ff_brokers)]) {
    bytes body = {0};
    memset(row, 0, sizeof(ff_brokers));
    put_longport(&body, command, "700.HK", 0, 0);
    if (command == FF_LONGPORT_PUSH_QUOTE) {
        body.length = 0;
        put_string(&body, 1, "700.HK");
        put_int(&body, 7, 1721098963);
    }
    const int n = decode(f, command, body.data, body.length, ROOM);
    CHECK(n == 1 || command == FF_LONGPORT_PUSH_TRADES);
    memcpy(row, f->rows, (size_t)n * longport_row_size(command));
    free(body.data);
}

/* Every cut of a push leaves everything as it was, unless it is a push as well. */
static void test_cuts(void) {
    for (unsigned command = FF_LONGPORT_PUSH_QUOTE; command <= FF_LONGPORT_PUSH_TRADES;
         command++) {
        fixture f;
        bytes first = {0}, body = {0};
        uint8_t before[sizeof(ff_brokers)], after[sizeof(ff_brokers)];
        size_t rejected = 0;
        open_fixture(&f);
        put_longport(&first, command, "700.HK", 5, 2);
        put_longport(&body, command, "700.HK", 1721098963326623840, 3);
        CHECK(decode(&f, command, first.data, first.length, ROOM) > 0);
        for (size_t length = 0; length < body.length; length++) {
            row_of_nothing(&f, command, before);
            const ff_longport_decoder counters = f.decoder;
            if (decode(&f, command, body.data, length, ROOM) >= 0) {
                ff_longport_decoder_reset(&f.decoder);
                CHECK(decode(&f, command, first.data, first.length, ROOM) > 0);
                continue;
            }
            rejected++;
            CHECK(memcmp(&counters, &f.decoder, sizeof counters) == 0);
            row_of_nothing(&f, command, after);
            CHECK(memcmp(before, after, sizeof before) == 0);
            /* Nor was the sequence of the one that was cut taken. */
            CHECK_EQ(decode(&f, command, first.data, first.length, ROOM), 0);
        }
        CHECK(rejected > body.length / 2);
        CHECK_EQ(f.symbols.count, 1);
        CHECK(decode(&f, command, body.data, body.length, ROOM) > 0);
        close_fixture(&f);
        free(first.data);
        free(body.data);
    }
}

/* A push that is rejected makes no symbol known. */
static void test_new_symbols(void) {
    for (unsigned command = FF_LONGPORT_PUSH_QUOTE; command <= FF_LONGPORT_PUSH_TRADES;
         command++) {
        fixture f;
        bytes body = {0};
        open_fixture(&f);
        put_longport(&body, command, "00700.HK", 5, 2);
        CHECK(decode(&f, command, body.data, body.length - 1, ROOM) < 0);
        CHECK_EQ(f.symbols.count, 0);
        CHECK(decode(&f, command, body.data, body.length, ROOM) > 0);
        CHECK_EQ(f.symbols.count, 1);
        size_t length;
        const uint8_t *name = ff_symbols_name(&f.symbols, 0, &length);
        CHECK(length == 6 && memcmp(name, "700.HK", 6) == 0);
        CHECK(ff_symbols_find(&f.symbols, FF_LONGPORT_SPACE, (const uint8_t *)"00700.HK", 8,
                              (const uint8_t *)"00700.HK" + 8) == 0);
        CHECK_EQ(decode(&f, command, body.data, body.length, ROOM), 0); /* old */
        CHECK_EQ(f.decoder.old, 1);
        close_fixture(&f);
        free(body.data);
    }
}

/* Many symbols: what is known of each stays its own while the tables grow. */
static void test_many_symbols(void) {
    enum { SYMBOLS = 3000 };
    ff_symbols symbols;
    ff_longport_decoder d;
    ff_quote row;
    CHECK_EQ(ff_symbols_init(&symbols, SYMBOLS), 0);
    ff_longport_decoder_init(&d, &symbols, 10);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SYMBOLS; i++) {
            char symbol[16], price[16];
            bytes body = {0};
            snprintf(symbol, sizeof symbol, "%d.US", i);
            snprintf(price, sizeof price, "%d.5", i);
            put_string(&body, 1, symbol);
            put_string(&body, round == 0 ? 3 : 4, price);
            put_int(&body, 7, 1721098963);
            put_int(&body, 11, i % 4);
            CHECK_EQ(ff_longport_decode_push(&d, FF_LONGPORT_PUSH_QUOTE, body.data,
                                             body.length, &row, 1),
                     1);
            CHECK_EQ(row.symbol, i);
            CHECK_EQ(row.session, FF_SESSION_REGULAR + i % 4);
            CHECK(row.last == i + 0.5);
            CHECK(round == 0 ? row.open != row.open : row.open == i + 0.5);
            free(body.data);
        }
    }
    ff_longport_decoder_free(&d);
    ff_symbols_free(&symbols);
}

static void test_commands(void) {
    fixture f;
    open_fixture(&f);
    for (unsigned command = 0; command < 300; command++) {
        bool known = false;
        for (size_t c = 0; c < LONGPORT_COMMANDS; c++)
            known = known || longport_commands[c] == command;
        CHECK_EQ(ff_longport_max_rows(command, 1000) > 0, known);
        if (known)
            continue;
        const uint8_t body[] = {0x0a, 4, 'A', '.', 'U', 'S'};
        CHECK_EQ(ff_longport_decode_push(&f.decoder, command, body, sizeof body, f.rows, ROOM),
                 -FF_EVALUE);
        CHECK_EQ(ff_longport_decode_response(&f.decoder, command, body, sizeof body, 0, 0,
                                             f.rows, ROOM),
                 -FF_EVALUE);
    }
    close_fixture(&f);
}

int main(void) {
    test_room();
    test_cuts();
    test_new_symbols();
    test_many_symbols();
    test_commands();
    return 0;
}
