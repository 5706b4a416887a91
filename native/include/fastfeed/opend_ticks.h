#ifndef FASTFEED_OPEND_TICKS_H
#define FASTFEED_OPEND_TICKS_H

/* The decoder of Qot_UpdateTicker (3011): the body's wire bytes to rows, in one walk.
 *
 * Real bodies are canonical: every field once, in the order of the numbers.
 * ff_opend_ticks_canonical() expects that order; in it, ff_opend_ticker_full() takes tickers
 * that have all fields, and ff_opend_ticker() those that lack some, or have others: those it
 * finishes field by field. A body whose outer shape is another one is decoded again by
 * ff_opend_ticks_any(), which takes what protobuf takes: any order, unknown fields, a message
 * in several pieces. All give the same rows.
 *
 * A body is decoded completely or not at all; a row without a usable price is left out and
 * counted. */

#include "fastfeed/opend_decoder.h"

/* Tags of Qot_Common.Ticker. */
enum {
    FF_TICKER_TIME = 0x0a,
    FF_TICKER_SEQUENCE = 0x10,
    FF_TICKER_DIR = 0x18,
    FF_TICKER_PRICE = 0x21,
    FF_TICKER_VOLUME = 0x28,
    FF_TICKER_TURNOVER = 0x31,
    FF_TICKER_RECV_TIME = 0x39,
    FF_TICKER_TYPE = 0x40,
    FF_TICKER_TYPE_SIGN = 0x48,
    FF_TICKER_PUSH_DATA_TYPE = 0x50,
    FF_TICKER_TIMESTAMP = 0x59,
    FF_TICKER_HP_VOLUME = 0x61,
};

/* What a ticker says, besides its time as text. */
typedef struct ff_opend_values {
    int64_t sequence;
    double price, volume, turnover, recv_time;
    int32_t dir, type, push_data_type;
} ff_opend_values;

/* Write a row whose time is known. */
static inline void ff_opend_row(ff_opend_decoder *d, const ff_opend_values *v, int64_t time_ns,
                                uint32_t symbol, ff_tick *row) {
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
    row->flags = (uint8_t)(d->flags | (v->push_data_type == 3) * FF_FLAG_CACHED |
                           (v->push_data_type == 2) * FF_FLAG_BACKFILLED);
    d->flags = 0;
}

/* A ticker as OpenD sends them today: every field once and in order, a sequence of nine bytes,
 * the small numbers of one. The tags are compared by the word, and no step waits for the one
 * before it, except behind the volume. Returns false, having done nothing, when it is of
 * another shape or not fit for a row: then ff_opend_ticker() decides. */
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

/* One ticker: *row becomes its row. Returns 1, 2 when the row has no readable time, or a
 * negative reason; -FF_EMISSING and -FF_ENOTFINITE speak of this row only. */
FF_NOINLINE static int ff_opend_ticker(ff_opend_decoder *d, const uint8_t *p,
                                       const uint8_t *end, uint32_t symbol, uint64_t market,
                                       ff_tick *row) {
    enum { PRICE = 1, TURNOVER = 2, HP_VOLUME = 4, VOLUME = 8 };
    const uint8_t *time = NULL;
    size_t time_length = 0;
    int64_t sequence = -1;
    uint64_t volume = 0, v;
    int32_t dir = 0, type = 0, push_data_type = 0;
    double price = 0, turnover = 0, hp_volume = 0, recv_time = 0, timestamp = 0;
    unsigned seen = 0;
    int why;

    /* The canonical order. A step that does not find its field leaves p where it is. */
    if (FF_LIKELY(end - p >= 2 && p[0] == FF_TICKER_TIME && p[1] < 0x80 &&
                  end - p - 2 >= p[1])) {
        time = p + 2;
        time_length = p[1];
        p = time + time_length;
    }
    if (FF_LIKELY(p < end && *p == FF_TICKER_SEQUENCE)) {
        if ((p = ff_wire_varint(p + 1, end, &v, &why)) == NULL)
            return -why;
        sequence = (int64_t)v;
    }
    if (FF_LIKELY(p < end && *p == FF_TICKER_DIR)) {
        if ((p = ff_wire_varint(p + 1, end, &v, &why)) == NULL)
            return -why;
        dir = (int32_t)(uint32_t)v;
    }
    if (FF_LIKELY(end - p >= 9 && *p == FF_TICKER_PRICE)) {
        price = ff_load_f64(p + 1);
        seen |= PRICE;
        p += 9;
    }
    if (FF_LIKELY(p < end && *p == FF_TICKER_VOLUME)) {
        if ((p = ff_wire_varint(p + 1, end, &volume, &why)) == NULL)
            return -why;
        seen |= VOLUME;
    }
    if (FF_LIKELY(end - p >= 9 && *p == FF_TICKER_TURNOVER)) {
        turnover = ff_load_f64(p + 1);
        seen |= TURNOVER;
        p += 9;
    }
    if (FF_LIKELY(end - p >= 9 && *p == FF_TICKER_RECV_TIME)) {
        recv_time = ff_load_f64(p + 1);
        p += 9;
    }
    if (FF_LIKELY(p < end && *p == FF_TICKER_TYPE)) {
        if ((p = ff_wire_varint(p + 1, end, &v, &why)) == NULL)
            return -why;
        type = (int32_t)(uint32_t)v;
    }
    if (FF_LIKELY(p < end && *p == FF_TICKER_TYPE_SIGN)) {
        if ((p = ff_wire_varint(p + 1, end, &v, &why)) == NULL)
            return -why;
    }
    if (FF_LIKELY(p < end && *p == FF_TICKER_PUSH_DATA_TYPE)) {
        if ((p = ff_wire_varint(p + 1, end, &v, &why)) == NULL)
            return -why;
        push_data_type = (int32_t)(uint32_t)v;
    }
    if (FF_LIKELY(end - p >= 9 && *p == FF_TICKER_TIMESTAMP)) {
        timestamp = ff_load_f64(p + 1);
        p += 9;
    }
    if (FF_LIKELY(end - p >= 9 && *p == FF_TICKER_HP_VOLUME)) {
        hp_volume = ff_load_f64(p + 1);
        seen |= HP_VOLUME;
        p += 9;
    }

    /* Whatever is left: other orders, repetitions (the last one counts), unknown fields. */
    while (FF_UNLIKELY(p < end)) {
        uint32_t tag;
        if ((p = ff_wire_tag(p, end, &tag, &why)) == NULL)
            return -why;
        const uint8_t *value = p;
        if ((p = ff_wire_skip(p, end, tag, &why)) == NULL)
            return -why;
        v = 0;
        double f = 0;
        if ((tag & 7) == FF_WIRE_VARINT)
            ff_wire_varint(value, p, &v, &why);
        else if ((tag & 7) == FF_WIRE_I64)
            f = ff_load_f64(value);
        switch (tag) {
        case FF_TICKER_TIME:
            time = ff_wire_length(value, p, &time_length, &why);
            break;
        case FF_TICKER_SEQUENCE:
            sequence = (int64_t)v;
            break;
        case FF_TICKER_DIR:
            dir = (int32_t)(uint32_t)v;
            break;
        case FF_TICKER_PRICE:
            price = f;
            seen |= PRICE;
            break;
        case FF_TICKER_VOLUME:
            volume = v;
            seen |= VOLUME;
            break;
        case FF_TICKER_TURNOVER:
            turnover = f;
            seen |= TURNOVER;
            break;
        case FF_TICKER_RECV_TIME:
            recv_time = f;
            break;
        case FF_TICKER_TYPE:
            type = (int32_t)(uint32_t)v;
            break;
        case FF_TICKER_PUSH_DATA_TYPE:
            push_data_type = (int32_t)(uint32_t)v;
            break;
        case FF_TICKER_TIMESTAMP:
            timestamp = f;
            break;
        case FF_TICKER_HP_VOLUME:
            hp_volume = f;
            seen |= HP_VOLUME;
            break;
        default:
            break;
        }
    }

    if (FF_UNLIKELY(!(seen & PRICE)))
        return -FF_EMISSING;
    if (FF_UNLIKELY(!ff_is_finite(price) || !ff_is_finite(turnover) ||
                    !ff_is_finite(hp_volume)))
        return -FF_ENOTFINITE;
    int64_t time_ns = ff_seconds_to_ns(timestamp);
    if (FF_UNLIKELY(time_ns == 0))
        time_ns = ff_market_time(time, time_length, ff_opend_zone(market), &d->date);
    ff_opend_values values = {
        .sequence = sequence,
        .price = price,
        .volume = FF_LIKELY(seen & HP_VOLUME) ? hp_volume
                  : seen & VOLUME             ? (double)(int64_t)volume
                                              : (double)NAN,
        .turnover = FF_LIKELY(seen & TURNOVER) ? turnover : (double)NAN,
        .recv_time = recv_time,
        .dir = dir,
        .type = type,
        .push_data_type = push_data_type,
    };
    ff_opend_row(d, &values, time_ns, symbol, row);
    return time_ns != 0 ? 1 : 2;
}

/* ---- any shape ---- */

/* What a body says outside of its tickers. */
typedef struct ff_opend_outer {
    int32_t ret_type;
    uint64_t market;
    const uint8_t *code;
    size_t code_length;
} ff_opend_outer;

/* Security and the S2C's other fields: reads the security, checks the rest, counts the
 * tickers. */
static inline int ff_opend_outer_s2c(const uint8_t *p, const uint8_t *end,
                                     ff_opend_outer *outer) {
    int why;
    while (p < end) {
        uint32_t tag;
        if ((p = ff_wire_tag(p, end, &tag, &why)) == NULL)
            return -why;
        const uint8_t *value = p;
        if ((p = ff_wire_skip(p, end, tag, &why)) == NULL)
            return -why;
        if (tag != 0x0a) /* security */
            continue;
        size_t length;
        const uint8_t *q = ff_wire_length(value, p, &length, &why);
        while (q < p) {
            if ((q = ff_wire_tag(q, p, &tag, &why)) == NULL)
                return -why;
            value = q;
            if ((q = ff_wire_skip(q, p, tag, &why)) == NULL)
                return -why;
            uint64_t v;
            if (tag == 0x08 && ff_wire_varint(value, q, &v, &why) != NULL)
                outer->market = (uint32_t)v;
            else if (tag == 0x12)
                outer->code = ff_wire_length(value, q, &outer->code_length, &why);
        }
    }
    return 0;
}

/* A body of any shape. Two walks: retType and the security may come after the tickers. */
FF_NOINLINE static int ff_opend_ticks_any(ff_opend_decoder *d, const uint8_t *body,
                                          const uint8_t *end, ff_tick *rows, size_t max_rows) {
    ff_opend_outer outer = {.ret_type = -400};
    uint32_t tag;
    size_t length;
    int why, rc;
    for (const uint8_t *p = body; p < end;) {
        if ((p = ff_wire_tag(p, end, &tag, &why)) == NULL)
            return -why;
        const uint8_t *value = p;
        if ((p = ff_wire_skip(p, end, tag, &why)) == NULL)
            return -why;
        if (tag == 0x08) { /* retType */
            uint64_t v = 0;
            ff_wire_varint(value, p, &v, &why);
            outer.ret_type = (int32_t)(uint32_t)v;
        } else if (tag == 0x22) { /* s2c */
            value = ff_wire_length(value, p, &length, &why);
            if ((rc = ff_opend_outer_s2c(value, p, &outer)) < 0)
                return rc;
        }
    }
    if (outer.ret_type != 0)
        return -FF_ERETTYPE;
    if (outer.code == NULL)
        return -FF_ESYMBOL;
    int64_t symbol =
        ff_opend_symbol(d->symbols, outer.market, outer.code, outer.code_length, end);
    if (symbol < 0)
        return (int)symbol;

    size_t n = 0;
    uint64_t missing = 0, not_finite = 0, untimed = 0;
    for (const uint8_t *p = body; p < end;) { /* checked by the first walk */
        p = ff_wire_tag(p, end, &tag, &why);
        const uint8_t *value = p;
        p = ff_wire_skip(p, end, tag, &why);
        if (tag != 0x22)
            continue;
        value = ff_wire_length(value, p, &length, &why);
        while (value < p) {
            value = ff_wire_tag(value, p, &tag, &why);
            const uint8_t *ticker = value;
            value = ff_wire_skip(value, p, tag, &why);
            if (tag != 0x12)
                continue;
            if (n == max_rows)
                return -FF_EROWS;
            ticker = ff_wire_length(ticker, value, &length, &why);
            rc = ff_opend_ticker(d, ticker, value, (uint32_t)symbol, outer.market, rows + n);
            missing += rc == -FF_EMISSING;
            not_finite += rc == -FF_ENOTFINITE;
            untimed += rc == 2;
            if (rc > 0)
                n++;
            else if (rc != -FF_EMISSING && rc != -FF_ENOTFINITE)
                return rc;
        }
    }
    d->dropped[FF_EMISSING] += missing;
    d->dropped[FF_ENOTFINITE] += not_finite;
    d->dropped[FF_ETIME] += untimed;
    return (int)n;
}

/* ---- the canonical shape ---- */

/* Returns the number of rows, or -1 when the body has another shape, its security is new, or
 * anything is wrong with it; then nothing was counted. */
static inline int ff_opend_ticks_canonical(ff_opend_decoder *d, const uint8_t *p,
                                           const uint8_t *end, ff_tick *rows,
                                           size_t max_rows) {
    int why;
    size_t length;
    /* retType 0, s2c */
    if (FF_UNLIKELY(end - p < 4 || p[0] != 0x08 || p[1] != 0x00 || p[2] != 0x22))
        return -1;
    if ((p = ff_wire_length(p + 3, end, &length, &why)) == NULL || (size_t)(end - p) != length)
        return -1;
    /* security: its length, market of one byte, code */
    if (FF_UNLIKELY(end - p < 6 || p[0] != 0x0a || p[1] >= 0x80 || end - p - 2 < p[1]))
        return -1;
    const uint8_t *code = p + 6;
    size_t code_length = p[5];
    uint64_t market = p[3];
    if (FF_UNLIKELY(p[2] != 0x08 || market >= 0x80 || p[4] != 0x12 || code_length + 4 != p[1]))
        return -1;
    /* A new security is left to the walk for any shape: only that one knows whether another
     * security follows and counts. */
    int64_t symbol = ff_symbols_find(d->symbols, ff_opend_key_space((uint32_t)market), code,
                                     code_length, end);
    if (FF_UNLIKELY(symbol < 0))
        return -1;
    p = code + code_length;

    size_t n = 0;
    uint64_t untimed = 0;
    while (p < end && *p == 0x12) { /* tickerList */
        if (FF_UNLIKELY(n == max_rows ||
                        (p = ff_wire_length(p + 1, end, &length, &why)) == NULL))
            return -1;
        if (FF_UNLIKELY(!ff_opend_ticker_full(d, p, p + length, (uint32_t)symbol, rows + n))) {
            int rc = ff_opend_ticker(d, p, p + length, (uint32_t)symbol, market, rows + n);
            if (rc < 0)
                return -1;
            untimed += (uint64_t)(rc - 1);
        }
        n++;
        p += length;
    }
    if (FF_LIKELY(p < end && *p == 0x1a)) { /* name */
        if (FF_UNLIKELY((p = ff_wire_length(p + 1, end, &length, &why)) == NULL))
            return -1;
        p += length;
    }
    if (FF_UNLIKELY(p != end))
        return -1;
    d->dropped[FF_ETIME] += untimed;
    return (int)n;
}

/* Decode a body into up to max_rows rows. Returns how many, or a negative reason (then nothing
 * counts that was written). An unknown security gets an id as a side effect. */
static inline int ff_opend_decode_ticks(ff_opend_decoder *d, const uint8_t *body,
                                        size_t length, ff_tick *rows, size_t max_rows) {
    uint8_t flags = d->flags;
    int n = ff_opend_ticks_canonical(d, body, body + length, rows, max_rows);
    if (FF_LIKELY(n >= 0))
        return n;
    d->flags = flags;
    n = ff_opend_ticks_any(d, body, body + length, rows, max_rows);
    if (n < 0)
        d->flags = flags;
    return n;
}

#endif
