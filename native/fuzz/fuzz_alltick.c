/* A message of AllTick: the fast way and the way for any shape give the same rows and
 * counters, and what they give is in its range. The first byte of an input says how the
 * decoder is set. */

#include "alltick_messages.h"
#include "fastfeed/json.h"
#include "fastfeed/utf8.h"

#include "fuzz.h"

/* Bits of the first byte; below them the depth, less one. */
enum { STRANGE = 4, STREAM_BOOKS = 8 };

static bool is_size(double v) {
    return isnan(v) || (v >= 0 && v < 1e18);
}

static void check_tick(const alltick_target *t, const ff_tick *row) {
    CHECK(fabs(row->price) < 1e12 && is_size(row->volume) && is_size(row->turnover));
    CHECK(row->seq >= -1 && row->time_ns >= 0);
    CHECK(row->time_ns - FF_ALLTICK_DAY_NS <= RECV_NS && row->recv_ns == RECV_NS);
    CHECK(row->side >= -1 && row->side <= 1 && (row->flags & ~FF_FLAG_STALE) == 0);
    CHECK(row->symbol < t->symbols.count);
}

static void check_side(const double *price, const double *volume, size_t levels,
                       size_t depth) {
    CHECK(levels <= depth);
    for (size_t i = 0; i < depth; i++) {
        CHECK(i < levels ? fabs(price[i]) < 1e12 && price[i] != 0 : isnan(price[i]));
        CHECK(i < levels ? is_size(volume[i]) : isnan(volume[i]));
    }
}

static void check_book(const alltick_target *t, ff_book *row) {
    const size_t depth = t->d.depth;
    CHECK(row->seq >= -1 && row->time_ns >= 0 && row->symbol < t->symbols.count);
    check_side(ff_book_bid_price(row), ff_book_bid_volume(row, depth), row->bids, depth);
    check_side(ff_book_ask_price(row, depth), ff_book_ask_volume(row, depth), row->asks,
               depth);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    static alltick_target fast, any;
    if (length == 0)
        return 0;
    const unsigned options = data[0];
    alltick_open(&fast, options % 4 + 1);
    alltick_open(&any, options % 4 + 1);
    alltick_learn(&fast);
    alltick_learn(&any);
    fast.d.learn = any.d.learn = (options & STRANGE) == 0;
    data++;
    length--;
    const int got = alltick_both(&fast, &any, data, length);
    for (size_t i = 0; i < fast.rows.count; i++) {
        if (got == FF_ALLTICK_TICKS)
            check_tick(&fast, &fast.ticks[i]);
        else
            check_book(&fast, alltick_book(&fast, i));
    }
    if (got > 0) { /* all of it is JSON */
        int why;
        size_t skip = length >= 3 && data[0] == 0xef ? 3 : 0;
        CHECK(ff_utf8_valid(data, length));
        const uint8_t *end = ff_json_skip(data + skip, data + length, FF_JSON_MAX_DEPTH, &why);
        CHECK(end != NULL && ff_json_blanks(end, data + length) == data + length);
    } else {
        CHECK(got == FF_ALLTICK_IGNORED || (got < 0 && got > -FF_REASONS));
    }
    const ff_stream stream = options & STREAM_BOOKS ? FF_STREAM_BOOKS : FF_STREAM_TICKS;
    void *rows = stream == FF_STREAM_BOOKS ? (void *)any.books : (void *)any.ticks;
    const int n = ff_alltick_decode_reply(&any.d, stream, data, length, rows, ALLTICK_ROWS);
    CHECK(n <= ALLTICK_ROWS && n > -FF_REASONS);
    for (int i = 0; i < n; i++) {
        if (stream == FF_STREAM_BOOKS)
            check_book(&any, alltick_book(&any, (size_t)i));
        else
            check_tick(&any, &any.ticks[i]);
    }
    ff_symbols_free(&fast.symbols);
    ff_symbols_free(&any.symbols);
    return 0;
}

bool fuzz_seed(size_t number, bytes *seed) {
    if (number >= ALLTICK_MESSAGES)
        return false;
    const char *message = alltick_messages[number];
    put_u8(seed, (unsigned)number * 7);
    put(seed, message, strlen(message));
    return true;
}
