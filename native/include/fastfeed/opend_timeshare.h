#ifndef FASTFEED_OPEND_TIMESHARE_H
#define FASTFEED_OPEND_TIMESHARE_H

/* The decoder of Qot_UpdateRT (3009) and of the replies of Qot_GetRT (3008). What a point does
 * not have is NaN. */

#include "fastfeed/opend_decoder.h"

/* Write what all rows have. */
static inline void ff_opend_point_row(ff_opend_decoder *d, ff_opend_head *head,
                                      int64_t time_ns, int32_t minute, bool blank,
                                      ff_timeshare *row) {
    row->recv_ns = d->recv_ns;
    row->time_ns = time_ns;
    head->untimed += time_ns == 0;
    row->gateway_ns = 0;
    row->seq = -1;
    row->symbol = head->symbol;
    row->minute = minute;
    row->blank = blank;
    row->session = 0;
    row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
}

/* A point with all its fields, the minute in two bytes. Returns false, having done nothing
 * that counts, when it is of another shape: then ff_opend_point_steps() decides. */
static inline bool ff_opend_point_full(ff_opend_decoder *d, ff_opend_head *head,
                                       const uint8_t *p, const uint8_t *end,
                                       ff_timeshare *row) {
    enum { FIRST = 5 + 3 * 9 + 1, SECOND = 3 * 9 };
    const size_t length = (size_t)(end - p);
    if (FF_UNLIKELY(length < 2 + FIRST + 1 + SECOND || p[0] != 0x0a || p[1] >= 0x80))
        return false;
    const size_t volume = length - (2 + FIRST + SECOND) - p[1]; /* bytes */
    if (FF_UNLIKELY(volume - 1 >= 8))
        return false;
    /* 0: 10 minute, 3: 18 isBlank 0, 5: three doubles from 4 on, 32: 38 volume */
    const uint8_t *a = p + 2 + p[1], *b = end - SECOND; /* three doubles from 8 on */
    if (FF_UNLIKELY(a[0] != 0x10 || a[1] < 0x80 || a[2] >= 0x80 || a[3] != 0x18 || a[4] != 0 ||
                    a[32] != 0x38 || !ff_full_reals(a + 5, 4, 3) || !ff_full_reals(b, 8, 3) ||
                    !ff_full_varint(a + FIRST, volume)))
        return false;
    row->volume = ff_load_f64(b + 19);
    int64_t time_ns = ff_seconds_to_ns(ff_load_f64(b + 10));
    if (FF_UNLIKELY(time_ns == 0 || row->volume != row->volume))
        return false;
    row->price = ff_load_f64(a + 6);
    row->prev_close = ff_load_f64(a + 15);
    row->avg_price = ff_load_f64(a + 24);
    row->turnover = ff_load_f64(b + 1);
    ff_opend_point_row(d, head, time_ns, (a[1] & 0x7f) | a[2] << 7, false, row);
    return true;
}

/* A point whose fields come in order. As ff_opend_element. */
FF_NOINLINE static int ff_opend_point_steps(ff_opend_decoder *d, ff_opend_head *head,
                                            const uint8_t *p, const uint8_t *end,
                                            ff_timeshare *row) {
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
    ff_opend_point_row(d, head, ff_opend_time(d, timestamp, time, head->market),
                       (int32_t)(uint32_t)minute, blank != 0, row);
    return 1;
}

/* One point; an ff_opend_element. */
static inline int ff_opend_point(ff_opend_decoder *d, ff_opend_head *head, const uint8_t *p,
                                 const uint8_t *end, void *rows, size_t room) {
    (void)room;
    if (FF_LIKELY(ff_opend_point_full(d, head, p, end, rows)))
        return 1;
    return ff_opend_point_steps(d, head, p, end, rows);
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
