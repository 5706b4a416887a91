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

/* The keys that are looked at, by the objects they stand in. */
typedef enum slot {
    CMD_ID,
    DATA,
    RET,
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

/* The content of a string; with escapes it is written to `room`. More than `size` bytes: some
 * more, that is all. */
static size_t content(ff_json_span string, uint8_t *room, size_t size, const uint8_t **text) {
    const size_t length = (size_t)(string.end - string.p) - 2;
    *text = string.p + 1;
    /* An escape has at most 12 bytes for a character. */
    if (length > size * 12)
        return size + 1;
    if (memchr(*text, '\\', length) == NULL)
        return length;
    *text = room;
    return ff_json_text(string.p, string.end, room, size);
}

static int slot_of(const name *names, ff_json_span key) {
    uint8_t room[KEY_BYTES];
    const uint8_t *text;
    const size_t length = content(key, room, sizeof room, &text);
    for (; names->length != 0; names++) {
        if (names->length == length && memcmp(names->text, text, length) == 0)
            return names->slot;
    }
    return -1;
}

/* Gather the values of an object's keys. Returns where it ends, or NULL with *why. */
static const uint8_t *gather(const uint8_t *p, const uint8_t *end, unsigned depth,
                             const name *names, ff_json_span *values, int *why) {
    ff_json_walk walk = ff_json_enter(p, end, depth);
    int rc;
    while ((rc = ff_json_member(&walk)) > 0) {
        int at = slot_of(names, walk.key);
        if (at >= 0)
            values[at] = walk.value;
    }
    *why = -rc;
    return rc < 0 ? NULL : walk.p;
}

static inline bool is_there(ff_json_span value) {
    return value.p != NULL && *value.p != 'n';
}

/* The text of a number, quoted or bare. Returns its length; 0: the value is missing; or a
 * negative reason: it is no such text. */
static int number_text(ff_json_span value, uint8_t room[NUMBER_BYTES], const uint8_t **text) {
    size_t length;
    if (!is_there(value))
        return 0;
    if (*value.p == '"') {
        length = content(value, room, NUMBER_BYTES, text);
    } else if (*value.p == '-' || (unsigned)(*value.p - '0') <= 9) {
        *text = value.p;
        length = (size_t)(value.end - value.p);
    } else {
        return -FF_EVALUE;
    }
    return length <= NUMBER_BYTES ? (int)length : -FF_EVALUE;
}

/* A decimal whose magnitude is below `limit`. Returns 1; 0: it is missing; or a reason. */
static int decimal(ff_json_span value, double limit, double *v) {
    uint8_t room[NUMBER_BYTES];
    const uint8_t *text;
    const int length = number_text(value, room, &text);
    if (length <= 0)
        return length;
    if (!ff_decimal_parse(text, (size_t)length, v) || !(fabs(*v) < limit))
        return -FF_EVALUE;
    return 1;
}

static int price(ff_json_span value, double *v) {
    const int rc = decimal(value, FF_ALLTICK_MAX_PRICE, v);
    return rc == 0 ? -FF_EMISSING : rc;
}

/* A volume or turnover: NaN when it is missing or negative. */
static int volume(ff_json_span value, double *v) {
    const int rc = decimal(value, FF_ALLTICK_MAX_VOLUME, v);
    if (rc < 0)
        return rc;
    if (rc == 0 || *v < 0)
        *v = (double)NAN;
    return 0;
}

enum { ODD = 2 }; /* an integer that is negative or beyond 63 bits */

/* An integer. Returns 1 or ODD; 0: it is missing; or a reason. */
static int integer(ff_json_span value, uint64_t *v) {
    uint8_t room[NUMBER_BYTES];
    const uint8_t *text;
    const int length = number_text(value, room, &text);
    if (length <= 0)
        return length;
    const uint8_t *end = text + length;
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

/* ---- the parts of an item */

typedef struct head {
    int64_t seq, time_ns;
    uint8_t code[FF_ALLTICK_MAX_CODE];
    size_t code_length;
} head;

static int take_head(const ff_alltick_decoder *d, const ff_json_span *values, head *h,
                     tally *t) {
    const ff_json_span code = values[CODE];
    const uint8_t *text;
    uint64_t v = 0;
    if (code.p == NULL || *code.p != '"')
        return -FF_ESYMBOL;
    h->code_length = content(code, h->code, sizeof h->code, &text);
    if (h->code_length - 1 >= sizeof h->code) /* also 0 */
        return -FF_ESYMBOL;
    memmove(h->code, text, h->code_length);
    for (size_t i = 0; i < h->code_length; i++) {
        if (h->code[i] < '!' || h->code[i] > '~')
            return -FF_ESYMBOL;
    }
    int rc = integer(values[SEQ], &v);
    if (rc < 0)
        return rc;
    h->seq = rc == 1 ? (int64_t)v : -1;
    t->odd_seqs += rc == ODD;
    rc = integer(values[TICK_TIME], &v);
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
static int take_tick(ff_alltick_decoder *d, const ff_json_span *values, ff_tick *row,
                     tally *t) {
    ff_alltick_trade v = {.direction = 0};
    head h;
    int rc = take_head(d, values, &h, t);
    if (rc < 0 || (rc = price(values[PRICE], &v.price)) < 0 ||
        (rc = volume(values[VOLUME], &v.volume)) < 0 ||
        (rc = volume(values[TURNOVER], &v.turnover)) < 0 ||
        (rc = integer(values[DIRECTION], &v.direction)) < 0)
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
    while ((rc = ff_json_element(&walk)) > 0) {
        ff_json_span values[SLOTS] = {{0}};
        double p, v;
        if (*walk.value.p != '{')
            return -FF_EVALUE;
        if (gather(walk.value.p, end, FF_JSON_MAX_DEPTH, level_names, values, &why) == NULL)
            return -why;
        if ((rc = price(values[PRICE], &p)) < 0 || (rc = volume(values[VOLUME], &v)) < 0)
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
    int rc = take_head(d, values, &h, t);
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
        out->books ? take_book(d, values, end, row, &t) : take_tick(d, values, row, &t);
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
    while ((rc = ff_json_element(&walk)) > 0) {
        ff_json_span values[SLOTS] = {{0}};
        if (*walk.value.p != '{')
            return -FF_EVALUE;
        if (gather(walk.value.p, end, FF_JSON_MAX_DEPTH, item_names, values, &why) == NULL)
            return -why;
        if ((rc = take_item(d, values, end, out)) < 0)
            return rc;
    }
    return rc;
}

/* All rows of `data`: an item, an array of them, or an object with such an array. */
static int take_data(ff_alltick_decoder *d, ff_json_span data, output *out, bool reply) {
    ff_json_span values[SLOTS] = {{0}};
    int rc, why;
    if (data.p == NULL)
        return -FF_EVALUE;
    if (*data.p == '[') {
        rc = take_list(d, data.p, data.end, out);
    } else if (*data.p == '{') {
        if (gather(data.p, data.end, FF_JSON_MAX_DEPTH, item_names, values, &why) == NULL)
            return -why;
        if (!is_there(values[TICK_LIST]))
            rc = reply ? -FF_EVALUE : take_item(d, values, data.end, out);
        else if (*values[TICK_LIST].p == '[')
            rc = take_list(d, values[TICK_LIST].p, values[TICK_LIST].end, out);
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

enum { NON_JSON = 0, ENVELOPE = 1 };

/* The members of a message that is an object; all of it is checked. Returns ENVELOPE,
 * NON_JSON, or a reason. */
static int open_envelope(const uint8_t *p, size_t length, ff_json_span *values) {
    const uint8_t *end = p + length;
    int why;
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
    p = object ? gather(p, end, FF_JSON_MAX_DEPTH, envelope_names, values, &why)
               : ff_json_skip(p, end, FF_JSON_MAX_DEPTH, &why);
    if (p == NULL)
        return -why;
    if (ff_json_blanks(p, end) != end)
        return -FF_EJSON;
    return object ? ENVELOPE : -FF_EVALUE;
}

/* Whether a number is that of a reply (section 3 of AllTick's protocol). */
static bool is_reply(uint64_t number) {
    return number == 22001 || number == 22003 || number == 22005 || number == 22007;
}

int ff_alltick_decode_any(ff_alltick_decoder *d, const uint8_t *data, size_t length,
                          ff_alltick_rows *rows) {
    ff_json_span values[SLOTS] = {{0}};
    uint64_t number = 0;
    rows->count = 0;
    int rc = open_envelope(data, length, values);
    if (rc < 0)
        return rc;
    if (rc == NON_JSON) {
        d->non_json++;
        return FF_ALLTICK_IGNORED;
    }
    if (integer(values[CMD_ID], &number) != 1)
        number = 0;
    const bool books = number == FF_ALLTICK_BOOK_PUSH;
    if (!books && number != FF_ALLTICK_TICK_PUSH) {
        if (values[RET].p != NULL || is_reply(number))
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
    rc = take_data(d, values[DATA], &out, false);
    if (rc < 0)
        return rc;
    rows->count = out.count;
    if (out.count == 0 && out.t.unknown_codes > 0)
        return FF_ALLTICK_IGNORED;
    return books ? FF_ALLTICK_BOOKS : FF_ALLTICK_TICKS;
}

int ff_alltick_decode_reply(ff_alltick_decoder *d, ff_stream stream, const uint8_t *data,
                            size_t length, void *rows, size_t max_rows) {
    ff_json_span values[SLOTS] = {{0}};
    const bool books = stream == FF_STREAM_BOOKS;
    int rc = open_envelope(data, length, values);
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
    rc = take_data(d, values[DATA], &out, true);
    return rc < 0 ? rc : (int)out.count;
}
