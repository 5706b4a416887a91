#include "fastfeed/utf8.h"

#include "fastfeed/wire.h"

static inline bool follows(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

bool ff_utf8_valid(const uint8_t *data, size_t length) {
    const uint8_t *p = data, *end = data + length;
    for (;;) {
        while (end - p >= 16 &&
               ((ff_load_u64(p) | ff_load_u64(p + 8)) & 0x8080808080808080u) == 0)
            p += 16;
        while (p < end && *p < 0x80) {
            p++;
            if (end - p >= 16 && (ff_load_u64(p) & 0x8080808080808080u) == 0)
                p += 8;
        }
        if (p == end)
            return true;
        /* Characters beyond ASCII come together. The second byte's range tells the rest. */
        while (p < end && *p >= 0x80) {
            const uint8_t lead = *p;
            const ptrdiff_t left = end - p;
            if (lead < 0xe0) {
                if (lead < 0xc2 || left < 2 || !follows(p[1]))
                    return false;
                p += 2;
            } else if (lead < 0xf0) {
                if (left < 3 || !follows(p[1]) || !follows(p[2]) ||
                    (lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] >= 0xa0))
                    return false;
                p += 3;
            } else {
                if (lead > 0xf4 || left < 4 || !follows(p[1]) || !follows(p[2]) ||
                    !follows(p[3]) || (lead == 0xf0 && p[1] < 0x90) ||
                    (lead == 0xf4 && p[1] >= 0x90))
                    return false;
                p += 4;
            }
        }
    }
}
