/* One writer that never waits and several readers: no torn row passes the check.
 *
 * A reader of this ring reads memory that the writer may be changing and finds out afterwards;
 * formally that is a data race, and ThreadSanitizer would report it. So both sides of this
 * test move the rows by relaxed atomic words. That costs the compiler's freedom to tear a
 * word, and nothing else: rows still tear between words, and only the fences of ring.h order
 * them. Those ThreadSanitizer does not model (-Wtsan says so); nothing here needs it to, since
 * there is no plain access left that a fence would have to protect. */

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "check.h"
#include "fastfeed/ring.h"

enum { CAPACITY = 64, WORDS = 8, READERS = 3, LAPPING_ROWS = 8000000, ORDERED_ROWS = 500000 };

static uint64_t mix(uint64_t number, uint64_t word) {
    uint64_t h = (number * WORDS + word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static void write_row(_Atomic uint64_t *row, uint64_t number) {
    uint64_t sum = number;
    atomic_store_explicit(&row[0], number, memory_order_relaxed);
    for (uint64_t k = 1; k < WORDS - 1; k++) {
        uint64_t word = mix(number, k);
        sum = sum * 31 + word;
        atomic_store_explicit(&row[k], word, memory_order_relaxed);
    }
    atomic_store_explicit(&row[WORDS - 1], sum, memory_order_relaxed);
}

static void copy_row(const _Atomic uint64_t *row, uint64_t copy[WORDS]) {
    for (size_t k = 0; k < WORDS; k++)
        copy[k] = atomic_load_explicit(&row[k], memory_order_relaxed);
}

static bool is_whole(const uint64_t copy[WORDS], uint64_t number) {
    uint64_t sum = copy[0];
    for (size_t k = 1; k < WORDS - 1; k++)
        sum = sum * 31 + copy[k];
    return copy[0] == number && sum == copy[WORDS - 1];
}

static void write_batch(ff_ring *ring, uint64_t n, uint64_t claim) {
    _Atomic uint64_t *rows = ff_ring_claim(ring, claim);
    for (uint64_t i = 0; i < n; i++)
        write_row(rows + i * WORDS, ring->head + i);
    ff_ring_advance(ring, n);
    ff_ring_publish(ring);
}

typedef struct reader {
    ff_ring *ring;
    uint64_t until;
    uint64_t most; /* rows taken at once */
    uint64_t intact, torn, seen_torn, lost;
    _Atomic uint64_t position;
    pthread_t thread;
} reader;

static void *read_lapping(void *argument) {
    reader *r = argument;
    uint64_t copies[CAPACITY][WORDS], position = 0, idle = 0;
    while (position < r->until) {
        uint64_t n = ff_ring_poll(r->ring, &position, &r->lost);
        if (n > r->most)
            n = r->most;
        for (uint64_t i = 0; i < n; i++)
            copy_row((const _Atomic uint64_t *)ff_ring_row(r->ring, position) + i * WORDS,
                     copies[i]);
        bool good = ff_ring_intact(r->ring, position);
        for (uint64_t i = 0; i < n; i++) {
            bool whole = is_whole(copies[i], position + i);
            CHECK(whole || !good);
            r->seen_torn += whole ? 0 : 1;
        }
        *(good ? &r->intact : &r->torn) += n;
        position += n;
        if (n == 0 && ++idle % 256 == 0)
            sched_yield();
    }
    atomic_store(&r->position, position);
    return NULL;
}

static void test_lapping(void) {
    ff_ring ring;
    CHECK(ff_ring_create(&ring, WORDS * 8, CAPACITY) == 0);
    reader readers[READERS];
    memset(readers, 0, sizeof readers);
    for (unsigned r = 0; r < READERS; r++) {
        readers[r].ring = &ring;
        readers[r].until = LAPPING_ROWS;
        readers[r].most = r == 0 ? 1 : (uint64_t)CAPACITY >> r;
        CHECK(pthread_create(&readers[r].thread, NULL, read_lapping, &readers[r]) == 0);
    }
    uint64_t random = 11;
    while (ring.head < LAPPING_ROWS) {
        uint64_t n = next_random(&random) % (CAPACITY / 2) + 1;
        if (n > LAPPING_ROWS - ring.head)
            n = LAPPING_ROWS - ring.head;
        uint64_t claim = n + next_random(&random) % (CAPACITY - n + 1);
        write_batch(&ring, n, claim);
        if (next_random(&random) % 4096 == 0)
            sched_yield(); /* lets readers in on a machine with one core */
    }
    for (unsigned r = 0; r < READERS; r++) {
        CHECK(pthread_join(readers[r].thread, NULL) == 0);
        CHECK_EQ(readers[r].intact + readers[r].torn + readers[r].lost, LAPPING_ROWS);
        CHECK_EQ(atomic_load(&readers[r].position), LAPPING_ROWS);
        printf("reader %u: %" PRIu64 " intact, %" PRIu64 " overtaken (%" PRIu64
               " really torn), %" PRIu64 " lost\n",
               r, readers[r].intact, readers[r].torn, readers[r].seen_torn, readers[r].lost);
    }
    ff_ring_close(&ring);
}

static void *read_in_order(void *argument) {
    reader *r = argument;
    uint64_t position = 0, copy[WORDS];
    while (position < r->until) {
        uint64_t n = ff_ring_poll(r->ring, &position, &r->lost);
        for (uint64_t i = 0; i < n; i++) {
            copy_row((const _Atomic uint64_t *)ff_ring_row(r->ring, position) + i * WORDS,
                     copy);
            CHECK(is_whole(copy, position + i));
        }
        CHECK(ff_ring_intact(r->ring, position));
        CHECK_EQ(r->lost, 0);
        position += n;
        atomic_store_explicit(&r->position, position, memory_order_release);
        if (n == 0)
            sched_yield();
    }
    return NULL;
}

/* A writer that is made to wait for the slowest reader: everybody gets every row. */
static void test_in_order(void) {
    ff_ring ring;
    CHECK(ff_ring_create(&ring, WORDS * 8, CAPACITY) == 0);
    reader readers[READERS];
    memset(readers, 0, sizeof readers);
    for (unsigned r = 0; r < READERS; r++) {
        readers[r].ring = &ring;
        readers[r].until = ORDERED_ROWS;
        CHECK(pthread_create(&readers[r].thread, NULL, read_in_order, &readers[r]) == 0);
    }
    uint64_t random = 5;
    while (ring.head < ORDERED_ROWS) {
        uint64_t slowest = UINT64_MAX;
        for (unsigned r = 0; r < READERS; r++) {
            uint64_t at = atomic_load_explicit(&readers[r].position, memory_order_acquire);
            slowest = at < slowest ? at : slowest;
        }
        uint64_t room = slowest + CAPACITY - ring.head, n = next_random(&random) % 16 + 1;
        if (n > ORDERED_ROWS - ring.head)
            n = ORDERED_ROWS - ring.head;
        if (n > room) {
            sched_yield();
            continue;
        }
        write_batch(&ring, n, n);
    }
    for (unsigned r = 0; r < READERS; r++)
        CHECK(pthread_join(readers[r].thread, NULL) == 0);
    ff_ring_close(&ring);
}

int main(void) {
    test_lapping();
    test_in_order();
    return 0;
}
