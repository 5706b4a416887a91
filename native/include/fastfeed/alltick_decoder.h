#ifndef FASTFEED_ALLTICK_DECODER_H
#define FASTFEED_ALLTICK_DECODER_H

/* The decoder of AllTick's messages: JSON text to rows.
 *
 * Pushes come compact and with their keys in the documented order. ff_alltick_fast_tick() and
 * ff_alltick_fast_book() compare the text between the values, and take the values, in one
 * walk. What is not word for word like that, and what is not plain good (an unknown code, a
 * time that cannot be, anything that is counted), goes to ff_alltick_decode_any() from the
 * start: there is one place for the meaning of a message, and both ways give the same rows and
 * counters.
 *
 * Of keys that stand twice the last one counts, also of `cmd_id` behind `data`.
 *
 * A message is decoded completely or not at all. Its symbols are canonical as they are, so
 * they are looked up in space 0. */

#include <math.h>

#include "fastfeed/decimal.h"
#include "fastfeed/rows.h"
#include "fastfeed/symbols.h"
#include "fastfeed/wire.h"

enum {
    FF_ALLTICK_TICK_PUSH = 22998, /* values of cmd_id */
    FF_ALLTICK_BOOK_PUSH = 22999,
    FF_ALLTICK_MAX_MESSAGE = 1 << 20, /* bytes; a longer one is not looked at */
    FF_ALLTICK_MAX_CODE = 16,
    FF_ALLTICK_MIN_ITEM = 22, /* bytes of the shortest tick, {"code":"A","price":1}, or book */
};

#define FF_ALLTICK_DAY_NS ((int64_t)86400 * 1000000000)
/* A tick that is older when it arrives is flagged. */
#define FF_ALLTICK_STALE_NS ((int64_t)60 * 1000000000)
#define FF_ALLTICK_MAX_PRICE 1e12  /* exclusive, as are the others */
#define FF_ALLTICK_MAX_VOLUME 1e18 /* and turnover */

/* What a message was. */
typedef enum ff_alltick_kind {
    FF_ALLTICK_IGNORED = 0, /* one of the counters says why */
    FF_ALLTICK_TICKS = 1,
    FF_ALLTICK_BOOKS = 2,
    FF_ALLTICK_SESSION = 3, /* good JSON and no push: a reply, for the session to read */
} ff_alltick_kind;

/* What the decoder keeps between messages. The caller sets the first four. */
typedef struct ff_alltick_decoder {
    ff_symbols *symbols;
    int64_t recv_ns; /* goes into every row; not negative */
    size_t depth;    /* levels a side of the rows of books */
    bool learn;      /* give unknown codes an id; otherwise they are counted and left out */
    /* Counted of messages that were decoded, not of those that were rejected. */
    uint64_t dropped[FF_REASONS]; /* FF_ETIME: rows whose time is none; the others stay 0 */
    uint64_t cut_levels;          /* levels of books that had no room */
    uint64_t odd_seqs;            /* sequences negative or beyond 63 bits: -1 in the row */
    uint64_t odd_directions;      /* directions other than 0, 1 and 2: side 0 in the row */
    uint64_t unknown_codes;       /* rows left out */
    /* Messages ignored. */
    uint64_t unknown_numbers; /* neither a push nor a reply that we know of */
    uint64_t non_json;        /* begins like no JSON array or object */
    uint64_t unwanted;        /* nobody listens */
} ff_alltick_decoder;

/* Where the rows go; those of one kind are used. */
typedef struct ff_alltick_rows {
    ff_tick *ticks; /* NULL: nobody listens */
    size_t max_ticks;
    ff_book *books; /* of ff_book_size(depth) bytes each; NULL: nobody listens */
    size_t max_books;
    size_t count; /* set: how many were written */
} ff_alltick_rows;

/* How many rows a message cannot exceed. */
static inline size_t ff_alltick_max_rows(size_t length) {
    return length / FF_ALLTICK_MIN_ITEM + 1;
}

/* Decode a message of any shape. As ff_alltick_decode(). */
int ff_alltick_decode_any(ff_alltick_decoder *d, const uint8_t *data, size_t length,
                          ff_alltick_rows *rows);

/* Decode the reply to an HTTP request for ticks or books (data.tick_list, without a cmd_id)
 * into at most max_rows rows of that stream. Whether the reply says that it is an error is for
 * the caller to see. Returns how many rows, or a negative reason. */
int ff_alltick_decode_reply(ff_alltick_decoder *d, ff_stream stream, const uint8_t *data,
                            size_t length, void *rows, size_t max_rows);

/* ---- what values mean */

/* A time of any unit, told by its magnitude, in ns. 0: it is none, or more than a day ahead.
 */
static inline int64_t ff_alltick_time(uint64_t v, int64_t recv_ns) {
    uint64_t unit = 1000000, most = INT64_MAX / 1000000; /* ms */
    if (FF_UNLIKELY(v < 100000000000u)) {
        unit = 1000000000;
        most = INT64_MAX / 1000000000;
    } else if (FF_UNLIKELY(v >= 100000000000000u)) {
        bool us = v < 100000000000000000u;
        unit = us ? 1000 : 1;
        most = INT64_MAX / unit;
    }
    if (FF_UNLIKELY(v > most))
        return 0;
    int64_t time_ns = (int64_t)(v * unit);
    return FF_LIKELY(time_ns - FF_ALLTICK_DAY_NS <= recv_ns) ? time_ns : 0;
}

typedef struct ff_alltick_trade {
    double price, volume, turnover;
    int64_t seq, time_ns;
    uint64_t direction;
    uint32_t symbol;
} ff_alltick_trade;

static inline void ff_alltick_put_tick(const ff_alltick_decoder *d, const ff_alltick_trade *v,
                                       ff_tick *row) {
    row->recv_ns = d->recv_ns;
    row->time_ns = v->time_ns;
    row->gateway_ns = 0;
    row->seq = v->seq;
    row->price = v->price;
    row->volume = v->volume;
    row->turnover = v->turnover;
    row->symbol = v->symbol;
    row->side = (int8_t)((v->direction == 1) - (v->direction == 2));
    row->kind = 0;
    row->session = 0;
    const bool stale = v->time_ns != 0 && d->recv_ns - v->time_ns > FF_ALLTICK_STALE_NS;
    row->flags = (uint8_t)(stale * FF_FLAG_STALE);
}

/* One side of a book being filled: how many levels were sent, not counting those of price 0.
 */
typedef struct ff_alltick_side {
    double *price, *volume;
    size_t levels;
} ff_alltick_side;

static inline ff_alltick_side ff_alltick_bids(ff_book *row, size_t depth) {
    return (ff_alltick_side){ff_book_bid_price(row), ff_book_bid_volume(row, depth), 0};
}

static inline ff_alltick_side ff_alltick_asks(ff_book *row, size_t depth) {
    return (ff_alltick_side){ff_book_ask_price(row, depth), ff_book_ask_volume(row, depth), 0};
}

/* Mark the levels that are not there; returns how many are. */
static inline uint16_t ff_alltick_side_end(const ff_alltick_side *side, size_t depth,
                                           uint64_t *cut) {
    const size_t levels = side->levels < depth ? side->levels : depth;
    *cut += side->levels - levels;
    for (size_t i = levels; i < depth; i++)
        side->price[i] = side->volume[i] = (double)NAN;
    return (uint16_t)levels;
}

/* The rest of a book's row; its sides are filled. */
static inline void ff_alltick_put_book(const ff_alltick_decoder *d, int64_t seq,
                                       int64_t time_ns, uint32_t symbol,
                                       const ff_alltick_side *bids,
                                       const ff_alltick_side *asks, uint64_t *cut,
                                       ff_book *row) {
    const size_t depth = d->depth;
    row->recv_ns = d->recv_ns;
    row->time_ns = time_ns;
    row->gateway_ns = 0;
    row->seq = seq;
    row->bid_ns = row->ask_ns = 0;
    row->symbol = symbol;
    row->bids = ff_alltick_side_end(bids, depth, cut);
    row->asks = ff_alltick_side_end(asks, depth, cut);
    row->kind = 0;
    row->session = 0;
    row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
    /* No orders, and what fills the row up. */
    uint8_t *orders = (uint8_t *)ff_book_bid_orders(row, depth);
    memset(orders, 0, (size_t)((uint8_t *)row + ff_book_size(depth) - orders));
}

/* ---- the documented form */

#define FF_ALLTICK_STEP static inline __attribute__((always_inline))

/* Whether a text stands at p. */
#define FF_TEXT_AT(p, end, text)                                                              \
    ((size_t)((end) - (p)) >= sizeof(text) - 1 && memcmp(p, text, sizeof(text) - 1) == 0)

/* A bit 7 for each byte that cannot be in a code as it stands: a control or a blank, a
 * backslash, beyond ASCII. The quote is one of them. */
static inline uint64_t ff_alltick_code_stop(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    const uint64_t low = word & ~highs, quote = low ^ ones * '"', slash = low ^ ones * '\\';
    /* Each term has bit 7 clear where its byte stops, without carries between bytes. */
    return (word | ~((low | highs) - ones * '!') | (low + ones) | ~(quote + ones * 0x7f) |
            ~(slash + ones * 0x7f)) &
           highs;
}

/* What both pushes begin with: from behind the opening quote of the code to behind the time.
 * NULL: another form, or not plain good. */
FF_ALLTICK_STEP const uint8_t *ff_alltick_step_head(const ff_alltick_decoder *d,
                                                    const uint8_t *p, const uint8_t *end,
                                                    uint32_t *symbol, int64_t *seq,
                                                    int64_t *time_ns) {
    uint64_t v;
    if (FF_UNLIKELY(end - p < 48))
        return NULL;
    uint64_t stop = ff_alltick_code_stop(ff_load_u64(p));
    size_t length;
    if (FF_LIKELY(stop != 0)) {
        length = (unsigned)__builtin_ctzll(stop) / 8;
    } else {
        stop = ff_alltick_code_stop(ff_load_u64(p + 8));
        length = stop != 0 ? 8 + (unsigned)__builtin_ctzll(stop) / 8 : 16;
    }
    int64_t id = ff_symbols_find(d->symbols, 0, p, length, end);
    p += length;
    if (FF_UNLIKELY(id < 0 || !FF_TEXT_AT(p, end, "\",\"seq\":")))
        return NULL;
    *symbol = (uint32_t)id;
    p += 8;
    bool quoted = *p == '"';
    p += quoted;
    if (FF_UNLIKELY(*p == '0')) /* bare, it must not be the first of several */
        return NULL;
    p = ff_digits_read(p, end, &v);
    if (FF_UNLIKELY(p == NULL || v > INT64_MAX))
        return NULL;
    *seq = (int64_t)v;
    p += quoted; /* of the 48 bytes at most 44 are behind */
    if (FF_UNLIKELY(!FF_TEXT_AT(p, end, ",\"tick_time\":") || (p[-1] == '"') != quoted))
        return NULL;
    p += 13;
    if (FF_UNLIKELY(end - p < 2))
        return NULL;
    quoted = *p == '"';
    p += quoted;
    if (FF_UNLIKELY(*p == '0'))
        return NULL;
    p = ff_digits_read(p, end, &v);
    if (FF_UNLIKELY(p == NULL))
        return NULL;
    *time_ns = ff_alltick_time(v, d->recv_ns);
    if (FF_UNLIKELY(*time_ns == 0 || end - p < 2 || (quoted && *p != '"')))
        return NULL;
    return p + quoted;
}

/* A push of a tick. Returns false, having counted nothing, when ff_alltick_decode_any() has to
 * decide. */
FF_ALLTICK_STEP bool ff_alltick_fast_tick(const ff_alltick_decoder *d, const uint8_t *data,
                                          size_t length, ff_tick *row) {
    static const char head[] = "{\"cmd_id\":22998,\"data\":{\"code\":\"";
    const uint8_t *p = data, *end = data + length;
    ff_alltick_trade v;
    if (FF_UNLIKELY(!FF_TEXT_AT(p, end, head)))
        return false;
    p = ff_alltick_step_head(d, p + sizeof head - 1, end, &v.symbol, &v.seq, &v.time_ns);
    if (FF_UNLIKELY(p == NULL || !FF_TEXT_AT(p, end, ",\"price\":\"")))
        return false;
    p = ff_decimal_plain(p + 10, end, &v.price);
    if (FF_UNLIKELY(p == NULL || !FF_TEXT_AT(p, end, "\",\"volume\":\"")))
        return false;
    p = ff_decimal_plain(p + 12, end, &v.volume);
    if (FF_UNLIKELY(p == NULL || !FF_TEXT_AT(p, end, "\",\"turnover\":\"")))
        return false;
    p = ff_decimal_plain(p + 14, end, &v.turnover);
    if (FF_UNLIKELY(p == NULL || end - p != 20 + 3 ||
                    !FF_TEXT_AT(p, end, "\",\"trade_direction\":")))
        return false;
    v.direction = (uint64_t)p[20] - '0';
    if (FF_UNLIKELY(v.direction > 2 || p[21] != '}' || p[22] != '}' ||
                    !(fabs(v.price) < FF_ALLTICK_MAX_PRICE) ||
                    !(v.volume >= 0 && v.volume < FF_ALLTICK_MAX_VOLUME) ||
                    !(v.turnover >= 0 && v.turnover < FF_ALLTICK_MAX_VOLUME)))
        return false;
    ff_alltick_put_tick(d, &v, row);
    return true;
}

/* The levels of a side, from behind its opening bracket to behind the closing one. NULL:
 * another form, or not plain good. */
FF_ALLTICK_STEP const uint8_t *ff_alltick_step_side(ff_alltick_side *side, size_t depth,
                                                    const uint8_t *p, const uint8_t *end) {
    double *const prices = side->price, *const volumes = side->volume;
    size_t n = 0;
    if (FF_UNLIKELY(p < end && *p == ']'))
        return p + 1;
    if (FF_UNLIKELY(!FF_TEXT_AT(p, end, "{\"price\":\"")))
        return NULL;
    p += 10;
    for (;;) {
        double price, volume;
        p = ff_decimal_plain(p, end, &price);
        if (FF_UNLIKELY(p == NULL || !FF_TEXT_AT(p, end, "\",\"volume\":\"")))
            return NULL;
        p = ff_decimal_plain(p + 12, end, &volume);
        if (FF_UNLIKELY(p == NULL || !(fabs(price) < FF_ALLTICK_MAX_PRICE) ||
                        !(volume >= 0 && volume < FF_ALLTICK_MAX_VOLUME)))
            return NULL;
        if (FF_LIKELY(n < depth)) {
            prices[n] = price;
            volumes[n] = volume;
        }
        n += price != 0;
        if (FF_LIKELY(FF_TEXT_AT(p, end, "\"},{\"price\":\""))) {
            p += 13;
        } else {
            side->levels = n;
            return FF_TEXT_AT(p, end, "\"}]") ? p + 3 : NULL;
        }
    }
}

/* The same for a push of a book. */
FF_ALLTICK_STEP bool ff_alltick_fast_book(ff_alltick_decoder *d, const uint8_t *data,
                                          size_t length, ff_book *row) {
    static const char head[] = "{\"cmd_id\":22999,\"data\":{\"code\":\"";
    const uint8_t *p = data, *end = data + length;
    const size_t depth = d->depth;
    int64_t seq, time_ns;
    uint32_t symbol;
    if (FF_UNLIKELY(!FF_TEXT_AT(p, end, head)))
        return false;
    p = ff_alltick_step_head(d, p + sizeof head - 1, end, &symbol, &seq, &time_ns);
    if (FF_UNLIKELY(p == NULL || !FF_TEXT_AT(p, end, ",\"bids\":[")))
        return false;
    ff_alltick_side bids = ff_alltick_bids(row, depth), asks = ff_alltick_asks(row, depth);
    p = ff_alltick_step_side(&bids, depth, p + 9, end);
    if (FF_UNLIKELY(p == NULL || !FF_TEXT_AT(p, end, ",\"asks\":[")))
        return false;
    p = ff_alltick_step_side(&asks, depth, p + 9, end);
    if (FF_UNLIKELY(p == NULL || end - p != 2 || p[0] != '}' || p[1] != '}'))
        return false;
    ff_alltick_put_book(d, seq, time_ns, symbol, &bids, &asks, &d->cut_levels, row);
    return true;
}

/* Decode a message. Returns an ff_alltick_kind; rows->count says how many rows it gave, which
 * is 0 unless it was TICKS or BOOKS, and may be 0 then. Or a negative reason, and then nothing
 * counts that was written. Codes that were unknown may have an id in either case. */
static inline int ff_alltick_decode(ff_alltick_decoder *d, const uint8_t *data, size_t length,
                                    ff_alltick_rows *rows) {
    if (FF_LIKELY(length > 14 && length <= FF_ALLTICK_MAX_MESSAGE)) {
        if (data[14] == '8') {
            if (FF_LIKELY(rows->ticks != NULL && rows->max_ticks > 0 &&
                          ff_alltick_fast_tick(d, data, length, rows->ticks))) {
                rows->count = 1;
                return FF_ALLTICK_TICKS;
            }
        } else if (FF_LIKELY(data[14] == '9' && rows->books != NULL && rows->max_books > 0 &&
                             ff_alltick_fast_book(d, data, length, rows->books))) {
            rows->count = 1;
            return FF_ALLTICK_BOOKS;
        }
    }
    return ff_alltick_decode_any(d, data, length, rows);
}

#endif
