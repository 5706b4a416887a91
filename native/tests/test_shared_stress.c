/* A writer and many readers over the same files, all of them killed and replaced all the time:
 * nobody accepts a torn row, order and counts are right, nobody sleeps on when there is a row.
 *
 * Small rings that wrap all the time. By turns the writer does not look at its readers at all,
 * and waits after each publication until all have read it, so that one wake-up that gets lost
 * is one that nobody makes up for. Readers wait at most WAIT_NS for a row, and so does the
 * writer for readers.
 *
 * Processes that are killed with SIGKILL. ThreadSanitizer sees only threads: in its build they
 * are threads that go away when told, the writer in the middle of a row. Rows are relaxed
 * atomic words there (test_ring_threads.c says why), and there are no latest tables, since
 * ff_latest_copy() reads what may be written. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "fastfeed/clock.h"
#include "fastfeed/journal.h"
#include "fastfeed/latest.h"
#include "fastfeed/ring.h"
#include "fastfeed/symbols.h"

#if defined(__SANITIZE_THREAD__)
#define THREADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREADS 1
#endif
#endif
#ifndef THREADS
#define THREADS 0
#endif

enum { READERS = 6, CAPACITY = 64, WORDS = 8, ROW = WORDS * 8, SYMBOLS = 500 };
enum { STEPS = 60, BURST = 4000 }; /* publications of a turn */

#define MORE_COME ULONG_MAX

static const int64_t WAIT_NS = 10000000000, RUN_NS = 5000000000;

typedef struct counts {
    atomic_ulong read, lost, overtaken, sleeps, latest, symbols, replaced;
} counts;

/* What the test itself shares, beside the files. */
typedef struct control {
    atomic_ulong generation; /* of the writer whose files are there */
    atomic_ulong last;       /* rows in all; MORE_COME: not known yet */
    atomic_bool stop;        /* the writer shall come to its end */
    atomic_ulong steps;      /* publications that all readers were waited for */
    atomic_ulong at[READERS];
    atomic_bool leave[READERS + 1]; /* threads only: in place of a signal */
    counts counts;
} control;

static control *shared;
static char folder[64];

static int64_t now_ns(void) {
    return ff_clock_ns(CLOCK_MONOTONIC);
}

static void nap(int64_t ns) {
    nanosleep(&(struct timespec){0, ns}, NULL);
}

/* -1 where it is not there. */
static int open_file(const char *name, unsigned long generation, int flags) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s.%lu", folder, name, generation);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    CHECK(fd >= 0 || errno == ENOENT);
    return fd;
}

static ff_ring_bell *map_bell(void) {
    int fd = open_file("bell", 0, O_RDWR);
    void *bell = mmap(NULL, sizeof(ff_ring_bell), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(bell != MAP_FAILED);
    close(fd);
    return bell;
}

/* ---- rows: number, generation, symbol, what follows from them, a sum */

typedef union words {
    uint64_t word[WORDS];
    uint8_t bytes[ROW];
} words;

static words row_of(uint64_t number, uint64_t generation, uint64_t symbol) {
    words row = {{number, generation, symbol}};
    uint64_t state = (number + 1) * 0x9e3779b97f4a7c15u ^ generation << 40 ^ symbol << 20;
    for (size_t k = 3; k < WORDS; k++)
        row.word[k] = next_random(&state);
    return row;
}

static bool is_whole(const words *row) {
    words want = row_of(row->word[0], row->word[1], row->word[2]);
    return memcmp(want.bytes, row->bytes, ROW) == 0;
}

static void store_row(void *at, const words *row) {
#if THREADS
    for (size_t k = 0; k < WORDS; k++)
        atomic_store_explicit((_Atomic uint64_t *)at + k, row->word[k], memory_order_relaxed);
#else
    memcpy(at, row, ROW);
#endif
}

static void load_row(words *row, const void *at) {
#if THREADS
    for (size_t k = 0; k < WORDS; k++)
        row->word[k] =
            atomic_load_explicit((const _Atomic uint64_t *)at + k, memory_order_relaxed);
#else
    memcpy(row, at, ROW);
#endif
}

/* ---- the writer */

static bool told_to_leave(unsigned who) {
    return THREADS && atomic_load(&shared->leave[who]);
}

/* Whether all readers have all rows, within the time. */
static bool wait_for_readers(const ff_ring *ring) {
    const int64_t begin = now_ns();
    for (unsigned r = 0; r < READERS;) {
        if (atomic_load(&shared->at[r]) >= ring->head) {
            r++;
            continue;
        }
        if (told_to_leave(READERS))
            return false;
        CHECK(now_ns() - begin < WAIT_NS); /* a wake-up was lost */
        nap(1000);
    }
    return true;
}

typedef struct writer {
    unsigned long generation;
    uint64_t random;
    ff_ring ring;
    ff_latest latest;
    ff_journal journal;
    ff_symbols symbols;
} writer;

static void write_files(writer *w) {
    int fd = open_file("ring", 0, O_RDWR);
    CHECK_EQ(ff_ring_map(&w->ring, fd, ROW, CAPACITY), 0);
    close(fd);
    fd = open_file("latest", w->generation, O_RDWR | O_CREAT | O_EXCL);
    CHECK_EQ(ff_latest_map(&w->latest, fd, ROW, SYMBOLS), 0);
    close(fd);
    fd = open_file("journal", w->generation, O_RDWR | O_CREAT | O_EXCL);
    CHECK_EQ(ff_journal_map(&w->journal, fd, SYMBOLS), 0);
    close(fd);
    CHECK_EQ(ff_symbols_init(&w->symbols, SYMBOLS), 0);
    w->symbols.journal = &w->journal;
    w->ring.bell = map_bell();
    atomic_store(&shared->generation, w->generation);
    ff_ring_wake(&w->ring);
}

static size_t name_of(char text[FF_SYMBOL_MAX_BYTES], uint64_t generation, uint64_t symbol) {
    return (size_t)snprintf(text, FF_SYMBOL_MAX_BYTES,
                            symbol % 2 ? "%" PRIu64 ".%" PRIu64
                                       : "LONGER-%" PRIu64 ".%" PRIu64,
                            symbol, generation);
}

/* n rows, some in two claims, some claimed and not written. Returns false in the middle. */
static bool write_batch(writer *w, uint64_t n) {
    ff_ring *ring = &w->ring;
    uint64_t claim = n + next_random(&w->random) % (CAPACITY - n + 1);
    uint8_t *rows = ff_ring_claim(ring, claim);
    for (uint64_t i = 0; i < n; i++) {
        char name[FF_SYMBOL_MAX_BYTES];
        uint64_t number = ring->head + i;
        uint64_t next = w->symbols.count, symbol = next_random(&w->random) % SYMBOLS;
        if (symbol >= next)
            symbol = next_random(&w->random) % 8 == 0 || next == 0 ? next : symbol % next;
        if (symbol == next)
            CHECK_EQ(ff_symbols_intern(&w->symbols, (const uint8_t *)name,
                                       name_of(name, w->generation, symbol)),
                     symbol);
        words row = row_of(number, w->generation, symbol);
        store_row(rows + i * ROW, &row);
        if (told_to_leave(READERS))
            return false;
        if (!THREADS)
            CHECK_EQ(ff_latest_put(&w->latest, symbol, &row), 0);
    }
    ff_ring_advance(ring, n);
    return true;
}

static void *write_all(void *argument) {
    writer *w = argument;
    write_files(w);
    bool on = true;
    for (uint64_t i = 0; on && !atomic_load(&shared->stop); i++) {
        const bool step = i % (STEPS + BURST) < STEPS;
        on = write_batch(w, next_random(&w->random) % (step ? 3 : CAPACITY / 2) + 1);
        if (!on)
            break;
        if (next_random(&w->random) % 4 != 0 || step)
            ff_ring_publish(&w->ring);
        if (step) {
            on = wait_for_readers(&w->ring);
            atomic_fetch_add(&shared->steps, 1);
            if (next_random(&w->random) % 4 == 0)
                nap(20000); /* readers get to sleep */
        }
    }
    if (on) {
        on = write_batch(w, 1);
        if (on) {
            atomic_store(&shared->last, w->ring.head);
            ff_ring_publish(&w->ring);
        }
    }
    munmap(w->ring.bell, sizeof *w->ring.bell);
    ff_symbols_free(&w->symbols);
    ff_journal_close(&w->journal);
    ff_latest_close(&w->latest);
    ff_ring_close(&w->ring);
    return NULL;
}

/* ---- readers */

typedef struct reader {
    unsigned me;
    uint64_t random;
    ff_ring ring;
    unsigned long generation; /* of the following three; 0 = they are closed */
    ff_latest latest;
    ff_journal journal;
    ff_symbols symbols;
    uint64_t next;            /* entry of the journal */
    uint64_t newest[SYMBOLS]; /* 1 + number of the row that was the latest */
} reader;

static void close_generation(reader *r) {
    if (r->generation == 0)
        return;
    ff_latest_close(&r->latest);
    ff_journal_close(&r->journal);
    ff_symbols_free(&r->symbols);
    r->generation = 0;
}

/* Have the files of the present writer, if they are still there. */
static void open_generation(reader *r) {
    unsigned long generation = atomic_load(&shared->generation);
    if (generation == r->generation)
        return;
    close_generation(r);
    int latest = open_file("latest", generation, O_RDONLY);
    int journal = open_file("journal", generation, O_RDONLY);
    if (latest >= 0 && journal >= 0) {
        CHECK_EQ(ff_latest_attach(&r->latest, latest, ROW, SYMBOLS), 0);
        CHECK_EQ(ff_journal_attach(&r->journal, journal, SYMBOLS), 0);
        CHECK_EQ(ff_symbols_init(&r->symbols, SYMBOLS), 0);
        r->generation = generation;
        r->next = 0;
        memset(r->newest, 0, sizeof r->newest);
    }
    if (latest >= 0)
        close(latest);
    if (journal >= 0)
        close(journal);
}

/* The symbol of a row is in the journal when the row can be read. */
static void check_symbol(reader *r, const words *row) {
    char name[FF_SYMBOL_MAX_BYTES];
    const uint64_t symbol = row->word[2];
    size_t length;
    if (row->word[1] != r->generation)
        return;
    CHECK_EQ(ff_symbols_follow(&r->symbols, &r->journal, &r->next), 0);
    CHECK(symbol < r->symbols.count);
    const uint8_t *found = ff_symbols_name(&r->symbols, (uint32_t)symbol, &length);
    CHECK_EQ(length, name_of(name, r->generation, symbol));
    CHECK(memcmp(found, name, length) == 0);
    atomic_fetch_add_explicit(&shared->counts.symbols, 1, memory_order_relaxed);
}

static void check_latest(reader *r, size_t symbol) {
    words row;
    if (THREADS || r->generation == 0)
        return;
    int rc = ff_latest_copy(&r->latest, symbol, &row);
    CHECK(rc == 1 || (rc == 0 && r->newest[symbol] == 0));
    if (rc == 0)
        return;
    CHECK(is_whole(&row));
    CHECK_EQ(row.word[1], r->generation);
    CHECK_EQ(row.word[2], symbol);
    CHECK(row.word[0] + 1 >= r->newest[symbol]);
    r->newest[symbol] = row.word[0] + 1;
    atomic_fetch_add_explicit(&shared->counts.latest, 1, memory_order_relaxed);
}

/* By turns: sleep at once, spin a little and sleep, only spin. */
static void wait_for_rows(reader *r, uint64_t position) {
    static const int64_t spins[] = {0, 0, 20000, INT64_MAX};
    const int64_t spin = spins[next_random(&r->random) % 4], begin = now_ns();
    /* Who only spins gives the one core of a small machine away now and then. */
    const int64_t most = spin == INT64_MAX ? 200000 : WAIT_NS;
    while (!ff_ring_wait(&r->ring, position, spin, most)) {
        if (told_to_leave(r->me))
            return;
        CHECK(now_ns() - begin < WAIT_NS); /* a wake-up was lost */
        sched_yield();
    }
    if (spin == 0)
        atomic_fetch_add_explicit(&shared->counts.sleeps, 1, memory_order_relaxed);
}

static void *read_all(void *argument) {
    reader *r = argument;
    words rows[CAPACITY];
    int fd = open_file("ring", 0, O_RDONLY);
    CHECK_EQ(ff_ring_attach(&r->ring, fd, ROW, CAPACITY), 0);
    close(fd);
    r->ring.bell = map_bell();
    uint64_t read = 0, lost = 0, overtaken = 0;
    const uint64_t start =
        next_random(&r->random) % 2 ? ff_ring_published(&r->ring) : ff_ring_oldest(&r->ring);
    uint64_t position = start;
    while (position != atomic_load(&shared->last) && !told_to_leave(r->me)) {
        const uint64_t before = lost;
        uint64_t n = ff_ring_poll(&r->ring, &position, &lost);
        atomic_fetch_add_explicit(&shared->counts.lost, lost - before, memory_order_relaxed);
        CHECK(n <= CAPACITY);
        atomic_store(&shared->at[r->me], position);
        if (n == 0) {
            if (position != atomic_load(&shared->last))
                wait_for_rows(r, position);
            continue;
        }
        if (next_random(&r->random) % 4 == 0)
            n = next_random(&r->random) % n + 1;
        for (uint64_t i = 0; i < n; i++)
            load_row(&rows[i], (const uint8_t *)ff_ring_row(&r->ring, position) + i * ROW);
        const bool intact = ff_ring_intact(&r->ring, position);
        for (uint64_t i = 0; intact && i < n; i++) {
            CHECK(is_whole(&rows[i]));
            CHECK_EQ(rows[i].word[0], position + i);
        }
        *(intact ? &read : &overtaken) += n;
        position += n;
        CHECK_EQ(read + lost + overtaken, position - start);
        atomic_store(&shared->at[r->me], position);
        open_generation(r);
        if (intact)
            check_symbol(r, &rows[n - 1]);
        check_latest(r, next_random(&r->random) % SYMBOLS);
        atomic_fetch_add_explicit(&shared->counts.read, intact ? n : 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&shared->counts.overtaken, intact ? 0 : n,
                                  memory_order_relaxed);
    }
    CHECK_EQ(read + lost + overtaken, position - start);
    /* Also of one that began behind the last row, and never came to say so. */
    atomic_store(&shared->at[r->me], position);
    close_generation(r);
    munmap(r->ring.bell, sizeof *r->ring.bell);
    ff_ring_close(&r->ring);
    return NULL;
}

/* ---- both come and go; number READERS is the writer */

typedef struct someone {
    pid_t process;
    pthread_t thread;
    union {
        reader reader;
        writer writer;
    };
} someone;

static someone people[READERS + 1];

static void begin(unsigned who, uint64_t random, unsigned long generation) {
    someone *it = &people[who];
    void *(*run)(void *) = who == READERS ? write_all : read_all;
    void *argument = who == READERS ? (void *)&it->writer : (void *)&it->reader;
    if (who == READERS)
        it->writer = (writer){.generation = generation, .random = random | 1};
    else
        it->reader = (reader){.me = who, .random = random | 1};
    if (THREADS) {
        atomic_store(&shared->leave[who], false);
        CHECK_EQ(pthread_create(&it->thread, NULL, run, argument), 0);
        return;
    }
    const pid_t parent = getpid();
    it->process = fork();
    CHECK(it->process >= 0);
    if (it->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        run(argument);
        exit(0);
    }
}

/* Wait for somebody's end, which has to be the one that was wanted. */
static void finish(unsigned who, bool killed) {
    if (THREADS) {
        CHECK_EQ(pthread_join(people[who].thread, NULL), 0);
        return;
    }
    int status;
    CHECK_EQ(waitpid(people[who].process, &status, 0), people[who].process);
    if (killed && WIFSIGNALED(status))
        CHECK_EQ(WTERMSIG(status), SIGKILL);
    else
        CHECK(!killed && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void end(unsigned who) {
    if (THREADS)
        atomic_store(&shared->leave[who], true);
    else
        CHECK_EQ(kill(people[who].process, SIGKILL), 0);
    finish(who, true);
}

static void remove_generation(unsigned long generation) {
    char path[128];
    static const char *const names[] = {"latest", "journal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s.%lu", folder, names[i], generation);
        unlink(path);
    }
}

static void run(void) {
    uint64_t random = 7;
    unsigned long generation = 1;
    ff_ring ring;
    int fd = open_file("ring", 0, O_RDWR | O_CREAT | O_EXCL);
    CHECK_EQ(ff_ring_map(&ring, fd, ROW, CAPACITY), 0);
    close(fd);
    fd = open_file("bell", 0, O_RDWR | O_CREAT | O_EXCL);
    CHECK_EQ(posix_fallocate(fd, 0, sizeof(ff_ring_bell)), 0);
    close(fd);
    shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    atomic_store(&shared->last, MORE_COME);

    begin(READERS, next_random(&random), generation);
    for (unsigned r = 0; r < READERS; r++)
        begin(r, next_random(&random), 0);
    for (int64_t start = now_ns(); now_ns() - start < RUN_NS;) {
        nap((int64_t)(next_random(&random) % 8000000));
        unsigned who = (unsigned)(next_random(&random) % (READERS + 3));
        who = who < READERS ? who : READERS;
        end(who);
        if (who == READERS)
            remove_generation(generation++ - 1);
        begin(who, next_random(&random), generation);
        atomic_fetch_add(&shared->counts.replaced, 1);
    }
    atomic_store(&shared->stop, true);
    finish(READERS, false);
    for (unsigned r = 0; r < READERS; r++)
        finish(r, false);

    const counts *c = &shared->counts;
    printf(
        "%lu rows; %lu read, %lu lost, %lu overtaken; %lu sleeps, %lu steps; %lu latest, %lu "
        "symbols; %lu replaced, %lu of them writers\n",
        shared->last, c->read, c->lost, c->overtaken, c->sleeps, shared->steps, c->latest,
        c->symbols, c->replaced, generation - 1);
    CHECK_EQ(ff_ring_published(&ring), shared->last);
    for (unsigned r = 0; r < READERS; r++)
        CHECK_EQ(shared->at[r], shared->last);
    CHECK(c->read > 0 && c->lost > 0 && c->sleeps > 0 && c->symbols > 0 && shared->steps > 0);
    CHECK(THREADS || c->latest > 0);
    munmap(shared, sizeof *shared);
    ff_ring_close(&ring);
}

static void remove_files(void) {
    char path[512];
    DIR *directory = opendir(folder);
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path); /* all but "." and ".." */
    }
    closedir(directory);
    rmdir(folder);
}

/* In a process of its own, so that this one can tidy up whatever happens. */
int main(void) {
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/fastfeed-test-XXXXXX", base);
    CHECK(mkdtemp(folder) != NULL);
    int status;
    const pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        run();
        exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    remove_files();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}
