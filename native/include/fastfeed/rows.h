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
    FF_FLAG_STALE = 4,      /* older than what was already delivered */
    FF_FLAG_GAP = 8, /* the first row after a reconnect: rows may be missing before it */
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
    uint8_t session; /* trading session, 0 = unknown */
    uint8_t flags;   /* FF_FLAG_* */
} ff_tick;

_Static_assert(sizeof(ff_tick) == 64, "a tick is one cache line");

/* One field of a row, for the NumPy dtype. */
typedef struct ff_field {
    const char *name;
    const char *format; /* NumPy's type string without byte order, such as "i8" */
    size_t offset;
} ff_field;

/* A row type: its fields in memory order, up to one whose name is NULL. */
typedef struct ff_row_type {
    const char *stream;
    size_t size;
    const ff_field *fields;
} ff_row_type;

extern const ff_row_type ff_row_ticks;

#endif
