#ifndef FASTFEED_OPEND_DECODER_H
#define FASTFEED_OPEND_DECODER_H

/* What the decoders of OpenD's messages have in common. Each message has a header of its own
 * (opend_ticks.h, opend_quotes.h, ...). */

#include <math.h>

#include "fastfeed/market_time.h"
#include "fastfeed/opend_names.h"
#include "fastfeed/rows.h"
#include "fastfeed/symbols.h"
#include "fastfeed/wire.h"

/* What the decoder keeps between bodies. The caller sets symbols, recv_ns and flags. */
typedef struct ff_opend_decoder {
    ff_symbols *symbols;
    int64_t recv_ns;    /* goes into every row */
    uint8_t flags;      /* FF_FLAG_* for the next row, cleared by it */
    ff_date_cache date; /* of the time texts */
    uint64_t
        dropped[FF_REASONS]; /* rows left out, by reason, and rows whose time was unreadable */
} ff_opend_decoder;

/* The market's zone for time texts. Crypto (CC) was seen in New York time; a market whose zone
 * nobody has established is read as UTC. */
static inline ff_zone ff_opend_zone(uint64_t market) {
    switch (market) {
    case 11:  /* US */
    case 71:  /* CA */
    case 91:  /* CC */
    case 101: /* EC */
        return FF_ZONE_NEW_YORK;
    case 1:  /* HK */
    case 2:  /* HK futures, obsolete */
    case 21: /* SH */
    case 22: /* SZ */
    case 31: /* SG */
    case 61: /* MY */
        return FF_ZONE_HONG_KONG;
    case 41: /* JP */
        return FF_ZONE_TOKYO;
    case 51: /* AU */
        return FF_ZONE_SYDNEY;
    default:
        return FF_ZONE_UTC;
    }
}

/* Epoch seconds as a double to ns; 0 when it is none. A double of today resolves a quarter of
 * a microsecond, so it is rounded to whole ones. */
static inline int64_t ff_seconds_to_ns(double seconds) {
    if (FF_LIKELY(seconds > 0 && seconds < 9e9))
        return (int64_t)(seconds * 1e6 + 0.5) * 1000;
    return 0;
}

static inline bool ff_is_finite(double v) {
    return v - v == 0;
}

/* The id of a security, given to it now if it is new; or a negative reason. */
static inline int64_t ff_opend_symbol(ff_symbols *symbols, uint64_t market,
                                      const uint8_t *code, size_t length, const uint8_t *end) {
    if (FF_LIKELY(market <= FF_OPEND_MAX_MARKET && length <= FF_OPEND_MAX_CODE)) {
        int64_t id =
            ff_symbols_find(symbols, ff_opend_key_space((uint32_t)market), code, length, end);
        if (FF_LIKELY(id >= 0))
            return id;
    }
    return ff_opend_intern(symbols, market, code, length);
}

#endif
