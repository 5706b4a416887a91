/* Writes Qot_UpdateTicker (3011) pushes and Qot_GetTicker (3010) replies the way OpenD does:
 * fields in number order, each once, the name last. A push has retType and s2c only, a reply
 * retMsg and errCode as well. For the simulator; a client never sends them. */
#ifndef FASTFEED_OPEND_ENCODE_H
#define FASTFEED_OPEND_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/sha1.h"

#define FF_OPEND_ENCODE_HEADER 44
#define FF_OPEND_ENCODE_GET_TICKER 3010
#define FF_OPEND_ENCODE_UPDATE_TICKER 3011
#define FF_OPEND_ENCODE_TEXT_MAX 64 /* longest code or name, in bytes */

/* A trade on its way out; times in UTC. */
typedef struct ff_opend_out_tick {
    int64_t time_ns;
    int64_t sequence;
    double price;
    double volume;
    int32_t utc_offset_s; /* of the market at that time: the time text is local */
    int32_t direction;    /* 1 buyer, 2 seller, 3 neutral */
} ff_opend_out_tick;

/* The parts of a push that depend only on its security, as they stand on the wire. */
typedef struct ff_opend_out_security {
    uint8_t security[FF_OPEND_ENCODE_TEXT_MAX + 16];
    uint8_t name[FF_OPEND_ENCODE_TEXT_MAX + 2];
    uint8_t security_len;
    uint8_t name_len;
} ff_opend_out_security;

static inline size_t ff_opend_put_varint(uint8_t *out, uint64_t value) {
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    return n;
}

static inline size_t ff_opend_varint_len(uint64_t value) {
    size_t n = 1;
    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}

static inline size_t ff_opend_put_tagged(uint8_t *out, uint8_t tag, uint64_t value) {
    out[0] = tag;
    return 1 + ff_opend_put_varint(out + 1, value);
}

static inline size_t ff_opend_put_double(uint8_t *out, uint8_t tag, double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    out[0] = tag;
    for (size_t i = 0; i < 8; i++) {
        out[1 + i] = (uint8_t)(bits >> (8 * i));
    }
    return 9;
}

static inline void ff_opend_put_le32(uint8_t *out, uint32_t value) {
    for (size_t i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static inline void ff_opend_put_digits(uint8_t *out, unsigned value, size_t width) {
    for (size_t i = width; i-- > 0; value /= 10) {
        out[i] = (uint8_t)('0' + value % 10);
    }
}

/* Prepares `security`; false when the code or the name is longer than
 * FF_OPEND_ENCODE_TEXT_MAX. */
static inline bool ff_opend_out_security_init(ff_opend_out_security *security, int32_t market,
                                              const char *code, size_t code_len,
                                              const char *name, size_t name_len) {
    if (code_len > FF_OPEND_ENCODE_TEXT_MAX || name_len > FF_OPEND_ENCODE_TEXT_MAX) {
        return false;
    }
    uint64_t number = (uint64_t)(int64_t)market;
    uint8_t *p = security->security;
    size_t n = ff_opend_put_tagged(p, 0x0a, 1 + ff_opend_varint_len(number) + 2 + code_len);
    n += ff_opend_put_tagged(p + n, 0x08, number);
    n += ff_opend_put_tagged(p + n, 0x12, code_len);
    memcpy(p + n, code, code_len);
    security->security_len = (uint8_t)(n + code_len);

    n = ff_opend_put_tagged(security->name, 0x1a, name_len);
    memcpy(security->name + n, name, name_len);
    security->name_len = (uint8_t)(n + name_len);
    return true;
}

/* Writes "yyyy-MM-dd HH:mm:ss.SSS", 23 bytes. `local_ms` counts from 1970 and is not negative.
 */
static inline void ff_opend_put_time(uint8_t *out, int64_t local_ms) {
    uint32_t ms = (uint32_t)(local_ms % 86400000);
    /* Days to a date by eras of 400 years that begin in March. */
    uint32_t days = (uint32_t)(local_ms / 86400000) + 719468;
    uint32_t day_of_era = days % 146097;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t shifted_month = (5 * day_of_year + 2) / 153;
    uint32_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    uint32_t year = year_of_era + days / 146097 * 400 + (month <= 2);

    memcpy(out, "0000-00-00 00:00:00.000", 23);
    ff_opend_put_digits(out, year, 4);
    ff_opend_put_digits(out + 5, month, 2);
    ff_opend_put_digits(out + 8, day_of_year - (153 * shifted_month + 2) / 5 + 1, 2);
    ff_opend_put_digits(out + 11, ms / 3600000, 2);
    ff_opend_put_digits(out + 14, ms / 60000 % 60, 2);
    ff_opend_put_digits(out + 17, ms / 1000 % 60, 2);
    ff_opend_put_digits(out + 20, ms % 1000, 3);
}

/* The int64 volume: whole units, as OpenD cuts it; the fraction is in hpVolume only. */
static inline uint64_t ff_opend_whole_volume(double volume) {
    return volume >= 0.0 && volume < 9e18 ? (uint64_t)volume : 0;
}

/* Length of a row without its tag and its own length; a `push_data_type` of 0 is left out.
 * Changes together with ff_opend_put_row. */
static inline size_t ff_opend_row_len(const ff_opend_out_tick *tick, int32_t push_data_type) {
    return 2 + 23 + 1 + ff_opend_varint_len((uint64_t)tick->sequence) + 1 +
           ff_opend_varint_len((uint64_t)(int64_t)tick->direction) + 9 + 1 +
           ff_opend_varint_len(ff_opend_whole_volume(tick->volume)) + 9 + 9 + 2 + 2 +
           (push_data_type ? 1 + ff_opend_varint_len((uint64_t)(int64_t)push_data_type) : 0) +
           9 + 9;
}

static inline size_t ff_opend_put_row(uint8_t *out, const ff_opend_out_tick *tick,
                                      double recv_time, int32_t push_data_type) {
    int64_t seconds = tick->time_ns / 1000000000, nanoseconds = tick->time_ns % 1000000000;
    size_t n = ff_opend_put_tagged(out, 0x0a, 23);
    ff_opend_put_time(out + n, tick->time_ns / 1000000 + (int64_t)tick->utc_offset_s * 1000);
    n += 23;
    n += ff_opend_put_tagged(out + n, 0x10, (uint64_t)tick->sequence);
    n += ff_opend_put_tagged(out + n, 0x18, (uint64_t)(int64_t)tick->direction);
    n += ff_opend_put_double(out + n, 0x21, tick->price);
    n += ff_opend_put_tagged(out + n, 0x28, ff_opend_whole_volume(tick->volume));
    n += ff_opend_put_double(out + n, 0x31, tick->price * tick->volume);
    n += ff_opend_put_double(out + n, 0x39, recv_time);
    n += ff_opend_put_tagged(out + n, 0x40, 1);   /* type: automatch */
    n += ff_opend_put_tagged(out + n, 0x48, ' '); /* typeSign: no condition */
    if (push_data_type) {
        n += ff_opend_put_tagged(out + n, 0x50, (uint64_t)(int64_t)push_data_type);
    }
    n += ff_opend_put_double(out + n, 0x59, (double)seconds + (double)nanoseconds / 1e9);
    n += ff_opend_put_double(out + n, 0x61, tick->volume);
    return n;
}

/* Writes one whole packet, header and body, with `count` rows of one security: a push, or with
 * a `push_data_type` of 0 a reply. Returns its length, or 0 (and nothing written) when it does
 * not fit in `capacity` bytes. */
static inline size_t ff_opend_encode_ticks(uint8_t *out, size_t capacity, uint32_t serial,
                                           const ff_opend_out_security *security,
                                           const ff_opend_out_tick *ticks, size_t count,
                                           double recv_time, int32_t push_data_type) {
    size_t s2c_len = (size_t)security->security_len + security->name_len;
    for (size_t i = 0; i < count; i++) {
        size_t row_len = ff_opend_row_len(&ticks[i], push_data_type);
        s2c_len += 1 + ff_opend_varint_len(row_len) + row_len;
    }
    size_t verdict_len = push_data_type ? 2 : 6; /* a reply: an empty text and no error */
    size_t body_len = verdict_len + 1 + ff_opend_varint_len(s2c_len) + s2c_len;
    if (body_len > UINT32_MAX || capacity < FF_OPEND_ENCODE_HEADER ||
        body_len > capacity - FF_OPEND_ENCODE_HEADER) {
        return 0;
    }

    uint8_t *body = out + FF_OPEND_ENCODE_HEADER;
    memcpy(body, "\x08\0\x12\0\x18\0", verdict_len);
    size_t n = verdict_len + ff_opend_put_tagged(body + verdict_len, 0x22, s2c_len);
    memcpy(body + n, security->security, security->security_len);
    n += security->security_len;
    for (size_t i = 0; i < count; i++) {
        n += ff_opend_put_tagged(body + n, 0x12, ff_opend_row_len(&ticks[i], push_data_type));
        n += ff_opend_put_row(body + n, &ticks[i], recv_time, push_data_type);
    }
    memcpy(body + n, security->name, security->name_len);

    memset(out, 0, FF_OPEND_ENCODE_HEADER);
    out[0] = 'F';
    out[1] = 'T';
    ff_opend_put_le32(out + 2, push_data_type ? FF_OPEND_ENCODE_UPDATE_TICKER
                                              : FF_OPEND_ENCODE_GET_TICKER);
    ff_opend_put_le32(out + 8, serial);
    ff_opend_put_le32(out + 12, (uint32_t)body_len);
    ff_sha1(body, body_len, out + 16);
    return FF_OPEND_ENCODE_HEADER + body_len;
}

#endif
