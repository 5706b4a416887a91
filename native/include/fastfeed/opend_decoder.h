#ifndef FASTFEED_OPEND_DECODER_H
#define FASTFEED_OPEND_DECODER_H

/* What the decoders of OpenD's messages have in common. Each message has a header of its own
 * (opend_ticks.h, opend_quotes.h, ...).
 *
 * Real bodies are canonical: every field once, in the order of the numbers. The decoders take
 * the fields by steps in that order: a step that does not find its field leaves the position
 * where it is, so optional fields may lack; what is left over at the end means that the
 * message is of another shape. Then it goes through canonical.h, and comes again. So there is
 * one place for the meaning of each message, and all encodings give the same rows.
 *
 * A body whose outer shape is another one (the security behind the rows, S2C in two pieces) is
 * walked by the functions for any shape instead.
 *
 * A body is decoded completely or not at all; a row without a usable price is left out and
 * counted. Of other doubles, NaN counts as not sent, and infinities are passed on. */

#include <math.h>

#include "fastfeed/market_time.h"
#include "fastfeed/opend_names.h"
#include "fastfeed/rows.h"
#include "fastfeed/steps.h"
#include "fastfeed/symbols.h"

enum { FF_OPEND_NAMED_BROKERS = 1 << 14 }; /* Hong Kong's have four digits */

/* What the decoder keeps between bodies. The caller sets symbols and recv_ns. */
typedef struct ff_opend_decoder {
    ff_symbols *symbols;
    ff_symbols *brokers; /* where names of brokers go, may be NULL; see opend_brokers.h */
    int64_t recv_ns;     /* goes into every row */
    ff_date_cache date;  /* of the time texts */
    uint64_t
        dropped[FF_REASONS]; /* rows left out, by reason, and rows whose time was unreadable */
    uint64_t cut_levels;     /* levels of books and places of queues that had no room */
    uint64_t named[FF_OPEND_NAMED_BROKERS / 64]; /* bit n: `brokers` has a name for n */
} ff_opend_decoder;

/* The market's zone for time texts. Crypto (CC) was seen in New York time; a market whose zone
 * nobody has established is read as UTC. */
static inline ff_zone ff_opend_zone(uint64_t market) {
    switch (market) {
    case 11:  /* US */
    case 71:  /* CA */
    case 91:  /* CC */
    case 101: /* EC */
        return FF_ZONE_NEW_YORK;
    case 1:  /* HK */
    case 2:  /* HK futures, obsolete */
    case 21: /* SH */
    case 22: /* SZ */
    case 31: /* SG */
    case 61: /* MY */
        return FF_ZONE_HONG_KONG;
    case 41: /* JP */
        return FF_ZONE_TOKYO;
    case 51: /* AU */
        return FF_ZONE_SYDNEY;
    default:
        return FF_ZONE_UTC;
    }
}

/* Epoch seconds as a double to ns; 0 when it is none. A double of today resolves a quarter of
 * a microsecond, so it is rounded to whole ones. */
static inline int64_t ff_seconds_to_ns(double seconds) {
    if (FF_LIKELY(seconds > 0 && seconds < 9e9))
        return (int64_t)(seconds * 1e6 + 0.5) * 1000;
    return 0;
}

/* The id of a security, given to it now if it is new; or a negative reason. */
static inline int64_t ff_opend_symbol(ff_symbols *symbols, uint64_t market,
                                      const uint8_t *code, size_t length, const uint8_t *end) {
    if (FF_LIKELY(market <= FF_OPEND_MAX_MARKET && length <= FF_OPEND_MAX_CODE)) {
        int64_t id =
            ff_symbols_find(symbols, ff_opend_key_space((uint32_t)market), code, length, end);
        if (FF_LIKELY(id >= 0))
            return id;
    }
    return ff_opend_intern(symbols, market, code, length);
}

/* ---- what the values mean */

/* The volume: hpVolume or, when that was not sent, the one in whole units. */
static inline double ff_opend_volume(double precise, bool sent, uint64_t units) {
    if (FF_LIKELY(precise == precise))
        return precise;
    return sent ? (double)(int64_t)units : (double)NAN;
}

/* A time from its double or, when that says nothing, from its text. 0 = unreadable. */
static inline int64_t ff_opend_time(ff_opend_decoder *d, double seconds, ff_text text,
                                    uint64_t market) {
    int64_t time_ns = ff_seconds_to_ns(seconds);
    if (FF_UNLIKELY(time_ns == 0))
        time_ns = ff_market_time(text.data, text.length, ff_opend_zone(market), &d->date);
    return time_ns;
}

/* ---- a body and its security */

/* What is known of a body while its rows are made. */
typedef struct ff_opend_head {
    uint32_t symbol;
    uint64_t market;
    uint64_t rehab, kl_type; /* of bars */
    bool push;               /* of bars */
    bool gathered;    /* the element at hand went through canonical.h: it is all valid */
    uint64_t untimed; /* rows without a readable time */
} ff_opend_head;

/* What the messages have, by name of the message: S2C of ticks and others with a security and
 * a list, S2C of bars, books and quotes, and the elements of the lists. */
extern const ff_shape ff_shape_security, ff_shape_secured, ff_shape_bars, ff_shape_book,
    ff_shape_quotes, ff_shape_ticker, ff_shape_bar, ff_shape_timeshare, ff_shape_level,
    ff_shape_broker, ff_shape_quote;

/* The beginning of S2C in a canonical body that holds nothing else: retType 0, and in a reply
 * retMsg "" and errCode 0. NULL: a body of another shape. */
static inline const uint8_t *ff_opend_s2c(const uint8_t *p, const uint8_t *end) {
    size_t length;
    int why;
    if (FF_UNLIKELY(end - p < 8))
        return NULL;
    if (FF_LIKELY((ff_load_u32(p) & 0xffffffu) == 0x220008u))
        p += 3;
    else if (ff_load_u32(p) == 0x00120008u && (ff_load_u32(p + 4) & 0xffffffu) == 0x220018u)
        p += 7;
    else
        return NULL;
    if (FF_LIKELY(end - p >= 2 && p[0] >= 0x80 && p[1] < 0x80)) {
        length = (size_t)(p[0] & 0x7f) | (size_t)p[1] << 7;
        p += 2;
    } else {
        p = ff_wire_length(p, end, &length, &why);
    }
    return p != NULL && (size_t)(end - p) == length ? p : NULL;
}

/* Find the security at *p; `readable` bounds what may be read. Returns false, and stays, when
 * it is unknown or none is there. */
FF_STEP bool ff_opend_step_security(ff_opend_decoder *d, ff_opend_head *head,
                                    const uint8_t **p, const uint8_t *end, uint32_t field) {
    /* 0: its tag, 1: its length, 2: 08 market of one byte, 4: 12 code, 5: its length */
    const uint8_t *q = *p;
    if (FF_UNLIKELY(end - q < 8))
        return false;
    const uint64_t want = (field << 3 | FF_WIRE_BYTES) | 0x1200080000u;
    if (FF_UNLIKELY((ff_load_u64(q) & 0xff80ff80ffu) != want || q[1] != q[5] + 4 ||
                    end - q < 6 + q[5]))
        return false;
    int64_t symbol = ff_symbols_find(d->symbols, ff_opend_key_space(q[3]), q + 6, q[5], end);
    if (FF_UNLIKELY(symbol < 0))
        return false;
    head->symbol = (uint32_t)symbol;
    head->market = q[3];
    *p = q + 6 + q[5];
    return true;
}

/* The id of a security whose fields were gathered, given to it now if it is new. */
static inline int ff_opend_gathered_security(ff_opend_decoder *d, ff_opend_head *head,
                                             const ff_fields *security, const uint8_t *end) {
    if (!ff_fields_has(security, 2))
        return -FF_ESYMBOL;
    head->market = (uint32_t)security->values[1].number;
    int64_t symbol = ff_opend_symbol(d->symbols, head->market, security->values[2].text,
                                     security->values[2].length, end);
    if (symbol < 0)
        return (int)symbol;
    head->symbol = (uint32_t)symbol;
    return 0;
}

/* The same for a security in an element that was gathered: at *p it is canonical. */
static inline int ff_opend_step_new_security(ff_opend_decoder *d, ff_opend_head *head,
                                             const uint8_t **p, const uint8_t *end,
                                             uint32_t field) {
    uint64_t market = 0;
    ff_text security = ff_step_text(p, end, field);
    if (security.data == NULL)
        return -FF_ESYMBOL;
    const uint8_t *q = security.data, *q_end = q + security.length;
    ff_step_number(&q, q_end, 1, &market);
    ff_text code = ff_step_text(&q, q_end, 2);
    if (code.data == NULL)
        return -FF_ESYMBOL;
    head->market = (uint32_t)market;
    int64_t symbol = ff_opend_symbol(d->symbols, head->market, code.data, code.length, end);
    if (symbol < 0)
        return (int)symbol;
    head->symbol = (uint32_t)symbol;
    return 0;
}

/* Gather what a body of any shape says outside of its repeated fields. Returns 0 or a negative
 * reason. */
int ff_opend_gather(const uint8_t *body, const uint8_t *end, const ff_shape *s2c,
                    ff_message *message);

/* A walk over the embedded messages in the S2C of a body that ff_opend_gather() has checked,
 * through all its pieces. */
typedef struct ff_opend_walk {
    const uint8_t *p, *end;   /* of the body */
    const uint8_t *q, *q_end; /* of the piece */
} ff_opend_walk;

/* The next one, and its field number; data NULL: no more. */
ff_text ff_opend_walk_next(ff_opend_walk *walk, uint32_t *field);

/* ---- messages that are a list of rows */

/* Make the rows of one element (at most `room`, which is not 0). Returns how many; 0 when the
 * element is not canonical, having done nothing; or a negative reason, of which -FF_EMISSING
 * and -FF_ENOTFINITE speak of this element only. */
typedef int ff_opend_element(ff_opend_decoder *d, ff_opend_head *head, const uint8_t *p,
                             const uint8_t *end, void *rows, size_t room);

typedef struct ff_opend_list {
    const ff_shape *s2c; /* its first message is the security, if there is one */
    bool typed;          /* S2C begins with rehabType and klType */
    uint32_t security;   /* field numbers in S2C; 0 = none */
    uint32_t elements;
    const ff_shape *shape; /* of an element */
    ff_opend_element *element;
    size_t row_size;
} ff_opend_list;

/* One element of any shape. */
FF_NOINLINE static int ff_opend_element_any(ff_opend_decoder *d, const ff_opend_list *list,
                                            ff_opend_head *head, const uint8_t *p,
                                            const uint8_t *end, void *rows, size_t room) {
    ff_message message;
    uint8_t bytes[FF_CANONICAL_BYTES];
    memset(&message, 0, sizeof message);
    int rc = ff_message_merge(&message, list->shape, p, end);
    if (rc < 0)
        return rc;
    size_t length = ff_message_write(&message, list->shape, bytes);
    head->gathered = true;
    rc = list->element(d, head, bytes, bytes + length, rows, room);
    head->gathered = false;
    return rc;
}

/* A body of any shape. Two walks: retType and the security may come after the rows. */
FF_NOINLINE static int ff_opend_list_any(ff_opend_decoder *d, const ff_opend_list *list,
                                         uint32_t kl_type, uint32_t rehab, const uint8_t *body,
                                         const uint8_t *end, void *rows, size_t max_rows) {
    ff_opend_head head = {.kl_type = kl_type, .rehab = rehab, .push = list->typed};
    ff_message message;
    memset(&message, 0, sizeof message);
    int rc = ff_opend_gather(body, end, list->s2c, &message);
    if (rc < 0)
        return rc;
    if (list->security != 0 &&
        (rc = ff_opend_gathered_security(d, &head, &message.messages[0], end)) < 0)
        return rc;
    if (list->typed) {
        head.rehab = message.fields.values[1].number;
        head.kl_type = message.fields.values[2].number;
    }
    size_t n = 0;
    uint64_t missing = 0, not_finite = 0;
    ff_opend_walk walk = {body, end, NULL, NULL};
    uint32_t field;
    for (ff_text e; (e = ff_opend_walk_next(&walk, &field)).data != NULL;) {
        if (field != list->elements)
            continue;
        if (n == max_rows)
            return -FF_EROWS;
        uint8_t *row = (uint8_t *)rows + n * list->row_size;
        rc = list->element(d, &head, e.data, e.data + e.length, row, max_rows - n);
        if (rc == 0)
            rc = ff_opend_element_any(d, list, &head, e.data, e.data + e.length, row,
                                      max_rows - n);
        missing += rc == -FF_EMISSING;
        not_finite += rc == -FF_ENOTFINITE;
        if (rc > 0)
            n += (size_t)rc;
        else if (rc != -FF_EMISSING && rc != -FF_ENOTFINITE)
            return rc;
    }
    d->dropped[FF_EMISSING] += missing;
    d->dropped[FF_ENOTFINITE] += not_finite;
    d->dropped[FF_ETIME] += head.untimed;
    return (int)n;
}

/* A canonical body. Returns the number of rows, or -1 when it has another shape, its security
 * is new, or anything is wrong with it; then nothing was counted. */
FF_STEP int ff_opend_list_canonical(ff_opend_decoder *d, const ff_opend_list *list,
                                    uint32_t kl_type, uint32_t rehab, const uint8_t *p,
                                    const uint8_t *end, void *rows, size_t max_rows) {
    ff_opend_head head = {.kl_type = kl_type, .rehab = rehab, .push = list->typed};
    if (FF_UNLIKELY((p = ff_opend_s2c(p, end)) == NULL))
        return -1;
    if (list->typed) {
        /* 0: 08 rehabType, 2: 10 klType */
        if (FF_UNLIKELY(end - p < 4 || (ff_load_u32(p) & 0x80ff80ffu) != 0x00100008u))
            return -1;
        head.rehab = p[1];
        head.kl_type = p[3];
        p += 4;
    }
    /* A new security is left to the walk for any shape: only that one knows whether another
     * security follows and counts. */
    if (list->security != 0 &&
        FF_UNLIKELY(!ff_opend_step_security(d, &head, &p, end, list->security)))
        return -1;
    size_t n = 0;
    for (;;) {
        ff_text e = ff_step_message(&p, end, list->elements);
        if (e.data == NULL)
            break;
        if (FF_UNLIKELY(n == max_rows))
            return -1;
        uint8_t *row = (uint8_t *)rows + n * list->row_size;
        int rc = list->element(d, &head, e.data, e.data + e.length, row, max_rows - n);
        if (FF_UNLIKELY(rc <= 0)) {
            if (rc == 0)
                rc = ff_opend_element_any(d, list, &head, e.data, e.data + e.length, row,
                                          max_rows - n);
            if (rc <= 0)
                return -1;
        }
        n += (size_t)rc;
    }
    /* The name, and the key of the next page. */
    ff_step_message(&p, end, list->elements + 1);
    if (FF_UNLIKELY(p != end)) {
        ff_step_message(&p, end, list->elements + 2);
        if (p != end)
            return -1;
    }
    d->dropped[FF_ETIME] += head.untimed;
    return (int)n;
}

/* Decode a body into up to max_rows rows; bars of replies have the given type and rehab type.
 * Returns how many, or a negative reason (then nothing counts that was written). An unknown
 * security gets an id as a side effect. */
FF_STEP int ff_opend_decode_list(ff_opend_decoder *d, const ff_opend_list *list,
                                 uint32_t kl_type, uint32_t rehab, const uint8_t *body,
                                 size_t length, void *rows, size_t max_rows) {
    int n =
        ff_opend_list_canonical(d, list, kl_type, rehab, body, body + length, rows, max_rows);
    if (FF_LIKELY(n >= 0))
        return n;
    return ff_opend_list_any(d, list, kl_type, rehab, body, body + length, rows, max_rows);
}

/* ---- messages that are one row with two sides */

enum { FF_SIDE_ASK, FF_SIDE_BID, FF_SIDES };

/* Take one element of a side. Returns 1; 0 when it is not canonical, having done nothing; or a
 * negative reason. */
typedef int ff_opend_add(void *state, unsigned side, const uint8_t *p, const uint8_t *end);

/* Take the elements of a side from p on that have all their fields, as long as they come;
 * returns where the first other thing begins. */
typedef const uint8_t *ff_opend_run(void *state, unsigned side, const uint8_t *p,
                                    const uint8_t *end);

typedef struct ff_opend_two_sides {
    const ff_shape *s2c;   /* security in field 1, asks in 2, bids in 3 */
    const ff_shape *shape; /* of an element */
    ff_opend_run *run;
    ff_opend_add *add;
} ff_opend_two_sides;

/* The tag of an element. */
static inline uint8_t ff_opend_side_tag(unsigned side) {
    return (uint8_t)((2 + side) << 3 | FF_WIRE_BYTES);
}

FF_NOINLINE static int ff_opend_add_any(const ff_opend_two_sides *sides, void *state,
                                        unsigned side, const uint8_t *p, const uint8_t *end) {
    ff_message message;
    uint8_t bytes[FF_CANONICAL_BYTES];
    memset(&message, 0, sizeof message);
    int rc = ff_message_merge(&message, sides->shape, p, end);
    if (rc < 0)
        return rc;
    size_t length = ff_message_write(&message, sides->shape, bytes);
    return sides->add(state, side, bytes, bytes + length);
}

/* The security and both sides of a canonical body; returns where the rest of S2C begins. NULL:
 * another shape, a new security, or something is wrong with it. */
FF_STEP const uint8_t *ff_opend_sides_canonical(ff_opend_decoder *d,
                                                const ff_opend_two_sides *sides,
                                                ff_opend_head *head, const uint8_t *p,
                                                const uint8_t *end, void *state) {
    if (FF_UNLIKELY((p = ff_opend_s2c(p, end)) == NULL ||
                    !ff_opend_step_security(d, head, &p, end, 1)))
        return NULL;
    for (unsigned side = 0; side < FF_SIDES; side++) {
        for (;;) {
            p = sides->run(state, side, p, end);
            ff_text e = ff_step_message(&p, end, 2 + side);
            if (e.data == NULL)
                break;
            int rc = sides->add(state, side, e.data, e.data + e.length);
            if (FF_UNLIKELY(rc <= 0) && (rc < 0 || ff_opend_add_any(sides, state, side, e.data,
                                                                    e.data + e.length) <= 0))
                return NULL;
        }
    }
    return p;
}

/* The same of a body of any shape; *message gets the rest. Returns 0 or a negative reason. */
FF_NOINLINE static int ff_opend_sides_any(ff_opend_decoder *d, const ff_opend_two_sides *sides,
                                          ff_opend_head *head, const uint8_t *body,
                                          const uint8_t *end, void *state,
                                          ff_message *message) {
    memset(message, 0, sizeof *message);
    int rc = ff_opend_gather(body, end, sides->s2c, message);
    if (rc < 0)
        return rc;
    if ((rc = ff_opend_gathered_security(d, head, &message->messages[0], end)) < 0)
        return rc;
    ff_opend_walk walk = {body, end, NULL, NULL};
    uint32_t field;
    for (ff_text e; (e = ff_opend_walk_next(&walk, &field)).data != NULL;) {
        if (field != 2 && field != 3)
            continue;
        rc = sides->add(state, field - 2, e.data, e.data + e.length);
        if (rc == 0)
            rc = ff_opend_add_any(sides, state, field - 2, e.data, e.data + e.length);
        if (rc < 0)
            return rc;
    }
    return 0;
}

#endif
