#include "fastfeed/sha1.h"

#include <string.h>

#include "check.h"

/* A second implementation, as FIPS 180-4 writes it and byte by byte: no blocks at once, no
 * instructions of the CPU. */
static uint32_t rotate(uint32_t x, unsigned n) {
    return x << n | x >> (32 - n);
}

static void plain_sha1(const uint8_t *data, size_t length, uint8_t out[20]) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t padded = (length + 8) / 64 * 64 + 64;
    for (size_t block = 0; block < padded; block += 64) {
        uint32_t w[80];
        for (size_t t = 0; t < 80; t++) {
            w[t] = 0;
            if (t >= 16) {
                w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
                continue;
            }
            for (size_t i = block + 4 * t; i < block + 4 * t + 4; i++) {
                uint8_t byte = i < length ? data[i] : i == length ? 0x80 : 0;
                if (i >= padded - 8)
                    byte = (uint8_t)((uint64_t)length * 8 >> 8 * (padded - 1 - i));
                w[t] = w[t] << 8 | byte;
            }
        }
        uint32_t v[5];
        memcpy(v, h, sizeof v);
        for (size_t t = 0; t < 80; t++) {
            uint32_t b = v[1], c = v[2], d = v[3];
            uint32_t f = t < 20   ? ((b & c) ^ (~b & d)) + 0x5a827999
                         : t < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                         : t < 60 ? ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc
                                  : (b ^ c ^ d) + 0xca62c1d6;
            uint32_t next = rotate(v[0], 5) + f + v[4] + w[t];
            v[4] = d;
            v[3] = c;
            v[2] = rotate(b, 30);
            v[1] = v[0];
            v[0] = next;
        }
        for (size_t i = 0; i < 5; i++)
            h[i] += v[i];
    }
    for (size_t i = 0; i < 20; i++)
        out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void check_hex(const void *data, size_t length, const char *want) {
    uint8_t out[20];
    char text[41];
    ff_sha1(data, length, out);
    for (size_t i = 0; i < 20; i++)
        snprintf(text + 2 * i, 3, "%02x", out[i]);
    CHECK(strcmp(text, want) == 0);
    uint8_t second[20];
    plain_sha1(data, length, second);
    CHECK(memcmp(out, second, 20) == 0);
}

static void test_vectors(void) {
    check_hex(NULL, 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_hex("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
              "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    check_hex("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
              "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
              112, "a49b2446a02c645bf419f995b67091253a04a259");
    char *million = malloc(1000000);
    CHECK(million != NULL);
    memset(million, 'a', 1000000);
    check_hex(million, 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    free(million);
}

static void test_lengths(void) {
    uint64_t random = 99;
    for (size_t length = 0; length <= 300; length++) {
        for (size_t offset = 0; offset < 3; offset++) {
            uint8_t bytes[310], out[20], second[20];
            for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)(next_random(&random) >> 56);
            uint8_t *p = exact_copy(bytes + offset, length);
            ff_sha1(p, length, out);
            plain_sha1(bytes + offset, length, second);
            CHECK(memcmp(out, second, 20) == 0);
            ff_sha1(bytes + offset, length, out); /* unaligned */
            CHECK(memcmp(out, second, 20) == 0);
            free(p);
        }
    }
}

int main(void) {
    test_vectors();
    test_lengths();
    return 0;
}
