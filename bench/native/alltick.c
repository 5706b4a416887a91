/* AllTick's pushes, decoded by hand; loop.h says what that means. Here it believes that the
 * text between the values is as documented, word for word, that codes are known and have at
 * most 8 bytes, that decimals have at most 8 digits on either side of the point, that integers
 * have 9 to 15 or 17 to 19 digits, that times are in ms and prices positive. Memory behind the
 * last message is readable. */

#include "digits.h"

enum { DEPTH = 10, HEAD = 32, MINUTE_MS = 60000 };

static const double none = (double)NAN;

static inline const uint8_t *integer(const uint8_t *p, int64_t *v) {
    p += *p == '"';
    uint64_t more = text(p + 8);
    unsigned bits = digit_bits(more);
    uint64_t value = join(text(p), 64) * units[bits / 8] + join(more, bits);
    p += 8 + bits / 8;
    if (bits == 64) {
        more = text(p);
        bits = digit_bits(more);
        value = value * units[bits / 8] + join(more, bits);
        p += bits / 8;
    }
    *v = (int64_t)value;
    return p + (*p == '"');
}

static inline const uint8_t *decimal(const uint8_t *p, double *v) {
    uint64_t digits = text(p);
    unsigned bits = digit_bits(digits);
    uint64_t whole = join(digits, bits);
    p += bits / 8;
    if (*p != '.') {
        *v = (double)(int64_t)whole;
        return p;
    }
    digits = text(p + 1);
    bits = digit_bits(digits);
    *v = (double)(int64_t)(whole * units[bits / 8] + join(digits, bits)) / powers[bits / 8];
    return p + 1 + bits / 8;
}

/* From the code to behind the time. */
static inline const uint8_t *head(const loop *l, const uint8_t *p, uint32_t *symbol,
                                  int64_t *seq, int64_t *ms) {
    uint64_t quote = u64(p) ^ 0x2222222222222222u;
    uint64_t stop = (quote - 0x0101010101010101u) & ~quote & 0x8080808080808080u;
    size_t length = stop != 0 ? (unsigned)__builtin_ctzll(stop) / 8 : 8;
    *symbol = (uint32_t)(find(l, key_of(p, length))->id_plus_1 - 1);
    p = integer(p + length + 8, seq); /* ","seq": */
    return integer(p + 13, ms);       /* ,"tick_time": */
}

static inline void tick(loop *l, const uint8_t *p, int64_t recv_ns) {
    ff_tick *row = next_row(l);
    int64_t ms;
    p = head(l, p, &row->symbol, &row->seq, &ms);
    p = decimal(p + 10, &row->price);    /* ,"price":" */
    p = decimal(p + 12, &row->volume);   /* ","volume":" */
    p = decimal(p + 14, &row->turnover); /* ","turnover":" */
    row->side = (int8_t)((p[20] == '1') - (p[20] == '2'));
    row->recv_ns = recv_ns;
    row->time_ns = ms * 1000000;
    row->gateway_ns = 0;
    row->kind = row->session = 0;
    row->flags = recv_ns / 1000000 - ms > MINUTE_MS ? FF_FLAG_STALE : 0;
}

static inline const uint8_t *side(const uint8_t *p, double *price, double *volume,
                                  uint16_t *levels) {
    uint16_t n = 0;
    while (*p != ']') {
        p = decimal(p + 10, &price[n]); /* {"price":" */
        p = decimal(p + 12, &volume[n]);
        n++;
        p += p[2] == ',' ? 3 : 2; /* "}, */
    }
    *levels = n;
    for (; n < DEPTH; n++)
        price[n] = volume[n] = none;
    return p + 1;
}

static inline void book(loop *l, const uint8_t *p, int64_t recv_ns) {
    ff_book *row = next_row(l);
    int64_t ms;
    p = head(l, p, &row->symbol, &row->seq, &ms);
    p = side(p + 9, ff_book_bid_price(row), ff_book_bid_volume(row, DEPTH), &row->bids);
    side(p + 9, ff_book_ask_price(row, DEPTH), ff_book_ask_volume(row, DEPTH), &row->asks);
    row->recv_ns = recv_ns;
    row->time_ns = ms * 1000000;
    row->gateway_ns = row->bid_ns = row->ask_ns = 0;
    row->kind = row->session = row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
    memset(ff_book_bid_orders(row, DEPTH), 0, 2 * DEPTH * sizeof(int32_t));
}

/* Decode n messages that lie one behind the other; ends[i] is where message i ends. Returns
 * how many were pushes. */
int64_t alltick_decode(loop *l, const uint8_t *data, const uint64_t *ends, size_t n,
                       int64_t recv_ns) {
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++) {
        if (p[14] == '8')
            tick(l, p + HEAD, recv_ns);
        else
            book(l, p + HEAD, recv_ns);
        p = data + ends[i];
    }
    return (int64_t)n;
}
