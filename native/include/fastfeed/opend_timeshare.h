#ifndef FASTFEED_OPEND_TIMESHARE_H
#define FASTFEED_OPEND_TIMESHARE_H

/* The decoder of Qot_UpdateRT (3009) and of the replies of Qot_GetRT (3008). What a point does
 * not have is NaN. */

#include "fastfeed/opend_decoder.h"

/* One point; an ff_opend_element. */
static inline int ff_opend_point(ff_opend_decoder *d, ff_opend_head *head, const uint8_t *p,
                                 const uint8_t *end, void *rows, size_t room) {
    (void)room;
    ff_timeshare *row = rows;
    uint64_t minute = 0, blank = 0, units = 0;
    ff_text time = ff_step_text(&p, end, 1);
    ff_step_number(&p, end, 2, &minute);
    ff_step_number(&p, end, 3, &blank);
    row->price = ff_step_real_or_nan(&p, end, 4);
    row->prev_close = ff_step_real_or_nan(&p, end, 5);
    row->avg_price = ff_step_real_or_nan(&p, end, 6);
    bool has_units = ff_step_long_number(&p, end, 7, &units);
    row->turnover = ff_step_real_or_nan(&p, end, 8);
    double timestamp = ff_step_real_or_nan(&p, end, 9);
    row->volume = ff_opend_volume(ff_step_real_or_nan(&p, end, 10), has_units, units);
    if (FF_UNLIKELY(p != end))
        return 0;
    if (FF_UNLIKELY(blank != 0)) {
        row->price = row->prev_close = row->avg_price = row->volume = row->turnover =
            (double)NAN;
    }
    row->recv_ns = d->recv_ns;
    row->time_ns = ff_opend_time(d, timestamp, time, head->market);
    head->untimed += row->time_ns == 0;
    row->gateway_ns = 0;
    row->seq = -1;
    row->symbol = head->symbol;
    row->minute = (int32_t)(uint32_t)minute;
    row->blank = blank != 0;
    row->session = 0;
    row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
    return 1;
}

static const ff_opend_list ff_opend_points = {
    .s2c = &ff_shape_secured,
    .security = 1,
    .elements = 2,
    .shape = &ff_shape_timeshare,
    .element = ff_opend_point,
    .row_size = sizeof(ff_timeshare),
};

/* Decode a push or a reply; see ff_opend_decode_list(). */
static inline int ff_opend_decode_timeshare(ff_opend_decoder *d, const uint8_t *body,
                                            size_t length, ff_timeshare *rows,
                                            size_t max_rows) {
    return ff_opend_decode_list(d, &ff_opend_points, 0, 0, body, length, rows, max_rows);
}

#endif
