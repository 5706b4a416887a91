#include "fastfeed/opend_decoder.h"

#include "fastfeed/opend_brokers.h"

_Static_assert((int)FF_CANONICAL_TEXT > (int)FF_SYMBOL_MAX_BYTES,
               "a text that was cut is too long");

#define BIT(n) (1u << (n))

const ff_shape ff_shape_security = {.numbers = BIT(1), .texts = BIT(2)};

/* S2C with a security in front, and a list that is no field of a shape. */
const ff_shape ff_shape_secured = {.messages = {{1, &ff_shape_security}}};
const ff_shape ff_shape_bars = {.numbers = BIT(1) | BIT(2),
                                .messages = {{3, &ff_shape_security}}};
const ff_shape ff_shape_book = {.numbers = BIT(9),
                                .reals = BIT(5) | BIT(7),
                                .texts = BIT(4) | BIT(6),
                                .messages = {{1, &ff_shape_security}}};
const ff_shape ff_shape_quotes = {0};

const ff_shape ff_shape_ticker = {
    .numbers = BIT(2) | BIT(3) | BIT(5) | BIT(8) | BIT(10),
    .reals = BIT(4) | BIT(6) | BIT(7) | BIT(11) | BIT(12),
    .texts = BIT(1),
};
const ff_shape ff_shape_bar = {
    .numbers = BIT(2) | BIT(8),
    .reals = BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(9) | BIT(10) | BIT(11) |
             BIT(12) | BIT(13) | BIT(14),
    .texts = BIT(1),
};
const ff_shape ff_shape_timeshare = {
    .numbers = BIT(2) | BIT(3) | BIT(7),
    .reals = BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(9) | BIT(10),
    .texts = BIT(1),
};
const ff_shape ff_shape_level = {.numbers = BIT(2) | BIT(3), .reals = BIT(1) | BIT(5)};
const ff_shape ff_shape_broker = {.numbers = BIT(1) | BIT(3) | BIT(4) | BIT(5),
                                  .texts = BIT(2)};

static const ff_shape session = {
    .numbers = BIT(4),
    .reals = BIT(1) | BIT(2) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(8),
};
static const ff_shape option = {
    .numbers = BIT(2) | BIT(3) | BIT(11) | BIT(12) | BIT(15) | BIT(18),
    .reals = BIT(1) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(13) |
             BIT(14) | BIT(16) | BIT(17),
};
static const ff_shape future = {.numbers = BIT(2) | BIT(3) | BIT(4), .reals = BIT(1)};
static const ff_shape warrant = {.reals = BIT(1) | BIT(2) | BIT(3)};
const ff_shape ff_shape_quote = {
    .numbers = BIT(2) | BIT(11) | BIT(15) | BIT(21),
    .reals = BIT(4) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(12) | BIT(13) |
             BIT(14) | BIT(17) | BIT(18) | BIT(26),
    .texts = BIT(3) | BIT(5),
    .messages = {{1, &ff_shape_security},
                 {16, &option},
                 {19, &session},
                 {20, &session},
                 {22, &future},
                 {23, &warrant},
                 {25, &session}},
};

int ff_opend_gather(const uint8_t *body, const uint8_t *end, const ff_shape *s2c,
                    ff_message *message) {
    int32_t ret_type = -400;
    bool found = false;
    int why;
    for (const uint8_t *p = body; p < end;) {
        uint32_t tag;
        if ((p = ff_wire_tag(p, end, &tag, &why)) == NULL)
            return -why;
        const uint8_t *value = p;
        if ((p = ff_wire_skip(p, end, tag, &why)) == NULL)
            return -why;
        if (tag == 0x08) { /* retType */
            uint64_t v = 0;
            ff_wire_varint(value, p, &v, &why);
            ret_type = (int32_t)(uint32_t)v;
        } else if (tag == 0x22) { /* s2c */
            size_t length;
            value = ff_wire_length(value, p, &length, &why);
            int rc = ff_message_merge(message, s2c, value, p);
            if (rc < 0)
                return rc;
            found = true;
        }
    }
    if (ret_type != 0)
        return -FF_ERETTYPE;
    return found ? 0 : -FF_ESYMBOL;
}

ff_text ff_opend_walk_next(ff_opend_walk *walk, uint32_t *field) {
    uint32_t tag = 0;
    size_t length = 0;
    int why;
    for (;;) {
        while (walk->q != walk->q_end) {
            walk->q = ff_wire_tag(walk->q, walk->q_end, &tag, &why);
            const uint8_t *value = walk->q;
            walk->q = ff_wire_skip(walk->q, walk->q_end, tag, &why);
            if ((tag & 7) != FF_WIRE_BYTES)
                continue;
            *field = tag >> 3;
            value = ff_wire_length(value, walk->q, &length, &why);
            return (ff_text){value, length};
        }
        if (walk->p == walk->end)
            return (ff_text){NULL, 0};
        walk->p = ff_wire_tag(walk->p, walk->end, &tag, &why);
        const uint8_t *value = walk->p;
        walk->p = ff_wire_skip(walk->p, walk->end, tag, &why);
        if (tag == 0x22) {
            walk->q = ff_wire_length(value, walk->p, &length, &why);
            walk->q_end = walk->p;
        }
    }
}

/* UTF-8 as Python understands it: nothing overlong, no surrogates. */
static bool is_utf8(const uint8_t *p, size_t length) {
    size_t i = 0;
    while (i < length) {
        uint8_t lead = p[i++];
        if (lead < 0x80)
            continue;
        size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || length - i < more)
            return false;
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        for (size_t k = 0; k < more; k++, i++) {
            if (p[i] < low || p[i] > high)
                return false;
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}

void ff_opend_broker_name(ff_symbols *names, int64_t id, const uint8_t *name, size_t length) {
    if (!is_utf8(name, length))
        return;
    int64_t symbol = ff_symbols_intern(names, name, length); /* also refuses empty, too long */
    if (symbol < 0)
        return;
    uint8_t key[sizeof id];
    memcpy(key, &id, sizeof id);
    ff_symbols_alias(names, FF_BROKER_SPACE, key, sizeof key, (uint32_t)symbol);
}
