#ifndef FASTFEED_MARKET_TIME_H
#define FASTFEED_MARKET_TIME_H

/* The markets' local time, written as "yyyy-MM-dd HH:mm:ss.SSS", to nanoseconds of UTC.
 *
 * Daylight saving follows the rules in force now (United States and Canada since 2007, the
 * south of Australia since 2008): what arrives here is today's market data. In the hour that
 * happens twice the first one is meant, in the hour that does not happen the offset before it
 * holds; both as Python's zoneinfo with fold=0. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/wire.h"

typedef enum ff_zone {
    FF_ZONE_UTC,
    FF_ZONE_NEW_YORK,
    FF_ZONE_HONG_KONG, /* also Shanghai, Singapore, Kuala Lumpur: +8 without daylight saving */
    FF_ZONE_TOKYO,
    FF_ZONE_SYDNEY,
} ff_zone;

/* Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant's algorithm). */
static inline int64_t ff_days_from_civil(int year, int month, int day) {
    year -= month <= 2;
    int era = (year >= 0 ? year : year - 399) / 400;
    int yoe = year - era * 400;
    int doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return (int64_t)era * 146097 + doe - 719468;
}

/* The n-th Sunday of a month, n from 1. */
static inline int64_t ff_nth_sunday(int year, int month, int n) {
    int64_t first = ff_days_from_civil(year, month, 1);
    int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 0 = Sunday; 1970-01-01 was a Thursday */
    return first + (7 - weekday) % 7 + 7 * (n - 1);
}

/* Seconds to add to UTC for local time, at a local wall-clock time in seconds since 1970. */
static inline int64_t ff_zone_offset(ff_zone zone, int year, int64_t local_s) {
    const int64_t day = 86400, hour = 3600;
    switch (zone) {
    case FF_ZONE_NEW_YORK:
        if (local_s >= ff_nth_sunday(year, 3, 2) * day + 3 * hour &&
            local_s < ff_nth_sunday(year, 11, 1) * day + 2 * hour)
            return -4 * hour;
        return -5 * hour;
    case FF_ZONE_SYDNEY:
        if (local_s >= ff_nth_sunday(year, 4, 1) * day + 3 * hour &&
            local_s < ff_nth_sunday(year, 10, 1) * day + 3 * hour)
            return 10 * hour;
        return 11 * hour;
    case FF_ZONE_HONG_KONG:
        return 8 * hour;
    case FF_ZONE_TOKYO:
        return 9 * hour;
    case FF_ZONE_UTC:
        break;
    }
    return 0;
}

/* The year of a day since 1970-01-01. */
static inline int ff_year_of_day(int64_t day) {
    day += 719468;
    const int64_t era = (day >= 0 ? day : day - 146096) / 146097, doe = day - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    return (int)(yoe + era * 400 +
                 (doy >= 306)); /* the years of the algorithm begin in March */
}

/* Local wall-clock time, in seconds since 1970, at a time of UTC (not before 1970). */
static inline int64_t ff_zone_local(ff_zone zone, int64_t utc_s) {
    /* The clock of the summer shows best whether it is summer. */
    const int64_t most = zone == FF_ZONE_NEW_YORK ? -4
                         : zone == FF_ZONE_SYDNEY ? 11
                         : zone == FF_ZONE_TOKYO  ? 9
                         : zone == FF_ZONE_UTC    ? 0
                                                  : 8;
    const int64_t local_s = utc_s + most * 3600;
    const int64_t day = local_s >= 0 ? local_s / 86400 : -1;
    return utc_s + ff_zone_offset(zone, ff_year_of_day(day), local_s);
}

/* The date read last: consecutive rows nearly always share it. */
typedef struct ff_date_cache {
    uint8_t text[10];
    uint8_t valid;
    int32_t year;
    int64_t midnight_s; /* local midnight, in local seconds since 1970 */
} ff_date_cache;

static inline bool ff_two_digits(const uint8_t *p, int *value) {
    unsigned tens = p[0] - (unsigned)'0', ones = p[1] - (unsigned)'0';
    *value = (int)(tens * 10 + ones);
    return tens <= 9 && ones <= 9;
}

static inline bool ff_read_date(const uint8_t *p, ff_date_cache *cache) {
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int century, years, month, day;
    if (!ff_two_digits(p, &century) || !ff_two_digits(p + 2, &years) || p[4] != '-' ||
        !ff_two_digits(p + 5, &month) || p[7] != '-' || !ff_two_digits(p + 8, &day))
        return false;
    int year = century * 100 + years;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 ||
        day > days[month - 1] || (month == 2 && day == 29 && !leap))
        return false;
    memcpy(cache->text, p, 10);
    cache->valid = 1;
    cache->year = year;
    cache->midnight_s = ff_days_from_civil(year, month, day) * 86400;
    return true;
}

/* "yyyy-MM-dd HH:mm:ss", then nothing or a point or colon with 1 to 9 digits. Returns
 * nanoseconds of UTC, or 0 when it cannot be read (or lies outside of 1970 to 2261). */
static inline int64_t ff_market_time(const uint8_t *p, size_t length, ff_zone zone,
                                     ff_date_cache *cache) {
    if (length < 19 || length > 29 || p[10] != ' ' || p[13] != ':' || p[16] != ':')
        return 0;
    if (!(cache->valid && memcmp(cache->text, p, 10) == 0) && !ff_read_date(p, cache))
        return 0;
    int hours, minutes, seconds;
    if (!ff_two_digits(p + 11, &hours) || !ff_two_digits(p + 14, &minutes) ||
        !ff_two_digits(p + 17, &seconds) || hours > 23 || minutes > 59 || seconds > 59)
        return 0;
    int64_t fraction = 0;
    if (length > 19) {
        if (length == 20 || (p[19] != '.' && p[19] != ':'))
            return 0;
        for (size_t i = 20; i < 29; i++) {
            unsigned digit = i < length ? p[i] - (unsigned)'0' : 0;
            if (digit > 9)
                return 0;
            fraction = fraction * 10 + (int64_t)digit;
        }
    }
    int64_t local_s = cache->midnight_s + hours * 3600 + minutes * 60 + seconds;
    return (local_s - ff_zone_offset(zone, cache->year, local_s)) * 1000000000 + fraction;
}

/* "yyyy-MM-dd": its midnight as nanoseconds of UTC, or 0 as above. */
static inline int64_t ff_market_date(const uint8_t *p, size_t length, ff_zone zone) {
    ff_date_cache date;
    if (length != 10 || !ff_read_date(p, &date))
        return 0;
    return (date.midnight_s - ff_zone_offset(zone, date.year, date.midnight_s)) * 1000000000;
}

#endif
