#ifndef FASTFEED_OPEND_TICKS_H
#define FASTFEED_OPEND_TICKS_H

/* The decoder of Qot_UpdateTicker (3011) and of the replies of Qot_GetTicker (3010): the
 * body's wire bytes to rows, in one walk. ff_opend_ticker_full() takes tickers that have all
 * fields, ff_opend_ticker_steps() those that lack some; opend_decoder.h tells the rest.
 *
 * A row whose price, volume or turnover is not finite is left out and counted. */

#include "fastfeed/opend_decoder.h"

/* Tags of Qot_Common.Ticker that ff_opend_ticker_full() looks at. */
enum {
    FF_TICKER_TIME = 0x0a,
    FF_TICKER_SEQUENCE = 0x10,
    FF_TICKER_VOLUME = 0x28,
    FF_TICKER_TURNOVER = 0x31,
    FF_TICKER_RECV_TIME = 0x39,
    FF_TICKER_HP_VOLUME = 0x61,
};

/* What a ticker says, besides its time as text. */
typedef struct ff_opend_values {
    int64_t sequence;
    double price, volume, turnover, recv_time;
    int32_t dir, type, push_data_type;
} ff_opend_values;

/* Write a row whose time is known. */
static inline void ff_opend_row(const ff_opend_decoder *d, const ff_opend_values *v,
                                int64_t time_ns, uint32_t symbol, ff_tick *row) {
    row->recv_ns = d->recv_ns;
    row->time_ns = time_ns;
    row->gateway_ns = ff_seconds_to_ns(v->recv_time);
    row->seq = v->sequence;
    row->price = v->price;
    row->volume = v->volume;
    row->turnover = v->turnover;
    row->symbol = symbol;
    row->side = (int8_t)((v->dir == 1) - (v->dir == 2));
    row->kind = v->type < 0 || v->type > 255 ? 255 : (uint8_t)v->type;
    row->session = 0;
    row->flags = (uint8_t)((v->push_data_type == 3) * FF_FLAG_CACHED |
                           (v->push_data_type == 2) * FF_FLAG_BACKFILLED);
}

/* A ticker as OpenD sends them today: every field once and in order, a sequence of nine bytes,
 * the small numbers of one. The tags are compared by the word, and no step waits for the one
 * before it, except behind the volume. Returns false, having done nothing, when it is of
 * another shape or not fit for a row: then ff_opend_ticker_steps() decides. */
static inline bool ff_opend_ticker_full(ff_opend_decoder *d, const uint8_t *p,
                                        const uint8_t *end, uint32_t symbol, ff_tick *row) {
    if (FF_UNLIKELY(end - p < 2 + 65 || p[0] != FF_TICKER_TIME || p[1] >= 0x80 ||
                    p[1] > end - p - (2 + 65)))
        return false;
    /* 0: 10 sequence, 10: 18 dir, 12: 21 price, 21: 28 volume, 22: its bytes */
    const uint8_t *a = p + 2 + p[1];
    const uint64_t bytes_with_more = 0x8080808080808080u;
    if (FF_UNLIKELY(a[0] != FF_TICKER_SEQUENCE || a[21] != FF_TICKER_VOLUME ||
                    (ff_load_u64(a + 1) & bytes_with_more) != bytes_with_more ||
                    (ff_load_u32(a + 9) & 0xff80ff80u) != 0x21001800u))
        return false;
    uint64_t stops = ~ff_load_u64(a + 22) & bytes_with_more;
    if (FF_UNLIKELY(stops == 0))
        return false;
    /* 0: 31 turnover, 9: 39 recvTime, 18: 40 type, 20: 48 typeSign, 22: 50 pushDataType,
     * 24: 59 timestamp, 33: 61 hpVolume, 42: the end */
    const uint8_t *b = a + 22 + ((unsigned)__builtin_ctzll(stops) / 8 + 1);
    if (FF_UNLIKELY(end - b != 42 || b[0] != FF_TICKER_TURNOVER ||
                    b[9] != FF_TICKER_RECV_TIME || b[33] != FF_TICKER_HP_VOLUME ||
                    (ff_load_u64(b + 18) & 0x00ff80ff80ff80ffu) != 0x0059005000480040u))
        return false;
    uint64_t low = ff_load_u64(a + 1) & ~bytes_with_more;
    low = (low & 0x007f007f007f007fu) | (low & 0x7f007f007f007f00u) >> 1;
    low = (low & 0x00003fff00003fffu) | (low & 0x3fff00003fff0000u) >> 2;
    low = (low & 0x000000000fffffffu) | (low & 0x0fffffff00000000u) >> 4;
    ff_opend_values values = {
        .sequence = (int64_t)(low | (uint64_t)a[9] << 56),
        .price = ff_load_f64(a + 13),
        .volume = ff_load_f64(b + 34),
        .turnover = ff_load_f64(b + 1),
        .recv_time = ff_load_f64(b + 10),
        .dir = a[11],
        .type = b[19],
        .push_data_type = b[23],
    };
    int64_t time_ns = ff_seconds_to_ns(ff_load_f64(b + 25));
    if (FF_UNLIKELY(time_ns == 0 ||
                    !ff_is_finite(values.price * 0 + values.volume * 0 + values.turnover * 0)))
        return false;
    ff_opend_row(d, &values, time_ns, symbol, row);
    return true;
}

/* A ticker whose fields come in order. As ff_opend_element. */
FF_NOINLINE static int ff_opend_ticker_steps(ff_opend_decoder *d, ff_opend_head *head,
                                             const uint8_t *p, const uint8_t *end,
                                             ff_tick *row) {
    uint64_t sequence = (uint64_t)-1, dir = 0, volume = 0, type = 0, ignored, data_type = 0;
    double price = 0, turnover = 0, hp_volume = 0, recv_time = 0, timestamp = 0;
    ff_text time = ff_step_text(&p, end, 1);
    ff_step_number(&p, end, 2, &sequence);
    ff_step_number(&p, end, 3, &dir);
    bool has_price = ff_step_real(&p, end, 4, &price);
    bool has_volume = ff_step_number(&p, end, 5, &volume);
    bool has_turnover = ff_step_real(&p, end, 6, &turnover);
    ff_step_real(&p, end, 7, &recv_time);
    ff_step_number(&p, end, 8, &type);
    ff_step_number(&p, end, 9, &ignored); /* typeSign */
    ff_step_number(&p, end, 10, &data_type);
    ff_step_real(&p, end, 11, &timestamp);
    bool has_hp_volume = ff_step_real(&p, end, 12, &hp_volume);
    if (FF_UNLIKELY(p != end))
        return 0;
    if (FF_UNLIKELY(!has_price))
        return -FF_EMISSING;
    if (FF_UNLIKELY(!ff_is_finite(price) || !ff_is_finite(turnover) ||
                    !ff_is_finite(hp_volume)))
        return -FF_ENOTFINITE;
    ff_opend_values values = {
        .sequence = (int64_t)sequence,
        .price = price,
        .volume = has_hp_volume ? hp_volume
                  : has_volume  ? (double)(int64_t)volume
                                : (double)NAN,
        .turnover = has_turnover ? turnover : (double)NAN,
        .recv_time = recv_time,
        .dir = (int32_t)(uint32_t)dir,
        .type = (int32_t)(uint32_t)type,
        .push_data_type = (int32_t)(uint32_t)data_type,
    };
    int64_t time_ns = ff_opend_time(d, timestamp, time, head->market);
    head->untimed += time_ns == 0;
    ff_opend_row(d, &values, time_ns, head->symbol, row);
    return 1;
}

static inline int ff_opend_ticker(ff_opend_decoder *d, ff_opend_head *head, const uint8_t *p,
                                  const uint8_t *end, void *rows, size_t room) {
    (void)room;
    if (FF_LIKELY(ff_opend_ticker_full(d, p, end, head->symbol, rows)))
        return 1;
    return ff_opend_ticker_steps(d, head, p, end, rows);
}

static const ff_opend_list ff_opend_tickers = {
    .s2c = &ff_shape_secured,
    .security = 1,
    .elements = 2,
    .shape = &ff_shape_ticker,
    .element = ff_opend_ticker,
    .row_size = sizeof(ff_tick),
};

/* Decode a push (3011) or a reply (3010); see ff_opend_decode_list(). */
static inline int ff_opend_decode_ticks(ff_opend_decoder *d, const uint8_t *body,
                                        size_t length, ff_tick *rows, size_t max_rows) {
    return ff_opend_decode_list(d, &ff_opend_tickers, 0, 0, body, length, rows, max_rows);
}

#endif
