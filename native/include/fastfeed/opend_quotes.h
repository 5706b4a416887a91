#ifndef FASTFEED_OPEND_QUOTES_H
#define FASTFEED_OPEND_QUOTES_H

/* The decoder of Qot_UpdateBasicQot (3005) and of the replies of Qot_GetBasicQot (3004). Each
 * quote has a security of its own, and gives up to four rows: that of the regular session and
 * one for each other session it tells of. A quote whose last price is missing or not finite is
 * left out with all its sessions, and counted. */

#include "fastfeed/opend_decoder.h"

/* An int32 as a double. */
static inline double ff_opend_int32(uint64_t v) {
    return (double)(int32_t)(uint32_t)v;
}

/* The fields of a row that only options, warrants and futures have, as not sent. */
static inline void ff_opend_quote_plain(ff_quote *row) {
    static const double nothing[16] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN,
                                       NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    _Static_assert(offsetof(ff_quote, _reserved) - offsetof(ff_quote, strike_price) ==
                       sizeof nothing,
                   "from strike_price to last_settle_price");
    row->expiry_days = INT32_MIN;
    row->option_style = 0;
    row->index_option_type = 0;
    row->kind = 0;
    memcpy(&row->strike_price, nothing, sizeof nothing);
    memset(row->_reserved, 0, sizeof row->_reserved);
}

/* OptionBasicQotExData, FutureBasicQotExData, WarrantBasicQotExData: false when their fields
 * are not in order. */
static inline bool ff_opend_quote_option(ff_text option, ff_quote *row) {
    const uint8_t *p = option.data, *end = p + option.length;
    uint64_t v;
    ff_step_real(&p, end, 1, &row->strike_price);
    if (ff_step_number(&p, end, 2, &v))
        row->contract_size = ff_opend_int32(v);
    if (ff_step_number(&p, end, 3, &v))
        row->open_interest = ff_opend_int32(v);
    ff_step_real(&p, end, 4, &row->implied_volatility);
    ff_step_real(&p, end, 5, &row->premium);
    ff_step_real(&p, end, 6, &row->delta);
    ff_step_real(&p, end, 7, &row->gamma);
    ff_step_real(&p, end, 8, &row->vega);
    ff_step_real(&p, end, 9, &row->theta);
    ff_step_real(&p, end, 10, &row->rho);
    if (ff_step_number(&p, end, 11, &v))
        row->net_open_interest = ff_opend_int32(v);
    if (ff_step_number(&p, end, 12, &v))
        row->expiry_days = (int32_t)(uint32_t)v;
    ff_step_real(&p, end, 13, &row->contract_nominal_value);
    ff_step_real(&p, end, 14, &row->owner_lot_multiplier);
    if (ff_step_number(&p, end, 15, &v))
        row->option_style = ff_u8(v);
    ff_step_real(&p, end, 16, &row->contract_multiplier);
    double size = ff_step_real_or_nan(&p, end, 17);
    if (size == size)
        row->contract_size = size;
    if (ff_step_number(&p, end, 18, &v))
        row->index_option_type = ff_u8(v);
    row->kind |= FF_QUOTE_OPTION;
    return p == end;
}

static inline bool ff_opend_quote_future(ff_text future, ff_quote *row) {
    const uint8_t *p = future.data, *end = p + future.length;
    uint64_t v;
    ff_step_real(&p, end, 1, &row->last_settle_price);
    if (ff_step_number(&p, end, 2, &v))
        row->open_interest = ff_opend_int32(v);
    if (ff_step_number(&p, end, 3, &v))
        row->open_interest_change = ff_opend_int32(v);
    if (ff_step_number(&p, end, 4, &v))
        row->expiry_days = (int32_t)(uint32_t)v;
    row->kind |= FF_QUOTE_FUTURE;
    return p == end;
}

static inline bool ff_opend_quote_warrant(ff_text warrant, ff_quote *row) {
    const uint8_t *p = warrant.data, *end = p + warrant.length;
    ff_step_real(&p, end, 1, &row->delta);
    ff_step_real(&p, end, 2, &row->implied_volatility);
    ff_step_real(&p, end, 3, &row->premium);
    row->kind |= FF_QUOTE_WARRANT;
    return p == end;
}

/* Whether a block has all its fields: three doubles, 20 volume, four doubles from 5 on. */
static inline bool ff_opend_session_is_full(ff_text block) {
    enum { FIRST = 3 * 9 + 1, SECOND = 4 * 9 };
    const uint8_t *p = block.data;
    const size_t volume = block.length - (FIRST + SECOND); /* bytes */
    return volume - 1 < 8 && p[27] == 0x20 && ff_full_reals(p, 1, 3) &&
           ff_full_reals(p + block.length - SECOND, 5, 4) && ff_full_varint(p + FIRST, volume);
}

/* PreAfterMarketData: a row of its own beside the regular one. */
static inline bool ff_opend_quote_session(ff_text block, const ff_quote *regular,
                                          ff_session session, ff_quote *row) {
    const uint8_t *p = block.data, *end = p + block.length;
    uint64_t units = 0;
    if (FF_LIKELY(ff_opend_session_is_full(block))) {
        row->last = ff_load_f64(p + 1);
        row->high = ff_load_f64(p + 10);
        row->low = ff_load_f64(p + 19);
        p += 27;
        ff_step_long_number(&p, end, 4, &units);
        row->volume = (double)(int64_t)units;
        row->turnover = ff_load_f64(end - 35);
        row->change = ff_load_f64(end - 26);
        row->change_rate = ff_load_f64(end - 17);
        row->amplitude = ff_load_f64(end - 8);
        p = end;
    } else {
        row->last = ff_step_real_or_nan(&p, end, 1);
        row->high = ff_step_real_or_nan(&p, end, 2);
        row->low = ff_step_real_or_nan(&p, end, 3);
        bool has_units = ff_step_long_number(&p, end, 4, &units);
        row->volume = ff_opend_volume((double)NAN, has_units, units);
        row->turnover = ff_step_real_or_nan(&p, end, 5);
        row->change = ff_step_real_or_nan(&p, end, 6);
        row->change_rate = ff_step_real_or_nan(&p, end, 7);
        row->amplitude = ff_step_real_or_nan(&p, end, 8);
    }
    row->open = row->prev_close = row->turnover_rate = row->price_spread = (double)NAN;
    row->recv_ns = regular->recv_ns;
    row->time_ns = regular->time_ns;
    row->gateway_ns = regular->gateway_ns;
    row->seq = regular->seq;
    row->listed_ns = regular->listed_ns;
    row->symbol = regular->symbol;
    row->session = (uint8_t)session;
    row->status = regular->status;
    row->flags = 0;
    row->suspended = regular->suspended;
    row->dark_status = regular->dark_status;
    ff_opend_quote_plain(row);
    return p == end;
}

/* What a quote says, beside what goes into the row at once. */
typedef struct ff_opend_quote_values {
    uint64_t suspended, dark_status;
    const uint8_t *units; /* the value of volume, NULL = not sent */
    ff_text list_time, time, option;
    double last, list_timestamp, timestamp;
    bool has_last, has_list_timestamp;
} ff_opend_quote_values;

/* The fields from isSuspended to updateTimestamp of a quote that has all of them, and is no
 * option. Returns where the next one begins; NULL, having done nothing that counts, when it is
 * of another shape: then ff_opend_quote_steps() takes them. */
static inline const uint8_t *ff_opend_quote_full(const uint8_t *p, const uint8_t *end,
                                                 ff_opend_quote_values *v, ff_quote *row) {
    enum { PRICES = 5 * 9, OTHERS = 3 * 9 + 2 + 10 + 10 };
    /* 0: 10 isSuspended, 2: 1a listTime, 3: its length */
    if (FF_UNLIKELY(end - p < 4 || (ff_load_u32(p) & 0x80ff80ffu) != 0x001a0010u ||
                    end - p < 4 + p[3] + 11))
        return NULL;
    /* 0: 21 priceSpread, 9: 2a updateTime, 10: its length */
    const uint8_t *a = p + 4 + p[3];
    if (FF_UNLIKELY(a[0] != 0x21 || a[9] != 0x2a || a[10] >= 0x80 ||
                    end - a < 11 + a[10] + PRICES + 9 + OTHERS))
        return NULL;
    /* 0: five doubles from 6 on, 45: 58 volume */
    const uint8_t *b = a + 11 + a[10];
    const uint64_t stops = ~ff_load_u64(b + PRICES + 1) & 0x8080808080808080u;
    if (FF_UNLIKELY(!ff_full_reals(b, 6, 5) || b[PRICES] != 0x58 || stops == 0))
        return NULL;
    v->units = b + PRICES + 1;
    const uint8_t *c = v->units + (unsigned)__builtin_ctzll(stops) / 8 + 1;
    /* 0: three doubles from 12 on, 27: 78 darkStatus, 29: 89 01 listTimestamp,
     * 39: 91 01 updateTimestamp */
    if (FF_UNLIKELY(!ff_full_reals(c, 12, 3) ||
                    (ff_load_u32(c + 27) & 0xffff80ffu) != 0x01890078u || c[39] != 0x91 ||
                    c[40] != 0x01))
        return NULL;
    v->suspended = p[1];
    v->list_time = (ff_text){p + 4, p[3]};
    row->price_spread = ff_load_f64(a + 1);
    v->time = (ff_text){a + 11, a[10]};
    row->high = ff_load_f64(b + 1);
    row->open = ff_load_f64(b + 10);
    row->low = ff_load_f64(b + 19);
    v->last = ff_load_f64(b + 28);
    row->prev_close = ff_load_f64(b + 37);
    row->turnover = ff_load_f64(c + 1);
    row->turnover_rate = ff_load_f64(c + 10);
    row->amplitude = ff_load_f64(c + 19);
    v->dark_status = c[28];
    v->list_timestamp = ff_load_f64(c + 31);
    v->timestamp = ff_load_f64(c + 41);
    v->has_last = v->has_list_timestamp = true;
    return c + OTHERS;
}

/* The same of any quote whose fields come in order. */
FF_NOINLINE static const uint8_t *ff_opend_quote_steps(const uint8_t *p, const uint8_t *end,
                                                       ff_opend_quote_values *v,
                                                       ff_quote *row) {
    ff_step_number(&p, end, 2, &v->suspended);
    v->list_time = ff_step_text(&p, end, 3);
    row->price_spread = ff_step_real_or_nan(&p, end, 4);
    v->time = ff_step_text(&p, end, 5);
    row->high = ff_step_real_or_nan(&p, end, 6);
    row->open = ff_step_real_or_nan(&p, end, 7);
    row->low = ff_step_real_or_nan(&p, end, 8);
    v->has_last = ff_step_real(&p, end, 9, &v->last);
    row->prev_close = ff_step_real_or_nan(&p, end, 10);
    uint64_t units;
    v->units = p + 1;
    if (!ff_step_long_number(&p, end, 11, &units))
        v->units = NULL;
    row->turnover = ff_step_real_or_nan(&p, end, 12);
    row->turnover_rate = ff_step_real_or_nan(&p, end, 13);
    row->amplitude = ff_step_real_or_nan(&p, end, 14);
    ff_step_number(&p, end, 15, &v->dark_status);
    v->option = ff_step_message(&p, end, 16);
    v->has_list_timestamp = ff_step_real(&p, end, 17, &v->list_timestamp);
    v->timestamp = ff_step_real_or_nan(&p, end, 18);
    return p;
}

/* Whether a quote ends with secStatus, name and hpVolume and nothing else. */
static inline bool ff_opend_quote_tail(const uint8_t *p, const uint8_t *end) {
    /* 0: a8 01 secStatus, 3: c2 01 name, 5: its length; -10: d1 01 hpVolume */
    return end - p >= 6 + 10 && (ff_load_u32(p) & 0xff80ffffu) == 0xc20001a8u &&
           p[4] == 0x01 && p[5] < 0x80 && end - p == 6 + p[5] + 10 && end[-10] == 0xd1 &&
           end[-9] == 0x01;
}

/* The volume in whole units as it was passed over; NaN when it was not sent. */
static inline double ff_opend_quote_units(const uint8_t *at, const uint8_t *end) {
    uint64_t units = 0;
    int why;
    if (at == NULL)
        return (double)NAN;
    ff_wire_varint(at, end, &units, &why);
    return (double)(int64_t)units;
}

/* One BasicQot; an ff_opend_element. */
static inline int ff_opend_quote(ff_opend_decoder *d, ff_opend_head *head, const uint8_t *p,
                                 const uint8_t *end, void *rows, size_t room) {
    ff_quote *row = rows;
    ff_opend_quote_values v;
    uint64_t status = 0;
    if (FF_UNLIKELY(!ff_opend_step_security(d, head, &p, end, 1))) {
        if (!head->gathered)
            return 0;
        int rc = ff_opend_step_new_security(d, head, &p, end, 1);
        if (rc < 0)
            return rc;
    }
    ff_opend_quote_plain(row);
    const uint8_t *q = ff_opend_quote_full(p, end, &v, row);
    if (FF_UNLIKELY(q == NULL)) {
        v = (ff_opend_quote_values){0};
        q = ff_opend_quote_steps(p, end, &v, row);
        if (v.option.data != NULL && !ff_opend_quote_option(v.option, row))
            return 0;
    }
    p = q;
    ff_text pre = ff_step_text(&p, end, 19);
    ff_text post = ff_step_text(&p, end, 20), overnight = {NULL, 0};
    if (FF_LIKELY(ff_opend_quote_tail(p, end))) {
        status = p[2];
        row->volume = ff_load_f64(end - 8);
        p = end;
    } else {
        ff_step_number(&p, end, 21, &status);
        ff_text future = ff_step_text(&p, end, 22);
        if (future.data != NULL && !ff_opend_quote_future(future, row))
            return 0;
        ff_text warrant = ff_step_text(&p, end, 23);
        if (warrant.data != NULL && !ff_opend_quote_warrant(warrant, row))
            return 0;
        ff_step_text(&p, end, 24); /* name */
        overnight = ff_step_text(&p, end, 25);
        row->volume = ff_step_real_or_nan(&p, end, 26);
    }
    if (FF_UNLIKELY(row->volume != row->volume))
        row->volume = ff_opend_quote_units(v.units, end);
    if (FF_UNLIKELY(p != end))
        return 0;
    if (FF_UNLIKELY(!v.has_last || !ff_is_finite(v.last))) {
        if (!head->gathered)
            return 0; /* the other sessions have to be valid all the same */
        return v.has_last ? -FF_ENOTFINITE : -FF_EMISSING;
    }
    row->listed_ns = v.has_list_timestamp
                         ? ff_seconds_to_ns(v.list_timestamp)
                         : ff_market_date(v.list_time.data, v.list_time.length,
                                          ff_opend_zone(head->market));
    row->recv_ns = d->recv_ns;
    row->time_ns = ff_opend_time(d, v.timestamp, v.time, head->market);
    row->gateway_ns = 0;
    row->seq = -1;
    row->last = v.last;
    row->change = (double)NAN;
    row->change_rate = (double)NAN;
    row->symbol = head->symbol;
    row->session = FF_SESSION_REGULAR;
    row->status = ff_u8(status);
    row->suspended = v.suspended != 0;
    row->dark_status = ff_u8(v.dark_status);
    int n = 1;
    const ff_text blocks[] = {pre, post, overnight};
    for (size_t i = 0; i < 3; i++) {
        if (FF_LIKELY(blocks[i].data == NULL))
            continue;
        if (FF_UNLIKELY((size_t)n == room))
            return -FF_EROWS;
        if (FF_UNLIKELY(!ff_opend_quote_session(blocks[i], row,
                                                (ff_session)(FF_SESSION_PRE + i), row + n)))
            return 0;
        n++;
    }
    row->flags = 0;
    head->untimed += row->time_ns == 0 ? (uint64_t)n : 0;
    return n;
}

static const ff_opend_list ff_opend_quotes = {
    .s2c = &ff_shape_quotes,
    .security = 0,
    .elements = 1,
    .shape = &ff_shape_quote,
    .element = ff_opend_quote,
    .row_size = sizeof(ff_quote),
};

/* Decode a push or a reply; see ff_opend_decode_list(). */
static inline int ff_opend_decode_quotes(ff_opend_decoder *d, const uint8_t *body,
                                         size_t length, ff_quote *rows, size_t max_rows) {
    return ff_opend_decode_list(d, &ff_opend_quotes, 0, 0, body, length, rows, max_rows);
}

#endif
