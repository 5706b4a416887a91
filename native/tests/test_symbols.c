#include "fastfeed/symbols.h"

#include "check.h"
#include "fastfeed/opend_names.h"

enum { MANY = 120000 };

static int64_t find(const ff_symbols *table, uint32_t space, const char *key, size_t length) {
    /* Both ways to load a short key: with 8 bytes in reach, and at the end of memory. */
    char wide[FF_SYMBOL_MAX_BYTES + 300];
    memset(wide, 'z', sizeof wide);
    memcpy(wide, key, length);
    uint8_t *p = exact_copy(key, length);
    int64_t id = ff_symbols_find(table, space, p, length, p + length);
    free(p);
    const uint8_t *w = (const uint8_t *)wide;
    CHECK_EQ(ff_symbols_find(table, space, w, length, w + sizeof wide), id);
    return id;
}

static int64_t intern(ff_symbols *table, const char *name, size_t length) {
    uint8_t *p = exact_copy(name, length);
    int64_t id = ff_symbols_intern(table, p, length);
    free(p);
    return id;
}

static int alias(ff_symbols *table, uint32_t space, const char *key, size_t length,
                 uint32_t id) {
    uint8_t *p = exact_copy(key, length);
    int rc = ff_symbols_alias(table, space, p, length, id);
    free(p);
    return rc;
}

static void test_edges(void) {
    ff_symbols table;
    char long_key[300];
    memset(long_key, 'k', sizeof long_key);
    CHECK_EQ(ff_symbols_init(&table, 1000), 0);
    CHECK_EQ(find(&table, 0, "a", 1), -1);
    CHECK_EQ(find(&table, 0, "", 0), -1);
    CHECK_EQ(intern(&table, "", 0), -FF_ESYMBOL);
    CHECK_EQ(intern(&table, long_key, 300), -FF_ESYMBOL);
    CHECK_EQ(intern(&table, long_key, FF_SYMBOL_MAX_BYTES + 1), -FF_ESYMBOL);
    CHECK_EQ(table.count, 0);
    CHECK_EQ(find(&table, 0, long_key, 300), -1);

    /* Every length; each is a prefix of the next. */
    for (size_t length = 1; length <= FF_SYMBOL_MAX_BYTES; length++) {
        CHECK_EQ(find(&table, 0, long_key, length), -1);
        CHECK_EQ(intern(&table, long_key, length), (int64_t)length - 1);
        CHECK_EQ(intern(&table, long_key, length), (int64_t)length - 1);
    }
    for (size_t length = 1; length <= FF_SYMBOL_MAX_BYTES; length++) {
        size_t got;
        CHECK_EQ(find(&table, 0, long_key, length), (int64_t)length - 1);
        const uint8_t *name = ff_symbols_name(&table, (uint32_t)length - 1, &got);
        CHECK_EQ(got, length);
        CHECK(memcmp(name, long_key, length) == 0);
    }

    /* Zero bytes and bytes beyond ASCII count like any other. */
    int64_t a = intern(&table, "a", 1), a0 = intern(&table, "a\0", 2),
            zero = intern(&table, "\0", 1), zeros = intern(&table, "\0\0\0\0\0\0\0\0", 8),
            high = intern(&table, "\xff\xfe", 2), space = intern(&table, "a b", 3);
    const int64_t ids[] = {a, a0, zero, zeros, high, space};
    for (size_t i = 0; i < 6; i++) {
        CHECK_EQ(ids[i], 80 + (int64_t)i);
    }
    CHECK_EQ(find(&table, 0, "\0\0", 2), -1);
    CHECK_EQ(find(&table, 0, "\0\0\0\0\0\0\0\0", 8), zeros);
    CHECK_EQ(find(&table, 0, "a\0", 2), a0);
    ff_symbols_free(&table);
    ff_symbols_free(&table);
}

static void test_aliases(void) {
    ff_symbols table;
    CHECK_EQ(ff_symbols_init(&table, 10), 0);
    CHECK_EQ(alias(&table, 1, "x", 1, 0), -FF_ESYMBOL); /* no such id yet */
    CHECK_EQ(intern(&table, "700.HK", 6), 0);
    CHECK_EQ(intern(&table, "AAPL.US", 7), 1);
    CHECK_EQ(alias(&table, 1, "00700", 5, 0), 0);
    CHECK_EQ(alias(&table, 1, "0700", 4, 0), 0);
    CHECK_EQ(alias(&table, 2, "00700", 5, 1), 0);
    CHECK_EQ(alias(&table, 1, "a key of more than eight bytes", 30, 1), 0);
    CHECK_EQ(alias(&table, 2, "a key of more than eight bytes", 30, 0), 0);
    CHECK_EQ(alias(&table, (1u << 24) - 1, "x", 1, 1), 0);
    CHECK_EQ(alias(&table, 1u << 24, "x", 1, 1), -FF_ESYMBOL);
    CHECK_EQ(alias(&table, 1, "", 0, 1), -FF_ESYMBOL);
    CHECK_EQ(alias(&table, 1, "x", 1, 2), -FF_ESYMBOL);
    CHECK_EQ(find(&table, 1, "00700", 5), 0);
    CHECK_EQ(find(&table, 1, "0700", 4), 0);
    CHECK_EQ(find(&table, 2, "00700", 5), 1);
    CHECK_EQ(find(&table, 3, "00700", 5), -1);
    CHECK_EQ(find(&table, 0, "00700", 5), -1);
    CHECK_EQ(find(&table, 1, "a key of more than eight bytes", 30), 1);
    CHECK_EQ(find(&table, 2, "a key of more than eight bytes", 30), 0);
    CHECK_EQ(find(&table, (1u << 24) - 1, "x", 1), 1);
    /* A key that leads somewhere stays. */
    CHECK_EQ(alias(&table, 1, "00700", 5, 1), 0);
    CHECK_EQ(find(&table, 1, "00700", 5), 0);
    ff_symbols_free(&table);
}

/* `used` of a table that refuses does not grow, and neither does its memory. */
static void test_full(void) {
    ff_symbols table;
    char key[40];
    CHECK_EQ(ff_symbols_init(&table, 3), 0);
    CHECK_EQ(intern(&table, "a", 1), 0);
    CHECK_EQ(intern(&table, "b", 1), 1);
    CHECK_EQ(intern(&table, "c", 1), 2);
    CHECK_EQ(intern(&table, "d", 1), -FF_ESYMBOLS);
    CHECK_EQ(intern(&table, "b", 1), 1);
    CHECK_EQ(table.count, 3);
    ff_symbols_free(&table);

    /* Aliases fill the slots before the ids are used up. */
    CHECK_EQ(ff_symbols_init(&table, 4), 0);
    CHECK_EQ(intern(&table, "a", 1), 0);
    unsigned made = 0;
    for (unsigned i = 0; i < 100; i++) {
        int n = snprintf(key, sizeof key, "a rather long alias %u", i);
        int rc = alias(&table, 7, key, (size_t)n, 0);
        CHECK(rc == 0 || rc == -FF_ESYMBOLS);
        made += rc == 0;
        CHECK_EQ(find(&table, 7, key, (size_t)n), rc == 0 ? 0 : -1);
    }
    CHECK_EQ(made, 15);
    uint32_t arena = table.arena_used;
    for (unsigned i = 0; i < 1000; i++)
        CHECK_EQ(intern(&table, "another symbol", 14), -FF_ESYMBOLS);
    CHECK_EQ(table.arena_used, arena);
    CHECK_EQ(table.count, 1);
    ff_symbols_free(&table);

    CHECK_EQ(ff_symbols_init(&table, 0), 0);
    CHECK_EQ(intern(&table, "a", 1), -FF_ESYMBOLS);
    ff_symbols_free(&table);
}

static size_t many_key(unsigned i, char key[FF_SYMBOL_MAX_BYTES + 1]) {
    int n = snprintf(key, FF_SYMBOL_MAX_BYTES + 1, "%u.%s", i, i % 3 == 0 ? "HK" : "US");
    if (i % 5 == 0) /* a tail that is long, and the same for all */
        n += snprintf(key + n, (size_t)(FF_SYMBOL_MAX_BYTES + 1 - n), "%.*s", (int)(i % 60),
                      "the same for all of them, the same for all of them, the same");
    return (size_t)n;
}

static void test_many(void) {
    ff_symbols table;
    char key[FF_SYMBOL_MAX_BYTES + 1];
    CHECK_EQ(ff_symbols_init(&table, MANY), 0);
    for (unsigned i = 0; i < MANY; i++) {
        size_t n = many_key(i, key);
        CHECK_EQ(ff_symbols_intern(&table, (const uint8_t *)key, n), i);
        if (i % 2 == 0)
            CHECK_EQ(ff_symbols_alias(&table, 0x10001, (const uint8_t *)key, n, i), 0);
        if (i % 10007 == 0) { /* in the middle of growing: nothing was lost */
            for (unsigned k = 0; k <= i; k += 97) {
                n = many_key(k, key);
                CHECK_EQ(find(&table, 0, key, n), k);
            }
        }
    }
    CHECK_EQ(table.count, MANY);
    CHECK_EQ(ff_symbols_intern(&table, (const uint8_t *)"one more", 8), -FF_ESYMBOLS);
    for (unsigned i = 0; i < MANY; i++) {
        size_t length, n = many_key(i, key);
        const uint8_t *p = (const uint8_t *)key;
        CHECK_EQ(ff_symbols_find(&table, 0, p, n, p + n), i);
        CHECK_EQ(ff_symbols_find(&table, 0x10001, p, n, p + sizeof key),
                 i % 2 == 0 ? (int64_t)i : -1);
        CHECK_EQ(ff_symbols_find(&table, 0x10002, p, n, p + n), -1);
        const uint8_t *name = ff_symbols_name(&table, i, &length);
        CHECK_EQ(length, n);
        CHECK(memcmp(name, key, n) == 0);
    }
    ff_symbols_free(&table);
}

static int64_t opend(ff_symbols *table, uint64_t market, const char *code, size_t length) {
    uint8_t *p = exact_copy(code, length);
    int64_t id = ff_opend_intern(table, market, p, length);
    free(p);
    return id;
}

static void check_name(const ff_symbols *table, int64_t id, const char *want) {
    size_t length;
    CHECK(id >= 0);
    const uint8_t *name = ff_symbols_name(table, (uint32_t)id, &length);
    CHECK_EQ(length, strlen(want));
    CHECK(memcmp(name, want, length) == 0);
}

static void test_opend_names(void) {
    ff_symbols table;
    char code[300], want[300];
    CHECK_EQ(ff_symbols_init(&table, 1000), 0);
    check_name(&table, opend(&table, 1, "00700", 5), "700.HK");
    CHECK_EQ(opend(&table, 1, "700", 3), 0);
    CHECK_EQ(opend(&table, 1, "0000000000000000000000000000000700", 34), 0);
    check_name(&table, opend(&table, 1, "00000", 5), "0.HK");
    check_name(&table, opend(&table, 1, "0", 1), "0.HK");
    check_name(&table, opend(&table, 1, "00700A", 6), "00700A.HK");
    check_name(&table, opend(&table, 21, "000001", 6), "000001.SH");
    check_name(&table, opend(&table, 22, "000001", 6), "000001.SZ");
    check_name(&table, opend(&table, 11, ".DJI", 4), ".DJI.US");
    check_name(&table, opend(&table, 2, "0123", 4), "0123.HK_FUTURE");
    check_name(&table, opend(&table, 0, "X", 1), "X.M0");
    check_name(&table, opend(&table, 0xffff, "X", 1), "X.M65535");
    memset(code, '9', sizeof code);
    CHECK_EQ(opend(&table, 1, code, 0), -FF_ESYMBOL);
    CHECK_EQ(opend(&table, 1, code, 65), -FF_ESYMBOL);
    CHECK_EQ(opend(&table, 1, code, 300), -FF_ESYMBOL);
    CHECK_EQ(opend(&table, 0x10000, "X", 1), -FF_ESYMBOL);
    CHECK_EQ(opend(&table, UINT64_MAX, "X", 1), -FF_ESYMBOL);
    CHECK_EQ(opend(&table, 11, "A B", 3), -FF_ESYMBOL);
    CHECK_EQ(opend(&table, 11, "A\0B", 3), -FF_ESYMBOL);
    CHECK_EQ(opend(&table, 11, "A\x7f", 2), -FF_ESYMBOL);
    CHECK_EQ(opend(&table, 11, "\xe8\x85\xbe", 3), -FF_ESYMBOL);
    /* The longest name there can be. */
    snprintf(want, sizeof want, "%.64s.HK_FUTURE", code);
    check_name(&table, opend(&table, 2, code, 64), want);
    snprintf(want, sizeof want, "%.64s.M65534", code);
    check_name(&table, opend(&table, 65534, code, 64), want);
    ff_symbols_free(&table);
}

int main(void) {
    test_edges();
    test_aliases();
    test_full();
    test_many();
    test_opend_names();
    return 0;
}
