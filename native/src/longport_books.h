#ifndef FASTFEED_LONGPORT_BOOKS_H
#define FASTFEED_LONGPORT_BOOKS_H

/* Levels of a push or a response into a book. */

#include "longport_values.h"

typedef struct level {
    ff_text price;
    uint64_t position, volume, orders;
} level;

static const ff_shape level_shape = {.numbers = BIT(1) | BIT(3) | BIT(4), .texts = BIT(2)};

/* One side of a book being filled. */
typedef struct book_side {
    double *price, *volume;
    int32_t *orders;
} book_side;

static inline book_side side_of(ff_book *row, size_t depth, unsigned side) {
    if (side == ASK)
        return (book_side){ff_book_ask_price(row, depth), ff_book_ask_volume(row, depth),
                           ff_book_ask_orders(row, depth)};
    return (book_side){ff_book_bid_price(row), ff_book_bid_volume(row, depth),
                       ff_book_bid_orders(row, depth)};
}

static inline void empty_book(ff_book *row, size_t depth) {
    memset(row, 0, ff_book_size(depth));
    double *v = ff_book_bid_price(row);
    for (size_t i = 0; i < 4 * depth; i++)
        v[i] = (double)NAN;
}

FF_STEP bool step_level(ff_text e, level *v) {
    const uint8_t *p = e.data, *end = p + e.length;
    *v = (level){.position = 0};
    ff_step_number(&p, end, 1, &v->position);
    v->price = ff_step_text(&p, end, 2);
    ff_step_number(&p, end, 3, &v->volume);
    ff_step_number(&p, end, 4, &v->orders);
    return p == end;
}

static inline int gather_level(ff_message *message, ff_text e, level *v) {
    const ff_fields *fields = &message->fields;
    const int rc = gather(message, &level_shape, e);
    v->position = number_of(fields, 1);
    v->price = text_of(fields, 2);
    v->volume = number_of(fields, 3);
    v->orders = number_of(fields, 4);
    return rc;
}

static inline int32_t orders_of(uint64_t v) {
    const int64_t orders = (int64_t)v;
    return orders > INT32_MAX ? INT32_MAX : orders < INT32_MIN ? INT32_MIN : (int32_t)orders;
}

static inline void put_level(const book_side *side, size_t depth, const level *v,
                             const uint8_t *end, tally *t) {
    const int32_t position = (int32_t)(uint32_t)v->position;
    const size_t i = (size_t)position - 1;
    if (FF_UNLIKELY(i >= depth)) {
        if (position < 1)
            t->odd++;
        else
            t->cut++;
        return;
    }
    double price = (double)NAN, volume = (double)NAN;
    int32_t orders = 0;
    if (FF_LIKELY(decimal(v->price, end, &price) == 0)) {
        volume = (double)(int64_t)v->volume;
        orders = orders_of(v->orders);
    }
    side->price[i] = price;
    side->volume[i] = volume;
    side->orders[i] = orders;
}

/* How many levels there are down to the deepest real one. */
static inline uint16_t levels_of(const double *price, size_t depth) {
    while (depth > 0 && price[depth - 1] != price[depth - 1])
        depth--;
    return (uint16_t)depth;
}

/* The head of a row whose sides are filled. */
static inline void end_book(const ff_longport_decoder *d, uint32_t symbol, int64_t sequence,
                            ff_book *row) {
    row->recv_ns = d->recv_ns;
    row->gateway_ns = gateway_of(sequence, 0);
    row->seq = seq_of(sequence);
    row->symbol = symbol;
    row->bids = levels_of(ff_book_bid_price(row), d->depth);
    row->asks = levels_of(ff_book_ask_price(row, d->depth), d->depth);
}

/* Put the levels of a body whose head was gathered. Returns 0 or a negative reason. */
static inline int levels_any(size_t depth, uint32_t asks, const uint8_t *body,
                             const uint8_t *end, ff_book *row, tally *t) {
    const book_side sides[SIDES] = {side_of(row, depth, ASK), side_of(row, depth, BID)};
    ff_message message;
    ff_text e;
    level v;
    for (uint32_t field; (field = next_message(&body, end, &e)) != 0;) {
        if (field - asks >= SIDES)
            continue;
        if (!step_level(e, &v)) {
            const int rc = gather_level(&message, e, &v);
            if (rc < 0)
                return rc;
        }
        put_level(&sides[field - asks], depth, &v, end, t);
    }
    return 0;
}

#endif
