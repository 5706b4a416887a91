#include "fastfeed/utf8.h"

#include <string.h>

static inline bool is_tail(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

bool ff_utf8_valid(const uint8_t *data, size_t length) {
    const uint8_t *p = data;
    size_t left = length;
    while (left > 0) {
        uint64_t eight;
        if (left >= sizeof eight) {
            memcpy(&eight, p, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                p += sizeof eight;
                left -= sizeof eight;
                continue;
            }
        }
        size_t n;
        if (p[0] < 0x80) {
            n = 1;
        } else if (p[0] < 0xe0) {
            if (p[0] < 0xc2 || left < 2)
                return false;
            n = 2;
        } else if (p[0] < 0xf0) {
            if (left < 3 || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0))
                return false;
            n = 3;
        } else {
            if (p[0] > 0xf4 || left < 4 || (p[0] == 0xf0 && p[1] < 0x90) ||
                (p[0] == 0xf4 && p[1] >= 0x90))
                return false;
            n = 4;
        }
        for (size_t i = 1; i < n; i++)
            if (!is_tail(p[i]))
                return false;
        p += n;
        left -= n;
    }
    return true;
}
