/* Records: whatever the bytes, what is read of them lies in them; what a tap records of any
 * steps through a window reads back as it was; and a CRC is the same in parts. */

#include "fastfeed/crc32c.h"
#include "fastfeed/tap.h"

#include "fuzz.h"

static void read_back(const uint8_t *data, size_t length) {
    uint8_t *own = exact_copy(data, length);
    size_t at = 0;
    ff_record record;
    for (;;) {
        const ptrdiff_t size = ff_record_at(own + at, length - at, &record);
        CHECK(size != 0 || at == length);
        if (size <= 0)
            break;
        CHECK((size_t)size <= length - at && size % FF_CELL == 0);
        CHECK(sizeof record + record.length <= (size_t)size);
        at += (size_t)size;
    }
    free(own);
}

/* Each byte of the input is a step: so many bytes of the window are used up. */
static void record_steps(const uint8_t *data, size_t length) {
    static ff_symbols symbols;
    static ff_tape tape;
    if (tape.symbols == NULL)
        CHECK(ff_symbols_init(&symbols, 16) == 0 &&
              ff_tape_init(&tape, 1 << 20, &symbols) == 0);
    ff_tap tap = {.tape = &tape, .on = true};
    uint8_t *own = exact_copy(data, length);
    ff_window w = {.data = own, .size = length, .end = length};
    const uint64_t first = ff_ring_published(&tape.ring);
    for (size_t i = 0; i < length && w.start < length; i++) {
        const size_t start = w.start,
                     used = data[i] < length - start ? data[i] : length - start;
        w.start += used;
        ff_tap_step(&tap, &w, start, (int64_t)i, FF_NEED_MORE);
    }
    const size_t total = (size_t)(ff_ring_published(&tape.ring) - first) * FF_CELL;
    const uint8_t *p = ff_ring_row(&tape.ring, first);
    size_t at = 0, seen = 0;
    ff_record record;
    while (at < total) {
        const ptrdiff_t size = ff_record_at(p + at, total - at, &record);
        CHECK(size > 0 && record.type == FF_RECORD_BYTES && record.length > 0);
        CHECK(seen + record.length <= w.start);
        CHECK(memcmp(p + at + sizeof record, own + seen, record.length) == 0);
        seen += record.length;
        at += (size_t)size;
    }
    CHECK(seen == w.start);
    free(own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    read_back(data, length);
    if (length <= 1000) /* with a cell for each step they fit on the tape */
        record_steps(data, length);
    const size_t cut = length > 0 ? data[0] % length : 0;
    const uint32_t crc = ff_crc32c(0, data, length);
    CHECK(crc == ff_crc32c_by_table(0, data, length));
    CHECK(crc == ff_crc32c(ff_crc32c(0, data, cut), data + cut, length - cut));
    return 0;
}

bool fuzz_seed(size_t number, bytes *seed) {
    ff_record record = {.magic = FF_RECORD_MAGIC, .type = FF_RECORD_BYTES, .length = 40};
    uint8_t cells[4 * FF_CELL] = {0};
    if (number > 2)
        return false;
    for (size_t i = 0; i + FF_CELL <= sizeof cells; i += 2 * FF_CELL)
        memcpy(cells + i, &record, sizeof record);
    put(seed, cells, (number + 2) * FF_CELL);
    return true;
}
