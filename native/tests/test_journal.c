#include "fastfeed/journal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "fastfeed/symbols.h"

enum { MOST = 2000 };

static size_t name_of(char *text, unsigned i) {
    return (size_t)snprintf(text, FF_SYMBOL_MAX_BYTES, i % 3 ? "%u.HK" : "A-LONGER-NAME-%u.US",
                            i);
}

/* A table that follows another one's journal has the same ids, names and keys at any time. */
static void test_follow(void) {
    ff_symbols writer, follower;
    ff_journal journal, read;
    uint64_t next = 0;
    char text[FF_SYMBOL_MAX_BYTES];
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK_EQ(ff_journal_map(&journal, fd, 4 * MOST), 0);
    CHECK_EQ(ff_journal_attach(&read, fd, 4 * MOST + 1), -1);
    CHECK_EQ(ff_journal_attach(&read, fd, MOST), -1);
    CHECK_EQ(ff_journal_attach(&read, fd, 4 * MOST), 0);
    close(fd);
    CHECK_EQ(ff_symbols_init(&writer, MOST), 0);
    CHECK_EQ(ff_symbols_init(&follower, MOST), 0);
    writer.journal = &journal;
    for (unsigned i = 0; i < MOST; i++) {
        size_t length = name_of(text, i);
        CHECK_EQ(ff_symbols_intern(&writer, (uint8_t *)text, length), i);
        CHECK_EQ(ff_symbols_intern(&writer, (uint8_t *)text, length), i);
        CHECK_EQ(ff_symbols_alias(&writer, 7, (uint8_t *)&i, sizeof i, i), 0);
        CHECK_EQ(ff_symbols_alias(&writer, 7, (uint8_t *)&i, sizeof i, 0), 0);
        if (i % 97 != 0 && i != MOST - 1)
            continue;
        CHECK_EQ(ff_symbols_follow(&follower, &read, &next), 0);
        CHECK_EQ(follower.count, writer.count);
        CHECK_EQ(next, 2 * (i + 1));
    }
    CHECK_EQ(ff_symbols_intern(&writer, (const uint8_t *)"ONE TOO MANY", 12), -FF_ESYMBOLS);
    CHECK_EQ(ff_journal_count(&read), 2 * MOST);
    for (unsigned i = 0; i < MOST; i++) {
        size_t length = name_of(text, i), found;
        const uint8_t *end = (uint8_t *)text + length;
        CHECK_EQ(ff_symbols_find(&follower, 0, (uint8_t *)text, length, end), i);
        CHECK(memcmp(ff_symbols_name(&follower, i, &found), text, length) == 0);
        CHECK_EQ(found, length);
        const uint8_t *key = (const uint8_t *)&i;
        CHECK_EQ(ff_symbols_find(&follower, 7, key, sizeof i, key + sizeof i), i);
    }
    ff_symbols_free(&writer);
    ff_symbols_free(&follower);
    ff_journal_close(&read);
    ff_journal_close(&journal);
    ff_journal_close(&journal);
}

/* What cannot be an entry is an error and no access out of bounds. */
static void test_nonsense(void) {
    ff_symbols follower;
    ff_journal journal;
    uint64_t next = 0;
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK_EQ(ff_journal_map(&journal, fd, MOST), 0);
    close(fd);
    CHECK_EQ(ff_symbols_init(&follower, MOST), 0);
    CHECK_EQ(ff_journal_room(&journal), 0);
    ff_journal_add(&journal, 0, 0, (const uint8_t *)"X", 1);
    journal.entries[0].length = FF_SYMBOL_MAX_BYTES + 1;
    CHECK_EQ(ff_symbols_follow(&follower, &journal, &next), -FF_ESYMBOL);
    journal.header->count = MOST + 1;
    CHECK_EQ(ff_symbols_follow(&follower, &journal, &next), -FF_ESYMBOL);
    CHECK_EQ(next, 0);
    journal.header->count = 1;
    journal.entries[0].length = 1;
    CHECK_EQ(ff_symbols_intern(&follower, (const uint8_t *)"OWN", 3), 0); /* takes its id */
    CHECK_EQ(ff_symbols_follow(&follower, &journal, &next), -FF_ESYMBOL);
    ff_symbols_free(&follower);
    ff_journal_close(&journal);
}

/* The last entry has room, the next one not. */
static void test_full(void) {
    ff_journal journal;
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK_EQ(ff_journal_map(&journal, fd, MOST), 0);
    close(fd);
    for (unsigned i = 0; i < MOST; i++) {
        CHECK_EQ(ff_journal_room(&journal), 0);
        ff_journal_add(&journal, 0, i, (const uint8_t *)"X", 1);
    }
    CHECK_EQ(ff_journal_room(&journal), -FF_ENOMEM);
    ff_journal_close(&journal);
    CHECK_EQ(ff_journal_map(&journal, -1, MOST), -1);
    CHECK_EQ(ff_journal_map(&journal, 0, 0), -1);
}

int main(void) {
    test_follow();
    test_nonsense();
    test_full();
    return 0;
}
