#include "fastfeed/symbols.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 256, FIRST_NAMES = 128, FIRST_ARENA = 4096, SPARSE_SLOTS = 1 << 18 };

int ff_symbols_init(ff_symbols *table, uint32_t max_count) {
    memset(table, 0, sizeof *table);
    table->max_count = max_count;
    table->max_used = max_count <= UINT32_MAX / 4 ? max_count * 4 : UINT32_MAX;
    table->slots = calloc(FIRST_SLOTS, sizeof *table->slots);
    table->long_keys = calloc(FIRST_SLOTS, sizeof *table->long_keys);
    table->shift = 64 - 8;
    table->names = calloc(FIRST_NAMES, sizeof *table->names);
    table->names_size = FIRST_NAMES;
    table->arena = malloc(FIRST_ARENA);
    table->arena_size = FIRST_ARENA;
    if (!table->slots || !table->long_keys || !table->names || !table->arena) {
        ff_symbols_free(table);
        return -FF_ENOMEM;
    }
    return 0;
}

void ff_symbols_free(ff_symbols *table) {
    free(table->slots);
    free(table->long_keys);
    free(table->names);
    free(table->arena);
    memset(table, 0, sizeof *table);
}

static size_t slot_count(const ff_symbols *table) {
    return (size_t)1 << (64 - table->shift);
}

/* Room for `length` more bytes in the arena. Returns their offset, or UINT32_MAX. */
static uint32_t arena_put(ff_symbols *table, const uint8_t *bytes, size_t length) {
    if (length > UINT32_MAX / 2 - table->arena_used)
        return UINT32_MAX;
    if (table->arena_used + length > table->arena_size) {
        uint32_t size =
            table->arena_size * 2; /* length <= FF_SYMBOL_MAX_BYTES: once is enough */
        uint8_t *arena = realloc(table->arena, size);
        if (arena == NULL)
            return UINT32_MAX;
        table->arena = arena;
        table->arena_size = size;
    }
    uint32_t offset = table->arena_used;
    memcpy(table->arena + offset, bytes, length);
    table->arena_used += (uint32_t)length;
    return offset;
}

static void place(ff_symbols *table, ff_symbol_slot slot, uint32_t long_key) {
    size_t mask = slot_count(table) - 1, i = ff_symbol_slot_of(table, slot.key, slot.meta);
    while (table->slots[i].meta != 0)
        i = (i + 1) & mask;
    table->slots[i] = slot;
    table->long_keys[i] = long_key;
}

/* A probe that meets another key first costs a mispredicted branch, several times the probe:
 * up to SPARSE_SLOTS (4 MiB) memory is spent to avoid that. */
static bool is_crowded(const ff_symbols *table) {
    size_t slots = slot_count(table), used = (size_t)table->used + 1;
    return used * (slots < SPARSE_SLOTS ? 8 : 2) > slots;
}

static int grow(ff_symbols *table) {
    size_t old_count = slot_count(table);
    ff_symbol_slot *old = table->slots, *slots = calloc(old_count * 2, sizeof *slots);
    uint32_t *old_keys = table->long_keys, *keys = calloc(old_count * 2, sizeof *keys);
    if (slots == NULL || keys == NULL) {
        free(slots);
        free(keys);
        return -FF_ENOMEM;
    }
    table->slots = slots;
    table->long_keys = keys;
    table->shift--;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].meta != 0)
            place(table, old[i], old_keys[i]);
    }
    free(old);
    free(old_keys);
    return 0;
}

/* Add a key that is not there. at: where its bytes lie in the arena already, or UINT32_MAX. */
static int add_key(ff_symbols *table, uint32_t space, const uint8_t *key, size_t length,
                   uint32_t id, uint32_t at) {
    if (table->used >= table->max_used)
        return -FF_ESYMBOLS;
    if (table->journal != NULL && ff_journal_room(table->journal) < 0)
        return -FF_ENOMEM;
    if (is_crowded(table) && grow(table) < 0)
        return -FF_ENOMEM;
    ff_symbol_slot slot = {0, id, space << 8 | (uint32_t)length};
    if (length <= 8) {
        memcpy(&slot.key, key, length);
    } else {
        slot.key = ff_symbol_hash_long(key, length);
        if (at == UINT32_MAX)
            at = arena_put(table, key, length);
        if (at == UINT32_MAX)
            return -FF_ENOMEM;
    }
    place(table, slot, at);
    table->used++;
    return 0;
}

int64_t ff_symbols_intern(ff_symbols *table, const uint8_t *name, size_t length) {
    if (length == 0 || length > FF_SYMBOL_MAX_BYTES)
        return -FF_ESYMBOL;
    int64_t found = ff_symbols_find(table, 0, name, length, name + length);
    if (found >= 0)
        return found;
    if (table->count >= table->max_count || table->used >= table->max_used)
        return -FF_ESYMBOLS;
    uint32_t id = table->count;
    if (id == table->names_size) {
        ff_symbol_name *names =
            realloc(table->names, 2 * (size_t)table->names_size * sizeof *names);
        if (names == NULL)
            return -FF_ENOMEM;
        table->names = names;
        table->names_size *= 2;
    }
    uint32_t at = arena_put(table, name, length);
    if (at == UINT32_MAX)
        return -FF_ENOMEM;
    int rc = add_key(table, 0, name, length, id, at);
    if (rc < 0) {
        table->arena_used = at;
        return rc;
    }
    table->names[id] = (ff_symbol_name){at, (uint32_t)length};
    table->count++;
    if (table->journal != NULL)
        ff_journal_add(table->journal, 0, id, name, length);
    return id;
}

int ff_symbols_alias(ff_symbols *table, uint32_t space, const uint8_t *key, size_t length,
                     uint32_t id) {
    if (length == 0 || length > FF_SYMBOL_MAX_BYTES || id >= table->count || space >= 1u << 24)
        return -FF_ESYMBOL;
    if (ff_symbols_find(table, space, key, length, key + length) >= 0)
        return 0;
    int rc = add_key(table, space, key, length, id, UINT32_MAX);
    if (rc == 0 && table->journal != NULL)
        ff_journal_add(table->journal, space, id, key, length);
    return rc;
}

int ff_symbols_follow(ff_symbols *table, const ff_journal *journal, uint64_t *next) {
    const uint64_t count = ff_journal_count(journal);
    if (count > journal->most)
        return -FF_ESYMBOL;
    for (; *next < count; ++*next) {
        const ff_journal_entry *entry = &journal->entries[*next];
        if (entry->length > FF_SYMBOL_MAX_BYTES)
            return -FF_ESYMBOL;
        int64_t rc;
        if (entry->space != 0)
            rc = ff_symbols_alias(table, entry->space, entry->key, entry->length, entry->id);
        else
            rc = ff_symbols_intern(table, entry->key, entry->length);
        if (rc < 0)
            return (int)rc;
        if (entry->space == 0 && rc != entry->id) /* the table has names of its own */
            return -FF_ESYMBOL;
    }
    return 0;
}
