#include "fastfeed/longport_decoder.h"

#include "fastfeed/decimal.h"
#include "fastfeed/market_time.h"
#include "fastfeed/steps.h"

#define BIT(n) (1u << (n))
#define SECOND_NS ((int64_t)1000000000)
#define DAY_S ((int64_t)86400)

enum {
    MIN_ROW = 5, /* bytes of the shortest element that gives a row: it has a price */
    OVERNIGHT_BEGINS_H = 20,
    PUSHES = 4,     /* kinds */
    AGAIN = -10000, /* of a short way: the walk for any shape has to decide */
};

enum { ASK, BID, SIDES };

/* ---- what is known of a symbol */

/* One session of a symbol. */
typedef struct quote_state {
    double last, open, high, low, prev_close, volume, turnover;
    int64_t day_end_ns; /* when these prices are of yesterday; 0 = no time was seen */
    int64_t time_ns, gateway_ns, seq;
    uint8_t status;
    bool pushed; /* by this connection */
} quote_state;

/* The queue of brokers at each level of a side; of a level no more than a row can have. */
typedef struct queue_side {
    uint32_t count[FF_BROKER_PLACES]; /* ids of the level as it was sent */
    int32_t ids[FF_BROKER_PLACES][FF_BROKER_PLACES];
} queue_side;

typedef struct queue_state {
    queue_side sides[SIDES];
} queue_state;

int ff_longport_decoder_init(ff_longport_decoder *d, ff_symbols *symbols, size_t depth) {
    memset(d, 0, sizeof *d);
    d->symbols = symbols;
    d->depth = depth;
    ff_latest_init(&d->sequences, PUSHES * sizeof(int64_t));
    ff_latest_init(&d->quotes, sizeof(quote_state));
    ff_latest_init(&d->books, ff_book_size(depth));
    ff_latest_init(&d->queues, sizeof(queue_state));
    return 0;
}

void ff_longport_decoder_free(ff_longport_decoder *d) {
    ff_latest_free(&d->sequences);
    ff_latest_free(&d->quotes);
    ff_latest_free(&d->books);
    ff_latest_free(&d->queues);
}

void ff_longport_decoder_reset(ff_longport_decoder *d) {
    ff_latest_clear(&d->sequences);
    ff_latest_clear(&d->quotes);
    ff_latest_clear(&d->books);
    ff_latest_clear(&d->queues);
}

size_t ff_longport_max_rows(unsigned command, size_t length) {
    switch (command) {
    case FF_LONGPORT_DEPTH:
    case FF_LONGPORT_BROKERS:
    case FF_LONGPORT_PUSH_QUOTE:
    case FF_LONGPORT_PUSH_DEPTH:
    case FF_LONGPORT_PUSH_BROKERS:
        return 1;
    case FF_LONGPORT_QUOTES:
    case FF_LONGPORT_TRADES:
    case FF_LONGPORT_INTRADAY:
    case FF_LONGPORT_CANDLESTICKS:
    case FF_LONGPORT_HISTORY_CANDLESTICKS:
    case FF_LONGPORT_PUSH_TRADES:
        return length / MIN_ROW + 1;
    default:
        return 0;
    }
}

/* Where a push's sequence is kept; NULL: no memory. */
static inline int64_t *sequence_of(ff_longport_decoder *d, uint32_t symbol, unsigned command) {
    uint8_t *row = ff_latest_row(&d->sequences, symbol);
    if (FF_UNLIKELY(row == NULL)) {
        if (ff_latest_grow(&d->sequences, symbol) < 0)
            return NULL;
        row = ff_latest_row(&d->sequences, symbol);
        for (size_t i = 0; i < PUSHES; i++)
            ((int64_t *)(void *)row)[i] = INT64_MIN;
    }
    return (int64_t *)(void *)row + (command - FF_LONGPORT_PUSH_QUOTE);
}

static inline bool is_old(const int64_t *last, int64_t sequence) {
    return sequence != 0 && sequence <= *last;
}

static inline void pass(int64_t *last, int64_t sequence) {
    if (FF_LIKELY(sequence != 0))
        *last = sequence;
}

/* ---- symbols */

/* The region of a canonical name. */
static const uint8_t *region_of(const uint8_t *name, size_t length) {
    const uint8_t *dot = memrchr(name, '.', length);
    return dot == NULL || dot == name || dot + 1 == name + length ? NULL : dot + 1;
}

static bool is_region(const uint8_t *region, const uint8_t *end, const char *two) {
    return end - region == 2 && memcmp(region, two, 2) == 0;
}

/* Give a symbol, unknown until now, its id; or a negative reason. */
FF_NOINLINE static int64_t intern(ff_symbols *symbols, ff_text name) {
    if (name.data == NULL || name.length == 0 || name.length > FF_SYMBOL_MAX_BYTES ||
        !ff_code_is_printable(name.data, name.length))
        return -FF_ESYMBOL;
    const uint8_t *end = name.data + name.length, *region = region_of(name.data, name.length);
    if (region == NULL)
        return -FF_ESYMBOL;
    size_t skip = 0;
    if (is_region(region, end, "HK"))
        skip = ff_code_zeros(name.data, (size_t)(region - 1 - name.data));
    int64_t id = ff_symbols_intern(symbols, name.data + skip, name.length - skip);
    if (id < 0)
        return id;
    int rc =
        ff_symbols_alias(symbols, FF_LONGPORT_SPACE, name.data, name.length, (uint32_t)id);
    return rc < 0 ? rc : id;
}

static inline int64_t find(const ff_symbols *symbols, ff_text name, const uint8_t *end) {
    return ff_symbols_find(symbols, FF_LONGPORT_SPACE, name.data, name.length, end);
}

static inline int64_t find_or_intern(ff_symbols *symbols, ff_text name, const uint8_t *end) {
    const int64_t id = find(symbols, name, end);
    return FF_LIKELY(id >= 0) ? id : intern(symbols, name);
}

static ff_zone zone_of(const ff_symbols *symbols, uint32_t symbol) {
    size_t length;
    const uint8_t *name = ff_symbols_name(symbols, symbol, &length);
    const uint8_t *region = region_of(name, length);
    return region != NULL && is_region(region, name + length, "US") ? FF_ZONE_NEW_YORK
                                                                    : FF_ZONE_HONG_KONG;
}

/* ---- what values mean */

/* Returns 0, -FF_EMISSING or -FF_ENOTFINITE, and then *v is as it was. `end` bounds what may
 * be read. */
static inline int decimal(ff_text text, const uint8_t *end, double *v) {
    double value;
    if (FF_UNLIKELY(text.length == 0 ||
                    !ff_decimal_parse(text.data, text.length, end, &value)))
        return -FF_EMISSING;
    if (FF_UNLIKELY(!ff_is_finite(value)))
        return -FF_ENOTFINITE;
    *v = value;
    return 0;
}

static inline double decimal_or_nan(ff_text text, const uint8_t *end) {
    double v = (double)NAN;
    decimal(text, end, &v);
    return v;
}

/* Epoch seconds in ns; 0 when they are none. */
static inline int64_t time_of(uint64_t seconds) {
    return FF_LIKELY(seconds < 9000000000u) ? (int64_t)seconds * SECOND_NS : 0;
}

/* A sequence as the clock that it seems to be: ns since 1970, not far from the time of the
 * update; else 0. */
static inline int64_t gateway_of(int64_t sequence, int64_t time_ns) {
    const int64_t first = 1400000000 * SECOND_NS, last = 2100000000 * SECOND_NS;
    const uint64_t day = (uint64_t)(DAY_S * SECOND_NS);
    if (FF_UNLIKELY(sequence < first || sequence >= last))
        return 0;
    if (FF_LIKELY((uint64_t)sequence - (uint64_t)time_ns + day <= 2 * day))
        return sequence;
    return time_ns == 0 ? sequence : 0;
}

static inline int64_t seq_of(int64_t sequence) {
    return sequence != 0 ? sequence : -1;
}

static inline uint8_t session_of(uint64_t v) {
    const uint32_t session = (uint32_t)v;
    return session <= 3 ? (uint8_t)(session + FF_SESSION_REGULAR) : FF_SESSION_UNKNOWN;
}

static inline bool is_suspended(uint8_t status) {
    enum { HALTED = 1, FUSE = 3, SPLIT_STOCK_HALTS = 7, SUSPEND_TRADE = 10 };
    return status < 16 && (BIT(status) & (BIT(HALTED) | BIT(FUSE) | BIT(SPLIT_STOCK_HALTS) |
                                          BIT(SUSPEND_TRADE))) != 0;
}

/* ---- any shape */

/* Begin anew with a message; only what is marked as seen is read from it. */
static int gather(ff_message *message, const ff_shape *shape, ff_text text) {
    message->fields.seen = 0;
    for (size_t i = 0; i < FF_CANONICAL_MESSAGES; i++)
        message->messages[i].seen = 0;
    return ff_message_merge(message, shape, text.data, text.data + text.length);
}

static ff_text text_of(const ff_fields *fields, unsigned n) {
    return ff_fields_has(fields, n) ? ff_fields_text(fields, n) : (ff_text){NULL, 0};
}

static uint64_t number_of(const ff_fields *fields, unsigned n) {
    return ff_fields_has(fields, n) ? fields->values[n].number : 0;
}

/* The embedded messages of a body that gather() has walked, one after the other. Returns the
 * field number, 0: no more. */
static uint32_t next_message(const uint8_t **p, const uint8_t *end, ff_text *text) {
    uint32_t tag = 0;
    int why;
    while (*p < end) {
        const uint8_t *value = ff_wire_tag(*p, end, &tag, &why);
        *p = ff_wire_skip(value, end, tag, &why);
        if ((tag & 7) == FF_WIRE_BYTES) {
            text->data = ff_wire_length(value, *p, &text->length, &why);
            return tag >> 3;
        }
    }
    return 0;
}

/* The symbol, and of pushes the sequence. */
static const ff_shape head_shape = {.numbers = BIT(2), .texts = BIT(1)};

/* ---- trades */

typedef struct trade {
    ff_text price, type;
    uint64_t volume, timestamp, direction, session;
} trade;

static const ff_shape trade_shape = {.numbers = BIT(2) | BIT(3) | BIT(5) | BIT(6),
                                     .texts = BIT(1) | BIT(4)};

/* What rows had that is counted when the body is good. */
typedef struct tally {
    uint64_t missing, not_finite, untimed, cut, odd;
} tally;

static inline void count(ff_longport_decoder *d, const tally *t) {
    d->dropped[FF_EMISSING] += t->missing;
    d->dropped[FF_ENOTFINITE] += t->not_finite;
    d->dropped[FF_ETIME] += t->untimed;
    d->dropped[FF_EVALUE] += t->odd;
    d->cut_levels += t->cut;
}

/* Whether a row can be made: it has a price. */
static inline bool has_price(ff_text text, const uint8_t *end, double *price, tally *t) {
    const int rc = decimal(text, end, price);
    if (FF_LIKELY(rc == 0))
        return true;
    if (rc == -FF_EMISSING)
        t->missing++;
    else
        t->not_finite++;
    return false;
}

FF_STEP bool step_trade(ff_text e, trade *v) {
    const uint8_t *p = e.data, *end = p + e.length;
    *v = (trade){.volume = 0};
    v->price = ff_step_text(&p, end, 1);
    ff_step_number(&p, end, 2, &v->volume);
    ff_step_long_number(&p, end, 3, &v->timestamp);
    v->type = ff_step_text(&p, end, 4);
    ff_step_number(&p, end, 5, &v->direction);
    ff_step_number(&p, end, 6, &v->session);
    return p == end;
}

static int gather_trade(ff_message *message, ff_text e, trade *v) {
    const ff_fields *fields = &message->fields;
    const int rc = gather(message, &trade_shape, e);
    v->price = text_of(fields, 1);
    v->volume = number_of(fields, 2);
    v->timestamp = number_of(fields, 3);
    v->type = text_of(fields, 4);
    v->direction = number_of(fields, 5);
    v->session = number_of(fields, 6);
    return rc;
}

/* Write the row, but for its symbol. */
static inline void put_trade(const ff_longport_decoder *d, const trade *v, double price,
                             int64_t sequence, ff_tick *row, tally *t) {
    const int64_t time_ns = time_of(v->timestamp);
    t->untimed += time_ns == 0;
    row->recv_ns = d->recv_ns;
    row->time_ns = time_ns;
    row->gateway_ns = gateway_of(sequence, time_ns);
    row->seq = seq_of(sequence);
    row->price = price;
    row->volume = (double)(int64_t)v->volume;
    row->turnover = (double)NAN;
    row->side = (int8_t)(((uint32_t)v->direction == 2) - ((uint32_t)v->direction == 1));
    row->kind = v->type.length == 0 ? 0 : v->type.length == 1 ? v->type.data[0] : 255;
    row->session = session_of(v->session);
    row->flags = 0;
}

/* The end of a push whose rows are written. */
static inline int end_push(ff_longport_decoder *d, uint32_t symbol, unsigned command,
                           int64_t sequence, const tally *t, int rows) {
    int64_t *last = sequence_of(d, symbol, command);
    if (FF_UNLIKELY(last == NULL))
        return -FF_ENOMEM;
    if (FF_UNLIKELY(is_old(last, sequence))) {
        d->old++;
        return 0;
    }
    pass(last, sequence);
    count(d, t);
    return rows;
}

/* ---- lists of rows */

/* Write the row of an element of any shape, but for its symbol. Returns 1; 0: it gives none;
 * or a negative reason. */
typedef struct list {
    uint32_t elements; /* field number */
    size_t row_size;
    int64_t sequence;
    int32_t interval_s; /* of bars */
    uint8_t kind;
    ff_zone zone;
} list;

typedef int element(const ff_longport_decoder *d, const list *l, ff_message *message,
                    ff_text e, const uint8_t *end, void *row, tally *t);

static int trade_any(const ff_longport_decoder *d, const list *l, ff_message *message,
                     ff_text e, const uint8_t *end, void *row, tally *t) {
    trade v;
    double price;
    if (!step_trade(e, &v)) {
        const int rc = gather_trade(message, e, &v);
        if (rc < 0)
            return rc;
    }
    if (!has_price(v.price, end, &price, t))
        return 0;
    put_trade(d, &v, price, l->sequence, row, t);
    return 1;
}

/* A point of the minute line. */
static int line_any(const ff_longport_decoder *d, const list *l, ff_message *message,
                    ff_text e, const uint8_t *end, void *rows, tally *t) {
    static const ff_shape shape = {.numbers = BIT(2) | BIT(3),
                                   .texts = BIT(1) | BIT(4) | BIT(5)};
    const ff_fields *fields = &message->fields;
    ff_timeshare *row = rows;
    const int rc = gather(message, &shape, e);
    if (rc < 0)
        return rc;
    if (!has_price(text_of(fields, 1), end, &row->price, t))
        return 0;
    const int64_t time_ns = time_of(number_of(fields, 2));
    t->untimed += time_ns == 0;
    row->recv_ns = d->recv_ns;
    row->time_ns = time_ns;
    row->gateway_ns = 0;
    row->seq = -1;
    row->avg_price = decimal_or_nan(text_of(fields, 5), end);
    row->prev_close = (double)NAN;
    row->volume = (double)(int64_t)number_of(fields, 3);
    row->turnover = decimal_or_nan(text_of(fields, 4), end);
    row->minute =
        time_ns != 0 ? (int32_t)(ff_zone_local(l->zone, time_ns / SECOND_NS) % DAY_S / 60) : 0;
    row->blank = 0;
    row->session = FF_SESSION_UNKNOWN;
    row->flags = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
    return 1;
}

static int bar_any(const ff_longport_decoder *d, const list *l, ff_message *message, ff_text e,
                   const uint8_t *end, void *rows, tally *t) {
    static const ff_shape shape = {.numbers = BIT(5) | BIT(7) | BIT(8),
                                   .texts = BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(6)};
    const ff_fields *fields = &message->fields;
    ff_bar *row = rows;
    const int rc = gather(message, &shape, e);
    if (rc < 0)
        return rc;
    if (!has_price(text_of(fields, 1), end, &row->close, t))
        return 0;
    row->recv_ns = d->recv_ns;
    row->time_ns = time_of(number_of(fields, 7));
    t->untimed += row->time_ns == 0;
    row->gateway_ns = 0;
    row->seq = -1;
    row->open = decimal_or_nan(text_of(fields, 2), end);
    row->low = decimal_or_nan(text_of(fields, 3), end);
    row->high = decimal_or_nan(text_of(fields, 4), end);
    row->volume = (double)(int64_t)number_of(fields, 5);
    row->turnover = decimal_or_nan(text_of(fields, 6), end);
    row->prev_close = row->change_rate = row->turnover_rate = row->pe = (double)NAN;
    row->interval_s = l->interval_s;
    row->kind = l->kind;
    row->adjust = 0;
    row->session = session_of(number_of(fields, 8));
    row->flags = 0;
    row->blank = 0;
    memset(row->_reserved, 0, sizeof row->_reserved);
    return 1;
}

/* Write the rows of a body whose head was gathered. Returns how many, or a negative reason. */
static int list_any(const ff_longport_decoder *d, const list *l, element *take,
                    const uint8_t *body, const uint8_t *end, void *rows, size_t max_rows,
                    tally *t) {
    union { /* the largest row */
        ff_tick tick;
        ff_bar bar;
        ff_timeshare point;
    } spare;
    ff_message message;
    ff_text e;
    size_t n = 0;
    for (uint32_t field; (field = next_message(&body, end, &e)) != 0;) {
        if (field != l->elements)
            continue;
        void *row = n < max_rows ? (uint8_t *)rows + n * l->row_size : (void *)&spare;
        const int rc = take(d, l, &message, e, end, row, t);
        if (rc < 0)
            return rc;
        n += (size_t)rc;
        if (n > max_rows)
            return -FF_EROWS;
    }
    return (int)n;
}

static int trades_push_any(ff_longport_decoder *d, const uint8_t *body, const uint8_t *end,
                           ff_tick *rows, size_t max_rows) {
    ff_message head;
    tally t = {0};
    int rc = gather(&head, &head_shape, (ff_text){body, (size_t)(end - body)});
    if (rc < 0)
        return rc;
    const list l = {.elements = 3,
                    .row_size = sizeof(ff_tick),
                    .sequence = (int64_t)number_of(&head.fields, 2)};
    const int n = list_any(d, &l, trade_any, body, end, rows, max_rows, &t);
    if (n < 0)
        return n;
    const int64_t symbol = find_or_intern(d->symbols, text_of(&head.fields, 1), end);
    if (symbol < 0)
        return (int)symbol;
    for (int i = 0; i < n; i++)
        rows[i].symbol = (uint32_t)symbol;
    return end_push(d, (uint32_t)symbol, FF_LONGPORT_PUSH_TRADES, l.sequence, &t, n);
}

/* ---- quotes */

/* What a push says. */
typedef struct quote {
    ff_text last, open, high, low, turnover;
    uint64_t sequence, timestamp, volume, status, session, tag;
} quote;

static const ff_shape quote_shape = {
    .numbers = BIT(2) | BIT(7) | BIT(8) | BIT(10) | BIT(11) | BIT(14),
    .texts = BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(9),
};

static const quote_state unknown_quote = {
    .last = NAN,
    .open = NAN,
    .high = NAN,
    .low = NAN,
    .prev_close = NAN,
    .volume = NAN,
    .turnover = NAN,
    .seq = -1,
};

/* NULL: no memory. */
static inline quote_state *quote_state_of(ff_longport_decoder *d, uint32_t symbol,
                                          uint8_t session) {
    const size_t place = (size_t)symbol * FF_SESSIONS + session;
    uint8_t *row = ff_latest_row(&d->quotes, place);
    if (FF_UNLIKELY(row == NULL)) {
        if (ff_latest_put(&d->quotes, place, &unknown_quote) < 0)
            return NULL;
        row = ff_latest_row(&d->quotes, place);
    }
    return (quote_state *)(void *)row;
}

/* When the market's day that a time lies in ends. */
static int64_t day_end(const ff_symbols *symbols, uint32_t symbol, uint8_t session,
                       int64_t time_ns) {
    const ff_zone zone = zone_of(symbols, symbol);
    const int64_t early =
        session == FF_SESSION_OVERNIGHT ? (24 - OVERNIGHT_BEGINS_H) * 3600 : 0;
    const int64_t local_s = ff_zone_local(zone, time_ns / SECOND_NS);
    const int64_t end_s = ((local_s + early) / DAY_S + 1) * DAY_S - early;
    return (end_s - ff_zone_offset(zone, ff_year_of_day(end_s / DAY_S), end_s)) * SECOND_NS;
}

/* Whether a time belongs to another day than what is known: then its prices are of yesterday.
 */
FF_NOINLINE static void begin_day(const ff_symbols *symbols, uint32_t symbol, uint8_t session,
                                  int64_t time_ns, quote_state *q) {
    if (time_ns == 0)
        return;
    q->open = q->high = q->low = q->prev_close = q->volume = q->turnover = (double)NAN;
    q->day_end_ns = day_end(symbols, symbol, session, time_ns);
}

static inline void put_quote(const quote_state *q, int64_t recv_ns, uint32_t symbol,
                             uint8_t session, ff_quote *row) {
    static const ff_quote plain = {
        .change = NAN,
        .change_rate = NAN,
        .amplitude = NAN,
        .turnover_rate = NAN,
        .price_spread = NAN,
        .expiry_days = INT32_MIN,
        .strike_price = NAN,
        .contract_size = NAN,
        .open_interest = NAN,
        .net_open_interest = NAN,
        .open_interest_change = NAN,
        .implied_volatility = NAN,
        .premium = NAN,
        .delta = NAN,
        .gamma = NAN,
        .vega = NAN,
        .theta = NAN,
        .rho = NAN,
        .contract_nominal_value = NAN,
        .owner_lot_multiplier = NAN,
        .contract_multiplier = NAN,
        .last_settle_price = NAN,
    };
    const size_t common = offsetof(ff_quote, change);
    memcpy((uint8_t *)row + common, (const uint8_t *)&plain + common, sizeof plain - common);
    row->recv_ns = recv_ns;
    row->time_ns = q->time_ns;
    row->gateway_ns = q->gateway_ns;
    row->seq = q->seq;
    row->last = q->last;
    row->open = q->open;
    row->high = q->high;
    row->low = q->low;
    row->prev_close = q->prev_close;
    row->volume = q->volume;
    row->turnover = q->turnover;
    row->symbol = symbol;
    row->session = session;
    row->status = q->status;
    row->suspended = is_suspended(q->status);
}

/* Merge a push of a known symbol. */
static inline int take_quote(ff_longport_decoder *d, uint32_t symbol, const quote *v,
                             const uint8_t *end, ff_quote *row) {
    enum { END_OF_DAY = 1 };
    const int64_t sequence = (int64_t)v->sequence;
    const uint8_t session = session_of(v->session);
    if (FF_UNLIKELY((uint32_t)v->tag == END_OF_DAY)) {
        d->end_of_day++;
        return 0;
    }
    int64_t *last = sequence_of(d, symbol, FF_LONGPORT_PUSH_QUOTE);
    quote_state *q = quote_state_of(d, symbol, session);
    if (FF_UNLIKELY(last == NULL || q == NULL))
        return -FF_ENOMEM;
    if (FF_UNLIKELY(is_old(last, sequence))) {
        d->old++;
        return 0;
    }
    pass(last, sequence);
    q->time_ns = time_of(v->timestamp);
    q->gateway_ns = gateway_of(sequence, q->time_ns);
    q->seq = seq_of(sequence);
    q->status = ff_u8(v->status);
    q->pushed = true;
    if (FF_UNLIKELY(q->time_ns >= q->day_end_ns)) {
        d->new_days += q->day_end_ns != 0;
        begin_day(d->symbols, symbol, session, q->time_ns, q);
    }
    decimal(v->last, end, &q->last);
    decimal(v->open, end, &q->open);
    decimal(v->high, end, &q->high);
    decimal(v->low, end, &q->low);
    decimal(v->turnover, end, &q->turnover);
    if (v->volume != 0)
        q->volume = (double)(int64_t)v->volume;
    if (FF_UNLIKELY(q->last != q->last)) {
        d->dropped[FF_EMISSING]++;
        return 0;
    }
    d->dropped[FF_ETIME] += q->time_ns == 0;
    put_quote(q, d->recv_ns, symbol, session, row);
    return 1;
}

static int quote_any(ff_longport_decoder *d, const uint8_t *body, const uint8_t *end,
                     ff_quote *row) {
    ff_message message;
    const ff_fields *fields = &message.fields;
    const int rc = gather(&message, &quote_shape, (ff_text){body, (size_t)(end - body)});
    if (rc < 0)
        return rc;
    const int64_t symbol = find_or_intern(d->symbols, text_of(fields, 1), end);
    if (symbol < 0)
        return (int)symbol;
    const quote v = {
        .last = text_of(fields, 3),
        .open = text_of(fields, 4),
        .high = text_of(fields, 5),
        .low = text_of(fields, 6),
        .turnover = text_of(fields, 9),
        .sequence = number_of(fields, 2),
        .timestamp = number_of(fields, 7),
        .volume = number_of(fields, 8),
        .status = number_of(fields, 10),
        .session = number_of(fields, 11),
        .tag = number_of(fields, 14),
    };
    return take_quote(d, (uint32_t)symbol, &v, end, row);
}

int ff_longport_seed_quotes(ff_longport_decoder *d, ff_quote *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ff_quote *row = rows + i;
        quote_state *q = quote_state_of(d, row->symbol, row->session);
        if (q == NULL)
            return -FF_ENOMEM;
        int64_t end_ns = 0;
        if (row->time_ns != 0)
            end_ns = day_end(d->symbols, row->symbol, row->session, row->time_ns);
        const double snapshot[] = {row->open,       row->high,   row->low,
                                   row->prev_close, row->volume, row->turnover};
        double *const known[] = {&q->open,       &q->high,   &q->low,
                                 &q->prev_close, &q->volume, &q->turnover};
        const bool later = q->pushed && q->time_ns > row->time_ns;
        const bool same_day = q->day_end_ns == 0 || end_ns == 0 || q->day_end_ns == end_ns;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            if (later) {
                if (same_day && *known[k] != *known[k])
                    *known[k] = snapshot[k];
            } else if (!same_day || snapshot[k] == snapshot[k]) {
                *known[k] = snapshot[k];
            }
        }
        if (!later || q->last != q->last)
            q->last = row->last == row->last ? row->last : q->last;
        if (!later) {
            q->time_ns = row->time_ns;
            q->gateway_ns = row->gateway_ns;
            q->seq = row->seq;
            q->status = row->status;
            q->day_end_ns = end_ns != 0 ? end_ns : q->day_end_ns;
        }
        const uint8_t flags = row->flags;
        put_quote(q, row->recv_ns, row->symbol, row->session, row);
        row->flags = flags;
    }
    return 0;
}

/* ---- books */

typedef struct level {
    ff_text price;
    uint64_t position, volume, orders;
} level;

static const ff_shape level_shape = {.numbers = BIT(1) | BIT(3) | BIT(4), .texts = BIT(2)};

/* One side of a book being filled. */
typedef struct book_side {
    double *price, *volume;
    int32_t *orders;
} book_side;

static inline book_side side_of(ff_book *row, size_t depth, unsigned side) {
    if (side == ASK)
        return (book_side){ff_book_ask_price(row, depth), ff_book_ask_volume(row, depth),
                           ff_book_ask_orders(row, depth)};
    return (book_side){ff_book_bid_price(row), ff_book_bid_volume(row, depth),
                       ff_book_bid_orders(row, depth)};
}

static void empty_book(ff_book *row, size_t depth) {
    memset(row, 0, ff_book_size(depth));
    double *v = ff_book_bid_price(row);
    for (size_t i = 0; i < 4 * depth; i++)
        v[i] = (double)NAN;
}

FF_STEP bool step_level(ff_text e, level *v) {
    const uint8_t *p = e.data, *end = p + e.length;
    *v = (level){.position = 0};
    ff_step_number(&p, end, 1, &v->position);
    v->price = ff_step_text(&p, end, 2);
    ff_step_number(&p, end, 3, &v->volume);
    ff_step_number(&p, end, 4, &v->orders);
    return p == end;
}

static int gather_level(ff_message *message, ff_text e, level *v) {
    const ff_fields *fields = &message->fields;
    const int rc = gather(message, &level_shape, e);
    v->position = number_of(fields, 1);
    v->price = text_of(fields, 2);
    v->volume = number_of(fields, 3);
    v->orders = number_of(fields, 4);
    return rc;
}

static inline int32_t orders_of(uint64_t v) {
    const int64_t orders = (int64_t)v;
    return orders > INT32_MAX ? INT32_MAX : orders < INT32_MIN ? INT32_MIN : (int32_t)orders;
}

static inline void put_level(const book_side *side, size_t depth, const level *v,
                             const uint8_t *end, tally *t) {
    const int32_t position = (int32_t)(uint32_t)v->position;
    const size_t i = (size_t)position - 1;
    if (FF_UNLIKELY(i >= depth)) {
        if (position < 1)
            t->odd++;
        else
            t->cut++;
        return;
    }
    double price = (double)NAN, volume = (double)NAN;
    int32_t orders = 0;
    if (FF_LIKELY(decimal(v->price, end, &price) == 0)) {
        volume = (double)(int64_t)v->volume;
        orders = orders_of(v->orders);
    }
    side->price[i] = price;
    side->volume[i] = volume;
    side->orders[i] = orders;
}

/* How many levels there are down to the deepest real one. */
static inline uint16_t levels_of(const double *price, size_t depth) {
    while (depth > 0 && price[depth - 1] != price[depth - 1])
        depth--;
    return (uint16_t)depth;
}

/* The head of a row whose sides are filled. */
static inline void end_book(const ff_longport_decoder *d, uint32_t symbol, int64_t sequence,
                            ff_book *row) {
    row->recv_ns = d->recv_ns;
    row->gateway_ns = gateway_of(sequence, 0);
    row->seq = seq_of(sequence);
    row->symbol = symbol;
    row->bids = levels_of(ff_book_bid_price(row), d->depth);
    row->asks = levels_of(ff_book_ask_price(row, d->depth), d->depth);
}

/* Put the levels of a body whose head was gathered. Returns 0 or a negative reason. */
static int levels_any(size_t depth, uint32_t asks, const uint8_t *body, const uint8_t *end,
                      ff_book *row, tally *t) {
    const book_side sides[SIDES] = {side_of(row, depth, ASK), side_of(row, depth, BID)};
    ff_message message;
    ff_text e;
    level v;
    for (uint32_t field; (field = next_message(&body, end, &e)) != 0;) {
        if (field - asks >= SIDES)
            continue;
        if (!step_level(e, &v)) {
            const int rc = gather_level(&message, e, &v);
            if (rc < 0)
                return rc;
        }
        put_level(&sides[field - asks], depth, &v, end, t);
    }
    return 0;
}

/* The end of a push whose levels are in the row, over what was known. */
static inline int end_book_push(ff_longport_decoder *d, uint32_t symbol, int64_t sequence,
                                const tally *t, ff_book *row) {
    int64_t *last = sequence_of(d, symbol, FF_LONGPORT_PUSH_DEPTH);
    if (FF_UNLIKELY(last == NULL))
        return -FF_ENOMEM;
    if (FF_UNLIKELY(is_old(last, sequence))) {
        d->old++;
        return 0;
    }
    end_book(d, symbol, sequence, row);
    if (FF_UNLIKELY(ff_latest_put(&d->books, symbol, row) < 0))
        return -FF_ENOMEM;
    pass(last, sequence);
    count(d, t);
    return 1;
}

/* Begin with what is known of a symbol, -1 = a new one. */
static inline void begin_book(const ff_longport_decoder *d, int64_t symbol, ff_book *row) {
    const uint8_t *kept = symbol >= 0 ? ff_latest_row(&d->books, (size_t)symbol) : NULL;
    if (FF_LIKELY(kept != NULL))
        memcpy(row, kept, ff_book_size(d->depth));
    else
        empty_book(row, d->depth);
}

static int book_any(ff_longport_decoder *d, const uint8_t *body, const uint8_t *end,
                    ff_book *row) {
    ff_message head;
    tally t = {0};
    int rc = gather(&head, &head_shape, (ff_text){body, (size_t)(end - body)});
    if (rc < 0)
        return rc;
    const ff_text name = text_of(&head.fields, 1);
    int64_t symbol = find(d->symbols, name, end);
    begin_book(d, symbol, row);
    rc = levels_any(d->depth, 3, body, end, row, &t);
    if (rc < 0)
        return rc;
    if (symbol < 0 && (symbol = intern(d->symbols, name)) < 0)
        return (int)symbol;
    return end_book_push(d, (uint32_t)symbol, (int64_t)number_of(&head.fields, 2), &t, row);
}

/* ---- broker queues */

typedef struct queue_level {
    int32_t position;
    uint32_t count; /* of ids that were sent */
    int32_t ids[FF_BROKER_PLACES];
} queue_level;

static inline void add_broker(queue_level *v, uint64_t id) {
    if (v->count < FF_BROKER_PLACES)
        v->ids[v->count] = (int32_t)(uint32_t)id;
    v->count++;
}

/* A level of any shape; ids are packed or not. Returns 0 or a negative reason. */
static int read_queue_level(ff_text e, queue_level *v) {
    const uint8_t *p = e.data, *end = p + e.length;
    uint64_t number;
    uint32_t tag;
    size_t length;
    int why;
    v->position = 0;
    v->count = 0;
    while (p < end) {
        if ((p = ff_wire_tag(p, end, &tag, &why)) == NULL)
            return -why;
        if (tag == 0x08 || tag == 0x10) {
            if ((p = ff_wire_varint(p, end, &number, &why)) == NULL)
                return -why;
            if (tag == 0x08)
                v->position = (int32_t)(uint32_t)number;
            else
                add_broker(v, number);
        } else if (tag == 0x12) {
            if ((p = ff_wire_length(p, end, &length, &why)) == NULL)
                return -why;
            for (const uint8_t *packed_end = p + length; p < packed_end;) {
                if ((p = ff_wire_varint(p, packed_end, &number, &why)) == NULL)
                    return -why;
                add_broker(v, number);
            }
        } else if ((p = ff_wire_skip(p, end, tag, &why)) == NULL) {
            return -why;
        }
    }
    return 0;
}

/* Put the levels of a body whose head was gathered into *queues; NULL: only look whether they
 * can be read. Returns 0 or a negative reason. */
static int queues_any(uint32_t asks, const uint8_t *body, const uint8_t *end,
                      queue_state *queues, tally *t) {
    queue_level v;
    ff_text e;
    for (uint32_t field; (field = next_message(&body, end, &e)) != 0;) {
        if (field - asks >= SIDES)
            continue;
        const int rc = read_queue_level(e, &v);
        if (rc < 0)
            return rc;
        if (queues == NULL)
            continue;
        const size_t i = (size_t)v.position - 1;
        if (v.position < 1) {
            t->odd++;
        } else if (i >= FF_BROKER_PLACES) {
            t->cut += v.count;
        } else {
            queue_side *side = &queues->sides[field - asks];
            const size_t n = v.count < FF_BROKER_PLACES ? v.count : FF_BROKER_PLACES;
            side->count[i] = v.count;
            memcpy(side->ids[i], v.ids, n * sizeof v.ids[0]);
        }
    }
    return 0;
}

/* Write one side of a row; returns how many places are taken. */
static uint16_t put_queue(const queue_side *side, int64_t *broker, int64_t *order,
                          double *volume, int32_t *levels, tally *t) {
    size_t n = 0;
    for (size_t i = 0; i < FF_BROKER_PLACES; i++) {
        const size_t room = FF_BROKER_PLACES - n;
        const size_t taken = side->count[i] < room ? side->count[i] : room;
        t->cut += side->count[i] - taken;
        for (size_t k = 0; k < taken; k++, n++) {
            broker[n] = side->ids[i][k];
            levels[n] = (int32_t)i + 1;
        }
    }
    for (size_t i = n; i < FF_BROKER_PLACES; i++) {
        broker[i] = 0;
        levels[i] = 0;
    }
    for (size_t i = 0; i < FF_BROKER_PLACES; i++) {
        order[i] = 0;
        volume[i] = (double)NAN;
    }
    return (uint16_t)n;
}

static void put_queues(const ff_longport_decoder *d, uint32_t symbol, int64_t sequence,
                       const queue_state *queues, ff_brokers *row, tally *t) {
    memset(row, 0, offsetof(ff_brokers, bid_broker));
    row->recv_ns = d->recv_ns;
    row->gateway_ns = gateway_of(sequence, 0);
    row->seq = seq_of(sequence);
    row->symbol = symbol;
    row->bids = put_queue(&queues->sides[BID], row->bid_broker, row->bid_order,
                          row->bid_volume, row->bid_level, t);
    row->asks = put_queue(&queues->sides[ASK], row->ask_broker, row->ask_order,
                          row->ask_volume, row->ask_level, t);
}

static int brokers_any(ff_longport_decoder *d, const uint8_t *body, const uint8_t *end,
                       ff_brokers *row) {
    ff_message head;
    tally t = {0};
    int rc = gather(&head, &head_shape, (ff_text){body, (size_t)(end - body)});
    if (rc < 0 || (rc = queues_any(3, body, end, NULL, NULL)) < 0)
        return rc;
    const int64_t symbol = find_or_intern(d->symbols, text_of(&head.fields, 1), end);
    if (symbol < 0)
        return (int)symbol;
    const int64_t sequence = (int64_t)number_of(&head.fields, 2);
    int64_t *last = sequence_of(d, (uint32_t)symbol, FF_LONGPORT_PUSH_BROKERS);
    uint8_t *kept = ff_latest_row(&d->queues, (size_t)symbol);
    if (kept == NULL && ff_latest_grow(&d->queues, (size_t)symbol) == 0) {
        kept = ff_latest_row(&d->queues, (size_t)symbol);
        memset(kept, 0, sizeof(queue_state));
    }
    if (last == NULL || kept == NULL)
        return -FF_ENOMEM;
    if (is_old(last, sequence)) {
        d->old++;
        return 0;
    }
    pass(last, sequence);
    queue_state *queues = (queue_state *)(void *)kept;
    queues_any(3, body, end, queues, &t);
    put_queues(d, (uint32_t)symbol, sequence, queues, row, &t);
    count(d, &t);
    return 1;
}

/* ---- pushes */

int ff_longport_decode_push_any(ff_longport_decoder *d, unsigned command, const uint8_t *body,
                                size_t length, void *rows, size_t max_rows) {
    const uint8_t *end = body + length;
    if (command == FF_LONGPORT_PUSH_TRADES)
        return trades_push_any(d, body, end, rows, max_rows);
    if (max_rows == 0)
        return -FF_EROWS;
    switch (command) {
    case FF_LONGPORT_PUSH_QUOTE:
        return quote_any(d, body, end, rows);
    case FF_LONGPORT_PUSH_DEPTH:
        return book_any(d, body, end, rows);
    case FF_LONGPORT_PUSH_BROKERS:
        return brokers_any(d, body, end, rows);
    default:
        return -FF_EVALUE;
    }
}

/* The short ways: canonical bodies of known symbols. Each returns AGAIN, having changed
 * nothing, when the walk for any shape has to decide. */

FF_STEP bool step_head(const ff_longport_decoder *d, const uint8_t **p, const uint8_t *end,
                       uint32_t *symbol, uint64_t *sequence) {
    const ff_text name = ff_step_text(p, end, 1);
    const int64_t id = find(d->symbols, name, end);
    *sequence = 0;
    ff_step_stamp(p, end, 2, sequence);
    *symbol = (uint32_t)id;
    return id >= 0;
}

static inline int trades_canonical(ff_longport_decoder *d, const uint8_t *p,
                                   const uint8_t *end, ff_tick *rows, size_t max_rows) {
    tally t = {0};
    uint32_t symbol;
    uint64_t sequence;
    size_t n = 0;
    if (FF_UNLIKELY(!step_head(d, &p, end, &symbol, &sequence)))
        return AGAIN;
    for (;;) {
        const ff_text e = ff_step_message(&p, end, 3);
        trade v;
        double price;
        if (e.data == NULL)
            break;
        if (FF_UNLIKELY(!step_trade(e, &v)))
            return AGAIN;
        if (FF_UNLIKELY(!has_price(v.price, end, &price, &t)))
            continue;
        if (FF_UNLIKELY(n == max_rows))
            return AGAIN;
        put_trade(d, &v, price, (int64_t)sequence, &rows[n], &t);
        rows[n++].symbol = symbol;
    }
    if (FF_UNLIKELY(p != end))
        return AGAIN;
    return end_push(d, symbol, FF_LONGPORT_PUSH_TRADES, (int64_t)sequence, &t, (int)n);
}

static inline int quote_canonical(ff_longport_decoder *d, const uint8_t *p, const uint8_t *end,
                                  ff_quote *row) {
    quote v = {.timestamp = 0};
    uint64_t ignored;
    uint32_t symbol;
    if (FF_UNLIKELY(!step_head(d, &p, end, &symbol, &v.sequence)))
        return AGAIN;
    v.last = ff_step_text(&p, end, 3);
    v.open = ff_step_text(&p, end, 4);
    v.high = ff_step_text(&p, end, 5);
    v.low = ff_step_text(&p, end, 6);
    ff_step_long_number(&p, end, 7, &v.timestamp);
    ff_step_long_number(&p, end, 8, &v.volume);
    v.turnover = ff_step_text(&p, end, 9);
    ff_step_number(&p, end, 10, &v.status);
    ff_step_number(&p, end, 11, &v.session);
    ff_step_number(&p, end, 12, &ignored); /* current_volume */
    ff_step_text(&p, end, 13);             /* current_turnover */
    ff_step_number(&p, end, 14, &v.tag);
    if (FF_UNLIKELY(p != end))
        return AGAIN;
    return take_quote(d, symbol, &v, end, row);
}

static inline int book_canonical(ff_longport_decoder *d, const uint8_t *p, const uint8_t *end,
                                 ff_book *row) {
    const size_t depth = d->depth;
    tally t = {0};
    uint32_t symbol;
    uint64_t sequence;
    if (FF_UNLIKELY(!step_head(d, &p, end, &symbol, &sequence)))
        return AGAIN;
    begin_book(d, symbol, row);
    for (unsigned i = 0; i < SIDES; i++) {
        const book_side side = side_of(row, depth, i);
        for (;;) {
            const ff_text e = ff_step_message(&p, end, 3 + i);
            level v;
            if (e.data == NULL)
                break;
            if (FF_UNLIKELY(!step_level(e, &v)))
                return AGAIN;
            put_level(&side, depth, &v, end, &t);
        }
    }
    if (FF_UNLIKELY(p != end))
        return AGAIN;
    return end_book_push(d, symbol, (int64_t)sequence, &t, row);
}

int ff_longport_decode_push(ff_longport_decoder *d, unsigned command, const uint8_t *body,
                            size_t length, void *rows, size_t max_rows) {
    const uint8_t *end = body + length;
    int n = AGAIN;
    if (command == FF_LONGPORT_PUSH_TRADES)
        n = trades_canonical(d, body, end, rows, max_rows);
    else if (command == FF_LONGPORT_PUSH_QUOTE && FF_LIKELY(max_rows > 0))
        n = quote_canonical(d, body, end, rows);
    else if (command == FF_LONGPORT_PUSH_DEPTH && FF_LIKELY(max_rows > 0))
        n = book_canonical(d, body, end, rows);
    if (FF_LIKELY(n != AGAIN))
        return n;
    return ff_longport_decode_push_any(d, command, body, length, rows, max_rows);
}

/* ---- responses */

/* One session of a quote. Returns whether there is a row. */
static bool put_session(const ff_longport_decoder *d, quote_state *q, ff_text last,
                        uint64_t timestamp, uint32_t symbol, unsigned session,
                        const uint8_t *end, ff_quote *row, tally *t) {
    if (!has_price(last, end, &q->last, t))
        return false;
    q->time_ns = time_of(timestamp);
    t->untimed += q->time_ns == 0;
    put_quote(q, d->recv_ns, symbol, (uint8_t)session, row);
    return true;
}

static const ff_shape session_shape = {
    .numbers = BIT(2) | BIT(3),
    .texts = BIT(1) | BIT(4) | BIT(5) | BIT(6) | BIT(7),
};
static const ff_shape security_quote_shape = {
    .numbers = BIT(7) | BIT(8) | BIT(10),
    .texts = BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(9),
    .messages = {{11, &session_shape}, {12, &session_shape}, {13, &session_shape}},
};

/* The rows of a security: at most 4. */
static int security_quote(const ff_longport_decoder *d, const ff_message *message,
                          uint32_t symbol, const uint8_t *end, ff_quote *rows, tally *t) {
    const ff_fields *fields = &message->fields;
    quote_state q = unknown_quote;
    q.open = decimal_or_nan(text_of(fields, 4), end);
    q.high = decimal_or_nan(text_of(fields, 5), end);
    q.low = decimal_or_nan(text_of(fields, 6), end);
    q.prev_close = decimal_or_nan(text_of(fields, 3), end);
    q.volume = (double)(int64_t)number_of(fields, 8);
    q.turnover = decimal_or_nan(text_of(fields, 9), end);
    q.status = ff_u8(number_of(fields, 10));
    int n = put_session(d, &q, text_of(fields, 2), number_of(fields, 7), symbol,
                        FF_SESSION_REGULAR, end, rows, t);
    for (unsigned i = 0; i < 3; i++) {
        const ff_fields *session = &message->messages[i];
        if (!ff_fields_has(fields, 11 + i))
            continue;
        q.open = (double)NAN;
        q.high = decimal_or_nan(text_of(session, 5), end);
        q.low = decimal_or_nan(text_of(session, 6), end);
        q.prev_close = decimal_or_nan(text_of(session, 7), end);
        q.volume = (double)(int64_t)number_of(session, 3);
        q.turnover = decimal_or_nan(text_of(session, 4), end);
        n += put_session(d, &q, text_of(session, 1), number_of(session, 2), symbol,
                         FF_SESSION_PRE + i, end, rows + n, t);
    }
    return n;
}

static int quotes_response(ff_longport_decoder *d, const uint8_t *body, const uint8_t *end,
                           ff_quote *rows, size_t max_rows) {
    ff_message message;
    tally t = {0};
    ff_text e;
    size_t n = 0;
    int rc = gather(&message, &head_shape, (ff_text){body, (size_t)(end - body)});
    if (rc < 0)
        return rc;
    for (uint32_t field; (field = next_message(&body, end, &e)) != 0;) {
        ff_quote some[4];
        if (field != 1)
            continue;
        if ((rc = gather(&message, &security_quote_shape, e)) < 0)
            return rc;
        const int64_t symbol = find_or_intern(d->symbols, text_of(&message.fields, 1), end);
        if (symbol < 0)
            return (int)symbol;
        const int count_of = security_quote(d, &message, (uint32_t)symbol, end, some, &t);
        if ((size_t)count_of > max_rows - n)
            return -FF_EROWS;
        memcpy(rows + n, some, (size_t)count_of * sizeof *some);
        n += (size_t)count_of;
    }
    count(d, &t);
    return (int)n;
}

static int book_response(ff_longport_decoder *d, uint32_t symbol, const uint8_t *body,
                         const uint8_t *end, ff_book *row) {
    tally t = {0};
    empty_book(row, d->depth);
    const int rc = levels_any(d->depth, 2, body, end, row, &t);
    if (rc < 0)
        return rc;
    end_book(d, symbol, 0, row);
    count(d, &t);
    return 1;
}

static int brokers_response(ff_longport_decoder *d, uint32_t symbol, const uint8_t *body,
                            const uint8_t *end, ff_brokers *row) {
    queue_state queues;
    tally t = {0};
    memset(&queues, 0, sizeof queues);
    const int rc = queues_any(2, body, end, &queues, &t);
    if (rc < 0)
        return rc;
    put_queues(d, symbol, 0, &queues, row, &t);
    count(d, &t);
    return 1;
}

static int list_response(ff_longport_decoder *d, unsigned command, uint32_t symbol,
                         const uint8_t *body, const uint8_t *end, int32_t interval_s,
                         uint8_t kind, void *rows, size_t max_rows) {
    tally t = {0};
    list l = {.elements = 2, .interval_s = interval_s, .kind = kind};
    element *take = bar_any;
    size_t symbol_at = offsetof(ff_bar, symbol);
    l.row_size = sizeof(ff_bar);
    if (command == FF_LONGPORT_TRADES) {
        take = trade_any;
        l.row_size = sizeof(ff_tick);
        symbol_at = offsetof(ff_tick, symbol);
    } else if (command == FF_LONGPORT_INTRADAY) {
        take = line_any;
        l.row_size = sizeof(ff_timeshare);
        symbol_at = offsetof(ff_timeshare, symbol);
        l.zone = zone_of(d->symbols, symbol);
    }
    const int n = list_any(d, &l, take, body, end, rows, max_rows, &t);
    if (n < 0)
        return n;
    for (size_t i = 0; i < (size_t)n; i++)
        memcpy((uint8_t *)rows + i * l.row_size + symbol_at, &symbol, sizeof symbol);
    count(d, &t);
    return n;
}

int ff_longport_decode_response(ff_longport_decoder *d, unsigned command, const uint8_t *body,
                                size_t length, int32_t interval_s, uint8_t kind, void *rows,
                                size_t max_rows) {
    const uint8_t *end = body + length;
    ff_message head;
    if (command >= FF_LONGPORT_PUSH_QUOTE || ff_longport_max_rows(command, length) == 0)
        return -FF_EVALUE;
    if (length == 0)
        return 0; /* all of it is absent */
    if (command == FF_LONGPORT_QUOTES)
        return quotes_response(d, body, end, rows, max_rows);
    if (max_rows == 0)
        return -FF_EROWS;
    const int rc = gather(&head, &head_shape, (ff_text){body, length});
    if (rc < 0)
        return rc;
    const int64_t symbol = find_or_intern(d->symbols, text_of(&head.fields, 1), end);
    if (symbol < 0)
        return (int)symbol;
    switch (command) {
    case FF_LONGPORT_DEPTH:
        return book_response(d, (uint32_t)symbol, body, end, rows);
    case FF_LONGPORT_BROKERS:
        return brokers_response(d, (uint32_t)symbol, body, end, rows);
    default:
        return list_response(d, command, (uint32_t)symbol, body, end, interval_s, kind, rows,
                             max_rows);
    }
}
