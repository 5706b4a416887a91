#include "fastfeed/market_time.h"

#include "check.h"

static int64_t read_time(const char *text, size_t length, ff_zone zone, ff_date_cache *cache) {
    uint8_t *p = exact_copy(text, length);
    int64_t ns = ff_market_time(p, length, zone, cache);
    free(p);
    return ns;
}

/* With a cache of its own, with one that holds the date, and with one of another date. */
static int64_t in_zone(const char *text, ff_zone zone) {
    ff_date_cache fresh = {0}, other = {0};
    size_t length = strlen(text);
    int64_t ns = read_time(text, length, zone, &fresh);
    CHECK_EQ(read_time(text, length, zone, &fresh), ns);
    CHECK(read_time("2001-02-03 04:05:06", 19, FF_ZONE_UTC, &other) != 0);
    CHECK_EQ(read_time(text, length, zone, &other), ns);
    CHECK_EQ(read_time("2001-02-03 00:00:00", 19, FF_ZONE_UTC, &other), 981158400000000000);
    return ns;
}

static void test_formats(void) {
    const int64_t base = 1700038800000000000; /* 2023-11-15 09:00:00 UTC */
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"2023-11-15 09:00:00", 0},
        {"2023-11-15 09:00:00.1", 100000000},
        {"2023-11-15 09:00:00.123", 123000000},
        {"2023-11-15 09:00:00:123", 123000000},
        {"2023-11-15 09:00:00.000001", 1000},
        {"2023-11-15 09:00:00.123456789", 123456789},
        {"2023-11-15 09:00:00.999999999", 999999999},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_EQ(in_zone(good[i].text, FF_ZONE_UTC), base + good[i].ns);
    static const char *const bad[] = {
        "",
        "2023-11-15",
        "2023-11-15 09:00:0",
        "2023-11-15T09:00:00",
        "2023-11-15 09:00:00.",
        "2023-11-15 09:00:00:",
        "2023-11-15 09:00:00,123",
        "2023-11-15 09:00:00.12x",
        "2023-11-15 09:00:00.1234567890",
        "2023-11-15 09:00:00 123",
        "2023-11-15 09:00:0000",
        "2023/11/15 09:00:00",
        "2023-11-15 09-00:00",
        "2023-11-15 09:00-00",
        "2023-13-15 09:00:00",
        "2023-00-15 09:00:00",
        "2023-11-00 09:00:00",
        "2023-11-31 09:00:00",
        "2023-02-29 09:00:00",
        "2100-02-29 09:00:00",
        "2023-11-15 24:00:00",
        "2023-11-15 09:60:00",
        "2023-11-15 09:00:60",
        "1969-12-31 23:59:59",
        "2262-01-01 00:00:00",
        "9999-12-31 23:59:59",
        "-023-11-15 09:00:00",
        "2023-11-15 0a:00:00",
        "2023-11-15 09:0 :00",
        "\xff\xff\xff\xff-11-15 09:00:00",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(in_zone(bad[i], FF_ZONE_UTC), 0);
    ff_date_cache cache = {0};
    CHECK_EQ(ff_market_time(NULL, 0, FF_ZONE_UTC, &cache), 0);
    CHECK_EQ(in_zone("2024-02-29 00:00:00", FF_ZONE_UTC), 1709164800000000000);
    CHECK_EQ(in_zone("2000-02-29 00:00:00", FF_ZONE_UTC), 951782400000000000);
    CHECK_EQ(in_zone("2261-12-31 23:59:59.999999999", FF_ZONE_NEW_YORK),
             9214664399999999999 + 0);
}

/* A date that cannot be read must not spoil the one in the cache. */
static void test_cache(void) {
    ff_date_cache cache = {0};
    CHECK(read_time("2023-11-15 09:00:00", 19, FF_ZONE_UTC, &cache) == 1700038800000000000);
    CHECK(read_time("2023-11-99 09:00:00", 19, FF_ZONE_UTC, &cache) == 0);
    CHECK(read_time("2023-11-99 09:00:00", 19, FF_ZONE_UTC, &cache) == 0);
    CHECK(read_time("2023-11-15 09:00:00", 19, FF_ZONE_UTC, &cache) == 1700038800000000000);
    ff_date_cache empty = {0};
    CHECK(read_time("\0\0\0\0\0\0\0\0\0\0 00:00:00", 19, FF_ZONE_UTC, &empty) == 0);
}

static void test_zones(void) {
    static const struct {
        const char *text;
        ff_zone zone;
        int64_t s;
    } cases[] = {
        {"2024-01-15 12:00:00", FF_ZONE_UTC, 1705320000},
        {"2024-01-15 12:00:00", FF_ZONE_HONG_KONG, 1705291200},
        {"2024-01-15 12:00:00", FF_ZONE_TOKYO, 1705287600},
        {"2024-01-15 12:00:00", FF_ZONE_NEW_YORK, 1705338000},
        {"2024-07-15 12:00:00", FF_ZONE_NEW_YORK, 1721059200},
        {"2024-01-15 12:00:00", FF_ZONE_SYDNEY, 1705280400},
        {"2024-07-15 12:00:00", FF_ZONE_SYDNEY, 1721008800},
        /* New York 2024: 10 March, 3 November. 02:30 does not happen, 01:30 twice. */
        {"2024-03-10 01:59:59", FF_ZONE_NEW_YORK, 1710053999},
        {"2024-03-10 02:30:00", FF_ZONE_NEW_YORK, 1710055800},
        {"2024-03-10 03:00:00", FF_ZONE_NEW_YORK, 1710054000},
        {"2024-11-03 00:59:59", FF_ZONE_NEW_YORK, 1730609999},
        {"2024-11-03 01:30:00", FF_ZONE_NEW_YORK, 1730611800},
        {"2024-11-03 02:00:00", FF_ZONE_NEW_YORK, 1730617200},
        /* Sydney 2024: 7 April, 6 October. */
        {"2024-04-07 01:59:59", FF_ZONE_SYDNEY, 1712415599},
        {"2024-04-07 02:30:00", FF_ZONE_SYDNEY, 1712417400},
        {"2024-04-07 03:00:00", FF_ZONE_SYDNEY, 1712422800},
        {"2024-10-06 01:59:59", FF_ZONE_SYDNEY, 1728143999},
        {"2024-10-06 02:30:00", FF_ZONE_SYDNEY, 1728145800},
        {"2024-10-06 03:00:00", FF_ZONE_SYDNEY, 1728144000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_EQ(in_zone(cases[i].text, cases[i].zone), cases[i].s * 1000000000);
}

/* UTC to the local clock, around the changes of the clock. */
static void test_local(void) {
    static const struct {
        ff_zone zone;
        int64_t utc_s, hours;
    } cases[] = {
        {FF_ZONE_UTC, 1705320000, 0},       {FF_ZONE_HONG_KONG, 1705320000, 8},
        {FF_ZONE_TOKYO, 1705320000, 9},     {FF_ZONE_NEW_YORK, 0, -5},
        {FF_ZONE_NEW_YORK, 1710053999, -5}, {FF_ZONE_NEW_YORK, 1710054000, -4},
        {FF_ZONE_NEW_YORK, 1730613599, -4}, {FF_ZONE_NEW_YORK, 1730613600, -5},
        {FF_ZONE_SYDNEY, 1712419199, 11},   {FF_ZONE_SYDNEY, 1712419200, 10},
        {FF_ZONE_SYDNEY, 1728143999, 10},   {FF_ZONE_SYDNEY, 1728144000, 11},
        {FF_ZONE_NEW_YORK, 1735707599, -5}, {FF_ZONE_NEW_YORK, 8999999999, -4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_EQ(ff_zone_local(cases[i].zone, cases[i].utc_s) - cases[i].utc_s,
                 cases[i].hours * 3600);
}

/* Every day of the years allowed, counted one by one. */
static void test_days(void) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t day = 0;
    for (int year = 1970; year <= 2261; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 1; month <= 12; month++) {
            int last = lengths[month - 1] + (month == 2 && leap);
            int64_t sundays = 0;
            for (int d = 1; d <= last; d++, day++) {
                CHECK_EQ(ff_days_from_civil(year, month, d), day);
                CHECK_EQ(ff_year_of_day(day), year);
                if ((day + 4) % 7 == 0)
                    CHECK_EQ(ff_nth_sunday(year, month, (int)++sundays), day);
                char text[32];
                snprintf(text, sizeof text, "%04d-%02d-%02d 00:00:01", year, month, d);
                ff_date_cache cache = {0};
                CHECK_EQ(ff_market_time((const uint8_t *)text, 19, FF_ZONE_UTC, &cache),
                         (day * 86400 + 1) * 1000000000);
            }
        }
    }
    CHECK_EQ(day, 106651);
    CHECK_EQ(ff_days_from_civil(1969, 12, 31), -1);
    CHECK_EQ(ff_days_from_civil(0, 3, 1), -719468);
    CHECK_EQ(ff_days_from_civil(-1, 3, 1), -719468 - 366);
}

int main(void) {
    test_formats();
    test_cache();
    test_zones();
    test_local();
    test_days();
    return 0;
}
