#include "fastfeed/aes.h"

#include <string.h>

#include "check.h"

enum { MOST = 40 }; /* blocks */

static size_t hex(const char *text, uint8_t *out) {
    size_t n = 0;
    unsigned byte;
    for (; sscanf(text, "%2x", &byte) == 1; text += 2)
        out[n++] = (uint8_t)byte;
    return n;
}

static bool is_hex(const uint8_t *data, size_t length, const char *text) {
    uint8_t want[MOST * FF_AES_BLOCK];
    return hex(text, want) == length && memcmp(data, want, length) == 0;
}

/* FIPS 197: appendix A.1 (the key schedule), B and C.1 (a block). */
static void test_fips_197(bool portable) {
    ff_aes aes;
    uint8_t key[16], block[16], out[16];
    hex("2b7e151628aed2a6abf7158809cf4f3c", key);
    ff_aes_init(&aes, key, portable);
    CHECK(is_hex(aes.encrypt_keys[1], 16, "a0fafe1788542cb123a339392a6c7605"));
    CHECK(is_hex(aes.encrypt_keys[9], 16, "ac7766f319fadc2128d12941575c006e"));
    CHECK(is_hex(aes.encrypt_keys[10], 16, "d014f9a8c9ee2589e13f0cc8b6630ca6"));
    CHECK(memcmp(aes.decrypt_keys[0], aes.encrypt_keys[10], 16) == 0);
    CHECK(memcmp(aes.decrypt_keys[10], aes.encrypt_keys[0], 16) == 0);
    hex("3243f6a8885a308d313198a2e0370734", block);
    ff_aes_ecb_encrypt(&aes, block, 1, out);
    CHECK(is_hex(out, 16, "3925841d02dc09fbdc118597196a0b32"));
    ff_aes_ecb_decrypt(&aes, out, 1, out);
    CHECK(memcmp(out, block, 16) == 0);

    hex("000102030405060708090a0b0c0d0e0f", key);
    ff_aes_init(&aes, key, portable);
    hex("00112233445566778899aabbccddeeff", block);
    ff_aes_ecb_encrypt(&aes, block, 1, out);
    CHECK(is_hex(out, 16, "69c4e0d86a7b0430d8cdb78070b4c55a"));
    ff_aes_ecb_decrypt(&aes, out, 1, out);
    CHECK(memcmp(out, block, 16) == 0);
    CHECK(!aes.hardware || !portable);
}

/* SP 800-38A: F.1.1, F.1.2, F.2.1 and F.2.2. */
static void test_sp_800_38a(bool portable) {
    static const char plain_hex[] =
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45"
        "af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b"
        "417be66c3710";
    static const char ecb_hex[] =
        "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fd"
        "baaf43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f82232071"
        "04725dd4";
    static const char cbc_hex[] =
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a9176"
        "78b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca30"
        "7586e1a7";
    ff_aes aes;
    uint8_t key[16], iv[16], plain[64], out[64];
    hex("2b7e151628aed2a6abf7158809cf4f3c", key);
    hex("000102030405060708090a0b0c0d0e0f", iv);
    CHECK_EQ(hex(plain_hex, plain), 64);
    ff_aes_init(&aes, key, portable);
    ff_aes_ecb_encrypt(&aes, plain, 4, out);
    CHECK(is_hex(out, 64, ecb_hex));
    ff_aes_ecb_decrypt(&aes, out, 4, out);
    CHECK(memcmp(out, plain, 64) == 0);
    ff_aes_cbc_encrypt(&aes, iv, plain, 4, out);
    CHECK(is_hex(out, 64, cbc_hex));
    ff_aes_cbc_decrypt(&aes, iv, out, 4, out);
    CHECK(memcmp(out, plain, 64) == 0);
}

typedef void operation(const ff_aes *aes, const uint8_t *iv, const uint8_t *in, size_t blocks,
                       uint8_t *out);

static void ecb_encrypt(const ff_aes *aes, const uint8_t *iv, const uint8_t *in, size_t blocks,
                        uint8_t *out) {
    (void)iv;
    ff_aes_ecb_encrypt(aes, in, blocks, out);
}

static void ecb_decrypt(const ff_aes *aes, const uint8_t *iv, const uint8_t *in, size_t blocks,
                        uint8_t *out) {
    (void)iv;
    ff_aes_ecb_decrypt(aes, in, blocks, out);
}

/* CBC from single blocks. */
static void slow_cbc_encrypt(const ff_aes *aes, const uint8_t *iv, const uint8_t *in,
                             size_t blocks, uint8_t *out) {
    for (size_t b = 0; b < blocks; b++) {
        const uint8_t *before = b == 0 ? iv : out + 16 * (b - 1);
        uint8_t x[16];
        for (size_t i = 0; i < 16; i++)
            x[i] = in[16 * b + i] ^ before[i];
        ff_aes_ecb_encrypt(aes, x, 1, out + 16 * b);
    }
}

static void slow_cbc_decrypt(const ff_aes *aes, const uint8_t *iv, const uint8_t *in,
                             size_t blocks, uint8_t *out) {
    for (size_t b = 0; b < blocks; b++) {
        const uint8_t *before = b == 0 ? iv : in + 16 * (b - 1);
        ff_aes_ecb_decrypt(aes, in + 16 * b, 1, out + 16 * b);
        for (size_t i = 0; i < 16; i++)
            out[16 * b + i] ^= before[i];
    }
}

/* Every number of blocks, in place and to another place, at any alignment, by both codes. */
static void test_all_lengths(void) {
    static operation *const operations[][2] = {
        {ecb_encrypt, ecb_encrypt},
        {ecb_decrypt, ecb_decrypt},
        {ff_aes_cbc_encrypt, slow_cbc_encrypt},
        {ff_aes_cbc_decrypt, slow_cbc_decrypt},
    };
    uint64_t random = 7;
    for (size_t blocks = 0; blocks <= MOST; blocks++) {
        uint8_t key[16], iv[16], data[16 * MOST + 16], want[16 * MOST], out[16 * MOST + 16];
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (uint8_t)(next_random(&random) >> 56);
        memcpy(key, data, 16);
        memcpy(iv, data + 16 * MOST, 16);
        ff_aes fast, portable;
        ff_aes_init(&fast, key, false);
        ff_aes_init(&portable, key, true);
        CHECK(!portable.hardware);
        size_t offset = blocks % 16, length = 16 * blocks;
        for (size_t o = 0; o < sizeof operations / sizeof *operations; o++) {
            operations[o][1](&portable, iv, data + offset, blocks, want);
            const ff_aes *both[] = {&fast, &portable};
            for (size_t i = 0; i < 2; i++) {
                memset(out, 0xee, sizeof out);
                operations[o][0](both[i], iv, data + offset, blocks, out + offset);
                CHECK(memcmp(out + offset, want, length) == 0);
                CHECK(out[offset + length] == 0xee || offset + length == sizeof out);
                uint8_t *place = exact_copy(data + offset, length);
                operations[o][0](both[i], iv, place, blocks, place);
                CHECK(memcmp(place, want, length) == 0);
                free(place);
            }
        }
    }
}

int main(void) {
    for (int portable = 0; portable < 2; portable++) {
        test_fips_197(portable);
        test_sp_800_38a(portable);
    }
    test_all_lengths();
    return 0;
}
