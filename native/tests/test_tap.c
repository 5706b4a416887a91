/* Records on a tape, and who writes them to a file. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "fastfeed/capture.h"
#include "fastfeed/crc32c.h"

enum { BYTES = 1 << 20 };

static void test_crc(void) {
    uint8_t data[5000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i >> 3);
    CHECK(ff_crc32c(0, "123456789", 9) == 0xe3069283);
    for (size_t n = 0; n < sizeof data; n = n < 64 ? n + 1 : n * 5 / 4)
        CHECK(ff_crc32c(0, data, n) == ff_crc32c_by_table(0, data, n));
    for (size_t cut = 0; cut < sizeof data; cut += 77)
        CHECK(ff_crc32c(ff_crc32c(0, data, cut), data + cut, sizeof data - cut) ==
              ff_crc32c(0, data, sizeof data));
}

static void intern(ff_symbols *symbols, const char *name) {
    CHECK(ff_symbols_intern(symbols, (const uint8_t *)name, strlen(name)) >= 0);
}

/* The record at a byte of the tape, which moves on. */
static ff_record next(const ff_tape *tape, size_t *at, const uint8_t **payload) {
    ff_record record;
    const size_t end = (size_t)ff_ring_published(&tape->ring) * FF_CELL;
    const ptrdiff_t size = ff_record_at(tape->ring.rows + *at, end - *at, &record);
    CHECK(size > 0);
    *payload = tape->ring.rows + *at + sizeof record;
    *at += (size_t)size;
    return record;
}

static void test_records(void) {
    ff_symbols symbols;
    ff_tape tape;
    const uint8_t *payload;
    size_t at = 0;
    CHECK(ff_symbols_init(&symbols, 100) == 0);
    CHECK(ff_tape_init(&tape, 1 << 19, &symbols) < 0);
    CHECK(ff_tape_init(&tape, BYTES, &symbols) == 0);
    ff_tap tap = {
        .tape = &tape, .machine = 7, .secret = (const uint8_t *)"TOKEN", .secret_length = 5};
    intern(&symbols, "A.US");
    intern(&symbols, "700.HK");

    /* Names come before what may need them, and once. */
    ff_tap_symbol(&tap, FF_RECORD_HOLD, 0, 1);
    ff_record record = next(&tape, &at, &payload);
    CHECK(record.type == FF_RECORD_SYMBOLS && record.number == 0 && record.length == 5 + 7);
    CHECK(memcmp(payload,
                 "\4A.US\6"
                 "700.HK",
                 12) == 0);
    record = next(&tape, &at, &payload);
    CHECK(record.type == FF_RECORD_HOLD && record.machine == 7 && record.length == 4);
    ff_tap_note(&tap, FF_RECORD_LISTEN, 0, 3);
    record = next(&tape, &at, &payload);
    CHECK(record.type == FF_RECORD_LISTEN && record.stream == 3 && record.length == 0);

    /* Rows are cut between rows, bytes anywhere. */
    static uint8_t many[BYTES / 2];
    memset(many, 1, sizeof many);
    ff_tap_put(&tap, (ff_record){.type = FF_RECORD_ROWS}, many, 320 * 1000, 320);
    size_t total = 0;
    while (total < 320 * 1000) {
        record = next(&tape, &at, &payload);
        CHECK(record.type == FF_RECORD_ROWS && record.length % 320 == 0);
        total += record.length;
    }
    CHECK(total == 320 * 1000);
    ff_tap_bytes(&tap, many, 200000, 9, 42, false);
    for (total = 0; total < 200000; total += record.length) {
        record = next(&tape, &at, &payload);
        CHECK(record.type == FF_RECORD_BYTES && record.recv_ns == 42);
        const bool last = total + record.length == 200000;
        CHECK(last == ((record.flags & FF_RECORD_MORE) == 0));
        CHECK(record.number == (last ? 9u : 0u));
        CHECK(payload[record.length - 1] == 1);
    }

    /* A secret is left out where a session gets the bytes, and only there. */
    ff_tap_bytes(&tap, (const uint8_t *)"xTOKENTOKENy", 12, 0, 1, false);
    next(&tape, &at, &payload);
    CHECK(memcmp(payload, "xTOKENTOKENy", 12) == 0);
    ff_tap_bytes(&tap, (const uint8_t *)"xTOKENTOKENy", 12, 0, 1, true);
    next(&tape, &at, &payload);
    CHECK(memcmp(payload, "x**********y", 12) == 0);

    /* A packet in the place of an encrypted one. */
    uint8_t header[44];
    memset(header, 0xee, sizeof header);
    ff_tap_packet(&tap, header, sizeof header, 12, many, 3, 5);
    record = next(&tape, &at, &payload);
    CHECK(record.length == 47 && memcmp(payload + 12, "\3\0\0\0", 4) == 0 &&
          payload[11] == 0xee);
    ff_tap_packet(&tap, header, sizeof header, 12, NULL, 0, 5);
    record = next(&tape, &at, &payload);
    CHECK(record.length == 44 && record.flags == 0);
    ff_tape_free(&tape);
    ff_symbols_free(&symbols);
}

static void test_steps(void) {
    ff_symbols symbols;
    ff_tape tape;
    const uint8_t *payload, *apart = NULL;
    size_t at = 0, inside = 0;
    uint8_t data[100] = {0};
    CHECK(ff_symbols_init(&symbols, 100) == 0);
    CHECK(ff_tape_init(&tape, BYTES, &symbols) == 0);
    ff_tap tap = {.tape = &tape, .inside = &inside, .apart = &apart};
    ff_window w = {.data = data, .size = 100, .start = 0, .end = 60};
    w.start = 10;
    ff_tap_step(&tap, &w, 0, 1, FF_FRAME); /* of the handshake */
    CHECK(ff_ring_published(&tape.ring) == 0);
    ff_tap_begin(&tap, true);
    ff_record record = next(&tape, &at, &payload);
    CHECK(record.type == FF_RECORD_BEGIN && record.flags == FF_RECORD_SHA1);
    /* A message of 30 bytes, of which 12 are done. */
    w.start = 22;
    inside = 18;
    ff_tap_step(&tap, &w, 10, 2, FF_HELD);
    record = next(&tape, &at, &payload);
    CHECK(record.length == 30 && record.number == 18);
    ff_tap_step(&tap, &w, 22, 2, FF_ROWS_FULL); /* nothing happened */
    CHECK(ff_ring_published(&tape.ring) * FF_CELL == at);
    /* The rest of it, and another one. */
    w.start = 60;
    inside = 0;
    ff_tap_step(&tap, &w, 22, 3, FF_NEED_MORE);
    record = next(&tape, &at, &payload);
    CHECK(record.length == 20 && record.number == 0 && record.recv_ns == 3);
    /* What is left of a message that lies apart is in no window. */
    w = (ff_window){.data = data, .size = 100, .start = 50, .end = 60};
    inside = 7;
    apart = data;
    ff_tap_step(&tap, &w, 0, 4, FF_PACKET);
    record = next(&tape, &at, &payload);
    CHECK(record.length == 50 && record.number == 7);
    inside = 0;
    apart = NULL;
    ff_tap_step(&tap, &w, 50, 4, FF_NEED_MORE);
    record = next(&tape, &at, &payload);
    CHECK(record.length == 0 && record.number == 0);
    /* Behind an end nothing is recorded. */
    w.start = 55;
    ff_tap_step(&tap, &w, 50, 5, -FF_EMAGIC);
    record = next(&tape, &at, &payload);
    CHECK(record.length == 5);
    w.start = 60;
    ff_tap_step(&tap, &w, 55, 5, -FF_EMAGIC);
    CHECK(ff_ring_published(&tape.ring) * FF_CELL == at);
    ff_tap_reset(&tap, true);
    record = next(&tape, &at, &payload);
    CHECK(record.type == FF_RECORD_RESET && record.flags == FF_RECORD_FRAMED && !tap.on);
    ff_tape_free(&tape);
    ff_symbols_free(&symbols);
}

static void test_no_record(void) {
    uint8_t data[2 * FF_CELL] = {0};
    ff_record record = {.magic = FF_RECORD_MAGIC, .type = FF_RECORD_BYTES, .length = 64},
              found;
    memcpy(data, &record, sizeof record);
    CHECK(ff_record_at(data, 0, &found) == 0);
    CHECK(ff_record_at(data, 63, &found) == -1);
    CHECK(ff_record_at(data, 64, &found) == -1);
    CHECK(ff_record_at(data, 128, &found) == 128);
    record.length = UINT32_MAX;
    memcpy(data, &record, sizeof record);
    CHECK(ff_record_at(data, 128, &found) == -1);
    record.length = 1;
    record.type = FF_RECORD_TYPES;
    memcpy(data, &record, sizeof record);
    CHECK(ff_record_at(data, 128, &found) == -1);
}

typedef struct run {
    ff_pump pump;
    ff_tape tape;
    int status;
} run;

static void *pump(void *argument) {
    run *r = argument;
    r->status = ff_pump_run(&r->pump);
    return NULL;
}

/* One thread records, another one writes; the file is then exactly what was recorded. */
static void test_pump(void) {
    ff_symbols symbols;
    run r = {.status = 99};
    CHECK(ff_symbols_init(&symbols, 100) == 0);
    CHECK(ff_tape_init(&r.tape, 16 << 20, &symbols) == 0);
    ff_tap tap = {.tape = &r.tape};
    FILE *file = tmpfile();
    CHECK(file != NULL);
    ff_pump_init(&r.pump, &r.tape.ring, 1000000);
    r.pump.fd = fileno(file);
    r.pump.most_bytes = UINT64_MAX;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, pump, &r) == 0);
    uint8_t data[6000];
    uint64_t recorded = 0;
    for (unsigned i = 0; i < 1000; i++) { /* 6 MB: less than the ring */
        const size_t length = i * 7919 % sizeof data;
        memset(data, (int)i, length);
        ff_tap_bytes(&tap, data, length, 0, i + 1, false);
        recorded += ff_record_cells(length) * FF_CELL;
    }
    atomic_store(&r.pump.asked, true);
    pthread_join(thread, NULL);
    CHECK(r.status == FF_PUMP_ASKED);
    CHECK(r.pump.bytes == recorded && r.pump.records == 1000);
    CHECK(r.pump.stored_bytes == r.pump.file_bytes);

    rewind(file);
    static uint8_t chunk_data[FF_CHUNK_MOST];
    ff_chunk chunk;
    unsigned seen = 0;
    uint64_t number = 0;
    while (fread(&chunk, sizeof chunk, 1, file) == 1) {
        CHECK(chunk.magic == FF_CHUNK_MAGIC && chunk.number == number++);
        CHECK(chunk.stored <= FF_CHUNK_MOST && chunk.stored == chunk.plain);
        CHECK(fread(chunk_data, chunk.stored, 1, file) == 1);
        CHECK(ff_chunk_crc(&chunk, chunk_data) == chunk.crc);
        CHECK(chunk.recv_ns == seen + 1);
        ff_record record;
        for (size_t at = 0; at < chunk.stored;) {
            const ptrdiff_t size = ff_record_at(chunk_data + at, chunk.stored - at, &record);
            CHECK(size > 0 && record.length == seen * 7919 % sizeof data);
            if (record.length > 0)
                CHECK(chunk_data[at + sizeof record + record.length - 1] == (uint8_t)seen);
            at += (size_t)size;
            seen++;
        }
    }
    CHECK(seen == 1000);
    fclose(file);
    ff_tape_free(&r.tape);
    ff_symbols_free(&symbols);
}

static void test_lapped(void) {
    ff_symbols symbols;
    ff_tape tape;
    ff_pump pump_;
    ff_piece piece;
    CHECK(ff_symbols_init(&symbols, 100) == 0);
    CHECK(ff_tape_init(&tape, BYTES, &symbols) == 0);
    ff_tap tap = {.tape = &tape};
    static uint8_t data[100000];
    ff_pump_init(&pump_, &tape.ring, 1);
    pump_.fd = -1;
    pump_.most_bytes = UINT64_MAX;
    ff_tap_bytes(&tap, data, sizeof data, 0, 1, false);
    CHECK(ff_pump_wait(&pump_, &piece) == FF_PUMP_PIECE && piece.records == 1);
    CHECK(ff_pump_run(&pump_) < 0); /* there is no file */
    CHECK(pump_.position == 0 && pump_.file_bytes == 0);
    for (int i = 0; i < 11; i++)
        ff_tap_bytes(&tap, data, sizeof data, 0, 1, false);
    CHECK(!ff_pump_done(&pump_, &piece, 1));
    CHECK(ff_pump_wait(&pump_, &piece) == FF_PUMP_LAPPED);
    const uint64_t position = ff_ring_published(&tape.ring);
    CHECK(ff_pump_skip(&pump_, position) == position * FF_CELL);
    ff_tap_note(&tap, FF_RECORD_RESET, 0, 0);
    pump_.until = position;
    CHECK(ff_pump_wait(&pump_, &piece) == FF_PUMP_REACHED);
    pump_.until = UINT64_MAX;
    CHECK(ff_pump_wait(&pump_, &piece) == FF_PUMP_PIECE && piece.bytes == FF_CELL);
    ff_tape_free(&tape);
    ff_symbols_free(&symbols);
}

int main(void) {
    test_crc();
    test_records();
    test_steps();
    test_no_record();
    test_pump();
    test_lapped();
    puts("tap: good");
    return 0;
}
