#include "fastfeed/latest.h"

#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { ROW = 64, WORDS = ROW / 8, MANY = 5000 };

static void fill(uint64_t row[WORDS], uint64_t number) {
    for (size_t i = 0; i < WORDS; i++)
        row[i] = number;
}

static void test_nothing_there(void) {
    ff_latest table;
    uint64_t row[WORDS];
    CHECK_EQ(ff_latest_create(&table, ROW, MANY), 0);
    CHECK_EQ(ff_latest_copy(&table, 0, row), 0);
    CHECK_EQ(ff_latest_copy(&table, SIZE_MAX, row), 0);
    CHECK_EQ(ff_latest_used(&table), 0);
    CHECK_EQ(ff_latest_put(&table, MANY, row), -FF_ENOMEM);
    ff_latest_close(&table);
    ff_latest_close(&table);
}

static void test_geometry(void) {
    ff_latest table;
    CHECK_EQ(ff_latest_create(&table, 0, MANY), -1);
    CHECK_EQ(ff_latest_create(&table, 65, MANY), -1);
    CHECK_EQ(ff_latest_create(&table, ROW, 0), -1);
}

/* Against an array of the numbers that were put last, in the writer and in a reader's mapping.
 */
static void test_places(void) {
    enum { PUTS = 20000 };
    static uint64_t want[MANY];
    uint64_t random = 7, row[WORDS];
    ff_latest table, reader;
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK_EQ(ff_latest_map(&table, fd, ROW, MANY), 0);
    CHECK_EQ(ff_latest_attach(&reader, fd, 2 * ROW, MANY), -1);
    CHECK_EQ(ff_latest_attach(&reader, fd, ROW, MANY / 2), -1);
    CHECK_EQ(ff_latest_attach(&reader, fd, ROW, MANY), 0);
    close(fd);
    uint32_t used = 0;
    for (uint64_t i = 1; i <= PUTS; i++) {
        size_t place = next_random(&random) % MANY;
        used += want[place] == 0;
        want[place] = i;
        fill(row, i);
        CHECK_EQ(ff_latest_put(&table, place, row), 0);
    }
    CHECK_EQ(ff_latest_used(&reader), used);
    for (size_t place = 0; place < MANY; place++) {
        for (int side = 0; side < 2; side++) {
            memset(row, 0, ROW);
            CHECK_EQ(ff_latest_copy(side ? &reader : &table, place, row), want[place] != 0);
            for (size_t i = 0; i < WORDS; i++)
                CHECK_EQ(row[i], want[place]);
        }
    }
    ff_latest_close(&reader);
    ff_latest_close(&table);
}

/* A row whose writing was broken off is not seen. */
static void test_unfinished(void) {
    ff_latest table;
    uint64_t row[WORDS], version;
    CHECK_EQ(ff_latest_create(&table, ROW, MANY), 0);
    table.step = 1;
    CHECK_EQ(ff_latest_grow(&table, 3), 0);
    CHECK_EQ(ff_latest_copy(&table, 3, row), 0);
    for (uint64_t i = 1; i < 5; i++) {
        fill(row, i);
        CHECK_EQ(ff_latest_put(&table, 3, row), 0);
        memset(ff_latest_begin(&table, ff_latest_slot_of(&table, 3), &version), 255, ROW / 2);
        CHECK_EQ(version, i + 1);
        CHECK_EQ(ff_latest_copy(&table, 3, row), 1);
        CHECK(row[0] == i && row[WORDS - 1] == i);
    }
    ff_latest_close(&table);
}

/* One thread alone uses one row of the two, until another one comes. */
static void test_one_thread(void) {
    ff_latest table;
    uint64_t row[WORDS], version;
    CHECK_EQ(ff_latest_create(&table, ROW, MANY), 0);
    for (uint64_t i = 1; i < 5; i++) {
        table.step = i < 3 ? 2 : 1;
        fill(row, i);
        CHECK_EQ(ff_latest_put(&table, 3, row), 0);
        CHECK_EQ(ff_latest_copy(&table, 3, row), 1);
        CHECK(row[0] == i && row[WORDS - 1] == i);
    }
    ff_latest_begin(&table, ff_latest_slot_of(&table, 3), &version);
    CHECK_EQ(version, 2 + 2 + 1 + 1 + 1);
    ff_latest_close(&table);
}

int main(void) {
    test_nothing_there();
    test_geometry();
    test_places();
    test_unfinished();
    test_one_thread();
    return 0;
}
