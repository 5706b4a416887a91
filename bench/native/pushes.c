/* OpenD's other pushes, decoded by hand; loop.h says what that means. Of a US stock: no
 * option, future or warrant, no overnight session, volumes as doubles. */

#include "loop.h"

enum { QUOTES = 3005, BARS = 3007, TIMESHARE = 3009, BOOK = 3013, BROKERS = 3015, DEPTH = 10 };

static const double none = (double)NAN;

/* ---- quotes */

/* What only derivatives have: NaN, up to the reserved fields. */
static inline void plain(ff_quote *row) {
    row->expiry_days = INT32_MIN;
    row->option_style = row->index_option_type = row->kind = 0;
    for (double *v = &row->strike_price; v < row->_reserved; v++)
        *v = none;
    memset(row->_reserved, 0, sizeof row->_reserved);
}

/* A session's block behind its tag of two bytes. */
static inline const uint8_t *session(loop *l, const uint8_t *q, const ff_quote *regular,
                                     uint8_t number) {
    ff_quote *row = next_row(l);
    uint64_t v;
    row->last = f64(q + 4); /* tag, length, 09 */
    row->high = f64(q + 13);
    row->low = f64(q + 22);
    q = varint(q + 31, &v);
    row->volume = (double)(int64_t)v;
    row->turnover = f64(q + 1);
    row->change = f64(q + 10);
    row->change_rate = f64(q + 19);
    row->amplitude = f64(q + 28);
    row->open = row->prev_close = row->turnover_rate = row->price_spread = none;
    row->recv_ns = regular->recv_ns;
    row->time_ns = regular->time_ns;
    row->gateway_ns = 0;
    row->seq = -1;
    row->listed_ns = regular->listed_ns;
    row->symbol = regular->symbol;
    row->session = number;
    row->status = regular->status;
    row->flags = 0;
    row->suspended = regular->suspended;
    row->dark_status = regular->dark_status;
    plain(row);
    return q + 36;
}

static inline void quotes(loop *l, const uint8_t *q, const uint8_t *end, int64_t recv_ns) {
    uint64_t v;
    while (q < end && *q == 0x0a) {
        ff_quote *row = next_row(l);
        const uint8_t *quote_end = varint(q + 1, &v);
        q = quote_end + 2; /* 0a security */
        quote_end += v;
        row->recv_ns = recv_ns;
        row->gateway_ns = 0;
        row->seq = -1;
        row->change = row->change_rate = none;
        row->session = FF_SESSION_REGULAR;
        row->flags = 0;
        plain(row);
        row->symbol = symbol_at(l, &q);
        row->suspended = q[1];
        q += 4 + q[3]; /* 1a list time: the timestamp says it as well */
        row->price_spread = f64(q + 1);
        q += 11 + q[10]; /* 2a update time: so it does here */
        row->high = f64(q + 1);
        row->open = f64(q + 10);
        row->low = f64(q + 19);
        row->last = f64(q + 28);
        row->prev_close = f64(q + 37);
        q = varint(q + 46, &v); /* volume: hpVolume says it better */
        row->turnover = f64(q + 1);
        row->turnover_rate = f64(q + 10);
        row->amplitude = f64(q + 19);
        row->dark_status = q[28];
        row->listed_ns = to_ns(f64(q + 31));
        row->time_ns = to_ns(f64(q + 41));
        q += 49;
        const uint8_t *before = q;
        /* The status is behind the sessions, and theirs as well. */
        for (int i = 0; i < 2 && (q[0] == 0x9a || q[0] == 0xa2); i++)
            q += 3 + q[2];
        row->status = q[2];
        row->volume = f64(quote_end - 8);
        for (q = before; q[0] == 0x9a || q[0] == 0xa2;)
            q = session(l, q, row, q[0] == 0x9a ? FF_SESSION_PRE : FF_SESSION_POST);
        q = quote_end;
    }
}

/* ---- bars */

static const int32_t seconds[] = {
    0,    60,   86400, 7 * 86400,  30 * 86400, 365 * 86400, 300,   900,
    1800, 3600, 180,   90 * 86400, 600,        7200,        10800, 14400,
};

static inline void bars(loop *l, const uint8_t *q, const uint8_t *end, int64_t recv_ns) {
    uint64_t v;
    uint8_t adjust = q[1], kind = q[3];
    q += 6; /* 1a security */
    uint32_t id = symbol_at(l, &q);
    int64_t before = seconds[kind] < 86400 ? (int64_t)seconds[kind] * 1000000000 : 0;
    while (q < end && *q == 0x22) {
        ff_bar *row = next_row(l);
        q = varint(q + 1, &v);
        q += 2 + q[1]; /* 0a time: the timestamp says it as well */
        row->blank = q[1];
        row->high = f64(q + 3);
        row->open = f64(q + 12);
        row->low = f64(q + 21);
        row->close = f64(q + 30);
        double prev_close = f64(q + 39);
        row->prev_close = prev_close == 0 ? none : prev_close;
        q = varint(q + 48, &v); /* volume: hpVolume says it better */
        row->turnover = f64(q + 1);
        row->turnover_rate = f64(q + 10);
        row->pe = f64(q + 19);
        row->change_rate = f64(q + 28);
        row->time_ns = to_ns(f64(q + 37)) - before;
        row->volume = f64(q + 46);
        row->recv_ns = recv_ns;
        row->gateway_ns = 0;
        row->seq = -1;
        row->symbol = id;
        row->interval_s = seconds[kind];
        row->kind = kind;
        row->adjust = adjust;
        row->session = row->flags = 0;
        memset(row->_reserved, 0, sizeof row->_reserved);
        q += 54;
    }
}

/* ---- points of the minute line */

static inline void timeshare(loop *l, const uint8_t *q, const uint8_t *end, int64_t recv_ns) {
    uint64_t v;
    q += 2; /* 0a security */
    uint32_t id = symbol_at(l, &q);
    while (q < end && *q == 0x12) {
        ff_timeshare *row = next_row(l);
        q = varint(q + 1, &v);
        q += 2 + q[1]; /* 0a time: the timestamp says it as well */
        q = varint(q + 1, &v);
        row->minute = (int32_t)v;
        row->blank = q[1];
        row->price = f64(q + 3);
        row->prev_close = f64(q + 12);
        row->avg_price = f64(q + 21);
        q = varint(q + 30, &v); /* volume: hpVolume says it better */
        row->turnover = f64(q + 1);
        row->time_ns = to_ns(f64(q + 10));
        row->volume = f64(q + 19);
        row->recv_ns = recv_ns;
        row->gateway_ns = 0;
        row->seq = -1;
        row->symbol = id;
        row->session = row->flags = 0;
        memset(row->_reserved, 0, sizeof row->_reserved);
        q += 27;
    }
}

/* ---- books */

/* The levels of a side, whose tag is given, and NaN for those that are not there. */
static inline const uint8_t *side(const uint8_t *q, const uint8_t *end, uint8_t tag,
                                  double *price, double *volume, int32_t *orders,
                                  uint16_t *levels) {
    uint16_t n = 0;
    uint64_t v;
    for (; q < end && *q == tag; n++) {
        price[n] = f64(q + 3);
        q = varint(q + 12, &v); /* volume: hpVolume says it better */
        q = varint(q + 1, &v);
        orders[n] = (int32_t)v;
        volume[n] = f64(q + 1);
        q += 9;
    }
    *levels = n;
    for (; n < DEPTH; n++) {
        price[n] = volume[n] = none;
        orders[n] = 0;
    }
    return q;
}

static inline void book(loop *l, const uint8_t *q, const uint8_t *end, int64_t recv_ns) {
    ff_book *row = next_row(l);
    q += 2; /* 0a security */
    row->symbol = symbol_at(l, &q);
    q = side(q, end, 0x12, ff_book_ask_price(row, DEPTH), ff_book_ask_volume(row, DEPTH),
             ff_book_ask_orders(row, DEPTH), &row->asks);
    q = side(q, end, 0x1a, ff_book_bid_price(row), ff_book_bid_volume(row, DEPTH),
             ff_book_bid_orders(row, DEPTH), &row->bids);
    q += 2 + q[1]; /* 22 time of the bids: the timestamp says it as well */
    row->bid_ns = to_ns(f64(q + 1));
    q += 11 + q[10]; /* 32 time of the asks */
    row->ask_ns = to_ns(f64(q + 1));
    q += 11 + q[10]; /* 42 name */
    row->kind = q[1];
    row->gateway_ns = row->bid_ns > row->ask_ns ? row->bid_ns : row->ask_ns;
    row->recv_ns = recv_ns;
    row->time_ns = 0;
    row->seq = -1;
    row->session = row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
}

/* ---- broker queues */

static inline const uint8_t *queue(const uint8_t *q, const uint8_t *end, uint8_t tag,
                                   int64_t *broker, int64_t *order, double *volume,
                                   int32_t *level, uint16_t *places) {
    uint16_t n = 0;
    uint64_t v;
    for (; q < end && *q == tag; n++) {
        q = varint(q + 3, &v);
        broker[n] = (int64_t)v;
        q += 2 + q[1]; /* 12 name */
        q = varint(q + 1, &v);
        level[n] = (int32_t)v;
        order[n] = 0;
        volume[n] = none;
    }
    *places = n;
    for (; n < FF_BROKER_PLACES; n++) {
        broker[n] = order[n] = 0;
        volume[n] = none;
        level[n] = 0;
    }
    return q;
}

static inline void brokers(loop *l, const uint8_t *q, const uint8_t *end, int64_t recv_ns) {
    ff_brokers *row = next_row(l);
    q += 2; /* 0a security */
    row->symbol = symbol_at(l, &q);
    q = queue(q, end, 0x12, row->ask_broker, row->ask_order, row->ask_volume, row->ask_level,
              &row->asks);
    queue(q, end, 0x1a, row->bid_broker, row->bid_order, row->bid_volume, row->bid_level,
          &row->bids);
    row->recv_ns = recv_ns;
    row->time_ns = row->gateway_ns = 0;
    row->seq = -1;
    row->session = row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
}

/* Decode all complete packets; returns the bytes used, or -1 when the magic is wrong. The rows
 * of the loop are those of one kind: the others are passed over. */
int64_t pushes_decode(loop *l, const uint8_t *data, size_t length, uint32_t kind,
                      int64_t recv_ns) {
    const uint8_t *p = data, *end = data + length;
    uint64_t v;
    while (end - p >= HEADER) {
        size_t body_length = u32(p + 12);
        if ((size_t)(end - p) < HEADER + body_length)
            break;
        if (p[0] != 'F' || p[1] != 'T')
            return -1;
        const uint8_t *q = p + HEADER, *body_end = q + body_length;
        uint32_t proto_id = u32(p + 2);
        p = body_end;
        if (proto_id != kind || q[1] != 0)
            continue;
        q = varint(q + 3, &v); /* 08 retType, 22 s2c */
        switch (proto_id) {
        case QUOTES:
            quotes(l, q, body_end, recv_ns);
            break;
        case BARS:
            bars(l, q, body_end, recv_ns);
            break;
        case TIMESHARE:
            timeshare(l, q, body_end, recv_ns);
            break;
        case BOOK:
            book(l, q, body_end, recv_ns);
            break;
        case BROKERS:
            brokers(l, q, body_end, recv_ns);
            break;
        }
    }
    return p - data;
}
