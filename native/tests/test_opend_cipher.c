#include "fastfeed/opend_cipher.h"

#include "check.h"
#include "fastfeed/opend.h"
#include "opend_bytes.h"

static const ff_cipher_mode modes[] = {FF_CIPHER_NONE, FF_CIPHER_CBC, FF_CIPHER_ECB};

static ff_opend_cipher cipher_of(ff_cipher_mode mode, bool portable) {
    ff_opend_cipher cipher;
    ff_opend_cipher_init(&cipher, mode, (const uint8_t *)"0123456789abcdef",
                         (const uint8_t *)"fedcba9876543210", portable);
    return cipher;
}

static void check_hex(const uint8_t *data, size_t length, const char *want) {
    char text[200];
    for (size_t i = 0; i < length; i++)
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    CHECK_EQ(2 * length, strlen(want));
    CHECK(memcmp(text, want, 2 * length) == 0);
}

/* Made with the official client's functions. */
static void test_vectors(void) {
    static const struct {
        size_t length;
        const char *cbc, *ecb;
    } cases[] = {
        {0, "3c492cedd954cc383f3d3ee93e728484", "00000000000000000000000000000000"},
        {1, "9332445e3263a9e727246aaf8df8820d",
         "0b9b15da4b44a0f5151dcfc4c01f35d500000000000000000000000000000001"},
        {15, "9c417f06fb43bf82519f859a79ea803c",
         "4bd0d627f2be997567109ca82d1a61830000000000000000000000000000000f"},
        {16, "fb01c02499f87b46c2a7b96a1ca5303b14dba62a014eba6611ecd4ab19c29e67",
         "a07999f0e2bfbe16f99593e984a449b700000000000000000000000000000000"},
        {17, "fb01c02499f87b46c2a7b96a1ca5303b79edc7e4453295dd45f6dcd95358bad2",
         "a07999f0e2bfbe16f99593e984a449b7f9ab2c3d526f44ac31584dad0f336779"
         "00000000000000000000000000000001"},
    };
    for (int portable = 0; portable < 2; portable++) {
        ff_opend_cipher cbc = cipher_of(FF_CIPHER_CBC, portable);
        ff_opend_cipher ecb = cipher_of(FF_CIPHER_ECB, portable);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            uint8_t plain[32], out[64];
            for (size_t b = 0; b < sizeof plain; b++)
                plain[b] = (uint8_t)b;
            check_hex(out, ff_opend_encrypt(&cbc, plain, cases[i].length, out), cases[i].cbc);
            check_hex(out, ff_opend_encrypt(&ecb, plain, cases[i].length, out), cases[i].ecb);
        }
    }
}

static void test_all_lengths(void) {
    uint64_t random = 3;
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        ff_opend_cipher fast = cipher_of(modes[m], false);
        ff_opend_cipher portable = cipher_of(modes[m], true);
        for (size_t length = 0; length <= 300; length++) {
            uint8_t data[300], out[400];
            for (size_t i = 0; i < sizeof data; i++)
                data[i] = (uint8_t)(next_random(&random) >> 56);
            uint8_t *plain = exact_copy(data, length);
            size_t size = ff_opend_encrypted_length(&fast, length);
            uint8_t *encrypted = exact_copy(out, size);
            CHECK_EQ(ff_opend_encrypt(&fast, plain, length, encrypted), size);
            memcpy(out, data, length); /* in place */
            CHECK_EQ(ff_opend_encrypt(&portable, out, length, out), size);
            CHECK(memcmp(out, encrypted, size) == 0);

            uint8_t *decrypted = exact_copy(out, size);
            CHECK_EQ(ff_opend_decrypt(&portable, encrypted, size, decrypted), length);
            CHECK(memcmp(decrypted, data, length) == 0);
            CHECK_EQ(ff_opend_decrypt(&fast, encrypted, size, encrypted), length);
            CHECK(memcmp(encrypted, data, length) == 0);
            free(plain);
            free(encrypted);
            free(decrypted);
        }
    }
}

/* Blocks whose plain text is `plain`, without padding of our own. */
static ptrdiff_t decrypt_raw(const ff_opend_cipher *cipher, const uint8_t *plain,
                             size_t blocks) {
    uint8_t encrypted[64];
    ff_aes_cbc_encrypt(&cipher->aes, cipher->iv, plain, blocks, encrypted);
    return ff_opend_decrypt(cipher, encrypted, blocks * 16, encrypted);
}

static void test_bad_padding(void) {
    ff_opend_cipher cbc = cipher_of(FF_CIPHER_CBC, false);
    for (unsigned last = 0; last < 256; last++) {
        uint8_t plain[32];
        memset(plain, (int)last, sizeof plain);
        bool good = last >= 1 && last <= 16;
        CHECK_EQ(decrypt_raw(&cbc, plain, 2), good ? 32 - (int)last : -FF_EPADDING);
        for (size_t wrong = 1; good && wrong <= 31; wrong++) { /* one byte, from the end */
            memset(plain, (int)last, sizeof plain);
            plain[31 - wrong] ^= 0x80;
            CHECK_EQ(decrypt_raw(&cbc, plain, 2),
                     wrong < last ? -FF_EPADDING : 32 - (int)last);
        }
    }
    ff_opend_cipher ecb = cipher_of(FF_CIPHER_ECB, false);
    uint8_t body[48], out[48];
    for (size_t padded = 0; padded <= 32; padded += 16) {
        for (unsigned rest = 0; rest < 256; rest++) {
            memset(body, 0, sizeof body);
            body[padded + 15] = (uint8_t)rest;
            ptrdiff_t want = rest == 0                   ? (ptrdiff_t)padded
                             : rest < 16 && padded >= 16 ? (ptrdiff_t)(padded - 16 + rest)
                                                         : -FF_EPADDING;
            CHECK_EQ(ff_opend_decrypt(&ecb, body, padded + 16, out), want);
            for (size_t i = 0; i < 15; i++) {
                body[padded + i] = 1;
                CHECK_EQ(ff_opend_decrypt(&ecb, body, padded + 16, out), -FF_EPADDING);
                body[padded + i] = 0;
            }
        }
    }
}

/* Any bytes of any length: a length that fits, or the reason. */
static void test_any_bytes(void) {
    uint64_t random = 5;
    for (size_t m = 1; m < sizeof modes / sizeof *modes; m++) {
        ff_opend_cipher cipher = cipher_of(modes[m], false);
        for (size_t i = 0; i < 20000; i++) {
            size_t length = next_random(&random) % 130;
            uint8_t data[130];
            for (size_t b = 0; b < sizeof data; b++)
                data[b] = i % 2 == 0 ? (uint8_t)(next_random(&random) >> 56) : 0;
            data[length > 0 ? length - 1 : 0] = (uint8_t)(i % 20);
            uint8_t *place = exact_copy(data, length);
            ptrdiff_t n = ff_opend_decrypt(&cipher, place, length, place);
            CHECK(n == -FF_EPADDING || (n >= 0 && (size_t)n <= length));
            CHECK(n == -FF_EPADDING || (length > 0 && length % 16 == 0));
            CHECK(n < 0 || ff_opend_encrypted_length(&cipher, (size_t)n) == length);
            free(place);
        }
    }
}

static void test_packets(void) {
    bytes stream = {0}, want = {0};
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        ff_opend_cipher cipher = cipher_of(modes[m], false);
        stream.length = want.length = 0;
        for (uint32_t i = 0; i < 40; i++) {
            uint8_t body[40], encrypted[64], header[44];
            memset(body, (int)i, sizeof body);
            put_packet(&stream, 3011, i, body, i);
            memcpy(header, stream.data + stream.length - i - 44, 44);
            uint32_t length = (uint32_t)ff_opend_encrypt(&cipher, body, i, encrypted);
            memcpy(header + 12, &length, 4);
            put(&want, header, 44);
            put(&want, encrypted, length);
        }
        size_t size = ff_opend_encrypted_packets_length(&cipher, stream.data, stream.length);
        CHECK_EQ(size, want.length);
        uint8_t *out = exact_copy(want.data, size);
        memset(out, 0, size);
        CHECK_EQ(ff_opend_encrypt_packets(&cipher, stream.data, stream.length, out), size);
        CHECK(memcmp(out, want.data, size) == 0);
        free(out);
        CHECK_EQ(ff_opend_encrypted_packets_length(&cipher, stream.data, 0), 0);
        for (size_t cut = 1; cut < 44 + 39; cut++) { /* of the last packet */
            uint8_t *part = exact_copy(stream.data, stream.length - cut);
            CHECK_EQ(ff_opend_encrypted_packets_length(&cipher, part, stream.length - cut), 0);
            free(part);
        }
        stream.data[0] = 'X';
        CHECK_EQ(ff_opend_encrypted_packets_length(&cipher, stream.data, stream.length), 0);
    }
    free(stream.data);
    free(want.data);
}

int main(void) {
    test_vectors();
    test_all_lengths();
    test_bad_padding();
    test_any_bytes();
    test_packets();
    return 0;
}
