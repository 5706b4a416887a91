#include "fastfeed/alltick_decoder.h"

#include "fastfeed/json.h"
#include "fastfeed/utf8.h"

enum {
    NUMBER_BYTES = 64, /* most that a number's text may have */
    KEY_BYTES = 16,    /* of the keys that are looked at */
};

/* What is counted of one message; the decoder gets it when all of the message is good. */
typedef struct tally {
    uint64_t untimed, cut_levels, odd_seqs, odd_directions, unknown_codes;
} tally;

/* The keys that are looked at, of a message, and of an item or a level. */
enum { CMD_ID, DATA, RET, ENVELOPE_SLOTS };

typedef enum slot {
    CODE,
    SEQ,
    TICK_TIME,
    PRICE,
    VOLUME,
    TURNOVER,
    DIRECTION,
    BIDS,
    ASKS,
    TICK_LIST,
    SLOTS
} slot;

typedef struct name {
    uint8_t length;
    uint8_t slot;
    char text[KEY_BYTES];
} name;

#define NAME(text, slot) {sizeof(text) - 1, slot, text}

static const name envelope_names[] = {
    NAME("cmd_id", CMD_ID),
    NAME("data", DATA),
    NAME("ret", RET),
    {0},
};

/* With spellings from old documents. */
static const name item_names[] = {
    NAME("code", CODE),
    NAME("seq", SEQ),
    NAME("tick_time", TICK_TIME),
    NAME("price", PRICE),
    NAME("volume", VOLUME),
    NAME("turnover", TURNOVER),
    NAME("trade_direction", DIRECTION),
    NAME("bids", BIDS),
    NAME("asks", ASKS),
    NAME("tick_list", TICK_LIST),
    NAME("pric", PRICE),
    NAME("volumn", VOLUME),
    NAME("bid_list", BIDS),
    NAME("ask_list", ASKS),
    {0},
};

static const name level_names[] = {
    NAME("price", PRICE),
    NAME("volume", VOLUME),
    NAME("pric", PRICE),
    NAME("volumn", VOLUME),
    {0},
};

/* The content of a string with escapes; what it is without them when it fits into `room`. More
 * than `size` bytes: some more, that is all. */
static size_t unescape(ff_json_span string, uint8_t *room, size_t size) {
    /* An escape has at most 12 bytes for a character. */
    if ((size_t)(string.end - string.p) - 2 > size * 12)
        return size + 1;
    return ff_json_text(string.p, string.end, room, size);
}

static bool has_escape(ff_json_span string) {
    return memchr(string.p, '\\', (size_t)(string.end - string.p)) != NULL;
}

/* Where a key of up to KEY_BYTES, zero-padded, is in a table, beginning at *hint; -1. */
static inline int slot_of_words(const name *names, uint64_t low, uint64_t high,
                                unsigned *hint) {
    for (unsigned i = *hint;; i++) {
        if (names[i].length == 0) {
            if (*hint == 0)
                return -1;
            i = 0;
        }
        const uint8_t *text = (const uint8_t *)names[i].text;
        if (ff_load_u64(text) == low && ff_load_u64(text + 8) == high) {
            *hint = i + 1;
            return names[i].slot;
        }
        if (i + 1 == *hint)
            return -1;
    }
}

/* The slot of a key. *hint is where it is looked for first: keys mostly come in order. */
static inline int slot_of(const name *names, ff_json_span key, const uint8_t *end,
                          unsigned *hint) {
    uint8_t room[KEY_BYTES] = {0};
    size_t length = (size_t)(key.end - key.p) - 2;
    uint64_t low, high;
    if (FF_LIKELY(length - 1 < KEY_BYTES && end - key.p > KEY_BYTES)) {
        low = ff_load_u64(key.p + 1);
        high = ff_load_u64(key.p + 9);
        if (length <= 8) {
            low &= ~(uint64_t)0 >> (64 - 8 * length);
            high = 0;
        } else {
            high &= ~(uint64_t)0 >> (128 - 8 * length);
        }
        const int at = slot_of_words(names, low, high, hint);
        if (FF_LIKELY(at >= 0))
            return at;
    }
    length = unescape(key, room, sizeof room);
    if (length - 1 >= sizeof room || memchr(room, 0, length) != NULL) /* also 0 */
        return -1;
    return slot_of_words(names, ff_load_u64(room), ff_load_u64(room + 8), hint);
}

/* Gather the values of an object's keys. Returns where it ends, or NULL with *why. */
static const uint8_t *gather(const uint8_t *p, const uint8_t *end, unsigned depth,
                             const name *names, ff_json_span *values, int *why) {
    ff_json_walk walk = ff_json_enter(p, end, depth);
    unsigned hint = 0;
    int rc;
    while ((rc = ff_json_member(&walk)) > 0) {
        int at = slot_of(names, walk.key, end, &hint);
        if (at >= 0)
            values[at] = walk.value;
    }
    *why = -rc;
    return rc < 0 ? NULL : walk.p;
}

static inline bool is_there(ff_json_span value) {
    return value.p != NULL && *value.p != 'n';
}

/* The text of a number, quoted or bare, as it stands there. Returns its length; 0: the value
 * is missing; or a negative reason: it is no such text. */
static inline int number_text(ff_json_span value, const uint8_t **text) {
    if (!is_there(value))
        return 0;
    *text = value.p;
    ptrdiff_t length = value.end - value.p;
    if (*value.p == '"') {
        *text += 1;
        length -= 2;
    } else if (*value.p != '-' && (unsigned)(*value.p - '0') > 9) {
        return -FF_EVALUE;
    }
    return length <= 6 * NUMBER_BYTES ? (int)length : -FF_EVALUE;
}

/* The same without escapes, in `room`, for a text that is no number as it stands there. */
static int plain_text(ff_json_span value, uint8_t room[NUMBER_BYTES]) {
    if (*value.p != '"' || !has_escape(value))
        return -FF_EVALUE;
    const size_t length = unescape(value, room, NUMBER_BYTES);
    return length <= NUMBER_BYTES ? (int)length : -FF_EVALUE;
}

/* A decimal whose magnitude is below `limit`. Returns 1; 0: it is missing; or a reason. */
static inline int decimal(ff_json_span value, const uint8_t *end, double limit, double *v) {
    uint8_t room[NUMBER_BYTES];
    const uint8_t *text;
    int length = number_text(value, &text);
    if (length <= 0)
        return length;
    if (FF_UNLIKELY(length > NUMBER_BYTES ||
                    !ff_decimal_parse(text, (size_t)length, end, v))) {
        length = plain_text(value, room);
        if (length <= 0 || !ff_decimal_parse(room, (size_t)length, room + length, v))
            return -FF_EVALUE;
    }
    return fabs(*v) < limit ? 1 : -FF_EVALUE;
}

static int price(ff_json_span value, const uint8_t *end, double *v) {
    const int rc = decimal(value, end, FF_ALLTICK_MAX_PRICE, v);
    return rc == 0 ? -FF_EMISSING : rc;
}

/* A volume or turnover: NaN when it is missing or negative. */
static int volume(ff_json_span value, const uint8_t *end, double *v) {
    const int rc = decimal(value, end, FF_ALLTICK_MAX_VOLUME, v);
    if (rc < 0)
        return rc;
    if (rc == 0 || *v < 0)
        *v = (double)NAN;
    return 0;
}

enum { ODD = 2 }; /* an integer that is negative or beyond 63 bits */

static int integer_text(const uint8_t *text, const uint8_t *end, uint64_t *v) {
    const bool negative = *text == '-';
    bool odd = negative;
    text += negative;
    if (text == end)
        return -FF_EVALUE;
    *v = 0;
    for (; text < end; text++) {
        const unsigned digit = (unsigned)(*text - '0');
        if (digit > 9)
            return -FF_EVALUE;
        odd = odd || *v > ((uint64_t)INT64_MAX - digit) / 10;
        *v = odd ? 0 : *v * 10 + digit;
    }
    return odd ? ODD : 1;
}

/* An integer. Returns 1 or ODD; 0: it is missing; or a reason. */
static inline int integer(ff_json_span value, const uint8_t *end, uint64_t *v) {
    uint8_t room[NUMBER_BYTES];
    const uint8_t *text;
    int length = number_text(value, &text);
    if (length <= 0)
        return length;
    if (FF_LIKELY(ff_digits_read(text, end, v) == text + length && *v <= INT64_MAX))
        return 1;
    int rc = length > NUMBER_BYTES ? -FF_EVALUE : integer_text(text, text + length, v);
    if (rc < 0 && (length = plain_text(value, room)) > 0)
        rc = integer_text(room, room + length, v);
    return rc;
}

/* ---- the parts of an item */

typedef struct head {
    int64_t seq, time_ns;
    uint8_t code[FF_ALLTICK_MAX_CODE];
    size_t code_length;
} head;

static int take_head(const ff_alltick_decoder *d, const ff_json_span *values,
                     const uint8_t *end, head *h, tally *t) {
    const ff_json_span code = values[CODE];
    uint64_t v = 0;
    if (code.p == NULL || *code.p != '"')
        return -FF_ESYMBOL;
    h->code_length = (size_t)(code.end - code.p) - 2;
    if (FF_UNLIKELY(has_escape(code)))
        h->code_length = unescape(code, h->code, sizeof h->code);
    else if (FF_LIKELY(h->code_length <= sizeof h->code))
        memcpy(h->code, code.p + 1, h->code_length);
    if (h->code_length - 1 >= sizeof h->code) /* also 0 */
        return -FF_ESYMBOL;
    for (size_t i = 0; i < h->code_length; i++) {
        if (h->code[i] < '!' || h->code[i] > '~')
            return -FF_ESYMBOL;
    }
    int rc = integer(values[SEQ], end, &v);
    if (rc < 0)
        return rc;
    h->seq = rc == 1 ? (int64_t)v : -1;
    t->odd_seqs += rc == ODD;
    rc = integer(values[TICK_TIME], end, &v);
    if (rc < 0)
        return rc;
    h->time_ns = rc == 1 ? ff_alltick_time(v, d->recv_ns) : 0;
    t->untimed += h->time_ns == 0;
    return 0;
}

/* The symbol of a good item, or -1 when it is unknown and not to be learnt, or a reason. */
static int64_t symbol_of(ff_alltick_decoder *d, const head *h, int *reason) {
    int64_t id =
        ff_symbols_find(d->symbols, 0, h->code, h->code_length, h->code + sizeof h->code);
    *reason = 0;
    if (id < 0 && d->learn) {
        id = ff_symbols_intern(d->symbols, h->code, h->code_length);
        *reason = id < 0 ? (int)id : 0;
    }
    return id;
}

/* Write the row of a tick. Returns 1; 0: its code is unknown; or a reason. */
static int take_tick(ff_alltick_decoder *d, const ff_json_span *values, const uint8_t *end,
                     ff_tick *row, tally *t) {
    ff_alltick_trade v = {.direction = 0};
    head h;
    int rc = take_head(d, values, end, &h, t);
    if (rc < 0 || (rc = price(values[PRICE], end, &v.price)) < 0 ||
        (rc = volume(values[VOLUME], end, &v.volume)) < 0 ||
        (rc = volume(values[TURNOVER], end, &v.turnover)) < 0 ||
        (rc = integer(values[DIRECTION], end, &v.direction)) < 0)
        return rc;
    if (rc == ODD || v.direction > 2) {
        v.direction = 0;
        t->odd_directions++;
    }
    int64_t symbol = symbol_of(d, &h, &rc);
    if (symbol < 0)
        return rc;
    v.symbol = (uint32_t)symbol;
    v.seq = h.seq;
    v.time_ns = h.time_ns;
    ff_alltick_put_tick(d, &v, row);
    return 1;
}

static int take_side(ff_json_span value, const uint8_t *end, size_t depth,
                     ff_alltick_side *side) {
    if (!is_there(value))
        return 0;
    if (*value.p != '[')
        return -FF_EVALUE;
    ff_json_walk walk = ff_json_enter(value.p, end, FF_JSON_MAX_DEPTH);
    int rc, why;
    while ((rc = ff_json_next(&walk)) > 0) {
        ff_json_span values[SLOTS] = {{0}};
        double p, v;
        if (walk.p == end || *walk.p != '{')
            return -FF_EVALUE;
        walk.p = gather(walk.p, end, walk.depth, level_names, values, &why);
        if (walk.p == NULL)
            return -why;
        if ((rc = price(values[PRICE], end, &p)) < 0 ||
            (rc = volume(values[VOLUME], end, &v)) < 0)
            return rc;
        if (p == 0) /* no level: limit up or down, or delisted */
            continue;
        if (side->levels < depth) {
            side->price[side->levels] = p;
            side->volume[side->levels] = v;
        }
        side->levels++;
    }
    return rc;
}

/* The same for a book. */
static int take_book(ff_alltick_decoder *d, const ff_json_span *values, const uint8_t *end,
                     ff_book *row, tally *t) {
    ff_alltick_side bids = ff_alltick_bids(row, d->depth),
                    asks = ff_alltick_asks(row, d->depth);
    head h;
    int rc = take_head(d, values, end, &h, t);
    if (rc < 0)
        return rc;
    if (!is_there(values[BIDS]) && !is_there(values[ASKS]))
        return -FF_EVALUE;
    if ((rc = take_side(values[BIDS], end, d->depth, &bids)) < 0 ||
        (rc = take_side(values[ASKS], end, d->depth, &asks)) < 0)
        return rc;
    int64_t symbol = symbol_of(d, &h, &rc);
    if (symbol < 0)
        return rc;
    ff_alltick_put_book(d, h.seq, h.time_ns, (uint32_t)symbol, &bids, &asks, &t->cut_levels,
                        row);
    return 1;
}

/* ---- messages */

/* Where rows of one kind go. */
typedef struct output {
    bool books;
    void *rows;
    size_t row_size;
    size_t max_rows;
    size_t count;
    tally t;
} output;

/* An item whose values were gathered. */
static int take_item(ff_alltick_decoder *d, const ff_json_span *values, const uint8_t *end,
                     output *out) {
    if (out->count == out->max_rows)
        return -FF_EROWS;
    tally t = {0};
    void *row = (uint8_t *)out->rows + out->count * out->row_size;
    const int rc =
        out->books ? take_book(d, values, end, row, &t) : take_tick(d, values, end, row, &t);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        out->t.unknown_codes++;
        return 0;
    }
    out->count++;
    out->t.untimed += t.untimed;
    out->t.cut_levels += t.cut_levels;
    out->t.odd_seqs += t.odd_seqs;
    out->t.odd_directions += t.odd_directions;
    return 0;
}

static int take_list(ff_alltick_decoder *d, const uint8_t *p, const uint8_t *end,
                     output *out) {
    ff_json_walk walk = ff_json_enter(p, end, FF_JSON_MAX_DEPTH);
    int rc, why;
    while ((rc = ff_json_next(&walk)) > 0) {
        ff_json_span values[SLOTS] = {{0}};
        if (walk.p == end || *walk.p != '{')
            return -FF_EVALUE;
        walk.p = gather(walk.p, end, walk.depth, item_names, values, &why);
        if (walk.p == NULL)
            return -why;
        if ((rc = take_item(d, values, end, out)) < 0)
            return rc;
    }
    return rc;
}

enum { NON_JSON = 0, ENVELOPE = 1 };

/* A message that is an object. What `data` has is gathered at once when that is an object. */
typedef struct envelope {
    ff_json_span values[ENVELOPE_SLOTS];
    ff_json_span item[SLOTS];
} envelope;

static const uint8_t *gather_envelope(const uint8_t *p, const uint8_t *end, envelope *e,
                                      int *why) {
    ff_json_walk walk = ff_json_enter(p, end, FF_JSON_MAX_DEPTH);
    unsigned hint = 0;
    int rc;
    while ((rc = ff_json_next_key(&walk)) > 0) {
        const int at = slot_of(envelope_names, walk.key, end, &hint);
        if (at == DATA && walk.p < end && *walk.p == '{') {
            const uint8_t *start = walk.p;
            memset(e->item, 0, sizeof e->item);
            p = gather(start, end, walk.depth, item_names, e->item, why);
            if (p == NULL)
                return NULL;
            e->values[DATA] = (ff_json_span){start, p};
            walk.p = p;
        } else if ((rc = ff_json_value(&walk)) < 0) {
            break;
        } else if (at >= 0) {
            e->values[at] = walk.value;
        }
    }
    *why = -rc;
    return rc < 0 ? NULL : walk.p;
}

/* All of a message is checked. Returns ENVELOPE, NON_JSON, or a reason. */
static int open_envelope(const uint8_t *p, size_t length, envelope *e) {
    const uint8_t *end = p + length;
    int why;
    memset(e, 0, sizeof *e);
    if (length > FF_ALLTICK_MAX_MESSAGE)
        return -FF_ELENGTH;
    if (length >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    p = ff_json_blanks(p, end);
    if (p == end)
        return -FF_EJSON;
    if (*p != '{' && *p != '[')
        return NON_JSON;
    if (!ff_utf8_valid(p, (size_t)(end - p)))
        return -FF_EUTF8;
    const bool object = *p == '{';
    p = object ? gather_envelope(p, end, e, &why)
               : ff_json_skip(p, end, FF_JSON_MAX_DEPTH, &why);
    if (p == NULL)
        return -why;
    if (ff_json_blanks(p, end) != end)
        return -FF_EJSON;
    return object ? ENVELOPE : -FF_EVALUE;
}

/* All rows of `data`: an item, an array of them, or an object with such an array. */
static int take_data(ff_alltick_decoder *d, const envelope *e, output *out, bool reply) {
    const ff_json_span data = e->values[DATA], list = e->item[TICK_LIST];
    int rc;
    if (data.p == NULL)
        return -FF_EVALUE;
    if (*data.p == '[') {
        rc = take_list(d, data.p, data.end, out);
    } else if (*data.p == '{') {
        if (!is_there(list))
            rc = reply ? -FF_EVALUE : take_item(d, e->item, data.end, out);
        else if (*list.p == '[')
            rc = take_list(d, list.p, list.end, out);
        else
            rc = -FF_EVALUE;
    } else {
        rc = -FF_EVALUE;
    }
    if (rc < 0)
        return rc;
    d->dropped[FF_ETIME] += out->t.untimed;
    d->cut_levels += out->t.cut_levels;
    d->odd_seqs += out->t.odd_seqs;
    d->odd_directions += out->t.odd_directions;
    d->unknown_codes += out->t.unknown_codes;
    return 0;
}

/* Whether a number is that of a reply (section 3 of AllTick's protocol). */
static bool is_reply(uint64_t number) {
    return number == 22001 || number == 22003 || number == 22005 || number == 22007;
}

int ff_alltick_decode_any(ff_alltick_decoder *d, const uint8_t *data, size_t length,
                          ff_alltick_rows *rows) {
    envelope e;
    uint64_t number = 0;
    rows->count = 0;
    int rc = open_envelope(data, length, &e);
    if (rc < 0)
        return rc;
    if (rc == NON_JSON) {
        d->non_json++;
        return FF_ALLTICK_IGNORED;
    }
    if (integer(e.values[CMD_ID], data + length, &number) != 1)
        number = 0;
    const bool books = number == FF_ALLTICK_BOOK_PUSH;
    if (!books && number != FF_ALLTICK_TICK_PUSH) {
        if (e.values[RET].p != NULL || is_reply(number))
            return FF_ALLTICK_SESSION;
        d->unknown_numbers++;
        return FF_ALLTICK_IGNORED;
    }
    output out = {
        .books = books,
        .rows = books ? (void *)rows->books : (void *)rows->ticks,
        .row_size = books ? ff_book_size(d->depth) : sizeof(ff_tick),
        .max_rows = books ? rows->max_books : rows->max_ticks,
    };
    if (out.rows == NULL) {
        d->unwanted++;
        return FF_ALLTICK_IGNORED;
    }
    rc = take_data(d, &e, &out, false);
    if (rc < 0)
        return rc;
    rows->count = out.count;
    if (out.count == 0 && out.t.unknown_codes > 0)
        return FF_ALLTICK_IGNORED;
    return books ? FF_ALLTICK_BOOKS : FF_ALLTICK_TICKS;
}

int ff_alltick_decode_reply(ff_alltick_decoder *d, ff_stream stream, const uint8_t *data,
                            size_t length, void *rows, size_t max_rows) {
    envelope e;
    const bool books = stream == FF_STREAM_BOOKS;
    int rc = open_envelope(data, length, &e);
    if (rc < 0)
        return rc;
    if (rc == NON_JSON)
        return -FF_EJSON;
    output out = {
        .books = books,
        .rows = rows,
        .row_size = books ? ff_book_size(d->depth) : sizeof(ff_tick),
        .max_rows = max_rows,
    };
    rc = take_data(d, &e, &out, true);
    return rc < 0 ? rc : (int)out.count;
}
