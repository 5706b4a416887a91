#ifndef FASTFEED_LONGPORT_QUOTES_H
#define FASTFEED_LONGPORT_QUOTES_H

/* What is known of a session of a symbol, and its row. */

#include "longport_values.h"

enum { OVERNIGHT_BEGINS_H = 20 }; /* the hour of the market's clock */

/* One session of a symbol. */
typedef struct quote_state {
    double last, open, high, low, prev_close, volume, turnover;
    int64_t day_end_ns; /* when these prices are of yesterday; 0 = no time was seen */
    int64_t time_ns, gateway_ns, seq;
    uint8_t status;
    bool pushed; /* by this connection */
} quote_state;

static const quote_state unknown_quote = {
    .last = NAN,
    .open = NAN,
    .high = NAN,
    .low = NAN,
    .prev_close = NAN,
    .volume = NAN,
    .turnover = NAN,
    .seq = -1,
};

/* When the market's day that a time lies in ends. */
static inline int64_t day_end(const ff_symbols *symbols, uint32_t symbol, uint8_t session,
                              int64_t time_ns) {
    const ff_zone zone = zone_of(symbols, symbol);
    const int64_t early =
        session == FF_SESSION_OVERNIGHT ? (24 - OVERNIGHT_BEGINS_H) * 3600 : 0;
    const int64_t local_s = ff_zone_local(zone, time_ns / SECOND_NS);
    const int64_t end_s = ((local_s + early) / DAY_S + 1) * DAY_S - early;
    return (end_s - ff_zone_offset(zone, ff_year_of_day(end_s / DAY_S), end_s)) * SECOND_NS;
}

/* A time behind the end of the day: what is known of the day is of another one. */
FF_NOINLINE static void begin_day(const ff_symbols *symbols, uint32_t symbol, uint8_t session,
                                  int64_t time_ns, quote_state *q) {
    if (time_ns == 0)
        return;
    q->open = q->high = q->low = q->prev_close = q->volume = q->turnover = (double)NAN;
    q->day_end_ns = day_end(symbols, symbol, session, time_ns);
}

static inline void put_quote(const quote_state *q, int64_t recv_ns, uint32_t symbol,
                             uint8_t session, ff_quote *row) {
    static const ff_quote plain = {
        .change = NAN,
        .change_rate = NAN,
        .amplitude = NAN,
        .turnover_rate = NAN,
        .price_spread = NAN,
        .expiry_days = INT32_MIN,
        .strike_price = NAN,
        .contract_size = NAN,
        .open_interest = NAN,
        .net_open_interest = NAN,
        .open_interest_change = NAN,
        .implied_volatility = NAN,
        .premium = NAN,
        .delta = NAN,
        .gamma = NAN,
        .vega = NAN,
        .theta = NAN,
        .rho = NAN,
        .contract_nominal_value = NAN,
        .owner_lot_multiplier = NAN,
        .contract_multiplier = NAN,
        .last_settle_price = NAN,
    };
    const size_t common = offsetof(ff_quote, change);
    memcpy((uint8_t *)row + common, (const uint8_t *)&plain + common, sizeof plain - common);
    row->recv_ns = recv_ns;
    row->time_ns = q->time_ns;
    row->gateway_ns = q->gateway_ns;
    row->seq = q->seq;
    row->last = q->last;
    row->open = q->open;
    row->high = q->high;
    row->low = q->low;
    row->prev_close = q->prev_close;
    row->volume = q->volume;
    row->turnover = q->turnover;
    row->symbol = symbol;
    row->session = session;
    row->status = q->status;
    row->suspended = is_suspended(q->status);
}

#endif
