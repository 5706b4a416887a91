#ifndef FASTFEED_LONGPORT_VALUES_H
#define FASTFEED_LONGPORT_VALUES_H

/* What the decoder of LongPort's pushes and that of the responses have in common: symbols,
 * what values mean, messages of any shape. */

#include "fastfeed/decimal.h"
#include "fastfeed/longport_decoder.h"
#include "fastfeed/market_time.h"
#include "fastfeed/steps.h"

#define BIT(n) (1u << (n))
#define SECOND_NS ((int64_t)1000000000)
#define DAY_S ((int64_t)86400)

/* The sides of books and queues, in the order of their fields. */
enum { ASK, BID, SIDES };

/* ---- symbols */

/* The region of a canonical name; NULL: it is none. */
static inline const uint8_t *region_of(const uint8_t *name, size_t length) {
    const uint8_t *dot = memrchr(name, '.', length);
    return dot == NULL || dot == name || dot + 1 == name + length ? NULL : dot + 1;
}

static inline bool is_region(const uint8_t *region, const uint8_t *end, const char *two) {
    return end - region == 2 && memcmp(region, two, 2) == 0;
}

/* Give a symbol, unknown until now, its id; or a negative reason. */
FF_NOINLINE static int64_t intern(ff_symbols *symbols, ff_text name) {
    if (name.data == NULL || name.length == 0 || name.length > FF_SYMBOL_MAX_BYTES ||
        !ff_code_is_printable(name.data, name.length))
        return -FF_ESYMBOL;
    const uint8_t *end = name.data + name.length, *region = region_of(name.data, name.length);
    if (region == NULL)
        return -FF_ESYMBOL;
    size_t skip = 0;
    if (is_region(region, end, "HK"))
        skip = ff_code_zeros(name.data, (size_t)(region - 1 - name.data));
    int64_t id = ff_symbols_intern(symbols, name.data + skip, name.length - skip);
    if (id < 0)
        return id;
    int rc =
        ff_symbols_alias(symbols, FF_LONGPORT_SPACE, name.data, name.length, (uint32_t)id);
    return rc < 0 ? rc : id;
}

static inline int64_t find(const ff_symbols *symbols, ff_text name, const uint8_t *end) {
    return ff_symbols_find(symbols, FF_LONGPORT_SPACE, name.data, name.length, end);
}

static inline int64_t find_or_intern(ff_symbols *symbols, ff_text name, const uint8_t *end) {
    const int64_t id = find(symbols, name, end);
    return FF_LIKELY(id >= 0) ? id : intern(symbols, name);
}

/* The zone of the symbol's market. */
static inline ff_zone zone_of(const ff_symbols *symbols, uint32_t symbol) {
    size_t length;
    const uint8_t *name = ff_symbols_name(symbols, symbol, &length);
    const uint8_t *region = region_of(name, length);
    return region != NULL && is_region(region, name + length, "US") ? FF_ZONE_NEW_YORK
                                                                    : FF_ZONE_HONG_KONG;
}

/* ---- what values mean */

/* Returns 0, -FF_EMISSING or -FF_ENOTFINITE, and then *v is as it was. `end` bounds what may
 * be read. */
static inline int decimal(ff_text text, const uint8_t *end, double *v) {
    double value;
    if (FF_UNLIKELY(text.length == 0 ||
                    !ff_decimal_parse(text.data, text.length, end, &value)))
        return -FF_EMISSING;
    if (FF_UNLIKELY(!ff_is_finite(value)))
        return -FF_ENOTFINITE;
    *v = value;
    return 0;
}

static inline double decimal_or_nan(ff_text text, const uint8_t *end) {
    double v = (double)NAN;
    decimal(text, end, &v);
    return v;
}

/* Epoch seconds in ns; 0 when they are none. */
static inline int64_t time_of(uint64_t seconds) {
    return FF_LIKELY(seconds < 9000000000u) ? (int64_t)seconds * SECOND_NS : 0;
}

/* A sequence as the clock that it seems to be: ns since 1970, not far from the time of the
 * update; else 0. */
static inline int64_t gateway_of(int64_t sequence, int64_t time_ns) {
    const int64_t first = 1400000000 * SECOND_NS, last = 2100000000 * SECOND_NS;
    const uint64_t day = (uint64_t)(DAY_S * SECOND_NS);
    if (FF_UNLIKELY(sequence < first || sequence >= last))
        return 0;
    if (FF_LIKELY((uint64_t)sequence - (uint64_t)time_ns + day <= 2 * day))
        return sequence;
    return time_ns == 0 ? sequence : 0;
}

static inline int64_t seq_of(int64_t sequence) {
    return sequence != 0 ? sequence : -1;
}

static inline uint8_t session_of(uint64_t v) {
    const uint32_t session = (uint32_t)v;
    return session <= 3 ? (uint8_t)(session + FF_SESSION_REGULAR) : FF_SESSION_UNKNOWN;
}

static inline bool is_suspended(uint8_t status) {
    enum { HALTED = 1, FUSE = 3, SPLIT_STOCK_HALTS = 7, SUSPEND_TRADE = 10 };
    return status < 16 && (BIT(status) & (BIT(HALTED) | BIT(FUSE) | BIT(SPLIT_STOCK_HALTS) |
                                          BIT(SUSPEND_TRADE))) != 0;
}

/* ---- any shape */

/* Begin anew with a message; only what is marked as seen is read from it. */
static inline int gather(ff_message *message, const ff_shape *shape, ff_text text) {
    message->fields.seen = 0;
    for (size_t i = 0; i < FF_CANONICAL_MESSAGES; i++)
        message->messages[i].seen = 0;
    return ff_message_merge(message, shape, text.data, text.data + text.length);
}

static inline ff_text text_of(const ff_fields *fields, unsigned n) {
    return ff_fields_has(fields, n) ? ff_fields_text(fields, n) : (ff_text){NULL, 0};
}

static inline uint64_t number_of(const ff_fields *fields, unsigned n) {
    return ff_fields_has(fields, n) ? fields->values[n].number : 0;
}

/* The embedded messages of a body that gather() has walked, one after the other. Returns the
 * field number, 0: no more. */
static inline uint32_t next_message(const uint8_t **p, const uint8_t *end, ff_text *text) {
    uint32_t tag = 0;
    int why;
    while (*p < end) {
        const uint8_t *value = ff_wire_tag(*p, end, &tag, &why);
        *p = ff_wire_skip(value, end, tag, &why);
        if ((tag & 7) == FF_WIRE_BYTES) {
            text->length = 0;
            text->data = ff_wire_length(value, *p, &text->length, &why);
            return tag >> 3;
        }
    }
    return 0;
}

/* A body but for its embedded messages: the symbol, and of pushes the sequence. */
static const ff_shape head_shape = {.numbers = BIT(2), .texts = BIT(1)};

/* What rows had that is counted when the body is good. */
typedef struct tally {
    uint64_t missing, not_finite, untimed, cut, odd;
} tally;

static inline void count(ff_longport_decoder *d, const tally *t) {
    d->dropped[FF_EMISSING] += t->missing;
    d->dropped[FF_ENOTFINITE] += t->not_finite;
    d->dropped[FF_ETIME] += t->untimed;
    d->dropped[FF_EVALUE] += t->odd;
    d->cut_levels += t->cut;
}

/* Whether a row can be made: it has a price. */
static inline bool has_price(ff_text text, const uint8_t *end, double *price, tally *t) {
    const int rc = decimal(text, end, price);
    if (FF_LIKELY(rc == 0))
        return true;
    if (rc == -FF_EMISSING)
        t->missing++;
    else
        t->not_finite++;
    return false;
}

#endif
