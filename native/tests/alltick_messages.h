#ifndef FASTFEED_TESTS_ALLTICK_MESSAGES_H
#define FASTFEED_TESTS_ALLTICK_MESSAGES_H

/* AllTick's messages for the tests and the fuzz target, and the comparison of the fast way
 * with the way for any shape. */

#include "check.h"
#include "fastfeed/alltick_decoder.h"

#define TICK_HEAD "{\"cmd_id\":22998,\"data\":{\"code\":"
#define BOOK_HEAD "{\"cmd_id\":22999,\"data\":{\"code\":"
#define TICK_TAIL                                                                             \
    "\"price\":\"511.000000\",\"volume\":\"100\",\"turnover\":\"51100.000000\","              \
    "\"trade_direction\":1}}"
#define RECV_NS INT64_C(1785204916000000000)
#define LEVEL(price, volume) "{\"price\":\"" price "\",\"volume\":\"" volume "\"}"
#define NUMBERS "\"seq\":1785204900281,\"tick_time\":1785204900174,"

static const char *const alltick_messages[] = {
    /* As documented: with bare integers, with quoted ones, of all lengths. */
    TICK_HEAD "\"700.HK\"," NUMBERS TICK_TAIL,
    TICK_HEAD "\"VHAI.WS.B.US\"," NUMBERS TICK_TAIL,
    TICK_HEAD "\"A\",\"seq\":\"1\",\"tick_time\":\"1785204900\"," TICK_TAIL,
    TICK_HEAD
    "\"ABCDEFGHIJKLMNOP\",\"seq\":\"24618602\",\"tick_time\":1785204900174123,"
    "\"price\":\"0.00001240\",\"volume\":\"31304992.00\",\"turnover\":\"388.181901\","
    "\"trade_direction\":2}}",
    TICK_HEAD "\"BTCUSDT\",\"seq\":9223372036854775807,\"tick_time\":\"1785204900174123456\","
              "\"price\":\"118204.49\",\"volume\":\"1044444444.00000001\","
              "\"turnover\":\"123456789012345.678900\",\"trade_direction\":0}}",
    TICK_HEAD "\"USOIL\"," NUMBERS "\"price\":\"-37.63\",\"volume\":\"0\",\"turnover\":\"0\","
              "\"trade_direction\":1}}",
    TICK_HEAD
    "\"000651.SZ\",\"seq\":1785204907880610,\"tick_time\":1785204900174,"
    "\"price\":\"0.000000\",\"volume\":\"12345678\",\"turnover\":\"153600000.000000\","
    "\"trade_direction\":0}}",
    BOOK_HEAD "\"BTCUSDT\"," NUMBERS "\"bids\":[" LEVEL(
        "118204.49", "0.74446") "],\"asks\":[" LEVEL("118204.50", "0.81067") "]}}",
    BOOK_HEAD
    "\"700.HK\"," NUMBERS
    "\"bids\":[" LEVEL("510.000000", "1000") "," LEVEL("509.500000", "100") "," LEVEL(
        "509.000000",
        "1000") "," LEVEL("508.5",
                          "5") "," LEVEL("508.000000",
                                         "1") "],\"asks\":[" LEVEL("510.500000",
                                                                   "12345678901234567") "]}}",
    BOOK_HEAD "\"000651.SZ\"," NUMBERS "\"bids\":[" LEVEL("44.35", "5") "],\"asks\":[" LEVEL(
        "0.000000", "0") "," LEVEL("0.000000", "0") "]}}",
    BOOK_HEAD "\"X\"," NUMBERS
              "\"bids\":[" LEVEL("0.000000", "0") "," LEVEL("1.5", "2") "],"
                                                                        "\"asks\":[]}}",
    BOOK_HEAD "\"X\"," NUMBERS "\"bids\":[],\"asks\":[]}}",
    /* Other shapes. */
    TICK_HEAD "\"GOLD\"," NUMBERS "\"price\":3318.42,\"volume\":\"\",\"turnover\":null}}",
    TICK_HEAD "\"GOLD\",\"price\":1.1820491e5,\"volume\":5E-3,\"trade_direction\":\"2\"}}",
    TICK_HEAD "\"GOLD\",\"seq\":99999999999999999999,\"tick_time\":-1,\"price\":\"1\","
              "\"volume\":\"-1\",\"turnover\":\"-0.5\",\"trade_direction\":7}}",
    TICK_HEAD "\"GOLD\",\"price\":\"1\",\"volumn\":\"3\",\"ext\":{\"a\":[1,{\"b\":[]},\"}]\\\\"
              "\\\"\"],\"c\":null,\"d\":true,\"e\":-1.5e-07},\"name\":\"\xe8\x85\xbe\"}}",
    TICK_HEAD "\"700\\u002eHK\",\"pri\\u0063e\":\"\\u003118204.61\"},\"ver\":\"1.2\"}",
    "{\"data\":[{\"code\":\"A\",\"price\":\"1\"},{\"code\":\"B\",\"price\":\"2\",\"seq\":5}],"
    "\"cmd_id\":22998}",
    "{\"cmd_id\":\"22998\",\"data\":{\"tick_list\":[{\"code\":\"A\",\"price\":\"1\"}]}}",
    " {\"cmd_id\" : 22999 , \"data\" : { \"code\" : \"A\", \"asks\" : [ { \"volume\" : 1.5 , "
    "\"price\":\"2\",\"orders\":3}, {\"price\":\"1\"}]}}\n",
    BOOK_HEAD "\"A\",\"ask_list\":[{\"price\":5}],\"bids\":null}}",
    TICK_HEAD "\"GOLD\"," NUMBERS TICK_TAIL "  ",
    "\xef\xbb\xbf" TICK_HEAD "\"GOLD\"," NUMBERS TICK_TAIL,
    TICK_HEAD "\"GOLD\"," NUMBERS "\"price\":\"5\",\"price\":\"6\"},\"cmd_id\":22998}",
    "{\"cmd_id\":22998,\"data\":[]}",
    /* Nothing for the rows. */
    "{\"ret\":200,\"msg\":\"ok\",\"cmd_id\":22005,\"seq_id\":1,\"trace\":\"t\",\"data\":{}}",
    "{\"msg\":\"token is required\",\"ret\":401}",
    "{\"cmd_id\":22997,\"data\":{}}",
    "connected",
    "[]",
    "",
};

enum {
    ALLTICK_MESSAGES = sizeof alltick_messages / sizeof *alltick_messages,
    ALLTICK_ROWS = 16,
    ALLTICK_DEPTH = 4,
};

typedef struct alltick_target {
    ff_symbols symbols;
    ff_alltick_decoder d;
    ff_tick ticks[ALLTICK_ROWS];
    _Alignas(64) uint8_t books[ALLTICK_ROWS * 512];
    ff_alltick_rows rows;
} alltick_target;

static inline void alltick_open(alltick_target *t, size_t depth) {
    memset(t, 0, sizeof *t);
    CHECK(ff_book_size(depth) <= 512);
    CHECK_EQ(ff_symbols_init(&t->symbols, 1000), 0);
    t->d = (ff_alltick_decoder){
        .symbols = &t->symbols, .recv_ns = RECV_NS, .depth = depth, .learn = true};
    t->rows = (ff_alltick_rows){t->ticks, ALLTICK_ROWS, (ff_book *)(void *)t->books,
                                ALLTICK_ROWS, 99};
}

/* Make all codes of the messages known. */
static inline void alltick_learn(alltick_target *t) {
    static const char *const codes[] = {"700.HK",    "VHAI.WS.B.US", "A",
                                        "X",         "BTCUSDT",      "USOIL",
                                        "000651.SZ", "GOLD",         "ABCDEFGHIJKLMNOP"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        CHECK(ff_symbols_intern(&t->symbols, (const uint8_t *)codes[i], strlen(codes[i])) >=
              0);
}

static inline ff_book *alltick_book(const alltick_target *t, size_t i) {
    return (ff_book *)(void *)(t->books + i * ff_book_size(t->d.depth));
}

/* Decode both ways and compare all there is to see. Returns what both returned. */
static inline int alltick_both(alltick_target *fast, alltick_target *any, const uint8_t *data,
                               size_t length) {
    memset(fast->ticks, 0x5a, sizeof fast->ticks);
    memset(fast->books, 0x5a, sizeof fast->books);
    memset(any->ticks, 0xa5, sizeof any->ticks);
    memset(any->books, 0xa5, sizeof any->books);
    const int got = ff_alltick_decode(&fast->d, data, length, &fast->rows);
    CHECK_EQ(ff_alltick_decode_any(&any->d, data, length, &any->rows), got);
    CHECK_EQ(fast->rows.count, any->rows.count);
    const size_t count = fast->rows.count;
    CHECK(count == 0 || got == FF_ALLTICK_TICKS || got == FF_ALLTICK_BOOKS);
    CHECK(count <= ff_alltick_max_rows(length));
    if (got == FF_ALLTICK_TICKS)
        CHECK(memcmp(fast->ticks, any->ticks, count * sizeof(ff_tick)) == 0);
    if (got == FF_ALLTICK_BOOKS)
        CHECK(memcmp(fast->books, any->books, count * ff_book_size(fast->d.depth)) == 0);
    CHECK_EQ(fast->symbols.count, any->symbols.count);
    fast->d.symbols = any->d.symbols = NULL;
    CHECK(memcmp(&fast->d, &any->d, sizeof fast->d) == 0);
    fast->d.symbols = &fast->symbols;
    any->d.symbols = &any->symbols;
    return got;
}

#endif
