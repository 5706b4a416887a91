#include "fastfeed/canonical.h"

static int merge_fields(ff_fields *fields, const ff_shape *shape, const uint8_t *p,
                        const uint8_t *end, ff_fields *messages) {
    int why;
    while (p < end) {
        uint32_t tag;
        if ((p = ff_wire_tag(p, end, &tag, &why)) == NULL)
            return -why;
        const uint8_t *value = p;
        if ((p = ff_wire_skip(p, end, tag, &why)) == NULL)
            return -why;
        const uint32_t field = tag >> 3;
        if (field > FF_CANONICAL_FIELDS)
            continue;
        const uint32_t bit = (uint32_t)1 << field;
        if ((tag & 7) == FF_WIRE_VARINT && (shape->numbers & bit) != 0) {
            ff_wire_varint(value, p, &fields->values[field].number, &why);
            fields->seen |= bit;
        } else if ((tag & 7) == FF_WIRE_I64 && (shape->reals & bit) != 0) {
            fields->values[field].number = ff_load_u64(value);
            fields->seen |= bit;
        } else if ((tag & 7) == FF_WIRE_BYTES) {
            size_t length = 0;
            value = ff_wire_length(value, p, &length, &why);
            if ((shape->texts & bit) != 0) {
                fields->values[field].text = value;
                fields->values[field].length = length;
                fields->seen |= bit;
            } else if (messages != NULL) {
                for (size_t i = 0; i < FF_CANONICAL_MESSAGES && shape->messages[i].field != 0;
                     i++) {
                    if (shape->messages[i].field != field)
                        continue;
                    int rc =
                        merge_fields(&messages[i], shape->messages[i].shape, value, p, NULL);
                    if (rc < 0)
                        return rc;
                    fields->seen |= bit;
                }
            }
        }
    }
    return 0;
}

int ff_message_merge(ff_message *message, const ff_shape *shape, const uint8_t *p,
                     const uint8_t *end) {
    return merge_fields(&message->fields, shape, p, end, message->messages);
}

static uint8_t *write_varint(uint8_t *out, uint64_t v) {
    while (v >= 0x80) {
        *out++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *out++ = (uint8_t)v;
    return out;
}

static uint8_t *write_fields(const ff_fields *fields, const ff_shape *shape, uint8_t *out,
                             const ff_fields *messages) {
    for (uint32_t field = 1; field <= FF_CANONICAL_FIELDS; field++) {
        const uint32_t bit = (uint32_t)1 << field;
        if ((fields->seen & bit) == 0)
            continue;
        if ((shape->numbers & bit) != 0) {
            out = write_varint(out, field << 3 | FF_WIRE_VARINT);
            out = write_varint(out, fields->values[field].number);
        } else if ((shape->reals & bit) != 0) {
            out = write_varint(out, field << 3 | FF_WIRE_I64);
            memcpy(out, &fields->values[field].number, 8);
            out += 8;
        } else if ((shape->texts & bit) != 0) {
            size_t length = fields->values[field].length;
            length = length < FF_CANONICAL_TEXT ? length : FF_CANONICAL_TEXT;
            out = write_varint(out, field << 3 | FF_WIRE_BYTES);
            out = write_varint(out, length);
            memcpy(out, fields->values[field].text, length);
            out += length;
        } else {
            uint8_t inner[FF_CANONICAL_BYTES];
            for (size_t i = 0; i < FF_CANONICAL_MESSAGES; i++) {
                if (shape->messages[i].field != field)
                    continue;
                size_t length = (size_t)(write_fields(&messages[i], shape->messages[i].shape,
                                                      inner, NULL) -
                                         inner);
                out = write_varint(out, field << 3 | FF_WIRE_BYTES);
                out = write_varint(out, length);
                memcpy(out, inner, length);
                out += length;
            }
        }
    }
    return out;
}

size_t ff_message_write(const ff_message *message, const ff_shape *shape,
                        uint8_t out[FF_CANONICAL_BYTES]) {
    return (size_t)(write_fields(&message->fields, shape, out, message->messages) - out);
}
