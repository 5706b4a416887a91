/* LongPort's pushes, decoded by hand, as a yardstick. The rows are plain structs with just
 * what a push says: the symbol as its bytes, nothing merged into what was known, no sequence
 * looked at. It believes that bodies are canonical, that symbols have at most 8 bytes,
 * sequences 9 bytes and other numbers at most 8, that decimals have at most 16 digits in front
 * of the point and 8 behind it, and below 2^53 in all. Memory behind the last push is
 * readable. */

#include "digits.h"

enum { DEPTH = 10 };

typedef struct quote {
    uint64_t symbol;
    int64_t sequence, time_s, volume, current_volume;
    double last, open, high, low, turnover, current_turnover;
    int32_t status, session;
} quote;

typedef struct trade {
    uint64_t symbol;
    int64_t sequence, time_s, volume;
    double price;
    int32_t direction, session;
    uint8_t type;
} trade;

typedef struct level {
    double price;
    int64_t volume, orders;
} level;

typedef struct depth {
    uint64_t symbol;
    int64_t sequence;
    level asks[DEPTH], bids[DEPTH];
} depth;

/* The decimal behind its length; *p gets where it ends. */
static inline double decimal(const uint8_t **p) {
    const uint8_t *q = *p + 1, *end = q + **p;
    uint64_t digits = text(q);
    unsigned bits = digit_bits(digits);
    uint64_t v = join(digits, bits);
    *p = end;
    q += bits / 8;
    if (bits == 64 && *q != '.' && q < end) {
        digits = text(q);
        bits = digit_bits(digits);
        v = v * units[bits / 8] + join(digits, bits);
        q += bits / 8;
    }
    if (q == end)
        return (double)(int64_t)v;
    bits = 8 * (unsigned)(end - q - 1);
    return (double)(int64_t)(v * units[bits / 8] + join(text(q + 1), bits)) / powers[bits / 8];
}

static inline uint64_t squeeze(uint64_t word) {
    word &= 0x7f7f7f7f7f7f7f7fu;
    word = (word & 0x007f007f007f007fu) | (word & 0x7f007f007f007f00u) >> 1;
    word = (word & 0x00003fff00003fffu) | (word & 0x3fff00003fff0000u) >> 2;
    return (word & 0x000000000fffffffu) | (word & 0x0fffffff00000000u) >> 4;
}

static inline int64_t number(const uint8_t **p) {
    const uint8_t *q = *p;
    if (*q < 0x80) {
        *p = q + 1;
        return *q;
    }
    uint64_t word = u64(q), stops = ~word & 0x8080808080808080u;
    *p = q + (unsigned)__builtin_ctzll(stops) / 8 + 1;
    return (int64_t)squeeze(word & (stops ^ (stops - 1)));
}

/* The symbol and the sequence. */
static inline const uint8_t *head(const uint8_t *p, uint64_t *symbol, int64_t *sequence) {
    size_t length = p[1];
    *symbol = u64(p + 2) & (~(uint64_t)0 >> (64 - 8 * length));
    p += 2 + length; /* 10 sequence */
    *sequence = (int64_t)(squeeze(u64(p + 1)) | (uint64_t)p[9] << 56);
    return p + 10;
}

static inline void take_quote(const uint8_t *p, const uint8_t *end, quote *row) {
    p = head(p, &row->symbol, &row->sequence);
    row->last = row->open = row->high = row->low = row->turnover = row->current_turnover =
        (double)NAN;
    row->time_s = row->volume = row->current_volume = 0;
    row->status = row->session = 0;
    while (p < end) {
        switch (*p++) {
        case 0x1a:
            row->last = decimal(&p);
            break;
        case 0x22:
            row->open = decimal(&p);
            break;
        case 0x2a:
            row->high = decimal(&p);
            break;
        case 0x32:
            row->low = decimal(&p);
            break;
        case 0x38:
            row->time_s = number(&p);
            break;
        case 0x40:
            row->volume = number(&p);
            break;
        case 0x4a:
            row->turnover = decimal(&p);
            break;
        case 0x50:
            row->status = (int32_t)number(&p);
            break;
        case 0x58:
            row->session = (int32_t)number(&p);
            break;
        case 0x60:
            row->current_volume = number(&p);
            break;
        case 0x6a:
            row->current_turnover = decimal(&p);
            break;
        }
    }
}

/* The trades of a push; returns how many. */
static inline size_t take_trades(const uint8_t *p, const uint8_t *end, trade *rows) {
    uint64_t symbol;
    int64_t sequence;
    size_t n = 0;
    p = head(p, &symbol, &sequence);
    for (; p < end; n++) {
        trade *row = rows + n;
        const uint8_t *trade_end = p + 2 + p[1];
        p += 3; /* 1a, its length, 0a */
        row->symbol = symbol;
        row->sequence = sequence;
        row->price = decimal(&p);
        row->volume = row->time_s = 0;
        row->direction = row->session = row->type = 0;
        if (p < trade_end && *p == 0x10) {
            p++;
            row->volume = number(&p);
        }
        if (p < trade_end && *p == 0x18) {
            p++;
            row->time_s = number(&p);
        }
        if (p < trade_end && *p == 0x22) {
            row->type = p[2];
            p += 2 + p[1];
        }
        if (p < trade_end && *p == 0x28) {
            row->direction = p[1];
            p += 2;
        }
        if (p < trade_end && *p == 0x30)
            row->session = p[1];
        p = trade_end;
    }
    return n;
}

static inline void take_depth(const uint8_t *p, const uint8_t *end, depth *row) {
    size_t asks = 0, bids = 0;
    p = head(p, &row->symbol, &row->sequence);
    while (p < end) {
        level *l = *p == 0x1a ? &row->asks[asks++] : &row->bids[bids++];
        const uint8_t *level_end = p + 2 + p[1];
        p += 5; /* its tag and length, 08 position, 12 */
        l->price = decimal(&p);
        p++; /* 18 */
        l->volume = number(&p);
        l->orders = p < level_end ? p[1] : 0;
        p = level_end;
    }
    for (; asks < DEPTH; asks++)
        row->asks[asks] = (level){(double)NAN, 0, 0};
    for (; bids < DEPTH; bids++)
        row->bids[bids] = (level){(double)NAN, 0, 0};
}

enum { QUOTE = 101, BOOK = 102, TRADES = 104 };

size_t longport_row_size(unsigned command) {
    return command == QUOTE ? sizeof(quote) : command == BOOK ? sizeof(depth) : sizeof(trade);
}

/* Decode n pushes that lie one behind the other; ends[i] is where push i ends. The rows go
 * round in `rows`, of which there are `mask` + 1. Returns how many were written. */
uint64_t longport_decode(unsigned command, const uint8_t *data, const uint64_t *ends, size_t n,
                         void *rows, uint64_t mask) {
    const uint8_t *p = data;
    uint64_t head_row = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *end = data + ends[i];
        switch (command) {
        case QUOTE:
            take_quote(p, end, (quote *)rows + (head_row++ & mask));
            break;
        case BOOK:
            take_depth(p, end, (depth *)rows + (head_row++ & mask));
            break;
        default:
            head_row += take_trades(p, end, (trade *)rows + (head_row & mask));
        }
        p = end;
    }
    return head_row;
}
