#ifndef FASTFEED_JOURNAL_H
#define FASTFEED_JOURNAL_H

/* What was added to a symbol table, in the order in which it was, for other processes: who
 * adds the same to an empty table of his own has the same table, with the same ids. One
 * writer, any number of readers.
 *
 * The file: a page of ff_journal_header, then the entries. Entries are written before they are
 * counted, and never change. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "fastfeed/region.h"

enum { FF_SYMBOL_MAX_BYTES = 80 }; /* longest key and longest canonical name */

typedef struct ff_journal_header {
    uint64_t entry_size;
    uint64_t most; /* entries */
    _Atomic uint64_t count;
} ff_journal_header;

typedef struct ff_journal_entry {
    uint32_t space; /* 0: a canonical name, which gets the next id */
    uint32_t id;
    uint32_t length;
    uint32_t _reserved;
    uint8_t key[FF_SYMBOL_MAX_BYTES];
} ff_journal_entry;

typedef struct ff_journal {
    ff_region region;
    ff_journal_header *header;
    ff_journal_entry *entries;
    uint64_t most;
    uint64_t ready; /* entries that there is memory for */
} ff_journal;

/* Make an empty journal in the empty file fd, for at most `most` entries; fd may be closed
 * afterwards. Returns 0, or -1 with errno set. */
int ff_journal_map(ff_journal *journal, int fd, uint64_t most);

/* Map the journal in the file fd for reading. */
int ff_journal_attach(ff_journal *journal, int fd, uint64_t most);

/* Unmap. Safe on a zeroed journal. */
void ff_journal_close(ff_journal *journal);

/* Have memory for one more entry, so that ff_journal_add() cannot fail. Returns 0 or
 * -FF_ENOMEM. */
int ff_journal_room(ff_journal *journal);

/* Add an entry that there is room for. length: at most FF_SYMBOL_MAX_BYTES. */
void ff_journal_add(ff_journal *journal, uint32_t space, uint32_t id, const uint8_t *key,
                    size_t length);

/* How many entries there are. Acquire: pairs with the release in ff_journal_add(). */
static inline uint64_t ff_journal_count(const ff_journal *journal) {
    return atomic_load_explicit(&journal->header->count, memory_order_acquire);
}

#endif
