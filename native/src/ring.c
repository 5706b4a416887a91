#include "fastfeed/ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fastfeed/clock.h"
#include "fastfeed/region.h"

static size_t header_bytes(void) {
    return ff_whole_pages(sizeof(ff_ring_header));
}

size_t ff_ring_bytes(size_t row_size, uint64_t capacity) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (row_size == 0 || row_size % 64 != 0 || row_size > 1u << 20)
        return 0;
    if (capacity == 0 || (capacity & (capacity - 1)) != 0 || capacity > (uint64_t)1 << 32)
        return 0;
    uint64_t rows = row_size * capacity;
    if (rows % page != 0 || rows > SIZE_MAX / 4)
        return 0;
    return header_bytes() + (size_t)rows;
}

_Static_assert(offsetof(ff_ring_header, row_size) == 0 &&
                   offsetof(ff_ring_header, capacity) == 8,
               "the file begins with the geometry");

/* Reserve the addresses first, then lay the file over them: header, rows, and the rows again.
 */
static int map(ff_ring *ring, int fd, size_t row_size, uint64_t capacity, bool writes) {
    memset(ring, 0, sizeof *ring);
    size_t bytes = ff_ring_bytes(row_size, capacity);
    if (bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    size_t header = header_bytes(), rows = bytes - header, total = bytes + rows;
    /* Not looked at through the mapping: where the file has a hole, and memory is short, that
     * would be a signal. A file with a geometry has memory for the header, and for the rows
     * that were written. */
    uint64_t found[2] = {0};
    struct stat status;
    if (pread(fd, found, sizeof found, 0) < 0 || fstat(fd, &status) < 0)
        return -1;
    const bool is_new = writes && (found[0] == 0 || found[1] == 0);
    const bool is_right = found[0] == row_size && found[1] == capacity;
    if (!is_new && (!is_right || (uint64_t)status.st_size < bytes)) {
        errno = EINVAL;
        return -1;
    }
    int failed = writes ? ff_file_take(fd, 0, bytes) : 0;
    if (failed != 0) {
        errno = failed;
        return -1;
    }

    uint8_t *base = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return -1;
    int protection = writes ? PROT_READ | PROT_WRITE : PROT_READ;
    /* The writer has no page faults on its first lap. */
    int flags = MAP_SHARED | MAP_FIXED | (writes ? MAP_POPULATE : 0);
    if (mmap(base, bytes, protection, flags, fd, 0) == MAP_FAILED ||
        mmap(base + bytes, rows, protection, flags, fd, (off_t)header) == MAP_FAILED) {
        int saved = errno;
        munmap(base, total);
        errno = saved;
        return -1;
    }

    ring->header = (ff_ring_header *)(void *)base;
    ring->rows = base + header;
    ring->capacity = capacity;
    ring->mask = capacity - 1;
    ring->row_size = row_size;
    ring->map_bytes = total;
    return 0;
}

int ff_ring_prepare(int fd, size_t row_size, uint64_t capacity) {
    const uint64_t geometry[2] = {row_size, capacity};
    size_t bytes = ff_ring_bytes(row_size, capacity);
    if (bytes == 0) {
        errno = EINVAL;
        return -1;
    }
    if (ftruncate(fd, (off_t)bytes) < 0)
        return -1;
    ssize_t n = pwrite(fd, geometry, sizeof geometry, 0);
    if (n >= 0 && n < (ssize_t)sizeof geometry)
        errno = ENOSPC;
    return n == (ssize_t)sizeof geometry ? 0 : -1;
}

int ff_ring_map(ff_ring *ring, int fd, size_t row_size, uint64_t capacity) {
    if (map(ring, fd, row_size, capacity, true) < 0)
        return -1;
    ring->header->row_size = row_size;
    ring->header->capacity = capacity;
    ring->head = ff_ring_published(ring);
    ring->claimed = atomic_load_explicit(&ring->header->claim, memory_order_relaxed);
    /* As in ff_ring_claim(): the claim of the writer before counts for rows of this one. */
    atomic_thread_fence(memory_order_release);
    return 0;
}

int ff_ring_attach(ff_ring *ring, int fd, size_t row_size, uint64_t capacity) {
    return map(ring, fd, row_size, capacity, false);
}

int ff_ring_create(ff_ring *ring, size_t row_size, uint64_t capacity) {
    memset(ring, 0, sizeof *ring);
    if (ff_ring_bytes(row_size, capacity) == 0) {
        errno = EINVAL;
        return -1;
    }
    int fd = memfd_create("fastfeed", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = ff_ring_map(ring, fd, row_size, capacity);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

void ff_ring_protect(ff_ring *ring) {
    if (ring->header != NULL)
        mprotect(ring->header, ring->map_bytes, PROT_READ);
}

void ff_ring_close(ff_ring *ring) {
    if (ring->header != NULL)
        munmap(ring->header, ring->map_bytes);
    memset(ring, 0, sizeof *ring);
}

void ff_ring_wake(ff_ring *ring) {
    /* In this order: who finds the new number of `rung` has also seen that nobody is wanted
     * any more, and what he then says himself stays. ARM64 keeps it by the release here and
     * the acquire in sleep_for(). Between `rung` and its look at who sleeps the kernel has a
     * full barrier. */
    atomic_store_explicit(&ring->bell->wanted, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&ring->header->rung, 1, memory_order_release);
    syscall(SYS_futex, &ring->header->rung, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void sleep_for(const ff_ring *ring, uint64_t position, int64_t ns) {
    /* Acquire: pairs with the release in ff_ring_wake(). It is loaded first: a wake-up that
     * comes after it is one that the kernel sees when it compares. */
    uint32_t rung = atomic_load_explicit(&ring->header->rung, memory_order_acquire);
    atomic_store_explicit(&ring->bell->wanted, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with that in ff_ring_publish() */
    if (ff_ring_published(ring) > position)
        return;
    struct timespec time = {ns / 1000000000, ns % 1000000000};
    syscall(SYS_futex, &ring->header->rung, FUTEX_WAIT, rung, &time, NULL, 0);
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool ff_ring_wait(const ff_ring *ring, uint64_t position, int64_t spin_ns,
                  int64_t timeout_ns) {
    enum { LOOKS = 64, DOZE_NS = 50000 }; /* between two looks at the clock; without a bell */
    if (ff_ring_published(ring) > position)
        return true;
    if (timeout_ns <= 0)
        return false;
    const int64_t begin = ff_clock_ns(CLOCK_MONOTONIC);
    int64_t waited = 0;
    if (spin_ns > timeout_ns)
        spin_ns = timeout_ns;
    for (; waited < spin_ns; waited = ff_clock_ns(CLOCK_MONOTONIC) - begin) {
        for (int i = 0; i < LOOKS; i++) {
            if (ff_ring_published(ring) > position)
                return true;
            relax();
        }
    }
    if (ring->bell != NULL && waited < timeout_ns)
        sleep_for(ring, position, timeout_ns - waited);
    while (ring->bell == NULL && waited < timeout_ns) {
        struct timespec doze = {0, DOZE_NS};
        if (nanosleep(&doze, NULL) < 0 || ff_ring_published(ring) > position)
            break;
        waited = ff_clock_ns(CLOCK_MONOTONIC) - begin;
    }
    return ff_ring_published(ring) > position;
}
