#include "fastfeed/decimal.h"

#include <locale.h>
#include <math.h>

#include "check.h"

enum { RANDOM = 60000 };

static bool same(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Both ways to read a text in memory of just its size, and with more behind it. */
static bool read_all(const char *text, size_t length, double *value) {
    uint8_t *exact = exact_copy(text, length);
    double slow = -1, wide_value = -1;
    *value = -1;
    bool ok = ff_decimal_parse(exact, length, exact + length, value);
    const bool slow_ok = ff_decimal_read(exact, exact + length, &slow) == exact + length;
    CHECK(ok == slow_ok && (!ok || same(slow, *value)));
    free(exact);
    static const char behind[] = "\",}].:eE \x80xyz__________";
    for (size_t i = 0; i < 8; i++) {
        uint8_t wide[512];
        memcpy(wide, text, length);
        memcpy(wide + length, behind + i, 16);
        for (size_t k = i; k < i + 2; k++) { /* a digit behind is not a part of it */
            const uint8_t *reach = wide + length + 2 * i + (k - i);
            wide_value = -1;
            wide[length] = (uint8_t)(k % 2 == 0 ? '7' : behind[i]);
            CHECK(ff_decimal_parse(wide, length, reach, &wide_value) == ok);
            CHECK(!ok || same(wide_value, *value));
        }
        wide[length] = (uint8_t)behind[i];
        const uint8_t *stop = ff_decimal_plain(wide, wide + length + 16, &wide_value);
        if (ok && behind[i] != '.' && (behind[i] | 0x20) != 'e' &&
            memchr(text, 'e', length) == NULL && memchr(text, 'E', length) == NULL) {
            CHECK(stop == wide + length);
            CHECK(same(wide_value, *value));
        }
        stop = ff_decimal_read(wide, wide + length + 16, &wide_value);
        if (ok && behind[i] != '.' && (behind[i] | 0x20) != 'e')
            CHECK(stop == wide + length && same(wide_value, *value));
    }
    return ok;
}

static void good(const char *text) {
    double v;
    if (!read_all(text, strlen(text), &v) || !same(v, strtod(text, NULL))) {
        fprintf(stderr, "%s: expected %.17g, got %.17g\n", text, strtod(text, NULL), v);
        abort();
    }
}

static void bad(const char *text) {
    double v;
    if (read_all(text, strlen(text), &v)) {
        fprintf(stderr, "%s: expected nothing, got %.17g\n", text, v);
        abort();
    }
}

static void test_texts(void) {
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "-0.000000",
        "1",
        "7.25",
        "118204.49",
        "511.000000",
        "0.00001240",
        "31304992.00",
        "12345678.12345678",
        "99999999.99999999",
        "9007199254740992",
        "9007199254740993",
        "90071992.54740993",
        "123456789012345.678900",
        "1e22",
        "1e23",
        "1.1820491e5",
        "5E-3",
        "1e-7",
        "1e+7",
        "-37.63",
        "00012.50",
        "0.1",
        "0.2",
        "0.3",
        "1044444444.00000001",
        "18446744073709551615",
        "18446744073709551616",
        "9999999999999999999",
        "9999999999.999999999",
        "0.9999999999999999999",
        "1234567890123456789012345678901234567890",
        "0.000000000000000000000000000000000000012",
        "1e400",
        "-1e400",
        "1e-400",
        "1e99999999999999",
        "1e-99999999999999",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "8.98846567431158e307",
        "9007199254740993e22",
        "1e0000000000000000000000005",
        "0e5",
        "0.0e-400",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        good(texts[i]);
    static const char *const refused[] = {
        "",
        "-",
        "+1",
        "--1",
        ".",
        ".5",
        "5.",
        "-.5",
        "1.2.3",
        "1,000",
        " 1",
        "1 ",
        "1e",
        "1e+",
        "1e-",
        "1e1.5",
        "e5",
        "0x1F",
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "1_0",
        "1\x80",
        "\xff",
        "12345678.",
        "12345678.12345678.",
        "1.-5",
        "1-",
        "1;",
        "12345678901234567890123456789012345678901", /* 41 digits */
        "00000000000000000000000000000000000000000",
        "0.0000000000000000000000000000000000000000",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        bad(refused[i]);
}

static void test_lengths(void) {
    /* Every number of digits before and behind the point. */
    static const char nines[] = "9999999999999999999999999999999999999999";
    static const char mixed[] = "1234567890987654321012345678909876543210";
    char text[100];
    for (int whole = 1; whole < 40; whole++) {
        for (int part = 0; whole + part <= 40; part++) {
            for (int kind = 0; kind < 4; kind++) {
                const char *digits = kind % 2 == 0 ? nines : mixed;
                snprintf(text, sizeof text, "%s%.*s%s%.*s", kind < 2 ? "" : "-", whole, digits,
                         part > 0 ? "." : "", part, digits + 40 - part);
                good(text);
            }
        }
    }
}

static void test_random(void) {
    uint64_t random = 11;
    char text[100];
    for (int i = 0; i < RANDOM; i++) {
        uint64_t r = next_random(&random), digits = next_random(&random) >> r % 64;
        unsigned point = (unsigned)(r >> 8) % 20;
        switch (r >> 16 & 3) {
        case 0: { /* a point somewhere */
            char plain[32];
            int n = snprintf(plain, sizeof plain, "%020llu", (unsigned long long)digits);
            snprintf(text, sizeof text, "%.*s.%s", n - (int)point, plain, plain + n - point);
            if (point == 0)
                text[n] = 0;
            break;
        }
        case 1:
            snprintf(text, sizeof text, "%llue%d", (unsigned long long)digits,
                     (int)(r >> 20 & 1023) - 512);
            break;
        case 2: { /* any double, to 17 digits */
            double v;
            memcpy(&v, &digits, sizeof v);
            if (!isfinite(v))
                continue;
            snprintf(text, sizeof text, "%.*e", (int)(r >> 20 & 31), v);
            break;
        }
        default:
            snprintf(text, sizeof text, "%s%llu.%0*llu", r >> 20 & 1 ? "-" : "",
                     (unsigned long long)(digits % 1000000), (int)(r >> 24 & 7) + 1,
                     (unsigned long long)((r >> 30) % 10));
        }
        good(text);
    }
    /* Halfway between two doubles, and next to it. */
    for (int i = 0; i < RANDOM / 10; i++) {
        uint64_t half = (next_random(&random) | (uint64_t)1 << 63) >> 11;
        unsigned shift = 1 + (unsigned)(next_random(&random) % 10);
        uint64_t middle = (half << shift) + ((uint64_t)1 << (shift - 1));
        for (int off = -1; off <= 1; off++) {
            snprintf(text, sizeof text, "%llu", (unsigned long long)(middle + (uint64_t)off));
            good(text);
            snprintf(text, sizeof text, "%llu.%s",
                     (unsigned long long)(middle + (uint64_t)off),
                     i % 2 == 0 ? "0" : "00000000000000000001");
            good(text);
        }
    }
}

static void test_digits(void) {
    char text[64];
    uint64_t random = 5;
    for (int length = 0; length <= 21; length++) {
        for (int i = 0; i < 200; i++) {
            uint64_t want = 0, got = 0;
            for (int k = 0; k < length; k++) {
                text[k] = (char)('0' + next_random(&random) % 10);
                want = want * 10 + (uint64_t)(text[k] - '0');
            }
            static const char behind[] = "\",./:\x80\xff\x7f\x30";
            text[length] = behind[i % 8];
            memset(text + length + 1, behind[i / 8 % 9], 20);
            const int reach = length + (i % 21 < 1 ? 0 : i % 21);
            uint8_t *p = exact_copy(text, (size_t)reach);
            const uint8_t *stop = ff_digits_read(p, p + reach, &got);
            if (length >= 1 && length <= 19) {
                CHECK(stop == p + length);
                CHECK(got == want);
            } else {
                CHECK(stop == NULL);
            }
            free(p);
        }
    }
}

int main(void) {
    test_texts();
    test_lengths();
    test_random();
    test_digits();
    /* The point is a point where a comma is usual, if such a locale is there. */
    if (setlocale(LC_ALL, "de_DE.UTF-8") != NULL) {
        double v;
        CHECK(read_all("123456789012345.678900", 22, &v) && same(v, 123456789012345.6789));
    }
    return 0;
}
