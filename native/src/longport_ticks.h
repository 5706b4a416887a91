#ifndef FASTFEED_LONGPORT_TICKS_H
#define FASTFEED_LONGPORT_TICKS_H

/* A trade of a push or a response, and lists of rows. */

#include "longport_values.h"

typedef struct trade {
    ff_text price, type;
    uint64_t volume, timestamp, direction, session;
} trade;

static const ff_shape trade_shape = {.numbers = BIT(2) | BIT(3) | BIT(5) | BIT(6),
                                     .texts = BIT(1) | BIT(4)};

FF_STEP bool step_trade(ff_text e, trade *v) {
    const uint8_t *p = e.data, *end = p + e.length;
    *v = (trade){.volume = 0};
    v->price = ff_step_text(&p, end, 1);
    ff_step_number(&p, end, 2, &v->volume);
    ff_step_long_number(&p, end, 3, &v->timestamp);
    v->type = ff_step_text(&p, end, 4);
    ff_step_number(&p, end, 5, &v->direction);
    ff_step_number(&p, end, 6, &v->session);
    return p == end;
}

static inline int gather_trade(ff_message *message, ff_text e, trade *v) {
    const ff_fields *fields = &message->fields;
    const int rc = gather(message, &trade_shape, e);
    v->price = text_of(fields, 1);
    v->volume = number_of(fields, 2);
    v->timestamp = number_of(fields, 3);
    v->type = text_of(fields, 4);
    v->direction = number_of(fields, 5);
    v->session = number_of(fields, 6);
    return rc;
}

/* Write the row, but for its symbol. */
static inline void put_trade(const ff_longport_decoder *d, const trade *v, double price,
                             int64_t sequence, ff_tick *row, tally *t) {
    const int64_t time_ns = time_of(v->timestamp);
    t->untimed += time_ns == 0;
    row->recv_ns = d->recv_ns;
    row->time_ns = time_ns;
    row->gateway_ns = gateway_of(sequence, time_ns);
    row->seq = seq_of(sequence);
    row->price = price;
    row->volume = (double)(int64_t)v->volume;
    row->turnover = (double)NAN;
    row->side = (int8_t)(((uint32_t)v->direction == 2) - ((uint32_t)v->direction == 1));
    row->kind = v->type.length == 0 ? 0 : v->type.length == 1 ? v->type.data[0] : 255;
    row->session = session_of(v->session);
    row->flags = 0;
}

/* ---- lists of rows */

/* What a list's rows have in common. */
typedef struct list {
    uint32_t elements; /* field number */
    size_t row_size;
    int64_t sequence;
    int32_t interval_s; /* of bars */
    uint8_t kind;
    ff_zone zone; /* of points of the minute line */
} list;

/* Write the row of an element of any shape, but for its symbol; `end` is that of the body.
 * Returns 1; 0: it gives none; or a negative reason. */
typedef int element(const ff_longport_decoder *d, const list *l, ff_message *message,
                    ff_text e, const uint8_t *end, void *row, tally *t);

static inline int trade_any(const ff_longport_decoder *d, const list *l, ff_message *message,
                            ff_text e, const uint8_t *end, void *row, tally *t) {
    trade v;
    double price;
    if (!step_trade(e, &v)) {
        const int rc = gather_trade(message, e, &v);
        if (rc < 0)
            return rc;
    }
    if (!has_price(v.price, end, &price, t))
        return 0;
    put_trade(d, &v, price, l->sequence, row, t);
    return 1;
}

/* Write the rows of a body whose head was gathered. Returns how many, or a negative reason. */
static inline int list_any(const ff_longport_decoder *d, const list *l, element *take,
                           const uint8_t *body, const uint8_t *end, void *rows,
                           size_t max_rows, tally *t) {
    union { /* the largest row */
        ff_tick tick;
        ff_bar bar;
        ff_timeshare point;
    } spare;
    ff_message message;
    ff_text e;
    size_t n = 0;
    for (uint32_t field; (field = next_message(&body, end, &e)) != 0;) {
        if (field != l->elements)
            continue;
        void *row = n < max_rows ? (uint8_t *)rows + n * l->row_size : (void *)&spare;
        const int rc = take(d, l, &message, e, end, row, t);
        if (rc < 0)
            return rc;
        n += (size_t)rc;
        if (n > max_rows)
            return -FF_EROWS;
    }
    return (int)n;
}

#endif
