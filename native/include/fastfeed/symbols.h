#ifndef FASTFEED_SYMBOLS_H
#define FASTFEED_SYMBOLS_H

/* The symbol table: names <-> dense ids, and the vendors' own spellings -> ids.
 *
 * An id is given to a canonical name once and for all. Any number of keys lead to it; a key is
 * a few bytes as they stand in a packet, together with a *space*, a number that says whose
 * spelling it is. Space 0 holds the canonical names themselves.
 *
 * The hash table has slots of 16 bytes with the key inside when it is 8 bytes or shorter,
 * which most are: a known symbol costs one cache line, and a thousand of them fit into the
 * first-level cache. Longer keys keep a 64-bit hash in the slot and their bytes in the arena.
 * Open addressing, sparse while it is small.
 *
 * One thread uses a table at a time. Memory is allocated only when a key is new. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fastfeed/journal.h"
#include "fastfeed/status.h"
#include "fastfeed/wire.h"

typedef struct ff_symbol_slot {
    uint64_t key;  /* the bytes, zero-padded, or the hash of a longer key */
    uint32_t id;   /* of the symbol */
    uint32_t meta; /* space << 8 | length; 0 = free */
} ff_symbol_slot;

typedef struct ff_symbol_name {
    uint32_t at; /* in the arena */
    uint32_t length;
} ff_symbol_name;

typedef struct ff_symbols {
    ff_symbol_slot *slots;
    uint32_t *long_keys; /* for each slot: where a longer key lies in the arena */
    unsigned shift;      /* 64 - log2(number of slots) */
    uint32_t used;       /* slots */
    uint32_t max_used;

    ff_symbol_name *names; /* by id */
    uint32_t count;        /* ids given */
    uint32_t max_count;
    uint32_t names_size;

    uint8_t *arena;
    uint32_t arena_used;
    uint32_t arena_size;

    ff_journal *journal; /* gets everything that is added; NULL: nobody follows */
} ff_symbols;

/* Make an empty table for at most max_count symbols (up to 2^24). Returns 0 or -FF_ENOMEM. */
int ff_symbols_init(ff_symbols *table, uint32_t max_count);
void ff_symbols_free(ff_symbols *table);

/* The id of a canonical name, given to it now if it is new. -FF_ESYMBOL: 0 or more than
 * FF_SYMBOL_MAX_BYTES bytes; -FF_ESYMBOLS: the table is full; -FF_ENOMEM. */
int64_t ff_symbols_intern(ff_symbols *table, const uint8_t *name, size_t length);

/* Let a key of a space lead to an id from now on; a key that leads somewhere already stays as
 * it is. Returns 0 or a negative reason as above. */
int ff_symbols_alias(ff_symbols *table, uint32_t space, const uint8_t *key, size_t length,
                     uint32_t id);

/* Add what is new in the journal of another table, from entry *next on, which moves on.
 * The table must have got all its names so. Returns 0, or a negative reason: no memory, or an
 * entry that is none, or has another id here. */
int ff_symbols_follow(ff_symbols *table, const ff_journal *journal, uint64_t *next);

/* The canonical name of an id below `count`; not terminated, valid until the next new symbol.
 */
static inline const uint8_t *ff_symbols_name(const ff_symbols *table, uint32_t id,
                                             size_t *length) {
    *length = table->names[id].length;
    return table->arena + table->names[id].at;
}

static inline uint64_t ff_symbol_hash_long(const uint8_t *key, size_t length) {
    uint64_t h = length;
    while (length > 8) {
        h = (h ^ ff_load_u64(key)) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
        key += 8;
        length -= 8;
    }
    uint64_t tail = 0;
    memcpy(&tail, key, length);
    h = (h ^ tail) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static inline size_t ff_symbol_slot_of(const ff_symbols *table, uint64_t key, uint32_t meta) {
    return (size_t)((key + meta * (uint64_t)0xd6e8feb86659fd93u) * 0x9e3779b97f4a7c15u >>
                    table->shift);
}

/* Whether a text is printable ASCII without blanks, as codes are. */
static inline bool ff_code_is_printable(const uint8_t *code, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (code[i] < '!' || code[i] > '~')
            return false;
    }
    return true;
}

/* The zeros in front of a code of digits alone, without the last digit; 0 of other codes. Hong
 * Kong's codes are written without them. */
static inline size_t ff_code_zeros(const uint8_t *code, size_t length) {
    size_t zeros = 0;
    for (size_t i = 0; i < length; i++) {
        if (code[i] < '0' || code[i] > '9')
            return 0;
        zeros += zeros == i && i + 1 < length && code[i] == '0';
    }
    return zeros;
}

/* The id behind a key, or -1. `end` bounds what may be read: when 8 bytes from `key` on lie
 * before it, a short key is loaded at once. */
static inline int64_t ff_symbols_find(const ff_symbols *table, uint32_t space,
                                      const uint8_t *key, size_t length, const uint8_t *end) {
    if (FF_UNLIKELY(length - 1 >= FF_SYMBOL_MAX_BYTES)) /* also 0 */
        return -1;
    uint32_t meta = space << 8 | (uint32_t)length;
    uint64_t word;
    if (FF_LIKELY(length <= 8)) {
        if (FF_LIKELY(end - key >= 8)) {
            word = ff_load_u64(key) & (~(uint64_t)0 >> (64 - 8 * length));
        } else {
            word = 0;
            memcpy(&word, key, length);
        }
    } else {
        word = ff_symbol_hash_long(key, length);
    }
    size_t mask = ((size_t)1 << (64 - table->shift)) - 1;
    for (size_t i = ff_symbol_slot_of(table, word, meta);; i = (i + 1) & mask) {
        const ff_symbol_slot *slot = &table->slots[i];
        if (FF_LIKELY(slot->key == word && slot->meta == meta)) {
            if (FF_LIKELY(length <= 8) ||
                memcmp(table->arena + table->long_keys[i], key, length) == 0)
                return slot->id;
        }
        if (slot->meta == 0)
            return -1;
    }
}

#endif
