#ifndef FASTFEED_OPEND_NAMES_H
#define FASTFEED_OPEND_NAMES_H

/* OpenD's securities (market number, bare code) as canonical symbols: "00700" of market 1 is
 * 700.HK. fastfeed/protocols/opend_codes.py does the same and the way back: the two change
 * together. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fastfeed/symbols.h"

enum {
    FF_OPEND_MAX_CODE = 64,       /* bytes of a code */
    FF_OPEND_MAX_MARKET = 0xffff, /* larger market numbers are refused */
    FF_OPEND_MARKET_HK = 1,
};

/* The region of a market number (Qot_Common.QotMarket), NULL when it has no name. */
static inline const char *ff_opend_region(uint32_t market) {
    switch (market) {
    case 1:
        return "HK";
    case 2:
        return "HK_FUTURE"; /* obsolete */
    case 11:
        return "US";
    case 21:
        return "SH";
    case 22:
        return "SZ";
    case 31:
        return "SG";
    case 41:
        return "JP";
    case 51:
        return "AU";
    case 61:
        return "MY";
    case 71:
        return "CA";
    case 81:
        return "FX";
    case 91:
        return "CC";
    case 101:
        return "EC";
    default:
        return NULL;
    }
}

/* The space of OpenD's keys in the symbol table: one for each market. */
static inline uint32_t ff_opend_key_space(uint32_t market) {
    return 0x10000 + market;
}

/* Give a security, unknown until now, its id. -FF_ESYMBOL: a code that is empty, too long or
 * not printable ASCII, or a market beyond FF_OPEND_MAX_MARKET; otherwise as
 * ff_symbols_intern(). */
static inline int64_t ff_opend_intern(ff_symbols *table, uint64_t market, const uint8_t *code,
                                      size_t length) {
    char name[FF_OPEND_MAX_CODE + 16];
    _Static_assert(sizeof name <= FF_SYMBOL_MAX_BYTES,
                   "every canonical name fits into the table");
    if (length == 0 || length > FF_OPEND_MAX_CODE || market > FF_OPEND_MAX_MARKET ||
        !ff_code_is_printable(code, length))
        return -FF_ESYMBOL;
    size_t skip = market == FF_OPEND_MARKET_HK ? ff_code_zeros(code, length) : 0;
    size_t used = length - skip;
    memcpy(name, code + skip, used);
    const char *region = ff_opend_region((uint32_t)market);
    int written = region != NULL
                      ? snprintf(name + used, sizeof name - used, ".%s", region)
                      : snprintf(name + used, sizeof name - used, ".M%u", (unsigned)market);
    int64_t id = ff_symbols_intern(table, (const uint8_t *)name, used + (size_t)written);
    if (id < 0)
        return id;
    int rc = ff_symbols_alias(table, ff_opend_key_space((uint32_t)market), code, length,
                              (uint32_t)id);
    return rc < 0 ? rc : id;
}

#endif
