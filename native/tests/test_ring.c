#include "fastfeed/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { CAPACITY = 64, ROW = 64 };

static void put(ff_ring *ring, uint64_t n) {
    uint8_t *rows = ff_ring_claim(ring, n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = ring->head + i;
        for (size_t k = 0; k < ring->row_size; k += 8)
            memcpy(rows + i * ring->row_size + k, &number, 8);
    }
    ff_ring_advance(ring, n);
}

static void write_rows(ff_ring *ring, uint64_t n) {
    put(ring, n);
    ff_ring_publish(ring);
}

/* The rows from `first` on, read through one contiguous window. */
static void check_rows(const ff_ring *ring, uint64_t first, uint64_t n) {
    const uint8_t *rows = ff_ring_row(ring, first);
    for (uint64_t i = 0; i < n * ring->row_size / 8; i++) {
        uint64_t number;
        memcpy(&number, rows + i * 8, 8);
        CHECK_EQ(number, first + i * 8 / ring->row_size);
    }
}

static void test_geometry(void) {
    static const struct {
        size_t row_size;
        uint64_t capacity;
    } bad[] = {
        {0, 64},
        {64, 0},
        {63, 64},
        {32, 128},
        {96, 4096},
        {64, 63},
        {64, 96},
        {64, 1},
        {64, 32},
        {64, 65},
        {(size_t)1 << 21, 64},
        {64, (uint64_t)1 << 33},
        {64, (uint64_t)1 << 63},
        {64, UINT64_MAX},
        {SIZE_MAX, 2},
        {SIZE_MAX - 63, (uint64_t)1 << 32},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ff_ring ring;
        CHECK_EQ(ff_ring_bytes(bad[i].row_size, bad[i].capacity), 0);
        errno = 0;
        CHECK_EQ(ff_ring_create(&ring, bad[i].row_size, bad[i].capacity), -1);
        CHECK_EQ(errno, EINVAL);
        ff_ring_close(&ring);
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static const size_t row_sizes[] = {64, 128, 192, 320, 4096, 1 << 20};
    for (size_t i = 0; i < sizeof row_sizes / sizeof *row_sizes; i++) {
        uint64_t capacity = 2;
        while (row_sizes[i] * capacity % page != 0)
            capacity *= 2;
        CHECK_EQ(ff_ring_bytes(row_sizes[i], capacity), page + row_sizes[i] * capacity);
        ff_ring ring;
        CHECK_EQ(ff_ring_create(&ring, row_sizes[i], capacity), 0);
        CHECK_EQ((uintptr_t)ring.rows % page, 0);
        CHECK_EQ((uintptr_t)&ring.header->claim % 128, 0);
        CHECK_EQ((uintptr_t)&ring.header->publish % 128, 0);
        CHECK_EQ(ring.header->row_size, row_sizes[i]);
        CHECK_EQ(ring.header->capacity, capacity);
        for (uint64_t n = 0; n < 5; n++)
            write_rows(&ring, capacity - (n & 1));
        check_rows(&ring, ff_ring_oldest(&ring), capacity);
        ff_ring_close(&ring);
        ff_ring_close(&ring); /* of a zeroed ring: nothing */
        CHECK(ring.header == NULL);
    }
}

/* Windows of every length at every place are contiguous and right, over many laps. */
static void test_wrap(void) {
    ff_ring ring;
    CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
    uint64_t position = 0, lost = 0;
    for (uint64_t lap = 0; lap < 10; lap++) {
        for (uint64_t n = 0; n <= CAPACITY; n++) {
            write_rows(&ring, n);
            CHECK_EQ(ff_ring_poll(&ring, &position, &lost), n);
            CHECK_EQ(lost, 0);
            check_rows(&ring, position, n);
            CHECK(ff_ring_intact(&ring, position));
            position += n;
        }
    }
    /* Both mappings are the same memory. */
    for (uint64_t i = 0; i < CAPACITY * ROW; i++)
        CHECK(ring.rows[i] == ring.rows[i + CAPACITY * ROW]);
    volatile uint8_t *bytes = ring.rows; /* the compiler does not know that they alias */
    bytes[CAPACITY * ROW + 5] = 0xa5;
    CHECK(bytes[5] == 0xa5);
    ff_ring_close(&ring);
}

static void test_claim_and_publish(void) {
    ff_ring ring;
    CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
    uint64_t position = 0, lost = 0;
    CHECK_EQ(ff_ring_published(&ring), 0);
    CHECK_EQ(ff_ring_oldest(&ring), 0);
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), 0);

    put(&ring, 3); /* written, not published: nobody sees it */
    CHECK_EQ(ff_ring_published(&ring), 0);
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), 0);
    put(&ring, 2);
    ff_ring_publish(&ring);
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), 5);
    check_rows(&ring, 0, 5);

    /* More claimed than written, as for a packet that is rejected half-way: the claim stays
     * and is not moved back by a smaller one. */
    CHECK(ff_ring_claim(&ring, 32) == ff_ring_row(&ring, 5));
    CHECK_EQ(atomic_load(&ring.header->claim), 37);
    put(&ring, 1);
    ff_ring_publish(&ring);
    CHECK_EQ(atomic_load(&ring.header->claim), 37);
    CHECK_EQ(ff_ring_published(&ring), 6);
    CHECK_EQ(ff_ring_oldest(&ring), 0);
    CHECK(ff_ring_claim(&ring, 0) == ff_ring_row(&ring, 6));
    CHECK_EQ(atomic_load(&ring.header->claim), 37);
    CHECK(ff_ring_claim(&ring, CAPACITY) == ff_ring_row(&ring, 6));
    CHECK_EQ(atomic_load(&ring.header->claim), 6 + CAPACITY);
    CHECK_EQ(ff_ring_oldest(&ring), 6);
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), 0); /* all six may be gone */
    CHECK_EQ(lost, 6);
    CHECK_EQ(position, 6);
    ff_ring_close(&ring);
}

static void test_lapping(void) {
    ff_ring ring;
    CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
    uint64_t position = 0, lost = 0;
    write_rows(&ring, CAPACITY);
    CHECK(ff_ring_intact(&ring, 0)); /* a full ring */
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), CAPACITY);
    CHECK_EQ(lost, 0);
    write_rows(&ring, 1);
    CHECK(!ff_ring_intact(&ring, 0));
    CHECK(ff_ring_intact(&ring, 1));
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), CAPACITY);
    CHECK_EQ(lost, 1);
    CHECK_EQ(position, 1);
    check_rows(&ring, 1, CAPACITY);

    /* Every distance: loss is exact, and what is handed out is whole. */
    uint64_t random = 7, total_lost = lost, read = 0;
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t writes = next_random(&random) % 5;
        for (uint64_t k = 0; k < writes; k++)
            write_rows(&ring, next_random(&random) % (CAPACITY + 1));
        uint64_t head = ff_ring_published(&ring), before = position;
        uint64_t ready = ff_ring_poll(&ring, &position, &total_lost);
        uint64_t behind = head - before;
        CHECK_EQ(ready, behind < CAPACITY ? behind : CAPACITY);
        CHECK_EQ(position, head - ready);
        check_rows(&ring, position, ready);
        CHECK(ff_ring_intact(&ring, position));
        position += ready;
        read += ready;
        CHECK_EQ(read + total_lost, position);
    }

    /* In the middle of a claim as large as the ring nothing is certain; afterwards it is. */
    position = ff_ring_published(&ring) - 3;
    lost = 0;
    ff_ring_claim(&ring, CAPACITY);
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), 0);
    CHECK_EQ(lost, 3);

    /* Who begins there with the oldest row waits until it is published. */
    put(&ring, 4);
    ff_ring_claim(&ring, CAPACITY);
    position = ff_ring_oldest(&ring);
    CHECK_EQ(position, ff_ring_published(&ring) + 4);
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), 0);
    write_rows(&ring, 2);
    CHECK_EQ(ff_ring_poll(&ring, &position, &lost), 2);
    check_rows(&ring, position, 2);
    CHECK_EQ(lost, 3);
    ff_ring_close(&ring);
}

static void test_several_readers(void) {
    ff_ring ring;
    CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
    enum { READERS = 4 };
    uint64_t position[READERS] = {0}, lost[READERS] = {0}, read[READERS] = {0}, random = 3;
    for (unsigned i = 0; i < 5000; i++) {
        write_rows(&ring, next_random(&random) % 20);
        for (unsigned r = 0; r < READERS; r++) {
            if (next_random(&random) % (1u << 2 * r) != 0) /* each a quarter as often */
                continue;
            uint64_t ready = ff_ring_poll(&ring, &position[r], &lost[r]);
            check_rows(&ring, position[r], ready);
            position[r] += ready;
            read[r] += ready;
        }
    }
    for (unsigned r = 0; r < READERS; r++) {
        CHECK_EQ(read[r] + lost[r], position[r]);
        CHECK((lost[r] > 0) == (r > 0));
    }
    ff_ring_close(&ring);
}

/* Two handles on one file: a second process, or a writer that starts again. */
static void test_shared_file(void) {
    size_t bytes = ff_ring_bytes(ROW, CAPACITY);
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, (off_t)bytes), 0);
    ff_ring writer, reader, again;
    CHECK_EQ(ff_ring_map(&writer, fd, ROW, CAPACITY), 0);
    write_rows(&writer, 10);
    CHECK_EQ(ff_ring_map(&reader, fd, ROW, CAPACITY), 0);
    CHECK(reader.rows != writer.rows);
    uint64_t position = 0, lost = 0;
    CHECK_EQ(ff_ring_poll(&reader, &position, &lost), 10);
    check_rows(&reader, 0, 10);
    position = 10;

    ff_ring_claim(&writer, 20);
    ff_ring_close(&writer); /* ends in the middle of a write */
    CHECK_EQ(ff_ring_map(&again, fd, ROW, CAPACITY), 0);
    CHECK_EQ(again.head, 10);
    CHECK_EQ(again.claimed, 30);
    write_rows(&again, 5);
    CHECK_EQ(ff_ring_poll(&reader, &position, &lost), 5);
    check_rows(&reader, 10, 5);
    CHECK_EQ(lost, 0);

    /* The file of another geometry is left alone. */
    ff_ring other;
    errno = 0;
    CHECK_EQ(ff_ring_map(&other, fd, 2 * ROW, CAPACITY / 2), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK(other.header == NULL);
    CHECK_EQ(reader.header->row_size, ROW);
    close(fd);
    ff_ring_close(&again);
    ff_ring_close(&reader);
    CHECK_EQ(ff_ring_map(&other, -1, ROW, CAPACITY), -1);
    CHECK_EQ(errno, EBADF);
}

int main(void) {
    test_geometry();
    test_wrap();
    test_claim_and_publish();
    test_lapping();
    test_several_readers();
    test_shared_file();
    return 0;
}
