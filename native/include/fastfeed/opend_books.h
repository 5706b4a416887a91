#ifndef FASTFEED_OPEND_BOOKS_H
#define FASTFEED_OPEND_BOOKS_H

/* The decoder of Qot_UpdateOrderBook (3013) and of the replies of Qot_GetOrderBook (3012).
 * Levels beyond the depth of the row are cut and counted. A book with a level whose price is
 * missing or not finite is left out and counted: a book is complete or none. */

#include "fastfeed/opend_decoder.h"

typedef struct ff_opend_book {
    size_t depth;
    struct {
        double *price, *volume;
        int32_t *orders;
        size_t levels; /* sent */
    } sides[FF_SIDES];
    int unusable; /* the reason, 0 = none */
} ff_opend_book;

/* One level; an ff_opend_add. The orders one by one (detailList) are passed over. */
static inline int ff_opend_add_level(void *state, unsigned side, const uint8_t *p,
                                     const uint8_t *end) {
    ff_opend_book *book = state;
    uint64_t units = 0, orders = 0;
    double price = 0;
    bool has_price = ff_step_real(&p, end, 1, &price);
    bool has_units = ff_step_long_number(&p, end, 2, &units);
    ff_step_number(&p, end, 3, &orders);
    while (ff_step_message(&p, end, 4).data != NULL) {
    }
    double volume = ff_opend_volume(ff_step_real_or_nan(&p, end, 5), has_units, units);
    if (FF_UNLIKELY(p != end))
        return 0;
    if (FF_UNLIKELY(!has_price || !ff_is_finite(price)) && book->unusable == 0)
        book->unusable = has_price ? FF_ENOTFINITE : FF_EMISSING;
    size_t level = book->sides[side].levels++;
    if (FF_LIKELY(level < book->depth)) {
        book->sides[side].price[level] = price;
        book->sides[side].volume[level] = volume;
        book->sides[side].orders[level] = (int32_t)(uint32_t)orders;
    }
    return 1;
}

/* Levels without detailList; an ff_opend_run. */
static inline const uint8_t *ff_opend_run_levels(void *state, unsigned side, const uint8_t *p,
                                                 const uint8_t *end) {
    enum { OTHERS = 9 + 1 + 2 + 9 }; /* all but the bytes of the volume */
    ff_opend_book *book = state;
    double *const prices = book->sides[side].price, *const volumes = book->sides[side].volume;
    int32_t *const orders = book->sides[side].orders;
    const size_t depth = book->depth;
    const uint8_t tag = ff_opend_side_tag(side);
    size_t level = book->sides[side].levels;
    /* With so many bytes there is room for the longest one. */
    while (level < depth && end - p >= 2 + OTHERS + 8) {
        /* 0: tag, 1: length, 2: 09 price, 11: 10 volume, 12: its bytes */
        const size_t length = p[1], volume = length - OTHERS;
        if (FF_UNLIKELY((ff_load_u32(p) & 0xff00ffu) != (tag | 0x090000u) || p[11] != 0x10 ||
                        volume - 1 >= 8))
            break;
        /* -11: 18 orders, -9: 29 hpVolume */
        const uint8_t *e = p + 2 + length;
        if (FF_UNLIKELY((ff_load_u32(e - 12) & 0xff80ff80u) != 0x29001800u ||
                        !ff_full_varint(p + 12, volume)))
            break;
        const double price = ff_load_f64(p + 3), precise = ff_load_f64(e - 8);
        if (FF_UNLIKELY(__builtin_isunordered(price - price, precise))) /* infinite, NaN */
            break;
        prices[level] = price;
        volumes[level] = precise;
        orders[level] = e[-10];
        level++;
        p = e;
    }
    book->sides[side].levels = level;
    return p;
}

static const ff_opend_two_sides ff_opend_book_sides = {
    .s2c = &ff_shape_book,
    .shape = &ff_shape_level,
    .run = ff_opend_run_levels,
    .add = ff_opend_add_level,
};

static inline void ff_opend_book_begin(ff_opend_book *book, ff_book *row, size_t depth) {
    book->depth = depth;
    book->unusable = 0;
    book->sides[FF_SIDE_ASK].price = ff_book_ask_price(row, depth);
    book->sides[FF_SIDE_ASK].volume = ff_book_ask_volume(row, depth);
    book->sides[FF_SIDE_ASK].orders = ff_book_ask_orders(row, depth);
    book->sides[FF_SIDE_ASK].levels = 0;
    book->sides[FF_SIDE_BID].price = ff_book_bid_price(row);
    book->sides[FF_SIDE_BID].volume = ff_book_bid_volume(row, depth);
    book->sides[FF_SIDE_BID].orders = ff_book_bid_orders(row, depth);
    book->sides[FF_SIDE_BID].levels = 0;
}

/* Mark the levels that are not there; returns how many are. */
static inline uint16_t ff_opend_book_side_end(ff_opend_decoder *d, ff_opend_book *book,
                                              unsigned side) {
    size_t levels = book->sides[side].levels;
    if (FF_UNLIKELY(levels > book->depth)) {
        d->cut_levels += levels - book->depth;
        levels = book->depth;
    }
    for (size_t i = levels; i < book->depth; i++) {
        book->sides[side].price[i] = book->sides[side].volume[i] = (double)NAN;
        book->sides[side].orders[i] = 0;
    }
    return (uint16_t)levels;
}

/* Decode a push or a reply into one row with `depth` levels a side, ff_book_size(depth) bytes.
 * Returns 1, 0 when the book was left out, or a negative reason; then nothing counts that was
 * written. An unknown security gets an id as a side effect. */
static inline int ff_opend_decode_book(ff_opend_decoder *d, const uint8_t *body, size_t length,
                                       ff_book *row, size_t depth) {
    const uint8_t *end = body + length;
    ff_opend_book book;
    ff_opend_head head;
    ff_text bid_time = {NULL, 0}, ask_time = {NULL, 0};
    double bid_s = 0, ask_s = 0;
    uint64_t kind = 0;
    ff_opend_book_begin(&book, row, depth);
    const uint8_t *p =
        ff_opend_sides_canonical(d, &ff_opend_book_sides, &head, body, end, &book);
    if (FF_LIKELY(p != NULL)) {
        bid_time = ff_step_text(&p, end, 4);
        ff_step_real(&p, end, 5, &bid_s);
        ask_time = ff_step_text(&p, end, 6);
        ff_step_real(&p, end, 7, &ask_s);
        ff_step_message(&p, end, 8); /* name */
        ff_step_number(&p, end, 9, &kind);
    }
    if (FF_UNLIKELY(p != end)) {
        ff_message message;
        ff_opend_book_begin(&book, row, depth);
        int rc =
            ff_opend_sides_any(d, &ff_opend_book_sides, &head, body, end, &book, &message);
        if (rc < 0)
            return rc;
        bid_time = ff_fields_text(&message.fields, 4);
        bid_s = ff_fields_real(&message.fields, 5);
        ask_time = ff_fields_text(&message.fields, 6);
        ask_s = ff_fields_real(&message.fields, 7);
        kind = message.fields.values[9].number;
    }
    if (FF_UNLIKELY(book.unusable)) {
        d->dropped[book.unusable]++;
        return 0;
    }
    row->recv_ns = d->recv_ns;
    row->time_ns = 0;
    row->bid_ns = ff_opend_time(d, bid_s, bid_time, head.market);
    row->ask_ns = ff_opend_time(d, ask_s, ask_time, head.market);
    row->gateway_ns = row->bid_ns > row->ask_ns ? row->bid_ns : row->ask_ns;
    row->seq = -1;
    row->symbol = head.symbol;
    row->bids = ff_opend_book_side_end(d, &book, FF_SIDE_BID);
    row->asks = ff_opend_book_side_end(d, &book, FF_SIDE_ASK);
    row->kind = ff_u8(kind);
    row->session = 0;
    row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
    const size_t used = sizeof *row + depth * FF_BOOK_LEVEL_BYTES;
    memset((uint8_t *)row + used, 0, ff_book_size(depth) - used);
    return 1;
}

#endif
