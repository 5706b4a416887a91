#include "fastfeed/wire.h"

#include "check.h"

/* Every function gets its bytes in memory of just that size. */

static size_t put_varint(uint8_t *p, uint64_t v, size_t padding) {
    size_t n = 0;
    while (v >= 0x80 || padding > 0) {
        if (v < 0x80)
            padding--;
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

static void check_varint(const uint8_t *bytes, size_t length, uint64_t want) {
    uint64_t v = 0;
    int why = 0;
    uint8_t *p = exact_copy(bytes, length);
    CHECK(ff_wire_varint(p, p + length, &v, &why) == p + length);
    CHECK(v == want && why == 0);
    /* Every shorter piece is truncated. */
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *q = exact_copy(bytes, cut);
        CHECK(ff_wire_varint(q, q + cut, &v, &why) == NULL);
        CHECK_EQ(why, FF_ETRUNCATED);
        free(q);
    }
    free(p);
}

static void refuse_varint(const char *hex_bytes, size_t length, int reason) {
    uint64_t v;
    int why = 0;
    uint8_t *p = exact_copy(hex_bytes, length);
    CHECK(ff_wire_varint(p, p + length, &v, &why) == NULL);
    CHECK_EQ(why, reason);
    free(p);
}

static void test_varint(void) {
    uint8_t bytes[16];
    uint64_t random = 1;
    for (unsigned bits = 0; bits < 64; bits++) {
        uint64_t edge = (uint64_t)1 << bits;
        const uint64_t values[] = {edge, edge - 1, edge + 1, ~edge,
                                   next_random(&random) >> (63 - bits)};
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            size_t n = put_varint(bytes, values[i], 0);
            check_varint(bytes, n, values[i]);
            size_t padded = put_varint(bytes, values[i], 10 - n); /* as long as allowed */
            CHECK_EQ(padded, 10);
            check_varint(bytes, padded, values[i]);
        }
    }
    check_varint((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, UINT64_MAX);
    refuse_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, FF_EVARINT);
    refuse_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, FF_EVARINT);
    refuse_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11, FF_EVARINT);
    refuse_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x81", 10, FF_EVARINT);
    refuse_varint("", 0, FF_ETRUNCATED);
}

static void test_length(void) {
    uint8_t bytes[200];
    for (size_t body = 0; body < 190; body++) {
        for (size_t padding = 0; padding <= 4; padding++) {
            memset(bytes, 7, sizeof bytes);
            size_t head = put_varint(bytes, body, padding), length = 0;
            if (head > 5)
                continue;
            int why = 0;
            uint8_t *p = exact_copy(bytes, head + body);
            CHECK(ff_wire_length(p, p + head + body, &length, &why) == p + head);
            CHECK_EQ(length, body);
            if (body > 0) {
                CHECK(ff_wire_length(p, p + head + body - 1, &length, &why) == NULL);
                CHECK_EQ(why, FF_ETRUNCATED);
            }
            free(p);
        }
    }
    /* Lengths that would overflow a pointer. */
    static const uint64_t huge[] = {200, 0xffff, INT32_MAX, UINT32_MAX, 0x7ffffffff};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        size_t n = put_varint(bytes, huge[i], 0), length;
        int why = 0;
        CHECK(ff_wire_length(bytes, bytes + n, &length, &why) == NULL);
        CHECK_EQ(why, FF_ETRUNCATED);
    }
    size_t length;
    int why = 0;
    memset(bytes, 0xff, 10);
    bytes[9] = 1;
    CHECK(ff_wire_length(bytes, bytes + sizeof bytes, &length, &why) == NULL);
    CHECK_EQ(why, FF_ETRUNCATED);
    put_varint(bytes, 1, 5); /* six bytes */
    CHECK(ff_wire_length(bytes, bytes + sizeof bytes, &length, &why) == NULL);
    CHECK_EQ(why, FF_EVARINT);
}

static int tag_reason(uint64_t value, size_t padding) {
    uint8_t bytes[16];
    size_t n = put_varint(bytes, value, padding);
    uint8_t *p = exact_copy(bytes, n);
    uint32_t tag = 0;
    int why = 0;
    const uint8_t *after = ff_wire_tag(p, p + n, &tag, &why);
    CHECK((after == NULL) == (why != 0));
    if (after != NULL) {
        CHECK(after == p + n);
        CHECK(tag == value);
    }
    free(p);
    return why;
}

static void test_tag(void) {
    static const uint32_t fields[] = {1, 2, 15, 16, 2047, 2048, 19000, (1u << 29) - 1};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        for (unsigned type = 0; type < 8; type++) {
            int want = type == 3 || type == 4 ? FF_EGROUP : type > 5 ? FF_ETAG : 0;
            CHECK_EQ(tag_reason((uint64_t)fields[i] << 3 | type, 0), want);
        }
    }
    for (unsigned type = 0; type < 8; type++) /* field number 0 */
        CHECK_EQ(tag_reason(type, 0), FF_ETAG);
    CHECK_EQ(tag_reason((uint64_t)1 << 32 | 8, 0), FF_ETAG); /* field number 2^29 */
    CHECK_EQ(tag_reason(UINT64_MAX, 0), FF_ETAG);
    CHECK_EQ(tag_reason(8, 4), 0); /* five bytes, as protobuf allows; six not */
    CHECK_EQ(tag_reason(8, 5), FF_EVARINT);
    uint32_t tag;
    int why = 0;
    const uint8_t empty[1] = {0x80};
    CHECK(ff_wire_tag(empty, empty, &tag, &why) == NULL && why == FF_ETRUNCATED);
    CHECK(ff_wire_tag(empty, empty + 1, &tag, &why) == NULL && why == FF_ETRUNCATED);
}

static void test_skip(void) {
    static const struct {
        uint32_t tag;
        const char *bytes;
        size_t length;
    } values[] = {
        {0x08, "\x05", 1},
        {0x08, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
        {0x09, "12345678", 8},
        {0x0a, "\x00", 1},
        {0x0a,
         "\x04"
         "abcd",
         5},
        {0x0d, "1234", 4},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        for (size_t cut = 0; cut <= values[i].length; cut++) {
            int why = 0;
            uint8_t *p = exact_copy(values[i].bytes, cut);
            const uint8_t *after = ff_wire_skip(p, p + cut, values[i].tag, &why);
            if (cut == values[i].length) {
                CHECK(after == p + cut);
            } else {
                CHECK(after == NULL);
                CHECK_EQ(why, FF_ETRUNCATED);
            }
            free(p);
        }
    }
}

static void test_loads(void) {
    uint8_t bytes[16] = {0};
    for (size_t at = 0; at < 8; at++) {
        double one = 1.5, got;
        memset(bytes, 0xee, sizeof bytes);
        memcpy(bytes + at, &one, sizeof one);
        got = ff_load_f64(bytes + at);
        CHECK(memcmp(&got, &one, sizeof one) == 0);
        memcpy(bytes + at, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
        CHECK(ff_load_u32(bytes + at) == 0x04030201u);
        CHECK(ff_load_u64(bytes + at) == 0x0807060504030201u);
    }
}

int main(void) {
    test_varint();
    test_length();
    test_tag();
    test_skip();
    test_loads();
    return 0;
}
