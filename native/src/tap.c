#include "fastfeed/tap.h"

#include <errno.h>

#include "fastfeed/clock.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

enum { LEAST_BYTES = 1 << 20, LONG = 4096 };

/* Copy to the tape. Long payloads go past the caches: they would be fetched there only to be
 * overwritten, in the place of what the decoder needs. A tape is larger than they are. */
static inline void copy(uint8_t *to, const uint8_t *from, size_t length) {
#if defined(__x86_64__)
    if (length >= LONG) {
        const size_t whole = length / 64 * 64;
        for (size_t i = 0; i < whole; i += 64) {
            __m128i part[4];
            memcpy(part, from + i, sizeof part);
            for (size_t k = 0; k < 4; k++)
                _mm_stream_si128((__m128i *)(void *)(to + i + 16 * k), part[k]);
        }
        _mm_sfence(); /* the release of what is published does not order these */
        to += whole;
        from += whole;
        length -= whole;
    }
#endif
    if (length > 0)
        memcpy(to, from, length);
}

ptrdiff_t ff_record_at(const uint8_t *data, size_t length, ff_record *out) {
    if (length == 0)
        return 0;
    if (length < FF_CELL)
        return -1;
    memcpy(out, data, sizeof *out);
    if (out->magic != FF_RECORD_MAGIC || out->type == 0 || out->type >= FF_RECORD_TYPES ||
        out->length > FF_TAPE_MOST)
        return -1;
    const size_t bytes = ff_record_cells(out->length) * FF_CELL;
    return bytes <= length ? (ptrdiff_t)bytes : -1;
}

int ff_tape_init(ff_tape *tape, size_t bytes, const ff_symbols *symbols) {
    memset(tape, 0, sizeof *tape);
    if (bytes < LEAST_BYTES) {
        errno = EINVAL;
        return -1;
    }
    tape->symbols = symbols;
    tape->most = bytes / 8 < FF_TAPE_MOST ? bytes / 8 : FF_TAPE_MOST;
    return ff_ring_create(&tape->ring, FF_CELL, bytes / FF_CELL);
}

void ff_tape_free(ff_tape *tape) {
    ff_ring_close(&tape->ring);
}

/* Where a record's payload goes, behind its head; publish() ends it. */
static uint8_t *claim(ff_tape *tape, const ff_record *record) {
    const size_t cells = ff_record_cells(record->length);
    uint8_t *place = ff_ring_claim(&tape->ring, cells);
    memcpy(place, record, sizeof *record);
    const size_t used = sizeof *record + record->length;
    memset(place + used, 0, cells * FF_CELL - used);
    return place + sizeof *record;
}

static void publish(ff_tape *tape, const ff_record *record) {
    ff_ring_advance(&tape->ring, ff_record_cells(record->length));
    ff_ring_publish(&tape->ring);
}

static ff_record head_of(const ff_tap *tap, ff_record_type type) {
    return (ff_record){
        .magic = FF_RECORD_MAGIC, .type = (uint8_t)type, .machine = tap->machine};
}

/* Names that are new in the table, so that the ids in what follows are known. */
static FF_NOINLINE void put_symbols(ff_tap *tap) {
    ff_tape *tape = tap->tape;
    while (tape->named < tape->symbols->count) {
        ff_record record = head_of(tap, FF_RECORD_SYMBOLS);
        record.recv_ns = ff_clock_ns(CLOCK_REALTIME);
        record.number = tape->named;
        size_t length = 0, bytes = 0;
        uint32_t end = tape->named;
        while (end < tape->symbols->count) {
            ff_symbols_name(tape->symbols, end, &length);
            if (bytes + 1 + length > tape->most)
                break;
            bytes += 1 + length;
            end++;
        }
        record.length = (uint32_t)bytes;
        uint8_t *place = claim(tape, &record);
        for (; tape->named < end; tape->named++) {
            const uint8_t *name = ff_symbols_name(tape->symbols, tape->named, &length);
            *place++ = (uint8_t)length;
            memcpy(place, name, length);
            place += length;
        }
        publish(tape, &record);
    }
}

static inline void name_symbols(ff_tap *tap) {
    if (FF_UNLIKELY(tap->tape->named != tap->tape->symbols->count))
        put_symbols(tap);
}

void ff_tap_put(ff_tap *tap, ff_record record, const void *data, size_t length, size_t unit) {
    if (tap == NULL)
        return;
    ff_tape *tape = tap->tape;
    const uint8_t *p = data;
    const size_t most = tape->most / unit * unit;
    name_symbols(tap);
    record.magic = FF_RECORD_MAGIC;
    record.machine = tap->machine;
    record.recv_ns = ff_clock_ns(CLOCK_REALTIME);
    do {
        const size_t part = length < most ? length : most;
        record.length = (uint32_t)part;
        copy(claim(tape, &record), p, part);
        publish(tape, &record);
        p += part;
        length -= part;
    } while (length > 0);
}

void ff_tap_note(ff_tap *tap, ff_record_type type, uint8_t flags, int stream) {
    ff_tap_put(tap,
               (ff_record){.type = (uint8_t)type, .flags = flags, .stream = (uint8_t)stream},
               "", 0, 1);
}

void ff_tap_symbol(ff_tap *tap, ff_record_type type, uint8_t flags, uint32_t symbol) {
    ff_tap_put(tap, (ff_record){.type = (uint8_t)type, .flags = flags}, &symbol, sizeof symbol,
               sizeof symbol);
}

/* Servers may repeat what they were sent. */
static FF_NOINLINE void conceal(const ff_tap *tap, uint8_t *data, size_t length) {
    const uint8_t *const end = data + length;
    uint8_t *found;
    while ((found = memmem(data, (size_t)(end - data), tap->secret, tap->secret_length)) !=
           NULL) {
        memset(found, '*', tap->secret_length);
        data = found + tap->secret_length;
    }
}

void ff_tap_bytes(ff_tap *tap, const uint8_t *data, size_t length, size_t left,
                  int64_t recv_ns, bool for_session) {
    ff_tape *tape = tap->tape;
    ff_record record = head_of(tap, FF_RECORD_BYTES);
    name_symbols(tap);
    record.recv_ns = recv_ns;
    tap->left = left;
    do {
        const size_t part = length < tape->most ? length : tape->most;
        length -= part;
        record.length = (uint32_t)part;
        record.flags = length > 0 ? FF_RECORD_MORE : 0;
        record.number = length > 0 ? 0 : (uint32_t)left;
        uint8_t *place = claim(tape, &record);
        copy(place, data, part);
        if (FF_UNLIKELY(for_session && tap->secret_length > 0))
            conceal(tap, place, part);
        publish(tape, &record);
        data += part;
    } while (length > 0);
}

void ff_tap_packet(ff_tap *tap, const uint8_t *header, size_t header_length,
                   size_t length_offset, const uint8_t *body, size_t length, int64_t recv_ns) {
    ff_tape *tape = tap->tape;
    ff_record record = head_of(tap, FF_RECORD_BYTES);
    name_symbols(tap);
    record.recv_ns = recv_ns;
    const uint32_t plain = (uint32_t)length;
    size_t before = header_length;
    do {
        const size_t part = length < tape->most - before ? length : tape->most - before;
        length -= part;
        record.length = (uint32_t)(before + part);
        record.flags = length > 0 ? FF_RECORD_MORE : 0;
        uint8_t *place = claim(tape, &record);
        if (before > 0) {
            memcpy(place, header, before);
            memcpy(place + length_offset, &plain, sizeof plain); /* as OpenD: little-endian */
        }
        if (part > 0)
            memcpy(place + before, body, part);
        publish(tape, &record);
        body += part;
        before = 0;
    } while (length > 0);
}

void ff_tap_reset(ff_tap *tap, bool framed) {
    if (tap == NULL)
        return;
    tap->on = tap->by_packet = false;
    tap->ahead = tap->left = 0;
    ff_tap_note(tap, FF_RECORD_RESET, framed ? FF_RECORD_FRAMED : 0, 0);
}

void ff_tap_begin(ff_tap *tap, bool check_sha1) {
    if (tap == NULL)
        return;
    tap->on = true;
    ff_tap_note(tap, FF_RECORD_BEGIN, check_sha1 ? FF_RECORD_SHA1 : 0, 0);
}
