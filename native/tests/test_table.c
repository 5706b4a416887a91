#include "fastfeed/table.h"

#include "check.h"

enum { ROW = 64 };

static void fill(uint8_t *row, uint64_t number) {
    for (size_t i = 0; i < ROW; i += 8)
        memcpy(row + i, &number, 8);
}

static uint64_t number_of(const uint8_t *row) {
    uint64_t number;
    memcpy(&number, row, 8);
    for (size_t i = 0; i < ROW; i += 8)
        CHECK(memcmp(row + i, &number, 8) == 0);
    return number;
}

static void test_nothing_there(void) {
    ff_table table;
    ff_table_init(&table, ROW);
    CHECK(ff_table_row(&table, 0) == NULL);
    CHECK(ff_table_row(&table, SIZE_MAX) == NULL);
    ff_table_free(&table);
}

/* Against an array of the numbers that were put last. */
static void test_places(void) {
    enum { PLACES = 5000, PUTS = 20000 };
    static uint64_t want[PLACES];
    uint64_t random = 7;
    uint8_t row[ROW];
    ff_table table;
    ff_table_init(&table, ROW);
    uint32_t used = 0;
    for (uint64_t i = 1; i <= PUTS; i++) {
        size_t place = next_random(&random) % PLACES;
        used += want[place] == 0;
        want[place] = i;
        fill(row, i);
        CHECK_EQ(ff_table_put(&table, place, row), 0);
    }
    CHECK_EQ(table.used, used);
    for (size_t place = 0; place < PLACES; place++) {
        const uint8_t *kept = ff_table_row(&table, place);
        CHECK_EQ(kept == NULL, want[place] == 0);
        if (kept != NULL)
            CHECK_EQ(number_of(kept), want[place]);
    }
    CHECK(ff_table_row(&table, PLACES * 100) == NULL);
    ff_table_free(&table);
}

/* A far place costs an index, not rows. */
static void test_far_places(void) {
    uint8_t row[ROW];
    ff_table table;
    ff_table_init(&table, ROW);
    fill(row, 1);
    CHECK_EQ(ff_table_put(&table, 5u << 20, row), 0);
    CHECK_EQ(table.used, 1);
    CHECK(table.max_used < 100);
    CHECK_EQ(number_of(ff_table_row(&table, 5u << 20)), 1);
    CHECK_EQ(ff_table_grow(&table, SIZE_MAX), -FF_ENOMEM);
    CHECK_EQ(number_of(ff_table_row(&table, 5u << 20)), 1);
    ff_table_free(&table);
}

int main(void) {
    test_nothing_there();
    test_places();
    test_far_places();
    return 0;
}
