/* Time texts: the cache changes nothing, what is read lies in its range, and it can be written
 * back to the same text. */

#include "fastfeed/market_time.h"

#include "fuzz.h"

static void write_back(int64_t ns, ff_zone zone, const uint8_t *text, size_t length) {
    char again[64];
    int year =
        (text[0] - '0') * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] - '0';
    /* The wall clock of the text in seconds: UTC plus the offset that was in force for it. */
    int64_t fraction = (ns % 1000000000 + 1000000000) % 1000000000;
    int64_t utc_s = (ns - fraction) / 1000000000, local_s = 0;
    bool found = false;
    for (int64_t hours = -5; hours <= 11 && !found; hours++) {
        local_s = utc_s + hours * 3600;
        found = ff_zone_offset(zone, year, local_s) == hours * 3600;
        if (!found)
            continue;
        int64_t day = local_s / 86400 - (local_s % 86400 < 0), second = local_s - day * 86400;
        int month = 1, date = 1;
        while (month < 12 && ff_days_from_civil(year, month + 1, 1) <= day)
            month++;
        date += (int)(day - ff_days_from_civil(year, month, 1));
        snprintf(again, sizeof again, "%04d-%02d-%02d %02d:%02d:%02d", year, month, date,
                 (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60));
        found = memcmp(again, text, 19) == 0;
    }
    CHECK(found);
    snprintf(again, sizeof again, "%09d", (int)fraction);
    for (size_t i = 0; i < 9; i++)
        CHECK(again[i] == (20 + i < length ? (char)text[20 + i] : '0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (length == 0)
        return 0;
    ff_zone zone = (ff_zone)(data[0] % 5);
    ff_date_cache kept = {0};
    /* Several texts, one after the other, with a cache in common and each with its own. */
    const uint8_t *p = data + 1, *end = data + length;
    while (p < end) {
        const uint8_t *stop = memchr(p, '\n', (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        size_t n = (size_t)(stop - p);
        uint8_t *text = exact_copy(p, n);
        ff_date_cache fresh = {0};
        int64_t ns = ff_market_time(text, n, zone, &fresh);
        CHECK(ff_market_time(text, n, zone, &kept) == ns);
        CHECK(ff_market_time(text, n, zone, &kept) == ns);
        if (ns != 0) {
            CHECK(n >= 19 && n <= 29);
            CHECK(ns >= -(int64_t)11 * 3600 * 1000000000 && ns < 9214700000000000000);
            write_back(ns, zone, text, n);
        }
        free(text);
        p = stop < end ? stop + 1 : end;
    }
    return 0;
}

bool fuzz_seed(size_t number, bytes *seed) {
    static const char *const texts[] = {
        "2023-11-15 09:00:00.123\n2023-11-15 09:00:00",
        "2024-03-10 02:30:00.1\n2024-03-10 03:00:00\n2024-11-03 01:59:59",
        "2024-04-07 02:30:00:123456789\n2024-10-06 02:30:00\n2024-10-06 03:00:00",
        "1970-01-01 00:00:00\n2261-12-31 23:59:59.999999999",
        "2024-02-29 23:59:59.9\n2100-02-29 00:00:00\n2024-02-30 00:00:00",
        "",
    };
    enum { TEXTS = sizeof texts / sizeof *texts };
    if (number >= 5 * TEXTS)
        return false;
    put_u8(seed, (unsigned)(number / TEXTS));
    put(seed, texts[number % TEXTS], strlen(texts[number % TEXTS]));
    return true;
}
