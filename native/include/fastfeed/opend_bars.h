#ifndef FASTFEED_OPEND_BARS_H
#define FASTFEED_OPEND_BARS_H

/* The decoder of Qot_UpdateKL (3007) and of the replies of Qot_GetKL (3006) and
 * Qot_RequestHistoryKL (3103). What a bar does not have is NaN: replies of 3103 have only the
 * fields that were asked for. */

#include "fastfeed/opend_decoder.h"

/* Seconds of a Qot_Common.KLType, 0 for one that we do not know. INTERVALS of
 * fastfeed/protocols/opend_codes.py has the same numbers. */
static inline int32_t ff_opend_interval_s(int32_t kl_type) {
    enum { DAY = 86400 };
    static const int32_t seconds[] = {
        0,    60,   DAY, 7 * DAY,  30 * DAY, 365 * DAY, 300,   900,
        1800, 3600, 180, 90 * DAY, 600,      7200,      10800, 14400,
    };
    return kl_type >= 0 && kl_type <= 15 ? seconds[kl_type] : 0;
}

/* One bar; an ff_opend_element. */
static inline int ff_opend_bar(ff_opend_decoder *d, ff_opend_head *head, const uint8_t *p,
                               const uint8_t *end, void *rows, size_t room) {
    (void)room;
    ff_bar *row = rows;
    uint64_t blank = 0, units = 0;
    ff_text time = ff_step_text(&p, end, 1);
    ff_step_number(&p, end, 2, &blank);
    row->high = ff_step_real_or_nan(&p, end, 3);
    row->open = ff_step_real_or_nan(&p, end, 4);
    row->low = ff_step_real_or_nan(&p, end, 5);
    row->close = ff_step_real_or_nan(&p, end, 6);
    double prev_close = ff_step_real_or_nan(&p, end, 7);
    bool has_units = ff_step_long_number(&p, end, 8, &units);
    row->turnover = ff_step_real_or_nan(&p, end, 9);
    row->turnover_rate = ff_step_real_or_nan(&p, end, 10);
    row->pe = ff_step_real_or_nan(&p, end, 11);
    row->change_rate = ff_step_real_or_nan(&p, end, 12);
    double timestamp = ff_step_real_or_nan(&p, end, 13);
    row->volume = ff_opend_volume(ff_step_real_or_nan(&p, end, 14), has_units, units);
    if (FF_UNLIKELY(p != end))
        return 0;
    /* Pushes send 0 when they mean nothing. */
    row->prev_close = head->push && prev_close == 0 ? (double)NAN : prev_close;
    if (FF_UNLIKELY(blank != 0)) {
        row->open = row->high = row->low = row->close = row->volume = row->turnover =
            row->prev_close = row->change_rate = row->turnover_rate = row->pe = (double)NAN;
    }
    const int32_t interval_s = ff_opend_interval_s((int32_t)(uint32_t)head->kl_type);
    int64_t time_ns = ff_opend_time(d, timestamp, time, head->market);
    if (FF_UNLIKELY(time_ns == 0))
        head->untimed++;
    else if (interval_s < 86400) /* the label is the bar's end */
        time_ns -= interval_s * (int64_t)1000000000;
    row->recv_ns = d->recv_ns;
    row->time_ns = time_ns;
    row->gateway_ns = 0;
    row->seq = -1;
    row->symbol = head->symbol;
    row->interval_s = interval_s;
    row->kind = ff_opend_u8(head->kl_type);
    row->adjust = ff_opend_u8(head->rehab);
    row->session = 0;
    row->flags = 0;
    row->blank = blank != 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
    return 1;
}

static const ff_opend_list ff_opend_push_bars = {
    .s2c = &ff_shape_bars,
    .typed = true,
    .security = 3,
    .elements = 4,
    .shape = &ff_shape_bar,
    .element = ff_opend_bar,
    .row_size = sizeof(ff_bar),
};

static const ff_opend_list ff_opend_reply_bars = {
    .s2c = &ff_shape_secured,
    .security = 1,
    .elements = 2,
    .shape = &ff_shape_bar,
    .element = ff_opend_bar,
    .row_size = sizeof(ff_bar),
};

/* Decode a push; see ff_opend_decode_list(). */
static inline int ff_opend_decode_bars(ff_opend_decoder *d, const uint8_t *body, size_t length,
                                       ff_bar *rows, size_t max_rows) {
    return ff_opend_decode_list(d, &ff_opend_push_bars, 0, 0, body, length, rows, max_rows);
}

/* Decode a reply: it does not say what was asked for. */
static inline int ff_opend_decode_bars_reply(ff_opend_decoder *d, int32_t kl_type,
                                             int32_t rehab, const uint8_t *body, size_t length,
                                             ff_bar *rows, size_t max_rows) {
    return ff_opend_decode_list(d, &ff_opend_reply_bars, (uint32_t)kl_type, (uint32_t)rehab,
                                body, length, rows, max_rows);
}

#endif
