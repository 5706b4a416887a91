#include "fastfeed/json.h"

static const uint64_t ONES = 0x0101010101010101u, HIGHS = 0x8080808080808080u;

/* The value of four hexadecimal digits, or -1. */
static int hex4(const uint8_t *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = (unsigned)(p[i] - '0'), letter = (unsigned)((p[i] | 0x20) - 'a');
        if (digit > 9 && letter > 5)
            return -1;
        v = v << 4 | (int)(digit <= 9 ? digit : letter + 10);
    }
    return v;
}

/* Behind the escape at p, a backslash; *code gets the character. NULL: it is none. */
static const uint8_t *escape(const uint8_t *p, const uint8_t *end, uint32_t *code) {
    if (end - p < 2)
        return NULL;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
        *code = p[1];
        return p + 2;
    case 'b':
        *code = '\b';
        return p + 2;
    case 'f':
        *code = '\f';
        return p + 2;
    case 'n':
        *code = '\n';
        return p + 2;
    case 'r':
        *code = '\r';
        return p + 2;
    case 't':
        *code = '\t';
        return p + 2;
    case 'u':
        break;
    default:
        return NULL;
    }
    int first = end - p < 6 ? -1 : hex4(p + 2);
    if (first < 0)
        return NULL;
    p += 6;
    if (first < 0xd800 || first > 0xdfff) {
        *code = (uint32_t)first;
        return p;
    }
    int second = end - p < 6 || p[0] != '\\' || p[1] != 'u' ? -1 : hex4(p + 2);
    if (first > 0xdbff || second < 0xdc00 || second > 0xdfff)
        return NULL;
    *code = 0x10000 + ((uint32_t)(first - 0xd800) << 10) + (uint32_t)(second - 0xdc00);
    return p + 6;
}

/* A bit 7 for each byte of a string that stops the scan: a quote, a backslash, a control. The
 * lowest one is right. */
static inline uint64_t stops(uint64_t word) {
    const uint64_t quote = word ^ ONES * '"', slash = word ^ ONES * '\\';
    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) |
            ((word - ONES * ' ') & ~word)) &
           HIGHS;
}

/* The rest of a string, from p on. */
FF_NOINLINE static const uint8_t *string_rest(const uint8_t *p, const uint8_t *end) {
    for (;;) {
        uint64_t stop = 0;
        while (end - p >= 8 && (stop = stops(ff_load_u64(p))) == 0)
            p += 8;
        p += stop != 0 ? (unsigned)__builtin_ctzll(stop) / 8 : 0;
        if (p == end)
            return NULL;
        if (*p == '"')
            return p + 1;
        if (*p == '\\') {
            uint32_t code;
            p = escape(p, end, &code);
            if (p == NULL)
                return NULL;
        } else if (*p < ' ') {
            return NULL;
        } else {
            p++;
        }
    }
}

/* Most strings end within eight bytes or sixteen. */
static inline const uint8_t *string(const uint8_t *p, const uint8_t *end) {
    if (FF_UNLIKELY(p == end || *p != '"'))
        return NULL;
    p++;
    for (int i = 0; i < 2 && FF_LIKELY(end - p >= 8); i++) {
        const uint64_t stop = stops(ff_load_u64(p));
        if (stop != 0) {
            p += (unsigned)__builtin_ctzll(stop) / 8;
            if (FF_LIKELY(*p == '"'))
                return p + 1;
            break;
        }
        p += 8;
    }
    return string_rest(p, end);
}

const uint8_t *ff_json_string(const uint8_t *p, const uint8_t *end) {
    return string(p, end);
}

static inline bool is_digit(const uint8_t *p, const uint8_t *end) {
    return p < end && (unsigned)(*p - '0') <= 9;
}

static inline const uint8_t *digits(const uint8_t *p, const uint8_t *end) {
    while (is_digit(p, end))
        p++;
    return p;
}

static const uint8_t *number(const uint8_t *p, const uint8_t *end) {
    p += *p == '-';
    if (!is_digit(p, end))
        return NULL;
    p = *p == '0' ? p + 1 : digits(p, end);
    if (p < end && *p == '.') {
        if (!is_digit(++p, end))
            return NULL;
        p = digits(p, end);
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        if (!is_digit(p, end))
            return NULL;
        p = digits(p, end);
    }
    return p;
}

static const uint8_t *word(const uint8_t *p, const uint8_t *end, const char *text,
                           size_t length) {
    return (size_t)(end - p) >= length && memcmp(p, text, length) == 0 ? p + length : NULL;
}

/* A value that is no array or object. */
static const uint8_t *scalar(const uint8_t *p, const uint8_t *end) {
    switch (*p) {
    case '"':
        return string(p, end);
    case 't':
        return word(p, end, "true", 4);
    case 'f':
        return word(p, end, "false", 5);
    case 'n':
        return word(p, end, "null", 4);
    default:
        return number(p, end);
    }
}

/* Behind a key and its colon; NULL: there is none. */
static const uint8_t *key(const uint8_t *p, const uint8_t *end, ff_json_span *span) {
    span->p = p = ff_json_blanks(p, end);
    p = span->end = string(p, end);
    if (p == NULL)
        return NULL;
    p = ff_json_blanks(p, end);
    return p < end && *p == ':' ? p + 1 : NULL;
}

const uint8_t *ff_json_skip(const uint8_t *p, const uint8_t *end, unsigned depth, int *why) {
    uint64_t objects = 0; /* a bit for each level, the innermost lowest: it is an object */
    unsigned level = 0;
    ff_json_span ignored;
    *why = FF_EJSON;
    for (;;) { /* a value begins */
        p = ff_json_blanks(p, end);
        if (p == end)
            return NULL;
        if (*p == '{' || *p == '[') {
            const bool object = *p == '{';
            if (level == depth) {
                *why = FF_ENESTING;
                return NULL;
            }
            level++;
            objects = objects << 1 | object;
            p = ff_json_blanks(p + 1, end);
            if (p == end)
                return NULL;
            if (*p != (object ? '}' : ']')) {
                if (object && (p = key(p, end, &ignored)) == NULL)
                    return NULL;
                continue;
            }
            p++;
            level--;
            objects >>= 1;
        } else if ((p = scalar(p, end)) == NULL) {
            return NULL;
        }
        for (;;) { /* a value has ended */
            if (level == 0)
                return p;
            p = ff_json_blanks(p, end);
            if (p == end)
                return NULL;
            const bool object = objects & 1;
            if (*p == ',') {
                p++;
                if (object && (p = key(p, end, &ignored)) == NULL)
                    return NULL;
                break;
            }
            if (*p != (object ? '}' : ']'))
                return NULL;
            p++;
            level--;
            objects >>= 1;
        }
    }
}

size_t ff_json_text(const uint8_t *p, const uint8_t *end, uint8_t *out, size_t room) {
    size_t n = 0;
    for (p++, end--; p < end;) {
        uint8_t bytes[4] = {*p};
        size_t count = 1;
        uint32_t code;
        if (*p != '\\') {
            p++;
        } else if ((p = escape(p, end, &code)) == NULL) {
            break;
        } else if (code < 0x80) {
            bytes[0] = (uint8_t)code;
        } else if (code < 0x800) {
            count = 2;
            bytes[0] = (uint8_t)(0xc0 | code >> 6);
            bytes[1] = (uint8_t)(0x80 | (code & 0x3f));
        } else if (code < 0x10000) {
            count = 3;
            bytes[0] = (uint8_t)(0xe0 | code >> 12);
            bytes[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
            bytes[2] = (uint8_t)(0x80 | (code & 0x3f));
        } else {
            count = 4;
            bytes[0] = (uint8_t)(0xf0 | code >> 18);
            bytes[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
            bytes[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
            bytes[3] = (uint8_t)(0x80 | (code & 0x3f));
        }
        for (size_t i = 0; i < count; i++, n++) {
            if (n < room)
                out[n] = bytes[i];
        }
    }
    return n;
}

/* Whether the next one begins at walk->p: 1, 0 at the bracket, or a negative reason. */
static inline int begins(ff_json_walk *walk, uint8_t bracket) {
    const uint8_t *p = ff_json_blanks(walk->p, walk->end);
    const bool begun = walk->begun;
    if (p == walk->end)
        return -FF_EJSON;
    walk->begun = true;
    walk->p = p + 1;
    if (*p == bracket)
        return 0;
    if (!begun)
        walk->p = p;
    else if (*p != ',')
        return -FF_EJSON;
    return 1;
}

int ff_json_value(ff_json_walk *walk) {
    int why = FF_EJSON;
    const uint8_t *p = walk->value.p = walk->p;
    if (p < walk->end && *p != '{' && *p != '[')
        p = scalar(p, walk->end);
    else
        p = ff_json_skip(p, walk->end, walk->depth, &why);
    if (p == NULL)
        return -why;
    walk->p = walk->value.end = p;
    return 1;
}

int ff_json_next_key(ff_json_walk *walk) {
    const int rc = begins(walk, '}');
    if (rc <= 0)
        return rc;
    const uint8_t *p = key(walk->p, walk->end, &walk->key);
    if (p == NULL)
        return -FF_EJSON;
    walk->p = ff_json_blanks(p, walk->end);
    return 1;
}

int ff_json_next(ff_json_walk *walk) {
    const int rc = begins(walk, ']');
    if (rc > 0)
        walk->p = ff_json_blanks(walk->p, walk->end);
    return rc;
}
