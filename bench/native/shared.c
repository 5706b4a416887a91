/* The C ends of the benches of shared memory: writers and readers of fastfeed's ring, and of a
 * plain one as one would write it by hand.
 *
 * The plain ring is a file with a number of rows written, a word to sleep on, and rows of 64
 * bytes. Its writer copies a row and stores the number; its readers believe that they are
 * never lapped. A row begins with the time of its publication (CLOCK_MONOTONIC ns) and has its
 * number where a tick has its own. */

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fastfeed/ring.h"
#include "fastfeed/rows.h"

enum { PLAIN_ROWS = 1 << 14, SPIN_NS = 100000 };

typedef struct plain {
    _Atomic uint64_t written; /* rows */
    _Alignas(128) _Atomic uint32_t word;
    _Alignas(128) _Atomic uint64_t read; /* by the one reader who is followed */
    _Alignas(128) ff_tick rows[PLAIN_ROWS];
} plain;

static int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

static void futex(_Atomic uint32_t *word, int operation, uint32_t value) {
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sleep until shortly before a time, and look at the clock for the rest. */
void shared_wait_until(int64_t at_ns) {
    const int64_t wake_ns = at_ns - SPIN_NS;
    struct timespec wake = {wake_ns / 1000000000, wake_ns % 1000000000};
    if (now_ns() < wake_ns)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
    while (now_ns() < at_ns)
        ;
}

/* ---- opening; NULL: it failed ---- */

plain *shared_plain(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(plain)) < 0)
        return NULL;
    void *at =
        mmap(NULL, sizeof(plain), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    close(fd);
    return at != MAP_FAILED ? at : NULL;
}

size_t shared_plain_rows(void) {
    return offsetof(plain, rows);
}

/* A hub's ring of ticks, with the bell number `bell` of its bells. */
ff_ring *shared_ring(const char *path, const char *bells, unsigned bell, uint64_t capacity,
                     bool writes) {
    ff_ring *ring = calloc(1, sizeof *ring);
    int file = open(path, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    int bells_file = open(bells, O_RDWR | O_CLOEXEC);
    if (ring == NULL || file < 0 || bells_file < 0)
        return NULL;
    void *found = mmap(NULL, (bell + 1) * sizeof(ff_ring_bell), PROT_READ | PROT_WRITE,
                       MAP_SHARED, bells_file, 0);
    int rc = writes ? ff_ring_map(ring, file, sizeof(ff_tick), capacity)
                    : ff_ring_attach(ring, file, sizeof(ff_tick), capacity);
    close(file);
    close(bells_file);
    if (rc < 0 || found == MAP_FAILED)
        return NULL;
    ring->bell = (ff_ring_bell *)found + bell;
    return ring;
}

/* ---- one row at a time, by a schedule; ns[i] is what publishing row i took ---- */

static void stamp(ff_tick *row, uint64_t number) {
    memset(row, 0, sizeof *row);
    row->seq = (int64_t)number;
    row->recv_ns = now_ns();
}

void shared_ring_write(ff_ring *ring, uint64_t count, int64_t begin_ns, int64_t interval_ns,
                       int64_t *ns) {
    prctl(PR_SET_TIMERSLACK, 1);
    for (uint64_t i = 0; i < count; i++) {
        shared_wait_until(begin_ns + (int64_t)i * interval_ns);
        ff_tick *row = ff_ring_claim(ring, 1);
        stamp(row, ring->head);
        ff_ring_advance(ring, 1);
        const int64_t begun = row->recv_ns;
        ff_ring_publish(ring);
        ns[i] = now_ns() - begun;
    }
}

/* How the reader of a plain ring learns of rows. */
enum { BY_LOOKING, BY_FUTEX, BY_EVENTFD };

void shared_plain_write(plain *ring, uint64_t count, int64_t begin_ns, int64_t interval_ns,
                        int how, int event) {
    prctl(PR_SET_TIMERSLACK, 1);
    for (uint64_t i = 0; i < count; i++) {
        shared_wait_until(begin_ns + (int64_t)i * interval_ns);
        const uint64_t number = atomic_load_explicit(&ring->written, memory_order_relaxed);
        stamp(&ring->rows[number % PLAIN_ROWS], number);
        atomic_store_explicit(&ring->written, number + 1, memory_order_release);
        if (how == BY_FUTEX) {
            atomic_store_explicit(&ring->word, (uint32_t)(number + 1), memory_order_release);
            futex(&ring->word, FUTEX_WAKE, INT_MAX);
        } else if (how == BY_EVENTFD) {
            const uint64_t one = 1;
            if (write(event, &one, sizeof one) < 0)
                return;
        }
    }
}

/* Read count rows from `position` on; late[i] is how old a row was. */
void shared_ring_read(const ff_ring *ring, uint64_t position, uint64_t count, int64_t *late,
                      bool blocks) {
    for (uint64_t i = 0; i < count; i++) {
        const int64_t second = 1000000000;
        while (!ff_ring_wait(ring, position + i, blocks ? 0 : second, second))
            ;
        ff_tick row;
        memcpy(&row, ff_ring_row(ring, position + i), sizeof row);
        late[i] = now_ns() - row.recv_ns;
    }
}

void shared_plain_read(plain *ring, uint64_t position, uint64_t count, int64_t *late,
                       bool blocks) {
    for (uint64_t i = 0; i < count; i++) {
        for (;;) {
            const uint32_t word = atomic_load_explicit(&ring->word, memory_order_acquire);
            if (atomic_load_explicit(&ring->written, memory_order_acquire) > position + i)
                break;
            if (blocks)
                futex(&ring->word, FUTEX_WAIT, word);
            else
                relax();
        }
        ff_tick row;
        memcpy(&row, &ring->rows[(position + i) % PLAIN_ROWS], sizeof row);
        late[i] = now_ns() - row.recv_ns;
    }
}

/* ---- as fast as possible ---- */

/* Write rows in batches, each published; ns[0] is the time it took, ns[1] the processor's. */
void shared_ring_fill(ff_ring *ring, uint64_t rows, uint64_t batch, int64_t *ns) {
    const int64_t begun = now_ns(), begun_cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    ff_tick row = {.price = 100};
    for (uint64_t i = 0; i < rows; i += batch) {
        ff_tick *to = ff_ring_claim(ring, batch);
        for (uint64_t j = 0; j < batch; j++) {
            row.seq = (int64_t)(i + j);
            to[j] = row;
        }
        ff_ring_advance(ring, batch);
        ff_ring_publish(ring);
    }
    ns[1] = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun_cpu;
    ns[0] = now_ns() - begun;
}

/* In step: the writer keeps at most half a ring ahead of a reader, who adds up what he reads.
 * `pace` is where the reader says how far he is. Returns the time until he has read all. */
int64_t shared_ring_lead(ff_ring *ring, plain *pace, uint64_t rows, uint64_t batch) {
    const int64_t begun = now_ns();
    const uint64_t first = ring->head;
    uint64_t read = 0; /* as seen last */
    ff_tick row = {.price = 100};
    for (uint64_t i = 0; i < rows; i += batch) {
        while (i + batch - read > ring->capacity / 2)
            read = atomic_load_explicit(&pace->read, memory_order_acquire) - first;
        ff_tick *to = ff_ring_claim(ring, batch);
        for (uint64_t j = 0; j < batch; j++) {
            row.seq = (int64_t)(first + i + j);
            to[j] = row;
        }
        ff_ring_advance(ring, batch);
        ff_ring_publish(ring);
    }
    while (atomic_load_explicit(&pace->read, memory_order_acquire) < first + rows)
        ;
    return now_ns() - begun;
}

/* The same of a plain ring. */
int64_t shared_plain_lead(plain *ring, uint64_t rows, uint64_t batch) {
    const int64_t begun = now_ns();
    const uint64_t first = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint64_t read = 0;
    ff_tick row = {.price = 100};
    for (uint64_t i = 0; i < rows; i += batch) {
        while (i + batch - read > PLAIN_ROWS / 2)
            read = atomic_load_explicit(&ring->read, memory_order_acquire) - first;
        for (uint64_t j = 0; j < batch; j++) {
            row.seq = (int64_t)(first + i + j);
            ring->rows[(first + i + j) % PLAIN_ROWS] = row;
        }
        atomic_store_explicit(&ring->written, first + i + batch, memory_order_release);
    }
    while (atomic_load_explicit(&ring->read, memory_order_acquire) < first + rows)
        ;
    return now_ns() - begun;
}

/* The readers of both; they return the sum of the rows' numbers. */
uint64_t shared_ring_follow(const ff_ring *ring, plain *pace, uint64_t position,
                            uint64_t rows) {
    const uint64_t end = position + rows;
    uint64_t sum = 0, lost = 0;
    atomic_store_explicit(&pace->read, position, memory_order_release);
    while (position < end) {
        uint64_t ready = ff_ring_poll(ring, &position, &lost);
        const ff_tick *row = ff_ring_row(ring, position);
        for (uint64_t i = 0; i < ready; i++)
            sum += (uint64_t)row[i].seq;
        if (!ff_ring_intact(ring, position))
            return 0;
        position += ready;
        if (ready > 0)
            atomic_store_explicit(&pace->read, position, memory_order_release);
        else
            relax();
    }
    return lost == 0 ? sum : 0;
}

uint64_t shared_plain_follow(plain *ring, uint64_t position, uint64_t rows) {
    const uint64_t end = position + rows;
    uint64_t sum = 0;
    atomic_store_explicit(&ring->read, position, memory_order_release);
    while (position < end) {
        uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
        if (written == position) {
            relax();
            continue;
        }
        for (; position < written; position++)
            sum += (uint64_t)ring->rows[position % PLAIN_ROWS].seq;
        atomic_store_explicit(&ring->read, position, memory_order_release);
    }
    return sum;
}
