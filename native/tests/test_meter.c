/* Slots of feeds and of readers, and what a sink measures when it publishes. */

#include "fastfeed/meter.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "fastfeed/clock.h"
#include "fastfeed/readers.h"
#include "fastfeed/sink.h"

static ff_meter *take(ff_meters *meters, const char *url, int64_t now_ns) {
    return ff_meters_take(meters, (const uint8_t *)url, strlen(url), now_ns);
}

/* As another process sees it. */
static void test_slots(void) {
    ff_meters meters, reader;
    static ff_meter copy;
    ff_meter *slots[FF_METERS];
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK_EQ(ff_meters_attach(&reader, fd), -1); /* empty */
    CHECK_EQ(ff_meters_map(&meters, fd), 0);
    CHECK_EQ(ff_meters_attach(&reader, fd), 0);
    close(fd);
    for (size_t i = 0; i <= FF_METERS; i++)
        CHECK_EQ(ff_meters_copy(&reader, i, &copy), 0);
    for (int i = 0; i < FF_METERS; i++) {
        CHECK((slots[i] = take(&meters, "opend://h", 100 + i)) != NULL);
        CHECK_EQ(ff_meters_copy(&reader, (size_t)i, &copy), 1);
        CHECK_EQ(copy.state, FF_METER_CONNECTING);
        CHECK_EQ(copy.since_ns, 100 + i);
        CHECK(copy.url_bytes == 9 && memcmp(copy.url, "opend://h", 9) == 0);
    }
    CHECK(take(&meters, "more", 1) == NULL);

    /* The one that was closed first is taken, and begins anew. */
    ff_histogram_add(&slots[5]->gateway_to_receive, 7, 1);
    ff_meter_count(slots[5], FF_METER_GAPS, 3);
    ff_meter_enter(slots[6], FF_METER_CLOSED, 2000);
    ff_meter_enter(slots[5], FF_METER_CLOSED, 1000);
    CHECK_EQ(ff_meters_copy(&reader, 5, &copy), 1);
    CHECK_EQ(copy.state, FF_METER_CLOSED);
    CHECK_EQ(copy.counters[FF_METER_GAPS], 3);
    static char longer[2 * FF_METER_URL_BYTES];
    memset(longer, 'x', sizeof longer - 1);
    CHECK(take(&meters, longer, 3000) == slots[5]);
    CHECK_EQ(ff_meters_copy(&reader, 5, &copy), 1);
    CHECK_EQ(copy.state, FF_METER_CONNECTING);
    CHECK_EQ(copy.url_bytes, FF_METER_URL_BYTES);
    CHECK_EQ(copy.counters[FF_METER_GAPS], 0);
    CHECK_EQ(copy.gateway_to_receive.buckets[7], 0);

    /* A writer that died while it took one. */
    atomic_fetch_add(&slots[9]->version, 1);
    CHECK_EQ(ff_meters_copy(&reader, 9, &copy), 0);
    ff_meters_close(&reader);
    ff_meters_close(&meters);
    ff_meters_close(&meters);
}

/* Publish n ticks whose gateway had them 1000 ns before they came. */
static void publish(ff_sink *sink, uint64_t n, int64_t recv_ns) {
    uint64_t room = n;
    ff_tick *rows = ff_sink_claim(sink, FF_STREAM_TICKS, &room);
    CHECK_EQ(room, n);
    for (uint64_t i = 0; i < n; i++)
        rows[i] = (ff_tick){.recv_ns = recv_ns, .gateway_ns = recv_ns - 1000};
    ff_sink_written(sink, FF_STREAM_TICKS, n);
    CHECK_EQ(ff_sink_publish(sink), n > 0);
}

static void test_measuring(void) {
    static ff_sink sink;
    static ff_counts gateway, publication;
    ff_ring ring;
    ff_meters meters;
    CHECK_EQ(ff_ring_create(&ring, sizeof(ff_tick), 1 << 14), 0);
    CHECK_EQ(ff_meters_create(&meters), 0);
    sink.rings[FF_STREAM_TICKS] = &ring;
    publish(&sink, 10, ff_clock_ns(CLOCK_REALTIME));
    CHECK_EQ(ring.header->publish_ns, 0); /* nothing is measured */
    sink.meter = take(&meters, "x", 1);
    CHECK_EQ(ff_sink_publish(&sink), 0);
    uint64_t rows = 0;
    int64_t before = ff_clock_ns(CLOCK_REALTIME);
    for (uint64_t n = 1; n <= 5000; n += n < 40 ? 1 : 997) {
        publish(&sink, n, before - 5000);
        rows += n;
        ff_histogram_read(&sink.meter->gateway_to_receive, &gateway);
        ff_histogram_read(&sink.meter->receive_to_publish, &publication);
        CHECK_EQ(gateway.count, rows);
        CHECK_EQ(publication.count, rows);
        CHECK_EQ(sink.meter->rows, rows);
        CHECK_EQ(sink.meter->last_recv_ns, before - 5000);
        CHECK(ring.header->publish_ns >= before);
    }
    CHECK_EQ(gateway.max_ns, 1000);
    CHECK(ff_counts_percentile(&gateway, 0.001) == ff_counts_percentile(&gateway, 1));
    CHECK(ff_counts_percentile(&publication, 0.001) >= 5000 * 31 / 32);
    CHECK(publication.max_ns <= ff_clock_ns(CLOCK_REALTIME) - before + 5000);

    /* Clocks that disagree. */
    publish(&sink, 3, INT64_MAX / 2);
    ff_histogram_read(&sink.meter->receive_to_publish, &publication);
    CHECK_EQ(publication.count, rows);
    CHECK_EQ(publication.negative, 3);
    ff_ring_close(&ring);
    ff_meters_close(&meters);
}

/* Rows of all streams: the flag is found, and rows that did not come live are left out. */
static void test_flags(void) {
    static ff_sink sink;
    static ff_counts counts;
    ff_meters meters;
    CHECK_EQ(ff_meters_create(&meters), 0);
    for (int stream = 0; stream < FF_STREAMS; stream++) {
        const ff_row_type *type = &ff_row_types[stream];
        const bool is_book = stream == FF_STREAM_BOOKS || stream == FF_STREAM_ODD_BOOKS;
        const size_t size = is_book ? ff_book_size(10) : type->size;
        size_t at = SIZE_MAX;
        for (const ff_field *field = type->fields; field->name != NULL; field++)
            if (strcmp(field->name, "flags") == 0)
                at = field->offset;
        CHECK(at < size);
        ff_ring ring;
        CHECK_EQ(ff_ring_create(&ring, size, 64), 0);
        sink.rings[stream] = &ring;
        sink.meter = take(&meters, type->stream, 1);
        for (unsigned flags = 0; flags < 16; flags++) {
            uint64_t room = 1;
            uint8_t *row = ff_sink_claim(&sink, (ff_stream)stream, &room);
            memset(row, 0, size);
            ff_tick times = {.recv_ns = 1000, .gateway_ns = 900};
            memcpy(row, &times, offsetof(ff_tick, seq));
            row[at] = (uint8_t)flags;
            ff_sink_written(&sink, (ff_stream)stream, 1);
            CHECK_EQ(ff_sink_publish(&sink), 1 << stream);
        }
        ff_histogram_read(&sink.meter->gateway_to_receive, &counts);
        CHECK_EQ(counts.count, 2); /* without a flag, and with that of a gap alone */
        ff_histogram_read(&sink.meter->receive_to_publish, &counts);
        CHECK_EQ(counts.count, 16);
        sink.rings[stream] = NULL;
        ff_ring_close(&ring);
    }
    ff_meters_close(&meters);
}

static void test_readers(void) {
    ff_readers readers;
    ff_reader *slots[FF_READERS];
    static ff_counts counts;
    int fd = memfd_create("test", MFD_CLOEXEC);
    static const uint8_t name[2 * FF_READERS_PROGRAM_BYTES] = "program";
    CHECK_EQ(ff_readers_map(&readers, fd, name, sizeof name), 0);
    for (unsigned i = 0; i < FF_READERS; i++)
        CHECK((slots[i] = ff_readers_take(&readers, i % FF_STREAMS, i % 2 == 0)) != NULL);
    CHECK(ff_readers_take(&readers, 0, false) == NULL);
    ff_reader_note(slots[3], 17, 4);
    ff_reader_free(slots[7]);
    CHECK(ff_readers_take(&readers, 0, false) == slots[7]);

    /* Only the time of the last publication is known. */
    ff_ring ring;
    CHECK_EQ(ff_ring_create(&ring, sizeof(ff_tick), 64), 0);
    int64_t now = ff_clock_ns(CLOCK_REALTIME);
    ff_ring_claim(&ring, 2);
    ff_ring_advance(&ring, 2);
    ff_ring_stamp(&ring, 0);
    ff_ring_publish(&ring);
    ff_reader_measure(slots[0], &ring, 2); /* nobody said when */
    ff_ring_stamp(&ring, now - 7000);
    ff_reader_measure(slots[0], &ring, 1); /* there was another one meanwhile */
    ff_reader_measure(slots[0], &ring, 2);
    ff_histogram_read(&slots[0]->publish_to_read, &counts);
    CHECK_EQ(counts.count, 1);
    CHECK(counts.max_ns >= 7000);
    ff_ring_close(&ring);

    /* As another process reads it. */
    static ff_reader copy;
    static ff_readers_header header;
    CHECK_EQ(pread(fd, &header, sizeof header, 0), (long)sizeof header);
    CHECK(header.ready == FF_READERS && strcmp((char *)header.program, "program") == 0);
    off_t at = (off_t)(sizeof header + 3 * sizeof copy);
    CHECK_EQ(pread(fd, &copy, sizeof copy, at), (long)sizeof copy);
    CHECK(copy.stream == 1 + 3 && copy.position == 17 && copy.lost == 4 && copy.read_ns > 0);

    /* After a fork: what is written is not seen any more. */
    ff_readers_leave(&readers);
    ff_reader_note(slots[3], 99, 9);
    CHECK_EQ(pread(fd, &copy, sizeof copy, at), (long)sizeof copy);
    CHECK_EQ(copy.position, 17);
    CHECK(ff_readers_take(&readers, 0, false) == NULL);
    ff_readers_close(&readers);
    close(fd);
}

int main(void) {
    test_slots();
    test_measuring();
    test_flags();
    test_readers();
    return 0;
}
