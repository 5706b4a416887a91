#include "fastfeed/alltick_decoder.h"

#include "alltick_messages.h"

static alltick_target fast, any;

static void open_both(void) {
    alltick_open(&fast, ALLTICK_DEPTH);
    alltick_open(&any, ALLTICK_DEPTH);
    alltick_learn(&fast);
    alltick_learn(&any);
}

static void close_both(void) {
    ff_symbols_free(&fast.symbols);
    ff_symbols_free(&any.symbols);
}

/* Both ways, in memory of just the message's size. */
static int decode_bytes(const void *bytes, size_t length) {
    uint8_t *data = exact_copy(bytes, length);
    const int got = alltick_both(&fast, &any, data, length);
    free(data);
    return got;
}

static int decode(const char *text) {
    return decode_bytes(text, strlen(text));
}

/* Decode a tick; the row. */
static const ff_tick *tick(const char *text) {
    const int got = decode(text);
    if (got != FF_ALLTICK_TICKS || fast.rows.count != 1) {
        fprintf(stderr, "%s: got %d\n", text, got);
        abort();
    }
    return fast.ticks;
}

static void rejected(const char *text, int reason) {
    ff_alltick_decoder before = fast.d;
    const int got = decode(text);
    if (got != -reason) {
        fprintf(stderr, "%s: expected -%s, got %d\n", text, ff_reason_name(reason), got);
        abort();
    }
    CHECK(memcmp(&before, &fast.d, sizeof before) == 0);
}

static void test_tick(void) {
    open_both();
    const uint8_t *message = (const uint8_t *)alltick_messages[0];
    ff_tick row;
    CHECK(ff_alltick_fast_tick(&fast.d, message, strlen(alltick_messages[0]), &row));
    const ff_tick *t = tick(alltick_messages[0]);
    CHECK_EQ(t->recv_ns, RECV_NS);
    CHECK_EQ(t->time_ns, INT64_C(1785204900174000000));
    CHECK_EQ(t->gateway_ns, 0);
    CHECK_EQ(t->seq, INT64_C(1785204900281));
    CHECK(t->price == 511 && t->volume == 100 && t->turnover == 51100);
    CHECK(t->symbol == 0 && t->side == 1 && t->kind == 0 && t->session == 0 && t->flags == 0);
    /* The documented forms take the fast way. */
    for (size_t i = 0; i < 7; i++) {
        const char *text = alltick_messages[i];
        CHECK(ff_alltick_fast_tick(&fast.d, (const uint8_t *)text, strlen(text), &row));
        tick(text);
    }
    t = tick(alltick_messages[5]);
    CHECK(t->price == -37.63 && t->volume == 0 && t->turnover == 0);

    t = tick(TICK_HEAD "\"GOLD\",\"price\":5,\"volume\":-1,\"turnover\":\"-0.5\"}}");
    CHECK(t->price == 5 && isnan(t->volume) && isnan(t->turnover));
    CHECK(t->seq == -1 && t->time_ns == 0 && t->side == 0 && t->flags == 0);
    CHECK_EQ(fast.d.dropped[FF_ETIME], 1);
    CHECK_EQ(fast.d.odd_seqs, 0);
    t = tick(TICK_HEAD "\"GOLD\",\"price\":5,\"seq\":-3,\"trade_direction\":3}}");
    CHECK(t->seq == -1 && t->side == 0);
    CHECK_EQ(fast.d.odd_seqs, 1);
    CHECK_EQ(fast.d.odd_directions, 1);
    CHECK_EQ(tick(TICK_HEAD "\"GOLD\",\"price\":5,\"trade_direction\":\"2\"}}")->side, -1);
    close_both();
}

static void test_times(void) {
    static const struct {
        const char *text;
        int64_t ns;
    } times[] = {
        {"1", 1000000000},
        {"1785204900", INT64_C(1785204900000000000)},
        {"99999999999", 0}, /* seconds, in the year 5138 */
        {"100000000000", INT64_C(100000000000000000)},
        {"1785204900174", INT64_C(1785204900174000000)},
        {"99999999999999", 0},
        {"100000000000000", INT64_C(100000000000000000)},
        {"1785204900174123", INT64_C(1785204900174123000)},
        {"99999999999999999", 0},
        {"100000000000000000", INT64_C(100000000000000000)},
        {"1785204900174123456", INT64_C(1785204900174123456)},
        {"1785291316000000000", INT64_C(1785291316000000000)}, /* a day ahead, just */
        {"1785291316000000001", 0},
        {"1785291316000", INT64_C(1785291316000000000)},
        {"1785291316001", 0},
        {"9223372036854775807", 0},
        {"9223372036854775808", 0},
        {"9999999999999999999", 0},
        {"18446744073709551616", 0},
        {"0", 0},
        {"-1", 0},
    };
    char text[300];
    open_both();
    for (int quoted = 0; quoted < 2; quoted++) {
        for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
            const char *quote = quoted ? "\"" : "";
            const uint64_t untimed = fast.d.dropped[FF_ETIME];
            snprintf(text, sizeof text, TICK_HEAD "\"A\",\"seq\":1,\"tick_time\":%s%s%s,%s",
                     quote, times[i].text, quote, TICK_TAIL);
            const ff_tick *t = tick(text);
            CHECK_EQ(t->time_ns, times[i].ns);
            CHECK_EQ(fast.d.dropped[FF_ETIME] - untimed, times[i].ns == 0);
            CHECK_EQ(t->flags, t->time_ns != 0 && RECV_NS - t->time_ns > INT64_C(60000000000)
                                   ? FF_FLAG_STALE
                                   : 0);
        }
    }
    for (int off = 0; off < 2; off++) { /* a minute old, and a ns more */
        snprintf(text, sizeof text, TICK_HEAD "\"A\",\"seq\":1,\"tick_time\":%lld,%s",
                 (long long)(RECV_NS - INT64_C(60000000000) - off), TICK_TAIL);
        CHECK_EQ(tick(text)->flags, off * FF_FLAG_STALE);
    }
    close_both();
}

static const ff_book *book(const char *text, int bids, int asks) {
    const int got = decode(text);
    if (got != FF_ALLTICK_BOOKS || fast.rows.count != 1) {
        fprintf(stderr, "%s: got %d\n", text, got);
        abort();
    }
    ff_book *b = alltick_book(&fast, 0);
    CHECK_EQ(b->bids, bids);
    CHECK_EQ(b->asks, asks);
    for (int i = 0; i < ALLTICK_DEPTH; i++) {
        CHECK(isnan(ff_book_bid_price(b)[i]) == (i >= bids));
        CHECK(isnan(ff_book_ask_price(b, ALLTICK_DEPTH)[i]) == (i >= asks));
        CHECK(ff_book_bid_orders(b, ALLTICK_DEPTH)[i] == 0);
        CHECK(ff_book_ask_orders(b, ALLTICK_DEPTH)[i] == 0);
    }
    return b;
}

static void test_book(void) {
    _Alignas(64) uint8_t memory[512];
    open_both();
    for (size_t i = 7; i < 12; i++) {
        const char *text = alltick_messages[i];
        CHECK(ff_alltick_fast_book(&fast.d, (const uint8_t *)text, strlen(text),
                                   (ff_book *)(void *)memory));
    }
    memset(&fast.d.cut_levels, 0, sizeof fast.d.cut_levels);
    ff_book *b = alltick_book(&fast, 0);
    book(alltick_messages[7], 1, 1);
    CHECK(b->time_ns == INT64_C(1785204900174000000) && b->seq == INT64_C(1785204900281));
    CHECK(b->bid_ns == 0 && b->ask_ns == 0 && b->gateway_ns == 0 && b->recv_ns == RECV_NS);
    CHECK(ff_book_bid_price(b)[0] == 118204.49);
    CHECK(ff_book_bid_volume(b, ALLTICK_DEPTH)[0] == 0.74446);
    CHECK(ff_book_ask_price(b, ALLTICK_DEPTH)[0] == 118204.50);
    CHECK(ff_book_ask_volume(b, ALLTICK_DEPTH)[0] == 0.81067);
    CHECK_EQ(fast.d.cut_levels, 0);
    book(alltick_messages[8], 4, 1); /* five for four places */
    CHECK_EQ(fast.d.cut_levels, 1);
    CHECK(ff_book_bid_price(b)[3] == 508.5);
    CHECK(ff_book_ask_volume(b, ALLTICK_DEPTH)[0] == 12345678901234567.);
    book(alltick_messages[9], 1, 0); /* limit up */
    book(alltick_messages[10], 1, 0);
    CHECK(ff_book_bid_price(b)[0] == 1.5);
    book(alltick_messages[11], 0, 0);
    CHECK_EQ(fast.d.cut_levels, 1);

    book(BOOK_HEAD "\"A\",\"bids\":[{\"price\":\"1\"},{\"price\":0,\"volume\":5},"
                   "{\"volume\":\"\",\"price\":\"2\"},{\"price\":3,\"volume\":-1}]}}",
         3, 0);
    CHECK(ff_book_bid_price(b)[1] == 2 && isnan(ff_book_bid_volume(b, ALLTICK_DEPTH)[2]));
    CHECK_EQ(fast.d.dropped[FF_ETIME], 1);
    /* The last side of several counts. */
    book(BOOK_HEAD "\"A\",\"bids\":\"x\",\"bids\":[],\"asks\":[{\"price\":1}],\"asks\":[]}}",
         0, 0);
    rejected(BOOK_HEAD "\"A\",\"bids\":[],\"bids\":\"[]\"}}", FF_EVALUE);
    rejected(BOOK_HEAD "\"A\"}}", FF_EVALUE);
    rejected(BOOK_HEAD "\"A\",\"bids\":null,\"asks\":null}}", FF_EVALUE);
    rejected(BOOK_HEAD "\"A\",\"bids\":{},\"asks\":[]}}", FF_EVALUE);
    rejected(BOOK_HEAD "\"A\",\"bids\":[[]],\"asks\":[]}}", FF_EVALUE);
    rejected(BOOK_HEAD "\"A\",\"bids\":[{}],\"asks\":[]}}", FF_EMISSING);
    rejected(BOOK_HEAD "\"A\",\"bids\":[{\"price\":\"\"}],\"asks\":[]}}", FF_EMISSING);
    rejected(BOOK_HEAD "\"A\",\"bids\":[" LEVEL("1", "x") "]}}", FF_EVALUE);
    rejected(BOOK_HEAD "\"A\",\"bids\":[" LEVEL("1e12", "1") "]}}", FF_EVALUE);
    rejected(BOOK_HEAD "\"A\",\"bids\":[" LEVEL("1", "1000000000000000000") "]}}", FF_EVALUE);
    close_both();
}

static void test_rejected(void) {
    static const struct {
        const char *text;
        int reason;
    } cases[] = {
        {"", FF_EJSON},
        {" \t \n", FF_EJSON},
        {"\xef\xbb\xbf", FF_EJSON},
        {"{", FF_EJSON},
        {"{}x", FF_EJSON},
        {"{}{}", FF_EJSON},
        {"{'a':1}", FF_EJSON},
        {"[]", FF_EVALUE},
        {"[", FF_EJSON},
        {"{\"a\":\"\xff\"}", FF_EUTF8},
        {TICK_HEAD "\"700\xc0\xaeHK\"," NUMBERS TICK_TAIL, FF_EUTF8},
        {"{\"cmd_id\":22998}", FF_EVALUE},
        {"{\"cmd_id\":22998,\"data\":null}", FF_EVALUE},
        {"{\"cmd_id\":22998,\"data\":\"{}\"}", FF_EVALUE},
        {"{\"cmd_id\":22998,\"data\":5}", FF_EVALUE},
        {"{\"cmd_id\":22998,\"data\":[1]}", FF_EVALUE},
        {"{\"cmd_id\":22998,\"data\":[[]]}", FF_EVALUE},
        {"{\"cmd_id\":22998,\"data\":{\"tick_list\":{}}}", FF_EVALUE},
        {"{\"cmd_id\":22998,\"data\":{}}", FF_ESYMBOL},
        {"{\"cmd_id\":22998,\"data\":{\"code\\u0000\":\"A\",\"price\":1}}", FF_ESYMBOL},
        {"{\"cmd_id\":22998,\"data\":{\"code\":\"A\",\"\\u0000price\":1}}", FF_EMISSING},
        {"{\"cmd_id\":22998,\"data\":{\"code\":\"A\",\"price\":1},\"data\":[5]}", FF_EVALUE},
        {"{\"cmd_id\":22998,\"data\":{\"code\":\"A\",\"price\":1},\"data\":{\"code\":\"B\"}}",
         FF_EMISSING},
        {TICK_HEAD "700," TICK_TAIL, FF_ESYMBOL},
        {TICK_HEAD "null," TICK_TAIL, FF_ESYMBOL},
        {TICK_HEAD "\"\"," TICK_TAIL, FF_ESYMBOL},
        {TICK_HEAD "\"A B\"," TICK_TAIL, FF_ESYMBOL},
        {TICK_HEAD "\"A\\u0000\"," TICK_TAIL, FF_ESYMBOL},
        {TICK_HEAD "\"\xc3\xa9\"," TICK_TAIL, FF_ESYMBOL},
        {TICK_HEAD "\"A\x7f\"," TICK_TAIL, FF_ESYMBOL},
        {TICK_HEAD "\"ABCDEFGHIJKLMNOPQ\"," TICK_TAIL, FF_ESYMBOL},
        {TICK_HEAD "\"A\\ud800\"," TICK_TAIL, FF_EJSON},
        {TICK_HEAD "\"A\",\"price\":\"\"}}", FF_EMISSING},
        {TICK_HEAD "\"A\",\"price\":null}}", FF_EMISSING},
        {TICK_HEAD "\"A\",\"Price\":\"1\"}}", FF_EMISSING},
        {TICK_HEAD "\"A\",\"price\":true}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":{}}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":NaN}}", FF_EJSON},
        {TICK_HEAD "\"A\",\"price\":\"NaN\"}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":1e400}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":\"1000000000000\"}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":\" 1\"}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":\"+1\"}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":01}}", FF_EJSON},
        {TICK_HEAD "\"A\",\"price\":1,\"volume\":\"x\"}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":1,\"turnover\":1e18}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":1,\"seq\":1.5}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":1,\"seq\":\"-\"}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":1,\"tick_time\":true}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"price\":1,\"trade_direction\":\"buy\"}}", FF_EVALUE},
        {TICK_HEAD "\"A\",\"seq\":01,\"tick_time\":1785204900174," TICK_TAIL, FF_EJSON},
        {TICK_HEAD "\"A\",\"seq\":1,\"tick_time\":01785204900174," TICK_TAIL, FF_EJSON},
        {TICK_HEAD "\"A\",\"seq\":1\",\"tick_time\":1785204900174," TICK_TAIL, FF_EJSON},
        {TICK_HEAD "\"A\",\"seq\":\"1,\"tick_time\":1785204900174," TICK_TAIL, FF_EJSON},
        {TICK_HEAD "\"A\"," NUMBERS TICK_TAIL "x", FF_EJSON},
        {TICK_HEAD "\"A\"," NUMBERS TICK_TAIL "}", FF_EJSON},
        /* The last number says that it is a book. */
        {TICK_HEAD "\"A\",\"price\":1},\"cmd_id\":22999}", FF_EVALUE},
    };
    char text[400];
    open_both();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        rejected(cases[i].text, cases[i].reason);
    CHECK_EQ(decode_bytes(TICK_HEAD "\"A\0\"," NUMBERS TICK_TAIL,
                          sizeof(TICK_HEAD "\"A\0\"," NUMBERS TICK_TAIL) - 1),
             -FF_EJSON);
    /* Deeper than 32, in a key that nobody asks for. */
    for (int deep = 29; deep < 34; deep++) {
        int n = snprintf(text, sizeof text, TICK_HEAD "\"A\",\"price\":1,\"x\":");
        memset(text + n, '[', (size_t)deep);
        memset(text + n + deep, ']', (size_t)deep);
        memcpy(text + n + 2 * deep, "}}", 3);
        if (deep <= 30)
            tick(text);
        else
            rejected(text, FF_ENESTING);
    }
    /* A message over the limit is refused unseen; one of just the limit is not. */
    uint8_t *large = malloc(FF_ALLTICK_MAX_MESSAGE + 1);
    CHECK(large != NULL);
    memset(large, ' ', FF_ALLTICK_MAX_MESSAGE + 1);
    memcpy(large, alltick_messages[0], strlen(alltick_messages[0]));
    CHECK_EQ(decode_bytes(large, FF_ALLTICK_MAX_MESSAGE), FF_ALLTICK_TICKS);
    CHECK_EQ(decode_bytes(large, FF_ALLTICK_MAX_MESSAGE + 1), -FF_ELENGTH);
    free(large);
    close_both();
}

static void test_kinds(void) {
    open_both();
    CHECK_EQ(decode("{\"ret\":200,\"msg\":\"\\u2713\",\"cmd_id\":22005}"), FF_ALLTICK_SESSION);
    CHECK_EQ(decode("{\"ret\":600,\"cmd_id\":0,\"data\":null}"), FF_ALLTICK_SESSION);
    CHECK_EQ(decode("{\"msg\":\"token is required\",\"ret\":401}"), FF_ALLTICK_SESSION);
    CHECK_EQ(decode("{\"cmd_id\":22001}"), FF_ALLTICK_SESSION);
    CHECK_EQ(decode("{\"cmd_id\":22997,\"data\":{}}"), FF_ALLTICK_IGNORED);
    CHECK_EQ(decode("{}"), FF_ALLTICK_IGNORED);
    CHECK_EQ(decode("{\"cmd_id\":true}"), FF_ALLTICK_IGNORED);
    CHECK_EQ(fast.d.unknown_numbers, 3);
    CHECK_EQ(decode("connected"), FF_ALLTICK_IGNORED);
    CHECK_EQ(decode("<html>\xff"), FF_ALLTICK_IGNORED);
    CHECK_EQ(fast.d.non_json, 2);
    CHECK_EQ(decode("{\"cmd_id\":22998,\"data\":[]}"), FF_ALLTICK_TICKS);
    CHECK_EQ(fast.rows.count, 0);

    /* Unknown codes: learnt, or left out. */
    CHECK_EQ(tick(TICK_HEAD "\"NEW\"," NUMBERS TICK_TAIL)->symbol, 9);
    fast.d.learn = any.d.learn = false;
    CHECK_EQ(decode(TICK_HEAD "\"OTHER\"," NUMBERS TICK_TAIL), FF_ALLTICK_IGNORED);
    CHECK_EQ(decode(BOOK_HEAD "\"OTHER\",\"bids\":[]}}"), FF_ALLTICK_IGNORED);
    CHECK_EQ(fast.d.unknown_codes, 2);
    CHECK_EQ(fast.symbols.count, 10);
    tick("{\"cmd_id\":22998,\"data\":[{\"code\":\"OTHER\",\"price\":1},{\"code\":\"A\","
         "\"price\":2}]}");
    CHECK(fast.ticks[0].price == 2);
    CHECK_EQ(fast.d.unknown_codes, 3);
    /* What is wrong with it counts first. */
    rejected(TICK_HEAD "\"OTHER\",\"price\":\"x\"}}", FF_EVALUE);
    fast.d.learn = any.d.learn = true;
    fast.symbols.max_count = any.symbols.max_count = 10;
    rejected(TICK_HEAD "\"OTHER\"," NUMBERS TICK_TAIL, FF_ESYMBOLS);

    /* All rows of a message or none; no more than there is room for. */
    CHECK_EQ(decode(alltick_messages[17]), -FF_ESYMBOLS);
    fast.symbols.max_count = any.symbols.max_count = 100;
    CHECK_EQ(decode(alltick_messages[17]), FF_ALLTICK_TICKS);
    CHECK_EQ(fast.rows.count, 2);
    CHECK(fast.ticks[1].price == 2 && fast.ticks[1].seq == 5);
    const uint64_t untimed = fast.d.dropped[FF_ETIME];
    rejected("{\"cmd_id\":22998,\"data\":[{\"code\":\"A\",\"price\":1},{\"code\":\"A\"}]}",
             FF_EMISSING);
    CHECK_EQ(fast.rows.count, 0);
    CHECK_EQ(fast.d.dropped[FF_ETIME], untimed);
    fast.rows.max_ticks = any.rows.max_ticks = 1;
    rejected(alltick_messages[17], FF_EROWS);
    fast.rows.max_ticks = any.rows.max_ticks = 0;
    rejected(alltick_messages[0], FF_EROWS);
    fast.rows.ticks = any.rows.ticks = NULL;
    fast.rows.books = any.rows.books = NULL;
    CHECK_EQ(decode(alltick_messages[0]), FF_ALLTICK_IGNORED);
    CHECK_EQ(decode(alltick_messages[7]), FF_ALLTICK_IGNORED);
    CHECK_EQ(fast.d.unwanted, 2);
    close_both();
}

static void test_reply(void) {
    static const char ticks[] =
        "{\"ret\":200,\"msg\":\"ok\",\"trace\":\"t-1\",\"data\":{\"tick_list\":[{\"code\":"
        "\"700.HK\",\"seq\":\"30841439\",\"tick_time\":\"1677831545217\",\"price\":"
        "\"512.000000\",\"volume\":\"300\",\"turnover\":\"153600.000000\",\"trade_direction\":"
        "2},{\"code\":\"A\",\"price\":\"1\"}]}}";
    static const char books[] =
        "{\"ret\":200,\"msg\":\"ok\",\"trace\":\"t-2\",\"data\":{\"tick_list\":[{\"code\":"
        "\"000651.SZ\",\"seq\":\"1836410\",\"tick_time\":\"1720162800891\",\"bids\":["
        "{\"price\":\"37.700000\",\"volume\":\"460\"}],\"asks\":[]}]}}";
    open_both();
    ff_alltick_decoder *d = &fast.d;
    const uint8_t *p = (const uint8_t *)ticks;
    CHECK_EQ(ff_alltick_decode_reply(d, FF_STREAM_TICKS, p, sizeof ticks - 1, fast.ticks, 16),
             2);
    CHECK(fast.ticks[0].side == -1 && fast.ticks[0].flags == FF_FLAG_STALE);
    CHECK_EQ(fast.ticks[0].seq, 30841439);
    CHECK_EQ(d->dropped[FF_ETIME], 1);
    CHECK_EQ(ff_alltick_decode_reply(d, FF_STREAM_TICKS, p, sizeof ticks - 1, fast.ticks, 1),
             -FF_EROWS);
    CHECK_EQ(ff_alltick_decode_reply(d, FF_STREAM_BOOKS, p, sizeof ticks - 1, fast.books, 16),
             -FF_EVALUE);
    p = (const uint8_t *)books;
    CHECK_EQ(ff_alltick_decode_reply(d, FF_STREAM_BOOKS, p, sizeof books - 1, fast.books, 16),
             1);
    CHECK_EQ(alltick_book(&fast, 0)->bids, 1);
    CHECK_EQ(alltick_book(&fast, 0)->seq, 1836410);
    for (size_t i = 0; i < sizeof books - 1; i++) {
        uint8_t *cut = exact_copy(books, i);
        CHECK_EQ(ff_alltick_decode_reply(d, FF_STREAM_BOOKS, cut, i, fast.books, 16),
                 -FF_EJSON);
        free(cut);
    }
    static const char *const others[] = {"{\"ret\":600,\"data\":{}}",
                                         "{\"ret\":600,\"data\":null}",
                                         "{\"ret\":600}",
                                         "{\"data\":{\"code\":\"A\",\"price\":1}}",
                                         "{\"data\":{\"tick_list\":null}}",
                                         "[]"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        p = (const uint8_t *)others[i];
        CHECK_EQ(
            ff_alltick_decode_reply(d, FF_STREAM_TICKS, p, strlen(others[i]), fast.ticks, 16),
            -FF_EVALUE);
    }
    p = (const uint8_t *)"<html>";
    CHECK_EQ(ff_alltick_decode_reply(d, FF_STREAM_TICKS, p, 6, fast.ticks, 16), -FF_EJSON);
    close_both();
}

/* Every cut of every message, and every byte of it set to telling other values: both ways
 * agree, and a cut is never taken for whole. */
static void test_corrupted(void) {
    static const char telling[] = "\"\\{}[]:,.-+09eE n\x01\x7f\x80\xc3";
    open_both();
    for (size_t i = 0; i < ALLTICK_MESSAGES; i++) {
        const size_t length = strlen(alltick_messages[i]);
        uint8_t bytes[1024];
        CHECK(length <= sizeof bytes);
        for (size_t cut = 0; cut < length; cut++) {
            const int got = decode_bytes(alltick_messages[i], cut);
            if (alltick_messages[i][0] == '{' &&
                strchr("} \n", alltick_messages[i][cut]) == NULL)
                CHECK(got < 0);
        }
        for (size_t at = 0; at < length; at++) {
            memcpy(bytes, alltick_messages[i], length);
            for (int flip = 0; flip < 8; flip++) {
                bytes[at] = (uint8_t)alltick_messages[i][at] ^ (uint8_t)(1 << flip);
                decode_bytes(bytes, length);
            }
            for (size_t k = 0; k < sizeof telling; k++) { /* also with 0 */
                bytes[at] = (uint8_t)telling[k];
                decode_bytes(bytes, length);
            }
            /* One byte more, one less. */
            memmove(bytes + at, alltick_messages[i] + at + 1, length - at - 1);
            decode_bytes(bytes, length - 1);
            if (length < sizeof bytes) {
                memcpy(bytes + at + 1, alltick_messages[i] + at, length - at);
                for (size_t k = 0; k < sizeof telling; k++) {
                    bytes[at] = (uint8_t)telling[k];
                    decode_bytes(bytes, length + 1);
                }
            }
            if (fast.symbols.count > 900) { /* changed codes fill the tables */
                close_both();
                open_both();
            }
        }
    }
    close_both();
}

int main(void) {
    test_tick();
    test_times();
    test_book();
    test_rejected();
    test_kinds();
    test_reply();
    test_corrupted();
    return 0;
}
