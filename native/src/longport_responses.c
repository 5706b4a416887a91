#include "fastfeed/longport_decoder.h"

#include "longport_books.h"
#include "longport_brokers.h"
#include "longport_quotes.h"
#include "longport_ticks.h"

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
