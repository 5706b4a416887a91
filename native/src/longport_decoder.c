#include "fastfeed/longport_decoder.h"

#include "longport_books.h"
#include "longport_brokers.h"
#include "longport_quotes.h"
#include "longport_ticks.h"

enum {
    MIN_ROW = 5,    /* bytes of the shortest element that gives a row: it has a price */
    PUSHES = 4,     /* kinds */
    AGAIN = -10000, /* of a short way: the walk for any shape has to decide */
};

/* ---- what is known of a symbol */

void ff_longport_decoder_init(ff_longport_decoder *d, ff_symbols *symbols, size_t depth) {
    memset(d, 0, sizeof *d);
    d->symbols = symbols;
    d->depth = depth;
    ff_table_init(&d->sequences, PUSHES * sizeof(int64_t));
    ff_table_init(&d->quotes, sizeof(quote_state));
    ff_table_init(&d->books, ff_book_size(depth));
    ff_table_init(&d->queues, sizeof(queue_state));
}

void ff_longport_decoder_free(ff_longport_decoder *d) {
    ff_table_free(&d->sequences);
    ff_table_free(&d->quotes);
    ff_table_free(&d->books);
    ff_table_free(&d->queues);
}

void ff_longport_decoder_reset(ff_longport_decoder *d) {
    ff_table_clear(&d->sequences);
    ff_table_clear(&d->quotes);
    ff_table_clear(&d->books);
    ff_table_clear(&d->queues);
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
    uint8_t *row = ff_table_row(&d->sequences, symbol);
    if (FF_UNLIKELY(row == NULL)) {
        if (ff_table_grow(&d->sequences, symbol) < 0)
            return NULL;
        row = ff_table_row(&d->sequences, symbol);
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

/* ---- trades */

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

/* NULL: no memory. */
static inline quote_state *quote_state_of(ff_longport_decoder *d, uint32_t symbol,
                                          uint8_t session) {
    const size_t place = (size_t)symbol * FF_SESSIONS + session;
    uint8_t *row = ff_table_row(&d->quotes, place);
    if (FF_UNLIKELY(row == NULL)) {
        if (ff_table_put(&d->quotes, place, &unknown_quote) < 0)
            return NULL;
        row = ff_table_row(&d->quotes, place);
    }
    return (quote_state *)(void *)row;
}

/* Zero is what has not changed, as an absent number is: so the official stores take it. */
static inline void change(ff_text text, const uint8_t *end, double *known) {
    double value = 0;
    decimal(text, end, &value);
    if (FF_LIKELY(value != 0))
        *known = value;
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
    change(v->last, end, &q->last);
    change(v->open, end, &q->open);
    change(v->high, end, &q->high);
    change(v->low, end, &q->low);
    change(v->turnover, end, &q->turnover);
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
        const bool later = q->pushed && q->time_ns >= row->time_ns;
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
    if (FF_UNLIKELY(ff_table_put(&d->books, symbol, row) < 0))
        return -FF_ENOMEM;
    pass(last, sequence);
    count(d, t);
    return 1;
}

/* Begin with what is known of a symbol. */
static inline void begin_book(const ff_longport_decoder *d, uint32_t symbol, ff_book *row) {
    const uint8_t *kept = ff_table_row(&d->books, symbol);
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
    /* Twice: a symbol becomes known by a good body alone, and a known one has a book. */
    if ((rc = levels_any(d->depth, 3, body, end, row, &t)) < 0)
        return rc;
    const int64_t symbol = find_or_intern(d->symbols, text_of(&head.fields, 1), end);
    if (symbol < 0)
        return (int)symbol;
    begin_book(d, (uint32_t)symbol, row);
    t = (tally){0};
    levels_any(d->depth, 3, body, end, row, &t);
    return end_book_push(d, (uint32_t)symbol, (int64_t)number_of(&head.fields, 2), &t, row);
}

/* ---- broker queues */

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
    uint8_t *kept = ff_table_row(&d->queues, (size_t)symbol);
    if (kept == NULL && ff_table_grow(&d->queues, (size_t)symbol) == 0) {
        kept = ff_table_row(&d->queues, (size_t)symbol);
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

/* A level with all its fields, or all but the orders, and its tag: what most are. Returns
 * where it ends; NULL: another shape, or too near to the end. */
FF_STEP const uint8_t *full_level(const uint8_t *p, const uint8_t *end, uint32_t field,
                                  level *v) {
    enum { HEAD = 6, VOLUME = 9 };
    const uint64_t more = 0x8080808080808080u;
    if (FF_UNLIKELY(end - p < HEAD + 16 + VOLUME + 2))
        return NULL;
    /* 0: its tag, 1: its length, 2: 08 position, 4: 12 price, 5: its length */
    const uint64_t want = (field << 3 | FF_WIRE_BYTES) | 0x1200080000u;
    if (FF_UNLIKELY((ff_load_u64(p) & 0x80ff80ff80ffu) != want || p[5] > 16))
        return NULL;
    const uint8_t *q = p + HEAD + p[5], *level_end = p + 2 + p[1];
    const uint64_t word = ff_load_u64(q + 1), stops = ~word & more;
    if (FF_UNLIKELY(q[0] != 0x18 || (stops & 0x80808080u) == 0))
        return NULL;
    const uint64_t digits = word & (stops ^ (stops - 1)) & ~more; /* at most 28 bits */
    v->position = p[3];
    v->price = (ff_text){p + HEAD, p[5]};
    v->volume = (digits & 0x7f) | (digits >> 1 & 0x3f80) | (digits >> 2 & 0x1fc000) |
                (digits >> 3 & 0xfe00000);
    v->orders = 0;
    q += 2 + (unsigned)__builtin_ctzll(stops) / 8;
    if (FF_LIKELY(q != level_end)) {
        /* 0: 20 orders */
        if (FF_UNLIKELY(q[0] != 0x20 || q[1] >= 0x80 || q + 2 != level_end))
            return NULL;
        v->orders = q[1];
    }
    return level_end;
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
            level v;
            const uint8_t *next = full_level(p, end, 3 + i, &v);
            if (FF_LIKELY(next != NULL)) {
                p = next;
                put_level(&side, depth, &v, end, &t);
                continue;
            }
            const ff_text e = ff_step_message(&p, end, 3 + i);
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
