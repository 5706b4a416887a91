#ifndef FASTFEED_ROWS_H
#define FASTFEED_ROWS_H

/* The rows of the streams. This is the one place where a row's layout is written: rows.c
 * tables the offsets and sizes of these structs, and the NumPy dtypes are made from those
 * tables.
 *
 * Times are nanoseconds since 1970 UTC, 0 when unknown; a missing number is NaN; sizes are
 * multiples of 64. */

#include <stddef.h>
#include <stdint.h>

/* Bits of `flags`. */
enum {
    FF_FLAG_CACHED =
        1, /* the vendor sent it from a cache, for example right after subscribing */
    FF_FLAG_BACKFILLED = 2, /* fetched later, after an interruption */
    FF_FLAG_STALE = 4, /* older than what was already delivered, or more than a minute old when
                          it arrived (AllTick) */
    FF_FLAG_GAP = 8,   /* the first row after a reconnect: rows may be missing before it */
};

/* One trade. */
typedef struct ff_tick {
    int64_t recv_ns;    /* the bytes arrived here; one stamp for all rows of a read */
    int64_t time_ns;    /* the exchange's time of the trade */
    int64_t gateway_ns; /* the vendor's gateway got it */
    int64_t seq;        /* the vendor's sequence, -1 = none */
    double price;
    double volume;
    double turnover;
    uint32_t symbol; /* id in the symbol table */
    int8_t side;     /* 1 buyer, -1 seller, 0 neutral or unknown */
    uint8_t kind;    /* type of the trade in the vendor's numbering, 255 = larger than that */
    uint8_t session; /* ff_session */
    uint8_t flags;   /* FF_FLAG_* */
} ff_tick;

_Static_assert(sizeof(ff_tick) == 64, "a tick is one cache line");

/* Values of `session`. A quote of each session of a symbol is a row of its own. */
typedef enum ff_session {
    FF_SESSION_UNKNOWN = 0,
    FF_SESSION_REGULAR = 1,
    FF_SESSION_PRE = 2,
    FF_SESSION_POST = 3,
    FF_SESSION_OVERNIGHT = 4,
    FF_SESSIONS
} ff_session;

/* The state of one symbol in one session. What a session or a kind of security does not have
 * is NaN. Percent where it says so: 1.5 means 1.5 %. */
typedef struct ff_quote {
    int64_t recv_ns;
    int64_t time_ns; /* the vendor's time of the update */
    int64_t gateway_ns;
    int64_t seq;
    double last;
    double open;
    double high;
    double low;
    double prev_close;
    double volume;
    double turnover;
    double change;        /* last against the close before */
    double change_rate;   /* the same in percent */
    double amplitude;     /* percent */
    double turnover_rate; /* percent */
    double price_spread;  /* tick size */
    int64_t listed_ns;    /* day of listing, midnight of the market; 0 = unknown */
    uint32_t symbol;
    uint8_t session; /* ff_session */
    uint8_t status;  /* of the security, as the vendor numbers it */
    uint8_t flags;
    uint8_t suspended; /* 1: trading is suspended */
    /* Options, warrants and futures. */
    int32_t expiry_days;       /* to expiry, negative when past; INT32_MIN = unknown */
    uint8_t dark_status;       /* grey market, as the vendor numbers it */
    uint8_t option_style;      /* American, European, ... as the vendor numbers it */
    uint8_t index_option_type; /* as the vendor numbers it */
    uint8_t kind; /* 0 plain, FF_QUOTE_* bits: which of the fields below were sent */
    double strike_price;
    double contract_size;
    double open_interest; /* also `position` of futures */
    double net_open_interest;
    double open_interest_change; /* `positionChange` of futures */
    double implied_volatility;   /* percent */
    double premium;              /* percent */
    double delta;
    double gamma;
    double vega;
    double theta;
    double rho;
    double contract_nominal_value;
    double owner_lot_multiplier;
    double contract_multiplier;
    double last_settle_price;
    double _reserved[5];
} ff_quote;

enum { FF_QUOTE_OPTION = 1, FF_QUOTE_FUTURE = 2, FF_QUOTE_WARRANT = 4 };

_Static_assert(sizeof(ff_quote) == 320, "a quote is five cache lines");

/* The order book of one symbol: always complete, best level first. Behind this head lie arrays
 * of `depth` elements, in the order of ff_row_books: the depth is a matter of the ring. Levels
 * that are not there are NaN with 0 orders. */
typedef struct ff_book {
    int64_t recv_ns;
    int64_t time_ns;    /* the exchange's, 0 = not told */
    int64_t gateway_ns; /* the later one of the two below */
    int64_t seq;
    int64_t bid_ns; /* the vendor's server got this side */
    int64_t ask_ns;
    uint32_t symbol;
    uint16_t bids; /* levels that are real */
    uint16_t asks;
    uint8_t kind; /* 0 normal, 1 odd lots */
    uint8_t session;
    uint8_t flags;
    uint8_t _reserved[5];
} ff_book;

_Static_assert(sizeof(ff_book) == 64, "the head of a book is one cache line");

enum { FF_BOOK_MAX_DEPTH = 1000, FF_BOOK_LEVEL_BYTES = 4 * 8 + 2 * 4 };

/* Bytes of a book's row. */
static inline size_t ff_book_size(size_t depth) {
    return (sizeof(ff_book) + depth * FF_BOOK_LEVEL_BYTES + 63) / 64 * 64;
}

/* The arrays of a book. */
static inline double *ff_book_bid_price(ff_book *book) {
    return (double *)(void *)(book + 1);
}
static inline double *ff_book_bid_volume(ff_book *book, size_t depth) {
    return ff_book_bid_price(book) + depth;
}
static inline double *ff_book_ask_price(ff_book *book, size_t depth) {
    return ff_book_bid_price(book) + 2 * depth;
}
static inline double *ff_book_ask_volume(ff_book *book, size_t depth) {
    return ff_book_bid_price(book) + 3 * depth;
}
static inline int32_t *ff_book_bid_orders(ff_book *book, size_t depth) {
    return (int32_t *)(void *)(ff_book_bid_price(book) + 4 * depth);
}
static inline int32_t *ff_book_ask_orders(ff_book *book, size_t depth) {
    return ff_book_bid_orders(book, depth) + depth;
}

/* A bar, finished or running: it is sent again with every change. */
typedef struct ff_bar {
    int64_t recv_ns;
    int64_t time_ns; /* START of the bar */
    int64_t gateway_ns;
    int64_t seq;
    double open;
    double high;
    double low;
    double close;
    double volume;
    double turnover;
    double prev_close;    /* NaN = not sent */
    double change_rate;   /* percent */
    double turnover_rate; /* a fraction */
    double pe;
    uint32_t symbol;
    int32_t interval_s; /* of a month 30, a quarter 90, a year 365 days */
    uint8_t kind;       /* type of the bar as the vendor numbers it */
    uint8_t adjust;     /* 0 as traded, 1 forward, 2 backward adjusted */
    uint8_t session;
    uint8_t flags;
    uint8_t blank; /* 1: nothing but the time is known */
    uint8_t _reserved[3];
} ff_bar;

_Static_assert(sizeof(ff_bar) == 128, "a bar is two cache lines");

/* A point of the day's minute line. */
typedef struct ff_timeshare {
    int64_t recv_ns;
    int64_t time_ns;
    int64_t gateway_ns;
    int64_t seq;
    double price;
    double avg_price;
    double prev_close;
    double volume;
    double turnover;
    uint32_t symbol;
    int32_t minute; /* of the market's day, from midnight */
    uint8_t blank;  /* 1: a point filled in, without trades */
    uint8_t session;
    uint8_t flags;
    uint8_t _reserved[45];
} ff_timeshare;

_Static_assert(sizeof(ff_timeshare) == 128, "a point is two cache lines");

enum { FF_BROKER_PLACES = 40 }; /* of a side of the queue */

/* The broker queues of one symbol (Hong Kong), complete, in the order of the queue. Places
 * that are not taken are 0, their volume NaN. */
typedef struct ff_brokers {
    int64_t recv_ns;
    int64_t time_ns;
    int64_t gateway_ns;
    int64_t seq;
    uint32_t symbol;
    uint16_t bids; /* places that are taken */
    uint16_t asks;
    uint8_t session;
    uint8_t flags;
    uint8_t _reserved[22];
    int64_t bid_broker[FF_BROKER_PLACES];
    int64_t ask_broker[FF_BROKER_PLACES];
    int64_t bid_order[FF_BROKER_PLACES]; /* the exchange's order id, 0 = not sent */
    int64_t ask_order[FF_BROKER_PLACES];
    double bid_volume[FF_BROKER_PLACES]; /* of that order, NaN = not sent */
    double ask_volume[FF_BROKER_PLACES];
    int32_t bid_level[FF_BROKER_PLACES]; /* of the book, from 1 */
    int32_t ask_level[FF_BROKER_PLACES];
} ff_brokers;

_Static_assert(sizeof(ff_brokers) == 2304, "broker queues are 36 cache lines");

/* The streams; the number of one is its place in ff_row_types. */
typedef enum ff_stream {
    FF_STREAM_TICKS,
    FF_STREAM_QUOTES,
    FF_STREAM_BOOKS,
    FF_STREAM_ODD_BOOKS, /* books of odd lots, apart */
    FF_STREAM_BARS,
    FF_STREAM_TIMESHARE,
    FF_STREAM_BROKERS,
    FF_STREAMS
} ff_stream;

/* One field of a row, for the NumPy dtype. */
typedef struct ff_field {
    const char *name;
    const char *format; /* NumPy's type string without byte order, such as "i8" */
    size_t offset;      /* of an array of a book: unused */
    size_t count;       /* elements of an array, 0 = no array, FF_DEPTH = of the depth */
} ff_field;

#define FF_DEPTH SIZE_MAX /* the arrays of a book lie one behind the other */

/* A row type: its fields in memory order, up to one whose name is NULL. */
typedef struct ff_row_type {
    const char *stream;
    size_t size; /* of a book: of its head */
    const ff_field *fields;
} ff_row_type;

extern const ff_row_type ff_row_types[FF_STREAMS];

/* Where the id of the symbol stands in a row. */
extern const size_t ff_symbol_at[FF_STREAMS];

#endif
