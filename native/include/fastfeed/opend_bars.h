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

/* Write what all rows have; the time is that of the bar's label, 0 = unreadable. */
static inline void ff_opend_bar_row(ff_opend_decoder *d, ff_opend_head *head, int64_t time_ns,
                                    bool blank, ff_bar *row) {
    const int32_t interval_s = ff_opend_interval_s((int32_t)(uint32_t)head->kl_type);
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
    row->kind = ff_u8(head->kl_type);
    row->adjust = ff_u8(head->rehab);
    row->session = 0;
    row->flags = 0;
    row->blank = blank;
    memset(row->_reserved, 0, sizeof row->_reserved);
    if (head->push && row->prev_close == 0) /* pushes send 0 when they mean nothing */
        row->prev_close = (double)NAN;
}

/* A bar with all its fields. Returns false, having done nothing that counts, when it is of
 * another shape: then ff_opend_bar_steps() decides. */
static inline bool ff_opend_bar_full(ff_opend_decoder *d, ff_opend_head *head,
                                     const uint8_t *p, const uint8_t *end, ff_bar *row) {
    enum { FIRST = 2 + 5 * 9 + 1, SECOND = 6 * 9 };
    const size_t length = (size_t)(end - p);
    if (FF_UNLIKELY(length < 2 + FIRST + 1 + SECOND || p[0] != 0x0a || p[1] >= 0x80))
        return false;
    const size_t volume = length - (2 + FIRST + SECOND) - p[1]; /* bytes */
    if (FF_UNLIKELY(volume - 1 >= 8))
        return false;
    /* 0: 10 isBlank 0, 2: five doubles from 3 on, 47: 40 volume */
    const uint8_t *a = p + 2 + p[1], *b = end - SECOND; /* six doubles from 9 on */
    if (FF_UNLIKELY(a[0] != 0x10 || a[1] != 0 || a[47] != 0x40 ||
                    !ff_full_reals(a + 2, 3, 5) || !ff_full_reals(b, 9, 6) ||
                    !ff_full_varint(a + FIRST, volume)))
        return false;
    row->volume = ff_load_f64(b + 46);
    int64_t time_ns = ff_seconds_to_ns(ff_load_f64(b + 37));
    if (FF_UNLIKELY(time_ns == 0 || row->volume != row->volume))
        return false;
    row->high = ff_load_f64(a + 3);
    row->open = ff_load_f64(a + 12);
    row->low = ff_load_f64(a + 21);
    row->close = ff_load_f64(a + 30);
    row->prev_close = ff_load_f64(a + 39);
    row->turnover = ff_load_f64(b + 1);
    row->turnover_rate = ff_load_f64(b + 10);
    row->pe = ff_load_f64(b + 19);
    row->change_rate = ff_load_f64(b + 28);
    ff_opend_bar_row(d, head, time_ns, false, row);
    return true;
}

/* A bar whose fields come in order. As ff_opend_element. */
FF_NOINLINE static int ff_opend_bar_steps(ff_opend_decoder *d, ff_opend_head *head,
                                          const uint8_t *p, const uint8_t *end, ff_bar *row) {
    uint64_t blank = 0, units = 0;
    ff_text time = ff_step_text(&p, end, 1);
    ff_step_number(&p, end, 2, &blank);
    row->high = ff_step_real_or_nan(&p, end, 3);
    row->open = ff_step_real_or_nan(&p, end, 4);
    row->low = ff_step_real_or_nan(&p, end, 5);
    row->close = ff_step_real_or_nan(&p, end, 6);
    row->prev_close = ff_step_real_or_nan(&p, end, 7);
    bool has_units = ff_step_long_number(&p, end, 8, &units);
    row->turnover = ff_step_real_or_nan(&p, end, 9);
    row->turnover_rate = ff_step_real_or_nan(&p, end, 10);
    row->pe = ff_step_real_or_nan(&p, end, 11);
    row->change_rate = ff_step_real_or_nan(&p, end, 12);
    double timestamp = ff_step_real_or_nan(&p, end, 13);
    row->volume = ff_opend_volume(ff_step_real_or_nan(&p, end, 14), has_units, units);
    if (FF_UNLIKELY(p != end))
        return 0;
    if (FF_UNLIKELY(blank != 0)) {
        row->open = row->high = row->low = row->close = row->volume = row->turnover =
            row->prev_close = row->change_rate = row->turnover_rate = row->pe = (double)NAN;
    }
    int64_t time_ns = ff_opend_time(d, timestamp, time, head->market);
    ff_opend_bar_row(d, head, time_ns, blank != 0, row);
    return 1;
}

/* One bar; an ff_opend_element. */
static inline int ff_opend_bar(ff_opend_decoder *d, ff_opend_head *head, const uint8_t *p,
                               const uint8_t *end, void *rows, size_t room) {
    (void)room;
    if (FF_LIKELY(ff_opend_bar_full(d, head, p, end, rows)))
        return 1;
    return ff_opend_bar_steps(d, head, p, end, rows);
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

/* A push as OpenD sends them: one bar with all its fields, and the name. Returns false, having
 * done nothing that counts, when it is of another shape, or the security is new. */
static inline bool ff_opend_bar_alone(ff_opend_decoder *d, const uint8_t *body, size_t length,
                                      ff_bar *row) {
    const uint8_t *end = body + length;
    /* 0: 08 00 retType, 2: 22 S2C, 3: its length in two bytes, 5: 08 rehabType, 7: 10 klType,
     * 9: 1a security, 11: 08 market, 13: 12 code, 14: its length */
    if (FF_UNLIKELY(length < 17 || (ff_load_u32(body) & 0x80ffffffu) != 0x80220008u ||
                    (ff_load_u64(body + 4) & 0xff80ff80ff80ff80u) != 0x08001a0010000800u ||
                    (ff_load_u32(body + 11) & 0x80ff80ffu) != 0x00120008u))
        return false;
    const size_t s2c = (size_t)(body[3] & 0x7f) | (size_t)body[4] << 7, code = body[14];
    if (FF_UNLIKELY(s2c != length - 5 || body[10] != code + 4 || length < 17 + code))
        return false;
    /* 0: 22 bar, 1: its length */
    const uint8_t *bar = body + 15 + code, *bar_end = bar + 2 + bar[1];
    if (FF_UNLIKELY(bar[0] != 0x22 || bar[1] >= 0x80 || end - bar < 4 + bar[1]))
        return false;
    /* 0: 2a name, 1: its length */
    if (FF_UNLIKELY(bar_end[0] != 0x2a || bar_end[1] >= 0x80 ||
                    end - bar_end != 2 + bar_end[1]))
        return false;
    int64_t symbol =
        ff_symbols_find(d->symbols, ff_opend_key_space(body[12]), body + 15, code, end);
    if (FF_UNLIKELY(symbol < 0))
        return false;
    ff_opend_head head = {.symbol = (uint32_t)symbol,
                          .market = body[12],
                          .rehab = body[6],
                          .kl_type = body[8],
                          .push = true};
    return ff_opend_bar_full(d, &head, bar + 2, bar_end, row);
}

/* Decode a push; see ff_opend_decode_list(). */
static inline int ff_opend_decode_bars(ff_opend_decoder *d, const uint8_t *body, size_t length,
                                       ff_bar *rows, size_t max_rows) {
    if (FF_LIKELY(max_rows > 0 && ff_opend_bar_alone(d, body, length, rows)))
        return 1;
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
