#include "fastfeed/json.h"

#include "check.h"
#include "fastfeed/utf8.h"

/* Where a value ends, from memory of just its size and with more behind it: bytes, or a
 * negative reason. */
static int skip(const char *text, size_t length, unsigned depth) {
    int why = 0, wide_why = 0;
    uint8_t *p = exact_copy(text, length);
    const uint8_t *end = ff_json_skip(p, p + length, depth, &why);
    int got = end == NULL ? -why : (int)(end - p);
    free(p);
    uint8_t *wide = calloc(1, length + 16);
    CHECK(wide != NULL);
    memcpy(wide, text, length);
    end = ff_json_skip(wide, wide + length, depth, &wide_why);
    CHECK_EQ(end == NULL ? -wide_why : (int)(end - wide), got);
    free(wide);
    return got;
}

static void good(const char *text) {
    const size_t length = strlen(text);
    if (skip(text, length, 32) != (int)length) {
        fprintf(stderr, "expected all of %s, got %d\n", text, skip(text, length, 32));
        abort();
    }
    /* No beginning of it is good but those that end in a number or before blanks. */
    for (size_t i = 0; i < length; i++) {
        const int got = skip(text, i, 32);
        if (got >= 0 && (text[0] == '{' || text[0] == '[' || text[0] == '"')) {
            fprintf(stderr, "expected nothing of %.*s, got %d\n", (int)i, text, got);
            abort();
        }
    }
}

static void bad(const char *text, int reason) {
    const int got = skip(text, strlen(text), 32);
    if (got != -reason) {
        fprintf(stderr, "%s: expected %d, got %d\n", text, -reason, got);
        abort();
    }
}

static void test_values(void) {
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1.5e+10",
        "1E5",
        "0.25",
        "\"\"",
        "\"abcdefgh\"",
        "\"abcdefghi\\\"jklmnop\"",
        "{}",
        "[]",
        "[ ]",
        "{ }",
        "[1,2 , 3]",
        "{\"a\":1}",
        "{ \"a\" : [ { } , [ ] ] , \"b\" : null }",
        " \t\r\n5",
        "[[[[[[[[[[]]]]]]]]]]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00\"",
        "\"\\uD83D\\uDE00\"",
        "\"\\u0000\"",
        "\"\x7f\xc3\xa9\"",
        "{\"\":\"\",\"\":\"\"}",
        "[true,false,null,0.5,\"x\",{},[]]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        good(texts[i]);
    static const char *const broken[] = {
        "",
        " ",
        "nul",
        "nulL",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "-",
        "+1",
        ".5",
        "-.5",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        "\"",
        "\"a",
        "\"\\",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\u12\"",
        "\"\\u12G4\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x01\"",
        "\"1234567\x1f\"",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "{\"a\":1]",
        "{,}",
        "[1,,2]",
        "/*x*/1",
        "'a'",
        "{\"a\" 1}",
        "{\"a\":1,\"b\"}",
        "]",
        "}",
        ",",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        bad(broken[i], FF_EJSON);
    /* Only the beginning is looked at. */
    CHECK_EQ(skip("01", 2, 32), 1);
    CHECK_EQ(skip("1 x", 3, 32), 1);
    CHECK_EQ(skip("{}{}", 4, 32), 2);
    CHECK_EQ(skip("\"a\\u0000\0\"", 10, 32), -FF_EJSON);
}

static void test_depth(void) {
    char text[600];
    for (int object = 0; object < 2; object++) {
        for (unsigned depth = 1; depth <= 64; depth++) {
            for (unsigned levels = depth > 1 ? depth - 1 : 1; levels <= depth + 1; levels++) {
                size_t n = 0;
                for (unsigned i = 0; i < levels; i++) {
                    if (object != 0 && i % 2 == 1 && n + 5 < sizeof text) {
                        text[n - 1] = '{';
                        memcpy(text + n, "\"\":", 3);
                        n += 3;
                    }
                    text[n++] = '[';
                }
                size_t middle = n;
                for (size_t i = middle; i-- > 0;) {
                    if (text[i] == '[' || text[i] == '{')
                        text[n++] = text[i] == '[' ? ']' : '}';
                }
                CHECK_EQ(skip(text, n, depth), levels > depth ? -FF_ENESTING : (int)n);
            }
        }
    }
    /* How deep it is said before it is known whether it ends. */
    memset(text, '[', sizeof text);
    CHECK_EQ(skip(text, 32, 32), -FF_EJSON);
    CHECK_EQ(skip(text, 33, 32), -FF_ENESTING);
    CHECK_EQ(skip("[]", 2, 0), -FF_ENESTING);
    CHECK_EQ(skip("7", 1, 0), 1);
}

static void test_walk(void) {
    static const char text[] = " { \"a\" : 1 , \"b\":[true, {\"c\":{}},\"x]\"] } tail";
    uint8_t *p = exact_copy(text, sizeof text - 1);
    const uint8_t *end = p + sizeof text - 1;
    ff_json_walk walk = ff_json_enter(ff_json_blanks(p, end), end, 4);
    CHECK_EQ(ff_json_member(&walk), 1);
    CHECK(memcmp(walk.key.p, "\"a\"", 3) == 0 && walk.key.end - walk.key.p == 3);
    CHECK(*walk.value.p == '1' && walk.value.end - walk.value.p == 1);
    CHECK_EQ(ff_json_member(&walk), 1);
    CHECK(memcmp(walk.key.p, "\"b\"", 3) == 0 && *walk.value.p == '[');
    ff_json_walk inner = ff_json_enter(walk.value.p, end, 3);
    CHECK_EQ(ff_json_element(&inner), 1);
    CHECK(inner.value.end - inner.value.p == 4);
    CHECK_EQ(ff_json_element(&inner), 1);
    CHECK(*inner.value.p == '{' && inner.value.end - inner.value.p == 8);
    CHECK_EQ(ff_json_element(&inner), 1);
    CHECK(inner.value.end - inner.value.p == 4);
    CHECK_EQ(ff_json_element(&inner), 0);
    CHECK(inner.p == walk.value.end);
    CHECK_EQ(ff_json_member(&walk), 0);
    CHECK(memcmp(walk.p, " tail", 5) == 0);
    /* Too deep: the object with c is level 3, its value 4. */
    walk = ff_json_enter(ff_json_blanks(p, end), end, 3);
    CHECK_EQ(ff_json_member(&walk), 1);
    CHECK_EQ(ff_json_member(&walk), -FF_ENESTING);
    free(p);
    static const char *const broken[] = {"{",       "{\"a\":1",    "{\"a\":1,}", "{\"a\":1 x",
                                         "{\"a\":", "{\"a\":1,2}", "{,",         "{\"a\":1]"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const size_t length = strlen(broken[i]);
        p = exact_copy(broken[i], length);
        walk = ff_json_enter(p, p + length, 32);
        int rc;
        do
            rc = ff_json_member(&walk);
        while (rc > 0);
        CHECK_EQ(rc, -FF_EJSON);
        free(p);
    }
}

static void test_text(void) {
    static const char text[] = "\"a\\u00e9\\u20AC\\ud83d\\ude00\\n\\u0000/\\/z\"";
    static const char want[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\0//z";
    const uint8_t *p = (const uint8_t *)text;
    for (size_t room = 0; room < 20; room++) {
        uint8_t out[32];
        memset(out, 'X', sizeof out);
        CHECK_EQ(ff_json_text(p, p + sizeof text - 1, out, room), sizeof want - 1);
        for (size_t i = 0; i < sizeof out; i++)
            CHECK_EQ(out[i], i < room && i < sizeof want - 1 ? (uint8_t)want[i] : 'X');
    }
}

/* The slow and certain way: decode each character and look at its value. */
static bool is_utf8(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        unsigned lead = p[i++], more = lead < 0x80   ? 0
                                       : lead < 0xc0 ? 9
                                       : lead < 0xe0 ? 1
                                       : lead < 0xf0 ? 2
                                       : lead < 0xf8 ? 3
                                                     : 9;
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (more > 3)
            return false;
        uint32_t v = more == 0 ? lead : lead & (0x3fu >> more);
        for (unsigned k = 0; k < more; k++, i++) {
            if (i == n || (p[i] & 0xc0) != 0x80)
                return false;
            v = v << 6 | (p[i] & 0x3f);
        }
        if (v < least[more] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
            return false;
    }
    return true;
}

static void test_utf8(void) {
    CHECK(ff_utf8_valid(NULL, 0));
    /* All sequences of three bytes, and of four with a plain third one. */
    for (uint32_t v = 0; v < 1u << 24; v++) {
        uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), 0x80};
        if (bytes[0] < 0x80 && (v >> 8) % 97 != 0)
            continue;
        CHECK(ff_utf8_valid(bytes, 3) == is_utf8(bytes, 3));
        if (bytes[0] >= 0xf0)
            CHECK(ff_utf8_valid(bytes, 4) == is_utf8(bytes, 4));
    }
    /* One odd byte or character at each place of texts of each length. */
    static const char *const odd[] = {
        "\x80",         "\xff",    "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
        "\xed\xa0\x80", "\xc0\xae"};
    for (size_t length = 0; length < 70; length++) {
        char text[80];
        memset(text, 'a', sizeof text);
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            for (size_t at = 0; at + strlen(odd[i]) <= length; at++) {
                memset(text, 'a', sizeof text);
                memcpy(text + at, odd[i], strlen(odd[i]));
                uint8_t *p = exact_copy(text, length);
                CHECK(ff_utf8_valid(p, length) == is_utf8(p, length));
                CHECK(ff_utf8_valid(p, length - 1) == is_utf8(p, length - 1));
                free(p);
            }
        }
        memset(text, 'a', sizeof text);
        CHECK(ff_utf8_valid((const uint8_t *)text, length));
    }
}

int main(void) {
    test_values();
    test_depth();
    test_walk();
    test_text();
    test_utf8();
    return 0;
}
