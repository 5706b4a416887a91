/* Waiting for rows: spinning, sleeping, and all that ends it. */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "fastfeed/clock.h"
#include "fastfeed/ring.h"

enum { ROW = 64, CAPACITY = 64, SLEEPERS = 4 };

static const int64_t MS = 1000000, LONG = 10000 * MS;

static int64_t now_ns(void) {
    return ff_clock_ns(CLOCK_MONOTONIC);
}

static void write_row(ff_ring *ring) {
    ff_ring_claim(ring, 1);
    ff_ring_advance(ring, 1);
    ff_ring_publish(ring);
}

typedef struct waiter {
    const ff_ring *ring;
    uint64_t position;
    int64_t spin_ns, timeout_ns;
    bool more;
    _Atomic pid_t id;
    atomic_bool done;
    pthread_t thread;
} waiter;

static void *wait_once(void *argument) {
    waiter *w = argument;
    atomic_store(&w->id, gettid());
    w->more = ff_ring_wait(w->ring, w->position, w->spin_ns, w->timeout_ns);
    atomic_store(&w->done, true);
    return NULL;
}

static void start(waiter *w, const ff_ring *ring, uint64_t position, int64_t spin_ns,
                  int64_t timeout_ns) {
    *w = (waiter){
        .ring = ring, .position = position, .spin_ns = spin_ns, .timeout_ns = timeout_ns};
    CHECK_EQ(pthread_create(&w->thread, NULL, wait_once, w), 0);
}

/* Returns whether there was more. */
static bool end(waiter *w) {
    CHECK_EQ(pthread_join(w->thread, NULL), 0);
    return w->more;
}

/* Until the kernel says that the thread sleeps, after it has said so in the bell. */
static void until_asleep(waiter *w, ff_ring_bell *bell) {
    for (int64_t begin = now_ns();; sched_yield()) {
        char path[64], text[256] = "";
        CHECK(now_ns() - begin < LONG);
        if (atomic_load(&w->id) == 0 || atomic_load(&bell->wanted) == 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)atomic_load(&w->id));
        FILE *file = fopen(path, "r");
        CHECK(file != NULL);
        CHECK(fgets(text, sizeof text, file) != NULL);
        fclose(file);
        char state = 0;
        if (sscanf(text, "%*d (%*[^)]) %c", &state) == 1 && state == 'S')
            return;
    }
}

static void test_at_once(void) {
    ff_ring ring;
    ff_ring_bell bell = {0};
    CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
    for (int with_bell = 0; with_bell < 2; with_bell++) {
        ring.bell = with_bell ? &bell : NULL;
        uint64_t next = ff_ring_published(&ring);
        CHECK(!ff_ring_wait(&ring, next, 0, 0));
        CHECK(!ff_ring_wait(&ring, next, INT64_MAX, 0));
        CHECK(!ff_ring_wait(&ring, next, 0, -1));
        write_row(&ring);
        CHECK(ff_ring_wait(&ring, next, 0, 0));
        CHECK(ff_ring_wait(&ring, next, 0, INT64_MAX));
        CHECK(ff_ring_wait(&ring, next, INT64_MAX, INT64_MAX));
        CHECK(!ff_ring_wait(&ring, next + 1, 0, 0));
    }
    CHECK_EQ(atomic_load(&bell.wanted), 0);
    CHECK_EQ(atomic_load(&ring.header->rung), 0);
    ff_ring_close(&ring);
}

/* Not before its time; without a bell nobody sleeps, however short it is to spin. */
static void test_time_out(void) {
    static const struct {
        int64_t spin_ns, timeout_ns;
        bool bell, sleeps;
    } cases[] = {
        {0, 20000000, false, false},       {INT64_MAX, 20000000, true, false},
        {20000000, 20000000, true, false}, {0, 20000000, true, true},
        {-1, 20000000, true, true},        {INT64_MAX, 20000000, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ff_ring ring;
        ff_ring_bell bell = {0};
        CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
        ring.bell = cases[i].bell ? &bell : NULL;
        int64_t begin = now_ns();
        CHECK(!ff_ring_wait(&ring, 0, cases[i].spin_ns, cases[i].timeout_ns));
        CHECK(now_ns() - begin >= cases[i].timeout_ns);
        CHECK_EQ(atomic_load(&bell.wanted), cases[i].sleeps);
        /* The next publication rings in vain, once. */
        write_row(&ring);
        write_row(&ring);
        CHECK_EQ(atomic_load(&bell.wanted), 0);
        CHECK_EQ(atomic_load(&ring.header->rung), cases[i].sleeps);
        ff_ring_close(&ring);
    }
}

static void test_spin(void) {
    ff_ring ring;
    ff_ring_bell bell = {0};
    waiter w;
    CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
    for (int with_bell = 0; with_bell < 2; with_bell++) {
        ring.bell = with_bell ? &bell : NULL;
        start(&w, &ring, ring.head, INT64_MAX, LONG);
        while (atomic_load(&w.id) == 0)
            sched_yield();
        write_row(&ring);
        CHECK(end(&w));
    }
    CHECK_EQ(atomic_load(&ring.header->rung), 0);
    ff_ring_close(&ring);
}

/* One publication wakes all, also those that wait for more than it brought. */
static void test_sleep(void) {
    ff_ring ring;
    ff_ring_bell bell = {0};
    waiter w[SLEEPERS];
    CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
    ring.bell = &bell;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < SLEEPERS; i++) {
            start(&w[i], &ring, ring.head + (i == 0), round % 2 * 1000, 2 * LONG);
            until_asleep(&w[i], &bell);
        }
        CHECK_EQ(atomic_load(&ring.header->rung), round);
        write_row(&ring);
        for (unsigned i = 0; i < SLEEPERS; i++)
            CHECK_EQ(end(&w[i]), i != 0);
        CHECK_EQ(atomic_load(&bell.wanted), 0);
        CHECK_EQ(atomic_load(&ring.header->rung), round + 1);
    }
    ff_ring_close(&ring);
}

static void on_signal(int number) {
    (void)number;
}

static void test_signal(void) {
    ff_ring ring;
    ff_ring_bell bell = {0};
    waiter w;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(ff_ring_create(&ring, ROW, CAPACITY), 0);
    ring.bell = &bell;
    int64_t begin = now_ns();
    start(&w, &ring, 0, 0, 6 * LONG);
    until_asleep(&w, &bell);
    while (!atomic_load(&w.done)) {
        CHECK(now_ns() - begin < LONG);
        pthread_kill(w.thread, SIGUSR1);
        sched_yield();
    }
    CHECK(!end(&w));
    ff_ring_close(&ring);
}

/* The writer dies after it took back `wanted` and before it moved `rung`: whoever sleeps is
 * woken by the next one, although nobody is wanted. */
static void test_taken_over(void) {
    ff_ring dead, next;
    ff_ring_bell bell = {0};
    waiter w;
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(ff_ring_map(&dead, fd, ROW, CAPACITY), 0);
    dead.bell = &bell;
    start(&w, &dead, 0, 0, 2 * LONG);
    until_asleep(&w, &bell);
    ff_ring_claim(&dead, 1);
    ff_ring_advance(&dead, 1);
    atomic_store(&dead.header->publish, 1);
    atomic_store(&bell.wanted, 0);

    CHECK_EQ(ff_ring_map(&next, fd, ROW, CAPACITY), 0);
    next.bell = &bell;
    ff_ring_wake(&next);
    int64_t begin = now_ns();
    while (!atomic_load(&w.done)) {
        CHECK(now_ns() - begin < LONG);
        sched_yield();
    }
    CHECK(end(&w));
    close(fd);
    ff_ring_close(&next);
    ff_ring_close(&dead);
}

int main(void) {
    test_at_once();
    test_time_out();
    test_spin();
    test_sleep();
    test_signal();
    test_taken_over();
    return 0;
}
