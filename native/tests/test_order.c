#include "fastfeed/order.h"

#include "check.h"

static ff_tick tick(int64_t seq) {
    const uint64_t time_ns = (uint64_t)seq * 1000; /* of the largest one it wraps */
    return (ff_tick){.seq = seq, .time_ns = (int64_t)time_ns, .symbol = 3};
}

static void test_each_once(void) {
    ff_order order;
    ff_order_init(&order);
    ff_order_symbol *symbol = ff_order_of(&order, 3);
    CHECK(symbol != NULL);
    CHECK_EQ(symbol->last, -1);
    ff_tick rows[] = {tick(5), tick(5), tick(4), tick(7), tick(-1), tick(6), tick(8)};
    CHECK_EQ(ff_order_take(&order, symbol, rows, 7), 4);
    CHECK_EQ(rows[0].seq, 5);
    CHECK_EQ(rows[1].seq, 7);
    CHECK_EQ(rows[2].seq,
             -1); /* without a sequence: passes, and leaves the last one as it is */
    CHECK_EQ(rows[3].seq, 8);
    CHECK_EQ(order.duplicates, 3);
    CHECK_EQ(symbol->last, 8);
    CHECK_EQ(symbol->time_ns, 8000);
    ff_tick again[] = {tick(8), tick(2)};
    CHECK_EQ(ff_order_take(&order, symbol, again, 2), 0);
    CHECK_EQ(ff_order_take(&order, symbol, again, 0), 0);
    CHECK_EQ(order.duplicates, 5);
    ff_order_free(&order);
}

static void test_the_gap_is_told_once_by_a_row_that_stays(void) {
    ff_order order;
    ff_order_init(&order);
    ff_order_symbol *symbol = ff_order_of(&order, 3);
    symbol->last = 10;
    symbol->gap = true;
    ff_tick rows[] = {tick(9), tick(11), tick(12)};
    CHECK_EQ(ff_order_take(&order, symbol, rows, 3), 2);
    CHECK_EQ(rows[0].flags, FF_FLAG_GAP);
    CHECK_EQ(rows[1].flags, 0);
    CHECK(!symbol->gap);
    ff_order_free(&order);
}

static void test_sequences_that_begin_anew_are_a_gap(void) {
    ff_order order;
    ff_order_init(&order);
    ff_order_symbol *symbol = ff_order_of(&order, 3);
    const int64_t time_ns = INT64_C(1700000000000000000);
    ff_tick rows[] = {tick(INT64_MAX), tick(1), tick(2), tick(3), tick(3)};
    rows[0].time_ns = time_ns;
    rows[1].time_ns = time_ns + FF_ORDER_ANEW_NS;
    for (size_t i = 2; i < 5; i++)
        rows[i].time_ns = time_ns + FF_ORDER_ANEW_NS + 1;
    CHECK_EQ(ff_order_take(&order, symbol, rows, 5), 3);
    CHECK_EQ(rows[1].seq, 2);
    CHECK_EQ(rows[1].flags, FF_FLAG_GAP);
    CHECK_EQ(rows[2].seq, 3);
    CHECK_EQ(rows[2].flags, 0);
    CHECK_EQ(order.duplicates, 2);
    symbol->time_ns = 0; /* nobody knows how much later */
    CHECK_EQ(ff_order_take(&order, symbol, &rows[1], 1), 0);
    ff_order_free(&order);
}

static void test_symbols_are_apart_and_keep_their_state(void) {
    ff_order order;
    ff_order_init(&order);
    for (uint32_t id = 0; id < 3000; id++) {
        ff_tick row = tick(1 + (int64_t)id);
        CHECK_EQ(ff_order_take(&order, ff_order_of(&order, id), &row, 1), 1);
    }
    CHECK(ff_order_of(&order, 1u << 20) != NULL);
    for (uint32_t id = 0; id < 3000; id++) {
        CHECK_EQ(ff_order_of(&order, id)->last, 1 + id);
        CHECK(!ff_order_of(&order, id)->held);
    }
    CHECK_EQ(ff_order_of(&order, 3000)->last, -1);
    ff_order_free(&order);
}

int main(void) {
    test_each_once();
    test_the_gap_is_told_once_by_a_row_that_stays();
    test_sequences_that_begin_anew_are_a_gap();
    test_symbols_are_apart_and_keep_their_state();
    return 0;
}
