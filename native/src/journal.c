#include "fastfeed/journal.h"

#include <errno.h>
#include <string.h>

#include "fastfeed/status.h"

enum { FIRST_ENTRIES = 128 };

static size_t bytes_of(uint64_t most) {
    if (most == 0 || most > UINT32_MAX)
        return 0;
    return ff_whole_pages(sizeof(ff_journal_header)) +
           ff_whole_pages((size_t)most * sizeof(ff_journal_entry));
}

static void set_up(ff_journal *journal, uint64_t most) {
    size_t header = ff_whole_pages(sizeof(ff_journal_header));
    journal->header = (ff_journal_header *)(void *)journal->region.base;
    journal->entries = (ff_journal_entry *)(void *)(journal->region.base + header);
    journal->most = most;
}

int ff_journal_map(ff_journal *journal, int fd, uint64_t most) {
    size_t bytes = bytes_of(most);
    memset(journal, 0, sizeof *journal);
    if (bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    if (ff_region_map(&journal->region, fd, bytes) < 0)
        return -1;
    if (ff_region_take(&journal->region, 0, sizeof(ff_journal_header)) < 0) {
        ff_journal_close(journal);
        errno = ENOMEM;
        return -1;
    }
    set_up(journal, most);
    if (journal->header->entry_size != 0) { /* its entries are not in the table of this one */
        ff_journal_close(journal);
        errno = EEXIST;
        return -1;
    }
    journal->header->entry_size = sizeof(ff_journal_entry);
    journal->header->most = most;
    return 0;
}

int ff_journal_attach(ff_journal *journal, int fd, uint64_t most) {
    size_t bytes = bytes_of(most);
    memset(journal, 0, sizeof *journal);
    if (bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    if (ff_region_attach(&journal->region, fd, bytes) < 0)
        return -1;
    set_up(journal, most);
    if (journal->header->entry_size != sizeof(ff_journal_entry) ||
        journal->header->most != most) {
        ff_journal_close(journal);
        errno = EINVAL;
        return -1;
    }
    return 0;
}

void ff_journal_close(ff_journal *journal) {
    ff_region_close(&journal->region);
    memset(journal, 0, sizeof *journal);
}

int ff_journal_room(ff_journal *journal) {
    uint64_t count = ff_journal_count(journal);
    if (count < journal->ready)
        return 0;
    uint64_t ready = journal->ready != 0 ? journal->ready * 2 : FIRST_ENTRIES;
    if (ready > journal->most)
        ready = journal->most;
    if (count >= ready)
        return -FF_ENOMEM;
    size_t at = (size_t)((uint8_t *)journal->entries - journal->region.base);
    int rc = ff_region_take(&journal->region, at, (size_t)ready * sizeof(ff_journal_entry));
    if (rc == 0)
        journal->ready = ready;
    return rc;
}

void ff_journal_add(ff_journal *journal, uint32_t space, uint32_t id, const uint8_t *key,
                    size_t length) {
    uint64_t count = ff_journal_count(journal);
    ff_journal_entry *entry = &journal->entries[count];
    entry->space = space;
    entry->id = id;
    entry->length = (uint32_t)length;
    memcpy(entry->key, key, length);
    atomic_store_explicit(&journal->header->count, count + 1, memory_order_release);
}
